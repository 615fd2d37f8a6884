"""Find the CmdStan home that cmdstanpy shall use, or set up the embedded one.

The order: ``STANPOOL_CMDSTAN`` or ``CMDSTAN``; an installation that cmdstanpy knows;
else the embedded engine. ``STANPOOL_ENGINE=embedded`` asks for the embedded engine
in any case.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from stanpool.base.arguments import public
from stanpool.base.errors import EngineError
from stanpool.base.system.platforms import executable, is_windows
from stanpool.engine.cmdstan.csv_programs import provide_csv_programs
from stanpool.engine.install.cache import cache_folder, given_folder
from stanpool.engine.install.embedded import (
    DESCRIPTION,
    choose_compiler,
    digest,
    home_of,
    is_fit_to_run,
    set_up,
)
from stanpool.engine.install.toolchain import (
    find_compiler,
    find_make,
    put_toolchain_on_path,
)
from stanpool.engine.install.wheel import httpstan


@public
def ensure(*, progress: bool = True) -> Path:
    """Return the CmdStan home, set up if need be, with cmdstanpy pointed at it.

    Afterwards ``cmdstanpy.CmdStanModel(stan_file=...)`` works in this process and in
    those that it starts, as do ``summary()`` and ``diagnose()`` of its fits.

    Parameters
    ----------
    progress
        Whether to show progress on standard error.

    Raises
    ------
    EngineError
        If there is no engine and none can be set up; the message says what to do.
    """
    home = find_official() or set_up(progress=progress)
    _activate(home)
    return home


def ensure_to_run(*, progress: bool = True) -> Path:
    """Return what ``ensure`` does, without a look at the files that only make needs.

    There are 13,000 of them, and looking at them takes a tenth of a second, for which a
    fit whose program is compiled need not wait.
    """
    home = find_official() or home_of(choose_compiler())
    if home.is_relative_to(cache_folder()) and not is_fit_to_run(home):
        return ensure(progress=progress)
    _activate(home)
    return home


def find_official() -> Path | None:
    """Return the CmdStan that the user has installed, if any.

    Raises
    ------
    EngineError
        If ``STANPOOL_CMDSTAN`` or ``CMDSTAN`` names a folder that is no CmdStan.
    """
    if os.environ.get("STANPOOL_ENGINE") == "embedded":
        return None
    if variable := cmdstan_variable():
        given = given_folder(variable, os.environ[variable])
        return _validated(given, variable)
    installed = _latest_installed()
    return installed if installed and find_compiler() and find_make() else None


def find_home() -> Path | None:
    """Return the home that ``ensure`` would, if it is there to run programs."""
    home = find_official()
    if home is None:
        compiler = find_compiler()
        home = home_of(choose_compiler() if compiler is None else compiler)
        if not is_fit_to_run(home):
            return None
    return home


def is_ready_to_compile() -> bool:
    """Say whether ``ensure`` has nothing to set up, as far as a quick look shows."""
    try:
        return find_home() is not None
    except EngineError:
        return False


def why_no_cmdstan() -> str:
    """Say why there is and can be no CmdStan on this platform, unless one is installed.

    "" where there is one, or stanpool can set one up.
    """
    try:
        if find_official() is None:
            httpstan()
    except EngineError as problem:
        return str(problem)
    return ""


def cmdstan_variable() -> str:
    """Return the environment variable in which the user names a CmdStan; "" if none."""
    for variable in ("STANPOOL_CMDSTAN", "CMDSTAN"):
        value = os.environ.get(variable)
        if value and not _is_our_doing(variable, Path(value)):
            return variable
    return ""


@public
def identity(home: Path) -> str:
    """Return a short digest of all that decides what a compiled program does.

    Equal identities make equal programs: the kind of engine, Stan's version, the
    headers and the driver, the compiler and its flags.
    """
    if is_embedded(home):
        return describe(home)["identity"]
    local = home / "make" / "local"
    compiler = find_compiler()
    return digest(
        {
            "kind": "official",
            "stan": stan_version(home),
            "stanc": (home / "bin" / executable("stanc")).stat().st_size,
            "local": local.read_text("utf-8", "replace") if local.exists() else "",
            "compiler": compiler.version if compiler else "",
        }
    )


def describe(home: Path) -> dict[str, str]:
    """Return what an embedded home says of itself.

    Raises
    ------
    EngineError
        If that is damaged: one of another cache, which nobody mends.
    """
    try:
        found = json.loads((home / DESCRIPTION).read_text(encoding="utf-8"))
        return {name: str(found[name]) for name in ("identity", "compiler")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"{str(home / DESCRIPTION)!r} is damaged, so that it is not known which "
            "engine this is. `stanpool setup --force` builds that of the cache again."
        ) from error


def is_embedded(home: Path) -> bool:
    """Say whether a home was made by stanpool."""
    return (home / DESCRIPTION).exists()


def stan_version(home: Path) -> str:
    """Return the version of the CmdStan in ``home``, such as ``"2.35.0"``."""
    try:
        lines = (home / "makefile").read_text("utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("CMDSTAN_VERSION :="):
            return line.partition(":=")[2].strip()
    raise EngineError(f"the makefile of {str(home)!r} does not say which CmdStan it is")


def _is_our_doing(variable: str, home: Path) -> bool:
    """Tell what an earlier ensure() put into a variable from what the user did."""
    ours = is_embedded(home) or home.is_relative_to(cache_folder())
    return variable == "CMDSTAN" and ours


def _validated(home: Path, variable: str) -> Path:
    for needed in ("makefile", f"bin/{executable('stanc')}"):
        if not (home / needed).exists():
            raise EngineError(
                f"{variable}={str(home)!r} is not a CmdStan that has been built: it "
                f"has no {needed!r}. Correct the variable, or unset it and stanpool "
                "finds or sets up an engine by itself."
            )
    return home


def _latest_installed() -> Path | None:
    folder = Path(os.path.expanduser("~/.cmdstan"))  # as it is where there is no home
    if not folder.is_dir():
        return None
    from cmdstanpy.utils.cmdstan import get_latest_cmdstan

    latest = get_latest_cmdstan(str(folder))
    home = folder / latest if latest else None
    if home is None or not (home / "bin" / executable("stanc")).exists():
        return None
    put_toolchain_on_path()
    return home


def _put_libraries_on_path(home: Path) -> None:
    """Let programs find the library of threads, as cmdstanpy does for its own models.

    Windows looks for libraries where it looks for programs.
    """
    threads = home / "stan" / "lib" / "stan_math" / "lib" / "tbb"
    folder = os.environ.get("STAN_TBB") or str(threads)
    path = os.environ.get("PATH", "").split(";")
    if folder not in path:
        os.environ["PATH"] = ";".join([folder, *path])


def _activate(home: Path) -> None:
    import cmdstanpy

    if is_embedded(home):
        provide_csv_programs(home)
    cmdstanpy.set_cmdstan_path(str(home))
    if is_windows():
        _put_libraries_on_path(home)
    own_make = home / "bin" / "make"
    if not find_make() and own_make.exists():
        cmdstanpy.set_make_env(str(own_make))
