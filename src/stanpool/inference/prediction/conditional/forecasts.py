"""Deviations at times that a fit does not have, given those that it has.

The times of a series are drawn together, one after the other, and the random numbers of
each hang on the seed and its label. So a forecast of one time is the same whether later
times are asked for or not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.covariance.times import Mask, Series
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
    is_known = np.arange(len(rows.labels)) < count
    order = STRUCTURES[term.structure].order
    shape = draws.b.shape[2:]
    if not order:
        yield from _autoregression(series, is_known, rows, draws, unseen)
        return
    for old, new, weights, root in series.walk_beyond(order, is_known):
        known = draws.deviations(old).reshape(len(draws.b), len(old), -1)
        z = np.stack(
            [_noise(rows, at, draws, unseen) for at in new.tolist()], axis=1
        )  # (S, new, D * Q)
        u = weights @ known + root @ (z @ np.swapaxes(draws.chol, 1, 2))
        for place, at in enumerate(new.tolist()):
            yield rows.labels[at], u[:, place].reshape(len(u), *shape)


def _autoregression(
    series: Series,
    is_known: Mask,
    rows: FactorDesign,
    draws: GroupDraws,
    unseen: UnseenGroups,
) -> Iterator[tuple[object, Array]]:
    """Yield the same of an autoregression, from the times on both sides of each."""
    assert draws.rho is not None
    known = draws.deviations(np.flatnonzero(is_known))  # (S, J, D, Q)
    found = {at: known[:, at].reshape(len(known), -1) for at in range(known.shape[1])}
    for at, before, after, since, until in series.neighbours(is_known):
        a, c = (draws.rho[:, None] ** gap for gap in (since, until))  # (S, 1)
        left = 1.0 - np.square(a * c)
        u = _noise(rows, at, draws, unseen)[:, None] @ np.swapaxes(draws.chol, 1, 2)
        u = np.sqrt((1 - a**2) * (1 - c**2) / left) * u[:, 0]
        if before >= 0:
            u = u + a * (1 - c**2) / left * found[before]
        if after >= 0:
            u = u + c * (1 - a**2) / left * found[after]
        found[at] = u
        yield rows.labels[at], u.reshape(len(u), *known.shape[2:])


def _noise(
    rows: FactorDesign, at: int, draws: GroupDraws, unseen: UnseenGroups
) -> Array:
    """Return random numbers of a new time, shape ``(S, D * Q)``."""
    stream = unseen.stream("time", draws.parameter, rows.factor, rows.labels[at])
    return stream.standard_normal(draws.chol.shape[:2])
