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
