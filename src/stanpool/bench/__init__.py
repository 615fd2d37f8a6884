"""The benchmark suite: the same works for stanpool and its peers, in one run.

Each fit runs in a process of its own on two cores. A work is a model and its data, a
tool a way to fit it; of each pair and seed one ``Cell`` is kept. ESS/s is the smallest
effective sample size of the bulk, over population parameters and all coefficients of
groups, divided by the seconds from calling fit to labelled draws. Compilation is
excluded for everybody: stanpool and nutpie compile before, and of JAX's programs, which
compile while they run, the time that JAX reports for it is subtracted.
"""

from __future__ import annotations

from stanpool.bench.results import Cell, Standing, standings
from stanpool.bench.runner import Settings, run_bench
from stanpool.bench.suite import QUICK, TOOLS
from stanpool.bench.table import bench_record, bench_text, cell_text, write_results
from stanpool.bench.tools.tool import Sampling, Tool
from stanpool.bench.works import WORKS, Work

__all__ = [
    "QUICK",
    "TOOLS",
    "WORKS",
    "Cell",
    "Sampling",
    "Settings",
    "Standing",
    "Tool",
    "Work",
    "bench_record",
    "bench_text",
    "cell_text",
    "run_bench",
    "standings",
    "write_results",
]
