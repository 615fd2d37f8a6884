"""The benchmark suite on real fits: its processes, its limits, a table."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from stanpool.bench import Sampling, Settings, bench_text, run_bench
from stanpool.bench.tools.peers import PEERS

SHORT = Sampling(chains=2, draws=200, warmup=300)
ENDLESS = Sampling(chains=2, draws=10, warmup=10**7)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Set up the engine and compile, which takes as long as it takes."""
    folder = tmp_path_factory.mktemp("compiled")
    (cell,) = run_bench(Settings(("radon",), ("auto",), (1,), sampling=SHORT), folder)
    assert cell.status == "fitted", cell.message


def test_a_tool_that_fails_has_a_line(tmp_path: Path) -> None:
    (failed,) = run_bench(
        Settings(("bernoulli",), ("marginal",), (1,), sampling=SHORT), tmp_path
    )
    assert failed.status == "failed"
    assert "SpecError" in failed.message
    assert "SpecError" in bench_text([failed])


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_a_tool_that_takes_too_long_has_a_line(tmp_path: Path) -> None:
    start = time.monotonic()
    cells = run_bench(Settings(("radon",), ("auto",), (1, 2), 0.5, ENDLESS), tmp_path)
    assert time.monotonic() - start < 60
    assert [each.status for each in cells] == ["over the time limit", "not run"]
    # On a machine that is busy its limit of time comes before that of CPU time.
    assert re.search(r"fitting took more than (0\.5 CPU|5) s", bench_text(cells))


@pytest.mark.slow
@pytest.mark.usefixtures("compiled")
def test_a_run_in_the_background_leaves_nothing_of_what_took_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scratch := tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as shells do with "&"
    try:
        endless = Settings(("radon",), ("auto",), (1,), 0.5, ENDLESS)
        (cell,) = run_bench(endless, tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert cell.status == "over the time limit"
    assert not list(scratch.iterdir())


@pytest.mark.slow
@pytest.mark.compiled
@pytest.mark.usefixtures("compiled")
def test_what_a_run_has_started_ends_with_it(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from stanpool.bench import *; "
        "run_bench(Settings(('radon',), ('auto',), (1,), "
        f"sampling=Sampling(warmup=10**7)), Path({str(tmp_path)!r}))"
    )
    run = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.DEVNULL)
    try:
        _until(lambda: (tmp_path / "logs" / "radon--auto--1.started").exists())
        _until(lambda: "num_warmup=10000000" in _commands())
    finally:
        run.kill()
        run.wait()
    _until(lambda: "num_warmup=10000000" not in _commands())
    assert not (tmp_path / "cells" / "radon--auto--1.json").exists()


def _until(found: Callable[[], bool]) -> None:
    """Wait until something has happened, at most a minute."""
    end = time.monotonic() + 60
    while not found():
        assert time.monotonic() < end
        time.sleep(0.1)


def _commands() -> str:
    """Return the commands that run on the machine."""
    shown = subprocess.run(["ps", "-wweo", "args"], capture_output=True, check=True)
    return shown.stdout.decode(errors="replace")


@pytest.mark.slow
def test_forms_and_peers_agree_on_a_real_benchmark(tmp_path: Path) -> None:
    tools = ["auto", "noncentered", *(name for name in PEERS if _installed(name))]
    cells = run_bench(Settings(("radon",), tuple(tools), (1,)), tmp_path)
    assert all(each.status == "fitted" for each in cells)
    text = bench_text(cells)
    assert "Monte Carlo errors from" not in text  # they fit the same model
    assert "reached: auto at least" in text or "MISSED" in text
    ours = cells[0]
    assert ours.converged
    assert {each.scalars for each in cells} == {1 + 1 + 2 + 2 * 85 + 1}
    again = run_bench(Settings(("radon",), tuple(tools), (1,)), tmp_path)
    assert again == cells


def _installed(tool: str) -> bool:
    return all(find_spec(name) for name in PEERS[tool].needs)
