"""Groups of a known covariance, integrated out, against normal distributions."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp

PAIRS = pd.DataFrame([("a", "b"), ("b", "c"), ("c", "d")], columns=["one", "other"])
KNOWN = {"W": PAIRS, "T": range(9)}
FORMULAS = (
    "y ~ x + rw1(t)",
    "y ~ rw1(t, T)",
    "y ~ rw2(t)",
    "y ~ 0 + x + rw1(t | g)",
    "y ~ x + icar(g, W)",
    "y | weights(w) ~ x + icar(g, W)",
    "y | se(s) ~ x + rw1(t)",
    "y ~ x + (0 + x | gr(g, cov=A))",
)


def data() -> pd.DataFrame:
    """Times with several rows, with gaps, and not in their order."""
    rng = np.random.default_rng(8)
    t = np.array([3, 0, 1, 7, 3, 5, 0, 7, 3, 2, 1])
    found = pd.DataFrame({"t": t, "g": list("abdabdabdab")})
    found["x"] = rng.normal(size=len(t))
    found["w"], found["s"] = rng.uniform(0.5, 2.0, (2, len(t)))
    return found.assign(y=np.cumsum(rng.normal(size=9))[t] + rng.normal(0, 0.5, len(t)))


def model_of(formula: str, **options: object) -> sp.Model:
    A = pd.DataFrame(
        [[1.0, 0.5, 0.1], [0.5, 2.0, -0.3], [0.1, -0.3, 1.5]], list("abd"), list("abd")
    )
    frame, known = data(), KNOWN | {"A": A}
    return sp.Model(formula, frame, covariances=known, **options)


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_rows_are_jointly_normal(formula: str) -> None:
    """A weight w makes a row's density that of w rows."""
    model = model_of(formula)
    assert model.parameterization == "marginal"
    rows, design = model.rows, model.design
    (factor,), frame = design.factors, data()
    B = factor.root.times(np.eye(factor.root.columns))[factor.index] * factor.Z
    ones = np.ones((len(frame), int(design.intercept)))
    X = np.column_stack([ones, design.X - design.x_bar * design.intercept])
    w = frame["w"] if "weights" in formula else np.ones(len(frame))
    differences = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        theta, (tau, sigma) = rng.normal(size=X.shape[1]), rng.lognormal(size=2)
        sigma = 1.0 if "se(" in formula else sigma
        noise = frame["s"] ** 2 if "se(" in formula else sigma**2 / w
        whole = stats.multivariate_normal(
            X @ theta, np.diag(noise) + tau**2 * B @ B.T
        ).logpdf(frame["y"])
        whole -= np.sum(w - 1) * np.log(sigma)
        moved = theta - rows.y_shift * np.eye(len(theta))[0] * design.intercept
        own = rows.rows
        variances = sigma**2 + tau**2 * own.Z[:, 0, 0] ** 2
        left = own.X[:, 0, -1] - own.X[:, 0, :-1] @ moved
        rest = own.rest[:, -1] - own.rest[:, :-1] @ moved
        found = stats.norm(0, np.sqrt(variances)).logpdf(left).sum()
        found += stats.norm(0, sigma).logpdf(rest).sum()
        differences.append(found - rows.zeros[0] * np.log(sigma) - whole)
    assert np.ptp(differences) < 1e-9


def test_times_are_drawn_back_together() -> None:
    """Means and covariances given the parameters, also of a time without rows."""
    tau, sigma = 0.8, 0.5
    priors = {
        "Intercept": "normal(0, 1000)",
        "tau": f"lognormal({math.log(tau)!r}, 0.001)",
        "sigma": f"lognormal({math.log(sigma)!r}, 0.001)",
    }
    model = model_of("y ~ rw1(t, T)", priors=priors)
    fit = model.fit(seed=1, progress=False)
    (factor,), frame = model.design.factors, data()
    B = factor.root.times(np.eye(factor.root.columns))
    K = tau**2 * B @ B.T + 1000.0**2
    at = factor.index
    inner = K[np.ix_(at, at)] + sigma**2 * np.eye(len(at))
    weights = np.linalg.solve(inner, K[at]).T
    b = fit.posterior["b_rw1_t"].to_numpy().reshape(4000, -1)
    covariance = K - weights @ K[at]
    sds = np.sqrt(np.diag(covariance))
    # At least a quarter of the 4,000 draws counts.
    gap = (b.mean(axis=0) - weights @ frame["y"]) / (sds / math.sqrt(1000))
    assert np.abs(gap).max() < 4
    error = np.sqrt(1 + (covariance / np.outer(sds, sds)) ** 2) / math.sqrt(1000)
    scaled = (np.cov(b.T) - covariance) / np.outer(sds, sds)
    assert (np.abs(scaled) < 4 * error).all()


def test_a_walk_without_residuals_is_explored() -> None:
    """Years with a row each, whose residual scale the data do not tell from 0."""
    rng = np.random.default_rng(5)
    y = np.cumsum(rng.normal(0, 0.5, 40)) + rng.normal(0, 0.3, 40)
    model = sp.Model("y ~ rw1(t)", pd.DataFrame({"t": range(40), "y": y}))
    assert "groups with a known covariance have one row each" in str(model.explain())
    assert "rotated into those of independent groups" in str(model.explain())
    fit = model.fit(seed=1, progress=False)
    # Sampled with its deviations, R-hat was 1.37 and 1,121 transitions diverged.
    assert fit.summary(groups=False)["r_hat"].max() < 1.05
    assert fit.sample_stats["diverging"].sum() < 100


def test_several_factors_or_coefficients_are_sampled() -> None:
    formulas = ("y ~ (1 + x | gr(g, cov=A))", "y ~ rw1(t) + (1 | g)", "y ~ ar1(t)")
    for formula in formulas:
        model = model_of(formula)
        assert not model.structure.factors[0].integrated
        assert model.structure.factors[0].known_covariance
