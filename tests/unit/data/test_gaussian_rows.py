"""Compressed rows: which models have them, and what is left of their data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import small_data
from stanpool.data.compression.gaussian_rows import CompressedRows


def many_rows(rows: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    g = rng.integers(0, 50, rows)
    return pd.DataFrame(
        {"y": rng.normal(size=rows), "x": rng.normal(size=rows), "g": g}
    )


def compressed(model: sp.Model) -> bool:
    return isinstance(model.rows, CompressedRows)


def test_rows_are_turned_where_that_pays() -> None:
    for pooling in ("complete", "none"):
        model = sp.Model("y ~ x + (1 | g)", many_rows(), pooling=pooling)
        assert compressed(model)
        assert not compressed(model.with_(compress=False))
        few = sp.Model("y ~ x + (1 | g)", many_rows(900), pooling=pooling)
        assert not compressed(few)
        assert compressed(few.with_(compress=True))


def test_groups_of_two_rows_leave_nothing_to_turn() -> None:
    data = many_rows().assign(g=np.arange(2000) // 2)
    model = sp.Model("y ~ x + (x | g)", data, parameterization="centered")
    assert not compressed(model)


def test_few_rows_are_left_of_many() -> None:
    model = sp.Model("y ~ x + (x | g)", many_rows(), parameterization="centered")
    assert model.rows is not None
    # Two of each group, and one for intercept, predictor and outcome each.
    assert model.rows.kept == 103
    assert model.stan_data()["N_zero_rows"] == 2000 - 103
    assert "rows: 2000 are reduced to 103" in model.explain()


def test_rows_of_the_same_groups_of_all_factors_are_turned_together() -> None:
    data = many_rows().assign(h=lambda frame: frame.index % 7, k=lambda d: d["h"] % 2)
    formula = "y ~ x + (x | g) + (1 | h)"
    model = sp.Model(formula, data, parameterization="noncentered")
    by_scale = sp.Model(formula, data, parameterization="noncentered", residual="k")
    assert model.rows is not None
    assert by_scale.rows is not None
    sizes = data.groupby(["g", "h"]).size()
    # Two of each pair, for its intercept and slope; three are of the population only.
    of_pairs = int(np.minimum(sizes, 2).sum())
    assert model.rows.kept == of_pairs + 3
    assert by_scale.rows.kept == of_pairs + 2 * 3
    nested = sp.Model("y ~ x + (1 | h/g)", data, parameterization="centered")
    assert nested.rows is not None
    assert nested.rows.kept == len(sizes) + 3
    # Nearly every row has groups of its own, so that few rows would be saved.
    pairs = data.assign(pair=data.index // 2)
    few = sp.Model("y ~ x + (x | g) + (1 | pair)", pairs)
    assert not compressed(few.with_(parameterization="centered"))


@pytest.mark.parametrize("residual", [None, "k", "g"])
def test_sums_of_squares_are_those_of_all_rows(residual: str | None) -> None:
    data = many_rows().assign(h=lambda frame: frame.index % 7, k=lambda d: d["x"] > 1)
    model = sp.Model(
        "y ~ x + (1 + x | g) + (0 + x | h)",
        data,
        parameterization="centered",
        residual=residual,
        compress=True,
    )
    rows, design = model.rows, model.scaling.design(model.design)
    assert isinstance(rows, CompressedRows)
    rng = np.random.default_rng(2)
    alpha, beta = rng.normal(), rng.normal(size=1)
    b = [
        rng.normal(size=(len(each.labels), each.Z.shape[1])) for each in design.factors
    ]
    eta = alpha + (design.X - design.x_bar) @ beta
    for factor, own in zip(design.factors, b, strict=True):
        eta += (factor.Z * own[factor.index]).sum(axis=1)
    turned = rows.X @ np.append(alpha - rows.y_shift, beta)
    for z, group, own in zip(rows.Z, rows.group, b, strict=True):
        turned += (z * own[group]).sum(axis=1)
    scale = np.zeros(2000, int) if residual is None else design.residual.index  # type: ignore[union-attr]
    np.testing.assert_allclose(
        np.bincount(rows.scale, (rows.y - turned) ** 2),
        np.bincount(scale, (design.y - eta) ** 2),
        rtol=1e-10,
    )
    np.testing.assert_array_equal(
        rows.zeros + np.bincount(rows.scale), np.bincount(scale)
    )


def test_a_huge_outcome_costs_no_accuracy() -> None:
    data = many_rows()
    far = data.assign(y=data["y"] + 2.0**20)
    one, other = (sp.Model("y ~ x", each, pooling="complete") for each in (data, far))
    np.testing.assert_allclose(other.stan_data()["y"], one.stan_data()["y"], atol=1e-8)


@pytest.mark.parametrize(
    ("formula", "options", "reason"),
    [
        ("y ~ x1 + (1 | g)", {"family": "student_t"}, "not gaussian"),
        ("y | se(known, sigma=True) ~ x1 + (1 | g)", {}, "besides a residual scale"),
        ("y | cens(c, y_high) ~ x1", {"pooling": "complete"}, "censored"),
    ],
)
def test_models_that_need_their_rows_are_not_compressed(
    formula: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(sp.SpecError, match=reason):
        sp.Model(formula, small_data(), compress=True, **options)


def test_rows_as_they_are_rule_the_marginal_form_out() -> None:
    model = sp.Model("y ~ x + (1 | g)", many_rows(), compress=False)
    assert model.parameterization == "adaptive"
    assert model.rows is None
    assert "compress=False" in model.parameterization_reason
    with pytest.raises(sp.SpecError, match="compress=False"):
        model.with_(parameterization="marginal")


def test_compress_is_yes_no_or_none() -> None:
    with pytest.raises(sp.SpecError, match="compress='gram'"):
        sp.Model("y ~ x", many_rows(), compress="gram")  # type: ignore[arg-type]


def test_those_who_think_in_columns_can_compress_too() -> None:
    data = many_rows(100)
    common = {"outcome": "y", "predictors": ["x"], "compress": True}
    assert compressed(sp.complete_pooling(data, **common))
    assert compressed(sp.no_pooling(data, group="g", **common))
    assert compressed(
        sp.partial_pooling(data, group="g", parameterization="centered", **common)
    )
