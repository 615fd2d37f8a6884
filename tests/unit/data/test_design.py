"""Data frame to arrays: what goes in, what comes out, and what each bad frame hears."""

from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import stanpool as sp
from stanpool import DataError, Model, SpecError
from stanpool.data.design.predictors import factor
from stanpool.data.matrix.model_matrix import rebuild
from stanpool.inference.prediction.new_rows import new_design

# What may stand in a column's name, a group's label or a level, and must be data only.
HOSTILE = [
    "it's",
    'say "hi"',
    "größe",
    "ﬁ",
    "日本",
    "😀",
    "two\nlines",
    "\u2028",
    "real",
    "model",
    "target",
    "data {",
    "x" * 10_000,
    "*/",
    "// }",
    "a`b",
    "``",
    "{{ y }}",
    "{% if %}",
    "{# #}",
    "a/b",
    "/",
    "\\",
    "draw",
    "chain",
    "sigma",
    "coefficient",
    "beta",
    "beta[x]",
    "lp__",
    "class",
    "lambda",
    "None",
    "np",
    "_column_0_",
    "_column_1_",
    " lead",
    "\t",
    "[T.a]",
    "a:b",
    "a ~ b",
    "(1|g)",
    "1",
    "0",
    "%s",
    "${x}",
    "C(x)",
]
hostile = pytest.mark.parametrize(
    "name", HOSTILE, ids=[ascii(name)[1:20] for name in HOSTILE]
)


def frame() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "y": rng.normal(size=12),
            "x": rng.normal(size=12),
            "z": rng.normal(size=12),
            "count": rng.poisson(3, 12),
            "n": 10,
            "kind": list("pqrpqrpqrpqr"),
            "g": list("aabbbccccddd"),
        }
    )


def refusal(kind: type[Exception], build: Callable[[], Any]) -> str:
    with pytest.raises(kind) as refused:
        build()
    return str(refused.value)


class TestArrays:
    def test_columns_are_those_of_the_frame(self) -> None:
        data = frame()
        design = Model("y ~ x + z + (1 + x | g)", data).design
        assert design.coefficients == ("x", "z")
        assert design.varying == ("Intercept", "x")
        np.testing.assert_array_equal(design.y, data["y"])
        np.testing.assert_array_equal(design.X, data[["x", "z"]])
        np.testing.assert_array_equal(design.factors[0].Z[:, 1], data["x"])
        assert design.group_labels == ("a", "b", "c", "d")
        labels = [design.group_labels[j] for j in design.group_index]
        assert labels == data["g"].tolist()
        np.testing.assert_array_equal(design.group_sizes, [2, 3, 4, 3])

    def test_formulas_transform_and_interact(self) -> None:
        data = frame()
        design = Model("y ~ x*z + I(x**2) + kind", data, pooling="complete").design
        columns = dict(zip(design.coefficients, design.X.T, strict=True))
        np.testing.assert_allclose(columns["x:z"], data["x"] * data["z"])
        np.testing.assert_allclose(columns["I(x ** 2)"], data["x"] ** 2)
        np.testing.assert_array_equal(columns["kind[T.q]"], data["kind"] == "q")

    def test_whole_numbers_in_categories_read_as_whole(self) -> None:
        data = frame().assign(k=[0.0, 1.0, 2.0] * 4)
        design = Model("y ~ C(k)", data, pooling="complete").design
        assert design.coefficients == ("C(k)[T.1]", "C(k)[T.2]")

    def test_new_rows_get_the_levels_and_centers_first_seen(self) -> None:
        data = frame()
        model = Model("y ~ center(x) + kind", data, pooling="complete")
        encodings = model.design.encodings
        assert encodings is not None
        again = rebuild(encodings.population, model.data.iloc[[3]])
        np.testing.assert_allclose(again[:, 1:], model.design.X[[3]])

    def test_arrays_are_read_only_copies(self) -> None:
        design = Model("y ~ x + (1 | g)", frame()).design
        with pytest.raises(ValueError, match="read-only"):
            design.X[0, 0] = 1.0
        with pytest.raises(FrozenInstanceError):
            design.y = design.X  # type: ignore[misc]

    def test_a_frame_modified_later_does_not_change_the_model(self) -> None:
        data = frame()
        formula = "y ~ x + kind + (1 | g)"
        model = Model(formula, data, parameterization="noncentered")
        before = {name: np.copy(value) for name, value in model.stan_data().items()}
        data["x"] = 0.0
        data.loc[0, "g"] = "zzz"
        del data["kind"]
        again = model.with_(parameterization="centered").stan_data()
        for name, value in before.items():
            np.testing.assert_array_equal(again[name], value)

    def test_an_array_under_the_frame_is_not_kept(self) -> None:
        numbers = np.random.default_rng(4).normal(size=(12, 2))
        data = pd.DataFrame(numbers, columns=["y", "x"], copy=False)
        model = Model("y ~ x", data, pooling="complete")
        before = model.data.copy()
        numbers[:] = 0.0
        pd.testing.assert_frame_equal(model.data, before)

    def test_a_group_of_one_row_works(self) -> None:
        data = frame().assign(g=list("aaaaaabbbbbc"))
        assert Model("y ~ x + (1 | g)", data).design.group_sizes.tolist() == [6, 5, 1]

    def test_unused_categories_are_no_groups_and_no_levels(self) -> None:
        kinds = pd.CategoricalDtype(["w", "p", "q", "r"])
        data = frame().astype({"g": pd.CategoricalDtype(list("dcbaz")), "kind": kinds})
        design = Model("y ~ kind + (1 | g)", data).design
        assert design.group_labels == ("d", "c", "b", "a")
        assert design.coefficients == ("kind[T.q]", "kind[T.r]")


