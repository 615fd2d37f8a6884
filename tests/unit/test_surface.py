"""No public function answers a wrong argument with somebody else's exception."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import stanpool as sp
import surface

CALLS = list(surface.public_calls())

# What no argument takes, what most do not, and what is read letter by letter.
KINDS = ["object", "a list of None", "text", "10**400"]


@pytest.fixture(autouse=True)
def _no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with surface.without_engine(tmp_path):
        yield


@pytest.mark.parametrize(("name", "found"), CALLS, ids=[name for name, _ in CALLS])
def test_wrong_arguments_are_refused_by_stanpool(name, found, tmp_path):
    # A report is written where nothing is wrong, and takes long.
    kinds = KINDS if "report" not in name else ["object", "10**400"]
    for said, call in surface.wrong_calls(name, found(), tmp_path, kinds):
        fault = surface.fault_of(call)
        assert fault is None, f"{said}: {fault}"


def test_all_that_takes_arguments_is_checked():
    unchecked = [
        name
        for name, found in CALLS
        if (inspect.isfunction(found()) or inspect.ismethod(found()))
        and inspect.signature(found()).parameters
        and not hasattr(found(), "__wrapped__")
    ]
    assert unchecked == []


def test_calls_are_those_of_the_public_names():
    names = {name for name, _ in CALLS}
    assert {"sp.loo", "sp.Model", "sp.Model.fit", "sp.Fit.predict"} < names
    assert {"plots.plot_lines", "exact.gibbs", "engine.compile_program"} < names
    assert len(names) > 100


def test_the_harness_sees_a_foreign_exception():
    def careless(seed: int = 1) -> int:
        return seed + 1

    faults = [
        surface.fault_of(call)
        for _, call in surface.wrong_calls("careless", careless, Path(), ["text"])
    ]
    assert [fault.partition(":")[0] for fault in faults] == ["TypeError", "TypeError"]
    assert surface.fault_of(sp.list_datasets) is None


def test_no_option_of_a_command_ends_in_a_traceback(tmp_path):
    for said, call in surface.command_calls(tmp_path, ["nan"]):
        if "report" not in said:  # which is written, and takes long
            fault = surface.fault_of(call)
            assert fault is None, f"{said}: {fault}"
