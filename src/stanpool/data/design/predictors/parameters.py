"""The linear predictors of parameters other than the mean, from a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.errors import DataError, quote
from stanpool.data.design.centers import choose_centers
from stanpool.data.design.design import (
    Encodings,
    FactorDesign,
    Joint,
    ParameterDesign,
    Part,
    read_only,
)
from stanpool.data.design.groups import groups_of
from stanpool.data.design.predictors.factor import build_factor
from stanpool.data.design.rank import (
    SurrogateRows,
    column_means,
    identified_columns,
)
from stanpool.data.matrix.model_matrix import term_matrix, without_values
from stanpool.data.matrix.term_matrix import TermMatrix
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import GroupTerm, ModelSpec, ParameterFormula


def build_parameters(
    spec: ModelSpec, frame: pd.DataFrame
) -> tuple[tuple[ParameterDesign, ...], dict[str, Encodings]]:
    """Build the linear predictors of parameters other than the mean, row by row.

    Returns
    -------
    tuple
        The predictors in the order of the family's parameters, and how those that have
        formulas are built again for new rows, by the parameter.
    """
    stated = {each.parameter: each for each in spec.formulas}
    found: list[ParameterDesign] = []
    encodings: dict[str, Encodings] = {}
    for own in FAMILIES[spec.family].numbers:
        if own.name in stated:
            try:
                design, encodings[own.name] = _of_formula(spec, stated[own.name], frame)
            except DataError as error:
                raise DataError(f"the formula of {quote(own.name)}: {error}") from None
            found.append(replace(design, link=own.link))
        elif own.name == "sigma" and spec.residual and spec.pooling != "complete":
            found.append(scales_of_groups(spec.residual, frame))
    return tuple(found), encodings


def _of_formula(
    spec: ModelSpec, stated: ParameterFormula, frame: pd.DataFrame
) -> tuple[ParameterDesign, Encodings]:
    """Build the linear predictor that a formula states."""
    population, matrices, factors = read_terms(spec, stated, frame, None)
    first = int(stated.intercept)
    x, labels = population.values[:, first:], population.labels[first:]
    free = labels[: len(labels) - population.penalised]
    center = stated.intercept and spec.center_predictors
    design = ParameterDesign(
        parameter=stated.parameter,
        link="identity",
        X=read_only(x),
        coefficients=labels,
        intercept=stated.intercept,
        x_bar=read_only(column_means(x, None) if center else np.zeros(x.shape[1])),
        factors=tuple(factors),
        centers=choose_centers(columns_of(x, free, factors).items()) if center else (),
        smooths=population.scales,
    )
    return design, encodings_of(population, matrices, {}, {})


def read_terms(
    spec: ModelSpec,
    stated: ModelSpec | ParameterFormula,
    frame: pd.DataFrame,
    surrogates: SurrogateRows | None,
) -> tuple[TermMatrix, list[TermMatrix], list[FactorDesign]]:
    """Build the matrices of the population and of the factors, and the factors.

    Parameters
    ----------
    spec
        The model.
    stated
        The formula: of the mean, which is the model's, or of another parameter.
    frame
        The rows.
    surrogates
        The rows that take the place of the data's, or None.
    """
    matrix = term_matrix(
        stated.intercept,
        stated.terms,
        frame,
        dict(spec.functions),
        known=dict(spec.smooths),
    )
    population = identified_columns(
        matrix,
        stated.intercept,
        surrogates,
        by_prior=stated is spec and spec.shrinks,
    )
    labels = population.labels[int(stated.intercept) :]
    groups = () if spec.pooling == "complete" else stated.groups
    pairs = [build_factor(spec, term, frame, labels, surrogates) for term in groups]
    return population, [own for _, own in pairs], [factor for factor, _ in pairs]


def with_joints(
    spec: ModelSpec,
    factors: Sequence[FactorDesign],
    parameters: Sequence[ParameterDesign],
) -> tuple[list[FactorDesign], tuple[ParameterDesign, ...]]:
    """Say of factors with whose coefficients their own are correlated, by shared ids.

    Parameters
    ----------
    spec, factors, parameters
        The model, the factors of the mean, and the predictors of other parameters.
    """
    if not spec.shared_ids or spec.pooling != "partial":
        return list(factors), tuple(parameters)
    ids = {
        (name, term.factor): term.id
        for name, groups in spec.predictors
        for term in groups
        if term.id in spec.shared_ids
    }
    found: dict[tuple[str, str], list[Part]] = {}
    others = ((own.parameter, own.link, own.factors) for own in parameters)
    for name, link, own in (("mean", spec.link_name, factors), *others):
        for number, factor in enumerate(own):
            if known := ids.get((name, factor.factor)):
                part = Part(name, link, number, factor.coefficients)
                found.setdefault((known, factor.factor), []).append(part)

    def joined(name: str, factor: FactorDesign) -> FactorDesign:
        known = ids.get((name, factor.factor))
        if known is None:
            return factor
        parts = tuple(found[known, factor.factor])
        place = [part.parameter for part in parts].index(name)
        return replace(factor, joint=Joint(known, parts, place))

    return [joined("mean", factor) for factor in factors], tuple(
        own.with_factors(partial(joined, own.parameter)) for own in parameters
    )


def columns_of(
    x: np.ndarray, labels: Sequence[str], factors: Sequence[FactorDesign]
) -> dict[str, np.ndarray]:
    """Return the first columns of the population's matrix, and all of factors."""
    columns = dict(zip(labels, x.T, strict=False))
    for factor in factors:
        columns |= zip(factor.varying, factor.Z.T, strict=True)
    return columns


def encodings_of(
    population: TermMatrix,
    matrices: Sequence[TermMatrix],
    expressed: Mapping[str, Any],
    parameters: Mapping[str, Encodings],
) -> Encodings:
    """Return what new rows need to be read as these were."""
    return Encodings(
        population=without_values(population),
        factors=tuple(map(without_values, matrices)),
        expressions={
            text: replace(column, values=None) for text, column in expressed.items()
        },
        parameters=parameters,
    )


def scales_of_groups(column: str, frame: pd.DataFrame) -> ParameterDesign:
    """Build the predictor of residual scales that groups of one column have."""
    term = GroupTerm(column)
    labels, index = groups_of(term.key, frame)
    factor = FactorDesign(
        factor=term.factor,
        labels=labels,
        index=read_only(index),
        Z=read_only(np.ones((len(frame), 1))),
        varying=("Intercept",),
        z_bar=read_only(np.zeros(1)),
    )
    return ParameterDesign(
        parameter="sigma",
        link="log",
        X=read_only(np.empty((len(frame), 0))),
        coefficients=(),
        intercept=True,
        x_bar=read_only(np.empty(0)),
        factors=(factor,),
        is_value=True,
    )
