"""Ordered and unordered categories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.base.arrays import Array
from stanpool.families.functions import (
    FamilyFunctions,
    LinkFunctions,
    log1m_exp,
    log_complement_of,
)


def ordinal(link: LinkFunctions) -> FamilyFunctions:
    """``P(y <= k) = inverse(cutpoint[k] - eta)``, categories counted from 0."""
    complement = log_complement_of(link)

    def log_probabilities(distance: Array) -> Array:
        infinite = np.full((*distance.shape[:-1], 1), np.inf)
        low = np.concatenate([-infinite, distance], axis=-1)
        high = np.concatenate([distance, infinite], axis=-1)
        # From the tail that is nearer.
        with np.errstate(invalid="ignore", over="ignore"):
            from_above = low + high > 0
            larger = np.where(from_above, complement(low), link.log_inverse(high))
            smaller = np.where(from_above, complement(high), link.log_inverse(low))
        return np.asarray(larger + log1m_exp(smaller - larger))

    def cutpoints(probabilities: Array) -> Array:
        return np.asarray(link.apply(np.cumsum(probabilities, axis=-1)[..., :-1]))

    return _of_distances(link, log_probabilities, cutpoints)


def sratio(link: LinkFunctions) -> FamilyFunctions:
    """``P(y = k | y >= k) = inverse(cutpoint[k] - eta)``, categories from 0."""
    complement = log_complement_of(link)

    def log_probabilities(distance: Array) -> Array:
        with np.errstate(over="ignore"):
            stops, goes_on = link.log_inverse(distance), complement(distance)
        none = np.zeros((*distance.shape[:-1], 1))
        reached = np.concatenate([none, np.cumsum(goes_on, axis=-1)], axis=-1)
        return np.asarray(reached + np.concatenate([stops, none], axis=-1))

    def cutpoints(probabilities: Array) -> Array:
        reached = np.cumsum(probabilities[..., ::-1], axis=-1)[..., ::-1]
        return np.asarray(link.apply((probabilities / reached)[..., :-1]))

    return _of_distances(link, log_probabilities, cutpoints)


def acat(link: LinkFunctions) -> FamilyFunctions:
    """``P(y = k | y is k or k + 1) = inverse(cutpoint[k] - eta)``, logit link."""

    def log_probabilities(distance: Array) -> Array:
        none = np.zeros((*distance.shape[:-1], 1))
        odds = np.concatenate([none, np.cumsum(-distance, axis=-1)], axis=-1)
        return np.asarray(special.log_softmax(odds, axis=-1))

    def cutpoints(probabilities: Array) -> Array:
        return np.asarray(-np.diff(np.log(probabilities), axis=-1))

    return _of_distances(link, log_probabilities, cutpoints)


def _of_distances(
    link: LinkFunctions,
    log_probabilities: Callable[[Array], Array],
    cutpoints: Callable[[Array], Array],
) -> FamilyFunctions:
    """Return a family of ordered categories.

    Parameters
    ----------
    link
        The link's functions.
    log_probabilities
        Of the categories, ``(..., C)``, from the distances of the linear predictor to
        the cutpoints, ``cutpoint - eta``, ``(..., C - 1)``.
    cutpoints
        The distances for given probabilities.
    """

    def log_density(y: Any, eta: Any, *, cutpoint: Any) -> Any:
        distance = cutpoint - np.expand_dims(eta, -1)
        return _of_category(log_probabilities(distance), y)

    def mean(eta: Any, *, cutpoint: Any) -> Any:
        return np.exp(log_probabilities(cutpoint - np.expand_dims(eta, -1)))

    def draw(rng: np.random.Generator, eta: Any, *, cutpoint: Any) -> Any:
        return _drawn_category(rng, mean(eta, cutpoint=cutpoint))

    return FamilyFunctions(link, log_density, mean, draw, cutpoints=cutpoints)


def categorical(link: LinkFunctions) -> FamilyFunctions:
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
