"""Counts that are observed only between two bounds, which are included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stanpool.base.arrays import Array

_MOST_TRIES = 20  # draws of a count before it is drawn by inversion
_MOST_DOUBLINGS = 62


def log_between(
    lower: Any,
    upper: Any,
    log_density: Callable[[Any], Any],
    below: Callable[[Any], Any],
    above: Callable[[Any], Any],
) -> Any:
    """Return the log probability of a count from ``lower`` to ``upper``, inclusive.

    Parameters
    ----------
    lower, upper
        The bounds, which may be infinite.
    log_density
        Log probability of a count.
    below, above
        Probabilities of at most, and of more than, a count of 0 or more.

    Returns
    -------
    numpy.ndarray
        The logarithm of a difference of probabilities of the nearer tail. Where these
        underflow, the log probability of the likelier bound, since all counts that are
        farther from it are far less likely.
    """
    lower, upper = np.maximum(np.ceil(lower), 0.0), np.floor(upper)
    last, before = np.where(np.isinf(upper), lower, upper), np.maximum(lower - 1, 0.0)
    with np.errstate(all="ignore"):
        up_to = np.where(np.isinf(upper), 1.0, below(last))
        beyond = np.where(np.isinf(upper), 0.0, above(last))
        less = np.where(lower == 0, 0.0, below(before))
        at_least = np.where(lower == 0, 1.0, above(before))
        found = np.where(at_least < up_to, at_least - beyond, up_to - less)
        ends = np.maximum(log_density(lower), log_density(last))
        return np.fmax(np.log(found), ends)


def draw_between(
    rng: np.random.Generator,
    lower: Any,
    upper: Any,
    draw: Callable[..., Any],
    log_interval: Callable[..., Any],
    *parameters: Any,
) -> Array:
    """Draw counts between bounds by rejection, and by inversion if that takes long.

    Parameters
    ----------
    rng
        The random number generator.
    lower, upper
        The bounds, which may be infinite, or None; counts may be equal to them.
    draw
        ``draw(*parameters)``: counts without bounds.
    log_interval
        ``log_interval(lower, upper, *parameters)``, as from ``log_between``.
    parameters
        Arrays that broadcast against each other and the bounds.
    """
    if lower is None and upper is None:
        return np.asarray(draw(*parameters))
    lower, upper = 0.0 if lower is None else lower, np.inf if upper is None else upper
    every = np.broadcast_arrays(lower, upper, *parameters)
    shape, (low, high, *known) = every[0].shape, (each.ravel() for each in every)
    counts = np.asarray(draw(*known))
    left = np.flatnonzero((counts < low) | (counts > high))
    for _ in range(_MOST_TRIES):
        if not left.size:
            break
        again = np.asarray(draw(*(each[left] for each in known)))
        counts = counts.astype(np.result_type(counts, again), copy=False)
        counts[left] = again
        left = left[(again < low[left]) | (again > high[left])]
    if left.size:
        some = (each[left] for each in known)
        counts[left] = _inverted(rng, low[left], high[left], log_interval, *some)
    return counts.reshape(shape)


def _inverted(
    rng: np.random.Generator,
    lower: Array,
    upper: Array,
    log_interval: Callable[..., Any],
    *known: Array,
) -> Array:
    """Draw counts by bisection of their distribution function."""
    lower = np.maximum(np.ceil(lower), 0.0)
    with np.errstate(divide="ignore"):
        wanted = np.log(rng.random(lower.shape)) + log_interval(lower, upper, *known)
    high = lower.copy()
    for doubling in range(_MOST_DOUBLINGS):
        is_short = (log_interval(lower, high, *known) < wanted) & (high < upper)
        if not is_short.any():
            break
        high = np.where(is_short, np.minimum(lower + 2.0**doubling, upper), high)
    low = lower - 1.0
    while np.any(high - low > 1.0):
        middle = np.clip(np.floor(0.5 * (low + high)), lower, high)
        is_enough = log_interval(lower, middle, *known) >= wanted
        high, low = np.where(is_enough, middle, high), np.where(is_enough, low, middle)
    return high
