"""The columns of a model's data, and arrays, as one netCDF file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stanpool.sampling.saving import netcdf

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Column:
    """A column of the data: its name, and its levels if it is categorical."""

    name: str
    levels: tuple[str | int, ...] | None
    ordered: bool = False


def write_frame(
    frame: pd.DataFrame, path: Path, arrays: Mapping[str, np.ndarray]
) -> tuple[Column, ...]:
    """Write columns by number, and arrays; return the names and levels of columns."""
    import pandas as pd
    import xarray as xr

    columns: list[Column] = []
    variables: dict[str, Any] = {}
    for number, name in enumerate(frame.columns):
        column = frame[name]
        levels, ordered = None, False
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = tuple(column.cat.categories.tolist())
            ordered = bool(column.cat.ordered)
            column = column.cat.codes
        columns.append(Column(name, levels, ordered))
        variables[f"column_{number}"] = ("row", column.to_numpy())
    for name, values in arrays.items():
        dims = tuple(f"{name}_{axis}" for axis in range(values.ndim))
        variables[f"array_{name}"] = (dims, values)
    netcdf.write_tree(xr.DataTree(xr.Dataset(variables)), path)
    return tuple(columns)


def read_frame(
    path: Path, columns: tuple[Column, ...]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Read columns as ``used_columns`` returns them, and arrays."""
    import pandas as pd

    dataset = netcdf.read_tree(path).to_dataset()
    values = [dataset[f"column_{number}"].to_numpy() for number in range(len(columns))]
    arrays = {
        str(name).removeprefix("array_"): dataset[name].to_numpy()
        for name in dataset.data_vars
        if str(name).startswith("array_")
    }
    frame = pd.DataFrame(
        {
            column.name: _as_it_was(column, array)
            for column, array in zip(columns, values, strict=True)
        }
    )
    return frame, arrays


def _as_it_was(column: Column, values: np.ndarray) -> Any:
    """Return the numbers of a column, or the categories that they code."""
    import pandas as pd

    if column.levels is None:
        return values
    levels: Any = pd.Index(list(column.levels))
    return pd.Categorical.from_codes(values, levels, ordered=column.ordered)
