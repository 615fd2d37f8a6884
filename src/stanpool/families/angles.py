"""Outcomes that are directions: angles, the largest of which is next to the least."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.base.arrays import Array
from stanpool.families.functions import FamilyFunctions, LinkFunctions

_NODES = 40  # of a quadrature over deviations from the mean direction
_REACH = 10.0  # standard deviations beyond which nothing is left of a distribution


def within_half_turn(angle: Any) -> Any:
    """Return the same direction as an angle from -pi to pi.

    Examples
    --------
    >>> within_half_turn(np.array([0.5, 3.5])).round(3)
    array([ 0.5  , -2.783])
    """
    return np.remainder(np.asarray(angle) + math.pi, 2.0 * math.pi) - math.pi


def mean_direction(y: Array) -> float:
    """Return the direction of the sum of unit vectors, from -pi to pi.

    Examples
    --------
    >>> round(mean_direction(np.array([3.0, -3.0])), 3)
    3.142
    """
    return math.atan2(float(np.sin(y).sum()), float(np.cos(y).sum()))


def von_mises(link: LinkFunctions) -> FamilyFunctions:
    """Directions about ``mu``: the density is ``exp(kappa cos(y - mu))``, normalised.

    What is called the mean is the mean direction, and the variance is that of
    deviations from it, each within half a turn [1]_.

    References
    ----------
    .. [1] Mardia and Jupp (2000). Directional statistics. Wiley.
    """

    def log_density(y: Any, eta: Any, *, kappa: Any) -> Any:
        # Less the largest value of the exponent, for which i0e allows.
        exponent = -2.0 * kappa * np.square(np.sin(0.5 * (y - link.inverse(eta))))
        return exponent - np.log(2.0 * np.pi * special.i0e(kappa))

    def mean(eta: Any, *, kappa: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(kappa, dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, kappa: Any) -> Any:
        mu, kappa = np.broadcast_arrays(link.inverse(eta), kappa)
        return rng.vonmises(mu, kappa)

    def variance(eta: Any, *, kappa: Any) -> Any:
        kappa = np.asarray(kappa, dtype=float)
        with np.errstate(divide="ignore"):
            reach = np.minimum(np.pi, _REACH / np.sqrt(kappa))
        total: Any = 0.0
        for node, weight in zip(*_quadrature(), strict=True):
            at = node * reach
            density = np.exp(-2.0 * kappa * np.square(np.sin(0.5 * at)))
            total = total + weight * np.square(at) * density
        total = total * reach / (np.pi * special.i0e(kappa))
        return total + np.zeros_like(eta, dtype=float)

    return FamilyFunctions(link, log_density, mean, draw, variance)


@lru_cache(maxsize=1)
def _quadrature() -> tuple[Array, Array]:
    """Return nodes and weights for integrals from 0 to 1."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return 0.5 * (nodes + 1.0), 0.5 * weights
