"""What is known of data that are read block after block, and grows with each block.

Values and combinations of values get numbers as they appear; columns are found to vary
within groups; and the reduced rows of all blocks so far are reduced once more, together
with those of the next block (see ``orthogonal``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.data.compression.orthogonal import qr_reduce
from stanpool.data.statistics.statistics import UNIT, ReducedColumns

BLOCK_ROWS = 1 << 20  # rows that are read and reduced together


class NumberedValues:
    """Values, numbered in the order in which they are met."""

    def __init__(self) -> None:
        self.known: pd.Index[Any] | None = None

    def __len__(self) -> int:
        """Count the values."""
        return 0 if self.known is None else len(self.known)

    def of(self, values: Any) -> NDArray[np.intp]:
        """Return the numbers of values; those that are new get the next ones."""
        codes, levels = pd.factorize(values)
        found: pd.Index[Any] = pd.Index(levels)
        if self.known is None:
            self.known = found[:0]
        place = self.known.get_indexer(found)
        is_new = place < 0
        place[is_new] = len(self.known) + np.arange(int(is_new.sum()))
        self.known = self.known.append(found[is_new])
        return np.asarray(place[codes], dtype=np.intp)


class NumberedCombinations:
    """Combinations of numbers, numbered in the order in which they are met."""

    def __init__(self) -> None:
        self.steps: list[NumberedValues] = []
        self.count = 0

    def of(self, columns: Sequence[NDArray[np.intp]], rows: int) -> NDArray[np.intp]:
        """Return the number of the combination in each row."""
        combined = columns[0] if columns else np.zeros(rows, dtype=np.intp)
        for step, column in enumerate(columns[1:]):
            if step == len(self.steps):
                self.steps.append(NumberedValues())
            combined = self.steps[step].of((combined << 32) + column)
        self.count = max(self.count, int(combined.max()) + 1)
        return combined


class GrowingReduction:
    """The reduced rows of all rows so far.

    Attributes
    ----------
    values, group
        A row for each column, minus ``shift``, shape ``(D, P)``, and the group of each
        of these P rows.
    waiting, groups
        The same of rows that are not reduced yet; the first ones follow a copy of
        ``values``.
    """

    def __init__(self) -> None:
        self.labels: tuple[str, ...] = ()
        self.shift: dict[str, float] = {}
        self.own = 0
        self.values: Array = np.zeros((0, 0))
        self.group = np.zeros(0, dtype=np.intp)
        self.waiting: list[Array] = []
        self.groups: list[NDArray[np.intp]] = []

    def add(
        self,
        labels: Sequence[str],
        own: int,
        columns: Mapping[str, Array],
        group: NDArray[np.intp],
        scale: NDArray[np.intp],
        weight: Array | None = None,
    ) -> None:
        """Add rows; the first ``own`` labels are of columns that vary over groups."""
        first = {label: float(column[0]) for label, column in columns.items()}
        self._make_room(tuple(labels), own, first, scale)
        # A level that these rows do not have has a column of zeros.
        nothing = np.zeros(len(group))
        values = self._room(len(group))
        for row, label in zip(values, labels, strict=True):
            np.subtract(columns.get(label, nothing), self.shift[label], out=row)
            if weight is not None:
                row *= weight
        self._reduce_if_many(group, scale)

    def join(
        self,
        labels: Sequence[str],
        own: int,
        other: ReducedColumns,
        group: NDArray[np.intp],
        scale: NDArray[np.intp],
    ) -> None:
        """Add the reduced rows of other data, whose groups have these numbers here."""
        shift = dict(zip(other.labels, other.shift.tolist(), strict=True))
        self._make_room(tuple(labels), own, shift, scale)
        ones = other.values[:, other.labels.index(UNIT)]
        values = self._room(len(group))
        for row, label in zip(values, labels, strict=True):
            row[:] = 0.0
            if label in shift:
                row += other.values[:, other.labels.index(label)]
            row -= (self.shift[label] - shift.get(label, 0.0)) * ones
        self._reduce_if_many(group, scale)

    def columns(self, scale: NDArray[np.intp]) -> ReducedColumns:
        """Return what is kept."""
        self._reduce(scale)
        shift = np.array([self.shift[label] for label in self.labels])
        values = np.ascontiguousarray(self.values.T)
        return ReducedColumns(self.labels, values, shift, self.group)

    def _room(self, rows: int) -> Array:
        """Return where to write rows; the first ones follow the rows so far."""
        before = 0 if self.waiting else len(self.group)
        values = np.empty((len(self.labels), before + rows))
        values[:, :before] = self.values[:, :before]
        self.waiting.append(values)
        return values[:, before:]

    def _reduce_if_many(self, group: NDArray[np.intp], scale: NDArray[np.intp]) -> None:
        """Reduce the rows that wait if they are enough to be worth it."""
        self.groups.append(group)
        if sum(map(len, self.groups)) > max(BLOCK_ROWS // 2, len(self.group)):
            self._reduce(scale)

    def _reduce(self, scale: NDArray[np.intp]) -> None:
        """Reduce the rows that wait together with the reduced rows before them."""
        if not self.waiting:
            return
        whole, *more = self.waiting
        values = np.concatenate(self.waiting, axis=1) if more else whole
        group = np.concatenate([self.group, *self.groups])
        self.waiting, self.groups, q = [], [], self.own
        reduced = qr_reduce(values[:q].T, values[q:].T, group, len(scale), scale=scale)
        kept = (reduced.Z != 0).any(axis=2)
        of_groups = np.concatenate([reduced.Z, reduced.X], axis=2)[kept]
        rest = np.pad(reduced.rest, ((0, 0), (q, 0)))
        _, some_group = np.unique(scale, return_index=True)
        self.values = np.concatenate([of_groups, rest]).T
        self.group = np.append(np.nonzero(kept)[0], some_group[reduced.scale_of_rest])

    def _make_room(
        self,
        labels: tuple[str, ...],
        own: int,
        shift: Mapping[str, float],
        scale: NDArray[np.intp],
    ) -> None:
        """Make room for columns that were not there: all rows so far have 0 in them."""
        if labels != self.labels:
            self._reduce(scale)
            if not self.labels:
                self.shift = {**shift, UNIT: 0.0}
            values = np.zeros((len(labels), len(self.group)))
            for row, label in zip(values, labels, strict=True):
                self.shift.setdefault(label, 0.0)
                if label in self.labels:
                    row += self.values[self.labels.index(label)]
            self.labels, self.values = labels, values
        self.own = own


class VaryingColumns:
    """Which columns vary within the groups of a factor."""

    def __init__(self) -> None:
        self.value_of: dict[str, Array | None] = {}
        self.groups = 0

    def rows(
        self, columns: dict[str, Array], group: NDArray[np.intp], groups: int
    ) -> list[int]:
        """Return rows in which columns first differ from others of their group."""
        found = []
        for label, column in columns.items():
            values = self.value_of.get(label, np.zeros(self.groups))
            if values is None:
                continue
            if groups > len(values):
                new = np.flatnonzero(group >= len(values))[::-1]
                values = np.append(values, np.zeros(groups - len(values)))
                values[group[new]] = column[new]
            varies = values[group] != column
            self.value_of[label] = None if varies.any() else values
            if varies.any():
                found.append(int(np.argmax(varies)))
        self.groups = groups
        return found
