r"""Integrating coefficients out of a Gaussian model, and drawing them back.

The rows of group j are :math:`r_j = y_j - X_j \beta = Z_j u_j + \epsilon_j` with
:math:`u_j \sim N(0, L L')` and :math:`\epsilon_j \sim N(0, \sigma^2 I)`, so that
:math:`r_j \sim N(0, S_j)`, :math:`S_j = \sigma^2 I + Z_j L L' Z_j'`. ``qr_reduce``
reduces them until :math:`Z_j` has Q rows; the others are independent with variance
:math:`\sigma^2`. Sylvester's identity and Woodbury's,

.. math:: |S_j| = \sigma^{2 n_j} |M_j|, \quad
    S_j^{-1} = \sigma^{-2} (I - Z_j L M_j^{-1} L' Z_j' / \sigma^2), \quad
    M_j = I + L' Z_j' Z_j L / \sigma^2,

give the form of [1]_ in terms of :math:`Z_j'Z_j` and :math:`d_j = Z_j' r_j`. Bayes'
rule for :math:`v_j = L^{-1} u_j \sim N(0, I)` gives precision :math:`M_j` and mean
:math:`M_j^{-1} L' d_j / \sigma^2`: with :math:`M_j = K K'` and :math:`z` standard
normal, :math:`u_j = L K'^{-1} (K^{-1} L' d_j / \sigma^2 + z)` is an exact draw.

A second factor is integrated out after the first, where its groups fall into small
blocks: few groups, or groups that contain those of the first. Its rows :math:`A_j`
in those that are left of group :math:`j` are those of a regression with covariance
:math:`S_j`, so that :math:`u_2 = T z`, :math:`z \sim N(0, I)` has precision
:math:`M = I + T' (\sum_j A_j' S_j^{-1} A_j) T` and is drawn back in the same way,
before the first.

Groups of a known covariance :math:`B B'` are not independent, but their rows
:math:`Z_u B v = U D V' v` are rotated into those of independent groups by the singular
value decomposition: :math:`U' y` has one row with the predictor :math:`D_k` for each
:math:`w_k` of :math:`w = V' v`, and what is orthogonal to U is left. So the :math:`w_k`
are integrated out and drawn back as other groups are, and :math:`u = B V w`.

References
----------
.. [1] Bates, Mächler, Bolker and Walker (2015). Fitting linear mixed-effects models
   using lme4. Journal of Statistical Software 67(1), section 3.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import LARGE_ARRAY, Array
from stanpool.base.errors import quote
from stanpool.data.compression.gaussian_rows import (
    has_one_scale,
    population_columns,
    scale_of_groups,
    scale_weights,
    weighted,
    why_not_sums,
)
from stanpool.data.compression.orthogonal import (
    ReducedGroups,
    ReducedRows,
    qr_reduce,
    reduce_groups,
)
from stanpool.data.design.covariance.roots import MatrixRoot
from stanpool.data.design.design import Design, FactorDesign
from stanpool.language.model_spec import ModelSpec

_MOST_COLUMNS = 1000  # coefficients of the factors that are not integrated out first
_MOST_IN_BLOCKS = 60.0**3  # sum of cubed block sizes above which sampling costs less
_FEW_GROUPS = 10  # groups up to which the posterior of a scale has a long tail
_LARGEST_UNIT = 10  # largest unit of a scale, in standard errors of a coefficient
_DENSE_PAYS = 20  # numbers of dense rows that are worth it, for each row of the data
_FEW_NUMBERS = 100_000  # numbers of dense rows that cost little in any case
_MOST_ROTATED = 1000  # groups with a known covariance, of which a matrix is decomposed
_MANY_ROWS = 50_000  # rows that became 0, see ``are_many``
_SAYS_NOTHING = 1e-8  # share of a column's squares in rows without group coefficients
_NOTHING = 1e-13  # relative size of entries that are rounding errors


@dataclass(frozen=True, eq=False)
class RestEstimate:
    """Estimates of the shared parameters from the rows without group coefficients.

    Attributes
    ----------
    theta, theta_sd
        Least squares estimates of the coefficients of ``X`` and their standard errors,
        shape ``(D,)``; 0 and NaN where these rows do not determine them.
    log_sigma, log_sigma_sd
        The log of the residual scale, and its standard error.
    """

    theta: Array
    theta_sd: Array
    log_sigma: float
    log_sigma_sd: float


@dataclass(frozen=True, eq=False)
class MarginalRows:
    """The reduced rows of a marginal program.

    Attributes
    ----------
    integrated
        The factor that is integrated out first, counted from 0, and the second, if any.
    columns
        The columns of each factor's coefficients; the first factor has none.
    rows
        The reduced rows; their columns are the intercept, the population's
        predictors, the coefficients of the other factors, and the outcome.
    groups
        The same, with groups of equal ``Z`` merged.
    y_shift
        What was subtracted from the outcome.
    scale
        The residual scale of each group, counted from 0, shape ``(J,)``.
    zeros
        For each residual scale the number (or the weight) of the rows that became 0,
        minus the rows that fill up groups with fewer rows than coefficients.
    unrotated
        What makes deviations of groups with a known covariance, shape ``(J,)``, of
        those of the independent groups that are integrated out; None of groups that
        are independent themselves.
    """

    integrated: tuple[int, ...]
    columns: tuple[slice, ...]
    rows: ReducedRows
    groups: ReducedGroups
    y_shift: float
    scale: NDArray[np.intp]
    zeros: Array
    unrotated: Array | None = None

    @property
    def second(self) -> slice:
        """The columns of the factor that is integrated out second."""
        return self.columns[self.integrated[1]] if self.integrated[1:] else slice(0, 0)

    @property
    def kept(self) -> int:
        """How many rows the program sees."""
        return int(np.prod(self.groups.X.shape[:2])) + len(self.rows.rest)

    @property
    def are_many(self) -> bool:
        """Whether rows are so many that parameters have very different scales.

        Stan pulls variances towards 1e-3, with a weight of 5 against the number of
        draws in the last window of the warm-up, some 500 [1]_: standard errors below
        3e-3 look larger than they are, and hold all others back.

        References
        ----------
        .. [1] Stan Reference Manual, "Automatic parameter tuning": regularization.
        """
        return len(self.zeros) == 1 and bool(self.zeros[0] > _MANY_ROWS)


def why_not_marginal(spec: ModelSpec, design: Design) -> str:
    """Say why no factor can be integrated out exactly; empty if one can."""
    if spec.compress is False:
        return "compress=False asks for a program that uses the rows as they are"
    against = why_not_sums(spec)
    if against:
        return against
    if _is_rotated(design):
        return ""
    if not any(each.is_integrable for each in design.factors):
        if not all(each.is_normal for each in design.factors):
            return "coefficients of groups that are not normal have no closed form"
        if any(each.root is not None for each in design.factors):
            return (
                "groups with a known covariance are not independent; they are "
                "integrated out where they are the only factor, have one coefficient, "
                f"and are at most {_MOST_ROTATED:,}"
            )
        return next(
            (
                f"each level of {quote(each.by)} has a population of its own, and a "
                "row is of no group of the others"
                for each in spec.groups
                if each.by
            ),
            "rows are members of several groups",
        )
    if not _able(design):
        return (
            "residual scales differ within groups, so that rows of a group cannot be "
            "summed up"
        )
    columns = _coefficients_of(design, _others(design, _largest(design)))
    if columns > _MOST_COLUMNS or columns * design.rows > LARGE_ARRAY:
        return (
            f"the other factors have {columns} coefficients, which are too many columns"
        )
    return ""


def why_marginal_is_slow(design: Design, integrated: Sequence[int]) -> str:
    """Say why the marginal form, although exact, is slower; empty if it is not.

    A group has as many reduced rows as coefficients, and a square matrix of that size
    is decomposed for each group. The columns of the other factors are dense in the
    reduced rows: instead of the index of one group there is a number for each group.

    Parameters
    ----------
    design, integrated
        The data, and what ``integrated_factors`` says of them.
    """
    first = design.factors[integrated[0]]
    square = len(first.labels) * len(first.varying) ** 2
    if len(first.varying) > 1 and square > LARGE_ARRAY:
        return (
            f"the matrices of {len(first.varying)} coefficients of each group of "
            f"{quote(first.factor)} would hold {square} numbers"
        )
    sampled = set(range(len(design.factors))).difference(integrated)
    dense = _coefficients_of(design, integrated[:1]) * _coefficients_of(design, sampled)
    if dense <= max(_DENSE_PAYS * design.rows, _FEW_NUMBERS):
        return ""
    return (
        f"the reduced rows would hold {dense} numbers for the coefficients of "
        f"{quote(design.factors[integrated[0]].factor)} and of the other factors, "
        f"and the data have {design.rows} rows"
    )


def marginal_rows(design: Design, integrated: tuple[int, ...]) -> MarginalRows:
    """Reduce the rows of a design for the marginal program.

    Parameters
    ----------
    design
        One for which ``why_not_marginal`` returns nothing.
    integrated
        The factors to integrate out, in this order, as of ``integrated_factors``.
    """
    factor = design.factors[integrated[0]]
    population, y_shift = population_columns(design)
    if factor.root is not None:
        return _rotated_rows(design, population, y_shift)
    parts, columns = [population[:, :-1]], list[slice]()
    for number, other in enumerate(design.factors):
        start = sum(part.shape[1] for part in parts)
        if number != integrated[0]:
            parts.append(weighted(design, _dense(other)))
        columns.append(slice(start, sum(part.shape[1] for part in parts)))
    matrix = np.concatenate([*parts, population[:, -1:]], axis=1)
    z = weighted(design, factor.Z)
    if factor.uncenter is not None:
        # Reduced with centered predictors, which costs no digits.
        z = z @ factor.uncenter
    groups = len(factor.labels)
    scale = scale_of_groups(design, factor.index, groups)
    rows = qr_reduce(z, matrix, factor.index, groups, scale=scale)
    for number in integrated[1:]:
        # Rounding errors would connect all groups of the second factor.
        found = rows.X[:, :, columns[number]]
        found[np.abs(found) <= _NOTHING * np.abs(found).max(axis=(0, 1))] = 0
    weight = scale_weights(design)
    kept = z.shape[1] * np.bincount(scale, minlength=len(weight))
    kept += np.bincount(rows.scale_of_rest, minlength=len(weight))
    alike = reduce_groups(rows, scale)
    if factor.uncenter is not None:
        back = np.linalg.inv(factor.uncenter)
        rows = replace(rows, Z=rows.Z @ back)
        alike = replace(alike, Z=alike.Z @ back)
    return MarginalRows(
        integrated=integrated,
        columns=tuple(columns),
        rows=rows,
        groups=alike,
        y_shift=y_shift,
        scale=scale,
        zeros=weight - kept,
    )


def _is_rotated(design: Design) -> bool:
    """Whether there is one factor, with a known covariance, whose rows are rotated."""
    if len(design.factors) != 1 or design.residual is not None:
        return False
    (factor,) = design.factors
    if not isinstance(factor.root, MatrixRoot) or len(factor.varying) != 1:
        return False
    is_plain = factor.is_normal and factor.U is None and factor.uncenter is None
    return is_plain and factor.weights is None and factor.root.columns <= _MOST_ROTATED


def _rotated_rows(design: Design, population: Array, y_shift: float) -> MarginalRows:
    """Return the same of a known covariance, whose rows are rotated."""
    (factor,) = design.factors
    assert isinstance(factor.root, MatrixRoot)
    B = factor.root.matrix  # (J, R)
    outer, inner = np.linalg.qr(weighted(design, factor.Z) * B[factor.index])
    U, D, V = np.linalg.svd(inner)  # V is (R, R), and D has min(N, R) numbers
    U, size = outer @ U[:, : len(D)], B.shape[1]
    Z, X = np.zeros((size, 1, 1)), np.zeros((size, 1, population.shape[1]))
    Z[: len(D), 0, 0] = D
    X[: len(D), 0] = U.T @ population
    rest = np.asarray(np.linalg.qr(population - U @ X[: len(D), 0], mode="r"))
    alone = np.zeros(size, dtype=np.intp)
    rows = ReducedRows(Z, X, rest, np.zeros(len(rest), dtype=np.intp))
    return MarginalRows(
        integrated=(0,),
        columns=(slice(population.shape[1] - 1, population.shape[1] - 1),),
        rows=rows,
        groups=reduce_groups(rows, alone),
        y_shift=y_shift,
        scale=alone,
        zeros=scale_weights(design) - size - len(rest),
        unrotated=B @ V.T,
    )


def pilot_of_rest(rows: MarginalRows) -> RestEstimate:
    """Estimate the shared parameters from the rows without group coefficients.

    Parameters
    ----------
    rows
        What ``marginal_rows`` returned; several residual scales are treated as one.
    """
    x, y = rows.rows.rest[:, :-1], rows.rows.rest[:, -1]
    of_groups = rows.rows.X[..., :-1]
    flat = math.prod(of_groups.shape[:2]), of_groups.shape[2]
    all_x = np.concatenate([of_groups.reshape(flat), x])
    length, whole = (np.square(each).sum(axis=0) for each in (x, all_x))
    known = length > _SAYS_NOTHING * np.maximum(whole, np.finfo(float).tiny)
    theta, theta_sd = np.zeros(x.shape[1]), np.full(x.shape[1], np.nan)
    scale = np.sqrt(length[known])
    gram = (x[:, known] / scale).T @ (x[:, known] / scale)
    inverse = np.linalg.pinv(gram, rcond=_SAYS_NOTHING, hermitian=True)
    theta[known] = inverse @ (x[:, known] / scale).T @ y / scale
    left = float(np.square(y - x @ theta).sum())
    count = max(float(rows.zeros.sum()), 1.0)
    sigma = math.sqrt(max(left, np.finfo(float).tiny) / count)
    theta_sd[known] = sigma * np.sqrt(inverse.diagonal()) / scale
    return RestEstimate(theta, theta_sd, math.log(sigma), math.sqrt(0.5 / count))


def scale_units(rows: MarginalRows, design: Design) -> dict[int, Array]:
    """Return the units of population scales that are sampled by roots (``tau_unit``).

    A scale is almost linear in its root below its unit, and the root's square above it.
    With few groups the unit is the standard error of a coefficient of an average group,
    from the group's own rows: the data hardly distinguish smaller scales, and the
    posterior has a long tail above. With more groups the tail is shorter, and the unit
    larger. It has a largest value, since the roots of scales far below it would vary
    too little for Stan's adaptation of the metric.

    Parameters
    ----------
    rows
        What ``marginal_rows`` returned.
    design
        The data, in the units of the program.

    Returns
    -------
    dict
        By the numbers of the factors that are integrated out, shape ``(Q,)`` each.
    """
    groups, rest = rows.groups, rows.rows.rest
    squares = np.einsum("gqr,g->r", np.square(groups.Z), groups.count)
    found = {rows.integrated[0]: squares / groups.count.sum()}
    for number in rows.integrated[1:]:
        width = len(design.factors[number].varying)
        whole = np.concatenate([groups.X.reshape(-1, rest.shape[1]), rest])
        own = np.square(whole[:, rows.second]).sum(axis=0)
        found[number] = own.reshape(-1, width).mean(axis=0)
    # With known standard errors the rows have been divided by them.
    sigma = 1.0 if design.se is not None else _residual_spread(rows)
    return {
        number: sigma
        / np.sqrt(np.where(each > 0, each, 1.0))
        * np.clip(len(design.factors[number].labels) / _FEW_GROUPS, 1, _LARGEST_UNIT)
        for number, each in found.items()
    }


def _residual_spread(rows: MarginalRows) -> float:
    """Return a rough residual standard deviation, from a twentieth of the outcome's."""
    y = np.concatenate([rows.rows.X[..., -1].ravel(), rows.rows.rest[:, -1]])
    total = max(float(rows.zeros.sum()) + len(y), 1.0)
    whole = math.sqrt(max(float(np.square(y).sum()), np.finfo(float).tiny) / total)
    if rows.zeros.sum() < 1:
        return whole  # no row is left from which the scale could be estimated
    return float(np.clip(math.exp(pilot_of_rest(rows).log_sigma), whole / 20, whole))


