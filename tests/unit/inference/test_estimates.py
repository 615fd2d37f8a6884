"""Tables of effects against what is computed by hand from the draws."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import stanpool as sp
from golden.catalogue import models, proper_models, small_data
from golden.representative import each_model
from simulated_fits import changed, fit_of_points, fit_of_prior, simulated_fit
from stanpool.base.errors import SpecError
from stanpool.inference.diagnostics.funnel import measure_funnels
from stanpool.inference.estimates import coefficients, contrasts, variance
from stanpool.inference.estimates.hypothesis import hypothesis
from stanpool.plots import plot_caterpillar
from statistical import densities

COLUMNS = ["mean", "sd", "median", "q5", "q95"]


def flat(fit: sp.Fit, name: str) -> np.ndarray:
    values = fit.posterior[name].to_numpy()
    return np.asarray(values.reshape(-1, *values.shape[2:]))


def assert_describes(row: pd.Series[Any], draws: np.ndarray) -> None:
    assert row["mean"] == pytest.approx(draws.mean())
    assert row["sd"] == pytest.approx(draws.std(ddof=1))
    for level, name in ((0.05, "q5"), (0.5, "median"), (0.95, "q95")):
        assert row[name] == pytest.approx(np.quantile(draws, level))


class TestPopulation:
    @pytest.mark.parametrize("name", each_model(proper_models()))
    def test_is_what_the_summary_says(self, name: str) -> None:
        fit = fit_of_prior(models()[name], draws=20)
        found, summary = coefficients.fixef(fit), fit.summary()
        assert list(found.columns) == COLUMNS
        is_categorical = fit.model.spec.family == "categorical"
        for label, row in found.iterrows():
            known = str(label)
            if is_categorical:
                category, _, name = known.partition(", ")
                known = (
                    f"beta[{known}]"
                    if name != "Intercept"
                    else (f"Intercept[{category}]")
                )
            elif known != "Intercept" and not known.startswith("cutpoint["):
                known = f"beta[{known}]"
            expected = summary.loc[known]
            for column in COLUMNS:
                assert row[column] == pytest.approx(expected[column])
        population = ("Intercept", "beta", "cutpoint")
        count = sum(re.split(r"\[", label)[0] in population for label in summary.index)
        assert len(found) == count

    def test_intervals_have_the_probability_that_is_asked(self) -> None:
        fit = fit_of_prior(models()["complete_pooling_gaussian"], draws=50)
        found = coefficients.fixef(fit, prob=0.5)
        assert list(found.columns) == ["mean", "sd", "median", "q25", "q75"]
        expected = np.quantile(flat(fit, "Intercept"), 0.25)
        assert found.loc["Intercept", "q25"] == pytest.approx(expected)
        for prob in (0, 1, 95, "0.9", True):
            with pytest.raises(SpecError, match="between 0 and 1"):
                coefficients.fixef(fit, prob=prob)  # type: ignore[arg-type]


class TestGroups:
    MODEL = "y ~ x1 + x2 + u + (1 + x2 | g) + (1 + x1 | h)"

    def test_deviate_from_their_means(self) -> None:
        fit, points = fit_of_points(sp.Model(self.MODEL, small_data()))
        for number, name in enumerate(("g", "h")):
            found = coefficients.ranef(fit, factor=name)
            assert found.index.names == [name, "coefficient"]
            draws = np.array(
                [
                    at.factors[number].b
                    - densities.group_means(fit.model, small_data(), at, number)
                    for at in points
                ]
            )
            factor = fit.model.design.factors[number]
            for j, group in enumerate(factor.labels):
                for q, label in enumerate(factor.varying):
                    assert_describes(found.loc[(group, label)], draws[:, j, q])
        pd.testing.assert_frame_equal(
            coefficients.ranef(fit), coefficients.ranef(fit, factor="g")
        )

    def test_full_coefficients_have_the_population_in_them(self) -> None:
        fit, points = fit_of_points(sp.Model(self.MODEL, small_data()))
        own = coefficients.coef(fit)
        assert_describes(own.loc[("b", "x2")], flat(fit, "b_g")[:, 1, 1])
        # The mean of h's intercepts belongs to g; that of its slopes of x1 to h.
        other = coefficients.coef(fit, factor="h")
        intercepts = flat(fit, "b_h")[:, 0, 0] + flat(fit, "Intercept")
        assert_describes(other.loc[("u", "Intercept")], intercepts)
        assert_describes(other.loc[("u", "x1")], flat(fit, "b_h")[:, 0, 1])
        assert points

    def test_of_categorical_outcomes_name_their_category(self) -> None:
        model = sp.Model(
            "colour ~ x1 + (1 + x1 | g)", small_data(), family="categorical"
        )
        fit = fit_of_prior(model)
        beta = fit.posterior["beta"].sel(category="red", coefficient="x1")
        draws = flat(fit, "b_g")[:, 2, 3] - beta.to_numpy().ravel()
        assert_describes(coefficients.ranef(fit).loc[("c", "red, x1")], draws)
        assert_describes(
            coefficients.coef(fit).loc[("c", "red, x1")],
            draws + beta.to_numpy().ravel(),
        )

    def test_without_pooling_have_coefficients_only(self) -> None:
        fit = fit_of_prior(models()["no_pooling_gaussian_common_intercept"])
        assert_describes(
            coefficients.coef(fit).loc[("b", "x2")], flat(fit, "b_g")[:, 1, 0]
        )
        with pytest.raises(
            SpecError, match="has no population distribution to deviate"
        ):
            coefficients.ranef(fit)
        complete = fit_of_prior(models()["complete_pooling_gaussian"])
        with pytest.raises(SpecError, match=r"has no groups\.$"):
            coefficients.coef(complete)
        with pytest.raises(SpecError, match="no groups of 'county'"):
            coefficients.coef(fit, factor="county")

    def test_blocks_of_groups_change_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fit, _ = fit_of_points(sp.Model(self.MODEL, small_data()))
        whole = (
            coefficients.ranef(fit),
            variance.pooling_factors(fit),
            variance.pooling_factors(fit, by_group=True),
            contrasts.rank_groups(fit),
        )
        monkeypatch.setattr(coefficients, "BLOCK", 1)
        again = (
            coefficients.ranef(fit),
            variance.pooling_factors(fit),
            variance.pooling_factors(fit, by_group=True),
            contrasts.rank_groups(fit),
        )
        for first, second in zip(whole, again, strict=True):
            pd.testing.assert_frame_equal(first, second)


class TestScales:
    def test_and_correlations_are_labelled(self) -> None:
        model = sp.Model(
            "y ~ x1 + (1 + x1 + x2 | g) + (1 + x1 || h)", small_data(), residual="g"
        )
        fit, _ = fit_of_points(model)
        found = coefficients.varcorr(fit)
        assert found.index.tolist() == [
            ("g", "sd(Intercept)"),
            ("g", "sd(x1)"),
            ("g", "sd(x2)"),
            ("g", "cor(Intercept, x1)"),
            ("g", "cor(Intercept, x2)"),
            ("g", "cor(x1, x2)"),
            ("h", "sd(Intercept)"),
            ("h", "sd(x1)"),
            ("residual", "sigma"),
            ("g", "sd(log sigma)"),
        ]
        assert_describes(found.loc[("g", "cor(x1, x2)")], flat(fit, "Omega_g")[:, 1, 2])
        assert_describes(found.loc[("h", "sd(x1)")], flat(fit, "tau_h")[:, 1])
        assert_describes(found.loc[("g", "sd(log sigma)")], flat(fit, "tau_sigma_g"))

    def test_of_other_poolings_are_residual(self) -> None:
        fit = fit_of_prior(models()["complete_pooling_gaussian"])
        assert coefficients.varcorr(fit).index.tolist() == [("residual", "sigma")]
        fit = fit_of_prior(models()["complete_pooling_poisson"])
        assert len(coefficients.varcorr(fit)) == 0


class TestPooling:
    def test_is_that_of_gelman_and_pardoe(self) -> None:
        fit = simulated_fit(information=0.7)
        found = variance.pooling_factors(fit)
        b = flat(fit, "b_school")[..., 0]
        errors = b - flat(fit, "Intercept")[:, None]
        pooling = 1 - errors.mean(0).var(ddof=1) / errors.var(1, ddof=1).mean()
        explained = 1 - errors.var(1, ddof=1).mean() / b.var(1, ddof=1).mean()
        row = found.loc[("school", "Intercept")]
        assert row["pooling"] == pytest.approx(pooling)
        assert row["r_squared"] == pytest.approx(explained, abs=1e-12)
        residual = fit.model.design.y - b[:, fit.model.design.group_index]
        pooling = 1 - residual.mean(0).var(ddof=1) / residual.var(1, ddof=1).mean()
        total = fit.model.design.y.var(ddof=1)
        explained = 1 - residual.var(1, ddof=1).mean() / total
        assert found.loc[("data", "y")].tolist() == pytest.approx([pooling, explained])

    def test_is_none_where_groups_are_known_and_all_where_nothing_is(self) -> None:
        model = sp.Model("y ~ x1 + (1 | g)", small_data())
        known, _ = fit_of_points(model, one=True)
        found = variance.pooling_factors(known).loc[("g", "Intercept"), "pooling"]
        assert found == pytest.approx(0.0, abs=1e-12)
        prior = fit_of_prior(model, draws=4000)
        found = variance.pooling_factors(prior).loc[("g", "Intercept"), "pooling"]
        assert found == pytest.approx(1.0, abs=0.01)

    def test_group_level_predictors_explain(self) -> None:
        fit, points = fit_of_points(sp.Model("y ~ x1 + u + (1 | g)", small_data()))
        found = variance.pooling_factors(fit).loc[("g", "Intercept"), "r_squared"]
        b = np.array([at.first.b[:, 0] for at in points])
        means = [
            densities.group_means(fit.model, small_data(), at, 0)[:, 0] for at in points
        ]
        errors = b - np.array(means)
        expected = 1 - errors.var(1, ddof=1).mean() / b.var(1, ddof=1).mean()
        assert found == pytest.approx(expected)

    def test_of_each_group_is_what_its_data_do_not_say(self) -> None:
        fit = simulated_fit(information=0.7)
        found = variance.pooling_factors(fit, by_group=True)["pooling"]
        none = np.zeros((4, 500), dtype=bool)
        (funnel,) = measure_funnels(fit.posterior, none, design=fit.model.design)
        np.testing.assert_allclose(found, 1 - funnel.information)
        assert found.index.names == ["factor", "group", "coefficient"]

    @pytest.mark.parametrize("pooling", ["none", "complete"])
    def test_is_of_partial_pooling(self, pooling: str) -> None:
        fit = simulated_fit(pooling=pooling)
        for function in (variance.pooling_factors, variance.icc):
            with pytest.raises(SpecError, match=r"not partially pooled.*with_\("):
                function(fit)
            alone = fit_of_prior(sp.Model("y ~ x1", small_data()))
            with pytest.raises(SpecError, match="Add a group term"):
                function(alone)


class TestShares:
    def test_of_gaussian_intercepts_are_ratios_of_variances(self) -> None:
        fit = simulated_fit()
        tau, sigma = flat(fit, "tau_school")[:, 0], flat(fit, "sigma")
        expected = tau**2 / (tau**2 + sigma**2)
        assert_describes(variance.icc(fit).loc["school"], expected)

    def test_of_slopes_are_averaged_over_rows(self) -> None:
        data = small_data()
        model = sp.Model(
            "y | se(known, sigma=True) ~ x1 + (1 + x1 | g) + (1 | h)",
            data,
            residual="h",
        )
        fit, points = fit_of_points(model)
        found = variance.icc(fit)
        shares = []
        for at in points:
            covariance = at.first.chol @ at.first.chol.T
            rows = [np.array([1.0, x]) for x in data["x1"]]
            first = np.mean([z @ covariance @ z for z in rows])
            second = at.factors[1].tau[0] ** 2
            assert at.sigmas is not None
            codes = pd.factorize(data["h"], sort=True)[0]
            residual = np.mean(at.sigmas[codes] ** 2 + data["known"] ** 2)
            shares.append(np.array([first, second]) / (first + second + residual))
        for k, name in enumerate(("g", "h")):
            assert_describes(found.loc[name], np.array(shares)[:, k])

    @pytest.mark.parametrize(
        ("formula", "options", "latent"),
        [
            ("win ~ x1 + (1 | g)", {"family": "bernoulli"}, np.pi**2 / 3),
            ("win ~ x1 + (1 | g)", {"family": "bernoulli", "link": "probit"}, 1.0),
            ("hits | trials(shots) ~ (1 | g)", {"family": "binomial"}, np.pi**2 / 3),
            ("grade ~ x1 + (1 | g)", {"family": "ordinal"}, np.pi**2 / 3),
            # Of one trial, which is a Bernoulli one whatever phi is.
            (
                "hits | trials(shots) ~ (1 | g)",
                {"family": "beta_binomial"},
                np.pi**2 / 3,
            ),
        ],
    )
    def test_of_links_have_the_latent_variance(
        self, formula: str, options: dict[str, Any], latent: float
    ) -> None:
        fit = fit_of_prior(sp.Model(formula, small_data(), **options))
        tau = flat(fit, "tau_g")[:, 0]
        assert_describes(variance.icc(fit).loc["g"], tau**2 / (tau**2 + latent))

    def test_of_counts_have_the_variance_of_their_logs(self) -> None:
        data = small_data()
        model = sp.Model(
            "count | exposure(e) ~ x1 + (1 | g)", data, family="negative_binomial"
        )
        fit, points = fit_of_points(model)
        shares = []
        for at in points:
            eta = at.intercept + at.beta[0] * data["x1"] + np.log(data["e"])
            tau = at.first.tau[0] ** 2
            mean = np.mean(np.exp(eta + tau / 2))
            shares.append(tau / (tau + np.log1p(1 / mean + 1 / at.phi)))
        assert_describes(variance.icc(fit).loc["g"], np.array(shares))

    @pytest.mark.parametrize(
        ("family", "part"),
        [
            ("exponential", ""),
            ("weibull", ""),
            ("weibull", "| trunc(0.01)"),
            ("weibull", "| cens(c, amount_high)"),
            ("inverse_gaussian", ""),
        ],
    )
    def test_of_times_have_the_variance_of_their_logs(
        self, family: str, part: str
    ) -> None:
        data = small_data()
        model = sp.Model(f"amount {part} ~ x1 + (1 | g)", data, family=family)
        fit, points = fit_of_points(model)
        shares = []
        for at in points:
            tau, k = at.first.tau[0] ** 2, at.shape
            mean = np.mean(np.exp(at.intercept + at.beta[0] * data["x1"] + tau / 2))
            variation = {
                "exponential": 1.0,
                "weibull": special.gamma(1 + 2 / k) / special.gamma(1 + 1 / k) ** 2 - 1,
                "inverse_gaussian": mean / k,
            }[family]
            shares.append(tau / (tau + np.log1p(variation)))
        assert_describes(variance.icc(fit).loc["g"], np.array(shares))

    @pytest.mark.parametrize(
        ("formulas", "family"),
        [
            (["y ~ x1 + (1 | g)", "sigma ~ x2 + (1 | g)"], "gaussian"),
            (["amount ~ x1 + (1 | g)", "shape ~ x2"], "gamma"),
            (["count ~ x1 + (1 | g)", "phi ~ x2"], "negative_binomial"),
        ],
    )
    def test_of_parameters_with_formulas_are_averaged_over_rows(
        self, formulas: list[str], family: str
    ) -> None:
        data = small_data()
        model = sp.Model(formulas, data, family=family)
        fit, points = fit_of_points(model)
        shares = []
        for at in points:
            own = {
                name: densities.parameter_of_rows(model, data, at, name)
                for name in ("sigma", "shape", "phi")
            }
            tau = at.first.tau[0] ** 2
            rows = own["sigma"] ** 2
            if family == "gamma":
                rows = np.log1p(1 / own["shape"])
            if family == "negative_binomial":
                eta = at.intercept + at.beta[0] * data["x1"] + tau / 2
                rows = np.log1p(1 / np.mean(np.exp(eta)) + 1 / own["phi"])
            shares.append(tau / (tau + np.mean(rows)))
        assert_describes(variance.icc(fit).loc["g"], np.array(shares))

    def test_memberships_share_a_variance(self) -> None:
        model = sp.Model("y ~ x1 + (1 | mm(g, g_2))", small_data())
        fit, points = fit_of_points(model)
        found = variance.icc(fit).iloc[0]
        # A mean of two has half of the variance of one.
        stayed = np.mean(small_data()["g"] == small_data()["g_2"])
        assert 0 < stayed < 1
        share = stayed + (1 - stayed) / 2
        tau = np.array([share * at.first.tau[0] ** 2 for at in points])
        sigma = np.array([at.sigma**2 for at in points])
        assert_describes(found, tau / (tau + sigma))

    def test_those_who_stay_have_the_whole_variance(self) -> None:
        data = small_data().assign(stayed=small_data()["g"], half=0.5)
        for factor in ("mm(g, stayed)", "mm(g, stayed, weights=(half, half))"):
            fit, points = fit_of_points(sp.Model(f"y ~ x1 + (1 | {factor})", data))
            tau = np.array([at.first.tau[0] ** 2 for at in points])
            sigma = np.array([at.sigma**2 for at in points])
            assert_describes(variance.icc(fit).iloc[0], tau / (tau + sigma))

    @pytest.mark.parametrize(
        ("formula", "options"),
        [
            ("colour ~ x1 + (1 | g)", {"family": "categorical"}),
            ("share ~ x1 + (1 | g)", {"family": "beta"}),
            ("y ~ x1 + (1 | g)", {"link": "log"}),
        ],
    )
    def test_are_refused_without_a_residual_variance(
        self, formula: str, options: dict[str, Any]
    ) -> None:
        fit = fit_of_prior(sp.Model(formula, small_data(), **options))
        with pytest.raises(SpecError, match=r"residual variance|each category"):
            variance.icc(fit)


class TestR2:
    def test_draws_that_went_astray_do_not_warn(self) -> None:
        fit = simulated_fit(draws=50)
        for sigma in (1e200, 0.0, np.nan):
            astray = np.full(fit.posterior["sigma"].shape, sigma)
            found = variance.bayes_R2(changed(fit, "posterior", sigma=astray))
            share = {1e200: 0.0, 0.0: 1.0}.get(sigma, np.nan)
            np.testing.assert_array_equal(found.loc["R2", "mean"], share)

    def test_is_the_share_of_the_expectations_variance(self) -> None:
        data = small_data()
        fit, points = fit_of_points(sp.Model("y ~ x1 + x2 + (1 | g)", data))
        eta = np.array(
            [densities.linear_predictor(fit.model, data, at) for at in points]
        )
        sigma = np.array([at.sigma for at in points])
        explained = eta.var(axis=1, ddof=1)
        found = variance.bayes_R2(fit).loc["R2"]
        assert_describes(found, explained / (explained + sigma**2))
        population = [at.intercept + data[["x1", "x2"]] @ at.beta for at in points]
        explained = np.array(population).var(axis=1, ddof=1)
        found = variance.bayes_R2(fit, group_terms=[]).loc["R2"]
        assert_describes(found, explained / (explained + sigma**2))

    def test_of_binomial_outcomes_is_of_shares(self) -> None:
        data = small_data()
        model = sp.Model("hits | trials(shots) ~ x1 + (1 | g)", data, family="binomial")
        fit, points = fit_of_points(model)
        shares = []
        for at in points:
            p = 1 / (1 + np.exp(-densities.linear_predictor(model, data, at)))
            noise = np.mean(p * (1 - p) / data["shots"])
            shares.append(p.var(ddof=1) / (p.var(ddof=1) + noise))
        assert_describes(variance.bayes_R2(fit).loc["R2"], np.array(shares))

    @pytest.mark.parametrize("name", each_model(proper_models()))
    def test_is_a_share_of_any_model(self, name: str) -> None:
        fit = fit_of_prior(models()[name])
        if fit.model.spec.family in ("ordinal", "sratio", "acat", "categorical"):
            with pytest.raises(SpecError, match="categories, which have no variance"):
                variance.bayes_R2(fit)
            return
        with np.errstate(over="ignore", invalid="ignore"):
            found = variance.bayes_R2(fit).loc["R2"]
        assert 0 <= found["q5"] <= found["q95"] <= 1


class TestContrasts:
    def test_are_differences_of_full_coefficients(self) -> None:
        fit, _ = fit_of_points(
            sp.Model("y ~ x1 + (1 + x1 | g)", small_data()), draws=30
        )
        found = contrasts.contrasts(fit, [("a", "c"), ("d", "b")], coefficient="x1")
        b = flat(fit, "b_g")[..., 1]
        assert found.index.tolist() == [("a", "c"), ("d", "b")]
        assert_describes(found.loc[("a", "c")], b[:, 0] - b[:, 2])
        expected = np.mean(b[:, 3] > b[:, 1])
        assert found.loc[("d", "b"), "probability"] == pytest.approx(expected)
        assert len(contrasts.contrasts(fit)) == 6

    def test_name_what_is_not_there(self) -> None:
        fit = fit_of_prior(sp.Model("y ~ x1 + (1 + x1 | g)", small_data()))
        with pytest.raises(
            SpecError, match="pairs has 'A', which is not a group of 'g'"
        ):
            contrasts.contrasts(fit, [("A", "b")])
        with pytest.raises(SpecError, match="'x3' does not vary over 'g'"):
            contrasts.contrasts(fit, coefficient="x3")
        with pytest.raises(SpecError, match=r"no groups of 'gg'; .* mean 'g'\?"):
            contrasts.contrasts(fit, factor="gg")
        alone = fit_of_prior(sp.Model("y ~ x1", small_data(), pooling="complete"))
        for ask in (contrasts.contrasts, plot_caterpillar):
            with pytest.raises(SpecError, match=r" rows\) has no groups\.$"):
                ask(alone)

    def test_of_very_many_groups_are_asked_for(self) -> None:
        labels = tuple(f"s{k}" for k in range(101))
        fit = simulated_fit(labels=labels, draws=5)
        with pytest.raises(SpecError, match="make 5,050 pairs"):
            contrasts.contrasts(fit)


class TestRanking:
    @pytest.mark.parametrize("largest_first", [True, False])
    def test_is_that_of_each_draw(self, largest_first: bool) -> None:
        fit = simulated_fit()
        found = contrasts.rank_groups(fit, largest_first=largest_first)
        b = flat(fit, "b_school")[..., 0]
        ranks = stats.rankdata(-b if largest_first else b, axis=1)
        for j, label in enumerate("ABCDEF"):
            assert_describes(found.loc[label], ranks[:, j])
            expected = np.mean(ranks[:, j] == 1)
            assert found.loc[label, "probability_first"] == pytest.approx(expected)
        assert found["mean"].is_monotonic_increasing

    def test_of_very_many_groups_takes_some_draws(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fit = simulated_fit()
        monkeypatch.setattr(contrasts, "LARGEST_ARRAY", 600)
        with pytest.raises(SpecError, match="draws=100 for a sample"):
            contrasts.rank_groups(fit)
        assert len(contrasts.rank_groups(fit, draws=100)) == 6


class TestHypotheses:
    def test_have_the_share_of_draws_where_they_hold(self) -> None:
        model = sp.Model("y ~ x1 * u + (1 + x1 | g)", small_data())
        fit, _ = fit_of_points(model, draws=50)
        intercept, sigma = flat(fit, "Intercept"), flat(fit, "sigma")
        beta, b, tau = flat(fit, "beta"), flat(fit, "b_g"), flat(fit, "tau_g")
        cases = {
            "x1 < 0": -beta[:, 0],
            "u > x1": beta[:, 1] - beta[:, 0],
            "x1:u > 0": beta[:, 2],
            "`x1:u` >= 0": beta[:, 2],
            "beta[x1:u] > 0": beta[:, 2],
            "2 * (x1 + u) - Intercept / 3 < 1e-1": 0.1
            - (2 * (beta[:, 0] + beta[:, 1]) - intercept / 3),
            "exp(x1) < 1": -beta[:, 0],
            "abs(x1) < .5": 0.5 - np.abs(beta[:, 0]),
            "tau_g[Intercept]**2 > sigma ** 2": tau[:, 0] - sigma,
            "b_g[a, x1] > b_g[c, x1]": b[:, 0, 1] - b[:, 2, 1],
            "-x1 > +u": -beta[:, 0] - beta[:, 1],
            "-0.5 < x1 < 0.5": 0.5 - np.abs(beta[:, 0]),
        }
        found = hypothesis(fit, list(cases))
        assert found.index.tolist() == list(cases)
        for text, positive in cases.items():
            share = np.mean(positive > 0)
            assert found.loc[text, "probability"] == pytest.approx(share), text
            assert found.loc[text, "odds"] == pytest.approx(share / (1 - share)), text
        assert_describes(found.loc["u > x1"], beta[:, 1] - beta[:, 0])
        assert_describes(found.loc["-0.5 < x1 < 0.5"], beta[:, 0])
        assert hypothesis(fit, "sigma > 0").loc["sigma > 0", "odds"] == np.inf

    @pytest.mark.parametrize(
        "label", ["ST. LOUIS", "a]b[c", "x < y", "it's", "{}", "1"]
    )
    def test_name_groups_of_any_text(self, label: str) -> None:
        fit = simulated_fit(labels=("A", label), factor="my group")
        b = flat(fit, "b_my group")[..., 0]
        text = f"`b_my group[{label}, Intercept]` > `b_my group[A, Intercept]`"
        found = hypothesis(fit, text)
        assert found["probability"].item() == np.mean(b[:, 1] > b[:, 0])

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("x1 = 0", "equal, which has probability 0"),
            ("x1 == 0", "equal, which has probability 0"),
            ("x1", "cannot read"),
            ("", "cannot read"),
            ("1 < 2", "cannot read"),
            ("x1 <", "cannot read"),
            ("x1 < 0 < 1 < 2", "cannot read"),
            ("x1 < 0 and x1 > -1", r"cannot read|name"),
            ("x1 < __import__('os').getcwd()", "name"),
            ("x1.real < 0", "cannot read|name"),
            ("x1 < 'a'", "cannot read|name"),
            ("x1 < True", "name 'True'"),
            ("x11 < 0", r"'x11', which is not in the posterior.* Did you mean 'x1'"),
            ("b_g[e, x1] < 0", r"name 'b_g\[e, x1\]'.*'b_g\[a, Intercept\]'"),
            ("(" * 3000 + "x1 < 0" + ")" * 3000, "cannot read"),
            ("-" * 2000 + "x1 < 0", "cannot read"),
            ("x1 < 1" + "0" * 400, "cannot read"),
            ("x1[0 < 0", "name"),
            (3, "must be a string"),
        ],
    )
    def test_others_are_refused(self, text: Any, said: str) -> None:
        fit = fit_of_prior(sp.Model("y ~ x1 + (1 + x1 | g)", small_data()))
        with pytest.raises(SpecError, match=said):
            hypothesis(fit, [text])


def test_a_fit_has_these_verbs() -> None:
    fit = simulated_fit()
    own: dict[str, Any] = {"factor": "school", "prob": 0.5}
    verbs = vars(coefficients) | vars(variance) | vars(contrasts)
    for name, options in (
        ("fixef", {"prob": 0.5}),
        ("ranef", own),
        ("coef", own),
        ("varcorr", {"prob": 0.5}),
        ("pooling_factors", {"by_group": True}),
        ("icc", {"prob": 0.5}),
        ("bayes_R2", {"prob": 0.5, "group_terms": []}),
        ("contrasts", own | {"pairs": [("A", "C")], "coefficient": "Intercept"}),
        ("rank_groups", own | {"largest_first": False, "draws": 100}),
    ):
        pd.testing.assert_frame_equal(
            getattr(fit, name)(**options), verbs[name](fit, **options)
        )
    text = "tau_school[Intercept] < sigma"
    pd.testing.assert_frame_equal(
        fit.hypothesis(text, prob=0.5), hypothesis(fit, text, prob=0.5)
    )
