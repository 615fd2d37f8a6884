r"""Where predictors are 0 for the model, whatever their units' zero.

What intercepts and the correlations of varying coefficients mean, and so what priors on
them say, depends on where predictors are 0. Where that is far outside the data (years,
altitudes, body temperatures), intercepts there are extrapolations that no one has a
prior for, and nearly perfectly correlated with slopes. So the model counts such a
predictor from a round number among its values, its origin; draws are turned back, so
that users see coefficients where predictors are 0.

An origin is a multiple of a step, the first of 1, 2, 2.5, 5, 10, ... that is four
standard deviations or more, and the one that is nearest to the mean. So it stays at 0
where the mean is less than two standard deviations from there, and it is never more
than four from the mean. It stays at 0, too, where some row is 0: in an indicator, in
days since a start. A shift of the predictor by a whole number of steps (by 1000, if the
step is 1000 or less) shifts the origin alike, and the model counts from there as it did
before. The mean itself would be no such place: it would move the intercepts of models
that have their own good reasons for 0.

Deviations that are uncorrelated, of ``||``, are so where predictors are 0: a formula
says what it says. Their predictors stay where they are, and that of the population only
is counted from an origin.

With :math:`\tilde x = x - c` a product is :math:`\tilde x w = x w - c w`. A matrix with
its intercept, its predictors and their products turns into another of them,
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
    from stanpool.data.design.design import Design, FactorDesign

_STEP = 4.0  # standard deviations
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # all divide 1000, and their multiples by ten do
_ROUNDING = 1e-9


def choose_origins(
    columns: Iterable[tuple[str, Array]],
    moments: Mapping[str, tuple[float, float]] | None = None,
) -> tuple[tuple[str, float], ...]:
    """Choose the origins of predictors that are far from 0.

    Parameters
    ----------
    columns
        Labels and values of all predictors; those of a product, ``x:w``, have no
        origin of their own.
    moments
        Their means and standard deviations, if not those of these values.

    Returns
    -------
    tuple
        Labels and origins other than 0, sorted.

    Examples
    --------
    >>> choose_origins([("year", np.arange(1990.0, 2021.0)), ("day", np.arange(10.0))])
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
            found[label] = _origin(column, *mean_and_spread)
    return tuple(sorted((label, c) for label, c in found.items() if c))


def change_of_origin(labels: Sequence[str], origins: Mapping[str, float]) -> Array:
    """Return the matrix ``A`` with which a design matrix is moved to origins, ``X A``.

    A predictor stays where the matrix has no intercept, and a product where it has not
    all that is left of it without predictors that move.

    Parameters
    ----------
    labels
        Of the matrix's columns, L of them; that of ones is ``"Intercept"``.
    origins
        Of predictors, by label.

    Examples
    --------
    >>> change_of_origin(["Intercept", "year"], {"year": 2000.0}).tolist()
    [[1.0, -2000.0], [0.0, 1.0]]
    """
    pieces_of = [_pieces(label, origins) for label in labels]
    places = {pieces: at for at, pieces in enumerate(pieces_of)}
    matrix = np.eye(len(labels))
    for at, pieces in enumerate(pieces_of):
        moves = [piece for piece in sorted(pieces) if piece in origins]
        taken = list(
            chain.from_iterable(
                combinations(moves, size) for size in range(1, len(moves) + 1)
            )
        )
        if all(pieces.difference(some) in places for some in taken):
            for some in taken:
                left = places[pieces.difference(some)]
                matrix[left, at] = math.prod(-origins[piece] for piece in some)
    return matrix


def origins_of(
    label: str, labels: Sequence[str], origins: Mapping[str, float]
) -> dict[str, float]:
    """Return the origins at which a coefficient is meant, by label.

    Those of the predictors that change what the coefficient is when they move.

    Examples
    --------
    >>> origins_of("Intercept", ["Intercept", "year"], {"year": 2000.0})
    {'year': 2000.0}
    >>> origins_of("year", ["Intercept", "year"], {"year": 2000.0})
    {}
    """
    matrix = change_of_origin(labels, origins)
    own = _pieces(label, origins)
    row = matrix[list(labels).index(label)]
    found: set[str] = set()
    for other, entry in zip(labels, row, strict=True):
        if entry and other != label:
            found |= _pieces(other, origins) - own
    return {each: origins[each] for each in sorted(found)}


