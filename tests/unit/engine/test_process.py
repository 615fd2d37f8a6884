"""Commands and temporary folders: nothing outlives the process that began them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from like_windows import like_windows
from stanpool.base.errors import EngineError
from stanpool.engine import scratch
from stanpool.engine.process import Guard, how_it_ended, ran_out_of_memory, run
from stanpool.engine.scratch import scratch_folder, sweep_scratch

# A compiler's like: a shell that starts another program, which says its number.
NESTED = "sleep 60 & echo $! > number; wait"

RUNNER = f"""
import sys
from pathlib import Path
from stanpool.engine.process import Guard, run
run(["sh", "-c", {NESTED!r}], cwd=Path(sys.argv[1]))
"""

HOLDER = """
import time
from stanpool.engine.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "draws.csv").write_text("1,2,3")
    print(folder, flush=True)
    time.sleep(60)
"""


def _wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def _runs(number):
    listing = ["ps", "-o", "stat=", "-p", number]
    state = subprocess.run(listing, capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def _start(code, *words):
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_command_has_started_ends_with_us(tmp_path, blow):
    runner, number = _start(RUNNER, str(tmp_path)), tmp_path / "number"
    _wait_until(lambda: number.exists() and number.read_text().strip())
    assert _runs(number.read_text().strip())
    runner.send_signal(blow)
    runner.communicate()
    _wait_until(lambda: not _runs(number.read_text().strip()))


def test_what_a_command_leaves_behind_ends_with_it(tmp_path):
    said = run(["sh", "-c", "sleep 60 & echo $! > number; echo done"], cwd=tmp_path)
    assert said == "done\n"
    _wait_until(lambda: not _runs((tmp_path / "number").read_text().strip()))


def test_a_command_has_its_words_and_no_input_and_fails_with_its_code(tmp_path):
    words = ["a b", "$HOME", "'", '"', "*", ""]
    said = run(["sh", "-c", 'printf "<%s>" "$@"; cat', "sh", *words])
    assert said == "".join(f"<{word}>" for word in words)
    assert run(["sh", "-c", "echo $X"], env={"X": "given"}) == "given\n"
    with pytest.raises(EngineError, match=r"(?s)failed with exit code 7:.*why"):
        run(["sh", "-c", "echo why >&2; exit 7"])


def test_a_command_that_is_not_there_or_cannot_run_is_named(tmp_path):
    (tmp_path / "program").write_text("no program")
    for name, reason in {
        "no-such-program": "No such file",
        str(tmp_path / "absent"): "No such file",
        str(tmp_path / "program"): "Permission denied",
    }.items():
        with pytest.raises(EngineError, match=f"cannot run '{name}': {reason}"):
            run([name])


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty folder for temporary files, of this process and those it starts."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    scratch._sweep_once.cache_clear()
    return tmp_path


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_dead_process_left_is_removed_and_nothing_else(place, blow):
    (place / "stanpool-of-older-versions").mkdir()
    (place / "stanpool-file").touch()
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ".alive").touch()
    (place / "stanpool-link").symlink_to(elsewhere)
    before = {path.name for path in place.iterdir()}
    dead, alive = _start(HOLDER), _start(HOLDER)
    left, held = (each.stdout.readline().strip() for each in (dead, alive))
    dead.send_signal(blow)
    dead.communicate()
    assert os.path.exists(left)

    with scratch_folder() as folder:
        assert not os.path.exists(left)
        assert sorted(os.listdir(held)) == [".alive", "draws.csv"]
        assert {path.name for path in place.iterdir()} == {
            *before,
            os.path.basename(held),
            folder.name,
        }
    alive.kill()
    alive.communicate()
    sweep_scratch()
    assert {path.name for path in place.iterdir()} == before
    assert (elsewhere / ".alive").exists()


def test_folders_of_other_users_are_left_alone(place, monkeypatch):
    dead = _start(HOLDER)
    left = dead.stdout.readline().strip()
    dead.kill()
    dead.communicate()
    with monkeypatch.context() as patch:
        patch.setattr(scratch.os, "geteuid", lambda: os.stat(left).st_uid + 1)
        sweep_scratch()
    assert os.path.exists(left)
    sweep_scratch()
    assert not os.path.exists(left)


def test_many_that_make_and_sweep_at_once_do_not_touch_each_other(place):
    lost = []

    def work():
        for _ in range(100):
            with scratch_folder() as folder:
                (folder / "draws.csv").write_text("1")
                sweep_scratch()
                if not (folder / "draws.csv").exists():
                    lost.append(folder)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lost
    assert not list(place.iterdir())


def test_no_place_for_temporary_files_is_said(place, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(place / "gone"))
    with pytest.raises(EngineError, match="TMPDIR"), scratch_folder():
        pass


GUARDED = """
import subprocess, sys
from stanpool.engine.process import Guard
guard = Guard()
sleep = ["sleep", "60"]
first, ended, last = (subprocess.Popen(sleep) for _ in range(3))
for each in (first, ended, last):
    guard.add(each.pid)
