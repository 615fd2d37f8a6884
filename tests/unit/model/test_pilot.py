"""The pilot estimate against what data were simulated with, and where data are few."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import stanpool as sp
from golden.catalogue import models
from stanpool.model.pilot.estimate import PilotEstimate
from stanpool.model.prepared_model import prepare


def simulated(
    family: str, sizes: list[int], tau: float, *, seed: int = 1
) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of ``y ~ x + (1 | g)`` with intercept 0.3, slope 0.5 and sigma 0.8."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(len(sizes)), sizes)
    u, x = rng.normal(0, tau, len(sizes)), rng.normal(size=len(g))
    eta = 0.3 + 0.5 * x + u[g]
    mean = np.exp(eta) if family in ("poisson", "negative_binomial", "gamma") else eta
    y = {
        "gaussian": lambda: rng.normal(eta, 0.8),
        "student_t": lambda: eta + 0.8 * rng.standard_t(5, len(g)),
        "bernoulli": lambda: (rng.random(len(g)) < 1 / (1 + np.exp(-eta))).astype(int),
        "poisson": lambda: rng.poisson(mean),
        "negative_binomial": lambda: rng.poisson(rng.gamma(5, mean / 5)),
        "gamma": lambda: rng.gamma(4, mean / 4),
        "ordinal": lambda: (
            1
            + (eta + rng.logistic(size=len(g)) > 0).astype(int)
            + (eta + 0 * mean + rng.logistic(size=len(g)) > 9)
        ),
    }[family]()
    return pd.DataFrame({"y": y, "x": x, "g": g}), u


def pilot_of(data: pd.DataFrame, formula: str, **options: object) -> PilotEstimate:
    found = sp.Model(formula, data, parameterization="adaptive", **options).pilot
    assert found is not None
    return found


@pytest.mark.parametrize(
    "family",
    ["gaussian", "student_t", "bernoulli", "poisson", "negative_binomial", "gamma"],
)
def test_the_pilot_finds_what_data_were_simulated_with(family: str) -> None:
    data, u = simulated(family, [60] * 80, 0.6)
    found = pilot_of(data, "y ~ x + (1 | g)", family=family)
    (own,) = found.factors
    np.testing.assert_allclose(own.tau, u.std(), rtol=0.15)
    assert np.corrcoef(own.u[:, 0], u)[0, 1] > 0.8
    slope, error = found.theta[1], found.theta_sd[1]
    assert abs(slope - 0.5) < 5 * error + 0.02
    if family == "gaussian":
        assert found.parameters["sigma"] == pytest.approx(0.8, rel=0.05)


@pytest.mark.parametrize(
    ("formula", "family", "name", "truth"),
    [
        ("time | cens(is_late) ~ x + (1 | g)", "weibull", "shape", 1.7),
        ("hits | trials(n) ~ x + (1 | g)", "beta_binomial", "phi", 6.0),
        ("wald ~ x + (1 | g)", "inverse_gaussian", "shape", 2000.0),
        ("count | trunc(1) ~ x + (1 | g)", "negative_binomial", "phi", 3.0),
        ("count | trunc(1) ~ x + (1 | g)", "poisson", None, None),
        ("inflated ~ x + (1 | g)", "zero_inflated_negative_binomial", "zi", 0.3),
        ("inflated ~ x + (1 | g)", "hurdle_negative_binomial", "phi", 3.0),
        ("skewed ~ x + (1 | g)", "skew_normal", "slant", 4.0),
        ("spent ~ x + (1 | g)", "hurdle_gamma", "shape", 2.0),
        ("spent ~ x + (1 | g)", "hurdle_lognormal", "hu", 0.3),
        ("part ~ x + (1 | g)", "zero_one_inflated_beta", "phi", 6.0),
        ("part ~ x + (1 | g)", "zero_one_inflated_beta", "coi", 0.25),
    ],
)
def test_the_pilot_finds_the_parameters_of_families(
    formula: str, family: str, name: str | None, truth: float | None
) -> None:
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(60), 40), rng.normal(size=2400)
    u = rng.normal(0, 0.5, 60)
    eta = 0.5 * x + u[g]
    time = np.exp(6 + eta) / special.gamma(1 + 1 / 1.7) * rng.weibull(1.7, 2400)
    rate = np.exp(1 + eta)
    rate = rate if family == "poisson" else rng.gamma(3.0, rate / 3.0)
    p = rng.beta(6 * special.expit(eta), 6 * special.expit(-eta))
    data = pd.DataFrame(
        {
            "x": x,
            "g": g,
            "time": np.minimum(time, 600.0),
            "is_late": time > 600.0,
            "n": 12,
            "hits": rng.binomial(12, p),
            "part": np.where(rng.random(2400) < 0.6, p, rng.random(2400) < 0.25),
            "wald": rng.wald(np.exp(6 + eta), 2000.0),
            "count": (count := rng.poisson(rate)),
            "inflated": count * (rng.random(2400) > 0.3),
            "skewed": eta + stats.skewnorm(4.0).rvs(2400, random_state=rng),
            "spent": (rng.random(2400) > 0.3) * rng.gamma(2.0, np.exp(eta) / 2.0),
        }
    )
    if family in ("poisson", "negative_binomial"):
        data = data[data["count"] > 0]
    found = pilot_of(data, formula, family=family)
    np.testing.assert_allclose(found.factors[0].tau, u.std(), rtol=0.15)
    assert abs(found.theta[1] - 0.5) < 5 * found.theta_sd[1] + 0.02
    if name is not None:
        assert found.parameters[name] == pytest.approx(truth, rel=0.15)


def test_gaussian_groups_have_the_information_of_their_rows() -> None:
    """I tau^2 / (1 + I tau^2), I = n / sigma^2, at the estimate's own scales."""
    sizes = [1, 2, 5, 20, 100] * 6
    data, _ = simulated("gaussian", sizes, 0.5)
    found = pilot_of(data, "y ~ x + (1 | g)")
    (own,) = found.factors
    information = np.array(sizes) / found.parameters["sigma"] ** 2
    expected = information * own.tau**2 / (1 + information * own.tau**2)
    np.testing.assert_allclose(own.information[:, 0], expected, rtol=0.1)


