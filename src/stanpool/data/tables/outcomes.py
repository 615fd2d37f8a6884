"""Several outcomes of a row, as rows of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arguments import public
from stanpool.base.errors import DataError, SpecError, quote, quote_list, suggestion
from stanpool.data.columns import as_frame
from stanpool.data.entries import clean_column
from stanpool.language.model_spec import as_names

_OWN = ("row", "outcome", "value")


@public
def stack_outcomes(
    data: Any, outcomes: Sequence[str], *, first: int = 0
) -> pd.DataFrame:
    """Give each outcome of a row a row of its own.

    Models of several outcomes are models of such rows. A column with the name of an
    outcome is 1 in the rows of this outcome and 0 in others, so that ``written:gender``
    is an effect of gender on the outcome ``written`` alone.

    Parameters
    ----------
    data
        A table with a column for each outcome. Outcomes that are missing have no row.
    outcomes
        The columns of the outcomes, two or more. Those that the table does not have, as
        that of new rows may not, have values that are missing, and rows.
    first
        The number of the first row. Rows of one number have residuals that are
        correlated, so that new rows need other numbers than those of the fit.

    Returns
    -------
    pandas.DataFrame
        The rows of each row of the data, one after another, with ``row``, the number of
        the row in the data, counted from ``first``; ``outcome``, a categorical;
        ``value``; and 0 or 1 in the columns of the outcomes. Other columns are
        repeated.

    Raises
    ------
    DataError
        If an outcome is not of numbers, or the data have columns called ``row``,
        ``outcome`` or ``value``.
    SpecError
        If there are fewer than two outcomes, or one is named twice.

    Examples
    --------
    >>> from stanpool import stack_outcomes
    >>> data = {"height": [150.0, 160.0], "weight": [55.0, None], "sex": ["f", "m"]}
    >>> stack_outcomes(data, ["height", "weight"])
       height  weight sex  row outcome  value
    0     1.0     0.0   f    0  height  150.0
    1     0.0     1.0   f    0  weight   55.0
    2     1.0     0.0   m    1  height  160.0
    """
    frame, names = as_frame(data), as_names("outcomes", outcomes)
    _check(frame, names)
    count = len(frame)
    values = np.full((count, len(names)), np.nan)
    for k, name in enumerate(names):
        if name in frame.columns:
            values[:, k] = _numbers(frame, name)
    is_known = np.array([name in frame.columns for name in names])
    row, place = np.nonzero(~np.isnan(values) | ~is_known)
    found = frame.iloc[row].reset_index(drop=True)
    for k, name in enumerate(names):
        found[name] = (place == k).astype(float)
    found["row"] = first + row
    found["outcome"] = pd.Categorical.from_codes(
        place, dtype=pd.CategoricalDtype(list(names))
    )
    found["value"] = values[row, place]
    return found


def _check(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse names that cannot be, and columns of the result's names."""
    if len(names) < 2 or len(set(names)) < len(names):
        raise SpecError(
            f"outcomes={quote(list(names))} must be two columns or more, each named "
            "once."
        )
    known = [each for each in frame.columns if isinstance(each, str)]
    if not set(names) & set(known):
        raise SpecError(
            f"the data have none of the outcomes {quote_list(names)}; they have "
            f"{quote_list(known)}.{suggestion(names[0], known)}"
        )
    taken = [name for name in _OWN if name in (*frame.columns, *names)]
    if taken:
        raise DataError(
            f"the data have the column(s) {quote_list(taken)}, which stack_outcomes "
            f"makes. Rename them, as in data.rename(columns={{{quote(taken[0])}: "
            f"{quote(taken[0] + '_')}}})."
        )


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Return an outcome as floats; those that are missing are not numbers."""
    column = frame[name]
    is_there = column.notna().to_numpy()
    found = np.full(len(column), np.nan)
    values = clean_column(name, column[is_there], is_factor=False)
    if isinstance(values, pd.Categorical):
        raise DataError(f"the outcome {quote(name)} must be numbers.")
    found[is_there] = np.asarray(values, dtype=float)
    return found
