"""Quantities against each other, with divergent draws marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError
from stanpool.inference.estimates.summary import population_names
from stanpool.model.fit_result import diverging
from stanpool.plots.parts.canvas import (
    PLAIN,
    density,
    in_style,
    main_color,
    mark_color,
    new_grid,
    on_paper,
    tidy,
)
from stanpool.plots.traces import draws_of
from stanpool.posterior.scalars import scalars

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import HasPosterior

_DEFAULT = 5
_MOST = 8
_MOST_POINTS = 4000


@public
@in_style
def plot_pairs(fit: HasPosterior, *, quantities: Sequence[str] | None = None) -> Figure:
    """Draw pairs of quantities of the posterior, with divergent draws in orange.

    Parameters
    ----------
    fit
        A fit, or draws of an exact sampler.
    quantities
        From 2 to 8 labels of the summary; by default the first five of the population
        parameters, or of the groups' if there are none.

    Raises
    ------
    SpecError
        If a quantity is not in the posterior, or there are too few or too many.
    """
    chosen = _default(fit) if quantities is None else list(quantities)
    if not 2 <= len(chosen) <= _MOST:
        raise SpecError(f"there are {len(chosen)} quantities; pass 2 to {_MOST}.")
    found = draws_of(fit, chosen)
    draws = [found[label].ravel() for label in chosen]
    diverged = diverging(fit).ravel()
    step = -(-len(diverged) // _MOST_POINTS)
    fine = np.flatnonzero(~diverged)[::step]
    limits = [_limits(each) for each in draws]
    count, side = len(chosen), 1.0 + 1.9 * len(chosen)
    figure, grid = new_grid(side, side, rows=count, columns=count)
    for row in range(count):
        for column in range(count):
            ax = grid[row][column]
            if column > row:
                ax.set_axis_off()
                continue
            tidy(ax, x="", y="")
            if column == row:
                x, y = density(draws[row], *limits[row])
                ax.fill_between(x, y, color=main_color(), alpha=0.4, linewidth=0)
                ax.set_yticks([])
                ax.set_ylim(bottom=0)
            else:
                for places, color, size in (
                    (fine, main_color(), 2),
                    (diverged, mark_color(), 6),
                ):
                    ax.scatter(
                        draws[column][places],
                        draws[row][places],
                        s=size,
                        color=color,
                        alpha=0.35 if color == main_color() else 0.9,
                        linewidth=0,
                        rasterized=True,
                    )
                ax.set_ylim(limits[row])
            ax.set_xlim(limits[column])
            if row == count - 1:
                ax.set_xlabel(on_paper(chosen[column], 24), **PLAIN)
            if column == 0 and row:
                ax.set_ylabel(on_paper(chosen[row], 24), **PLAIN)
            if row < count - 1:
                ax.set_xticklabels([])
            if column and column != row:
                ax.set_yticklabels([])
    return figure


def _limits(draws: Array) -> tuple[float, float]:
    """Return limits without a few draws in the far tails."""
    low, high = np.quantile(draws, (0.001, 0.999))
    margin = 0.02 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _default(fit: HasPosterior) -> list[str]:
    """Return the first population parameters, or those of groups if there are none."""
    names = population_names(fit) or None
    labels = [
        label
        for block in scalars(fit.posterior, var_names=names)
        for label in block.labels
    ]
    return labels[:_DEFAULT]
