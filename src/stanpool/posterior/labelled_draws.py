"""Stan's draws as an ``xarray.DataTree`` with the user's names and labels.

The same variables and dimensions in every pooling and parameterization that has
them. Categorical outcomes have a linear predictor for each category but the first:
``Intercept[category]`` and ``beta[category, coefficient]``; the labels of a group's
coefficients say which, as in ``b_county[AITKIN, blue, floor]``. Of ordinal outcomes
``cutpoint[low|high]`` parts two categories. What else there is, is said in the modules
of ``model/terms``, one for each kind of term.

xarray allows one set of labels for a dimension, so the coefficients that vary over a
factor have a dimension of their own, ``<factor>_coefficient``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.design import Design
from stanpool.engine.values.draws import Draws
from stanpool.language.family import FAMILIES
from stanpool.model.program.population_means import group_means
from stanpool.model.program.structure import Structure, suffix_of
from stanpool.model.terms.of_design import predictors_of
from stanpool.model.terms.term import Term
from stanpool.posterior.integrated.integrated_draws import draw_deviations, draw_second

if TYPE_CHECKING:
    import xarray as xr

_SAMPLE_STATS = {
    "lp": "lp__",
    "acceptance_rate": "accept_stat__",
    "step_size": "stepsize__",
    "tree_depth": "treedepth__",
    "n_steps": "n_leapfrog__",
    "diverging": "divergent__",
    "energy": "energy__",
}


def build_tree(
    draws: Draws,
    design: Design,
    structure: Structure,
    *,
    max_treedepth: int | None,
    drawn_back: Mapping[str, np.ndarray] | None = None,
) -> xr.DataTree:
    """Label the draws of a model.

    Parameters
    ----------
    draws
        What the engine returned.
    design, structure
        The data with labels, and the structure of the program that was fitted.
    max_treedepth
        The limit that trajectories are compared with; None where there are none, but
        independent draws.
    drawn_back
        Variables that the program does not have, by the names that others give them.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` and ``sample_stats`` with dimensions ``(chain, draw,
        ...)``, and ``observed_data`` with the outcome ``y`` if the rows are kept.
    """
    import xarray as xr

    observed = {} if design.count is not None else {"y": ("row", design.y)}
    return xr.DataTree.from_dict(
        {
            "posterior": build_posterior(
                draws, design, structure, drawn_back=drawn_back
            ),
            "sample_stats": _label((_statistics(draws, max_treedepth), {})),
            "observed_data": xr.Dataset(observed),
        }
    )


def _statistics(draws: Draws, max_treedepth: int | None) -> dict[str, Any]:
    """Return the sampler's statistics of each draw."""
    dims = ("chain", "draw")
    if max_treedepth is None:
        return {"lp": (dims, draws.sampler_variable(_SAMPLE_STATS["lp"]))}
    stats = {
        name: draws.sampler_variable(column) for name, column in _SAMPLE_STATS.items()
    }
    for name in ("tree_depth", "n_steps"):
        stats[name] = stats[name].astype(np.int64)
    stats["diverging"] = stats["diverging"] > 0
    stats["reached_max_treedepth"] = stats["tree_depth"] >= max_treedepth
    return {name: (dims, values) for name, values in stats.items()}


def numbers_of_draw(design: Design) -> int:
    """Count the coefficients of the population and of the groups in one draw.

    The parameters of a model are somewhat more: scales, correlations, latent factors.

    Parameters
    ----------
    design
        The data, which have the groups.
    """
    factors = [factor for each in design.predictors for factor in each.factors]
    of_groups = sum(len(each.labels) * len(each.coefficients) for each in factors)
    return 1 + len(design.coefficients) + of_groups


def draw_back(
    draws: Draws,
    design: Design,
    structure: Structure,
    rows: MarginalRows,
    *,
    seed: int | None,
    prior_only: bool = False,
) -> dict[str, np.ndarray]:
    """Draw the coefficients that a marginal program has integrated out, exactly.

    Parameters
    ----------
    draws
        What the engine returned.
    design, structure, rows
        The data, the structure of the program, and the rows that it saw.
    seed
        That of the fit; None for the means of the coefficients, and not draws.
    prior_only
        Whether the outcome was left out.

    Returns
    -------
    dict
        The coefficients by their Stan name, such as ``{"b": ...}`` of shape
        ``(chain, draw, J, Q)``; the factor that is integrated out last is drawn first.
    """

    def flat(name: str) -> np.ndarray:
        values = draws.stan_variable(name)
        return values.reshape(-1, *values.shape[2:])

    shape = draws.sampler_variable("lp__").shape
    alpha = flat("alpha") if structure.intercept else None
    beta = flat("beta") if design.coefficients else np.zeros((shape[0] * shape[1], 0))
    parts = [beta]

    def means(number: int) -> np.ndarray:
        own = None if alpha is None else alpha[:, None]
        return group_means(design, number, own, beta[:, None])[:, :, 0]

    def scales(number: int) -> np.ndarray:
        tau = flat(f"tau{suffix_of(number + 1)}")
        if structure.factors[number].correlated:
            return np.asarray(tau[:, :, None] * flat(f"L_Omega{suffix_of(number + 1)}"))
        return np.asarray(tau[:, :, None] * np.eye(tau.shape[1]))

    if prior_only:
        sigma = np.full((len(beta), 1), np.inf)
    elif design.residual is not None:
        sigma = flat("sigma_j")
    else:
        sigma = flat("sigma")[:, None] if design.se is None else np.ones((len(beta), 1))
    if structure.intercept:
        parts.insert(0, flat("alpha_c")[:, None] - rows.y_shift)
    first, *second = rows.integrated
    for number, factor in enumerate(design.factors):
        if number in second:
            parts.append(np.zeros((len(beta), factor.Z.shape[1] * len(factor.labels))))
        elif number != first:
            u = flat(f"b{suffix_of(number + 1)}") - means(number)
            parts.append(u.reshape(len(u), -1))
    theta, L, drawn = np.concatenate(parts, axis=1), scales(first), {}
    seeds = None if seed is None else [seed]
    for number in second:
        drawn[number] = draw_second(
            rows, theta=theta, L=L, T=scales(number), sigma=sigma, seed=seeds
        )
        theta[:, rows.second] = drawn[number].reshape(len(theta), -1)
    u = draw_deviations(rows, theta=theta, L=L, sigma=sigma, seed=seeds)
    drawn[first] = u if rows.unrotated is None else rows.unrotated @ u
    return {
        f"b{suffix_of(number + 1)}": (u + means(number)).reshape(*shape, *u.shape[1:])
        for number, u in drawn.items()
    }


def build_posterior(
    draws: Draws,
    design: Design,
    structure: Structure,
    *,
    drawn_back: Mapping[str, np.ndarray] | None = None,
) -> xr.Dataset:
    """Label the draws of a model's parameters, as ``build_tree`` does.

    Returns
    -------
    xarray.Dataset
        Dimensions ``(chain, draw, ...)``.
    """
    return _label(_posterior(draws, design, structure, drawn_back or {}))


def _posterior(
    draws: Draws,
    design: Design,
    structure: Structure,
    drawn_back: Mapping[str, np.ndarray],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the variables and coordinates of the posterior."""
    variables: dict[str, Any] = {}
    coords: dict[str, Any] = {}

    def stan(name: str) -> np.ndarray:
        values = drawn_back.get(name)
        return draws.stan_variable(name) if values is None else values

    def add(terms: Iterable[Term]) -> None:
        for term in terms:
            own = term.labelled(stan)
            for name, (dims, values) in own.variables.items():
                variables[name] = (("chain", "draw", *dims), values)
            coords.update(own.coords)

    mean, *others = predictors_of(design, structure)
    add(mean.all)
    for own in FAMILIES[structure.family].numbers:
        if structure.has_number(own.name):
            variables[own.name] = (("chain", "draw"), stan(own.stan_variable))
    for predictor in others:
        add(predictor.all)
    return variables, coords


def number_draws(dataset: xr.Dataset) -> xr.Dataset:
    """Return a data set whose chains and draws are numbered from 0."""
    return dataset.assign_coords(
        chain=np.arange(dataset.sizes["chain"]), draw=np.arange(dataset.sizes["draw"])
    )


def _label(parts: tuple[dict[str, Any], dict[str, Any]]) -> xr.Dataset:
    """Build a dataset whose chains and draws are numbered from 0."""
    import xarray as xr

    return number_draws(xr.Dataset(*parts))
