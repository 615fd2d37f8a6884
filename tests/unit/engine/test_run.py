"""What sampling does without Stan: settings, messages, a run of made-up chains."""

from __future__ import annotations

import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from stanpool.base.errors import SpecError
from stanpool.base.system.parallel import usable_cores
from stanpool.engine.cmdstan.chains import Chains, Failure
from stanpool.engine.cmdstan.compile import compile_programs
from stanpool.engine.cmdstan.run import cmdstanpy_arguments, spare_threads
from stanpool.engine.values.settings import SampleSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("chains", 0),
        ("chains", -1),
        ("chains", 2.5),
        ("chains", True),
        ("chains", "4"),
        ("draws", 0),
        ("warmup", -1),
        ("max_treedepth", 0),
        ("parallel_chains", 0),
        ("threads_per_chain", 0),
        ("threads_per_chain", "all"),
        ("thin", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", None),
        ("adapt_delta", 0),
        ("adapt_delta", 1.0),
        ("adapt_delta", float("nan")),
        ("adapt_delta", "0.9"),
    ],
)
def test_setting_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(SpecError, match=f"{name}={value!r}.*must be a"):
        SampleSettings(**{"seed": 1, name: value})


def test_numpy_integers_become_pythons():
    settings = SampleSettings(seed=np.uint32(7), chains=np.int64(2))
    assert (type(settings.seed), type(settings.chains)) == (int, int)


def test_no_warm_up_means_no_adaptation():
    arguments = cmdstanpy_arguments(SampleSettings(seed=1, warmup=0))
    assert arguments["adapt_engaged"] is False
    assert "adapt_delta" not in arguments


def test_threads_take_the_cores_that_chains_leave(monkeypatch):
    monkeypatch.setattr("stanpool.engine.cmdstan.run.usable_cores", lambda: 8)
    assert spare_threads(SampleSettings(seed=1, chains=3)) == 2
    assert spare_threads(SampleSettings(seed=1, chains=20)) == 1
    # Who sets parallel_chains has plans for the other cores.
    assert spare_threads(SampleSettings(seed=1, chains=1, parallel_chains=1)) == 1


def test_chains_run_on_the_cores_that_this_process_may_use():
    arguments = cmdstanpy_arguments(SampleSettings(seed=1, chains=1000))
    assert arguments["parallel_chains"] == usable_cores()


def test_sample_options_reach_cmdstanpy():
    settings = SampleSettings(seed=1, sample_options=(("sig_figs", 17),))
    assert cmdstanpy_arguments(settings)["sig_figs"] == 17


@pytest.mark.parametrize("name", ["chains", "output_dir", "data", "timeout"])
def test_sample_options_that_are_not_the_users_are_refused(name):
    settings = SampleSettings(seed=1, sample_options=((name, 1),))
    with pytest.raises(SpecError, match=f"{name!r}.*Take it out"):
        cmdstanpy_arguments(settings)


def test_one_set_of_initial_values_per_chain_is_counted():
    with pytest.raises(SpecError, match="inits has 2 members for chains=4"):
        SampleSettings(seed=1, inits=[{}, {}])


CONSOLE = """method = sample (Default)
  sample
    num_samples = 1000 (Default)
id = 3

Rejecting initial value:
  Log probability evaluates to log(0), i.e. negative infinity.
Rejecting initial value:
  Log probability evaluates to log(0), i.e. negative infinity.
Iteration:    1 / 2000 [  0%]  (Warmup)
Initialization between (-2, 2) failed after 100 attempts.
"""


def test_failure_quotes_what_the_chain_said_once_and_nothing_else(tmp_path):
    assert str(Failure(3, 1, CONSOLE, tmp_path)).splitlines()[:-1] == [
        "chain 3 ended with exit code 1; its last message was:",
        "    Rejecting initial value:",
        "      Log probability evaluates to log(0), i.e. negative infinity.",
        "    Initialization between (-2, 2) failed after 100 attempts.",
    ]


@pytest.mark.parametrize(
    ("code", "console", "words"),
    [
        (1, CONSOLE, ["inits="]),
        (
            -signal.SIGKILL,
            "",
            ["SIGKILL", "without a message", "Memory", "parallel_chains"],
        ),
        (1, "std::bad_alloc", ["Memory", "parallel_chains"]),
        (-signal.SIGSEGV, "", ["SIGSEGV", "doctor"]),
        (-250, "", ["signal 250"]),
        (127, "error while loading shared libraries: libtbb.so.2", ["stanpool clean"]),
        (None, "[Errno 13] Permission denied", ["Permission denied", "STANPOOL_CACHE"]),
    ],
)
def test_failure_says_what_to_do(code, console, words, tmp_path):
    message = str(Failure(1, code, console, tmp_path))
    for word in words:
        assert word in message


def test_full_disk_comes_before_other_advice(tmp_path, monkeypatch):
    full = SimpleNamespace(free=0)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: full)
    assert "TMPDIR" in str(Failure(1, 1, "", tmp_path))


class MadeUpRun:
    """As much of cmdstanpy's RunSet as a chain needs, around Python programs."""

    def __init__(self, folder: Path, *programs: str) -> None:
        self.programs = programs
        self.stdout_files = [str(folder / f"{i}.txt") for i in range(len(programs))]
        self.chain_ids = [i + 1 for i in range(len(programs))]
        self.codes: dict[int, int] = {}

    def cmd(self, idx: int) -> list[str]:
        return [sys.executable, "-c", self.programs[idx]]

    def _set_retcode(self, idx: int, code: int) -> None:
        self.codes[idx] = code


SLEEP = """
import time
print("Iteration:  10 / 20 [ 50%]  (Warmup)", flush=True)
time.sleep(60)
"""


def _start(chains: Chains, run: MadeUpRun) -> list[threading.Thread]:
    threads = [
        threading.Thread(target=chains.run, args=(run, idx))
        for idx in range(len(run.programs))
    ]
    for thread in threads:
        thread.start()
    return threads


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads)


def test_a_chain_that_fails_ends_the_others(tmp_path):
    run = MadeUpRun(tmp_path, SLEEP, "import sys; print('no'); sys.exit(3)")
    chains = Chains()
    _join(_start(chains, run))
    assert chains.failure == Failure(2, 3, "no\n", tmp_path)
    assert run.codes == {0: -signal.SIGKILL, 1: 3}


def test_stopped_chains_end_and_no_more_start(tmp_path):
    run = MadeUpRun(tmp_path, SLEEP, SLEEP)
    chains = Chains()
    threads = _start(chains, run)
    for _ in range(2000):
        if chains.iterations == 20:
            break
        time.sleep(0.01)
    assert chains.iterations == 20
    chains.stop()
    _join(threads)
    late = MadeUpRun(tmp_path, SLEEP)
    _join(_start(chains, late))
    assert chains.failure is None
    assert not chains._running


def test_console_that_is_not_text_does_not_end_a_chain(tmp_path):
    program = "import sys; sys.stdout.buffer.write(bytes(range(128, 256)))"
    run = MadeUpRun(tmp_path, program)
    _join(_start(Chains(), run))
    assert run.codes == {0: 0}


def test_only_programs_are_compiled() -> None:
    with pytest.raises(SpecError, match=r"must be Stan programs.*one is 'radon'"):
        compile_programs(iter(["radon"]))
