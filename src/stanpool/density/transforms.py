r"""From the unconstrained numbers that samplers move to the parameters of a program.

Each transform takes unconstrained numbers :math:`t` to a parameter :math:`x` and says
the logarithm of the volume that this takes, :math:`\log |dx / dt|`, up to a constant.

References
----------
.. [1] Stan Reference Manual, "Constraint transforms": bounds, ordered vectors,
   Cholesky factors of correlation and covariance matrices.
.. [2] Lewandowski, Kurowicka and Joe (2009). Generating random correlation matrices
   based on vines and extended onion method. Journal of Multivariate Analysis 100(9),
   1989-2001: canonical partial correlations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stanpool.base.arrays import Array


class Transform(Protocol):
    """How a parameter follows from unconstrained numbers."""

    def count(self, shape: tuple[int, ...]) -> int:
        """Return how many unconstrained numbers a parameter of a shape has."""

    def constrain(self, t: Array, shape: tuple[int, ...]) -> tuple[Array, float]:
        """Return the parameter, and the logarithm of the change of volume."""

    def unconstrain(self, x: Array) -> Array:
        """Return the unconstrained numbers of a parameter."""


@dataclass(frozen=True, eq=False)
class Between:
    """Numbers between two bounds, each of which may be infinite.

    Attributes
    ----------
    lower, upper
        Numbers, or arrays of the parameter's shape.
    """

    lower: Array | float = -np.inf
    upper: Array | float = np.inf

    def count(self, shape: tuple[int, ...]) -> int:
        """Return the number of elements."""
        return math.prod(shape)

    def constrain(self, t: Array, shape: tuple[int, ...]) -> tuple[Array, float]:
        """Take exponentials from one bound, and logistic curves between two."""
        t = np.reshape(t, shape, order="F")
        low, high = (np.broadcast_to(x, shape) for x in (self.lower, self.upper))
        has_low, has_high = np.isfinite(low), np.isfinite(high)
        with np.errstate(over="ignore", invalid="ignore"):
            grown = np.exp(t)
            share = 1.0 / (1.0 + np.exp(-t))
            x = np.where(has_low, low + grown, np.where(has_high, high - grown, t))
            x = np.where(has_low & has_high, low + (high - low) * share, x)
        one, both = has_low ^ has_high, has_low & has_high
        volume = np.where(one, t, 0.0)
        # The slope of a logistic curve, exp(-|t|) / (1 + exp(-|t|))^2, and the width.
        slope = -np.abs(t) - 2.0 * np.log1p(np.exp(-np.abs(t)))
        width = np.log(np.where(both, high - low, 1.0))
        return x, float(np.sum(volume + np.where(both, slope + width, 0.0)))

    def unconstrain(self, x: Array) -> Array:
        """Take logarithms of distances from one bound, and logits between two."""
        x = np.asarray(x, dtype=float)
        low, high = (np.broadcast_to(e, x.shape) for e in (self.lower, self.upper))
        has_low, has_high = np.isfinite(low), np.isfinite(high)
        with np.errstate(divide="ignore", invalid="ignore"):
            above, below = np.log(x - low), np.log(high - x)
            t = np.where(has_low & has_high, above - below, x)
            t = np.where(has_low & ~has_high, above, t)
            t = np.where(has_high & ~has_low, below, t)
        return np.ravel(t, order="F")


@dataclass(frozen=True, eq=False)
class Shifted:
    """Numbers that are sought about an offset, in units of a multiplier."""

    offset: Array | float
    multiplier: Array | float

    def count(self, shape: tuple[int, ...]) -> int:
        """Return the number of elements."""
        return math.prod(shape)

    def constrain(self, t: Array, shape: tuple[int, ...]) -> tuple[Array, float]:
        """Stretch and shift; the change of volume is constant."""
        t = np.reshape(t, shape, order="F")
        return np.asarray(self.offset + self.multiplier * t), 0.0

    def unconstrain(self, x: Array) -> Array:
        """Shift and stretch back."""
        return np.ravel((x - self.offset) / self.multiplier, order="F")


@dataclass(frozen=True)
class Ordered:
    """Numbers that increase: the first is free, and so is the log of each gap."""

    def count(self, shape: tuple[int, ...]) -> int:
        """Return the number of elements."""
        return shape[0]

    def constrain(self, t: Array, shape: tuple[int, ...]) -> tuple[Array, float]:
        """Add up the gaps."""
        gaps = np.exp(t[1:])
        return np.cumsum(np.append(t[:1], gaps)), float(t[1:].sum())

    def unconstrain(self, x: Array) -> Array:
        """Take logarithms of the gaps."""
        return np.append(x[:1], np.log(np.diff(x)))


@dataclass(frozen=True)
class CorrelationCholesky:
    """Cholesky factors of correlation matrices, by canonical partial correlations.

    The partial correlations of a row share out what is left of its unit length, one
    after the other [2]_; their inverse hyperbolic tangents are free.
    """

    def count(self, shape: tuple[int, ...]) -> int:
        """Return the number of pairs."""
        return shape[0] * (shape[0] - 1) // 2

    def constrain(self, t: Array, shape: tuple[int, ...]) -> tuple[Array, float]:
        """Build the rows from their partial correlations."""
        L, place = np.zeros(shape), 0
        L[:1, :1] = 1.0
        partial = np.tanh(t)
        # d tanh(t) / dt = 1 - tanh(t)^2 = 4 / (exp(t) + exp(-t))^2.
        volume = -2.0 * float(np.sum(np.logaddexp(t, -t) - math.log(2.0)))
        for i in range(1, shape[0]):
            left = 1.0
            for j in range(i):
                L[i, j] = partial[place] * math.sqrt(left)
                volume += 0.5 * math.log(left)
                left *= 1.0 - partial[place] ** 2
                place += 1
            L[i, i] = math.sqrt(left)
        return L, volume

    def unconstrain(self, x: Array) -> Array:
        """Take the partial correlations out of the rows."""
        t = []
        for i in range(1, len(x)):
            left = 1.0
            for j in range(i):
                t.append(np.arctanh(x[i, j] / math.sqrt(left)))
                left -= x[i, j] ** 2
        return np.array(t)


@dataclass(frozen=True)
class CovarianceCholesky:
    """Lower trapezoidal matrices with a positive diagonal, whose logs are free."""

    def count(self, shape: tuple[int, ...]) -> int:
        """Return the number of elements on and below the diagonal."""
        return len(np.tril_indices(*_rows_columns(shape))[0])

    def constrain(self, t: Array, shape: tuple[int, ...]) -> tuple[Array, float]:
        """Fill the rows one after the other."""
        L, (rows, columns) = np.zeros(shape), np.tril_indices(*_rows_columns(shape))
        diagonal = rows == columns
        L[rows, columns] = np.where(diagonal, np.exp(np.where(diagonal, t, 0.0)), t)
        return L, float(t[diagonal].sum())

    def unconstrain(self, x: Array) -> Array:
        """Read the rows one after the other."""
        rows, columns = np.tril_indices(*_rows_columns(x.shape))
        t = x[rows, columns].astype(float)
        t[rows == columns] = np.log(t[rows == columns])
        return np.asarray(t)


def _rows_columns(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return the arguments of ``numpy.tril_indices`` for a shape."""
    return shape[0], 0, shape[1]
