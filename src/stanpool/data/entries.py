"""The entries of one column of the user's data: floats, booleans or a categorical.

What a column holds is decided by all of its entries: one that is of another kind than
the rest is refused, by its row, for it would make a factor of a column of numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.errors import DataError, quote, quote_list
from stanpool.language.model_spec import LARGEST_NUMBER

_NUMBERS = ("floating", "integer", "mixed-integer-float", "decimal")
_WITHOUT_MEANING = ("datetime", "timedelta", "date", "time", "period", "complex")
# How moments and spans of time become numbers of days.
_DAYS = {
    **dict.fromkeys(("datetime", "date"), "(pd.to_datetime({0}) - start).dt.days"),
    "timedelta": "{0}.dt.total_seconds() / 86400",
    "period": "({0}.dt.to_timestamp() - start).dt.days",
}
_FEW_LEVELS = 10
_MOSTLY = 0.9
_READS_AS_NUMBER = re.compile(
    r"\s*[+-]?(\d{1,3}([ ,]\d{3})+|\d+)?([.,]\d*)?([eE][+-]?\d+)?\s*%?\s*"
)
_FROM_ON = re.compile(
    r"(?:>=?|\u2265|over|above|more than|at least|from)\s*(\d+)"
    r"|(\d+)\s*(?:\+|(?:and|or) (?:over|above|more|older|up|higher|later)|plus)",
    re.IGNORECASE,
)
_UP_TO = re.compile(
    r"(?:<=?|\u2264|under|below|less than|fewer than|at most|up to)\s*(\d+)"
    r"|(\d+)\s*(?:and|or) (?:under|below|less|fewer|younger|lower|earlier)",
    re.IGNORECASE,
)
_FIRST_ROW: ContextVar[int] = ContextVar("_FIRST_ROW", default=0)


class EntriesError(DataError):
    """Entries of a column cannot serve.

    Attributes
    ----------
    column, finding, advice
        Which column it is, what is wrong with it, and what to do, which depends on
        where the data are from.
    is_missing
        Whether entries are missing; else they are numbers as people write them.
    """

    def __init__(self, column: str, finding: str, advice: str, *, is_missing: bool):
        super().__init__(f"{finding} {advice}")
        self.column, self.finding, self.advice = column, finding, advice
        self.is_missing = is_missing

    def advising(self, advice: str) -> EntriesError:
        """Return the same with other advice."""
        return EntriesError(
            self.column, self.finding, advice, is_missing=self.is_missing
        )


def clean_column(
    name: str,
    column: pd.Series[Any],
    *,
    is_factor: bool,
    may_miss: bool = False,
    all_levels: bool = False,
) -> Any:
    """Return a column as float64, booleans or a categorical, and check its entries.

    Parameters
    ----------
    name, column
        The column.
    is_factor
        Whether numbers are labels, too.
    may_miss
        Whether numbers may be missing.
    all_levels
        Whether a categorical keeps levels that do not occur.

    Raises
    ------
    DataError
        If entries are missing, infinite or of several kinds.
    """
    if not is_factor and column.dtype == np.float64:
        values = column.to_numpy()
        # Finite only if all are numbers, and none of them is too large.
        if np.einsum("i,i", values, values) <= LARGEST_NUMBER**2:
            return values
    missing = rows_where(column.isna().to_numpy())
    if missing.size and not (may_miss and pd.api.types.is_numeric_dtype(column)):
        raise EntriesError(
            name,
            f"column {quote(name)} has {missing.size} missing value(s) (rows "
            f"{quote_list(missing.tolist())}, counted from 0).",
            "Rows are not dropped silently: call "
            f"data.dropna(subset=[{quote(name)}]) or impute first.",
            is_missing=True,
        )
    if isinstance(column.dtype, pd.CategoricalDtype):
        return _as_categorical(name, column, all_levels=all_levels)
    kind = _kind_of(name, column)
    if is_factor:
        return _as_categorical(name, column)
    if kind.startswith(_WITHOUT_MEANING):
        raise DataError(
            f"column {quote(name)} holds values of type {kind!r}; make it a number "
            f"or a category first{_as_number(name, kind)}."
        )
    if kind == "boolean":
        return column.to_numpy(dtype=bool)
    if kind in _NUMBERS:
        return _finite(name, _as_floats(column))
    labels = _as_categorical(name, column)
    if kind == "string":
        _refuse_numbers_as_text(name, labels)
    return labels


def _kind_of(name: str, column: pd.Series[Any]) -> str:
    """Say what all entries of a column are; refuse one that holds several kinds."""
    kind = pd.api.types.infer_dtype(column, skipna=False)
    if kind == "unknown-array" and _is_arrow_text(column.dtype):
        levels = pd.factorize(column.array)[1].to_numpy(dtype=object)
        kind = pd.api.types.infer_dtype(levels, skipna=False)
    if not kind.startswith("mixed") or kind in _NUMBERS:
        return kind
    kinds = [_kind_of_entry(value) for value in column]
    counted = Counter(kinds).most_common()
    usual = counted[0][0]
    if len(counted) == 1:
        return "floating" if usual == "number" else usual
    at = [row for row, each in enumerate(kinds) if each != usual]
    shown = [
        f"row {row + _FIRST_ROW.get()} has {quote(column.iloc[row])} ({kinds[row]})"
        for row in at[:5]
    ]
    more = f" and {len(at) - 5} more" if len(at) > 5 else ""
    raise DataError(
        f"column {quote(name)} mixes types: {len(kinds) - len(at)} row(s) have a "
        f"{usual}, and {', '.join(shown)}{more}, counted from 0. Correct these rows, "
        f"or make all of one type: numbers by pd.to_numeric(data[{quote(name)}], "
        "errors='coerce'), which leaves missing values where there are none, or labels "
        f"by data[{quote(name)}].astype(str)."
    )


def _kind_of_entry(value: object) -> str:
    """Name the type of an entry; all real numbers are of one."""
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, str):
        return "text"
    # Decimals are numbers, though not registered as real ones.
    is_number = isinstance(value, Real) or type(value).__name__ == "Decimal"
    return "number" if is_number else type(value).__name__


def _as_floats(column: pd.Series[Any]) -> np.ndarray:
    """Return numbers as floats; those beyond all floats as the largest."""
    try:
        return column.to_numpy(dtype=float)
    except OverflowError:
        return np.array([_as_float(value) for value in column])


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return float(np.finfo(float).max) * (1 if value > 0 else -1)


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    """Return numbers if their squares are finite, too."""
    beyond = rows_where(np.abs(values) > LARGEST_NUMBER)
    infinite = rows_where(np.isinf(values)) if beyond.size else beyond
    if infinite.size:
        raise DataError(
            f"column {quote(name)} has {infinite.size} infinite value(s) (rows "
            f"{quote_list(infinite.tolist())}, counted from 0); numbers must be "
            "finite. Correct or drop these rows."
        )
    if beyond.size:
        raise DataError(
            f"column {quote(name)} has {beyond.size} value(s) beyond "
            f"{LARGEST_NUMBER:g} (rows {quote_list(beyond.tolist())}, counted from 0), "
            "whose squares overflow. Give it in another unit."
        )
    return values


def _as_categorical(
    name: str, column: pd.Series[Any], *, all_levels: bool = False
) -> pd.Categorical:
    """Return a categorical of whole numbers or text, usually of levels that occur."""
    is_categorical = isinstance(column.dtype, pd.CategoricalDtype)
    if is_categorical:
        values = pd.Categorical(
            column if all_levels else column.cat.remove_unused_categories()
        )
        codes, found = values.codes, values.categories.to_numpy()
    else:
        try:
            codes, found = _factorized(column)
        except TypeError as problem:
            raise DataError(
                f"column {quote(name)} holds values that cannot be labels "
                f"({problem}); make them text: data[{quote(name)}].astype(str)."
            ) from None
    if found.dtype.kind == "f" and all_whole(found):
        found = found.astype(np.int64)
    if found.dtype.kind in "iu":
        levels = pd.Index(found)
    else:
        # pandas would not make an index of text that is no UTF-8.
        each = found if found.dtype == object else pd.Index(found)
        texts = [level if type(level) is str else level_text(level) for level in each]
        refuse_unwritable(f"levels of column {quote(name)}", texts)
        levels = pd.Index(texts, dtype=object)
    if not levels.is_unique:
        raise DataError(
            f"levels of column {quote(name)} differ in type only, such as "
            f"{quote_list(levels[levels.duplicated()], limit=3)}; make them text "
            f"first: data[{quote(name)}].astype(str)."
        )
    ordered = is_categorical and bool(column.cat.ordered)
    return pd.Categorical.from_codes(codes, categories=levels, ordered=ordered)


def _factorized(column: pd.Series[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return codes and sorted levels, of text and of small whole numbers quickly."""
    if _is_arrow_text(column.dtype):
        # Arrow numbers text in its own memory, without a Python object for each row.
        codes, levels = pd.factorize(column.array)
        occurs = np.flatnonzero(np.bincount(codes, minlength=len(levels)))
        found = levels.to_numpy(dtype=object)[occurs]
        order = np.argsort(found)
        place = np.zeros(len(levels), dtype=np.intp)
        place[occurs[order]] = np.arange(len(order))
        return place[codes], found[order]
    values = column.to_numpy()
    if len(values) and values.dtype.kind in "iu" and values.dtype.itemsize <= 8:
        low, high = int(values.min()), int(values.max())
        if high - low <= len(values):
            occurs = np.zeros(high - low + 1, dtype=bool)
            at = (values - low).astype(np.intp)
            occurs[at] = True
            return (np.cumsum(occurs) - 1)[at], np.flatnonzero(occurs) + low
    codes, found = pd.factorize(values, sort=True)
    return codes, np.asarray(found)


