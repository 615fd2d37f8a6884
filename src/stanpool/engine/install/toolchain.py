"""The C++ compiler and make: the machine's own, else ones from the package index."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from stanpool.base.errors import EngineError
from stanpool.base.system.platforms import NO_WINDOW, is_windows
from stanpool.engine.process import run
from stanpool.engine.scratch import scratch_folder

_PROBE = """
#include <optional>
#include <string>
#include <thread>
int main() { return std::optional<std::string>("").value().size(); }
"""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler.

    Attributes
    ----------
    kind
        How it takes a precompiled header; ``"zig"`` is the one from the index.
    command
        The words that call it.
    version
        The first line of what it says of itself.
    """

    kind: Literal["gcc", "clang", "zig"]
    command: tuple[str, ...]
    version: str


def find_compiler() -> Compiler | None:
    """Return the machine's C++ compiler: ``CXX``, else the first on the path.

    Raises
    ------
    EngineError
        If ``CXX`` cannot be split into words.
    """
    if chosen := os.environ.get("CXX"):
        return _compiler(_words(chosen))
    names = ("clang++", "g++", "c++")
    if platform.system() != "Darwin":
        names = ("g++", "clang++", "c++")
    elif shutil.which("xcode-select") and answer("xcode-select", "-p") is None:
        return (
            None  # Apple's clang++ would only open a window that offers to install it
        )
    found = (_compiler((path,)) for name in names if (path := shutil.which(name)))
    return next((compiler for compiler in found if compiler), None)


def find_make() -> str | None:
    """Return GNU make: ``MAKE``, else the first on the path."""
    return shutil.which(make_name())


def make_name() -> str:
    """Return what make is called: ``MAKE``, else as CmdStan has it on each system."""
    return os.environ.get("MAKE", "mingw32-make" if is_windows() else "make")


def put_toolchain_on_path() -> None:
    """On Windows, let programs find the compiler and make that cmdstanpy installs."""
    if is_windows() and not (find_compiler() and find_make()):
        from cmdstanpy.utils import cxx_toolchain_path

        with suppress(ValueError):  # there is none
            cxx_toolchain_path()


def probe(compiler: Compiler) -> None:
    """Compile, link and run a small C++17 program.

    Raises
    ------
    EngineError
        If it does not work, with the compiler's words.
    """
    with scratch_folder() as folder:
        source, program = folder / "probe.cpp", folder / "probe"
        source.write_text(_PROBE, "utf-8")
        run([*compiler.command, "-std=c++17", str(source), "-o", str(program)])
        run([str(program)])


def _words(chosen: str) -> tuple[str, ...]:
    """Split ``CXX`` into words, as a shell does."""
    try:
        if not is_windows():
            return tuple(shlex.split(chosen))
        # Where a backslash is part of a path, and quotes keep their blanks together.
        return tuple(word.strip('"') for word in shlex.split(chosen, posix=False))
    except ValueError as error:
        raise EngineError(
            f"CXX={chosen!r} cannot be split into words: {error}. Correct the "
            "variable, or unset it and the first compiler on the path is used."
        ) from error


@functools.cache
def _compiler(command: tuple[str, ...]) -> Compiler | None:
    said = answer(*command, "--version")
    if not said:
        return None
    kind: Literal["gcc", "clang"] = "clang" if "clang" in said else "gcc"
    return Compiler(kind, command, said.splitlines()[0])


def answer(*command: str) -> str | None:
    """Return what a command writes to standard output; None if it fails."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=30,
            creationflags=NO_WINDOW,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
