"""Pareto smoothed importance sampling: ArviZ and quantiles are the oracles."""

from __future__ import annotations

import warnings
from importlib.metadata import version

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import genpareto

from stanpool.posterior.importance import fit_generalized_pareto, psis

_IS_OLD = version("arviz").startswith("0.")
_DRAWS = 2500  # with 150 or 300 of them in the tail, by the rules of both ArviZ


def _by_arviz(log_lik, relative_ess):
    """Smooth one unit by the ArviZ that is installed."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if _IS_OLD:
            import arviz

            return arviz.psislw(-log_lik, reff=relative_ess)
        from arviz_stats.base import array_stats

        return array_stats.psislw(log_lik, r_eff=relative_ess)


def _units():
    rng = np.random.default_rng(1)
    heavy = -(rng.standard_cauchy(_DRAWS) ** 2)
    one_huge = rng.normal(-1, 0.1, _DRAWS)
    one_huge[7] = -600.0
    weightless = rng.normal(-1, 0.3, _DRAWS)
    weightless[:5] = np.inf
    units = {
        "normal": rng.normal(-1, 0.3, _DRAWS),
        "wide": rng.normal(-1, 10, _DRAWS),
        "nearly constant": 1e-9 * rng.normal(size=_DRAWS),
        "exponential": -rng.exponential(size=_DRAWS),
        "bounded": rng.uniform(size=_DRAWS),
        "heavy": heavy,
        "one huge ratio": one_huge,
        "some without weight": weightless,
        "far away": rng.normal(-5000, 300, _DRAWS),
    }
    if _IS_OLD:  # ArviZ 1 takes as many of equal ratios as make a tail of full length
        units["ties"] = rng.normal(size=_DRAWS).round(1)
        short = np.zeros(_DRAWS)
        short[:40] = -rng.exponential(size=40)
        units["short tail"] = short
    return units


@pytest.mark.parametrize("relative_ess", [1.0, 0.25])
def test_units_of_all_kinds_are_smoothed_as_by_arviz(relative_ess):
    units = _units()
    found = psis(np.array([*units.values()]), relative_ess=relative_ess)
    for place, (name, log_lik) in enumerate(units.items()):
        log_weights, k = _by_arviz(log_lik, relative_ess)
        about = {"rel": 1e-10, "abs": 1e-10}
        assert found.pareto_k[place] == pytest.approx(float(k), **about), name
        weights = np.exp(log_weights)
        np.testing.assert_allclose(
            found.weights[place], weights, rtol=1e-9, atol=1e-300, err_msg=name
        )
        if np.isposinf(log_lik).any():
            continue
        elpd, seen = logsumexp(log_lik + log_weights), logsumexp(log_lik)
        assert found.elpd[place] == pytest.approx(elpd, **about), name
        assert found.seen[place] == pytest.approx(seen - np.log(_DRAWS), **about), name


def test_units_do_not_depend_on_those_beside_them():
    log_lik = np.array([*_units().values()])
    together = psis(np.repeat(log_lik, 20, axis=0), relative_ess=0.9)
    for place, each in enumerate(log_lik):
        alone, here = psis(each[None], relative_ess=0.9), 20 * place + 3
        np.testing.assert_allclose(together.weights[here], alone.weights[0], rtol=1e-12)
        assert together.pareto_k[here] == pytest.approx(alone.pareto_k[0], rel=1e-12)
        assert together.elpd[here] == pytest.approx(alone.elpd[0], rel=1e-12)


def test_units_without_a_tail_have_plain_weights():
    log_lik = np.random.default_rng(1).normal(size=(4, 400))
    log_lik[1] = -2.5  # constant
    log_lik[2, 7] = -np.inf
    log_lik[3, [3, 5]] = np.nan
    found = psis(log_lik, relative_ess=1.0)
    np.testing.assert_allclose(found.weights[1], 1 / 400)
    np.testing.assert_allclose([found.elpd[1], found.seen[1]], -2.5)
    np.testing.assert_array_equal(found.pareto_k[1:], [-np.inf, np.inf, np.inf])
    assert found.weights[2, 7] == 1
    assert found.elpd[2] == -np.inf
    np.testing.assert_allclose(found.weights[3, [3, 5]], 0.5)
    few = psis(log_lik[[0], :3], relative_ess=1.0)
    np.testing.assert_allclose(few.weights[0], softmax(-log_lik[0, :3]))
    assert few.pareto_k[0] == np.inf


@pytest.mark.parametrize("shape", [-0.3, 0.2, 0.7])
def test_shapes_and_scales_are_those_that_values_were_drawn_from(shape):
    fits, size = 400, 1000
    values = genpareto.rvs(shape, scale=2.0, size=(fits, size), random_state=1)
    k, sigma = fit_generalized_pareto(np.sort(values, axis=1))
    # The prior is worth ten values at one half.
    expected = (size * shape + 10 * 0.5) / (size + 10)
    assert abs(k.mean() - expected) < 4 * k.std() / fits**0.5 + 0.003
    assert abs(sigma.mean() - 2.0) < 4 * sigma.std() / fits**0.5 + 0.01
