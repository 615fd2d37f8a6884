"""Residuals that are correlated within subjects: what a model states and refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from simulated_fits import fit_of_draws
from stanpool.inference.prediction.conditional.residuals import (
    given_earlier,
    given_others,
)
from stanpool.language.formulas.formula_text import formula_of, spec_of

AR1 = "y | residual(ar1(t | s)) ~ x"


def data() -> pd.DataFrame:
    """Five visits of each of six subjects, of which some are missed."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=30),
            "x": rng.normal(size=30),
            "s": np.repeat(list("fedcba"), 5),
            "t": np.tile([0.0, 1.0, 3.0, 4.0, 9.0], 6),
        }
    )
    return frame.drop([1, 7, 13, 14]).reset_index(drop=True)


@pytest.mark.parametrize(
    "part", ["ar1(t | s)", "cs(s)", "cs(t | s)", "ar1(t | `a b`:s)"]
)
def test_formulas_are_written_as_they_are_read(part: str) -> None:
    text = f"y | residual({part}) ~ 1 + x"
    assert formula_of(spec_of(text, residual=None, functions=None)) == text


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("formula", [AR1, "y | residual(cs(t | s)) ~ x + (0 + x | s)"])
def test_the_order_of_rows_changes_nothing(seed: int, formula: str) -> None:
    whole = sp.Model(formula, data(), parameterization="noncentered").stan_data()
    mixed = data().sample(frac=1.0, random_state=seed)
    other = sp.Model(formula, mixed, parameterization="noncentered").stan_data()
    assert whole.keys() == other.keys()
    for name, values in whole.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-12, err_msg=name)


def test_programs_have_the_rows_of_a_subject_together_in_the_order_of_time() -> None:
    told = sp.Model(AR1, data()).stan_data()
    expected = data().sort_values(["s", "t"])
    assert told["y"].tolist() == expected["y"].tolist()
    assert told["residual_place"].tolist()[:5] == [0, 1, 2, 3, 4]
    assert told["residual_gap"].tolist()[:5] == [0.0, 1.0, 2.0, 1.0, 5.0]


class TestPriors:
    def test_a_common_correlation_may_be_negative_up_to_the_number_of_rows(
        self,
    ) -> None:
        row = sp.Model("y | residual(cs(s)) ~ x", data()).priors["residual_rho"]
        assert row.prior == sp.Prior("uniform", (-1 / 4, 1.0))

    def test_that_of_an_autoregression_is_between_both_ends(self) -> None:
        row = sp.Model(AR1, data()).priors["residual_rho"]
        assert row.prior == sp.Prior("uniform", (-1.0, 1.0))

    @pytest.mark.parametrize(
        ("given", "found"),
        [
            ("uniform(-1, 0.5)", "uniform(-0.25, 0.5)"),
            ("normal(0, 0.5)", "normal(0, 0.5, lb=-0.25, ub=1)"),
            ("beta(2, 2)", "beta(2, 2)"),
            ("constant(0.3)", "constant(0.3)"),
        ],
    )
    def test_other_priors_end_where_correlations_do(
        self, given: str, found: str
    ) -> None:
        model = sp.Model(
            "y | residual(cs(s)) ~ x", data(), priors={"residual_rho": given}
        )
        assert str(model.priors["residual_rho"].prior) == found

    def test_a_constant_that_is_no_correlation_is_refused(self) -> None:
        with pytest.raises(sp.SpecError, match=r"5 rows of a subject cannot be"):
            sp.Model(
                "y | residual(cs(s)) ~ x",
                data(),
                priors={"residual_rho": "constant(-0.5)"},
            )


@pytest.mark.parametrize(
    ("formula", "options", "message"),
    [
        ("y | residual(ar(t | s)) ~ x", {}, "Did you mean 'ar1'"),
        ("y | residual(ar1(t)) ~ x", {}, "takes a column of times and one of subjects"),
        (
            "y | residual(ar1(t | s)) ~ x",
            {"family": "skew_normal"},
            "and not for family",
        ),
        ("y | residual(cs(s)) ~ x", {"link": "log"}, "with the link 'identity'"),
        ("y | residual(cs(s)) + weights(w) ~ x", {}, "weights='w' of single rows"),
        ("y | residual(cs(s)) + se(w) ~ x", {}, "se='w' of single rows"),
        ("y | residual(cs(s)) ~ x + (1 | s)", {}, "say the same"),
        ("y | residual(ar1(t | s)) ~ x + (1 | s)", {"pooling": "none"}, "forbids"),
        ("y | residual(cs(s)) + residual(cs(s)) ~ x", {}, "given twice"),
    ],
)
def test_what_does_not_go_together_is_refused(
    formula: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(sp.SpecError, match=message):
        sp.Model(formula, data().assign(w=1.0), **options)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"t": 1.0}, r"has two rows at 't' 1 \(rows 21 and 22"),
        ({"t": np.arange(26) + 0.5}, "'t' has 0.5"),
        ({"t": ["early"] * 26}, "are numbers, and the values of 't' are 'early'"),
        ({"s": [f"s{n}" for n in range(26)]}, "each 's' has a single row"),
        ({"t": [np.nan, *range(25)]}, "missing"),
    ],
)
def test_data_that_cannot_serve_are_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(sp.DataError, match=message):
        sp.Model(AR1, data().assign(**change))


