"""The rows at which a model is asked what it expects, and the cells of averages.

A grid is a data frame of the user's columns. It is the data themselves, typical or
balanced values of the predictors, copies of the data with other values, or the user's
own frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array, Indices, without_nan
from stanpool.base.errors import DataError, SpecError, quote, quote_list, suggestion
from stanpool.base.options import GridKind
from stanpool.data.columns import as_frame, names_in_terms
from stanpool.data.entries import level_text
from stanpool.inference.cells import cells_by, columns_instead
from stanpool.language.expression import parse
from stanpool.language.vocabulary import calls, names

if TYPE_CHECKING:
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel

_MOST_ROWS = 10_000_000
_OF_NUMBERS = {
    "minmax": (0.0, 1.0),
    "iqr": (0.25, 0.75),
    "quartiles": (0.25, 0.5, 0.75),
}


@dataclass(frozen=True)
class Roles:
    """The columns of a model's data, by what they are for.

    Attributes
    ----------
    predictors
        Columns of the terms, of the population and of groups.
    offsets
        Columns of the offsets and the exposure.
    groups
        Columns of the grouping factors and of other terms whose levels have
        coefficients.
    """

    predictors: tuple[str, ...]
    offsets: tuple[str, ...]
    groups: tuple[str, ...]


def roles_of(model: PreparedModel) -> Roles:
    """Return the columns that say what a model expects, by what they are for."""
    spec, known = model.spec, set(model.data.columns)
    given = [each for each in (*spec.offsets, spec.exposure) if isinstance(each, str)]
    groups = [name for term in spec.groups for name in term.key]
    groups += [side.column for term in model.design.special for side in term.sides]
    return Roles(
        predictors=tuple(dict.fromkeys(names_in_terms(spec.all_terms, known))),
        offsets=tuple(dict.fromkeys(names_in_terms(given, known))),
        groups=tuple(dict.fromkeys(groups)),
    )


def levels_of(model: PreparedModel, name: str) -> list[Any]:
    """Return the levels of a factor in the model's order; none of numbers."""
    column = model.data[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return list(column.cat.categories.tolist())
    if column.dtype == bool:
        return [False, True]
    return np.unique(column).tolist() if _is_coded(model, name) else []


def _is_coded(model: PreparedModel, name: str) -> bool:
    """Whether a formula makes categories of a column of numbers, as in ``mo(x)``."""
    return any(
        call.name in ("C", "mo") and name in [each.name for each in names(call)]
        for text in model.spec.all_terms
        for call in calls(parse(text.removeprefix("-")))
    )


def levels_named(model: PreparedModel, name: str, values: Sequence[Any]) -> list[Any]:
    """Return the levels of a factor that values stand for, or refuse a value."""
    levels = levels_of(model, name)
    known = {_key(level): level for level in levels}
    known |= {level_text(level): level for level in levels}
    is_group = name in roles_of(model).groups
    found = []
    for value in values:
        level = known.get(level_text(value), known.get(_key(value)))
        if isinstance(value, str) and isinstance(level, str) and value != level:
            level = None  # the texts "1" and "01" are different levels
        if level is None and not is_group:  # a new group is no mistake
            raise DataError(
                f"{quote(name)} has no level {quote(value)} in the data of the fit; "
                f"its levels are {quote_list(levels, limit=10)}."
                + suggestion(str(value), map(str, levels))
            )
        found.append(value if level is None else level)
    return found


def _key(level: Any) -> Any:
    """Return what spellings of a level share, such as 1, 1.0, "1", True and "True"."""
    text = level_text(level)
    try:
        return float({"True": "1", "False": "0"}.get(text, text))
    except ValueError:
        return text


def number_named(name: str, value: Any) -> float:
    """Return a number that a column can have, or refuse what is none."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if isinstance(value, str) or not np.isfinite(number):
        raise DataError(
            f"{quote(name)} is a number, and {quote(value)} is not a finite number. "
            f"Pass numbers, as in {{{quote(name)}: [0, 1]}}."
        )
    return number


def values_of(model: PreparedModel, name: str, asked: Any) -> list[Any]:
    """Return the values that a grid shall have of a column.

    Parameters
    ----------
    model
        The model.
    name
        One of its columns.
    asked
        A value, a list of values; of numbers also ``"minmax"``, ``"iqr"``,
        ``"quartiles"`` and ``"sd"``, the mean and a standard deviation to either side
        of it; of factors ``"all"`` levels.
    """
    if isinstance(asked, str | bytes) or np.ndim(asked) == 0:
        words = [asked]
    else:
        words = list(asked)
    if not words:
        raise DataError(f"there are no values of {quote(name)}: pass at least one.")
    levels = levels_of(model, name)
    if levels or name in roles_of(model).groups:
        if words == ["all"] and "all" not in levels:
            return levels
        return levels_named(model, name, words)
    if isinstance(asked, str):
        column = without_nan(model.data[name])
        if asked == "sd":
            middle, sd = column.mean(), column.std(ddof=1)
            return [middle - sd, middle, middle + sd]
        if asked in _OF_NUMBERS:
            return list(np.quantile(column, _OF_NUMBERS[asked]).tolist())
    return [number_named(name, each) for each in words]


def column_at(model: PreparedModel, name: str, value: Any, rows: int) -> Any:
    """Return a column that has the same value in all rows."""
    column = model.data[name]
    if not isinstance(column.dtype, pd.CategoricalDtype):
        return np.full(rows, value)
    known = list(column.cat.categories)
    if value not in known:
        return pd.Categorical([value]).take(np.zeros(rows, dtype=np.intp))
    codes = np.full(rows, known.index(value), dtype=np.int32)
    return pd.Categorical.from_codes(codes, dtype=column.dtype)


def check_known(model: PreparedModel, name: object, what: str) -> None:
    """Refuse a column that says nothing about what the model expects."""
    roles = roles_of(model)
    known = dict.fromkeys([*roles.predictors, *roles.groups, *roles.offsets])
    if not isinstance(name, str) or name not in known:
        raise SpecError(
            f"{what} has {quote(name)}, which is not a predictor of the model; its "
            f"predictors are {quote_list(known, limit=10) or 'none'}."
            + suggestion(str(name), known)
        )


def datagrid(
    fit: FitResult,
    at: Mapping[str, Any] | None = None,
    *,
    kind: GridKind = "mean",
    newdata: Any = None,
) -> pd.DataFrame:
    """Return a grid of predictors: typical values, all combinations, or copies of rows.

    Parameters
    ----------
    fit
        A fit.
    at
        The values of some columns, of which the grid has all combinations: a value, a
        list of values; of numbers also ``"minmax"``, ``"iqr"``, ``"quartiles"``, or
        ``"sd"``, the mean and a standard deviation to either side of it; of factors
        also ``"all"`` levels.
    kind
        What the other columns are: ``"mean"``, the means of numbers, and the most
        frequent levels of factors; ``"median"``, the same with medians;
        ``"balanced"``, all combinations of levels, and the means of numbers;
        ``"counterfactual"``, those of each row of the data, which is copied for each
        combination of the values.
    newdata
        Rows to use instead of the data.

    Returns
    -------
    pandas.DataFrame
        The grid, with all columns that the model predicts from. Only copies of rows
        have the groups of the rows; in other grids groups are left out unless ``at``
        names them.

    Raises
    ------
    SpecError
        If ``at`` has a column that is no predictor.
    DataError
        If a value is not one that the column can have, or the grid is too large.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> datagrid(fit, {"school": ["A", "B"]})
      school
    0      A
    1      B
    """
    model = fit.model
    frame = _rows(fit, newdata)
    asked = dict(at or {})
    for name in asked:
        check_known(model, name, "at")
    values = {name: values_of(model, name, each) for name, each in asked.items()}
    if kind == "counterfactual":
        _check_size(len(frame), values)
        copies = [
            frame.assign(
                **{
                    name: column_at(model, name, value, len(frame))
                    for name, value in zip(values, each, strict=True)
                }
            )
            for each in product(*values.values())
        ]
        return pd.concat(copies, ignore_index=True)
    roles = roles_of(model)
    for name in (*roles.predictors, *roles.offsets):
        if name not in values:
            values[name] = _typical(model, name, frame, kind)
    _check_size(1, values)
    rows = list(product(*values.values()))
    return pd.DataFrame(
        {
            name: _column(model, name, [row[at] for row in rows])
            for at, name in enumerate(values)
        },
        index=pd.RangeIndex(len(rows)),
    )


def _check_size(rows: int, values: Mapping[str, Sequence[Any]]) -> None:
    for each in values.values():
        rows *= len(each)
    if rows > _MOST_ROWS:
        raise DataError(
            f"the grid has {rows:,} rows, and {_MOST_ROWS:,} is the limit. Pass fewer "
            "values, or a sample of the data."
        )


def _typical(model: PreparedModel, name: str, frame: pd.DataFrame, kind: str) -> Any:
    """Return the typical values of a column; all levels in a balanced grid."""
    if name not in frame.columns:
        raise DataError(
            f"newdata has no column {quote(name)}, so that its typical value is not "
            "known. Add the column, or pass its value in at."
        )
    levels = levels_of(model, name)
    if levels and kind == "balanced":
        return levels
    column = frame[name]
    if not levels:
        numbers = without_nan(column)
        return [float(np.median(numbers) if kind == "median" else numbers.mean())]
    counts = column.value_counts()
    return [max(levels, key=lambda level: counts.get(level, 0))]


def _column(model: PreparedModel, name: str, values: list[Any]) -> Any:
    """Return a column of the type that it has in the data of the fit."""
    dtype = model.data[name].dtype
    if isinstance(dtype, pd.CategoricalDtype):
        known = set(dtype.categories)
        is_known = all(each in known for each in values)
        return pd.Categorical(values, dtype=dtype if is_known else None)
    return np.array(values)


def _rows(fit: FitResult, newdata: Any) -> pd.DataFrame:
    """Return the rows of the data or the user's own, numbered from 0."""
    if newdata is None:
        if fit.model.chunks is not None:
            raise DataError(
                "the rows of the data were read in chunks and not kept. Pass the rows "
                "of interest as newdata=, a sample of the data for example."
            )
        return fit.model.data
    frame = as_frame(newdata).reset_index(drop=True)
    if len(frame) == 0:
        raise DataError(
            "newdata has no rows, so the grid is empty. Check what removed them, or "
            "leave newdata out, for the rows of the data."
        )
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()]
        raise DataError(
            f"newdata has columns of the same name: {quote_list(twice)}. Rename or "
            "drop all but one."
        )
    return frame


