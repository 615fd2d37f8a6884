"""The funnel: a scale and the coefficient of one group, with divergences marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, check_choice
from stanpool.inference.diagnostics.funnel import Funnel, measure_funnels
from stanpool.model.fit_result import diverging
from stanpool.model.terms.names import GroupNames
from stanpool.plots.parts.canvas import (
    PLAIN,
    headline,
    in_style,
    ink,
    log_axis,
    main_color,
    mark_color,
    new_figure,
    on_paper,
    tidy,
)
from stanpool.plots.parts.groups import with_model
from stanpool.posterior.recenter import center_fit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import FitResult, HasPosterior


@public
@in_style
def plot_funnel(
    fits: HasPosterior | Mapping[str, HasPosterior],
    *,
    factor: str | None = None,
    coefficient: str | None = None,
    group: str | None = None,
) -> Figure:
    """Draw the scale of a coefficient against the coefficient of one group.

    Several fits are drawn side by side with the same limits. If the draws of one form
    reach into the narrow neck and those of another do not, the latter is biased.

    Parameters
    ----------
    fits
        A partially pooled fit, or several of the same data by name.
    factor, coefficient
        The grouping factor and varying coefficient; by default those with divergences
        at small ``tau``, or those about which the data are least informative.
    group
        The group; by default the one closest to the mean at divergent draws, or the one
        whose data are least informative.

    Raises
    ------
    SpecError
        If a fit is not partially pooled, or has no such factor, coefficient or group.
    """
    given = dict(fits) if isinstance(fits, Mapping) else {"": fits}
    if not given:
        raise SpecError("fits={} is empty; pass at least one partially pooled fit.")
    named = {name: with_model(fit) for name, fit in given.items()}
    for fit in named.values():
        if fit.model.parameterization is None:
            raise SpecError(
                f"{fit.model!r} has no funnel, because pooling is not partial. Pass "
                "partially pooled fits."
            )
    # In the parameters of the sampler.
    named = {name: center_fit(fit) for name, fit in named.items()}
    funnel = _most_affected(list(named.values()), factor, coefficient)
    group = _group_of(funnel, next(iter(named.values())), group)
    points = {name: _points(fit, funnel, group) for name, fit in named.items()}
    from matplotlib.ticker import MaxNLocator

    figure, axes = new_figure(1 + 3.6 * len(points), 4, columns=len(points))
    x = " ".join(map(on_paper, (f"{funnel.coefficient} of", funnel.factor, group)))
    for ax, (name, each) in zip(axes, points.items(), strict=True):
        _draw(ax, name, *each)
        tidy(ax, x=x, y="")
        ax.xaxis.set_major_locator(MaxNLocator(5))
    axes[0].set_ylabel(f"{on_paper(funnel.tau)}, log scale", **PLAIN)
    _set_limits(axes[0], list(points.values()))
    return figure


def _most_affected(
    fits: list[FitResult], factor: str | None, coefficient: str | None
) -> Funnel:
    """Choose the coefficient with the clearest neck, or the least informed one."""
    funnels = [
        funnel
        for fit in fits
        for funnel in measure_funnels(
            fit.posterior,
            diverging(fit),
            design=fit.model.design,
        )
    ]
    for given, name in ((factor, "factor"), (coefficient, "coefficient")):
        known = list(dict.fromkeys(getattr(funnel, name) for funnel in funnels))
        if given is not None:
            check_choice(name, given, known)
        funnels = [each for each in funnels if given in (None, getattr(each, name))]
    return min(
        funnels,
        key=lambda each: (
            (0, each.location.auc)
            if each.location is not None and each.has_neck
            else (1, each.median_information)
        ),
    )


def _group_of(funnel: Funnel, fit: FitResult, group: str | None) -> str:
    """Check the group, or choose the one that the funnel affects most."""
    labels = _labels(fit, funnel)
    if group is None:
        return next(iter(funnel.nearest), labels[int(np.argmin(funnel.information))])
    check_choice("group", group, labels)
    return group


def _labels(fit: FitResult, funnel: Funnel) -> list[str]:
    (labels,) = (
        each.labels for each in fit.model.design.factors if each.factor == funnel.factor
    )
    return [str(label) for label in labels]


def _points(
    fit: FitResult, funnel: Funnel, group: str
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Return coefficient, scale and divergence of each draw, shape ``(draw,)``."""
    names = GroupNames.of(funnel.factor)
    at = {names.coefficient: funnel.coefficient}
    place = {names.group: _labels(fit, funnel).index(group)}
    return (
        fit.posterior[names.b].sel(at).isel(place).to_numpy().ravel(),
        fit.posterior[names.tau].sel(at).to_numpy().ravel(),
        diverging(fit).ravel(),
    )


def _draw(
    ax: Axes, name: str, b: Array, tau: Array, diverging: NDArray[np.bool_]
) -> None:
    fine, count = ~diverging, int(diverging.sum())
    for chosen, size, color, alpha in (
        (fine, 5, main_color(), 0.25),
        (diverging, 12, mark_color(), 0.8),
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
    headline(ax, on_paper(name))
    ax.set_title(
        f"{count:,} divergent" if count else "no divergences",
        loc="right",
        color=mark_color() if count else ink(),
        fontsize="medium",
    )


def _set_limits(ax: Axes, points: list[tuple[Array, Array, NDArray[np.bool_]]]) -> None:
    """Show nearly all draws of every fit, without a few in the far tails."""
    b = np.concatenate([each[0] for each in points])
    tau = np.concatenate([each[1] for each in points])
    left, right = np.quantile(b, (0.001, 0.999))
    margin = 0.05 * (right - left) or 1.0
    ax.set_xlim(left - margin, right + margin)
    bottom, top = np.quantile(tau[tau > 0], (0.002, 1))
    log_axis(ax, "y", bottom / 1.2, top * 1.2)
