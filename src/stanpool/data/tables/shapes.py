"""Shapes of regions, as geopandas and files of GeoJSON have them, and which touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.base.arrays import Array, Indices
from stanpool.base.errors import DataError, quote
from stanpool.data.design.covariance.labels import repeated
from stanpool.data.entries import level_text

_AREAS = ("Polygon", "MultiPolygon")


@dataclass(frozen=True, eq=False)
class Shapes:
    """The shapes of regions, by their labels.

    Attributes
    ----------
    geometries
        Polygons and multipolygons as GeoJSON writes them, by the labels of the regions
        as text, in the order in which they were given.
    are_degrees
        Whether coordinates are longitudes and latitudes.
    """

    geometries: Mapping[str, Mapping[str, Any]]
    are_degrees: bool

    @classmethod
    def of(cls, what: str, given: Any) -> Shapes:
        """Read a GeoDataFrame, whose index has the labels, or features of GeoJSON.

        Parameters
        ----------
        what
            How messages name it.
        given
            What has ``__geo_interface__``, or is a feature collection as ``json.load``
            returns it, whose features have the labels as their ``"id"``.

        Raises
        ------
        DataError
            If it is neither, or if a region has no label, a label that another has,
            or no area.
        """
        if not are_shapes(given):
            raise DataError(
                f"{what} is of type {type(given).__name__!r}. A map is a GeoDataFrame "
                "whose index has the labels of the regions, or a feature collection of "
                "GeoJSON whose features have them as their 'id'."
            )
        features = _collection(given)["features"]
        labels = []
        for number, each in enumerate(features):
            if each.get("id") is None:
                raise DataError(
                    f"{what} has no 'id' in its feature {number}, counted from 0. The "
                    "ids are the labels of the regions as the data have them; of a "
                    "GeoDataFrame they are its index: shapes.set_index('region')."
                )
            labels.append(level_text(each["id"]))
        if twice := repeated(labels):
            raise DataError(
                f"{what} has more than one shape with the label {quote(twice[0])}; "
                "shapes.dissolve('region') makes one of the parts of each region."
            )
        shapes = {x: y["geometry"] for x, y in zip(labels, features, strict=True)}
        for label, shape in shapes.items():
            kind = None if shape is None else shape.get("type")
            if kind not in _AREAS:
                raise DataError(
                    f"{what} has {'no shape' if kind is None else f'a {kind}'} for "
                    f"{quote(label)}; regions are polygons or multipolygons."
                )
        return cls(shapes, _are_degrees(given))

    def rings(self, label: str) -> list[Array]:
        """Return the outlines of a region and of its holes, each ``(points, 2)``."""
        shape = self.geometries[label]
        parts = shape["coordinates"]
        if shape["type"] == "Polygon":
            parts = [parts]
        return [np.asarray(ring, float)[:, :2] for part in parts for ring in part]

    def touching(self, what: str) -> Indices:
        """Return the pairs of regions that share a border or a corner, ``(E, 2)``.

        Raises
        ------
        DataError
            If shapely is not installed, or the outline of a region crosses itself.
        """
        try:
            import shapely
        except ImportError:
            raise DataError(
                f"{what} has shapes, and shapely finds those that touch: pip install "
                "'stanpool[maps]'. A data frame with a pair of neighbours in each row "
                "needs nothing."
            ) from None
        areas = np.array([shapely.geometry.shape(x) for x in self.geometries.values()])
        wrong = ~shapely.is_valid(areas)
        if wrong.any():
            at = int(wrong.argmax())
            raise DataError(
                f"{what} has a shape for {quote(list(self.geometries)[at])} that is "
                f"not valid: {shapely.is_valid_reason(areas[at])}. In geopandas, "
                "shapes.make_valid() mends most of them."
            )
        pairs = shapely.STRtree(areas).query(areas, predicate="intersects").T
        return np.asarray(np.unique(pairs[pairs[:, 0] < pairs[:, 1]], axis=0))


def are_shapes(given: Any) -> bool:
    """Whether a user passes shapes of regions."""
    try:
        return bool(_collection(given).get("type") == "FeatureCollection")
    except AttributeError:
        return False


def _collection(given: Any) -> Any:
    return given if isinstance(given, Mapping) else given.__geo_interface__


def _are_degrees(given: Any) -> bool:
    """Whether shapes are in degrees, as those of GeoJSON are."""
    if isinstance(given, Mapping):
        return True
    system = getattr(given, "crs", None)
    return bool(getattr(system, "is_geographic", False))