@dataclass(frozen=True, eq=False)
class Grid:
    """Rows, and the cells in which they are averaged.

    Attributes
    ----------
    frame
        The rows, numbered from 0, in the order of their cells.
    cell
        The cell of each row, shape ``(rows,)``, counted from 0.
    labels
        A row for each cell, with the columns that a table keeps.
    weights
        The weight of each row in its cell; they add up to 1 in each.
    is_of_user
        Whether the rows are the user's own.
    """

    frame: pd.DataFrame
    cell: Indices
    labels: pd.DataFrame
    weights: Array
    is_of_user: bool


def grid_of(
    fit: FitResult,
    newdata: Any,
    *,
    by: bool | str | Sequence[str] | None,
    weights: Any,
    averaged: bool = False,
) -> Grid:
    """Return the rows of a grid in cells.

    Parameters
    ----------
    fit
        A fit.
    newdata
        The user's rows; ``"mean"``, ``"median"`` or ``"balanced"`` for such a grid; or
        None for the data.
    by
        Columns whose combinations of values are the cells; True for one cell of all
        rows, False for a cell of each; by default, one of all rows of the data, and a
        cell of each row of a grid.
    weights
        A column, an array, or None.
    averaged
        Whether the rows of a grid are one cell by default as well.
    """
    if isinstance(newdata, str):
        if newdata not in ("mean", "median", "balanced"):
            raise SpecError(
                f"newdata={quote(newdata)} is not one of 'mean', 'median', 'balanced'; "
                "or pass a data frame."
            )
        frame = datagrid(fit, kind=newdata)  # type: ignore[arg-type]
    else:
        frame = _rows(fit, newdata)
    own = _weights(weights, frame)
    if by is None:
        by = newdata is None or averaged
    if isinstance(by, bool):
        cell: Indices = np.arange(len(frame)) * (not by)
        labels = frame.iloc[:1, :0] if by else frame
    else:
        cell, labels = cells_by(
            [by] if isinstance(by, str) else list(by), frame, "newdata"
        )
    order = np.argsort(cell, kind="stable")
    if (order[:-1] > order[1:]).any():
        frame, cell, own = frame.iloc[order], cell[order], own[order]
        frame = frame.reset_index(drop=True)
    total = np.bincount(cell, weights=own)
    if (total == 0).any():
        empty = labels.iloc[np.flatnonzero(total == 0)[:5]].to_dict("records")
        raise DataError(
            f"the weights of all rows of a cell are 0: {quote_list(empty)}. Drop these "
            "rows, or pass other weights."
        )
    return Grid(
        frame,
        cell,
        labels.reset_index(drop=True),
        own / total[cell],
        newdata is not None,
    )


def _weights(weights: Any, frame: pd.DataFrame) -> Array:
    """Return the weight of each row, which may be 0 in some."""
    if weights is None:
        return np.ones(len(frame))
    name = "weights"
    if isinstance(weights, str):
        if weights not in list(frame.columns):
            raise DataError(
                f"weights={quote(weights)} is not a column of the rows"
                f"{columns_instead(weights, frame)}"
            )
        name, weights = f"column {quote(weights)}", frame[weights]
    try:
        found = np.asarray(weights, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{name}, the weights of rows, must be numbers.") from None
    if found.shape != (len(frame),):
        raise DataError(
            f"weights has shape {found.shape}, and must have one for each of "
            f"{len(frame)} rows."
        )
    bad = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if bad.size:
        raise DataError(
            f"{name} has {bad.size} weight(s) that are missing, infinite or below 0 "
            f"(rows {quote_list(bad.tolist())}, counted from 0). Weights say how many "
            "units a row stands for."
        )
    return found
