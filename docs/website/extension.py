"""Mathematics as MathML, which needs no scripts; and links from code in sentences."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

from website.reference import targets

_LINKS = (nodes.reference, addnodes.pending_xref, nodes.title, addnodes.desc_signature)
_CALL = re.compile(r"((?:sp|fit|model|stanpool)\.)?([\w.]+)(\(.*\))?", re.DOTALL)


class LinkedCode(SphinxPostTransform):
    """Link ``fit.predict(...)`` in a sentence to the page of that method."""

    default_priority = 500

    def run(self, **kwargs: Any) -> None:
        """Put a reference around each literal that is a public name."""
        known, here = targets(), self.env.docname
        owner = here.rpartition("/")[2].partition(".")[0]
        for node in list(self.document.findall(nodes.literal)):
            written = _written(node.astext())
            # Where a method is explained, the name alone is another of the same class.
            target = known.get(written) or known.get(f"{owner}.{written}")
            if target in (None, here) or any(
                isinstance(e, _LINKS) for e in _over(node)
            ):
                continue
            address = self.app.builder.get_relative_uri(here, target)
            link = nodes.reference("", "", internal=True, refuri=address)
            node.replace_self(link)
            link += node


def _written(text: str) -> str:
    """Return what is called, without its arguments."""
    match = _CALL.fullmatch(text)
    return (match[1] or "") + match[2] if match else ""


def _over(node: nodes.Node) -> list[nodes.Node]:
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(convert(node.astext()))
    raise nodes.SkipNode


def _display(self: Any, node: nodes.math_block) -> None:
    self.body.append(
        f'<div class="equation">{convert(node.astext(), display="block")}</div>'
    )
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the links and the mathematics."""
    app.add_post_transform(LinkedCode)
    app.add_html_math_renderer("mathml", (_inline, None), (_display, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
