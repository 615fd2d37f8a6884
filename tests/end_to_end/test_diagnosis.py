"""The diagnosis on real samplers: what it advises is better."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import stanpool as sp


def follow(fit: sp.Fit, advice: sp.Advice) -> sp.Fit:
    """Do what an advice says, and nothing else."""
    arguments = dict(advice.arguments)
    model = fit.model
    if "parameterization" in arguments:
        model = model.with_(parameterization=arguments.pop("parameterization"))
    settings = {"seed": 1, "progress": False, "adapt_delta": fit.settings.adapt_delta}
    return model.fit(**settings | arguments)


def smallest_ess(fit: sp.Fit) -> float:
    table = fit.summary()
    return float(table[["ess_bulk", "ess_tail"]].min().min())


@pytest.fixture(scope="module")
def centered_schools() -> sp.Fit:
    schools = sp.load_dataset("eight_schools")
    model = sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)", schools, parameterization="centered"
    )
    return model.fit(seed=1, progress=False)


def simulated(groups: int, rows: int, tau: float) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(groups), rows)
    effect = rng.normal(0, tau, size=groups)
    return pd.DataFrame({"g": group, "y": effect[group] + rng.normal(size=len(group))})


def test_the_funnel_of_eight_schools_is_found_and_named(centered_schools):
    diagnosis = centered_schools.diagnose()
    assert not diagnosis.ok
    (funnel,) = [each for each in diagnosis.findings if each.check == "funnel"]
    assert funnel.level == "problem"
    assert funnel.parameters == ("tau_school[Intercept]",)
    assert set(funnel.groups) <= set("ABCDEFGH")
    assert diagnosis.advice[0].arguments == {"parameterization": "noncentered"}


def test_following_the_advice_on_eight_schools_ends_well(centered_schools):
    fit = centered_schools
    for _ in range(3):
        advice = fit.diagnose().advice
        if not advice:
            break
        fit = follow(fit, advice[0])
    assert fit.diagnose().ok
    assert fit.model.parameterization == "noncentered"
    assert smallest_ess(fit) > 3 * smallest_ess(centered_schools)


def test_groups_that_know_their_coefficients_call_for_the_centered_form():
    data = simulated(groups=20, rows=100, tau=1)
    model = sp.Model("y ~ 1 + (1 | g)", data, parameterization="noncentered")
    fit = model.fit(seed=1, progress=False)
    diagnosis = fit.diagnose()
    assert fit.sample_stats["diverging"].sum() == 0
    assert diagnosis.advice[0].arguments == {"parameterization": "centered"}
    better = follow(fit, diagnosis.advice[0])
    assert better.diagnose().ok
    assert smallest_ess(better) > 3 * smallest_ess(fit)
    assert better.sample_stats["n_steps"].mean() < fit.sample_stats["n_steps"].mean()


@pytest.mark.slow
def test_sparse_groups_are_found_even_without_divergences():
    radon = sp.load_dataset("radon")
    model = sp.Model(
        "log_radon ~ floor + log_uranium + (1 | county)",
        radon,
        parameterization="centered",
    )
    fit = model.fit(seed=1, progress=False)
    diagnosis = fit.diagnose()
    assert fit.sample_stats["diverging"].sum() == 0
    assert not diagnosis.ok
    assert diagnosis.advice[0].arguments == {"parameterization": "noncentered"}
    better = follow(fit, diagnosis.advice[0])
    assert better.diagnose().ok
    assert smallest_ess(better) > 3 * smallest_ess(fit)


def test_comparison_takes_the_better_form():
    schools = sp.load_dataset("eight_schools")
    comparison = sp.compare_parameterizations(
        sp.Model("y | se(sigma) ~ 1 + (1 | school)", schools),
        seed=2,
        adapt_delta=0.95,
        progress=False,
    )
    table = comparison.table
    assert list(table.index) == ["centered", "noncentered", "adaptive", "marginal"]
    faster = table.loc["noncentered", "min_ess_bulk"]
    assert faster > 3 * table.loc["centered", "min_ess_bulk"]
    assert not re.search(r"\bcentered", comparison.advice)
    assert len(comparison.plot().axes) == 4
