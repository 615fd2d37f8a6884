"""Quantiles are those of NumPy, of any shape and of draws that went astray."""

from __future__ import annotations

import numpy as np
import pytest

from stanpool.posterior.intervals import describe, quantiles

LEVELS = (0.05, 0.5, 0.975)


@pytest.mark.parametrize("shape", [(1,), (2, 3), (7, 2, 3), (4000, 5)])
def test_they_are_numpys(shape: tuple[int, ...]) -> None:
    draws = np.random.default_rng(1).normal(size=shape)
    expected = np.quantile(draws, LEVELS, axis=0)
    np.testing.assert_allclose(quantiles(draws, LEVELS), expected, rtol=1e-13)
    ties = draws.round()
    expected = np.quantile(ties, LEVELS, axis=0)
    np.testing.assert_allclose(quantiles(ties, LEVELS), expected, rtol=1e-13)


def test_draws_are_left_as_they_are() -> None:
    draws = np.array([[3.0], [1.0], [2.0]])
    assert describe(draws)["median"] == 2.0
    assert draws.ravel().tolist() == [3.0, 1.0, 2.0]


def test_draws_that_went_astray() -> None:
    inf, nan = np.inf, np.nan
    draws = np.array([[1, inf, nan, -inf], [2, inf, 1, 0], [inf, inf, 2, inf]])
    found = quantiles(draws, (0.0, 0.5, 0.75))
    expected = [[1, inf, nan, -inf], [2, inf, nan, 0], [inf, inf, nan, inf]]
    np.testing.assert_array_equal(found, expected)
