"""Default priors together: a budget of the linear predictor, and what it predicts."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.inference.prediction.predict import epred, linpred
from stanpool.inference.prediction.prior_predictive import Drawn, draw_prior

ROWS = 120
UNITS = {
    # Standard deviations of the logistic, normal and Gumbel distributions.
    "logit": 1.8138,
    "probit": 1.0,
    "cloglog": 1.2825,
}
OF_LINK = [
    ("bernoulli", "logit"),
    ("bernoulli", "probit"),
    ("bernoulli", "cloglog"),
    ("binomial", "logit"),
    ("beta", "probit"),
    ("ordinal", "logit"),
    ("ordinal", "probit"),
]
OF_LOG = ["poisson", "negative_binomial", "gamma"]


def frame() -> pd.DataFrame:
    """Predictors that go together, in units far apart; outcomes of every family."""
    rng = np.random.default_rng(20261201)
    x = rng.normal(size=ROWS)
    return pd.DataFrame(
        {
            "x": x,
            "w": 1000.0 * (x + 0.3 * rng.normal(size=ROWS)),
            "u": rng.integers(0, 2, ROWS),
            "v": 1e-4 * rng.gamma(2.0, size=ROWS),
            "g": np.repeat([f"g{j}" for j in range(12)], 10),
            "h": np.tile([f"h{j}" for j in range(8)], 15),
            "bernoulli": rng.integers(0, 2, ROWS),
            "binomial": rng.binomial(20, 0.1, ROWS),
            "trials": 20,
            "beta": rng.beta(2, 5, ROWS),
            "ordinal": pd.Categorical(rng.choice(list("abc"), ROWS), ordered=True),
            "poisson": rng.poisson(np.exp(rng.normal(1.5, 1.0, ROWS))),
            "negative_binomial": rng.poisson(np.exp(rng.normal(1.5, 1.0, ROWS))),
            "gamma": rng.gamma(0.7, 30.0, ROWS),
        }
    )


def model_of(family: str, predictors: str, link: str | None = None) -> sp.Model:
    outcome = "binomial | trials(trials)" if family == "binomial" else family
    pooling = "partial" if "|" in predictors else "complete"
    return sp.Model(
        f"{outcome} ~ {predictors}", frame(), family=family, link=link, pooling=pooling
    )


def unit_of(family: str, link: str | None) -> float:
    if link is not None:
        return UNITS[link]
    y = frame()[family].to_numpy(float)
    return float(np.sqrt(np.log(np.mean(y**2) / np.mean(y) ** 2)))


CASES = [*OF_LINK, *((each, None) for each in OF_LOG)]


@pytest.mark.parametrize(("family", "link"), CASES)
@pytest.mark.parametrize("predictors", ["x", "x + w", "x * w + u + v"])
def test_predictors_share_one_unit(
    family: str, link: str | None, predictors: str
) -> None:
    model = model_of(family, predictors, link)
    design, unit = model.design, unit_of(family, link)
    slopes = [row.prior for row in model.priors if row.parameter_class == "beta"]
    scales = np.array([prior.arguments[1] for prior in slopes])
    # Of independent coefficients, over the rows: the sum of scale^2 var(x).
    variance = np.sum(scales**2 * np.var(design.X, axis=0, ddof=1))
    assert np.sqrt(variance) == pytest.approx(unit, rel=5e-3)
    if family != "ordinal":
        intercept = model.priors["Intercept"].prior
        assert intercept.arguments[1] == pytest.approx(unit, rel=5e-3)


@pytest.mark.parametrize(("family", "link"), [("bernoulli", "logit"), ("gamma", None)])
@pytest.mark.parametrize("groups", ["(1 | g)", "(1 + x | g)", "(1 | g) + (1 + u || h)"])
def test_groups_share_half_the_variance_of_a_unit(
    family: str, link: str | None, groups: str
) -> None:
    model = model_of(family, f"x + {groups}", link)
    design, unit = model.design, unit_of(family, link)
    spread = {"Intercept": 1.0}
    for factor in design.factors:
        for label, column in zip(factor.varying, factor.Z.T, strict=True):
            spread.setdefault(label, float(np.std(column, ddof=1)))
    # An exponential's mean square is twice the square of its mean.
    squares = [
        2.0 * (spread[str(row.label)] / row.prior.arguments[0]) ** 2
        for row in model.priors
        if row.parameter_class.startswith("tau")
    ]
    assert len(squares) == sum(len(each.varying) for each in design.factors)
    assert np.sqrt(2.0 * np.sum(squares)) == pytest.approx(unit, rel=5e-3)


@pytest.mark.parametrize(
    ("family", "link"), [("bernoulli", "logit"), ("poisson", None)]
)
def test_draws_of_the_linear_predictor_have_the_budget(
    family: str, link: str | None
) -> None:
    model = model_of(family, "x * w + u + v + (1 | g)", link)
    prior = draw_prior(model, 4000, np.random.default_rng(1))
    eta = linpred(cast("sp.Fit", Drawn(model, prior))).to_numpy()[0]
    squares = np.mean((eta - model.priors["Intercept"].prior.arguments[0]) ** 2, axis=1)
    error = squares.std() / np.sqrt(len(squares))
    # Intercept, predictors (over N and not N - 1) and groups: 1, 1 and 1/2.
    expected = (1.0 + (ROWS - 1) / ROWS + 0.5) * unit_of(family, link) ** 2
    assert abs(squares.mean() - expected) < 4.8 * error + 5e-3 * expected


def test_units_and_zeros_of_predictors_do_not_matter() -> None:
    data = frame()
    moved = data.assign(x=32.0 + 1.8 * data["x"])
    for family in ("bernoulli", "poisson"):
        first, second = (
            sp.Model(f"{family} ~ x + u + (1 + x | g)", each, family=family).priors
            for each in (data, moved)
        )
        for name in ("beta[x]", "tau_g[x]"):
            (*_, ours), (*_, theirs) = (
                each[name].prior.arguments for each in (first, second)
            )
            ratio = theirs / ours if "tau" in name else ours / theirs
            assert ratio == pytest.approx(1.8, rel=1e-2)
        for name in ("Intercept", "beta[u]", "tau_g[Intercept]"):
            assert first[name].prior == second[name].prior


class TestLocations:
    def test_intercepts_lie_at_the_link_of_the_mean(self) -> None:
        assert [
            model_of(family, "x", link).priors["Intercept"].prior.arguments[0]
            for family, link in (("binomial", "logit"), ("bernoulli", "cloglog"))
        ] == pytest.approx(
            [
                np.log(frame()["binomial"].sum() / (2400 - frame()["binomial"].sum())),
                np.log(-np.log1p(-frame()["bernoulli"].mean())),
            ],
            abs=5e-3,
        )

    def test_categories_lie_at_their_odds(self) -> None:
        data = {"y": ["a"] * 5 + ["b"] * 20 + ["c"]}
        rows = sp.Model("y ~ 1", data, family="categorical", pooling="complete").priors
        found = [row.prior.arguments[0] for row in rows]
        assert found == pytest.approx([np.log(4), np.log(1 / 5)], abs=5e-3)

    def test_rates_are_outcomes_over_exposures(self) -> None:
        data = {"y": [1, 30, 200], "e": [1.0, 10.0, 100.0]}
        model = sp.Model(
            "y | exposure(e) ~ 1", data, family="poisson", pooling="complete"
        )
        location, scale = model.priors["Intercept"].prior.arguments
        rate = 231 / 111
        assert location == pytest.approx(np.log(rate), abs=5e-3)
        rates, weights = np.array([1.0, 3.0, 2.0]), np.array([1.0, 10.0, 100.0]) / 111
        variation = weights @ (rates / rate - 1) ** 2
        assert scale == pytest.approx(np.sqrt(np.log1p(variation)), rel=5e-3)

    @pytest.mark.parametrize(
        ("family", "y", "location"),
        [
            ("poisson", 0, np.log(0.5 / 8)),
            ("bernoulli", 0, np.log(0.5 / 7.5)),
            ("bernoulli", 1, np.log(7.5 / 0.5)),
        ],
    )
    def test_half_an_event_where_all_outcomes_are_alike(
        self, family: str, y: int, location: float
    ) -> None:
        model = sp.Model("y ~ 1", {"y": [y] * 8}, family=family, pooling="complete")
        prior = model.priors["Intercept"].prior
        assert prior.arguments[0] == pytest.approx(location, abs=5e-3)
        assert prior.arguments[1] > 0.5

    def test_offsets_are_taken_off(self) -> None:
        data = frame().assign(o=3.0)
        for family in ("bernoulli", "poisson", "gamma"):
            without, offset = (
                sp.Model(text, data, family=family, pooling="complete").priors
                for text in (f"{family} ~ x", f"{family} ~ x + offset(o)")
            )
            (first, scale), (second, same) = (
                each["Intercept"].prior.arguments for each in (without, offset)
            )
            assert second == pytest.approx(first - 3.0, abs=0.01)
            assert scale == same


class TestNoLevel:
    """Without an intercept coefficients are as large as the outcome is."""

    @pytest.mark.parametrize(
        ("family", "y", "level"),
        [("gaussian", 1000.0, 1000.0), ("poisson", 3000, np.log(3000))],
    )
    def test_the_level_is_within_reach(
        self, family: str, y: float, level: float
    ) -> None:
        noise = np.tile([-3, 0, 3, 1], 15)
        data = pd.DataFrame({"y": y + noise, "f": np.repeat(list("abc"), 20)})
        model = sp.Model("y ~ 0 + f", data, family=family, pooling="complete")
        for row in model.priors:
            if row.parameter_class == "beta":
                _, scale = row.prior.arguments
                assert 0.9 * level < scale < 5 * level

    def test_groups_take_it_up(self) -> None:
        data = frame().assign(poisson=lambda d: d["poisson"] + 5000)
        model = sp.Model("poisson ~ 0 + x + (1 | g)", data, family="poisson")
        (rate,) = model.priors["tau_g[Intercept]"].prior.arguments
        assert 1 / rate == pytest.approx(np.log(5000) / 2, rel=0.01)

    def test_without_pooling_groups_have_intercepts(self) -> None:
        found = sp.Model("y ~ 0 + (1 | g)", {"y": [98.0, 102.0] * 3, "g": [*"aabbcc"]})
        rows = found.with_(pooling="none").priors
        assert str(rows["b_g[Intercept]"].prior) == "normal(100, 5.48)"


class TestPriorPredictive:
    """Neither millions of seizures nor certainty of everything."""

    def test_counts_stay_near_those_that_were_seen(self) -> None:
        # As the epilepsy trial's: 59 patients, 4 visits, means of 8, at most some 100.
        rng = np.random.default_rng(59)
        base, trt = rng.lognormal(3.1, 0.75, 59), rng.integers(0, 2, 59)
        data = pd.DataFrame(
            {
                "subject": [f"s{j}" for j in range(59)],
                "lbase": np.log(base) - np.log(base).mean(),
                "trt": np.where(trt, "drug", "placebo"),
                "lage": rng.normal(0.0, 0.22, 59),
            }
        )
        data = data.loc[data.index.repeat(4)].assign(V4=np.tile([0, 0, 0, 1], 59))
        mean = np.repeat(base / 4 * rng.lognormal(0.0, 0.5, 59), 4)
        data["y"] = rng.poisson(mean)
        model = sp.Model(
            "y ~ lbase * trt + lage + V4 + (1 | subject)", data, family="poisson"
        )
        drawn = model.prior_predictive(1000, seed=1)
        prior = drawn["prior"].to_dataset()
        means = epred(cast("sp.Fit", Drawn(model, prior))).to_numpy()
        assert np.mean(means > 10 * data["y"].max()) < 0.02
        y = drawn["prior_predictive"]["y"].to_numpy()[0]
        low, high = np.quantile(y, (0.05, 0.95), axis=0)
        assert np.mean((data["y"] >= low) & (data["y"] <= high)) > 0.9
        assert 0.2 < np.mean(y.max(axis=1) >= data["y"].max()) < 0.95

    @pytest.mark.parametrize(
        ("formula", "options", "far"),
        [
            (
                "r2 ~ Anger + Gender + btype + situ + mode + (1 | id) + (1 | item)",
                {"family": "bernoulli"},
                0.15,
            ),
            ("x1 ~ plate", {"family": "bernoulli", "pooling": "complete"}, 0.15),
        ],
    )
    def test_probabilities_are_seldom_certain(
        self, formula: str, options: dict[str, Any], far: float
    ) -> None:
        name = "verbagg" if "Anger" in formula else "seeds"
        data = sp.load_dataset(name)
        if name == "verbagg":
            data = data.assign(r2=(data["r2"] == "Y").astype(int))
            data = data[data["id"].isin(data["id"].unique()[:40])]
        model = sp.Model(formula, data, **options)
        prior = draw_prior(model, 500, np.random.default_rng(1))
        p = epred(cast("sp.Fit", Drawn(model, prior))).to_numpy()
        assert np.mean((p < 0.01) | (p > 0.99)) < far
