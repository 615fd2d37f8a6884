"""The rows that a density sees, in the user's units, with centered predictors.

They are those of the data, so that what reduces them is checked, too. Where there are
so many that this would cost more than milliseconds, or where they were not kept, they
are those that the program is data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.data.compression.cells import AggregatedRows
from stanpool.data.compression.crossproducts import Crossproducts
from stanpool.data.compression.gaussian_rows import CompressedRows
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.centers import centering_matrix
from stanpool.data.design.covariance.roots import (
    AncestryRoot,
    AutoregressiveRoot,
    MatrixRoot,
    SpectralRoot,
)
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import ModelSpec

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

    from stanpool.data.design.covariance.roots import Root
    from stanpool.data.design.design import Design, FactorDesign
    from stanpool.model.prepared_model import PreparedModel

_MOST_NUMBERS = 2_000_000  # of the data's rows, before those of the program are taken


@dataclass(frozen=True, eq=False)
class DataRows:
    """Rows of the data, or cells of rows that are alike.

    Attributes
    ----------
    spec, design
        The model, and the rows' outcomes with all that is known of them.
    X
        Population predictors about the point where the prior on the intercept applies,
        shape ``(N, K)``.
    effects
        For each factor the matrix, shape ``(N, J * Q)``, of the groups' coefficients,
        one group after the other.
    are_all
        Whether they are those of the data.
    """

    spec: ModelSpec
    design: Design
    X: Array
    effects: tuple[csr_array, ...]
    are_all: bool = True


@dataclass(frozen=True, eq=False)
class NormalRows:
    """Rows of a normal regression that stand for more rows.

    Attributes
    ----------
    y, X, effects
        As of ``DataRows``; the column of the intercept comes first in ``X``.
    y_shift
        What the outcome has lost, in its units.
    scale
        The residual scale of each row, counted from 0; of known scales it is 1.
    zeros
        For each residual scale the number of rows that are 0 for all parameters.
    """

    y: Array
    X: Array
    effects: tuple[csr_array, ...]
    y_shift: float
    scale: NDArray[np.intp]
    zeros: Array
    are_all: bool = False


def rows_of(model: PreparedModel) -> DataRows | NormalRows:
    """Return the rows that a model's density sees.

    Parameters
    ----------
    model
        The model.
    """
    rows, design = model.rows, model.design
    width = len(design.coefficients) + sum(len(f.varying) for f in design.factors) + 1
    is_kept = model.chunks is None
    is_small = is_kept and design.rows * width <= _MOST_NUMBERS
    if rows is None or isinstance(rows, Crossproducts) or is_small:
        return _of_data(model)
    if isinstance(rows, AggregatedRows):
        return _of_cells(model, rows)
    if isinstance(rows, CompressedRows):
        return _compressed(model, rows)
    return _marginal(model, rows)


def _of_data(model: PreparedModel) -> DataRows:
    """Return the rows of the data, with centered predictors."""
    design, centers = model.design, dict(model.design.centers)
    move = centering_matrix(("Intercept", *design.coefficients), centers)[1:, 1:]
    return DataRows(
        model.spec,
        design,
        (design.X - design.x_bar) @ move,
        tuple(
            sparse_effects(factor.index, z, len(factor.labels), factor.weights)
            for factor, z in (
                (each, _predictors_of_groups(model, each)) for each in design.factors
            )
        ),
    )


def _predictors_of_groups(model: PreparedModel, factor: FactorDesign) -> Array:
    """Return what a factor's deviations are multiplied with, shape ``(N, Q)``.

    Those of coefficients that are uncorrelated stay where predictors are 0. Under no
    pooling intercepts are where the other predictors have their means.
    """
    if factor.uncorrelated:
        return factor.Z
    z, move = factor.Z, move_of(model, factor)
    if not np.any(factor.z_bar):
        return np.asarray(z @ move)
    intercept = np.array([float(each == "Intercept") for each in factor.varying])
    return np.asarray((z - factor.z_bar - intercept) @ move + intercept)


def move_of(model: PreparedModel, factor: FactorDesign) -> Array:
    """Return the matrix that centers a factor's predictors."""
    return centering_matrix(factor.varying, dict(model.design.centers))


def sparse_effects(
    index: NDArray[np.intp], z: Array, groups: int, weights: Array | None = None
) -> csr_array:
    """Return the matrix of the groups' coefficients, one group after the other.

    Parameters
    ----------
    index
        The group of each row, shape ``(N,)``, or those of its memberships, ``(N, M)``.
    z
        What the coefficients are multiplied with, shape ``(N, Q)``.
    groups
        How many groups there are, J.
    weights
        Of the memberships, shape ``(N, M)``; None where each row is of one group.

    Returns
    -------
    scipy.sparse.csr_array
        Shape ``(N, J * Q)``.
    """
    from scipy.sparse import csr_array

    n, q = z.shape
    members = index.reshape(n, -1)
    shares = np.ones(members.shape) if weights is None else weights
    columns = members[:, :, None] * q + np.arange(q)
    values = shares[:, :, None] * z[:, None, :]
    each = members.shape[1] * q
    start = np.arange(n + 1) * each
    # What stands in one place twice is summed up.
    return csr_array((values.ravel(), columns.ravel(), start), shape=(n, groups * q))


