"""BYM2 and CAR against a published analysis, and against whole precision matrices."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from statistical.densities import between_regions

# Nine regions in two connected parts, with an island: "i" has no neighbours.
PAIRS = ("ab", "bc", "cd", "da", "ac", "ef", "fg", "gh")
LABELS = "abcdefghi"


def adjacency() -> pd.DataFrame:
    found = pd.DataFrame(0, index=list(LABELS), columns=list(LABELS))
    for one, other in PAIRS:
        found.loc[one, other] = found.loc[other, one] = 1
    return found


def data() -> pd.DataFrame:
    """Unequal numbers of rows; "d" and "h" have none."""
    regions = np.array(list("aabceeefgiab"))
    noise = np.random.default_rng(23).normal(0, 0.4, len(regions))
    return pd.DataFrame({"region": regions, "y": np.sin(np.arange(12.0)) + noise})


def model_of(structure: str, **options: object) -> sp.Model:
    return sp.Model(
        f"y ~ {structure}(region, W)",
        data(),
        covariances={"W": adjacency()},
        **options,
    )


def held(tau: float, sigma: float, rho: float) -> dict[str, str]:
    """Return priors that hold the parameters of a covariance at values."""
    return {
        "tau": f"lognormal({math.log(tau)!r}, 0.002)",
        "sigma": f"lognormal({math.log(sigma)!r}, 0.002)",
        "rho_bym2_region": f"beta({1e5 * rho!r}, {1e5 * (1 - rho)!r})",
    }


def neighbours_of_lips() -> tuple[pd.DataFrame, pd.DataFrame]:
    lips = sp.load_dataset("lip_cancer")
    pairs = lips.assign(other=lips["neighbours"].str.split()).explode("other")
    return lips, pairs[["county", "other"]]


# Morris (2019), Spatial Models in Stan, the BYM2 model of the lip cancer data: means,
# standard deviations and effective draws.
MORRIS = {
    "Intercept": (-0.217, 0.129, 1927),
    "beta": (0.365, 0.134, 2065),
    "tau_bym2_county": (0.514, 0.0885, 739),
    "rho_bym2_county": (0.878, 0.144, 686),
}


def test_lip_cancer_has_the_published_posterior() -> None:
    lips, pairs = neighbours_of_lips()
    model = sp.Model(
        "cases | exposure(expected) ~ I(agriculture / 10) + bym2(county, W)",
        lips,
        family="poisson",
        covariances={"W": pairs},
        priors={
            "Intercept": "normal(0, 1)",
            "beta": "normal(0, 1)",
            "tau": "normal(0, 1)",
            "rho_bym2_county": "beta(0.5, 0.5)",
        },
    )
    # The published prior is of the intercept at agriculture = 0.
    model = model.with_(center_predictors=False)
    fit = model.fit(seed=1, progress=False)
    own = fit.summary(groups=False)
    for name, (mean, sd, size) in MORRIS.items():
        draws = fit.posterior[name].to_numpy().ravel()
        count = min(own["ess_bulk"])
        error = sd * math.sqrt(1 / size + 1 / count)
        # They have three digits.
        assert draws.mean() == pytest.approx(mean, abs=4 * error + 5e-4)
        assert draws.std() == pytest.approx(sd, rel=4 * math.sqrt(1 / size + 1 / count))


def test_the_map_with_islands_has_the_published_scale() -> None:
    """Of the mainland, with the three counties of islands apart: 0.4504 (Morris)."""
    _, pairs = neighbours_of_lips()
    islands = {"6", "8", "11"}
    pairs = pairs.astype(str)
    pairs = pairs[~pairs["county"].isin(islands) & ~pairs["other"].isin(islands)]
    counties = pd.DataFrame({"county": pairs["county"].unique(), "y": np.arange(53.0)})
    model = sp.Model("y ~ icar(county, W)", counties, covariances={"W": pairs})
    factor = model.design.factors[0]
    labels = list(factor.labels)
    ties = pd.crosstab(pairs["county"], pairs["other"]).loc[labels, labels].to_numpy()
    inverse = np.linalg.pinv(np.diag(ties.sum(axis=0)) - ties, hermitian=True)
    ratio = np.diag(inverse) / factor.variances_of_groups
    np.testing.assert_allclose(ratio, 0.4504, atol=5e-5)


@pytest.mark.parametrize("structure", ["bym2", "car"])
@pytest.mark.parametrize("rho", [0.0, 0.3, 0.999])
def test_the_covariance_is_that_of_the_precision(structure: str, rho: float) -> None:
    model = model_of(structure)
    factor, ((_, known),) = model.design.factors[0], model.spec.covariances
    assert factor.root is not None
    L = factor.root.times(np.eye(factor.root.columns), np.array(rho))
    place = [known.labels.index(label) for label in factor.labels]
    wanted = between_regions(known, structure, rho)[np.ix_(place, place)]
    np.testing.assert_allclose(L @ L.T, wanted, atol=1e-12)


@pytest.mark.parametrize("structure", ["bym2", "car"])
def test_at_their_ends_regions_are_icar_or_independent(structure: str) -> None:
    root = model_of(structure).design.factors[0].root
    icar = model_of("icar").design.factors[0].root
    assert root is not None
    assert icar is not None
    v = np.eye(root.columns)
    whole, free = (root.times(v, np.array(rho)) for rho in (1.0, 0.0))
    of_icar = icar.times(np.eye(icar.columns))
    np.testing.assert_allclose(whole @ whole.T, of_icar @ of_icar.T, atol=1e-12)
    independent = np.eye(9)
    if structure == "car":  # given that each part has the sum 0
        for part in (slice(0, 4), slice(4, 8)):
            independent[part, part] -= 0.25
    order = [model_of("car").design.factors[0].labels.index(x) for x in LABELS]
    found = (free @ free.T)[np.ix_(order, order)]
    np.testing.assert_allclose(found, independent, atol=1e-12)


@pytest.mark.parametrize("structure", ["bym2", "car"])
def test_given_the_parameters_regions_are_jointly_normal(structure: str) -> None:
    """Means and standard deviations of regions with rows, without, and of an island."""
    tau, sigma, rho = 0.7, 0.4, 0.6
    priors = held(tau, sigma, rho) | {"Intercept": "normal(0, 1000)"}
    priors[f"rho_{structure}_region"] = priors.pop("rho_bym2_region")
    model = model_of(structure, priors=priors)
    fit = model.fit(seed=1, progress=False)
    new = pd.DataFrame({"region": list(LABELS)})
    found = fit.predict(new, kind="epred", summary=True)
    ((_, known),) = model.spec.covariances
    K = tau**2 * between_regions(known, structure, rho) + 1000.0**2
    at = [known.labels.index(region) for region in data()["region"]]
    of_rows = K[np.ix_(at, at)] + sigma**2 * np.eye(len(at))
    weights = np.linalg.solve(of_rows, K[at]).T
    means = weights @ data()["y"]
    sds = np.sqrt(np.diag(K - weights @ K[at]))
    # At least a quarter of the 4,000 draws counts.
    assert np.abs((found["mean"] - means) / (sds / math.sqrt(1000))).max() < 4
    np.testing.assert_allclose(found["sd"], sds, rtol=4 / math.sqrt(2000))


@pytest.mark.parametrize("structure", ["bym2", "car"])
def test_the_order_of_rows_and_regions_changes_nothing(structure: str) -> None:
    model = model_of(structure)
    frame, W = data().sample(frac=1, random_state=1), adjacency()
    W = W.sample(frac=1, random_state=2)[list("ibcdefgha")]
    other = sp.Model(f"y ~ {structure}(region, W)", frame, covariances={"W": W})
    assert other.design.factors[0].labels == model.design.factors[0].labels
    one, two = model.stan_data(), other.stan_data()
    for name in ("root", "spectrum"):
        np.testing.assert_array_equal(one[name], two[name])


def test_a_fit_is_kept_and_says_what_it_is(tmp_path: Path) -> None:
    model = model_of("bym2")
    fit = model.fit(seed=1, chains=2, draws=100, warmup=200, progress=False)
    fit.save(tmp_path / "fit")
    again = sp.load(tmp_path / "fit")
    new = pd.DataFrame({"region": list("adi")})
    np.testing.assert_array_equal(again.epred(new, seed=1), fit.epred(new, seed=1))
    assert "rho_bym2_region" in fit.posterior
    assert "BYM2: 9 regions" in str(model.explain())
    assert "'i' have no neighbours" in str(model.explain())
    assert "CAR of Leroux: 9 regions" in str(model_of("car").explain())
    assert "BYM2(α, τ_α, ρ)" in str(model.equations())
    assert "rho_bym2_region" in str(fit.prior_sensitivity())
    with pytest.raises(sp.DataError, match="no rows for 'z'"):
        fit.epred(pd.DataFrame({"region": ["z"]}))
