"""Stan sees predictors on a scale near 1; users see their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import models, small_data
from simulated_fits import MadeUpDraws

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
    plain, scaled = both
    assert plain.keys() == scaled.keys()
    for data in both:
        if "X_rest" in data:  # turned by any rotation
            rest = np.column_stack([data.pop("X_rest"), data.pop("y_rest")])
            data["rest"] = rest.T @ rest
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
    assert '// X[ : , 1] is "x1" / 1000' in model.stan_code


def test_a_prior_that_cannot_be_scaled_keeps_the_predictor() -> None:
    model = sp.Model(
        "y ~ x1", with_units(1e3), pooling="complete", priors={"beta": "beta(1, 2)"}
    )
    assert model.scaling.is_identity
