"""The shrinkage of the groups' estimates to the population mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.inference.diagnostics.funnel import (
    group_mean,
    of_predictor,
    population_mean,
)
from stanpool.plots.parts.canvas import (
    PLAIN,
    grey,
    headline,
    in_style,
    legend,
    log_axis,
    main_color,
    mark_color,
    new_figure,
    paper,
    tidy,
)
from stanpool.plots.parts.groups import factor_of, group_draws, unit_of, with_model
from stanpool.posterior.scalars import short_label, short_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import FitResult, HasPosterior

_MOST_INTERVALS = 200
_MOST_NAMES = 40
_NAMED = 3


@public
@in_style
def plot_shrinkage(
    partial: HasPosterior,
    no_pooling: FitResult | None = None,
    *,
    complete: FitResult | None = None,
    factor: str | None = None,
    coefficient: str = "Intercept",
    ax: Axes | None = None,
) -> Figure:
    """Draw the estimates of groups against their sizes, before and after pooling.

    Small groups have little information, so that their estimates without pooling vary
    widely, and partial pooling shrinks them to the population mean; the estimates of
    large groups hardly change.

    Parameters
    ----------
    partial
        A partially pooled fit, or draws of an exact sampler: its means and, for up to
        200 groups, 90 % intervals.
    no_pooling
        A fit without pooling, drawn as open circles that are joined to the pooled
        means.
    complete
        A fit with complete pooling, drawn as a line.
    factor, coefficient
        The grouping factor, by default the first, and the varying coefficient.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If the coefficient does not vary over the factor in one of the fits.
    """
    partial = with_model(partial)
    varied = factor_of(partial, factor, coefficient)
    name = short_label(varied.factor)
    draws = group_draws(partial, varied, coefficient)
    sizes, means = varied.sizes, draws.mean(axis=(0, 1))
    labels = [str(label) for label in varied.labels]
    x = _places(sizes, means)
    alone = None
    if no_pooling is not None:
        alone = _aligned(no_pooling, varied.factor, coefficient, labels)

    ax = ax or new_figure(7.5, 4.5)[1][0]
    headline(ax, f"{short_label(coefficient)} of each {name}: how far pooling moves it")
    _draw_groups(ax, x, draws, alone)
    _draw_means(ax, partial, complete, varied, coefficient)
    y = f"{short_label(coefficient)} of each {name} ({unit_of(partial)})"
    if sizes.min() < sizes.max():
        log_axis(ax, "x", sizes.min() * 0.7, sizes.max() * 1.4, whole=True)
        tidy(ax, x=f"rows per {name}", y=y)
        if alone is not None and len(x) <= _MOST_INTERVALS:
            _name_most_moved(ax, x, alone, means, labels)
    else:
        _name_places(ax, x, labels)
        tidy(ax, x=name, y=y)
    legend(ax)
    return cast("Figure", ax.figure)


def _aligned(fit: FitResult, factor: str, coefficient: str, labels: list[str]) -> Array:
    """Return the posterior means of another fit's groups in a given order."""
    own = factor_of(fit, factor, coefficient)
    means = group_draws(fit, own, coefficient).mean(axis=(0, 1))
    by_label = dict(zip(map(str, own.labels), means, strict=True))
    return np.array([by_label.get(label, np.nan) for label in labels])


def _draw_groups(ax: Axes, x: Array, draws: Array, alone: Array | None) -> None:
    """Draw pooled means with intervals, joined to the unpooled means."""
    size = float(np.clip(220 / np.sqrt(len(x)), 4, 26))
    means = draws.mean(axis=(0, 1))
    if len(x) <= _MOST_INTERVALS:
        low, high = np.quantile(draws, (0.05, 0.95), axis=(0, 1))
        ax.vlines(
            x,
            low,
            high,
            color=main_color(),
            alpha=0.18,
            linewidth=3,
            label="90 % interval",
        )
    if alone is not None:
        fade = min(1.0, _MOST_INTERVALS / len(x))
        ax.vlines(x, alone, means, color=grey(), alpha=fade, linewidth=0.7)
        ax.scatter(
            x,
            alone,
            s=size,
            facecolor=paper(),
            edgecolor=grey(),
            linewidth=0.9,
            zorder=3,
            label="no pooling",
        )
    ax.scatter(x, means, s=size, color=main_color(), zorder=4, label="partial pooling")


def _draw_means(
    ax: Axes,
    partial: FitResult,
    complete: FitResult | None,
    factor: FactorDesign,
    coefficient: str,
) -> None:
    """Draw the population mean, if it is a single one, and that of complete pooling."""
    mean = group_mean(partial.posterior, partial.model.design, factor, coefficient)
    if mean.ndim == 2:
        ax.axhline(
            mean.mean(),
            color=main_color(),
            linewidth=1,
            linestyle="--",
            label="population mean",
        )
    if complete is not None:
        pooled = population_mean(
            *of_predictor(complete.posterior, factor, coefficient)
        ).mean()
        ax.axhline(pooled, color=mark_color(), linewidth=1, label="complete pooling")


def _places(sizes: NDArray[Any], means: Array) -> Array:
    """Place groups along x by size, with groups of the same size side by side."""
    if sizes.min() == sizes.max():
        return np.argsort(np.argsort(means)).astype(float)
    x = sizes.astype(float)
    for size in np.unique(sizes):
        same = np.flatnonzero(sizes == size)
        if len(same) > 1:
            reach = 0.42 * np.log1p(1 / size) * min(1.0, len(same) / 6)
            spread = np.exp(np.linspace(-reach, reach, len(same)))
            x[same[np.argsort(means[same])]] = size * spread
    return x


def _name_places(ax: Axes, x: Array, labels: list[str]) -> None:
    """Write the names of the groups along x if there is room for them."""
    if len(labels) > _MOST_NAMES:
        ax.set_xticks([])
        return
    names = short_labels(labels, 20)
    ax.set_xticks(x, names, **PLAIN)
    if max(map(len, names)) * len(names) > 80:
        ax.tick_params(axis="x", labelrotation=90)


def _name_most_moved(
    ax: Axes, x: Array, alone: Array, means: Array, labels: list[str]
) -> None:
    """Name the groups whose estimates pooling changes most."""
    moved = np.argsort(-np.nan_to_num(np.abs(alone - means)))[:_NAMED]
    for index in moved:
        ax.annotate(
            short_label(labels[index], 20),
            (x[index], alone[index]),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize="x-small",
            **PLAIN,
        )
