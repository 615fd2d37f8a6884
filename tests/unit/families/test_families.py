"""Families in numbers, against SciPy's distributions and sums over all outcomes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from golden.catalogue import data_of, models
from stanpool.base.errors import SpecError
from stanpool.data.likelihood import draw_outcomes, log_likelihood
from stanpool.families.functions import LINKS
from stanpool.families.registry import family_functions
from stanpool.language.family import FAMILIES
from statistical import densities

ETA = np.array([-2.5, -0.3, 0.0, 0.7, 1.9])
DRAWS = 40_000

BINARY_LINKS = ("logit", "probit", "cloglog")
PROBABILITY = {
    "logit": stats.logistic.cdf,
    "probit": stats.norm.cdf,
    # the minimum of many, Gumbel
    "cloglog": stats.gumbel_l.cdf,
}


def _frozen(family: str, link: str) -> tuple[Any, dict[str, Any]]:
    """Return SciPy's distribution at ``ETA``, and the family's parameters."""
    if family == "gaussian":
        mean = ETA if link == "identity" else np.exp(ETA)
        return stats.norm(mean, 1.3), {"sigma": 1.3}
    if family == "student_t":
        return stats.t(5.5, ETA, 0.8), {"nu": 5.5, "sigma": 0.8}
    if family == "skew_normal":
        own = {"sigma": 0.8, "slant": -2.5}
        return densities.skew_normal(ETA, 0.8, -2.5), own
    if family == "asymmetric_laplace":
        own = {"sigma": 0.8, "quantile": 0.9}
        return densities.asymmetric_laplace(ETA, 0.8, 0.9), own
    if family == "von_mises":
        return densities.Directions(2 * np.arctan(ETA), 2.5), {"kappa": 2.5}
    if family == "lognormal":
        return stats.lognorm(0.4, scale=np.exp(ETA)), {"sigma": 0.4}
    if family == "gamma":
        return stats.gamma(2.5, scale=np.exp(ETA) / 2.5), {"shape": 2.5}
    if family == "exponential":
        return stats.expon(scale=np.exp(ETA)), {}
    if family == "weibull":
        scale = np.exp(ETA) / special.gamma(1 + 1 / 2.5)
        return stats.weibull_min(2.5, scale=scale), {"shape": 2.5}
    if family == "inverse_gaussian":
        return stats.invgauss(np.exp(ETA) / 2.5, scale=2.5), {"shape": 2.5}
    if family == "poisson":
        return stats.poisson(np.exp(ETA)), {}
    if family == "negative_binomial":
        return stats.nbinom(1.7, 1.7 / (1.7 + np.exp(ETA))), {"phi": 1.7}
    if family == "zero_one_inflated_beta":
        distribution, parameters = _frozen("beta", link)
        of_all = densities.WithPoints(distribution, {0.0: 0.14, 1.0: 0.21})
        return of_all, {**parameters, "zoi": 0.35, "coi": 0.6}
    if family.startswith(("zero_inflated", "hurdle")):
        kind = "zi" if family.startswith("zero") else "hu"
        counts = family.removeprefix("zero_inflated_").removeprefix("hurdle_")
        distribution, parameters = _frozen(counts, link)
        own = {kind: 0.35}
        if counts in ("gamma", "lognormal"):
            of_all = densities.WithPoints(distribution, {0.0: 0.35})
            return of_all, {**parameters, **own}
        return densities.Zeros(distribution, **own), {**parameters, **own}
    p = PROBABILITY[link](ETA)
    if family == "bernoulli":
        return stats.bernoulli(p), {}
    if family == "binomial":
        return stats.binom(7, p), {"trials": np.array(7)}
    if family == "beta_binomial":
        shapes = 3.0 * p, 3.0 * (1 - p)
        return stats.betabinom(7, *shapes), {"trials": np.array(7), "phi": 3.0}
    return stats.beta(3.0 * p, 3.0 * (1 - p)), {"phi": 3.0}


CASES = [
    (family.name, link)
    for family in FAMILIES.values()
    for link in family.links
    if not family.has_categories
]
ORDERED = [
    (family.name, link)
    for family in FAMILIES.values()
    for link in family.links
    if family.has_cutpoints
]
TRUNCATED = [each for each in FAMILIES.values() if "trunc" in each.parts]
BOUNDED = [each.name for each in TRUNCATED if not each.is_discrete]
COUNTS = [each.name for each in TRUNCATED if each.is_discrete]


@pytest.mark.parametrize(("family", "link"), CASES)
def test_log_density_is_scipys(family: str, link: str) -> None:
    distribution, parameters = _frozen(family, link)
    y = distribution.rvs((300, ETA.size), random_state=3)
    if family == "beta":  # SciPy rounds to 0 and 1
        y = np.clip(y, 1e-9, 1 - 1e-9)
    expected = getattr(distribution, "logpdf", None) or distribution.logpmf
    found = family_functions(family, link).log_density(y, ETA, **parameters)
    np.testing.assert_allclose(found, expected(y), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("family", "link"), CASES)
def test_mean_is_scipys(family: str, link: str) -> None:
    distribution, parameters = _frozen(family, link)
    found = family_functions(family, link).mean(ETA, **parameters)
    np.testing.assert_allclose(found, distribution.mean(), rtol=1e-12)


@pytest.mark.parametrize(("family", "link"), CASES)
def test_what_the_mean_depends_on_is_known(family: str, link: str) -> None:
    """Predictions of new rows read no other parameter."""
    _, parameters = _frozen(family, link)
    mean = family_functions(family, link).mean
    moves = {
        each.name
        for each in FAMILIES[family].numbers
        if not np.allclose(
            mean(ETA, **parameters),
            mean(ETA, **parameters | {each.name: 1.2 * parameters[each.name]}),
        )
    }
    assert moves == FAMILIES[family].in_mean


@pytest.mark.parametrize(("family", "link"), CASES)
def test_variance_is_scipys(family: str, link: str) -> None:
    distribution, parameters = _frozen(family, link)
    variance = family_functions(family, link).variance
    assert variance is not None
    found = variance(ETA, **parameters)
    np.testing.assert_allclose(found, distribution.var() + 0 * ETA, rtol=1e-10)


def test_heavy_tails_have_no_variance() -> None:
    variance = family_functions("student_t").variance
    assert variance is not None
    assert np.isinf(variance(ETA, nu=1.5, sigma=1.0)).all()


def _drawn_between(
    low: float, high: float, family: str, parameters: dict[str, Any], draws: int
) -> Any:
    """Draw truncated outcomes at ``ETA``, shape ``(draws, 5)``, all within bounds."""
    y = family_functions(family).draw(
        np.random.default_rng(5),
        np.broadcast_to(ETA, (draws, ETA.size)),
        lower=low,
        upper=high,
        **parameters,
    )
    assert y.min() >= low
    assert y.max() <= high
    return y


@pytest.mark.parametrize(("family", "link"), CASES)
def test_draws_have_scipys_distribution(family: str, link: str) -> None:
    distribution, parameters = _frozen(family, link)
    eta = np.broadcast_to(ETA, (DRAWS, ETA.size))
    y = family_functions(family, link).draw(np.random.default_rng(8), eta, **parameters)
    assert y.shape == eta.shape
    for power in (1, 2):
        moment = (y.astype(float) ** power).mean(axis=0)
        error = (y.astype(float) ** power).std(axis=0) / np.sqrt(DRAWS)
        expected = distribution.moment(power)
        assert np.all(np.abs(moment - expected) < 4.5 * error + 1e-12)


def test_parameters_broadcast_over_draws_and_rows() -> None:
    eta = np.zeros((6, 4))
    sigma = np.full((6, 1), 2.0)
    y = np.arange(4.0)
    functions = family_functions("gaussian")
    assert functions.log_density(y, eta, sigma=sigma).shape == (6, 4)
    assert functions.mean(eta, sigma=sigma).shape == (6, 4)
    assert functions.draw(np.random.default_rng(1), eta, sigma=sigma).shape == (6, 4)


def test_known_standard_errors_join_the_residual_scale() -> None:
    functions = family_functions("gaussian")
    known = functions.log_density(1.0, 0.0, se=2.0)
    both = functions.log_density(1.0, 0.0, se=1.2, sigma=1.6)
    assert known == pytest.approx(stats.norm(0, 2).logpdf(1))
    assert both == pytest.approx(known)


@pytest.mark.parametrize("link", LINKS)
def test_inverse_undoes_the_link(link: str) -> None:
    functions = LINKS[link]
    mu = functions.inverse(ETA)
    np.testing.assert_allclose(functions.apply(mu), ETA, rtol=1e-12, atol=1e-12)
    if link not in ("identity", "tan_half"):  # which may be negative
        np.testing.assert_allclose(functions.log_inverse(ETA), np.log(mu), rtol=1e-12)
    if functions.log_complement is not None:
        complement = functions.log_complement(ETA)
        np.testing.assert_allclose(complement, np.log1p(-mu), rtol=1e-12)


@pytest.mark.parametrize("link", BINARY_LINKS)
def test_far_tails_stay_finite(link: str) -> None:
    functions = LINKS[link]
    assert functions.log_complement is not None
    assert np.isfinite(functions.log_inverse(np.array(-30.0)))
    assert np.isfinite(functions.log_complement(np.array(6.0)))
    assert functions.log_inverse(np.array(60.0)) == pytest.approx(0.0, abs=1e-20)
    # log(mu) is eta itself where mu = exp(eta), nearly
    if link != "probit":
        assert functions.log_inverse(np.array(-30.0)) == pytest.approx(-30.0)
    else:
        assert functions.log_inverse(-30.0) == pytest.approx(special.log_ndtr(-30.0))


def test_unknown_families_and_links_are_named() -> None:
    with pytest.raises(SpecError, match=r"'posson' is not one of .* mean 'poisson'"):
        family_functions("posson")
    with pytest.raises(SpecError, match=r"'poisson': link='sqrt' is not one of 'log'"):
        family_functions("poisson", "sqrt")


class TestBounds:
    @pytest.mark.parametrize("family", BOUNDED)
    @pytest.mark.parametrize(
        ("low", "high"), [(0.5, 2.0), (0.0, 1.0), (3.0, np.inf), (-np.inf, 0.7)]
    )
    def test_probability_of_an_interval_is_scipys(
        self, family: str, low: float, high: float
    ) -> None:
        distribution, parameters = _frozen(family, "identity")
        low = max(low, 0.0) if FAMILIES[family].outcome == "positive" else low
        functions = family_functions(family)
        assert functions.log_interval is not None
        found = functions.log_interval(low, high, ETA, **parameters)
        if high == np.inf:
            expected = distribution.logsf(low)
        else:
            from_below = distribution.cdf(high) - distribution.cdf(low)
            from_above = distribution.sf(low) - distribution.sf(high)
            is_above = distribution.cdf(low) > 0.5
            expected = np.log(np.where(is_above, from_above, from_below))
        np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-12)

    def test_far_intervals_are_exact_in_either_tail(self) -> None:
        functions = family_functions("gaussian")
        assert functions.log_interval is not None
        above = functions.log_interval(20.0, 21.0, 0.0, sigma=1.0)
        below = functions.log_interval(-21.0, -20.0, 0.0, sigma=1.0)
        # the tail of the normal beyond 20: phi(20) / 20 (1 - 1 / 20^2 + 3 / 20^4)
        series = stats.norm.logpdf(20) - np.log(20) + np.log1p(-1 / 400 + 3 / 160_000)
        assert above == below
        assert above == pytest.approx(series, abs=1e-6)

    @pytest.mark.parametrize("family", BOUNDED)
    def test_truncated_draws_have_the_truncated_distribution(self, family: str) -> None:
        distribution, parameters = _frozen(family, "identity")
        low, high = 0.4, 2.5
        y = _drawn_between(low, high, family, parameters, DRAWS)
        # By upper tails, which are exact where most is below the bounds.
        beyond = distribution.sf(high)
        for cut in (0.8, 1.5):
            share = (y > cut).mean(axis=0)
            expected = (distribution.sf(cut) - beyond) / (distribution.sf(low) - beyond)
            error = np.sqrt(expected * (1 - expected) / DRAWS)
            assert np.all(np.abs(share - expected) <= 4.5 * error)

    def test_draws_truncated_far_out_are_finite(self) -> None:
        y = family_functions("gaussian").draw(
            np.random.default_rng(5), np.zeros(1000), sigma=1.0, lower=30.0
        )
        # beyond 30 the normal falls like an exponential of rate 30
        assert y.min() >= 30
        assert y.mean() == pytest.approx(30 + 1 / 30, abs=4.5 / 30 / np.sqrt(1000))

    def test_bounds_far_out_in_the_tail_are_kept_to(self) -> None:
        draw = family_functions("weibull").draw
        rng, eta = np.random.default_rng(5), np.full(100, -300.0)
        for shape in (0.2, 1.0, 50.0):
            y = draw(rng, eta, lower=1.0, upper=2.0, shape=shape)
            assert np.all((y >= 1.0) & (y <= 2.0))

    @pytest.mark.parametrize("family", BOUNDED)
    def test_one_bound_is_enough(self, family: str) -> None:
        _, parameters = _frozen(family, "identity")
        draw, rng = family_functions(family).draw, np.random.default_rng(5)
        eta = np.zeros(2000)
        assert draw(rng, eta, lower=1.2, **parameters).min() >= 1.2
        assert draw(rng, eta, upper=1.2, **parameters).max() <= 1.2


class TestTruncatedCounts:
    @pytest.mark.parametrize("family", COUNTS)
    @pytest.mark.parametrize(
        ("low", "high"), [(1, 3), (2, 2), (0, 4), (1, np.inf), (9, np.inf), (0, np.inf)]
    )
    def test_bounds_are_included(self, family: str, low: int, high: float) -> None:
        distribution, parameters = _frozen(family, "log")
        log_interval = family_functions(family).log_interval
        assert log_interval is not None
        found = log_interval(low, high, ETA, **parameters)
        some = np.arange(low, 400 if np.isinf(high) else high + 1)
        expected = special.logsumexp(distribution.logpmf(some[:, None]), axis=0)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-13)
        none = log_interval(-np.inf, np.inf, ETA, **parameters)
        np.testing.assert_array_equal(none, 0.0)

    @pytest.mark.parametrize("family", COUNTS)
    def test_tails_that_underflow_have_their_first_term(self, family: str) -> None:
        _, parameters = _frozen(family, "log")
        functions = family_functions(family)
        assert functions.log_interval is not None
        for low, high, eta, nearest in ((9, np.inf, -90.0, 9), (0, 3, 9000.0, 3)):
            if family == "negative_binomial" and high == 3:
                continue  # its lower tail does not underflow
            eta = min(eta, 9.0)
            found = functions.log_interval(low, high, eta, **parameters)
            first = functions.log_density(nearest, eta, **parameters)
            assert found == pytest.approx(first, rel=1e-3)
            assert found < -740

    @pytest.mark.parametrize("family", COUNTS)
    @pytest.mark.parametrize(("low", "high"), [(1, np.inf), (2, 5), (8, np.inf)])
    def test_draws_have_the_truncated_distribution(
        self, family: str, low: int, high: float
    ) -> None:
        distribution, parameters = _frozen(family, "log")
        draws = 4000
        y = _drawn_between(low, high, family, parameters, draws)
        some = np.arange(low, 400 if np.isinf(high) else high + 1)[:, None]
        mass = distribution.pmf(some)
        mass = mass / mass.sum(axis=0)
        mean = (some * mass).sum(axis=0)
        error = np.sqrt(((some - mean) ** 2 * mass).sum(axis=0) / draws)
        assert np.all(np.abs(y.mean(axis=0) - mean) < 4.5 * error)
        for count in (low, low + 1, low + 2):
            p = mass[count - low]
            share = (y == count).mean(axis=0)
            assert np.all(np.abs(share - p) < 4.5 * np.sqrt(p * (1 - p) / draws))

    @pytest.mark.parametrize("family", COUNTS)
    def test_one_bound_is_enough(self, family: str) -> None:
        _, parameters = _frozen(family, "log")
        draw, rng = family_functions(family).draw, np.random.default_rng(5)
        eta = np.full(2000, 1.0)
        assert draw(rng, eta, lower=2, **parameters).min() == 2
        assert draw(rng, eta, upper=2, **parameters).max() == 2


class TestCategories:
    CUTPOINT = np.array([-1.0, 0.2, 1.5])

    @pytest.mark.parametrize(("family", "link"), ORDERED)
    def test_probabilities_of_ordered_categories(self, family: str, link: str) -> None:
        functions = family_functions(family, link)
        found = functions.mean(ETA, cutpoint=self.CUTPOINT)
        expected = densities.categories(family, link, ETA, self.CUTPOINT)
        np.testing.assert_allclose(found, expected, rtol=1e-9)
        for category in range(4):
            log_density = functions.log_density(category, ETA, cutpoint=self.CUTPOINT)
            np.testing.assert_allclose(log_density, np.log(expected[:, category]))

    @pytest.mark.parametrize(("family", "link"), ORDERED)
    def test_cutpoints_have_the_probabilities(self, family: str, link: str) -> None:
        functions = family_functions(family, link)
        p = np.array([0.2, 0.05, 0.4, 0.35])
        assert functions.cutpoints is not None
        found = functions.mean(0.0, cutpoint=functions.cutpoints(p))
        np.testing.assert_allclose(found, p, rtol=1e-12)

    @pytest.mark.parametrize("sign", [-1.0, 1.0])
    def test_tails_of_cloglog_are_exact(self, sign: float) -> None:
        functions = family_functions("ordinal", "cloglog")
        found = functions.log_density(1, sign * 6.0, cutpoint=np.array([0.0, 1e-9]))
        # 1e-9 times the density of the latent outcome, exp(x - exp(x)), at x = -eta
        expected = np.log(1e-9) - sign * 6.0 - np.exp(-sign * 6.0)
        assert found == pytest.approx(expected, abs=1e-6)

    def test_ordinal_tails_are_exact(self) -> None:
        functions = family_functions("ordinal", "probit")
        near = functions.log_density(1, 20.0, cutpoint=np.array([0.0, 1.0]))
        expected = stats.norm.logcdf(-19) + np.log1p(
            -np.exp(stats.norm.logcdf(-20) - stats.norm.logcdf(-19))
        )
        assert near == pytest.approx(expected)

    def test_categorical_probabilities_are_a_softmax(self) -> None:
        eta = np.array([[0.3, -1.2], [4.0, 5.0]])
        weights = np.exp(np.column_stack([np.zeros(2), eta]))
        expected = weights / weights.sum(axis=1, keepdims=True)
        functions = family_functions("categorical")
        np.testing.assert_allclose(functions.mean(eta), expected, rtol=1e-12)
        found = functions.log_density(np.array([2, 0]), eta)
        np.testing.assert_allclose(found, np.log(expected[[0, 1], [2, 0]]))

    @pytest.mark.parametrize("family", ["ordinal", "sratio", "acat", "categorical"])
    def test_draws_have_the_probabilities(self, family: str) -> None:
        rng = np.random.default_rng(9)
        shape = (DRAWS, 3, 2) if family == "categorical" else (DRAWS, 3)
        eta = np.broadcast_to(rng.normal(size=shape[1:]), shape)
        parameters = {"cutpoint": self.CUTPOINT} if family != "categorical" else {}
        functions = family_functions(family)
        expected = functions.mean(eta, **parameters)[0]
        y = functions.draw(rng, eta, **parameters)
        assert y.shape == (DRAWS, 3)
        for category in range(expected.shape[-1]):
            p = expected[:, category]
            error = np.sqrt(p * (1 - p) / DRAWS)
            assert np.all(np.abs((y == category).mean(axis=0) - p) < 4.5 * error)

    def test_cutpoints_of_each_draw_meet_the_rows(self) -> None:
        cutpoint = np.sort(np.random.default_rng(2).normal(size=(6, 1, 3)), axis=-1)
        functions = family_functions("ordinal")
        assert functions.mean(np.zeros((6, 5)), cutpoint=cutpoint).shape == (6, 5, 4)
        y = np.array([0, 1, 2, 3, 0])
        found = functions.log_density(y, np.zeros((6, 5)), cutpoint=cutpoint)
        assert found.shape == (6, 5)


class TestRowsOfModels:
    @pytest.mark.parametrize(
        "name",
        [
            name
            for name, model in models().items()
            if model.spec.family != "categorical"
            and model.spec.residual_correlation is None  # whose rows are not apart
        ],
    )
    def test_log_likelihood_is_that_of_the_textbook(self, name: str) -> None:
        model, rng = models()[name], np.random.default_rng(21)
        data = data_of(model)
        middle = 0.0
        if model.spec.link_name == "identity":
            y = model.design.y
            middle = (np.log(y) if model.spec.family == "lognormal" else y).mean()
        for _ in range(3):
            # near the data: the textbook's differences of tails have no digits left
            at = replace(densities.random_point(model, rng), sigma=rng.uniform(1, 3))
            at = replace(at, sigmas=1 + at.sigmas)
            eta = middle + rng.normal(0, 0.5, model.design.rows)
            parameters = {
                name: densities.parameter_of_rows(model, data, at, name)
                for name in densities.OWN_PARAMETERS
            }
            own = FAMILIES[model.spec.family].parameter_names
            parameters = {each: parameters[each] for each in own if each in parameters}
            if "cutpoint" in own:
                parameters["cutpoint"] = at.cutpoint
            if model.spec.has_sigma:
                parameters["sigma"] = (
                    densities.parameter_of_rows(model, data, at, "sigma")
                    if model.design.residual is None
                    else at.sigmas[model.design.residual.index]
                )
            found = log_likelihood(model.spec, model.design, eta, parameters)
            assert found.shape == (len(data),)
            expected = densities.log_likelihood_of(model, data, eta, at)
            assert found.sum() == pytest.approx(expected, rel=1e-9)

    def test_drawn_outcomes_stay_within_the_bounds_of_their_rows(self) -> None:
        model = models()["complete_pooling_gaussian_truncated_both"]
        design = model.design
        draws = draw_outcomes(
            model.spec,
            design,
            np.random.default_rng(22),
            np.zeros((500, design.rows)),
            {"sigma": np.full((500, 1), 2.0)},
        )
        assert draws.shape == (500, design.rows)
        assert np.all((draws >= design.lower) & (draws <= design.upper))


@pytest.mark.parametrize("phi", [1e8, 1e13, 1e18, 1e300])
def test_counts_without_overdispersion_are_binomial_or_poisson(phi: float) -> None:
    """However large the precision is that a chain tries."""
    eta, y = np.array([-2.0, 0.3, 1.5]), np.array([2, 11, 17])
    trials = np.array([20, 18, 17])
    found = family_functions("beta_binomial", "logit").log_density(
        y, eta, trials=trials, phi=phi
    )
    expected = stats.binom.logpmf(y, trials, special.expit(eta))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    found = family_functions("negative_binomial", "log").log_density(y, eta, phi=phi)
    np.testing.assert_allclose(found, stats.poisson.logpmf(y, np.exp(eta)), atol=1e-5)
