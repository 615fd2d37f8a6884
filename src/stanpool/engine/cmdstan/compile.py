"""Stan source to an executable, once for all projects of a user.

An executable is addressed by what decides its behaviour, SHA-256 over its source,
the options and the engine, and stands in the cache beside the program that it was
made from.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stanpool.base.arguments import public
from stanpool.base.errors import CompileError, EngineError, SpecError, quote, quote_list
from stanpool.base.progress import stages, tell_detail
from stanpool.base.system.parallel import usable_cores
from stanpool.base.system.platforms import executable, is_windows
from stanpool.engine.cmdstan.timings import COMPILING, remember
from stanpool.engine.install.cache import Kind, cache_folder, publish, writing
from stanpool.engine.install.home import (
    describe,
    ensure,
    ensure_to_run,
    find_home,
    identity,
    is_embedded,
    stan_version,
)
from stanpool.engine.install.toolchain import answer, find_compiler, make_name
from stanpool.engine.process import run
from stanpool.engine.scratch import scratch_folder
from stanpool.engine.values.program import LONGEST_NAME, StanProgram

if TYPE_CHECKING:
    from cmdstanpy import CmdStanModel

_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9_]{{0,{LONGEST_NAME - 1}}}")
_DEVICE = re.compile(r"con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)  # of Windows
_DESCRIPTION = "engine.json"
_IS_FIT_FOR_MAKE = re.compile(r"([A-Za-z]:)?[\w./+-]+")


@public
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
    """Return the executable of a Stan program, which is compiled if it was not before.

    Parameters
    ----------
    source
        The program, which should be complete: changes of files that it includes are not
        noticed.
    name
        What files are called: a letter, then letters, digits and ``_``.
    header
        C++ that defines the functions that the program only declares.
    threads
        Whether the program may use threads within a chain.
    stanc_options, cpp_options
        As ``cmdstanpy.CmdStanModel`` takes them.
    progress
        Whether to show progress on standard error.

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
    _check_name(name)
    home = ensure_to_run(progress=progress)
    job = _Job(
        source=source,
        name=name,
        header=header,
        stanc=dict(stanc_options or {}),
        cpp=dict(cpp_options or {}) | ({"STAN_THREADS": True} if threads else {}),
        identity=identity(home),
        home=str(home),
    )
    folder = job.folder
    if job.kind.is_usable(folder):
        tell_detail(f"Took {name}, compiled before, from {folder}")
        return folder / executable(name)
    ensure(progress=progress)  # all of it, now that all of it is needed
    with stages(1, shown=progress) as display:

        def build(partial: Path) -> None:
            display.start(f"Compiling {name}")
            start, before = time.perf_counter(), _cpu_seconds_of_children()
            try:
                _build(job, partial, display.tick)
                seconds = time.perf_counter() - start
                spent = _cpu_seconds_of_children() - before
                # Without waiting for others' work, as in the time of a gradient.
                remember(COMPILING, min(seconds, spent or seconds))
                tell_detail(f"Compiled {name} in {seconds:.1f} s into {folder}")
            except CompileError as error:
                kept = _keep(source, folder.with_suffix(".stan"))
                raise CompileError(
                    f"{error}\nThe program is kept in {kept}. Correct it if it is "
                    "yours, else report it; `stanpool doctor` checks the compiler."
                ) from error

        def wait() -> None:
            display.start(f"Waiting for another process that compiles {name}")

        return publish(folder, build, kind=job.kind, on_wait=wait) / executable(name)


def _cpu_seconds_of_children() -> float:
    """Return the CPU time of processes that have ended; 0 on Windows."""
    times = os.times()
    return times.children_user + times.children_system


def executable_of(program: StanProgram, *, progress: bool) -> Path:
    """Return the executable of a program, compiled now or at any time before."""
    if (sent := _sent.get(program)) is not None and sent.exists():
        return sent
    return compile_program(
        program.compiled, name=program.name, header=program.header, progress=progress
    )


_sent: dict[StanProgram, Path] = {}


def use_executable(program: StanProgram, executable: Path) -> None:
    """Run a program by an executable that another machine has made."""
    _sent[program] = executable


