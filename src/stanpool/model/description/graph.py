"""A model as a graph: its quantities, what each is made of, and plates around them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from stanpool.model.description.description import Description, Statement
from stanpool.model.description.notation import (
    Call,
    Indexed,
    Label,
    Line,
    Math,
    Number,
    Power,
    Vector,
    Words,
    quantities,
)
from stanpool.model.description.writers.letters import name_of
from stanpool.model.description.writers.plain_text import plain

Kind = Literal["outcome", "data", "parameter", "calculated"]

_MOST = 4  # quantities alike that have nodes of their own
_SHOWN = 2  # of more


@dataclass(frozen=True)
class GraphNode:
    """A quantity of a model, or several that are alike.

    Attributes
    ----------
    name
        The name of the node, such as ``"n3"``.
    label
        What is written in it: the quantity, and its distribution.
    kind
        ``"outcome"``, ``"data"``, ``"parameter"``, or ``"calculated"`` from others.
    plate
        The index that it is repeated over: that of rows or of groups where it has
        several; empty if it has none.
    """

    name: str
    label: tuple[str, ...]
    kind: Kind
    plate: str


@dataclass(frozen=True)
class Graph:
    """The graph of a model.

    Attributes
    ----------
    nodes
        Its quantities.
    edges
        The names of two nodes, the second of which depends on the first.
    plates
        What each index counts, by its letter: ``"j = 1, ..., 85: county"``.
    of_parameters
        The indices of parameters, and not of rows or groups.
    """

    nodes: tuple[GraphNode, ...]
    edges: tuple[tuple[str, str], ...]
    plates: tuple[tuple[str, str], ...]
    of_parameters: frozenset[str] = frozenset()

    def node(self, name: str) -> GraphNode:
        """Return a node."""
        return next(each for each in self.nodes if each.name == name)

    def title(self, plate: str) -> str:
        """Say what the nodes of a plate are repeated for."""
        return dict(self.plates)[plate]

    @property
    def dot(self) -> str:
        """The source of the graph for Graphviz."""
        lines = ["digraph model {", '  node [fontname="sans-serif"];']
        for plate in dict.fromkeys(node.plate for node in self.nodes):
            nodes = [node for node in self.nodes if node.plate == plate]
            written = [f"  {_dot_node(node)}" for node in nodes]
            if plate:
                title = json.dumps(self.title(plate), ensure_ascii=False)
                written = [
                    f"  subgraph cluster_{plate} {{",
                    f'    label={title}; labeljust="r"; fontname="sans-serif";',
                    *(f"  {each}" for each in written),
                    "  }",
                ]
            lines += written
        lines += [f"  {start} -> {end};" for start, end in self.edges]
        return "\n".join([*lines, "}"])


_SHAPES = {
    "outcome": 'shape=ellipse, style="filled,bold", fillcolor="#dddddd"',
    "data": 'shape=box, style=filled, fillcolor="#eeeeee"',
    "parameter": "shape=ellipse",
    "calculated": 'shape=box, style="rounded,dashed"',
}


def _dot_node(node: GraphNode) -> str:
    # JSON escapes quotes and backslashes as DOT does; \n is a new line in both.
    label = json.dumps("\n".join(node.label), ensure_ascii=False)
    return f"{node.name} [label={label}, {_SHAPES[node.kind]}];"


@dataclass(frozen=True)
class _Draft:
    """A node before it has a name: the quantities that it is, and those it is from."""

    keys: tuple[Indexed, ...]
    symbol: str
    distribution: str
    kind: Kind
    uses: tuple[Indexed, ...]

    @property
    def plates(self) -> tuple[str, ...]:
        return tuple(plain(each) for each in self.keys[0].at)


def graph_of(model: Description) -> Graph:
    """Return the graph of a model's statements."""
    drafts = _with_data(list(_stated(model)))
    owners = {key: place for place, each in enumerate(drafts) for key in each.keys}
    edges = {
        (owners[key], place)
        for place, each in enumerate(drafts)
        for key in each.uses
        if owners[key] != place
    }
    return _merged(model, drafts, edges)


def _plate_of(model: Description, draft: _Draft) -> str:
    """Return the index of a quantity: that of rows, or of groups, before others."""
    of_parameters = {x.letter for x in model.plates if x.is_of_parameters}
    own = sorted(draft.plates, key=lambda letter: letter in of_parameters)
    return model.plates[0].letter if model.plates[0].letter in own else (*own, "")[0]


