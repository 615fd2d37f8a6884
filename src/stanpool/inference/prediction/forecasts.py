"""Deviations at times that a fit does not have, given those that it has.

The times of a series are drawn together, one after the other, and the random numbers of
each hang on the seed and its label. So a forecast of one time is the same whether later
times are asked for or not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.covariance.times import Series
from stanpool.data.design.design import FactorDesign
from stanpool.inference.prediction.linear_predictor import LinearPredictor
from stanpool.language.formulas.structures import STRUCTURES
from stanpool.language.model_spec import GroupTerm
from stanpool.model.terms.group_draws import GroupDraws
from stanpool.model.terms.unseen import Given, UnseenGroups


def forecasts(source: LinearPredictor) -> Given:
    """Draw what walks in time are at new times of the rows.

    Parameters
    ----------
    source
        The rows, and the draws of the fit.

    Returns
    -------
    Given
        Deviations by parameter, factor and label, shape ``(S, D, Q)`` each.
    """
    terms = {term.factor: term for term in source.model.spec.all_groups}
    found: dict[tuple[str, str, object], Array] = {}
    for own in source.design.predictors:
        fitted = source.model.design.parameter(own.parameter)
        assert fitted is not None
        known = {factor.factor: factor for factor in fitted.factors}
        for factor in own.factors:
            term = terms.get(factor.factor)
            before = known[factor.factor]
            if (
                term is None
                or not term.is_of_times
                or len(factor.labels) == len(before.labels)
            ):
                continue
            draws = _draws_of(source, own.parameter, factor.factor)
            of_new = _beyond(term, before, factor, draws, source.unseen)
            found |= {(own.parameter, factor.factor, label): u for label, u in of_new}
    return found


def _draws_of(source: LinearPredictor, parameter: str, name: str) -> GroupDraws:
    """Return the draws of a factor of the fit."""
    drawn = source.coefficients
    if parameter != "mean":
        drawn = source.coefficients_of(parameter)
    fitted = source.model.design.parameter(parameter)
    assert fitted is not None
    place = [factor.factor for factor in fitted.factors].index(name)
    return drawn.factors[place]


def _beyond(
    term: GroupTerm,
    fitted: FactorDesign,
    rows: FactorDesign,
    draws: GroupDraws,
    unseen: UnseenGroups,
) -> Iterator[tuple[object, Array]]:
    """Yield the new labels of one factor, and their deviations, ``(S, D, Q)``."""
    count = len(fitted.labels)
    seen = np.zeros(len(rows.labels), dtype=bool)
    seen[:count] = fitted.sizes > 0
    series = Series.of_labels(
        term.key[-1], rows.labels, seen, several=len(term.key) > 1
    )
    order = STRUCTURES[term.structure].order
    shape = draws.b.shape[2:]
    for old, new, weights, root in series.walk_beyond(
        order, np.arange(len(rows.labels)) < count
    ):
        known = draws.deviations(old).reshape(len(draws.b), len(old), -1)
        z = np.stack(
            [
                unseen.stream(
                    "time", draws.parameter, rows.factor, rows.labels[at]
                ).standard_normal(draws.chol.shape[:2])
                for at in new.tolist()
            ],
            axis=1,
        )  # (S, new, D * Q)
        u = weights @ known + root @ (z @ np.swapaxes(draws.chol, 1, 2))
        for place, at in enumerate(new.tolist()):
            yield rows.labels[at], u[:, place].reshape(len(u), *shape)
