"""Studies on Dask whose workers are killed at random moments: the results of here.

Workers are processes of this machine, and where network namespaces can be made, which
takes Linux and its superuser, also of two hosts in a network of their own. As a program
(``python tests/benchmarks/test_killed_workers.py local 50``) it prints each run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from shutil import which
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp

RUNS = 10
QUICK: dict[str, Any] = {"chains": 2, "draws": 500, "warmup": 300, "progress": False}
_KILLED_IN_A_RUN = 3
_SECONDS_BETWEEN = 2.0  # at most, from one kill to the next
_NETWORK = "10.77.0"
_HOSTS = (2, 3)


@contextmanager
def local() -> Iterator[Any]:
    """Start a cluster of four processes, which are started again when they end.

    By default Dask drops those that are not there 15 s after one of them ended.
    """
    import dask
    from distributed import Client, LocalCluster

    options: dict[str, Any] = {"threads_per_worker": 1, "dashboard_address": None}
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 day"}),
        LocalCluster(n_workers=4, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextmanager
def hosts() -> Iterator[Any]:
    """Start a scheduler, and two hosts with two workers each."""
    from distributed import Client

    address = f"tcp://{_NETWORK}.1:8786"
    with ExitStack() as stack:
        stack.enter_context(_network())
        at = ["--host", f"{_NETWORK}.1", "--port", "8786", "--no-dashboard"]
        stack.enter_context(_dask("scheduler", at))
        at = [address, "--nworkers", "2", "--nthreads", "1", "--no-dashboard"]
        for host in _HOSTS:
            inside = ["ip", "netns", "exec", f"stanpool{host}"]
            its = [*at, "--host", f"{_NETWORK}.{host}"]
            stack.enter_context(_dask("worker", its, inside))
        client = stack.enter_context(Client(address, timeout=120))
        client.wait_for_workers(4, timeout=300)
        yield client


@contextmanager
def _network() -> Iterator[None]:
    """Make a bridge, and a network namespace for each host."""
    with ExitStack() as stack:
        _ip("link", "add", "stanpool0", "type", "bridge")
        stack.callback(_ip, "link", "del", "stanpool0")
        _ip("addr", "add", f"{_NETWORK}.1/24", "dev", "stanpool0")
        _ip("link", "set", "stanpool0", "up")
        for host in _HOSTS:
            name, ours, theirs = f"stanpool{host}", f"spool{host}a", f"spool{host}b"
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("link", "add", ours, "type", "veth", "peer", "name", theirs)
            _ip("link", "set", ours, "master", "stanpool0", "up")
            _ip("link", "set", theirs, "netns", name)
            there = ("netns", "exec", name, "ip")
            _ip(*there, "addr", "add", f"{_NETWORK}.{host}/24", "dev", theirs)
            _ip(*there, "link", "set", theirs, "up")
            _ip(*there, "link", "set", "lo", "up")
        yield


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def _dask(
    what: str, options: Sequence[str], inside: Sequence[str] = ()
) -> Iterator[None]:
    """Run a command of Dask's, and end it with all that it started."""
    import psutil

    command = [*inside, sys.executable, "-m", f"distributed.cli.dask_{what}", *options]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        try:
            yield
        finally:
            started = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            for each in started:
                with suppress(psutil.NoSuchProcess):
                    each.kill()


class Killer(threading.Thread):
    """Kills workers at random moments until it is told to end.

    Those that have only begun to start are left alone: Dask does not replace them.
    """

    def __init__(self, client: Any, seed: int) -> None:
        super().__init__()
        self.client, self.random = client, random.Random(seed)
        self.done, self.killed = threading.Event(), 0

    def run(self) -> None:
        """Kill some workers."""
        for _ in range(_KILLED_IN_A_RUN):
            if self.done.wait(self.random.uniform(0.1, _SECONDS_BETWEEN)):
                return
            alive = [*self.client.run(os.getpid, on_error="ignore").values()]
            if alive:
                with suppress(ProcessLookupError):
                    os.kill(self.random.choice(alive), signal.SIGKILL)
                    self.killed += 1


def segments() -> pd.DataFrame:
    """Return six segments of eight groups."""
    rng = np.random.default_rng(1)
    segment, group = np.repeat(np.arange(6), 40), np.tile(np.repeat(range(8), 5), 6)
    x = rng.normal(size=240)
    y = rng.normal(size=(6, 8))[segment, group] + x + rng.normal(size=240)
    return pd.DataFrame({"s": segment, "g": group, "x": x, "y": y})


def runs(client: Any, count: int) -> Iterator[tuple[bool, int, str]]:
    """Yield of each run whether it equals that of here, and how many were killed."""
    rows, formula = segments(), "y ~ x + (1 | g)"
    here = sp.fit_many(formula, rows, by="s", seed=1, **QUICK)
    folds = here[0].kfold(folds=3, progress=False)
    for run in range(count):
        killer = Killer(client, seed=run)
        killer.start()
        try:
            if run % 5 == 4:
                there = here[0].kfold(folds=3, progress=False, executor=client)
                same, said = there.units.equals(folds.units), ""
            else:
                address = client.scheduler.address.replace("tcp", "dask")
                executor = address if run % 2 else client
                fits = sp.fit_many(
                    formula, rows, by="s", seed=1, executor=executor, **QUICK
                )
                same = [*fits] == [*here] and all(
                    fits[each].posterior.identical(here[each].posterior)
                    for each in here
                )
                said = str(fits.failures.to_dict())
        except sp.StanpoolError as problem:
            same, said = False, repr(problem)
        finally:
            killer.done.set()
            killer.join()
        yield same, killer.killed, said


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of Dask, about workers that ended
@pytest.mark.parametrize("cluster", [local, hosts])
def test_results_are_those_of_here_whatever_workers_end(cluster: Any) -> None:
    pytest.importorskip("distributed")
    is_possible = sys.platform == "linux" and os.geteuid() == 0 and which("ip")
    if cluster is hosts and not is_possible:
        pytest.skip("network namespaces take Linux, its superuser, and ip")
    with cluster() as client:
        found = [*runs(client, RUNS)]
    assert [said for same, _, said in found if not same] == []
    assert sum(killed for _, killed, _ in found) > RUNS


if __name__ == "__main__":
    chosen = {"local": local, "hosts": hosts}[sys.argv[1]]
    with chosen() as its_client:
        equal = total = 0
        start = time.monotonic()
        for same, killed, said in runs(its_client, int(sys.argv[2])):
            equal, total = equal + same, total + killed
            print(same, killed, f"{time.monotonic() - start:.0f} s", said, flush=True)
    print(f"{equal} of {sys.argv[2]} equal, {total} workers killed")
