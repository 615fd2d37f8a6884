"""The outcome of a model and what stands beside it: trials, errors, bounds, weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.entries import refuse_rows
from stanpool.data.matrix.evaluation import is_category
from stanpool.language.family import FAMILIES, Family
from stanpool.language.formulas.formula import unquote_name
from stanpool.language.model_spec import ModelSpec

if TYPE_CHECKING:
    from stanpool.data.design.design import Design

Evaluated = Mapping[str, Any]  # columns by expression: floats or categoricals

_LARGEST = 2**31 - 1
_CENSORING = {"none": 0, "left": -1, "right": 1, "interval": 2}
_OTHER_FAMILY = "Correct or drop these rows, or choose another family."
_RIGHT_COLUMN = "Check that this is the right column, and that no rows were lost."


def expressions(spec: ModelSpec) -> tuple[str, ...]:
    """Return the expressions that are evaluated to one column each.

    These are the outcome, unless it is a column of categories, the offsets, and what
    the parts of the outcome are given.
    """
    has_categories = FAMILIES[spec.family].has_categories
    texts = spec.all_expressions
    return texts[1:] if has_categories else texts


def build_outcome(
    spec: ModelSpec, frame: pd.DataFrame, evaluated: Evaluated
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Check the left-hand side, as it was evaluated, against the family's support.

    Returns the outcome, and the categories that its numbers count, if any.
    """
    family = FAMILIES[spec.family]
    named = unquote_name(spec.outcome)
    what = f"outcome {quote(named or spec.outcome)}"
    if family.has_categories:
        return _categories(family, what, named, frame)
    values = evaluated[spec.outcome]
    if is_category(values):
        levels = list(values.categories)
        if family.outcome == "binary" and len(levels) == 2:
            return values.codes.astype(np.int64), ()
        example = (
            f"(data[{quote(named)}] == {quote(levels[-1])}).astype(int)"
            if len(levels) == 2
            else f"pd.to_numeric(data[{quote(named)}])"
        )
        raise DataError(
            f"{what} is not numeric: its values are {quote_list(levels)}. Make it a "
            f"number first, for example by {example}."
        )
    y = check_support(family, values, what)
    if family.apart and not is_inner(family, y).any():
        raise DataError(
            f"{what} is {family.apart} in all {len(y)} rows, so that they say nothing "
            f"about the other outcomes of the family {family.name!r}. {_RIGHT_COLUMN}"
        )
    return y, ()


def refuse_constant(spec: ModelSpec, design: Design) -> None:
    """Refuse to estimate a residual scale from outcomes that are all the same.

    The likelihood has no bound as the scale goes to 0: the posterior is improper.
    """
    family = FAMILIES[spec.family]
    has_scale = family.residuals is not None and spec.has_sigma
    is_plain = design.se is None and design.censored is None and design.count is None
    # Zeros behind a hurdle say nothing about the others.
    y = design.y[is_inner(family, design.y)] if family.apart else design.y
    if has_scale and is_plain and design.offset is None and y.size and np.ptp(y) == 0:
        which = f"all {design.rows} rows"
        if y.size < design.rows:
            which = f"all {y.size} rows where it is not 0"
        raise DataError(
            f"outcome {quote(unquote_name(spec.outcome) or spec.outcome)} is {y[0]:g} "
            f"in {which}, so that the likelihood has no bound as the residual scale "
            f"goes to 0, and the posterior is improper. {_RIGHT_COLUMN}"
        )


def said_of_success(spec: ModelSpec, frame: pd.DataFrame) -> str:
    """Say which level of a binary outcome is success; nothing of numbers."""
    named = unquote_name(spec.outcome)
    if FAMILIES[spec.family].outcome != "binary" or named not in frame.columns:
        return ""
    if not isinstance(frame[named].dtype, pd.CategoricalDtype):
        return ""
    failure, success = frame[named].cat.categories
    return f"{quote(success)} is success (1), and {quote(failure)} is failure (0)"


