"""Building the design of a model from its specification and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from stanpool.data.design.centers import choose_centers
from stanpool.data.design.covariance.build_residuals import build_residuals
from stanpool.data.design.design import (
    Design,
    FactorDesign,
    SpecialTerm,
    read_only,
    rows_of,
    sd_of_column,
)
from stanpool.data.design.groups import (
    is_reproduced_by_groups,
    with_group_predictors,
)
from stanpool.data.design.outcome import (
    Evaluated,
    build_censoring,
    build_offset,
    build_outcome,
    build_trials,
    build_truncation,
    expressions,
    likelihood_weights,
    standard_errors,
)
from stanpool.data.design.predictors.latent_factors import build_latent
from stanpool.data.design.predictors.parameters import (
    build_parameters,
    columns_of,
    encodings_of,
    read_terms,
    with_joints,
)
from stanpool.data.design.predictors.tensor_factors import build_tensor
from stanpool.data.design.predictors.uncertain import build_uncertain_design
from stanpool.data.design.rank import (
    SurrogateRows,
    column_means,
)
from stanpool.data.matrix.model_matrix import column_of
from stanpool.data.matrix.term_matrix import TermMatrix
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import ModelSpec


def build_design(
    spec: ModelSpec, frame: pd.DataFrame, surrogates: SurrogateRows | None = None
) -> Design:
    """Build the arrays of a model from a frame that ``used_columns`` has cleaned.

    Parameters
    ----------
    spec
        The model.
    frame
        The columns that the model uses, as ``used_columns`` returns them.
    surrogates
        Rows that replace those of the data. The frame then decides only the structure:
        all levels and groups occur in it, and a predictor that varies within groups
        varies here as well.

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
    population, matrices, factors = _terms_of_mean(spec, frame, surrogates)
    first = int(spec.intercept)
    x, labels = population.values[:, first:], population.labels[first:]
    seen = columns_of(x, labels, factors)
    parameters, encodings = build_parameters(spec, frame)
    factors, parameters = with_joints(spec, factors, parameters)
    ones, outcome, offset = None, y, build_offset(spec, evaluated)
    if surrogates is not None:
        ones, outcome, offset = surrogates.ones, surrogates.y, surrogates.offset
        x = surrogates.transform(population)[:, first:]
        factors = [
            _of_surrogates(factor, matrix, surrogates)
            for factor, matrix in zip(factors, matrices, strict=True)
        ]
        parameters = tuple(each.take(surrogates.group_row) for each in parameters)
    has_intercept = spec.intercept and not family.has_cutpoints
    own_intercepts = False
    if spec.pooling == "none":
        x, labels = _without_reproduced(x, labels, factors[0], ones)
        has_intercept &= not _reproduces_intercept(factors[0], ones)
        own_intercepts = not has_intercept and factors[0].varying[0] == "Intercept"
        if own_intercepts and spec.center_predictors:
            factors = [_with_means(factors[0], ones)]
    if family.is_categorical:
        factors = [replace(each, predictors_of=categories[1:]) for each in factors]
    free = labels[: len(labels) - population.penalised]
    # There must be an intercept if predictors are centered.
    intercepts = has_intercept or own_intercepts or family.has_cutpoints
    center = spec.center_predictors and intercepts
    return Design(
        y=read_only(outcome),
        X=read_only(x),
        coefficients=labels,
        intercept=has_intercept,
        x_bar=read_only(column_means(x, ones) if center else np.zeros(x.shape[1])),
        factors=tuple(factors),
        link=spec.link_name,
        parameters=parameters,
        special=_build_special(spec, frame, y, labels),
        residual_correlation=None
        if spec.residual_correlation is None
        else build_residuals(spec.residual_correlation, frame),
        offset=read_only(offset),
        **_parts_of_outcome(spec, evaluated, y),
        categories=categories,
        ones=read_only(ones),
        smooths=population.scales,
        encodings=encodings_of(population, matrices, expressed, encodings),
        centers=_centers(columns_of(x, free, factors), seen, ones) if center else (),
    )


def _terms_of_mean(
    spec: ModelSpec, frame: pd.DataFrame, surrogates: SurrogateRows | None
) -> tuple[TermMatrix, list[TermMatrix], list[FactorDesign]]:
    """Read the terms of the mean, and move its groups by group-level predictors."""
    population, matrices, factors = read_terms(spec, spec, frame, surrogates)
    if spec.pooling == "partial":
        own = slice(int(spec.intercept), population.plain)
        x, labels = population.values[:, own], population.labels[own]
        factors = with_group_predictors(spec, factors, x, labels, frame)
    return population, matrices, factors


def _of_surrogates(
    factor: FactorDesign, matrix: TermMatrix, surrogates: SurrogateRows
) -> FactorDesign:
    """Return a factor with surrogate rows instead of those of the data."""
    return replace(
        factor,
        Z=read_only(surrogates.transform(matrix)),
        index=rows_of(factor.index, surrogates.group_row),
        weights=rows_of(factor.weights, surrogates.group_row),
    )


def _without_reproduced(
    x: np.ndarray, labels: tuple[str, ...], own: FactorDesign, ones: np.ndarray | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Leave out predictors that the groups' own coefficients can reproduce."""
    kept = [not is_reproduced_by_groups(column, own, ones) for column in x.T]
    return x[:, kept], tuple(np.array(labels, dtype=object)[kept])


def _reproduces_intercept(own: FactorDesign, ones: np.ndarray | None) -> bool:
    """Whether the groups' own coefficients can reproduce an intercept."""
    column = np.ones(len(own.Z)) if ones is None else ones
    return is_reproduced_by_groups(column, own, ones)


def _with_means(own: FactorDesign, ones: np.ndarray | None) -> FactorDesign:
    """Center the predictors of groups that have intercepts of their own."""
    z_bar = column_means(own.Z, ones)
    z_bar[0] = 0.0
    return replace(own, z_bar=read_only(z_bar))


def _parts_of_outcome(
    spec: ModelSpec, evaluated: Evaluated, y: np.ndarray
) -> dict[str, Any]:
    """Build the arrays of the parts of the outcome, by the fields of a design."""
    censored, y_upper = build_censoring(spec, evaluated, y)
    lower, upper = build_truncation(spec, evaluated, y)
    arrays = {
        "trials": build_trials(spec, evaluated, y),
        "se": standard_errors(spec, evaluated),
        "weights": likelihood_weights(spec, evaluated),
        "censored": censored,
        "y_upper": y_upper,
        "lower": lower,
        "upper": upper,
    }
    return {name: read_only(values) for name, values in arrays.items()}


def _centers(
    columns: Mapping[str, np.ndarray],
    seen: Mapping[str, np.ndarray],
    ones: np.ndarray | None,
) -> tuple[tuple[str, float], ...]:
    """Choose the centers of predictors that are far from 0."""
    moments = {
        label: (float(column_means(column, ones)), sd_of_column(column, ones))
        for label, column in columns.items()
    }
    return choose_centers([(label, seen[label]) for label in columns], moments)


def _build_special(
    spec: ModelSpec, frame: pd.DataFrame, y: np.ndarray, labels: Sequence[str]
) -> tuple[SpecialTerm, ...]:
    """Build the terms that are neither the population's nor of a grouping factor."""
    terms = () if spec.pooling == "complete" else spec.special_terms
    found: list[SpecialTerm] = [
        build_tensor(term, frame, y)
        if term.others
        else build_latent(term, frame, y, dict(spec.functions))
        for term in terms
    ]
    if spec.uncertain:
        found.append(build_uncertain_design(spec, frame, labels))
    return tuple(found)
