"""Exact compression of Gaussian rows by QR decompositions.

A Gaussian likelihood depends on its rows only through sums of squares and products, and
these do not change when the rows are multiplied by an orthogonal matrix. A QR
decomposition of each group's rows leaves as many rows with the predictors of the
group's coefficients as there are coefficients. The other rows of all groups involve
only the population, and a second QR decomposition leaves as many of them as there are
predictors, and one more. The result is a regression on few rows, with the same
likelihood for every value of the parameters.

This is more accurate than forming cross-products, which squares the condition number.
Residuals at an estimate take the place of the outcome, so that no digits are lost where
the outcome is large and its noise is small.

References
----------
.. [1] Björck (1996). Numerical Methods for Least Squares Problems, section 2.4: the
   modified Gram-Schmidt process, and why it is done twice.
.. [2] Demmel, Grigori, Hoemmen and Langou (2012). Communication-optimal parallel and
   sequential QR and LU factorizations. SIAM J. Sci. Comput. 34(1): block after block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stanpool.base.arrays import Array

_BLOCK = 1 << 16  # rows; a few columns of them stay in the processor's cache
_BLOCK_NUMBERS = 1 << 22  # numbers of a block, where there are many columns
_MUCH_LESS = 1e-4  # share of a sum of squares that is found by subtraction
_NOTHING = 1e-12  # relative length of a column that depends linearly on others
_ALIKE_DIGITS = 13  # decimal digits to which the Z of groups agree that are merged
_FEWEST_ROWS = 1000  # fewer rows are fitted quickly without compression
_SHARE = 0.5  # of the rows, that may be left if compression is to save time


@dataclass(frozen=True, eq=False)
class ReducedRows:
    """The rows of a Gaussian regression after reduction by QR decompositions.

    Attributes
    ----------
    Z
        Predictors of each group's coefficients, shape ``(J, Q, Q)``; there are rows of
        zeros if a group has fewer rows than coefficients, or its predictors are
        collinear.
    X
        The other columns in these rows, shape ``(J, Q, D)``; the last one is the
        outcome.
    rest
        The rows that are left besides, at most ``D`` for each residual scale, shape
        ``(F, D)``.
    scale_of_rest
        The residual scale of each of these, counted from 0, shape ``(F,)``.
    """

    Z: Array
    X: Array
    rest: Array
    scale_of_rest: NDArray[np.intp]


def qr_reduce(
    Z: Array,
    columns: Array,
    group: NDArray[np.intp],
    groups: int,
    *,
    scale: NDArray[np.intp] | None = None,
) -> ReducedRows:
    """Reduce the rows of a Gaussian regression to few with the same sums of squares.

    For every ``b`` of shape ``(J, Q)`` and ``w`` of shape ``(D,)`` the sum of squares
    of ``columns @ w - (Z * b[group]).sum(axis=1)`` is the same before and after.

    Parameters
    ----------
    Z
        Predictors of the groups' coefficients, shape ``(N, Q)``.
    columns
        All other columns, shape ``(N, D)``; like ``Z`` they are divided by the rows'
        standard errors where these are known.
    group, groups
        The group of each row, counted from 0, and how many groups there are.
    scale
        For each group the residual scale that its rows have, counted from 0; None
        for one scale.

    References
    ----------
    .. [1] Björck (1996), algorithm 2.4.4.

    Examples
    --------
    >>> reduced = qr_reduce(np.ones((5, 1)), np.arange(5.0)[:, None],
    ...                     np.array([0, 0, 0, 0, 1]), 2)
    >>> reduced.Z.ravel().tolist(), reduced.X.ravel().tolist()
    ([2.0, 1.0], [3.0, 4.0])
    >>> round(float(reduced.rest[0, 0] ** 2), 9)
    5.0
    """
    q, d = Z.shape[1], columns.shape[1]
    one_scale = scale is None or not np.any(scale != scale[:1])
    if q <= 1 and one_scale:
        return _reduce_by_sums(Z, columns, group, groups)
    found = np.zeros((groups, q, q + d))
    order = np.argsort(_small(group, groups), kind="stable")
    bounds = np.searchsorted(group, np.arange(groups + 1), sorter=order)
    scale_of = np.zeros(groups, dtype=np.intp) if scale is None else scale
    rests: dict[int, Array] = {}
    for first, last in _blocks(bounds, scale_of, q + d):
        rows = order[bounds[first] : bounds[last]]
        block = np.concatenate([Z[rows], columns[rows]], axis=1).T.copy()
        sizes = np.diff(bounds[first : last + 1])
        _reduce_block(block, sizes, found[first:last])
        which = int(scale_of[first])
        left = block[q:].T
        if which in rests:
            left = np.concatenate([rests[which], left])
        rests[which] = _triangle(left)
    rest = [rests[which] for which in sorted(rests)]
    return ReducedRows(
        Z=found[:, :, :q],
        X=found[:, :, q:],
        rest=np.concatenate(rest),
        scale_of_rest=np.repeat(sorted(rests), [len(each) for each in rest]),
    )


@dataclass(frozen=True, eq=False)
class ReducedGroups:
    """The groups of reduced rows, with groups of equal ``Z`` merged into few.

    Attributes
    ----------
    Z, X
        As of ``ReducedRows``, of G groups.
    scale
        The residual scale of each, counted from 0, shape ``(G,)``.
    count
        The number of groups that each represents, shape ``(G,)``.
    """

    Z: Array
    X: Array
    scale: NDArray[np.intp]
    count: Array


def reduce_groups(rows: ReducedRows, scale: NDArray[np.intp]) -> ReducedGroups:
    """Merge groups that have equal ``Z``, as the groups of a balanced design have.

    Their outcomes have the same covariance matrix, so that the likelihood contains only
    the sums over these groups of products of their ``X``.

    Parameters
    ----------
    rows
        What ``qr_reduce`` returned.
    scale
        The residual scale of each group, counted from 0, shape ``(J,)``.

    Examples
    --------
    >>> reduced = qr_reduce(np.ones((80, 1)), np.arange(80.0)[:, None],
    ...                     np.repeat(np.arange(40), 2), 40)
    >>> reduce_groups(reduced, np.zeros(40, dtype=int)).count
    array([40.])
    """
    groups, q, d = rows.X.shape
    largest = np.abs(rows.Z).max(initial=np.finfo(float).tiny)
    looks = np.round(rows.Z.reshape(groups, -1) / largest, _ALIKE_DIGITS)
    _, first, kind, sizes = np.unique(
        np.column_stack([scale, looks]),
        axis=0,
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    kind = kind.reshape(groups)
    many = sizes > q * d
    kept = np.flatnonzero(~many[kind])
    Z, X = [rows.Z[kept]], [rows.X[kept]]
    scales, count = [scale[kept]], [np.ones(len(kept))]
    for each in np.flatnonzero(many).tolist():
        left = np.linalg.qr(rows.X[kind == each].reshape(-1, q * d), mode="r")
        X.append(np.asarray(left).reshape(-1, q, d))
        Z.append(np.repeat(rows.Z[first[each]][None], q * d, axis=0))
        scales.append(np.repeat(scale[first[each]], q * d))
        count.append(np.full(q * d, sizes[each] / (q * d)))
    return ReducedGroups(
        Z=np.concatenate(Z),
        X=np.concatenate(X),
        scale=np.concatenate(scales),
        count=np.concatenate(count),
    )


def most_rows_left(rows: int, *, always: bool) -> int:
    """Return how many rows compression may leave if it is to save time.

    Parameters
    ----------
    rows
        The number of rows.
    always
        Whether to compress even if that saves hardly any time.

    Examples
    --------
    >>> most_rows_left(5000, always=False), most_rows_left(50, always=False)
    (2500, 0)
    """
    if always:
        return rows
    return int(_SHARE * rows) if rows >= _FEWEST_ROWS else 0


def number_combinations(
    columns: Iterable[NDArray[Any]], rows: int, *, most: int
) -> NDArray[np.int64] | None:
    """Return the number of each row's combination of values, in order of appearance.

    Parameters
    ----------
    columns, rows
        Columns of values, each of shape ``(rows,)``; without columns there is one
        combination.
    most
        Return None as soon as there are more combinations than that.

    Examples
    --------
    >>> columns = np.array([3, 3, 5, 3]), np.array([1, 2, 1, 1])
    >>> number_combinations(columns, 4, most=4)
    array([0, 1, 2, 0])
    """
    if most < 1:
        return None
    number = np.zeros(rows, dtype=np.int64)
    for column in columns:
        codes, values = pd.factorize(column)
        if len(values) > most:
            return None
        number, found = pd.factorize(number * len(values) + codes)
        if len(found) > most:
            return None
    return np.asarray(number, dtype=np.int64)


def first_rows(number: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Return the first row of each combination of values, by their numbers.

    Examples
    --------
    >>> first_rows(np.array([1, 0, 0, 2]))
    array([1, 0, 3])
    """
    first = np.full(int(number.max()) + 1, len(number))
    np.minimum.at(first, number, np.arange(len(number)))
    return first


