"""The user's data to the columns that a model uses, each of them checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from pandas.api.types import is_scalar

from stanpool.base.errors import DataError, SpecError, quote, quote_list, suggestion
from stanpool.data.entries import clean_column, level_text, refuse_unwritable
from stanpool.language.expression import parse
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import quote_name, unquote_name
from stanpool.language.model_spec import ModelSpec
from stanpool.language.special.uncertain import uncertain_predictor
from stanpool.language.vocabulary import CONSTANTS, names

_MANY_LEVELS = 1000


def used_columns(spec: ModelSpec, data: Any, *, copy: bool = True) -> pd.DataFrame:
    """Return the columns that a model uses, as floats and categoricals, and check them.

    Parameters
    ----------
    spec
        The model.
    data
        A pandas data frame, a mapping of columns, or anything with ``to_pandas()``.
    copy
        Whether later changes of the data must not be seen.

    Returns
    -------
    pandas.DataFrame
        One column for each name in the model: numbers as float64, booleans as such, all
        else as categoricals whose levels occur; the rows are numbered from 0.

    Raises
    ------
    DataError
        If there are no rows, a column is missing or doubled, has missing or infinite
        values, or mixes numbers with other values.
    SpecError
        If the outcome is also a predictor or a group.
    """
    frame = as_frame(data)
    if len(frame) == 0:
        raise DataError(
            "the data have no rows, and a model needs at least one. Check what "
            "removed them."
        )
    keys = {spec.residual}
    if spec.is_categorical:
        keys.add(unquote_name(spec.outcome))
    keys |= {name for term in spec.special_terms for name in term.columns}
    if spec.residual_correlation is not None:
        keys |= set(spec.residual_correlation.subject)
    for term in spec.all_groups:
        keys |= set(term.labelled)
    columns = set(frame.columns)
    _refuse_own_outcome(spec, columns)
    found = names_in(spec, columns)
    refuse_unwritable("names of columns", found)
    always = complete_columns(spec, columns)
    has_levels = FAMILIES[spec.family].outcome in ("ordered", "binary")
    clean = {
        name: clean_column(
            name,
            column_named(name, frame),
            is_factor=name in keys,
            may_miss=name not in always,
            # A category that could have been seen, and was not, says something.
            all_levels=has_levels and name == unquote_name(spec.outcome),
        )
        for name in found
    }
    return pd.DataFrame(clean, index=pd.RangeIndex(len(frame)), copy=copy)


def complete_columns(spec: ModelSpec, columns: set[Any]) -> set[str]:
    """Name the columns that must have a value in each row.

    Upper ends of intervals need not, nor predictors whose missing values are modelled
    and that stand nowhere else.
    """
    may_miss = {each.text for each in spec.uncertain if each.may_miss}
    terms = tuple(
        text
        for text in spec.terms
        if (own := uncertain_predictor(text)) is None or own.text not in may_miss
    )
    others = names_in(replace(spec, cens_upper=None, terms=terms, values=()), columns)
    of_values = [text for each in spec.values for text in each.terms]
    return {*others, *names_in_terms(of_values, columns)}


def _refuse_own_outcome(spec: ModelSpec, columns: set[Any]) -> None:
    """Refuse an outcome that is to be predicted from itself."""
    outcome = unquote_name(spec.outcome)
    terms = [
        text for text in spec.all_terms if outcome in names_in_terms([text], columns)
    ]
    groups = [each.factor for each in spec.all_groups if outcome in each.key]
    if terms or groups:
        raise SpecError(
            f"the outcome {quote(outcome)} is also a predictor or a group, in "
            f"{quote_list([*terms, *groups])}: it would be predicted from itself. Take "
            "it out there, or, if another column is meant, check its name."
        )


def levels_without_rows(
    spec: ModelSpec, frame: pd.DataFrame, data: Any
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return levels that categoricals declare and no row has, by their columns.

    Parameters
    ----------
    spec
        The model.
    frame
        Its columns, as ``used_columns`` returns them: with levels that it keeps.
    data
        What they were taken from.
    """
    given = as_frame(data)
    kept = {
        str(name): set(map(str, column.cat.categories))
        for name, column in frame.items()
        if isinstance(column.dtype, pd.CategoricalDtype)
        and isinstance(given[name].dtype, pd.CategoricalDtype)
    }
    # A row may be a member of a group by any of several columns.
    for term in spec.all_groups:
        if term.membership:
            together = set().union(*(kept.get(name, ()) for name in term.key))
            kept |= {name: together for name in term.key if name in kept}
    found = {
        name: [
            text
            for text in map(level_text, given[name].cat.categories)
            if text not in levels
        ]
        for name, levels in kept.items()
    }
    return tuple((name, tuple(own)) for name, own in sorted(found.items()) if own)


