r"""Crossproducts of the columns of a Gaussian regression, in the place of its rows.

The rows :math:`y = W \theta + \epsilon` have a column of :math:`W` for each coefficient
of the population and of each group. With residuals :math:`r` at an estimate
:math:`\hat\theta`, and :math:`d = \theta - \hat\theta`, their sum of squares is

.. math:: |y - W \theta|^2 = |r|^2 - 2 d' W' r + d' W' W d,

whatever the estimate is. Near least squares :math:`W' r` is almost 0, so that no digits
are lost to differences of large numbers. :math:`W' W` is sparse: it has a number for
each pair of columns that some row has both of. With crossed factors there are far fewer
of these than numbers in the rows, which is how [1]_ fit such models.

References
----------
.. [1] Bates, Mächler, Bolker and Walker (2015). Fitting linear mixed-effects models
   using lme4. Journal of Statistical Software 67(1), section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import LARGE_ARRAY, Array, Indices
from stanpool.data.compression.gaussian_rows import (
    population_columns,
    scale_weights,
    weighted,
    why_not_sums,
)
from stanpool.data.compression.orthogonal import most_rows_left
from stanpool.data.design.design import Design, FactorDesign
from stanpool.language.model_spec import ModelSpec

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

_CLOSE = 1e-6  # relative size of W'r at which a search for the estimate ends
_MOST_STEPS = 200  # of a search
_SHRINKAGE = 0.1  # of groups' deviations, relative to the rows of a group


@dataclass(frozen=True, eq=False)
class Crossproducts:
    """What a program sees of rows that are replaced by products of their columns.

    The C coefficients are the intercept, those of the population's predictors, and the
    deviations of each factor's groups: the first of all groups, then the second.

    Attributes
    ----------
    estimate
        Where the residuals are taken, shape ``(C,)``.
    squares
        The sum of the squares of these residuals.
    products
        Products of the columns with the residuals, shape ``(C,)``.
    gram
        Products of the columns with each other that are not 0, each pair once; those of
        two different columns are doubled.
    row, column
        Which columns these are of, counted from 0; sorted by ``row``.
    y_shift
        What was subtracted from the outcome.
    weight
        The number (or the weight) of the rows.
    """

    estimate: Array
    squares: float
    products: Array
    gram: Array
    row: Indices
    column: Indices
    y_shift: float
    weight: float

    @property
    def kept(self) -> int:
        """How many products of two columns the program sees."""
        return len(self.gram)


def why_not_crossproducts(spec: ModelSpec, design: Design) -> str:
    """Say why crossproducts cannot take the place of rows; empty if they can."""
    against = why_not_sums(spec)
    if not against and design.residual is not None:
        return "groups have residual scales of their own"
    if not against and any(each.uncenter is not None for each in design.factors):
        return "predictors of uncorrelated coefficients are far from 0"
    return against


def crossproducts(design: Design, *, always: bool) -> Crossproducts | None:
    """Take crossproducts of a design's columns, if there are few enough.

    Parameters
    ----------
    design
        One that ``why_not_crossproducts`` has nothing against.
    always
        Whether to do so even where they are as many as the numbers of the rows; if not,
        None is returned in that case.

    Examples
    --------
    >>> from stanpool import Model
    >>> data = {"y": [1.0, 2.0, 6.0], "g": ["a", "a", "b"]}
    >>> found = crossproducts(Model("y ~ 1 + (1 | g)", data).design, always=True)
    >>> found.gram.tolist()  # 3 rows; 2 and 1 of them are in groups
    [3.0, 4.0, 2.0, 2.0, 1.0]
    >>> round(found.y_shift, 9), round(found.squares, 9)
    (3.0, 0.5)
    """
    from scipy.sparse import hstack

    of_groups = sum(_numbers_of(each) for each in design.factors)
    columns = sum(len(each.labels) * len(each.varying) for each in design.factors)
    width = design.X.shape[1] + 1 + of_groups
    if max(design.rows * of_groups**2, columns * width) > LARGE_ARRAY:
        return None
    # Predictors as they are, since centered ones are nowhere 0.
    whole = replace(design, x_bar=np.zeros(design.X.shape[1]))
    population, y_shift = population_columns(whole)
    x, y = population[:, :-1], population[:, -1]
    z = hstack([_effects(design, each) for each in design.factors], format="csr")
    gram = _upper_gram(x, z)
    if not always:
        most = width * most_rows_left(design.rows, always=False)
        if gram.nnz > most:
            return None
    # With shrunken groups, the intercept is where groups' deviations are around 0.
    own = x.shape[1], z.shape[1]
    shrink = np.repeat([0.0, _SHRINKAGE * gram.diagonal()[own[0] :].mean()], own)
    estimate, left = np.zeros(gram.shape[0]), y
    for ridge in (shrink, 0.0 * shrink):
        estimate += _solution(gram, ridge, np.concatenate([x.T @ left, z.T @ left]))
        left = y - x @ estimate[: x.shape[1]] - z @ estimate[x.shape[1] :]
    twice = gram * 2.0
    twice.setdiag(gram.diagonal())
    found = twice.tocoo()
    kept = found.data != 0
    return Crossproducts(
        estimate=estimate,
        squares=float(left @ left),
        products=np.concatenate([x.T @ left, z.T @ left]),
        gram=found.data[kept],
        row=found.row[kept],
        column=found.col[kept],
        y_shift=y_shift,
        weight=float(scale_weights(design)[0]),
    )


def work_of_integration(design: Design) -> float:
    """Return the multiplications of a gradient if all coefficients were integrated out.

    The groups of the largest factor are eliminated first, which leaves a matrix of all
    other coefficients to decompose.

    Examples
    --------
    >>> from stanpool import Model
    >>> data = {"y": [1.0, 2.0, 6.0], "g": ["a", "a", "b"], "h": ["a", "b", "b"]}
    >>> work_of_integration(Model("y ~ 1 + (1 | g) + (1 | h)", data).design)
    9.0
    """
    sizes = sorted(len(each.labels) * len(each.varying) for each in design.factors)
    return float((design.X.shape[1] + 1 + sum(sizes[:-1])) ** 3 / 3)


def _numbers_of(factor: FactorDesign) -> int:
    """Return how many of a row's numbers a factor has."""
    members = 1 if factor.weights is None else factor.weights.shape[1]
    return members * len(factor.varying)


