"""Counts with zeros of their own: estimates of other tools, and quadrature."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
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
    (alpha, *beta), share, phi, log_likelihood = GLMMTMB[family]
    own = "zi" if family.startswith("zero") else "hu"
    known: dict[str, float] = {own: share} | ({} if phi is None else {"phi": phi})
    model = sp.Model("count ~ unmined + DOP", salamanders, family=family)
    at = {"Intercept": alpha, "beta": np.array(beta), **known}

    def total(**moved: float) -> float:
        from stanpool.data.likelihood import log_likelihood as of_rows

        eta = at["Intercept"] + moved.get("eta", 0.0) + model.design.X @ at["beta"]
        parameters = {name: known[name] + moved.get(name, 0.0) for name in known}
        return float(of_rows(model.spec, model.design, eta, parameters).sum())

    assert total() == pytest.approx(log_likelihood, abs=2e-6)
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
    from scipy import stats

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
