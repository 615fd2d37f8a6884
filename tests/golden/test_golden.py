"""The programs that the templates render are those that a person has read."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from jinja2 import nodes

from golden.catalogue import (
    OUTCOMES,
    PARAMETERIZATIONS,
    funnels,
    models,
    programs,
)
from golden.representative import each_model
from golden.write import PROGRAMS
from stanpool.engine import cache_folder
from stanpool.model.program import render as program_module
from stanpool.model.program.render import render
from stanpool.model.program.structure import Structure

NAMES = sorted(programs())


def test_there_is_a_golden_file_for_each_program_and_no_other() -> None:
    assert sorted(path.stem for path in PROGRAMS.glob("*.stan")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_program_equals_its_golden_file(name: str) -> None:
    golden = _golden(name)
    rendered = programs()[name].source
    difference = "".join(
        difflib.unified_diff(
            golden.splitlines(keepends=True),
            rendered.splitlines(keepends=True),
            f"golden/programs/{name}.stan",
            "rendered now",
        )
    )
    assert not difference, f"write.py says how to accept this:\n{difference}"


def test_every_structure_is_in_the_catalogue() -> None:
    partial = product(("partial",), PARAMETERIZATIONS, (True, False))
    shapes = [("complete", None, False), ("none", None, False), *partial]
    wanted = {
        (family, intercept, *shape)
        for family, intercept, shape in product(OUTCOMES, (True, False), shapes)
    }
    found = {
        (
            f"{s.family}_se" if s.se else s.family,
            s.intercept,
            s.pooling,
            s.parameterization,
            _correlated(s),
        )
        for s in (model.structure for model in models().values())
        if len(s.factors) <= 1 and s.residual is None
    }
    assert wanted <= found


def test_names_of_programs_differ() -> None:
    plain = [m for name, m in models().items() if not name.endswith("_priors")]
    assert len({model.program.name for model in plain}) == len(plain)
    assert len({model.program.digest for model in models().values()}) == len(models())


def test_every_branch_of_the_templates_is_in_a_golden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = _marking_environment()
    monkeypatch.setattr(program_module, "template_environment", lambda: environment)
    for model in models().values():
        render.__wrapped__(model.structure)
    for each in PARAMETERIZATIONS:
        program_module.neals_funnel(each)
    for name in environment.list_templates(extensions=["jinja"]):
        environment.get_template(name)
    assert environment.branches  # the marks are set at all
    assert environment.seen == environment.branches


Stanc = Callable[..., str]


@pytest.fixture(scope="module")
def ask_stanc(stanc: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stanc]:
    """Return what the compiler prints of a program, of which it warns of nothing.

    It prints the same of the same, and is one process for each: what it has printed is
    kept with the programs that are compiled.
    """
    version = hashlib.sha256(stanc.read_bytes()).hexdigest()[:16]
    file = cache_folder() / f".stanc-{version}.json"
    kept = json.loads(file.read_text("utf-8")) if file.exists() else {}
    asked: dict[str, str] = {}
    folder = tmp_path_factory.mktemp("stanc")

    def ask(name: str, source: str, *options: str) -> str:
        parts = json.dumps([name, source, options])
        key = hashlib.sha256(parts.encode()).hexdigest()
        if key not in kept:
            path = folder / f"{name}.stan"
            path.write_text(source, "utf-8")
            command = [str(stanc), *options, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
            kept[key] = done.stdout
        asked[key] = kept[key]
        return asked[key]

    yield ask
    if 2 * len(asked) > len(kept):  # else few of the tests were run
        kept = asked
    new = file.with_name(f"{file.name}.{os.getpid()}")
    new.write_text(json.dumps(kept), "utf-8")
    os.replace(new, file)


@pytest.mark.parametrize("name", NAMES)
def test_stanc_formats_the_program_to_itself(name: str, ask_stanc: Stanc) -> None:
    formatted = ask_stanc(name, _golden(name), "--auto-format")
    assert _unbroken(_lines(formatted)) == _unbroken(
        programs()[name].source.splitlines()
    )


# stanc reads them all above, and stanli translates and runs them all.
@pytest.mark.parametrize("name", [*each_model(models()), *funnels()])
def test_stanc_accepts_the_program_without_a_warning(
    name: str, ask_stanc: Stanc
) -> None:
    ask_stanc(name, _golden(name), f"--o={os.devnull}")


DECLARED = r"^  (?:real|matrix) (\w+)\([^{;]*\);$"


@pytest.mark.parametrize("name", [name for name in NAMES if programs()[name].header])
def test_stanc_accepts_functions_that_are_declared_only(
    name: str, ask_stanc: Stanc
) -> None:
    program = programs()[name]
    declared = re.findall(DECLARED, program.compiled, re.MULTILINE)
    assert declared
    # A macro makes those of all rows and groups, without weights and with them.
    pattern, macro = (
        r"(?:grouped|weighted)_(\w+)_glm_(lp[dm]f)",
        r"STANPOOL_GLM(\1, \2,",
    )
    names = [re.sub(pattern, macro, f"{function}(") for function in declared]
    assert all(name.removesuffix("(") in program.header for name in names)
    asked = ("declared", program.compiled, "--allow-undefined")
    ask_stanc(*asked, f"--o={os.devnull}")
    formatted = ask_stanc(*asked, "--auto-format")
    assert _unbroken(_lines(formatted)) == _unbroken(program.compiled.splitlines())


@pytest.mark.parametrize("name", each_model(models()))
def test_data_of_the_model_are_what_stanc_says_the_program_reads(
    name: str, ask_stanc: Stanc
) -> None:
    info = json.loads(ask_stanc(name, _golden(name), "--info"))
    data = models()[name].stan_data()
    assert {key: _kind_of(value) for key, value in data.items()} == {
        key: (each["type"], each["dimensions"]) for key, each in info["inputs"].items()
    }


def test_no_line_is_longer_than_a_terminal() -> None:
    for name, program in programs().items():
        assert max(map(len, program.source.splitlines())) <= 80, name


def test_nothing_as_long_as_the_data_is_written_out() -> None:
    for name, program in programs().items():
        blocks = re.findall(
            r"^(?:transformed |)parameters {.*?^}|^generated quantities {.*?^}",
            program.source,
            re.DOTALL | re.MULTILINE,
        )
        assert blocks, name
        lines = [line for block in blocks for line in block.splitlines()]
        assert not [line for line in lines if "[N" in line], name


def _golden(name: str) -> str:
    return (PROGRAMS / f"{name}.stan").read_text("utf-8")


def _unbroken(lines: list[str]) -> list[str]:
    """Join the lines of each statement: versions of stanc break them differently."""
    joined: list[str] = []
    depth = 0
    for line in lines:
        if depth:
            joined[-1] += f" {line.strip()}"
        else:
            joined.append(line)
        code = line.split("//")[0]
        depth += sum(map(code.count, "([")) - sum(map(code.count, ")]"))
    return [re.sub(r"(?<=[(\[]) | (?=[)\]])", "", line) for line in joined]


def _lines(formatted: str) -> list[str]:
    return [line.rstrip() for line in formatted.rstrip().splitlines()]


def _correlated(structure: Structure) -> bool:
    return any(factor.correlated for factor in structure.factors)


def _kind_of(value: Any) -> tuple[str, int]:
    array = np.asarray(value)
    return ("int" if array.dtype.kind in "iu" else "real", array.ndim)


def _marking_environment() -> Any:
    """Return the templates' environment, which notes each branch that is taken."""

    class Marking(jinja2.Environment):
        branches: set[str] = set()  # noqa: RUF012
        seen: set[str] = set()  # noqa: RUF012

        def _parse(self, source: str, name: str | None, filename: str | None) -> Any:
            tree = super()._parse(source, name, filename)
            choices = list(tree.find_all(nodes.If))
            others = [other for choice in choices for other in choice.elif_]
            for choice in choices:
                self._mark(choice.body, f"{name}:{choice.lineno}:then")
                if choice not in others:  # the last else belongs to the first if
                    self._mark(choice.else_, f"{name}:{choice.lineno}:else")
            return tree

        def _mark(self, body: list[nodes.Node], mark: str) -> None:
            self.branches.add(mark)
            noted = nodes.Call(
                nodes.Name("note", "load"), [nodes.Const(mark)], [], None, None
            )
            body.insert(0, nodes.Output([noted]))

    real = program_module.template_environment()
    marking = Marking(
        loader=real.loader,
        undefined=real.undefined,
        trim_blocks=real.trim_blocks,
        lstrip_blocks=real.lstrip_blocks,
    )
    # It writes nothing: a macro that writes nothing is a fact to some templates.
    marking.globals["note"] = lambda mark: marking.seen.add(mark) or ""
    return marking
