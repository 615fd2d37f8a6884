"""Design analysis: power as in closed forms, and refits that fail are not left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from stanpool.inference.prediction.prior_predictive import draw_given
from stanpool.studies.simulation import design as designs
from stanpool.studies.simulation.design_analysis import Simulated, analysis_of
from stanpool.studies.simulation.extended_rows import extended_rows

QUICK: dict[str, Any] = {"chains": 1, "draws": 250, "progress": False, "seed": 1}


@pytest.fixture(scope="module")
def slopes() -> sp.Model:
    """Six groups of five rows, half of them treated, with slopes that vary."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "g": np.repeat([*"abcdef"], 5),
            "treated": np.repeat([0, 1, 0, 1, 0, 1], 5),
            "x": np.tile(np.arange(5.0) + 10, 6),
            "y": rng.normal(size=30),
        }
    )
    return sp.Model("y ~ treated + x + (1 + x | g)", frame)


ASSUMED = {
    "Intercept": 3.0,
    "beta[treated]": 0.5,
    "beta[x]": -1.0,
    "tau_g[Intercept]": 2.0,
    "tau_g[x]": 0.5,
    "sigma": 1.0,
}


class TestGivenParameters:
    def test_groups_are_drawn_from_the_population_that_is_given(
        self, slopes: sp.Model
    ) -> None:
        rng = np.random.default_rng(2)
        given = {**ASSUMED, "Omega_g[Intercept, x]": -0.6}
        drawn = [draw_given(slopes, given, rng) for _ in range(400)]
        # Where predictors are 0, although the prior is on centered ones.
        assert drawn[0]["Intercept"].item() == pytest.approx(3.0, abs=1e-12)
        np.testing.assert_allclose(drawn[0]["beta"].values.ravel(), [0.5, -1.0])
        b = np.concatenate([each["b_g"].values[0, 0] for each in drawn])
        count = len(b)  # 2,400 groups
        assert b.mean(axis=0)[1] == pytest.approx(-1.0, abs=4 * 0.5 / count**0.5)
        error = 4 / (2 * count) ** 0.5
        assert b.std(axis=0)[1] == pytest.approx(0.5, rel=error)
        untreated = b[0::2]
        assert untreated[:, 0].mean() == pytest.approx(3.0, abs=8 / (count / 2) ** 0.5)
        found = np.corrcoef(untreated.T)[0, 1]
        assert found == pytest.approx(-0.6, abs=4 * 0.64 / (count / 2) ** 0.5)

    def test_what_is_missing_or_unknown_is_named(self, slopes: sp.Model) -> None:
        rng = np.random.default_rng(0)
        some = {name: x for name, x in ASSUMED.items() if "tau" not in name}
        with pytest.raises(sp.SpecError, match=r"no value for 'tau_g\[Intercept\]', "):
            draw_given(slopes, some, rng)
        with pytest.raises(sp.SpecError, match=r"'beta\[z\]', .* not a parameter"):
            draw_given(slopes, {**ASSUMED, "beta[z]": 1.0}, rng)
        with pytest.raises(sp.SpecError, match="not positive definite"):
            draw_given(slopes, {**ASSUMED, "Omega_g[x, Intercept]": 1.5}, rng)


class TestRows:
    @pytest.mark.parametrize("groups", [2, 4, 6, 9, 20])
    def test_each_kind_of_group_has_its_share(
        self, slopes: sp.Model, groups: int
    ) -> None:
        rng = np.random.default_rng(groups)
        found = extended_rows(slopes, groups=groups, rows=7, factor=None, rng=rng)
        of_groups = found.groupby("g")["treated"]
        assert of_groups.ngroups == groups
        assert (of_groups.nunique() == 1).all()
        assert abs(of_groups.first().sum() - groups / 2) <= 0.5
        assert (of_groups.size() == 7).all()
        # Five rows of a group once, and two of them again.
        assert (found.groupby(["g", "x"]).size().unstack() >= 1).all(axis=None)

    def test_without_groups_rows_are_those_of_all(self) -> None:
        data = {"y": np.arange(10.0), "x": [0, 0, 0, 0, 1] * 2}
        model = sp.Model("y ~ x", data)
        rng = np.random.default_rng(1)
        found = extended_rows(model, groups=None, rows=25, factor=None, rng=rng)
        assert (len(found), found["x"].sum()) == (25, 5)
        with pytest.raises(sp.SpecError, match="model without groups"):
            extended_rows(model, groups=3, rows=None, factor=None, rng=rng)


