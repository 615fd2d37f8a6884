r"""How far each group's coefficients are centered, and the parameters that follow.

Between the centered form, :math:`b \sim N(m, \tau)`, and the noncentered one,
:math:`b = m + \tau z`, are forms with a weight c, the centeredness, for each group
[1]_:

.. math:: s z \sim N(c m, \tau_0^{1 - c} \tau^c), \quad
    b = m + (\tau / \tau_0)^{1 - c} (s z - c m),

which all give b the same distribution. The weight is the share of a group's own data in
the information about its coefficient, :math:`I \tau^2 / (1 + I \tau^2)` with Fisher
information I: with this weight, z and m are independent a posteriori [2]_. The pilot
estimate :math:`\tau_0` of the scale makes the form independent of units, and
:math:`s = \tau_0 \sqrt{1 - c}` is about the posterior standard deviation of b given m
and the scale, so that z has a standard deviation near 1. For correlated coefficients,
the z of groups with little data are decorrelated.

Coefficients that are uncorrelated where predictors are 0, if that is far from the data,
are correlated where the data are. There the form of each coefficient is conditional on
the coefficients before it.

Where the data leave open whether the scale is near 0, weights that are right at its
estimate leave a funnel below it. So weights are those at three standard errors of the
logarithm of the scale below, :math:`1 / \sqrt{2 \nu}` each, with the number of
well-determined coefficients :math:`\nu`, the sum of the shares.

Groups within those of other factors (pupils in schools, or groups of one row in all
others) are centered at the coefficients of these [2]_: :math:`m` is their mean plus
what all outer groups add to it. If I is the information of a group's rows with the
coefficients of its inner groups integrated out, z of each level is independent of those
of all outer levels. Centered at the mean alone, the coefficients would form a ridge,
since the data determine the sum of all levels better than each level, and the direction
of the ridge would change with the scales.

Groups that cross those of another factor, and all groups where cutpoints are in the
place of an intercept, form a ridge with it: the data determine the sum of the intercept
and of the mean of the deviations. With a flat prior on the intercept, and scales at
their estimates, the deviations are normal with mean 0 and the covariance

.. math:: D + \frac{\tau_0^2}{\sum_j c_j} c c', \quad D = \tau_0^2 diag(1 - c),

without their data, and given them the intercept is as far below
:math:`\bar\alpha` as their mean, weighted by information, :math:`c / (1 - c)`. So v is
sampled with :math:`z = v + e e' v`, which has that covariance if the length of
:math:`e \propto c / \sqrt{1 - c}` is right, and :math:`\bar\alpha` in the place of the
intercept. Both are linear, and change no volume but by a constant.

References
----------
.. [1] Gorinova, Moore and Hoffman (2020). Automatic reparameterisation of probabilistic
   programs. ICML, section 3.
.. [2] Papaspiliopoulos, Roberts and Sköld (2007). A general framework for the
   parametrization of hierarchical models. Statistical Science 22(1), 59-73.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import quote

if TYPE_CHECKING:
    from stanpool.data.design.design import FactorDesign
    from stanpool.model.pilot.estimate import GroupEstimate

BREAK_EVEN = 0.5  # centeredness above which a group counts as centered
_BELOW = (
    3.0  # how far below the pilot's log scale weights are taken, in standard errors
)
_NEAR = 0.1  # centeredness that is counted as noncentered; 1 less it, as centered
_LEAST_VARIANCE = 1e-8  # smallest 1 - c, so that scales of z are positive
_LARGEST_SHARE = 1 - 1e-12  # largest share, so that its odds are finite
_FEWEST_DETERMINED = 1e-3  # smallest effective number of well-determined coefficients
_ROUNDING = 1e-9  # added to covariance matrices, relative to their diagonals


@dataclass(frozen=True, eq=False)
class Ridge:
    """Where deviations of all groups move together, and the intercept against them.

    Attributes
    ----------
    direction
        How far each z moves more than others say, shape ``(J, D)``; 0 for coefficients
        that the intercept has no part in.
    shift
        How far the intercept then moves, shape ``(D,)``.

    Examples
    --------
    >>> ridge = Centering.of(np.full((4, 1), 0.75), np.ones(1)).ridge(np.ones(1, bool))
    >>> ridge.direction.ravel(), ridge.shift
    (array([0.5, 0.5, 0.5, 0.5]), array([0.5]))
    >>> v, shift = ridge.taken_out_of(np.array([[2.0], [2.0], [2.0], [2.0]]))
    >>> v.ravel(), shift
    (array([1., 1., 1., 1.]), array([1.]))
    """

    direction: Array
    shift: Array

    def taken_out_of(self, z: Array) -> tuple[Array, Array]:
        """Return v, of which the ridge makes z, and the intercept's shifts: ``(D,)``.

        Parameters
        ----------
        z
            As the program has it without the ridge, shape ``(J, D)``.
        """
        more = 1.0 + np.square(self.direction).sum(axis=0)
        along = (self.direction * z).sum(axis=0) / more
        return z - self.direction * along, self.shift * along

    @property
    def variances(self) -> Array:
        """Variances of the intercept's shifts, if v are standard normal: ``(D,)``."""
        return np.asarray(np.square(self.shift * self.direction).sum(axis=0))


