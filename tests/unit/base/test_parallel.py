"""Many tasks: in order, on any executor, and none left when one fails."""

from __future__ import annotations

import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from stanpool.base.system.parallel import run_many


@pytest.mark.parametrize("workers", [0, 3])
def test_results_are_in_the_order_of_the_tasks(workers: int) -> None:
    executor = ThreadPoolExecutor(workers) if workers else None
    tasks = list(range(20, 0, -1))
    found = run_many(float, tasks, title="x", executor=executor, progress=False)
    assert found == tasks


def test_processes_do_the_work() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        found = run_many(abs, [-2, -1], title="x", executor=executor, progress=False)
    assert found == [2, 1]


def test_a_failure_is_raised_and_cancels_what_has_not_begun() -> None:
    begun = []
    release = threading.Event()

    def work(task: int) -> int:
        begun.append(task)
        if task == 0:
            raise ValueError("no")
        release.wait(10)
        return task

    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(ValueError, match="no"):
            run_many(work, range(50), title="x", executor=executor, progress=False)
        release.set()
    assert len(begun) < 3


def test_away_from_a_terminal_it_says_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_many(abs, [1, 2], title="Refitting", progress=True)
    assert capsys.readouterr().err == "stanpool: Refitting, 2 in all\n"
    run_many(abs, [1, 2], title="Refitting", progress=False)
    assert capsys.readouterr().err == ""
