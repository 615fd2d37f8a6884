"""Ordered and unordered categories."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.base.arrays import Array
from stanpool.families.functions import (
    FamilyFunctions,
    LinkFunctions,
    log1m_exp,
)


def ordinal(link: LinkFunctions) -> FamilyFunctions:
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
        return above + log1m_exp(below - above)

    def log_density(y: Any, eta: Any, *, cutpoint: Any) -> Any:
        return _of_category(log_probabilities(eta, cutpoint), y)

    def mean(eta: Any, *, cutpoint: Any) -> Any:
        return np.exp(log_probabilities(eta, cutpoint))

    def draw(rng: np.random.Generator, eta: Any, *, cutpoint: Any) -> Any:
        return _drawn_category(rng, mean(eta, cutpoint=cutpoint))

    return FamilyFunctions(link, log_density, mean, draw)


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
