"""Exact posteriors against integrals, identities, published figures and simulation.

Tolerances of draws are five Monte Carlo standard errors; those of integrals are the
accuracy that is stated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import stanpool as sp
from stanpool import exact
from stanpool.exact.priors import NormalPrior, log_prior
from stanpool.exact.regression import RegressionPriors, State, Statistics, sweep
from stanpool.language.prior import Prior
from stanpool.posterior.convergence import mixing

ERRORS = 5  # Monte Carlo standard errors


def assert_mean(draws: np.ndarray, expected: float | np.ndarray) -> None:
    """Compare the mean of independent draws, ``(chain, draw, ...)``."""
    error = draws.std(axis=(0, 1)) / np.sqrt(draws.shape[0] * draws.shape[1])
    assert np.all(np.abs(draws.mean(axis=(0, 1)) - expected) < ERRORS * error)


def known_sigma_model(
    y: list[float], se: list[float], priors: dict[str, str] | None = None
) -> sp.Model:
    frame = pd.DataFrame({"y": y, "se": se, "group": range(len(y))})
    return sp.Model("y | se(se) ~ 1 + (1 | group)", frame, priors=priors)


def eight_schools(priors: dict[str, str] | None = None) -> sp.Model:
    return sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)",
        sp.load_dataset("eight_schools"),
        priors=priors,
    )


class TestNormal:
    y = (1.2, -0.3, 2.5, 0.8, 1.9)
    prior: ClassVar = {"mu": 0.5, "tau": 1.5, "alpha": 3.0, "beta": 2.0}

    @property
    def posterior(self) -> exact.NormalPosterior:
        return exact.normal(self.y, **self.prior)

    def test_marginal_likelihood_and_moments_are_the_integrals(self) -> None:
        """On a grid of theta and log sigma^2, from the densities of the definition."""
        theta, d_theta = np.linspace(-30, 30, 2001, retstep=True)
        log_sigma2, d_log = np.linspace(-6, 8, 561, retstep=True)
        sigma2, prior = np.exp(log_sigma2)[:, None], self.prior
        joint = (
            stats.norm.logpdf(theta, prior["mu"], prior["tau"] * np.sqrt(sigma2))
            + stats.invgamma.logpdf(sigma2, prior["alpha"], scale=prior["beta"])
            + log_sigma2[:, None]
        )
        for y in self.y:
            joint += stats.norm.logpdf(y, theta, np.sqrt(sigma2))
        weight = np.exp(joint) * d_theta * d_log
        evidence = weight.sum()
        weight /= evidence

        posterior = self.posterior
        assert posterior.log_marginal_likelihood == pytest.approx(np.log(evidence))
        mean = (weight * theta).sum()
        assert posterior.theta.mean() == pytest.approx(mean, rel=1e-6)
        variance = (weight * (theta - mean) ** 2).sum()
        assert posterior.theta.var() == pytest.approx(variance, rel=1e-6)
        mean = (weight * sigma2).sum()
        assert posterior.sigma2.mean() == pytest.approx(mean, rel=1e-6)

    def test_marginal_likelihood_is_a_multivariate_t(self) -> None:
        n, prior = len(self.y), self.prior
        shape = prior["beta"] / prior["alpha"] * (np.eye(n) + prior["tau"] ** 2)
        expected = stats.multivariate_t.logpdf(
            self.y, np.full(n, prior["mu"]), shape, df=2 * prior["alpha"]
        )
        assert self.posterior.log_marginal_likelihood == pytest.approx(expected)

    def test_predictive_is_the_ratio_of_marginal_likelihoods(self) -> None:
        before = exact.normal(self.y[:-1], **self.prior)
        gain = self.posterior.log_marginal_likelihood - before.log_marginal_likelihood
        assert before.predictive.logpdf(self.y[-1]) == pytest.approx(gain)

    def test_conditional_and_marginals_agree(self) -> None:
        posterior = self.posterior
        mixed, _ = integrate.quad(
            lambda s: posterior.theta_given(s).pdf(0.3) * posterior.sigma2.pdf(s),
            0,
            np.inf,
        )
        assert posterior.theta.pdf(0.3) == pytest.approx(mixed, rel=1e-7)

    def test_draws_have_the_exact_joint_distribution(self) -> None:
        posterior = self.posterior
        drawn = posterior.draw(np.random.default_rng(1), draws=25_000).posterior
        theta, sigma2 = drawn["Intercept"].to_numpy(), drawn["sigma"].to_numpy() ** 2
        assert_mean(theta, posterior.theta.mean())
        assert_mean((theta - posterior.theta.mean()) ** 2, posterior.theta.var())
        assert_mean(sigma2, posterior.sigma2.mean())
        assert_mean(1 / sigma2, posterior.alpha_n / posterior.beta_n)
        z = (theta - posterior.mu_n) / np.sqrt(sigma2 / posterior.kappa_n)
        assert_mean(z**2, 1.0)
        assert_mean(z**2 * (sigma2 - posterior.sigma2.mean()), 0.0)


PRIORS = {
    "normal": {"Intercept": "normal(1, 3)", "tau": "normal(0, 2)"},
    "student_t": {"Intercept": "normal(1, 3)", "tau": "student_t(4, 1, 2)"},
    "cauchy": {"Intercept": "normal(1, 3)", "tau": "cauchy(0, 1)"},
    "exponential": {"Intercept": "normal(1, 3)", "tau": "exponential(0.7)"},
    "gamma": {"Intercept": "normal(1, 3)", "tau": "gamma(2, 1.5)"},
    "inv_gamma": {"Intercept": "normal(1, 3)", "tau": "inv_gamma(3, 2)"},
    "lognormal": {"Intercept": "normal(1, 3)", "tau": "lognormal(0, 0.8)"},
}
SCIPY = {
    "normal": stats.norm(0, 2),
    "student_t": stats.t(4, 1, 2),
    "cauchy": stats.cauchy(0, 1),
    "exponential": stats.expon(scale=1 / 0.7),
    "gamma": stats.gamma(2, scale=1 / 1.5),
    "inv_gamma": stats.invgamma(3, scale=2),
    "lognormal": stats.lognorm(0.8),
}


class TestKnownSigma:
    y, se = (2.0, -1.0, 4.5, 0.5), (1.0, 0.6, 1.5, 0.8)

    @pytest.mark.parametrize("name", PRIORS)
    def test_moments_are_those_of_a_brute_force_grid(self, name: str) -> None:
        """The grid is over mu and log tau, from the densities of the definition."""
        posterior = exact.known_sigma(
            known_sigma_model(list(self.y), list(self.se), PRIORS[name])
        )
        mu, log_tau = np.linspace(-25, 25, 501), np.linspace(-14, 14, 561)
        tau = np.exp(log_tau)[:, None]
        log = stats.norm.logpdf(mu, 1, 3) + SCIPY[name].logpdf(tau) + np.log(tau)
        for y, se in zip(self.y, self.se, strict=True):
            log += stats.norm.logpdf(y, mu, np.hypot(se, tau))
        weight = np.exp(log - log.max())
        weight /= weight.sum()

        mean = (weight * mu).sum()
        assert posterior.mu.mean() == pytest.approx(mean, abs=1e-6)
        variance = (weight * (mu - mean) ** 2).sum()
        assert posterior.mu.sd() == pytest.approx(np.sqrt(variance), rel=1e-6)
        for moment in (0.5, 1.0):
            assert posterior.tau.weights @ posterior.tau.nodes**moment == pytest.approx(
                (weight * tau**moment).sum(), rel=1e-5
            )

    def test_tau_has_the_density_of_the_definition(self) -> None:
        """Its density, ``mu`` and all ``theta`` integrated out by a normal density."""
        model = known_sigma_model(list(self.y), list(self.se), PRIORS["gamma"])
        posterior = exact.known_sigma(model)

        def joint(tau: float) -> float:
            covariance = np.diag(np.square(self.se) + tau**2) + 3.0**2
            return stats.multivariate_normal.pdf(
                self.y, np.ones(4), covariance
            ) * SCIPY["gamma"].pdf(tau)

        total, _ = integrate.quad(joint, 0, 60, epsabs=1e-14, limit=200)
        for tau in (0.01, 0.5, 2.0, 8.0):
            assert posterior.tau.pdf(tau) == pytest.approx(joint(tau) / total, rel=1e-8)
            below, _ = integrate.quad(joint, 0, tau, epsabs=1e-14)
            assert posterior.tau.cdf(tau) == pytest.approx(below / total, abs=1e-8)
        mean, _ = integrate.quad(lambda t: t * joint(t), 0, 60, limit=200)
        square, _ = integrate.quad(lambda t: t**2 * joint(t), 0, 60, limit=200)
        assert posterior.tau.mean() == pytest.approx(mean / total, rel=1e-8)
        assert posterior.tau.sd() == pytest.approx(
            np.sqrt(square / total - (mean / total) ** 2), rel=1e-8
        )

    def test_theta_has_the_moments_of_the_joint_normal(self) -> None:
        """Given tau, (theta, y) is one normal vector: condition it on y."""
        model = known_sigma_model(list(self.y), list(self.se), PRIORS["gamma"])
        posterior = exact.known_sigma(model)
        means, covariances = [], []
        for tau in posterior.tau.nodes:
            prior = tau**2 * np.eye(4) + 3.0**2
            gain = prior @ np.linalg.inv(prior + np.diag(np.square(self.se)))
            means.append(1 + gain @ (np.array(self.y) - 1))
            covariances.append(np.diag(prior - gain @ prior))
        mean = posterior.tau.weights @ np.array(means)
        variance = posterior.tau.weights @ (
            np.array(covariances) + (np.array(means) - mean) ** 2
        )
        np.testing.assert_allclose(posterior.theta.mean(), mean, rtol=1e-9)
        np.testing.assert_allclose(posterior.theta.sd(), np.sqrt(variance), rtol=1e-7)

    def test_reference_posterior_of_eight_schools(self) -> None:
        """posteriordb, eight_schools_noncentered: means and their MCSE."""
        model = eight_schools({"Intercept": "normal(0, 5)", "tau": "cauchy(0, 5)"})
        posterior = exact.known_sigma(model)
        theta = [6.150502, 4.939581, 3.905906, 4.796017]
        theta += [3.614436, 4.051148, 6.317170, 4.883997]
        errors = [
            0.05574,
            0.04623,
            0.05423,
            0.04749,
            0.04615,
            0.04852,
            0.04988,
            0.05425,
        ]
        difference = np.abs(posterior.theta.mean() - theta)
        assert (difference < 4 * np.array(errors)).all()
        assert posterior.mu.mean() == pytest.approx(4.410518, abs=4 * 0.03304)
        assert posterior.tau.mean() == pytest.approx(3.602060, abs=4 * 0.03186)

    def test_equal_sigmas_give_a_truncated_inverse_gamma(self) -> None:
        y, sigma = np.array([0.1, 1.9, 3.2, -0.7, 2.4, 1.1, 0.3]), 0.8
        posterior = exact.known_sigma(
            known_sigma_model(list(y), [sigma] * 7), flat=["Intercept", "tau^2"]
        )
        total = stats.invgamma((7 - 3) / 2, scale=((y - y.mean()) ** 2).sum() / 2)
        kept = total.sf(sigma**2)
        for tau in (0.1, 0.5, 1.0, 3.0):
            expected = 1 - total.sf(sigma**2 + tau**2) / kept
            assert posterior.tau.cdf(tau) == pytest.approx(expected, abs=1e-8)
        # Linear in the shrinkage sigma^2 / (sigma^2 + tau^2), so exact, too.
        shrinkage = sigma**2 * total.expect(lambda s: 1 / s, lb=sigma**2) / kept
        np.testing.assert_allclose(
            posterior.theta.mean(),
            shrinkage * y.mean() + (1 - shrinkage) * y,
            rtol=1e-7,
        )

        tau = posterior.draw(np.random.default_rng(2), draws=5000).posterior[
            "tau_group"
        ]
        uniform = 1 - total.sf(sigma**2 + tau.to_numpy().ravel() ** 2) / kept
        assert stats.kstest(uniform, "uniform").pvalue > 0.001

    @pytest.mark.parametrize("flat", [[], ["Intercept", "tau"], ["Intercept", "tau^2"]])
    def test_draws_have_the_exact_marginals(self, flat: list[str]) -> None:
        posterior = exact.known_sigma(eight_schools(), flat=flat)
        drawn = posterior.draw(np.random.default_rng(3), draws=200).posterior
        tau = drawn["tau_school"].to_numpy()[..., 0]
        theta = drawn["b_school"].to_numpy()[..., 0]
        assert stats.kstest(posterior.tau.cdf(tau.ravel()), "uniform").pvalue > 0.001
        assert_mean(posterior.mu.cdf(drawn["Intercept"].to_numpy().ravel())[None], 0.5)
        uniform = posterior.theta.cdf(theta.reshape(-1, 8))[None]
        assert_mean(uniform, 0.5)
        assert_mean(uniform**2, 1 / 3)
        # Jointly: the deviations of the groups' means scale with tau.
        mu = drawn["Intercept"].to_numpy()[..., None]
        expected = _expected_product(posterior)
        assert_mean(((theta - mu) * np.minimum(tau, 20.0)[..., None]), expected)

    def test_predictions_of_known_and_future_groups(self) -> None:
        posterior = exact.known_sigma(eight_schools())
        rng = np.random.default_rng(4)
        draws = posterior.draw(rng, draws=10_000)
        predicted = posterior.predict(draws, rng, new_se=12.0)
        y = predicted["y"].to_numpy()
        assert predicted["y"].dims == ("chain", "draw", "school")
        assert_mean(y, posterior.theta.mean())
        variance = posterior.theta.sd() ** 2 + posterior.se**2
        assert_mean((y - posterior.theta.mean()) ** 2, variance)
        new = posterior.new_theta
        assert_mean(predicted["theta_new"].to_numpy(), new.mean())
        theta_new = predicted["theta_new"].to_numpy()
        assert_mean((theta_new - new.mean()) ** 2, new.sd() ** 2)
        y_new = predicted["y_new"].to_numpy()
        assert_mean((y_new - new.mean()) ** 2, new.sd() ** 2 + 12.0**2)

    def test_densities_are_the_slopes_of_distribution_functions(self) -> None:
        posterior = exact.known_sigma(eight_schools(), flat=["Intercept", "tau"])
        for marginal, x in (
            (posterior.tau, np.array([0.3, 4.0, 11.0])),
            (posterior.mu, np.array([-3.0, 8.0, 20.0])),
            (posterior.theta, np.linspace(-10, 30, 24).reshape(3, 8)),
            (posterior.new_theta, np.array([-3.0, 8.0, 20.0])),
        ):
            slope = (marginal.cdf(x + 1e-3) - marginal.cdf(x - 1e-3)) / 2e-3
            np.testing.assert_allclose(marginal.pdf(x), slope, rtol=1e-5, atol=1e-7)
        probability = [0.01, 0.5, 0.99]
        back = posterior.tau.cdf(posterior.tau.ppf(probability))
        np.testing.assert_allclose(back, probability, atol=1e-12)
        for each in probability:
            quantiles = posterior.theta.ppf(each)
            np.testing.assert_allclose(posterior.theta.cdf(quantiles), each, atol=1e-12)

    def test_quantiles_do_not_depend_on_the_tolerance(self) -> None:
        coarse = exact.known_sigma(eight_schools(), tolerance=1e-5)
        fine = exact.known_sigma(eight_schools(), tolerance=1e-11)
        assert coarse.tau.error < 1e-5
        assert fine.tau.error < 1e-11
        tau = np.linspace(0.1, 40, 400)
        assert np.abs(coarse.tau.cdf(tau) - fine.tau.cdf(tau)).max() < 1e-5

    @pytest.mark.parametrize("scale", [1e-9, 1e9])
    def test_units_do_not_matter(self, scale: float) -> None:
        schools = sp.load_dataset("eight_schools")
        changed = schools.assign(y=schools["y"] * scale, sigma=schools["sigma"] * scale)
        model = sp.Model("y | se(sigma) ~ 1 + (1 | school)", changed)
        flat = ["Intercept", "tau"]
        posterior = exact.known_sigma(model, flat=flat)
        plain = exact.known_sigma(eight_schools(), flat=flat)
        np.testing.assert_allclose(
            posterior.theta.mean() / scale, plain.theta.mean(), rtol=1e-7
        )
        assert posterior.tau.mean() / scale == pytest.approx(plain.tau.mean(), rel=1e-7)

    def test_tau_near_zero_is_complete_pooling(self) -> None:
        posterior = exact.known_sigma(
            eight_schools({"tau": "lognormal(-20, 0.001)"}), flat=["Intercept"]
        )
        # data/eight_schools/SOURCE.md: precision-weighted mean 7.686, SE 4.072.
        np.testing.assert_allclose(posterior.theta.mean(), 7.686, atol=5e-4)
        np.testing.assert_allclose(posterior.theta.sd(), 4.072, atol=5e-4)

    def test_large_tau_is_no_pooling(self) -> None:
        model = eight_schools({"tau": "lognormal(20, 0.001)"})
        posterior = exact.known_sigma(model, flat=["Intercept"])
        np.testing.assert_allclose(posterior.theta.mean(), model.design.y, atol=1e-6)
        np.testing.assert_allclose(posterior.theta.sd(), model.design.se, rtol=1e-6)

    def test_rows_of_a_group_are_combined(self) -> None:
        rows = pd.DataFrame(
            {
                "y": [1.0, 3.0, -2.0, 0.5, 4.0],
                "s": [1.0, 2.0, 1.0, 0.7, 1.1],
                "g": ["a", "a", "b", "c", "d"],
            }
        )
        model = sp.Model(
            "y | se(s) ~ 1 + (1 | g)",
            rows,
            priors={"tau": "exponential(1)", "Intercept": "normal(0, 5)"},
        )
        posterior = exact.known_sigma(model)
        # theta given its two rows: one conjugate update after the other.
        a = 1 / (1 / 1.0**2 + 1 / 2.0**2)
        combined = known_sigma_model(
            [a * (1.0 / 1 + 3.0 / 4), -2.0, 0.5, 4.0],
            [np.sqrt(a), 1.0, 0.7, 1.1],
            {"tau": "exponential(1)", "Intercept": "normal(0, 5)"},
        )
        expected = exact.known_sigma(combined)
        np.testing.assert_allclose(posterior.theta.mean(), expected.theta.mean())
        np.testing.assert_allclose(posterior.theta.sd(), expected.theta.sd())

    def test_moments_that_do_not_exist_are_not_made_up(self) -> None:
        """Flat on tau, its tail is ``tau^(1 - J)``; flat on tau^2, one heavier."""
        y, se = [1.0, 2.0, 4.0, 8.0], [1.0] * 4
        three = known_sigma_model(y[:3], se[:3])
        posterior = exact.known_sigma(three, flat=["Intercept", "tau"])
        assert posterior.tau.mean() == np.inf
        assert np.isnan(posterior.mu.mean())
        posterior = exact.known_sigma(
            known_sigma_model(y, se), flat=["Intercept", "tau"]
        )
        assert np.isfinite(posterior.tau.mean())
        assert posterior.tau.sd() == np.inf
        assert posterior.mu.sd() == np.inf
        assert np.isfinite(posterior.theta.sd()).all()
        # With a proper prior on mu the tail is one power lighter.
        posterior = exact.known_sigma(known_sigma_model(y, se), flat=["tau"])
        assert np.isfinite(posterior.tau.sd())

    def test_published_batting_averages(self) -> None:
        """Lin Zhang's slides: medians and 95 % intervals, flat on (mu, tau^2).

        They are from simulation: the tolerance is four Monte Carlo standard errors of
        1,000 draws, and half of the last digit. A standard error of 0.0625 fits best.
        """
        published = {
            "Roberto Clemente": (0.309, 0.239, 0.418),
            "Frank Robinson": (0.299, 0.234, 0.403),
            "Jay Johnstone": (0.286, 0.219, 0.380),
            "Ron Santo": (0.259, 0.178, 0.332),
            "Del Unser": (0.253, 0.166, 0.322),
            "Thurman Munson": (0.240, 0.143, 0.304),
            "Max Alvis": (0.231, 0.130, 0.298),
        }
        batters = sp.load_dataset("baseball").assign(se=0.0625)
        model = sp.Model("average | se(se) ~ 1 + (1 | player)", batters)
        posterior = exact.known_sigma(model, flat=["Intercept", "tau^2"])
        labels = list(model.design.group_labels)
        for column, probability in enumerate((0.5, 0.025, 0.975)):
            quantiles = posterior.theta.ppf(probability)
            density = posterior.theta.pdf(quantiles)
            error = np.sqrt(probability * (1 - probability) / 1000) / density
            for player, figures in published.items():
                at = labels.index(player)
                difference = abs(quantiles[at] - figures[column])
                assert difference < 4 * error[at] + 0.0005

        truth = batters.set_index("player")["theta"].loc[labels].to_numpy()
        raw = posterior.y - truth
        shrunken = posterior.theta.ppf(0.5) - truth
        assert round((raw**2).sum(), 3) == 0.075
        assert round((shrunken**2).sum(), 3) == 0.022
        assert (np.abs(shrunken) < np.abs(raw)).sum() == 16


def _expected_product(posterior: exact.KnownSigmaPosterior) -> np.ndarray:
    """Return E[(theta_j - mu) min(tau, 20)]: (1 - B_j)(y_j - mu) given mu and tau."""
    tau, weights = posterior.tau.nodes, posterior.tau.weights
    kept = tau[:, None] ** 2 / (posterior.se**2 + tau[:, None] ** 2)
    given = kept * (posterior.y - posterior.mu.means[:, None])
    return (weights * np.minimum(tau, 20.0)) @ given


class TestLinear:
    """Posteriors on a fine grid, from scipy's densities, for two parameters."""

    def test_sigma_and_intercept_on_a_grid(self) -> None:
        y = np.array([1.2, 0.4, 2.9, 1.7, 0.8])
        model = sp.Model(
            "y ~ 1",
            {"y": y},
            pooling="complete",
            priors={"Intercept": "normal(0.5, 0.8)", "sigma": "half_normal(2)"},
        )
        posterior = exact.linear(model)
        mu, sigma = np.linspace(-4, 6, 1601), np.linspace(0.005, 16, 3201)
        log = stats.norm(0.5, 0.8).logpdf(mu)[:, None]
        log = log + stats.halfnorm(scale=2).logpdf(sigma)
        for each in y:
            log += stats.norm.logpdf(each, mu[:, None], sigma)
        grid = np.exp(log - log.max())
        grid /= grid.sum()
        assert posterior.sigma is not None
        assert posterior.sigma.mean() == pytest.approx(
            grid.sum(axis=0) @ sigma, rel=1e-4
        )
        drawn = posterior.draw(np.random.default_rng(8), draws=5000).posterior
        assert_mean(drawn["Intercept"].to_numpy(), grid.sum(axis=1) @ mu)
        product = mu @ grid @ sigma
        assert_mean((drawn["Intercept"] * drawn["sigma"]).to_numpy(), product)

    def test_known_errors_are_normal(self) -> None:
        """The precision-weighted mean of prior and data, group by group."""
        frame = {"y": [3.0, 5.0, -1.0], "s": [1.0, 2.0, 0.5], "g": ["a", "a", "b"]}
        model = sp.Model(
            "y | se(s) ~ 1 + (1 | g)",
            frame,
            pooling="none",
            fixed={"Intercept": 1.0, "tau_g": 2.0},
        )
        drawn = exact.linear(model).draw(np.random.default_rng(8), draws=5000)
        b = drawn.posterior["b_g"].to_numpy()[..., 0]
        precision = np.array([1 / 4 + 1 + 1 / 4, 1 / 4 + 4])
        expected = np.array([1 / 4 + 3 + 5 / 4, 1 / 4 - 4]) / precision
        assert_mean(b, expected)
        assert_mean((b - expected) ** 2, 1 / precision)