def _stated(model: Description) -> Iterator[_Draft]:
    """Yield what the lines of a model state, each quantity once.

    What further lines say of the outcome is part of its distribution.
    """
    seen: set[Indexed] = set()
    outcome, *_ = model.statements
    further = [
        key
        for each in model.statements[1:]
        for key in each.uses
        if each.states == outcome.states
    ]
    used = {key for each in model.statements for key in each.uses}
    for number, stated in enumerate(model.statements):
        keys = tuple(key for key in stated.states if key not in seen)
        if not keys:
            continue
        seen |= {*keys}
        kind: Kind = "parameter" if stated.relation == "~" else "calculated"
        if number == 0 or (_is_column(stated.left) and not used & {*keys}):
            kind = "outcome"  # of a predictor with errors, what was observed
        uses = tuple(key for key in stated.uses if key not in keys)
        uses += tuple(further) if number == 0 else ()
        left = stated.left if stated.one_of is None else stated.one_of
        yield _Draft(keys, _symbol(left), _distribution(stated, kind), kind, uses)


def _is_column(left: Math) -> bool:
    """Whether a statement is about a column of the data."""
    return isinstance(left, Indexed) and isinstance(left.base, Label)


def _symbol(left: Math) -> str:
    """Write the left side of a statement, of a function of a quantity the latter."""
    if isinstance(left, Call | Power):
        return ", ".join(plain(each) for each in quantities(left))
    if isinstance(left, Vector):
        return ", ".join(map(plain, left.items))
    return plain(left)


def _distribution(stated: Statement, kind: Kind) -> str:
    """Name the distribution of a quantity, without its arguments."""
    right: Math = stated.right
    if kind == "calculated":
        return ""
    while isinstance(right, Line):
        right = right.parts[0]
    if isinstance(right, Number):
        return f"= {right.text}"
    if stated.relation == "=":  # the probability of an ordered category
        return "~ Ordered"
    if isinstance(stated.left, Call):  # of a link of the quantity
        return f"{plain(stated.left.function)} ~ {_name(right)}"
    return f"~ {_name(right)}"


def _name(distribution: Math) -> str:
    if isinstance(distribution, Call) and isinstance(distribution.function, Words):
        return distribution.function.text
    return plain(distribution)


def _with_data(drafts: list[_Draft]) -> list[_Draft]:
    """Add what is used and not stated: data, and cutpoints of a joint prior."""
    known = {key for each in drafts for key in each.keys}
    used = dict.fromkeys(key for each in drafts for key in each.uses)
    for key in used:
        if key not in known:
            is_data = isinstance(key.base, Label) or plain(key.base)[0] in "xw"
            kind: Kind = "data" if is_data else "parameter"
            drafts.append(_Draft((key,), plain(key), "", kind, ()))
    return drafts


def _merged(
    model: Description, drafts: list[_Draft], edges: set[tuple[int, int]]
) -> Graph:
    """Return the graph, with one node for many quantities that are alike."""
    alike: dict[object, list[int]] = {}
    for place, each in enumerate(drafts):
        parents = frozenset(a for a, b in edges if b == place)
        children = frozenset(b for a, b in edges if a == place)
        like = (each.plates, each.kind, parents, children)
        alike.setdefault(like, []).append(place)
    names: dict[int, str] = {}
    nodes: list[GraphNode] = []
    for places in alike.values():
        together = [places] if len(places) > _MOST else [[each] for each in places]
        for some in together:
            name = f"n{len(nodes)}"
            names |= dict.fromkeys(some, name)
            some_drafts = [drafts[place] for place in some]
            nodes.append(_node(model, name, some_drafts))
    pairs = dict.fromkeys((names[a], names[b]) for a, b in sorted(edges))
    plates = tuple((x.letter, _plate(x.letter, x.size, x.name)) for x in model.plates)
    own = frozenset(x.letter for x in model.plates if x.is_of_parameters)
    return Graph(tuple(nodes), tuple(pairs), plates, own)


def _node(model: Description, name: str, drafts: list[_Draft]) -> GraphNode:
    """Return the node of one quantity or of several."""
    symbols = [each.symbol for each in drafts]
    shown = tuple(symbols[:_SHOWN] if len(symbols) > 1 else symbols)
    more = len(symbols) - len(shown)
    lines = [*shown, f"and {more} more" if more else "", drafts[0].distribution]
    plate = _plate_of(model, drafts[0])
    return GraphNode(name, tuple(filter(None, lines)), drafts[0].kind, plate)


def _plate(letter: str, size: int, name: str) -> str:
    values = "1" if size == 1 else "1, 2" if size == 2 else f"1, ..., {size}"
    return f"{letter} = {values}: {name_of(name)}"
