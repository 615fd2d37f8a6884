"""Draws from the prior have the priors' distributions, and lead to the right rows."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats

import stanpool as sp
from golden.catalogue import data_of, models, proper_models, small_data
from golden.representative import each_model
from stanpool.inference.prediction.predict import linpred
from stanpool.inference.prediction.prior_predictive import (
    Drawn,
    draw_prior,
    simulate_outcomes,
)
from stanpool.language.prior import DISTRIBUTIONS
from statistical import densities
from statistical.densities import (
    Latent,
    Point,
    Tensor,
    Varying,
    latent_design,
    tensor_design,
)

DRAWS = 100
# Of a few hundred comparisons one fails by chance once in thousands of changes.
P_VALUE = 1e-6

PROPER = proper_models()
# Of values of predictors that are not known, draws are made up elsewhere.
NOT_CATEGORICAL = {
    name: model
    for name, model in PROPER.items()
    if not (model.spec.is_categorical or model.spec.uncertain)
}
# Each way in which parameters are made of others.
STRUCTURES = (
    "complete_pooling_gaussian_mixed_priors",
    "no_pooling_gaussian_mixed_priors",
    "no_pooling_gaussian_free_sigma",
    "no_pooling_ordinal",
    "no_pooling_student_t",
    "partial_pooling_ordinal_noncentered_correlated",
    "partial_pooling_beta_noncentered_correlated",
    "partial_pooling_gaussian_noncentered_correlated_mixed_priors",
    "partial_pooling_gaussian_centered_correlated_plain",
    "partial_pooling_gaussian_noncentered_correlated_group_predictors_pooled_sigma",
    "partial_pooling_poisson_noncentered_plain_membership",
    "partial_pooling_binomial_noncentered_group_predictors_no_intercept",
)


def prior_of(model: sp.Model, draws: int = DRAWS) -> xr.Dataset:
    return draw_prior(model, draws, np.random.default_rng(20261121))


def linear_predictor(model: sp.Model, prior: xr.Dataset) -> np.ndarray:
    return linpred(cast("sp.Fit", Drawn(model, prior))).to_numpy()


def point_at(model: sp.Model, prior: xr.Dataset, draw: int) -> Point:
    """Read a draw as a point of the textbook's parameter space."""
    at = {str(name): each.to_numpy()[0, draw] for name, each in prior.data_vars.items()}
    factors = []
    for factor in model.design.factors:
        q = len(factor.varying)
        omega = at.get(f"Omega_{factor.factor}", np.eye(q))
        factors.append(
            Varying(
                at.get(f"tau_{factor.factor}", np.ones(q)),
                np.linalg.cholesky(omega),
                at[f"b_{factor.factor}"],
            )
        )
    residual = model.design.residual
    return Point(
        intercept=float(at.get("Intercept", 0.0)),
        beta=np.concatenate([at.get(x, np.zeros(0)) for x in ("beta", "beta_s")]),
        sigma=float(at.get("sigma", 1.0)),
        factors=tuple(factors),
        tau_sigma=float(at.get(f"tau_sigma_{residual.factor}", 1.0))
        if residual
        else 1.0,
        sigmas=at.get(f"sigma_{residual.factor}") if residual else None,
        nu=float(at.get("nu", 4.0)),
        shape=float(at.get("shape", 1.0)),
        phi=float(at.get("phi", 1.0)),
        zi=float(at.get("zi", 0.5)),
        hu=float(at.get("hu", 0.5)),
        zoi=float(at.get("zoi", 0.5)),
        coi=float(at.get("coi", 0.5)),
        kappa=float(at.get("kappa", 1.0)),
        cutpoint=at.get("cutpoint", np.zeros(1)),
        latent=latent_at(model, at),
        tensor=tensor_at(model, at),
        tau_s=at.get("tau_s", np.zeros(0)),
    )


def tensor_at(model: sp.Model, at: dict[str, np.ndarray]) -> Tensor | None:
    """Read latent factors of three columns off a draw."""
    tensor = tensor_design(model)
    if tensor is None:
        return None
    scores = tuple(at[f"scores_{name}"] for name in tensor.columns)
    return Tensor(scores, at["factor_scale"])


