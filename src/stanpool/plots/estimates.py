"""Estimates with their intervals: of the population, and of all groups, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.base.options import EstimateFigure
from stanpool.inference.diagnostics.funnel import group_mean
from stanpool.inference.estimates.summary import population_names
from stanpool.plots.parts.canvas import (
    PLAIN,
    figure_of,
    grey,
    headline,
    in_style,
    legend,
    main_color,
    mark_color,
    new_rows,
    on_paper,
    paper,
)
from stanpool.plots.parts.groups import factor_of, group_draws, model_of, unit_of
from stanpool.plots.parts.unit_axis import MOST_NAMES, UnitAxis, row_height, unit_axis
from stanpool.posterior.intervals import interval_levels
from stanpool.posterior.scalars import (
    is_correlation,
    scalars,
    short_label,
    short_labels,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import HasPosterior

_MOST_INTERVALS = 300
_MOST_DENSITIES = 40
_MOST_ROWS = 60


@public
@in_style
def plot_forest(
    fit: HasPosterior,
    *,
    var_names: Sequence[str] | None = None,
    prob: float = 0.9,
    kind: EstimateFigure = "interval",
    ax: Axes | None = None,
) -> Figure:
    """Draw medians and central intervals of parameters, one below the other.

    Coefficients, standard deviations, correlations, and each other kind of parameter
    have axes of their own, since their units differ.

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
    kind
        ``"halfeye"`` also draws the density of each parameter above its interval.
    ax
        The axes to draw on, for parameters of one kind; by default those of a new
        figure.

    Raises
    ------
    SpecError
        If a variable is not in the posterior, or ``ax`` is given for several kinds.
    """
    panels, more = _panels(fit, _variables(fit, var_names))
    if ax is not None and len(panels) > 1:
        raise SpecError(
            f"ax= has room for one kind of parameters, and var_names has "
            f"{len(panels)}: {quote_list([each.kind for each in panels])}. Choose "
            "var_names of one kind, or leave out ax=."
        )
    tall = 2.0 if kind == "halfeye" else 1.0
    axes: list[Axes | None] = [ax]
    if ax is None:
        rows = [len(each.labels) for each in panels]
        room = tall * row_height(sum(rows))
        axes = [*new_rows(7.5, [0.75 + room * each for each in rows])]
    for place, (panel, own) in enumerate(zip(panels, axes, strict=True)):
        units = unit_axis(
            own, short_labels(panel.labels, 32), values=panel.unit, tall=tall
        )
        if panel.kind != "standard deviations":
            units.reference(0)
        units.intervals(
            np.array(panel.draws).T,
            prob,
            color=main_color(),
            halfeye=kind == "halfeye",
            label=_of_intervals(prob),
        )
        if panel.kind == "correlations":
            units.ax.set_xlim(-1.03, 1.03)
        elif panel.kind == "standard deviations":
            units.ax.set_xlim(left=0)
        if place == 0:
            headline(units.ax, f"Posterior medians with {_of_intervals(prob)}")
    ax = units.ax
    if more > 0:
        ax.set_ylabel(f"{more:,} more are not shown")
    return figure_of(ax)


@dataclass(frozen=True, eq=False)
class _Panel:
    """Parameters of one kind: what it is, their unit, labels and draws."""

    kind: str
    unit: str
    labels: list[str]
    draws: list[Array]


def _variables(fit: HasPosterior, var_names: Sequence[str] | None) -> list[str]:
    """Return the chosen variables, or refuse those that are not there."""
    known = [str(name) for name in fit.posterior.data_vars]
    if var_names is None:
        return population_names(fit) or known
    for name in var_names:
        if name not in known:
            raise SpecError(
                f"var_names: {quote(name)} is not in the posterior; it has "
                f"{quote_list(known)}.{suggestion(str(name), known)}"
            )
    return list(var_names)


def _panels(fit: HasPosterior, names: Sequence[str]) -> tuple[list[_Panel], int]:
    """Return the panels of a forest, and how many parameters have no room."""
    panels: dict[str, _Panel] = {}
    left, more = _MOST_ROWS, 0
    for block in scalars(fit.posterior, var_names=names):
        kind = _kind(fit.posterior[block.variable])
        draws = np.moveaxis(block.draws, 2, 0).reshape(len(block.labels), -1)
        shown = min(left, len(block.labels))
        left, more = left - shown, more + len(block.labels) - shown
        if shown:
            new = _Panel(kind, _unit(fit, kind), [], [])
            panel = panels.setdefault(kind, new)
            panel.labels.extend(block.labels[:shown])
            panel.draws.extend(draws[:shown])
    return list(panels.values()), more


def _kind(variable: xr.DataArray) -> str:
    """Return the kind of a variable, all of which has one unit but for predictors'."""
    name = str(variable.name)
    if is_correlation(variable):
        return "correlations"
    if name == "sigma" or (name.startswith("tau_") and "tau_sigma" not in name):
        return "standard deviations"
    is_coefficient = name in ("Intercept", "beta") or name.startswith("b_")
    return "coefficients" if is_coefficient else on_paper(name)


