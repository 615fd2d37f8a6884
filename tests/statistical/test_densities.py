"""Stan's log density is the textbook's, at random points, up to one constant."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import interpreted
import stanpool as sp
from golden.catalogue import (
    PARAMETERIZATIONS,
    data_of,
    far_data,
    funnels,
    models,
    small_data,
)
from stanpool.data.compression.integrated_rows import root_of_scale
from stanpool.engine.values.draws import NamedDraws
from stanpool.engine.values.program import StanProgram
from stanpool.model.pilot.centering import Centering
from stanpool.posterior.labelled_draws import build_posterior
from stanpool.posterior.recenter import uncenter_posterior
from statistical.densities import (
    Point,
    Varying,
    log_density,
    random_point,
    stan_parameters,
)
from statistical.evaluation import Evaluator

POINTS = 6
Evaluate = Callable[..., dict[str, np.ndarray]]
# Compiled by default, each kind once; with --slow all are. stanli has all of them in
# golden/test_densities_agree.py.
COMPILED = (
    "complete_pooling_gaussian",
    "partial_pooling_bernoulli_adaptive",
    "partial_pooling_gaussian_marginal_correlated",
    "partial_pooling_gaussian_se_marginal_integrated_integrated_plain",
    "partial_pooling_ordinal_noncentered_correlated",
    "partial_pooling_poisson_adaptive_correlated_group_predictors_nested",
)


@pytest.fixture(scope="session")
def compiled(request: pytest.FixtureRequest) -> Evaluator:
    """Evaluate compiled programs; those of all tests are compiled together."""
    chosen = [
        parameter
        for item in request.session.items
        if "evaluate" in getattr(item, "fixturenames", ())
        and not item.get_closest_marker("skip")
        and (request.config.getoption("--slow") or item.get_closest_marker("compiled"))
        if hasattr(item, "callspec")
        for parameter in item.callspec.params.values()
    ]
    return Evaluator(_programs(chosen))


@pytest.fixture
def evaluate(request: pytest.FixtureRequest) -> Evaluate:
    """Evaluate programs by the engine that fits of the test have."""
    if os.environ["STANPOOL_ENGINE"] == "cmdstan":
        return request.getfixturevalue("compiled")
    return interpreted.evaluate


def _programs(parameters: Any) -> Iterator[StanProgram]:
    """Find the programs among the parameters of tests."""
    for each in parameters:
        if isinstance(each, tuple):
            yield from _programs(each)
        elif isinstance(each, sp.Model):
            yield each.program
        elif isinstance(each, StanProgram):
            yield each


def small_model(formula: str, **options: Any) -> sp.Model:
    return sp.Model(formula, small_data(), **options)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            model,
            id=name,
            marks=pytest.mark.compiled if name in COMPILED else pytest.mark.slow,
        )
        for name, model in models().items()
        if model.spec.family != "categorical"
    ],
)
def test_log_density_is_that_of_the_textbook(
    model: sp.Model, evaluate: Evaluate
) -> None:
    assert_densities_agree(model, evaluate)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            small_model(formula, parameterization=parameterization),
            id=f"{formula}-{parameterization}",
        )
        for formula in (
            "y ~ 1 + (1 | g)",  # no predictors at all
            "y ~ x1 + (1 + x2 || g)",  # x2 varies around zero
            "y ~ x1 + (0 + x1 | g)",  # a varying slope, a common intercept
            "y ~ x1 + x2 + (x2 + x1 || g)",  # not in the order of the population
            "y ~ 0 + x1 + (1 | g)",
        )
        for parameterization in PARAMETERIZATIONS
    ],
)
def test_varying_coefficients_have_the_means_of_the_population(
    model: sp.Model, evaluate: Evaluate
) -> None:
    assert_densities_agree(model, evaluate)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            small_model(f"{outcome} ~ 1 + (1 | g)", family=family, **options),
            id="-".join((family, *options.values())),
        )
        for family, outcome, options in (
            ("bernoulli", "win", {"pooling": "complete"}),
            ("bernoulli", "win", {"pooling": "none"}),
            ("bernoulli", "win", {"parameterization": "noncentered"}),
            ("binomial", "hits | trials(shots)", {"pooling": "none"}),
            ("binomial", "hits | trials(shots)", {"parameterization": "noncentered"}),
            ("poisson", "count", {"pooling": "complete"}),
            ("poisson", "count", {"parameterization": "centered"}),
            ("negative_binomial", "count", {"pooling": "complete"}),
            ("ordinal", "grade", {"pooling": "none"}),
        )
    ],
)
def test_without_predictors_the_data_still_count(
    model: sp.Model, evaluate: Evaluate
) -> None:
    """Stan's fused binomial_logit_glm of no predictors is 0, whatever the outcome."""
    assert not model.design.coefficients
    assert_densities_agree(model, evaluate)


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            small_model(
                "y ~ x1 + x2 + (1 + x2 || g)",
                pooling=pooling,
                center_predictors=False,
                priors={"Intercept": "normal(3, 0.1)"},
            ),
            id=pooling,
        )
        for pooling in ("complete", "none", "partial")
    ],
)
def test_uncentered_predictors_put_the_prior_on_the_intercept_at_zero(
    model: sp.Model, evaluate: Evaluate
) -> None:
    assert_densities_agree(model, evaluate)