def root_of_scale(tau: Array, unit: Array) -> Array:
    """Return x with ``tau = unit * x * sqrt(1 + x^2)``, as marginal programs have it.

    Examples
    --------
    >>> root_of_scale(np.array([0.0, -2.0]), np.sqrt(2.0))
    array([ 0., -1.])
    """
    ratio = np.asarray(tau) / unit
    return np.asarray(ratio * np.sqrt(2 / (1 + np.sqrt(1 + 4 * np.square(ratio)))))


def integrated_factors(design: Design) -> tuple[int, ...]:
    """Choose which factors are integrated out, counted from 0, in this order.

    The one with most groups, and then the largest other one whose blocks are small
    enough: groups are in one block if a group of the first factor has rows of both.

    Parameters
    ----------
    design
        One for which ``why_not_marginal`` returns nothing.
    """
    if _is_rotated(design):
        return (0,)
    first = _largest(design)
    if design.residual is not None:
        return (first,)
    found = [
        (len(design.factors[number].labels), -number)
        for number in _others(design, first)
        if design.factors[number].is_integrable
        and _numbers_in_blocks(design, first, number) <= _MOST_IN_BLOCKS
    ]
    return (first, -max(found)[1]) if found else (first,)


def _numbers_in_blocks(design: Design, first: int, second: int) -> float:
    """Sum the cubed sizes of a factor's blocks, which are the work of a gradient."""
    from scipy.sparse import coo_array  # type: ignore[import-untyped]
    from scipy.sparse.csgraph import (  # type: ignore[import-untyped]
        connected_components,
    )

    factor, other = design.factors[second], design.factors[first]
    groups, nodes = len(factor.labels), len(factor.labels) + len(other.labels)
    edges = np.ones(len(factor.index)), (factor.index, groups + other.index)
    graph = coo_array(edges, shape=(nodes, nodes))
    blocks = connected_components(graph, directed=False)[1][:groups]
    return float(((factor.Z.shape[1] * np.bincount(blocks).astype(float)) ** 3).sum())


