r"""Predictors whose true values are not all known, and what was observed of them.

What was observed, :math:`x`, is the true value with a normal error of known standard
deviation :math:`s`: 0 where the true value is known, and infinite where it is missing.
True values :math:`\xi` are normal [1]_:

.. math:: x_n \sim N(\xi_n, s_n), \quad \xi_n \sim N(\mu_n, \sigma_x).

So those that are not known are normal, given what was observed of them, with the mean
:math:`x_n + w_n (\mu_n - x_n)` and the variance :math:`w_n \sigma_x^2`, where
:math:`w_n = s_n^2 / (s_n^2 + \sigma_x^2)`.

References
----------
.. [1] Carroll, Ruppert, Stefanski and Crainiceanu (2006). Measurement error in
   nonlinear models, chapters 8 and 9. Chapman and Hall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, SpecError, quote
from stanpool.data.design.design import Side, read_only
from stanpool.data.entries import refuse_rows
from stanpool.data.matrix.evaluation import Functions
from stanpool.data.matrix.model_matrix import (
    column_of,
    rebuild,
    term_matrix,
    without_values,
)
from stanpool.data.matrix.term_matrix import TermMatrix
from stanpool.language.expression import parse
from stanpool.language.model_spec import ModelSpec
from stanpool.language.special.uncertain import UncertainPredictor
from stanpool.language.vocabulary import depends_on_rows


@dataclass(frozen=True)
class UncertainDesign:
    """The predictors whose true values are not all known, U of them.

    Attributes
    ----------
    predictors
        What is stated of them.
    at
        Their columns of the population's predictors, counted from 0.
    x
        What was observed, as it stands in these columns, shape ``(N, U)``: a mean where
        it is missing.
    error
        The standard deviations of errors, shape ``(N, U)``: 0 where true values are
        known, and infinite where they are missing.
    X
        The predictors of their means, about the means of these, shape ``(N, K_x)``.
    of
        Which predictor each of these columns is of, counted from 0, shape ``(K_x,)``.
    labels
        The labels of these columns, such as ``mi(x), z``.
    number
        The number of each row in the data of the fit, shape ``(N,)``; of new rows,
        which are counted apart, negative.
    matrices
        How predictors of the means are built again for new rows, and where the means
        are.
    functions
        The user's own functions.
    is_integrated
        Whether values that are not known are integrated out, and not sampled.
    kind, name, scale_class
        As of every ``SpecialTerm``.
    """

    predictors: tuple[UncertainPredictor, ...]
    at: tuple[int, ...]
    x: np.ndarray
    error: np.ndarray
    X: np.ndarray
    of: np.ndarray
    labels: tuple[str, ...]
    number: np.ndarray
    matrices: tuple[tuple[TermMatrix, np.ndarray], ...]
    functions: Functions
    is_integrated: bool
    kind: str = "uncertain"
    name: str = "uncertain"
    scale_class: str = ""

    @property
    def scales(self) -> int:
        """How many coefficients with a scale to estimate each row gets of the term."""
        return 0

    @property
    def sides(self) -> tuple[Side, ...]:
        """No columns: their effects are coefficients of the population."""
        return ()

    @property
    def has_means(self) -> bool:
        """False, as there are no levels."""
        return False

    @property
    def rows_of_values(self) -> tuple[str, ...]:
        """The dimensions of the values that are not known, in the posterior."""
        return tuple(each.rows for each in self.predictors)

    @property
    def names(self) -> tuple[str, ...]:
        """The labels of the predictors."""
        return tuple(each.name for each in self.predictors)

    @property
    def precision(self) -> Array:
        """What was observed of each value, as the precision of its error, ``(N, U)``.

        It is infinite where the true value is known, and 0 where it is missing.
        """
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / np.square(self.error))

    @property
    def is_unknown(self) -> np.ndarray:
        """Whether true values are not known, ``(N, U)``."""
        return np.asarray(self.error > 0)

    @property
    def is_seen(self) -> np.ndarray:
        """Whether something was observed, ``(N, U)``."""
        return np.asarray(np.isfinite(self.error))

    @property
    def unknown(self) -> tuple[np.ndarray, np.ndarray]:
        """The row and the predictor of each unknown value, one predictor after another.

        Shapes ``(unknown values,)`` each.
        """
        predictor, row = np.nonzero(self.is_unknown.T)
        return row, predictor

    def mean(self, mean: Array, beta: Array) -> Array:
        """Return the means of true values, before they are observed.

        Parameters
        ----------
        mean, beta
            Of the predictors, shape ``(..., U)``, and coefficients, ``(..., K_x)``.

        Returns
        -------
        numpy.ndarray
            Shape ``(..., N, U)``.
        """
        which = [np.flatnonzero(self.of == u) for u in range(len(self.predictors))]
        moved = [beta[..., own] @ self.X[:, own].T for own in which]
        return np.asarray(mean[..., None, :] + np.stack(moved, axis=-1))

    def take(self, rows: np.ndarray | slice) -> UncertainDesign:
        """Return the term of some rows."""
        per_row = ("x", "error", "X", "number")
        return replace(
            self, **{name: read_only(getattr(self, name)[rows]) for name in per_row}
        )

    def with_sides(self, sides: Sequence[Side]) -> UncertainDesign:
        """Return the term, which has no columns with levels."""
        return self

    def in_units(self, unit: Array, unit_of_X: Array) -> UncertainDesign:
        """Return the term with values and predictors of their means in other units.

        Parameters
        ----------
        unit, unit_of_X
            By what they are divided, shapes ``(U,)`` and ``(K_x,)``.
        """
        return replace(
            self,
            x=self.x / unit,
            error=self.error / unit,
            X=self.X / unit_of_X,
        )

    def of_new(self, frame: pd.DataFrame) -> UncertainDesign:
        """Return the term of new rows."""
        x, error = _observed(self.predictors, frame, self.functions)
        of_fit = [
            float(np.mean(self.x[seen, u])) for u, seen in enumerate(self.is_seen.T)
        ]
        parts = [rebuild(m, frame)[:, 1:] - means for m, means in self.matrices]
        return replace(
            self,
            x=read_only(np.where(np.isnan(x), of_fit, x)),
            error=read_only(error),
            X=read_only(np.concatenate([np.empty((len(frame), 0)), *parts], axis=1)),
            number=read_only(-1 - np.arange(len(frame))),
        )


def build_uncertain_design(
    spec: ModelSpec, frame: pd.DataFrame, coefficients: Sequence[str]
) -> UncertainDesign:
    """Build what was observed of predictors whose values are not all known.

    Parameters
    ----------
    spec, frame
        The model, and the rows.
    coefficients
        The labels of the population's predictors.

    Raises
    ------
    DataError
        If errors are not standard deviations, or all true values are known.
    """
    predictors, functions = spec.uncertain, dict(spec.functions)
    x, error = _observed(predictors, frame, functions)
    for each, own in zip(predictors, error.T, strict=True):
        if not own.any():
            raise DataError(_said_of_known(each))
    means = np.nanmean(x, axis=0)
    matrices, parts, of, labels = [], [np.empty((len(frame), 0))], [], list[str]()
    for u, each in enumerate(predictors):
        matrix = term_matrix(True, each.terms, frame, functions)
        columns = matrix.values[:, 1:]
        _refuse_dependent(each, matrix)
        at = columns.mean(axis=0)
        matrices.append((without_values(matrix), at))
        parts.append(columns - at)
        of += [u] * columns.shape[1]
        labels += [f"{each.name}, {label}" for label in matrix.labels[1:]]
    return UncertainDesign(
        predictors=predictors,
        at=tuple(coefficients.index(each.name) for each in predictors),
        x=read_only(np.where(np.isnan(x), means, x)),
        error=read_only(error),
        X=read_only(np.concatenate(parts, axis=1)),
        of=read_only(np.array(of, dtype=np.int64)),
        labels=tuple(labels),
        number=read_only(np.arange(len(frame))),
        matrices=tuple(matrices),
        functions=functions,
        is_integrated=spec.integrates_values,
    )


def _said_of_known(predictor: UncertainPredictor) -> str:
    """Say that all values of a predictor are known."""
    if predictor.may_miss:
        return (
            f"{predictor.name}: no value of {quote(predictor.column)} is missing. "
            f"Write {predictor.column} instead."
        )
    return (
        f"{predictor.name}: all errors have a standard deviation of 0. Write "
        f"{predictor.column} instead."
    )


def _refuse_dependent(predictor: UncertainPredictor, matrix: TermMatrix) -> None:
    """Refuse predictors of the mean that follow from each other."""
    if matrix.smooths:
        raise SpecError(
            f"the formula of {predictor.name} has smooths, which are not offered "
            "there. Write bs(z, df=5) for a curve."
        )
    if np.linalg.matrix_rank(matrix.values) < matrix.values.shape[1]:
        raise DataError(
            f"predictors in the formula of {predictor.name} are constant, or follow "
            "from each other. Drop those that say nothing of their own."
        )


def _observed(
    predictors: Sequence[UncertainPredictor], frame: pd.DataFrame, functions: Functions
) -> tuple[Array, Array]:
    """Return what was observed, and the standard deviations of errors, ``(N, U)``."""
    x = np.stack([frame[each.column].to_numpy(float) for each in predictors], axis=1)
    errors = []
    for each, values in zip(predictors, x.T, strict=True):
        if each.error is None:
            errors.append(np.where(np.isnan(values), np.inf, 0.0))
            continue
        if depends_on_rows(parse(each.error)):
            raise SpecError(
                f"{each.name}: {quote(each.error)} is computed from all rows, and new "
                "rows would have other errors. Add a column with it to the data."
            )
        sd = column_of(each.error, frame, functions).values
        said = f"the standard deviation of errors in {each.name} must be 0 or more"
        refuse_rows(sd, sd < 0, said)
        errors.append(sd)
    return x, np.stack(errors, axis=1)