guard.remove(ended.pid)
print(first.pid, ended.pid, last.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM])
def test_a_guard_ends_those_that_run_when_we_are_killed_and_no_others(blow):
    process = subprocess.Popen(
        [sys.executable, "-c", GUARDED],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    first, ended, last = process.stdout.readline().split()
    assert all(map(_runs, (first, ended, last)))
    process.send_signal(blow)
    process.wait()
    _wait_until(lambda: not _runs(first) and not _runs(last))
    assert _runs(ended)  # as if another had its number by now
    os.kill(int(ended), signal.SIGKILL)
    process.communicate()


def test_a_guard_with_nothing_to_guard_is_gone():
    guard = Guard()
    for _ in range(2):
        process = subprocess.Popen(["sleep", "60"])
        guard.add(process.pid)
        shell = str(guard._shell.pid)
        process.kill()
        process.wait()
        guard.remove(process.pid)
        assert not _runs(shell)


def test_on_windows_a_command_and_what_it_starts_are_a_job(monkeypatch, tmp_path):
    windows = like_windows(monkeypatch)
    assert run(["sh", "-c", "echo $X; cat"], env={"X": "given"}) == "given\n"
    assert windows.said == ["create", "limit", "assign", "end"]
    with pytest.raises(EngineError, match="cannot run 'no-such-program': No such file"):
        run(["no-such-program"])

    def interrupt():
        raise KeyboardInterrupt

    command = ["sh", "-c", "echo $$ > number; exec sleep 60"]
    with pytest.raises(KeyboardInterrupt):
        run(command, cwd=tmp_path, tick=interrupt)
    number = (tmp_path / "number").read_text().strip()
    _wait_until(lambda: not _runs(number))


def test_on_windows_a_guard_is_a_job(monkeypatch):
    windows, guard = like_windows(monkeypatch), Guard()
    for _ in range(2):
        process = subprocess.Popen(["sleep", "60"])
        guard.add(process.pid)
        process.kill()
        process.wait()
        guard.remove(process.pid)
    assert windows.said == ["create", "limit", "assign", "end"] * 2
    assert guard._shell is None


def test_on_windows_no_temporary_folder_stays(place, monkeypatch):
    like_windows(monkeypatch)
    with scratch_folder() as folder:
        (folder / "draws.csv").write_text("1")
        reader = (folder / "draws.csv").open()
        reader.close()
    assert not list(place.iterdir())
    left = place / "stanpool-left"
    left.mkdir()
    (left / ".alive").touch()
    (left / "draws.csv").touch()
    sweep_scratch()
    assert not list(place.iterdir())


def test_how_processes_of_windows_end_is_said():
    said = {
        0xC0000005: "access violation",
        0xC0000135: "a DLL is missing",
        0xC0FFEE00: "unknown",
    }
    for code, words in said.items():
        ended = how_it_ended(code)
        assert ended == f"was ended by Windows with 0x{code:X} ({words})"
        assert not ran_out_of_memory(code, "")
    assert ran_out_of_memory(0xC0000017, "")
    assert ran_out_of_memory(-9, "")
    assert not ran_out_of_memory(None, "")
