"""Neighbours: which regions touch, and the covariance that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from stanpool.base.arrays import Array, Indices
from stanpool.base.errors import DataError, quote
from stanpool.data.design.covariance.labels import labels_of_all, repeated
from stanpool.data.design.covariance.roots import SpectralRoot
from stanpool.data.entries import level_text
from stanpool.data.tables.shapes import Shapes


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Regions, and the pairs of them that are neighbours.

    Attributes
    ----------
    labels
        The labels of the regions, as text and sorted.
    pairs
        Pairs of neighbours, each once, counted from 0: shape ``(E, 2)``.
    weights
        How closely each pair is tied, 1 unless a matrix says otherwise: shape ``(E,)``.
    """

    labels: tuple[str, ...]
    pairs: Indices
    weights: Array

    @classmethod
    def of_edges(cls, name: str, given: pd.DataFrame) -> Neighbours:
        """Read a data frame of two columns, with a pair of neighbours in each row.

        A pair may be there in both directions.

        Raises
        ------
        DataError
            If an entry is missing, or a region is its own neighbour.
        """
        what = f"the edge list {quote(name)}"
        missing = given.isna().any(axis=1).to_numpy()
        if missing.any():
            raise DataError(
                f"{what} has no label in its row {int(missing.argmax())}, counted from "
                "0. Each row names two neighbours; drop those that name fewer. Regions "
                "without neighbours need an adjacency matrix."
            )
        ends = [[level_text(_whole(x)) for x in given[side]] for side in given.columns]
        labels = sorted({*ends[0], *ends[1]})
        place = {label: at for at, label in enumerate(labels)}
        pairs = np.array([[place[x] for x in side] for side in ends]).T
        _refuse_own(what, labels, pairs[pairs[:, 0] == pairs[:, 1], 0])
        pairs = np.unique(np.sort(pairs, axis=1), axis=0)
        return cls(tuple(labels), pairs, np.ones(len(pairs)))

    @classmethod
    def of_matrix(cls, name: str, given: pd.DataFrame) -> Neighbours:
        """Read an adjacency matrix with labels: 0 for pairs that are no neighbours.

        Raises
        ------
        DataError
            If it is not symmetric, its labels do not fit, it has negative or missing
            entries, or a region is its own neighbour.
        """
        what = f"the adjacency {quote(name)}"
        rows, columns = ([level_text(x) for x in side] for side in given.axes)
        for own in (rows, columns):
            if twice := repeated(own):
                raise DataError(f"{what} has more than one row for {quote(twice[0])}.")
        labels = sorted(rows)
        order = [[own.index(label) for label in labels] for own in (rows, columns)]
        matrix = given.to_numpy(dtype=float)[np.ix_(*order)]
        wrong = ~(np.isfinite(matrix) & (matrix >= 0))
        if wrong.any():
            i, j = np.argwhere(wrong)[0]
            raise DataError(
                f"{what} has {matrix[i, j]:g} for {quote(labels[i])} and "
                f"{quote(labels[j])}; entries are 0, or 1 for neighbours, or positive "
                "weights."
            )
        _refuse_own(what, labels, np.flatnonzero(np.diag(matrix)))
        unequal = matrix != matrix.T
        if unequal.any():
            i, j = np.argwhere(unequal)[0]
            raise DataError(
                f"{what} is not symmetric: it has {matrix[i, j]:g} in the row of "
                f"{quote(labels[i])} and the column of {quote(labels[j])}, and "
                f"{matrix[j, i]:g} the other way round. Neighbours are each other's."
            )
        pairs = np.argwhere(np.triu(matrix))
        return cls(tuple(labels), pairs, matrix[pairs[:, 0], pairs[:, 1]])

    @classmethod
    def of_shapes(cls, name: str, given: Any) -> Neighbours:
        """Read shapes of regions: those that share a border or a corner are neighbours.

        Raises
        ------
        DataError
            If they are no polygons with labels, or shapely is not installed.
        """
        what = f"the map {quote(name)}"
        shapes = Shapes.of(what, given)
        order = np.argsort(list(shapes.geometries))
        place = np.argsort(order)
        pairs = np.unique(np.sort(place[shapes.touching(what)], axis=1), axis=0)
        return cls(tuple(sorted(shapes.geometries)), pairs, np.ones(len(pairs)))

    def same_as(self, other: Neighbours) -> bool:
        """Whether another one has the same regions with the same neighbours."""
        return (
            self.labels == other.labels
            and np.array_equal(self.pairs, other.pairs)
            and np.array_equal(self.weights, other.weights)
        )

    @cached_property
    def components(self) -> tuple[Indices, ...]:
        """The regions of each component: those that neighbours connect."""
        from scipy.sparse import coo_array  # type: ignore[import-untyped]
        from scipy.sparse.csgraph import (  # type: ignore[import-untyped]
            connected_components,
        )

        size = len(self.labels)
        graph = coo_array((self.weights, self.pairs.T), shape=(size, size))
        count, of = connected_components(graph, directed=False)
        return tuple(np.flatnonzero(of == number) for number in range(count))

    @property
    def islands(self) -> tuple[str, ...]:
        """The labels of regions without neighbours."""
        return tuple(self.labels[own[0]] for own in self.components if len(own) == 1)

    def intrinsic_covariance(self) -> Array:
        """Return the scaled covariance of the intrinsic CAR, shape ``(J, J)``."""
        vectors, values = self.spectrum()
        return np.asarray((vectors * values) @ vectors.T)

    def spectrum(self) -> tuple[Array, Array]:
        """Return eigenvectors and eigenvalues of the intrinsic CAR [1]_, [2]_.

        They are those of its scaled covariance, shapes ``(J, J)`` and ``(J,)``.

        In each component it is the generalized inverse of the matrix that has a
        region's sum of weights in the diagonal and minus the weights elsewhere, divided
        by the geometric mean of its diagonal. Deviations so have the sum 0 in each
        component, and a scale of 1. Islands have independent deviations of variance 1.

        References
        ----------
        .. [1] Riebler, Sorbye, Simpson and Rue (2016). An intuitive Bayesian spatial
           model for disease mapping that accounts for scaling. Statistical Methods in
           Medical Research 25(4).
        .. [2] Freni-Sterrantino, Ventrucci and Rue (2018). A note on intrinsic
           conditional autoregressive models for disconnected graphs. Spatial and
           Spatio-temporal Epidemiology 26.
        """
        size = len(self.labels)
        all_vectors, all_values = np.eye(size), np.ones(size)
        ties = np.zeros((size, size))
        ties[tuple(self.pairs.T)] = self.weights
        ties += ties.T
        precision = np.diag(ties.sum(axis=1)) - ties
        for own in self.components:
            if len(own) == 1:
                continue
            values, vectors = np.linalg.eigh(precision[np.ix_(own, own)])
            # The first eigenvalue is 0: a constant, which the intercept has.
            inverses = np.append(0.0, 1.0 / values[1:])
            variances = np.square(vectors) @ inverses
            all_values[own] = inverses / np.exp(np.log(variances).mean())
            all_vectors[np.ix_(own, own)] = vectors
        return all_vectors, all_values

    def mixed(
        self, kind: str, column: str, levels: Sequence[Any]
    ) -> tuple[tuple[Any, ...], SpectralRoot]:
        """Return the labels of all regions, and a root of full rank.

        Parameters
        ----------
        kind
            ``"bym2"`` or ``"car"``, whose covariance is between that of the intrinsic
            CAR and that of independent regions.
        column, levels
            The regions that have rows; others come after them.
        """
        what = "table of neighbours"
        labels, at = labels_of_all(column, levels, self.labels, what)
        vectors, values = self.spectrum()
        if kind == "car":
            # A constant, whose precision would be 1 - rho, is the intercept's.
            vectors, values = vectors[:, values > 0], 1.0 / values[values > 0]
        return labels, SpectralRoot(kind, vectors[at], values)


