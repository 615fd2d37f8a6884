"""The test of uniformity against all cases there are, and against simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from stanpool.inference.evaluation.uniformity import (
    counts_below,
    uniformity_bands,
    uniformity_p_values,
)


def least_tail(ranks: tuple[int, ...], draws: int) -> float:
    """The smallest two-sided probability of a count of ranks below a cut."""
    tails = []
    for cut in range(1, draws + 1):
        below = sum(rank < cut for rank in ranks)
        binomial = stats.binom(len(ranks), cut / (draws + 1))
        tails.append(2 * min(binomial.cdf(below), binomial.sf(below - 1)))
    return min(tails)


@pytest.mark.parametrize(("simulations", "draws"), [(1, 3), (3, 2), (4, 4), (6, 2)])
def test_p_values_are_shares_of_all_cases(simulations: int, draws: int) -> None:
    cases = list(product(range(draws + 1), repeat=simulations))
    tails = np.array([least_tail(case, draws) for case in cases])
    expected = [np.mean(tails <= tail * (1 + 1e-9)) for tail in tails]
    found = uniformity_p_values(np.array(cases).T, draws)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_bands_hold_all_of_the_ecdf_as_often_as_they_say(level: float) -> None:
    draws, simulations = 4, 6
    lower, upper = uniformity_bands(simulations, draws, level)
    cases = np.array(list(product(range(draws + 1), repeat=simulations))).T
    shares = counts_below(cases, draws) / simulations
    inside = (shares >= lower[:, None]) & (shares <= upper[:, None])
    assert inside.all(axis=0).mean() >= level
    # and no more than they must: p-values say the same
    p_values = uniformity_p_values(cases, draws)
    np.testing.assert_array_equal(inside.all(axis=0), p_values > 1 - level)


def test_hundreds_of_uniform_ranks_have_uniform_p_values() -> None:
    ranks = np.random.default_rng(1).integers(0, 100, size=(200, 1000))
    p_values = uniformity_p_values(ranks, 99)
    for level in (0.05, 0.2, 0.5):
        count = int((p_values <= level).sum())
        assert stats.binomtest(count, 1000, level).pvalue > 1e-4


def test_a_thousand_ranks_at_one_end_are_not_uniform() -> None:
    ranks = np.zeros((1000, 1), dtype=int)
    assert uniformity_p_values(ranks, 99)[0] < 1e-12


def test_counts_are_of_ranks_strictly_below() -> None:
    ranks = np.array([[0], [1], [1], [3]])
    np.testing.assert_array_equal(counts_below(ranks, 3)[:, 0], [1, 3, 3])
