"""Stan's log density is the textbook's, at random points, up to one constant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from golden.catalogue import PARAMETERIZATIONS, models, small_data
from stanpool.centering import Centering
from stanpool.engine import SampleSettings, compile_program, sample
from statistical.densities import (
    Point,
    Varying,
    log_density,
    random_point,
    stan_parameters,
)
from statistical.stan import log_prob

POINTS = 6
# Families and structures, and what other tests compile anyway: a program costs half a
# minute of a core. The others are slow.
QUICK = (
    "complete_pooling_gaussian",
    "complete_pooling_bernoulli",
    "no_pooling_gaussian",
    "no_pooling_binomial",
    "partial_pooling_gaussian_centered",
    "partial_pooling_gaussian_noncentered",
    "partial_pooling_gaussian_centered_correlated",
    "partial_pooling_gaussian_noncentered_correlated",
    "partial_pooling_gaussian_se_centered",
    "partial_pooling_gaussian_se_noncentered",
    "partial_pooling_bernoulli_noncentered",
    "complete_pooling_student_t",
    "complete_pooling_gamma",
    "complete_pooling_beta",
    "complete_pooling_negative_binomial",
    "partial_pooling_bernoulli_adaptive",
    "partial_pooling_gaussian_centered_correlated_mixed_priors",
    "complete_pooling_ordinal_other_priors",
    "partial_pooling_gaussian_noncentered_correlated_group_predictors_pooled_sigma",
    "partial_pooling_poisson_noncentered_plain_membership",
    "partial_pooling_gaussian_noncentered_latent",
    "partial_pooling_gaussian_marginal_correlated",
    "partial_pooling_gaussian_se_marginal",
    "partial_pooling_gaussian_marginal_group_predictors_pooled_sigma",
    "partial_pooling_gaussian_compressed_centered_group_predictors_pooled_sigma_no_intercept",
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name, model in models().items()
        if model.spec.family != "categorical"
    ],
)
def test_log_density_is_that_of_the_textbook(name: str) -> None:
    assert_densities_agree(models()[name])


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ 1 + (1 | g)",  # no predictors at all
        "y ~ x1 + (1 + x2 || g)",  # x2 varies around zero
        "y ~ x1 + (0 + x1 | g)",  # a varying slope, a common intercept
        "y ~ x1 + x2 + (x2 + x1 || g)",  # not in the order of the population
        pytest.param("y ~ 0 + x1 + (1 | g)", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
def test_varying_coefficients_have_the_means_of_the_population(
    formula: str, parameterization: str
) -> None:
    model = sp.Model(formula, small_data(), parameterization=parameterization)
    assert_densities_agree(model)


@pytest.mark.parametrize(
    ("family", "outcome", "options"),
    [
        ("bernoulli", "win", {"pooling": "complete"}),
        ("bernoulli", "win", {"pooling": "none"}),
        ("bernoulli", "win", {"parameterization": "noncentered"}),
        ("binomial", "hits | trials(shots)", {"pooling": "none"}),
        ("binomial", "hits | trials(shots)", {"parameterization": "noncentered"}),
        ("poisson", "count", {"pooling": "complete"}),
        pytest.param(
            *("poisson", "count", {"parameterization": "centered"}),
            marks=pytest.mark.slow,
        ),
        ("negative_binomial", "count", {"pooling": "complete"}),
        pytest.param(
            *("ordinal", "grade", {"pooling": "none"}), marks=pytest.mark.slow
        ),
    ],
)
def test_without_predictors_the_data_still_count(
    family: str, outcome: str, options: dict[str, str]
) -> None:
    """Stan's fused binomial_logit_glm of no predictors is 0, whatever the outcome."""
    formula = f"{outcome} ~ 1 + (1 | g)"
    model = sp.Model(formula, small_data(), family=family, **options)
    assert not model.design.coefficients
    assert_densities_agree(model)


@pytest.mark.parametrize("pooling", ["complete", "none", "partial"])
def test_uncentered_predictors_put_the_prior_on_the_intercept_at_zero(
    pooling: str,
) -> None:
    model = sp.Model(
        "y ~ x1 + x2 + (1 + x2 || g)",
        small_data(),
        pooling=pooling,
        center_predictors=False,
        priors={"Intercept": "normal(3, 0.1)"},
    )
    assert_densities_agree(model)


def test_no_pooling_of_slopes_only_keeps_the_intercept_common() -> None:
    data = small_data()
    model = sp.Model("y ~ x1 + x2 + (0 + x2 | g)", data, pooling="none")
    assert model.design.intercept
    assert model.design.coefficients == ("x1",)


@pytest.mark.parametrize("correlated", [False, True])
def test_parameterizations_differ_by_the_jacobian_alone(correlated: bool) -> None:
    bar = "|" if correlated else "||"
    centered, noncentered = (
        sp.Model(f"y ~ x1 + x2 + (1 + x2 {bar} g)", small_data(), parameterization=each)
        for each in PARAMETERIZATIONS
    )
    rng, gaps = np.random.default_rng(7), []
    for _ in range(POINTS):
        at = random_point(centered, rng)
        scales = np.linalg.det(at.first.chol)
        gap = stan_log_prob(noncentered, at) - stan_log_prob(centered, at)
        gaps.append(gap - len(at.first.b) * np.log(scales))
    assert np.ptp(gaps) < 1e-8


