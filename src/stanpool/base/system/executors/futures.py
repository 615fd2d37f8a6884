"""Executors of ``concurrent.futures``: threads and processes of this machine, mostly.

Others have the same interface, such as those of mpi4py, loky and Dask.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor, as_completed
from dataclasses import dataclass
from typing import Any

from stanpool.base.errors import EngineError
from stanpool.base.system.executors.job import Job, Outcomes
from stanpool.base.system.stopping import stop


@dataclass(frozen=True)
class FuturesWorkers:
    """The workers of an executor of ``concurrent.futures``."""

    executor: Executor

    def outcomes(self, job: Job, tasks: Sequence[Any]) -> Outcomes:
        """Do tasks; see ``Workers``."""
        futures = {}
        try:
            for place, task in enumerate(tasks):
                futures[self.executor.submit(job, task)] = place
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenExecutor as broken:
            raise EngineError(
                f"a worker of {type(self.executor).__name__} ended unexpectedly: "
                f"{broken} If memory ran out, use fewer workers. Such an executor does "
                "not recover; Dask, Ray, Spark and executor='joblib:loky' start the "
                "lost tasks again."
            ) from broken
        finally:
            if not all(future.done() for future in futures):
                stop(job.study)
            for future in futures:
                future.cancel()
