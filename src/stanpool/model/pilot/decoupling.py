r"""Sampling coefficients of the population apart from each other and from groups.

Given all scales, the posterior of a gaussian model's coefficients is normal. With
precisions :math:`A` of the population's coefficients :math:`\theta`, :math:`D` of the
groups' deviations :math:`u` and :math:`C` of both, the deviations have mean
:math:`-D^{-1} C' (\theta - \hat\theta)` given the population, and the covariance of
:math:`\theta` is :math:`(A - C D^{-1} C')^{-1} = L L'`. With

.. math:: \theta = \hat\theta + L z_\theta, \quad z = z_u + B z_\theta,

where z are the groups' coefficients in the adaptive form and B is their regression on
:math:`z_\theta`, coefficients of the population and of the groups are independent at
the pilot estimate of the scales, and the former have standard deviations of 1. Centers
of groups do this alone where groups are not crossed with each other or with predictors;
otherwise chains would move slowly along what the data do not tell apart [1]_.

Where groups are not crossed, or are integrated out, :math:`L L'` is the covariance of
:math:`\theta` that the pilot estimate has. It takes the correlations away that many
predictors, or few similar ones, have, as a QR decomposition of a model matrix does
where there are no groups.

References
----------
.. [1] Papaspiliopoulos, Roberts and Zanella (2020). Scalable inference for crossed
   random effects models. Biometrika 107(1), 25-40.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.compression.cells import AggregatedRows
from stanpool.data.compression.crossproducts import Crossproducts
from stanpool.data.compression.gaussian_rows import CompressedRows
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.design import Design
from stanpool.data.design.rank import about_means
from stanpool.model.pilot.centering import Centering
from stanpool.model.pilot.estimate import PilotEstimate
from stanpool.model.program.population_means import group_means
from stanpool.model.program.structure import Structure, suffix_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

# What all rows may be reduced to, where groups are not crossed.
Rows = AggregatedRows | CompressedRows | MarginalRows

_CLOSE = 1e-6  # relative size of what is left of the equations of a regression
_MOST_STEPS = 500
_ENOUGH_ROWS = 10_000
_ALIKE = 8.0  # largest over smallest variance of combinations of predictors
_WORK = 2  # multiplications of the regressions, for each of the crossproducts'


@dataclass(frozen=True, eq=False)
class Decoupling:
    """How the population's coefficients are sampled apart from the groups'.

    Attributes
    ----------
    location, root
        The population's coefficients, P of them, are ``location + root @ z_theta``:
        shapes ``(P,)`` and ``(P, P)``.
    slopes
        What ``z_theta`` adds to z of each factor, one column of z after the other:
        shape ``(J * Q, P)``. Empty where groups are integrated out.
    """

    location: Array
    root: Array
    slopes: tuple[Array, ...]

    def scaled(self, by: Array) -> Decoupling:
        """Return the same of coefficients multiplied by ``by``, shape ``(P,)``."""
        return replace(self, location=self.location * by, root=by[:, None] * self.root)

    def standardized(self, theta: Array) -> Array:
        """Return ``z_theta`` of the population's coefficients."""
        return np.asarray(np.linalg.solve(self.root, theta - self.location))

    def added_to_z(self, number: int, z_theta: Array, shape: tuple[int, ...]) -> Array:
        """Return what ``z_theta`` adds to z of a factor, in the shape of z."""
        return (self.slopes[number] @ z_theta).reshape(shape, order="F")

    def data(self) -> dict[str, Any]:
        """Return Stan's data."""
        found = {"theta_pilot": self.location, "theta_root": self.root}
        for number, each in enumerate(self.slopes, 1):
            found[f"z_slopes{suffix_of(number)}"] = each
        return found


def pays_to_decouple(design: Design, rows: Crossproducts) -> bool:
    """Whether a gradient takes little longer if the population is sampled apart."""
    own = design.X.shape[1] + int(design.intercept)
    groups = sum(len(each.labels) * len(each.varying) for each in design.factors)
    return bool(0 < own * groups <= _WORK * rows.kept)


def are_alike(design: Design, rows: Rows | None) -> bool:
    """Whether predictors are so correlated that their coefficients hold chains back.

    A trajectory takes about as many steps as the square root of the condition number
    of the correlation matrix of what is sampled.

    Parameters
    ----------
    design
        The data; of many rows some are looked at.
    rows
        What all rows are reduced to, if they are; the rows of data read in chunks are
        kept nowhere else.
    """
    if design.X.shape[1] < 2:
        return False
    products = _products_about_means(design, rows)
    sd = np.sqrt(np.diagonal(products))
    if not np.all(sd > 0):
        return False
    values = np.linalg.eigvalsh(products / np.outer(sd, sd))
    return bool(values[-1] > _ALIKE * values[0])


