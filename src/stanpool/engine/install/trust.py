"""Whose files stanpool runs: the user's own or the system's, written by nobody else."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from stanpool.base.errors import EngineError

_OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0


def distrust(path: str | Path, status: os.stat_result) -> str | None:
    """Say why a file or folder of the cache is not to be used as it is, or None.

    As ssh does with its keys: it must belong to the user or to root, and nobody else
    may write it. Own files that the user's group can write, as a umask of 002 makes
    them, lose that right here. A file that everybody could write is to be made anew.

    Raises
    ------
    EngineError
        If somebody else decides what is in it: the message says what to do.
    """
    if not hasattr(os, "geteuid"):
        return None
    user = os.geteuid()
    if status.st_uid not in (user, _ROOT):
        raise EngineError(_refusal(path, status, "belongs to another user"))
    is_folder = stat.S_ISDIR(status.st_mode)
    if not status.st_mode & _OF_OTHERS or (is_folder and status.st_mode & stat.S_ISVTX):
        return None
    if status.st_uid == user:
        with suppress(OSError):
            os.chmod(path, stat.S_IMODE(status.st_mode) & ~_OF_OTHERS)
    if os.stat(path).st_mode & _OF_OTHERS:
        raise EngineError(_refusal(path, status, "can be written by other users"))
    if status.st_mode & stat.S_IWOTH and not is_folder:
        return "could be written by every user"
    return None


def check_folders(folder: Path, *, root: Path) -> None:
    """Check a folder and those that it is in, up to ``root``.

    Raises
    ------
    EngineError
        If somebody else decides what is in one of them.
    """
    inside = [each for each in folder.parents if each.is_relative_to(root)]
    for each in (*reversed(inside), folder):
        with suppress(FileNotFoundError, NotADirectoryError):
            distrust(each, each.stat())


def check_readable(path: Path) -> None:
    """Check that the user may read a file, or look into a folder, that is there.

    Raises
    ------
    EngineError
        If not.
    """
    needed = os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK
    is_effective = os.access in os.supports_effective_ids
    try:
        os.stat(path)
        may_read = os.access(path, needed, effective_ids=is_effective)
    except PermissionError:  # in what it is in, one cannot even look
        may_read = False
    except OSError:
        return
    if not may_read:
        raise EngineError(
            f"cannot read {str(path)!r}: Permission denied. Its owner can open it to "
            "you (`chmod -R a+rX`); or set the environment variable STANPOOL_CACHE to "
            "a folder of your own."
        )


def close_to_others(folder: Path) -> None:
    """Take away from others the right to write any file or folder in this one."""
    if not hasattr(os, "geteuid"):
        return  # on Windows, where such rights are not part of the mode
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink() and (mode := path.stat().st_mode) & _OF_OTHERS:
            path.chmod(stat.S_IMODE(mode) & ~_OF_OTHERS)


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those that it is in, for the user alone, whatever the umask.

    Where a link leads to a folder that is gone, the folder is made there.
    """
    real = Path(os.path.realpath(folder))
    missing = [each for each in (real, *real.parents) if not each.exists()]
    for each in reversed(missing):
        with suppress(FileExistsError):
            each.mkdir(mode=0o700)
    if not real.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(real))


def _refusal(path: str | Path, status: os.stat_result, reason: str) -> str:
    return (
        f"{str(path)!r} {reason}: its owner is {_name_of(status.st_uid)}, its mode "
        f"{stat.filemode(status.st_mode)}. Whoever can write it decides what runs in "
        "your name, so stanpool does not use it. If you trust what is in it, make it "
        "yours or root's (`chown -R`) and take away others' permission to write it "
        "(`chmod -R go-w`). Otherwise remove it, or set the environment variable "
        "STANPOOL_CACHE to a folder of your own."
    )


def _name_of(user: int) -> str:
    import pwd

    try:
        return f"{pwd.getpwuid(user).pw_name!r} (user {user})"
    except KeyError:
        return f"user {user}"
