"""The user's data to the columns that a model uses, each of them checked."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Sequence
from typing import Any

import pandas as pd

from stanpool.entries import clean_column, refuse_unwritable
from stanpool.errors import DataError, listed, shorten, suggestion
from stanpool.formula import alias_quoted_names, quote_name, unquote_name
from stanpool.spec import FAMILIES, ModelSpec

_CONSTANTS = {"True", "False", "None", "np", "contr"}


def used_columns(spec: ModelSpec, data: Any) -> pd.DataFrame:
    """Copy the columns that a model uses, as floats and categoricals, and check them.

    Parameters
    ----------
    spec
        The model.
    data
        A pandas data frame, a mapping of columns, or anything with ``to_pandas()``.

    Returns
    -------
    pandas.DataFrame
        One column for each name in the model: numbers and booleans as float64, all
        else as categoricals whose levels occur; the rows are numbered from 0.

    Raises
    ------
    DataError
        If there are no rows, a column is missing or doubled, has missing or infinite
        values, or mixes numbers with other values.
    """
    frame = as_frame(data)
    if len(frame) == 0:
        raise DataError(
            "the data have no rows, and a model needs some. See what emptied them."
        )
    keys = {spec.residual}
    if FAMILIES[spec.family].outcome == "categories":
        keys.add(unquote_name(spec.outcome))
    if spec.latent is not None:
        keys |= {spec.latent.scores_of, spec.latent.loadings_of}
    for term in spec.groups:
        keys |= set(() if term.membership == "matrix" else term.key)
    names = names_in(spec, set(frame.columns))
    refuse_unwritable("names of columns", names)
    clean = {
        name: clean_column(
            name,
            column_named(name, frame),
            is_factor=name in keys,
            may_miss=name == spec.cens_upper,
        )
        for name in names
    }
    return pd.DataFrame(clean, index=pd.RangeIndex(len(frame)), copy=True)


def column_named(name: str, frame: pd.DataFrame) -> pd.Series[Any]:
    """Return a column of the user's frame, or say that it is not there."""
    if name not in frame.columns:
        raise DataError(
            f"the data have no column {shorten(name)}.{_found_instead(name, frame)} "
            f"Columns: {listed(frame.columns, limit=10)}."
        )
    column = frame[name]
    if isinstance(column, pd.DataFrame):
        raise DataError(
            f"the data have {column.shape[1]} columns named {shorten(name)}; "
            "rename or drop all but one."
        )
    return column


def _found_instead(name: str, frame: pd.DataFrame) -> str:
    """Say what there is in the place of a column, and how to get at it."""
    if name in frame.index.names:
        return " The index has that name: pass data.reset_index()."
    for column in frame.columns:
        if not isinstance(column, str) and str(column) == name:
            return f" {column!r} is no text: pass data.rename(columns=str)."
        if isinstance(column, str) and name in column.split():
            return f" Write names of several words in backticks, {quote_name(column)}."
    return suggestion(name, [str(column) for column in frame.columns])


def as_frame(data: Any) -> pd.DataFrame:
    """Return the user's data as a pandas frame, without copying."""
    if isinstance(data, pd.DataFrame):
        return data
    if data is None:
        raise DataError(
            "data is None; pass a pandas DataFrame or a mapping of columns. (Methods "
            "of pandas with inplace=True return None.)"
        )
    if hasattr(data, "to_pandas"):
        return pd.DataFrame(data.to_pandas())
    try:
        return pd.DataFrame(data)
    except (TypeError, ValueError) as problem:
        raise DataError(
            f"cannot read data of type {type(data).__name__!r} as a table ({problem}); "
            "pass a pandas DataFrame, a mapping of columns, or an iterator of these."
        ) from None


def names_in(spec: ModelSpec, columns: set[Any]) -> list[str]:
    """List the columns that a model names, in order, without repeats."""
    # Of groups also under complete pooling, so that every pooling sees the same rows.
    texts = [spec.outcome, *spec.all_terms, *spec.offsets]
    names = []
    for term in spec.groups:
        names += [*term.key, *term.weights]
    if spec.latent is not None:
        names += [spec.latent.scores_of, spec.latent.loadings_of]
    optional = (
        spec.trials,
        spec.se,
        spec.exposure,
        spec.weights,
        spec.cens,
        spec.cens_upper,
        *(spec.trunc or ()),
        spec.residual,
    )
    names += [name for name in optional if isinstance(name, str)]
    return list(dict.fromkeys([*names, *names_in_terms(texts, columns)]))


def names_in_terms(texts: Sequence[str], columns: set[Any]) -> list[str]:
    """List the columns that terms of a formula name, with repeats."""
    replaced, aliases = alias_quoted_names(texts)
    return [
        aliases.get(name, name)
        for text in replaced
        for name in _variables(text, columns)
    ]


def _variables(text: str, columns: set[Any]) -> list[str]:
    """List the names in a term that are data: no functions, attributes, keywords."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text.lstrip("-")).readline))
    except (tokenize.TokenError, SyntaxError):
        return []
    found = []
    for position, token in enumerate(tokens[:-1]):
        if token.type != tokenize.NAME:
            continue
        name, after = token.string, tokens[position + 1].string
        before = tokens[position - 1].string if position else ""
        is_other = (
            before == "."
            or after in ("(", "=")
            or keyword.iskeyword(name)
            or name in _CONSTANTS
        )
        if name in columns and before != "." and after not in ("(", "="):
            found.append(name)
        elif not is_other:
            found.append(name)
    return found
