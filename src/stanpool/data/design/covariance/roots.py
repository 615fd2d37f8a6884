"""What makes deviations with a known covariance of independent ones.

Deviations of groups with the covariance :math:`A` are :math:`u = L v`, where v are
independent and :math:`A = L L'`. The columns of L are eigenvectors of A times the roots
of their eigenvalues, so that A may be singular; and where all groups have as many rows,
the v are independent a posteriori, too. Of an ancestry L is a recursion, from parents
to their offspring, and takes as many steps as there are groups.

The covariance may depend on a parameter between 0 and 1, which is called rho whatever
it means: the correlation over one unit of time, or how much regions depend on their
neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from stanpool.base.arrays import Array, Indices


class Root(Protocol):
    """A root L of a covariance ``L L'`` between J groups, with R columns."""

    @property
    def kind(self) -> str:
        """``"matrix"``, ``"ancestry"``, or a structure's name: how a program has it."""

    @property
    def has_rho(self) -> bool:
        """Whether the covariance depends on a parameter, rho."""

    @property
    def columns(self) -> int:
        """The number of independent deviations, R."""

    @property
    def variances(self) -> Array:
        """The diagonal of ``L L'``, shape ``(J,)``; where rho is 0.5, if it has one."""

    def times(self, v: Array, rho: Array | None = None) -> Array:
        """Return ``L v`` of independent deviations, shape ``(..., R, D)``.

        Parameters
        ----------
        v
            Independent deviations.
        rho
            The parameter, if there is one: a number, or one for each draw, shape
            ``(S,)``.
        """

    def smoothed(self, u: Array, errors: Array, rho: float = 0.5) -> Array:
        """Return the most probable v if u, shape ``(J,)``, has errors.

        Eigenvectors of small eigenvalues are not estimated from noise.

        Parameters
        ----------
        u, errors
            Deviations and the variances of their errors, for a scale of 1.
        """

    def stan_data(self) -> dict[str, Any]:
        """Return Stan's data."""


@dataclass(frozen=True, eq=False)
class MatrixRoot:
    """A root as a matrix, shape ``(J, R)``."""

    matrix: Array
    kind = "matrix"
    has_rho = False

    @property
    def columns(self) -> int:
        """The number of independent deviations, R."""
        return int(self.matrix.shape[1])

    @property
    def variances(self) -> Array:
        """The variances of groups, shape ``(J,)``."""
        return np.asarray(np.square(self.matrix).sum(axis=1))

    def times(self, v: Array, rho: Array | None = None) -> Array:
        """Return ``L v``, shape ``(..., J, D)``."""
        return np.asarray(self.matrix @ v)

    def smoothed(self, u: Array, errors: Array, rho: float = 0.5) -> Array:
        """Return the most probable v if u has errors."""
        whole = self.matrix @ self.matrix.T
        return np.asarray(self.matrix.T @ np.linalg.solve(whole + np.diag(errors), u))

    def stan_data(self) -> dict[str, Any]:
        """Return Stan's data."""
        return {"R": self.columns, "root": self.matrix}


@dataclass(frozen=True, eq=False)
class AutoregressiveRoot:
    """The recursion of autoregressions of variance 1, one in each series.

    Each time has ``r`` times what the time before has, and ``sqrt(1 - r^2) v``, where
    ``r`` is ``rho`` to the power of the gap between them. So ``rho`` is the correlation
    over one unit of time.

    Attributes
    ----------
    gaps
        The time since the group before, 0 at the first time of a series: shape
        ``(J,)``. The groups of a series follow each other in the order of time.
    """

    gaps: Array
    kind = "ar1"
    has_rho = True

    @property
    def columns(self) -> int:
        """The number of independent deviations, R."""
        return len(self.gaps)

    @property
    def variances(self) -> Array:
        """The variances of groups, shape ``(J,)``."""
        return np.ones(len(self.gaps))

    def times(self, v: Array, rho: Array | None = None) -> Array:
        """Return ``L v``, shape ``(..., J, D)``."""
        assert rho is not None
        u = np.array(v, dtype=float)
        correlation = np.asarray(rho)[..., None] ** self.gaps  # (..., J)
        for j in np.flatnonzero(self.gaps > 0).tolist():
            r = correlation[..., j, None]
            u[..., j, :] = r * u[..., j - 1, :] + np.sqrt(1 - r**2) * v[..., j, :]
        return u

    def smoothed(self, u: Array, errors: Array, rho: float = 0.5) -> Array:
        """Return the most probable v if u has errors."""
        whole = self.times(np.eye(self.columns), np.asarray(rho))
        return MatrixRoot(whole).smoothed(u, errors)

    def stan_data(self) -> dict[str, Any]:
        """Return Stan's data."""
        return {"gap": self.gaps}


