"""Grouping factors in the pilot's iteration: their state, and the errors of deviations.

The errors of a group's deviations are those given all scales and the population's
coefficients. Where factors are nested they are computed from outer to inner factors;
where they are crossed, each factor leaves the others a share of the rows' information.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.data.design.design import Design, FactorDesign
from stanpool.data.design.nesting import (
    depths,
    factors_within,
    outer_first,
    outer_groups,
    shared_columns,
)
from stanpool.model.pilot.estimate import GroupEstimate, population_precision

_FEWEST_LEFT = 1e-3  # least share of a group's information that other factors leave


@dataclass(eq=False)
class FactorState:
    """The state of a factor in the iteration.

    Attributes
    ----------
    groups
        The number of groups, J.
    members
        The group of each row, counted from 0, and its predictors Z, shapes ``(N,)`` and
        ``(N, Q)``: a pair for each membership of a row.
    correlated
        Whether the coefficients are.
    u, tau, Omega, covariance, covariance_within
        As of ``GroupEstimate``.
    covariance_of_sum
        The covariance of the errors of deviations and the coefficients of outer groups
        together, shape ``(J, Q, Q)``.
    """

    groups: int
    members: list[tuple[NDArray[np.intp], Array]]
    correlated: bool
    u: Array
    tau: Array
    Omega: Array
    covariance: Array
    covariance_within: Array | None = None
    covariance_of_sum: Array | None = None

    @classmethod
    def of(cls, factor: FactorDesign, tau: Array, *, correlated: bool) -> FactorState:
        """Return the state to start from: deviations of 0, and these scales."""
        groups, q = len(factor.labels), factor.Z.shape[1]
        members = [(factor.index, factor.Z)]
        if factor.weights is not None:
            members = [
                (factor.index[:, m], factor.Z * factor.weights[:, m, None])
                for m in range(factor.index.shape[1])
            ]
        return cls(
            groups,
            members,
            correlated,
            u=np.zeros((groups, q)),
            tau=tau,
            Omega=np.eye(q),
            covariance=np.tile(np.diag(np.square(tau)), (groups, 1, 1)),
        )

    @property
    def estimate(self) -> GroupEstimate:
        """The present estimate."""
        return GroupEstimate(
            self.u,
            self.covariance,
            self.tau,
            self.Omega,
            covariance_within=self.covariance_within,
        )

    @property
    def precision(self) -> Array:
        """The inverse of the population's covariance."""
        return population_precision(self.tau, self.Omega)

    def sums(self, values: Array) -> Array:
        """Sum Z times values of rows over groups, shape ``(J, Q, columns)``."""
        found = np.zeros((self.groups, self.u.shape[1], values.shape[1]))
        for index, z in self.members:
            for q in range(z.shape[1]):
                for c in range(values.shape[1]):
                    product = z[:, q] * values[:, c]
                    found[:, q, c] += np.bincount(index, product, minlength=self.groups)
        return found

    def squares(self, weights: Array) -> Array:
        """Sum weighted products of Z over groups, shape ``(J, Q, Q)``."""
        width = self.u.shape[1]
        found = np.zeros((self.groups, width, width))
        for index, z in self.members:
            for q in range(width):
                for r in range(q + 1):
                    product = z[:, q] * z[:, r] * weights
                    summed = np.bincount(index, product, minlength=self.groups)
                    found[:, q, r] += summed
                    if r < q:
                        found[:, r, q] += summed
        return found

    def effects(self, u: Array) -> Array:
        """Return what deviations add to the rows' linear predictors."""
        return np.asarray(
            sum(np.einsum("nq,nq->n", z, u[index]) for index, z in self.members)
        )


