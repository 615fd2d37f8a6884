"""Fits side by side."""

from __future__ import annotations

import numpy as np
import pytest

import stanpool as sp
from simulated_fits import changed, simulated_fit
from stanpool.studies.parameterizations import (
    compare_fits,
    compare_parameterizations,
    mean_sd,
)


@pytest.fixture
def forms():
    return {
        "centered": simulated_fit(parameterization="centered", neck=0.05),
        "noncentered": simulated_fit(),
    }


def test_table_is_that_of_diagnosis_and_summary(forms):
    comparison = compare_fits(forms)
    table, fit = comparison.table, forms["noncentered"]
    summary = fit.summary()
    row = table.loc["noncentered"]
    assert list(table.index) == ["centered", "noncentered"]
    assert table.loc["centered", "divergences"] == 100
    assert row["divergences"] == 0
    assert row["max_r_hat"] == pytest.approx(summary["r_hat"].max())
    assert row["min_ess_bulk"] == pytest.approx(summary["ess_bulk"].min())
    smallest = summary[["ess_bulk", "ess_tail"]].min().min()
    assert row["ess_per_second"] == pytest.approx(smallest / 2)
    assert row["mean_leapfrog_steps"] == 7


def test_estimates_keep_their_order_and_miss_what_a_fit_has_not():
    fits = {
        "complete": simulated_fit(pooling="complete"),
        "none": simulated_fit(pooling="none"),
        "partial": simulated_fit(),
    }
    estimates = compare_fits(fits).estimates
    assert list(estimates.index) == ["Intercept", "tau_school[Intercept]", "sigma"]
    assert np.isnan(estimates.loc["Intercept", ("none", "mean")])
    assert estimates.loc["Intercept", ("partial", "mean")] == pytest.approx(
        float(fits["partial"].posterior["Intercept"].mean())
    )
    assert compare_fits(fits).advice == ""


def test_advice_takes_the_form_without_divergences(forms):
    advice = compare_fits(forms).advice
    assert advice.startswith("Take noncentered")
    assert "100 divergences" in advice


def test_advice_says_when_both_serve():
    fits = {
        form: simulated_fit(parameterization=form, draws=1000)
        for form in ("centered", "noncentered")
    }
    assert compare_fits(fits).advice.startswith("Both serve equally well")


def test_advice_says_when_none_serves(forms):
    diverging = np.zeros((4, 500), bool)
    diverging[0, :10] = True
    forms["noncentered"] = changed(
        forms["noncentered"], "sample_stats", diverging=diverging
    )
    advice = compare_fits(forms).advice
    assert advice.startswith("None passes all checks. Go on from noncentered")


def test_reads_as_a_table(forms):
    lines = str(compare_fits(forms)).splitlines()
    assert lines[0].split() == ["centered", "noncentered"]
    assert any(line.split()[:2] == ["divergences", "100"] for line in lines)
    assert max(map(len, lines)) <= 88


def test_labels_stay_text(forms):
    fits = {"<script>": forms["centered"], "x" * 10_000: forms["noncentered"]}
    comparison = compare_fits(fits)
    assert "<script>" not in comparison._repr_html_()
    assert len(str(comparison)) < 3000


def test_plot_has_a_panel_per_partial_fit(forms):
    fits = {"complete": simulated_fit(pooling="complete"), **forms}
    assert len(compare_fits(fits).plot().axes) == 2


def test_fits_of_one_draw_are_compared_as_far_as_can_be():
    fits = {name: simulated_fit(draws=1, chains=1) for name in ("a", "b")}
    assert "None passes" in str(compare_fits(fits))


def test_no_fits():
    with pytest.raises(sp.SpecError, match="at least one fit"):
        compare_fits({})


def test_only_partial_pooling_has_parameterizations():
    model = simulated_fit().model.with_(pooling="complete")
    with pytest.raises(sp.SpecError, match="pooling is 'complete'"):
        compare_parameterizations(model)


def test_unknown_form_is_refused_before_anything_is_fitted():
    with pytest.raises(sp.SpecError, match=r"Did you mean 'centered'"):
        compare_parameterizations(simulated_fit().model, parameterizations=["centred"])


def test_estimates_have_two_digits_of_their_sd() -> None:
    for mean, sd, expected in (
        (7.589, 4.027, "7.6 (4.0)"),
        (-0.04, 8.43, "0.0 (8.4)"),  # and not -0.0
        (-0.06, 8.43, "-0.1 (8.4)"),
        (123.4, 0.0123, "123.400 (0.012)"),
        (np.nan, 1.0, ""),
    ):
        assert mean_sd(mean, sd) == expected
