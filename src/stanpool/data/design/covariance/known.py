"""Known covariances between groups, as users pass them: matched by labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.data.design.covariance.ancestry import Ancestry, is_newick, is_pedigree
from stanpool.data.design.covariance.labels import labels_of_all, repeated
from stanpool.data.design.covariance.neighbours import (
    Neighbours,
    is_adjacency,
    is_edge_list,
)
from stanpool.data.design.covariance.roots import MatrixRoot
from stanpool.data.design.covariance.times import Times, are_times
from stanpool.data.entries import level_text
from stanpool.data.tables.shapes import are_shapes

_ROUNDING = 1e-8  # relative difference of two entries that are the same
_LEAST = 1e-12  # relative size of an eigenvalue that counts as 0
_NEGATIVE = 1e-6  # the same of a negative one: matrices in files have few digits

Covariances = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, eq=False)
class KnownCovariance:
    """A covariance between groups, which is known but for a factor.

    Attributes
    ----------
    labels
        The labels of the groups, as text.
    matrix
        The covariance, shape ``(len(labels), len(labels))``.
    """

    labels: tuple[str, ...]
    matrix: Array

    @classmethod
    def of(cls, name: str, given: Any) -> KnownCovariance:
        """Read a covariance that a user passes by a name, and check it.

        Raises
        ------
        DataError
            If it is no table with labels, or is no covariance.
        """
        if isinstance(given, cls):
            return given
        what = f"the covariance {quote(name)}"
        if not isinstance(given, pd.DataFrame):
            raise DataError(
                f"{what} is of type {type(given).__name__!r} and needs labels, by "
                "which it is matched with the groups: pass a data frame, "
                "pd.DataFrame(matrix, index=labels, columns=labels); a tree as a "
                "string in Newick's format; or a pedigree, a data frame with the "
                "columns 'id', 'sire' and 'dam'."
            )
        rows, columns = (
            tuple(map(level_text, x)) for x in (given.index, given.columns)
        )
        _check_labels(what, rows, columns)
        try:
            values = given.to_numpy(dtype=float)
        except (TypeError, ValueError):
            raise DataError(f"{what} has entries that are not numbers.") from None
        place = {label: at for at, label in enumerate(columns)}
        matrix = values[:, [place[label] for label in rows]]
        _check_matrix(what, rows, matrix)
        return cls(rows, 0.5 * (matrix + matrix.T))

    def same_as(self, other: KnownCovariance) -> bool:
        """Whether another one has the same covariances between the same labels."""
        if set(self.labels) != set(other.labels):
            return False
        place = {label: at for at, label in enumerate(other.labels)}
        at = [place[label] for label in self.labels]
        return np.array_equal(self.matrix, other.matrix[np.ix_(at, at)])

    def root(
        self, column: str, levels: Sequence[Any]
    ) -> tuple[tuple[Any, ...], MatrixRoot]:
        """Return the labels of all groups, and L with ``L L'`` their covariance.

        Parameters
        ----------
        column, levels
            The groups that have rows. Others of the covariance come after them: what
            is added for these does not concern the groups with rows.

        Raises
        ------
        DataError
            If groups are not in the covariance.
        """
        labels, at = labels_of_all(column, levels, self.labels)
        root = _root(self.matrix[np.ix_(at, at)], len(levels))
        return labels, MatrixRoot(root)


Known = KnownCovariance | Ancestry | Neighbours | Times


def as_covariances(given: Mapping[str, Any] | None) -> Covariances:
    """Turn what a user passes as ``covariances=`` into sorted pairs.

    Raises
    ------
    SpecError
        If it is no mapping of plain names.
    DataError
        If one of them is no covariance.
    """
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise SpecError(
            f"covariances={quote(given)} must be a mapping; write covariances={{'A': "
            "A}, with the name by which the formula calls it."
        )
    for name in given:
        if not isinstance(name, str) or not name.isidentifier():
            raise SpecError(
                f"covariances has {quote(name)}, which must be a plain identifier."
            )
    pairs = ((name, _read(name, each)) for name, each in given.items())
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def _read(name: str, given: Any) -> Known:
    """Read a matrix, a tree, a pedigree, neighbours, or times."""
    if isinstance(given, KnownCovariance | Ancestry | Neighbours | Times):
        return given
    if is_newick(given):
        return Ancestry.of_tree(name, given)
    if is_pedigree(given):
        return Ancestry.of_pedigree(name, given)
    if are_shapes(given):
        return Neighbours.of_shapes(name, given)
    if is_adjacency(given):
        return Neighbours.of_matrix(name, given)
    if is_edge_list(given):
        return Neighbours.of_edges(name, given)
    if are_times(given):
        return Times.of(name, given)
    return KnownCovariance.of(name, given)


def arrays_of(known: Mapping[str, Known]) -> dict[str, Array]:
    """Return what is saved of covariances besides their labels, by name."""
    found: dict[str, Array] = {}
    for name, each in known.items():
        if isinstance(each, KnownCovariance):
            found[f"covariance_{name}"] = each.matrix
        elif isinstance(each, Times):
            found[f"times_{name}"] = np.arange(float(len(each.labels)))
        elif isinstance(each, Neighbours):
            found[f"neighbours_{name}"] = np.asarray(each.pairs)
            found[f"weights_{name}"] = each.weights
        else:
            found[f"parents_{name}"] = np.asarray(each.parents)
            found[f"innovation_{name}"] = each.innovation
    return found


def restored(
    labels: Mapping[str, tuple[str, ...]], arrays: Mapping[str, Array]
) -> Covariances:
    """Return the covariances that were saved, by their labels and arrays."""
    found: list[tuple[str, Any]] = []
    for name, own in labels.items():
        if f"covariance_{name}" in arrays:
            matrix = arrays[f"covariance_{name}"]
            found.append((name, KnownCovariance(own, matrix)))
        elif f"times_{name}" in arrays:
            found.append((name, Times(own)))
        elif f"neighbours_{name}" in arrays:
            pairs = arrays[f"neighbours_{name}"].astype(np.int64)
            found.append((name, Neighbours(own, pairs, arrays[f"weights_{name}"])))
        else:
            parents, scale = (arrays[f"{x}_{name}"] for x in ("parents", "innovation"))
            found.append((name, Ancestry(own, parents.astype(np.int64), scale)))
    return tuple(found)


def are_same(these: Covariances, those: Covariances) -> bool:
    """Whether covariances have the same names and are the same, in any order."""
    one, other = dict(these), dict(those)
    return one.keys() == other.keys() and all(
        type(one[name]) is type(other[name]) and one[name].same_as(other[name])
        for name in one
    )


def _check_labels(what: str, rows: tuple[str, ...], columns: tuple[str, ...]) -> None:
    """Refuse labels that occur twice, or that only rows or only columns have."""
    for own in (rows, columns):
        twice = repeated(own)
        if twice:
            raise DataError(f"{what} has labels twice: {quote_list(twice)}.")
    apart = [x for x in rows if x not in set(columns)]
    apart += [x for x in columns if x not in set(rows)]
    if apart:
        raise DataError(
            f"{what} has labels of rows that no column has, or of columns that no row "
            f"has: {quote_list(apart)}. Rows and columns are the same groups."
        )


def _check_matrix(what: str, labels: tuple[str, ...], matrix: Array) -> None:
    """Refuse entries that are missing, not symmetric, or no covariances."""
    if not np.isfinite(matrix).all():
        pair = _pair(labels, ~np.isfinite(matrix))
        raise DataError(f"{what} has no finite number for {pair}.")
    size = float(np.abs(matrix).max(initial=0.0))
    gap = np.abs(matrix - matrix.T)
    if (gap > _ROUNDING * size).any():
        i, j = np.unravel_index(gap.argmax(), gap.shape)
        raise DataError(
            f"{what} is not symmetric: it has {matrix[i, j]:g} in the row of "
            f"{quote(labels[i])} and the column of {quote(labels[j])}, and "
            f"{matrix[j, i]:g} the other way round."
        )
    variances = np.diag(matrix)
    if (variances < 0).any() or size == 0:
        at = int(variances.argmin())
        raise DataError(
            f"{what} has the variance {variances[at]:g} for {labels[at]!r}."
        )
    largest = np.sqrt(np.outer(variances, variances))
    beyond = np.abs(matrix) - largest
    if (beyond > _NEGATIVE * size).any():
        i, j = np.unravel_index(beyond.argmax(), beyond.shape)
        raise DataError(
            f"{what} is not positive semidefinite: between {quote(labels[i])} and "
            f"{quote(labels[j])} it has {matrix[i, j]:g}, which is larger than the "
            f"root of the product of their variances, {largest[i, j]:g}."
        )
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -_NEGATIVE * size:
        i, j = np.argsort(-np.abs(vectors[:, 0]))[:2]
        raise DataError(
            f"{what} is not positive semidefinite: it has the eigenvalue "
            f"{values[0]:g}, in whose eigenvector {quote(labels[i])} and "
            f"{quote(labels[j])} weigh most."
        )


def _pair(labels: tuple[str, ...], found: Array) -> str:
    """Name the first pair of labels of which something was found."""
    i, j = np.argwhere(found)[0]
    return f"the row of {quote(labels[i])} and the column of {quote(labels[j])}"


def _root(matrix: Array, first: int) -> Array:
    """Return a root whose first columns are all that the first rows need.

    With ``A = [[F, C'], [C, S]]`` it is ``[[P, 0], [C P^+', Q]]``, where ``P P' = F``
    and ``Q Q' = S - C F^+ C'``, the covariance of the others given the first.
    """
    size = float(np.abs(matrix).max())
    P, scaled = _eigenvectors(matrix[:first, :first], size)
    across = matrix[first:, :first] @ scaled
    Q, _ = _eigenvectors(matrix[first:, first:] - across @ across.T, size)
    top = np.concatenate([P, np.zeros((first, Q.shape[1]))], axis=1)
    return np.concatenate([top, np.concatenate([across, Q], axis=1)])


def _eigenvectors(matrix: Array, size: float) -> tuple[Array, Array]:
    """Return eigenvectors times the roots of their eigenvalues, and divided by them."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > _LEAST * len(matrix) * size
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    return vectors * roots, vectors / roots