class TestPredictorsOfParameters:
    """The mean's linear predictor and sigma's are read by the same type."""

    FORMULA = "y ~ x + (1 | g)"

    def test_without_its_own_predictor_a_parameter_has_no_design(self) -> None:
        design = Model(self.FORMULA, frame()).design
        assert [each.parameter for each in design.predictors] == ["mean"]
        assert design.parameter("sigma") is None
        assert design.residual is None

    def test_groups_with_scales_of_their_own(self) -> None:
        data = frame()
        design = Model(self.FORMULA, data, residual="g").design
        assert [each.parameter for each in design.predictors] == ["mean", "sigma"]
        sigma = design.parameter("sigma")
        assert sigma is not None
        assert sigma.link == "log"
        assert sigma.intercept
        assert sigma.X.shape == (len(data), 0)
        labels, index = np.unique(data["g"], return_inverse=True)
        assert sigma.factors == (design.residual,)
        assert design.residual is not None
        assert design.residual.labels == tuple(labels)
        np.testing.assert_array_equal(design.residual.index, index)
        np.testing.assert_array_equal(design.residual.sizes, np.bincount(index))
        np.testing.assert_array_equal(design.residual.Z, np.ones((len(data), 1)))

    def test_the_means_is_a_view_of_the_design(self) -> None:
        design = Model("y ~ x + (1 | g)", frame(), family="student_t").design
        mean = design.parameter("mean")
        assert mean is not None
        assert mean.X is design.X
        assert mean.factors is design.factors
        assert (mean.link, mean.intercept) == ("identity", True)
        assert mean.coefficients == design.coefficients

    def test_rows_are_taken_of_all_alike(self) -> None:
        design = Model(self.FORMULA, frame(), residual="g").design
        rows = np.array([2, 0])
        for whole, taken in zip(
            design.predictors, design.take(rows).predictors, strict=True
        ):
            np.testing.assert_array_equal(taken.X, whole.X[rows])
            for each, own in zip(whole.factors, taken.factors, strict=True):
                np.testing.assert_array_equal(own.index, each.index[rows])
                assert own.labels == each.labels
                assert not own.index.flags.writeable

    def test_new_groups_come_after_those_of_the_fit_in_all_alike(self) -> None:
        model = Model(self.FORMULA, frame(), residual="g")
        new = frame().assign(g="a new one")
        known = model.design.factors[0].labels
        parts = ["residual"]
        for each in new_design(model, new, factors=[0], parts=parts).predictors:
            (own,) = each.factors
            assert own.labels == (*known, "a new one")
            assert set(own.index.tolist()) == {len(known)}


class TestGroupPredictors:
    def test_what_varies_is_no_group_level_predictor_besides(self) -> None:
        """Else its effect would be in the groups' intercepts and slopes: twice."""
        data = frame().assign(g=range(12))  # every predictor is constant in groups
        formula = "y | se(n) ~ x + z + (1 + x | g)"
        factor = Model(formula, data).design.factors[0]
        np.testing.assert_array_equal(factor.U, data[["z"]])

    def test_predictors_that_are_constant_in_groups_move_their_means(self) -> None:
        data = frame()
        data["u"] = data["g"].map({"a": 1.0, "b": 2.0, "c": 5.0, "d": -3.0})
        factor = Model("y ~ x + u + (1 | g)", data).design.factors[0]
        np.testing.assert_array_equal(factor.U, [[1.0], [2.0], [5.0], [-3.0]])
        np.testing.assert_array_equal(factor.effect_of, [[2]])


class TestNoPooling:
    """What groups express themselves is not estimated once more."""

    def test_own_intercepts_replace_the_common_one(self) -> None:
        design = Model("y ~ x + (1 | g)", frame(), pooling="none").design
        assert not design.intercept
        assert design.coefficients == ("x",)

    def test_own_slopes_replace_the_common_one(self) -> None:
        design = Model("y ~ x + z + (1 + x | g)", frame(), pooling="none").design
        assert design.coefficients == ("z",)

    @pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
    def test_units_do_not_matter(self, unit: float) -> None:
        data = frame()
        data["x"] *= unit
        data["of_group"] = data["g"].map({"a": 1.0, "b": 2.0, "c": 5.0, "d": -3.0})
        formula = "y ~ x + z + of_group + (1 + x | g)"
        design = Model(formula, data, pooling="none").design
        assert design.coefficients == ("z",)
        assert not design.intercept

    @pytest.mark.parametrize("offset", [0.0, 1e6])
    def test_a_predictor_of_large_mean_is_no_intercept(self, offset: float) -> None:
        data = frame()
        data["x"] += offset
        design = Model("y ~ x + (1 | g)", data, pooling="none").design
        assert design.coefficients == ("x",)

    def test_a_varying_slope_of_large_mean_is_no_intercept(self) -> None:
        data = frame()
        data["x"] += 1e6
        assert Model("y ~ z + (1 + x | g)", data).design.varying == ("Intercept", "x")


class TestInvariance:
    """Row order, level order and dtypes do not change the model."""

    @given(st.permutations(range(12)))
    def test_rows_may_come_in_any_order(self, order: list[int]) -> None:
        data = frame()
        formula, form = "y ~ x + kind + (1 + x | g)", "noncentered"
        model = Model(formula, data, parameterization=form)
        other = Model(formula, data.iloc[order], parameterization=form)
        assert other.program.source == model.program.source
        assert other.priors == model.priors
        assert other.design.group_labels == model.design.group_labels
        for name in ("y", "X", "Z", "group"):
            np.testing.assert_array_equal(
                other.stan_data()[name], model.stan_data()[name][order]
            )

    @given(st.permutations("abcd"))
    def test_levels_may_come_in_any_order(self, levels: list[str]) -> None:
        data = frame()
        model = Model("y ~ x + (1 | g)", data)
        dtype = pd.CategoricalDtype(levels)
        other = Model("y ~ x + (1 | g)", data.astype({"g": dtype}))
        rows = [
            [design.group_labels[j] for j in design.group_index]
            for design in (model.design, other.design)
        ]
        assert rows[0] == rows[1]
        assert other.priors == model.priors
        assert other.program == model.program

    @pytest.mark.parametrize(
        "dtype", ["int8", "int64", "uint16", "float32", "float64", "Int64", "Float64"]
    )
    def test_numbers_may_have_any_dtype(self, dtype: str) -> None:
        data = frame().assign(x=range(12), k=[1, 2, 3] * 4, g=[7, 8, 9, 9] * 3)
        formula = "y ~ x + C(k) + (1 | g)"
        model = Model(formula, data)
        other = Model(formula, data.astype({"x": dtype, "k": dtype, "g": dtype}))
        assert_same_model(model, other)
        assert other.design.group_labels == (7, 8, 9)

    @pytest.mark.parametrize("dtype", ["object", "string", "category", "str"])
    def test_text_may_have_any_dtype(self, dtype: str) -> None:
        data = frame()
        formula = "y ~ x + kind + (1 | g)"
        other = Model(formula, data.astype({"kind": dtype, "g": dtype}))
        assert_same_model(Model(formula, data), other)

    def test_arrow_columns_work(self) -> None:
        pytest.importorskip("pyarrow")
        data = frame()
        formula = "y ~ x + kind + (1 | g)"
        other = Model(formula, data.convert_dtypes(dtype_backend="pyarrow"))
        assert_same_model(Model(formula, data), other)

    @pytest.mark.parametrize("dtype", ["bool", "boolean", "int", "float"])
    def test_truth_values_are_0_and_1(self, dtype: str) -> None:
        data = frame().assign(x=[0, 1] * 6)
        other = Model("y ~ x + (1 | g)", data.astype({"x": dtype}))
        assert_same_model(Model("y ~ x + (1 | g)", data), other)

    def test_an_index_of_any_kind_is_ignored(self) -> None:
        data = frame()
        other = Model("y ~ x + (1 | g)", data.set_index(pd.Index(["r"] * 12)))
        assert_same_model(Model("y ~ x + (1 | g)", data), other)

    def test_a_mapping_of_lists_is_a_frame(self) -> None:
        data = frame()
        lists = {name: column.tolist() for name, column in data.items()}
        other = Model("y ~ x + (1 | g)", lists)
        assert_same_model(Model("y ~ x + (1 | g)", data), other)

    def test_an_interaction_is_written_one_way(self) -> None:
        model = Model("y ~ x:z + (1 + z:x | g)", frame())
        data = model.with_(parameterization="noncentered").stan_data()
        # The varying interaction has the mean of the population's: (0, alpha, beta).
        np.testing.assert_array_equal(data["mean_index"], [2, 3])