@pytest.mark.parametrize("correlated", [False, True])
def test_weights_at_both_ends_are_the_centered_and_the_noncentered_form(
    correlated: bool,
) -> None:
    bar = "|" if correlated else "||"
    centered, noncentered, adaptive = (
        sp.Model(
            f"y ~ x1 + x2 + (1 + x2 {bar} g)",
            small_data(),
            parameterization=each,
            center_predictors=False,
        )
        for each in (*PARAMETERIZATIONS, "adaptive")
    )
    rng, gaps = np.random.default_rng(13), {0: [], 1: []}
    for _ in range(POINTS):
        at = random_point(centered, rng)
        for end, form in ((0, noncentered), (1, centered)):
            parameters = stan_parameters(form, small_data(), at)
            # b is z in units of 1.
            parameters["z"] = parameters["b"] if end else parameters["z"]
            shape, pilot = at.first.b.shape, rng.lognormal(size=2)
            ends = Centering(
                np.full(shape, float(end)), pilot, np.ones(shape) if end else pilot
            )
            adaptive.__dict__["centering"] = (
                replace(ends, unit=np.broadcast_to(ends.unit, shape)),
            )
            found = log_prob(adaptive.program, adaptive.stan_data(), parameters)
            gaps[end].append(found - stan_log_prob(form, at))
    assert np.ptp(gaps[0]) < 1e-8
    assert np.ptp(gaps[1]) < 1e-8


def test_vanishing_scales_are_complete_pooling() -> None:
    data = small_data()
    partial = sp.Model(
        "y ~ x1 + x2 + (1 + x2 || g)", data, parameterization="noncentered"
    )
    complete = partial.with_(pooling="complete")
    rng, gaps = np.random.default_rng(8), []
    z = rng.normal(size=(4, 2))
    for _ in range(POINTS):
        at = random_point(partial, rng)
        parameters = stan_parameters(partial, data, at)
        parameters |= {"tau": np.full(2, 1e-12), "z": z}
        pooled = log_prob(partial.program, partial.stan_data(), parameters)
        gaps.append(pooled - stan_log_prob(complete, at))
    assert np.ptp(gaps) < 1e-8


def test_endless_scales_are_no_pooling() -> None:
    data = small_data()
    partial = sp.Model("y ~ x1 + x2 + (1 + x2 || g)", data, parameterization="centered")
    none = partial.with_(
        pooling="none", priors=(("b_g", sp.Prior("normal", (0, 1e6))),)
    )
    rng, gaps = np.random.default_rng(9), []
    first = random_point(partial, rng)
    for _ in range(POINTS):
        at = random_point(partial, rng)
        # What the groups' coefficients do not replace stays where it is.
        own = Varying(np.full(2, 1e6), np.eye(2), at.first.b)
        there = Point(first.intercept, first.beta, at.sigma, (own,))
        apart = Point(0.0, first.beta[:1], at.sigma, (own,))
        gaps.append(stan_log_prob(partial, there) - stan_log_prob(none, apart))
    assert np.ptp(gaps) < 1e-8


def test_groups_that_are_alike_have_the_density_of_all() -> None:
    rng = np.random.default_rng(12)
    data = pd.DataFrame(
        {
            "y": rng.normal(size=36),
            "x1": np.tile([0.0, 1.0, 3.0], 12),
            "x2": rng.normal(size=36),
            "g": np.repeat([f"group {j:02}" for j in range(12)], 3),
        }
    )
    model = sp.Model("y ~ x2 + (1 + x1 | g)", data, parameterization="marginal")
    assert len(model.stan_data()["count"]) < 12
    gaps = []
    for _ in range(POINTS):
        at = random_point(model, rng)
        parameters = stan_parameters(model, data, at)
        density = log_prob(model.program, model.stan_data(), parameters)
        gaps.append(density - log_density(model, data, at))
    assert np.ptp(gaps) < 1e-8