def test_rows_of_a_group_say_little_of_it_where_their_own_groups_differ() -> None:
    """Schools whose classrooms differ are known as their classrooms' mean is."""
    rng = np.random.default_rng(3)
    school = np.repeat(np.arange(40), 60)
    room = np.repeat(np.arange(160), 15)
    y = rng.normal(0, 0.5, 40)[school] + rng.normal(0, 1.0, 160)[room]
    data = pd.DataFrame(
        {"y": y + rng.normal(0, 0.5, 2400), "school": school, "room": room}
    )
    found = pilot_of(data, "y ~ 1 + (1 | school) + (1 | room)")
    schools, rooms = found.factors
    between = rooms.tau**2 + found.parameters["sigma"] ** 2 / 15
    expected = schools.tau**2 / (schools.tau**2 + between / 4)
    np.testing.assert_allclose(schools.information, expected[0], rtol=0.05)
    assert rooms.information.min() > 0.8


def test_rows_in_other_units_give_the_same_estimate() -> None:
    data, _ = simulated("gaussian", [20] * 30, 0.7)
    ours = pilot_of(data, "y ~ x + (1 + x | g)")
    moved = data.assign(y=1000 * data["y"] + 5, x=data["x"] / 1000)
    theirs = pilot_of(moved, "y ~ x + (1 + x | g)")
    for mine, yours in zip(ours.factors, theirs.factors, strict=True):
        np.testing.assert_allclose(mine.information, yours.information, atol=0.02)


def test_collected_rows_give_the_same_estimate() -> None:
    data, _ = simulated("bernoulli", [100] * 20, 0.7)
    data = data.assign(x=(data["x"] > 0).astype(int))
    cells, rows = (
        pilot_of(data, "y ~ x + (1 | g)", family="bernoulli", compress=compress)
        for compress in (True, False)
    )
    np.testing.assert_allclose(cells.theta, rows.theta, atol=1e-6)
    np.testing.assert_allclose(cells.factors[0].u, rows.factors[0].u, atol=1e-6)


@pytest.mark.parametrize(
    "name",
    [n for n, m in models().items() if m.parameterization == "adaptive"],
)
def test_every_adaptive_program_has_a_pilot(name: str) -> None:
    model = models()[name]
    assert model.pilot is not None
    for factor, own in zip(model.design.factors, model.pilot.factors, strict=True):
        assert own.u.shape == (len(factor.labels), len(factor.coefficients))
        assert np.all(own.tau > 0)
        assert np.all((own.information >= 0) & (own.information <= 1))