def test_no_pooling_of_slopes_only_keeps_the_intercept_common() -> None:
    data = small_data()
    model = sp.Model("y ~ x1 + x2 + (0 + x2 | g)", data, pooling="none")
    assert model.design.intercept
    assert model.design.coefficients == ("x1",)


@pytest.mark.parametrize(
    "forms",
    [
        pytest.param(
            tuple(
                small_model(f"y ~ x1 + x2 + (1 + x2 {bar} g)", parameterization=each)
                for each in PARAMETERIZATIONS
            ),
            id=bar,
        )
        for bar in ("|", "||")
    ],
)
def test_parameterizations_differ_by_the_jacobian_alone(
    forms: tuple[sp.Model, ...], evaluate: Evaluate
) -> None:
    centered, noncentered = forms
    rng, gaps = np.random.default_rng(7), []
    for _ in range(POINTS):
        at = random_point(centered, rng)
        scales = np.linalg.det(at.first.chol)
        gap = stan_log_prob(noncentered, at, evaluate)
        gap -= stan_log_prob(centered, at, evaluate)
        gaps.append(gap - len(at.first.b) * np.log(scales))
    assert np.ptp(gaps) < 1e-8


@pytest.mark.parametrize(
    "forms",
    [
        pytest.param(
            tuple(
                small_model(
                    f"y ~ x1 + x2 + (1 + x2 {bar} g)",
                    parameterization=each,
                    center_predictors=False,
                )
                for each in (*PARAMETERIZATIONS, "adaptive")
            ),
            id=bar,
        )
        for bar in ("|", "||")
    ],
)
def test_weights_at_both_ends_are_the_centered_and_the_noncentered_form(
    forms: tuple[sp.Model, ...], evaluate: Evaluate
) -> None:
    centered, noncentered, adaptive = map(copy, forms)
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
                replace(ends, z_scale=np.broadcast_to(ends.z_scale, shape)),
            )
            found = evaluate(adaptive.program, adaptive.stan_data(), parameters)
            gaps[end].append(found["lp__"] - stan_log_prob(form, at, evaluate))
    assert np.ptp(gaps[0]) < 1e-8
    assert np.ptp(gaps[1]) < 1e-8


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(model, id=name)
        for name, model in models().items()
        if "nested" in name and model.spec.family != "categorical"
    ],
)
def test_coefficients_of_groups_within_groups_are_what_is_drawn(
    model: sp.Model, evaluate: Evaluate
) -> None:
    model, rng = partly_centered(model), np.random.default_rng(3)
    at = random_point(model, rng)
    parameters = stan_parameters(model, small_data(), at)
    draw = evaluate(model.program, model.stan_data(), parameters)
    for number, each in enumerate(at.factors, 1):
        found = draw["b" if number == 1 else f"b_{number}"]
        np.testing.assert_allclose(found, each.b, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    "model",
    [
        small_model(
            "win ~ x1 + (1 + x1 | g) + (1 | h)",
            family="bernoulli",
            parameterization="adaptive",
        )
    ],
    ids=["bernoulli"],
)
def test_groups_that_know_a_mean_best_are_centered_about_it(
    model: sp.Model, evaluate: Evaluate
) -> None:
    """The mean of the intercepts belongs to g, whose groups know less of it."""
    model, rng = copy(model), np.random.default_rng(14)
    weights = [rng.uniform(0.1, 0.4, (4, 2)), rng.uniform(0.6, 0.9, (3, 1))]
    model.__dict__["centering"] = tuple(
        Centering.of(w, np.ones(w.shape[1])) for w in weights
    )
    told = model.stan_data()
    assert (told["mean_index"].tolist(), told["mean_index_2"].tolist()) == ([2, 3], [1])
    assert (told["center_index"].tolist(), told["center_index_2"].tolist()) == (
        [1, 3],
        [2],
    )
    assert_densities_agree(model, evaluate)


