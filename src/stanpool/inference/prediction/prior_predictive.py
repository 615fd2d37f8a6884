"""Draws of parameters and outcomes from the prior of a model, in NumPy.

The draws are independent and exact, whatever the geometry of the prior, and owe nothing
to the model's Stan program: nothing is compiled, and a program can be tested by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array, check_memory
from stanpool.data.design.centers import centered_design
from stanpool.data.design.outcome import labelled_outcome
from stanpool.engine.values.draws import NamedDraws
from stanpool.inference.prediction.predict import outcomes_of_rows
from stanpool.inference.prediction.quantities import warn_of_overflow
from stanpool.language.family import FAMILIES
from stanpool.model.priors.distributions import PriorDraws
from stanpool.model.priors.given import GivenDraws, check_given
from stanpool.model.terms.of_design import PredictorTerms, predictors_of
from stanpool.posterior.labelled_draws import build_posterior, numbers_of_draw
from stanpool.posterior.recenter import uncenter_posterior

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import Design
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel


_ALLOWED = (
    "The priors are far too wide: use narrower ones, as in priors={'Intercept': "
    "'normal(0, 2)', 'beta': 'normal(0, 1)'}. model.priors lists them."
)


@public
def prior_predictive(
    model: PreparedModel, draws: int = 1000, *, seed: int | None = None
) -> xr.DataTree:
    """Draw parameters from the prior, and outcomes of the model's rows given them.

    The draws are independent, and nothing is compiled or run in Stan.

    Parameters
    ----------
    model
        The model. Its outcome is not used, except that default priors are scaled by it.
    draws
        The number of draws.
    seed
        The seed, which is drawn at random if None.

    Returns
    -------
    xarray.DataTree
        The groups, as ArviZ names them, are ``prior`` with the variables of a fit's
        posterior, ``prior_predictive`` with the outcomes ``y`` in one chain,
        ``(chain, draw, row)``, and ``observed_data``. Outcomes are drawn without
        censoring, and categories are given by name.

    Raises
    ------
    SpecError
        If a prior is improper, so that it cannot be drawn from.
    OutOfMemoryError
        If the draws do not fit into memory.

    Warns
    -----
    OutcomeWarning
        If priors are so wide that outcomes overflow; they are set to 1e150.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"),
    ...                  priors={"Intercept": "normal(0, 10)", "tau": "normal(0, 5)"})
    >>> drawn = prior_predictive(model, draws=4000, seed=1)
    >>> drawn["prior"]["tau_school"].mean().round().item()
    4.0
    >>> dict(drawn["prior_predictive"].sizes)
    {'chain': 1, 'draw': 4000, 'row': 8}
    """
    import xarray as xr

    numbers = numbers_of_draw(model.design) + model.design.rows
    check_memory(
        f"draws={draws:,} of {numbers:,} parameters and outcomes",
        draws * numbers,
        "Pass fewer draws.",
    )
    rng = np.random.default_rng(seed)
    prior = draw_prior(model, draws, rng)
    observed = np.asarray(labelled_outcome(model.design))
    y = simulate_outcomes(model, prior, rng)
    warn_of_overflow(y.attrs.get("beyond", 0), y.size, _ALLOWED)
    return xr.DataTree.from_dict(
        {
            "prior": prior,
            "prior_predictive": xr.Dataset({"y": y}),
            "observed_data": xr.Dataset({"y": ("row", observed)}),
        }
    )


@dataclass(frozen=True, eq=False)
class Drawn:
    """A model and draws of its parameters, which are used like a fit."""

    model: PreparedModel
    posterior: xr.Dataset


def draw_prior(
    model: PreparedModel, draws: int, rng: np.random.Generator
) -> xr.Dataset:
    """Draw the parameters of a model from their priors, with the labels of a fit.

    Parameters
    ----------
    model, draws
        The model, and the number of draws.
    rng
        The random number generator.

    Returns
    -------
    xarray.Dataset
        The draws, in one chain.

    Raises
    ------
    SpecError
        If a prior is improper.
    """
    prior = PriorDraws(model.priors, draws, rng)
    drawn = _variables(model, centered_design(model.design), prior)
    return uncenter_posterior(model, _labelled(model, drawn))


def draw_given(
    model: PreparedModel, values: Mapping[str, float], rng: np.random.Generator
) -> xr.Dataset:
    """Draw the coefficients of groups given the population's parameters.

    Parameters
    ----------
    model
        The model.
    values
        The population's parameters by the names of ``model.priors``, at predictors of
        0, as in the posterior; correlations are 0 where they are not given.
    rng
        The random number generator.

    Returns
    -------
    xarray.Dataset
        One draw of all parameters, with the labels of a fit.

    Raises
    ------
    SpecError
        If a parameter has no value, or there is none of that name.
    """
    check_given(values, list(model.priors))
    terms = predictors_of(model.design, model.structure)
    means = {
        f"Intercept{each.population.suffix}": each.population.design.x_bar
        for each in terms
    }
    given = GivenDraws(model.priors, 1, rng, values=values, means=means)
    return _labelled(model, _variables(model, model.design, given))


def _labelled(model: PreparedModel, drawn: Mapping[str, Array]) -> xr.Dataset:
    """Label draws of Stan's variables as one chain."""
    one_chain = NamedDraws({name: values[None] for name, values in drawn.items()})
    return build_posterior(one_chain, model.design, model.structure)


def simulate_outcomes(
    model: PreparedModel, parameters: xr.Dataset, rng: np.random.Generator
) -> xr.DataArray:
    """Draw an outcome of each row of a model given draws of its parameters.

    Parameters
    ----------
    model
        The model.
    parameters
        Draws of the prior or the posterior, with dimensions ``(chain, draw, ...)``.
    rng
        The random number generator.

    Returns
    -------
    xarray.DataArray
        The dimensions are ``(chain, draw, row)``, and categories are given by name.
        Outcomes beyond 1e150 are set to 1e150; ``beyond`` in ``attrs`` counts them.
    """
    drawn = cast("FitResult", Drawn(model, parameters))
    return outcomes_of_rows(drawn, int(rng.integers(2**32)))


def _variables(
    model: PreparedModel, design: Design, prior: PriorDraws
) -> dict[str, Array]:
    """Draw what the model's Stan program calls by these names, ``(draw, ...)``."""
    structure = model.structure
    mean, *others = predictors_of(design, structure)
    found = _draw_terms(mean, prior)
    for own in FAMILIES[structure.family].numbers:
        values = prior.members(own.name)
        prior.members(f"tau_{own.name}")  # the spread of its groups
        if structure.has_number(own.name):
            found[own.stan_variable] = values[:, 0, 0]
    for predictor in others:
        found |= _draw_terms(predictor, prior)
    return found


def _draw_terms(predictor: PredictorTerms, prior: PriorDraws) -> dict[str, Array]:
    """Draw the variables of a linear predictor's terms."""
    population = predictor.population.prior_population(prior)
    found: dict[str, Array] = {}
    for term in predictor.all:
        found |= term.prior_draws(prior, population)
    return found
