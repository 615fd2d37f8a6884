"""Predictors whose values are not all known, as columns of a design matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote


@dataclass(frozen=True)
class Uncertain:
    """A predictor whose values are not all known, as a column of what was observed.

    Attributes
    ----------
    name
        Its label, ``me(x, sd)`` or ``mi(x)``.
    mean
        The mean of what was observed in the data of the fit, which stands in the place
        of what is missing.
    """

    name: str
    mean: float

    @property
    def free(self) -> tuple[str, ...]:
        """The label of the column."""
        return (self.name,)

    @property
    def scales(self) -> tuple[tuple[str, int, None, None], ...]:
        """Nothing: there are no columns whose coefficients have a scale."""
        return ()

    def columns(self, x: Sequence[Array], by: object = None) -> tuple[Array, Array]:
        """Return the column of what was observed, and no others.

        Parameters
        ----------
        x
            What was observed, with NaN where it is missing.
        by
            Nothing.
        """
        values = np.asarray(x[0], dtype=float)
        filled = np.where(np.isnan(values), self.mean, values)
        return filled[:, None], np.empty((len(filled), 0))


def build_uncertain(name: str, column: str, x: Array) -> Uncertain:
    """Build the column from the rows of the fit.

    Parameters
    ----------
    name, column
        The label of the predictor, and the column.
    x
        What was observed, with NaN where it is missing.

    Raises
    ------
    DataError
        If fewer than two different values were observed.

    Examples
    --------
    >>> build_uncertain("mi(x)", "x", np.array([1.0, np.nan, 3.0])).mean
    2.0
    """
    observed = x[~np.isnan(x)]
    if len(np.unique(observed)) < 2:
        raise DataError(
            f"{name}: {quote(column)} has {len(observed)} value(s) that were observed, "
            "and they do not differ, so that nothing is learned about the others. "
            "Drop it."
        )
    return Uncertain(name, float(observed.mean()))
