"""Data that do not fit in memory: read once, in chunks, and reduced on the way.

What a likelihood on reduced rows needs can be updated one chunk after the other: the
reduced rows of all chunks so far are reduced once more, together with those of the next
chunk (see ``orthogonal``); cells get larger counts (see ``cells``). A *specimen* of the
data is kept as well, a few rows that show everything that determines the structure of a
model: each group, each level of each factor, and for each predictor that varies within
groups two rows in which it does. So the structure is read from a data frame as always,
and the numbers from the reduced rows.

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

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stanpool.base.arrays import LARGE_ARRAY, Array
from stanpool.base.errors import DataError, quote
from stanpool.base.table_files import kind_of, read_chunks
from stanpool.data.columns import (
    as_frame,
    column_named,
    names_in,
    names_in_terms,
    used_columns,
)
from stanpool.data.compression.chunks import OFFSET, OUTCOME, Streamed
from stanpool.data.compression.growing import (
    BLOCK_ROWS,
    GrowingReduction,
    NumberedCombinations,
    NumberedValues,
    VaryingColumns,
)
from stanpool.data.design.outcome import (
    Evaluated,
    build_offset,
    build_outcome,
    build_trials,
    expressions,
    likelihood_weights,
    standard_errors,
)
from stanpool.data.entries import (
    EntriesError,
    as_before,
    level_text,
    rows_counted_from,
    type_of,
)
from stanpool.data.matrix.evaluation import is_category
from stanpool.data.matrix.model_matrix import column_of, refuse_dependent, wide_matrix
from stanpool.language.expression import parse
from stanpool.language.model_spec import ModelSpec
from stanpool.language.vocabulary import calls

_MOST_CELLS = 1 << 22  # combinations of predictors and groups that are kept
_MOST_VALUES = 10_000  # different numbers of a column that may be levels in C()
_FIRST_ROWS = 100  # first rows of the data that the specimen has in any case


def read(spec: ModelSpec, data: Any) -> Streamed:
    """Go through the data of a model once.

    Parameters
    ----------
    spec
        A model that ``why_not_chunked`` has nothing against.
    data
        A path, an iterator of data frames, or a function that returns one.

    Raises
    ------
    SpecError, DataError
        If a term needs other rows than its own, or the data cannot serve the model.
    """
    chunks, source, named = data, None, "an iterator"
    if isinstance(data, str | os.PathLike):
        path = source = Path(data)
        named = repr(str(path))
        chunks = read_chunks(path, lambda known: _chosen(spec, known))
    elif not isinstance(data, Iterator):
        chunks, source, named = data(), data, "a function"
    refuse_dependent([*expressions(spec), *spec.all_terms])
    reader = _Reader(spec)
    try:
        for first, block in _blocks(spec, chunks):
            with rows_counted_from(first):
                reader.add(block, first)
    except DataError as problem:
        if not isinstance(source, Path) or not source.exists():
            raise
        if isinstance(problem, EntriesError):
            advice = f"{problem.advice} {_how_to_change(source)}"
            raise problem.advising(advice) from None
        raise DataError(f"{problem} {_how_to_change(source)}") from None
    return reader.finish(named, source)


def _chosen(spec: ModelSpec, known: list[str]) -> list[str]:
    """Return the columns of a file that a model needs, or say which is not there."""
    needed, header = names_in(spec, set(known)), pd.DataFrame(columns=known)
    for name in needed:
        column_named(name, header)
    return needed


def _how_to_change(path: Path) -> str:
    """Say how to pass the data of a file otherwise than as they are."""
    how = "To change what is read, pass an iterator of data frames"
    if kind_of(path) == ".csv":
        how += (
            f": pd.read_csv({str(path)!r}, chunksize=100_000), with sep, dtype or "
            "na_values as they should be"
        )
    elif kind_of(path) == ".parquet":
        how += f", made from pq.ParquetFile({str(path)!r}).iter_batches()"
    return f"{how}."


def _blocks(
    spec: ModelSpec, chunks: Iterable[Any]
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Join chunks of the same types, and cut them, into blocks; number their rows."""
    names: list[str] = []
    waiting: list[pd.DataFrame] = []
    start = size = 0
    if not isinstance(chunks, Iterable):
        raise DataError(
            f"data is a function that returned {quote(chunks)}; it must return an "
            "iterator of data frames."
        )
    for chunk in chunks:
        frame = as_frame(chunk)
        if not len(frame):
            continue
        names = names or names_in(spec, set(frame.columns))
        try:
            frame = pd.DataFrame({name: column_named(name, frame) for name in names})
        except DataError as problem:
            raise DataError(
                f"in the chunk from row {start + size} on, {problem}"
            ) from None
        if waiting and not frame.dtypes.equals(waiting[0].dtypes):
            yield start, pd.concat(waiting, ignore_index=True)
            waiting, start, size = [], start + size, 0
        for at in range(0, len(frame), BLOCK_ROWS):
            waiting.append(frame.iloc[at : at + BLOCK_ROWS])
            size += len(waiting[-1])
            if size >= BLOCK_ROWS:
                yield start, pd.concat(waiting, ignore_index=True)
                waiting, start, size = [], start + size, 0
    if waiting:
        yield start, pd.concat(waiting, ignore_index=True)


