"""Deprecated names work, and warn at the line that uses them."""

from __future__ import annotations

from pathlib import Path

import pytest

import stanpool as sp
from stanpool.base.errors import deprecated


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
