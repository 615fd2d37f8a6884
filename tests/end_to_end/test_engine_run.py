"""Sampling with the real engine: the right draws, and nothing left behind."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from by_hand import RUN
from stanpool.base.errors import SamplingError, SpecError
from stanpool.base.progress import verbose_logging
from stanpool.engine import SampleSettings, compile_program, sample, scratch
from stanpool.engine.cmdstan import chains
from stanpool.engine.cmdstan.engine import CmdStan
from stanpool.engine.interpreter.engine import Stanli

pytestmark = pytest.mark.compiled

Y = np.array([0.3, 1.9, 1.1, 0.7])


def _data(**changes):
    return {
        "N": len(Y),
        "K": 0,
        "X": np.zeros((len(Y), 0)),
        "y": Y,
        "counts": np.zeros(0, dtype=np.int64),
        "work": 0,
        "impossible": False,
        "edge": 1e9,
    } | changes


@pytest.fixture(scope="session")
def executable() -> Path:
    return compile_program(RUN.source, name=RUN.name, progress=False)


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The place for temporary files, which a test leaves as it found it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


QUICK = SampleSettings(seed=1, chains=2, draws=50, warmup=50)
SLOW = {"work": 300_000}


def test_posterior_mean_and_variance_are_the_conjugate_ones(executable):
    raw = sample(executable, _data(), SampleSettings(seed=3), progress=False)
    mu = raw.stan_variable("mu")
    variance = 1 / (1 + len(Y))
    # Effective sizes of NUTS on one normal parameter are about half the draws.
    effective = mu.size / 4
    assert abs(mu.mean() - variance * Y.sum()) < 4 * np.sqrt(variance / effective)
    assert abs(mu.var() / variance - 1) < 4 * np.sqrt(2 / effective)


def test_rejections_after_warmup_are_counted(executable, capfd):
    assert sample(executable, _data(), QUICK, progress=False).rejections == {}
    settings = SampleSettings(seed=1, chains=2, draws=200, warmup=200, inits=0.1)
    with verbose_logging():
        raw = sample(executable, _data(edge=1.0), settings, progress=False)
    said = [line for line in capfd.readouterr().err.splitlines() if "Stan said" in line]
    assert len(said) == 1
    assert "Exception: mu is beyond the edge" in said[0]
    ((reason, count),) = raw.rejections.items()
    assert reason == "mu is beyond the edge"
    # A trajectory that runs over the edge is ended there, and counts as divergent.
    divergent = int(raw.sampler_variable("divergent__").sum())
    assert 0 < divergent <= count <= 2 * 200
    assert raw.stan_variable("mu").max() <= 1.0


def test_elements_stand_where_their_indices_say(executable):
    raw = sample(executable, _data(), QUICK, progress=False)
    cube = raw.stan_variable("cube")
    i, j, k = np.indices((2, 3, 4)) + 1
    assert cube.shape == (2, 50, 2, 3, 4)
    assert (cube == 100 * i + 10 * j + k).all()


def test_draws_are_those_of_cmdstanpy_by_hand(executable):
    import cmdstanpy

    raw = sample(executable, _data(), QUICK, progress=False)
    with cmdstanpy.disable_logging():
        by_hand = cmdstanpy.CmdStanModel(exe_file=str(executable)).sample(
            _data(),
            chains=2,
            iter_sampling=50,
            iter_warmup=50,
            seed=1,
            sig_figs=18,
            show_progress=False,
        )
    draws = by_hand.draws()
    columns = list(by_hand.column_names)
    nine_figures = np.vectorize(lambda value: float(f"{value:.9g}"))
    for name in ("lp__", "stepsize__", "divergent__", "energy__"):
        np.testing.assert_array_equal(
            raw.sampler_variable(name),
            nine_figures(draws[:, :, columns.index(name)].T),
        )
    np.testing.assert_array_equal(
        raw.stan_variable("mu"), draws[:, :, columns.index("mu")].T
    )
    np.testing.assert_array_equal(raw.step_size, by_hand.step_size)
    np.testing.assert_array_equal(raw.inv_metric, by_hand.inv_metric)


def test_variables_are_views_and_wrong_names_are_corrected(executable):
    raw = sample(executable, _data(), QUICK, progress=False)
    assert raw.stan_variable("cube").base is not None
    assert raw.variable_names == ("mu", "slow", "cube")
    with pytest.raises(KeyError, match="Did you mean 'cube'"):
        raw.stan_variable("cubes")
    with pytest.raises(KeyError):
        raw.sampler_variable("mu")
    assert raw.seconds_warmup.shape == raw.seconds_sampling.shape == (2,)
    assert set(raw.engine) == {"name", "stan", "engine", "compiler"}


@pytest.mark.parametrize("k", [0, 3])
def test_empty_and_full_matrices_are_data(executable, k):
    data = _data(K=k, X=np.ones((len(Y), k)), counts=np.ones(k, dtype=np.int32))
    raw = sample(executable, data, QUICK, progress=False)
    assert ("beta" in raw.variable_names) == (k > 0)


def test_no_rows_at_all_are_data(executable):
    data = _data(N=0, X=np.zeros((0, 0)), y=np.zeros(0))
    assert sample(executable, data, QUICK, progress=False).variable_names


def test_thinning_and_no_warm_up(executable):
    settings = SampleSettings(seed=1, chains=1, draws=50, warmup=0, thin=4)
    raw = sample(executable, _data(), settings, progress=False)
    assert raw.stan_variable("mu").shape == (1, 13)


def test_initial_values_are_where_a_chain_starts(executable):
    # Steps so small that the chain stays where it is put.
    settings = SampleSettings(
        seed=1,
        chains=2,
        draws=1,
        warmup=0,
        max_treedepth=1,
        inits=[{"mu": 3.0, "beta": []}, {"mu": -3.0, "beta": []}],
        sample_options=(("step_size", 1e-8),),
    )
    raw = sample(executable, _data(), settings, progress=False)
    np.testing.assert_allclose(raw.stan_variable("mu")[:, 0], [3, -3], atol=1e-6)


def test_failed_start_gives_stans_reason_and_advice(executable, temporary):
    with pytest.raises(SamplingError) as caught:
        sample(executable, _data(impossible=True), QUICK, progress=False)
    for words in ("chain ", "nothing is possible here", "inits="):
        assert words in str(caught.value)
    assert not list(temporary.glob("stanpool-*"))


def test_data_that_do_not_fit_give_stans_reason(executable, temporary):
    with pytest.raises(SamplingError, match="variable name=y"):
        sample(executable, _data(y=np.zeros(7)), QUICK, progress=False)
    assert not list(temporary.glob("stanpool-*"))


def test_unknown_option_is_a_spec_error(executable):
    settings = SampleSettings(seed=1, sample_options=(("no_such", 1),))
    with pytest.raises(SpecError, match="no_such"):
        sample(executable, _data(), settings, progress=False)


def test_executable_that_is_gone_or_cannot_run_is_explained(tmp_path):
    with pytest.raises(SamplingError, match="Fit again"):
        sample(tmp_path / "gone", _data(), QUICK, progress=False)
    damaged = tmp_path / "damaged"
    damaged.write_text("not a program")
    damaged.chmod(0o755)
    with pytest.raises(SamplingError, match="stanpool doctor"):
        sample(damaged, _data(), QUICK, progress=False)


def test_killed_chain_is_named_and_ends_the_run(executable, temporary, monkeypatch):
    started = []

    class Recorder(subprocess.Popen):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            started.append(self)

    monkeypatch.setattr(chains.subprocess, "Popen", Recorder)

    def kill_second() -> None:
        _wait_until(lambda: any("id=2" in process.args for process in started))
        time.sleep(0.5)
        next(process for process in started if "id=2" in process.args).kill()

    killer = threading.Thread(target=kill_second)
    killer.start()
    settings = SampleSettings(seed=1, chains=3, parallel_chains=3, draws=100_000)
    with pytest.raises(SamplingError, match=r"chain 2 .*SIGKILL"):
        sample(executable, _data(**SLOW), settings, progress=False)
    killer.join()
    assert all(process.poll() is not None for process in started)
    assert not list(temporary.glob("stanpool-*"))


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from stanpool.engine import SampleSettings, sample
data = dict(N=0, K=0, X=np.zeros((0, 0)), y=[], counts=[], work=300_000)
data |= dict(impossible=0, edge=1e9)
settings = SampleSettings(seed=1, chains=3, parallel_chains=2, draws=100_000)
try:
    sample(Path(sys.argv[1]), data, settings, progress=False)
except KeyboardInterrupt:
    sys.exit("interrupted")
"""


