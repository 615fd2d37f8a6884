"""Stan sees predictors and outcomes on a scale near 1; users see their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import models, small_data
from simulated_fits import MadeUpDraws, fit_of_prior, without_rotation
from stanpool.inference.prediction.predict import log_lik
from stanpool.sampling.initial_values import starting_values

FORMULAS = (
    ("y ~ x1 + x2 + (1 + x1 | g)", {"parameterization": "noncentered"}),
    ("y ~ x1 + x2 + (1 + x1 | g)", {"parameterization": "marginal"}),
    ("y ~ x1 + x2 + (1 + x1 | g)", {"pooling": "none"}),
    ("y ~ x1 + u + x1:u + (1 + x1 || g)", {"parameterization": "centered"}),
    ("count ~ x1 + (1 | h) + (0 + x1 | mm(g, g_2))", {"family": "poisson"}),
    ("colour ~ x1 + (1 + x1 | g)", {"family": "categorical"}),
)
PRIORS = {
    "beta[x1]": "normal(0.5, 2)",
    "tau_g[x1]": "gamma(2, 3)",
    "b_g[x1]": "uniform(-40, 40)",
}


def with_units(units: float) -> pd.DataFrame:
    data = small_data()
    return data.assign(x1=data["x1"] * units, u=data["u"] / units)


def set_for(options: dict[str, Any], units: float) -> dict[str, sp.Prior]:
    used = ["b_g[x1]"] if options.get("pooling") == "none" else list(PRIORS)[:2]
    found = {name: sp.Prior.parse(PRIORS[name]).scaled(1 / units) for name in used}
    return {name: prior for name, prior in found.items() if prior is not None}


@pytest.mark.parametrize(("formula", "options"), FORMULAS)
@pytest.mark.parametrize("units", [1e-3, 1e3])
def test_stan_sees_the_same_whatever_the_units(
    formula: str, options: dict[str, Any], units: float
) -> None:
    both = []
    for scale in (1.0, units):
        priors = {} if "count" in formula or "colour" in formula else None
        if priors is None:
            priors = set_for(options, scale)
        model = sp.Model(formula, with_units(scale), priors=priors, **options)
        both.append(model.stan_data())
    assert both[0].keys() == both[1].keys()
    plain, scaled = map(without_rotation, both)
    for name in plain:
        # Default priors are rounded to three digits.
        np.testing.assert_allclose(
            scaled[name], plain[name], rtol=2e-3, atol=1e-9, err_msg=name
        )


def test_predictors_near_one_are_left_alone() -> None:
    assert all(model.scaling.is_identity for model in models().values())


def test_draws_come_back_in_the_users_units() -> None:
    model = sp.Model(
        "y ~ x1 + (1 + x1 | g)", with_units(1e3), parameterization="noncentered"
    )
    rng = np.random.default_rng(1)
    raw = {
        "beta": rng.normal(size=(2, 3, 1)),
        "tau": rng.normal(size=(2, 3, 2)),
        "b": rng.normal(size=(2, 3, 4, 2)),
        "sigma": rng.normal(size=(2, 3)),
    }
    undone = model.scaling.undone(MadeUpDraws(raw))
    np.testing.assert_allclose(undone.stan_variable("beta"), raw["beta"] / 1e3)
    for name in ("tau", "b"):
        found = undone.stan_variable(name)
        np.testing.assert_allclose(found[..., 0], raw[name][..., 0])
        np.testing.assert_allclose(found[..., 1], raw[name][..., 1] / 1e3)
        last = {name: found[0, 0]}
        np.testing.assert_allclose(model.scaling.to_stan(last)[name], raw[name][0, 0])
    np.testing.assert_allclose(undone.stan_variable("sigma"), raw["sigma"])


def test_the_comment_says_what_columns_are_divided_by() -> None:
    model = sp.Model("y ~ x1", with_units(1e3), pooling="complete")
    assert '// column 1 of X is "x1" / 1000' in model.stan_code


def test_a_prior_that_cannot_be_scaled_keeps_the_predictor() -> None:
    model = sp.Model(
        "y ~ x1", with_units(1e3), pooling="complete", priors={"beta": "beta(1, 2)"}
    )
    assert model.scaling.is_identity


OUTCOMES = (
    ("y ~ x1 + (1 + x1 | g)", {"parameterization": "noncentered"}),
    ("y ~ x1 + u + (1 + x1 || g)", {"parameterization": "marginal", "residual": "g"}),
    ("y ~ x1 + (1 + x1 | g)", {"pooling": "none"}),
    ("y | weights(w) ~ x1 + x2", {"pooling": "complete", "compress": True}),
    ("y | se(known) ~ x1 + offset(o) + (1 | g)", {"family": "student_t"}),
    ("y | se(known, sigma=True) ~ x1 + (1 | g)", {}),
    ("y | cens(c, y_high) ~ x1 + (1 | g)", {}),
    ("y | trunc(low, high) ~ x1", {"pooling": "complete"}),
    ("y ~ x1 + (1 | g) + factors(g, h, rank=2)", {}),
    ("y ~ x1 + (1 | g) + factors(g, h, rank=2, g=~u)", {}),
    ("y ~ x1 + (1 | g) + factors(g, h, g_2, rank=2)", {}),
)


def with_outcome_units(units: float) -> pd.DataFrame:
    data = small_data().assign(high=9.0, o=small_data()["x2"])
    on_its_scale = ["y", "known", "y_high", "low", "high", "o"]
    return data.assign(**{name: units * data[name] for name in on_its_scale})


@pytest.mark.parametrize(("formula", "options"), OUTCOMES)
@pytest.mark.parametrize("units", [1e-6, 1e6])
def test_units_of_the_outcome_are_only_shown(
    formula: str, options: dict[str, Any], units: float
) -> None:
    """Stan sees the same, and the same draws predict the same, in other units."""
    plain, scaled = (
        sp.Model(formula, with_outcome_units(each), **options) for each in (1.0, units)
    )
    assert scaled.scaling.outcome == units
    before, after = (without_rotation(each.stan_data()) for each in (plain, scaled))
    assert before.keys() == after.keys()
    for name, value in before.items():
        np.testing.assert_allclose(
            after[name], value, rtol=1e-9, atol=1e-9, err_msg=name
        )
    # A density per unit of the outcome is as many times as high, in each row that is
    # no probability; weights count rows.
    old, new = (log_lik(fit_of_prior(each)).to_numpy() for each in (plain, scaled))
    rows = np.ones(14)
    if plain.spec.weights:
        rows = plain.data["w"].to_numpy()
    if plain.spec.cens:
        rows = np.where(plain.data["c"].to_numpy() == 0, 1.0, 0.0)
    np.testing.assert_allclose(new + rows * np.log(units), old, rtol=1e-7, atol=1e-7)


def test_units_of_predictors_of_factors_are_only_shown() -> None:
    """Stan sees the same, and the same draws predict the same, in other units."""
    models = [
        sp.Model(
            "y ~ x1 + (1 | g) + factors(g, h, rank=2, g=~u, h=~size)",
            small_data().assign(u=units * small_data()["u"]),
        )
        for units in (1.0, 1e4)
    ]
    plain, scaled = (each.stan_data() for each in models)
    for name in ("X_scores", "X_loadings", "prior_beta_factors_scale"):
        np.testing.assert_allclose(scaled[name], plain[name], rtol=1e-9)
    before, after = (fit_of_prior(each) for each in models)
    beta = [each.posterior["beta_factors"].to_numpy() for each in (before, after)]
    np.testing.assert_allclose(beta[1][..., 0, :], beta[0][..., 0, :] / 1e4)
    np.testing.assert_allclose(beta[1][..., 1, :], beta[0][..., 1, :])
    np.testing.assert_allclose(after.linpred(), before.linpred(), rtol=1e-9)
    for here, there in zip(*map(starting_values, (before, after)), strict=True):
        np.testing.assert_allclose(there["beta_factors"], here["beta_factors"])


def test_points_of_an_outcome_in_other_units_are_the_same_to_stan() -> None:
    formula = "y ~ x1 + (1 + x1 | g) + factors(g, h, rank=2)"
    fits = [
        fit_of_prior(sp.Model(formula, with_outcome_units(units), residual="g"))
        for units in (1.0, 1e6)
    ]
    for here, there in zip(*map(starting_values, fits), strict=True):  # type: ignore[arg-type]
        assert here.keys() == there.keys()
        for name in here:
            np.testing.assert_allclose(there[name], here[name], rtol=1e-9, atol=1e-9)
    values = {name: np.ones((1, 1)) for name in ("alpha", "sigma", "nu")}
    values["tau"] = np.ones((1, 1, 2))
    undone = fits[1].model.scaling.undone(MadeUpDraws(values))
    wanted = {"alpha": 1e6, "sigma": 1e6, "tau": 1e6, "nu": 1.0}
    for name, value in wanted.items():
        np.testing.assert_array_equal(np.ravel(undone.stan_variable(name))[0], value)


def test_outcomes_without_a_scale_of_their_own_stay() -> None:
    data = small_data().assign(amount=1e6 * small_data()["amount"])
    for family in ("lognormal", "gamma"):
        model = sp.Model("amount ~ x1", data, family=family, pooling="complete")
        assert model.scaling.is_identity
