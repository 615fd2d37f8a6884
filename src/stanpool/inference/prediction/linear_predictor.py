"""The linear predictors and the family's parameters of rows, a few rows at a time.

The rows are those of a fit or new ones, whose groups may be new. The draws of a new
group depend only on the seed and on the group's label, so that they are the same in
every chunk of rows, for every order of the rows, and in every call.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import BLOCK, Array, Indices
from stanpool.base.options import NewGroups
from stanpool.data.design.design import taken_special
from stanpool.language.family import FAMILIES
from stanpool.model.terms.names import GroupNames
from stanpool.model.terms.unseen import UnseenGroups
from stanpool.posterior.coefficients import (
    Coefficients,
    cholesky_of_population,
    coefficients,
    flat,
)

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import Design, FactorDesign
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel


@dataclass(frozen=True, eq=False)
class LinearPredictor:
    """The linear predictors of rows, a few at a time.

    Attributes
    ----------
    model
        The model that was fitted.
    design
        The rows, and the grouping factors that are used. Groups after those of the
        model are new.
    numbers
        The positions of these factors in the model.
    posterior
        The draws.
    coefficients
        The draws of the coefficients as arrays.
    new_groups
        How the coefficients of new groups are drawn: ``"population"``, ``"resample"``
        or ``"zero"``.
    seed
        The seed of these draws.
    given
        Draws of new groups that the fit was conditioned on, by factor and label:
        deviations, shape ``(S, D, Q)``.
    given_scales
        Draws of the residual scales of these groups by label, shape ``(S,)``.
    pareto_k
        Pareto k of the weights of conditioning, if there was any.
    """

    model: PreparedModel
    design: Design
    numbers: tuple[int, ...]
    posterior: xr.Dataset
    coefficients: Coefficients
    new_groups: NewGroups = "population"
    seed: int = 0
    given: Mapping[tuple[str, Any], Array] = field(default_factory=dict)
    given_scales: Mapping[Any, Array] = field(default_factory=dict)
    pareto_k: float | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """The number of chains, and of draws in each."""
        return self.posterior.sizes["chain"], self.posterior.sizes["draw"]

    @property
    def unseen(self) -> UnseenGroups:
        """How the coefficients of new groups are drawn."""
        return UnseenGroups(self.new_groups, self.seed, self.given)

    @property
    def is_categorical(self) -> bool:
        """Whether each category but one has a linear predictor."""
        return self.model.spec.is_categorical

    def without(self, factors: Collection[int]) -> LinearPredictor:
        """Leave out the deviations of groups of some of the factors."""
        kept = [k for k, number in enumerate(self.numbers) if number not in factors]
        own = self.design.factors
        return replace(
            self,
            design=replace(self.design, factors=tuple(own[k] for k in kept)),
            numbers=tuple(self.numbers[k] for k in kept),
        )

    def chunks(self) -> Iterator[slice]:
        """Split the rows into chunks whose linear predictors take about 8 MB."""
        draws, predictors, _ = self.coefficients.beta.shape
        width = max(predictors, len(self.design.categories))
        size = max(1, BLOCK // (draws * width))
        for start in range(0, self.design.rows, size):
            yield slice(start, min(start + size, self.design.rows))

    def eta(self, rows: slice | Indices) -> Array:
        """Return the linear predictors of some rows, with offsets.

        The shape is ``(S, rows)``, and one more axis for categories.
        """
        found, design = self.coefficients, self.design
        eta = found.alpha[..., None] + found.beta @ design.X[rows].T
        for place, factor in enumerate(design.factors):
            index, z = factor.index[rows], factor.Z[rows]
            if factor.weights is None:
                eta += self._effects(place, index, z)
                continue
            for member in range(index.shape[1]):
                weighted = factor.weights[rows, member, None] * z
                eta += self._effects(place, index[:, member], weighted)
        for term in design.special:
            own = found.special[term.name]
            eta += own.effect(taken_special(term, rows), self.unseen)
        if design.offset is not None:
            eta += design.offset[rows]
        return np.moveaxis(eta, 1, 2) if self.is_categorical else eta[:, 0]

    def parameters(self, rows: slice | Indices) -> dict[str, Array]:
        """Return the family's parameters, which broadcast against ``(S, rows)``."""
        posterior, residual = self.posterior, self.design.residual
        found = {}
        for name in FAMILIES[self.model.spec.family].parameter_names:
            if name == "sigma" and residual is not None:
                found[name] = self._scales(residual, residual.index[rows])
            elif name in posterior:
                found[name] = flat(posterior[name])[:, None]
        return found

    def new_scale(self, group: int) -> Array:
        """Return the residual scale of a new group, shape ``(S,)``."""
        assert self.design.residual is not None
        factor, labels = self.design.residual.factor, self.design.residual.labels
        if labels[group] in self.given_scales:
            return self.given_scales[labels[group]]
        if self.new_groups == "resample":
            scales = flat(self.posterior[GroupNames.of(factor).sigma])
            return np.asarray(
                np.take_along_axis(
                    scales,
                    self.unseen.fitted_group(factor, labels[group], scales),
                    axis=1,
                )[:, 0]
            )
        middle = flat(self.posterior["sigma"])
        if self.new_groups == "zero":
            return np.asarray(middle)
        spread = flat(self.posterior[GroupNames.of(factor).tau_sigma])
        z = self.unseen.stream("scale", factor, labels[group]).standard_normal(
            len(middle)
        )
        return np.asarray(middle * np.exp(spread * z))

    def _effects(self, place: int, groups: Indices, z: Array) -> Array:
        """Return the contribution of a factor's deviations, shape ``(S, D, rows)``."""
        own = self.coefficients.factors[self.numbers[place]]
        draws, known, predictors, _ = own.b.shape
        new = np.unique(groups[groups >= known]).tolist()
        if not new:
            return own.effects_on(groups, z)
        effects = np.empty((draws, predictors, len(z)))
        is_known = groups < known
        effects[..., is_known] = own.effects_on(groups[is_known], z[is_known])
        for group in new:
            at = groups == group
            effects[..., at] = self._deviations(place, group) @ z[at].T
        return effects

    def _deviations(self, place: int, group: int) -> Array:
        """Return the deviation of a new group from its mean, shape ``(S, D, Q)``."""
        number, factor = self.numbers[place], self.design.factors[place]
        own, label = self.coefficients.factors[number], factor.labels[group]
        draws, _, predictors, varying = own.b.shape
        if (factor.factor, label) in self.given:
            return self.given[factor.factor, label]
        if self.new_groups == "zero":
            return np.zeros((draws, predictors, varying))
        if self.new_groups == "resample":
            chosen = self.unseen.fitted_group(factor.factor, label, own.b)
            return own.deviations_at(chosen[:, 0])
        chol = self._chols[number]
        z = self.unseen.stream("coefficients", factor.factor, label).standard_normal(
            (draws, chol.shape[1])
        )
        u = np.einsum("sij,sj->si", chol, z)
        return np.asarray(u.reshape(draws, predictors, varying))

    @cached_property
    def _chols(self) -> dict[int, Array]:
        """Cholesky factors of the population covariance matrices, by factor."""
        factors = self.model.design.factors
        return {
            number: cholesky_of_population(self.posterior, factors[number])
            for number in self.numbers
        }

    def _scales(self, factor: FactorDesign, groups: Indices) -> Array:
        """Return the residual scales of rows' groups, shape ``(S, rows)``."""
        scales = flat(self.posterior[GroupNames.of(factor.factor).sigma])
        known = scales.shape[1]
        sigma = scales[:, np.minimum(groups, known - 1)]
        for group in np.unique(groups[groups >= known]).tolist():
            sigma[:, groups == group] = self.new_scale(group)[:, None]
        return np.asarray(sigma)


def linear_predictor_of(fit: FitResult) -> LinearPredictor:
    """Return the linear predictors of a fit's rows, at all draws."""
    design, posterior = fit.model.design, fit.posterior
    return LinearPredictor(
        fit.model,
        design,
        tuple(range(len(design.factors))),
        posterior,
        coefficients(fit.model, posterior),
    )
