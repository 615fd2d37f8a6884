"""Autoregressions in time: ar1(t) against the normal distribution of all times."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stanpool as sp

TAU, SIGMA, RHO = 0.7, 0.4, 0.8
PRIORS = {
    "Intercept": "normal(0, 1000)",
    "tau": f"lognormal({math.log(TAU)!r}, 0.002)",
    "sigma": f"lognormal({math.log(SIGMA)!r}, 0.002)",
    "rho_ar1_day": "beta(80000, 20000)",  # 0.8, with a standard deviation of 0.001
}


def data() -> pd.DataFrame:
    """Days with unequal gaps, several rows of some, and not in their order."""
    day = np.array([6, 1, 2.5, 2.5, 3, 9, 6, 20, 6, 1, 12])
    noise = np.random.default_rng(1).normal(0, SIGMA, len(day))
    return pd.DataFrame({"day": day, "y": 2 + np.sin(day / 4) + noise})


def test_given_the_parameters_days_are_jointly_normal() -> None:
    """Means and standard deviations at days with rows, between them, and beyond."""
    frame = data()
    fit = sp.Model("y ~ ar1(day)", frame, priors=PRIORS).fit(seed=1, progress=False)
    new = pd.DataFrame({"day": [1, 2.0, 6, 7, 20, 22, 23, 60]})
    found = fit.predict(new, kind="epred", summary=True, seed=2)
    all_days = np.concatenate([new["day"], frame["day"]])
    K = TAU**2 * RHO ** np.abs(np.subtract.outer(all_days, all_days)) + 1000.0**2
    n = len(new)
    weights = np.linalg.solve(K[n:, n:] + SIGMA**2 * np.eye(len(frame)), K[n:, :n]).T
    means = weights @ frame["y"]
    sds = np.sqrt(np.diag(K[:n, :n] - weights @ K[n:, :n]))
    # Draws are nearly independent: at least a quarter of the 4,000 counts.
    assert np.abs((found["mean"] - means) / (sds / math.sqrt(1000))).max() < 4
    np.testing.assert_allclose(found["sd"], sds, rtol=4 / math.sqrt(2000))


def test_days_between_and_beyond_are_drawn_together() -> None:
    """A day, and the day after it, have the correlation that they have in the model."""
    fit = sp.Model("y ~ ar1(day)", data(), priors=PRIORS).fit(seed=1, progress=False)
    draws = fit.epred(pd.DataFrame({"day": [59, 60, 61]}), seed=3)
    u = np.asarray(draws) - np.asarray(fit.posterior["Intercept"])[..., None]
    found = np.corrcoef(u.reshape(-1, 3).T)
    error = (1 - RHO**2) / math.sqrt(4000)
    assert abs(found[0, 1] - RHO) < 4 * error
    assert abs(found[0, 2] - RHO**2) < 4 * (1 - RHO**4) / math.sqrt(4000)


def test_draws_from_the_prior_have_its_correlations() -> None:
    """Both those of Stan, and those of the package."""
    frame = pd.DataFrame({"g": list("aabb"), "day": [0, 2, 0, 3], "y": [0.0, 1, 2, 3]})
    priors = {"rho_ar1_day_g": "beta(80000, 20000)", "tau": "lognormal(0, 0.001)"}
    model = sp.Model("y ~ ar1(day | g)", frame, priors=priors)
    expected = np.eye(4)
    expected[0, 1] = expected[1, 0] = RHO**2
    expected[2, 3] = expected[3, 2] = RHO**3
    of_stan = model.fit(prior_only=True, seed=1, progress=False).posterior
    own = model.prior_predictive(draws=4000, seed=1)["prior"]
    # Of 4,000 draws of Stan, at least half as many count.
    for draws, size in ((of_stan, 2000), (own, 4000)):
        u = draws["b_ar1_day_g"] - draws["Intercept"]
        found = np.corrcoef(np.asarray(u).reshape(-1, 4).T)
        error = (1 - expected**2) / math.sqrt(size)
        assert (np.abs(found - expected) <= 4 * error + 1e-9).all()


@pytest.mark.parametrize("term", ["rw1(day)", "ar1(day)", "ar1(day | g)"])
def test_times_of_a_fit_are_the_same_among_fractions(term: str) -> None:
    """A column of 1, 6 and 1.5 has 1.0 and 6.0, where the fit's has 1 and 6."""
    frame = data().assign(g="a")
    frame = frame[frame["day"] != 2.5].astype({"day": int})
    model = sp.Model(f"y ~ {term}", frame)
    fit = model.fit(seed=1, chains=2, draws=50, warmup=200, progress=False)
    whole = pd.DataFrame({"day": [1, 6], "g": "a"})
    mixed = pd.DataFrame({"day": [1, 6, 1.5], "g": "a"})
    found = fit.epred(mixed, seed=1)
    np.testing.assert_array_equal(found[..., :2], fit.epred(whole, seed=1))
    assert np.abs(found[..., 2] - found[..., 0]).min() > 0


