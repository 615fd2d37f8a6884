"""Calibration of right programs, and of wrong ones that are planted."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import small_data
from stanpool.model import prepared_model
from stanpool.sampling import sample
from stanpool.studies.simulation.simulation_based import LOG_LIKELIHOOD

# A process of stanli's for each of many fits takes longer.
compiled = pytest.mark.compiled

SHORT: dict[str, Any] = {"draws": 400, "warmup": 300, "progress": False}


def logistic(link: str = "logit", *, rows: int = 60) -> sp.Model:
    x = np.random.default_rng(3).normal(size=rows)
    return sp.Model(
        "y ~ x",
        pd.DataFrame({"y": np.arange(rows) % 2, "x": x}),
        family="bernoulli",
        link=link,
        pooling="complete",
        priors={"Intercept": "normal(1, 0.5)", "beta": "normal(1, 0.5)"},
    )


@compiled
def test_a_right_program_is_calibrated() -> None:
    found = sp.sbc(logistic(), simulations=60, seed=1, **SHORT)
    assert found.ok, str(found)
    assert list(found.ranks) == ["Intercept", "beta[x]", LOG_LIKELIHOOD]
    assert found.ranks.shape == (60, 3)
    assert found.ranks.to_numpy().max() <= found.draws == 99


@compiled
def test_a_wrong_program_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A logit program in the place of a probit one: data and parameters are alike."""
    wrong = logistic("logit").program
    monkeypatch.setattr(prepared_model, "render", lambda structure: wrong)
    with pytest.raises(sp.errors.DensityError):  # each fit finds it, too
        logistic("probit").fit(seed=1, **SHORT)
    monkeypatch.setattr(sample, "check_density", lambda *_, **__: "")
    found = sp.sbc(logistic("probit"), simulations=60, seed=1, **SHORT)
    assert not found.ok
    table = found.table
    # It takes steeper logits to say the same as a probit.
    for name in ("Intercept", "beta[x]"):
        assert table.loc[name, "finding"].endswith("the posterior lies too high")


@compiled
def test_a_program_that_ignores_the_data_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the log likelihood alone: the prior's draws rank the parameters evenly."""
    stan_data = sp.Model.stan_data
    monkeypatch.setattr(
        sp.Model, "stan_data", lambda self, **_: stan_data(self, prior_only=True)
    )
    with pytest.raises(sp.errors.DensityError):
        logistic().fit(seed=1, **SHORT)
    monkeypatch.setattr(sample, "check_density", lambda *_, **__: "")
    found = sp.sbc(logistic(), simulations=60, seed=1, **SHORT)
    assert not found.ok
    assert list(found.table.query("finding != ''").index) == [LOG_LIKELIHOOD]


@pytest.mark.slow
@compiled
def test_an_executor_of_processes_finds_the_same() -> None:
    here = sp.sbc(logistic(), simulations=20, seed=7, **SHORT)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        there = sp.sbc(logistic(), simulations=20, seed=7, executor=pool, **SHORT)
    pd.testing.assert_frame_equal(here.ranks, there.ranks)


def test_data_that_stan_cannot_hold_are_drawn_anew() -> None:
    model = sp.Model(
        "count ~ x1 + x2",
        small_data(),
        family="poisson",
        pooling="complete",
        priors={"Intercept": "normal(20, 2)", "beta": "normal(0, 0.1)"},
    )
    found = sp.sbc(model, simulations=20, seed=1, **SHORT)
    assert found.fits["redrawn"].sum() > 0
    assert "were drawn again" in " ".join(str(found).split())
    assert found.ok, str(found)


def test_priors_that_allow_no_data_are_refused() -> None:
    model = sp.Model(
        "count ~ x1 + x2",
        small_data(),
        family="poisson",
        pooling="complete",
        priors={"Intercept": "normal(40, 1)"},
    )
    with pytest.raises(sp.DataError, match="narrower priors"):
        sp.sbc(model, simulations=20, seed=1, **SHORT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ x1 + x2 + (1 + x2 | g)", {"parameterization": "noncentered"}),
        ("y ~ x1 + x2 + (1 + x2 || g)", {"parameterization": "centered"}),
        ("y ~ x1 + (1 + x1 | g)", {"parameterization": "marginal"}),
        ("y ~ x1 + x2 + (1 + x2 | g)", {"parameterization": "adaptive"}),
        ("win ~ x1 + x2 + (1 + x2 || g)", {"family": "bernoulli"}),
        ("y ~ 1 + x1 + (1 + x2 | g)", {"pooling": "none"}),
        ("y ~ x1 + u + (1 + x1 | g)", {"residual": "g"}),
        ("count ~ x1 + (1 | h) + (1 + x1 || mm(g, g_2))", {"family": "poisson"}),
        ("hits | trials(shots) ~ 1 + (1 | g)", {"family": "binomial"}),
        ("grade ~ x1 + x2 + (1 + x2 | g)", {"family": "ordinal"}),
        ("count ~ x1 + x2", {"family": "negative_binomial", "pooling": "complete"}),
    ],
)
def test_two_hundred_simulations_find_no_error(
    formula: str, options: dict[str, Any]
) -> None:
    priors = {"tau": "exponential(1)", "beta": "normal(0, 1)", "sigma": "gamma(4, 4)"}
    if options.get("family", "gaussian") != "gaussian":
        # Counts of millions make posteriors that take minutes.
        priors |= {"Intercept": "normal(0, 1)", "beta": "normal(0, 0.3)"}
        priors |= {"tau": "exponential(3)", "phi": "gamma(4, 2)"}
    model = sp.Model(formula, small_data(), **options)
    known = {row.parameter.split("[")[0].split("_")[0] for row in model.priors}
    given = {name: prior for name, prior in priors.items() if name in known}
    model = sp.Model(formula, small_data(), priors=given, **options)
    found = sp.sbc(
        model,
        simulations=200,
        adapt_delta=0.95,
        seed=20261121,
        progress=False,
    )
    assert found.ok, str(found)
