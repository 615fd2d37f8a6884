"""The families in numbers: log density, mean and random draws of an outcome.

What the Stan templates state, once more in NumPy, for everything that is computed from
draws: predictions, pointwise log likelihood, simulated data. ``family_functions`` are
of a family, ``log_likelihood`` and ``draw_outcomes`` of a model's rows.

Arrays broadcast as NumPy does, so ``(draws, rows)`` predictors go with parameters of
shape ``(draws, 1)`` and outcomes of shape ``(rows,)``.

References
----------
.. [1] Stan Functions Reference 2.35: the densities and their parameters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.errors import SpecError, check_choice, listed, shorten
from stanpool.spec import FAMILIES, LARGEST_NUMBER, ModelSpec

if TYPE_CHECKING:
    from stanpool.design import Design

Array = np.ndarray
_LOG_2_PI = math.log(2.0 * math.pi)
_TINY = np.finfo(float).tiny
_BELOW_ONE = 1.0 - np.finfo(float).epsneg
_LARGEST_RATE = 2.0**62  # draws of larger ones need not fit into 64 bits


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
        student_t has no mean; for ordinal and categorical the probability of
        each category, along one more axis, the last.
    draw
        ``draw(rng, eta, **parameters)``: random outcomes. Where ``log_interval`` is
        known, ``lower=`` and ``upper=`` truncate them.
    variance
        ``variance(eta, **parameters)``: of an outcome about its mean; infinite where a
        student_t has none; None for ordinal and categorical.
    log_interval
        ``log_interval(lower, upper, eta, **parameters)``: log probability of an outcome
        between two bounds, which may be infinite; None where no outcome is censored or
        truncated.
    """

    link: LinkFunctions
    log_density: Callable[..., Any]
    mean: Callable[..., Any]
    draw: Callable[..., Any]
    variance: Callable[..., Any] | None = None
    log_interval: Callable[..., Any] | None = None


def _log1m_exp(x: Any) -> Any:
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
        lambda eta: _log1m_exp(-np.exp(eta)),
        lambda eta: -np.exp(eta),
    ),
}


@lru_cache(maxsize=64)
def family_functions(family: str, link: str | None = None) -> FamilyFunctions:
    """Return a family in numbers.

    Parameters
    ----------
    family
        A name in ``stanpool.spec.FAMILIES``.
    link
        One of its links; by default the first.

    Raises
    ------
    SpecError
        If there is no such family, or it has no such link.

    Examples
    --------
    >>> poisson = family_functions("poisson")
    >>> poisson.mean(np.log([1.5, 3.0]))
    array([1.5, 3. ])
    >>> poisson.log_density(np.array([0, 2]), np.log([1.5, 3.0])).round(3)
    array([-1.5  , -1.496])
    """
    check_choice("family", family, FAMILIES)
    known = FAMILIES[family].links
    if link is not None and link not in known:
        raise SpecError(
            f"link={shorten(link)} is not a link of {family!r}; it has {listed(known)}."
        )
    return _BUILDERS[family](LINKS[link or known[0]])


def log_likelihood(
    spec: ModelSpec, design: Design, eta: Array, parameters: Mapping[str, Any]
) -> Array:
    """Log likelihood of each row: censored, truncated and weighted as the model says.

    Parameters
    ----------
    spec, design
        The model, and rows with their outcomes.
    eta
        The linear predictor with offsets, shape ``(..., N)``; one more axis, the
        last, for categorical outcomes.
    parameters
        The family's parameters by name, which broadcast against ``eta``.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., N)``.

    Examples
    --------
    >>> from stanpool.fit import Model
    >>> model = Model("y | weights(w) ~ 1", {"y": [0.0, 1.0], "w": [1.0, 2.0]},
    ...               pooling="complete")
    >>> log_likelihood(model.spec, model.design, np.zeros(2), {"sigma": 1.0}).round(3)
    array([-0.919, -2.838])
    """
    functions = family_functions(spec.family, spec.link)
    known = _known(design) | dict(parameters)
    rows = np.asarray(functions.log_density(design.y, eta, **known))
    interval = functions.log_interval
    if design.censored is not None and interval is not None:
        code = design.censored
        low = np.where(code == -1, -np.inf, design.y)
        high = np.where(code == -1, design.y, np.inf)
        if design.y_upper is not None:
            high = np.where(code == 2, design.y_upper, high)
        rows = np.where(code == 0, rows, interval(low, high, eta, **known))
    if design.lower is not None or design.upper is not None:
        assert interval is not None
        rows = rows - interval(*_bounds(design), eta, **known)
    return rows if design.weights is None else np.asarray(design.weights * rows)


