"""Weights of the adaptive form are those of a scale below its estimate."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

import stanpool as sp
from stanpool.model.pilot.centering import Centering, centering_of
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
        coefficients=("Intercept",),
        uncenter=None,
        has_forms=True,
        root=None,
        labels=tuple("abcde"),
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


def test_what_is_sampled_beside_a_ridge_is_independent() -> None:
    """By the normal theory of an intercept of unknown size and groups' deviations."""
    rng, tau = np.random.default_rng(3), 1.7
    share = rng.uniform(0.05, 0.99, size=6)  # of the groups' rows in what is known
    information = share / (1 - share) / tau**2
    precision = np.zeros((7, 7))
    precision[0] = precision[:, 0] = [information.sum(), *information]
    precision[1:, 1:] = np.diag(information + 1 / tau**2)

    own = Centering.of(np.column_stack([share, share]), np.array([tau, tau]))
    ridge = own.ridge(np.array([True, False]))
    e = ridge.direction[:, 0]
    made = np.eye(7)  # the intercept and the deviations of what is sampled
    made[0, 1:] = -ridge.shift[0] * e
    made[1:, 1:] = own.z_scale[:, :1] * (np.eye(6) + np.outer(e, e))
    precision = made.T @ precision @ made
    wanted = np.diag([information.sum(), *np.ones(6)])
    np.testing.assert_allclose(precision, wanted, atol=1e-12 * information.sum())
    assert not ridge.direction[:, 1].any()
    assert ridge.shift[1] == 0

    z = rng.normal(size=(6, 2))
    v, shift = ridge.taken_out_of(z)
    np.testing.assert_allclose((np.eye(6) + np.outer(e, e)) @ v[:, 0], z[:, 0])
    np.testing.assert_allclose(shift, [ridge.shift[0] * (e @ v[:, 0]), 0])


def test_groups_that_data_say_nothing_about_have_no_ridge() -> None:
    ridge = Centering.of(np.zeros((4, 1)), np.ones(1)).ridge(np.array([True]))
    assert not ridge.direction.any()
    assert not ridge.shift.any()