def test_separated_outcomes_have_a_pilot() -> None:
    """All of one outcome in some groups, and all told apart by a predictor."""
    x = np.linspace(-1, 1, 60)
    data = pd.DataFrame({"y": (x > 0).astype(int), "x": x, "g": np.arange(60) // 6})
    found = pilot_of(data, "y ~ x + (1 | g)", family="bernoulli")
    assert np.all(np.isfinite(found.theta))
    assert found.factors[0].tau < 10


def test_groups_without_rows_know_nothing_of_themselves() -> None:
    data, _ = simulated("poisson", [10] * 12, 0.5)
    model = sp.Model(
        "y ~ x + (1 | g)", data, family="poisson", parameterization="adaptive"
    )
    some = prepare(
        model.spec,
        data[data["g"] > 0],
        priors=model.priors,
        design=model.design.take(np.flatnonzero(data["g"] > 0)),
    )
    assert some.pilot is not None
    information = some.pilot.factors[0].information[:, 0]
    assert information[0] == 0.0
    assert information[1:].min() > 0.2


def test_a_single_row_in_each_group_is_enough() -> None:
    data, _ = simulated("bernoulli", [1] * 200, 0.5)
    found = pilot_of(data, "y ~ x + (1 | g)", family="bernoulli")
    assert found.factors[0].information.max() < 0.5


def test_no_estimate_leaves_all_noncentered() -> None:
    """Outcomes that are no numbers for the estimate still have a program."""
    data, _ = simulated("gaussian", [5] * 6, 0.5)
    model = sp.Model("y ~ x + (1 | g)", data, parameterization="adaptive")
    broken = replace(model.design, y=np.full(30, np.nan))
    object.__setattr__(model, "design", broken)
    assert model.pilot is None
    assert model.centering[0].counts == (6, 0, 0)


def test_groups_that_leave_the_mean_open_are_centered_about_it() -> None:
    penicillin = sp.load_dataset("penicillin")  # 6 samples differ more than 24 plates
    formulas = ("(1 | plate) + (1 | sample)", "(1 | sample) + (1 | plate)")
    for terms, wanted in zip(formulas, ([1, 2], [2, 1]), strict=True):
        model = sp.Model(
            f"diameter ~ 1 + {terms}", penicillin, parameterization="adaptive"
        )
        told = model.stan_data()
        assert [*told["mean_index"], *told["mean_index_2"]] == [2, 1]
        assert [*told["center_index"], *told["center_index_2"]] == wanted


@pytest.mark.slow
def test_a_million_rows_and_a_hundred_thousand_groups_take_seconds() -> None:
    rng = np.random.default_rng(5)
    g, x = rng.integers(0, 100_000, 1_000_000), rng.normal(size=(1_000_000, 3))
    eta = x @ [0.5, -0.3, 0.2] + rng.normal(0, 0.5, 100_000)[g]
    y = (rng.random(len(g)) < 1 / (1 + np.exp(-eta))).astype(int)
    data = pd.DataFrame({"y": y, "g": g, "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]})
    model = sp.Model("y ~ a + b + c + (1 | g)", data, family="bernoulli")
    start = time.process_time()
    assert model.pilot is not None
    assert time.process_time() - start < 120
    assert model.pilot.factors[0].tau == pytest.approx(0.5, rel=0.2)


def test_errors_of_groups_within_groups_are_exact_under_their_scales() -> None:
    """Levels are eliminated one by one; a dense matrix knows all of them at once."""
    rng = np.random.default_rng(8)
    brood = np.repeat(np.arange(60), rng.integers(1, 6, size=60))
    place = (brood * 7) % 25
    scales = {"row": 0.5, "brood": 0.8, "place": 0.4}
    data = pd.DataFrame({"place": place, "brood": brood, "row": np.arange(len(brood))})
    eta = 1.0 + sum(
        rng.normal(0, scale, data[name].max() + 1)[data[name]]
        for name, scale in scales.items()
    )
    data = data.assign(y=rng.poisson(np.exp(eta))).astype(
        {each: str for each in scales}
    )
    model = sp.Model(
        "y ~ 1 + (1 | brood) + (1 | place) + (1 | row)", data, family="poisson"
    )
    assert [each.within for each in model.structure.factors] == [(1,), (), (0, 1)]
    pilot, factors = model.pilot, model.design.factors
    assert pilot is not None
    eta = pilot.theta[0] + sum(
        own.u[each.index, 0] for own, each in zip(pilot.factors, factors, strict=True)
    )
    Z = np.hstack([np.eye(len(each.labels))[each.index] for each in factors])
    prior = np.concatenate(
        [np.full(len(own.u), own.tau[0] ** -2) for own in pilot.factors]
    )
    precision = Z.T @ (np.exp(eta)[:, None] * Z) + np.diag(prior)
    exact = np.diag(np.linalg.inv(precision))
    found = np.concatenate([own.covariance[:, 0, 0] for own in pilot.factors])
    np.testing.assert_allclose(found, exact, rtol=1e-9)
    # Given the places' coefficients: without their rows and columns.
    ends = np.cumsum([len(own.u) for own in pilot.factors])
    others = np.r_[: ends[0], ends[1] : ends[2]]
    exact = np.diag(np.linalg.inv(precision[np.ix_(others, others)]))[: ends[0]]
    np.testing.assert_allclose(
        pilot.factors[0].covariance_within[:, 0, 0], exact, rtol=1e-9
    )
    # Estimates of this kind know scales to about a third here.
    for own, each in zip(pilot.factors, factors, strict=True):
        assert 0.5 < own.tau[0] / scales[each.factor] < 1.5