def draw_outcomes(
    spec: ModelSpec,
    design: Design,
    rng: np.random.Generator,
    eta: Array,
    parameters: Mapping[str, Any],
) -> Array:
    """Draw an outcome of each row, between its bounds where rows are truncated.

    Censoring is how an outcome is seen, not what it is: the draws are uncensored.
    Weights have no effect. What overflows is set to the largest number that data may
    have; what is rounded to an end of the support, where no outcome lies, to the number
    next to it.

    Parameters
    ----------
    spec, design
        The model, and rows.
    rng
        Where randomness comes from.
    eta, parameters
        As for ``log_likelihood``.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., N)``; categories are counted from 0. Whole numbers, but floats
        where some counts are beyond those of 64 bits.
    """
    functions = family_functions(spec.family, spec.link)
    known = _known(design) | dict(parameters)
    if design.lower is not None or design.upper is not None:
        known["lower"], known["upper"] = _bounds(design)
    with np.errstate(over="ignore"):
        drawn = np.asarray(functions.draw(rng, eta, **known))
    if drawn.dtype.kind != "f":
        return drawn
    ends = {"positive": (_TINY, LARGEST_NUMBER), "proportion": (_TINY, _BELOW_ONE)}
    either = (-LARGEST_NUMBER, LARGEST_NUMBER)
    return np.asarray(np.clip(drawn, *ends.get(FAMILIES[spec.family].outcome, either)))


def count_beyond(outcomes: Array) -> int:
    """Count the drawn outcomes that overflowed.

    Examples
    --------
    >>> count_beyond(np.array([1.0, -1e150, 1e150])), count_beyond(np.array([2]))
    (2, 0)
    """
    if outcomes.dtype.kind != "f":
        return 0
    return int(np.sum(np.abs(outcomes) >= LARGEST_NUMBER))


def expected_outcomes(
    spec: ModelSpec, design: Design, eta: Array, parameters: Mapping[str, Any]
) -> Array:
    """Return the expectation of each row's outcome, bounds of truncation left aside.

    Parameters
    ----------
    spec, design, eta, parameters
        As for ``log_likelihood``.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., N)``; for ordinal and categorical outcomes the probability of
        each category, along one more axis, the last.
    """
    functions = family_functions(spec.family, spec.link)
    with np.errstate(over="ignore"):
        return np.asarray(functions.mean(eta, **(_known(design) | dict(parameters))))


def outcome_variances(
    spec: ModelSpec, design: Design, eta: Array, parameters: Mapping[str, Any]
) -> Array:
    """Return the variance of each row's outcome about its expectation.

    Parameters
    ----------
    spec, design, eta, parameters
        As for ``log_likelihood``; bounds of truncation are left aside.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., N)``.

    Raises
    ------
    SpecError
        If outcomes are categories, which have no variance.
    """
    variance = family_functions(spec.family, spec.link).variance
    if variance is None:
        raise SpecError(
            f"family={spec.family!r} has categories, which have no variance."
        )
    return np.asarray(variance(eta, **(_known(design) | dict(parameters))))


def _known(design: Design) -> dict[str, Any]:
    """Return what a family is told of each row."""
    known = {"trials": design.trials, "se": design.se}
    return {name: values for name, values in known.items() if values is not None}


def _bounds(design: Design) -> tuple[Any, Any]:
    """Return the bounds of truncation, infinite where there is none."""
    return (
        -np.inf if design.lower is None else design.lower,
        np.inf if design.upper is None else design.upper,
    )


