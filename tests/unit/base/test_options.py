"""Options that are one of a few words: the same for type checkers and when called."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import stanpool as sp
from stanpool.base import options
from stanpool.cli import main
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import ModelSpec

WORDS = {name: get_args(each) for name, each in vars(options).items() if get_args(each)}


def test_links_are_those_of_the_families():
    assert {link for each in FAMILIES.values() for link in each.links} == {
        *WORDS["Link"]
    }


@pytest.mark.parametrize("name", ["pooling", "parameterization"])
def test_each_word_is_taken_and_no_other(name):
    words = WORDS[name.capitalize()]
    for word in words:
        spec = ModelSpec("y", groups=(sp.GroupTerm("g"),), **{name: word})
        assert getattr(spec, name) == word
    with pytest.raises(sp.SpecError) as refused:
        sp.Model("y ~ 1", {"y": [1.0, 2.0]}, **{name: f"{words[0]}x"})
    said = ", ".join(map(repr, words))
    assert str(refused.value) == (
        f"{name}='{words[0]}x' is not one of {said}. Did you mean {words[0]!r}?"
    )


@pytest.mark.parametrize(
    ("command", "option", "words"),
    [
        ("fit", "pooling", WORDS["Pooling"]),
        ("fit", "parameterization", WORDS["Parameterization"]),
        ("predict", "kind", WORDS["PredictionKind"]),
        ("predict", "new_groups", WORDS["NewGroups"]),
        ("compare", "unit", (*WORDS["Unit"], "none")),
    ],
)
def test_commands_offer_the_same_words(command, option, words):
    parameters = {each.name: each for each in main.commands[command].params}
    assert tuple(parameters[option].type.choices) == words


SCRIPT = """
import stanpool as sp

radon = sp.load_dataset("radon")
right = sp.Model("log_radon ~ 1 + (1 | county)", radon, pooling="partial", link="log")
right.fit(threads_per_chain="auto").predict(new_groups="population", groups="redrawn")
right.fit(threads_per_chain=2).loo(unit="group")
wrong = sp.Model("log_radon ~ 1 + (1 | county)", radon, pooling="partal")
wrong = sp.Model("log_radon ~ 1 + (1 | county)", radon, parameterization="margin")
wrong = sp.complete_pooling(radon, outcome="log_radon", link="logg")
right.fit(threads_per_chain="all")
right.fit(engine="stan")
fit = right.fit()
fit.loo(unit="county")
fit.predict(new_groups="drop")
fit.predict_table(kind="prediction")
fit.varcorr(at="means")
sp.plots.plot_ppc(fit, kind="bars")
"""


def test_mypy_refuses_other_words_in_a_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    # stanpool's own types say what is wrong: those of other packages take most of the
    # time.
    packages = tmp_path / "packages"
    ours = Path(sp.__file__).parent
    left_out = shutil.ignore_patterns("__pycache__", "shipped")
    shutil.copytree(ours, packages / "stanpool", ignore=left_out)
    cache = Path(os.environ.get("MYPY_CACHE_DIR", tmp_path), "script")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--follow-imports=silent"),
            *("--no-site-packages", "--ignore-missing-imports"),
            *("--cache-dir", str(cache), script),
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PATH": "", "MYPYPATH": str(packages)},
    )
    refused = [
        line.split(":")[1]
        for line in done.stdout.splitlines()
        if line.startswith("script.py:") and " error: " in line
    ]
    lines = SCRIPT.splitlines()
    wrong = [
        str(number)
        for number, line in enumerate(lines, 1)
        if number > 7 and line and line != "fit = right.fit()"
    ]
    assert refused == wrong, done.stdout + done.stderr
