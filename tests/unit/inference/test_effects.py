"""Average predictions and comparisons, against other software and by hand."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import stanpool as sp
from golden.catalogue import proper_models, small_data
from simulated_fits import fit_of_draws, fit_of_prior
from stanpool.base.errors import DataError, EffectWarning, SpecError
from stanpool.inference.effects import expected
from stanpool.inference.effects.population import expectation
from stanpool.language import family as families
from stanpool.model.terms.unseen import NewLevels
from statistical import densities

DATA = Path(__file__).parents[2] / "data"
FIGURES = json.loads((DATA / "marginaleffects.json").read_text())
COMPARISONS = {"lnor": "log_odds_ratio", "lnratio": "log_ratio"}
FAMILIES = {
    "logit": ("bernoulli", "logit"),
    "probit": ("bernoulli", "probit"),
    "normal": ("gaussian", "identity"),
    "poisson": ("poisson", "log"),
}


def data_of(name: str) -> pd.DataFrame:
    if name == "poisson":
        return pd.read_csv(DATA / "quine.csv")
    if name == "normal":
        return sp.load_dataset("radon")
    frame = sp.load_dataset("verbagg")
    weight = 1.0 + np.arange(len(frame)) % 5
    return frame.assign(r=(frame["r2"] == "Y").astype(int), w=weight)


@cache
def model_of(name: str) -> sp.Model:
    family, link = FAMILIES[name]
    formula = FIGURES["models"][name]["formula"]
    return sp.Model(
        formula, data_of(name), family=family, link=link, pooling="complete"
    )


def fit_at(name: str, draws: np.ndarray | None = None) -> sp.Fit:
    """Return a fit whose draws are all at the estimates of statsmodels, or given."""
    figures, model = FIGURES["models"][name], model_of(name)
    params = list(figures["params"])
    if draws is None:
        draws = np.tile(list(figures["params"].values()), (4, 1))
    assert params[0] == "Intercept"
    own = [params.index(label) for label in model.design.coefficients]
    variables = {"alpha": draws[None, :, 0], "beta": draws[None][..., own]}
    if name == "normal":
        variables["sigma"] = np.full((1, len(draws)), figures["scale"] ** 0.5)
    return fit_of_draws(model, variables)


def effects_of(fit: sp.Fit, call: dict[str, Any], **more: Any) -> pd.DataFrame:
    options = dict(call["options"])
    verb = getattr(fit, call["function"].removeprefix("avg_"))
    options["weights"] = options.pop("wts", None)
    options["cross"] = "both" if options.pop("cross", None) else None
    name = options.pop("comparison", "difference")
    options["comparison"] = COMPARISONS.get(name, name)
    if "predictions" in call["function"] or "slopes" in call["function"]:
        del options["cross"], options["comparison"]
    # Averages by a column that the model does not use are over the user's rows.
    if "newdata" not in options:
        options |= {"newdata": data_of(call["model"]), "by": options.get("by", True)}
    return verb(**options, **more)


CALLS = FIGURES["calls"]


class TestAgainstMarginaleffects:
    # The youngest have an Anger of 11, and some comparisons are with 10.
    @pytest.mark.filterwarnings("ignore:some rows are outside:UserWarning")
    @pytest.mark.parametrize(
        "call", CALLS, ids=lambda x: f"{x['model']}-{x['function']}-{x['options']}"
    )
    def test_estimates_are_the_same_at_the_same_coefficients(
        self, call: dict[str, Any]
    ) -> None:
        table = effects_of(fit_at(call["model"]), call)
        # Slopes there are forward differences.
        rtol = 1e-5 if "slopes" in call["function"] else 1e-6
        np.testing.assert_allclose(table["estimate"], call["estimate"], rtol=rtol)
        by = call["options"].get("by", [])
        for name in [by] if isinstance(by, str) else by if by is not True else []:
            assert table[name].tolist() == [row[name] for row in call["rows"]]

    @pytest.mark.parametrize("name", FAMILIES)
    def test_draws_scatter_as_standard_errors_say(self, name: str) -> None:
        figures = FIGURES["models"][name]
        draws = stats.multivariate_normal(
            list(figures["params"].values()), figures["cov"]
        ).rvs(2000, random_state=1)
        fit = fit_at(name, draws)
        own = [each for each in CALLS if each["model"] == name]
        # An elasticity has no variance where expected outcomes come near 0.
        for call in [each for each in own if "slope" not in each["options"]][:5]:
            found = effects_of(fit, call, as_draws=True)
            # The sd of 2000 draws is known to 1.6 per cent.
            np.testing.assert_allclose(
                found.std(axis=1, ddof=1), call["std_error"], rtol=0.08
            )


class TestAgainstLme4:
    """R 4.2.2, lme4 1.1-31, emmeans 1.8.4-1: glmer(r ~ btype + Gender + (1 | id), nAGQ
    = 9) on verbagg; averages over new persons by integrate().
    """

    @pytest.fixture(scope="class")
    @classmethod
    def fit(cls) -> sp.Fit:
        model = sp.Model(
            "r ~ btype + Gender + (1 | id)", data_of("logit"), family="bernoulli"
        )
        alpha, sd = 0.7634501104, 1.237290755
        beta = [-0.9784828114, -1.8943520445, 0.2808485579]
        at = {
            "alpha": alpha,
            "beta": beta,
            "tau": [sd],
            "Omega": [[1.0]],
            "b": np.full((len(model.design.group_labels), 1), alpha),
        }
        return fit_of_draws(
            model, {name: np.array(value)[None, None] for name, value in at.items()}
        )

    @pytest.mark.parametrize(
        ("groups", "figures"),
        [
            ("population", [0.6542866071, 0.4712313395, 0.3050092323]),
            ("none", [0.6954031668, 0.4626189042, 0.2567990223]),
        ],
    )
    def test_averages_over_persons_and_at_zero(
        self, fit: sp.Fit, groups: str, figures: list[float]
    ) -> None:
        found = fit.predictions("btype", groups=groups)
        assert found["btype"].tolist() == ["curse", "scold", "shout"]
        np.testing.assert_allclose(found["estimate"], figures, rtol=1e-8)
        compared = fit.comparisons({"btype": "pairwise"}, groups=groups)
        a, b, c = figures
        np.testing.assert_allclose(
            compared["estimate"], [b - a, c - a, c - b], rtol=1e-7
        )
        assert set(compared["groups"]) == {groups}

    def test_adjusted_means_of_a_balanced_grid_are_those_of_emmeans(
        self, fit: sp.Fit
    ) -> None:
        found = fit.predictions(newdata="balanced", by="btype", kind="linpred")
        figures = [0.903874389, -0.0746084219, -0.990477655]
        np.testing.assert_allclose(found["estimate"], figures, rtol=1e-8)
        odds = fit.comparisons(
            {"btype": "sequential"},
            newdata="balanced",
            comparison="log_odds_ratio",
            groups="none",
        )
        # At each row log odds differ by the coefficient, whatever the row.
        figures = [-0.978482811, -0.978482811, -0.915869233, -0.915869233]
        np.testing.assert_allclose(
            odds["estimate"].to_numpy().reshape(2, -1)[:, ::3].ravel(),
            figures,
            rtol=1e-8,
        )


def without_groups(formula: str, data: pd.DataFrame, **options: Any) -> sp.Model:
    return sp.Model(formula, data, pooling="complete", **options)


def binary_fit(link: str, *, draws: int = 3) -> sp.Fit:
    model = sp.Model(
        "win ~ x1 + (1 + x1 | g)", small_data(), family="bernoulli", link=link
    )
    return fit_of_prior(model, draws=draws)


def normal_parts(fit: sp.Fit, x: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the population's linear predictor at x, and the sd of new groups there."""
    post = fit.posterior.stack(s=("chain", "draw"))
    eta = post["Intercept"].to_numpy() + x * post["beta"].to_numpy().ravel()
    tau, omega = post["tau_g"].to_numpy(), post["Omega_g"].to_numpy()
    z = np.array([1.0, x])
    variance = np.einsum("a,as,abs,bs,b->s", z, tau, omega, tau, z)
    return eta, np.sqrt(variance)


