"""The examples in docstrings run, and say what they show."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import stanpool

MODULES = sorted(
    each.name for each in pkgutil.walk_packages(stanpool.__path__, "stanpool.")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    results = doctest.testmod(
        import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert results.failed == 0


def test_there_are_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = {
        name: sum(len(test.examples) for test in finder.find(import_module(name)))
        for name in ("stanpool.spec", "stanpool.formula", "stanpool.fit")
    }
    assert all(count > 2 for count in examples.values())
