"""Coefficients between bounds, and constants, against closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import stanpool as sp
from statistical.monte_carlo import FITTING, assert_mean

SIGMA, TAU = 1.3, 0.7


def simulated(seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, g = rng.normal(size=40), np.arange(40) % 8
    y = 0.1 * x + rng.normal(0.0, TAU, 8)[g] + rng.normal(0.0, SIGMA, 40)
    return {"x": x, "g": g, "y": y}


@pytest.mark.parametrize(
    ("bounds", "ends"),
    [
        ("lb=0.2", (0.2, np.inf)),
        ("ub=-0.1", (-np.inf, -0.1)),
        ("lb=-0.05, ub=0.3", (-0.05, 0.3)),
    ],
)
def test_a_coefficient_between_bounds_is_a_truncated_normal(
    bounds: str, ends: tuple[float, float]
) -> None:
    """With one coefficient and a known scale, the posterior is normal, and cut off."""
    data = simulated()
    model = sp.Model(
        "y ~ 0 + x",
        data,
        priors={"beta": f"normal(0, 2, {bounds})", "sigma": f"constant({SIGMA})"},
    )
    fit = model.fit(**FITTING)
    x, y = data["x"], data["y"]
    precision = 2.0**-2 + x @ x / SIGMA**2
    mean, sd = (x @ y / SIGMA**2) / precision, precision**-0.5
    lower, upper = ((end - mean) / sd for end in ends)
    expected = stats.truncnorm(lower, upper, mean, sd)
    beta = fit.posterior["beta"].isel(coefficient=0)
    assert float(beta.min()) > ends[0]
    assert float(beta.max()) < ends[1]
    assert_mean(beta, expected.mean())
    assert_mean(beta**2, expected.moment(2))
    assert (fit.posterior["sigma"] == SIGMA).all()


@pytest.mark.parametrize("parameterization", ["marginal", "adaptive"])
def test_with_constant_scales_the_posterior_is_normal(parameterization: Any) -> None:
    """The coefficients that are left, and those of groups, are jointly normal."""
    data = simulated()
    model = sp.Model(
        "y ~ x + (1 | g)",
        data,
        parameterization=parameterization,
        center_predictors=False,
        priors={
            "Intercept": "normal(0, 2)",
            "beta[x]": "constant(0.4)",
            "tau": f"constant({TAU})",
            "sigma": f"constant({SIGMA})",
        },
    )
    fit = model.fit(**FITTING)
    columns = np.column_stack([np.ones(40), data["g"][:, None] == np.arange(8)])
    prior = np.diag([2.0**-2, *[TAU**-2] * 8])
    precision = columns.T @ columns / SIGMA**2 + prior
    left = data["y"] - 0.4 * data["x"]
    mean = np.linalg.solve(precision, columns.T @ left / SIGMA**2)
    assert (fit.posterior["beta"] == 0.4).all()
    assert_mean(fit.posterior["Intercept"], mean[0])
    of_groups = fit.posterior["b_g"].isel(g_coefficient=0)
    for group in range(8):
        assert_mean(of_groups.isel(g=group), mean[0] + mean[1 + group])
    assert fit.diagnose().ok


def test_prior_draws_and_predictions_keep_to_the_restrictions() -> None:
    given = {"beta[x]": "normal(0, 1, lb=0)", "tau": "constant(0.5)"}
    model = sp.Model("y ~ x + (1 | g)", simulated(), priors=given)
    prior = model.prior_predictive(50, seed=1)["prior"]
    assert (prior["beta"] > 0).all()
    assert (prior["tau_g"] == 0.5).all()
    fit = model.fit(**FITTING | {"draws": 100, "warmup": 100})
    assert (fit.posterior["beta"] > 0).all()
    new = fit.predict({"x": [0.0], "g": [99]}, new_groups="population", seed=1)
    assert np.isfinite(new).all()