def cmdstanpy_model(program: StanProgram, *, progress: bool) -> CmdStanModel:
    """Return a program as cmdstanpy has it, compiled now or at any time before."""
    executable = executable_of(program, progress=progress)
    import cmdstanpy

    return cmdstanpy.CmdStanModel(exe_file=str(executable))


def find_compiled(program: StanProgram) -> Path | None:
    """Return the executable of a program, if it is in the cache and can be used.

    Nothing is set up, and cmdstanpy is not loaded.

    Parameters
    ----------
    program
        What ``compile_program`` would be asked for.
    """
    try:
        home = find_home()
        if home is None:
            return None
        job = _Job.of(program, home)
        is_there = job.kind.is_usable(job.folder)
    except EngineError:  # whoever needs the engine hears of it
        return None
    return job.folder / executable(program.name) if is_there else None


@public
def compile_programs(
    programs: Iterable[StanProgram],
    *,
    at_once: int | None = None,
    progress: bool = True,
) -> None:
    """Compile several programs together, in about half the time.

    Programs that were compiled before are skipped. Most of the time goes into Stan's
    templates, which programs have in common; here several programs are one file, so
    that the compiler reads them once. If that fails, they are left to
    ``compile_program``, which says why.

    Parameters
    ----------
    programs
        The programs, with what else ``compile_program`` is given.
    at_once
        The number of compilers at a time, each of which takes up to 3 GB of memory; by
        default as many as there are cores, and at most four.
    progress
        Whether to show progress on standard error.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.complete_pooling(sp.load_dataset("radon"), outcome="log_radon")
    >>> compile_programs([model.program])  # doctest: +SKIP
    """
    programs = list(programs)
    for each in programs:
        if not isinstance(each, StanProgram):
            raise SpecError(
                f"programs must be Stan programs, such as model.program, and one is "
                f"{quote(each)}."
            )
        _check_name(each.name)
    home = ensure_to_run(progress=progress)
    own_make = home / "bin" / "make"
    jobs = {}
    for each in programs:
        job = _Job.of(each, home)
        if not job.kind.is_usable(job.folder):
            jobs[job.address] = job
    if len(jobs) < 2 or not own_make.exists():
        return
    ensure(progress=progress)
    names = quote_list(sorted({job.name for job in jobs.values()}))
    with stages(1, shown=progress) as display, suppress(CompileError, OSError):
        display.start(f"Compiling {len(jobs)} programs: {names}")
        _build_together(
            list(jobs.values()),
            own_make,
            at_once or min(4, usable_cores()),
            display.tick,
        )


def _check_name(name: str) -> None:
    """Refuse a name that is not fit to be part of paths."""
    if not _NAME.fullmatch(name) or (is_windows() and _DEVICE.fullmatch(name)):
        raise SpecError(
            f"name={quote(name)} cannot name a program: a name is a letter and then "
            f"letters, digits and '_', at most {LONGEST_NAME} characters."
        )


