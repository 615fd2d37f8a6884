"""The engine that runs all fits of a study, wherever they are run.

One engine is chosen before the first fit, so that no result depends on what a worker
has compiled. Where programs are compiled, the executables go along: a worker that has
none, and no compiler, uses them if it is a machine of the same kind.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stanpool.base.options import EngineName
from stanpool.engine.cmdstan.compile import find_compiled, use_executable
from stanpool.engine.install.cache import Kind, cache_folder, publish
from stanpool.engine.install.toolchain import answer
from stanpool.engine.values.program import StanProgram

_LIBRARY = re.compile(r"=> (\S+) \(")
_OF_SYSTEM = ("/lib", "/usr")
_LIBRARIES, _ITSELF = "lib", "itself"
# The libraries are found wherever the folder is.
_START = f"""#!/bin/sh
here=${{0%/*}}
export LD_LIBRARY_PATH="$here/{_LIBRARIES}${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"
exec "$here/{_ITSELF}" "$@"
"""


@dataclass(frozen=True)
class StudyEngine:
    """The engine of a study.

    Attributes
    ----------
    name
        What it is called.
    programs
        The programs that it has compiled, whose executables are sent along.
    """

    name: EngineName
    programs: tuple[StanProgram, ...] = ()

    def __reduce__(self) -> tuple[Callable[..., StudyEngine], tuple[Any, ...]]:
        """Pack the executables, and unpack them where this is read."""
        packed = [each for each in map(_packed, self.programs) if each is not None]
        return _arrived, (self.name, packed)


@dataclass(frozen=True)
class _Packed:
    """An executable, with what it needs.

    Attributes
    ----------
    program
        What it was made of.
    machine
        The kind of machine that it runs on, and the oldest C library.
    files
        The compressed content of files by their names.
    """

    program: StanProgram
    machine: tuple[str, tuple[int, ...]]
    files: Mapping[str, bytes]


def _arrived(name: EngineName, packed: list[_Packed]) -> StudyEngine:
    """Unpack what this machine lacks and can use."""
    (kind, library), needed = _machine(), [*packed]
    for each in needed:
        is_fit = kind == each.machine[0] and library >= each.machine[1]
        if is_fit and find_compiled(each.program) is None:
            found = _unpacked(each)
            if answer(str(found), "info"):
                use_executable(each.program, found)
    return StudyEngine(name)


def _machine() -> tuple[str, tuple[int, ...]]:
    """Return the kind of this machine, and the version of its C library."""
    library, version = platform.libc_ver()
    kind = f"{platform.system()} {platform.machine()} {library}"
    return kind, tuple(int(part) for part in re.findall(r"\d+", version))


def _packed(program: StanProgram) -> _Packed | None:
    """Return the executable of a program with its libraries; on Linux only."""
    executable = find_compiled(program)
    if executable is None or platform.system() != "Linux":
        return None
    files = {
        each.name: each for each in executable.parent.iterdir() if each != executable
    }
    files[_ITSELF] = executable
    for library in _libraries(executable):
        files[f"{_LIBRARIES}/{library.name}"] = library
    content = {name: zlib.compress(path.read_bytes()) for name, path in files.items()}
    return _Packed(program, _machine(), content)


def _libraries(executable: Path) -> list[Path]:
    """Return the libraries of an executable that systems do not have."""
    told = subprocess.run(
        ["ldd", str(executable)], capture_output=True, encoding="utf-8", check=False
    )
    found = [Path(each) for each in _LIBRARY.findall(told.stdout)]
    return [each for each in found if not str(each).startswith(_OF_SYSTEM)]


def _unpacked(packed: _Packed) -> Path:
    """Write an executable into the cache, unless it is there; return its path."""
    content = hashlib.sha256()
    for name, part in sorted(packed.files.items()):
        content.update(name.encode() + hashlib.sha256(part).digest())

    def build(folder: Path) -> None:
        (folder / _LIBRARIES).mkdir()
        for name, part in packed.files.items():
            (folder / name).write_bytes(zlib.decompress(part))
        start = folder / packed.program.name
        start.write_text(_START, "utf-8")
        for each in (start, folder / _ITSELF):
            os.chmod(each, 0o755)

    address = cache_folder() / "programs" / content.hexdigest()
    return publish(address, build, kind=Kind(full=True)) / packed.program.name
