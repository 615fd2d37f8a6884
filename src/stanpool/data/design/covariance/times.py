"""Times of one series or of several, and random walks along them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stanpool.base.arrays import Array, Indices
from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.design.covariance.labels import labels_beside, repeated
from stanpool.data.design.covariance.roots import AutoregressiveRoot, MatrixRoot
from stanpool.data.entries import level_text

Mask = NDArray[np.bool_]

_LEAST = 1e-10  # relative size of a singular value that counts as 0


@dataclass(frozen=True, eq=False)
class Times:
    """A list of times, of which some may have no rows.

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
        what = f"the times {quote(name)}"
        labels = [level_text(level) for level in list(given)]
        if twice := repeated(labels):
            raise DataError(f"{what} have {quote(twice[0])} twice. Drop one of them.")
        return cls(tuple(sorted(labels, key=lambda label: _number(what, label))))

    def same_as(self, other: Times) -> bool:
        """Whether another one has the same times."""
        return self.labels == other.labels


@dataclass(frozen=True, eq=False)
class Series:
    """Groups that are times: those of one series, or of several.

    Attributes
    ----------
    labels
        The labels of the groups: times, or ``series:time``.
    of
        The series of each, empty text if there is one only, shape ``(J,)``.
    times
        The times, shape ``(J,)``.
    seen
        Whether there are rows of it, shape ``(J,)``.
    """

    labels: tuple[Any, ...]
    of: np.ndarray
    times: Array
    seen: Mask

    @classmethod
    def of_labels(
        cls, column: str, labels: Sequence[Any], seen: Mask, *, several: bool
    ) -> Series:
        """Read the labels of groups.

        Parameters
        ----------
        column
            The column of the times.
        labels, seen
            The groups, and whether there are rows of them.
        several
            Whether labels have a series before the time.
        """
        what = f"times of {quote(column)}"
        split = [level_text(label).rpartition(":") for label in labels]
        if not several:
            split = [("", "", level_text(label)) for label in labels]
        times = np.array([_number(what, time) for _, _, time in split])
        names = np.array([series for series, _, _ in split], dtype=object)
        pairs = zip(names, times.tolist(), strict=True)
        if twice := repeated([f"{x}:{t!r}" for x, t in pairs]):
            time = twice[0].rpartition(":")[2]
            raise DataError(f"{what} have {time} in two spellings. Make them numbers.")
        return cls(tuple(labels), names, times, np.asarray(seen, dtype=bool))

    def with_times(self, column: str, known: Times) -> Series:
        """Return all series at all times of a list, those with rows first.

        Raises
        ------
        DataError
            If times of the data are not in the list.
        """
        listed = {_number("times", label): label for label in known.labels}
        absent = [
            x
            for x, time in zip(self.labels, self.times, strict=True)
            if time not in listed
        ]
        if absent:
            raise DataError(
                f"the list of times of {quote(column)} lacks {len(absent)} of "
                f"{len(self.labels)} groups of the data: {quote_list(absent)}. It has "
                f"{quote_list(known.labels)}. Add them to it, or drop their rows."
            )
        there = set(zip(self.of, self.times, strict=True))
        others = [
            f"{series}:{label}" if series else label
            for series in dict.fromkeys(self.of)
            for time, label in listed.items()
            if (series, time) not in there
        ]
        labels = (*self.labels, *labels_beside(self.labels, others))
        seen = np.arange(len(labels)) < len(self.labels)
        several = any(self.of)
        return Series.of_labels(column, labels, seen, several=several)

    def check_steps(self, column: str) -> None:
        """Refuse times between whole numbers, for a walk that is one of steps."""
        between = self.times != np.round(self.times)
        if between.any():
            raise DataError(
                f"rw2({column}) is a walk in steps of one unit of time, and "
                f"{quote(column)} has {self.times[between][0]:g}. Count time in "
                "steps, such as days since the first; a smooth curve of a predictor "
                f"that has none is s({column})."
            )

    def in_order(self) -> tuple[tuple[Any, ...], AutoregressiveRoot]:
        """Return the labels, each series in the order of time, and their root."""
        names = list(dict.fromkeys(self.of))
        series = np.array([names.index(each) for each in self.of])
        order = np.lexsort((self.times, series))
        gaps = np.diff(self.times[order], prepend=self.times[order[0]])
        gaps[1:] *= np.diff(series[order]) == 0
        return tuple(self.labels[at] for at in order), AutoregressiveRoot(gaps)

    def neighbours(self, known: Mask) -> Iterator[tuple[int, int, int, float, float]]:
        """Yield times that are not known, and those that they are drawn between.

        Parameters
        ----------
        known
            Which groups are known, shape ``(J,)``.

        Yields
        ------
        int, int, int, float, float
            A group, in the order of time; the one before it in its series, which is
            known or was yielded before; the next that is known; and the time to both.
            Where there is none, it is -1 and infinitely far.
        """
        for series in dict.fromkeys(self.of):
            at = np.flatnonzero(self.of == series)
            at = at[np.argsort(self.times[at], kind="stable")]
            for place in np.flatnonzero(~known[at]).tolist():
                later = at[place:][known[at[place:]]]
                before = int(at[place - 1]) if place else -1
                after = int(later[0]) if later.size else -1
                own = self.times[at[place]]
                since = own - self.times[before] if place else np.inf
                until = self.times[after] - own if later.size else np.inf
                yield int(at[place]), before, after, float(since), float(until)

    def walk(self, order: int) -> MatrixRoot:
        """Return a root of the covariance of random walks, one in each series.

        Differences of that order are independent, with variance 1 in one unit of time.
        What they say nothing about, the level of a series and for the second order also
        its straight line, is 0 over the times that have rows, by least squares. Which
        other times there are makes no difference to these.
        """
        columns = []
        for at, changes in self._changes(order):
            seen = self.seen[at]
            directions, _ = _singular(changes[seen])
            rest = changes - changes @ directions @ directions.T
            rest[seen] = 0.0
            others, _ = _singular(rest, np.abs(changes).max(initial=0.0))
            root = np.concatenate([changes @ directions, rest @ others], axis=1)
            columns.append(np.zeros((len(self.labels), root.shape[1])))
            columns[-1][at] = root
        return MatrixRoot(np.concatenate(columns, axis=1))

    def walk_beyond(
        self, order: int, known: Mask
    ) -> Iterator[tuple[Indices, Indices, Array, Array]]:
        """Yield what the walks are at other times, given those that are known.

        Parameters
        ----------
        order
            As of ``walk``.
        known
            Which groups are known, shape ``(J,)``.

        Yields
        ------
        Indices, Indices, Array, Array
            Of each series its known groups, the others in the order of time, the
            weights of the known ones in the mean of the others, and a Cholesky factor
            of the covariance of the others, for a scale of 1.
        """
        for at, changes in self._changes(order):
            old, new = at[known[at]], at[~known[at]]
            if not (old.size and new.size):
                continue
            given, wanted = changes[known[at]], changes[~known[at]]
            directions, size = _singular(given)
            along = wanted @ directions
            weights = (along / np.square(size)) @ (given @ directions).T
            left = wanted - along @ directions.T
            root = np.asarray(np.linalg.qr(left.T, mode="r")).T
            root = root * np.where(np.diag(root) < 0, -1.0, 1.0)
            root = np.pad(root, [(0, 0), (0, len(new) - root.shape[1])])
            yield old, new, weights, root

    def _changes(self, order: int) -> Iterator[tuple[Indices, Array]]:
        """Yield the groups of each series, and what makes them of independent changes.

        The groups are in the order of time, shape ``(T,)``, and the matrix has a row
        for each of them, shape ``(T, K)``.
        """
        for series in dict.fromkeys(self.of):
            at = np.flatnonzero(self.of == series)
            at = at[np.argsort(self.times[at], kind="stable")]
            times, seen = self.times[at], self.seen[at]
            changes = _first_order(times) if order == 1 else _second_order(times)
            free = np.vander(times - times[seen].mean(), order)
            yield at, changes - free @ (np.linalg.pinv(free[seen]) @ changes[seen])


