"""Families in numbers, against SciPy's distributions and sums over all outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from stanpool.errors import SpecError
from stanpool.families import LINKS, family_functions

ETA = np.array([-2.5, -0.3, 0.0, 0.7, 1.9])
DRAWS = 40_000

BINARY_LINKS = ("logit", "probit", "cloglog")
PROBABILITY = {
    "logit": stats.logistic.cdf,
    "probit": stats.norm.cdf,
    # the minimum of many, Gumbel
    "cloglog": stats.gumbel_l.cdf,
}


def _frozen(family: str, link: str) -> tuple[Any, dict[str, Any]]:
    """Return SciPy's distribution at ``ETA``, and the family's parameters."""
    if family == "gaussian":
        return stats.norm(ETA, 1.3), {"sigma": 1.3}
    if family == "poisson":
        return stats.poisson(np.exp(ETA)), {}
    p = PROBABILITY[link](ETA)
    if family == "bernoulli":
        return stats.bernoulli(p), {}
    if family == "binomial":
        return stats.binom(7, p), {"trials": np.array(7)}
    raise AssertionError(family)


CASES = [
    ("gaussian", "identity"),
    ("poisson", "log"),
    ("bernoulli", "logit"),
    ("binomial", "logit"),
]


@pytest.mark.parametrize(("family", "link"), CASES)
def test_log_density_is_scipys(family: str, link: str) -> None:
    distribution, parameters = _frozen(family, link)
    y = distribution.rvs((300, ETA.size), random_state=3)
    expected = getattr(distribution, "logpdf", None) or distribution.logpmf
    found = family_functions(family, link).log_density(y, ETA, **parameters)
    np.testing.assert_allclose(found, expected(y), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("family", "link"), CASES)
def test_mean_is_scipys(family: str, link: str) -> None:
    distribution, parameters = _frozen(family, link)
    found = family_functions(family, link).mean(ETA, **parameters)
    np.testing.assert_allclose(found, distribution.mean(), rtol=1e-12)


@pytest.mark.parametrize(("family", "link"), CASES)
def test_draws_have_scipys_distribution(family: str, link: str) -> None:
    distribution, parameters = _frozen(family, link)
    eta = np.broadcast_to(ETA, (DRAWS, ETA.size))
    y = family_functions(family, link).draw(np.random.default_rng(8), eta, **parameters)
    assert y.shape == eta.shape
    for power in (1, 2):
        moment = (y.astype(float) ** power).mean(axis=0)
        error = (y.astype(float) ** power).std(axis=0) / np.sqrt(DRAWS)
        expected = distribution.mean() if power == 1 else distribution.moment(2)
        assert np.all(np.abs(moment - expected) < 4.5 * error + 1e-12)


def test_parameters_broadcast_over_draws_and_rows() -> None:
    eta = np.zeros((6, 4))
    sigma = np.full((6, 1), 2.0)
    y = np.arange(4.0)
    functions = family_functions("gaussian")
    assert functions.log_density(y, eta, sigma=sigma).shape == (6, 4)
    assert functions.mean(eta, sigma=sigma).shape == (6, 4)
    assert functions.draw(np.random.default_rng(1), eta, sigma=sigma).shape == (6, 4)


def test_known_standard_errors_join_the_residual_scale() -> None:
    functions = family_functions("gaussian")
    known = functions.log_density(1.0, 0.0, se=2.0)
    both = functions.log_density(1.0, 0.0, se=1.2, sigma=1.6)
    assert known == pytest.approx(stats.norm(0, 2).logpdf(1))
    assert both == pytest.approx(known)


@pytest.mark.parametrize("link", LINKS)
def test_inverse_undoes_the_link(link: str) -> None:
    functions = LINKS[link]
    mu = functions.inverse(ETA)
    np.testing.assert_allclose(functions.apply(mu), ETA, rtol=1e-12, atol=1e-12)
    if link != "identity":
        np.testing.assert_allclose(functions.log_inverse(ETA), np.log(mu), rtol=1e-12)
    if functions.log_complement is not None:
        complement = functions.log_complement(ETA)
        np.testing.assert_allclose(complement, np.log1p(-mu), rtol=1e-12)


@pytest.mark.parametrize("link", BINARY_LINKS)
def test_far_tails_stay_finite(link: str) -> None:
    functions = LINKS[link]
    assert functions.log_complement is not None
    assert np.isfinite(functions.log_inverse(np.array(-30.0)))
    assert np.isfinite(functions.log_complement(np.array(6.0)))
    assert functions.log_inverse(np.array(60.0)) == pytest.approx(0.0, abs=1e-20)
    # log(mu) is eta itself where mu = exp(eta), nearly
    if link != "probit":
        assert functions.log_inverse(np.array(-30.0)) == pytest.approx(-30.0)
    else:
        assert functions.log_inverse(-30.0) == pytest.approx(special.log_ndtr(-30.0))


def test_unknown_families_and_links_are_named() -> None:
    with pytest.raises(SpecError, match=r"'posson' is not one of .* mean 'poisson'"):
        family_functions("posson")
    with pytest.raises(SpecError, match=r"'sqrt' is not a link of 'poisson'.*'log'"):
        family_functions("poisson", "sqrt")
