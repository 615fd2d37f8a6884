"""Pages for those who come from other tools: what stands there runs, and agrees.

The numbers of the other tools are in ``docs/coming_from/figures.json``, by what is
written in the page's cell; ``docs/coming_from/record.py`` recorded them.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp

FOLDER = Path(__file__).parents[2] / "docs" / "coming_from"
FIGURES = json.loads((FOLDER / "figures.json").read_text())
PAGES = sorted(each.stem for each in FOLDER.glob("*.md") if each.stem != "index")
# Half as many draws as the pages have: enough for the differences that pages state.
SETTINGS = {"seed": 2, "draws": 500, "progress": False}
MONTE_CARLO = 0.1  # posterior standard deviations, of about 1,000 effective draws


def _script() -> Any:
    """Import ``record.py``, which reads the tables."""
    spec = importlib.util.spec_from_file_location("record", FOLDER / "record.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["record"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


record = _script()


@cache
def page_of(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text()


@cache
def names_of(name: str) -> dict[str, Any]:
    """Run the first block of a page, which its tables need."""
    block = re.search(r"^```python\n(.*?)^```$", page_of(name), re.M | re.S)
    assert block is not None
    names: dict[str, Any] = {"SETTINGS": SETTINGS}
    exec(block[1].replace("fit(seed=1)", "fit(**SETTINGS)"), names)
    return names


def says(name: str) -> list[Any]:
    return list(record.rows_of(page_of(name)))


def numbers_in(text: str) -> list[float]:
    return [float(each) for each in re.findall(r"-?\d+\.?\d*", text)]


@pytest.mark.parametrize("name", PAGES)
class TestRowsWithNumbers:
    def test_models_agree_as_closely_as_the_page_says(self, name: str) -> None:
        for row in says(name):
            if row.is_model:
                fit = eval(row.ours, names_of(name)).fit(**SETTINGS)
                found, spread = record.figures_of(fit), record.spread_of(fit)
                theirs = FIGURES[name][row.theirs]
                within = [row.within[0]] * 2 + [row.within[1]] * (len(found) - 2)
                limit = (np.array(within) + MONTE_CARLO) * spread
                for other in (theirs, numbers_in(row.says[1])):
                    assert len(other) == len(found), row.what
                    assert np.all(np.abs(np.subtract(found, other)) < limit), row.what

    def test_answers_agree_as_closely_as_the_page_says(self, name: str) -> None:
        for row in says(name):
            if not row.is_model:
                found = float(eval(row.ours, names_of(name)))
                for other in (*FIGURES[name][row.theirs], *numbers_in(row.says[1])):
                    assert found == pytest.approx(other, rel=row.within[0] / 100), (
                        row.what
                    )

    def test_the_other_tools_numbers_are_those_that_were_recorded(
        self, name: str
    ) -> None:
        for row in says(name):
            assert row.says[0] == record.written(FIGURES[name][row.theirs]), row.what


# What formulas on the pages are about: each name has a column here.
_RNG = np.random.default_rng(1)
COLUMNS = pd.DataFrame(
    {
        "y": _RNG.integers(1, 9, 60),
        "n": 9,
        "x": _RNG.uniform(1, 2, 60),
        "z": _RNG.uniform(1, 2, 60),
        "s": 1.0,
        "v": np.where(_RNG.random(60) < 0.2, np.nan, _RNG.random(60)),
        "w": 1.0,
        "e": 2.0,
        "c": "none",
        "time": _RNG.exponential(size=60),
        "lower": 1,
        "upper": 9,
        "lb": 1,
        "ub": 9,
        **{name: _RNG.integers(0, 6, 60) for name in ("g", "a", "b", "g1", "g2")},
        "visit": np.arange(60),
    }
)


def formula_of(code: str) -> str | list[str] | None:
    """Make a whole formula of what a cell has; None if it has no formula."""
    if code.startswith("["):
        return [str(each) for each in ast.literal_eval(code)]
    if "~" in code:
        return code.replace("`", "")
    if code.startswith("("):
        return f"y ~ x + {code}"
    if re.match(r"(log|I|scale|center|bs|poly|C)\(", code):
        return f"y ~ {code}"
    return f"{code} ~ x" if re.match(r"\w+ \| \w+\(", code) else None


def build(formula: str | list[str]) -> None:
    text = str(formula)
    family = next(
        (
            name
            for part, name in (
                ("trials", "binomial"),
                ("exposure", "poisson"),
                ("time", "weibull"),
                ("offset", "poisson"),
                ("quantile", "asymmetric_laplace"),
            )
            if part in text
        ),
        "gaussian",
    )
    sp.Model(formula, COLUMNS, family=family)


def check_call(code: str) -> None:
    """Check that the names and arguments of a call exist, without calling it."""
    tree = ast.parse(code, mode="eval").body
    call = tree if isinstance(tree, ast.Call) else None
    path = ast.unparse(tree.func if call is not None else tree).split(".")
    fit = names_of("lme4")["fit"]
    found: Any = {"fit": fit, "model": fit.model, "sp": sp}[path[0]]
    for name in path[1:]:
        found = getattr(found, name)
    if call is not None:
        known = inspect.signature(found).parameters
        has_more = any(each.kind is each.VAR_KEYWORD for each in known.values())
        for word in call.keywords:
            assert has_more or word.arg in known, code


@pytest.mark.parametrize("name", PAGES)
def test_what_other_tables_say_of_stanpool_is_there(name: str) -> None:
    checked = 0
    for line in page_of(name).splitlines():
        cells = re.split(r"(?<!\\)\|", line)[1:-1]
        if len(cells) != 2:
            continue
        for code in re.findall(r"`([^`]+)`", cells[1].replace(r"\|", "|")):
            if code.startswith(("fit.", "sp.", "model.")):
                check_call(code)
            elif code.startswith('"') and '": "' in code:
                key, prior = ast.literal_eval("{" + code + "}").popitem()
                data = sp.load_dataset("sleepstudy")
                key = key.replace("beta[x]", "beta[Days]")
                key = key.replace("tau_g", "tau_Subject")
                nu = {"family": "student_t"} if key == "nu" else {}
                model = "Reaction ~ Days + (Days | Subject)"
                sp.Model(model, data, priors={key: prior}, **nu)
            elif formula := formula_of(code):
                build(formula)
            else:
                continue
            checked += 1
    assert checked > 3
