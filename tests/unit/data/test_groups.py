"""Groups in groups, several groups of a row, and predictors of groups."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import small_data
from stanpool import DataError, Model, NestingWarning


def pupils(**columns: object) -> pd.DataFrame:
    """Eight pupils in two schools, whose rooms have numbers of their own."""
    frame = pd.DataFrame(
        {
            "y": [1.0, 3.0, 2.0, 5.0, 4.0, 7.0, 6.0, 9.0],
            "school": list("aaaabbbb"),
            "room": [1, 1, 2, 3, 1, 1, 2, 2],
            "n": 9,
        }
    )
    return frame.assign(**columns)


class TestNesting:
    def test_labels_that_repeat_are_told_apart(self) -> None:
        design = Model("y ~ 1 + (1 | school/room)", pupils()).design
        schools, rooms = design.factors
        assert schools.labels == ("a", "b")
        assert rooms.factor == "school:room"
        assert rooms.labels == ("a:1", "a:2", "a:3", "b:1", "b:2")
        assert rooms.index.tolist() == [0, 0, 1, 2, 3, 3, 4, 4]

    def test_three_levels(self) -> None:
        data = pupils(seat=[1, 2, 1, 1, 1, 2, 1, 2])
        design = Model("y ~ 1 + (1 | school/room/seat)", data, family="poisson").design
        assert [each.factor for each in design.factors] == [
            "school",
            "school:room",
            "school:room:seat",
        ]
        assert design.factors[2].labels[:3] == ("a:1:1", "a:1:2", "a:2:1")
        with pytest.raises(DataError, match=r"school/room/seat\): every group of"):
            Model("y ~ 1 + (1 | school/room/seat)", data)

    def test_levels_the_wrong_way_round_are_refused(self) -> None:
        data = pupils(room=[1, 1, 2, 3, 4, 4, 5, 5])
        with pytest.raises(DataError) as refused:
            Model("y ~ 1 + (1 | room/school)", data)
        for part in (
            "(... | room/school)",
            "has only one group of 'school'",
            "Write the outer level first",
        ):
            assert part in str(refused.value)

    def test_crossed_factors_with_a_row_each_are_refused(self) -> None:
        penicillin = sp.load_dataset("penicillin")
        with pytest.raises(DataError) as refused:
            Model("diameter ~ 1 + (1 | plate/sample)", penicillin)
        assert "every group of 'plate:sample' has one row" in str(refused.value)
        assert "write (1 | plate) + (1 | sample)" in str(refused.value)

    def test_a_row_each_is_enough_where_a_row_is_a_sum(self) -> None:
        data = pupils(room=[1, 2, 3, 4, 1, 2, 3, 4])
        model = Model("y ~ 1 + (1 | school/room)", data, family="poisson")
        assert len(model.design.factors[1].labels) == 8
        with pytest.raises(DataError, match="has one row"):
            Model("y ~ 1 + (1 | school/room)", data)
        assert Model("y | se(n) ~ 1 + (1 | school/room)", data)

    @pytest.mark.parametrize(
        ("formula", "family", "is_told"),
        [
            # What a row varies by: sigma^2 and ...
            ("y ~ 1 + (1 | row)", "gaussian", False),  # tau^2
            ("y ~ 1 + (1 | school) + (1 | row)", "gaussian", False),
            ("y ~ 1 + (1 + x | row)", "gaussian", False),  # tau^2 + ...
            ("y ~ 1 + (1 + x || row)", "gaussian", False),
            ("y ~ 1 + (0 + x | row)", "gaussian", True),  # x^2 tau^2
            ("y ~ 1 + (0 + sign | row)", "gaussian", False),  # 1 tau^2
            ("y ~ 1 + (0 + school | row)", "gaussian", False),  # tau^2 of its school
            ("y | se(s) ~ 1 + (1 | row)", "gaussian", True),  # in place of sigma, s
            ("y | se(s) ~ 1 + (0 + sign | row)", "gaussian", True),
            ("y | se(s, sigma=True) ~ 1 + (1 | row)", "gaussian", False),
            ("y | weights(s) ~ 1 + (1 | row)", "gaussian", True),  # sigma^2 / w
            ("y ~ 1 + (1 | row)", "student_t", False),
            ("y ~ 1 + (1 | row)", "lognormal", False),
            ("y ~ 1 + (1 | row)", "poisson", True),  # no scale of its own
            ("y ~ 1 + (1 | row)", "negative_binomial", True),
            ("y ~ 1 + (1 | school/row)", "negative_binomial", True),
            ("y ~ 1 + (1 | school/row)", "lognormal", False),
        ],
    )
    def test_a_scale_of_single_rows_must_differ_from_the_residual_one(
        self, formula: str, family: str, is_told: bool
    ) -> None:
        data = pupils(
            row=range(8),
            x=[0.1, 0.5, -0.3, 2.0, 1.0, -1.0, 0.4, 0.7],
            sign=[1, -1, -1, 1, 1, -1, 1, -1],
            s=[1.0, 2.0, 1.5, 1.0, 0.5, 1.0, 1.0, 2.0],
        )
        if is_told:
            assert Model(formula, data, family=family)
            return
        with pytest.raises(DataError, match=r"has one row, so that .* told from"):
            Model(formula, data, family=family)

    def test_single_rows_have_residual_scales_of_their_groups(self) -> None:
        """A variance of each school takes up what is constant in schools."""
        data = pupils(row=range(8), x=[1, 1, 1, 1, 2, 2, 2, 2])
        model = Model("y ~ 1 + (0 + x | row)", data)
        assert model.design.factors[0].sizes.max() == 1
        with pytest.raises(DataError, match="has one row"):
            Model("y ~ 1 + (0 + x | row)", data, residual="school")

    def test_labels_that_repeat_as_if_crossed_are_said(self) -> None:
        scotssec = sp.load_dataset("scotssec")
        with pytest.warns(NestingWarning) as said:
            model = Model("attain ~ 1 + (1 | second/primary)", scotssec)
        message = str(said[0].message)
        assert "91 of the 148 labels of 'primary', such as 1, 4, 6" in message
        assert "write (1 | second) + (1 | primary)" in message
        assert said[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.with_(parameterization="centered")
            Model("attain ~ 1 + (1 | second) + (1 | primary)", scotssec)
            Model(
                "attain ~ 1 + (1 | second) + (1 | primary) + (1 | second:primary)",
                scotssec,
            )

    def test_names_are_quoted_as_formulas_need_them(self) -> None:
        data = pupils().rename(columns={"school": "my school"})
        data["room"] = [1, 2, 3, 4, 1, 2, 3, 4]
        with pytest.raises(DataError, match=r"\(1 \| `my school`\) \+ \(1 \| room\)"):
            Model("y ~ 1 + (1 | `my school`/room)", data)


def memberships() -> pd.DataFrame:
    """Fourteen rows: two groups of each by name, and the same as a matrix of shares."""
    data = small_data()
    for name in "abcd":
        data[name] = 0.5 * (data["g"] == name) + 0.5 * (data["g_2"] == name)
    return data


class TestMembership:
    def test_a_matrix_says_what_names_say(self) -> None:
        data = memberships()
        named = Model("y ~ x1 + (1 + x1 | mm(g, g_2))", data)
        matrix = Model("y ~ x1 + (1 + x1 | members(a, b, c, d))", data)
        assert named.program == matrix.program
        for model in (named, matrix):
            (factor,) = model.design.factors
            assert factor.labels == ("a", "b", "c", "d")
            dense = np.zeros((14, 4))
            for index, weights in zip(factor.index.T, factor.weights.T, strict=True):
                dense[np.arange(14), index] += weights
            np.testing.assert_array_equal(dense, data[list("abcd")])

    def test_a_group_named_twice_is_one_membership(self) -> None:
        """Two pupils of four have stayed where they were: they have one school."""
        data = {
            "y": [1.0, 2.0, 4.0, 3.0],
            "before": list("aabb"),
            "after": list("abab"),
            "later": list("acba"),
            "share": [0.2, 0.3, 0.4, 0.5],
            "rest": [0.8, 0.7, 0.6, 0.5],
        }
        (pair,) = Model("y ~ 1 + (1 | mm(before, after))", data).design.factors
        assert pair.sizes.tolist() == [3, 3]
        squares = np.square(pair.weights).sum(axis=1)
        np.testing.assert_allclose(squares, [1.0, 0.5, 0.5, 1.0])
        (three,) = Model("y ~ 1 + (1 | mm(before, after, later))", data).design.factors
        np.testing.assert_allclose(
            three.weights,
            [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [2 / 3, 1 / 3, 0], [2 / 3, 0, 1 / 3]],
        )
        formula = "y ~ 1 + (1 | mm(before, after, weights=(share, rest)))"
        model = Model(formula, data)
        np.testing.assert_allclose(
            model.design.factors[0].weights,
            [[1.0, 0.0], [0.3, 0.7], [0.4, 0.6], [1.0, 0.0]],
        )
        assert "the sum of the deviations of its groups" in model.explain()
        assert "weights in 'share', 'rest'" in model.explain()

    def test_those_who_stay_are_modelled_as_members_of_one_group(self) -> None:
        """What the pilot knows, and the weights of centering, count a group once.

        The pilot's scales are those of the last sweep but one to within a fiftieth.
        """
        data = small_data().assign(same=small_data()["g"])
        form = {"parameterization": "adaptive", "compress": False}
        one = Model("y ~ x1 + (1 + x1 | g)", data, **form)
        two = Model("y ~ x1 + (1 + x1 | mm(g, same))", data, **form)
        assert one.pilot is not None
        assert two.pilot is not None
        mine, theirs = one.pilot.factors[0], two.pilot.factors[0]
        np.testing.assert_allclose(mine.information, theirs.information, rtol=0.02)
        for name in ("centeredness", "z_scale", "tau_pilot"):
            told = one.stan_data()[name], two.stan_data()[name]
            np.testing.assert_allclose(*told, rtol=0.02)
        assert "mean of the deviations of its groups of 'g+same'" in two.explain()

    def test_a_row_may_belong_to_any_number_of_groups(self) -> None:
        data = memberships().assign(
            a=1, b=lambda frame: frame.index % 2 == 0, c=[0.0] * 13 + [0.5], d=0
        )
        (factor,) = Model("y ~ 1 + (1 | members(a, b, c))", data).design.factors
        assert factor.index.shape == (14, 2)
        assert factor.sizes.tolist() == [14, 7, 1]
        assert factor.weights[-1].tolist() == [1.0, 0.5]

    def test_keywords_name_the_factor_of_a_matrix(self) -> None:
        term = sp.GroupTerm("pool", columns=tuple("abcd"), membership="matrix")
        data = memberships()
        made = sp.partial_pooling(data, outcome="y", predictors=["x1"], group=term)
        stated = Model("y ~ x1 + (1 | members(a, b, c, d))", data)
        assert made.program == stated.program
        assert made.design.factors[0].factor == "pool"
        assert "tau_pool[Intercept]" in made.priors.to_frame()["parameter"].tolist()

    @pytest.mark.parametrize(
        ("factor", "columns", "said"),
        [
            ("mm(g, g_2, weights=(w, x3))", {"w": -0.5}, ["weights 'w'", "row 0 has"]),
            ("mm(g, g_2, weights=(w, h))", {}, ["weights column 'h' is not numeric"]),
            ("mm(g, shots)", {}, ["'g', 'shots'", "labels of different types"]),
            ("members(a, b)", {"b": -1}, ["membership 'b' must not be negative"]),
            ("members(a, h)", {}, ["membership column 'h' is not numeric"]),
            ("members(a, b)", {"a": 0, "b": 0}, ["member of one of 'a', 'b' or more"]),
        ],
    )
    def test_what_is_no_membership_is_refused(
        self, factor: str, columns: dict[str, object], said: list[str]
    ) -> None:
        with pytest.raises(DataError) as refused:
            Model(f"y ~ 1 + (1 | {factor})", memberships().assign(**columns))
        for part in said:
            assert part in str(refused.value), str(refused.value)

    @pytest.mark.parametrize(
        ("factor", "said"),
        [
            ("mm(g)", "two or more columns"),
            ("mm(g, g_2, weights=(w))", "2 memberships and 1 weights"),
            ("members(a, b, weights=(w, w))", r"members\(\) takes only columns"),
            ("mm(g, 1 + g_2)", "grouping factor is a column"),
        ],
    )
    def test_calls_are_checked(self, factor: str, said: str) -> None:
        with pytest.raises(sp.SpecError, match=said):
            Model(f"y ~ 1 + (1 | {factor})", memberships())


class TestGroupPredictors:
    def test_one_that_varies_within_groups_is_refused_with_its_rows(self) -> None:
        data = small_data()
        data.loc[[3, 7], "u"] = 9.0
        with pytest.raises(DataError) as refused:
            Model("y ~ u + (1 | g)", data, group_predictors=["u"])
        for part in ("'u', which varies within", "of 'g'", "rows 3, 7", "'a', 'b'"):
            assert part in str(refused.value), str(refused.value)

    def test_one_that_is_not_there_gets_the_nearest_name(self) -> None:
        with pytest.raises(sp.SpecError, match="Did you mean 'known'"):
            Model("y ~ u + known + (1 | g)", small_data(), group_predictors=["konwn"])

    def test_without_being_named_it_is_an_ordinary_predictor(self) -> None:
        data = small_data()
        data.loc[3, "u"] = 9.0
        (factor,) = Model("y ~ u + (1 | g)", data).design.factors
        assert factor.U is None
        (factor,) = Model("y ~ u + (1 | g)", small_data()).design.factors
        np.testing.assert_array_equal(factor.U[:, 0], [0.5, -1.0, 2.0, 0.1])
