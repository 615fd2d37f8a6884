"""Executed notebooks as pages."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# The form that says most, first.
_IMAGES = {"image/svg+xml": "svg", "image/png": "png"}


def pages(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of the page of each notebook, and of its figures."""
    for path in folder.glob("figures/*.png"):
        yield f"notebooks/figures/{path.name}", path.read_bytes()
    for path in sorted(folder.glob("*.ipynb")):
        text, figures = [], 0
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                text.append(source)
                continue
            text.append(f"```python\n{source}\n```")
            for output in cell["outputs"]:
                shown, files = _shown(output, f"{path.stem}_{figures + 1}")
                text.append(shown)
                figures += len(files)
                for file, content in files.items():
                    yield f"notebooks/{file}", content
        yield f"notebooks/{path.stem}.md", ("\n\n".join(text) + "\n").encode()


def _shown(output: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """Return an output as Markdown, and the files that it refers to."""
    if output["output_type"] == "stream":
        return _text("".join(output["text"])), {}
    data = {kind: "".join(value) for kind, value in output.get("data", {}).items()}
    for kind, ending in _IMAGES.items():
        if kind in data:
            raw = data[kind].encode()
            content = raw if ending == "svg" else base64.b64decode(raw)
            return f"![Figure]({name}.{ending})", {f"{name}.{ending}": content}
    if "text/html" in data:
        # Blank lines would end the block of HTML in Markdown.
        html = re.sub(r"\n\s*\n", "\n", data["text/html"])
        return f'<div class="nb-output">\n{html}\n</div>', {}
    return _text(data.get("text/plain", "")), {}


def _text(text: str) -> str:
    return f"```output\n{text.rstrip()}\n```" if text.strip() else ""
