"""Dask, Ray, joblib and Spark, where they are installed: the results are those of here.

They are extras, and each is skipped where it is not there.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.base.system.executors import waiting
from stanpool.base.system.parallel import run_many
from stanpool.base.system.stopping import raise_if_stopped

QUICK: dict[str, Any] = {"chains": 1, "draws": 60, "warmup": 60, "progress": False}
ENGINES = ["dask", "ray", "joblib:loky", "spark"]
MODULES = {"dask": "distributed", "joblib": "joblib", "spark": "pyspark", "ray": "ray"}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    group = np.tile(np.repeat(np.arange(6), 5), 4)
    x = rng.normal(size=len(group))
    columns = {
        "segment": np.repeat([*"abcd"], 30),
        "g": [f"g{each}" for each in group],
        "x": x,
        "y": rng.normal(size=6)[group] + x + rng.normal(size=len(group)),
    }
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def here(table: pd.DataFrame) -> sp.Fits:
    return fitted(table)


def fitted(table: pd.DataFrame, **options: Any) -> sp.Fits:
    return sp.fit_many(
        "y ~ x + (1 | g)", table, by="segment", seed=1, **QUICK, **options
    )


def two_workers() -> Any:
    from distributed import Client

    return Client(n_workers=2, threads_per_worker=1, dashboard_address=None)


@pytest.fixture(scope="module", params=ENGINES)
def executor(request: pytest.FixtureRequest) -> Iterator[Any]:
    library = request.param.partition(":")[0]
    pytest.importorskip(MODULES[library])
    if library == "dask":
        from distributed import Client

        with Client(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as client:
            yield client
    elif library == "spark":
        from pyspark.sql import SparkSession

        os.environ["PYSPARK_PYTHON"] = sys.executable
        builder = SparkSession.builder.master("local[2]")
        with builder.config("spark.ui.enabled", "false").getOrCreate() as session:
            yield session
    else:
        yield request.param


@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_fits_and_refits_are_those_of_here(
    executor: Any, here: sp.Fits, table: pd.DataFrame
) -> None:
    there = fitted(table, executor=executor)
    assert not len(there.failures)
    assert all(there[each].posterior.identical(here[each].posterior) for each in here)
    fit = here["a"]
    alone = fit.kfold(folds=2, progress=False)
    shared = fit.kfold(folds=2, progress=False, executor=executor)
    pd.testing.assert_frame_equal(shared.units, alone.units)


@pytest.mark.filterwarnings("ignore")
def test_functions_and_errors_find_their_way(executor: Any, here: sp.Fits) -> None:
    power = 2.0
    found = here.map(lambda fit: fit.model.design.rows**power, executor=executor)
    assert found == dict.fromkeys("abcd", 900.0)
    with pytest.raises(sp.DataError, match="no column 'x'"):
        here.map(lambda fit: fit.predict({"z": [1.0]}), executor=executor)


@pytest.mark.filterwarnings("ignore")
def test_a_worker_of_another_version_is_refused_by_name(
    executor: Any, table: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = sp.__version__
    monkeypatch.setattr(sp, "__version__", "0.0.9")  # here, and not on the workers
    told = rf"the worker .* \(process \d+\) has stanpool {theirs}, and .* has 0\.0\.9"
    with pytest.raises(sp.EngineError, match=told):
        fitted(table, executor=executor)


@pytest.mark.filterwarnings("ignore")
def test_ctrl_c_stops_all_workers_and_leaves_the_cluster(
    executor: Any, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"title": "x", "executor": executor, "progress": False}
    interrupting = threading.Thread(target=_interrupt_when_begun, args=[tmp_path])
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        run_many(partial(_write_until_stopped, tmp_path), range(6), **options)
    interrupting.join()
    # Nobody waited for a task, each of which writes 900 letters, to end by itself.
    assert 0 < max(each.stat().st_size for each in tmp_path.iterdir()) < 450
    deadline, size = time.monotonic() + 20, -1
    while size != (size := _written(tmp_path)) and time.monotonic() < deadline:
        time.sleep(1)  # workers look several times a second
    assert size == _written(tmp_path)
    assert run_many(abs, [-1, -2], **options) == [1, 2]


def _interrupt_when_begun(folder: Path) -> None:
    deadline = time.monotonic() + 120
    while not _written(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)


def _written(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.iterdir())


def _write_until_stopped(folder: Path, task: int) -> None:
    """Work for a minute and a half, as a fit does that waits for Stan."""
    with (folder / str(task)).open("a") as file:
        for _ in range(900):
            raise_if_stopped()
            file.write(".")
            file.flush()
            time.sleep(0.1)


@pytest.mark.filterwarnings("ignore")
def test_workers_of_dask_that_are_killed_change_nothing(
    here: sp.Fits, table: pd.DataFrame, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    with two_workers() as client:
        killer = threading.Timer(0.3, _kill_one, [client])
        killer.start()
        there = fitted(table, executor=client, folder=tmp_path / "fits")
        killer.join()
    assert all(there[each].posterior.equals(here[each].posterior) for each in here)


def _kill_one(client: Any) -> None:
    pids = [*client.run(os.getpid).values()]
    os.kill(pids[0], signal.SIGKILL)


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_of_dask_that_lost_its_workers_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("distributed")
    from distributed import Client, LocalCluster

    monkeypatch.setattr(waiting, "_PATIENCE", 0.1)
    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=1, **options) as cluster, Client(cluster) as client:
        client.wait_for_workers(1)
        cluster.scale(0)
        while client.nthreads():
            time.sleep(0.05)
        later = threading.Timer(2.0, cluster.scale, [1])
        later.start()
        found = run_many(abs, [-1, -2], title="x", executor=client, progress=False)
        later.join()
        address = client.scheduler.address
    assert found == [1, 2]
    said = capsys.readouterr().err
    assert said.count("the cluster of Dask has no workers, and 2 tasks wait") == 1
    assert f"`dask worker {address} --nthreads 1`" in said


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("when", [0.0, 1.0])
def test_a_client_of_dask_that_is_closed_ends_the_study(when: float) -> None:
    pytest.importorskip("distributed")
    with two_workers() as client:
        closing = threading.Timer(when, client.close)
        closing.start()
        closing.join(0 if when else None)
        with pytest.raises(sp.EngineError, match="was closed or has lost its sched"):
            run_many(_wait_or_fail, [0], title="x", executor=client, progress=False)
        closing.join()


@pytest.mark.filterwarnings("ignore")
def test_an_error_stops_what_is_under_way_on_workers_of_dask() -> None:
    pytest.importorskip("distributed")
    with two_workers() as client:
        with pytest.raises(ValueError, match="no"):
            run_many(_wait_or_fail, [0, 1], title="x", executor=client, progress=False)
        deadline = time.monotonic() + 20
        while not _has_stopped(client) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _has_stopped(client)


def _has_stopped(client: Any) -> bool:
    said = client.run(lambda: os.environ.get("STANPOOL_TEST_STOPPED"))
    return "yes" in said.values()


def _wait_or_fail(task: int) -> None:
    if task:
        time.sleep(0.5)
        raise ValueError("no")
    try:
        for _ in range(1000):
            raise_if_stopped()
            time.sleep(0.02)
    except BaseException:
        os.environ["STANPOOL_TEST_STOPPED"] = "yes"
        raise


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_does_not_answer_is_named() -> None:
    pytest.importorskip("distributed")
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}):
        with pytest.raises(sp.EngineError, match=r"answers at '127.0.0.1:9'"):
            sp.fit_many(
                "y ~ 1",
                {"y": [1.0, 2.0, 4.0], "s": [1, 1, 1]},
                by="s",
                executor="dask://127.0.0.1:9",
                **QUICK,
            )
