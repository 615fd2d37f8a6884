"""Maps show the numbers of the fit, at the regions of their labels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.path import Path as Outline

import stanpool as sp
from simulated_fits import fit_of_prior
from unit.data.test_shapes import board, collection, square


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    region = ["01", "00", "10", "11", "12"]
    data = pd.DataFrame({"y": np.arange(10.0), "region": region * 2})
    W = pd.DataFrame([("00", "01"), ("01", "11"), ("11", "10"), ("12", "11")])
    model = sp.Model("y ~ 1 + icar(region, W)", data, covariances={"W": W})
    return fit_of_prior(model, chains=2, draws=50)


@pytest.mark.parametrize("statistic", ["mean", "sd", "probability"])
def test_regions_have_the_colour_of_their_deviation(
    fit: sp.Fit, statistic: Any
) -> None:
    shapes = board(2, 2)  # and none of "12"
    figure = fit.plot.map(shapes, statistic=statistic)
    ax = figure.axes[0]
    (drawn,) = ax.collections
    tree = fit.posterior
    away = (
        tree["b_icar_region"].isel(icar_region_coefficient=0) - tree["Intercept"]
    ).stack(at=("chain", "draw"))
    expected = {
        "mean": away.mean("at"),
        "sd": away.std("at", ddof=1),
        "probability": (away > 0).mean("at"),
    }[statistic]
    for number, path in enumerate(drawn.get_paths()):
        column, row = path.vertices.min(axis=0).astype(int)
        value = expected.sel(icar_region=f"{row}{column}")
        assert drawn.get_array()[number] == pytest.approx(float(value))
    assert len(drawn.get_paths()) == 4
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["1 groups without a shape"]
    if statistic == "mean":
        assert drawn.get_clim()[0] == -drawn.get_clim()[1]
    figure.savefig(io.BytesIO(), dpi=30)


def test_holes_are_holes_and_other_regions_are_blank(fit: sp.Fit) -> None:
    apart = square("_elsewhere", 7, 7)
    shapes = collection(square("00", 0, 0, hole=True), apart)
    ax = fit.plot.map(shapes).axes[0]
    coloured, blank = ax.collections
    (outline,) = coloured.get_paths()
    assert list(outline.codes).count(Outline.MOVETO) == 2
    assert len(blank.get_paths()) == 1
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["no group of the fit: 1", "4 groups without a shape"]


def test_degrees_are_narrowed_where_meridians_are_close(fit: sp.Fit) -> None:
    """At a latitude of 60 degrees one of longitude is half as long."""
    shapes = collection(square("00", 10, 58.5), square("01", 11, 60.5))
    assert fit.plot.map(shapes).axes[0].get_aspect() == pytest.approx(2.0)


def test_shapes_of_other_labels_are_refused(fit: sp.Fit) -> None:
    with pytest.raises(sp.DataError, match="none of them is a group of 'icar_region'"):
        fit.plot.map(collection(square("north", 0, 0)))
    with pytest.raises(sp.DataError, match="of type 'int'"):
        fit.plot.map(3)
