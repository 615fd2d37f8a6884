"""Reading whose residuals are correlated from the columns of the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array, Indices
from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.design.covariance.correlated_residuals import CorrelatedResiduals
from stanpool.data.design.design import read_only
from stanpool.data.design.groups import groups_of
from stanpool.data.entries import level_text
from stanpool.language.formulas.formula import quote_name
from stanpool.language.formulas.residual_correlation import ResidualCorrelation

_ADVICE = "Count time in steps, such as visits or days since the first."


def build_residuals(
    stated: ResidualCorrelation, frame: pd.DataFrame
) -> CorrelatedResiduals:
    """Read whose residuals are correlated from a frame of the data.

    Raises
    ------
    DataError
        If two rows of a subject have the same time, times are no numbers, or no subject
        has two rows.
    """
    found = residuals_of_rows(stated, frame)
    if found.sizes.max() < 2:
        raise DataError(
            f"each {quote(stated.name)} has a single row, so that the data say nothing "
            f"about {stated}. Drop it from the formula, or check that "
            f"{quote(stated.name)} is the column of what was measured repeatedly."
        )
    return found


def residuals_of_rows(
    stated: ResidualCorrelation, frame: pd.DataFrame
) -> CorrelatedResiduals:
    """Read the same of any rows, such as those of a prediction."""
    labels, index = groups_of(stated.subject, frame)
    times, visits = _times(stated, frame, index)
    found = CorrelatedResiduals(
        stated, labels, read_only(index), read_only(times), visits
    )
    _refuse_twice(found)
    return found


def _times(
    stated: ResidualCorrelation, frame: pd.DataFrame, index: Indices
) -> tuple[Array, tuple[Any, ...]]:
    """Return the times of rows, and the labels of visits if these are labels."""
    if stated.time is None:
        order = np.argsort(index, kind="stable")
        count = np.empty(len(index))
        starts = np.searchsorted(index[order], index[order])
        count[order] = np.arange(len(index)) - starts
        return count, ()
    column, what = frame[stated.time], quote(stated.time)
    if stated.kind.times == "visits":
        visits, numbers = groups_of((stated.time,), frame)
        return numbers.astype(float), visits
    if isinstance(column.dtype, pd.CategoricalDtype):
        raise DataError(
            f"the times of {stated} are numbers, and the values of {what} are "
            f"{quote_list(column.cat.categories.tolist())}. "
            f"{_ADVICE}"
        )
    times = column.to_numpy(dtype=float)
    between = times != np.round(times)
    if between.any():
        raise DataError(
            f"{stated} has the correlation rho of one step of time, and {what} has "
            f"{times[between][0]:g}. {_ADVICE}"
        )
    return times, ()


def _refuse_twice(found: CorrelatedResiduals) -> None:
    """Refuse two rows of a subject at one time, which would have one residual."""
    order = found.order
    index, times = found.index[order], found.times[order]
    same = (np.diff(index) == 0) & (np.diff(times) == 0)
    if not same.any():
        return
    at = int(np.flatnonzero(same)[0])
    first, second = sorted(order[at : at + 2].tolist())
    time = found.visits[int(times[at])] if found.visits else times[at]
    shown = level_text(time) if found.visits else f"{time:g}"
    raise DataError(
        f"{quote(found.labels[index[at]])} of {quote(found.stated.name)} has two rows "
        f"at {quote(found.stated.time)} {shown} (rows {first} and {second}, counted "
        f"from 0), whose residuals {found.stated} cannot tell apart. Keep one of them, "
        "average them, or add the column that tells them apart to the subject, as in "
        f"{quote_name(found.stated.subject[0])}:column."
    )
