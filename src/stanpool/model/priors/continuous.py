"""Densities, upper tails and quantiles of the distributions of priors.

They are made of SciPy's special functions. SciPy's own distributions take half a second
to load, which is longer than all of what a diagnosis computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special  # type: ignore[import-untyped]

from stanpool.base.arrays import Array

_Function = Callable[[Array], Array]


@dataclass(frozen=True)
class Continuous:
    """A distribution of numbers, by functions of arrays.

    Attributes
    ----------
    support
        The ends between which its values are.
    inside
        The log density within the support.
    tail
        The probability above a value within the support.
    inverse
        The value that has a given probability above it.
    """

    support: tuple[float, float]
    inside: _Function
    tail: _Function
    inverse: _Function

    def log_density(self, at: ArrayLike) -> Array:
        """Return the log density, minus infinity outside of the support."""
        return self._extended(self.inside, at, -np.inf, -np.inf)

    def above(self, at: ArrayLike) -> Array:
        """Return the probability above values."""
        return self._extended(self.tail, at, 1.0, 0.0)

    def end_of(self, above: ArrayLike) -> Array:
        """Return the values that have given probabilities above them."""
        with np.errstate(all="ignore"):
            return np.asarray(self.inverse(np.asarray(above, dtype=float)))

    def _extended(
        self, function: _Function, at: ArrayLike, before: float, after: float
    ) -> Array:
        low, high = self.support
        at = np.asarray(at, dtype=float)
        with np.errstate(all="ignore"):
            found = np.where(at > high, after, function(np.clip(at, low, high)))
        return np.where(at < low, before, found)


_REAL, _POSITIVE = (-np.inf, np.inf), (0.0, np.inf)


def _location_scale(
    location: float,
    scale: float,
    inside: _Function,
    tail: _Function,
    inverse: _Function,
) -> Continuous:
    """Move a distribution of real numbers, and stretch it."""
    return Continuous(
        _REAL,
        lambda x: inside((x - location) / scale) - np.log(scale),
        lambda x: tail((x - location) / scale),
        lambda p: location + scale * inverse(p),
    )


def _normal(mean: float, sd: float) -> Continuous:
    return _location_scale(
        mean,
        sd,
        lambda z: -0.5 * (z * z + np.log(2.0 * np.pi)),
        lambda z: special.ndtr(-z),
        lambda p: -special.ndtri(p),
    )


def _student_t(nu: float, location: float, scale: float) -> Continuous:
    constant = -special.betaln(0.5 * nu, 0.5) - 0.5 * np.log(nu)
    return _location_scale(
        location,
        scale,
        lambda z: constant - 0.5 * (nu + 1.0) * np.log1p(z * z / nu),
        lambda z: special.stdtr(nu, -z),
        lambda p: -special.stdtrit(nu, p),
    )


def _cauchy(location: float, scale: float) -> Continuous:
    return _location_scale(
        location,
        scale,
        lambda z: -np.log1p(z * z) - np.log(np.pi),
        lambda z: np.arctan2(1.0, z) / np.pi,
        lambda p: 1.0 / np.tan(np.pi * p),
    )


def _exponential(rate: float) -> Continuous:
    return Continuous(
        _POSITIVE,
        lambda x: np.log(rate) - rate * x,
        lambda x: np.exp(-rate * x),
        lambda p: -np.log(p) / rate,
    )


def _gamma(shape: float, rate: float) -> Continuous:
    constant = shape * np.log(rate) - special.gammaln(shape)
    return Continuous(
        _POSITIVE,
        lambda x: constant + special.xlogy(shape - 1.0, x) - rate * x,
        lambda x: special.gammaincc(shape, rate * x),
        lambda p: special.gammainccinv(shape, p) / rate,
    )


def _inverse_gamma(shape: float, scale: float) -> Continuous:
    constant = shape * np.log(scale) - special.gammaln(shape)
    return Continuous(
        _POSITIVE,
        lambda x: np.where(
            x > 0, constant - (shape + 1.0) * np.log(x) - scale / x, -np.inf
        ),
        lambda x: special.gammainc(shape, scale / x),
        lambda p: scale / special.gammaincinv(shape, p),
    )


def _root_of_inverse_gamma(shape: float, scale: float) -> Continuous:
    square = _inverse_gamma(shape, scale)
    return Continuous(
        _POSITIVE,
        lambda x: np.where(x > 0, square.inside(x * x) + np.log(2.0 * x), -np.inf),
        lambda x: square.tail(x * x),
        lambda p: np.sqrt(square.inverse(p)),
    )


def _uniform(lower: float, upper: float) -> Continuous:
    width = upper - lower
    return Continuous(
        (lower, upper),
        lambda x: np.full_like(x, -np.log(width)),
        lambda x: (upper - x) / width,
        lambda p: upper - p * width,
    )


def _beta(a: float, b: float) -> Continuous:
    return Continuous(
        (0.0, 1.0),
        lambda x: (
            special.xlogy(a - 1.0, x)
            + special.xlog1py(b - 1.0, -x)
            - special.betaln(a, b)
        ),
        lambda x: special.betaincc(a, b, x),
        lambda p: special.betainccinv(a, b, p),
    )


def _lognormal(mean: float, sd: float) -> Continuous:
    of_log = _normal(mean, sd)
    return Continuous(
        _POSITIVE,
        lambda x: np.where(x > 0, of_log.inside(np.log(x)) - np.log(x), -np.inf),
        lambda x: of_log.tail(np.log(x)),
        lambda p: np.exp(of_log.inverse(p)),
    )


DISTRIBUTIONS: Mapping[str, Callable[..., Continuous]] = {
    "normal": _normal,
    "student_t": _student_t,
    "cauchy": _cauchy,
    "exponential": _exponential,
    "gamma": _gamma,
    "inv_gamma": _inverse_gamma,
    "sqrt_inv_gamma": _root_of_inverse_gamma,
    "uniform": _uniform,
    "beta": _beta,
    "lognormal": _lognormal,
}
"""The distributions by Stan's names and arguments."""
