"""The distributions of priors are SciPy's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats  # type: ignore[import-untyped]

import stanpool as sp
from stanpool.model.priors.continuous import DISTRIBUTIONS
from stanpool.model.priors.distributions import (
    draw_from_prior,
    prior_below,
    prior_density,
)
from stanpool.model.priors.in_force import PriorRow

ENDS = np.array([-2.0, 0.0, 0.013, 0.4, 0.9, 1.0, 3.0, 40.0])
TAILS = np.array([1e-300, 1e-12, 0.02, 0.5, 0.97])


@pytest.mark.parametrize(
    ("stated", "scipys"),
    [
        ("normal(0.3, 2)", stats.norm(0.3, 2)),
        ("student_t(3, 0.3, 2)", stats.t(3, 0.3, 2)),
        ("student_t(7.5, 0, 1)", stats.t(7.5)),
        ("cauchy(0.3, 2)", stats.cauchy(0.3, 2)),
        ("exponential(2)", stats.expon(scale=0.5)),
        ("gamma(2.5, 3)", stats.gamma(2.5, scale=1 / 3)),
        ("gamma(1, 3)", stats.gamma(1, scale=1 / 3)),
        ("inv_gamma(2.5, 3)", stats.invgamma(2.5, scale=3)),
        ("sqrt_inv_gamma(2.5, 3)", stats.gengamma(2.5, -2, scale=3**0.5)),
        ("uniform(-0.5, 2)", stats.uniform(-0.5, 2.5)),
        ("beta(2.5, 0.8)", stats.beta(2.5, 0.8)),
        ("lognormal(0.3, 0.8)", stats.lognorm(0.8, scale=np.exp(0.3))),
    ],
)
def test_prior_distributions_are_scipys(
    stated: str, scipys: stats.distributions.rv_frozen
) -> None:
    name, _, numbers = stated.rstrip(")").partition("(")
    ours = DISTRIBUTIONS[name](*map(float, numbers.split(",")))
    with np.errstate(all="ignore"):
        expected = scipys.logpdf(ENDS)
    # The densities at the ends of a support may be infinite, or any number.
    inner = np.isfinite(expected)
    assert_allclose(ours.log_density(ENDS)[inner], expected[inner], rtol=1e-10)
    assert (ours.log_density(ENDS)[expected == -np.inf] == -np.inf).all()
    assert_allclose(ours.above(ENDS), scipys.sf(ENDS), rtol=1e-9)
    assert_allclose(ours.end_of(TAILS), scipys.isf(TAILS), rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "stated", "whole", "ends"),
    [
        ("beta", "normal(0.3, 2, lb=0)", stats.norm(0.3, 2), (0.0, np.inf)),
        ("beta", "normal(0.3, 2, ub=-1)", stats.norm(0.3, 2), (-np.inf, -1.0)),
        ("beta", "student_t(3, 0, 1, lb=-1, ub=4)", stats.t(3), (-1.0, 4.0)),
        ("sigma", "half_normal(2, ub=1.5)", stats.norm(0, 2), (0.0, 1.5)),
        ("sigma", "gamma(2, 1, lb=0.5)", stats.gamma(2), (0.5, np.inf)),
        ("nu", "gamma(2, 0.1, ub=30)", stats.gamma(2, scale=10), (1.0, 30.0)),
    ],
)
def test_priors_are_cut_off_at_their_bounds(
    name: str,
    stated: str,
    whole: stats.distributions.rv_frozen,
    ends: tuple[float, float],
) -> None:
    """The density is that of the whole over the probability between the bounds."""
    row = PriorRow(name, name, None, sp.Prior.parse(stated), "")
    at = np.array([-3.0, -1.2, -0.2, 0.4, 0.9, 1.3, 2.0, 40.0])
    inside = (at >= ends[0]) & (at <= ends[1])
    mass = whole.cdf(ends[1]) - whole.cdf(ends[0])
    assert_allclose(prior_density(row, at), inside * whole.pdf(at) / mass)
    below = (whole.cdf(at) - whole.cdf(ends[0])) / mass
    assert_allclose(prior_below(row, at)[inside], below[inside], rtol=1e-9)
    drawn = draw_from_prior(row, (2000,), np.random.default_rng(1))
    assert ((drawn >= ends[0]) & (drawn <= ends[1])).all()
    ranks = (whole.cdf(drawn) - whole.cdf(ends[0])) / mass
    assert stats.kstest(ranks, "uniform").pvalue > 0.01


def test_bounds_far_from_a_prior_are_refused_where_it_is_drawn_from() -> None:
    row = PriorRow("beta[x]", "beta", "x", sp.Prior.parse("normal(0, 1, ub=-9)"), "")
    with pytest.raises(sp.SpecError, match="next to no probability"):
        draw_from_prior(row, (3,), np.random.default_rng(1))


def test_constants_are_drawn_as_they_are() -> None:
    row = PriorRow("beta[x]", "beta", "x", sp.Prior.parse("constant(0.5)"), "")
    assert (draw_from_prior(row, (3, 2), np.random.default_rng(1)) == 0.5).all()
