"""A pilot estimate as a value, and what the pilots of all families compute alike.

References
----------
.. [1] MacKay (1992). Bayesian interpolation. Neural Computation 4(3), 415-447,
   equation 4.9: a variance is a sum of squares over the number of well-determined
   deviations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.design import ParameterDesign
from stanpool.model.priors.in_force import PriorRow

_LARGEST_CORRELATION = 0.9  # largest estimate of a correlation
_SCALE_STEPS = 5  # iterations of the scale of the groups' residual scales
_WIDER_THAN_SHARED = 4.0  # scale of coefficients that a horseshoe shrinks little
_LEAST_SQUARES = 1e-18  # least sum of squared residuals


@dataclass(frozen=True, eq=False)
class GroupEstimate:
    """The estimate of what varies over one grouping factor.

    Attributes
    ----------
    u
        Deviations of the groups' coefficients, shape ``(J, D)``.
    covariance
        The covariance of their errors, given all scales, shape ``(J, D, D)``.
    tau
        The population's scales, shape ``(D,)``.
    Omega
        The correlations, shape ``(D, D)``.
    count
        How many groups each of the J stands for, where groups that are alike were
        reduced to fewer.
    covariance_within
        Where groups are within those of other factors, the covariance of the errors
        given the coefficients of these, too; else None.
    """

    u: Array
    covariance: Array
    tau: Array
    Omega: Array
    count: Array | None = None
    covariance_within: Array | None = None

    @property
    def share_of_own_data(self) -> Array:
        """The same as ``information``, given the coefficients of outer groups."""
        if self.covariance_within is None:
            return self.information
        return self._share(self.covariance_within)

    @property
    def information(self) -> Array:
        """The share of the groups' own data in what is known, shape ``(J, D)``.

        ``I tau^2 / (1 + I tau^2)``, with the Fisher information I of a group's rows.
        """
        return self._share(self.covariance)

    @property
    def determined(self) -> Array:
        """The effective number of well-determined deviations, shape ``(D,)``."""
        return self.over_groups(self.information)

    @property
    def precision(self) -> Array:
        """The inverse of the population's covariance, shape ``(D, D)``."""
        return population_precision(self.tau, self.Omega)

    @property
    def scale_errors(self) -> Array:
        """Standard errors of the logarithms of the scales, shape ``(D,)``."""
        squares = self.over_groups(np.square(self.information))
        return np.asarray(1 / np.sqrt(2.0 * np.maximum(squares, 1e-9)))

    def _share(self, covariance: Array) -> Array:
        """Return by which share data make the variances of deviations smaller."""
        variance = np.einsum("jdd->jd", covariance)
        return np.asarray(np.clip(1 - variance / np.square(self.tau), 0.0, 1.0))

    def over_groups(self, values: Array) -> Array:
        """Sum values over groups, counting merged groups as often as they occur."""
        return np.asarray(
            values.sum(axis=0) if self.count is None else self.count @ values
        )


@dataclass(frozen=True, eq=False)
class PilotEstimate:
    """The estimate of a model, in the units of its Stan program.

    Attributes
    ----------
    theta
        The intercept where predictors are at their means, if there is one, and the
        population's coefficients: shape ``(P,)``, or ``(P, C - 1)`` for categories.
    theta_covariance
        The covariance of their errors, ``(P, P)``; for categories, of each apart:
        ``(C - 1, P, P)``.
    factors
        What varies over each grouping factor.
    parameters
        The family's parameters by name; ``sigma`` is that of the population where
        groups have their own.
    residual
        How the logarithms of the groups' residual scales deviate, or None.
    """

    theta: Array
    theta_covariance: Array
    factors: tuple[GroupEstimate, ...]
    parameters: Mapping[str, Any]
    residual: GroupEstimate | None = None

    def estimates(self, parameter: str) -> tuple[GroupEstimate, ...]:
        """Return what varies over the factors of a parameter's linear predictor."""
        if parameter == "mean":
            return self.factors
        return () if self.residual is None else (self.residual,)

    @property
    def theta_sd(self) -> Array:
        """The standard errors of ``theta``, in its shape."""
        variances = np.diagonal(self.theta_covariance, axis1=-2, axis2=-1)
        return np.asarray(np.sqrt(variances.T))

    @property
    def is_finite(self) -> bool:
        """Whether all numbers of the estimate are finite."""
        values = [self.theta, self.theta_covariance, *self.parameters.values()]
        for factor in (*self.factors, *filter(None, [self.residual])):
            values += [factor.u, factor.covariance, factor.tau, factor.Omega]
        return all(bool(np.all(np.isfinite(each))) for each in values)


def population_precision(tau: Array, Omega: Array) -> Array:
    """Return the inverse of ``diag(tau) Omega diag(tau)``."""
    return np.asarray(np.linalg.inv(Omega) / np.outer(tau, tau), dtype=float)


