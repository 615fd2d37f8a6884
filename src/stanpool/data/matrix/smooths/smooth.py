"""Smooths as values that give the columns of any rows, from what the fit's rows said.

A smooth's columns are of two kinds. Some are free, as those of other predictors: the
straight line. The others are penalised: their coefficients are drawn from a normal
distribution whose scale is estimated. They are orthogonal to the free ones and to the
constant over the rows of the fit, orthogonal to each other, and scaled so that the
scale is the standard deviation of what they add to the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote
from stanpool.data.matrix.smooths.bases import penalised_curves
from stanpool.data.matrix.smooths.curves import Curves
from stanpool.data.matrix.smooths.levels import (
    curves_of,
    kind_of,
    levels_of,
    row_products,
    times_by,
)

SMALLEST = {"tp": 3, "cr": 3, "cc": 4, "ps": 4}
_SDS_IN_RANGE = 12**0.5  # of an even spread
_DEFAULT = {1: 10, 2: 5}  # K for each predictor, by the number of predictors


@dataclass(frozen=True, eq=False)
class Margin:
    """One predictor of a smooth.

    Attributes
    ----------
    name
        The predictor as it is written.
    center, unit
        What is subtracted from it, and what it is then divided by.
    curves
        The penalised columns as functions of it.
    """

    name: str
    center: float
    unit: float
    curves: Curves

    @classmethod
    def of(cls, name: str, kind: str, x: Array, size: int) -> Margin:
        """Build the margin from the predictor in the rows of the fit."""
        center, unit = float(x.mean()), float(np.ptp(x))
        curves = penalised_curves(kind, (x - center) / unit, size)
        return cls(name, center, unit, curves)

    @property
    def lines(self) -> tuple[str, ...]:
        """What is not penalised: the constant, and the predictor unless periodic."""
        return ("",) if self.curves.is_periodic else ("", self.name)

    def straight(self, x: Array) -> Array:
        """Return what is not penalised, shape ``(N, 1)`` or ``(N, 2)``."""
        columns = [np.ones_like(x), x - self.center]
        return np.column_stack(columns[: len(self.lines)])

    def penalised(self, x: Array) -> Array:
        """Return the penalised columns, shape ``(N, M)``."""
        return self.curves((x - self.center) / self.unit)


@dataclass(frozen=True, eq=False)
class Block:
    """Penalised columns of a smooth whose coefficients have one scale.

    Attributes
    ----------
    name
        Which, if the smooth has several; else empty.
    wiggly
        The margins of which the columns are products of penalised ones.
    turned
        How the columns follow from these products, shape ``(products, M)``.
    straight
        What is subtracted to make them orthogonal to the constant and the free columns:
        how it follows from these, shape ``(1 + free, M)``.
    """

    name: str
    wiggly: tuple[bool, ...]
    turned: Array
    straight: Array


@dataclass(frozen=True, eq=False)
class Smooth:
    """A smooth of one or two predictors.

    Attributes
    ----------
    name
        The smooth without how it is made: ``s(x)``, or ``s(x, by=f)``.
    margins
        Its predictors.
    blocks
        Its penalised columns.
    by
        What the curves depend on: nothing, ``"numbers"``, by which they are multiplied,
        or ``"levels"``, each of which has curves of its own.
    levels
        The levels.
    """

    name: str
    margins: tuple[Margin, ...]
    blocks: tuple[Block, ...]
    by: str = ""
    levels: tuple[Any, ...] = ()

    @property
    def free(self) -> tuple[str, ...]:
        """The labels of the free columns."""
        names = ["*".join(filter(None, x)) for x in product(*self._lines)][1:]
        if len(self.margins) == 1:
            names = ["linear" for _ in names]
        if self.by == "numbers":
            names = ["constant", *names]
        return tuple(f"{curve}.{each}" for curve in self.curves for each in names)

    @property
    def _lines(self) -> list[tuple[str, ...]]:
        return [margin.lines for margin in self.margins]

    @property
    def curves(self) -> tuple[str, ...]:
        """The labels of the curves: one, or one for each level."""
        return curves_of(self.name, self.by, self.levels)

    @property
    def scales(self) -> tuple[tuple[str, int, None], ...]:
        """The label of each scale, and of how many coefficients it is the scale."""
        return tuple(
            (f"{curve}.{own.name}" if own.name else curve, own.turned.shape[1], None)
            for curve in self.curves
            for own in self.blocks
        )

    def columns(self, x: Sequence[Array], by: Any = None) -> tuple[Array, Array]:
        """Return the free and the penalised columns of rows, ``(N, columns)`` each.

        Parameters
        ----------
        x
            The predictors.
        by
            What the curves depend on: numbers, or a categorical.

        Raises
        ------
        DataError
            If a row has a level that has no curve.
        """
        straight, parts = _straight(self.margins, x), _parts(self.margins, x)
        penalised = np.concatenate(
            [
                _products(own.wiggly, parts) @ own.turned - straight @ own.straight
                for own in self.blocks
            ],
            axis=1,
        )
        free = straight if self.by == "numbers" else straight[:, 1:]
        depends = self.name, by, self.by, self.levels
        return times_by(free, *depends), times_by(penalised, *depends)


def build_smooth(
    name: str,
    names: Sequence[str],
    x: Sequence[Array],
    *,
    kind: str = "tp",
    size: int | Sequence[int] | None = None,
    by: Any = None,
) -> Smooth:
    """Build a smooth from the rows of the fit.

    Parameters
    ----------
    name, names
        What the smooth and its predictors are called.
    x
        The predictors.
    kind
        The kind of its basis: ``"tp"``, ``"cr"``, ``"cc"`` or ``"ps"``.
    size
        The dimensions K of the space of curves, for each predictor; by default 10, or 5
        for each of two, and no more than there are distinct values.
    by
        What the curves depend on: numbers, or a categorical.

    Raises
    ------
    DataError
        If a predictor has too few distinct values.

    Examples
    --------
    >>> smooth = build_smooth("s(x)", ["x"], [np.linspace(0, 3, 50)], size=6)
    >>> smooth.free, smooth.scales
    (('s(x).linear',), (('s(x)', 4, None),))
    """
    sizes = size if isinstance(size, Sequence) else [size] * len(x)
    margins = tuple(
        Margin.of(each, kind, own, _checked_size(name, each, kind, own, k, len(x)))
        for each, own, k in zip(names, x, sizes, strict=True)
    )
    of = kind_of(by)
    straight, parts = _straight(margins, x), _parts(margins, x)
    weight = by if of == "numbers" else np.ones(len(x[0]))
    blocks = []
    for chosen in product((True, False), repeat=len(margins)):
        if any(chosen):
            labels = [
                each for each, is_own in zip(names, chosen, strict=True) if is_own
            ]
            label = "*".join(labels) if len(margins) > 1 else ""
            raw = _products(chosen, parts)
            blocks.append(_block(label, chosen, raw, straight, weight))
    return Smooth(name, margins, tuple(blocks), of, levels_of(by))


def _block(
    name: str, wiggly: tuple[bool, ...], raw: Array, straight: Array, weight: Array
) -> Block:
    """Make columns orthogonal to straight ones and to each other, and scale them."""
    along = np.linalg.lstsq(straight, raw, rcond=None)[0]
    left = weight[:, None] * (raw - straight @ along)
    values, vectors = np.linalg.eigh(left.T @ left / len(left))
    turned = vectors[:, ::-1] / np.sqrt(values.sum())
    return Block(name, wiggly, turned, along @ turned)


def _straight(margins: Sequence[Margin], x: Sequence[Array]) -> Array:
    """Return the constant and the free columns of a curve, ``(N, 1 + free)``."""
    pairs = zip(margins, x, strict=True)
    return row_products([margin.straight(own) for margin, own in pairs])


def _parts(margins: Sequence[Margin], x: Sequence[Array]) -> list[tuple[Array, Array]]:
    """Return the straight and the penalised columns of each margin, on like scales."""
    found = []
    for margin, own in zip(margins, x, strict=True):
        straight = margin.straight(own)
        straight[:, 1:] *= _SDS_IN_RANGE / margin.unit
        found.append((straight, margin.penalised(own)))
    return found


def _products(wiggly: Sequence[bool], parts: Sequence[tuple[Array, Array]]) -> Array:
    """Return products of penalised columns of some margins and straight ones of others.

    Parameters
    ----------
    wiggly
        Which margins take part with their penalised columns.
    parts
        Both kinds of columns of each margin.
    """
    return row_products(
        [part[is_own] for is_own, part in zip(wiggly, parts, strict=True)]
    )


def _checked_size(
    smooth: str, name: str, kind: str, x: Array, size: int | None, predictors: int
) -> int:
    """Return K for a predictor; refuse one that its distinct values do not allow."""
    distinct, least = len(np.unique(x)), SMALLEST[kind]
    if distinct < least:
        raise DataError(
            f"{smooth}: {quote(name)} has {distinct} distinct value(s), and a smooth "
            f"with bs={kind!r} needs {least} or more. Write {name} for a straight "
            f"line, or C({name}) for a coefficient per value."
        )
    if size is None:
        return min(_DEFAULT[predictors], distinct)
    if size < least:
        raise DataError(
            f"{smooth}: k={size} is too small, since bs={kind!r} needs {least} or more."
        )
    if size > distinct:
        raise DataError(
            f"{smooth}: k={size} is more than the {distinct} distinct values of "
            f"{quote(name)}. Pass k={distinct} or less."
        )
    return size
