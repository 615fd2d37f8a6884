"""Tables in files, CSV, Parquet and Feather, and tables as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from stanpool.errors import DataError, listed
from stanpool.files import writing

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
    kind = kind_of(path)
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
    """Read a table a part at a time: CSV, Parquet, or a folder of files of one kind.

    Folders in a folder may be named after a column and its value in all of their rows,
    as in ``year=2026/rows.parquet``.

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
    files = _files_in(path) if path.is_dir() else [path]
    if not files:
        raise DataError(
            f"there is no file of Parquet or CSV in {str(path)!r}. Of a folder these "
            "are read, and their names say what they are."
        )
    if str(path) != "-" and not path.exists():
        raise DataError(
            f"there is no file {str(path)!r}. Give the path of a CSV or Parquet file, "
            "or of a folder of these."
        )
    values = _values_of_folders(path, files)
    for file in files:
        kind = ".csv" if str(file) == "-" else kind_of(file)
        if kind not in (".csv", ".parquet"):
            raise DataError(
                f"{str(file)!r} cannot be read in chunks: CSV and Parquet can, and the "
                "name says which it is. Read it by pandas, and pass the data frame."
            )
        own = values[file]

        def columns(known: list[str], own: Mapping[str, Any] = own) -> list[str]:
            return [name for name in choose([*known, *own]) if name not in own]

        parts = (_parts_of_csv if kind == ".csv" else _parts_of_parquet)(file, columns)
        while (part := _reading(str(file), partial(next, parts, None))) is not None:
            yield part.assign(**own)


def _files_in(folder: Path) -> list[Path]:
    """Return the files of a table in a folder: Parquet, or CSV if there is none."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        # What those who write such folders keep there for themselves.
        is_hidden = any(
            part.startswith((".", "_")) for part in file.relative_to(folder).parts
        )
        if file.is_file() and not is_hidden:
            found.setdefault(kind_of(file), []).append(file)
    return found.get(".parquet") or found.get(".csv") or []


def _values_of_folders(path: Path, files: list[Path]) -> dict[Path, dict[str, Any]]:
    """Return the columns that the names of a file's folders give it."""
    values: dict[Path, dict[str, Any]] = {}
    for file in files:
        folders = file.relative_to(path).parts[:-1] if path.is_dir() else ()
        pairs = (part.partition("=") for part in folders if "=" in part)
        values[file] = {name: unquote(value) for name, _, value in pairs}
    for name in {name for own in values.values() for name in own}:
        if all(_is_whole(own.get(name, "")) for own in values.values()):
            for own in values.values():
                own[name] = int(own[name])
    return values


def _is_whole(text: str) -> bool:
    """Whether a text is a whole number as Python writes it."""
    return text.lstrip("-").isdecimal() and str(int(text)) == text


def kind_of(path: Path) -> str:
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
    StorageError
        If the file cannot be written.
    """
    kind = _READERS.get(path.suffix.lower())
    if kind is None:
        raise DataError(
            f"{str(path)!r} is no kind of table that is written here; its name must "
            f"end in one of {listed(_READERS)}."
        )
    table = table.set_axis(table.columns.astype(str), axis=1)
    write: dict[str, Callable[..., Any]] = {
        "read_csv": partial(table.to_csv, index=False),
        "read_parquet": table.to_parquet,
        "read_feather": table.to_feather,
    }
    with writing(path) as file:
        try:
            write[kind](file)
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
    except DataError:
        raise
    except (ValueError, OSError) as problem:
        text = str(problem).strip().rstrip(".")
        raise DataError(f"cannot read {name!r} as a table: {text}.") from None


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
