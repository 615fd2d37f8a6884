"""Gamma, exponential, Weibull, inverse gaussian and beta outcomes."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.families.functions import (
    LOG_2_PI,
    FamilyFunctions,
    LinkFunctions,
    beta_shapes,
    draw_beta,
    draw_gamma,
    log1m_exp,
)
from stanpool.language.model_spec import LARGEST_NUMBER


def gamma(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ gamma(shape, shape / mu)``: variance ``mu^2 / shape``."""

    def log_density(y: Any, eta: Any, *, shape: Any) -> Any:
        log_rate = np.log(shape) - link.log_inverse(eta)
        return (
            shape * log_rate
            - special.gammaln(shape)
            + (shape - 1.0) * np.log(y)
            - np.exp(log_rate) * y
        )

    def mean(eta: Any, *, shape: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(shape, dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, shape: Any) -> Any:
        return draw_gamma(rng, shape, link.inverse(eta))

    def variance(eta: Any, *, shape: Any) -> Any:
        return np.square(link.inverse(eta)) / shape

    return FamilyFunctions(link, log_density, mean, draw, variance)


def exponential(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ exponential(1 / mu)``: a Weibull distribution of shape 1."""
    of_any_shape = weibull(link)
    assert of_any_shape.variance is not None
    assert of_any_shape.log_interval is not None
    return FamilyFunctions(
        link,
        partial(of_any_shape.log_density, shape=1.0),
        link.inverse,
        partial(of_any_shape.draw, shape=1.0),
        partial(of_any_shape.variance, shape=1.0),
        partial(of_any_shape.log_interval, shape=1.0),
    )


def weibull(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ weibull(shape, mu / Gamma(1 + 1 / shape))``, whose mean is ``mu``.

    The cumulative hazard ``(y / scale)^shape`` has a standard exponential distribution.
    """

    def log_scale(eta: Any, shape: Any) -> Any:
        return link.log_inverse(eta) - special.gammaln(1.0 + 1.0 / np.asarray(shape))

    def cumulative_hazard(y: Any, eta: Any, shape: Any) -> Any:
        with np.errstate(over="ignore", divide="ignore"):
            log_y = np.log(np.maximum(y, 0.0))
            return np.exp(shape * (log_y - log_scale(eta, shape)))

    def log_density(y: Any, eta: Any, *, shape: Any) -> Any:
        log_power = shape * (np.log(y) - log_scale(eta, shape))
        with np.errstate(over="ignore"):  # a density of 0
            power = np.exp(log_power)
        return np.log(shape) + log_power - np.log(y) - power

    def log_interval(lower: Any, upper: Any, eta: Any, *, shape: Any) -> Any:
        below = cumulative_hazard(lower, eta, shape)
        with np.errstate(invalid="ignore"):
            length = cumulative_hazard(upper, eta, shape) - below
            return np.where(np.isinf(below), -np.inf, log1m_exp(-length) - below)

    def mean(eta: Any, *, shape: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(shape, dtype=float)

    def draw(
        rng: np.random.Generator,
        eta: Any,
        *,
        shape: Any,
        lower: Any = 0.0,
        upper: Any = np.inf,
    ) -> Any:
        # Bounds far out in the tail leave nothing but the lower one.
        below = np.minimum(cumulative_hazard(lower, eta, shape), LARGEST_NUMBER)
        length = cumulative_hazard(upper, eta, shape) - below
        hazard = below - np.log1p(rng.random(length.shape) * np.expm1(-length))
        # In logarithms: where the shape is near 0, one factor overflows and the other
        # underflows.
        with np.errstate(over="ignore", divide="ignore"):
            log_time = np.log(hazard) / np.asarray(shape)
            drawn = np.exp(log_scale(eta, shape) + log_time)
        return np.clip(drawn, lower, upper)

    def variance(eta: Any, *, shape: Any) -> Any:
        inverse = 1.0 / np.asarray(shape)
        log_ratio = special.gammaln(1.0 + 2.0 * inverse)
        log_ratio = log_ratio - 2.0 * special.gammaln(1.0 + inverse)
        return np.square(link.inverse(eta)) * np.expm1(log_ratio)

    return FamilyFunctions(link, log_density, mean, draw, variance, log_interval)


def inverse_gaussian(link: LinkFunctions) -> FamilyFunctions:
    """``y`` inverse gaussian with mean ``mu``: variance ``mu^3 / shape``."""

    def log_density(y: Any, eta: Any, *, shape: Any) -> Any:
        with np.errstate(over="ignore"):  # a density of 0
            distance = np.square(y * np.exp(-link.log_inverse(eta)) - 1.0) / y
        return 0.5 * (np.log(shape) - LOG_2_PI - shape * distance) - 1.5 * np.log(y)

    def mean(eta: Any, *, shape: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(shape, dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, shape: Any) -> Any:
        # Michael, Schucany and Haas (1976): w is chi-squared, times mu / shape, and a
        # root of t^2 - (2 + w) t + 1 = 0 is y / mu; their product is 1.
        mu = np.minimum(link.inverse(eta), LARGEST_NUMBER)
        w = np.divide(mu, shape)
        w = w * np.square(rng.standard_normal(w.shape))
        with np.errstate(over="ignore", divide="ignore"):
            smaller = 1.0 / (1.0 + 0.5 * w + np.sqrt(w * (1.0 + 0.25 * w)))
            is_smaller = rng.random(w.shape) * (1.0 + smaller) < 1.0
            return np.where(is_smaller, mu * smaller, mu / smaller)

    def variance(eta: Any, *, shape: Any) -> Any:
        return link.inverse(eta) ** 3 / shape

    return FamilyFunctions(link, log_density, mean, draw, variance)


def beta(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ beta(mu phi, (1 - mu) phi)``: variance ``mu (1 - mu) / (1 + phi)``."""

    def log_density(y: Any, eta: Any, *, phi: Any) -> Any:
        a, b = beta_shapes(link, eta, phi)
        return (a - 1.0) * np.log(y) + (b - 1.0) * np.log1p(-y) - special.betaln(a, b)

    def mean(eta: Any, *, phi: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(phi, dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, phi: Any) -> Any:
        return draw_beta(rng, beta_shapes(link, eta, phi))

    def variance(eta: Any, *, phi: Any) -> Any:
        mu = link.inverse(eta)
        return mu * (1.0 - mu) / (1.0 + phi)

    return FamilyFunctions(link, log_density, mean, draw, variance)
