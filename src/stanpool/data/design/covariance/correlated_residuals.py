"""Subjects whose rows have correlated residuals, and what tells these rows apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array, Indices
from stanpool.language.formulas.residual_correlation import (
    ResidualCorrelation,
    ResidualStructure,
)


@dataclass(frozen=True, eq=False)
class CorrelatedResiduals:
    """The subjects of rows, whose residuals are correlated within these.

    Attributes
    ----------
    stated
        The correlation, as the model states it.
    labels
        The subjects.
    index
        The subject of each row, counted from 0, shape ``(N,)``.
    times
        When each row of a subject is, or the number of its visit, shape ``(N,)``.
    visits
        The labels of visits, in their order; empty where rows have times.
    """

    stated: ResidualCorrelation
    labels: tuple[Any, ...]
    index: Indices
    times: Array
    visits: tuple[Any, ...] = ()

    @property
    def kind(self) -> ResidualStructure:
        """How residuals are correlated."""
        return self.stated.kind

    @property
    def has_times(self) -> bool:
        """Whether the data say which rows of a subject are which."""
        return self.stated.time is not None

    @property
    def sizes(self) -> Indices:
        """How many rows each subject has."""
        return np.bincount(self.index, minlength=len(self.labels))

    @property
    def order(self) -> Indices:
        """The rows, those of each subject together in the order of time."""
        return np.lexsort((self.times, self.index))

    @property
    def place(self) -> Indices:
        """How many rows are before each in its subject, for rows in order."""
        starts = np.flatnonzero(np.diff(self.index, prepend=-1))
        count = np.arange(len(self.index))
        return np.asarray(count - starts[np.searchsorted(starts, count, "right") - 1])

    @property
    def gaps(self) -> Array:
        """The time since the row before in its subject, or 0, for rows in order."""
        gaps = np.diff(self.times, prepend=self.times[:1])
        return np.where(self.place > 0, gaps, 0.0)

    def take(self, rows: Any) -> CorrelatedResiduals:
        """Return the same of some rows, with all subjects."""
        return replace(self, index=self.index[rows], times=self.times[rows])

    def joined(self, other: CorrelatedResiduals) -> CorrelatedResiduals:
        """Return these rows and, after them, others, whose labels are the same."""
        return replace(
            other,
            index=np.concatenate([self.index, other.index]),
            times=np.concatenate([self.times, other.times]),
        )

    def rows_with(self, rows: Any) -> Indices:
        """Return all rows of the subjects of some rows, in the order of the data."""
        return np.flatnonzero(np.isin(self.index, self.index[rows]))

    def patterns(self, later: NDArray[np.bool_] | None = None) -> Iterator[Indices]:
        """Yield the rows of subjects whose correlation matrices are the same.

        Parameters
        ----------
        later
            Which rows come after all others of their subject, shape ``(N,)``.

        Yields
        ------
        Indices
            A row for each subject, which has its rows in the order of time.
        """
        last = np.zeros(len(self.index), dtype=bool) if later is None else later
        order = np.lexsort((self.times, last, self.index))
        parts = np.split(order, np.flatnonzero(np.diff(self.index[order])) + 1)
        alike: dict[bytes, list[Indices]] = {}
        for rows in parts if len(order) else ():
            times = np.zeros(0) if self.kind.is_exchangeable else self.times[rows]
            if self.kind.is_of_times:
                times = times - times[0]
            key = np.concatenate([last[rows], times]).tobytes()
            alike.setdefault(key, []).append(rows)
        yield from map(np.stack, alike.values())

    def correlations(self, parameters: Mapping[str, Array], rows: Indices) -> Array:
        """Return the correlation matrix of some rows of one subject.

        Parameters
        ----------
        parameters
            The parameters by name, each with an axis for rows: ``residual_rho`` is of
            shape ``(..., 1)``.
        rows
            The rows, n of them.

        Returns
        -------
        numpy.ndarray
            Shape ``(..., 1, n, n)``.
        """
        rho = np.asarray(parameters[self.kind.parameter])[..., None, None]
        if self.kind.is_exchangeable:
            same = np.eye(len(rows))
            return np.asarray(same + rho * (1.0 - same))
        times = self.times[rows]
        return np.asarray(np.power(rho, np.abs(np.subtract.outer(times, times))))
