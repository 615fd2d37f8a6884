"""Notebooks run, and their executed form is of the same cells."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.py"))
LARGEST = 500_000  # bytes
# The others compile programs that nothing else uses, write a report, as other tests
# do, or make hundreds of fits: --slow runs all of them.
SHORT = [path for path in NOTEBOOKS if path.stem[:2] not in ("07", "09", "11", "12")]


def cells_of_text(path: Path) -> list[tuple[str, str]]:
    """Split a py:percent file into kinds and sources of cells."""
    header, *parts = re.split(r"^# %%", path.read_text(), flags=re.MULTILINE)
    assert header.startswith("# ---")
    cells = []
    for part in parts:
        mark, _, source = part.partition("\n")
        source = source.strip("\n")
        if mark.strip() == "[markdown]":
            lines = [re.sub(r"^# ?", "", line) for line in source.splitlines()]
            cells.append(("markdown", "\n".join(lines)))
        else:
            cells.append(("code", source))
    return cells


def cells_of_executed(path: Path) -> list[dict[str, Any]]:
    executed = path.with_suffix(".ipynb")
    assert executed.stat().st_size < LARGEST
    return json.loads(executed.read_text())["cells"]


def run_cells(path: Path) -> None:
    """Run every cell of a notebook, without showing its figures."""
    mpl.use("Agg")
    from matplotlib import pyplot

    try:
        with mpl.rc_context():
            runpy.run_path(str(path))
    finally:
        pyplot.close("all")


@pytest.mark.parametrize(
    "path",
    [
        # Interpreted, what integrates two factors out takes ten times as long.
        pytest.param(
            path, marks=[pytest.mark.compiled] if path.stem[:2] == "08" else []
        )
        for path in SHORT
    ],
    ids=lambda path: path.stem,
)
def test_it_runs_with_few_draws(path: Path, few_draws: list[Any]) -> None:
    run_cells(path)
    assert few_draws


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    @pytest.mark.slow
    def test_it_runs(self, path: Path) -> None:
        run_cells(path)

    def test_its_executed_form_has_the_same_cells(self, path: Path) -> None:
        executed = [
            (cell["cell_type"], "".join(cell["source"]).strip("\n"))
            for cell in cells_of_executed(path)
        ]
        assert executed == cells_of_text(path)

    def test_its_cells_were_executed_in_order_and_without_error(
        self, path: Path
    ) -> None:
        code = [each for each in cells_of_executed(path) if each["cell_type"] == "code"]
        counts = [each["execution_count"] for each in code]
        assert counts == list(range(1, len(code) + 1))
        for cell in code:
            for output in cell["outputs"]:
                assert output["output_type"] != "error"
                assert output.get("name") != "stderr"

    def test_its_outputs_tell_nothing_of_the_machine(self, path: Path) -> None:
        text = path.with_suffix(".ipynb").read_text()
        assert not re.search(r"/(home|root|tmp|Users)/", text)

    def test_it_says_what_the_reader_will_learn(self, path: Path) -> None:
        kind, first = cells_of_text(path)[0]
        assert kind == "markdown"
        assert "You will learn" in first
