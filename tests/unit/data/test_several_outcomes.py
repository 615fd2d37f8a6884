"""Several outcomes of a row: rows for each, and formulas of these."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.base.errors import DataError, SpecError
from stanpool.language.formulas.several_outcomes import stacked_formulas

DATA = pd.DataFrame(
    {"a": [1.0, 2.0, None], "b": [5.0, None, 7.0], "x": [0.1, 0.2, 0.3]},
    index=[7, 8, 9],
)


def test_each_outcome_that_is_there_has_a_row() -> None:
    found = sp.stack_outcomes(DATA, ["b", "a"], first=10)
    assert found["row"].tolist() == [10, 10, 11, 12]
    assert found["outcome"].tolist() == ["b", "a", "a", "b"]
    assert found["value"].tolist() == [5.0, 1.0, 2.0, 7.0]
    assert found["a"].tolist() == [0.0, 1.0, 1.0, 0.0]
    assert found["b"].tolist() == [1.0, 0.0, 0.0, 1.0]
    assert found["x"].tolist() == [0.1, 0.1, 0.2, 0.3]
    assert found.index.tolist() == [0, 1, 2, 3]


def test_outcomes_that_new_rows_do_not_have_are_to_be_predicted() -> None:
    found = sp.stack_outcomes(DATA.drop(columns="b"), ["a", "b"])
    assert found["outcome"].tolist() == ["a", "b", "a", "b", "b"]
    assert found["value"].isna().tolist() == [False, True, False, True, True]


@pytest.mark.parametrize(
    ("changes", "outcomes", "said"),
    [
        ({}, ["a"], "two columns or more"),
        ({}, ["a", "a"], "each named once"),
        ({}, ["c", "d"], "none of the outcomes 'c', 'd'"),
        ({}, "ab", "single string"),
        ({"row": 1}, ["a", "b"], r"'row', which stack_outcomes makes.*'row_'"),
        ({"a": ["u", "v", "w"]}, ["a", "b"], "outcome 'a' must be numbers"),
    ],
)
def test_tables_that_cannot_be_are_refused(
    changes: dict[str, Any], outcomes: Any, said: str
) -> None:
    with pytest.raises((DataError, SpecError), match=said):
        sp.stack_outcomes(DATA.assign(**changes), outcomes)


@pytest.mark.parametrize(
    ("formulas", "expected"),
    [
        (["a ~ x", "b ~ 0 + x"], "0 + a + a:x + b:x"),
        ({"a": "x * z", "b": "C(f)"}, "0 + a + b + a:(x * z) + b:C(f)"),
        (
            ["a ~ x + (1 + x |p| g)", "b ~ 1 + (1 |p| g)"],
            "0 + a + b + a:x + (0 + a + a:x + b | g)",
        ),
        (
            ["a ~ 1 + (1 | g)", "b ~ 1 + (1 | g)"],
            "0 + a + b + (0 + a | g) + (0 + b | g)",
        ),
        (
            ["a ~ 1 + (1 |p| g/h)", "b ~ 1 + (1 |p| g) + (1 | k)"],
            "0 + a + b + (0 + a + b | g) + (0 + a | g:h) + (0 + b | k)",
        ),
    ],
)
def test_formulas_of_rows_say_what_those_of_outcomes_say(
    formulas: Any, expected: str
) -> None:
    found = stacked_formulas(formulas)
    assert found.outcomes == ("a", "b")
    assert found.formulas == (
        f"value | residual(cs(row)) ~ {expected}",
        "sigma ~ 0 + a + b",
    )


@pytest.mark.parametrize(
    ("formulas", "said"),
    [
        ("a ~ x", "a formula each"),
        (["a ~ x"], r"one outcome\s+is sp.Model"),
        (["a ~ x", "a ~ z"], "not distinct"),
        (["a ~ x", "b ~ z", "c ~ x"], "3 outcomes, 'a', 'b', 'c', .*Choose two"),
        (["log(a) ~ x", "b ~ x"], "Write log"),
        (["a | se(s) ~ x", "b ~ x"], "without '|'"),
        (["a ~ x + offset(z)", "b ~ x"], "no offset"),
        (["a ~ s(x)", "b ~ x"], "curves of several outcomes"),
        (["a ~ x * z - z", "b ~ x"], "subtracts 'z'"),
        (["a ~ (1 + x || g)", "b ~ x"], "group term that several outcomes"),
        (["a ~ rw1(t)", "b ~ x"], "group term that several outcomes"),
        (
            ["a ~ (1 + x | g)", "b ~ (1 | g)"],
            r"give the terms an id, as in \(1 \|p\| g",
        ),
        (["a ~ x +", "b ~ x"], "a term is missing"),
        (["a ~ x", "b ~ log(a)"], "'b' has 'a', which is an outcome itself"),
        (["a ~ x", "b ~ x + (1 | a)"], "'b' has 'a', which is an outcome itself"),
    ],
)
def test_formulas_that_several_outcomes_cannot_have_are_refused(
    formulas: Any, said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        stacked_formulas(formulas)


def test_the_model_is_one_of_the_rows() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"a": rng.normal(size=20), "b": rng.normal(size=20)})
    data = data.assign(x=rng.normal(size=20), g=[f"g{k % 4}" for k in range(20)])
    model = sp.several_outcomes(
        ["a ~ x + (1 |p| g)", "b ~ 1 + (1 |p| g)"],
        data,
        priors={"beta[a:x]": "normal(0, 3)"},
    )
    assert model.design.coefficients == ("a", "b", "a:x")
    assert model.design.factors[0].coefficients == ("a", "b")
    assert str(model.priors["beta[a:x]"].prior) == "normal(0, 3)"
    rows = sp.stack_outcomes(data, ["a", "b"])
    assert model.design.rows == len(rows) == 40