@dataclass(frozen=True, eq=False)
class Centering:
    """How far the coefficients of a factor are centered.

    Attributes
    ----------
    centeredness
        1 for centered, 0 for noncentered, by group and coefficient, shape ``(J, D)``.
    tau
        Estimates of the population's scales, in Stan's units, shape ``(D,)``.
    z_scale
        The scale of z, in Stan's units, shape ``(J, D)``: ``tau`` where
        ``centeredness`` is 0.
    uncenter
        The matrix, shape ``(D, D)``, from deviations at the predictors' centers, where
        z is defined, to deviations where predictors are 0, if they are uncorrelated
        there and not at the centers; else None. With it, ``tau`` is an estimate of the
        diagonal of the Cholesky factor of their covariance at the centers.

    Examples
    --------
    >>> Centering.of(np.array([[0.02], [0.98], [0.97]]), np.ones(1)).counts
    (1, 0, 2)
    """

    centeredness: Array
    tau: Array
    z_scale: Array
    uncenter: Array | None = None

    @classmethod
    def of(
        cls, centeredness: Array, tau: Array, uncenter: Array | None = None
    ) -> Centering:
        """Return the centering with these weights, and scales that suit them."""
        z_scale = tau * np.sqrt(np.maximum(1.0 - centeredness, _LEAST_VARIANCE))
        return cls(centeredness, tau, z_scale, uncenter)

    def scaled(self, by: Array) -> Centering:
        """Return the centering of coefficients multiplied by ``by``, shape ``(D,)``."""
        uncenter = self.uncenter
        if uncenter is not None:
            uncenter = by[:, None] * uncenter / by
        return Centering(self.centeredness, self.tau * by, self.z_scale * by, uncenter)

    def ridge(self, columns: Array) -> Ridge:
        """Return the ridge that deviations form with the intercept.

        Parameters
        ----------
        columns
            Which of the coefficients do: truth values, shape ``(D,)``.
        """
        own = np.where(columns, self.centeredness, 0.0)
        left = np.maximum(1.0 - own, _LEAST_VARIANCE)
        direction = own / np.sqrt(left)
        total, information = own.sum(axis=0), (own / left).sum(axis=0)
        is_there = total > _LEAST_VARIANCE
        total, information = (np.where(is_there, x, 1.0) for x in (total, information))
        square = np.where(is_there, np.square(direction).sum(axis=0), 1.0)
        more = np.sqrt(1.0 + square / total) - 1.0
        shift = self.tau * np.sqrt(square / more) * (1.0 + more) / information
        return Ridge(
            np.where(is_there, direction * np.sqrt(more / square), 0.0),
            np.where(is_there, shift, 0.0),
        )

    @property
    def decorrelated(self) -> Array:
        """1 for groups whose z are uncorrelated, else 0, shape ``(J,)``."""
        return np.asarray(self.centeredness.mean(axis=1) < BREAK_EVEN, dtype=float)

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many weights are near 0, in between, and near 1."""
        low, high = (
            int((self.centeredness < _NEAR).sum()),
            int((self.centeredness > 1 - _NEAR).sum()),
        )
        return low, self.centeredness.size - low - high, high

    def data(self, *, correlated: bool) -> dict[str, Any]:
        """Return Stan's data."""
        found = {
            "centeredness": self.centeredness,
            "z_scale": self.z_scale,
            "tau_pilot": self.tau,
        }
        return found | ({"decorrelated": self.decorrelated} if correlated else {})

    def standardized(
        self, u: Array, mean: Array, tau: Array, chol_omega: Array | None = None
    ) -> Array:
        """Return the z of deviations, as the Stan program defines them.

        Parameters
        ----------
        u, mean
            Deviations and what the coefficients vary around, shape ``(J, D)``.
        tau, chol_omega
            The population's scales, and the Cholesky factor of its correlations, or
            None for a program without.
        """
        known: Array | float = 0.0
        if self.uncenter is not None:
            # At the centers; each coefficient is conditional on those before it.
            L = cholesky_at_centers(tau, self.uncenter)
            u = np.asarray(np.linalg.solve(self.uncenter, u.T).T, dtype=float)
            known = np.linalg.solve(L, u.T).T @ np.tril(L, -1).T
            tau = np.diag(L)
        stretched = (u - known) * (self.tau / tau) ** (1 - self.centeredness)
        z = (stretched + self.centeredness * (mean + known)) / self.z_scale
        if chol_omega is None:
            return np.asarray(z)
        about = self.centeredness * mean / self.z_scale
        whole = about + np.linalg.solve(chol_omega, (z - about).T).T
        return np.where(self.decorrelated[:, None] > 0, whole, z)

    def describe(self, factor: FactorDesign) -> str:
        """Say how many coefficients are centered, noncentered and in between."""
        low, between, high = self.counts
        parts = {
            f"noncentered (centeredness below {_NEAR:g})": low,
            f"partly centered ({_NEAR:g} to {1 - _NEAR:g})": between,
            f"centered (above {1 - _NEAR:g})": high,
        }
        counts = ", ".join(f"{count:,} {how}" for how, count in parts.items() if count)
        return (
            f"centeredness: of the {self.centeredness.size:,} coefficients of the "
            f"groups of {quote(factor.factor)}: {counts}"
        )


