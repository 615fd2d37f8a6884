"""Draws of coefficients that were integrated out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import BLOCK, Array
from stanpool.data.compression.integrated_rows import MarginalRows

_BLOCK_NUMBERS = 1 << 16  # numbers of an array for a block of draws, to fit the cache

_THREADS = 4  # that draw blocks at the same time
_STREAM = 0x6D617267  # key of a stream of random numbers apart from the chains'
_SECOND = 2  # key of the second factor's stream


def draw_deviations(
    rows: MarginalRows,
    *,
    theta: Array,
    L: Array,
    sigma: Array,
    seed: Sequence[int] | None,
) -> Array:
    """Draw the groups' deviations from their conditional distribution, exactly.

    Parameters
    ----------
    rows
        The data as the program saw them.
    theta
        Draws of the coefficients of ``rows.rows.X``, shape ``(S, D)``.
    L
        Draws of the Cholesky factor of their covariance, shape ``(S, Q, Q)``.
    sigma
        Draws of the residual scales, shape ``(S, scales)``.
    seed
        Numbers that decide the draws, whatever the number of threads; None for the
        means of the distributions.

    Returns
    -------
    numpy.ndarray
        Shape ``(S, J, Q)``.
    """
    z, x = rows.rows.Z, rows.rows.X
    groups, q, _ = z.shape
    weights = np.concatenate([-theta, np.ones((len(theta), 1))], axis=1)
    out = np.empty((len(theta), groups, q))
    step = max(1, _BLOCK_NUMBERS // groups)
    starts = range(0, len(theta), step)
    seeds = np.random.SeedSequence([_STREAM, *(seed or ())]).spawn(len(starts))

    def block(start: int, own: np.random.SeedSequence) -> None:
        part = slice(start, start + step)
        roots = 1 / sigma[part]
        roots = roots[:, rows.scale] if roots.shape[1] > 1 else roots
        factor = L[part]
        # Z L / sigma and (y - X theta) / sigma, as products of draws and groups.
        ZL = [
            [factor[:, c:, c] @ z[:, r, c:].T * roots for r in range(q)]
            for c in range(q)
        ]
        left = [weights[part] @ x[:, r].T * roots for r in range(q)]
        rng = np.random.Generator(np.random.SFC64(own))
        noise = rng.standard_normal((q, len(factor), groups))
        v = _solve(ZL, left, noise if seed is not None else np.zeros_like(noise))
        for r in range(q):
            out[part, :, r] = sum(factor[:, r, c, None] * v[c] for c in range(r + 1))

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(block, starts, seeds))
    return out


def draw_second(
    rows: MarginalRows,
    *,
    theta: Array,
    L: Array,
    T: Array,
    sigma: Array,
    seed: Sequence[int] | None,
) -> Array:
    """Draw the deviations of the second factor, the first one integrated out.

    Parameters
    ----------
    rows
        The data as the program saw them.
    theta
        Draws of the coefficients of ``rows.rows.X``, shape ``(S, D)``; of the second
        factor's columns they have no effect.
    L, T
        Draws of the Cholesky factors of both factors' covariances, shapes
        ``(S, Q, Q)`` and ``(S, Q_2, Q_2)``.
    sigma
        Draws of the residual scale, shape ``(S, 1)``.
    seed
        Numbers that decide the draws; None for the means of the distributions.

    Returns
    -------
    numpy.ndarray
        Shape ``(S, J_2, Q_2)``.
    """
    varying = T.shape[1]
    z, x, rest = rows.rows.Z, rows.rows.X, rows.rows.rest
    a, a_rest = x[:, :, rows.second], rest[:, rows.second]
    weights = np.concatenate([-theta, np.ones((len(theta), 1))], axis=1)
    weights[:, rows.second] = 0.0
    noise = np.zeros((len(theta), a.shape[2]))
    if seed is not None:
        rng = np.random.Generator(np.random.SFC64([_STREAM, _SECOND, *seed]))
        noise = rng.standard_normal(noise.shape)
    blocks = [_Block.of(columns, a, a_rest) for columns in _blocks(a, varying)]
    out = np.empty_like(noise)
    largest = max(len(block.columns) ** 2 for block in blocks)
    step = max(1, BLOCK // max(largest, len(z)))
    for part in (slice(n, n + step) for n in range(0, len(theta), step)):
        precision = 1 / sigma[part] ** 2
        inverse = _inverse(_covariance(z, L[part], sigma[part]), sigma[part] ** 2)
        left = np.einsum("nd,jrd->rnj", weights[part], x)
        r = precision * (weights[part] @ (rest.T @ a_rest))
        for (q, s), entry in inverse.items():
            r += (entry * left[s]) @ a[:, q]
        for block in blocks:
            P = block.precision(inverse, precision)
            own = block.columns
            out[part, own] = _draw(P, r[:, own], T[part], noise[part][:, own])
    return out.reshape(len(theta), -1, varying)


@dataclass(frozen=True, eq=False)
class _Block:
    """Columns of the second factor that depend on each other, and their products.

    ``products[q][s]`` has those of rows q and s of each group that is ``touched``.
    """

    columns: NDArray[np.intp]
    touched: NDArray[np.intp]
    products: list[list[Any]]
    of_rest: Array

    @classmethod
    def of(cls, columns: NDArray[np.intp], a: Array, a_rest: Array) -> _Block:
        """Multiply columns of the rows with Z, and of the rest."""
        from scipy.sparse import csr_array  # type: ignore[import-untyped]

        touched = np.flatnonzero(a[:, :, columns].any(axis=(1, 2)))
        own, of_rest = a[touched][:, :, columns], a_rest[:, columns]
        pairs = np.einsum("jqa,jsb->qsabj", own, own)
        shape = len(columns) ** 2, len(touched)
        products = [[csr_array(pair.reshape(shape)) for pair in row] for row in pairs]
        return cls(columns, touched, products, np.ravel(of_rest.T @ of_rest))

    def precision(self, inverse: dict[tuple[int, int], Array], of_rest: Array) -> Array:
        """Return ``A' inverse(S) A`` of each draw, shape ``(S, columns, columns)``."""
        found = of_rest * self.of_rest
        for (q, s), entry in inverse.items():
            found += (self.products[q][s] @ entry[:, self.touched].T).T
        return found.reshape(-1, len(self.columns), len(self.columns))


