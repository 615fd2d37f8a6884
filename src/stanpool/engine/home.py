"""Find the CmdStan home that cmdstanpy shall use, or build the embedded one.

The order: ``STANPOOL_CMDSTAN`` or ``CMDSTAN``; an installation that cmdstanpy knows;
else the embedded engine, built once in the cache from the wheel of httpstan and our
own driver. ``STANPOOL_ENGINE=embedded`` asks for the embedded engine in any case.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stanpool.engine.cache import (
    cache_folder,
    cannot_write,
    free_space,
    publish,
)
from stanpool.engine.process import run
from stanpool.engine.progress import Stages, stages
from stanpool.engine.toolchain import (
    Compiler,
    find_compiler,
    find_make,
    probe,
)
from stanpool.engine.wheel import Wheel, httpstan, unpacked, ziglang
from stanpool.errors import EngineError

STAN_VERSION = "2.35.0"

_PACKAGE = Path(__file__).parent
_DRIVER = _PACKAGE / "driver"
_SPACE_NEEDED = 1_500_000_000
_ZIG_FLAGS = (
    "-Wno-enum-constexpr-conversion",
    "-fno-sanitize=all",
    "-D_LIBCPP_ENABLE_CXX17_REMOVED_FEATURES",
    "-D_LIBCPP_ENABLE_CXX17_REMOVED_UNARY_BINARY_FUNCTION",
)


@dataclass(frozen=True)
class Home:
    """Where CmdStan is.

    Attributes
    ----------
    path
        The folder that cmdstanpy is pointed at.
    kind
        Installed by the user, or embedded.
    compiler
        What compiles the programs there; None if there is no compiler.
    """

    path: Path
    kind: Literal["official", "embedded"]
    compiler: Compiler | None


def ensure(*, progress: bool = True) -> Path:
    """Return the CmdStan home, set up if need be, with cmdstanpy pointed at it.

    Afterwards ``cmdstanpy.CmdStanModel(stan_file=...)`` works in this process and in
    those that it starts.

    Parameters
    ----------
    progress
        Show the stages of a set-up on standard error.

    Raises
    ------
    EngineError
        If there is no engine and none can be set up; the message says what to do.
    """
    home = find_official() or set_up(progress=progress)
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
    for variable in ("STANPOOL_CMDSTAN", "CMDSTAN"):
        value = os.environ.get(variable)
        # A folder of our cache was put there by an earlier ensure(), not by the user.
        if value and not Path(value).is_relative_to(cache_folder()):
            return _validated(Path(value).expanduser(), variable)
    installed = _latest_installed()
    return installed if installed and find_compiler() and find_make() else None


def set_up(
    *, progress: bool = True, force: bool = False, wheels: Sequence[Path] = ()
) -> Path:
    """Return the embedded engine's home, built in the cache if it is not there.

    Parameters
    ----------
    force
        Build it again.
    wheels
        Wheel files to use instead of fetching them.

    Raises
    ------
    EngineError
        If it cannot be built.
    """
    compiler = _compiler_for_embedded()
    home = embedded_home(compiler)
    if home.exists() and not force:
        return home
    _check_space(home)
    with stages(4 if compiler.kind == "zig" else 3, shown=progress) as display:
        headers = _unpacked(httpstan(), _is_needed_of_httpstan, wheels, display)
        if compiler.kind == "zig":
            _unpacked(ziglang(), _is_needed_of_ziglang, wheels, display)
        return publish(
            home,
            lambda folder: _build(folder, headers, compiler, display),
            on_wait=lambda: display.start(_WAITING),
        )


def embedded_home(compiler: Compiler | None = None) -> Path:
    """Return where the embedded engine of this version of stanpool is, or would be."""
    parts = _identity_parts(compiler or _compiler_for_embedded())
    return cache_folder() / "engines" / f"stan-{STAN_VERSION}-{_digest(parts)}"


def identity(home: Path) -> str:
    """Return a short digest of all that decides what a compiled program does.

    Equal identities make equal programs: the kind of engine, Stan's version, the
    headers and the driver, the compiler and its flags.
    """
    described = home / "engine.json"
    if described.exists():
        return str(json.loads(described.read_text())["identity"])
    local = home / "make" / "local"
    compiler = find_compiler()
    return _digest(
        {
            "kind": "official",
            "stan": stan_version(home),
            "stanc": (home / "bin" / "stanc").stat().st_size,
            "local": local.read_text() if local.exists() else "",
            "compiler": compiler.version if compiler else "",
        }
    )


def stan_version(home: Path) -> str:
    """Return the version of the CmdStan in ``home``, such as ``"2.35.0"``."""
    for line in (home / "makefile").read_text().splitlines():
        if line.startswith("CMDSTAN_VERSION :="):
            return line.partition(":=")[2].strip()
    raise EngineError(f"the makefile of {str(home)!r} does not say which CmdStan it is")


_WAITING = "Waiting for another process that sets up Stan"


def _validated(home: Path, variable: str) -> Path:
    for needed in ("makefile", "bin/stanc"):
        if not (home / needed).exists():
            raise EngineError(
                f"{variable}={str(home)!r} is not a CmdStan that is built: there is no "
                f"{needed!r} in it. Correct the variable, or unset it and stanpool "
                "finds or sets up an engine by itself."
            )
    return home


def _latest_installed() -> Path | None:
    from cmdstanpy.utils.cmdstan import get_latest_cmdstan

    folder = Path("~/.cmdstan").expanduser()
    latest = get_latest_cmdstan(str(folder)) if folder.is_dir() else None
    home = folder / latest if latest else None
    return home if home and (home / "bin" / "stanc").exists() else None


def _activate(home: Path) -> None:
    import cmdstanpy

    cmdstanpy.set_cmdstan_path(str(home))
    own_make = home / "bin" / "make"
    if not find_make() and own_make.exists():
        cmdstanpy.set_make_env(str(own_make))


def _compiler_for_embedded() -> Compiler:
    """Return the machine's compiler if it works, else the one from the index."""
    compiler = find_compiler()
    if compiler is None:
        return _zig()
    if embedded_home(compiler).exists():
        return compiler
    try:
        probe(compiler)
    except EngineError:
        return _zig()
    return compiler


