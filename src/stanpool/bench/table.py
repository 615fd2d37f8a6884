"""The results of the suite as a table to read and as a record to keep."""

from __future__ import annotations

import os
import platform
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stanpool.base.errors import quote
from stanpool.base.system.files import write_text, writing
from stanpool.base.table_files import as_json
from stanpool.bench.benchmarks.catalogue import BENCHMARKS
from stanpool.bench.goals import INTERPRETED, OURS, Verdict, best
from stanpool.bench.results import (
    FITTED,
    Cell,
    Standing,
    furthest_apart,
    standings,
)
from stanpool.bench.tools.peers import PEERS
from stanpool.posterior.convergence import R_HAT

APART_LIMIT = 5.0
"""Monte Carlo errors that estimates of one model do not differ by."""

_HEADINGS = (
    "tool",
    "engine",
    "ESS/CPU s",
    "x peer",
    "ESS",
    "CPU s",
    "ms/grad.",
    "warm-up",
    "MB",
    "load",
    "R-hat",
    "div.",
    "converged",
)
_WIDTHS = (26, 8, 11, 8, 7, 8, 10, 9, 7, 8, 8, 6, 11)


def bench_text(cells: Sequence[Cell]) -> str:
    """Write results for a person to read.

    A table for each benchmark: medians over seeds, the factor to the best peer that
    converged, and below it what the suite asks of the benchmark.
    """
    found = standings(cells)
    parts = [
        _benchmark_text(benchmark, found)
        for benchmark in dict.fromkeys(c.benchmark for c in cells)
    ]
    engines = engines_text(found)
    return "\n\n".join([*parts, *([engines] if engines else []), _LEGEND])


_LEGEND = textwrap.fill(
    "ESS/CPU s: smallest bulk ESS of population parameters and groups' coefficients, "
    "over the CPU seconds from calling fit to labelled draws (CPU s); compiling is "
    "excluded. ms/grad.: milliseconds of these for each gradient. warm-up: its share "
    "of the gradients. MB: peak memory. load: CPU seconds of compiling or loading, "
    "with a first short run, for the first seed. Medians over seeds; the largest R-hat "
    f"and the most divergences of any. A fit with an R-hat above {R_HAT} counts as 0; "
    "in brackets, what it would be if most did not converge.",
    width=88,
)


def _benchmark_text(benchmark: str, found: dict[tuple[str, str], Standing]) -> str:
    own = [standing for (of, _), standing in found.items() if of == benchmark]
    rival = best(benchmark, found, PEERS)
    known = BENCHMARKS[benchmark]
    lines = [f"{benchmark}: {known.about}", f"  {known.formula} ({known.family})", ""]
    rows = (_row(standing, rival) for standing in own)
    lines += map(_line, (_HEADINGS, *rows))
    lines += [f"  {note}" for note in _notes(own)]
    lines += [f"  {_verdict_text(verdict)}" for verdict in verdicts(benchmark, found)]
    return "\n".join(lines)


def engines_text(found: Mapping[tuple[str, str], Standing]) -> str:
    """Write a line for each benchmark that was fitted both compiled and interpreted.

    Parameters
    ----------
    found
        By benchmark and tool.
    """
    lines = []
    for benchmark in dict.fromkeys(benchmark for benchmark, _ in found):
        pair = [found.get((benchmark, tool)) for tool in (OURS, INTERPRETED)]
        if all(each is not None and each.fitted for each in pair):
            cells = [
                _number(value)
                for each in pair
                if each is not None
                for value in (
                    each.compile_cpu_seconds,
                    each.cpu_seconds,
                    each.ess_per_cpu_second,
                )
            ]
            form = next(each.form for each in pair if each is not None)
            lines.append(
                f"  {benchmark:16}{form:12}" + "".join(f"{x:>10}" for x in cells)
            )
    if not lines:
        return ""
    each = "".join(f"{name:>10}" for name in ("load", "fit", "ESS/CPU s"))
    return "\n".join(
        [
            "engines: CPU seconds to compile or to load, and to fit",
            "",
            f"  {'':28}{'CmdStan':>30}{'stanli':>30}",
            f"  {'benchmark':16}{'form':12}{each}{each}",
            *lines,
        ]
    )


def cell_text(cell: Cell) -> str:
    """Write a cell in a line, as it is finished.

    Examples
    --------
    >>> cell_text(Cell("radon", "auto", 1, cpu_seconds=2.0, ess=900.0, r_hat=1.002))
    'radon auto seed 1: 450 ESS/CPU s, R-hat 1.0020, 2 CPU s'
    >>> cell_text(Cell("radon", "auto", 1, status="failed", message="no compiler"))
    'radon auto seed 1: failed, no compiler'
    """
    start = f"{cell.benchmark} {cell.tool} seed {cell.seed}:"
    if cell.status != FITTED:
        return f"{start} {cell.status}, {cell.message}"
    if cell.is_point:
        return f"{start} a point estimate, {_number(cell.cpu_seconds)} CPU s"
    r_hat = "-" if cell.r_hat is None else f"{cell.r_hat:.4f}"
    rate = _number(cell.ess_per_cpu_second) if cell.converged else "not converged, 0"
    return f"{start} {rate} ESS/CPU s, R-hat {r_hat}, {_number(cell.cpu_seconds)} CPU s"


def write_results(cells: Sequence[Cell], folder: Path) -> None:
    """Write ``bench.txt``, ``bench.json`` and the figure ``bench.png``."""
    from stanpool.plots import plot_bench

    record = bench_record(cells)
    write_text(folder / "bench.txt", bench_text(cells) + "\n")
    write_text(folder / "bench.json", as_json(record) + "\n")
    with writing(folder / "bench.png") as file:
        plot_bench(record).savefig(file, format="png", dpi=150)


