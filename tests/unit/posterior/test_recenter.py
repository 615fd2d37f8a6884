"""Where predictors live changes nothing: Stan sees them centered."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import cast

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import proper_models, small_data
from golden.representative import each_model, representative
from simulated_fits import fit_of_prior, without_rotation
from stanpool import exact
from stanpool.data.design.centers import (
    centered_design,
    centering_matrix,
    choose_centers,
)
from stanpool.inference.evaluation.prior_sensitivity import log_prior
from stanpool.inference.prediction.integrated.group_likelihood import (
    group_log_likelihood,
)
from stanpool.inference.prediction.predict import log_lik
from stanpool.inference.prediction.prior_predictive import Drawn, draw_prior
from stanpool.posterior.coefficients import coefficients
from stanpool.posterior.recenter import center_posterior, uncenter_posterior
from stanpool.sampling.initial_values import starting_values

PRODUCTS = (
    ("y ~ x1 * x2", {"pooling": "complete"}),
    ("y ~ x1 * u + (1 + x1 | g)", {"parameterization": "centered"}),
    ("y ~ x1 * u + (1 + x1 || g)", {"parameterization": "marginal"}),
    ("count ~ x1 * x2 + (1 + x1 * x2 | g)", {"family": "poisson"}),
    ("y ~ x1 + x2 * x3 + (1 + x1 | g)", {"pooling": "none"}),
    ("grade ~ x1 + x3 + (1 + x1 | g)", {"family": "ordinal", "pooling": "none"}),
    ("grade ~ x1 * x2 + (1 + x1 || g)", {"family": "ordinal"}),
    ("colour ~ x1 * u + (1 + x1 | g)", {"family": "categorical"}),
    ("y ~ x1 + x2 + (1 + x1 | g) + (0 + x2 | h)", {"parameterization": "centered"}),
    (
        "y ~ x1 * x2 + (1 + x1 | g) + (1 + x2 || h)",
        {"parameterization": "noncentered"},
    ),
    (["y ~ 1 + (1 | g)", "sigma ~ x1 * x2 + (1 + x1 | h)"], {}),
    (
        ["count ~ x1 + (1 | g)", "phi ~ x1 + x2 + (1 + x2 | g)", "zi ~ x1 * x2"],
        {"family": "zero_inflated_negative_binomial"},
    ),
)


def moved_data(model: sp.Model) -> pd.DataFrame:
    """Shift predictors by 1000, but for those whose 0 means something.

    Offsets, slopes without intercepts, and slopes that are uncorrelated with them; and
    predictors of another parameter that has no intercept.
    """
    # Priors of means of values that are not all known are where these are.
    fixed = {*model.spec.offsets, *(each.column for each in model.spec.uncertain)}
    for own in model.design.formulas:
        if not own.intercept:
            fixed.update(*(label.split(":") for label in own.coefficients))
    for factor in (each for own in model.design.predictors for each in own.factors):
        if "Intercept" not in factor.varying or factor.uncorrelated:
            fixed.update(*(label.split(":") for label in factor.varying))
    moved = {
        name: model.data[name] + 1000.0
        for name in ("x1", "x2", "x3", "u")
        if name in model.data and name not in fixed
    }
    return model.data.assign(**moved)


@lru_cache(maxsize=1)
def products() -> dict[str, sp.Model]:
    return {
        f"{formula} {list(options.values())}": sp.Model(
            formula, small_data(), **options
        )
        for formula, options in PRODUCTS
    }


@cache
def choose(model: sp.Model) -> sp.Model | None:
    """Return the model of shifted predictors, if it is the same model."""
    other = sp.Model.from_spec(model.spec, moved_data(model))
    return other if other.design.has_centers else None


def test_most_models_have_predictors_that_are_seen_centered() -> None:
    known = proper_models()
    chosen = [choose(known[name]) for name in representative(known)]
    assert sum(each is not None for each in chosen) >= 0.8 * len(chosen)
    assert None not in map(choose, products().values())


@pytest.mark.parametrize("name", [*products(), *each_model(proper_models())])
def test_a_shift_changes_nothing(name: str) -> None:
    """What Stan sees is the same, and draws of the same numbers predict the same."""
    model = (products() | proper_models())[name]
    shifted = choose(model)
    if shifted is None:  # it has no predictor that Stan sees centered
        return
    assert [str(row.prior) for row in shifted.priors] == [
        str(row.prior) for row in model.priors
    ]
    before, after = (without_rotation(each.stan_data()) for each in (model, shifted))
    assert before.keys() == after.keys()
    for key, value in before.items():
        np.testing.assert_allclose(after[key], value, rtol=1e-7, atol=1e-7, err_msg=key)
    likelihoods = []
    for each in (model, shifted):
        drawn = draw_prior(each, 5, np.random.default_rng(1))
        likelihoods.append(log_lik(cast("sp.Fit", Drawn(each, drawn))).to_numpy())
        again = uncenter_posterior(each, center_posterior(each, drawn))
        for variable in drawn.data_vars:
            np.testing.assert_allclose(
                again[variable], drawn[variable], rtol=1e-6, atol=1e-6
            )
    np.testing.assert_allclose(*likelihoods, rtol=1e-6, atol=1e-6)


def test_coefficients_are_those_of_the_line() -> None:
    """Intercepts at zero are where the lines of the other predictor are at -1000."""
    model = sp.Model("y ~ x1 + (1 + x1 | g)", small_data())
    shifted = choose(model)
    assert shifted is not None
    old, new = (
        draw_prior(each, 500, np.random.default_rng(2)) for each in (model, shifted)
    )
    move = np.array([[1.0, -1000.0], [0.0, 1.0]])
    np.testing.assert_allclose(
        new["Intercept"], old["Intercept"] - 1000 * old["beta"][..., 0]
    )
    np.testing.assert_allclose(new["b_g"], old["b_g"].to_numpy() @ move.T)
    omega, tau = old["Omega_g"].to_numpy(), old["tau_g"].to_numpy()
    covariance = move @ (tau[..., None] * omega * tau[..., None, :]) @ move.T
    found = new["tau_g"].to_numpy()
    np.testing.assert_allclose(
        found[..., None] * new["Omega_g"].to_numpy() * found[..., None, :], covariance
    )


def test_what_is_computed_from_draws_is_the_same() -> None:
    model = sp.Model("y ~ x1 + u + (1 + x1 | g)", small_data())
    shifted = choose(model)
    assert shifted is not None
    old, new = (fit_of_prior(each, chains=2, draws=20) for each in (model, shifted))
    np.testing.assert_allclose(
        group_log_likelihood(new), group_log_likelihood(old), rtol=1e-6
    )
    np.testing.assert_allclose(log_prior(new), log_prior(old), rtol=1e-6)
    for there, here in zip(
        starting_values(new) or [], starting_values(old) or [], strict=True
    ):
        assert there.keys() == here.keys()
        for name in here:
            np.testing.assert_allclose(there[name], here[name], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(new.icc()["mean"], old.icc()["mean"], rtol=1e-6)


UNCORRELATED = "y ~ x1 * u + (1 + x1 || g) + (1 + x1 | h)"


@pytest.mark.parametrize("parameterization", ["adaptive", "marginal", "noncentered"])
def test_two_bars_mean_uncorrelated_where_predictors_are_0(
    parameterization: str,
) -> None:
    """Whatever the center, which is that of the population and of other factors."""
    data = small_data().assign(x1=small_data()["x1"] + 1000.0)
    model = sp.Model(UNCORRELATED, data, parameterization=parameterization)
    assert dict(model.design.centers) == {"x1": 1000.0}
    told, (own, other) = model.stan_data(), centered_design(model.design).factors
    np.testing.assert_array_equal(own.Z[:, 1], data["x1"])
    np.testing.assert_allclose(other.Z[:, 1], data["x1"] - 1000.0)
    if parameterization != "marginal":
        np.testing.assert_array_equal(told["Z"], own.Z)
    # Where predictors are 0, draws of the prior are independent and of these scales.
    drawn = draw_prior(model, 4000, np.random.default_rng(1))
    assert "Omega_g" not in drawn
    assert "Omega_h" in drawn
    found = coefficients(model, drawn).factors[0].deviations(slice(None))[:, :, 0]
    z = (found / drawn["tau_g"].to_numpy()[0, :, None]).reshape(-1, 2)
    assert abs(np.corrcoef(z.T)[0, 1]) < 4 / np.sqrt(len(z))
    np.testing.assert_allclose(z.std(axis=0), 1.0, atol=4 / np.sqrt(2 * len(z)))
    assert model.priors["tau_g[Intercept]"].note == "at predictors of 0"


def test_whoever_wants_another_center_writes_it() -> None:
    """The same model as with a predictor that is near 0 already."""
    near = small_data().assign(x1=small_data()["x1"] - small_data()["x1"].mean())
    far = near.assign(x1=near["x1"] + 1000.0)
    models = [
        sp.Model("y ~ x1 + (1 + x1 || g)", near),
        sp.Model("y ~ center(x1) + (1 + center(x1) || g)", far),
    ]
    one, two = (without_rotation(model.stan_data()) for model in models)
    assert one.keys() == two.keys()
    for key, value in one.items():
        np.testing.assert_allclose(two[key], value, rtol=1e-7, atol=1e-7, err_msg=key)


def test_default_scales_at_0_are_of_what_slopes_do_from_there() -> None:
    """Or the prior would have lines a thousand times as far apart as outcomes are."""
    data = small_data().assign(x1=small_data()["x1"] + 1000.0)
    model = sp.Model(UNCORRELATED, data)
    size = np.sqrt(np.mean(np.square(data["x1"])))
    row = model.priors["tau_g[x1]"]
    assert row.prior.arguments[0] == pytest.approx(size / data["y"].std(), rel=1e-2)
    assert row.source.startswith("default: mean sd(y) / rms(z)")
    assert model.priors["tau_g[Intercept]"].prior.arguments[0] == pytest.approx(
        1 / data["y"].std(), rel=1e-2
    )
    assert model.priors["tau_h[x1]"].prior.arguments[0] == pytest.approx(
        data["x1"].std() / data["y"].std(), rel=1e-2
    )
    indicator = sp.Model("y ~ 1 + (1 + C(h) || g)", data)
    assert not indicator.design.centers


def test_effects_of_uncorrelated_deviations_are_the_same_at_the_centers() -> None:
    """What is computed there has the deviations and the scales of where they are."""
    data = small_data().assign(x1=small_data()["x1"] + 1000.0)
    fit = fit_of_prior(sp.Model("y ~ x1 + (1 + x1 || g)", data), chains=2, draws=50)
    table = fit.varcorr()
    assert list(table.index) == [
        ("g", "sd(Intercept)"),
        ("g", "sd(x1)"),
        ("residual", "sigma"),
    ]
    assert fit.varcorr(at="center").equals(table)
    assert fit.varcorr(at="origins").equals(table)  # the former word
    tau = fit.posterior["tau_g"].to_numpy().reshape(-1, 2)
    between = np.square(tau) @ [1.0, np.mean(np.square(data["x1"]))]
    sigma = fit.posterior["sigma"].to_numpy().ravel()
    share = between / (between + sigma**2)
    assert fit.icc().loc["g", "mean"] == pytest.approx(share.mean(), rel=1e-9)


def test_new_groups_are_conditioned_alike() -> None:
    priors = {"Intercept": "normal(2, 1)", "beta": "normal(0, 0.3)"}
    priors |= {"sigma": "lognormal(1, 0.2)", "tau": "exponential(2)"}
    model = sp.Model("y ~ x1 + u + (1 + x1 | g)", small_data(), priors=priors)
    shifted = choose(model)
    assert shifted is not None
    rows = pd.DataFrame({"x1": [0.5, 2.0, 1.0], "u": [1.0] * 3, "g": ["a", "z", "z"]})
    found = []
    for each, shift in ((model, 0.0), (shifted, 1000.0)):
        fit = fit_of_prior(each, chains=2, draws=1000)
        there = rows.assign(x1=rows["x1"] + shift, u=rows["u"] + shift)
        given = there[1:].assign(y=[1.0, 2.0])
        drawn = fit.linpred(there, given=given, new_groups="population", seed=1)
        found.append(drawn.to_numpy().reshape(2000, 3))
        spread = fit.linpred(there, new_groups="population", seed=2)
        found.append(spread.to_numpy().reshape(2000, 3))
    # A known group has the same draws; a new one as many of the same distribution.
    for before, after in zip(found[:2], found[2:], strict=True):
        np.testing.assert_allclose(after[:, 0], before[:, 0], rtol=1e-6, atol=1e-6)
        gap = after.mean(axis=0) - before.mean(axis=0)
        error = np.hypot(after.std(0), before.std(0)) / np.sqrt(2000)
        assert np.all(np.abs(gap) < 4 * error + 1e-6)


def test_the_gibbs_sampler_draws_the_same_lines() -> None:
    model = sp.Model("y ~ x1 * u + (1 | g)", small_data())
    shifted = choose(model)
    assert shifted is not None
    lines = []
    for each in (model, shifted):
        rng = np.random.default_rng(1)
        drawn = exact.gibbs(each, rng, chains=1, draws=20, warmup=5)
        predictors = cast("sp.Fit", Drawn(each, drawn.posterior))
        lines.append(log_lik(predictors).to_numpy())
    np.testing.assert_allclose(*lines, rtol=1e-5, atol=1e-5)


def test_rows_taken_keep_the_center() -> None:
    data = small_data().assign(x1=small_data()["x1"] + 1000.0)
    model = sp.Model("y ~ x1 + (1 + x1 | g)", data)
    high = model.take(np.argsort(data["x1"].to_numpy())[-5:])
    assert high.design.centers == model.design.centers == (("x1", 1000.0),)


@pytest.mark.parametrize(
    ("values", "center"),
    [
        (np.arange(10.0), 0.0),  # days since a start
        (np.arange(10.0) + 1000, 1000.0),
        (np.arange(1990.0, 2021.0), 2000.0),
        (np.repeat([0.0, 1.0], [1, 99]), 0.0),  # an indicator, however lopsided
        (np.repeat([1000.0, 1001.0], 50), 1000.0),
        (np.linspace(0.01, 1.0, 99), 0.0),  # shares
        (np.linspace(18.0, 80.0, 99), 0.0),  # ages
        (np.linspace(160.0, 190.0, 99), 150.0),  # heights
        (np.full(3, 7.0), 0.0),
        (np.linspace(-0.0015, 0.0015, 99) + 1, 1.0),
    ],
)
def test_centers_are_round_and_near(values: np.ndarray, center: float) -> None:
    assert dict(choose_centers([("x", values)])).get("x", 0.0) == center
    scaled = dict(choose_centers([("x", 1e3 * values)])).get("x", 0.0)
    assert scaled == pytest.approx(1e3 * center)
    assert abs(values.mean() - center) <= 4.001 * values.std() or center == 0.0


def test_products_expand() -> None:
    labels = ["Intercept", "x", "w", "x:w", "x:v"]
    centers = {"x": 3.0, "w": 5.0}
    x, w, v = np.random.default_rng(3).normal(size=(3, 7))
    raw = np.column_stack([np.ones(7), x, w, x * w, x * v])
    moved = raw @ centering_matrix(labels, centers)
    # There is no v for x:v to give its own to.
    wanted = [np.ones(7), x - 3, w - 5, (x - 3) * (w - 5), x * v]
    np.testing.assert_allclose(moved, np.column_stack(wanted))


def test_the_center_is_said() -> None:
    data = small_data().assign(x1=small_data()["x1"] + 1000.0)
    model = sp.Model("y ~ x1 + x2 + (1 + x1 || g)", data)
    assert model.priors["tau_g[Intercept]"].note == "at predictors of 0"
    assert model.priors["tau_g[x1]"].note == ""
    assert "'x1' = 1000" in model.explain()
    assert "of 'g' are uncorrelated where predictors are 0" in model.explain()
    codes = [
        sp.Model(
            f"y ~ x1 + x2 + (1 + x1 {bar} g)", data, parameterization="centered"
        ).stan_code
        for bar in ("|", "||")
    ]
    assert all('// column 1 of X is "x1" - 1000' in code for code in codes)
    assert '// column 2 of Z is "x1" - 1000\n' in codes[0]
    assert '// column 2 of Z is "x1"\n' in codes[1]
    correlated = sp.Model("y ~ x1 + x2 + (1 + x1 | g)", data)
    assert correlated.priors["tau_g[Intercept]"].note == ("at 'x1' = 1000")
    zero = sp.Model("y ~ x1 + (1 + x1 | g)", data, center_predictors=False)
    assert zero.design.centers == ()
    assert zero.priors["Omega_g"].note == "at predictors of 0"
