"""A tool of the benchmark: the functions by which it fits a work, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.bench.works import Work


@dataclass(frozen=True)
class Sampling:
    """The settings that all tools share; the others are each tool's own defaults.

    Attributes
    ----------
    chains, draws, warmup
        The number of chains, and of draws and warm-up iterations of each.
    cores
        The number of cores that a fit is bound to.
    """

    chains: int = 4
    draws: int = 1000
    warmup: int = 1000
    cores: int = 2


@dataclass(frozen=True)
class Drawn:
    """The result of a fit.

    Attributes
    ----------
    draws
        The draws, with the tool's own labels.
    divergences
        The number of divergences after warm-up, in all chains.
    compile_seconds
        The part of the time that was compilation, which is not counted.
    """

    draws: Any
    divergences: int
    compile_seconds: float = 0.0


@dataclass(frozen=True)
class Tool:
    """A way to fit works.

    Attributes
    ----------
    name, about
        The name, and a short description.
    needs
        The packages that it needs.
    build
        Makes a model of a work and its data.
    compile
        Compiles the model, for the settings; returns what ``fit`` takes.
    fit
        Samples with the settings and a seed, and returns labelled draws.
    quantities
        Returns arrays ``(chain, draw, ...)`` of what was compiled and its draws, by the
        names of stanpool's posterior: population parameters, and the coefficients of
        all groups, which include the population's part.
    form
        Says what the tool chose for the model, such as a parameterization.
    engine
        What runs the program, of stanpool's own tools.
    """

    name: str
    about: str
    needs: tuple[str, ...]
    build: Callable[[Work, Any], Any]
    compile: Callable[[Any, Sampling], Any]
    fit: Callable[[Any, Sampling, int], Drawn]
    quantities: Callable[[Any, Drawn], Mapping[str, np.ndarray]]
    form: Callable[[Any], str] = lambda _: ""
    engine: str = ""