def is_adjacency(given: Any) -> bool:
    """Whether a user passes a square table with labels, whose diagonal is mostly 0.

    A covariance has positive variances there.
    """
    if not isinstance(given, pd.DataFrame) or len(given) < 2:
        return False
    rows, columns = ([level_text(x) for x in side] for side in given.axes)
    if sorted(rows) != sorted(columns):
        return False
    try:
        values = given.to_numpy(dtype=float)
    except (TypeError, ValueError):
        return False
    place = {label: at for at, label in enumerate(columns)}
    own = values[np.arange(len(rows)), [place[label] for label in rows]]
    return bool((own == 0).mean() > 0.5)


def is_edge_list(given: Any) -> bool:
    """Whether a user passes a table of two columns that are not labels of its rows."""
    if not isinstance(given, pd.DataFrame) or given.shape[1] != 2:
        return False
    is_square = {*map(str, given.columns)} == {*map(str, given.index)}
    return not is_square or not all(map(is_numeric_dtype, given.dtypes))


def _whole(value: Any) -> Any:
    """Return whole numbers as such, as they are in the data."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _refuse_own(what: str, labels: list[str], own: Indices) -> None:
    """Refuse regions that are their own neighbours."""
    if len(own):
        raise DataError(
            f"{what} has {quote(labels[own[0]])} as its own neighbour. Drop the row, "
            "or set the diagonal to 0."
        )
