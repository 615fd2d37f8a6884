"""What is kept of data whose rows are not: a value that can be saved and added to."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote_list
from stanpool.base.system.files import explained, writing
from stanpool.data.entries import level_text
from stanpool.language.formulas.formula_text import formula_of, spec_of
from stanpool.language.model_spec import ModelSpec

FORMAT = 1  # of saved statistics

# Labels of columns that no term of a user's can have.
UNIT, OFFSET, OUTCOME = "Intercept", "\0offset", "\0outcome"


@dataclass(frozen=True, eq=False)
class ReducedColumns:
    """Rows with the same sums of products as all rows of the data.

    Attributes
    ----------
    labels
        The labels of the columns: a column of ones comes first, the outcome last.
    values
        The columns minus ``shift``, shape ``(P, columns)``.
    shift
        What was subtracted from each column before the rows were reduced.
    group
        The group of each row among all combinations of groups, counted from 0.
    """

    labels: tuple[str, ...]
    values: Array
    shift: Array
    group: NDArray[np.intp]


@dataclass(frozen=True)
class LevelOrder:
    """How the levels of a column are sorted.

    Attributes
    ----------
    given
        The order that the data give them; without one they are sorted as text, and
        whole numbers by size.
    ordered
        Whether the data say that the order means something.
    by_size
        Whether the texts are those of numbers with decimals.
    """

    given: tuple[str | int, ...] = ()
    ordered: bool = False
    by_size: bool = False

    @classmethod
    def of(cls, dtype: Any) -> LevelOrder:
        """Return the order of a column of the user's."""
        if isinstance(dtype, pd.CategoricalDtype):
            whole = pd.api.types.is_integer_dtype(dtype.categories.dtype)
            read = int if whole else level_text
            return cls(tuple(map(read, dtype.categories)), bool(dtype.ordered))
        return cls(by_size=pd.api.types.is_float_dtype(dtype))

    def joined(self, other: LevelOrder) -> LevelOrder | None:
        """Return the order of both columns' levels; None if they contradict."""
        if self == other:
            return self
        if self.ordered or other.ordered:
            return None
        return LevelOrder(by_size=self.by_size and other.by_size)

    def argsort(self, levels: pd.Index[Any]) -> NDArray[np.intp]:
        """Return the numbers of levels, from 0, in their order."""
        if self.given:
            place = {level: at for at, level in enumerate(self.given)}
            return np.argsort([place[level] for level in levels.tolist()])
        if self.by_size:
            return np.argsort([float(level) for level in levels])
        return np.asarray(levels.argsort())