@pytest.mark.parametrize("family", ["binomial", "poisson"])
def test_rates_on_a_grid(family: str) -> None:
    frame = {"k": [3, 0, 9], "n": [10, 10, 12], "g": ["a", "a", "b"]}
    formula = {
        "binomial": "k | trials(n) ~ 1 + (1 | g)",
        "poisson": "k | exposure(n) ~ 1 + (1 | g)",
    }[family]
    model = sp.Model(
        formula, frame, family=family, pooling="none", priors={"b_g": "normal(-1, 0.7)"}
    )
    theta = np.linspace(-8, 6, 20_001)
    for rate, successes, size in zip(
        exact.rates(model).rates, (3, 9), (20, 12), strict=True
    ):
        likelihood = {
            "binomial": lambda k, n: stats.binom.pmf(k, n, 1 / (1 + np.exp(-theta))),
            "poisson": lambda k, n: stats.poisson.pmf(k, n * np.exp(theta)),
        }[family](successes, size)
        grid = likelihood * stats.norm(-1, 0.7).pdf(theta)
        below = np.cumsum(grid) / grid.sum()
        for level in (0.05, 0.5, 0.95):
            expected = np.interp(level, below, theta)
            assert np.log(rate.ppf(level)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("solve", "formula", "options"),
    [
        (exact.linear, "y ~ 1 + (1 | g)", {}),
        (exact.linear, "y ~ 1", {"family": "student_t", "pooling": "complete"}),
        (exact.rates, "k ~ y", {"family": "poisson", "pooling": "complete"}),
        (exact.rates, "k ~ 1 + (1 | g)", {"family": "poisson"}),
    ],
)
def test_other_models_are_refused(
    solve: Any, formula: str, options: dict[str, Any]
) -> None:
    frame = {"y": [1.0, 2.0, 4.0], "k": [1, 2, 3], "g": ["a", "a", "b"]}
    with pytest.raises(sp.SpecError, match="is not a model that"):
        solve(sp.Model(formula, frame, **options))


