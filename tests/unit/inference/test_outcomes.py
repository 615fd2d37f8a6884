"""Checks of outcomes find planted misfits, and suspect few models that are right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import special

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import fit_of_prior, simulated_fit
from stanpool.inference.diagnostics import outcomes

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


def test_calibration_says_what_its_p_value_is_of(fit: sp.Fit) -> None:
    pit = (np.arange(GROUPS * ROWS) + 0.5) / (GROUPS * ROWS)
    # Nothing but the lowest tenth is missing, where quarters would look harmless.
    pit = np.where(pit < 0.1, pit + 0.1, pit)
    (found,) = (x for x in checked(fit, pit).checks if x.check == "calibration")
    assert found.sentence.startswith(
        "Of 180 outcomes, 0.0% are below the 10% quantile of their predictions;"
    )
    assert found.level == "problem"


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


def test_zeros_are_those_of_replicated_outcomes_and_of_the_fit_s_seed() -> None:
    data = pd.concat([small_data()] * 2, ignore_index=True)
    model = sp.Model("count ~ x1", data, family="poisson", pooling="complete")
    fit = fit_of_prior(model, chains=2, draws=100)
    zeros = (fit.predict(seed=fit.settings.seed).to_numpy() == 0).sum(axis=-1)
    for _ in range(2):
        found = {each.check: each for each in fit.check_outcomes().checks}["zeros"]
        assert f"where {zeros.mean():,.1f} are predicted" in found.sentence
        above = np.mean(zeros > (data["count"] == 0).sum())
        ties = np.mean(zeros == (data["count"] == 0).sum())
        p_value = 2 * min(above + ties / 2, 1 - above - ties / 2)
        assert found.measured == pytest.approx(max(p_value, 1 / 200))


def test_advice_names_the_factor_whose_groups_were_compared() -> None:
    data = pd.concat([small_data()] * 10, ignore_index=True)
    fit = fit_of_prior(sp.Model("y ~ x1 + (1 | mm(g, g_2)) + (1 | h)", data), draws=100)
    rng = np.random.default_rng(7)
    is_first = (data["h"] == data["h"].iloc[0]).to_numpy()
    scores = rng.normal(size=len(data)) * np.where(is_first, 1.9, 0.1)
    diagnosis = checked(fit, special.ndtr(scores))
    assert "groups" in problems(diagnosis)
    assert diagnosis.advice[0].arguments == {"residual": "h"}


def test_of_many_rows_a_sample_is_looked_at_also_of_a_result(
    fit: sp.Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "_ROWS", 60)
    for result in (None, fit.loo(progress=False)):
        sentence = fit.check_outcomes(result=result).checks[0].sentence
        assert sentence.startswith("Of 60 outcomes")


def test_the_diagnosis_says_what_it_has_not_looked_at(fit: sp.Fit) -> None:
    assert "fit.check_outcomes() does." in " ".join(str(fit.diagnose()).split())
    assert "check_outcomes" in fit.diagnose()._repr_html_()
    said = checked(fit, np.random.default_rng(3).random(GROUPS * ROWS))
    assert "do not see whether predictors are missing" in " ".join(str(said).split())