def matrix_to_zero(factor: FactorDesign, origins: Mapping[str, float]) -> Array | None:
    """Return what turns deviations at the origins into uncorrelated ones at zero.

    Parameters
    ----------
    factor, origins
        A factor of a design, and the design's origins.

    Returns
    -------
    numpy.ndarray or None
        Shape ``(Q, Q)``; None where that changes nothing, or if the deviations are
        correlated.
    """
    matrix = change_of_origin(factor.varying, origins)
    if not factor.uncorrelated or np.array_equal(matrix, np.eye(len(matrix))):
        return None
    return matrix


def at_origins(design: Design) -> Design:
    """Return the data with predictors counted from their origins.

    Parameters
    ----------
    design
        The data, with the origins of their predictors.

    Returns
    -------
    Design
        Without origins, since all are 0.
    """
    origins = dict(design.origins)
    if not origins:
        return design
    matrix = change_of_origin(("Intercept", *design.coefficients), origins)
    kept = design.count is None
    return replace(
        design,
        X=_moved(design.X, matrix, design.unit) if kept else design.X,
        x_bar=_moved(design.x_bar, matrix),
        factors=tuple(
            _moved_factor(factor, design.coefficients, origins, kept)
            for factor in design.factors
        ),
        origins=(),
    )


def _moved_factor(
    factor: FactorDesign,
    coefficients: Sequence[str],
    origins: Mapping[str, float],
    kept: bool,
) -> FactorDesign:
    """Return the group side of a factor, counted from the origins.

    Deviations that are uncorrelated where predictors are 0 stay there.
    """
    matrix = change_of_origin(factor.varying, origins)
    z_bar, U = factor.z_bar, factor.U
    if np.any(z_bar):
        is_intercept = np.array([label == "Intercept" for label in factor.varying])
        z_bar = np.where(is_intercept, 0.0, (z_bar + is_intercept) @ matrix)
    if U is not None:
        labels = _labels_of_levels(factor, coefficients)
        U = _moved(U, change_of_origin(("Intercept", *labels), origins))
    if factor.uncorrelated:
        return replace(factor, U=U, to_zero=matrix_to_zero(factor, origins))
    z = factor.Z @ matrix if kept else factor.Z
    return replace(factor, Z=z, z_bar=z_bar, U=U)


def _labels_of_levels(factor: FactorDesign, coefficients: Sequence[str]) -> list[str]:
    """Label a factor's group-level predictors: ``u``, where ``x:u`` moves slopes."""
    assert factor.effect_of is not None
    labels = []
    for effects in factor.effect_of:
        q = int(np.flatnonzero(effects)[0])
        pieces = coefficients[effects[q] - 1].split(":")
        labels.append(":".join(each for each in pieces if each != factor.varying[q]))
    return labels


def _moved(x: Array, matrix: Array, unit: Array | None = None) -> Array:
    """Move columns, the first of a matrix with an intercept, ``unit``, left out."""
    shift = matrix[0, 1:] if unit is None else np.outer(unit, matrix[0, 1:])
    return np.asarray(x @ matrix[1:, 1:] + shift)


def _pieces(label: str, origins: Mapping[str, float]) -> frozenset[str]:
    """Return the predictors whose product a column is; none for the intercept."""
    if label == "Intercept":
        return frozenset()
    return frozenset([label] if label in origins else label.split(":"))


def _origin(column: Array, mean: float, spread: float) -> float:
    """Return the origin of a predictor."""
    if spread == 0.0 or not math.isfinite(spread) or np.any(column == 0.0):
        return 0.0
    wanted = _STEP * spread * (1.0 - _ROUNDING)
    power = 10.0 ** math.floor(math.log10(wanted))
    step = next(each * power for each in _STEPS if each * power >= wanted)
    origin = step * math.floor(mean / step + 0.5 - _ROUNDING)
    return float(f"{origin:.15g}")
