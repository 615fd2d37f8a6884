"""The code of the documentation runs, and prints what the pages say.

``docs/contributing.md`` says how pages are written. The blocks of a page are run in
their order, in one namespace and in a folder that is empty but for `FILES`.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

ROOT = Path(__file__).parents[2]
FILES = ("mcycle.csv",)  # of tests/data, which readers have from R
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d[\d,]*\.\d+(?:e[-+]?\d+)?")
UNITS = 5  # of the last digit, by which numbers of other draws may differ
# R-hat and effective sample sizes of a summary: whole numbers, which vary most.
_SIZES = re.compile(r"(?<= \d\.\d{3}) ([\d,]+) ([\d,]+)(?= |$)")


@dataclass(frozen=True)
class Block:
    """A block of Python, its line in the page, and what it prints if that is said."""

    line: int
    code: str
    output: str | None = None


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a page that are run."""
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        kind, body = match.groups()
        if kind == "python":
            found.append(Block(text[: match.start()].count("\n") + 2, body))
        elif kind == "output":
            found[-1] = Block(found[-1].line, found[-1].code, body)
    return found


def pages() -> Iterator[Any]:
    for path in sorted((ROOT / "docs").rglob("*.md")):
        text = path.read_text("utf-8")
        if "```python\n" in text:
            slow = [pytest.mark.slow] if "<!-- slow -->" in text else []
            name = path.relative_to(ROOT / "docs").with_suffix("").as_posix()
            yield pytest.param(path, marks=slow, id=name)


def is_printed(output: str, expected: str) -> bool:
    """Whether an output is the expected one, but for white space and other draws.

    ``...`` stands for anything. Numbers with decimals may differ by a few units of the
    last digit, which is what Monte Carlo error leaves of the digits that are shown.
    Effective sample sizes may differ by a factor of 2.
    """
    output, expected = " ".join(output.split()), " ".join(expected.split())
    sizes, wanted = (
        [float(size.replace(",", "")) for pair in _SIZES.findall(each) for size in pair]
        for each in (output, expected)
    )
    if wanted and len(sizes) == len(wanted):
        if not all(a < 2 * b < 4 * a for a, b in zip(sizes, wanted, strict=True)):
            return False
        output, expected = (_SIZES.sub("", each) for each in (output, expected))
    pattern, numbers = "", []
    for words in expected.split("..."):
        parts = _NUMBER.split(words)
        numbers += [*_NUMBER.findall(words)]
        pattern += "(.+?)".join(map(re.escape, parts)) + ".*?"
    match = re.fullmatch(pattern.removesuffix(".*?"), output)
    return match is not None and all(
        _is_near(shown, number)
        for shown, number in zip(match.groups(), numbers, strict=True)
    )


def _is_near(shown: str, expected: str) -> bool:
    try:
        value, wanted = (
            float(each.replace(",", "").replace("−", "-")) for each in (shown, expected)
        )
    except ValueError:
        return False
    digits, _, power = expected.partition("e")
    unit = 10.0 ** (int(power or 0) - len(digits.partition(".")[2]))
    return abs(value - wanted) <= UNITS * unit * (1 + 1e-9)


def run(block: Block, path: Path, names: dict[str, Any]) -> str:
    """Run a block and return what it prints, as a prompt would, in a page's lines."""
    tree = ast.parse("\n" * (block.line - 1) + block.code, str(path))
    last = tree.body[-1]
    shown = isinstance(last, ast.Expr) and ast.unparse(last.value)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        body = tree.body[:-1] if shown else tree.body
        exec(compile(ast.Module(body, []), str(path), "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), str(path), "eval"), names)
            if value is not None and block.output is not None:
                print(repr(value))
    return printed.getvalue()


@pytest.mark.parametrize("path", [*pages()])
def test_code_of_pages_runs_and_prints_what_they_say(
    path: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot

    monkeypatch.setitem(os.environ, "STANPOOL_ENGINE", "stanli")
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        shutil.copy(ROOT / "tests" / "data" / name, tmp_path)
    text = path.read_text("utf-8")
    few = "<!-- few draws -->" in text and not request.config.getoption("--slow")
    if few:
        request.getfixturevalue("few_draws")
    names: dict[str, Any] = {"__name__": "__main__"}
    try:
        with mpl.rc_context(), warnings.catch_warnings():
            warnings.simplefilter("default" if few else "error")
            # Once a day ArviZ announces its next version when it is imported.
            warnings.filterwarnings("ignore", r"\s*ArviZ is", FutureWarning)
            for block in blocks_of(text):
                printed = run(block, path, names)
                if block.output is not None and not few:
                    place = f"{path.relative_to(ROOT)}, line {block.line}"
                    assert is_printed(printed, block.output), f"{place}:\n{printed}"
    finally:
        pyplot.close("all")


@pytest.mark.parametrize(
    ("output", "expected", "same"),
    [
        ("a  1.46 b\n", "a 1.46 b", True),
        ("a 1.49 b", "a 1.46 b", True),
        ("a 1.52 b", "a 1.46 b", False),
        ("a -1.46 b", "a 1.46 b", False),
        ("a 1.4e-05", "a 1.6e-05", True),
        ("a 1.4e-04", "a 1.6e-05", False),
        ("rows 919 of 85", "rows 919 of 86", False),
        ("first 1.5 second 2 last", "first ... last", True),
        ("first 1.5 second 2 lost", "first ... last", False),
        ("nan", "0.5", False),
        ("x 0.5 1.002 1,810 700 0.1", "x 0.5 1.000 2,100 512 0.1", True),
        ("x 0.5 1.002 1,010 700 0.1", "x 0.5 1.000 2,100 512 0.1", False),
    ],
)
def test_outputs_are_compared_as_contributors_are_told(output, expected, same):
    assert is_printed(output, expected) is same