def latent_at(model: sp.Model, at: dict[str, np.ndarray]) -> Latent | None:
    """Read latent factors off a draw, anchors first."""
    latent = latent_design(model)
    if latent is None:
        return None
    loadings = at[f"loadings_{latent.loadings_of}"][latent.anchors]
    scale = float(at["loading_scale"])
    beta = at.get("beta_factors", np.zeros((0, latent.rank)))
    return Latent(at[f"scores_{latent.scores_of}"], loadings / scale, scale, beta)


@pytest.mark.parametrize("name", each_model(NOT_CATEGORICAL))
def test_linear_predictors_are_the_textbooks(name: str) -> None:
    model = models()[name]
    prior = prior_of(model, draws=3)
    eta = linear_predictor(model, prior)
    assert eta.shape == (1, 3, 14)
    for draw in range(3):
        point = point_at(model, prior, draw)
        expected = densities.linear_predictor(model, data_of(model), point)
        np.testing.assert_allclose(eta[0, draw], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", STRUCTURES)
def test_what_a_program_declares_has_the_stated_prior(name: str) -> None:
    """Of the draws' declared parameters, by the textbook, each has its own prior."""
    model = models()[name]
    prior = prior_of(model)
    declared = [
        densities.stan_parameters(model, small_data(), point_at(model, prior, draw))
        for draw in range(DRAWS)
    ]
    stacked = {key: np.stack([each[key] for each in declared]) for key in declared[0]}
    rows = {
        block: [row.prior for row in model.priors if row.parameter_class == block]
        for block in {row.parameter_class for row in model.priors}
    }
    compared = {"Intercept": "alpha_c", "b": "b_c"}
    for block, priors in rows.items():
        key = compared.get(block, block)
        if block.startswith("Omega") or block == "cutpoint":
            continue
        if block == "sigma" and model.structure.residual == "free":
            key = "sigma_j"
        values = stacked[key].reshape(DRAWS, -1, len(priors))
        for position, each in enumerate(priors):
            assert_drawn_from(values[..., position], truncated(each, block))
    standard = [key for key in stacked if key in ("z", "z_2", "z_sigma")]
    if model.structure.pooling == "partial":
        for key in standard:
            if key != "z_sigma" or model.structure.residual == "pooled":
                assert_drawn_from(stacked[key], stats.norm)


def lkj_constant(shape: float) -> float:
    """Integrate det(Omega)^(shape - 1) over three by three: their equation 16."""
    return float(
        np.prod(
            [
                2.0 ** ((2 * shape - 2 + k) * k)
                * special.beta(shape + (k - 1) / 2, shape + (k - 1) / 2) ** k
                for k in (1, 2)
            ]
        )
    )


def truncated(prior: sp.Prior, block: str) -> Any:
    """Return SciPy's distribution above the least value that the class can have."""
    frozen = densities._frozen(prior)
    least = {"nu": 1.0}.get(block, 0.0 if block[:3] in ("tau", "sig") else -np.inf)

    class Above:
        @staticmethod
        def cdf(x: np.ndarray) -> Any:
            return (frozen.cdf(x) - frozen.cdf(least)) / frozen.sf(least)

    return Above


def assert_drawn_from(values: np.ndarray, distribution: Any) -> None:
    assert stats.kstest(values.ravel(), distribution.cdf).pvalue > P_VALUE


@pytest.fixture(scope="module")
def colours() -> tuple[sp.Model, xr.Dataset]:
    model = sp.Model(
        "colour ~ x1 + u + (1 + x1 | g) + (1 || mm(h, g_2))",
        small_data(),
        family="categorical",
    )
    return model, prior_of(model)


class TestCategories:
    """Written out coefficient by coefficient, from the labels."""

    def test_each_category_has_a_linear_predictor(
        self, colours: tuple[sp.Model, xr.Dataset]
    ) -> None:
        model, prior = colours
        eta, data = linear_predictor(model, prior), small_data()
        assert eta.shape == (1, DRAWS, 14, 2)
        for c, category in enumerate(("green", "red")):
            for n, row in enumerate(data.to_dict("records")):
                own = prior["b_g"].sel(g=row["g"])
                expected = own.sel(g_coefficient=f"{category}, Intercept")
                expected = expected + row["x1"] * own.sel(
                    g_coefficient=f"{category}, x1"
                )
                for group in (row["h"], row["g_2"]):
                    of_group = prior["b_h+g_2"].sel(
                        {
                            "h+g_2": group,
                            "h+g_2_coefficient": f"{category}, Intercept",
                        }
                    )
                    expected = expected + of_group / 2
                np.testing.assert_allclose(eta[:, :, n, c], expected, rtol=1e-9)

    def test_groups_have_their_population(
        self, colours: tuple[sp.Model, xr.Dataset]
    ) -> None:
        _, prior = colours
        effect = prior["beta"].sel(category="red", coefficient="u")
        mean = prior["Intercept"].sel(category="red") + 2.0 * effect  # u is 2 in c
        own = prior["b_g"].sel(g="c", g_coefficient="red, Intercept")
        tau = prior["tau_g"].sel(g_coefficient="red, Intercept")
        assert_drawn_from(((own - mean) / tau).to_numpy(), stats.norm)

    def test_intercepts_are_at_the_means(
        self, colours: tuple[sp.Model, xr.Dataset]
    ) -> None:
        _, prior = colours
        beta, data = prior["beta"].sel(category="green"), small_data()
        at_means = prior["Intercept"].sel(category="green")
        for label in ("x1", "u"):
            at_means = at_means + data[label].mean() * beta.sel(coefficient=label)
        assert_drawn_from(at_means.to_numpy(), stats.norm(0, 2.5))


class TestDistributions:
    @pytest.mark.parametrize(
        "name",
        [
            each
            for each in DISTRIBUTIONS
            if each not in ("flat", "constant", "beta", "lkj", "dirichlet", "horseshoe")
        ],
    )
    def test_each_distribution_is_cut_off_where_its_parameter_is(
        self, name: str
    ) -> None:
        arguments = {
            "normal": (-1.0, 2.0),
            "student_t": (3.0, -1.0, 2.0),
            "cauchy": (1.0, 2.0),
            "exponential": (0.5,),
            "gamma": (2.0, 0.5),
            "inv_gamma": (3.0, 2.0),
            "sqrt_inv_gamma": (3.0, 2.0),
            "lognormal": (0.5, 1.0),
            "half_normal": (2.0,),
            "half_student_t": (3.0, 2.0),
            "half_cauchy": (2.0,),
            "uniform": (1.5, 4.0),
        }
        prior = sp.Prior(name, arguments[name])
        model = sp.Model(
            "y ~ 1",
            small_data(),
            family="student_t",
            pooling="complete",
            priors={"sigma": prior, "nu": prior},
        )
        drawn = prior_of(model, draws=4000)
        assert_drawn_from(drawn["sigma"].to_numpy(), truncated(prior, "sigma"))
        assert_drawn_from(drawn["nu"].to_numpy(), truncated(prior, "nu"))

    def test_intervals_on_coefficients(self) -> None:
        model = sp.Model(
            "y ~ x1",
            small_data(),
            pooling="complete",
            priors={"Intercept": "uniform(-3, -1)", "beta": "beta(2, 5)"},
            center_predictors=False,
        )
        drawn = prior_of(model, draws=4000)
        assert_drawn_from(drawn["Intercept"].to_numpy(), stats.uniform(-3, 2))
        assert_drawn_from(drawn["beta"].to_numpy(), stats.beta(2, 5))

    @pytest.mark.parametrize(
        ("link", "noise"), [("logit", stats.logistic), ("probit", stats.norm)]
    )
    def test_a_dirichlet_is_of_the_probabilities(self, link: str, noise: Any) -> None:
        model = sp.Model(
            "grade ~ 1",
            small_data(),
            family="ordinal",
            link=link,
            pooling="complete",
            priors={"cutpoint": "dirichlet(2)"},
        )
        below = noise.cdf(prior_of(model, draws=4000)["cutpoint"].to_numpy()[0])
        # A Dirichlet's parts, and sums of them, are beta: 3 categories, 2 each.
        assert_drawn_from(below[:, 0], stats.beta(2, 4))
        assert_drawn_from(below[:, 1], stats.beta(4, 2))

    def test_a_half_form_far_in_the_tail_is_exact(self) -> None:
        model = sp.Model(
            "y ~ 1",
            small_data(),
            pooling="complete",
            priors={"sigma": "normal(-30, 1)"},
        )
        sigma = prior_of(model, draws=4000)["sigma"].to_numpy()
        # Beyond 30 standard deviations a normal falls as an exponential of rate 30.
        assert sigma.mean() == pytest.approx(1 / 30, rel=0.1)

    def test_correlations_have_the_marginals_of_lkj(self) -> None:
        # Lewandowski et al. (2009): each is 2 Beta - 1, parameters shape - 1 + d / 2.
        model = models()["partial_pooling_gaussian_noncentered_correlated_mixed_priors"]
        omega = prior_of(model, draws=4000)["Omega_g"].to_numpy()[0]
        np.testing.assert_allclose(np.einsum("dii->di", omega), 1.0)
        for row, column in ((0, 1), (0, 2), (1, 2)):
            assert_drawn_from(
                omega[:, row, column], stats.beta(3.5, 3.5, loc=-1, scale=2)
            )
        # The density is det(Omega)^(shape - 1) over a constant that they give, too.
        determinant = np.linalg.det(omega)
        error = determinant.std() / np.sqrt(len(determinant))
        expected = lkj_constant(4.0) / lkj_constant(3.0)
        assert abs(determinant.mean() - expected) < 4.8 * error

    def test_cutpoints_are_in_order(self) -> None:
        model = models()["no_pooling_ordinal"]
        cutpoints = prior_of(model)["cutpoint"].to_numpy()
        assert (np.diff(cutpoints, axis=-1) > 0).all()

    def test_unequal_priors_on_cutpoints_are_conditioned_on_their_order(self) -> None:
        model = sp.Model(
            "grade ~ 1",
            small_data(),
            family="ordinal",
            pooling="complete",
            priors={
                "cutpoint[low|fair]": "normal(0, 1)",
                "cutpoint[fair|high]": "normal(0.5, 2)",
            },
        )
        drawn = prior_of(model, draws=20_000)["cutpoint"].to_numpy()[0]
        # Given that their difference, normal(0.5, sqrt 5), is positive.
        spread = np.sqrt(5.0)
        tilt = stats.norm.pdf(0.5 / spread) / stats.norm.cdf(0.5 / spread) / spread
        error = drawn.std(axis=0) / np.sqrt(len(drawn))
        gap = np.abs(drawn.mean(axis=0) - [-1.0 * tilt, 0.5 + 4.0 * tilt])
        assert (gap < 4.8 * error).all()

    def test_cutpoints_that_are_never_in_order_are_refused(self) -> None:
        model = sp.Model(
            "grade ~ 1",
            small_data(),
            family="ordinal",
            pooling="complete",
            priors={
                "cutpoint[low|fair]": "normal(100, 1)",
                "cutpoint[fair|high]": "normal(-100, 1)",
            },
        )
        with pytest.raises(sp.SpecError, match="are hardly ever in order"):
            prior_of(model, draws=2)


@pytest.fixture(scope="module")
def model() -> sp.Model:
    return sp.Model(
        "y | se(sigma) ~ 1",
        sp.load_dataset("eight_schools"),
        pooling="complete",
        priors={"Intercept": "normal(2, 5)"},
    )


class TestPriorPredictive:
    def test_outcomes_have_their_marginal_distribution(self, model: sp.Model) -> None:
        drawn = model.prior_predictive(4000, seed=3)
        y = drawn["prior_predictive"]["y"]
        assert y.dims == ("chain", "draw", "row")
        for row, se in enumerate(model.data["sigma"]):
            marginal = stats.norm(2, np.hypot(5, se))
            assert_drawn_from(y[..., row].to_numpy(), marginal)

    def test_the_same_seed_gives_the_same_draws(self, model: sp.Model) -> None:
        first, again, other = (
            model.prior_predictive(5, seed=seed) for seed in (1, 1, 2)
        )
        assert first.identical(again)
        assert not first["prior"].to_dataset().equals(other["prior"].to_dataset())

    def test_groups_are_those_that_arviz_knows(self, model: sp.Model) -> None:
        drawn = model.prior_predictive(5)
        assert set(drawn.children) == {"prior", "prior_predictive", "observed_data"}

    @pytest.mark.parametrize("draws", [0, 2.5, True, "many"])
    def test_draws_are_counted(self, model: sp.Model, draws: Any) -> None:
        with pytest.raises(sp.SpecError, match=r"draws=.* from 1 to 10,000,000"):
            model.prior_predictive(draws)

    @pytest.mark.parametrize(
        ("family", "outcome"),
        [
            ("poisson", "count"),
            ("negative_binomial", "count"),
            ("gamma", "wait"),
            ("lognormal", "wait"),
        ],
    )
    def test_what_overflows_is_capped_counted_and_the_priors_fault(
        self, family: str, outcome: str
    ) -> None:
        model = sp.Model(
            f"{outcome} ~ 1",
            small_data().assign(wait=np.arange(1.0, 15.0)),
            family=family,
            pooling="complete",
            priors={"Intercept": "normal(0, 1000)"},
        )
        with pytest.warns(
            sp.OutcomeWarning, match=r"beyond 1e\+150.*use narrower ones"
        ):
            drawn = model.prior_predictive(1000, seed=1)
        y = drawn["prior_predictive"]["y"]
        beyond = (y == 1e150).to_numpy()
        assert y.attrs["beyond"] == beyond.sum()
        assert np.all(np.isfinite(y))
        assert y.min() > 0 or outcome == "count"
        # exp(eta) > 1e150 where eta > 345: 36.5 % of normal(0, 1000).
        share = stats.norm.sf(np.log(1e150) / 1000)
        error = np.sqrt(share * (1 - share) / 1000)  # rows of a draw share their eta
        assert abs(beyond.mean() - share) < 4.8 * error

    def test_counts_beyond_64_bits_are_floats_and_their_neighbours_counts(self) -> None:
        model = sp.Model(
            "count | exposure(e) ~ 1",
            small_data().assign(e=np.repeat([1.0, 1e30], [13, 1])),
            family="poisson",
            pooling="complete",
            priors={"Intercept": "normal(1, 0.01)"},
        )
        y = model.prior_predictive(1000, seed=1)["prior_predictive"]["y"][0].to_numpy()
        assert np.all(y == np.rint(y))
        for rows, exposure in ((y[:, 0], 1.0), (y[:, 13], 1e30)):
            scaled = rows / (exposure * np.exp(1.0))
            assert abs(scaled.mean() - 1.0) < 4.8 * scaled.std() / np.sqrt(1000)
        # The prior's spread and none of the generator's: 1 %.
        assert scaled.std() == pytest.approx(0.01, rel=4.8 / np.sqrt(2000))

    @pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
    def test_proportions_stay_between_0_and_1(self, link: str) -> None:
        model = sp.Model(
            "p ~ x1",
            small_data().assign(p=np.arange(1, 15) / 15),
            family="beta",
            link=link,
            pooling="complete",
            priors={"beta": "normal(0, 1000)"},
        )
        y = model.prior_predictive(200, seed=1)["prior_predictive"]["y"]
        assert y.min() > 0
        assert y.max() < 1

    @pytest.mark.filterwarnings("ignore:flat prior:stanpool.base.errors.PriorWarning")
    def test_nothing_is_drawn_from_an_improper_prior(self) -> None:
        model = sp.Model(
            "y ~ x1", small_data(), pooling="complete", priors={"beta": "flat"}
        )
        words = r"the prior on 'beta\[x1\]' is flat.*State a proper prior"
        with pytest.raises(sp.SpecError, match=words):
            model.prior_predictive(10)

    @pytest.mark.parametrize("name", each_model(PROPER))
    def test_every_model_has_outcomes_within_its_support(self, name: str) -> None:
        model = models()[name]
        prior = prior_of(model, draws=20)
        y = simulate_outcomes(model, prior, np.random.default_rng(1))
        assert y.shape == (1, 20, 14)
        support = {
            "bernoulli": (0, 1),
            "binomial": (0, small_data()["shots"].to_numpy()),
            "poisson": (0, np.inf),
            "negative_binomial": (0, np.inf),
            "beta": (0, 1),
            "lognormal": (0, np.inf),
            "gamma": (0, np.inf),
        }
        if model.design.categories:
            assert set(y.to_numpy().ravel()) <= set(model.design.categories)
            return
        low, high = support.get(model.spec.family, (-np.inf, np.inf))
        assert np.all((y >= low) & (y <= high))


def test_an_offset_is_part_of_the_linear_predictor() -> None:
    data = pd.DataFrame({"y": [1, 2, 4], "e": [1.0, 10.0, 100.0]})
    model = sp.Model("y | exposure(e) ~ 1", data, family="poisson", pooling="complete")
    prior = prior_of(model)
    eta = linear_predictor(model, prior)
    expected = prior["Intercept"].to_numpy()[..., None] + np.log([1.0, 10.0, 100.0])
    np.testing.assert_allclose(eta, expected)
