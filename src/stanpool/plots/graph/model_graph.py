"""The graph of a model as a figure, and as SVG or Graphviz source."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from stanpool.base.arguments import public
from stanpool.model.description.describe import describe
from stanpool.model.description.graph import Graph, GraphNode, graph_of
from stanpool.model.prepared_model import PreparedModel
from stanpool.plots.graph.layout import MARGIN, Box, lay_out
from stanpool.plots.parts.canvas import PLAIN, figure_of, grey, in_style, ink, on, paper

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FILLED = {"outcome": "#D9E8F2", "data": "#EEEEEE"}
_EDGES: dict[str, dict[str, Any]] = {
    "outcome": {"linewidth": 1.6},
    "calculated": {"linestyle": "--"},
}


@dataclass(frozen=True, repr=False)
class ModelGraph:
    """The graph of a model: its quantities, and which of them depend on which.

    Attributes
    ----------
    graph
        Its nodes, edges and plates.
    dot
        The source for Graphviz.
    figure
        A matplotlib figure.
    svg
        The graph as SVG: by the ``graphviz`` package and program where they are
        installed, else by matplotlib.
    """

    graph: Graph

    @property
    def dot(self) -> str:
        """The source for Graphviz."""
        return self.graph.dot

    @cached_property
    def figure(self) -> Figure:
        """A matplotlib figure of the graph."""
        return figure_of(_drawn(self.graph, None))

    @cached_property
    def svg(self) -> str:
        """The graph as SVG."""
        try:
            graphviz = import_module("graphviz")
            found = graphviz.Source(self.dot).pipe(format="svg", encoding="utf-8")
            return str(found)
        except Exception:  # neither the package nor the program is needed
            buffer = io.StringIO()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Glyph .* missing from font")
                self.figure.savefig(buffer, format="svg")
            return buffer.getvalue()

    def __repr__(self) -> str:
        """Return the source for Graphviz."""
        return self.dot

    def _repr_svg_(self) -> str:
        """Return the SVG, for notebooks."""
        return self.svg


def graph(model: PreparedModel) -> ModelGraph:
    """Return the graph of the model: data, parameters, and what depends on what.

    Quantities with an index are in a plate, a rectangle that says how many there are of
    them [1]_. Data are boxes; parameters are ellipses, with their distributions; what
    is calculated from others has a dashed line.

    References
    ----------
    .. [1] Koller and Friedman (2009). Probabilistic graphical models, section 6.4. MIT
       Press.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("log_radon ~ floor + (1 | county)", sp.load_dataset("radon"))
    >>> print(model.graph().dot)  # doctest: +ELLIPSIS
    digraph model {
    ...
    """
    return ModelGraph(graph_of(describe(model)))


@public
def plot_graph(model: PreparedModel, *, ax: Axes | None = None) -> Figure:
    """Draw the graph of a model, as ``model.graph()`` describes it.

    Parameters
    ----------
    model
        The model.
    ax
        The axes to draw on; by default those of a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("log_radon ~ floor + (1 | county)", sp.load_dataset("radon"))
    >>> figure = sp.plots.plot_graph(model)
    """
    return figure_of(_drawn(graph_of(describe(model)), ax))


@in_style
def _drawn(graph: Graph, ax: Axes | None) -> Axes:
    """Draw plates, then nodes, then arrows between them."""
    from matplotlib.patches import FancyArrowPatch

    layout = lay_out(graph)
    ax = on(ax, layout.width, layout.height)
    ax.set(xlim=(0, layout.width), ylim=(0, layout.height), aspect="equal")
    ax.axis("off")
    for plate, box in layout.plates.items():
        _draw_plate(ax, box, graph.title(plate))
    shapes = {
        node.name: _draw_node(ax, node, layout.nodes[node.name]) for node in graph.nodes
    }
    for start, end in graph.edges:
        places = [(layout.nodes[x].x, layout.nodes[x].y) for x in (start, end)]
        ax.add_patch(
            FancyArrowPatch(
                *places,
                patchA=shapes[start],
                patchB=shapes[end],
                shrinkA=1,
                shrinkB=1,
                arrowstyle="-|>",
                mutation_scale=9,
                color=grey(),
                linewidth=0.9,
                zorder=1,
            )
        )
    return ax


def _draw_plate(ax: Axes, box: Box, title: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    left, bottom = box.x - box.width / 2, box.y - box.height / 2
    ax.add_patch(
        FancyBboxPatch(
            (left, bottom),
            box.width,
            box.height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor="none",
            edgecolor=grey(),
            linewidth=0.8,
            zorder=0,
        )
    )
    right = left + box.width - MARGIN / 2
    style: dict[str, Any] = {
        "fontsize": 8,
        "color": grey(),
        "ha": "right",
        "va": "bottom",
    }
    ax.text(right, bottom + MARGIN / 4, title, **style, **PLAIN)


def _draw_node(ax: Axes, node: GraphNode, box: Box) -> Any:
    from matplotlib.patches import Ellipse, FancyBboxPatch

    style: dict[str, Any] = {
        "facecolor": _FILLED.get(node.kind, paper()),
        "edgecolor": ink(),
        "linewidth": 0.9,
        "zorder": 2,
    } | _EDGES.get(node.kind, {})
    shape: Any
    if node.kind in ("outcome", "parameter"):
        shape = Ellipse((box.x, box.y), box.width, box.height, **style)
    else:
        corner = (box.x - box.width / 2, box.y - box.height / 2)
        rounding = 0.1 if node.kind == "calculated" else 0.0
        shape = FancyBboxPatch(
            corner,
            box.width,
            box.height,
            boxstyle=f"round,pad=0,rounding_size={rounding}",
            **style,
        )
    ax.add_patch(shape)
    text = "\n".join(node.label)
    middle: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 3}
    ax.text(box.x, box.y, text, fontsize=9, color=ink(), **middle, **PLAIN)
    return shape
