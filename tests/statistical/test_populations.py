"""Student-t and Laplace populations of groups, against SciPy's and quadrature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate, special, stats

import stanpool as sp
from statistical.monte_carlo import FITTING, assert_mean

NU, TAU, MEAN = 3.0, 2.0, 1.0
POPULATIONS = {
    "student_t": stats.t(NU, MEAN, TAU),
    "laplace": stats.laplace(MEAN, TAU / np.sqrt(2)),
}
EFFECTS = {"y": [-9.0, 0.5, 1.2, 2.0, 14.0], "s": [1.0, 1.5, 1.0, 2.0, 2.5]}


def model_of(population: str, **options: Any) -> sp.Model:
    """Five groups with one estimate each, and all but their coefficients known."""
    priors = {"Intercept": f"constant({MEAN})", "tau": f"constant({TAU})"}
    if population == "student_t":
        priors["nu_g"] = f"constant({NU})"
    formula = f'y | se(s) ~ 1 + (1 | gr(g, dist="{population}"))'
    return sp.Model(formula, {**EFFECTS, "g": list("abcde")}, priors=priors, **options)


@pytest.mark.parametrize("population", POPULATIONS)
def test_posteriors_of_groups_are_those_of_quadrature(population: str) -> None:
    """Outliers are shrunk by little: each group has an integral of its own."""
    fit = model_of(population).fit(**FITTING)
    b = fit.posterior["b_g"].isel(g_coefficient=0)
    for place, (y, s) in enumerate(zip(EFFECTS["y"], EFFECTS["s"], strict=True)):

        def weight(at: float, y: float = y, s: float = s) -> float:
            return float(stats.norm.pdf(y, at, s) * POPULATIONS[population].pdf(at))

        points = {"points": [MEAN, y], "limit": 200}
        total = integrate.quad(weight, -40, 40, **points)[0]
        mean = integrate.quad(lambda at: at * weight(at), -40, 40, **points)[0] / total
        assert_mean(b.isel(g=place), mean)


@pytest.mark.parametrize("population", POPULATIONS)
def test_prior_draws_and_new_groups_are_of_the_population(population: str) -> None:
    model, expected = model_of(population), POPULATIONS[population]
    prior = model.prior_predictive(400, seed=1)["prior"]["b_g"].to_numpy().ravel()
    assert stats.kstest(prior, expected.cdf).pvalue > 0.01
    fit = model.fit(**FITTING)
    new = {"g": [f"new {n}" for n in range(3)], "s": [1.0] * 3}
    drawn = fit.linpred(new, new_groups="population", seed=1).to_numpy().ravel()
    assert stats.kstest(drawn, expected.cdf).pvalue > 0.01


def test_coefficients_of_a_group_share_their_tails() -> None:
    """Both are divided by the square root of the same chi-squared variable."""
    rng = np.random.default_rng(2)
    data = {"y": rng.normal(size=12), "x": rng.normal(size=12), "g": [*"abc"] * 4}
    model = sp.Model(
        'y ~ x + (1 + x | gr(g, dist="student_t"))',
        data,
        priors={
            "Intercept": "constant(0)",
            "beta": "constant(0)",
            "tau": "constant(1)",
            "nu_g": f"constant({NU})",
        },
    )
    prior = model.prior_predictive(2000, seed=1)["prior"]
    b = prior["b_g"].isel(g=0).to_numpy().reshape(-1, 2)
    chol = np.linalg.cholesky(prior["Omega_g"].to_numpy().reshape(-1, 2, 2))
    z = np.linalg.solve(chol, b[..., None])[..., 0]
    # Of a multivariate Student-t distribution in Q dimensions z'z / Q is F(Q, nu).
    assert stats.kstest((z**2).sum(axis=1) / 2, stats.f(2, NU).cdf).pvalue > 0.01
    size = np.abs(z)
    assert stats.spearmanr(size[:, 0], size[:, 1]).pvalue < 1e-6


@pytest.mark.parametrize("population", POPULATIONS)
def test_means_over_new_groups_are_integrals_over_the_population(
    population: str,
) -> None:
    """Probabilities of new groups, averaged by quadrature."""
    rng = np.random.default_rng(3)
    data = {"y": rng.integers(0, 2, 60), "g": np.repeat(np.arange(6), 10)}
    priors = {"Intercept": f"constant({MEAN})", "tau": f"constant({TAU})"}
    if population == "student_t":
        priors["nu_g"] = f"constant({NU})"
    formula = f'y ~ 1 + (1 | gr(g, dist="{population}"))'
    model = sp.Model(formula, data, family="bernoulli", priors=priors)
    fit = model.fit(**FITTING | {"draws": 100, "warmup": 100})
    table = fit.predictions(groups="population")
    expected = POPULATIONS[population].expect(special.expit)
    # All parameters are known: all that is left is the error of the mixture.
    for column in ("estimate", "lower", "upper"):
        assert table[column].iloc[0] == pytest.approx(expected, abs=1e-3)


def test_means_of_counts_over_student_t_groups_are_infinite() -> None:
    data = {"y": [0, 1, 4, 2, 3, 9], "g": [*"abc"] * 2}
    model = sp.Model('y ~ (1 | gr(g, dist="student_t"))', data, family="poisson")
    fit = model.fit(**FITTING | {"draws": 100, "warmup": 100})
    with pytest.raises(sp.SpecError, match="is infinite"):
        fit.predictions(groups="population")


def test_shares_of_variance_have_the_variance_of_the_population() -> None:
    """That of a Student-t distribution is its squared scale times nu / (nu - 2)."""
    rng = np.random.default_rng(4)
    data = {"y": rng.normal(size=60), "g": np.repeat(np.arange(12), 5)}
    model = sp.Model(
        'y ~ 1 + (1 | gr(g, dist="student_t"))',
        data,
        priors={
            "tau": "constant(0.5)",
            "nu_g": "constant(4)",
            "sigma": "constant(1)",
        },
    )
    fit = model.fit(**FITTING | {"draws": 100, "warmup": 100})
    share = fit.icc()["mean"].iloc[0]
    assert share == pytest.approx(0.5 / (0.5 + 1.0))
    heavy = model.with_(priors={"nu_g": "constant(2)", "sigma": "constant(1)"})
    # The more groups, the larger is their share, without an end.
    assert (
        heavy.fit(**FITTING | {"draws": 100, "warmup": 100}).icc()["mean"] == 1
    ).all()
    with pytest.raises(sp.SpecError, match="fix these at a number"):
        fit.plot.prior_posterior(var_names=["sigma"])
    titles = [ax.get_title(loc="left") for ax in fit.plot.prior_posterior().axes]
    assert titles == ["Intercept"]


@pytest.mark.parametrize(
    ("formula", "options", "said"),
    [
        ('y ~ (1 | gr(g, dist="cauchy"))', {}, "dist is one of"),
        ('y ~ (1 | gr(g, dist="laplace", cov=A))', {}, "either a covariance"),
        ("y ~ (1 | gr(g))", {}, "either a covariance"),
        ('y ~ (1 + x | gr(g, dist="laplace"))', {}, "Write \\|\\| in the place"),
        (
            'y ~ (1 | gr(g, dist="student_t"))',
            {"parameterization": "centered"},
            "population that is not normal",
        ),
        (
            'y ~ (1 | gr(g, dist="student_t"))',
            {"parameterization": "marginal"},
            "not normal have no closed form",
        ),
        (
            'y ~ (1 | gr(g, dist="student_t"))',
            {"pooling": "none"},
            "gives groups no population",
        ),
    ],
)
def test_what_cannot_be_is_refused(formula: str, options: Any, said: str) -> None:
    data = {"y": np.arange(8.0), "x": np.arange(8.0) ** 2, "g": [*"abcd"] * 2}
    with pytest.raises(sp.SpecError, match=said):
        sp.Model(formula, data, **options)


def test_groups_are_not_left_out_of_populations_that_are_not_normal() -> None:
    fit = model_of("laplace").fit(**FITTING | {"draws": 100, "warmup": 100})
    with pytest.raises(sp.SpecError, match=r"not integrated.*Leave out rows"):
        fit.loo(unit="group")
