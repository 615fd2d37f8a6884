"""A folder whose content is replaced atomically, by versions and a manifest.

::

    radon.fit/
    ├── manifest.json     format, who wrote it, the valid version, its digests
    └── saved-3f9ac2d1/   the version: its files

A new version is written beside the valid one. When all of it is on the disk, the
manifest is replaced, which file systems do atomically, and then the old version is
removed. So if the process is interrupted or killed, or power fails, either the old
version or the new one is complete. Versions that the manifest does not name are left
over from such an event, and are removed when the next version is written. Other files
in the folder are never touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex

from stanpool.base.errors import (
    DataError,
    NoFitError,
    PathTakenError,
    StorageError,
    quote,
)
from stanpool.base.system.files import make_folder, remove_empty, sync_folder
from stanpool.base.system.platforms import is_windows, replace
from stanpool.sampling.saving.schema import read_record

_MANIFEST = "manifest.json"
_VERSION = re.compile(r"saved-[0-9a-f]{8}")
_PATIENCE_SECONDS = 60
_POLL_SECONDS = 0.05
_NOT_STATED = "(version not stated)"


@dataclass(frozen=True)
class Manifest:
    """The valid version in a folder.

    Attributes
    ----------
    format
        The number of the format.
    sha256
        Digests of the files.
    stanpool
        The version of stanpool that wrote it.
    folder
        The name of the folder of the files; empty for the folder itself, as in
        format 1.
    """

    format: int
    sha256: dict[str, str]
    stanpool: str = _NOT_STATED
    folder: str = ""

    def path(self, folder: Path, name: str) -> Path:
        """Return where a file of the version is."""
        return folder / self.folder / name


def check_free(
    path: Path, *, overwrite: bool, newest: int, names: Sequence[str]
) -> None:
    """Refuse a path that exists and must not be replaced.

    Parameters
    ----------
    path
        The path to write to.
    overwrite
        Whether a fit that is saved there may be replaced.
    newest
        The number of the newest known format.
    names
        The files of a version. A folder with a manifest of other files is not a fit.

    Raises
    ------
    PathTakenError
        If the path exists and has more than leftovers of an interrupted write.
    """
    if not os.path.lexists(path):
        return
    advice = "Choose another path."
    if not path.is_dir():
        if path.exists() or not path.is_symlink():
            raise PathTakenError(f"{str(path)!r} exists already. {advice}")
        return  # a link to a folder that does not exist yet
    if all(map(_is_leftover, path.iterdir())):
        return
    digests: Collection[str] = ()
    try:
        digests = read_manifest(path, newest=newest).sha256
    except NoFitError:
        pass
    except DataError as problem:
        raise PathTakenError(f"cannot replace a fit: {problem} {advice}") from None
    if not set(names) <= set(digests):
        raise PathTakenError(
            f"{str(path)!r} exists already, and is not a saved fit. {advice}"
        )
    if not overwrite:
        raise PathTakenError(
            f"{str(path)!r} exists already. Choose another path, or pass "
            "overwrite=True."
        )


def read_manifest(folder: Path, *, newest: int) -> Manifest:
    """Read the manifest.

    Raises
    ------
    NoFitError
        If there is no manifest.
    DataError
        If it is damaged, or of a newer format.
    """
    path = folder / _MANIFEST
    try:
        written = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise NoFitError(
            f"there is no saved fit at {str(folder)!r}: it has no {_MANIFEST}."
        ) from None
    except (ValueError, RecursionError) as problem:
        raise _damaged(path, str(problem)) from None
    version = written.get("format") if isinstance(written, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise _damaged(path, f"its format is {quote(version)}")
    if version > newest:
        raise DataError(
            f"{str(folder)!r} was saved in format {version} by stanpool "
            f"{written.get('stanpool', '')}, and this version reads formats up to "
            f"{newest}. Upgrade stanpool."
        )
    try:
        manifest = read_record(Manifest, written, "it")
    except DataError as problem:
        raise _damaged(path, str(problem)) from None
    if manifest.folder and not _VERSION.fullmatch(manifest.folder):
        raise _damaged(path, f"its folder is {quote(manifest.folder)}")
    return manifest


def check_digests(folder: Path, manifest: Manifest, names: Sequence[str]) -> None:
    """Refuse files that have changed since they were written.

    Raises
    ------
    DataError
        If a file is missing or has changed.
    """
    for name in names:
        path = manifest.path(folder, name)
        if not path.is_file() or _sha256(path) != manifest.sha256.get(name):
            raise DataError(
                f"{str(path)!r} is not the file that was saved (missing, truncated or "
                "changed). Restore it from a copy, or fit and save again."
            )


@contextmanager
def new_version(
    path: Path, *, overwrite: bool, format_: int, names: Sequence[str], stanpool: str
) -> Iterator[Path]:
    """Return a folder to write files to, which are valid once all are written.

    Parameters
    ----------
    path, overwrite, names
        As for ``check_free``.
    format_, stanpool
        The number of the format, and the version of stanpool.

    Raises
    ------
    PathTakenError
        If the path exists and must not be replaced.
    OSError
        If it cannot be written.
    """
    folder = Path(os.path.realpath(path))
    check_free(path, overwrite=overwrite, newest=format_, names=names)
    made = make_folder(folder)
    try:
        with _locked(folder):
            # Other processes may have written to it meanwhile.
            check_free(path, overwrite=overwrite, newest=format_, names=names)
            _remove_leftovers(folder, names)
            version = folder / f"saved-{token_hex(4)}"
            try:
                version.mkdir()
                yield version
                digests = {name: _sha256(version / name) for name in names}
                manifest = Manifest(format_, digests, stanpool, version.name)
                _commit(folder, manifest, names)
            finally:
                _remove_leftovers(folder, names)
    finally:
        remove_empty(made)


def _commit(folder: Path, manifest: Manifest, names: Sequence[str]) -> None:
    """Make a version valid, and remove the files of format 1."""
    before = _counting(folder)
    version = folder / manifest.folder
    new = version / _MANIFEST
    with new.open("xb") as file:
        file.write(json.dumps(asdict(manifest), indent=1).encode())
        file.flush()
        os.fsync(file.fileno())
    for each in (version, folder, folder.parent):
        sync_folder(each)
    replace(new, folder / _MANIFEST)
    sync_folder(folder)
    if before == "":
        for name in names:
            (folder / name).unlink(missing_ok=True)


def _remove_leftovers(folder: Path, names: Sequence[str]) -> None:
    """Remove versions that are not valid, if they consist of our files."""
    try:
        counting = _counting(folder)
    except DataError:
        return  # the valid version is unknown
    for version in filter(_is_leftover, folder.iterdir()):
        if version.name != counting:
            for name in (*names, _MANIFEST):
                with suppress(OSError):
                    (version / name).unlink()
            with suppress(OSError):
                version.rmdir()


def _counting(folder: Path) -> str | None:
    """Return the name of the valid version, or None."""
    try:
        return read_manifest(folder, newest=sys.maxsize).folder
    except NoFitError:
        return None


def _is_leftover(path: Path) -> bool:
    """Whether this is the folder of a version."""
    return bool(_VERSION.fullmatch(path.name)) and not path.is_symlink()


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing to a folder, if the system can do that."""
    if is_windows():
        with _locked_beside(folder):
            yield
        return
    import fcntl

    handle = _Handle(folder)
    patience = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > patience:
                raise _busy(folder) from None
            time.sleep(_POLL_SECONDS)
            continue
        except OSError:  # some network file systems have no locks
            pass
        break
    try:
        yield
    finally:
        handle.close()


@contextmanager
def _locked_beside(folder: Path) -> Iterator[None]:
    """Lock a folder that cannot be opened, as none can on Windows, by a file beside."""
    from filelock import FileLock, Timeout

    file = folder.with_name(f".{folder.name}.lock")
    lock = FileLock(file)
    try:
        lock.acquire(timeout=_PATIENCE_SECONDS, poll_interval=_POLL_SECONDS)
    except Timeout:
        raise _busy(folder) from None
    except (OSError, NotImplementedError):  # no right to write there, or no locks
        pass
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):  # another process waits for it
            file.unlink()


def _busy(folder: Path) -> StorageError:
    return StorageError(
        f"another process has been saving in {str(folder)!r} for a minute. "
        "Wait for it, or choose another path."
    )


class _Handle:
    """An open folder, which is closed even after an interrupt."""

    def __init__(self, folder: Path) -> None:
        self._open = [os.open(folder, os.O_RDONLY)]

    def fileno(self) -> int:
        return self._open[0]

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop())

    __del__ = close


def _sha256(path: Path) -> str:
    """Return the digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{str(path)!r} is damaged: {why.rstrip('.')}.")
