"""Residuals that are correlated within subjects, as R's nlme has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from simulated_fits import fit_of_draws

DATA = Path(__file__).parents[1] / "data"
NLME: dict[str, Any] = json.loads((DATA / "nlme.json").read_text())
CYCLE = "sin(2 * np.pi * Time) + cos(2 * np.pi * Time)"
FORMULAS = {
    "orthodont_cs": "distance | residual(cs(Subject)) ~ age",
    "orthodont_ar1": "distance | residual(ar1(visit | Subject)) ~ age",
    "ovary_ar1": f"follicles | residual(ar1(scan | Mare)) ~ {CYCLE}",
}


def data_of(name: str) -> pd.DataFrame:
    """Return the data of a fit of nlme, in another order of rows."""
    data = pd.read_csv(DATA / f"{NLME[name]['data']}.csv")
    return data.sample(frac=1.0, random_state=1)


def at_estimates(name: str) -> sp.Fit:
    """Return a model with nlme's estimates as its only draw."""
    known, model = NLME[name], sp.Model(FORMULAS[name], data_of(name))
    variables = {
        "alpha": known["coefficients"][0],
        "beta": known["coefficients"][1:],
        "sigma": known["sigma"],
        "residual_rho": known["correlation"][0],
    }
    draws = {k: np.array(x, dtype=float)[None, None] for k, x in variables.items()}
    return fit_of_draws(model, draws)


@pytest.mark.parametrize("name", FORMULAS)
def test_log_likelihoods_are_those_of_nlme(name: str) -> None:
    found = at_estimates(name).log_lik().sum("row").item()
    assert found == pytest.approx(NLME[name]["log_likelihood"], abs=1e-6)


@pytest.mark.parametrize("name", FORMULAS)
def test_posteriors_are_around_the_estimates_of_nlme(name: str) -> None:
    known, wide = NLME[name], "normal(0, 100)"
    model = sp.Model(
        FORMULAS[name], data_of(name), priors={"Intercept": wide, "beta": wide}
    )
    fit = model.fit(seed=1, chains=2, draws=500, warmup=500, progress=False)
    found = fit.fixef()
    error = np.array(known["se"])
    # A hundred effective draws have a Monte Carlo error of a tenth of a deviation.
    moved = (found["mean"].to_numpy() - known["coefficients"]) / error
    assert np.abs(moved).max() < 0.4
    assert found["sd"].to_numpy() == pytest.approx(error, rel=0.3)
    rho, sigma = fit.posterior["residual_rho"], fit.posterior["sigma"]
    for draws, estimate in ((rho, known["correlation"][0]), (sigma, known["sigma"])):
        assert abs(draws.mean().item() - estimate) < 1.5 * draws.std().item()


