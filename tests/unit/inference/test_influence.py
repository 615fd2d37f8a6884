"""Influence: what a posterior without a unit is, against that posterior itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import stanpool as sp
from simulated_fits import simulated_fit
from stanpool import plots
from stanpool.engine import SampleSettings


def of_schools(data: pd.DataFrame) -> sp.Model:
    priors = {"Intercept": "normal(0, 20)", "tau_school": "normal(0, 10)"}
    return sp.Model("y | se(sigma) ~ 1 + (1 | school)", data, priors=priors)


@pytest.fixture(scope="module")
def model() -> sp.Model:
    return of_schools(sp.load_dataset("eight_schools"))


@pytest.fixture(scope="module")
def fit(model: sp.Model) -> sp.Fit:
    """Return exact draws of the posterior, as a fit."""
    exact = sp.exact.known_sigma(model)
    drawn = exact.draw(np.random.default_rng(1), chains=4, draws=2500)
    return sp.Fit(
        model=model,
        tree=xr.DataTree.from_dict({"posterior": drawn.posterior}),
        settings=SampleSettings(draws=2500, seed=1),
        seconds=1.0,
        prior_only=False,
        engine={},
        program=model.program,
    )


@pytest.mark.parametrize("unit", ["group", "row"])
def test_it_is_what_the_posterior_without_a_unit_has(
    model: sp.Model, fit: sp.Fit, unit: str
) -> None:
    table = fit.influence(unit=unit)
    mu, draws = fit.posterior["Intercept"], fit.posterior.sizes["draw"] * 4
    for place, school in enumerate(model.data["school"]):
        exact = sp.exact.known_sigma(of_schools(model.data.drop(index=place)))
        without = exact.draw(np.random.default_rng(2), chains=4, draws=2500)
        moved = without.posterior["Intercept"].mean() - mu.mean()
        found = table.loc[school if unit == "group" else place]
        # The weighted mean's effective draws are some fraction of all.
        error = np.sqrt(2 / draws + 1 / (draws / 4))
        assert found["pareto_k"] < 0.7 or unit == "row"
        if found["pareto_k"] < 0.7:
            assert abs(found["Intercept"] - moved / mu.std()) < 4 * error


def test_there_is_a_column_for_each_quantity_of_the_population() -> None:
    table = simulated_fit(draws=100).influence()
    columns = ["Intercept", "tau_school[Intercept]", "sigma", "pareto_k"]
    assert sorted(table.columns) == sorted(columns)
    assert list(table.index) == [*"ABCDEF"]
    assert table.index.name == "school"


def test_what_cannot_be_left_out_is_refused() -> None:
    fit = simulated_fit(draws=50, pooling="none")
    with pytest.raises(sp.SpecError, match="no population"):
        fit.influence()
    with pytest.raises(sp.SpecError, match="unit='county'"):
        fit.influence(unit="county")


def test_the_figure_shows_the_largest_moves(fit: sp.Fit) -> None:
    moves = fit.influence().drop(columns="pareto_k")
    (ax,) = plots.plot_influence(fit).axes
    points = [np.asarray(each.get_offsets()) for each in ax.collections[1::2]]
    shown = np.concatenate([each for each in points if each.size])[:, 0]
    largest = moves.abs().max(axis=1).to_numpy()
    np.testing.assert_allclose(np.sort(np.abs(shown)), np.sort(largest))
    names = [each.get_text() for each in ax.get_yticklabels()]
    assert names == list(moves.abs().max(axis=1).sort_values(ascending=False).index)


def test_of_many_groups_the_most_influential_are_drawn() -> None:
    labels = tuple(f"group {k}" for k in range(200))
    fit = simulated_fit(labels=labels, draws=50)
    table = fit.influence().drop(columns="pareto_k").abs()
    (ax,) = plots.plot_influence(fit).axes
    title = ax.get_title(loc="left")
    assert title == "The 30 most influential of 200 groups of school"
    largest = table.max(axis=1).nlargest(30)
    assert [each.get_text() for each in ax.get_yticklabels()] == list(largest.index)
    parameters = [each.get_text() for each in ax.texts]
    assert parameters == [table.loc[k].idxmax() for k in largest.index]
