"""Checks of outcomes find planted misfits, and suspect few models that are right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import special

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import fit_of_prior, simulated_fit

GROUPS, ROWS = 12, 15


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    labels = tuple(f"s{number}" for number in range(GROUPS))
    return simulated_fit(labels=labels, rows_per_group=ROWS, chains=2, draws=100)


def checked(fit: sp.Fit, pit: np.ndarray) -> sp.Diagnosis:
    """Check outcomes whose predicted probabilities of smaller ones are these."""
    result = fit.loo(progress=False)
    return fit.check_outcomes(result=replace(result, rows=result.rows.assign(pit=pit)))


def problems(diagnosis: sp.Diagnosis) -> set[str]:
    return {each.check for each in diagnosis.findings if each.level == "problem"}


def test_uniform_probabilities_are_suspected_in_one_of_twenty(fit: sp.Fit) -> None:
    rng = np.random.default_rng(20261201)
    result = fit.loo(progress=False)
    repeats = 200
    suspected = sum(
        not fit.check_outcomes(
            result=replace(
                result, rows=result.rows.assign(pit=rng.random(GROUPS * ROWS))
            )
        ).ok
        for _ in range(repeats)
    )
    # Of 200 at most 5 %, and four standard errors of that.
    assert suspected <= 0.05 * repeats + 4 * (0.05 * 0.95 * repeats) ** 0.5


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        (lambda rng, g: rng.standard_t(1.5, len(g)), "tails"),
        (lambda rng, g: 1.5 * rng.normal(size=len(g)), "dispersion"),
        (lambda rng, g: 0.6 * rng.normal(size=len(g)), "dispersion"),
        (lambda rng, g: rng.normal(size=len(g)) * np.where(g % 2, 0.4, 1.35), "groups"),
        (lambda rng, g: rng.exponential(size=len(g)) - 1, "calibration"),
        (lambda rng, g: 2**0.5 * np.cos(np.pi * rng.random(len(g))), "calibration"),
    ],
    ids=[
        *("heavy tails", "overdispersed", "underdispersed", "unequal groups"),
        *("skewed", "bounded"),
    ],
)
def test_planted_misfits_are_found(fit: sp.Fit, scores, found: str) -> None:
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(GROUPS), ROWS)
    diagnosis = checked(fit, special.ndtr(scores(rng, groups)))
    assert found in problems(diagnosis)
    assert not diagnosis.ok
    assert diagnosis.advice
    if found == "groups":
        assert diagnosis.advice[0].arguments == {"residual": "school"}
    if found == "tails":
        assert any("student_t" in each.action for each in diagnosis.advice)


def test_heavier_tails_are_no_remedy_of_lighter_ones(fit: sp.Fit) -> None:
    rng = np.random.default_rng(7)
    for scores in (
        2**0.5 * np.cos(np.pi * rng.random(GROUPS * ROWS)),  # the variance is 1
        0.6 * rng.normal(size=GROUPS * ROWS),
    ):
        diagnosis = checked(fit, special.ndtr(scores))
        assert not diagnosis.ok
        assert diagnosis.advice
        assert not any("student_t" in each.action for each in diagnosis.advice)


def test_zeros_of_counts_are_compared_with_predictions() -> None:
    data = small_data()
    model = sp.Model("count ~ x1", data, family="poisson", pooling="complete")
    fit = fit_of_prior(model, chains=2, draws=100)
    result = fit.loo(progress=False)
    rng = np.random.default_rng(1)
    diagnosis = fit.check_outcomes(
        result=replace(result, rows=result.rows.assign(pit=rng.random(len(data))))
    )
    # Fourteen rows are too few for any check, and that is said.
    assert [each.level for each in diagnosis.checks] == ["note"]
    assert "fewer than 20" in diagnosis.checks[0].sentence


def test_the_diagnosis_says_what_it_has_not_looked_at(fit: sp.Fit) -> None:
    assert "fit.check_outcomes() does." in " ".join(str(fit.diagnose()).split())
    assert "check_outcomes" in fit.diagnose()._repr_html_()
    said = checked(fit, np.random.default_rng(3).random(GROUPS * ROWS))
    assert "do not see whether predictors are missing" in " ".join(str(said).split())
