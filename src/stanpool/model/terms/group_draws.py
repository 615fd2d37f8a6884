"""Draws of the coefficients that vary over a grouping factor, and their effect on rows.

S draws; D linear predictors (one, or one for each category but the reference); J
groups; Q varying coefficients; P group-level predictors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from stanpool.base.arrays import Array, Indices
from stanpool.data.design.design import FactorDesign, Joint
from stanpool.language.model_spec import NORMAL
from stanpool.model.terms.unseen import UnseenGroups

_ROUNDING = 1e-8

# What the random numbers of a new group are named by; else the parameter's own name.
_STREAMS = {"mean": "coefficients", "sigma": "scale"}


@dataclass(frozen=True, eq=False)
class JointDraws:
    """Correlations of a factor's coefficients with those of other parameters.

    Attributes
    ----------
    design
        Whose they are.
    L_Omega
        The Cholesky factor of all correlations, shape ``(S, D, D)``.
    """

    design: Joint
    L_Omega: Array

    @property
    def rows(self) -> Array:
        """What makes a factor's own deviations of standardized ones, ``(S, Q, ...)``.

        Of those of the parameters before it, and its own.
        """
        own = self.design.own
        return self.L_Omega[:, own, : own.stop]

    def given_others(self, u: Array | None = None) -> tuple[Array, Array]:
        """Return how own deviations are distributed given those of others, over scales.

        Parameters
        ----------
        u
            All others' deviations over their scales, shape ``(S, D - Q)``; 0 if None.

        Returns
        -------
        tuple
            The mean, shape ``(S, Q)``, and the Cholesky factor of the covariance.
        """
        Omega = self.L_Omega @ np.swapaxes(self.L_Omega, 1, 2)
        own = np.zeros(Omega.shape[1], dtype=bool)
        own[self.design.own] = True
        between = Omega[:, own][..., ~own]
        slopes = between @ np.linalg.inv(Omega[:, ~own][..., ~own])
        left = Omega[:, own][..., own] - slopes @ np.swapaxes(between, 1, 2)
        mean = np.zeros(slopes.shape[:2])
        if u is not None:
            mean = np.einsum("sqd,sd->sq", slopes, u)
        return mean, cholesky(left)


@dataclass(frozen=True, eq=False)
class GroupDraws:
    """Draws of the coefficients that vary over one grouping factor.

    Attributes
    ----------
    parameter
        Whose linear predictor they are of.
    b
        Full coefficients of the groups, shape ``(S, J, D, Q)``.
    mean
        What they vary around: the population's coefficients, shape ``(S, D, Q)``; zero
        where an earlier factor has the population's mean, and without pooling.
    U, effects
        Group-level predictors, shape ``(J, P)``, and what they add to the mean, shape
        ``(S, D, P, Q)``; None without.
    tau, Omega
        Scales and correlations of the deviations, shapes ``(S, D * Q)`` and
        ``(S, D * Q, D * Q)``; None where there are none to estimate.
    population, nu
        The distribution of the deviations, and its degrees of freedom, shape ``(S,)``,
        if it is a Student-t distribution.
    rho
        The parameter of the covariance between groups, shape ``(S,)``, if there is one.
    joint
        Their correlations with those of other parameters; None without.
    """

    parameter: str
    b: Array
    mean: Array
    U: Array | None = None
    effects: Array | None = None
    tau: Array | None = None
    Omega: Array | None = None
    population: str = NORMAL
    nu: Array | None = None
    rho: Array | None = None
    joint: JointDraws | None = None

    def take(self, draws: slice) -> GroupDraws:
        """Return some draws."""

        def some(values: Array | None) -> Array | None:
            return None if values is None else values[draws]

        return replace(
            self,
            b=self.b[draws],
            mean=self.mean[draws],
            effects=some(self.effects),
            tau=some(self.tau),
            Omega=some(self.Omega),
            nu=some(self.nu),
            rho=some(self.rho),
            joint=None
            if self.joint is None
            else replace(self.joint, L_Omega=self.joint.L_Omega[draws]),
        )

    @cached_property
    def chol(self) -> Array:
        """Cholesky factors of the scale matrix of a group's deviations.

        Shape ``(S, D * Q, D * Q)``: ``diag(tau)`` times the factor of ``Omega``.
        """
        assert self.tau is not None
        if self.Omega is None:
            return np.asarray(self.tau[..., None] * np.eye(self.tau.shape[1]))
        return np.asarray(self.tau[..., None] * cholesky(self.Omega))

    def mixing(self, points: int, rng: np.random.Generator) -> Array | None:
        """Return variances whose mixture of normals is the population; None if normal.

        They are the quantiles in the middle of equally probable parts, in random order.

        Returns
        -------
        numpy.ndarray
            Multiples of the variance, shape ``(points, S, 1)`` for a Student-t
            distribution and ``(points, 1, D * Q)`` for Laplace distributions.
        """
        if self.population == "laplace":
            below = self._parts(points, self.chol.shape[-1], rng)
            return np.asarray(-np.log1p(-below))[:, None]
        if self.nu is None:
            return None
        # Loaded here: SciPy takes long, and most models need none of it.
        from scipy.special import chdtri  # type: ignore[import-untyped]

        below = self._parts(points, 1, rng)
        return np.asarray(self.nu / chdtri(self.nu, below))[..., None]

    @staticmethod
    def _parts(points: int, columns: int, rng: np.random.Generator) -> Array:
        middle = (np.arange(points) + 0.5) / points
        return rng.permuted(np.tile(middle[:, None], columns), axis=0)

    def means(self, groups: Indices | slice) -> Array:
        """Return what ``b`` varies around, shape ``(S, len(groups) or 1, D, Q)``."""
        means = self.mean[:, None]
        if self.U is not None and self.effects is not None:
            means = means + np.einsum("jp,sdpq->sjdq", self.U[groups], self.effects)
        return np.asarray(means)

    def deviations(self, groups: Indices | slice) -> Array:
        """Return ``b`` minus its means, shape ``(S, len(groups), D, Q)``."""
        return np.asarray(self.b[:, groups] - self.means(groups))

    def effect(self, rows: FactorDesign, unseen: UnseenGroups) -> Array:
        """Return what deviations do to rows, shape ``(S, D, rows)``.

        Parameters
        ----------
        rows
            The factor of the rows: groups beyond those of the fit are new.
        unseen
            Where coefficients of new groups come from.
        """
        if rows.weights is None:
            return self._effect(rows, rows.index, rows.Z, unseen)
        members = zip(rows.index.T, rows.weights.T, strict=True)
        return np.asarray(
            sum(
                self._effect(rows, at, w[:, None] * rows.Z, unseen) for at, w in members
            )
        )

    def _effect(
        self, rows: FactorDesign, groups: Indices, Z: Array, unseen: UnseenGroups
    ) -> Array:
        """Return the same, of groups and predictors of each row."""
        draws, known, predictors, _ = self.b.shape
        new = np.unique(groups[groups >= known]).tolist()
        if not new:
            return self.effects_on(groups, Z)
        effects = np.empty((draws, predictors, len(Z)))
        is_known = groups < known
        effects[..., is_known] = self.effects_on(groups[is_known], Z[is_known])
        for group in new:
            at = groups == group
            u = self.deviation_of_new(rows.factor, rows.labels[group], unseen)
            effects[..., at] = u @ Z[at].T
        return effects

    def effects_on(self, groups: Indices, Z: Array) -> Array:
        """Return what deviations of fitted groups do to rows, shape ``(S, D, rows)``.

        Parameters
        ----------
        groups, Z
            Of each row its group, and the predictors of the coefficients: shape
            ``(rows, Q)``.
        """
        draws, _, predictors, varying = self.b.shape
        b = self.b.reshape(draws, -1)
        effects = -(self.mean @ Z.T)
        for d in range(predictors):
            for q, column in enumerate(Z.T):
                # Three times as fast as picking (S, rows, Q) and multiplying.
                own = np.take(b, (groups * predictors + d) * varying + q, axis=1)
                own *= column
                effects[:, d] += own
        if self.U is not None and self.effects is not None:
            for p, u in enumerate(self.U.T):
                effects -= self.effects[:, :, p] @ (u[groups, None] * Z).T
        return np.asarray(effects)

    def deviation_of_new(self, factor: str, label: Any, unseen: UnseenGroups) -> Array:
        """Return the deviation of a new group from its mean, shape ``(S, D, Q)``."""
        draws, _, predictors, varying = self.b.shape
        if (self.parameter, factor, label) in unseen.given:
            return unseen.given[self.parameter, factor, label]
        if unseen.source == "zero":
            return np.zeros((draws, predictors, varying))
        if unseen.source == "resample":
            chosen = unseen.fitted_group(factor, label, self.b)
            return self._deviations_at(chosen[:, 0])
        z = self._standardized_of_new(
            self.parameter, predictors * varying, factor, label, unseen
        )
        if self.joint is None:
            u = np.einsum("sij,sj->si", self.chol, z)
            return np.asarray(u.reshape(draws, predictors, varying))
        before = [  # the same as other parameters have
            self._standardized_of_new(
                part.parameter, len(part.coefficients), factor, label, unseen
            )
            for part in self.joint.design.before
        ]
        assert self.tau is not None
        z = np.concatenate([*before, z], axis=1)
        u = self.tau * np.einsum("sij,sj->si", self.joint.rows, z)
        return np.asarray(u.reshape(draws, predictors, varying))

    def _standardized_of_new(
        self,
        parameter: str,
        width: int,
        factor: str,
        label: Any,
        unseen: UnseenGroups,
    ) -> Array:
        """Draw standardized deviations of a new group, those of a parameter."""
        name = _STREAMS.get(parameter, parameter)
        rng = unseen.stream(name, factor, label)
        return standardized(self.population, self.nu, (len(self.b), width), rng)

    def _deviations_at(self, groups: Indices) -> Array:
        """Return the deviations of another group at each draw, shape ``(S, D, Q)``."""
        draws = np.arange(len(groups))
        u = self.b[draws, groups] - self.mean
        if self.U is not None and self.effects is not None:
            u -= np.einsum("sp,sdpq->sdq", self.U[groups], self.effects)
        return np.asarray(u)


def standardized(
    population: str, nu: Array | None, size: tuple[int, ...], rng: np.random.Generator
) -> Array:
    """Draw standardized deviations of groups from their population.

    Those of a group in a Student-t population, which the last axis has, are divided by
    the same number. Laplace deviations have the variance 1.

    Parameters
    ----------
    population, nu
        The distribution, one of ``POPULATIONS``, and its degrees of freedom, of shape
        ``(S,)``, if it is a Student-t distribution.
    size
        The shape of the draws, ``(S, ..., Q)``.
    rng
        Where randomness comes from.
    """
    if population == "laplace":
        return rng.laplace(scale=math.sqrt(0.5), size=size)
    z = rng.standard_normal(size)
    if nu is None:
        return z
    nu = nu.reshape(-1, *[1] * (len(size) - 1))
    shared = rng.chisquare(np.broadcast_to(nu, (*size[:-1], 1)))
    return np.asarray(z / np.sqrt(shared / nu))


def cholesky(omega: Array) -> Array:
    """Factor correlation matrices that digits of Stan's output may have made singular.

    Of an almost perfect correlation nine digits can be 1.
    """
    try:
        return np.asarray(np.linalg.cholesky(omega))
    except np.linalg.LinAlgError:
        identity = np.eye(omega.shape[-1])
        return np.asarray(np.linalg.cholesky(omega + _ROUNDING * (identity - omega)))
