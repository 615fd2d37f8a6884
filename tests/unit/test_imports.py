"""Arrows between modules go one way, and heavy libraries wait until they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import stanpool

PACKAGE = Path(stanpool.__file__).parent

# What each may build on, from the ground up; all else comes after the fit.
LAYERS = (
    ("errors", "progress", "resources"),
    ("other_tools",),
    ("arguments",),
    ("files", "schema"),
    ("tables", "versions", "netcdf", "expression"),
    ("spec", "vocabulary"),
    ("chunks", "terms"),
    ("formula", "families", "datasets", "compress", "latent"),
    ("entries",),
    ("columns", "rank"),
    ("evaluation",),
    ("matrix",),
    ("outcome", "origins"),
    ("design", "reading"),
    ("default_scales",),
    ("nesting", "priors", "gram", "cells", "means"),
    ("marginal", "scaling", "pilot", "stream"),
    ("centering", "linear_pilot"),
    ("program",),
    ("stan_data", "annotation"),
    ("posterior",),
    ("engine", "form"),
    ("prepared_model",),
    ("fit_result",),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

OWNERS = {
    "jinja2": {"program", "report"},
    "cmdstanpy": {"engine"},
    "arviz": {"arviz_seam"},
    "formulaic": {"evaluation", "matrix"},
    "matplotlib": {"plots"},
    "click": {"cli"},
    "bambi": {"bench"},
    "nutpie": {"bench"},
    "numpyro": {"bench"},
    "jax": {"bench"},
}
HEAVY = ("numpy", "pandas", "xarray", "arviz", "cmdstanpy", "matplotlib", "formulaic")


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """Return the first part below the package: ``engine`` for engine/run.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Name all that is imported at any time, but not for types only."""
    for_types = {
        id(each)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for each in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def all_imported(path: Path) -> frozenset[str]:
    """List what a module imports at any time."""
    return frozenset(imported(ast.parse(path.read_text())))


def at_import_time(path: Path) -> set[str]:
    """List what importing a module imports: not in functions, not for types."""
    tree = ast.parse(path.read_text())
    now = [
        node
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Try)
    ]
    return set(imported(ast.Module(now, [])))


def parts_of_stanpool(names: set[str]) -> set[str]:
    own = {name.split(".")[1] for name in names if name.startswith("stanpool.")}
    return own & {module_of(path) for path in sources()}


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.stem)
def test_a_module_builds_on_lower_layers_only(path: Path) -> None:
    name = module_of(path)
    if name in RANK:
        built_on = parts_of_stanpool(at_import_time(path)) - {name}
        above = {other for other in built_on if RANK.get(other, 99) >= RANK[name]}
        assert not above


def test_no_modules_import_each_other() -> None:
    graph: dict[str, set[str]] = {}
    for path in sources():
        name = module_of(path)
        graph.setdefault(name, set()).update(
            parts_of_stanpool(at_import_time(path)) - {name}
        )
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_has_one_owner(library: str) -> None:
    users = {
        module_of(path)
        for path in sources()
        for name in all_imported(path)
        if name.split(".")[0].startswith(library)
    }
    assert users == OWNERS[library]


def test_spec_and_formula_need_the_standard_library_only() -> None:
    for name in ("errors", "expression", "vocabulary", "terms", "spec", "formula"):
        names = at_import_time(PACKAGE / f"{name}.py")
        tops = {each.split(".")[0] for each in names} - {"stanpool"}
        assert tops <= set(sys.stdlib_module_names)


def test_imports_are_absolute() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


def test_importing_stanpool_loads_nothing_heavy() -> None:
    code = (
        "import sys, stanpool; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_building_a_model_needs_neither_engine_nor_arviz() -> None:
    code = (
        "import sys, stanpool as sp; "
        "sp.Model('y ~ x', {'y': [1, 2, 4], 'x': [1, 2, 3]}, pooling='complete'); "
        "print([name for name in ('cmdstanpy', 'arviz', 'matplotlib', 'xarray') "
        "if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_nothing_prints() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path.name}:{node.lineno}"
