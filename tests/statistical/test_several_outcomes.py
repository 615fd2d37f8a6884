"""Several outcomes of a row, as R's nlme and the multivariate normal have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from simulated_fits import fit_of_draws
from stanpool.density.log_posterior import LogPosterior
from statistical.monte_carlo import STANDARD_ERRORS

DATA = Path(__file__).parents[1] / "data"
OUTCOMES = ["written", "course"]
FORMULAS = ["written ~ gender", "course ~ gender"]

# By gls(value ~ 0 + outcome + outcome:gender, correlation = corSymm(form = ~ o |
# pupil), weights = varIdent(form = ~ 1 | outcome), method = "ML") of R's package nlme
# 3.1.162, of the first 300 pupils and of all: coefficients, correlation, residual
# standard deviations, and log likelihood.
GLS = {
    300: (
        (43.1349853876, 72.2814100807, 5.4757602618, -6.12286518804),
        0.4844475008,
        (13.65661998702, 18.34095301271),
        -2229.9266591792,
    ),
    1905: (
        (44.93684531795, 75.68430679486, 3.42456898145, -5.9051598051),
        0.505045768755,
        (13.2548366872, 16.0335363451),
        -13827.381688286,
    ),
}
ERRORS = (1.12838, 1.47945, 1.65568, 2.22256)  # of the coefficients of 300


def pupils(count: int = 1905) -> pd.DataFrame:
    """Return the scores of pupils, of which some have one only."""
    data = pd.read_csv(DATA / "gcsemv.csv", dtype={"school": str})
    return data[:count].sample(frac=1.0, random_state=1)


@pytest.mark.parametrize("count", GLS)
def test_log_likelihoods_are_those_of_nlme(count: int) -> None:
    beta, rho, sigma, log_likelihood = GLS[count]
    model = sp.several_outcomes(FORMULAS, pupils(count))
    known = {"beta": beta, "beta_sigma": np.log(sigma), "residual_rho": rho}
    draws = {name: np.array(x)[None, None] for name, x in known.items()}
    found = fit_of_draws(model, draws).log_lik().sum("row").item()
    assert found == pytest.approx(log_likelihood, abs=1e-5)


def test_posteriors_are_around_the_estimates_of_nlme() -> None:
    beta, rho, sigma, _ = GLS[300]
    model = sp.several_outcomes(FORMULAS, pupils(300))
    fit = model.fit(seed=1, chains=2, draws=500, warmup=500)
    found = fit.fixef()
    # A hundred effective draws have a Monte Carlo error of a tenth of a deviation.
    moved = (found["mean"].to_numpy() - beta) / np.array(ERRORS)
    assert np.abs(moved).max() < 0.4
    assert found["sd"].to_numpy() == pytest.approx(np.array(ERRORS), rel=0.3)
    names = {"residual_rho": [rho], "beta_sigma": np.log(sigma)}
    for name, known in names.items():
        draws = fit.posterior[name].to_numpy().reshape(1000, -1)
        assert (np.abs(draws.mean(axis=0) - known) < draws.std(axis=0)).all()


@pytest.mark.slow
def test_groups_of_several_outcomes_are_those_of_nlme() -> None:
    """By lme(..., random = ~ 0 + outcome | school), method = "REML", of all pupils."""
    model = sp.several_outcomes(
        ["written ~ gender + (1 |p| school)", "course ~ gender + (1 |p| school)"],
        pupils(),
    )
    fit = model.fit(seed=1)
    known = {
        "beta[written]": 46.5181420,
        "beta[course]": 76.3786066,
        "beta[written:gender[T.M]]": 2.4913745,
        "beta[course:gender[T.M]]": -6.7574110,
        "tau_school[written]": 6.881058,
        "tau_school[course]": 8.741824,
        "Omega_school[written, course]": 0.422,
        "beta_sigma[written]": np.log(11.158232),
        "beta_sigma[course]": np.log(13.422929),
        "residual_rho": 0.48595453,
    }
    names = sorted({name.partition("[")[0] for name in known})
    found = fit.summary(var_names=names)
    for name, estimate in known.items():
        row = found.loc[name]
        assert abs(row["mean"] - estimate) < 0.5 * row["sd"], name


def test_the_density_is_that_of_the_multivariate_normal() -> None:
    data = pupils(40)
    model = sp.several_outcomes(
        ["written ~ gender + (1 |p| school)", "course ~ 1 + (1 |p| school)"],
        data,
        parameterization="centered",
    )
    whole = LogPosterior(model)
    prior = LogPosterior(model, prior_only=True)
    rng, found = np.random.default_rng(1), []
    labels = model.design.factors[0].labels
    for _ in range(2):
        beta = np.array([45.0, 75.0, 3.0]) + rng.normal(size=3)
        b = beta[:2] + 3.0 * rng.normal(size=(len(labels), 2))
        log_sigma, rho = np.log([10.0, 14.0]) + 0.1 * rng.normal(size=2), rng.uniform()
        values = {"beta": beta, "b": b, "residual_rho": rho, "tau": [6.0, 8.0]}
        values |= {"beta_sigma": log_sigma, "L_Omega": [[1.0, 0.0], [0.6, 0.8]]}
        at = whole.unconstrain(values)
        R, sigma = np.array([[1.0, rho], [rho, 1.0]]), np.exp(log_sigma)
        expected = 0.0
        for row in data.itertuples():
            mean = b[labels.index(row.school)] + [beta[2] * (row.gender == "M"), 0.0]
            y = np.array([row.written, row.course])
            at_hand = ~np.isnan(y)
            if at_hand.any():
                covariance = (np.outer(sigma, sigma) * R)[np.ix_(at_hand, at_hand)]
                normal = stats.multivariate_normal(mean[at_hand], covariance)
                expected += normal.logpdf(y[at_hand])
        found.append((whole(at) - prior(at), expected))
    (first, of_first), (second, of_second) = found
    assert first - second == pytest.approx(of_first - of_second, abs=1e-8)


def test_an_outcome_is_predicted_from_the_other_of_its_row() -> None:
    data = pupils(40).reset_index(drop=True)
    model = sp.several_outcomes(FORMULAS, data)
    beta, rho, sigma, _ = GLS[300]
    size = (4, 1000)
    known = {"beta": beta, "beta_sigma": np.log(sigma), "residual_rho": rho}
    draws = {
        name: np.broadcast_to(x, (*size, *np.shape(x))) for name, x in known.items()
    }
    fit = fit_of_draws(model, draws)
    row = int(np.flatnonzero(data["course"].isna())[0])
    asked = data.loc[[row]].drop(columns="course")
    rows = sp.stack_outcomes(asked, OUTCOMES, first=row)
    drawn = fit.predict(rows[rows["course"] == 1], seed=1).to_numpy().ravel()
    is_male = float(data["gender"][row] == "M")
    residual = data["written"][row] - beta[0] - beta[2] * is_male
    mean = beta[1] + beta[3] * is_male + rho * sigma[1] / sigma[0] * residual
    sd = sigma[1] * np.sqrt(1.0 - rho**2)
    error = STANDARD_ERRORS * sd / np.sqrt(drawn.size)
    assert drawn.mean() == pytest.approx(mean, abs=error)
    assert drawn.std() == pytest.approx(sd, abs=error)
