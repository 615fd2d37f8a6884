"""Which engine runs a fit, and what happens when it fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import stanpool as sp
from golden.catalogue import small_data
from stanpool.base.errors import CompileError, EngineError, SamplingError, SpecError
from stanpool.engine.cmdstan import timings
from stanpool.engine.cmdstan.engine import CmdStan
from stanpool.engine.cmdstan.timings import COMPILING, STANS_OWN, gain_by
from stanpool.engine.interpreter import engine as interpreter
from stanpool.engine.interpreter.engine import InterpretedProgram
from stanpool.engine.values.program import StanProgram
from stanpool.engine.values.settings import SampleSettings
from stanpool.sampling import choose_engine as choosing
from stanpool.sampling.choose_engine import (
    Choice,
    Estimate,
    choose_engine,
    compile_if_it_pays,
    remember_gain,
    requested_engine,
)
from stanpool.sampling.settings import settings_of
from stanpool.studies.many.fit_all import fit_all

PROGRAM = StanProgram("x", "parameters { real x; } model { x ~ std_normal(); }")
SETTINGS = SampleSettings(seed=1)


@pytest.fixture(autouse=True)
def nothing_is_measured_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "_MEASURED", type(choosing._MEASURED)())


@pytest.fixture(autouse=True)
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the choice to stanpool, with CmdStan there and nothing compiled, ever."""
    monkeypatch.setattr(timings, "_kept", dict)
    monkeypatch.setattr(choosing, "remember", lambda what, value: None)
    for variable in ("STANPOOL_ENGINE", "STANPOOL_CMDSTAN", "CMDSTAN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(choosing, "find_compiled", lambda program: None)
    monkeypatch.setattr(choosing, "is_ready_to_compile", lambda: True)


def test_what_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cmdstan", "stanli"):
        settings = SampleSettings(seed=1, engine=name)
        monkeypatch.setenv("STANPOOL_ENGINE", "cmdstan")
        assert choose_engine(PROGRAM, {}, settings).name == name
        monkeypatch.setenv("STANPOOL_ENGINE", name)
        choice = choose_engine(PROGRAM, {}, SETTINGS)
        assert (choice.name, choice.is_free) == (name, False)
        assert "STANPOOL_ENGINE" in choice.reason


def test_a_cmdstan_that_the_user_names_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CMDSTAN", str(tmp_path))
    choice = choose_engine(PROGRAM, {}, SETTINGS)
    assert (choice.name, choice.is_free) == ("cmdstan", False)
    assert "variable CMDSTAN names" in choice.reason


def test_embedded_is_a_cmdstan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANPOOL_ENGINE", "embedded")
    assert requested_engine(SETTINGS)[0] == "cmdstan"


def test_an_unknown_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANPOOL_ENGINE", "stanly")
    with pytest.raises(SpecError, match=r"STANPOOL_ENGINE='stanly'.*mean 'stanli'"):
        requested_engine(SETTINGS)
    model = sp.Model("y ~ 1", {"y": [1.0, 2, 4]}, pooling="complete")
    with pytest.raises(SpecError, match="engine='jax' is not one of"):
        model.fit(engine="jax")


def test_an_executable_is_taken_if_there_is_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(choosing, "find_compiled", lambda program: tmp_path)
    choice = choose_engine(PROGRAM, {}, SETTINGS)
    assert (choice.name, choice.is_free) == ("cmdstan", True)
    assert "compiled already" in choice.reason


@pytest.mark.parametrize(
    ("gradient", "header", "ready", "fits", "expected"),
    [
        # 4 chains of 2000 iterations on 2 cores are 80,000 gradients in a row.
        (
            1.0,
            "",
            True,
            1,
            "stanli",
        ),  # however long: it is no faster compiled
        (0.65e-3, "c++", True, 1, "cmdstan"),  # 52 s against 25 + 26
        (0.6e-3, "c++", True, 1, "stanli"),  # 48 s against 25 + 24
        (1e-3, "c++", False, 1, "stanli"),  # 80 s against 125 + 40
        (1e-4, "c++", True, 10, "cmdstan"),  # 80 s in ten fits
    ],
)
def test_the_engine_that_is_done_first(
    gradient: float,
    header: str,
    ready: bool,
    fits: int,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(choosing, "usable_cores", lambda: 2)
    monkeypatch.setattr(choosing, "is_ready_to_compile", lambda: ready)
    monkeypatch.setattr(InterpretedProgram, "gradient_seconds", lambda self: gradient)
    program = StanProgram("x", PROGRAM.source, header=header)
    choice = choose_engine(program, {}, SETTINGS, fits=fits)
    assert choice.name == expected
    assert f"about {choosing._GRADIENTS} per iteration" in choice.reason


def test_what_cannot_be_compiled_is_interpreted_however_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(InterpretedProgram, "gradient_seconds", lambda self: 1.0)
    monkeypatch.setattr(CmdStan, "why_not", lambda self: "there is no wheel")
    program = StanProgram("x", PROGRAM.source, header="c++")
    choice = choose_engine(program, {}, SETTINGS)
    assert choice.name == "stanli"
    assert choice.reason.endswith("but there is no CmdStan for this platform")


def test_the_rule_is_said_in_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "usable_cores", lambda: 4)
    settings = SampleSettings(seed=1, chains=3, draws=500, warmup=500)
    program = StanProgram("x", PROGRAM.source, header="c++")
    assert Estimate.of(program, settings, 3e-4, 1).words == (
        "since the interpreted program takes 0.3 ms for a gradient, and 6 s to sample "
        "(20,000 gradients one after the other, about 20 per iteration); compiling "
        "takes 25 s (as measured on another machine), and sampling then about 3 s (2 "
        "times as fast, as assumed)"
    )


def test_the_rule_takes_what_this_machine_took(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "usable_cores", lambda: 4)
    monkeypatch.setattr(choosing, "is_ready_to_compile", lambda: False)
    name = "grouped_poisson_log_glm"
    kept = {COMPILING: [9.0, 80.0, 10.0], gain_by(name): [2.0] * 5}
    monkeypatch.setattr(timings, "_kept", lambda: kept)
    source = f"{PROGRAM.source} // calls {name}_lpmf"
    program = StanProgram("x", source, header="c++")
    found = Estimate.of(program, SETTINGS, 0.01, 1)  # 40,000 gradients
    assert (found.interpreted, found.compiled) == (400, 100 + 10 + 200)
    assert found.words.endswith(
        "setting CmdStan up takes 100 s (as measured on another machine), compiling "
        "takes 10 s (as measured on this machine), and sampling then about 200 s (2 "
        "times as fast, as measured on this machine)"
    )


def test_a_fit_that_was_compiled_since_it_pays_says_what_was_gained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = {}
    monkeypatch.setattr(choosing, "remember", kept.__setitem__)
    # 4 chains of 1000 draws with 10 gradients each, in 8 s: 0.2 ms a gradient.
    gradients = SimpleNamespace(sampler_variable=lambda name: np.full((4, 1000), 10.0))
    raw: Any = SimpleNamespace(after_warmup=gradients, seconds_sampling=np.full(4, 2.0))
    chosen = Choice(CmdStan(), "", is_free=True, gradient=1e-3)
    remember_gain(chosen, PROGRAM, SETTINGS, raw)
    assert kept == {gain_by(STANS_OWN): pytest.approx(5.0)}
    # One that was compiled already has no gradient of an interpreted program.
    kept.clear()
    remember_gain(Choice(CmdStan(), "", is_free=True), PROGRAM, SETTINGS, raw)
    assert not kept


def test_a_program_that_stanli_cannot_run_is_compiled() -> None:
    refused = StanProgram("x", "data { int N; } parameters { real x; }")
    choice = choose_engine(refused, {}, SETTINGS)
    assert (choice.name, choice.is_free) == ("cmdstan", True)
    assert choice.reason.startswith("since stanli cannot run the program: ")
    assert "\n" not in choice.reason


def test_settings_that_stanli_does_not_take() -> None:
    options = (("save_warmup", True),)
    settings = SampleSettings(seed=1, sample_options=options)
    assert choose_engine(PROGRAM, {}, settings).name == "cmdstan"
    asked = SampleSettings(seed=1, sample_options=options, engine="stanli")
    with pytest.raises(SpecError, match=r"does not support.*'save_warmup'"):
        choose_engine(PROGRAM, {}, asked)


def test_without_stanli_programs_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = "stanli is not installed. Install it."
    monkeypatch.setattr(interpreter, "_why_not_here", lambda: missing)
    choice = choose_engine(PROGRAM, {}, SETTINGS)
    assert (choice.name, choice.reason) == ("cmdstan", f"since {missing[:-1]}")
    with pytest.raises(EngineError, match="not installed"):
        choose_engine(PROGRAM, {}, SampleSettings(seed=1, engine="stanli"))


class _Compiler:
    """CmdStan, in whose place stanli samples, or a failure stands."""

    name = "cmdstan"

    def __init__(self, problem: Exception | None = None) -> None:
        self._problem = problem

    def load(self, program: StanProgram, data: Any, *, progress: bool) -> Any:
        if self._problem:
            raise self._problem
        return interpreter.Stanli().load(program, data)


@pytest.fixture
def model() -> sp.Model:
    """Return a model whose likelihood is Stan's own: of reduced rows."""
    options = {"parameterization": "noncentered", "compress": True}
    return sp.Model("y ~ x1 + (1 | g)", small_data(), **options)


def _killed(
    method: Callable[..., Any], blow: signal.Signals = signal.SIGKILL
) -> Callable[..., Any]:
    """Return a method that asks a process that has been killed, the first time."""
    killed: list[int] = []

    def ask_killed(self: InterpretedProgram, *args: Any, **options: Any) -> Any:
        if not killed:
            killed.append(self._process._process.pid)
            os.kill(killed[0], blow)
        return method(self, *args, **options)

    return ask_killed


QUICK: dict[str, Any] = {"chains": 2, "draws": 100, "warmup": 200, "seed": 1}


def test_the_fit_says_which_engine_it_was(model: sp.Model) -> None:
    fit = model.fit(**QUICK, progress=False)
    assert fit.engine["name"] == "stanli"
    assert fit.engine["stanli"].startswith("0.24.")
    again = model.fit(**QUICK, progress=False, engine="stanli")
    assert np.array_equal(fit.posterior["sigma"], again.posterior["sigma"])
    assert model.explain().splitlines()[-1].startswith("engine: stanli, since the i")


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGSEGV])
@pytest.mark.parametrize("name", ["sample", "log_density", "gradient_seconds"])
def test_what_stanli_crashes_on_is_compiled(
    name: str,
    blow: signal.Signals,
    model: sp.Model,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Wherever it crashes: when it is timed, compared, or samples."""
    method = _killed(getattr(InterpretedProgram, name), blow)
    monkeypatch.setattr(InterpretedProgram, name, method)
    for place in ("sample", "choose_engine"):
        monkeypatch.setattr(f"stanpool.sampling.{place}.CmdStan", _Compiler)
    fit = model.fit(**QUICK)
    assert fit.posterior.sizes["draw"] == 100
    said = capsys.readouterr().err
    is_timed = name == "gradient_seconds"
    words = "program is compiled, since" if is_timed else "stanli failed, so the"
    assert words in said
    assert blow.name in said


def test_a_crash_where_stanli_was_asked_for_is_an_error(
    model: sp.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = _killed(InterpretedProgram.sample)
    monkeypatch.setattr(InterpretedProgram, "sample", sample)
    with pytest.raises(EngineError, match="SIGKILL"):
        model.fit(**QUICK, engine="stanli", progress=False)


def test_both_failures_are_said(
    model: sp.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = _killed(InterpretedProgram.sample)
    monkeypatch.setattr(InterpretedProgram, "sample", sample)
    no_compiler = _Compiler(CompileError("there is no compiler"))
    monkeypatch.setattr("stanpool.sampling.sample.CmdStan", lambda: no_compiler)
    words = r"no compiler\nBefore that, stanli failed: .*SIGKILL"
    with pytest.raises(CompileError, match=words):
        model.fit(**QUICK, progress=False)


def test_chains_that_cannot_start_are_not_tried_again(model: sp.Model) -> None:
    with pytest.raises(SpecError, match="sigma"):
        model.fit(**QUICK, inits={"sigma": -1.0}, progress=False)
    with pytest.raises(SamplingError, match=r"Initialization|finite"):
        model.fit(**QUICK, inits={"sigma": 1e-300}, progress=False)


def test_a_kept_fit_is_taken_whatever_made_it_unless_an_engine_is_asked_for(
    model: sp.Model,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = tmp_path / "kept"
    first = model.fit(**QUICK, file=place, engine="stanli", progress=False)
    again = model.fit(**QUICK, file=place)
    assert "nothing has changed" in capsys.readouterr().err
    assert dict(again.engine) == dict(first.engine)

    def refuse(*_: Any, **__: Any) -> None:
        raise SamplingError("not now")

    monkeypatch.setattr("stanpool.sampling.saving.storage.sample_model", refuse)
    with pytest.raises(SamplingError, match="not now"):
        model.fit(**QUICK, file=place, engine="cmdstan")
    assert "engine was 'stanli' and is 'cmdstan'" in capsys.readouterr().err


def test_models_that_are_compared_are_run_by_one_engine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = small_data().assign(y=lambda rows: (rows["y"] > 0).astype(int))
    model = sp.Model("y ~ x1 + (1 | g)", data, family="bernoulli")
    models = {
        "a": model.with_(parameterization="noncentered"),
        "b": model.with_(parameterization="centered"),
    }
    assert models["a"].program.header
    compiled = {models["a"].program.name}
    monkeypatch.setattr(
        choosing,
        "find_compiled",
        lambda program: tmp_path if program.name in compiled else None,
    )
    built: list[StanProgram] = []
    monkeypatch.setattr(
        choosing, "compile_programs", lambda programs, progress: built.extend(programs)
    )
    monkeypatch.setattr(choosing, "executable_of", lambda program, progress: tmp_path)
    settings = {name: settings_of(each, **QUICK) for name, each in models.items()}
    both = [(each, settings[name]) for name, each in models.items()]

    # One of two happens to be compiled, and it does not pay to wait for the other.
    fits = fit_all(models, **QUICK, progress=False)
    assert [each.engine["name"] for each in fits.values()] == ["stanli", "stanli"]
    assert not built
    # Where both are, they are run as they are.
    compiled.add(models["b"].program.name)
    assert compile_if_it_pays(both, progress=False).name == "cmdstan"
    # Where it pays for one, both are compiled.
    compiled.clear()
    monkeypatch.setattr(
        choosing.Estimate, "compiling_pays", property(lambda self: True)
    )
    built.clear()
    assert compile_if_it_pays(both, progress=False).name == "cmdstan"
    assert [each.name for each in built] == [each.program.name for each, _ in both]


def test_a_program_that_is_no_faster_compiled_is_not_loaded_to_choose(
    model: sp.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not model.program.header
    monkeypatch.setattr(
        interpreter.Stanli, "load", lambda *_: pytest.fail("it was loaded")
    )
    asked = [(model, settings_of(model, **QUICK))]
    assert compile_if_it_pays(asked, progress=False).name == "stanli"
    # Where stanli cannot do what is asked for, it is compiled.
    built: list[StanProgram] = []
    monkeypatch.setattr(
        choosing, "compile_programs", lambda programs, progress: built.extend(programs)
    )
    monkeypatch.setattr(choosing, "executable_of", lambda program, progress: None)
    options = {"sample_options": {"save_warmup": True}, **QUICK}
    asked = [(model, settings_of(model, **options))]
    assert compile_if_it_pays(asked, progress=False).name == "cmdstan"
    assert built == [model.program]


def test_fits_measure_a_gradient_once_and_those_of_a_study_never(
    model: sp.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = []

    def measure(self: InterpretedProgram) -> float:
        measured.append(1e-4 if not measured else 10.0)
        return measured[-1]

    monkeypatch.setattr(InterpretedProgram, "gradient_seconds", measure)
    fits = fit_all({"a": model, "again": model}, **QUICK, progress=False)
    assert [each.engine["name"] for each in fits.values()] == ["stanli", "stanli"]
    assert len(measured) == 0  # the study has chosen for all of them
    alone = [model.fit(**QUICK, progress=False) for _ in range(2)]
    assert [each.engine["name"] for each in alone] == ["stanli", "stanli"]
    assert len(measured) == 1
    # Another data set of the same sizes takes as long; of other sizes, it does not.
    model.take(range(len(model.data) - 1)).fit(**QUICK, progress=False, engine="stanli")
    assert len(measured) == 1


def test_trajectories_are_short_where_coefficients_are_integrated_out(
    model: sp.Model,
) -> None:
    frame = model.data
    forms = {"marginal": 8, "noncentered": 20, "centered": 20}
    for form, expected in forms.items():
        own = sp.Model("y ~ 1 + (1 | g)", frame, parameterization=form)
        assert choosing.per_iteration(own.program) == expected
    complete = sp.Model("y ~ 1", frame, pooling="complete")
    assert choosing.per_iteration(complete.program) == 8


def test_approximations_have_no_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choosing, "is_ready_to_compile", lambda: True)
    settings = SampleSettings(seed=1, chains=1, warmup=0, method="pathfinder")
    found = Estimate.of(PROGRAM, settings, 1e-4, 1)
    assert found.interpreted == pytest.approx(3.0)
    assert "iteration" not in found.words
