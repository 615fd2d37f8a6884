"""Pages of the public names, made of their signatures and docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import stanpool as sp
from website.tables import table

FOLDER = "reference/api"
_MODULES = ("plots", "exact", "engine")
# Headings, by the folder of the package that a name comes from.
_SECTIONS = {
    "api": "Models and fits",
    "language": "Models and fits",
    "data": "Data sets",
    "model": "Programs",
    "inference": "Diagnosis and cross-validation",
    "studies": "Several fits, and simulations",
    "base": "Errors and warnings",
    "plots": "Figures (`sp.plots`)",
    "exact": "Exact samplers (`sp.exact`)",
    "engine": "Engines (`sp.engine`)",
}
_METHODS = {
    "effects": "In the units of the outcome",
    "estimates": "Estimates",
    "prediction": "Predictions of rows",
    "evaluation": "Validation and sensitivity",
    "diagnostics": "Diagnosis",
    "sampling": "Sampling, saving, continuing",
    "description": "The model on paper",
}


@dataclass(frozen=True)
class Entry:
    """A public name: its page, and what is there.

    Attributes
    ----------
    name
        As in ``sp.<name>``, such as ``Fit.predict`` or ``plots.plot_forest``.
    value
        The function or class.
    """

    name: str
    value: Any

    @property
    def page(self) -> str:
        """The page, from the top of the site, without its ending."""
        return f"{FOLDER}/{self.name}"

    @property
    def about(self) -> str:
        """Its purpose, the first paragraph of its documentation."""
        return summary(self.value)

    @property
    def section(self) -> str:
        """The heading under which it is listed."""
        owner, _, rest = self.name.partition(".")
        home = inspect.unwrap(self.value).__module__.split(".")
        if not rest:
            return _SECTIONS[home[1]]
        if owner in _MODULES:
            return _SECTIONS[owner]
        folders = [each for each in home if each in _METHODS]
        return _METHODS[folders[0]] if folders else "More"


def summary(value: Any) -> str:
    """Return the first paragraph of a documentation in one line."""
    return " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())


@cache
def entries() -> tuple[Entry, ...]:
    """Return every public name that has a page."""
    found = []
    for name in sp.__all__:
        value = getattr(sp, name)
        if name in _MODULES:
            found += [Entry(f"{name}.{n}", getattr(value, n)) for n in value.__all__]
        elif not inspect.ismodule(value):
            found.append(Entry(name, value))
        if name in ("Model", "Fit"):
            found += [Entry(f"{name}.{n}", m) for n, m in _methods_of(value)]
    return tuple(found)


def _public(owner: type) -> Iterator[tuple[str, Any]]:
    for name in dir(owner):
        value = inspect.getattr_static(owner, name)
        if not name.startswith("_") and inspect.getdoc(value) and not _is_data(value):
            yield name, value


def _is_data(value: Any) -> bool:
    return value is None or isinstance(value, tuple | str | int)


def _methods_of(owner: type) -> Iterator[tuple[str, Any]]:
    for name, value in _public(owner):
        if inspect.isfunction(value) or isinstance(value, classmethod):
            yield name, getattr(owner, name)


@cache
def targets() -> Mapping[str, str]:
    """Return the page of each name as sentences write it, such as ``fit.predict``."""
    found = {}
    for each in entries():
        owner, _, rest = each.name.partition(".")
        found |= dict.fromkeys((f"sp.{each.name}", f"stanpool.{each.name}"), each.page)
        if owner in ("Model", "Fit") and rest:
            found |= dict.fromkeys((f"{owner.lower()}.{rest}", each.name), each.page)
        if rest.startswith("plot_"):
            found |= dict.fromkeys((rest, f"fit.plot.{rest[5:]}"), each.page)
        if each.name[0].isupper() or each.name.startswith("compare_"):
            found[each.name] = each.page
    return found


def pages() -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each page of the reference."""
    yield f"{FOLDER}/index.md", _index()
    for each in entries():
        yield f"{each.page}.rst", _page(each)


def _index() -> str:
    of_top = [e for e in entries() if e.name.partition(".")[0] not in ("Model", "Fit")]
    of_top += [e for e in entries() if e.name in ("Model", "Fit")]
    names = sorted((each.name for each in of_top), key=str.lower)
    return (
        "# Functions and classes\n\nEverything in `import stanpool as sp`. Methods are "
        "on the pages of [`sp.Model`](Model.rst) and [`sp.Fit`](Fit.rst).\n"
        + _listed(of_top, _SECTIONS.values())
        + toctree(names, ":hidden:")
    )


def toctree(names: Iterable[str], option: str) -> str:
    """Return the list of a section's pages, as Sphinx reads it in Markdown."""
    return "\n".join(("\n```{toctree}", option, "", *names, "```\n"))


def _listed(found: list[Entry], sections: Any) -> str:
    """Return tables of names and what they are for, under headings."""
    text = ""
    for section in dict.fromkeys((*sections, "More")):
        rows = sorted((e for e in found if e.section == section), key=lambda e: e.name)
        if rows:
            cells = ((f"[`{_short(e)}`]({e.name}.rst)", _markdown(e)) for e in rows)
            text += f"\n## {section}\n\n{table(('', ''), cells)}\n"
    return text


def _short(entry: Entry) -> str:
    return entry.name.rpartition(".")[2]


def _markdown(entry: Entry) -> str:
    """Return a purpose, which docstrings have in reStructuredText, in Markdown."""
    return re.sub(r":math:`([^`]+)`", r"$\1$", entry.about.replace("``", "`"))


def _page(entry: Entry) -> str:
    """Return the page of a name, in reStructuredText as docstrings are."""
    shown = {"Model": "sp.Model", "Fit": "sp.Fit"}.get(entry.name, entry.name)
    owner, _, rest = entry.name.partition(".")
    if rest:
        shown = f"{owner.lower()}.{rest}" if owner[0].isupper() else f"sp.{entry.name}"
    elif shown == entry.name:
        shown = f"sp.{shown}"
    kind = "class" if inspect.isclass(entry.value) else "function"
    if inspect.isclass(entry.value) and issubclass(entry.value, BaseException):
        kind = "exception"
    elif owner in ("Model", "Fit") and rest:
        kind = "method"
    text = f"{shown}\n{'=' * len(shown)}\n\n.. auto{kind}:: stanpool.{entry.name}\n"
    if kind in ("class", "exception") and owner not in ("Model", "Fit"):
        return text + "   :members:\n   :exclude-members: __init__\n"
    if entry.name in ("Model", "Fit"):
        return text + _members(entry)
    return text


def _members(entry: Entry) -> str:
    """Return the lists of attributes and of methods of a class."""
    methods = [e for e in entries() if e.name.startswith(f"{entry.name}.")]
    text = "\nAttributes\n----------\n\n"
    for name, value in _public(entry.value):
        if not inspect.isfunction(value) and not isinstance(value, classmethod):
            text += f"``{name}``\n   {summary(value)}\n\n"
    for section in dict.fromkeys((*_METHODS.values(), "More")):
        rows = [e for e in methods if e.section == section]
        if rows:
            text += f"{section}\n{'-' * len(section)}\n\n"
            text += "".join(
                f":doc:`{_short(e)} <{e.name}>`\n   {e.about}\n\n" for e in rows
            )
    names = "\n   ".join(e.name for e in methods)
    return f"{text}\n.. toctree::\n   :hidden:\n\n   {names}\n"
