"""What a tool of the suite is: a way to fit a work, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.bench.works import Work


@dataclass(frozen=True)
class Sampling:
    """How every tool samples: its own defaults are used for the rest.

    Attributes
    ----------
    chains, draws, warmup
        How many chains, and how many draws and warm-up iterations of each.
    cores
        How many cores a fit is bound to.
    """

    chains: int = 4
    draws: int = 1000
    warmup: int = 1000
    cores: int = 2


@dataclass(frozen=True)
class Drawn:
    """What fitting returned.

    Attributes
    ----------
    draws
        As the tool labels them.
    divergences
        After warm-up, in all chains.
    compile_seconds
        What of the time went to compiling, and is not counted.
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
        A name, and what it is.
    needs
        The packages that it needs.
    build
        From a work and its data to a model.
    compile
        From the model and how to sample to what can be fitted.
    fit
        From that, how to sample and a seed to labelled draws.
    quantities
        From that and the draws to arrays ``(chain, draw, ...)`` by the names of
        stanpool's posterior: population parameters and all groups' full coefficients.
    form
        From the model to what was chosen.
    """

    name: str
    about: str
    needs: tuple[str, ...]
    build: Callable[[Work, Any], Any]
    compile: Callable[[Any, Sampling], Any]
    fit: Callable[[Any, Sampling, int], Drawn]
    quantities: Callable[[Any, Drawn], Mapping[str, np.ndarray]]
    form: Callable[[Any], str] = lambda _: ""