class DeviationErrors:
    """The errors of the deviations of all factors, and how the factors are nested.

    Attributes
    ----------
    factors
        The state of each factor, whose covariances are updated.
    outer_first
        The factors, counted from 0: each after those that it is within.
    """

    def __init__(self, design: Design, factors: Sequence[FactorState]) -> None:
        within = factors_within(design)
        self.factors = factors
        self._pairs = _pairs(factors, within)
        self._nesting = _nestings(design, within)
        self.outer_first = tuple(self._nesting)

    def update(self, place: int, weight: Array) -> Array:
        """Update the covariances of a factor's errors; return the groups' information.

        Parameters
        ----------
        place
            The factor, counted from 0. Those that it is within must be up to date.
        weight
            The information of each row about its linear predictor, shape ``(N,)``.

        Returns
        -------
        numpy.ndarray
            Shape ``(J, Q)``.
        """
        factor, nesting = self.factors[place], self._nesting[place]
        weight = self._without_inner(nesting.inner, weight)
        own = self._left_by_others(place, factor.squares(weight), weight)
        factor.covariance = np.asarray(np.linalg.inv(own + factor.precision))
        factor.covariance_of_sum = factor.covariance
        if not nesting.outer:
            return np.asarray(np.einsum("jqq->jq", own))
        # Errors of the outer groups' coefficients, around which these groups vary, are
        # partly corrected by the groups' own data.
        factor.covariance_within = known = factor.covariance
        left = known @ factor.precision
        share = np.eye(left.shape[1]) - left
        of_means = np.zeros_like(known)
        for outer, groups, shared in nesting.outer:
            total = self.factors[outer].covariance_of_sum
            assert total is not None  # outer factors come first
            padded = np.pad(total, ((0, 0), (1, 0), (1, 0)))
            of_means += padded[groups][:, shared[:, None], shared]
        factor.covariance = known + share @ of_means @ np.swapaxes(share, 1, 2)
        factor.covariance_of_sum = known + left @ of_means @ np.swapaxes(left, 1, 2)
        variance = np.einsum("jqq->jq", factor.covariance)
        return np.asarray(np.maximum(1 / variance - 1 / np.square(factor.tau), 0.0))

    def _without_inner(self, inner: Sequence[int], weight: Array) -> Array:
        """Return the rows' information if deviations of inner groups are unknown.

        If the rows of an inner group have the information I together, and its deviation
        has the variance s in a row's linear predictor, the share ``1 / (1 + I s)`` of
        the row's information is left. This is exact if only intercepts vary.
        """
        for place in inner:
            factor = self.factors[place]
            ((index, z),) = factor.members
            Sigma = np.outer(factor.tau, factor.tau) * factor.Omega
            variance = np.einsum("nq,qr,nr->n", z, Sigma, z)
            known = np.bincount(index, weight, minlength=factor.groups)
            weight = weight / (1.0 + known[index] * variance)
        return weight

    def _left_by_others(self, place: int, own: Array, weight: Array) -> Array:
        """Reduce groups' information by what groups of crossed factors may explain."""
        crossed = self._pairs.get(place)
        if not crossed:
            return own
        factor, left = self.factors[place], own.copy()
        for other_place, (pair, first, second) in crossed.items():
            other = self.factors[other_place]
            H = np.linalg.inv(other.squares(weight) + other.precision)
            ((_, z),), ((_, z_2),) = factor.members, other.members
            shape = (len(first), z.shape[1], z_2.shape[1])
            A = np.empty(shape)
            for q in range(shape[1]):
                for r in range(shape[2]):
                    product = weight * z[:, q] * z_2[:, r]
                    A[:, q, r] = np.bincount(pair, product, minlength=len(first))
            explained = A @ H[second] @ np.swapaxes(A, 1, 2)
            for q in range(shape[1]):
                for r in range(shape[1]):
                    left[:, q, r] -= np.bincount(
                        first, explained[:, q, r], minlength=factor.groups
                    )
        values, vectors = np.linalg.eigh(left)
        least = _FEWEST_LEFT * np.linalg.eigvalsh(own)
        kept = np.maximum(values, least)
        return np.asarray((vectors * kept[:, None, :]) @ np.swapaxes(vectors, 1, 2))


@dataclass(frozen=True)
class _Nesting:
    """Which factors are within a factor, and which ones it is within.

    Attributes
    ----------
    inner
        The factors within it, innermost first.
    outer
        The next factors that it is within. Each has its place, the outer group of each
        group, and the columns of ``shared_columns``.
    """

    inner: tuple[int, ...]
    outer: tuple[tuple[int, NDArray[np.intp], NDArray[np.intp]], ...]


def _nestings(design: Design, within: Sequence[Sequence[int]]) -> dict[int, _Nesting]:
    """Return the nesting of all factors, outer ones first."""
    factors, found = design.factors, {}
    depth = depths(within).__getitem__
    for place in outer_first(within):
        inner = [each for each in range(len(factors)) if place in within[each]]
        further = {outer for each in within[place] for outer in within[each]}
        found[place] = _Nesting(
            tuple(sorted(inner, key=depth, reverse=True)),
            tuple(
                (
                    each,
                    outer_groups(factors[place], factors[each]),
                    shared_columns(factors[place].varying, factors[each].varying),
                )
                for each in within[place]
                if each not in further
            ),
        )
    return found


def _pairs(
    factors: Sequence[FactorState], within: Sequence[Sequence[int]]
) -> dict[int, dict[int, Any]]:
    """Return which groups of two crossed factors meet, for each pair of factors."""
    found: dict[int, dict[int, Any]] = {}
    for place, factor in enumerate(factors):
        for other_place, other in enumerate(factors):
            single = len(factor.members) == len(other.members) == 1
            is_nested = other_place in within[place] or place in within[other_place]
            if place == other_place or is_nested or not single:
                continue
            ((index, _),), ((index_2, _),) = factor.members, other.members
            keys = index.astype(np.int64) * other.groups + index_2
            known, pair = np.unique(keys, return_inverse=True)
            both = (pair, known // other.groups, known % other.groups)
            found.setdefault(place, {})[other_place] = both
    return found
