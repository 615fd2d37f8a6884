"""Pictures of what a model says in the outcome's unit: predictions and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote_list
from stanpool.base.options import Comparison, EffectGroups, EstimateFigure, SlopeKind
from stanpool.data.columns import names_in_terms
from stanpool.inference.effects.comparisons import comparisons
from stanpool.inference.effects.rows.grid import datagrid, roles_of
from stanpool.inference.effects.slopes import slopes
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import outcome_name
from stanpool.plots.parts.canvas import (
    figure_of,
    grey,
    heading,
    headline,
    in_style,
    legend,
    main_color,
    new_grid,
    tidy,
)
from stanpool.plots.parts.curves import (
    Curves,
    expected_along,
    variables_of,
    with_categories,
)
from stanpool.plots.parts.outcomes import outcome_label
from stanpool.plots.parts.unit_axis import unit_axis
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import FitResult

_MOST_PANELS = 12
_COLUMNS = 3


@public
@in_style
def plot_predictions(
    fit: FitResult,
    variables: str | Sequence[str] | Mapping[str, Any],
    *,
    newdata: Any = "mean",
    groups: EffectGroups | None = None,
    lines_of: str | None = None,
    spaghetti: int = 0,
    observed: bool = True,
    prob: float = 0.9,
    ax: Axes | None = None,
) -> Figure:
    """Draw expected outcomes along one to three variables, with their data.

    Parameters
    ----------
    fit
        A fit.
    variables
        The variables of the x axis, the colours and the panels, in this order, or a
        mapping from them to their values as for ``Fit.predictions``. If there are more
        values than colours, the second has thin lines without bands.
    newdata
        The values of everything else, as for ``Fit.predictions``: by default the means
        of numbers and the most frequent levels of factors. A data frame, such as the
        data themselves, stands for the average over its rows.
    groups
        Which group effects enter, as for ``Fit.predictions``.
    lines_of
        A grouping factor whose groups have thin lines of their own, up to 60 of them
        from the smallest to the largest.
    spaghetti
        How many lines of single posterior draws to draw instead of the band.
    observed
        Whether to draw the outcomes beneath: of up to 500 rows the outcomes themselves,
        of more rows, or if there are only two outcomes, means of 20 bins of rows.
    prob
        The probability of the band.
    ax
        The axes to draw on, if there are no panels; by default those of a new figure.

    Raises
    ------
    SpecError, DataError
        As for ``Fit.predictions``, or if there are more than three variables.
    """
    along = variables_of(fit, variables)
    asked = {each.name: each.values for each in along}
    table = expected_along(fit, asked, newdata, groups=groups, prob=prob)
    along = with_categories(fit, along, table)
    curves = Curves(fit, along, observed)
    if spaghetti:
        draws = expected_along(fit, asked, newdata, groups=groups, as_draws=True)
        curves = curves.with_draws(draws, spaghetti)
    if lines_of is not None:
        curves = curves.with_groups(lines_of, asked, newdata)
    title = f"Expected {short_label(outcome_name(fit.model.spec))}"
    return curves.drawn(table, title, _unit(fit), ax)


@public
@in_style
def plot_comparisons(
    fit: FitResult,
    variables: str | Sequence[str] | Mapping[str, Any] | None = None,
    *,
    condition: str | Sequence[str] | Mapping[str, Any] | None = None,
    comparison: Comparison | Callable[..., Any] = "difference",
    groups: EffectGroups | None = None,
    kind: EstimateFigure = "interval",
    prob: float = 0.9,
    ax: Axes | None = None,
) -> Figure:
    """Draw comparisons of expected outcomes: averages, or along a condition.

    Parameters
    ----------
    fit
        A fit.
    variables
        The variables whose values are compared, as for ``Fit.comparisons``; with a
        condition there is one.
    condition
        Up to three variables along which the comparison is drawn: on the x axis, in
        colours and in panels, with everything else typical. By default averages over
        the data are drawn, one below the other.
    comparison, groups
        As for ``Fit.comparisons``.
    kind
        For averages, ``"halfeye"`` also draws the density of each.
    prob
        The probability of intervals and bands.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError, DataError
        As for ``Fit.comparisons``.
    """

    def compared(**options: Any) -> pd.DataFrame:
        return comparisons(
            fit, variables, comparison=comparison, groups=groups, prob=prob, **options
        )

    word = comparison if isinstance(comparison, str) else "comparison"
    if condition is None:
        return _forest(fit, compared(as_draws=True), word, kind, prob, ax)
    return _conditional(fit, compared, condition, word, ax)


@public
@in_style
def plot_slopes(
    fit: FitResult,
    variables: str | Sequence[str] | None = None,
    *,
    slope: SlopeKind = "dydx",
    condition: str | Sequence[str] | Mapping[str, Any] | None = None,
    groups: EffectGroups | None = None,
    kind: EstimateFigure = "interval",
    prob: float = 0.9,
    ax: Axes | None = None,
) -> Figure:
    """Draw slopes of expected outcomes: averages, or along a condition.

    Parameters
    ----------
    fit
        A fit.
    variables
        The numeric variables, as for ``Fit.slopes``; with a condition there is one.
    slope
        Whether slopes or elasticities are drawn, as for ``Fit.slopes``.
    condition, groups, kind, prob, ax
        As for ``plot_comparisons``.

    Raises
    ------
    SpecError, DataError
        As for ``Fit.slopes``.
    """

    def sloping(**options: Any) -> pd.DataFrame:
        return slopes(fit, variables, slope=slope, groups=groups, prob=prob, **options)

    word = "slope" if slope == "dydx" else "elasticity"
    if condition is None:
        return _forest(fit, sloping(as_draws=True), word, kind, prob, ax)
    return _conditional(fit, sloping, condition, word, ax)


@public
@in_style
def plot_conditional_effects(
    fit: FitResult,
    *,
    groups: EffectGroups | None = None,
    observed: bool = True,
    prob: float = 0.9,
) -> Figure:
    """Draw expected outcomes along each predictor and each interaction of two.

    Everything else is typical: numbers are at their means, factors at their most
    frequent level. Up to 12 panels are drawn.

    Parameters
    ----------
    fit
        A fit.
    groups, observed, prob
        As for ``plot_predictions``.

    Raises
    ------
    SpecError
        If the model has no predictors.
    """
    chosen = _effects_of(fit)[:_MOST_PANELS]
    if not chosen:
        raise SpecError(f"{fit.model!r} has no predictors, so that it has no effects.")
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    figure, panels = new_grid(
        0.6 + 3.4 * columns, 0.6 + 2.9 * rows, rows=rows, columns=columns
    )
    axes = [each for row in panels for each in row]
    for own, names in zip(axes, chosen, strict=False):
        along = variables_of(fit, names)
        asked = {each.name: each.values for each in along}
        table = expected_along(fit, asked, "mean", groups=groups, prob=prob)
        along = with_categories(fit, along, table)
        if len(along) > 2:  # a panel has no panels: of categories, the first variable
            table = table[along[1].where(table, along[1].values[0])]
            along = [along[0], along[2]]
        curves = Curves(fit, along, observed)
        curves.panel(own, table)
        tidy(own, x=short_label(along[0].name), y=_unit(fit))
        if len(along) > 1:
            headline(own, f"by {short_label(along[1].name)}")
            if not curves.is_crowded:
                legend(own)
    for own in axes[len(chosen) :]:
        own.set_axis_off()
    heading(figure, f"Expected outcomes, everything else typical{_of_groups(table)}")
    return figure


def _effects_of(fit: FitResult) -> list[tuple[str, ...]]:
    """Return the predictors of the mean, and the pairs that interact."""
    spec, known = fit.model.spec, set(fit.model.data.columns)
    single = [(name,) for name in roles_of(fit.model).predictors]
    terms = [tuple(names_in_terms([term], known)) for term in spec.terms]
    return [*single, *dict.fromkeys(each for each in terms if len(each) == 2)]


def _unit(fit: FitResult) -> str:
    """Name what is expected: an outcome, or the probability of a level of it."""
    family = FAMILIES[fit.model.spec.family]
    if family.outcome in ("binary", "ordered", "categories"):
        return f"probability of {short_label(outcome_name(fit.model.spec))}"
    if fit.model.spec.trials is not None:
        return outcome_label(fit)
    return short_label(outcome_name(fit.model.spec))


def _of_groups(table: pd.DataFrame) -> str:
    """Say which group effects enter, as the table does."""
    return f" (group effects: {table.attrs['groups']})"


def _forest(
    fit: FitResult,
    draws: pd.DataFrame,
    word: str,
    kind: EstimateFigure,
    prob: float,
    ax: Axes | None,
) -> Figure:
    """Draw averages one below the other, with their intervals."""
    names = [name for name in draws.index.names if name != "groups"]
    frame = draws.index.to_frame(index=False)
    labels = [
        short_label(": ".join(str(row[name]) for name in names), 40)
        for row in frame.to_dict("records")
    ]
    word = word.replace("_", " ")
    units = unit_axis(
        ax,
        labels,
        many=f"{len(labels):,} quantities",
        values=f"{word} of expected {_unit(fit)}",
        tall=2.0 if kind == "halfeye" else 1.0,
    )
    words = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    headline(units.ax, f"Average {words}{_of_groups(draws)}")
    units.reference(1.0 if word.endswith("ratio") and "log" not in word else 0.0)
    units.intervals(
        draws.to_numpy(dtype=float).T,
        prob,
        color=main_color(),
        halfeye=kind == "halfeye",
    )
    return figure_of(units.ax)


def _conditional(
    fit: FitResult,
    compared: Callable[..., pd.DataFrame],
    condition: Any,
    word: str,
    ax: Axes | None,
) -> Figure:
    """Draw a comparison along up to three variables."""
    along = variables_of(fit, condition)
    grid = datagrid(fit, {each.name: each.values for each in along})
    table = compared(newdata=grid, by=False)
    found = list(dict.fromkeys(zip(table["term"], table["contrast"], strict=True)))
    if len(found) > 1:
        shown = [f"{a}: {b}" for a, b in found]
        raise SpecError(
            f"there are {len(found)} comparisons, {quote_list(shown)}; with a "
            "condition one is drawn. Name one variable, and two of its levels, as in "
            "{'treatment': ['a', 'b']}."
        )
    along = with_categories(fit, along, table)
    word = word.replace("_", " ")
    term, contrast = found[0]
    title, y = (
        f"{short_label(term)}: {short_label(contrast)}",
        f"{word} of {_unit(fit)}",
    )
    figure = Curves(fit, along).drawn(table, title, y, ax)
    null = 1.0 if word.endswith("ratio") and "log" not in word else 0.0
    for own in figure.axes if ax is None else [ax]:
        own.axhline(null, color=grey(), linewidth=0.8, zorder=0.5)
    return figure
