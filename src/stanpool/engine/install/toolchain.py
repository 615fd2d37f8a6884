"""The C++ compiler and make: the machine's own, else ones from the package index."""

from __future__ import annotations

import functools
import os
import platform
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import Literal

from stanpool.base.errors import EngineError
from stanpool.base.system import NO_WINDOW
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
    chosen = os.environ.get("MAKE", "make")
    return shutil.which(chosen)


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
        return tuple(shlex.split(chosen))
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