class TestGroups:
    frame = pd.DataFrame(
        {"g": ["a", "b", "b", "c"], "k": [3, 5, 2, 0], "n": [10, 7, 4, 6]}
    )

    def test_beta_binomial_is_the_integral(self) -> None:
        posterior = exact.beta_binomial(
            self.frame, outcome="k", trials="n", group="g", a=2.5, b=4.0
        )
        log_total = 0.0
        for j, (k, n) in enumerate([(3, 10), (7, 11), (0, 6)]):

            def joint(p: float, k: int = k, n: int = n) -> float:
                return stats.binom.pmf(k, n, p) * stats.beta.pdf(p, 2.5, 4.0)

            total, _ = integrate.quad(joint, 0, 1)
            mean, _ = integrate.quad(lambda p, f=joint: p * f(p), 0, 1)
            further, _ = integrate.quad(
                lambda p, f=joint: stats.binom.pmf(2, 5, p) * f(p), 0, 1
            )
            log_total += np.log(total)
            assert posterior.theta.mean()[j] == pytest.approx(mean / total)
            assert posterior.predictive(5).pmf(2)[j] == pytest.approx(further / total)
        assert posterior.log_marginal_likelihood == pytest.approx(log_total)
        new, _ = integrate.quad(
            lambda p: stats.binom.pmf(2, 5, p) * stats.beta.pdf(p, 2.5, 4.0), 0, 1
        )
        assert posterior.predictive(5, new_group=True).pmf(2) == pytest.approx(new)

    def test_gamma_poisson_is_the_integral(self) -> None:
        frame = self.frame.assign(e=[1.5, 2.0, 0.5, 3.0])
        posterior = exact.gamma_poisson(
            frame, outcome="k", group="g", exposure="e", shape=2.0, rate=1.3
        )
        log_total = 0.0
        for j, (k, e) in enumerate([(3, 1.5), (7, 2.5), (0, 3.0)]):

            def joint(rate: float, k: int = k, e: float = e) -> float:
                prior = stats.gamma.pdf(rate, 2.0, scale=1 / 1.3)
                return stats.poisson.pmf(k, e * rate) * prior

            total, _ = integrate.quad(joint, 0, 40)
            mean, _ = integrate.quad(lambda r, f=joint: r * f(r), 0, 40)
            further, _ = integrate.quad(
                lambda r, f=joint: stats.poisson.pmf(2, 0.7 * r) * f(r), 0, 40
            )
            log_total += np.log(total)
            assert posterior.theta.mean()[j] == pytest.approx(mean / total)
            assert posterior.predictive(0.7).pmf(2)[j] == pytest.approx(further / total)
        assert posterior.log_marginal_likelihood == pytest.approx(log_total)
        new, _ = integrate.quad(
            lambda r: (
                stats.poisson.pmf(2, 0.7 * r) * stats.gamma.pdf(r, 2.0, scale=1 / 1.3)
            ),
            0,
            40,
        )
        assert posterior.predictive(0.7, new_group=True).pmf(2) == pytest.approx(new)

    def test_draws_have_the_exact_marginals(self) -> None:
        rng = np.random.default_rng(5)
        for posterior in (
            exact.beta_binomial(
                self.frame, outcome="k", trials="n", group="g", a=2.5, b=4.0
            ),
            exact.gamma_poisson(
                self.frame, outcome="k", group="g", shape=2.0, rate=1.0
            ),
        ):
            theta = posterior.draw(rng, draws=10_000).posterior["theta"].to_numpy()
            uniform = posterior.theta.cdf(theta)
            assert_mean(uniform, 0.5)
            assert_mean(uniform**2, 1 / 3)


