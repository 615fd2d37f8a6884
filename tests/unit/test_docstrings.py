"""The examples in docstrings run, and say what they show."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import stanpool

MODULES = sorted(
    each.name for each in pkgutil.walk_packages(stanpool.__path__, "stanpool.")
)


def source_of(name: str) -> str:
    """Read a module that need not be imported for it."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text("utf-8")


class Finder(doctest.DocTestFinder):
    """Finds examples of functions whose arguments are checked by a function around."""

    def _from_module(self, module: Any, object: Any) -> bool:
        return super()._from_module(module, inspect.unwrap(object))  # type: ignore[misc]


WITH_EXAMPLES = [name for name in MODULES if ">>> " in source_of(name)]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of an engine that is set up, doctor() would read a gigabyte.
    monkeypatch.setenv("STANPOOL_CACHE", str(tmp_path))
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    runner = doctest.DocTestRunner(optionflags=flags)
    for test in Finder(exclude_empty=True).find(import_module(name)):
        runner.run(test)
    assert runner.summarize().failed == 0


def test_there_are_examples() -> None:
    finder = Finder(exclude_empty=True)
    examples = {
        name: sum(len(test.examples) for test in finder.find(import_module(name)))
        for name in (
            "stanpool.language.model_spec",
            "stanpool.language.formulas.formula",
            "stanpool.api.facade",
        )
    }
    assert all(count > 2 for count in examples.values())