@dataclass(frozen=True, eq=False)
class SpectralRoot:
    """Orthogonal vectors, whose variances depend on rho.

    Of ``"bym2"`` the covariance is ``rho C + (1 - rho) I``. Of ``"car"`` it is the
    inverse of ``rho P + (1 - rho) I``, where P is the generalized inverse of C, but for
    vectors of which P is 0. Both have the eigenvectors of C.

    Attributes
    ----------
    kind
        ``"bym2"`` or ``"car"``.
    vectors
        Eigenvectors as columns, shape ``(J, R)``.
    spectrum
        Their eigenvalues in C of ``"bym2"``, and in P of ``"car"``: shape ``(R,)``.
    """

    kind: str
    vectors: Array
    spectrum: Array
    has_rho = True

    @property
    def columns(self) -> int:
        """The number of independent deviations, R."""
        return len(self.spectrum)

    @property
    def variances(self) -> Array:
        """The variances of groups where rho is 0.5, shape ``(J,)``."""
        whole = self.vectors * self._scales(np.asarray(0.5))
        return np.asarray(np.square(whole).sum(axis=1))

    def _scales(self, rho: Array) -> Array:
        """Return the standard deviations of the vectors, shape ``(..., R)``."""
        mixed = 1.0 - rho[..., None] * (1.0 - self.spectrum)
        return np.asarray(np.sqrt(mixed if self.kind == "bym2" else 1.0 / mixed))

    def times(self, v: Array, rho: Array | None = None) -> Array:
        """Return ``L v``, shape ``(..., J, D)``."""
        assert rho is not None
        return np.asarray(self.vectors @ (self._scales(np.asarray(rho))[..., None] * v))

    def smoothed(self, u: Array, errors: Array, rho: float = 0.5) -> Array:
        """Return the most probable v if u has errors."""
        whole = self.vectors * self._scales(np.asarray(rho))
        return MatrixRoot(whole).smoothed(u, errors)

    def stan_data(self) -> dict[str, Any]:
        """Return Stan's data."""
        return {"R": self.columns, "root": self.vectors, "spectrum": self.spectrum}


