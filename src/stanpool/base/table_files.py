"""Tables in CSV, Parquet and Feather files, and tables as JSON."""

from __future__ import annotations

import codecs
import csv
import json
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

from stanpool.base.errors import DataError, SpecError, StanpoolError, quote, quote_list
from stanpool.base.system.files import writing

if TYPE_CHECKING:
    import pandas as pd

CHUNK_ROWS = 1 << 20

Table = TypeVar("Table")

_READERS = {
    ".csv": "read_csv",
    ".tsv": "read_csv",
    ".tab": "read_csv",
    ".txt": "read_csv",
    ".parquet": "read_parquet",
    ".pq": "read_parquet",
    ".feather": "read_feather",
    ".arrow": "read_feather",
}
_READ_ONLY = (".tsv", ".tab", ".txt")
_SEPARATORS = (",", "\t", ";", "|")
_NEVER = "\x1f"  # no separator of anybody's


@dataclass(frozen=True)
class CsvFormat:
    """How numbers and missing values are written in a file of CSV.

    Attributes
    ----------
    sep
        The character between columns, `` `` for any space; None for the one of comma,
        tab, semicolon and bar that parts most columns in the first line.
    decimal, thousands
        The marks in numbers, as in ``1.5`` and ``1,000``.
    encoding
        As Python names it.
    na
        The words for what is missing, beside nothing at all; None for those that
        pandas knows, such as ``NA``, ``None`` and ``n/a``.

    Raises
    ------
    SpecError
        If marks are no single characters or the same, or there is no such encoding.
    """

    sep: str | None = None
    decimal: str = "."
    thousands: str | None = None
    encoding: str = "utf-8"
    na: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Check the marks and the encoding."""
        if self.sep in ("\\t", "tab"):
            object.__setattr__(self, "sep", "\t")
        marks = [each for each in (self.sep, self.decimal, self.thousands) if each]
        for mark in marks:
            if len(mark) != 1:
                raise SpecError(f"{quote(mark)} must be one character.")
        if len(set(marks)) < len(marks):
            raise SpecError(
                f"separator, decimal and thousands mark are {quote_list(marks)}, and "
                "must "
                "differ."
            )
        try:
            codecs.lookup(self.encoding)
        except (LookupError, ValueError):
            raise SpecError(
                f"there is no encoding {quote(self.encoding)}; common ones are utf-8, "
                "latin-1, cp1252 and utf-16."
            ) from None

    def options(self, first_line: str) -> dict[str, Any]:
        """Return the arguments of ``pandas.read_csv``."""
        sep = self.sep or _separator(first_line, self.decimal)
        options: dict[str, Any] = {
            "sep": r"\s+" if sep == " " else sep,
            "decimal": self.decimal,
            "thousands": self.thousands,
            "encoding": self.encoding,
        }
        if self.na is not None:
            options |= {"na_values": ["", *self.na], "keep_default_na": False}
        return options


def _separator(line: str, decimal: str) -> str:
    """Return the separator that gives most columns, by default a comma."""
    possible = [each for each in _SEPARATORS if each != decimal]
    return max(possible, key=lambda sep: len(_fields(line, sep)))


def _fields(line: str, sep: str) -> list[str]:
    return next(csv.reader([line], delimiter=sep), [])


def read_table(path: Path, form: CsvFormat | None = None, **more: Any) -> pd.DataFrame:
    """Read a table from a file, whose format is given by the end of its name.

    CSV may be compressed, as in ``radon.csv.gz``, and a path of ``-`` is CSV on
    standard input. Parquet and Feather need pyarrow.

    Parameters
    ----------
    path
        The file.
    form
        The format of CSV.
    more
        More arguments of ``pandas.read_csv``.

    Raises
    ------
    DataError
        If the file cannot be read in the format of its name.
    """
    import pandas as pd

    kind = ".csv" if str(path) == "-" else kind_of(path)
    if not kind and path.is_dir():
        raise DataError(f"{str(path)!r} is a folder; give the name of a file in it.")
    if not kind:
        raise DataError(
            f"{str(path)!r} has an extension that cannot be read; its name must end "
            f"in one of {quote_list(_READERS, limit=9)}."
        )
    read: Callable[[], Any] = partial(getattr(pd, _READERS[kind]), path)
    if kind == ".csv":
        read = partial(_read_csv, path, form, low_memory=False, **more)
    table: pd.DataFrame = _reading(path, read)
    return table


def _read_csv(path: Path, form: CsvFormat | None, **more: Any) -> Any:
    """Read CSV, or return a reader of its parts; repeated names of columns stay."""
    import pandas as pd

    form = form or CsvFormat()
    source, line = _opened(path, form.encoding)
    options = form.options(line)
    read = pd.read_csv(source, **options, **more)
    if "chunksize" in more:
        return read
    names = _fields(line, options["sep"]) if len(options["sep"]) == 1 else []
    if len(set(names)) < len(names) == len(read.columns):
        read.columns = pd.Index(names)
    _refuse_repeated_header(read, 0)
    return read


def _opened(path: Path, encoding: str) -> tuple[Any, str]:
    """Return what pandas reads, and the first line of it."""
    import io
    import sys

    import pandas as pd

    if str(path) == "-":
        if not hasattr(sys.stdin, "buffer"):
            text = sys.stdin.read()
            return io.StringIO(text), next(iter(text.splitlines()), "")
        source = io.BufferedReader(sys.stdin.buffer, 1 << 16)  # type: ignore[type-var]
        text = source.peek(1).decode(encoding, "replace").lstrip("\ufeff")
        return source, next(iter(text.splitlines()), "")
    first = pd.read_csv(
        path,
        sep=_NEVER,
        header=None,
        nrows=1,
        dtype=str,
        na_filter=False,
        quoting=csv.QUOTE_NONE,
        encoding=encoding,
    )
    return path, str(first.iloc[0, 0])


def _refuse_repeated_header(table: pd.DataFrame, first: int) -> None:
    """Refuse rows that are the header again, as in files that were joined."""
    if not len(table.columns) or table.dtypes.iloc[0].kind not in "OU":
        return
    for row in (table.iloc[:, 0] == table.columns[0]).to_numpy().nonzero()[0]:
        if [str(value) for value in table.iloc[row]] == list(table.columns):
            raise DataError(
                f"row {first + row}, counted from 0, repeats the header, as in "
                "concatenated files. Remove such lines."
            )


def words_for_missing(path: Path, form: CsvFormat, column: str) -> dict[str, int]:
    """Count what a file of CSV has where a column's values were taken as missing."""
    missing = read_table(path, form, usecols=[column])[column].isna()
    texts = read_table(
        path, replace(form, na=None), usecols=[column], dtype=str, na_filter=False
    )
    counts: pd.Series[int] = texts[column][missing].value_counts()
    return {str(word): int(count) for word, count in counts.items()}