def _able(design: Design) -> list[int]:
    """Return the factors that can be integrated out, group by group."""
    return [
        number
        for number, factor in enumerate(design.factors)
        if factor.is_integrable and has_one_scale(design, factor)
    ]


def _largest(design: Design) -> int:
    """Return the factor with most groups of those that can be integrated out."""
    return max(_able(design), key=lambda number: len(design.factors[number].labels))


def _others(design: Design, first: int) -> list[int]:
    """Return all factors but one."""
    return [number for number in range(len(design.factors)) if number != first]


def _coefficients_of(design: Design, factors: Iterable[int]) -> int:
    """Count the coefficients of some factors."""
    chosen = [design.factors[number] for number in factors]
    return sum(len(factor.labels) * factor.Z.shape[1] for factor in chosen)


def _dense(factor: FactorDesign) -> Array:
    """Return a factor's matrix: a column for each coefficient of each group."""
    n, q = factor.Z.shape
    matrix = np.zeros((n, len(factor.labels), q))
    members = factor.index if factor.index.ndim == 2 else factor.index[:, None]
    weights = np.ones(members.shape) if factor.weights is None else factor.weights
    for m in range(members.shape[1]):
        matrix[np.arange(n), members[:, m]] += weights[:, m, None] * factor.Z
    return matrix.reshape(n, -1)
