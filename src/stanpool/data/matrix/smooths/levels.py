"""Columns of curves that depend on something: numbers, or the levels of a factor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote_list


def levels_of(by: Any) -> tuple[Any, ...]:
    """Return the levels of a categorical; none of anything else."""
    return tuple(by.categories.tolist()) if isinstance(by, pd.Categorical) else ()


def kind_of(by: Any) -> str:
    """Return what curves depend on: ``"levels"``, ``"numbers"``, or nothing."""
    if by is None:
        return ""
    return "levels" if isinstance(by, pd.Categorical) else "numbers"


def curves_of(name: str, kind: str, levels: Sequence[Any]) -> tuple[str, ...]:
    """Return the labels of the curves of a smooth: one, or one for each level."""
    if kind != "levels":
        return (name,)
    return tuple(f"{name}.{level}" for level in levels)


def row_products(matrices: Sequence[Array]) -> Array:
    """Return in each row all products of one number of each matrix."""
    found, *others = matrices
    for each in others:
        found = (found[:, :, None] * each[:, None, :]).reshape(len(found), -1)
    return found


def times_by(
    columns: Array, name: str, by: Any, kind: str, levels: Sequence[Any]
) -> Array:
    """Return the columns of curves that depend on something.

    Parameters
    ----------
    columns
        Those of one curve, shape ``(N, M)``.
    name
        What the smooth is called, for messages.
    by
        What the curves depend on: numbers, by which the columns are multiplied, or a
        categorical, for each level of which there are all of the columns.
    kind, levels
        ``"numbers"``, ``"levels"`` or nothing, and the levels.

    Raises
    ------
    DataError
        If a row has a level that has no curve.
    """
    if kind == "numbers":
        return np.asarray(by[:, None] * columns)
    if kind != "levels":
        return columns
    each = indicators(name, by, levels)
    return np.concatenate([own[:, None] * columns for own in each], axis=1)


def indicators(name: str, by: Any, levels: Sequence[Any]) -> list[Array]:
    """Return for each level which rows have it, as numbers."""
    codes = pd.Index(list(levels)).get_indexer(np.asarray(by))
    unseen = np.flatnonzero(codes < 0)
    if unseen.size:
        given = pd.Series(by)[unseen].unique().tolist()
        raise DataError(
            f"{name} has no curve for {quote_list(given)} (rows "
            f"{quote_list(unseen.tolist())}, counted from 0); the data of the fit "
            f"have {quote_list(levels)}. Drop these rows."
        )
    return [(codes == k).astype(float) for k in range(len(levels))]
