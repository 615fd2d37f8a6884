"""What is kept of data that were read in chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.language.model_spec import ModelSpec

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


@dataclass(frozen=True, eq=False)
class Streamed:
    """What is kept of data that were read in chunks.

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
    reduced: ReducedColumns | None = None
    weighted: ReducedColumns | None = None
    sums: Array | None = None

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
            "origin": str(self.source) if isinstance(self.source, Path) else None,
            "rows": self.rows,
            "labels": [] if self.reduced is None else list(self.reduced.labels),
        }

    @classmethod
    def restored(
        cls,
        spec: ModelSpec,
        specimen: pd.DataFrame,
        arrays: Mapping[str, np.ndarray],
        facts: Mapping[str, Any],
    ) -> Streamed:
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
            source=None if facts["origin"] is None else Path(facts["origin"]),
            rows=facts["rows"],
            specimen=specimen.set_axis(arrays["specimen_rows"], axis=0),
            first=arrays["first"],
            sizes=arrays["sizes"],
            reduced=reduced("turned"),
            weighted=reduced("weighted"),
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
