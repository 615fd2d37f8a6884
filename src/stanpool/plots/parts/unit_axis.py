"""The axis along which groups or parameters stand, with their names if there is room.

Few of them stand below each other, where their names can be read; very many stand side
by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.plots.parts.canvas import (
    PLAIN,
    density,
    grey,
    ink,
    main_color,
    mark_color,
    on,
    paper,
    tidy,
)
from stanpool.posterior.intervals import interval_levels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMES = 100
_MOST_INTERVALS = 300
_INNER = 0.5


@dataclass(frozen=True, eq=False)
class UnitAxis:
    """Axes on which units stand at places along one direction.

    Attributes
    ----------
    ax
        The axes.
    at
        The place of each unit, shape ``(unit,)``.
    down
        Whether units stand below each other, so that values go across.
    """

    ax: Axes
    at: Array
    down: bool

    def lines(self, low: Array, high: Array, where: Any = ..., **style: Any) -> None:
        """Draw a line from a low to a high value for each unit, or for some."""
        draw = self.ax.hlines if self.down else self.ax.vlines
        draw(self.at[where], low[where], high[where], **style)

    def ranges(self, low: Array, high: Array, *, width: float, **style: Any) -> None:
        """Draw a range for each unit, or a band if there are very many."""
        if len(self.at) <= _MOST_INTERVALS:
            self.lines(low, high, linewidth=width, **style)
            return
        fill = self.ax.fill_betweenx if self.down else self.ax.fill_between
        fill(self.at, low, high, linewidth=0, **style)

    def points(self, values: Array, where: Any = ..., **style: Any) -> None:
        """Draw a point for each unit, or for some."""
        self.scatter(self.at[where], values[where], **style)

    def scatter(self, places: Array, values: Array, **style: Any) -> None:
        """Draw points at any places along the axis."""
        x, y = (values, places) if self.down else (places, values)
        self.ax.scatter(x, y, **style)

    def reference(self, value: float, **style: Any) -> None:
        """Draw a line of the same value for all units."""
        style = {"color": grey(), "linewidth": 0.8} | style
        draw: Any = self.ax.axvline if self.down else self.ax.axhline
        draw(value, **style)

    def size(self, area: float, low: float, high: float) -> float:
        """Return the size of marks, smaller the more units there are."""
        return float(np.clip(area / max(len(self.at), 1), low, high))

    def means(self, seen: Array, low: Array, high: Array, label: str) -> None:
        """Draw the mean of each unit over its predicted range, and mark those outside.

        Parameters
        ----------
        seen, low, high
            The means and the ends of the ranges, shape ``(unit,)``.
        label
            What the means are called in the legend.
        """
        self.ranges(
            low,
            high,
            width=self.size(300, 1.5, 5),
            color=main_color(),
            alpha=0.35,
            label="90% of predicted means",
        )
        out = (seen < low) | (seen > high)
        outside = f"outside: {int(out.sum())} of {len(out)}"
        size = self.size(1500, 3, 20)
        for chosen, color, text in (
            (~out, ink(), label),
            (out, mark_color(), outside),
        ):
            self.points(seen, chosen, s=size, color=color, zorder=3, label=text)

    def intervals(
        self,
        values: Array,
        prob: float,
        where: Any = ...,
        *,
        color: str,
        halfeye: bool = False,
        label: str | None = None,
    ) -> None:
        """Draw medians, thick 50 % and thin ``prob`` intervals of draws ``(S, unit)``.

        With ``halfeye``, the density of the draws stands on each interval.
        """
        levels = (*interval_levels(prob), *interval_levels(_INNER), 0.5)
        low, high, q25, q75, median = np.quantile(values, levels, axis=0)
        if halfeye:
            for place in np.arange(len(self.at))[where]:
                self._density(values[:, place], float(self.at[place]), color)
        self.lines(low, high, where, color=color, linewidth=1)
        self.lines(q25, q75, where, color=color, linewidth=3, label=label)
        dot = self.size(2000, 5, 24)
        self.points(
            median, where, s=dot, color=paper(), edgecolor=color, zorder=3, linewidth=1
        )

    def band(self, values: Array, prob: float, label: str) -> None:
        """Draw the intervals of very many units as bands, and medians as a line."""
        levels = (*interval_levels(prob), *interval_levels(_INNER), 0.5)
        low, high, q25, q75, median = np.quantile(values, levels, axis=0)
        style: dict[str, Any] = {"color": main_color(), "linewidth": 0}
        self.ax.fill_between(self.at, low, high, alpha=0.2, **style)
        self.ax.fill_between(self.at, q25, q75, alpha=0.4, label=label, **style)
        self.ax.plot(self.at, median, color=main_color(), linewidth=1.2, label="median")

    def _density(self, draws: Array, place: float, color: str) -> None:
        low, high = np.quantile(draws, (0.001, 0.999))
        margin = 0.1 * (high - low) or 1.0
        x, y = density(draws, float(low - margin), float(high + margin))
        # Rows grow downwards, and densities stand upwards on their row.
        top = place + (-0.8 if self.down else 0.8) * y / y.max()
        fill = self.ax.fill_between if self.down else self.ax.fill_betweenx
        fill(x, place, top, color=color, alpha=0.25, linewidth=0)


def unit_axis(
    ax: Axes | None,
    labels: Sequence[str],
    *,
    many: str = "",
    values: str = "",
    width: float = 7.0,
    tall: float = 1.0,
) -> UnitAxis:
    """Make the axis of units, the first of them on top or at the left.

    Parameters
    ----------
    ax
        The axes to draw on; by default those of a new figure of a height that fits.
    labels
        The name of each unit, which is written if there are at most 100.
    many
        What the units are and in which order, for the axis of more units than that.
    values
        The label of the axis of values.
    width
        The width of a new figure, in inches.
    tall
        The height of each of few units, as a multiple of that of a name.
    """
    count = len(labels)
    at, down = np.arange(count, dtype=float), count <= MOST_NAMES
    room = row_height(count) * tall
    ax = on(ax, width, 1.2 + room * count) if down else on(ax, 9.0, 4.4)
    if down:
        tidy(ax, x=values, y="")
        ax.set_yticks(at, labels, fontsize=font_size(count), **PLAIN)
        ax.set_ylim(count - 0.3, -0.7 if tall == 1.0 else -1.1)
    else:
        tidy(ax, x=many, y=values)
        ax.set_xticks([])
        ax.set_xlim(-1, count)
    return UnitAxis(ax, at, down)


def row_height(count: int) -> float:
    """Return the height of a row with a name, in inches."""
    return float(np.interp(count, (20, MOST_NAMES), (0.26, 0.14)))


def font_size(count: int) -> float:
    """Return the size of names, in points."""
    return float(np.interp(count, (20, MOST_NAMES), (9.5, 7.0)))
