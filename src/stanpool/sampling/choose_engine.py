"""Which engine runs a fit: the one that is asked for, or that is done first.

A compiled program samples at full speed, and compiling takes most of a minute. stanli
begins at once. Without a wish, a fit takes the executable if there is one; else the
time of a few gradients of the interpreted program says whether compiling would pay.
"""

from __future__ import annotations

import math
import os
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from stanpool.base.errors import EngineError, SpecError, quote, quote_list, suggestion
from stanpool.base.options import EngineChoice, EngineName
from stanpool.base.progress import tell
from stanpool.base.system.parallel import usable_cores
from stanpool.density.parameters import declared_names
from stanpool.engine.cmdstan.compile import (
    cmdstanpy_model,
    compile_programs,
    executable_of,
    find_compiled,
)
from stanpool.engine.cmdstan.engine import CmdStan
from stanpool.engine.cmdstan.timings import (
    COMPILING,
    SETTING_UP,
    STANS_OWN,
    Known,
    gain_by,
    known,
    remember,
)
from stanpool.engine.install.home import cmdstan_variable, is_ready_to_compile
from stanpool.engine.interface import Engine, LoadedProgram
from stanpool.engine.interpreter.engine import InterpretedProgram, Stanli
from stanpool.engine.study import StudyEngine
from stanpool.engine.values.draws import RawDraws
from stanpool.engine.values.program import StanProgram
from stanpool.engine.values.settings import SampleSettings
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.program.render import LIKELIHOODS, functions_in_cpp

if TYPE_CHECKING:
    import cmdstanpy

_VARIABLE = "STANPOOL_ENGINE"

# Gradients per iteration, over warm-up and sampling. Trajectories have 7 to 31 steps
# where groups' coefficients are among the parameters: 9 gradients of the cbpp data, 16
# of verbagg, 30 of radon with slopes. Where none are, the few parameters are nearly
# normal: 5 of radon, 8 with slopes.
_GRADIENTS, _GRADIENTS_OF_FEW = 20, 8
_SHORTEST = 1e-7  # seconds of a gradient
_OF_GROUPS = re.compile(r"(z|b|b_c)(_\d+)?|z_sigma|scores")
# Evaluations of the log density by approximations: paths of a few hundred steps with 25
# draws at each; and a mode with some thousand draws around it.
_EVALUATIONS = {"pathfinder": 30_000, "laplace": 5_000, "optimize": 5_000}


@dataclass(frozen=True)
class Choice:
    """Which engine runs a fit.

    Attributes
    ----------
    engine
        The engine.
    reason
        Why, in words that may follow "engine: stanli, ".
    is_free
        Whether the other engine may take its place.
    gradient
        Seconds that a gradient of the interpreted program takes, if that was measured.
    """

    engine: Engine
    reason: str
    is_free: bool
    gradient: float | None = None

    @property
    def name(self) -> EngineName:
        """What the engine is called."""
        return self.engine.name


def choose_engine(
    program: StanProgram,
    data: Mapping[str, Any],
    settings: SampleSettings,
    *,
    fits: int = 1,
    ignore_compiled: bool = False,
) -> Choice:
    """Say which engine runs fits of a program, without running or compiling any.

    Parameters
    ----------
    program, data, settings
        What is fitted, and how.
    fits
        How many fits there are.
    ignore_compiled
        Whether to choose as if the program had never been compiled.
    """
    with ExitStack() as stack:
        return _choose(
            program, data, settings, fits, stack, ignore_compiled=ignore_compiled
        )[0]


def compile_if_it_pays(
    models: Iterable[tuple[PreparedModel, SampleSettings]],
    *,
    fits: int = 1,
    progress: bool,
) -> StudyEngine:
    """Compile the programs of models that are to be fitted, unless stanli is as fast.

    All are then fitted by one engine, so that their speeds can be compared: if it pays
    to compile one of them, all are compiled; if it pays for none, those that happen to
    be compiled are interpreted as well, unless all of them are.

    Parameters
    ----------
    models
        What is fitted, and how.
    fits
        How many fits of each there are.
    progress
        Whether to show what is under way.

    Returns
    -------
    StudyEngine
        The engine of all fits.
    """
    models = list(models)
    programs = [model.program for model, _ in models]
    some_lack = any(find_compiled(each) is None for each in programs)
    if all(_is_interpreted(*each, fits, some_lack) for each in models):
        return StudyEngine("stanli")
    compile_programs(programs, progress=progress)
    for each in programs:
        executable_of(each, progress=progress)
    return StudyEngine("cmdstan", tuple(dict.fromkeys(programs)))


def _is_interpreted(
    model: PreparedModel, settings: SampleSettings, fits: int, ignore_compiled: bool
) -> bool:
    """Say whether stanli runs fits of a model.

    A program that is no faster compiled is not loaded for that: should stanli refuse
    it, the fit compiles it.
    """
    may_be_compiled = model.program.header or not ignore_compiled
    is_free = requested_engine(settings)[0] == "auto"
    if is_free and not may_be_compiled and not Stanli().why_not(settings):
        return True
    choice = choose_engine(
        model.program,
        model.stan_data(),
        settings,
        fits=fits,
        ignore_compiled=ignore_compiled,
    )
    return choice.name == "stanli"


