"""Fits of Stan's beside exact and Gibbs samplers, through the public verb."""

from __future__ import annotations

from typing import Any

import pytest

import stanpool as sp
from golden.catalogue import small_data

# Thresholds are of the errors of these draws.
SHORT: dict[str, Any] = {"draws": 500, "warmup": 400, "progress": False}


@pytest.mark.parametrize("parameterization", ["centered", "noncentered"])
@pytest.mark.parametrize("formula", ["y | se(known) ~ 1 + (1 | g)", "y ~ x1 + (1 | g)"])
def test_fits_are_valid(formula: str, parameterization: str) -> None:
    model = sp.Model(
        formula,
        small_data(),
        parameterization=parameterization,
        priors={"Intercept": "normal(2, 2)", "tau": "exponential(1)"},
    )
    fit = model.fit(seed=20261121, adapt_delta=0.98, **SHORT)
    found = sp.validate(fit, seed=1)
    assert found.ok, str(found)


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ x1", {"pooling": "complete"}),
        ("y ~ x1 + (1 + x1 | g)", {}),
        ("y ~ far + (1 + far | g)", {}),
        ("y ~ x1 + (1 | g)", {"fixed": {"Intercept": 2.0, "tau_g": 0.5}}),
        ("y | se(known) ~ x1 + (1 | g)", {}),
        ("win ~ 1 + (1 | g)", {"family": "bernoulli"}),
        ("count ~ 1", {"family": "poisson", "pooling": "complete"}),
        pytest.param(
            *("hits | trials(shots) ~ 1 + (1 | g)", {"family": "binomial"}),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *("count ~ 1 + (1 | g)", {"family": "poisson"}), marks=pytest.mark.slow
        ),
    ],
)
def test_fits_without_a_population_are_valid(
    formula: str, options: dict[str, Any]
) -> None:
    data = small_data()
    data["far"] = 2000 + 3 * data["x1"]
    model = sp.Model(formula, data, **({"pooling": "none"} | options))
    # Of a hundred seeds one is refused by chance.
    found = sp.validate(model.fit(seed=2, **SHORT), seed=1)
    assert found.ok, str(found)
