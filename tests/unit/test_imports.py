"""Rooms import what is below them, files form no circles, and libraries have owners."""

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
from stanpool import exact
from stanpool.language.family import FAMILIES
from stanpool.language.prior import DISTRIBUTIONS, parameter_classes

PACKAGE = Path(stanpool.__file__).parent

# What the files of each room may import of stanpool, at any time: when they are loaded,
# inside a function, or for types only. "engine.values" is one folder of a room.
_OF_ENGINE = {"engine.values"}
_MODEL = {"base", "language", "families", "data", "model"}
MAY_IMPORT: dict[str, set[str]] = {
    "base": set(),
    "language": {"base"},
    "families": {"base", "language"},
    "engine": {"base"},
    "data": {"base", "language", "families"},
    "model": {"base", "language", "families", "data"} | _OF_ENGINE,
    "density": _MODEL | {"engine.interface"},
    "posterior": _MODEL | _OF_ENGINE,
    "sampling": _MODEL | {"density", "posterior", "engine"},
    "inference": _MODEL | {"posterior", "sampling", "engine"},
    "plots": _MODEL | {"posterior", "inference"},
    "report": _MODEL | {"posterior", "inference", "plots"},
}
_BELOW_API = {*MAY_IMPORT}
MAY_IMPORT["api"] = {*_BELOW_API}
MAY_IMPORT["studies"] = MAY_IMPORT["exact"] = {*_BELOW_API, "api", "studies", "exact"}

OWNERS = {
    "jinja2": {"model.program", "report"},
    "cmdstanpy": {"engine"},
    "stanli": {"engine.interpreter.child"},
    "arviz": {"posterior.arviz"},
    "formulaic": {"data.matrix"},
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
    """Return the module's name below the package: ``engine.draws``; "" for itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_of(path): path for path in sources()}


@cache
def imported(path: Path, *, types: bool = True) -> frozenset[str]:
    """Name all that a file imports at any time, with or without what is for types."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(each)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for each in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in for_types and not types:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def own_modules(path: Path) -> set[str]:
    """Name the modules of stanpool that a file imports."""
    names = {
        name.removeprefix("stanpool.")
        for name in imported(path)
        if name.startswith("stanpool.")
    }
    return {
        name if name in MODULES else name.rpartition(".")[0]
        for name in names
        if name in MODULES or name.rpartition(".")[0] in MODULES
    } - {module_of(path), ""}


def _is_in(module: str, parts: set[str]) -> bool:
    return any(module == each or module.startswith(f"{each}.") for each in parts)


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_what_is_below_it(module: str) -> None:
    room = module.partition(".")[0]
    if room in MAY_IMPORT:
        above = {
            other
            for other in own_modules(MODULES[module])
            if not _is_in(other, MAY_IMPORT[room] | {room})
        }
        assert not above


def test_every_room_has_its_rule() -> None:
    rooms = {name.partition(".")[0] for name in MODULES} - {"", "__main__"}
    assert rooms - {"bench", "cli"} == set(MAY_IMPORT)


def test_files_form_no_circle() -> None:
    graph = {
        # A package is what its own files make of it, not a stop on their way.
        module: own_modules(path)
        for module, path in MODULES.items()
        if module
    }
    assert list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("library", OWNERS)
def test_a_library_has_one_owner(library: str) -> None:
    users = {
        module
        for module, path in MODULES.items()
        for name in imported(path, types=False)
        if name.split(".")[0].startswith(library)
    }
    assert users
    assert {each for each in users if not _is_in(each, OWNERS[library])} == set()


def test_the_language_needs_the_standard_library_only() -> None:
    for module, path in MODULES.items():
        if _is_in(module, {"language", "base.errors"}):
            tops = {name.split(".")[0] for name in imported(path)} - {"stanpool"}
            assert tops <= set(sys.stdlib_module_names), module


# Where the names of families are known: their table and their functions, and besides
# words of other tools and the conjugate posteriors, which are of one family each.
_KNOW_FAMILIES = {"language.family", "families", "bench"}
_KNOW_FAMILIES |= {"base.other_tools", "exact.conjugate_groups"}
# What else is called as a family is: distributions of priors, parameters, predictors,
# conjugate posteriors.
_OTHER_MEANINGS = {*DISTRIBUTIONS, *parameter_classes(), "categorical"}
_OTHER_MEANINGS |= {*exact.__all__}


def _defaults(tree: ast.AST) -> set[int]:
    """Return the nodes that are defaults of arguments or fields called ``family``."""
    found: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.arguments):
            last = [*node.posonlyargs, *node.args][-len(node.defaults) :]
            pairs = [*zip(last, node.defaults, strict=False)]
            pairs += [*zip(node.kwonlyargs, node.kw_defaults, strict=True)]
            found += [default for arg, default in pairs if arg.arg == "family"]
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "family":
            found.append(node.value)
    return {id(node) for node in found}


def _families_named(tree: ast.AST) -> Iterator[ast.Constant]:
    """Find the names of families in code, but for defaults that users read."""
    defaults = _defaults(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in defaults:
            if node.value in {*FAMILIES} - _OTHER_MEANINGS:
                yield node
        elif isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(ast.unparse(side).endswith("family") for side in sides):
                yield from (
                    each
                    for side in sides
                    for each in ast.walk(side)
                    if isinstance(each, ast.Constant) and each.value in FAMILIES
                )


@pytest.mark.parametrize("module", MODULES)
def test_families_are_named_in_their_table_only(module: str) -> None:
    if not _is_in(module, _KNOW_FAMILIES):
        tree = ast.parse(MODULES[module].read_text())
        assert [f"line {each.lineno}" for each in _families_named(tree)] == []


def test_a_family_that_is_named_elsewhere_is_found() -> None:
    code = """
def f(family="gaussian", other="poisson"):
    return spec.family in ("beta", None) or prior == "beta" or g("binomial")
"""
    found = sorted(each.value for each in _families_named(ast.parse(code)))
    assert found == ["beta", "binomial", "poisson"]


# A figure is a file.
_MOST_ENTRIES = {"plots": 20}


def test_folders_are_small() -> None:
    for folder in {path.parent for path in sources()} - {PACKAGE}:
        entries = [
            each
            for each in folder.iterdir()
            if each.name not in ("__init__.py", "__pycache__", "py.typed")
        ]
        assert len(entries) <= _MOST_ENTRIES.get(folder.name, 9), folder


def test_imports_are_absolute() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


def _printed_by(code: str) -> Iterator[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    yield from done.stdout.split()


def test_importing_stanpool_loads_nothing_heavy() -> None:
    code = f"import sys, stanpool; print(*{{*{HEAVY!r}}} & {{*sys.modules}})"
    assert list(_printed_by(code)) == []


def test_building_a_model_needs_neither_engine_nor_arviz() -> None:
    code = (
        "import sys, stanpool as sp; "
        "sp.Model('y ~ x', {'y': [1, 2, 4], 'x': [1, 2, 3]}, pooling='complete'); "
        "print(*{'cmdstanpy', 'arviz', 'matplotlib', 'xarray'} & {*sys.modules})"
    )
    assert list(_printed_by(code)) == []


def test_nothing_prints() -> None:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", f"{path.name}:{node.lineno}"


def _private_names(path: Path) -> list[str]:
    """Name what a file imports from another one that is private there."""
    return [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]


@pytest.mark.parametrize("module", MODULES)
def test_no_private_name_is_imported(module: str) -> None:
    assert _private_names(MODULES[module]) == []
