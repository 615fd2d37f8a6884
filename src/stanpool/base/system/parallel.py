"""Running many tasks, one after another or on an executor, and the cores for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TypeVar

from stanpool.base.progress import counting
from stanpool.base.system.executors.chosen import AnyExecutor, workers_of
from stanpool.base.system.executors.job import Job, LostError, TaskParcel

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
    executor: AnyExecutor | None = None,
    progress: bool = True,
    if_lost: Callable[[Task, LostError], Result] | None = None,
) -> list[Result]:
    """Apply a function to each task, and return the results in order.

    Parameters
    ----------
    work
        A function of one task. What tasks have in common is part of it, as by
        ``functools.partial``: workers are sent it once.
    tasks
        The tasks.
    title
        The title of the progress bar.
    executor
        What ``executor=`` takes, see ``executors.chosen``; None runs tasks here, in
        order.
    progress
        Whether to show progress on standard error.
    if_lost
        Returns the result of a task that ended all workers that did it; by default that
        is an error.

    Raises
    ------
    Exception
        The first error of a task. Other tasks are cancelled, or stopped.

    Examples
    --------
    >>> run_many(abs, [-1, 2], title="Taking absolute values", progress=False)
    [1, 2]
    """
    line = f"{title}, {len(tasks)} in all"
    with counting(title, len(tasks), shown=progress, line=line) as show:
        if executor is not None:
            return _run_on(executor, work, tasks, show, if_lost)
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
    executor: AnyExecutor | None = None,
    progress: bool = True,
    if_lost: Callable[[Task, LostError], Result] | None = None,
) -> list[Result]:
    """Apply a function to each task, by default with as many threads as cores.

    That is for tasks that leave their work to processes, as fits do.

    Parameters
    ----------
    work, tasks, title, executor, progress, if_lost
        As for ``run_many``, but for what no executor means.

    Examples
    --------
    >>> run_on_cores(abs, [-1, 2], title="Taking absolute values", progress=False)
    [1, 2]
    """
    with ExitStack() as stack:
        if executor is None:
            executor = stack.enter_context(ThreadPoolExecutor(usable_cores()))
        return run_many(
            work,
            tasks,
            title=title,
            executor=executor,
            progress=progress,
            if_lost=if_lost,
        )


def _run_on(
    executor: AnyExecutor,
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    show: Callable[[int], None],
    if_lost: Callable[[Task, LostError], Result] | None,
) -> list[Result]:
    """Run tasks on an executor; stop the others if one fails, or on Ctrl-C."""
    found: dict[int, Result] = {}
    with (
        workers_of(executor) as workers,
        closing(workers.outcomes(Job(work), list(map(TaskParcel, tasks)))) as outcomes,
    ):
        for place, outcome in outcomes:
            if if_lost is not None and isinstance(outcome.error, LostError):
                found[place] = if_lost(tasks[place], outcome.error)
            else:
                found[place] = outcome.result
            show(len(found))
    return [found[place] for place in range(len(tasks))]
