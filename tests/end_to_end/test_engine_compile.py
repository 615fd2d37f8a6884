"""Programs compiled by the real engine: once, whoever asks, whatever was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from by_hand import DRIVER
from stanpool.base.errors import CompileError, SpecError
from stanpool.engine import compile_program, compile_programs, ensure
from stanpool.engine.values.program import StanProgram

pytestmark = pytest.mark.compiled

TINY = """// café "quoted" $(HOME)
parameters { real x; }
model { x ~ std_normal(); }
"""

ASK = f"""
from stanpool.engine import compile_program
print(compile_program({TINY!r}, name="tiny"))
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A cache with no programs in it, at a path with a blank, beside the engine."""
    monkeypatch.setenv("STANPOOL_CMDSTAN", str(ensure(progress=False)))
    monkeypatch.setenv("STANPOOL_CACHE", str(tmp_path / "a cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / "a cache"


def _ask() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", ASK],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.mark.slow  # a miniature does it in unit/engine/test_setup.py
def test_killed_and_concurrent_builds_end_in_one_good_executable(elsewhere):
    killed = _ask()
    _wait_until(lambda: list(elsewhere.glob("programs/.*.partial-*")))
    time.sleep(1)
    killed.kill()
    killed.communicate()
    assert not list(elsewhere.glob("programs/*/tiny"))

    askers = [_ask(), _ask()]
    answers = [asker.communicate(timeout=300) for asker in askers]
    assert [asker.returncode for asker in askers] == [0, 0]
    (executable,) = {answer for answer, _ in answers}
    assert sorted("Compiling" in said for _, said in answers) == [False, True]

    folder = elsewhere / "programs" / executable.split(os.sep)[-2]
    assert (folder / "tiny.stan").read_text() == TINY
    assert subprocess.run([executable.strip(), "info"], check=False).returncode == 0
    left = {path.name for path in elsewhere.glob("programs/*")}
    assert {name for name in left if "partial" in name} == set()


def _descendants(number: int) -> dict[int, str]:
    """Return the commands of what a process has started, zombies left out."""
    listing = ["ps", "-A", "-o", "pid=,ppid=,stat=,comm="]
    said = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 3) for line in said.splitlines()]
    living = [(int(a), int(b), name) for a, b, state, name in rows if state[0] != "Z"]
    found: dict[int, str] = {}
    while True:
        new = {a: name for a, b, name in living if b == number or b in found}
        if new == found:
            return found
        found = new


@pytest.mark.parametrize("blow", [signal.SIGTERM, signal.SIGKILL])
def test_make_and_the_compiler_end_with_the_process_that_compiles(elsewhere, blow):
    asker = _ask()
    _wait_until(lambda: {"cc1plus", "clang"} & {*_descendants(asker.pid).values()})
    started = _descendants(asker.pid)
    assert "make" in started.values()
    asker.send_signal(blow)
    asker.communicate()

    def have_ended() -> bool:
        listing = ["ps", "-A", "-o", "pid=,stat=,comm="]
        said = subprocess.run(listing, capture_output=True, text=True).stdout
        rows = [line.split(None, 2) for line in said.splitlines()]
        running = {(int(a), name) for a, state, name in rows if state[0] != "Z"}
        return running.isdisjoint(started.items())

    _wait_until(have_ended, seconds=10)


def test_second_request_starts_no_process(monkeypatch):
    first = compile_program(DRIVER.source, name=DRIVER.name, progress=False)

    def refuse(*args, **kwargs):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert compile_program(DRIVER.source, name=DRIVER.name) == first


@pytest.mark.slow  # the suite compiles together what it needs
def test_programs_compiled_together_stay_apart(elsewhere, monkeypatch):
    half = "template <typename T> T half(const T& x, std::ostream*) { return x / 2; }"
    header = f"#ifndef HALF\n#define HALF\n{half}\n#endif\n"
    tens = "functions { real half(real x); }\n" + TINY.replace(
        "x ~ std_normal()", "half(x) ~ normal(10, 1)"
    )
    programs = {
        0.0: StanProgram("tiny", TINY),
        5.0: StanProgram("tiny", TINY.replace("std_normal()", "normal(5, 1)")),
        20.0: StanProgram("tens", tens, tens, header),
    }
    # The first and the last in one file.
    compile_programs(programs.values(), at_once=2, progress=False)
    monkeypatch.setenv("MAKE", "false")  # nothing is left to be compiled
    for mode, program in programs.items():
        executable = compile_program(
            program.compiled, name=program.name, header=program.header, progress=False
        )
        found = elsewhere.parent / "mode.csv"
        options = "optimize random seed=1 output".split()
        command = [executable, *options, f"file={found}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        lines = [x for x in found.read_text().splitlines() if not x.startswith("#")]
        assert float(lines[-1].split(",")[-1]) == pytest.approx(mode, abs=1e-3)
        assert executable.with_suffix(".stan").read_text() == program.compiled
    assert not list(elsewhere.parent.glob("stanpool-*"))


def test_programs_that_fail_together_are_left_to_themselves(elsewhere):
    wrong = StanProgram("wrong", TINY.replace("std_normal()", "normal(0, 1, 2)"))
    compile_programs([StanProgram("tiny", TINY), wrong], progress=False)
    assert not list(elsewhere.glob("programs/*/tiny"))
    with pytest.raises(CompileError, match="stanc refuses"):
        compile_program(wrong.compiled, name="wrong", progress=False)


def test_refused_program_is_quoted_with_a_caret_and_kept(elsewhere):
    source = "parameters { real x; }\nmodel { x ~ normal(0, 1) }\n"
    with pytest.raises(CompileError, match="stanc") as caught:
        compile_program(source, name="wrong", progress=False)
    message = str(caught.value)
    assert "'wrong.stan', line 2" in message
    assert "^" in message
    (kept,) = elsewhere.glob("programs/*.stan")
    assert str(kept) in message
    assert kept.read_text() == source


def test_failure_of_the_cpp_compiler_is_told_apart(elsewhere):
    with pytest.raises(CompileError, match=r"C\+\+ compiler .*no-such-flag"):
        compile_program(
            TINY,
            name="tiny",
            cpp_options={"CXXFLAGS": "--no-such-flag"},
            progress=False,
        )
    assert not list(elsewhere.glob("programs/*/tiny"))


def test_unknown_option_of_stanc_is_refused(elsewhere):
    with pytest.raises(SpecError, match="no-such"):
        compile_program(
            TINY, name="tiny", stanc_options={"no-such": True}, progress=False
        )


@pytest.mark.parametrize("name", ["", "../x", "a b", "1a", "x" * 101, "x;y", "é"])
def test_names_that_files_and_make_could_misread_are_refused(name):
    with pytest.raises(SpecError, match="cannot name a program"):
        compile_program(TINY, name=name)
