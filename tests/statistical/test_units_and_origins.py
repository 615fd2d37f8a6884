"""Where predictors live, and in which units anything comes, is nothing to a fit."""

from __future__ import annotations

import numpy as np
import pytest

import stanpool as sp
from stanpool.coefficients import flat
from stanpool.mixing import mixing

SHIFT, UNITS, OF_OUTCOME = 1000.0, 1e3, 1e-6


@pytest.mark.parametrize(
    ("bar", "parameterization"),
    [
        ("|", "marginal"),
        *(
            pytest.param(bar, form, marks=pytest.mark.slow)
            for bar in ("|", "||")
            for form in ("centered", "noncentered", "marginal")
        ),
    ],
)
def test_sleepstudy_in_other_units_from_another_day(
    bar: str, parameterization: str
) -> None:
    """Days counted from day -1000 in thousandths, reactions in other units."""
    data = sp.load_dataset("sleepstudy")
    other = data.assign(
        Days=UNITS * (data["Days"] + SHIFT), Reaction=OF_OUTCOME * data["Reaction"]
    )
    formula = f"Reaction ~ Days + (1 + Days {bar} Subject)"
    fits = [
        sp.Model(formula, each, parameterization=parameterization).fit(
            seed=seed, chains=4, progress=False
        )
        for seed, each in enumerate((data, other), 1)
    ]
    assert fits[1].model.design.origins == (("Days", UNITS * SHIFT),)
    # Back: the intercept is where Days are 0 in the data as they came.
    back = np.array([[1.0, UNITS * SHIFT], [0.0, UNITS]]) / OF_OUTCOME
    here, there = (fit.posterior for fit in fits)
    covariances = []
    for each in (here, there):
        tau = flat(each["tau_Subject"])
        omega = flat(each["Omega_Subject"]) if "Omega_Subject" in each else np.eye(2)
        covariances.append(tau[:, :, None] * omega * tau[:, None])
    covariances[1] = back @ covariances[1] @ back.T
    quantities = [
        np.column_stack(
            [
                flat(each["b_Subject"]).reshape(4000, -1),
                np.log(np.diagonal(covariance, axis1=1, axis2=2)),
                covariance[:, 0, 1],
                flat(each["sigma"]),
            ]
        )
        for each, covariance in zip((here, there), covariances, strict=True)
    ]
    groups = flat(there["b_Subject"]) @ back.T
    quantities[1][:, : groups[0].size] = groups.reshape(4000, -1)
    quantities[1][:, -1] /= OF_OUTCOME
    steps = [
        float(fit.sample_stats["n_steps"].sum())
        / fit.summary(groups=False)["ess_bulk"].min()
        for fit in fits
    ]
    # 25 %, and as much for the noise of both estimates.
    assert abs(np.log(steps[1] / steps[0])) < 2 * np.log(1.25)
    (mean, error), (other_mean, other_error) = (
        (each.mean(axis=0), mixing(each.reshape(4, 1000, -1))["mcse_mean"])
        for each in quantities
    )
    assert np.all(np.abs(other_mean - mean) < 5 * np.hypot(error, other_error))
