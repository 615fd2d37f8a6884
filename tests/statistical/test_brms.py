"""Effects of fits with groups, against those that R's packages make of brms fits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

import stanpool as sp
from stanpool.posterior import arviz
from statistical.monte_carlo import STANDARD_ERRORS

FIGURES = json.loads((Path(__file__).parents[1] / "data" / "brms.json").read_text())
PRIORS = {
    "beta": "normal(0, 1)",
    "tau": "half_normal(1)",
    "Intercept": "normal(0, 2.5)",
}
COLUMNS = ("estimate", "lower", "upper")


@pytest.fixture(scope="module")
def fits() -> dict[str, sp.Fit]:
    cbpp = sp.load_dataset("cbpp")
    ticks = sp.load_dataset("grouseticks")
    ticks = ticks.assign(h=(ticks["HEIGHT"] - 460) / 40, YEAR=ticks["YEAR"].astype(str))
    models = {
        "cbpp": sp.Model(
            "incidence | trials(size) ~ C(period) + (1 | herd)",
            cbpp,
            family="binomial",
            priors=PRIORS,
        ),
        "ticks": sp.Model(
            "TICKS ~ YEAR * h + (1 | BROOD)", ticks, family="poisson", priors=PRIORS
        ),
    }
    return {name: model.fit(seed=1) for name, model in models.items()}


@pytest.mark.filterwarnings("ignore::stanpool.base.errors.EffectWarning")
@pytest.mark.parametrize("call", FIGURES["calls"], ids=lambda x: f"{x['r']}"[:60])
def test_effects_are_those_of_brms_within_monte_carlo_error(
    fits: dict[str, sp.Fit], call: dict[str, Any]
) -> None:
    fit, options = fits[call["model"]], dict(call["options"])
    if "grid" in options:
        options["newdata"] = fit.datagrid(options.pop("grid"))
    draws = getattr(fit, call["function"])(**options, as_draws=True)
    own = described(draws)
    for name in COLUMNS:
        error = np.hypot(own[f"mcse_{name}"], call[f"mcse_{name}"])
        gap = np.abs(own[name] - np.array(call[name]))
        assert (gap <= STANDARD_ERRORS * error).all(), (name, gap / error)


def described(draws: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return means, 5 % and 95 % quantiles and their Monte Carlo standard errors."""
    chains = draws.columns.get_level_values("chain").nunique()
    values = xr.DataArray(
        draws.to_numpy().reshape(len(draws), chains, -1).transpose(1, 2, 0),
        dims=("chain", "draw", "quantity"),
    )
    found = {"estimate": values.mean(("chain", "draw")).to_numpy()}
    found["mcse_estimate"] = arviz.mcse_mean(values.to_dataset(name="it"))[
        "it"
    ].to_numpy()
    for name, prob in {"lower": 0.05, "upper": 0.95}.items():
        found[name] = np.quantile(draws, prob, axis=1)
        # As Vehtari et al. (2021): of the effective size of the indicator.
        below = (values <= values.quantile(prob, ("chain", "draw"))).astype(float)
        error = arviz.mcse_mean(below.to_dataset(name="it"))["it"]
        size = (below.var(("chain", "draw"), ddof=1) / error**2).to_numpy()
        ends = stats.beta.ppf(
            stats.norm.cdf([[-1.0], [1.0]]), size * prob + 1, size * (1 - prob) + 1
        )
        around = [np.quantile(x, at) for x, at in zip(draws.to_numpy(), ends.T)]  # noqa: B905
        found[f"mcse_{name}"] = np.diff(around, axis=1)[:, 0] / 2
    return found
