"""Pathfinder on normal distributions, which it should find."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from stanpool.base.errors import SamplingError
from stanpool.engine.interpreter.child import _path
from stanpool.engine.interpreter.pathfinder import CHANGE, HISTORY, pathfinder

K = 5
_root = np.random.default_rng(3).standard_normal((K, K))
COVARIANCE = _root @ _root.T + np.diag([0.1, 1, 4, 9, 0.5])
PRECISION = np.linalg.inv(COVARIANCE)
MEAN = np.array([3.0, -1.0, 0.0, 10.0, 100.0])


def normal(at: np.ndarray) -> tuple[float, np.ndarray]:
    away = at - MEAN
    return -0.5 * float(away @ PRECISION @ away), -PRECISION @ away


def many(points: np.ndarray) -> np.ndarray:
    return np.array([normal(each)[0] for each in points])


def path_of(density: Any, start: np.ndarray) -> np.ndarray:
    model = SimpleNamespace(log_prob_grad=density)
    return np.stack(_path(model, start, HISTORY, CHANGE))


def test_the_path_ends_at_the_mode_with_its_gradients() -> None:
    points, gradients = path_of(normal, np.zeros(K))
    np.testing.assert_allclose(points[-1], MEAN, atol=1e-3)
    for at, gradient in zip(points, gradients, strict=True):
        np.testing.assert_allclose(gradient, normal(at)[1])
    np.testing.assert_array_equal(points[0], np.zeros(K))


def test_points_outside_of_the_support_are_avoided() -> None:
    refused = []

    def straight(at: np.ndarray) -> tuple[float, np.ndarray]:
        """Return a density so straight that steps become too long."""
        if abs(at[0]) > 10.5:
            refused.append(at)
            raise RuntimeError("outside")
        root = np.sqrt(1 + at**2)
        return -float(root[0]), -at / root

    points, _ = path_of(straight, np.array([-10.0]))
    assert refused
    np.testing.assert_allclose(points[-1], 0, atol=1e-3)


def test_a_normal_distribution_is_found() -> None:
    starts = np.random.default_rng(1).uniform(-2, 2, (3, K))
    paths = [path_of(normal, start) for start in starts]
    rng = np.random.default_rng(2)
    points, log_q, path = pathfinder(many, paths, draws=4000, rng=rng)
    assert points.shape == (12_000, K)
    np.testing.assert_array_equal(np.bincount(path), [4000] * 3)
    log_p = multivariate_normal(MEAN, COVARIANCE).logpdf(points)
    # The log density of the approximation is complete: ratios average to 1.
    ratio = np.exp(log_p - log_q)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio))
    weights = ratio / ratio.sum()
    effective = 1 / np.square(weights).sum()
    assert effective > 3000
    error = np.sqrt(np.diag(COVARIANCE) / effective)
    assert (np.abs(weights @ points - MEAN) < 5 * error).all()


def test_no_approximation_is_an_error_that_says_what_to_do() -> None:
    at_once = np.stack([np.zeros((1, K)), np.ones((1, K))])
    with pytest.raises(SamplingError, match=r"pathfinder found no approximation.*nuts"):
        pathfinder(many, [at_once], draws=10, rng=np.random.default_rng(1))
