"""Expected outcomes along a variable, in colours and panels of two others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stanpool.base.arrays import Array, without_nan
from stanpool.base.errors import SpecError, quote, quote_list
from stanpool.base.options import EffectGroups
from stanpool.inference.effects.predictions import predictions
from stanpool.inference.effects.rows.grid import datagrid, levels_of
from stanpool.plots.parts.canvas import (
    PLAIN,
    chain_colors,
    figure_of,
    grey,
    heading,
    heading_and_legend,
    headline,
    ink,
    legend,
    new_grid,
    on,
    on_paper,
    tidy,
)
from stanpool.plots.parts.outcomes import outcomes_of, sizes_of
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import FitResult

_POINTS = 30
_FEW_VALUES = 5
_MOST_LINES = 60
_MOST_DOTS = 500
_BINS = 20
_COLUMNS = 3
_MOST_PANELS = 30
_MOST_LABELS = 30  # of the x axis


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable of a picture, its values, and whether these are levels."""

    name: str
    values: list[Any]
    is_factor: bool

    def places(self, column: Any) -> Array:
        """Return where values stand: levels one after the other."""
        if not self.is_factor:
            return np.asarray(column, dtype=float)
        place_of = {str(value): at for at, value in enumerate(self.values)}
        return np.array([place_of.get(str(each), np.nan) for each in column])

    def where(self, table: pd.DataFrame, value: Any) -> NDArray[np.bool_]:
        """Say in which rows of a table the variable has a value."""
        column = table[self.name]
        if self.is_factor:
            return np.asarray(column.astype(str) == str(value))
        return np.asarray(np.isclose(column.to_numpy(dtype=float), value))

    @property
    def is_points(self) -> bool:
        """Whether there is nothing between the values, so that these are points."""
        return self.is_factor or len(self.values) <= 2

    @property
    def gap(self) -> float:
        """The distance of two values that are points."""
        places = self.places(self.values)
        return float(places[-1] - places[0]) if len(places) == 2 else 1.0

    def texts(self) -> list[str]:
        """Return the values as labels."""
        if self.is_factor:
            return [on_paper(each, 14) for each in self.values]
        return [f"{each:.3g}" for each in self.values]


def variables_of(fit: FitResult, variables: Any) -> list[Variable]:
    """Return the variables of the x axis, the colours and the panels.

    Raises
    ------
    SpecError, DataError
        If there are not one to three, or one is not of the model.
    """
    if isinstance(variables, str):
        variables = [variables]
    asked = variables if isinstance(variables, Mapping) else dict.fromkeys(variables)
    if not 0 < len(asked) <= 3:
        raise SpecError(
            f"there are {len(asked)} variables; a picture has one for the x axis, and "
            "may have one for colours and one for panels."
        )
    found = []
    for place, (name, values) in enumerate(asked.items()):
        given = values if values is not None else _default(fit, str(name), place)
        grid = datagrid(fit, {str(name): given})[str(name)]
        is_factor = bool(levels_of(fit.model, str(name)))
        unique = list(dict.fromkeys(grid.tolist()))
        found.append(Variable(str(name), unique, is_factor))
    return found


def _default(fit: FitResult, name: str, place: int) -> Any:
    """Return all levels, or numbers along the range of a column."""
    model = fit.model
    if name not in model.data.columns or levels_of(model, name):
        return "all"  # an unknown name is refused by the grid, with the nearest
    values = np.unique(without_nan(model.data[name]))
    if len(values) <= _FEW_VALUES:
        return values.tolist()
    if place == 0:
        return np.linspace(values[0], values[-1], _POINTS).tolist()
    return "quartiles"


def with_categories(
    fit: FitResult, along: list[Variable], table: pd.DataFrame
) -> list[Variable]:
    """Give the categories of an outcome colours, or panels if colours are taken."""
    if "category" not in table:
        return along
    if len(along) == 3:
        raise SpecError(
            "the outcome has categories, which take the colours or the panels; draw "
            "two variables at most."
        )
    categories = Variable("category", [*fit.model.design.categories], True)
    return [along[0], categories] if len(along) == 1 else [*along, categories]


def expected_along(
    fit: FitResult, values: Mapping[str, Any], newdata: Any, **options: Any
) -> pd.DataFrame:
    """Return expected outcomes at all combinations of values of variables.

    If everything else is typical there is a row for each; a data frame is averaged.
    """
    if isinstance(newdata, str):
        grid = datagrid(fit, values, kind=newdata)  # type: ignore[arg-type]
        return predictions(fit, newdata=grid, by=False, **options)
    return predictions(fit, values, newdata=newdata, **options)