class TestHostileStrings:
    """Any text names a column, a group or a level, and none reaches a program."""

    @hostile
    def test_a_predictor_may_have_any_name(self, name: str) -> None:
        plain = sp.partial_pooling(
            frame(), outcome="y", predictors=["x", "z"], group="g"
        )
        model = sp.partial_pooling(
            frame().rename(columns={"x": name}),
            outcome="y",
            predictors=[name, "z"],
            group="g",
        )
        assert model.design.coefficients == (name, "z")
        assert_same_numbers(plain, model)
        assert_code_is_the_same_below_the_comment(plain, model)

    @hostile
    def test_a_varying_predictor_may_have_any_name(self, name: str) -> None:
        model = sp.partial_pooling(
            frame().rename(columns={"x": name}),
            outcome="y",
            predictors=[name],
            group="g",
            varying=["Intercept", name],
        )
        assert model.design.varying == ("Intercept", name)

    @hostile
    def test_outcome_and_factor_may_have_any_name(self, name: str) -> None:
        plain = sp.partial_pooling(frame(), outcome="y", predictors=["x"], group="g")
        for column, options in (("g", {"group": name}), ("y", {"outcome": name})):
            chosen = {"outcome": "y", "group": "g"} | options
            data = frame().rename(columns={column: name})
            model = sp.partial_pooling(data, predictors=["x"], **chosen)
            assert_same_numbers(plain, model)
            assert_code_is_the_same_below_the_comment(plain, model)

    @hostile
    def test_groups_and_levels_may_have_any_label(self, name: str) -> None:
        data = frame().replace({"g": {"c": name}, "kind": {"q": name}})
        model = Model("y ~ x + kind + (1 | g)", data)
        assert name in model.design.group_labels
        levels = sorted(set(data["kind"]))
        named = tuple(f"kind[T.{level}]" for level in levels[1:])
        assert model.design.coefficients == ("x", *named)

    @hostile
    def test_formulas_take_any_name_in_backticks(self, name: str) -> None:
        quoted = "`" + name.replace("`", "``") + "`"
        data = frame().rename(columns={"x": name})
        model = Model(f"y ~ np.exp({quoted}) + {quoted}:kind + (1 | g)", data)
        assert model.design.coefficients[0] == f"np.exp({name})"
        np.testing.assert_allclose(model.design.X[:, 0], np.exp(frame()["x"]))

    def test_names_that_look_like_aliases_stay_themselves(self) -> None:
        data = frame().rename(columns={"x": "_column_0_", "z": "a b"})
        data["kind"] = ["_column_1_", "_column__0_"] * 6
        model = Model("y ~ `a b` + _column_0_ + kind + (1 | g)", data)
        assert model.design.coefficients == ("a b", "_column_0_", "kind[T._column__0_]")
        np.testing.assert_array_equal(model.design.X[:, 1], frame()["x"])

    def test_a_predictor_called_intercept_is_refused(self) -> None:
        data = frame().rename(columns={"x": "Intercept"})
        said = refusal(SpecError, lambda: Model("y ~ Intercept + (1 | g)", data))
        assert "If a column has this name, rename it" in said
        names = {"outcome": "y", "group": "g", "predictors": ["Intercept"]}
        said = refusal(DataError, lambda: sp.partial_pooling(data, **names))
        assert "'Intercept'" in said
        assert "rename" in said


class TestMissingAndInfinite:
    def test_a_missing_column_gets_the_nearest_name(self) -> None:
        data = frame().rename(columns={"x": "floor"})
        said = refusal(DataError, lambda: Model("y ~ flor + (1 | g)", data))
        assert "no column 'flor'" in said
        assert "Did you mean 'floor'?" in said
        assert "'kind'" in said

    @pytest.mark.parametrize(
        ("column", "value"), [("y", np.nan), ("x", None), ("g", None), ("kind", np.nan)]
    )
    def test_missing_values_are_listed_by_row(self, column: str, value: Any) -> None:
        data = frame()
        data.loc[[2, 7], column] = value
        said = refusal(DataError, lambda: Model("y ~ x + kind + (1 | g)", data))
        assert f"column {column!r} has 2 missing value(s) (rows 2, 7" in said
        assert f"data.dropna(subset=[{column!r}])" in said

    def test_missing_values_of_nullable_dtypes_are_missing(self) -> None:
        data = frame().assign(x=pd.array([1, None] * 6, dtype="Int64"))
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        assert "6 missing value(s) (rows 1, 3, 5, 7, 9 and 1 more" in said

    @pytest.mark.parametrize("value", [np.inf, -np.inf])
    def test_infinite_values_are_listed_by_row(self, value: float) -> None:
        data = frame()
        data.loc[[4], "x"] = value
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        assert "column 'x' has 1 infinite value(s) (rows 4" in said
        assert "Correct or drop" in said

    def test_values_that_a_transform_makes_infinite_are_listed(self) -> None:
        data = frame().assign(x=[0.0, 1.0] * 6)
        said = refusal(DataError, lambda: Model("y ~ log(x) + (1 | g)", data))
        assert "'log(x)' must be finite" in said
        assert "row 0 has -inf" in said

    @pytest.mark.parametrize("value", [10**400, -(10**400)])
    def test_whole_numbers_beyond_all_floats_are_listed_by_row(
        self, value: int
    ) -> None:
        for name in ("y", "x"):
            data = frame().astype({name: object})
            data.loc[4, name] = value
            said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))  # noqa: B023
            assert f"column {name!r} has 1 value(s) beyond 1e+150 (rows 4" in said

    def test_columns_that_the_model_does_not_use_may_miss_anything(self) -> None:
        data = frame().assign(z=np.nan)
        assert Model("y ~ x + (1 | g)", data).design.rows == 12

    def test_complete_pooling_sees_the_same_rows(self) -> None:
        data = frame()
        data.loc[3, "g"] = None
        refusal(DataError, lambda: Model("y ~ x + (1 | g)", data, pooling="complete"))


