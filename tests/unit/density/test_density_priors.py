"""Log densities of priors, against SciPy's and against simulations by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from stanpool.density.priors import log_induced_dirichlet, log_lkj, log_priors
from stanpool.language.prior import DISTRIBUTIONS, Prior

SCIPY = {
    "normal(0.3, 2)": stats.norm(0.3, 2),
    "student_t(4, -1, 2)": stats.t(4, -1, 2),
    "cauchy(0.5, 3)": stats.cauchy(0.5, 3),
    "exponential(0.7)": stats.expon(scale=1 / 0.7),
    "gamma(2.5, 0.4)": stats.gamma(2.5, scale=1 / 0.4),
    "inv_gamma(3, 2)": stats.invgamma(3, scale=2),
    # x^-2 is a gamma variable.
    "sqrt_inv_gamma(3, 2)": stats.gengamma(3, -2, scale=np.sqrt(2)),
    "lognormal(0.2, 0.9)": stats.lognorm(0.9, scale=np.exp(0.2)),
    "half_normal(2)": stats.halfnorm(scale=2),
    "half_student_t(3, 2)": stats.t(3, 0, 2),
    "half_cauchy(2)": stats.halfcauchy(scale=2),
    "uniform(0, 5)": stats.uniform(0, 5),
    "beta(2, 3)": stats.beta(2, 3),
    "flat": stats.uniform(-1e9, 2e9),
}
POINTS = np.array([0.1, 0.4, 0.77, 0.95])


@pytest.mark.parametrize(("text", "known"), SCIPY.items(), ids=list(SCIPY))
def test_densities_are_scipys_up_to_a_constant(text: str, known: object) -> None:
    log_density = log_priors([Prior.parse(text)])
    found = log_density(POINTS[:, None])[:, 0]
    gaps = found - known.logpdf(POINTS)  # type: ignore[attr-defined]
    assert np.ptp(gaps) < 1e-12


def test_every_distribution_is_there() -> None:
    tried = {Prior.parse(text).distribution for text in SCIPY}
    assert tried == {*DISTRIBUTIONS} - {"lkj", "dirichlet", "constant", "horseshoe"}


def test_outside_of_bounds_there_is_no_density() -> None:
    assert log_priors([Prior.parse("uniform(0, 5)")])(np.array([[6.0]])) == -np.inf


def test_members_have_each_their_own_prior() -> None:
    texts = ["normal(0, 1)", "exponential(2)", "normal(5, 3)"]
    x = np.array([[0.3, 0.4, 0.5], [1.0, 2.0, 3.0]])
    together = log_priors(map(Prior.parse, texts))(x)
    for place, text in enumerate(texts):
        alone = log_priors([Prior.parse(text)])(x[:, [place]])
        np.testing.assert_array_equal(together[:, [place]], alone)


def test_correlations_of_two_are_a_beta_under_lkj() -> None:
    """(rho + 1) / 2 ~ beta(shape, shape), and rho is the factor's element."""
    gaps = []
    for rho in (-0.7, 0.1, 0.9):
        L = np.array([[1.0, 0.0], [rho, np.sqrt(1 - rho**2)]])
        known = stats.beta.logpdf((rho + 1) / 2, 2.5, 2.5)
        gaps.append(log_lkj(2.5, L) - known)
    assert np.ptp(gaps) < 1e-12


def test_a_correlation_of_three_is_a_beta_under_lkj() -> None:
    """One correlation of K is 2 beta(a, a) - 1, a = shape + (K - 2) / 2 (Lewandowski et
    al. 2009): integrated over the others by a grid."""
    shape, grid = 1.5, np.linspace(-1, 1, 801)[1:-1]
    gaps = []
    for rho in (-0.6, 0.0, 0.4):
        a, b = np.meshgrid(grid, grid)  # the elements of the third row
        inside = a**2 + b**2 < 1
        last = np.sqrt(1 - a[inside] ** 2 - b[inside] ** 2)
        second = np.sqrt(1 - rho**2)
        L = np.array([[1.0, 0, 0], [rho, second, 0], [0, 0, 1.0]])
        # Only the diagonal is in the density: it is the third row's at 1, times last.
        power = log_lkj(shape, np.diag([1, 1, 0.5])) / np.log(0.5)
        density = np.exp(log_lkj(shape, L)) * np.sum(last**power)
        gaps.append(np.log(density) - stats.beta.logpdf((rho + 1) / 2, 2.0, 2.0))
    assert np.ptp(gaps) < 1e-3


@pytest.mark.parametrize(
    ("link", "noise"), [("logit", stats.logistic), ("probit", stats.norm)]
)
def test_cutpoints_have_the_density_of_their_probabilities(
    link: str, noise: object
) -> None:
    """SciPy's Dirichlet times the volume of p against cutpoints, numerically."""

    def probabilities(cutpoints: np.ndarray) -> np.ndarray:
        below = noise.cdf(cutpoints)  # type: ignore[attr-defined]
        return np.diff(np.concatenate([[0.0], below, [1.0]]))

    gaps = []
    for cutpoints in ([-1.0, 0.2, 0.9], [0.0, 0.4, 2.0], [-3.0, -0.5, 0.1]):
        at, step = np.array(cutpoints), 1e-6 * np.eye(3)
        slopes = [probabilities(at + h) - probabilities(at - h) for h in step]
        volume = np.linalg.slogdet(np.array(slopes)[:, :-1] / 2e-6)[1]
        known = stats.dirichlet.logpdf(probabilities(at), np.full(4, 2.0)) + volume
        gaps.append(log_induced_dirichlet(2.0, at, link) - known)
    assert np.ptp(gaps) < 1e-7
