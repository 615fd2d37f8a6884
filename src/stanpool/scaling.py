"""Predictors on a scale near 1 for Stan, whatever their units.

A sampler starts at a unit scale, and Stan's estimate of variances is pulled towards
1e-3 times that [1]_: the coefficient of a predictor in the thousands, a thousandth of
the others, would hold all back. So Stan sees predictors over a power of ten, and
coefficients and the scales of their priors times that; draws are turned back.

References
----------
.. [1] Stan Reference Manual, "Automatic parameter tuning": regularization.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.design import Design, FactorDesign
from stanpool.priors import PriorRow

if TYPE_CHECKING:
    from stanpool.posterior import Draws

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Scaling:
    """The powers of ten that predictors are divided by.

    Attributes
    ----------
    population
        Of the population's predictors, shape ``(K,)``.
    factors
        Of the predictors of each factor's coefficients, shape ``(Q,)`` each.
    group_level
        Of each factor's group-level predictors, shape ``(P,)`` each.
    """

    population: Array
    factors: tuple[Array, ...]
    group_level: tuple[Array, ...]

    @property
    def is_identity(self) -> bool:
        """Whether nothing is scaled."""
        own = (self.population, *self.factors, *self.group_level)
        return all(np.all(each == 1.0) for each in own)

    def design(self, design: Design) -> Design:
        """Return the data as Stan sees them."""
        if self.is_identity:
            return design
        factors = []
        for factor, z, u in zip(
            design.factors, self.factors, self.group_level, strict=True
        ):
            level = None if factor.U is None else factor.U / u
            factors.append(
                replace(factor, Z=factor.Z / z, z_bar=factor.z_bar / z, U=level)
            )
        return replace(
            design,
            X=design.X / self.population,
            x_bar=design.x_bar / self.population,
            factors=tuple(factors),
        )

    def priors(self, rows: Iterable[PriorRow]) -> list[PriorRow]:
        """Return the priors of the coefficients that Stan sees."""
        scaled, seen = [], dict[str, int]()
        for row in rows:
            scales = self._of(row.parameter_class)
            if scales is None or self.is_identity:
                scaled.append(row)
                continue
            place = seen.get(row.parameter_class, 0)
            seen[row.parameter_class] = place + 1
            prior = row.prior.scaled(float(scales[place % len(scales)]))
            assert prior is not None
            scaled.append(replace(row, prior=prior))
        return scaled

    def to_stan(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters, by Stan's names, as Stan sees them."""
        return {name: each * self._along(name, each, 0) for name, each in point.items()}

    def undone(self, draws: Draws) -> Draws:
        """Return draws of Stan in the units of the user."""
        return draws if self.is_identity else _Undone(draws, self)

    def undo(self, name: str, values: Array) -> Array:
        """Return a variable's draws in the units of the user."""
        return np.asarray(values / self._along(name, values, 2))

    def _of(self, name: str) -> Array | None:
        """Return the scales of a class of parameters; None if it has none."""
        base, number = re.fullmatch(r"(\w+?)(?:_(\d+))?", name).groups()  # type: ignore[union-attr]
        if base == "beta":
            return self.population
        if base in ("b", "b_c", "tau"):
            return self.factors[int(number or 1) - 1]
        return None

    def _along(self, name: str, values: Any, leading: int) -> Any:
        """Return the scales of a variable, in its shape; 1 if it has none."""
        scales = self._of(name)
        if scales is None or not len(scales):
            return 1.0
        shape = np.shape(values)
        if name == "beta":  # a column for each category
            return scales.reshape(-1, *[1] * (len(shape) - leading - 1))
        return np.tile(scales, shape[-1] // len(scales))


@dataclass(frozen=True, eq=False)
class _Undone:
    """Draws in the units of the user."""

    draws: Draws
    scaling: Scaling

    def stan_variable(self, name: str) -> Array:
        """Return a variable of the program."""
        return self.scaling.undo(name, self.draws.stan_variable(name))

    def sampler_variable(self, name: str) -> Array:
        """Return a variable of the sampler."""
        return self.draws.sampler_variable(name)


def scaling_of(design: Design, priors: Iterable[PriorRow]) -> Scaling:
    """Choose the powers of ten for a design.

    One for each label, wherever it stands. The effect of a group-level predictor on a
    slope is one of a product, and scales like it. Predictors whose coefficients have
    a beta prior stay as they are.

    Parameters
    ----------
    design, priors
        The data, and the priors in force.
    """
    of_label = {"Intercept": 1.0}
    columns = [*zip(design.coefficients, design.X.T, strict=True)]
    for factor in design.factors:
        columns += zip(factor.varying, factor.Z.T, strict=True)
    for label, column in columns:
        of_label.setdefault(label, _power_of_ten(design.sd(column)))
    levels = []
    for factor in design.factors:
        u = np.zeros((1, 0)) if factor.U is None else factor.U
        level = np.array([_power_of_ten(float(np.std(column))) for column in u.T])
        for p, q, label in _effects(design, factor):
            if factor.varying[q] == "Intercept":
                level[p] = of_label[label]
        levels.append(level)
    products: dict[str, float] = {}
    is_clear = all(row.prior.distribution != "beta" for row in priors)
    for factor, level in zip(design.factors, levels, strict=True):
        for p, q, label in _effects(design, factor):
            wanted = of_label[factor.varying[q]] * level[p]
            is_clear &= products.setdefault(label, wanted) == wanted
            is_clear &= label not in factor.varying
    if not is_clear:
        of_label, products = dict.fromkeys(of_label, 1.0), {}
        levels = [np.ones_like(level) for level in levels]
    of_label |= products
    return Scaling(
        np.array([of_label[label] for label in design.coefficients]),
        tuple(
            np.array([of_label[label] for label in factor.varying])
            for factor in design.factors
        ),
        tuple(levels),
    )


def _effects(design: Design, factor: FactorDesign) -> Iterable[tuple[int, int, str]]:
    """Yield which group-level predictor moves which coefficient, by which effect."""
    if factor.effect_of is not None:
        for (p, q), effect in np.ndenumerate(factor.effect_of):
            if effect:
                yield p, q, design.coefficients[effect - 1]


def _power_of_ten(spread: float) -> float:
    """Return 1 where a predictor's scale is between 0.1 and 10."""
    if spread == 0.0 or 0.1 < spread < 10.0 or not math.isfinite(spread):
        return 1.0
    return float(10.0 ** round(math.log10(spread)))
