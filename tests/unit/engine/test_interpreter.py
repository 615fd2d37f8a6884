"""stanli as an engine: densities, draws and settings, and a process that goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stanpool.base.errors import EngineError, SamplingError, SpecError
from stanpool.engine.interface import LoadedProgram
from stanpool.engine.interpreter import child, running, waiting
from stanpool.engine.interpreter import engine as interpreter
from stanpool.engine.interpreter.engine import Stanli
from stanpool.engine.interpreter.options import arguments_of, refused
from stanpool.engine.values.program import StanProgram
from stanpool.engine.values.settings import SampleSettings

NORMAL = StanProgram(
    "normal",
    """
data { real scale; }
parameters { vector[3] x; real<lower=0> s; vector[0] none; }
transformed parameters { matrix[2, 3] M = [x', 2 * x']; }
model { x ~ normal(0, scale); s ~ exponential(1); }
generated quantities { real twice = 2 * s; }
""",
)
QUICK = SampleSettings(seed=1, chains=2, draws=100, warmup=200)


def loaded(program: StanProgram = NORMAL, **data: Any) -> Any:
    return Stanli().load(program, data or {"scale": 2.0})


def test_log_density_is_that_of_the_unconstrained_scale() -> None:
    points = np.array([[0.0, 1, 2, 0], [1, -1, 3, np.log(2)], [0.5, 0, 0, -1]])
    x, u = points[:, :3], points[:, 3]
    with loaded() as program:
        found = program.log_density(points)
        other = program.log_density(points, data={"scale": 1.0})
        again = program.log_density(points)
    # The density of s = exp(u), times ds/du.
    of_s = u - np.exp(u)
    expected = -(x**2).sum(axis=1) / 8 + of_s
    np.testing.assert_allclose(np.ptp(found.values - expected), 0, atol=1e-12)
    np.testing.assert_allclose(
        found.gradients, np.column_stack([-x / 4, 1 - np.exp(u)]), rtol=1e-12
    )
    np.testing.assert_allclose(
        np.ptp(other.values + (x**2).sum(axis=1) / 2 - of_s), 0, atol=1e-12
    )
    assert again.values.tolist() == found.values.tolist()
    assert 0 < found.seconds < 1


def test_refused_points_have_no_density() -> None:
    with loaded() as program:
        found = program.log_density(np.array([[np.nan, 0, 0, 0], [0, 0, 0, 0]]))
    assert found.values[0] == -np.inf
    assert np.isnan(found.gradients[0]).all()
    assert np.isfinite(found.gradients[1]).all()


def test_points_of_another_length_are_refused() -> None:
    with (
        loaded() as program,
        pytest.raises(EngineError, match=r"have 2 numbers.* 4 "),
    ):
        program.log_density(np.zeros((1, 2)))


def test_draws_have_the_names_and_shapes_of_the_program() -> None:
    with loaded() as program:
        raw = program.sample(QUICK, progress=False)
    assert raw.variable_names == ("x", "s", "M", "twice")
    x, matrix = raw.stan_variable("x"), raw.stan_variable("M")
    assert x.shape == (2, 100, 3)
    np.testing.assert_array_equal(matrix, np.stack([x, 2 * x], axis=2))
    np.testing.assert_array_equal(
        raw.stan_variable("twice"), 2 * raw.stan_variable("s")
    )
    lp, step = raw.sampler_variable("lp__"), raw.sampler_variable("stepsize__")
    s = raw.stan_variable("s")
    density = -(x**2).sum(axis=2) / 8 - s + np.log(s)
    np.testing.assert_allclose(np.ptp(lp - density), 0, atol=1e-9)
    assert raw.step_size is not None
    np.testing.assert_array_equal(
        step, np.broadcast_to(raw.step_size[:, None], (2, 100))
    )
    assert raw.inv_metric is not None
    assert raw.inv_metric.shape == (2, 4)
    assert raw.seconds_warmup.shape == raw.seconds_sampling.shape == (2,)
    assert raw.engine["name"] == "stanli"
    assert raw.engine["stanli"].startswith(interpreter.SUPPORTED)
    for name in ("accept_stat__", "treedepth__", "n_leapfrog__", "divergent__"):
        assert raw.sampler_variable(name).shape == (2, 100)


def test_one_process_samples_again_and_again() -> None:
    with loaded() as program:
        first, again = (program.sample(QUICK, progress=False) for _ in range(2))
    assert again.seconds_sampling.shape == (2,)
    np.testing.assert_array_equal(first.stan_variable("x"), again.stan_variable("x"))


def test_python_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho broken installation >&2; exit 9\n")
    script.chmod(0o755)
    monkeypatch.setattr(
        running, "sys", SimpleNamespace(executable=str(script), path=[])
    )
    with pytest.raises(EngineError, match=r"exit code 9; its last[\s\S]*broken inst"):
        with loaded():
            pass


def test_a_seed_makes_draws_reproducible() -> None:
    with loaded() as one, loaded() as other:
        first, second = (each.sample(QUICK, progress=False) for each in (one, other))
    np.testing.assert_array_equal(first.stan_variable("x"), second.stan_variable("x"))


STILL = {"warmup": 0, "draws": 1, "chains": 2, "seed": 1}
NO_STEP = (("step_size", 1e-300),)


@pytest.mark.parametrize(
    ("inits", "expected"),
    [
        ({"x": [1, 2, 3.5], "s": 0.25}, [[1, 2, 3.5, 0.25]] * 2),
        (
            [{"x": [1, 2, 3], "s": 2.0}, {"x": np.zeros(3), "s": 1.0, "none": []}],
            [[1, 2, 3, 2], [0, 0, 0, 1]],
        ),
        (0, [[0, 0, 0, 1]] * 2),
        ({"x": [1, 2, 3]}, [[1, 2, 3, np.nan]] * 2),  # what is not given is random
    ],
)
def test_chains_start_at_initial_values(inits: Any, expected: Any) -> None:
    settings = SampleSettings(**STILL, inits=inits, sample_options=NO_STEP)
    with loaded() as program:
        raw = program.sample(settings, progress=False)
    start = np.column_stack(
        [raw.stan_variable("x")[:, 0], raw.stan_variable("s")[:, 0]]
    )
    known = np.isfinite(expected)
    np.testing.assert_allclose(start[known], np.array(expected)[known], atol=1e-200)
    if not known.all():
        assert start[0, 3] != start[1, 3]
        assert (np.abs(np.log(start[:, 3])) < 2).all()


MATRIX = StanProgram(
    "matrix",
    """
