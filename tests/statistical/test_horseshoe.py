"""The regularized horseshoe: draws, a posterior by quadrature, and sparse data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import stanpool as sp
from statistical.monte_carlo import FITTING, assert_mean

GLOBAL, DF, SLAB = 0.1, 4.0, 2.0
PRIOR = {"beta": f"horseshoe({GLOBAL}, {DF}, {SLAB})"}


def sparse(columns: int = 20, rows: int = 100) -> tuple[dict[str, Any], np.ndarray]:
    rng = np.random.default_rng(1)
    X, truth = rng.normal(size=(rows, columns)), np.zeros(columns)
    truth[:3] = [2.0, -1.5, 1.0][:columns]
    data = {f"x{k}": X[:, k] for k in range(columns)}
    return data | {"y": 1.0 + X @ truth + rng.normal(size=rows)}, truth


def many_draws(size: int, columns: int, seed: int) -> np.ndarray:
    """Draw coefficients by the definition, equations (2.8) to (2.11) of the paper."""
    rng = np.random.default_rng(seed)
    tau = stats.halfcauchy(scale=GLOBAL).rvs((size, 1), random_state=rng)
    local = stats.halfcauchy().rvs((size, columns), random_state=rng)
    c2 = stats.invgamma(DF / 2, scale=SLAB**2 * DF / 2).rvs((size, 1), random_state=rng)
    regularized = c2 * local**2 / (c2 + tau**2 * local**2)
    return np.asarray(rng.normal(size=(size, columns)) * tau * np.sqrt(regularized))


def test_prior_draws_have_the_distribution_of_the_definition() -> None:
    data, _ = sparse(2)
    prior = sp.Model("y ~ x0 + x1", data, priors=PRIOR).prior_predictive(2000, seed=1)
    drawn = prior["prior"]["beta"].to_numpy().reshape(-1, 2)
    expected = many_draws(20_000, 2, seed=2)
    assert stats.ks_2samp(drawn[:, 0], expected[:, 0]).pvalue > 0.01
    # Both are large where the global scale is.
    of_both = [np.abs(x).prod(axis=1) for x in (drawn, expected)]
    assert stats.ks_2samp(*of_both).pvalue > 0.01


def test_a_posterior_is_that_of_weighted_prior_draws() -> None:
    """Of one coefficient with a known scale, by importance sampling from the prior."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=12)
    y = 0.4 * x + rng.normal(size=12)
    model = sp.Model(
        "y ~ 0 + x", {"x": x, "y": y}, priors={**PRIOR, "sigma": "constant(1)"}
    )
    fit = model.fit(**FITTING, adapt_delta=0.95)
    beta = many_draws(1_000_000, 1, seed=5)[:, 0]
    weights = np.exp(-0.5 * (beta - x @ y / (x @ x)) ** 2 * (x @ x))
    drawn = fit.posterior["beta"].isel(coefficient=0)
    for power in (1, 2):
        assert_mean(
            drawn**power, np.average(beta**power, weights=weights), rounding=2e-3
        )


@pytest.mark.parametrize("pooling", ["complete", "partial"])
def test_few_coefficients_of_sparse_data_are_left(pooling: str) -> None:
    data, truth = sparse()
    formula = "y ~ " + " + ".join(f"x{k}" for k in range(len(truth)))
    if pooling == "partial":
        data["g"] = np.arange(100) % 10
        formula += " + (1 | g)"
    model = sp.Model(formula, data, priors={"beta": "horseshoe(0.02, 4, 2)"})
    fit = model.fit(**FITTING)
    mean = fit.posterior["beta"].mean(("chain", "draw")).to_numpy()
    columns = np.column_stack([np.ones(100), *(data[f"x{k}"] for k in range(20))])
    least_squares = np.linalg.lstsq(columns, data["y"], rcond=None)[0][1:]
    zeros = truth == 0
    # Those that are 0 are much nearer to it than by least squares; others stay.
    ratio = np.square(mean[zeros]).sum() / np.square(least_squares[zeros]).sum()
    assert ratio < 0.3
    assert np.abs(mean - truth)[~zeros].max() < 0.3
    assert fit.posterior["beta_local"].sizes["coefficient"] == 20


@pytest.mark.parametrize("family", ["gaussian", "bernoulli"])
def test_there_may_be_more_predictors_than_rows(family: str) -> None:
    rng = np.random.default_rng(2)
    X = rng.normal(size=(50, 70))
    eta = 4.0 * X[:, 0] - 3.0 * X[:, 1]
    noisy = eta + rng.normal(size=50)
    y = noisy if family == "gaussian" else (noisy > 0) * 1
    data = {f"x{k}": X[:, k] for k in range(70)} | {"y": y, "g": np.arange(50) % 5}
    formula = "y ~ " + " + ".join(f"x{k}" for k in range(70)) + " + (1 | g)"
    with pytest.raises(sp.DataError, match="exact linear combination"):
        sp.Model(formula, data, family=family)
    prior = {"beta": "horseshoe(0.02, 4, 2)"}
    fit = sp.Model(formula, data, family=family, priors=prior).fit(**FITTING)
    # Chains that start where all rows are told exactly stay there: R-hat is above 4.
    assert fit.summary()["r_hat"].max() < 1.05
    mean = fit.posterior["beta"].mean(("chain", "draw")).to_numpy()
    assert mean[0] > 1.0
    assert mean[1] < -1.0
    assert np.abs(mean[2:]).max() < 0.4


@pytest.mark.parametrize(
    ("formula", "priors", "said"),
    [
        ("y ~ x0 + x1", {"beta[x0]": "horseshoe(1, 4, 2)"}, "all coefficients of the"),
        ("y ~ x0 + s(x1)", {"beta": "horseshoe(1, 4, 2)"}, "without smooths"),
        ("y ~ x0", {"sigma": "horseshoe(1, 4, 2)"}, "horseshoe is a distribution of"),
        ("y ~ x0", {"beta": "horseshoe(1, 4)"}, "takes 3 argument"),
    ],
)
def test_a_horseshoe_is_refused_elsewhere(
    formula: str, priors: dict[str, str], said: str
) -> None:
    with pytest.raises(sp.SpecError, match=said):
        sp.Model(formula, sparse(2)[0], priors=priors)
