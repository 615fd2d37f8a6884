r"""The log likelihood of a model's rows, coefficients integrated out or not.

Coefficients that are integrated out leave rows that are jointly normal. With residuals
:math:`r`, precisions :math:`W = diag(w_n / \sigma_n^2)` and deviations
:math:`u = \Lambda v`, :math:`v \sim N(0, I)`, completing the square [1]_ gives

.. math:: \log p(r) = -\tfrac12 \Big( \sum_n w_n \log \sigma_n^2 + r' W r
    - c' M^{-1} c + \log |M| \Big), \quad M = I + \Lambda' Z' W Z \Lambda,
    \quad c = \Lambda' Z' W r.

References
----------
.. [1] Bates, Mächler, Bolker and Walker (2015). Fitting linear mixed-effects models
   using lme4. Journal of Statistical Software 67(1), section 3.
.. [2] Kotz and Nadarajah (2004). Multivariate t Distributions and Their Applications.
   Cambridge University Press, section 1.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import Array, Indices
from stanpool.data.design.covariance.correlated_residuals import CorrelatedResiduals
from stanpool.data.likelihood import log_likelihood
from stanpool.density.rows import DataRows, NormalRows, related
from stanpool.density.terms.factors import (
    latent_of,
    products_of_rows,
    sums_of_products,
    tensor_of,
)
from stanpool.density.terms.formulas import Formula
from stanpool.density.terms.groups import Groups, Population
from stanpool.density.terms.uncertain import (
    effects_of_values,
    log_density_of_seen,
    uncertain_of,
)
from stanpool.language.family import FAMILIES

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The log likelihood of rows.

    Attributes
    ----------
    rows
        The rows.
    groups
        The groups' coefficients of each factor.
    formulas
        The parameters that have formulas.
    """

    rows: DataRows | NormalRows
    groups: Sequence[Groups]
    formulas: Sequence[Formula] = ()

    def terms(
        self,
        values: Mapping[str, Array],
        population: Population,
        deviations: Sequence[Array | None],
    ) -> list[float]:
        """Return what the log likelihood is the sum of, up to a constant.

        Parameters
        ----------
        values
            The parameters by name, in the user's units.
        population
            The population's part of the linear predictors.
        deviations
            Of each factor, shape ``(J, D)``; None where they are integrated out.
        """
        rows, sigma = self.rows, _residual_scales(values)
        if isinstance(rows, NormalRows):
            left = self._left_of_normal_rows(rows, population, deviations)
            own = np.ones(len(rows.zeros)) if sigma is None else np.atleast_1d(sigma)
            zeros = float(-(rows.zeros * np.log(own)).sum())
            return [zeros, *self._normal(left, np.square(own), rows.scale, values)]
        eta = self._linear_predictor(rows, values, population, deviations)
        design = rows.design
        if any(each is None for each in deviations):
            variance = np.ones(1) if sigma is None else np.square(np.atleast_1d(sigma))
            scale = None if design.residual is None else design.residual.index
            return self._normal(design.y - eta[:, 0], variance, scale, values)
        if sigma is not None and design.residual is not None:
            sigma = sigma[design.residual.index]
        parameters = {
            own.name: values[own.name]
            for own in FAMILIES[rows.spec.family].auxiliary
            if own.name in values
        }
        parameters |= {
            each.design.parameter: each.of_rows(values) for each in self.formulas
        }
        if sigma is not None:
            parameters["sigma"] = sigma
        uncertain = uncertain_of(design)
        if uncertain is not None:
            shift, variance = effects_of_values(uncertain, values)
            eta = eta + shift[:, None]
            if "z_x" not in values:
                own = np.square(parameters["sigma"])
                parameters["sigma"] = np.sqrt(own + variance)
        if "cutpoint_c" in values:
            parameters["cutpoint"] = values["cutpoint_c"]
        eta = eta if rows.spec.is_categorical else eta[:, 0]
        if design.residual_correlation is not None:
            scales = np.broadcast_to(parameters["sigma"], eta.shape)
            left, subjects = design.y - eta, design.residual_correlation
            return _of_subjects(subjects, left, scales, values)
        found = log_likelihood(rows.spec, design, eta, parameters)
        both = [float(np.sum(found[found > 0])), float(np.sum(found[~(found > 0)]))]
        if uncertain is not None:
            both.append(log_density_of_seen(uncertain, values))
        return both

    def _linear_predictor(
        self,
        rows: DataRows,
        values: Mapping[str, Array],
        population: Population,
        deviations: Sequence[Array | None],
    ) -> Array:
        """Return eta, but for what is integrated out, shape ``(N, D)``."""
        eta = np.asarray(rows.X @ population.beta.T)
        if population.at_means is not None:
            eta += population.at_means
        width = eta.shape[1]
        for matrix, u in zip(rows.effects, deviations, strict=True):
            if u is not None:
                of_each = u.reshape(len(u), width, -1)
                for d in range(width):
                    eta[:, d] += matrix @ of_each[:, d].ravel()
        latent = latent_of(rows.design)
        if latent is not None:
            eta += products_of_rows(latent, values)[:, None]
        tensor = tensor_of(rows.design)
        if tensor is not None:
            eta += sums_of_products(tensor, values)[:, None]
        if rows.design.offset is not None:
            eta += rows.design.offset[:, None]
        return eta

    def _left_of_normal_rows(
        self,
        rows: NormalRows,
        population: Population,
        deviations: Sequence[Array | None],
    ) -> Array:
        """Return the residuals of rows that stand for more rows."""
        theta = population.beta[0]
        if population.at_means is not None:
            theta = np.append(population.at_means[0] - rows.y_shift, theta)
        left = np.asarray(rows.y - rows.X @ theta)
        for matrix, u in zip(rows.effects, deviations, strict=True):
            if u is not None:
                left -= matrix @ u.ravel()
        return left

    def _normal(
        self,
        left: Array,
        variances: Array,
        scale: Indices | None,
        values: Mapping[str, Array],
    ) -> list[float]:
        """Return the log density of residuals, some deviations integrated out.

        Parameters
        ----------
        left
            The residuals, shape ``(N,)``.
        variances
            Of each residual scale; of known scales, 1.
        scale
            Which of them each row has; None if there is one for all.
        values
            The parameters.
        """
        counts, weights = self._weights
        single = len(variances) == 1
        variance = variances if single or scale is None else variances[scale]
        precision = weights / variance
        found = [
            float(-0.5 * np.sum(counts * np.log(variance))),
            float(-0.5 * np.sum(precision * np.square(left))),
        ]
        if self._integrated is None:
            return found
        scales = [own.scales(values) for own in self.groups if own.is_integrated]
        roots = [tau[:, None] * chol for tau, chol in scales]
        Z = self._integrated
        c = Z.T @ (precision * left)
        if single and self._of_each_group is not None:
            return [*found, *_apart(roots[0], self._of_each_group / variance[0], c)]
        inner = self._products / variance[0] if single else _products(Z, precision)
        return [*found, *self._together(roots, inner, c)]

    def _together(
        self, roots: Sequence[Array], inner: csr_array, c: Array
    ) -> list[float]:
        """Return the terms of deviations whose groups share rows; see ``_apart``."""
        from scipy.sparse import block_diag, eye_array, kron

        sizes = [own.factor.independent for own in self.groups if own.is_integrated]
        parts = [kron(eye_array(J), L) for J, L in zip(sizes, roots, strict=True)]
        root = block_diag(parts, format="csr")
        M = root.T @ inner @ root + eye_array(root.shape[0])
        solution, log_determinant = _solved(M, root.T @ c)
        return [float(0.5 * (c @ (root @ solution))), -0.5 * log_determinant]

    @cached_property
    def _weights(self) -> tuple[Array, Array]:
        """How many times each row counts, and the same over known variances."""
        rows = self.rows
        if isinstance(rows, NormalRows):
            return np.ones(len(rows.y)), np.ones(len(rows.y))
        design = rows.design
        counts = np.ones(design.rows) if design.weights is None else design.weights
        known = 1.0 if design.se is None else np.square(design.se)
        return counts, counts / known

    @cached_property
    def _integrated(self) -> csr_array | None:
        """The matrix of the coefficients that are integrated out, if any are.

        Where groups have a known covariance, of those that they are made of.
        """
        from scipy.sparse import csr_array, hstack

        chosen = []
        for matrix, own in zip(self.rows.effects, self.groups, strict=True):
            root = own.factor.root
            if own.is_integrated and root is not None:
                chosen.append(csr_array(matrix @ related(root, np.eye(root.columns))))
            elif own.is_integrated:
                chosen.append(matrix)
        return hstack(chosen, format="csr") if chosen else None

    @cached_property
    def _products(self) -> csr_array:
        """Its products, weighted, for residual scales of 1."""
        return _products(self._integrated, self._weights[1])

    @cached_property
    def _of_each_group(self) -> Array | None:
        """Those of each group, ``(J, D, D)``; None if groups have rows in common."""
        first, *others = (own.factor for own in self.groups if own.is_integrated)
        width = len(first.coefficients)
        found = self._products.tobsr((width, width))
        found.sort_indices()
        places = np.arange(len(first.labels))
        is_apart = not others and np.array_equal(found.indices, places)
        return np.asarray(found.data) if is_apart else None


