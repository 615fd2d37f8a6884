"""Exact compression: what the likelihood needs of the rows, and no more.

A Gaussian likelihood sees its rows through sums of squares and products alone, and
these do not change when the rows are turned by an orthogonal matrix. So the rows of a
group are turned until only as many of them as it has coefficients involve these
coefficients; the others, of all groups, involve the population only, and are turned
together until as many are left as there are predictors, and one more. What is left is
a regression again, on few rows, with the same likelihood for every value of the
parameters.

Turning the rows is more accurate than forming cross-products, which squares the
condition number; either way, residuals at an estimate take the place of the outcome,
so that nothing is lost where it is large and its noise is small.

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
_BLOCK_NUMBERS = 1 << 22
_NOTHING = 1e-12
_ALIKE_DIGITS = 13
_FEWEST_ROWS = 1000  # fewer are fitted in no time, by a program on the data as they are
_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class ReducedRows:
    """The rows of a Gaussian regression, turned.

    Attributes
    ----------
    Z
        What involves a group's coefficients: shape ``(J, Q, Q)``, rows of zeros where
        a group has fewer rows than coefficients, or they cannot be told apart.
    X
        The same of the other columns, shape ``(J, Q, D)``; the last column is the
        outcome.
    rest
        What is left of all rows, at most ``D`` for each of the scales: shape
        ``(F, D)``.
    scale_of_rest
        Which scale each of these belongs to, shape ``(F,)``.
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
    """Turn the rows of a Gaussian regression until few are left.

    For every ``b`` of shape ``(J, Q)`` and ``w`` of shape ``(D,)`` the sum of squares
    of ``columns @ w - (Z * b[group]).sum(axis=1)`` is the same before and after.

    Parameters
    ----------
    Z
        Predictors of the groups' coefficients, shape ``(N, Q)``.
    columns
        All else, shape ``(N, D)``; divided, like ``Z``, by the rows' standard errors
        where these are known.
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
    >>> turned = qr_reduce(np.ones((5, 1)), np.arange(5.0)[:, None],
    ...                    np.array([0, 0, 0, 0, 1]), 2)
    >>> turned.Z.ravel().tolist(), turned.X.ravel().tolist()
    ([2.0, 1.0], [3.0, 4.0])
    >>> round(float(turned.rest[0, 0] ** 2), 9)
    5.0
    """
    q, d = Z.shape[1], columns.shape[1]
    found = np.zeros((groups, q, q + d))
    order = np.argsort(_small(group, groups), kind="stable")
    bounds = np.searchsorted(group, np.arange(groups + 1), sorter=order)
    scale_of = np.zeros(groups, dtype=np.intp) if scale is None else scale
    rests: dict[int, Array] = {}
    for first, last in _blocks(bounds, scale_of, q + d):
        rows = order[bounds[first] : bounds[last]]
        block = np.concatenate([Z[rows], columns[rows]], axis=1).T.copy()
        sizes = np.diff(bounds[first : last + 1])
        _turn_block(block, sizes, found[first:last])
        which = int(scale_of[first])
        left = block[q:].T
        if which in rests:
            left = np.concatenate([rests[which], left])
        rests[which] = np.asarray(np.linalg.qr(left, mode="r"))
    rest = [rests[which] for which in sorted(rests)]
    return ReducedRows(
        Z=found[:, :, :q],
        X=found[:, :, q:],
        rest=np.concatenate(rest),
        scale_of_rest=np.repeat(sorted(rests), [len(each) for each in rest]),
    )


@dataclass(frozen=True, eq=False)
class TurnedGroups:
    """The groups of turned rows, turned until few are left of those that are alike.

    Attributes
    ----------
    Z, X
        As of ``ReducedRows``, of G groups.
    scale
        The residual scale of each, counted from 0, shape ``(G,)``.
    count
        How many groups each stands for, shape ``(G,)``.
    """

    Z: Array
    X: Array
    scale: NDArray[np.intp]
    count: Array


def turn_groups(rows: ReducedRows, scale: NDArray[np.intp]) -> TurnedGroups:
    """Turn groups that have equal ``Z``, as those of a balanced design have.

    Their outcomes have one covariance, so that only the products of their ``X``,
    summed over groups, are in the likelihood.

    Parameters
    ----------
    rows
        What ``qr_reduce`` returned.
    scale
        The residual scale of each group, counted from 0, shape ``(J,)``.

    Examples
    --------
    >>> turned = qr_reduce(np.ones((80, 1)), np.arange(80.0)[:, None],
    ...                    np.repeat(np.arange(40), 2), 40)
    >>> turn_groups(turned, np.zeros(40, dtype=int)).count
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
    return TurnedGroups(
        Z=np.concatenate(Z),
        X=np.concatenate(X),
        scale=np.concatenate(scales),
        count=np.concatenate(count),
    )


def most_rows_left(rows: int, *, always: bool) -> int:
    """Return how many rows compression may leave, if it is to pay.

    Parameters
    ----------
    rows
        How many there are.
    always
        Whether it is wanted even where a gradient costs hardly less.

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
    """Return the number of the combination of values in each row, as they are met.

    Parameters
    ----------
    columns, rows
        Columns of values, each of shape ``(rows,)``; without any, all rows are alike.
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


def _turn_block(block: Array, sizes: NDArray[np.intp], found: Array) -> None:
    """Take what lies along each group's ``Z`` out of a block of rows, into ``found``.

    ``block`` has a row for each column of the regression, the groups one after the
    other. Each direction is made orthogonal to those before it twice, which is enough;
    one of which nothing is left is no direction.
    """
    full = sizes > 0
    sizes, starts = sizes[full], np.cumsum(np.append(0, sizes[full][:-1]))
    if not len(sizes):
        return
    queried = np.zeros((len(sizes), *found.shape[1:]))
    directions: list[Array] = []
    for q in range(found.shape[1]):
        direction = block[q]
        length = np.sqrt(np.add.reduceat(direction**2, starts))
        if directions:
            before = np.sqrt(length**2 + (queried[:, :q, q] ** 2).sum(axis=1))
            for each in directions:
                along = np.add.reduceat(each * direction, starts)
                direction -= each * np.repeat(along, sizes)
            again = np.sqrt(np.add.reduceat(direction**2, starts))
            is_new = (again > _NOTHING * before) & (2 * again > length)
            length = np.where(is_new, again, 0.0)
        queried[:, q, q] = length
        inverse = np.divide(1.0, length, where=length > 0, out=np.zeros_like(length))
        direction = direction * np.repeat(inverse, sizes)
        directions.append(direction)
        for column in range(q + 1, len(block)):
            along = np.add.reduceat(direction * block[column], starts)
            block[column] -= direction * np.repeat(along, sizes)
            queried[:, q, column] = along
    found[full] = queried


def _blocks(
    bounds: NDArray[np.intp], scale: NDArray[np.intp], columns: int
) -> Iterator[tuple[int, int]]:
    """Yield ranges of groups that have one scale and a block's worth of rows."""
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
