"""Many pieces of work, one after the other or on any executor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, as_completed
from typing import Any, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_many(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    *,
    title: str,
    executor: Executor | None = None,
    progress: bool = True,
) -> list[Result]:
    """Do the same work on each task, and return the results in the tasks' order.

    Parameters
    ----------
    work
        A function of one task; where an executor has processes, one at the top of a
        module.
    tasks
        What to work on.
    title
        What the progress bar says.
    executor
        Any ``concurrent.futures.Executor``, such as a ``ProcessPoolExecutor`` or
        ``dask.distributed.Client.get_executor()``; None works here, in order.
    progress
        Whether to show progress on standard error.

    Raises
    ------
    Exception
        The first that a task raises; tasks that have not begun are cancelled.

    Examples
    --------
    >>> run_many(abs, [-1, 2], title="Taking absolute values", progress=False)
    [1, 2]
    """
    tick, close = _bar(title, len(tasks), shown=progress)
    results: dict[int, Result] = {}
    try:
        if executor is None:
            for number, task in enumerate(tasks):
                results[number] = work(task)
                tick()
        else:
            results = _submit(work, tasks, executor, tick)
    finally:
        close()
    return [results[number] for number in range(len(tasks))]


def _submit(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    executor: Executor,
    tick: Callable[[], Any],
) -> dict[int, Result]:
    """Work on an executor; cancel what is left when a task fails or on Ctrl-C."""
    futures: dict[Future[Result], int] = {
        executor.submit(work, task): number for number, task in enumerate(tasks)
    }
    results = {}
    try:
        for future in as_completed(futures):
            results[futures[future]] = future.result()
            tick()
    except BaseException:
        for future in futures:
            future.cancel()
        raise
    return results


def _bar(
    title: str, total: int, *, shown: bool
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """Open a progress bar; away from a terminal, say one line."""
    if not shown or not sys.stderr.isatty():
        if shown:
            sys.stderr.write(f"stanpool: {title}, {total} in all\n")
        return (lambda: None), (lambda: None)
    from tqdm import tqdm

    bar = tqdm(total=total, desc=title, file=sys.stderr, leave=False)
    return bar.update, bar.close
