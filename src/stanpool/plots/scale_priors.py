"""The prior and the posterior of a population scale, for several priors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

import numpy as np

from stanpool.base.arguments import public
from stanpool.plots.parts.canvas import (
    PLAIN,
    headline,
    in_style,
    main_color,
    mark_color,
    new_figure,
    on_paper,
    tidy,
)
from stanpool.posterior.scalars import scale_draws

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import FitResult

_BINS = 50


class UnderSeveralPriors(Protocol):
    """Fits of one model with different priors on one scale."""

    @property
    def parameter(self) -> str:
        """The scale, such as ``tau_county[Intercept]``."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per prior: ``prior``, ``mean``, ``q95``, ``pooling``."""

    @property
    def fits(self) -> Mapping[str, FitResult]:
        """The fits, by the distribution of the prior."""


@public
@in_style
def plot_scale_priors(comparison: UnderSeveralPriors) -> Figure:
    """Draw the prior and the posterior of a population scale under each prior.

    If the posterior follows the prior at large values, the data do not bound the scale,
    and groups are hardly pooled there. The shared axes end at the 95 % quantile of the
    widest posterior.

    Parameters
    ----------
    comparison
        The result of ``compare_scale_priors``.
    """
    from stanpool.model.priors.distributions import prior_density

    table, fits = comparison.table, comparison.fits
    figure, axes = new_figure(1 + 2.5 * len(fits), 3, columns=len(fits))
    end = 1.1 * float(table["q95"].max())
    edges, at = np.linspace(0, end, _BINS + 1), np.linspace(0, end, 400)
    for ax, (name, fit) in zip(axes, fits.items(), strict=True):
        draws, row = scale_draws(fit, comparison.parameter), table.loc[name]
        shares = np.histogram(draws, edges)[0] / len(draws)
        ax.stairs(
            shares / np.diff(edges),
            edges,
            fill=True,
            color=main_color(),
            alpha=0.55,
            label="posterior",
        )
        density = prior_density(fit.model.priors[comparison.parameter], at)
        ax.plot(at, density, color=mark_color(), label="prior")
        tidy(ax, x=on_paper(comparison.parameter), y="")
        headline(ax, str(row["prior"]))
        ax.text(
            0.97,
            0.55,
            f"mean {row['mean']:.3g}\npooling {row['pooling']:.0%}",
            transform=ax.transAxes,
            ha="right",
            **PLAIN,
        )
    axes[0].set(xlim=(0, end), ylim=(0, None), yticks=[])
    axes[0].set_ylabel("density")
    axes[0].legend(frameon=False, loc="upper right")
    return figure
