"""Shapes of regions: which are neighbours, and what is no map."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool.data.design.covariance.known import are_same, as_covariances
from stanpool.data.tables.shapes import Shapes


def square(label: Any, x: float, y: float, *, hole: bool = False) -> dict[str, Any]:
    """Return a feature: a square of sides 1 whose lowest corner is at x, y."""
    rings = [_ring(x, y, 1.0)] + ([_ring(x + 0.25, y + 0.25, 0.5)] if hole else [])
    shape = {"type": "Polygon", "coordinates": rings}
    return {"type": "Feature", "id": label, "properties": {}, "geometry": shape}


def _ring(x: float, y: float, side: float) -> list[list[float]]:
    corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
    return [[x + side * a, y + side * b] for a, b in corners]


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


def board(rows: int, columns: int) -> dict[str, Any]:
    """Return squares of a chessboard, from the last to the first."""
    places = [(i, j) for i in range(rows) for j in range(columns)]
    return collection(*(square(f"{i}{j}", j, i) for i, j in reversed(places)))


class LikeGeopandas(pd.DataFrame):
    """What of a GeoDataFrame is read: its shapes by its index, and its system."""

    crs = None

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        return collection(*(square(str(i), x, 0) for i, x in self["x"].items()))


def test_squares_that_share_a_border_or_a_corner_are_neighbours() -> None:
    """A king of chess goes from each to the others."""
    (pair,) = as_covariances({"W": board(3, 4)})
    found = pair[1]
    assert found.labels == tuple(f"{i}{j}" for i in range(3) for j in range(4))
    pairs = {(found.labels[a], found.labels[b]) for a, b in found.pairs}
    places = {label: divmod(int(label, 10), 10) for label in found.labels}
    near = {
        (a, b)
        for a in places
        for b in places
        if a < b and max(np.abs(np.subtract(places[a], places[b]))) == 1
    }
    assert pairs == near
    assert len(pairs) == 9 + 8 + 2 * 6  # across, down, and both diagonals
    assert set(found.weights) == {1.0}


def test_islands_and_labels_that_are_numbers() -> None:
    shapes = LikeGeopandas({"x": [0.0, 1.0, 5.0]}, index=[10, 9, 7])
    data = pd.DataFrame({"y": [1.0, 2.0, 3.0, 2.0], "region": [10, 9, 7, 10]})
    model = sp.Model("y ~ 1 + icar(region, W)", data, covariances={"W": shapes})
    (pair,) = model.spec.covariances
    assert pair[1].labels == ("10", "7", "9")
    assert pair[1].islands == ("7",)
    assert [[pair[1].labels[a] for a in each] for each in pair[1].pairs] == [
        ["10", "9"]
    ]


def test_shapes_make_the_model_that_their_pairs_make() -> None:
    data = pd.DataFrame({"y": np.arange(6.0), "region": ["00", "01", "10"] * 2})
    pairs = [("00", "01"), ("00", "10"), ("00", "11"), ("01", "10")]
    pairs += [("11", "01"), ("10", "11")]
    drawn, listed = (
        sp.Model("y ~ 1 + bym2(region, W)", data, covariances={"W": W})
        for W in (board(2, 2), pd.DataFrame(pairs))
    )
    assert are_same(drawn.spec.covariances, listed.spec.covariances)
    assert drawn.program.source == listed.program.source


def wrong(**changes: Any) -> dict[str, Any]:
    shapes = copy.deepcopy(board(2, 2))
    shapes["features"][1] |= changes
    return shapes


BOW = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        (wrong(id=None), "the map 'W' has no 'id' in its feature 1, counted from 0"),
        (wrong(id="00"), "more than one shape with the label '00'"),
        (wrong(geometry=None), "has no shape for '10'"),
        (wrong(geometry={"type": "Point", "coordinates": [0, 0]}), "a Point for '10'"),
        (wrong(geometry=BOW), "has a shape for '10' that is not valid: Self-intersect"),
    ],
)
def test_what_is_no_map_is_refused(shapes: Any, said: str) -> None:
    with pytest.raises(sp.DataError, match=re.escape(said)):
        as_covariances({"W": shapes})


def test_without_shapely_it_is_said_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "shapely", None)
    with pytest.raises(sp.DataError, match=r"pip install 'stanpool\[maps\]'"):
        as_covariances({"W": board(2, 2)})
    assert len(Shapes.of("shapes", board(2, 2)).geometries) == 4  # maps need it not
