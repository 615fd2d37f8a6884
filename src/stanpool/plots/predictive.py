"""Predictive checks: observed outcomes, and outcomes drawn from the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import LARGE_ARRAY, Array
from stanpool.base.errors import SpecError, quote
from stanpool.base.options import OutcomeFigure
from stanpool.inference.prediction.predict import predict
from stanpool.inference.prediction.prior_predictive import prior_predictive
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import outcome_name
from stanpool.plots.parts.canvas import (
    PLAIN,
    density,
    figure_of,
    grey,
    headline,
    in_style,
    ink,
    legend,
    main_color,
    mark_color,
    new_grid,
    on,
    tidy,
)
from stanpool.plots.parts.groups import factor_of, with_model
from stanpool.plots.parts.unit_axis import MOST_NAMES, unit_axis
from stanpool.posterior.scalars import short_label, short_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import FitResult, HasPosterior

_LINES = 50
_DRAWS = 200
_MOST_VALUES = 40
_RARE = 0.025
_BINS = 30
_STATISTICS: Mapping[str, Callable[..., Any]] = {
    "mean": np.mean,
    "sd": np.std,
    "smallest": np.min,
    "largest": np.max,
}


@public
@in_style
def plot_predictive(
    fit: HasPosterior,
    *,
    kind: OutcomeFigure = "density",
    factor: str | None = None,
    prior: bool = False,
    seed: int | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the observed outcomes and outcomes that the model predicts for their rows.

    Parameters
    ----------
    fit
        A fit, or draws of an exact sampler.
    kind
        ``"density"`` shows the distribution of all outcomes for 50 draws, or bars with
        90 % intervals for counts and categories. ``"groups"`` shows the mean outcome of
        each group with its 90 % predictive interval. ``"rootogram"`` shows bars of the
        frequency of each count that hang from the predicted frequency, both as square
        roots so that rare counts are visible; bars that end outside the 90 % interval
        around 0 are marked. With more than a few hundred thousand rows fewer draws are
        used.
    factor
        The grouping factor for ``"groups"``; by default the first.
    prior
        Whether to draw from the prior instead of the posterior.
    seed
        The seed of the drawn outcomes; by default that of the fit.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If outcomes are censored, so that they cannot be compared with predictions, if a
        prior is improper, if there are no such groups, or if ``kind`` is
        ``"rootogram"`` and outcomes are not counts.

    References
    ----------
    .. [1] Kleiber and Zeileis (2016). Visualizing count data regressions using
       rootograms. The American Statistician 70(3), 296-303.
    """
    fit = with_model(fit)
    refuse_censored(fit)
    seed = seed_of(fit) if seed is None else seed
    if kind == "groups":
        return _groups(fit, factor, prior, seed, ax)
    if kind == "rootogram" and not _is_count(fit):
        raise SpecError(
            f"kind='rootogram' is for counts, and {fit.model!r} has none; use "
            "kind='density'."
        )
    drawn = outcomes_drawn(fit, _DRAWS if is_discrete(fit) else _LINES, seed, prior)
    observed = fit.model.design.y
    ax = on(ax, 6.5, 3.8)
    name = short_label(outcome_name(fit.model.spec))
    headline(ax, f"Outcomes {name}, observed and {_source(prior)}")
    if kind == "rootogram":
        _draw_rootogram(ax, observed, drawn)
        tidy(ax, x=name, y="rows, square root")
    elif is_discrete(fit):
        _draw_bars(ax, fit, observed, drawn)
        tidy(ax, x=name, y="rows")
    else:
        _draw_densities(ax, observed, drawn)
        tidy(ax, x=name, y="density")
    legend(ax)
    return figure_of(ax)


@public
@in_style
def plot_statistics(
    fit: HasPosterior, *, prior: bool = False, seed: int | None = None
) -> Figure:
    """Draw the mean, sd, minimum and maximum of observed and predicted outcomes.

    Parameters
    ----------
    fit
        A fit, or draws of an exact sampler.
    prior
        Whether to draw from the prior instead of the posterior.
    seed
        The seed of the drawn outcomes; by default that of the fit.

    Raises
    ------
    SpecError
        If outcomes are categorical or censored, or a prior is improper.
    """
    fit = with_model(fit)
    if fit.model.design.categories:
        raise SpecError(
            f"family={fit.model.spec.family!r} has categories without a mean; see "
            "plot_predictive."
        )
    refuse_censored(fit)
    seed = seed_of(fit) if seed is None else seed
    drawn = outcomes_drawn(fit, 5 * _DRAWS, seed, prior)
    observed = fit.model.design.y.astype(float)
    name = short_label(outcome_name(fit.model.spec))
    figure, grid = new_grid(10, 2.6, rows=1, columns=len(_STATISTICS))
    for ax, (label, statistic) in zip(grid[0], _STATISTICS.items(), strict=True):
        values, seen = statistic(drawn, axis=1), float(statistic(observed))
        low, high = np.quantile(values, (0.005, 0.995))
        bins = _bins(values, low, high)
        ax.hist(np.clip(values, low, high), bins=bins, color=main_color(), alpha=0.4)
        ax.axvline(seen, color=ink(), linewidth=2)
        above = (values > seen).mean() + 0.5 * (values == seen).mean()
        rare = min(above, 1 - above) < _RARE
        ax.set_title(
            f"{above:.0%} above",
            loc="right",
            fontsize="small",
            color=mark_color() if rare else ink(),
        )
        headline(ax, label)
        tidy(ax, x=name, y="")
        ax.set_yticks([])
    return figure


