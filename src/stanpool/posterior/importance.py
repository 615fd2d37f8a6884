"""Pareto smoothed importance sampling of many units at once.

ArviZ smooths the ratios of one unit at a time, about 0.6 ms each. Here the generalized
Pareto distributions of all units are fitted together, with results that are equal to
rounding.

References
----------
.. [1] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
   sampling. Journal of Machine Learning Research 25(72), 1-58.
.. [2] Zhang and Stephens (2009). A new and efficient estimation method for the
   generalized Pareto distribution. Technometrics 51(3), 316-325.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import BLOCK, Array, keep_freed_memory

_FEWEST = 5  # ratios of a tail
_SHARE, _ROOTS = 0.2, 3.0  # of all draws, and of the root of their effective number
_PRIOR_K, _PRIOR_WEIGHT = 0.5, 10  # a mean of k, and the observations it is worth [1]_
_POINTS = 30  # of the quadrature, besides the root of the number of ratios
_NEGLIGIBLE = 10 * np.finfo(float).eps
_SMALLEST = float(np.log(np.finfo(float).tiny))


def psis(log_likelihood: Array, *, relative_ess: float) -> tuple[Array, Array]:
    """Weigh draws as if a unit had been left out, by Pareto smoothed importance [1]_.

    Parameters
    ----------
    log_likelihood
        Of each unit at S draws, shape ``(units, S)``.
    relative_ess
        The effective sample size of the S draws over S.

    Returns
    -------
    log_weights, pareto_k
        Shapes ``(units, S)``, normalized, and ``(units,)``. Where there is no tail to
        smooth, k is minus infinity for equal ratios, and infinite for others.

    Examples
    --------
    >>> log_weights, k = psis(np.zeros((1, 4)), relative_ess=1.0)
    >>> np.exp(log_weights), k
    (array([[0.25, 0.25, 0.25, 0.25]]), array([-inf]))
    """
    keep_freed_memory()
    units, draws = log_likelihood.shape
    log_weights, pareto_k = np.empty((units, draws)), np.empty(units)
    longest = np.ceil(min(_SHARE * draws, _ROOTS * (draws / relative_ess) ** 0.5))
    step = max(1, BLOCK // (8 * draws))
    with np.errstate(all="ignore"):
        for start in range(0, units, step):
            some = slice(start, start + step)
            ratios, is_possible = _log_ratios(log_likelihood[some])
            pareto_k[some] = _smooth(ratios, is_possible, int(longest))
            ratios -= log_sum_exp(ratios)[:, None]
            log_weights[some] = ratios
    return log_weights, pareto_k


def log_sum_exp(rows: Array) -> Array:
    """Return the logarithm of the sum of each row of exponentials, ``(rows,)``."""
    with np.errstate(divide="ignore"):
        top = rows.max(axis=1)
        top[np.isneginf(top)] = 0.0
        return np.asarray(np.log(np.exp(rows - top[:, None]).sum(axis=1)) + top)


def _log_ratios(log_likelihood: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Return importance ratios, and whether a unit is possible at all draws.

    The largest ratio is 1. Draws at which a unit is impossible count alone.
    """
    ratios = np.where(np.isnan(log_likelihood), np.inf, -log_likelihood)
    top = ratios.max(axis=1, keepdims=True)
    return np.where(ratios == top, 0.0, ratios - top), np.isfinite(top[:, 0])


def _smooth(log_ratios: Array, is_possible: NDArray[np.bool_], longest: int) -> Array:
    """Smooth the tails of ratios in place, and return the shape of each, k."""
    draws = log_ratios.shape[1]
    k = np.where((log_ratios == 0).all(axis=1), -np.inf, np.inf)
    if longest >= draws:
        return k
    border = draws - longest - 1
    cutoff = np.partition(log_ratios, border, axis=1)[:, border]
    cutoff = np.maximum(cutoff, _SMALLEST)
    is_tail = log_ratios > cutoff[:, None]
    lengths = is_tail.sum(axis=1) * is_possible
    for length in np.unique(lengths[lengths >= _FEWEST]):  # most have the same
        some = np.flatnonzero(lengths == length)
        unit, place = np.nonzero(is_tail[some])
        at = np.ravel_multi_index((some[unit], place), log_ratios.shape)
        at = at.reshape(len(some), length)
        tails = log_ratios.ravel()[at]
        order = np.argsort(tails, axis=1)
        at = np.take_along_axis(at, order, axis=1)
        edge = np.exp(cutoff[some, None])
        tails = np.exp(np.take_along_axis(tails, order, axis=1)) - edge
        shape, scale = fit_generalized_pareto(tails)
        smoothed = np.log(_quantiles(length, shape, scale) + edge)
        fits = np.isfinite(shape) & ~np.isnan(smoothed).any(axis=1)
        log_ratios.ravel()[at[fits]] = np.minimum(smoothed[fits], 0.0)
        k[some[fits]] = shape[fits]
    return k


def fit_generalized_pareto(values: Array) -> tuple[Array, Array]:
    """Estimate shapes and scales of generalized Pareto distributions [2]_.

    The posterior mean of ``b = -k / sigma`` comes from a quadrature, and ``k`` from it.
    A weak prior draws ``k`` towards one half [1]_.

    Parameters
    ----------
    values
        Sorted values above 0 of each unit, shape ``(units, n)``.

    Returns
    -------
    k, sigma
        Shape ``(units,)``.
    """
    n = values.shape[1]
    points = _POINTS + int(n**0.5)
    quartile, largest = values[:, [int(n / 4 + 0.5) - 1]], values[:, -1:]
    b = 1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))
    b = b / (3 * quartile) + 1 / largest  # (units, points)
    k = _mean_log(values, b)
    profile = n * (np.log(-b / k) - k - 1)
    weights = np.exp(profile - profile.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    weights[weights < _NEGLIGIBLE] = 0.0
    mean = (b * weights).sum(axis=1) / weights.sum(axis=1)
    shape = _mean_log(values, mean[:, None])[:, 0]
    scale = -shape / mean
    return (n * shape + _PRIOR_WEIGHT * _PRIOR_K) / (n + _PRIOR_WEIGHT), scale


def _mean_log(values: Array, b: Array) -> Array:
    """Return the shapes of distributions whose ``-k / sigma`` is b, as b is shaped."""
    terms = -b[:, :, None] * values[:, None]  # (units, points, n)
    np.log1p(terms, out=terms)
    return np.asarray(terms.mean(axis=2))


def _quantiles(count: int, k: Array, sigma: Array) -> Array:
    """Return the expected order statistics of each distribution, ``(units, count)``."""
    log_above = np.log1p(-np.arange(0.5, count) / count)
    k = k[:, None]
    is_exponential = np.abs(k) < np.finfo(float).eps
    standard = np.expm1(-k * log_above) / np.where(is_exponential, 1.0, k)
    standard = np.where(is_exponential, -log_above, standard)
    return np.where(sigma[:, None] > 0, sigma[:, None] * standard, np.nan)
