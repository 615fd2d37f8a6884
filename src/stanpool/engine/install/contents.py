"""What a folder of the cache holds: a list of its files with sizes and SHA-256.

The list is written when a folder is complete, and stands in it. Whoever uses the folder
compares: the sizes and times of the files, and the digests where a time is another or
where a digest costs little. Folders of stanpool 0.1 have no list until they are used.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from stanpool.base.system.platforms import replace
from stanpool.engine.install.trust import check_readable, close_to_others, distrust

_LIST = "contents.json"
_FORMAT = 1


def record(
    folder: Path, *, also: Iterable[Path] = (), skip: str = "", adopted: bool = False
) -> None:
    """Write the list of a folder, which is complete.

    Parameters
    ----------
    also
        Files elsewhere that it depends on.
    skip
        The name of a folder in it that is not part of the list.
    adopted
        Whether the files were found, not made: nobody knows whether they are right.
    """
    close_to_others(folder)
    found = [path for path in _files(folder, skip) if path.name != _LIST]
    files = {
        os.path.relpath(path, folder): _entry(path) for path in sorted({*found, *also})
    }
    text = json.dumps({"format": _FORMAT, "adopted": adopted, "files": files})
    partial = folder / f".{_LIST}-{os.getpid()}"
    partial.write_text(text, encoding="utf-8")
    partial.chmod(0o644)
    replace(partial, folder / _LIST)


def is_listed(folder: Path) -> bool:
    """Say whether a folder has a list, be it right or wrong."""
    return os.path.exists(folder / _LIST)


def was_adopted(folder: Path) -> bool:
    """Say whether a folder's files were found, not made, when they were listed."""
    return bool(_read(folder).get("adopted"))


def list_of(folder: Path) -> Path:
    """Return the file that lists a folder: it changes whenever the folder does."""
    return folder / _LIST


def faults(folder: Path, *, full: bool = False) -> Iterator[str]:
    """Say what is wrong with a folder, one thing after the other.

    Parameters
    ----------
    full
        Compare every digest, not only those of files with another time.

    Raises
    ------
    EngineError
        If the folder may not be read, or somebody else decides what is in it.
    """
    try:
        known = _read(folder)["files"].items()
    except FileNotFoundError:
        yield "it has no list of its files" if folder.is_dir() else "it is missing"
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        yield "the list of its files is damaged"
        return
    for name, entry in known:
        if fault := _fault(os.path.join(folder, name), entry, full):
            yield f"{name!r} {fault}"


def _fault(path: str, entry: Any, full: bool) -> str | None:
    """Say what is wrong with a file, or None."""
    try:
        size, time, digest, runs = entry
        status = os.stat(path)
        if reason := distrust(path, status):
            return reason
        if status.st_size != size:
            return f"has {status.st_size} bytes instead of {size}"
        if runs and not status.st_mode & stat.S_IXUSR:
            return "is not executable any more"
        if (full or status.st_mtime_ns != time) and _digest(path, status) != digest:
            return "was altered"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (TypeError, ValueError):
        return "is not listed as it should be"
    return None


def _read(folder: Path) -> dict[str, Any]:
    path = folder / _LIST
    try:
        with path.open(encoding="utf-8") as file:
            if reason := distrust(path, os.fstat(file.fileno())):
                raise ValueError(reason)
            found: dict[str, Any] = json.load(file)
    except NotADirectoryError as error:
        raise FileNotFoundError(str(path)) from error
    except PermissionError:
        check_readable(path)
        raise
    return found


def _files(folder: Path, skip: str) -> Iterator[Path]:
    """Find the files of a folder; links are taken for what they lead to."""
    for parent, folders, names in os.walk(folder):
        if Path(parent) == folder and skip in folders:
            folders.remove(skip)
        yield from (Path(parent, name) for name in names)


def _entry(path: Path) -> tuple[int, int, str, bool]:
    status = path.stat()
    runs = bool(status.st_mode & stat.S_IXUSR)
    return status.st_size, status.st_mtime_ns, _digest(path, status), runs


def _digest(path: str | Path, status: os.stat_result) -> str:
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return _digest_once(path, stamp)


@functools.lru_cache(maxsize=1000)
def _digest_once(path: str | Path, stamp: tuple[int, ...]) -> str:
    """Return the SHA-256 of a file, once in a process while its stamp is the same."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
