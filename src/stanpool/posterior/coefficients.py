"""The draws of a fit's coefficients as arrays, for everything computed from them.

S posterior draws, chain by chain; D linear predictors (one, or one for each category
but the reference); J groups; Q varying coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import Array, Indices
from stanpool.model.program.population_means import effects_of, means_of
from stanpool.model.terms.names import GroupNames
from stanpool.model.terms.of_design import special_terms
from stanpool.model.terms.term import TermDraws

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import FactorDesign
    from stanpool.model.prepared_model import PreparedModel

_ROUNDING = 1e-8


@dataclass(frozen=True, eq=False)
class FactorCoefficients:
    """Draws of the coefficients that vary over one grouping factor.

    Attributes
    ----------
    b
        Full coefficients of the groups, shape ``(S, J, D, Q)``.
    mean
        What they vary around: the population's coefficients, shape ``(S, D, Q)``; zero
        where an earlier factor has the population's mean, and without pooling.
    U, effects
        Group-level predictors, shape ``(J, P)``, and what they add to the mean, shape
        ``(S, D, P, Q)``; None without.
    """

    b: Array
    mean: Array
    U: Array | None
    effects: Array | None

    def take(self, draws: slice) -> FactorCoefficients:
        """Return some draws."""
        effects = None if self.effects is None else self.effects[draws]
        return replace(self, b=self.b[draws], mean=self.mean[draws], effects=effects)

    def means(self, groups: Indices | slice) -> Array:
        """Return what ``b`` varies around, shape ``(S, len(groups) or 1, D, Q)``."""
        means = self.mean[:, None]
        if self.U is not None and self.effects is not None:
            means = means + np.einsum("jp,sdpq->sjdq", self.U[groups], self.effects)
        return np.asarray(means)

    def deviations(self, groups: Indices | slice) -> Array:
        """Return ``b`` minus its means, shape ``(S, len(groups), D, Q)``."""
        return np.asarray(self.b[:, groups] - self.means(groups))

    def effects_on(self, groups: Indices, Z: Array) -> Array:
        """Return what deviations do to rows, shape ``(S, D, rows)``.

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

    def deviations_at(self, groups: Indices) -> Array:
        """Return the deviations of another group at each draw, shape ``(S, D, Q)``."""
        draws = np.arange(len(groups))
        u = self.b[draws, groups] - self.mean
        if self.U is not None and self.effects is not None:
            u -= np.einsum("sp,sdpq->sdq", self.U[groups], self.effects)
        return np.asarray(u)


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Draws of all coefficients of a fit.

    Attributes
    ----------
    alpha
        Intercepts, shape ``(S, D)``: zero where there is none.
    beta
        Population coefficients, shape ``(S, D, K)``.
    factors
        What varies over each grouping factor.
    special
        The coefficients of other terms, by their names.
    """

    alpha: Array
    beta: Array
    factors: tuple[FactorCoefficients, ...]
    special: Mapping[str, TermDraws] = field(default_factory=dict)


def coefficients(model: PreparedModel, posterior: xr.Dataset) -> Coefficients:
    """Take the coefficients out of labelled draws.

    Parameters
    ----------
    model
        The model.
    posterior
        The posterior of a fit, some draws of it, or draws of the prior.
    """
    design, pooling = model.design, model.spec.pooling
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    predictors = len(design.categories) - 1 if model.spec.is_categorical else 1
    alpha = np.zeros((draws, predictors))
    if "Intercept" in posterior:
        alpha = flat(posterior["Intercept"]).reshape(draws, predictors)
    beta = np.zeros((draws, predictors, 0))
    if design.coefficients:
        beta = flat(posterior["beta"]).reshape(draws, predictors, -1)
    # (0, alpha, beta), as in the Stan program, from which means and effects are picked
    first = [alpha] if design.intercept else []
    parts = [each[..., None] for each in (np.zeros_like(alpha), *first)]
    population = np.concatenate([*parts, beta], axis=-1)
    factors = []
    taken: set[str] = set()
    for factor in design.factors:
        names = GroupNames.of(factor.factor)
        b = flat(posterior[names.b])
        b = b.reshape(*b.shape[:2], predictors, len(factor.varying))
        mean = np.zeros((draws, predictors, len(factor.varying)))
        if pooling == "partial":
            mean = np.take(population, means_of(design, factor, taken) - 1, axis=-1)
        taken.update(factor.varying)
        effects = None
        if factor.effect_of is not None:
            effects = population[..., effects_of(design, factor) - 1]
        factors.append(FactorCoefficients(b, mean, factor.U, effects))
    special = {
        term.name: term.draws(lambda name: flat(posterior[name]))
        for term in special_terms(design)
    }
    return Coefficients(alpha, beta, tuple(factors), special)


def cholesky_of_population(posterior: xr.Dataset, factor: FactorDesign) -> Array:
    """Return the Cholesky factors of the covariance of a group's coefficients.

    Returns
    -------
    numpy.ndarray
        Shape ``(S, D * Q, D * Q)``: ``diag(tau)`` times the factor of ``Omega``.
    """
    names = GroupNames.of(factor.factor)
    tau = flat(posterior[names.tau])
    if names.Omega not in posterior:
        return np.asarray(tau[..., None] * np.eye(tau.shape[1]))
    return np.asarray(tau[..., None] * _cholesky(flat(posterior[names.Omega])))


def _cholesky(omega: Array) -> Array:
    """Factor correlation matrices that digits of Stan's output may have made singular.

    Of an almost perfect correlation nine digits can be 1.
    """
    try:
        return np.asarray(np.linalg.cholesky(omega))
    except np.linalg.LinAlgError:
        identity = np.eye(omega.shape[-1])
        return np.asarray(np.linalg.cholesky(omega + _ROUNDING * (identity - omega)))


def flat(variable: xr.DataArray) -> Array:
    """Return draws with chains one after another, shape ``(S, ...)``."""
    values = variable.transpose("chain", "draw", ...).to_numpy()
    return values.reshape(-1, *values.shape[2:])
