"""Fits whose draws are made up, so that what a diagnosis must say is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import stanpool as sp
from golden.catalogue import data_of
from stanpool.data.design.design import ParameterDesign
from stanpool.data.design.predictors.uncertain import UncertainDesign
from stanpool.engine.values.settings import SampleSettings
from stanpool.inference.prediction.prior_predictive import draw_prior
from stanpool.model.terms.names import GroupNames
from stanpool.model.terms.special.uncertain import UncertainTerm
from stanpool.posterior.labelled_draws import build_tree
from statistical import densities


def simulated_fit(
    *,
    parameterization: str = "noncentered",
    information: float = 0.5,
    labels: tuple[str, ...] = ("A", "B", "C", "D", "E", "F"),
    factor: str = "school",
    rows_per_group: int = 3,
    chains: int = 4,
    draws: int = 500,
    neck: float = 0.0,
    loud: int | None = None,
    pooling: str = "partial",
    seed: int = 1,
    **settings: Any,
) -> sp.Fit:
    """Make a fit of ``y ~ 1 + (1 | factor)`` with independent draws.

    Parameters
    ----------
    information
        What share of a group's coefficient comes from its own data.
    neck
        Draws with ``tau`` below this quantile diverge.
    loud
        A group whose coefficient stays off the mean unless a draw diverges.
    """
    rng = np.random.default_rng(seed)
    groups = len(labels)
    frame = pd.DataFrame(
        {
            "y": rng.normal(size=groups * rows_per_group),
            factor: np.repeat(np.array(labels, dtype=object), rows_per_group),
        }
    )
    model = sp.partial_pooling(
        frame,
        outcome="y",
        group=factor,
        varying=["Intercept"],
        parameterization=parameterization,
    )
    shape = (chains, draws)
    mu, log_tau = rng.normal(size=shape), rng.normal(size=shape)
    tau = np.exp(log_tau)
    diverging = log_tau < np.quantile(log_tau, neck) if neck else np.zeros(shape, bool)
    noise = rng.normal(size=(*shape, groups))
    u = np.sqrt(1 - information) * noise
    if loud is not None:
        u[..., loud] = np.where(diverging, 0.01, 3.0) * np.sign(noise[..., loud])
    b = mu[..., None] + tau[..., None] * u
    names = GroupNames.of(factor)
    variables: dict[str, Any] = {
        "Intercept": (("chain", "draw"), mu),
        names.tau: (("chain", "draw", names.coefficient), tau[..., None]),
        names.b: (("chain", "draw", names.group, names.coefficient), b[..., None]),
        "sigma": (("chain", "draw"), np.exp(0.1 * rng.normal(size=shape))),
    }
    if pooling != "partial":
        model = model.with_(pooling=pooling)
        del variables[names.tau]
        del variables["Intercept" if pooling == "none" else names.b]
    coords: dict[str, Any] = {"chain": range(chains), "draw": range(draws)}
    if pooling != "complete":
        coords[names.group] = np.array(labels, dtype=object)
        coords[names.coefficient] = np.array(["Intercept"], dtype=object)
    stats = {
        "diverging": diverging,
        "energy": rng.normal(size=shape),
        "tree_depth": np.full(shape, 3),
        "n_steps": np.full(shape, 7),
        "reached_max_treedepth": np.zeros(shape, bool),
    }
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset(variables, coords),
            "sample_stats": xr.Dataset(
                {name: (("chain", "draw"), values) for name, values in stats.items()}
            ),
        }
    )
    return sp.Fit(
        model=model,
        tree=tree,
        settings=SampleSettings(chains=chains, draws=draws, seed=seed, **settings),
        seconds=2.0,
        prior_only=False,
        engine={},
        program=model.program,
    )


def changed(fit: sp.Fit, group: str, **variables: Any) -> sp.Fit:
    """Return a fit with variables of one group of its draws replaced."""
    from dataclasses import replace

    dataset = fit.tree[group].to_dataset()
    for name, values in variables.items():
        dataset[name] = (dataset[name].dims, values)
    tree = fit.tree.copy()
    tree[group] = xr.DataTree(dataset)
    return replace(fit, tree=tree)


def autocorrelated(
    rng: np.random.Generator, shape: tuple[int, int, int], rho: Any
) -> np.ndarray:
    """Draw AR(1) series of unit variance, shape ``(chain, draw, scalar)``."""
    noise = rng.normal(size=shape) * np.sqrt(1 - np.square(rho))
    series = np.empty(shape)
    series[:, 0] = rng.normal(size=(shape[0], shape[2]))
    for draw in range(1, shape[1]):
        series[:, draw] = rho * series[:, draw - 1] + noise[:, draw]
    return series


class MadeUpDraws:
    """Draws of any model, in the place of Stan's: one random point for each draw."""

    def __init__(self, variables: dict[str, np.ndarray]) -> None:
        self.variables = variables

    def stan_variable(self, name: str) -> np.ndarray:
        return self.variables[name]

    def sampler_variable(self, name: str) -> np.ndarray:
        return np.zeros(next(iter(self.variables.values())).shape[:2])


