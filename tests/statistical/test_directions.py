"""Directions: von Mises outcomes against closed forms, quadrature and brms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, special, stats

import stanpool as sp
from stanpool.data.likelihood import log_likelihood

# In degrees, where 14 northern cricket frogs went: Ferguson, Landreth and McKeown
# (1967), as in R's package circular.
FROGS = (104, 110, 117, 121, 127, 130, 136, 145, 152, 178, 184, 192, 200, 316)


def turned(degrees: float) -> dict[str, np.ndarray]:
    """Return the frogs' directions, counted from another one than north."""
    y = np.deg2rad(np.array(FROGS) - degrees)
    return {"y": np.arctan2(np.sin(y), np.cos(y))}


@pytest.mark.parametrize("degrees", [0.0, 140.0, 300.0])
def test_the_likelihood_has_its_maximum_where_it_is_known(degrees: float) -> None:
    """At the mean direction, and where I1 / I0 is the mean resultant length."""
    data = turned(degrees)
    model = sp.Model("y ~ 1", data, family="von_mises")
    resultant = np.exp(1j * data["y"]).mean()
    length = abs(resultant)
    kappa = optimize.brentq(
        lambda x: special.i1e(x) / special.i0e(x) - length, 0.1, 20.0
    )
    eta = np.full(len(FROGS), np.tan(np.angle(resultant) / 2))

    def total(at: np.ndarray, concentration: float) -> float:
        known = {"kappa": concentration}
        return float(log_likelihood(model.spec, model.design, at, known).sum())

    best = total(eta, kappa)
    constant = np.log(2 * np.pi * special.i0(kappa))
    assert best == pytest.approx(len(FROGS) * (kappa * length - constant))
    for step in (-1e-3, 1e-3):
        assert total(eta * (1 + step), kappa) < best
        assert total(eta, kappa * (1 + step)) < best


def test_the_posterior_is_that_of_quadrature() -> None:
    data = turned(140.0)
    priors = {"Intercept": "normal(0, 1)", "kappa": "gamma(2, 0.5)"}
    fit = sp.Model("y ~ 1", data, family="von_mises", priors=priors).fit(
        seed=1, engine="stanli", progress=False
    )
    assert fit.diagnose().ok
    eta, kappa = np.linspace(-1.5, 1.8, 300), np.linspace(0.01, 12.0, 300)
    # Shapes (eta, kappa, row).
    mu = 2 * np.arctan(eta)[:, None, None]
    log_density = stats.vonmises.logpdf(data["y"], kappa[:, None], loc=mu).sum(axis=-1)
    log_density += stats.norm.logpdf(eta)[:, None]
    log_density += stats.gamma.logpdf(kappa, 2, scale=2)
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    summary = fit.summary()
    for name, grid, each in (
        ("Intercept", eta, weight.sum(axis=1)),
        ("kappa", kappa, weight.sum(axis=0)),
    ):
        mean = each @ grid
        row = summary.loc[name]
        assert abs(row["mean"] - mean) < 4.5 * row["mcse_mean"]
        sd = np.sqrt(each @ (grid - mean) ** 2)
        assert row["sd"] == pytest.approx(sd, rel=0.08)
    expected = weight.sum(axis=1) @ (2 * np.arctan(eta))
    found = fit.epred().mean(("chain", "draw")).to_numpy()
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_the_posterior_is_that_of_brms() -> None:
    """Means and standard errors of 12,000 draws of brms 2.18 with the same priors."""
    data = turned(135.0) | {"x": (np.arange(14) - 6.5) / 4}
    priors = {"Intercept": "normal(0, 1)", "beta": "normal(0, 1)"}
    fit = sp.Model("y ~ x", data, family="von_mises", priors=priors).fit(
        seed=1, engine="stanli", progress=False
    )
    found = fit.summary()
    for name, mean, sd, size in (
        ("Intercept", 0.180765, 0.073658, 9758),
        ("beta[x]", 0.375315, 0.081202, 9403),
        ("kappa", 5.715881, 1.858654, 8074),
    ):
        error = np.hypot(found.loc[name, "mcse_mean"], sd / np.sqrt(size))
        assert abs(found.loc[name, "mean"] - mean) < 4.5 * error, name
        assert found.loc[name, "sd"] == pytest.approx(sd, rel=0.08), name


def test_errors_are_within_half_a_turn() -> None:
    """Outcomes on the two sides of the cut are near their mean direction."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=80)
    y = 2.2 + 0.1 * x + rng.vonmises(0.0, 5.0, 80)
    data = {"x": x, "y": np.arctan2(np.sin(y), np.cos(y))}
    assert (data["y"] < -2.5).any()
    fit = sp.Model("y ~ x", data, family="von_mises").fit(
        seed=1, engine="stanli", progress=False
    )
    assert fit.diagnose().ok
    assert fit.check_outcomes().ok
    # The standard deviation of a deviation with the concentration 5.
    assert fit.loo().rmse == pytest.approx(0.475, rel=0.2)


def test_numbers_that_are_no_angles_are_refused() -> None:
    with pytest.raises(sp.DataError, match=r"from -pi to pi, .* the same direction"):
        sp.Model("y ~ 1", {"y": np.array(FROGS)}, family="von_mises")
    with pytest.raises(sp.SpecError, match="tan_half"):
        sp.Model("y ~ 1", turned(0.0), family="von_mises", link="log")
