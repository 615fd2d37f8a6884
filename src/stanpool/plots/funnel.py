"""The funnel: a scale against one group's coefficient, divergent draws marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stanpool.diagnostics.funnel import Funnel, measure_funnels
from stanpool.errors import SpecError, listed, shorten, suggestion
from stanpool.plots.canvas import (
    BLUE,
    INK,
    ORANGE,
    PLAIN,
    log_axis,
    new_figure,
    on_paper,
    tidy,
)
from stanpool.posterior import GroupNames

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.fit import Fit

Array = NDArray[np.float64]


def plot_funnel(
    fits: Fit | Mapping[str, Fit],
    *,
    coefficient: str | None = None,
    group: str | None = None,
) -> Figure:
    """Draw the scale of a coefficient against the coefficient of one group.

    Several fits are drawn side by side on the same axes limits. Draws that reach the
    narrow neck in one form and not in another show what the other missed.

    Parameters
    ----------
    fits
        A partially pooled fit, or several by name.
    coefficient
        Which varying coefficient; by default the one whose divergences sit at small
        ``tau``, else the one that groups know least about.
    group
        Which group; by default the one closest to the mean at divergent draws, else
        the one that knows least about its coefficient.

    Raises
    ------
    SpecError
        If a fit is not partially pooled, or has no such coefficient or group.
    """
    named = dict(fits) if isinstance(fits, Mapping) else {"": fits}
    for fit in named.values():
        if fit.model.parameterization is None:
            raise SpecError(
                f"{fit.model!r} has no funnel: pooling is not partial. Give partially "
                "pooled fits."
            )
    design = next(iter(named.values())).model.design
    labels = [str(label) for label in design.group_labels]
    known = {"coefficient": design.varying, "group": labels}
    for name, value in (("coefficient", coefficient), ("group", group)):
        if value is not None and value not in known[name]:
            raise SpecError(
                f"{name}={shorten(value)} is not one of {listed(known[name])}."
                + suggestion(value, known[name])
            )
    if coefficient is None or group is None:
        chosen = _most_affected(list(named.values()), coefficient)
        coefficient = chosen.coefficient
        group = group or _group_of(chosen, labels)

    points = {
        name: _points(fit, coefficient, labels.index(group))
        for name, fit in named.items()
    }
    figure, axes = new_figure(1 + 3.6 * len(points), 4, columns=len(points))
    for ax, (name, each) in zip(axes, points.items(), strict=True):
        _draw(ax, name, *each)
        tidy(
            ax,
            x=f"{on_paper(coefficient)} of {on_paper(design.factor)} {on_paper(group)}",
            y="",
        )
    tau = f"{on_paper(GroupNames.of(str(design.factor)).tau)}[{on_paper(coefficient)}]"
    axes[0].set_ylabel(f"{tau}, log scale", color=INK, **PLAIN)
    _set_limits(axes[0], list(points.values()))
    return figure


def _most_affected(fits: list[Fit], coefficient: str | None) -> Funnel:
    """Choose the coefficient whose neck is most marked, else the least informed."""
    funnels = [
        funnel
        for fit in fits
        for funnel in measure_funnels(
            fit.posterior,
            fit.sample_stats["diverging"].to_numpy(),
            factor=str(fit.model.design.factor),
        )
        if coefficient in (None, funnel.coefficient)
    ]
    return min(
        funnels,
        key=lambda each: (
            (0, each.location.auc)
            if each.location is not None and each.has_neck
            else (1, each.median_information)
        ),
    )


def _group_of(funnel: Funnel, labels: list[str]) -> str:
    if funnel.nearest:
        return funnel.nearest[0]
    return labels[int(np.argmin(funnel.information))]


def _points(
    fit: Fit, coefficient: str, group: int
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return coefficient, scale and divergence of each draw, shape ``(draw,)``."""
    names = GroupNames.of(str(fit.model.design.factor))
    at = {names.coefficient: coefficient}
    return (
        fit.posterior[names.b].sel(at).isel({names.group: group}).to_numpy().ravel(),
        fit.posterior[names.tau].sel(at).to_numpy().ravel(),
        fit.sample_stats["diverging"].to_numpy().ravel(),
    )


def _draw(
    ax: Axes, name: str, b: Array, tau: Array, diverging: NDArray[np.bool_]
) -> None:
    fine, count = ~diverging, int(diverging.sum())
    for chosen, size, color, alpha in (
        (fine, 5, BLUE, 0.25),
        (diverging, 12, ORANGE, 0.8),
    ):
        ax.scatter(
            b[chosen],
            tau[chosen],
            s=size,
            color=color,
            alpha=alpha,
            linewidth=0,
            rasterized=True,
        )
    ax.set_title(on_paper(name), loc="left", color=INK, fontsize="medium", **PLAIN)
    ax.set_title(
        f"{count:,} divergent" if count else "no divergences",
        loc="right",
        color=ORANGE if count else INK,
        fontsize="medium",
    )


def _set_limits(ax: Axes, points: list[tuple[Array, Array, NDArray[np.bool_]]]) -> None:
    """Show nearly all draws of every fit; a few in far tails are left outside."""
    b = np.concatenate([each[0] for each in points])
    tau = np.concatenate([each[1] for each in points])
    left, right = np.quantile(b, (0.001, 0.999))
    margin = 0.05 * (right - left)
    ax.set_xlim(left - margin, right + margin)
    bottom, top = np.quantile(tau[tau > 0], (0.002, 1))
    log_axis(ax, "y", bottom / 1.2, top * 1.2)
