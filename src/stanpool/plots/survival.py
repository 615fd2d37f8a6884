"""Survival curves, with those of the data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote_list
from stanpool.base.options import EffectGroups
from stanpool.inference.effects.survival import survival
from stanpool.language.formulas.formula import outcome_name
from stanpool.plots.parts.canvas import (
    chain_colors,
    figure_of,
    headline,
    in_style,
    legend,
    on,
    on_paper,
    tidy,
)
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import FitResult


@public
@in_style
def plot_survival(
    fit: FitResult,
    variable: str | Mapping[str, Any] | None = None,
    *,
    times: Sequence[float] | None = None,
    newdata: Any = None,
    groups: EffectGroups | None = None,
    observed: bool = True,
    prob: float = 0.9,
    ax: Axes | None = None,
) -> Figure:
    """Draw survival curves, and the estimates of Kaplan and Meier beneath.

    Parameters
    ----------
    fit
        A fit of times to an event.
    variable
        A variable whose values have curves of their own, or a mapping from it to some
        of its values; by default there is one curve.
    times, newdata, groups
        As for ``Fit.survival``.
    observed
        Whether to draw the Kaplan-Meier estimate [1]_, of the rows that have each
        value, as steps. It is not drawn where outcomes are censored on the left or
        within intervals, or truncated.
    prob
        The probability of the bands.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError, DataError
        As for ``Fit.survival``, or if there are more variables than one, or more values
        than colours.

    References
    ----------
    .. [1] Kaplan and Meier (1958). Nonparametric estimation from incomplete
       observations. Journal of the American Statistical Association 53(282), 457-481.
    """
    names = [] if variable is None else [*_names(variable)]
    if len(names) > 1:
        raise SpecError(
            f"variable has {quote_list(names)}; curves are of the values of one."
        )
    table = survival(fit, times, variable, newdata=newdata, groups=groups, prob=prob)
    ax, colors = on(ax, 6.5, 4.2), chain_colors()
    curves = [*_curves(table, names)]
    if len(curves) > len(colors):
        raise SpecError(
            f"{len(curves)} curves are more than there are colours; name up to "
            f"{len(colors)} values, as in {{{names[0]!r}: [...]}}."
        )
    for (value, own), color in zip(curves, colors, strict=False):
        label = None if value is None else on_paper(value, 40)
        low, middle, high = own[["lower", "estimate", "upper"]].to_numpy(float).T
        at = own["time"].to_numpy(float)
        ax.plot(at, middle, color=color, linewidth=2, label=label)
        ax.fill_between(at, low, high, color=color, alpha=0.2, linewidth=0)
        rows = _rows_seen(fit, names, value) if observed else None
        if rows is not None and rows.any():
            ax.step(*kaplan_meier(fit, rows), where="post", color=color, linewidth=0.8)
    ax.set_ylim(0.0, 1.02)
    outcome = short_label(outcome_name(fit.model.spec))
    tidy(ax, x=outcome, y="probability to last longer")
    by = f" by {short_label(names[0])}" if names else ""
    headline(ax, f"Survival{by} (group effects: {table.attrs['groups']})")
    if names:
        legend(ax)
    return figure_of(ax)


def kaplan_meier(fit: FitResult, rows: Array) -> tuple[Array, Array]:
    """Return the times of events, from 0 on, and the probability to last longer.

    Parameters
    ----------
    fit
        A fit whose outcomes are observed, or censored on the right.
    rows
        Which rows count, shape ``(N,)``.
    """
    design = fit.model.design
    y = design.y[rows]
    is_event = np.ones(len(y), dtype=bool)
    if design.censored is not None:
        is_event = design.censored[rows] == 0
    times, place = np.unique(y, return_inverse=True)
    events = np.bincount(place, weights=is_event)
    at_risk = len(y) - np.searchsorted(np.sort(y), times)
    share = np.cumprod(1.0 - events / at_risk)
    return np.concatenate([[0.0], times]), np.concatenate([[1.0], share])


def _names(variable: Any) -> Iterator[str]:
    yield from [variable] if isinstance(variable, str) else variable


def _curves(
    table: pd.DataFrame, names: list[str]
) -> Iterator[tuple[Any, pd.DataFrame]]:
    """Yield the values of the variable, and their rows of the table."""
    if not names:
        yield None, table
        return
    for value in dict.fromkeys(table[names[0]]):
        yield value, table[table[names[0]] == value]


def _rows_seen(fit: FitResult, names: list[str], value: Any) -> Array | None:
    """Say which rows have a value, where their times are known or censored later."""
    model = fit.model
    design = model.design
    is_truncated = design.lower is not None or design.upper is not None
    if model.chunks is not None or is_truncated:
        return None
    if design.censored is not None and not np.isin(design.censored, (0, 1)).all():
        return None
    if not names:
        return np.ones(len(design.y), dtype=bool)
    return np.asarray(model.data[names[0]] == value)
