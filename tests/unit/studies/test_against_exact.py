"""A fit that is right agrees with its counterpart, one that is not does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import changed, simulated_fit
from stanpool import exact


def fit_of(model: sp.Model, drawn: exact.ExactDraws) -> sp.Fit:
    """Make a fit whose draws are those of an exact sampler."""
    return replace(simulated_fit(), model=model, tree=drawn.tree)


@pytest.fixture(scope="module")
def schools() -> sp.Fit:
    model = sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)",
        sp.load_dataset("eight_schools"),
        priors={"Intercept": "normal(0, 10)", "tau": "exponential(0.2)"},
    )
    drawn = exact.known_sigma(model).draw(np.random.default_rng(11), draws=1000)
    return fit_of(model, drawn)


def test_independent_draws_of_the_same_posterior_agree(schools: sp.Fit) -> None:
    found = sp.validate(schools, seed=1)
    assert found.ok is True
    assert "agrees with quadrature (BDA3 section 5.4)" in " ".join(str(found).split())
    assert len(found.table) == 10
    assert max(found.largest.values()) < found.limit
    # Largest of 20 standard normal gaps: 0.01 / 40 in each tail.
    assert found.limit == pytest.approx(3.4808, abs=1e-4)


def test_gaps_are_standard_normal(schools: sp.Fit) -> None:
    gaps = sp.validate(schools, seed=1).table[["mean_gap", "sd_gap"]].to_numpy()
    assert 0.3 < np.mean(gaps**2) < 2.5


@pytest.mark.parametrize(("shift", "stretch"), [(0.2, 1.0), (0.0, 1.07)])
def test_a_wrong_quantity_is_named(
    schools: sp.Fit, shift: float, stretch: float
) -> None:
    mu = schools.posterior["Intercept"].to_numpy()
    wrong = mu.mean() + stretch * (mu - mu.mean()) + shift * mu.std()
    found = sp.validate(changed(schools, "posterior", Intercept=wrong), seed=1)
    assert found.ok is False
    assert found.table.index[0] == "Intercept"
    text = " ".join(str(found).split())
    assert "does not agree with quadrature" in text
    assert "* Intercept: the mean is" in text


def test_another_prior_is_another_posterior(schools: sp.Fit) -> None:
    other = sp.Model.from_spec(
        replace(
            schools.model.spec, priors=(("Intercept", sp.Prior("normal", (5, 2))),)
        ),
        schools.model.data,
    )
    assert sp.validate(replace(schools, model=other), seed=1).ok is False


def test_draws_that_are_no_numbers_do_not_agree(schools: sp.Fit) -> None:
    mu = schools.posterior["Intercept"].to_numpy().copy()
    mu[0, 0] = np.nan
    assert sp.validate(changed(schools, "posterior", Intercept=mu), seed=1).ok is False


def test_regressions_are_held_against_gibbs() -> None:
    model = sp.Model("y ~ x1 + (1 | g)", small_data())
    drawn = exact.gibbs(model, np.random.default_rng(4), draws=3000)
    found = sp.validate(fit_of(model, drawn), seed=2)
    assert found.ok is True, str(found)
    assert "Gibbs (Gelman and Hill (2007)" in found.verdict
    assert set(found.table.index) >= {"Intercept", "beta[x1]", "sigma"}


@pytest.mark.parametrize(
    ("formula", "options", "words"),
    [
        ("count ~ x1 + (1 | g)", {"family": "poisson"}, "is not a model that gibbs"),
        ("y ~ x1 + (1 + x1 | g)", {}, "is not a model that gibbs solves"),
        ("y | se(known) ~ x1 + (1 | g)", {}, "is not a model that known_sigma"),
        ("y ~ 1 + (1 | g)", {"priors": {"Intercept": "cauchy(0, 1)"}}, "need a normal"),
    ],
)
def test_it_says_when_there_is_no_counterpart(
    formula: str, options: dict[str, Any], words: str
) -> None:
    model = sp.Model(formula, small_data(), **options)
    found = sp.validate(replace(simulated_fit(), model=model))
    assert found.ok is None
    assert found.counterpart is None
    assert words in found.reason
    assert "not validated" in " ".join(str(found).split())
    assert "sbc(model) tests the program of any model" in str(found)


def test_labels_are_escaped(schools: sp.Fit) -> None:
    found = sp.validate(schools, seed=1)
    awkward = replace(
        found, table=found.table.rename({found.table.index[0]: "<i>"}), limit=0.0
    )
    assert "<i>" not in awkward._repr_html_()
    assert "&lt;i&gt;" in awkward._repr_html_()


def test_what_is_asked_wrongly_is_refused(schools: sp.Fit) -> None:
    with pytest.raises(sp.SpecError, match="of the prior only"):
        sp.validate(replace(schools, prior_only=True))
    with pytest.raises(sp.SpecError, match="level=2 must be"):
        sp.validate(schools, level=2)
    with pytest.raises(sp.SpecError, match="draws=0 must be"):
        sp.validate(schools, draws=0)
