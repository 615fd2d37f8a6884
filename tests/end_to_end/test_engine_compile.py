"""Programs compiled by the real engine: once, whoever asks, whatever was killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from stanpool.engine import compile_program, ensure
from stanpool.errors import CompileError, SpecError

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


def test_second_request_starts_no_process(monkeypatch):
    first = compile_program(TINY, name="tiny", progress=False)

    def refuse(*args, **kwargs):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    assert compile_program(TINY, name="tiny") == first


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