def _products_about_means(design: Design, rows: Rows | None) -> Array:
    """Return the crossproducts of predictors about their means, shape ``(P, P)``."""
    if rows is None or isinstance(rows, AggregatedRows):
        X = design.X if rows is None else rows.design.X
        X = X[:: 1 + len(X) // _ENOUGH_ROWS]
        has_level = design.intercept or design.categories
        X = about_means(X, None) if has_level else X
        return np.asarray(X.T @ X)
    first = int(design.intercept)
    if isinstance(rows, CompressedRows):
        columns = rows.X
    else:
        every = (rows.rows.X.reshape(-1, rows.rows.X.shape[-1]), rows.rows.rest)
        own = slice(0, first + design.X.shape[1])
        columns = np.concatenate([part[:, own] for part in every])
    products = columns.T @ columns
    if first:
        of_intercept = products[0, 1:]
        taken = np.outer(of_intercept, of_intercept) / products[0, 0]
        products = products[1:, 1:] - taken
    return np.asarray(products)


def apart_from_each_other(pilot: PilotEstimate | None, coefficients: int) -> Decoupling:
    """Return how the population's coefficients are sampled where there are no groups.

    Parameters
    ----------
    pilot
        The pilot estimate; without one, the coefficients are sampled as they are.
    coefficients
        The number of the coefficients, P, with the intercept.
    """
    if pilot is None:
        return Decoupling(np.zeros(coefficients), np.eye(coefficients), ())
    root = np.linalg.cholesky(pilot.theta_covariance)
    return Decoupling(pilot.theta, root.astype(np.float64), ())


def decoupling_of(
    design: Design,
    structure: Structure,
    rows: Crossproducts,
    pilot: PilotEstimate | None,
    prior_precision: Array,
    centering: Sequence[Centering],
    elsewhere: Sequence[frozenset[str]],
) -> Decoupling:
    """Return how the population's coefficients are sampled apart.

    Parameters
    ----------
    design, structure, rows
        The data, in the units of the program, their structure and crossproducts.
    pilot
        The pilot estimate; without one, the coefficients are sampled as they are.
    prior_precision
        Of the population's coefficients, as if normal, shape ``(P,)``.
    centering, elsewhere
        How and where each factor's coefficients are centered.
    """
    first = int(design.intercept)
    own = first + design.X.shape[1]
    sizes = [len(each.labels) * len(each.varying) for each in design.factors]
    if pilot is None:
        none = tuple(np.zeros((size, own)) for size in sizes)
        return Decoupling(np.zeros(own), np.eye(own), none)
    A, C, D = _precisions(design, rows, pilot, own)
    regression = _solved(D, C)  # minus what u changes by with theta, (J * Q, P)
    precision = A + np.diag(prior_precision) - C.T @ regression
    root = np.linalg.cholesky(np.linalg.inv(0.5 * (precision + precision.T)))
    of_factors = np.split(-regression @ root, np.cumsum(sizes)[:-1])
    slopes = tuple(
        _in_z(design, structure, number, each, root, pilot, centering, elsewhere)
        for number, each in enumerate(of_factors)
    )
    return Decoupling(pilot.theta, root, slopes)


def _precisions(
    design: Design, rows: Crossproducts, pilot: PilotEstimate, own: int
) -> tuple[Array, Array, csr_array]:
    """Return the precisions of the population, of both, and of the groups."""
    from scipy.sparse import block_diag, csr_array, eye_array, kron

    size = len(rows.estimate)
    half = csr_array((rows.gram, (rows.row, rows.column)), shape=(size, size))
    sigma = 1.0 if design.se is not None else float(pilot.parameters["sigma"])
    whole = ((half + half.T) * (0.5 / sigma**2)).tocsr()
    # Intercepts where predictors have their means: theta has alpha at x_bar.
    move = np.eye(own)
    if design.intercept:
        move[0, 1:] = -design.x_bar
    A = move.T @ whole[:own, :own].toarray() @ move
    C = whole[own:, :own].toarray() @ move
    population = [
        kron(each.precision, eye_array(len(factor.labels)))
        for each, factor in zip(pilot.factors, design.factors, strict=True)
    ]
    return A, C, (whole[own:, own:] + block_diag(population)).tocsr()


def _solved(D: csr_array, right: Array) -> Array:
    """Return ``D^-1 right`` by conjugate gradients, a column at a time."""
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import cg  # type: ignore[import-untyped]

    scale = diags_array(1.0 / D.diagonal())
    found = np.empty(right.shape)
    for place, column in enumerate(right.T):
        found[:, place], _ = cg(D, column, rtol=_CLOSE, maxiter=_MOST_STEPS, M=scale)
    return found


def _in_z(
    design: Design,
    structure: Structure,
    number: int,
    changes: Array,
    root: Array,
    pilot: PilotEstimate,
    centering: Sequence[Centering],
    elsewhere: Sequence[frozenset[str]],
) -> Array:
    """Return what ``z_theta`` changes about z, from what it changes about u."""
    groups, own = len(design.factors[number].labels), pilot.factors[number]
    width, first = len(own.tau), int(design.intercept)
    left_out = elsewhere[number] if elsewhere else None
    chol: Array | None = None
    if structure.factors[number].correlated:
        chol = np.asarray(np.linalg.cholesky(own.Omega), dtype=np.float64)

    def means(theta: Array) -> Array:
        alpha, beta = theta[:first].sum(keepdims=True), theta[None, first:]
        found = group_means(
            design, number, alpha, beta, elsewhere=left_out, at_x_bar=True
        )
        return np.asarray(found).reshape(-1, width)

    found = np.empty(changes.shape)
    for place, (of_u, of_theta) in enumerate(zip(changes.T, root.T, strict=True)):
        u = of_u.reshape(groups, width, order="F")
        z = centering[number].standardized(u, means(of_theta), own.tau, chol)
        found[:, place] = z.ravel(order="F")
    return found
