r"""The groups' coefficients: what parameters make of them, and their log density.

Deviations :math:`u_j \sim N(0, \Sigma)` about the groups' means, whatever a program
declares in their place. With :math:`\Sigma = L L'`, :math:`L = diag(\tau) L_\Omega`:

* noncentered: :math:`u_j = L z_j`, :math:`z_j \sim N(0, I)`; with a known covariance
  between groups, :math:`R R'`, deviations are :math:`u = R z L'`; in other populations
  :math:`z_j` is multivariate Student-t, or independent Laplace with the variance 1;
* centered: :math:`b_j = m_j + u_j`;
* adaptive [1]_: :math:`u = (\tau / \tau_0)^{1 - w} (s z - w m)` for each group and
  coefficient, where groups that are decorrelated have :math:`a + L_\Omega (z_j - a)` in
  the place of :math:`z_j`, with :math:`a = w m / s`; ``m`` is the mean where predictors
  have their means, and for groups within others' groups the sum of it and the
  coefficients of these. Where groups form a ridge with the intercept, there are
  :math:`v` with :math:`z = v + e e' v`, and in the place of the intercept
  :math:`\bar\alpha = \alpha + \sum \lambda e' v`, at which z of other factors are
  centered; of cutpoints, this sum is subtracted;
* no pooling: the coefficients have priors of their own, and no population;
* integrated out: none, and only :math:`\Sigma` is left.

Coefficients that are uncorrelated are so where predictors are 0. Where predictors have
centers that are elsewhere, the centered and the adaptive form have deviations
:math:`\tilde u` there, with :math:`u = A \tilde u`.

References
----------
.. [1] Gorinova, Moore and Hoffman (2020). Automatic reparameterisation of probabilistic
   programs. ICML, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.centers import centering_matrix
from stanpool.density.parameters import coefficient_units
from stanpool.density.priors import log_standardized
from stanpool.density.rows import move_of, related

if TYPE_CHECKING:
    from stanpool.data.design.design import FactorDesign
    from stanpool.model.prepared_model import PreparedModel

# What the adaptive form is told of a factor: w, s, tau_0, and which groups are
# decorrelated.
_NUMBERS_OF_ADAPTIVE = ("centeredness", "z_scale", "tau_pilot", "decorrelated")


@dataclass(frozen=True, eq=False)
class Population:
    """The population's part of the linear predictors, of centered predictors.

    Attributes
    ----------
    at_means
        Intercepts where predictors have their means, shape ``(D,)``; None without.
    alpha
        The same where predictors are at their centers.
    sampled
        What is sampled in the place of the intercepts, and z are centered at.
    beta
        Coefficients, shape ``(D, K)``.
    """

    at_means: Array | None
    alpha: Array | None
    sampled: Array | None
    beta: Array


@dataclass(frozen=True, eq=False)
class Groups:
    """The coefficients of one factor's groups.

    Attributes
    ----------
    model, place
        The model, and which factor of it, counted from 0.
    data
        The data dictionary of the program.
    """

    model: PreparedModel
    place: int
    data: Mapping[str, Any]

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
        """The matrix, ``(D, D)``, that takes coefficients from centers to zero."""
        own, width = move_of(self.model, self.factor), len(self.factor.coefficients)
        return np.asarray(np.kron(np.eye(width // len(own)), own), dtype=float)

    @cached_property
    def unit(self) -> Array:
        """How many of the user's units one of Stan's is, by coefficient, ``(D,)``."""
        return coefficient_units(self.model, self.place)

    def scales(self, values: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return ``tau`` and the Cholesky factor of the correlations."""
        if self.name("tau_root") in values:
            x = values[self.name("tau_root")]
            unit = self.data[self.name("tau_unit")] * self.unit
            tau = np.asarray(unit * np.abs(x) * np.sqrt(1.0 + np.square(x)))
        else:
            tau = values[self.name("tau")]
        chol = values.get(self.name("L_Omega"), np.eye(len(tau)))
        # The first rows are its own where others' coefficients are correlated with it.
        return tau, chol[: len(tau), : len(tau)]

    def standardized(self, values: Mapping[str, Array], u: Array) -> Array:
        """Return what deviations are made of, standardized: ``(J, D)``."""
        tau, chol = self.scales(values)
        return np.asarray(np.linalg.solve(tau[:, None] * chol, u.T).T)

    @property
    def within(self) -> tuple[int, ...]:
        """The factors whose groups are what its groups are centered about."""
        return self.model.structure.factors[self.place].within

    def deviations(
        self,
        values: Mapping[str, Array],
        population: Population,
        outer: Sequence[tuple[Groups, Array]] = (),
    ) -> tuple[Array | None, float]:
        """Return the groups' deviations, ``(J, D)``, and their log density.

        Deviations that are uncorrelated are those where predictors are 0. Without a
        population they are the coefficients, whose priors are not in the density; those
        that are integrated out are None.

        Parameters
        ----------
        values, population
            The parameters.
        outer
            The factors that these groups are within, with their deviations.
        """
        if self.model.spec.pooling == "none":
            return values["b_c"], 0.0
        if self.is_integrated:
            return None, self._log_slope_of_roots(values)
        tau, chol = self.scales(values)
        L = tau[:, None] * chol
        centered = values.get(self.name("b"), values.get(self.name("b_c")))
        if centered is not None:
            u = self._at_zero(centered - self._means(population))
            return u, log_normal(u, L)
        z = values[self.name("z")]
        slopes = self.data.get(self.name("z_slopes"))
        if slopes is not None:
            z = z + np.reshape(slopes @ values["z_theta"], z.shape[::-1]).T
        if self.name("centeredness") not in self.data:
            nu = values.get(self.name("nu_u"))
            density = log_standardized(z, self.factor.population, nu)
            rho = values.get(self.name("rho_u"))
            return related(self.factor.root, z @ L.T, rho), density
        center = self._means_at_means(population)
        for number, (other, u) in enumerate(outer):
            # Their coefficients in Stan's units, after a column of zeros.
            known = (other._means_at_means(population) + u) / other.unit
            known = np.column_stack([np.zeros(len(known)), known])
            rows, columns = (
                np.asarray(self.data[self.name(name)][number]) - 1
                for name in ("outer", "outer_column")
            )
            center = center + known[rows][:, columns] * self.unit
        return self._partly_centered(z, tau, chol, center)

    def _log_slope_of_roots(self, values: Mapping[str, Array]) -> float:
        """Return the log of ``|d tau / d x|`` of scales that are sampled by roots."""
        if self.name("tau_root") not in values:
            return 0.0
        square = np.square(values[self.name("tau_root")])
        # The derivative of sqrt(x^2 + x^4) is (1 + 2 x^2) / sqrt(1 + x^2).
        return float(np.sum(np.log(1.0 + 2.0 * square) - 0.5 * np.log(1.0 + square)))

    def _at_zero(self, u: Array) -> Array:
        """Take deviations to where predictors are 0, if they are uncorrelated there."""
        return u @ self.move.T if self.factor.uncorrelated else u

    def _means_at_means(self, population: Population) -> Array:
        """Return what z is centered about where predictors have their means.

        Group-level predictors count from there, too.
        """
        about = self.data.get(self.name("center_index"))
        origin = self.data.get(self.name("U_bar"))
        if origin is not None:
            origin = np.ravel(origin) * self.model.scaling.group_level[self.place]
        return self._means(population, at_means=True, about=about, origin=origin)

    def _partly_centered(
        self, z: Array, tau: Array, chol: Array, mean: Array
    ) -> tuple[Array, float]:
        """Return the deviations of the adaptive form, and their log density."""
        numbers: list[Any] = [self.data.get(self.name(x)) for x in _NUMBERS_OF_ADAPTIVE]
        w, unit, pilot, decorrelated = numbers
        root, volume = np.diag(tau), 0.0
        if decorrelated is not None:
            at = w * mean / (unit * self.unit)  # where z is centered
            whole = at + (z - at) @ chol.T
            z = np.where(np.reshape(decorrelated, (-1, 1)) > 0, whole, z)
            volume += float(np.sum(decorrelated) * np.log(np.diag(chol)).sum())
        if self.factor.uncorrelated:
            # At the centers, where each is about what those before it say of it.
            root = root_at_centers(tau, self.move)
        own = np.diag(root)
        volume += float(np.sum((1.0 - w) * np.log(own)))
        stretch = (own / (pilot * self.unit)) ** (1.0 - w)
        left, known = np.zeros(z.shape), np.zeros(z.shape)
        for q in range(len(tau)):
            known[:, q] = left[:, :q] @ (root[q, :q] / own[:q])
            about_q = w[:, q] * (mean[:, q] + known[:, q])
            s_z = unit[:, q] * self.unit[q] * z[:, q]
            left[:, q] = stretch[:, q] * (s_z - about_q)
        u = self._at_zero(known + left)
        return u, log_normal(u, tau[:, None] * chol) + volume

    def _means(
        self,
        population: Population,
        *,
        at_means: bool = False,
        about: Any = None,
        origin: Array | None = None,
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
            Whether intercepts are those that are sampled, where predictors have their
            means.
        about
            Which coefficients have their mean, where another factor may have it: not
            where this is 1.
        origin
            From where group-level predictors count, ``(P,)``; without it, from their
            centers.
        """
        design, factor = self.model.design, self.factor
        earlier = {x for each in design.factors[: self.place] for x in each.varying}
        alpha = population.sampled if at_means else population.alpha
        beta = dict(zip(design.coefficients, population.beta.T, strict=True))
        shape = len(factor.labels), len(population.beta), len(factor.varying)
        means = np.zeros(shape)
        for q, label in enumerate(factor.varying):
            has_mean = label not in earlier if about is None else about[q] > 1
            own = alpha if label == "Intercept" else beta.get(label)
            if has_mean and own is not None:
                means[:, :, q] += own
            if factor.U is None or factor.effect_of is None:
                continue
            for p, effect in enumerate(factor.effect_of[:, q]):
                if effect > 0:
                    moved = self._group_level[:, p] - (
                        0.0 if origin is None else origin[p]
                    )
                    means[:, :, q] += np.outer(moved, population.beta[:, effect - 1])
        return means.reshape(len(means), -1)

    @cached_property
    def _group_level(self) -> Array:
        """The group-level predictors, ``(J, P)``, centered.

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
        return (whole @ centering_matrix(labels, dict(design.centers)))[:, 1:]


def off_ridges(
    groups: Sequence[Groups], values: Mapping[str, Array]
) -> dict[str, Array]:
    """Return z and the intercept, or cutpoints, where there are ridges of both.

    Parameters
    ----------
    groups, values
        The factors, and the parameters in the user's units.
    """
    found, moved = dict[str, Array](), np.zeros(())
    for own in groups:
        direction = own.data.get(own.name("ridge"))
        if direction is not None:
            v = values[own.name("z")]
            along = (direction * v).sum(axis=0)
            found[own.name("z")] = v + direction * along
            unit = own.model.scaling.outcome
            moved = moved + unit * along @ own.data[own.name("alpha_on_ridge")]
    if "alpha_bar" in values:
        found["alpha_c"] = values["alpha_bar"] - moved
    if "cutpoint_bar" in values:
        found["cutpoint_c"] = values["cutpoint_bar"] + moved
    return found


def root_at_centers(tau: Array, move: Array) -> Array:
    """Return the Cholesky factor of deviations' covariance at predictors' centers.

    Parameters
    ----------
    tau
        Scales of the deviations where predictors are 0 and they are uncorrelated.
    move
        The matrix that takes deviations at the centers to these.

    Examples
    --------
    >>> root_at_centers(np.array([3.0, 1.0]), np.array([[1.0, -4.0], [0.0, 1.0]]))
    array([[5. , 0. ],
           [0.8, 0.6]])
    """
    # Written apart from cholesky_at_centers, which makes data of the programs that are
    # checked here. QR, since the squares of predictors far from 0 would lose digits.
    R = np.asarray(np.linalg.qr(np.linalg.solve(move, np.diag(tau)).T, mode="r"))
    return np.asarray(R.T * np.sign(np.diag(R)))


def log_normal(u: Array, L: Array) -> float:
    """Return the log density of rows that are normal with covariance ``L L'``.

    Up to the constant.
    """
    v = np.linalg.solve(L, u.T)
    log_root = float(np.log(np.diag(L)).sum())
    return float(-0.5 * np.sum(np.square(v))) - len(u) * log_root
