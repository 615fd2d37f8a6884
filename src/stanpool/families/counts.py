"""Binary outcomes and counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.families.functions import (
    LARGEST_PRECISION,
    TINY,
    FamilyFunctions,
    LinkFunctions,
    beta_shapes,
    count_times,
    draw_beta,
    draw_counts,
    draw_gamma,
    log_binomial_coefficient,
    log_complement_of,
)
from stanpool.families.truncated_counts import draw_between, log_between


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
        successes = count_times(y, link.log_inverse(eta))
        failures = count_times(trials - y, log_complement_of(link)(eta))
        return log_binomial_coefficient(trials, y) + successes + failures

    def mean(eta: Any, *, trials: Any) -> Any:
        return trials * link.inverse(eta)

    def draw(rng: np.random.Generator, eta: Any, *, trials: Any) -> Any:
        return rng.binomial(trials, link.inverse(eta))

    def variance(eta: Any, *, trials: Any) -> Any:
        mu = link.inverse(eta)
        return trials * mu * (1.0 - mu)

    return FamilyFunctions(link, log_density, mean, draw, variance)


def beta_binomial(link: LinkFunctions) -> FamilyFunctions:
    """Binomial with a probability that is ``beta(mu phi, (1 - mu) phi)`` in each row.

    Two trials of a row have the correlation ``1 / (1 + phi)``.
    """

    def log_density(y: Any, eta: Any, *, trials: Any, phi: Any) -> Any:
        y, trials = np.asarray(y), np.asarray(trials)
        a, b = beta_shapes(link, eta, np.minimum(phi, LARGEST_PRECISION))
        # A mean that is 0 or 1 to rounding has a shape of 0, and no density.
        a, b = np.maximum(a, TINY), np.maximum(b, TINY)
        ratio = special.betaln(y + a, trials - y + b) - special.betaln(a, b)
        return log_binomial_coefficient(trials, y) + ratio

    def mean(eta: Any, *, trials: Any, phi: Any) -> Any:
        return trials * link.inverse(eta) + np.zeros_like(phi, dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, trials: Any, phi: Any) -> Any:
        probability = draw_beta(rng, beta_shapes(link, eta, phi))
        return rng.binomial(trials, probability)

    def variance(eta: Any, *, trials: Any, phi: Any) -> Any:
        mu = link.inverse(eta)
        return trials * mu * (1.0 - mu) * (phi + trials) / (phi + 1.0)

    return FamilyFunctions(link, log_density, mean, draw, variance)


def poisson(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ poisson(mu)``."""

    def log_density(y: Any, eta: Any) -> Any:
        log_mu = link.log_inverse(eta)
        return count_times(y, log_mu) - np.exp(log_mu) - special.gammaln(np.add(y, 1))

    def log_interval(lower: Any, upper: Any, eta: Any) -> Any:
        rate = np.exp(link.log_inverse(eta))
        return log_between(
            lower,
            upper,
            lambda y: log_density(y, eta),
            lambda y: special.gammaincc(y + 1.0, rate),
            lambda y: special.gammainc(y + 1.0, rate),
        )

    def draw(
        rng: np.random.Generator, eta: Any, *, lower: Any = None, upper: Any = None
    ) -> Any:
        def drawn(eta: Any) -> Any:
            return draw_counts(rng, link.inverse(eta))

        return draw_between(rng, lower, upper, drawn, log_interval, eta)

    return FamilyFunctions(
        link, log_density, link.inverse, draw, link.inverse, log_interval
    )


def negative_binomial(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ neg_binomial_2(mu, phi)``: variance ``mu + mu^2 / phi``."""

    def log_density(y: Any, eta: Any, *, phi: Any) -> Any:
        phi = np.minimum(phi, LARGEST_PRECISION)
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

    def log_interval(lower: Any, upper: Any, eta: Any, *, phi: Any) -> Any:
        log_ratio = link.log_inverse(eta) - np.log(phi)
        # The count of failures before phi successes: p is the probability of a success.
        p, q = special.expit(-log_ratio), special.expit(log_ratio)
        return log_between(
            lower,
            upper,
            lambda y: log_density(y, eta, phi=phi),
            lambda y: special.betainc(phi, y + 1.0, p),
            lambda y: special.betainc(y + 1.0, phi, q),
        )

    def draw(
        rng: np.random.Generator,
        eta: Any,
        *,
        phi: Any,
        lower: Any = None,
        upper: Any = None,
    ) -> Any:
        def drawn(eta: Any, phi: Any) -> Any:
            return draw_counts(rng, draw_gamma(rng, phi, link.inverse(eta)))

        def between(low: Any, high: Any, eta: Any, phi: Any) -> Any:
            return log_interval(low, high, eta, phi=phi)

        return draw_between(rng, lower, upper, drawn, between, eta, phi)

    def variance(eta: Any, *, phi: Any) -> Any:
        mu = link.inverse(eta)
        return mu + np.square(mu) / phi

    return FamilyFunctions(link, log_density, mean, draw, variance, log_interval)
