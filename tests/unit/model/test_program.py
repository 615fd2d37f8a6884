"""Structure is rendered, numbers are data."""

from __future__ import annotations

import re

import jinja2
import numpy as np
import pandas as pd
import pytest
from jinja2 import nodes

import stanpool as sp
from golden.catalogue import models, small_data
from stanpool import Model, SpecError
from stanpool.base.system.files import shipped_folder
from stanpool.engine.values.program import LONGEST_NAME
from stanpool.model.program.render import render


def noncentered(formula: str) -> Model:
    return Model(formula, small_data(), parameterization="noncentered")


class TestSource:
    def test_other_data_names_and_prior_scales_give_the_same_program(self) -> None:
        radon = sp.load_dataset("radon")
        one = Model("log_radon ~ floor + (1 + floor | county)", radon)
        other = Model(
            "Reaction ~ Days + (1 + Days | Subject)",
            sp.load_dataset("sleepstudy"),
            priors={"beta": "normal(3, 7)", "tau": "exponential(0.01)"},
            center_predictors=False,
        )
        assert one.program == other.program
        assert one.program.digest == other.program.digest

    def test_numbers_of_predictors_and_rows_are_data(self) -> None:
        data = small_data()
        one = Model("y ~ x1 + (1 | g)", data)
        other = Model("y ~ x1 + x2 + x3 + (1 | g)", data.iloc[:9])
        assert one.program == other.program

    @pytest.mark.parametrize("pooling", ["complete", "none", "partial"])
    def test_the_prior_alone_is_data(self, pooling: str) -> None:
        model = Model("y ~ x1 + (1 | g)", small_data(), pooling=pooling)
        differing = {
            name
            for name, value in model.stan_data(prior_only=True).items()
            if not np.array_equal(value, model.stan_data()[name])
        }
        assert differing == {"prior_only"}

    def test_another_distribution_is_another_program(self) -> None:
        one, other = (
            Model("y ~ x1 + (1 | g)", small_data(), priors={"tau": prior})
            for prior in ("exponential(1)", "normal(0, 1)")
        )
        assert one.program != other.program

    def test_equal_structures_are_rendered_once(self) -> None:
        structure = Model("y ~ x1 + (1 | g)", small_data()).structure
        assert render(structure) is render(structure)

    def test_names_are_file_names(self) -> None:
        names = {model.program.name for model in models().values()}
        assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)

    def test_names_of_many_factors_are_short_enough_for_files(self) -> None:
        factors = "abcdefghijkl"
        data = {
            x: np.random.default_rng(i).integers(4, size=40)
            for i, x in enumerate(factors)
        }
        terms = " + ".join(f"(1 | {x})" for x in factors)
        model = sp.Model(f"y ~ {terms}", data | {"y": np.arange(40.0) % 7})
        assert len(model.program.name) == LONGEST_NAME

    def test_no_number_of_the_data_is_in_the_source(self) -> None:
        odd = {"x1": [7919.0 + row for row in range(14)], "y": np.arange(14) + 0.104729}
        model = Model(
            "y ~ x1 + (1 | g)",
            small_data().assign(**odd),
            priors={"beta": "normal(1299.709, 15.485863)"},
        )
        assert not re.search("7919|104729|1299|15485", model.program.source)

    def test_funnels_know_two_forms(self) -> None:
        with pytest.raises(SpecError, match="'centred' is not one of 'centered'"):
            sp.neals_funnel("centred")


