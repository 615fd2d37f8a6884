"""Pareto k and influence: the rows or groups that a fit depends on most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError
from stanpool.base.options import Unit
from stanpool.inference.evaluation.influence import influence
from stanpool.inference.prediction.conditioning import RELIABLE_K
from stanpool.plots.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PLAIN,
    figure_of,
    headline,
    legend,
    on,
    tidy,
)
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.inference.evaluation.cross_validation import CrossValidation
    from stanpool.model.fit_result import FitResult

_NAMED = 8
_MOST_NAMES = 40


@public
def plot_pareto_k(result: CrossValidation, *, ax: Axes | None = None) -> Figure:
    """Draw the Pareto k of each left-out unit, with the limit of reliable values.

    Parameters
    ----------
    result
        The result of ``loo``.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If there was no importance sampling, as in ``kfold``.
    """
    if result.good_k is None:
        raise SpecError(
            f"{result!r} refitted for every unit, so that there is no Pareto k; pass "
            "the result of loo."
        )
    k = result.units["pareto_k"].to_numpy(dtype=float)
    shown = np.where(np.isfinite(k), k, np.where(k > 0, 1.5, -0.5))
    x = np.arange(len(k))
    bad = ~(k <= result.good_k)
    ax = on(ax, 7.5, 3.6)
    size = float(np.clip(4000 / len(k), 1.5, 16))
    for chosen, color in ((~bad, BLUE), (bad, ORANGE)):
        ax.scatter(
            x[chosen],
            shown[chosen],
            s=size if color == BLUE else max(size, 12),
            color=color,
            linewidth=0,
            alpha=0.7,
            rasterized=True,
        )
    ax.axhline(result.good_k, color=ORANGE, linewidth=1, ls="--")
    ax.axhline(0, color=GREY, linewidth=0.8)
    worst = [place for place in np.argsort(-shown)[:_NAMED] if bad[place]]
    for place in worst:
        ax.annotate(
            short_label(result.units.index[place], 20),
            (x[place], shown[place]),
            xytext=(4, 2),
            textcoords="offset points",
            fontsize="x-small",
            color=INK,
            **PLAIN,
        )
    tidy(ax, x=f"{result.unit}, in the order of the data", y="Pareto k")
    top = max(shown.max(), result.good_k) + 0.1
    ax.set_ylim(min(shown.min(), 0) - 0.1, top)
    title = f"{int(bad.sum()):,} of {len(k):,} above {result.good_k:.2f}"
    headline(ax, f"{title}: not reliable" if bad.any() else title)
    return figure_of(ax)


@public
def plot_influence(
    fit: FitResult,
    *,
    unit: Unit = "group",
    factor: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how much population parameters change if a unit is left out.

    For each unit, the most influential first, the largest change of a parameter is
    drawn, in posterior standard deviations; the largest of all are named. Units whose
    Pareto k is above 0.7 are marked: their influence can only be found by a refit.

    Parameters
    ----------
    fit
        A fit.
    unit, factor
        As for ``Fit.influence``.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If the model has no such groups, or they have no population.
    """
    table = influence(fit, unit=unit, factor=factor)
    moves, k = table.drop(columns="pareto_k"), table["pareto_k"].to_numpy()
    most = moves.abs().to_numpy().argmax(axis=1)
    largest = moves.to_numpy()[np.arange(len(moves)), most]
    order = np.argsort(-np.abs(largest), kind="stable")
    x, shown = np.arange(len(order), dtype=float), largest[order]
    bad = ~(k[order] <= RELIABLE_K)
    ax = on(ax, 7.5, 4)
    for chosen, color, label in (
        (~bad, BLUE, "largest change of a parameter"),
        (bad, ORANGE, f"Pareto k above {RELIABLE_K}: {int(bad.sum()):,}"),
    ):
        if chosen.any():
            width = float(np.clip(400 / len(x), 0.5, 3))
            ax.vlines(x[chosen], 0, shown[chosen], color=color, linewidth=width)
            size = float(np.clip(4000 / len(x), 2, 16))
            ax.scatter(x[chosen], shown[chosen], s=size, color=color, label=label)
    ax.axhline(0, color=GREY, linewidth=0.8)
    few = len(x) <= _MOST_NAMES
    reach = max(float(np.abs(shown).max(initial=0.0)) * (1.9 if few else 1.2), 0.5)
    ax.set(ylim=(-reach, reach), xlim=(-0.02 * len(x) - 0.5, len(x)))
    units = [short_label(each, 20) for each in table.index[order]]
    quantities = [short_label(each, 28) for each in moves.columns[most[order]]]
    if few:
        ax.set_xticks(x, units, rotation=90, fontsize="small", **PLAIN)
        _name_quantities(ax, x, shown, quantities)
        tidy(ax, x="", y="change of the mean, in posterior sd")
    else:
        ax.set_xticks([])
        named = [f"{a}: {b}" for a, b in zip(units, quantities, strict=True)]
        _name_first(ax, x, shown, named[:_NAMED], reach)
        of = "rows" if unit == "row" else f"groups of {short_label(table.index.name)}"
        label = f"{len(x):,} {of}, the most influential first"
        tidy(ax, x=label, y="change of the mean, in posterior sd")
    legend(ax)
    return figure_of(ax)


def _name_quantities(ax: Axes, x: Any, shown: Any, names: Sequence[str]) -> None:
    """Write the name of the parameter at the end of each line."""
    for place, end, name in zip(x, shown, names, strict=True):
        ax.annotate(
            name,
            (place, end),
            xytext=(0, 5 if end > 0 else -5),
            textcoords="offset points",
            rotation=90,
            ha="center",
            va="bottom" if end > 0 else "top",
            fontsize="x-small",
            color=INK,
            **PLAIN,
        )


def _name_first(
    ax: Axes, x: Any, shown: Any, names: Sequence[str], reach: float
) -> None:
    """Name the first of many units, one below the other where there is room."""
    above = below = 0
    for place, name in enumerate(names):
        up = shown[place] > 0
        level = reach * (0.95 - 0.11 * (above if up else below)) * (1 if up else -1)
        above, below = above + up, below + (not up)
        ax.annotate(
            name,
            (x[place], shown[place]),
            xytext=(0.4, level),
            textcoords=ax.get_yaxis_transform(),
            fontsize="x-small",
            color=INK,
            va="center",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.4},
            **PLAIN,
        )
