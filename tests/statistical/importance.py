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
    log_density: Callable[[Array], Array], start: Sequence[float]
) -> tuple[Array, Array]:
    """Return posterior means and their standard errors.

    The proposal is a multivariate t distribution: first around the mode, then twice
    with the moments that this finds.

    Parameters
    ----------
    log_density
        Of the posterior, up to a constant, at points of shape ``(S, parameter)``.
    start
        Where the mode is looked for.
    """
    center = _mode(log_density, start)
    covariance = 2 * np.linalg.inv(_curvature(log_density, center))
    for draws in (_DRAWS // 4, _DRAWS // 4, _DRAWS):
        drawn, weights = _sample(log_density, center, covariance, draws)
        center, covariance = weights @ drawn, np.cov(drawn.T, aweights=weights)
    assert (weights**2).sum() < 3 / _DRAWS, "the proposal is far off"
    mean = weights @ drawn
    return mean, np.sqrt(weights**2 @ (drawn - mean) ** 2)


def _mode(log_density: Callable[[Array], Array], start: Sequence[float]) -> Array:
    def loss(at: Array) -> float:
        return -float(log_density(at[None])[0])

    return np.asarray(optimize.minimize(loss, start, method="Nelder-Mead").x)


def _curvature(log_density: Callable[[Array], Array], at: Array) -> Array:
    """Return second derivatives of the negative log density, by differences."""
    steps = 1e-3 * np.eye(len(at))
    ends = np.array([[a + b, -a - b, a - b, b - a] for a in steps for b in steps])
    values = log_density((at + ends).reshape(-1, len(at))).reshape(-1, 4)
    curves = values @ np.array([-1.0, -1.0, 1.0, 1.0]) / 4e-6
    return np.asarray(curves.reshape(len(at), len(at)))


def _sample(
    log_density: Callable[[Array], Array], center: Array, covariance: Array, draws: int
) -> tuple[Array, Array]:
    proposal = stats.multivariate_t(center, covariance, df=_DF, seed=20261201)
    drawn = proposal.rvs(draws)
    log = np.concatenate([log_density(some) for some in np.array_split(drawn, 20)])
    log -= proposal.logpdf(drawn)
    weights = np.exp(log - log.max())
    return drawn, weights / weights.sum()
