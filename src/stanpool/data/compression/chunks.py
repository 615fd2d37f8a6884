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

# Labels of columns; the others are no labels of a user's.
UNIT, OFFSET, OUTCOME = "Intercept", "\0offset", "\0outcome"


@dataclass(frozen=True, eq=False)
class TurnedColumns:
    """Rows that stand for all rows of the data, with the same sums of products.

    Attributes
    ----------
    labels
        Of the columns: a column of ones comes first, the outcome last.
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
        Where they came from, for people.
    source
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
                found[f"{name}_origin"] = turned.shift
                found[f"{name}_group"] = turned.group
        return found

    @property
    def facts(self) -> dict[str, Any]:
        """All that is kept besides the specimen and arrays, for JSON."""
        return {
            "named": self.named,
            "origin": str(self.source) if isinstance(self.source, Path) else None,
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
            source=None if facts["origin"] is None else Path(facts["origin"]),
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
