"""A specification and a table -> a design."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.design.centers import choose_centers
from stanpool.data.design.design import (
    Design,
    Encodings,
    FactorDesign,
    ParameterDesign,
    SpecialTerm,
    SurrogateRows,
    identified_columns,
    read_only,
    rows_of,
    sd_of_column,
)
from stanpool.data.design.groups import groups_of, memberships, with_group_predictors
from stanpool.data.design.identifiability import is_reproduced_by_groups
from stanpool.data.design.latent_factors import build_latent
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
from stanpool.data.design.rank import column_means
from stanpool.data.matrix.model_matrix import column_of, term_matrix, without_values
from stanpool.data.matrix.term_matrix import TermMatrix
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import GroupTerm, ModelSpec


def build_design(
    spec: ModelSpec, frame: pd.DataFrame, stand_ins: SurrogateRows | None = None
) -> Design:
    """Build the arrays of a model from a frame that ``used_columns`` has cleaned.

    Parameters
    ----------
    spec
        The model.
    frame
        The columns that the model uses, as ``used_columns`` returns them.
    stand_ins
        Rows in the place of those of the data. The frame then is what decides the
        structure: all levels and groups occur in it, and a predictor that varies
        within groups does so here.

    Raises
    ------
    DataError
        If the data cannot serve the model: outside the family's support, a constant
        or collinear predictor, a single group, a group-level predictor that varies
        within groups.
    """
    family = FAMILIES[spec.family]
    functions = dict(spec.functions)
    expressed = {text: column_of(text, frame, functions) for text in expressions(spec)}
    evaluated = {text: column.values for text, column in expressed.items()}
    y, categories = build_outcome(spec, frame, evaluated)
    population = identified_columns(
        term_matrix(spec.intercept, spec.terms, frame, functions),
        spec.intercept,
        stand_ins,
    )
    x, labels = population.values, population.labels
    if spec.intercept:
        x, labels = x[:, 1:], labels[1:]
    is_complete = spec.pooling == "complete"
    pooled = () if is_complete else spec.groups
    factors = [_build_factor(spec, term, frame, labels, stand_ins) for term in pooled]
    built = [factor for factor, _ in factors]
    if spec.pooling == "partial":
        built = with_group_predictors(spec, built, x, labels, frame)
    offset = build_offset(spec, evaluated)
    parameters = build_parameters(spec, frame)
    seen = _by_label(x, labels, built)
    unit, outcome = None, y
    if stand_ins is not None:
        unit, outcome, offset = stand_ins.unit, stand_ins.y, stand_ins.offset
        x = stand_ins.of(population)[:, int(spec.intercept) :]
        built = [
            replace(
                factor,
                Z=read_only(stand_ins.of(matrix)),
                **{
                    name: rows_of(getattr(factor, name), stand_ins.like)
                    for name in ("index", "weights")
                },
            )
            for factor, (_, matrix) in zip(built, factors, strict=True)
        ]
        parameters = tuple(each.take(stand_ins.like) for each in parameters)
    center = spec.center_predictors
    has_cutpoints = family.has_cutpoints
    intercept = spec.intercept and not has_cutpoints
    own_intercepts = False
    if spec.pooling == "none":
        # What the groups' own coefficients can express is not estimated once more.
        own_factor = built[0]
        kept = [not is_reproduced_by_groups(column, own_factor, unit) for column in x.T]
        x, labels = x[:, kept], tuple(np.array(labels, dtype=object)[kept])
        ones = np.ones(len(x)) if unit is None else unit
        intercept = intercept and not is_reproduced_by_groups(ones, own_factor, unit)
        own_intercepts = not intercept and own_factor.varying[0] == "Intercept"
        if own_intercepts and center:
            z_bar = column_means(own_factor.Z, unit)
            z_bar[0] = 0.0
            built[0] = replace(own_factor, z_bar=read_only(z_bar))
    if family.is_categorical:
        built = [replace(each, predictors_of=categories[1:]) for each in built]
    censored, y_upper = build_censoring(spec, evaluated, y)
    lower, upper = build_truncation(spec, evaluated, y)
    # Somewhere the intercept is, so that predictors may be counted from anywhere.
    center = center and (intercept or own_intercepts or has_cutpoints)
    columns = _by_label(x, labels, built)
    moments = {
        label: (float(column_means(column, unit)), sd_of_column(column, unit))
        for label, column in columns.items()
    }
    centers = choose_centers([(label, seen[label]) for label in columns], moments)
    return Design(
        y=read_only(outcome),
        X=read_only(x),
        coefficients=labels,
        intercept=intercept,
        x_bar=read_only(column_means(x, unit) if center else np.zeros(x.shape[1])),
        factors=tuple(built),
        link=spec.link_name,
        parameters=parameters,
        special=() if is_complete else _build_special(spec, frame, y),
        trials=read_only(build_trials(spec, evaluated, y)),
        se=read_only(standard_errors(spec, evaluated)),
        weights=read_only(likelihood_weights(spec, evaluated)),
        offset=read_only(offset),
        censored=read_only(censored),
        y_upper=read_only(y_upper),
        lower=read_only(lower),
        upper=read_only(upper),
        categories=categories,
        unit=read_only(unit),
        recipes=Encodings(
            population=without_values(population),
            factors=tuple(without_values(matrix) for _, matrix in factors),
            expressions={
                text: replace(c, values=None) for text, c in expressed.items()
            },
        ),
        centers=centers if center else (),
    )


def _build_factor(
    spec: ModelSpec,
    term: GroupTerm,
    frame: pd.DataFrame,
    labels: tuple[str, ...],
    stand_ins: SurrogateRows | None,
) -> tuple[FactorDesign, TermMatrix]:
    """Build the group side of one factor, and the recipe of its matrix.

    ``labels`` are those of the population's predictors: the same interaction is
    written the same way on both sides.
    """
    functions = dict(spec.functions)
    matrix = term_matrix(term.intercept, term.terms, frame, functions)
    matrix = identified_columns(matrix, term.intercept, stand_ins)
    varying = _in_same_order(matrix.labels, labels)
    groups, index, weights = memberships(term, frame)
    if spec.pooling == "partial" and len(groups) < 2:
        raise DataError(
            f"column {quote(term.factor)} has one group, {quote_list(groups)}: "
            "partial pooling learns how groups differ and needs two or more. Pass "
            "pooling='complete'."
        )
    factor = FactorDesign(
        factor=term.factor,
        labels=groups,
        index=read_only(index),
        Z=read_only(matrix.values),
        varying=varying,
        z_bar=read_only(np.zeros(len(varying))),
        weights=read_only(weights),
        uncorrelated=spec.pooling == "partial" and not term.correlated,
    )
    return factor, matrix


def _build_special(
    spec: ModelSpec, frame: pd.DataFrame, y: np.ndarray
) -> tuple[SpecialTerm, ...]:
    """Build the terms that are neither the population's nor of a grouping factor."""
    return tuple(build_latent(term, frame, y) for term in spec.special_terms)


