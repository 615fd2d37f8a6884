"""The user's data to the columns that a model uses: checked, floats or categoricals."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import pandas as pd

from stanpool.errors import DataError, listed, shorten, suggestion
from stanpool.formula import alias_quoted_names, quote_name, unquote_name
from stanpool.spec import FAMILIES, ModelSpec

_CONSTANTS = {"True", "False", "None", "np", "contr"}
_LARGEST = 1e150  # sums of squares are finite
_FIRST_ROW: ContextVar[int] = ContextVar("_FIRST_ROW", default=0)


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
        If there are no rows, a column is missing or doubled, or has missing or
        infinite values.
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
    clean = {
        name: clean_column(
            name,
            column_named(name, frame),
            is_factor=name in keys,
            may_miss=name == spec.cens_upper,
        )
        for name in names_in(spec, set(frame.columns))
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


def clean_column(
    name: str, column: pd.Series[Any], *, is_factor: bool, may_miss: bool = False
) -> Any:
    """Return a column as float64 or categorical, with nothing missing or infinite."""
    missing = _rows_where(column.isna().to_numpy())
    if missing.size and not (may_miss and pd.api.types.is_numeric_dtype(column)):
        raise DataError(
            f"column {shorten(name)} has {missing.size} missing value(s) (rows "
            f"{listed(missing.tolist())}, counted from 0). Rows are not dropped "
            f"silently: call data.dropna(subset=[{shorten(name)}]) or impute first."
        )
    is_categorical = isinstance(column.dtype, pd.CategoricalDtype)
    if is_factor or is_categorical or not _is_numeric(name, column):
        return _as_categorical(name, column)
    values = column.to_numpy(dtype=float)
    beyond = _rows_where(np.abs(values) > _LARGEST)
    infinite = _rows_where(np.isinf(values)) if beyond.size else beyond
    if infinite.size:
        raise DataError(
            f"column {shorten(name)} has {infinite.size} infinite value(s) (rows "
            f"{listed(infinite.tolist())}, counted from 0); numbers must be finite. "
            "Correct or drop these rows."
        )
    if beyond.size:
        raise DataError(
            f"column {shorten(name)} has {beyond.size} value(s) beyond {_LARGEST:g} "
            f"(rows {listed(beyond.tolist())}, counted from 0), whose squares "
            "overflow. Give it in another unit."
        )
    return values


def _is_numeric(name: str, column: pd.Series[Any]) -> bool:
    """Whether a column holds numbers or booleans; refuse times and complex numbers."""
    kind = pd.api.types.infer_dtype(column, skipna=False)
    if kind.startswith(("datetime", "timedelta", "date", "time", "period", "complex")):
        raise DataError(
            f"column {shorten(name)} holds values of type {kind!r}; make it a number "
            "or a category first."
        )
    return kind in ("floating", "integer", "mixed-integer-float", "decimal", "boolean")


def _as_categorical(name: str, column: pd.Series[Any]) -> pd.Categorical:
    """Return a categorical of whole numbers or text whose levels all occur."""
    is_categorical = isinstance(column.dtype, pd.CategoricalDtype)
    if is_categorical:
        values = pd.Categorical(column.cat.remove_unused_categories())
        codes, found = values.codes, values.categories.to_numpy()
    else:
        try:
            codes, found = pd.factorize(column.to_numpy(), sort=True)
        except TypeError as problem:
            raise DataError(
                f"column {shorten(name)} mixes types that cannot be ordered "
                f"({problem}); make them text: data[{shorten(name)}].astype(str)."
            ) from None
    whole = found.dtype.kind == "f" and all_whole(found)
    levels = pd.Index(found.astype(np.int64) if whole else found)
    if not pd.api.types.is_integer_dtype(levels.dtype):
        levels = pd.Index([level_text(level) for level in levels], dtype=object)
    if not levels.is_unique:
        raise DataError(
            f"levels of column {shorten(name)} differ in type only, such as "
            f"{listed(levels[levels.duplicated()], limit=3)}; make them text first: "
            f"data[{shorten(name)}].astype(str)."
        )
    ordered = is_categorical and bool(column.cat.ordered)
    return pd.Categorical.from_codes(codes, categories=levels, ordered=ordered)


def level_text(level: object) -> str:
    """Write a level as text, a day without the time at which it begins."""
    if isinstance(level, pd.Timestamp) and level.tz is None:
        return str(level.date() if level == level.normalize() else level)
    return str(level)


def type_of(column: pd.Series[Any]) -> str:
    """Say what a column that was cleaned holds: numbers, whole numbers or text."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return "numbers"
    whole = pd.api.types.is_integer_dtype(column.cat.categories.dtype)
    return "whole numbers" if whole else "text"


def all_whole(values: np.ndarray) -> bool:
    """Whether all are whole numbers that integers hold exactly."""
    return bool(np.all((values == np.round(values)) & (np.abs(values) < 2**53)))


def refuse_rows(
    values: np.ndarray,
    bad: np.ndarray,
    rule: str,
    advice: str = "Correct or drop these rows.",
) -> None:
    """Raise if any row breaks a rule, naming rows and values."""
    rows = _rows_where(bad)
    if rows.size:
        first = np.flatnonzero(bad)[:5]
        shown = [
            f"row {row} has {value:g}"
            for row, value in zip(rows.tolist(), values[first].tolist(), strict=False)
        ]
        more = f" and {rows.size - 5} more" if rows.size > 5 else ""
        raise DataError(
            f"{rule}; not so in {rows.size} row(s), counted from 0: "
            f"{', '.join(shown)}{more}. {advice}"
        )


@contextmanager
def rows_counted_from(first: int) -> Iterator[None]:
    """Count rows in messages from a number on: those of a chunk of more data."""
    token = _FIRST_ROW.set(first)
    try:
        yield
    finally:
        _FIRST_ROW.reset(token)


def _rows_where(mask: np.ndarray) -> np.ndarray:
    """Return the numbers of rows for messages."""
    return np.flatnonzero(mask) + _FIRST_ROW.get()
