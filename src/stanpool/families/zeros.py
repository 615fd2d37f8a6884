"""Outcomes with zeros of their own: inflated ones, and those behind a hurdle.

They are made of another family, whose mean is that of the linear predictor. With zero
inflation, counts are 0 with probability ``zi`` and else drawn from that family, zeros
included [1]_. With a hurdle, outcomes are 0 with probability ``hu`` and else drawn from
the positive outcomes of that family: counts [2]_, or amounts, which are never 0 [3]_.
Proportions are 0 or 1 with probability ``zoi``, and then 1 with probability ``coi``
[4]_.

References
----------
.. [1] Lambert (1992). Zero-inflated Poisson regression, with an application to defects
   in manufacturing. Technometrics 34(1), 1-14.
.. [2] Mullahy (1986). Specification and testing of some modified count data models.
   Journal of Econometrics 33(3), 341-365.
.. [3] Cragg (1971). Some statistical models for limited dependent variables with
   application to the demand for durable goods. Econometrica 39(5), 829-844.
.. [4] Ospina and Ferrari (2010). Inflated beta distributions. Statistical Papers 51(1),
   111-126.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stanpool.families.functions import BELOW_ONE, TINY, FamilyFunctions, log1m_exp


def zero_inflated(counts: FamilyFunctions) -> FamilyFunctions:
    """Let counts be 0 with probability ``zi``, whatever they would have been."""
    assert counts.variance is not None
    variance_of_counts = counts.variance

    def log_density(y: Any, eta: Any, *, zi: Any, **own: Any) -> Any:
        counted = np.log1p(-np.asarray(zi)) + counts.log_density(y, eta, **own)
        return np.where(np.equal(y, 0), np.logaddexp(_log(zi), counted), counted)

    def mean(eta: Any, *, zi: Any, **own: Any) -> Any:
        return (1.0 - np.asarray(zi)) * counts.mean(eta, **own)

    def draw(rng: np.random.Generator, eta: Any, *, zi: Any, **own: Any) -> Any:
        drawn = np.asarray(counts.draw(rng, eta, **own))
        return _zero_with(rng, zi, drawn)

    def variance(eta: Any, *, zi: Any, **own: Any) -> Any:
        squared = np.square(counts.mean(eta, **own))
        return (1.0 - np.asarray(zi)) * (variance_of_counts(eta, **own) + zi * squared)

    return FamilyFunctions(counts.link, log_density, mean, draw, variance)


def hurdle(other: FamilyFunctions, *, of_counts: bool) -> FamilyFunctions:
    """Let outcomes be 0 with probability ``hu``, and else be positive.

    Parameters
    ----------
    other
        The family of positive outcomes: of counts, which may be 0 there, or of amounts.
    of_counts
        Whether they are counts.
    """
    assert other.variance is not None
    variance_of_other = other.variance

    def log_positive(eta: Any, own: dict[str, Any]) -> Any:
        """Return the log probability of a positive outcome of the other family."""
        return log1m_exp(other.log_density(0, eta, **own)) if of_counts else 0.0

    def log_density(y: Any, eta: Any, *, hu: Any, **own: Any) -> Any:
        is_zero = np.equal(y, 0)
        positive = other.log_density(np.where(is_zero, 1, y), eta, **own)
        positive = np.log1p(-np.asarray(hu)) + positive - log_positive(eta, own)
        return np.where(is_zero, _log(hu), positive)

    def moments(eta: Any, own: dict[str, Any]) -> tuple[Any, Any]:
        """Return mean and mean square of positive outcomes."""
        mean, over = other.mean(eta, **own), np.exp(-log_positive(eta, own))
        square = variance_of_other(eta, **own) + np.square(mean)

        def of_positive(moment: Any) -> Any:
            if not of_counts:
                return moment
            # Positive counts of a rate that vanishes are 1.
            return np.where(np.isposinf(over), 1.0, np.maximum(moment * over, 1.0))

        return of_positive(mean), of_positive(square)

    def mean(eta: Any, *, hu: Any, **own: Any) -> Any:
        with np.errstate(over="ignore", invalid="ignore"):
            return (1.0 - np.asarray(hu)) * moments(eta, own)[0]

    def draw(rng: np.random.Generator, eta: Any, *, hu: Any, **own: Any) -> Any:
        bounds = {"lower": 1.0, "upper": np.inf} if of_counts else {}
        drawn = other.draw(rng, eta, **bounds, **own)
        return _zero_with(rng, hu, np.asarray(drawn))

    def variance(eta: Any, *, hu: Any, **own: Any) -> Any:
        first, second = moments(eta, own)
        above = 1.0 - np.asarray(hu)
        return above * second - np.square(above * first)

    return FamilyFunctions(other.link, log_density, mean, draw, variance)


def zero_one_inflated(inner: FamilyFunctions) -> FamilyFunctions:
    """Let proportions be 0 or 1 with probability ``zoi``, and then 1 with ``coi``."""
    assert inner.variance is not None
    variance_inside = inner.variance

    def log_density(y: Any, eta: Any, *, zoi: Any, coi: Any, **own: Any) -> Any:
        is_one, is_end = np.equal(y, 1), np.equal(y, 0) | np.equal(y, 1)
        inside = inner.log_density(np.where(is_end, 0.5, y), eta, **own)
        at_end = _log(zoi) + np.where(is_one, _log(coi), _log(1.0 - np.asarray(coi)))
        return np.where(is_end, at_end, _log(1.0 - np.asarray(zoi)) + inside)

    def mean(eta: Any, *, zoi: Any, coi: Any, **own: Any) -> Any:
        return zoi * coi + (1.0 - np.asarray(zoi)) * inner.mean(eta, **own)

    def draw(
        rng: np.random.Generator, eta: Any, *, zoi: Any, coi: Any, **own: Any
    ) -> Any:
        # What is rounded to an end is not one of the outcomes there.
        inside = np.clip(inner.draw(rng, eta, **own), TINY, BELOW_ONE)
        at_end = np.where(rng.random(inside.shape) < coi, 1.0, 0.0)
        return np.where(rng.random(inside.shape) < zoi, at_end, inside)

    def variance(eta: Any, *, zoi: Any, coi: Any, **own: Any) -> Any:
        square = variance_inside(eta, **own) + np.square(inner.mean(eta, **own))
        square = zoi * coi + (1.0 - np.asarray(zoi)) * square
        return square - np.square(mean(eta, zoi=zoi, coi=coi, **own))

    return FamilyFunctions(inner.link, log_density, mean, draw, variance)


def _zero_with(rng: np.random.Generator, probability: Any, drawn: Any) -> Any:
    """Replace draws by 0, each with that probability."""
    return np.where(rng.random(drawn.shape) < probability, 0, drawn)


def _log(probability: Any) -> Any:
    """Return the logarithm of a probability, which may be 0."""
    with np.errstate(divide="ignore"):
        return np.log(probability)
