r"""Parameters that have formulas, once more from the mathematics.

Predictors are centered where they are far from 0. A parameter :math:`\theta` of row n
is :math:`g^{-1}(\alpha + (x_n - \bar x)' \beta + \sum z_n' u_{j(n)})` with the link g,
where the deviations of a factor's groups are :math:`u_j = L v_j`,
:math:`v_j \sim N(0, I)`, :math:`L = diag(\tau) L_\Omega`. All of it is in the user's
units. Where an id correlates them with those of other parameters, :math:`v_j` has those
of these first, and :math:`L` the last rows of the factor of all.

The coefficients of smooths, of any parameter, are :math:`\beta_k \sim N(0, \tau)` with
the scale of their smooth; programs sample :math:`\beta_k / \tau^{1 - w}`. Those of
Gaussian processes have the standard deviation :math:`\tau \sqrt{S}` in its place, with
the spectral density S at their frequencies, from Solin and Särkkä (2020) and from
Rasmussen and Williams (2006), equation 4.15.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.centers import centering_matrix
from stanpool.density.priors import log_standardized
from stanpool.density.rows import related, sparse_effects

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

    from stanpool.data.design.design import Design, ParameterDesign, Part


@dataclass(frozen=True, eq=False)
class Formula:
    """A parameter of the outcome's distribution that has a linear predictor.

    Attributes
    ----------
    design
        The linear predictor.
    """

    design: ParameterDesign

    def of_rows(self, values: Mapping[str, Array]) -> Array:
        """Return the parameter of each row, ``(N,)``, in the user's units."""
        own, end = self.design, f"_{self.design.parameter}"
        eta = self._about_means @ values[f"beta{end}"]
        if own.intercept:
            eta = eta + values[f"alpha_c{end}"]
        for place, effect in enumerate(self._effects):
            eta = eta + effect @ self._deviations(values, place).ravel()
        if own.link == "logit":
            return np.asarray(np.exp(-np.logaddexp(0.0, -eta)))
        return np.asarray(np.exp(eta) if own.link == "log" else eta)

    def log_density(self, values: Mapping[str, Array]) -> float:
        """Return the log density of standardized deviations, up to a constant."""
        total = 0.0
        for place, factor in enumerate(self.design.factors):
            z, nu = (values.get(self._name(x, place)) for x in ("z", "nu_u"))
            assert z is not None
            total += log_standardized(z, factor.population, nu)
        return total

    def _name(self, base: str, place: int) -> str:
        number = f"_{place + 1}" if place else ""
        return f"{base}_{self.design.parameter}{number}"

    def _deviations(self, values: Mapping[str, Array], place: int) -> Array:
        """Return the deviations of a factor's groups, ``(J, Q)``."""
        z, tau = values[self._name("z", place)], values[self._name("tau", place)]
        joint = self.design.factors[place].joint
        if joint is not None:
            names = [_variable("z", part) for part in joint.before]
            z = np.column_stack([*(values[name] for name in names), z])
            chol = values[_variable("L_Omega", joint.first)]
            rows = chol[z.shape[1] - len(tau) : z.shape[1], : z.shape[1]]
            return z @ (tau[:, None] * rows).T
        chol = values.get(self._name("L_Omega", place), np.eye(len(tau)))
        v = z @ (tau[:, None] * chol).T
        rho = values.get(self._name("rho_u", place))
        return related(self.design.factors[place].root, v, rho)

    @cached_property
    def _about_means(self) -> Array:
        """Population predictors about their means, ``(N, K)``, centers subtracted."""
        own = self.design
        if not own.intercept:
            return own.X
        labels = ("Intercept", *own.coefficients)
        move = centering_matrix(labels, dict(own.centers))
        return np.asarray((own.X - own.x_bar) @ move[1:, 1:])

    @cached_property
    def _effects(self) -> list[csr_array]:
        """The matrices of the coefficients of each factor's groups."""
        centers = dict(self.design.centers)
        found = []
        for each in self.design.factors:
            move = centering_matrix(each.varying, centers)
            z = each.Z if each.uncorrelated else each.Z @ move
            found.append(sparse_effects(each.index, z, len(each.labels), each.weights))
        return found


def formula_of(design: Design, name: str) -> tuple[str, ParameterDesign] | None:
    """Return what a name is without its parameter, and whose formula it is of.

    Parameters
    ----------
    design
        The data, with the linear predictors.
    name
        A parameter of a program without the number of a factor, such as ``beta_sigma``.
    """
    for own in design.formulas:
        if name.endswith(f"_{own.parameter}"):
            return name.removesuffix(f"_{own.parameter}"), own
    return None


