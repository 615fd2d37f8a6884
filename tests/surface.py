"""Every public function with every kind of wrong argument.

What is public is read from the modules, and what each takes from its signature, so
that a new function is here by itself. A call may return, or raise a StanpoolError;
anything else is somebody else's exception, and a fault.

``python tests/surface.py`` goes through all of it, in a quarter of an hour, and prints
the faults and how many calls there were; ``python tests/surface.py predict`` through
the functions with that in their names, and ``python tests/surface.py 1/4`` through the
first of four parts of them.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from signal import SIGALRM, SIGPROF
from typing import Any

import numpy as np
import pandas as pd

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import fit_of_prior, simulated_fit

# Of each kind some; the first are the fast test's.
WRONG: Mapping[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "-1": lambda: -1,
    "1.5": lambda: 1.5,
    "nan": lambda: float("nan"),
    "10**400": lambda: 10**400,
    "empty text": lambda: "",
    "text": lambda: "abc",
    "bytes": lambda: b"abc",
    "a list of None": lambda: [None],
    "object": object,
    "0": lambda: 0,
    "2**31 - 1": lambda: 2**31 - 1,
    "10**30": lambda: 10**30,
    "10**5000": lambda: 10**5000,
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "1e308": lambda: 1e308,
    "5e-324": lambda: 5e-324,
    "1j": lambda: 1j,
    "NUL": lambda: "a\0b",
    "long text": lambda: "x" * 10_000,
    "braces": lambda: "{0} %s $x_{1}$ \\",
    "no list": list,
    "no mapping": dict,
    "no set": set,
    "numbers": lambda: [1, 2],
    "texts": lambda: ["a", "b"],
    "nested": lambda: [["a"], ["b", "c"]],
    "mapping": lambda: {"a": 1},
    "mapping of numbers": lambda: {1: "a"},
    "mapping of lists": lambda: {"school": ["Intercept", 1], "y": [None]},
    "array": lambda: np.array([1.0, np.nan]),
    "object array": lambda: np.array(["a", 1, None], dtype=object),
    "0-d array": lambda: np.array(3),
    "2-d array": lambda: np.zeros((2, 2)),
    "numpy int": lambda: np.int64(-5),
    "numpy nan": lambda: np.float64("nan"),
    "numpy True": lambda: np.True_,
    "numpy text": lambda: np.str_("abc"),
    "function": lambda: lambda: None,
    "range": lambda: range(3),
    "iterator": lambda: iter([1, "a"]),
    "series": lambda: pd.Series([1, 2]),
    "empty frame": pd.DataFrame,
    "frame": lambda: pd.DataFrame({"y": [1, "a"], 2: [None, 3]}),
    "type": lambda: int,
    "path": lambda: Path("/nowhere/at/all"),
    "folder": Path,
    "NaT": lambda: pd.NaT,
    "date": lambda: np.datetime64("2020-01-01"),
    "a fit": lambda: _fit(),
    "a model": lambda: _fit().model,
    "slice": lambda: slice(None),
}
FAST = list(WRONG)[:11]


@cache
def _fit() -> sp.Fit:
    return simulated_fit(chains=2, draws=50)


@cache
def _of_prior() -> sp.Fit:
    model = sp.Model(
        "hits | trials(shots) ~ x1 + (1 + x1 | g)", small_data(), family="binomial"
    )
    return fit_of_prior(model, chains=2, draws=50)


@cache
def _made(name: str) -> Any:
    """Make what methods are called on, and functions on: one of each."""
    from unit.studies.test_calibration import calibration
    from unit.studies.test_scale_priors import comparison

    fit = _fit()
    poolings = {
        name: simulated_fit(pooling=name, chains=2, draws=50)
        for name in ("complete", "none", "partial")
    }
    rows = {name: each.loo() for name, each in poolings.items()}
    from stanpool.studies.many.folder import Record
    from stanpool.studies.pooling.poolings import build_pooling_comparison
    from stanpool.studies.simulation.design_analysis import Simulated, analysis_of

    rng = np.random.default_rng(1)
    schools = sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)", sp.load_dataset("eight_schools")
    )
    counts = {"y": [1, 2, 3, 4], "n": [5, 5, 5, 5], "g": list("aabb")}
    known = sp.exact.known_sigma(schools)
    makers: dict[str, Callable[[], Any]] = {
        "Fit": lambda: fit,
        "Model": lambda: fit.model,
        "CrossValidation": fit.loo,
        "Diagnosis": fit.diagnose,
        "Comparison": lambda: sp.compare_fits({"a": fit, "b": fit}),
        "Ranking": lambda: sp.compare(rows),
        "PoolingComparison": lambda: build_pooling_comparison(poolings, rows, {}),
        "Calibration": calibration,
        "ScalePriorComparison": comparison,
        "Validation": lambda: None,
        "ExactDraws": lambda: known.draw(rng, draws=20),
        "KnownSigmaPosterior": lambda: known,
        "TauPosterior": lambda: known.tau,
        "NormalMixture": lambda: known.mu,
        "NormalPosterior": lambda: sp.exact.normal(
            [1.0, 2.0], mu=0, tau=1, alpha=2, beta=1
        ),
        "BetaBinomialPosterior": lambda: sp.exact.beta_binomial(
            counts, outcome="y", trials="n", group="g", a=1, b=1
        ),
        "GammaPoissonPosterior": lambda: sp.exact.gamma_poisson(
            counts, outcome="y", group="g", shape=1, rate=1
        ),
        "LinearPosterior": lambda: sp.exact.linear(
            sp.Model("y ~ x1", small_data(), pooling="complete")
        ),
        "RatesPosterior": lambda: sp.exact.rates(
            sp.Model(
                "hits | trials(shots) ~ 1 + (1 | g)",
                small_data(),
                family="binomial",
                pooling="none",
            )
        ),
        "Prior": lambda: sp.Prior("normal", (0, 1)),
        "Fits": lambda: sp.Fits(("data",), (Record("a"),), {"a": fit}),
        "DesignAnalysis": lambda: analysis_of(
            "sigma",
            1.0,
            0.9,
            [Simulated(2, 3, 0, 1.0, 1.0, 0.5, 2.0)],
            is_interval=True,
        ),
        "PooledDraws": lambda: sp.PooledDraws.of([fit, fit]),
        "Statistics": lambda: sp.reduce("y ~ x1 + (1 | g)", small_data()),
    }
    return makers[name]()


def _right(name: str, parameter: inspect.Parameter, folder: Path) -> Any:
    """Return a value that is right for an argument that must be given."""
    outcomes = {"exact.beta_binomial": "hits", "exact.gamma_poisson": "count"}
    known: dict[str, Callable[[], Any]] = {
        "formula": lambda: "y ~ x1 + (1 | g)",
        "data": small_data,
        "outcome": lambda: outcomes.get(name, "y"),
        "group": lambda: "g",
        "groups": lambda: ["g"],
        "trials": lambda: 3 if "predictive" in name else "shots",
        "priors": dict,
        "path": lambda: folder / "new",
        "goal": lambda: "sigma",
        "analysis": lambda: _made("DesignAnalysis"),
        "hypotheses": lambda: "sigma < 1",
        "rows": lambda: [0, 1],
        "y": lambda: np.zeros(_fit().model.design.rows),
        "rng": lambda: np.random.default_rng(1),
        "partial": _fit,
        "fits": lambda: {"a": _fit(), "b": _fit()},
        "models": lambda: {"a": _fit(), "b": _fit()},
        "record": dict,
        "result": lambda: _made("CrossValidation"),
        "comparison": lambda: _made("ScalePriorComparison"),
        "poolings": lambda: _made("PoolingComparison"),
        "spec": lambda: _fit().model.spec,
        "other": lambda: None,
        "values": lambda: [1.0],
        "x": lambda: 0.0,
        "tau": lambda: 1.0,
        "probability": lambda: 0.5,
        "sigma2": lambda: 1.0,
        "text": lambda: "normal(0, 1)",
        "draws": lambda: _made("ExactDraws"),
        "source": lambda: "parameters { real x; } model { x ~ normal(0, 1); }",
        "programs": list,
        "executable": lambda: folder / "none",
        "settings": lambda: sp.engine.SampleSettings(seed=1),
        "home": lambda: folder,
        "distribution": lambda: "normal",
        "arguments": lambda: (0, 1),
    }
    if parameter.name in known:
        return known[parameter.name]()
    if parameter.name in ("fit", "model", "calibration"):
        return _made(parameter.name.capitalize())
    return {"float": 1.0, "int": 3, "str": "a"}.get(str(parameter.annotation), 1.0)


# A name, and how to get what is called: its object is made when it is needed.
Call = tuple[str, Callable[[], Callable[..., Any]]]


def public_calls() -> Iterator[Call]:
    """Yield each public function, class with a constructor, and method of a result."""
    for module, prefix in (
        (sp, "sp"),
        (sp.exact, "exact"),
        (sp.plots, "plots"),
        (sp.engine, "engine"),
    ):
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.isfunction(thing):
                yield f"{prefix}.{name}", partial(_itself, thing)
            elif inspect.isclass(thing) and not issubclass(thing, Exception):
                yield from _calls_of_class(f"{prefix}.{name}", thing)


def _calls_of_class(name: str, thing: type) -> Iterator[Call]:
    if thing in (sp.Model, sp.Prior, sp.GroupTerm, sp.engine.SampleSettings):
        yield name, partial(_itself, thing)
    for method, member in inspect.getmembers(thing):
        if method.startswith("_") or not callable(member):
            continue
        if getattr(member, "__module__", "") == Mapping.__module__:  # get, items, ...
            continue
        if inspect.ismethod(member):  # of the class
            yield f"{name}.{method}", partial(_itself, member)
        elif inspect.isfunction(member):
            yield f"{name}.{method}", partial(_method, thing.__name__, method)


def _itself(thing: Any) -> Any:
    return thing


def _method(owner: str, name: str) -> Any:
    return getattr(_made(owner), name)


def wrong_calls(
    name: str, function: Callable[..., Any], folder: Path, kinds: list[str]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield calls with one wrong argument each, and what is wrong in words."""
    parameters = list(inspect.signature(function).parameters.values())
    named = [each for each in parameters if each.kind is not each.VAR_KEYWORD]

    def right() -> dict[str, Any]:
        return {
            each.name: _right(name, each, folder)
            for each in named
            if each.default is each.empty
        } | {each.name: False for each in named if each.name == "progress"}

    changes = [each.name for each in named]
    if len(named) < len(parameters):  # **changes of with_
        changes += list(vars(_fit().model.spec))
    for argument in changes:
        for kind in kinds:
            yield (
                f"{name}({argument}={kind})",
                lambda argument=argument, kind=kind: function(
                    **right() | {argument: WRONG[kind]()}
                ),
            )
    yield f"{name}(no_such=1)", lambda: function(**right(), no_such=1)


