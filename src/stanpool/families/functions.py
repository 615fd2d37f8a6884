"""Links, and what each family computes, as functions of arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.base.arrays import Array
from stanpool.language.model_spec import LARGEST_NUMBER

LOG_2_PI = math.log(2.0 * math.pi)
TINY = np.finfo(float).tiny
BELOW_ONE = 1.0 - np.finfo(float).epsneg

# The largest precision with which counts are computed, here and in the templates. Their
# variance exceeds that of binomial or Poisson counts by a share of 1e-8 for each trial
# or unit of the mean; with larger ones differences of log gamma functions lose digits.
LARGEST_PRECISION = 1e8
_LARGEST_RATE = 2.0**62  # above this rate, counts may not fit into 64 bits


@dataclass(frozen=True)
class LinkFunctions:
    """A link: from the mean ``mu`` to the linear predictor ``eta``, and back.

    Attributes
    ----------
    apply, inverse
        ``eta = apply(mu)`` and ``mu = inverse(eta)``.
    log_inverse
        ``log(mu)``, exact in the tail where ``mu`` is nearly 0.
    log_complement
        ``log(1 - mu)``, for links of a probability.
    """

    apply: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    log_inverse: Callable[[Any], Any]
    log_complement: Callable[[Any], Any] | None = None


@dataclass(frozen=True)
class FamilyFunctions:
    """A family with its link, in numbers.

    Every function takes the linear predictor ``eta`` and the family's parameters by the
    names of the posterior (``sigma``, ``nu``, ``shape``, ``phi``, ``cutpoint``) and of
    the data (``trials``, ``se``), which broadcast against each other. ``cutpoint`` has
    one more axis, its last; so has the ``eta`` of ``categorical``: the categories
    but for the reference.

    Attributes
    ----------
    link
        The link's functions.
    log_density
        ``log_density(y, eta, **parameters)``: log density or probability of outcomes,
        with every constant. Categories are counted from 0.
    mean
        ``mean(eta, **parameters)``: the expected outcome; the location where a
        student_t has no mean; for categories the probability of each, along one more
        axis, the last.
    draw
        ``draw(rng, eta, **parameters)``: random outcomes. Where ``log_interval`` is
        known, ``lower=`` and ``upper=`` truncate them.
    variance
        ``variance(eta, **parameters)``: of an outcome about its mean; infinite where a
        student_t has none; None for categories.
    log_interval
        ``log_interval(lower, upper, eta, **parameters)``: log probability of an outcome
        between two bounds, which may be infinite, and which counts may be equal to;
        None where no outcome is censored or truncated.
    cutpoints
        ``cutpoints(probabilities)``: the cutpoints with which ordered categories have
        these probabilities where ``eta`` is 0; None without cutpoints.
    """

    link: LinkFunctions
    log_density: Callable[..., Any]
    mean: Callable[..., Any]
    draw: Callable[..., Any]
    variance: Callable[..., Any] | None = None
    log_interval: Callable[..., Any] | None = None
    cutpoints: Callable[[Array], Array] | None = None


def log1m_exp(x: Any) -> Any:
    """Return ``log(1 - exp(x))`` for ``x <= 0``."""
    with np.errstate(divide="ignore"):
        return np.where(
            x > -math.log(2.0),
            np.log(-np.expm1(x)),
            np.log1p(-np.exp(np.minimum(x, -0.1))),
        )


LINKS: Mapping[str, LinkFunctions] = {
    "identity": LinkFunctions(np.asarray, np.asarray, np.log),
    "log": LinkFunctions(np.log, np.exp, np.asarray),
    "logit": LinkFunctions(
        special.logit,
        special.expit,
        special.log_expit,
        lambda eta: special.log_expit(-np.asarray(eta)),
    ),
    "probit": LinkFunctions(
        special.ndtri,
        special.ndtr,
        special.log_ndtr,
        lambda eta: special.log_ndtr(-np.asarray(eta)),
    ),
    "cloglog": LinkFunctions(
        lambda mu: np.log(-np.log1p(-np.asarray(mu))),
        lambda eta: -np.expm1(-np.exp(eta)),
        lambda eta: log1m_exp(-np.exp(eta)),
        lambda eta: -np.exp(eta),
    ),
    # Of angles, which may be negative.
    "tan_half": LinkFunctions(
        lambda mu: np.tan(0.5 * np.asarray(mu)),
        lambda eta: 2.0 * np.arctan(eta),
        lambda eta: np.log(2.0 * np.arctan(eta)),
    ),
}


def count_beyond(outcomes: Array) -> int:
    """Count the drawn outcomes that overflowed.

    Examples
    --------
    >>> count_beyond(np.array([1.0, -1e150, 1e150])), count_beyond(np.array([2]))
    (2, 0)
    """
    if outcomes.dtype.kind != "f":
        return 0
    if not outcomes.size or max(outcomes.max(), -outcomes.min()) < LARGEST_NUMBER:
        return 0
    return int(np.sum(np.abs(outcomes) >= LARGEST_NUMBER))


def draw_gamma(rng: np.random.Generator, shape: Any, mean: Any) -> Any:
    """Draw gamma variables of a shape and a mean, which may be infinite."""
    scale = np.divide(mean, shape)
    standard = rng.standard_gamma(shape, scale.shape)
    with np.errstate(invalid="ignore"):
        return np.where(standard == 0.0, 0.0, standard * scale)


def draw_counts(rng: np.random.Generator, rate: Any) -> Any:
    """Draw Poisson counts: whole numbers, but floats where some are too large."""
    rate = np.asarray(rate)
    counts = rng.poisson(np.minimum(rate, _LARGEST_RATE))
    is_large = rate > _LARGEST_RATE
    if not is_large.any():
        return counts
    # Such large counts are practically normal. Infinite rates stay infinite.
    about = 1.0 + rng.standard_normal(rate.shape) / np.sqrt(np.maximum(rate, 1.0))
    return np.where(is_large, rate * about, counts)


def count_times(count: Any, log_value: Any) -> Any:
    """Return ``count * log_value``, 0 where the count is 0 whatever the value."""
    return np.where(
        np.equal(count, 0), 0.0, count * np.where(np.equal(count, 0), 0.0, log_value)
    )


def log_complement_of(link: LinkFunctions) -> Callable[[Any], Any]:
    """Return ``log(1 - mu)`` as a function of ``eta``."""
    assert link.log_complement is not None
    return link.log_complement


def beta_shapes(link: LinkFunctions, eta: Any, phi: Any) -> tuple[Any, Any]:
    """Return ``mu phi`` and ``(1 - mu) phi``, a beta distribution's parameters."""
    log_phi = np.log(phi)
    return (
        np.exp(log_phi + link.log_inverse(eta)),
        np.exp(log_phi + log_complement_of(link)(eta)),
    )


def draw_beta(rng: np.random.Generator, shapes: tuple[Any, Any]) -> Any:
    """Draw beta variables; a mean that is 0 or 1 to rounding has a shape of 0."""
    return rng.beta(*(np.maximum(shape, TINY) for shape in shapes))


def log_binomial_coefficient(trials: Any, y: Any) -> Any:
    """Return the logarithm of ``trials`` choose ``y``."""
    trials, y = np.asarray(trials), np.asarray(y)
    return (
        special.gammaln(trials + 1)
        - special.gammaln(y + 1)
        - special.gammaln(trials - y + 1)
    )