def test_a_single_row_of_some_subjects_is_like_any_first_row() -> None:
    frame = data().iloc[[0, 4, 5, 6, 7]]
    model = sp.Model("y | residual(ar1(t | s)) ~ 1", frame)
    assert model.design.residual_correlation is not None
    assert model.design.residual_correlation.sizes.tolist() == [4, 1]
    alone = sp.Model("y | residual(ar1(t | s)) ~ 1", frame.iloc[:3])
    assert alone.stan_data()["residual_place"].tolist() == [0, 1, 0]


R = np.array([[1.0, 0.5, 0.3], [0.5, 1.0, -0.2], [0.3, -0.2, 1.0]])
AT = np.array([0.7, -1.2, 0.4])


def test_densities_given_earlier_residuals_multiply_to_the_joint_one() -> None:
    found = given_earlier(R, AT)
    normal = stats.norm(found.mean, found.sd).logpdf(AT).sum()
    assert normal == pytest.approx(stats.multivariate_normal(cov=R).logpdf(AT))
    student = stats.t(4.0 + found.count, found.mean, found.scale(4.0))
    joint = stats.multivariate_t(shape=R, df=4.0).logpdf(AT)
    assert student.logpdf(AT).sum() == pytest.approx(joint)


def test_densities_given_all_others_are_quotients_of_joint_ones() -> None:
    found = given_others(R, AT)
    student = stats.t(4.0 + found.count, found.mean, found.scale(4.0)).logpdf(AT)
    whole = stats.multivariate_t(shape=R, df=4.0).logpdf(AT)
    for out in range(3):
        rest = np.delete(np.arange(3), out)
        others = stats.multivariate_t(shape=R[np.ix_(rest, rest)], df=4.0)
        assert student[out] == pytest.approx(whole - others.logpdf(AT[rest]))


def drawn_fit(model: sp.Model, rho: float) -> sp.Fit:
    """Return a fit with some draws, of which all have the same correlation."""
    rng, shape = np.random.default_rng(2), (2, 20)
    return fit_of_draws(
        model,
        {
            "alpha": rng.normal(size=shape),
            "beta": rng.normal(size=(*shape, 1)),
            "sigma": rng.lognormal(size=shape),
            "residual_rho": np.full(shape, rho),
        },
    )


class TestPredictions:
    @pytest.fixture
    def fit(self) -> sp.Fit:
        return drawn_fit(sp.Model(AR1, data()), 0.5)

    def test_rows_of_the_fit_are_replicated_in_any_order(self, fit: sp.Fit) -> None:
        drawn = fit.predict(seed=3).to_numpy()
        order = np.random.default_rng(1).permutation(26)
        mixed = fit.predict(data().iloc[order], seed=3).to_numpy()
        np.testing.assert_allclose(mixed, drawn[..., order])

    def test_a_later_time_is_the_same_whatever_follows(self, fit: sp.Fit) -> None:
        rows = pd.DataFrame({"x": 0.0, "s": ["a", "a"], "t": [10, 12]})
        both = fit.predict(rows, seed=3).to_numpy()
        np.testing.assert_allclose(both[..., :1], fit.predict(rows[:1], seed=3))

    def test_new_subjects_need_no_option(self, fit: sp.Fit) -> None:
        rows = {"x": [0.0, 0.0], "s": ["new", "new"], "t": [1, 2]}
        assert fit.predict(rows, seed=1).sizes["row"] == 2

    def test_rows_of_the_population_need_no_subject(self, fit: sp.Fit) -> None:
        assert fit.predict({"x": [0.0]}, group_terms=[]).sizes["row"] == 1

    def test_conditioning_on_rows_is_refused(self, fit: sp.Fit) -> None:
        rows = {"x": [0.0], "s": ["new"], "t": [1.0], "y": [1.0]}
        with pytest.raises(sp.SpecError, match="given cannot be used with residual"):
            fit.predict(rows, given=rows)

    def test_more_rows_than_can_be_so_negatively_correlated_are_refused(self) -> None:
        model = sp.Model(
            "y | residual(cs(s)) ~ x", data(), priors={"residual_rho": "constant(-0.2)"}
        )
        fit = drawn_fit(model, -0.2)
        rows = {"x": [0.0] * 3, "s": ["a"] * 3}
        with pytest.raises(sp.DataError, match="'a' has 8 rows, those of the fit and"):
            fit.predict(rows)
