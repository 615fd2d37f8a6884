"""Gaussian processes: against exact ones, simulated curves, fits that are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import linalg, stats

import stanpool as sp
from interpreted import interpreted
from simulated_fits import changed, fit_of_points
from stanpool.data.matrix import evaluation
from stanpool.data.matrix.smooths.process import Process, build_process
from stanpool.density.check import compare
from stanpool.density.log_posterior import LogPosterior
from stanpool.engine.interface import Densities
from stanpool.model.priors.of_terms.lengthscales import between
from stanpool.sampling.initial_values import starting_values

DATA = Path(__file__).parents[1] / "data"


def covariance(name: str, r: np.ndarray) -> np.ndarray:
    """Return a covariance function at distances over length scales: a textbook's."""
    if name == "exp_quad":
        return np.exp(-0.5 * r**2)
    if name == "matern32":
        return (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r)
    return (1 + np.sqrt(5) * r + 5 * r**2 / 3) * np.exp(-np.sqrt(5) * r)


def approximate(process: Process, at: list[np.ndarray], lengths: list[float]) -> float:
    """Return the largest error of the covariances between rows, of amplitude 1."""
    ((_, _, spectrum),) = process.scales
    assert spectrum is not None
    _, columns = process.columns(at)
    weighted = columns * spectrum.sds(np.array(lengths))
    squares = sum(
        np.subtract.outer(x, x) ** 2 / length**2
        for x, length in zip(at, lengths, strict=True)
    )
    exact = covariance(process.covariance, np.sqrt(squares))
    return float(np.abs(weighted @ weighted.T - exact).max())


@pytest.mark.parametrize("name", ["exp_quad", "matern32", "matern52"])
def test_covariances_approach_the_exact_ones(name: str) -> None:
    """With more functions and boundaries far away, of one predictor and of two."""
    x, z = np.linspace(3, 5, 21), np.linspace(0, 40, 21)
    errors = [
        approximate(
            build_process("gp(x)", ["x"], [x], covariance=name, size=k, c=4), [x], [0.5]
        )
        for k in (8, 32, 128)
    ]
    assert errors[0] > 5 * errors[1]
    assert errors[1] > 5 * errors[2]
    assert errors[2] < 2e-4
    surface = build_process(
        "gp(x, z)", ["x", "z"], [x, z], covariance=name, size=60, c=3
    )
    shuffled = z[np.random.default_rng(1).permutation(21)]
    assert approximate(surface, [x, shuffled], [0.6, 15.0]) < 6e-3


@pytest.mark.parametrize(
    ("name", "lengthscale"), [("exp_quad", 6.0), ("matern32", 12.0), ("matern52", 9.0)]
)
def test_curves_are_those_of_exact_processes(name: str, lengthscale: float) -> None:
    """Given all scales, the posterior of an exact process has a closed form."""
    data = pd.read_csv(DATA / "mcycle.csv")
    tau, sigma, level = 50.0, 22.0, 121.0
    x, y = data["times"].to_numpy(), data["accel"].to_numpy()
    K = tau**2 * covariance(name, np.abs(np.subtract.outer(x, x)) / lengthscale)
    marginal = K + level**2 + sigma**2 * np.eye(len(x))
    gain = linalg.solve(marginal, K + level**2, assume_a="pos").T
    exact = gain @ (y - y.mean()) + y.mean()
    exact_sd = np.sqrt(np.diag(K + level**2 - gain @ (K + level**2)))
    model = sp.Model(
        f"accel ~ gp(times, k=60, c=2.5, cov='{name}')",
        data,
        priors={
            # Of the curve's mean and not of its level: nearly flat, both.
            "Intercept": f"normal({y.mean()}, {level})",
            "tau_s": f"constant({tau})",
            "lengthscale": f"constant({lengthscale})",
            "sigma": f"constant({sigma})",
        },
    )
    curve = model.fit(seed=1, chains=2, draws=1000).linpred()
    mean = curve.mean(("chain", "draw")).to_numpy()
    sd = curve.std(("chain", "draw")).to_numpy()
    # Errors of means of 2000 draws, the largest of 94 distinct times.
    assert np.abs(mean - exact).max() < 4 * exact_sd.max() / np.sqrt(1000)
    assert np.abs(sd / exact_sd - 1).max() < 0.12


