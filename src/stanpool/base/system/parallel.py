"""Running many tasks, one after another or on an executor, and the cores for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from typing import TypeVar

from stanpool.base.progress import counting

Task = TypeVar("Task")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_many(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    title: str,
    executor: Executor | None = None,
    progress: bool = True,
) -> list[Result]:
    """Apply a function to each task, and return the results in order.

    Parameters
    ----------
    work
        A function of one task. For an executor with processes it must be at the top
        level of a module.
    tasks
        The tasks.
    title
        The title of the progress bar.
    executor
        Any ``concurrent.futures.Executor``, such as a ``ProcessPoolExecutor`` or
        ``dask.distributed.Client.get_executor()``; None runs tasks here, in order.
    progress
        Whether to show progress on standard error.

    Raises
    ------
    Exception
        The first error of a task. Tasks that have not started are cancelled.

    Examples
    --------
    >>> run_many(abs, [-1, 2], title="Taking absolute values", progress=False)
    [1, 2]
    """
    line = f"{title}, {len(tasks)} in all"
    with counting(title, len(tasks), shown=progress, line=line) as show:
        if executor is not None:
            return _submit(work, tasks, executor, show)
        results = []
        for task in tasks:
            results.append(work(task))
            show(len(results))
        return results


def run_on_cores(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    title: str,
    executor: Executor | None = None,
    progress: bool = True,
) -> list[Result]:
    """Apply a function to each task, by default with as many threads as cores.

    That is for tasks that leave their work to processes, as fits do.

    Parameters
    ----------
    work, tasks, title, executor, progress
        As for ``run_many``, but for what no executor means.

    Examples
    --------
    >>> run_on_cores(abs, [-1, 2], title="Taking absolute values", progress=False)
    [1, 2]
    """
    if executor is not None:
        return run_many(work, tasks, title=title, executor=executor, progress=progress)
    with ThreadPoolExecutor(usable_cores()) as threads:
        return run_many(work, tasks, title=title, executor=threads, progress=progress)


def _submit(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    executor: Executor,
    show: Callable[[int], None],
) -> list[Result]:
    """Run tasks on an executor; cancel the rest if one fails, or on Ctrl-C."""
    futures = [executor.submit(work, task) for task in tasks]
    try:
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            show(done)
        return [future.result() for future in futures]
    except BaseException:
        for future in futures:
            future.cancel()
        raise
