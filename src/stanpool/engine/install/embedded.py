"""The embedded engine: a CmdStan home made of a wheel, our driver and a makefile.

::

    <cache>/wheels/httpstan-4.17.0/      headers, libraries and stanc, as unpacked
    <cache>/wheels/ziglang-0.12.1/       a compiler, where the machine has none
    <cache>/engines/stan-2.39.0-<id>/    what cmdstanpy is pointed at:
        makefile  bin/make  bin/stanc  include  lib  driver
        make/compiler                    which compiler, and how it is called
        build/plain, build/threads       precompiled header and driver's objects
        engine.json                      what the identity <id> is made of

Each of the wheels' folders, the engine and build/plain have a list of their files.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stanpool.base.errors import EngineError
from stanpool.base.progress import stages
from stanpool.base.system.platforms import replace
from stanpool.engine.cmdstan.timings import SETTING_UP, remember
from stanpool.engine.install.cache import (
    Kind,
    cache_folder,
    cannot_write,
    free_space,
    publish,
    remove,
)
from stanpool.engine.install.contents import (
    faults,
    is_listed,
    list_of,
    record,
    was_adopted,
)
from stanpool.engine.install.toolchain import Compiler, find_compiler, probe
from stanpool.engine.install.wheel import (
    Wheel,
    check_given,
    httpstan,
    stan_version,
    unpack,
    ziglang,
)
from stanpool.engine.process import run

DESCRIPTION = "engine.json"

_MAKE = Path(__file__).parent / "makefiles"
_DRIVER = Path(__file__).parent.parent / "driver"
_SPACE_NEEDED = 1_500_000_000
_WAITING = "Waiting for another process that sets up Stan"


def set_up(
    *, progress: bool = True, force: bool = False, wheels: Sequence[Path] = ()
) -> Path:
    """Return the embedded engine's home, built in the cache if it is not there.

    What is damaged is built again.

    Parameters
    ----------
    force
        Build it again, and fetch the wheels again if they cannot be shown to be whole.
    wheels
        Wheel files to use instead of fetching them.

    Raises
    ------
    EngineError
        If it cannot be built; the message says what to do.
    """
    check_given(wheels)
    compiler = choose_compiler()
    parts = parts_of(compiler, wheels)
    forced = [part for part in parts if force and part.is_to_be_forced()]
    _check_variants(home_of(compiler))
    lacking = [part for part in parts if part in forced or not part.is_sound()]
    if not lacking:
        return home_of(compiler)
    if not all(part.folder.is_dir() for part in lacking):
        check_space()
    start = time.perf_counter()
    if force:
        remove(cache_folder() / "wheels" / "zig-cache")
        remove(home_of(compiler) / "build" / "plain")
    with stages(sum(part.steps for part in lacking), shown=progress) as display:

        def wait() -> None:
            display.start(_WAITING)

        for part in parts:  # the sound ones, too: what they are made of may be new

            def build(folder: Path, part: Part = part) -> None:
                if part.doing:
                    display.start(part.doing, steps=part.steps)
                part.build(folder, display.tick)

            publish(
                part.folder, build, kind=part.kind, anew=part in forced, on_wait=wait
            )
    if lacking == parts:
        remember(SETTING_UP, time.perf_counter() - start)
    return home_of(compiler)


def _check_variants(home: Path) -> None:
    """Remove what make has compiled for programs with threads, if it is damaged."""
    for folder in (home / "build").glob("[!.]*"):
        kind = Kind(can_adopt=_is_compiled)
        if folder.name != "plain" and not kind.is_usable(folder):
            remove(folder)


@dataclass(frozen=True, eq=False)
class Part:
    """A folder that an engine is made of.

    Attributes
    ----------
    folder
        Where it stands.
    kind
        How it is listed and checked.
    build
        Fills an empty folder, and calls its second argument while it does.
    doing
        What the user sees meanwhile.
    steps
        How long that takes, in compilations.
    is_fetched
        Whether it comes from the package index.
    """

    folder: Path
    kind: Kind
    build: Callable[[Path, Callable[..., None]], None]
    doing: str = ""
    steps: int = 0
    is_fetched: bool = False

    def is_sound(self) -> bool:
        """Say whether it is as it was listed, by the sizes and times of its files."""
        return self.kind.is_sound(self.folder)

    def is_whole(self) -> bool:
        """Say whether it is what it was to the bit, as far as that is known."""
        if not is_listed(self.folder):
            return self.folder.is_dir() and self.kind.can_adopt(self.folder)
        return not any(faults(self.folder, full=True))

    def is_to_be_forced(self) -> bool:
        """Say whether a set-up by force makes it anew: not what surely is whole."""
        is_known = is_listed(self.folder) and not was_adopted(self.folder)
        return not (self.is_fetched and is_known and self.is_whole())


def parts_of(compiler: Compiler, files: Sequence[Path] = ()) -> list[Part]:
    """Return what an engine is made of, in the order in which it is built.

    Parameters
    ----------
    files
        Wheel files to use instead of fetching them.
    """
    home = home_of(compiler)
    wheels = [_wheel_part(httpstan(), _is_needed_of_httpstan, _HTTPSTAN_NEEDS, files)]
    if compiler.kind == "zig":
        needs = ("ziglang/zig",)
        wheels.append(_wheel_part(ziglang(), _is_needed_of_ziglang, needs, files))
    made_of = [list_of(wheel.folder) for wheel in wheels]
    # In the finished home: clang's precompiled header remembers the headers' paths.
    shared = Part(
        home / "build" / "plain",
        Kind(record=partial(record, also=made_of), can_adopt=_is_compiled),
        lambda folder, tick: _compile_shared(home, folder, tick=tick),
        "Compiling Stan's headers and driver, once",
        steps=len(list(_DRIVER.glob("*.cpp"))) + 1,  # and the precompiled header
    )
    laid_out = Part(
        home,
        Kind(record=_record_home, can_adopt=partial(_has_files, names=_HOME_NEEDS)),
        lambda folder, _: _lay_out(compiler, folder, shared),
    )
    return [*wheels, laid_out, shared]


_HOME_NEEDS = (DESCRIPTION, "makefile", "bin/make", "bin/stanc", "make/compiler")
_HTTPSTAN_NEEDS = (
    "httpstan/stanc",
    "httpstan/include/stan/model/model_header.hpp",
    *(
        f"httpstan/lib/libsundials_{name}.a"
        for name in ("nvecserial", "cvodes", "idas", "kinsol")
    ),
)


def _wheel_part(
    wheel: Wheel,
    keep: Callable[[str], bool],
    needs: Sequence[str],
    files: Sequence[Path],
) -> Part:
    return Part(
        unpacked_folder(wheel),
        Kind(can_adopt=partial(_has_files, names=needs)),
        lambda folder, tick: unpack(wheel, keep, folder, files=files, tick=tick),
        f"Fetching {wheel.name} from the package index",
        steps=1,
        is_fetched=True,
    )


def _has_files(folder: Path, names: Sequence[str]) -> bool:
    """Say whether files are there and not empty; no more is known of older folders."""
    paths = [folder / name for name in names]
    return all(path.is_file() and path.stat().st_size > 0 for path in paths)


def _is_compiled(folder: Path) -> bool:
    """Say whether the driver's objects and the precompiled header are there."""
    names = [f"{source.stem}.o" for source in _DRIVER.glob("*.cpp")]
    header = next(folder.glob("**/header"), folder / "model_header.pch")
    return _has_files(folder, [*names, str(header.relative_to(folder))])