def test_priors_have_one_percent_beyond_each_end() -> None:
    for least, most in ((1.0, 10.0), (0.02, 1.0), (2.76, 55.2)):
        shape, scale = between(least, most).arguments
        ends = stats.invgamma(shape, scale=scale).cdf([least, most])
        np.testing.assert_allclose(ends, [0.01, 0.99], atol=5e-4)


def simulated(rows: int, seed: int) -> pd.DataFrame:
    """Simulate a process of x, and one of z at level "a" of f only."""
    rng = np.random.default_rng(seed)
    x, z = rng.uniform(3, 5, rows), rng.uniform(0, 400, rows)
    f, g = rng.choice(["a", "b"], rows), rng.integers(0, 10, rows)
    K = covariance("exp_quad", np.subtract.outer(x, x) / 0.3)
    curve = np.linalg.cholesky(K + 1e-8 * np.eye(rows)) @ rng.normal(size=rows)
    curve += np.where(f == "a", np.cos(z / 60), 0) + rng.normal(0, 0.5, 10)[g]
    y = curve + rng.normal(0, 0.3, rows)
    return pd.DataFrame({"x": x, "z": z, "f": f, "g": g.astype(str), "y": y})


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    """Return a fit with a process, and one for each level, in the marginal form."""
    data = simulated(200, 4)
    formula = "y ~ gp(x) + f + gp(z, by=f, k=12) + (1 | g)"
    return sp.Model(formula, data).fit(seed=1)


def test_simulated_scales_are_found(fit: sp.Fit) -> None:
    table = fit.summary(var_names=["lengthscale", "tau_s"])
    low, high = table["q5"], table["q95"]
    assert low["lengthscale[gp(x)]"] < 0.3 < high["lengthscale[gp(x)]"]
    assert low["tau_s[gp(x)]"] < 1.0 < high["tau_s[gp(x)]"]
    scales = table["mean"]
    assert scales["tau_s[gp(z, by=f).b]"] < 0.5 * scales["tau_s[gp(z, by=f).a]"]


def test_what_fits_are_asked_knows_processes(fit: sp.Fit) -> None:
    assert fit.diagnose().verdict.endswith("no problem found.")
    assert "basis" in {each.check for each in fit.diagnose().checks}
    assert "gp(x)" in " ".join(map(str, fit.varcorr().index))
    assert np.isfinite(fit.loo().elpd)
    assert len(fit.predictions("x")) > 1
    assert "GaussianProcess" in str(fit.model.equations())
    assert "sampled noncentered" in fit.model.explain()
    assert "because there are Gaussian processes" in fit.model.explain()
    assert "lengthscale[gp(x)]" in fit.prior_sensitivity().index
    drawn = fit.model.prior_predictive(20, seed=1)
    assert np.isfinite(drawn["prior_predictive"]["y"].to_numpy()).all()
    with pytest.raises(sp.DataError, match="not in the data of the fit: 'c'"):
        fit.linpred(fit.model.data.iloc[:1].assign(f="c"))


def test_levels_without_a_curve_are_refused() -> None:
    z, f = np.linspace(0, 1, 6), pd.Categorical(list("aaabbb"))
    process = build_process("gp(z, by=f)", ["z"], [z], by=f)
    with pytest.raises(sp.DataError, match="no curve for 'c'"):
        process.columns([z[:2]], pd.Categorical(["b", "c"]))


def test_coefficients_are_not_sampled_apart() -> None:
    """Their standard deviations depend on scales; those of x and w alone would be."""
    data = simulated(60, 1)
    data["w"] = data["x"] + 0.01 * data["z"] / 400
    alike = sp.Model("y ~ x + w + (1 | g)", data)
    process = sp.Model("y ~ x + w + gp(z, k=6) + (1 | g)", data)
    assert alike.structure.decoupled
    assert not process.structure.decoupled
    assert process.decoupling is None


