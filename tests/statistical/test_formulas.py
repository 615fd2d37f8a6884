"""Parameters that have formulas: estimates of other tools, and simulated data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from stanpool.inference.prediction.integrated.group_likelihood import (
    group_log_likelihood,
)
from stanpool.inference.prediction.predict import epred, linpred, log_lik, predict
from stanpool.inference.prediction.prior_predictive import Drawn, draw_given


def test_the_likelihood_of_sleepstudy_is_glmmtmbs() -> None:
    """The figures are those of glmmTMB 1.1.5 in R 4.2.2.

    glmmTMB(Reaction ~ Days + (1 | Subject), dispformula = ~Days, data = sleepstudy):
    fixef(), half of it for the dispersion, which is of the variance, VarCorr() and
    logLik().
    """
    model = sp.Model(
        ["Reaction ~ Days + (1 | Subject)", "sigma ~ Days"],
        sp.load_dataset("sleepstudy"),
    )
    best = {
        "Intercept": 252.8337632280,
        "beta[Days]": 10.0929929930,
        "tau_Subject[Intercept]": 30.9401640383,
        "Intercept_sigma": 6.0693082948 / 2,
        "beta_sigma[Days]": 0.1663807971 / 2,
    }

    def total(**moved: float) -> float:
        at = {name: value + moved.get(name, 0.0) for name, value in best.items()}
        drawn: Any = Drawn(model, draw_given(model, at, np.random.default_rng(1)))
        return float(group_log_likelihood(drawn).sum())

    assert total() == pytest.approx(-891.9118793028, abs=1e-8)
    for name in best:
        assert total() > max(total(**{name: 0.01}), total(**{name: -0.01}))


def test_a_fit_of_sleepstudy_agrees_with_glmmtmb() -> None:
    model = sp.Model(
        ["Reaction ~ Days + (1 | Subject)", "sigma ~ Days"],
        sp.load_dataset("sleepstudy"),
    )
    fit = model.fit(draws=500, seed=1, progress=False)
    found = fit.summary()
    # Estimates and standard errors by vcov() of the same call; the posterior is wider
    # and has tails, so that its means are near and not equal.
    for name, (estimate, error) in {
        "Intercept": (252.8337632280, 8.01715038),
        "beta[Days]": (10.0929929930, 0.80291304),
        "Intercept_sigma": (6.0693082948 / 2, 0.25369341 / 2),
        "beta_sigma[Days]": (0.1663807971 / 2, 0.05095308 / 2),
    }.items():
        assert abs(found["mean"][name] - estimate) < 0.25 * error, name
        assert found["sd"][name] == pytest.approx(error, rel=0.2), name


def test_at_the_mode_coefficients_are_those_of_weighted_least_squares() -> None:
    """Weighted by the precisions at the mode."""
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=(2, 80))
    y = 1.0 + 2.0 * x + np.exp(0.5 * z) * rng.normal(size=80)
    data = pd.DataFrame({"x": x, "z": z, "y": y})
    names = ("Intercept", "beta", "Intercept_sigma", "sigma.beta[z]")
    with pytest.warns(sp.PriorWarning, match="flat prior"):
        model = sp.Model(
            {"y": "x", "sigma": "~ z"}, data, priors=dict.fromkeys(names, "flat")
        )
    fit = model.fit(method="optimize", seed=1, engine="stanli", progress=False)
    found = fit.summary()["mode"]
    X = np.column_stack([np.ones(80), x])
    weights = np.exp(-2 * found["beta_sigma[z]"] * z)
    wanted = np.linalg.solve(X.T @ (weights[:, None] * X), X.T @ (weights * y))
    np.testing.assert_allclose(found[["Intercept", "beta[x]"]], wanted, rtol=1e-3)
    squares = np.square(y - X @ wanted) * weights
    log_scale = 0.5 * np.log(squares.mean())
    assert found["Intercept_sigma"] == pytest.approx(log_scale, abs=1e-3)
    assert np.mean(z * squares) / squares.mean() == pytest.approx(z.mean(), abs=1e-3)


@pytest.mark.parametrize("family", ["gaussian", "student_t", "lognormal"])
def test_coefficients_of_simulated_scales_are_found(family: str) -> None:
    rng = np.random.default_rng(1)
    n, groups = 600, 20
    g = rng.integers(groups, size=n)
    x, z = rng.normal(size=(2, n))
    u, v = 0.8 * rng.normal(size=groups), 0.4 * rng.normal(size=groups)
    sigma = np.exp(-0.7 + 0.5 * z + v[g])
    noise = rng.standard_t(5, n) if family == "student_t" else rng.normal(size=n)
    y = 0.5 + 1.2 * x + u[g] + sigma * noise
    data = pd.DataFrame({"x": x, "z": z, "g": g.astype(str)})
    data["y"] = np.exp(y) if family == "lognormal" else y
    model = sp.Model(["y ~ x + (1 | g)", "sigma ~ z + (1 | g)"], data, family=family)
    fit = model.fit(chains=2, draws=400, seed=2, progress=False)
    found = fit.summary()
    truth = {
        "Intercept": 0.5,
        "beta[x]": 1.2,
        "tau_g[Intercept]": 0.8,
        "Intercept_sigma": -0.7,
        "beta_sigma[z]": 0.5,
        "tau_sigma_g[Intercept]": 0.4,
    }
    for name, value in truth.items():
        assert abs(found["mean"][name] - value) < 3.5 * found["sd"][name], name
    own = fit.posterior["b_sigma_g"].mean(("chain", "draw"))[:, 0].to_numpy()
    order = [int(label) for label in model.design.group_labels]
    assert np.corrcoef(own, v[order])[0, 1] > 0.9


def test_log_likelihoods_and_predictions_use_the_scale_of_each_row() -> None:
    rng = np.random.default_rng(5)
    n = 40
    data = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    data["g"], data["y"] = (np.arange(n) % 4).astype(str), rng.normal(size=n)
    model = sp.Model(["y ~ x + (1 | g)", "sigma ~ z + (1 | g)"], data)
    drawn: Any = Drawn(model, model.prior_predictive(60, seed=1)["prior"].ds)
    posterior = drawn.posterior
    found = log_lik(drawn).stack(s=("chain", "draw")).to_numpy()
    own = posterior["b_g"].sel(g=data["g"].to_numpy()).isel(g_coefficient=0)
    scale = posterior["b_sigma_g"].sel(g=data["g"].to_numpy())
    scale = scale.isel(sigma_g_coefficient=0).stack(s=("chain", "draw")).to_numpy()
    beta = posterior["beta"].isel(coefficient=0).to_numpy().ravel()
    slope = posterior["beta_sigma"].isel(coefficient_sigma=0).to_numpy().ravel()
    x, z = (data[name].to_numpy()[:, None] for name in "xz")
    eta = own.stack(s=("chain", "draw")).to_numpy() + beta * x
    sigma = np.exp(scale + slope * z)
    y = data["y"].to_numpy()[:, None]
    np.testing.assert_allclose(found, stats.norm.logpdf(y, eta, sigma), rtol=1e-9)
    new = data.drop(columns="y").assign(z=[-4.0, 4.0] * 20)
    residuals = predict(drawn, new, seed=3) - linpred(drawn, new)
    scales = np.exp(scale + slope * new["z"].to_numpy()[:, None])
    standard = residuals.stack(s=("chain", "draw")).to_numpy() / scales
    assert stats.kstest(standard.ravel(), "norm").pvalue > 1e-3


def test_the_expectation_of_lognormal_outcomes_depends_on_the_scale_of_a_row() -> None:
    rng = np.random.default_rng(6)
    data = pd.DataFrame({"z": rng.normal(size=30)})
    data["y"] = rng.lognormal(size=30)
    model = sp.Model(["y ~ 1", "sigma ~ z"], data, family="lognormal")
    prior = {"Intercept_sigma": "normal(0, 0.2)", "beta_sigma": "normal(0, 0.2)"}
    model = model.with_(priors=prior)
    drawn: Any = Drawn(model, model.prior_predictive(20, seed=1)["prior"].ds)
    at = drawn.posterior
    sigma = np.exp(
        at["Intercept_sigma"].to_numpy()[..., None]
        + at["beta_sigma"].to_numpy() * data["z"].to_numpy()
    )
    wanted = np.exp(at["Intercept"].to_numpy()[..., None] + sigma**2 / 2)
    np.testing.assert_allclose(epred(drawn, data[["z"]]), wanted, rtol=1e-12)


def test_outcomes_drawn_from_the_prior_do_not_overflow() -> None:
    """As in brms issue 1197, where half of the scales were infinite."""
    rng = np.random.default_rng(7)
    data = pd.DataFrame(rng.normal(size=(100, 6)), columns=list("abcdey"))
    data["g"] = (np.arange(100) % 9).astype(str)
    data["y"] *= 1e4
    formulas = ["y ~ a + (1 | g)", "sigma ~ a + b + c + d + e + (1 + a + b | g)"]
    drawn = sp.Model(formulas, data).prior_predictive(2000, seed=1)
    y = np.abs(drawn["prior_predictive"]["y"].to_numpy())
    assert np.isfinite(y).all()
    assert np.quantile(y, 0.999) < 1e3 * data["y"].std()
