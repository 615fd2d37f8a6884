"""A tool of the suite: the functions by which it fits a benchmark, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.bench.benchmarks.benchmark import Benchmark, Sampling


@dataclass(frozen=True)
class Drawn:
    """The result of a fit.

    Attributes
    ----------
    draws
        The draws, with the tool's own labels; None of a point estimate.
    divergences
        The number of divergences after warm-up, in all chains.
    gradients, warmup_gradients
        How many gradients were computed by all chains, and how many of these during
        the warm-up; None if the tool does not say.
    compile_seconds, compile_cpu_seconds
        The part of the time that was compilation, which is not counted.
    """

    draws: Any
    divergences: int = 0
    gradients: int | None = None
    warmup_gradients: int | None = None
    compile_seconds: float = 0.0
    compile_cpu_seconds: float = 0.0


def _no_quantities(_: Any, __: Drawn) -> Mapping[str, np.ndarray]:
    return {}


@dataclass(frozen=True)
class Tool:
    """A way to fit benchmarks.

    Attributes
    ----------
    name, about
        The name, and a short description.
    needs
        The Python packages that it needs; those of R begin with ``R:``.
    build
        Makes a model of a benchmark and its data.
    compile
        Compiles the model, for the settings; returns what ``fit`` takes.
    fit
        Samples with the settings and a seed, and returns labelled draws.
    quantities
        Returns arrays ``(chain, draw, ...)`` of what was compiled and its draws, by the
        names of stanpool's posterior: population parameters, and the coefficients of
        all groups, which include the population's part. None of a point estimate.
    form
        Says what the tool chose for the model, such as a parameterization.
    engine
        What runs the program, of stanpool's own tools.
    """

    name: str
    about: str
    needs: tuple[str, ...]
    build: Callable[[Benchmark, Any], Any]
    compile: Callable[[Any, Sampling], Any]
    fit: Callable[[Any, Sampling, int], Drawn]
    quantities: Callable[[Any, Drawn], Mapping[str, np.ndarray]] = _no_quantities
    form: Callable[[Any], str] = lambda _: ""
    engine: str = ""
