"""Group effects of several parameters that an id correlates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import fit_of_points
from stanpool.inference.prediction.integrated.group_likelihood import (
    group_log_likelihood,
)
from statistical import densities
from statistical.monte_carlo import STANDARD_ERRORS

FORMULAS = ["y ~ x1 + (1 + x1 |p| g)", "sigma ~ x2 + (1 |p| g)"]
DRAWS = 4000
TRUTH = np.array([[1.0, 0.3, 0.7], [0.3, 1.0, 0.2], [0.7, 0.2, 1.0]])


def covariance_of(point: densities.Point) -> np.ndarray:
    """Return the covariance of all deviations of a group, those of the mean first."""
    tau = np.concatenate([point.first.tau, point.formulas["sigma"].factors[0].tau])
    assert point.first.joint is not None
    return np.outer(tau, tau) * point.first.joint


@pytest.fixture(scope="module")
def known() -> tuple[sp.Fit, densities.Point]:
    """A fit whose draws are the same point, and the point."""
    model = sp.Model(FORMULAS, small_data())
    fit, points = fit_of_points(model, chains=4, draws=DRAWS // 4, one=True)
    return fit, points[0]


def test_coefficients_of_new_groups_are_drawn_together(
    known: tuple[sp.Fit, densities.Point],
) -> None:
    fit, point = known
    new = pd.DataFrame({"g": ["new", "new"], "x1": [0.0, 1.0], "x2": [0.0, 0.0]})
    drawn = []
    for parameter in ("mean", "sigma"):
        eta = fit.linpred(new, new_groups="population", parameter=parameter, seed=3)
        drawn.append(eta.to_numpy().reshape(DRAWS, 2))
    mean, sigma = drawn
    u = np.column_stack([mean[:, 0], mean[:, 1] - mean[:, 0], sigma[:, 0]])
    expected = covariance_of(point)
    found = np.cov(u.T)
    # The variance of a covariance of normals, of which there are as many as draws.
    variance = expected**2 + np.outer(np.diag(expected), np.diag(expected))
    error = np.sqrt(variance / DRAWS)
    assert (np.abs(found - expected) < STANDARD_ERRORS * error).all()


def test_a_group_that_is_left_out_has_what_is_known_of_its_scale(
    known: tuple[sp.Fit, densities.Point],
) -> None:
    fit, point = known
    data, design = small_data(), fit.model.design
    found = group_log_likelihood(fit)[0]
    covariance = covariance_of(point)
    slopes = covariance[:2, 2:] / covariance[2, 2]
    left = covariance[:2, :2] - slopes @ covariance[2:, :2]
    sigma = densities.parameter_of_rows(fit.model, data, point, "sigma")
    means = densities.group_means(fit.model, data, point, 0)
    middle = replace(point, factors=(replace(point.first, b=means),))
    eta = densities.linear_predictor(fit.model, data, middle)
    factor = design.factors[0]
    for group, value in enumerate(found):
        at = factor.index == group
        Z = factor.Z[at]
        u = slopes[:, 0] * point.formulas["sigma"].factors[0].b[group, 0]
        rows = stats.multivariate_normal(
            eta[at] + Z @ u, Z @ left @ Z.T + np.diag(sigma[at] ** 2)
        )
        assert value == pytest.approx(rows.logpdf(design.y[at]), rel=1e-9)


def test_rows_of_a_new_group_say_what_quadrature_says(
    known: tuple[sp.Fit, densities.Point],
) -> None:
    model = sp.Model(["y ~ 1 + (1 |p| g)", "sigma ~ 1 + (1 |p| g)"], small_data())
    fit, (point, *_) = fit_of_points(model, chains=4, draws=2500, one=True, seed=28)
    covariance = covariance_of(point)
    start = point.intercept
    level = point.formulas["sigma"].intercept
    y = start + np.array([1.0, 2.0, 1.2])
    grid = np.linspace(-7.0, 7.0, 1201)
    sd = np.sqrt(np.diag(covariance))
    u, v = np.meshgrid(sd[0] * grid, sd[1] * grid, indexing="ij")
    log = stats.multivariate_normal(cov=covariance).logpdf(np.stack([u, v], axis=-1))
    for each in y:
        log = log + stats.norm.logpdf(each, start + u, np.exp(level + v))
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    given = pd.DataFrame({"y": y, "g": ["new"] * 3})
    new = pd.DataFrame({"g": ["new"]})
    for parameter, values in (("mean", start + u), ("sigma", level + v)):
        drawn = fit.linpred(new, given=given, parameter=parameter, seed=2).to_numpy()
        expected = (weight * values).sum()
        spread = np.sqrt((weight * (values - expected) ** 2).sum())
        # Draws of the population are weighted: fewer are effective.
        error = STANDARD_ERRORS * spread / np.sqrt(drawn.size / 5)
        assert drawn.mean() == pytest.approx(expected, abs=error)
        assert drawn.std() == pytest.approx(spread, abs=error)


def simulated() -> pd.DataFrame:
    """Return 600 rows of 40 groups, whose means and scales are correlated by 0.7."""
    rng = np.random.default_rng(1)
    groups, rows = 40, 15
    R = TRUTH
    tau = np.array([1.0, 0.5, 0.4])
    u = rng.multivariate_normal(np.zeros(3), np.outer(tau, tau) * R, size=groups)
    g = np.repeat(np.arange(groups), rows)
    x = rng.normal(size=len(g)) + 3.0
    y = 2.0 + u[g, 0] + (0.5 + u[g, 1]) * x
    y += np.exp(-0.5 + u[g, 2]) * rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x - 5.0, "g": [f"g{k}" for k in g]})


# Posterior means, standard deviations and effective sample sizes by brms 2.18.0 with
# rstan 2.21.7, of bf(y ~ x + (1 + x |p| g), sigma ~ 1 + (1 |p| g)), the same data and
# priors. Its intercept is at predictors of 0, as ours.
BRMS = {
    "Intercept": (4.41878, 0.389813, 634),
    "beta[x]": (0.47842, 0.076355, 816),
    "tau_g[Intercept]": (2.49994, 0.286182, 954),
    "tau_g[x]": (0.45384, 0.059004, 1546),
    "Omega_g[Intercept, x]": (0.86285, 0.051424, 2489),
    "Omega_g[Intercept, sigma_Intercept]": (0.34446, 0.151476, 3694),
    "Omega_g[x, sigma_Intercept]": (0.11837, 0.176464, 2848),
    "Intercept_sigma": (-0.56906, 0.064634, 2502),
    "tau_sigma_g[Intercept]": (0.35263, 0.055281, 2776),
}
PRIORS = {
    "Intercept": "normal(3.43, 4.89)",
    "beta[x]": "normal(0, 4.85)",
    "tau_g[Intercept]": "exponential(0.511)",
    "tau_g[x]": "exponential(0.515)",
    "Omega_g": "lkj(2)",
    "Intercept_sigma": "normal(0.0942, 1.28)",
    "tau_sigma_g[Intercept]": "exponential(2)",
}


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    model = sp.Model(
        ["y ~ x + (1 + x |p| g)", "sigma ~ 1 + (1 |p| g)"], simulated(), priors=PRIORS
    )
    return model.fit(seed=1, draws=1000)


def test_posteriors_are_those_of_brms(fit: sp.Fit) -> None:
    names = ("Intercept", "beta", "tau_g", "Omega_g", "Intercept_sigma", "tau_sigma_g")
    table = fit.summary(var_names=names)
    for name, (mean, sd, ess) in BRMS.items():
        own = table.loc[name]
        error = np.hypot(own["mcse_mean"], sd / np.sqrt(ess))
        assert abs(own["mean"] - mean) < STANDARD_ERRORS * error, name
        # The standard error of a standard deviation is about sd / sqrt(2 ess).
        assert own["sd"] == pytest.approx(sd, rel=5 / np.sqrt(2 * ess)), name


def test_correlations_across_formulas_are_recovered(fit: sp.Fit) -> None:
    draws = fit.posterior["Omega_g"].sel(g_joint="Intercept")
    draws = draws.sel(g_joint_2="sigma_Intercept").to_numpy()
    tau = np.array([1.0, 0.5, 0.4])
    move = np.array([[1.0, 5.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # x - 5
    covariance = move @ (np.outer(tau, tau) * TRUTH) @ move.T
    sd = np.sqrt(np.diag(covariance))
    assert abs(draws.mean() - covariance[0, 2] / (sd[0] * sd[2])) < 2 * draws.std()
