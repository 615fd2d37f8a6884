"""The design of new rows: with the levels and knots of the fit, and new groups."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.columns import (
    as_frame,
    column_named,
    complete_columns,
    names_in_terms,
)
from stanpool.data.design.covariance.build_residuals import residuals_of_rows
from stanpool.data.design.covariance.correlated_residuals import CorrelatedResiduals
from stanpool.data.design.covariance.times import as_spelled
from stanpool.data.design.design import (
    Design,
    FactorDesign,
    ParameterDesign,
    Side,
    SpecialTerm,
    TermOfRows,
)
from stanpool.data.design.groups import groups_of, memberships
from stanpool.data.design.outcome import (
    build_censoring,
    build_offset,
    build_outcome,
    build_trials,
    build_truncation,
    expressions,
    likelihood_weights,
    standard_errors,
)
from stanpool.data.design.predictors.parameters import scales_of_groups
from stanpool.data.entries import as_before, clean_column, level_text, type_of
from stanpool.data.matrix.model_matrix import Column, column_of, rebuild
from stanpool.data.matrix.term_matrix import TermMatrix
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import unquote_name
from stanpool.language.formulas.structures import STRUCTURES
from stanpool.language.model_spec import GroupTerm, ModelSpec

if TYPE_CHECKING:
    from stanpool.model.prepared_model import PreparedModel

PARTS = ("outcome", "trials", "se", "weights", "cens", "trunc", "residual", "subject")


@dataclass(frozen=True)
class _Names:
    """The columns that new rows need for terms, groups and parts of the outcome."""

    terms: tuple[str, ...]
    groups: tuple[str, ...]
    parts: tuple[str, ...]


def new_design(
    model: PreparedModel,
    data: Any,
    *,
    factors: Sequence[int],
    parts: Collection[str] = (),
    parameters: Collection[str] = (),
) -> Design:
    """Build the arrays of new rows for a model's coefficients.

    Parameters
    ----------
    model
        The model, as it was fitted.
    data
        A data frame, or a mapping of columns. Columns that are not needed may be
        absent.
    factors
        The grouping factors to use, counted from 0.
    parts
        The parts of the outcome to read, out of ``PARTS``; an outcome that is not read
        is NaN.
    parameters
        The parameters other than the mean whose predictors to read.

    Returns
    -------
    Design
        New groups come after those of the model. The group-level predictors are in
        ``X``, and not with the groups.

    Raises
    ------
    DataError
        If a column is missing, has another type than in the data of the fit, or has
        missing or infinite values, or if a categorical predictor has a new level.
    """
    spec, design = model.spec, model.design
    encodings = design.encodings
    assert encodings is not None
    frame = _conforming(model, data, _needed(model, factors, parts, parameters))
    evaluated = {
        text: _again(encodings.expressions.get(text), text, frame)
        for text in _given(spec, parts)
        if text in expressions(spec)
    }
    y, categories = np.full(len(frame), np.nan), design.categories
    if "outcome" in parts:
        y, _ = build_outcome(spec, frame, evaluated)
    x = rebuild(encodings.population, frame)
    at = [encodings.population.labels.index(label) for label in design.coefficients]
    censored, y_upper = None, None
    if "cens" in parts:
        censored, y_upper = build_censoring(spec, evaluated, y)
    lower, upper = None, None
    if "trunc" in parts:
        lower, upper = build_truncation(spec, evaluated, y)
    return replace(
        design,
        y=y,
        X=x[:, at],
        factors=tuple(_factor(model, number, frame) for number in factors),
        special=_special(model, frame),
        trials=build_trials(spec, evaluated, y) if "trials" in parts else None,
        se=standard_errors(spec, evaluated) if "se" in parts else None,
        weights=likelihood_weights(spec, evaluated) if "weights" in parts else None,
        offset=build_offset(spec, evaluated),
        censored=censored,
        y_upper=y_upper,
        lower=lower,
        upper=upper,
        categories=categories,
        residual_correlation=_residuals(model, frame) if "subject" in parts else None,
        parameters=tuple(
            _parameter(model, own, frame)
            for own in design.parameters
            if own.parameter in parameters
        ),
        count=None,
    )


def _again(column: Column | None, text: str, frame: pd.DataFrame) -> Any:
    """Return the values of an expression; another outcome is read as a column."""
    return column_of(text, frame, {}).values if column is None else column.of(frame)


def _given(spec: ModelSpec, parts: Collection[str]) -> list[str]:
    """List the expressions that new rows need: offsets, exposure, those of parts."""
    by_part = {
        "outcome": (spec.outcome,),
        "trials": (spec.trials,),
        "se": (spec.se,),
        "weights": (spec.weights,),
        "cens": (spec.cens, spec.cens_upper),
        "trunc": spec.trunc or (),
    }
    others = (each for part in parts for each in by_part.get(part, ()))
    texts = (*spec.offsets, spec.exposure, *others)
    return list(dict.fromkeys(each for each in texts if isinstance(each, str)))


def _needed(
    model: PreparedModel,
    factors: Sequence[int],
    parts: Collection[str],
    parameters: Collection[str],
) -> _Names:
    """Name the columns that new rows need."""
    spec = model.spec
    formulas = [each for each in spec.formulas if each.parameter in parameters]
    used = [spec.groups[number] for number in factors]
    used += [
        term
        for each in formulas
        for term in (() if spec.pooling == "complete" else each.groups)
    ]
    terms = [*spec.terms, *(text for each in formulas for text in each.terms)]
    terms += [text for each in spec.values for text in each.terms]
    terms += [text for each in spec.special_terms for text in each.terms]
    terms += [text for term in used for text in term.predictors]
    given = _given(spec, parts)
    own = [text for text in given if text in (spec.outcome, *spec.offsets)]
    groups = [name for term in used for name in term.key]
    groups += [side.column for term in model.design.special for side in term.sides]
    if spec.residual is not None and "sigma" in parameters:
        groups.append(spec.residual)
    known = set(model.data.columns)
    subjects: tuple[str, ...] = ()
    if spec.residual_correlation is not None and "subject" in parts:
        subjects = spec.residual_correlation.columns
    return _Names(
        terms=tuple(dict.fromkeys(names_in_terms([*terms, *own], known))),
        groups=tuple(dict.fromkeys(groups)),
        parts=tuple(names_in_terms([each for each in given if each not in own], known))
        + tuple(name for term in used for name in term.weights)
        + subjects,
    )


def _conforming(model: PreparedModel, data: Any, names: _Names) -> pd.DataFrame:
    """Copy the columns, each with the type that it had in the data of the fit."""
    frame = as_frame(data)
    if len(frame) == 0:
        raise DataError("there are no new rows: the data are empty.")
    clean: dict[str, Any] = {}
    always = complete_columns(model.spec, set(model.data))
    for name in dict.fromkeys((*names.terms, *names.groups, *names.parts)):
        if name in names.groups and name not in (*names.terms, *frame.columns):
            raise DataError(
                f"the new rows have no column {quote(name)}, a grouping factor. Pass "
                "group_terms=[] to predict without the deviations of groups, or add "
                "the column with new labels and pass new_groups='population' to draw "
                f"new groups. The columns are {quote_list(frame.columns, limit=10)}."
            )
        fitted = model.data[name]
        is_category = isinstance(fitted.dtype, pd.CategoricalDtype)
        column = pd.Series(
            clean_column(
                name,
                column_named(name, frame),
                is_factor=is_category or _is_numbered_category(model.spec, name),
                may_miss=name not in always,
            )
        )
        column = as_before(name, column, type_of(fitted))
        if is_category or not _is_numbered_category(model.spec, name):
            _refuse_other_type(name, column, fitted)
        if name in names.terms:
            column = _with_levels_of_fit(model, name, column)
        clean[name] = column.array
    return pd.DataFrame(clean, index=pd.RangeIndex(len(frame)), copy=True)


def _is_numbered_category(spec: ModelSpec, name: str) -> bool:
    """Whether a column numbers the categories of the outcome."""
    family = FAMILIES[spec.family]
    return family.has_cutpoints and unquote_name(spec.outcome) == name


def _refuse_other_type(
    name: str, column: pd.Series[Any], fitted: pd.Series[Any]
) -> None:
    """Refuse a column of another type than in the data of the fit."""
    now, before = type_of(column), type_of(fitted)
    if now != before:
        raise DataError(
            f"column {quote(name)} holds {now}, and in the data of the fit it holds "
            f"{before} ({quote_list(_examples(fitted), 3)}). Give it that type."
        )


def _examples(column: pd.Series[Any]) -> list[Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        return list(column.cat.categories.tolist())
    return list(column.tolist())


def _with_levels_of_fit(
    model: PreparedModel, name: str, column: pd.Series[Any]
) -> pd.Series[Any]:
    """Return a column with all levels of the fit, and refuse other levels."""
    fitted = model.data[name]
    if _is_numbered_category(model.spec, name):
        dtype = pd.CategoricalDtype(list(model.design.categories), ordered=True)
    elif isinstance(fitted.dtype, pd.CategoricalDtype):
        dtype = fitted.dtype
    else:
        return column
    unseen = [each for each in column.cat.categories if each not in dtype.categories]
    if unseen:
        rows = np.flatnonzero(column.isin(unseen))
        raise DataError(
            f"column {quote(name)} has {len(unseen)} level(s) that are not in the data "
            f"of the fit: {quote_list(unseen)} (rows {quote_list(rows.tolist())}, "
            f"counted from 0). Its levels are {quote_list(dtype.categories)}. Drop "
            "these rows; a model with a group term of that column can predict new "
            "groups."
        )
    return pd.Series(pd.Categorical(column, dtype=dtype))


def _factor(model: PreparedModel, number: int, frame: pd.DataFrame) -> FactorDesign:
    """Build the design of a factor, with new groups after those of the fit."""
    encodings, fitted = model.design.encodings, model.design.factors[number]
    assert encodings is not None
    term, matrix = model.spec.groups[number], encodings.factors[number]
    return _new_factor(term, fitted, matrix, frame)


def _new_factor(
    term: GroupTerm, fitted: FactorDesign, matrix: TermMatrix, frame: pd.DataFrame
) -> FactorDesign:
    """Build the same from its term, and from the matrix of its coefficients."""
    labels, index, weights = memberships(term, frame)
    if term.is_of_times:
        several = len(term.key) > 1
        labels = as_spelled(term.key[-1], fitted.labels, labels, several=several)
    if not labels:  # no row is of the level whose groups these are
        labels = fitted.labels[:1]
    labels, index = _among_known(fitted.factor, fitted.labels, labels, index)
    if fitted.root is not None:
        _refuse_unrelated(term, fitted.labels, labels[len(fitted.labels) :])
    return replace(
        fitted,
        labels=labels,
        index=index,
        Z=rebuild(matrix, frame),
        weights=weights,
        U=None,
        effect_of=None,
        counts=None,
    )


def _refuse_unrelated(
    term: GroupTerm, known: tuple[Any, ...], new: tuple[Any, ...]
) -> None:
    """Refuse groups of which a known covariance, or another series, says nothing."""
    if term.is_of_times:
        series = {_series_of(label) for label in known}
        apart = [label for label in new if _series_of(label) not in series]
        if STRUCTURES[term.structure].order and term.key[:-1] and apart:
            raise DataError(
                f"{quote(term.factor)} has a walk for each {':'.join(term.key[:-1])}, "
                f"and none for {quote_list(apart)}. Pass group_terms= without "
                f"{quote(term.factor)}, or fit with rows of these."
            )
        return
    if new:
        what = "neighbours" if term.structure else "covariance"
        raise DataError(
            f"the {what} {quote(term.covariance)} between groups of "
            f"{quote(term.key[0])} has no rows for {quote_list(new)}. Fit with a "
            "covariance that has them, too: groups without rows are predicted from "
            "those that they covary with. Or pass group_terms= without "
            f"{quote(term.factor)}."
        )


def _series_of(label: Any) -> str:
    """Return the series of a label ``series:time``."""
    return level_text(label).rpartition(":")[0]


def _parameter(
    model: PreparedModel, fitted: ParameterDesign, frame: pd.DataFrame
) -> ParameterDesign:
    """Build the predictor of a parameter, with new groups after those of the fit."""
    if fitted.is_value:
        (known,) = fitted.factors
        (own,) = scales_of_groups(known.factor, frame).factors
        labels, index = _among_known(own.factor, known.labels, own.labels, own.index)
        own = replace(own, labels=labels, index=index)
        return replace(fitted, X=np.empty((len(frame), 0)), factors=(own,))
    assert model.design.encodings is not None
    encodings = model.design.encodings.parameters[fitted.parameter]
    (stated,) = (x for x in model.spec.formulas if x.parameter == fitted.parameter)
    x = rebuild(encodings.population, frame)
    at = [encodings.population.labels.index(label) for label in fitted.coefficients]
    factors = zip(stated.groups, fitted.factors, encodings.factors, strict=False)
    return replace(
        fitted,
        X=x[:, at],
        factors=tuple(_new_factor(*each, frame) for each in factors),
    )


def _residuals(model: PreparedModel, frame: pd.DataFrame) -> CorrelatedResiduals | None:
    """Build whose residuals are correlated, with new subjects after the fitted."""
    fitted = model.design.residual_correlation
    if fitted is None:
        return None
    found = residuals_of_rows(fitted.stated, frame)
    labels, index = _among_known(
        fitted.stated.name, fitted.labels, found.labels, found.index
    )
    if not fitted.has_times:  # they come after those of the fit, whatever they are
        return replace(
            found, labels=labels, index=index, times=found.times + len(fitted.index)
        )
    if not fitted.visits:
        return replace(found, labels=labels, index=index)
    visits, numbers = _among_known(
        fitted.stated.columns[-1],
        fitted.visits,
        found.visits,
        found.times.astype(np.int64),
    )
    return CorrelatedResiduals(
        fitted.stated, labels, index, numbers.astype(float), visits
    )


def _special(model: PreparedModel, frame: pd.DataFrame) -> tuple[SpecialTerm, ...]:
    """Build the other terms, with new labels after those of the fit."""

    def of_rows(fitted: Side) -> Side:
        labels, index = groups_of((fitted.column,), frame)
        found = _among_known(fitted.column, fitted.labels, labels, index)
        return Side(fitted.column, *found)

    found = []
    for fitted in model.design.special:
        term = fitted.with_sides([of_rows(side) for side in fitted.sides])
        found.append(term.of_new(frame) if isinstance(term, TermOfRows) else term)
    return tuple(found)


def _among_known(
    factor: str, known: tuple[Any, ...], labels: tuple[Any, ...], index: np.ndarray
) -> tuple[tuple[Any, ...], np.ndarray]:
    """Return the groups of the fit and then the new ones, and the index of each row."""
    place = {label: at for at, label in enumerate(known)}
    if len(place) < len(known):
        raise DataError(
            f"groups of {quote(factor)} have the same label, so that new rows cannot "
            "be told apart. Rename the levels that contain ':', and fit again."
        )
    new = tuple(label for label in labels if label not in place)
    place |= {label: len(known) + at for at, label in enumerate(new)}
    among = np.array([place[label] for label in labels], dtype=np.int64)
    return known + new, among[index]
