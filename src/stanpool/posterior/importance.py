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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import BLOCK, Array, keep_freed_memory

_FEWEST = 5  # ratios of a tail
_SHARE, _ROOTS = 0.2, 3.0  # of all draws, and of the root of their effective number
_PRIOR_K, _PRIOR_WEIGHT = 0.5, 10  # a mean of k, and the observations it is worth [1]_
_FACTORS = 8  # of a product whose logarithm is taken
_POINTS = 30  # of the quadrature, besides the root of the number of ratios
_NEGLIGIBLE = 10 * np.finfo(float).eps
_SMALLEST = float(np.log(np.finfo(float).tiny))


@dataclass(frozen=True, eq=False)
class Weighted:
    """Draws weighted as if each unit had been left out.

    Attributes
    ----------
    weights
        The weight of each draw, which sum to 1, shape ``(units, S)``.
    pareto_k
        The shapes of the tails, ``(units,)``. Where there is no tail to smooth, k is
        minus infinity for equal ratios, and infinite for others.
    elpd, seen
        The logarithms of the weighted and the plain mean of a unit's likelihood,
        ``(units,)``.
    """

    weights: Array
    pareto_k: Array
    elpd: Array
    seen: Array


def psis(log_likelihood: Array, *, relative_ess: float) -> Weighted:
    """Weigh draws as if a unit had been left out, by Pareto smoothed importance [1]_.

    Parameters
    ----------
    log_likelihood
        Of each unit at S draws, shape ``(units, S)``.
    relative_ess
        The effective sample size of the S draws over S.

    Returns
    -------
    Weighted
        The weights, with Pareto k and what follows for each unit.

    Examples
    --------
    >>> found = psis(np.zeros((1, 4)), relative_ess=1.0)
    >>> found.weights, found.pareto_k
    (array([[0.25, 0.25, 0.25, 0.25]]), array([-inf]))
    """
    keep_freed_memory()
    units, draws = log_likelihood.shape
    found = Weighted(np.empty((units, draws)), *(np.empty(units) for _ in range(3)))
    longest = int(np.ceil(min(_SHARE * draws, _ROOTS * (draws / relative_ess) ** 0.5)))
    step = max(1, BLOCK // (16 * draws))
    with np.errstate(all="ignore"):
        for start in range(0, units, step):
            some = slice(start, start + step)
            _weigh(log_likelihood[some], longest, found, some)
    return found


def _weigh(log_lik: Array, longest: int, found: Weighted, some: slice) -> None:
    """Fill in the results for some units.

    A ratio is the inverse of the likelihood, so that their product is 1 at every draw
    whose ratio is not smoothed.
    """
    draws = log_lik.shape[1]
    log_ratios, top = _log_ratios(log_lik)
    ratios = np.exp(log_ratios, out=found.weights[some])
    seen = np.log((1.0 / ratios).sum(axis=1)) - top
    lost = ~np.isfinite(seen)  # of ratios that are 0 to rounding, or infinite
    seen[lost] = log_sum_exp(log_lik[lost])
    found.seen[some] = seen - np.log(draws)
    found.pareto_k[some], gain = _smooth(log_ratios, ratios, np.isfinite(top), longest)
    total = ratios.sum(axis=1)
    ratios /= total[:, None]
    found.elpd[some] = np.log(draws + gain) - np.log(total) - top


def log_sum_exp(rows: Array) -> Array:
    """Return the logarithm of the sum of each row of exponentials, ``(rows,)``."""
    with np.errstate(divide="ignore"):
        top = rows.max(axis=1)
        top[np.isneginf(top)] = 0.0
        return np.asarray(np.log(np.exp(rows - top[:, None]).sum(axis=1)) + top)


def _log_ratios(log_likelihood: Array) -> tuple[Array, Array]:
    """Return importance ratios over the largest of a unit, and this one, ``(units,)``.

    Draws at which a unit is impossible count alone.
    """
    ratios = -log_likelihood
    top = ratios.max(axis=1)
    is_odd = not np.isfinite(top).all()
    if is_odd:
        ratios[np.isnan(ratios)] = np.inf
        top = ratios.max(axis=1)
    ratios -= top[:, None]
    if is_odd:  # infinite ratios minus the largest, which is infinite, too
        ratios[np.isnan(ratios)] = 0.0
    return ratios, top


def _smooth(
    log_ratios: Array, ratios: Array, is_possible: NDArray[np.bool_], longest: int
) -> tuple[Array, Array]:
    """Smooth the tails of ratios in place.

    Returns
    -------
    k, gain
        The shape of each unit's tail, and by how much smoothing raises the sum of the
        ratios times the unit's likelihood, which is 1 at each draw without it.
    """
    draws = ratios.shape[1]
    k = np.where((log_ratios == 0).all(axis=1), -np.inf, np.inf)
    gain = np.zeros(len(k))
    if longest >= draws:
        return k, gain
    border = draws - longest - 1
    cutoff = np.partition(log_ratios, border, axis=1)[:, border]
    cutoff = np.maximum(cutoff, _SMALLEST)
    is_tail = log_ratios > cutoff[:, None]
    lengths = is_tail.sum(axis=1) * is_possible
    for length in np.unique(lengths[lengths >= _FEWEST]):  # most have the same
        some = np.flatnonzero(lengths == length)
        at = np.flatnonzero(is_tail[some]).reshape(len(some), length)
        at += (some - np.arange(len(some)))[:, None] * draws
        tails = log_ratios.ravel()[at]
        order = np.argsort(tails, axis=1)
        at = np.take_along_axis(at, order, axis=1)
        tails = np.take_along_axis(tails, order, axis=1)
        edge = np.exp(cutoff[some, None])
        shape, scale = fit_generalized_pareto(np.exp(tails) - edge)
        smoothed = np.minimum(_quantiles(length, shape, scale) + edge, 1.0)
        fits = np.isfinite(shape) & ~np.isnan(smoothed).any(axis=1)
        ratios.ravel()[at[fits]] = smoothed[fits]
        k[some[fits]] = shape[fits]
        gain[some[fits]] = (smoothed[fits] * np.exp(-tails[fits]) - 1.0).sum(axis=1)
    return k, gain


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
    """Return the shapes of distributions whose ``-k / sigma`` is b, as b is shaped.

    A shape is the mean of the logarithms of ``1 - b x`` over the values x. Logarithms
    are taken of products of a few factors.
    """
    units, n = values.shape
    parts = np.zeros((_FACTORS, units, 1, -(-n // _FACTORS)))
    for place in range(_FACTORS):
        part = values[:, place::_FACTORS]
        parts[place, :, 0, : part.shape[1]] = part
    slopes = -b[:, :, None]
    product, factor = slopes * parts[0], np.empty((*b.shape, parts.shape[3]))
    product += 1.0
    for part in parts[1:]:
        np.multiply(slopes, part, out=factor)
        factor += 1.0
        product *= factor
    shape = np.log(product, out=product).sum(axis=2) / n
    lost = ~np.isfinite(shape)
    if lost.any():  # products that are too large
        unit = np.nonzero(lost)[0]
        shape[lost] = np.log1p(-b[lost][:, None] * values[unit]).mean(axis=1)
    return np.asarray(shape)


def _quantiles(count: int, k: Array, sigma: Array) -> Array:
    """Return the expected order statistics of each distribution, ``(units, count)``."""
    log_above = np.log1p(-np.arange(0.5, count) / count)
    k = k[:, None]
    is_exponential = np.abs(k) < np.finfo(float).eps
    standard = np.expm1(-k * log_above) / np.where(is_exponential, 1.0, k)
    standard = np.where(is_exponential, -log_above, standard)
    return np.where(sigma[:, None] > 0, sigma[:, None] * standard, np.nan)
