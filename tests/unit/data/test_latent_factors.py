"""Latent factors: stated, built, rotated, predicted."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from golden.catalogue import models, small_data
from simulated_fits import fit_of_points, fit_of_prior
from stanpool.data.design.predictors.latent_factors import (
    anchors_of,
    as_triangle,
    quick_estimate,
)
from stanpool.data.design.predictors.tensor_factors import (
    aligned,
    estimate_of_tensor,
)
from stanpool.language.formulas.formula import parse_formula
from stanpool.language.formulas.formula_text import formula_of
from stanpool.language.special.latent_factors import LatentFactors, LevelPredictors
from stanpool.model.terms.special.latent import points_around

NAME = "partial_pooling_gaussian_noncentered_latent"


def many(rank: int, *, noise: float, seed: int = 1) -> dict[str, Any]:
    """Simulate outcomes of 80 users and 30 items, two thirds of the pairs."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(80, rank))
    loadings = rng.normal(size=(30, rank))
    pairs = np.argwhere(rng.random((80, 30)) < 2 / 3)
    scored, loaded = pairs.T
    product = (scores[scored] * loadings[loaded]).sum(axis=1)
    y = product + noise * rng.normal(size=len(product))
    return {"y": y, "scored": scored, "loaded": loaded, "product": product}


class TestFormula:
    def test_names_both_sides_and_the_rank(self) -> None:
        read = parse_formula("y ~ x + factors(user, `my item`, rank=3) + (1 | user)")
        assert read.latent == LatentFactors("user", "my item", 3)
        assert read.terms == ("x",)
        assert parse_formula("y ~ factors(a, b)").latent == LatentFactors("a", "b", 1)

    def test_is_written_back(self) -> None:
        text = repr(models()[NAME])
        assert "factors(g, h, rank=2)" in text

    @pytest.mark.parametrize(
        ("term", "said"),
        [
            ("factors(g)", "1 column(s) and needs two or more"),
            ("factors(g, h, g)", "twice and needs two columns"),
            ("factors(g, h, g_2, g=~u)", "of 3 columns has no predictors"),
            ("factors(g, g)", "twice and needs two columns"),
            ("factors(g, h, rank=0)", "must be 1 or more"),
            ("factors(g, h, rank=x)", "rank=1, 2, 3"),
            (f"factors(g, h, rank={'9' * 5000})", "rank=1, 2, 3"),
            ("factors(g, h) + factors(h, g)", "only once"),
            ("factors(g, h, rank=4)", "column 'h' has 3 level(s)"),
        ],
    )
    def test_what_cannot_be_is_said(self, term: str, said: str) -> None:
        with pytest.raises(sp.StanpoolError) as refused:
            sp.Model(f"y ~ 1 + (1 | g) + {term}", small_data())
        assert said in str(refused.value)

    def test_nothing_is_shared_without_pooling(self) -> None:
        with pytest.raises(sp.SpecError, match="pooling='none' forbids"):
            sp.Model("y ~ (1 | g) + factors(g, h)", small_data(), pooling="none")

    def test_categories_have_several_predictors(self) -> None:
        with pytest.raises(sp.SpecError, match="does not go with family='categorical'"):
            sp.Model(
                "colour ~ (1 | g) + factors(g, h)", small_data(), family="categorical"
            )

    def test_complete_pooling_drops_them(self) -> None:
        model = models()[NAME].with_(pooling="complete")
        assert model.design.special == ()
        assert "loading_scale" not in [row.parameter for row in model.priors]

    def test_marginal_says_why_not(self) -> None:
        with pytest.raises(sp.SpecError, match="products of parameters"):
            models()[NAME].with_(parameterization="marginal")


