"""Gamma, exponential, Weibull and beta outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.families.functions import (
    TINY,
    FamilyFunctions,
    LinkFunctions,
    draw_gamma,
    log_complement_of,
)


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
    """``y ~ exponential(1 / mu)``: variance ``mu^2``."""

    def log_density(y: Any, eta: Any) -> Any:
        log_mu = link.log_inverse(eta)
        with np.errstate(over="ignore"):  # a density of 0
            ratio = y * np.exp(-log_mu)
        return -log_mu - ratio

    def draw(rng: np.random.Generator, eta: Any) -> Any:
        mu = link.inverse(eta)
        return mu * rng.standard_exponential(np.shape(mu))

    return FamilyFunctions(
        link, log_density, link.inverse, draw, lambda eta: np.square(link.inverse(eta))
    )


def weibull(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ weibull(shape, mu / Gamma(1 + 1 / shape))``, whose mean is ``mu``."""

    def log_scale(eta: Any, shape: Any) -> Any:
        return link.log_inverse(eta) - special.gammaln(1.0 + 1.0 / np.asarray(shape))

    def log_density(y: Any, eta: Any, *, shape: Any) -> Any:
        log_power = shape * (np.log(y) - log_scale(eta, shape))
        with np.errstate(over="ignore"):  # a density of 0
            power = np.exp(log_power)
        return np.log(shape) + log_power - np.log(y) - power

    def mean(eta: Any, *, shape: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(shape, dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, shape: Any) -> Any:
        scale = np.exp(log_scale(eta, shape))
        return scale * rng.weibull(shape, np.shape(scale))

    def variance(eta: Any, *, shape: Any) -> Any:
        inverse = 1.0 / np.asarray(shape)
        log_ratio = special.gammaln(1.0 + 2.0 * inverse)
        log_ratio = log_ratio - 2.0 * special.gammaln(1.0 + inverse)
        return np.square(link.inverse(eta)) * np.expm1(log_ratio)

    return FamilyFunctions(link, log_density, mean, draw, variance)


def beta(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ beta(mu phi, (1 - mu) phi)``: variance ``mu (1 - mu) / (1 + phi)``."""

    def shapes(eta: Any, phi: Any) -> tuple[Any, Any]:
        log_phi = np.log(phi)
        return (
            np.exp(log_phi + link.log_inverse(eta)),
            np.exp(log_phi + log_complement_of(link)(eta)),
        )

    def log_density(y: Any, eta: Any, *, phi: Any) -> Any:
        a, b = shapes(eta, phi)
        return (a - 1.0) * np.log(y) + (b - 1.0) * np.log1p(-y) - special.betaln(a, b)

    def mean(eta: Any, *, phi: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(phi, dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, phi: Any) -> Any:
        # A mean that is 0 or 1 to rounding has a shape of 0.
        return rng.beta(*(np.maximum(shape, TINY) for shape in shapes(eta, phi)))

    def variance(eta: Any, *, phi: Any) -> Any:
        mu = link.inverse(eta)
        return mu * (1.0 - mu) / (1.0 + phi)

    return FamilyFunctions(link, log_density, mean, draw, variance)
