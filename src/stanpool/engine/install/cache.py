"""The folder that all of a user's projects share: wheels, engines, programs.

Everything in it is addressed by content, built in a temporary folder under a file
lock and renamed into place, so that what exists was complete: a killed or concurrent
build leaves nothing broken. What is broken later is found by the list of its files
when it is used, and built anew in the same way.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from stanpool.base.arguments import public
from stanpool.base.errors import EngineError
from stanpool.base.system.platforms import replace
from stanpool.engine.install.contents import faults, is_listed, record
from stanpool.engine.install.trust import (
    check_folders,
    check_readable,
    distrust,
    make_private_folder,
)

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


@public
def cache_folder() -> Path:
    """Return the cache: ``STANPOOL_CACHE``, else the user's cache folder.

    Raises
    ------
    EngineError
        If it cannot be read, or the user's home folder is unknown.
    """
    chosen = os.environ.get("STANPOOL_CACHE")
    if chosen:
        folder = given_folder("STANPOOL_CACHE", chosen).absolute()
    else:
        folder = _users_folder()
    check_readable(folder)
    return folder


def _users_folder() -> Path:
    from platformdirs import user_cache_path

    try:
        folder = user_cache_path("stanpool", appauthor=False)
    except RuntimeError:
        folder = Path("stanpool")
    if not folder.is_absolute():  # else it were below the current folder
        raise EngineError(
            "there is no home folder to keep Stan in: set the environment variable "
            "HOME, or STANPOOL_CACHE to a folder of your own."
        )
    return folder


def given_folder(variable: str, value: str) -> Path:
    """Return the folder that an environment variable names, ``~`` for a home."""
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise EngineError(
            f"{variable}={value!r} does not name a folder: {error}"
        ) from error


@public
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


@dataclass(frozen=True)
class Kind:
    """How folders of one kind are listed when they are built, and checked.

    Attributes
    ----------
    record
        Writes the list of a folder.
    full
        Whether all digests are compared whenever a folder is used.
    can_adopt
        Whether a folder without a list, made by stanpool 0.1, may be listed as it is.
    """

    record: Callable[..., None] = record
    full: bool = False
    can_adopt: Callable[[Path], bool] = lambda folder: False

    def is_sound(self, folder: Path) -> bool:
        """Say whether a folder is there and as it was when it was listed."""
        if not is_listed(folder):
            return False
        check_folders(folder, root=cache_folder())
        return not any(faults(folder, full=self.full))

    def is_usable(self, folder: Path) -> bool:
        """Say whether a folder is sound, or of an older stanpool and now listed."""
        return self.is_sound(folder) or self._adopted(folder)

    def _adopted(self, folder: Path) -> bool:
        if is_listed(folder) or not folder.is_dir():
            return False
        check_folders(folder, root=cache_folder())
        if any(map(_is_doubtful, folder.rglob("*"))) or not self.can_adopt(folder):
            return False
        if os.access(folder, os.W_OK):  # else it is a read-only cache, used as it is
            self.record(folder, adopted=True)
        return True


def _is_doubtful(path: Path) -> bool:
    try:
        return distrust(path, path.stat()) is not None
    except FileNotFoundError:  # a link that leads nowhere
        return True


def publish(
    target: Path,
    build: Callable[[Path], None],
    *,
    kind: Kind | None = None,
    anew: bool = False,
    on_wait: Callable[[], None] = lambda: None,
) -> Path:
    """Return ``target``, a folder that ``build`` has filled, now or earlier.

    ``build`` gets an empty folder beside the target; when it returns, the folder is
    listed and renamed to the target. One process builds at a time; the others wait. A
    target that is damaged is replaced.

    Parameters
    ----------
    target
        The folder that is wanted. It exists only when it is complete.
    build
        Fills the folder that it is given, or raises.
    kind
        How it is listed and checked.
    anew
        Build it again, whatever is there.
    on_wait
        Called once if another process is building this target.

    Raises
    ------
    EngineError
        If the folder cannot be written, or others can: the message names it and says
        what to do.
    """
    kind = kind or Kind()
    if not anew and kind.is_usable(target):
        return target
    fault = next(faults(target), None) if is_listed(target) else None
    because = f"{str(target)!r} is damaged, {fault}; stanpool " if fault else ""
    with writing(target.parent, because):
        make_private_folder(target.parent)
        check_folders(target.parent, root=cache_folder())
        with _lock(target, on_wait):
            _remove_partial(target)  # whoever left it is dead: the lock is ours
            if anew or not kind.is_usable(target):
                _build(target, build, kind)
                _remove_partial(target)  # what the dead had started may outlive them
    return target


@contextmanager
def writing(folder: Path, because: str = "") -> Iterator[None]:
    """Turn "disk full" and "read-only" into a message that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _CANNOT_WRITE:
            raise
        reason = cannot_write(folder, os.strerror(error.errno))
        raise EngineError(because + reason) from error


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
        Whether only to report what would be removed.

    Returns
    -------
    dict
        The bytes that were freed in each part of the cache.
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
    if dry_run or not any(map(os.path.lexists, doomed)):
        return size
    try:
        with writing(target.parent), FileLock(_lock_file(target), timeout=0):
            _remove_partial(target)
            _put_aside(target)
            _remove_partial(target)
    except Timeout:
        return 0
    return size


def _put_aside(target: Path) -> None:
    """Rename what is to go, so that nobody takes a half-removed folder for a whole."""
    if os.path.lexists(target):
        replace(target, target.with_name(f".{target.name}.partial-removed"))


def _remove_partial(target: Path) -> None:
    for leftover in target.parent.glob(f".{target.name}.partial-*"):
        if leftover.is_dir() and not leftover.is_symlink():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            with suppress(OSError):
                leftover.unlink()


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


def _build(target: Path, build: Callable[[Path], None], kind: Kind) -> None:
    partial = Path(
        tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent)
    )
    try:
        build(partial)
        kind.record(partial)
        # As open to readers as the cache is: 0700, unless somebody has opened it.
        partial.chmod(stat.S_IMODE(target.parent.stat().st_mode) & 0o755)
        _put_aside(target)
        replace(partial, target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size if os.path.lexists(path) else 0
    return sum(_size(Path(entry)) for entry in os.scandir(path))