def agreeing_scales(
    factor: GroupEstimate, information: Array, *, correlated: bool
) -> tuple[Array, Array]:
    """Return scales and correlations that agree with a factor's deviations [1]_.

    Parameters
    ----------
    factor
        The deviations, their errors, and the scales under which they were estimated.
    information
        What the groups' own data say, shape ``(J, D)``.
    correlated
        Whether the coefficients are.
    """
    u, errors, square = factor.u, factor.covariance, np.square(factor.tau)
    count = np.ones(len(u)) if factor.count is None else factor.count
    share = np.clip(1 - np.einsum("jqq->jq", errors) / square, 1e-9, 1)
    # Their mean is estimated from them, too, as the population's coefficient.
    total, squares = count @ share, count @ np.square(share)
    determined = total - squares / total
    # A step of Fisher scoring; few steps suffice even if groups have little data.
    found = square + (np.sum(np.square(u), axis=0) - square * determined) / squares
    # Where data do not distinguish tau from 0, half of the scale that they would.
    unknown = np.sqrt(2.0 / (count @ np.square(information)))
    found = np.where(np.isfinite(unknown), np.maximum(found, 0.5 * unknown), square)
    Omega = factor.Omega
    if correlated:
        products = np.einsum("jq,jr->qr", u, u) + np.tensordot(count, errors, 1)
        scale = np.sqrt(np.diag(products))
        largest = _LARGEST_CORRELATION
        Omega = np.clip(products / np.outer(scale, scale), -largest, largest)
        np.fill_diagonal(Omega, 1.0)
        values, vectors = np.linalg.eigh(Omega)
        near = (vectors * np.maximum(values, 1 - largest)) @ vectors.T
        scale = np.sqrt(np.diag(near))
        Omega = np.asarray(near / np.outer(scale, scale))
    return np.sqrt(np.clip(found, square / 4, square * 4)), Omega


def residual_scales(
    squares: Array, counts: Array, last: GroupEstimate | None
) -> tuple[float, GroupEstimate]:
    """Return the residual scale of the population, and how those of groups deviate.

    Parameters
    ----------
    squares, counts
        Sums of squared residuals of each group, and how many they are, shape ``(J,)``.
    last
        The estimate to start from.
    """
    sigma = float(np.sqrt(max(squares.sum(), _LEAST_SQUARES) / counts.sum()))
    # One more row of the common scale: logarithms of few squares have long tails.
    logs = 0.5 * np.log((squares / sigma**2 + 1.0) / (counts + 1.0))
    logs *= (counts + 1.0) / np.maximum(counts, 1e-9)
    information = 2.0 * counts
    tau = np.full(1, 0.3) if last is None else last.tau
    factor, center = last, 0.0
    for _ in range(_SCALE_STEPS):
        share = information * tau**2 / (1.0 + information * tau**2)
        center = float(share @ logs / share.sum())
        u = (share * (logs - center))[:, None]
        errors = (tau**2 * (1.0 - share))[:, None, None]
        factor = GroupEstimate(u, errors, tau, np.eye(1))
        tau, _ = agreeing_scales(factor, information[:, None], correlated=False)
    assert factor is not None
    return sigma * float(np.exp(center)), factor


def normal_priors(
    priors: list[PriorRow], width: int, first: int, own: ParameterDesign
) -> tuple[Array, Array]:
    """Return location and precision of the population's priors, as if normal.

    Those of the coefficients of smooths, the last, are taken as wide: rows tell them.
    A horseshoe is as wide as coefficients that are not shrunk much.
    Rows do not tell all coefficients of Gaussian processes, which are as their
    amplitude and length scales may well be.
    """
    location, precision = np.zeros(width), np.full(width, 1e-10)
    place = first
    for row in priors:
        arguments = row.prior.canonical.named_arguments
        at = None
        if row.parameter_class == "Intercept" and first:
            at = 0
        elif row.parameter_class == "beta" and place < width:
            at, place = place, place + 1
        if at is not None and row.prior.is_constant:
            location[at], precision[at] = arguments["value"], 1e10
        elif at is not None and {"location", "scale"} <= arguments.keys():
            location[at] = arguments["location"]
            precision[at] = arguments["scale"] ** -2.0
        elif at is not None and row.prior.support == "shrinkage":
            precision[at] = (_WIDER_THAN_SHARED * arguments["global_scale"]) ** -2.0
    if own.processes:
        tau = [_size_of(row) for row in priors if row.parameter_class == "tau_s"]
        sds = own.sds_of_smooths(np.array(tau), own.middle_lengthscales)
        is_of_process = np.array([x.spectrum is not None for x in own.scaled])
        places = first + len(own.free) + np.flatnonzero(is_of_process[own.scale_of])
        precision[places] = sds[is_of_process[own.scale_of]] ** -2.0
    # Of levels of monotonic effects about as wide as of all steps together.
    last = width
    for place, each in enumerate(reversed(own.monotonic)):
        of_mean = precision[first + len(own.free) - 1 - place]
        precision[last - each.count : last] = of_mean / each.count**2
        last -= each.count
    return location, precision


def _size_of(row: PriorRow) -> float:
    """Return about how large a scale is under its prior."""
    known = row.prior.named_arguments
    return 1.0 / known["rate"] if "rate" in known else known.get("scale", 1.0)
