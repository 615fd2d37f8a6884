"""Piecewise cubic curves as values: their pieces say all that new rows need."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stanpool.base.arrays import Array

_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True, eq=False)
class Curves:
    """M piecewise cubic curves with the same knots, straight lines beyond these.

    Attributes
    ----------
    breaks
        The knots, ascending, shape ``(P + 1,)``.
    pieces
        The coefficients of each piece as a polynomial of the distance from the knot on
        its left, the cubic one first, shape ``(4, P, M)``.
    is_periodic
        Whether the curves go on beyond the last knot as from the first.
    """

    breaks: Array
    pieces: Array
    is_periodic: bool = False

    @property
    def count(self) -> int:
        """The number of curves, M."""
        return int(self.pieces.shape[2])

    def __call__(self, x: Array) -> Array:
        """Return the values of the curves, shape ``(N, M)``."""
        found = np.empty((len(x), self.count))
        for start in range(0, len(x), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            found[rows] = self._values(x[rows])
        return found

    def _values(self, x: Array) -> Array:
        first, last = self.breaks[0], self.breaks[-1]
        if self.is_periodic:
            x = first + (x - first) % (last - first)
        inside = np.clip(x, first, last)
        at = np.searchsorted(self.breaks, inside, side="right") - 1
        at = np.minimum(at, len(self.breaks) - 2)
        h = (inside - self.breaks[at])[:, None]  # (N, 1)
        cubic, square, slope, value = self.pieces[:, at]  # (N, M) each
        found = ((cubic * h + square) * h + slope) * h + value
        beyond = np.flatnonzero(x != inside)
        if beyond.size:
            ends = h[beyond]
            slopes = (3 * cubic[beyond] * ends + 2 * square[beyond]) * ends
            distance = (x - inside)[beyond, None]
            found[beyond] += distance * (slopes + slope[beyond])
        return np.asarray(found)

    def times(self, matrix: Array) -> Curves:
        """Return linear combinations of the curves.

        Parameters
        ----------
        matrix
            Shape ``(M, combinations)``.
        """
        return replace(self, pieces=self.pieces @ matrix)

    @property
    def wiggliness(self) -> Array:
        """The integrals of the products of second derivatives, shape ``(M, M)``."""
        h = np.diff(self.breaks)[:, None]
        left = 2 * self.pieces[1]  # second derivatives at both ends of pieces, (P, M)
        right = left + 6 * self.pieces[0] * h
        both = left.T @ (h * right)
        return np.asarray(
            (2 * left.T @ (h * left) + 2 * right.T @ (h * right) + both + both.T) / 6
        )