def _effects(design: Design, factor: FactorDesign) -> csr_array:
    """Return the columns of a factor's deviations, shape ``(N, Q * J)``."""
    from scipy.sparse import csr_array

    n, groups = design.rows, len(factor.labels)
    members = factor.index.reshape(n, -1)
    shares = np.ones(members.shape) if factor.weights is None else factor.weights
    z = weighted(design, factor.Z)
    columns = members[:, None, :] + groups * np.arange(z.shape[1])[:, None]
    values = z[:, :, None] * shares[:, None, :]  # (N, Q, M)
    each = z.shape[1] * members.shape[1]
    parts = values.ravel(), columns.ravel(), each * np.arange(n + 1)
    found = csr_array(parts, shape=(n, groups * z.shape[1]))
    found.sum_duplicates()
    return found


def _upper_gram(x: Array, z: csr_array) -> csr_array:
    """Return the upper triangle of the products of all columns."""
    from scipy.sparse import block_array, csr_array, triu

    of_both = csr_array((z.T @ x).T)
    blocks = [[csr_array(np.triu(x.T @ x)), of_both], [None, triu(z.T @ z)]]
    found = block_array(blocks, format="csr")
    found.sort_indices()
    return found


def _solution(gram: csr_array, ridge: Array, right: Array) -> Array:
    """Solve normal equations roughly, from the upper triangle of their matrix.

    Conjugate gradients from 0 stay away from directions that the rows do not determine.
    """
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import LinearOperator, cg  # type: ignore[import-untyped]

    diagonal = gram.diagonal()
    whole = diagonal + ridge
    scale = np.divide(1.0, whole, where=whole > 0, out=np.ones(len(whole)))

    def product(theta: Any) -> Any:
        return gram @ theta + gram.T @ theta + (ridge - diagonal) * theta

    matrix = LinearOperator(gram.shape, matvec=product, dtype=float)
    found, _ = cg(matrix, right, rtol=_CLOSE, maxiter=_MOST_STEPS, M=diags_array(scale))
    return np.asarray(found)