def said_of_gaps(categories: Sequence[Any], column: pd.Series[Any]) -> str:
    """Say which whole numbers between an outcome's categories no row has."""
    is_number = all(isinstance(each, int) for each in categories)
    if isinstance(column.dtype, pd.CategoricalDtype) or not is_number:
        return ""
    gaps = [
        str(low + 1) if high - low == 2 else f"{low + 1} to {high - 1}"
        for low, high in pairwise(categories)
        if high - low > 1
    ]
    if not gaps:
        return ""
    more = f" and {len(gaps) - 5} more" if gaps[5:] else ""
    return (
        f"no row has {', '.join(gaps[:5])}{more}, so that the model has no such "
        "category, and those on either side are adjacent; an ordered categorical with "
        "all levels keeps it"
    )


_SUPPORTS: Mapping[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "real": (np.isfinite, "finite"),
    "positive": (lambda y: (y > 0) & np.isfinite(y), "positive"),
    "nonnegative": (lambda y: (y >= 0) & np.isfinite(y), "0 or more"),
    "proportion": (lambda y: (y > 0) & (y < 1), "between 0 and 1, and neither,"),
    "share": (lambda y: (y >= 0) & (y <= 1), "between 0 and 1, or either,"),
    "angle": (
        lambda y: np.abs(y) <= np.pi,
        "an angle in radians, from -pi to pi,",
    ),
    "binary": (lambda y: (y == 0) | (y == 1), "0 or 1"),
    "count": (
        lambda y: np.isclose(y, np.round(y), rtol=0, atol=1e-9) & (y >= 0),
        "whole numbers, 0 or more,",
    ),
}


def is_inner(family: Family, y: np.ndarray) -> np.ndarray:
    """Say of each outcome whether the linear predictor is about it."""
    return _SUPPORTS[family.inner_outcome][0](y)


def check_support(family: Family, y: np.ndarray, what: str) -> np.ndarray:
    """Return outcomes, whole numbers as such; refuse those outside the support."""
    is_good, must = _SUPPORTS[family.outcome]
    bad, advice = ~is_good(y), _OTHER_FAMILY
    others = [
        each
        for each in FAMILIES.values()
        if each.apart and each.inner_outcome == family.outcome
    ]
    if family.is_circular and np.isfinite(y).all():
        advice = (
            "Of y in radians, arctan2(sin(y), cos(y)) is the same direction; of "
            "degrees, so it is of y * pi / 180."
        )
    if others and _SUPPORTS[others[0].outcome][0](y[bad]).all():
        which = "the families" if others[1:] else "the family"
        names = quote_list([each.name for each in others])
        advice = f"Outcomes that may be {others[0].apart} have {which} {names}."
    refuse_rows(y, bad, f"{what} must be {must} for {family.name!r}", advice)
    if not family.is_discrete:
        return y
    rule = f"{what} must be at most {_LARGEST}, the largest whole number in Stan"
    refuse_rows(y, y > _LARGEST, rule)
    return np.round(y).astype(np.int64)


def check_other_outcome(spec: ModelSpec, design: Design, y: object) -> np.ndarray:
    """Return outcomes that take the place of a design's own.

    Raises
    ------
    DataError
        If they are not one for each row, or no row of the model can have them.
    """
    try:
        values = np.asarray(y)
    except ValueError:  # of lists of different lengths
        values = np.empty(0, dtype=object)
    kinds = "biuf" if not design.categories else "biufOUT"
    if values.shape != (len(design.y),) or values.dtype.kind not in kinds:
        raise DataError(
            f"y has shape {values.shape} and type {values.dtype}; a model of "
            f"{design.rows} rows takes as many "
            f"{'names of categories' if design.categories else 'numbers'}."
        )
    if design.censored is not None:
        raise DataError(
            "the model has censored rows, and which rows are censored depends on the "
            "outcomes that were observed. Build a model with cens for the new ones."
        )
    if design.categories:
        known = pd.Index(design.categories, dtype=object)
        checked = known.get_indexer(pd.Index(values, dtype=object)).astype(np.int64)
        if (checked < 0).any():
            unknown = dict.fromkeys(values[checked < 0].tolist())
            raise DataError(
                f"y has {quote_list(unknown)}, which are not categories of the model; "
                f"it has {quote_list(design.categories, limit=10)}."
            )
    else:
        checked = check_support(FAMILIES[spec.family], values.astype(float), "y")
    for name, lower, upper in (
        ("its trials", None, design.trials),
        ("its bounds of truncation", design.lower, design.upper),
    ):
        outside = np.zeros(len(checked), dtype=bool)
        outside |= False if lower is None else checked < lower
        outside |= False if upper is None else checked > upper
        refuse_rows(checked, outside, f"y must be within {name}")
    checked.setflags(write=False)
    return np.asarray(checked)