@pytest.mark.parametrize(
    "poolings",
    [
        tuple(
            small_model("y ~ x1 + x2 + (1 + x2 || g)", **options)
            for options in (
                {"parameterization": "noncentered"},
                {"pooling": "complete"},
            )
        )
    ],
    ids=["partial-complete"],
)
def test_vanishing_scales_are_complete_pooling(
    poolings: tuple[sp.Model, ...], evaluate: Evaluate
) -> None:
    partial, complete = poolings
    rng, gaps = np.random.default_rng(8), []
    z = rng.normal(size=(4, 2))
    for _ in range(POINTS):
        at = random_point(partial, rng)
        parameters = stan_parameters(partial, small_data(), at)
        parameters |= {"tau": np.full(2, 1e-12), "z": z}
        pooled = evaluate(partial.program, partial.stan_data(), parameters)
        gaps.append(pooled["lp__"] - stan_log_prob(complete, at, evaluate))
    assert np.ptp(gaps) < 1e-8


@pytest.mark.parametrize(
    "poolings",
    [
        tuple(
            small_model("y ~ x1 + x2 + (1 + x2 || g)", **options)
            for options in (
                {"parameterization": "centered"},
                {"pooling": "none", "priors": {"b_g": "normal(0, 1e6)"}},
            )
        )
    ],
    ids=["partial-none"],
)
def test_endless_scales_are_no_pooling(
    poolings: tuple[sp.Model, ...], evaluate: Evaluate
) -> None:
    partial, none = poolings
    rng, gaps = np.random.default_rng(9), []
    first = random_point(partial, rng)
    for _ in range(POINTS):
        at = random_point(partial, rng)
        # What the groups' coefficients do not replace stays where it is.
        own = Varying(np.full(2, 1e6), np.eye(2), at.first.b)
        there = Point(first.intercept, first.beta, at.sigma, (own,))
        apart = Point(0.0, first.beta[:1], at.sigma, (own,))
        gap = stan_log_prob(partial, there, evaluate)
        gaps.append(gap - stan_log_prob(none, apart, evaluate))
    assert np.ptp(gaps) < 1e-8


def test_groups_that_are_alike_have_the_density_of_all(evaluate: Evaluate) -> None:
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
    assert len(model.stan_data()["n_groups"]) < 12
    gaps = []
    for _ in range(POINTS):
        at = random_point(model, rng)
        parameters = stan_parameters(model, data, at)
        found = evaluate(model.program, model.stan_data(), parameters)
        gaps.append(found["lp__"] - log_density(model, data, at))
    assert np.ptp(gaps) < 1e-8


def test_units_and_centers_of_the_data_cost_the_marginal_form_no_accuracy(
    evaluate: Evaluate,
) -> None:
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
        # Scales and correlations are those at the center of x1, 5000.
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
            seen["tau_root"] = root_of_scale(seen["tau"], model.stan_data()["tau_unit"])
            found = evaluate(model.program, model.stan_data(), seen)
            densities.append(found["lp__"])
        gaps.append(densities[1] - densities[0])
    assert np.ptp(gaps) < 1e-7


@pytest.mark.parametrize("shift", [10.0, 1000.0])
@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            sp.Model(formula, far_data(), parameterization=each), id=f"{formula}-{each}"
        )
        for formula in ("y ~ x1 + u + (1 + x1 || g)",)
        for each in (*PARAMETERIZATIONS, "adaptive", "marginal")
    ],
)
def test_deviations_are_uncorrelated_where_predictors_are_0(
    model: sp.Model, shift: float, evaluate: Evaluate
) -> None:
    """However far they are from there, and whatever is sampled."""
    data, rng, gaps = far_data(shift), np.random.default_rng(13), []
    model = sp.Model.from_spec(model.spec, data)
    assert model.design.centers == (("x1", shift),)
    small = np.array([1.0, 1 / shift])  # so that lines are near the data
    for _ in range(POINTS):
        at = random_point(model, rng)
        own = replace(at.first, tau=at.first.tau * small, b=at.first.b * small)
        at = replace(at, beta=at.beta * [1 / shift, 1.0], factors=(own,))
        found = stan_log_prob(model, at, evaluate, data)
        gaps.append(found - log_density(model, data, at))
        if model.parameterization != "marginal":
            assert_draws_lead_back(model, data, at, evaluate)
    assert np.ptp(gaps) < 1e-8 * shift