def read_chunks(
    path: Path,
    choose: Callable[[list[str]], list[str]],
    form: CsvFormat | None = None,
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
    form
        The format of CSV.

    Raises
    ------
    DataError
        If there is no such file, or it cannot be read.
    """
    files = files_in(path) if path.is_dir() else [path]
    if not files:
        raise DataError(
            f"there is no file of Parquet or CSV in the folder {str(path)!r}. In a "
            "folder, stanpool reads files whose names end in .parquet or .csv, also "
            "compressed ones."
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
                f"{str(file)!r} cannot be read in chunks. Only files whose names say "
                "that they are CSV or Parquet can. Read it with pandas, and pass the "
                "data frame."
            )
        own = values[file]

        def columns(known: list[str], own: Mapping[str, Any] = own) -> list[str]:
            return [name for name in choose([*known, *own]) if name not in own]

        if kind == ".csv":
            parts = _parts_of_csv(file, columns, form)
        else:
            parts = _parts_of_parquet(file, columns)
        while (part := _reading(file, partial(next, parts, None))) is not None:
            yield part.assign(**own)


def files_in(folder: Path) -> list[Path]:
    """Return the files of a table in a folder: Parquet, or CSV if there is none."""
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.rglob("*")):
        # What those who write such folders keep there for themselves.
        is_hidden = any(
            part.startswith((".", "_")) for part in file.relative_to(folder).parts
        )
        is_notes = ".txt" in file.suffixes
        if file.is_file() and not is_hidden and not is_notes:
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
    suffixes = [each.lower() for each in reversed(path.suffixes)]
    kind = next((each for each in suffixes if each in _READERS), "")
    same = {".pq": ".parquet", **dict.fromkeys(_READ_ONLY, ".csv")}
    return same.get(kind, kind)


def _parts_of_csv(
    path: Path, choose: Callable[[list[str]], list[str]], form: CsvFormat | None
) -> Iterator[pd.DataFrame]:
    """Read CSV, compressed or not; pandas infers types anew in each part."""
    first = 0
    with _read_csv(path, form, chunksize=CHUNK_ROWS) as parts:
        for part in parts:
            _refuse_repeated_header(part, first)
            first += len(part)
            yield part[choose(list(part.columns))]


def _parts_of_parquet(
    path: Path, choose: Callable[[list[str]], list[str]]
) -> Iterator[pd.DataFrame]:
    """Read some columns of a Parquet file, in batches, and text as numbered levels."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(path)
    wanted = choose(list(schema.names))
    texts = [name for name in wanted if pa.types.is_string(schema.field(name).type)]
    # Nothing is read ahead, or all of the file would be.
    with pq.ParquetFile(path, pre_buffer=False, read_dictionary=texts) as file:
        batches = chain.from_iterable(
            # Batches across the ends of row groups would be copied.
            file.iter_batches(CHUNK_ROWS, [group], wanted, use_threads=False)
            for group in range(file.num_row_groups)
        )
        for batch in _one_ahead(batches):
            others = batch.select([each for each in wanted if each not in texts])
            frame = others.to_pandas(split_blocks=True)
            for name in texts:
                values = pd.arrays.ArrowExtensionArray(batch.column(name))
                frame[name] = pd.Series(values, index=frame.index)
            yield frame[wanted]


def _one_ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Yield items, while another thread reads the next one."""
    with ThreadPoolExecutor(1) as other:
        coming = other.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = other.submit(next, items, None)
            yield item


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, Parquet or Feather, by the name of the file.

    Raises
    ------
    DataError
        If the name has another ending.
    StorageError
        If the file cannot be written.
    """
    suffix = path.suffix.lower()
    kind = _READERS.get(suffix)
    if kind is None or suffix in _READ_ONLY:
        written = [each for each in _READERS if each not in _READ_ONLY]
        raise DataError(
            f"{str(path)!r} has an extension that cannot be written; its name must "
            f"end in one of {quote_list(written)}."
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


def as_json(value: Any, *, indent: int | None = 2, escaped: bool = False) -> str:
    """Write values and tables as JSON, with null for numbers that are not finite.

    Tables are lists of rows, with the index in front. Letters outside of ASCII stand as
    they are, unless they are to be escaped.

    Examples
    --------
    >>> print(as_json({"r_hat": float("nan"), "chains": 4}))
    {
      "r_hat": null,
      "chains": 4
    }
    """
    return json.dumps(
        _plain(value), indent=indent, ensure_ascii=escaped, allow_nan=False
    )


def _reading(path: Path, read: Callable[[], Table]) -> Table:
    """Read a file, and name it in errors."""
    name = "standard input" if str(path) == "-" else str(path)
    try:
        return read()
    except ImportError:
        raise _without_pyarrow(name) from None
    except StanpoolError:
        raise
    except UnicodeDecodeError as problem:
        byte = problem.object[problem.start : problem.start + 1]
        raise DataError(
            f"cannot read {name!r} as {problem.encoding}: it contains the byte "
            f"{byte!r}. Say how it is encoded (--encoding at the command line): files "
            "from Excel and older programs are often cp1252, latin-1 or utf-16."
        ) from None
    except MemoryError:
        raise
    except Exception as problem:  # damaged files: of gzip, zip, xz, Arrow, ...
        text = str(problem).strip().rstrip(".") or type(problem).__name__
        raise DataError(f"cannot read {name!r} as a table: {text}.") from None


def _without_pyarrow(name: object) -> DataError:
    return DataError(f"{str(name)!r} needs pyarrow: pip install 'stanpool[parquet]'.")


def _plain(value: Any) -> Any:
    """Turn tables, arrays and mappings into values of JSON."""
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
