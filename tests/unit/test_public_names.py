"""The public names are a list, and the list is true."""

from __future__ import annotations

import inspect

import pytest

import stanpool as sp


def test_the_list_is_sorted_and_complete() -> None:
    assert sp.__all__ == sorted(sp.__all__)
    assert len(set(sp.__all__)) == len(sp.__all__)
    assert set(dir(sp)) == {*sp.__all__, "__version__"}


@pytest.mark.parametrize("name", sp.__all__)
def test_each_name_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(sp, name))


def test_names_are_loaded_once() -> None:
    assert sp.Model is sp.Model
    from stanpool.api.facade import Model

    assert sp.Model is Model


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'stanpool' has no attribute 'Modell'"):
        sp.Modell  # noqa: B018


@pytest.mark.parametrize(
    "name", [name for name in sp.__all__ if inspect.isfunction(getattr(sp, name))]
)
def test_at_most_two_arguments_go_by_position(name: str) -> None:
    parameters = inspect.signature(getattr(sp, name)).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert len(positional) <= 2


def test_errors_are_one_tree() -> None:
    for name in ("SpecError", "DataError", "EngineError"):
        assert getattr(sp, name).__bases__[0] is sp.StanpoolError
    assert issubclass(sp.SpecError, ValueError)
    assert issubclass(sp.DataError, ValueError)
    assert issubclass(sp.EngineError, RuntimeError)
    assert {sp.CompileError.__base__, sp.SamplingError.__base__} == {sp.EngineError}
