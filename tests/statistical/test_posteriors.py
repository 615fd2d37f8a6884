"""Posteriors against hand-written programs, closed forms and published figures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.special import expit

import stanpool as sp
from golden.catalogue import MIXED_PRIORS, MIXED_SCALES, small_data
from stanpool import exact
from stanpool.engine.cmdstan.engine import CmdStan
from stanpool.engine.interpreter.engine import Stanli
from stanpool.engine.values.program import StanProgram
from stanpool.engine.values.settings import SampleSettings
from stanpool.posterior import arviz
from statistical.monte_carlo import (
    FITTING,
    STANDARD_ERRORS,
    assert_mean,
    assert_means_agree,
)

PROGRAMS = Path(__file__).parent / "programs"

RADON_PRIORS = {
    "Intercept": "normal(0, 10)",
    "beta": "normal(0, 10)",
    "tau": "exponential(1)",
    "sigma": "exponential(1)",
}
RADON_POOLINGS: dict[str, list[dict[str, Any]]] = {
    "complete_pooling": [{"pooling": "complete"}],
    "no_pooling": [{"pooling": "none"}],
    "partial_pooling": [
        {"parameterization": each}
        for each in ("centered", "noncentered", "adaptive", "marginal")
    ],
}


def fit(model: sp.Model, **options: Any) -> sp.Fit:
    return model.fit(**FITTING, progress=False, **options)


def run(program: StanProgram, data: dict[str, Any], variables: list[str]) -> xr.Dataset:
    """Sample from any program, by the engine that fits of the test have."""
    engine = CmdStan() if os.environ["STANPOOL_ENGINE"] == "cmdstan" else Stanli()
    with engine.load(program, data, progress=False) as loaded:
        raw = loaded.sample(SampleSettings(**FITTING), progress=False)
    found = {name: raw.stan_variable(name) for name in variables}
    return xr.Dataset(
        {
            name: (("chain", "draw", "j")[: values.ndim], values)
            for name, values in found.items()
        }
    )


class TestRadonByHand:
    """The three poolings of Gelman and Hill, chapter 12, written out by hand."""

    @pytest.mark.parametrize("pooling", RADON_POOLINGS)
    def test_template_has_the_posterior_of_the_handwritten_program(
        self, pooling: str
    ) -> None:
        radon = sp.load_dataset("radon")
        codes, _ = pd.factorize(radon["county"], sort=True)
        program = StanProgram(
            f"radon_{pooling}", (PROGRAMS / f"radon_{pooling}.stan").read_text()
        )
        data = {
            "N": len(radon),
            "J": codes.max() + 1,
            "county": codes + 1,
            "floor_measure": radon["floor"],
            "log_radon": radon["log_radon"],
        }
        names = ["beta", "sigma", "alpha"]
        if pooling == "partial_pooling":
            names += ["mu_alpha", "sigma_alpha"]
        theirs = run(program, data, names)
        center = theirs.mean(("chain", "draw"))
        for form in RADON_POOLINGS[pooling]:
            model = sp.Model(
                "log_radon ~ floor + (1 | county)",
                radon,
                priors=RADON_PRIORS,
                center_predictors=False,
            ).with_(**form)
            ours = self.named_by_hand(fit(model).posterior)[names]
            assert_means_agree(ours, theirs)
            assert_means_agree((ours - center) ** 2, (theirs - center) ** 2)

    def named_by_hand(self, posterior: xr.Dataset) -> xr.Dataset:
        names = {"beta": posterior["beta"][..., 0], "sigma": posterior["sigma"]}
        if "b_county" not in posterior:
            names["alpha"] = posterior["Intercept"]
        else:
            names["alpha"] = posterior["b_county"][..., 0].rename({"county": "j"})
        if "tau_county" in posterior:
            names["mu_alpha"] = posterior["Intercept"]
            names["sigma_alpha"] = posterior["tau_county"][..., 0]
        return xr.Dataset(names).drop_vars(["j"], errors="ignore")


class TestClosedForms:
    @pytest.mark.slow
    def test_known_errors_and_a_normal_prior_are_conjugate(self) -> None:
        schools = sp.load_dataset("eight_schools")
        model = sp.Model(
            "y | se(sigma) ~ 1",
            schools,
            pooling="complete",
            priors={"Intercept": "normal(2, 5)"},
        )
        draws = fit(model).posterior["Intercept"]
        precision = 1 / 25 + (1 / schools["sigma"] ** 2).sum()
        mean = (2 / 25 + (schools["y"] / schools["sigma"] ** 2).sum()) / precision
        assert_mean(draws, mean)
        assert_mean((draws - mean) ** 2, 1 / precision)

    def test_each_group_by_itself_is_conjugate_without_pooling(self) -> None:
        data = small_data()
        model = sp.Model(
            "y | se(known) ~ 0 + x1 + (1 | g)",
            data,
            pooling="none",
            center_predictors=False,
            priors={"b_g": "normal(1, 3)", "beta": "normal(0, 2)"},
        )
        posterior = fit(model).posterior
        rows = np.eye(4)[pd.factorize(data["g"], sort=True)[0]]
        design = np.column_stack([rows, data["x1"]])
        prior_mean, prior_sd = np.array([1, 1, 1, 1, 0]), np.array([3, 3, 3, 3, 2])
        weight = design.T / data["known"].to_numpy() ** 2
        covariance = np.linalg.inv(weight @ design + np.diag(prior_sd**-2.0))
        mean = covariance @ (weight @ data["y"] + prior_mean / prior_sd**2)
        own, slope = posterior["b_g"][..., 0], posterior["beta"][..., 0]
        for j in range(4):
            assert_mean(own[..., j], mean[j])
        assert_mean(slope, mean[4])
        assert_mean((own[..., 0] - mean[0]) * (slope - mean[4]), covariance[0, 4])

    @pytest.mark.parametrize(
        "parameterization", ["centered", "noncentered", "marginal"]
    )
    def test_eight_schools_have_the_posterior_of_quadrature(
        self, parameterization: str
    ) -> None:
        model = sp.Model(
            "y | se(sigma) ~ 1 + (1 | school)",
            sp.load_dataset("eight_schools"),
            parameterization=parameterization,
            priors={"Intercept": "normal(0, 10)", "tau": "exponential(0.2)"},
        )
        wanted = exact.known_sigma(model)
        found = fit(model, adapt_delta=0.99).posterior
        assert_mean(found["Intercept"], wanted.mu.mean())
        assert_mean(found["tau_school"][..., 0], wanted.tau.mean())
        for j, mean in enumerate(wanted.theta.mean()):
            assert_mean(found["b_school"][..., j, 0], mean)

    def test_neals_funnel_has_the_marginals_that_it_is_built_from(self) -> None:
        program = sp.neals_funnel("noncentered")
        draws = run(program, {"D": 9, "scale": 3}, ["v", "x"])
        assert_mean(draws["v"], 0)
        assert_mean(draws["v"] ** 2, 9)
        standardized = draws["x"] / np.exp(draws["v"] / 2)
        assert_mean((standardized**2).sum("j"), 9)

    def test_logistic_regression_has_the_posterior_of_a_grid(self) -> None:
        data = logistic_data()
        model = sp.Model(
            "y ~ x",
            data,
            family="bernoulli",
            pooling="complete",
            center_predictors=False,
            priors={"Intercept": "normal(0, 2)", "beta": "normal(0, 1)"},
        )
        posterior = fit(model).posterior
        intercept, slope = logistic_grid(data)
        assert_mean(posterior["Intercept"], intercept)
        assert_mean(posterior["beta"][..., 0], slope)

    def test_logistic_regressions_of_individuals_have_the_posteriors_of_grids(
        self,
    ) -> None:
        data = logistic_data()
        model = sp.Model(
            "y ~ x + (1 + x | individual)",
            data,
            family="bernoulli",
            pooling="none",
            center_predictors=False,
            priors={
                "b_individual[Intercept]": "normal(0, 2)",
                "b_individual[x]": "normal(0, 1)",
            },
        )
        own = fit(model).posterior["b_individual"]
        for individual, rows in data.groupby("individual"):
            intercept, slope = logistic_grid(rows)
            chosen = own.sel(individual=individual)
            assert_mean(chosen.sel(individual_coefficient="Intercept"), intercept)
            assert_mean(chosen.sel(individual_coefficient="x"), slope)


class TestMarginal:
    """What is integrated out and drawn back is what is sampled otherwise."""

    @pytest.mark.parametrize(
        ("formula", "dataset"),
        [
            pytest.param(
                "log_radon ~ floor + (1 + floor || county)",
                "radon",
                marks=pytest.mark.slow,
            ),
            ("Reaction ~ Days + (Days | Subject)", "sleepstudy"),
        ],
    )
    def test_posterior_is_that_of_the_noncentered_form(
        self, formula: str, dataset: str
    ) -> None:
        model = sp.Model(
            formula, sp.load_dataset(dataset), parameterization="noncentered"
        )
        theirs = fit(model, adapt_delta=0.95).posterior
        ours = fit(model.with_(parameterization="marginal")).posterior
        assert {each: ours[each].dims for each in ours} == {
            each: theirs[each].dims for each in theirs
        }
        assert_means_agree(ours, theirs)
        center = theirs.mean(("chain", "draw"))
        assert_means_agree((ours - center) ** 2, (theirs - center) ** 2)

    @pytest.mark.slow
    def test_several_factors_have_the_posterior_of_the_noncentered_form(self) -> None:
        penicillin = sp.load_dataset("penicillin")
        model = sp.Model(
            "diameter ~ 1 + (1 | plate) + (1 | sample)",
            penicillin,
            parameterization="noncentered",
        )
        theirs = fit(model, adapt_delta=0.95).posterior
        ours = fit(model.with_(parameterization="marginal"), adapt_delta=0.95).posterior
        assert_means_agree(ours, theirs)

    def test_without_the_outcome_groups_have_the_population_that_was_drawn(
        self,
    ) -> None:
        model = sp.Model("y ~ x1 + (1 | g)", small_data(), parameterization="marginal")
        posterior = fit(model, prior_only=True).posterior
        own = posterior["b_g"].isel(g_coefficient=0, g=2) - posterior["Intercept"]
        assert_distributed(own / posterior["tau_g"][..., 0], stats.norm())


@pytest.fixture(scope="module")
def drawn() -> tuple[sp.Model, xr.Dataset]:
    model = sp.Model(
        "y ~ x1 + x2 + x3 + (1 + x1 + x2 | g)",
        small_data(),
        priors=MIXED_PRIORS | MIXED_SCALES,
    )
    return model, fit(model, prior_only=True, adapt_delta=0.95).posterior


class TestPriorOnly:
    """Without the outcome the draws are the priors', whatever the outcome is."""

    def test_coefficients_have_the_quantiles_of_their_priors(
        self, drawn: tuple[sp.Model, xr.Dataset]
    ) -> None:
        model, posterior = drawn
        beta = posterior["beta"]
        reference = model.data[["x1", "x2", "x3"]].mean().to_numpy()
        at_means = posterior["Intercept"] + (beta * reference).sum("coefficient")
        assert_distributed(at_means, stats.t(4, 0.5, 2))
        assert_distributed(beta.sel(coefficient="x1"), stats.norm(0.1, 1))
        assert_distributed(beta.sel(coefficient="x2"), stats.cauchy(0, 2.5))
        assert_distributed(beta.sel(coefficient="x3"), stats.t(3, 0, 1.5))

    def test_scales_have_the_quantiles_of_their_priors(
        self, drawn: tuple[sp.Model, xr.Dataset]
    ) -> None:
        _, posterior = drawn
        tau = posterior["tau_g"]
        assert_distributed(posterior["sigma"], stats.gamma(2, scale=2))
        assert_distributed(
            tau.sel(g_coefficient="Intercept"), stats.invgamma(3, scale=2)
        )
        assert_distributed(tau.sel(g_coefficient="x1"), stats.lognorm(1))
        assert_distributed(tau.sel(g_coefficient="x2"), stats.halfnorm())

    def test_correlations_have_the_marginals_of_lkj(
        self, drawn: tuple[sp.Model, xr.Dataset]
    ) -> None:
        _, posterior = drawn
        # Lewandowski et al. (2009): each is 2 Beta - 1, parameters shape - 1 + d / 2.
        marginal = stats.beta(3.5, 3.5, loc=-1, scale=2)
        for row, column in ((0, 1), (0, 2), (1, 2)):
            assert_distributed(posterior["Omega_g"][..., row, column], marginal)

    def test_groups_have_the_population_that_was_drawn(
        self, drawn: tuple[sp.Model, xr.Dataset]
    ) -> None:
        _, posterior = drawn
        for label in ("Intercept", "x1"):
            mean = (
                posterior["Intercept"]
                if label == "Intercept"
                else posterior["beta"].sel(coefficient=label)
            )
            own = posterior["b_g"].sel(g="a", g_coefficient=label)
            tau = posterior["tau_g"].sel(g_coefficient=label)
            assert_distributed((own - mean) / tau, stats.norm())

    def test_draws_without_stan_have_the_same_distributions(
        self, drawn: tuple[sp.Model, xr.Dataset]
    ) -> None:
        model, posterior = drawn
        prior = model.prior_predictive(20_000, seed=1)["prior"].to_dataset()
        assert list(prior.data_vars) == list(posterior.data_vars)
        for name in posterior.data_vars:
            for mass in (0.1, 0.5, 0.9):
                cut = prior[name].quantile(mass, ("chain", "draw"))
                below = (posterior[name] < cut).astype(float)
                # Both quantiles and shares are estimates: of independent draws there
                # are more than effective ones here.
                error = np.hypot(
                    arviz.mcse_mean(below.to_dataset(name="it"))["it"],
                    np.sqrt(mass * (1 - mass) / 20_000),
                )
                varies = posterior[name].std(("chain", "draw")) > 1e-9
                gap = np.abs(below.mean(("chain", "draw")) - mass)
                assert ((gap <= STANDARD_ERRORS * error) | ~varies).all(), name


