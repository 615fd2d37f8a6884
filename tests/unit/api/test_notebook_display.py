"""Models and fits in notebooks: what they hold, with labels as text."""

from __future__ import annotations

import stanpool as sp
from simulated_fits import simulated_fit
from stanpool.inference.estimates.summary_table import rounded

EVIL = "<script>alert(1)</script>"


def test_a_model_shows_its_priors_and_program() -> None:
    model = sp.partial_pooling(
        {"y": [1.0, 2.0, 4.0, 3.0], EVIL: [1.0, 0.0, 2.0, 5.0], "g": ["a", "b"] * 2},
        outcome="y",
        predictors=[EVIL],
        group="g",
    )
    shown = model._repr_html_()
    assert EVIL not in shown
    assert "beta[&lt;script&gt;" in shown
    for row in model.priors:
        assert str(row.prior) in shown
    assert "parameters {" in shown


def test_a_fit_shows_the_population_and_its_divergences() -> None:
    fit = simulated_fit(factor=EVIL, draws=100)
    shown = fit._repr_html_()
    assert EVIL not in shown
    row = fit.summary().loc["sigma"]
    assert f"<td>{rounded(row['mean'], row['mcse_mean'])}</td>" in shown
    assert "b_&lt;script" not in shown
    assert "No transition diverged" in shown
    other = simulated_fit(neck=0.05, draws=100)
    assert "20 divergent transitions" in other._repr_html_()
