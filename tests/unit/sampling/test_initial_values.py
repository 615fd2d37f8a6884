"""Initial values: of refits, as the densities have them; and about the pilot."""

from __future__ import annotations

import numpy as np
import pytest

import stanpool as sp
from golden.catalogue import data_of, models, small_data
from golden.representative import each_model
from simulated_fits import fit_of_draws, fit_of_points
from stanpool import exact
from stanpool.density.parameters import declared_names
from stanpool.sampling.initial_values import (
    pilot_metric,
    points_around_pilot,
    starting_values,
)
from statistical import densities

KNOWN = {n: m for n, m in models().items() if m.spec.family != "categorical"}


@pytest.mark.parametrize("name", each_model(KNOWN))
def test_draws_become_the_parameters_that_stan_declares(name: str) -> None:
    fit, points = fit_of_points(models()[name], chains=2, draws=1)
    starts = starting_values(fit)
    assert starts is not None
    program = fit.program.source
    declared = program[program.index("parameters {") : program.index("model {")]
    for start, point in zip(starts, points, strict=True):
        # No other names, which stanli refuses: it knows the declared ones only.
        assert list(start) == declared_names(program)
        expected = densities.stan_parameters(fit.model, data_of(fit.model), point)
        for parameter, value in expected.items():
            if f" {parameter};" not in declared:
                continue
            found = start[parameter]
            if parameter.startswith("tau_root"):
                value = np.abs(value)
            if parameter == "z_factors":  # directions start with unit mean squares
                assert point.tensor is not None
                value = value / point.tensor.given
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


PILOTED = [
    n for n, m in models().items() if m.parameterization in ("adaptive", "marginal")
]


def declared(model: sp.Model) -> list[str]:
    """Name what a program declares as parameters."""
    block = model.program.source.partition("\nparameters {\n")[2].partition("\n}")[0]
    statements = [line.partition(";")[0] for line in block.splitlines()]
    return [statement.split()[-1] for statement in statements]


def unknown_to_the_pilot(model: sp.Model) -> set[str]:
    """Name what latent factors have: all else starts around the pilot estimate."""
    if model.spec.latent is not None:
        if model.spec.latent.others:
            return {"z_factors", "score_rms", "product_rms"}
        left = {"scores", "z_loadings", "loading_scale"}
        return left | ({"beta_factors"} if model.spec.latent.predictors else set())
    return set()


@pytest.mark.parametrize("name", PILOTED)
def test_chains_start_where_the_program_has_parameters(name: str) -> None:
    model = models()[name]
    points = points_around_pilot(model, chains=3, seed=1)
    assert points is not None
    left = unknown_to_the_pilot(model)
    for point in points:
        assert set(declared(model)) - left == point.keys()
        assert all(np.isfinite(value).all() for value in point.values())
    again = points_around_pilot(model, chains=2, seed=1)
    other = points_around_pilot(model, chains=2, seed=2)
    assert again is not None
    assert other is not None
    for name_of, value in points[1].items():
        np.testing.assert_array_equal(value, again[1][name_of])
        if np.size(value) and not name_of.startswith("L_Omega"):
            assert not np.array_equal(value, points[2][name_of])
            assert not np.array_equal(value, other[1][name_of])


@pytest.mark.parametrize("name", PILOTED)
def test_the_first_metric_is_of_all_parameters(name: str) -> None:
    model = models()[name]
    metric = pilot_metric(model)
    if unknown_to_the_pilot(model):
        assert metric is None
        return
    points = points_around_pilot(model, chains=1, seed=1)
    assert metric is not None
    assert points is not None
    free = sum(
        np.shape(value)[0] * (np.shape(value)[0] - 1) // 2
        if name_of.startswith("L_Omega")
        else np.size(value)
        for name_of, value in points[0].items()
    )
    assert metric.shape == (free,)
    assert (metric > 0).all()
    assert np.isfinite(metric).all()


def test_starts_are_wider_than_the_posterior() -> None:
    """Two to four times; the posterior is exact, by quadrature."""
    model = sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)", sp.load_dataset("eight_schools")
    )
    exact_draws = exact.known_sigma(model).draw(np.random.default_rng(1), chains=4)
    points = points_around_pilot(model, chains=1000, seed=3)
    assert points is not None
    unit = model.scaling.outcome
    alpha = unit * np.array([point["alpha_c"] for point in points])
    x = np.array([point["tau_root"] for point in points])
    tau = unit * model.stan_data()["tau_unit"] * np.abs(x) * np.sqrt(1 + x**2)
    sd = float(exact_draws.posterior["Intercept"].std())
    assert 1.5 * sd < alpha.std() < 4 * sd
    sd = float(exact_draws.posterior["tau_school"].std())
    assert 1.2 * sd < tau.std() < 4 * sd
