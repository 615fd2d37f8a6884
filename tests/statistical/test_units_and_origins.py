"""Where predictors live, and in which units anything comes, is nothing to a fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import stanpool as sp
from stanpool.coefficients import flat
from stanpool.mixing import mixing

SHIFT, UNITS, OF_OUTCOME = 1000.0, 1e3, 1e-6
# From coefficients of the other data to those of the data as they came.
BACK = np.array([[1.0, UNITS * SHIFT], [0.0, UNITS]]) / OF_OUTCOME
SEEDS = 4


def sleep() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the data, and in other units with days counted from day -1000."""
    data = sp.load_dataset("sleepstudy")
    other = data.assign(
        Days=UNITS * (data["Days"] + SHIFT), Reaction=OF_OUTCOME * data["Reaction"]
    )
    return data, other


def quantities(posterior: xr.Dataset, back: np.ndarray, unit: float) -> np.ndarray:
    """Return the groups' lines, their covariance and sigma, ``(4, draws, scalar)``."""
    tau = flat(posterior["tau_Subject"])
    omega = np.eye(2)
    if "Omega_Subject" in posterior:
        omega = flat(posterior["Omega_Subject"])
    covariance = back @ (tau[:, :, None] * omega * tau[:, None]) @ back.T
    lines = flat(posterior["b_Subject"]) @ back.T
    columns = [
        lines.reshape(len(lines), -1),
        np.log(np.diagonal(covariance, axis1=1, axis2=2)),
        covariance[:, 0, 1],
        flat(posterior["sigma"]) / unit,
    ]
    return np.column_stack(columns).reshape(4, len(lines) // 4, -1)


def test_sleepstudy_in_other_units_from_another_day() -> None:
    fits = [
        sp.Model(
            "Reaction ~ Days + (1 + Days | Subject)", each, parameterization="marginal"
        ).fit(seed=seed, progress=False)
        for seed, each in enumerate(sleep(), 1)
    ]
    assert fits[1].model.design.origins == (("Days", UNITS * SHIFT),)
    assert all(fit.diagnose().ok for fit in fits)
    ours = quantities(fits[0].posterior, np.eye(2), 1.0)
    theirs = quantities(fits[1].posterior, BACK, OF_OUTCOME)
    (mean, error), (other_mean, other_error) = (
        (each.mean(axis=(0, 1)), mixing(each)["mcse_mean"]) for each in (ours, theirs)
    )
    assert np.all(np.abs(other_mean - mean) < 5 * np.hypot(error, other_error))


@pytest.mark.slow
@pytest.mark.parametrize("bar", ["|", "||"])
@pytest.mark.parametrize(
    "parameterization", ["centered", "noncentered", "adaptive", "marginal"]
)
def test_an_effective_draw_takes_as_many_steps(parameterization: str, bar: str) -> None:
    """Within 25 %, and the noise of a few fits of each."""
    logs = []
    for data, back, unit in zip(
        sleep(), (np.eye(2), BACK), (1.0, OF_OUTCOME), strict=True
    ):
        model = sp.Model(
            f"Reaction ~ Days + (1 + Days {bar} Subject)",
            data,
            parameterization=parameterization,
        )
        fits = [model.fit(seed=seed, progress=False) for seed in range(SEEDS)]
        steps = [float(fit.sample_stats["n_steps"].sum()) for fit in fits]
        ess = [
            mixing(quantities(fit.posterior, back, unit))["ess_bulk"].min()
            for fit in fits
        ]
        logs.append(np.log(np.array(steps) / ess))
    error = np.hypot(*(each.std(ddof=1) / np.sqrt(SEEDS) for each in logs))
    assert abs(np.mean(logs[1]) - np.mean(logs[0])) < np.log(1.25) + 3 * error, logs
