"""Posterior means by importance sampling, for parameters without bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

Array = NDArray[np.float64]

_DF = 6
_DRAWS = 20_000


def posterior_means(
    log_density: Callable[[Array], float], start: Sequence[float]
) -> tuple[Array, Array]:
    """Return posterior means and their standard errors.

    The proposal is a multivariate t distribution: first around the mode, then with the
    moments that this finds.

    Parameters
    ----------
    log_density
        Of the posterior, up to a constant.
    start
        Where the mode is looked for.
    """
    found = optimize.minimize(lambda at: -log_density(at), start, method="BFGS")
    drawn, weights = _sample(log_density, found.x, found.hess_inv, _DRAWS // 4)
    covariance = np.atleast_2d(np.cov(drawn.T, aweights=weights))
    drawn, weights = _sample(log_density, weights @ drawn, covariance, _DRAWS)
    assert (weights**2).sum() < 3 / _DRAWS, "the proposal is far off"
    mean = weights @ drawn
    return mean, np.sqrt(weights**2 @ (drawn - mean) ** 2)


def _sample(
    log_density: Callable[[Array], float], center: Array, covariance: Array, draws: int
) -> tuple[Array, Array]:
    proposal = stats.multivariate_t(center, covariance, df=_DF, seed=20261201)
    drawn = proposal.rvs(draws)
    log = np.array([log_density(at) for at in drawn]) - proposal.logpdf(drawn)
    weights = np.exp(log - log.max())
    return drawn, weights / weights.sum()
