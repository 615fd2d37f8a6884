"""What other systems mind: names of files, encodings, functions that they lack."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import requires
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "stanpool"
ROOT = PACKAGE.parents[1]

# Where there is another way for Windows, or nothing to be done there.
_FOR_POSIX = {
    "base/arrays.py": {"resource"},
    "bench/cell.py": {"killpg", "getpgrp", "SIGKILL", "resource"},
    "engine/install/trust.py": {"geteuid", "pwd"},
    "engine/interpreter/child.py": {"resource"},
    "engine/process.py": {"killpg", "SIGKILL"},
    "engine/scratch.py": {"geteuid"},
    "base/system/parallel.py": {"sched_getaffinity"},
    "base/system/platforms.py": {"sysconf"},
    "sampling/saving/versions.py": {"fcntl"},
}
# Of the standard library, and not on Windows.
_LACKING = {
    *("fork", "killpg", "getpgrp", "setsid", "geteuid", "getuid", "getgid", "chown"),
    *("sched_getaffinity", "sched_setaffinity", "mkfifo", "sysconf", "statvfs", "wait"),
    *("getloadavg", "SIGKILL", "SIGHUP", "SIGALRM", "alarm", "setitimer"),
}
_LACKING_MODULES = {"fcntl", "pwd", "grp", "resource", "termios", "pty", "tty"}
_MODULES = ("os", "signal")
_ASKED = {"bench/cell.py": {"getloadavg", "sched_setaffinity", "sched_getaffinity"}}

_TEXT = ("read_text", "write_text")


@cache
def in_sources() -> tuple[dict[str, set[str]], dict[str, list[int]]]:
    """Return what modules use that Windows lacks, and their lines of texts."""
    used, lines = {}, {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        nodes = [*ast.walk(ast.parse(path.read_text("utf-8")))]
        used[name], lines[name] = lacking(nodes), list(without_encoding(nodes))
    return used, lines


def lacking(nodes: Iterable[ast.AST]) -> set[str]:
    """Return what a module uses that Windows does not have."""
    found: set[str] = set()
    for node in nodes:
        match node:
            case ast.Attribute(value=ast.Name(id=module), attr=name):
                found |= {name} & _LACKING if module in _MODULES else set()
            case ast.Import(names=names):
                found |= {each.name for each in names} & _LACKING_MODULES
            case ast.ImportFrom(module=str(module), names=names):
                found |= {module} & _LACKING_MODULES
                if module in _MODULES:
                    found |= {each.name for each in names} & _LACKING
    return found


def test_what_windows_lacks_is_used_where_there_is_another_way() -> None:
    found, _ = in_sources()
    assert {
        name: used - _ASKED.get(name, set()) for name, used in found.items() if used
    } == _FOR_POSIX


def without_encoding(nodes: Iterable[ast.AST]) -> Iterator[int]:
    """Return lines that open a file or a pipe of text in who knows which encoding."""
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        named = {each.arg: each.value for each in node.keywords}
        match node.func:
            case ast.Attribute(attr=("read_text" | "write_text") as attribute):
                given = len(node.args) - (attribute == "write_text")
                if "encoding" not in named and given < 1:
                    yield node.lineno
            case ast.Name(id="open") | ast.Attribute(attr="open" | "fdopen"):
                mode = [
                    each.value for each in node.args if isinstance(each, ast.Constant)
                ]
                is_binary = any(isinstance(each, str) and "b" in each for each in mode)
                is_text = not is_binary and "encoding" not in named
                of_a_file = isinstance(node.func, ast.Name) or mode
                if is_text and of_a_file:
                    yield node.lineno
            case _ if {"text", "universal_newlines"} & named.keys():
                yield node.lineno


def test_texts_are_utf_8_everywhere() -> None:
    _, found = in_sources()
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("code", "is_found"),
    [
        ("path.read_text()", True),
        ("path.read_text('utf-8')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open(path)", True),
        ("open(path, 'rb')", False),
        ("path.open('w')", True),
        ("path.open('xb')", False),
        ("subprocess.run(words, text=True)", True),
        ("subprocess.run(words, encoding='utf-8')", False),
    ],
)
def test_texts_without_an_encoding_are_found(code: str, is_found: bool) -> None:
    assert bool(list(without_encoding(ast.walk(ast.parse(code))))) == is_found


_RESERVED = re.compile(r"(con|nul|aux|prn|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def test_windows_can_check_out_every_file() -> None:
    folders = ("src", "stan_templates", "data", "notebooks", "tests", "docs")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    names = [
        path.relative_to(ROOT).as_posix()
        for path in paths
        if "__pycache__" not in path.parts
    ]
    for name in names:
        for part in name.split("/"):
            assert not re.search(r'[<>:"\\|?*\x00-\x1f]|[. ]$', part), name
            assert not _RESERVED.fullmatch(part), name
        assert len(name) < 160, name  # of the 260 characters that a path may have
    assert len({name.lower() for name in names}) == len(names)


def test_stanli_is_needed_only_where_there_is_a_wheel() -> None:
    from packaging.requirements import Requirement

    content = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = [
        each.marker
        for each in map(Requirement, content["project"]["dependencies"])
        if each.name == "stanli"
    ]

    def is_needed(system: str, machine: str) -> bool:
        place = {"sys_platform": system, "platform_machine": machine}
        return any(marker is None or marker.evaluate(place) for marker in needed)

    assert is_needed("win32", "AMD64")
    assert is_needed("darwin", "arm64")
    assert is_needed("darwin", "x86_64")
    assert is_needed("linux", "x86_64")
    assert is_needed("linux", "aarch64")
    assert not is_needed("win32", "ARM64")
    assert not is_needed("linux", "ppc64le")
    assert not is_needed("freebsd14", "amd64")


def test_the_readme_installs_all_but_stanli_where_it_says_so() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (line,) = re.findall(r'python -c "(from importlib.metadata .*?)" >', readme)
    printed: list[str] = []
    exec(line, {"print": lambda *rows, sep: printed.extend(rows)})
    wanted = {
        each
        for each in requires("stanpool") or ()
        if "extra ==" not in each and not each.startswith("stanli")
    }
    assert set(printed) == wanted
    assert len(printed) > 10
