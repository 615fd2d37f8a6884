"""Temporary folders that are removed, also those of processes that were killed.

Each holds a lock as long as its process lives, which the system releases however that
ends. Whoever makes the next folder removes those that nobody holds. So a process of the
same number, in this or in another container, is never taken for the one that is dead.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stanpool.base.errors import EngineError, SamplingError

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PREFIX = "stanpool-"
_LOCK = ".alive"
_NO_ROOM_BYTES = 1_000_000


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder among the system's temporary files that does not outlive us."""
    try:
        _sweep_once(tempfile.gettempdir())
        folder, lock = _locked_folder()
    except OSError as error:
        raise EngineError(
            f"cannot make a temporary folder: {error}. Make room there, or set the "
            "environment variable TMPDIR to a folder that you can write to."
        ) from error
    try:
        yield folder
    finally:
        _remove(folder, lock)


def _remove(folder: Path, lock: BaseFileLock) -> None:
    """Remove a folder whose lock is ours.

    The lock last: on Windows a file that is open cannot be removed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)


def _locked_folder() -> tuple[Path, BaseFileLock]:
    from filelock import FileLock, Timeout

    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = FileLock(folder / _LOCK, timeout=0)
        # Another process may sweep the folder before the lock is ours.
        with suppress(Timeout, FileNotFoundError):
            lock.acquire()
            if folder.exists():
                return folder, lock
            lock.release()


def sweep_scratch() -> None:
    """Remove the temporary folders that dead processes of this user have left."""
    from filelock import FileLock, Timeout

    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if not _is_ours(folder) or not (folder / _LOCK).exists():
                continue  # of another user, or of a stanpool that locks nothing
            lock = FileLock(folder / _LOCK, timeout=0)
            lock.acquire()
            _remove(folder, lock)
        except (Timeout, OSError):
            continue


@functools.cache
def _sweep_once(place: str) -> None:
    """Sweep at the first folder that a process makes in a place."""
    sweep_scratch()


def write_data(path: Path, data: Mapping[str, Any]) -> Path:
    """Write data to a file of a scratch folder, as Stan reads them; return its path.

    Raises
    ------
    SamplingError
        If there is no room.
    """
    import stanio

    return write_text(path, stanio.dump_stan_json(dict(data)))


def write_text(path: Path, text: str) -> Path:
    """Write a file of a scratch folder, and return its path.

    Raises
    ------
    SamplingError
        If there is no room.
    """
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SamplingError(f"{error}. {no_room(path.parent)}") from error
    return path


def has_no_room(folder: Path) -> bool:
    """Say whether a disk is full."""
    return shutil.disk_usage(folder).free < _NO_ROOM_BYTES


def no_room(folder: Path) -> str:
    """Say that files are missing or cut off, as on a full disk, and what to do."""
    free = shutil.disk_usage(folder).free / 1e6
    return (
        f"{free:.0f} MB are free in {str(folder.parent)!r}, where the chains write "
        "their draws. Make room there, or set the environment variable TMPDIR to a "
        "folder that has room."
    )


def _is_ours(folder: Path) -> bool:
    status = folder.lstat()
    mine = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return mine and not folder.is_symlink() and folder.is_dir()
