"""Trees in Newick's format, such as ``((a:1,b:1):2,c:3);``."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from stanpool.base.errors import DataError, quote

_PIECE = re.compile(r"'(?:[^']|'')*'|\[[^\]]*\]|[(),:;]|[^\s(),:;'\[\]]+|\S")
_NUMBER = re.compile(r"[\d./]+")
# What may follow what: n is a name, l a length, and the tree begins after nothing.
_FOLLOWS = {
    "": "(",
    "(": "(n",
    ",": "(n",
    ")": "n:,);",
    "n": ":,);",
    ":": "l",
    "l": ",);",
    ";": "",
}


@dataclass
class Node:
    """A species or an ancestor.

    Attributes
    ----------
    parent
        The place of its ancestor among all nodes, where the root is 0.
    name, length
        Its name, and the length of the branch that leads to it, as they are written.
    is_tip
        Whether nothing descends from it.
    """

    parent: int
    name: str = ""
    length: str = ""
    is_tip: bool = True


def read_newick(name: str, text: str) -> list[Node]:
    """Read a tree; return its nodes but the root, ancestors first, all with names.

    Raises
    ------
    DataError
        If the text is no such tree.
    """
    pieces = [each for each in _PIECE.findall(text) if not each.startswith("[")]
    nodes = _read(name, pieces)
    _name_ancestors(nodes)
    return nodes[1:]


def _read(name: str, pieces: list[str]) -> list[Node]:
    """Return all nodes in the order in which they are written, the root first."""
    nodes: list[Node] = []
    opened, last, before = [-1], 0, ""
    for at, piece in enumerate(pieces):
        kind = piece if piece in _FOLLOWS else "l" if before == ":" else "n"
        is_misplaced = kind in "),;" and (kind == ";") != (len(opened) == 1)
        if kind not in _FOLLOWS[before] or is_misplaced or piece == "'":
            raise _unreadable(name, pieces[:at], piece)
        if kind == "(" or (kind == "n" and before in "(,"):
            last = len(nodes)
            nodes.append(Node(opened[-1]))
            if opened[-1] >= 0:
                nodes[opened[-1]].is_tip = False
        if kind == "(":
            opened.append(last)
        elif kind == ")":
            last = opened.pop()
        elif kind == "n":
            is_quoted = piece.startswith("'")
            nodes[last].name = piece[1:-1].replace("''", "'") if is_quoted else piece
        elif kind == "l":
            nodes[last].length = piece
        before = kind
    if before != ";":
        raise _unreadable(name, pieces, "")
    return nodes


def _unreadable(name: str, before: list[str], piece: str) -> DataError:
    """Say where a text is no tree."""
    read = "".join(before)
    if not read:
        found = (
            f"it begins with {quote(piece)} and not with '('. Pass the text of a file "
            "rather than its name: Path('tree.nwk').read_text()"
        )
    elif piece:
        found = f"{quote(piece)} cannot follow {quote(read[-20:])}"
    else:
        found = f"the ';' is missing after {quote(read[-20:])}"
    return DataError(
        f"the tree {quote(name)} is not in Newick's format: {found}. An example of "
        "the format is '((a:1,b:1):2,c:3);'."
    )


def _name_ancestors(nodes: list[Node]) -> None:
    """Name ancestors by two of their species, unless they have names of their own.

    Numbers, and names that several ancestors have, are none: programs write there how
    well a clade is supported.
    """
    written = Counter(node.name for node in nodes)
    first: dict[int, str] = {}
    last: dict[int, str] = {}
    for place in reversed(range(len(nodes))):
        node = nodes[place]
        if node.is_tip:
            first[place] = last[place] = node.name
        elif written[node.name] > 1 or _NUMBER.fullmatch(node.name or "0"):
            node.name = f"ancestor of {first[place]} and {last[place]}"
        first[node.parent] = first[place]
        last.setdefault(node.parent, last[place])
