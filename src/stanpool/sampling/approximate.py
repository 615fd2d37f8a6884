"""From draws of an approximation to draws of the posterior, as far as they can be."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.engine.values.draws import Proposals, RawDraws
from stanpool.engine.values.settings import SampleSettings
from stanpool.model.fit_result import Approximation
from stanpool.posterior.importance import psis

_STREAM = 0x70736973  # no random numbers are shared with the engine


def chosen_draws(
    found: Proposals, settings: SampleSettings
) -> tuple[RawDraws, Approximation]:
    """Choose draws of approximations by their importance weights, where these will do.

    Where Pareto k-hat is too large, a few draws would have all the weight, and their
    spread would be far too small. Then the draws are those of the best approximation as
    they are. So are those around a mode that was asked for.

    Parameters
    ----------
    found
        Draws with their log densities.
    settings
        The method, how many draws, and the seed.
    """
    rng = np.random.default_rng([_STREAM, settings.seed])
    ratios = found.log_density - found.log_approximation
    smoothed = psis(-ratios[np.newaxis], relative_ess=1.0)
    weights, pareto_k = smoothed.weights[0], float(smoothed.pareto_k[0])
    limit = largest_k(len(weights))
    # Equal ratios, those of an exact approximation, have no tail.
    k = pareto_k if np.ptp(ratios) > 1e-9 * (1 + np.abs(ratios).max()) else 0.0
    is_weighted = settings.method != "optimize" and k <= limit
    if is_weighted:
        places = rng.permutation(stratified(weights, settings.draws, rng))
    else:
        places = np.resize(np.flatnonzero(_is_best(found, ratios)), settings.draws)
    approximation = Approximation(
        method=settings.method,
        pareto_k=k,
        limit=limit,
        proposals=len(weights),
        effective=float(1.0 / np.square(weights).sum()),
        is_weighted=is_weighted,
    )
    return found.take(places), approximation


def largest_k(draws: int) -> float:
    """Return the largest Pareto k-hat at which so many importance ratios are reliable.

    Examples
    --------
    >>> largest_k(4000), round(largest_k(100), 3)
    (0.7, 0.5)
    """
    return min(1.0 - 1.0 / math.log10(max(draws, 11)), 0.7)


def stratified(
    weights: Array, count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Resample draws: return their places, each in proportion to its weight [1]_.

    How often a draw is taken differs from its expectation by less than 2.

    References
    ----------
    .. [1] Kitagawa (1996). Monte Carlo filter and smoother for non-Gaussian nonlinear
       state space models. Journal of Computational and Graphical Statistics 5(1), 1-25.

    Examples
    --------
    >>> stratified(np.array([0.5, 0.0, 0.5]), 4, np.random.default_rng(1))
    array([0, 0, 2, 2])
    """
    at = (np.arange(count) + rng.random(count)) / count
    places = np.searchsorted(np.cumsum(weights), at * weights.sum())
    return np.asarray(np.minimum(places, len(weights) - 1))


def _is_best(found: Proposals, ratios: Array) -> NDArray[np.bool_]:
    """Say which draws are of the approximation with the largest mean log ratio.

    That is its evidence lower bound, up to a constant.
    """
    sums = np.bincount(found.path, ratios)
    counts = np.bincount(found.path)
    with np.errstate(invalid="ignore", divide="ignore"):
        bounds = np.where(counts > 0, sums / counts, -np.inf)
    return np.asarray(found.path == bounds.argmax())
