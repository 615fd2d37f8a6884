"""What figures have in common: their style, axes, and labels that are plain text."""

from __future__ import annotations

import math
import sys
import textwrap
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LETTERS_PER_INCH = 12  # of a title, at least

Given = ParamSpec("Given")
Result = TypeVar("Result")


def in_style(draw: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let a function draw in the style of stanpool, ``stanpool.mplstyle``.

    Settings that a user has changed from matplotlib's defaults go before it, whether by
    ``matplotlib.rcParams``, ``matplotlib.style.use`` or a file ``matplotlibrc``.
    """

    @wraps(draw)
    def drawn(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        import matplotlib

        now, default = _settings(), cast(Any, matplotlib.rcParamsDefault)
        free = {key: value for key, value in _style() if now[key] == default[key]}
        with matplotlib.rc_context(cast(Any, free)):
            return draw(*args, **kwargs)

    return drawn


@cache
def _style() -> list[tuple[str, Any]]:
    from matplotlib import rc_params_from_file

    with as_file(files("stanpool.plots.parts") / "stanpool.mplstyle") as path:
        return [*rc_params_from_file(path, use_default_template=False).items()]


def chain_colors() -> list[str]:
    """Return the colours of chains, those of the style in their order."""
    cycle = _settings()["axes.prop_cycle"].by_key()
    return cast("list[str]", cycle.get("color", ["C0"]))


def main_color() -> str:
    """Return the colour of what a figure is about."""
    return chain_colors()[0]


def mark_color() -> str:
    """Return the colour of what stands out, or is compared with it."""
    colors = chain_colors()
    return colors[1 % len(colors)]


def ink() -> str:
    """Return the colour of text, and of the data."""
    return str(_settings()["text.color"])


def grey() -> str:
    """Return the colour of axes, and of lines to compare with."""
    return str(_settings()["axes.edgecolor"])


def paper() -> str:
    """Return the colour behind a figure, of open circles."""
    return str(_settings()["axes.facecolor"])


def _settings() -> dict[str, Any]:
    """Return matplotlib's settings, whose names its type is a list of."""
    from matplotlib import rcParams

    return cast("dict[str, Any]", rcParams)


def new_figure(width: float, height: float, *, columns: int = 1) -> tuple[Figure, Any]:
    """Make a figure with a row of axes, in inches, without the state of pyplot.

    Returns
    -------
    matplotlib.figure.Figure, list of matplotlib.axes.Axes
    """
    from matplotlib.figure import Figure

    _let_notebooks_show(Figure)
    figure = Figure(figsize=(width, height), layout="constrained")
    row = figure.subplots(1, columns, squeeze=False, sharex=True, sharey=True)[0]
    return figure, list(row)


def new_grid(
    width: float, height: float, *, rows: int, columns: int
) -> tuple[Figure, list[list[Axes]]]:
    """Make a figure with a grid of independent axes, in inches."""
    from matplotlib.figure import Figure

    _let_notebooks_show(Figure)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, [list(row) for row in grid]


def new_rows(width: float, heights: list[float]) -> list[Axes]:
    """Make a figure of axes below each other, of the given heights in inches."""
    from matplotlib.figure import Figure

    _let_notebooks_show(Figure)
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    grid = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    return list(grid[:, 0])


def pixels(figure: Figure, dpi: int) -> NDArray[np.uint8]:
    """Draw a figure once, where ``savefig`` does twice, and return its colours.

    Returns
    -------
    numpy.ndarray
        Red, green, blue and opacity, shape ``(height, width, 4)``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(dpi)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def on(ax: Axes | None, width: float = 7.5, height: float = 4.5) -> Axes:
    """Return the axes to draw on: the given ones, or those of a new figure."""
    if ax is not None:
        return ax
    axes: Axes = new_figure(width, height)[1][0]
    return axes


def figure_of(ax: Axes) -> Figure:
    """Return the figure that axes are part of."""
    return cast("Figure", ax.figure)


def headline(ax: Axes, text: str) -> None:
    """Write a title, whose text is not parsed as mathematics, above the legend."""
    ax.set_title(text, loc="left", **PLAIN)


def heading(figure: Figure, text: str) -> None:
    """Write the title of a figure of several axes, in as many lines as it needs."""
    lines = _in_lines(figure, text)
    figure.suptitle(lines, x=0.01, ha="left", fontsize="medium", **PLAIN)


def heading_and_legend(figure: Figure, text: str, handles: Any, labels: Any) -> None:
    """Write a title and a legend side by side, or below each other if it is narrow."""
    width = figure.get_figwidth()
    title = len(text) / _LETTERS_PER_INCH
    entries = [0.55 + 0.06 * len(label) for label in labels]  # inches, at most
    if title + sum(entries) < width:
        heading(figure, text)
        figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
        return
    columns = max(1, int(width / max(entries, default=width)))
    shown = figure.legend(
        handles, labels, loc="outside upper left", ncols=columns, alignment="left"
    )
    shown.set_title(_in_lines(figure, text))
    shown.get_title().set(fontsize="medium", **PLAIN)


def _in_lines(figure: Figure, text: str) -> str:
    """Break a title into lines that are no wider than the figure.

    Matplotlib's own wrapping would parse what looks like mathematics.
    """
    return textwrap.fill(text, int(_LETTERS_PER_INCH * figure.get_figwidth()))


def legend(ax: Axes, **options: Any) -> None:
    """Write a legend above the axes, and the title above it, which comes first."""
    title = ax.get_title(loc="left")
    if title:
        ax.set_title(title, loc="left", pad=22, **PLAIN)
    shown = ax.legend(
        ncols=5,
        columnspacing=1.2,
        handlelength=1.5,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        borderaxespad=0.2,
        **options,
    )
    for text in shown.get_texts():
        text.set(**PLAIN)


def density(
    values: NDArray[Any], low: float, high: float, *, points: int = 256
) -> tuple[Array, Array]:
    """Estimate the density of a sample between two bounds.

    A fine histogram is smoothed by a normal kernel of Silverman's width, in a time that
    is linear in the size of the sample, so that a million rows can be drawn. Values
    outside of the bounds count in the total.

    Returns
    -------
    numpy.ndarray, numpy.ndarray
        Positions and densities, of shape ``(points,)``.

    Examples
    --------
    >>> x, y = density(np.random.default_rng(1).normal(size=10_000), -4, 4)
    >>> round(float(y.max()), 1)
    0.4
    """
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(values, bins=points, range=(low, high))
    step = (high - low) / points
    q25, q75 = np.quantile(values, (0.25, 0.75))
    spread = min(values.std(), (q75 - q25) / 1.34) or values.std() or step
    width = max(0.9 * spread * len(values) ** -0.2 / step, 1.0)
    reach = int(min(4 * width, points)) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    padded = np.pad(counts.astype(float), reach, mode="reflect")
    smooth = np.convolve(padded, kernel / kernel.sum(), mode="valid")
    return (edges[:-1] + edges[1:]) / 2, smooth / (len(values) * step)


def _let_notebooks_show(figure: type[Figure]) -> None:
    """Let notebooks show figures, as importing pyplot would."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return
    formatters = shell.display_formatter.formatters.values()
    if not any(figure in formatter.type_printers for formatter in formatters):
        import_module("IPython.core.pylabtools").select_figure_formats(shell, {"png"})


def log_axis(
    ax: Axes, which: Literal["x", "y"], low: float, high: float, *, whole: bool = False
) -> None:
    """Set a logarithmic scale with plain numbers: 1, 2, 5, 10 or only 1, 10, 100.

    With ``whole``, all ticks are whole numbers.
    """
    from matplotlib.ticker import MaxNLocator, NullLocator

    steps = (1, 2, 5) if high / low < 300 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    candidates = [step * 10.0**power for power in powers for step in steps]
    if sum(low <= tick <= high for tick in candidates) < 3:
        candidates = list(MaxNLocator(5, integer=whole).tick_values(low, high))
    ticks = [tick for tick in candidates if low <= tick <= high]
    axis = {"x": ax.xaxis, "y": ax.yaxis}[which]
    ax.set(**{f"{which}scale": "log", f"{which}lim": (low, high)})
    axis.set_ticks(ticks, labels=[f"{tick:,.6g}" for tick in ticks])
    axis.set_minor_locator(NullLocator())


def tidy(ax: Axes, *, x: str, y: str) -> None:
    """Label axes with text that is not parsed as mathematics, and remove the box."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(grey())
    ax.tick_params(color=grey(), labelcolor=ink())
    for set_label, text in ((ax.set_xlabel, x), (ax.set_ylabel, y)):
        set_label(text, **PLAIN)


PLAIN: dict[str, Any] = {"parse_math": False, "usetex": False}


def on_paper(label: object, limit: int = 32) -> str:
    """Shorten a label for a figure, in whose legend it is shown whatever it is.

    Legends of matplotlib leave out labels that begin with an underscore.
    """
    text = short_label(label, limit)
    return f" {text}" if text.startswith("_") else text