class TestPublished:
    """Fits of others, as the data sets' SOURCE.md gives them.

    lmer maximizes the restricted likelihood; the posterior means of weak priors differ
    from it by a fraction of the posterior's sd: of location parameters by the Monte
    Carlo error and little more, of scales by their skewness, which grows as groups
    get few.
    """

    def test_radon_varying_intercepts_are_lmers(self) -> None:
        model = sp.Model("log_radon ~ floor + (1 | county)", sp.load_dataset("radon"))
        posterior = fit(model).posterior
        assert_near(posterior["Intercept"], 1.462, sds=0.25)
        assert_near(posterior["beta"].sel(coefficient="floor"), -0.693, sds=0.25)
        assert_near(posterior["tau_county"][..., 0], 0.328, sds=0.5)
        assert_near(posterior["sigma"], 0.756, sds=0.5)

    def test_sleepstudy_correlated_slopes_are_lmers(self) -> None:
        model = sp.Model(
            "Reaction ~ Days + (Days | Subject)", sp.load_dataset("sleepstudy")
        )
        posterior = fit(model, adapt_delta=0.9).posterior
        assert_near(posterior["Intercept"], 251.405, sds=0.25)
        assert_near(posterior["beta"].sel(coefficient="Days"), 10.467, sds=0.25)
        tau = posterior["tau_Subject"]
        assert_near(tau.sel(Subject_coefficient="Intercept"), 612.1**0.5, sds=1)
        assert_near(tau.sel(Subject_coefficient="Days"), 35.07**0.5, sds=1)
        assert_near(posterior["sigma"], 654.9**0.5, sds=0.5)

    @pytest.mark.parametrize(
        "compress", [False, pytest.param(True, marks=pytest.mark.slow)]
    )
    def test_complete_pooling_of_homework_is_least_squares(
        self, compress: bool
    ) -> None:
        model = sp.Model(
            "math ~ homework",
            sp.load_dataset("schools_homework"),
            pooling="complete",
            compress=compress,
        )
        posterior = fit(model).posterior
        assert_near(posterior["Intercept"], 44.0739, sds=0.25)
        assert_near(posterior["beta"][..., 0], 3.5719, sds=0.25)
        assert float(posterior["beta"].std()) == pytest.approx(0.3882, rel=0.1)