class TestComment:
    def test_numbers_are_mapped_to_names(self) -> None:
        code = noncentered("y ~ x1 + x2 + (1 + x2 | g)").stan_code
        assert '// column 2 of X is "x2"' in code
        assert '// column 1 of Z is "Intercept"' in code
        assert 'group j of "g", one of J = 4 groups' in code

    def test_the_columns_of_reduced_rows_begin_with_the_intercept(self) -> None:
        model = noncentered("y ~ x1 + x2 + (1 + x2 | g) + (1 | h)")
        code = model.with_(parameterization="marginal").stan_code
        assert '// column 3 of X is made of "x2"' in code
        assert '// column 2 of Z is made of "x2"' in code
        assert 'group j of "h", one of J_2 = 3 groups' in code

    def test_rows_of_scores_residual_scales_and_group_predictors_are_named(
        self,
    ) -> None:
        data = small_data()
        data["u"] = data["g"].map({g: n for n, g in enumerate(data["g"].unique())})
        model = Model("y ~ u + (1 | g) + factors(g, h)", data, residual="h")
        lines = model.stan_code.splitlines()
        assert '// scores has a row for each of the 4 levels of "g"' in lines
        assert '// loadings has a row for each of the 3 levels of "h"' in lines
        assert '// sigma_j[j] is the residual scale of group j of "h"' in lines
        assert '// column 1 of U is "u"' in lines

    @pytest.mark.parametrize("form", ["marginal", "adaptive", "centered"])
    def test_first_lines_say_how_to_see_the_plain_program(self, form) -> None:
        compress = True if form == "centered" else None
        model = noncentered("y ~ x1 + (1 | g)").with_(
            parameterization=form, compress=compress
        )
        comment = model.stan_code.removesuffix(model.program.source)
        comment = comment.replace("\n// ", " ")
        done = {
            "marginal": 'coefficients of the groups of "g" are integrated out',
            "adaptive": "coefficients is between centered and noncentered",
            "centered": f"are reduced to {model.rows.kept} by" if model.rows else "",
        }[form]
        assert done in comment.partition(" y is the outcome")[0]
        changes = comment.partition("model.with_(")[2].partition(").stan_code")[0]
        options = eval(f"dict({changes})")
        plain = model.with_(**options)
        assert plain.rows is None
        assert plain.parameterization == "noncentered"
        assert "To see the program" not in plain.stan_code

    def test_functions_in_cpp_are_named_and_shown_in_stan(self) -> None:
        model = Model("win ~ x1 + (1 | g)", small_data(), family="bernoulli")
        assert (
            "// CmdStan compiles grouped_bernoulli_logit_glm from equivalent C++ code"
        ) in model.stan_code
        assert "bernoulli_logit_lupmf(y | eta)" in model.stan_code
        assert "bernoulli_logit_lupmf" not in model.program.compiled
        plain = Model("win ~ x1", small_data(), family="bernoulli", pooling="complete")
        assert plain.program.header == ""
        assert plain.program.compiled == plain.program.source

    def test_long_names_are_cut(self) -> None:
        data = small_data().rename(columns={"x1": "x" * 10_000})
        code = sp.complete_pooling(
            data, outcome="y", predictors=["x" * 10_000]
        ).stan_code
        assert max(map(len, code.splitlines())) < 100

    @pytest.mark.parametrize(
        "name",
        ["a\nreal evil;", "a\r\nb", "\u2028real x;", "*/ real x; /*", "\x0breal x;"],
    )
    def test_no_name_leaves_the_comment(self, name: str) -> None:
        data = small_data().rename(columns={"x1": name, "g": f"{name}_g"})
        model = sp.partial_pooling(
            data,
            outcome="y",
            predictors=[name],
            group=f"{name}_g",
            varying=["Intercept", name],
        )
        comment = model.stan_code.removesuffix(model.program.source)
        assert comment.isascii()
        assert all(line.startswith("// ") for line in comment.splitlines())


class TestData:
    def test_means_are_found_in_the_population(self) -> None:
        data = noncentered("y ~ x1 + x2 + (x2 + x3 | g)").stan_data()
        # (0, alpha, beta[x1], beta[x2]): Intercept, x2, and x3, which has no mean.
        assert data["mean_index"].tolist() == [2, 4, 1]

    def test_without_an_intercept_its_mean_is_zero(self) -> None:
        data = noncentered("y ~ 0 + x1 + (1 + x1 | g)").stan_data()
        assert data["mean_index"].tolist() == [1, 2]

    def test_predictors_are_centered_unless_told(self) -> None:
        frame = small_data()
        model = Model("y ~ x1 + x2 + (1 | g)", frame)
        np.testing.assert_allclose(
            model.stan_data()["x_bar"], frame[["x1", "x2"]].mean()
        )
        at_zero = model.with_(center_predictors=False).stan_data()
        assert not at_zero["x_bar"].any()

    def test_mixed_priors_say_whose_they_are(self) -> None:
        data = Model(
            "y ~ x1 + x2 + x3 + (1 | g)",
            small_data(),
            priors={"beta[x2]": "cauchy(1, 2)"},
        ).stan_data()
        assert data["at_beta_normal"].tolist() == [1, 3]
        assert data["at_beta_cauchy"].tolist() == [2]
        assert data["prior_beta_cauchy_location"].tolist() == [1.0]
        assert data["prior_beta_cauchy_scale"].tolist() == [2.0]

    def test_groups_are_counted_from_one(self) -> None:
        data = noncentered("y ~ x1 + (1 | g)").stan_data()
        assert sorted(set(data["group"].tolist())) == [1, 2, 3, 4]


