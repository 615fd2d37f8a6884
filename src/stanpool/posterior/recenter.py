r"""Transform coefficients between centered predictors and predictors at 0.

Stan sees centered predictors; users see coefficients where predictors are 0. With the
matrices ``A`` of ``centering_matrix``, of the population and of each factor, of each
parameter that has a linear predictor, coefficients where predictors are 0 are

.. math:: \theta = A \tilde\theta, \quad u_j = A \tilde u_j, \quad
          \Sigma = A \tilde\Sigma A^T,

and the groups' coefficients are the sums of their means and these deviations. The
uncorrelated deviations of ``||`` are defined where predictors are 0 in the Stan
program, too, and are not transformed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import BLOCK, Array
from stanpool.data.design.centers import centered_design, centering_matrix
from stanpool.data.design.design import Design, ParameterDesign
from stanpool.model.terms.names import Correlations, GroupNames
from stanpool.posterior.coefficients import Coefficients, coefficients, flat

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel


def uncenter_posterior(model: PreparedModel, posterior: xr.Dataset) -> xr.Dataset:
    """Transform draws for centered predictors to predictors at 0.

    Parameters
    ----------
    model
        The model, whose design holds the centers.
    posterior
        Labelled draws from Stan, or from the prior.
    """
    design = model.design
    if not design.has_centers:
        return posterior
    return _transformed(model, posterior, centered_design(design), design, lambda a: a)


def uncenter_tree(model: PreparedModel, tree: xr.DataTree) -> xr.DataTree:
    """Return a tree with the posterior that ``uncenter_posterior`` makes of its own."""
    return _with_posterior(
        tree, uncenter_posterior(model, tree["posterior"].to_dataset())
    )


def center_posterior(model: PreparedModel, posterior: xr.Dataset) -> xr.Dataset:
    """Transform draws for predictors at 0 to centered predictors.

    These are the coefficients of the priors and, up to units, those that are sampled.

    Parameters
    ----------
    model, posterior
        The model, and labelled draws of its posterior or its prior.
    """
    design = model.design
    if not design.has_centers:
        return posterior
    return _transformed(
        model, posterior, design, centered_design(design), np.linalg.inv
    )


def center_fit(fit: FitResult) -> FitResult:
    """Return the same fit with centered predictors.

    The priors are on its coefficients, and its linear predictors are the same.
    """
    if not fit.model.design.has_centers:
        return fit
    tree = _with_posterior(fit.tree, center_posterior(fit.model, fit.posterior))
    model = fit.model.with_design(centered_design(fit.model.design))
    return replace(fit, model=model, tree=tree)


def _with_posterior(tree: xr.DataTree, posterior: xr.Dataset) -> xr.DataTree:
    """Return a tree with another posterior."""
    import xarray as xr

    other = tree.copy()
    other["posterior"] = xr.DataTree(posterior)
    return other


def _transformed(
    model: PreparedModel,
    posterior: xr.Dataset,
    source: Design,
    target: Design,
    direction: Callable[[Array], Any],
) -> xr.Dataset:
    """Transform the draws of one design's coefficients to those of another.

    ``direction`` makes the matrix of the transformation from ``centering_matrix``.
    """
    for own in source.predictors:
        name = own.parameter
        known = model.design.parameter(name)
        if known is None or not known.centers:
            continue
        posterior = _transformed_predictor(
            own,
            posterior,
            partial(coefficients, model.with_design(source), parameter=name),
            partial(coefficients, model.with_design(target), parameter=name),
            partial(_matrix, direction, dict(known.centers)),
            is_pooled=model.spec.pooling == "partial",
        )
    return posterior


def _matrix(
    direction: Callable[[Array], Any],
    centers: Mapping[str, float],
    labels: Sequence[str],
) -> Array:
    """Return the matrix of a transformation for the labels of columns."""
    return np.asarray(direction(centering_matrix(labels, centers)))


def _transformed_predictor(
    own: ParameterDesign,
    posterior: xr.Dataset,
    of_source: Callable[[xr.Dataset], Coefficients],
    of_target: Callable[[xr.Dataset], Coefficients],
    matrix_of: Callable[[Sequence[str]], Array],
    *,
    is_pooled: bool,
) -> xr.Dataset:
    """Transform the draws of the coefficients of one linear predictor.

    ``of_source`` and ``of_target`` take its coefficients out of a posterior, and
    ``matrix_of`` makes the matrix of the transformation for labels of columns.
    """
    end = "" if own.parameter == "mean" else f"_{own.parameter}"
    found = of_source(posterior)
    matrix = matrix_of(("Intercept", *own.coefficients))
    shift = found.beta @ matrix[0, 1:]
    new: dict[str, Array] = {}
    if own.free:
        beta = found.beta @ matrix[1:, 1:].T
        new[f"beta{end}"] = beta[..., : len(own.free)]  # smooths have no centers
    intercepts = {f"Intercept{end}"} | ({"cutpoint"} if not end else set())
    (level,) = intercepts.intersection(map(str, posterior)) or {""}
    if level:
        moved = -shift if level == "cutpoint" else shift
        new[level] = flat(posterior[level]).reshape(len(shift), -1) + moved
    changed = _with(posterior, new)
    means = of_target(changed)
    for number, factor in enumerate(own.factors):
        move = np.eye(len(factor.varying))
        if not factor.uncorrelated:
            move = matrix_of(factor.varying)
        before, after = found.factors[number], means.factors[number]
        b = np.empty_like(before.b)
        step = max(1, BLOCK * len(b) // b.size)
        for start in range(0, len(b), step):
            some = slice(start, start + step)
            u = before.take(some).deviations(slice(None))
            b[some] = u + after.take(some).means(slice(None))
            for q, other in np.argwhere(move - np.eye(len(move))):
                b[some, ..., q] += move[q, other] * u[..., other]
        if not level:  # each group has an intercept of its own
            b[..., factor.varying.index("Intercept")] += shift[:, None]
        names = GroupNames.of(factor.factor, own.parameter)
        changed = _with(changed, {names.b: b})
        if is_pooled and np.any(move != np.eye(len(move))):
            correlations = Correlations.of(factor, own.parameter)
            changed = _with_population(changed, names.tau, correlations, move)
    return changed


def _with(posterior: xr.Dataset, variables: Mapping[str, Array]) -> xr.Dataset:
    """Replace variables of a posterior by draws of the same dimensions."""
    new = {}
    for name, values in variables.items():
        dims = "chain", "draw", *(d for d in posterior[name].dims[2:])
        new[name] = (dims, values.reshape([posterior.sizes[dim] for dim in dims]))
    return posterior.assign(new)


def _with_population(
    posterior: xr.Dataset, name: str, correlations: Correlations, own: Array
) -> xr.Dataset:
    """Replace the scales and the correlations of a factor's coefficients.

    Parameters
    ----------
    posterior
        The draws.
    name
        The variable of the scales.
    correlations
        Where the correlations are, those with other coefficients among them.
    own
        The matrix of the transformation of the predictors' coefficients.
    """
    tau, omega = flat(posterior[name]), flat(posterior[correlations.name])
    at, width = correlations.own, tau.shape[1]
    loadings = np.zeros(omega.shape)
    loadings[:] = np.eye(omega.shape[1])
    loadings[:, at, at] = np.kron(np.eye(width // len(own)), own) * tau[:, None]
    covariance = loadings @ omega @ np.swapaxes(loadings, 1, 2)
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    omega = covariance / (sd[:, :, None] * sd[:, None])
    every = range(omega.shape[1])
    omega[:, every, every] = 1.0
    return _with(posterior, {name: sd[:, at], correlations.name: omega})
