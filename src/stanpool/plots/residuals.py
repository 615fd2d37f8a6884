"""Residuals by group."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import LARGE_ARRAY, Array
from stanpool.base.errors import SpecError
from stanpool.base.options import ResidualKind
from stanpool.families.angles import within_half_turn
from stanpool.inference.prediction.integrated.group_likelihood import grouping
from stanpool.inference.prediction.summaries import predict_table
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import outcome_name
from stanpool.plots.parts.canvas import (
    figure_of,
    grey,
    headline,
    in_style,
    legend,
)
from stanpool.plots.parts.groups import with_model
from stanpool.plots.parts.unit_axis import MOST_NAMES, UnitAxis, unit_axis
from stanpool.plots.predictive import (
    is_discrete,
    outcomes_drawn,
    refuse_censored,
    seed_of,
)
from stanpool.posterior.scalars import short_label, short_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import FitResult

_DRAWS = 500
_MOST_DOTS = 20_000


@public
@in_style
def plot_residuals(
    fit: FitResult,
    *,
    kind: ResidualKind | None = None,
    factor: str | None = None,
    seed: int | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the residuals of each group, and the predicted range of their means.

    Groups are sorted by their mean residuals, and each has the interval of 90 % of the
    mean residuals of outcomes drawn from the fit. A mean outside of it shows that the
    group is shrunk too far or that a predictor is missing. Dots that vary more in some
    groups show that residual scales differ.

    Parameters
    ----------
    fit
        A fit of a model with groups, even if complete pooling ignores them.
    kind
        ``"outcome"`` is the outcome minus its expectation, in the unit of the outcome.
        ``"quantile"`` is the standard normal quantile of the predicted probability of a
        smaller outcome, randomized for discrete outcomes. By default, the first is used
        for continuous outcomes and the second for discrete ones.
    factor
        The grouping factor; by default the first.
    seed
        The seed of the drawn outcomes; by default that of the fit.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If outcomes are censored or unordered categories, or there are no such groups.

    References
    ----------
    .. [1] Dunn and Smyth (1996). Randomized quantile residuals. Journal of
       Computational and Graphical Statistics 5(3), 236-244.
    """
    fit = with_model(fit)
    kind = kind or ("quantile" if is_discrete(fit) else "outcome")
    _check_outcome(fit, kind)
    units = grouping(fit.model, factor, left_out=False)
    seed = seed_of(fit) if seed is None else seed
    residuals, drawn = _residuals(fit, kind, seed)
    groups = len(units.labels)
    sizes = np.bincount(units.index, minlength=groups)

    def mean(values: Array) -> Array:
        return np.asarray(np.bincount(units.index, values, groups)) / np.maximum(
            sizes, 1
        )

    means = mean(residuals)
    low, high = np.quantile([mean(each) for each in drawn], (0.05, 0.95), axis=0)
    kept = np.flatnonzero(sizes)
    order = kept[np.argsort(means[kept], kind="stable")]
    order = order[::-1] if len(order) <= MOST_NAMES else order
    name, outcome = short_label(units.factor), short_label(outcome_name(fit.model.spec))
    of = {
        "outcome": f"{outcome}, less its expectation",
        "quantile": f"quantile residual of {outcome} (standard normal)",
    }
    along = unit_axis(
        ax,
        short_labels((units.labels[k] for k in order), 24),
        many=f"{len(order):,} groups of {name}, in order of their means",
        values=of[kind],
    )
    headline(along.ax, f"Residuals of {outcome} by {name}, with their means")
    along.reference(0)
    place = np.full(groups, -1.0)
    place[order] = along.at
    _draw_dots(along, place[units.index], residuals, seed)
    along.means(means[order], low[order], high[order], "mean")
    legend(along.ax)
    return figure_of(along.ax)


def _check_outcome(fit: FitResult, kind: str) -> None:
    """Refuse outcomes that have no residuals, or none of this kind."""
    refuse_censored(fit)
    family = FAMILIES[fit.model.spec.family]
    if family.is_categorical:
        raise SpecError(
            f"family={fit.model.spec.family!r} has unordered categories, which have no "
            "residuals; see plot_predictive."
        )
    if family.has_cutpoints and kind == "outcome":
        raise SpecError("ordered categories have no expectation; use kind='quantile'.")


def _residuals(fit: FitResult, kind: str, seed: int) -> tuple[Array, Array]:
    """Return the residuals of the observed and of drawn outcomes."""
    observed = fit.model.design.y.astype(float)
    drawn = outcomes_drawn(fit, _DRAWS, seed).astype(float)
    if kind == "outcome":
        expected = drawn.mean(axis=0)
        if fit.model.spec.trunc is None:
            sizes = fit.posterior.sizes
            is_large = len(observed) * sizes["chain"] * sizes["draw"] > LARGE_ARRAY
            draws = len(drawn) if is_large else None
            table = predict_table(fit, kind="epred", draws=draws)
            expected = table["mean"].to_numpy()
        if FAMILIES[fit.model.spec.family].is_circular:
            return (
                within_half_turn(observed - expected),
                within_half_turn(drawn - expected),
            )
        return observed - expected, drawn - expected
    from scipy import stats  # type: ignore[import-untyped]

    rng = np.random.default_rng([seed, 5])
    below, equal = (drawn < observed).sum(axis=0), (drawn == observed).sum(axis=0)
    at = (below + rng.random(len(observed)) * (equal + 1)) / (len(drawn) + 1)
    # Ties among the drawn are broken at random, too.
    order = np.lexsort((rng.random(drawn.shape), drawn), axis=0)
    ranks = np.empty(drawn.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, len(drawn) + 1)[:, None], axis=0)
    return stats.norm.ppf(at), stats.norm.ppf((ranks - 0.5) / len(drawn))


def _draw_dots(along: UnitAxis, places: Array, residuals: Array, seed: int) -> None:
    """Draw a dot for each row, or for a sample of them if they are very many."""
    rng = np.random.default_rng([seed, 6])
    rows = np.arange(len(places))
    label = "rows"
    if len(rows) > _MOST_DOTS:
        rows = rng.choice(rows, _MOST_DOTS, replace=False)
        label = f"{_MOST_DOTS:,} of {len(places):,} rows"
    along.scatter(
        places[rows] + rng.uniform(-0.15, 0.15, len(rows)),
        residuals[rows],
        s=float(np.clip(8000 / len(rows), 1.5, 10)),
        color=grey(),
        alpha=0.5,
        linewidth=0,
        rasterized=True,
        label=label,
    )
