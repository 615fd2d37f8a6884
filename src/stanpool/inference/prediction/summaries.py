"""Predictions of rows to tables: intervals, quantiles and probabilities of events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import LARGEST_ARRAY, Array, Indices, gigabytes
from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.base.options import Groups, NewGroups, PredictionKind
from stanpool.families.functions import count_beyond
from stanpool.inference.cells import add_to_cells, cells_by
from stanpool.inference.prediction.linear_predictor import LinearPredictor
from stanpool.inference.prediction.quantities import (
    FAR_OUT,
    KINDS,
    attributes_of,
    blocks_of,
    warn_of_overflow,
)
from stanpool.inference.prediction.rows import GroupTerms, linear_predictor_with
from stanpool.posterior.intervals import describe, describe_at, interval_levels

if TYPE_CHECKING:
    from stanpool.model.fit_result import FitResult

Event = Callable[[Array], Any]


def predict_table(
    fit: FitResult,
    data: Any = None,
    *,
    kind: PredictionKind = "predict",
    prob: float = 0.9,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: Groups = "fitted",
    new_groups: NewGroups = "error",
    given: Any = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """Summarize the predictions of each row, for any number of rows.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
        As for ``linpred``.
    kind
        ``"predict"``, ``"epred"`` or ``"linpred"``.
    prob
        The probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        The columns are ``mean``, ``sd``, ``median`` and the interval, such as ``q5``
        and ``q95``, or for categories the probability of each. The rows are those of
        ``data``.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> predict_table(fit, {"school": ["A", "new"]}, kind="epred",
    ...               new_groups="population", seed=1).round(1)
       mean   sd  median   q5   q95
    0   9.8  6.8     9.3 -0.1  21.9
    1   8.0  7.4     7.8 -2.9  19.9
    """
    interval_levels(prob)  # refuses a wrong one before the computation
    source = linear_predictor_with(
        fit,
        data,
        draws=draws,
        group_terms=group_terms,
        groups=groups,
        new_groups=new_groups,
        given=given,
        seed=seed,
        parts=KINDS[kind].parts,
    )
    index = data.index if isinstance(data, pd.DataFrame) else None
    categories = source.design.categories
    if categories and kind != "linpred":
        blocks = [each.mean(axis=0) for _, each in blocks_of("epred", source)]
        return pd.DataFrame(np.concatenate(blocks), index=index, columns=[*categories])
    _check_one_predictor(source, kind)
    tables = [describe(each, prob) for _, each in _blocks(source, kind)]
    table = pd.DataFrame(
        {name: np.concatenate([each[name] for each in tables]) for name in tables[0]},
        index=index,
    )
    table.attrs.update(attributes_of(source))
    return table


def _check_one_predictor(source: LinearPredictor, kind: PredictionKind) -> None:
    """Refuse to summarize several linear predictors of each row."""
    if kind == "linpred" and source.is_categorical:
        raise SpecError(
            "kind='linpred' cannot be a table, because each category has a linear "
            "predictor; use linpred, or kind='epred'."
        )


def _blocks(
    source: LinearPredictor, kind: PredictionKind
) -> Iterator[tuple[slice, Array]]:
    """Yield rows and their predictions, and warn in the end if some overflowed."""
    beyond = 0
    for rows, values in blocks_of(kind, source):
        if kind == "predict" and not source.design.categories:
            beyond += count_beyond(values)
        yield rows, values
    drawn = source.shape[0] * source.shape[1] * source.design.rows
    warn_of_overflow(beyond, drawn, FAR_OUT)


@dataclass(frozen=True, eq=False)
class Summary:
    """How predictions are summarized.

    Attributes
    ----------
    kind
        What is predicted.
    levels
        The levels of quantiles.
    events
        Functions from outcomes to whether an event happens, by its name.
    by
        Columns by whose values predictions are averaged at each draw, if any.
    pairs
        Pairs of rows, or of cells, whose differences are wanted instead.
    """

    kind: PredictionKind
    levels: tuple[float, ...]
    events: Mapping[str, Event]
    by: tuple[str, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()


def summary_of(
    *,
    kind: PredictionKind,
    prob: float,
    quantiles: Sequence[float] | None,
    events: Any,
    by: str | Sequence[str] | None,
    pairs: Sequence[tuple[Any, Any]] | None,
) -> Summary:
    """Read how predictions shall be summarized."""
    levels = interval_levels(prob) if quantiles is None else tuple(quantiles)
    for level in levels:
        if not 0 <= level <= 1:
            raise SpecError(f"quantiles has {level!r}, which is not between 0 and 1.")
    if not (events is None or callable(events) or isinstance(events, Mapping)):
        raise SpecError(
            f"events={quote(events)} must be a function of outcomes, as in lambda y: y "
            "> 3, or a mapping from names to such functions."
        )
    named = {"probability": events} if callable(events) else dict(events or {})
    for name, event in named.items():
        if not callable(event):
            raise SpecError(
                f"events has {quote(event)} for {quote(name)}, which must be a "
                "function of outcomes, as in events={'more than 3': lambda y: y > 3}."
            )
    names = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    return Summary(kind, levels, named, names, tuple(pairs or ()))


def summarized(
    source: LinearPredictor, rows: pd.DataFrame, wanted: Summary
) -> pd.DataFrame:
    """Return the table of predictions, beside the columns of the rows.

    Parameters
    ----------
    source
        The linear predictors of the rows.
    rows
        The user's columns of these rows.
    wanted
        What the table has.
    """
    _check_one_predictor(source, wanted.kind)
    if wanted.by or wanted.pairs:
        labels, draws = _averaged(source, rows, wanted)
        if wanted.pairs:
            labels, draws = _differences(draws, wanted.pairs)
        parts = [_described(source, draws, wanted)]
    else:
        labels = rows
        parts = [
            _described(source, values, wanted)
            for _, values in _blocks(source, wanted.kind)
        ]
    table = pd.concat(parts, ignore_index=True)
    table.index = labels.index
    taken = [name for name in labels.columns if name in table.columns]
    if taken:
        raise DataError(
            f"the rows have the column(s) {quote_list(taken)}, which the summary has "
            "as well. Rename them, or drop them."
        )
    table = pd.concat([labels, table], axis=1)
    table.attrs.update(attributes_of(source))
    return table


def _described(source: LinearPredictor, values: Array, wanted: Summary) -> pd.DataFrame:
    """Describe draws of some rows, shape ``(S, rows)``."""
    categories = source.design.categories
    columns: dict[str, Any]
    if categories and wanted.kind == "predict":
        columns = {str(each): (values == each).mean(axis=0) for each in categories}
    elif categories and wanted.kind == "epred":
        if wanted.events:
            raise SpecError(
                "events of kind='epred' need one expected outcome of each row, and "
                "here each category has a probability. Pass kind='predict', for events "
                "such as lambda y: y == 'high'."
            )
        means = values.mean(axis=0)
        columns = {str(each): means[:, at] for at, each in enumerate(categories)}
    else:
        columns = {**describe_at(values, wanted.levels)}
    for name, event in wanted.events.items():
        if name in columns and not categories:
            raise SpecError(
                f"events has the name {quote(name)}, which is that of a column of the "
                "summary. Pass another name."
            )
        columns[name] = _probability(name, event, values)
    return pd.DataFrame(columns)


def _probability(name: str, event: Event, values: Array) -> Array:
    """Return the share of draws in which an event happens."""
    try:
        happens = np.asarray(event(values.copy()))
    except Exception as problem:  # whatever the user's function raises
        raise SpecError(
            f"the event {quote(name)} cannot be computed from outcomes: {problem}"
        ) from None
    if happens.shape != values.shape or happens.dtype.kind not in "bif":
        raise SpecError(
            f"the event {quote(name)} must say of each outcome whether it happens, as "
            f"in lambda y: y > 3; of outcomes of shape {values.shape} it returned "
            f"shape {happens.shape} of type {happens.dtype}."
        )
    return np.asarray(happens.astype(bool).mean(axis=0))


def _averaged(
    source: LinearPredictor, rows: pd.DataFrame, wanted: Summary
) -> tuple[pd.DataFrame, Array]:
    """Return averages of rows in cells at each draw, or all rows, ``(S, cells)``."""
    if source.design.categories:
        raise SpecError(
            "predicted categories have no averages and no differences; see "
            "fit.predictions for the probabilities of each."
        )
    cell: Indices = np.arange(len(rows))
    labels = rows
    if wanted.by:
        cell, labels = cells_by(list(wanted.by), rows.reset_index(drop=True), "data")
        labels = labels.reset_index(drop=True)
    draws = source.shape[0] * source.shape[1]
    if draws * len(labels) > LARGEST_ARRAY:
        raise SpecError(
            f"draws of {len(labels):,} rows take {gigabytes(draws * len(labels))}. "
            "Pass draws= for a sample of the draws, or fewer rows."
        )
    total = np.zeros((draws, len(labels)))
    weights = 1.0 / np.bincount(cell)[cell]
    for some, values in _blocks(source, wanted.kind):
        add_to_cells(total, values, cell[some], weights[some])
    return labels, total


def _differences(
    draws: Array, pairs: Sequence[tuple[int, int]]
) -> tuple[pd.DataFrame, Array]:
    """Return draws of the first minus the second of pairs of rows."""
    for number in (each for pair in pairs for each in pair):
        is_number = isinstance(number, int | np.integer)
        if not is_number or not 0 <= number < draws.shape[1]:
            raise SpecError(
                f"pairs has the row {quote(number)}, and the rows are 0 to "
                f"{draws.shape[1] - 1}."
            )
    first, second = (
        np.array(each, dtype=np.int64) for each in zip(*pairs, strict=True)
    )
    labels = pd.DataFrame({"row": first, "less": second})
    return labels, draws[:, first] - draws[:, second]
