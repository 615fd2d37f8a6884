"""Columns of a design matrix that the data cannot tell from others.

A predictor that is constant or follows from others is refused. A column of an
interaction with a factor is left out where no row has the combination of levels, or
none from which the column could be told, as lme4 and R's ``lm`` do; new rows that need
it are refused, for nothing is known of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.entries import rows_where
from stanpool.data.matrix.term_matrix import LeftOut

if TYPE_CHECKING:
    from stanpool.data.matrix.term_matrix import TermMatrix

COLLINEAR = 1e-8  # share of a column's squared length that others leave over


class SurrogateRows(Protocol):
    """Rows in the place of those of the data, with the same sums of products."""

    @property
    def ones(self) -> np.ndarray:
        """The column of ones, transformed as the rows are."""

    @property
    def y(self) -> np.ndarray:
        """The outcome, transformed as the rows are."""

    @property
    def offset(self) -> np.ndarray | None:
        """The offsets, transformed as the rows are."""

    @property
    def group_row(self) -> np.ndarray:
        """The row of the frame whose groups each of them belongs to."""

    def transform(self, matrix: TermMatrix) -> np.ndarray:
        """Return a design matrix, transformed as the rows are."""


def identified_columns(
    matrix: TermMatrix,
    intercept: bool,
    surrogates: SurrogateRows | None,
    *,
    by_prior: bool = False,
) -> TermMatrix:
    """Leave out of a matrix what the rows, or those in their place, cannot tell.

    All else stays where a prior tells columns apart that follow from each other.
    """
    if surrogates is None:
        return identified(matrix, matrix.values, intercept, None, by_prior=by_prior)
    seen = surrogates.transform(matrix)
    return identified(matrix, seen, intercept, surrogates.ones, by_prior=by_prior)


def identified(
    matrix: TermMatrix,
    seen: np.ndarray,
    intercept: bool,
    ones: np.ndarray | None,
    *,
    by_prior: bool = False,
) -> TermMatrix:
    """Return a design matrix without the columns of empty cells.

    Parameters
    ----------
    matrix
        With an intercept as its first column, if there is one.
    seen
        Its rows, or rows in the place of those, shape ``(N, columns)``.
    intercept
        Whether there is an intercept.
    ones
        The column of ones as these rows are transformed; None where they are not.
    by_prior
        Whether columns that follow from others stay, since a prior tells them apart.

    Raises
    ------
    DataError
        If other columns are constant beside an intercept, or follow from others.
    """
    own, told = int(intercept), seen.shape[1] - matrix.penalised
    labels = matrix.labels[own:told]
    x = seen[:, own:told]
    _refuse_names(labels)
    flat: Any = _is_constant(x, ones) if intercept else ~x.any(axis=0)
    may_go = {column - own for column in _of_interactions(matrix)}
    # What others say already, as x does in x + s(x), a smooth need not say again.
    free = matrix.of_smooths - matrix.penalised
    first = x.shape[1] - free + matrix.uncertain
    may_go |= {*range(first, x.shape[1] - matrix.monotonic)}
    constant = [labels[k] for k in np.flatnonzero(flat) if k not in may_go]
    if constant:
        raise DataError(
            f"predictor(s) {quote_list(constant)} are constant: they cannot be told "
            "from the intercept. Drop them, or the intercept with '0 + ...'."
            if intercept
            else f"predictor(s) {quote_list(constant)} are 0 in all rows. Drop them."
        )
    gram = _correlations(about_means(x, ones) if intercept else x)
    if not flat.any() and _are_independent(gram):
        return matrix
    kept: list[int] = []
    left = gram.copy()  # what kept columns leave over: their Schur complement
    for column in range(x.shape[1]):
        is_told = not flat[column] and left[column, column] >= COLLINEAR
        if is_told:
            along = left[column, column:] / np.sqrt(left[column, column])
            left[column:, column:] -= np.multiply.outer(along, along)
        if is_told or (by_prior and column not in may_go):
            kept.append(column)
        elif column not in may_go:
            raise DataError(_said_of_collinear(gram, kept, column, labels, intercept))
    if len(kept) == len(labels):
        return matrix
    return _select(matrix, seen, [*range(own), *(own + each for each in kept)], told)


def check_known(values: np.ndarray, left_out: LeftOut) -> np.ndarray:
    """Return the columns that a model has; refuse rows that need the others, too.

    Parameters
    ----------
    values
        All columns, shape ``(N, columns)``.
    left_out
        Which of them are left out.
    """
    kept, gone = values[:, left_out.kept], values[:, left_out.at]
    apart = np.abs(gone - kept @ left_out.follows)
    scale = 1.0 + np.abs(gone) + np.abs(kept) @ np.abs(left_out.follows)
    unknown = apart > 1e-7 * scale
    rows = rows_where(unknown.any(axis=1))
    if rows.size:
        named = [left_out.labels[k] for k in np.flatnonzero(unknown.any(axis=0))]
        raise DataError(
            "new rows have combinations of predictors that no row of the data had "
            f"(rows {quote_list(rows.tolist())}, counted from 0): the data say nothing "
            f"about {quote_list(named)}, which predictions leave out. Drop these rows. "
            "A model in which the combinations are groups, as in (1 | a:b), predicts "
            "new ones."
        )
    return kept


def _select(
    matrix: TermMatrix, seen: np.ndarray, kept: list[int], told: int
) -> TermMatrix:
    """Leave out columns, and find how they follow from others in the data.

    Parameters
    ----------
    matrix, seen
        As for ``identified``.
    kept
        The columns that the data can tell.
    told
        How many columns must be told by data; the others, of smooths, are all kept.
    """
    gone = [k for k in range(told) if k not in kept]
    size = np.sqrt(np.square(seen[:, kept]).sum(axis=0))
    size = np.where(size > 0, size, 1.0)
    follows = np.linalg.lstsq(seen[:, kept] / size, seen[:, gone], rcond=None)[0]
    follows /= size[:, None]
    rounded = np.round(follows)
    follows = np.where(np.abs(follows - rounded) < 1e-8, rounded, follows)
    follows = np.pad(follows, ((0, seen.shape[1] - told), (0, 0)))
    kept = [*kept, *range(told, seen.shape[1])]
    return replace(
        matrix,
        values=matrix.values[:, kept],
        labels=tuple(matrix.labels[k] for k in kept),
        left_out=LeftOut(
            labels=tuple(matrix.labels[k] for k in gone),
            at=tuple(gone),
            kept=tuple(kept),
            follows=follows,
        ),
    )


def _of_interactions(matrix: TermMatrix) -> set[int]:
    """Return the columns of terms of two parts or more, one of them a factor."""
    found: set[int] = set()
    if matrix.recipe is None:
        return found
    kinds = {
        text: kind.value for text, (kind, _) in matrix.recipe.encoder_state.items()
    }
    for term, columns in matrix.recipe.term_indices.items():
        parts = [str(factor) for factor in term.factors]
        if len(parts) > 1 and "categorical" in map(kinds.get, parts):
            found |= set(columns)
    return found


def _refuse_names(labels: Sequence[str]) -> None:
    """Refuse a predictor called as the intercept is, and one that is given twice."""
    if "Intercept" in labels:
        raise DataError(
            "a predictor is named 'Intercept', which is the intercept's own name; "
            "rename the column."
        )
    doubled = {label for label in labels if labels.count(label) > 1}
    if doubled:
        raise DataError(f"predictors {quote_list(sorted(doubled))} are given twice.")


def _said_of_collinear(
    gram: np.ndarray,
    kept: list[int],
    column: int,
    labels: Sequence[str],
    intercept: bool,
) -> str:
    """Say from which others a predictor follows."""
    weights = _weights(gram, kept, column)
    others = [labels[k] for k, w in zip(kept, weights, strict=True) if abs(w) > 1e-6]
    return (
        f"predictor {quote(labels[column])} is an exact linear combination of "
        f"{quote_list(others)}{' and the intercept' if intercept else ''}. Drop one of "
        "them."
    )


def _are_independent(gram: np.ndarray) -> bool:
    """Whether enough of every column is left over by those before it."""
    try:
        root = np.linalg.cholesky(gram)
    except np.linalg.LinAlgError:
        return False
    return bool((np.square(root.diagonal()) >= COLLINEAR).all())


def _weights(gram: np.ndarray, kept: list[int], column: int) -> np.ndarray:
    """Return how a column follows best from kept ones."""
    return np.asarray(
        np.linalg.lstsq(gram[np.ix_(kept, kept)], gram[kept, column], rcond=None)[0]
    )


def _is_constant(x: np.ndarray, ones: np.ndarray | None) -> Any:
    """Whether each column is constant, but for rounding."""
    if ones is None:
        spread, size = x.max(axis=0) - x.min(axis=0), np.abs(x).max(axis=0)
    else:
        spread, size = (
            np.sqrt(np.square(each).sum(axis=0)) for each in (about_means(x, ones), x)
        )
    return spread <= 1e-12 * np.maximum(size, np.finfo(float).tiny)


def _correlations(x: np.ndarray) -> np.ndarray:
    """Return the cross-products of columns scaled to length one."""
    norms = np.sqrt(np.einsum("ij,ij->j", x, x))
    scaled = x / np.where(norms > 0, norms, 1.0)
    return np.asarray(scaled.T @ scaled)


def column_means(x: np.ndarray, ones: np.ndarray | None) -> Any:
    """Return the columns' means; ``ones`` is the transformed column of ones."""
    return x.mean(axis=0) if ones is None else ones @ x / (ones @ ones)


def about_means(x: np.ndarray, ones: np.ndarray | None) -> np.ndarray:
    """Return columns less their means."""
    means = column_means(x, ones)
    return np.asarray(x - (means if ones is None else np.multiply.outer(ones, means)))
