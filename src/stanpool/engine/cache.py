"""The folder that all of a user's projects share: wheels, engines, programs.

Everything in it is addressed by content, built in a temporary folder under a file
lock and renamed into place, so that what exists is complete: a killed or concurrent
build leaves nothing broken.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from stanpool.errors import EngineError

_PARTS = ("wheels", "engines", "programs")
_CANNOT_WRITE = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def cache_folder() -> Path:
    """Return the cache: ``STANPOOL_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("STANPOOL_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("stanpool", appauthor=False)


def cache_size() -> dict[str, int]:
    """Return the bytes on disk of each part of the cache.

    Examples
    --------
    >>> sorted(cache_size())
    ['engines', 'programs', 'wheels']
    """
    return {part: _size(cache_folder() / part) for part in _PARTS}


def free_space() -> int:
    """Return the bytes free on the disk that holds the cache."""
    folder = cache_folder()
    while not folder.is_dir():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def publish(
    target: Path,
    build: Callable[[Path], None],
    *,
    on_wait: Callable[[], None] = lambda: None,
) -> Path:
    """Return ``target``, a folder that ``build`` has filled, now or earlier.

    ``build`` gets an empty folder beside the target; when it returns, the folder is
    renamed to the target. One process builds at a time; the others wait.

    Parameters
    ----------
    target
        The folder that is wanted. It exists only when it is complete.
    build
        Fills the folder that it is given, or raises.
    on_wait
        Called once if another process is building this target.

    Raises
    ------
    EngineError
        If the folder cannot be written: the message names it and says what to do.
    """
    if target.exists():
        return target
    with writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        with _lock(target, on_wait):
            _remove_partial(target)  # whoever left it is dead: the lock is ours
            if not target.exists():
                _build(target, build)
                _remove_partial(target)  # what the dead had started may outlive them
    return target


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn "disk full" and "read-only" into a message that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        raise EngineError(cannot_write(folder, os.strerror(error.errno))) from error


def cannot_write(folder: Path, reason: str) -> str:
    """Say that the cache cannot be written, and what to do."""
    return (
        f"cannot write to {str(folder)!r}: {reason}. Make room there, or set the "
        "environment variable STANPOOL_CACHE to a folder that you can write to."
    )


def why_not_writable() -> str | None:
    """Return what keeps the cache from being written, with what to do; or None."""
    folder = cache_folder()
    while not folder.exists():
        folder = folder.parent
    if folder.is_dir() and os.access(folder, os.W_OK):
        return None
    reason = "Permission denied" if folder.is_dir() else f"{str(folder)!r} is a file"
    return cannot_write(cache_folder(), reason)


def sweep(
    *, keep: Container[str] = (), dry_run: bool = False, parts: Iterable[str] = _PARTS
) -> dict[str, int]:
    """Remove what the cache holds, except for what is being built right now.

    Parameters
    ----------
    keep
        Names of engines and wheels that stay.
    dry_run
        Remove nothing, only report.

    Returns
    -------
    dict
        Bytes freed, by the part of the cache.
    """
    freed = dict.fromkeys(parts, 0)
    for part in freed:
        folder = cache_folder() / part
        names = {_target_name(path) for path in folder.glob("*")} - {""}
        for name in sorted(name for name in names if name not in keep):
            freed[part] += remove(folder / name, dry_run=dry_run)
    return freed


def _target_name(path: Path) -> str:
    """Return the name of the target that a file of the cache belongs to."""
    for mark in (".partial-", ".lock"):
        if path.name.startswith(".") and mark in path.name:
            return path.name[1 : path.name.rindex(mark)]
    return path.name


def remove(target: Path, *, dry_run: bool = False) -> int:
    """Remove one folder of the cache, unless it is being built; return its bytes."""
    from filelock import FileLock, Timeout

    doomed = [target, *target.parent.glob(f".{target.name}.partial-*")]
    size = sum(_size(path) for path in doomed)
    if dry_run or not size:
        return size
    try:
        with writing(target.parent), FileLock(_lock_file(target), timeout=0):
            if target.is_dir():
                _remove_partial(target)
                # First renamed: nobody takes a half-removed folder for a whole one.
                target.rename(target.with_name(f".{target.name}.partial-removed"))
            else:
                target.unlink(missing_ok=True)
            _remove_partial(target)
    except Timeout:
        return 0
    return size


def _remove_partial(target: Path) -> None:
    for leftover in target.parent.glob(f".{target.name}.partial-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _lock_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.lock")


@contextmanager
def _lock(target: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(_lock_file(target))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        on_wait()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(target: Path, build: Callable[[Path], None]) -> None:
    partial = Path(
        tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent)
    )
    try:
        build(partial)
        partial.chmod(0o755)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size if os.path.lexists(path) else 0
    return sum(_size(Path(entry)) for entry in os.scandir(path))