class TestNewGroups:
    def test_probit_has_its_closed_form(self) -> None:
        fit = binary_fit("probit")
        eta, sd = normal_parts(fit, 0.7)
        found = fit.predictions(newdata={"x1": [0.7]}, as_draws=True)
        expected = stats.norm.cdf(eta / np.sqrt(1 + sd**2))
        np.testing.assert_allclose(found.to_numpy()[0], expected, rtol=1e-12)
        assert found.index.get_level_values("groups").tolist() == ["population"]

    @pytest.mark.parametrize("link", ["logit", "cloglog", "probit"])
    def test_other_links_are_integrated(self, link: str) -> None:
        fit = binary_fit(link)
        inverse = {
            "logit": special.expit,
            "probit": special.ndtr,
            "cloglog": lambda x: -np.expm1(-np.exp(np.minimum(x, 700))),
        }[link]
        found = fit.predictions(newdata={"x1": [1.7]}, as_draws=True).to_numpy()[0]
        for value, eta, sd in zip(found, *normal_parts(fit, 1.7), strict=True):
            by_quadrature, _ = integrate.quad(
                lambda z, eta=eta, sd=sd: inverse(eta + sd * z) * stats.norm.pdf(z),
                -9,
                9,
                limit=500,
                epsabs=1e-13,
            )
            assert value == pytest.approx(by_quadrature, abs=1e-9)

    def test_of_logit_gauss_and_hermite_agree(self) -> None:
        fit = binary_fit("logit")
        eta, sd = normal_parts(fit, 0.2)
        nodes, weights = np.polynomial.hermite_e.hermegauss(150)
        values = special.expit(eta[:, None] + np.outer(np.minimum(sd, 2), nodes))
        variance = np.minimum(sd, 2) ** 2
        found = expectation(fit.model.spec, eta[:, None], {}, variance[:, None])[:, 0]
        np.testing.assert_allclose(found, values @ weights / weights.sum(), atol=1e-9)

    def test_log_link_has_its_closed_form_and_is_not_the_effect_at_zero(self) -> None:
        model = sp.Model("count ~ x1 + (1 + x1 | g)", small_data(), family="poisson")
        fit = fit_of_prior(model)
        eta, sd = normal_parts(fit, 0.3)
        rows = {"x1": [0.3]}
        found = fit.predictions(newdata=rows, as_draws=True).to_numpy()[0]
        np.testing.assert_allclose(found, np.exp(eta + sd**2 / 2), rtol=1e-12)
        table = fit.predictions(newdata=rows, groups="none")
        assert table["estimate"].item() == pytest.approx(np.exp(eta).mean())
        assert table["groups"].item() == "none"

    def test_identity_link_is_the_same_with_new_groups_and_without(self) -> None:
        model = sp.Model("y ~ x1 + u + (1 + x1 | g)", small_data())
        fit = fit_of_prior(model)
        both = [
            fit.predictions(newdata="mean", groups=groups)["estimate"].item()
            for groups in ("population", "none")
        ]
        assert both[0] == pytest.approx(both[1], rel=1e-12)

    def test_factors_enter_one_by_one(self) -> None:
        model = sp.Model(
            "count ~ x1 + (1 | g) + (1 | h)", small_data(), family="poisson"
        )
        fit = fit_of_prior(model)
        mixed = {"g": "fitted", "h": "population"}
        rows = {"x1": [0.0], "g": ["a"]}
        found = fit.predictions(newdata=rows, groups=mixed, as_draws=True)
        post = fit.posterior.stack(s=("chain", "draw"))
        eta = post["b_g"].sel(g="a", g_coefficient="Intercept").to_numpy()
        tau = post["tau_h"].sel(h_coefficient="Intercept").to_numpy()
        np.testing.assert_allclose(found.to_numpy()[0], np.exp(eta + tau**2 / 2))
        assert found.attrs["groups"] == "g: fitted, h: population"

    def test_memberships_are_of_several_new_groups(self) -> None:
        model = sp.Model(
            "count ~ x1 + (1 | mm(g, g_2))", small_data(), family="poisson"
        )
        fit = fit_of_prior(model)
        found = fit.predictions(newdata={"x1": [0.0]}, as_draws=True).to_numpy()[0]
        post = fit.posterior.stack(s=("chain", "draw"))
        tau = post["tau_g+g_2"].to_numpy()[0]
        expected = np.exp(post["Intercept"].to_numpy() + tau**2 / 4)
        np.testing.assert_allclose(found, expected)

    def test_categories_average_over_correlated_deviations(self) -> None:
        model = sp.Model("colour ~ x1 + (1 | g)", small_data(), family="categorical")
        fit = fit_of_prior(model, draws=2)
        found = fit.predictions(newdata={"x1": [0.0]}, as_draws=True)
        post = fit.posterior.stack(s=("chain", "draw"))
        rng = np.random.default_rng(1)
        z = rng.standard_normal((200_000, 2))
        for s in range(4):
            at = post.isel(s=s)
            tau = at["tau_g"].to_numpy()
            omega = at["Omega_g"].to_numpy()
            u = z @ np.linalg.cholesky(omega + 1e-9 * np.eye(2)).T * tau
            eta = np.column_stack([np.zeros(len(u)), at["Intercept"].to_numpy() + u])
            p = special.softmax(eta, axis=1)
            error = 4.5 * p.std(axis=0) / np.sqrt(len(u)) + 1e-6
            assert np.all(np.abs(p.mean(axis=0) - found.to_numpy()[:, s]) < error)

    @pytest.mark.parametrize(
        ("categories", "sd", "error"),
        [
            *((3, sd, 5e-4) for sd in (0.5, 1.5, 2.0, 3.0, 5.0)),
            *((4, 1.0, 3e-4), (4, 3.0, 1.5e-3), (4, 5.0, 2e-3)),
            *((5, 1.0, 3e-4), (5, 3.0, 1.5e-3)),
        ],
    )
    def test_averages_of_categories_have_the_errors_that_are_stated(
        self, categories: int, sd: float, error: float
    ) -> None:
        rng = np.random.default_rng(20261201)
        draws, dimensions = 12, categories - 1
        eta = 1.5 * rng.standard_normal((draws, 1, dimensions))
        factor = rng.standard_normal((draws, dimensions, dimensions))
        factor *= sd / np.sqrt(np.square(factor).sum(axis=2, keepdims=True))
        spec = sp.Model(
            "colour ~ x1 + (1 | g)", small_data(), family="categorical"
        ).spec
        covariance = (factor @ factor.swapaxes(1, 2))[:, None]
        found = expectation(spec, eta, {}, covariance)[:, 0]
        # By brute force: the trapezoidal rule in all dimensions.
        along = np.linspace(-7.5, 7.5, {2: 121, 3: 61, 4: 31}[dimensions])
        z = np.stack(np.meshgrid(*[along] * dimensions), axis=-1)
        z = z.reshape(-1, dimensions)
        weight = np.exp(-0.5 * np.square(z).sum(axis=1))
        z, weight = z[weight > 1e-12], weight[weight > 1e-12]
        for s in range(draws):
            at = eta[s] + z @ factor[s].T
            p = special.softmax(np.insert(at, 0, 0.0, axis=1), axis=1)
            want = weight @ p / weight.sum()
            np.testing.assert_allclose(found[s], want, rtol=0, atol=error)


