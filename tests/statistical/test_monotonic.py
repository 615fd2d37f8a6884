"""Monotonic effects: against exact posteriors, simulated effects, kept fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from simulated_fits import fit_of_points

LEVELS = ["low", "mid", "high", "top"]
EFFECT = np.array([0.0, 10.0, 35.0, 38.0])


def simulated(rows: int, seed: int) -> pd.DataFrame:
    """Simulate an ordered predictor with unequal steps, and groups."""
    rng = np.random.default_rng(seed)
    level, g = rng.integers(0, 4, rows), rng.integers(0, 8, rows)
    y = EFFECT[level] + rng.normal(0, 5, 8)[g] + rng.normal(0, 6, rows)
    income = pd.Categorical.from_codes(level, LEVELS, ordered=True)
    x = rng.normal(size=rows)
    return pd.DataFrame({"income": income, "g": g.astype(str), "x": x, "y": y})


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    """Return a fit in the marginal form."""
    return sp.Model("y ~ x + mo(income) + (1 | g)", simulated(200, 2)).fit(seed=1)


def test_posteriors_are_exact_ones() -> None:
    """Of three levels, the mean step and the first share are a grid's integrals."""
    rng = np.random.default_rng(5)
    x = rng.integers(4, 7, 12)
    y = np.array([0.0, 1.5, 2.0])[x - 4] + rng.normal(0, 1, 12)
    model = sp.Model(
        "y ~ mo(x)",
        {"x": x, "y": y},
        priors={
            "Intercept": f"constant({y.mean()})",
            "sigma": "constant(1)",
            "beta[mo(x)]": "normal(0.5, 1)",
            "steps[mo(x).5]": "gamma(2, 1)",
            "steps[mo(x).6]": "gamma(3, 1)",
        },
    )
    b, share = np.linspace(-3, 4, 701)[:, None], np.linspace(0.0005, 0.9995, 1000)
    log = stats.norm.logpdf(b, 0.5, 1) + stats.beta.logpdf(share, 2, 3)
    # The intercept is that of predictors at their means.
    effect = np.stack([0 * b * share, 2 * b * share, 2 * b + 0 * share])[x - 4]
    mean = y.mean() + effect - effect.mean(axis=0)
    log = log + stats.norm.logpdf(y[:, None, None], mean, 1).sum(axis=0)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    fit = model.fit(seed=3, chains=4, draws=1000)
    for name, exact in (("beta[mo(x)]", b), ("steps[mo(x).5]", share)):
        table = fit.summary().loc[name]
        wanted = float(np.sum(weight * exact))
        spread = float(np.sqrt(np.sum(weight * (exact - wanted) ** 2)))
        assert abs(table["mean"] - wanted) < 4.5 * table["mcse_mean"]
        assert table["sd"] == pytest.approx(spread, rel=0.08)


def test_simulated_effects_are_found(fit: sp.Fit) -> None:
    assert fit.diagnose().verdict.endswith("no problem found.")
    table = fit.summary()
    assert table.loc["beta[mo(income)]", "mean"] == pytest.approx(38 / 3, abs=1.5)
    names = [f"steps[mo(income).{level}]" for level in LEVELS[1:]]
    shares = table.loc[names]
    assert shares["mean"].sum() == pytest.approx(1.0)
    wanted = np.diff(EFFECT) / EFFECT[-1]
    assert np.all(np.abs(shares["mean"] - wanted) < 3.5 * shares["sd"])


def test_what_fits_are_asked_knows_monotonic_effects(fit: sp.Fit) -> None:
    found = fit.predictions("income").set_index("income")["estimate"]
    assert list(found.index) == LEVELS
    assert found.is_monotonic_increasing
    assert np.isfinite(fit.loo().elpd)
    assert "Monotonic" in str(fit.model.equations())
    assert "from low < mid < high < top" in fit.model.explain()
    assert "steps[mo(income).mid]" in fit.prior_sensitivity().index
    drawn = fit.model.prior_predictive(50, seed=1)["prior_predictive"]["y"]
    assert np.isfinite(drawn.to_numpy()).all()
    again = fit.update(seed=2, chains=1, draws=100, warmup=100)
    assert "steps" in again.posterior


def test_whole_numbers_are_levels_in_grids() -> None:
    """Neither the mean nor what is between two levels can be asked for."""
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"k": rng.choice([1, 3, 4, 9], 40), "x": rng.normal(size=40)})
    data["y"] = data["k"] + rng.normal(size=40)
    made_up, _ = fit_of_points(sp.Model("y ~ mo(k) + x", data), chains=2, draws=5)
    assert made_up.predictions("k")["k"].tolist() == [1, 3, 4, 9]
    assert len(made_up.predictions("x", newdata="mean")) > 0
    assert len(made_up.slopes("x")) > 0
    assert made_up.plot.predictions("k") is not None


def test_effects_of_any_draw_are_monotonic_and_of_the_data_of_the_fit() -> None:
    """New rows have the levels of the fit, whichever occur in them."""
    data = simulated(30, 1)
    model = sp.Model("y ~ mo(income) + s(x, k=4)", data)
    made_up, points = fit_of_points(model, chains=1, draws=3)
    new = pd.DataFrame({"income": LEVELS, "x": 0.5})
    eta = made_up.linpred(new)[0].to_numpy()
    for own, point in zip(eta, points, strict=True):
        b = point.beta[list(model.design.coefficients).index("mo(income)")]
        rises = 3 * b * np.cumsum(point.steps) / point.steps.sum()
        np.testing.assert_allclose(own[1:] - own[0], rises)
    np.testing.assert_allclose(made_up.linpred(new[2:])[0], eta[:, 2:])
    with pytest.raises(sp.DataError, match="'huge'"):
        made_up.linpred(new.assign(income="huge"))


def test_saved_fits_have_their_levels(fit: sp.Fit, tmp_path: Path) -> None:
    new = fit.model.data.iloc[[3, 90]]
    fit.save(tmp_path / "fit")
    loaded = sp.load(tmp_path / "fit")
    np.testing.assert_array_equal(fit.linpred(new), loaded.linpred(new))
    assert loaded.model.explain() == fit.model.explain()


def test_bad_input_is_refused() -> None:
    data = simulated(20, 1).assign(two=[0, 1] * 10)
    data["plain"] = data["income"].astype(str)
    with pytest.raises(sp.DataError, match="category without an order"):
        sp.Model("y ~ mo(plain)", data)
    with pytest.raises(sp.DataError, match=r"not whole.*s\(x\)"):
        sp.Model("y ~ mo(x)", data)
    with pytest.raises(sp.DataError, match="has 2 level"):
        sp.Model("y ~ mo(two)", data)
    with pytest.raises(sp.SpecError, match="monotonic effect can only be added"):
        sp.Model("y ~ mo(income):x", data)
    with pytest.raises(sp.SpecError, match="monotonic effects do not vary over groups"):
        sp.Model("y ~ x + (mo(income) | two)", data)
    data["count"] = np.arange(20) % 4
    with pytest.raises(sp.DataError, match=r"mo\(count\)"):
        sp.Model("y ~ count + mo(count)", data)