class TestRotation:
    @pytest.mark.parametrize("rank", [1, 2, 3])
    def test_leaves_products_alone(self, rank: int) -> None:
        rng = np.random.default_rng(rank)
        scores, loadings = rng.normal(size=(5, 7, rank)), rng.normal(size=(5, 4, rank))
        moved, triangle = as_triangle(scores, loadings)
        np.testing.assert_allclose(
            moved @ triangle.swapaxes(1, 2),
            scores @ loadings.swapaxes(1, 2),
            atol=1e-12,
        )
        top = triangle[:, :rank]
        assert np.all(np.triu(top, 1) == 0)
        assert np.all(np.einsum("sii->si", top) > 0)

    def test_anchors_are_far_from_zero_and_from_multiples_of_each_other(self) -> None:
        loadings = np.array([[0.01, 0.0], [3.0, 0.1], [2.9, 0.0], [0.0, 1.0]])
        assert anchors_of(loadings).tolist() == [1, 3, 0, 2]

    @pytest.mark.parametrize("rank", [1, 2])
    def test_pilot_finds_the_products(self, rank: int) -> None:
        data = many(rank, noise=0.2)
        y, scored, loaded = data["y"], data["scored"], data["loaded"]
        scores, loadings = quick_estimate(y, scored, loaded, (80, 30), rank)
        found = (scores[scored] * loadings[loaded]).sum(axis=1)
        assert np.corrcoef(found, data["product"])[0, 1] > 0.95

    def test_a_pilot_of_nothing_is_finite(self) -> None:
        scored, loaded = np.divmod(np.arange(12), 3)
        scores, loadings = quick_estimate(np.ones(12), scored, loaded, (4, 3), 2)
        assert np.isfinite(scores).all()
        assert np.isfinite(loadings).all()

    def test_chains_start_apart_in_the_triangle(self) -> None:
        data = many(2, noise=0.5)
        scores, loadings = quick_estimate(
            data["y"], data["scored"], data["loaded"], (80, 30), 2
        )
        ordered = loadings[anchors_of(loadings)]
        points = points_around((scores, ordered), 4, seed=1)
        first, second = points[0]["z_loadings"], points[1]["z_loadings"]
        assert first[0, 1] == second[0, 1] == 0
        assert 0.1 < np.std(first - second) < 1.0


class TestPrior:
    def test_products_are_those_of_free_normals(self) -> None:
        """Whoever the anchors are: the variance is rank x scale^2, given the scale."""
        model = models()[NAME].with_(
            priors=(("loading_scale", sp.Prior("lognormal", (0.0, 1e-3))),)
        )
        prior = model.prior_predictive(4000, seed=3)["prior"]
        scores = prior["scores_g"].to_numpy()[0]
        loadings = prior["loadings_h"].to_numpy()[0]
        products = scores @ loadings.swapaxes(1, 2)
        rng = np.random.default_rng(4)
        free = rng.normal(size=(4000, 4, 2)) @ rng.normal(size=(4000, 2, 3))
        for item in range(3):
            found = stats.ks_2samp(products[:, 0, item], free[:, 0, item])
            assert found.pvalue > 1e-3

    def test_the_scale_has_a_prior_of_its_own(self) -> None:
        model = sp.Model(
            "y ~ (1 | g) + factors(g, h)",
            small_data(),
            priors={"loading_scale": "exponential(3)"},
        )
        assert str(model.priors["loading_scale"].prior) == "exponential(3)"


class TestPrediction:
    def test_new_rows_of_known_units_are_as_fitted(self) -> None:
        fit, _ = fit_of_points(models()[NAME])
        rows = [3, 0, 12]
        again = fit.linpred(small_data().iloc[rows].drop(columns="y"))
        np.testing.assert_allclose(again, fit.linpred()[..., rows])

    def test_units_without_scores_have_no_products_on_average(self) -> None:
        fit, _ = fit_of_points(models()[NAME])
        new = small_data().iloc[:2].assign(h="nobody")
        with pytest.raises(sp.DataError, match="'h' that are not in the fit"):
            fit.linpred(new)
        without = fit.linpred(new, group_terms=["g"])
        np.testing.assert_allclose(fit.linpred(new, new_groups="zero"), without)
        drawn = fit.linpred(new, new_groups="population", seed=1)
        assert not np.allclose(drawn, without)
        assert np.allclose(drawn, fit.linpred(new, new_groups="population", seed=1))

    def test_terms_are_chosen_by_name(self) -> None:
        fit, _ = fit_of_points(models()[NAME])
        with_all = fit.linpred(group_terms=["g", "factors"])
        np.testing.assert_allclose(with_all, fit.linpred())

    def test_groups_are_not_left_out(self) -> None:
        fit, _ = fit_of_points(models()[NAME])
        with pytest.raises(sp.SpecError, match="cannot be integrated out"):
            fit.loo(unit="group")


PREDICTED = "y ~ x1 + (1 | g) + factors(g, h, rank=2, g=~u + era, h=~size)"


