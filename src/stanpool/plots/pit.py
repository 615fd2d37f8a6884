"""Are outcomes where they were predicted to be? Their probability integral transforms.

References
----------
.. [1] Säilynoja, Bürkner and Vehtari (2022). Graphical test for discrete uniformity and
   its applications in goodness-of-fit evaluation and multiple sample comparison.
   Statistics and Computing 32, 32.
.. [2] Massart (1990). The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality.
   Annals of Probability 18(3), 1269-1283: the band of many rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError
from stanpool.inference.evaluation.uniformity import uniformity_bands
from stanpool.plots.canvas import BLUE, GREY, ORANGE, figure_of, headline, on, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.inference.evaluation.cross_validation import CrossValidation

_LEVEL = 0.95
_CUTS = 50
_MOST_EXACT = 2000


@public
def plot_pit(result: CrossValidation, *, ax: Axes | None = None) -> Figure:
    """Draw whether left-out outcomes are where they were predicted to be.

    Each outcome is turned into the predicted probability of a smaller one, its PIT;
    if the predictions are calibrated, these are uniform. Drawn is the share of PITs
    below each value, less that value, with the band that holds all of it with 95 %
    probability. First above and then below it means that outcomes scatter more widely
    than was predicted; first below and then above, less.

    Parameters
    ----------
    result
        What ``loo`` or ``kfold`` returned; by groups, the PITs of a group's rows hang
        together, and the band is too narrow.
    ax
        Axes to draw on; a new figure by default.

    Raises
    ------
    SpecError
        If no outcome has a PIT: categories without an order, or all censored.
    """
    pit = np.sort(result.rows["pit"].dropna().to_numpy())
    if not len(pit):
        raise SpecError(
            f"{result!r} has no outcome with a PIT: they are categories, or censored."
        )
    ax = on(ax, 6.0, 3.6)
    at = np.arange(_CUTS + 2) / (_CUTS + 1)
    difference = np.searchsorted(pit, at) / len(pit) - at
    difference[[0, -1]] = 0.0  # draws are finite: a PIT can be 0 or 1
    low, high = uniform_band(len(pit))
    ax.fill_between(at, low, high, color=BLUE, alpha=0.15, linewidth=0)
    ax.axhline(0, color=GREY, linewidth=0.8)
    outside = bool(((difference < low) | (difference > high)).any())
    ax.plot(at, difference, color=ORANGE if outside else BLUE, linewidth=1.2)
    ax.set_xlim(0, 1)
    tidy(ax, x="predicted probability of a smaller outcome", y="ECDF less uniform")
    verdict = "leave the band" if outside else "stay within the band"
    headline(ax, f"PITs of {len(pit):,} left-out outcomes {verdict}")
    return figure_of(ax)


def uniform_band(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds of the differences of a uniform sample, everywhere at once."""
    at = np.arange(_CUTS + 2) / (_CUTS + 1)
    if rows <= _MOST_EXACT:
        shares = uniformity_bands(rows, _CUTS, _LEVEL)
        low, high = (np.concatenate([[0.0], band, [1.0]]) - at for band in shares)
        return low, high
    width = np.sqrt(np.log(2.0 / (1.0 - _LEVEL)) / (2.0 * rows))
    return np.maximum(-width, -at), np.minimum(width, 1.0 - at)
