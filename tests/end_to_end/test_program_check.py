"""``stanpool doctor --programs``: one program of each kind through an engine."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from stanpool.base.errors import DensityError
from stanpool.cli import main
from stanpool.engine.install import upkeep
from stanpool.language.family import FAMILIES
from stanpool.sampling import sample
from stanpool.studies import program_check


@pytest.fixture
def well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Find all well with CmdStan, whatever is on this machine."""
    monkeypatch.setattr(upkeep, "_what_is_damaged", lambda _: [])
    monkeypatch.setattr(upkeep, "_what_prevents_set_up", lambda _: [])


def test_there_is_a_program_of_each_family_and_each_form() -> None:
    found = [each.structure for each in program_check.program_kinds().values()]
    links = {(family.name, x) for family in FAMILIES.values() for x in family.links}
    assert {(each.family, each.link) for each in found} == links
    assert {each.pooling for each in found} == {"complete", "none", "partial"}
    forms = {"centered", "noncentered", "adaptive", "marginal"}
    assert forms <= {each.parameterization for each in found}
    assert any(each.special for each in found)


@pytest.mark.slow
@pytest.mark.usefixtures("well")
def test_all_kinds_are_right_in_stanli() -> None:
    done = CliRunner().invoke(main, ["doctor", "--programs", "stanli"])
    lines = [x for x in done.stdout.splitlines() if x.startswith(("ok  ", "WRONG"))]
    assert len(lines) == len(program_check.program_kinds())
    assert all(line.startswith("ok ") for line in lines), done.stdout
    assert done.exit_code == 0, done.output


@pytest.mark.usefixtures("well")
def test_a_wrong_program_is_named_and_the_exit_code_is_3(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds = program_check._KINDS
    few = {"complete pooling": kinds["complete pooling"]}
    monkeypatch.setattr(program_check, "_KINDS", few)
    one = {"bernoulli": replace(FAMILIES["bernoulli"], links=("logit",))}
    monkeypatch.setattr(program_check, "FAMILIES", one)
    right = sample.check_density

    def wrong_of_bernoulli(model: Any, *given: Any, **options: Any) -> str:
        if model.spec.family == "bernoulli":
            raise DensityError("stanli computes a wrong log density")
        return right(model, *given, **options)

    monkeypatch.setattr(sample, "check_density", wrong_of_bernoulli)
    command = ["doctor", "--programs", "stanli"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 3
    assert "WRONG bernoulli, logit" in done.stdout
    assert "computes a wrong log density" in done.stdout
    assert "ok    complete pooling" in done.stdout
    told = json.loads(CliRunner().invoke(main, [*command, "--json"]).stdout)
    assert [each["ok"] for each in told["programs"]] == [True, False]


@pytest.mark.slow
@pytest.mark.compiled
def test_all_kinds_are_right_in_cmdstan() -> None:
    found = list(program_check.check_programs("cmdstan", progress=False))
    assert [each.kind for each in found if not each.ok] == []
