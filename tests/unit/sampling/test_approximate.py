"""Draws of an approximation become draws of the posterior where its tail allows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stanpool.engine.values.draws import Proposals
from stanpool.engine.values.settings import SampleSettings
from stanpool.sampling.approximate import chosen_draws, largest_k, stratified

DRAWS = 4000


def settings(method: Any = "laplace", draws: int = DRAWS) -> SampleSettings:
    return SampleSettings(chains=1, draws=draws, warmup=0, seed=1, method=method)


def proposals(log_p: np.ndarray, log_q: np.ndarray, path: Any = None) -> Proposals:
    """Return proposals whose draws are their places."""
    path = np.zeros(len(log_p), dtype=np.intp) if path is None else path
    take: Any = lambda places: places  # noqa: E731
    return Proposals(log_p, log_q, path, take)


def exponential(rate: float) -> tuple[np.ndarray, Proposals]:
    """Return draws of Exp(1) as proposals for Exp(rate): Pareto k is 1 - rate."""
    x = np.random.default_rng(1).exponential(size=DRAWS)
    return x, proposals(-rate * x, -x)


def test_the_tail_of_the_ratios_is_measured_and_corrected() -> None:
    # exp((1 - rate) x) is a Pareto variable of shape 1 / (1 - rate).
    x, found = exponential(0.7)
    places, approximation = chosen_draws(found, settings())
    assert approximation.is_good
    assert approximation.is_weighted
    assert abs(approximation.pareto_k - 0.3) < 0.1
    sd = (1 / 0.7) / np.sqrt(approximation.effective)
    assert abs(x[np.asarray(places)].mean() - 1 / 0.7) < 4 * sd
    assert abs(x.mean() - 1 / 0.7) > 4 * sd
    # E w^2 of w = 0.7 exp(0.3 x) is 0.49 / 0.4.
    np.testing.assert_allclose(approximation.effective, DRAWS * 0.4 / 0.49, rtol=0.05)


def test_a_tail_that_is_too_heavy_leaves_the_draws_as_they_are() -> None:
    _, found = exponential(0.1)
    places, approximation = chosen_draws(found, settings())
    assert not approximation.is_good
    assert not approximation.is_weighted
    assert abs(approximation.pareto_k - 0.9) < 0.15
    np.testing.assert_array_equal(np.asarray(places), np.arange(DRAWS))
    assert approximation.limit == 0.7


def test_of_several_the_best_approximation_is_taken_where_none_can_be_corrected() -> (
    None
):
    x = np.random.default_rng(1).exponential(size=DRAWS)
    path = np.repeat([0, 1], DRAWS // 2)
    # Paths are compared by the mean of their log ratios.
    log_p = -0.1 * x - np.where(path == 0, 5.0, 0.0)
    places, approximation = chosen_draws(proposals(log_p, -x, path), settings())
    assert not approximation.is_good
    assert set(path[np.asarray(places)]) == {1}
    assert len(np.asarray(places)) == DRAWS


def test_an_exact_approximation_keeps_every_draw_once() -> None:
    x = np.random.default_rng(1).standard_normal(DRAWS)
    found = proposals(-0.5 * x**2 + 7.0, -0.5 * x**2)
    places, approximation = chosen_draws(found, settings())
    assert approximation.pareto_k <= 0
    np.testing.assert_allclose(approximation.effective, DRAWS, rtol=1e-6)
    np.testing.assert_array_equal(np.sort(places), np.arange(DRAWS))
    assert (np.asarray(places) != np.arange(DRAWS)).any()  # chosen, and shuffled


def test_draws_around_the_mode_are_not_weighted() -> None:
    _, found = exponential(0.7)
    places, approximation = chosen_draws(found, settings("optimize"))
    assert approximation.is_good
    assert not approximation.is_weighted
    np.testing.assert_array_equal(np.asarray(places), np.arange(DRAWS))


def test_the_limit_is_that_of_vehtari_et_al() -> None:
    assert largest_k(100) == pytest.approx(1 - 1 / 2)
    assert largest_k(2200) == pytest.approx(0.7, abs=1e-3)
    assert largest_k(10**6) == 0.7


def test_stratified_draws_occur_as_often_as_their_weights_say() -> None:
    rng = np.random.default_rng(1)
    weights = rng.gamma(0.5, size=300)
    counts = np.bincount(stratified(weights, 1000, rng), minlength=300)
    expected = 1000 * weights / weights.sum()
    assert np.abs(counts - expected).max() < 2
    assert counts.sum() == 1000