def _reduce_by_sums(
    Z: Array, columns: Array, group: NDArray[np.intp], groups: int
) -> ReducedRows:
    """Reduce rows with at most one coefficient of their groups, in their own order.

    What is orthogonal to the groups' ``Z`` has the crossproducts of all rows minus
    those of the groups. Where that would lose digits, the rows themselves are made
    orthogonal to ``Z``.
    """
    q, d = Z.shape[1], columns.shape[1]
    columns = np.asfortranarray(columns)
    length, along = np.zeros((groups, q)), np.zeros((groups, q, d))
    left = gram = columns.T @ columns
    if q:
        z = np.ascontiguousarray(Z[:, 0])
        weights = None if (z == 1).all() else z
        squares = None if weights is None else z * z
        length[:, 0] = np.sqrt(np.bincount(group, squares, minlength=groups))
        inverse = _inverse(length[:, 0])
        for at, column in enumerate(columns.T):
            values = column if weights is None else weights * column
            along[:, 0, at] = inverse * np.bincount(group, values, minlength=groups)
        left = gram - along[:, 0].T @ along[:, 0]
    kept = left.diagonal() >= _MUCH_LESS * gram.diagonal()
    rest = _root(left) if kept.all() else None
    if rest is None:
        across = columns.T.copy()
        for row, before, own in zip(across, columns.T, along.T, strict=True):
            if q:
                row -= z * (inverse * own[0])[group]
            if row @ row <= _NOTHING**2 * (before @ before):
                row[:] = 0.0
        rest = _triangle(across.T)
    scale = np.zeros(len(rest), dtype=np.intp)
    return ReducedRows(length[:, :, None], along, rest, scale)


