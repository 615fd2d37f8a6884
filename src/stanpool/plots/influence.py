"""Pareto k: the rows or groups that one fit cannot do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stanpool.errors import SpecError
from stanpool.labels import short_label
from stanpool.plots.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PLAIN,
    figure_of,
    headline,
    on,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.crossval import CrossValidation

_NAMED = 8


def plot_pareto_k(result: CrossValidation, *, ax: Axes | None = None) -> Figure:
    """Draw the Pareto k of each unit left out; what is above the line is unreliable.

    Parameters
    ----------
    result
        What ``loo`` returned.
    ax
        Axes to draw on; a new figure by default.

    Raises
    ------
    SpecError
        If no importance was sampled, as in ``kfold``.
    """
    if result.good_k is None:
        raise SpecError(
            f"{result!r} refitted for every unit, so that there is no Pareto k; plot "
            "what loo returns."
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
