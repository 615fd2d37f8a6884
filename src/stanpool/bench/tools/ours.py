"""Stanpool's own forms as tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from stanpool.api.facade import Model
from stanpool.base.options import Parameterization
from stanpool.bench.tools.tool import Drawn, Sampling, Tool
from stanpool.bench.works import Work

if TYPE_CHECKING:
    import pandas as pd


def _build(parameterization: Parameterization) -> Callable[[Work, Any], Model]:
    def build(work: Work, data: pd.DataFrame | Path) -> Model:
        return Model(
            work.formula,
            data,
            family=work.family,
            parameterization=parameterization,
        )

    return build


def _build_cells(work: Work, data: pd.DataFrame) -> Model:
    """Collect equal rows of a binary outcome by hand, and fit binomial counts."""
    plain = Model(work.formula, data, family=work.family)
    spec = plain.spec
    keys = [name for name in data.columns if name != spec.outcome]
    cells = data.groupby(keys, as_index=False)[spec.outcome].agg(["sum", "count"])
    formula = work.formula.partition("~")[2]
    return Model(
        f"sum | trials(count) ~ {formula}",
        cells,
        family="binomial",
        priors={row.parameter: row.prior for row in plain.priors},
    )


def _options(sampling: Sampling) -> dict[str, Any]:
    return {
        "chains": sampling.chains,
        "parallel_chains": min(sampling.chains, sampling.cores),
        "progress": False,
        "engine": "cmdstan",  # what is compared is what CmdStan compiles
    }


def _compile(model: Model, sampling: Sampling) -> Model:
    """Compile, and load what fitting loads, by a very short fit."""
    model.fit(draws=5, warmup=5, seed=1, **_options(sampling))
    return model


def _fit(model: Model, sampling: Sampling, seed: int) -> Drawn:
    fit = model.fit(
        draws=sampling.draws, warmup=sampling.warmup, seed=seed, **_options(sampling)
    )
    return Drawn(fit.posterior, int(fit.sample_stats["diverging"].sum()))


def _quantities(_: Model, drawn: Drawn) -> dict[str, np.ndarray]:
    return {name: values.to_numpy() for name, values in drawn.draws.data_vars.items()}


def _form(model: Model) -> str:
    return model.parameterization or ""


def _stanpool(
    name: Parameterization | Literal["cells"],
    about: str,
) -> Tool:
    return Tool(
        name,
        about,
        (),
        _build_cells if name == "cells" else _build(name),
        _compile,
        _fit,
        _quantities,
        _form if name == "auto" else lambda _: "",
    )


OURS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        _stanpool("auto", "stanpool as it comes"),
        _stanpool("centered", "stanpool, groups' coefficients as they are"),
        _stanpool("noncentered", "stanpool, groups' coefficients standardised"),
        _stanpool("adaptive", "stanpool, between the two, by group"),
        _stanpool("marginal", "stanpool, groups' coefficients integrated out"),
        _stanpool("cells", "stanpool, equal rows counted by hand"),
    )
}
