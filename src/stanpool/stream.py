"""Data that do not fit in memory: read once, in chunks, and kept as what counts.

What a likelihood that compresses needs of rows can be added up, one chunk after the
other: rows that stand for all rows seen so far are turned once more, together with
those of the next chunk (see ``compress``); cells get more counts (see ``cells``).
Besides, a *specimen* of the data is kept, a few rows in which all is to be seen that
decides a model's structure: each group, each level of each factor, and for each
predictor that varies within groups two rows that show it. So the structure is read
from a data frame as always, and the numbers from the rows that stand for others.

Levels that appear late do not disturb: all are columns of their own until the end,
when the design's columns follow from them. Columns are turned about their values in
the first row, so that nothing is lost where means are large and spreads are small.

References
----------
.. [1] Demmel, Grigori, Hoemmen and Langou (2012). Communication-optimal parallel and
   sequential QR and LU factorizations. SIAM J. Sci. Comput. 34(1): block after block.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stanpool.cells import why_no_cells
from stanpool.columns import (
    as_frame,
    column_named,
    names_in,
    names_in_terms,
    rows_counted_from,
    type_of,
    used_columns,
)
from stanpool.compress import turn_rows
from stanpool.design import (
    Design,
    RowsNotKept,
    build_design,
    groups_of,
    memberships,
)
from stanpool.errors import DataError, SpecError, shorten
from stanpool.gram import why_not_sums
from stanpool.matrix import (
    TermMatrix,
    refuse_dependent,
    term_matrix,
    translation,
    wide_matrix,
)
from stanpool.outcome import (
    build_offset,
    build_outcome,
    build_trials,
    expressions,
    likelihood_weights,
    standard_errors,
)
from stanpool.spec import GroupTerm, ModelSpec
from stanpool.tables import read_chunks

Array = NDArray[np.float64]

_BLOCK_ROWS = 1 << 18
_BLOCK_NUMBERS = 1 << 25  # of a block's matrix: 256 MB
_MOST_CELLS = 1 << 22
_FIRST_ROWS = 100
_TRIED_ROWS = 10_000
_MOST_VALUES = 10_000
_UNIT = "Intercept"
_OFFSET, _Y = "\0offset", "\0outcome"  # no label of a user's
_DECIDED_LATER = (
    *("pooling", "parameterization", "priors", "fixed", "center_predictors"),
    *("compress", "group_predictors"),
)


@dataclass(frozen=True, eq=False)
class TurnedColumns:
    """Rows that stand for all rows of the data, with the same sums of products.

    Attributes
    ----------
    labels
        Of the columns: a column of ones comes first, the outcome last.
    values
        The columns about ``origin``, shape ``(P, columns)``.
    origin
        What was taken from each column before the rows were turned.
    group
        The group of each row among all combinations of groups, counted from 0.
    """

    labels: tuple[str, ...]
    values: Array
    origin: Array
    group: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Streamed:
    """What is kept of data that were read in chunks.

    Attributes
    ----------
    spec
        The model that they were read for.
    named
        Where they came from, for people.
    origin
        A path or a function to read them again; None if that cannot be.
    rows
        How many rows there were.
    specimen
        Rows in which all levels and groups occur; its index are numbers of rows.
    first, sizes
        For each combination of groups (or each cell) which row of the specimen is of
        it, and how many rows there were.
    turned, weighted
        Rows that stand for all, and the same with weights or standard errors if there
        are any; or None.
    sums
        Of each cell the sums of outcomes and of trials, shape ``(2, cells)``; or None.
    """

    spec: ModelSpec
    named: str
    origin: Any
    rows: int
    specimen: pd.DataFrame
    first: NDArray[np.intp]
    sizes: NDArray[np.int64]
    turned: TurnedColumns | None = None
    weighted: TurnedColumns | None = None
    sums: Array | None = None

    @property
    def frame(self) -> pd.DataFrame:
        """The columns without rows: types and levels."""
        return self.specimen.iloc[:0].reset_index(drop=True)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All that is kept besides the specimen, as arrays by name."""
        found: dict[str, np.ndarray] = {
            "specimen_rows": self.specimen.index.to_numpy(),
            "first": self.first,
            "sizes": self.sizes,
        }
        if self.sums is not None:
            found["sums"] = self.sums
        for name in ("turned", "weighted"):
            turned = getattr(self, name)
            if turned is not None:
                found[f"{name}_values"] = turned.values
                found[f"{name}_origin"] = turned.origin
                found[f"{name}_group"] = turned.group
        return found

    @property
    def facts(self) -> dict[str, Any]:
        """All that is kept besides the specimen and arrays, for JSON."""
        return {
            "named": self.named,
            "origin": str(self.origin) if isinstance(self.origin, Path) else None,
            "rows": self.rows,
            "labels": [] if self.turned is None else list(self.turned.labels),
        }

    @classmethod
    def restored(
        cls,
        spec: ModelSpec,
        specimen: pd.DataFrame,
        arrays: Mapping[str, np.ndarray],
        facts: Mapping[str, Any],
    ) -> Streamed:
        """Return what was kept from its parts."""

        def turned(name: str) -> TurnedColumns | None:
            if f"{name}_values" not in arrays:
                return None
            values = (
                arrays[f"{name}_{part}"] for part in ("values", "origin", "group")
            )
            return TurnedColumns(tuple(facts["labels"]), *values)

        return cls(
            spec=spec,
            named=facts["named"],
            origin=None if facts["origin"] is None else Path(facts["origin"]),
            rows=facts["rows"],
            specimen=specimen.set_axis(arrays["specimen_rows"], axis=0),
            first=arrays["first"],
            sizes=arrays["sizes"],
            turned=turned("turned"),
            weighted=turned("weighted"),
            sums=arrays.get("sums"),
        )

    def same_as(self, other: Streamed | None) -> bool:
        """Whether the same was kept of the same data, read in the same chunks."""
        if other is None or not self.specimen.equals(other.specimen):
            return False
        ours, theirs = self.arrays, other.arrays
        return ours.keys() == theirs.keys() and all(
            np.array_equal(values, theirs[name]) for name, values in ours.items()
        )


