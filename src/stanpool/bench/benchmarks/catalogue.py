"""The benchmarks of the suite, on data of stanpool or simulated with fixed seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from stanpool.bench.benchmarks import simulate
from stanpool.bench.benchmarks.benchmark import FORMS, LOW_RANK, Benchmark, Sampling
from stanpool.bench.benchmarks.simulate import simulated
from stanpool.bench.goals import NEVER_SLOWER, Beats, BeatsPeers, Converges, Grows
from stanpool.data.datasets import load_dataset

if TYPE_CHECKING:
    import pandas as pd


def _shipped(name: str) -> Callable[[], Iterator[pd.DataFrame]]:
    return lambda: iter([load_dataset(name)])


def _radon_all() -> Iterator[pd.DataFrame]:
    # As in posteriordb: by name only, of which one is empty.
    frame = load_dataset("radon_all")
    yield frame.assign(county=frame["county"].fillna("(none)"))


def _verbagg() -> Iterator[pd.DataFrame]:
    frame = load_dataset("verbagg")
    yield frame.assign(r2=(frame["r2"] == "Y").astype(int))


def _large(rows: int) -> Callable[[], Iterator[pd.DataFrame]]:
    return lambda: simulated(
        np.full(1000, rows // 1000), seed=1, beta=(0.5, -0.3, 0.2), tau=(0.5, 0.3)
    )


def _mixed(*, binary: bool) -> Callable[[], Iterator[pd.DataFrame]]:
    return lambda: simulated(
        np.repeat([500, 2], 50), seed=2, beta=(0.5,), binary_outcome=binary
    )


_LARGE = "y ~ x1 + x2 + x3 + (1 + x1 || g)"
_BY_COUNTY = "log_radon ~ floor + (1 + floor || county)"
_GROWS = Grows(1.3, "large_10k")

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark(
            "radon",
            "919 houses in 85 counties of Minnesota",
            _BY_COUNTY,
            _shipped("radon"),
            (BeatsPeers(3), NEVER_SLOWER),
            ours=FORMS,
        ),
        Benchmark(
            "radon_all",
            "12,573 houses in 386 counties, by their names",
            _BY_COUNTY,
            _radon_all,
            (BeatsPeers(3),),
        ),
        Benchmark(
            "sparse",
            "2000 groups of 2 rows, tau 0.1, sigma 1",
            "y ~ 1 + (1 | g)",
            lambda: simulated(np.full(2000, 2), seed=1, tau=(0.1,)),
            (Converges(1000),),
        ),
        Benchmark(
            "large_10k",
            "10,000 rows of 1000 groups, 3 predictors",
            _LARGE,
            _large(10_000),
            (),
            ours=("auto",),
            peers=(),
        ),
        Benchmark(
            "large",
            "100,000 rows of 1000 groups, 3 predictors",
            _LARGE,
            _large(100_000),
            (BeatsPeers(3), _GROWS),
            expert="centered",
        ),
        Benchmark(
            "large_1m",
            "1,000,000 rows of 1000 groups, 3 predictors, from Parquet",
            _LARGE,
            _large(1_000_000),
            (_GROWS,),
            ours=("auto",),
            peers=(),
            from_file=True,
        ),
        Benchmark(
            "large_10m",
            "10,000,000 rows of 1000 groups, 3 predictors, from Parquet",
            _LARGE,
            _large(10_000_000),
            (Grows(1.3, "large_10k", build_seconds=60, build_megabytes=2000),),
            ours=("auto",),
            peers=(),
            from_file=True,
        ),
        Benchmark(
            "bernoulli",
            "20,000 binary outcomes in 500 groups, 3 continuous predictors",
            "y ~ x1 + x2 + x3 + (1 | g)",
            lambda: simulated(
                np.full(500, 40), seed=1, beta=(0.5, -0.3, 0.2), binary_outcome=True
            ),
            (BeatsPeers(3),),
            family="bernoulli",
            expert="centered",
        ),
        Benchmark(
            "binary",
            "1,000,000 binary outcomes in 500 groups, 2 binary predictors",
            "y ~ x1 + x2 + (1 | g)",
            lambda: simulated(
                np.full(500, 2000),
                seed=1,
                beta=(0.5, -0.3),
                binary_outcome=True,
                binary_predictors=True,
            ),
            (Beats("auto", ("cells",), 0.9),),
            family="bernoulli",
            ours=("auto", "cells"),
            peers=(),
        ),
        Benchmark(
            "mixed",
            "50 groups of 500 rows and 50 of 2",
            "y ~ x1 + (1 | g)",
            _mixed(binary=False),
            (Beats("adaptive", ("centered", "noncentered")), NEVER_SLOWER),
            ours=FORMS,
            expert="centered",
        ),
        Benchmark(
            "mixed_binary",
            "50 groups of 500 binary outcomes and 50 of 2",
            "y ~ x1 + (1 | g)",
            _mixed(binary=True),
            (Beats("adaptive", ("centered", "noncentered")), NEVER_SLOWER),
            ours=FORMS,
            family="bernoulli",
            expert="centered",
        ),
        Benchmark(
            "scotssec",
            "3435 pupils of 148 primary and 19 secondary schools",
            "attain ~ verbal + (1 | primary) + (1 | second)",
            _shipped("scotssec"),
            (BeatsPeers(3),),
            expert="centered",
        ),
        Benchmark(
            "verbagg",
            "7584 binary answers of 316 people to 24 items",
            "r2 ~ Anger + Gender + btype + situ + mode + (1 | id) + (1 | item)",
            _verbagg,
            (BeatsPeers(3),),
            family="bernoulli",
            expert="centered",
            peers=LOW_RANK,
        ),
        Benchmark(
            "crossed",
            "73,421 rows of 2972 students and 1128 lecturers, as InstEval",
            "y ~ service * dept + studage + lectage + (1 | s) + (1 | d)",
            lambda: iter([simulate.crossed(2972, 1128, 73_421, seed=1)]),
            (BeatsPeers(3),),
            ours=("auto",),
            expert="centered",
            sampling=Sampling(draws=500),
        ),
        Benchmark(
            "ordinal",
            "20,000 answers in 5 categories of 300 groups, 3 predictors",
            "y ~ x1 + x2 + x3 + (1 | g)",
            lambda: iter([simulate.ordinal(20_000, 300, seed=1)]),
            (BeatsPeers(3),),
            family="ordinal",
            expert="centered",
        ),
        Benchmark(
            "counts",
            "5000 weighted negative binomial counts in 200 groups, with an offset",
            "y | weights(w) ~ x1 + x2 + offset(log_time) + (1 | g)",
            lambda: iter([simulate.counts(5000, 200, seed=1)]),
            (BeatsPeers(3),),
            family="negative_binomial",
            expert="centered",
        ),
        Benchmark(
            "slopes",
            "4000 rows of 200 groups, an intercept and three slopes, correlated",
            "y ~ x1 + x2 + x3 + (1 + x1 + x2 + x3 | g)",
            lambda: iter([simulate.slopes(200, 20, seed=1)]),
            (BeatsPeers(3),),
            expert="centered",
            peers=LOW_RANK,
        ),
        Benchmark(
            "small_groups",
            "200,000 binary outcomes of 50,000 groups",
            "y ~ x1 + (1 | g)",
            lambda: simulated(
                np.full(50_000, 4), seed=1, beta=(0.5,), tau=(1.0,), binary_outcome=True
            ),
            (BeatsPeers(3),),
            family="bernoulli",
            ours=("auto",),
            sampling=Sampling(chains=2, draws=200),
        ),
        Benchmark(
            "memberships",
            "5000 rows that belong to two of 400 groups",
            "y ~ x1 + (1 | mm(a, b))",
            lambda: iter([simulate.memberships(5000, 400, seed=1)]),
            (BeatsPeers(3),),
            peers=("nutpie", "numpyro"),
        ),
        Benchmark(
            "predictors",
            "2000 rows of 50 groups, 100 predictors",
            "y ~ " + " + ".join(f"x{k + 1}" for k in range(100)) + " + (1 | g)",
            lambda: iter([simulate.predictors(2000, 50, 100, seed=1)]),
            (BeatsPeers(3),),
            expert="centered",
            peers=LOW_RANK,
        ),
        Benchmark(
            "studies",
            "a meta-analysis of 5000 studies",
            "y | se(se) ~ 1 + (1 | study)",
            lambda: iter([simulate.studies(5000, seed=1)]),
            (BeatsPeers(3),),
            peers=("nutpie", "numpyro", "brms-stanli"),
        ),
    )
}