@public
@dataclass(frozen=True, eq=False, repr=False)
class Statistics:
    """What is kept of data whose rows are not: all that the likelihood needs of them.

    ``sp.reduce`` makes them of data, ``sp.merge`` adds them up, and ``sp.Model`` takes
    them in the place of data.

    Attributes
    ----------
    spec
        The model that they were read for.
    named
        Where they came from, in words for messages.
    source
        A path or a function to read them again; None if they cannot be read again.
    rows
        The number of rows of the data.
    specimen
        Rows in which all levels and groups occur; the index has their row numbers.
    first, sizes
        For each combination of groups (or each cell), a row of the specimen that
        belongs to it, and the number of rows of the data that do.
    orders
        How the levels of each column are sorted that has levels.
    reduced, weighted
        Rows with the same sums of products as all rows, and the same rows with weights
        or standard errors if there are any; or None.
    sums
        Of each cell the sums of outcomes, of trials and of the outcomes' squares, shape
        ``(3, cells)``; or None.
    """

    spec: ModelSpec
    named: str
    source: Any
    rows: int
    specimen: pd.DataFrame
    first: NDArray[np.intp]
    sizes: NDArray[np.int64]
    orders: Mapping[str, LevelOrder]
    reduced: ReducedColumns | None = None
    weighted: ReducedColumns | None = None
    sums: Array | None = None

    def __repr__(self) -> str:
        """Say what they are of, and how much there is of each."""
        kept = len(self.sizes) if self.reduced is None else len(self.reduced.group)
        return (
            f"Statistics({formula_of(self.spec)!r}, {self.spec.family}, "
            f"{self.rows:,} rows, reduced to {kept:,})"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them to a file, which ``sp.load_statistics`` reads.

        The file holds what they hold, and nothing else: numbers, and the names of
        columns and levels (see "What statistics reveal" in the documentation on data
        that do not fit in memory).

        Parameters
        ----------
        path
            The file. One that exists is replaced when all is written.

        Raises
        ------
        StorageError
            If it cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> import stanpool as sp
        >>> path = f"{tempfile.mkdtemp()}/radon.stats"
        >>> radon = sp.load_dataset("radon")
        >>> sp.reduce("log_radon ~ floor + (1 | county)", radon).save(path)
        >>> sp.load_statistics(path).rows
        919
        """
        columns: list[dict[str, Any]] = []
        arrays: dict[str, Any] = {**self.arrays}
        for number, (name, column) in enumerate(self.specimen.items()):
            columns.append({"name": name, "levels": None})
            if isinstance(column.dtype, pd.CategoricalDtype):
                columns[-1]["levels"] = column.cat.categories.tolist()
                columns[-1]["ordered"] = bool(column.cat.ordered)
                column = column.cat.codes
            arrays[f"column_{number}"] = column.to_numpy()
        stated = {
            "format": FORMAT,
            "formula": formula_of(self.spec),
            "family": self.spec.family,
            "residual": self.spec.residual,
            "functions": [name for name, _ in self.spec.functions],
            "columns": columns,
            "facts": self.facts,
        }
        arrays["stated"] = np.frombuffer(json.dumps(stated).encode(), dtype=np.uint8)
        with writing(path) as file:
            np.savez_compressed(file, **arrays)

    def __getstate__(self) -> dict[str, Any]:
        """Return what other processes get: a path, but no open table to read again."""
        is_path = isinstance(self.source, Path | str)
        return {**vars(self), "source": self.source if is_path else None}

    @property
    def frame(self) -> pd.DataFrame:
        """The columns without rows: types and levels."""
        return self.specimen.iloc[:0].reset_index(drop=True)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays to keep besides the specimen, by name."""
        found: dict[str, np.ndarray] = {
            "specimen_rows": self.specimen.index.to_numpy(),
            "first": self.first,
            "sizes": self.sizes,
        }
        if self.sums is not None:
            found["sums"] = self.sums
        for name, reduced in (("turned", self.reduced), ("weighted", self.weighted)):
            if reduced is not None:
                found[f"{name}_values"] = reduced.values
                found[f"{name}_origin"] = reduced.shift
                found[f"{name}_group"] = reduced.group
        return found

    @property
    def facts(self) -> dict[str, Any]:
        """What to keep besides the specimen and the arrays, for JSON."""
        return {
            "named": self.named,
            "origin": str(self.source) if isinstance(self.source, Path | str) else None,
            "rows": self.rows,
            "labels": [] if self.reduced is None else list(self.reduced.labels),
            "orders": {name: asdict(each) for name, each in self.orders.items()},
        }

    @classmethod
    def nothing(cls, spec: ModelSpec, named: str, source: Any) -> Statistics:
        """Return what is kept of data without rows."""
        none = np.zeros(0, dtype=np.intp)
        return cls(spec, named, source, 0, pd.DataFrame(), none, none, {})

    @classmethod
    def restored(
        cls,
        spec: ModelSpec,
        specimen: pd.DataFrame,
        arrays: Mapping[str, np.ndarray],
        facts: Mapping[str, Any],
    ) -> Statistics:
        """Return the value that these parts were taken from."""

        def reduced(name: str) -> ReducedColumns | None:
            if f"{name}_values" not in arrays:
                return None
            values = (
                arrays[f"{name}_{part}"] for part in ("values", "origin", "group")
            )
            return ReducedColumns(tuple(facts["labels"]), *values)

        return cls(
            spec=spec,
            named=facts["named"],
            source=facts["origin"],
            rows=facts["rows"],
            specimen=specimen.set_axis(arrays["specimen_rows"], axis=0),
            first=arrays["first"],
            sizes=arrays["sizes"],
            orders={
                name: LevelOrder(**each | {"given": tuple(each["given"])})
                for name, each in (facts.get("orders") or {}).items()
            },
            reduced=reduced("turned"),
            weighted=reduced("weighted"),
            sums=arrays.get("sums"),
        )

    def same_as(self, other: Statistics | None) -> bool:
        """Whether the same was kept of the same data, read in the same chunks."""
        if other is None or not self.specimen.equals(other.specimen):
            return False
        ours, theirs = self.arrays, other.arrays
        return ours.keys() == theirs.keys() and all(
            np.array_equal(values, theirs[name]) for name, values in ours.items()
        )


def load_statistics(
    path: str | os.PathLike[str],
    *,
    functions: Mapping[str, Callable[..., Any]] | None = None,
) -> Statistics:
    """Read statistics that ``Statistics.save`` wrote.

    Parameters
    ----------
    path
        The file.
    functions
        Functions of your own that the formula calls. A file contains their names only.

    Raises
    ------
    StorageError
        If there is no such file, or it cannot be read.
    DataError
        If it holds no statistics, is damaged, is of a newer stanpool, or functions are
        not passed.
    """
    with explained(f"read {str(path)!r}", Path(path)):
        file = Path(path).open("rb")
    with file:
        try:
            with np.load(file, allow_pickle=False) as kept:
                arrays = {name: kept[name] for name in kept.files}
            stated = json.loads(arrays.pop("stated").tobytes())
        except (ValueError, KeyError, OSError, EOFError, BadZipFile, zlib.error):
            raise DataError(
                f"{str(path)!r} holds no statistics, or is damaged. Give the name of a "
                "file that Statistics.save wrote; sp.load reads fits."
            ) from None
    if stated["format"] > FORMAT:
        raise DataError(
            f"{str(path)!r} was written by a newer stanpool. Install that one to read "
            "it."
        )
    missing = set(stated["functions"]) - set(functions or ())
    if missing:
        raise DataError(
            f"the formula of {str(path)!r} calls {quote_list(sorted(missing))}, which "
            "a file does not contain: pass functions={'name': function}."
        )
    spec = spec_of(
        stated["formula"],
        family=stated["family"],
        residual=stated["residual"],
        functions=functions,
    )
    columns = {}
    for number, each in enumerate(stated["columns"]):
        values: Any = arrays.pop(f"column_{number}")
        if each["levels"] is not None:
            levels = pd.Index(each["levels"])
            values = pd.Categorical.from_codes(values, levels, ordered=each["ordered"])
        columns[each["name"]] = values
    return Statistics.restored(spec, pd.DataFrame(columns), arrays, stated["facts"])