def versions(executable: Path) -> dict[str, str]:
    """Say what an executable was made with: Stan, the kind of engine, the compiler."""
    try:
        found = json.loads(executable.with_name(_DESCRIPTION).read_text("utf-8"))
        return {"name": "cmdstan"} | {key: str(found[key]) for key in found}
    except (OSError, ValueError, TypeError):
        return {}


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

    @classmethod
    def of(cls, program: StanProgram, home: Path) -> _Job:
        """Return the job that makes a program, without options, by a home's tools."""
        return cls(
            program.compiled,
            program.name,
            program.header,
            stanc={},
            cpp={},
            identity=identity(home),
            home=str(home),
        )

    @property
    def address(self) -> str:
        """SHA-256 of it all."""
        parts = {name: part for name, part in asdict(self).items() if part != ""}
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where the executable stands in the cache."""
        return cache_folder() / "programs" / self.address

    @property
    def kind(self) -> Kind:
        """How that folder is checked: to the bit, since the executable runs."""
        return Kind(full=True, can_adopt=self._is_whole)

    def _is_whole(self, folder: Path) -> bool:
        """Say whether an older stanpool's executable is whole, as far as one sees.

        It is for this program, and runs far enough to say what it is.
        """
        found = folder / executable(self.name)
        try:
            if found.with_suffix(".stan").read_text("utf-8") != self.source:
                return False
        except (OSError, ValueError):
            return False
        return bool(versions(found) and answer(str(found), "info"))


def _build(job: _Job, folder: Path, tick: Callable[[], None]) -> None:
    """Fill a folder with the executable, its program and what it was made with.

    The home's own stanc and make do it, by the command that cmdstanpy would give.
    cmdstanpy itself would change the working directory of this whole process
    meanwhile, and leave compilers behind at Ctrl-C.
    """
    from cmdstanpy.compilation import CompilerOptions
    from cmdstanpy.utils.cmdstan import stanc_path
    from cmdstanpy.utils.filesystem import windows_short_path

    with tempfile.TemporaryDirectory(prefix="stanpool-", dir=_near(folder)) as made:
        scratch = windows_short_path(made)  # elsewhere the same; it has no blanks
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
        flags = options.compose(filename_in_msg=program.name)
        words = [make_name(), *flags, str(_made_of(program))]
        command = [_for_make(word) for word in words]
        _attempt("the C++ compiler fails on", command, Path(job.home), tick)
        _keep_executable(program, folder, Path(job.home))


def _build_together(
    jobs: Sequence[_Job], make: Path, at_once: int, tick: Callable[[], None]
) -> None:
    """Publish the executables of several jobs, made by one call of the engine's make.

    A function of theirs is the same in all headers, which do nothing the second time.
    """
    with scratch_folder() as scratch:
        header = Path(scratch, "functions.hpp")
        functions = "\n".join(dict.fromkeys(job.header for job in jobs))
        header.write_text(functions, encoding="utf-8")
        home, programs = Path(jobs[0].home), []
        for number, job in enumerate(jobs):
            programs.append(Path(scratch, str(number), f"{job.name}.stan"))
            programs[-1].parent.mkdir()
            programs[-1].write_text(job.source, encoding="utf-8")
        flags = ("STANCFLAGS+=--allow-undefined", f"USER_HEADER={header}")
        targets = [str(_made_of(program)) for program in programs]
        command = [str(make), f"-j{at_once}", *flags, *targets]
        _attempt("the C++ compiler fails on", command, home, tick)
        for job, program in zip(jobs, programs, strict=True):
            keep = functools.partial(_keep_executable, program, home=home)
            publish(job.folder, keep, kind=job.kind)


def _keep_executable(program: Path, folder: Path, home: Path) -> None:
    """Copy a program and its executable into a folder, with what they are made by."""
    with writing(folder):
        shutil.copy(program, folder)
        shutil.copy(_made_of(program), folder)
        (folder / _DESCRIPTION).write_text(json.dumps(_describe(home)), "utf-8")


def _made_of(program: Path) -> Path:
    """Return where make puts the executable of a program."""
    return program.with_name(executable(program.stem))


def _for_make(word: str) -> str:
    """Write a path of Windows as make and its shell take it."""
    return word.replace("\\", "/") if is_windows() else word


def _near(folder: Path) -> Path | None:
    """Return the folder itself, where a killed build is swept up, if make can.

    make cannot work where a path has blanks; then the system's temporary folder does.
    """
    return folder if _IS_FIT_FOR_MAKE.fullmatch(folder.as_posix()) else None


def _attempt(
    complaint: str, command: list[str], cwd: Path, tick: Callable[[], None]
) -> None:
    try:
        run(command, cwd=cwd, tick=tick)
    except EngineError as error:
        raise CompileError(f"{complaint} the program; {error}") from error


def _describe(home: Path) -> dict[str, str]:
    if is_embedded(home):
        kind, compiler = "embedded", describe(home)["compiler"]
    else:
        found = find_compiler()
        kind, compiler = "official", found.version if found else ""
    return {"stan": stan_version(home), "engine": kind, "compiler": compiler}


def _keep(source: str, path: Path) -> str:
    """Keep a program that does not compile, for a person to look at."""
    with writing(path):
        path.write_text(source, encoding="utf-8")
    return repr(str(path))
