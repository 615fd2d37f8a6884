"""Data whose rows are not kept: read once, in chunks, and reduced on the way.

What a likelihood on reduced rows needs can be updated one chunk after the other, and
what was kept of two parts of the data adds up to what would be kept of both.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from stanpool.base.arrays import keep_freed_memory
from stanpool.base.errors import DataError, SpecError, quote
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.base.system.parallel import run_many
from stanpool.base.table_files import kind_of, read_chunks
from stanpool.data.columns import as_frame, column_named, names_in
from stanpool.data.design.outcome import expressions
from stanpool.data.entries import EntriesError, rows_counted_from
from stanpool.data.matrix.model_matrix import refuse_dependent
from stanpool.data.statistics.growing import BLOCK_ROWS
from stanpool.data.statistics.reader import Reader
from stanpool.data.statistics.statistics import Statistics
from stanpool.data.tables.lazy import Batches, LazyTable, failure, frames, lazy_table
from stanpool.data.tables.remote import address_of, opened, parts_of
from stanpool.language.formulas.formula_text import formula_of
from stanpool.language.model_spec import ModelSpec

_MERGED_TOGETHER = 8


def read(spec: ModelSpec, data: Any) -> Statistics:
    """Go through the data of a model once.

    Parameters
    ----------
    spec
        A model that ``why_not_chunked`` has nothing against.
    data
        A path or an address, a table that is not in memory, a data frame, an iterator
        of data frames, or a function that returns one.

    Raises
    ------
    SpecError, DataError
        If a term needs other rows than its own, or the data cannot serve the model.
    """
    keep_freed_memory()
    refuse_dependent([*expressions(spec), *spec.all_terms])
    address = address_of(data)
    if address:
        found = _read(spec, opened(address))
        return replace(found, named=repr(address), source=address)
    return _read(spec, data)


def read_parts(
    spec: ModelSpec, data: Any, *, executor: AnyExecutor | None, progress: bool
) -> Statistics:
    """Read the parts of data on an executor, and merge what is kept as a tree.

    Parameters
    ----------
    spec, data
        As for ``read``; a list is one of parts.
    executor, progress
        As for ``run_many``.
    """
    # Files that one process reads are one part: nothing has to be merged.
    is_apart = executor is not None or isinstance(data, list | tuple)
    parts = parts_of(data) if is_apart else [data]
    if len(parts) == 1:
        return read(spec, parts[0])
    run = partial(run_many, executor=executor, progress=progress)
    found = run(partial(read, spec), parts, title="Reducing parts of the data")
    while len(found) > _MERGED_TOGETHER:
        some = [
            found[at : at + _MERGED_TOGETHER]
            for at in range(0, len(found), _MERGED_TOGETHER)
        ]
        found = run(merged, some, title="Merging statistics")
    named = f"{len(parts)} parts" if isinstance(data, list | tuple) else repr(str(data))
    return replace(merged(found), named=named)


def merged(parts: Sequence[Statistics]) -> Statistics:
    """Return what would be kept of the data of all parts, to rounding.

    Raises
    ------
    SpecError
        If they were made for different models.
    DataError
        If a column has another type in one part than in another.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.spec != first.spec:
            raise SpecError(
                f"statistics of {formula_of(first.spec)!r} ({first.spec.family}) and "
                f"of {formula_of(part.spec)!r} ({part.spec.family}) do not add up. "
                "Reduce all parts by one formula, with the same options."
            )
    reader = Reader(first.spec)
    for part in parts:
        reader.join(part)
    names = list(dict.fromkeys(part.named for part in parts))
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return reader.finish(" and ".join(names[:2]) + more, None)


def _read(spec: ModelSpec, data: Any) -> Statistics:
    """Go through data that are no address."""
    table = lazy_table(data)
    if table is not None:
        return _read_lazy(spec, table, data if table.again else None)
    chunks, source, named = data, None, "an iterator"
    if isinstance(data, str | os.PathLike):
        path = source = Path(data)
        named = repr(str(path))
        chunks = read_chunks(path, lambda known: _chosen(spec, known))
    elif callable(data):
        chunks, source, named = data(), data, "a function"
    elif not isinstance(data, Iterator):
        chunks, named = [data], "a data frame"
    try:
        return _read_chunks(spec, chunks, named, source)
    except DataError as problem:
        if not isinstance(source, Path) or not source.exists():
            raise
        if isinstance(problem, EntriesError):
            advice = f"{problem.advice} {_how_to_change(source)}"
            raise problem.advising(advice) from None
        raise DataError(f"{problem} {_how_to_change(source)}") from None


def _read_chunks(
    spec: ModelSpec, chunks: Iterable[Any], named: str, source: Any
) -> Statistics:
    reader = Reader(spec)
    for first, block in _blocks(spec, chunks):
        with rows_counted_from(first):
            reader.add(block)
    return reader.finish(named, source)


def _read_lazy(spec: ModelSpec, table: LazyTable, source: Any) -> Statistics:
    """Go through a table that is not in memory, as far as possible where it is."""
    columns = _chosen(spec, list(table.columns))
    if table.counted is not None and not spec.is_gaussian:
        return _read_counted(spec, table, columns, source)
    if table.partitions is None:
        chunks = frames(table.named, lambda: table.batches(columns))
        return _read_chunks(spec, chunks, table.named, source)
    work = partial(_read_batches, spec, table.named)
    try:
        parts = list(table.partitions(columns, work, merged))
    except Exception as problem:
        raise failure(table.named, problem) from problem
    nothing = Statistics.nothing(spec, table.named, source)
    return replace(merged([nothing, *parts]), named=table.named, source=source)


def _read_batches(spec: ModelSpec, named: str, batches: Batches) -> Statistics:
    """Reduce a partition, where it is."""
    return _read_chunks(spec, frames(named, lambda: batches), named, None)


def _read_counted(
    spec: ModelSpec, table: LazyTable, columns: list[str], source: Any
) -> Statistics:
    """Take different rows and how many there are of each from who keeps the table."""
    assert table.counted is not None
    counted, count = table.counted, "stanpool_rows"
    while count in columns:
        count += "_"
    reader = Reader(spec)
    for frame in frames(table.named, lambda: counted(columns, count)):
        block = as_frame(frame)
        if len(block):
            counts = block[count].to_numpy(dtype="int64")
            reader.add(block[columns].reset_index(drop=True), counts)
    return reader.finish(table.named, source)


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
    columns: Any = None
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
        if not frame.columns.equals(columns):
            # The first ones say what the model's names mean in all.
            names = names or names_in(spec, set(frame.columns))
            try:
                for name in names:
                    column_named(name, frame)
            except DataError as problem:
                raise DataError(
                    f"in the chunk from row {start + size} on, {problem}"
                ) from None
            columns = frame.columns
        if len(columns) != len(names):
            frame = frame.loc[:, names]
        if waiting and not frame.dtypes.equals(waiting[0].dtypes):
            yield start, _joined(waiting)
            waiting, start, size = [], start + size, 0
        for at in range(0, len(frame), BLOCK_ROWS):
            waiting.append(frame.iloc[at : at + BLOCK_ROWS])
            size += len(waiting[-1])
            if 2 * size > BLOCK_ROWS:  # joining more of them would copy all
                yield start, _joined(waiting)
                waiting, start, size = [], start + size, 0
    if waiting:
        yield start, _joined(waiting)


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return one frame of all rows, numbered from 0."""
    if len(parts) == 1:
        return parts[0].reset_index(drop=True)
    return pd.concat(parts, ignore_index=True)
