"""Survival curves against R's survival package, SciPy and quadrature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import stanpool as sp
from simulated_fits import fit_of_draws, fit_of_prior

# survreg(Surv(time, status) ~ male, kidney, dist = ...) of survival in R 4.2.2: the
# coefficients, the scale, and by predict(type = "quantile") when 10%, 50% and 90% of
# women and of men have had the event.
SURVREG = {
    "weibull": (
        *((5.081293756100, -0.986603156565), 1.10608747112),
        (13.35900447434, 107.3289488309, 404.967409824),
        (4.98078492149, 40.0166352966, 150.988464179),
    ),
    "lognormal": (
        *((4.58931284148, -1.36821615917), 1.18835512694),
        (21.46394322794, 98.4267721236, 451.353666369),
        (5.46387534951, 25.0555831343, 114.896882898),
    ),
    "exponential": (
        *((5.096507133170, -0.908537311512), 1.0),
        (17.22117628427, 113.2949066625, 376.357533450),
        (6.94208730943, 45.6706975634, 151.714773349),
    ),
}


def kidney() -> pd.DataFrame:
    data = sp.load_dataset("kidney")
    return data.assign(male=(data["sex"] == 1).astype(int))


def fit_at(formula: Any, family: str, **draws: Any) -> sp.Fit:
    """Return a fit of some draws, by Stan's names, each of shape ``(draws, ...)``."""
    model = sp.Model(formula, kidney(), family=family)
    return fit_of_draws(model, {name: np.array([x]) for name, x in draws.items()})


@pytest.mark.parametrize("family", SURVREG)
def test_quantiles_are_those_of_survreg(family: str) -> None:
    (intercept, slope), scale, women, men = SURVREG[family]
    own: dict[str, Any] = {"sigma": [scale]} if family == "lognormal" else {}
    if family == "weibull":
        # Theirs is the logarithm of the scale, and ours that of the mean.
        intercept += special.gammaln(1 + scale)
        own = {"shape": [1 / scale]}
    formula = "time | cens(1 - status) ~ male"
    fit = fit_at(formula, family, alpha=[intercept], beta=[[slope]], **own)
    for male, times in enumerate((women, men)):
        found = fit.survival(times, {"male": [male]})
        assert found["male"].tolist() == [male] * 3
        np.testing.assert_allclose(found["time"], times)
        np.testing.assert_allclose(found["estimate"], [0.9, 0.5, 0.1], atol=1e-9)


def test_curves_of_rows_are_averaged() -> None:
    """As are probabilities at each draw, which the mean predictors do not give."""
    shape, sigma = np.array([0.8, 1.4]), np.array([0.7, 1.2])
    alpha, beta = np.array([5.0, 4.6]), np.array([[-1.0], [-0.4]])
    formula = "time | cens(1 - status) ~ male"
    males = kidney()["male"].to_numpy()
    eta = alpha[:, None] + beta * males
    for family, own, of in (
        (
            *("weibull", {"shape": shape}),
            stats.weibull_min(
                shape[:, None],
                scale=np.exp(eta) / special.gamma(1 + 1 / shape)[:, None],
            ),
        ),
        ("lognormal", {"sigma": sigma}, stats.lognorm(sigma[:, None], 0, np.exp(eta))),
    ):
        fit = fit_at(formula, family, alpha=alpha, beta=beta, **own)
        for time in (0.0, 40.0, 300.0):
            found = fit.survival(time, by=True, as_draws=True)
            expected = of.sf(time).mean(axis=1)
            np.testing.assert_allclose(found.to_numpy().ravel()[-2:], expected)
        both = fit.survival([20.0, 90.0], by="male")
        assert list(both[["male", "time"]].itertuples(index=False, name=None)) == [
            *((0, 20.0), (0, 90.0), (1, 20.0), (1, 90.0))
        ]


