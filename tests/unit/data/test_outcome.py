"""Parts of the outcome: stated both ways, checked against the data, told what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import small_data
from stanpool import DataError, Model, SpecError
from stanpool.language.formulas.formula import parse_formula
from stanpool.language.formulas.formula_text import formula_of, formulas_of
from stanpool.language.model_spec import ModelSpec


def prior(model: Model, parameter: str) -> str:
    return next(str(row.prior) for row in model.priors if row.parameter == parameter)


class TestFormulas:
    @pytest.mark.parametrize(
        ("text", "fields"),
        [
            ("se(s)", {"se": "s"}),
            ("se(s, sigma=True)", {"se": "s", "se_sigma": True}),
            ("se(s, sigma=False)", {"se": "s"}),
            ("exposure(`person years`)", {"exposure": "`person years`"}),
            ("weights(w)", {"weights": "w"}),
            ("cens(c)", {"cens": "c"}),
            ("cens(c, upper)", {"cens": "c", "cens_upper": "upper"}),
            ("cens(c, upper=`a=b`)", {"cens": "c", "cens_upper": "`a=b`"}),
            ("trunc(0, 10)", {"trunc": (0.0, 10.0)}),
            ("trunc(upper=high)", {"trunc": (None, "high")}),
            ("trunc(lower=-1e-3)", {"trunc": (-0.001, None)}),
            ("trunc(None, 5)", {"trunc": (None, 5.0)}),
            ("se(s) + weights(w)", {"se": "s", "weights": "w"}),
        ],
    )
    def test_parts_are_read(self, text: str, fields: dict[str, Any]) -> None:
        parsed = parse_formula(f"y | {text} ~ x")
        assert {name: getattr(parsed, name) for name in fields} == fields

    def test_offsets_are_expressions(self) -> None:
        parsed = parse_formula("y ~ x + offset(log(z)) + offset(w)")
        assert (parsed.terms, parsed.offsets) == (("x",), ("log(z)", "w"))

    @pytest.mark.parametrize(
        "formula",
        [
            "y | se(`std err`, sigma=True) + weights(w) ~ 1 + x",
            "y | cens(c, `upper end`) ~ 1 + x",
            "y | trunc(lower=0.5, upper=high) ~ 1 + x",
            "y | exposure(e) ~ 1 + x + (1 | g) + offset(log(z))",
        ],
    )
    def test_formulas_are_written_as_they_are_read(self, formula: str) -> None:
        spec = ModelSpec(
            **vars(parse_formula(formula)),
            family="poisson" if "exposure" in formula else "gaussian",
            pooling="partial" if "| g" in formula else "complete",
        )
        assert formula_of(spec) == formula

    def test_residual_scales_have_a_formula_of_their_own(self) -> None:
        data = small_data()
        one = Model(["y ~ x1 + (1 | g)", "sigma ~ (1 | g)"], data)
        assert one.spec == Model("y ~ x1 + (1 | g)", data, residual="g").spec

    @pytest.mark.parametrize(
        ("others", "family", "said"),
        [
            (["phi ~ x1"], "gaussian", "'phi' .*it has 'sigma'"),
            (["sgima ~ x1"], "student_t", "Did you mean 'sigma'"),
            (["zi ~ x1"], "poisson", "with 'zi': 'zero_inflated_poisson'"),
            (["x1 ~ x2"], "gaussian", "first formula is that of the outcome"),
            (["sigma ~ x1 + (1 |i j| g)"], "gaussian", "several formulas"),
            (["sigma ~ x1 + x1_twice"], "gaussian", "formula of 'sigma': .*x1_twice"),
            (["cutpoint ~ x1"], "ordinal", "no parameter"),
            (["sigma ~ 0"], "gaussian", "nothing to estimate"),
            (["sigma ~ x1", "sigma ~ x2"], "gaussian", "stated twice"),
            (["sigma ~ (1 | g)", "sigma ~ x2"], "gaussian", "stated twice"),
            (["sigma | trials(n) ~ x1"], "gaussian", "without '|' on the left side"),
            (["sigma ~ offset(x1)"], "gaussian", "without .* offset"),
            (["log(sigma) ~ x1"], "gaussian", "cannot read 'log"),
            (["sigma ~ x9"], "gaussian", "x9"),
        ],
    )
    def test_formulas_of_what_is_no_parameter_are_refused(
        self, others: list[str], family: str, said: str
    ) -> None:
        outcome = {"poisson": "count", "ordinal": "grade"}.get(family, "y")
        formulas = [f"{outcome} ~ x1 + (1 | g)", *others]
        twice = 2 * small_data()["x1"]
        with pytest.raises((SpecError, DataError), match=said):
            Model(formulas, small_data().assign(x1_twice=twice), family=family)

    def test_groups_of_a_parameter_alone_are_refused(self) -> None:
        with pytest.raises(
            SpecError, match=r"'sigma' has group terms.*write the groups"
        ):
            Model(["y ~ x1", "sigma ~ x2 + (1 | g)"], small_data())

    def test_the_order_of_formulas_is_explained(self) -> None:
        with pytest.raises(SpecError, match=r"no parameter 'y'.*first formula"):
            Model(["sigma ~ x2", "y ~ x1 + (1 | g)"], small_data())

    def test_a_parameter_that_is_known_has_no_formula(self) -> None:
        with pytest.raises(SpecError, match="se all scales are known"):
            Model(["y | se(known) ~ x1", "sigma ~ x2"], small_data())

    def test_groups_without_pooling_have_no_formulas(self) -> None:
        formulas = ["y ~ x1 + (1 | g)", "sigma ~ x1 + (1 | h)"]
        with pytest.raises(SpecError, match=r"pooling='none'.*'sigma'.*'h'"):
            Model(formulas, small_data(), pooling="none")

    def test_a_mapping_says_the_same_as_a_list(self) -> None:
        formulas = ["y ~ x1 + (1 | g)", "sigma ~ x2"]
        wanted = Model(formulas, small_data()).spec
        for mapping in (
            {"y": "x1 + (1 | g)", "sigma": "~ x2"},
            {"y": "y ~ x1 + (1 | g)", "sigma": "x2"},
        ):
            assert Model(mapping, small_data()).spec == wanted
        assert formulas_of(wanted) == ["y ~ 1 + x1 + (1 | g)", "sigma ~ 1 + x2"]
        with pytest.raises(SpecError, match=r"'tau ~ x2', which is one of 'tau'"):
            Model({"y": "x1", "sigma": "tau ~ x2"}, small_data())

    def test_ids_join_terms_of_the_same_groups(self) -> None:
        formulas = ["y ~ x1 + (1 + x1 |p| g)", "sigma ~ x2 + (1 |p| g)"]
        model = Model(formulas, small_data())
        first, second = (own.factors[0] for own in model.design.predictors)
        assert first.joint is not None
        assert first.joint.coefficients == ("Intercept", "x1", "sigma_Intercept")
        assert (first.follows, second.follows) == (False, True)
        assert formulas_of(model.spec) == [
            "y ~ 1 + x1 + (1 + x1 |p| g)",
            "sigma ~ 1 + x2 + (1 |p| g)",
        ]
        assert Model(formulas_of(model.spec), small_data()).spec == model.spec
        complete = model.with_(pooling="complete")
        assert not any(own.factors for own in complete.design.predictors)

    def test_ids_that_one_formula_has_alone_say_nothing(self) -> None:
        formulas = ["y ~ x1 + (1 + x1 {}| g)", "sigma ~ (1 {}| g)"]
        plain, named = (
            Model(
                [text.format(id) for text, id in zip(formulas, ids, strict=True)],
                small_data(),
            )
            for ids in (("", ""), ("|p", "|q"))
        )
        assert named.spec == plain.spec

    @pytest.mark.parametrize(
        ("of_mean", "of_sigma", "said"),
        [
            ("(1 |p| g)", "(1 |p| h)", "'p' is of the groups of 'g' .*'h' in that of"),
            ("(1 |p| g/h)", "(1 |p| g)", "'g', 'g:h' in the formula of the outcome"),
            (
                "(1 |p| mm(g, g_2))",
                "(1 |p| mm(g, g_2, weights=(w, w)))",
                "same weights",
            ),
            ("(1 |p| gr(g, dist='laplace'))", "(1 |p| g)", "independent .* and normal"),
            (
                "(1 |p| g) + (0 + x1 |p| g)",
                "(1 |p| g)",
                r"write all .*\(1 \+ x \|p\| g",
            ),
            ("(1 |p-q| g)", "(1 |p| g)", "an id between two"),
        ],
    )
    def test_ids_of_different_groups_are_refused(
        self, of_mean: str, of_sigma: str, said: str
    ) -> None:
        with pytest.raises(SpecError, match=said):
            Model([f"y ~ x1 + {of_mean}", f"sigma ~ x2 + {of_sigma}"], small_data())

    def test_contradictions_are_refused(self) -> None:
        with pytest.raises(SpecError, match=r"residual='h' and .*\(1 \| g\)"):
            Model(["y ~ (1 | g)", "sigma ~ (1 | g)"], small_data(), residual="h")
        with pytest.raises(SpecError, match="there is no formula"):
            Model([], small_data())


class TestKeywords:
    @pytest.mark.parametrize(
        ("formula", "keywords"),
        [
            (
                "count | exposure(e) ~ x1 + (1 | g) + offset(x2)",
                {"outcome": "count", "exposure": "e", "offset": "x2"},
            ),
            (
                "y | cens(c, y_high) + weights(w) ~ x1 + (1 | g)",
                {"cens": "c", "cens_upper": "y_high", "weights": "w"},
            ),
            (
                "y | trunc(low, 9.0) ~ x1 + (1 | g)",
                {"trunc": ("low", 9.0), "family": "student_t"},
            ),
            (
                "y | se(known, sigma=True) ~ x1 + (1 | g)",
                {"se": "known", "se_sigma": True},
            ),
            ("win ~ x1 + (1 | g)", {"outcome": "win", "link": "probit"}),
        ],
    )
    def test_say_what_formulas_say(
        self, formula: str, keywords: dict[str, Any]
    ) -> None:
        families = {"count": "poisson", "win": "bernoulli"}
        options = {"outcome": "y"} | keywords
        options.setdefault("family", families.get(options["outcome"], "gaussian"))
        shared = {key: options[key] for key in ("family", "link") if key in options}
        made = sp.partial_pooling(small_data(), predictors=["x1"], group="g", **options)
        assert made.spec == Model(formula, small_data(), **shared).spec


class TestChoices:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"link": "sqrt"}, ["link='sqrt'", "'identity', 'log'"]),
            ({"family": "poisson", "cens": "c"}, ["cens='c'", "'lognormal', 'expo"]),
            ({"family": "beta_binomial"}, ["needs the number of trials"]),
            ({"family": "gamma", "trunc": (0, 1)}, ["trunc=(0, 1)", "'student_t'"]),
            ({"exposure": "e"}, ["exposure='e'", "'negative_binomial'"]),
            ({"se_sigma": True}, ["se_sigma=True", "pass se='column'"]),
            ({"cens_upper": "u"}, ["cens_upper='u' needs cens"]),
            ({"cens": "c", "trunc": (0, None)}, ["state cens or trunc"]),
            ({"trunc": (2, 1)}, ["lower bound must be less"]),
            ({"trunc": (None, None)}, ["no bound", "trunc=(lower, upper)"]),
            ({"trunc": (0.0, float("inf"))}, ["inf", "pass None"]),
            ({"trunc": 3}, ["trunc=3 is not a pair"]),
            ({"trunc": (True, None)}, ["bound True"]),
            (
                {"family": "ordinal", "intercept": False},
                ["cutpoints in place of an intercept", "drop '0 +'"],
            ),
            ({"family": "categorical", "offsets": ("z",)}, ["offset 'z'"]),
            (
                {"residual": "g", "se": "s"},
                ["residual='g'", "with se", "se(column, sigma=True)"],
            ),
            ({"residual": "g", "family": "beta"}, ["family='beta' does not have"]),
        ],
    )
    def test_what_does_not_go_together_is_said(
        self, fields: dict[str, Any], said: list[str]
    ) -> None:
        with pytest.raises(SpecError) as refused:
            ModelSpec("y", terms=("x",), pooling="complete", **fields)
        for part in said:
            assert part in str(refused.value)


class TestData:
    def frame(self, **columns: Any) -> pd.DataFrame:
        return small_data().assign(**columns)

    @pytest.mark.parametrize(
        ("formula", "family", "columns", "said"),
        [
            ("amount ~ 1", "gamma", {"amount": 0.0}, ["'amount'", "positive", "row 0"]),
            ("amount ~ 1", "lognormal", {"amount": -1.0}, ["must be positive"]),
            ("share ~ 1", "beta", {"share": 1.0}, ["between 0 and 1", "row 0 has 1"]),
            ("count ~ 1", "negative_binomial", {"count": 1.5}, ["whole numbers"]),
            ("y | weights(w) ~ 1", "gaussian", {"w": -0.5}, ["'w'", "not be negative"]),
            ("y | weights(w) ~ 1", "gaussian", {"w": "a"}, ["weights column 'w'"]),
            (
                "count | exposure(e) ~ 1",
                "poisson",
                {"e": 0.0},
                ["exposure 'e' must be positive"],
            ),
            ("y ~ 1 + offset(h)", "gaussian", {}, ["offset(h)", "one column of num"]),
            ("y | cens(c) ~ 1", "gaussian", {"c": 3}, ["-1 (left)", "row 0 has 3"]),
            ("y | cens(c) ~ 1", "gaussian", {"c": "rigth"}, ["'rigth'", "'right'"]),
            (
                "y | cens(c) ~ 1",
                "gaussian",
                {"c": 2},
                ["cens(column, upper)", "rows 0"],
            ),
            (
                "y | cens(c, y_high) ~ 1",
                "gaussian",
                {"c": 2, "y_high": -99.0},
                ["must be greater than the outcome", "row 0 has -99"],
            ),
            ("y | trunc(9, 10) ~ 1", "gaussian", {}, ["must not be below", "9.0"]),
            ("y | trunc(upper=-9) ~ 1", "gaussian", {}, ["must not be above"]),
            (
                "y | trunc(low, y) ~ 1",
                "gaussian",
                {"low": lambda frame: frame["y"]},
                ["lower bound of truncation must be less"],
            ),
            (
                "count | trunc(1) ~ 1",
                "poisson",
                {"count": 0},
                ["must not be below", "1"],
            ),
            (
                "count | trunc(0.5) ~ 1",
                "poisson",
                {},
                ["whole number", "row 0 has 0.5"],
            ),
            ("count | trunc(-1) ~ 1", "poisson", {}, ["must not be negative"]),
            (
                "count | trunc(0, 3e9) ~ 1",
                "poisson",
                {},
                ["must be at most 2147483647"],
            ),
            ("amount | trunc(-1) ~ 1", "weibull", {}, ["must not be negative"]),
            (
                "hits | trials(shots) ~ 1",
                "beta_binomial",
                {"hits": 99},
                ["successes must be at most trials"],
            ),
            ("amount ~ 1", "inverse_gaussian", {"amount": 0.0}, ["must be positive"]),
            (
                "colour ~ 1",
                "ordinal",
                {},
                ["needs to know their order", "ordered=True"],
            ),
            ("y ~ 1", "ordinal", {}, ["whole numbers or an ordered categorical"]),
            ("log(y) ~ 1", "categorical", {"y": 2.0}, ["is an expression"]),
            ("colour ~ 1", "categorical", {"colour": "red"}, ["one category, 'red'"]),
        ],
    )
    def test_outcomes_outside_their_support_are_refused(
        self, formula: str, family: str, columns: dict[str, Any], said: list[str]
    ) -> None:
        with pytest.raises(DataError) as refused:
            Model(formula, self.frame(**columns), family=family, pooling="complete")
        for part in said:
            assert part in str(refused.value), str(refused.value)

    def test_numbers_and_words_say_the_same_censoring(self) -> None:
        words = np.array(["left", "none", "right", "interval"])
        codes = small_data()["c"].to_numpy()
        named = self.frame(c=words[codes + 1])
        one, other = (
            Model("y | cens(c, y_high) ~ 1", data, pooling="complete").stan_data()
            for data in (small_data(), named)
        )
        assert all(np.array_equal(one[name], other[name]) for name in one)
        assert one["n_left"] == (codes == -1).sum()
        np.testing.assert_array_equal(one["interval"], np.flatnonzero(codes == 2) + 1)

    def test_booleans_are_censored_on_the_right(self) -> None:
        died = np.arange(14) % 3 > 0
        data = Model(
            "amount | cens(c) ~ 1",
            self.frame(c=~died),
            family="lognormal",
            pooling="complete",
        ).stan_data()
        assert data["n_right"] == (~died).sum()
        assert data["n_left"] == data["n_interval"] == 0

    def test_upper_ends_may_be_missing_where_there_is_no_interval(self) -> None:
        data = self.frame()
        data.loc[data["c"] != 2, "y_high"] = np.nan
        model = Model("y | cens(c, y_high) ~ 1", data, pooling="complete")
        assert np.isfinite(model.stan_data()["y_upper"]).all()
        data["y_high"] = np.nan
        with pytest.raises(DataError, match="must be greater than the outcome"):
            Model("y | cens(c, y_high) ~ 1", data, pooling="complete")

    def test_bounds_of_counts_are_whole_numbers(self) -> None:
        model = Model(
            "seen | trunc(1, most_seen) ~ 1",
            self.frame(),
            family="poisson",
            pooling="complete",
        )
        told, high = model.stan_data(), small_data()["most_seen"]
        np.testing.assert_array_equal(told["y_min"], np.ones(14, dtype=np.int64))
        np.testing.assert_array_equal(told["y_max"], high)
        assert told["y_min"].dtype.kind == told["y_max"].dtype.kind == "i"

    @pytest.mark.parametrize(("part", "is_summed"), [("", True), ("| trunc(1)", False)])
    def test_truncated_counts_are_not_summed_up(
        self, part: str, is_summed: bool
    ) -> None:
        many = pd.concat([self.frame()[["seen", "g"]]] * 2000)
        model = Model(f"seen {part} ~ 1 + (1 | g)", many, family="poisson")
        assert (model.rows is not None) == is_summed

    def test_exposure_and_offsets_add_up(self) -> None:
        data = self.frame()
        model = Model(
            "count | exposure(e) ~ 1 + offset(x1) + offset(I(2 * x2))",
            data,
            family="poisson",
            pooling="complete",
        )
        expected = data["x1"] + 2 * data["x2"] + np.log(data["e"])
        np.testing.assert_allclose(model.stan_data()["offsets"], expected)

    def test_columns_of_the_parts_are_used_columns(self) -> None:
        data = self.frame()
        data.loc[3, "w"] = np.nan
        with pytest.raises(DataError, match="'w' has 1 missing value"):
            Model("y | weights(w) ~ 1", data, pooling="complete")
        with pytest.raises(DataError, match=r"no column 'lw'.* mean 'low'"):
            Model("y | trunc(lower=lw) ~ 1", data, pooling="complete")

    def test_categories_are_in_their_order_and_the_first_is_the_reference(self) -> None:
        data = self.frame()
        ordinal = Model("grade ~ x1", data, family="ordinal", pooling="complete")
        assert ordinal.design.categories == ("low", "fair", "high")
        assert not ordinal.design.intercept
        expected = pd.Categorical(data["grade"]).codes + 1
        np.testing.assert_array_equal(ordinal.stan_data()["y"], expected)
        nominal = Model("colour ~ x1", data, family="categorical", pooling="complete")
        assert nominal.design.categories == ("blue", "green", "red")
        names = [row.parameter for row in nominal.priors]
        assert names == [
            "Intercept[green]",
            "Intercept[red]",
            "beta[green, x1]",
            "beta[red, x1]",
        ]

    def test_whole_numbers_are_ordered(self) -> None:
        data = self.frame(score=np.array([1, 5, 3, 5, 1, 3, 3] * 2))
        model = Model("score ~ x1", data, family="ordinal", pooling="complete")
        assert model.design.categories == (1, 3, 5)
        assert [row.parameter for row in model.priors][-2:] == [
            "cutpoint[1|3]",
            "cutpoint[3|5]",
        ]


class TestPriors:
    def test_parameters_of_families_have_proper_defaults_with_a_source(self) -> None:
        data = small_data()
        model = Model("y ~ x1", data, family="student_t", pooling="complete")
        assert prior(model, "nu") == "gamma(2, 0.1)"
        rows = {row.parameter: row.source for row in model.priors}
        assert "Juárez and Steel 2010" in rows["nu"]
        model = Model(
            "count ~ x1", data, family="negative_binomial", pooling="complete"
        )
        assert prior(model, "phi") == "inv_gamma(0.4, 0.3)"
        model = Model("amount ~ x1", data, family="weibull", pooling="complete")
        assert prior(model, "shape") == "inv_gamma(1, 1)"

    def test_a_parameter_on_the_scale_of_the_outcome_has_a_prior_on_it(self) -> None:
        data = small_data()
        for factor in (1.0, 1000.0):
            model = Model(
                "amount ~ x1",
                data.assign(amount=factor * data["amount"]),
                family="inverse_gaussian",
                pooling="complete",
            )
            own = next(row for row in model.priors if row.parameter == "shape")
            shape, scale = own.prior.arguments
            assert shape == 0.4
            mean = factor * data["amount"].mean()
            assert scale == pytest.approx(0.3 * mean, rel=0.01)
            assert "shape / mean(y) is inv_gamma(0.4, 0.3)" in own.source

    @pytest.mark.parametrize(
        ("formula", "family", "name", "given"),
        [
            ("y ~ x1", "student_t", "nu", "exponential(0.05)"),
            ("amount ~ x1", "gamma", "shape", "gamma(2, 0.5)"),
            ("share ~ x1", "beta", "phi", "lognormal(2, 1)"),
            ("grade ~ x1", "ordinal", "cutpoint[low|fair]", "normal(-1, 0.5)"),
            ("colour ~ x1", "categorical", "beta[red, x1]", "normal(0, 0.1)"),
            ("colour ~ x1", "categorical", "Intercept[green]", "normal(1, 1)"),
        ],
    )
    def test_users_set_them_by_name(
        self, formula: str, family: str, name: str, given: str
    ) -> None:
        model = Model(
            formula,
            small_data(),
            family=family,
            pooling="complete",
            priors={name: given},
        )
        assert prior(model, name) == given
        assert sum(row.source == "set by the user" for row in model.priors) == 1

    def test_a_prior_of_a_class_holds_for_its_members(self) -> None:
        model = Model(
            "colour ~ x1 + x2",
            small_data(),
            family="categorical",
            pooling="complete",
            priors={"beta": "normal(0, 3)", "beta[x1]": "normal(0, 2)"},
        )
        found = {row.parameter: str(row.prior) for row in model.priors}
        assert found["beta[red, x1]"] == found["beta[green, x1]"] == "normal(0, 2)"
        assert found["beta[red, x2]"] == "normal(0, 3)"

    def test_supports_are_checked(self) -> None:
        with pytest.raises(
            SpecError, match=r"priors\['cutpoint'\].*positive and negative numbers"
        ):
            Model(
                "grade ~ x1",
                small_data(),
                family="ordinal",
                pooling="complete",
                priors={"cutpoint": "exponential(1)"},
            )

    def test_defaults_go_by_the_scale_of_what_is_modelled(self) -> None:
        data = small_data()
        logged = Model("amount ~ x1", data, family="lognormal", pooling="complete")
        same = Model("log(amount) ~ x1", data, pooling="complete")
        assert [str(row.prior) for row in logged.priors] == [
            str(row.prior) for row in same.priors
        ]

    def test_exposure_moves_the_prior_of_the_intercept(self) -> None:
        data = small_data().assign(e=1000.0)
        plain = Model("count ~ 1", data, family="poisson", pooling="complete")
        rate = Model(
            "count | exposure(e) ~ 1", data, family="poisson", pooling="complete"
        )
        here, there = (
            next(row.prior.arguments[0] for row in model.priors)
            for model in (plain, rate)
        )
        assert here - there == pytest.approx(np.log(1000), abs=0.02)
