"""Dask: the workers of a ``distributed.Client``, or of the scheduler at an address."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from stanpool.base.errors import EngineError, quote
from stanpool.base.system.executors.job import Job, LostError, Outcome, Outcomes
from stanpool.base.system.executors.waiting import AT_ONCE, Waiting
from stanpool.base.system.stopping import stop

_OFTEN, _PAUSE = 10, 0.5  # times that a result is asked for, and seconds between
_ENDS = (OSError, TimeoutError)
_LOST = (
    "the client of Dask was closed or has lost its scheduler, or the tasks were "
    "cancelled. Unfinished tasks were lost, too. If the study has a folder=, the same "
    "call with a new client continues from there."
)


@dataclass(frozen=True)
class DaskWorkers:
    """The workers of a cluster of Dask's.

    The job is a task itself, whose result all workers get from each other: what is
    scattered would be lost with the workers that hold it, and a result is made again.
    """

    client: Any

    def outcomes(self, job: Job, tasks: Sequence[Any]) -> Outcomes:
        """Do tasks; see ``Workers``."""
        self._refuse_if_closed()
        futures: dict[Any, int] = {}
        try:
            with _without_advice_on_size():
                shared = self.client.submit(_itself, job, pure=False)
                for place, task in enumerate(tasks):
                    future = self.client.submit(
                        _done, shared, task, pure=False, priority=-place
                    )
                    futures[future] = place
            yield from self._as_they_end(futures)
        finally:
            if futures:
                self._stop(job.study, list(futures))

    def _as_they_end(self, futures: dict[Any, int]) -> Outcomes:
        """Return outcomes, and let go of their futures."""
        from distributed import KilledWorker

        ended: SimpleQueue[Any] = SimpleQueue()
        for future in futures:
            future.add_done_callback(ended.put)
        how = f"Start some, for example with `dask worker {self._address} --nthreads 1`"
        waiting = Waiting("Dask", self._count_workers, how)
        while futures:
            try:
                future = ended.get(timeout=AT_ONCE)
            except Empty:
                self._refuse_if_closed()
                waiting.look(len(futures))
                continue
            waiting.over()
            try:
                outcome = self._result(future)
            except KilledWorker as killed:
                outcome = Outcome(None, LostError(_killed(killed)))
            except Exception as problem:
                is_lost = future.cancelled() or self.client.status != "running"
                raise EngineError(_LOST if is_lost else _refused(problem)) from problem
            yield futures.pop(future), outcome

    def _result(self, future: Any) -> Outcome:
        """Return the result of a task, asked for again if it was lost on its way."""
        for _ in range(_OFTEN):
            try:
                outcome: Outcome = future.result()
                return outcome
            except Exception as problem:
                is_final = future.status in ("error", "cancelled")
                if is_final or self.client.status != "running":
                    raise
                lost = problem
                time.sleep(_PAUSE)
        raise lost

    def _refuse_if_closed(self) -> None:
        if self.client.status in ("closing", "closed"):
            raise EngineError(_LOST)

    def _count_workers(self) -> int:
        with suppress(*_ENDS):
            return len(self.client.nthreads())
        return 1  # tasks end by themselves when the connection does

    @property
    def _address(self) -> str:
        return str(self.client.scheduler.address)

    def _stop(self, study: str, futures: list[Any]) -> None:
        """Cancel tasks, and stop those that are under way."""
        if self.client.status != "running":
            return
        with suppress(*_ENDS, RuntimeError):
            self.client.cancel(futures, force=True)
            self.client.run(stop, study, on_error="ignore")


@contextmanager
def dask_at(address: str | None) -> Iterator[DaskWorkers]:
    """Connect to the scheduler at an address; for None, to the current client's.

    Raises
    ------
    EngineError
        If nobody answers there.
    """
    from distributed import Client, default_client

    if address is None:
        with suppress(ValueError):
            yield DaskWorkers(default_client())
            return
        raise EngineError(
            "executor='dask' uses the cluster of the current client, but there is no "
            "client. Make one, for example with client = "
            "distributed.Client(threads_per_worker=1), which starts workers on this "
            "machine; or give the address of a scheduler, 'dask://host:8786'."
        )
    try:
        client = Client(address, set_as_default=False)
    except (*_ENDS, ValueError) as problem:
        raise EngineError(
            f"no scheduler of Dask answers at {quote(address)}: {problem}. Start one "
            "with `dask scheduler`, and workers with `dask worker --nthreads 1`."
        ) from problem
    with client:
        yield DaskWorkers(client)


def _itself(job: Job) -> Job:
    return job


def _done(job: Job, task: Any) -> Outcome:
    return job(task)


@contextmanager
def _without_advice_on_size() -> Iterator[None]:
    """Send large jobs, too, with the tasks: they are sent once, as is advised."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sending large graph")
        yield


def _killed(problem: Any) -> str:
    return (
        f"one worker after another ended while doing this task: {problem} The usual "
        "reason is that memory runs out: give workers more of it, or fit with fewer "
        "draws."
    )


def _refused(problem: Exception) -> str:
    return (
        f"the workers of Dask cannot do this: {type(problem).__name__}: {problem}. "
        "They need stanpool and its libraries in the same versions as here: "
        "client.get_versions(check=True) compares the libraries."
    )
