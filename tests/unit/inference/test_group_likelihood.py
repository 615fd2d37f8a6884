"""Groups' coefficients integrated out of the likelihood, against dense matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import log_softmax

import stanpool as sp
from golden.catalogue import models, small_data
from simulated_fits import fit_of_draws, fit_of_points
from stanpool.data.likelihood import log_likelihood
from stanpool.inference.prediction.integrated.group_likelihood import (
    group_log_likelihood,
    grouping,
    new_group_predictors,
)
from stanpool.language.family import FAMILIES
from statistical import densities


def at_the_population(model: sp.Model, point: densities.Point, without: set[int]):
    """Put the groups of some factors at their means."""
    factors = tuple(
        replace(
            own,
            b=np.broadcast_to(
                densities.group_means(model, small_data(), point, number), own.b.shape
            ),
        )
        if number in without
        else own
        for number, own in enumerate(point.factors)
    )
    return replace(point, factors=factors)


def dense_log_likelihoods(
    model: sp.Model, point: densities.Point, factor: int, inside: set[int]
) -> list[float]:
    """Log densities of each group's rows: multivariate normal, from the textbook."""
    data, design = small_data(), model.design
    middle = at_the_population(model, point, inside)
    mean = densities.linear_predictor(model, data, middle)
    learned = point.sigma if model.spec.has_sigma else 0.0
    if design.residual is not None:
        learned = point.sigmas[design.residual.index]
    known = 0.0 if design.se is None else design.se
    covariance = np.diag(np.broadcast_to(known**2 + learned**2, len(data)) * 1.0)
    for number in inside:
        own, side = point.factors[number], design.factors[number]
        same = side.index[:, None] == side.index
        covariance += same * (side.Z @ own.chol @ own.chol.T @ side.Z.T)
    index = design.factors[factor].index
    return [
        stats.multivariate_normal.logpdf(
            design.y[index == group],
            mean[index == group],
            covariance[np.ix_(index == group, index == group)],
        )
        for group in range(index.max() + 1)
    ]


GAUSSIAN = [
    "partial_pooling_gaussian_noncentered_correlated",
    "partial_pooling_gaussian_centered",
    "partial_pooling_gaussian_se_noncentered_correlated",
    "partial_pooling_gaussian_se_sigma_adaptive",
    "partial_pooling_gaussian_noncentered_correlated_group_predictors_pooled_sigma",
    "partial_pooling_gaussian_noncentered_correlated_plain",
]


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gaussian_groups_are_multivariate_normal(name: str) -> None:
    fit, points = fit_of_points(models()[name])
    found = group_log_likelihood(fit)
    expected = [dense_log_likelihoods(fit.model, at, 0, {0}) for at in points]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_coefficients_of_crossed_factors_are_those_of_the_draw() -> None:
    model = models()["partial_pooling_gaussian_noncentered_correlated_plain"]
    fit, points = fit_of_points(model)
    found = group_log_likelihood(fit, "h")
    expected = [dense_log_likelihoods(model, at, 1, {1}) for at in points]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_nested_factors_are_integrated_out_with_the_group() -> None:
    data = small_data()
    data["part"] = [f"{g}{n % 2}" for n, g in enumerate(data["g"])]
    model = sp.Model("y ~ x1 + (1 + x1 | g) + (1 | part)", data)
    fit, points = fit_of_points(model)
    found = group_log_likelihood(fit, "g")
    point, design = points[0], model.design
    middle = at_the_population_of(model, data, point)
    covariance = point.sigma**2 * np.eye(len(data))
    for own, side in zip(point.factors, design.factors, strict=True):
        same = side.index[:, None] == side.index
        covariance += same * (side.Z @ own.chol @ own.chol.T @ side.Z.T)
    for group in range(4):
        rows = np.flatnonzero(design.group_index == group)
        expected = stats.multivariate_normal.logpdf(
            design.y[rows], middle[rows], covariance[np.ix_(rows, rows)]
        )
        assert found[0, group] == pytest.approx(expected, rel=1e-9)


def at_the_population_of(
    model: sp.Model, data: pd.DataFrame, point: densities.Point
) -> np.ndarray:
    return np.asarray(
        point.intercept + point.beta[0] * data["x1"].to_numpy(), dtype=float
    )


@pytest.mark.parametrize(
    "name",
    [
        "partial_pooling_bernoulli_noncentered",
        "partial_pooling_binomial_noncentered_correlated",
        "partial_pooling_poisson_noncentered_correlated",
        "partial_pooling_ordinal_noncentered_correlated",
        "partial_pooling_student_t_noncentered_correlated",
        "partial_pooling_gaussian_censored_adaptive",
    ],
)
def test_other_families_are_an_average_over_the_population(name: str) -> None:
    """By plain Monte Carlo: rows given coefficients that the population draws."""
    fit, points = fit_of_points(models()[name], chains=1, draws=2, seed=4)
    model, design = fit.model, fit.model.design
    found = group_log_likelihood(fit)
    rng, compared = np.random.default_rng(1), 0
    for s, point in enumerate(points):
        middle = densities.linear_predictor(
            model, small_data(), at_the_population(model, point, {0})
        )
        side, chol = design.factors[0], point.first.chol
        u = rng.standard_normal((20_000, len(side.labels), len(chol))) @ chol.T
        eta = middle + np.einsum("snq,nq->sn", u[:, side.index], side.Z)
        names = FAMILIES[model.spec.family].parameter_names
        parameters = {each: getattr(point, each) for each in names}
        rows = log_likelihood(model.spec, design, eta, parameters)
        for group in range(4):
            own = rows[:, side.index == group].sum(axis=1)
            weights = np.exp(own - own.max())
            expected = own.max() + np.log(weights.mean())
            error = weights.std() / weights.mean() / len(own) ** 0.5
            if error < 0.1:  # of no use where few draws have all the weight
                assert abs(found[s, group] - expected) < max(5 * error, 1e-4), group
                compared += 1
    assert compared >= 6  # of 4 groups at 2 points