def _triangle(columns: Array) -> Array:
    """Return few rows with the crossproducts of many: the R of a QR decomposition."""
    root = _root(columns.T @ columns)
    return np.asarray(np.linalg.qr(columns, mode="r")) if root is None else root


def _root(gram: Array) -> Array | None:
    """Return R with ``R' R`` the crossproducts; None if that would lose digits.

    It does not where no column is nearly a combination of the others.
    """
    size = np.sqrt(np.maximum(gram.diagonal(), 0.0))
    inverse = _inverse(size)
    scaled = gram * np.outer(inverse, inverse)
    np.fill_diagonal(scaled, 1.0)
    try:
        root = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        return None
    enough = (np.square(root.diagonal()) >= _MUCH_LESS).all()
    return np.asarray(root.T * size) if enough else None


def _inverse(length: Array) -> Array:
    """Return reciprocals, and 0 for 0."""
    return np.divide(1.0, length, where=length > 0, out=np.zeros_like(length))


def _reduce_block(block: Array, sizes: NDArray[np.intp], found: Array) -> None:
    """Write the QR decomposition of each group's rows into ``found``.

    ``block`` has a row for each column of the regression, and the groups one after the
    other; afterwards it holds what is orthogonal to the groups' ``Z``. Each column is
    made orthogonal to those before it twice, which is enough; a column of which nothing
    is left is skipped.
    """
    full = sizes > 0
    sizes, starts = sizes[full], np.cumsum(np.append(0, sizes[full][:-1]))
    if not len(sizes):
        return
    R = np.zeros((len(sizes), *found.shape[1:]))
    directions: list[Array] = []
    for q in range(found.shape[1]):
        direction = block[q]
        length = np.sqrt(np.add.reduceat(direction**2, starts))
        if directions:
            before = np.sqrt(length**2 + (R[:, :q, q] ** 2).sum(axis=1))
            for each in directions:
                along = np.add.reduceat(each * direction, starts)
                direction -= each * np.repeat(along, sizes)
            again = np.sqrt(np.add.reduceat(direction**2, starts))
            is_new = (again > _NOTHING * before) & (2 * again > length)
            length = np.where(is_new, again, 0.0)
        R[:, q, q] = length
        direction = direction * np.repeat(_inverse(length), sizes)
        directions.append(direction)
        for column in range(q + 1, len(block)):
            along = np.add.reduceat(direction * block[column], starts)
            block[column] -= direction * np.repeat(along, sizes)
            R[:, q, column] = along
    found[full] = R


def _blocks(
    bounds: NDArray[np.intp], scale: NDArray[np.intp], columns: int
) -> Iterator[tuple[int, int]]:
    """Yield ranges of groups that have one residual scale and fill a block of rows."""
    rows = max(1, min(_BLOCK, _BLOCK_NUMBERS // columns))
    changes = np.append(np.flatnonzero(np.diff(scale)) + 1, len(scale))
    first = 0
    for change in changes.tolist():
        while first < change:
            last = int(np.searchsorted(bounds, bounds[first] + rows, side="right")) - 1
            last = min(max(last, first + 1), change)
            yield first, last
            first = last


def _small(index: NDArray[np.intp], size: int) -> NDArray[np.integer]:
    """Return an index in the smallest type: NumPy sorts 16 bits in linear time."""
    return index.astype(np.min_scalar_type(size))
