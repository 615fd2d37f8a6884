"""Put the pages of the site together, in a folder that Sphinx reads."""

from __future__ import annotations

import os
import re
import tomllib
import warnings
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from website import notebooks, reference, tables

# Files beside the documentation that are pages of the site.
_PAGES_OF_FILES = {
    "CHANGELOG.md": "changelog.md",
    "stan_templates/README.md": "how/templates.md",
    "notebooks/README.md": "notebooks/index.md",
}
# Sections whose pages are those that the page links to in its own folder.
_SECTIONS = ("topics/index.md", "coming_from/index.md", "notebooks/index.md")
_PAGE_BESIDE = re.compile(r"\]\((\w+)\.(?:md|ipynb)\)")
_TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)#\s]*)(#[^)\s]*)?\)")


def put_together(root: Path, source: Path, *, gallery: bool) -> None:
    """Write all pages to ``source``, and remove what is not of the site any more."""
    files = dict(_all(root))
    if gallery:
        files |= _gallery(root)
    for path in [each for each in source.rglob("*") if each.is_file()]:
        if path.relative_to(source).as_posix() not in files:
            path.unlink()
    for name, content in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def _all(root: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the path and content of all pages but the gallery."""
    docs = root / "docs"
    for path in sorted(docs.rglob("*")):
        name = path.relative_to(docs).as_posix()
        if path.suffix == ".md":
            yield name, _page(path, name, root).encode()
        elif path.suffix in (".png", ".svg"):
            yield name, path.read_bytes()
    for file, name in _PAGES_OF_FILES.items():
        yield name, _page(root / file, name, root).encode()
    yield "guide.md", _guide(docs).encode()
    for name, text in reference.pages():
        yield name, text.encode()
    yield from notebooks.pages(root / "notebooks")


def _guide(docs: Path) -> str:
    """Return the page that lists the pages at the top which no other page lists."""
    texts = {path.stem: path.read_text("utf-8") for path in docs.glob("*.md")}
    listed = {
        name
        for text in texts.values()
        for toctree in _TOCTREE.findall(text)
        for name in toctree.split()
    }
    names = sorted(texts.keys() - listed - {"index"})
    text = "# Guide\n\nWhat to do with a fit, and what each kind of model needs.\n"
    return text + reference.toctree(names, ":maxdepth: 1")


def _page(path: Path, name: str, root: Path) -> str:
    """Return a page with its tables filled in, and links as they are in the site."""
    text = path.read_text("utf-8")
    if name.startswith("reference/"):
        environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
        text = environment.from_string(text).render(tables.NAMES)
    if name in _SECTIONS:
        text += reference.toctree(_PAGE_BESIDE.findall(text), ":hidden:")

    def relinked(match: re.Match[str]) -> str:
        return f"{match[1]}{_link(match[2], path, name, root)}{match[3] or ''})"

    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(p if p.startswith("```") else _LINK.sub(relinked, p) for p in parts)


def _link(link: str, path: Path, name: str, root: Path) -> str:
    """Return a link of a file as a link of the page that is made of it."""
    if not link or ":" in link:
        return link
    target = (path.parent / link).resolve()
    if not target.is_relative_to(root):
        raise FileNotFoundError(f"{path} links to {link}, outside of the repository.")
    place = target.relative_to(root).as_posix()
    page = _PAGES_OF_FILES.get(place)
    if page is None and place.startswith("notebooks/"):
        page = {".ipynb": place.replace(".ipynb", ".md"), ".png": place}.get(
            target.suffix
        )
    if page is None and place.startswith("docs/") and "docs/website" not in place:
        page = place.removeprefix("docs/")
    if page is not None:
        return Path(os.path.relpath(page, Path(name).parent)).as_posix()
    if not target.exists():
        raise FileNotFoundError(f"{path} links to {link}, which does not exist.")
    return f"{repository(root)}/blob/main/{place}"


def repository(root: Path) -> str:
    """Return the address of the repository."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["urls"]["Repository"])


def _gallery(root: Path) -> dict[str, bytes]:
    """Draw the figures, and return the page and the files."""
    import gallery

    folder = root / "build" / "docs" / "gallery"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rows beyond the data, for example
        gallery.write(folder)
    return {
        each.relative_to(folder).as_posix(): each.read_bytes()
        for each in folder.rglob("*")
        if each.is_file()
    }
