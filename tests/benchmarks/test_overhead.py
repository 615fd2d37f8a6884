"""What it costs to have a task done by Dask, and what 100 workers would gain.

As a program (``python tests/benchmarks/test_overhead.py``) it measures, on two worker
processes of this machine, the overhead of a task and the times of small fits, and
replays these with more workers than there are here.
"""

from __future__ import annotations

import heapq
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.base.system.parallel import run_many

MOST = 0.05  # seconds that may be spent on a task besides doing it
QUICK: dict[str, Any] = {"chains": 1, "draws": 100, "warmup": 100, "progress": False}


@contextmanager
def two_workers() -> Any:
    """Start two worker processes of one thread each."""
    from distributed import Client

    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None}
    with Client(n_workers=2, **options) as client:
        yield client


def makespan(seconds: Sequence[float], workers: int, overhead: float) -> float:
    """Return when the last of several tasks is done, by a simulation.

    Parameters
    ----------
    seconds
        What each task takes on a worker, in the order in which they are begun.
    workers
        How many workers there are.
    overhead
        What each task takes of the one process that hands tasks out, one by one.

    Examples
    --------
    >>> makespan([1.0, 1.0, 1.0], workers=2, overhead=0.0)
    2.0
    >>> makespan([1.0, 1.0], workers=2, overhead=0.5)  # the second begins at 1.0
    2.0
    """
    free = [0.0] * workers
    handed_out = end = 0.0
    for each in seconds:
        handed_out = max(handed_out, free[0]) + overhead
        heapq.heapreplace(free, handed_out + each)
        end = max(end, handed_out + each)
    return end


def segments(count: int, rows: int = 20) -> pd.DataFrame:
    """Return some small segments."""
    rng = np.random.default_rng(1)
    columns = {
        "s": np.repeat(np.arange(count), rows),
        "x": rng.normal(size=count * rows),
        "y": rng.normal(size=count * rows),
    }
    return pd.DataFrame(columns)


def seconds_of_a_task(client: Any, count: int) -> float:
    """Return the wall time that a task takes which does nothing."""
    run_many(abs, range(4), title="x", executor=client, progress=False)
    start = time.monotonic()
    run_many(abs, range(count), title="x", executor=client, progress=False)
    return (time.monotonic() - start) / count


def processor_seconds(work: Callable[[], Any], client: Any) -> float:
    """Return the processor time of all processes while something is done."""

    def used() -> float:
        there = client.run(_used)
        return float(_used() + sum(there.values()))

    before = used()
    work()
    return used() - before


def _used() -> float:
    """Return the processor time of this process and of those that it has ended."""
    from stanpool.engine.interpreter.waiting import stop_waiting

    stop_waiting()
    each = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return float(sum(one.ru_utime + one.ru_stime for one in each))


def overhead_of_a_fit(client: Any, count: int) -> tuple[float, float]:
    """Return the processor time of a fit here, and what more it takes on workers."""
    rows = segments(count)

    def fitted(executor: Any) -> sp.Fits:
        return sp.fit_many("y ~ x", rows, by="s", seed=1, executor=executor, **QUICK)

    fitted(client)  # imports and compiles
    here = processor_seconds(lambda: fitted(None), client)
    there = processor_seconds(lambda: fitted(client), client)
    return here / count, (there - here) / count


def test_the_simulation_is_that_of_closed_forms() -> None:
    seconds = np.random.default_rng(1).gamma(4.0, 0.1, size=200).tolist()
    assert makespan(seconds, 1, 0.01) == pytest.approx(sum(seconds) + 2.0)
    # Alike tasks are done in rounds, unless handing them out takes longer than doing.
    assert makespan([0.5] * 1000, 100, 0.0) == pytest.approx(5.0)
    assert makespan([0.5] * 1000, 1000, 0.01) == pytest.approx(10.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Dask
def test_a_task_on_dask_costs_less_than_50_milliseconds() -> None:
    pytest.importorskip("distributed")
    with two_workers() as client:
        assert seconds_of_a_task(client, 200) < MOST
        assert overhead_of_a_fit(client, 20)[1] < MOST


if __name__ == "__main__":
    COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with two_workers() as its_client:
        alone = [seconds_of_a_task(its_client, COUNT) for _ in range(5)]
        own = processor_seconds(
            lambda: seconds_of_a_task(its_client, COUNT), its_client
        )
        fit, more = overhead_of_a_fit(its_client, COUNT)
    print(f"a task that does nothing: {1e3 * min(alone):.1f} to {1e3 * max(alone):.1f}")
    print(f"  ms of wall time, {1e3 * own / COUNT:.1f} ms of processor time")
    print(f"a fit: {1e3 * fit:.0f} ms of processor time, on Dask {1e3 * more:.0f} more")
