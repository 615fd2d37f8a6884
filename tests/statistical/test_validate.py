"""Fits of Stan's beside exact and Gibbs samplers, through the public verb."""

from __future__ import annotations

import pytest

import stanpool as sp
from golden.catalogue import small_data


@pytest.mark.parametrize("parameterization", ["centered", "noncentered"])
@pytest.mark.parametrize("formula", ["y | se(known) ~ 1 + (1 | g)", "y ~ x1 + (1 | g)"])
def test_fits_are_valid(formula: str, parameterization: str) -> None:
    model = sp.Model(
        formula,
        small_data(),
        parameterization=parameterization,
        priors={"Intercept": "normal(2, 2)", "tau": "exponential(1)"},
    )
    fit = model.fit(seed=20261121, adapt_delta=0.98, progress=False)
    found = sp.validate(fit, seed=1)
    assert found.ok, str(found)
