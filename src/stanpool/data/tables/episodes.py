"""Times to an event, cut into intervals within each of which the hazard is constant."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, SpecError, quote, quote_list, suggestion
from stanpool.data.columns import as_frame
from stanpool.data.entries import clean_column, refuse_rows

_OWN = ("interval", "exposure")


@public
def split_times(
    data: Any,
    *,
    time: str,
    event: str,
    cuts: Sequence[float] | int,
    entry: str | None = None,
) -> pd.DataFrame:
    """Cut times to an event into intervals, a row for each that a time reaches.

    A Poisson model of ``event`` with ``exposure(exposure)`` and a level for each
    ``interval`` is the piecewise exponential model of the times: it has the same
    likelihood, but for a constant [1]_. Hazards may take any shape then, as in Cox's
    model, and predictors may have other effects in other intervals.

    Parameters
    ----------
    data
        A table with a row for each time.
    time
        The column of the times, until the event or until they were censored.
    event
        The column that is 1 or True where a time ended with the event, and 0 or False
        where it was censored.
    cuts
        Where intervals end, in ascending order; or how many intervals there are, in
        each of which there are about as many events. An event at a cut is in the
        interval that ends there.
    entry
        The column of the times at which rows came under observation, if that was not
        at 0 (left truncation).

    Returns
    -------
    pandas.DataFrame
        The rows of each time, one after another, with ``interval``, a categorical such
        as ``"30 to 90"``; ``exposure``, the time spent in it; ``time``, where the row
        ends; and ``event``, 1 in the row that ends with the event and else 0. Other
        columns are repeated, and ``entry`` is where the row begins.

    Raises
    ------
    DataError
        If times are not positive or end before they begin, events are not 0 or 1, or
        the data have columns called ``interval`` or ``exposure``.
    SpecError
        If there is no such column, or ``cuts`` do not ascend.

    References
    ----------
    .. [1] Holford (1980). The analysis of rates and of survivorship using log-linear
       models. Biometrics 36(2), 299-305.

    Examples
    --------
    >>> from stanpool import split_times
    >>> data = {"days": [20, 70], "infected": [1, 0]}
    >>> split_times(data, time="days", event="infected", cuts=[30])
       days  infected interval  exposure
    0  20.0         1  0 to 30      20.0
    1  30.0         0  0 to 30      30.0
    2  70.0         0    30 on      40.0
    """
    frame = as_frame(data)
    _check_columns(frame, [time, event, *([] if entry is None else [entry])])
    end = _numbers(frame, time)
    begin = np.zeros(len(end)) if entry is None else _numbers(frame, entry)
    refuse_rows(begin, begin < 0, f"column {quote(entry)} must be 0 or more")
    said = "be positive" if entry is None else f"be above {quote(entry)}"
    refuse_rows(end, end <= begin, f"column {quote(time)} must {said}")
    happened = _numbers(frame, event)
    is_either = (happened == 0) | (happened == 1)
    refuse_rows(happened, ~is_either, f"column {quote(event)} must be 0 or 1")
    inner = _cuts(cuts, end[happened == 1])
    edges = np.concatenate([[0.0], inner, [np.inf]])
    # Rows by intervals, shape (N, len(edges) - 1).
    low = np.maximum(begin[:, None], edges[:-1])
    high = np.minimum(end[:, None], edges[1:])
    row, place = np.nonzero(high > low)
    found = frame.iloc[row].reset_index(drop=True)
    ends = high[row, place]
    found[time] = ends
    found[event] = ((happened[row] == 1) & (ends == end[row])).astype(np.int64)
    if entry is not None:
        found[entry] = low[row, place]
    kind = pd.CategoricalDtype(_labels(inner), ordered=False)
    found["interval"] = pd.Categorical.from_codes(place, dtype=kind)
    found["exposure"] = ends - low[row, place]
    return found


def _check_columns(frame: pd.DataFrame, names: Sequence[str]) -> None:
    """Refuse names that the data do not have, and columns of the result's names."""
    for name in names:
        if name not in frame.columns:
            known = [each for each in frame.columns if isinstance(each, str)]
            raise SpecError(
                f"the data have no column {quote(name)}; they have {quote_list(known)}."
                + suggestion(name, known)
            )
    taken = [name for name in _OWN if name in frame.columns]
    if taken:
        raise DataError(
            f"the data have the column(s) {quote_list(taken)}, which split_times "
            f"makes. Rename them, as in data.rename(columns={{{quote(taken[0])}: "
            f"{quote(taken[0] + '_')}}})."
        )


def _numbers(frame: pd.DataFrame, name: str) -> Array:
    """Return a column as floats."""
    values = clean_column(name, frame[name], is_factor=False)
    if isinstance(values, pd.Categorical):
        raise DataError(f"column {quote(name)} must be numbers.")
    return np.asarray(values, dtype=float)


def _cuts(cuts: Sequence[float] | int, events: Array) -> Array:
    """Return the ends of all intervals but the last."""
    if isinstance(cuts, int):
        if cuts < 1 or not events.size:
            raise SpecError(
                f"cuts={cuts} with {events.size} events; a number of intervals must be "
                "1 or more, and there must be events."
            )
        shares = np.arange(1, cuts) / cuts
        return np.unique(np.quantile(events, shares, method="inverted_cdf"))
    found = np.asarray(cuts, dtype=float)
    if not np.all(np.diff(found, prepend=0.0) > 0):
        raise SpecError(
            f"cuts={quote(list(cuts))} must be above 0 and ascend, such as [30, 90]."
        )
    return found


def _labels(inner: Array) -> list[str]:
    """Label intervals by where they begin and end."""
    texts = ["0", *(f"{each:.10g}" for each in inner)]
    return [*(f"{a} to {b}" for a, b in pairwise(texts)), f"{texts[-1]} on"]