def _residual_scales(values: Mapping[str, Array]) -> Array | None:
    """Return the residual scale, or those of groups of rows; None if all are known."""
    if "sigma_j" in values:
        return values["sigma_j"]
    if "sigma" in values and "z_sigma" in values:
        spread = values["tau_sigma"] * values["z_sigma"]
        return np.asarray(values["sigma"] * np.exp(spread))
    return values.get("sigma")


def _products(Z: csr_array, weights: Array) -> csr_array:
    """Return ``Z' W Z``."""
    return (Z.T.multiply(weights)).tocsr() @ Z


def _apart(root: Array, inner: Array, c: Array) -> list[float]:
    """Return the terms of deviations that are integrated out, group by group.

    Parameters
    ----------
    root
        The root of the covariance of a group's deviations, ``(D, D)``.
    inner
        ``Z' W Z`` of each group, over the variance, ``(J, D, D)``.
    c
        ``Z' W r`` of the residuals r, over the variance, ``(J * D,)``.
    """
    M = root.T @ inner @ root + np.eye(len(root))
    own = c.reshape(-1, len(root)) @ root
    solution = np.linalg.solve(M, own[..., np.newaxis])[..., 0]
    log_determinant = float(np.linalg.slogdet(M)[1].sum())
    return [float(0.5 * np.sum(own * solution)), -0.5 * log_determinant]