class _TooLongError(BaseException):
    """A call has not come back."""


# What a shell can hand on.
WRONG_TEXTS = (
    *("", "-1", "0", "1.5", "nan", "inf", "1e400", "abc", "-", "--", "True", "None"),
    *("9" * 5000, "x" * 5000, "a,b", "a=b", "=", "[1]", "{0}", "~ 1", ".", "/dev/null"),
    *("nowhere/at/all", "\U0001f98a", "\udcff", "y ~ x1", "normal(0, 1)"),
)


def command_calls(
    folder: Path, texts: Sequence[str]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield each option and argument of each command with wrong texts."""
    from stanpool.cli import main as command_line

    table, kept = folder / "rows.csv", folder / "kept.fit"
    small_data().to_csv(table, index=False)
    _fit().save(kept, overwrite=True)
    model = [str(table), "--formula", "y ~ x1 + (1 | g)"]
    right = {
        "fit": model,
        "code": model,
        "compare-pooling": model,
        "compare": [str(kept)],
        "predict": [str(kept)],
        "report": [str(kept), "--no-loo"],
        "bench": ["--list"],
        "clean": ["--yes"],
    }
    for name, command in command_line.commands.items():
        given = right.get(name, [])
        for parameter in command.params:
            if "--help" in parameter.opts:
                continue
            for text in texts:
                is_option = parameter.opts[0].startswith("-")
                words = [*given, parameter.opts[0], text] if is_option else [text]
                said = f"stanpool {name} {' '.join(words)}"[:120]
                yield said, partial(_run_command, [name, *words])


def _run_command(words: Sequence[str]) -> None:
    """Run a command in this process; raise what a shell would show as a traceback."""
    from click.testing import CliRunner

    from stanpool.cli import main as command_line

    result = CliRunner().invoke(command_line, list(words), input="a,b\n1,x\n")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    if result.exit_code not in (0, 1, 2, 3):
        raise ValueError(f"exit code {result.exit_code}")


def fault_of(call: Callable[[], Any], seconds: int = 60) -> str | None:
    """Make a call; return what it raises that it must not, or None.

    It may work for some seconds of the processors' time, however many others work, too;
    and wait for ten times as long.
    """

    def stop(*_: Any) -> None:
        raise _TooLongError

    before = {each: signal.signal(each, stop) for each in (SIGALRM, SIGPROF)}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.alarm(10 * seconds)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            call()
    except sp.StanpoolError as error:
        return None if str(error) else f"{type(error).__name__} without a word"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:160]}"
    except _TooLongError:
        return f"not done in {seconds} s"
    finally:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for each, handler in before.items():
            signal.signal(each, handler)
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
    return None


@contextlib.contextmanager
def without_engine(folder: Path) -> Iterator[None]:
    """Have an engine refuse to be set up, in a cache of its own."""
    from unittest import mock

    def refuse(*_: Any, **__: Any) -> Any:
        raise sp.EngineError("there is no engine here")

    interpreter = "stanpool.engine.interpreter.engine"
    cache_of_its_own = {"STANPOOL_CACHE": str(folder / "cache")}
    with (
        mock.patch.dict(os.environ, cache_of_its_own),
        mock.patch("stanpool.engine.install.home.find_official", return_value=None),
        mock.patch("stanpool.engine.install.home.set_up", refuse),
        mock.patch("stanpool.engine.install.upkeep.find_official", return_value=None),
        mock.patch("stanpool.engine.install.upkeep.set_up", refuse),
        mock.patch("cmdstanpy.install_cmdstan", refuse),
        mock.patch(f"{interpreter}._why_not_here", return_value="there is none here"),
    ):
        yield


def main(only: str = "") -> int:
    """Go through everything and print what is wrong."""
    resource.setrlimit(resource.RLIMIT_AS, (8 * 2**30, 8 * 2**30))
    count, faults = 0, 0
    with tempfile.TemporaryDirectory() as text, without_engine(Path(text)):
        folder = Path(text)
        os.chdir(folder)
        for said, call in _all_calls(folder, only):
            count += 1
            fault = fault_of(call)
            if fault is not None:
                faults += 1
                print(said, "->", fault, flush=True)
    print(f"{faults} faults of {count} calls")
    return min(faults, 1)


def _all_calls(folder: Path, only: str) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the calls of functions by a part of their names, or of one of some parts.

    The command line is the last function.
    """
    number, _, parts = only.partition("/")
    chosen = [each for each in public_calls() if parts or only in each[0]]
    is_last = only in "stanpool" or (parts and number == parts)
    for name, found in chosen[int(number) - 1 :: int(parts)] if parts else chosen:
        yield from wrong_calls(name, found(), folder, list(WRONG))
    if is_last:
        yield from command_calls(folder, WRONG_TEXTS)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
