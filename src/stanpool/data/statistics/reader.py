"""What a likelihood needs of data, gathered one block of rows after the other.

The reduced rows of all blocks so far are reduced once more, together with those of the
next block (see ``orthogonal``); cells get larger counts (see ``cells``). A *specimen*
of the data is kept as well, a few rows that show everything that determines the
structure of a model: each group, each level of each factor, and for each predictor that
varies within groups two rows in which it does. So the structure is read from a data
frame as always, and the numbers from the reduced rows. What was gathered elsewhere
joins in the same way: its specimen is a block of rows that are counted already.

Levels that appear late are no problem: all levels are columns of their own until the
end, when the design's columns follow from them. The values of the first row are
subtracted from all rows, so that no digits are lost where means are large and spreads
are small.

References
----------
.. [1] Demmel, Grigori, Hoemmen and Langou (2012). Communication-optimal parallel and
   sequential QR and LU factorizations. SIAM J. Sci. Comput. 34(1): block after block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stanpool.base.arrays import LARGE_ARRAY, Array
from stanpool.base.errors import DataError, quote
from stanpool.data.columns import names_in_terms, used_columns
from stanpool.data.design.outcome import (
    Evaluated,
    build_offset,
    build_outcome,
    build_trials,
    expressions,
    likelihood_weights,
    standard_errors,
)
from stanpool.data.entries import as_before, type_of
from stanpool.data.matrix.evaluation import is_category
from stanpool.data.matrix.model_matrix import column_of, wide_columns
from stanpool.data.statistics.growing import (
    GrowingReduction,
    NumberedCombinations,
    NumberedValues,
    VaryingColumns,
)
from stanpool.data.statistics.statistics import (
    OFFSET,
    OUTCOME,
    UNIT,
    LevelOrder,
    Statistics,
)
from stanpool.language.expression import parse
from stanpool.language.model_spec import ModelSpec
from stanpool.language.vocabulary import calls

_MOST_CELLS = 1 << 22  # combinations of predictors and groups that are kept
_MOST_VALUES = 10_000  # different numbers of a column that may be levels in C()
_FIRST_ROWS = 100  # first rows of the data that the specimen has in any case

Codes = Mapping[str, NDArray[np.intp]]


class Reader:
    """All that is known of the data of a model so far."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.rows = spec, 0
        self.functions = dict(spec.functions)
        self.kinds: dict[str, str] = {}
        self.orders: dict[str, LevelOrder] = {}
        self.numbers: dict[str, NumberedValues] = {}
        self.combinations = NumberedCombinations()
        self.factors = [
            (term, NumberedCombinations(), VaryingColumns()) for term in spec.groups
        ]
        self.sizes = np.zeros(0, dtype=np.int64)
        self.first = np.zeros(0, dtype=np.int64)
        self.met: dict[str, int] = {}
        self.specimen: list[pd.DataFrame] = []
        self.scale = np.zeros(0, dtype=np.intp)
        self.has_zero: set[str] = set()
        self.levels: list[int] | None = None  # when these labels were found
        self.width = 0
        self.of_groups: dict[str, None] = {}
        self.others: dict[str, None] = {}
        self.reduced, self.weighted = GrowingReduction(), GrowingReduction()
        self.sums: list[Array] = [np.zeros(0), np.zeros(0), np.zeros(0)]

    def add(self, block: pd.DataFrame, counts: NDArray[np.int64] | None = None) -> None:
        """Add the rows of a block, each of which may stand for several equal ones."""
        frame = used_columns(self.spec, block, copy=False)
        for name, column in list(frame.items()):
            same = as_before(str(name), column, self.kinds.get(str(name), ""))
            if same is not column:
                frame[name] = same
        where = f"rows {self.rows} to {self.rows + len(frame) - 1}, counted from 0,"
        types = zip(block, block.dtypes, strict=True)
        orders = {str(name): LevelOrder.of(dtype) for name, dtype in types}
        codes, group = self._numbered_rows(frame, orders, where)
        evaluated = {
            text: column_of(text, frame, self.functions).values
            for text in expressions(self.spec)
        }
        if is_category(evaluated.get(self.spec.outcome)):
            raise DataError(
                f"outcome {quote(self.spec.outcome)} is not numeric, and the levels "
                "of other chunks are not known yet. Make it numbers, 0 and 1."
            )
        y, _ = build_outcome(self.spec, frame, evaluated)
        kept = [self._first_of_groups(group, self.rows + np.arange(len(frame)))]
        if self.spec.is_gaussian:
            self.sizes = _sum(self.sizes, np.bincount(group))
            kept += self._add_gaussian(frame, codes, group, y, evaluated)
        else:
            each = np.ones(len(frame)) if counts is None else counts
            trials = build_trials(self.spec, evaluated, y)
            trials = np.ones(len(frame)) if trials is None else trials
            self.sizes = _sum(self.sizes, np.bincount(group, each))
            self.sums = [
                _sum(sums, np.bincount(group, each * values))
                for sums, values in zip(
                    self.sums, (y, trials, np.square(y.astype(float))), strict=True
                )
            ]
        self._keep(frame, codes, kept, self.rows + np.arange(len(frame)))
        self.rows += len(frame) if counts is None else int(counts.sum())
        self._refuse_many_cells()

    def join(self, other: Statistics) -> None:
        """Add what was kept of other data of the same model."""
        if not other.rows:
            return
        frame = other.specimen.reset_index(drop=True)
        where = f"{other.rows:,} rows from {other.named}"
        codes, group = self._numbered_rows(frame, other.orders, where)
        numbers = self.rows + other.specimen.index.to_numpy()
        kept = [self._first_of_groups(group, numbers)]
        # The number here of each combination of groups there.
        place = group[other.first]
        self.sizes = _sum(self.sizes, np.bincount(place, other.sizes))
        if other.reduced is not None:
            kept += self._add_specimen(frame, codes, group)
            labels, own = self._labels(other.reduced.labels)
            for growing, reduced in (
                (self.reduced, other.reduced),
                (self.weighted, other.weighted),
            ):
                if reduced is not None:
                    growing.join(labels, own, reduced, place[reduced.group], self.scale)
        else:
            assert other.sums is not None
            self.sums = [
                _sum(sums, np.bincount(place, more))
                for sums, more in zip(self.sums, other.sums, strict=True)
            ]
        self._keep(frame, codes, kept, numbers)
        self.rows += other.rows
        self._refuse_many_cells()

    def finish(self, named: str, source: Any) -> Statistics:
        """Return what is kept of the data."""
        if not self.rows:
            return Statistics.nothing(self.spec, named, source)
        specimen = pd.concat(self.specimen)
        for name in self.categorical:
            specimen[name] = self._in_order(name, specimen[name].to_numpy())
        reduced, order = None, np.arange(len(self.first))
        if self.spec.is_gaussian:
            reduced = self.reduced.columns(self.scale)
        else:
            order = np.argsort(self.first)
        return Statistics(
            spec=self.spec,
            named=named,
            source=source,
            rows=self.rows,
            specimen=specimen,
            first=np.searchsorted(specimen.index.to_numpy(), self.first[order]),
            sizes=self.sizes[order],
            orders={name: self.orders[name] for name in self.categorical},
            reduced=reduced,
            weighted=self.weighted.columns(self.scale) if self._is_weighted else None,
            sums=None if self.spec.is_gaussian else np.array(self.sums)[:, order],
        )

    @property
    def categorical(self) -> list[str]:
        """The columns that have levels."""
        levelled = ("text", "whole numbers")
        return [name for name, kind in self.kinds.items() if kind in levelled]

    @property
    def _is_weighted(self) -> bool:
        return self.spec.se is not None or self.spec.weights is not None

    def _key(self) -> list[str]:
        """Name the columns whose combinations are counted."""
        spec, names = self.spec, list[str]()
        if not spec.is_gaussian:
            texts = [*spec.all_terms, *spec.offsets]
            texts += [spec.exposure] if spec.exposure is not None else []
            names += names_in_terms(texts, set(self.kinds))
        for term in spec.groups:
            names += [*term.key, *(() if spec.is_gaussian else term.weights)]
        names += [spec.residual] if spec.residual is not None else []
        return list(dict.fromkeys(names))

    def _numberable(self) -> list[str]:
        """Name the columns of which all values are known."""
        names = [*self.categorical, *self._key()]
        for text in self.spec.all_terms if self.spec.is_gaussian else ():
            # Numbers may be levels there, unless they are too many.
            if any(call.name == "C" for call in calls(parse(text.removeprefix("-")))):
                for name in names_in_terms([text], set(self.kinds)):
                    if len(self.numbers.get(name, ())) <= _MOST_VALUES:
                        names.append(name)
        return list(dict.fromkeys(names))

    def _numbered_rows(
        self, frame: pd.DataFrame, orders: Mapping[str, LevelOrder], where: str
    ) -> tuple[Codes, NDArray[np.intp]]:
        """Return the numbers of values, and of each row's combination of groups."""
        self._check_types(frame, orders, where)
        codes = {name: self._numbered(name, frame[name]) for name in self._numberable()}
        key = [codes[name] for name in self._key()]
        return codes, self.combinations.of(key, len(frame))

    def _numbered(self, name: str, column: pd.Series[Any]) -> NDArray[np.intp]:
        """Return the numbers of a column's values."""
        numbers = self.numbers.setdefault(name, NumberedValues())
        if name in self.categorical:
            return numbers.of(column.cat.categories)[column.cat.codes]
        return numbers.of(column.to_numpy())

    def _check_types(
        self, frame: pd.DataFrame, orders: Mapping[str, LevelOrder], where: str
    ) -> None:
        """Refuse a column that is of another type than in the rows before."""
        for label, column in frame.items():
            name, kind = str(label), type_of(column)
            before = self.kinds.setdefault(name, kind)
            if kind != before:
                raise DataError(
                    f"column {quote(name)} holds {kind} in {where} and {before} in "
                    "those before. Give it one type in all chunks."
                )
            order = orders.get(name, LevelOrder())
            joined = self.orders.setdefault(name, order).joined(order)
            if joined is None:
                raise DataError(
                    f"column {quote(name)} is ordered, and its levels in {where} "
                    "differ from those before. Give it all levels in all chunks."
                )
            self.orders[name] = joined

    def _refuse_many_cells(self) -> None:
        """Refuse data of which nearly all rows are cells of their own."""
        if self.spec.is_gaussian or len(self.sizes) <= _MOST_CELLS:
            return
        widest = max(self._key(), key=lambda name: len(self.numbers[name]))
        raise DataError(
            f"{self.spec.family} outcomes are collected into cells, rows with the "
            f"same predictors and groups, and there are more than {_MOST_CELLS:,} "
            f"after {self.rows:,} rows; {quote(widest)} has "
            f"{len(self.numbers[widest]):,} values. Round it or make it a few "
            "levels; or pass a data frame of a sample of the rows."
        )

    def _in_order(self, name: str, codes: NDArray[np.intp]) -> pd.Categorical:
        """Return numbered levels in the order that they have in a data frame."""
        known = self.numbers[name].known
        assert known is not None
        order = self.orders[name].argsort(known)
        return pd.Categorical.from_codes(
            np.argsort(order)[codes],
            categories=known[order],
            ordered=self.orders[name].ordered,
        )

    def _first_of_groups(
        self, group: NDArray[np.intp], numbers: NDArray[np.int64]
    ) -> NDArray[np.intp]:
        """Return the first rows of combinations of groups that are new."""
        rows = _first_of_new(group, len(self.first))
        self.first = np.append(self.first, numbers[rows])
        return rows

    def _keep(
        self,
        frame: pd.DataFrame,
        codes: Codes,
        kept: list[NDArray[np.intp]],
        numbers: NDArray[np.int64],
    ) -> None:
        """Add rows to the specimen, with the numbers that they have among all."""
        if self.spec.is_gaussian:
            kept = [*kept, np.flatnonzero(numbers < _FIRST_ROWS)]
        rows = np.unique(np.concatenate(kept)).astype(np.int64)
        if not len(rows):
            return
        some = frame.iloc[rows].copy()
        for name in self.categorical:
            some[name] = codes[name][rows]
        self.specimen.append(some.set_axis(numbers[rows], axis=0))

    def _add_gaussian(
        self,
        frame: pd.DataFrame,
        codes: Codes,
        group: NDArray[np.intp],
        y: Array,
        evaluated: Evaluated,
    ) -> list[NDArray[np.intp]]:
        """Add rows of a gaussian model; return those in which something is new."""
        errors = standard_errors(self.spec, evaluated)
        weights = likelihood_weights(self.spec, evaluated)
        offset = build_offset(self.spec, evaluated)
        weight = None if weights is None else np.sqrt(weights)
        if errors is not None:
            weight = 1 / errors if weight is None else weight / errors
        kept = [self._new_values(codes)]
        factors = self._groups_of_factors(codes, group)
        for part, columns in self._wide_parts(frame.copy(deep=False), codes):
            index = [each[part] for each in factors]
            kept.append(part.start + self._changes(frame, part, columns, index))
            columns[OUTCOME] = y[part]
            if offset is not None:
                columns[OFFSET] = offset[part]
                columns[OUTCOME] = y[part] - offset[part]
            labels, own = self._labels(columns)
            added = labels, own, columns, group[part], self.scale
            self.reduced.add(*added)
            if weight is not None:
                self.weighted.add(*added, weight[part])
        return kept

    def _add_specimen(
        self, frame: pd.DataFrame, codes: Codes, group: NDArray[np.intp]
    ) -> list[NDArray[np.intp]]:
        """Take note of a specimen's rows; return those in which something is new."""
        kept = [self._new_values(codes)]
        factors = self._groups_of_factors(codes, group)
        for part, columns in self._wide_parts(frame.copy(deep=False), codes):
            index = [each[part] for each in factors]
            kept.append(part.start + self._changes(frame, part, columns, index))
        return kept

    def _new_values(self, codes: Codes) -> NDArray[np.intp]:
        """Return rows that have values which no row before had."""
        kept = [np.zeros(0, dtype=np.intp)]
        for name, code in codes.items():
            kept.append(_first_of_new(code, self.met.get(name, 0)))
            self.met[name] = len(self.numbers[name])
        return np.concatenate(kept)

    def _groups_of_factors(
        self, codes: Codes, group: NDArray[np.intp]
    ) -> list[NDArray[np.intp]]:
        """Return the groups of each factor, and take note of their residual scales."""
        self.scale = _sum(self.scale, np.zeros(len(self.sizes), dtype=np.intp))
        if self.spec.residual is not None:
            self.scale[group] = codes[self.spec.residual]
        return [
            combinations.of([codes[name] for name in term.key], len(group))
            for term, combinations, _ in self.factors
        ]

    def _wide_parts(
        self, frame: pd.DataFrame, codes: Codes
    ) -> Iterator[tuple[slice, dict[str, Array]]]:
        """Yield the columns that terms are made of, for a part of the rows at a time.

        Factors have a column for each level that was met so far.
        """
        texts = self.spec.all_terms
        named = set(names_in_terms(texts, set(self.kinds)))
        levelled = [name for name in self.categorical if name in named]
        for name in levelled:
            known = self.numbers[name].known
            frame[name] = pd.Categorical.from_codes(codes[name], known)
        levels = [len(self.numbers[name]) for name in levelled]
        if levels != self.levels:
            of_groups = [text for term in self.spec.groups for text in term.terms]
            own = wide_columns(of_groups, frame.iloc[:1], self.functions)
            self.of_groups |= dict.fromkeys(own)
            self.width = len(wide_columns(texts, frame.iloc[:1], self.functions))
            self.levels = levels
        step = max(_FIRST_ROWS, LARGE_ARRAY // self.width)
        for start in range(0, len(frame), step):
            part = slice(start, start + step)
            some = frame if step >= len(frame) else frame.iloc[part]
            yield part, wide_columns(texts, some, self.functions)

    def _changes(
        self,
        frame: pd.DataFrame,
        part: slice,
        columns: Mapping[str, Array],
        factors: list[NDArray[np.intp]],
    ) -> NDArray[np.intp]:
        """Return rows in which a column is first 0, or differs from its group's."""
        rows: list[int] = []
        columns = {name: each for name, each in columns.items() if name != UNIT}
        for label in columns.keys() - self.has_zero:
            if not columns[label].all():
                self.has_zero.add(label)
                rows.append(int(np.argmin(columns[label] != 0)))
        named = set(names_in_terms(self.spec.all_terms, set(self.kinds)))
        numeric = named.difference(columns, self.categorical)
        watched = {
            **columns,
            **{name: frame[name].to_numpy()[part] for name in numeric},
        }
        for (_, _, varying), index in zip(self.factors, factors, strict=True):
            rows += varying.rows(watched, index, int(index.max()) + 1)
        return np.array(rows, dtype=np.intp)

    def _labels(self, labels: Iterable[str]) -> tuple[tuple[str, ...], int]:
        """Return the labels of all columns so far, and how many vary over groups.

        These come first, and the outcome last.
        """
        at_end = [label for label in (OFFSET, OUTCOME) if label in labels]
        self.others |= dict.fromkeys(
            label for label in labels if label not in (*self.of_groups, *at_end)
        )
        return (*self.of_groups, *self.others, *at_end), len(self.of_groups)


def _first_of_new(numbers: NDArray[np.intp], known: int) -> NDArray[np.intp]:
    """Return the first row of each number from ``known`` on."""
    rows = np.flatnonzero(numbers >= known)
    if not len(rows):
        return rows
    new = numbers[rows] - known
    first = np.full(int(new.max()) + 1, -1)
    first[new[::-1]] = rows[::-1]  # of several rows the last one assigned stays
    return first[first >= 0]


def _sum(old: Any, new: Any) -> Any:
    """Add counts; the new ones may be more in number."""
    total = np.zeros(max(len(old), len(new)), dtype=old.dtype)
    total[: len(old)] += old
    total[: len(new)] += new.astype(old.dtype)
    return total
