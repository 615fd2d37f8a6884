"""What is known of data that are read block after block, and grows with each block.

Values and combinations of values get numbers as they appear; columns are found to vary
within groups; and the reduced rows of all blocks so far are reduced once more, together
with those of the next block (see ``orthogonal``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.data.compression.chunks import UNIT, ReducedColumns
from stanpool.data.compression.orthogonal import qr_reduce

BLOCK_ROWS = 1 << 18  # rows that are read and reduced together


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
    """The reduced rows of all rows so far."""

    def __init__(self) -> None:
        self.labels: tuple[str, ...] = ()
        self.shift: dict[str, float] = {}
        self.own = 0
        self.values: Array = np.zeros((0, 0))
        self.group = np.zeros(0, dtype=np.intp)
        self.waiting: list[tuple[Array, NDArray[np.intp]]] = []

    def add(
        self,
        labels: Sequence[str],
        own: int,
        values: Array,
        group: NDArray[np.intp],
        scale: NDArray[np.intp],
        weight: Array | None = None,
    ) -> None:
        """Add rows; the first ``own`` columns are those that vary over groups."""
        if tuple(labels) != self.labels:
            self.reduce(scale)
            self._widen(tuple(labels), values[0])
        self.own = own
        values = values - [self.shift[label] for label in labels]
        self.waiting.append(
            (values if weight is None else values * weight[:, None], group)
        )
        if sum(len(each) for each, _ in self.waiting) >= max(
            BLOCK_ROWS, len(self.group)
        ):
            self.reduce(scale)

    def reduce(self, scale: NDArray[np.intp]) -> None:
        """Reduce the rows that wait together with the reduced rows before them."""
        if not self.waiting:
            return
        values = np.concatenate([self.values, *(each for each, _ in self.waiting)])
        group = np.concatenate([self.group, *(each for _, each in self.waiting)])
        self.waiting, q = [], self.own
        reduced = qr_reduce(
            values[:, :q], values[:, q:], group, len(scale), scale=scale
        )
        kept = (reduced.Z != 0).any(axis=2)
        of_groups = np.concatenate([reduced.Z, reduced.X], axis=2)[kept]
        rest = np.pad(reduced.rest, ((0, 0), (q, 0)))
        _, some_group = np.unique(scale, return_index=True)
        self.values = np.concatenate([of_groups, rest])
        self.group = np.append(np.nonzero(kept)[0], some_group[reduced.scale_of_rest])

    def _widen(self, labels: tuple[str, ...], first: Array) -> None:
        """Make room for columns that were not there: all rows so far have 0 in them."""
        if not self.labels:
            self.shift = dict(zip(labels, first.tolist(), strict=True)) | {UNIT: 0.0}
        values = np.zeros((len(self.values), len(labels)))
        for at, label in enumerate(labels):
            self.shift.setdefault(label, 0.0)
            if label in self.labels:
                values[:, at] = self.values[:, self.labels.index(label)]
        self.labels, self.values = labels, values

    def columns(self, scale: NDArray[np.intp]) -> ReducedColumns:
        """Return what is kept."""
        self.reduce(scale)
        shift = np.array([self.shift[label] for label in self.labels])
        return ReducedColumns(self.labels, self.values, shift, self.group)


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