parameters { matrix[2, 3] M; array[2] vector<lower=0>[3] A; cholesky_factor_corr[3] L; }
model {
  to_vector(M) ~ std_normal();
  for (i in 1:2) A[i] ~ exponential(1);
  L ~ lkj_corr_cholesky(2);
}
""",
)


def test_initial_values_of_matrices_and_arrays_are_not_transposed() -> None:
    inits = {
        "M": np.arange(6.0).reshape(2, 3),
        "A": 1 + np.arange(6.0).reshape(2, 3),
        "L": np.linalg.cholesky([[1, 0.5, 0.2], [0.5, 1, 0.1], [0.2, 0.1, 1]]),
    }
    settings = SampleSettings(**STILL, inits=inits, sample_options=NO_STEP)
    with Stanli().load(MATRIX, {}) as program:
        raw = program.sample(settings, progress=False)
    for name, value in inits.items():
        found = raw.stan_variable(name)[1, 0]
        np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-15)


def test_settings_reach_the_sampler() -> None:
    options = (
        ("inv_metric", {"inv_metric": [1.0, 2, 3, 4]}),
        ("step_size", 0.125),
        ("adapt_engaged", False),
    )
    settings = SampleSettings(
        seed=1,
        chains=3,
        draws=40,
        warmup=10,
        thin=4,
        max_treedepth=2,
        sample_options=options,
    )
    with loaded() as program:
        raw = program.sample(settings, progress=False)
    assert raw.stan_variable("s").shape == (3, 10)
    assert raw.inv_metric.tolist() == [[1, 2, 3, 4]] * 3
    assert (raw.sampler_variable("stepsize__") == 0.125).all()
    assert raw.sampler_variable("treedepth__").max() == 2


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"metric": "unit_e"},
        {"metric": "dense_e"},
        {"inv_metric": {"inv_metric": [1.0, 2, 3, 4]}},
        {"metric": "dense_e", "inv_metric": {"inv_metric": np.diag([1.0, 2, 3, 4])}},
    ],
)
def test_chains_with_steps_of_their_own_move_as_if_each_were_alone(
    options: dict[str, Any],
) -> None:
    # As many chains as parameters: neither may be taken for the other.
    steps = [0.05, 0.1, 0.2, 0.4]
    how = {"seed": 1, "chains": 4, "draws": 3, "warmup": 0}

    def draws(step: float | list[float]) -> np.ndarray:
        given = tuple({**options, "step_size": step}.items())
        settings = SampleSettings(**how, sample_options=given)
        return program.sample(settings, progress=False).stan_variable("x")

    with loaded() as program:
        together = draws(steps)
        for chain, step in enumerate(steps):
            np.testing.assert_allclose(together[chain], draws(step)[chain], rtol=1e-6)


def test_dense_metric_has_a_matrix_for_each_chain() -> None:
    settings = SampleSettings(
        seed=1, chains=2, draws=10, warmup=200, sample_options=(("metric", "dense_e"),)
    )
    with loaded() as program:
        raw = program.sample(settings, progress=False)
    assert raw.inv_metric.shape == (2, 4, 4)


def test_target_acceptance_is_met() -> None:
    def accepted(target: float) -> float:
        settings = SampleSettings(seed=1, adapt_delta=target, chains=1)
        with loaded() as program:
            raw = program.sample(settings, progress=False)
        return float(raw.sampler_variable("accept_stat__").mean())

    assert accepted(0.6) < 0.8 < accepted(0.95)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sample_options": (("save_warmup", True),)}, "'save_warmup'"),
        ({"sample_options": (("adapt_metric_window", 5),)}, "'adapt_metric_window'"),
        ({"sample_options": (("metric", "file.json"),)}, "metric='file.json'"),
        ({"sample_options": (("step_size", [1.0, 2.0]),)}, "step_size for each"),
        ({"inits": "inits.json"}, "inits='inits.json', a file,"),
    ],
)
def test_what_stanli_cannot_honour_is_refused_by_name(
    options: dict[str, Any], words: str
) -> None:
    settings = SampleSettings(seed=1, **options)
    assert words in refused(settings)
    assert "engine='cmdstan'" in refused(settings)
    assert Stanli().why_not(settings) == refused(settings)


def test_settings_as_cmdstanpy_takes_them() -> None:
    metric = [{"inv_metric": np.ones(2)}, {"inv_metric": np.zeros(2)}]
    settings = SampleSettings(
        seed=1, chains=2, inits=0.5, sample_options=(("inv_metric", metric),)
    )
    found = arguments_of(settings)
    assert found["settings"]["inv_metric"] == [[1, 1], [0, 0]]
    assert (found["inits"], found["init_radius"]) == (None, 0.5)


@pytest.mark.parametrize(
    ("source", "data", "words"),
    [
        ("parameters { real x; } model { x ~ nrmal(0, 1); }", {}, "nrmal"),
        ("data { int N; } parameters { real x; } model { x ~ std_normal(); }", {}, "N"),
        ("functions { real f(real x); } parameters { real x; }", {}, "f"),
    ],
)
def test_a_program_that_stanli_refuses(source: str, data: Any, words: str) -> None:
    with pytest.raises(
        EngineError, match=rf"stanli cannot run the program:[\s\S]*\b{words}"
    ):
        with Stanli().load(StanProgram("refused", source), data):
            pass


def test_no_point_to_start_from() -> None:
    nowhere = StanProgram("nowhere", "parameters {real x;} model {x ~ normal(0, -1);}")
    with Stanli().load(nowhere, {}) as program:
        with pytest.raises(SamplingError, match=r"Scale parameter is -1.*\n.*inits="):
            program.sample(QUICK, progress=False)


@pytest.mark.parametrize(
    ("inits", "words"),
    [({"s": -1.0}, "s"), ({"x": [1.0]}, "x"), ({"s": 1.0, "zz": 1.0}, "zz")],
)
def test_wrong_initial_values_are_named(inits: Any, words: str) -> None:
    settings = SampleSettings(seed=1, inits={"x": [0, 0, 0], "s": 1, **inits})
    with loaded() as program, pytest.raises(SpecError, match=rf"\b{words}\b"):
        program.sample(settings, progress=False)


def _in_thread(program: LoadedProgram, settings: SampleSettings) -> tuple[Any, list]:
    found: list[BaseException] = []

    def run() -> None:
        try:
            program.sample(settings, progress=False)
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, found


SLOW = SampleSettings(seed=1, chains=2, draws=500_000, warmup=10)


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (signal.SIGKILL, r"SIGKILL\)[\s\S]*Memory ran out, unless"),
        (signal.SIGSEGV, r"SIGSEGV\)[\s\S]*fault of stanli[\s\S]*engine='cmdstan'"),
    ],
)
def test_a_process_that_dies_is_explained(sign: signal.Signals, words: str) -> None:
    with loaded() as program:
        thread, found = _in_thread(program, SLOW)
        while not program._process.iterations:
            time.sleep(0.01)
        os.kill(program._process._process.pid, sign)
        thread.join(20)
        with pytest.raises(EngineError, match=words):  # and again, if it is asked
            program.log_density(np.zeros((1, 4)))
    assert len(found) == 1
    assert isinstance(found[0], EngineError)
    with pytest.raises(EngineError, match=words):
        raise found[0]


WIDE = StanProgram(
    "wide",
    """
