"""Reduced rows of a design, for Gaussian programs that do not need each row.

A Gaussian likelihood needs sums of squares and products of its rows, which
``qr_reduce`` keeps. Here a design is brought to that form: offsets are subtracted from
the outcome, rows are divided by known standard errors and multiplied by the square
roots of weights, and the rows that become 0 are counted for the normalizing constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.base.errors import quote
from stanpool.data.compression.orthogonal import (
    most_rows_left,
    number_combinations,
    qr_reduce,
)
from stanpool.data.design.design import Design, FactorDesign
from stanpool.language.model_spec import ModelSpec


@dataclass(frozen=True, eq=False)
class CompressedRows:
    """What a compressed program sees of the data: N rows of a regression.

    Attributes
    ----------
    y, X
        Outcome and predictors, shapes ``(N,)`` and ``(N, D)``: the intercept's column
        comes first, if there is one.
    Z, group
        For each factor the predictors of its groups' coefficients and the group of
        each row, shapes ``(N, Q)`` and ``(N,)``; every ``Z`` is 0 in a row that is left
        of all groups.
    scale
        The residual scale of each row, counted from 0, shape ``(N,)``.
    y_shift
        What was subtracted from the outcome.
    zeros
        For each residual scale the number (or the weight) of the rows that became 0.
    """

    y: Array
    X: Array
    Z: tuple[Array, ...]
    group: tuple[NDArray[np.intp], ...]
    scale: NDArray[np.intp]
    y_shift: float
    zeros: Array

    @property
    def kept(self) -> int:
        """How many rows the program sees."""
        return len(self.y)


def why_not_sums(spec: ModelSpec) -> str:
    """Say why the likelihood needs more than sums of products; empty if it does not."""
    if not spec.is_gaussian or spec.link_name != "identity":
        return "the outcome is not gaussian with an identity link"
    for formula in spec.formulas:
        return f"{formula.parameter} has a formula, and differs between rows"
    for term in () if spec.pooling == "complete" else spec.special_terms:
        return term.why_not_sums
    for each in spec.uncertain:
        return f"values of {each.name} are not all known"
    if spec.cens is not None or spec.trunc is not None:
        return "outcomes are censored or truncated"
    if spec.residual_correlation is not None:
        subjects = quote(spec.residual_correlation.name)
        return f"residuals are correlated within {subjects}"
    if spec.se_sigma:
        return "rows have known standard errors besides a residual scale"
    return ""


def why_not_compressed(spec: ModelSpec, design: Design) -> str:
    """Say why rows cannot be reduced to fewer; empty if they can."""
    against = why_not_sums(spec)
    if not against and any(each.weights is not None for each in design.factors):
        return "rows are members of several groups"
    return against


def compressed_rows(design: Design, *, always: bool) -> CompressedRows | None:
    """Reduce the rows of a design to few.

    Rows of the same groups and the same residual scale are reduced together.

    Parameters
    ----------
    design
        One that ``why_not_compressed`` has nothing against.
    always
        Whether to reduce them even if so many rows are left that it saves hardly any
        time; if not, None is returned in that case.
    """
    most = most_rows_left(design.rows, always=always)
    combination = _combination_of_rows(design, most)
    if combination is None:
        return None
    weight, sizes = scale_weights(design), np.bincount(combination)
    varying = {name for factor in design.factors for name in factor.varying}
    left = np.minimum(sizes, len(varying)).sum()
    if not always and left + (design.X.shape[1] + 2) * len(weight) > most:
        return None
    count = len(sizes)
    columns, y_shift = population_columns(design)
    ones, factors = column_of_ones(design), design.factors
    # Minus z_bar, as in the program of no pooling.
    z = [weighted(design, each.Z) - np.outer(ones, each.z_bar) for each in factors]
    scale = scale_of_groups(design, combination, count)
    reduced = qr_reduce(
        np.concatenate([np.zeros((design.rows, 0)), *z], axis=1),
        columns,
        combination,
        count,
        scale=scale,
    )
    q, rest = reduced.Z.shape[1], len(reduced.rest)
    of_groups = reduced.X.reshape(count * q, columns.shape[1])
    values = np.concatenate([of_groups, reduced.rest])
    own = np.concatenate([reduced.Z.reshape(count * q, q), np.zeros((rest, q))])
    scales = np.append(np.repeat(scale, q), reduced.scale_of_rest)
    # Where rows are fewer than coefficients, or columns alike, zeros fill up.
    kept = np.append((reduced.Z != 0).any(axis=2).ravel(), np.ones(rest, dtype=bool))
    group = []
    for factor in factors:
        index = np.zeros(count, dtype=np.intp)
        index[combination] = factor.index
        group.append(np.append(np.repeat(index, q), np.zeros(rest, dtype=np.intp)))
    ends = np.cumsum([each.shape[1] for each in z])[:-1]
    return CompressedRows(
        y=values[kept, -1],
        X=values[kept, :-1],
        Z=tuple(np.split(own[kept], ends, axis=1)) if factors else (),
        group=tuple(index[kept] for index in group),
        scale=scales[kept],
        y_shift=y_shift,
        zeros=weight - np.bincount(scales[kept], minlength=len(weight)),
    )


def _combination_of_rows(design: Design, most: int) -> NDArray[np.int64] | None:
    """Return which groups and which scale each row has; None if there are too many.

    Combinations of one scale have successive numbers, so that they are reduced in one
    go.
    """
    columns = [factor.index for factor in design.factors]
    if design.residual is None:
        return number_combinations(columns, design.rows, most=most)
    scale = design.residual.index
    found = number_combinations([scale, *columns], design.rows, most=most)
    if found is None:
        return None
    of_scale = scale_of_groups(design, found, int(found.max()) + 1)
    place = np.empty(len(of_scale), dtype=np.int64)
    place[np.argsort(of_scale, kind="stable")] = np.arange(len(of_scale))
    return np.asarray(place[found])


def population_columns(design: Design) -> tuple[Array, float]:
    """Return intercept, predictors about ``x_bar`` and outcome; and what it has lost.

    The outcome loses the offsets and, where there is an intercept, its mean. Rows are
    weighted, so that they have one scale.
    """
    ones = column_of_ones(design)
    y = design.y if design.offset is None else design.y - design.offset
    # First about a value of its own: a large mean must not swamp a small spread.
    about = float(y[0]) if design.ones is None and design.intercept else 0.0
    y = weighted(design, y - about)
    y_shift = float(ones @ y / (ones @ ones)) if design.intercept else 0.0
    intercept = ones[:, None][:, : int(design.intercept)]
    x = weighted(design, design.X) - np.outer(ones, design.x_bar)
    columns = [intercept, x, (y - ones * y_shift)[:, None]]
    return np.concatenate(columns, axis=1), y_shift + about


def column_of_ones(design: Design) -> Array:
    """Return the column of ones, transformed: the weights of the rows."""
    if design.ones is not None:
        return design.ones
    return weighted(design, np.ones(design.rows))


def weighted(design: Design, values: Array) -> Array:
    """Return a column or a matrix of the rows, weighted so that they have one scale.

    Surrogate rows have weights already.
    """
    if design.ones is not None or (design.se is None and design.weights is None):
        return values
    weights = np.ones(design.rows) if design.weights is None else design.weights
    precision = np.sqrt(weights) / (1.0 if design.se is None else design.se)
    return values * precision.reshape(-1, *[1] * (values.ndim - 1))


def has_one_scale(design: Design, factor: FactorDesign) -> bool:
    """Whether the rows of each group have the same residual scale."""
    if design.residual is None:
        return True
    scale = scale_of_groups(design, factor.index, len(factor.labels))
    return np.array_equal(scale[factor.index], design.residual.index)


def scale_of_groups(
    design: Design, index: NDArray[np.intp], groups: int
) -> NDArray[np.intp]:
    """Return the residual scale of each group, counted from 0, shape ``(J,)``."""
    scale = np.zeros(groups, dtype=np.intp)
    if design.residual is not None:
        scale[index] = design.residual.index
    return scale


def scale_weights(design: Design) -> Array:
    """Return the number (or the weight) of the rows of each residual scale."""
    each, index, scales = design.weights, np.zeros(design.rows, dtype=np.intp), 1
    if design.ones is not None:
        each = np.square(design.ones)
    if design.residual is not None:
        index, scales = design.residual.index, len(design.residual.labels)
    counted = np.bincount(index, each, minlength=scales)
    if design.weights is None:
        counted = np.rint(counted)
    return np.asarray(counted, dtype=float)