def _processes() -> dict[int, int]:
    """Return the parent of every process that runs, zombies left out."""
    command = ["ps", "-A", "-o", "pid=,ppid=,stat="]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return {int(pid): int(parent) for pid, parent, state in rows if state[0] != "Z"}


def _hear_interrupts() -> None:
    """Undo that background jobs of a shell ignore Ctrl-C, and so do their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupt_and_kill_leave_no_process(executable, temporary, blow):
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(executable)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        preexec_fn=_hear_interrupts,
    )
    # Two chains and their guard.
    _wait_until(lambda: list(_processes().values()).count(script.pid) == 3)
    time.sleep(0.5)
    running = [pid for pid, parent in _processes().items() if parent == script.pid]
    script.send_signal(blow)
    _, said = script.communicate(timeout=60)
    if blow == signal.SIGINT:
        assert said.splitlines() == ["interrupted"]
        assert not _processes().keys() & running
        assert not list(temporary.iterdir())
    else:
        assert list(temporary.glob("stanpool-*/*.csv"))
    _wait_until(lambda: not _processes().keys() & running)
    scratch._sweep_once.cache_clear()
    sample(executable, _data(), QUICK, progress=False)
    assert not list(temporary.glob("stanpool-*"))


WITHOUT_STREAMS = """
import sys
sys.stdout = sys.stderr = None
from pathlib import Path
import numpy as np
from stanpool.engine import SampleSettings, sample
from stanpool.base.progress import verbose_logging
data = dict(N=0, K=0, X=np.zeros((0, 0)), y=[], counts=[], work=0)
data |= dict(impossible=0, edge=1e9)
for shown in (True, False):
    with verbose_logging(shown):
        settings = SampleSettings(seed=1, draws=50, warmup=50)
        sample(Path(sys.argv[1]), data, settings, progress=shown)
