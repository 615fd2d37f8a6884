r"""Draws of coefficients where predictors are 0, and where they are at their origins.

Stan sees predictors counted from their origins; users see coefficients where predictors
are 0. With the matrices ``A`` of ``change_of_origin``, of the population and of each
factor, coefficients where predictors are 0 are

.. math:: \theta = A \tilde\theta, \quad u_j = A \tilde u_j, \quad
          \Sigma = A \tilde\Sigma A^T,

and the groups' coefficients are their means and these deviations. Deviations that are
uncorrelated, as of ``||``, are so where predictors are 0, and stay there: theirs alone
are the same on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.design import Design, FactorDesign
from stanpool.data.design.origins import at_origins, change_of_origin
from stanpool.model.terms.names import GroupNames
from stanpool.posterior.coefficients import coefficients, flat

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel

_BLOCK = 2**22  # numbers: draws are many, and are held twice as it is


def to_zero(model: PreparedModel, posterior: xr.Dataset) -> xr.Dataset:
    """Turn draws of coefficients at the origins into those where predictors are 0.

    Parameters
    ----------
    model
        The model, whose data know the origins.
    posterior
        Of Stan, or of the prior, labelled.
    """
    design = model.design
    if not design.origins:
        return posterior
    return _turned(model, posterior, at_origins(design), design, lambda a: a)


def tree_to_zero(model: PreparedModel, tree: xr.DataTree) -> xr.DataTree:
    """Return a tree with its posterior turned by ``to_zero``."""
    return _with_posterior(tree, to_zero(model, tree["posterior"].to_dataset()))


def to_origins(model: PreparedModel, posterior: xr.Dataset) -> xr.Dataset:
    """Turn draws of coefficients where predictors are 0 into those at the origins.

    That is where priors are stated, and what a sampler sees, but for its units.

    Parameters
    ----------
    model, posterior
        Of a fit, or of the prior.
    """
    design = model.design
    if not design.origins:
        return posterior
    return _turned(model, posterior, design, at_origins(design), np.linalg.inv)


def fit_at_origins(fit: FitResult) -> FitResult:
    """Return a fit whose data and draws are counted from the predictors' origins.

    Its rows have the same linear predictors, and its priors are on its coefficients.
    """
    if not fit.model.design.origins:
        return fit
    tree = _with_posterior(fit.tree, to_origins(fit.model, fit.posterior))
    model = fit.model.with_design(at_origins(fit.model.design))
    return replace(fit, model=model, tree=tree)


def _with_posterior(tree: xr.DataTree, posterior: xr.Dataset) -> xr.DataTree:
    """Return a tree with another posterior."""
    import xarray as xr

    other = tree.copy()
    other["posterior"] = xr.DataTree(posterior)
    return other


def _turned(
    model: PreparedModel,
    posterior: xr.Dataset,
    source: Design,
    target: Design,
    turn: Callable[[Array], Any],
) -> xr.Dataset:
    """Turn the draws of one design's coefficients into those of another."""
    spec, origins = model.spec, dict(model.design.origins)
    found = coefficients(model.with_design(source), posterior)
    matrix = turn(change_of_origin(("Intercept", *source.coefficients), origins))
    moved = found.beta @ matrix[0, 1:]
    new: dict[str, Array] = {}
    if source.coefficients:
        new["beta"] = found.beta @ matrix[1:, 1:].T
    if "Intercept" in posterior:
        new["Intercept"] = found.alpha + moved
    elif "cutpoint" in posterior:
        new["cutpoint"] = flat(posterior["cutpoint"]) - moved
    has_own_intercepts = not {"Intercept", "cutpoint"} & set(posterior)
    turned = _with(posterior, new)
    means = coefficients(model.with_design(target), turned)
    for number, factor in enumerate(source.factors):
        own = np.eye(len(factor.varying))
        if not factor.uncorrelated:
            own = turn(change_of_origin(factor.varying, origins))
        before, after = found.factors[number], means.factors[number]
        b = np.empty_like(before.b)
        step = max(1, _BLOCK * len(b) // b.size)
        for start in range(0, len(b), step):
            some = slice(start, start + step)
            u = before.take(some).deviations(slice(None))
            b[some] = u + after.take(some).means(slice(None))
            for q, other in np.argwhere(own - np.eye(len(own))):
                b[some, ..., q] += own[q, other] * u[..., other]
        if has_own_intercepts:
            b[..., factor.varying.index("Intercept")] += moved[:, None]
        names = GroupNames.of(factor.factor)
        turned = _with(turned, {names.b: b})
        if spec.pooling == "partial" and np.any(own != np.eye(len(own))):
            turned = _with_population(turned, factor, names, own)
    return turned


def _with(posterior: xr.Dataset, variables: Mapping[str, Array]) -> xr.Dataset:
    """Replace variables of a posterior by draws of the same dimensions."""
    new = {}
    for name, values in variables.items():
        dims = "chain", "draw", *(d for d in posterior[name].dims[2:])
        new[name] = (dims, values.reshape([posterior.sizes[dim] for dim in dims]))
    return posterior.assign(new)


def _with_population(
    posterior: xr.Dataset, factor: FactorDesign, names: GroupNames, own: Array
) -> xr.Dataset:
    """Replace the scales and the correlations of a factor's coefficients."""
    tau, omega = flat(posterior[names.tau]), flat(posterior[names.Omega])
    width = tau.shape[1]
    loadings = np.kron(np.eye(width // len(own)), own) * tau[:, None]
    covariance = loadings @ omega @ np.swapaxes(loadings, 1, 2)
    tau = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    omega = covariance / (tau[:, :, None] * tau[:, None])
    omega[:, range(width), range(width)] = 1.0
    return _with(posterior, {names.tau: tau, names.Omega: omega})
