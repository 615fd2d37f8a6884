r"""Expected outcomes averaged over groups that have not been seen.

The coefficients of a new group are normal about the population's, so that what its
deviations add to a row's linear predictor is normal as well, with mean 0 and variance
:math:`v = z' \Sigma z` summed over grouping factors. The expected outcome is then

.. math:: \int g^{-1}(\eta + e) \, N(e \mid 0, v) \, de,

which is :math:`\eta` for the identity link, :math:`\exp(\eta + v / 2)` for the log
link and :math:`\Phi(\eta / \sqrt{1 + v})` for the probit [1]_. For other links it is
computed by the trapezoidal rule, whose error decreases geometrically with the number of
points [2]_.

The product of the latent scores and loadings of new levels is normal given its
variance, which is proportional to a chi-squared variable if the levels of both columns
are new. That variable is then averaged over as well, along its logarithm.

Of C unordered categories C - 1 have linear predictors, which are correlated, so that
the integral has as many dimensions. For three categories Gauss-Hermite quadrature is
used as long as standard deviations are 2 or less, and otherwise quasi-random points.
With random covariance matrices the largest errors of probabilities were 0.0005 for
three categories; for four and five 0.0003, 0.0015 and 0.002 where standard deviations
were 1, 3 and 5; and for eight 0.001, 0.005 and 0.012.

References
----------
.. [1] Zeger, Liang and Albert (1988). Models for longitudinal data: a generalized
   estimating equation approach. Biometrics 44(4), 1049-1060.
.. [2] Trefethen and Weideman (2014). The exponentially convergent trapezoidal rule.
   SIAM Review 56(3), 385-458.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.families.registry import family_functions
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import ModelSpec
from stanpool.model.terms.unseen import NewLevels

# The error of the rule is exp(-2 pi (strip / sd) / step), where the strip is how far
# from the real line an inverse link is analytic (logit, tan_half) and bounded
# (cloglog).
_STRIP = {"logit": math.pi, "cloglog": math.pi / 2, "tan_half": 1.0}
_DIGITS = 23.0  # of the error, in natural logarithms: 1e-10
_LARGEST_STEP, _SMALLEST_STEP = 0.75, 0.02
# Farther away is 1e-15 of a normal distribution.
_REACH = 8.0
# Points for the linear predictors of categories: along each of two dimensions, up to
# some standard deviation, and otherwise in all.
_TWO_DIMENSIONS, _LARGEST_SD = 31, 2.0
_QUASI_RANDOM = 1024
# The step between the logarithms of a chi-squared variable, of which errors are below
# 1e-10 with 1 to 10 degrees of freedom and scales of loadings up to 5.
_LOG_STEP = 0.25


def expectation(
    spec: ModelSpec,
    eta: Array,
    parameters: Mapping[str, Any],
    variance: Array | None,
    product: NewLevels | None = None,
) -> Array:
    """Return expected outcomes, of one trial each.

    Parameters
    ----------
    spec
        The model.
    eta
        Linear predictors, shape ``(S, rows)``; one more axis for categories.
    parameters
        The family's parameters, which broadcast against ``eta``.
    variance
        The variance of what new groups add to ``eta``, shape ``(S, rows)``, or of
        categories their covariance matrices, ``(S, rows, D, D)``; None without.
    product
        How the products of new scores and new loadings are distributed; None without.

    Returns
    -------
    numpy.ndarray
        Shape ``(S, rows)``; of categories, their probabilities along one more axis.
    """
    family, link = FAMILIES[spec.family], spec.link_name
    known = dict(parameters) | spec.known_numbers
    if "trials" in family.parts:
        known["trials"] = 1.0
    mean = family_functions(spec.family, spec.link).mean

    def of(at: Any) -> Array:
        with np.errstate(over="ignore"):
            return np.asarray(mean(at, **known))

    if product is not None and not _moves_as_predictor(spec):
        given = partial(expectation, spec, eta, parameters)
        return _over_products(given, variance, product)
    if variance is None or _moves_as_predictor(spec):
        return of(eta)
    if family.is_categorical:
        return _over_categories(of, eta, variance)
    if family.is_of_logs or link == "log":
        return of(eta + variance / 2.0)
    if link == "probit" and not family.steps:
        scale = np.sqrt(1.0 + variance)
        if family.has_cutpoints:
            known["cutpoint"] = known["cutpoint"] / scale[..., None]
        return of(eta / scale)
    sd, total = np.sqrt(variance), np.zeros(())
    cutpoints = np.shape(known["cutpoint"])[-1] if family.has_cutpoints else 1
    step = _step(spec, float(sd.max()), cutpoints)
    for point, weight in zip(*_trapezoids(step), strict=True):
        total = total + weight * of(eta + point * sd)
    return np.asarray(total)


def survival(
    spec: ModelSpec,
    eta: Array,
    parameters: Mapping[str, Any],
    variance: Array | None,
    product: NewLevels | None = None,
    *,
    times: Array,
) -> Array:
    """Return the probabilities that outcomes are above some times.

    Parameters
    ----------
    spec, eta, parameters, variance, product
        As for ``expectation``, of families whose outcomes may be censored.
    times
        The times, shape ``(T,)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(S, rows, T)``.
    """
    if product is not None:
        given = partial(survival, spec, eta, parameters, times=times)
        return _over_products(given, variance, product)
    known = {name: np.asarray(x)[..., None] for name, x in parameters.items()}
    log_interval = family_functions(spec.family, spec.link).log_interval
    assert log_interval is not None

    def above(at: Any) -> Array:
        return np.asarray(np.exp(log_interval(times, np.inf, at[..., None], **known)))

    if variance is None:
        return above(eta)
    if FAMILIES[spec.family].is_of_logs:  # normal logarithms of more variance
        known["sigma"] = np.hypot(known["sigma"], np.sqrt(variance)[..., None])
        return above(eta)
    sd, total = np.sqrt(variance), np.zeros(())
    # Proportional hazards: exp(-exp(.)) of shape times the predictor.
    shape = float(np.max(parameters.get("shape", 1.0)))
    step = _step_within(_STRIP["cloglog"] / shape, float(sd.max()))
    for point, weight in zip(*_trapezoids(step), strict=True):
        total = total + weight * above(eta + point * sd)
    return np.asarray(total)


def _over_products(
    given: Callable[[Array], Array], variance: Array | None, product: NewLevels
) -> Array:
    """Average over the products of new scores and new loadings.

    Parameters
    ----------
    given
        What is averaged, for a variance of what new groups add to predictors.
    variance
        The variance of what others add; None without.
    product
        How the products are distributed.
    """
    total: Any = 0.0
    others = 0.0 if variance is None else variance
    largest = float(product.variance.max(initial=0.0))
    for value, weight in zip(*_chi_squared(product.degrees, largest), strict=True):
        total = total + weight * given(others + value * product.variance)
    return np.asarray(total)


def is_linear(spec: ModelSpec) -> bool:
    """Whether the expected outcome is the linear predictor."""
    return _moves_as_predictor(spec) and not FAMILIES[spec.family].is_of_quantiles


def _moves_as_predictor(spec: ModelSpec) -> bool:
    """Whether differences of expected outcomes are those of linear predictors."""
    return spec.link_name == "identity" and not FAMILIES[spec.family].is_of_logs


def points_of(
    spec: ModelSpec, sd: float = 1.0, degrees: int = 0, *, of_survival: bool = False
) -> int:
    """Return about how many evaluations an average over new groups takes.

    Parameters
    ----------
    spec
        The model.
    sd
        The standard deviation of linear predictors.
    degrees
        The degrees of freedom of the products of new scores and new loadings; 0 without
        these.
    of_survival
        Whether it is one of probabilities to last longer than a time.
    """
    family = FAMILIES[spec.family]
    if family.is_categorical:
        return _QUASI_RANDOM
    if of_survival and not family.is_of_logs:
        times = len(_chi_squared(degrees, sd)[0]) if degrees else 1
        return times * len(_trapezoids(_step_within(_STRIP["cloglog"], sd))[0])
    if _moves_as_predictor(spec):
        return 1
    times = len(_chi_squared(degrees, sd)[0]) if degrees else 1
    is_closed = spec.link_name == "log" or (
        spec.link_name == "probit" and not family.steps
    )
    if family.is_of_logs or is_closed:
        return times
    return times * len(_trapezoids(_step(spec, sd))[0])


def _step(spec: ModelSpec, sd: float, cutpoints: int = 1) -> float:
    """Return how far points may be apart.

    Parameters
    ----------
    spec
        The model.
    sd
        The largest standard deviation of linear predictors.
    cutpoints
        The number of cutpoints, or 1.
    """
    family, link = FAMILIES[spec.family], spec.link_name
    if link == "probit":
        # At the distance b from the real line, each of the factors of a probability
        # grows with exp(b^2 / 2).
        growth = 1.0 + cutpoints * sd**2
        return 2.0 * math.pi / math.sqrt(2.0 * _DIGITS * growth)
    strip = _STRIP[link]
    if family.has_cutpoints and not (family.has_ordered_cutpoints or family.steps):
        # A polynomial of exp(eta) has roots nearer to the real line than 1 + exp(eta).
        strip /= cutpoints
    return _step_within(strip, sd)


def _step_within(strip: float, sd: float) -> float:
    """Return how far points may be apart for what is analytic in a strip."""
    return 2.0 * math.pi * strip / (_DIGITS * max(sd, 1e-3))


def _trapezoids(wanted: float) -> tuple[Array, Array]:
    """Return points and weights for averages over a standard normal variable."""
    wanted = min(max(wanted, _SMALLEST_STEP), _LARGEST_STEP)
    # One of few steps, so that the points are seldom made anew.
    times = math.ceil(math.log(wanted / _LARGEST_STEP) / math.log(0.75))
    return _points_at(_LARGEST_STEP * 0.75**times)


@lru_cache(maxsize=32)
def _points_at(step: float) -> tuple[Array, Array]:
    half = math.ceil(_REACH / step)
    points = np.linspace(-half * step, half * step, 2 * half + 1)
    weights = np.exp(-0.5 * points**2)
    return points, np.asarray(weights / weights.sum())


def _chi_squared(degrees: int, largest: float) -> tuple[Array, Array]:
    """Return points and weights for averages over a chi-squared variable.

    They are evenly spaced along its logarithm. What is below the first, where the
    expectation does not change, counts as the first.

    Parameters
    ----------
    degrees
        Its degrees of freedom.
    largest
        The largest number by which the variable is multiplied.
    """
    half = degrees / 2.0
    low = -(_DIGITS + max(0.0, math.log(max(largest, 1e-300)))) / (1.0 + half)
    high = math.log(2.0 * (half + _DIGITS + math.sqrt(2.0 * half * _DIGITS)))
    at = high - _LOG_STEP * np.arange(math.ceil((high - low) / _LOG_STEP), -1, -1)
    log_density = half * (at - math.log(2.0)) - np.exp(at) / 2.0 - math.lgamma(half)
    weights = _LOG_STEP * np.exp(log_density)
    weights[0] += 1.0 - weights.sum()
    return np.exp(at), weights


def _over_categories(
    of: Callable[[Any], Array], eta: Array, covariance: Array
) -> Array:
    """Average over the linear predictors of categories, which are correlated."""
    # Of covariance matrices that may be singular.
    values, vectors = np.linalg.eigh(covariance)
    loadings = vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]
    dimensions, sd = eta.shape[-1], math.sqrt(float(values.max(initial=0.0)))
    if dimensions == 1:
        points, weights = _trapezoids(_step_within(_STRIP["logit"], sd))
        points = points[:, None]
    elif dimensions == 2 and sd <= _LARGEST_SD:
        points, weights = _products()
    else:
        points, weights = _quasi_random(dimensions)
    total: Any = 0.0
    for point, weight in zip(points, weights, strict=True):
        total = total + weight * of(eta + loadings @ point)
    return np.asarray(total)


@lru_cache(maxsize=1)
def _products() -> tuple[Array, Array]:
    """Return points and weights for averages over two standard normal variables."""
    points, weights = np.polynomial.hermite_e.hermegauss(_TWO_DIMENSIONS)
    weights = weights / weights.sum()
    grids = np.meshgrid(points, points, indexing="ij")
    both = [each.ravel() for each in grids]
    return np.stack(both, axis=-1), np.outer(weights, weights).ravel()


@lru_cache(maxsize=8)
def _quasi_random(dimensions: int) -> tuple[Array, Array]:
    """Return points and weights for averages over several standard normal variables."""
    from scipy import special, stats  # type: ignore[import-untyped]

    sequence = stats.qmc.Sobol(dimensions, rng=np.random.default_rng(1))
    normal = special.ndtri(sequence.random(_QUASI_RANDOM))
    return normal, np.full(_QUASI_RANDOM, 1.0 / _QUASI_RANDOM)
