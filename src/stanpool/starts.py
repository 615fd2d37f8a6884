"""Initial values for refits: draws of a fit, as the parameters that Stan declares.

A chain that starts at random can be long on its way, or not arrive at all where the
outcomes are far from zero; a refit of nearly the same data starts where the fit ended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.coefficients import cholesky_of_population, coefficients
from stanpool.posterior import GroupNames
from stanpool.relocate import fit_at_origins
from stanpool.spec import FAMILIES

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.design import Design
    from stanpool.fit import Fit, Model

Array = np.ndarray


def starting_values(fit: Fit) -> list[dict[str, Any]] | None:
    """Return the last draw of each chain as initial values.

    Parameters
    ----------
    fit
        A fit.

    Returns
    -------
    list of dict
        By Stan's names, for any parameterization of the model; None for categorical
        outcomes, whose parameters are near zero anyway.
    """
    fit = fit_at_origins(fit)
    model, posterior = fit.model, fit.posterior
    if FAMILIES[model.spec.family].outcome == "categories":
        return None
    last = posterior.isel(draw=[-1])
    points = [_point(model, last.isel(chain=[n])) for n in range(last.sizes["chain"])]
    points = [model.scaling.to_stan(point) for point in points]
    if model.structure.piloted:
        for point in points:
            point["log_sigma"] = float(np.log(point["sigma"]))
    for number, factor in enumerate(model.structure.factors, 1):
        if factor.integrated:
            for point in points:
                point["tau_signed"] = point[f"tau_{number}" if number > 1 else "tau"]
    return points


def _point(model: Model, draw: xr.Dataset) -> dict[str, Any]:
    """Turn one draw into the parameters of a program."""
    design, found = model.design, coefficients(model, draw)
    beta = found.beta[0, 0]
    shift = float(design.x_bar @ beta)
    point: dict[str, Any] = {"beta": beta}
    if design.intercept:
        point["alpha_c"] = float(found.alpha[0, 0]) + shift
    if "cutpoint" in draw:
        point["cutpoint_c"] = draw["cutpoint"].to_numpy()[0, 0] - shift
    for name in ("sigma", "nu", "shape", "phi"):
        if name in draw:
            point[name] = draw[name].item()
    if design.latent is not None and found.latent is not None:
        loadings = found.latent.loadings[0, design.latent.anchors]
        point |= {
            "scores": found.latent.scores[0],
            "z_loadings": loadings / found.latent.scale[0],
            "loading_scale": found.latent.scale[0],
        }
    if design.residual is not None:
        point |= _scales(draw, GroupNames.of(design.residual[0]))
    if model.spec.pooling == "none":
        point["b_c"] = _at_the_means(design, found.factors[0].b[0, :, 0], shift)
        return point
    for number, (factor, own) in enumerate(
        zip(design.factors, found.factors, strict=True), 1
    ):
        end = f"_{number}" if number > 1 else ""
        names = GroupNames.of(factor.factor)
        tau, chol = (
            draw[names.tau].to_numpy()[0, 0],
            cholesky_of_population(draw, factor),
        )
        u = own.deviations(np.arange(len(factor.labels)))[0, :, 0]
        point |= {
            f"tau{end}": tau,
            f"L_Omega{end}": chol[0] / tau[:, None],
            f"b{end}": own.b[0, :, 0],
            f"z{end}": np.linalg.solve(chol[0], u.T).T,
        }
        if model.parameterization == "adaptive":
            point[f"z{end}"] = _partly_centered(model, draw, number, u, shift)
    return point


def _partly_centered(
    model: Model, draw: xr.Dataset, number: int, u: Array, shift: float
) -> Array:
    """Return z of one draw's deviations, as an adaptive program has it."""
    factor, form = model.design.factors[number - 1], model.structure.factors[number - 1]
    found = coefficients(model, draw).factors[number - 1]
    groups = np.arange(len(factor.labels))
    mean = np.broadcast_to(found.means(groups)[0, :, 0], u.shape).copy()
    earlier = [each.varying for each in model.design.factors[: number - 1]]
    has_mean = model.design.intercept and "Intercept" in factor.varying
    if has_mean and not any("Intercept" in each for each in earlier):
        mean[:, factor.varying.index("Intercept")] += shift
    end = f"_{number}" if number > 1 else ""
    centering = model.centering[number - 1]
    scale = model.scaling.undo(f"tau{end}", np.ones((1, 1, u.shape[1])))[0, 0]
    chol = cholesky_of_population(draw, factor)[0]
    tau = np.sqrt(np.square(chol).sum(axis=1))
    return replace(centering, tau=centering.tau * scale).standardized(
        u, mean, tau, chol / tau[:, None] if form.correlated else None
    )


def _scales(draw: xr.Dataset, names: GroupNames) -> dict[str, Any]:
    """Return the residual scales of groups, free and pooled."""
    own = draw[names.sigma].to_numpy()[0, 0]
    if names.tau_sigma not in draw:
        return {"sigma_j": own}
    spread = draw[names.tau_sigma].item()
    return {
        "tau_sigma": spread,
        "z_sigma": np.log(own / draw["sigma"].item()) / spread,
    }


def _at_the_means(design: Design, b: Array, shift: float) -> Array:
    """Return groups' own coefficients, their intercepts at the predictors' means."""
    factor, own = design.factors[0], b.copy()
    if factor.varying[0] == "Intercept":
        own[:, 0] += b @ factor.z_bar
        if not (design.intercept or design.categories):
            own[:, 0] += shift
    return own
