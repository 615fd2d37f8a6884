"""All tools and benchmarks, and which are run by default."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.bench.benchmarks.benchmark import Benchmark
from stanpool.bench.tools.ours import OURS
from stanpool.bench.tools.peers import PEERS
from stanpool.bench.tools.r import r_packages
from stanpool.bench.tools.tool import Tool

TOOLS: dict[str, Tool] = {**OURS, **PEERS}

QUICK = ("radon", "sparse", "scotssec")
"""Benchmarks of some seconds for most tools."""


def chosen(
    names: Sequence[str], known: Mapping[str, object], *, what: str
) -> list[str]:
    """Check names of benchmarks or tools.

    Raises
    ------
    SpecError
        If one is not known.

    Examples
    --------
    >>> chosen(["auto", "cells"], TOOLS, what="tool")
    ['auto', 'cells']
    """
    for name in names:
        if name not in known:
            raise SpecError(
                f"there is no {what} {quote(name)}; there are "
                f"{quote_list(known, limit=30)}.{suggestion(name, known)}"
            )
    return list(dict.fromkeys(names))


def default_tools(benchmark: Benchmark) -> list[str]:
    """Return the tools that fit a benchmark unless others are asked for."""
    return [*benchmark.ours, *benchmark.peers]


def missing_packages(tool: Tool) -> list[str]:
    """Return the packages that a tool needs and that are not installed."""
    of_r = tuple(name[2:] for name in tool.needs if name.startswith("R:"))
    others = [name for name in tool.needs if not name.startswith("R:")]
    missing = [name for name in others if find_spec(name) is None]
    return missing + [f"R:{name}" for name in (r_packages(of_r) if of_r else ())]
