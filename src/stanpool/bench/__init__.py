"""The benchmark: the same models and data for stanpool and its peers, in one run.

Each fit runs in its own process on two cores. A work is a model and its data, and a
tool is a way to fit it; each pair and seed gives one ``Cell``. ESS/s is the smallest
bulk effective sample size, over population parameters and all coefficients of groups,
divided by the seconds from calling fit to labelled draws. Compilation is excluded for
all tools: stanpool and nutpie compile beforehand, and from the time of JAX programs,
which compile while they run, the compilation time that JAX reports is subtracted.
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