def _is_arrow_text(dtype: Any) -> bool:
    """Whether a column is text, or a dictionary of values, in the memory of Arrow."""
    is_arrow = isinstance(dtype, pd.StringDtype | pd.ArrowDtype)
    return is_arrow and dtype.kind == "O"


def _as_number(name: str, kind: str) -> str:
    """Say how a column of dates or spans of time becomes a number of days."""
    days = _DAYS.get(kind.removesuffix("64"))
    if days is None:
        return ""
    code = days.format(f"data[{quote(name)}]")
    since = " with a date as start" if "start" in days else ""
    return f": days, for example, as in {code}{since}"


def level_text(level: object) -> str:
    """Write a level as text, a day without the time at which it begins."""
    if isinstance(level, pd.Timestamp) and level.tz is None:
        return str(level.date() if level == level.normalize() else level)
    return str(level)


def refuse_unwritable(what: str, texts: Iterable[str]) -> None:
    """Refuse labels that no file of results can hold."""
    texts = list(texts)
    together = "".join(texts)
    if "\0" in together or not _is_utf8(together):
        bad = [text for text in texts if "\0" in text or not _is_utf8(text)]
        raise DataError(
            f"{what} hold characters that cannot be written to a file, NUL or half of "
            f"a surrogate pair: {quote_list(bad)}. Rename them."
        )


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_numbers_as_text(name: str, labels: pd.Categorical) -> None:
    """Refuse numbers that some entries, or how they are written, have made text.

    A factor of a few levels, and codes that all are digits, are left alone; whole
    numbers with an open band at an end, too, if they occur twice on average.
    """
    levels = labels.categories
    if len(levels) <= _FEW_LEVELS or all(level.isdecimal() for level in levels):
        return
    if 2 * len(levels) <= len(labels) and _are_bands(levels):
        return
    is_number = np.array([_reads_as_number(level) for level in levels])
    if is_number.mean() < _MOSTLY:
        return
    found = f"such as {quote_list(levels[is_number], limit=3)}"
    if not is_number.all():
        rows = np.flatnonzero(~is_number[labels.codes])
        shown = [
            f"row {row + _FIRST_ROW.get()} has {quote(labels[row])}"
            for row in rows[:5].tolist()
        ]
        more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
        found = f"but for {', '.join(shown)}{more}, rows counted from 0"
    raise EntriesError(
        name,
        f"column {quote(name)} is text that reads as numbers, {found}: it would be a "
        f"factor of {len(levels)} levels, each with a coefficient.",
        f"Make it numbers, by pd.to_numeric(data[{quote(name)}], errors='coerce'), "
        "and drop or impute what is missing then. If it is a factor, say so by "
        f"data[{quote(name)}].astype('category').",
        is_missing=False,
    )