def _line(texts: Sequence[str]) -> str:
    first, *others = texts
    padded = [
        text.rjust(width) for text, width in zip(others, _WIDTHS[1:], strict=False)
    ]
    return f"  {first.ljust(_WIDTHS[0])}{''.join(padded)}".rstrip()


def _row(standing: Standing, rival: Standing | None) -> tuple[str, ...]:
    name = standing.tool + (f" ({standing.form})" if standing.form else "")
    if not standing.fitted:
        trouble = standing.trouble
        why = f"{trouble.status}: {trouble.message}" if trouble else "not run"
        return name, f"  {quote(why, 100)[1:-1]}"
    if standing.is_point:
        seconds = _number(standing.cpu_seconds)
        return name, f"  a point estimate in {seconds} CPU s"
    rate = standing.ess_per_cpu_second
    ratio = rate / rival.ess_per_cpu_second if rival is not None else None
    return (
        name,
        standing.engine or "-",
        _number(rate) if rate else _in_brackets(standing),
        _number(ratio) if ratio else "-",
        _number(standing.ess),
        _number(standing.cpu_seconds),
        _number(standing.gradient_milliseconds),
        "-" if standing.warmup_share is None else f"{standing.warmup_share:.0%}",
        _number(standing.megabytes),
        _number(standing.compile_cpu_seconds),
        "-" if standing.r_hat is None else f"{standing.r_hat:.4f}",
        str(standing.divergences),
        f"{standing.converged} of {len(standing.cells)}",
    )


def _in_brackets(standing: Standing) -> str:
    """Write what would be the ESS per CPU second, had the fits converged."""
    if standing.ess is None or standing.cpu_seconds is None:
        return "-"
    return f"({_number(standing.ess / standing.cpu_seconds)})"


def _number(value: float | None) -> str:
    """Write three digits, and no fewer than those before the point."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def _notes(own: Sequence[Standing]) -> list[str]:
    """Say what a line of the table cannot: seeds that failed, estimates that differ."""
    notes = [
        f"{each.tool}: {each.trouble.status} with seed {each.trouble.seed}, "
        f"{each.trouble.message}"
        for each in own
        if each.fitted and each.trouble is not None
    ]
    for tool, name, apart in disagreements(own):
        notes.append(
            f"{tool}: its mean of {name} is {apart:.1f} Monte Carlo errors from "
            f"that of {OURS}"
        )
    return notes


def disagreements(own: Sequence[Standing]) -> list[tuple[str, str, float]]:
    """List tools that converged to something else than stanpool did.

    Returns
    -------
    list
        Tool, parameter, and how far its means are apart in Monte Carlo errors.
    """
    ours = [c for each in own if each.tool == OURS for c in each.fitted if c.converged]
    found = []
    for standing in own:
        for cell in standing.fitted:
            name, apart = furthest_apart(cell, ours[0]) if ours else ("", 0.0)
            if cell.converged and apart > APART_LIMIT:
                found.append((standing.tool, name, apart))
                break
    return found


def verdicts(benchmark: str, found: dict[tuple[str, str], Standing]) -> list[Verdict]:
    """Judge a benchmark by its goals."""
    return [goal.judge(benchmark, found, PEERS) for goal in BENCHMARKS[benchmark].goals]


def _verdict_text(verdict: Verdict) -> str:
    outcome = {True: "reached", False: "MISSED", None: "open"}[verdict.reached]
    return f"{outcome}: {verdict.goal}: {verdict.found}"


def bench_record(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return results as plain values, to be written as JSON.

    Returns
    -------
    dict
        ``machine``; ``table``, a line for each benchmark and tool; ``goals``; and
        ``cells``, all that was measured.
    """
    found = standings(cells)
    return {
        "machine": _machine(cells),
        "table": [_standing_record(each, found) for each in found.values()],
        "goals": [
            {"benchmark": benchmark, **asdict(verdict)}
            for benchmark in dict.fromkeys(cell.benchmark for cell in cells)
            for verdict in verdicts(benchmark, found)
        ],
        "cells": [asdict(cell) for cell in cells],
    }


def _standing_record(
    standing: Standing, found: dict[tuple[str, str], Standing]
) -> dict[str, Any]:
    rival = best(standing.benchmark, found, PEERS)
    rate = standing.ess_per_cpu_second
    return {
        "benchmark": standing.benchmark,
        "tool": standing.tool,
        "peer": standing.tool in PEERS,
        "form": standing.form,
        "engine": standing.engine,
        "status": FITTED if standing.trouble is None else standing.trouble.status,
        "ess_per_cpu_second": rate,
        "times_best_peer": None if rival is None else rate / rival.ess_per_cpu_second,
        "best_peer": None if rival is None else rival.tool,
        "ess": standing.ess,
        "seconds": standing.seconds,
        "cpu_seconds": standing.cpu_seconds,
        "build_seconds": standing.build_seconds,
        "compile_seconds": standing.compile_seconds,
        "compile_cpu_seconds": standing.compile_cpu_seconds,
        "gradient_milliseconds": standing.gradient_milliseconds,
        "warmup_share": standing.warmup_share,
        "megabytes": standing.megabytes,
        "is_point": standing.is_point,
        "r_hat": standing.r_hat,
        "divergences": standing.divergences,
        "converged": standing.converged,
        "seeds": len(standing.cells),
    }


def _machine(cells: Sequence[Cell]) -> dict[str, Any]:
    versions = {
        name: number for cell in cells for name, number in cell.versions.items()
    }
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "versions": versions,
    }


def _processor() -> str:
    """Name the processor, as far as the system tells."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
