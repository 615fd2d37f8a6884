"""Stanpool's own forms as tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stanpool.api.facade import Model
from stanpool.base.options import EngineName, Parameterization
from stanpool.bench.benchmarks.benchmark import Benchmark, Sampling
from stanpool.bench.tools.tool import Drawn, Tool
from stanpool.sampling.continuation import STATE

if TYPE_CHECKING:
    import pandas as pd


def _build(parameterization: Parameterization) -> Callable[[Benchmark, Any], Model]:
    def build(benchmark: Benchmark, data: pd.DataFrame | Path) -> Model:
        return Model(
            benchmark.formula,
            data,
            family=benchmark.family,
            parameterization=parameterization,
        )

    return build


def _build_cells(benchmark: Benchmark, data: pd.DataFrame) -> Model:
    """Collect equal rows of a binary outcome by hand, and fit binomial counts."""
    plain = Model(benchmark.formula, data, family=benchmark.family)
    spec = plain.spec
    keys = [name for name in data.columns if name != spec.outcome]
    cells = data.groupby(keys, as_index=False)[spec.outcome].agg(["sum", "count"])
    formula = benchmark.formula.partition("~")[2]
    return Model(
        f"sum | trials(count) ~ {formula}",
        cells,
        family="binomial",
        priors={row.parameter: row.prior for row in plain.priors},
    )


def _options(sampling: Sampling, engine: EngineName) -> dict[str, Any]:
    return {
        "chains": sampling.chains,
        "parallel_chains": min(sampling.chains, sampling.cores),
        "progress": False,
        "engine": engine,
    }


def _compile(engine: EngineName) -> Callable[[Model, Sampling], Model]:
    """Return a function that compiles, and loads what fitting loads: a short fit."""

    def compile_model(model: Model, sampling: Sampling) -> Model:
        model.fit(draws=5, warmup=5, seed=1, **_options(sampling, engine))
        return model

    return compile_model


def _fit(engine: EngineName) -> Callable[[Model, Sampling, int], Drawn]:
    def fit_model(model: Model, sampling: Sampling, seed: int) -> Drawn:
        fit = model.fit(
            draws=sampling.draws,
            warmup=sampling.warmup,
            seed=seed,
            **_options(sampling, engine),
        )
        stats, state = fit.sample_stats, fit.tree[STATE]
        steps = int(stats["n_steps"].sum())
        # Steps of the warm-up are not kept, but take as long as others.
        seconds = float(state["seconds_warmup"].sum())
        warmup = round(steps * seconds / float(state["seconds_sampling"].sum()))
        diverging = int(stats["diverging"].sum())
        return Drawn(fit.posterior, diverging, steps + warmup, warmup)

    return fit_model


def _quantities(_: Model, drawn: Drawn) -> dict[str, np.ndarray]:
    return {name: values.to_numpy() for name, values in drawn.draws.data_vars.items()}


def _form(model: Model) -> str:
    return model.parameterization or ""


def _stanpool(
    name: Parameterization | Literal["cells", "interpreted"],
    about: str,
) -> Tool:
    # The others are compared with peers that compile, too.
    engine: EngineName = "stanli" if name == "interpreted" else "cmdstan"
    form: Parameterization = (
        "auto" if name == "cells" or name == "interpreted" else name
    )
    return Tool(
        name,
        about,
        (),
        _build_cells if name == "cells" else _build(form),
        _compile(engine),
        _fit(engine),
        _quantities,
        _form if name in ("auto", "interpreted") else lambda _: "",
        engine,
    )


OURS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        _stanpool("auto", "stanpool as it comes, compiled by CmdStan"),
        _stanpool("interpreted", "stanpool as it comes, interpreted by stanli"),
        _stanpool("centered", "stanpool, groups' coefficients as they are"),
        _stanpool("noncentered", "stanpool, groups' coefficients standardised"),
        _stanpool("adaptive", "stanpool, between the two, by group"),
        _stanpool("marginal", "stanpool, groups' coefficients integrated out"),
        _stanpool("cells", "stanpool, equal rows counted by hand"),
    )
}