def build_parameters(
    spec: ModelSpec, frame: pd.DataFrame
) -> tuple[ParameterDesign, ...]:
    """Build the linear predictors of parameters other than the mean, row by row."""
    if spec.residual is None or spec.pooling == "complete":
        return ()
    term = GroupTerm(spec.residual)
    labels, index = groups_of(term.key, frame)
    factor = FactorDesign(
        factor=term.factor,
        labels=labels,
        index=read_only(index),
        Z=read_only(np.ones((len(frame), 1))),
        varying=("Intercept",),
        z_bar=read_only(np.zeros(1)),
    )
    sigma = ParameterDesign(
        parameter="sigma",
        link="log",
        X=read_only(np.empty((len(frame), 0))),
        coefficients=(),
        intercept=True,
        x_bar=read_only(np.empty(0)),
        factors=(factor,),
    )
    return (sigma,)


def _in_same_order(labels: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Write interactions as other labels do: ``a:b`` and ``b:a`` are one."""
    known = {tuple(sorted(other.split(":"))): other for other in others}
    return tuple(known.get(tuple(sorted(each.split(":"))), each) for each in labels)


def _by_label(
    x: np.ndarray, labels: Sequence[str], factors: Sequence[FactorDesign]
) -> dict[str, np.ndarray]:
    """Return the columns of the population's matrix and of all factors."""
    columns = dict(zip(labels, x.T, strict=True))
    for factor in factors:
        columns |= zip(factor.varying, factor.Z.T, strict=True)
    return columns
