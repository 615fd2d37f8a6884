"""Fits by approximations: closed forms, real data, and where they cannot be trusted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import stanpool as sp
from stanpool import plots
from stanpool.base.errors import SamplingError, SpecError

RADON = "log_radon ~ floor + (1 | county)"
METHODS = ["laplace", "pathfinder", "optimize"]


@pytest.fixture(scope="module")
def radon() -> sp.Model:
    return sp.Model(RADON, sp.load_dataset("radon"))


@pytest.fixture(scope="module")
def fits(radon: sp.Model) -> dict[str, sp.Fit]:
    return {
        method: radon.fit(method=method, seed=1, engine="stanli", progress=False)
        for method in METHODS
    }


@pytest.fixture(scope="module")
def by_nuts(radon: sp.Model) -> sp.Fit:
    return radon.fit(seed=1, engine="stanli", progress=False)


@pytest.fixture(scope="module")
def eight_schools() -> sp.Model:
    schools = sp.load_dataset("eight_schools")
    return sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)", schools, parameterization="centered"
    )


@pytest.fixture(scope="module")
def normal() -> sp.Model:
    """A model with known standard errors and normal priors: the posterior is normal."""
    rng = np.random.default_rng(5)
    x, s = rng.standard_normal(30), rng.uniform(0.5, 2, 30)
    return sp.Model(
        "y | se(s) ~ x",
        {"x": x, "s": s, "y": 1 + 2 * x + s * rng.standard_normal(30)},
        pooling="complete",
        priors={"Intercept": "normal(0, 3)", "beta": "normal(1, 2)"},
    )


def exact(model: sp.Model) -> tuple[np.ndarray, np.ndarray]:
    """Return means and covariance of the intercept at the mean, and the slope."""
    x, s, y = (model.data[name].to_numpy() for name in ("x", "s", "y"))
    X = np.column_stack([np.ones(len(x)), x - x.mean()])
    prior = np.diag([1 / 9, 1 / 4])
    covariance = np.linalg.inv(X.T @ (X / s[:, None] ** 2) + prior)
    return covariance @ (X.T @ (y / s**2) + prior @ [0, 1]), covariance


@pytest.mark.parametrize("method", METHODS)
def test_a_normal_posterior_is_found(normal: sp.Model, method: str) -> None:
    mean, covariance = exact(normal)
    fit = normal.fit(method=method, seed=1, engine="stanli", progress=False)
    slope = fit.posterior["beta"].to_numpy().ravel()
    at_mean = fit.posterior["Intercept"].to_numpy().ravel()
    at_mean = at_mean + slope * normal.data["x"].mean()
    draws = np.column_stack([at_mean, slope])
    assert fit.approximation is not None
    assert fit.approximation.pareto_k < 0.7
    sd = np.sqrt(np.diag(covariance))
    effective = fit.approximation.effective
    assert (abs(draws.mean(axis=0) - mean) < 4 * sd / np.sqrt(effective)).all()
    assert (abs(draws.std(axis=0) / sd - 1) < 4 / np.sqrt(2 * effective)).all()
    correlation = covariance[0, 1] / sd.prod()
    assert abs(np.corrcoef(draws.T)[0, 1] - correlation) < 4 / np.sqrt(effective)


def test_the_mode_of_a_normal_posterior_is_its_mean(normal: sp.Model) -> None:
    fit = normal.fit(method="optimize", seed=1, engine="stanli", progress=False)
    mean, mode = exact(normal)[0], fit.summary()["mode"]
    np.testing.assert_allclose(mode["beta[x]"], mean[1], rtol=1e-5)
    at_mean = mode["Intercept"] + mode["beta[x]"] * normal.data["x"].mean()
    np.testing.assert_allclose(at_mean, mean[0], rtol=1e-5)
    assert fit.approximation is not None
    assert fit.approximation.effective > 3999  # all ratios are equal


@pytest.mark.parametrize("method", ["laplace", "pathfinder"])
def test_radon_is_as_by_nuts(
    fits: dict[str, sp.Fit], by_nuts: sp.Fit, method: str
) -> None:
    fit, expected = fits[method], by_nuts.summary()
    found = fit.summary()
    assert fit.approximation is not None
    assert fit.approximation.is_weighted
    assert list(found.index) == list(expected.index)
    worth = min(fit.approximation.effective, expected["ess_bulk"].min())
    error = np.sqrt(2 / worth)
    assert (abs(found["mean"] - expected["mean"]) < 5 * error * expected["sd"]).all()
    assert (abs(np.log(found["sd"] / expected["sd"])) < 5 * error).all()


def test_at_the_mode_integrated_coefficients_are_their_means(
    fits: dict[str, sp.Fit],
) -> None:
    fit = fits["optimize"]
    mode = fit.tree["mode"].to_dataset().isel(chain=0, draw=0)
    data, tau, sigma = fit.model.data, mode["tau_county"].item(), mode["sigma"].item()
    residual = data["log_radon"] - mode["beta"].item() * data["floor"]
    intercept = mode["Intercept"].item()
    residual = residual - intercept
    grouped = residual.groupby(data["county"])
    # Normal rows and a normal population: a mean that is shrunk.
    shrunk = grouped.sum() / (grouped.size() + (sigma / tau) ** 2)
    expected = intercept + shrunk[mode["county"].to_numpy()]
    found = mode["b_county"].sel(county_coefficient="Intercept")
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.usefixtures("blank_figures")
def test_they_are_named_in_tables_and_what_does_not_apply_is_said(
    fits: dict[str, sp.Fit], tmp_path: Path
) -> None:
    fit = fits["laplace"]
    assert "draws of a laplace approximation, Pareto k-hat" in repr(fit)
    table = fit.summary()
    assert table.columns.name == "approximate (laplace)"
    assert not {"r_hat", "ess_bulk", "mcse_mean"} & set(table.columns)
    diagnosis = fit.diagnose()
    assert diagnosis.ok
    levels = {each.check: each.level for each in diagnosis.checks}
    for check in ("r_hat", "divergences", "e_bfmi"):
        assert levels[check] == "n/a"
    assert levels["pareto_k"] == levels["log_density"] == "passed"
    assert "R-hat does not apply" in str(diagnosis)
    page = fit.report(tmp_path / "x.html", loo=False).read_text("utf-8")
    assert "These are not draws of Markov chains" in page
    assert "method=&#39;laplace&#39;, chains=1, draws=4000, seed=1" in page
    assert "Pareto k-hat" in fit._repr_html_()
    with pytest.raises(SpecError, match="draws of a laplace approximation"):
        plots.plot_energy(fit)


def test_predictions_and_comparisons_take_their_draws(
    fits: dict[str, sp.Fit], by_nuts: sp.Fit
) -> None:
    fit = fits["laplace"]
    found, expected = fit.epred(), by_nuts.epred()
    spread = expected.std(("chain", "draw"))
    difference = found.mean(("chain", "draw")) - expected.mean(("chain", "draw"))
    assert float(abs(difference / spread).max()) < 0.2
    assert abs(fit.loo().elpd - by_nuts.loo().elpd) < 1.0
    assert fit.to_arviz().posterior.sizes["chain"] == 1
    table = sp.compare_fits({"nuts": by_nuts, "laplace": fit}).table
    assert np.isnan(table.loc["laplace", "max_r_hat"])


def test_a_saved_approximation_is_one_when_it_is_read(
    fits: dict[str, sp.Fit], tmp_path: Path
) -> None:
    fits["optimize"].save(tmp_path / "x.fit")
    kept = sp.load(tmp_path / "x.fit")
    assert kept.approximation == fits["optimize"].approximation
    assert kept.summary().equals(fits["optimize"].summary())


def test_the_method_is_part_of_the_key_of_a_file(
    radon: sp.Model, tmp_path: Path
) -> None:
    file = tmp_path / "x.fit"
    how = {"seed": 1, "engine": "stanli", "progress": False, "file": file}
    first = radon.fit(method="laplace", **how)
    again = radon.fit(method="laplace", **how)
    assert again.seconds == first.seconds
    other = radon.fit(method="pathfinder", **how)
    assert other.settings.method == "pathfinder"
    assert sp.load(file).settings.method == "pathfinder"


def test_where_k_is_bad_the_diagnosis_says_so_and_what_to_do(
    eight_schools: sp.Model,
) -> None:
    fit = eight_schools.fit(
        method="pathfinder", seed=1, engine="stanli", progress=False
    )
    diagnosis = fit.diagnose()
    assert not diagnosis.ok
    problem = diagnosis.findings[0]
    assert problem.check == "pareto_k"
    assert problem.measured > problem.threshold == 0.7
    assert "cannot be trusted" in problem.sentence
    # Of eight schools, the scale can be 0: integrating them out would not help.
    assert [dict(each.arguments) for each in diagnosis.advice] == [{"method": "nuts"}]


def test_the_marginal_form_is_advised_where_it_helps(fits: dict[str, sp.Fit]) -> None:
    model = fits["laplace"].model.with_(parameterization="noncentered")
    fit = model.fit(method="laplace", seed=1, engine="stanli", progress=False)
    advice = fit.diagnose().advice
    assert dict(advice[1].arguments) == {"parameterization": "marginal"}
    better = fits["laplace"].approximation
    assert fit.approximation is not None
    assert better is not None
    assert better.pareto_k < better.limit < fit.approximation.pareto_k


def test_a_density_without_a_maximum_is_refused_with_what_to_do(
    eight_schools: sp.Model,
) -> None:
    with pytest.raises(
        SamplingError, match="no maximum that a normal distribution could approximate"
    ):
        eight_schools.fit(method="laplace", seed=1, engine="stanli", progress=False)


def test_what_means_nothing_without_chains_is_refused(radon: sp.Model) -> None:
    for name, value in {"warmup": 10, "adapt_delta": 0.9, "save_warmup": True}.items():
        with pytest.raises(SpecError, match=f"no Markov chains, so that {name}="):
            radon.fit(method="laplace", engine="stanli", **{name: value})
    with pytest.raises(SpecError, match="'pathfinder'"):
        radon.fit(method="pathfindr", engine="stanli")
    with pytest.raises(SpecError, match=r"stanli does not support .*history_size"):
        radon.fit(method="laplace", engine="stanli", sample_options={"history_size": 3})


@pytest.mark.compiled
@pytest.mark.parametrize("method", METHODS)
def test_cmdstan_finds_the_same(
    radon: sp.Model, fits: dict[str, sp.Fit], method: str, tmp_path: Path
) -> None:
    files = tmp_path / "csv"
    fit = radon.fit(
        method=method, seed=2, engine="cmdstan", progress=False, output_dir=files
    )
    assert fit.engine["name"] == "cmdstan"
    assert list(files.glob("*.csv"))
    found, expected = fit.summary(), fits[method].summary()
    ours, theirs = fit.approximation, fits[method].approximation
    assert ours is not None
    assert theirs is not None
    error = np.sqrt(2 / min(ours.effective, theirs.effective))
    assert (abs(found["mean"] - expected["mean"]) < 5 * error * expected["sd"]).all()
    if method == "optimize":
        scale = expected["sd"]
        assert (abs(found["mode"] - expected["mode"]) < 0.01 * scale).all()
