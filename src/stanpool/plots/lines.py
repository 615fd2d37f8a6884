"""Regressions of groups: their lines with the data, and their coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.data.columns import names_in_terms
from stanpool.inference.diagnostics.funnel import group_mean
from stanpool.inference.prediction.predict import epred
from stanpool.language.expression import Call, Name, parse, written
from stanpool.language.family import FAMILIES
from stanpool.language.formula import outcome_name, quote_name, unquote_name
from stanpool.plots.canvas import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    PLAIN,
    figure_of,
    headline,
    legend,
    new_grid,
    on,
    tidy,
)
from stanpool.plots.groups import factor_of, group_draws, unit_of, with_model
from stanpool.posterior.intervals import interval_levels
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import FitResult, HasPosterior

_NO_POOLING: dict[str, Any] = {"color": GREY, "label": "no pooling"}
_COMPLETE: dict[str, Any] = {"color": ORANGE, "label": "complete pooling"}
_COLUMNS = 4
_MOST_PANELS = 40
_POINTS = 25
_DRAWS = 400
_MOST_INTERVALS = 300


@public
def plot_lines(
    fit: HasPosterior,
    no_pooling: FitResult | None = None,
    *,
    complete: FitResult | None = None,
    predictor: str | None = None,
    factor: str | None = None,
    groups: Sequence[Any] | None = None,
    count: int = 12,
    prob: float = 0.9,
) -> Figure:
    """Draw the regression line of each group with its data, in a panel for each.

    The line is the expected outcome, with its posterior band, for the mean of all other
    predictors in the group and of all other grouping factors.

    Parameters
    ----------
    fit
        A fit with groups, usually partially pooled; or draws of an exact sampler.
    no_pooling, complete
        Fits of the model with no and with complete pooling, whose lines are added.
    predictor
        A numeric column; by default the first numeric predictor.
    factor
        The grouping factor; by default the first.
    groups
        The groups, at most 40; by default ``count`` of them, from the smallest to the
        largest.
    count
        The number of groups if ``groups`` is not given.
    prob
        The probability of the band.

    Raises
    ------
    SpecError
        If there is no such predictor, factor or group, or the outcome is categorical.
    """
    fit = with_model(fit)
    if FAMILIES[fit.model.spec.family].outcome in ("ordered", "categories"):
        raise SpecError(
            f"family={fit.model.spec.family!r} has no expected outcome to draw; see "
            "plot_predictive."
        )
    varied = _rows_of_groups(fit, factor)
    name = _numeric(fit, predictor)
    chosen = _chosen(varied, groups, count)
    grids = [_grid(fit, varied, name, group) for group in chosen]
    bands = _expectations(fit, grids, [varied.factor], prob)
    others = []
    for other, style in ((no_pooling, _NO_POOLING), (complete, _COMPLETE)):
        if other is not None:
            terms = [varied.factor] if other.model.design.factors else None
            others.append((_expectations(other, grids, terms, prob), style))
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    width, height = 0.8 + 2.3 * columns, 0.8 + 1.9 * rows
    figure, panels = new_grid(width, height, rows=rows, columns=columns)
    axes = [ax for row in panels for ax in row]
    x, y = fit.model.data[name].to_numpy(dtype=float), _outcomes(fit)
    low, high = _limits(y, [band[1] for band in bands])
    for place, (ax, group) in enumerate(zip(axes, chosen, strict=False)):
        own = varied.index == group
        lower, middle, upper = bands[place]
        at = grids[place][name].to_numpy(dtype=float)
        ax.fill_between(at, lower, upper, color=BLUE, alpha=0.2, linewidth=0)
        for lines, style in others:
            ax.plot(at, lines[place][1], linewidth=1.2, **style)
        ax.plot(at, middle, color=BLUE, linewidth=1.8, label=_pooling_of(fit))
        size = float(np.clip(300 / max(own.sum(), 1), 3, 14))
        spread = _spread(x[own], at)
        ax.scatter(spread, y[own], s=size, color=INK, alpha=0.6, linewidth=0, zorder=3)
        headline(ax, f"{short_label(varied.labels[group], 20)} (n={int(own.sum()):,})")
        tidy(ax, x="", y="")
        ax.set_ylim(low, high)
        if place % columns:
            ax.set_yticklabels([])
    for ax in axes[len(chosen) :]:
        ax.set_axis_off()
    figure.supxlabel(short_label(name), color=INK, fontsize="medium", **PLAIN)
    figure.supylabel(_outcome_label(fit), color=INK, fontsize="medium", **PLAIN)
    handles = axes[0].get_legend_handles_labels()
    figure.legend(
        *handles, loc="outside upper left", ncols=3, frameon=False, labelcolor=INK
    )
    return figure


@public
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
    ax.fill_between(at, low, high, color=ORANGE, alpha=0.2, linewidth=0)
    ax.plot(at, middle, color=ORANGE, linewidth=1.8, label="mean of the population")
    low, high, middle = np.quantile(values, levels, axis=0)
    if len(x) <= _MOST_INTERVALS:
        label = f"{prob:.0%} interval"
        ax.vlines(x, low, high, color=BLUE, alpha=0.3, linewidth=1, label=label)
    name = short_label(varied.factor)
    size = float(np.clip(1500 / len(x), 4, 22))
    ax.scatter(x, middle, s=size, color=BLUE, zorder=3, label=f"each {name}")
    label = fit.model.design.coefficients[effect]
    tidy(
        ax,
        x=short_label(label),
        y=f"{short_label(coefficient)} of each {name} ({unit_of(fit)})",
    )
    legend(ax)
    return figure_of(ax)


def _rows_of_groups(fit: FitResult, factor: str | None) -> FactorDesign:
    """Return a factor of which each row is in one group."""
    factors = {each.factor: each for each in fit.model.design.factors}
    name = next(iter(factors), None) if factor is None else factor
    coefficients = factors[name].coefficients if name in factors else ("",)
    varied = factor_of(fit, name, coefficients[0])
    if varied.index.ndim > 1:
        raise SpecError(
            f"rows are members of several groups of {quote(varied.factor)}, so that "
            "no group has rows of its own."
        )
    return varied


def _numeric(fit: FitResult, predictor: str | None) -> str:
    """Return the numeric column of the x axis."""
    import pandas as pd

    spec, data = fit.model.spec, fit.model.data
    given = [spec.trials, spec.exposure, spec.se, spec.weights]
    texts = [spec.outcome, *(each for each in given if each is not None)]
    kept = set(names_in_terms(texts, set(data.columns)))
    known = [
        str(name)
        for name in data.columns
        if not isinstance(data[name].dtype, pd.CategoricalDtype) and name not in kept
    ]
    # All columns but those of the outcome, first those that are terms.
    terms = {unquote_name(term) or term for term in spec.terms}
    known.sort(key=lambda name: name not in terms)
    if not known:
        raise SpecError(f"{fit.model!r} has no numeric predictor to draw lines over.")
    if predictor is None:
        return known[0]
    if predictor not in known:
        raise SpecError(
            f"predictor={quote(predictor)} is not a numeric predictor of the model; "
            f"it has {quote_list(known)}.{suggestion(str(predictor), known)}"
        )
    return predictor


def _chosen(
    varied: FactorDesign, groups: Sequence[Any] | None, count: int
) -> list[int]:
    """Return the groups to draw, by default from the smallest to the largest."""
    if groups is None:
        seen = np.flatnonzero(varied.sizes > 0)
        order = seen[np.argsort(varied.sizes[seen], kind="stable")]
        count = min(count, len(order), _MOST_PANELS)
        places = np.unique(np.linspace(0, len(order) - 1, count).round().astype(int))
        return [int(group) for group in order[places]]
    places_of = {label: place for place, label in enumerate(varied.labels)}
    for label in groups:
        if label not in places_of:
            known = [str(each) for each in places_of]
            raise SpecError(
                f"groups has {quote(label)}, which is not a group of "
                f"{quote(varied.factor)}.{suggestion(str(label), known)}"
            )
    if not 0 < len(groups) <= _MOST_PANELS:
        raise SpecError(
            f"groups has {len(groups)} groups; between 1 and {_MOST_PANELS} are drawn."
        )
    return [places_of[label] for label in groups]


def _grid(fit: FitResult, varied: FactorDesign, name: str, group: int) -> pd.DataFrame:
    """Return rows of one group along a predictor, with typical other predictors."""
    import pandas as pd

    data, spec = fit.model.data, fit.model.spec
    column = data[name].to_numpy(dtype=float)
    values = np.unique(column)
    if len(values) > _POINTS:
        values = np.linspace(values[0], values[-1], _POINTS)
    own = data[varied.index == group]
    sizes = [each for each in (spec.trials, spec.exposure) if each is not None]
    of_sizes = set(names_in_terms(sizes, set(data.columns)))
    typical: dict[str, Any] = {}
    for each in data.columns:
        if own[each].dtype == bool or isinstance(own[each].dtype, pd.CategoricalDtype):
            level = (own if len(own) else data)[each].mode().iloc[0]
            same = pd.Series([level] * len(values))
            typical[each] = same.astype(data[each].dtype)
        elif quote_name(str(each)) in sizes:
            typical[each] = np.ones(len(values))
        elif each in of_sizes:  # these may have to be whole numbers
            typical[each] = np.full(
                len(values), (own if len(own) else data)[each].iloc[0]
            )
        else:
            typical[each] = np.full(len(values), own[each].mean())
    return pd.DataFrame(typical | {name: values})


def _expectations(
    fit: FitResult, grids: Sequence[pd.DataFrame], terms: list[str] | None, prob: float
) -> list[Array]:
    """Return the lower end, median and upper end along each grid, ``(3, points)``."""
    import pandas as pd

    available = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    rows = pd.concat(grids, ignore_index=True)
    expected = epred(fit, rows, draws=min(_DRAWS, available), group_terms=terms)
    flat = expected.transpose("chain", "draw", "row").to_numpy()
    flat = flat.reshape(-1, flat.shape[2]) / _sizes(fit, rows)
    low, high = interval_levels(prob)
    found = np.quantile(flat, (low, 0.5, high), axis=0)
    ends = np.cumsum([len(grid) for grid in grids])[:-1]
    return list(np.split(found, ends, axis=1))


def _outcomes(fit: FitResult) -> Array:
    """Return outcomes on the scale of the lines, which may be shares or rates."""
    y = fit.model.design.y.astype(float)
    return np.asarray(y / _sizes(fit, fit.model.data))


def _sizes(fit: FitResult, rows: pd.DataFrame) -> Array:
    """Return the trials or the exposure of rows, or ones."""
    spec, recipes = fit.model.spec, fit.model.design.recipes
    text = spec.trials or spec.exposure
    if text is None or recipes is None:
        return np.ones(len(rows))
    sizes = recipes.expressions[text].of(rows)
    return np.maximum(sizes, 1) if spec.trials else np.asarray(sizes)


def _outcome_label(fit: FitResult) -> str:
    spec = fit.model.spec
    name = short_label(outcome_name(spec))
    if spec.trials is not None:
        return f"{name}, share of {short_label(_bare(spec.trials))}"
    return f"{name} / {short_label(_bare(spec.exposure))}" if spec.exposure else name


def _bare(text: str) -> str:
    """Return an expression as it is written in labels."""
    node = parse(text)
    shown = written(node, bare=True)
    return shown if isinstance(node, Name | Call) else f"({shown})"


def _pooling_of(fit: FitResult) -> str:
    pooling = fit.model.spec.pooling
    return {"none": "no pooling", "complete": "complete pooling"}.get(
        pooling, "partial pooling"
    )


def _limits(y: Array, lines: Sequence[Array]) -> tuple[float, float]:
    low = min(float(y.min()), *(float(line.min()) for line in lines))
    high = max(float(y.max()), *(float(line.max()) for line in lines))
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _spread(x: Array, at: Array) -> Array:
    """Jitter points at few distinct values, always in the same way."""
    if len(at) > 5:
        return x
    reach = 0.04 * (at[-1] - at[0])
    return np.asarray(x + np.random.default_rng(0).uniform(-reach, reach, len(x)))


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