parameters { real x; }
model { x ~ std_normal(); }
generated quantities { vector[100000] many = rep_vector(x, 100000); }
""",
)


def test_too_many_draws_for_memory() -> None:
    settings = SampleSettings(seed=1, chains=100, draws=10_000_000, warmup=0)
    with Stanli().load(WIDE, {}) as program:
        with pytest.raises(EngineError, match="not enough memory for stanli"):
            program.sample(settings, progress=False)


def test_leaving_ends_the_process_at_once() -> None:
    start = time.perf_counter()
    with loaded() as program:
        process = program._process._process
        thread, _ = _in_thread(program, SLOW)
        while not program._process.iterations:
            time.sleep(0.01)
    thread.join(20)
    assert process.returncode == -signal.SIGKILL
    assert time.perf_counter() - start < 10


def test_other_threads_may_sample() -> None:
    def sample(into: list) -> None:
        with loaded() as program:
            into.append(program.sample(QUICK, progress=False).stan_variable("x"))

    found: list[np.ndarray] = []
    threads = [threading.Thread(target=sample, args=(found,)) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(found) == 3
    assert (found[0] == found[1]).all()


PARENT = """
import os, sys, time
from stanpool.engine.interpreter.engine import Stanli
from stanpool.engine.values.program import StanProgram
from stanpool.engine.values.settings import SampleSettings
settings = SampleSettings(seed=1, chains=2, draws=500_000, warmup=10)
program = StanProgram("x", "parameters {real x;} model {x ~ std_normal();}")
with Stanli().load(program, {}) as loaded:
    print(loaded._process._process.pid, flush=True)
    loaded.sample(settings, progress=False)
