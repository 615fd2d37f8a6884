"""Penalised smooths: their spaces, penalties and columns, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.data.matrix.smooths.bases import penalised_curves
from stanpool.data.matrix.smooths.smooth import Smooth, build_smooth

DATA = Path(__file__).parents[2] / "data"
MCYCLE = pd.read_csv(DATA / "mcycle.csv").astype(float)
MGCV = json.loads((DATA / "mgcv.json").read_text())
KINDS = ("tp", "cr", "cc", "ps")
NEW = np.array([-5.0, 2.4, 20.3, 57.6, 70.0])  # some are beyond the data


def frame(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    x = rng.uniform(1990, 2020, rows)
    return pd.DataFrame(
        {
            "x": x,
            "z": rng.normal(size=rows),
            "f": rng.choice(["a", "b", "c"], rows),
            "g": rng.integers(0, 12, rows).astype(str),
            "few": rng.integers(0, 6, rows),
            "y": np.sin(x / 3) + rng.normal(0, 0.3, rows),
        }
    )


def of_times(kind: str) -> Smooth:
    times = MCYCLE["times"].to_numpy()
    return build_smooth("s(times)", ["times"], [times], kind=kind, size=10)


def columns(smooth: Smooth, x: np.ndarray) -> tuple[np.ndarray, int]:
    """Return a constant and all columns, and how many of them are not penalised."""
    free, penalised = smooth.columns([x])
    return np.column_stack([np.ones(len(x)), free, penalised]), 1 + free.shape[1]


@pytest.mark.parametrize("kind", KINDS)
class TestAgainstMgcv:
    """With the same smoothing parameter a curve is mgcv's, and so beyond the data."""

    def test_its_curves_are_in_the_space_and_have_its_penalty(self, kind: str) -> None:
        X, free = columns(of_times(kind), MCYCLE["times"].to_numpy())
        ratios = []
        for each in MGCV[kind]["fits"]:
            theta = np.linalg.lstsq(X, np.array(each["fitted"]), rcond=None)[0]
            np.testing.assert_allclose(X @ theta, each["fitted"], atol=1e-8)
            ratios.append(np.square(theta[free:]).sum() / each["penalty"])
        # Both scale the penalty, each by a constant of its own.
        assert ratios[0] == pytest.approx(ratios[1], rel=1e-8)

    def test_penalised_least_squares_are_its_fit(self, kind: str) -> None:
        smooth, y = of_times(kind), MCYCLE["accel"].to_numpy()
        X, free = columns(smooth, MCYCLE["times"].to_numpy())
        first, last = MGCV[kind]["fits"]
        theta = np.linalg.lstsq(X, np.array(first["fitted"]), rcond=None)[0]
        scale = first["penalty"] / np.square(theta[free:]).sum()
        penalty = np.zeros(X.shape[1])
        penalty[free:] = last["sp"] * scale
        found = np.linalg.solve(X.T @ X + np.diag(penalty), X.T @ y)
        np.testing.assert_allclose(X @ found, last["fitted"], atol=1e-6)
        new, _ = columns(smooth, NEW)
        np.testing.assert_allclose(new @ found, last["new"], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_are_orthogonal_and_scaled(kind: str) -> None:
    x = frame()["x"].to_numpy()
    smooth = build_smooth("s(x)", ["x"], [x], kind=kind)
    free, penalised = smooth.columns([x])
    products = penalised.T @ np.column_stack([np.ones_like(x), free, penalised])
    own = products[:, 1 + free.shape[1] :]
    np.testing.assert_allclose(products[:, : 1 + free.shape[1]], 0.0, atol=1e-6)
    np.testing.assert_allclose(own - np.diag(np.diag(own)), 0.0, atol=1e-9)
    assert np.trace(own) / len(x) == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["tp", "cr", "cc"])
def test_penalties_are_integrals_of_squared_second_derivatives(kind: str) -> None:
    """By Simpson's rule from differences of the curves themselves."""
    x = np.linspace(-0.5, 0.5, 30)
    curves = penalised_curves(kind, x, 7)
    fine = np.linspace(-0.5, 0.5, 20_001)
    values, h = curves(fine), fine[1] - fine[0]
    second = (values[2:] - 2 * values[1:-1] + values[:-2]) / h**2
    np.testing.assert_allclose(second.T @ second * h, np.eye(curves.count), atol=3e-3)


