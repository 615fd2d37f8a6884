"""CmdStan and stanli sample from the same posteriors."""

from __future__ import annotations

from typing import Any

import pytest

import stanpool as sp
from statistical.monte_carlo import assert_means_agree

RADON = "log_radon ~ floor + (1 | county)"
MODELS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("eight_schools", "y | se(sigma) ~ 1 + (1 | school)", {}),
    ("radon", RADON, {}),
    ("radon", RADON, {"parameterization": "noncentered"}),
    ("radon", RADON, {"parameterization": "centered"}),
    ("cbpp", "incidence | trials(size) ~ period + (1 | herd)", {"family": "binomial"}),
)


@pytest.mark.parametrize(("data", "formula", "options"), MODELS)
def test_posteriors_agree(data: str, formula: str, options: dict[str, Any]) -> None:
    model = sp.Model(formula, sp.load_dataset(data), **options)
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
