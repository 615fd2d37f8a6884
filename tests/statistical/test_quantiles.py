"""Quantile regression by asymmetric Laplace outcomes, and quantreg's estimates."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.data.likelihood import log_likelihood

# quantreg 5.94 with R 4.2.2: rq(log_radon ~ floor + log_uranium, tau, radon).
QUANTREG = {
    0.1: (0.5310033, -0.8404311, 0.8083856),
    0.5: (1.4731758, -0.6653407, 0.8081058),
    0.9: (2.2797467, -0.3094678, 0.7448111),
}


@pytest.mark.parametrize("quantile", QUANTREG)
def test_quantile_regression_has_the_largest_likelihood(quantile: float) -> None:
    """Its estimate is the mode of this likelihood, whatever the scale."""
    radon = sp.load_dataset("radon")
    formula = f"log_radon | quantile({quantile}) ~ floor + log_uranium"
    model = sp.Model(formula, radon, family="asymmetric_laplace")
    X = np.column_stack([np.ones(len(radon)), model.design.X])

    def of(coefficients: np.ndarray) -> float:
        eta = X @ coefficients
        return float(
            log_likelihood(model.spec, model.design, eta, {"sigma": 0.4}).sum()
        )

    theirs = np.array(QUANTREG[quantile])
    moves = 0.01 * np.random.default_rng(1).standard_normal((50, 3))
    assert max(of(theirs + move) for move in moves) < of(theirs)


def test_posteriors_are_around_the_estimate() -> None:
    radon = sp.load_dataset("radon")
    formula = "log_radon | quantile(0.5) ~ floor + log_uranium"
    fit = sp.Model(formula, radon, family="asymmetric_laplace").fit(seed=1)
    table = fit.fixef()
    distance = np.abs(table["mean"] - np.array(QUANTREG[0.5])) / table["sd"]
    assert distance.max() < 0.5
    below = radon["log_radon"].to_numpy() < fit.linpred().mean(("chain", "draw"))
    assert float(below.mean()) == pytest.approx(0.5, abs=0.01)
    assert "log density agrees" in str(fit.diagnose())


def test_groups_move_the_quantile() -> None:
    rng = np.random.default_rng(1)
    g = rng.integers(0, 20, 1000)
    effects = rng.normal(0, 1, 20)
    y = effects[g] + rng.exponential(1, 1000)  # whose quantiles are -log(1 - p)
    data = pd.DataFrame({"g": g.astype(str), "y": y})
    model = sp.Model(
        "y | quantile(0.9) ~ 1 + (1 | g)", data, family="asymmetric_laplace"
    )
    fit = model.fit(seed=1)
    assert "no problem found" in fit.diagnose().verdict
    found = fit.coef().xs("Intercept", level=-1)
    true = effects - np.log(0.1)
    groups = [int(each) for each in found.index.get_level_values(-1)]
    # The sample quantile of 50 rows has the standard error 0.3 / sqrt(50) / 0.1.
    assert np.sqrt(np.mean((found["mean"] - true[groups]) ** 2)) < 1.3 * 0.42


def test_what_is_no_quantile_is_refused() -> None:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "x": [1.0, 2.0, 2.5]})
    for number in ("0", "1", "1.5"):
        with pytest.raises(sp.SpecError, match="between 0 and 1"):
            sp.Model(f"y | quantile({number}) ~ x", data, family="asymmetric_laplace")
    with pytest.raises(sp.SpecError, match="a quantile is a number"):
        sp.Model("y | quantile(x) ~ x", data, family="asymmetric_laplace")
    with pytest.raises(sp.SpecError, match="quantile goes with 'asymmetric_laplace'"):
        sp.Model("y | quantile(0.9) ~ x", data)


def test_what_is_said_of_quantiles_is_not_said_of_distributions() -> None:
    """New groups move the mean as they move the quantile; advice is about that."""
    radon = sp.load_dataset("radon")
    formula = "log_radon | quantile(0.9) ~ floor + (1 | county)"
    fit = sp.Model(formula, radon, family="asymmetric_laplace").fit(seed=1, draws=250)
    new = radon[["floor"]].iloc[:2].assign(county="new")
    eta = fit.linpred(new, new_groups="zero").to_numpy()
    sigma = fit.posterior["sigma"].to_numpy()[..., None]
    # The mean of the distribution (Yu and Zhang 2005).
    expected = eta + sigma * (1 - 2 * 0.9) / (0.9 * 0.1)
    found = fit.predictions(newdata=new, by=False, groups="population")
    np.testing.assert_allclose(found["estimate"], expected.mean(axis=(0, 1)), atol=1e-6)
    (advice,) = fit.check_outcomes().advice
    assert "quantile" in advice.action
