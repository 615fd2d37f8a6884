"""The pilot of turned rows against dense algebra, published figures and the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import models, small_data
from stanpool.model.pilot.estimate import PilotEstimate
from stanpool.model.pilot.quasi_likelihood import estimate
from stanpool.model.priors.defaults import correlated_factors

MARGINAL = [n for n, m in models().items() if m.parameterization == "marginal"]
FORMULAS: dict[str, dict[str, Any]] = {
    "y ~ x1 + (1 | g)": {},
    "y ~ x1 + (1 + x2 || g)": {},
    "y ~ x1 + (1 + x2 | g)": {},
    "y ~ x1 + (1 | g) + (1 + x2 | h)": {},
    "y | se(known) ~ x1 + (1 + x2 | g)": {},
    "y ~ x1 + (1 | g) ": {"residual": "g"},
}


def model_of(formula: str, **options: Any) -> sp.Model:
    return sp.Model(formula, small_data(), parameterization="marginal", **options)


def pilot_of(model: sp.Model) -> PilotEstimate:
    assert model.pilot is not None
    return model.pilot


@pytest.mark.parametrize("formula", FORMULAS)
def test_coefficients_are_generalised_least_squares_at_its_scales(formula: str) -> None:
    """Under the covariance of all rows, and normal priors, written out."""
    model = model_of(formula, **FORMULAS[formula])
    pilot, design = pilot_of(model), model.scaling.design(model.design)
    if pilot.residual is not None:
        assert design.residual is not None
        logs = pilot.residual.u[design.residual.index, 0]
        variance = np.square(pilot.parameters["sigma"] * np.exp(logs))
    elif design.se is not None:
        variance = np.square(design.se)
    else:
        variance = np.full(design.rows, pilot.parameters["sigma"] ** 2)
    V = np.diag(variance)
    for factor, own in zip(design.factors, pilot.factors, strict=True):
        Sigma = np.outer(own.tau, own.tau) * own.Omega
        alike = factor.index[:, None] == factor.index
        V += alike * (factor.Z @ Sigma @ factor.Z.T)
    X = np.column_stack([np.ones(design.rows), design.X - design.x_bar])
    priors = [
        row.prior.canonical.named_arguments
        for row in model.scaling.priors(model.priors)
        if row.parameter_class in ("Intercept", "beta")
    ]
    ridge = np.array([each["scale"] ** -2.0 for each in priors])
    location = np.array([each["location"] for each in priors])
    precision = X.T @ np.linalg.solve(V, X) + np.diag(ridge)
    wanted = X.T @ np.linalg.solve(V, design.y) + ridge * location
    expected = np.linalg.solve(precision, wanted)
    errors = np.sqrt(np.diag(np.linalg.inv(precision)))
    # The scales have moved by less than two per cent since theta was solved for.
    np.testing.assert_allclose(pilot.theta_sd, errors, rtol=0.03)
    assert np.abs(pilot.theta - expected).max() < 0.1 * errors.max()


def test_scales_are_those_of_lme4() -> None:
    """Bates, Mächler, Bolker and Walker (2015), section 1.2: REML."""
    data = sp.load_dataset("sleepstudy")
    model = sp.Model("Reaction ~ Days + (1 + Days | Subject)", data)
    (own,), scaled = pilot_of(model).factors, model.scaling
    unit = scaled.outcome
    np.testing.assert_allclose(own.tau * unit, [24.74, 5.92], rtol=0.03)
    assert pilot_of(model).parameters["sigma"] * unit == pytest.approx(25.59, rel=0.02)
    np.testing.assert_allclose(pilot_of(model).theta[1] * unit, 10.467, rtol=0.01)


@pytest.mark.parametrize(
    ("formula", "dataset"),
    [
        ("log_radon ~ floor + (1 + floor | county)", "radon"),
        ("attain ~ verbal + (1 | primary) + (1 | second)", "scotssec"),
    ],
)
def test_the_rows_as_they_are_give_nearly_the_same(formula: str, dataset: str) -> None:
    model = sp.Model(formula, sp.load_dataset(dataset))
    design = model.scaling.design(model.design)
    other = estimate(
        model.spec,
        design,
        model.scaling.priors(model.priors),
        correlated_factors(model.spec, design),
    )
    assert other is not None
    ours = pilot_of(model)
    np.testing.assert_allclose(ours.theta, other.theta, atol=0.1 * ours.theta_sd.max())
    assert ours.parameters["sigma"] == pytest.approx(
        other.parameters["sigma"], rel=0.01
    )
    for mine, yours in zip(ours.factors, other.factors, strict=True):
        np.testing.assert_allclose(mine.tau, yours.tau, rtol=0.15)


def test_groups_that_are_turned_count_as_often_as_there_are() -> None:
    """Equal groups are turned into two; one more row makes the first another kind."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(200), 5)
    y = rng.normal(0, 0.5, 200)[g] + rng.normal(size=1000)
    turned, whole = (
        pilot_of(sp.Model("y ~ 1 + (1 | g)", pd.DataFrame({"y": y, "g": g})[first:]))
        for first in (0, 1)
    )
    assert len(turned.factors[0].u) == len(whole.factors[0].u) - 1 == 2
    np.testing.assert_allclose(
        turned.factors[0].determined, whole.factors[0].determined, rtol=0.02
    )
    share = turned.factors[0].tau ** 2 / (turned.factors[0].tau ** 2 + 1 / 5)
    np.testing.assert_allclose(turned.factors[0].determined, 200 * share, rtol=0.03)


@pytest.mark.parametrize("name", MARGINAL)
def test_every_marginal_program_has_a_pilot(name: str) -> None:
    pilot = pilot_of(models()[name])
    assert pilot.is_finite
    for own in pilot.factors:
        assert (own.tau > 0).all()
        assert (own.scale_errors > 0).all()


def test_many_columns_are_left_to_the_pilot_of_rows() -> None:
    rng = np.random.default_rng(4)
    g, h = rng.integers(0, 900, 3000), rng.integers(0, 600, 3000)
    data = pd.DataFrame({"y": rng.normal(size=3000), "g": g, "h": h})
    model = sp.Model("y ~ 1 + (1 | g) + (1 | h)", data, parameterization="marginal")
    own = pilot_of(model).factors[0]
    assert own.count is None
    assert len(own.u) == data["g"].nunique()
