"""A design matrix with the user's labels, and what builds it again for new rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stanpool.data.matrix.evaluation import Recipe
from stanpool.data.matrix.smooths.monotonic import Monotonic, Steps
from stanpool.data.matrix.smooths.process import Process, Spectrum
from stanpool.data.matrix.smooths.smooth import Smooth
from stanpool.data.matrix.uncertain import Uncertain
from stanpool.language.expression import written

if TYPE_CHECKING:
    from formulaic import ModelSpec as FormulaicSpec


@dataclass(frozen=True)
class LeftOut:
    """Columns of a design matrix that are left out.

    Attributes
    ----------
    labels, at
        The columns, and their places among all.
    kept
        The places of the others.
    follows
        How they follow from the others in the data: what to multiply those by, shape
        ``(others, left out)``.
    """

    labels: tuple[str, ...]
    at: tuple[int, ...]
    kept: tuple[int, ...]
    follows: np.ndarray


@dataclass(frozen=True)
class SmoothScale:
    """The scale of coefficients of a smooth.

    Attributes
    ----------
    name
        The smooth, or which part of it: ``s(x)``.
    count
        How many coefficients it is the scale of.
    spectrum
        Of a Gaussian process, whose amplitude the scale is: what the standard
        deviations of these coefficients follow from.
    steps
        Of a monotonic effect, whose coefficients follow from its mean step, and have no
        scale: the steps.
    """

    name: str
    count: int
    spectrum: Spectrum | None = None
    steps: Steps | None = None

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of these coefficients."""
        return tuple(f"{self.name}.{number}" for number in range(1, self.count + 1))


@dataclass(frozen=True)
class TermMatrix:
    """A design matrix and what it takes to build it again for new data.

    Attributes
    ----------
    values
        Shape ``(N, columns)``.
    labels
        The user's name of each column, such as ``floor`` or ``sex[T.M]``.
    recipe
        formulaic's specification: how factors are joined to terms, and coded.
    factors
        For each alias in the recipe, how the factor is evaluated.
    left_out
        The columns that the data cannot tell from others; they are not in the matrix.
    smooths
        The smooths. Their free columns come after all others, and their penalised
        columns, which are those that have a scale to estimate, after these. Predictors
        whose values are not all known are the first, and monotonic effects the last.
    """

    values: np.ndarray
    labels: tuple[str, ...]
    recipe: FormulaicSpec | None
    factors: Mapping[str, Recipe]
    left_out: LeftOut | None = None
    smooths: tuple[Recipe, ...] = ()

    @property
    def scales(self) -> tuple[SmoothScale, ...]:
        """The scales of the coefficients of penalised columns, which are the last."""
        return tuple(SmoothScale(*each) for own in self._smooths for each in own.scales)

    @property
    def penalised(self) -> int:
        """The number of penalised columns."""
        return sum(each.count for each in self.scales)

    @property
    def monotonic(self) -> int:
        """The number of monotonic effects: their free columns are the last of these."""
        return sum(each.steps is not None for each in self.scales)

    @property
    def uncertain(self) -> int:
        """The number of predictors whose values are not all known.

        Their columns are the first of the free ones.
        """
        return sum(isinstance(each, Uncertain) for each in self._smooths)

    @property
    def plain(self) -> int:
        """The number of columns that are not of smooths: they are the first."""
        free = {label for own in self._smooths for label in own.free}
        return sum(label not in free for label in self.labels) - self.penalised

    @property
    def of_smooths(self) -> int:
        """The number of all columns of smooths."""
        return self.penalised + sum(len(own.free) for own in self._smooths)

    @property
    def built_smooths(self) -> dict[str, Smooth | Process | Monotonic | Uncertain]:
        """The smooths as they were built, by their texts."""
        texts = [written(own.node) for own in self.smooths]
        return {
            text: own.taken[text] for text, own in zip(texts, self.smooths, strict=True)
        }

    @property
    def _smooths(self) -> list[Smooth | Process | Monotonic | Uncertain]:
        return [*self.built_smooths.values()]

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The labels with those of the columns that are left out."""
        if self.left_out is None:
            return self.labels
        places = dict(zip(self.left_out.kept, self.labels, strict=True))
        places |= zip(self.left_out.at, self.left_out.labels, strict=True)
        return tuple(places[place] for place in range(len(places)))

    @property
    def reference_levels(self) -> dict[str, str]:
        """The level of each factor that its coefficients are differences from.

        Factors of other codings, and those with a coefficient for every level, have
        none.
        """
        found = {}
        for alias, recipe in self.factors.items():
            state = {} if self.recipe is None else self.recipe.encoder_state
            levels = state.get(alias, ({}, {}))[1].get("categories") or ()
            name = written(recipe.node, bare=True)
            without = [
                str(level)
                for level in levels
                if not any(f"{name}[T.{level}]" in each for each in self.all_labels)
            ]
            if len(without) == 1:
                found[name] = without[0]
        return found
