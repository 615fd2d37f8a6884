"""Check a site that was built: its links, and that nothing comes from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser loads to show a page, and what a reader follows.
_LOADED = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
}


class _Page(HTMLParser):
    """The links of a page, and what they can point at in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := given.get(key))}
        if tag == "a" and (link := given.get("href")):
            self.links.append(link)
        # A link of <head> with another purpose, such as "canonical", loads nothing.
        if tag == "link" and given.get("rel") in ("canonical", "next", "prev", "index"):
            return
        self.loaded += [
            value for key, value in attrs if (tag, key) in _LOADED and value
        ]


def faults(site: Path) -> list[str]:
    """Return what is wrong with a site, in a sentence each."""
    pages = {
        path: _Page(path.read_text("utf-8"))
        for path in site.rglob("*.html")
        if "_static" not in path.parts  # parts of pages, which the theme has there
    }
    return sorted({fault for path in pages for fault in _of_page(path, pages, site)})


def _of_page(path: Path, pages: dict[Path, _Page], site: Path) -> Iterator[str]:
    name, page = path.relative_to(site).as_posix(), pages[path]
    for link in page.loaded:
        parts = urlsplit(link)
        if parts.scheme in ("http", "https") or parts.netloc:
            yield f"{name} loads {link} from the network"
        elif (
            parts.path
            and not parts.scheme
            and not (path.parent / unquote(parts.path)).is_file()
        ):
            yield f"{name} loads {link}, which is not there"
    for link in page.links:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not target.exists():
            yield f"{name} links to {link}, which is not there"
        elif parts.fragment and target in pages:
            if unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name} links to {link}, a place that its page does not have"
