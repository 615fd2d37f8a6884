"""Coefficients integrated out, against SciPy's quadrature and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit

from stanpool.inference.prediction.integrated.adaptive_quadrature import (
    gaussian_log_likelihood,
    integrated_log_likelihood,
)


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def cholesky_factors(rng, draws, size):
    wide = rng.normal(size=(draws, size, size + 2))
    return np.linalg.cholesky(wide @ wide.swapaxes(1, 2) / size)


@pytest.mark.parametrize("by_row", [False, True])
def test_gaussian_rows_are_multivariate_normal(rng, by_row):
    draws, rows, size = 3, 6, 2
    Z, chol = rng.normal(size=(rows, size)), cholesky_factors(rng, draws, size)
    residual = rng.normal(size=(draws, rows))
    variance = rng.uniform(0.5, 2, size=(draws, rows if by_row else 1))
    found = gaussian_log_likelihood(residual, variance, Z, chol)
    for s in range(draws):
        noise = np.diag(np.broadcast_to(variance[s], rows))
        covariance = Z @ chol[s] @ chol[s].T @ Z.T + noise
        expected = stats.multivariate_normal.logpdf(residual[s], cov=covariance)
        assert found[s] == pytest.approx(expected, abs=1e-10)


def test_a_scale_of_zero_leaves_the_rows_independent(rng):
    residual, variance = rng.normal(size=(1, 5)), np.array([[1.7]])
    found = gaussian_log_likelihood(
        residual, variance, np.ones((5, 1)), np.zeros((1, 1, 1))
    )
    expected = stats.norm.logpdf(residual, scale=1.7**0.5).sum()
    assert found[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_quadrature_of_gaussian_rows_is_exact(rng, size):
    draws, rows = 4, 7
    Z, chol = rng.normal(size=(rows, size)), cholesky_factors(rng, draws, size)
    y, eta = 3 * rng.normal(size=rows), rng.normal(size=(draws, rows))
    sigma = rng.uniform(0.5, 2, size=(draws, 1))
    found = integrated_log_likelihood(
        lambda at: stats.norm.logpdf(y, at, sigma), eta, Z, chol, step=0.01 * sigma
    )
    expected = gaussian_log_likelihood(y - eta, sigma**2, Z, chol)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_many_dimensions_are_good_to_about_a_percent(rng):
    draws, rows, size = 4, 12, 5
    Z, chol = rng.normal(size=(rows, size)), cholesky_factors(rng, draws, size)
    y, eta = rng.normal(size=rows), rng.normal(size=(draws, rows))
    found = integrated_log_likelihood(
        lambda at: stats.norm.logpdf(y, at), eta, Z, chol, step=0.01
    )
    expected = gaussian_log_likelihood(y - eta, np.ones((1, 1)), Z, chol)
    np.testing.assert_allclose(found, expected, atol=0.02)


FAMILIES = {
    "bernoulli": lambda y, eta: stats.bernoulli.logpmf(y, expit(eta)),
    "poisson": lambda y, eta: stats.poisson.logpmf(y, np.exp(eta)),
    "student_t": lambda y, eta: stats.t.logpdf(y, 4, eta),
}
OUTCOMES = {
    "bernoulli": np.array([1, 1, 0, 1, 1]),
    "poisson": np.array([40, 35, 52, 38, 41]),
    "student_t": np.array([0.1, 0.3, -0.2, 6.0, 0.5]),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("start", [None, -6.0])
def test_one_dimension_is_scipys_quadrature(family, start):
    eta = np.array([[0.2, -0.4, 0.1, 0.6, 0.0], [-1.0, -1.2, -0.9, -1.1, -1.0]])
    Z, tau = np.array([[1.0], [1.0], [0.5], [1.5], [1.0]]), np.array([0.7, 2.0])
    y, log_density = OUTCOMES[family], FAMILIES[family]
    found = integrated_log_likelihood(
        lambda at: log_density(y, at),
        eta,
        Z,
        tau[:, None, None],
        step=1e-2,
        start=None if start is None else np.full((2, 1), start),
    )
    grid = np.linspace(-12, 12, 20_001)
    for s in range(2):
        rows = log_density(y[:, None], eta[s][:, None] + Z * grid)
        log_joint = rows.sum(axis=0) + stats.norm.logpdf(grid, scale=tau[s])
        top = log_joint.max()
        expected = top + np.log(integrate.simpson(np.exp(log_joint - top), x=grid))
        tolerance = 2e-3 if family == "student_t" else 1e-6
        assert found[s] == pytest.approx(expected, abs=tolerance)


def test_two_dimensions_are_a_sum_over_a_grid():
    y = np.array([0, 1, 1, 3, 7])
    x = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
    Z, eta = np.column_stack([np.ones(5), x]), np.full((1, 5), 0.3)
    chol = np.array([[[0.8, 0.0], [0.2, 0.5]]])
    found = integrated_log_likelihood(
        lambda at: stats.poisson.logpmf(y, np.exp(at)), eta, Z, chol, step=1e-2
    )
    side = np.linspace(-6, 6, 601)
    u = np.stack(np.meshgrid(side, side, indexing="ij"), axis=-1)
    rows = stats.poisson.logpmf(y, np.exp(0.3 + u @ Z.T)).sum(axis=-1)
    prior = stats.multivariate_normal.pdf(u, cov=chol[0] @ chol[0].T)
    area = (side[1] - side[0]) ** 2
    expected = np.log((np.exp(rows) * prior).sum() * area)
    assert found[0] == pytest.approx(expected, abs=1e-5)
