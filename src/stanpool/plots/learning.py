"""The prior and the posterior of each population parameter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import LARGE_ARRAY, Array
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.inference.estimates.summary import population_names
from stanpool.plots.parts.canvas import (
    density,
    grey,
    heading_and_legend,
    headline,
    in_style,
    main_color,
    new_grid,
    on_paper,
    tidy,
)
from stanpool.plots.parts.groups import model_of
from stanpool.posterior.scalars import scalars

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import HasPosterior
    from stanpool.model.prepared_model import PreparedModel

_COLUMNS = 3
_MOST_PANELS = 18
_PRIOR_DRAWS = 20_000


@public
@in_style
def plot_prior_posterior(
    fit: HasPosterior,
    *,
    var_names: Sequence[str] | None = None,
    seed: int = 1,
) -> Figure:
    """Draw the posterior and the prior of population parameters.

    If both are alike, the data were not informative, and the prior decides.

    Parameters
    ----------
    fit
        A fit, or draws of an exact sampler.
    var_names
        Variables of the posterior that are not of single groups; by default all. At
        most 18 parameters are drawn.
    seed
        The seed of the draws from the prior.

    Raises
    ------
    SpecError
        If a variable is unknown, or a prior is improper.
    """
    from stanpool.inference.prediction.prior_predictive import draw_prior

    model, known = model_of(fit), population_names(fit)
    for name in var_names or ():
        if name not in known:
            raise SpecError(
                f"var_names: {quote(name)} is not one of {quote_list(known)}."
                + suggestion(str(name), known)
            )
    chosen = known if var_names is None else list(var_names)
    # Groups' coefficients are not shown, and there may be very many.
    draws = max(500, min(_PRIOR_DRAWS, LARGE_ARRAY // _groups_in(model)))
    prior = draw_prior(model, draws, np.random.default_rng(seed))
    before = _by_label(prior, chosen)
    after = _by_label(fit.posterior, chosen)
    # What a prior fixes has nothing to learn.
    labels = [x for x in after if x in before and np.ptp(before[x]) > 0][:_MOST_PANELS]
    if not labels:
        raise SpecError(
            f"{quote_list(chosen)}: priors fix these at a number, so that there is "
            "nothing that the data could teach. Name others in var_names."
        )
    columns = min(_COLUMNS, len(labels))
    rows = -(-len(labels) // columns)
    figure, grid = new_grid(
        0.6 + 2.9 * columns, 0.6 + 2 * rows, rows=rows, columns=columns
    )
    axes = [ax for row in grid for ax in row]
    for ax, label in zip(axes, labels, strict=False):
        _draw(ax, before[label], after[label])
        headline(ax, on_paper(label, 34))
        tidy(ax, x="", y="")
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    for ax in axes[len(labels) :]:
        ax.set_axis_off()
    title = "What the data taught: prior and posterior"
    heading_and_legend(figure, title, *axes[0].get_legend_handles_labels())
    return figure


def _groups_in(model: PreparedModel) -> int:
    factors = model.design.factors
    return 1 + sum(len(each.labels) * len(each.coefficients) for each in factors)


def _by_label(draws: xr.Dataset, names: Sequence[str]) -> dict[str, Array]:
    """Return the draws of each scalar by its label."""
    found = {}
    for block in scalars(draws, var_names=names):
        for place, label in enumerate(block.labels):
            found[label] = block.draws[:, :, place].ravel()
    return found


def _draw(ax: Axes, before: Array, after: Array) -> None:
    """Draw two densities over the range where either has mass."""
    low = float(min(np.quantile(before, 0.02), np.quantile(after, 0.001)))
    high = float(max(np.quantile(before, 0.98), np.quantile(after, 0.999)))
    if before.min() >= 0:
        low = min(low, 0.0) if low < 0.1 * (high - low) else low
    for values, color, label in (
        (before, grey(), "prior"),
        (after, main_color(), "posterior"),
    ):
        x, y = density(values, low, high)
        y = y / y.max()
        ax.fill_between(x, y, color=color, alpha=0.35, linewidth=0, label=label)
        ax.plot(x, y, color=color, linewidth=1)
    ax.set_ylim(0, 1.1)
