"""Predictors of what levels of columns have on latent factors.

What levels have is normal about a linear function of predictors that are constant
within a level, and that are counted from their means over the levels: where all are at
their means, what a level has is 0 on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.design.design import Side, read_only
from stanpool.data.matrix.evaluation import Functions
from stanpool.data.matrix.model_matrix import rebuild, term_matrix, without_values
from stanpool.data.matrix.term_matrix import TermMatrix
from stanpool.language.special.latent_factors import LevelPredictors


@dataclass(frozen=True)
class LevelMeans:
    """The predictors of the levels of several columns, K of them.

    Attributes
    ----------
    labels
        The labels of the predictors, such as ``user, age``.
    of
        The place of the column of each, counted from 0, shape ``(K,)``.
    levels
        The predictors of the levels of each column, about their means, shape ``(J,
        K)``; those of other columns are 0.
    rows
        The predictors of each row, shape ``(N, K)``.
    matrices
        How predictors are built again for new rows, one column after the other, and
        where their means are.
    """

    labels: tuple[str, ...]
    of: np.ndarray
    levels: tuple[np.ndarray, ...]
    rows: np.ndarray
    matrices: tuple[tuple[TermMatrix, np.ndarray], ...] = field(repr=False)

    def take(self, rows: np.ndarray | slice) -> LevelMeans:
        """Return the predictors of some rows."""
        return replace(self, rows=read_only(self.rows[rows]))

    def of_new(self, frame: pd.DataFrame) -> LevelMeans:
        """Return the predictors of new rows."""
        parts = [rebuild(m, frame)[:, 1:] - means for m, means in self.matrices]
        return replace(self, rows=read_only(np.concatenate(parts, axis=1)))

    def in_units(self, unit: Array) -> LevelMeans:
        """Return the predictors divided by units, shape ``(K,)``."""
        levels = tuple(read_only(each / unit) for each in self.levels)
        return replace(self, levels=levels, rows=read_only(self.rows / unit))

    def of_rows(self, place: int, beta: Array) -> Array:
        """Return the means of what the rows' levels of a column have.

        Parameters
        ----------
        place
            The place of the column.
        beta
            The coefficients of a factor, shape ``(S, K)``.

        Returns
        -------
        numpy.ndarray
            Shape ``(S, N)``.
        """
        own = self.of == place
        return np.asarray(beta[:, own] @ self.rows[:, own].T)


def build_level_means(
    predictors: Sequence[LevelPredictors],
    sides: Sequence[Side],
    frame: pd.DataFrame,
    functions: Functions,
) -> LevelMeans | None:
    """Build the predictors of the levels of columns; None if there are none.

    Raises
    ------
    DataError
        If a predictor varies within a level, or they follow from each other.
    """
    if not predictors:
        return None
    place_of = {side.column: place for place, side in enumerate(sides)}
    labels, of, matrices = list[str](), list[int](), []
    parts = list[np.ndarray]()
    levels = [list[np.ndarray]() for _ in sides]
    for each in sorted(predictors, key=lambda x: place_of[x.column]):
        place = place_of[each.column]
        side = sides[place]
        matrix = term_matrix(True, each.terms, frame, functions)
        values = _of_levels(matrix, side, frame)
        _refuse_dependent(each, values)
        at = values[:, 1:].mean(axis=0)
        matrices.append((without_values(matrix), at))
        parts.append(matrix.values[:, 1:] - at)
        labels += [f"{each.column}, {label}" for label in matrix.labels[1:]]
        of += [place] * len(at)
        for other, found in enumerate(levels):
            none = np.zeros((sides[other].size, len(at)))
            found.append(values[:, 1:] - at if other == place else none)
    return LevelMeans(
        labels=tuple(labels),
        of=read_only(np.array(of)),
        levels=tuple(read_only(np.concatenate(each, axis=1)) for each in levels),
        rows=read_only(np.concatenate(parts, axis=1)),
        matrices=tuple(matrices),
    )


def _of_levels(matrix: TermMatrix, side: Side, frame: pd.DataFrame) -> np.ndarray:
    """Return the predictors of each level of a column, refusing those that vary."""
    values = np.zeros((side.size, matrix.values.shape[1]))
    values[side.index[::-1]] = matrix.values[::-1]
    for label, column, rows in zip(
        matrix.labels, values.T, matrix.values.T, strict=True
    ):
        differ = np.flatnonzero(column[side.index] != rows)
        if len(differ):
            found = dict.fromkeys(side.labels[j] for j in side.index[differ].tolist())
            numbers = frame.index[differ].tolist()
            raise DataError(
                f"factors() has {quote(label)} as a predictor of the levels of "
                f"{quote(side.column)}, and it varies within {quote_list(found)} (rows "
                f"{quote_list(numbers)}, counted from 0). Use a predictor that is "
                f"constant within each {side.column}, or add it to the formula itself."
            )
    return values


def _refuse_dependent(predictors: LevelPredictors, values: np.ndarray) -> None:
    """Refuse predictors that the levels cannot tell apart."""
    if np.linalg.matrix_rank(values) < values.shape[1]:
        raise DataError(
            f"predictors in {predictors.written(predictors.column)} are constant over "
            "the levels, or follow from each other. Drop those that say nothing of "
            "their own."
        )