class TestNewLevelsOfLatentFactors:
    FORMULA = "win ~ x1 + (1 | g) + factors(g, h, rank=2)"

    def fit_with(self, link: str, *, draws: int = 2) -> sp.Fit:
        model = sp.Model(self.FORMULA, small_data(), family="bernoulli", link=link)
        return fit_of_prior(model, draws=draws)

    def parts(self, fit: sp.Fit, x: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        post = fit.posterior.stack(s=("chain", "draw"))
        eta = post["Intercept"].to_numpy() + x * post["beta"].to_numpy().ravel()
        return eta, post["tau_g"].to_numpy().ravel(), post["loading_scale"].to_numpy()

    def test_of_one_column_are_normal(self) -> None:
        fit = self.fit_with("probit")
        eta, tau, scale = self.parts(fit, 0.7)
        rows = {"x1": [0.7] * 3, "h": ["u", "v", "w"], "g": ["a", "a", "new"]}
        of_new = fit.predictions(
            newdata=rows, groups={"g": "population"}, as_draws=True
        ).to_numpy()
        post = fit.posterior.stack(s=("chain", "draw"))
        squares = np.square(post["loadings_h"]).sum("latent").transpose("h", "s")
        variance = tau**2 + squares.sel(h=rows["h"]).to_numpy()
        want = stats.norm.cdf(eta / np.sqrt(1 + variance))
        np.testing.assert_allclose(of_new, want, rtol=1e-12)
        # Of new items, the persons are known, and their own intercepts enter.
        found = fit.predictions(
            newdata={"x1": [0.7], "g": ["b"]}, groups={"h": "population"}, as_draws=True
        )
        own = post["b_g"].sel(g="b").to_numpy().ravel() + eta - post["Intercept"]
        squares = np.square(post["scores_g"].sel(g="b")).sum("latent").to_numpy()
        want = stats.norm.cdf(own / np.sqrt(1 + scale**2 * squares))
        np.testing.assert_allclose(found.to_numpy()[0], want, rtol=1e-12)
        assert found.attrs["groups"] == "g: fitted, h: population"

    @pytest.mark.parametrize("link", ["probit", "logit"])
    def test_of_both_columns_are_integrated(self, link: str) -> None:
        fit = self.fit_with(link, draws=1)
        inverse = {"probit": special.ndtr, "logit": special.expit}[link]
        found = fit.predictions(newdata={"x1": [0.7]}, as_draws=True)
        assert found.attrs["groups"] == "population"
        rng = np.random.default_rng(1)
        z, scores, loadings = (rng.standard_normal((2, 500_000)) for _ in range(3))
        for value, eta, tau, scale in zip(
            found.to_numpy()[0], *self.parts(fit, 0.7), strict=True
        ):
            product = (scores * scale * loadings).sum(axis=0)
            p = inverse(eta + tau * z[0] + product)
            assert abs(p.mean() - value) < 4.5 * p.std() / np.sqrt(p.size)

    @pytest.mark.parametrize(("rank", "scale"), [(1, 5.0), (2, 0.3), (10, 2.0)])
    def test_averages_have_ten_digits(self, rank: int, scale: float) -> None:
        spec = self.fit_with("probit", draws=1).model.spec
        eta = np.array([[-2.0, 0.0, 0.5, 3.0]])
        product = NewLevels(np.full(eta.shape, scale**2), rank)
        found = expectation(spec, eta, {}, np.array(0.25), product)[0]

        def integrand(c: float, at: float) -> float:
            sd = np.sqrt(1.25 + (scale * c) ** 2)
            return float(stats.norm.cdf(at / sd) * stats.chi.pdf(c, rank))

        for value, at in zip(found, eta[0], strict=True):
            want, _ = integrate.quad(integrand, 0, 15, (at,), epsabs=1e-13, limit=200)
            assert value == pytest.approx(want, abs=1e-10)

    def test_under_a_log_link_the_average_is_infinite(self) -> None:
        model = sp.Model(
            "count ~ x1 + (1 | g) + factors(g, h)", small_data(), family="poisson"
        )
        fit = fit_of_prior(model)
        with pytest.raises(SpecError, match=r"'g', 'h' is infinite.*'none'"):
            fit.predictions(groups="population")
        assert set(fit.predictions(newdata="mean")["groups"]) == {"none"}
        # A new person and known items have one.
        assert np.isfinite(fit.predictions(groups={"g": "population"})["estimate"][0])

    def test_known_levels_are_checked(self) -> None:
        fit = self.fit_with("logit")
        with pytest.raises(SpecError, match="'h', whose groups do not differ"):
            fit.comparisons({"h": ["u", "v"]}, groups={"h": "none"})
        rows = {"x1": [0.0], "g": ["new"], "h": ["newer"]}
        with pytest.raises(DataError, match=r"1 group.* of 'h' .*'newer'"):
            fit.predictions(newdata=rows, groups={"g": "population"})


class TestComparisons:
    def test_of_a_gaussian_are_its_coefficients(self) -> None:
        fit = fit_of_prior(sp.Model("y ~ x1 + x2 + (1 | g)", small_data()))
        for groups in ("fitted", "population", "none"):
            found = fit.comparisons(groups=groups, as_draws=True)
            beta = fit.posterior["beta"].to_numpy().reshape(6, 2)
            np.testing.assert_allclose(found.to_numpy().T, beta, rtol=1e-9, atol=1e-12)
            assert found.index.get_level_values("groups").unique() == [groups]

    def test_are_averages_of_expected_outcomes(self) -> None:
        model = sp.Model(
            "hits | trials(shots) ~ x1 + (1 + x1 | g)",
            small_data(),
            family="binomial",
        )
        fit, data = fit_of_prior(model), small_data()

        def probabilities(x1: Any) -> np.ndarray:
            rows = fit.epred(data.assign(x1=x1)).to_numpy().reshape(6, -1)
            return rows / data["shots"].to_numpy()

        up, down = probabilities(data["x1"] + 0.5), probabilities(data["x1"] - 0.5)
        average = fit.comparisons("x1")["estimate"].item()
        assert average == pytest.approx((up - down).mean(), rel=1e-9)
        each = fit.comparisons("x1", by=False)
        np.testing.assert_allclose(each["estimate"], (up - down).mean(axis=0))
        assert each["g"].tolist() == data["g"].tolist()
        weights = np.arange(14.0)
        ratio = fit.comparisons(
            {"x1": [0, 1]}, comparison="ratio", weights=weights, as_draws=True
        )
        ones, zeros = (probabilities(x) @ weights for x in (1.0, 0.0))
        np.testing.assert_allclose(ratio.to_numpy()[0], ones / zeros)

    def test_estimates_are_of_averages_of_draws(self) -> None:
        fit = fit_of_prior(
            sp.Model("win ~ x1 + (1 | g)", small_data(), family="bernoulli")
        )
        each = fit.comparisons("x1", by=False)["estimate"]
        assert fit.comparisons("x1")["estimate"].item() == pytest.approx(each.mean())
        by = fit.comparisons("x1", by="g")["estimate"]
        size = small_data()["g"].value_counts().sort_index()
        assert np.average(by, weights=size) == pytest.approx(each.mean())

    def test_offsets_are_kept(self) -> None:
        model = sp.Model(
            "count ~ x1 + offset(x3) + (1 | g)", small_data(), family="poisson"
        )
        fit, data = fit_of_prior(model), small_data()
        high, low = (
            fit.epred(data.assign(x1=x)).mean("row").to_numpy() for x in (1.0, 0.0)
        )
        found = fit.comparisons({"x1": [0, 1]})["estimate"].item()
        assert found == pytest.approx((high - low).mean())
        grid = fit.datagrid({"x1": [0.0]})
        assert grid["x3"].item() == pytest.approx(data["x3"].mean())

    def test_second_differences_are_interactions(self) -> None:
        fit = fit_of_prior(sp.Model("y ~ x1 * x2 + (1 | g)", small_data()))
        found = fit.comparisons(["x1", "x2"], cross="interaction", as_draws=True)
        beta = fit.posterior["beta"].sel(coefficient="x1:x2").to_numpy().ravel()
        np.testing.assert_allclose(found.to_numpy()[0], beta, rtol=1e-8, atol=1e-10)
        counts = without_groups("count ~ x1 * x2", small_data(), family="poisson")
        fit = fit_of_prior(counts)
        ratio = fit.comparisons(
            {"x1": [0, 1], "x2": [0, 1]},
            cross="interaction",
            comparison="ratio",
            by=False,
            newdata="mean",
            as_draws=True,
        )
        beta = fit.posterior["beta"].sel(coefficient="x1:x2").to_numpy().ravel()
        np.testing.assert_allclose(ratio.to_numpy()[0], np.exp(beta), rtol=1e-8)

    def test_any_function_of_two_arrays(self) -> None:
        fit = fit_of_prior(without_groups("count ~ x1", small_data(), family="poisson"))
        own = fit.comparisons("x1", comparison=lambda high, low: high / low - 1)
        lift = fit.comparisons("x1", comparison="lift")
        assert own["estimate"].item() == lift["estimate"].item()
        with pytest.raises(DataError, match="must return one number"):
            fit.comparisons("x1", comparison=lambda high, low: 1.0)

    def test_hypotheses_are_about_the_same_draws(self) -> None:
        fit = fit_of_prior(
            sp.Model("win ~ x1 + (1 | g)", small_data(), family="bernoulli"), draws=50
        )
        draws = fit.predictions({"x1": [0, 1, 2]}, as_draws=True).to_numpy()
        found = fit.predictions(
            {"x1": [0, 1, 2]}, hypothesis=["b3 > b1", "b[1.0] - b1 < b3 - b[1.0]"]
        )
        assert found["estimate"][0] == pytest.approx((draws[2] - draws[0]).mean())
        assert found["probability"][0] == np.mean(draws[2] > draws[0])
        bend = draws[1] - draws[0] - (draws[2] - draws[1])
        assert found["probability"][1] == np.mean(bend < 0)
        with pytest.raises(SpecError, match="'b7', which is not one of the 3"):
            fit.predictions({"x1": [0, 1, 2]}, hypothesis="b7 > b1")


class TestSlopes:
    def test_of_a_gaussian_are_its_coefficients(self) -> None:
        fit = fit_of_prior(sp.Model("y ~ x1 + x2 + (1 | g)", small_data()))
        found = fit.slopes(as_draws=True)
        beta = fit.posterior["beta"].to_numpy().reshape(6, 2)
        np.testing.assert_allclose(found.to_numpy().T, beta, rtol=1e-11, atol=1e-13)
        assert found.index.get_level_values("contrast").tolist() == ["dY/dX"] * 2

    def test_of_curves_are_derivatives(self) -> None:
        data = small_data().assign(x3=lambda d: 1.0 + d["x3"].abs())
        model = without_groups("y ~ I(x1**2) + log(x3)", data)
        fit = fit_of_prior(model)
        beta = fit.posterior["beta"].to_numpy().reshape(6, 2)
        square = fit.slopes("x1", by=False, as_draws=True).to_numpy()
        exact = 2 * np.outer(data["x1"], beta[:, 0])
        np.testing.assert_allclose(square, exact, rtol=1e-10, atol=1e-12)
        logs = fit.slopes("x3", by=False, as_draws=True).to_numpy()
        np.testing.assert_allclose(
            logs, np.outer(1 / data["x3"], beta[:, 1]), rtol=1e-6
        )

    def test_of_probabilities_are_densities_times_coefficients(self) -> None:
        fit = binary_fit("probit")
        found = fit.slopes("x1", newdata={"x1": [0.5]}, groups="none", as_draws=True)
        eta, _ = normal_parts(fit, 0.5)
        exact = stats.norm.pdf(eta) * fit.posterior["beta"].to_numpy().ravel()
        np.testing.assert_allclose(found.to_numpy()[0], exact, rtol=1e-6, atol=1e-12)
        # Of new groups the spread of slopes makes a difference, too.
        found = fit.slopes("x1", newdata={"x1": [0.5]}, as_draws=True).to_numpy()[0]
        at = {x: normal_parts(fit, x) for x in (0.5 - 1e-5, 0.5 + 1e-5)}
        low, high = (stats.norm.cdf(eta / np.hypot(1, sd)) for eta, sd in at.values())
        np.testing.assert_allclose(found, (high - low) / 2e-5, rtol=1e-5, atol=1e-9)

    def test_elasticities_are_of_each_row_and_then_averaged(self) -> None:
        data = small_data().assign(x3=lambda d: 1.0 + d["x3"].abs())
        formula = "count ~ log(x3) + x1 + (1 | g)"
        fit = fit_of_prior(sp.Model(formula, data, family="poisson"))
        beta = fit.posterior["beta"].to_numpy().reshape(6, 2)
        for groups in ("fitted", "population"):
            found = fit.slopes(slope="eyex", groups=groups, as_draws=True)
            want = [beta[:, 0], beta[:, 1] * data["x1"].mean()]
            np.testing.assert_allclose(found, want, rtol=1e-7, atol=1e-10)
        # Whatever the signs are, also where rows would be averaged before.
        fit = fit_of_prior(sp.Model("y ~ x1 + (1 | g)", data))
        rows = fit.epred().to_numpy().reshape(6, -1)
        slope = fit.posterior["beta"].to_numpy().reshape(6, 1)
        x = data["x1"].to_numpy()
        assert (rows < 0).any()
        assert (x < 0).any()
        for word, want in {
            "eyex": slope * x / rows,
            "eydx": slope / rows,
            "dyex": slope * x,
        }.items():
            found = fit.slopes(slope=word, by="g", as_draws=True)
            means = pd.DataFrame(want.T).groupby(data["g"]).mean()
            np.testing.assert_allclose(found, means, rtol=1e-4)
            contrast = found.index.get_level_values("contrast")[0]
            assert contrast == f"{word[0]}Y/{word[2]}X"

    def test_elasticities_of_nothing_are_not_a_number(self) -> None:
        fit = fit_of_prior(sp.Model("count ~ x1", small_data(), family="poisson"))
        rows = {"x1": [-1e5, 1e5]}  # at one of them exp(eta) is 0
        with pytest.warns(EffectWarning, match="outside of the data"):
            found = fit.slopes(slope="eyex", newdata=rows, by=True)
        assert np.isnan(found["estimate"].item())

    def test_where_there_is_none_is_said(self) -> None:
        fit = fit_of_prior(without_groups("y ~ I(abs(x1 - 1.5))", small_data()))
        grid = {"x1": [1.5 + 1e-5, 1.0]}
        with pytest.warns(EffectWarning, match="a step or a kink in 'x1'"):
            fit.slopes("x1", newdata=grid)

    def test_near_the_ends_of_splines_steps_become_small(self) -> None:
        fit = fit_of_prior(without_groups("y ~ bs(x1, df=4)", small_data()))
        inside = {"x1": [0.5, 2.0]}
        found = fit.slopes("x1", newdata=inside, as_draws=True).to_numpy()
        up = {"x1": [0.5 + 1e-5, 2.0 + 1e-5]}
        rise = fit.epred(up).to_numpy() - fit.epred(inside).to_numpy()
        np.testing.assert_allclose(found.T, rise.reshape(6, 2) / 1e-5, rtol=1e-2)


class TestOutside:
    def test_numbers_beyond_the_data_are_said(self, fit: sp.Fit) -> None:
        rows = {"x1": [0.0, 7.0], "f": ["x", "y"], "g": ["a", "b"]}
        with pytest.warns(EffectWarning, match="'x1' is 7.0, and -0.4048 to 3.343"):
            fit.predictions(newdata=rows)
        with pytest.warns(EffectWarning, match="'x1' is -2.0, 9.0"):
            fit.comparisons({"x1": [-2, 9]})

    def test_combinations_beyond_the_data_are_said(self) -> None:
        x = np.linspace(0.0, 1.0, 30)
        data = {"y": x, "a": x, "b": x + 0.1 * np.cos(40 * x)}
        fit = fit_of_prior(without_groups("y ~ a + b", pd.DataFrame(data)))
        inside = pd.DataFrame({"a": [0.5, 0.2], "b": [0.5, 0.2]})
        assert len(fit.predictions(newdata=inside)) == 2
        with pytest.warns(EffectWarning, match=r"1 row.*convex hull.*rows 1, counted"):
            fit.predictions(newdata=inside.assign(b=[0.5, 0.9]))
        # The others at their means are no combination that anyone has chosen.
        assert len(fit.predictions(newdata=fit.datagrid({"a": [0.0, 1.0]}))) == 2


class TestGrids:
    def test_levels_in_another_order_are_the_models(self) -> None:
        data = small_data().assign(f=list("xyzxyzxyzxyzxy"))
        fit = fit_of_prior(without_groups("y ~ f", data))
        turned = data.assign(f=pd.Categorical(data["f"], categories=["z", "y", "x"]))
        for rows in (None, turned):
            found = fit.comparisons("f", newdata=rows, by=True, as_draws=True)
            beta = fit.posterior["beta"].to_numpy().reshape(6, 2)
            np.testing.assert_allclose(found.to_numpy().T, beta, rtol=1e-9, atol=1e-12)
            contrast = found.index.get_level_values("contrast").tolist()
            assert contrast == ["y - x", "z - x"]

    def test_by_the_column_behind_a_transformed_one(self) -> None:
        data = small_data().assign(cyl=[4, 6, 8] * 4 + [4, 6])
        fit = fit_of_prior(without_groups("y ~ C(cyl) + x1", data))
        found = fit.predictions(by="cyl")
        assert found["cyl"].tolist() == [4, 6, 8]
        each = fit.predictions(by=False)
        means = each.groupby("cyl")["estimate"].mean()
        np.testing.assert_allclose(found["estimate"], means)
        assert fit.comparisons("cyl")["contrast"].tolist() == ["6 - 4", "8 - 4"]
        for pair in ([4, 8], [4.0, 8.0], ["4", "8"]):
            found = fit.comparisons({"cyl": pair})
            assert found["contrast"].tolist() == ["8 - 4"]
        with pytest.raises(DataError, match=r"by has 'C\(cyl\)'.*mean 'cyl'"):
            fit.predictions(by="C(cyl)")

    def test_levels_are_found_however_they_are_spelt(self) -> None:
        data = small_data().assign(f=[True, False] * 7, term=[1, 2, 3, 4, 5, 6, 7] * 2)
        fit = fit_of_prior(without_groups("y ~ f + C(term)", data))
        for pair in ([False, True], [0, 1], ["False", "True"]):
            assert fit.comparisons({"f": pair})["contrast"].item() == "True - False"
        # All levels of a number that is a factor, whose name only comparisons have.
        found = fit.predictions("term", by="f")
        assert found["term"].tolist() == np.repeat([1, 2, 3, 4, 5, 6, 7], 2).tolist()
        one = fit.predictions(newdata={"f": True, "term": 3})
        many = fit.predictions(newdata={"f": [True], "term": [3]})
        pd.testing.assert_frame_equal(one, many)
        with pytest.raises(DataError, match="'term', which tables of effects"):
            fit.comparisons("f", newdata={"f": True, "term": 3})

    def test_texts_that_are_the_same_number_are_different_levels(self) -> None:
        data = small_data().assign(f=["1", "01"] * 7, h=["nan"] * 7 + ["inf"] * 7)
        fit = fit_of_prior(sp.Model("y ~ f + (1 | h)", data))
        beta = fit.posterior["beta"].to_numpy().ravel()  # of "1"; "01" is the first
        found = fit.comparisons({"f": ["01", "1"]}, as_draws=True).to_numpy()[0]
        np.testing.assert_allclose(found, beta, rtol=1e-12)
        # Numbers stand for the level that is written like them.
        found = fit.comparisons({"f": ["01", 1]}, as_draws=True).to_numpy()[0]
        np.testing.assert_allclose(found, beta, rtol=1e-12)
        found = fit.predictions({"h": ["nan", "NaN"]}, new_groups="zero", as_draws=True)
        intercepts = fit.posterior["b_h"].sel(h="nan").to_numpy().ravel()
        intercepts = intercepts - fit.posterior["Intercept"].to_numpy().ravel()
        first, second = found.to_numpy()
        np.testing.assert_allclose(first - second, intercepts, rtol=1e-9, atol=1e-12)

    def test_by_the_variable_itself_is_by_what_rows_had(self) -> None:
        fit = fit_of_prior(without_groups("y ~ x1 * c", small_data()))
        found = fit.comparisons({"c": [0, 1]}, by="c")
        assert found["c"].tolist() == sorted(set(small_data()["c"]))

    def test_typical_rows(self) -> None:
        data = small_data().assign(f=list("xyyxyyxyyxyyxy"))
        fit = fit_of_prior(sp.Model("y ~ x1 + f + (1 | g)", data))
        grid = fit.datagrid({"x1": "minmax"})
        assert grid["x1"].tolist() == [data["x1"].min(), data["x1"].max()]
        assert grid["f"].tolist() == ["y", "y"]
        assert "g" not in grid
        assert fit.datagrid(kind="balanced")["f"].tolist() == ["x", "y"]
        assert fit.datagrid(kind="median")["x1"].item() == data["x1"].median()
        copies = fit.datagrid({"f": "all"}, kind="counterfactual")
        assert len(copies) == 28
        assert copies["g"].tolist() == data["g"].tolist() * 2

    def test_rows_that_the_model_cannot_tell_apart_are_evaluated_once(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = pd.concat([small_data()] * 5, ignore_index=True)
        for family, y in (("poisson", "count"), ("gaussian", "y")):
            fit = fit_of_prior(sp.Model(f"{y} ~ x1 + (1 | g)", data, family=family))
            weights = np.linspace(1, 2, len(data))
            rows = fit.epred().to_numpy().reshape(6, -1)
            for by in (True, "h", False):
                found = fit.predictions(newdata=data, by=by, weights=weights)
                if by is True:
                    want = np.average(rows, axis=1, weights=weights).mean()
                elif by == "h":
                    want = [
                        np.average(rows[:, at], axis=1, weights=weights[at]).mean()
                        for level in sorted(data["h"].unique())
                        for at in [np.flatnonzero(data["h"] == level)]
                    ]
                else:
                    want = rows.mean(axis=0)
                np.testing.assert_allclose(found["estimate"], want)

    def test_rows_of_a_group_are_averaged_before_where_that_is_the_same(self) -> None:
        model = sp.Model("y ~ x1 + offset(x3) + (1 + x1 | g)", small_data())
        fit = fit_of_prior(model)
        rows = fit.epred().to_numpy().reshape(6, -1)
        weights = np.linspace(1, 2, 14)
        found = fit.predictions(weights=weights, as_draws=True).to_numpy()[0]
        np.testing.assert_allclose(found, rows @ weights / weights.sum())

    def test_blocks_of_cells_change_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = sp.Model("win ~ x1 + (1 | g)", small_data(), family="bernoulli")
        fit = fit_of_prior(model)
        whole = fit.comparisons(["x1"], by=False, prob=0.5)
        monkeypatch.setattr(expected, "_CELLS", 40)
        monkeypatch.setattr(expected, "_ROWS", 3)
        pd.testing.assert_frame_equal(
            fit.comparisons(["x1"], by=False, prob=0.5), whole
        )

    def test_where_all_draws_take_too_long_fewer_are_used(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = sp.Model("win ~ x1 + (1 | g)", small_data(), family="bernoulli")
        fit = fit_of_prior(model, draws=100)
        assert fit.predictions().attrs["draws"] == 200
        monkeypatch.setattr(expected, "_MOST_EVALUATIONS", 14)
        said = r"^100 of the 200 posterior draws.* Pass draws=200 for all, draws=100 to"
        for verb in (fit.predictions, fit.slopes):
            with pytest.warns(EffectWarning, match=said) as found:
                assert verb().attrs["draws"] == 100
            assert len(found) == 1
        # What was asked for is no news.
        for draws in (100, 200):
            assert fit.predictions(draws=draws).attrs["draws"] == draws


class TestTablesAtThePrompt:
    def test_all_columns_are_shown_and_digits_that_draws_support(self) -> None:
        data = pd.concat([small_data()] * 8, ignore_index=True)
        data = data.assign(**{f"a <long> name {k}": "north" for k in range(6)})
        fit = fit_of_prior(sp.Model("y ~ x1 + (1 | g)", data), draws=200)
        table = fit.predictions(newdata=data, by=False)
        lines = repr(table).splitlines()
        assert max(map(len, lines)) <= 80
        for name in table.columns:
            assert str(name) in repr(table)
        assert lines[-1] == "(89 rows between them are not shown)"
        page = table._repr_html_()
        assert "a &lt;long&gt; name 0" in page
        assert "89 rows" in page
        shown = repr(fit.predictions(prob=0.8)).splitlines()[1].split()
        found = fit.predictions(prob=0.8, as_draws=True).to_numpy().ravel()
        # A digit is there if the error of the mean is less than one of its units.
        error = found.std() / 20
        digits = len(shown[1].partition(".")[2])
        assert 0.1 * 10.0**-digits < 1.5 * error
        assert error < 1.5 * 10.0**-digits
        assert float(shown[1]) == pytest.approx(found.mean(), abs=10.0**-digits)
        # What is made of the table is a plain one, with all digits.
        assert "EffectsTable" not in str(type(table.head()))
        del table["lower"]
        assert f"{table['estimate'].iloc[0]:.4g}" in repr(table)

    def test_hypotheses_are_shown_in_the_same_way(self) -> None:
        fit = fit_of_prior(sp.Model("y ~ x1 + (1 | g)", small_data()), draws=50)
        shown = repr(fit.predictions(hypothesis="b1 > 0"))
        assert "probability" in shown.splitlines()[0]
        assert max(map(len, shown.splitlines())) <= 80


class TestCategories:
    def test_probabilities_of_categories_add_up_to_one(self) -> None:
        for family, y in (("ordinal", "grade"), ("categorical", "colour")):
            model = sp.Model(f"{y} ~ x1 + (1 | g)", small_data(), family=family)
            fit = fit_of_prior(model)
            for groups in ("fitted", "population", "none"):
                table = fit.predictions(by="g", groups=groups)
                sums = table.groupby("g")["estimate"].sum()
                np.testing.assert_allclose(sums, 1.0, rtol=1e-12)
                changes = fit.comparisons("x1", groups=groups)
                assert changes["category"].tolist() == list(fit.model.design.categories)
                assert changes["estimate"].sum() == pytest.approx(0.0, abs=1e-12)

    def test_they_are_those_of_epred(self) -> None:
        model = sp.Model("grade ~ x1 + (1 | g)", small_data(), family="ordinal")
        fit = fit_of_prior(model)
        means = fit.epred().mean(["chain", "draw", "row"]).to_numpy()
        np.testing.assert_allclose(fit.predictions()["estimate"], means)

    def test_ordinal_probit_of_new_groups(self) -> None:
        model = sp.Model(
            "grade ~ x1 + (1 + x1 | g)", small_data(), family="ordinal", link="probit"
        )
        fit = fit_of_prior(model, draws=1, chains=1)
        found = fit.predictions(newdata={"x1": [0.4]}, as_draws=True)
        post = fit.posterior.isel(chain=0, draw=0)
        tau, z = post["tau_g"].to_numpy(), np.array([1.0, 0.4])
        sd = np.sqrt(z @ (np.outer(tau, tau) * post["Omega_g"].to_numpy()) @ z)
        cut = post["cutpoint"].to_numpy() - 0.4 * post["beta"].item()
        below = np.append(stats.norm.cdf(cut / np.hypot(1, sd)), 1.0)
        np.testing.assert_allclose(found[0][0], np.diff(below, prepend=0.0), rtol=1e-9)

    @pytest.mark.parametrize(
        ("family", "link"),
        [
            (x.name, y)
            for x in families.FAMILIES.values()
            if x.has_cutpoints
            for y in x.links
        ],
    )
    def test_new_groups_are_averaged(self, family: str, link: str) -> None:
        """By many more points of the normal distribution, and SciPy's probabilities."""
        spec = sp.Model(
            "grade ~ x1 + (1 | g)", small_data(), family=family, link=link
        ).spec
        for sd, cutpoint in (
            (0.6, np.array([-1.0, 0.3])),
            (3.0, np.array([-1.0, 0.0, 0.1, 0.2, 2.0])),
        ):
            found = expectation(
                spec,
                np.full((1, 1), 0.4),
                {"cutpoint": cutpoint},
                np.full((1, 1), sd**2),
            )
            z = np.linspace(-9, 9, 200_001)
            p = densities.categories(family, link, 0.4 + sd * z, cutpoint)
            weights = np.exp(-(z**2) / 2)
            expected = weights @ p / weights.sum()
            np.testing.assert_allclose(found[0, 0], expected, rtol=1e-8)


# Models with flat priors have no draws from the prior.
# Those of unknown values of predictors are at what was observed.
PROPER = [name for name, model in proper_models().items() if not model.spec.uncertain]


@pytest.mark.parametrize("name", PROPER[::6])
def test_of_each_row_they_are_those_of_epred(name: str) -> None:
    fit = fit_of_prior(proper_models()[name])
    design, spec = fit.model.design, fit.model.spec
    asked: list[tuple[dict[str, Any], Any]] = [
        ({}, fit.epred()),
        ({"kind": "linpred"}, fit.linpred()),
    ]
    if spec.pooling != "none":
        asked.append(({"groups": "none"}, fit.epred(group_terms=[])))
    for options, rows in asked:
        found = fit.predictions(by=False, as_draws=True, **options).to_numpy()
        # One category after another in the table.
        want = np.moveaxis(rows.to_numpy().reshape(6, design.rows, -1), 0, -1)
        want = want.swapaxes(0, 1).reshape(-1, 6)
        if design.trials is not None and "kind" not in options:
            want = want / design.trials[:, None]
        np.testing.assert_allclose(found, want, rtol=1e-9, atol=1e-12)


class TestPoststratification:
    def test_cells_are_weighted_by_their_sizes(self) -> None:
        model = sp.Model(
            "hits | trials(shots) ~ x1 + (1 | g)", small_data(), family="binomial"
        )
        fit = fit_of_prior(model)
        cells = pd.DataFrame(
            {"x1": [0.0, 1.0, 0.0], "g": ["a", "b", "new"], "n": [10, 30, 60]}
        )
        rows = (
            fit.epred(cells.assign(shots=1), new_groups="population", seed=4)
            .to_numpy()
            .reshape(6, -1)
        )
        found = fit.poststratify(cells, seed=4, as_draws=True)
        np.testing.assert_allclose(found.to_numpy()[0], rows @ [0.1, 0.3, 0.6])
        by = fit.poststratify(cells, by="x1", seed=4)
        assert set(by["groups"]) == {"fitted (new groups: population)"}
        assert by["estimate"][1] == pytest.approx(rows[:, 1].mean())

    def test_says_which_column_has_the_sizes(self) -> None:
        fit = fit_of_prior(sp.Model("y ~ x1 + (1 | g)", small_data()))
        with pytest.raises(DataError, match="weights='n' is not a column"):
            fit.poststratify({"x1": [1.0], "g": ["a"]})


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    data = small_data().assign(f=list("xyyxyyxyyxyyxy"))
    return fit_of_prior(sp.Model("y ~ x1 + f + (1 | g)", data))


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda f: f.comparisons("x11"), r"'x11', which is not .* mean 'x1'"),
            (lambda f: f.comparisons({"f": ["x", "z"]}), "no level 'z'.*'x', 'y'"),
            (lambda f: f.predictions({"f": ["Y"]}), "no level 'Y'.*'x', 'y'"),
            (lambda f: f.comparisons({"f": ["x"]}), "1 values of 'f', and two"),
            (lambda f: f.comparisons({"x1": "sdd"}), "one of 'sd', '2sd'"),
            (lambda f: f.comparisons({"x1": ["a", 1]}), "'a' is not a finite number"),
            (lambda f: f.predictions(newdata={"x1": []}), "newdata has no rows"),
            (lambda f: f.predictions(newdata="means"), "is not one of 'mean'"),
            (lambda f: f.predictions(by="region"), "by has 'region'.*newdata="),
            (lambda f: f.predictions(weights=[1.0]), r"shape \(1,\)"),
            (lambda f: f.predictions(by="g", weights=np.zeros(14)), "are 0"),
            (lambda f: f.predictions(weights=-np.ones(14)), "below 0"),
            (lambda f: f.comparisons("x1", comparison="ratios"), "mean 'ratio'"),
            (lambda f: f.comparisons("x1", cross="both"), "two or more variables"),
            (lambda f: f.predictions(groups={"h": "none"}), "not a grouping factor"),
            (lambda f: f.predictions(groups={"g": "zero"}), "not one of 'fitted'"),
            (lambda f: f.comparisons("g", groups="none"), "do not differ"),
            (
                lambda f: f.predictions(newdata={"x1": [0], "f": ["x"], "g": ["q"]}),
                "not in the fit: 'q'",
            ),
            (lambda f: f.predictions(newdata={"x1": [0.0]}), "no column 'f'"),
            (lambda f: f.datagrid({"x9": 1}), "at has 'x9'"),
            (
                lambda f: f.predictions(newdata={"x1": [0], "f": ["x"], "pd": [1]}),
                "'pd', which tables",
            ),
        ],
    )
    def test_with_what_to_do(self, fit: sp.Fit, call: Any, message: str) -> None:
        with pytest.raises((SpecError, DataError), match=message):
            call(fit)

    def test_rows_without_groups_are_refused_where_these_enter(
        self, fit: sp.Fit
    ) -> None:
        with pytest.raises(DataError, match=r"no column 'g'.*or pass groups='pop"):
            fit.predictions(newdata={"x1": [0.0], "f": ["x"]}, groups="fitted")

    def test_without_a_population_there_are_no_new_groups(self) -> None:
        model = sp.Model("y ~ x1 + (1 + x1 | g)", small_data(), pooling="none")
        fit = fit_of_prior(model)
        assert len(fit.comparisons("x1", by="g")) == 4
        with pytest.raises(SpecError, match="without pooling does not have"):
            fit.predictions(groups="population")
        with pytest.raises(DataError, match=r"datagrid\({'g': 'all'}\)\.$"):
            fit.predictions(newdata="mean")
        each = fit.predictions(newdata=fit.datagrid({"g": "all"}))
        assert each["g"].tolist() == list("abcd")
