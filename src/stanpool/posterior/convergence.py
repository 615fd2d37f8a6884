"""R-hat, effective sample sizes and Monte Carlo errors, of few or very many scalars.

ArviZ computes them for one scalar at a time, about 3 ms each: five minutes for the
100,000 coefficients of a large grouping factor. Beyond a few hundred scalars the same
statistics are computed here in blocks that fit the processor's cache, on all cores,
equal to those of ArviZ to rounding.

References
----------
.. [1] Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021). Rank-normalization,
   folding, and localization: an improved R-hat for assessing convergence of MCMC.
   Bayesian Analysis 16(2), 667-718.
.. [2] Geyer (1992). Practical Markov chain Monte Carlo. Statistical Science 7(4),
   473-483.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array

STATISTICS = ("r_hat", "ess_bulk", "ess_tail", "mcse_mean")
R_HAT = 1.01  # limit for draws that are reported; Vehtari et al. (2021) [1]_
# A wider limit of our own for refits without some rows, whose draws are only averaged.
R_HAT_OF_REFITS = 1.05
FEWEST_DRAWS = 4  # draws of a chain, since each half needs two
_ARVIZ_SCALARS = 200
_BLOCK = 64  # scalars at a time; 64 * 4000 draws are 2 MB


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
    chains, n, scalars = draws.shape
    if n < FEWEST_DRAWS or scalars == 0:
        return {name: np.full(scalars, np.nan) for name in STATISTICS}
    by_arviz = chains > 1 and scalars <= _ARVIZ_SCALARS
    values = _mixing_by_arviz(draws) if by_arviz else blockwise(mixing_of_block, draws)
    finite = np.isfinite(draws).all(axis=(0, 1))
    return {name: np.where(finite, values[name], np.nan) for name in STATISTICS}


def _mixing_by_arviz(draws: NDArray[Any]) -> dict[str, Array]:
    import xarray as xr

    from stanpool.posterior import arviz

    dataset = xr.Dataset({"scalars": (("chain", "draw", "scalar"), draws)})
    statistics = (
        arviz.rhat,
        arviz.ess_bulk,
        arviz.ess_tail,
        arviz.mcse_mean,
    )
    return {
        name: statistic(dataset)["scalars"].to_numpy()
        for name, statistic in zip(STATISTICS, statistics, strict=True)
    }


def blockwise(
    statistics: Callable[[Array], dict[str, Array]], draws: NDArray[Any]
) -> dict[str, Array]:
    """Apply a function of ``(scalar, chain, draw)`` to ``(chain, draw, scalar)``.

    Blocks run on all cores: NumPy releases the interpreter lock while it sorts and
    transforms.
    """
    starts = range(0, draws.shape[2], _BLOCK)

    def block(start: int) -> dict[str, Array]:
        part = draws[:, :, start : start + _BLOCK]
        contiguous = np.ascontiguousarray(np.moveaxis(part, 2, 0), dtype=float)
        with np.errstate(all="ignore"):  # constants and non-finite draws give NaN
            return statistics(contiguous)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        blocks = list(pool.map(block, starts))
    return {name: np.concatenate([part[name] for part in blocks]) for name in blocks[0]}


def mixing_of_block(draws: Array) -> dict[str, Array]:
    """Compute the four statistics of draws of shape ``(scalar, chain, draw)``."""
    split = _split(draws)
    scores = _normal_scores(split)
    folded = _normal_scores(np.abs(split - np.median(split, (1, 2), keepdims=True)))
    low, high = np.quantile(draws, (0.05, 0.95), axis=(1, 2))[..., None, None]
    sd = draws.std(axis=(1, 2), ddof=1)
    values = (
        np.maximum(_r_hat(scores), _r_hat(folded)),
        _ess(scores),
        np.minimum(_ess(_split(draws <= low)), _ess(_split(draws <= high))),
        sd / np.sqrt(_ess(split)),
    )
    return dict(zip(STATISTICS, values, strict=True))


def _split(draws: NDArray[Any]) -> Array:
    """Cut each chain in two, so that a drift within a chain shows as well."""
    half = draws.shape[2] // 2
    return np.concatenate([draws[..., :half], draws[..., -half:]], axis=1).astype(float)


def _normal_scores(draws: Array) -> Array:
    """Replace draws by the normal quantiles of their ranks; ties share a rank."""
    flat = draws.reshape(len(draws), -1)
    table = _blom_table(flat.shape[1])
    return table[(2 * mean_ranks(flat)).astype(np.intp) - 2].reshape(draws.shape)


def mean_ranks(values: Array) -> Array:
    """Rank each row of values from 1; ties share their mean rank.

    Examples
    --------
    >>> mean_ranks(np.array([[3.0, 1.0, 1.0]]))
    array([[3. , 1.5, 1.5]])
    """
    order = np.argsort(values, axis=1)
    ordered = np.take_along_axis(values, order, axis=1)
    size = values.shape[1]
    position = np.arange(size)
    changes = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((len(values), 1), dtype=bool)
    opens = np.hstack([edge, changes])
    closes = np.hstack([changes, edge])
    first = np.maximum.accumulate(np.where(opens, position, 0), axis=1)
    last = np.where(closes, position, size)[:, ::-1]
    last = np.minimum.accumulate(last, axis=1)[:, ::-1]
    ranks = np.empty(values.shape)
    np.put_along_axis(ranks, order, (first + last) / 2 + 1, axis=1)
    return ranks


@lru_cache(maxsize=4)
def _blom_table(size: int) -> Array:
    """Tabulate the normal scores of the ranks 1, 1.5, 2, ..., size."""
    normal = NormalDist()
    ranks = np.arange(2 * size - 1) / 2 + 1
    return np.array([normal.inv_cdf((rank - 3 / 8) / (size + 1 / 4)) for rank in ranks])


def _r_hat(draws: Array) -> Array:
    n = draws.shape[2]
    between = n * draws.mean(axis=2).var(axis=1, ddof=1)
    within = draws.var(axis=2, ddof=1).mean(axis=1)
    r_hat: Array = np.sqrt((between / within + n - 1) / n)
    return r_hat


def _ess(draws: Array) -> Array:
    """Divide the number of draws by their autocorrelation time (Geyer's sequences)."""
    _, chains, n = draws.shape
    means = draws.mean(axis=2)
    padded = 1 << (2 * n - 1).bit_length()
    spectrum = np.fft.rfft(draws - means[..., None], n=padded, axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    autocovariance = np.fft.irfft(power, n=padded, axis=1)[:, :n] / n
    within = autocovariance[:, :1] * n / (n - 1)
    total = within * (n - 1) / n
    if chains > 1:
        total = total + means.var(axis=1, ddof=1)[:, None]
    correlation = 1 - (within - autocovariance) / total
    correlation[:, 0] = 1

    pairs = max(1, (n - 1) // 2)
    even = correlation[:, : 2 * pairs : 2]
    paired = even + correlation[:, 1 : 2 * pairs : 2]
    stopped = paired <= 0
    stop = np.where(stopped.any(axis=1), stopped.argmax(axis=1), pairs - 1)[:, None]
    monotone = np.minimum.accumulate(paired, axis=1)
    before = np.arange(pairs) < stop
    last_even = np.take_along_axis(even, stop, axis=1)[:, 0]
    last_pair = np.take_along_axis(paired, stop, axis=1)[:, 0]
    kept = np.where((last_even > 0) | (last_pair >= 0), last_even, 0)
    time = -1 + 2 * np.where(before, monotone, 0).sum(axis=1) + kept
    size = chains * n
    ess: Array = size / np.maximum(time, 1 / np.log10(size))
    # Indicators of a constant are all true; ArviZ counts every such draw.
    constant = np.ptp(draws, axis=(1, 2)) < np.finfo(float).resolution
    ess[constant] = size
    return ess
