"""The poolings of one model side by side, on made-up draws."""

from __future__ import annotations

import numpy as np
import pytest

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import simulated_fit
from stanpool.studies.pooling.poolings import (
    build_pooling_comparison,
    compare_pooling,
    models_by_pooling,
)


@pytest.fixture(scope="module")
def poolings() -> sp.PoolingComparison:
    fits = {
        pooling: simulated_fit(pooling=pooling)
        for pooling in ("complete", "none", "partial")
    }
    rows = {name: fit.loo() for name, fit in fits.items()}
    groups = {name: fits[name].loo(unit="group") for name in ("complete", "partial")}
    return build_pooling_comparison(fits, rows, groups)


def test_rungs_go_from_complete_to_partial() -> None:
    data = small_data()
    slopes = models_by_pooling(
        sp.Model("y ~ x1 + (1 + x1 | g)", data, pooling="complete")
    )
    assert list(slopes) == ["complete", "none", "indicator", "partial"]
    assert slopes["none"].design.varying == ("Intercept", "x1")
    assert slopes["indicator"].design.varying == ("Intercept",)
    assert slopes["indicator"].design.coefficients == ("x1",)
    assert list(models_by_pooling(sp.Model("y ~ x1 + (1 | g)", data))) == [
        "complete",
        "none",
        "partial",
    ]
    several = sp.Model("y ~ x1 + (1 | g) + (1 | h)", data)
    assert list(models_by_pooling(several)) == ["complete", "partial"]


def test_table_has_both_kinds_of_predictions(poolings: sp.PoolingComparison) -> None:
    table = poolings.table
    assert list(table.index) == ["complete", "none", "partial"]
    for name, fit in poolings.fits.items():
        assert table.loc[name, ("rows", "elpd")] == pytest.approx(fit.loo().elpd)
        assert table.loc[name, ("rows", "rmse")] == pytest.approx(fit.loo().rmse)
    assert np.isnan(table.loc["none", ("groups", "elpd")])
    assert np.isfinite(table.loc["partial", ("groups", "rmse")])


def test_verdict_is_of_rows_and_of_groups(poolings: sp.PoolingComparison) -> None:
    assert poolings.verdict.startswith(
        f"New rows of these groups: {poolings.rows.verdict}"
    )
    assert poolings.groups is not None
    assert f"New groups: {poolings.groups.verdict}" in poolings.verdict
    assert poolings.verdict.endswith("No pooling (none) cannot predict new groups.")


def test_reads_as_a_table(poolings: sp.PoolingComparison) -> None:
    text = str(poolings)
    assert text.splitlines()[0].split() == ["complete", "none", "partial"]
    (groups,) = [x for x in text.splitlines() if x.startswith("new groups: elpd")]
    assert groups.split()[4] == "-"
    assert "<table" in poolings._repr_html_()


def test_estimates_and_figure_are_those_of_the_fits(
    poolings: sp.PoolingComparison,
) -> None:
    assert list(poolings.estimates.index) == [
        "Intercept",
        "tau_school[Intercept]",
        "sigma",
    ]
    assert len(poolings.plot().axes) >= 1


def test_a_single_pooling_of_groups_is_not_ranked(
    poolings: sp.PoolingComparison,
) -> None:
    alone = build_pooling_comparison(
        poolings.fits,
        poolings.rows.results,
        {"complete": poolings.fits["complete"].loo()},
    )
    assert alone.groups is None
    assert alone.verdict.endswith("New groups are not compared.")
    assert "new groups" not in str(alone)


def test_what_has_no_groups_is_refused_before_anything_is_fitted() -> None:
    with pytest.raises(sp.SpecError, match="no groups to pool"):
        compare_pooling(sp.Model("y ~ x1", small_data(), pooling="complete"))
    with pytest.raises(sp.SpecError, match="not one of the model's grouping"):
        compare_pooling(sp.Model("y ~ x1 + (1 | g)", small_data()), factor="h")


@pytest.mark.parametrize(
    ("folds", "expected"), [(15, "rows, 14"), (5, "groups, 4"), ("2", "rows, 14")]
)
def test_folds_are_checked_before_anything_is_fitted(
    folds: object, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "stanpool.studies.pooling.poolings.fit_all", lambda *_, **__: 1 / 0
    )
    model = sp.Model("y ~ x1 + (1 | g)", small_data())
    with pytest.raises(
        sp.SpecError, match=f"folds=.*from 2 to the number of {expected}"
    ):
        compare_pooling(model, folds=folds)  # type: ignore[arg-type]