class TestMixedEntries:
    """One entry of another type does not make a factor of a column of numbers."""

    @pytest.mark.parametrize(
        ("entry", "kind"),
        [
            ("1.5", "text"),
            ("n/a", "text"),
            ("", "text"),
            (True, "boolean"),
            (1j, "complex"),
            ((1, 2), "tuple"),
            ([1], "list"),
            (pd.Timestamp("2026-12-01"), "Timestamp"),
        ],
    )
    @pytest.mark.parametrize("column", ["y", "x", "n", "g"])
    def test_the_row_is_shown(self, entry: Any, kind: str, column: str) -> None:
        data = frame().assign(g=[1, 2, 3] * 4)
        entries = data[column].tolist()
        entries[3] = entry
        data[column] = pd.Series(entries, dtype=object)
        formula = "y | weights(n) ~ x + (1 | g)"
        said = refusal(DataError, lambda: Model(formula, data))
        assert f"column {column!r} mixes types: 11 row(s) have a number" in said
        assert f"row 3 has {entry!r} ({kind}), counted from 0" in said
        assert "pd.to_numeric" in said
        assert "astype(str)" in said

    def test_at_most_five_rows_are_shown(self) -> None:
        data = frame().astype({"x": object})
        data.loc[4:10, "x"] = ["4", "5", "6", "7", "8", "9", "10"]
        data.loc[11:, "x"] = 1.0
        data = pd.concat([data, data.iloc[:4]], ignore_index=True)
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        assert "row 8 has '8' (text) and 2 more" in said

    @pytest.mark.parametrize("number", [Decimal, Fraction])
    @pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 12)])
    def test_numbers_of_any_type_are_numbers(
        self, number: Callable[[float], Any], rows: slice
    ) -> None:
        data = frame()
        other = data.astype({"x": object})
        other.loc[rows.start : rows.stop - 1, "x"] = [
            number(value) for value in data["x"].iloc[rows]
        ]
        formula = "y ~ x + (1 | g)"
        assert_same_model(Model(formula, data), Model(formula, other))

    def test_new_rows_are_read_alike(self) -> None:
        model = Model("y ~ x + (1 | g)", frame())
        data = frame().astype({"x": object, "g": object})
        data.loc[3, "x"] = "?"
        said = refusal(DataError, lambda: new_design(model, data, factors=(0,)))
        assert "row 3 has '?' (text)" in said


class TestNumbersAsText:
    """A stray entry of a file makes text of numbers; that is no factor."""

    @pytest.mark.parametrize(
        ("texts", "found"),
        [
            ([f"{k / 7:.2f}" for k in range(29)] + ["?"], "row 29 has '?'"),
            ([str(k) for k in range(29)] + ["20+"], "row 29 has '20+'"),
            ([f"{k},5" for k in range(30)], "such as '0,5'"),
            ([f"{k},250" for k in range(30)], "such as '0,250'"),
            ([f"{k}.5 %" for k in range(30)], "such as '0.5 %'"),
            ([f"{k}e-3" for k in range(30)], "such as '0e-3'"),
            # An end of bands is beyond them all, occurs more than once, and is whole.
            ([str(k) for k in range(29)] + ["29+"], "row 29 has '29+'"),
            ([str(k) for k in range(1, 30)] + ["n/a"], "row 29 has 'n/a'"),
            ([str(k) for k in range(1, 30)] + ["1,5"], "such as '1'"),
            ([f"{k / 100}" for k in range(6, 35)] + ["<0.05"], "row 29 has '<0.05'"),
        ],
    )
    def test_it_is_refused(self, texts: list[str], found: str) -> None:
        data = pd.DataFrame({"x": texts, "y": np.arange(30) % 7, "g": list("ab") * 15})
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        assert "column 'x' is text that reads as numbers" in said
        assert found in said
        assert "factor of 30 levels" in said
        assert "pd.to_numeric(data['x'], errors='coerce')" in said
        assert "data['x'].astype('category')" in said

    @pytest.mark.parametrize(
        "odd", ["?", "n/a", "1,5", "1.5", "12+", "<3", "<0.5", "20+ ?", "-", "20-25"]
    )
    def test_so_is_an_odd_level_that_is_no_end_of_bands(self, odd: str) -> None:
        texts = [*map(str, range(20)), odd]
        data = pd.DataFrame({"x": texts * 3, "y": np.arange(63) % 7})
        said = refusal(DataError, lambda: Model("y ~ x", data, pooling="complete"))
        assert "column 'x' is text that reads as numbers" in said

    def test_whoever_says_that_it_is_a_factor_gets_one(self) -> None:
        texts = [f"{k / 7:.2f}" for k in range(29)] + ["?"]
        data = pd.DataFrame({"x": texts * 3, "y": np.arange(90) % 7})
        data = data.astype({"x": "category"})
        design = Model("y ~ x", data, pooling="complete").design
        assert len(design.coefficients) == 29

    @pytest.mark.parametrize(
        "levels",
        [
            ["0", "1", "2", "3+"],
            ["0.5", "1.0", "2.0"],
            [f"{code:05}" for code in range(1000, 1012)],
            [f"2026-12-{day}" for day in range(10, 25)],
            [f"{k}a" for k in range(15)],
            [*map(str, range(20)), "20+"],
            ["<5", *map(str, range(5, 20))],
            [*map(str, range(18, 65)), "65 and over"],
            ["under 18", *map(str, range(18, 65)), "65 or older"],
            [*map(str, range(0, 60, 5)), ">=60"],
        ],
    )
    def test_labels_with_digits_stay_labels(self, levels: list[str]) -> None:
        data = pd.DataFrame({"x": levels * 3, "y": np.arange(len(levels) * 3) % 7})
        design = Model("y ~ x", data, pooling="complete").design
        assert len(design.coefficients) == len(levels) - 1

    def test_groups_may_have_any_labels(self) -> None:
        texts = [f"{k / 7:.2f}" for k in range(29)] + ["?"]
        data = pd.DataFrame({"g": texts * 3, "y": np.arange(90) % 7})
        assert len(Model("y ~ 1 + (1 | g)", data).design.group_labels) == 30


