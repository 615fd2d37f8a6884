"""Maps of regions, coloured by what a fit says of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote_list
from stanpool.base.options import MapStatistic
from stanpool.data.entries import level_text
from stanpool.data.tables.shapes import Shapes
from stanpool.inference.diagnostics.funnel import group_mean
from stanpool.plots.parts.canvas import (
    PLAIN,
    figure_of,
    grey,
    headline,
    in_style,
    legend,
    on,
    paper,
)
from stanpool.plots.parts.groups import factor_of, group_draws, model_of, unit_of
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import HasPosterior

_STEEPEST = 85.0  # degrees of latitude, at which a degree of longitude hardly counts


@public
@in_style
def plot_map(
    fit: HasPosterior,
    shapes: Any,
    *,
    factor: str | None = None,
    coefficient: str = "Intercept",
    statistic: MapStatistic = "mean",
    ax: Axes | None = None,
) -> Figure:
    """Draw a map of regions, coloured by how far each is from its population's mean.

    Regions of the map that are no groups of the fit are left white. Shapes are drawn as
    they are; those in degrees are narrowed by the cosine of the latitude in the middle.

    Parameters
    ----------
    fit
        A fit whose groups are regions.
    shapes
        A GeoDataFrame of geopandas whose index has the labels of the regions, as in
        ``shapes.set_index("district")``, or a feature collection of GeoJSON, as
        ``json.load`` returns it, whose features have the labels as their ``"id"``.
    factor, coefficient
        The grouping factor, by default the first, and one of its coefficients.
    statistic
        Of the deviation of a region's coefficient from the mean of its population:
        its posterior ``"mean"``, its standard deviation ``"sd"``, or the
        ``"probability"`` that it is positive.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If the coefficient does not vary over the factor.
    DataError
        If the shapes are no polygons with labels, or no label is a group of the fit.

    Examples
    --------
    >>> districts = geopandas.read_file("districts.gpkg")  # doctest: +SKIP
    >>> fit.plot.map(districts.set_index("district"))  # doctest: +SKIP
    """
    varied = factor_of(fit, factor, coefficient)
    read = Shapes.of("shapes", shapes)
    mean = group_mean(fit.posterior, model_of(fit).design, varied, coefficient)
    deviations = group_draws(fit, varied, coefficient)
    deviations = deviations - mean.reshape(*mean.shape[:2], -1)
    values = dict(
        zip(map(level_text, varied.labels), _of(deviations, statistic), strict=True)
    )
    coloured = [label for label in read.geometries if label in values]
    if not coloured:
        raise DataError(
            f"shapes has the labels {quote_list(read.geometries)}, and none of them "
            f"is a group of {varied.factor!r}: {quote_list(values)}. Labels are the "
            "index of a GeoDataFrame, shapes.set_index('region'), and the 'id' of "
            "features in GeoJSON."
        )
    ax = on(ax, 6.0, 6.0)
    _draw(ax, read, {label: values[label] for label in coloured}, statistic)
    regions = short_label(varied.factor)
    words = {
        "mean": f"posterior mean ({unit_of(fit)})",
        "sd": f"posterior standard deviation ({unit_of(fit)})",
        "probability": "posterior probability that it is positive",
    }
    headline(
        ax,
        f"{short_label(coefficient)} of {regions}: deviation from the population mean",
    )
    bar = figure_of(ax).colorbar(ax.collections[0], ax=ax, shrink=0.7)
    bar.set_label(words[statistic], **PLAIN)
    bar.outline.set_visible(False)
    _say_what_is_missing(ax, len(values) - len(coloured))
    return figure_of(ax)


def _of(deviations: Array, statistic: MapStatistic) -> Array:
    """Summarize draws ``(chain, draw, group)`` for each group."""
    draws = deviations.reshape(-1, deviations.shape[2])
    if statistic == "sd":
        return np.asarray(draws.std(axis=0, ddof=1))
    return np.asarray((draws if statistic == "mean" else draws > 0).mean(axis=0))


def _draw(
    ax: Axes, shapes: Shapes, values: dict[str, Any], statistic: MapStatistic
) -> None:
    """Draw the regions that have values, and the others behind them."""
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path

    def outlines(labels: list[str]) -> list[Path]:
        return [
            Path.make_compound_path(
                *(Path(ring, closed=True) for ring in shapes.rings(label))
            )
            for label in labels
        ]

    shown = np.array(list(values.values()))
    most = float(np.abs(shown).max()) or 1.0
    look: dict[str, Any] = {
        "mean": {"cmap": "RdBu_r", "clim": (-most, most)},
        "sd": {"cmap": "viridis", "clim": (0.0, most)},
        "probability": {"cmap": "RdBu_r", "clim": (0.0, 1.0)},
    }[statistic]
    edges: dict[str, Any] = {"edgecolors": grey(), "linewidths": 0.4}
    regions = PathCollection(outlines(list(values)), array=shown, **look, **edges)
    ax.add_collection(regions)
    rest = [label for label in shapes.geometries if label not in values]
    if rest:
        look = {"facecolor": paper(), "edgecolor": grey(), "hatch": "///"}
        ax.add_collection(PathCollection(outlines(rest), linewidths=0.4, **look))
        ax.fill([], [], label=f"no group of the fit: {len(rest):,}", **look)
    ax.autoscale_view()
    low, high = ax.get_ylim()
    middle = min(abs(low + high) / 2, _STEEPEST) if shapes.are_degrees else 0.0
    ax.set_aspect(1 / float(np.cos(np.radians(middle))))
    ax.set_axis_off()


def _say_what_is_missing(ax: Axes, groups: int) -> None:
    """Say in the legend how many groups of the fit have no shape."""
    if groups:
        ax.plot([], [], " ", label=f"{groups:,} groups without a shape")
    if ax.get_legend_handles_labels()[1]:
        legend(ax)
