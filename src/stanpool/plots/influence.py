"""Pareto k and influence: the rows or groups that a fit depends on most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError
from stanpool.base.options import Unit
from stanpool.inference.evaluation.influence import influence
from stanpool.inference.prediction.integrated.conditioning import RELIABLE_K
from stanpool.plots.parts.canvas import (
    PLAIN,
    figure_of,
    grey,
    headline,
    in_style,
    legend,
    main_color,
    mark_color,
    on,
    tidy,
)
from stanpool.plots.parts.unit_axis import UnitAxis, font_size, unit_axis
from stanpool.posterior.scalars import short_label, short_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.inference.evaluation.cross_validation import CrossValidation
    from stanpool.model.fit_result import FitResult

_NAMED = 8
_MOST_UNITS = 30


@public
@in_style
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
            f"{result.in_one_line} refitted for every unit, so that there is no "
            "Pareto k; pass the result of loo."
        )
    k = result.units["pareto_k"].to_numpy(dtype=float)
    shown = np.where(np.isfinite(k), k, np.where(k > 0, 1.5, -0.5))
    x = np.arange(len(k))
    bad = ~(k <= result.good_k)
    ax = on(ax, 7.5, 3.6)
    size = float(np.clip(4000 / len(k), 1.5, 16))
    for chosen, color in ((~bad, main_color()), (bad, mark_color())):
        ax.scatter(
            x[chosen],
            shown[chosen],
            s=size if color == main_color() else max(size, 12),
            color=color,
            linewidth=0,
            alpha=0.7,
            rasterized=True,
        )
    ax.axhline(result.good_k, color=mark_color(), linewidth=1, ls="--")
    ax.axhline(0, color=grey(), linewidth=0.8)
    worst = [place for place in np.argsort(-shown)[:_NAMED] if bad[place]]
    for place in worst:
        ax.annotate(
            short_label(result.units.index[place], 20),
            (x[place], shown[place]),
            xytext=(4, 2),
            textcoords="offset points",
            fontsize="x-small",
            **PLAIN,
        )
    tidy(ax, x=f"{result.unit}, in the order of the data", y="Pareto k")
    top = max(shown.max(), result.good_k) + 0.1
    ax.set_ylim(min(shown.min(), 0) - 0.1, top)
    title = f"{int(bad.sum()):,} of {len(k):,} above {result.good_k:.2f}"
    headline(ax, f"{title}: not reliable" if bad.any() else title)
    return figure_of(ax)


@public
@in_style
def plot_influence(
    fit: FitResult,
    *,
    unit: Unit = "group",
    factor: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw how much population parameters change if a unit is left out.

    For each of the 30 most influential units, the largest change of a parameter is
    drawn, in posterior standard deviations. Units whose Pareto k is above 0.7 are
    marked: their influence can only be found by a refit.

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
    order = np.argsort(-np.abs(largest), kind="stable")[:_MOST_UNITS]
    shown, bad = largest[order], ~(k[order] <= RELIABLE_K)
    of = "rows" if unit == "row" else f"groups of {short_label(table.index.name)}"
    along = unit_axis(
        ax,
        short_labels(table.index[order], 20),
        values="change of the posterior mean without it, in posterior sd",
    )
    headline(along.ax, f"The {len(order)} most influential of {len(k):,} {of}")
    along.reference(0)
    for chosen, color, label in (
        (~bad, main_color(), "largest change of a parameter"),
        (bad, mark_color(), f"Pareto k above {RELIABLE_K}: {int(bad.sum()):,}"),
    ):
        if chosen.any():
            along.lines(0 * shown, shown, chosen, color=color, linewidth=2)
            along.points(shown, chosen, s=16, color=color, label=label)
    # There is room for the names of parameters at the ends of the lines.
    reach = max(2 * float(np.abs(shown).max(initial=0.0)), 0.5)
    along.ax.set_xlim(-reach, reach)
    quantities = [short_label(each, 28) for each in moves.columns[most[order]]]
    _name_quantities(along, shown, quantities)
    legend(along.ax)
    return figure_of(along.ax)


def _name_quantities(along: UnitAxis, shown: Array, names: Sequence[str]) -> None:
    """Write the name of the parameter at the end of each line."""
    for place, end, name in zip(along.at, shown, names, strict=True):
        along.ax.annotate(
            name,
            (end, place),
            xytext=(5 if end > 0 else -5, 0),
            textcoords="offset points",
            ha="left" if end > 0 else "right",
            va="center",
            fontsize=0.85 * font_size(len(names)),
            **PLAIN,
        )
