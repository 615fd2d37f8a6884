"""Cross-validation on real fits, against ArviZ and against refits by brute force."""

from __future__ import annotations

import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.special import softmax

import stanpool as sp
from stanpool.engine.cmdstan import compile
from stanpool.inference.evaluation.cross_validation import CrossValidation
from stanpool.inference.evaluation.loo import with_refits
from stanpool.inference.prediction.integrated import group_likelihood
from stanpool.inference.prediction.integrated.group_likelihood import (
    group_log_likelihood,
)
from stanpool.posterior.arviz import mcse_mean, to_arviz
from stanpool.posterior.importance import psis
from statistical.monte_carlo import STANDARD_ERRORS

# Set, not scaled from the data, and about zero: so that a model of some rows, stated
# anew, is the same model.
PRIORS = {
    "Intercept": "normal(50, 20)",
    "beta": "normal(0, 10)",
    "tau": "exponential(0.2)",
    "Omega": "lkj(2)",
    "sigma": "exponential(0.1)",
}
FITTING: dict[str, Any] = {"draws": 500, "warmup": 500, "progress": False}


def homework(data: pd.DataFrame, **options: Any) -> sp.Model:
    return sp.Model(
        "math ~ homework + (1 + homework | schid)",
        data,
        parameterization="marginal",
        priors=PRIORS,
        center_predictors=False,
        **options,
    )


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return sp.load_dataset("schools_homework")


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame) -> sp.Fit:
    return homework(data).fit(**FITTING, seed=11)


@pytest.fixture(scope="module")
def by_school(fit: sp.Fit) -> CrossValidation:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile, "_build", refuse_to_compile)
        return fit.kfold(folds=10, unit="group", progress=False)


def refuse_to_compile(*_: object) -> None:
    raise AssertionError("a refit compiles nothing")


def flat(variable: xr.DataArray) -> np.ndarray:
    return variable.stack(s=("chain", "draw")).transpose("s", ...).to_numpy()


