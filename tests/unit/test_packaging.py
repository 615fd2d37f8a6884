"""What is said of the package in several places is the same everywhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import stanpool as sp

ROOT = Path(__file__).parents[2]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = SETTINGS["project"]
# Where the version and the addresses of the project stand, besides pyproject.toml.
ELSEWHERE = ("CITATION.cff", "docs/citation.md", ".github/conda/recipe.yaml")


@pytest.mark.parametrize("name", ELSEWHERE)
def test_version_and_addresses_are_those_of_the_project(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    versions = re.findall(r"^\s*version\s*[:=]\s*[\"{]?(\d[\w.]*)", text, re.MULTILINE)
    assert set(versions) == {PROJECT["version"]} == {sp.__version__}
    home = PROJECT["urls"]["Homepage"]
    addresses = set(re.findall(r"https://[^\s\"})]+", text))
    assert addresses
    assert all(each.startswith(home) for each in addresses)


def test_links_of_the_readme_lead_to_the_repository_where_it_is_shown_elsewhere() -> (
    None
):
    hook = SETTINGS["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    text = (ROOT / "README.md").read_text("utf-8")
    for each in hook["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    links = re.findall(r"\]\(([^)#]+)", text)
    repository = PROJECT["urls"]["Repository"]
    assert {link for link in links if not link.startswith("https://")} == set()
    own = {link for link in links if link.startswith(repository)}
    assert any("/raw/main/notebooks/figures/" in link for link in own)
    for link in own:
        place = re.sub(r"^/(raw|blob)/main/", "", link.removeprefix(repository))
        assert (ROOT / place).exists(), link


def test_the_recipe_needs_what_the_package_needs() -> None:
    recipe = (ROOT / ".github/conda/recipe.yaml").read_text("utf-8")
    needed = {re.split(r"[\[<>=;]", each)[0] for each in PROJECT["dependencies"]}
    # Conda has matplotlib without its graphical parts, and no stanli.
    conda = {"matplotlib": "matplotlib-base"}
    listed = set(re.findall(r"^    - ([\w-]+)", recipe, re.MULTILINE))
    assert {conda.get(name, name) for name in needed - {"stanli"}} <= listed


def test_every_python_that_is_tested_is_named() -> None:
    tested = (ROOT / ".github/workflows/tests.yml").read_text("utf-8")
    versions = set(re.findall(r'"(3\.\d+)"', tested))
    named = {
        c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c
    }
    assert named == versions