def _reads_as_number(text: str) -> bool:
    """Whether a text is a number as people write them, 1,5 and 1,000 too."""
    return any(map(str.isdecimal, text)) and bool(_READS_AS_NUMBER.fullmatch(text))


def _are_bands(levels: Iterable[str]) -> bool:
    """Whether levels are whole numbers and, beyond them all, bands such as 20+."""
    numbers, below, above = [], [], []
    for level in map(str.strip, levels):
        if level.isdecimal():
            numbers.append(int(level))
        elif found := _FROM_ON.fullmatch(level):
            above.append(int(found[1] or found[2]))
        elif found := _UP_TO.fullmatch(level):
            below.append(int(found[1] or found[2]))
        else:
            return False
    return (
        len(below) <= 1
        and len(above) <= 1
        and all(end <= min(numbers) for end in below)
        and all(end >= max(numbers) for end in above)
    )


def type_of(column: pd.Series[Any]) -> str:
    """Say what a cleaned column holds: numbers, booleans, whole numbers or text."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return "booleans" if column.dtype.kind == "b" else "numbers"
    whole = pd.api.types.is_integer_dtype(column.cat.categories.dtype)
    return "whole numbers" if whole else "text"


def as_before(name: str, column: pd.Series[Any], before: str) -> pd.Series[Any]:
    """Return 0 and 1 as booleans, or booleans as numbers, as a column was before."""
    now = type_of(column)
    if (now, before) == ("booleans", "numbers"):
        return column.astype(float)
    if (now, before) == ("numbers", "booleans"):
        values = column.to_numpy()
        rule = (
            f"column {quote(name)} was true or false in the data of the fit, so it "
            "must be 1 or 0"
        )
        refuse_rows(values, ~np.isin(values, (0, 1)), rule)
        return column.astype(bool)
    return column


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
    rows = rows_where(bad)
    if rows.size:
        first = np.flatnonzero(bad)[:5]
        shown = [
            f"row {row} has {value:g}"
            for row, value in zip(rows.tolist(), values[first].tolist(), strict=False)
        ]
        more = f" and {rows.size - 5} more" if rows.size > 5 else ""
        raise DataError(
            f"{rule}; this does not hold in {rows.size} row(s), counted from 0: "
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


def rows_where(mask: np.ndarray) -> np.ndarray:
    """Return the numbers of rows for messages."""
    return np.flatnonzero(mask) + _FIRST_ROW.get()