def linear_predictor(fit: sp.Fit, rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return means and residual scales by hand, shape ``(chain, draw, row)``."""
    posterior = fit.posterior
    b = posterior["b_schid"].sel(schid=xr.DataArray(rows["schid"].to_numpy(), dims="n"))
    x = xr.DataArray(rows["homework"].to_numpy(float), dims="n")
    eta = b.sel(schid_coefficient="Intercept") + x * b.sel(schid_coefficient="homework")
    sigma = posterior["sigma"].to_numpy()[..., None]
    return eta.transpose("chain", "draw", "n").to_numpy(), sigma


def test_loo_is_arvizs_of_a_log_likelihood_by_hand(
    fit: sp.Fit, data: pd.DataFrame
) -> None:
    import arviz

    eta, sigma = linear_predictor(fit, data)
    log_lik = stats.norm.logpdf(data["math"], eta, sigma)
    tree = fit.tree.copy()
    tree["log_likelihood"] = xr.Dataset({"y": (("chain", "draw", "n"), log_lik)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = arviz.loo(to_arviz(tree), pointwise=True, var_name="y")
    ours = fit.loo()
    old = hasattr(theirs, "loo_i")
    elpd_i = np.asarray(theirs.loo_i if old else theirs.elpd_i)
    # our predictors are sums of deviations from the mean: the last digits differ
    np.testing.assert_allclose(ours.units["elpd"], elpd_i, rtol=1e-7)
    np.testing.assert_allclose(
        ours.units["pareto_k"], np.asarray(theirs.pareto_k), atol=1e-6
    )
    assert ours.elpd == pytest.approx(theirs.elpd_loo if old else theirs.elpd)
    assert ours.p == pytest.approx(theirs.p_loo if old else theirs.p)


def brute_force(data: pd.DataFrame, school: int) -> tuple[float, float]:
    """Fit without a school; return its log density, by matrices, and the error."""
    refit = homework(data[data["schid"] != school]).fit(**FITTING, seed=school)
    posterior, own = refit.posterior, data[data["schid"] == school]
    x = own["homework"].to_numpy(float)
    Z = np.column_stack([np.ones(len(own)), x])
    mean = flat(posterior["Intercept"])[:, None] + flat(posterior["beta"]) * x
    tau, omega = flat(posterior["tau_schid"]), flat(posterior["Omega_schid"])
    scales = tau[:, :, None] * omega * tau[:, None, :]
    covariance = Z @ scales @ Z.T
    covariance += flat(posterior["sigma"])[:, None, None] ** 2 * np.eye(len(own))
    residual = own["math"].to_numpy() - mean
    square = residual[:, None] @ np.linalg.solve(covariance, residual[..., None])
    log_det = np.linalg.slogdet(2 * np.pi * covariance)[1]
    return log_mean(-0.5 * (log_det + square.ravel()), refit)


def log_mean(values: np.ndarray, fit: sp.Fit) -> tuple[float, float]:
    """Average densities over draws, on the log scale, with the standard error."""
    top = values.max()
    density = np.exp(values - top)
    by_chain = xr.Dataset(
        {"it": (("chain", "draw"), density.reshape(fit.settings.chains, -1))}
    )
    error = float(mcse_mean(by_chain)["it"]) / density.mean()
    return top + np.log(density.mean()), error


def error_of_importance_sampling(fit: sp.Fit, group: int) -> float:
    """Standard error of a group's elpd, by the delta method."""
    values = group_log_likelihood(fit, groups=np.array([group])).T
    weights = psis(values, relative_ess=1.0).weights
    weighted = softmax(values + np.log(weights))
    return float(np.sqrt(np.square(weighted - weights).sum()))


@pytest.mark.slow
def test_leaving_schools_out_is_what_refits_by_brute_force_say(
    fit: sp.Fit, data: pd.DataFrame, by_school: CrossValidation
) -> None:
    loo = fit.loo(unit="group")
    assert list(loo.units.index) == sorted(data["schid"].unique())
    for number, school in enumerate(loo.units.index):
        exact, error = brute_force(data, school)
        refitted = by_school.units["elpd"][school]
        # Two runs of Monte Carlo, each with its error.
        assert abs(refitted - exact) < STANDARD_ERRORS * 2**0.5 * error, school
        if school in loo.unreliable:
            continue
        sampled = error_of_importance_sampling(fit, number)
        gap = abs(loo.units["elpd"][school] - exact)
        assert gap < STANDARD_ERRORS * np.hypot(sampled, error), school
    assert len(loo.unreliable) <= 2
    # Schools differ: one that was not seen is harder to predict than a pupil of one.
    assert loo.rmse > 1.3 * fit.loo().rmse


def test_rows_of_schools_left_out_are_predicted_as_by_refits(
    fit: sp.Fit, data: pd.DataFrame, by_school: CrossValidation
) -> None:
    loo, index = fit.loo(unit="group"), fit.model.design.group_index
    weights = psis(group_log_likelihood(fit).T, relative_ess=1.0).weights
    sizes = 1 / np.square(weights).sum(axis=1)
    # A new school's pupils scatter about the mean by the population's scales.
    z = np.column_stack([np.ones(len(data)), data["homework"]])
    tau, omega = flat(fit.posterior["tau_schid"]), flat(fit.posterior["Omega_schid"])
    scales = (tau[:, :, None] * omega * tau[:, None, :]).mean(axis=0)
    spread = np.sqrt(np.einsum("np,pq,nq->n", z, scales, z))
    error = spread * np.sqrt(1 / sizes[index] + 1 / 2000)
    gap = np.abs(loo.rows["predicted"] - by_school.rows["predicted"])
    reliable = ~np.isin(loo.units.index.to_numpy()[index], loo.unreliable)
    assert reliable.mean() > 0.6
    assert (gap < STANDARD_ERRORS * error)[reliable].all()


def test_units_that_importance_sampling_cannot_leave_out_are_refitted(
    fit: sp.Fit, data: pd.DataFrame
) -> None:
    loo = fit.loo(unit="group")
    worst = loo.units["pareto_k"].idxmax()
    limit = float(loo.units["pareto_k"].max()) - 1e-9
    strict = replace(loo, good_k=limit)
    exact = with_refits(
        fit, strict, group_likelihood.grouping(fit.model), executor=None, progress=False
    )
    assert strict.unreliable == (worst,)
    assert exact.unreliable == ()
    assert len(exact.refits) == 1
    changed = exact.units["elpd"] != loo.units["elpd"]
    assert list(loo.units.index[changed]) == [worst]
    by_hand, error = brute_force(data, worst)
    gap = abs(exact.units["elpd"][worst] - by_hand)
    assert gap < STANDARD_ERRORS * 2**0.5 * error
    whole = loo.units[["elpd", "p"]].sum(axis=1)
    assert exact.units[["elpd", "p"]].sum(axis=1)[worst] == pytest.approx(whole[worst])


def test_folds_of_rows_are_left_out_of_refits_and_alike_on_processes(
    fit: sp.Fit, data: pd.DataFrame
) -> None:
    here = fit.kfold(folds=3, progress=False)
    assert here.coverage() == pytest.approx(0.9, abs=0.06)
    assert (here.refits["r_hat"] < 1.05).all()
    left_out = here.units["fold"].to_numpy() == 0
    refit = homework(data[~left_out]).fit(**FITTING, seed=5)
    eta, sigma = linear_predictor(refit, data[left_out])
    rows = stats.norm.logpdf(data["math"][left_out], eta, sigma)
    for row, values in zip(
        np.flatnonzero(left_out), np.moveaxis(rows, -1, 0), strict=True
    ):
        exact, error = log_mean(values, refit)
        gap = abs(here.units["elpd"][row] - exact)
        assert gap < STANDARD_ERRORS * 2**0.5 * error, row
    expected = eta.mean(axis=(0, 1))
    error = eta.std(axis=(0, 1)) / 10
    assert (np.abs(here.rows["predicted"][left_out] - expected) < error).all()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        there = fit.kfold(folds=3, executor=executor, progress=False)
    pd.testing.assert_frame_equal(there.units, here.units)
    pd.testing.assert_frame_equal(there.rows, here.rows)


def test_refits_of_one_chain_have_the_r_hat_of_its_halves(data: pd.DataFrame) -> None:
    """As fits have it, and without a word from ArviZ, which wants two chains."""
    model = sp.Model("math ~ homework", data, pooling="complete")
    fit = model.fit(chains=1, draws=200, warmup=200, seed=1, progress=False)
    r_hat = fit.kfold(folds=2, progress=False).refits["r_hat"]
    assert ((r_hat > 0.99) & (r_hat < 1.1)).all()


def test_comparing_poolings_says_what_the_data_prefer(data: pd.DataFrame) -> None:
    poolings = sp.compare_pooling(homework(data), seed=4, **FITTING)
    table = poolings.table
    assert list(table.index) == ["complete", "none", "indicator", "partial"]
    # Least squares of all pupils, by Kreft and de Leeuw's own data: see SOURCE.md.
    slope = poolings.estimates.loc["beta[homework]", "complete"]
    assert slope["mean"] == pytest.approx(3.5719, abs=0.25 * 0.3882)
    # Schools have slopes of their own, up and down: common ones predict worse.
    by_rows = table["rows", "elpd"]
    assert by_rows["partial"] > by_rows["indicator"] + 30 > by_rows["complete"] + 60
    errors = table["rows", "rmse"]
    assert errors["partial"] < 0.9 * errors["indicator"] < 0.9 * errors["complete"]
    assert "New groups: The data prefer partial over complete" in poolings.verdict
    assert "No pooling (none and indicator) cannot predict" in poolings.verdict
    # Complete pooling is least squares: so is leaving a row out of it.
    x = np.column_stack([np.ones(len(data)), data["homework"]])
    hat = np.einsum("ij,ji->i", x, np.linalg.pinv(x))
    residual = data["math"] - x @ np.linalg.lstsq(x, data["math"], rcond=None)[0]
    exact = float(np.sqrt(np.mean((residual / (1 - hat)) ** 2)))
    assert errors["complete"] == pytest.approx(exact, rel=0.002)


def test_new_groups_are_covered_at_the_nominal_rate() -> None:
    """Groups whose coefficients were drawn from a population, each left out."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(80), 6)
    x = rng.normal(size=len(group))
    own = rng.multivariate_normal([50, 3], [[36, 6], [6, 9]], size=80)
    y = own[group, 0] + own[group, 1] * x + rng.normal(0, 5, size=len(group))
    simulated = pd.DataFrame({"math": y, "homework": x, "schid": group})
    result = homework(simulated).fit(**FITTING, seed=8).loo(unit="group")
    assert result.unreliable == ()
    for prob in (0.5, 0.9):
        inside = np.abs(result.rows["pit"] - 0.5) <= prob / 2
        by_group = inside.groupby(group).mean()  # rows of a group hang together
        error = by_group.std() / 80**0.5
        assert abs(by_group.mean() - prob) < 4 * error, prob
        assert by_group.mean() == pytest.approx(result.coverage(prob))


def test_leaving_counties_out_is_what_refits_by_brute_force_say() -> None:
    """The largest counties of the radon data, and some at random."""
    radon = sp.load_dataset("radon")
    priors = {name: PRIORS[name] for name in ("tau", "sigma")}
    priors |= {"Intercept": "normal(0, 10)", "beta": "normal(0, 10)"}

    def fitted(rows: pd.DataFrame) -> sp.Fit:
        return sp.Model(
            "log_radon ~ floor + (1 | county)",
            rows,
            parameterization="marginal",
            priors=priors,
            center_predictors=False,
        ).fit(seed=3, progress=False)

    fit = fitted(radon)
    loo = fit.loo(unit="group")
    assert loo.unreliable == ()
    largest = radon["county"].value_counts().index[:4]
    others = np.random.default_rng(1).choice(np.setdiff1d(loo.units.index, largest), 6)
    for county in [*largest, *others]:
        own = radon[radon["county"] == county]
        posterior = (refit := fitted(radon[radon["county"] != county])).posterior
        mean = flat(posterior["Intercept"])[:, None]
        mean = mean + flat(posterior["beta"]) * own["floor"].to_numpy(float)
        sigma, tau = flat(posterior["sigma"]), flat(posterior["tau_county"])[:, 0]
        residual, n = own["log_radon"].to_numpy() - mean, len(own)
        # An equicorrelated normal: its eigenvalues are those of sum and contrasts.
        of_sum = sigma**2 + n * tau**2
        total = residual.sum(axis=1) ** 2 / n
        square = total / of_sum + (np.square(residual).sum(axis=1) - total) / sigma**2
        log_det = np.log(of_sum) + (n - 1) * np.log(sigma**2) + n * np.log(2 * np.pi)
        exact, error = log_mean(-0.5 * (log_det + square), refit)
        number = list(loo.units.index).index(county)
        sampled = error_of_importance_sampling(fit, number)
        gap = abs(loo.units["elpd"][county] - exact)
        assert gap < STANDARD_ERRORS * np.hypot(sampled, error), county
