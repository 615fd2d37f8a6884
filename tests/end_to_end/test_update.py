"""The same model again, on other data and with other priors, without compiling."""

from __future__ import annotations

import numpy as np
import pytest

import stanpool as sp


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    model = sp.Model(
        "log_radon ~ floor + (1 | county)",
        sp.load_dataset("radon").iloc[:300],
        parameterization="noncentered",
        priors={"beta": "normal(0, 2)"},
    )
    return model.fit(
        chains=2,
        draws=500,
        warmup=500,
        seed=3,
        threads_per_chain=1,
        inits="random",
        progress=False,
    )


def test_other_data_keep_priors_settings_and_program(fit: sp.Fit) -> None:
    data = sp.load_dataset("radon")
    again = fit.update(data, progress=False)
    assert again.program == fit.program
    assert again.settings == fit.settings
    assert again.model.design.rows == len(data)
    before = {row.parameter: row.prior for row in fit.model.priors}
    assert {row.parameter: row.prior for row in again.model.priors} == before
    # Three times the data: the slope is known better.
    sd = [each.fixef().loc["floor", "sd"] for each in (fit, again)]
    assert sd[1] < 0.75 * sd[0]


def test_other_priors_take_the_place_of_theirs(fit: sp.Fit) -> None:
    strong = fit.update(
        priors={"beta[floor]": "normal(1, 0.001)"}, draws=200, progress=False
    )
    assert strong.program == fit.program
    assert strong.settings.draws == 200
    assert strong.fixef().loc["floor", "mean"] == pytest.approx(1.0, abs=0.01)
    others = [
        {row.parameter: row.prior for row in each.model.priors}
        for each in (fit, strong)
    ]
    assert {name for name in others[0] if others[0][name] != others[1][name]} == {
        "beta[floor]"
    }
    found = strong.prior_sensitivity().loc["beta[floor]"]
    assert np.isfinite(found["prior"])
    assert found["prior"] > 0.05


def test_unknown_parameters_are_refused(fit: sp.Fit) -> None:
    with pytest.raises(sp.SpecError, match=r"beta\[flor\]"):
        fit.update(priors={"beta[flor]": "normal(0, 1)"})
