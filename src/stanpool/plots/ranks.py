"""Ranks of a calibration: differences of their ECDF from uniform, or histograms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote, suggestion
from stanpool.base.options import RankFigure
from stanpool.inference.evaluation.uniformity import counts_below, uniformity_bands
from stanpool.plots.parts.canvas import (
    PLAIN,
    grey,
    headline,
    in_style,
    main_color,
    mark_color,
    new_figure,
    on_paper,
    tidy,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_NAMED = 5  # largest number of lines that are named
_HISTOGRAMS = 4
_BINS = 20
_STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


class Ranked(Protocol):
    """A calibration with ranks, and with the quantities that are not uniform."""

    @property
    def ranks(self) -> pd.DataFrame:
        """Ranks from 0 to ``draws``, a row per simulation and a column per quantity."""

    @property
    def draws(self) -> int:
        """The number of posterior draws that each true value is ranked among."""

    @property
    def level(self) -> float:
        """The probability that a correct program passes."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per quantity, with a ``finding`` if its ranks are not uniform."""


@public
@in_style
def plot_calibration(
    calibration: Ranked,
    *,
    kind: RankFigure = "ecdf",
    quantities: Sequence[str] | None = None,
) -> Figure:
    """Draw the ranks of a simulation-based calibration.

    Parameters
    ----------
    calibration
        The result of ``sbc``.
    kind
        ``"ecdf"`` shows, for each quantity, the share of ranks below a value minus that
        value, with ranks scaled to (0, 1); the ranks of a line that leaves the band are
        not uniform. ``"histogram"`` shows the ranks of a few quantities, with a band
        that contains all bars with the same probability if they are uniform.
    quantities
        The quantities; by default all for ``"ecdf"``, and the four least uniform for
        ``"histogram"``.

    Raises
    ------
    SpecError
        If a kind or a quantity is unknown.
    """
    known = [str(label) for label in calibration.table.index]
    chosen = known if quantities is None else list(quantities)
    for label in chosen:
        if label not in known:
            raise SpecError(
                f"quantities: {quote(label)} was not ranked."
                + suggestion(str(label), known)
            )
    if kind == "ecdf":
        return _ecdf(calibration, chosen)
    return _histograms(
        calibration, chosen[:_HISTOGRAMS] if quantities is None else chosen
    )


def _ecdf(calibration: Ranked, chosen: list[str]) -> Figure:
    """Draw differences of ECDFs, and name those that are not uniform."""
    figure, (ax,) = new_figure(6.4, 4)
    draws, simulations = calibration.draws, len(calibration.ranks)
    at = np.arange(draws + 2) / (draws + 1)
    # One level for all, so that lines outside the band agree with the verdict.
    level = 1 - (1 - calibration.level) / len(calibration.table)
    bands = uniformity_bands(simulations, draws, level)
    low, high = (np.concatenate([[0.0], band, [1.0]]) - at for band in bands)
    ax.fill_between(at, low, high, color=main_color(), alpha=0.15, linewidth=0)
    below = counts_below(calibration.ranks[chosen].to_numpy(), draws) / simulations
    findings = calibration.table.loc[chosen, "finding"]
    wrong = [label for label in chosen if findings[label]]
    for label, shares in zip(chosen, below.T, strict=True):
        difference = np.concatenate([[0.0], shares, [1.0]]) - at
        if label not in wrong[:_NAMED]:
            ax.plot(at, difference, color=main_color(), linewidth=0.8, alpha=0.6)
            continue
        style = _STYLES[wrong.index(label)]
        ax.plot(
            at, difference, color=mark_color(), linestyle=style, label=on_paper(label)
        )
    tidy(ax, x="rank of the true value, scaled", y="ECDF minus uniform")
    ax.set_xlim(0, 1)
    if wrong:
        legend = ax.legend(frameon=False)
        for text in legend.get_texts():
            text.set(**PLAIN)
    title = f"{len(chosen)} quantities, {simulations} simulations; "
    title += f"{100 * calibration.level:g}% band of uniform ranks"
    headline(ax, title)
    return figure


def _histograms(calibration: Ranked, chosen: list[str]) -> Figure:
    """Draw a histogram for each quantity."""
    from matplotlib.ticker import MaxNLocator
    from scipy import stats  # type: ignore[import-untyped]

    figure, axes = new_figure(1 + 2.6 * len(chosen), 2.8, columns=len(chosen))
    simulations = len(calibration.ranks)
    bins = min(_BINS, calibration.draws + 1)
    edges = np.linspace(0, 1, bins + 1)
    scaled = (calibration.ranks + 0.5) / (calibration.draws + 1)
    share = (1 - calibration.level) / (2 * bins * len(calibration.table))
    low, high = stats.binom.ppf([share, 1 - share], simulations, 1 / bins)
    for ax, label in zip(axes, chosen, strict=True):
        wrong = bool(calibration.table.loc[label, "finding"])
        ax.axhspan(low, high, color=main_color(), alpha=0.15, linewidth=0)
        ax.axhline(simulations / bins, color=grey(), linewidth=0.8)
        ax.hist(
            scaled[label],
            edges,
            color=mark_color() if wrong else main_color(),
            rwidth=0.9,
        )
        tidy(ax, x="rank, scaled", y="")
        headline(ax, on_paper(label))
    axes[0].set_ylabel("simulations")
    axes[0].yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return figure