class TestLabelsThatNoFileHolds:
    """They are refused before hours of sampling, not after."""

    @pytest.mark.parametrize("label", ["a\0b", "\0", "end\0", "\ud800"])
    @pytest.mark.parametrize("column", ["g", "kind"])
    def test_labels_are_refused(self, label: str, column: str) -> None:
        data, of_row_5 = frame(), frame().loc[5, column]
        labels = [label if each == of_row_5 else each for each in data[column]]
        data[column] = pd.Series(labels, dtype=object)
        formula = "y ~ kind + x + (1 | g)"
        said = refusal(DataError, lambda: Model(formula, data))
        assert f"levels of column {column!r}" in said
        assert repr(label) in said
        assert "Rename" in said

    def test_levels_of_categoricals_are_refused(self) -> None:
        data = frame().replace({"g": {"c": "a\0b"}}).astype({"g": "category"})
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        assert repr("a\0b") in said

    @pytest.mark.parametrize("name", ["a\0b", "\ud800"])
    def test_names_are_refused(self, name: str) -> None:
        data = frame().set_axis(
            pd.Index(["y", name, *frame().columns[2:]], dtype=object), axis=1
        )
        said = refusal(
            DataError,
            lambda: sp.partial_pooling(data, outcome="y", predictors=[name], group="g"),
        )
        assert repr(name) in said


class TestShapeOfData:
    @pytest.mark.parametrize("data", [frame().iloc[:0], {}, []])
    def test_no_rows(self, data: Any) -> None:
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        assert "no rows" in said
        assert "at least one. Check what removed them" in said

    @pytest.mark.parametrize("data", [3, "radon.csv", None])
    def test_no_table(self, data: Any) -> None:
        with pytest.raises(DataError):
            Model("y ~ x + (1 | g)", data)

    def test_doubled_columns(self) -> None:
        data = pd.concat([frame(), frame()[["x"]]], axis=1)
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        assert "2 columns named 'x'; rename or drop" in said

    def test_one_group(self) -> None:
        data = frame().assign(g="only")
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        assert "column 'g' has one group, 'only'" in said
        assert "pooling='complete'" in said

    @pytest.mark.parametrize("pooling", ["none", "complete"])
    def test_one_group_is_enough_without_partial_pooling(self, pooling: str) -> None:
        data = frame().assign(g="only")
        assert Model("y ~ x + (1 | g)", data, pooling=pooling).design.rows == 12

    def test_labels_that_differ_in_type_only(self) -> None:
        data = frame().assign(g=pd.Categorical([1, "1"] * 6, categories=[1, "1"]))
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        assert "differ in type only" in said
        assert "astype(str)" in said

    @pytest.mark.parametrize(
        "values",
        [
            pd.date_range("2026-01-01", periods=12),
            pd.to_timedelta(range(12), unit="D"),
            [1j] * 12,
        ],
    )
    def test_times_and_complex_numbers_are_no_predictors(self, values: Any) -> None:
        said = refusal(
            DataError, lambda: Model("y ~ x + (1 | g)", frame().assign(x=values))
        )
        assert "column 'x' holds values of type" in said
        assert "number or a category" in said

    @pytest.mark.parametrize(
        "values",
        [
            pd.date_range("2026-01-01", periods=12),
            pd.date_range("2026-01-01", periods=12).date,
            pd.date_range("2026-01-01", periods=12, tz="Europe/Berlin"),
            pd.period_range("2026-01-01", periods=12, freq="D"),
            pd.to_timedelta(range(12), unit="D"),
        ],
    )
    def test_how_dates_become_days_is_said(self, values: Any) -> None:
        data = frame().assign(x=values)
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        code = said.split("as in ")[1].split(" with ")[0].rstrip(".")
        start = data["x"][0] if hasattr(values, "tz") else pd.Timestamp("2026-01-01")
        days = eval(code, {"pd": pd, "data": data, "start": start})
        assert days.tolist() == list(range(12))

    def test_numbers_whose_squares_overflow(self) -> None:
        data = frame().assign(x=np.linspace(0, 1e300, 12))
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        assert "column 'x' has 11 value(s) beyond 1e+150" in said
        assert "unit" in said

    @pytest.mark.parametrize(
        ("data", "name", "advice"),
        [
            (frame().set_index("g"), "g", "data.reset_index()"),
            (frame().rename(columns={"x": 7}), "7", "data.rename(columns=str)"),
            (frame().rename(columns={"x": "a b"}), "a", "in backticks, `a b`"),
        ],
    )
    def test_a_column_that_goes_by_another_name(
        self, data: pd.DataFrame, name: str, advice: str
    ) -> None:
        said = refusal(DataError, lambda: Model(f"y ~ 1 + (1 | `{name}`)", data))
        assert f"no column '{name}'" in said
        assert advice in said

    def test_nothing_in_the_place_of_a_frame(self) -> None:
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", None))
        assert "data is None" in said
        assert "inplace" in said

    def test_days_read_as_days(self) -> None:
        texts = ("2026-01-31", "2026-02-01", "2026-02-01 12:00:00")
        days = pd.DatetimeIndex([pd.Timestamp(text) for text in texts] * 4)
        for column in (days, pd.Categorical(days)):
            model = Model("y ~ 1 + (1 | g)", frame().assign(g=column))
            assert model.design.group_labels == texts

    def test_names_that_are_no_text(self) -> None:
        said = refusal(
            SpecError,
            lambda: sp.partial_pooling(
                frame(),
                outcome="y",
                predictors=[3],
                group="g",  # type: ignore[list-item]
            ),
        )
        assert "got 3" in said
        assert "rename" in said