def labelled_outcome(design: Design) -> Any:
    """Return a design's outcome as a column of data: numbers or categories."""
    if not design.categories:
        return design.y
    if all(isinstance(each, int) for each in design.categories):
        return np.array(design.categories)[design.y]
    levels = pd.Index(design.categories)
    return pd.Categorical.from_codes(design.y, levels, ordered=True)


def _categories(
    family: Family, what: str, named: str | None, frame: pd.DataFrame
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Return an outcome's categories as numbers from 0, and their levels in order."""
    if named is None:
        raise DataError(
            f"{what} is an expression; {family.name!r} takes a column of categories."
        )
    column = frame[named]
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy()
        levels = tuple(column.cat.categories.tolist())
        if family.has_cutpoints and not column.cat.ordered:
            raise DataError(
                f"{what} has the values {quote_list(levels)}, and {family.name!r} "
                "needs to know their order. Make it an ordered categorical with "
                f"pd.Categorical(data[{quote(named)}], categories=[lowest, ..., "
                "highest], ordered=True), or whole numbers."
            )
    else:
        values = column.to_numpy()
        refuse_rows(
            values,
            values != np.round(values),
            f"{what} must be whole numbers or an ordered categorical for "
            f"{family.name!r}",
            _OTHER_FAMILY,
        )
        found, codes = np.unique(values.astype(np.int64), return_inverse=True)
        levels = tuple(found.tolist())
    if len(levels) < 2:
        raise DataError(
            f"{what} has one category, {quote_list(levels)}; {family.name!r} needs two "
            "or more."
        )
    return codes.astype(np.int64), levels


def build_trials(
    spec: ModelSpec, evaluated: Evaluated, y: np.ndarray
) -> np.ndarray | None:
    """Return the binomial's trials, checked against the outcome."""
    if spec.trials is None:
        return None
    trials = _numbers(evaluated, spec.trials, "trials")
    what = f"trials {quote(_called(spec.trials))}"
    bad = (trials != np.round(trials)) | (trials < 0)
    refuse_rows(trials, bad, f"{what} must be whole numbers, 0 or more")
    refuse_rows(y, y > trials, f"successes must be at most {what}")
    return trials.astype(np.int64)


def standard_errors(spec: ModelSpec, evaluated: Evaluated) -> np.ndarray | None:
    """Return the known standard errors, all positive."""
    if spec.se is None:
        return None
    errors = _numbers(evaluated, spec.se, "se")
    refuse_rows(errors, errors <= 0, f"se {quote(_called(spec.se))} must be positive")
    return errors


def likelihood_weights(spec: ModelSpec, evaluated: Evaluated) -> np.ndarray | None:
    """Return the weights of the rows' log likelihood, none negative."""
    if spec.weights is None:
        return None
    values = _numbers(evaluated, spec.weights, "weights")
    rule = f"weights {quote(_called(spec.weights))} must not be negative"
    refuse_rows(values, values < 0, rule)
    return values


def build_offset(spec: ModelSpec, evaluated: Evaluated) -> np.ndarray | None:
    """Return what is added to the linear predictor: offsets and log exposure."""
    parts = []
    for text in spec.offsets:
        if is_category(evaluated[text]):
            raise DataError(f"offset({text}) must be one column of numbers.")
        parts.append(evaluated[text])
    if spec.exposure is not None:
        exposure = _numbers(evaluated, spec.exposure, "exposure")
        rule = f"exposure {quote(_called(spec.exposure))} must be positive"
        refuse_rows(exposure, exposure <= 0, rule)
        parts.append(np.log(exposure))
    return np.sum(parts, axis=0) if parts else None


def build_censoring(
    spec: ModelSpec, evaluated: Evaluated, y: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return how each outcome is censored, and the upper ends of intervals."""
    if spec.cens is None:
        return None, None
    column = evaluated[spec.cens]
    what = f"cens {quote(_called(spec.cens))}"
    if is_category(column):
        unknown = [each for each in column.categories if each not in _CENSORING]
        if unknown:
            raise DataError(
                f"{what} has {quote_list(unknown)}; its values are "
                f"{quote_list(_CENSORING)}, or -1, 0, 1 and 2 for these."
            )
        values = pd.Series(column).map(_CENSORING).to_numpy(dtype=float)
    else:
        values = column
        rule = f"{what} must be -1 (left), 0 (none), 1 (right) or 2 (interval)"
        refuse_rows(values, ~np.isin(values, (-1, 0, 1, 2)), rule)
    codes = values.astype(np.int64)
    in_interval = codes == 2
    if spec.cens_upper is None:
        if in_interval.any():
            raise DataError(
                f"{what} has intervals (rows "
                f"{quote_list(np.flatnonzero(in_interval).tolist())}, counted from 0), "
                "whose upper ends are not known. Write cens(column, upper), or pass "
                "cens_upper='upper'."
            )
        return codes, None
    upper = _numbers(evaluated, spec.cens_upper, "cens_upper")
    refuse_rows(
        upper,
        in_interval & ~(upper > y),
        f"cens_upper {quote(_called(spec.cens_upper))} must be greater than the "
        "outcome, the lower end, where it lies in an interval",
    )
    return codes, np.where(in_interval, upper, np.nan)


def build_truncation(
    spec: ModelSpec, evaluated: Evaluated, y: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the bounds of truncation; every outcome lies between them."""
    bounds: list[np.ndarray | None] = []
    for side, bound in zip(("lower", "upper"), spec.trunc or (None, None), strict=True):
        if bound is None:
            bounds.append(None)
            continue
        values = (
            _numbers(evaluated, bound, "trunc")
            if isinstance(bound, str)
            else np.full(len(y), float(bound))
        )
        values = _of_outcome(FAMILIES[spec.family], values, side)
        outside = y < values if side == "lower" else y > values
        rule = f"the outcome must not be {'below' if side == 'lower' else 'above'} "
        rule += f"its {side} bound of truncation, {quote(bound)}"
        refuse_rows(y, outside, rule)
        bounds.append(values)
    lower, upper = bounds
    if lower is not None and upper is not None:
        rule = "the lower bound of truncation must be less than the upper one"
        refuse_rows(lower, lower >= upper, rule)
    return lower, upper


def _of_outcome(family: Family, bounds: np.ndarray, side: str) -> np.ndarray:
    """Return bounds of truncation, checked against what outcomes can be."""
    rule = f"the {side} bound of truncation must {{}} for {family.name!r}"
    if family.outcome in ("positive", "count"):
        refuse_rows(bounds, bounds < 0, rule.format("not be negative"))
    if family.outcome != "count":
        return bounds
    is_whole = np.isclose(bounds, np.round(bounds), rtol=0, atol=1e-9)
    more = "A count that is equal to a bound is seen: trunc(1) leaves zeros out"
    refuse_rows(bounds, ~is_whole, rule.format("be a whole number"), more + ".")
    refuse_rows(bounds, bounds > _LARGEST, rule.format(f"be at most {_LARGEST}"))
    return np.round(bounds).astype(np.int64)


def _called(text: str) -> str:
    """Return a column's bare name, or the expression."""
    return unquote_name(text) or text


def _numbers(evaluated: Evaluated, text: str, role: str) -> np.ndarray:
    """Return what a part of the outcome is given, or say that it must be a number."""
    values = evaluated[text]
    if is_category(values):
        raise _no_number(_called(text), role, values.categories)
    return np.asarray(values)


def _no_number(name: str, role: str, levels: Any) -> DataError:
    return DataError(
        f"{role} column {quote(name)} is not numeric: its values are "
        f"{quote_list(levels)}. Make it a number first, for example by "
        f"pd.to_numeric(data[{quote(name)}])."
    )


def weights_column(frame: pd.DataFrame, name: str, role: str) -> np.ndarray:
    """Return a column of weights, none negative."""
    if isinstance(frame[name].dtype, pd.CategoricalDtype):
        raise _no_number(name, role, frame[name].cat.categories)
    values = frame[name].to_numpy(dtype=float)
    refuse_rows(values, values < 0, f"{role} {quote(name)} must not be negative")
    return values
