"""Data on a scale near 1 for Stan, whatever their units.

A sampler starts at a unit scale, and Stan's estimate of variances is pulled towards
1e-3 times that [1]_: the coefficient of a predictor in the thousands, a thousandth of
the others, would hold all back, and an outcome in millionths would not converge at all.
So Stan sees centered predictors divided by powers of ten, and outcomes of families with
an identity link divided by powers of a thousand. Coefficients, scales and their priors
are rescaled accordingly, and draws are transformed back. The log density changes by a
constant.

References
----------
.. [1] Stan Reference Manual, "Automatic parameter tuning": regularization.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.centers import centered_design
from stanpool.data.design.design import (
    Design,
    FactorDesign,
    ParameterDesign,
    SpecialTerm,
)
from stanpool.data.design.predictors.latent_factors import LatentDesign
from stanpool.data.design.predictors.uncertain import UncertainDesign
from stanpool.data.matrix.term_matrix import SmoothScale
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import ModelSpec
from stanpool.model.priors.in_force import PriorRow
from stanpool.model.program.structure import base_and_number

if TYPE_CHECKING:
    from stanpool.engine.values.draws import Draws

_PER_PREDICTOR = {"beta", "beta_free", "b", "b_c", "tau"}
_PER_OUTCOME = {"Intercept", "alpha_c", "alpha_bar", "alpha", "sigma", "sigma_j"}
_PER_OUTCOME |= {
    "loading_scale",
    "loadings",
    "factor_scale",
    "product_rms",
    "tau_s",
} | _PER_PREDICTOR


@dataclass(frozen=True, eq=False)
class Scaling:
    """What predictors and outcomes are divided by.

    Attributes
    ----------
    population
        Scales of the population's predictors, shape ``(K,)``.
    factors
        Scales of the predictors of each factor's coefficients, shape ``(Q,)`` each.
    group_level
        Scales of each factor's group-level predictors, shape ``(P,)`` each.
    outcome
        Scale of the outcome, and of all that is in its units.
    formulas
        The same of the predictors of parameters that have formulas.
    values
        By what variables of terms of other kinds are multiplied, by their names.
    """

    population: Array
    factors: tuple[Array, ...]
    group_level: tuple[Array, ...]
    outcome: float = 1.0
    formulas: Mapping[str, Scaling] = field(default_factory=dict)
    lengthscale: Array = field(default_factory=lambda: np.ones(0))
    values: Mapping[str, Array] = field(default_factory=dict)

    @property
    def is_identity(self) -> bool:
        """Whether nothing is scaled."""
        own = [self.population, self.lengthscale, *self.factors, *self.group_level]
        own += self.values.values()
        of_formulas = all(each.is_identity for each in self.formulas.values())
        is_one = self.outcome == 1.0 and all(np.all(each == 1.0) for each in own)
        return is_one and of_formulas

    def design(self, design: Design) -> Design:
        """Return the data as Stan sees them, centered and scaled."""
        design = centered_design(design)
        if self.is_identity:
            return design
        factors = []
        for factor, z, u in zip(
            design.factors, self.factors, self.group_level, strict=True
        ):
            level = None if factor.U is None else factor.U / u
            uncenter = factor.uncenter
            if uncenter is not None:
                uncenter = z[:, None] * uncenter / z
            scaled_factor = replace(factor, Z=factor.Z / z, z_bar=factor.z_bar / z)
            factors.append(replace(scaled_factor, U=level, uncenter=uncenter))
        scaled = replace(
            design,
            X=design.X / self.population,
            x_bar=design.x_bar / self.population,
            factors=tuple(factors),
            parameters=tuple(map(self._parameter, design.parameters)),
            special=tuple(map(self._special, design.special)),
            smooths=self._smooths(design.smooths),
            **self._outcome_of(design),
        )
        if design.ones is None or design.se is None:
            return scaled
        # These rows were divided by standard errors in the outcome's own units.
        return replace(
            scaled,
            y=scaled.y * self.outcome,
            X=scaled.X * self.outcome,
            ones=design.ones * self.outcome,
            factors=tuple(
                replace(each, Z=each.Z * self.outcome) for each in scaled.factors
            ),
        )

    def _parameter(self, own: ParameterDesign) -> ParameterDesign:
        """Return the predictors of a parameter as Stan sees them."""
        scaling = self.formulas.get(own.parameter)
        if scaling is None:
            return own
        return replace(
            own,
            X=own.X / scaling.population,
            x_bar=own.x_bar / scaling.population,
            factors=tuple(
                replace(factor, Z=factor.Z / z)
                for factor, z in zip(own.factors, scaling.factors, strict=True)
            ),
            log_unit=math.log(self.outcome),
            smooths=scaling._smooths(own.smooths),
        )

    def _special(self, term: SpecialTerm) -> SpecialTerm:
        """Return a term of another kind as Stan sees it."""
        if isinstance(term, LatentDesign) and term.means is not None:
            unit = self.values["beta_factors"][: len(term.means.labels)]
            return replace(term, means=term.means.in_units(unit))
        if not isinstance(term, UncertainDesign):
            return term
        unit = 1.0 / self.values["mean_x"]
        return term.in_units(unit, self.values["beta_x"] * unit[term.of])

    def _smooths(self, smooths: tuple[SmoothScale, ...]) -> tuple[SmoothScale, ...]:
        """Return the scales of smooths, with length scales as Stan sees them."""
        found, first = [], 0
        for each in smooths:
            if each.spectrum is not None:
                last = first + len(each.spectrum.axes)
                units = 1.0 / self.lengthscale[first:last]
                each = replace(each, spectrum=each.spectrum.in_units(units))
                first = last
            found.append(each)
        return tuple(found)

    def priors(self, rows: Iterable[PriorRow]) -> list[PriorRow]:
        """Return the priors of the coefficients that Stan sees."""
        scaled, seen = [], dict[str, int]()
        for row in rows:
            place = seen.get(row.parameter_class, 0)
            seen[row.parameter_class] = place + 1
            scales = self._of(row.parameter_class)
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

    def _outcome_of(self, design: Design) -> dict[str, Any]:
        """Return what is on the scale of the outcome, as Stan sees it."""
        if self.outcome == 1.0:
            return {}
        names = ("y", "se", "offset", "y_upper", "lower", "upper")
        values = {name: getattr(design, name) for name in names}
        return {
            name: None if each is None else each / self.outcome
            for name, each in values.items()
        }

    def _of(self, name: str) -> Array:
        """Return what members of a class of parameters are multiplied by."""
        scaling, name = self._of_predictor(name)
        if scaling is not self:
            return scaling._of(name)
        if name in self.values:
            return self.values[name]
        base, suffix = base_and_number(name)
        scales = np.ones(1)
        if base in ("beta", "beta_free"):
            scales = self.population
        elif base == "lengthscale":
            scales = self.lengthscale
        elif base in _PER_PREDICTOR:
            scales = self.factors[int(suffix.strip("_") or 1) - 1]
        return scales / self.outcome if base in _PER_OUTCOME else scales

    def _of_predictor(self, name: str) -> tuple[Scaling, str]:
        """Return whose linear predictor a variable is of, and its name without that."""
        for parameter, scaling in self.formulas.items():
            match = re.fullmatch(rf"(\w+?)_{parameter}(_\d+)?", name)
            if match:
                return scaling, match[1] + (match[2] or "")
        return self, name

    def _along(self, name: str, values: Any, leading: int) -> Any:
        """Return the scales of a variable, in its shape."""
        scaling, name = self._of_predictor(name)
        if scaling is not self:
            return scaling._along(name, values, leading)
        scales = self._of(name)
        if len(scales) < 2:
            return scales.item() if len(scales) else 1.0
        shape = np.shape(values)
        if name == "beta_free":
            return scales[: shape[-1]]
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


def scaling_of(spec: ModelSpec, design: Design, priors: Iterable[PriorRow]) -> Scaling:
    """Choose what the predictors and the outcome of a design are divided by.

    A label has the same power of ten wherever it stands. The effect of a group-level
    predictor on a slope is the coefficient of a product, and scales like it. If a
    coefficient or a scale has a beta prior, nothing is scaled.

    Parameters
    ----------
    spec, design, priors
        The model, its data, and the priors in force.
    """
    design = centered_design(design)
    of_label = {"Intercept": 1.0}
    # Columns of smooths are on a scale of their own already, and levels are counted.
    columns = [*zip(design.mean.free, design.X.T, strict=False)]
    columns = columns[: len(columns) - len(design.mean.monotonic)]
    for factor in design.factors:
        columns += zip(factor.varying, factor.Z.T, strict=True)
    for label, column in columns:
        of_label.setdefault(label, _power_of_ten(design.sd_of(column)))
    levels = []
    for factor in design.factors:
        u = np.zeros((1, 0)) if factor.U is None else factor.U
        level = np.array([_power_of_ten(float(np.std(column))) for column in u.T])
        for p, q, label in _effects(design, factor):
            if factor.varying[q] == "Intercept":
                level[p] = of_label[label]
        levels.append(level)
    products: dict[str, float] = {}
    may_scale = all(row.prior.distribution != "beta" for row in priors)
    is_clear = may_scale
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
        np.array([of_label.get(label, 1.0) for label in design.coefficients]),
        tuple(
            np.array([of_label[label] for label in factor.varying])
            for factor in design.factors
        ),
        tuple(levels),
        _power_of_a_thousand(spec, design) if may_scale else 1.0,
        {own.parameter: _scaling_of_formula(own, may_scale) for own in design.formulas},
        _scaling_of_lengthscales(design.mean, may_scale),
        _scaling_of_values(design, of_label, may_scale),
    )


def _scaling_of_values(
    design: Design, of_label: Mapping[str, float], may_scale: bool
) -> dict[str, Array]:
    """Choose by what variables of terms of other kinds are multiplied.

    Values that are not all known are divided by what their columns are divided by.
    """
    found = dict[str, Array]()
    for term in design.special:
        if isinstance(term, UncertainDesign):
            unit = np.array([of_label[name] for name in term.names])
            powers = [_power_of_ten(float(np.std(z))) for z in term.X.T]
            of_X = np.array(powers) if may_scale else np.ones(len(powers))
            found |= {"mean_x": 1.0 / unit, "sd_x": 1.0 / unit}
            found["beta_x"] = of_X / unit[term.of]
            found["true_x"] = (1.0 / unit)[term.unknown[1]]
        elif isinstance(term, LatentDesign) and term.means is not None:
            powers = [
                _power_of_ten(float(np.std(term.means.levels[of][:, k])))
                for k, of in enumerate(term.means.of.tolist())
            ]
            unit = np.array(powers) if may_scale else np.ones(len(powers))
            found["beta_factors"] = np.tile(unit, term.rank)
    return found


def _scaling_of_formula(own: ParameterDesign, may_scale: bool) -> Scaling:
    """Choose what the predictors of a parameter with a formula are divided by."""

    def powers(columns: Array) -> Array:
        found = [_power_of_ten(float(np.std(column))) for column in columns.T]
        return np.array(found) if may_scale else np.ones(columns.shape[1])

    population = powers(own.X)
    population[len(own.free) - len(own.monotonic) :] = 1.0
    return Scaling(
        population,
        tuple(powers(each.Z) for each in own.factors),
        (),
        lengthscale=_scaling_of_lengthscales(own, may_scale),
    )


def _scaling_of_lengthscales(own: ParameterDesign, may_scale: bool) -> Array:
    """Choose what the length scales of Gaussian processes are multiplied by."""
    axes = [x for each in own.smooths if each.spectrum for x in each.spectrum.axes]
    units = [_power_of_ten(axis.half_range) if may_scale else 1.0 for axis in axes]
    return np.asarray(1.0 / np.array(units))


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


def _power_of_a_thousand(spec: ModelSpec, design: Design) -> float:
    """Return 1 where an outcome's scale is between 0.1 and 100, or it has none.

    A power of a thousand: outcomes in other units of these have the same numbers.
    """
    if FAMILIES[spec.family].residuals != "outcome" or spec.link_name != "identity":
        return 1.0
    spread = design.sd_of(design.y)
    if spread == 0.0 or not math.isfinite(spread):
        return 1.0
    return float(1000.0 ** math.floor((math.log10(spread) + 1.0) / 3.0))
