"""The programs of tests that compile, all together before the first that needs one.

One by one they take about twice the time. Nothing depends on this list: a program that
is not in it is compiled when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import stanpool as sp
from by_hand import BY_HAND
from stanpool.engine import cache_folder, compile_programs
from stanpool.engine.values.program import StanProgram

TOGETHER = 6  # in a file, for which the compiler takes 4 GB
# By their names in the catalogue of golden programs: what tests that are marked
# ``compiled`` fit, and with --slow others.
ALWAYS = (
    "complete_pooling_bernoulli",
    "partial_pooling_bernoulli_noncentered",
    "partial_pooling_gaussian_noncentered",
    "partial_pooling_gaussian_se_marginal",
    "partial_pooling_ordinal_adaptive",
)
GOLDEN = (
    "complete_pooling_bernoulli",
    "complete_pooling_gaussian",
    "complete_pooling_poisson",
    "neals_funnel_centered",
    "neals_funnel_noncentered",
    "no_pooling_bernoulli",
    "no_pooling_gaussian",
    "no_pooling_gaussian_se",
    "partial_pooling_bernoulli_noncentered",
    "partial_pooling_binomial_adaptive",
    "partial_pooling_gaussian_censored_adaptive",
    "partial_pooling_gaussian_centered",
    "partial_pooling_gaussian_marginal_correlated",
    "partial_pooling_gaussian_marginal_correlated_mixed_priors",
    "partial_pooling_gaussian_noncentered",
    "partial_pooling_gaussian_noncentered_correlated",
    "partial_pooling_gaussian_noncentered_latent",
    "partial_pooling_gaussian_se_centered",
    "partial_pooling_gaussian_se_marginal",
    "partial_pooling_gaussian_se_noncentered",
    "partial_pooling_ordinal_adaptive",
)
CAUCHY = {"sigma": "cauchy(0, 5)"}
# By models of the same structure.
ALWAYS_OTHERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("y ~ x1 + (1 | g)", {"parameterization": "marginal"}),
    ("y ~ x1 + (1 | g) + (1 | h)", {"parameterization": "marginal"}),
    ("y ~ x1 + (1 | g/h)", {"parameterization": "marginal"}),
)
OTHERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("y ~ x1 + (1 | g)", {"parameterization": "marginal"}),
    ("y ~ x1 + (1 | g)", {"parameterization": "adaptive"}),
    ("y ~ x1 + (1 | g)", {"parameterization": "centered", "compress": True}),
    ("y ~ x1 + (1 | g)", {"parameterization": "noncentered", "compress": True}),
    ("y ~ x1 + (1 | g)", {"parameterization": "adaptive", "compress": True}),
    ("y ~ x1 + u + (1 | g)", {"parameterization": "marginal"}),
    ("y ~ x1 + (1 | g) + (1 | h)", {"parameterization": "marginal"}),
    ("y ~ x1 + (1 | g/h)", {"parameterization": "marginal"}),
    ("y ~ x1 + (1 | mm(g, h))", {"parameterization": "adaptive"}),
    ("y | se(known) ~ 1 + (1 | g)", {"parameterization": "adaptive"}),
    ("colour ~ x1 + (1 | g)", {"family": "categorical"}),
    ("y | se(known) ~ 1 + (1 | g)", {"priors": {"tau": "normal(0, 5)"}}),
    # The third notebook's.
    ("y ~ x1", {"priors": CAUCHY, "pooling": "complete"}),
    ("y ~ x1 + (1 + x1 | g)", {"priors": CAUCHY, "pooling": "none"}),
    ("y ~ x1 + (1 + x1 || g)", {"priors": CAUCHY | {"tau": "normal(0, 5)"}}),
)


def shared_programs(everything: bool) -> Iterator[StanProgram]:
    """Render programs that tests fit: those of structures, whatever the data are."""
    from golden.catalogue import programs, small_data

    yield from BY_HAND
    known = programs()
    yield from (known[name] for name in (GOLDEN if everything else ALWAYS))
    for formula, options in OTHERS if everything else ALWAYS_OTHERS:
        yield sp.Model(formula, small_data(), **options).program


@cache
def compile_shared(*, everything: bool) -> None:
    """Compile them, a batch in each of the processes that test."""
    from filelock import FileLock, Timeout

    batches = list(in_batches(shared_programs(everything), TOGETHER))
    for wait in (False, True):
        for number, batch in enumerate(batches):
            lock = FileLock(cache_folder() / f".together-{number}.lock")
            with suppress(Timeout), lock.acquire(blocking=wait):
                compile_programs(batch, at_once=1, progress=False)


def in_batches(
    programs: Iterable[StanProgram], size: int
) -> Iterator[Sequence[StanProgram]]:
    """Put programs together, those first that share functions in C++."""
    ordered = sorted(programs, key=lambda each: (each.header, each.compiled))
    for start in range(0, len(ordered), size):
        yield ordered[start : start + size]
