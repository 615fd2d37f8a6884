"""Tables that are not in memory: what their columns are, and how their rows are had.

Libraries are recognised by the types of their tables, and none is imported for that.
What a library can do with rows where they are, it does: choose columns, count equal
rows, and apply a function to each partition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stanpool.base.errors import DataError, StanpoolError

BATCH_ROWS = 1 << 18

Batches = Iterable[Any]
Work = Callable[[Batches], Any]
Merge = Callable[[Sequence[Any]], Any]


@dataclass(frozen=True)
class LazyTable:
    """A table that is not in memory.

    Attributes
    ----------
    named
        What it is, in words for messages.
    columns
        The names of its columns.
    batches
        Returns the rows of some columns, a batch at a time: what ``as_frame`` reads.
    counted
        Returns the different rows of some columns, with the number of rows that are
        equal in one more column, whose name is passed; or None.
    partitions
        Applies a function of batches to each partition of some columns, where that is,
        and returns the results, or few that the second function has made of them; or
        None.
    again
        Whether the rows can be read again.
    """

    named: str
    columns: Sequence[str]
    batches: Callable[[list[str]], Batches]
    counted: Callable[[list[str], str], Batches] | None = None
    partitions: Callable[[list[str], Work, Merge], Iterable[Any]] | None = None
    again: bool = True


def lazy_table(data: Any) -> LazyTable | None:
    """Return what a table has that is not in memory; None if data are none.

    Raises
    ------
    DataError
        If its library refuses it, such as a relation whose connection was closed.
    """
    opener = _opener(data)
    if opener is None:
        return None
    kind, root = type(data).__name__, _root(type(data))
    named = f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind} of {root.strip('_')}"
    try:
        return opener(data, named)
    except Exception as problem:
        raise failure(named, problem) from problem


def is_lazy(data: Any) -> bool:
    """Whether data are a table that is not in memory, without asking it anything."""
    return _opener(data) is not None


def _opener(data: Any) -> Callable[[Any, str], LazyTable] | None:
    """Return what opens a table; None for what is in memory, or no table."""
    for cls in type(data).__mro__:
        found = _OPENERS.get((_root(cls), cls.__name__))
        if found is not None:
            return found
    # Tables in memory have this interface, too.
    in_memory = _root(type(data)) == "pandas" or hasattr(data, "to_pandas")
    return None if in_memory or not hasattr(data, "__arrow_c_stream__") else _stream


def _root(cls: type) -> str:
    """Return the package of a class."""
    return cls.__module__.split(".")[0]


def frames(named: str, batches: Callable[[], Batches]) -> Iterator[Any]:
    """Yield batches, and say in the words of their library why it gives no more."""
    try:
        for batch in batches():
            # Of pyarrow: columns that stay apart need not be copied.
            is_arrow = _root(type(batch)) == "pyarrow"
            yield batch.to_pandas(split_blocks=True) if is_arrow else batch
    except (StanpoolError, MemoryError):
        raise
    except Exception as problem:
        raise failure(named, problem) from problem


def failure(named: str, problem: Exception) -> Exception:
    """Say that rows could not be had, in the words of the library, and what to do."""
    if isinstance(problem, StanpoolError | MemoryError):
        return problem
    if isinstance(problem, FileNotFoundError) and isinstance(
        problem.__cause__, Exception
    ):
        problem = problem.__cause__  # that of fsspec is more exact
    text = " ".join(str(problem).split()).rstrip(".") or "no message"
    without_address = text.replace(named.strip("'"), "")  # whose 403 is no answer
    known = f"{type(problem).__name__}: {without_address}".lower()
    advice = next(
        (advice for words, advice in _ADVICE.items() if any(w in known for w in words)),
        "Read a few rows of it without stanpool to see what is wrong.",
    )
    return DataError(
        f"cannot read {named}: {type(problem).__name__}: {text[:400]}. {advice}"
    )


_ADVICE: Mapping[tuple[str, ...], str] = {
    (
        "access_denied",
        "access denied",
        "forbidden",
        "403",
        "credential",
        "permission",
        "unauthorized",
        "authentic",
    ): (
        "You are not permitted to read it, or the server does not know who you are: "
        "set the credentials as for any other program that reads it (such as "
        "AWS_PROFILE, or gcloud auth), or open it yourself and pass "
        "pyarrow.dataset.dataset(path, filesystem=...)."
    ),
    ("protocol not known",): (
        "Addresses begin with file://, s3://, gs:// or hdfs://, which pyarrow reads, "
        "or with a protocol of fsspec, such as https://, abfs:// or sftp://; "
        "fsspec.available_protocols() lists them. Check the spelling, or open it "
        "yourself and pass pyarrow.dataset.dataset(path, filesystem=...)."
    ),
    (
        *("network_connection", "connectionrefused", "connect to server", "timeout"),
        *("cannot connect", "name or service not known", "server error"),
    ): ("The server does not answer, or fails: check the address and the network."),
    ("libjvm", "libhdfs"): (
        "pyarrow reads hdfs:// by the libraries of Java and Hadoop: install them, and "
        "set JAVA_HOME and HADOOP_HOME."
    ),
    ("importerror", "modulenotfound"): (
        "Install the package that is named, which reads such addresses."
    ),
    ("filenotfound", "no such file", "not found", "no such bucket", "no_such"): (
        "There is nothing at this address, or you are not permitted to see it: check "
        "its spelling and your credentials."
    ),
    ("closed",): "Open the connection again, and create the table from it again.",
    ("already been read", "already consumed", "already been consumed"): (
        "A stream can be read only once: create it again."
    ),
}


def _polars(data: Any, named: str) -> LazyTable:
    import polars as pl

    def collected(lazy: Any) -> Batches:
        if hasattr(lazy, "collect_batches"):
            found: Batches = lazy.collect_batches(
                chunk_size=BATCH_ROWS, engine="streaming", lazy=True
            )
            return found
        whole: Any = lazy.collect(engine="streaming")
        slices: Batches = whole.iter_slices(BATCH_ROWS)
        return slices

    return LazyTable(
        named,
        data.collect_schema().names(),
        lambda columns: collected(data.select(columns)),
        counted=lambda columns, count: collected(
            data.group_by(columns).agg(pl.len().alias(count))
        ),
    )


def _dataset(data: Any, named: str) -> LazyTable:
    def batches(columns: list[str]) -> Batches:
        import pyarrow.dataset as ds

        # Little is read ahead, or it would fill the memory.
        options: dict[str, Any] = {"batch_readahead": 2, "fragment_readahead": 1}
        if isinstance(getattr(data, "format", None), ds.ParquetFileFormat):
            scan = ds.ParquetFragmentScanOptions(pre_buffer=False)
            options["fragment_scan_options"] = scan
        found: Batches = data.to_batches(
            columns=columns, batch_size=BATCH_ROWS, **options
        )
        return found

    return LazyTable(named, data.schema.names, batches)


def _duckdb(data: Any, named: str) -> LazyTable:
    def quoted(columns: Sequence[str]) -> str:
        return ", ".join('"' + name.replace('"', '""') + '"' for name in columns)

    def read(relation: Any) -> Batches:
        name = "to_arrow_reader"
        name = name if hasattr(relation, name) else "fetch_record_batch"
        found: Batches = getattr(relation, name)(BATCH_ROWS)
        return found

    return LazyTable(
        named,
        data.columns,
        lambda columns: read(data.project(quoted(columns))),
        counted=lambda columns, count: read(
            data.aggregate(f"{quoted(columns)}, count(*) AS {quoted([count])}")
        ),
    )


def _dask(data: Any, named: str) -> LazyTable:
    def partitions(columns: list[str], work: Work, merge: Merge) -> Iterable[Any]:
        import dask

        merge_later = dask.delayed(merge, pure=False)
        parts = [
            dask.delayed(work, pure=False)([each])
            for each in data[columns].to_delayed()
        ]
        while len(parts) > 1:
            pairs = [parts[at : at + 2] for at in range(0, len(parts), 2)]
            parts = [merge_later(pair) for pair in pairs]
        found: tuple[Any, ...] = dask.compute(*parts)
        return found

    return LazyTable(
        named,
        list(data.columns),
        lambda columns: (part.compute() for part in data[columns].partitions),
        partitions=partitions,
    )


def _spark(data: Any, named: str) -> LazyTable:
    def quoted(columns: list[str]) -> list[str]:
        return [f"`{name.replace('`', '``')}`" for name in columns]

    def chosen(columns: list[str]) -> Any:
        return data.select(*quoted(columns))

    def partitions(columns: list[str], work: Work, _: Merge) -> Iterable[Any]:
        import pickle

        from pyspark import cloudpickle

        def reduced(batches: Batches) -> Iterator[Any]:
            import pyarrow as pa

            found = cloudpickle.dumps(work(batches))
            yield pa.RecordBatch.from_pydict({"found": pa.array([found], pa.binary())})

        rows = chosen(columns).mapInArrow(reduced, "found binary").collect()
        return [pickle.loads(row[0]) for row in rows]

    def counted(columns: list[str], count: str) -> Batches:
        from pyspark.sql import functions

        groups = data.groupBy(*quoted(columns))
        return [groups.agg(functions.count(functions.lit(1)).alias(count)).toArrow()]

    return LazyTable(
        named,
        data.columns,
        lambda columns: chosen(columns).toArrow().to_batches(BATCH_ROWS),
        counted=counted,
        partitions=partitions,
    )


def _ray(data: Any, named: str) -> LazyTable:
    def partitions(columns: list[str], work: Work, _: Merge) -> Iterable[Any]:
        import pickle

        def reduced(batch: Any) -> Any:
            import numpy as np

            return {"found": np.array([pickle.dumps(work([batch]))], dtype=object)}

        found = data.select_columns(columns).map_batches(
            reduced, batch_size=None, batch_format="pyarrow"
        )
        return [pickle.loads(row["found"]) for row in found.take_all()]

    return LazyTable(
        named,
        data.columns(),
        lambda columns: data.select_columns(columns).iter_batches(
            batch_size=BATCH_ROWS, batch_format="pyarrow"
        ),
        partitions=partitions,
    )


def _stream(data: Any, named: str) -> LazyTable:
    """Take what hands over its rows by Arrow's interface of C, at once or once."""
    import pyarrow as pa

    is_reader = isinstance(data, pa.RecordBatchReader)
    reader = data if is_reader else pa.RecordBatchReader.from_stream(data)

    def batches(columns: list[str]) -> Batches:
        return (batch.select(columns) for batch in reader)

    return LazyTable(named, reader.schema.names, batches, again=False)


_OPENERS: Mapping[tuple[str, str], Callable[[Any, str], LazyTable]] = {
    ("polars", "LazyFrame"): _polars,
    ("pyarrow", "Dataset"): _dataset,
    ("pyarrow", "RecordBatchReader"): _stream,
    ("duckdb", "DuckDBPyRelation"): _duckdb,
    ("_duckdb", "DuckDBPyRelation"): _duckdb,
    ("dask", "DataFrame"): _dask,
    ("pyspark", "DataFrame"): _spark,
    ("ray", "Dataset"): _ray,
    ("ibis", "Table"): _stream,
}
