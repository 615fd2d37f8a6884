"""Spark: the executors of a ``SparkSession``, with a partition for each task."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from stanpool.base.errors import EngineError, SpecError
from stanpool.base.system.executors.job import Job, Outcome, Outcomes
from stanpool.base.system.executors.waiting import AT_ONCE


@dataclass(frozen=True)
class SparkWorkers:
    """The executors of a ``SparkContext``."""

    context: Any

    @classmethod
    def of(cls, session: Any) -> SparkWorkers:
        """Return those of a session or a context; None is the active session.

        Raises
        ------
        SpecError
            If there is none, or it is connected by Spark Connect.
        """
        if session is None:
            from pyspark.sql import SparkSession

            session = SparkSession.getActiveSession()
            if session is None:
                raise SpecError(
                    "executor='spark' uses the active Spark session, but there is "
                    "none. Make one with SparkSession.builder.getOrCreate(), or pass "
                    "a session as the executor."
                )
        try:
            return cls(getattr(session, "sparkContext", session))
        except Exception as problem:  # what Spark Connect raises differs by version
            raise SpecError(
                "this Spark session has no SparkContext, which sessions of Spark "
                "Connect do not offer. Pass a session that was made without .remote()."
            ) from problem

    def outcomes(self, job: Job, tasks: Sequence[Any]) -> Outcomes:
        """Do tasks; see ``Workers``."""
        from py4j.protocol import Py4JError

        # A thread that waits for the JVM cannot be interrupted, as Ctrl-C should.
        with ThreadPoolExecutor(1) as thread:
            found = thread.submit(self._collected, job, tasks)
            try:
                while not wait([found], timeout=AT_ONCE).done:
                    pass
                yield from found.result()
            except Py4JError as problem:
                raise EngineError(f"Spark cannot do this: {problem}") from problem
            finally:
                if not found.done():
                    self.context.cancelJobGroup(job.study)

    def _collected(self, job: Job, tasks: Sequence[Any]) -> list[tuple[int, Outcome]]:
        """Have all tasks done, as a group of jobs that can be cancelled."""
        self.context.setJobGroup(job.study, "stanpool")
        shared = self.context.broadcast(job)
        try:
            numbered = self.context.parallelize(list(enumerate(tasks)), len(tasks))
            found: list[tuple[int, Outcome]] = numbered.map(
                lambda each: (each[0], shared.value(each[1]))
            ).collect()
            return found
        finally:
            shared.destroy()
