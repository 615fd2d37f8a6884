"""Models ranked by what they predict, and stacked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import optimize

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import fit_of_draws, fit_of_points
from stanpool.inference.evaluation.cross_validation import CrossValidation
from stanpool.studies.ranking import compare, stacking_weights


@pytest.fixture(scope="module")
def fits() -> dict[str, sp.Fit]:
    """Two models of fourteen rows, one with the mean in the wrong place."""
    model = sp.Model("y | se(known) ~ 1", small_data(), pooling="complete")
    rng = np.random.default_rng(2)
    return {
        name: fit_of_draws(model, {"alpha": rng.normal(at, 0.3, (4, 500))})
        for name, at in (("wrong", 9.0), ("right", 2.0))
    }


def result(pointwise: list[float], **changes: object) -> CrossValidation:
    model = sp.Model("y ~ 1", {"y": np.arange(len(pointwise))}, pooling="complete")
    fit, _ = fit_of_points(model, chains=1, draws=5)
    found = fit.loo()
    units = found.units.assign(elpd=pointwise, pareto_k=0.1)
    return replace(found, units=units, good_k=0.7, **changes)


def test_the_best_comes_first_with_differences_of_units(
    fits: dict[str, sp.Fit],
) -> None:
    ranking = compare(fits)
    table = ranking.table
    assert list(table.index) == ["right", "wrong"]
    right, wrong = fits["right"].loo(), fits["wrong"].loo()
    gap = wrong.units["elpd"] - right.units["elpd"]
    assert table.loc["wrong", "elpd_diff"] == pytest.approx(gap.sum())
    assert table.loc["wrong", "se_diff"] == pytest.approx(gap.std() * 14**0.5)
    assert table.loc["right", "elpd_diff"] == 0
    assert table.loc["right", "weight"] == pytest.approx(1, abs=1e-3)
    assert table.loc["right", "rmse"] == pytest.approx(right.rmse)
    assert ranking.verdict.startswith("The data prefer right over wrong: elpd higher")
    assert list(ranking.results) == ["right", "wrong"]


def test_small_differences_are_no_preference() -> None:
    worse = result([-1.0, -1.4, -1.2, -1.1])
    better = result([-1.1, -1.2, -1.1, -1.0])
    assert compare({"a": worse, "b": better}).verdict == (
        "No clear preference; b over a: elpd higher by 0.3 (SE 0.3), too little to "
        "tell apart."
    )


def test_noisy_differences_are_no_preference() -> None:
    rng = np.random.default_rng(4)
    first = result((rng.normal(size=40) * 10).tolist())
    second = result((rng.normal(size=40) * 10 - 0.5).tolist())
    assert compare({"a": first, "b": second}).verdict.startswith("No clear preference")


def test_unreliable_units_are_counted() -> None:
    good, bad = result([-1.0, -1.0, -1.0]), result([-9.0, -9.0, -9.0])
    bad = replace(bad, units=bad.units.assign(pareto_k=[0.1, 0.9, np.inf]))
    ranking = compare([good, bad])
    assert sorted(ranking.table["unreliable"]) == [0, 2]
    assert "failed for some units" in ranking.verdict
    assert "(2: y ~ 1 2)" in ranking.verdict


@pytest.mark.parametrize("seed", range(5))
def test_stacking_weights_maximize_the_log_score(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pointwise = rng.normal(-1, 1.0, size=(60, 4)) + rng.normal(0, 0.4, size=4)
    weights = stacking_weights(pointwise)

    def minus_score(w: np.ndarray) -> float:
        return -float(np.log(np.exp(pointwise) @ w).sum())

    best = optimize.minimize(
        minus_score,
        np.full(4, 0.25),
        bounds=[(0, 1)] * 4,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert weights.sum() == pytest.approx(1)
    assert minus_score(weights) <= best.fun + 1e-5
    np.testing.assert_allclose(weights, best.x, atol=5e-3)


def test_models_in_a_list_are_named_by_what_tells_them_apart() -> None:
    data = small_data()
    poolings = [
        fit_of_points(sp.Model("y ~ x1 + (1 | g)", data, pooling=pooling))[0]
        for pooling in ("complete", "partial")
    ]
    assert set(compare(poolings).table.index) == {"complete", "partial"}
    formulas = [
        fit_of_points(sp.Model(formula, data, pooling="complete"))[0]
        for formula in ("y ~ x1", "y ~ x2")
    ]
    assert set(compare(formulas).table.index) == {"y ~ 1 + x1", "y ~ 1 + x2"}
    families = [
        fit_of_points(sp.Model("count ~ x1", data, family=family))[0]
        for family in ("poisson", "hurdle_poisson")
    ]
    assert set(compare(families).table.index) == {"poisson", "hurdle_poisson"}
    assert len(compare([formulas[0], formulas[0]]).table) == 2


def test_only_the_same_units_of_the_same_outcomes_are_compared() -> None:
    one, longer = result([-1.0, -2.0, -1.0]), result([-1.0] * 4)
    with pytest.raises(sp.SpecError, match="different outcomes"):
        compare({"one": one, "longer": longer})
    with pytest.raises(sp.SpecError, match="different units"):
        compare({"one": one, "groups": replace(one, unit="group", factor="g")})
    folds = [
        replace(one, folds=3, units=one.units.assign(fold=order))
        for order in ([0, 1, 2], [2, 1, 0])
    ]
    with pytest.raises(sp.SpecError, match="different folds"):
        compare(folds)
    with pytest.raises(sp.SpecError, match="at least two"):
        compare([one])


def test_reads_as_a_table_and_labels_stay_text() -> None:
    names = ["<script>", "x" * 10_000]
    ranking = compare(
        dict(zip(names, [result([-1.0] * 3), result([-9.0] * 3)], strict=True))
    )
    assert "<script>" not in ranking._repr_html_()
    assert len(str(ranking)) < 2000
    assert max(map(len, str(ranking).splitlines())) < 130
    assert isinstance(ranking.table, pd.DataFrame)


def test_weights_are_those_of_arviz(fits: dict[str, sp.Fit]) -> None:
    import warnings

    import arviz
    import xarray as xr

    from stanpool.posterior.arviz import to_arviz

    given = {}
    rng = np.random.default_rng(3)
    log_liks = {name: rng.normal(-1, 0.4, (4, 500, 30)) for name in "ab"}
    log_liks["a"][..., :12] -= 0.8
    for name, log_lik in log_liks.items():
        tree = fits["right"].tree.copy()
        tree["log_likelihood"] = xr.Dataset({"y": (("chain", "draw", "n"), log_lik)})
        given[name] = to_arviz(tree)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        old = hasattr(arviz, "psislw")
        options = {} if old else {"round_to": "none"}
        theirs = arviz.compare(given, method="stacking", **options)
        loos = {n: arviz.loo(each, pointwise=True) for n, each in given.items()}
    pointwise = np.column_stack(
        [np.asarray(loos[n].loo_i if old else loos[n].elpd_i) for n in "ab"]
    )
    expected = [float(theirs.loc[n, "weight"]) for n in "ab"]
    np.testing.assert_allclose(stacking_weights(pointwise), expected, atol=1e-3)
