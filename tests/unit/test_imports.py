"""Rooms import what is below them, files form no circles, and libraries have owners."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
    "pymc": {"bench"},
    "pytensor": {"bench"},
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


@dataclass(frozen=True)
class Found:
    """What is in a file, as far as it is asked here.

    Attributes
    ----------
    imported
        All that it imports at any time.
    at_runtime
        The same without what is for types only.
    private, families, others
        Private names of other files, names of families, and relative imports or calls
        of ``print``, with their lines.
    """

    imported: frozenset[str]
    at_runtime: frozenset[str]
    private: list[str]
    families: list[str]
    others: list[str]


def imported(path: Path, *, types: bool = True) -> frozenset[str]:
    """Name all that a file imports at any time, with or without what is for types."""
    found = found_in(path)
    return found.imported if types else found.at_runtime


@cache
def found_in(path: Path) -> Found:
    return found_in_code(path.read_text())


def found_in_code(code: str) -> Found:
    nodes = [*ast.walk(ast.parse(code))]
    for_types = {
        id(each)
        for node in nodes
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for each in ast.walk(node)
    }
    names: dict[int, set[str]] = {}
    private, others = [], []
    for node in nodes:
        if isinstance(node, ast.Import):
            names[id(node)] = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                others.append(f"relative import in line {node.lineno}")
            if node.module:
                names[id(node)] = {f"{node.module}.{each.name}" for each in node.names}
                private += [
                    f"{node.module}.{each.name}"
                    for each in node.names
                    if each.name.startswith("_") and not each.name.startswith("__")
                ]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id == "print":
                others.append(f"print in line {node.lineno}")
    return Found(
        frozenset().union(*names.values()),
        frozenset().union(*(names[key] for key in names.keys() - for_types)),
        private,
        [f"{each.value} in line {each.lineno}" for each in _families_named(nodes)],
        others,
    )


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


def test_a_room_imports_what_is_below_it() -> None:
    above = {}
    for module, path in MODULES.items():
        room = module.partition(".")[0]
        if room in MAY_IMPORT:
            may = MAY_IMPORT[room] | {room}
            above[module] = {
                other for other in own_modules(path) if not _is_in(other, may)
            }
    assert {module: others for module, others in above.items() if others} == {}


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


def _defaults(nodes: Sequence[ast.AST]) -> set[int]:
    """Return the nodes that are defaults of arguments or fields called ``family``."""
    found: list[ast.expr | None] = []
    for node in nodes:
        if isinstance(node, ast.arguments):
            last = [*node.posonlyargs, *node.args][-len(node.defaults) :]
            pairs = [*zip(last, node.defaults, strict=False)]
            pairs += [*zip(node.kwonlyargs, node.kw_defaults, strict=True)]
            found += [default for arg, default in pairs if arg.arg == "family"]
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "family":
            found.append(node.value)
    return {id(node) for node in found}


def _families_named(nodes: Sequence[ast.AST]) -> Iterator[ast.Constant]:
    """Find the names of families in code, but for defaults that users read."""
    defaults = _defaults(nodes)
    names = {*FAMILIES} - _OTHER_MEANINGS
    for node in nodes:
        if isinstance(node, ast.Constant):
            if node.value in names and id(node) not in defaults:
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


def test_families_are_named_in_their_table_only() -> None:
    found = {
        module: found_in(path).families
        for module, path in MODULES.items()
        if not _is_in(module, _KNOW_FAMILIES)
    }
    assert {module: lines for module, lines in found.items() if lines} == {}


def test_what_is_not_allowed_is_found() -> None:
    code = """
from stanpool.a import _b, c
from . import d
if TYPE_CHECKING:
    import e

def f(family="gaussian", other="poisson"):
    print()
    return spec.family in ("beta", None) or prior == "beta" or g("binomial")
"""
    found = found_in_code(code)
    assert found.imported == {"stanpool.a._b", "stanpool.a.c", "e"}
    assert found.at_runtime == {"stanpool.a._b", "stanpool.a.c"}
    assert found.private == ["stanpool.a._b"]
    families = ["beta in line 9", "binomial in line 9", "poisson in line 7"]
    assert sorted(found.families) == families
    assert sorted(found.others) == ["print in line 8", "relative import in line 3"]


# A figure is a file.
_MOST_ENTRIES = {"plots": 21}


def test_folders_are_small() -> None:
    for folder in {path.parent for path in sources()} - {PACKAGE}:
        entries = [
            each
            for each in folder.iterdir()
            if each.name not in ("__init__.py", "__pycache__", "py.typed")
        ]
        assert len(entries) <= _MOST_ENTRIES.get(folder.name, 9), folder


def test_imports_are_absolute_and_nothing_prints() -> None:
    found = {module: found_in(path).others for module, path in MODULES.items()}
    assert {module: lines for module, lines in found.items() if lines} == {}


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


def test_no_private_name_is_imported() -> None:
    found = {module: found_in(path).private for module, path in MODULES.items()}
    assert {module: names for module, names in found.items() if names} == {}
