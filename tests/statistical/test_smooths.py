"""Fits with smooths: mgcv's estimates, simulated curves, fits that are kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from stanpool.data.matrix import evaluation
from stanpool.inference.evaluation.prior_sensitivity import log_prior

DATA = Path(__file__).parents[1] / "data"


def test_a_curve_is_that_of_mgcv_by_reml() -> None:
    """Estimates and standard errors; a prior and an average over scales are between.

    REML takes the scale as known, and lines as without a prior.
    """
    data = pd.read_csv(DATA / "mcycle.csv")
    theirs = json.loads((DATA / "mgcv.json").read_text())["tp"]["reml"]
    fit = sp.Model("accel ~ s(times)", data).fit(seed=1)
    curve = fit.linpred()
    mean = curve.mean(("chain", "draw")).to_numpy()
    sd = curve.std(("chain", "draw")).to_numpy()
    se = np.array(theirs["se"])
    assert np.abs(mean - theirs["fitted"]).max() < 0.35 * se.mean()
    assert np.median(sd / se) == pytest.approx(1.0, abs=0.06)
    sigma = float(fit.posterior["sigma"].mean())
    assert sigma == pytest.approx(theirs["sigma"], rel=0.04)
    assert "no problem found" in fit.diagnose().verdict


CURVES = (
    lambda x: 2 * np.sin(np.pi * x),
    lambda x: np.exp(2 * x),
    lambda x: 0.2 * x**11 * (10 * (1 - x)) ** 6 + 10 * (10 * x) ** 3 * (1 - x) ** 10,
    lambda x: 0.0 * x,
)


def four_functions(rows: int, seed: int) -> pd.DataFrame:
    """Simulate the example of Gu and Wahba (1991), in which x3 has no effect."""
    rng = np.random.default_rng(seed)
    x, g = rng.uniform(size=(rows, 4)), rng.integers(0, 15, rows)
    eta = sum(curve(x[:, k]) for k, curve in enumerate(CURVES))
    eta = eta + rng.normal(0, 1, 15)[g]
    data = pd.DataFrame(x, columns=["x0", "x1", "x2", "x3"])
    return data.assign(g=g.astype(str), y=eta + rng.normal(0, 2, rows))


def test_simulated_curves_are_found() -> None:
    data = four_functions(500, 2)
    fit = sp.Model("y ~ s(x0) + s(x1) + s(x2) + s(x3) + (1 | g)", data).fit(seed=1)
    grid = np.linspace(0.02, 0.98, 25)
    middle = pd.DataFrame({f"x{k}": np.full(25, 0.5) for k in range(4)})
    covered = []
    for k, true in enumerate(CURVES):
        rows = middle.assign(**{f"x{k}": grid})
        eta = fit.linpred(rows, group_terms=[]).to_numpy().reshape(-1, 25)
        about = eta - eta.mean(axis=1, keepdims=True)
        low, high = np.quantile(about, [0.05, 0.95], axis=0)
        wanted = true(grid) - true(grid).mean()
        covered += [*((low < wanted) & (wanted < high))]
    # Of intervals along a curve that depend on each other.
    assert np.mean(covered) > 0.8
    # What has no effect is a straight line, about.
    scales = fit.posterior["tau_s"].mean(("chain", "draw")).to_numpy()
    assert scales[3] < 0.1 * scales[2]


def test_both_forms_of_a_model_agree() -> None:
    """With the rows as they are, and with fewer and groups integrated out."""
    data = four_functions(200, 3)
    model = sp.Model("y ~ s(x1, k=6) + s(x2, k=8) + (1 | g)", data)
    plain = model.with_(parameterization="noncentered", compress=False)
    assert model.rows is not None
    assert plain.rows is None
    table, other = (each.fit(seed=1).summary() for each in (model, plain))
    names = [x for x in table.index if not x.startswith("b_g")]
    both = np.hypot(table.loc[names, "mcse_mean"], other.loc[names, "mcse_mean"])
    gap = (table.loc[names, "mean"] - other.loc[names, "mean"]).abs() / both
    assert gap.max() < 4.5


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    """Return a fit with each kind of smooth, of the mean and of sigma."""
    data = four_functions(150, 4)
    data["f"] = np.where(data["x3"] > 0.5, "high", "low")
    data["late"] = data["x0"] > 0.5
    formulas = [
        "y ~ s(x1, k=5) + s(x2, k=6, bs='cr', by=f) + f + t2(x0, x3, k=4) + (1 | g)",
        "sigma ~ s(x0, k=4, by=late, bs='ps')",
    ]
    return sp.Model(formulas, data).fit(draws=50, warmup=100, chains=2, seed=1)


class TestKeptBasis:
    def test_saved_fits_have_their_basis(
        self, fit: sp.Fit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another machine turns eigenvectors differently: none is computed again."""
        new = fit.model.data.iloc[[3, 90]].assign(x2=[0.2, 1.4])
        before = fit.linpred(new), fit.linpred(new, parameter="sigma")
        fit.save(tmp_path / "fit")

        def built_again(*_: object, **__: object) -> None:
            raise AssertionError

        monkeypatch.setattr(evaluation, "build_smooth", built_again)
        loaded = sp.load(tmp_path / "fit")
        after = loaded.linpred(new), loaded.linpred(new, parameter="sigma")
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)
        assert loaded.model.stan_data().keys() == fit.model.stan_data().keys()

    def test_new_rows_do_not_change_it(self, fit: sp.Fit) -> None:
        whole = fit.linpred(fit.model.data)
        np.testing.assert_allclose(whole, fit.linpred(), atol=1e-10)
        part = fit.linpred(fit.model.data.iloc[:2])
        np.testing.assert_allclose(part, whole[..., :2], atol=1e-10)

    def test_other_data_have_their_own(self, fit: sp.Fit, tmp_path: Path) -> None:
        fit.save(tmp_path / "fit")
        loaded = sp.load(tmp_path / "fit")
        half = fit.model.data.iloc[:100]
        again = loaded.update(data=half, draws=10, warmup=20, chains=1, seed=1)
        fresh = sp.Model([*map(str, FORMULAS)], half)
        np.testing.assert_allclose(again.model.design.X, fresh.design.X, atol=1e-8)


