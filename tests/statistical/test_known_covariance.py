"""Groups with a known covariance: quadrature, and the estimates of another tool."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

import stanpool as sp
from statistical.monte_carlo import FITTING, assert_mean

TREE = Path(__file__).parents[1] / "data" / "phylogeny"
PRIORS = {
    "Intercept": "normal(2, 3)",
    "beta": "normal(0, 2)",
    "tau": "exponential(1)",
    "sigma": "exponential(1)",
}
# gls(y ~ x, traits, correlation = corPagel(0.5, tree, form = ~species)) of nlme 3.1.162
# and ape 5.7 in R 4.2.2: lambda, the share of tau^2 in the sum of tau^2 and sigma^2,
# the root of that sum, and the log likelihood, restricted and not.
RESTRICTED = (0.68050712040, 1.24111312303, -50.67441093919)
UNRESTRICTED = (0.645405912041, 1.166085712676, -50.159405762393)


@cache
def covariance() -> pd.DataFrame:
    """How long lineages of species were one, in the tree."""
    text = (TREE / "tree.nwk").read_text().strip().rstrip(";")
    pieces = re.findall(r"[(),]|[^(),]+", text)
    shared: dict[tuple[str, str], float] = {}

    def read(above: float) -> tuple[list[str], float]:
        """Read a clade below an age; return its tips and the length of its stem."""
        if pieces[0] != "(":
            name, length = pieces.pop(0).split(":")
            return [name], float(length)
        clades = []
        while pieces.pop(0) != ")":
            clades.append(read(above))
        length = float(pieces.pop(0).removeprefix(":")) if pieces else 0.0
        for tips, own in clades:
            for one in tips:
                for other in tips:
                    shared[one, other] = shared.get((one, other), 0.0) + own
        return [tip for tips, _ in clades for tip in tips], length

    tips, _ = read(0.0)
    A = pd.DataFrame(0.0, index=tips, columns=tips)
    for pair, length in shared.items():
        A.loc[pair] = length
    return A


def traits() -> pd.DataFrame:
    return pd.read_csv(TREE / "traits.csv")


@cache
def fit(kind: str = "matrix") -> sp.Fit:
    """A fit in which four species have no rows."""
    A: Any = covariance().sample(frac=1, random_state=1)
    if kind == "tree":
        A = (TREE / "tree.nwk").read_text()
    formula = "y ~ x + (1 | gr(species, cov=A))"
    model = sp.Model(formula, traits()[4:], covariances={"A": A}, priors=PRIORS)
    return model.fit(progress=False, **FITTING)


def test_likelihoods_have_their_maximum_where_nlme_finds_it() -> None:
    """What quadrature integrates below is the model of others."""
    data = traits()
    A = covariance().loc[data["species"], data["species"]].to_numpy()
    X = np.column_stack([np.ones(len(data)), data["x"]])
    y = data["y"].to_numpy()

    def log_likelihood(at: np.ndarray, restricted: bool) -> Any:
        share, total = at
        V = total**2 * (share * A + (1 - share) * np.eye(len(y)))
        precision = np.linalg.inv(V)
        information = X.T @ precision @ X
        beta = np.linalg.solve(information, X.T @ precision @ y)
        found = stats.multivariate_normal.logpdf(y, X @ beta, V)
        if restricted:
            gained = np.linalg.slogdet(X.T @ X)[1] - np.linalg.slogdet(information)[1]
            found += 0.5 * (gained + X.shape[1] * np.log(2 * np.pi))
        return found

    for restricted, (*at, value) in ((True, RESTRICTED), (False, UNRESTRICTED)):
        best = optimize.minimize(
            lambda x, restricted=restricted: -log_likelihood(x, restricted),
            (0.5, 1.0),
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-9},
        )
        assert best.x == pytest.approx(at, abs=2e-4)
        if not restricted:
            assert -best.fun == pytest.approx(value, abs=1e-6)


@cache
def by_quadrature() -> dict[str, float]:
    """Posterior means, where all but the scales is normal given these."""
    seen, all_ = traits()[4:], covariance()
    y, x = seen["y"].to_numpy(), seen["x"].to_numpy()
    A = all_.loc[seen["species"], seen["species"]].to_numpy()
    x_c = x - x.mean()
    nodes, weights = np.polynomial.legendre.leggauss(32)
    found = []
    # Up to 6 and 3, beyond which there is next to nothing.
    for tau, own in zip(3 * (1 + nodes), weights, strict=True):
        for sigma, other in zip(1.5 * (1 + nodes), weights, strict=True):
            common = 9 * np.ones(A.shape) + 4 * np.outer(x_c, x_c) + tau**2 * A
            V = common + sigma**2 * np.eye(len(y))
            log_weight = stats.multivariate_normal.logpdf(y, np.full(len(y), 2.0), V)
            log_weight += np.log(own * other) - tau - sigma
            found.append([log_weight, tau, sigma, *_of_new(tau, V)])
    log_weight, *values = np.array(found).T
    weight = np.exp(log_weight - log_weight.max())
    means = [np.average(each, weights=weight) for each in values]
    return dict(zip(("tau", "sigma", "s01", "s04"), means, strict=True))


def _of_new(tau: float, V: np.ndarray) -> list[float]:
    """Return the coefficients of two species without rows, given the others."""
    seen = traits()[4:]
    x_c = seen["x"].to_numpy() - seen["x"].mean()
    left = np.linalg.solve(V, seen["y"].to_numpy() - 2.0)
    # The intercept where x is 0 is that at its mean less the slope times the mean.
    at_zero = -seen["x"].mean()
    means = []
    for label in ("s01", "s04"):
        with_rows = covariance().loc[label, seen["species"]].to_numpy()
        means.append(2.0 + (9 + 4 * at_zero * x_c + tau**2 * with_rows) @ left)
    return means


@pytest.mark.parametrize("kind", ["matrix", "tree"])
def test_posterior_means_are_those_of_quadrature(kind: str) -> None:
    exact, posterior = by_quadrature(), fit(kind).posterior
    assert_mean(posterior["tau_species_A"].squeeze(drop=True), exact["tau"])
    assert_mean(posterior["sigma"], exact["sigma"])


@pytest.mark.parametrize("kind", ["matrix", "tree"])
@pytest.mark.parametrize("species", ["s01", "s04"])
def test_species_without_rows_are_predicted_from_their_relatives(
    species: str, kind: str
) -> None:
    own = fit(kind).posterior["b_species_A"].sel(species_A=species).squeeze(drop=True)
    assert_mean(own, by_quadrature()[species])


def test_predictions_are_of_species_that_the_covariance_has() -> None:
    new = pd.DataFrame({"species": ["s04", "s01"], "x": [0.0, 1.0]})
    b = fit().posterior["b_species_A"].sel(species_A=["s04", "s01"]).squeeze(drop=True)
    drawn = fit().linpred(new).to_numpy()
    beta = fit().posterior["beta"].to_numpy()
    expected = b.to_numpy() + beta * np.array([0.0, 1.0])
    np.testing.assert_allclose(drawn, expected, rtol=1e-6)
    with pytest.raises(sp.DataError, match="has no rows for 'dodo'"):
        fit().predict(new.assign(species="dodo"))
    with pytest.raises(sp.SpecError, match=r"known covariance.*Leave out rows"):
        fit().loo(unit="group")


def test_shares_of_variance_are_lambda_of_the_posterior() -> None:
    """All species have the variance 1 in the covariance."""
    tau, sigma = (
        fit().posterior[x].squeeze(drop=True) for x in ("tau_species_A", "sigma")
    )
    share = tau**2 / (tau**2 + sigma**2)
    assert fit().icc().loc["species_A", "mean"] == pytest.approx(
        float(share.mean()), 1e-4
    )


def test_a_kept_fit_has_the_covariance(tmp_path: Path) -> None:
    fit().save(tmp_path / "fit")
    kept = sp.load(tmp_path / "fit")
    new = pd.DataFrame({"species": ["s02"], "x": [0.3]})
    assert kept.linpred(new).equals(fit().linpred(new))
    data, A = traits()[4:], covariance()
    options = {"file": tmp_path / "fit", "progress": False, **FITTING}
    formula = "y ~ x + (1 | gr(species, cov=A))"
    same = sp.Model(formula, data, covariances={"A": A}, priors=PRIORS)
    assert same.fit(**options).seconds == fit().seconds
    other = sp.Model(formula, data, covariances={"A": A**2}, priors=PRIORS)
    assert (
        other.fit(**options | {"draws": 10, "warmup": 10, "chains": 1}).seconds
        != fit().seconds
    )


def test_a_tree_is_the_covariance_of_its_tips() -> None:
    text = (TREE / "tree.nwk").read_text()
    formula = "y ~ x + (1 | gr(species, cov=A))"
    model = sp.Model(formula, traits(), covariances={"A": text})
    factor = model.design.factors[0]
    assert factor.root is not None
    root = factor.root.times(np.eye(factor.root.columns))
    found = pd.DataFrame(root @ root.T, factor.labels, factor.labels)
    expected = covariance()
    tips = list(expected)
    np.testing.assert_allclose(found.loc[tips, tips], expected, atol=1e-9)


def test_calves_have_the_published_breeding_values() -> None:
    """Of known scales: Mrode (2014), example 3.1, with units 100 times as large."""
    pedigree = pd.DataFrame(
        {"id": [4, 5, 6, 7, 8], "sire": [1, 3, 1, 4, 3], "dam": [0, 2, 2, 5, 6]}
    )
    data = pd.DataFrame({"calf": pedigree["id"], "sex": list("mffmm")})
    data["gain"] = np.array([4.5, 2.9, 3.9, 3.5, 5.0])
    tau, sigma = 0.01 * np.sqrt([20.0, 40.0])
    model = sp.Model(
        "gain ~ 0 + sex + (1 | gr(calf, cov=A))",
        data,
        covariances={"A": pedigree},
        priors={
            "tau": f"normal({tau}, {tau / 1000})",
            "sigma": f"normal({sigma}, {sigma / 1000})",
            "beta": "normal(0, 10)",
        },
    )
    found = model.fit(progress=False, **FITTING).posterior
    published = {1: 0.098, 2: -0.019, 3: -0.041, 4: -0.009}
    published |= {5: -0.186, 6: 0.177, 7: -0.249, 8: 0.183}
    for animal, value in published.items():
        drawn = found["b_calf_A"].sel(calf_A=animal).squeeze(drop=True)
        assert_mean(drawn, value, rounding=0.0005)
    for sex, value in {"f": 3.404, "m": 4.358}.items():
        assert_mean(
            found["beta"].sel(coefficient=f"sex[{sex}]"), value, rounding=0.0005
        )


def test_heritability_has_the_posterior_of_quadrature() -> None:
    """A pedigree and free effects of the same animals: shares of three variances."""
    rng = np.random.default_rng(8)
    parents = rng.integers(1, 11, size=(30, 2))
    pedigree = pd.DataFrame({"sire": parents[:, 0], "dam": 10 + parents[:, 1]})
    pedigree.insert(0, "id", np.arange(21, 51))
    animal = np.repeat(np.arange(21, 51), 3)
    A = np.eye(30) + 0.25 * sum(
        np.equal.outer(side, side) * (1 - np.eye(30)) for side in parents.T
    )
    Z = np.equal.outer(animal, np.arange(21, 51)).astype(float)
    scales = np.linalg.cholesky(Z @ (0.8 * A + 0.4 * np.eye(30)) @ Z.T + np.eye(90))
    y = scales @ rng.normal(size=90)
    data = pd.DataFrame({"y": y, "animal": animal})
    formula = "y ~ 1 + (1 | gr(animal, cov=P)) + (1 | animal)"
    priors = {"Intercept": "normal(0, 2)", "tau": "exponential(1)"}
    priors |= {"sigma": "exponential(1)"}
    model = sp.Model(formula, data, covariances={"P": pedigree}, priors=priors)
    found = model.fit(progress=False, adapt_delta=0.95, **FITTING)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    table = []
    for i, j, k in np.ndindex(12, 12, 12):
        tau, own, sigma = 2 * (1 + nodes[i]), 1.5 * (1 + nodes[j]), 1 + nodes[k]
        V = 4 + Z @ (tau**2 * A + own**2 * np.eye(30)) @ Z.T + sigma**2 * np.eye(90)
        root = np.linalg.cholesky(V)
        z = np.linalg.solve(root, y)
        log_weight = -0.5 * z @ z - np.log(np.diag(root)).sum() - tau - own - sigma
        total = tau**2 + own**2 + sigma**2
        table.append([log_weight, tau**2 / total, own**2 / total])
        table[-1][0] += np.log(weights[i] * weights[j] * weights[k])
    log_weight, *shares = np.array(table).T
    weight = np.exp(log_weight - log_weight.max())
    exact = [np.average(each, weights=weight) for each in shares]
    drawn = [
        found.posterior[f"tau_{x}"].squeeze(drop=True) ** 2
        for x in ("animal_P", "animal")
    ]
    total = sum(drawn) + found.posterior["sigma"] ** 2
    for each, expected, label in zip(drawn, exact, ("animal_P", "animal"), strict=True):
        assert_mean(each / total, expected)
        # Animals with records are not inbred: all have the variance 1.
        assert found.icc().loc[label, "mean"] == pytest.approx(
            float((each / total).mean())
        )
