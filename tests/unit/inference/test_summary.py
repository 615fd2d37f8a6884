"""The table of a posterior: rows, labels, numbers."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import stanpool as sp
from simulated_fits import simulated_fit
from stanpool.inference.estimates.summary import summarize, summary
from stanpool.posterior.scalars import short_label, short_labels

COLUMNS = ("mean", "sd", "median", "q5", "q95")
COLUMNS += ("r_hat", "ess_bulk", "ess_tail", "mcse_mean")


def test_columns_and_rows():
    table = simulated_fit(labels=("A", "B")).summary()
    assert tuple(table.columns) == COLUMNS
    assert list(table.index) == [
        "Intercept",
        "tau_school[Intercept]",
        "sigma",
        "b_school[A, Intercept]",
        "b_school[B, Intercept]",
    ]


def test_population_quantities_only():
    table = simulated_fit().summary(groups=False)
    assert list(table.index) == ["Intercept", "tau_school[Intercept]", "sigma"]


def test_numbers_are_those_of_numpy():
    fit = simulated_fit()
    draws = fit.posterior["b_school"].sel(school="C").to_numpy().ravel()
    row = summary(fit).loc["b_school[C, Intercept]"]
    expected = [
        draws.mean(),
        draws.std(ddof=1),
        np.median(draws),
        *np.quantile(draws, (0.05, 0.95)),
    ]
    np.testing.assert_allclose(row[["mean", "sd", "median", "q5", "q95"]], expected)


def test_var_names_choose_and_order():
    table = summary(simulated_fit(), var_names=["sigma", "Intercept"])
    assert list(table.index) == ["sigma", "Intercept"]


def test_unknown_variable_names_the_nearest():
    with pytest.raises(sp.SpecError, match=r"'tau_scool'.*Did you mean 'tau_school'"):
        summary(simulated_fit(), var_names=["tau_scool"])


def test_correlations_appear_once():
    dims = ("chain", "draw", "g_coefficient", "g_coefficient_2")
    draws = np.random.default_rng(1).normal(size=(2, 50, 3, 3))
    names = ["Intercept", "x", "z"]
    posterior = xr.Dataset({"Omega_g": (dims, draws)}, dict.fromkeys(dims[2:], names))
    table = summarize(posterior)
    assert list(table.index) == [
        "Omega_g[Intercept, x]",
        "Omega_g[Intercept, z]",
        "Omega_g[x, z]",
    ]
    assert table["mean"].iloc[2] == pytest.approx(draws[:, :, 1, 2].mean())


def test_repr_stays_short_with_many_groups():
    fit = simulated_fit(
        labels=tuple(f"g{i}" for i in range(3000)), rows_per_group=2, draws=10
    )
    assert len(repr(fit.summary()).splitlines()) < 30


def test_one_draw_has_no_spread():
    table = simulated_fit(draws=1, chains=1).summary()
    assert table["sd"].isna().all()
    assert table["mean"].notna().all()


def test_labels_may_be_anything():
    labels = ('say "x"', "two\nlines", "zażółć", "int", "<b>", "x" * 10_000)
    table = simulated_fit(labels=labels).summary()
    for label in labels:
        assert f"b_school[{label}, Intercept]" in table.index


def test_short_label_is_one_line():
    assert short_label("a\x00b\n  c\u2028d") == "a b c d"
    assert len(short_label("x" * 10_000)) == 40


def test_blank_labels_can_be_seen():
    assert [short_label(""), short_label("  ")] == ["''", "'  '"]
    assert short_labels(["", " ", "a"]) == ["''", "' '", "a"]