class TestPredictors:
    def test_are_read_and_written_back(self) -> None:
        text = "y ~ factors(user, `my item`, `my item`=~genre, user=~age + a:b)"
        read = parse_formula(text).latent
        assert read is not None
        assert read.predictors == (
            LevelPredictors("my item", ("genre",)),
            LevelPredictors("user", ("age", "a:b")),
        )
        model = sp.Model(PREDICTED, small_data())
        assert "factors(g, h, rank=2, g=~u + era, h=~size)" in repr(model)
        again = parse_formula(formula_of(model.spec))
        assert again.latent == model.spec.latent

    @pytest.mark.parametrize(
        ("term", "said"),
        [
            ("factors(g, h, g=~x1)", "'x1' as a predictor of the levels of 'g'"),
            ("factors(g, h, g=~x1)", "constant within each g"),
            ("factors(g, h, g=~u + I(2 * u))", "follow from each other"),
            ("factors(g, h, g_2=~u)", "predictors of 'g_2', and its columns are"),
            ("factors(g, h, g=~u, g=~era)", "two formulas for 'g'"),
            ("factors(g, h, g=~0 + u)", "without intercept"),
            ("factors(g, h, g=~s(u))", "bs(z, df=5) is a curve"),
            ("factors(g, h, g=~(1 | h))", "groups and offsets"),
            ("factors(g, h, g=u)", "as in user=~age"),
        ],
    )
    def test_what_cannot_be_is_said(self, term: str, said: str) -> None:
        with pytest.raises(sp.StanpoolError) as refused:
            sp.Model(f"y ~ 1 + (1 | g) + {term}", small_data())
        assert said in str(refused.value)

    @pytest.mark.parametrize(
        ("name", "prior", "said"),
        [
            ("beta_factors", "student_t(4, 0, 1)", "only a normal prior about 0"),
            ("beta_factors", "normal(1, 1)", "only a normal prior about 0"),
            ("beta_factors", "normal(0, 1, lb=0)", "only a normal prior about 0"),
            ("beta_factors[g, u, 1]", "normal(0, 1)", "Set it on 'beta_factors[g, u]'"),
        ],
    )
    def test_priors_that_a_rotation_changes_are_refused(
        self, name: str, prior: str, said: str
    ) -> None:
        with pytest.raises(sp.SpecError) as refused:
            sp.Model(PREDICTED, small_data(), priors={name: prior})
        assert said in str(refused.value)

    def test_have_priors_on_the_scale_of_the_predictors(self) -> None:
        model = sp.Model(
            PREDICTED, small_data(), priors={"beta_factors[h, size]": "normal(0, 0.7)"}
        )
        u = [0.5, -1.0, 2.0, 0.1]  # of the levels of g
        for factor in (1, 2):
            prior = model.priors[f"beta_factors[g, u, {factor}]"].prior
            assert prior.arguments[1] == pytest.approx(1 / np.std(u, ddof=1), rel=5e-3)
            own = model.priors[f"beta_factors[h, size, {factor}]"]
            assert str(own.prior) == "normal(0, 0.7)"

    def test_of_rows_move_the_levels_of_rows(self) -> None:
        """What a level has stays its deviation from the mean of its predictors."""
        fit = fit_of_prior(sp.Model(PREDICTED, small_data()))
        rows = small_data().iloc[[3, 0, 12]]
        np.testing.assert_allclose(fit.linpred(rows), fit.linpred()[..., [3, 0, 12]])
        moved = fit.linpred(rows.assign(u=rows["u"] + 2.0)) - fit.linpred(rows)
        beta = fit.posterior["beta_factors"].sel(predictor_of_factors="g, u")
        loadings = fit.posterior["loadings_h"].sel(h=list(rows["h"]))
        want = 2.0 * (beta * loadings).sum("latent")
        np.testing.assert_allclose(moved, want)
        with pytest.raises(sp.DataError, match="'size'"):
            fit.linpred(rows.drop(columns="size"))

    def test_give_new_levels_their_means_and_the_spread_of_the_population(self) -> None:
        fit = fit_of_prior(sp.Model(PREDICTED, small_data()), chains=1, draws=2000)
        new = small_data().iloc[:1].assign(g="nobody", u=1.5, era="new")
        post = fit.posterior
        about = {"g, u": 1.5 - 0.4, "g, era[T.old]": -0.5}
        mean = sum(
            at * post["beta_factors"].sel(predictor_of_factors=label)
            for label, at in about.items()
        )
        loadings = post["loadings_h"].sel(h="u")
        base = post["Intercept"] + post["beta"].sel(coefficient="x1") * new["x1"].item()
        found = fit.linpred(new, new_groups="zero")[..., 0]
        np.testing.assert_allclose(found, base + (mean * loadings).sum("latent"))
        drawn = fit.linpred(new, new_groups="population", seed=2)[..., 0] - found
        sd = np.sqrt(
            post["tau_g"].isel(g_coefficient=0) ** 2 + np.square(loadings).sum("latent")
        )
        z = (drawn / sd).to_numpy().ravel()
        assert stats.kstest(z, "norm").pvalue > 1e-3

    def test_averages_over_new_levels_are_integrals(self) -> None:
        formula = f"win {PREDICTED[1:]}"
        model = sp.Model(formula, small_data(), family="bernoulli", link="probit")
        fit = fit_of_prior(model, chains=1, draws=2)
        rows = {"x1": [0.7], "u": [0.1], "era": ["new"], "size": [0.8]}
        post = fit.posterior.isel(chain=0)
        beta = post["beta_factors"].to_numpy()
        eta = (post["Intercept"] + 0.7 * post["beta"].isel(coefficient=0)).to_numpy()
        of_g = np.einsum("sk,skr->sr", np.tile([-0.3, -0.5], (2, 1)), beta[:, :2])
        of_h = beta[:, 2] * (0.8 - np.mean([2.0, -3.0, 0.8]))
        scale, tau = post["loading_scale"].to_numpy(), post["tau_g"].to_numpy()[:, 0]
        # Of new persons and known items: normal.
        known = fit.predictions(
            newdata={**rows, "h": ["v"], "size": [-3.0]},
            groups={"g": "population"},
            as_draws=True,
        ).to_numpy()
        assert known.shape[-1] == 2
        loadings = post["loadings_h"].sel(h="v").to_numpy()
        sd = np.sqrt(1 + tau**2 + np.square(loadings).sum(axis=1))
        want = stats.norm.cdf((eta + (of_g * loadings).sum(axis=1)) / sd)
        np.testing.assert_allclose(known[0], want, rtol=1e-12)
        # Of both new: a mixture, within the error of its 32 points.
        found = fit.predictions(newdata=rows, as_draws=True).to_numpy()[0]
        rng = np.random.default_rng(1)
        for s in range(2):
            scores = of_g[s] + rng.standard_normal((200_000, 2))
            mean = eta[s] + scale[s] * scores @ of_h[s]
            sd = np.sqrt(1 + tau[s] ** 2 + scale[s] ** 2 * np.square(scores).sum(1))
            p = stats.norm.cdf(mean / sd)
            assert abs(found[s] - p.mean()) < 4.5 * p.std() / np.sqrt(32)
        linear = fit.predictions(newdata=rows, kind="linpred", as_draws=True)
        want = eta + scale * (of_g * of_h).sum(axis=1)
        np.testing.assert_allclose(linear.to_numpy()[0], want, rtol=1e-9)

    def test_products_have_the_prior_of_free_normals_in_stan(self) -> None:
        """Whoever the anchors are: the rotation takes the means along."""
        model = sp.Model(
            "y ~ (1 | g) + factors(g, h, rank=2, g=~u, h=~size)",
            small_data(),
            priors={"loading_scale": "lognormal(0, 0.001)"},
        )
        fit = model.fit(prior_only=True, draws=1500, seed=3, progress=False)
        post = fit.posterior
        products = (post["scores_g"] * post["loadings_h"]).sum("latent")
        rng = np.random.default_rng(4)
        (term,) = model.design.special
        sd = [
            model.priors[f"beta_factors[{x}, 1]"].prior.arguments[1]
            for x in ("g, u", "h, size")
        ]
        beta = rng.normal(size=(50_000, 2, 2)) * np.array(sd)[:, None]
        x, z = term.means.levels
        scores = x @ beta + rng.normal(size=(50_000, 4, 2))
        free = scores @ (z @ beta + rng.normal(size=(50_000, 3, 2))).swapaxes(1, 2)
        for j in range(4):
            for i in range(3):
                own = np.log(np.abs(products.isel(g=j, h=i).to_numpy()))
                want = np.log(np.abs(free[:, j, i]))
                batches = own.reshape(-1, 50).mean(axis=1)
                error = batches.std(ddof=1) / np.sqrt(len(batches))
                assert abs(own.mean() - want.mean()) < 4.5 * np.hypot(
                    error, want.std() / np.sqrt(len(want))
                )


