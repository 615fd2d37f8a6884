"""Rows collected into cells have the likelihood of the rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.data.compression.cells import AggregatedRows
from stanpool.data.likelihood import log_likelihood

FORMULAS = (
    ("win ~ a + c + (1 + a | g)", "bernoulli"),
    ("win ~ a + offset(c) + (1 | g) + (1 | h)", "bernoulli"),
    ("hits | trials(n) ~ a + (1 | mm(g, h))", "binomial"),
    ("count ~ a + (1 | g)", "poisson"),
    ("count | exposure(e) ~ a + (1 | g)", "poisson"),
)


def many_rows(rows: int = 2000) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    n = rng.integers(1, 9, rows)
    return pd.DataFrame(
        {
            "a": rng.integers(0, 2, rows),
            "c": rng.integers(0, 3, rows) / 2,
            "x": rng.normal(size=rows),
            "g": rng.choice(list("abcdef"), rows),
            "h": rng.choice(list("abcd"), rows),
            "e": rng.choice([1.0, 2.5], rows),
            "n": n,
            "win": rng.integers(0, 2, rows),
            "hits": rng.binomial(n, 0.4),
            "count": rng.poisson(2.0, rows),
        }
    )


def linear_predictor(design: Any, beta: np.ndarray, b: list[np.ndarray]) -> np.ndarray:
    eta = design.X @ beta
    for factor, own in zip(design.factors, b, strict=True):
        index = factor.index.reshape(design.rows, -1)
        for member in index.T:
            eta = eta + (factor.Z * own[member]).sum(axis=1)
    return eta if design.offset is None else eta + design.offset


@pytest.mark.parametrize(("formula", "family"), FORMULAS)
def test_likelihoods_differ_by_a_constant(formula: str, family: str) -> None:
    model = sp.Model(formula, many_rows(), family=family)
    cells = model.rows
    assert isinstance(cells, AggregatedRows)
    assert cells.kept < 200
    spec = model.spec
    if cells.family != spec.family:
        spec = replace(spec, family=cells.family, trials="n")
    rng, gaps = np.random.default_rng(2), []
    for _ in range(5):
        beta = rng.normal(size=model.design.X.shape[1])
        b = [
            rng.normal(size=(len(each.labels), each.Z.shape[1]))
            for each in model.design.factors
        ]
        of_rows = log_likelihood(
            model.spec, model.design, linear_predictor(model.design, beta, b)[None], {}
        )
        of_cells = log_likelihood(
            spec, cells.design, linear_predictor(cells.design, beta, b)[None], {}
        )
        gaps.append(of_rows.sum() - of_cells.sum())
    assert np.ptp(gaps) < 1e-8


def test_sums_are_those_of_pandas() -> None:
    data = many_rows()
    model = sp.Model("win ~ a + (1 | g)", data, family="bernoulli")
    stan = model.stan_data()
    expected = data.groupby(["a", "g"])["win"].agg(["sum", "size"])
    assert model.program.name.startswith("partial_pooling_binomial")
    assert stan["N"] == len(expected)
    assert sorted(stan["y"]) == sorted(expected["sum"])
    assert sorted(stan["trials"]) == sorted(expected["size"])
    # The prior on the intercept is where it was: at the means of all rows.
    np.testing.assert_allclose(stan["x_bar"], data["a"].mean())
    assert f"aggregated into {len(expected)}, one" in model.explain()
    assert f"N = {len(expected)} rows" in model.stan_code
    first = model.stan_code.splitlines()[0]
    assert f"{len(data)} rows of the data are aggregated into {len(expected)}" in first


def test_rows_are_collected_where_it_pays() -> None:
    data = many_rows()
    continuous = sp.Model("win ~ x + (1 | g)", data, family="bernoulli")
    assert continuous.rows is None
    few = sp.Model("win ~ a + (1 | g)", data[:100], family="bernoulli")
    assert few.rows is None
    asked = sp.Model("win ~ a + (1 | g)", data[:100], family="bernoulli", compress=True)
    assert isinstance(asked.rows, AggregatedRows)
    off = sp.Model("win ~ a + (1 | g)", data, family="bernoulli", compress=False)
    assert off.rows is None
    weighted = data.assign(w=2.0)
    model = sp.Model("win | weights(w) ~ a + (1 | g)", weighted, family="bernoulli")
    assert model.rows is None


def test_some_rows_have_the_program_of_all() -> None:
    model = sp.Model("win ~ a + (1 | g)", many_rows(), family="bernoulli")
    assert model.take(range(50)).program == model.program
    plain = model.with_(compress=False)
    assert plain.take(range(1500)).program == plain.program
