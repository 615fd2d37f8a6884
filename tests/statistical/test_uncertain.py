"""Predictors with errors or missing values: exact posteriors, recovery, new rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from golden.catalogue import models
from simulated_fits import fit_of_points


def simulated(rows: int, seed: int) -> pd.DataFrame:
    """Simulate a predictor with errors, one with missing values, and groups."""
    rng = np.random.default_rng(seed)
    z, g = rng.normal(size=rows), rng.integers(0, 10, rows)
    xi, w = rng.normal(20, 3, rows), rng.normal(2 + z, 1)
    sd = rng.uniform(1, 5, rows)
    b = rng.normal(0, 1, 10)[g]
    y = 3 + 0.8 * xi + 1.5 * w - 0.5 * z + b + rng.normal(0, 1, rows)
    # Values are missing where z is large, so that rows without are not like others.
    lost = np.where(rng.random(rows) < stats.norm.cdf(z - 0.5), np.nan, w)
    data = {"y": y, "x": rng.normal(xi, sd), "sd": sd, "w": lost, "z": z}
    truth = {"xi": xi, "whole": w, "one": 1.0}
    return pd.DataFrame({**data, **truth, "g": g.astype(str)})


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    """Return a fit whose unknown values are integrated out."""
    formulas = ["y ~ me(x, sd) + mi(w) + z + (1 | g)", "mi(w) ~ z"]
    return sp.Model(formulas, simulated(250, 3)).fit(seed=1)


def close(table: pd.DataFrame, name: str, wanted: float, sds: float) -> bool:
    """Say whether a posterior mean is within posterior standard deviations."""
    row = table.loc[name]
    return bool(abs(row["mean"] - wanted) < sds * row["sd"])


def test_posteriors_are_exact_ones() -> None:
    """With all but the slope known, its posterior is a grid's, and values' are too."""
    x, sd = np.array([1.0, 2.5, 4.0, np.nan]), np.array([0.5, 1.0, 0.0, 2.0])
    x[3], y = 3.0, np.array([0.5, 2.0, 4.5, 2.5])
    model = sp.Model(
        "y ~ me(x, sd)",
        {"x": x, "sd": sd, "y": y},
        priors={
            "Intercept": "constant(2)",
            "sigma": "constant(0.8)",
            "mean_x": "constant(2.2)",
            "sd_x": "constant(1.3)",
            "beta": "normal(0.5, 1)",
        },
    )
    fit = model.fit(seed=3, draws=2000)
    b = np.linspace(-3, 4, 4001)[:, None]
    log, values = stats.norm.logpdf(b[:, 0], 0.5, 1), []
    for at, error, outcome in zip(x, sd, y, strict=True):
        # The value, what was observed, and the outcome are jointly normal.
        v, mean_y = 1.3**2, 2 + b[:, 0] * (2.2 - x.mean())
        seen = v + error**2
        mean, var = 2.2 + v / seen * (at - 2.2), v * (1 - v / seen)
        mean_y = 2 + b[:, 0] * (mean - x.mean())
        var_y = 0.8**2 + b[:, 0] ** 2 * var
        log += stats.norm.logpdf(outcome, mean_y, np.sqrt(var_y))
        gain = b[:, 0] * var / var_y
        values.append((mean + gain * (outcome - mean_y), var - gain * b[:, 0] * var))
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    table = fit.summary()
    wanted = {"beta[me(x, sd)]": (b[:, 0], 0.0 * b[:, 0])}
    wanted |= {f"true_x[{row}]": values[row] for row in (0, 1, 3)}
    for name, (means, variances) in wanted.items():
        mean = weight @ means
        spread = np.sqrt(weight @ (variances + (means - mean) ** 2))
        assert abs(table.loc[name, "mean"] - mean) < 4.5 * table.loc[name, "mcse_mean"]
        assert table.loc[name, "sd"] == pytest.approx(spread, rel=0.08)
    assert "true_x[2]" not in table.index  # it has no error


def test_slopes_are_those_of_true_values(fit: sp.Fit) -> None:
    """What was observed has a slope that is less steep, and complete rows another."""
    assert fit.diagnose().verdict.endswith("no problem found.")
    table = fit.summary(groups=False)
    truth = {
        "beta[me(x, sd)]": 0.8,
        "beta[mi(w)]": 1.5,
        "beta[z]": -0.5,
        "mean_x[me(x, sd)]": 20.0,
        "sd_x[me(x, sd)]": 3.0,
        "sd_x[mi(w)]": 1.0,
        "beta_x[mi(w), z]": 1.0,
        "sigma": 1.0,
    }
    for name, wanted in truth.items():
        assert close(table, name, wanted, 3.5), name
    data = fit.model.data.assign(**simulated(250, 3)[["xi", "whole"]])
    naive = np.polyfit(data["x"], data["y"], 1)[0]
    assert naive < 0.8 - 5 * table.loc["beta[me(x, sd)]", "sd"]
    drawn = fit.posterior["true_x"].mean(("chain", "draw")).to_numpy()
    errors = [np.mean((each - data["xi"]) ** 2) for each in (drawn, data["x"])]
    assert errors[0] < 0.5 * errors[1]
    missing = fit.posterior["missing_w"]
    lost = missing["w_row"].to_numpy()
    assert list(lost) == list(np.flatnonzero(data["w"].isna()))
    left = data["whole"].to_numpy()[lost] - missing.mean(("chain", "draw")).to_numpy()
    spreads = missing.std(("chain", "draw")).to_numpy()
    assert 0.75 < np.std(left / spreads) < 1.25


def test_values_that_are_sampled_have_the_same_posterior() -> None:
    """With weights of 1 the same model samples them, and its draws agree."""
    data = simulated(60, 5)
    formulas = ["y ~ me(x, sd) + mi(w)", "mi(w) ~ z"]
    sampled = ["y | weights(one) ~ me(x, sd) + mi(w)", "mi(w) ~ z"]
    one, other = (
        sp.Model(each, data).fit(seed=4, warmup=500) for each in (formulas, sampled)
    )
    assert "z_x" in other.program.source
    assert "z_x" not in one.program.source
    a, b = one.summary(), other.summary()
    shared = a.index.intersection(b.index)
    assert len(shared) == len(a) == len(b)
    error = np.hypot(a.loc[shared, "mcse_mean"], b.loc[shared, "mcse_mean"])
    z = (a.loc[shared, "mean"] - b.loc[shared, "mean"]) / error
    assert np.abs(z).max() < 4.5
    assert np.allclose(a.loc[shared, "sd"], b.loc[shared, "sd"], rtol=0.2)
    # Likelihoods of rows are averaged over values in both, by other ways.
    loos = one.loo().elpd, other.loo().elpd
    assert loos[0] == pytest.approx(loos[1], abs=1.0)


# Posterior means, standard deviations and bulk effective sizes of brms 2.18.0:
# y ~ me(x, sd) + z + (1 | g), and bf(y ~ mi(w) + z + (1 | g)) + bf(w | mi() ~ z).
BRMS: dict[str, dict[str, tuple[float, float, int]]] = {
    "me": {
        "beta[me(x, sd)]": (0.8731, 0.1263, 4100),
        "beta[z]": (0.5911, 0.1414, 8054),
        "Intercept": (1.4463, 0.4402, 3463),
        "tau_g[Intercept]": (0.9790, 0.3019, 2435),
        "sigma": (1.3667, 0.1092, 3505),
    },
    "mi": {
        "beta[mi(w)]": (1.30, 0.15, 3458),
        "beta[z]": (-0.47, 0.19, 3963),
        "Intercept": (2.06, 0.39, 1576),
        "tau_g[Intercept]": (1.04, 0.30, 2001),
        "beta_x[mi(w), z]": (0.84, 0.09, 5422),
        "sd_x[mi(w)]": (0.85, 0.06, 5589),
        "sigma": (1.39, 0.09, 5105),
        "missing_w[1]": (1.0754, 0.6742, 5000),
        "missing_w[6]": (0.3695, 0.6798, 5000),
    },
}


@pytest.mark.parametrize("kind", BRMS)
def test_posteriors_are_those_of_brms(kind: str) -> None:
    rng, n = np.random.default_rng(7), 150
    z, g, xi = rng.normal(size=n), rng.integers(0, 10, n), rng.normal(2, 1.5, n)
    sd, w = rng.uniform(0.4, 1.5, n), 1 + 0.7 * z + rng.normal(0, 1, n)
    y = 1 + 0.8 * xi + 1.2 * w - 0.4 * z + rng.normal(0, 1, 10)[g]
    data = {"y": y + rng.normal(0, 1, n), "x": rng.normal(xi, sd), "sd": sd, "z": z}
    data |= {"g": g.astype(str), "w": np.where(rng.random(n) < 0.3, np.nan, w)}
    priors = {
        "Intercept": "normal(2, 5)",
        "beta": "normal(0, 2)",
        "tau": "exponential(1)",
        "sigma": "exponential(1)",
    }
    if kind == "me":
        own = {"mean_x": "normal(2, 5)", "sd_x": "exponential(0.5)"}
        model = sp.Model("y ~ me(x, sd) + z + (1 | g)", data, priors=priors | own)
    else:
        own = {"mean_x": "normal(1, 5)", "sd_x": "exponential(1)"}
        own["beta_x"] = "normal(0, 2)"
        formulas = ["y ~ mi(w) + z + (1 | g)", "mi(w) ~ z"]
        model = sp.Model(formulas, data, priors=priors | own)
    table = model.fit(seed=1).summary()
    for name, (mean, spread, size) in BRMS[kind].items():
        row = table.loc[name]
        error = np.hypot(row["mcse_mean"], spread / np.sqrt(size))
        rounding = 0.005 if round(mean, 2) == mean else 0.0
        assert abs(row["mean"] - mean) < 4 * error + rounding, name
        assert row["sd"] == pytest.approx(spread, rel=0.1, abs=rounding), name


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_rows_are_left_out_with_their_values(family: str) -> None:
    """One of the refits has no unknown value, as the only row with one is left out."""
    data = simulated(40, 8)
    gap = np.arange(40) == 7
    data = data.assign(w=data["whole"].mask(gap), k=(data["y"] > 25) * 1)
    outcome = {"gaussian": "y", "bernoulli": "k"}[family]
    fit = sp.Model(f"{outcome} ~ mi(w)", data, family=family).fit(seed=1, draws=300)
    found = fit.kfold(folds=4, seed=1, progress=False)
    assert found.elpd == pytest.approx(fit.loo().elpd, abs=1.5)


def test_new_rows_have_values_of_their_own() -> None:
    """Exactly known ones, those given what is observed, and those from nothing."""
    model = models()["partial_pooling_gaussian_noncentered_uncertain_means"]
    fit, points = fit_of_points(model, chains=1, draws=2000, one=True)
    (point, *_) = points
    assert point.values is not None
    new = model.data.iloc[[0, 0, 0]].assign(lost=[1.3, np.nan, np.nan])
    new = new.reset_index(drop=True)
    found = fit.linpred(new, seed=2)
    names = list(model.design.coefficients)
    b_me, b_mi = (point.beta[names.index(x)] for x in ("me(x2, 0.5)", "mi(lost)"))
    (mean, mean_lost), (sd, sd_lost) = point.values.mean, point.values.sd
    z = float(new["x3"].iloc[0] - model.data["x3"].mean())
    mean_lost += point.values.beta[0] * z
    share = sd**2 / (sd**2 + 0.25)
    x = mean + share * (float(new["x2"].iloc[0]) - mean)
    others = found[0].to_numpy() - 0.0
    spread = b_me**2 * sd**2 * (1 - share)
    for row, own in ((0, spread), (1, spread + b_mi**2 * sd_lost**2)):
        assert np.var(others[:, row]) == pytest.approx(own, rel=0.2)
    moved = np.mean(others[:, 1] - others[:, 0])
    error = 5 * np.sqrt((2 * spread + b_mi**2 * sd_lost**2) / 2000)
    assert moved == pytest.approx(b_mi * (mean_lost - 1.3), abs=error)
    assert not np.allclose(others[:, 1], others[:, 2])  # two rows, two values
    again = fit.linpred(new.iloc[[0]], seed=2)[0].to_numpy()
    np.testing.assert_allclose(again[:, 0], others[:, 0])
    at_means = fit.linpred(new, seed=2, new_groups="zero")[0].to_numpy()
    assert np.ptp(at_means, axis=0).max() < 1e-9
    step = fit.linpred(new.assign(x2=x), seed=2, new_groups="zero")[0].to_numpy()
    wanted = b_me * share * (x - float(new["x2"].iloc[0]))
    np.testing.assert_allclose(step[0] - at_means[0], wanted)


def test_what_fits_are_asked_knows_values(fit: sp.Fit, tmp_path: Path) -> None:
    loo = fit.loo()
    assert len(loo.unreliable) == 0
    assert loo.p < 25  # of values there are hundreds, and none is a parameter
    assert "ξ_x[i] ~ Normal(μ_x, σ_x)" in str(fit.model.equations())
    assert fit.slopes("x")["estimate"].iloc[0] == pytest.approx(0.8, abs=0.2)
    assert len(fit.predictions("w")) > 0
    assert fit.plot.predictions("w") is not None
    assert fit.plot.lines(predictor="w") is not None
    lost = int(fit.model.data["w"].isna().sum())
    assert f"{lost} of mi(w), which are integrated out" in fit.model.explain()
    assert "sd_x[mi(w)]" in fit.prior_sensitivity().index
    drawn = fit.model.prior_predictive(50, seed=1)["prior_predictive"]["y"]
    assert np.isfinite(drawn.to_numpy()).all()
    again = fit.update(seed=2, chains=1, draws=50, warmup=100)
    assert "missing_w" in again.posterior
    new = simulated(4, 9).drop(columns="y")
    fit.save(tmp_path / "fit")
    loaded = sp.load(tmp_path / "fit")
    expected = fit.linpred(new, seed=5)
    np.testing.assert_array_equal(expected, loaded.linpred(new, seed=5))
    np.testing.assert_array_equal(fit.posterior["true_x"], loaded.posterior["true_x"])
    assert loaded.model.spec == fit.model.spec


def test_the_scale_of_a_predictor_is_not_seen() -> None:
    """Stan sees values near 1, and draws are in the units of the data."""
    data = simulated(50, 6)
    data = data.assign(x=1e6 * data["x"], sd=1e6 * data["sd"])
    model = sp.Model("y ~ me(x, sd)", data)
    assert np.ptp(model.stan_data()["seen"]) < 20
    fit = model.fit(seed=1, chains=1, draws=100, warmup=200)
    for name in ("mean_x", "true_x"):
        assert float(fit.posterior[name].mean()) == pytest.approx(20e6, rel=0.1)


@pytest.mark.parametrize(
    ("formulas", "said"),
    [
        ("y ~ me(x)", r"me\(\) takes a column and the standard deviations"),
        ("y ~ me(x, sd) * z", "can only be added"),
        ("y ~ z + (mi(w) | g)", "the same for all groups"),
        ("y ~ mi(log(w))", "Add what you compute of columns to the data"),
        ("y ~ me(x, sd, gr=g)", "gr= is not offered"),
        (["y ~ mi(w)", "sigma ~ mi(w)"], "only be in the formula of the outcome"),
        (["y ~ mi(w)", "mi(w) ~ z + (1 | g)"], r"predictors in it as C\(g\)"),
        (["y ~ mi(w)", "mi(w) ~ s(z)"], r"bs\(z, df=5\)"),
        (["y ~ z", "mi(w) ~ z"], "there is a formula of 'mi"),
        ("y ~ mi(w) + me(w, sd)", "'w' in two of"),
        ("y ~ mi(z)", "no value of 'z' is missing"),
        ("y ~ me(x, 0)", "all errors have a standard deviation of 0"),
        ("y ~ me(x, z)", "must be 0 or more"),
        ("y ~ me(w, sd)", "column 'w' has .* missing value"),
        ("y ~ mi(w) + w", "column 'w' has .* missing value"),
        ("y ~ me(x, mean(sd))", "computed from all rows"),
        (["y ~ mi(w)", "mi(w) ~ z + one"], "are constant, or follow"),
    ],
)
def test_bad_input_is_refused(formulas: str | list[str], said: str) -> None:
    with pytest.raises((sp.SpecError, sp.DataError), match=said):
        sp.Model(formulas, simulated(40, 1))


def test_models_that_cannot_have_values_say_so() -> None:
    data = simulated(40, 1)
    with pytest.raises(sp.SpecError, match="pooling='none'"):
        sp.Model("y ~ mi(w) + (1 | g)", data, pooling="none")
    with pytest.raises(sp.SpecError, match="linear predictor for each category"):
        sp.Model("g ~ mi(w)", data, family="categorical")
    with pytest.raises(sp.SpecError, match="'marginal' is not available"):
        sp.Model("y ~ mi(w) + (1 | g)", data, parameterization="marginal")
    with pytest.raises(sp.SpecError, match="compress=True cannot be exact"):
        sp.Model("y ~ mi(w)", data, compress=True)
