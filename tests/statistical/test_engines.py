"""CmdStan and stanli sample from the same posteriors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pandas as pd
import pytest

import stanpool as sp
from statistical.monte_carlo import assert_means_agree

pytestmark = pytest.mark.compiled

RADON = "log_radon ~ floor + (1 | county)"


def verbagg() -> pd.DataFrame:
    data = sp.load_dataset("verbagg")
    return data.assign(yes=(data["r2"] == "Y").astype(int))


def wine() -> pd.DataFrame:
    data = sp.load_dataset("wine")
    return data.assign(rating=pd.Categorical(data["rating"], ordered=True))


class Case(NamedTuple):
    """A model, and how its data are read."""

    formula: str
    data: str | Callable[[], pd.DataFrame]
    options: dict[str, Any]


CASES = {
    "eight_schools": Case("y | se(sigma) ~ 1 + (1 | school)", "eight_schools", {}),
    "radon-noncentered": Case(RADON, "radon", {"parameterization": "noncentered"}),
    "radon-marginal": Case(RADON, "radon", {"parameterization": "marginal"}),
    "wine": Case("rating ~ temp + contact + (1 | judge)", wine, {"family": "ordinal"}),
    "radon-centered": Case(RADON, "radon", {"parameterization": "centered"}),
    "cbpp": Case(
        "incidence | trials(size) ~ period + (1 | herd)", "cbpp", {"family": "binomial"}
    ),
    "verbagg": Case(
        "yes ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)",
        verbagg,
        {"family": "bernoulli"},
    ),
}
SLOW = ("radon-centered", "cbpp", "verbagg")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, case in CASES.items()
    ],
)
def test_posteriors_agree(case: Case) -> None:
    data = sp.load_dataset(case.data) if isinstance(case.data, str) else case.data()
    model = sp.Model(case.formula, data, **case.options)
    compiled, interpreted = (
        model.fit(seed=3, engine=engine, progress=False)
        for engine in ("cmdstan", "stanli")
    )
    assert compiled.engine["name"] == "cmdstan"
    assert interpreted.engine["name"] == "stanli"
    assert_means_agree(compiled.posterior, interpreted.posterior)
    squares = [
        (each.posterior - compiled.posterior.mean(("chain", "draw"))) ** 2
        for each in (compiled, interpreted)
    ]
    assert_means_agree(*squares)
