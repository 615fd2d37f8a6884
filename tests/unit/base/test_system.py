"""What systems do otherwise: renaming, memory, names of programs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from like_windows import like_windows
from stanpool.base.arrays import memory
from stanpool.base.system import platforms as system
from stanpool.base.system.files import write_text
from stanpool.base.system.platforms import executable, physical_memory, replace

simulated = pytest.mark.skipif(os.name == "nt", reason="simulates Windows")


def test_memory_is_that_of_the_machine() -> None:
    found = physical_memory()
    assert found is not None
    assert 2**28 < found < 2**46
    assert 0 < memory() <= found


@pytest.mark.skipif(sys.platform != "linux", reason="Linux says it in /proc")
def test_memory_is_what_the_system_says() -> None:
    line = Path("/proc/meminfo").read_text("utf-8").splitlines()[0]
    assert physical_memory() == 1024 * int(line.split()[1])


@simulated
def test_memory_is_asked_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    class Windows:
        def __init__(self, name: str) -> None:
            assert name == "kernel32"

        def GlobalMemoryStatusEx(self, reference: object) -> int:
            status = reference._obj  # type: ignore[attr-defined]
            assert status.dwLength == 64  # as Windows' headers have it
            status.ullTotalPhys = 8 * 2**30
            return 1

    like_windows(monkeypatch)
    monkeypatch.setattr(system.ctypes, "CDLL", Windows)
    assert physical_memory() == 8 * 2**30


@simulated
def test_programs_of_windows_have_a_suffix(monkeypatch: pytest.MonkeyPatch) -> None:
    assert executable("stanc") == "stanc"
    like_windows(monkeypatch)
    assert executable("stanc") == "stanc.exe"


@simulated
def test_what_is_open_is_replaced_when_it_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    like_windows(monkeypatch)
    target = tmp_path / "report.html"
    target.write_text("old", "utf-8")
    scanner = target.open("rb")
    waited: list[float] = []

    def pause(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            scanner.close()

    monkeypatch.setattr(time, "sleep", pause)
    write_text(target, "new")
    assert target.read_text("utf-8") == "new"
    assert waited == [0.01, 0.02, 0.04]
    assert list(tmp_path.iterdir()) == [target]


@simulated
def test_patience_ends_and_elsewhere_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, waited = tmp_path / "a", []
    source.write_text("a", "utf-8")
    monkeypatch.setattr(time, "sleep", waited.append)

    def refused(*_: object) -> None:
        raise PermissionError(13, "Access is denied")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(PermissionError):
        replace(source, tmp_path / "b")
    assert not waited
    monkeypatch.setattr(system, "is_windows", lambda: True)
    with pytest.raises(PermissionError):
        replace(source, tmp_path / "b")
    assert 3 <= sum(waited) < 6
