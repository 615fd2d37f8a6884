"""Rows that are outside of the data that a model has seen.

References
----------
.. [1] King and Zeng (2006). The dangers of extreme counterfactuals. Political Analysis
   14(2), 131-159: whether a row is in the convex hull of the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array, without_nan
from stanpool.base.errors import EffectWarning, quote, quote_list, warn_user
from stanpool.inference.effects.rows.grid import Grid, levels_of, roles_of

if TYPE_CHECKING:
    from stanpool.model.prepared_model import PreparedModel

_MOST_DIMENSIONS = 4  # hulls of more have too many faces
_CLOSE = 1e-9


def warn_of_extrapolation(
    model: PreparedModel, grid: Grid, fixed: Mapping[str, Iterable[Any]]
) -> None:
    """Warn of numbers beyond those of the data, alone or together.

    Parameters
    ----------
    model
        The model.
    grid
        The rows; only those of the user are looked at.
    fixed
        Values of variables that all rows get.
    """
    if model.chunks is not None:
        return
    numbers = [x for x in roles_of(model).predictors if not levels_of(model, x)]
    given = {name: list(fixed.get(name, ())) for name in numbers}
    if grid.is_of_user:
        for name in numbers:
            if name in grid.frame.columns and not given[name]:
                given[name] = list(np.unique(_numbers(grid, name)))
    found = []
    for name, values in given.items():
        column = without_nan(model.data[name])
        low, high = float(column.min()), float(column.max())
        slack = _CLOSE * max(abs(low), abs(high))
        beyond = sorted(x for x in values if not low - slack <= x <= high + slack)
        if beyond:
            shown = quote_list([float(f"{x:.4g}") for x in beyond])
            found.append(f"{quote(name)} is {shown}, and {low:.4g} to {high:.4g} there")
    if found:
        warn_user(
            "some rows are outside of the data of the fit, where the model "
            f"extrapolates: {'; '.join(found)}.",
            EffectWarning,
        )
    elif grid.is_of_user:
        _warn_of_combinations(model, grid, [x for x in numbers if x not in fixed])


def _numbers(grid: Grid, name: str) -> Array:
    """Return a column of the user's; what are no numbers is refused later."""
    try:
        return np.asarray(grid.frame[name], dtype=float)
    except (TypeError, ValueError, OverflowError):
        return np.empty(0)


def _is_typical(model: PreparedModel, name: str, values: Array) -> bool:
    """Whether all rows of a grid have the mean or the median, as where others vary."""
    column = without_nan(model.data[name])
    slack = _CLOSE * np.abs(column).max()
    middles = np.mean(column), np.median(column)
    return any(bool((np.abs(values - x) <= slack).all()) for x in middles)


def _warn_of_combinations(model: PreparedModel, grid: Grid, numbers: list[str]) -> None:
    """Warn of rows outside of the convex hull of the data's numbers."""
    from scipy.spatial import (  # type: ignore[import-untyped]
        ConvexHull,
        QhullError,
    )

    columns = [x for x in numbers if x in grid.frame.columns]
    columns = [x for x in columns if not _is_typical(model, x, _numbers(grid, x))]
    rows = [_numbers(grid, x) for x in columns]
    if not 2 <= len(columns) <= _MOST_DIMENSIONS or not all(map(len, rows)):
        return
    data = model.data[columns].dropna().to_numpy(dtype=float)
    middle, spread = data.mean(axis=0), data.std(axis=0)
    if not (spread > 0).all():
        return
    try:
        hull = ConvexHull(np.unique((data - middle) / spread, axis=0))
    except QhullError:  # predictors that depend on each other are flat
        return
    at = (np.column_stack(rows) - middle) / spread
    beyond = (at @ hull.equations[:, :-1].T + hull.equations[:, -1]).max(axis=1)
    outside = np.flatnonzero(beyond > 1e-6)
    if outside.size:
        warn_user(
            f"{outside.size} row(s) have combinations of {quote_list(columns)} that "
            "are outside of those of the data of the fit (beyond their convex hull), "
            f"where the model extrapolates: rows {quote_list(outside.tolist())}, "
            "counted from 0.",
            EffectWarning,
        )