def test_the_basis_of_many_values_spans_that_of_all() -> None:
    """Beyond 2000 distinct values quantiles stand for them."""
    x = np.random.default_rng(3).normal(size=4000)
    few = build_smooth("s(x)", ["x"], [np.quantile(x, np.linspace(0, 1, 1500))])
    many = build_smooth("s(x)", ["x"], [x])
    X, _ = columns(many, x)
    target, _ = columns(few, x)
    found = X @ np.linalg.lstsq(X, target, rcond=None)[0]
    assert np.abs(found - target).max() < 0.01 * np.abs(target).max()


class TestColumns:
    def test_a_level_has_a_curve_of_its_own(self) -> None:
        data = frame()
        design = sp.Model("y ~ f + s(x, by=f)", data).design
        assert [each.name for each in design.smooths] == [
            f"s(x, by=f).{level}" for level in "abc"
        ]
        linear = dict(zip(design.coefficients, design.X.T, strict=True))
        own = linear["s(x, by=f).b.linear"]
        is_b = (data["f"] == "b").to_numpy()
        expected = np.where(is_b, data["x"] - data["x"].mean(), 0.0)
        np.testing.assert_allclose(own, expected)

    def test_numbers_multiply_a_curve_and_its_level(self) -> None:
        data = frame()
        plain = sp.Model("y ~ s(x)", data).design
        times = sp.Model("y ~ s(x, by=z)", data).design
        assert times.mean.free == ("s(x, by=z).constant", "s(x, by=z).linear")
        z = data["z"].to_numpy()
        np.testing.assert_allclose(times.X[:, 0], z)
        np.testing.assert_allclose(times.X[:, 1], z * plain.X[:, 0])
        # The same curves, up to a rotation.
        own, others = z[:, None] * plain.X[:, 1:], times.X[:, 2:]
        left = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
        np.testing.assert_allclose(left, 0.0, atol=1e-8)

    def test_a_surface_has_a_scale_for_each_direction_and_both(self) -> None:
        data = frame()
        design = sp.Model("y ~ t2(x, z, k=[4, 5])", data).design
        name = "t2(x, z)"
        assert {each.name: each.count for each in design.smooths} == {
            f"{name}.x*z": 2 * 3,
            f"{name}.x": 2 * 2,
            f"{name}.z": 2 * 3,
        }
        assert {*design.mean.free} == {f"{name}.{each}" for each in ("x", "z", "x*z")}
        # All products of the curves of x and those of z.
        X = np.column_stack([np.ones(len(data)), design.X])
        x, z = (
            sp.Model(f"y ~ s({name}, k={k})", data).design.X
            for name, k in (("x", 4), ("z", 5))
        )
        x, z = (np.column_stack([np.ones(len(data)), each]) for each in (x, z))
        products = (x[:, :, None] * z[:, None, :]).reshape(len(data), -1)
        found = X @ np.linalg.lstsq(X, products, rcond=None)[0]
        np.testing.assert_allclose(found, products, atol=1e-6)

    def test_what_others_say_a_smooth_does_not_say_again(self) -> None:
        data = frame()
        assert sp.Model("y ~ x + s(x)", data).design.mean.free == ("x",)
        free = sp.Model("y ~ f + s(x) + s(x, by=f)", data).design.mean.free
        assert free[2:] == (
            "s(x).linear",
            "s(x, by=f).a.linear",
            "s(x, by=f).b.linear",
        )

    def test_predictors_may_be_expressions_and_booleans_are_levels(self) -> None:
        data = frame()
        data["late"] = data["x"] > 2005
        design = sp.Model("y ~ s(log(x), by=late) + late", data).design
        names = [each.name for each in design.smooths]
        assert names == [f"s(log(x), by=late).{each}" for each in (False, True)]

    def test_k_is_at_most_the_number_of_distinct_values(self) -> None:
        (smooth,) = sp.Model("y ~ s(few)", frame()).design.smooths
        assert smooth.count == 6 - 2

    def test_new_rows_get_the_same_columns_one_by_one(self) -> None:
        """The basis is that of the fit, whatever the other new rows are."""
        from stanpool.inference.prediction.new_rows import new_design

        data = frame()
        model = sp.Model("y ~ s(x) + f + s(z, by=f, bs='ps') + t2(x, z)", data)
        design = model.design
        whole = new_design(model, data, factors=()).X
        np.testing.assert_allclose(whole, design.X, atol=1e-12)
        one = new_design(model, data.iloc[[17]], factors=()).X
        np.testing.assert_allclose(one[0], design.X[17], atol=1e-12)


