"""Estimates with their intervals: of the population, and of all groups, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.inference.diagnostics.funnel import group_mean
from stanpool.inference.estimates.summary import population_names
from stanpool.plots.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PLAIN,
    figure_of,
    legend,
    on,
    on_paper,
    tidy,
)
from stanpool.plots.groups import factor_of, group_draws, model_of, unit_of
from stanpool.posterior.intervals import interval_levels
from stanpool.posterior.scalars import scalars, short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import HasPosterior

_INNER = 0.5
_MOST_NAMES = 100
_MOST_INTERVALS = 300
_MOST_ROWS = 60


@public
def plot_forest(
    fit: HasPosterior,
    *,
    var_names: Sequence[str] | None = None,
    prob: float = 0.9,
    ax: Axes | None = None,
) -> Figure:
    """Draw medians and central intervals of parameters, one below the other.

    Parameters
    ----------
    fit
        A fit, or draws of an exact sampler.
    var_names
        Variables of the posterior, such as ``["beta", "tau_county"]``; by default all
        except those of single groups, if there are others. At most 60 parameters are
        drawn.
    prob
        The probability of the thin interval; that of the thick one is 50 %.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If a variable is not in the posterior.
    """
    known = [str(name) for name in fit.posterior.data_vars]
    if var_names is None:
        var_names = population_names(fit) or known
    for name in var_names:
        if name not in known:
            raise SpecError(
                f"var_names: {quote(name)} is not in the posterior; it has "
                f"{quote_list(known)}.{suggestion(str(name), known)}"
            )
    labels: list[str] = []
    draws: list[Array] = []
    for block in scalars(fit.posterior, var_names=var_names):
        labels += block.labels
        draws += [*np.moveaxis(block.draws, 2, 0).reshape(len(block.labels), -1)]
    more = len(labels) - _MOST_ROWS
    labels, draws = labels[:_MOST_ROWS], draws[:_MOST_ROWS]
    ax = on(ax, 7.5, 1.1 + 0.3 * len(labels))
    y = np.arange(len(labels), dtype=float)
    values = np.array(draws).reshape(len(labels), -1).T
    ax.axvline(0, color=GREY, linewidth=0.8)
    _draw_intervals(ax, y, values, prob, along="y")
    ax.set_yticks(y, [on_paper(label) for label in labels], **PLAIN)
    ax.set_ylim(len(labels) - 0.4, -0.6)
    x = "value"
    if fit.model is not None:
        x += f"; coefficients in {unit_of(fit)} per unit of their predictor"
    tidy(ax, x=x, y="")
    if more > 0:
        ax.set_ylabel(f"{more:,} more are not shown", color=INK)
    legend(ax)
    return figure_of(ax)


@public
def plot_caterpillar(
    fit: HasPosterior,
    *,
    factor: str | None = None,
    coefficient: str = "Intercept",
    prob: float = 0.9,
    ax: Axes | None = None,
) -> Figure:
    """Draw a coefficient of all groups, sorted by its median, with intervals.

    Groups whose interval does not contain the mean of their population have another
    colour. Up to 100 groups are named; with more than 300, intervals become a band.

    Parameters
    ----------
    fit
        A fit with groups.
    factor, coefficient
        The grouping factor, by default the first, and one of its coefficients.
    prob
        The probability of the thin interval; that of the thick one is 50 %.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If the coefficient does not vary over the factor.
    """
    varied = factor_of(fit, factor, coefficient)
    draws = group_draws(fit, varied, coefficient)
    values = draws.reshape(-1, draws.shape[2])
    order = np.argsort(np.median(values, axis=0), kind="stable")
    values, groups = values[:, order], len(order)
    named = groups <= _MOST_NAMES
    width = float(np.clip(0.16 * groups + 1.5, 7.5, 15)) if named else 9.0
    ax = on(ax, width, 4.8 if named else 4.2)
    x = np.arange(groups, dtype=float)
    centre = None
    model = model_of(fit)
    if model.parameterization is not None:
        mean = group_mean(fit.posterior, model.design, varied, coefficient)
        means = mean.reshape(-1, *mean.shape[2:])
        centre = np.broadcast_to(means.mean(axis=0), (groups,))[order]
        if means.ndim == 1:
            ax.axhline(
                centre[0], color=GREY, linewidth=1, ls="--", label="population mean"
            )
        else:
            ax.scatter(
                x, centre, s=12, marker="_", color=GREY, label="mean of its population"
            )
    if groups <= _MOST_INTERVALS:
        _draw_intervals(ax, x, values, prob, along="x", centre=centre)
    else:
        _draw_band(ax, x, values, prob)
    name = short_label(varied.factor)
    if named:
        names = [short_label(varied.labels[place], 18) for place in order]
        size = float(np.clip(640 / groups, 5.5, 9))
        ax.set_xticks(x, names, rotation=90, fontsize=size, **PLAIN)
        tidy(ax, x="", y="")
    else:
        ax.set_xticks([])
        tidy(ax, x=f"{groups:,} groups of {name}, in order", y="")
        _name_ends(ax, x, np.median(values, axis=0), [varied.labels[k] for k in order])
    ax.set_xlim(-1, groups)
    y = f"{short_label(coefficient)} of each {name} ({unit_of(fit)})"
    ax.set_ylabel(y, color=INK, **PLAIN)
    legend(ax)
    return figure_of(ax)


def _draw_intervals(
    ax: Axes,
    at: Array,
    values: Array,
    prob: float,
    *,
    along: str,
    centre: Array | None = None,
) -> None:
    """Draw thin and thick intervals and medians of draws of shape ``(S, quantity)``."""
    levels = (*interval_levels(prob), *interval_levels(_INNER), 0.5)
    low, high, q25, q75, median = np.quantile(values, levels, axis=0)
    away = np.zeros(len(at), bool)
    if centre is not None:
        away = (low > centre) | (high < centre)
    lines = ax.hlines if along == "y" else ax.vlines
    dot = float(np.clip(2000 / len(at), 5, 24))
    for chosen, color, label in (
        (~away, BLUE, f"{prob:.0%} and 50% intervals"),
        (away, ORANGE, f"{prob:.0%} interval without the mean"),
    ):
        if not chosen.any():
            continue
        lines(at[chosen], low[chosen], high[chosen], color=color, linewidth=1)
        lines(
            at[chosen], q25[chosen], q75[chosen], color=color, linewidth=3, label=label
        )
        points = (median[chosen], at[chosen])
        x, y = points if along == "y" else points[::-1]
        ax.scatter(x, y, s=dot, color="white", edgecolor=color, zorder=3)


def _draw_band(ax: Axes, x: Array, values: Array, prob: float) -> None:
    """Draw the intervals of many groups as bands, and medians as a line."""
    levels = (*interval_levels(prob), *interval_levels(_INNER), 0.5)
    low, high, q25, q75, median = np.quantile(values, levels, axis=0)
    ax.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0)
    ax.fill_between(
        x,
        q25,
        q75,
        color=BLUE,
        alpha=0.4,
        linewidth=0,
        label=f"{prob:.0%} and 50% intervals",
    )
    ax.plot(x, median, color=INK, linewidth=1.2, label="median")


def _name_ends(ax: Axes, x: Array, median: Array, labels: Sequence[object]) -> None:
    """Name the lowest and the highest group if there is no room for all."""
    for place, shift, align in ((0, 8, "left"), (-1, -8, "right")):
        ax.annotate(
            short_label(labels[place], 20),
            (x[place], median[place]),
            xytext=(shift, 0),
            textcoords="offset points",
            ha=align,
            va="center",
            fontsize="small",
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.8},
            **PLAIN,
        )
