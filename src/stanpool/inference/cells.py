"""Cells of rows: which rows are averaged together, and sums of draws over them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array, Indices
from stanpool.base.errors import DataError, SpecError, quote, quote_list, suggestion
from stanpool.data.compression.orthogonal import first_rows

if TYPE_CHECKING:
    import pandas as pd


def cells_by(
    by: list[Any], frame: pd.DataFrame, argument: str
) -> tuple[Indices, pd.DataFrame]:
    """Return the cell of each row, and of each cell the values of some columns.

    Parameters
    ----------
    by
        The columns, whose combinations of values are the cells.
    frame
        The rows, numbered from 0.
    argument
        The argument that has the rows, for messages.
    """
    if not by:
        raise SpecError("by=[] is empty; pass by=True for the average over all rows.")
    for name in by:
        if name not in list(frame.columns):
            raise DataError(
                f"by has {quote(name)}, and the rows have no such column"
                f"{columns_instead(name, frame)} Pass {argument}= with the column "
                "to average by one that the model does not use."
            )
    by = list(dict.fromkeys(by))
    try:
        grouped = frame.groupby(by, observed=True, sort=True, dropna=False)
        cell = grouped.ngroup().to_numpy()
    except TypeError as problem:
        raise DataError(f"cannot average by {quote_list(by)}: {problem}.") from None
    return cell, frame.loc[first_rows(cell), by]


def columns_instead(name: object, frame: pd.DataFrame) -> str:
    """Say which columns there are instead of one that is missing."""
    known = [str(each) for each in frame.columns]
    return (
        f".{suggestion(str(name), known)} Their columns are "
        f"{quote_list(frame.columns, limit=10)}."
    )


def add_to_cells(total: Array, values: Array, cell: Indices, weights: Array) -> None:
    """Add weighted values of rows to their cells; cells may be in any order.

    Parameters
    ----------
    total
        The sums so far, shape ``(S, cells, ...)``, which are changed.
    values
        Shape ``(S, rows, ...)``.
    cell, weights
        The cell and the weight of each row.
    """
    if (cell[:-1] > cell[1:]).any():
        order = np.argsort(cell, kind="stable")
        values, cell, weights = values[:, order], cell[order], weights[order]
    if cell[0] == cell[-1]:
        total[:, cell[0]] += np.einsum("sn...,n->s...", values, weights)
        return
    shaped = weights.reshape(-1, *(1,) * (values.ndim - 2))
    starts = np.flatnonzero(np.append(True, cell[1:] != cell[:-1]))
    total[:, cell[starts]] += np.add.reduceat(values * shaped, starts, axis=1)
