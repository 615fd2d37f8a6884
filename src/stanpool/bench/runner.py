"""Running cells one after another, each in its own process, and saving them.

Tools alternate within a benchmark, and benchmarks and tools within a seed, so that
other load of the machine affects all alike.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stanpool.base.errors import SpecError
from stanpool.base.system.platforms import is_windows
from stanpool.bench.benchmarks.benchmark import Sampling
from stanpool.bench.benchmarks.catalogue import BENCHMARKS
from stanpool.bench.results import FAILED, FITTED, MISSING, OVER, SKIPPED, Cell
from stanpool.bench.suite import TOOLS, chosen, default_tools, missing_packages
from stanpool.engine.process import Group

_POLL_SECONDS = 0.2
_COMPILE_LIMIT = 900.0
_OVER_CPU = -getattr(signal, "SIGXCPU", 0) or None
_PATIENCE = 1 if _OVER_CPU is None else 10  # seconds for each CPU second of a fit
_INSTALL = "pip install 'stanpool[bench]', with Python 3.12 or later"


@dataclass(frozen=True)
class Settings:
    """The settings of a run of the suite.

    Attributes
    ----------
    benchmarks
        The names of benchmarks; empty for all.
    tools
        The names of tools; empty for those of each benchmark.
    seeds
        The seeds of the samplers, over which medians are taken.
    time_limit
        The most CPU seconds of a fit in one process, without compilation, and the
        longest time of a fit where systems have no such limit; elsewhere fits are
        given ten times as long, since the machine may be shared. A tool that takes
        longer is not run with other seeds.
    sampling
        How every tool samples, but for benchmarks that state it themselves.
    """

    benchmarks: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (1,)
    time_limit: float = 60.0
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        """Check names and numbers."""
        chosen(self.benchmarks, BENCHMARKS, what="benchmark")
        chosen(self.tools, TOOLS, what="tool")
        if not self.seeds or min(self.seeds) < 0:
            raise SpecError(f"seeds={self.seeds!r} must be whole numbers from 0.")
        if not self.time_limit > 0:
            raise SpecError(f"time_limit={self.time_limit!r} must be above 0 seconds.")

    def sampling_of(self, benchmark: str) -> Sampling:
        """Return how a benchmark is sampled."""
        return BENCHMARKS[benchmark].sampling or self.sampling

    def plan(self) -> Iterator[Cell]:
        """Return the cells to fit, in order."""
        benchmarks = chosen(self.benchmarks, BENCHMARKS, what="benchmark") or list(
            BENCHMARKS
        )
        for turn, seed in enumerate(dict.fromkeys(self.seeds)):
            for benchmark in benchmarks:
                tools = list(dict.fromkeys(self.tools)) or default_tools(
                    BENCHMARKS[benchmark]
                )
                for tool in reversed(tools) if turn % 2 else tools:
                    yield Cell(benchmark, tool, seed, status=SKIPPED)


def run_bench(
    settings: Settings, folder: Path, *, tell: Callable[[Cell], None] | None = None
) -> list[Cell]:
    """Fit every benchmark by every tool with every seed, except for saved results.

    Parameters
    ----------
    settings
        The settings.
    folder
        The folder to which each cell is written as soon as it is finished, as JSON in
        ``cells``, with the output of its process in ``logs``.
    tell
        Receives each cell as it is finished.

    Returns
    -------
    list of Cell
        The cells, in the order of benchmarks and tools. A peer that is not installed,
        fails or takes too long has a cell that says so.
    """
    for name in ("cells", "logs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    cells: list[Cell] = []
    for cell in settings.plan():
        finished = _finish(cell, settings, folder, cells)
        cells.append(finished)
        if tell is not None:
            tell(finished)
    return cells


def _finish(
    cell: Cell, settings: Settings, folder: Path, before: Sequence[Cell]
) -> Cell:
    """Return a saved cell, or fit it."""
    path = folder / "cells" / f"{cell.name}.json"
    kept = Cell.load_from(path) if path.exists() else cell
    sampling = asdict(settings.sampling_of(cell.benchmark))
    if kept.status == FITTED and kept.sampling == sampling:
        return kept
    missing = missing_packages(TOOLS[cell.tool])
    if missing:
        return _not(cell, MISSING, f"{', '.join(missing)}: {_INSTALL}")
    over = next(
        (
            each
            for each in before
            if (each.benchmark, each.tool, each.status)
            == (cell.benchmark, cell.tool, OVER)
        ),
        None,
    )
    if over is not None:
        return _not(cell, SKIPPED, f"seed {over.seed} was {OVER}")
    if kept.status == OVER and (kept.seconds or 0.0) >= settings.time_limit:
        return kept
    finished = _fit(cell, settings, folder, path)
    finished.save(path)
    return finished


def _not(cell: Cell, status: str, message: str, seconds: float | None = None) -> Cell:
    return Cell(
        cell.benchmark,
        cell.tool,
        cell.seed,
        status=status,
        message=message,
        seconds=seconds,
    )


def _fit(cell: Cell, settings: Settings, folder: Path, path: Path) -> Cell:
    """Fit in another process, and wait for it up to the time limit."""
    BENCHMARKS[cell.benchmark].prepare(folder)
    started = folder / "logs" / f"{cell.name}.started"
    started.unlink(missing_ok=True)
    order = {
        "benchmark": cell.benchmark,
        "tool": cell.tool,
        "seed": cell.seed,
        "sampling": asdict(settings.sampling_of(cell.benchmark)),
        "limit": settings.time_limit,
        "folder": str(folder),
        "started": str(started),
        "result": str(path),
    }
    log = folder / "logs" / f"{cell.name}.log"
    with log.open("w", encoding="utf-8") as output:
        group = Group(
            [sys.executable, "-P", "-m", "stanpool.bench.cell", json.dumps(order)],
            stdin=subprocess.PIPE,  # ends with us
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        process = group.process
        try:
            over = _wait(process, started, settings.time_limit * _PATIENCE)
        finally:
            _end(group)
            started.unlink(missing_ok=True)
    if process.returncode == _OVER_CPU or _has_met_its_limit(log):
        over = f"fitting took more than {settings.time_limit:g} CPU s"
    if over:
        return _not(cell, OVER, over, settings.time_limit)
    if process.returncode != 0:
        return _not(cell, FAILED, _last_line(log))
    return Cell.load_from(path)


def _wait(process: subprocess.Popen[bytes], started: Path, limit: float) -> str:
    """Wait for a process; return what took too long, or an empty text."""
    begun = time.monotonic()
    fitting: float | None = None
    while True:
        try:
            process.wait(timeout=_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            now = time.monotonic()
            if fitting is None and started.exists():
                fitting = now
            if fitting is not None and now - fitting > limit:
                return f"fitting took more than {limit:g} s"
            if fitting is None and now - begun > _COMPILE_LIMIT:
                return f"compiling took more than {_COMPILE_LIMIT:g} s"
        else:
            return ""


def _has_met_its_limit(log: Path) -> bool:
    """Whether a process that was started by a fit ended by the limit of CPU time."""
    return "SIGXCPU" in log.read_text("utf-8", errors="replace")


def _end(group: Group) -> None:
    """End a process and all that it has started, and let it clean up first."""
    if group.process.poll() is None:
        group.interrupt()
        with suppress(subprocess.TimeoutExpired):
            group.process.wait(timeout=0 if is_windows() else 5)
    group.end()


def _last_line(log: Path) -> str:
    """Return the last line that a process has written, which is its error."""
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "the process ended without a message"
