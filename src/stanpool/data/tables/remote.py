"""Tables at addresses, such as ``s3://bucket/rows.parquet``, and parts of tables."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from stanpool.base.errors import DataError
from stanpool.base.table_files import files_in, kind_of
from stanpool.data.tables.lazy import BATCH_ROWS, failure

_PARTS = 32
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/+(?=.)", re.IGNORECASE)


def address_of(path: object) -> str:
    """Return the address that a path is; empty if it is a path of this machine.

    Examples
    --------
    >>> address_of("s3://bucket/rows.parquet"), address_of("rows.parquet")
    ('s3://bucket/rows.parquet', '')
    >>> address_of(Path("s3://bucket/rows.parquet"))  # where one slash is lost
    's3://bucket/rows.parquet'
    """
    if not isinstance(path, str | os.PathLike):
        return ""
    text = str(path)
    found = _ADDRESS.match(text)
    if not found:
        return ""
    slashes = "///" if found[1] == "file" else "//"
    return f"{found[1]}:{slashes}{text[found.end() :]}"


def opened(address: str) -> Any:
    """Return what is at an address: a ``pyarrow.dataset.Dataset``, or CSV in chunks.

    Raises
    ------
    DataError
        If there is nothing, or who runs this may not read it.
    """
    try:
        import pyarrow.dataset as ds
    except ImportError:
        raise DataError(
            f"{address!r} needs pyarrow: pip install 'stanpool[parquet]'."
        ) from None
    try:
        system, path = _file_system(address)
        if kind_of(Path(path)) == ".csv":
            return _csv_of(address, system, path)
        return ds.dataset(path, filesystem=system, partitioning="hive")
    except Exception as problem:
        raise failure(repr(address), problem) from problem


def _file_system(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path there."""
    from pyarrow import fs

    try:
        return fs.FileSystem.from_uri(address)  # type: ignore[no-any-return]
    except (ValueError, NotImplementedError):  # of another kind, or not built in
        pass
    try:
        import fsspec
    except ImportError:
        kind = address.partition(":")[0]
        raise DataError(
            f"{address!r}: pyarrow reads no addresses of {kind!r} by itself; with "
            "fsspec it does: pip install 'stanpool[remote]'."
        ) from None
    system, path = fsspec.core.url_to_fs(address)
    system.info(path)  # says what is wrong, which pyarrow does not pass on
    return fs.PyFileSystem(fs.FSSpecHandler(system)), path


def _csv_of(address: str, system: Any, path: str) -> Callable[[], Iterator[Any]]:
    """Return a function that reads CSV in chunks."""

    def chunks() -> Iterator[Any]:
        import pandas as pd

        try:
            with system.open_input_stream(path) as stream:
                yield from pd.read_csv(stream, chunksize=BATCH_ROWS)
        except Exception as problem:
            raise failure(repr(address), problem) from problem

    return chunks


def parts_of(data: Any) -> list[Any]:
    """Split data into parts that can be read apart, also by other processes.

    Parameters
    ----------
    data
        A ``pyarrow.dataset.Dataset`` of Parquet, or the path or address of one; all
        else is one part. A list is one of parts already.
    """
    if isinstance(data, list | tuple):
        return list(data)
    found = opened(address_of(data)) if address_of(data) else data
    if isinstance(found, str | os.PathLike):
        path = Path(found)
        files = files_in(path) if path.is_dir() else [path]
        if not files or any(kind_of(file) != ".parquet" for file in files):
            return [data]
        import pyarrow.dataset as ds

        hive = ds.HivePartitioning.discover()
        found = ds.dataset(
            [str(file) for file in files],
            format="parquet",
            partitioning=hive,
            partition_base_dir=str(path),
        )
    if not hasattr(found, "get_fragments") or not hasattr(found, "filesystem"):
        return [data]
    groups = [
        group for each in found.get_fragments() for group in each.split_by_row_group()
    ]
    size = -(-len(groups) // _PARTS) or 1
    return [
        type(found)(
            groups[at : at + size], found.schema, found.format, found.filesystem
        )
        for at in range(0, len(groups), size)
    ]
