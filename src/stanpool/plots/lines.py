"""Regressions of groups: the line of each, with its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.base.options import POOLING_IN_WORDS
from stanpool.data.columns import names_in_terms
from stanpool.inference.prediction.predict import epred
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import quote_name, unquote_name
from stanpool.plots.parts.canvas import (
    PLAIN,
    grey,
    heading_and_legend,
    headline,
    in_style,
    ink,
    main_color,
    mark_color,
    new_grid,
    tidy,
)
from stanpool.plots.parts.groups import factor_of, with_model
from stanpool.plots.parts.outcomes import outcome_label, outcomes_of, sizes_of
from stanpool.posterior.intervals import interval_levels
from stanpool.posterior.scalars import short_label, short_labels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import FitResult, HasPosterior

_COLUMNS = 4
_MOST_PANELS = 40
_POINTS = 25
_DRAWS = 400
_FEW_VALUES = 5


@public
@in_style
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
        A column of a predictor; by default the first numeric one that varies within
        groups. A factor, and a predictor of two values, is drawn as points.
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
    if FAMILIES[fit.model.spec.family].has_categories:
        raise SpecError(
            f"family={fit.model.spec.family!r} has no expected outcome to draw; see "
            "plot_predictive."
        )
    varied = _rows_of_groups(fit, factor)
    name = _predictor(fit, varied, predictor)
    chosen = _chosen(varied, groups, count)
    values = _values(fit.model.data[name])
    rows = [_rows(fit, varied, name, values, group) for group in chosen]
    own = _Lines(_pooling_of(fit), main_color(), _expect(fit, rows, [varied], prob))
    others = []
    for other, color, label in (
        (no_pooling, grey(), "no pooling"),
        (complete, mark_color(), "complete pooling"),
    ):
        if other is not None:
            terms = [varied] if other.model.design.factors else None
            others.append(_Lines(label, color, _expect(other, rows, terms, prob)))
    columns = min(_COLUMNS, len(chosen))
    height = -(-len(chosen) // columns)
    figure, panels = new_grid(
        0.8 + 2.3 * columns, 1.1 + 1.9 * height, rows=height, columns=columns
    )
    axes = [ax for row in panels for ax in row]
    x, y = _places(fit.model.data[name], values), outcomes_of(fit)
    ends = _limits(y, own.bands)
    for place, (ax, group) in enumerate(zip(axes, chosen, strict=False)):
        in_group = varied.index == group
        _draw_panel(ax, values, [*others, own], place, x[in_group], y[in_group])
        size = int(in_group.sum())
        headline(ax, f"{short_label(varied.labels[group], 20)} (n={size:,})")
        ax.set_ylim(ends)
        if place % columns:
            ax.set_yticklabels([])
    for ax in axes[len(chosen) :]:
        ax.set_axis_off()
    outcome = outcome_label(fit)
    figure.supxlabel(short_label(name), color=ink(), fontsize="medium", **PLAIN)
    figure.supylabel(outcome, color=ink(), fontsize="medium", **PLAIN)
    of, shown = short_label(varied.factor), f"median and {prob:.0%} interval"
    title = f"Expected {outcome} of each {of}: {shown}"
    heading_and_legend(figure, title, *axes[0].get_legend_handles_labels())
    return figure


@dataclass(frozen=True, eq=False)
class _Lines:
    """The expected outcomes of one fit.

    Attributes
    ----------
    label, color
        Of the fit.
    bands
        For each group the lower end, median and upper end, shape ``(3, point)``.
    """

    label: str
    color: str
    bands: list[Array]


def _draw_panel(
    ax: Axes, values: pd.Series, fits: Sequence[_Lines], place: int, x: Array, y: Array
) -> None:
    """Draw the data of a group, and the lines of fits, of which the last has a band.

    Where the predictor has two values or is a factor, nothing is between them, so that
    there are points with intervals instead of lines.
    """
    at = _places(values, values)
    is_factor = _is_factor(values) or len(at) <= 2
    tidy(ax, x="", y="")
    size = float(np.clip(300 / max(len(y), 1), 3, 14))
    ax.scatter(_spread(x, at), y, s=size, color=ink(), alpha=0.5, linewidth=0)
    for number, fit in enumerate(fits):
        low, middle, high = fit.bands[place]
        is_main = fit is fits[-1]
        if is_factor:
            moved = at + 0.1 * (number - len(fits) + 1) * (at[-1] - at[0] or 1)
            if is_main:
                ax.vlines(moved, low, high, color=fit.color, linewidth=2, zorder=3)
            ax.scatter(moved, middle, s=22, color=fit.color, zorder=4, label=fit.label)
            continue
        width = 1.8 if is_main else 1.2
        ax.plot(at, middle, color=fit.color, linewidth=width, label=fit.label)
        if is_main:
            ax.fill_between(at, low, high, color=fit.color, alpha=0.2, linewidth=0)
    if is_factor:
        step = at[-1] - at[0] if len(at) == 2 else 1.0
        ax.set_xlim(at[0] - 0.5 * step, at[-1] + 0.5 * step)
    if is_factor or len(at) <= _FEW_VALUES:
        shown = values if _is_factor(values) else [f"{each:g}" for each in at]
        labels = short_labels(shown, 12)
        ax.set_xticks(at, labels, **PLAIN)


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


def _predictor(fit: FitResult, varied: FactorDesign, predictor: str | None) -> str:
    """Return the column of the x axis.

    By default it is the first term that is numeric and varies within groups; others
    come after those, since a line that no group has data for says little about it.
    """
    spec, data = fit.model.spec, fit.model.data
    given = [spec.trials, spec.exposure, spec.se, spec.weights]
    texts = [spec.outcome, *(each for each in given if each is not None)]
    kept = set(names_in_terms(texts, set(data.columns)))
    terms = {unquote_name(term) or term for term in spec.terms}
    known = [
        str(name)
        for name in data.columns
        if name not in kept and (name in terms or not _is_factor(data[name]))
    ]
    if predictor is None:
        if not known:
            raise SpecError(f"{fit.model!r} has no predictor to draw lines over.")

        slopes = {unquote_name(each) or each for each in varied.coefficients}

        def rank(name: str) -> tuple[bool, ...]:
            column = data[name]
            is_same = column.groupby(varied.index).nunique().max() < 2
            is_binary = column.nunique() < 3
            is_slope, is_term = name in slopes, name in terms
            return not is_term, _is_factor(column), is_same, not is_slope, is_binary

        return min(known, key=rank)
    if predictor not in known:
        raise SpecError(
            f"predictor={quote(predictor)} is not a predictor of the model; it has "
            f"{quote_list(known) or 'none'}.{suggestion(str(predictor), known)}"
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


def _is_factor(column: pd.Series) -> bool:
    import pandas as pd

    return isinstance(column.dtype, pd.CategoricalDtype)


def _values(column: pd.Series) -> pd.Series:
    """Return the values of a predictor to draw: all levels, or along its range."""
    import pandas as pd

    values = column.dropna().drop_duplicates().sort_values(ignore_index=True)
    if _is_factor(column) or len(values) <= _POINTS:
        return values
    low, high = float(values.iloc[0]), float(values.iloc[-1])
    return pd.Series(np.linspace(low, high, _POINTS))


def _places(column: pd.Series, values: pd.Series) -> Array:
    """Return where values of a predictor stand along x: levels one after the other."""
    if not _is_factor(column):
        return column.to_numpy(dtype=float)
    place_of = {level: float(place) for place, level in enumerate(values)}
    return np.array([place_of[level] for level in column])


def _rows(
    fit: FitResult, varied: FactorDesign, name: str, values: pd.Series, group: int
) -> pd.DataFrame:
    """Return rows of one group along a predictor, with typical other predictors."""
    import pandas as pd

    data, spec = fit.model.data, fit.model.spec
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


def _expect(
    fit: FitResult,
    grids: Sequence[pd.DataFrame],
    factors: list[FactorDesign] | None,
    prob: float,
) -> list[Array]:
    """Return the lower end, median and upper end along each grid, ``(3, points)``."""
    import pandas as pd

    terms = None if factors is None else [each.factor for each in factors]
    available = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    rows = pd.concat(grids, ignore_index=True)
    expected = epred(fit, rows, draws=min(_DRAWS, available), group_terms=terms)
    flat = expected.transpose("chain", "draw", "row").to_numpy()
    flat = flat.reshape(-1, flat.shape[2]) / sizes_of(fit, rows)
    low, high = interval_levels(prob)
    found = np.quantile(flat, (low, 0.5, high), axis=0)
    ends = np.cumsum([len(grid) for grid in grids])[:-1]
    return list(np.split(found, ends, axis=1))


def _pooling_of(fit: FitResult) -> str:
    return POOLING_IN_WORDS[fit.model.spec.pooling]


def _limits(y: Array, lines: Sequence[Array]) -> tuple[float, float]:
    low = min(float(y.min()), *(float(line.min()) for line in lines))
    high = max(float(y.max()), *(float(line.max()) for line in lines))
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin


def _spread(x: Array, at: Array) -> Array:
    """Jitter points at few distinct values, always in the same way."""
    if len(at) > _FEW_VALUES:
        return x
    reach = 0.04 * (at[-1] - at[0] or 1)
    return np.asarray(x + np.random.default_rng(0).uniform(-reach, reach, len(x)))