def compile_model(
    model: PreparedModel, *, progress: bool = True
) -> cmdstanpy.CmdStanModel:
    """Compile the program of a model through CmdStan, or take it from the cache.

    Later fits of the same structure, whatever their data, take the executable.

    Parameters
    ----------
    model
        The model.
    progress
        Whether to show progress, on standard error.

    Returns
    -------
    cmdstanpy.CmdStanModel
        To be used with ``model.stan_data()``. Its ``exe_file`` is the path of the
        executable, which CmdStan's command line takes.

    Raises
    ------
    CompileError, EngineError
        If CmdStan could not be set up, or the program not be compiled.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.complete_pooling(sp.load_dataset("radon"), outcome="log_radon")
    >>> compiled = model.compile()  # doctest: +SKIP
    >>> compiled.sample(model.stan_data(), seed=1)  # doctest: +SKIP
    """
    return cmdstanpy_model(model.program, progress=progress)


@contextmanager
def opened(
    program: StanProgram,
    data: Mapping[str, Any],
    settings: SampleSettings,
    *,
    of_study: StudyEngine | None = None,
    progress: bool,
) -> Iterator[tuple[Choice, LoadedProgram]]:
    """Load a program with the engine that is to run it.

    Parameters
    ----------
    program, data, settings
        What is fitted, and how.
    of_study
        The engine that runs all fits of a study, if nobody asks for another one.
    progress
        Whether to show what is under way.
    """
    with ExitStack() as stack:
        if of_study is not None and requested_engine(settings)[0] == "auto":
            engine = CmdStan() if of_study.name == "cmdstan" else Stanli()
            choice = Choice(engine, "as for all fits of the study", is_free=True)
            loaded = None
        else:
            choice, loaded = _choose(
                program, data, settings, 1, stack, progress=progress
            )
        if loaded is None:
            loading = choice.engine.load(program, data, progress=progress)
            loaded = stack.enter_context(loading)
        yield choice, loaded


def requested_engine(settings: SampleSettings) -> tuple[EngineChoice, str]:
    """Return the engine that is asked for, and by what.

    Raises
    ------
    SpecError
        If the environment variable names none.
    """
    if settings.engine != "auto":
        return settings.engine, "as requested"
    named = os.environ.get(_VARIABLE, "").strip()
    if named == "embedded":
        return "cmdstan", f"since {_VARIABLE}=embedded asks for the embedded CmdStan"
    for name in get_args(EngineChoice):
        if named == name != "auto":
            return name, f"since the environment variable {_VARIABLE} says so"
    if named not in ("", "auto"):
        choices = [*get_args(EngineChoice), "embedded"]
        raise SpecError(
            f"the environment variable {_VARIABLE}={quote(named)} names no engine: it "
            f"may be {quote_list(choices)}.{suggestion(named, choices)}"
        )
    if variable := cmdstan_variable():
        return "cmdstan", f"since the environment variable {variable} names a CmdStan"
    return "auto", ""


def _choose(
    program: StanProgram,
    data: Mapping[str, Any],
    settings: SampleSettings,
    fits: int,
    stack: ExitStack,
    *,
    ignore_compiled: bool = False,
    progress: bool = False,
) -> tuple[Choice, LoadedProgram | None]:
    """Choose, and return the program if it is loaded already, until ``stack`` ends."""
    asked, by = requested_engine(settings)
    if asked == "stanli":
        if problem := Stanli().why_not():
            raise EngineError(problem)
        if problem := Stanli().why_not(settings):
            raise SpecError(problem)
        return Choice(Stanli(), by, is_free=False), None
    if asked == "cmdstan":
        return Choice(CmdStan(), by, is_free=False), None
    if not ignore_compiled and find_compiled(program) is not None:
        reason = "since the program is compiled already"
        return Choice(CmdStan(), reason, is_free=True), None
    if problem := Stanli().why_not(settings):
        return Choice(CmdStan(), f"since {_clause(problem)}", is_free=True), None
    with ExitStack() as trial:
        try:
            loaded = trial.enter_context(Stanli().load(program, data))
            seconds = _gradient_seconds(program, data, loaded)
        except EngineError as problem:
            reason = f"since {_clause(str(problem))}"
            tell(f"The program is compiled, {reason}", shown=progress)
            return Choice(CmdStan(), reason, is_free=True), None
        estimate = Estimate.of(program, settings, seconds, fits)
        reason = estimate.words
        if estimate.compiling_pays and not CmdStan().why_not():
            return Choice(CmdStan(), reason, is_free=True, gradient=seconds), None
        if estimate.compiling_pays:
            reason += ", but there is no CmdStan for this platform"
        stack.enter_context(trial.pop_all())
        return Choice(Stanli(), reason, is_free=True), loaded


# What was measured last, by program and the sizes of its data: a study chooses the
# engine for all its fits, and each of these by the same time, which is measured once.
_MEASURED: OrderedDict[tuple[Any, ...], float] = OrderedDict()
_MOST_MEASURED = 100