def _variable(base: str, part: Part) -> str:
    """Name a variable of groups whose coefficients an id correlates with others."""
    of = "" if part.parameter == "mean" else f"_{part.parameter}"
    number = f"_{part.number + 1}" if part.number else ""
    return f"{base}{of}{number}"


def with_smooths(
    own: ParameterDesign,
    values: Mapping[str, Array],
    data: Mapping[str, Any],
    unit: float,
) -> dict[str, Array]:
    """Return the coefficients of a linear predictor with smooths; else nothing.

    Parameters
    ----------
    own
        The linear predictor.
    values
        What the program declares, in the user's units but for ``z_s``.
    data
        The program's data, which say which coefficients are sampled themselves.
    unit
        How many of the user's units one of Stan's units of these is.
    """
    if not own.smooths:
        return {}
    end = _ending(own)
    free = values[f"beta_free{end}"]
    parts = [free]
    if own.scaled:
        z, tau = values[f"z_s{end}"], _sds_of_smooths(own, values)
        power = 1.0 - data.get(f"centeredness_s{end}", np.zeros(1))
        parts.append(z * unit * (tau / unit) ** power)
    if own.monotonic:
        parts.append(_of_monotonic_effects(own, free, values[f"steps{end}"]))
    return {f"beta{end}": np.concatenate(parts)}


def _of_monotonic_effects(own: ParameterDesign, free: Array, steps: Array) -> Array:
    """Return the coefficients of the levels of monotonic effects, but the ends.

    At level j of D the effect is b D times the share of the first j steps, of which b j
    is that of the straight line.
    """
    found, first = [], 0
    means = free[len(free) - len(own.monotonic) :]
    for b, each in zip(means, own.monotonic, strict=True):
        D = each.count + 1
        zeta = steps[first : first + D] / np.sum(steps[first : first + D])
        found += [b * D * np.sum(zeta[:j]) - b * j for j in range(1, D)]
        first += D
    return np.array(found)


def log_density_of_smooths(
    own: ParameterDesign, values: Mapping[str, Array], data: Mapping[str, Any]
) -> float:
    """Return the log density of what is sampled of the coefficients of smooths."""
    if not own.scaled:
        return 0.0
    end = _ending(own)
    tau = _sds_of_smooths(own, values)
    penalised = values[f"beta{end}"][len(own.free) :][: len(tau)]
    power = np.broadcast_to(data.get(f"centeredness_s{end}", 0.0), tau.shape)
    volume = np.sum(np.log(tau[power > 0]) * power[power > 0])
    # Those of processes may round to 0; what is sampled of their coefficients is
    # standardized.
    z = np.array(values[f"z_s{end}"], dtype=float)
    np.divide(penalised, tau, out=z, where=tau > 0)
    return float(-0.5 * np.sum(np.square(z)) - volume)


def _sds_of_smooths(own: ParameterDesign, values: Mapping[str, Array]) -> Array:
    """Return the standard deviations of the coefficients of smooths."""
    end, found, first = _ending(own), [], 0
    for tau, each in zip(values[f"tau_s{end}"], own.scaled, strict=True):
        if each.spectrum is None:
            found.append(np.full(each.count, tau))
            continue
        omega = each.spectrum.frequencies  # (M, D)
        D = omega.shape[1]
        lengthscale = values[f"lengthscale{end}"][first : first + D]
        first += D
        square = np.sum((omega * lengthscale) ** 2, axis=1)
        nu = {"exp_quad": np.inf, "matern32": 1.5, "matern52": 2.5}
        density = _spectral_density(square, nu[each.spectrum.covariance], D)
        found.append(tau * np.sqrt(np.prod(lengthscale) * density))
    return np.concatenate(found)


def _spectral_density(square: Array, nu: float, D: int) -> Array:
    """Return the density at squared frequencies, with length scales of 1."""
    from math import gamma, pi

    if np.isinf(nu):
        return np.asarray((2 * pi) ** (D / 2) * np.exp(-square / 2))
    constant = 2**D * pi ** (D / 2) * gamma(nu + D / 2) * (2 * nu) ** nu / gamma(nu)
    return np.asarray(constant * (2 * nu + square) ** -(nu + D / 2))


def _ending(own: ParameterDesign) -> str:
    return "" if own.parameter == "mean" else f"_{own.parameter}"
