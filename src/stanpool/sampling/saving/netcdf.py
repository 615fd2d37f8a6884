"""Draws and data as netCDF files, which are HDF5 files.

HDF5 ends or crashes the process if it cannot write its buffers when a file is closed:
on a full disk the session would be lost with the fit. So HDF5 writes through an object
that never fails, and the error is raised after it has closed the file.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stanpool.base.errors import DataError, quote

if TYPE_CHECKING:
    import xarray as xr

_ENGINE: Literal["h5netcdf"] = "h5netcdf"
_ESCAPED = "escaped_as_json"

# Bytes. HDF5 reads only smaller parts again; larger parts are values.
_LARGEST_STRUCTURE = 1 << 22


def write_tree(tree: xr.DataTree, path: Path) -> None:
    """Write a tree to a new file, and wait until it is on the disk.

    Raises
    ------
    OSError
        If it cannot be written. The tree is unchanged.
    """
    storable = tree.map_over_datasets(_with_texts, _escape)
    with path.open("xb+", buffering=0) as file:
        never_failing = _NeverFailing(file)
        # Signals go to the main thread, so that they do not interrupt HDF5.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(storable.to_netcdf, never_failing, engine=_ENGINE).result()
        if never_failing.error is not None:
            raise never_failing.error
        os.fsync(file.fileno())


def read_tree(path: Path) -> xr.DataTree:
    """Read all of a file into memory, and close it.

    Raises
    ------
    DataError
        If it contains anything but numbers and text.
    """
    import xarray as xr

    with xr.open_datatree(path, engine=_ENGINE) as tree:
        loaded = tree.load()
    for node in loaded.subtree:
        for name, variable in node.variables.items():
            if not _is_plain(variable):
                raise DataError(
                    f"{str(path)!r}: {quote(name)} holds {variable.dtype}, and a fit "
                    "has only numbers and text."
                )
    return loaded.map_over_datasets(_with_texts, _unescape)


class _NeverFailing(io.RawIOBase):
    """A file for HDF5 that keeps what it cannot write, after a failure, in memory.

    Attributes
    ----------
    error
        The first error, or None.
    """

    def __init__(self, file: io.FileIO) -> None:
        self.error: BaseException | None = None
        self._file, self._at, self._end = file, 0, 0
        self._unwritten: list[tuple[int, bytes]] = []

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._end}
        self._at = start[whence] + offset
        return self._at

    def truncate(self, size: int | None = None) -> int:
        self._end = self._at if size is None else size
        self._unless_failed(lambda: self._file.truncate(self._end))
        return self._end

    def write(self, data: Any) -> int:
        values = memoryview(data).cast("B")
        at, size = self._at, len(values)
        self._unless_failed(lambda: self._write_all(at, values))
        if self.error is not None and size <= _LARGEST_STRUCTURE:
            self._unwritten.append((at, bytes(values)))
        self._at += size
        self._end = max(self._end, self._at)
        return size

    def readinto(self, buffer: Any) -> int:
        """Read what was written, from the file or from memory."""
        into = memoryview(buffer).cast("B")
        start, size = self._at, max(0, min(len(into), self._end - self._at))
        into[:size] = bytes(size)
        self._unless_failed(lambda: self._read_all(start, into[:size]), always=True)
        for at, values in self._unwritten:
            first, last = max(at, start), min(at + len(values), start + size)
            if first < last:
                into[first - start : last - start] = values[first - at : last - at]
        self._at += size
        return size

    def _unless_failed(self, act: Callable[[], Any], *, always: bool = False) -> None:
        if self.error is not None and not always:
            return
        try:
            act()
        except BaseException as problem:
            self.error = self.error or problem

    def _write_all(self, at: int, values: memoryview) -> None:
        self._file.seek(at)
        while values:
            values = values[self._file.write(values) or 0 :]

    def _read_all(self, at: int, into: memoryview) -> None:
        self._file.seek(at)
        while into and (count := self._file.readinto(into)):
            into = into[count:]


def _with_texts(
    dataset: xr.Dataset, change: Callable[[xr.Variable], xr.Variable]
) -> xr.Dataset:
    """Return a data set with its variables of text transformed."""
    for name, variable in dataset.variables.items():
        if variable.dtype.kind in "OUT" and (new := change(variable)) is not variable:
            if name in dataset.coords:
                dataset = dataset.assign_coords({name: new})
            else:
                dataset = dataset.assign({name: new})
    return dataset


def _escape(variable: xr.Variable) -> xr.Variable:
    """Write texts as JSON if HDF5 cannot store one (NUL, half of a surrogate pair)."""
    if all(map(_is_storable, variable.to_numpy().ravel())):
        return variable
    return _mapped(variable, json.dumps, {_ESCAPED: 1})


def _unescape(variable: xr.Variable) -> xr.Variable:
    if _ESCAPED not in variable.attrs:
        return variable
    return _mapped(variable, json.loads, {})


def _mapped(
    variable: xr.Variable, change: Callable[[str], str], attributes: dict[str, Any]
) -> xr.Variable:
    import numpy as np
    import xarray as xr

    values = variable.to_numpy()
    new = np.array([change(text) for text in values.ravel()], dtype=object)
    return xr.Variable(variable.dims, new.reshape(values.shape), attributes)


def _is_storable(value: object) -> bool:
    if not isinstance(value, str):
        return True
    return "\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value)


def _is_plain(variable: xr.Variable) -> bool:
    """Whether a variable contains only numbers, or only text."""
    if variable.dtype.kind in "biufUT":
        return True
    values = variable.to_numpy().ravel() if variable.dtype.kind == "O" else [None]
    return all(isinstance(value, str) for value in values)