class TestOutcome:
    def test_text_is_no_outcome(self) -> None:
        said = refusal(DataError, lambda: Model("kind ~ x + (1 | g)", frame()))
        assert "outcome 'kind' is not numeric: its values are 'p', 'q', 'r'" in said
        assert "pd.to_numeric(data['kind'])" in said

    @pytest.mark.parametrize(
        ("won", "success"),
        [
            (["no", "yes"] * 6, "yes"),
            (pd.Categorical(["no", "yes"] * 6, ["yes", "no"]), "no"),
            (pd.Categorical(["no"] * 12, ["no", "yes"]), "yes"),
        ],
    )
    def test_the_second_of_two_levels_is_success(self, won: Any, success: str) -> None:
        """As in R's glm, where the first level is failure."""
        data = frame().assign(won=won)
        model = Model("won ~ x + (1 | g)", data, family="bernoulli")
        np.testing.assert_array_equal(model.design.y, data["won"] == success)
        assert f"{success!r} is success (1), and" in model.explain()
        again = new_design(model, data.iloc[[1]], factors=(), parts=("outcome",))
        assert again.y.tolist() == model.design.y[[1]].tolist()

    def test_booleans_are_outcomes(self) -> None:
        data = frame().assign(won=[True, False] * 6)
        model = Model("won ~ x + (1 | g)", data, family="bernoulli")
        np.testing.assert_array_equal(model.design.y, data["won"])

    def test_three_levels_are_no_binary_outcome(self) -> None:
        said = refusal(
            DataError, lambda: Model("kind ~ x + (1 | g)", frame(), family="bernoulli")
        )
        assert "outcome 'kind' is not numeric" in said

    def test_an_ordered_category_without_rows_stays(self) -> None:
        levels = ["never", "rarely", "often", "always"]
        codes = [0, 1, 3] * 4
        y = pd.Categorical.from_codes(codes, levels, ordered=True)
        model = Model("y ~ x + (1 | g)", frame().assign(y=y), family="ordinal")
        assert model.design.categories == tuple(levels)
        np.testing.assert_array_equal(model.design.y, codes)
        names = [row.parameter for row in model.priors]
        assert [each for each in names if each.startswith("cutpoint")] == [
            "cutpoint[never|rarely]",
            "cutpoint[rarely|often]",
            "cutpoint[often|always]",
        ]

    @pytest.mark.parametrize("family", ["gaussian", "student_t"])
    def test_constant_outcomes_are_refused_before_sampling(self, family: str) -> None:
        model = Model("y ~ x + (1 | g)", frame().assign(y=3.0), family=family)
        said = refusal(DataError, lambda: model.fit(seed=1, progress=False))
        assert "outcome 'y' is 3 in all 12 rows" in said
        assert "improper" in said

    def test_a_level_for_each_row_is_refused_before_memory_is_taken(self) -> None:
        rows = 50_000
        texts = [f"person {k}" for k in range(rows)]
        data = pd.DataFrame({"x": texts, "y": np.arange(rows) % 7, "g": [0, 1] * 25000})
        tracemalloc.start()
        said = refusal(DataError, lambda: Model("y ~ x + (1 | g)", data))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 100e6
        assert "'x' has 50,000 levels in 50,000 rows" in said
        assert "(1 | x)" in said
        assert (
            len(
                Model(
                    "y ~ 1 + (1 | x)", data.iloc[:9000].assign(x=texts[:4500] * 2)
                ).design.group_labels
            )
            == 4500
        )

    def test_binomial_without_trials_names_bernoulli(self) -> None:
        said = refusal(
            SpecError, lambda: Model("count ~ x + (1 | g)", frame(), family="binomial")
        )
        assert "trials(n)" in said
        assert "family='bernoulli'" in said

    @pytest.mark.parametrize("formula", ["y ~ x + (1 | mm(g, kind))"])
    def test_members_of_several_groups_have_no_rows_of_their_own(
        self, formula: str
    ) -> None:
        said = refusal(SpecError, lambda: Model(formula, frame(), pooling="none"))
        assert "belongs to several groups" in said

    def test_a_grid_without_groups_is_told_how(self) -> None:
        model = Model("y ~ x + (1 | g)", frame())
        new = frame()[["x"]]
        said = refusal(DataError, lambda: new_design(model, new, factors=(0,)))
        assert "no column 'g'" in said
        assert "group_terms=[]" in said
        assert "new_groups='population'" in said

    @pytest.mark.parametrize(
        ("family", "column", "bad", "rule"),
        [
            ("bernoulli", "win", 2, "0 or 1"),
            ("bernoulli", "win", 0.5, "0 or 1"),
            ("poisson", "count", 2.5, "whole numbers"),
            ("poisson", "count", -1, "0 or more"),
        ],
    )
    def test_values_outside_the_support_are_named(
        self, family: str, column: str, bad: float, rule: str
    ) -> None:
        data = frame().assign(win=[0, 1] * 6).astype({"count": float, "win": float})
        data.loc[[5, 8], column] = bad
        said = refusal(
            DataError, lambda: Model(f"{column} ~ x + (1 | g)", data, family=family)
        )
        assert f"outcome {column!r} must be" in said
        assert rule in said
        assert f"row 5 has {bad:g}, row 8 has {bad:g}" in said
        assert "choose another family" in said

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"n": 2.5}, ["trials 'n' must be whole numbers", "row 0 has 2.5"]),
            ({"n": -1}, ["trials 'n' must be whole numbers, 0 or more"]),
            ({"n": "ten"}, ["trials column 'n' is not numeric", "pd.to_numeric"]),
            ({"count": 11}, ["successes must be at most trials 'n'", "row 0 has 11"]),
        ],
    )
    def test_trials_and_successes_fit(
        self, changes: dict[str, Any], said: list[str]
    ) -> None:
        data = frame().assign(**changes)
        message = refusal(
            DataError,
            lambda: Model("count | trials(n) ~ x + (1 | g)", data, family="binomial"),
        )
        assert all(part in message for part in said), message

    def test_standard_errors_are_positive(self) -> None:
        data = frame().assign(s=[1.0] * 11 + [0.0])
        said = refusal(DataError, lambda: Model("y | se(s) ~ 1 + (1 | g)", data))
        assert "se 's' must be positive" in said
        assert "row 11 has 0" in said

    def test_counts_may_come_as_floats(self) -> None:
        data = frame().astype({"count": float})
        design = Model("count ~ x + (1 | g)", data, family="poisson").design
        assert design.y.dtype == np.int64
        np.testing.assert_array_equal(design.y, frame()["count"])


class TestRedundantPredictors:
    def test_a_constant_predictor_is_named(self) -> None:
        said = refusal(
            DataError, lambda: Model("y ~ x + c + (1 | g)", frame().assign(c=3.0))
        )
        assert "'c' are constant" in said
        assert "Drop" in said

    @pytest.mark.parametrize("group", ["(1 | g)", "(1 + c | g)"])
    def test_a_category_of_one_level_is_named(self, group: str) -> None:
        data = frame().assign(c="same")
        said = refusal(DataError, lambda: Model(f"y ~ x + c + {group}", data))
        assert "'c' have one level only" in said
        assert "Drop" in said

    def test_a_predictor_of_zeros_is_named(self) -> None:
        data = frame().assign(c=0.0)
        said = refusal(DataError, lambda: Model("y ~ 0 + x + c + (1 | g)", data))
        assert "'c' are 0 in all rows" in said

    def test_levels_of_a_nested_factor_are_refused(self) -> None:
        data = frame().assign(inner=list("uvwuvwuvwuvw"))
        said = refusal(DataError, lambda: Model("y ~ kind + inner + (1 | g)", data))
        assert "'inner[T.v]' is an exact linear combination of 'kind[T.q]'" in said

    def test_collinear_predictors_are_named(self) -> None:
        data = frame()
        data["w"] = 2 * data["x"] - data["z"] + 3
        said = refusal(DataError, lambda: Model("y ~ x + kind + z + w + (1 | g)", data))
        assert "predictor 'w' is an exact linear combination of 'x', 'z'" in said
        assert "'kind[T.q]'" not in said
        assert "Drop one" in said

    def test_nearly_collinear_predictors_are_the_users_business(self) -> None:
        data = frame()
        data["w"] = data["x"] + 1e-3 * data["z"]
        assert Model("y ~ x + w + (1 | g)", data).design.coefficients == ("x", "w")

    def test_units_do_not_make_predictors_collinear(self) -> None:
        data = frame()
        data["z"] *= 1e-9
        data["x"] *= 1e9
        assert Model("y ~ x + z + (1 | g)", data).design.coefficients == ("x", "z")

    def test_years_and_their_squares_are_not_collinear(self) -> None:
        data = frame().assign(year=range(2000, 2012))
        design = Model("y ~ year + I(year**2) + (1 | g)", data).design
        assert len(design.coefficients) == 2


