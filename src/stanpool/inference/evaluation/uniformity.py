"""An exact test of whether ranks are uniform, and the corresponding bands.

For N uniform ranks from 0 to L, the number of ranks below i is binomial for each i. The
test uses the i at which the number is least likely.

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
    """Test whether the ranks of each quantity are uniform.

    Parameters
    ----------
    ranks
        Whole numbers from 0 to ``draws``, shape ``(N, quantity)``.
    draws
        The number of draws.

    Returns
    -------
    numpy.ndarray
        Exact p-values, shape ``(quantity,)``: the probability that N independent
        uniform ranks leave wider bands than these ranks.

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
    # Ties of the binomial differ by rounding, and count as wider.
    found = [1.0 - _coverage(len(ranks), draws, each * (1 + 1e-9)) for each in values]
    return np.clip(found, 0.0, 1.0)[which]


def least_likely_share(ranks: NDArray[np.intp], draws: int) -> tuple[float, float]:
    """Return the share of ranks below a cut that is the least likely of all.

    ``uniformity_p_values`` says how unlikely it is.

    Parameters
    ----------
    ranks
        Whole numbers from 0 to ``draws``, shape ``(N,)``.
    draws
        The number of draws.

    Returns
    -------
    float, float
        The share of ranks, and the share that is expected.

    Examples
    --------
    >>> least_likely_share(np.array([0, 1, 2, 2, 3, 1, 0, 2]), draws=9)
    (1.0, 0.4)
    """
    below = counts_below(ranks[:, None], draws)[:, 0]
    at = int(_tails(len(ranks), draws)[np.arange(draws), below].argmin())
    return float(below[at]) / len(ranks), (at + 1) / (draws + 1)


def uniformity_bands(simulations: int, draws: int, level: float) -> tuple[Array, Array]:
    """Return simultaneous bands of the ECDF of uniform ranks.

    Parameters
    ----------
    simulations, draws
        The number of ranks, and the number of draws that they are among.
    level
        The probability that the whole ECDF is within the bands.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        The lower and upper bounds of the share of ranks below 1, ..., ``draws``.
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

    Given their sum, the counts of ranks between cuts are independent Poisson counts,
    and the probability is that of the paths whose counts are all likelier.
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
