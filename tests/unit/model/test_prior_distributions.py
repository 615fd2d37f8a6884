"""The distributions of priors are SciPy's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats  # type: ignore[import-untyped]

from stanpool.model.priors.continuous import DISTRIBUTIONS

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
