"""Where divergences sit, against SciPy and under a simulated null."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom, mannwhitneyu

import stanpool as sp
from simulated_fits import autocorrelated, simulated_fit
from stanpool.inference.diagnostics.funnel import (
    group_mean,
    locate,
    measure_funnels,
    population_mean,
)


def bursts(rng, shape, length=20):
    """Mark one run of draws per chain."""
    diverging = np.zeros(shape, bool)
    for chain, start in enumerate(rng.integers(0, shape[1] - length, size=shape[0])):
        diverging[chain, start : start + length] = True
    return diverging


def test_auc_is_that_of_mann_whitney():
    rng = np.random.default_rng(1)
    values = rng.normal(size=(4, 200)).round(1)
    diverging = rng.random(values.shape) < 0.1
    inside, outside = values[diverging], values[~diverging]
    expected = mannwhitneyu(inside, outside).statistic / (len(inside) * len(outside))
    assert locate(values, diverging).auc == pytest.approx(expected, abs=1e-12)


def test_p_values_hold_under_autocorrelation_and_bursts():
    rng = np.random.default_rng(2)
    trials, shape = 400, (4, 500)
    rejected = naive = 0
    for _ in range(trials):
        values = autocorrelated(rng, (*shape, 1), np.array([0.95]))[..., 0]
        diverging = bursts(rng, shape)
        rejected += locate(values, diverging).p_value <= 0.05
        naive += mannwhitneyu(values[diverging], values[~diverging]).pvalue <= 0.05
    # Not above 5 %, but for chance in 1 of 10,000 runs of this test.
    assert rejected <= binom.ppf(0.9999, trials, 0.05)
    assert naive > 0.5 * trials


def test_a_burst_at_the_bottom_is_found():
    rng = np.random.default_rng(3)
    values = autocorrelated(rng, (4, 500, 1), np.array([0.9]))[..., 0]
    diverging = np.zeros(values.shape, bool)
    lowest = int(values[2].argmin())
    start = min(max(lowest - 4, 0), 491)
    diverging[2, start : start + 8] = True
    values[diverging] -= 2
    where = locate(values, diverging)
    assert where.is_low
    assert not where.is_high
    assert where.divergent < where.other


def test_divergences_at_the_top_are_high_not_low():
    values = np.random.default_rng(4).normal(size=(4, 500))
    where = locate(values, values > 2)
    assert where.auc == 1.0
    assert where.is_high
    assert not where.is_low


@pytest.mark.parametrize("information", [0.1, 0.5, 0.9])
def test_information_is_one_minus_the_variance_of_standardized_coefficients(
    information,
):
    fit = simulated_fit(information=information)
    diverging = fit.sample_stats["diverging"].to_numpy()
    (funnel,) = measure_funnels(fit.posterior, diverging, design=fit.model.design)
    draws = diverging.size
    # Standard error of a variance of independent normal draws.
    error = (1 - information) * np.sqrt(2 / draws)
    assert np.abs(funnel.information - information).max() < 5 * error
    assert funnel.location is None


def test_population_mean_is_zero_where_there_is_none():
    posterior = simulated_fit().posterior
    assert population_mean(posterior, "floor").shape == (4, 500)
    assert not population_mean(posterior, "floor").any()
    np.testing.assert_array_equal(
        population_mean(posterior, "Intercept"), posterior["Intercept"]
    )


def test_second_factor_varies_around_zero_and_group_predictors_move_the_mean():
    rng = np.random.default_rng(1)
    a, b = np.repeat(np.arange(4), 6), np.tile(np.arange(3), 8)
    frame = {"y": rng.normal(size=24), "u": np.array([0, 1, 5, 7])[a], "a": a, "b": b}
    model = sp.Model("y ~ 1 + u + (1 | a) + (1 | b)", frame)
    first, second = model.design.factors
    shape = (2, 10)
    mu, beta = rng.normal(size=shape), rng.normal(size=(*shape, 1))
    posterior = xr.Dataset(
        {
            "Intercept": (("chain", "draw"), mu),
            "beta": (("chain", "draw", "coefficient"), beta),
        },
        {"coefficient": ["u"]},
    )
    mean = group_mean(posterior, model.design, first, "Intercept")
    np.testing.assert_allclose(mean, mu[..., None] + beta * np.array([0, 1, 5, 7]))
    assert not group_mean(posterior, model.design, second, "Intercept").any()
