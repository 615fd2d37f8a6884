"""Outcomes with zeros of their own: estimates of other tools, and quadrature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from stanpool.data.likelihood import log_likelihood
from statistical.densities import Zeros

# fixef(), plogis(fixef()$zi), sigma() and logLik() of glmmTMB 1.1.5 in R 4.2.2:
# glmmTMB(count ~ mined + DOP, ziformula = ~1, family = ..., data = Salamanders) with
# poisson, nbinom2, truncated_poisson and truncated_nbinom2.
GLMMTMB = {
    "zero_inflated_poisson": (
        *((-0.59876332200, 1.86835511885, 0.03963420153), 0.4107424311, None),
        -982.251106265,
    ),
    "zero_inflated_negative_binomial": (
        *((-1.12072228033, 2.01683899423, 0.04088798249), 0.08482776281, 0.6806509882),
        -877.869563217,
    ),
    "hurdle_poisson": (
        *((0.33435357826, 0.93102549279, 0.02503098894), 0.6009316465, None),
        -1033.64433221,
    ),
    "hurdle_negative_binomial": (
        *((-0.16045812489, 1.13390344877, 0.04153380083), 0.6009318271, 0.99830772),
        -942.169735036,
    ),
}


@pytest.fixture(scope="module")
def salamanders() -> pd.DataFrame:
    data = pd.read_csv(Path(__file__).parents[1] / "data" / "salamanders.csv")
    return data.assign(unmined=(data["mined"] == "no").astype(int))


@pytest.mark.parametrize("family", GLMMTMB)
def test_the_likelihood_has_its_maximum_where_glmmtmb_finds_it(
    family: str, salamanders: pd.DataFrame
) -> None:
    (alpha, *beta), share, phi, expected = GLMMTMB[family]
    own = "zi" if family.startswith("zero") else "hu"
    known: dict[str, float] = {own: share} | ({} if phi is None else {"phi": phi})
    model = sp.Model("count ~ unmined + DOP", salamanders, family=family)
    at = {"Intercept": alpha, "beta": np.array(beta), **known}

    def total(**moved: float) -> float:
        eta = at["Intercept"] + moved.get("eta", 0.0) + model.design.X @ at["beta"]
        parameters = {name: known[name] + moved.get(name, 0.0) for name in known}
        return float(log_likelihood(model.spec, model.design, eta, parameters).sum())

    assert total() == pytest.approx(expected, abs=2e-6)
    for name in ("eta", *known):
        assert total() >= max(total(**{name: 1e-3}), total(**{name: -1e-3}))
    # The mode is that on the scale of the sampler: these priors cancel the Jacobians.
    flat = {"Intercept": "flat", "beta": "flat", own: "beta(1e-9, 1e-9)"}
    flat |= {"phi": "inv_gamma(1e-9, 1e-9)"} if phi else {}
    model = model.with_(priors=flat)
    fit = model.fit(method="optimize", seed=1, engine="stanli", progress=False)
    found = fit.summary()["mode"]
    assert found["Intercept"] == pytest.approx(alpha, abs=2e-3)
    np.testing.assert_allclose(found[["beta[unmined]", "beta[DOP]"]], beta, atol=2e-3)
    for name, value in known.items():
        assert found[name] == pytest.approx(value, rel=5e-3)


@pytest.mark.parametrize("own", ["zi", "hu"])
def test_posteriors_are_those_of_quadrature(own: str) -> None:
    y = stats.poisson(1.4).rvs(60, random_state=3)
    y[:15] = 0
    family = "zero_inflated_poisson" if own == "zi" else "hurdle_poisson"
    priors = {"Intercept": "normal(0, 1)", own: "beta(2, 3)"}
    model = sp.Model("y ~ 1", {"y": y}, family=family, priors=priors)
    fit = model.fit(seed=1, engine="stanli", progress=False)
    assert fit.diagnose().ok
    alpha, share = np.linspace(-1.5, 1.5, 150), np.linspace(0.001, 0.999, 150)
    # Shapes (alpha, share, row).
    counts = stats.poisson(np.exp(alpha)[:, None, None])
    log_density = Zeros(counts, **{own: share[:, None]}).logpmf(y).sum(axis=-1)
    log_density += stats.norm.logpdf(alpha)[:, None] + stats.beta(2, 3).logpdf(share)
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    summary = fit.summary()
    for name, grid, each in (
        ("Intercept", alpha, weight.sum(axis=1)),
        (own, share, weight.sum(axis=0)),
    ):
        mean = each @ grid
        sd = np.sqrt(each @ (grid - mean) ** 2)
        row = summary.loc[name]
        assert abs(row["mean"] - mean) < 4.5 * row["mcse_mean"]
        assert row["sd"] == pytest.approx(sd, rel=0.08)


def test_expected_counts_are_of_all_counts(salamanders: pd.DataFrame) -> None:
    """Zeros among them (brms#447): those of a saturated model are the data's means."""
    model = sp.Model("count ~ unmined", salamanders, family="hurdle_poisson")
    fit = model.fit(seed=1, engine="stanli", progress=False)
    table = fit.predictions(by="unmined")
    # The share of zeros is one for both, so that the means of positive counts are met.
    zeros = (salamanders["count"] == 0).mean()
    positive = salamanders[salamanders["count"] > 0].groupby("unmined")["count"].mean()
    np.testing.assert_allclose(table["estimate"], (1 - zeros) * positive, rtol=0.05)


# The same of ziGamma(link = "log"), whose shape is 1 / sigma(fit)^2; and of lm() of the
# logarithms of positive counts, with which zeros have nothing to do. Columns:
# coefficients, share of zeros, shape or sigma, log likelihood.
OF_AMOUNTS = {
    "hurdle_gamma": (
        (0.6153549275799, 0.6791954216424, 0.0291606391875),
        *(0.60093334449, {"shape": 1.95411654553}, -962.103229158),
    ),
    "hurdle_lognormal": (
        (0.4469272739304, 0.5441034371753, 0.0365687774068),
        *(0.600931677019, {"sigma": 0.723181973386}, -943.326417509),
    ),
}


@pytest.mark.parametrize("family", OF_AMOUNTS)
def test_the_likelihood_of_amounts_is_that_of_other_tools(
    family: str, salamanders: pd.DataFrame
) -> None:
    (alpha, *beta), hu, own, expected = OF_AMOUNTS[family]
    model = sp.Model("count ~ unmined + DOP", salamanders, family=family)
    eta = alpha + model.design.X @ np.array(beta)
    found = log_likelihood(model.spec, model.design, eta, {"hu": hu, **own})
    assert found.sum() == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("family", OF_AMOUNTS)
def test_zeros_and_amounts_are_learned_apart(
    family: str, salamanders: pd.DataFrame
) -> None:
    """The share of zeros has a beta posterior, and amounts that without zeros."""
    fit = sp.Model("count ~ unmined", salamanders, family=family).fit(
        seed=1, engine="stanli", progress=False
    )
    assert fit.diagnose().ok
    zeros = int((salamanders["count"] == 0).sum())
    exact = stats.beta(1 + zeros, 1 + len(salamanders) - zeros)
    row = fit.summary().loc["hu"]
    assert abs(row["mean"] - exact.mean()) < 4.5 * row["mcse_mean"]
    assert row["sd"] == pytest.approx(exact.std(), rel=0.08)
    plain = sp.Model(
        "count ~ unmined",
        salamanders[salamanders["count"] > 0],
        family=family.removeprefix("hurdle_"),
        priors=_stated(fit.model),
    ).fit(seed=2, engine="stanli", progress=False)
    ours, theirs = fit.summary(), plain.summary()
    for name in theirs.index:
        error = np.hypot(ours.loc[name, "mcse_mean"], theirs.loc[name, "mcse_mean"])
        # The mean of the predictor, where the intercept has its prior, differs.
        error = np.hypot(error, 0.02 * theirs.loc[name, "sd"])
        assert abs(ours.loc[name, "mean"] - theirs.loc[name, "mean"]) < 4.5 * error
    expected = fit.predictions(by="unmined")["estimate"].to_numpy()
    of_positive = plain.predictions(by="unmined")["estimate"].to_numpy()
    np.testing.assert_allclose(expected, (1 - exact.mean()) * of_positive, rtol=0.02)


def _stated(model: sp.Model) -> dict[str, str]:
    """Return the priors in force, as users write them."""
    return {
        row.parameter: str(row.prior) for row in model.priors if row.parameter != "hu"
    }


def test_the_likelihood_of_successes_is_that_of_glmmtmb() -> None:
    """Its formula is cbind(incidence, size - incidence) ~ period, ziformula = ~1."""
    data = sp.load_dataset("cbpp")
    formula = "incidence | trials(size) ~ C(period)"
    model = sp.Model(formula, data, family="zero_inflated_binomial")
    beta = np.array([-1.13155912867, -1.04745418098, -1.77979108792])
    eta = -1.14741756280 + model.design.X @ beta
    zi = {"zi": 0.141546341379}
    found = log_likelihood(model.spec, model.design, eta, zi)
    assert found.sum() == pytest.approx(-94.8893972188, abs=2e-6)
    fit = model.fit(seed=1, engine="stanli", progress=False)
    assert fit.diagnose().ok
    expected = fit.epred().mean(("chain", "draw")).to_numpy()
    assert expected.sum() == pytest.approx(data["incidence"].sum(), rel=0.1)


def test_amounts_that_are_all_zero_or_all_the_same_are_refused() -> None:
    with pytest.raises(
        sp.DataError, match="is 0 in all 4 rows, so that they say nothing"
    ):
        sp.Model("y ~ 1", {"y": [0.0] * 4}, family="hurdle_gamma")
    same = {"y": [0.0, 2.5, 0.0, 2.5]}
    with pytest.raises(sp.DataError, match="in all 2 rows where it is not 0"):
        sp.Model("y ~ 1", same, family="hurdle_lognormal").fit()
    with pytest.raises(sp.DataError, match="may be 0 have the families 'hurdle_g"):
        sp.Model("y ~ 1", same, family="gamma")


def test_proportions_of_0_and_1_have_a_family() -> None:
    some = {"y": [0.0, 1.0, 0.3, 0.4]}
    named = "may be 0 or 1 have the family 'zero_one_inflated_beta'"
    with pytest.raises(sp.DataError, match=named):
        sp.Model("y ~ 1", some, family="beta")
    with pytest.raises(sp.DataError, match="is 0 or 1 in all 4 rows"):
        sp.Model("y ~ 1", {"y": [0.0, 1.0] * 2}, family="zero_one_inflated_beta")
    with pytest.raises(sp.DataError, match="must be between 0 and 1, or either, for"):
        sp.Model("y ~ 1", {"y": [0.2, 1.5]}, family="zero_one_inflated_beta")