def test_power_is_that_of_the_t_test() -> None:
    pilot = {"y": [0.0, 1.0, 0.5, 2.0], "treated": [0, 1, 0, 1]}
    wide = {"Intercept": "normal(0, 10)", "beta": "normal(0, 10)"}
    found = sp.design(
        sp.Model("y ~ treated", pilot, priors=wide),
        goal="beta[treated]",
        assume={"Intercept": 1, "beta[treated]": 0.8, "sigma": 1},
        rows=[40],
        simulations=120,
        **QUICK,
    )
    row = found.table.iloc[0]
    # Two samples of 20 and a difference of 0.8 standard deviations.
    df, shift = 38, 0.8 * np.sqrt(20 / 2)
    limit = stats.t.ppf(0.975, df)
    power = stats.nct.sf(limit, df, shift) + stats.nct.cdf(-limit, df, shift)
    # The interval is of 250 draws, whose ends are uncertain.
    assert abs(row["power"] - power) < 4 * np.sqrt(power * (1 - power) / 120)
    width = 2 * limit * np.sqrt(2 / 20) * stats.chi.mean(df) / np.sqrt(df)
    assert row["width"] == pytest.approx(width, abs=4 * row["width_mcse"] + 0.02)
    assert row["power_low"] < row["power"] < row["power_high"]
    assert (row["failed"], row["right_sign"]) == (0, 1.0)
    assert row["exaggeration"] > 1


