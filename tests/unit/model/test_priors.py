"""Which prior is in force, and why."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stanpool import Model, Prior, PriorWarning, SpecError


def frame() -> pd.DataFrame:
    # Standard deviations by hand: y 20, x 2, count mean 4.
    return pd.DataFrame(
        {
            "y": [80.0, 120.0, 100.0, 80.0, 120.0, 100.0, 80.0, 120.0, 100.0],
            "x": [1.0, 3.0, 5.0] * 3,
            "win": [0, 1, 1, 0, 1, 0, 1, 0, 1],
            "count": [2, 4, 6] * 3,
            "g": list("aaabbbccc"),
        }
    )


def priors_of(formula: str, **options: object) -> dict[str, str]:
    model = Model(formula, frame(), **options)  # type: ignore[arg-type]
    return {row.parameter: str(row.prior) for row in model.priors}


class TestDefaults:
    def test_real_outcomes_scale_them_by_the_outcome_and_the_predictors(self) -> None:
        sd_y = float(np.std(frame()["y"], ddof=1))  # 17.3
        sd_x = float(np.std(frame()["x"], ddof=1))  # 1.73
        assert (round(sd_y, 1), round(sd_x, 2)) == (17.3, 1.73)
        assert priors_of("y ~ x + (1 + x | g)") == {
            "Intercept": "normal(100, 43.3)",
            "beta[x]": "normal(0, 25)",
            "tau_g[Intercept]": "exponential(0.0577)",
            "tau_g[x]": "exponential(0.1)",
            "Omega_g": "lkj(2)",
            "sigma": "exponential(0.0577)",
        }

    def test_logits_have_the_scale_of_a_uniform_probability(self) -> None:
        # A standard logistic distribution's, 1.814; 5 of 9 are won; sd(x) is 1.73.
        assert priors_of("win ~ x + (1 | g)", family="bernoulli") == {
            "Intercept": "normal(0.223, 1.81)",  # log(5 / 4)
            "beta[x]": "normal(0, 1.05)",
            "tau_g[Intercept]": "exponential(1.1)",
        }

    def test_log_rates_have_the_scale_of_the_logarithm_of_the_outcome(self) -> None:
        found = priors_of("count ~ x + (1 | g)", family="poisson")
        # The counts' mean is 4, their variance 8 / 3: sqrt(log(1 + 1 / 6)) is 0.393.
        assert found["Intercept"] == "normal(1.39, 0.393)"  # log(4)
        assert found["tau_g[Intercept]"] == "exponential(5.09)"

    def test_groups_of_their_own_have_the_priors_of_the_population(self) -> None:
        assert priors_of("y ~ x + (1 + x | g)", pooling="none") == {
            "b_g[Intercept]": "normal(100, 43.3)",
            "b_g[x]": "normal(0, 25)",
            "sigma": "exponential(0.0577)",
        }

    def test_uncorrelated_and_single_coefficients_have_no_correlation(self) -> None:
        assert "Omega_g" not in priors_of("y ~ x + (1 + x || g)")
        assert "Omega_g" not in priors_of("y ~ x + (1 | g)")

    def test_known_errors_leave_no_residual_scale(self) -> None:
        data = frame().assign(s=1.0)
        names = [row.parameter for row in Model("y | se(s) ~ 1 + (1 | g)", data).priors]
        assert names == ["Intercept", "tau_g[Intercept]"]

    def test_a_constant_outcome_has_proper_priors(self) -> None:
        model = Model("y ~ x + (1 | g)", frame().assign(y=3.0))
        assert all(np.isfinite(row.prior.arguments).all() for row in model.priors)

    def test_each_says_where_it_is_from(self) -> None:
        rows = Model("y ~ x + (1 | g)", frame(), priors={"sigma": "gamma(2, 1)"}).priors
        sources = {row.parameter: row.source for row in rows}
        assert sources.pop("sigma") == "set by the user"
        assert all(source.startswith("default: ") for source in sources.values())


class TestSpecificity:
    def test_a_member_goes_before_its_factor_before_its_class(self) -> None:
        found = priors_of(
            "y ~ x + (1 + x || g)",
            priors={
                "tau": "exponential(1)",
                "tau_g": "exponential(2)",
                "tau_g[x]": "exponential(3)",
            },
        )
        assert found["tau_g[Intercept]"] == "exponential(2)"
        assert found["tau_g[x]"] == "exponential(3)"

    def test_without_pooling_the_factor_goes_before_the_class(self) -> None:
        found = priors_of(
            "y ~ x + (1 + x | g)",
            pooling="none",
            priors={
                "b": "normal(0, 1)",
                "b_g": "normal(0, 2)",
                "b_g[x]": "normal(0, 3)",
                "Intercept": "normal(0, 4)",
            },
        )
        assert found["b_g[Intercept]"] == "normal(0, 2)"
        assert found["b_g[x]"] == "normal(0, 3)"

    def test_a_class_goes_for_all_its_members(self) -> None:
        found = priors_of("y ~ x + I(x**2) + (1 | g)", priors={"beta": "normal(0, 9)"})
        assert found["beta[x]"] == found["beta[I(x ** 2)]"] == "normal(0, 9)"

    def test_without_pooling_the_populations_priors_go_for_each_group(self) -> None:
        found = priors_of(
            "y ~ x + (1 + x | g)",
            pooling="none",
            priors={"Intercept": "normal(90, 5)", "beta[x]": "normal(1, 2)"},
        )
        assert found["b_g[Intercept]"] == "normal(90, 5)"
        assert found["b_g[x]"] == "normal(1, 2)"

    def test_values_and_texts_are_the_same(self) -> None:
        one = priors_of("y ~ x + (1 | g)", priors={"beta": Prior("normal", (0, 1))})
        assert one == priors_of("y ~ x + (1 | g)", priors={"beta": "normal(0, 1)"})

    def test_one_set_of_priors_serves_every_pooling(self) -> None:
        model = Model(
            "y ~ x + (1 | g)",
            frame(),
            priors={"tau": "exponential(1)", "Intercept": "normal(90, 5)"},
        )
        names = {
            pooling: [row.parameter for row in model.with_(pooling=pooling).priors]
            for pooling in ("complete", "none")
        }
        assert names["complete"] == ["Intercept", "beta[x]", "sigma"]
        assert names["none"] == ["beta[x]", "b_g[Intercept]", "sigma"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("bta", "normal(0, 1)", ["'bta'", "does not have", "mean 'beta'?"]),
            ("beta[xx]", "normal(0, 1)", ["'beta[xx]'", "mean 'beta[x]'?"]),
            ("tau_h", "exponential(1)", ["'tau_h'", "mean 'tau_g'?"]),
            ("Omega_h", "lkj(2)", ["'Omega_h'", "'tau_g[Intercept]'"]),
            ("sd", "normal(0, 1)", ["'sd'", "does not have"]),
            (
                "beta",
                "gamma(1, 1)",
                ["priors['beta']", "are positive and negative", "normal(0, 1)"],
            ),
            (
                "tau",
                "lkj(1)",
                ["priors['tau']", "are positive numbers", "exponential(1)"],
            ),
            ("sigma", "lkj(1)", ["priors['sigma']", "are positive numbers"]),
        ],
    )
    def test_a_prior_that_fits_nothing_is_named(
        self, name: str, text: str, said: list[str]
    ) -> None:
        with pytest.raises(SpecError) as refused:
            Model("y ~ x + (1 | g)", frame(), priors={name: text})
        assert all(part in str(refused.value) for part in said), str(refused.value)

    @pytest.mark.parametrize(
        ("formula", "unused"),
        [
            ("y ~ x + (1 | g)", "'Omega', 'nu' and 'beta[z:x]'"),
            ("y ~ z * x + (1 + x | g)", "'nu'"),
            ("y ~ 1 + (1 + x | g)", "'nu', 'beta[z:x]'"),
        ],
    )
    def test_models_may_share_priors_that_some_do_not_need(
        self, formula: str, unused: str
    ) -> None:
        shared = {
            "tau_g[Intercept]": "normal(0, 2)",
            "Omega": "lkj(3)",
            "nu": "gamma(2, 0.1)",
            "beta[z:x]": "normal(0, 3)",
        }
        data = frame().assign(z=np.arange(len(frame())) % 5)
        with pytest.warns(PriorWarning, match="change nothing here") as said:
            model = Model(formula, data, priors=shared)
        named = str(said[0].message).partition(", which pooling=")[0]
        assert set(re.findall(r"'(.+?)'", named)) == set(re.findall(r"'(.+?)'", unused))
        assert str(model.priors["tau_g[Intercept]"].prior) == "normal(0, 2)"

    def test_a_correlation_needs_lkj(self) -> None:
        with pytest.raises(SpecError, match=r"Use lkj\(2\)"):
            Model("y ~ (1 + x | g)", frame(), priors={"Omega": "normal(0, 1)"})

    def test_positive_parameters_take_half_forms(self) -> None:
        found = priors_of("y ~ x + (1 | g)", priors={"tau": "cauchy(0, 5)"})
        assert found["tau_g[Intercept]"] == "cauchy(0, 5)"

    @pytest.mark.parametrize(
        ("name", "text", "said"),
        [
            ("sigma^2", "gamma(1, 1)", ["a variance", "inv_gamma(shape, scale)"]),
            ("beta^2", "inv_gamma(1, 1)", ["'beta^2'", "does not have"]),
            ("tau", "uniform(-1, 1)", ["begin at -1", "parameter's at 0"]),
            ("tau", "normal(0, 1, lb=-1)", ["begin at -1", "parameter's at 0"]),
            ("tau", "normal(0, 1, ub=-1)", ["no values between 0 and inf"]),
            ("tau", "constant(0)", ["'constant(0)'", "is greater than 0"]),
            ("Omega", "constant(0)", ["single numbers", "correlation matrices"]),
            (
                "beta",
                "half_normal(1)",
                ["of positive numbers", "are positive and negative"],
            ),
            (
                "beta",
                "dirichlet(1)",
                ["vectors of probabilities", "are positive and negative"],
            ),
        ],
    )
    def test_a_prior_that_lives_elsewhere_is_named(
        self, name: str, text: str, said: list[str]
    ) -> None:
        with pytest.raises(SpecError) as refused:
            Model("y ~ x + (1 + x | g)", frame(), priors={name: text})
        assert all(part in str(refused.value) for part in said), str(refused.value)

    @pytest.mark.parametrize("text", ["normal(0, 1, lb=0)", "constant(0.5)"])
    @pytest.mark.parametrize(
        ("family", "name", "said"),
        [
            ("ordinal", "cutpoint", "cutpoints are in order"),
            ("categorical", "beta", "coefficients of categories"),
        ],
    )
    def test_bounds_are_refused_where_they_cannot_be(
        self, text: str, family: str, name: str, said: str
    ) -> None:
        kinds = pd.Categorical(list("abc") * (len(frame()) // 3), ordered=True)
        data = frame().assign(k=kinds)
        with pytest.raises(SpecError, match=said):
            Model("k ~ x", data, family=family, priors={name: text})

    def test_own_coefficients_of_groups_are_no_constants(self) -> None:
        with pytest.raises(SpecError, match="groups without pooling cannot have a"):
            Model("y ~ (1 | g)", frame(), pooling="none", priors={"b": "constant(1)"})

    def test_the_table_says_what_is_cut_off_and_what_is_constant(self) -> None:
        given = {"beta[x]": "constant(0.5)", "tau": "normal(0, 1, lb=0.2)"}
        table = Model("y ~ x + (1 | g)", frame(), priors=given).priors
        row = table["beta[x]"]
        assert (str(row.prior), row.note) == ("constant(0.5)", "not estimated")
        row = table["tau_g[Intercept]"]
        assert (str(row.prior), row.note) == ("normal(0, 1, lb=0.2)", "")

    def test_a_scale_has_one_prior(self) -> None:
        priors = {"sigma": "exponential(1)", "sigma^2": "inv_gamma(1, 1)"}
        with pytest.raises(SpecError, match="Drop one of them"):
            Model("y ~ x + (1 | g)", frame(), priors=priors)

    def test_a_dirichlet_is_on_all_cutpoints(self) -> None:
        data = frame().assign(
            y=pd.Categorical(list("abc") * (len(frame()) // 3), ordered=True)
        )
        with pytest.raises(SpecError, match="on all cutpoints together"):
            Model(
                "y ~ x",
                data,
                family="ordinal",
                pooling="complete",
                priors={"cutpoint[a|b]": "dirichlet(1)"},
            )


class TestImproper:
    def test_a_flat_prior_is_said_loudly(self) -> None:
        with pytest.warns(
            PriorWarning, match=r"flat prior on 'beta\[x\]': it is improper"
        ):
            model = Model("y ~ x + (1 | g)", frame(), priors={"beta": "flat"})
        assert model.priors["beta[x]"].note == "improper"

    def test_a_flat_scale_of_two_groups_has_no_posterior(self) -> None:
        data = frame().assign(g=np.arange(len(frame())) % 2)
        with pytest.warns(PriorWarning, match="With 2 groups of 'g' it does not"):
            Model("y ~ x + (1 | g)", data, priors={"tau": "flat"})

    def test_changing_a_model_says_it_again_to_nobody(self) -> None:
        with pytest.warns(PriorWarning):
            model = Model("y ~ x + (1 | g)", frame(), priors={"beta": "flat"})
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert model.with_(pooling="complete").priors["beta[x]"].note == "improper"


class TestTable:
    def test_says_what_is_in_force_and_why(self) -> None:
        table = Model(
            "y ~ x + (1 + x | g)",
            frame(),
            priors={"tau_g[x]^2": "inv_gamma(2, 3)", "sigma": "cauchy(0, 5)"},
        ).priors
        shown = table.to_frame().set_index("parameter")
        assert shown.loc["tau_g[x]", "prior"] == "sqrt_inv_gamma(2, 3)"
        assert shown.loc["tau_g[x]", "source"] == "set by the user"
        assert shown.loc["sigma", "note"] == "half: cut off below at 0"
        assert shown.loc["Intercept", "note"] == "at the predictors' means"
        assert len(table) == len(shown)
        assert "tau_g[x]" in repr(table)

    def test_at_zero_when_predictors_are_not_centered(self) -> None:
        model = Model("y ~ x + (1 | g)", frame(), center_predictors=False)
        assert model.priors["Intercept"].note == "at predictors of 0"

    def test_an_unknown_parameter_is_named(self) -> None:
        with pytest.raises(KeyError, match="mean 'sigma'"):
            Model("y ~ x + (1 | g)", frame()).priors["sigm"]

    def test_labels_are_text_in_html(self) -> None:
        data = frame().rename(columns={"x": "<script>"})
        html = Model("y ~ `<script>` + (1 | g)", data).priors._repr_html_()
        assert "<script>" not in html
        assert "&lt;script&gt;" in html


class TestFixed:
    def test_a_known_population_is_the_prior_of_each_group(self) -> None:
        fixed = {"Intercept": 90, "tau_g": 5, "beta[x]": 2}
        found = priors_of("y ~ x + (1 + x | g)", pooling="none", fixed=fixed)
        assert found["b_g[Intercept]"] == "normal(90, 5)"
        assert found["b_g[x]"] == "normal(2, 5)"

    def test_other_coefficients_keep_their_priors(self) -> None:
        fixed = {"Intercept": 90, "tau_g[Intercept]": 5}
        model = Model("y ~ x + (1 + x | g)", frame(), pooling="none", fixed=fixed)
        assert model.priors["b_g[Intercept]"].source == "fixed by the user"
        assert model.priors["b_g[x]"].source.startswith("default: ")

    def test_the_learned_population_is_next_to_it(self) -> None:
        fixed = {"Intercept": 90, "tau_g": 5}
        model = Model("y ~ x + (1 | g)", frame(), pooling="none", fixed=fixed)
        names = [row.parameter for row in model.with_(pooling="partial").priors]
        assert "tau_g[Intercept]" in names

    @pytest.mark.parametrize(
        ("fixed", "pooling", "said"),
        [
            ({"Intercept": 1, "tau": 1}, "partial", "goes with pooling='none'"),
            ({"Intercept": 1}, "none", "not 'tau_g[Intercept]'"),
            ({"tau_g": 1}, "none", "not 'Intercept'"),
            ({"Intercept": 1, "tau_g": 1, "tau_h": 1}, "none", "fixed has 'tau_h'"),
            ({"Intercept": 1, "tau_g": -1}, "none", "is positive"),
            ({"Intercept": "a"}, "none", "must be a finite number"),
            (3, "none", "is not a mapping"),
        ],
    )
    def test_what_is_not_a_population_is_said(
        self, fixed: Any, pooling: str, said: str
    ) -> None:
        with pytest.raises(SpecError) as refused:
            Model("y ~ x + (1 | g)", frame(), pooling=pooling, fixed=fixed)
        assert said in str(refused.value)
