"""R-hat, effective sample sizes and Monte Carlo errors, of few or very many scalars.

ArviZ computes them for one scalar at a time, about 3 ms each: five minutes for the
100,000 coefficients of a large grouping factor. The same statistics are computed here
for blocks of scalars that fit the processor's cache, on all cores, equal to those of
ArviZ to rounding. What takes time is to sort the draws and to correlate them with
themselves. They are sorted once, for ranks and for quantiles, after a radix sort that
leaves them nearly in order. They are correlated at few lags, since most draws forget
within these, and by Fourier transforms at all lags where they do not.

References
----------
.. [1] Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021). Rank-normalization,
   folding, and localization: an improved R-hat for assessing convergence of MCMC.
   Bayesian Analysis 16(2), 667-718.
.. [2] Geyer (1992). Practical Markov chain Monte Carlo. Statistical Science 7(4),
   473-483.
.. [3] Betancourt (2016). Diagnosing suboptimal cotangent disintegrations in
   Hamiltonian Monte Carlo. arXiv:1604.00695.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array, Indices, keep_freed_memory
from stanpool.base.system.parallel import usable_cores
from stanpool.posterior.intervals import quantiles_in_order

STATISTICS = ("r_hat", "ess_bulk", "ess_tail", "mcse_mean")
R_HAT = 1.01  # limit for draws that are reported; Vehtari et al. (2021) [1]_
# A wider limit of our own for refits without some rows, whose draws are only averaged.
R_HAT_OF_REFITS = 1.05
FEWEST_DRAWS = 4  # draws of a chain, since each half needs two
_TAILS = (0.05, 0.95)
_BLOCK = 64  # scalars at a time; 64 * 4000 draws are 2 MB
_LAGS = 12  # at which draws are correlated at first


def mixing(draws: NDArray[Any]) -> dict[str, Array]:
    """Compute R-hat, bulk and tail ESS and the Monte Carlo error of the mean.

    Parameters
    ----------
    draws
        Shape ``(chain, draw, scalar)``.

    Returns
    -------
    dict
        ``r_hat``, ``ess_bulk``, ``ess_tail`` and ``mcse_mean``, each of shape
        ``(scalar,)``. NaN where a draw is not finite or a chain has fewer than four;
        R-hat is NaN for constants. With one chain R-hat compares its halves.

    Examples
    --------
    >>> draws = np.random.default_rng(1).normal(size=(4, 1000, 2))
    >>> bool((mixing(draws)["r_hat"] < 1.01).all())
    True
    """
    described = describe(draws)
    return {name: described[name] for name in STATISTICS}


def r_hat_of_refit(log_density: NDArray[Any]) -> float:
    """Return R-hat of the log density, which detects chains that got stuck.

    Parameters
    ----------
    log_density
        Shape ``(chain, draw)``.
    """
    return float(mixing(log_density[..., None])["r_hat"].item())


def describe(draws: NDArray[Any], levels: Sequence[float] = ()) -> dict[Any, Array]:
    """Compute what ``mixing`` does, and the moments and quantiles of the draws.

    Parameters
    ----------
    draws
        Shape ``(chain, draw, scalar)``.
    levels
        Of the quantiles, such as ``(0.05, 0.5)``.

    Returns
    -------
    dict
        The statistics of ``mixing``, and for any number of draws ``mean``, ``sd``, each
        quantile by its level, and ``finite``, which is 1 if all draws are and 0
        otherwise. Each has the shape ``(scalar,)``.
    """
    return blockwise(partial(_describe_block, levels=levels), draws)


def bfmi(energy: NDArray[Any]) -> Array:
    """Compute the E-BFMI of each chain from energies of shape ``(chain, draw)`` [3]_.

    The mean squared change of the energy in one transition, over its variance; NaN
    where the energy does not change.

    Examples
    --------
    >>> energy = np.random.default_rng(1).normal(size=(4, 1000))
    >>> bool((np.abs(bfmi(energy) - 2) < 0.3).all())  # of independent draws
    True
    """
    deviations = energy - energy.mean(axis=1, keepdims=True)
    # Both sums are of one degree of freedom less than there are draws.
    with np.errstate(invalid="ignore"):
        return np.asarray(
            np.square(np.diff(energy, axis=1)).sum(axis=1)
            / np.square(deviations).sum(axis=1),
            dtype=float,
        )


def moments(draws: NDArray[Any], levels: Sequence[float]) -> dict[Any, Array]:
    """Compute only the moments and quantiles of ``describe``, in half of the time."""

    def moments_of_block(block: Array) -> dict[Any, Array]:
        flat = _rows(block)
        return _moments(flat, np.sort(flat, axis=1), levels)

    return blockwise(moments_of_block, draws)


def blockwise(
    statistics: Callable[[Array], dict[Any, Array]], draws: NDArray[Any]
) -> dict[Any, Array]:
    """Apply a function of ``(scalar, chain, draw)`` to ``(chain, draw, scalar)``.

    Blocks run on all cores: NumPy releases the interpreter lock while it sorts and
    transforms.
    """

    def block(start: int) -> dict[Any, Array]:
        part = draws[:, :, start : start + _BLOCK]
        contiguous = np.ascontiguousarray(np.moveaxis(part, 2, 0), dtype=float)
        with np.errstate(all="ignore"):  # constants and non-finite draws give NaN
            return statistics(contiguous)

    keep_freed_memory()
    starts = range(0, draws.shape[2], _BLOCK)
    if len(starts) < 2:
        return block(0)
    with ThreadPoolExecutor(min(8, usable_cores())) as pool:
        blocks = list(pool.map(block, starts))
    return {name: np.concatenate([part[name] for part in blocks]) for name in blocks[0]}


def _describe_block(draws: Array, *, levels: Sequence[float]) -> dict[Any, Array]:
    """Describe draws of shape ``(scalar, chain, draw)``."""
    flat, n = _rows(draws), draws.shape[2]
    if n < FEWEST_DRAWS:
        found = _moments(flat, np.sort(flat, axis=1), levels)
        return found | dict.fromkeys(STATISTICS, np.full(len(draws), np.nan))
    halves = _halves(draws)
    in_order = _SortedRows.of(_rows(halves))
    # Halves leave out the draw in the middle of an odd number.
    every = in_order.values if n % 2 == 0 else np.sort(flat, axis=1)
    found = _moments(flat, every, levels)
    tails = [
        _CenteredChains.of(_halves((draws <= end[:, None, None]).astype(float)))
        for end in quantiles_in_order(every, _TAILS).T
    ]
    scores = _CenteredChains.of(in_order.normal_scores().reshape(halves.shape))
    folded = _CenteredChains.of(in_order.folded().normal_scores().reshape(halves.shape))
    mixed = (
        np.maximum(scores.r_hat(), folded.r_hat()),
        scores.ess(),
        np.minimum(*(each.ess() for each in tails)),
        found["sd"] / np.sqrt(_CenteredChains.of(halves).ess()),
    )
    return found | {
        name: np.where(found["finite"], each, np.nan)
        for name, each in zip(STATISTICS, mixed, strict=True)
    }


def _moments(flat: Array, ordered: Array, levels: Sequence[float]) -> dict[Any, Array]:
    """Describe draws of shape ``(scalar, draw)``, which are there in order as well."""
    mean = flat.mean(axis=1)
    squares = np.square(flat - mean[:, None]).sum(axis=1)
    quantiles = quantiles_in_order(ordered, levels).T
    return {
        "finite": np.isfinite(flat).all(axis=1).astype(float),
        "mean": mean,
        "sd": np.sqrt(squares / np.float64(flat.shape[1] - 1)),
        **dict(zip(levels, quantiles, strict=True)),
    }


def _rows(draws: Array) -> Array:
    """Put the chains of each scalar one after another; there may be no scalar."""
    scalars, chains, n = draws.shape
    return draws.reshape(scalars, chains * n)


def _halves(draws: Array) -> Array:
    """Cut each chain in two, so that a drift within a chain shows as well."""
    scalars, chains, n = draws.shape
    if n % 2:
        draws = np.concatenate([draws[..., : n // 2], draws[..., -(n // 2) :]], axis=2)
    return draws.reshape(scalars, 2 * chains, n // 2)


@dataclass(frozen=True, eq=False)
class _SortedRows:
    """Rows of values in order, and the place that each had among all values."""

    places: Indices
    values: Array

    @classmethod
    def of(cls, rows: Array) -> _SortedRows:
        """Sort each of the rows, of shape ``(row, value)``.

        A radix sort of the highest 16 bits leaves rows so nearly in order that merging
        is fast. Together they take a third of the time of NumPy's ``argsort``.
        """
        low = rows.min(axis=1, keepdims=True)
        keys = rows - low
        keys *= 65535.0 / keys.max(axis=1, keepdims=True)
        places = _in_all(np.argsort(keys.astype(np.uint16), axis=1, kind="stable"))
        nearly = rows.ravel()[places]
        merged = _in_all(np.argsort(nearly, axis=1, kind="stable"))
        return cls(places.ravel()[merged], nearly.ravel()[merged])

    def folded(self) -> _SortedRows:
        """Sort the values by their distances from the median of their row."""
        size = self.values.shape[1]
        middle = self.values[:, (size - 1) // 2] + self.values[:, size // 2]
        distances = np.abs(self.values - middle[:, None] / 2)
        # They fall and rise again, so that merging two runs is all there is to do.
        merged = _in_all(np.argsort(distances, axis=1, kind="stable"))
        return _SortedRows(self.places.ravel()[merged], distances.ravel()[merged])

    def normal_scores(self) -> Array:
        """Return the normal quantiles of the ranks, at the places of the values."""
        return self._at_places(_blom_table(self.values.shape[1]))

    def ranks(self) -> Array:
        """Return the ranks from 1, which ties share, at the places of the values."""
        return self._at_places(_ranks(self.values.shape[1]))

    def _at_places(self, by_rank: Array) -> Array:
        """Look ranks up in a table, and put what it says at the places of the values.

        The table has an entry for each of the ranks 1, 1.5, 2, ...
        """
        size = self.values.shape[1]
        in_order = np.repeat(by_rank[None, ::2], len(self.values), axis=0).ravel()
        tied = np.zeros(self.values.shape, dtype=bool)  # with the next one
        np.equal(self.values[:, 1:], self.values[:, :-1], out=tied[:, :-1])
        at = np.flatnonzero(tied)
        if len(at):
            opens = np.diff(at, prepend=-2) > 1
            first, last = at[opens], at[np.roll(opens, -1)] + 1
            shared = by_rank[first % size + last % size][np.cumsum(opens) - 1]
            in_order[at] = in_order[at + 1] = shared
        found = np.empty_like(in_order)
        found[self.places.ravel()] = in_order
        return found.reshape(self.values.shape)


def _in_all(places: Indices) -> Indices:
    """Turn places within rows into places among all values, in the array itself."""
    places += np.arange(len(places))[:, None] * places.shape[1]
    return places


def mean_ranks(values: Array) -> Array:
    """Rank each row of values from 1; ties share their mean rank.

    Examples
    --------
    >>> mean_ranks(np.array([[3.0, 1.0, 1.0]]))
    array([[3. , 1.5, 1.5]])
    """
    with np.errstate(all="ignore"):  # constants and non-finite values have no keys
        return _SortedRows.of(values).ranks()


@lru_cache(maxsize=4)
def _blom_table(size: int) -> Array:
    """Tabulate the normal scores of the ranks 1, 1.5, 2, ..., size."""
    normal = NormalDist()
    ranks = _ranks(size).tolist()
    return np.array([normal.inv_cdf((rank - 3 / 8) / (size + 1 / 4)) for rank in ranks])


def _ranks(size: int) -> Array:
    return np.arange(2, 2 * size + 1) / 2.0


@dataclass(frozen=True, eq=False)
class _CenteredChains:
    """Draws of chains, less the mean of each chain.

    Attributes
    ----------
    means
        Shape ``(scalar, chain)``.
    centered
        The draws less the mean of their chain, shape ``(scalar, chain, draw)``.
    constant
        Whether all draws of all chains are the same, shape ``(scalar,)``.
    """

    means: Array
    centered: Array
    constant: NDArray[np.bool_]

    @classmethod
    def of(cls, draws: Array) -> _CenteredChains:
        """Center chains of shape ``(scalar, chain, draw)``."""
        means = draws.mean(axis=2)
        constant = np.ptp(draws, axis=(1, 2)) < np.finfo(float).resolution
        return cls(means, draws - means[..., None], constant)

    def r_hat(self) -> Array:
        """Compare the chains with each other."""
        n = self.centered.shape[2]
        between = n * self.means.var(axis=1, ddof=1)
        squares: Array = np.vecdot(self.centered, self.centered)
        within = squares.mean(axis=1) / (n - 1)
        r_hat: Array = np.sqrt((between / within + n - 1) / n)
        return r_hat

    def ess(self) -> Array:
        """Divide the number of draws by their autocorrelation time."""
        scalars, chains, n = self.centered.shape
        between = np.zeros(scalars)
        if chains > 1:
            between = self.means.var(axis=1, ddof=1)
        few = min(_LAGS, n)
        time, is_known = _autocorrelation_time(_at_lags(self.centered, few), between, n)
        if not is_known.all():
            rest = ~is_known
            time[rest], _ = _autocorrelation_time(
                _at_all_lags(self.centered[rest]), between[rest], n
            )
        size = chains * n
        ess: Array = size / np.maximum(time, 1 / np.log10(size))
        # Indicators of a constant are all true; ArviZ counts every such draw.
        return np.where(self.constant, size, ess)


def _at_lags(centered: Array, count: int) -> Array:
    """Return the autocovariances at the first lags, averaged over chains."""
    n = centered.shape[2]
    products = [
        np.vecdot(centered[..., lag:], centered[..., : n - lag]).mean(axis=1)
        for lag in range(count)
    ]
    return np.asarray(np.stack(products, axis=1) / n)


def _at_all_lags(centered: Array) -> Array:
    """Return the autocovariances at all lags, averaged over chains."""
    n = centered.shape[2]
    padded = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(centered, n=padded, axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    return np.asarray(np.fft.irfft(power, n=padded, axis=1)[:, :n] / n)


def _autocorrelation_time(
    autocovariance: Array, between: Array, n: int
) -> tuple[Array, NDArray[np.bool_]]:
    """Sum Geyer's sequence of the autocorrelations.

    Parameters
    ----------
    autocovariance
        Within chains, at some or all lags, shape ``(scalar, lag)``.
    between
        The variance of the means of chains, shape ``(scalar,)``.
    n
        The draws of a chain.

    Returns
    -------
    numpy.ndarray
        The autocorrelation times, and whether these lags suffice to know them.
    """
    within = autocovariance[:, :1] * n / (n - 1)
    total = autocovariance[:, :1] + between[:, None]
    correlation = 1 - (within - autocovariance) / total
    correlation[:, 0] = 1

    pairs = max(1, (n - 1) // 2)
    seen = min(pairs, autocovariance.shape[1] // 2)
    even = correlation[:, : 2 * seen : 2]
    paired = even + correlation[:, 1 : 2 * seen : 2]
    stopped = paired <= 0
    has_stopped = stopped.any(axis=1)
    stop = np.where(has_stopped, stopped.argmax(axis=1), seen - 1)[:, None]
    monotone = np.minimum.accumulate(paired, axis=1)
    before = np.arange(seen) < stop
    last_even = np.take_along_axis(even, stop, axis=1)[:, 0]
    last_pair = np.take_along_axis(paired, stop, axis=1)[:, 0]
    kept = np.where((last_even > 0) | (last_pair >= 0), last_even, 0)
    time = -1 + 2 * np.where(before, monotone, 0).sum(axis=1) + kept
    return time, has_stopped | (seen == pairs)