@pytest.mark.parametrize("program", funnels().values(), ids=list(funnels()))
def test_neals_funnel_is_neals(program: StanProgram, evaluate: Evaluate) -> None:
    rng, gaps = np.random.default_rng(10), []
    for _ in range(POINTS):
        v, x = rng.normal(0, 3), rng.normal(size=9)
        parameters = {"v": v, "x": x, "z": x / np.exp(v / 2)}
        wanted = (
            stats.norm.logpdf(v, 0, 3) + stats.norm.logpdf(x, 0, np.exp(v / 2)).sum()
        )
        if "noncentered" in program.name:
            wanted += 9 * v / 2
        found = evaluate(program, {"D": 9, "scale": 3}, parameters)
        gaps.append(found["lp__"] - wanted)
    assert np.ptp(gaps) < 1e-8


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(models()[name], id=name)
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
def test_what_is_derived_from_parameters_leads_back_to_them(
    model: sp.Model, evaluate: Evaluate
) -> None:
    """Intercepts at zero and full coefficients, of draws, give what Stan declares."""
    rng = np.random.default_rng(14)
    for _ in range(POINTS):
        given = stan_parameters(model, small_data(), random_point(model, rng))
        draw = evaluate(model.program, model.stan_data(), given)
        at = point_of(draw, model)
        declared = stan_parameters(model, small_data(), at)
        for each in declared.keys() & draw.keys():
            np.testing.assert_allclose(declared[each], draw[each], rtol=1e-9, atol=1e-9)
        for end in ("", "_2"):
            if f"Omega{end}" in draw:
                chol = draw[f"L_Omega{end}"]
                np.testing.assert_allclose(draw[f"Omega{end}"], chol @ chol.T)


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


def assert_densities_agree(model: sp.Model, evaluate: Evaluate) -> None:
    data, rng = data_of(model), np.random.default_rng(6)
    if model.parameterization == "adaptive":
        model = partly_centered(model)
    points = [random_point(model, rng) for _ in range(POINTS)]
    found = np.array([stan_log_prob(model, at, evaluate) for at in points])
    wanted = np.array([log_density(model, data, at) for at in points])
    tall = np.abs(wanted).max() if model.structure.standardized else 0.0
    # Rows that count 5000 times make covariances that lose six digits to NumPy.
    assert np.ptp(found - wanted) < max(1e-8, 1e-10 * tall)


def partly_centered(model: sp.Model) -> sp.Model:
    """Return a model whose groups are centered as far as chance says.

    Of few rows, those of the catalogue, all would be noncentered.
    """
    rng, model = np.random.default_rng(7), copy(model)
    model.__dict__["centering"] = tuple(
        Centering.of(
            rng.uniform(size=each.centeredness.shape),
            rng.uniform(0.5, 2.0, size=each.tau.shape),
            each.uncenter,
        )
        for each in model.centering
    )
    return model


def assert_draws_lead_back(
    model: sp.Model, data: pd.DataFrame, at: Point, evaluate: Evaluate
) -> None:
    """What users see of a draw are the coefficients where predictors are 0."""
    draw = evaluate(model.program, model.stan_data(), stan_parameters(model, data, at))
    labelled = NamedDraws({name: each[None, None] for name, each in draw.items()})
    seen = uncenter_posterior(
        model, build_posterior(labelled, model.design, model.structure)
    )
    for name, wanted in (
        ("Intercept", at.intercept),
        ("beta", at.beta),
        ("b_g", at.first.b),
        ("tau_g", at.first.tau),
    ):
        found = seen[name].to_numpy()[0, 0]
        np.testing.assert_allclose(found, wanted, rtol=1e-8, atol=1e-8)


def stan_log_prob(
    model: sp.Model,
    at: Point,
    evaluate: Evaluate,
    data: pd.DataFrame | None = None,
) -> float:
    data = data_of(model) if data is None else data
    parameters = stan_parameters(model, data, at)
    # The log of sigma is a parameter in its place, and has its density.
    jacobian = np.log(at.sigma) if model.structure.standardized else 0.0
    parameters["log_sigma"] = np.log(at.sigma)
    found = evaluate(model.program, model.stan_data(), parameters)
    return float(found["lp__"]) - jacobian
