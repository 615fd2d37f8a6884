"""What a command has started ends with it and with us, on Windows as elsewhere."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stanpool.engine.process import Guard, run
from stanpool.engine.scratch import scratch_folder

# Starts another process, as make starts compilers, and writes that one's number.
NESTED = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("part", "w", encoding="utf-8").write(str(child.pid))
os.replace("part", "number")
time.sleep(60)
"""
RUNS = f"""
import sys
from stanpool.engine.process import run
run([sys.executable, "-c", {NESTED!r}])
"""
GUARDS = """
import subprocess, sys, time
from stanpool.engine.process import Guard
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
guard = Guard()
guard.add(child.pid)
print(child.pid, flush=True)
time.sleep(60)
"""


def is_running(number: int) -> bool:
    if os.name == "nt":
        windows, code = ctypes.CDLL("kernel32"), ctypes.c_uint32()
        windows.OpenProcess.restype = ctypes.c_void_p
        process = ctypes.c_void_p(windows.OpenProcess(0x1000, 0, number))
        if not process:
            return False
        windows.GetExitCodeProcess(process, ctypes.byref(code))
        windows.CloseHandle(process)
        return code.value == 259
    said = ["ps", "-o", "stat=", "-p", str(number)]
    state = subprocess.run(said, capture_output=True, encoding="utf-8").stdout.strip()
    return bool(state) and not state.startswith("Z")


def wait_until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_an_interrupt_ends_a_command_and_what_it_has_started(tmp_path: Path) -> None:
    number = tmp_path / "number"

    def interrupt() -> None:
        if number.exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([sys.executable, "-c", NESTED], cwd=tmp_path, tick=interrupt)
    started = int(number.read_text("utf-8"))
    wait_until(lambda: not is_running(started))


def test_a_command_and_what_it_has_started_end_with_us(tmp_path: Path) -> None:
    number = tmp_path / "number"
    we = subprocess.Popen([sys.executable, "-c", RUNS], cwd=tmp_path)
    wait_until(number.exists)
    started = int(number.read_text("utf-8"))
    assert is_running(started)
    we.kill()
    we.wait()
    wait_until(lambda: not is_running(started))


def test_what_is_guarded_ends_with_us() -> None:
    we = subprocess.Popen([sys.executable, "-c", GUARDS], stdout=subprocess.PIPE)
    assert we.stdout is not None
    guarded = int(we.stdout.readline())
    assert is_running(guarded)
    we.kill()
    we.communicate()
    wait_until(lambda: not is_running(guarded))


def test_a_guard_ends_nothing_that_has_ended() -> None:
    guard = Guard()
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", "pass"])
        guard.add(process.pid)
        assert process.wait() == 0
        guard.remove(process.pid)


def test_no_temporary_folder_stays() -> None:
    with scratch_folder() as folder:
        (folder / "draws.csv").write_text("1", "utf-8")
        assert folder.exists()
    assert not folder.exists()
