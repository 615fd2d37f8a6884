"""Files that are written whole or not at all, and where shipped ones are."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from stanpool.base.errors import StorageError
from stanpool.base.system.platforms import replace

_PACKAGE = Path(__file__).parents[2]
_CHECKOUT = _PACKAGE.parent.parent
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def shipped_folder(name: str) -> Path:
    """Return the path of a shipped folder, ``"stan_templates"`` or ``"data"``.

    A wheel carries both in the package's folder ``shipped``; an editable install reads
    them from the top level of the checkout.

    Raises
    ------
    StorageError
        If it is at neither place.
    """
    places = _PACKAGE / "shipped" / name, _CHECKOUT / name
    for place in places:
        if place.is_dir():
            return place
    raise StorageError(
        f"this installation of stanpool is not complete: its folder {name!r} is "
        f"neither {str(places[0])!r} nor {str(places[1])!r}. Install stanpool again: "
        "pip install --force-reinstall --no-deps stanpool."
    )


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file to write bytes to, which appears at its path when all are written.

    Until then an existing file remains, even if writing fails or the process is killed.
    A symbolic link remains one, and what it points to is replaced. A pipe or a device
    is written to directly. Missing folders are made.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    with explained(f"write {str(path)!r}", target.parent):
        if target.exists() and not target.is_file():
            with target.open("wb") as file:
                yield file
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{token_hex(4)}.part")
        try:
            with part.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                shutil.copymode(target, part)
            replace(part, target)
            sync_folder(target.parent)
        finally:
            part.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text as UTF-8, completely or not at all.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    with writing(path) as file:
        file.write(text.encode("utf-8"))


def try_writing(path: str | os.PathLike[str]) -> None:
    """Find out whether a file could be written, without changing anything.

    Raises
    ------
    StorageError
        If it could not be written.
    """
    target = Path(os.path.realpath(path))
    with explained(f"write {str(path)!r}", target.parent):
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if target.exists() and not target.is_file():
            return
        made = make_folder(target.parent)
        part = target.with_name(f".{token_hex(4)}.part")
        try:
            part.write_bytes(b" " * 4096)
        finally:
            part.unlink(missing_ok=True)
            remove_empty(made)


@contextmanager
def explained(
    action: str, folder: Path, *, needed: int | None = None, advice: str = ""
) -> Iterator[None]:
    """Turn an error of the operating system into a ``StorageError``.

    Parameters
    ----------
    action
        The action, such as ``"write 'radon.html'"``.
    folder
        The folder, whose free space is named if it is too small.
    needed
        The number of bytes that are needed.
    advice
        What to do; by default, to choose another place or to make room.
    """
    try:
        yield
    except StorageError:
        raise
    except OSError as problem:
        why = problem.strerror or str(problem)
        text = f"cannot {action}: {why[:1].lower()}{why[1:].rstrip('.')}."
        if problem.errno in _NO_ROOM:
            if needed is not None:
                text += f" It needs about {_megabytes(needed)}."
            if (free := _free_bytes(folder)) is not None:
                text += f" {_megabytes(free)} are free there."
            advice = advice or "Make room, or choose another place."
        raise StorageError(f"{text} {advice or 'Choose another place.'}") from problem


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and its parents; return those that did not exist, in order."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]


def remove_empty(folders: list[Path]) -> None:
    """Remove folders that ``make_folder`` made, if they are empty."""
    for each in reversed(folders):
        with suppress(OSError):
            each.rmdir()


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where there is such a thing."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def _free_bytes(folder: Path) -> int | None:
    """Return the free space at a folder, or None if it is unknown."""
    for each in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(each).free
    return None


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size < 1e8 else f"{size / 1e6:,.0f} MB"
