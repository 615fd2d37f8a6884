"""R-hat and effective sample sizes: ArviZ and closed forms are the oracles."""

from __future__ import annotations

import warnings

import arviz as az
import numpy as np
import pytest
import xarray as xr
from scipy.stats import rankdata

from simulated_fits import autocorrelated
from stanpool.posterior import arviz
from stanpool.posterior.convergence import (
    STATISTICS,
    bfmi,
    describe,
    mean_ranks,
    mixing,
    moments,
)


def test_bfmi_equals_arviz():
    energy = np.random.default_rng(1).normal(size=(3, 500)).cumsum(axis=1)
    theirs = np.asarray(az.bfmi(energy), dtype=float)
    np.testing.assert_allclose(bfmi(energy), theirs)
    assert np.isnan(bfmi(np.ones((2, 9)))).all()


@pytest.mark.parametrize("draws", [4, 7, 25, 1000, 1001])
def test_blocks_equal_arviz(draws):
    rng = np.random.default_rng(draws)
    values = autocorrelated(rng, (4, draws, 150), np.linspace(-0.95, 0.995, 150))
    values[:, :, 3] = values[:, :, 3].round(1)  # ties
    values[:, :, 4] = np.repeat(values[:, :, 4], 3, axis=1)[:, :draws]  # rejections
    values[0, :, 5] += 3  # a chain elsewhere
    values[1, :, 6] *= 10  # a chain wider
    values[0, :, 7] = values[0, 0, 7]  # a chain that is stuck
    values[:, :, 8] = np.exp(20 * values[:, :, 8])  # all but a few beside each other
    ours = mixing(values)
    dataset = xr.Dataset({"x": (("chain", "draw", "scalar"), values)})
    theirs = (
        arviz.rhat,
        arviz.ess_bulk,
        arviz.ess_tail,
        arviz.mcse_mean,
    )
    for name, statistic in zip(STATISTICS, theirs, strict=True):
        expected = statistic(dataset)["x"].to_numpy()
        np.testing.assert_allclose(ours[name], expected, rtol=1e-11)


@pytest.mark.parametrize("shape", [(4, 1, 3), (1, 3, 3), (2, 8, 3), (3, 9, 70)])
def test_moments_and_quantiles_are_numpys(shape):
    values = np.random.default_rng(7).normal(5, 2, size=shape)
    values[-1, -1, 2] = np.nan
    levels = (0.1, 0.5, 0.95)
    expected = [values.mean((0, 1)), values.std((0, 1), ddof=1)]
    expected += [*np.quantile(values, levels, axis=(0, 1))]
    for found in (describe(values, levels), moments(values, levels)):
        ours = [found[name] for name in ("mean", "sd", *levels)]
        np.testing.assert_allclose(ours, expected, rtol=1e-13)
    values[0, 0, 1] = np.inf
    is_finite = describe(values)["finite"]
    np.testing.assert_array_equal(is_finite[:3], [1, 0, 0])
    assert is_finite[3:].all()


def test_few_and_many_scalars_give_the_same():
    values = np.random.default_rng(1).normal(size=(4, 100, 201))
    values[:, :, 0] = 1.0
    values[2, 7, 1] = np.nan
    values[2, 7, 2] = np.inf
    many = mixing(values)
    few = [mixing(values[:, :, :100]), mixing(values[:, :, 100:])]
    for name in STATISTICS:
        joined = np.concatenate([each[name] for each in few])
        np.testing.assert_allclose(many[name], joined, rtol=1e-9)
    assert np.isnan(many["r_hat"][:3]).all()
    assert np.isnan(many["ess_bulk"][1:3]).all()
    assert many["ess_bulk"][0] == 400


def test_effective_size_of_an_autoregression():
    rho, chains, draws, scalars = 0.6, 4, 2000, 300
    values = autocorrelated(
        np.random.default_rng(2), (chains, draws, scalars), np.full(scalars, rho)
    )
    ess = mixing(values)["ess_bulk"]
    # The mean of an AR(1) of length n has n (1 - rho) / (1 + rho) effective draws.
    expected = chains * draws * (1 - rho) / (1 + rho)
    error = ess.std(ddof=1) / np.sqrt(scalars)
    # The estimate is biased by what splitting and truncating leave out: under 2 %.
    assert abs(ess.mean() - expected) < 4 * error + 0.02 * expected


def test_error_of_the_mean_is_the_spread_of_means():
    scalars = 1000
    values = autocorrelated(
        np.random.default_rng(3), (2, 1000, scalars), np.full(scalars, 0.7)
    )
    mcse = mixing(values)["mcse_mean"]
    means = values.mean(axis=(0, 1))
    spread = means.std(ddof=1)
    assert abs(mcse.mean() - spread) < 4 * spread / np.sqrt(2 * scalars) + 0.02 * spread


def test_one_chain_is_compared_with_itself():
    rng = np.random.default_rng(4)
    steady = rng.normal(size=(1, 1000, 1))
    drifting = steady + np.linspace(0, 3, 1000)[None, :, None]
    assert mixing(steady)["r_hat"][0] < 1.01
    assert mixing(drifting)["r_hat"][0] > 1.3


@pytest.mark.parametrize(("chains", "draws"), [(4, 3), (1, 1)])
def test_too_few_draws_say_nothing(chains, draws):
    values = np.random.default_rng(5).normal(size=(chains, draws, 2))
    assert all(np.isnan(column).all() for column in mixing(values).values())


def test_no_scalars():
    assert all(len(column) == 0 for column in mixing(np.empty((4, 100, 0))).values())


def test_mean_ranks_equal_scipys():
    values = np.random.default_rng(6).integers(0, 20, size=(5, 101)).astype(float)
    np.testing.assert_array_equal(mean_ranks(values), rankdata(values, axis=1))


def test_warnings_stay_inside():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixing(np.zeros((1, 10, 3)))
        mixing(np.zeros((4, 10, 300)))
