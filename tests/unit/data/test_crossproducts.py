"""Crossproducts in the place of rows: which models have them, and what they hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.data.compression.crossproducts import Crossproducts, crossproducts

ROWS = 2000


def crossed(rows: int = ROWS) -> pd.DataFrame:
    """Return rows of two crossed factors whose groups hardly ever meet twice."""
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 60, (3, rows))
    return pd.DataFrame(
        {
            "y": rng.normal(size=rows) + 1e6,
            "x": rng.normal(3, 1, rows),
            "w": rng.uniform(0.5, 2.0, rows),
            "known": rng.uniform(0.5, 2.0, rows),
            "o": rng.normal(size=rows),
            **dict(zip(("g", "g_2", "h"), groups, strict=True)),
        }
    )


def columns_of(model: sp.Model, data: pd.DataFrame) -> np.ndarray:
    """Return a column for each coefficient of ``(1 + x | g) + (1 | mm(g, g_2))``."""
    ones = (data[["g", "g_2"]].to_numpy()[:, :, None] == np.arange(60)).astype(float)
    x = model.design.X[:, :1]
    whole = [np.ones_like(x), x, ones[:, 0], ones[:, 0] * x, ones.mean(axis=1)]
    return np.concatenate(whole, axis=1)


@pytest.mark.parametrize(
    ("outcome", "precision"),
    [
        ("y ~ x", lambda d: np.ones(len(d))),
        ("y | weights(w) ~ x + offset(o)", lambda d: d["w"]),
        ("y | se(known) ~ x", lambda d: d["known"] ** -2),
    ],
)
def test_sums_of_squares_are_those_of_the_rows(outcome: str, precision: Any) -> None:
    data = crossed(300)
    model = sp.Model(f"{outcome} + (1 + x | g) + (1 | mm(g, g_2))", data)
    found = crossproducts(model.design, always=True)
    assert found is not None
    W, rng = columns_of(model, data), np.random.default_rng(2)
    y = data["y"] - (data["o"] if "offset" in outcome else 0)
    for _ in range(3):
        theta = rng.normal(size=W.shape[1])
        own = theta.copy()
        theta[0] += found.y_shift
        expected = float(precision(data) @ np.square(y - W @ theta))
        d = own - found.estimate
        quadratic = float(found.gram @ (d[found.row] * d[found.column]))
        squares = found.squares - 2 * float(found.products @ d) + quadratic
        # A mean of 1e6 has 6 digits of 16.
        assert squares == pytest.approx(expected, rel=1e-9)


def test_no_digit_is_lost_where_the_noise_is_small() -> None:
    """At the truth, the sum of squares is that of the noise."""
    data, rng = crossed(500), np.random.default_rng(3)
    truth, noise = rng.normal(size=60), 1e-6 * rng.normal(size=500)
    data["y"] = 1e3 * data["x"] + truth[data["g"]] + noise
    found = crossproducts(sp.Model("y ~ x + (1 | g)", data).design, always=True)
    assert found is not None
    theta = np.concatenate([[-found.y_shift, 1e3], truth])
    d = theta - found.estimate
    quadratic = found.gram @ (d[found.row] * d[found.column])
    squares = found.squares - 2 * found.products @ d + quadratic
    assert squares == pytest.approx(float(noise @ noise), rel=1e-4)


def test_crossed_rows_that_cannot_be_reduced_have_crossproducts() -> None:
    formula = "y ~ x + (1 + x | g) + (1 | h)"
    model = sp.Model(formula, crossed(), parameterization="adaptive")
    assert isinstance(model.rows, Crossproducts)
    # Each pair of groups of both factors that meets, with and without x, and products
    # of each group's three columns with two of the population and with its own.
    pairs = crossed().groupby(["g", "h"]).ngroups
    assert model.rows.kept == 3 + 60 * (3 * 2 + 3 + 1) + 2 * pairs
    assert f"replaced by {model.rows.kept} crossproducts" in model.explain()
    data = model.stan_data()
    assert data["nnz_gram"] == model.rows.kept
    assert not data.keys() & {"N", "X", "Z", "group"}
    assert model.with_(compress=False).rows is None
    assert sp.Model(formula, crossed(900), parameterization="adaptive").rows is None
    by_scale = model.with_(residual="h")
    assert not isinstance(by_scale.rows, Crossproducts)


def test_some_rows_of_a_model_have_its_program() -> None:
    model = sp.Model("y ~ x + (1 | mm(g, g_2))", crossed())
    assert isinstance(model.rows, Crossproducts)
    some = model.take(range(50))
    assert isinstance(some.rows, Crossproducts)
    assert some.program == model.program
    assert some.rows.weight == 50
    rows = model.with_(compress=False)
    assert rows.take(range(50)).program == rows.program
