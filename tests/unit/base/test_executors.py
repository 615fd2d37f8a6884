"""What workers are sent and send back, and whose executors are known."""

from __future__ import annotations

import pickle
import sys
import threading
import time
import types
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import stanpool as sp
from stanpool.base.arguments import public
from stanpool.base.system.executors import job as jobs
from stanpool.base.system.executors import waiting as waits
from stanpool.base.system.executors.chosen import AnyExecutor, library_of, workers_of
from stanpool.base.system.executors.job import Job, LostError, Outcome, Parcel
from stanpool.base.system.executors.waiting import Waiting
from stanpool.base.system.parallel import run_many
from stanpool.base.system.stopping import raise_if_stopped


class Counted:
    """A value that counts how often it is pickled and read."""

    pickled = 0
    read = 0

    def __getstate__(self) -> dict[str, Any]:
        Counted.pickled += 1
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Counted.read += 1


class Sent(Executor):
    """An executor whose tasks and results go through pickle, as to another process."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        there, own = pickle.loads(pickle.dumps((fn, args)))
        future: Future[Any] = Future()
        future.set_result(pickle.loads(pickle.dumps(there(*own))))
        return future


def add(common: Any, task: int) -> int:
    return task + 1


def test_what_tasks_have_in_common_is_pickled_once_and_read_once() -> None:
    Counted.pickled = Counted.read = 0
    work = partial(add, Counted())
    found = run_many(work, range(20), title="x", executor=Sent(), progress=False)
    assert found == [*range(1, 21)]
    assert (Counted.pickled, Counted.read) == (1, 1)


def test_threads_are_sent_nothing() -> None:
    Counted.pickled = 0
    with ThreadPoolExecutor(2) as two:
        run_many(partial(add, Counted()), range(5), title="x", executor=two)
    assert Counted.pickled == 0


def test_another_version_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job(abs)
    monkeypatch.setattr(sp, "__version__", "0.0.9")
    outcome = job(Parcel(-1))
    with pytest.raises(sp.EngineError, match=r"process \d+\) has stanpool 0.0.9, and"):
        _ = outcome.result


def test_what_cannot_be_sent_is_refused_with_what_to_do() -> None:
    work = partial(add, threading.Lock())
    with pytest.raises(sp.SpecError, match=r"cannot be sent to them: .*top level"):
        run_many(work, [1], title="x", executor=Sent(), progress=False)


def test_a_task_that_cannot_be_sent_or_read_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as there:
        with pytest.raises(sp.SpecError, match=r"cannot be sent to them: .*top level"):
            run_many(abs, [threading.Lock()], title="x", executor=there, progress=False)
        module = types.ModuleType("only_here")
        monkeypatch.setitem(sys.modules, "only_here", module)
        exec("def there(): pass", vars(module))
        with pytest.raises(sp.EngineError, match=r"'only_here'\. Put functions"):
            run_many(id, [module.there], title="x", executor=there, progress=False)


def raise_one(task: int) -> None:
    raise sp.DataError("row 3")


def test_errors_of_other_processes_say_where_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as there:
        with pytest.raises(sp.DataError, match="row 3") as caught:
            run_many(raise_one, [1], title="x", executor=there, progress=False)
    assert "On the worker" in caught.value.__notes__[0]
    assert "in raise_one" in caught.value.__notes__[0]


def test_what_is_under_way_is_stopped() -> None:
    stopped = threading.Event()

    def work(task: int) -> None:
        if task:
            time.sleep(0.05)
            raise ValueError("no")
        try:
            while True:  # as those do that wait for Stan
                raise_if_stopped()
                time.sleep(0.01)
        except BaseException:
            stopped.set()
            raise

    with ThreadPoolExecutor(2) as two, pytest.raises(ValueError, match="no"):
        run_many(work, [0, 1], title="x", executor=two, progress=False)
    assert stopped.is_set()


def test_a_task_that_ends_its_workers_need_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def called(self: Job, task: Parcel) -> Outcome:
        lost = LostError("workers ended") if task.value == 1 else None
        return Outcome(Parcel(task.value), lost)

    monkeypatch.setattr(jobs.Job, "__call__", called)
    with ThreadPoolExecutor(1) as one:
        options: dict[str, Any] = {"title": "x", "executor": one, "progress": False}
        with pytest.raises(sp.EngineError, match="workers ended"):
            run_many(abs, [0, 1, 2], **options)
        found = run_many(abs, [0, 1, 2], if_lost=lambda task, _: -task, **options)
    assert found == [0, -1, 2]


def like(module: str, **attributes: Any) -> Any:
    """Return an object of a class that says to be of another library."""
    return type("Other", (), {"__module__": module, **attributes})()


@pytest.mark.parametrize(
    ("executor", "library"),
    [
        ("dask://host:8786", "dask"),
        ("dask", "dask"),
        ("ray", "ray"),
        ("joblib:loky", "joblib"),
        ("spark", "spark"),
        ("dusk://host", None),
        (4, None),
        (like("distributed.client", submit=None, scatter=None), "dask"),
        (like("distributed.cfexecutor", submit=None), "futures"),
        (like("ray._private.worker"), "ray"),
        (like("pyspark.sql.session"), "spark"),
        (like("mpi4py.futures.pool", submit=None), "futures"),
    ],
)
def test_executors_are_known_by_what_they_are(executor: Any, library: str) -> None:
    assert library_of(executor) == library


@public
def study(executor: AnyExecutor | None = None) -> Any:
    return executor


def test_what_is_no_executor_is_refused_where_it_comes_in() -> None:
    with pytest.raises(sp.SpecError, match=r"executor='dusk' must be .*'dask://host"):
        study(executor="dusk")
    assert study() is None


def test_a_library_that_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from stanpool.base.system.executors import chosen

    monkeypatch.setattr(chosen, "find_spec", lambda name: None)
    with pytest.raises(sp.EngineError, match=r"pip install 'stanpool\[ray\]'"):
        workers_of("ray")


def test_a_pool_that_is_broken_says_what_recovers(tmp_path: Path) -> None:
    broken = SimpleNamespace(submit=_raise_broken)
    with pytest.raises(sp.EngineError, match="executor='joblib:loky'"):
        run_many(abs, [1], title="x", executor=broken, progress=False)


def _raise_broken(*_: Any) -> None:
    from concurrent.futures.process import BrokenProcessPool

    raise BrokenProcessPool("A process was terminated abruptly.")


def test_a_cluster_without_workers_is_told_once_until_it_has_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, workers, told = [0.0], [0], list[str]()
    monkeypatch.setattr(waits.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(waits, "tell", told.append)
    waiting = Waiting("Dask", lambda: workers[0], "Start some")

    def looked(seconds: float, has: int) -> int:
        clock[0] += seconds
        workers[0] = has
        waiting.look(1_200)
        return len(told)

    assert looked(1, has=0) == 0  # workers may be starting
    assert looked(6, has=0) == 1
    assert looked(60, has=0) == 1
    assert looked(60, has=2) == 1
    assert looked(60, has=0) == 2  # they came and went
    waiting.over()
    assert looked(1, has=0) == 2
    assert looked(6, has=0) == 3
    assert told[0] == (
        "the cluster of Dask has no workers, and 1,200 tasks wait for some. Start "
        "some; the study then goes on by itself. Ctrl-C ends it."
    )
