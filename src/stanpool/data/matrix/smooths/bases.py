r"""Bases of smooths of one predictor, in which the penalty is a sum of squares.

Each is a linear space of piecewise cubic curves, K dimensions with the constant and,
but for the cyclic one, the straight line. The penalty of a curve is the integral of its
squared second derivative, or for ``ps`` the sum of squared second differences of its
coefficients. It does not depend on the constant and the line; so a curve is these and a
combination of penalised columns, whose coefficients have the penalty as sum of squares.

References
----------
.. [1] Wood (2003). Thin plate regression splines. Journal of the Royal Statistical
   Society B 65(1), 95-114.
.. [2] Wood (2017). Generalized Additive Models: An Introduction with R, second edition,
   section 5.3: cubic regression splines, cyclic ones, P-splines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.matrix.smooths.curves import Curves

_MOST_KNOTS = 2000  # of thin plate splines, whose basis is made of all distinct values
_STRAIGHT = 1e-9  # of the largest eigenvalue: a direction that is not penalised
_RANGE_BEYOND = 0.001  # of the range, by which P-splines have knots beyond the data


def penalised_curves(kind: str, x: Array, size: int) -> Curves:
    """Return the penalised columns of a basis as functions of the predictor.

    Parameters
    ----------
    kind
        ``"tp"``, ``"cr"``, ``"cc"`` or ``"ps"``.
    x
        The predictor in all rows, about 0 and on a scale near 1.
    size
        The dimensions of the space of curves, K.

    Examples
    --------
    >>> curves = penalised_curves("cr", np.linspace(-1, 1, 50), 6)
    >>> curves.count, bool(np.allclose(curves.wiggliness, np.eye(4)))
    (4, True)
    """
    curves, penalty = _BASES[kind](np.unique(x), size)
    values, vectors = np.linalg.eigh(penalty)
    kept = values > _STRAIGHT * values.max()
    return curves.times(vectors[:, kept] / np.sqrt(values[kept]))


def _cubic_regression(x: Array, size: int) -> tuple[Curves, Array]:
    """Return natural cubic splines that are 1 at one knot and 0 at the others."""
    curves = _interpolating(_quantiles(x, size), np.eye(size), "natural")
    return curves, curves.wiggliness


def _cyclic(x: Array, size: int) -> tuple[Curves, Array]:
    """Return the same, periodic: the first knot is the last one, too."""
    values = np.eye(size - 1)[[*range(size - 1), 0]]
    curves = _interpolating(_quantiles(x, size), values, "periodic")
    return curves, curves.wiggliness


def _thin_plate(x: Array, size: int) -> tuple[Curves, Array]:
    """Return the least wiggly of all natural splines, as their eigenvectors [1]_."""
    from scipy.sparse.linalg import eigsh  # type: ignore[import-untyped]

    knots = x if len(x) <= _MOST_KNOTS else _quantiles(x, _MOST_KNOTS)
    E = np.abs(knots[:, None] - knots) ** 3 / 12.0
    if size < len(knots):
        # A start that is the same each time, and orthogonal to no eigenvector.
        start = np.random.default_rng(1).standard_normal(len(knots))
        values, vectors = eigsh(E, k=size, which="LM", v0=start)
    else:
        values, vectors = np.linalg.eigh(E)
    line = np.stack([np.ones_like(knots), knots]) @ vectors  # (2, K)
    free = np.linalg.qr(line.T, mode="complete")[0][:, 2:]
    # Sums of |x - knot|^3 whose weights are orthogonal to lines are natural splines.
    curves = _interpolating(knots, (vectors * values) @ free, "natural")
    return curves, (free.T * values) @ free


def _p_spline(x: Array, size: int) -> tuple[Curves, Array]:
    """Return cubic B-splines with evenly spaced knots, and differences' squares."""
    from scipy.interpolate import BSpline  # type: ignore[import-untyped]

    beyond = _RANGE_BEYOND * (x[-1] - x[0])
    inner = np.linspace(x[0] - beyond, x[-1] + beyond, size - 2)
    step = inner[1] - inner[0]
    outer = step * np.arange(1, 4)
    knots = np.concatenate([inner[0] - outer[::-1], inner, inner[-1] + outer])
    found = BSpline(knots, np.eye(size), 3)
    pieces = [found(inner[:-1], nu=n) / math.factorial(n) for n in (3, 2, 1, 0)]
    differences = np.diff(np.eye(size), 2, axis=0)
    return Curves(inner, np.stack(pieces)), differences.T @ differences


def _quantiles(x: Array, count: int) -> Array:
    """Return knots with as many distinct values between each two."""
    return np.asarray(np.quantile(x, np.linspace(0.0, 1.0, count)))


def _interpolating(knots: Array, values: Array, ends: str) -> Curves:
    """Return cubic splines through values at knots, ``(knots, M)``."""
    from scipy.interpolate import CubicSpline

    found = CubicSpline(knots, values, bc_type=ends)
    return Curves(knots, np.asarray(found.c), ends == "periodic")


_BASES: Mapping[str, Callable[[Array, int], tuple[Curves, Array]]] = {
    "tp": _thin_plate,
    "cr": _cubic_regression,
    "cc": _cyclic,
    "ps": _p_spline,
}
