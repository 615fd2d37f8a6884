"""Tables in files, CSV, Parquet and Feather, and tables as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stanpool.errors import DataError, listed

if TYPE_CHECKING:
    import pandas as pd

CHUNK_ROWS = 1 << 18

Table = TypeVar("Table")

_READERS = {
    ".csv": "read_csv",
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".feather": "read_feather",
    ".arrow": "read_feather",
}


def read_table(path: Path) -> pd.DataFrame:
    """Read a table; the end of the file's name says what it is.

    CSV may be compressed, as in ``radon.csv.gz``, and a path of ``-`` is CSV on
    standard input. Parquet and Feather need pyarrow.

    Raises
    ------
    DataError
        If the file cannot be read as what its name says it is.
    """
    import sys

    import pandas as pd

    if str(path) == "-":
        return _reading("standard input", lambda: pd.read_csv(sys.stdin))
    kind = _kind(path)
    if not kind:
        raise DataError(
            f"{str(path)!r} is no kind of table that is read here; its name must end "
            f"in one of {listed(_READERS)}."
        )
    table: pd.DataFrame = _reading(str(path), lambda: getattr(pd, _READERS[kind])(path))
    return table


def read_chunks(
    path: Path, choose: Callable[[list[str]], list[str]]
) -> Iterator[pd.DataFrame]:
    """Read a table a part at a time: CSV, Parquet, or a folder of Parquet files.

    Parameters
    ----------
    path
        As for ``read_table``.
    choose
        Which of the columns to read.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read.
    """
    files = [path]
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if _kind(each) == ".parquet")
    if not files or not (str(path) == "-" or path.exists()):
        raise DataError(f"there is no table {str(path)!r}: no CSV, no Parquet.")
    for file in files:
        kind = ".csv" if str(file) == "-" else _kind(file)
        if kind not in (".csv", ".parquet"):
            raise DataError(
                f"{str(file)!r} cannot be read in chunks: CSV and Parquet can, and the "
                "name says which it is."
            )
        parts = (_parts_of_csv if kind == ".csv" else _parts_of_parquet)(file, choose)
        while (part := _reading(str(file), partial(next, parts, None))) is not None:
            yield part


def _kind(path: Path) -> str:
    """Return what kind of table a file's name says it is: ``.csv``, ``.parquet``."""
    kind = next((each for each in reversed(path.suffixes) if each in _READERS), "")
    return ".parquet" if kind == ".pq" else kind


def _parts_of_csv(
    path: Path, choose: Callable[[list[str]], list[str]]
) -> Iterator[pd.DataFrame]:
    """Read CSV, compressed or not; pandas infers types anew in each part."""
    import sys

    import pandas as pd

    source = sys.stdin if str(path) == "-" else path
    with pd.read_csv(source, chunksize=CHUNK_ROWS) as parts:
        for part in parts:
            yield part[choose(list(part.columns))]


def _parts_of_parquet(
    path: Path, choose: Callable[[list[str]], list[str]]
) -> Iterator[pd.DataFrame]:
    """Read some columns of a Parquet file, in batches."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        wanted = choose(list(file.schema_arrow.names))
        for batch in file.iter_batches(batch_size=CHUNK_ROWS, columns=wanted):
            yield batch.to_pandas()


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write the columns of a table: CSV, Parquet or Feather by the file's name.

    Raises
    ------
    DataError
        If the name ends in something else.
    """
    kind = _READERS.get(path.suffix)
    if kind is None:
        raise DataError(
            f"{str(path)!r} is no kind of table that is written here; its name must "
            f"end in one of {listed(_READERS)}."
        )
    table = table.set_axis(table.columns.astype(str), axis=1)
    if kind == "read_csv":
        table.to_csv(path, index=False)
        return
    try:
        table.to_parquet(path) if kind == "read_parquet" else table.to_feather(path)
    except ImportError:
        raise _without_pyarrow(path) from None


def as_json(value: Any, *, indent: int | None = 2) -> str:
    """Write values and tables as JSON; what is not finite is null.

    Tables are lists of rows, with the index in front.

    Examples
    --------
    >>> print(as_json({"r_hat": float("nan"), "chains": 4}))
    {
      "r_hat": null,
      "chains": 4
    }
    """
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False)


def _reading(name: str, read: Callable[[], Table]) -> Table:
    """Read, and say which file it was if that fails."""
    try:
        return read()
    except ImportError:
        raise _without_pyarrow(name) from None
    except (ValueError, OSError) as problem:
        raise DataError(f"cannot read {name!r} as a table: {problem}") from None


def _without_pyarrow(name: object) -> DataError:
    return DataError(f"{str(name)!r} needs pyarrow: pip install 'stanpool[parquet]'.")


def _plain(value: Any) -> Any:
    """Turn tables, arrays and mappings into what JSON has."""
    if hasattr(value, "to_dict") and hasattr(value, "reset_index"):
        value = value.reset_index().to_dict("records")
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
