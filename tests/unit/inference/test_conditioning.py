"""Conditioning on rows of new groups, against linear algebra and quadrature."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import changed, fit_of_points, fit_of_prior
from stanpool.base.errors import DataError, SpecError
from stanpool.families.registry import family_functions
from stanpool.inference.prediction import predict
from stanpool.inference.prediction.integrated import conditioning

ERRORS = 4.5


def assert_moments(draws: np.ndarray, mean: Any, sd: Any) -> None:
    """Compare mean and sd; draws are a systematic sample of their weights."""
    count = len(draws)
    assert abs(draws.mean() - mean) < ERRORS * sd / np.sqrt(count)
    assert abs(draws.std() / sd - 1) < ERRORS / np.sqrt(2 * count)


def repeated(fit: sp.Fit, draws: int) -> sp.Fit:
    """Return a fit with its first draw again and again."""
    posterior = fit.posterior.isel(chain=[0], draw=np.zeros(draws, dtype=int))
    posterior = posterior.assign_coords(draw=range(draws))
    return replace(fit, tree=xr.DataTree.from_dict({"posterior": posterior}))


class TestGaussianRows:
    def test_of_a_known_population_leave_a_normal_of_the_textbook(self) -> None:
        model = sp.Model(
            "y | se(known, sigma=True) ~ x1 + u + offset(x2) + (1 + x1 | g)",
            small_data(),
        )
        fit, points = fit_of_points(model, chains=2, draws=4000, one=True)
        at = points[0]
        rows = small_data().iloc[:3].assign(g="new", u=1.5)
        new = small_data().iloc[5:6].assign(g="new", u=1.5)
        eta = predict.linpred(fit, new, given=rows, seed=1)
        # Bayes' theorem for a linear model of known variances.
        z = np.column_stack([np.ones(3), rows["x1"]])
        precision = np.diag(1 / (at.sigma**2 + rows["known"] ** 2))
        prior = at.first.chol @ at.first.chol.T
        residual = rows["y"] - rows["x2"] - at.intercept - rows[["x1", "u"]] @ at.beta
        covariance = np.linalg.inv(np.linalg.inv(prior) + z.T @ precision @ z)
        mean = covariance @ z.T @ precision @ residual
        at_new = np.array([1.0, new["x1"].item()])
        population = at.intercept + new[["x1", "u"]].to_numpy()[0] @ at.beta
        assert_moments(
            eta.to_numpy().ravel(),
            population + new["x2"].item() + at_new @ mean,
            np.sqrt(at_new @ covariance @ at_new),
        )
        assert eta.attrs["pareto_k"] == -np.inf

    def test_move_the_population_as_a_refit_would(self) -> None:
        rng = np.random.default_rng(6)
        model = sp.Model("y ~ 1 + (1 | g)", small_data())
        fit, points = fit_of_points(model, chains=4, draws=5000, one=True)
        tau, sigma = points[0].first.tau[0], points[0].sigma
        # Draws of the population mean from N(1, 2^2).
        intercept = rng.normal(1.0, 2.0, (4, 5000))
        fit = changed(fit, "posterior", Intercept=intercept)
        y = np.array([3.0, 4.5, 2.0])
        given = {"y": y, "g": ["new", "new", "other"]}
        new = {"g": ["new", "other", "third"]}
        eta = predict.linpred(
            fit, new, given=given, new_groups="population", seed=3
        ).to_numpy()
        # The joint normal of (new, other, third, y).
        s = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0]])
        joint = 4.0 + tau**2 * s @ s.T + sigma**2 * np.diag([0, 0, 0, 1, 1, 1])
        gain = joint[:3, 3:] @ np.linalg.inv(joint[3:, 3:])
        mean = 1.0 + gain @ (y - 1.0)
        covariance = joint[:3, :3] - gain @ joint[3:, :3]
        draws = eta.reshape(-1, 3)
        for k in range(3):
            # Weights leave fewer effective draws: here about two of five.
            assert_moments(draws[::3, k], mean[k], np.sqrt(covariance[k, k]))

    def test_tie_groups_of_several_factors_together(self) -> None:
        model = sp.Model("y ~ 1 + (1 | g) + (1 | mm(h, g_2))", small_data())
        fit, points = fit_of_points(model, chains=2, draws=5000, one=True)
        at, given = (
            points[0],
            pd.DataFrame(
                {
                    "y": [1.0, 4.0, 2.5],
                    "g": ["new", "new", "a"],
                    "h": ["n", "m", "u"],
                    "g_2": ["b", "n", "c"],
                }
            ),
        )
        new = pd.DataFrame({"g": ["new"], "h": ["n"], "g_2": ["m"]})
        eta = predict.linpred(fit, new, given=given, seed=3).to_numpy().ravel()
        known = at.factors[1].b[:, 0]
        labels = model.design.factors[1].labels
        base = at.intercept + known[labels.index("b")] / 2, at.intercept
        # New of g, n and m of the memberships, each half of a row's.
        s = np.array([[1, 0.5, 0], [1, 0.5, 0.5]])
        prior = np.diag(
            [at.first.tau[0] ** 2, at.factors[1].tau[0] ** 2, at.factors[1].tau[0] ** 2]
        )
        precision = s.T @ s / at.sigma**2 + np.linalg.inv(prior)
        residual = given["y"].to_numpy()[:2] - base
        covariance = np.linalg.inv(precision)
        mean = covariance @ s.T @ residual / at.sigma**2
        of_new = np.array([1, 0.5, 0.5])
        assert_moments(
            eta, at.intercept + of_new @ mean, np.sqrt(of_new @ covariance @ of_new)
        )

    def test_of_known_groups_weigh_the_draws(self) -> None:
        model = sp.Model("y ~ 1 + (1 | g)", small_data())
        fit, points = fit_of_points(model, chains=4, draws=5000, one=True)
        rng = np.random.default_rng(8)
        b = fit.posterior["b_g"].to_numpy().copy()
        b[:, :, 0, 0] = rng.normal(1.0, 2.0, (4, 5000))
        fit = changed(fit, "posterior", b_g=b)
        given = {"y": [2.0, 3.0], "g": ["a", "a"]}
        eta = predict.linpred(fit, {"g": ["a"]}, given=given, seed=2).to_numpy().ravel()
        precision = 1 / 4 + 2 / points[0].sigma ** 2
        mean = (1 / 4 + 5 / points[0].sigma ** 2) / precision
        assert_moments(eta[::4], mean, np.sqrt(1 / precision))

    def test_say_something_of_the_residual_scale_of_their_group(self) -> None:
        model = sp.Model("y ~ 1 + (1 | g)", small_data(), residual="g")
        fit, points = fit_of_points(model, chains=4, draws=5000, one=True)
        at = points[0]
        given = {"y": [2.0, 2.1, 1.9, 2.05, 1.95], "g": ["new"] * 5}
        eta = predict.linpred(fit, {"g": ["new"]}, given=given, seed=2)
        y = predict.predict(fit, {"g": ["new"]}, given=given, seed=2)
        found = np.log(np.abs((y - eta).to_numpy().ravel()))
        # A grid over the log scale, the coefficient integrated out.
        grid = np.linspace(-8, 8, 4001)
        prior = stats.norm.logpdf(grid, 0, at.tau_sigma)
        log_density = np.array(
            [
                stats.multivariate_normal.logpdf(
                    np.array(given["y"]) - at.intercept,
                    cov=at.first.tau[0] ** 2 + (at.sigma * np.exp(z)) ** 2 * np.eye(5),
                )
                for z in grid
            ]
        )
        weights = np.exp(prior + log_density - (prior + log_density).max())
        weights /= weights.sum()
        mean = np.log(at.sigma) + weights @ grid - 0.6351814227  # of log|normal|
        variance = weights @ grid**2 - (weights @ grid) ** 2 + np.pi**2 / 8
        effective = 500  # of 20,000, which are weighted
        assert abs(found.mean() - mean) < ERRORS * np.sqrt(variance / effective)


class TestOtherRows:
    @pytest.mark.parametrize(
        ("outcome", "options", "y"),
        [
            ("count | exposure(e)", {"family": "poisson"}, [4, 7, 5]),
            ("win", {"family": "bernoulli"}, [1, 1, 0]),
            (
                "hits | trials(shots)",
                {"family": "binomial", "link": "cloglog"},
                [1] * 3,
            ),
            ("y", {"family": "student_t"}, [1.0, 2.0, 9.0]),
            ("y | weights(w)", {}, [1.0, 2.0, 4.0]),
            ("share", {"family": "beta"}, [0.1, 0.5, 0.4]),
            ("grade", {"family": "ordinal"}, ["low", "high", "low"]),
        ],
    )
    def test_leave_what_quadrature_says(
        self, outcome: str, options: dict[str, Any], y: list[Any]
    ) -> None:
        data = small_data()
        model = sp.Model(f"{outcome} ~ x1 + (1 | g)", data, **options)
        fit, points = fit_of_points(model, chains=2, draws=5000, one=True, seed=3)
        at, column = points[0], outcome.split()[0]
        rows = data.iloc[:3].assign(g="new", **{column: y})
        if column == "grade":
            rows["grade"] = pd.Categorical(y, ["low", "fair", "high"], ordered=True)
        new = data.iloc[[4]].assign(g="new", e=1.0)
        eta = predict.linpred(fit, new, given=rows, seed=1)
        base = at.intercept if model.design.intercept else 0.0
        mean, sd = self.quadrature(model, at, rows, base)
        assert eta.attrs["pareto_k"] < 0.5
        assert_moments(
            eta.to_numpy().ravel(), base + at.beta[0] * new["x1"].item() + mean, sd
        )

    @staticmethod
    def quadrature(
        model: sp.Model, at: Any, rows: pd.DataFrame, base: float
    ) -> tuple[float, float]:
        """Return mean and sd of the new group's deviation on a fine grid."""
        spec = model.spec
        u = np.linspace(-12, 12, 20001) * at.first.tau[0]
        eta = base + at.beta[0] * rows["x1"].to_numpy() + u[:, None]
        known: dict[str, Any] = {
            "student_t": {"sigma": at.sigma, "nu": at.nu},
            "gaussian": {"sigma": at.sigma},
            "beta": {"phi": at.phi},
            "ordinal": {"cutpoint": at.cutpoint},
            "binomial": {"trials": rows["shots"].to_numpy()},
        }.get(spec.family, {})
        if spec.exposure:
            eta = eta + np.log(rows["e"].to_numpy())
        y = rows[spec.outcome]
        y = y.cat.codes if spec.family == "ordinal" else y
        density = family_functions(spec.family, spec.link).log_density
        each = density(y.to_numpy(), eta, **known)
        if spec.weights:
            each = each * rows["w"].to_numpy()
        log = each.sum(axis=1) + stats.norm.logpdf(u, 0, at.first.tau[0])
        weights = np.exp(log - log.max())
        weights /= weights.sum()
        mean = weights @ u
        return float(mean), float(np.sqrt(weights @ u**2 - mean**2))

    def test_of_categories_leave_what_a_grid_says(self) -> None:
        model = sp.Model("colour ~ 1 + (1 | g)", small_data(), family="categorical")
        fit = repeated(fit_of_prior(model, chains=1, draws=1, seed=4), 8000)
        given = {"colour": ["red", "red", "green"], "g": ["new"] * 3}
        eta = predict.linpred(fit, {"g": ["new"]}, given=given, seed=1)
        posterior = fit.posterior.isel(chain=0, draw=0)
        tau = posterior["tau_g"].to_numpy()
        covariance = tau[:, None] * posterior["Omega_g"].to_numpy() * tau
        grid = np.linspace(-9, 9, 401)
        u = np.stack(np.meshgrid(grid * tau[0], grid * tau[1], indexing="ij"), -1)
        at = posterior["Intercept"].to_numpy() + u
        log_sum = np.log(1 + np.exp(at).sum(axis=-1))
        log = at[..., 0] + 2 * at[..., 1] - 3 * log_sum
        log = log + stats.multivariate_normal.logpdf(u, cov=covariance)
        weights = np.exp(log - log.max())
        weights /= weights.sum()
        for k in range(2):
            mean = np.sum(weights * at[..., k])
            sd = np.sqrt(np.sum(weights * at[..., k] ** 2) - mean**2)
            assert_moments(eta.to_numpy()[0, :, 0, k], mean, sd)