def _solved(M: csr_array, c: Array) -> tuple[Array, float]:
    """Return ``M^-1 c`` and ``log |M|`` of a positive definite sparse matrix."""
    from scipy.sparse.linalg import splu  # type: ignore[import-untyped]

    factors = splu(
        M.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    )
    log_determinant = float(np.log(np.abs(factors.U.diagonal())).sum())
    return factors.solve(c), log_determinant


def _of_subjects(
    own: CorrelatedResiduals, left: Array, sigma: Array, values: Mapping[str, Array]
) -> list[float]:
    """Return the terms of rows that are joint within subjects, up to a constant.

    Parameters
    ----------
    own
        The subjects of the rows, and their times.
    left
        Outcomes minus their means, shape ``(N,)``.
    sigma
        The residual scales of rows, shape ``(N,)``.
    values
        The parameters; with ``nu`` the distribution is multivariate Student-t [2]_.
    """
    scales = float(-np.sum(np.log(sigma)))
    nu, determinants, distances = values.get("nu"), 0.0, 0.0
    z = left / sigma
    for subject in np.unique(own.index):
        rows = np.flatnonzero(own.index == subject)
        matrix = _correlations(own, own.times[rows], values)
        determinants -= 0.5 * float(np.linalg.slogdet(matrix)[1])
        square = float(z[rows] @ np.linalg.solve(matrix, z[rows]))
        distances += _at_distance(square, len(rows), nu)
    return [scales, determinants, distances]


def _at_distance(square: float, rows: int, nu: Array | None) -> float:
    """Return the log density of a subject's rows by their squared distance from 0."""
    if nu is None:
        return -0.5 * square
    from scipy.special import gammaln  # type: ignore[import-untyped]

    total = gammaln(0.5 * (nu + rows)) - gammaln(0.5 * nu) - 0.5 * rows * np.log(nu)
    return float(total - 0.5 * (nu + rows) * np.log1p(square / nu))


def _correlations(
    own: CorrelatedResiduals, times: Array, values: Mapping[str, Array]
) -> Array:
    """Return the correlation matrix of a subject's rows."""
    between = np.abs(np.subtract.outer(times, times))
    match own.kind.name:
        case "ar1":
            return np.asarray(np.power(float(values["residual_rho"]), between))
        case "cs":
            same = np.eye(len(times), dtype=bool)
            return np.where(same, 1.0, values["residual_rho"])
    raise LookupError(own.kind.name)
