"""The draws of a fit's coefficients as arrays, for everything computed from them.

S posterior draws, chain by chain; D linear predictors (one, or one for each category
but the reference); J groups; Q varying coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from stanpool.base.arrays import Array
from stanpool.model.terms.group_draws import GroupDraws
from stanpool.model.terms.of_design import predictor_of
from stanpool.model.terms.population import PopulationDraws
from stanpool.model.terms.residuals import ResidualDraws
from stanpool.model.terms.term import SpecialDraws, TermDraws, Variables
from stanpool.model.terms.unseen import UnseenGroups

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import ParameterDesign
    from stanpool.model.prepared_model import PreparedModel


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Draws of the coefficients of one parameter's linear predictor.

    Attributes
    ----------
    population
        Those of the population.
    factors
        What varies over each grouping factor.
    special
        The coefficients of other terms, by their names.
    residuals
        What correlates residuals, if anything does.
    """

    population: PopulationDraws
    factors: tuple[GroupDraws, ...]
    special: Mapping[str, SpecialDraws] = field(default_factory=dict)
    residuals: tuple[ResidualDraws, ...] = ()

    @property
    def all(self) -> tuple[TermDraws | ResidualDraws, ...]:
        """The draws of all terms, in the order of ``PredictorTerms.all``."""
        terms: tuple[TermDraws, ...] = (self.population, *self.factors)
        return (*terms, *self.special.values(), *self.residuals)

    @property
    def alpha(self) -> Array:
        """Intercepts, shape ``(S, D)``: zero where there is none."""
        return self.population.alpha

    @property
    def beta(self) -> Array:
        """Population coefficients, shape ``(S, D, K)``."""
        return self.population.beta

    def predictor_of(
        self,
        rows: ParameterDesign,
        unseen: UnseenGroups,
        numbers: Sequence[int] | None = None,
    ) -> Array:
        """Return the linear predictors of rows, shape ``(S, D, rows)``.

        Parameters
        ----------
        rows
            Their design, which may have some of the terms only.
        unseen
            Where coefficients of new groups come from.
        numbers
            Which factors of the model those of the rows are; all of them if None.
        """
        chosen = range(len(rows.factors)) if numbers is None else numbers
        parts: list[tuple[TermDraws, Any]] = [
            (self.factors[number], factor)
            for number, factor in zip(chosen, rows.factors, strict=True)
        ]
        parts += [(self.special[term.name], term) for term in rows.special]
        eta = self.population.effect(rows, unseen)
        for draws, term in parts:
            eta += draws.effect(term, unseen)
        return eta


def coefficients(
    model: PreparedModel, posterior: xr.Dataset, parameter: str = "mean"
) -> Coefficients:
    """Take the coefficients of a linear predictor out of labelled draws.

    Parameters
    ----------
    model
        The model.
    posterior
        The posterior of a fit, some draws of it, or draws of the prior.
    parameter
        Whose linear predictor: the mean's, or that of a parameter by its name.
    """
    variables = variables_of(posterior)
    terms = predictor_of(model.design, model.structure, parameter)
    population = terms.population.draws(variables)
    return Coefficients(
        population,
        tuple(term.draws(variables, population) for term in terms.groups),
        {term.name: term.draws(variables, population) for term in terms.special},
        tuple(term.draws(variables) for term in terms.residuals),
    )


def variables_of(posterior: xr.Dataset) -> Variables:
    """Return the draws of a posterior's variables, chains one after another."""
    return Variables(
        names=[str(name) for name in posterior.data_vars],
        count=posterior.sizes["chain"] * posterior.sizes["draw"],
        take=lambda name: flat(posterior[name]),
    )


def flat(variable: xr.DataArray) -> Array:
    """Return draws with chains one after another, shape ``(S, ...)``."""
    values = variable.transpose("chain", "draw", ...).to_numpy()
    return values.reshape(-1, *values.shape[2:])
