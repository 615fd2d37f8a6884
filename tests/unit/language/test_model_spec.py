"""What a model can be, and what each wrong choice is told."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stanpool as sp
from stanpool import Prior, SpecError
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import GroupTerm, ModelSpec
from stanpool.language.prior import DISTRIBUTIONS, as_priors

SIMPLE = ModelSpec("y", terms=("x",), groups=(GroupTerm("g"),))


class TestPrior:
    @pytest.mark.parametrize(
        ("text", "name", "arguments"),
        [
            ("normal(0, 2.5)", "normal", (0.0, 2.5)),
            ("  student_t ( 4 ,0,  1e-3 ) ", "student_t", (4.0, 0.0, 0.001)),
            ("exponential(1)", "exponential", (1.0,)),
            ("lkj(2)", "lkj", (2.0,)),
            ("normal(-3, +1)", "normal", (-3.0, 1.0)),
        ],
    )
    def test_text_is_read(
        self, text: str, name: str, arguments: tuple[float, ...]
    ) -> None:
        assert Prior.parse(text) == Prior(name, arguments)

    @given(
        location=st.floats(-1e9, 1e9),
        scale=st.floats(1e-9, 1e9, exclude_min=True),
    )
    def test_text_of_a_prior_reads_back(self, location: float, scale: float) -> None:
        prior = Prior("normal", (location, scale))
        again = Prior.parse(str(prior))
        assert again.arguments == pytest.approx(prior.arguments, rel=1e-11, abs=1e-300)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("nromal(0, 1)", ["'nromal'", "unknown prior", "mean 'normal'?"]),
            ("normal(0)", ["normal(0)", "2 argument", "normal(location, scale)"]),
            ("normal(0, 1, 2)", ["takes 2", "got 3"]),
            ("normal(0, -1)", ["normal(0, -1)", "scale must be positive", "got -1"]),
            ("normal(0, 0)", ["scale must be positive", "got 0"]),
            ("gamma(2, -3)", ["rate must be positive", "gamma(shape, rate)"]),
            ("student_t(0, 0, 1)", ["df must be positive"]),
            ("lkj(0)", ["shape must be positive"]),
            ("normal(0, inf)", ["scale must be finite"]),
            ("normal(nan, 1)", ["location must be finite"]),
            ("normal(a, 1)", ["numbers", "('a', '1')", "normal(location, scale)"]),
            ("normal(0, 1", ["cannot read", "'normal(0, 1'", "such as"]),
            ("normal", ["cannot read", "such as"]),
            ("", ["cannot read", "''"]),
            ("normal(0, 1) + 1", ["cannot read"]),
            ("__import__('os')()", ["cannot read"]),
        ],
    )
    def test_wrong_text_is_told_what_to_write(self, text: str, said: list[str]) -> None:
        with pytest.raises(SpecError) as refused:
            Prior.parse(text)
        assert all(part in str(refused.value) for part in said), str(refused.value)

    def test_every_distribution_has_a_support_and_arguments(self) -> None:
        supports = {each.support for each in DISTRIBUTIONS.values()}
        kinds = {"real", "positive", "bounded", "correlation", "simplex", "point"}
        kinds |= {"shrinkage"}
        assert supports == kinds
        assert [name for name, each in DISTRIBUTIONS.items() if not each.arguments] == [
            "flat"
        ]

    @pytest.mark.parametrize("text", ["uniform(1, 1)", "uniform(2, 1)"])
    def test_bounds_are_in_order(self, text: str) -> None:
        with pytest.raises(SpecError, match="less than its upper one"):
            Prior.parse(text)

    @pytest.mark.parametrize(
        ("text", "by_ten"),
        [
            ("normal(1, 2)", "normal(10, 20)"),
            ("half_student_t(3, 2)", "half_student_t(3, 20)"),
            ("exponential(2)", "exponential(0.2)"),
            ("gamma(2, 1)", "gamma(2, 0.1)"),
            ("inv_gamma(2, 1)", "inv_gamma(2, 10)"),
            ("sqrt_inv_gamma(2, 1)", "sqrt_inv_gamma(2, 100)"),
            ("uniform(-1, 3)", "uniform(-10, 30)"),
            ("flat", "flat()"),
        ],
    )
    def test_the_prior_of_a_multiple(self, text: str, by_ten: str) -> None:
        assert str(Prior.parse(text).scaled(10)) == by_ten

    def test_the_prior_of_a_multiple_of_a_probability_has_no_name(self) -> None:
        assert Prior.parse("beta(1, 2)").scaled(2) is None

    def test_is_a_frozen_value(self) -> None:
        prior = Prior("normal", (0, 1))
        with pytest.raises(FrozenInstanceError):
            prior.distribution = "cauchy"  # type: ignore[misc]
        assert hash(prior) == hash(Prior.parse("normal(0, 1)"))


class TestPriorsMapping:
    def test_order_of_names_does_not_matter(self) -> None:
        one = as_priors({"tau": "exponential(1)", "beta": "normal(0, 1)"})
        other = as_priors({"beta": Prior("normal", (0, 1)), "tau": "exponential(1)"})
        assert one == other

    @pytest.mark.parametrize(
        ("given", "said"),
        [
            ("normal(0, 1)", ["not a mapping", "priors={"]),
            ({"beta": 3}, ["'beta'", "3", "string such as"]),
            ({7: "normal(0, 1)"}, ["7", "name of a parameter"]),
        ],
    )
    def test_other_shapes_are_refused(self, given: object, said: list[str]) -> None:
        with pytest.raises(SpecError) as refused:
            as_priors(given)  # type: ignore[arg-type]
        assert all(part in str(refused.value) for part in said)


class TestModelSpec:
    @pytest.mark.parametrize(
        ("option", "value", "said"),
        [
            ("family", "gausian", ["family='gausian'", "mean 'gaussian'?"]),
            ("family", None, ["family=None", "'poisson'"]),
            ("family", ["gaussian"], ["family=['gaussian']"]),
            ("pooling", "partail", ["pooling='partail'", "mean 'partial'?"]),
            ("parameterization", "non-centered", ["mean 'noncentered'?"]),
            ("trials", "n", ["trials='n'", "trials goes with 'binomial'"]),
        ],
    )
    def test_wrong_choices_are_told_the_right_ones(
        self, option: str, value: object, said: list[str]
    ) -> None:
        with pytest.raises(SpecError) as refused:
            replace(SIMPLE, **{option: value})
        assert all(part in str(refused.value) for part in said), str(refused.value)

    def test_binomial_needs_trials(self) -> None:
        with pytest.raises(SpecError, match=r"successes \| trials\(n\) ~"):
            replace(SIMPLE, family="binomial")

    def test_standard_errors_go_with_symmetric_outcomes_only(self) -> None:
        wrong = r"se='s'.*family='poisson'; se goes with 'gaussian', 'student_t'"
        with pytest.raises(SpecError, match=wrong):
            replace(SIMPLE, family="poisson", se="s")

    @pytest.mark.parametrize("pooling", ["none", "partial"])
    def test_pooling_of_groups_needs_groups(self, pooling: str) -> None:
        with pytest.raises(
            SpecError, match=r"Add a group term such as \(1 \| county\)"
        ):
            replace(SIMPLE, groups=(), pooling=pooling)

    @pytest.mark.parametrize("groups", [(), (GroupTerm("g"),)])
    def test_complete_pooling_of_nothing_is_refused(
        self, groups: tuple[GroupTerm, ...]
    ) -> None:
        with pytest.raises(SpecError, match="nothing to estimate"):
            ModelSpec("y", intercept=False, groups=groups, pooling="complete")

    @pytest.mark.parametrize(
        "formula",
        [
            *("y ~ x + y", "y ~ log(y)", "y ~ x:y", "y ~ x + (1 | y)"),
            *("y ~ x + (1 + y | g)", "y ~ x + s(y)", "y ~ x + (1 | g:y)"),
            ["y ~ x", "sigma ~ y"],
        ],
    )
    def test_an_outcome_is_not_predicted_from_itself(
        self, formula: str | list[str]
    ) -> None:
        with pytest.raises(SpecError, match="outcome 'y' is also a predictor"):
            sp.Model(formula, {"y": [0.5, 1.0], "x": [1.0, 2.0], "g": [1, 2]})

    def test_is_a_hashable_value(self) -> None:
        assert hash(SIMPLE) == hash(replace(SIMPLE))
        assert SIMPLE == replace(SIMPLE)
        assert all(getattr(SIMPLE, field.name) is not ... for field in fields(SIMPLE))

    def test_every_family_has_the_outcomes_of_its_name(self) -> None:
        kinds = {name: FAMILIES[name].outcome for name in ("gaussian", "bernoulli")}
        assert kinds == {"gaussian": "real", "bernoulli": "binary"}
        assert "trials" in FAMILIES["binomial"].parts
