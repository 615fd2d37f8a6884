"""The linear predictors and the family's parameters of rows, a few rows at a time.

The rows are those of a fit or new ones, whose groups may be new. The draws of a new
group depend only on the seed and on the group's label, so that they are the same in
every chunk of rows, for every order of the rows, and in every call.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import BLOCK, Array, Indices
from stanpool.base.options import NewGroups
from stanpool.data.design.predictors.uncertain import UncertainDesign
from stanpool.language.family import FAMILIES
from stanpool.model.terms.special.uncertain import UncertainDraws
from stanpool.model.terms.term import from_link_scale, on_link_scale
from stanpool.model.terms.unseen import Given, UnseenGroups
from stanpool.posterior.coefficients import Coefficients, coefficients, flat

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import Design, Part
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
        Draws of new groups that the fit was conditioned on, by parameter, factor and
        label: deviations, shape ``(S, D, Q)``.
    pareto_k
        Pareto k of the weights of conditioning, if there was any.
    parameter
        Whose predictor is asked for: ``"mean"``, or a parameter of the family.
    observed
        Rows with known outcomes, whose residuals say something about those of the rows,
        if these are correlated.
    """

    model: PreparedModel
    design: Design
    numbers: tuple[int, ...]
    posterior: xr.Dataset
    coefficients: Coefficients
    new_groups: NewGroups = "population"
    seed: int = 0
    given: Given = field(default_factory=dict)
    pareto_k: float | None = None
    parameter: str = "mean"
    observed: LinearPredictor | None = None

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

    def chunks(self, count: int | None = None) -> Iterator[slice]:
        """Split the rows, or as many as ``count``, into chunks of about 8 MB."""
        draws, predictors, _ = self.coefficients.beta.shape
        width = max(predictors, len(self.design.categories))
        size = max(1, BLOCK // (draws * width))
        rows = self.design.rows if count is None else count
        for start in range(0, rows, size):
            yield slice(start, min(start + size, rows))

    def eta(self, rows: slice | Indices) -> Array:
        """Return the linear predictors of some rows, with offsets.

        The shape is ``(S, rows)``, and one more axis for categories.
        """
        own = self.design.mean.take(rows)
        eta = self.coefficients.predictor_of(own, self.unseen, self.numbers)
        if self.design.offset is not None:
            eta += self.design.offset[rows]
        return np.moveaxis(eta, 1, 2) if self.is_categorical else eta[:, 0]

    def without_values(self) -> LinearPredictor:
        """Leave out what values add that are not known."""
        others = (x for x in self.design.special if not isinstance(x, UncertainDesign))
        return replace(self, design=replace(self.design, special=tuple(others)))

    def with_new_values(self) -> LinearPredictor:
        """Draw values that are not known again, as if rows had no outcomes."""
        special = {
            name: each.redrawn() if isinstance(each, UncertainDraws) else each
            for name, each in self.coefficients.special.items()
        }
        return replace(self, coefficients=replace(self.coefficients, special=special))

    def moments_of_values(self, rows: slice | Indices) -> tuple[Array, Array] | None:
        """Return the mean and the variance of what values add that are not known.

        The shapes are ``(S, rows)``; None if all are known.
        """
        for term in self.design.take(rows).special:
            draws = self.coefficients.special[term.name]
            if isinstance(term, UncertainDesign):
                assert isinstance(draws, UncertainDraws)
                return draws.moments(term)
        return None

    def asked(self, rows: slice | Indices) -> Array:
        """Return the linear predictors of the parameter that is asked for."""
        if self.parameter == "mean":
            return self.eta(rows)
        own = self.design.parameter(self.parameter)
        if own is None:  # one number for all rows
            links = {each.name: each.link for each in self.model.spec.numbers}
            number = flat(self.posterior[self.parameter])[:, None]
            return self._of_each(on_link_scale(links[self.parameter], number), rows)
        drawn = self.coefficients_of(self.parameter)
        return drawn.predictor_of(own.take(rows), self.unseen)[:, 0]

    def value_asked(self, rows: slice | Indices) -> Array:
        """Return the values of that parameter, which is not the mean."""
        return self._of_each(self.parameters(rows)[self.parameter], rows)

    def _of_each(self, values: Array, rows: slice | Indices) -> Array:
        """Repeat a number for each of some rows, shape ``(S, rows)``."""
        count = len(np.arange(self.design.rows)[rows])
        return np.broadcast_to(values, (len(values), count))

    def parameters(self, rows: slice | Indices) -> dict[str, Array]:
        """Return the family's parameters, which broadcast against ``(S, rows)``."""
        fitted = {own.parameter for own in self.model.design.parameters}
        found = {}
        for name in FAMILIES[self.model.spec.family].parameter_names:
            own = self.design.parameter(name)
            if own is not None:
                drawn = self.coefficients_of(name)
                eta = drawn.predictor_of(own.take(rows), self.unseen)
                found[name] = from_link_scale(own.link, eta[:, 0])
            elif name in self.posterior:
                found[name] = flat(self.posterior[name])[:, None]
            elif name in fitted:  # was not read, as nothing that is asked depends on it
                found[name] = np.full((1, 1), np.nan)
        return found

    def coefficients_of(self, parameter: str) -> Coefficients:
        """Return draws of the coefficients of a parameter other than the mean."""
        if parameter not in self._others:
            found = coefficients(self.model, self.posterior, parameter)
            self._others[parameter] = found
        return self._others[parameter]

    def given_others(
        self, number: int, others: Callable[[Part], Array]
    ) -> tuple[Array, Array]:
        """Return how deviations of a group are distributed given other parameters'.

        Parameters
        ----------
        number
            Which factor of the mean.
        others
            The group's deviations of another parameter with which an id correlates
            them, shape ``(S, Q)``.

        Returns
        -------
        tuple
            The mean, shape ``(S, D * Q)``, and the Cholesky factor of the covariance.
        """
        own = self.coefficients.factors[number]
        assert own.tau is not None
        if own.joint is None:
            return np.zeros(own.tau.shape), own.chol
        units = []
        for part in own.joint.design.parts:
            if part.parameter != own.parameter:
                drawn = self.coefficients_of(part.parameter).factors[part.number]
                assert drawn.tau is not None
                units.append(others(part) / drawn.tau)
        mean, chol = own.joint.given_others(np.concatenate(units, axis=1))
        return own.tau * mean, own.tau[..., None] * chol

    @cached_property
    def _others(self) -> dict[str, Coefficients]:
        return {}


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
