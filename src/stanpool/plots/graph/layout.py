"""Where the nodes of a model's graph are drawn: rows below, groups above, then scales.

Nodes of a plate are a block. Blocks of rows are in the lowest of three tiers, those of
groups in the middle one, and quantities without an index on top, unless they are of the
rows alone. Nodes are above what depends on them; data are to the left of it, and
parameters of the rows to the right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from stanpool.model.description.graph import Graph, GraphNode

# In inches: of a character of a label, of a line of it, and between nodes.
_CHARACTER, _LINE, _GAP, _RISE = 0.088, 0.2, 0.28, 0.42
_SPACE = 0.1  # between nodes of a stack
MARGIN = 0.2  # of a plate around its nodes
TITLE = 0.24  # height of the title at its foot
_SMALL = 0.072  # a character of the title

Children = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Box:
    """A node or a plate: its middle and its size, in inches."""

    x: float
    y: float
    width: float
    height: float

    def moved(self, x: float, y: float) -> Box:
        """Return the box elsewhere."""
        return replace(self, x=self.x + x, y=self.y + y)


@dataclass(frozen=True)
class Layout:
    """Where everything is, in inches from the lower left corner."""

    nodes: Mapping[str, Box]
    plates: Mapping[str, Box]
    width: float
    height: float


def lay_out(graph: Graph) -> Layout:
    """Find a place for each node, and the rectangles of the plates around them."""
    children: dict[str, list[str]] = {node.name: [] for node in graph.nodes}
    for start, end in graph.edges:
        children[start].append(end)
    tier = _tiers(graph, children)
    placed: dict[str, Box] = {}
    plates: dict[str, Box] = {}
    bottom = 0.0
    for level in range(3):
        nodes = [node for node in graph.nodes if tier[node.name] == level]
        if nodes:
            own, around = _tier(graph, nodes, children, placed)
            placed |= {name: box.moved(0.0, bottom) for name, box in own.items()}
            plates |= {name: box.moved(0.0, bottom) for name, box in around.items()}
            bottom = _RISE + max(
                box.y + box.height / 2 for box in (*placed.values(), *plates.values())
            )
    return _framed(placed, plates)


def _tiers(graph: Graph, children: Children) -> dict[str, int]:
    """Say which tier each node is in: 0 rows, 1 groups, 2 populations."""
    rows = graph.nodes[0].plate  # of the outcome
    tier: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in tier:
            plate = graph.node(name).plate
            if plate == rows:
                tier[name] = 0
            elif plate and plate not in graph.of_parameters:
                tier[name] = 1
            else:
                tier[name] = 2 if any(map(of, children[name])) else 0
        return tier[name]

    for node in graph.nodes:
        of(node.name)
    return tier


def _tier(
    graph: Graph,
    nodes: Sequence[GraphNode],
    children: Children,
    placed: Mapping[str, Box],
) -> tuple[dict[str, Box], dict[str, Box]]:
    """Place the nodes of a tier, block beside block, about a middle of 0."""
    is_lowest = not placed
    ranks = _ranks(nodes, children, is_lowest)
    blocks: dict[str, list[GraphNode]] = {}
    for node in nodes:
        blocks.setdefault(node.plate, []).append(node)
    heights = _heights(blocks, ranks, is_lowest)
    order = sorted(blocks, key=lambda each: _middle(blocks[each], children, placed))
    found: dict[str, Box] = {}
    plates: dict[str, Box] = {}
    left = 0.0
    for plate in order:
        boxes = _block(blocks[plate], children, placed, ranks, heights, is_lowest)
        left_edge = min(box.x - box.width / 2 for box in boxes.values())
        width = max(box.x + box.width / 2 for box in boxes.values()) - left_edge
        margin = MARGIN if plate else 0.0
        if plate:
            width = max(width, _SMALL * len(graph.title(plate)))
        shift = left + margin - left_edge
        found |= {name: box.moved(shift, 0.0) for name, box in boxes.items()}
        if plate:
            low = min(box.y - box.height / 2 for box in boxes.values()) - MARGIN - TITLE
            high = max(box.y + box.height / 2 for box in boxes.values()) + MARGIN
            middle = left + margin + width / 2
            around = Box(middle, (low + high) / 2, width + 2 * MARGIN, high - low)
            plates[plate] = around
        left += width + 2 * margin + _GAP
    middle = (left - _GAP) / 2
    low = min(x.y - x.height / 2 for x in (*found.values(), *plates.values()))
    return (
        {name: box.moved(-middle, -low) for name, box in found.items()},
        {name: box.moved(-middle, -low) for name, box in plates.items()},
    )


def _ranks(
    nodes: Sequence[GraphNode], children: Children, is_lowest: bool
) -> dict[str, int]:
    """Return how high each node is in its tier: above, or beside, what needs it."""
    own = {node.name: node for node in nodes}
    rank: dict[str, int] = {}

    def of(name: str) -> int:
        if name not in rank:
            inner = [of(child) for child in children[name] if child in own]
            is_beside = bool(inner) and _is_beside(own[name], is_lowest)
            rank[name] = max(inner, default=-1) + (0 if is_beside else 1)
        return rank[name]

    return {name: of(name) for name in own}


def _is_beside(node: GraphNode, is_lowest: bool) -> bool:
    return node.kind == "data" or (is_lowest and node.kind == "parameter")


def _heights(
    blocks: Mapping[str, Sequence[GraphNode]],
    ranks: Mapping[str, int],
    is_lowest: bool,
) -> dict[int, float]:
    """Return how high the middle of each rank is; a stack needs room for all of it."""
    found: dict[int, float] = {}
    bottom = 0.0
    for level in sorted({*ranks.values()}):
        height = 0.0
        for block in blocks.values():
            row = [node for node in block if ranks[node.name] == level]
            stack = [x for x in row if _is_beside(x, is_lowest)]
            height = max([height, _height(stack), *(size_of(x)[1] for x in row)])
        found[level] = bottom + height / 2
        bottom += height + _RISE
    return found


def _height(stack: Sequence[GraphNode]) -> float:
    """Return the height of nodes one above the other."""
    return sum(size_of(x)[1] + _SPACE for x in stack) - _SPACE


def _block(
    nodes: Sequence[GraphNode],
    children: Children,
    placed: Mapping[str, Box],
    ranks: Mapping[str, int],
    heights: Mapping[int, float],
    is_lowest: bool,
) -> dict[str, Box]:
    """Place the nodes of a block about a middle of 0, with stacks to their left."""
    found: dict[str, Box] = {}
    for level in sorted({ranks[node.name] for node in nodes}):
        known = {**placed, **found}
        row = [node for node in nodes if ranks[node.name] == level]
        stack = [x for x in row if _is_beside(x, is_lowest)]
        others = [x for x in row if not _is_beside(x, is_lowest)]
        others.sort(key=lambda x: _middle([x], children, known))
        width = sum(size_of(x)[0] + _GAP for x in others) - _GAP
        left = -width / 2
        if stack:
            right = left - _GAP if others else 0.0
            middle = right - max(size_of(x)[0] for x in stack) / 2
            top = heights[level] + _height(stack) / 2
            for node in stack:
                own = size_of(node)
                found[node.name] = Box(middle, top - own[1] / 2, *own)
                top -= own[1] + _SPACE
        for node in others:
            own = size_of(node)
            found[node.name] = Box(left + own[0] / 2, heights[level], *own)
            left += own[0] + _GAP
    return found


def size_of(node: GraphNode) -> tuple[float, float]:
    """Return the width and the height of a node, in inches."""
    longest = max(map(len, node.label))
    return _CHARACTER * longest + 0.35, _LINE * len(node.label) + 0.16


def _middle(
    nodes: Sequence[GraphNode],
    children: Children,
    placed: Mapping[str, Box],
) -> float:
    """Return where what depends on some nodes is, from left to right."""
    found = [
        placed[child].x
        for node in nodes
        for child in children[node.name]
        if child in placed
    ]
    return sum(found) / len(found) if found else 0.0


def _framed(placed: Mapping[str, Box], plates: Mapping[str, Box]) -> Layout:
    """Move everything into a frame."""
    every = [*placed.values(), *plates.values()]

    def edge(of: Callable[[Box], float]) -> list[float]:
        return [of(box) for box in every]

    left = min(edge(lambda box: box.x - box.width / 2)) - MARGIN
    bottom = min(edge(lambda box: box.y - box.height / 2)) - MARGIN
    right = max(edge(lambda box: box.x + box.width / 2)) + MARGIN
    top = max(edge(lambda box: box.y + box.height / 2)) + MARGIN
    return Layout(
        {name: box.moved(-left, -bottom) for name, box in placed.items()},
        {index: box.moved(-left, -bottom) for index, box in plates.items()},
        right - left,
        top - bottom,
    )
