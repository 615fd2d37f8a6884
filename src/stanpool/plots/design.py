"""Power, or another measure, of studies along their sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from stanpool.base.arguments import public
from stanpool.base.errors import check_choice
from stanpool.plots.parts.canvas import (
    chain_colors,
    grey,
    headline,
    in_style,
    legend,
    new_figure,
    on_paper,
    tidy,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = ("power", "width", "exaggeration", "right_sign", "coverage", "bias")
_Z = 1.96
_WANTED = 0.8
_WORDS = {"right_sign": "share of right signs", "width": "width of the interval"}


class Designs(Protocol):
    """Studies of several sizes."""

    @property
    def goal(self) -> str:
        """What is to be found."""

    @property
    def table(self) -> pd.DataFrame:
        """A row for each design: ``groups``, ``rows``, and measures with errors."""


@public
@in_style
def plot_design(analysis: Designs, *, measure: str = "power") -> Figure:
    """Draw a measure of a design analysis along the numbers of groups or rows.

    Bars are intervals of 95 % for the Monte Carlo error of the simulations; those of
    power are wider where studies could not be fitted.

    Parameters
    ----------
    analysis
        The result of ``design``.
    measure
        ``"power"``, ``"width"``, ``"exaggeration"``, ``"right_sign"``, ``"coverage"``
        or ``"bias"``.

    Raises
    ------
    SpecError
        If there is no such measure.
    """
    check_choice("measure", measure, MEASURES)
    table = analysis.table
    along, other = "groups", "rows"
    if table["groups"].nunique() < min(table["rows"].nunique(), 2):
        along, other = "rows", "groups"
    figure, (ax,) = new_figure(6.5, 4.2, columns=1)
    colors = chain_colors()
    lines = list(table.groupby(other, sort=False, dropna=False))
    for number, (size, own) in enumerate(lines):
        name = None if len(lines) == 1 else f"{size:,} {_plural(other)}"
        _draw(ax, own, along, measure, colors[number % len(colors)], name)
    if measure == "power":
        ax.axhline(_WANTED, color=grey(), linestyle=":", linewidth=1)
        ax.set_ylim(0, 1.02)
    tidy(ax, x=_plural(along), y=_WORDS.get(measure, measure))
    headline(ax, on_paper(analysis.goal, 48))
    if len(lines) > 1:
        legend(ax)
    return figure


def _draw(
    ax: Axes,
    table: pd.DataFrame,
    along: str,
    measure: str,
    color: str,
    name: str | None,
) -> None:
    """Draw one line, with intervals."""
    own = table.sort_values(along)
    at = own[along].fillna(0).to_numpy(dtype=float)
    values = own[measure].to_numpy(dtype=float)
    if measure == "power":
        low, high = own["power_low"].to_numpy(), own["power_high"].to_numpy()
    else:
        half = _Z * own[f"{measure}_mcse"].to_numpy(dtype=float)
        low, high = values - half, values + half
    ax.vlines(at, low, high, color=color, linewidth=1.2)
    ax.plot(at, values, color=color, marker="o", markersize=4, label=name)


def _plural(size: str) -> str:
    return "rows in each group" if size == "rows" else "groups"
