"""One program of each kind through an engine: its log density, and a short fit.

Every fit compares the log density of its engine with an independent implementation.
This does so for all that stanpool has programs for, on made-up data, before anybody
has data of their own.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stanpool.api.facade import Model
from stanpool.base.errors import StanpoolError
from stanpool.base.options import EngineName
from stanpool.engine.cmdstan.compile import compile_programs
from stanpool.language.family import FAMILIES
from stanpool.model.fit_result import LOG_DENSITY

_ROWS, _GROUPS = 60, 6
_SHORT: Mapping[str, Any] = {"chains": 1, "warmup": 100, "draws": 20, "seed": 1}
_SLOPES = "y ~ x + (1 + x | g)"

# What each program of normal outcomes is of: the formula, and what else is stated.
_KINDS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "complete pooling": ("y ~ x", {"pooling": "complete"}),
    "no pooling": (_SLOPES, {"pooling": "none"}),
    "centered": (_SLOPES, {"parameterization": "centered"}),
    "noncentered": (_SLOPES, {"parameterization": "noncentered"}),
    "adaptive": (_SLOPES, {"parameterization": "adaptive"}),
    "marginal": (_SLOPES, {"parameterization": "marginal"}),
    "marginal, nested groups": ("y ~ x + (1 | g/h)", {"parameterization": "marginal"}),
    "several memberships": ("y ~ x + (1 | mm(g, g2))", {}),
    "latent factors": ("y ~ x + (1 | g) + factors(g, h, rank=1)", {}),
    "scales of groups": ("y ~ x + (1 | g)", {"residual": "g"}),
    "known errors": ("y | se(known) ~ x + (1 | g)", {}),
    "weights": ("y | weights(w) ~ x + (1 | g)", {}),
    "censored": ("y | cens(c) ~ x + (1 | g)", {}),
    "truncated": ("y | trunc(-100, 100) ~ x + (1 | g)", {}),
}
# The columns that hold each kind of outcome.
_OUTCOMES = {
    "real": "y",
    "positive": "amount",
    "nonnegative": "amount",
    "proportion": "share",
    "share": "share",
    "angle": "angle",
    "binary": "win",
    "count": "count",
    "ordered": "grade",
    "categories": "colour",
}


@dataclass(frozen=True)
class ProgramCheck:
    """How a program of one kind went.

    Attributes
    ----------
    kind, program
        What the program is of, and its name.
    seconds
        What a short fit took, and the comparison of the densities.
    said
        What was found.
    ok
        Whether the log density agrees and the program can be sampled.
    """

    kind: str
    program: str
    seconds: float
    said: str
    ok: bool

    def __str__(self) -> str:
        """Say it in a line; what is wrong may take more."""
        verdict = "ok   " if self.ok else "WRONG"
        line = f"{verdict} {self.kind:<24} {self.seconds:6.2f} s  {self.program}"
        return line if self.ok else f"{line}\n      {self.said}"


def program_kinds() -> dict[str, Model]:
    """Return a small model of each kind, on made-up data."""
    data = _data()
    found = {
        kind: Model(formula, data, **options)
        for kind, (formula, options) in _KINDS.items()
    }
    for family in FAMILIES.values():
        outcome = _OUTCOMES[family.outcome]
        if "trials" in family.parts:
            outcome = "hits | trials(9)"
        for link in family.links:
            options: dict[str, Any] = {"family": family.name, "link": link}
            model = Model(f"{outcome} ~ x + (1 | g)", data, **options)
            found[f"{family.name}, {link}"] = model
    return found


def check_programs(
    engine: EngineName, *, progress: bool = True
) -> Iterator[ProgramCheck]:
    """Fit one program of each kind, and say how it went as soon as it is known.

    Parameters
    ----------
    engine
        The engine.
    progress
        Whether to show progress on standard error.
    """
    models = program_kinds()
    if engine == "cmdstan":
        programs = [model.program for model in models.values()]
        compile_programs(programs, progress=progress)
    for kind, model in models.items():
        yield _checked(kind, model, engine)


def _checked(kind: str, model: Model, engine: EngineName) -> ProgramCheck:
    """Fit a model for a moment, which compares the densities first."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of so few rows
            fit = model.fit(engine=engine, progress=False, **_SHORT)
        said = str(fit.engine[LOG_DENSITY])
        ok = said.startswith("agrees")
    except StanpoolError as error:
        said, ok = str(error), False
    seconds = time.perf_counter() - start
    return ProgramCheck(kind, model.program.name, seconds, said, ok)


def _data() -> pd.DataFrame:
    """Make up outcomes of each kind."""
    rng = np.random.default_rng(1)
    g, h = np.arange(_ROWS) % _GROUPS, np.arange(_ROWS) % 5
    x, u = rng.normal(size=_ROWS), rng.normal(size=_GROUPS)[g]
    y = 1.0 + 0.5 * x + u + rng.normal(size=_ROWS)
    share = 1.0 / (1.0 + np.exp(-y))
    in_order = ["low", "fair", "high"]
    return pd.DataFrame(
        {
            "y": y,
            "x": x,
            "g": g,
            "g2": rng.permutation(g),
            "h": h,
            "known": rng.uniform(0.5, 2.0, _ROWS),
            "w": rng.uniform(0.5, 2.0, _ROWS),
            "c": np.where(y > 2.0, "right", "none"),
            "amount": np.exp(y),
            "share": share,
            "angle": 2.0 * np.arctan(0.5 * y),
            "win": (rng.random(_ROWS) < share).astype(int),
            "hits": rng.binomial(9, share),
            "count": rng.poisson(np.exp(0.5 * y)),
            "grade": pd.Categorical(
                np.array(in_order)[rng.integers(0, 3, _ROWS)], in_order, ordered=True
            ),
            "colour": np.array(["red", "blue", "green"])[rng.integers(0, 3, _ROWS)],
        }
    )