def refuse_level_per_row(spec: ModelSpec, frame: pd.DataFrame) -> None:
    """Refuse a predictor of so many levels that a dense matrix of them is no model.

    More than a thousand levels that are not even twice in the rows, on average, are
    groups, or numbers that were read as text.
    """
    for name in dict.fromkeys(names_in_terms(spec.all_terms, set(frame.columns))):
        column = frame[name]
        if not isinstance(column.dtype, pd.CategoricalDtype):
            continue
        levels = len(column.cat.categories)
        if levels > _MANY_LEVELS and 2 * levels > len(frame):
            raise DataError(
                f"predictor {quote(name)} has {levels:,} levels in {len(frame):,} "
                "rows, and each would have a coefficient and a column of a dense "
                f"matrix. If they are groups, write (1 | {quote_name(name)}); if they "
                f"are numbers, pd.to_numeric(data[{quote(name)}])."
            )


def column_named(name: str, frame: pd.DataFrame) -> pd.Series[Any]:
    """Return a column of the user's frame, or say that it is not there."""
    if name not in frame.columns:
        raise DataError(
            f"the data have no column {quote(name)}.{_found_instead(name, frame)} "
            f"Columns: {quote_list(frame.columns, limit=10)}."
        )
    column = frame[name]
    if isinstance(column, pd.DataFrame):
        raise DataError(
            f"the data have {column.shape[1]} columns named {quote(name)}; "
            "rename or drop all but one."
        )
    return column


def _found_instead(name: str, frame: pd.DataFrame) -> str:
    """Say which similar column or index level there is, and how to use it."""
    if name in frame.index.names:
        return " The index has that name: pass data.reset_index()."
    for column in frame.columns:
        if not isinstance(column, str) and str(column) == name:
            return f" {column!r} is not a string: pass data.rename(columns=str)."
        if isinstance(column, str) and name in column.split():
            return f" Write names of several words in backticks, {quote_name(column)}."
    return suggestion(name, [str(column) for column in frame.columns])


def as_frame(data: Any) -> pd.DataFrame:
    """Return the user's data as a pandas frame, without copying.

    A mapping from names to single values is one row.
    """
    if isinstance(data, pd.DataFrame):
        return data
    if data is None:
        raise DataError(
            "data is None; pass a pandas DataFrame or a mapping of columns. (Methods "
            "of pandas with inplace=True return None.)"
        )
    if hasattr(data, "to_pandas"):
        return pd.DataFrame(data.to_pandas())
    if isinstance(data, Mapping) and all(map(is_scalar, data.values())):
        data = {name: [value] for name, value in data.items()}
    try:
        frame = pd.DataFrame(data)
    except (TypeError, ValueError) as problem:
        raise DataError(
            f"cannot read data of type {type(data).__name__!r} as a table ({problem}); "
            "pass a pandas DataFrame, a mapping of columns, or an iterator of these."
        ) from None
    given = [] if isinstance(data, Mapping) else [*frame.columns]
    if given and not any(isinstance(name, str) for name in given):
        row = "; data.iloc[[0]] is a row of a DataFrame that keeps their names"
        raise DataError(
            f"data of type {type(data).__name__!r} have columns without names. "
            "Pass a pandas DataFrame, or a mapping of columns, as in {'x': [1, 2]}"
            f"{row if isinstance(data, pd.Series) else ''}."
        )
    return frame


def names_in(spec: ModelSpec, columns: set[Any]) -> list[str]:
    """List the columns that a model names, in order, without repeats."""
    found = []
    for term in spec.all_groups:
        found += [*term.key, *term.weights]
    found += [name for term in spec.special_terms for name in term.columns]
    found += [] if spec.residual is None else [spec.residual]
    if spec.residual_correlation is not None:
        found += spec.residual_correlation.columns
    # Of groups also under complete pooling, so that every pooling sees the same rows.
    texts = [*spec.all_expressions, *spec.all_terms]
    return list(dict.fromkeys([*found, *names_in_terms(texts, columns)]))


def names_in_terms(texts: Sequence[str], columns: set[Any]) -> list[str]:
    """List the columns that terms and expressions name, with repeats."""
    return [
        name.name
        for text in texts
        for name in names(parse(text.removeprefix("-")))
        if name.quoted or name.name in columns or name.name not in CONSTANTS
    ]