def assert_near(draws: xr.DataArray, published: float, *, sds: float) -> None:
    mean, sd = float(draws.mean()), float(draws.std())
    assert abs(mean - published) < sds * sd, (mean, published, sd)


def assert_distributed(draws: xr.DataArray, distribution: Any) -> None:
    """Compare the mass below the quartiles, within Monte Carlo error."""
    for mass in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert_mean((draws < distribution.ppf(mass)).astype(float), mass)


def logistic_data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    individual = np.repeat(["ann", "bob", "cyd"], 20)
    x = rng.normal(size=60)
    own = {"ann": (-1, 0.5), "bob": (0, 1), "cyd": (1, 2)}
    eta = [
        own[name][0] + own[name][1] * at for name, at in zip(individual, x, strict=True)
    ]
    y = rng.binomial(1, expit(eta))
    return pd.DataFrame({"y": y, "x": x, "individual": individual})


def logistic_grid(data: pd.DataFrame) -> tuple[float, float]:
    """Posterior means of intercept and slope under normal(0, 2) and normal(0, 1)."""
    intercept, slope = np.meshgrid(
        np.linspace(-8, 8, 401), np.linspace(-5, 5, 401), indexing="ij"
    )
    log = stats.norm.logpdf(intercept, 0, 2) + stats.norm.logpdf(slope, 0, 1)
    for y, x in zip(data["y"], data["x"], strict=True):
        log = log + stats.bernoulli.logpmf(y, expit(intercept + slope * x))
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    return float((weight * intercept).sum()), float((weight * slope).sum())