def without_rotation(data: dict[str, Any]) -> dict[str, Any]:
    """Turned rows have the same products, whatever they are turned by."""
    for rest, y in (("X_rest", "y_rest"), ("X", "y")):
        if rest in data and "N_zero_rows" in data and np.ndim(data[rest]) == 2:
            both = np.column_stack([data.pop(rest), data.pop(y)])
            if "Z" in data and rest == "X":
                both = np.column_stack([both, data.pop("Z")])
            data["crossproducts"] = both.T @ both
    return data


def fit_of_prior(
    model: sp.Model, *, chains: int = 2, draws: int = 3, seed: int = 1
) -> sp.Fit:
    """Make a fit of any model whose draws are from its prior."""
    drawn = draw_prior(model, chains * draws, np.random.default_rng(seed))
    parts = [
        drawn.isel(chain=0, draw=slice(k * draws, (k + 1) * draws)).assign_coords(
            draw=range(draws)
        )
        for k in range(chains)
    ]
    posterior = xr.concat(parts, "chain").assign_coords(chain=range(chains))
    tree = xr.DataTree.from_dict({"posterior": posterior})
    if model.spec.integrates_values:
        (term,) = (x for x in model.design.special if isinstance(x, UncertainDesign))
        shape = chains, draws, len(term.unknown[0])
        values = np.random.default_rng(seed).normal(size=shape)
        tree["posterior"] = xr.DataTree(_with_values(model, tree["posterior"], values))
    return _fit(model, tree, chains, draws)


def fit_of_points(
    model: sp.Model,
    *,
    chains: int = 2,
    draws: int = 3,
    seed: int = 1,
    one: bool = False,
) -> tuple[sp.Fit, list[densities.Point]]:
    """Make a fit of any model but categorical ones, and return its draws as points.

    With ``one`` all draws are the same point.
    """
    rng = np.random.default_rng(seed)
    points = [
        densities.random_point(model, rng) for _ in range(1 if one else chains * draws)
    ] * (chains * draws if one else 1)
    if any(row.prior.is_cut or row.prior.is_constant for row in model.priors):
        data = data_of(model)
        points = [densities.within_priors(model, data, each) for each in points]
    points = [densities.with_shares(model, each) for each in points]

    def stacked(values: list[Any]) -> np.ndarray:
        array = np.array(values, dtype=float)
        return array.reshape(chains, draws, *array.shape[1:])

    variables = {
        "alpha": stacked([each.intercept for each in points]),
        "beta": stacked([each.beta for each in points]),
        "sigma_j": stacked([each.sigmas for each in points]),
        "cutpoint": stacked([each.cutpoint for each in points]),
        "tau_s": stacked([each.tau_s for each in points]),
        "lengthscale": stacked([each.lengthscale for each in points]),
        "steps": stacked([each.steps for each in points]),
    }
    scales = ("beta_local", "beta_global", "beta_slab")
    own = ("residual_rho", *densities.OWN_PARAMETERS)
    for name in ("sigma", "tau_sigma", *scales, *own):
        variables[name] = stacked([getattr(each, name) for each in points])
    latent = [each.latent for each in points if each.latent is not None]
    if latent:
        variables |= {
            "scores": stacked([each.scores for each in latent]),
            "loadings": stacked([each.scale * each.loadings for each in latent]),
            "loading_scale": stacked([each.scale for each in latent]),
            "beta_factors": stacked([each.beta.T.ravel() for each in latent]),
        }
    tensor = [each.tensor for each in points if each.tensor is not None]
    if tensor:
        variables |= {
            "factor_scale": stacked([each.scale for each in tensor]),
            "factor_scores": stacked([np.concatenate(each.scores) for each in tensor]),
        }
    values = [each.values for each in points if each.values is not None]
    if values:
        variables |= {
            "mean_x": stacked([each.mean for each in values]),
            "sd_x": stacked([each.sd for each in values]),
            "beta_x": stacked([each.beta for each in values]),
            "true_x": stacked([each.true for each in values]),
        }
    for number in range(len(model.design.factors)):
        end = f"_{number + 1}" if number else ""
        own = [each.factors[number] for each in points]
        omega = [each.L_Omega @ each.L_Omega.T for each in own]
        variables |= {
            f"tau{end}": stacked([each.tau for each in own]),
            f"Omega{end}": stacked(omega),
            f"nu_u{end}": stacked([each.nu for each in own]),
            f"rho_u{end}": stacked([each.rho for each in own]),
            f"b{end}": stacked([each.b for each in own]),
        }
    for design in model.design.formulas:
        variables |= {
            name: stacked([_of_formula(design, each)[name] for each in points])
            for name in _of_formula(design, points[0])
        }
    return fit_of_draws(model, variables), points


