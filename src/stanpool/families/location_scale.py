"""Normal, Student t, lognormal, skew normal and asymmetric Laplace outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.families.functions import LOG_2_PI, FamilyFunctions, LinkFunctions


@dataclass(frozen=True)
class _Standard:
    """A symmetric distribution of location 0 and scale 1, on the log scale."""

    log_density: Callable[..., Any]
    log_below: Callable[..., Any]
    quantile: Callable[..., Any]


NORMAL = _Standard(
    lambda z: -0.5 * (z * z + LOG_2_PI), special.log_ndtr, special.ndtri_exp
)


def _t_log_density(z: Any, nu: Any) -> Any:
    return (
        special.gammaln(0.5 * (nu + 1.0))
        - special.gammaln(0.5 * nu)
        - 0.5 * np.log(nu * np.pi)
        - 0.5 * (nu + 1.0) * np.log1p(z * z / nu)
    )


def _t_log_below(z: Any, nu: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(special.stdtr(nu, z))


def _t_quantile(log_p: Any, nu: Any) -> Any:
    return special.stdtrit(nu, np.exp(log_p))


STUDENT_T = _Standard(_t_log_density, _t_log_below, _t_quantile)


def _scale(sigma: Any, se: Any) -> Any:
    """Return the standard deviation about the mean: estimated, known, or both."""
    if se is None:
        return sigma
    return se if sigma is None else np.hypot(sigma, se)


@dataclass(frozen=True)
class _LocationScale:
    """Outcomes whose values, or logs, are ``mu + scale z`` with standard ``z``."""

    standard: _Standard
    link: LinkFunctions
    is_log: bool

    def _standardized(self, y: Any, eta: Any, scale: Any) -> Any:
        """Return the standard value ``z`` of an outcome."""
        if self.is_log:
            with np.errstate(divide="ignore"):
                y = np.log(np.maximum(y, 0.0))
        return (y - self.link.inverse(eta)) / scale

    def log_density(
        self, y: Any, eta: Any, *, sigma: Any = None, se: Any = None, **shape: Any
    ) -> Any:
        """Return the log density of outcomes."""
        scale = _scale(sigma, se)
        z = self._standardized(y, eta, scale)
        jacobian = np.log(scale) + (np.log(y) if self.is_log else 0.0)
        return self.standard.log_density(z, **shape) - jacobian

    def _tails(
        self, lower: Any, upper: Any, eta: Any, scale: Any, shape: Mapping[str, Any]
    ) -> tuple[Any, Any, Any]:
        """Return log probabilities below both bounds; mirrored where that is exact."""
        a = self._standardized(lower, eta, scale)
        b = self._standardized(upper, eta, scale)
        with np.errstate(invalid="ignore"):
            mirrored = a + b > 0
        a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
        return (
            self.standard.log_below(a, **shape),
            self.standard.log_below(b, **shape),
            mirrored,
        )

    def log_interval(
        self,
        lower: Any,
        upper: Any,
        eta: Any,
        *,
        sigma: Any = None,
        se: Any = None,
        **shape: Any,
    ) -> Any:
        """Return the log probability of an interval."""
        below, above, _ = self._tails(lower, upper, eta, _scale(sigma, se), shape)
        with np.errstate(divide="ignore"):
            return above + np.log1p(-np.exp(below - above))

    def mean(self, eta: Any, *, sigma: Any = None, se: Any = None, **_: Any) -> Any:
        """Return expected outcomes."""
        scale = _scale(sigma, se)
        if self.is_log:
            return np.exp(self.link.inverse(eta) + 0.5 * np.square(scale))
        return self.link.inverse(eta) + np.zeros_like(scale, dtype=float)

    def variance(
        self, eta: Any, *, sigma: Any = None, se: Any = None, nu: Any = np.inf
    ) -> Any:
        """Return the variance of outcomes."""
        square = np.square(_scale(sigma, se))
        if self.is_log:
            mean_square = np.exp(2.0 * self.link.inverse(eta) + square)
            return np.expm1(square) * mean_square
        with np.errstate(divide="ignore"):
            heavier = np.where(np.greater(nu, 2), 1.0 / (1.0 - 2.0 / nu), np.inf)
        return square * heavier + np.zeros_like(eta)

    def draw(
        self,
        rng: np.random.Generator,
        eta: Any,
        *,
        sigma: Any = None,
        se: Any = None,
        lower: Any = None,
        upper: Any = None,
        **shape: Any,
    ) -> Any:
        """Draw outcomes, between bounds if there are any."""
        scale = _scale(sigma, se)
        if lower is None and upper is None:
            size = np.broadcast_shapes(*map(np.shape, (eta, scale, *shape.values())))
            z = (
                rng.standard_t(shape["nu"], size)
                if "nu" in shape
                else rng.standard_normal(size)
            )
        else:
            below, above, mirrored = self._tails(
                -np.inf if lower is None else lower,
                np.inf if upper is None else upper,
                eta,
                scale,
                shape,
            )
            u = rng.random(np.shape(above + below))
            with np.errstate(divide="ignore"):
                at = np.logaddexp(np.log(u) + above, np.log1p(-u) + below)
            z = self.standard.quantile(at, **shape)
            z = np.where(mirrored, -z, z)
        y = self.link.inverse(eta) + scale * z
        return np.exp(y) if self.is_log else y


def location_scale(
    standard: _Standard, link: LinkFunctions, *, is_log: bool = False
) -> FamilyFunctions:
    """Return the functions of outcomes that are ``mu + scale z``, or their exponential.

    The standard distribution of ``z`` may have a parameter ``nu``.
    """
    own = _LocationScale(standard, link, is_log)
    return FamilyFunctions(
        link, own.log_density, own.mean, own.draw, own.variance, own.log_interval
    )


def skew_normal(link: LinkFunctions) -> FamilyFunctions:
    r"""Return the functions of outcomes whose residuals are skewed by ``slant``.

    With the correlation :math:`\delta = a / \sqrt{1 + a^2}` for a slant :math:`a`, a
    standard skew normal variable is :math:`\delta |u| + \sqrt{1 - \delta^2} v` with
    standard normal u and v [1]_. Its mean and standard deviation are moved to the mean
    of the linear predictor and to ``sigma``.

    References
    ----------
    .. [1] Azzalini (1985). A class of distributions which includes the normal ones.
       Scandinavian Journal of Statistics 12(2), 171-178.
    """

    def standard(slant: Any) -> tuple[Any, Any, Any]:
        """Return the correlation, and the standard variable's mean and deviation."""
        delta = slant / np.sqrt(1.0 + np.square(slant))
        mean = np.sqrt(2.0 / np.pi) * delta
        return delta, mean, np.sqrt(1.0 - np.square(mean))

    def log_density(y: Any, eta: Any, *, sigma: Any, slant: Any) -> Any:
        _, mean, deviation = standard(slant)
        z = mean + deviation * (y - link.inverse(eta)) / sigma
        log_density = np.log(2.0) + NORMAL.log_density(z) + NORMAL.log_below(slant * z)
        return log_density - np.log(sigma / deviation)

    def expected(eta: Any, **own: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(own["sigma"], dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, sigma: Any, slant: Any) -> Any:
        delta, mean, deviation = standard(slant)
        size = np.broadcast_shapes(*map(np.shape, (eta, sigma, slant)))
        skewed = delta * np.abs(rng.standard_normal(size))
        z = skewed + np.sqrt(1.0 - np.square(delta)) * rng.standard_normal(size)
        return link.inverse(eta) + sigma * (z - mean) / deviation

    def variance(eta: Any, *, sigma: Any, slant: Any) -> Any:
        return np.square(sigma) + np.zeros_like(eta) + np.zeros_like(slant)

    return FamilyFunctions(link, log_density, expected, draw, variance)


def asymmetric_laplace(link: LinkFunctions) -> FamilyFunctions:
    r"""Return the functions of outcomes of which the linear predictor is a quantile.

    The log density is the check loss of quantile regression over ``sigma``, and its
    mode is the ``quantile`` p [1]_. With independent standard exponential u and v,
    outcomes are :math:`\mu + \sigma (u / p - v / (1 - p))`.

    References
    ----------
    .. [1] Yu and Moyeed (2001). Bayesian quantile regression. Statistics and
       Probability Letters 54(4), 437-447.
    """

    def log_density(y: Any, eta: Any, *, sigma: Any, quantile: Any) -> Any:
        z = (y - link.inverse(eta)) / sigma
        loss = np.maximum(quantile * z, (quantile - 1.0) * z)
        return np.log(quantile) + np.log1p(-quantile) - np.log(sigma) - loss

    def mean(eta: Any, *, sigma: Any, quantile: Any) -> Any:
        skewed = (1.0 - 2.0 * quantile) / (quantile * (1.0 - quantile))
        return link.inverse(eta) + np.multiply(sigma, skewed)

    def draw(rng: np.random.Generator, eta: Any, *, sigma: Any, quantile: Any) -> Any:
        size = np.broadcast_shapes(np.shape(eta), np.shape(sigma))
        above, below = rng.standard_exponential((2, *size))
        z = above / quantile - below / (1.0 - quantile)
        return link.inverse(eta) + sigma * z

    def variance(eta: Any, *, sigma: Any, quantile: Any) -> Any:
        squares = quantile**-2.0 + (1.0 - quantile) ** -2.0
        return np.square(sigma) * squares + np.zeros_like(eta)

    return FamilyFunctions(link, log_density, mean, draw, variance)
