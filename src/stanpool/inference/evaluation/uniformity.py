"""Are ranks uniform? An exact test, and the bands that belong to it.

Of N ranks among L draws, 0 to L, the number below i is binomial for each i if all
ranks are equally likely. The test looks at the i where that number is least likely.

References
----------
.. [1] Säilynoja, Bürkner and Vehtari (2022). Graphical test for discrete uniformity and
   its applications in goodness-of-fit evaluation and multiple sample comparison.
   Statistics and Computing 32, 32: simultaneous bands of the ECDF.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]

from stanpool.base.arrays import Array

_BISECTIONS = 40


def uniformity_p_values(ranks: NDArray[np.intp], draws: int) -> Array:
    """Test for each quantity whether its ranks are uniform.

    Parameters
    ----------
    ranks
        Whole numbers from 0 to ``draws``, shape ``(N, quantity)``.
    draws
        Among how many draws.

    Returns
    -------
    numpy.ndarray
        Exact p-values, shape ``(quantity,)``: how often N independent uniform ranks
        leave wider bands than these do.

    Examples
    --------
    >>> even, low = np.arange(100), np.zeros(100, dtype=int)
    >>> uniformity_p_values(np.column_stack([even, low]), draws=99).round(3)
    array([1., 0.])
    """
    below = counts_below(ranks, draws)
    tails = _tails(len(ranks), draws)
    least = tails[np.arange(draws)[:, None], below].min(axis=0)
    values, which = np.unique(least, return_inverse=True)
    # Ties of the binomial count as wider: they differ by rounding.
    found = [1.0 - _coverage(len(ranks), draws, each * (1 + 1e-9)) for each in values]
    return np.clip(found, 0.0, 1.0)[which]


def uniformity_bands(simulations: int, draws: int, level: float) -> tuple[Array, Array]:
    """Return between which shares the ECDF of uniform ranks lies, everywhere at once.

    Parameters
    ----------
    simulations, draws
        How many ranks, and among how many draws.
    level
        The probability that all of the ECDF lies within.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Lower and upper shares of ranks below 1, ..., ``draws``.
    """
    low, high = np.log(1e-300), 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if _coverage(simulations, draws, np.exp(middle)) >= level:
            low = middle
        else:
            high = middle
    inside = _tails(simulations, draws) > np.exp(low)
    lower = inside.argmax(axis=1)
    upper = simulations - inside[:, ::-1].argmax(axis=1)
    return lower / simulations, upper / simulations


def counts_below(ranks: NDArray[np.intp], draws: int) -> NDArray[np.intp]:
    """Count the ranks below 1, ..., ``draws``, shape ``(draws, quantity)``."""
    cuts = np.arange(1, draws + 1)
    ordered = np.sort(ranks, axis=0)
    columns = [np.searchsorted(column, cuts) for column in ordered.T]
    return np.stack(columns, axis=1) if columns else np.empty((draws, 0), np.intp)


@lru_cache(maxsize=8)
def _tails(simulations: int, draws: int) -> Array:
    """Return twice the smaller tail probability of each count at each cut.

    Shape ``(draws, simulations + 1)``.
    """
    from scipy import stats

    shares = np.arange(1, draws + 1)[:, None] / (draws + 1)
    count = stats.binom(simulations, shares)
    counts = np.arange(simulations + 1)
    tails: Array = 2 * np.minimum(count.cdf(counts), count.sf(counts - 1))
    tails.setflags(write=False)
    return tails


def _coverage(simulations: int, draws: int, gamma: float) -> float:
    """Return the probability that no count is as unlikely as ``gamma``.

    The counts of ranks between cuts are independent Poissons, given their sum; those
    paths are followed whose counts are all likelier.
    """
    from scipy import stats

    inside = _tails(simulations, draws) > gamma
    mean = simulations / (draws + 1)
    step = stats.poisson.pmf(np.arange(simulations + 1), mean)
    path = np.zeros(simulations + 1)
    path[0] = 1.0
    for each in inside:
        path = np.convolve(path, step)[: simulations + 1] * each
    last = path @ step[::-1]
    given = np.exp(
        special.xlogy(simulations, simulations)
        - simulations
        - special.gammaln(simulations + 1)
    )
    return float(last / given)
