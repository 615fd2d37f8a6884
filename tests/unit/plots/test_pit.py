"""PITs of left-out outcomes: the band holds uniform ones, and the line is theirs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from simulated_fits import simulated_fit
from stanpool.plots import plot_pit
from stanpool.plots.pit import uniform_band


@pytest.fixture(scope="module")
def result() -> sp.CrossValidation:
    return simulated_fit().loo()


def with_pits(result: sp.CrossValidation, pit: np.ndarray) -> sp.CrossValidation:
    rows = pd.DataFrame({"y": 0.0, "predicted": 0.0, "pit": pit})
    return replace(result, rows=rows)


def test_even_pits_stay_within_and_the_line_is_their_ecdf(result) -> None:
    pit = (np.arange(400) + 0.5) / 400
    pit[[0, -1]] = 0, 1
    (ax,) = plot_pit(with_pits(result, pit)).axes
    assert ax.get_title(loc="left") == (
        "PITs of 400 left-out outcomes stay within the band"
    )
    line = ax.lines[-1]
    assert np.abs(line.get_ydata()).max() <= 1 / 400 + 1e-12


def test_wide_outcomes_are_first_above_and_then_below(result) -> None:
    pit = np.random.default_rng(1).beta(0.5, 0.5, size=400)
    (ax,) = plot_pit(with_pits(result, pit)).axes
    assert "leave the band" in ax.get_title(loc="left")
    x, y = ax.lines[-1].get_data()
    assert y[(x > 0.1) & (x < 0.4)].min() > 0 > y[(x > 0.6) & (x < 0.9)].max()


@pytest.mark.parametrize("rows", [60, 5000])
def test_the_band_holds_uniform_samples_at_its_rate(rows: int) -> None:
    rng = np.random.default_rng(2)
    low, high = uniform_band(rows)
    at = np.linspace(0, 1, len(low))
    inside = 0
    for _ in range(400):
        ecdf = np.searchsorted(np.sort(rng.random(rows)), at, side="right") / rows
        inside += bool(((ecdf - at >= low - 1e-12) & (ecdf - at <= high + 1e-12)).all())
    # the exact band at 95 %; that of many rows is for every value, and so wider
    assert inside / 400 > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 400)
    assert inside / 400 < (0.995 if rows > 2000 else 0.95 + 4 * 0.011)


def test_it_draws_on_given_axes_and_needs_pits(result) -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    ax = figure.add_subplot()
    assert plot_pit(result, ax=ax) is figure
    with pytest.raises(sp.SpecError, match="no outcome with a PIT"):
        plot_pit(with_pits(result, np.full(3, np.nan)))