def _zig() -> Compiler:
    wheel = ziglang()
    # Relative to the home, so that the cache can be moved.
    program = f"../../wheels/{wheel.name}/ziglang/zig"
    target = ("-target", "x86_64-linux-gnu.2.17") if sys.platform == "linux" else ()
    return Compiler("zig", (program, "c++", *target, *_ZIG_FLAGS), wheel.name)


def _identity_parts(compiler: Compiler) -> dict[str, object]:
    return {
        "kind": "embedded",
        "stan": STAN_VERSION,
        "headers": httpstan().digests[0],
        "driver": _sources_digest(),
        "compiler": compiler.version,
        "command": [Path(compiler.command[0]).name, *compiler.command[1:]],
    }


def _sources_digest() -> str:
    sources = [*_driver_sources(), _PACKAGE / "make.sh", _PACKAGE / "makefile"]
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.name}\n".encode() + source.read_bytes())
    return digest.hexdigest()


def _driver_sources() -> list[Path]:
    return sorted([*_DRIVER.glob("*.cpp"), *_DRIVER.glob("*.hpp")])


def _digest(parts: dict[str, object]) -> str:
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _check_space(home: Path) -> None:
    free = free_space()
    if free < _SPACE_NEEDED:
        raise EngineError(
            cannot_write(
                home.parent,
                f"{free / 1e9:.1f} GB are free, the engine needs "
                f"{_SPACE_NEEDED / 1e9:.1f} GB",
            )
        )


def _unpacked(
    wheel: Wheel, keep: Callable[[str], bool], files: Sequence[Path], display: Stages
) -> Path:
    display.start(f"Fetching {wheel.name} from the package index")
    return publish(
        cache_folder() / "wheels" / wheel.name,
        lambda folder: unpacked(wheel, keep, folder, files=files, tick=display.tick),
        on_wait=lambda: display.start(_WAITING),
    )


_BOOST_NOT_NEEDED = tuple(
    f"httpstan/include/boost/{name}/"
    for name in "asio beast compute geometry gil graph hana qvm spirit".split()
)


def _is_needed_of_httpstan(member: str) -> bool:
    if member.startswith(("httpstan/include/pybind11/", *_BOOST_NOT_NEEDED)):
        return False
    return member == "httpstan/stanc" or member.startswith(
        ("httpstan/include/", "httpstan/lib/", "httpstan-4.13.0.dist-info/LICENSE")
    )


def _is_needed_of_ziglang(member: str) -> bool:
    return True


def _build(folder: Path, headers: Path, compiler: Compiler, display: Stages) -> None:
    """Lay out a CmdStan home in ``folder`` and compile what all programs share."""
    display.start("Compiling Stan's driver and headers, once")
    parts = _identity_parts(compiler)
    for name in ("bin", "make", "build"):
        (folder / name).mkdir()
    # Relative, from where the folder will be: engines/<name>.
    wheel = Path("../../wheels") / headers.name / "httpstan"
    (folder / "include").symlink_to(wheel / "include")
    (folder / "lib").symlink_to(wheel / "lib")
    (folder / "bin" / "stanc").symlink_to(".." / wheel / "stanc")
    (folder / "driver").mkdir()
    for source in _driver_sources():
        shutil.copyfile(source, folder / "driver" / source.name)
    shutil.copyfile(_PACKAGE / "makefile", folder / "makefile")
    make = folder / "bin" / "make"
    shutil.copyfile(_PACKAGE / "make.sh", make)
    make.chmod(0o755)
    (folder / "make" / "compiler").write_text(_compiler_script(compiler))
    (folder / "engine.json").write_text(
        json.dumps({"identity": _digest(parts), **parts}, indent=2)
    )
    run([str(make), "build"], tick=display.tick)


def _compiler_script(compiler: Compiler) -> str:
    """Return the shell lines that tell bin/make which compiler to call, and how."""
    names = " ".join(source.stem for source in sorted(_DRIVER.glob("*.cpp")))
    lines = [
        f"KIND={compiler.kind}",
        f"DRIVER={shlex.quote(names)}",
        f'cxx() {{ {shlex.join(compiler.command)} "$@"; }}',
    ]
    if compiler.kind == "zig":
        lines += [
            'ZIG_GLOBAL_CACHE_DIR="$(cd ../../wheels && pwd)/zig-cache"',
            'ZIG_LOCAL_CACHE_DIR="$ZIG_GLOBAL_CACHE_DIR"',
            "export ZIG_GLOBAL_CACHE_DIR ZIG_LOCAL_CACHE_DIR",
        ]
    return "\n".join(lines) + "\n"
