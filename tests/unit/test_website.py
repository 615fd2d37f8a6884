"""The documentation site has everything that is public, and what it says is true."""

from __future__ import annotations

import ast
import inspect
import operator
import re
import shlex
from functools import partial
from itertools import takewhile
from pathlib import Path

import click
import numpy as np
import pytest
from scipy import special

import stanpool as sp
from stanpool.families.registry import family_functions
from stanpool.language.family import FAMILIES
from website import pages, reference, tables
from website.links import faults

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_every_public_name_has_a_page() -> None:
    named = {entry.name for entry in reference.entries()}
    modules = {name for name in sp.__all__ if inspect.ismodule(getattr(sp, name))}
    assert set(sp.__all__) - modules <= named
    for owner in (sp.Model, sp.Fit):
        public = {name for name in vars(owner) if not name.startswith("_")}
        methods = {n for n in public if inspect.isfunction(vars(owner)[n])}
        assert methods
        assert {f"{owner.__name__}.{name}" for name in methods} <= named
    for module in (sp.plots, sp.exact, sp.engine):
        short = module.__name__.removeprefix("stanpool.")
        assert {f"{short}.{name}" for name in module.__all__} <= named


@pytest.mark.parametrize("name", [name for name in FAMILIES if tables.MOMENTS[name][0]])
def test_mean_and_variance_of_families_are_as_their_densities_have_them(
    name: str,
) -> None:
    own = {"sigma": 0.7, "nu": 5.0, "shape": 2.5, "phi": 3.0, "zi": 0.3, "hu": 0.3}
    own |= {"slant": -2.0, "zoi": 0.3, "coi": 0.6, "kappa": 2.0}
    family, functions = FAMILIES[name], family_functions(name)
    known = {each: own[each] for each in family.parameter_names}
    if "trials" in family.parts:
        known["trials"] = 6.0
    if family.is_of_quantiles:
        known["quantile"] = 0.8
    eta = np.array([-0.4, 0.3])
    draws = functions.draw(
        np.random.default_rng(1), np.repeat(eta[:, None], 200_000, axis=1), **known
    )
    mu = functions.link.inverse(eta)
    words = {"mu": mu, "exp": np.exp, "gamma": special.gamma, **known}
    mean, variance = (
        eval(text.replace("^", "**"), words) for text in tables.MOMENTS[name][:2]
    )
    error = np.sqrt(variance / draws.shape[1])
    assert (np.abs(draws.mean(axis=1) - mean) < 5 * error).all()
    # The standard error of a variance, by the draws' fourth moments.
    deviations = (draws - mean[:, None]) ** 2
    error = deviations.std(axis=1) / np.sqrt(draws.shape[1])
    assert (np.abs(deviations.mean(axis=1) - variance) < 5 * error).all()


def test_every_check_of_a_diagnosis_is_explained() -> None:
    page = (DOCS / "reference" / "diagnosis.md").read_text("utf-8")
    names = set()
    for path in (ROOT / "src/stanpool/inference/diagnostics").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            makes = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if makes and node.func.id in ("Finding", "_finding", "_Check"):
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    names.add(first.value)
    assert {"r_hat", "divergences", "learned", "calibration"} <= names
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_every_environment_variable_is_explained() -> None:
    page = (DOCS / "reference" / "environment.md").read_text("utf-8")
    source = "".join(path.read_text("utf-8") for path in (ROOT / "src").rglob("*.py"))
    named = set(re.findall(r"\"((?:STANPOOL|CMDSTAN)(?:_[A-Z]+)?)\"", source))
    assert {"STANPOOL_CACHE", "STANPOOL_ENGINE", "CMDSTAN"} <= named
    assert {name for name in named if f"`{name}`" not in page} == set()


def test_every_command_and_function_of_formulas_is_listed() -> None:
    from stanpool.cli import main
    from stanpool.language.vocabulary import FUNCTIONS

    commands, functions = tables.commands(), tables.functions()
    assert all(f"## `stanpool {name}`" in commands for name in main.commands)
    assert all(f"`{name}(" in functions for name in FUNCTIONS)


def _commands_of_pages() -> list[tuple[str, list[str]]]:
    found = []
    for path in sorted({*DOCS.rglob("*.md"), ROOT / "README.md"}):
        for block in re.findall(
            r"^```sh\n(.*?)^```", path.read_text("utf-8"), re.M | re.S
        ):
            for line in block.replace("\\\n", " ").splitlines():
                before, _, words = line.partition("stanpool ")
                if before in ("", ".venv/bin/") and words:
                    split = shlex.shlex(words, posix=True, punctuation_chars="|>")
                    split.whitespace_split = True
                    is_ours = partial(operator.ne, "|")
                    found.append((path.name, list(takewhile(is_ours, split))))
    return found


def test_commands_of_pages_are_there_with_their_options() -> None:
    from stanpool.cli import main

    found = _commands_of_pages()
    assert len(found) > 5
    for page, (name, *words) in found:
        assert name in main.commands or name.startswith("-"), f"{page}: {name}"
        if command := main.commands.get(name):
            context = click.Context(command, resilient_parsing=True)
            # Refuses options that the command does not have.
            command.make_parser(context).parse_args(list(words))


def test_pages_are_put_together_with_links_that_lead_somewhere(tmp_path: Path) -> None:
    pages.put_together(ROOT, tmp_path, gallery=False)
    assert (tmp_path / "changelog.md").is_file()
    assert "](contributing.md" not in (tmp_path / "how/security.md").read_text("utf-8")
    assert "tables](tables" not in (tmp_path / "index.md").read_text("utf-8")
    guide = (tmp_path / "guide.md").read_text("utf-8")
    assert {"effects", "equations"} <= set(guide.split())
    assert not {"index", "citation", "developers", "gallery"} & set(guide.split())
    stale = tmp_path / "gone.md"
    stale.write_text("# Gone\n")
    pages.put_together(ROOT, tmp_path, gallery=False)
    assert not stale.exists()


@pytest.mark.parametrize(
    ("index", "files"),
    [
        ("docs/topics/index.md", "*.md"),
        ("docs/coming_from/index.md", "*.md"),
        ("notebooks/README.md", "*.ipynb"),
    ],
)
def test_pages_of_a_section_are_listed_in_the_repository(
    index: str, files: str
) -> None:
    page = ROOT / index
    linked = set(re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8")))
    there = {each.name for each in page.parent.glob(files)} - {page.name}
    assert len(there) > 5
    assert there <= linked


def test_faults_of_a_site_are_found(tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<h1 id="here">b</h1>')
    (tmp_path / "a.html").write_text(
        '<a href="b.html#here">1</a><a href="b.html#there">2</a><a href="c.html">3</a>'
        '<a href="https://example.org">4</a><img src="https://example.org/x.png">'
        '<script src="gone.js"></script>'
    )
    found = faults(tmp_path)
    assert len(found) == 4
    assert sum("b.html#there" in each for each in found) == 1
    assert sum("from the network" in each for each in found) == 1
