r"""Monotonic effects of ordered predictors.

The effect of a predictor with :math:`D + 1` ordered levels, counted from 0, is

.. math:: b D \sum_{k=1}^{j} \zeta_k

at level j, where :math:`b` is the mean step between neighbouring levels and
:math:`\zeta` a simplex, the shares of the steps in the whole difference [1]_. It goes
up or down throughout, and the steps are as large as the data say. Here it is

.. math:: b j + b \left(D \sum_{k=1}^{j} \zeta_k - j\right),

a coefficient of the number of the level, as that of any predictor, and departures of
the levels between the ends from a straight line.

References
----------
.. [1] Bürkner and Charpentier (2020). Modelling monotonic effects of ordinal predictors
   in Bayesian regression models. British Journal of Mathematical and Statistical
   Psychology 73(3), 420-451.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.entries import all_whole, rows_where

_FEWEST = 3
_MOST = 100
_LEAST_SHARE = 0.1  # of an estimated step in a mean step


@dataclass(frozen=True)
class Steps:
    """The steps of a monotonic effect.

    Attributes
    ----------
    labels
        One for each step, D of them, by the level that it goes up to.
    """

    labels: tuple[str, ...]

    def departures(self, mean_step: Array, steps: Array) -> Array:
        """Return how far the levels between the ends are from a straight line.

        Parameters
        ----------
        mean_step, steps
            The mean step, shape ``(...)``, and how large the steps are relative to each
            other, ``(..., D)``.

        Returns
        -------
        numpy.ndarray
            Shape ``(..., D - 1)``.
        """
        D = len(self.labels)
        share = np.cumsum(steps, axis=-1) / steps.sum(axis=-1, keepdims=True)
        departures = D * share[..., :-1] - np.arange(1, D)
        return np.asarray(mean_step[..., None] * departures)

    def near(self, mean_step: float, departures: Array) -> Array:
        """Return steps whose departures are near some, none of them 0 or less."""
        D = len(self.labels)
        if mean_step == 0.0:
            return np.ones(D)
        inner = np.arange(1, D) + departures / mean_step
        return np.maximum(np.diff(inner, prepend=0.0, append=D), _LEAST_SHARE)


@dataclass(frozen=True)
class Monotonic:
    """A monotonic effect, as a smooth whose free column is a straight line.

    Attributes
    ----------
    name
        ``mo(x)``.
    levels
        The levels of the predictor in the data of the fit, in order, D + 1 of them.
    """

    name: str
    levels: tuple[Any, ...]

    @property
    def free(self) -> tuple[str, ...]:
        """The label of the number of the level, whose coefficient is the mean step."""
        return (self.name,)

    @property
    def scales(self) -> tuple[tuple[str, int, None, Steps], ...]:
        """The effect's label, the number of levels between the ends, its steps."""
        labels = tuple(f"{self.name}.{level}" for level in self.levels[1:])
        return ((self.name, len(self.levels) - 2, None, Steps(labels)),)

    def columns(self, x: Sequence[Any], by: Any = None) -> tuple[Array, Array]:
        """Return the number of each row's level, and which level between it is.

        Parameters
        ----------
        x
            The predictor.
        by
            Nothing.

        Raises
        ------
        DataError
            If a row has another level.
        """
        place = pd.Index(list(self.levels)).get_indexer(np.asarray(x[0]))
        unseen = rows_where(place < 0)
        if unseen.size:
            given = pd.Series(np.asarray(x[0]))[place < 0].unique().tolist()
            raise DataError(
                f"{self.name} has levels that the model has not seen: "
                f"{quote_list(given)} (rows {quote_list(unseen.tolist())}, counted "
                f"from 0). Its levels are {quote_list(self.levels)}. Drop these rows."
            )
        inner = np.arange(1, len(self.levels) - 1)
        return place[:, None].astype(float), (place[:, None] == inner).astype(float)


def build_monotonic(name: str, column: str, x: Any) -> Monotonic:
    """Build a monotonic effect from the rows of the fit.

    Parameters
    ----------
    name, column
        What the effect and its predictor are called.
    x
        The predictor: an ordered categorical, whole numbers, or truth.

    Raises
    ------
    DataError
        If it has no order, or fewer than three levels.

    Examples
    --------
    >>> build_monotonic("mo(x)", "x", np.array([3.0, 1.0, 2.0, 1.0])).levels
    (1, 2, 3)
    """
    if isinstance(x, pd.Categorical):
        if not x.ordered:
            raise DataError(
                f"{name}: {quote(column)} is a category without an order. State it, "
                f"pd.Categorical(data[{column!r}], categories=[...], ordered=True), "
                "with the levels from the lowest to the highest."
            )
        levels = x.remove_unused_categories().categories.tolist()
    elif not all_whole(x):
        raise DataError(
            f"{name}: {quote(column)} has numbers that are not whole, and a monotonic "
            f"effect has a step from each level to the next. Write s({column}) for a "
            "curve."
        )
    else:
        levels = np.unique(x).astype(int).tolist()
    if len(levels) < _FEWEST:
        raise DataError(
            f"{name}: {quote(column)} has {len(levels)} level(s), and a monotonic "
            f"effect has three or more. Write {column}, or drop it."
        )
    if len(levels) > _MOST:
        raise DataError(
            f"{name}: {quote(column)} has {len(levels)} levels, and a monotonic effect "
            f"has {_MOST} or fewer. Write s({column}) for a curve."
        )
    return Monotonic(name, tuple(levels))