def is_chunked(data: Any) -> bool:
    """Whether data are to be read in chunks: a path, an iterator or a function."""
    return isinstance(data, str | os.PathLike | Iterator | Streamed) or callable(data)


def streamed(spec: ModelSpec, data: Any) -> Streamed:
    """Return what a model needs of data in chunks, read again only if necessary.

    Parameters
    ----------
    spec
        The model.
    data
        A path of CSV or Parquet, or a folder of Parquet files; an iterator of data
        frames, or a function that returns one; or what this function returned before.

    Raises
    ------
    SpecError
        If the likelihood needs the rows, or data of another model cannot be read again.
    DataError
        If the data cannot serve the model.
    """
    against = why_not_chunked(spec)
    if against:
        raise SpecError(
            f"data in chunks must be compressed as they are read, and {against}. Pass "
            "a data frame, by pd.read_parquet or pd.read_csv, of all rows or of a "
            "sample of them."
        )
    if not isinstance(data, Streamed):
        return _read(spec, data)
    same = {name: getattr(spec, name) for name in _DECIDED_LATER}
    if replace(data.spec, **same) == spec:
        return data
    if data.origin is None:
        raise SpecError(
            f"what was kept of {data.named} serves models with the same outcome, terms "
            "and groups only, and it cannot be read again. Build the model from the "
            "data."
        )
    return _read(spec, data.origin)


def why_not_chunked(spec: ModelSpec) -> str:
    """Say why a model needs its rows; empty if it does not."""
    if spec.compress is False:
        return "compress=False asks for a program on the rows as they are"
    if spec.family == "gaussian":
        if any(term.membership for term in spec.groups):
            return "rows are members of several groups"
        return why_not_sums(spec)
    if spec.latent is not None:
        return "latent factors start at an estimate from the rows"
    return why_no_cells(spec)


@dataclass(frozen=True, eq=False)
class StreamedDesign:
    """The design of data that were read in chunks.

    Attributes
    ----------
    design
        The design of the model, whose rows are not kept.
    moments
        Rows of the same means and variances, which scale priors and predictors.
    rows
        Rows of the same likelihood, to be compressed.
    y_origin
        What was taken from their outcomes.
    counts
        How many rows each stands for, if they are cells.
    """

    design: Design
    moments: Design
    rows: Design
    y_origin: float = 0.0
    counts: Array | None = None


