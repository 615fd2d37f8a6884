"""The facade: both roads to a model, and what is refused before anything is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import small_data
from stanpool import Model, SpecError
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula_text import formula_of

README = Path(__file__).parents[3] / "README.md"
PARTIAL = {"predictors": ["x1", "x2"], "group": "g"}


class TestTwoRoads:
    @pytest.mark.parametrize(
        ("by_columns", "formula", "options"),
        [
            (
                lambda d: sp.complete_pooling(d, outcome="y", predictors=["x1"]),
                "y ~ x1",
                {"pooling": "complete"},
            ),
            (
                lambda d: sp.complete_pooling(d, outcome="y"),
                "y ~ 1",
                {"pooling": "complete"},
            ),
            (
                lambda d: sp.no_pooling(d, outcome="y", predictors=["x1"], group="g"),
                "y ~ x1 + (1 | g)",
                {"pooling": "none"},
            ),
            (
                lambda d: sp.no_pooling(
                    d, outcome="win", group="g", varying=["x1"], family="bernoulli"
                ),
                "win ~ (0 + x1 | g)",
                {"pooling": "none", "family": "bernoulli"},
            ),
            (
                lambda d: sp.partial_pooling(
                    d,
                    outcome="y",
                    varying=["Intercept", "x2"],
                    parameterization="centered",
                    **PARTIAL,
                ),
                "y ~ x1 + x2 + (1 + x2 | g)",
                {"parameterization": "centered"},
            ),
            (
                lambda d: sp.partial_pooling(
                    d,
                    outcome="hits",
                    trials="shots",
                    family="binomial",
                    varying=["Intercept", "x2"],
                    correlated=False,
                    priors={"tau": "normal(0, 1)"},
                    **PARTIAL,
                ),
                "hits | trials(shots) ~ x1 + x2 + (1 + x2 || g)",
                {"family": "binomial", "priors": {"tau": "normal(0, 1)"}},
            ),
            (
                lambda d: sp.partial_pooling(d, outcome="y", se="known", group="g"),
                "y | se(known) ~ 1 + (1 | g)",
                {},
            ),
        ],
    )
    def test_columns_and_formulas_make_the_same_spec(
        self, by_columns: Callable[[Any], Model], formula: str, options: dict[str, Any]
    ) -> None:
        assert (
            by_columns(small_data()).spec
            == Model(formula, small_data(), **options).spec
        )

    @pytest.mark.parametrize(
        "formula",
        [
            "y ~ 1 + x1 + (1 + x2 || g)",
            "log(y + 9) | se(known) ~ 0 + x1*x2 - x2 + (0 + x1 | `my group`)",
            "hits | trials(shots) ~ 1",
        ],
    )
    def test_a_spec_reads_back_from_its_formula(self, formula: str) -> None:
        data = (
            small_data().rename(columns={"g": "my group"}).assign(g=list("abcdefg") * 2)
        )
        family = "binomial" if "trials" in formula else "gaussian"
        pooling = "partial" if "|" in formula.split("~")[1] else "complete"
        model = Model(formula, data, family=family, pooling=pooling)
        assert formula_of(model.spec) == formula


class TestModel:
    def test_auto_is_resolved_and_gives_its_reason(self) -> None:
        model = Model("y ~ x1 + (1 | g)", small_data())
        assert model.parameterization == "marginal"
        assert "auto: with gaussian outcomes" in model.parameterization_reason
        assert "marginal (chosen by auto: with gaussian outcomes" in model.explain()
        model = Model("count ~ x1 + (1 | g)", small_data(), family="poisson")
        assert model.parameterization == "adaptive"
        assert "the outcome is not gaussian" in model.explain()
        assert (
            Model("y ~ x1", small_data(), pooling="complete").parameterization is None
        )

    @pytest.mark.parametrize(
        ("formula", "pooling"),
        [("y ~ x", "complete"), ("y ~ 1", "complete"), ("y ~ x + (1 | g)", "partial")],
    )
    def test_a_formula_without_groups_is_pooled_completely(
        self, formula: str, pooling: str
    ) -> None:
        data = {"y": [1.0, 2.5, 2.0, 4.0], "x": [0.0, 1.0, 2.0, 3.0], "g": list("abab")}
        assert sp.Model(formula, data).spec.pooling == pooling

    @pytest.mark.parametrize(
        "formula", ["y ~ factors(g, h)", ["y ~ x", "sigma ~ (1 | g)"]]
    )
    def test_what_differs_by_group_is_not_dropped(self, formula: str) -> None:
        data = {"y": [1.0, 2.0, 3.0, 4.0], "x": [0.0, 1.0, 2.0, 3.5]}
        with pytest.raises(sp.SpecError, match="pooling='partial' needs groups"):
            sp.Model(formula, data | {"g": list("abab"), "h": list("aabb")})

    def test_levels_without_rows_are_named(self) -> None:
        data = small_data()
        kinds = pd.Categorical(["a", "b"] * 7, categories=["z", "a", "b", "c"])
        groups = pd.Categorical(data["g"], categories=["x1", *sorted(set(data["g"]))])
        data = data.assign(kind=kinds, g=groups, unused=kinds)
        model = Model("y ~ kind + (1 | g)", data)
        line = (
            "left out: levels without rows, 'x1' of 'g', 'z' of 'kind', 'c' of 'kind'"
        )
        assert line in model.explain().splitlines()
        assert line in model.with_(parameterization="centered").explain().splitlines()
        alone = model.with_(pooling="complete").explain()
        assert "without rows" not in Model("y ~ x1 + (1 | g)", small_data()).explain()
        assert "'c' of 'kind'" in alone
        many = pd.Categorical(["a", "b"] * 7, categories=[*"abcdefghi"])
        said = Model(
            "y ~ kind + (1 | g)", data.assign(kind=many, g=data["g"])
        ).explain()
        assert "'f' of 'kind' and 3 more" in said

    def test_groups_of_another_membership_have_rows(self) -> None:
        g = pd.Categorical(["a", "b"] * 7, categories=["a", "b", "c", "d"])
        h = pd.Categorical(["c", "b"] * 7, categories=["a", "b", "c", "d"])
        model = Model("y ~ 1 + (1 | mm(g, h))", small_data().assign(g=g, h=h))
        said = [line for line in model.explain().splitlines() if "without rows" in line]
        assert said == ["left out: levels without rows, 'd' of 'g', 'd' of 'h'"]

    def test_gaps_between_ordered_numbers_are_named(self) -> None:
        grades = np.array([1, 2, 4, 9] * 4)[:14]
        data = small_data().assign(grade=grades)
        model = Model("grade ~ x1 + (1 | g)", data, family="ordinal")
        assert "outcome: no row has 3, 5 to 8, so that" in model.explain()
        levels = pd.Categorical(grades, categories=[*range(1, 10)], ordered=True)
        model = Model(
            "grade ~ x1 + (1 | g)", data.assign(grade=levels), family="ordinal"
        )
        assert "no row has" not in model.explain()
        data["grade"] = np.arange(14) % 3
        model = Model("grade ~ x1 + (1 | g)", data, family="ordinal")
        assert "no row has" not in model.explain()

    def test_priors_are_stated_with_whose_they_are(self) -> None:
        model = Model("y ~ x1 + (1 | g)", small_data())
        priors = model.priors
        (said,) = [x for x in model.explain().splitlines() if x.startswith("priors: ")]
        for row in priors:
            assert f"{row.parameter} ~ {row.prior}" in said
        assert "; all are defaults; " in said
        said = model.with_(priors={"beta": "normal(0, 3)"}).explain()
        assert "beta[x1] ~ normal(0, 3)" in said
        assert "; the user set beta[x1], and the others are defaults; " in said
        wide = "y ~ C(g) + C(h) + x1 + x2 + I(x1**2) + I(x2**2) + cos(x1)"
        many = Model(wide, small_data(), pooling="complete")
        assert len(many.priors) > 10
        more = f" and {len(many.priors) - 10} more; all are defaults"
        assert more in many.explain()

    @pytest.mark.parametrize(
        ("term", "said"),
        [
            ("kind", "'a' of 'kind'"),
            ("kind * x1", "'a' of 'kind'"),
            ("C(kind, Treatment('b'))", """'b' of "C(kind, Treatment('b'))\""""),
            ("C(kind, Sum)", None),
            ("0 + kind", None),
            ("x2", None),
        ],
    )
    def test_reference_levels_are_named(self, term: str, said: str | None) -> None:
        data = small_data().assign(kind=["a", "b"] * 7)
        text = Model(f"y ~ {term} + (1 | g)", data).explain()
        assert ("reference levels: " in text) == (said is not None)
        assert said is None or f"reference levels: {said}; " in text

    def test_the_reference_category_is_named(self) -> None:
        data = small_data().assign(kind=["b", "a", "c"] * 4 + ["a", "b"])
        said = Model("kind ~ x1 + (1 | g)", data, family="categorical").explain()
        assert "outcome: each other category has log odds against 'a'" in said

    def test_it_says_which_groups_have_the_populations_coefficients(self) -> None:
        model = Model("y ~ x1 + (1 | g) + (1 + x1 | h)", small_data())
        said = [x for x in model.explain().splitlines() if x.startswith("population: ")]
        assert said == [
            "population: its coefficient 'Intercept' is part of the coefficients of "
            "'g', and not of those of 'h'"
        ]
        line = "// column 1 of mu_2 is 0: that of the population is in b\n"
        assert line in model.with_(parameterization="centered").stan_code
        data = model.with_(parameterization="centered").stan_data()
        assert list(data["mean_index_2"]) == [1, 3]  # 0, then that of x1

    def test_few_rows_are_not_reduced(self) -> None:
        schools = sp.load_dataset("eight_schools")
        model = Model("y | se(sigma) ~ (1 | school)", schools)
        assert "rows: 8 are replaced by 10 by a QR decomposition" in model.explain()
        assert "8 rows of the data are replaced by 10" in model.stan_code

    def test_changing_a_model_makes_another(self) -> None:
        model = Model("y ~ x1 + (1 | g)", small_data())
        centered = model.with_(parameterization="centered")
        assert model.spec.parameterization == "auto"
        assert centered.parameterization == "centered"
        assert centered.with_(parameterization="auto").spec == model.spec

    def test_a_model_is_frozen(self) -> None:
        model = Model("y ~ x1 + (1 | g)", small_data())
        with pytest.raises(FrozenInstanceError):
            model.spec = None  # type: ignore[misc,assignment]

    def test_repr_is_one_line(self) -> None:
        text = repr(Model("y ~ x1 + (1 | g)", small_data()))
        assert "\n" not in text
        assert "partial pooling" in text
        assert "4 groups" in text
        none = Model("y ~ x1 + (1 | g)", small_data(), pooling="none")
        assert "gaussian, no pooling, " in repr(none)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"predictors": "x1"}, "predictors='x1'.*write a list"),
            ({"varying": "x1"}, "varying='x1'.*write a list"),
            ({"varying": []}, r"varying is empty.*\['Intercept'\]"),
            ({"group": 3}, "must be a string, got 3"),
        ],
    )
    def test_texts_for_lists_and_lists_for_texts_are_refused(
        self, options: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(SpecError, match=said):
            sp.partial_pooling(
                small_data(), **({"outcome": "y", "group": "g"} | options)
            )


class TestSettings:
    """Refused before a compiler or a process is started."""

    @pytest.mark.parametrize(
        ("option", "value"),
        [
            ("chains", 0),
            ("chains", 1.5),
            ("draws", 0),
            ("draws", -1),
            ("warmup", -1),
            ("seed", -1),
            ("seed", 2**32),
            ("seed", "one"),
            ("adapt_delta", 0.0),
            ("adapt_delta", 1.0),
            ("max_treedepth", 0),
            ("parallel_chains", 0),
        ],
    )
    def test_what_is_out_of_range_is_named(
        self, option: str, value: object, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*arguments: object, **options: object) -> None:
            raise AssertionError("compiled before the settings were checked")

        monkeypatch.setattr("stanpool.sampling.sample.opened", refuse)
        model = Model("y ~ x1 + (1 | g)", small_data())
        with pytest.raises(SpecError) as refused:
            model.fit(**{option: value})  # type: ignore[arg-type]
        assert option in str(refused.value)
        assert repr(value) in str(refused.value)


def test_lists_for_users_name_every_family_and_no_other() -> None:
    (row,) = (
        line for line in README.read_text().splitlines() if line.startswith("| fam")
    )
    names = row.split("|")[2].partition(";")[0].strip().split(", ")
    assert names == list(FAMILIES)
    said = Model.__doc__ or ""
    for family in FAMILIES.values():
        assert f'``"{family.name}"``' in said
    of_links = said.partition("    link\n")[2].partition("    pooling\n")[0]
    for family in FAMILIES.values():
        assert (family.name in of_links) == (len(family.links) > 1)
        assert len(family.links) == 1 or all(x in of_links for x in family.links)