def _bins(values: Array, low: float, high: float) -> int | list[float]:
    """Return the bins of a histogram: about each value, if these are few numbers."""
    between = values[(values >= low) & (values <= high)]
    if high - low < _BINS and (between == np.round(between)).all():
        return list(np.arange(np.floor(low), np.ceil(high) + 2) - 0.5)
    return _BINS


def seed_of(fit: FitResult) -> int:
    """Return the fit's own seed; draws of an exact sampler have none."""
    settings = getattr(fit, "settings", None)
    return 0 if settings is None else int(settings.seed)


def refuse_censored(fit: FitResult) -> None:
    """Refuse censored outcomes, which cannot be compared with predictions."""
    if fit.model.design.censored is not None:
        raise SpecError(
            f"{fit.model!r} has censored outcomes, which cannot be compared with "
            "predictions of uncensored ones; use fit.predict(data) with data that "
            "leave out the censored rows."
        )


def is_discrete(fit: FitResult) -> bool:
    """Whether outcomes are whole numbers or categories."""
    return FAMILIES[fit.model.spec.family].is_discrete


def _is_count(fit: FitResult) -> bool:
    return is_discrete(fit) and not fit.model.design.categories


def outcomes_drawn(fit: FitResult, draws: int, seed: int, prior: bool = False) -> Array:
    """Draw outcomes of the fitted rows, shape ``(draws, N)``, with coded categories.

    With very many rows there are fewer draws.
    """
    rows = fit.model.design.rows
    draws = max(2, min(draws, LARGE_ARRAY // rows))
    if prior:
        tree = prior_predictive(fit.model, draws, seed=seed)
        outcomes = tree["prior_predictive"]["y"]
    else:
        available = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
        outcomes = predict(fit, draws=min(draws, available), seed=seed)
    values: Array = outcomes.transpose("chain", "draw", "row").to_numpy()
    values = values.reshape(-1, rows)
    categories = fit.model.design.categories
    if not categories:
        return values
    order = {str(each): code for code, each in enumerate(categories)}
    names, inverse = np.unique(values.astype(str), return_inverse=True)
    codes = np.array([order[each] for each in names])
    return codes[inverse].reshape(values.shape)


def _draw_densities(ax: Axes, observed: Array, drawn: Array) -> None:
    """Draw a line for each draw, and one for the observed outcomes."""
    low, high = float(observed.min()), float(observed.max())
    ends = np.quantile(drawn, (0.001, 0.999))
    gap = (high - low) or 1.0
    low, high = min(low, max(ends[0], low - gap)), max(high, min(ends[1], high + gap))
    margin = 0.05 * (high - low)
    low, high = low - margin, high + margin
    label: str | None = "drawn from the model"
    for values in drawn:
        x, y = density(values, low, high)
        ax.plot(x, y, color=main_color(), linewidth=0.6, alpha=0.35, label=label)
        label = None
    x, y = density(observed, low, high)
    ax.plot(x, y, color=ink(), linewidth=2, label="observed")
    ax.set_ylim(bottom=0)
    ax.set_xlim(low, high)


def _draw_bars(ax: Axes, fit: FitResult, observed: Array, drawn: Array) -> None:
    """Draw the observed and predicted frequencies of outcomes, with intervals."""
    categories = fit.model.design.categories
    ends = (0, len(categories) - 1) if categories else None
    centres, width, seen, counts = _counted(observed, drawn, ends)
    q5, median, q95 = np.quantile(counts, (0.05, 0.5, 0.95), axis=0)
    ax.bar(centres, seen, 0.8 * width, color=main_color(), alpha=0.3, label="observed")
    ax.vlines(centres, q5, q95, color=main_color(), linewidth=2, label="90% predictive")
    ax.scatter(centres, median, s=14, color=main_color(), zorder=3)
    if categories:
        names = short_labels(categories, 16)
        ax.set_xticks(centres, names, **PLAIN)
        if sum(map(len, names)) > 60:
            ax.tick_params(axis="x", labelrotation=90)
    else:
        _whole_numbers(ax)


def _draw_rootogram(ax: Axes, observed: Array, drawn: Array) -> None:
    """Draw observed frequencies of counts that hang from the predicted ones."""
    centres, width, seen, counts = _counted(observed, drawn)
    expected, height = np.sqrt(counts.mean(axis=0)), np.sqrt(seen)
    q5, q95 = np.sqrt(np.quantile(counts, (0.05, 0.95), axis=0))
    out = (height < q5) | (height > q95)
    for chosen, color, label in (
        (~out, main_color(), "observed"),
        (out, mark_color(), f"outside: {int(out.sum())} of {len(out)}"),
    ):
        if chosen.any():
            ax.bar(
                centres[chosen],
                height[chosen],
                0.8 * width,
                bottom=(expected - height)[chosen],
                color=color,
                alpha=0.35,
                label=label,
            )
    ax.vlines(
        centres,
        expected - q95,
        expected - q5,
        color=ink(),
        linewidth=1.5,
        label="90% of predicted ends",
    )
    ax.plot(centres, expected, color=ink(), marker="o", ms=3, label="predicted")
    ax.axhline(0, color=grey(), linewidth=0.8)
    _whole_numbers(ax)


def _counted(
    observed: Array, drawn: Array, ends: tuple[int, int] | None = None
) -> tuple[NDArray[Any], int, NDArray[Any], NDArray[Any]]:
    """Count the observed outcomes, and those of each draw, in bins.

    Returns
    -------
    centres, width, seen, counts
        Centres, width and counts of the bins; ``counts`` has the shape
        ``(draws, bins)``.
    """
    low, high = ends or (int(observed.min()), int(observed.max()))
    if ends is None:
        low = min(low, int(np.quantile(drawn, 0.005)))
        high = max(high, min(int(np.quantile(drawn, 0.995)), 2 * high + 10))
    width = -(-(high - low + 1) // _MOST_VALUES)
    edges = np.arange(low, high + width + 1, width) - 0.5
    seen, _ = np.histogram(observed, edges)
    counts = np.array([np.histogram(each, edges)[0] for each in drawn])
    return edges[:-1] + width / 2, width, seen, counts


def _whole_numbers(ax: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))


def _factor_with_rows(fit: FitResult, factor: str | None) -> FactorDesign:
    """Return a factor each of whose groups has a mean outcome."""
    if fit.model.spec.is_categorical:
        raise SpecError(
            "kind='groups' shows mean outcomes, which unordered categories do not "
            "have; use kind='density'."
        )
    factors = fit.model.design.factors
    names = [each.factor for each in factors]
    chosen = factor if factor is not None else next(iter(names), None)
    place = names.index(chosen) if chosen in names else None
    varied = factor_of(
        fit, chosen, "" if place is None else factors[place].coefficients[0]
    )
    if varied.index.ndim > 1:
        raise SpecError(
            f"rows are members of several groups of {quote(varied.factor)}, so that "
            "their outcomes have no single group."
        )
    return varied


def _groups(
    fit: FitResult, factor: str | None, prior: bool, seed: int, ax: Axes | None
) -> Figure:
    """Draw the mean outcome of each group and its predictive interval."""
    design, varied = fit.model.design, _factor_with_rows(fit, factor)
    groups, sizes = len(varied.labels), np.maximum(varied.sizes, 1)

    def mean(values: Array) -> Array:
        return np.asarray(np.bincount(varied.index, values, groups) / sizes)

    observed = mean(design.y.astype(float))
    drawn = np.array([mean(each) for each in outcomes_drawn(fit, _DRAWS, seed, prior)])
    kept = np.flatnonzero(varied.sizes > 0)
    order = kept[np.argsort(observed[kept], kind="stable")]
    order = order[::-1] if len(order) <= MOST_NAMES else order
    low, high = np.quantile(drawn[:, order], (0.05, 0.95), axis=0)
    seen = observed[order]
    name, outcome = (
        short_label(varied.factor),
        short_label(outcome_name(fit.model.spec)),
    )
    units = unit_axis(
        ax,
        short_labels((varied.labels[k] for k in order), 24),
        many=f"{len(order):,} groups of {name}, in order of their means",
        values=f"mean {outcome} of each {name}",
    )
    headline(units.ax, f"Mean {outcome} of each {name}, observed and {_source(prior)}")
    units.means(seen, low, high, "observed mean")
    legend(units.ax)
    return figure_of(units.ax)


def _source(prior: bool) -> str:
    return "predicted from the prior" if prior else "predicted"