def _of_formula(
    design: ParameterDesign, point: densities.Point
) -> dict[str, np.ndarray]:
    """Return the coefficients of a parameter's formula, of groups in full."""
    own, name = point.formulas[design.parameter], design.parameter
    found = {f"beta_{name}": own.beta, f"alpha_{name}": np.array(own.intercept)}
    found |= {f"tau_s_{name}": own.tau_s, f"lengthscale_{name}": own.lengthscale}
    found[f"steps_{name}"] = own.steps
    earlier: set[str] = set()
    for number, varying in enumerate(own.factors, 1):
        end, factor = f"_{name}_{number}" if number > 1 else f"_{name}", number - 1
        known = dict(zip(design.coefficients, own.beta, strict=True))
        if design.intercept:
            known["Intercept"] = own.intercept
        labels = design.factors[factor].varying
        mean = [0.0 if x in earlier else known.get(x, 0.0) for x in labels]
        earlier |= {*labels}
        omega = varying.L_Omega @ varying.L_Omega.T
        found |= {f"tau{end}": varying.tau, f"Omega{end}": omega}
        found[f"nu_u{end}"] = np.array(varying.nu)
        found[f"rho_u{end}"] = np.array(varying.rho)
        found[f"b{end}"] = varying.b + np.array(mean)
    return found


def fit_of_draws(model: sp.Model, variables: dict[str, np.ndarray]) -> sp.Fit:
    """Make a fit from arrays by Stan's names, shape ``(chain, draw, ...)``."""
    chains, draws = next(iter(variables.values())).shape[:2]
    tree = build_tree(
        MadeUpDraws(variables), model.design, model.structure, max_treedepth=10
    )
    if "true_x" in variables:
        posterior = _with_values(model, tree["posterior"], variables["true_x"])
        tree["posterior"] = xr.DataTree(posterior)
    return _fit(model, tree, chains, draws)


def _with_values(model: sp.Model, posterior: Any, values: np.ndarray) -> xr.Dataset:
    """Add values of predictors to a posterior, which programs may not have."""
    (term,) = (x for x in model.design.special if isinstance(x, UncertainDesign))
    own = UncertainTerm(term).labelled_values(values)
    variables = {
        name: (("chain", "draw", *dims), draws_of)
        for name, (dims, draws_of) in own.variables.items()
    }
    return xr.merge(
        [posterior.to_dataset(), xr.Dataset(variables, coords=own.coords)],
        compat="override",
        join="left",
    )


def _fit(model: sp.Model, tree: xr.DataTree, chains: int, draws: int) -> sp.Fit:
    return sp.Fit(
        model=model,
        tree=tree,
        settings=SampleSettings(chains=chains, draws=draws, seed=1),
        seconds=1.0,
        prior_only=False,
        engine={},
        program=model.program,
    )
