"""Intrinsic CAR against mgcv's Markov random field, and against its closed form."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import stanpool as sp

SIDE = 6


def grid() -> pd.DataFrame:
    """Return the neighbours of cells of a grid that share a side."""
    steps = ((1, 0), (0, 1))
    return pd.DataFrame(
        [
            (f"r{i}c{j}", f"r{i + k}c{j + m}")
            for i in range(SIDE)
            for j in range(SIDE)
            for k, m in steps
            if i + k < SIDE and j + m < SIDE
        ],
        columns=["one", "other"],
    )


def simulated() -> pd.DataFrame:
    rng = np.random.default_rng(23)
    i, j = np.divmod(np.arange(SIDE**2), SIDE)
    true, at = np.sin(i / 2) + 0.3 * j, np.repeat(np.arange(SIDE**2), 2)
    names = np.array([f"r{a}c{b}" for a, b in zip(i, j, strict=True)])
    y = (true[at] + rng.normal(0, 0.5, len(at))).round(3)
    return pd.DataFrame({"cell": names[at], "y": y})


# gam(y ~ s(cell, bs = "mrf", k = 36), method = "REML") of mgcv 1.8-41 on these
# data, and its predict() of four cells.
MGCV_SIGMA = 0.51061548
MGCV_CELLS = {
    "r0c0": 0.246102897,
    "r0c1": 0.025704153,
    "r0c2": 0.410406515,
    "r0c3": 1.196396070,
}
# The same maximum where the geometric mean of the variances is 1.
REML_TAU = 0.5212022


def narrow(value: float) -> str:
    """Return a prior that holds a scale at a value."""
    return f"lognormal({math.log(value)!r}, 0.01)"


def test_given_the_scales_the_mean_is_that_of_mgcv() -> None:
    """The posterior mean of normal outcomes is the penalized estimate."""
    priors = {
        "Intercept": "normal(0, 1000)",
        "tau": narrow(REML_TAU),
        "sigma": narrow(MGCV_SIGMA),
    }
    model = sp.Model(
        "y ~ 1 + icar(cell, W)",
        simulated(),
        covariances={"W": grid()},
        priors=priors,
    )
    fit = model.fit(seed=2, progress=False)
    cells = pd.DataFrame({"cell": list(MGCV_CELLS)})
    found = fit.predict(cells, kind="epred", summary=True)
    # Draws of z are nearly independent: at least a quarter of the 4,000 counts.
    error = found["sd"] / math.sqrt(1000)
    gap = (found["mean"] - list(MGCV_CELLS.values())) / error
    assert gap.abs().max() < 4


def test_estimates_agree_with_restricted_maximum_likelihood() -> None:
    model = sp.Model("y ~ 1 + icar(cell, W)", simulated(), covariances={"W": grid()})
    found = model.fit(seed=3, progress=False).posterior
    for name, expected in (("sigma", MGCV_SIGMA), ("tau_icar_cell", REML_TAU)):
        draws = np.log(found[name].to_numpy())
        assert draws.mean() == pytest.approx(np.log(expected), abs=0.5 * draws.std())