def centering_of(factor: FactorDesign, pilot: GroupEstimate | None) -> Centering:
    """Choose how far the coefficients of a factor are centered.

    Parameters
    ----------
    factor
        The data of the factor.
    pilot
        The pilot estimate; without one, all coefficients are noncentered, as they are
        in any case with a known covariance between groups.
    """
    width, uncenter = len(factor.coefficients), factor.uncenter
    if uncenter is not None:
        uncenter = np.kron(np.eye(width // len(uncenter)), uncenter)
    if pilot is None or not factor.has_forms:
        none = np.zeros((len(factor.labels), width))
        return Centering.of(none, np.ones(width), uncenter)
    tau, share, known = pilot.tau, pilot.share_of_own_data, pilot.information
    if uncenter is not None:
        # The share of information about each coefficient, given those before it.
        tau = np.diag(cholesky_at_centers(tau, uncenter))
        back = np.linalg.inv(uncenter)
        errors = back @ pilot.covariance @ back.T
        errors = errors * (1.0 + _ROUNDING * np.eye(width))
        left = np.einsum("jdd->jd", np.linalg.cholesky(errors))
        share = np.clip(1.0 - np.square(left / tau), 0.0, 1.0)
        known = share
    share = np.minimum(share, _LARGEST_SHARE)
    determined = np.maximum(known.sum(axis=0), _FEWEST_DETERMINED)
    odds = share / (1 - share) * np.exp(-2 * _BELOW / np.sqrt(2 * determined))
    return Centering.of(odds / (1 + odds), tau, uncenter)


def cholesky_at_centers(tau: Array, uncenter: Array) -> Array:
    """Return the Cholesky factor of deviations' covariance at predictors' centers.

    Parameters
    ----------
    tau
        Scales of the deviations where predictors are 0 and they are uncorrelated.
    uncenter
        The matrix from deviations at the centers to these.
    """
    # The covariance matrix itself would lose digits of small conditional variances.
    root = tau[:, None] * np.linalg.inv(uncenter).T
    R = np.asarray(np.linalg.qr(root, mode="r"))
    return np.asarray(R.T * np.sign(np.diag(R)), dtype=float)


def centered_elsewhere(
    factors: Sequence[FactorDesign],
    centering: Sequence[Centering],
    within: Sequence[Sequence[int]],
) -> tuple[frozenset[str], ...]:
    """Return for each factor its coefficients that are not centered at the mean.

    The population mean of a coefficient that varies over several factors belongs to
    the first of them. But the data determine only the sum of it and of the means of the
    groups' deviations, which are as far from 0 as ``tau / sqrt(J)``. If the groups of
    one factor are centered at the population mean, they all move with it as far as the
    means of the other factors allow. So it is the factor with the largest
    ``tau / sqrt(J)``, if its groups are centered at all, that is centered at the mean;
    the others are centered at 0. Scales of the pilot are too small by the degrees of
    freedom of the group-level predictors.

    Groups within others are centered at the coefficients of these, and so at the mean
    if these are.

    Parameters
    ----------
    factors, centering
        All factors of a model, and how far each is centered.
    within
        For each factor the places of those that it is within.
    """
    best: dict[str, tuple[float, int]] = {}
    for number, (factor, own) in enumerate(zip(factors, centering, strict=True)):
        used = 1 if factor.U is None else 1 + factor.U.shape[1]
        slack = np.square(own.tau) / max(len(own.centeredness) - used, 1)
        slack *= own.centeredness.mean(axis=0) > BREAK_EVEN
        of_coefficients = slack.reshape(-1, len(factor.varying)).mean(axis=0)
        of_outer = {x for place in within[number] for x in factors[place].varying}
        for label, value in zip(factor.varying, of_coefficients.tolist(), strict=True):
            if label in of_outer:
                continue
            if label not in best or value > best[label][0]:
                best[label] = value, number
    return tuple(
        frozenset(label for label in factor.varying if best[label][1] != number)
        for number, factor in enumerate(factors)
    )
