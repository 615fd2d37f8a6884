r"""A quick estimate of a Gaussian model from its reduced rows.

What the pilot does for any family, for the rows of the marginal program: with the
scales known, the population's coefficients solve normal equations from which the
groups' deviations are eliminated [1]_, and nothing is left to iterate but the scales.
A sweep costs as much as a gradient, however many rows the data have. Factors that are
not integrated out are columns of the rows here, too, whose coefficients have
a variance to estimate.

References
----------
.. [1] Bates, Mächler, Bolker and Walker (2015). Fitting linear mixed-effects models
   using lme4. Journal of Statistical Software 67(1), section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.design import Design
from stanpool.model.pilot.estimate import (
    GroupEstimate,
    PilotEstimate,
    agreeing_scales,
    normal_priors,
    residual_scales,
)
from stanpool.model.priors.in_force import PriorRow

_SWEEPS = 30
_MOST_PRODUCTS = 3e8  # products in one iteration, about a tenth of a second
_CLOSE = 0.02  # relative change of a scale at which iteration stops
_SMALLEST = 1e-9


def estimate_from_rows(
    rows: MarginalRows,
    design: Design,
    priors: Iterable[PriorRow],
    correlated: Sequence[bool],
) -> PilotEstimate | None:
    """Estimate a partially pooled Gaussian model.

    Parameters
    ----------
    rows
        What ``marginal_rows`` returned.
    design, priors
        The data and the priors, in the units of the Stan program.
    correlated
        Whether the coefficients of each factor are.

    Returns
    -------
    PilotEstimate or None
        None if the estimate did not come to an end, or there are too many columns.
        Deviations of the factor that is integrated out are those of its merged groups.
    """
    if rows.kept * float(rows.rows.rest.shape[1]) ** 2 > _MOST_PRODUCTS:
        return None
    with np.errstate(all="ignore"):
        try:
            found = _Search(rows, design, list(priors), correlated).run()
        except np.linalg.LinAlgError:
            return None
    return found if found.is_finite else None


class _Search:
    """The state of the iteration; theta are the coefficients of the columns."""

    def __init__(
        self,
        rows: MarginalRows,
        design: Design,
        priors: list[PriorRow],
        correlated: Sequence[bool],
    ) -> None:
        self.rows, self.design, self.correlated = rows, design, correlated
        self.place = rows.integrated[0]
        self.others = [n for n in range(len(design.factors)) if n != self.place]
        groups, rest = rows.groups, rows.rows.rest
        self.first = int(design.intercept)
        self.width = self.first + len(design.coefficients)
        self.columns = rest.shape[1] - 1
        self.location, self.ridge = normal_priors(
            priors, self.width, self.first, design.mean
        )
        self.location[: self.first] -= rows.y_shift
        # Rows with Z first, group by group, then those without.
        self.all = np.concatenate([groups.X.reshape(-1, rest.shape[1]), rest])
        q = groups.Z.shape[1]
        own = np.repeat(groups.scale, q)
        self.scale_of_row = np.concatenate([own, rows.rows.scale_of_rest])
        self.squares = np.einsum("gqr,gqs->grs", groups.Z, groups.Z)
        self.products = np.einsum("gqr,gqd->grd", groups.Z, groups.X)
        kept = np.bincount(rows.scale, minlength=len(rows.zeros)) * q
        rest_of = np.bincount(rows.rows.scale_of_rest, minlength=len(rows.zeros))
        self.weight = np.maximum(rows.zeros + kept + rest_of, 1.0)
        self.is_known = design.se is not None
        spread = np.sqrt(np.square(self.all[:, -1]).sum() / self.weight.sum())
        self.common = 1.0 if self.is_known else float(spread)
        self.sigma = np.full(len(rows.zeros), self.common)
        self.residual: GroupEstimate | None = None
        self.theta = np.zeros(self.columns)
        self.factors = self.first_guesses(float(spread))

    def first_guesses(self, spread: float) -> list[GroupEstimate]:
        """Guess scales with which coefficients make half of the rows' spread."""
        found = []
        total = self.weight.sum()
        for number, factor in enumerate(self.design.factors):
            groups, q, count = len(factor.labels), factor.Z.shape[1], None
            if number == self.place:
                count = self.rows.groups.count
                groups = len(count)
                squares = np.einsum("grr->r", self.squares)
            else:
                own = self.all[:, self.rows.columns[number]]
                squares = np.square(own).sum(axis=0).reshape(groups, q).sum(axis=0)
            size = np.sqrt(squares / total)
            tau = 0.5 * spread / np.where(size > 0, size, 1.0)
            u, errors = np.zeros((groups, q)), np.zeros((groups, q, q))
            found.append(GroupEstimate(u, errors, tau, np.eye(q), count))
        return found

    def run(self) -> PilotEstimate:
        """Iterate until the scales have converged."""
        for _ in range(_SWEEPS):
            before = self.scales()
            self.solve()
            self.update_sigma()
            self.update_scales()
            if np.max(np.abs(np.log(self.scales() / before))) < _CLOSE:
                break
        self.solve()
        theta = self.theta[: self.width].copy()
        theta[: self.first] += self.rows.y_shift
        return PilotEstimate(
            theta=theta,
            theta_covariance=self.errors[: self.width, : self.width],
            factors=tuple(self.factors),
            parameters={} if self.is_known else {"sigma": self.common},
            residual=self.residual,
        )

    def solve(self) -> None:
        """Estimate coefficients and deviations given the present scales."""
        weight = self.sigma**-2.0
        roots = np.sqrt(weight)[self.scale_of_row]
        whole = self.all * roots[:, None]
        gram = whole.T @ whole
        of_group = weight[self.rows.groups.scale][:, None, None]
        H = self.squares * of_group + self.factors[self.place].precision
        G = self.products * of_group
        errors = np.linalg.inv(H)
        solved = errors @ G
        q = G.shape[1]
        gram -= G.reshape(-1, G.shape[2]).T @ solved.reshape(len(G) * q, -1)
        S, wanted = gram[:-1, :-1], gram[:-1, -1].copy()
        S += self.penalty()
        wanted[: self.width] += self.ridge * self.location
        self.errors = np.linalg.inv(S)
        self.theta = self.errors @ wanted
        u = solved @ np.append(-self.theta, 1.0)
        self.update(self.place, u, errors)
        for number in self.others:
            own, shape = self.rows.columns[number], self.factors[number].u.shape
            of_groups = self.errors[own, own].reshape(shape + shape)
            blocks = np.einsum("jqjr->jqr", of_groups)
            self.update(number, self.theta[own].reshape(shape), blocks)

    def penalty(self) -> Array:
        """Return the precision that priors and populations give to coefficients."""
        found = np.zeros((self.columns, self.columns))
        np.fill_diagonal(found[: self.width, : self.width], self.ridge)
        for number in self.others:
            own, factor = self.rows.columns[number], self.factors[number]
            found[own, own] = np.kron(np.eye(len(factor.u)), factor.precision)
        return found

    def update(self, number: int, u: Array, errors: Array) -> None:
        """Store the estimates of a factor's deviations and their covariances."""
        last = self.factors[number]
        self.factors[number] = GroupEstimate(
            u, errors, last.tau, last.Omega, last.count
        )

    def update_scales(self) -> None:
        """Update all scales from the deviations."""
        for number, factor in enumerate(self.factors):
            if number == self.place:
                weight = (self.sigma**-2.0)[self.rows.groups.scale]
                information = np.einsum("gqq->gq", self.squares) * weight[:, None]
            else:
                errors = np.einsum("jqq->jq", factor.covariance)
                information = np.maximum(1 / errors - 1 / np.square(factor.tau), 0.0)
            tau, Omega = agreeing_scales(
                factor, information, correlated=self.correlated[number]
            )
            self.factors[number] = GroupEstimate(
                factor.u, factor.covariance, tau, Omega, factor.count
            )

    def update_sigma(self) -> None:
        """Estimate residual scales by sums of squares over degrees of freedom."""
        if self.is_known:
            return
        groups = self.rows.groups
        left = self.all @ np.append(-self.theta, 1.0)
        q = groups.Z.shape[1]
        own = self.factors[self.place]
        left[: len(groups.Z) * q] -= np.einsum("gqr,gr->gq", groups.Z, own.u).ravel()
        scales = len(self.weight)
        squares = np.zeros(scales)
        np.add.at(squares, self.scale_of_row, np.square(left))
        used = self.width + sum(factor.determined.sum() for factor in self.factors)
        total = self.weight.sum()
        free = max(total - used, 0.1 * total)
        self.common = max(float(np.sqrt(squares.sum() / free)), _SMALLEST)
        self.sigma = np.full(scales, self.common)
        if self.design.residual is not None:
            counts = self.weight * free / total
            self.common, self.residual = residual_scales(squares, counts, self.residual)
            self.sigma = self.common * np.exp(self.residual.u[:, 0])

    def scales(self) -> Array:
        """Return all scales of factors."""
        return np.concatenate([factor.tau for factor in self.factors])
