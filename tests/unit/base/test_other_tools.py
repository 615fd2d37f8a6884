"""Words of other tools are answered with what to write here."""

from __future__ import annotations

import inspect
import warnings

import pytest

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import simulated_fit
from stanpool.base import other_tools
from stanpool.language.family import FAMILIES
from stanpool.language.prior import DISTRIBUTIONS


def refusal(kind, call, *arguments, **options) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    return " ".join(str(caught.value).split())


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("negbinomial", "negative_binomial"),
        ("negbinom", "negative_binomial"),
        ("nb", "negative_binomial"),
        ("cumulative", "ordinal"),
        ("ordered", "ordinal"),
        ("sequential", "sratio"),
        ("cratio", "sratio"),
        ("adjacent", "acat"),
        ("normal", "gaussian"),
        ("Gaussian", "gaussian"),
        ("binary", "bernoulli"),
        ("multinomial", "categorical"),
        ("Gamma", "gamma"),
        ("Gamma(link='log')", "gamma"),
        ("ZIP", "zero_inflated_poisson"),
        ("hurdle_negbinomial", "hurdle_negative_binomial"),
        ("ziGamma", "hurdle_gamma"),
        ("vonmises", "von_mises"),
        ("zoib", "zero_one_inflated_beta"),
        ("t", "student_t"),
        ("wald", "inverse_gaussian"),
        ("betabinomial", "beta_binomial"),
        ("truncated_poisson", "poisson', and 'y | trunc(1) ~ ..."),
        ("survreg", "weibull', and 'time | cens(1 - event) ~ ..."),
        ("coxph", "poisson"),
    ],
)
def test_families(given, ours):
    said = refusal(sp.SpecError, sp.Model, "y ~ x1", small_data(), family=given)
    assert f"Write family='{ours}'" in said


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("Normal(0, 1)", "normal(location, scale)"),
        ("HalfNormal(1)", "half_normal(scale)"),
        ("InverseGamma(1, 1)", "inv_gamma(shape, scale)"),
        ("lkj_corr_cholesky(2)", "lkj(shape)"),
        ("decov(1)", "exponential(1) on tau and lkj(2) on Omega"),
    ],
)
def test_distributions(given, ours):
    assert f"Write {ours}" in refusal(sp.SpecError, sp.Prior.parse, given)


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("x1", "Write 'beta[x1]'"),
        ("sd", "Write 'tau', or 'tau_g[Intercept]' for one of them"),
        ("1|g", "Write 'tau_g[Intercept]'"),
        ("x1|g", "Write 'tau_g[x1]'"),
        ("sd_g__Intercept", "Write 'tau_g[Intercept]'"),
        ("cor", "Write 'Omega', or 'Omega_g' for one of them"),
        ("(Intercept)", "Write 'Intercept'"),
        ("aux", "Write 'sigma'"),
    ],
)
def test_priors(given, ours):
    priors = {given: "normal(0, 1)"}
    model = "y ~ x1 + (1 + x1 | g)", small_data()
    assert ours in refusal(sp.SpecError, sp.Model, *model, priors=priors)


@pytest.mark.parametrize(
    ("given", "ours"),
    [("b", r"Write 'beta', or 'beta\[x1\]'"), ("b_x1", r"Write 'beta\[x1\]'")],
)
def test_the_class_b_of_brms_is_told_where_it_changes_nothing(given, ours):
    with pytest.warns(sp.PriorWarning, match=ours):
        sp.Model("y ~ x1 + (1 | g)", small_data(), priors={given: "normal(0, 1)"})


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("iter", "write draws=, of each chain after warm-up"),
        ("samples", "write draws="),
        ("tune", "write warmup="),
        ("cores", "write parallel_chains="),
        ("target_accept", "write adapt_delta="),
        ("random_seed", "write seed="),
        ("control", "adapt_delta=0.95"),
        ("prior", "sp.Model(..., priors=...)"),
    ],
)
def test_arguments_of_fitting(given, ours):
    model = sp.Model("y ~ x1", small_data(), pooling="complete")
    said = refusal(sp.ArgumentError, model.fit, **{given: 1})
    assert said.startswith(f"fit() has no argument '{given}'")
    assert ours in said


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("trials", "y | trials(n) ~ x"),
        ("offset", "y ~ x + offset(z)"),
        ("groups", "y ~ x + (1 | g)"),
        ("iter", "model.fit(draws=...)"),
        ("chains", "model.fit(chains=...)"),
        ("prior", "write priors="),
        ("noncentered", "write parameterization="),
        ("poling", "Did you mean 'pooling'?"),
    ],
)
def test_arguments_of_a_model(given, ours):
    said = refusal(sp.ArgumentError, sp.Model, "y ~ x1", small_data(), **{given: 1})
    assert ours in said


def test_a_wrong_call_is_a_type_error_too_and_help_is_as_it_was():
    assert issubclass(sp.ArgumentError, TypeError)
    assert list(inspect.signature(sp.loo).parameters)[:3] == ["fit", "unit", "factor"]
    assert "family" in inspect.signature(sp.Model).parameters
    assert "missing a required argument: 'data'" in refusal(
        TypeError, sp.Model, "y ~ x1"
    )


def test_words_for_ours_are_ours():
    fit = set(inspect.signature(sp.Model.fit).parameters)
    model = set(inspect.signature(sp.Model).parameters)
    assert set(other_tools._OF_FITTING) == fit - {"self"}
    assert set(other_tools._OF_THE_MODEL) == model
    for advice in other_tools._FAMILIES:
        assert advice.split("'")[1] in FAMILIES
    usages = {each.usage for each in DISTRIBUTIONS.values()}
    assert len(set(other_tools._DISTRIBUTIONS) - usages) == 2  # the two with numbers


@pytest.mark.parametrize("pairs", ["abc", ["AB"], [("A",)], [], 5, [("A", "B"), None]])
def test_a_text_is_no_list_of_pairs(pairs):
    said = refusal(sp.SpecError, simulated_fit(draws=20).contrasts, pairs)
    assert said.startswith("pairs=")


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        ("summary", "var_names"),
        ("draws", "var_names"),
        ("predict", "group_terms"),
        ("epred", "group_terms"),
        ("bayes_R2", "group_terms"),
    ],
)
def test_a_text_is_no_list_of_letters(verb, option):
    call = getattr(simulated_fit(draws=20), verb)
    said = refusal(sp.SpecError, call, **{option: "sigma"})
    assert said == f"{option}='sigma' is a single string; write a list, ['sigma']."


def test_numbers_of_numpy_are_numbers():
    import numpy as np

    fit = simulated_fit(draws=20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = fit.predict_table(
            draws=np.int64(20), seed=np.uint32(1), prob=np.float64(0.5)
        )
    assert table.equals(fit.predict_table(draws=20, seed=1, prob=0.5))
