"""The suite of benchmarks: the same models and data for stanpool and its peers.

A benchmark is a model and its data, and a tool is a way to fit it; each pair and seed
gives one ``Cell``. Each fit runs in its own process on two cores. What is compared is
the smallest bulk effective sample size, over population parameters and all coefficients
of groups, divided by the CPU seconds from calling fit to labelled draws: these hardly
depend on what else the machine does. Compilation is excluded for all tools: stanpool
and nutpie compile beforehand, and of JAX programs, which compile while they run, the
CPU seconds in which JAX says that it compiled are subtracted.

The warm-up and the metric are each tool's own. Peers are told stanpool's priors, and
programs that are written by hand have the form, centered around the population or not,
that an expert would choose for the benchmark.
"""

from __future__ import annotations

from stanpool.bench.benchmarks.benchmark import Benchmark, Sampling
from stanpool.bench.benchmarks.catalogue import BENCHMARKS
from stanpool.bench.results import Cell, Standing, standings
from stanpool.bench.runner import Settings, run_bench
from stanpool.bench.suite import QUICK, TOOLS
from stanpool.bench.table import bench_record, bench_text, cell_text, write_results
from stanpool.bench.tools.tool import Tool

__all__ = [
    "BENCHMARKS",
    "QUICK",
    "TOOLS",
    "Benchmark",
    "Cell",
    "Sampling",
    "Settings",
    "Standing",
    "Tool",
    "bench_record",
    "bench_text",
    "cell_text",
    "run_bench",
    "standings",
    "write_results",
]