TEMPLATES = shipped_folder("stan_templates")
TEMPLATE_NAMES = sorted(
    path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.jinja")
)
# The files of a folder define the same macros, and all of them are called.
MACROS = {
    "families": (
        "equation data parameters transformed_parameters model "
        "generated_quantities made_of_eta distribution arguments glm"
    ),
    "terms": (
        "equation distribution data transformed_data parameters "
        "transformed_parameters model effect generated_quantities"
    ),
    "parameterizations": (
        "introduction data parameters transformed_parameters deviations model "
        "generated_quantities"
    ),
}
# What a template may do: write, choose by one fact, and repeat.
CHOICES = (nodes.If, nodes.For, nodes.CondExpr)
FACTS = (nodes.Name, nodes.Getattr, nodes.Const, nodes.Not, nodes.Compare)
WRITING = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Import)
CALLING = (nodes.Macro, nodes.Call, nodes.Filter)
PARTS = (nodes.Operand, nodes.Getitem, nodes.Tuple, nodes.List)
FILTERS = {"indent", "trim"}


class TestTemplates:
    @pytest.mark.parametrize(
        "name",
        [name for name in TEMPLATE_NAMES if name.partition("/")[0] in MACROS],
    )
    def test_a_file_defines_the_macros_of_its_folder(self, name: str) -> None:
        expected = set(MACROS[name.partition("/")[0]].split())
        found = {macro.name for macro in parsed(name).find_all(nodes.Macro)}
        public = {each for each in found if not each.startswith("_")}
        assert public == expected

    @pytest.mark.parametrize(
        ("folder", "file"),
        [
            ("families", r"family"),
            ("terms", r"kinds\[term\.kind\]"),
            ("parameterizations", r"forms\[(?:f\.form|parameterization)\]"),
        ],
    )
    def test_macros_are_what_the_templates_call(self, folder: str, file: str) -> None:
        called = {
            name
            for path in TEMPLATES.rglob("*.jinja")
            for name in re.findall(rf"\b{file}\.(\w+)\(", path.read_text())
        }
        assert called == set(MACROS[folder].split())

    @pytest.mark.parametrize("name", TEMPLATE_NAMES)
    def test_blocks_are_at_most_two_deep(self, name: str) -> None:
        assert depth(parsed(name)) <= 2

    @pytest.mark.parametrize("name", TEMPLATE_NAMES)
    def test_nothing_is_computed(self, name: str) -> None:
        allowed = (*CHOICES, *FACTS, *WRITING, *CALLING, *PARTS)
        tree = parsed(name)
        refused = [
            f"line {node.lineno}: {type(node).__name__}"
            for node in tree.find_all(nodes.Node)
            if not isinstance(node, allowed)
        ]
        assert not refused
        assert {each.name for each in tree.find_all(nodes.Filter)} <= FILTERS
        for choice in tree.find_all(nodes.CondExpr):
            assert not list(choice.find_all(nodes.CondExpr)), choice.lineno

    @pytest.mark.parametrize(
        ("text", "computed"),
        [
            ("{{ n + 1 }}", "Add"),
            ('{{ "a" ~ b }}', "Concat"),
            ("{% if a and b %}{% endif %}", "And"),
            ("{% if a or b %}{% endif %}", "Or"),
            ("{% set a = b %}", "Assign"),
        ],
    )
    def test_these_would_be_computing(self, text: str, computed: str) -> None:
        allowed = (*CHOICES, *FACTS, *WRITING, *CALLING, *PARTS)
        found = jinja2.Environment().parse(text).find_all(nodes.Node)
        refused = [each for each in found if not isinstance(each, allowed)]
        assert computed in {type(each).__name__ for each in refused}

    def test_depth_counts_loops_and_choices_but_no_elif(self) -> None:
        parse = jinja2.Environment().parse
        text = "{% if a %}{% elif b %}{% for c in d %}{% endfor %}{% endif %}"
        assert depth(parse(text)) == 2
        nested = "{% for c in d %}" + text + "{% endfor %}"
        assert depth(parse(nested)) == 3
        assert depth(parse("{% macro m() %}" + text + "{% endmacro %}")) == 2


def parsed(name: str) -> nodes.Template:
    return jinja2.Environment().parse((TEMPLATES / name).read_text())


def depth(node: nodes.Node) -> int:
    """Return how deep blocks that choose or repeat are nested."""
    own = int(isinstance(node, nodes.If | nodes.For))
    elifs = {id(each) for each in node.elif_} if isinstance(node, nodes.If) else set()
    below = [depth(each) - (id(each) in elifs) for each in node.iter_child_nodes()]
    return own + max(below, default=0)


def test_an_undefined_name_in_a_template_is_an_error() -> None:
    from stanpool.model.program.render import template_environment

    with pytest.raises(jinja2.UndefinedError):
        template_environment().from_string("{% if misspelt %}{% endif %}").render()


def test_frames_of_one_column_less_have_their_own_data() -> None:
    model = Model("y ~ 1", small_data(), pooling="complete")
    data = model.stan_data()
    assert data["X"].shape == (14, 0)
    assert isinstance(model.data, pd.DataFrame)