def _unit(fit: HasPosterior, kind: str) -> str:
    if fit.model is None or kind not in ("coefficients", "standard deviations"):
        return kind
    return f"{kind} ({unit_of(fit)} per unit of the predictor)"


def _of_intervals(prob: float) -> str:
    return f"{prob:.0%} and 50% intervals"


@public
@in_style
def plot_caterpillar(
    fit: HasPosterior,
    *,
    factor: str | None = None,
    coefficient: str = "Intercept",
    prob: float = 0.9,
    kind: EstimateFigure = "interval",
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
    kind
        ``"halfeye"`` also draws the density of each of up to 40 groups.
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
    medians = np.median(values, axis=0)
    groups = len(medians)
    # Named groups stand below each other, and the largest is on top.
    order = np.argsort(medians, kind="stable")
    order = order[::-1] if groups <= MOST_NAMES else order
    name = short_label(varied.factor)
    labels = short_labels((varied.labels[place] for place in order), 24)
    halfeye = kind == "halfeye" and groups <= _MOST_DENSITIES
    units = unit_axis(
        ax,
        labels,
        many=f"{groups:,} groups of {name}, in order",
        values=f"{short_label(coefficient)} of each {name} ({unit_of(fit)})",
        tall=2.0 if halfeye else 1.0,
    )
    headline(
        units.ax,
        f"{short_label(coefficient)} of each {name}: median, {_of_intervals(prob)}",
    )
    centre = _draw_mean(fit, units, varied, coefficient, order)
    _draw_groups(units, values[:, order], prob, centre, halfeye)
    if not units.down:
        _name_ends(units, medians[order], labels)
    legend(units.ax)
    return figure_of(units.ax)


def _draw_mean(
    fit: HasPosterior,
    units: UnitAxis,
    varied: FactorDesign,
    coefficient: str,
    order: NDArray[np.intp],
) -> Array | None:
    """Draw the mean of the population of each group, and return it in their order."""
    model = model_of(fit)
    if model.parameterization is None:
        return None
    mean = group_mean(fit.posterior, model.design, varied, coefficient)
    means = mean.reshape(-1, *mean.shape[2:])
    centre = np.broadcast_to(means.mean(axis=0), (len(order),))[order]
    if means.ndim == 1:
        style = {"linewidth": 1, "linestyle": "--"}
        units.reference(centre[0], label="population mean", **style)
    else:
        units.points(
            centre,
            s=units.size(3000, 6, 40),
            marker="|" if units.down else "_",
            color=grey(),
            label="mean of its population",
        )
    return np.asarray(centre)


def _draw_groups(
    units: UnitAxis, values: Array, prob: float, centre: Array | None, halfeye: bool
) -> None:
    """Draw intervals, of another colour where the mean of the population is outside."""
    if len(units.at) > _MOST_INTERVALS:
        units.band(values, prob, _of_intervals(prob))
        return
    away = np.zeros(len(units.at), bool)
    if centre is not None:
        low, high = np.quantile(values, interval_levels(prob), axis=0)
        away = (low > centre) | (high < centre)
    without = f"{prob:.0%} interval without the mean"
    for chosen, color, label in (
        (~away, main_color(), None),
        (away, mark_color(), f"{without}: {int(away.sum())} of {len(away)}"),
    ):
        if chosen.any():
            units.intervals(
                values, prob, chosen, color=color, halfeye=halfeye, label=label
            )


def _name_ends(units: UnitAxis, median: Array, labels: Sequence[str]) -> None:
    """Name the lowest and the highest group if there is no room for all."""
    for place, shift, align in ((0, 8, "left"), (-1, -8, "right")):
        units.ax.annotate(
            labels[place],
            (units.at[place], median[place]),
            xytext=(shift, 0),
            textcoords="offset points",
            ha=align,
            va="center",
            fontsize="small",
            bbox={"facecolor": paper(), "edgecolor": "none", "pad": 1, "alpha": 0.8},
            **PLAIN,
        )
