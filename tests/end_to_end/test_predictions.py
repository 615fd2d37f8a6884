"""Predictions and effects of real fits: held-out groups, published figures, refits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import stanpool as sp
from stanpool.inference.prediction.prior_predictive import draw_prior, simulate_outcomes
from stanpool.posterior import arviz

FITTING: dict[str, Any] = {"warmup": 500, "seed": 20261121, "progress": False}
ERRORS = 4.5


def assert_agree(conditioned: xr.DataArray, refit: xr.DataArray) -> None:
    """Compare means and sds of two ways to the same posterior."""
    assert conditioned.attrs["pareto_k"] < 0.7
    errors = arviz.mcse_mean(refit.to_dataset(name="it"))["it"].to_numpy()
    first, second = (each.to_numpy().reshape(4000, -1) for each in (conditioned, refit))
    sd = second.std(axis=0)
    # Of the weighted draws at least a quarter is effective.
    error = np.hypot(errors, sd / np.sqrt(1000))
    assert np.all(np.abs(first.mean(axis=0) - second.mean(axis=0)) < ERRORS * error)
    assert np.all(np.abs(first.std(axis=0) / sd - 1) < ERRORS / np.sqrt(2 * 1000))


@pytest.fixture(scope="module")
def radon() -> sp.Fit:
    model = sp.Model(
        "log_radon ~ floor + (1 | county)",
        sp.load_dataset("radon"),
        parameterization="noncentered",
    )
    return model.fit(**FITTING)


def test_the_page_on_effects_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).parents[2] / "docs" / "effects.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)
    own = sp.Model.fit
    short = {"chains": 2, "draws": 100, "warmup": 200, "progress": False}
    monkeypatch.setattr(
        sp.Model,
        "fit",
        lambda model, **options: own(model, **options, **short, engine="stanli"),
    )
    scope: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), scope)
    fit, draws = scope["fit"], scope["draws"]
    assert draws.shape == (2, 200)
    averages = {
        groups: fit.predictions("btype", groups=groups)["estimate"].to_numpy()
        for groups in ("fitted", "population", "none")
    }
    # Averages over persons are nearer to one half than those of an average person.
    gaps = {name: np.abs(each - 0.5) for name, each in averages.items()}
    assert np.all(gaps["population"][[0, 2]] < gaps["none"][[0, 2]])
    observed = scope["data"].groupby("btype")["yes"].mean()
    np.testing.assert_allclose(averages["fitted"], observed, atol=0.02)


class TestRadon:
    def test_effects_are_lmers(self, radon: sp.Fit) -> None:
        # Gelman and Hill (2007), section 12.4.
        fixed = radon.fixef()
        for label, published in (("Intercept", 1.46), ("floor", -0.69)):
            row = fixed.loc[label]
            assert abs(row["mean"] - published) < 2 * row["sd"]
        share = radon.icc().loc["county"]
        assert abs(share["mean"] - 0.33**2 / (0.33**2 + 0.76**2)) < 2 * share["sd"]
        assert radon.hypothesis("floor < 0")["probability"].item() == 1.0

    def test_adjusted_means_are_those_of_emmeans(self, radon: sp.Fit) -> None:
        # lmer of lme4 1.1-31 (REML) and emmeans 1.8.4-1: estimates, standard errors.
        figures = {0: (1.46159788, 0.05157622), 1: (0.76860414, 0.07433213)}
        for groups in ("population", "none"):
            found = radon.predictions(
                {"floor": [0, 1]}, newdata="mean", groups=groups, as_draws=True
            )
            for draws, (mean, error) in zip(
                found.to_numpy(), figures.values(), strict=True
            ):
                assert abs(draws.mean() - mean) < 0.15 * error
                assert abs(draws.std() / error - 1) < 0.1
        contrast = radon.comparisons("floor", as_draws=True).to_numpy()
        assert abs(contrast.mean() + 0.69299374) < 0.15 * 0.07043081
        assert abs(contrast.std() / 0.07043081 - 1) < 0.1
        beta = radon.posterior["beta"].to_numpy().ravel()
        np.testing.assert_allclose(contrast[0], beta, rtol=1e-9)

    def test_small_counties_are_pooled_most(self, radon: sp.Fit) -> None:
        pooling = radon.pooling_factors(by_group=True)["pooling"].to_numpy()
        sizes = radon.model.design.group_sizes
        assert stats.spearmanr(pooling, sizes).statistic < -0.95
        tau = radon.varcorr()["mean"].loc[("county", "sd(Intercept)")]
        sigma = radon.varcorr()["mean"].loc[("residual", "sigma")]
        expected = 1 / (1 + sizes * tau**2 / sigma**2)
        assert np.abs(pooling - expected).mean() < 0.05

    def test_expectations_average_to_the_data(self, radon: sp.Fit) -> None:
        y = radon.model.design.y
        table = radon.predict_table(kind="epred")
        assert table["mean"].mean() == pytest.approx(y.mean(), abs=0.01)
        drawn = radon.predict_table(seed=1)
        inside = (y > drawn["q5"]) & (y < drawn["q95"])
        assert abs(inside.mean() - 0.9) < ERRORS * 0.3 / np.sqrt(len(y))

    def test_a_county_added_later_is_as_if_it_had_been_fitted(
        self, radon: sp.Fit
    ) -> None:
        data = radon.model.data
        county = data["county"] == "ANOKA"
        rows = data[county]
        without = sp.Model(
            "log_radon ~ floor + (1 | county)",
            data[~county],
            parameterization="noncentered",
        )
        before = without.fit(**FITTING)
        new = pd.DataFrame({"floor": [0.0, 1.0], "county": ["ANOKA", "ANOKA"]})
        conditioned = before.linpred(new, given=rows, seed=1)
        assert_agree(conditioned, radon.linpred(new))
        apart = before.linpred(new, new_groups="population", seed=1).isel(row=0)
        assert apart.std().item() > 2 * conditioned.isel(row=0).std().item()

    def test_a_fit_that_was_kept_predicts_the_same(
        self, radon: sp.Fit, tmp_path: Path
    ) -> None:
        radon.save(tmp_path / "kept")
        kept = sp.load(tmp_path / "kept")
        new = sp.load_dataset("radon").iloc[:3].assign(county=["new", "AITKIN", "new"])
        options: dict[str, Any] = {"new_groups": "population", "seed": 1}
        xr.testing.assert_equal(
            radon.predict(new, **options), kept.predict(new, **options)
        )
        pd.testing.assert_frame_equal(radon.ranef(), kept.ranef())


def test_a_herd_added_later_is_as_if_it_had_been_fitted() -> None:
    data = sp.load_dataset("cbpp")
    formula = "incidence | trials(size) ~ period + (1 | herd)"
    options: dict[str, Any] = {
        "family": "binomial",
        "priors": {"Intercept": "normal(0, 2)", "beta": "normal(0, 1)"},
    }
    whole = sp.Model(formula, data, **options).fit(**FITTING)
    herd = data["herd"] == 7
    before = sp.Model(formula, data[~herd], **options).fit(**FITTING)
    new = pd.DataFrame({"period": [1, 4], "herd": [7, 7]})
    conditioned = before.linpred(new, given=data[herd], seed=1)
    assert_agree(conditioned, whole.linpred(new))


@pytest.mark.slow
def test_held_out_groups_are_covered_at_the_nominal_rate() -> None:
    """Truths from the prior: whatever is predicted, their ranks are uniform."""
    rng = np.random.default_rng(7)
    group = np.repeat(np.arange(12), 4)
    data = pd.DataFrame(
        {"x": rng.normal(size=48), "g": group, "y": rng.normal(size=48)}
    )
    whole = sp.Model(
        "y ~ x + (1 | g)",
        data,
        parameterization="noncentered",
        priors={
            "Intercept": "normal(0, 1)",
            "beta": "normal(0, 1)",
            "tau": "exponential(1)",
            "sigma": "exponential(1)",
        },
        center_predictors=False,
    )
    ranks: dict[str, list[float]] = {"known": [], "new": [], "given": []}
    for number in range(200):
        truth = draw_prior(whole, 1, rng)
        frame = data.assign(y=simulate_outcomes(whole, truth, rng)[0, 0])
        seen = frame[(frame["g"] != 11) & (frame.index != 0)]
        fit = sp.Model.from_spec(whole.spec, seen).fit(
            chains=4, draws=250, warmup=500, seed=number, progress=False
        )
        row, given = frame.iloc[[47]], frame.iloc[44:47]
        options: dict[str, Any] = {"new_groups": "population", "seed": number}
        for name, drawn in (
            ("known", fit.predict(frame.iloc[[0]], seed=number)),
            ("new", fit.predict(row, **options)),
            ("given", fit.predict(row, given=given, seed=number)),
        ):
            y = frame["y"].iloc[0 if name == "known" else 47]
            ranks[name].append(float((drawn < y).mean()))
    for name, found in ranks.items():
        assert stats.kstest(found, "uniform").pvalue > 1e-3, name
        for prob in (0.5, 0.9):
            covered = np.mean(np.abs(np.array(found) - 0.5) < prob / 2)
            error = np.sqrt(prob * (1 - prob) / len(found))
            assert abs(covered - prob) < ERRORS * error, (name, prob, covered)
