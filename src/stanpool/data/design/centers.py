r"""Centering constants: what is subtracted from predictors that are far from 0.

What intercepts and the correlations of varying coefficients mean, and so what priors on
them say, depends on where predictors are 0. Where that is far outside the data (years,
altitudes, body temperatures), intercepts there are extrapolations for which no one has
a prior, and they are nearly perfectly correlated with slopes. So the model subtracts
from such a predictor a round number among its values, its center. Draws are transformed
back, so that users see coefficients where predictors are 0.

A center is a multiple of a step: of the numbers 1, 2, 2.5, 5, 10, ... the first that is
at least four standard deviations. It is the multiple nearest to the mean, so that it is
0 where the mean is less than two standard deviations from 0, and never more than four
standard deviations from the mean. It is also 0 where the predictor is 0 in some row: in
an indicator, or in days since a start. If a predictor is shifted by a whole number of
steps (by 1000, if the step is 1000 or less), its center is shifted by the same amount,
and the centered predictor does not change. The mean itself would not do:
it would move the intercepts of models that have good reasons for their 0.

The uncorrelated deviations of ``||`` are uncorrelated where predictors are 0, as the
formula says. Their predictors are not centered; only those of the population are.

With :math:`\tilde x = x - c` a product is :math:`\tilde x w = x w - c w`. So a matrix
of an intercept, predictors and their products is transformed linearly,
:math:`\tilde X = X A`, and coefficients follow: :math:`\theta = A \tilde \theta`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import Array

if TYPE_CHECKING:
    from stanpool.data.design.design import Design, FactorDesign, ParameterDesign

_STEP = 4.0  # least step, in standard deviations
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # times powers of ten; those up to 1000 divide it
_ROUNDING = 1e-9  # relative error of means and standard deviations


def choose_centers(
    columns: Iterable[tuple[str, Array]],
    moments: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[tuple[str, float], ...]:
    """Choose the centers of predictors that are far from 0.

    Parameters
    ----------
    columns
        Labels and values of all predictors; a product, ``x:w``, has no center of its
        own.
    moments
        Their means and standard deviations, if not those of these values.

    Returns
    -------
    tuple
        Labels and centers other than 0, sorted.

    Examples
    --------
    >>> choose_centers([("year", np.arange(1990.0, 2021.0)), ("day", np.arange(10.0))])
    (('year', 2000.0),)
    """
    known = dict(columns)
    found = {}
    for label, column in known.items():
        pieces = label.split(":")
        is_product = len(pieces) > 1 and any(piece in known for piece in pieces)
        if label != "Intercept" and not is_product:
            mean_and_spread = float(np.mean(column)), float(np.std(column))
            if moments is not None:
                mean_and_spread = moments[label]
            found[label] = _center(column, *mean_and_spread)
    return tuple(sorted((label, c) for label, c in found.items() if c))


def centering_matrix(labels: Sequence[str], centers: Mapping[str, float]) -> Array:
    """Return the matrix ``A`` that centers a design matrix, ``X A``.

    A predictor is not centered if the matrix has no intercept, nor is a product if the
    matrix lacks any of the terms that arise when its factors are centered.

    Parameters
    ----------
    labels
        Of the matrix's columns, L of them; that of ones is ``"Intercept"``.
    centers
        Of predictors, by label.

    Examples
    --------
    >>> centering_matrix(["Intercept", "year"], {"year": 2000.0}).tolist()
    [[1.0, -2000.0], [0.0, 1.0]]
    """
    pieces_of = [_pieces(label, centers) for label in labels]
    places = {pieces: at for at, pieces in enumerate(pieces_of)}
    matrix = np.eye(len(labels))
    for at, pieces in enumerate(pieces_of):
        centered = [piece for piece in sorted(pieces) if piece in centers]
        taken = list(
            chain.from_iterable(
                combinations(centered, size) for size in range(1, len(centered) + 1)
            )
        )
        if all(pieces.difference(some) in places for some in taken):
            for some in taken:
                left = places[pieces.difference(some)]
                matrix[left, at] = math.prod(-centers[piece] for piece in some)
    return matrix


def centers_of(
    label: str, labels: Sequence[str], centers: Mapping[str, float]
) -> dict[str, float]:
    """Return the centers on which the meaning of a coefficient depends, by label.

    They are those of the predictors whose centering changes the coefficient.

    Examples
    --------
    >>> centers_of("Intercept", ["Intercept", "year"], {"year": 2000.0})
    {'year': 2000.0}
    >>> centers_of("year", ["Intercept", "year"], {"year": 2000.0})
    {}
    """
    matrix = centering_matrix(labels, centers)
    own = _pieces(label, centers)
    row = matrix[list(labels).index(label)]
    found: set[str] = set()
    for other, entry in zip(labels, row, strict=True):
        if entry and other != label:
            found |= _pieces(other, centers) - own
    return {each: centers[each] for each in sorted(found)}


def uncentering_matrix(
    factor: FactorDesign, centers: Mapping[str, float]
) -> Array | None:
    """Return the matrix from deviations at the centers to uncorrelated ones at zero.

    Parameters
    ----------
    factor, centers
        A factor of a design, and the design's centers.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(Q, Q)``; None where that changes nothing, or if the deviations are
        correlated.
    """
    matrix = centering_matrix(factor.varying, centers)
    if not factor.uncorrelated or np.array_equal(matrix, np.eye(len(matrix))):
        return None
    return matrix


def centered_design(design: Design) -> Design:
    """Return the data with the centers subtracted from the predictors.

    Parameters
    ----------
    design
        The data, with the centers of their predictors.

    Returns
    -------
    Design
        Its own ``centers`` are empty, and so are those of its parameters.
    """
    mean = _centered_predictor(design.mean, design.ones, kept=design.count is None)
    return replace(
        design,
        X=mean.X,
        x_bar=mean.x_bar,
        factors=mean.factors,
        centers=(),
        parameters=tuple(map(_centered_predictor, design.parameters)),
    )


def _centered_predictor(
    own: ParameterDesign, ones: Array | None = None, *, kept: bool = True
) -> ParameterDesign:
    """Center the columns of a linear predictor; its rows, unless ``kept`` is False."""
    if not own.centers:
        return own
    centers = dict(own.centers)
    matrix = centering_matrix(("Intercept", *own.coefficients), centers)
    return replace(
        own,
        X=_centered(own.X, matrix, ones) if kept else own.X,
        x_bar=_centered(own.x_bar, matrix),
        factors=tuple(
            _centered_factor(factor, own.coefficients, centers, kept)
            for factor in own.factors
        ),
        centers=(),
    )


def _centered_factor(
    factor: FactorDesign,
    coefficients: Sequence[str],
    centers: Mapping[str, float],
    kept: bool,
) -> FactorDesign:
    """Center the predictors of a factor.

    Those of deviations that are uncorrelated where predictors are 0 are not centered.
    """
    matrix = centering_matrix(factor.varying, centers)
    z_bar, U = factor.z_bar, factor.U
    if np.any(z_bar):
        is_intercept = np.array([label == "Intercept" for label in factor.varying])
        z_bar = np.where(is_intercept, 0.0, (z_bar + is_intercept) @ matrix)
    if U is not None:
        labels = labels_of_group_predictors(factor, coefficients)
        U = _centered(U, centering_matrix(("Intercept", *labels), centers))
    if factor.uncorrelated:
        return replace(factor, U=U, uncenter=uncentering_matrix(factor, centers))
    z = factor.Z @ matrix if kept else factor.Z
    return replace(factor, Z=z, z_bar=z_bar, U=U)


def labels_of_group_predictors(
    factor: FactorDesign, coefficients: Sequence[str]
) -> list[str]:
    """Label a factor's group-level predictors: ``u``, where ``x:u`` moves slopes."""
    assert factor.effect_of is not None
    labels = []
    for effects in factor.effect_of:
        q = int(np.flatnonzero(effects)[0])
        pieces = coefficients[effects[q] - 1].split(":")
        labels.append(":".join(each for each in pieces if each != factor.varying[q]))
    return labels


def _centered(x: Array, matrix: Array, ones: Array | None = None) -> Array:
    """Center columns of a matrix whose intercept, ``ones``, is not among them."""
    shift = matrix[0, 1:] if ones is None else np.outer(ones, matrix[0, 1:])
    return np.asarray(x @ matrix[1:, 1:] + shift)


def _pieces(label: str, centers: Mapping[str, float]) -> frozenset[str]:
    """Return the predictors whose product a column is; none for the intercept."""
    if label == "Intercept":
        return frozenset()
    return frozenset([label] if label in centers else label.split(":"))


def _center(column: Array, mean: float, spread: float) -> float:
    """Return the center of a predictor."""
    if spread == 0.0 or not math.isfinite(spread) or np.any(column == 0.0):
        return 0.0
    wanted = _STEP * spread * (1.0 - _ROUNDING)
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(each * power for each in _STEPS if each * power >= wanted)
    center = step * math.floor(mean / step + 0.5 - _ROUNDING)
    return float(f"{center:.15g}")
