r"""The groups' coefficients: what parameters make of them, and their log density.

Deviations :math:`u_j \sim N(0, \Sigma)` about the groups' means, whatever a program
declares in their place. With :math:`\Sigma = L L'`, :math:`L = diag(\tau) L_\Omega`:

* noncentered: :math:`u_j = L z_j`, :math:`z_j \sim N(0, I)`;
* centered: :math:`b_j = m_j + u_j`;
* adaptive [1]_: :math:`u = (\tau / \tau_0)^{1 - w} (s z - w m)` for each group and
  coefficient, where groups that are apart have :math:`L_\Omega z_j` in the place of
  :math:`z_j`;
* no pooling: the coefficients have priors of their own, and no population;
* integrated out: none, and only :math:`\Sigma` is left.

Coefficients that are uncorrelated are so where predictors are 0. Where predictors count
from origins that are elsewhere, the centered and the adaptive form have deviations
:math:`\tilde u` there, with :math:`u = A \tilde u`.

References
----------
.. [1] Gorinova, Moore and Hoffman (2020). Automatic reparameterisation of probabilistic
   programs. ICML, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.origins import change_of_origin
from stanpool.model.density.parameters import coefficient_units
from stanpool.model.density.rows import move_of

if TYPE_CHECKING:
    from stanpool.data.design.design import FactorDesign
    from stanpool.model.prepared_model import PreparedModel


@dataclass(frozen=True, eq=False)
class Population:
    """The population's part of the linear predictors, counted from the origins.

    Attributes
    ----------
    at_means
        Intercepts where predictors have their means, shape ``(D,)``; None without.
    alpha
        The same where predictors are at their origins.
    beta
        Coefficients, shape ``(D, K)``.
    """

    at_means: Array | None
    alpha: Array | None
    beta: Array


@dataclass(frozen=True, eq=False)
class Groups:
    """The coefficients of one factor's groups.

    Attributes
    ----------
    model, place
        The model, and which factor of it, counted from 0.
    told
        The numbers that the program is told.
    """

    model: PreparedModel
    place: int
    told: Mapping[str, Any]

    @property
    def factor(self) -> FactorDesign:
        """The data of the factor."""
        return self.model.design.factors[self.place]

    @property
    def is_integrated(self) -> bool:
        """Whether its coefficients are integrated out."""
        return self.place in self.model.structure.integrated

    def name(self, base: str) -> str:
        """Return the name of a variable of this factor in Stan."""
        return f"{base}_{self.place + 1}" if self.place else base

    @cached_property
    def move(self) -> Array:
        """The matrix, ``(D, D)``, that takes coefficients at the origins to zero."""
        own, width = move_of(self.model, self.factor), len(self.factor.coefficients)
        return np.kron(np.eye(width // len(own)), own)

    @cached_property
    def unit(self) -> Array:
        """The user's units in one of Stan's, of the coefficients, ``(D,)``."""
        return coefficient_units(self.model, self.place)

    def scale(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return ``tau`` and the Cholesky factor of the correlations."""
        if self.name("tau_root") in values:
            x = values[self.name("tau_root")]
            own = self.told[self.name("tau_unit")] * self.unit
            tau = own * np.abs(x) * np.sqrt(1.0 + np.square(x))
        else:
            tau = values[self.name("tau")]
        return tau, values.get(self.name("L_Omega"), np.eye(len(tau)))

    def log_volume_of_roots(self, values: Mapping[str, Array]) -> float:
        """Return that of scales that are sampled by roots: their priors are theirs."""
        if self.name("tau_root") not in values:
            return 0.0
        x = np.square(values[self.name("tau_root")])
        # d/dx of sqrt(x^2 + x^4) is (1 + 2 x^2) / sqrt(1 + x^2).
        return float(np.sum(np.log(1.0 + 2.0 * x) - 0.5 * np.log(1.0 + x)))

    def deviations(
        self, values: Mapping[str, Array], population: Population
    ) -> tuple[Array, float]:
        """Return the groups' deviations, ``(J, D)``, and their log density.

        Deviations that are uncorrelated are those where predictors are 0. Without a
        population they are the coefficients, whose priors are not in the density.
        """
        if self.model.spec.pooling == "none":
            return values["b_c"], 0.0
        tau, chol = self.scale(values)
        L = tau[:, None] * chol
        centered = values.get(self.name("b"), values.get(self.name("b_c")))
        if centered is not None:
            at_origins = centered - self._means(population)
            u = self._to_zero(at_origins)
            return u, log_normal(u, L)
        z = values[self.name("z")]
        if self.name("w") not in self.told:
            return z @ L.T, float(-0.5 * np.sum(np.square(z)))
        return self._partly_centered(z, tau, chol, population)

    def _to_zero(self, u: Array) -> Array:
        """Return deviations at the origins where they are uncorrelated, if they are."""
        return u @ self.move.T if self.factor.uncorrelated else u

    def _partly_centered(
        self, z: Array, tau: Array, chol: Array, population: Population
    ) -> tuple[Array, float]:
        """Return the deviations of the adaptive form, and their log density."""
        w, unit, pilot, apart, about = (
            self.told.get(self.name(each))
            for each in ("w", "unit", "tau_pilot", "apart", "about")
        )
        assert w is not None
        mean = self._means(population, at_means=True, about=about)
        L, volume = tau[:, None] * chol, 0.0
        own = tau
        if apart is not None:
            z = np.where(np.asarray(apart)[:, None] > 0, z @ chol.T, z)
            volume += float(np.sum(apart)) * float(np.log(np.diag(chol)).sum())
        given = np.zeros((len(tau), len(tau)))
        if self.factor.uncorrelated and not np.array_equal(self.move, np.eye(len(tau))):
            # At the origins, where each is about what those before it say of it.
            back = np.linalg.solve(self.move, np.diag(tau))
            R = np.linalg.qr(back.T, mode="r")
            root = R.T * np.sign(np.diag(R))
            own = np.diag(root)
            given = np.tril(root, -1) / own
        stretch = (own / (np.asarray(pilot) * self.unit)) ** (1.0 - w)
        volume += float(np.sum((1.0 - w) * np.log(own)))
        u, v = np.zeros(z.shape), np.zeros(z.shape)
        for q in range(len(tau)):
            known = v @ given[q]
            about_q = w[:, q] * (mean[:, q] + known)
            left = stretch[:, q] * (unit[:, q] * self.unit[q] * z[:, q] - about_q)
            v[:, q], u[:, q] = left, known + left
        u = self._to_zero(u)
        return u, log_normal(u, L) + volume

    def _means(
        self, population: Population, *, at_means: bool = False, about: Any = None
    ) -> Array:
        """Return what the groups' coefficients vary around, shape ``(J, D)``.

        The population's mean of a coefficient belongs to the first factor that varies
        it. A group-level predictor moves the mean of a group's coefficient by what it
        adds to the population's effect.

        Parameters
        ----------
        population
            The population's coefficients.
        at_means
            Whether intercepts are those where predictors have their means.
        about
            Which coefficients have their mean, where another factor may have it: not
            where this is 1.
        """
        design, factor = self.model.design, self.factor
        earlier = {x for each in design.factors[: self.place] for x in each.varying}
        alpha = population.at_means if at_means else population.alpha
        beta = dict(zip(design.coefficients, population.beta.T, strict=True))
        means = np.zeros((len(factor.labels), len(population.beta), len(factor.varying)))
        for q, label in enumerate(factor.varying):
            has_mean = label not in earlier if about is None else about[q] > 1
            own = alpha if label == "Intercept" else beta.get(label)
            if has_mean and own is not None:
                means[:, :, q] += own
            if factor.U is None or factor.effect_of is None:
                continue
            for p, effect in enumerate(factor.effect_of[:, q]):
                if effect > 0:
                    moved = self._group_level[:, p]
                    means[:, :, q] += np.outer(moved, population.beta[:, effect - 1])
        return means.reshape(len(means), -1)

    @cached_property
    def _group_level(self) -> Array:
        """The group-level predictors, ``(J, P)``, counted from the origins.

        The effect of ``u`` on a slope of ``x`` is the coefficient of ``x:u``.
        """
        design, factor = self.model.design, self.factor
        assert factor.U is not None
        assert factor.effect_of is not None
        labels = ["Intercept"]
        for effects in factor.effect_of:
            q = int(np.flatnonzero(effects)[0])
            pieces = design.coefficients[effects[q] - 1].split(":")
            labels.append(":".join(x for x in pieces if x != factor.varying[q]))
        whole = np.column_stack([np.ones(len(factor.U)), factor.U])
        return (whole @ change_of_origin(labels, dict(design.origins)))[:, 1:]


def log_normal(u: Array, L: Array) -> float:
    """Return the log density of rows that are normal with covariance ``L L'``.

    Up to the constant.
    """
    v = np.linalg.solve(L, u.T)
    log_root = float(np.log(np.diag(L)).sum())
    return float(-0.5 * np.sum(np.square(v))) - len(u) * log_root