@dataclass(frozen=True, eq=False)
class AncestryRoot:
    """The recursion from parents to their offspring.

    A group has the mean of what its parents have, and deviates from it by itself:
    :math:`u_j = (u_{s} + u_{d}) / 2 + i_j v_j`, where parents that are not known have
    0. Where a lineage has one ancestor, as in a tree, it is both parents.

    Attributes
    ----------
    parents
        The parents of each group, counted from 0 and before it; -1 for those that are
        not known. Shape ``(J, 2)``.
    innovation
        The scale of what a group does not have of its parents, i, shape ``(J,)``.

    Examples
    --------
    >>> child = AncestryRoot(
    ...     np.array([[-1, -1], [-1, -1], [0, 1]]), np.sqrt([1.0, 1.0, 0.5])
    ... )
    >>> child.times(np.array([[2.0], [0.0], [1.0]])).ravel().round(2)
    array([2.  , 0.  , 1.71])
    >>> child.variances.round(6)
    array([1., 1., 1.])
    """

    parents: Indices
    innovation: Array
    kind = "ancestry"
    has_rho = False

    @property
    def columns(self) -> int:
        """The number of independent deviations: that of groups."""
        return len(self.innovation)

    @cached_property
    def variances(self) -> Array:
        """The variances of groups, shape ``(J,)``."""
        return variances_of(self.parents, np.square(self.innovation))[0]

    def times(self, v: Array, rho: Array | None = None) -> Array:
        """Return the deviations of groups, shape ``(..., J, D)``."""
        # The last has 0, and stands for parents that are not known.
        u = np.zeros((*v.shape[:-2], self.columns + 1, v.shape[-1]))
        u[..., :-1, :] = self.innovation[:, None] * v
        for place, (sire, dam) in enumerate(self.parents.tolist()):
            u[..., place, :] += 0.5 * (u[..., sire, :] + u[..., dam, :])
        return u[..., :-1, :]

    def smoothed(self, u: Array, errors: Array, rho: float = 0.5) -> Array:
        """Return the most probable v if u has errors."""
        from scipy import sparse  # type: ignore[import-untyped]
        from scipy.sparse import linalg  # type: ignore[import-untyped]

        J = self.columns
        child, side = np.nonzero(self.parents >= 0)
        halves = sparse.coo_array(
            (np.full(len(child), 0.5), (child, self.parents[child, side])), shape=(J, J)
        )
        scale = np.maximum(self.innovation, 1e-6)
        to_v = sparse.diags_array(1 / scale) @ (sparse.eye_array(J) - halves)
        precision = to_v.T @ to_v + sparse.diags_array(1 / errors)
        return np.asarray(to_v @ linalg.spsolve(precision.tocsc(), u / errors))

    def stan_data(self) -> dict[str, Any]:
        """Return Stan's data."""
        unknown = self.columns + 1
        parents = np.where(self.parents < 0, unknown, self.parents + 1)
        return {"parents": parents, "innovation": self.innovation}


def variances_of(parents: Indices, own: Array | None = None) -> tuple[Array, Array]:
    """Return the variances of groups, and of what they do not have of their parents.

    A group's is the mean of those of its parents, half of it with their covariance:
    ``(A_ss + A_dd + 2 A_sd) / 4 + i^2``.

    Parameters
    ----------
    parents
        As of ``AncestryRoot``.
    own
        The squares of ``AncestryRoot.innovation``; by default those of a pedigree,
        ``1 - (A_ss + A_dd) / 4`` [1]_.

    References
    ----------
    .. [1] Henderson (1976). A simple method for computing the inverse of a numerator
       relationship matrix used in prediction of breeding values. Biometrics 32(1),
       69-83.
    """
    total = np.zeros(len(parents) + 1)
    known: dict[tuple[int, int], float] = {}
    left = np.zeros(len(parents)) if own is None else own
    for place, (sire, dam) in enumerate(parents.tolist()):
        of_parents = 0.25 * (total[sire] + total[dam])
        if own is None:
            left[place] = max(1.0 - of_parents, 0.0)
        pair = (min(sire, dam), max(sire, dam))
        if sire == dam:
            known[pair] = total[sire]
        elif pair not in known:
            known[pair] = _covariance(parents, left, *pair)
        total[place] = of_parents + 0.5 * known[pair] + left[place]
    return total[:-1], left


def _covariance(parents: Indices, innovation: Array, one: int, other: int) -> float:
    """Return the covariance of two groups: what they have of each common ancestor.

    Each has shares of its ancestors' own parts. They are passed on from the youngest
    to the oldest, as in Meuwissen and Luo (1992).
    """
    import heapq

    if min(one, other) < 0:
        return 0.0
    shares = {one: [1.0, 0.0], other: [0.0, 1.0]}
    left, total = [-one, -other], 0.0
    heapq.heapify(left)
    while left:
        place = -heapq.heappop(left)
        mine, yours = shares.pop(place)
        total += mine * yours * float(innovation[place])
        for parent in parents[place].tolist():
            if parent < 0:
                continue
            if parent not in shares:
                shares[parent] = [0.0, 0.0]
                heapq.heappush(left, -parent)
            shares[parent][0] += 0.5 * mine
            shares[parent][1] += 0.5 * yours
    return total