THREE = "y ~ x1 + (1 | g) + factors(g, h, g_2, rank=2)"


class TestThreeColumns:
    def test_are_read_and_written_back(self) -> None:
        read = parse_formula("y ~ factors(user, item, `a time`, rank=3)").latent
        assert read == LatentFactors("user", "item", 3, (), ("a time",))
        assert str(read) == "factors(user, item, a time, rank=3)"
        spec = sp.Model(THREE, small_data()).spec
        assert parse_formula(formula_of(spec)).latent == spec.latent

    @pytest.mark.parametrize("rank", [1, 2, 3])
    def test_copies_with_the_same_products_become_one(self, rank: int) -> None:
        rng = np.random.default_rng(rank)
        reference = [rng.normal(size=(size, rank)) for size in (6, 5, 4, 3)]
        scale = rng.lognormal(size=rank)
        copies: list[list[np.ndarray]] = [[], [], [], []]
        scales = []
        for _ in range(20):
            order = rng.permutation(rank)
            signs = rng.choice([-1.0, 1.0], size=(4, rank))
            signs[3] = signs[:3].prod(axis=0)  # an even number of changes
            scales.append(scale[order])
            for own, each, sign in zip(copies, reference, signs, strict=True):
                own.append(each[:, order] * sign)
        found, own = aligned(
            [np.stack(each) for each in copies], np.stack(scales), reference
        )
        np.testing.assert_array_equal(own, np.tile(scale, (20, 1)))
        for each, near in zip(found, reference, strict=True):
            np.testing.assert_array_equal(each, np.tile(near, (20, 1, 1)))

    def test_draws_keep_their_products_and_are_nearest(self) -> None:
        rng = np.random.default_rng(3)
        reference = [rng.normal(size=(size, 2)) for size in (5, 4, 3)]
        scores = [rng.normal(size=(50, size, 2)) for size in (5, 4, 3)]
        scale = rng.lognormal(size=(50, 2))
        moved, own = aligned(scores, scale, reference)

        def products(parts: list[np.ndarray], of: np.ndarray) -> np.ndarray:
            return np.einsum("sar,sbr,scr,sr->sabc", *parts, of)

        np.testing.assert_allclose(products(moved, own), products(scores, scale))
        # Of all 32 copies none is nearer.
        distance = sum(
            np.square(x - y).sum(axis=(1, 2))
            for x, y in zip(moved, reference, strict=True)
        )
        for order in ([0, 1], [1, 0]):
            for changes in itertools.product([-1.0, 1.0], repeat=4):
                signs = np.array(changes).reshape(2, 2)
                signs = np.stack([*signs, signs.prod(axis=0)])
                other = sum(
                    np.square(x[..., order] * s - y).sum(axis=(1, 2))
                    for x, s, y in zip(scores, signs, reference, strict=True)
                )
                assert np.all(distance < other + 1e-9)

    def test_an_estimate_finds_the_factors(self) -> None:
        rng = np.random.default_rng(5)
        sizes = (30, 12, 6)
        parts = [rng.normal(size=(size, 2)) for size in sizes]
        index = [each.ravel() for each in np.indices(sizes)]
        product = np.prod([own[i] for own, i in zip(parts, index, strict=True)], axis=0)
        y = 3.0 + product @ [1.5, 0.7] + 0.3 * rng.normal(size=len(product))
        scores, scale = estimate_of_tensor(y, index, sizes, 2)
        found = np.prod([own[i] for own, i in zip(scores, index, strict=True)], axis=0)
        assert np.corrcoef(found @ scale, product @ [1.5, 0.7])[0, 1] > 0.95
        assert scale[0] > scale[1]
        for own in scores:
            np.testing.assert_allclose(np.square(own).mean(axis=0), 1.0)

    def test_what_products_do_not_determine_is_said(self) -> None:
        few = small_data().assign(two=[0, 1] * 7, other=[0, 0, 1, 1] * 3 + [0, 1])
        text = "y ~ 1 + (1 | g) + factors({}, rank={})"
        for columns, rank, is_said in (
            ("g, h, g_2", 2, False),
            ("g, two, other", 2, False),
            ("g, two, other", 3, True),
            ("g, two, other", 1, False),
        ):
            said = str(sp.Model(text.format(columns, rank), few).explain())
            assert ("not determined by their products" in said) == is_said

    def test_factors_have_one_prior(self) -> None:
        for name, prior, said in (
            ("factor_scale[1]", "exponential(1)", "Set it on 'factor_scale'"),
            ("factor_scale", "constant(1)", "have no bounds"),
            ("factor_scale", "exponential(1, ub=3)", "have no bounds"),
        ):
            with pytest.raises(sp.SpecError) as refused:
                sp.Model(THREE, small_data(), priors={name: prior})
            assert said in str(refused.value)

    def test_new_levels_are_normal_given_the_others(self) -> None:
        fit = fit_of_prior(sp.Model(THREE, small_data()), chains=1, draws=2000)
        new = small_data().iloc[:1].assign(h="new")
        known = fit.linpred(new, new_groups="zero")[..., 0]
        drawn = fit.linpred(new, new_groups="population", seed=2)[..., 0]
        post = fit.posterior
        parts = post["factor_scale"] * post["scores_g"].sel(g="a")
        squares = np.square(parts * post["scores_g_2"].sel(g_2="b")).sum("latent")
        z = ((drawn - known) / np.sqrt(squares)).to_numpy().ravel()
        assert stats.kstest(z, "norm").pvalue > 1e-3

    def test_averages_over_several_new_levels_are_mixtures(self) -> None:
        model = sp.Model(
            f"win {THREE[1:]}", small_data(), family="bernoulli", link="probit"
        )
        fit = fit_of_prior(model, chains=1, draws=2)
        found = fit.predictions(newdata={"x1": [0.7]}, as_draws=True).to_numpy()[0]
        post = fit.posterior.isel(chain=0)
        eta = (post["Intercept"] + 0.7 * post["beta"].isel(coefficient=0)).to_numpy()
        tau, scale = post["tau_g"].to_numpy()[:, 0], post["factor_scale"].to_numpy()
        z = np.random.default_rng(1).standard_normal((2, 200_000, 2))
        for s in range(2):
            sd = np.sqrt(
                1 + tau[s] ** 2 + (scale[s] * z.prod(axis=0)) ** 2 @ np.ones(2)
            )
            p = stats.norm.cdf(eta[s] / sd)
            assert abs(found[s] - p.mean()) < 4.5 * p.std() / np.sqrt(32)

    def test_scales_have_their_prior_in_stan(self) -> None:
        """What is sampled are root mean squares of products."""
        model = sp.Model(
            "y ~ (1 | g) + factors(g, h, g_2)",
            small_data(),
            priors={"factor_scale": "lognormal(0.3, 0.5)"},
        )
        fit = model.fit(prior_only=True, draws=1500, seed=3, progress=False)
        scale = np.log(fit.posterior["factor_scale"].to_numpy().ravel())
        squares = np.square(fit.posterior["scores_h"]).sum(("h", "latent"))
        for values, mean, sd in (
            (scale, 0.3, 0.5),
            (squares.to_numpy().ravel(), 3.0, np.sqrt(6.0)),
        ):
            batches = values.reshape(-1, 50).mean(axis=1)
            assert abs(values.mean() - mean) < 4.5 * batches.std() / np.sqrt(
                len(batches)
            )
            assert values.std() == pytest.approx(sd, rel=0.15)


def test_triangles_zeros_are_no_quantities() -> None:
    fit, _ = fit_of_points(models()[NAME], chains=2, draws=10)
    labels = fit.summary().index
    assert "loadings_h[u, 1]" in labels
    assert sum(label.startswith("loadings_h") for label in labels) == 5


def test_a_design_of_fewer_rows_keeps_all_units() -> None:
    design = models()[NAME].design
    (term,) = design.special
    (taken,) = design.take(np.array([1, 2])).special
    for side, before in zip(taken.sides, term.sides, strict=True):
        assert side.labels == before.labels
        assert side.index.tolist() == before.index[1:3].tolist()


def test_frames_hold_both_columns() -> None:
    data = pd.DataFrame(small_data()).drop(columns="h")
    with pytest.raises(sp.DataError, match="no column 'h'"):
        sp.Model("y ~ (1 | g) + factors(g, h)", data)
