"""Coefficients of groups against a predictor of groups, with the regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.inference.diagnostics.funnel import group_mean
from stanpool.plots.parts.canvas import (
    figure_of,
    headline,
    in_style,
    legend,
    main_color,
    mark_color,
    on,
    tidy,
)
from stanpool.plots.parts.groups import factor_of, group_draws, unit_of, with_model
from stanpool.posterior.intervals import interval_levels
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import FitResult, HasPosterior

_MOST_INTERVALS = 300


@public
@in_style
def plot_group_regression(
    fit: HasPosterior,
    *,
    predictor: str | None = None,
    factor: str | None = None,
    coefficient: str = "Intercept",
    prob: float = 0.9,
    ax: Axes | None = None,
) -> Figure:
    """Draw group coefficients against a group-level predictor, with the regression.

    Parameters
    ----------
    fit
        A partially pooled fit with a predictor that is constant within groups.
    predictor
        The population coefficient, such as ``"log_uranium"``; by default that of the
        first group-level predictor of the coefficient.
    factor, coefficient
        The grouping factor, by default the first, and one of its coefficients.
    prob
        The probability of the intervals and the band.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If the coefficient has no group-level predictor.
    """
    fit = with_model(fit)
    varied = factor_of(fit, factor, coefficient)
    place, effect = _moving(fit, varied, coefficient, predictor)
    assert varied.U is not None
    x = varied.U[:, place]
    draws = group_draws(fit, varied, coefficient)
    values = draws.reshape(-1, draws.shape[2])
    beta = fit.posterior["beta"].isel(coefficient=effect).to_numpy()
    mean = group_mean(fit.posterior, fit.model.design, varied, coefficient)
    rest = (mean - beta[..., None] * x).mean(axis=2).reshape(-1, 1)
    at = np.linspace(x.min(), x.max(), 50)
    line = rest + beta.reshape(-1, 1) * at
    levels = (*interval_levels(prob), 0.5)
    ax = on(ax, 7, 4.5)
    low, high, middle = np.quantile(line, levels, axis=0)
    ax.fill_between(at, low, high, color=mark_color(), alpha=0.2, linewidth=0)
    ax.plot(
        at, middle, color=mark_color(), linewidth=1.8, label="mean of the population"
    )
    low, high, middle = np.quantile(values, levels, axis=0)
    if len(x) <= _MOST_INTERVALS:
        label = f"{prob:.0%} interval"
        ax.vlines(x, low, high, color=main_color(), alpha=0.3, linewidth=1, label=label)
    name = short_label(varied.factor)
    headline(ax, f"{short_label(coefficient)} of each {name}, by what predicts it")
    size = float(np.clip(1500 / len(x), 4, 22))
    ax.scatter(x, middle, s=size, color=main_color(), zorder=3, label=f"each {name}")
    label = fit.model.design.coefficients[effect]
    tidy(
        ax,
        x=short_label(label),
        y=f"{short_label(coefficient)} of each {name} ({unit_of(fit)})",
    )
    legend(ax)
    return figure_of(ax)


def _moving(
    fit: FitResult, varied: FactorDesign, coefficient: str, predictor: str | None
) -> tuple[int, int]:
    """Return the column and the effect of a group-level predictor of a coefficient."""
    known: dict[str, tuple[int, int]] = {}
    if varied.effect_of is not None and not varied.predictors_of:
        column = varied.effect_of[:, varied.varying.index(coefficient)]
        for place in np.flatnonzero(column).tolist():
            effect = int(column[place]) - 1
            known[fit.model.design.coefficients[effect]] = (place, effect)
    if not known or fit.model.spec.pooling != "partial":
        raise SpecError(
            f"{quote(coefficient)} of {quote(varied.factor)} has no group-level "
            f"predictor in {fit.model!r}; add a predictor that is constant within "
            "groups to the formula."
        )
    name = next(iter(known)) if predictor is None else predictor
    if name not in known:
        raise SpecError(
            f"predictor={quote(name)} is not a group-level predictor of "
            f"{quote(coefficient)}; {quote_list(known)} are."
            + suggestion(str(name), known)
        )
    return known[name]
