"""Coefficients of groups that a model has not seen.

Each group has random numbers of its own, which hang on the seed and the group's label
alone: the same in every chunk of rows, in every order of rows, and in every call.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stanpool.base.arrays import Array, Indices
from stanpool.base.options import NewGroups
from stanpool.data.design.design import Side

Given = Mapping[tuple[str, str, Any], Array]
"""Deviations of groups by parameter, factor and label, shape ``(S, D, Q)`` each."""


@dataclass(frozen=True, eq=False)
class UnseenGroups:
    """Where coefficients of groups come from that a model has not seen.

    Attributes
    ----------
    source
        ``"population"``, ``"resample"`` for those of a fitted group at each draw, or
        ``"zero"`` for an average group.
    seed
        Of the random numbers.
    given
        Draws of groups that are known from elsewhere, by parameter, factor and label:
        deviations, shape ``(S, D, Q)``.
    """

    source: NewGroups = "population"
    seed: int = 0
    given: Given = field(default_factory=dict)

    def stream(self, *what: Any) -> np.random.Generator:
        """Return a stream of random numbers that is something's own."""
        digest = hashlib.sha256(repr(what).encode()).digest()
        return np.random.default_rng([self.seed, int.from_bytes(digest[:16])])

    def fitted_group(self, factor: str, label: Any, known: Array) -> Indices:
        """Choose a fitted group at each draw in the place of a new one, ``(S, 1)``.

        Parameters
        ----------
        factor, label
            The new group.
        known
            What fitted groups have, shape ``(S, J, ...)``.
        """
        chosen = self.stream("group", factor, label)
        return np.asarray(chosen.integers(known.shape[1], size=(len(known), 1)))


@dataclass(frozen=True, eq=False)
class NewLevels:
    """What a term adds to linear predictors of new levels: a distribution.

    It is normal given its variance. Where several columns have new levels, the variance
    differs between these: it is a chi-squared variable times ``variance``.

    Attributes
    ----------
    variance
        Shape ``(S, rows)``; of an even mixture of normal distributions ``(points, S,
        rows)``.
    degrees
        The degrees of freedom of the chi-squared variable; 0 without one.
    mean
        The mean, in the shape of the variance; None for 0.
    """

    variance: Array
    degrees: int = 0
    mean: Array | None = None

    @property
    def parts(self) -> list[tuple[Array | float, Array]]:
        """The means and the variances of the normal distributions that are mixed."""
        mean = np.zeros(()) if self.mean is None else self.mean
        if self.variance.ndim == 2:
            return [(mean, self.variance)]
        means = np.broadcast_to(mean, self.variance.shape)
        return [*zip(means, self.variance, strict=True)]

    @property
    def average(self) -> Array | float:
        """The mean of the distribution, shape ``(S, rows)`` if it is not 0."""
        if self.mean is None:
            return 0.0
        return self.mean if self.mean.ndim == 2 else np.asarray(self.mean.mean(axis=0))


def with_new_levels(
    side: Side, known: Array, scale: Array, unseen: UnseenGroups
) -> Array:
    """Append scores or loadings of new labels to those of fitted ones."""
    new = []
    for label in side.labels[known.shape[1] :]:
        if unseen.source == "zero":
            new.append(np.zeros_like(known[:, 0]))
        elif unseen.source == "resample":
            chosen = unseen.fitted_group(side.column, label, known)
            new.append(np.take_along_axis(known, chosen[..., None], axis=1)[:, 0])
        else:
            z = unseen.stream("latent", side.column, label)
            new.append(scale * z.standard_normal(known[:, 0].shape))
    return np.concatenate([known, *(each[:, None] for each in new)], axis=1)
