"""Deprecated names work, and warn at the line that uses them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pytest

import stanpool
import stanpool as sp
from stanpool.base.errors import deprecated, warn_user


@deprecated(since="0.2", instead="new(x)")
def old(x: int, *, more: int = 0) -> int:
    """Add one."""
    return x + 1 + more


def test_a_deprecated_function_works_and_warns_where_it_is_called() -> None:
    with pytest.warns(FutureWarning) as caught:
        assert old(1, more=2) == 4
    (warning,) = caught
    assert str(warning.message) == (
        "old() is deprecated since stanpool 0.2 and will be removed; use new(x)."
    )
    assert Path(warning.filename) == Path(__file__)
    assert old.__doc__ == "Add one."


def test_a_former_name_of_the_package_is_the_present_one() -> None:
    with pytest.warns(FutureWarning, match=r"use PoolingComparison\.$") as caught:
        former = sp.PoolingLadder
    assert former is sp.PoolingComparison
    assert Path(caught[0].filename) == Path(__file__)


def test_a_warning_names_the_line_of_the_user_through_cached_properties() -> None:
    file = Path(stanpool.__file__).with_name("of_stanpool.py")
    text = (
        "class OfStanpool:\n"
        "    @cached_property\n"
        "    def value(self):\n"
        "        warn_user('so it is', UserWarning)\n"
    )
    names = {"cached_property": cached_property, "warn_user": warn_user}
    exec(compile(text, file, "exec"), names)
    with pytest.warns(UserWarning, match="so it is") as caught:
        assert names["OfStanpool"]().value is None  # type: ignore[operator]
    assert Path(caught[0].filename) == Path(__file__)
