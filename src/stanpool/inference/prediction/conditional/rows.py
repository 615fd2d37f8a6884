"""Rows whose residuals are correlated within subjects, one given others.

The rows of a subject are predicted together, and given those of its outcomes that are
known: those of the fit that are not among the rows themselves. So a missed visit is
predicted from the others, and rows of the fit are replicated, which is what checks of a
fit compare with the data.

The log likelihood of a row is that given the earlier rows of its subject, so that the
sum over rows is the log likelihood of all. What leaves a row out needs its density
given all other rows of its subject.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import BLOCK, Array, Indices
from stanpool.base.errors import DataError, quote
from stanpool.inference.prediction.conditional.residuals import (
    Conditional,
    draw_given_first,
    given_earlier,
    given_others,
)
from stanpool.inference.prediction.linear_predictor import LinearPredictor

if TYPE_CHECKING:
    from stanpool.data.design.covariance.correlated_residuals import CorrelatedResiduals
    from stanpool.data.design.design import Design
    from stanpool.model.prepared_model import PreparedModel

RowsGiven = tuple["Design", Array, dict[str, Array]]
"""Rows, their linear predictors ``(S, rows)``, and the parameters of the family."""


def rows_given_earlier(source: LinearPredictor, rows: Any) -> RowsGiven:
    """Return what some rows are given what is known, and earlier rows of a subject.

    Parameters
    ----------
    source
        All rows, and what is known of their subjects.
    rows
        Which rows.

    Returns
    -------
    tuple
        The rows as independent ones, their linear predictors and parameters.
    """
    return _rows_given(source, rows, given_earlier)


def rows_given_others(source: LinearPredictor, rows: Any) -> RowsGiven:
    """Return the same given all other rows of their subjects."""
    return _rows_given(source, rows, given_others)


def draw_together(source: LinearPredictor, rows: Any) -> Array:
    """Draw outcomes of some rows, those of a subject together, shape ``(S, rows)``.

    The random numbers of a subject hang on the seed and its label: rows have the same
    draws in every chunk and in every order.
    """
    joint = _Joint.of(source, rows)
    drawn = np.zeros_like(joint.r)
    for some, at, matrices in joint.blocks(source):
        first = int(np.sum(joint.is_known[at[0]]))
        new = at[:, first:]
        standard, chi_square = _random_numbers(source, joint, at, first)
        known = joint.r[some][:, at[:, :first]]
        nu = joint.nu[some] if joint.nu is not None else None
        drawn[some, new] = draw_given_first(
            matrices, known, standard[some], nu, chi_square[some]
        )
    chosen = joint.chosen
    return np.asarray(joint.eta[:, chosen] + joint.scale[:, chosen] * drawn[:, chosen])


def known_rows(model: PreparedModel, design: Design) -> Indices:
    """Return the rows of a fit that say something about the residuals of others.

    Parameters
    ----------
    model
        The model that was fitted.
    design
        The rows to predict, whose subjects are numbered as those of the fit.
    """
    fitted, asked = model.design.residual_correlation, design.residual_correlation
    assert fitted is not None
    assert asked is not None
    there = set(zip(asked.index.tolist(), asked.times.tolist(), strict=True))
    of_subjects = np.flatnonzero(np.isin(fitted.index, asked.index))
    keys = zip(fitted.index[of_subjects], fitted.times[of_subjects], strict=True)
    is_apart = np.array([key not in there for key in keys], dtype=bool)
    return np.asarray(of_subjects[is_apart])


def _rows_given(
    source: LinearPredictor,
    rows: Any,
    given: Callable[[Array, Array], Conditional],
) -> RowsGiven:
    """Return rows with linear predictors and scales that are conditional on others."""
    design = source.design.take(rows)
    if design.residual_correlation is None:
        return design, source.eta(rows), source.parameters(rows)
    joint = _Joint.of(source, rows)
    mean, scale, count = (np.zeros_like(joint.r) for _ in range(3))
    for some, at, matrices in joint.blocks(source):
        found = given(matrices, joint.r[some][:, at])
        nu = None if joint.nu is None else joint.nu[some][..., None]
        mean[some, at], count[some, at] = found.mean, found.count
        scale[some, at] = found.scale(nu)
    chosen, own = joint.chosen, joint.scale[:, joint.chosen]
    parameters = {"sigma": own * scale[:, chosen]}
    if joint.nu is not None:
        parameters["nu"] = joint.nu + count[:, chosen]
    eta = joint.eta[:, chosen] + own * mean[:, chosen]
    return replace(design, residual_correlation=None), eta, parameters


@dataclass(frozen=True, eq=False)
class _Joint:
    """Rows of some subjects: the known ones, and after them those that are asked for.

    Attributes
    ----------
    own
        Their subjects and times.
    is_known
        Which are only conditioned on, shape ``(n,)``.
    eta, scale, r
        Their linear predictors, scales and standardized residuals, shape ``(S, n)``.
    nu
        The degrees of freedom of Student-t outcomes, shape ``(S, 1)``.
    parameters
        What correlates residuals, by name.
    chosen
        The rows of interest among those that are asked for.
    """

    own: CorrelatedResiduals
    is_known: NDArray[np.bool_]
    eta: Array
    scale: Array
    r: Array
    nu: Array | None
    parameters: Mapping[str, Array]
    chosen: Indices

    @classmethod
    def of(cls, source: LinearPredictor, rows: Any) -> _Joint:
        """Bring the rows of the subjects of some rows together."""
        own = source.design.residual_correlation
        assert own is not None
        asked = own.rows_with(rows)
        parts = [_standardized(source, asked)]
        joined = own.take(asked)
        known = 0
        if source.observed is not None:
            fitted = source.observed.design.residual_correlation
            assert fitted is not None
            of_subjects = np.flatnonzero(np.isin(fitted.index, joined.index))
            parts.insert(0, _standardized(source.observed, of_subjects))
            joined, known = fitted.take(of_subjects).joined(joined), len(of_subjects)
        wanted = np.arange(source.design.rows)[rows]
        (residuals,) = source.coefficients.residuals
        nu = source.parameters(asked).get("nu")
        eta, scale, r = (
            np.concatenate(each, axis=1) for each in zip(*parts, strict=True)
        )
        return cls(
            joined,
            np.arange(len(joined.index)) < known,
            eta,
            scale,
            r,
            nu,
            residuals.parameters,
            known + np.searchsorted(asked, wanted),
        )

    def blocks(self, source: LinearPredictor) -> Iterator[tuple[slice, Indices, Array]]:
        """Yield some draws, rows of subjects that are alike, and their correlations.

        Yields
        ------
        slice, Indices, Array
            Draws, s of them; rows, ``(subjects, n)``; and matrices ``(s, 1, n, n)``.
        """
        draws = len(self.r)
        for at in self.own.patterns(~self.is_known):
            size = max(1, BLOCK // at.size // at.shape[1])
            for start in range(0, draws, size):
                some = slice(start, min(start + size, draws))
                own = {name: x[some] for name, x in self.parameters.items()}
                matrices = self.own.correlations(own, at[0])
                self._check(matrices, at[0])
                yield some, at, matrices

    def _check(self, matrices: Array, rows: Indices) -> None:
        """Refuse more rows of a subject than can be so negatively correlated."""
        if not self.own.kind.is_exchangeable:
            return
        least = float(matrices[..., 0, -1].min()) if len(rows) > 1 else 0.0
        if 1.0 + (len(rows) - 1) * least <= 0.0:
            subject = self.own.labels[self.own.index[rows[0]]]
            raise DataError(
                f"{quote(subject)} has {len(rows)} rows, those of the fit and new ones "
                f"together, and draws of residual_rho go down to {least:.3g}: so many "
                "rows cannot be correlated like this. Predict fewer rows, or fit with "
                "priors={'residual_rho': 'uniform(0, 1)'}."
            )


def _standardized(source: LinearPredictor, rows: Indices) -> tuple[Array, Array, Array]:
    """Return linear predictors, scales, and standardized residuals, ``(S, rows)``."""
    eta = source.eta(rows)
    scale = np.broadcast_to(source.parameters(rows)["sigma"], eta.shape)
    return eta, scale, (source.design.y[rows] - eta) / scale


def _random_numbers(
    source: LinearPredictor, joint: _Joint, rows: Indices, known: int
) -> tuple[Array, Array]:
    """Return normal and chi-squared numbers, ``(S, subjects, n)``, ``(S, subjects)``.

    The degrees of freedom of the latter are those of Student-t residuals.
    """
    size, new = (len(joint.r), len(rows)), rows.shape[1] - known
    standard, chi_square = np.empty((*size, new)), np.ones(size)
    for place, subject in enumerate(joint.own.index[rows[:, 0]]):
        stream = source.unseen.stream("residuals", joint.own.labels[subject])
        if joint.nu is not None:
            chi_square[:, place] = stream.chisquare(joint.nu[:, 0] + known)
        standard[:, place] = stream.standard_normal((new, size[0])).T
    return standard, chi_square