def regression_data(
    rng: np.random.Generator, sizes: tuple[int, ...] = (1, 2, 3, 4, 6, 8)
) -> pd.DataFrame:
    group = np.repeat(np.arange(len(sizes)), sizes)
    u = rng.normal(size=len(sizes))
    x = rng.normal(size=len(group)) + 0.5 * u[group]
    alpha = 1 + 0.8 * u + rng.normal(0, 0.7, len(sizes))
    y = alpha[group] - 0.6 * x + rng.normal(0, 1.0, len(group))
    return pd.DataFrame({"y": y, "x": x, "u": u[group], "group": group})


class TestGibbs:
    priors: ClassVar = {
        "Intercept": "normal(0, 2)",
        "beta": "normal(0.2, 1.5)",
        "tau": "normal(0, 1)",
        "sigma": "exponential(1)",
    }

    def test_agrees_with_the_marginal_posterior_on_a_grid(self) -> None:
        """Coefficients integrated out by multivariate normals, scales on a grid."""
        frame = regression_data(np.random.default_rng(6))
        model = sp.Model("y ~ x + u + (1 | group)", frame, priors=self.priors)
        drawn = exact.gibbs(model, np.random.default_rng(7), draws=8_000).posterior

        y, x, u = (frame[name].to_numpy() for name in ("y", "x", "u"))
        group, N, J = frame["group"].to_numpy(), len(y), 6
        # All is linear in (intercept at the means, slope of x, of u, deviations).
        member, u_of_group = np.eye(J)[group], frame.groupby("group")["u"].first()
        design = np.column_stack([np.ones(N), x - x.mean(), u - u.mean(), member])
        report = np.eye(3 + J)
        report[0, 1:3] = -x.mean(), -u.mean()
        report[3:, 0], report[3:, 1] = 1, -x.mean()
        report[3:, 2] = u_of_group - u.mean()
        prior_mean = np.array([0, 0.2, 0.2] + [0] * J)

        log_sigma, log_tau = np.linspace(-1.5, 1.5, 25), np.linspace(-8, 2.5, 61)
        log, moments = np.empty((25, 61)), np.empty((25, 61, 2, 5 + J))
        for i, sigma in enumerate(np.exp(log_sigma)):
            for k, tau in enumerate(np.exp(log_tau)):
                prior = np.diag([2.0**2, 1.5**2, 1.5**2] + [tau**2] * J)
                covariance = design @ prior @ design.T + sigma**2 * np.eye(N)
                log[i, k] = (
                    stats.multivariate_normal.logpdf(y, design @ prior_mean, covariance)
                    + stats.expon.logpdf(sigma)
                    + stats.halfnorm.logpdf(tau)
                    + np.log(sigma * tau)
                )
                gain = prior @ design.T @ np.linalg.inv(covariance)
                mean = report @ (prior_mean + gain @ (y - design @ prior_mean))
                variance = np.diag(report @ (prior - gain @ design @ prior) @ report.T)
                moments[i, k, 0] = [*mean, tau, sigma]
                moments[i, k, 1] = [*(variance + mean**2), tau**2, sigma**2]
        weight = np.exp(log - log.max())
        mean, square = np.tensordot(weight / weight.sum(), moments, 2)

        draws = np.concatenate(
            [
                drawn["Intercept"].to_numpy()[..., None],
                drawn["beta"].to_numpy(),
                drawn["b_group"].to_numpy()[..., 0],
                drawn["tau_group"].to_numpy(),
                drawn["sigma"].to_numpy()[..., None],
            ],
            axis=-1,
        )
        assert_mean_of_chains(draws, mean)
        assert_mean_of_chains(draws**2, square)

    def test_successive_conditional_simulation_keeps_the_prior(self) -> None:
        """Geweke (2004): alternate data given parameters and a sweep given data.

        Independent replications start from the prior, so they must stay in it.
        """
        rng = np.random.default_rng(8)
        replications, groups = 20_000, 5
        group = np.repeat(np.arange(groups), (1, 2, 3, 2, 4))
        X = rng.normal(size=(len(group), 2))
        U = np.column_stack([np.ones(groups), rng.normal(size=groups)])
        sigma_prior, tau_prior = Prior.parse("gamma(4, 4)"), Prior.parse("normal(0, 1)")
        priors = RegressionPriors(
            NormalPrior(np.array([0.5, -0.5]), np.array([1.0, 2.0])),
            NormalPrior(np.array([1.0, 0.0]), np.array([0.5, 1.0])),
            sigma_prior,
            tau_prior,
        )
        beta, gamma = (
            prior.mean
            + rng.standard_normal((replications, 2)) / np.sqrt(prior.precision)
            for prior in (priors.beta, priors.gamma)
        )
        sigma = rng.gamma(4, 1 / 4, replications)
        tau = np.abs(rng.standard_normal(replications))
        noise = rng.standard_normal((replications, groups))
        alpha = gamma @ U.T + tau[:, None] * noise
        state = State(alpha, beta, gamma, sigma**2, tau**2)
        base = Statistics.of(np.zeros(len(group)), X, group, U)
        member = np.eye(groups)[group]
        X_within = X - base.x_mean[group]
        for _ in range(5):
            eta = state.alpha[:, group] + state.beta @ X.T
            y = eta + np.sqrt(state.sigma2)[:, None] * rng.standard_normal(eta.shape)
            y_mean = y @ member / base.n
            y_within = y - y_mean[:, group]
            slope = y_within @ np.linalg.pinv(X_within).T
            data = replace(
                base,
                y_mean=y_mean,
                xy=y @ X,
                slope=slope,
                residual=((y_within - slope @ X_within.T) ** 2).sum(axis=1),
            )
            state = sweep(state, data, priors, rng)
        sigma, tau = np.sqrt(state.sigma2), np.sqrt(state.tau2)
        z = (state.alpha - state.gamma @ U.T) / tau[:, None]
        assert stats.kstest(sigma, stats.gamma(4, scale=1 / 4).cdf).pvalue > 0.001
        assert stats.kstest(tau, stats.halfnorm.cdf).pvalue > 0.001
        for values, expected in (
            (state.beta, priors.beta.mean),
            ((state.beta - priors.beta.mean) ** 2, 1 / priors.beta.precision),
            (state.gamma, priors.gamma.mean),
            ((state.gamma - priors.gamma.mean) ** 2, 1 / priors.gamma.precision),
            (z, 0.0),
            (z**2, 1.0),
            (z**2 * (tau - np.sqrt(2 / np.pi))[:, None], 0.0),
            (z[:, 1:] * z[:, :1], 0.0),
            (state.alpha, U @ priors.gamma.mean),
        ):
            assert_mean(values[None], expected)

    def test_sweep_agrees_with_lmer_at_its_variances(self) -> None:
        """data/radon/SOURCE.md: with flat priors, coefficients given the variances."""
        radon = sp.load_dataset("radon")
        for formula, tau, sigma, expected in (
            ("log_radon ~ floor + (1 | county)", 0.328, 0.756, [1.462, -0.693]),
            (
                "log_radon ~ floor + log_uranium + (1 | county)",
                0.156,
                0.758,
                [1.466, -0.668, 0.720],
            ),
        ):
            design = sp.Model(formula, radon).design
            X = design.X[:, :1]
            first = np.unique(design.group_index, return_index=True)[1]
            U = np.column_stack([np.ones(85), design.X[first, 1:]])
            data = Statistics.of(design.y, X, design.group_index, U)
            L = U.shape[1]
            flat = NormalPrior(np.zeros(1), np.zeros(1))
            priors = RegressionPriors(
                flat,
                NormalPrior(np.zeros(L), np.zeros(L)),
                Prior.parse("normal(0, 1)"),
                Prior.parse("normal(0, 1)"),
            )
            rng = np.random.default_rng(9)
            chains = 200
            state = State(
                np.zeros((chains, 85)),
                np.zeros((chains, 1)),
                np.zeros((chains, L)),
                np.full(chains, sigma**2),
                np.full(chains, tau**2),
            )
            kept = []
            for iteration in range(600):
                moved = sweep(state, data, priors, rng)
                state = replace(moved, sigma2=state.sigma2, tau2=state.tau2)
                if iteration >= 100:
                    kept.append(np.hstack([state.gamma[:, :1], state.beta]))
                    kept[-1] = np.hstack([kept[-1], state.gamma[:, 1:]])
            # The published figures are rounded, as are the variances put in.
            assert_mean_of_chains(np.stack(kept, axis=1), np.array(expected), 0.0006)

    def test_radon_with_uranium_has_lmers_estimates_inside(self) -> None:
        model = sp.Model(
            "log_radon ~ floor + log_uranium + (1 | county)", sp.load_dataset("radon")
        )
        flat = ["Intercept", "beta", "tau", "sigma"]
        draws = exact.gibbs(model, np.random.default_rng(10), flat=flat, draws=2000)
        table = draws.summary(groups=False)
        assert (table["r_hat"] < 1.02).all()
        lmer = {
            "Intercept": 1.466,
            "beta[floor]": -0.668,
            "beta[log_uranium]": 0.720,
            "tau_county[Intercept]": 0.156,
            "sigma": 0.758,
        }
        for name, estimate in lmer.items():
            row = table.loc[name]
            assert abs(row["mean"] - estimate) < row["sd"]

    def test_plug_in_understates_uncertainty(self) -> None:
        model = sp.Model("log_radon ~ floor + (1 | county)", sp.load_dataset("radon"))
        flat = ["Intercept", "beta", "tau", "sigma"]
        full = exact.gibbs(model, np.random.default_rng(11), flat=flat)
        with pytest.warns(exact.PlugInWarning, match="too narrow"):
            plugged = exact.gibbs(
                model, np.random.default_rng(11), flat=flat, plug_in=True
            )
        for name in ("tau_county", "sigma"):
            assert plugged.posterior[name].std() < full.posterior[name].std()

    def test_large_means_lose_no_digits(self) -> None:
        frame = regression_data(np.random.default_rng(12), sizes=(5, 6, 7, 8, 9))
        moved = frame.assign(y=frame["y"] + 1e7, x=frame["x"] + 1e6)
        flat = ["Intercept", "beta", "tau", "sigma"]
        results = []
        for data in (frame, moved):
            model = sp.Model("y ~ x + (1 | group)", data)
            draws = exact.gibbs(model, np.random.default_rng(13), flat=flat, draws=50)
            results.append(draws.posterior)
        for name in ("beta", "tau_group", "sigma"):
            np.testing.assert_allclose(results[0][name], results[1][name], rtol=1e-5)


def assert_mean_of_chains(
    draws: np.ndarray, expected: np.ndarray, rounding: float = 0.0
) -> None:
    """Compare the mean of chains, ``(chain, draw, quantity)``, by their MCSE."""
    statistics = mixing(draws)
    assert (statistics["r_hat"] < 1.02).all()
    difference = np.abs(draws.mean(axis=(0, 1)) - expected)
    assert (difference < ERRORS * statistics["mcse_mean"] + rounding).all()


@pytest.mark.parametrize("name", PRIORS)
def test_log_prior_is_scipys_up_to_a_constant(name: str) -> None:
    x = np.array([0.05, 0.7, 2.0, 30.0])
    prior = Prior.parse(PRIORS[name]["tau"])
    difference = log_prior(prior, x) - SCIPY[name].logpdf(x)
    np.testing.assert_allclose(difference, difference[0])