def _record_home(folder: Path, *, adopted: bool = False) -> None:
    """List a home's files, and the libraries that every program runs with."""
    libraries = list((folder / "lib").iterdir())
    record(folder, also=libraries, skip="build", adopted=adopted)


def is_ready(home: Path) -> bool:
    """Say whether an embedded home can compile programs, by a look at what there is."""
    needed = ("build/plain", "include", "lib", "bin/stanc")
    return all((home / name).exists() for name in needed)


def is_fit_to_run(home: Path) -> bool:
    """Say whether programs can run in a home, and its description be trusted.

    A quick look, at twenty files: its own, stanc and the libraries, not the headers.
    """
    return is_ready(home) and Kind().is_sound(home)


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
    name = f"stan-{stan_version()}-{digest(_identity_parts(compiler))}"
    return cache_folder() / "engines" / name


def current_names() -> set[str]:
    """Return the names of what the current engine needs and what of that is whole."""
    compiler = choose_compiler()
    *wheels, home, shared = parts_of(compiler)
    names = {part.folder.name for part in wheels if part.is_whole()}
    if home.is_whole() and shared.is_whole():
        names.add(home.folder.name)
    return names | ({"zig-cache"} if compiler.kind == "zig" else set())


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
        "stan": stan_version(),
        "headers": httpstan().digests[0],
        "driver": _sources_digest(),
        "compiler": compiler.version,
        "command": [Path(compiler.command[0]).name, *compiler.command[1:]],
    }


def _sources_digest() -> str:
    total = hashlib.sha256()
    for source in [*_driver_sources(), _MAKE / "make.sh", _MAKE / "makefile"]:
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
        ("httpstan/include/", "httpstan/lib/", f"{httpstan().name}.dist-info/LICENSE")
    )


_ZIG_NOT_NEEDED = tuple(
    f"ziglang/{name}/"
    for name in ("doc", "lib/libc/mingw", "lib/libc/musl", "lib/libc/wasi", "lib/tsan")
)


def _is_needed_of_ziglang(member: str) -> bool:
    return not member.startswith(_ZIG_NOT_NEEDED)


def _lay_out(compiler: Compiler, folder: Path, shared: Part) -> None:
    """Fill a home; what was compiled for an earlier one and is whole moves in."""
    for name in ("bin", "make", "build", "driver"):
        (folder / name).mkdir()
    # Relative, so that the cache can be moved.
    package = Path("../../wheels") / httpstan().name / "httpstan"
    (folder / "include").symlink_to(package / "include")
    (folder / "lib").symlink_to(package / "lib")
    (folder / "bin" / "stanc").symlink_to(".." / package / "stanc")
    for source in _driver_sources():
        shutil.copyfile(source, folder / "driver" / source.name)
    makefile = (_MAKE / "makefile").read_text("utf-8").replace("@STAN@", stan_version())
    (folder / "makefile").write_text(makefile, "utf-8")
    shutil.copyfile(_MAKE / "make.sh", folder / "bin" / "make")
    (folder / "bin" / "make").chmod(0o755)
    (folder / "make" / "compiler").write_text(_compiler_script(compiler), "utf-8")
    parts = _identity_parts(compiler)
    (folder / DESCRIPTION).write_text(
        json.dumps({"identity": digest(parts), **parts}, indent=2), "utf-8"
    )
    if shared.is_sound():
        replace(shared.folder, folder / "build" / shared.folder.name)


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