"""


@pytest.mark.parametrize("closed", ["", "<&- >&- 2>&-"])
def test_a_daemon_without_streams_can_sample(executable, temporary, closed):
    words = [sys.executable, "-c", WITHOUT_STREAMS, str(executable)]
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def _wait_until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_runs_in_threads_and_in_an_event_loop(executable):
    def run(seed: int) -> float:
        settings = SampleSettings(seed=seed, chains=1, draws=50, warmup=50)
        raw = sample(executable, _data(), settings, progress=False)
        return float(raw.stan_variable("mu").mean())

    async def run_in_loop() -> float:
        return run(1)

    with ThreadPoolExecutor(3) as executor:
        first, second, again = executor.map(run, [1, 2, 1])
    assert first == again != second
    assert asyncio.run(run_in_loop()) == first


def test_nothing_is_said_without_progress_and_one_line_in_a_log(
    executable, capfd, caplog
):
    with caplog.at_level(logging.DEBUG):
        sample(executable, _data(), QUICK, progress=False)
        assert capfd.readouterr() == ("", "")
        sample(executable, _data(), QUICK)
    assert capfd.readouterr() == ("", "stanpool: Sampling 2 chains of 100 iterations\n")
    assert not [record for record in caplog.records if record.name == "cmdstanpy"]


def test_terminal_sees_a_bar_that_fills(executable, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    settings = SampleSettings(seed=1, chains=2, draws=300, warmup=300)
    sample(executable, _data(work=2000), settings)
    assert "Sampling 2 chains of 600 iterations:   0%" in terminal.getvalue()
    shown = [int(each) for each in re.findall(r"(\d+)%\|", terminal.getvalue())]
    assert shown == sorted(shown)
    assert shown[-1] == 100


def test_both_engines_have_the_log_density_of_the_mathematics() -> None:
    X = np.array([[1.0, 0.5], [0.2, -1], [0, 2], [1, 1]])
    data = _data(K=2, X=X, counts=[1, 2], edge=3.0)
    points = np.array([[0.1, 1, -1], [2, 0.5, 0.5], [4, 0, 0], [np.nan, 0, 0]])
    errors = Y - points[:, :1] - points[:, 1:] @ X.T
    expected = -((points**2).sum(axis=1) + (errors**2).sum(axis=1)) / 2
    by_mu = errors.sum(axis=1) - points[:, 0]
    for engine in (CmdStan(), Stanli()):
        program = RUN
        with engine.load(program, data, progress=False) as loaded:
            found = loaded.log_density(points)
            again = loaded.log_density(points[:1], data=data | {"y": Y + 1})
        np.testing.assert_allclose(np.diff(found.values[:2]), np.diff(expected[:2]))
        np.testing.assert_allclose(found.gradients[:2, 0], by_mu[:2])
        assert (found.values[2:] == -np.inf).all()  # beyond the edge, and nowhere
        assert np.isnan(found.gradients[2:]).all()
        np.testing.assert_allclose(again.gradients[0, 0], by_mu[0] + 4)