def _of_cells(model: PreparedModel, rows: AggregatedRows) -> DataRows:
    """Return the cells of rows that are alike, in the user's units."""
    design, scaling, spec = rows.design, model.scaling, model.spec
    has_trials = "trials" in FAMILIES[rows.family].parts
    trials = (spec.trials or spec.outcome) if has_trials else None
    return DataRows(
        # Of zeros and ones, trials are the numbers of rows.
        replace(spec, family=rows.family, trials=trials),
        design,
        (design.X - design.x_bar) * scaling.population,
        tuple(
            sparse_effects(
                factor.index,
                (factor.Z - factor.z_bar) * unit,
                len(factor.labels),
                factor.weights,
            )
            for factor, unit in zip(design.factors, scaling.factors, strict=True)
        ),
        are_all=False,
    )


def _compressed(model: PreparedModel, rows: CompressedRows) -> NormalRows:
    """Return rows that were turned until few were left."""
    of_y, of_x, of_z = _unscaled(model)
    return NormalRows(
        rows.y * of_y,
        rows.X * of_x,
        tuple(
            sparse_effects(group, z * unit, len(factor.labels))
            for group, z, unit, factor in zip(
                rows.group, rows.Z, of_z, model.design.factors, strict=True
            )
        ),
        rows.y_shift * model.scaling.outcome,
        rows.scale,
        rows.zeros,
    )


def _marginal(model: PreparedModel, rows: MarginalRows) -> NormalRows:
    """Return the rows that a program with integrated coefficients is data."""
    from scipy.sparse import csr_array

    of_y, of_x, of_z = _unscaled(model)
    turned, first = rows.rows, rows.integrated[0]
    groups, q, d = turned.X.shape
    whole = np.concatenate([turned.X.reshape(groups * q, d), turned.rest])
    effects: list[csr_array] = []
    for number, (factor, unit) in enumerate(
        zip(model.design.factors, of_z, strict=True)
    ):
        if number != first:
            columns = whole[:, rows.columns[number]]
            effects.append(csr_array(columns * np.tile(unit, len(factor.labels))))
            continue
        z = np.concatenate([turned.Z.reshape(-1, q), np.zeros((len(turned.rest), q))])
        index = np.append(np.repeat(np.arange(groups), q), np.zeros(len(turned.rest)))
        effects.append(sparse_effects(index.astype(np.intp), z * unit, groups))
    scale = np.append(np.repeat(rows.scale, q), turned.scale_of_rest)
    return NormalRows(
        whole[:, -1] * of_y,
        whole[:, : len(of_x)] * of_x,
        tuple(effects),
        rows.y_shift * model.scaling.outcome,
        scale,
        rows.zeros,
    )


def _unscaled(model: PreparedModel) -> tuple[float, Array, Sequence[Array]]:
    """Return what takes outcome, columns and groups' predictors to the user's units.

    Rows that were divided by known standard errors have no unit any more.
    """
    scaling, design = model.scaling, model.design
    of_y = 1.0 if design.se is not None else scaling.outcome
    k = of_y / scaling.outcome
    ones = np.full(int(design.intercept), k)
    return (
        of_y,
        np.concatenate([ones, scaling.population * k]),
        tuple(unit * k for unit in scaling.factors),
    )


def related(root: Root | None, v: Array, rho: Array | None = None) -> Array:
    """Return deviations of groups, shape ``(J, D)``.

    Parameters
    ----------
    root
        What a design has of the covariance between groups; None of independent ones.
    v
        Independent deviations, shape ``(R, D)``.
    rho
        The parameter that the covariance depends on, if there is one.
    """
    match root:
        case None:
            return v
        case MatrixRoot():
            return np.asarray(root.matrix @ v)
        case AncestryRoot():
            return _inherited(root, v)
        case AutoregressiveRoot():
            return _autoregression(root, v, rho)
        case SpectralRoot():
            return _mixed_with_noise(root, v, rho)
    raise LookupError(root.kind)


def _autoregression(root: AutoregressiveRoot, v: Array, rho: Array | None) -> Array:
    """Multiply by the Cholesky factor of correlations that decay with time."""
    assert rho is not None
    series, times = np.cumsum(root.gaps == 0), np.cumsum(root.gaps)
    is_same = np.equal.outer(series, series)
    distances = np.where(is_same, np.abs(np.subtract.outer(times, times)), 0.0)
    correlations = np.where(is_same, np.power(rho, distances), 0.0)
    return np.asarray(np.linalg.cholesky(correlations) @ v)


def _mixed_with_noise(root: SpectralRoot, v: Array, rho: Array | None) -> Array:
    """Rotate v, and scale it by a mixture of variances, or of precisions."""
    assert rho is not None
    mixture = (1.0 - rho) * np.ones(root.columns) + rho * root.spectrum
    power = {"bym2": 0.5, "car": -0.5}[root.kind]
    return np.asarray(root.vectors @ np.diag(mixture**power) @ v)


def _inherited(root: AncestryRoot, v: Array) -> Array:
    """Solve for all groups of an ancestry at once."""
    from scipy import sparse  # type: ignore[import-untyped]
    from scipy.sparse import linalg

    child, side = np.nonzero(root.parents >= 0)
    at = child, root.parents[child, side]
    halves = sparse.coo_array((np.full(len(child), 0.5), at), (len(v), len(v)))
    left = sparse.csc_array(sparse.eye_array(len(v)) - halves)
    own = root.innovation[:, None] * v
    return np.asarray(linalg.spsolve(left, own)).reshape(v.shape)