def test_neither_other_designs_nor_more_simulations_change_one(
    slopes: sp.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []

    def fake(study: Any, engine: Any, task: Any) -> Simulated:
        model, truth = designs._simulated(study, task)
        seen.append((task.groups, task.rows, task.number, model.design.y.sum()))
        return Simulated(
            task.groups, task.rows, task.number, truth, 1.0, 0.5, 1.5, True
        )

    monkeypatch.setattr(designs, "_simulate_and_fit", fake)
    common: dict[str, Any] = {"goal": "beta[treated]", "assume": ASSUMED, **QUICK}
    sp.design(slopes, groups=[4], rows=[3], simulations=2, **common)
    few = {each[:3]: each[3] for each in seen}
    seen.clear()
    found = sp.design(slopes, groups=[2, 4], rows=[3, 6], simulations=3, **common)
    many = {each[:3]: each[3] for each in seen}
    assert {key: many[key] for key in few} == few
    assert list(zip(found.table["groups"], found.table["rows"], strict=True)) == [
        (2, 3),
        (2, 6),
        (4, 3),
        (4, 6),
    ]
    assert found.truth == 0.5
    assert len(found.plot().axes[0].lines) == 3  # two numbers of rows, and 80 %


def simulated(reached: Sequence[float], failed: int = 0) -> sp.DesignAnalysis:
    """Return an analysis of estimates that reached the goal, and of failures."""
    found = [
        Simulated(None, 9, number, 1.0, x, x - 0.5, x + 0.5, abs(x) > 0.5, r_hat=1.0)
        for number, x in enumerate(reached)
    ]
    bad = [Simulated(None, 9, 90 + k, failure="DataError: no") for k in range(failed)]
    return analysis_of("beta[x]", 1.0, 0.95, [*found, *bad], is_interval=True)


def test_measures_are_those_of_gelman_and_carlin() -> None:
    row = simulated([0.4, 0.2, 2.0, 1.2, -1.0]).table.iloc[0]
    assert row["power"] == 3 / 5
    assert row["right_sign"] == 2 / 3  # 1 minus the type S error
    assert row["exaggeration"] == pytest.approx((2.0 + 1.2 + 1.0) / 3)  # type M
    assert row["coverage"] == 1 / 5
    assert row["bias"] == pytest.approx((0.4 + 0.2 + 2.0 + 1.2 - 1.0) / 5 - 1)


def test_type_s_and_m_errors_are_those_of_normal_estimates() -> None:
    # Gelman and Carlin (2014): an effect of 1 that is estimated with an error of 3.28.
    effect, error, count = 1.0, 3.28, 20_000
    z = stats.norm.ppf(0.975)
    high, low = z - effect / error, -z - effect / error
    right, wrong = stats.norm.sf(high), stats.norm.cdf(low)
    power = right + wrong
    beyond = stats.norm.pdf(high) + stats.norm.pdf(low)
    magnitude = (effect * (right - wrong) + error * beyond) / power
    estimates = np.random.default_rng(3).normal(effect, error, size=count)
    half = z * error
    found = [
        Simulated(None, 9, k, effect, x, x - half, x + half, abs(x) > half, r_hat=1.0)
        for k, x in enumerate(estimates.tolist())
    ]
    row = analysis_of("beta[x]", effect, 0.95, found, is_interval=True).table.iloc[0]
    assert row["power"] == pytest.approx(power, abs=4 * (power / count) ** 0.5)
    share = wrong / power
    tolerance = 4 * (share * (1 - share) / (power * count)) ** 0.5
    assert row["right_sign"] == pytest.approx(1 - share, abs=tolerance)
    tolerance = 4 * row["exaggeration_mcse"]
    assert row["exaggeration"] == pytest.approx(magnitude / effect, abs=tolerance)
    assert (round(power, 2), round(share, 2)) == (0.06, 0.19)
    assert tolerance < 0.5 < 7 < row["exaggeration"] < 9


def test_studies_without_a_fit_widen_the_interval_and_are_named() -> None:
    whole, found = simulated([2.0] * 8), simulated([2.0] * 8, failed=2)
    row = found.table.iloc[0]
    assert (row["power"], row["failed"], row["simulations"]) == (1.0, 2, 10)
    # Wilson's interval of 8 of 10, and the end of that of 10 of 10.
    assert row["power_low"] == pytest.approx(0.490, abs=0.001)
    assert row["power_high"] == pytest.approx(1.0)
    assert whole.table.iloc[0]["power_low"] > row["power_low"]
    assert "2 of 10 simulated studies could not be fitted" in str(found)
    assert list(found.failures["failure"]) == ["DataError: no"] * 2
    with pytest.raises(sp.SamplingError, match="none of 2 simulated"):
        simulated([], failed=2)


def test_wrong_questions_are_refused(slopes: sp.Model) -> None:
    common: dict[str, Any] = {"assume": ASSUMED, **QUICK}
    with pytest.raises(sp.SpecError, match="treatd"):
        sp.design(slopes, goal="beta[treatd]", **common)
    with pytest.raises(sp.SpecError, match=r"groups=\[0\] must be a whole number"):
        sp.design(slopes, goal="sigma", groups=[0], **common)
    with pytest.raises(sp.ArgumentError, match="no argument 'power'"):
        sp.design(slopes, goal="sigma", power=0.8, **common)
    with pytest.raises(sp.SpecError, match=r"data=3 must be a function"):
        sp.design(slopes, goal="sigma", data=3, **common)
    common["assume"] = {**ASSUMED, "tau_g[x]": -0.5}
    with pytest.raises(sp.SpecError, match=r"'tau_g\[x\]', which must be at least 0"):
        sp.design(slopes, goal="sigma", **common)


@pytest.mark.slow
def test_power_is_that_of_a_cluster_randomised_trial() -> None:
    schools = pd.DataFrame(
        {
            "school": np.repeat([*"abcd"], 10),
            "treated": np.repeat([0, 1, 0, 1], 10),
            "y": np.random.default_rng(1).normal(size=40),
        }
    )
    found = sp.design(
        sp.Model("y ~ treated + (1 | school)", schools),
        goal="beta[treated]",
        assume={
            "Intercept": 0,
            "beta[treated]": 0.6,
            "tau_school[Intercept]": 0.3,
            "sigma": 1,
        },
        groups=[12, 24],
        rows=10,
        simulations=200,
        **{**QUICK, "draws": 500},
    )
    # The means of schools are compared by a t-test: variance 0.3^2 + 1 / 10 each.
    for row in found.table.itertuples():
        df = row.groups - 2
        shift = 0.6 / np.sqrt((0.09 + 0.1) * 4 / row.groups)
        limit = stats.t.ppf(0.975, df)
        power = stats.nct.sf(limit, df, shift)
        assert abs(row.power - power) < 4 * np.sqrt(power * (1 - power) / 200)
        assert row.failed == 0


@pytest.mark.slow
def test_power_is_that_of_the_example_of_simr() -> None:
    """Green and MacLeod (2016), Methods in Ecology and Evolution 7(4), 493-498.

    Their data (simdata of simr 1.0), of which x, g and z are used. lme4 1.1-31's
    glmer(z ~ x + (1 | g), poisson) gives the intercept and the scale that are assumed.
    """
    counts = [3, 3, 3, 2, 3, 2, 3, 0, 2, 1, 2, 3, 2, 1, 1]
    counts += [3, 2, 3, 0, 2, 9, 7, 6, 2, 2, 4, 3, 4, 2, 2]
    pilot = {
        "z": counts,
        "x": np.tile(np.arange(1, 11), 3),
        "g": np.repeat([*"abc"], 10),
    }
    found = sp.design(
        sp.Model("z ~ x + (1 | g)", pilot, family="poisson"),
        goal="beta[x]",
        assume={"Intercept": 1.54079, "beta[x]": -0.05, "tau_g[Intercept]": 0.2889},
        groups=3,
        rows=10,
        simulations=300,
        **{**QUICK, "draws": 500},
    )
    row = found.table.iloc[0]
    power, simulations = 0.3340, 1000  # published; a Wald test at 5 per cent
    error = np.sqrt(power * (1 - power) * (1 / 300 + 1 / simulations))
    assert abs(row["power"] - power) < 4 * error
    assert row["failed"] == 0