@dataclass(frozen=True, eq=False)
class Curves:
    """Curves along the first variable, in colours and panels of the others.

    Attributes
    ----------
    fit, along
        The fit, and the variables.
    observed
        Whether outcomes are drawn beneath.
    spaghetti, groups
        Thin lines of single draws, and of single groups: a table with the variables,
        ``line``, which says which of them, and ``estimate``.
    """

    fit: FitResult
    along: list[Variable]
    observed: bool = False
    spaghetti: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None

    def with_draws(self, draws: pd.DataFrame, count: int) -> Curves:
        """Return the curves with lines of evenly spaced draws."""
        size = draws.shape[1]
        places = np.unique(np.linspace(0, size - 1, min(count, size)).astype(int))
        some = draws.iloc[:, places].set_axis(range(len(places)), axis=1)
        labels = list(draws.index.names)
        lines = some.reset_index().melt(labels, var_name="line", value_name="estimate")
        return replace(self, spaghetti=lines)

    def with_groups(
        self, factor: str, asked: Mapping[str, Any], newdata: Any
    ) -> Curves:
        """Return the curves with lines of fitted groups, all other effects being 0."""
        factors = {each.factor: each for each in self.fit.model.design.factors}
        if factor not in factors or factor not in self.fit.model.data.columns:
            raise SpecError(
                f"lines_of={quote(factor)} is not a grouping factor that is a column; "
                f"there are {quote_list(factors) or 'none'}."
            )
        own = factors[factor]
        order = np.argsort(own.sizes, kind="stable")
        count = min(len(order), _MOST_LINES)
        places = order[np.linspace(0, len(order) - 1, count).astype(int)]
        effects: dict[str, EffectGroups] = dict.fromkeys(factors, "none")
        effects[factor] = "fitted"
        values = {**asked, factor: [own.labels[place] for place in places]}
        lines = expected_along(self.fit, values, newdata, groups=effects)
        return replace(self, groups=lines.rename(columns={factor: "line"}))

    def drawn(self, table: pd.DataFrame, title: str, y: str, ax: Axes | None) -> Figure:
        """Draw the table of expectations, in a panel for each value of the third."""
        names = [short_label(each.name) for each in self.along]
        by = f" by {names[1]}" if len(names) > 1 else ""
        if self.is_crowded:
            by = f", a line for each of {len(self.along[1].values):,} {names[1]}"
        title = f"{title}{by} (group effects: {table.attrs['groups']})"
        if len(self.along) < 3:
            ax = on(ax, 6.5, 4.2)
            self.panel(ax, table)
            tidy(ax, x=names[0], y=y)
            headline(ax, title)
            if len(self.along) == 2 and not self.is_crowded:
                legend(ax)
            return figure_of(ax)
        if ax is not None:
            raise SpecError(
                "ax= has room for one panel; draw two variables, or leave out ax=."
            )
        facet = self.along[2]
        if len(facet.values) > _MOST_PANELS:
            raise SpecError(
                f"{len(facet.values):,} values of {quote(facet.name)} would be as many "
                f"panels; name up to {_MOST_PANELS} of them, as in "
                f"{{{quote(facet.name)}: {facet.values[:2]!r}}}."
            )
        columns = min(_COLUMNS, len(facet.values))
        rows = -(-len(facet.values) // columns)
        width, height = 0.8 + 3 * columns, 1.0 + 2.6 * rows
        figure, panels = new_grid(width, height, rows=rows, columns=columns)
        axes = [each for row in panels for each in row]
        for own, value, text in zip(axes, facet.values, facet.texts(), strict=False):
            self.panel(own, table[facet.where(table, value)], value)
            tidy(own, x=names[0], y=y)
            headline(own, f"{names[2]} = {text}")
        shown = axes[: len(facet.values)]
        low, high = zip(*(own.get_ylim() for own in shown), strict=True)
        for own in shown:
            own.set_ylim(min(low), max(high))
        for own in axes[len(facet.values) :]:
            own.set_axis_off()
        if self.is_crowded:
            heading(figure, title)
        else:
            heading_and_legend(figure, title, *axes[0].get_legend_handles_labels())
        return figure

    def panel(self, ax: Axes, table: pd.DataFrame, facet: Any = None) -> None:
        """Draw the curves of one panel, with what is beneath them."""
        first, colors = self.along[0], self._colors()
        if self.observed and "category" not in table:
            self._draw_outcomes(ax, facet)
        for place, (value, label, color) in enumerate(colors):
            own = table
            if label is not None:
                own = table[self.along[1].where(table, value)]
            x = first.places(own[first.name])
            low, y, high = own[["lower", "estimate", "upper"]].to_numpy(dtype=float).T
            if self.is_crowded:
                ax.plot(x, y, color=color, linewidth=0.6, alpha=0.6, zorder=3)
                continue
            if first.is_points:
                shift = 0.12 * first.gap * (place - (len(colors) - 1) / 2)
                x = x + shift
                self._draw_thin(ax, color, value, facet, shift)
                width, size = (2, 26) if len(x) <= _MOST_LABELS else (0.8, 5)
                ax.vlines(x, low, high, color=color, linewidth=width)
                ax.scatter(x, y, s=size, color=color, zorder=4, label=label)
                continue
            self._draw_thin(ax, color, value, facet)
            ax.plot(x, y, color=color, linewidth=2, zorder=3, label=label)
            if self.spaghetti is None:
                ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
        if first.is_points:
            step = -(-len(first.values) // _MOST_LABELS)
            places, texts = first.places(first.values), first.texts()[::step]
            ax.set_xticks(places[::step], texts, **PLAIN)
            ax.set_xlim(places[0] - 0.5 * first.gap, places[-1] + 0.5 * first.gap)
            if sum(map(len, texts)) > 40:
                ax.tick_params(axis="x", labelrotation=90)

    def _colors(self) -> list[tuple[Any, str | None, str]]:
        """Return the values, labels and colours of the second variable."""
        cycle = chain_colors()
        if len(self.along) == 1:
            return [(None, None, cycle[0])]
        second = self.along[1]
        if self.is_crowded:
            cycle = cycle[:1]
        return [
            (value, text, cycle[place % len(cycle)])
            for place, (value, text) in enumerate(
                zip(second.values, second.texts(), strict=True)
            )
        ]

    @property
    def is_crowded(self) -> bool:
        """Whether there are more lines than colours, which are then thin and alike."""
        if len(self.along) == 1 or self.along[1].name == "category":
            return False
        return len(self.along[1].values) > len(chain_colors())

    def _draw_thin(
        self, ax: Axes, color: str, value: Any, facet: Any, shift: float = 0.0
    ) -> None:
        """Draw the thin lines of draws and of groups."""
        first = self.along[0]
        of_groups = color if len(self.along) > 1 else grey()
        for lines, shade in ((self.spaghetti, color), (self.groups, of_groups)):
            if lines is None:
                continue
            chosen = np.ones(len(lines), dtype=bool)
            for variable, own in zip(self.along[1:], (value, facet), strict=False):
                chosen &= variable.where(lines, own)
            wide = lines[chosen].pivot_table(
                index=first.name, columns="line", values="estimate", observed=True
            )
            x = first.places(wide.index)
            order = np.argsort(x)
            x, y = x[order] + shift, wide.to_numpy()[order]
            ax.plot(x, y, color=shade, linewidth=0.6, alpha=0.4, zorder=1.5)

    def _draw_outcomes(self, ax: Axes, facet: Any) -> None:
        """Draw the outcomes of rows, or means of bins of them."""
        model, first = self.fit.model, self.along[0]
        if model.chunks is not None or model.design.censored is not None:
            return
        data, y = model.data, outcomes_of(self.fit)
        if model.spec.exposure is not None:  # the grid has its mean
            y = y * sizes_of(self.fit, data).mean()
        x = first.places(data[first.name])
        chosen = np.isfinite(x) & np.isfinite(y)
        if facet is not None and self.along[2].is_factor:
            chosen &= self.along[2].where(data, facet)
        shades = [(chosen, ink())]
        has_colors = len(self.along) > 1 and not self.is_crowded
        if has_colors and self.along[1].is_factor:
            second = self.along[1]
            shades = [
                (chosen & second.where(data, value), color)
                for value, _, color in self._colors()
            ]
        few = int(chosen.sum()) <= _MOST_DOTS and len(np.unique(y)) > 2
        for rows, shade in shades:
            if rows.any():
                at, seen = (x[rows], y[rows]) if few else _binned(x[rows], y[rows])
                style: dict[str, Any] = {"alpha": 0.35, "linewidth": 0, "zorder": 1}
                ax.scatter(at, seen, s=8 if few else 16, color=shade, **style)


def _binned(x: Array, y: Array) -> tuple[Array, Array]:
    """Return the means of x and y in bins of about as many rows."""
    values, index = np.unique(x, return_inverse=True)
    if len(values) > _BINS:
        edges = np.quantile(x, np.linspace(0, 1, _BINS + 1)[1:-1])
        index = np.searchsorted(edges, x, side="right")
    count = np.bincount(index)
    kept = count > 0
    at, means = (np.bincount(index, each)[kept] / count[kept] for each in (x, y))
    return at, means
