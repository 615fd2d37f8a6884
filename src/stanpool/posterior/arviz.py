"""The only file that imports ArviZ: 0.23 on Python 3.11, 1.2 and later from 3.12.

Its functions take and return ``xarray.Dataset``, which both versions understand, and
name every argument whose default differs between them.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import xarray as xr


def to_arviz(tree: xr.DataTree) -> Any:
    """Convert a tree of draws to the container of the installed ArviZ.

    Returns
    -------
    xarray.DataTree or arviz.InferenceData
        The tree itself from ArviZ 1, which works on trees; an ``InferenceData`` that
        shares its memory before.
    """
    return tree if _works_on_trees() else _arviz().from_datatree(tree)


def rhat(draws: xr.Dataset) -> xr.Dataset:
    """Compute rank-normalized split R-hat; NaN for constants."""
    return _statistic(_arviz().rhat, draws, method="rank")


def ess_bulk(draws: xr.Dataset) -> xr.Dataset:
    """Compute the effective sample size of the bulk of the draws."""
    return _statistic(_arviz().ess, draws, method="bulk")


def ess_tail(draws: xr.Dataset) -> xr.Dataset:
    """Compute the smaller effective sample size of the 5 % and 95 % quantiles."""
    return _statistic(_arviz().ess, draws, method="tail", prob=(0.05, 0.95))


def mcse_mean(draws: xr.Dataset) -> xr.Dataset:
    """Compute the Monte Carlo standard error of the mean; 0 for constants."""
    return _statistic(_arviz().mcse, draws, method="mean")


def bfmi(energy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the E-BFMI of each chain from energies of shape ``(chain, draw)``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(_arviz().bfmi(energy), dtype=float)


def ess_mean(draws: xr.Dataset) -> xr.Dataset:
    """Compute the effective sample size for means, without rank normalization."""
    return _statistic(_arviz().ess, draws, method="mean")


def psis(
    log_likelihood: NDArray[np.float64], *, relative_ess: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weigh draws as if a unit had been left out, by Pareto smoothed importance.

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
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            log_weights, pareto_k = _smooth(log_likelihood, relative_ess)
        except (ValueError, IndexError):  # ArviZ 1 fails on a unit without a tail
            each = [_smooth_one(unit, relative_ess) for unit in log_likelihood]
            log_weights, pareto_k = map(np.array, zip(*each, strict=True))
        failed = ~np.isfinite(pareto_k) | np.isnan(log_weights).any(axis=1)
        for unit in np.flatnonzero(failed):
            log_weights[unit], pareto_k[unit] = _unsmoothed(log_likelihood[unit])
    return log_weights, pareto_k


def _smooth(
    log_likelihood: NDArray[np.float64], relative_ess: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smooth importance ratios; ArviZ 1 takes the sign upon itself."""
    arviz = _arviz()
    if _works_on_trees():
        from arviz_stats.base import array_stats

        found = array_stats.psislw(log_likelihood, r_eff=relative_ess)
    else:
        found = arviz.psislw(-log_likelihood, reff=relative_ess)
    log_weights, pareto_k = found
    return np.array(log_weights), np.array(pareto_k, dtype=float)


def _smooth_one(
    log_likelihood: NDArray[np.float64], relative_ess: float
) -> tuple[NDArray[np.float64], float]:
    try:
        log_weights, pareto_k = _smooth(log_likelihood[None], relative_ess)
    except (ValueError, IndexError):
        return log_likelihood, np.nan
    return log_weights[0], float(pareto_k[0])


def _unsmoothed(
    log_likelihood: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Return plain importance weights, where there are too few ratios or no tail.

    They are as good as can be if all are equal, and not to be relied on otherwise.
    """
    log_ratios = -np.nan_to_num(log_likelihood, nan=-np.inf, neginf=-np.inf)
    top = log_ratios.max()
    log_weights = (
        np.where(log_ratios == top, 0.0, -np.inf) if np.isinf(top) else log_ratios - top
    )
    is_constant = bool((log_ratios == top).all())
    total = np.log(np.exp(log_weights).sum())
    return log_weights - total, -np.inf if is_constant else np.inf


def power_scaling(
    draws: NDArray[np.float64], log_density: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Measure how far quantities move if a part of the density is raised to a power.

    Parameters
    ----------
    draws
        Shape ``(chain, draw, scalar)``.
    log_density
        The part that is raised, shape ``(chain, draw)``.

    Returns
    -------
    numpy.ndarray
        The cumulative Jensen-Shannon distance for each doubling of the power, shape
        ``(scalar,)``.
    """
    import xarray as xr

    groups = {
        "posterior": xr.Dataset({"it": (("chain", "draw", "scalar"), draws)}),
        "log_prior": xr.Dataset({"it": (("chain", "draw"), log_density)}),
    }
    labels = {"chain": range(draws.shape[0]), "draw": range(draws.shape[1])}
    tree = xr.DataTree.from_dict(
        {name: each.assign_coords(labels) for name, each in groups.items()}
    )
    arviz = _arviz()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        if _works_on_trees():
            found = arviz.psense(tree, group="prior")
        else:
            found = arviz.psens(arviz.from_datatree(tree), component="prior")
    return np.asarray(found["it"], dtype=float)


def _works_on_trees() -> bool:
    return int(version("arviz").split(".")[0]) >= 1


def _arviz() -> ModuleType:
    """Import ArviZ without what 0.23 does at import.

    Once a day it announces its own next version by a ``FutureWarning``, which is an
    error where warnings are, and notes the day in a cache folder, which is an error
    where that folder cannot be written.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            import arviz
        except OSError:
            with _temporary_cache():
                import arviz
    return arviz


@contextmanager
def _temporary_cache() -> Iterator[None]:
    before = os.environ.get("XDG_CACHE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["XDG_CACHE_HOME"]
            else:
                os.environ["XDG_CACHE_HOME"] = before


def _statistic(
    statistic: Callable[..., xr.Dataset], draws: xr.Dataset, **arguments: Any
) -> xr.Dataset:
    """Compute a statistic without the warnings of constants: dividing by zero."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return statistic(draws, **arguments)
