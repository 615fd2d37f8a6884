"""The pilot estimate as a table, against closed forms and published estimates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.base.errors import SpecError

DATA = Path(__file__).parents[2] / "data"


def test_radon_is_near_lme4() -> None:
    model = sp.Model("log_radon ~ floor + (1 | county)", sp.load_dataset("radon"))
    table = model.quick()
    # lme4 1.1-31, R 4.2.2: lmer(log_radon ~ floor + (1 | county)), by REML.
    expected = {
        "Intercept": (1.4616, 0.0516),
        "beta[floor]": (-0.6930, 0.0704),
        "tau_county[Intercept]": (0.3282, np.nan),
        "sigma": (0.7556, np.nan),
    }
    assert list(table.index) == list(expected)
    assert table.columns.name == "approximate (pilot)"
    for label, (estimate, error) in expected.items():
        assert table.loc[label, "estimate"] == pytest.approx(estimate, abs=0.01)
        if np.isfinite(error):
            assert table.loc[label, "se"] == pytest.approx(error, rel=0.05)
    # The scale of a normal sample has about sigma / sqrt(2 n).
    assert table.loc["sigma", "se"] == pytest.approx(0.7556 / np.sqrt(2 * 870), rel=0.1)


def test_errors_belong_to_the_predictors_as_they_are() -> None:
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(30), 10)
    x = 2000 + rng.uniform(0, 20, 300)
    y = 3 + 0.5 * (x - 2010) + rng.standard_normal(30)[group]
    y = y + 0.5 * rng.standard_normal(300)
    frame = pd.DataFrame({"y": y, "x": x, "near": x - 2010, "g": group.astype(str)})
    far = sp.Model("y ~ x + (1 | g)", frame).quick()
    near = sp.Model("y ~ near + (1 | g)", frame).quick()
    slope = far.loc["beta[x]"]
    np.testing.assert_allclose(slope, near.loc["beta[near]"], rtol=1e-3)
    # The intercept at 0 is that at 2010 without 2010 slopes, and so is its error.
    assert far.loc["Intercept", "estimate"] == pytest.approx(
        near.loc["Intercept", "estimate"] - 2010 * slope["estimate"], rel=1e-3
    )
    assert far.loc["Intercept", "se"] == pytest.approx(2010 * slope["se"], rel=1e-2)


def test_errors_are_those_of_least_squares_given_the_scales() -> None:
    rng = np.random.default_rng(3)
    group = rng.integers(0, 20, 200)
    a = 3 + rng.standard_normal(200)
    b = a + 0.3 * rng.standard_normal(200)  # correlated, and with means apart from 0
    y = a - b + 0.7 * rng.standard_normal(20)[group] + rng.standard_normal(200)
    frame = pd.DataFrame({"y": y, "a": a, "b": b, "g": group.astype(str)})
    flat = {"Intercept": "normal(0, 1000)", "beta": "normal(0, 1000)"}
    table = sp.Model("y ~ a + b + (1 | g)", frame, priors=flat).quick()
    tau, sigma = (table.loc[x, "estimate"] for x in ("tau_g[Intercept]", "sigma"))
    X = np.column_stack([np.ones(200), a, b])
    V = sigma**2 * np.eye(200) + tau**2 * (group[:, None] == group)
    errors = np.sqrt(np.diag(np.linalg.inv(X.T @ np.linalg.solve(V, X))))
    found = table.loc[["Intercept", "beta[a]", "beta[b]"], "se"]
    np.testing.assert_allclose(found, errors, rtol=0.02)


def test_categories_and_scales_of_groups_have_their_labels() -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame(
        {
            "y": rng.choice(["a", "b", "c"], 300),
            "x": rng.standard_normal(300),
            "z": rng.standard_normal(300),
            "g": rng.choice([*"klmnopqrst"], 300),
        }
    )
    table = sp.Model("y ~ x + (1 | g)", frame, family="categorical").quick()
    assert {"Intercept[b]", "Intercept[c]", "beta[b, x]", "beta[c, x]"} <= {
        *table.index
    }
    assert (table.loc[["beta[b, x]", "beta[c, x]"], "se"] > 0).all()
    table = sp.Model(["z ~ x + (1 | g)", "sigma ~ (1 | g)"], frame).quick()
    assert {"sigma", "Intercept", "beta[x]"} <= {*table.index}
    assert not any(label.startswith("sigma_g") for label in table.index)
    frame["y"] = pd.Categorical(frame["y"], ordered=True)
    table = sp.Model("y ~ x + (1 | g)", frame, family="ordinal").quick()
    cutpoints = table.loc[[each for each in table.index if "cutpoint" in each]]
    assert len(cutpoints) == 2
    assert cutpoints["se"].isna().all()


def test_where_there_is_no_estimate_it_says_why_and_what_to_do() -> None:
    model = sp.complete_pooling(sp.load_dataset("radon"), outcome="log_radon")
    with pytest.raises(
        SpecError, match=r"pooling='complete'\. model\.fit\(method='laplace'\)"
    ):
        model.quick()
