"""Times, and the covariance of a random walk along them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote
from stanpool.data.design.covariance.labels import repeated
from stanpool.data.entries import level_text


@dataclass(frozen=True, eq=False)
class Times:
    """Times of a process, of which some may have no rows.

    Attributes
    ----------
    labels
        The times as text, in the order of their numbers.
    """

    labels: tuple[str, ...]

    @classmethod
    def of(cls, name: str, given: Any) -> Times:
        """Read times that a user passes by a name.

        Raises
        ------
        DataError
            If one is no finite number, or is there twice.
        """
        return cls.of_levels(f"the times {quote(name)}", list(given))

    @classmethod
    def of_levels(cls, what: str, levels: Sequence[Any]) -> Times:
        """Order levels by their numbers."""
        labels = [level_text(level) for level in levels]
        if twice := repeated(labels):
            raise DataError(f"{what} have {quote(twice[0])} twice. Drop one of them.")
        return cls(tuple(sorted(labels, key=lambda label: _number(what, label))))

    def same_as(self, other: Times) -> bool:
        """Whether another one has the same times."""
        return self.labels == other.labels

    def spelled_as(self, levels: Sequence[Any]) -> Times:
        """Return the times with the labels of levels that are the same numbers.

        Times may be 2 in a list and 2.0 in a column in which others are 2.5.
        """
        texts = map(level_text, levels)
        known = {_number("times", text): text for text in texts}
        return Times(tuple(known.get(_number("times", x), x) for x in self.labels))

    def walk_covariance(self, observed: Sequence[str]) -> Array:
        """Return the covariance of a random walk with the mean 0 at some times.

        The variance of a difference is the time between. Which other times there are
        makes no difference to those that are observed.

        Parameters
        ----------
        observed
            The labels of the times whose deviations have the mean 0, as the level of
            the walk is the intercept.
        """
        times = np.array([_number("times", label) for label in self.labels])
        since = times - times[0]
        seen = set(observed)
        share = np.array([label in seen for label in self.labels], dtype=float)
        center = np.eye(len(times)) - share / share.sum()
        walk = np.minimum.outer(since, since)
        return np.asarray(center @ walk @ center.T)


def are_times(given: Any) -> bool:
    """Whether a user passes a sequence of times."""
    if isinstance(given, np.ndarray):
        return given.ndim == 1
    return isinstance(given, list | tuple | range | pd.Index | pd.Series)


def _number(what: str, label: str) -> float:
    """Return the number of a time."""
    try:
        number = float(label)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(
            f"{what} have {quote(label)}, which is no finite number. Make times "
            "numbers, such as years, or the days since the first."
        )
    return number