def test_a_new_series_is_stationary_from_its_start() -> None:
    """Its days have the standard deviation tau, and the correlations of others."""
    frame = data().assign(g="a")
    priors = PRIORS | {"rho_ar1_day_g": PRIORS["rho_ar1_day"]}
    del priors["rho_ar1_day"]
    fit = sp.Model("y ~ ar1(day | g)", frame, priors=priors).fit(seed=1, progress=False)
    draws = fit.epred(pd.DataFrame({"day": [1, 2], "g": "b"}), seed=3)
    u = np.asarray(draws) - np.asarray(fit.posterior["Intercept"])[..., None]
    u = u.reshape(-1, 2)
    np.testing.assert_allclose(u.std(axis=0), TAU, rtol=4 / math.sqrt(2 * 4000))
    assert abs(np.corrcoef(u.T)[0, 1] - RHO) < 4 * (1 - RHO**2) / math.sqrt(4000)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_changes_nothing(seed: int) -> None:
    frame = data().assign(g=["a", "b"] * 5 + ["a"])
    frame.loc[frame["day"] == 1, "g"] = "a"
    shuffled = frame.sample(frac=1, random_state=seed)
    for formula in ("y ~ ar1(day)", "y ~ ar1(day | g)"):
        model, other = sp.Model(formula, frame), sp.Model(formula, shuffled)
        factor = other.design.factors[0]
        assert factor.labels == model.design.factors[0].labels
        np.testing.assert_array_equal(
            other.stan_data()["gap"], model.stan_data()["gap"]
        )
        of_rows = [str(factor.labels[at]) for at in factor.index]
        wanted = shuffled["day"].map(str)
        if "|" in formula:
            wanted = shuffled["g"] + ":" + wanted
        assert of_rows == wanted.tolist()


def test_the_default_prior_is_of_the_shortest_gap() -> None:
    """A correlation over a year is uniform, whether days or years are counted."""
    frame = pd.DataFrame({"day": 365.0 * np.arange(6), "y": np.arange(6.0)})
    prior = sp.Model("y ~ ar1(day)", frame).priors["rho_ar1_day"].prior
    assert str(prior) == "beta(365, 1)"


def test_a_fit_is_kept_and_says_what_it_is(tmp_path: Path) -> None:
    model = sp.Model("y ~ ar1(day)", data())
    fit = model.fit(seed=1, chains=2, draws=200, warmup=300, progress=False)
    fit.save(tmp_path / "fit")
    new = pd.DataFrame({"day": [30, 2, 1]})
    again = sp.load(tmp_path / "fit")
    np.testing.assert_array_equal(again.epred(new, seed=1), fit.epred(new, seed=1))
    assert "rho_ar1_day" in fit.posterior
    assert "sampled and not integrated out" in str(model.explain())
    assert "rho^|t - t'|" in str(model.equations())
    assert "rho_ar1_day" in str(fit.prior_sensitivity())
    # Residuals are drawn by times, which cannot be left out.
    (axes,) = fit.plot.residuals().axes
    assert "by ar1_day" in axes.get_title(loc="left")
    with pytest.raises(sp.SpecError, match="known covariance"):
        fit.loo(unit="group")