def _draw(P: Array, r: Array, T: Array, z: Array) -> Array:
    """Draw ``u = scales v``, ``v`` standard normal before ``exp(r'u - u'Pu / 2)``."""
    size, varying = P.shape[1], T.shape[1]
    scales = np.zeros_like(P)
    for first in range(0, size, varying):
        own = slice(first, first + varying)
        scales[:, own, own] = T
    transposed = scales.swapaxes(1, 2)
    M = transposed @ P @ scales + np.eye(size)
    try:
        K = np.linalg.cholesky(M)
    except np.linalg.LinAlgError:
        # With almost no noise, rounding could make eigenvalues smaller than 1.
        values, vectors = np.linalg.eigh(M)
        K = vectors * np.sqrt(np.maximum(values, 1.0))[:, None, :]
    g = np.linalg.solve(K, transposed @ r[..., None])
    v = np.linalg.solve(K.swapaxes(1, 2), g + z[..., None])
    return np.asarray((scales @ v)[..., 0])


def _covariance(z: Array, L: Array, sigma: Array) -> dict[tuple[int, int], Array]:
    """Return the lower half of sigma^2 I + Z L L' Z', entries of shape (S, J)."""
    effects = np.einsum("jqd,ndc->qcnj", z, L)
    S = {}
    for q in range(len(effects)):
        for s in range(q + 1):
            S[q, s] = np.einsum("cnj,cnj->nj", effects[q], effects[s])
        S[q, q] += sigma**2
    return S


def _inverse(
    S: dict[tuple[int, int], Array], least: Array
) -> dict[tuple[int, int], Array]:
    """Invert many small matrices, of which the lower halves are given.

    They are at least ``least`` times the identity, and so are the pivots: what
    rounding takes from these is put back.
    """
    q = 1 + max(row for row, _ in S)
    K: dict[tuple[int, int], Array] = {}
    for c in range(q):
        for r in range(c, q):
            entry = S[r, c] - sum(K[r, k] * K[c, k] for k in range(c))
            pivot = r == c
            K[r, c] = np.sqrt(np.maximum(entry, least)) if pivot else entry / K[c, c]
    M = {}
    for c in range(q):
        M[c, c] = 1 / K[c, c]
        for r in range(c + 1, q):
            M[r, c] = -sum(K[r, k] * M[k, c] for k in range(c, r)) / K[r, r]
    return {
        (r, c): np.sum([M[k, r] * M[k, c] for k in range(max(r, c), q)], axis=0)
        for r in range(q)
        for c in range(q)
    }


def _blocks(a: Array, varying: int) -> Iterator[NDArray[np.intp]]:
    """Yield the columns of groups of the second factor that depend on each other.

    Parameters
    ----------
    a
        The columns, shape ``(J, Q, J_2 * Q_2)``: a group of the first factor connects
        the groups that it has rows of.
    varying
        How many columns a group has.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

    meets = np.any(a, axis=1).reshape(len(a), -1, varying).any(axis=2)
    met = csr_array(meets.astype(float))
    blocks = connected_components(met.T @ met, directed=False)[1]
    order = np.argsort(blocks, kind="stable")
    for groups in np.split(order, np.cumsum(np.bincount(blocks))[:-1]):
        yield (groups[:, None] * varying + np.arange(varying)).ravel()


def _solve(ZL: list[list[Array]], left: list[Array], z: Array) -> list[Array]:
    """Draw from many small regressions of standard normal coefficients.

    The columns of ``ZL``, with those of an identity matrix below, are made orthogonal
    one after the other, and the outcome ``left``, with zeros below, is taken along:
    that is the Cholesky factor of ``I + ZL' ZL``, and no product of it is formed, in
    which the identity could drown.
    """
    q = len(left)
    columns: list[list[Any]] = [
        [*column, *([0.0] * c), 1.0, *([0.0] * (q - c - 1))]
        for c, column in enumerate(ZL)
    ]
    outcome: list[Any] = [*left, *([0.0] * q)]
    K: dict[tuple[int, int], Array] = {}
    g: list[Array] = []
    for c in range(q):
        rows = range(q + c + 1)  # what is below is 0
        K[c, c] = np.sqrt(sum(columns[c][row] ** 2 for row in rows))
        unit = [columns[c][row] / K[c, c] for row in rows]
        g.append(sum(unit[row] * outcome[row] for row in rows))
        for row in rows if c < q - 1 else ():
            outcome[row] = outcome[row] - unit[row] * g[c]
        for d in range(c + 1, q):
            K[c, d] = sum(unit[row] * columns[d][row] for row in rows)
            for row in rows:
                columns[d][row] = columns[d][row] - unit[row] * K[c, d]
    v: list[Array] = [z[0]] * q
    for c in reversed(range(q)):
        entry = g[c] + z[c]
        for d in range(c + 1, q):
            entry = entry - K[c, d] * v[d]
        v[c] = entry / K[c, c]
    return v