def streamed_design(spec: ModelSpec, data: Streamed) -> StreamedDesign:
    """Build the design of data that were read in chunks.

    Raises
    ------
    DataError
        As ``build_design``.
    """
    if data.turned is None:
        moments, rows = _cell_designs(spec, data)
        design = _without_rows(data, moments)
        counts = data.sizes.astype(float)
        return StreamedDesign(design, moments, rows, counts=counts)
    moments, rows, y_origin = _turned_designs(spec, data)
    return StreamedDesign(_without_rows(data, moments), moments, rows, y_origin)


def _read(spec: ModelSpec, data: Any) -> Streamed:
    """Go through the data once."""
    chunks, origin, named = data, None, "an iterator"
    if isinstance(data, str | os.PathLike):
        path = origin = Path(data)
        named = repr(str(path))
        chunks = read_chunks(
            path,
            lambda known: [name for name in known if name in names_in(spec, {*known})],
        )
    elif not isinstance(data, Iterator):
        chunks, origin, named = data(), data, "a function"
    reader = _Reader(spec)
    for first, block in _blocks(spec, chunks):
        with rows_counted_from(first):
            reader.add(block, first)
    return reader.finish(named, origin)


def _blocks(
    spec: ModelSpec, chunks: Iterable[Any]
) -> Iterator[tuple[int, pd.DataFrame]]:
    """Join chunks of the same types, and cut them, into blocks; number their rows."""
    names: list[str] = []
    waiting: list[pd.DataFrame] = []
    start = size = 0
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
        for at in range(0, len(frame), _BLOCK_ROWS):
            waiting.append(frame.iloc[at : at + _BLOCK_ROWS])
            size += len(waiting[-1])
            if size >= _BLOCK_ROWS:
                yield start, pd.concat(waiting, ignore_index=True)
                waiting, start, size = [], start + size, 0
    if waiting:
        yield start, pd.concat(waiting, ignore_index=True)


class _Numbers:
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


class _Combinations:
    """Combinations of numbers, numbered in the order in which they are met."""

    def __init__(self) -> None:
        self.steps: list[_Numbers] = []
        self.count = 0

    def of(self, columns: Sequence[NDArray[np.intp]], rows: int) -> NDArray[np.intp]:
        """Return the number of the combination in each row."""
        combined = columns[0] if columns else np.zeros(rows, dtype=np.intp)
        for step, column in enumerate(columns[1:]):
            if step == len(self.steps):
                self.steps.append(_Numbers())
            combined = self.steps[step].of((combined << 32) + column)
        self.count = max(self.count, int(combined.max()) + 1)
        return combined


class _Turning:
    """Rows that stand for all those seen so far."""

    def __init__(self) -> None:
        self.labels: tuple[str, ...] = ()
        self.origin: dict[str, float] = {}
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
        """Take in rows; the first ``own`` columns are those that vary over groups."""
        if tuple(labels) != self.labels:
            self.turn(scale)
            self._widen(tuple(labels), values[0])
        self.own = own
        values = values - [self.origin[label] for label in labels]
        self.waiting.append(
            (values if weight is None else values * weight[:, None], group)
        )
        if sum(len(each) for each, _ in self.waiting) >= max(
            _BLOCK_ROWS, len(self.group)
        ):
            self.turn(scale)

    def turn(self, scale: NDArray[np.intp]) -> None:
        """Turn the rows that wait together with those that stand for all before."""
        if not self.waiting:
            return
        values = np.concatenate([self.values, *(each for each, _ in self.waiting)])
        group = np.concatenate([self.group, *(each for _, each in self.waiting)])
        self.waiting, q = [], self.own
        turned = turn_rows(values[:, :q], values[:, q:], group, len(scale), scale=scale)
        kept = (turned.Z != 0).any(axis=2)
        of_groups = np.concatenate([turned.Z, turned.X], axis=2)[kept]
        rest = np.pad(turned.rest, ((0, 0), (q, 0)))
        _, some_group = np.unique(scale, return_index=True)
        self.values = np.concatenate([of_groups, rest])
        self.group = np.append(np.nonzero(kept)[0], some_group[turned.scale_of_rest])

    def _widen(self, labels: tuple[str, ...], first: Array) -> None:
        """Make room for columns that were not there: all rows so far have 0 in them."""
        if not self.labels:
            self.origin = dict(zip(labels, first.tolist(), strict=True)) | {_UNIT: 0.0}
        values = np.zeros((len(self.values), len(labels)))
        for at, label in enumerate(labels):
            self.origin.setdefault(label, 0.0)
            if label in self.labels:
                values[:, at] = self.values[:, self.labels.index(label)]
        self.labels, self.values = labels, values

    def columns(self, scale: NDArray[np.intp]) -> TurnedColumns:
        """Return what is kept."""
        self.turn(scale)
        origin = np.array([self.origin[label] for label in self.labels])
        return TurnedColumns(self.labels, self.values, origin, self.group)