REFUSED: tuple[tuple[str, type[Exception], str], ...] = (
    ("y ~ s(few, k=8)", sp.DataError, "k=8 is more than the 6 distinct values"),
    ("y ~ s(x, k=3, bs='cc')", sp.DataError, "k=3 is too small, since bs='cc'"),
    ("y ~ s(f)", sp.DataError, "'f' is not a number but a category"),
    ("y ~ s(x, by=w)", sp.DataError, "have no column 'w'"),
    ("y ~ s(x) + s(x, k=5)", sp.DataError, "given twice"),
    ("y ~ s(two)", sp.DataError, "2 distinct value.s., and a smooth .* C.two."),
    ("y ~ s(x, bs='ad')", sp.SpecError, "bs='ad' is none of 'tp', 'cr', 'cc', 'ps'"),
    ("y ~ s(x, bs='re')", sp.SpecError, "a group term"),
    ("y ~ s(x, z)", sp.SpecError, "t2.x, z. a surface"),
    ("y ~ s(x, by='f')", sp.SpecError, "without quotes"),
    ("y ~ s(x, k=2)", sp.SpecError, "a whole number from 3"),
    ("y ~ t2(x, z, k=[4, 5, 6])", sp.SpecError, "one number for each predictor"),
    ("y ~ s(x) * z", sp.SpecError, "a smooth can only be added"),
    ("y ~ (s(x) | g)", sp.SpecError, "smooths do not vary over groups"),
    ("y ~ z - s(x)", sp.SpecError, "cannot be subtracted"),
    ("y ~ log(s(x))", sp.SpecError, "must be a term of its own"),
)


@pytest.mark.parametrize(("formula", "error", "said"), REFUSED)
def test_what_is_wrong_is_said(formula: str, error: type[Exception], said: str) -> None:
    data = frame()
    data["two"] = data["few"] % 2
    with pytest.raises(error) as raised:
        sp.Model(formula, data)
    assert re.search(said.replace("(", r"\(").replace(")", r"\)"), str(raised.value))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pooling": "none"}, "a scale that all rows tell together"),
        ({"family": "categorical"}, "a linear predictor for each category"),
    ],
)
def test_models_without_smooths_say_so(options: dict[str, Any], said: str) -> None:
    formula = f"{'f' if 'family' in options else 'y'} ~ s(x) + (1 | g)"
    with pytest.raises(sp.SpecError, match=said):
        sp.Model(formula, frame(), **options)


def test_levels_that_the_fit_had_not_are_refused() -> None:
    from stanpool.inference.prediction.new_rows import new_design

    model = sp.Model("y ~ s(x, by=f) + f", frame())
    with pytest.raises(sp.DataError, match=r"'d'"):
        new_design(model, frame().head(3).assign(f="d"), factors=())


def test_a_million_rows_are_as_few_as_ten_thousand() -> None:
    """What the program sees, which is what sampling costs."""
    rng = np.random.default_rng(1)
    sizes = []
    for rows in (2_000, 50_000):
        x, g = rng.uniform(size=(2, rows)), rng.integers(0, 20, rows).astype(str)
        data = {"x": x[0], "z": x[1], "g": g, "y": rng.normal(size=rows)}
        model = sp.Model("y ~ s(x) + s(z) + (1 | g)", data)
        assert model.rows is not None
        assert model.parameterization == "marginal"
        sizes.append(sum(np.size(each) for each in model.stan_data().values()))
    assert sizes[0] == sizes[1]
