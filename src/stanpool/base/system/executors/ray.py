"""Ray: the workers of a cluster of Ray's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from stanpool.base.errors import EngineError, quote
from stanpool.base.system.executors.job import Job, LostError, Outcome, Outcomes
from stanpool.base.system.executors.waiting import AT_ONCE, Waiting

_OFTEN = 20  # times that a task is started again whose worker was lost


@dataclass(frozen=True)
class RayWorkers:
    """The workers of the cluster that this process is connected with."""

    def outcomes(self, job: Job, tasks: Sequence[Any]) -> Outcomes:
        """Do tasks; see ``Workers``."""
        import ray

        remote = ray.remote(num_cpus=1, max_retries=_OFTEN)(_done)
        shared = ray.put(job)
        places = {
            remote.remote(shared, task): place for place, task in enumerate(tasks)
        }
        how = "Start some, for example with `ray start --address=HOST:PORT`"
        waiting = Waiting("Ray", _count_cores, how)
        try:
            while places:
                left = list(places)
                ready, _ = ray.wait(left, num_returns=1, timeout=AT_ONCE)
                if not ready:
                    waiting.look(len(left))
                    continue
                waiting.over()
                # All that are done by now, since each call looks at all tasks.
                for each in ray.wait(left, num_returns=len(left), timeout=0)[0]:
                    yield places.pop(each), _outcome_of(each)
        finally:
            for left in places:
                ray.cancel(left, force=True)


def _count_cores() -> int:
    import ray

    return int(ray.cluster_resources().get("CPU", 0))


def _outcome_of(reference: Any) -> Outcome:
    import ray

    try:
        outcome: Outcome = ray.get(reference)
        return outcome
    except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError) as lost:
        return Outcome(None, LostError(f"the worker of this task was lost: {lost}"))
    except ray.exceptions.RayError as problem:
        raise EngineError(
            f"the workers of Ray cannot do this: {problem} They need stanpool and its "
            "libraries in the same versions as here."
        ) from problem


@contextmanager
def ray_at(address: str | None) -> Iterator[RayWorkers]:
    """Connect to a cluster, if this process is not connected with one already.

    Raises
    ------
    EngineError
        If nobody answers there.
    """
    import ray

    if ray.is_initialized():
        yield RayWorkers()
        return
    try:
        ray.init(address=address, log_to_driver=False, include_dashboard=None)
    except (ConnectionError, ValueError, RuntimeError) as problem:
        raise EngineError(
            f"no cluster of Ray answers at {quote(address)}: {problem}"
        ) from problem
    try:
        yield RayWorkers()
    finally:
        ray.shutdown()


def _done(job: Job, task: Any) -> Outcome:
    return job(task)