class _Varying:
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


class _Reader:
    """All that is known of the data so far."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.rows = spec, 0
        self.is_gaussian = spec.family == "gaussian"
        self.kinds: dict[str, str] = {}
        self.raw: dict[str, Any] = {}
        self.numbers: dict[str, _Numbers] = {}
        self.combinations = _Combinations()
        self.factors = [(term, _Combinations(), _Varying()) for term in spec.groups]
        self.sizes = np.zeros(0, dtype=np.int64)
        self.first = np.zeros(0, dtype=np.int64)
        self.specimen: list[pd.DataFrame] = []
        self.scale = np.zeros(0, dtype=np.intp)
        self.has_zero: set[str] = set()
        self.of_groups: dict[str, None] = {}
        self.others: dict[str, None] = {}
        self.turned, self.weighted = _Turning(), _Turning()
        self.sums: list[Array] = [np.zeros(0), np.zeros(0)]

    def add(self, block: pd.DataFrame, first: int) -> None:
        """Take in the rows of a block, the first of which has this number."""
        frame = used_columns(self.spec, block)
        self._check_types(block, frame, first)
        if not self.rows:
            self._refuse_dependent(frame.iloc[:_TRIED_ROWS])
        known = {name: len(each) for name, each in self.numbers.items()}
        codes = {name: self._numbered(name, frame[name]) for name in self._numberable()}
        group = self.combinations.of([codes[name] for name in self._key()], len(frame))
        found, at = np.unique(group, return_index=True)
        kept = [at[found >= len(self.sizes)]]
        self.first = np.append(self.first, first + kept[0])
        self.sizes = _sum(self.sizes, np.bincount(group))
        evaluated = {
            text: term_matrix(False, (text,), frame).values
            for text in expressions(self.spec)
        }
        y, _ = build_outcome(self.spec, frame, evaluated)
        if self.is_gaussian:
            for name, code in codes.items():
                numbers, at = np.unique(code, return_index=True)
                kept.append(at[numbers >= known.get(name, 0)])
            kept.append(np.arange(min(len(frame), max(0, _FIRST_ROWS - self.rows))))
            offset = build_offset(self.spec, frame, evaluated)
            kept.append(self._turn(frame, codes, group, y, offset))
        else:
            trials = build_trials(self.spec, frame, y)
            self.sums = [
                _sum(self.sums[0], np.bincount(group, y)),
                _sum(self.sums[1], np.bincount(group, trials)),
            ]
            self._refuse_many_cells()
        rows = np.unique(np.concatenate(kept)).astype(np.int64)
        coded = {name: codes[name] for name in self.categorical}
        some = frame.assign(**coded).iloc[rows]
        self.specimen.append(some.set_axis(first + rows, axis=0))
        self.rows += len(frame)

    def finish(self, named: str, origin: Any) -> Streamed:
        """Return what is kept of the data."""
        if not self.rows:
            raise DataError(
                f"the data from {named} have no rows, and a model needs some. See what "
                "emptied them."
            )
        specimen = pd.concat(self.specimen)
        for name in self.categorical:
            specimen[name] = self._in_order(name, specimen[name].to_numpy())
        turned, order = None, np.arange(len(self.first))
        if self.is_gaussian:
            turned = self.turned.columns(self.scale)
        else:
            order = np.argsort(self.first)
        return Streamed(
            spec=self.spec,
            named=named,
            origin=origin,
            rows=self.rows,
            specimen=specimen,
            first=np.searchsorted(specimen.index.to_numpy(), self.first[order]),
            sizes=self.sizes[order],
            turned=turned,
            weighted=self.weighted.columns(self.scale) if self._is_weighted else None,
            sums=None if self.is_gaussian else np.array(self.sums)[:, order],
        )

    @property
    def categorical(self) -> list[str]:
        """The columns that are not numbers."""
        return [name for name, kind in self.kinds.items() if kind != "numbers"]

    @property
    def _is_weighted(self) -> bool:
        return self.spec.se is not None or self.spec.weights is not None

    @property
    def _texts(self) -> list[str]:
        """The terms of the population and of all factors."""
        texts = [*self.spec.terms]
        for term in self.spec.groups:
            texts += term.terms
        return texts

    def _key(self) -> list[str]:
        """Name the columns whose combinations are told apart."""
        spec, names = self.spec, list[str]()
        if not self.is_gaussian:
            names += names_in_terms([*self._texts, *spec.offsets], set(self.kinds))
            names += [spec.exposure] if spec.exposure is not None else []
        for term in spec.groups:
            names += [*term.key, *(() if self.is_gaussian else term.weights)]
        names += [spec.residual] if spec.residual is not None else []
        return list(dict.fromkeys(names))

    def _numberable(self) -> list[str]:
        """Name the columns of which all values are known."""
        names = [*self.categorical, *self._key()]
        for text in self._texts if self.is_gaussian else ():
            if "C(" in text:  # numbers may be levels there, unless they are too many
                for name in names_in_terms([text], set(self.kinds)):
                    if len(self.numbers.get(name, ())) <= _MOST_VALUES:
                        names.append(name)
        return list(dict.fromkeys(names))

    def _numbered(self, name: str, column: pd.Series[Any]) -> NDArray[np.intp]:
        """Return the numbers of a column's values."""
        numbers = self.numbers.setdefault(name, _Numbers())
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
                    f"column {shorten(name)} holds {kind} in rows {first} to "
                    f"{first + len(frame) - 1}, counted from 0, and {before} in those "
                    "before. Give it one type in all chunks."
                )
            earlier = self.raw.setdefault(str(name), raw)
            if raw != earlier and isinstance(raw, pd.CategoricalDtype):
                if raw.ordered:
                    raise DataError(
                        f"column {shorten(name)} is ordered, and its levels in rows "
                        f"{first} to {first + len(frame) - 1}, counted from 0, are "
                        "others than before. Give it all levels in all chunks."
                    )
                self.raw[str(name)] = None  # as if it were text

    def _refuse_dependent(self, frame: pd.DataFrame) -> None:
        """Refuse terms that a part of the data does not have as the whole has them."""
        refuse_dependent(wide_matrix(self._texts, frame), frame)
        for text in expressions(self.spec):
            refuse_dependent(term_matrix(False, (text,), frame), frame)

    def _refuse_many_cells(self) -> None:
        """Refuse data of which nearly all rows are cells of their own."""
        if len(self.sizes) > _MOST_CELLS:
            widest = max(self._key(), key=lambda name: len(self.numbers[name]))
            raise DataError(
                f"{self.spec.family} outcomes are collected into cells, rows with the "
                f"same predictors and groups, and there are more than {_MOST_CELLS:,} "
                f"after {self.rows:,} rows; {shorten(widest)} has "
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
                int(level) if whole else str(level): at
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

    def _turn(
        self,
        frame: pd.DataFrame,
        codes: dict[str, NDArray[np.intp]],
        group: NDArray[np.intp],
        y: Array,
        offset: Array | None,
    ) -> NDArray[np.intp]:
        """Take in rows of a gaussian model; return some that show what varies."""
        spec, texts = self.spec, self._texts
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
        errors, weights = standard_errors(spec, frame), likelihood_weights(spec, frame)
        weight = np.ones(len(frame)) if weights is None else np.sqrt(weights)
        weight = weight if errors is None else weight / errors
        factors = [
            (combinations.of([codes[name] for name in term.key], len(frame)), varying)
            for term, combinations, varying in self.factors
        ]
        width = len(wide_matrix(texts, frame.iloc[:1]).labels)
        step = max(_FIRST_ROWS, _BLOCK_NUMBERS // width)
        rows: list[int] = []
        for start in range(0, len(frame), step):
            part = slice(start, start + step)
            wide = wide_matrix(texts, frame.iloc[part])
            columns = dict(zip(wide.labels, wide.values.T, strict=True))
            for label in columns.keys() - self.has_zero:
                if not columns[label].all():
                    self.has_zero.add(label)
                    rows.append(start + int(np.argmin(columns[label] != 0)))
            outcome = {_Y: y[part]}
            if offset is not None:
                outcome = {_OFFSET: offset[part], _Y: y[part] - offset[part]}
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
        """Add rows to those that are turned, what varies over groups in front."""
        of_groups = [text for term in self.spec.groups for text in term.terms]
        own = dict.fromkeys(wide_matrix(of_groups, frame).labels)
        self.of_groups |= own
        self.others |= dict.fromkeys(
            label for label in columns if label not in (*own, _OFFSET, _Y)
        )
        at_end = [label for label in (_OFFSET, _Y) if label in columns]
        labels = (*self.of_groups, *self.others, *at_end)
        # A level that these rows do not have has a column of zeros.
        nothing = np.zeros(len(group))
        values = np.column_stack([columns.get(label, nothing) for label in labels])
        self.turned.add(labels, len(self.of_groups), values, group, self.scale)
        if self._is_weighted:
            self.weighted.add(
                labels, len(self.of_groups), values, group, self.scale, weight
            )


def _sum(old: Any, new: Any) -> Any:
    """Add counts of which there may be more by now."""
    total = np.zeros(max(len(old), len(new)), dtype=old.dtype)
    total[: len(old)] += old
    total[: len(new)] += new.astype(old.dtype)
    return total


@dataclass(frozen=True, eq=False)
class _TurnedRows:
    """Rows that stand for all: what ``build_design`` takes for those of the data."""

    data: Streamed
    turned: TurnedColumns
    wide: TermMatrix

    @classmethod
    def of_data(cls, data: Streamed, turned: TurnedColumns) -> _TurnedRows:
        """Find the columns that all terms are made of."""
        texts = [*data.spec.terms]
        for term in data.spec.groups:
            texts += term.terms
        return cls(data, turned, wide_matrix(texts, data.specimen))

    @property
    def unit(self) -> Array:
        """What has become of a column of ones."""
        return self._column(_UNIT)

    @property
    def y(self) -> Array:
        """What has become of the outcome."""
        y = self._column(_Y)
        return y if self.offset is None else y + self.offset

    @property
    def offset(self) -> Array | None:
        """What has become of the offsets."""
        return self._column(_OFFSET) if _OFFSET in self.turned.labels else None

    @property
    def like(self) -> NDArray[np.intp]:
        """The row of the specimen that is of the same groups."""
        return self.data.first[self.turned.group]

    def of(self, matrix: TermMatrix) -> Array:
        """Return what has become of a design matrix."""
        values, origin = self.about_origin(matrix)
        return values + np.outer(self.unit, origin)

    def about_origin(self, matrix: TermMatrix) -> tuple[Array, Array]:
        """Return the same less an origin near the columns' means, and the origin."""
        how = translation(matrix, self.wide, self.data.specimen)
        at = [
            self.wide.labels.index(label)
            for label in self.turned.labels[:-1]
            if label != _OFFSET
        ]
        return self.turned.values[:, : len(at)] @ how[at], self.turned.origin[
            : len(at)
        ] @ how[at]

    def _column(self, label: str) -> Array:
        at = self.turned.labels.index(label)
        column = self.turned.values[:, at]
        return np.asarray(column + self.turned.values[:, 0] * self.turned.origin[at])


@dataclass(frozen=True, eq=False)
class _CellRows:
    """The rows of cells, each as long as its rows are together."""

    unit: Array
    y: Array
    offset: Array | None
    like: NDArray[np.intp]

    def of(self, matrix: TermMatrix) -> Array:
        """Return the rows of a design matrix."""
        return matrix.values[self.like] * self.unit[:, None]


def _turned_designs(spec: ModelSpec, data: Streamed) -> tuple[Design, Design, float]:
    """Return rows of the same moments, rows of the same likelihood, and y's origin."""
    assert data.turned is not None
    weighted = data.turned if data.weighted is None else data.weighted
    moments = build_design(spec, data.specimen, _TurnedRows.of_data(data, data.turned))
    rows = _TurnedRows.of_data(data, weighted)
    recipes = moments.recipes
    assert recipes is not None
    x, origin = rows.about_origin(recipes.population)
    at = [recipes.population.labels.index(label) for label in moments.coefficients]
    # The outcome keeps its own origin where an intercept takes it up.
    y, origin_of_y = weighted.values[:, -1], float(weighted.origin[-1])
    if not moments.intercept:
        y, origin_of_y = y + rows.unit * origin_of_y, 0.0
    terms = {term.factor: term for term in spec.groups}
    factors = [
        replace(
            factor,
            Z=rows.of(recipe),
            index=groups_of(terms[factor.factor].key, data.specimen)[1][rows.like],
        )
        for factor, recipe in zip(moments.factors, recipes.factors, strict=True)
    ]
    residual = moments.residual
    if residual is not None:
        index = groups_of((residual[0],), data.specimen)[1]
        residual = (*residual[:2], index[rows.like])
    rows_of_likelihood = replace(
        moments,
        y=y,
        X=x[:, at],
        x_bar=moments.x_bar - origin[at],
        unit=rows.unit,
        offset=None,
        factors=tuple(factors),
        residual=residual,
    )
    return moments, rows_of_likelihood, origin_of_y


def _cell_designs(spec: ModelSpec, data: Streamed) -> tuple[Design, Design]:
    """Return rows of the same moments, and the cells."""
    assert data.sums is not None
    unit, cells = np.sqrt(data.sizes), data.specimen.iloc[data.first]
    cells = cells.reset_index(drop=True)
    y, trials = np.rint(data.sums).astype(np.int64)
    own = build_design(spec, cells)
    offset = None if own.offset is None else own.offset * unit
    stand_ins = _CellRows(unit, data.sums[0] / unit, offset, np.arange(len(unit)))
    moments = build_design(spec, cells, stand_ins)
    factors = [
        replace(factor, z_bar=other.z_bar)
        for factor, other in zip(own.factors, moments.factors, strict=True)
    ]
    return moments, replace(
        own,
        y=y,
        trials=None if own.trials is None else trials,
        x_bar=moments.x_bar,
        factors=tuple(factors),
        origins=moments.origins,
    )


def _without_rows(data: Streamed, design: Design) -> Design:
    """Return a design with all that is not of rows."""

    def unkept(values: Any) -> Any:
        return None if values is None else RowsNotKept(data.named, *values.shape[1:])

    terms = {term.factor: term for term in data.spec.groups}
    factors = [
        replace(
            factor,
            **{
                name: unkept(getattr(factor, name))
                for name in ("Z", "index", "weights")
            },
            counts=_sizes(terms[factor.factor], data),
        )
        for factor in design.factors
    ]
    names = ("y", "X", "trials", "se", "weights", "offset")
    residual = design.residual
    if residual is not None:
        residual = (*residual[:2], unkept(residual[2]))
    return replace(
        design,
        **{name: unkept(getattr(design, name)) for name in names},
        factors=tuple(factors),
        residual=residual,
        unit=None,
        count=data.rows,
    )


def _sizes(term: GroupTerm, data: Streamed) -> NDArray[np.intp]:
    """Count the rows of each group of a factor."""
    labels, index, weights = memberships(term, data.specimen)
    index, sizes = index[data.first], data.sizes
    if weights is not None:
        member = weights[data.first] > 0
        index, sizes = index[member], np.repeat(sizes, member.sum(axis=1))
    counted = np.bincount(index, sizes, minlength=len(labels))
    return np.rint(counted).astype(np.intp)