def as_spelled(
    column: str, known: Sequence[Any], labels: Sequence[Any], *, several: bool
) -> tuple[Any, ...]:
    """Return labels of times as others spell the same numbers: 2 or 2.0.

    Parameters
    ----------
    column
        The column of the times.
    known, labels
        The labels to take, and those to spell.
    several
        Whether labels have a series before the time.
    """

    def number(label: Any) -> tuple[str, float]:
        series, _, time = level_text(label).rpartition(":")
        if not several:
            series, time = "", level_text(label)
        return series, _number(f"times of {quote(column)}", time)

    spelled = {number(label): label for label in known}
    return tuple(spelled.get(number(label), label) for label in labels)


def are_times(given: Any) -> bool:
    """Whether a user passes a sequence of times."""
    if isinstance(given, np.ndarray):
        return given.ndim == 1
    return isinstance(given, list | tuple | range | pd.Index | pd.Series)


def _first_order(times: Array) -> Array:
    """Return a walk as sums of its changes, shape ``(T, T - 1)``."""
    return np.tri(len(times), len(times) - 1, -1) * np.sqrt(np.diff(times))


def _second_order(times: Array) -> Array:
    """Return a walk of the second order as sums of changes, shape ``(T, 2 T - 2)``.

    In a gap of g steps the slope changes by g independent numbers. Of these the walk at
    the end of the gap has the sum with the weights g - 1, ..., 1, 0: it is (g - 1) / 2
    times the change of the slope, and a rest with the variance g (g^2 - 1) / 12.
    """
    gaps, after = np.diff(times), np.tri(len(times), len(times) - 1, -1)
    since = np.subtract.outer(times, times[1:])
    of_slopes = after * np.sqrt(gaps) * (since + (gaps - 1) / 2)
    rest = after * np.sqrt(gaps * (np.square(gaps) - 1) / 12)
    return np.concatenate([of_slopes, rest], axis=1)


def _singular(matrix: Array, size: float = 0.0) -> tuple[Array, Array]:
    """Return the right singular vectors as columns, and the singular values.

    Those that are 0, as far as numbers of that size can tell, are left out.
    """
    _, values, vectors = np.linalg.svd(matrix, full_matrices=False)
    kept = values > _LEAST * max(size, values.max(initial=0.0))
    return vectors[kept].T, values[kept]


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
