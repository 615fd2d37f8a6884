"""Summaries are shown in 80 columns, with the digits that their draws support."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import stanpool as sp
from simulated_fits import simulated_fit
from stanpool.inference.estimates.summary import summarize
from stanpool.inference.estimates.summary_table import rounded


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    return simulated_fit(factor="a school of a long name", chains=4, draws=500)


def test_all_columns_fit_into_a_terminal(fit: sp.Fit) -> None:
    table = fit.summary()
    lines = repr(table).splitlines()
    assert max(map(len, lines)) <= 80
    assert str(table) == repr(table)
    head = " ".join(lines[:2])
    for name in table.columns:
        assert all(part in head for part in re.split("_(?!hat)", name))
    # The population is first, and a variable whose labels are long stands once.
    assert lines[2].startswith("Intercept")
    assert sum(line.startswith("b_a school") for line in lines) == 1


def test_numbers_are_not_changed(fit: sp.Fit) -> None:
    table = fit.summary()
    draws = fit.posterior["sigma"].values
    assert table.loc["sigma", "mean"] == pytest.approx(draws.mean(), rel=1e-12)
    assert type(table[["mean"]]) is pd.DataFrame
    assert type(table.loc[["sigma"]]) is pd.DataFrame


@pytest.mark.parametrize("ess", [100, 10_000])
def test_digits_are_those_that_monte_carlo_error_supports(ess: int) -> None:
    rng = np.random.default_rng(1)
    draws = 1.2345678 + rng.normal(size=(4, ess // 4))
    table = summarize(xr.Dataset({"x": (("chain", "draw"), draws)}))
    shown = repr(table).splitlines()[-1].split()[1]
    error = draws.std() / np.sqrt(ess)
    unit = 10.0 ** -len(shown.partition(".")[2])
    assert error < unit <= 10 * error * 1.01
    assert float(shown) == pytest.approx(draws.mean(), abs=unit / 2)


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.46021, 0.002, "1.46"),
        (123456.0, 2.0, "123500"),  # four digits at most
        (0.004, 0.2, "0.004"),  # and one at least
        (-0.0004, 0.0, "-0.0004"),
        (np.nan, 0.1, "nan"),
        (5.0, np.nan, "5"),
    ],
)
def test_rounding(value: float, error: float, text: str) -> None:
    assert rounded(value, error) == text


def test_another_interval_has_other_columns(fit: sp.Fit) -> None:
    table = fit.summary(prob=0.5, var_names=["sigma"])
    assert list(table.columns[3:5]) == ["q25", "q75"]
    draws = fit.posterior["sigma"].values
    assert table.loc["sigma", "q75"] == pytest.approx(np.quantile(draws, 0.75))
    with pytest.raises(sp.SpecError, match="between 0 and 1"):
        fit.summary(prob=90)


def test_of_very_many_rows_the_ends_are_shown() -> None:
    draws = np.random.default_rng(2).normal(size=(4, 50, 300))
    posterior = xr.Dataset(
        {"b": (("chain", "draw", "<g>"), draws)}, {"<g>": range(300)}
    )
    table = summarize(posterior)
    lines = repr(table).splitlines()
    assert len(lines) == 2 + 18 + 1 + 5
    assert "(277 more rows)" in lines
    assert lines[-1].startswith("b[299]")
    assert "277 rows are not shown" in table._repr_html_()


def test_notebooks_show_labels_as_text() -> None:
    draws = np.random.default_rng(3).normal(size=(4, 50))
    table = summarize(xr.Dataset({"<b>x</b>": (("chain", "draw"), draws)}))
    assert "<b>x" not in table._repr_html_()
    assert "&lt;b&gt;x" in table._repr_html_()


def test_a_summary_whose_columns_are_deleted_is_shown() -> None:
    draws = np.random.default_rng(3).normal(size=(4, 50))
    table = summarize(xr.Dataset({"b": (("chain", "draw"), draws)}))
    del table["sd"]
    assert f"{draws.mean():.4g}" in repr(table).splitlines()[-1].split()


def test_results_show_their_tables_at_the_prompt(fit: sp.Fit) -> None:
    diagnosis = fit.diagnose()
    assert repr(diagnosis) == str(diagnosis)
    compared = sp.compare_fits({"a": fit, "b": fit})
    assert repr(compared) == str(compared)
    assert "ess_per_second" in repr(compared)
    ranked = sp.compare({"a": fit.loo(), "b": fit.loo()})
    assert repr(ranked) == str(ranked)
    assert "elpd_diff" in repr(ranked)
