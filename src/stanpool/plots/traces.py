"""Traces, ranks and autocorrelation of quantities, and the energy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, suggestion
from stanpool.inference.diagnostics.checks import E_BFMI, measure_mixing
from stanpool.model.fit_result import diverging
from stanpool.plots.parts.canvas import (
    chain_colors,
    density,
    figure_of,
    grey,
    heading,
    headline,
    in_style,
    ink,
    legend,
    main_color,
    mark_color,
    new_grid,
    on,
    on_paper,
    tidy,
)
from stanpool.posterior.convergence import bfmi
from stanpool.posterior.scalars import scalars

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import FitResult, HasPosterior

_BINS = 20
_MOST_POINTS = 1000


def worst_quantities(fit: HasPosterior, count: int = 4) -> list[str]:
    """Return the quantities with the smallest effective sample sizes."""
    mixed = measure_mixing(fit)
    least = np.fmin(mixed.ess_bulk, mixed.ess_tail)
    order = np.argsort(np.where(np.isfinite(least), least, np.inf), kind="stable")
    return [mixed.labels[place] for place in order[:count]]


@public
@in_style
def plot_traces(
    fit: HasPosterior,
    *,
    quantities: Sequence[str] | None = None,
    count: int = 4,
) -> Figure:
    """Draw the trace of each chain, and the ranks of its draws among all draws.

    If chains explore the same distribution, ranks are uniform, within a band that would
    contain 99 % of the bars for independent draws. Divergent draws are marked below a
    trace.

    Parameters
    ----------
    fit
        A fit, or draws of an exact sampler.
    quantities
        Labels of the summary, such as ``["tau_county[Intercept]"]``; by default the
        ``count`` quantities with the smallest effective sample sizes.
    count
        The number of quantities if these are not given.

    Raises
    ------
    SpecError
        If a quantity is not in the posterior.
    """
    draws = _chosen_draws(fit, quantities, count)
    diverged = diverging(fit)
    figure, grid = new_grid(9, 0.4 + 1.9 * len(draws), rows=len(draws), columns=2)
    for (left, right), (label, values) in zip(grid, draws.items(), strict=True):
        _draw_trace(left, values, diverged)
        _draw_ranks(right, values)
        headline(left, on_paper(label, 60))
        tidy(left, x="", y="value")
        tidy(right, x="", y="draws")
    heading(figure, f"Draws of each chain, and their ranks{_of_least(quantities)}")
    grid[-1][0].set_xlabel("draw")
    grid[-1][1].set_xlabel("rank among the draws of all chains")
    return figure


@public
@in_style
def plot_autocorrelation(
    fit: FitResult,
    *,
    quantities: Sequence[str] | None = None,
    count: int = 4,
    lags: int = 50,
) -> Figure:
    """Draw the autocorrelation of each chain.

    The sooner a line falls to 0, the larger is the effective sample size; within the
    band it is not significantly different from 0.

    Parameters
    ----------
    fit
        A fit.
    quantities
        Labels of the summary; by default the ``count`` quantities with the smallest
        effective sample sizes.
    count
        The number of quantities if these are not given.
    lags
        The largest lag, in draws.

    Raises
    ------
    SpecError
        If a quantity is not in the posterior.
    """
    draws = _chosen_draws(fit, quantities, count)
    columns = min(len(draws), 4)
    rows = -(-len(draws) // columns)
    figure, grid = new_grid(1 + 2.4 * columns, 2.4 * rows, rows=rows, columns=columns)
    panels = [ax for row in grid for ax in row]
    for ax in panels[len(draws) :]:
        ax.set_visible(False)
    for ax, (label, values) in zip(panels, draws.items(), strict=False):
        correlations = autocorrelation(values, lags)
        reach = 1.96 / np.sqrt(values.shape[1])
        ax.axhspan(-reach, reach, color=grey(), alpha=0.2, linewidth=0)
        ax.axhline(0, color=grey(), linewidth=0.8)
        for chain, line in enumerate(correlations):
            ax.plot(
                line, color=chain_colors()[chain % len(chain_colors())], linewidth=1
            )
        ax.set_ylim(min(-0.3, float(correlations.min()) - 0.05), 1.05)
        headline(ax, on_paper(label, 28))
        tidy(ax, x="draws apart", y="")
    for row in grid:
        row[0].set_ylabel("autocorrelation")
    heading(figure, f"Autocorrelation within each chain{_of_least(quantities)}")
    return figure


def _of_least(quantities: Sequence[str] | None) -> str:
    return ": smallest effective sample sizes" if quantities is None else ""


def autocorrelation(draws: Array, lags: int) -> Array:
    """Compute the autocorrelation of each chain, from lag 0.

    Parameters
    ----------
    draws
        Draws, shape ``(chain, draw)``.
    lags
        The largest lag, which may be beyond the number of draws.

    Returns
    -------
    numpy.ndarray
        The shape is ``(chain, lags + 1)``; it is 0 after lag 0 for constant chains.

    Examples
    --------
    >>> autocorrelation(np.array([[1.0, -1.0, 1.0, -1.0]]), 2).round(2).tolist()
    [[1.0, -0.75, 0.5]]
    """
    size = draws.shape[1]
    centred = draws - draws.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * size, axis=1)
    products = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, : min(lags, size - 1) + 1]
    at_zero = products[:, :1]
    found: Array = np.divide(
        products, at_zero, out=np.zeros_like(products), where=at_zero > 0
    )
    found[:, 0] = 1.0
    return found


@public
@in_style
def plot_energy(fit: FitResult, *, ax: Axes | None = None) -> Figure:
    """Draw the distributions of the energy, and of its change in one transition.

    If the change is much narrower than the energy, chains explore the tails slowly.

    Parameters
    ----------
    fit
        A fit.
    ax
        The axes to draw on; by default those of a new figure.

    Raises
    ------
    SpecError
        If the draws are from an approximation.
    """
    if fit.approximation is not None:
        raise SpecError(
            "the energy is that of transitions of NUTS, and these are independent "
            f"draws of a {fit.approximation.named}. fit.diagnose() says how good it is."
        )
    energy = fit.sample_stats["energy"].to_numpy()
    ax = on(ax, 6.5, 3.6)
    level = energy - energy.mean()
    change = np.diff(energy, axis=1)
    reach = float(np.quantile(np.abs(level), 0.999)) * 1.1 or 1.0
    for values, color, label in (
        (level, main_color(), "energy, less its mean"),
        (change, mark_color(), "change from draw to draw"),
    ):
        x, y = density(values.ravel(), -reach, reach)
        ax.fill_between(x, y, color=color, alpha=0.3, linewidth=0, label=label)
        ax.plot(x, y, color=color, linewidth=1)
    fractions = bfmi(energy)
    shown = ", ".join(f"{each:.2f}" for each in fractions[:8])
    text = f"E-BFMI by chain: {shown}\n(low: under {E_BFMI})"
    bad = bool((fractions < E_BFMI).any())
    ax.text(
        0.99,
        0.95,
        text,
        transform=ax.transAxes,
        ha="right",
        va="top",
        fontsize="small",
        color=mark_color() if bad else ink(),
    )
    ax.set_ylim(bottom=0)
    tidy(ax, x="energy (minus the log density, with kinetic energy)", y="density")
    headline(ax, "Energy: what a draw reaches, and what it can change in one step")
    legend(ax)
    return figure_of(ax)


def draws_of(fit: HasPosterior, chosen: Sequence[str]) -> dict[str, Array]:
    """Return the draws of labelled scalars, each of shape ``(chain, draw)``."""
    found: dict[str, Array] = {}
    known: list[str] = []
    for block in scalars(fit.posterior):
        known += block.labels
        for place, label in enumerate(block.labels):
            if label in chosen:
                found[label] = block.draws[:, :, place]
    for label in chosen:
        if label not in found:
            raise SpecError(
                f"quantities: {quote(label)} is not in the posterior."
                + suggestion(str(label), known[:5000])
            )
    return {label: found[label] for label in chosen}


def _chosen_draws(
    fit: HasPosterior, quantities: Sequence[str] | None, count: int
) -> dict[str, Array]:
    """Return the draws of the given quantities, or of those sampled worst."""
    chosen = worst_quantities(fit, count) if quantities is None else quantities
    if not chosen:
        raise SpecError("quantities is empty; pass labels of the summary.")
    return draws_of(fit, chosen)


def _draw_trace(ax: Axes, draws: Array, diverging: NDArray[np.bool_]) -> None:
    step = -(-draws.shape[1] // _MOST_POINTS)
    for chain, values in enumerate(draws):
        color = chain_colors()[chain % len(chain_colors())]
        places = np.arange(0, len(values), step)
        ax.plot(places, values[places], color=color, linewidth=0.4, alpha=0.8)
    where = np.flatnonzero(diverging.any(axis=0))
    if len(where):
        bottom = ax.get_ylim()[0]
        ax.plot(where, np.full(len(where), bottom), "|", color="black", clip_on=False)
    ax.margins(x=0.01)


def _draw_ranks(ax: Axes, draws: Array) -> None:
    """Draw a histogram of ranks for each chain, as steps."""
    from scipy import stats  # type: ignore[import-untyped]

    size = draws.shape[1]
    ranks = stats.rankdata(draws.ravel()).reshape(draws.shape)
    edges = np.linspace(0.5, draws.size + 0.5, _BINS + 1)
    low, high = stats.binom.ppf([0.005, 0.995], size, 1 / _BINS)
    ax.axhspan(low, high, color=grey(), alpha=0.15, linewidth=0)
    ax.axhline(size / _BINS, color=grey(), linewidth=0.8)
    for chain, values in enumerate(ranks):
        counts, _ = np.histogram(values, edges)
        ax.stairs(
            counts,
            edges,
            color=chain_colors()[chain % len(chain_colors())],
            linewidth=1,
        )
    ax.set_ylim(bottom=0)
    ax.margins(x=0.01)
