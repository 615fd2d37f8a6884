"""Data sets named at the command line: where they are from and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stanpool.base.errors import DataError, StanpoolError, quote, suggestion
from stanpool.base.table_files import (
    CsvFormat,
    kind_of,
    read_chunks,
    read_table,
    words_for_missing,
)
from stanpool.data.datasets import list_datasets, load_dataset

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.data.entries import EntriesError

Names = Callable[[set[Any]], Sequence[str]]


@dataclass(frozen=True)
class Source:
    """Data at the command line.

    Attributes
    ----------
    path
        A file, ``-`` for standard input, or the name of a data set that is part of
        stanpool.
    form
        How CSV is written.
    dropna
        Whether rows go that miss something in the columns used.
    tell
        Takes what a user must know of that.
    """

    path: Path
    form: CsvFormat
    dropna: bool
    tell: Callable[[str], None]

    def table(self, names: Names) -> pd.DataFrame:
        """Read all.

        Parameters
        ----------
        names
            Returns which of the columns are used.
        """
        name = str(self.path)
        if name == "-" or self.path.exists():
            return self._whole_rows(read_table(self.path, self.form), names)
        if name in list_datasets():
            return self._whole_rows(load_dataset(name), names)
        raise DataError(
            f"there is no file and no data set {quote(name)}."
            f"{suggestion(name, list_datasets())} 'stanpool datasets' lists those that "
            "come with stanpool."
        )

    def chunks(self, names: Names) -> Iterator[pd.DataFrame]:
        """Read a part at a time."""
        for part in read_chunks(self.path, lambda known: known, self.form):
            yield self._whole_rows(part, names)

    def _whole_rows(self, table: pd.DataFrame, names: Names) -> pd.DataFrame:
        """Return the rows that miss nothing, if others may go, and say how many do."""
        if not self.dropna:
            return table
        table = table.reset_index(drop=True)
        used = set(names(set(table.columns)))
        missing = table.loc[:, [name in used for name in table.columns]].isna()
        gone = missing.any(axis=1)
        if gone.any():
            counts = missing.sum()
            where = ", ".join(f"{n} in {quote(x)}" for x, n in counts.items() if n)
            self.tell(
                f"left out {int(gone.sum())} of {len(table)} rows, which have missing "
                f"values: {where}."
            )
        return table[~gone]

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say by which options entries that cannot serve are read, not by Python."""
        from stanpool.data.entries import EntriesError

        try:
            yield
        except EntriesError as error:
            raise error.advising(self._advice(error)) from None

    def _advice(self, error: EntriesError) -> str:
        if not error.is_missing:
            return (
                "--decimal ',' reads 1,5; --thousands ',' reads 1,000; --na takes "
                "words that stand for missing numbers."
            )
        advice = "--dropna leaves out rows with missing values in the columns used."
        if str(self.path) != "-" and kind_of(self.path) != ".csv":
            return advice
        return (
            f"{self._found(error.column)}{advice} --na takes the words that mean "
            "missing: --na '' if they are labels, and only empty entries are missing."
        )

    def _found(self, column: str) -> str:
        """Say what a file has where something is missing."""
        if not self.path.is_file():
            return ""
        with suppress(StanpoolError):
            words = words_for_missing(self.path, self.form, column)
            texts = [
                f"{w!r} ({n})" if w else f"nothing ({n})" for w, n in words.items()
            ]
            return f"The file has {', '.join(texts[:5])} there. "
        return ""
