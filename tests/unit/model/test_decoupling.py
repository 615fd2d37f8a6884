"""The population's coefficients are sampled apart from each other and from groups."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.density.log_posterior import LogPosterior

ROWS = 1200


def crossed() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g, h = rng.integers(0, 40, (2, ROWS))
    x = rng.normal(1, 1, ROWS) + 0.05 * g
    slopes, levels = 0.5 * rng.normal(size=(2, 40))
    y = 3 + x * (1 + slopes[g]) + levels[h] + rng.normal(size=ROWS)
    return pd.DataFrame({"y": y, "x": x, "t": rng.integers(0, 2, ROWS), "g": g, "h": h})


@pytest.mark.parametrize(
    "formula",
    ["y ~ x*t + (1 + x | g) + (1 | h)", "y ~ 0 + x + t + (1 + x || g) + (1 | h)"],
)
def test_they_are_independent_at_the_pilot_estimate_of_the_scales(formula: str) -> None:
    """By second differences of the log density, which is quadratic in them there."""
    model = sp.Model(formula, crossed(), parameterization="adaptive")
    assert model.structure.decoupled
    pilot = model.pilot
    assert pilot is not None
    density = LogPosterior(model)
    at: dict[str, Any] = {
        each.name: np.zeros(each.shape) for each in density.parameters
    }
    at["sigma"] = pilot.parameters["sigma"]
    for end, own in zip(("", "_2"), pilot.factors, strict=True):
        at[f"tau{end}"] = own.tau
        if f"L_Omega{end}" in at:
            at[f"L_Omega{end}"] = np.linalg.cholesky(own.Omega)
    here = density.unconstrain(at)
    start = 0
    places = dict[str, range]()
    for each in density.parameters:
        places[each.name] = range(start, start + each.count)
        start += each.count
    population = list(places["z_theta"])
    groups = [*places["z"][::7], *places["z_2"][::5]]
    unit = np.eye(density.size)

    def second(i: int, j: int) -> float:
        corners = (here + a * unit[i] + b * unit[j] for a in (1, -1) for b in (1, -1))
        one, two, three, four = map(density, corners)
        return (one - two - three + four) / 4

    own = [[second(i, j) for j in population] for i in population]
    np.testing.assert_allclose(own, -np.eye(len(population)), atol=1e-5)
    both = [[second(i, j) for j in groups] for i in population]
    np.testing.assert_allclose(both, 0.0, atol=1e-4)


def test_bounded_priors_and_nested_groups_are_sampled_as_they_are() -> None:
    data = crossed().assign(k=lambda d: d["g"] // 4)
    formula = "y ~ x + (1 | g) + (1 | h)"
    model = sp.Model(formula, data, parameterization="adaptive")
    assert "are standardized" in model.explain()
    bounded = {"beta[x]": "uniform(-9, 9)"}
    for other in (
        model.with_(priors=bounded),
        model.with_(parameterization="centered"),
        sp.Model(f"{formula} + (1 | k)", data, parameterization="adaptive"),
    ):
        assert other.structure.crossproducts
        assert not other.structure.decoupled
    assert model.take(range(200)).program == model.program


def alike(rows: int = 600, seed: int = 3) -> pd.DataFrame:
    """Return three predictors of which two are almost equal."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=(2, rows))
    near = x + 0.2 * rng.normal(size=rows)
    g = rng.integers(0, 20, rows)
    eta = 1 + 0.5 * x - 0.3 * near + 0.2 * z + 0.5 * rng.normal(size=20)[g]
    data = pd.DataFrame({"x": x, "near": near, "z": z, "g": g})
    data["count"] = rng.poisson(np.exp(eta))
    return data.assign(y=eta + rng.normal(size=rows))


@pytest.mark.parametrize(
    ("outcome", "family"), [("y", "gaussian"), ("count", "poisson")]
)
def test_predictors_that_are_alike_are_sampled_apart(outcome: str, family: str) -> None:
    """Near the best point, second differences in z_theta are those of a unit normal."""
    data = alike()
    model = sp.Model(f"{outcome} ~ x + near + z + (1 | g)", data, family=family)
    assert model.structure.decoupled
    assert "predictors are correlated" in model.explain()
    told = model.stan_data()
    covariance = told["theta_root"] @ told["theta_root"].T
    sd = np.sqrt(np.diagonal(covariance))
    assert (covariance / np.outer(sd, sd))[1, 2] < -0.9
    density = LogPosterior(model)
    at: dict[str, Any] = {
        each.name: np.zeros(each.shape) for each in density.parameters
    }
    pilot = model.pilot
    assert pilot is not None
    if "sigma" in at:
        at["sigma"] = pilot.parameters["sigma"]
    at |= {name: pilot.factors[0].tau for name in at if name.startswith("tau")}
    here = density.unconstrain(at)
    start = 0
    for each in density.parameters:
        if each.name == "z_theta":
            break
        start += each.count
    # Not the intercept: what is said of it depends on where z of the groups is.
    unit = np.eye(density.size)[start + 1 : start + 4]

    def second(i: int, j: int) -> float:
        corners = (here + a * unit[i] + b * unit[j] for a in (1, -1) for b in (1, -1))
        one, two, three, four = map(density, corners)
        return (one - two - three + four) / 4

    found = -np.array([[second(i, j) for j in range(3)] for i in range(3)])
    if family == "gaussian":  # what rows say is the same everywhere
        np.testing.assert_allclose(np.diagonal(found), 1.0, atol=0.05)
    sd = np.sqrt(np.diagonal(found))
    np.testing.assert_allclose(found / np.outer(sd, sd), np.eye(3), atol=0.1)


@pytest.mark.parametrize("outcome", ["y", "count"])
def test_predictors_of_rows_read_in_chunks_are_compared(outcome: str) -> None:
    """By what the rows are reduced to, since none of them are kept."""
    data = alike().round({"x": 1, "near": 1, "z": 0})
    for predictors, is_apart in (("x + near + z", True), ("x + z", False)):
        model = sp.Model(
            f"{outcome} ~ {predictors} + (1 | g)",
            iter([data[:100], data[100:]]),
            family="gaussian" if outcome == "y" else "poisson",
        )
        assert model.structure.decoupled == is_apart


def test_predictors_that_differ_are_sampled_as_they_are() -> None:
    data = alike()
    for formula in ("y ~ x + z + (1 | g)", "y ~ near + (1 | g)"):
        model = sp.Model(formula, data)
        assert model.parameterization == "marginal"
        assert not model.structure.decoupled
    # Of several factors one may form a ridge with the intercept.
    several = data.assign(h=data.index % 7)
    formula = "count ~ x + near + (1 | g) + (1 | h)"
    model = sp.Model(formula, several, family="poisson")
    assert model.structure.on_ridge
    assert not model.structure.decoupled