"""


IN_WORKERS = """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
import numpy as np
from stanpool.engine.interpreter.engine import Stanli
from stanpool.engine.values.program import StanProgram

def density(x):
    program = StanProgram("x", "parameters {real x;} model {x ~ std_normal();}")
    with Stanli().load(program, {}) as loaded:
        return float(loaded.log_density(np.array([[x]])).values[0])

if __name__ == "__main__":
    print(density(1.0))
    for way in ("fork", "spawn"):
        context = multiprocessing.get_context(way)
        with ProcessPoolExecutor(2, mp_context=context) as workers:
            print(*workers.map(density, [2.0, 3.0]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot fork here")
def test_workers_that_were_forked_or_spawned_may_use_it(tmp_path: Path) -> None:
    script = tmp_path / "workers.py"
    script.write_text(IN_WORKERS)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["-0.5", *("-2.0", "-4.5") * 2]


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_the_process_ends_with_its_parent(sign: signal.Signals, tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert parent.stdout is not None
    number = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.send_signal(sign)
    parent.wait(10)
    parent.stdout.close()
    for _ in range(500):
        if not _is_alive(number):
            break
        time.sleep(0.01)
    assert not _is_alive(number)
    if sign == signal.SIGINT:  # after SIGKILL, the next process sweeps it up
        assert list(tmp_path.iterdir()) == []


def _is_alive(number: int) -> bool:
    """Say whether a process runs; one that nobody waits for may be left as a zombie."""
    try:
        status = Path(f"/proc/{number}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def number_of(program: Any) -> int:
    """Return the number of the process that runs a program."""
    return int(program._process._process.pid)


def test_a_process_runs_one_program_after_another() -> None:
    """With the draws, the messages and the errors of a new one."""
    with loaded() as program:
        first = number_of(program)
        expected = program.sample(QUICK, progress=False).stan_variable("x")
    with Stanli().load(MATRIX, {}) as program:
        assert number_of(program) == first
        program.sample(QUICK, progress=False)
    with loaded(scale=1.0) as program, loaded() as other:
        assert number_of(program) == first != number_of(other)
        found = other.sample(QUICK, progress=False).stan_variable("x")
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(EngineError, match="nrmal"):
        with loaded(StanProgram("x", "parameters {real x;} model {x ~ nrmal(0, 1);}")):
            pass


def test_no_more_processes_wait_than_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_MOST_WAITING", 1)
    with loaded() as one, loaded() as other:
        numbers = number_of(one), number_of(other)
    assert [_is_alive(each) for each in numbers] == [True, False]


def test_a_process_that_failed_runs_no_other_program() -> None:
    with loaded() as program:
        first = number_of(program)
        with pytest.raises(SpecError):
            program.sample(replace(QUICK, inits={"s": -1.0}), progress=False)
    assert not _is_alive(first)
    with suppress(KeyError), loaded() as program:
        second = number_of(program)
        raise KeyError
    assert not _is_alive(second)


def test_a_process_that_dies_or_leaves_while_it_waits_is_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with loaded() as program:
        first = number_of(program)
    os.kill(first, signal.SIGKILL)
    with loaded() as program:
        assert number_of(program) != first
        assert np.isfinite(program.log_density(np.zeros((1, 4))).values).all()
        first = number_of(program)
    monkeypatch.syspath_prepend("/somewhere/else")
    with loaded() as program:
        assert number_of(program) != first
    assert not _is_alive(first)


def test_a_process_that_has_taken_much_memory_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "_print_into", lambda file: None)
    for taken, is_fit in ((299.0, True), (301.0, False)):
        megabytes = iter([50.0, 50.0 + taken])
        monkeypatch.setattr(child, "_megabytes", lambda found=megabytes: next(found))
        assert child._Session().rest() == {"is_fit": is_fit}
    monkeypatch.setattr(running.Child, "rest", lambda self: False)
    with loaded() as program:
        first = number_of(program)
    assert not _is_alive(first)


WAITING = """
import os, sys, time
from stanpool.engine.interpreter import child, running, waiting
from stanpool.engine.interpreter.engine import Stanli
from stanpool.engine.values.program import StanProgram
program = StanProgram("x", "parameters {real x;} model {x ~ std_normal();}")
with Stanli().load(program, {}) as loaded:
    number = loaded._process._process.pid
print(number, flush=True)
if sys.argv[1] == "fork":
    if os.fork() == 0:
        with Stanli().load(program, {}) as loaded:
            assert loaded._process._process.pid != number
        time.sleep(20)
        os._exit(0)
if sys.argv[1] != "end":
    time.sleep(20)
"""


@pytest.mark.parametrize("how", ["end", "kill", "interrupt", "fork"])
def test_a_process_that_waits_ends_with_its_parent(how: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", WAITING, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    try:
        assert parent.stdout is not None
        number = int(parent.stdout.readline())
        time.sleep(0.3)  # in which a forked process lets go of it
        if how != "end":
            parent.send_signal(signal.SIGINT if how == "interrupt" else signal.SIGKILL)
        parent.wait(10)
        for _ in range(500):
            if not _is_alive(number):
                break
            time.sleep(0.01)
        assert not _is_alive(number)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(parent.pid, signal.SIGKILL)  # what was forked, too
        parent.communicate()


IMPATIENT = """
from stanpool.engine.interpreter import child
child._PATIENCE_SECONDS = 0.05
child.main()
"""


def test_a_process_waits_for_a_while_only() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", IMPATIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write('{"do": "rest"}\n')
        process.stdin.flush()
        assert process.stdout.readline() == '{"is_fit": true}\n'
        assert process.wait(20) == 0


def test_stanli_that_is_absent_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "find_spec", lambda name: None)
    why_not = interpreter._why_not_here.__wrapped__
    monkeypatch.setattr(interpreter, "_why_not_here", why_not)
    with pytest.raises(EngineError, match=r"not installed.*engine='cmdstan'"):
        with loaded():
            pass
    assert "pip install stanli" in Stanli().why_not()


def test_another_version_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "version", lambda name: "0.31.0")
    found = interpreter._why_not_here.__wrapped__()
    assert "stanli 0.31.0 is installed" in found
    assert "engine='cmdstan'" in found


def test_a_library_that_does_not_load(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "stanli.py").write_text("raise OSError('libstanli.so: cannot open')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EngineError, match=r"cannot be loaded: libstanli.*reinstall"):
        with loaded():
            pass


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with loaded() as program:
        monkeypatch.setattr(running, "has_no_room", lambda folder: True)
        os.kill(program._process._process.pid, signal.SIGKILL)
        with pytest.raises(EngineError, match=r"are free in .* TMPDIR"):
            program.sample(QUICK, progress=False)


def test_python_without_an_executable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "sys", SimpleNamespace(executable=None, path=[]))
    with pytest.raises(EngineError, match="does not know its executable"):
        with loaded():
            pass