class TestUse:
    @pytest.fixture
    def fit(self) -> sp.Fit:
        return fit_of_prior(sp.Model("y ~ x1 + (1 | g)", small_data()), draws=200)

    def given(self) -> pd.DataFrame:
        return small_data().iloc[:2].assign(g="new")

    def test_every_verb_conditions(self, fit: sp.Fit) -> None:
        new = small_data().iloc[3:5].assign(g="new")
        eta = fit.linpred(new, given=self.given(), seed=1)
        xr.testing.assert_allclose(fit.epred(new, given=self.given(), seed=1), eta)
        table = fit.predict_table(new, kind="linpred", given=self.given(), seed=1)
        np.testing.assert_allclose(table["mean"], eta.mean(("chain", "draw")))
        assert table.attrs == eta.attrs
        assert fit.log_lik(new, given=self.given(), seed=1).shape == (2, 200, 2)
        other = small_data().iloc[3:5].assign(g="other")
        with pytest.raises(DataError, match=r"1 group.* not in the fit: 'other'"):
            fit.linpred(other, given=self.given())

    def test_says_when_it_is_not_to_be_relied_on(self, fit: sp.Fit) -> None:
        far = self.given().assign(y=[200.0, -300.0])
        with pytest.warns(sp.ImportanceWarning, match="Fit again with these rows"):
            found = fit.linpred(far, given=far, seed=1)
        assert found.attrs["pareto_k"] > 0.7

    def test_of_the_fitted_rows_makes_no_sense(self, fit: sp.Fit) -> None:
        with pytest.raises(SpecError, match="pass data="):
            fit.linpred(given=self.given())
        with pytest.raises(SpecError, match="groups='fitted'"):
            fit.linpred(self.given(), given=self.given(), groups="redrawn")

    def test_needs_outcomes_and_a_population(self, fit: sp.Fit) -> None:
        with pytest.raises(DataError, match="no column 'y'"):
            fit.linpred(self.given(), given=self.given().drop(columns="y"))
        none = fit_of_prior(fit.model.with_(pooling="none"))
        with pytest.raises(SpecError, match="without pooling does not have"):
            none.linpred(self.given(), given=self.given())

    def test_very_many_rows_are_for_a_refit(
        self, fit: sp.Fit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(conditioning, "LARGEST_ARRAY", 1000)
        with pytest.raises(SpecError, match=r"2 rows of connected groups.* fit again"):
            fit.linpred(self.given(), given=self.given())
        with pytest.warns(sp.ImportanceWarning, match="Pareto k"):  # of so few draws
            assert fit.linpred(self.given(), given=self.given(), draws=50).size == 100

    def test_impossible_rows_are_refused(self) -> None:
        model = sp.Model("count ~ x1 + (1 | g)", small_data(), family="poisson")
        fit = fit_of_prior(model)
        far = np.full(fit.posterior["Intercept"].shape, 800.0)
        fit = changed(fit, "posterior", Intercept=far)
        given = small_data().iloc[:2]
        with pytest.raises(DataError, match="is 0 at every draw"):
            fit.linpred(given, given=given, group_terms=[])
