"""Whatever a user passes as ``executor=``, as the workers that it stands for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from inspect import ismodule
from typing import Any, Protocol

from stanpool.base.errors import EngineError, quote
from stanpool.base.system.executors.dask import DaskWorkers, dask_at
from stanpool.base.system.executors.futures import FuturesWorkers
from stanpool.base.system.executors.job import Job, Outcomes
from stanpool.base.system.executors.joblib import JoblibWorkers
from stanpool.base.system.executors.ray import ray_at
from stanpool.base.system.executors.spark import SparkWorkers

AnyExecutor = Any
"""What ``executor=`` takes, which ``EXECUTORS`` says."""

EXECUTORS = (
    "an Executor of concurrent.futures; 'dask://host:8786', 'dask' or a "
    "distributed.Client; 'ray' or 'ray://host:10001'; 'joblib' or 'joblib:loky'; "
    "'spark' or a SparkSession"
)

# The libraries of engines, and what of them is imported.
_LIBRARIES = {
    "dask": "distributed",
    "ray": "ray",
    "joblib": "joblib",
    "spark": "pyspark",
}


class Workers(Protocol):
    """What does the tasks of a study."""

    def outcomes(self, job: Job, tasks: Sequence[Any]) -> Outcomes:
        """Do tasks, and return the place of each and what became of it, as they end.

        Tasks whose worker is lost are done again. Should the iterator be closed
        early, what is left is cancelled, and what is under way is stopped.

        Raises
        ------
        EngineError
            If no more tasks can be done.
        """


def library_of(executor: Any) -> str | None:
    """Return whose executor this is: "dask", "ray", "joblib", "spark", "futures".

    None if it is nobody's. Nothing is imported.
    """
    if isinstance(executor, str):
        named = executor.partition(":")[0]
        return named if named in _LIBRARIES else None
    named = executor.__name__ if ismodule(executor) else type(executor).__module__
    top = named.partition(".")[0]
    for library, package in _LIBRARIES.items():
        has_submit = library == "dask" and not hasattr(executor, "scatter")
        if top == package and not has_submit:
            return library
    return "futures" if hasattr(executor, "submit") else None


def workers_of(executor: AnyExecutor) -> AbstractContextManager[Workers]:
    """Connect to the workers that a user named.

    Parameters
    ----------
    executor
        What ``EXECUTORS`` says.

    Raises
    ------
    EngineError
        If a library is not installed, or nobody answers.
    """
    library = library_of(executor)
    assert library is not None, "arguments are checked where they come in"
    if library in _LIBRARIES and find_spec(_LIBRARIES[library]) is None:
        raise EngineError(
            f"executor={quote(executor)} needs {_LIBRARIES[library]}, which is not "
            f"installed: `pip install 'stanpool[{library}]'`."
        )
    place = executor.partition(":")[2] if isinstance(executor, str) else None
    if library == "dask":
        if place is None:
            return nullcontext(DaskWorkers(executor))
        return dask_at(place.lstrip("/") or None)
    if library == "ray":
        return ray_at(executor if place else None)
    if library == "joblib":
        return nullcontext(JoblibWorkers.of_backend(place or None))
    if library == "spark":
        return nullcontext(SparkWorkers.of(None if place is not None else executor))
    return nullcontext(FuturesWorkers(executor))
