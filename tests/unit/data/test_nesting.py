"""Which groups lie within which, whether the formula says so or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.data.design.nesting import factors_within, outer_groups

DATA = pd.DataFrame(
    {
        "y": [3, 1, 4, 1, 5, 9, 2, 6],
        "x": np.linspace(-1, 1, 8),
        "town": list("aaaabbbb"),
        "school": list("ccddeeff"),
        "year": list("ghghghgh"),
        "row": list("stuvwxyz"),
    }
)


@pytest.mark.parametrize(
    ("terms", "wanted"),
    [
        ("(1 | town) + (1 | year)", ((), ())),
        ("(1 | town/school)", ((), (0,))),
        ("(1 | school) + (1 | town)", ((1,), ())),
        # A level for each row is within all factors, those that are crossed as well.
        (
            "(1 | row) + (1 | year) + (1 | school) + (1 | town)",
            ((1, 2, 3), (), (3,), ()),
        ),
        # No coefficient in common, and rows that are members of several groups.
        ("(0 + x | school) + (1 | town)", ((), ())),
        ("(1 | mm(school, year)) + (1 | town)", ((), ())),
    ],
)
def test_factors_are_within_those_whose_groups_hold_theirs(
    terms: str, wanted: tuple[Any, ...]
) -> None:
    model = sp.Model(f"y ~ x + {terms}", DATA, family="poisson")
    assert factors_within(model.design) == wanted


def test_the_program_and_its_pilot_agree_on_which_factors_are_within_others() -> None:
    """Deviations where predictors are 0 are no center at predictors far from there."""
    years = DATA.assign(x=DATA["x"] + 2000.0)
    terms = "(1 + x || school) + (1 + x || town)"
    model = sp.Model(f"y ~ x + {terms}", years, family="poisson")
    assert [each.recentered for each in model.structure.factors] == [True, True]
    for design in (model.design, model.scaling.design(model.design)):
        assert factors_within(design) == model.structure.within == ((), ())


def test_outer_groups_are_those_of_the_rows() -> None:
    model = sp.Model("y ~ x + (1 | school) + (1 | town)", DATA, family="poisson")
    school, town = model.design.factors
    found = [town.labels[place] for place in outer_groups(school, town)]
    assert dict(zip(school.labels, found, strict=True)) == dict(
        c="a", d="a", e="b", f="b"
    )


def test_a_model_of_some_rows_has_the_program_of_all() -> None:
    """Of few rows, groups of crossed factors can look as if they were nested."""
    model = sp.Model("y ~ x + (1 | school) + (1 | year)", DATA, family="poisson")
    part = model.take([0, 2, 4, 6])
    assert factors_within(part.design) != factors_within(model.design)
    assert part.program == model.program
