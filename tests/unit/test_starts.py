"""Initial values of refits, against the parameters that the densities are tested by."""

from __future__ import annotations

import numpy as np
import pytest

import stanpool as sp
from golden.catalogue import models, small_data
from simulated_fits import fit_of_draws, fit_of_points
from stanpool.starts import starting_values
from statistical import densities

NAMES = [n for n, model in models().items() if model.spec.family != "categorical"]


@pytest.mark.parametrize("name", NAMES)
def test_draws_become_the_parameters_that_stan_declares(name: str) -> None:
    fit, points = fit_of_points(models()[name], chains=2, draws=1)
    starts = starting_values(fit)
    assert starts is not None
    program = fit.program.source
    declared = program[program.index("parameters {") : program.index("model {")]
    for start, point in zip(starts, points, strict=True):
        expected = densities.stan_parameters(fit.model, small_data(), point)
        for parameter, value in expected.items():
            if f" {parameter};" not in declared:
                continue
            found = start[parameter]
            if parameter.startswith("tau_signed"):
                value = np.abs(value)
            np.testing.assert_allclose(found, value, rtol=1e-8, atol=1e-10)


def test_categorical_outcomes_start_at_random() -> None:
    model = sp.Model(
        "colour ~ x1", small_data(), family="categorical", pooling="complete"
    )
    rng = np.random.default_rng(5)
    draws = {
        "alpha": rng.normal(size=(1, 2, 2)),
        "beta": rng.normal(size=(1, 2, 1, 2)),
    }
    assert starting_values(fit_of_draws(model, draws)) is None
