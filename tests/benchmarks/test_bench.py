"""The benchmark suite on real fits: its processes, its limits, a table."""

from __future__ import annotations

import time
from importlib.util import find_spec
from pathlib import Path

import pytest

from stanpool.bench import Sampling, Settings, bench_text, run_bench
from stanpool.bench.peers import PEERS

SHORT = Sampling(chains=2, draws=200, warmup=300)


def test_a_tool_that_fails_or_takes_too_long_has_a_line(tmp_path: Path) -> None:
    (failed,) = run_bench(
        Settings(("bernoulli",), ("marginal",), (1,), sampling=SHORT), tmp_path
    )
    assert failed.status == "failed"
    assert "SpecError" in failed.message
    endless = Sampling(chains=2, draws=10**7, warmup=10)
    start = time.monotonic()
    cells = run_bench(Settings(("radon",), ("auto",), (1, 2), 0.5, endless), tmp_path)
    assert time.monotonic() - start < 60
    assert [each.status for each in cells] == ["over the time limit", "not run"]
    assert "fitting took more than 0.5 s" in bench_text([failed, *cells])


@pytest.mark.slow
def test_forms_and_peers_agree_on_a_real_work(tmp_path: Path) -> None:
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