class TestBooleans:
    """As R 4.2's ``model.matrix`` codes logical vectors, and under the names we had.

    ``F`` and ``T`` are 1 where the flag is false and true; ``f`` and ``t`` the same of
    another; ``x`` is a number. The columns in R's order.
    """

    @staticmethod
    def data() -> pd.DataFrame:
        return frame().assign(
            flag=[True, False] * 6, other=[True, True, False, False] * 3
        )

    @pytest.mark.parametrize("dtype", ["bool", "boolean", "object"])
    @pytest.mark.parametrize(
        ("terms", "columns"),
        [
            ("flag", {"flag": "T"}),
            ("0 + flag", {"flag[False]": "F", "flag[True]": "T"}),
            ("flag:x", {"flag[False]:x": "Fx", "flag[True]:x": "Tx"}),
            ("0 + flag:x", {"flag[False]:x": "Fx", "flag[True]:x": "Tx"}),
            ("flag * x", {"flag": "T", "x": "x", "flag:x": "Tx"}),
            ("flag * other", {"flag": "T", "other": "t", "flag:other": "Tt"}),
            (
                "0 + flag * other",
                {"flag[False]": "F", "flag[True]": "T", "other": "t"}
                | {"flag:other": "Tt"},
            ),
            (
                "0 + flag + other",
                {"flag[False]": "F", "flag[True]": "T", "other": "t"},
            ),
            (
                "0 + flag:other",
                {"flag[False]:other[False]": "Ff", "flag[True]:other[False]": "Tf"}
                | {"flag[False]:other[True]": "Ft", "flag[True]:other[True]": "Tt"},
            ),
            ("0 + I(x > 0)", {"I(x > 0)[False]": "-", "I(x > 0)[True]": "+"}),
            ("I(x > 0)", {"I(x > 0)": "+"}),
            ("0 + C(flag)", {"C(flag)[0]": "F", "C(flag)[1]": "T"}),
            ("I(flag + other)", {"I(flag + other)": "sum"}),
        ],
    )
    def test_columns_are_those_of_r(
        self, terms: str, columns: dict[str, str], dtype: str
    ) -> None:
        data = self.data()
        flag, other, x = (data[name].to_numpy() for name in ("flag", "other", "x"))
        known = {"F": ~flag, "T": flag, "f": ~other, "t": other, "x": x}
        known |= {"-": ~(x > 0), "+": x > 0}
        wanted = [
            flag.astype(float) + other
            if each == "sum"
            else np.prod([known[part] for part in each], axis=0)
            for each in columns.values()
        ]
        data = data.astype({"flag": dtype, "other": dtype})
        model = Model(f"y ~ {terms} + (1 | g)", data)
        assert model.design.coefficients == tuple(columns)
        np.testing.assert_array_equal(model.design.X, np.column_stack(wanted))
        for rows in (data["flag"], ~data["flag"].astype(bool)):
            some = rows.to_numpy(dtype=bool)
            again = new_design(model, data[some], factors=(0,))
            np.testing.assert_array_equal(again.X, model.design.X[some])

    def test_varying_coefficients_are_coded_alike(self) -> None:
        model = Model("y ~ 0 + flag + (0 + flag | g)", self.data())
        (factor,) = model.design.factors
        assert factor.varying == ("flag[False]", "flag[True]")
        np.testing.assert_array_equal(factor.Z, model.design.X)
        # Each has the population's mean of its own.
        assert factor.varying == model.design.coefficients

    @pytest.mark.parametrize("dtype", ["int", "float"])
    def test_new_rows_may_have_0_and_1(self, dtype: str) -> None:
        data = self.data()
        model = Model("y ~ 0 + flag + (1 | g)", data)
        again = new_design(model, data.astype({"flag": dtype}), factors=(0,))
        np.testing.assert_array_equal(again.X, model.design.X)
        refused = data.astype({"flag": float})
        refused.loc[2, "flag"] = 0.5
        said = refusal(DataError, lambda: new_design(model, refused, factors=(0,)))
        assert "was true or false in the data of the fit" in said
        assert "row 2 has 0.5" in said

    def test_numbers_at_the_fit_may_be_booleans_later(self) -> None:
        data = self.data()
        model = Model("y ~ 0 + flag + (1 | g)", data.astype({"flag": int}))
        assert model.design.coefficients == ("flag",)
        again = new_design(model, data, factors=(0,))
        np.testing.assert_array_equal(again.X, model.design.X)

    def test_what_is_always_true_is_named(self) -> None:
        data = self.data().assign(flag=True)
        said = refusal(DataError, lambda: Model("y ~ flag + (1 | g)", data))
        assert "'flag' are constant" in said


CELLS = [a + b for a in "pqr" for b in "stu"]