def _gradient_seconds(
    program: StanProgram, data: Mapping[str, Any], loaded: InterpretedProgram
) -> float:
    """Return how long a gradient takes, measured now or before in this process."""
    key = (program.digest, *((name, np.shape(each)) for name, each in data.items()))
    if key not in _MEASURED:
        _MEASURED[key] = loaded.gradient_seconds()
        if len(_MEASURED) > _MOST_MEASURED:
            _MEASURED.popitem(last=False)
    return _MEASURED[key]


def _clause(problem: str) -> str:
    """Return the first line of a message, short enough for one of ours."""
    return problem.splitlines()[0][:200].rstrip(".")


@dataclass(frozen=True)
class Estimate:
    """How long fits take, interpreted and compiled.

    Attributes
    ----------
    gradient
        Seconds that a gradient of the interpreted program takes.
    gradients
        How many follow each other: those of all chains that wait for a core.
    gain
        How many times as fast the compiled program is.
    compiling, setting_up
        Seconds to compile it, and before that to set CmdStan up; None if that is done.
    per_iteration
        How many gradients an iteration takes; None where there are no iterations.
    """

    gradient: float
    gradients: int
    gain: Known
    compiling: Known
    setting_up: Known | None
    per_iteration: int | None

    @classmethod
    def of(
        cls, program: StanProgram, settings: SampleSettings, gradient: float, fits: int
    ) -> Estimate:
        """Estimate from the time of a gradient."""
        at_once = min(settings.parallel_chains or usable_cores(), settings.chains)
        waves = math.ceil(settings.chains / at_once)
        iterations = settings.warmup + settings.draws
        each = per_iteration(program) if settings.method == "nuts" else None
        of_one = _EVALUATIONS.get(settings.method, waves * iterations * (each or 0))
        return cls(
            gradient,
            fits * of_one,
            known(gain_by(_kind_of(program))),
            known(COMPILING),
            None if is_ready_to_compile() else known(SETTING_UP),
            each,
        )

    @property
    def interpreted(self) -> float:
        """Seconds of sampling with stanli."""
        return self.gradients * self.gradient

    @property
    def compiled(self) -> float:
        """Seconds until there is a program, and of sampling with it."""
        before = self.compiling.value
        if self.setting_up:
            before += self.setting_up.value
        return before + self.interpreted / self.gain.value

    @property
    def compiling_pays(self) -> bool:
        """Whether the compiled program is expected to be done first."""
        return self.compiled < self.interpreted

    @property
    def words(self) -> str:
        """The rule in numbers."""
        after = _time(self.interpreted / self.gain.value)
        often = f"about {self.per_iteration} per iteration"
        if self.per_iteration is None:
            often = "about as many as an approximation takes"
        until = f"compiling takes {_time(self.compiling.value)} ({self.compiling.how})"
        if self.setting_up:
            first = f"{_time(self.setting_up.value)} ({self.setting_up.how})"
            until = f"setting CmdStan up takes {first}, {until}"
        return (
            f"since the interpreted program takes {_time(self.gradient)} for a "
            f"gradient, and {_time(self.interpreted)} to sample ({self.gradients:,} "
            f"gradients one after the other, {often}); {until}, and sampling then "
            f"about {after} ({self.gain.value:.2g} times as fast, {self.gain.how})"
        )


def _kind_of(program: StanProgram) -> str:
    """Return the function in C++ that is the likelihood, or ``STANS_OWN``."""
    called = functions_in_cpp(program)
    likelihoods = [name for name in called if name in LIKELIHOODS]
    if likelihoods:
        return likelihoods[0]
    return STANS_OWN if called or not program.header else ""


def remember_gain(
    choice: Choice, program: StanProgram, settings: SampleSettings, raw: RawDraws
) -> None:
    """Keep how many times as fast a program ran that was compiled to save time.

    Parameters
    ----------
    choice, program, settings, raw
        What was chosen to run it, the program, how it was run, and the draws.
    """
    is_measured = settings.method == "nuts" and settings.thin == 1
    if choice.name != "cmdstan" or choice.gradient is None or not is_measured:
        return
    gradients = raw.after_warmup.sampler_variable("n_leapfrog__").sum()
    compiled = float(raw.seconds_sampling.sum() / gradients)
    remember(gain_by(_kind_of(program)), choice.gradient / max(compiled, _SHORTEST))


def per_iteration(program: StanProgram) -> int:
    """Return how many gradients an iteration takes, about.

    Parameters
    ----------
    program
        The program, whose parameters tell.
    """
    names = declared_names(program.source)
    has_groups = any(_OF_GROUPS.fullmatch(name) for name in names)
    return _GRADIENTS if has_groups or not names else _GRADIENTS_OF_FEW


def _time(seconds: float) -> str:
    """Write a time with two significant digits.

    Examples
    --------
    >>> _time(0.000123), _time(12.34)
    ('0.12 ms', '12 s')
    """
    value, unit = (seconds, "s") if seconds >= 0.1 else (1e3 * seconds, "ms")
    return f"{value:,.0f} {unit}" if value >= 10 else f"{value:.2g} {unit}"