def _binary(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ bernoulli(mu)``."""

    def log_density(y: Any, eta: Any) -> Any:
        return np.where(y == 1, link.log_inverse(eta), _complement(link)(eta))

    def draw(rng: np.random.Generator, eta: Any) -> Any:
        mu = link.inverse(eta)
        return (rng.random(np.shape(mu)) < mu).astype(np.int64)

    def variance(eta: Any) -> Any:
        mu = link.inverse(eta)
        return mu * (1.0 - mu)

    return FamilyFunctions(link, log_density, link.inverse, draw, variance)


def _binomial(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ binomial(trials, mu)``; the mean is of the successes."""

    def log_density(y: Any, eta: Any, *, trials: Any) -> Any:
        y, trials = np.asarray(y), np.asarray(trials)
        ways = (
            special.gammaln(trials + 1)
            - special.gammaln(y + 1)
            - special.gammaln(trials - y + 1)
        )
        successes = special.xlogy(y, 1.0) + _times(y, link.log_inverse(eta))
        return ways + successes + _times(trials - y, _complement(link)(eta))

    def mean(eta: Any, *, trials: Any) -> Any:
        return trials * link.inverse(eta)

    def draw(rng: np.random.Generator, eta: Any, *, trials: Any) -> Any:
        return rng.binomial(trials, link.inverse(eta))

    def variance(eta: Any, *, trials: Any) -> Any:
        mu = link.inverse(eta)
        return trials * mu * (1.0 - mu)

    return FamilyFunctions(link, log_density, mean, draw, variance)


def _poisson(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ poisson(mu)``."""

    def log_density(y: Any, eta: Any) -> Any:
        log_mu = link.log_inverse(eta)
        return _times(y, log_mu) - np.exp(log_mu) - special.gammaln(np.add(y, 1))

    def draw(rng: np.random.Generator, eta: Any) -> Any:
        return _drawn_counts(rng, link.inverse(eta))

    return FamilyFunctions(link, log_density, link.inverse, draw, link.inverse)


def _negative_binomial(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ neg_binomial_2(mu, phi)``: variance ``mu + mu^2 / phi``."""

    def log_density(y: Any, eta: Any, *, phi: Any) -> Any:
        log_mu, log_phi = link.log_inverse(eta), np.log(phi)
        log_sum = np.logaddexp(log_mu, log_phi)
        return (
            special.gammaln(np.add(y, phi))
            - special.gammaln(np.add(y, 1))
            - special.gammaln(phi)
            + _times(y, log_mu - log_sum)
            + phi * (log_phi - log_sum)
        )

    def mean(eta: Any, *, phi: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(phi, dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, phi: Any) -> Any:
        return _drawn_counts(rng, _drawn_gamma(rng, phi, link.inverse(eta)))

    def variance(eta: Any, *, phi: Any) -> Any:
        mu = link.inverse(eta)
        return mu + np.square(mu) / phi

    return FamilyFunctions(link, log_density, mean, draw, variance)


def _gamma(link: LinkFunctions) -> FamilyFunctions:
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
        return _drawn_gamma(rng, shape, link.inverse(eta))

    def variance(eta: Any, *, shape: Any) -> Any:
        return np.square(link.inverse(eta)) / shape

    return FamilyFunctions(link, log_density, mean, draw, variance)


def _beta(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ beta(mu phi, (1 - mu) phi)``: variance ``mu (1 - mu) / (1 + phi)``."""

    def shapes(eta: Any, phi: Any) -> tuple[Any, Any]:
        log_phi = np.log(phi)
        return (
            np.exp(log_phi + link.log_inverse(eta)),
            np.exp(log_phi + _complement(link)(eta)),
        )

    def log_density(y: Any, eta: Any, *, phi: Any) -> Any:
        a, b = shapes(eta, phi)
        return (a - 1.0) * np.log(y) + (b - 1.0) * np.log1p(-y) - special.betaln(a, b)

    def mean(eta: Any, *, phi: Any) -> Any:
        return link.inverse(eta) + np.zeros_like(phi, dtype=float)

    def draw(rng: np.random.Generator, eta: Any, *, phi: Any) -> Any:
        # A mean that is 0 or 1 to rounding has a shape of 0.
        return rng.beta(*(np.maximum(shape, _TINY) for shape in shapes(eta, phi)))

    def variance(eta: Any, *, phi: Any) -> Any:
        mu = link.inverse(eta)
        return mu * (1.0 - mu) / (1.0 + phi)

    return FamilyFunctions(link, log_density, mean, draw, variance)


@dataclass(frozen=True)
class _Standard:
    """A symmetric distribution of location 0 and scale 1, on the log scale."""

    log_density: Callable[..., Any]
    log_below: Callable[..., Any]
    quantile: Callable[..., Any]


_NORMAL = _Standard(
    lambda z: -0.5 * (z * z + _LOG_2_PI), special.log_ndtr, special.ndtri_exp
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


_STUDENT_T = _Standard(_t_log_density, _t_log_below, _t_quantile)


def _scale(sigma: Any, se: Any) -> Any:
    """Return the standard deviation about the mean: learned, known, or both."""
    if se is None:
        return sigma
    return se if sigma is None else np.hypot(sigma, se)


def _location_scale(
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


def _ordinal(link: LinkFunctions) -> FamilyFunctions:
    """``P(y <= k) = inverse(cutpoint[k] - eta)``, categories counted from 0."""

    def log_probabilities(eta: Any, cutpoint: Any) -> Any:
        distance = cutpoint - np.expand_dims(eta, -1)
        infinite = np.full((*distance.shape[:-1], 1), np.inf)
        low = np.concatenate([-infinite, distance], axis=-1)
        high = np.concatenate([distance, infinite], axis=-1)
        # From the nearer tail: both links are symmetric.
        with np.errstate(invalid="ignore"):
            mirrored = low + high > 0
        low, high = np.where(mirrored, -high, low), np.where(mirrored, -low, high)
        below, above = link.log_inverse(low), link.log_inverse(high)
        return above + _log1m_exp(below - above)

    def log_density(y: Any, eta: Any, *, cutpoint: Any) -> Any:
        return _of_category(log_probabilities(eta, cutpoint), y)

    def mean(eta: Any, *, cutpoint: Any) -> Any:
        return np.exp(log_probabilities(eta, cutpoint))

    def draw(rng: np.random.Generator, eta: Any, *, cutpoint: Any) -> Any:
        return _drawn_category(rng, mean(eta, cutpoint=cutpoint))

    return FamilyFunctions(link, log_density, mean, draw)


def _categorical(link: LinkFunctions) -> FamilyFunctions:
    """``y ~ categorical(softmax(0, eta))``, the reference category is 0."""

    def log_probabilities(eta: Any) -> Any:
        eta = np.asarray(eta)
        reference = np.zeros((*eta.shape[:-1], 1))
        return special.log_softmax(np.concatenate([reference, eta], axis=-1), axis=-1)

    def log_density(y: Any, eta: Any) -> Any:
        return _of_category(log_probabilities(eta), y)

    def mean(eta: Any) -> Any:
        return np.exp(log_probabilities(eta))

    def draw(rng: np.random.Generator, eta: Any) -> Any:
        return _drawn_category(rng, mean(eta))

    return FamilyFunctions(link, log_density, mean, draw)


def _of_category(values: Array, y: Any) -> Any:
    """Pick along the last axis the value of each outcome's category."""
    shape = np.broadcast_shapes(values.shape[:-1], np.shape(y))
    values = np.broadcast_to(values, (*shape, values.shape[-1]))
    at = np.broadcast_to(np.asarray(y), shape)[..., None]
    return np.take_along_axis(values, at, axis=-1)[..., 0]


def _drawn_category(rng: np.random.Generator, probabilities: Array) -> Any:
    """Draw categories, counted from 0, with probabilities along the last axis."""
    cumulative = np.cumsum(probabilities, axis=-1)[..., :-1]
    return np.sum(rng.random((*cumulative.shape[:-1], 1)) > cumulative, axis=-1)


def _drawn_gamma(rng: np.random.Generator, shape: Any, mean: Any) -> Any:
    """Draw gamma variables of a shape and a mean, which may be infinite."""
    scale = np.divide(mean, shape)
    standard = rng.standard_gamma(shape, scale.shape)
    with np.errstate(invalid="ignore"):
        return np.where(standard == 0.0, 0.0, standard * scale)


def _drawn_counts(rng: np.random.Generator, rate: Any) -> Any:
    """Draw Poisson counts: whole numbers, but floats where some are too large."""
    rate = np.asarray(rate)
    counts = rng.poisson(np.minimum(rate, _LARGEST_RATE))
    is_large = rate > _LARGEST_RATE
    if not is_large.any():
        return counts
    # So many are as good as normal; a product, since infinity has no difference.
    about = 1.0 + rng.standard_normal(rate.shape) / np.sqrt(np.maximum(rate, 1.0))
    return np.where(is_large, rate * about, counts)


def _times(count: Any, log_value: Any) -> Any:
    """Return ``count * log_value``, 0 where the count is 0 whatever the value."""
    return np.where(
        np.equal(count, 0), 0.0, count * np.where(np.equal(count, 0), 0.0, log_value)
    )


def _complement(link: LinkFunctions) -> Callable[[Any], Any]:
    """Return ``log(1 - mu)`` as a function of ``eta``."""
    assert link.log_complement is not None
    return link.log_complement


_BUILDERS: Mapping[str, Callable[[LinkFunctions], FamilyFunctions]] = {
    "gaussian": lambda link: _location_scale(_NORMAL, link),
    "student_t": lambda link: _location_scale(_STUDENT_T, link),
    "lognormal": lambda link: _location_scale(_NORMAL, link, is_log=True),
    "gamma": _gamma,
    "bernoulli": _binary,
    "binomial": _binomial,
    "beta": _beta,
    "poisson": _poisson,
    "negative_binomial": _negative_binomial,
    "ordinal": _ordinal,
    "categorical": _categorical,
}