def test_units_and_origins_of_the_data_cost_the_marginal_form_no_accuracy() -> None:
    """An outcome of 1e6 with noise of 1, a predictor in thousands about 5000."""
    data = small_data()
    bad = data.assign(y=data["y"] + 1e6, x1=1000 * data["x1"] + 5000)
    formula = "y ~ x1 + (1 + x1 | g)"
    # Flat over all that is near, so that the prior does not see the difference.
    priors = {"Intercept": "normal(0, 1e15)", "beta": "normal(0, 1e9)"}
    priors |= {"tau": "exponential(1e-15)", "Omega": "lkj(1)"}
    ours, theirs = (
        sp.Model(formula, each, parameterization="marginal", priors=priors)
        for each in (data, bad)
    )
    rng, gaps = np.random.default_rng(11), []
    for _ in range(POINTS):
        at = random_point(ours, rng)
        # Scales and correlations are those at the origin of x1, 5000.
        moved = np.diag([1.0, 1e-3]) @ at.first.chol
        covariance = moved @ moved.T
        tau = np.sqrt(np.diag(covariance))
        there = replace(
            at,
            intercept=at.intercept + 1e6 - 5 * at.beta[0],
            beta=at.beta / 1000,
            factors=(
                replace(
                    at.first,
                    tau=tau,
                    chol_omega=np.linalg.cholesky(covariance / np.outer(tau, tau)),
                    b=np.zeros((4, 2)),
                ),
            ),
        )
        densities = []
        for model, of, point in ((ours, data, at), (theirs, bad, there)):
            seen = model.scaling.to_stan(stan_parameters(model, of, point))
            seen["tau_signed"] = seen["tau"]
            densities.append(log_prob(model.program, model.stan_data(), seen))
        gaps.append(densities[1] - densities[0])
    assert np.ptp(gaps) < 1e-7


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
def test_neals_funnel_is_neals(parameterization: str) -> None:
    program = sp.neals_funnel(parameterization)
    rng, gaps = np.random.default_rng(10), []
    for _ in range(POINTS):
        v, x = rng.normal(0, 3), rng.normal(size=9)
        parameters = {"v": v, "x": x, "z": x / np.exp(v / 2)}
        wanted = (
            stats.norm.logpdf(v, 0, 3) + stats.norm.logpdf(x, 0, np.exp(v / 2)).sum()
        )
        if parameterization == "noncentered":
            wanted += 9 * v / 2
        gaps.append(log_prob(program, {"D": 9, "scale": 3}, parameters) - wanted)
    assert np.ptp(gaps) < 1e-8


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in (
            "complete_pooling_gaussian",
            "no_pooling_gaussian",
            "no_pooling_poisson_common_intercept",
            "partial_pooling_gaussian_noncentered",
            "partial_pooling_gaussian_noncentered_correlated",
            "partial_pooling_gaussian_centered_correlated_plain",
            "partial_pooling_gaussian_noncentered_correlated_group_predictors_pooled_sigma",
            "partial_pooling_poisson_noncentered_plain_membership",
        )
    ],
)
def test_what_is_derived_from_parameters_leads_back_to_them(name: str) -> None:
    """Intercepts at zero and full coefficients, of draws, give what Stan declares."""
    model = models()[name]
    executable = compile_program(
        model.program.compiled,
        name=model.program.name,
        header=model.program.header,
        progress=False,
    )
    settings = SampleSettings(chains=1, draws=5, warmup=50, seed=1)
    raw = sample(executable, model.stan_data(), settings, progress=False)
    draws = {each: raw.stan_variable(each)[0] for each in raw.variable_names}
    for n in range(5):
        at = point_of({each: values[n] for each, values in draws.items()}, model)
        declared = stan_parameters(model, small_data(), at)
        for each in declared.keys() & draws.keys():
            np.testing.assert_allclose(
                declared[each], draws[each][n], rtol=1e-5, atol=1e-6
            )
        for end in ("", "_2"):
            if f"Omega{end}" in draws:
                chol = draws[f"L_Omega{end}"][n]
                np.testing.assert_allclose(
                    draws[f"Omega{end}"][n], chol @ chol.T, atol=1e-6
                )


def point_of(draw: dict[str, np.ndarray], model: sp.Model) -> Point:
    """Read a point off what Stan writes, derived quantities before parameters."""
    factors = []
    for end in ("", "_2")[: len(model.design.factors)]:
        b = draw[f"b{end}"]
        q = b.shape[1]
        tau = draw.get(f"tau{end}", np.ones(q))
        factors.append(Varying(tau, draw.get(f"L_Omega{end}", np.eye(q)), b))
    return Point(
        intercept=float(draw.get("alpha", np.zeros(()))),
        beta=draw.get("beta", np.zeros(0)),
        sigma=float(draw.get("sigma", np.ones(()))),
        factors=tuple(factors),
        tau_sigma=float(draw.get("tau_sigma", np.ones(()))),
        sigmas=draw.get("sigma_j"),
    )


def assert_densities_agree(model: sp.Model) -> None:
    data, rng = small_data(), np.random.default_rng(6)
    points = [random_point(model, rng) for _ in range(POINTS)]
    found = np.array([stan_log_prob(model, at) for at in points])
    wanted = np.array([log_density(model, data, at) for at in points])
    tall = np.abs(wanted).max() if model.structure.piloted else 0.0
    # Rows that count 5000 times make covariances that lose six digits to NumPy.
    assert np.ptp(found - wanted) < max(1e-8, 1e-10 * tall)


def stan_log_prob(model: sp.Model, at: Point) -> float:
    parameters = stan_parameters(model, small_data(), at)
    # The log of sigma is a parameter in its place, and has its density.
    jacobian = np.log(at.sigma) if model.structure.piloted else 0.0
    parameters["log_sigma"] = np.log(at.sigma)
    return log_prob(model.program, model.stan_data(), parameters) - jacobian
