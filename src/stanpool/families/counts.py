"""Binary outcomes and counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.families.functions import (
    FamilyFunctions,
    LinkFunctions,
    count_times,
    draw_counts,
    draw_gamma,
    log_complement_of,
)


def binary(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ bernoulli(mu)``."""

    def log_density(y: Any, eta: Any) -> Any:
        return np.where(y == 1, link.log_inverse(eta), log_complement_of(link)(eta))

    def draw(rng: np.random.Generator, eta: Any) -> Any:
        mu = link.inverse(eta)
        return (rng.random(np.shape(mu)) < mu).astype(np.int64)

    def variance(eta: Any) -> Any:
        mu = link.inverse(eta)
        return mu * (1.0 - mu)

    return FamilyFunctions(link, log_density, link.inverse, draw, variance)


def binomial(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ binomial(trials, mu)``; the mean is of the successes."""

    def log_density(y: Any, eta: Any, *, trials: Any) -> Any:
        y, trials = np.asarray(y), np.asarray(trials)
        ways = (
            special.gammaln(trials + 1)
            - special.gammaln(y + 1)
            - special.gammaln(trials - y + 1)
        )
        successes = special.xlogy(y, 1.0) + count_times(y, link.log_inverse(eta))
        return ways + successes + count_times(trials - y, log_complement_of(link)(eta))

    def mean(eta: Any, *, trials: Any) -> Any:
        return trials * link.inverse(eta)

    def draw(rng: np.random.Generator, eta: Any, *, trials: Any) -> Any:
        return rng.binomial(trials, link.inverse(eta))

    def variance(eta: Any, *, trials: Any) -> Any:
        mu = link.inverse(eta)
        return trials * mu * (1.0 - mu)

    return FamilyFunctions(link, log_density, mean, draw, variance)


def poisson(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ poisson(mu)``."""

    def log_density(y: Any, eta: Any) -> Any:
        log_mu = link.log_inverse(eta)
        return count_times(y, log_mu) - np.exp(log_mu) - special.gammaln(np.add(y, 1))

    def draw(rng: np.random.Generator, eta: Any) -> Any:
        return draw_counts(rng, link.inverse(eta))

    return FamilyFunctions(link, log_density, link.inverse, draw, link.inverse)


def negative_binomial(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ neg_binomial_2(mu, phi)``: variance ``mu + mu^2 / phi``."""

    def log_density(y: Any, eta: Any, *, phi: Any) -> Any:
        log_mu, log_phi = link.log_inverse(eta), np.log(phi)
        log_sum = np.logaddexp(log_mu, log_phi)
        return (
            special.gammaln(np.add(y, phi))
            - special.gammaln(np.add(y, 1))
            - special.gammaln(phi)
            + count_times(y, log_mu - log_sum)
            + phi * (log_phi - log_sum)
        )

    def mean(eta: Any, *, phi: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(phi, dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, phi: Any) -> Any:
        return draw_counts(rng, draw_gamma(rng, phi, link.inverse(eta)))

    def variance(eta: Any, *, phi: Any) -> Any:
        mu = link.inverse(eta)
        return mu + np.square(mu) / phi

    return FamilyFunctions(link, log_density, mean, draw, variance)