def joint(
    model: sp.Model, at: dict[str, float], rows: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the covariance of the rows of one subject."""
    mean = at["Intercept"] + at["beta"] * rows["age"].to_numpy()
    times = rows["visit"].to_numpy()
    matrix = np.full((len(rows), len(rows)), at["rho"])
    np.fill_diagonal(matrix, 1.0)
    if "ar1" in str(model.spec.residual_correlation):
        matrix = at["rho"] ** np.abs(np.subtract.outer(times, times))
    return mean, at["sigma"] ** 2 * matrix


AT = {"Intercept": 17.0, "beta": 0.6, "sigma": 2.5, "rho": 0.6, "nu": 4.0}
DRAWS = 4000


def fit_at(formula: str, data: pd.DataFrame, family: str) -> sp.Fit:
    """Return a fit whose draws are all the same."""
    model = sp.Model(formula, data, family=family)
    named = {"alpha": AT["Intercept"], "beta": [AT["beta"]], "sigma": AT["sigma"]}
    named |= {"residual_rho": AT["rho"], "nu": AT["nu"]}
    return fit_of_draws(
        model,
        {
            name: np.broadcast_to(value, (1, DRAWS, *np.shape(value)))
            for name, value in named.items()
        },
    )


@pytest.mark.parametrize("structure", ["ar1", "cs"])
@pytest.mark.parametrize("family", ["gaussian", "student_t"])
class TestOneSubject:
    """A child whose third and first visits are missed."""

    def formula(self, structure: str) -> str:
        return f"distance | residual({structure}(visit | Subject)) ~ age"

    def data(self) -> pd.DataFrame:
        data = data_of("orthodont_cs")
        return data[~((data["Subject"] == "M01") & data["visit"].isin([1, 3]))]

    def known_and_missed(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        whole = data_of("orthodont_cs").query("Subject == 'M01'").sort_values("visit")
        return whole.query("visit in (2, 4)"), whole.query("visit in (1, 3)")

    def test_missed_visits_are_predicted_from_the_others(
        self, structure: str, family: str
    ) -> None:
        fit = fit_at(self.formula(structure), self.data(), family)
        known, missed = self.known_and_missed()
        both = pd.concat([known, missed])
        mean, covariance = joint(fit.model, AT, both)
        pull = covariance[2:, :2] @ np.linalg.inv(covariance[:2, :2])
        left = known["distance"].to_numpy() - mean[:2]
        expected = mean[2:] + pull @ left
        spread = covariance[2:, 2:] - pull @ covariance[:2, 2:]
        if family == "student_t":
            distance = left @ np.linalg.solve(covariance[:2, :2], left)
            # The variance of a t with 6 degrees of freedom is 6/4 of its scale's.
            spread *= (AT["nu"] + distance) / (AT["nu"] + 2) * 6 / 4
        drawn = fit.predict(missed, seed=1).to_numpy()[0]
        error = np.sqrt(np.diag(spread) / DRAWS)
        assert np.abs(drawn.mean(axis=0) - expected).max() < 4 * error.max()
        # The error of a variance of heavy tails is about three times that of normals.
        bound = 15 * spread.max() / np.sqrt(DRAWS)
        assert np.abs(np.cov(drawn.T) - spread).max() < bound

    def test_rows_of_the_fit_are_replicated(self, structure: str, family: str) -> None:
        fit = fit_at(self.formula(structure), self.data(), family)
        rows = self.data().query("Subject == 'F01'").sort_values("visit")
        drawn = fit.predict(rows, seed=1).to_numpy()[0]
        mean, covariance = joint(fit.model, AT, rows)
        covariance = covariance * (2.0 if family == "student_t" else 1.0)
        error = np.sqrt(covariance[0, 0] / DRAWS)
        assert np.abs(drawn.mean(axis=0) - mean).max() < 4 * error
        bound = 20 * covariance[0, 0] / np.sqrt(DRAWS)
        assert np.abs(np.cov(drawn.T) - covariance).max() < bound

    def test_densities_are_joint(self, structure: str, family: str) -> None:
        fit = fit_at(self.formula(structure), self.data(), family)
        rows = self.data().query("Subject == 'F01'")
        mean, covariance = joint(fit.model, AT, rows)
        distribution = stats.multivariate_normal(mean, covariance)
        if family == "student_t":
            distribution = stats.multivariate_t(mean, covariance, df=AT["nu"])
        at = np.flatnonzero(fit.model.data["Subject"] == "F01")
        found = fit.log_lik(draws=1).to_numpy()[0, 0, at].sum()
        assert found == pytest.approx(distribution.logpdf(rows["distance"]), abs=1e-8)


def test_leaving_out_a_row_conditions_on_the_others_of_its_subject() -> None:
    formula = "distance | residual(ar1(visit | Subject)) ~ age"
    data = data_of("orthodont_cs")
    fit = fit_at(formula, data, "gaussian")
    whole = data.query("Subject == 'M01'")
    mean, covariance = joint(fit.model, AT, whole)
    everything = stats.multivariate_normal(mean, covariance).logpdf(whole["distance"])
    at = np.flatnonzero(fit.model.data["Subject"] == "M01")
    elpd = fit.loo().units["elpd"].to_numpy()[at]
    for row in range(len(whole)):
        left = np.delete(np.arange(len(whole)), row)
        others = stats.multivariate_normal(mean[left], covariance[np.ix_(left, left)])
        known = others.logpdf(whole["distance"].to_numpy()[left])
        assert elpd[row] == pytest.approx(everything - known, abs=1e-8)
