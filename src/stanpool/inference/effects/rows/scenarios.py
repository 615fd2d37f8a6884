"""Counterfactual copies of rows, and the comparisons of a variable's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array, without_nan
from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.data.columns import column_named
from stanpool.inference.effects.rows.grid import (
    check_known,
    column_at,
    levels_named,
    levels_of,
    number_named,
    roles_of,
)

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.model.prepared_model import PreparedModel

_MOST_CONTRASTS = 5000


@dataclass(frozen=True)
class Fixed:
    """The same value in all rows."""

    value: Any


@dataclass(frozen=True)
class Shifted:
    """The value of each row and a number more."""

    by: float


@dataclass(frozen=True)
class Scaled:
    """The value of each row, multiplied by one and ``by``."""

    by: float


@dataclass(frozen=True, eq=False)
class Given:
    """Any values of the rows, shape ``(rows,)``."""

    values: Array


Change = Fixed | Shifted | Scaled | Given


@dataclass(frozen=True)
class Scenario:
    """Copies of rows in which some columns are changed; hashable."""

    changes: tuple[tuple[str, Change], ...] = ()

    @property
    def fixed(self) -> dict[str, Any]:
        """The columns that have the same value in all rows."""
        return {
            name: each.value for name, each in self.changes if isinstance(each, Fixed)
        }

    def of_rows(self, model: PreparedModel, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with what is changed row by row."""
        moved: dict[str, Any] = {}
        for name, each in self.changes:
            if isinstance(each, Shifted | Scaled):
                column = column_named(name, frame).to_numpy(dtype=float)
                is_shifted = isinstance(each, Shifted)
                moved[name] = column + (1.0 if is_shifted else column) * each.by
            elif isinstance(each, Given):
                moved[name] = each.values
        return frame.assign(**moved) if moved else frame

    def columns(self, model: PreparedModel, rows: int) -> dict[str, Any]:
        """Return the columns whose values are the same in all of some rows."""
        return {
            name: column_at(model, name, value, rows)
            for name, value in self.fixed.items()
        }

    def with_fixed(self, model: PreparedModel, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows with the values that are the same in all."""
        fixed = self.columns(model, len(frame))
        return frame.assign(**fixed) if fixed else frame


@dataclass(frozen=True)
class Contrast:
    """Two values of a variable, or of several, that are compared.

    Attributes
    ----------
    terms
        The variables.
    high, low
        What the two are called, and the changes that make them.
    change
        What the difference is called, where that is not one of two values.
    """

    terms: tuple[str, ...]
    high: tuple[tuple[str, Change], ...]
    low: tuple[tuple[str, Change], ...]
    names: tuple[str, str]
    change: str = ""


def contrasts_of(
    model: PreparedModel, frame: pd.DataFrame, name: str, asked: Any
) -> list[Contrast]:
    """Return the comparisons of a variable's values that were asked for.

    Parameters
    ----------
    model, frame
        The model, and the rows.
    name
        The variable.
    asked
        Of numbers a number, the difference of two values about that of each row; two
        values; ``"sd"``, ``"2sd"``, ``"iqr"``, ``"minmax"``; or a function from the
        column to the low and the high values. Of factors two levels, ``"reference"``,
        ``"sequential"``, ``"pairwise"`` or ``"all"``. None for a difference of 1, or
        each level and the first.
    """
    levels = levels_of(model, name)
    if callable(asked):
        return [_by_function(name, asked, column_named(name, frame))]
    if levels or name in roles_of(model).groups:
        return _of_levels(model, name, levels, asked)
    if asked is None and set(np.unique(without_nan(model.data[name]))) == {0.0, 1.0}:
        return [_pair(name, 1.0, 0.0, ("1", "0"))]
    if isinstance(asked, str):
        return [_of_word(name, asked, without_nan(model.data[name]))]
    if asked is None or np.ndim(asked) == 0:
        by = number_named(name, 1 if asked is None else asked)
        return [_shift(name, by, f"{by:+g}")]
    low, high = (number_named(name, each) for each in _two(name, asked))
    return [_pair(name, high, low, (f"{high:g}", f"{low:g}"))]


def _two(name: str, asked: Any) -> Sequence[Any]:
    values = list(asked)
    if len(values) != 2:
        raise SpecError(
            f"variables has {len(values)} values of {quote(name)}, and two are "
            "compared, the lower first, as in "
            f"{{{quote(name)}: [low, high]}}."
        )
    return values


def _pair(name: str, high: Any, low: Any, names: tuple[str, str]) -> Contrast:
    ends = ((name, Fixed(high)),), ((name, Fixed(low)),)
    return Contrast((name,), *ends, names)


def _shift(name: str, by: float, change: str) -> Contrast:
    ends = ((name, Shifted(by / 2)),), ((name, Shifted(-by / 2)),)
    return Contrast((name,), *ends, (f"x + {by / 2:g}", f"x - {by / 2:g}"), change)


def _of_word(name: str, word: str, column: Array) -> Contrast:
    if word in ("sd", "2sd"):
        times = 1 if word == "sd" else 2
        return _shift(name, times * float(column.std(ddof=1)), f"+{word}")
    ends = {"iqr": (0.25, 0.75, "Q1", "Q3"), "minmax": (0.0, 1.0, "min", "max")}
    if word not in ends:
        raise SpecError(
            f"variables has {quote(word)} for {quote(name)}, a number: pass a number, "
            "two values, a function, or one of 'sd', '2sd', 'iqr', 'minmax'."
        )
    *at, low_name, high_name = ends[word]
    low, high = np.quantile(column, at).tolist()
    return _pair(name, high, low, (high_name, low_name))


def _of_levels(
    model: PreparedModel, name: str, levels: list[Any], asked: Any
) -> list[Contrast]:
    words = ("reference", "sequential", "pairwise", "all")
    asked = "reference" if asked is None else asked
    if isinstance(asked, str):
        if asked not in words:
            raise SpecError(
                f"variables has {quote(asked)} for {quote(name)}, a factor: pass two "
                f"levels, the reference first, or one of {quote_list(words)}."
            )
        pairs = {
            "reference": [(each, levels[0]) for each in levels[1:]],
            "sequential": list(zip(levels[1:], levels[:-1], strict=True)),
            "pairwise": [(b, a) for a, b in combinations(levels, 2)],
            "all": [(b, a) for a, b in permutations(levels, 2)],
        }[asked]
    else:
        if np.ndim(asked) != 1:
            raise SpecError(
                f"variables has {quote(asked)} for {quote(name)}, a factor: pass two "
                f"levels, the reference first, or one of {quote_list(words)}."
            )
        low, high = levels_named(model, name, _two(name, asked))
        pairs = [(high, low)]
    if len(pairs) > _MOST_CONTRASTS:
        raise SpecError(
            f"{len(levels)} levels of {quote(name)} make {len(pairs):,} comparisons. "
            "Pass two levels, or 'reference'."
        )
    return [_pair(name, b, a, (_shown(b), _shown(a))) for b, a in pairs]


def _by_function(name: str, function: Callable[..., Any], column: Any) -> Contrast:
    """Compare the low and the high values that a function makes of a column."""
    try:
        found = function(column.copy())
        low, high = (
            np.broadcast_to(np.asarray(each, dtype=float), len(column))
            for each in found
        )
    except Exception as problem:  # whatever the user's function raises
        raise DataError(
            f"the function in variables for {quote(name)} must return two columns of "
            f"numbers, the low and the high values: {problem}"
        ) from None
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise DataError(
            f"the function in variables for {quote(name)} returned values that are "
            "missing or infinite."
        )
    ends = ((name, Given(high)),), ((name, Given(low)),)
    return Contrast((name,), *ends, ("high", "low"))


def variables_asked(
    model: PreparedModel, variables: Any, *, only_numbers: bool = False
) -> Mapping[str, Any]:
    """Return what was asked of each variable, by default of all predictors."""
    if variables is None:
        found = {
            name: None
            for name in roles_of(model).predictors
            if not (only_numbers and levels_of(model, name))
        }
        if not found:
            raise SpecError(
                "the model has no "
                f"{'predictor that is a number' if only_numbers else 'predictors'}, so "
                "that there is nothing to compare; see fit.predictions."
            )
        return found
    if isinstance(variables, str):
        variables = [variables]
    found = (
        dict(variables) if isinstance(variables, Mapping) else dict.fromkeys(variables)
    )
    if not found:
        raise SpecError("variables is empty; leave it out for all predictors.")
    for name in found:
        check_known(model, name, "variables")
    return found


def _shown(level: Any) -> str:
    return f"{level:g}" if isinstance(level, float) else str(level)
