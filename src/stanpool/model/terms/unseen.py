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
    """What a term adds to linear predictors of new levels: a distribution about 0.

    It is normal given its variance. Where several columns have new levels, the variance
    differs between these: it is a chi-squared variable times ``variance``.

    Attributes
    ----------
    variance
        Shape ``(S, rows)``.
    degrees
        The degrees of freedom of the chi-squared variable; 0 without one.
    """

    variance: Array
    degrees: int = 0
