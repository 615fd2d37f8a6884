"""Stan source to an executable, once for all projects of a user.

An executable is addressed by what decides its behaviour, SHA-256 over its source,
the options and the engine, and stands in the cache beside the program that it was
made from.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stanpool.engine.cache import cache_folder, publish, writing
from stanpool.engine.home import ensure, identity, stan_version
from stanpool.engine.process import run
from stanpool.engine.toolchain import find_compiler
from stanpool.errors import CompileError, EngineError, SpecError, shorten
from stanpool.progress import stages, tell_detail

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_DESCRIPTION = "engine.json"


def compile_program(
    source: str,
    *,
    name: str,
    header: str = "",
    threads: bool = False,
    stanc_options: Mapping[str, Any] | None = None,
    cpp_options: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Path:
    """Return the executable of a Stan program, compiled now or at any time before.

    Parameters
    ----------
    source
        The program, complete in itself: files that it includes are not watched.
    name
        What files are called: a letter, then letters, digits and ``_``.
    header
        C++ that defines the functions that the program only declares.
    threads
        Whether the program may use threads within a chain.
    stanc_options, cpp_options
        As ``cmdstanpy.CmdStanModel`` takes them.
    progress
        Show on standard error what is under way.

    Raises
    ------
    CompileError
        If stanc or the C++ compiler refuses the program.
    EngineError
        If there is no engine, or the cache cannot be written.

    Examples
    --------
    >>> executable = compile_program(  # doctest: +SKIP
    ...     "parameters { real x; } model { x ~ std_normal(); }", name="normal"
    ... )
    """
    if not _NAME.fullmatch(name):
        raise SpecError(
            f"name={shorten(name)} cannot name a program: give a letter, then "
            "letters, digits and '_', 100 at most."
        )
    home = ensure(progress=progress)
    job = _Job(
        source=source,
        name=name,
        header=header,
        stanc=dict(stanc_options or {}),
        cpp=dict(cpp_options or {}) | ({"STAN_THREADS": True} if threads else {}),
        identity=identity(home),
        home=str(home),
    )
    folder = cache_folder() / "programs" / job.address
    if folder.exists():
        tell_detail(f"Took {name}, compiled before, from {folder}")
    with stages(1, shown=progress) as display:

        def build(partial: Path) -> None:
            display.start(f"Compiling {name}")
            start = time.perf_counter()
            try:
                _build(job, partial, display.tick)
                seconds = time.perf_counter() - start
                tell_detail(f"Compiled {name} in {seconds:.1f} s into {folder}")
            except CompileError as error:
                kept = _keep(source, folder.with_suffix(".stan"))
                raise CompileError(
                    f"{error}\nThe program is kept in {kept}. Correct it if it is "
                    "yours, else report it; `stanpool doctor` checks the compiler."
                ) from error

        def wait() -> None:
            display.start(f"Waiting for another process that compiles {name}")

        return publish(folder, build, on_wait=wait) / name


def versions(executable: Path) -> dict[str, str]:
    """Say what an executable was made with: Stan, the kind of engine, the compiler."""
    try:
        text = executable.with_name(_DESCRIPTION).read_text(encoding="utf-8")
    except OSError:
        return {}
    return {key: str(value) for key, value in json.loads(text).items()}


@dataclass(frozen=True)
class _Job:
    """All that decides what an executable does, and what it is called.

    The home's path is part of it: executables find their libraries by it.
    """

    source: str
    name: str
    header: str
    stanc: Mapping[str, Any]
    cpp: Mapping[str, Any]
    identity: str
    home: str

    @property
    def address(self) -> str:
        """SHA-256 of it all."""
        parts = {name: part for name, part in asdict(self).items() if part != ""}
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def _build(job: _Job, folder: Path, tick: Callable[[], None]) -> None:
    """Fill a folder with the executable, its program and what it was made with.

    The home's own stanc and make do it, by the command that cmdstanpy would give.
    cmdstanpy itself would change the working directory of this whole process
    meanwhile, and leave compilers behind at Ctrl-C.
    """
    from cmdstanpy.compilation import CompilerOptions
    from cmdstanpy.utils.cmdstan import stanc_path

    with tempfile.TemporaryDirectory(prefix="stanpool-", dir=_near(folder)) as scratch:
        header = Path(scratch, "functions.hpp")
        header.write_text(job.header, encoding="utf-8")
        options = CompilerOptions(
            stanc_options=dict(job.stanc),
            cpp_options=dict(job.cpp),
            user_header=header if job.header else None,
        )
        try:
            options.validate()
        except ValueError as error:
            raise SpecError(f"cmdstanpy refuses the options: {error}") from error
        program = Path(scratch, f"{job.name}.stan")
        program.write_text(job.source, encoding="utf-8")
        check = [stanc_path(), *options.compose_stanc(None), "--info", program.name]
        _attempt("stanc refuses", check, Path(scratch), tick)
        make = os.environ.get("MAKE", "make")
        flags = options.compose(filename_in_msg=program.name)
        executable = program.with_suffix("")
        command = [make, *flags, str(executable)]
        _attempt("the C++ compiler fails on", command, Path(job.home), tick)
        with writing(folder):
            shutil.copy(program, folder)
            shutil.copy(executable, folder)
            (folder / _DESCRIPTION).write_text(json.dumps(_describe(Path(job.home))))


def _near(folder: Path) -> Path | None:
    """Return the folder itself, where a killed build is swept up, if make can.

    make cannot work where a path has blanks; then the system's temporary folder does.
    """
    return folder if re.fullmatch(r"[\w./+-]+", str(folder)) else None


def _attempt(
    complaint: str, command: list[str], cwd: Path, tick: Callable[[], None]
) -> None:
    try:
        run(command, cwd=cwd, tick=tick)
    except EngineError as error:
        raise CompileError(f"{complaint} the program; {error}") from error


def _describe(home: Path) -> dict[str, str]:
    own = home / _DESCRIPTION
    if own.exists():
        kind, compiler = "embedded", json.loads(own.read_text())["compiler"]
    else:
        found = find_compiler()
        kind, compiler = "official", found.version if found else ""
    return {"stan": stan_version(home), "engine": kind, "compiler": compiler}


def _keep(source: str, path: Path) -> str:
    """Keep a program that does not compile, for a person to look at."""
    with writing(path):
        path.write_text(source, encoding="utf-8")
    return repr(str(path))
