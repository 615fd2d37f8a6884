"""Normal, Student t and lognormal outcomes."""

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
    """Return the standard deviation about the mean: learned, known, or both."""
    if se is None:
        return sigma
    return se if sigma is None else np.hypot(sigma, se)


def location_scale(
    standard: _Standard, link: LinkFunctions, *, is_log: bool = False
) -> FamilyFunctions:
    """``y`` (or its log) is ``mu + scale z`` with standard ``z``; ``nu`` if it has."""

    def standardised(y: Any, eta: Any, scale: Any) -> Any:
        if is_log:
            with np.errstate(divide="ignore"):
                y = np.log(np.maximum(y, 0.0))
        return (y - link.inverse(eta)) / scale

    def log_density(
        y: Any, eta: Any, *, sigma: Any = None, se: Any = None, **shape: Any
    ) -> Any:
        scale = _scale(sigma, se)
        z = standardised(y, eta, scale)
        jacobian = np.log(scale) + (np.log(y) if is_log else 0.0)
        return standard.log_density(z, **shape) - jacobian

    def tails(
        lower: Any, upper: Any, eta: Any, scale: Any, shape: Mapping[str, Any]
    ) -> tuple[Any, Any, Any]:
        """Return log probabilities below both bounds; mirrored where that is exact."""
        a = standardised(lower, eta, scale)
        b = standardised(upper, eta, scale)
        with np.errstate(invalid="ignore"):
            mirrored = a + b > 0
        a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
        return (
            standard.log_below(a, **shape),
            standard.log_below(b, **shape),
            mirrored,
        )

    def log_interval(
        lower: Any,
        upper: Any,
        eta: Any,
        *,
        sigma: Any = None,
        se: Any = None,
        **shape: Any,
    ) -> Any:
        below, above, _ = tails(lower, upper, eta, _scale(sigma, se), shape)
        with np.errstate(divide="ignore"):
            return above + np.log1p(-np.exp(below - above))

    def mean(eta: Any, *, sigma: Any = None, se: Any = None, **_: Any) -> Any:
        scale = _scale(sigma, se)
        if is_log:
            return np.exp(link.inverse(eta) + 0.5 * np.square(scale))
        return link.inverse(eta) + np.zeros_like(scale, dtype=float)

    def variance(
        eta: Any, *, sigma: Any = None, se: Any = None, nu: Any = np.inf
    ) -> Any:
        square = np.square(_scale(sigma, se))
        if is_log:
            mean_square = np.exp(2.0 * link.inverse(eta) + square)
            return np.expm1(square) * mean_square
        with np.errstate(divide="ignore"):
            heavier = np.where(np.greater(nu, 2), 1.0 / (1.0 - 2.0 / nu), np.inf)
        return square * heavier + np.zeros_like(eta)

    def draw(
        rng: np.random.Generator,
        eta: Any,
        *,
        sigma: Any = None,
        se: Any = None,
        lower: Any = None,
        upper: Any = None,
        **shape: Any,
    ) -> Any:
        scale = _scale(sigma, se)
        if lower is None and upper is None:
            size = np.broadcast_shapes(*map(np.shape, (eta, scale, *shape.values())))
            z = (
                rng.standard_t(shape["nu"], size)
                if "nu" in shape
                else rng.standard_normal(size)
            )
        else:
            below, above, mirrored = tails(
                -np.inf if lower is None else lower,
                np.inf if upper is None else upper,
                eta,
                scale,
                shape,
            )
            u = rng.random(np.shape(above + below))
            with np.errstate(divide="ignore"):
                at = np.logaddexp(np.log(u) + above, np.log1p(-u) + below)
            z = standard.quantile(at, **shape)
            z = np.where(mirrored, -z, z)
        y = link.inverse(eta) + scale * z
        return np.exp(y) if is_log else y

    return FamilyFunctions(link, log_density, mean, draw, variance, log_interval)
