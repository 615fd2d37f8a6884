"""Survival curves: probabilities that times are longer, averaged over rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.base.options import EffectGroups, NewGroups
from stanpool.inference.effects.comparisons import as_texts
from stanpool.inference.effects.expected import Expectations
from stanpool.inference.effects.predictions import expectations_of, labels_of
from stanpool.inference.effects.tables import (
    OWN_OF_PREDICTIONS,
    Effects,
    Output,
    table_of,
)
from stanpool.language.family import FAMILIES

if TYPE_CHECKING:
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel

_POINTS = 50  # of a curve whose times are not stated
_EVEN = 0.5  # the probability at the median


def survival(
    fit: FitResult,
    times: float | Sequence[float] | None = None,
    variables: str | Sequence[str] | Mapping[str, Any] | None = None,
    *,
    newdata: Any = None,
    by: bool | str | Sequence[str] | None = None,
    weights: Any = None,
    groups: EffectGroups | Mapping[str, EffectGroups] | None = None,
    new_groups: NewGroups = "error",
    hypothesis: str | Sequence[str] | None = None,
    prob: float = 0.9,
    draws: int | None = None,
    seed: int | None = None,
    as_draws: bool = False,
) -> pd.DataFrame:
    """Return the probabilities that times to an event are longer, with intervals.

    Averaged over rows, these are survival curves of populations; the curve of averages,
    at mean predictors, is another one. Over new groups they are averaged as well, so
    that a curve is that of a population with its frailties.

    Parameters
    ----------
    fit
        A fit of times: ``"weibull"``, ``"exponential"`` or ``"lognormal"``. Whether and
        how they were censored makes no difference.
    times
        The times; by default 50 of them, from 0 to the largest that was observed.
    variables, newdata, by, weights, groups, new_groups
        As for ``predictions``.
    hypothesis, prob, draws, seed, as_draws
        As for ``comparisons``.

    Returns
    -------
    pandas.DataFrame
        As for ``predictions``, with a row for each ``time``; ``estimate`` is the
        probability that an outcome is larger, and ``pd`` the probability that this is
        more, or less, than one half.

    Raises
    ------
    SpecError
        If the outcomes are not such times, or a parameter besides the mean has groups.
    DataError
        If ``times`` are not numbers of 0 or more; and as for ``predictions``.

    Examples
    --------
    >>> import stanpool as sp
    >>> fit = sp.Model("time | cens(1 - status) ~ sex", sp.load_dataset("kidney"),
    ...                family="weibull").fit(seed=1)  # doctest: +SKIP
    >>> fit.survival([30, 90], "sex")  # doctest: +SKIP
    """
    model = fit.model
    _check_family(model)
    expected = expectations_of(
        fit,
        variables,
        newdata=newdata,
        by=by,
        weights=weights,
        groups=groups,
        new_groups=new_groups,
        draws=draws,
        seed=seed,
        times=_times(model, times),
        names=("time", *OWN_OF_PREDICTIONS),
    )
    output = Output(prob, expected.groups.words, as_texts(hypothesis), as_draws)
    return table_of(_effects(expected), output, expected.size)


def _check_family(model: PreparedModel) -> None:
    """Refuse outcomes that are no times, and groups of other parameters."""
    family = FAMILIES[model.spec.family]
    able = [
        each.name
        for each in FAMILIES.values()
        if each.outcome == "positive" and "cens" in each.parts
    ]
    if family.name not in able:
        raise SpecError(
            f"family={quote(family.name)} has no survival curves; the families of "
            f"times to an event are {quote_list(able)}. Curves of hazards that are "
            "constant within intervals, by sp.split_times(), are made of fit.epred()."
        )
    for own in model.design.parameters:
        if own.factors and own.parameter not in family.in_mean:
            raise SpecError(
                f"the formula of {quote(own.parameter)} has groups, over which "
                "survival curves are not averaged. Use the share of fit.predict() that "
                "is above a time, or a formula of it without groups."
            )


def _times(model: PreparedModel, asked: Any) -> tuple[float, ...]:
    """Return the times as numbers."""
    if asked is None:
        largest = float(np.max(model.design.y))
        if model.design.y_upper is not None:
            upper = model.design.y_upper
            largest = max(largest, float(np.max(upper[np.isfinite(upper)], initial=0)))
        return tuple(np.linspace(0.0, largest, _POINTS).tolist())
    found = np.atleast_1d(np.asarray(asked, dtype=float))
    if found.ndim != 1 or not found.size or not np.all(found >= 0):
        raise DataError(
            f"times={quote(asked)} must be numbers of 0 or more, such as [30, 90]."
        )
    return tuple(found.tolist())


def _effects(expected: Expectations) -> Iterator[list[Effects]]:
    """Yield the curves of some cells at a time."""
    model, times = expected.fit.model, np.array(expected.times)
    for cells, values in expected.blocks():
        frame = expected.grid.labels.iloc[cells].reset_index(drop=True)
        found = []
        for scenario, draws in values.items():
            labels = labels_of(model, scenario, frame)
            # The times of a cell, one after another.
            labels = labels.loc[np.repeat(np.arange(len(labels)), len(times))]
            labels = labels.reset_index(drop=True)
            labels["time"] = np.tile(times, len(frame))
            found.append(Effects(draws.reshape(len(draws), -1), labels, _EVEN))
        yield found
