"""Rows for a study of another size, made of those of a study that is at hand.

Groups and rows are copied: all of them as often as they go in whole, and a random part
of them for the rest, in which each kind of group or row has its share.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Indices
from stanpool.base.errors import SpecError, quote
from stanpool.inference.prediction.integrated.group_likelihood import grouping
from stanpool.language.formulas.formula import outcome_name

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.model.prepared_model import PreparedModel


_MOST = 10_000_000  # groups, or rows in each


def extended_rows(
    model: PreparedModel,
    *,
    groups: int | None,
    rows: int | None,
    factor: str | None,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return rows with so many groups, and so many rows in each.

    Parameters
    ----------
    model
        The model of the rows that there are.
    groups, rows
        The numbers; None for those that there are. Without groups in the model, the
        number of all rows.
    factor
        The grouping factor whose groups are counted; by default the first.
    rng
        The random number generator.

    Raises
    ------
    SpecError
        If the model has no groups, or these are of no single column.
    """
    frame = model.data
    predictors = frame.drop(columns=outcome_name(model.spec), errors="ignore")
    if not model.spec.groups:
        if groups is not None:
            raise SpecError(
                f"groups={groups} of a model without groups: pass the number of rows= "
                "alone, or add a group term such as (1 | school)."
            )
        return frame.iloc[_copied(predictors, rows, rng)].reset_index(drop=True)
    found = grouping(model, factor)
    column = found.factor
    if column not in frame:
        raise SpecError(
            f"the groups {quote(column)} are of several columns, so that they cannot "
            "be copied: pass data=, a function that makes the rows."
        )
    members = found.rows
    constant = [
        name
        for name in predictors.columns.drop(column)
        if predictors.groupby(column, observed=True)[name].nunique().le(1).all()
    ]
    of_groups = predictors.iloc[[own[0] for own in members]][constant]
    varied = predictors.drop(columns=[column, *constant])
    places, labels = [], []
    times = [0] * len(members)
    for group in _copied(of_groups, groups, rng):
        own = members[group]
        taken = own[_copied(varied.iloc[own], rows, rng)]
        times[group] += 1
        copy = f" ({times[group]})" if times[group] > 1 else ""
        places.append(taken)
        labels += [f"{found.labels[group]}{copy}"] * len(taken)
    extended = frame.iloc[np.concatenate(places)].reset_index(drop=True)
    return extended.assign(**{column: labels})


def _copied(
    profiles: pd.DataFrame, count: int | None, rng: np.random.Generator
) -> Indices:
    """Return the places of so many of some things, each kind in its share."""
    have = len(profiles)
    whole, rest = (1, 0) if count is None else divmod(count, have)
    everything = np.tile(np.arange(have), whole)
    return np.concatenate([everything, _sample(_kinds(profiles), rest, rng)])


def _kinds(profiles: pd.DataFrame) -> Indices:
    """Give things that are equal in all columns the same number."""
    if profiles.columns.empty:
        return np.zeros(len(profiles), dtype=int)
    grouped = profiles.groupby(list(profiles.columns), observed=True, dropna=False)
    return np.asarray(grouped.ngroup())


def _sample(kinds: Indices, count: int, rng: np.random.Generator) -> Indices:
    """Choose some things at random, of each kind in proportion, up to rounding."""
    at = np.empty(len(kinds))
    for kind in np.unique(kinds):
        own = np.flatnonzero(kinds == kind)
        at[own] = (rng.permutation(len(own)) + 0.5) / len(own)
    return np.lexsort((rng.random(len(kinds)), at))[:count]


def sizes(name: str, given: Any) -> Sequence[int | None]:
    """Return the sizes to try, in their order.

    Raises
    ------
    SpecError
        If one is no whole number from 1.
    """
    if given is None:
        return [None]
    listed = list(given) if isinstance(given, Iterable) else [given]
    for each in listed:
        is_whole = isinstance(each, int | np.integer) and not isinstance(each, bool)
        if not is_whole or not 1 <= each <= _MOST:
            raise SpecError(
                f"{name}={quote(given)} must be a whole number from 1 to {_MOST:,}, or "
                "a list of these."
            )
    if not listed:
        raise SpecError(f"{name}={quote(given)} is empty; leave it out.")
    return [int(each) for each in listed]
