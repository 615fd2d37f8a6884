"""Differences between groups, and their ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import LARGEST_ARRAY, gigabytes
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.inference.estimates.coefficients import (
    blocks_of_groups,
    check_pairs,
    describe_each,
    full_coefficients,
    multi_index,
    place_of_factor,
)
from stanpool.inference.prediction.rows import some_draws

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import FitResult


_MOST_PAIRS = 5000


def contrasts(
    fit: FitResult,
    pairs: Sequence[tuple[Any, Any]] | None = None,
    *,
    factor: str | None = None,
    coefficient: str = "Intercept",
    prob: float = 0.9,
) -> pd.DataFrame:
    """Summarize differences between the coefficients of groups.

    Parameters
    ----------
    fit
        A fit with groups.
    pairs
        The groups to compare, such as ``[("AITKIN", "ANOKA")]`` for the first minus the
        second; by default all pairs.
    factor, coefficient
        The grouping factor, by default the first, and one of its coefficients.
    prob
        The probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        The columns are those of ``fixef``, and ``probability``, that the first group's
        coefficient is greater; the rows are ``group`` and ``less``.

    Raises
    ------
    SpecError
        If a group or the coefficient is unknown, or there are too many pairs.
    """
    number = place_of_factor(fit, factor)
    design = fit.model.design.factors[number]
    at = _place_of(design, coefficient)
    places = {label: place for place, label in enumerate(design.labels)}
    if pairs is None:
        count = len(places) * (len(places) - 1) // 2
        if count > _MOST_PAIRS:
            raise SpecError(
                f"{len(places)} groups of {quote(design.factor)} make {count:,} "
                "pairs. Pass some of them, as in pairs=[(first, second)], or see "
                "rank_groups."
            )
        pairs = [(a, b) for a in places for b in places if places[a] < places[b]]
    check_pairs(pairs, places)
    for label in (label for pair in pairs for label in pair):
        if label not in places:
            raise SpecError(
                f"pairs has {quote(label)}, which is not a group of "
                f"{quote(design.factor)}; its groups are {quote_list(places)}."
                + suggestion(str(label), [str(known) for known in places])
            )
    used = sorted({places[label] for pair in pairs for label in pair})
    full = full_coefficients(fit, number)(np.array(used, dtype=np.int64))
    values = full.reshape(*full.shape[:2], -1)[..., at]
    column = {place: k for k, place in enumerate(used)}
    differences = [
        values[:, column[places[a]]] - values[:, column[places[b]]] for a, b in pairs
    ]
    table = describe_each(multi_index(pairs, ["group", "less"]), differences, prob)
    return table.assign(probability=[float((each > 0).mean()) for each in differences])


def rank_groups(
    fit: FitResult,
    *,
    factor: str | None = None,
    coefficient: str = "Intercept",
    largest_first: bool = True,
    draws: int | None = None,
    prob: float = 0.9,
) -> pd.DataFrame:
    """Rank groups by their coefficients, with the uncertainty of the ranks.

    Groups are ranked at each draw. A sorted table of estimates hides that most ranks
    are very uncertain.

    Parameters
    ----------
    fit
        A fit with groups.
    factor, coefficient
        The grouping factor, by default the first, and one of its coefficients.
    largest_first
        Whether rank 1 is that of the largest coefficient.
    draws
        The number of posterior draws to use; by default all.
    prob
        The probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        The columns are those of ``fixef``, for the rank, and ``probability_first``; the
        rows are groups, sorted by their mean rank.

    Raises
    ------
    SpecError
        If the coefficient is unknown, or there are too many groups and draws.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> rank_groups(fit).round(1).head(2)[["mean", "q5", "q95", "probability_first"]]
            mean   q5  q95  probability_first
    school
    G        3.7  1.0  8.0                0.2
    A        3.7  1.0  8.0                0.2
    """
    number = place_of_factor(fit, factor)
    design = fit.model.design.factors[number]
    at = _place_of(design, coefficient)
    posterior = some_draws(fit.posterior, draws)
    groups = len(design.labels)
    count = posterior.sizes["chain"] * posterior.sizes["draw"]
    if groups * count > LARGEST_ARRAY:
        raise SpecError(
            f"ranking {groups:,} groups at {count:,} draws takes "
            f"{gigabytes(groups * count)}. Pass "
            f"draws={max(1, LARGEST_ARRAY // groups)} for a sample of the draws."
        )
    ranks = np.empty((count, groups))
    full = full_coefficients(fit, number, posterior)
    for some in blocks_of_groups(groups, count * len(design.coefficients)):
        values = full(np.arange(some.start, some.stop))
        ranks[:, some] = values.reshape(count, some.stop - some.start, -1)[..., at]
    for values in ranks:
        order = np.argsort(-values if largest_first else values, kind="stable")
        values[order] = np.arange(1, groups + 1)
    table = describe_each(list(design.labels), ranks.T, prob)
    table = table.assign(probability_first=(ranks == 1).mean(axis=0))
    return table.rename_axis(design.factor).sort_values("mean", kind="stable")


def _place_of(factor: FactorDesign, coefficient: str) -> int:
    """Return the position of a varying coefficient."""
    if coefficient not in factor.coefficients:
        raise SpecError(
            f"{quote(coefficient)} does not vary over {quote(factor.factor)}; "
            f"{quote_list(factor.coefficients)} do."
            + suggestion(str(coefficient), factor.coefficients)
        )
    return factor.coefficients.index(coefficient)
