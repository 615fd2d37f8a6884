"""Effective draws per CPU second of each benchmark and each tool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote
from stanpool.plots.parts.canvas import (
    PLAIN,
    grey,
    headline,
    in_style,
    ink,
    main_color,
    mark_color,
    new_grid,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_ROW_INCHES = 0.24


@public
@in_style
def plot_bench(record: Mapping[str, Any]) -> Figure:
    """Draw effective draws per CPU second, on a log scale, with a panel per benchmark.

    A tool that did not converge, or did not finish, in most runs has a text instead of
    a point.

    Parameters
    ----------
    record
        The result of ``stanpool.bench.bench_record``.

    Examples
    --------
    >>> from stanpool.bench import Cell, bench_record
    >>> cells = [Cell("radon", "auto", 1, cpu_seconds=1.0, ess=900.0, r_hat=1.0)]
    >>> figure = plot_bench(bench_record(cells))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['900']
    """
    if "table" not in record:
        raise SpecError(
            f"record={quote(record)} has no 'table': pass the content of bench.json."
        )
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for line in record["table"]:
        lines.setdefault(line["benchmark"], []).append(line)
    columns = min(_COLUMNS, len(lines)) or 1
    rows = -(-len(lines) // columns) or 1
    most = max(map(len, lines.values()), default=1)
    grid_height = rows * (most * _ROW_INCHES + 0.9)
    figure, grid = new_grid(
        4.2 * columns + 0.5, grid_height, rows=rows, columns=columns
    )
    axes = [ax for row in grid for ax in row]
    rates = [line["ess_per_cpu_second"] for line in record["table"]]
    limits = _limits([rate for rate in rates if rate > 0])
    for ax, (benchmark, own) in zip(axes, lines.items(), strict=False):
        _panel(ax, benchmark, own, limits, height=most)
    figure.suptitle("blue: stanpool, orange: its peers", color=ink(), fontsize="small")
    for ax in axes[len(lines) :]:
        ax.set_axis_off()
    return figure


def _limits(rates: Sequence[float]) -> tuple[float, float]:
    if not rates:
        return 0.1, 10.0
    return min(rates) / 3, max(rates) * 8  # leaves room for the numbers


def _panel(
    ax: Axes,
    benchmark: str,
    lines: Sequence[Mapping[str, Any]],
    limits: tuple[float, float],
    *,
    height: int,
) -> None:
    ax.set_xscale("log")
    ax.set_xlim(*limits)
    ax.set_ylim(height - 0.5, -0.5)
    for place, line in enumerate(lines):
        rate = line["ess_per_cpu_second"]
        colour = mark_color() if line["peer"] else main_color()
        if rate > 0:
            ax.plot([limits[0], rate], [place, place], color=colour, alpha=0.3)
            ax.plot(rate, place, "o", color=colour, markersize=5)
            text = f"{rate:,.3g}" if rate < 100 else f"{rate:,.0f}"
            x, shade = rate, ink()
        else:
            text = _without_rate(line)
            x, shade = limits[0], grey()
        ax.text(
            *(x * 1.25, place, text),
            color=shade,
            fontsize="x-small",
            va="center",
            **PLAIN,
        )
    labels = [
        line["tool"] + (f" ({line['form']})" if line["form"] else "") for line in lines
    ]
    ax.set_yticks(range(len(lines)), labels, fontsize="small")
    headline(ax, benchmark)
    ax.tick_params(axis="x", labelsize="small")
    ax.xaxis.set_minor_formatter("")
    tidy(ax, x="ESS per CPU second", y="")


def _without_rate(line: Mapping[str, Any]) -> str:
    """Say why a tool has no rate."""
    if line["status"] != "fitted":
        return str(line["status"])
    if line["is_point"]:
        return f"a point estimate in {line['cpu_seconds']:.3g} CPU s"
    return "not converged"