@pytest.mark.parametrize("name", ["exp_quad", "matern32"])
def test_densities_agree_where_scales_round_to_zero(name: str) -> None:
    """Of 3000 the functions' standard deviations go down to exp(-5000)."""
    model = sp.Model(f"y ~ gp(z, k=12, cov='{name}')", simulated(60, 4))
    density = LogPosterior(model)
    points = np.random.default_rng(2).normal(0, 0.5, (3, density.size))
    place = next(n for n, x in enumerate(density.parameters) if x.name == "lengthscale")
    before = sum(each.count for each in density.parameters[:place])
    points[:, before] = np.log(30.0)  # of Stan's units, which are hundreds
    (theirs,) = interpreted([(model.program.source, density.data, points)])
    assert isinstance(theirs, Densities), theirs
    assert compare(density, points, theirs).largest_gap < 1e-12


def test_chains_go_on_in_the_units_of_programs() -> None:
    """Where Stan counts length scales in hundreds, and where coefficients are 0."""
    data = simulated(60, 4)
    model = sp.Model("y ~ gp(z, k=12)", data)
    assert model.scaling.lengthscale == pytest.approx(0.01)
    made_up, points = fit_of_points(model, chains=2, draws=1)
    starts = starting_values(made_up)
    assert starts is not None
    frequencies = np.pi * np.arange(1, 13) / (2 * np.ptp(data["z"]))  # with c=2
    for start, point in zip(starts, points, strict=True):
        density = stats.norm(scale=1 / point.lengthscale).pdf(frequencies)
        sds = point.tau_s * np.sqrt(2 * np.pi * density)
        np.testing.assert_allclose(start["z_s"], point.beta / sds, rtol=1e-8)
        assert start["lengthscale"] == pytest.approx(0.01 * point.lengthscale)
    # Of 3000 the functions' standard deviations go down to exp(-5000).
    lengths = np.full((2, 1, 1), 3000.0)
    starts = starting_values(changed(made_up, "posterior", lengthscale=lengths))
    assert starts is not None
    assert all(np.isfinite(start["z_s"]).all() for start in starts)
    assert starts[0]["z_s"][-1] == 0


def test_saved_fits_have_their_boundaries(
    fit: sp.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of new rows, nor of those that were saved, moves the functions."""
    new = fit.model.data.iloc[[3, 90]].assign(x=[2.5, 6.1])
    before = fit.linpred(new)
    np.testing.assert_allclose(fit.linpred(fit.model.data), fit.linpred(), atol=1e-10)
    fit.save(tmp_path / "fit")

    def built_again(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(evaluation, "build_process", built_again)
    loaded = sp.load(tmp_path / "fit")
    np.testing.assert_array_equal(before, loaded.linpred(new))
    assert loaded.model.stan_data().keys() == fit.model.stan_data().keys()


@pytest.mark.parametrize(("k", "found"), [(5, "problem"), (30, "passed")])
def test_diagnosis_says_whether_there_are_enough_functions(k: int, found: str) -> None:
    """The length scale of mcycle is about 5.5 of a range of 55: 17 functions."""
    data = pd.read_csv(DATA / "mcycle.csv")
    fit = sp.Model(f"accel ~ gp(times, k={k})", data).fit(seed=1, chains=2, draws=300)
    (check,) = (x for x in fit.diagnose().checks if x.check in ("basis", "boundary"))
    assert check.level == found
    if found == "passed":
        # 1.75 * 2 * 27.6 / 5.5, by the formula of Riutort-Mayol et al. (2023).
        needed = int(check.sentence.removesuffix(" would.").rpartition(" ")[2])
        assert needed == pytest.approx(1.75 * 2 * 27.6 / check.measured, abs=1)


def test_bad_input_is_refused() -> None:
    data = simulated(20, 1).assign(one=1.0)
    with pytest.raises(sp.DataError, match="has one value only"):
        sp.Model("y ~ gp(one)", data)
    with pytest.raises(sp.SpecError, match="can only be added"):
        sp.Model("y ~ gp(x):z", data)