class _Reader:
    """All that is known of the data so far."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.rows = spec, 0
        self.functions = dict(spec.functions)
        self.is_gaussian = spec.is_gaussian
        self.kinds: dict[str, str] = {}
        self.raw: dict[str, Any] = {}
        self.numbers: dict[str, NumberedValues] = {}
        self.combinations = NumberedCombinations()
        self.factors = [
            (term, NumberedCombinations(), VaryingColumns()) for term in spec.groups
        ]
        self.sizes = np.zeros(0, dtype=np.int64)
        self.first = np.zeros(0, dtype=np.int64)
        self.specimen: list[pd.DataFrame] = []
        self.scale = np.zeros(0, dtype=np.intp)
        self.has_zero: set[str] = set()
        self.of_groups: dict[str, None] = {}
        self.others: dict[str, None] = {}
        self.reduced, self.weighted = GrowingReduction(), GrowingReduction()
        self.sums: list[Array] = [np.zeros(0), np.zeros(0), np.zeros(0)]

    def add(self, block: pd.DataFrame, first: int) -> None:
        """Add the rows of a block, the first of which has the row number ``first``."""
        frame = used_columns(self.spec, block)
        for name, kind in self.kinds.items():
            frame[name] = as_before(name, frame[name], kind)
        self._check_types(block, frame, first)
        known = {name: len(each) for name, each in self.numbers.items()}
        codes = {name: self._numbered(name, frame[name]) for name in self._numberable()}
        group = self.combinations.of([codes[name] for name in self._key()], len(frame))
        found, at = np.unique(group, return_index=True)
        kept = [at[found >= len(self.sizes)]]
        self.first = np.append(self.first, first + kept[0])
        self.sizes = _sum(self.sizes, np.bincount(group))
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
        if self.is_gaussian:
            for name, code in codes.items():
                numbers, at = np.unique(code, return_index=True)
                kept.append(at[numbers >= known.get(name, 0)])
            kept.append(np.arange(min(len(frame), max(0, _FIRST_ROWS - self.rows))))
            kept.append(self._add_gaussian(frame, codes, group, y, evaluated))
        else:
            trials = build_trials(self.spec, evaluated, y)
            self.sums = [
                _sum(sums, np.bincount(group, values))
                for sums, values in zip(
                    self.sums, (y, trials, np.square(y.astype(float))), strict=True
                )
            ]
            self._refuse_many_cells()
        rows = np.unique(np.concatenate(kept)).astype(np.int64)
        coded = {name: codes[name] for name in self.categorical}
        some = frame.assign(**coded).iloc[rows]
        self.specimen.append(some.set_axis(first + rows, axis=0))
        self.rows += len(frame)

    def finish(self, named: str, source: Any) -> Streamed:
        """Return what is kept of the data."""
        if not self.rows:
            is_iterator = named == "an iterator"
            raise DataError(
                f"the data from {named} have no rows, and a model needs some. See what "
                f"emptied them{'; they can be read only once' * is_iterator}."
            )
        specimen = pd.concat(self.specimen)
        for name in self.categorical:
            specimen[name] = self._in_order(name, specimen[name].to_numpy())
        reduced, order = None, np.arange(len(self.first))
        if self.is_gaussian:
            reduced = self.reduced.columns(self.scale)
        else:
            order = np.argsort(self.first)
        return Streamed(
            spec=self.spec,
            named=named,
            source=source,
            rows=self.rows,
            specimen=specimen,
            first=np.searchsorted(specimen.index.to_numpy(), self.first[order]),
            sizes=self.sizes[order],
            reduced=reduced,
            weighted=self.weighted.columns(self.scale) if self._is_weighted else None,
            sums=None if self.is_gaussian else np.array(self.sums)[:, order],
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
        if not self.is_gaussian:
            texts = [*spec.all_terms, *spec.offsets]
            texts += [spec.exposure] if spec.exposure is not None else []
            names += names_in_terms(texts, set(self.kinds))
        for term in spec.groups:
            names += [*term.key, *(() if self.is_gaussian else term.weights)]
        names += [spec.residual] if spec.residual is not None else []
        return list(dict.fromkeys(names))

    def _numberable(self) -> list[str]:
        """Name the columns of which all values are known."""
        names = [*self.categorical, *self._key()]
        for text in self.spec.all_terms if self.is_gaussian else ():
            # Numbers may be levels there, unless they are too many.
            if any(call.name == "C" for call in calls(parse(text.removeprefix("-")))):
                for name in names_in_terms([text], set(self.kinds)):
                    if len(self.numbers.get(name, ())) <= _MOST_VALUES:
                        names.append(name)
        return list(dict.fromkeys(names))

    def _numbered(self, name: str, column: pd.Series[Any]) -> NDArray[np.intp]:
        """Return the numbers of a column's values."""
        numbers = self.numbers.setdefault(name, NumberedValues())
        if name in self.categorical:
            return numbers.of(column.cat.categories)[column.cat.codes]
        return numbers.of(column.to_numpy())

    def _check_types(
        self, block: pd.DataFrame, frame: pd.DataFrame, first: int
    ) -> None:
        """Refuse a column that is of another type than in the chunks before."""
        for name, column in frame.items():
            kind, raw = type_of(column), block[name].dtype
            before = self.kinds.setdefault(str(name), kind)
            if kind != before:
                raise DataError(
                    f"column {quote(name)} holds {kind} in rows {first} to "
                    f"{first + len(frame) - 1}, counted from 0, and {before} in those "
                    "before. Give it one type in all chunks."
                )
            earlier = self.raw.setdefault(str(name), raw)
            if raw != earlier and isinstance(raw, pd.CategoricalDtype):
                if raw.ordered:
                    raise DataError(
                        f"column {quote(name)} is ordered, and its levels in rows "
                        f"{first} to {first + len(frame) - 1}, counted from 0, are "
                        "others than before. Give it all levels in all chunks."
                    )
                self.raw[str(name)] = None  # as if it were text

    def _refuse_many_cells(self) -> None:
        """Refuse data of which nearly all rows are cells of their own."""
        if len(self.sizes) > _MOST_CELLS:
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
        raw, ordered = self.raw[name], False
        labels = known.tolist()
        if isinstance(raw, pd.CategoricalDtype):
            whole = pd.api.types.is_integer_dtype(known.dtype)
            place = {
                int(level) if whole else level_text(level): at
                for at, level in enumerate(raw.categories)
            }
            order = np.argsort([place[label] for label in labels])
            ordered = bool(raw.ordered)
        elif raw is not None and pd.api.types.is_float_dtype(raw):
            order = np.argsort([float(label) for label in labels])
        else:
            order = known.argsort()
        return pd.Categorical.from_codes(
            np.argsort(order)[codes], categories=known[order], ordered=ordered
        )

    def _add_gaussian(
        self,
        frame: pd.DataFrame,
        codes: dict[str, NDArray[np.intp]],
        group: NDArray[np.intp],
        y: Array,
        evaluated: Evaluated,
    ) -> NDArray[np.intp]:
        """Add rows of a gaussian model; return some in which predictors vary."""
        spec, texts = self.spec, self.spec.all_terms
        self.scale = _sum(self.scale, np.zeros(len(self.sizes), dtype=np.intp))
        if spec.residual is not None:
            self.scale[group] = codes[spec.residual]
        named = set(names_in_terms(texts, set(self.kinds)))
        frame = frame.assign(
            **{
                name: pd.Categorical.from_codes(codes[name], self.numbers[name].known)
                for name in self.categorical
                if name in named
            }
        )
        errors = standard_errors(spec, evaluated)
        weights, offset = (
            likelihood_weights(spec, evaluated),
            build_offset(spec, evaluated),
        )
        weight = np.ones(len(frame)) if weights is None else np.sqrt(weights)
        weight = weight if errors is None else weight / errors
        factors = [
            (combinations.of([codes[name] for name in term.key], len(frame)), varying)
            for term, combinations, varying in self.factors
        ]
        width = len(wide_matrix(texts, frame.iloc[:1], self.functions).labels)
        step = max(_FIRST_ROWS, LARGE_ARRAY // width)
        rows: list[int] = []
        for start in range(0, len(frame), step):
            part = slice(start, start + step)
            wide = wide_matrix(texts, frame.iloc[part], self.functions)
            columns = dict(zip(wide.labels, wide.values.T, strict=True))
            for label in columns.keys() - self.has_zero:
                if not columns[label].all():
                    self.has_zero.add(label)
                    rows.append(start + int(np.argmin(columns[label] != 0)))
            outcome = {OUTCOME: y[part]}
            if offset is not None:
                outcome = {OFFSET: offset[part], OUTCOME: y[part] - offset[part]}
            self._add_rows(
                columns | outcome, group[part], weight[part], frame.iloc[part]
            )
            numeric = named.difference(wide.labels, self.categorical)
            columns |= {name: frame[name].to_numpy()[part] for name in numeric}
            for index, varying in factors:
                found = varying.rows(columns, index[part], int(index.max()) + 1)
                rows += [start + row for row in found]
        return np.array(rows, dtype=np.intp)

    def _add_rows(
        self,
        columns: dict[str, Array],
        group: NDArray[np.intp],
        weight: Array,
        frame: pd.DataFrame,
    ) -> None:
        """Add rows to be reduced; the columns that vary over groups come first."""
        of_groups = [text for term in self.spec.groups for text in term.terms]
        own = dict.fromkeys(wide_matrix(of_groups, frame, self.functions).labels)
        self.of_groups |= own
        self.others |= dict.fromkeys(
            label for label in columns if label not in (*own, OFFSET, OUTCOME)
        )
        at_end = [label for label in (OFFSET, OUTCOME) if label in columns]
        labels = (*self.of_groups, *self.others, *at_end)
        # A level that these rows do not have has a column of zeros.
        nothing = np.zeros(len(group))
        values = np.column_stack([columns.get(label, nothing) for label in labels])
        self.reduced.add(labels, len(self.of_groups), values, group, self.scale)
        if self._is_weighted:
            self.weighted.add(
                labels, len(self.of_groups), values, group, self.scale, weight
            )


def _sum(old: Any, new: Any) -> Any:
    """Add counts; the new ones may be more in number."""
    total = np.zeros(max(len(old), len(new)), dtype=old.dtype)
    total[: len(old)] += old
    total[: len(new)] += new.astype(old.dtype)
    return total