FORMULAS = (
    "y ~ s(x1, k=5) + s(x2, k=6, bs='cr', by=f) + f + t2(x0, x3, k=4) + (1 | g)",
    "sigma ~ s(x0, k=4, by=late, bs='ps')",
)


def test_lines_are_part_of_a_smooth() -> None:
    """A straight line is found, and goes on beyond the data."""
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 1, 200)
    data = pd.DataFrame({"x": x, "y": 3 * x + rng.normal(0, 0.5, 200)})
    fit = sp.Model("y ~ s(x)", data).fit(seed=1)
    slope = fit.fixef().loc["s(x).linear"]
    assert abs(slope["mean"] - 3) < 3 * slope["sd"]
    ends = fit.linpred(pd.DataFrame({"x": [2.0, 3.0, 4.0]}))
    steps = ends.diff("row") if "row" in ends.dims else ends
    first, second = steps.to_numpy()[..., 0], steps.to_numpy()[..., 1]
    np.testing.assert_allclose(first, second, atol=1e-9)


def test_what_fits_are_asked_knows_smooths(fit: sp.Fit) -> None:
    table = fit.summary()
    assert "tau_s[s(x1)]" in table.index
    assert "tau_s_sigma[s(x0, by=late).True]" in table.index
    assert not [x for x in fit.fixef().index if x.endswith(".1")]
    assert "s(x1)" in " ".join(map(str, fit.varcorr().index))
    assert np.isfinite(fit.predict().to_numpy()).all()
    assert len(fit.predictions("x1")) > 1
    assert "Smooth" in fit.model.equations().__str__()
    drawn = fit.model.prior_predictive(20, seed=1)
    assert np.isfinite(drawn["prior_predictive"]["y"].to_numpy()).all()
    with pytest.raises(sp.SpecError, match="does not estimate"):
        fit.model.with_(formulas=()).quick()


def test_a_smooth_without_a_line_is_asked_all_that_others_are() -> None:
    """Cyclic curves have no line, so that the population may have no coefficient."""
    rng = np.random.default_rng(3)
    x, g = rng.uniform(0, 10, 200), rng.integers(0, 8, 200).astype(str)
    data = pd.DataFrame({"x": x, "g": g, "y": rng.poisson(np.exp(np.sin(x)))})
    model = sp.Model(
        "y ~ s(x, bs='cc') + (1 | g)",
        data,
        family="poisson",
        priors={
            "Intercept": "normal(0, 2)",
            "tau": "exponential(3)",
            "tau_s": "exponential(0.7)",
        },
    )
    fit = model.fit(seed=1, draws=50, warmup=200, chains=2)
    assert "Partial pooling over g" in fit.diagnose().verdict
    assert "tau_s[s(x)]" in fit.prior_sensitivity().index
    draws = {name: each.to_numpy().ravel() for name, each in fit.posterior.items()}
    expected = (
        stats.norm(0, 2).logpdf(draws["Intercept"])
        + stats.expon(scale=1 / 3).logpdf(draws["tau_g"])
        + stats.expon(scale=1 / 0.7).logpdf(draws["tau_s"])
    )
    difference = log_prior(fit).ravel() - expected
    assert np.ptp(difference) < 1e-9  # up to a constant
