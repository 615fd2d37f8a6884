"""The scripts in the place of CmdStan's stansummary and diagnose."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from stanpool.engine.cmdstan.csv_programs import NAMES, provide_csv_programs


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "a home of Zoë's"
    (home / "bin").mkdir(parents=True)
    return home


def _python_at(path: Path) -> str:
    """Make a Python whose path has spaces and quotes: this one, by another name."""
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    path.chmod(0o755)
    return str(path)


def _run(program: Path, *words: object) -> subprocess.CompletedProcess[str]:
    # Neither this folder nor PYTHONPATH leads to stanpool.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(
        [program, *map(str, words)],
        capture_output=True,
        text=True,
        cwd="/",
        env=environment,
    )


def test_they_run_by_the_python_of_the_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "an environment's" / "python"
    monkeypatch.setattr(sys, "executable", _python_at(python))
    provide_csv_programs(home)
    chain = tmp_path / "a chain.csv"
    chain.write_text("lp__,x\n" + "".join(f"{-k},{k % 7}\n" for k in range(100)))

    shown = _run(home / "bin" / "stansummary", "--sig_figs=3", chain)
    assert shown.returncode == 0, shown.stderr
    (row,) = (line for line in shown.stdout.splitlines() if line.startswith("x "))
    assert row.split()[1] == f"{sum(k % 7 for k in range(100)) / 100:.3g}"
    assert "Processing complete" in _run(home / "bin" / "diagnose", chain).stdout


def test_they_are_written_anew_for_another_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone" / "python"
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "executable", _python_at(gone))
        provide_csv_programs(home)
    gone.unlink()
    shown = _run(home / "bin" / "diagnose", "x.csv")
    assert shown.returncode == 127
    assert f"{gone} is gone; stanpool.engine.ensure() writes this anew" in shown.stderr

    provide_csv_programs(home)
    assert _run(home / "bin" / "diagnose", "--help").returncode == 0
    before = {name: (home / "bin" / name).stat().st_ino for name in NAMES}
    provide_csv_programs(home)  # and are left alone where they are right
    assert {name: (home / "bin" / name).stat().st_ino for name in NAMES} == before
    assert sorted(os.listdir(home / "bin")) == sorted(NAMES)


def test_a_home_that_cannot_be_written_is_left_as_it_is(home: Path) -> None:
    (home / "bin").rmdir()
    (home / "bin").write_text("")
    provide_csv_programs(home)
    assert (home / "bin").read_text() == ""