def test_categories_are_an_average_over_the_population() -> None:
    data = small_data()
    model = sp.Model("colour ~ x1 + (1 | g)", data, family="categorical")
    rng = np.random.default_rng(3)
    tau, rho = np.array([0.8, 1.3]), 0.4
    fit = fit_of_draws(
        model,
        {
            "alpha": np.array([[[0.3, -0.2]]]),
            "beta": np.array([[[[0.5, -0.4]]]]),
            "tau": tau[None, None],
            "Omega": np.array([[[[1, rho], [rho, 1]]]]),
            "b": rng.normal(size=(1, 1, 4, 2)),
        },
    )
    found = group_log_likelihood(fit)
    covariance = [[tau[0] ** 2, rho * tau.prod()], [rho * tau.prod(), tau[1] ** 2]]
    u = rng.multivariate_normal([0, 0], covariance, size=(200_000, 4))
    index, x = model.design.group_index, data["x1"].to_numpy()
    for group in range(4):
        total = np.zeros(len(u))
        for row in np.flatnonzero(index == group):
            eta = np.array([0.3, -0.2]) + x[row] * np.array([0.5, -0.4]) + u[:, group]
            logits = np.column_stack([np.zeros(len(u)), eta])
            total += log_softmax(logits, axis=1)[:, model.design.y[row]]
        weights = np.exp(total)
        error = weights.std() / weights.mean() / len(u) ** 0.5
        assert abs(found[0, group] - np.log(weights.mean())) < max(5 * error, 1e-4)
    units = grouping(model)
    drawn = new_group_predictors(fit, units, rng)(units.rows[0], np.zeros(50_000, int))
    assert drawn.shape == (50_000, 5, 2)
    np.testing.assert_allclose(np.cov(drawn[:, 0].T), covariance, rtol=0.06)


def test_complete_pooling_adds_the_rows_up() -> None:
    model = sp.Model("y ~ x1 + (1 | g)", small_data(), pooling="complete")
    fit, points = fit_of_points(model)
    found = group_log_likelihood(fit)
    y, index = model.design.y, pd.factorize(small_data()["g"], sort=True)[0]
    for s, at in enumerate(points):
        rows = stats.norm.logpdf(
            y, at.intercept + at.beta[0] * small_data()["x1"], at.sigma
        )
        np.testing.assert_allclose(found[s], np.bincount(index, rows), rtol=1e-10)


def test_new_groups_have_the_populations_mean_and_covariance() -> None:
    model = sp.Model("y ~ x1 + (1 + x1 | g)", small_data())
    fit, points = fit_of_points(model, chains=1, draws=1)
    draws = 20_000
    units = grouping(model)
    rows = units.rows[1]
    predict = new_group_predictors(fit, units, np.random.default_rng(1))
    eta = predict(rows, np.zeros(draws, dtype=int))
    middle = points[0].intercept + points[0].beta[0] * small_data()["x1"][rows]
    own, Z = points[0].first, model.design.factors[0].Z[rows]
    covariance = Z @ own.chol @ own.chol.T @ Z.T
    error = np.sqrt(np.diag(covariance) / draws)
    assert (np.abs(eta.mean(axis=0) - middle) < 5 * error).all()
    np.testing.assert_allclose(np.cov(eta.T), covariance, rtol=0.06, atol=0.02)


def test_what_has_no_groups_or_no_population_is_refused() -> None:
    data = small_data()
    fit, _ = fit_of_points(sp.Model("y ~ x1 + (1 | g)", data, pooling="none"))
    with pytest.raises(sp.SpecError, match="no population"):
        group_log_likelihood(fit)
    with pytest.raises(sp.SpecError, match="no groups"):
        grouping(sp.Model("y ~ x1", data, pooling="complete"))
    model = sp.Model("y ~ x1 + (1 | g) + (1 | mm(h, g_2))", data)
    with pytest.raises(sp.SpecError, match="members of several"):
        grouping(model, model.design.factors[1].factor)
    with pytest.raises(sp.SpecError, match="not one of the model's grouping factors"):
        grouping(model, "gg")


def test_a_correlation_of_one_is_no_obstacle() -> None:
    model = sp.Model("y ~ x1 + (1 + x1 | g)", small_data())
    fit, _ = fit_of_points(model)
    before = group_log_likelihood(fit)
    posterior = fit.posterior
    posterior["Omega_g"][0, 0] = 1.0
    tree = fit.tree.copy()
    tree["posterior"] = posterior
    found = group_log_likelihood(replace(fit, tree=tree))
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1:], before[1:], rtol=1e-5)