def cells(*, without: str, each: int = 3) -> pd.DataFrame:
    """Rows of all combinations of two factors but one."""
    kept = [cell for cell in CELLS if cell != without] * each
    data = pd.DataFrame([tuple(cell) for cell in kept], columns=["a", "b"])
    rng = np.random.default_rng(44)
    return data.assign(
        y=rng.normal(size=len(data)),
        x=rng.normal(size=len(data)),
        g=np.tile([0, 1, 2, 3], len(data) // 4),
    )


@pytest.mark.filterwarnings("ignore::stanpool.RankWarning")
@pytest.mark.parametrize("empty", ["ru", "ps", "qt"])
class TestEmptyCells:
    """A combination of levels that no row has: R's lm has an NA there, too.

    Ranks are those of R 4.2: ``lm(y ~ ..., data)$rank``.
    """

    @pytest.mark.parametrize(
        ("terms", "rank"),
        [
            ("a * b", 8),
            ("0 + a * b", 8),
            ("a:b", 8),
            ("0 + a:b", 8),
            ("a / b", 8),
            ("a * b * x", 16),
        ],
    )
    def test_what_is_left_has_full_rank(
        self, empty: str, terms: str, rank: int
    ) -> None:
        design = Model(f"y ~ {terms} + (1 | g)", cells(without=empty)).design
        columns = np.column_stack([np.ones((24, int(design.intercept))), design.X])
        assert columns.shape[1] == np.linalg.matrix_rank(columns) == rank

    def test_coefficients_may_vary_over_cells(self, empty: str) -> None:
        data = cells(without=empty)
        (factor,) = Model("y ~ a + b + (a:b | g)", data).design.factors
        assert factor.Z.shape[1] == np.linalg.matrix_rank(factor.Z) == 8
        assert len(factor.varying) == 8

    @pytest.mark.parametrize(
        "formula", ["y ~ a*b + (1 | g)", "y ~ 0 + a:b + (1 | g)", "y ~ 1 + (a:b | g)"]
    )
    def test_rows_of_the_cell_are_refused_and_others_are_not(
        self, empty: str, formula: str
    ) -> None:
        data = cells(without=empty)
        model = Model(formula, data)
        new = pd.DataFrame([tuple(cell) for cell in CELLS], columns=["a", "b"])
        new = new.assign(g=1)
        said = refusal(DataError, lambda: new_design(model, new, factors=(0,)))
        assert f"(rows {CELLS.index(empty)}, counted from 0)" in said
        assert "(1 | a:b)" in said
        known = new.drop(index=CELLS.index(empty))
        again = new_design(model, known, factors=(0,))
        np.testing.assert_allclose(again.X, model.design.X[:8], atol=1e-12)
        fitted = model.design.factors[0].Z[:8]
        np.testing.assert_allclose(again.factors[0].Z, fitted, atol=1e-12)

    def test_it_is_said(self, empty: str) -> None:
        data = cells(without=empty)
        with pytest.warns(sp.RankWarning, match="left out.*of 'g'") as said:
            model = Model("y ~ a * b + (a:b | g)", data)
        assert len(said) == 2
        assert model.explain().count("left out: 'a[T.") == 2
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.with_(pooling="complete")

    def test_a_slope_that_a_level_does_not_show_is_left_out(self, empty: str) -> None:
        data = cells(without=empty)
        data.loc[data["a"] == "q", "x"] = 2.0
        model = Model("y ~ a * x + (1 | g)", data)
        assert "a[T.q]:x" not in model.design.coefficients
        new = pd.DataFrame({"a": ["q", "q"], "x": [2.0, 2.5], "g": 1})
        said = refusal(DataError, lambda: new_design(model, new, factors=(0,)))
        assert "(rows 1, counted from 0)" in said
        assert "'a[T.q]:x'" in said


class TestFormulasThatDataRefuse:
    @pytest.mark.parametrize(
        ("term", "said", "under"),
        [
            ("x **", "something is missing after this", "**"),
            ("x + 'z'", "a string is not a term", "'z'"),
            ("x + 2", "a number is not a term", "2"),
            ("x @ z", "not an operator of formulas", "@"),
        ],
    )
    def test_carets_stand_under_what_is_no_term(
        self, term: str, said: str, under: str
    ) -> None:
        message = refusal(SpecError, lambda: Model(f"y ~ {term} + (1 | g)", frame()))
        first, shown, carets = message.splitlines()
        assert said in first
        start = carets.index("^")
        assert shown[start : start + carets.count("^")] == under

    def test_an_unknown_function_is_named(self) -> None:
        said = refusal(SpecError, lambda: Model("y ~ foo(x) + (1 | g)", frame()))
        assert "foo(x)" in said
        assert "no function 'foo'" in said


@pytest.mark.parametrize("pooling", ["partial", "none"])
def test_a_million_rows_take_a_few_times_their_memory(pooling: str) -> None:
    rng = np.random.default_rng(0)
    rows, groups = 1_000_000, 100_000
    data = pd.DataFrame(
        {
            "y": rng.normal(size=rows),
            "x": rng.normal(size=rows),
            "g": rng.integers(0, groups, rows),
        }
    )
    size = data.memory_usage().sum()
    tracemalloc.start()
    try:
        model = Model("y ~ x + (1 + x | g)", data, pooling=pooling)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(model.design.group_labels) == len(set(data["g"]))
    # A dense matrix of the groups would take 33,000 times the data.
    assert peak < 8 * size


def assert_same_numbers(model: Model, other: Model) -> None:
    ours, theirs = model.stan_data(), other.stan_data()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(theirs[name], value)


def assert_same_model(model: Model, other: Model) -> None:
    assert_same_numbers(model, other)
    assert model.program == other.program
    assert model.priors == other.priors
    assert model.design.coefficients == other.design.coefficients
    assert model.design.group_labels == other.design.group_labels


def assert_code_is_the_same_below_the_comment(model: Model, other: Model) -> None:
    """The comment maps numbers to names: one line each, plain ASCII, nothing else."""
    assert other.program.source == model.program.source
    comment = other.stan_code.removesuffix(model.program.source)
    assert comment.isascii()
    assert all(line.startswith("// ") for line in comment.splitlines())
    assert comment.count("\n") == model.stan_code.count(
        "\n"
    ) - model.program.source.count("\n")


def test_more_correlated_coefficients_than_can_be_estimated_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    levels = np.arange(600) % 40
    data = pd.DataFrame({"y": levels % 7, "a": [f"a{k}" for k in levels]})
    data["g"] = np.arange(600) // 60
    assert len(Model("y ~ 1 + (a | g)", data).design.factors[0].varying) == 40
    monkeypatch.setattr(factor, "_MOST_CORRELATED", 39)
    with pytest.raises(
        DataError, match=r"10 groups of 'g' .* 40 coefficients, of 'a', with 780 corr"
    ):
        Model("y ~ 1 + (a | g)", data)
    # Without correlations nothing is refused.
    for formula, pooling in (("y ~ 1 + (a || g)", "partial"), ("y ~ (a | g)", "none")):
        model = Model(formula, data, pooling=pooling)
        assert len(model.design.factors[0].varying) == 40


@pytest.mark.parametrize("place", [1, 20, 39])
def test_a_column_that_others_add_up_to_is_found_wherever_it_stands(place: int) -> None:
    x = np.random.default_rng(1).normal(size=(300, 40))
    formula = "y ~ " + " + ".join(f"x{k}" for k in range(40))
    for own, is_found in ((1e-6, True), (1e-2, False)):
        data = pd.DataFrame(x, columns=[f"x{k}" for k in range(40)])
        data["y"] = x[:, 0]
        data[f"x{place}"] = x[:, :place].sum(axis=1) + own * x[:, place]
        if is_found:
            with pytest.raises(DataError, match=f"'x{place}' is an exact linear"):
                Model(formula, data, pooling="complete")
        else:
            model = Model(formula, data, pooling="complete")
            assert len(model.design.coefficients) == 40
