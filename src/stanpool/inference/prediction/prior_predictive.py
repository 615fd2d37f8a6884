"""Draws of parameters and outcomes from the prior of a model, in NumPy.

The draws are independent and exact for any prior. They do not use the Stan program of
the model, so that nothing is compiled and the program can be tested with them.

References
----------
.. [1] Lewandowski, Kurowicka and Joe (2009). Generating random correlation matrices
   based on vines and extended onion method. Journal of Multivariate Analysis 100(9),
   1989-2001, section 3.2: the onion.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array, check_memory
from stanpool.base.errors import SpecError
from stanpool.data.design.centers import centered_design
from stanpool.data.design.outcome import labelled_outcome
from stanpool.engine.draws import NamedDraws
from stanpool.families.functions import LINKS
from stanpool.inference.prediction.predict import outcomes_of_rows, warn_of_overflow
from stanpool.language.family import FAMILIES
from stanpool.model.priors.distributions import PriorDraws, draw_from_prior
from stanpool.model.program.population_means import group_means
from stanpool.model.program.structure import suffix_of
from stanpool.model.terms.of_design import special_terms
from stanpool.posterior.labelled_draws import build_posterior, numbers_of_draw
from stanpool.posterior.recenter import uncenter_posterior

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel
    from stanpool.model.program.structure import Structure


_MOST_TRIES = 100
_BATCH = 1000
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
    drawn = _prior_variables(model, draws, rng)
    one_chain = NamedDraws({name: values[None] for name, values in drawn.items()})
    return uncenter_posterior(
        model, build_posterior(one_chain, model.design, model.structure)
    )


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


def _prior_variables(
    model: PreparedModel, draws: int, rng: np.random.Generator
) -> dict[str, Array]:
    """Draw the parameters by their names in the Stan program, ``(draw, ...)``."""
    design, structure = centered_design(model.design), model.structure

    prior = PriorDraws(model.priors, draws, rng)
    members = prior.members
    width = len(design.categories) - 1 if structure.is_categorical else 1
    beta = members("beta").reshape(draws, width, -1)
    shift = beta @ design.x_bar
    alpha = members("Intercept")[:, 0] - shift if structure.intercept else None
    found: dict[str, Array] = {"beta": np.swapaxes(beta, 1, 2)}
    if alpha is not None:
        found["alpha"] = alpha
    if not structure.is_categorical:
        found = {name: values[..., 0] for name, values in found.items()}
    if structure.has_cutpoints:
        found["cutpoint"] = _draw_cutpoints(model, draws, rng) + shift
    if structure.pooling == "none":
        (factor,) = design.factors
        found["b"] = _independent_coefficients(structure, factor, members, shift)
    for number, (factor, form) in enumerate(
        zip(design.factors, structure.factors, strict=True), 1
    ):
        if structure.pooling == "none":
            break
        suffix = suffix_of(number)
        tau = members(f"tau{suffix}")
        deviations = rng.standard_normal((draws, len(factor.labels), tau.shape[-1]))
        if form.correlated:
            cholesky = _draw_correlations(model, f"Omega{suffix}", tau, rng)
            found[f"Omega{suffix}"] = cholesky @ np.swapaxes(cholesky, 1, 2)
            deviations = deviations @ np.swapaxes(cholesky, 1, 2)
        means = group_means(design, number - 1, alpha, beta)
        own = (deviations * tau).reshape(*deviations.shape[:2], width, -1)
        found[f"tau{suffix}"] = tau[:, 0]
        found[f"b{suffix}"] = (means + own).reshape(deviations.shape)
    for term in special_terms(design):
        found |= term.prior_draws(prior)
    auxiliary = (own.name for own in FAMILIES[structure.family].auxiliary)
    for name in ("sigma", "tau_sigma", *auxiliary):
        values = members(name)
        if values.size and not (name == "sigma" and structure.residual == "free"):
            found[name] = values[:, 0, 0]
    if design.residual is not None:
        groups = len(design.residual.labels)
        if structure.residual == "free":
            found["sigma_j"] = members("sigma", groups)[..., 0]
        else:
            log = found["tau_sigma"][:, None] * rng.standard_normal((draws, groups))
            found["sigma_j"] = found["sigma"][:, None] * np.exp(log)
    return found


def _independent_coefficients(
    structure: Structure,
    factor: FactorDesign,
    members: Callable[..., Array],
    shift: Array,
) -> Array:
    """Draw the coefficients of groups without pooling, ``(draw, J, Q)``."""
    b = members("b", len(factor.labels))
    own = b.reshape(*b.shape[:2], shift.shape[1], -1)
    if not structure.intercept and factor.varying[0] == "Intercept":
        # The priors on intercepts are for centered predictors.
        own[..., 0] -= own @ factor.z_bar
        if not structure.has_cutpoints:
            own[..., 0] -= shift[:, None]
    return b


def _draw_cutpoints(
    model: PreparedModel, draws: int, rng: np.random.Generator
) -> Array:
    """Draw ordered cutpoints, ``(draw, cutpoint)``, from their priors.

    Draws of equal priors are sorted; those of other priors are repeated until they are
    in order. A Dirichlet prior is on the probabilities of the categories.
    """
    rows = [row for row in model.priors if row.parameter_class == "cutpoint"]
    if rows[0].prior.distribution == "dirichlet":
        parts = np.repeat(rows[0].prior.arguments, len(rows) + 1)
        below = np.cumsum(rng.dirichlet(parts, size=draws), axis=-1)[:, :-1]
        return np.asarray(LINKS[model.spec.link_name].apply(below))
    if len({row.prior for row in rows}) == 1:
        return np.sort(draw_from_prior(rows[0], (draws, len(rows)), rng), axis=-1)
    found, size = np.empty((0, len(rows))), max(draws, _BATCH)
    for _ in range(_MOST_TRIES):
        tried = np.stack([draw_from_prior(row, (size,), rng) for row in rows], axis=-1)
        ordered = tried[np.all(np.diff(tried, axis=-1) > 0, axis=-1)]
        found = np.concatenate([found, ordered])[:draws]
        if len(found) == draws:
            return found
    raise SpecError(
        "draws from the priors on the cutpoints are hardly ever in order; make the "
        f"locations of the priors on {rows[0].parameter} and the cutpoints after it "
        "increase."
    )


def _draw_correlations(
    model: PreparedModel, name: str, tau: Array, rng: np.random.Generator
) -> Array:
    """Draw Cholesky factors of LKJ correlation matrices, ``(draw, D, D)``.

    This is the onion method of [1]_: each row has a beta-distributed squared length and
    a uniform direction.
    """
    draws, size = len(tau), tau.shape[-1]
    (row,) = (row for row in model.priors if row.parameter_class == name)
    (shape,) = row.prior.arguments
    cholesky = np.zeros((draws, size, size))
    cholesky[:, 0, 0] = 1.0
    for k in range(1, size):
        squared = rng.beta(k / 2, shape + (size - 1 - k) / 2, draws)
        direction = rng.standard_normal((draws, k))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        cholesky[:, k, :k] = np.sqrt(squared)[:, None] * direction
        cholesky[:, k, k] = np.sqrt(1.0 - squared)
    return cholesky