@pytest.mark.parametrize("family", ["weibull", "exponential", "lognormal"])
@pytest.mark.parametrize("tau", [0.4, 2.5])
def test_new_groups_are_averaged_over(family: str, tau: float) -> None:
    """By many more points of the normal distribution."""
    own: dict[str, Any] = {
        "weibull": {"shape": [2.3]},
        "lognormal": {"sigma": [0.7]},
        "exponential": {},
    }[family]
    fit = fit_at(
        "time | cens(1 - status) ~ male + (1 | id)",
        family,
        alpha=[4.5],
        beta=[[-1.0]],
        tau=[[tau]],
        b=[np.zeros((38, 1))],
        **own,
    )
    times = np.array([5.0, 60.0, 400.0])
    z = np.linspace(-9, 9, 100_001)
    eta = 4.5 + tau * z[:, None]
    if family == "lognormal":
        above = stats.norm.sf(np.log(times), eta, 0.7)
    else:
        shape = own.get("shape", [1.0])[0]
        scale = np.exp(eta) / special.gamma(1 + 1 / shape)
        above = np.exp(-((times / scale) ** shape))
    weights = np.exp(-(z**2) / 2)
    expected = weights @ above / weights.sum()
    found = fit.survival(times, {"male": [0]}, groups="population")
    np.testing.assert_allclose(found["estimate"], expected, rtol=1e-8)
    assert set(found["groups"]) == {"population"}


def test_a_shape_may_have_a_formula() -> None:
    fit = fit_at(
        ["time | cens(1 - status) ~ male", "shape ~ male"],
        "weibull",
        alpha=[5.0],
        beta=[[-1.0]],
        alpha_shape=[0.2],
        beta_shape=[[0.5]],
    )
    found = fit.survival([40.0], {"male": [0, 1]})["estimate"]
    for male, each in enumerate(found):
        shape = np.exp(0.2 + 0.5 * male)
        scale = np.exp(5.0 - male) / special.gamma(1 + 1 / shape)
        assert each == pytest.approx(np.exp(-((40.0 / scale) ** shape)))


def test_times_reach_from_0_to_the_largest_unless_stated() -> None:
    formula = "time | cens(1 - status) ~ male"
    fit = fit_at(formula, "exponential", alpha=[5.0], beta=[[-1.0]])
    found = fit.survival(by=True)
    assert len(found) == 50
    assert found["time"].iloc[[0, -1]].tolist() == [0.0, kidney()["time"].max()]
    assert found["estimate"].iloc[0] == pytest.approx(1.0)
    assert found["estimate"].is_monotonic_decreasing


def test_what_has_no_survival_curve_is_refused() -> None:
    formula = "time | cens(1 - status) ~ male"
    fit = fit_at(formula, "exponential", alpha=[5.0], beta=[[-1.0]])
    for times in (-1.0, []):
        with pytest.raises(sp.DataError, match="numbers of 0 or more"):
            fit.survival(times)
    other = fit_at("time ~ male", "gamma", alpha=[5.0], beta=[[-1.0]], shape=[2.0])
    with pytest.raises(sp.SpecError, match=r"no survival curves; .* 'exponential'"):
        other.survival()
    formulas = ["time ~ male + (1 | id)", "shape ~ (1 | id)"]
    model = sp.Model(formulas, kidney(), family="weibull")
    with pytest.raises(sp.SpecError, match="'shape' has groups"):
        fit_of_prior(model, chains=1, draws=3).survival()


# survfit(Surv(time, status) ~ male, kidney) in R 4.2.2: at 30, 100 and 200 days.
KAPLAN_MEIER = {
    0: (0.7747321675, 0.5727462931, 0.2680993356),
    1: (0.2814814815, 0.1688888889, 0.0562962963),
}


def test_the_figure_has_the_curves_and_those_of_kaplan_and_meier() -> None:
    formula = "time | cens(1 - status) ~ male"
    fit = fit_at(formula, "exponential", alpha=[5.0], beta=[[-1.0]])
    (ax,) = fit.plot.survival({"male": [0, 1]}, times=[0.0, 100.0, 200.0]).axes
    curves, steps = ax.lines[::2], ax.lines[1::2]
    for male, curve, step in zip((0, 1), curves, steps, strict=True):
        rate = np.exp(-(5.0 - male))
        np.testing.assert_allclose(
            curve.get_ydata(), np.exp(-rate * np.array([0.0, 100.0, 200.0]))
        )
        at, share = step.get_data()
        found = share[np.searchsorted(at, [30, 100, 200], side="right") - 1]
        np.testing.assert_allclose(found, KAPLAN_MEIER[male], atol=1e-7)
    (ax,) = fit.plot.survival(observed=False).axes
    assert len(ax.lines) == 1
    with pytest.raises(sp.SpecError, match="of the values of one"):
        fit.plot.survival({"male": [0, 1], "age": [40]})
