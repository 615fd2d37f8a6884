"""Calibration of predictions by probability integral transforms (PIT).

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
from stanpool.plots.parts.canvas import (
    figure_of,
    grey,
    headline,
    in_style,
    main_color,
    mark_color,
    on,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.inference.evaluation.cross_validation import CrossValidation

_LEVEL = 0.95
_CUTS = 50
_MOST_EXACT = 2000


@public
@in_style
def plot_pit(result: CrossValidation, *, ax: Axes | None = None) -> Figure:
    """Draw whether predictions of left-out outcomes are calibrated.

    The PIT of an outcome is the predicted probability of a smaller one. If predictions
    are calibrated, PITs are uniform. The figure shows the share of PITs below each
    value minus that value, with a simultaneous 95 % band. A curve that is first above
    and then below the band means that outcomes vary more than predicted; first below
    and then above, that they vary less.

    Parameters
    ----------
    result
        The result of ``loo`` or ``kfold``. If groups were left out, the PITs of the
        rows of a group are dependent, so that the band is too narrow.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If no outcome has a PIT.
    """
    pit = np.sort(result.rows["pit"].dropna().to_numpy())
    if not len(pit):
        raise SpecError(
            f"{result.in_one_line} has no outcome with a PIT, the predicted "
            "probability of a smaller one."
        )
    ax = on(ax, 6.0, 3.6)
    at = np.arange(_CUTS + 2) / (_CUTS + 1)
    difference = np.searchsorted(pit, at) / len(pit) - at
    difference[[0, -1]] = 0.0  # draws are finite: a PIT can be 0 or 1
    low, high = uniform_band(len(pit))
    ax.fill_between(at, low, high, color=main_color(), alpha=0.15, linewidth=0)
    ax.axhline(0, color=grey(), linewidth=0.8)
    outside = bool(((difference < low) | (difference > high)).any())
    ax.plot(
        at, difference, color=mark_color() if outside else main_color(), linewidth=1.2
    )
    ax.set_xlim(0, 1)
    tidy(ax, x="predicted probability of a smaller outcome", y="ECDF minus uniform")
    verdict = "leave the band" if outside else "stay within the band"
    headline(ax, f"PITs of {len(pit):,} left-out outcomes {verdict}")
    return figure_of(ax)


def uniform_band(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return simultaneous bounds of the differences of a uniform sample."""
    at = np.arange(_CUTS + 2) / (_CUTS + 1)
    if rows <= _MOST_EXACT:
        shares = uniformity_bands(rows, _CUTS, _LEVEL)
        low, high = (np.concatenate([[0.0], band, [1.0]]) - at for band in shares)
        return low, high
    width = np.sqrt(np.log(2.0 / (1.0 - _LEVEL)) / (2.0 * rows))
    return np.maximum(-width, -at), np.minimum(width, 1.0 - at)
