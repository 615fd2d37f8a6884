"""Weights of the adaptive form are those of a scale below its estimate."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

import stanpool as sp
from stanpool.model.pilot.centering import centering_of
from stanpool.model.pilot.estimate import GroupEstimate


def test_weights_are_those_of_a_scale_three_standard_errors_below() -> None:
    tau, information = 0.7, np.array([0.0, 0.5, 4.0, 90.0, 1e12])  # of the groups' rows
    left = 1 / (information + 1 / tau**2)
    pilot = GroupEstimate(
        u=np.zeros((5, 1)),
        covariance=left[:, None, None],
        tau=np.array([tau]),
        Omega=np.eye(1),
    )
    determined = np.sum(1 - left / tau**2)
    low = tau * np.exp(-3 / np.sqrt(2 * determined))
    factor = SimpleNamespace(
        coefficients=("Intercept",), uncenter=None, labels=tuple("abcde")
    )
    found = centering_of(factor, pilot)
    wanted = information * low**2 / (1 + information * low**2)
    np.testing.assert_allclose(found.centeredness[:, 0], wanted, rtol=1e-9, atol=1e-11)
    # Units are the standard deviations that are left, of a scale at its estimate.
    np.testing.assert_allclose(found.z_scale[:4, 0], tau * np.sqrt(1 - wanted[:4]))


def test_the_reason_says_whether_marginal_is_impossible_or_slow() -> None:
    rng = np.random.default_rng(4)
    data = {
        "y": rng.normal(size=3000),
        "g": rng.permutation(np.arange(3000) % 1500),
        "h": rng.permutation(np.arange(3000) % 500),
    }
    dense = sp.Model("y ~ 1 + (1 | g) + (1 | h)", data)
    assert (
        "the marginal form would be slower, because the reduced rows" in dense.explain()
    )
    robust = sp.Model("y ~ 1 + (1 | g)", data, family="student_t")
    assert "not available, because the outcome is not gaussian" in robust.explain()
