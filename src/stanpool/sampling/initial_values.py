"""Initial values: around a pilot estimate, or the last draws of an earlier fit.

A chain with random initial values can take long to reach the posterior, or not reach it
if outcomes are far from zero. So initial values are drawn around the pilot estimate,
from a distribution that is wider than the posterior, so that R-hat detects chains that
do not converge to the same distribution [1]_. A refit to nearly the same data starts at
the last draws of the fit.

References
----------
.. [1] Gelman and Rubin (1992). Inference from iterative simulation using multiple
   sequences. Statistical Science 7(4), 457-472, section 2.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.compression.integrated_rows import (
    MarginalRows,
    root_of_scale,
    scale_units,
)
from stanpool.density.parameters import declared_names
from stanpool.language.family import FAMILIES
from stanpool.model.pilot.centering import centered_elsewhere
from stanpool.model.priors.in_force import class_of
from stanpool.model.program.population_means import group_means, of_outer_groups
from stanpool.model.program.structure import suffix_of
from stanpool.model.terms.names import GroupNames
from stanpool.model.terms.of_design import special_terms
from stanpool.posterior.coefficients import cholesky_of_population, coefficients
from stanpool.posterior.recenter import center_fit

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import Design
    from stanpool.model.fit_result import FitResult
    from stanpool.model.pilot.estimate import GroupEstimate, PilotEstimate
    from stanpool.model.prepared_model import PreparedModel

_WIDER = 2.0  # standard deviations, relative to those of the posterior
_LARGEST_SPREAD = 0.5  # largest standard deviation of the logarithms of scales
# Standard deviation of logarithms of the families' parameters, and of cutpoints.
_SPREAD = 0.1
_LEAST_LEFT = 0.05  # least variance of a standardized deviation
_INSIDE = 0.02  # distance from bounds, relative to the distance between them
_STREAM = 0x7374617274  # no random numbers are shared with the chains


def points_around_pilot(
    model: PreparedModel, *, chains: int, seed: int
) -> list[dict[str, Any]] | None:
    """Draw initial values from a wide distribution around the pilot estimate.

    Parameters
    ----------
    model
        A partially pooled model in the adaptive or the marginal form.
    chains, seed
        The number of points, and the seed of their draws.

    Returns
    -------
    list of dict
        Values by Stan's names, in Stan's units; None without a pilot estimate.
    """
    if model.pilot is None:
        return None
    design = model.scaling.design(model.design)
    names = declared_names(model.program.source)
    rngs = map(np.random.default_rng, ([_STREAM, seed, n] for n in range(chains)))
    points = (_around(model, model.pilot, design, rng) for rng in rngs)
    return [{name: point[name] for name in names if name in point} for point in points]


def _around(
    model: PreparedModel, pilot: PilotEstimate, design: Design, rng: np.random.Generator
) -> dict[str, Any]:
    """Draw one point: values of all parameters that programs may declare."""

    def noise(shape: tuple[int, ...]) -> Array:
        return _WIDER * rng.standard_normal(shape)

    theta = pilot.theta + pilot.theta_sd * noise(pilot.theta.shape)
    first = int(design.intercept)
    alpha, beta = (theta[0] if first else None), theta[first:]
    point: dict[str, Any] = {"beta": beta}
    if alpha is not None:
        point["alpha_c"] = alpha
    point |= _parameters_around(model, pilot, noise)
    if pilot.residual is not None:
        own = pilot.residual
        spread = float(own.tau[0] * np.exp(_errors_of_logs(own)[0] * noise(())))
        errors_of_u = np.sqrt(own.covariance[:, 0, 0])
        u = own.u[:, 0] + errors_of_u * noise(errors_of_u.shape)
        point |= {"tau_sigma": spread, "z_sigma": u / spread}
    of_predictors = np.atleast_2d(beta.T)
    centers = None if alpha is None else np.atleast_1d(alpha)
    elsewhere, units = _elsewhere(model), _scale_units(model)
    coefficients_at_means: dict[int, Array] = {}
    for number in model.structure.outer_first:
        own = pilot.factors[number]
        end, form = suffix_of(number + 1), model.structure.factors[number]
        tau = own.tau * np.exp(_errors_of_logs(own) * noise(own.tau.shape))
        chol = _cholesky_around(own, noise) if form.correlated else np.eye(len(tau))
        point |= {f"tau{end}": tau, f"L_Omega{end}": chol}
        if form.integrated:
            signs = rng.choice([-1.0, 1.0], tau.shape)
            tau = signs * (own.tau + _errors_at_zero(own) * noise(tau.shape))
            if number in units:
                point[f"tau_root{end}"] = root_of_scale(tau, units[number])
            continue
        roots = np.linalg.cholesky(own.covariance)
        u = own.u + np.einsum("jde,je->jd", roots, noise(own.u.shape))
        if model.parameterization != "adaptive":
            point[f"z{end}"] = np.linalg.solve(tau[:, None] * chol, u.T).T
            continue
        at_means = group_means(
            design,
            number,
            centers,
            of_predictors,
            elsewhere=elsewhere[number],
            at_x_bar=True,
        )
        at_means = at_means.reshape(-1, len(tau))
        coefficients_at_means[number] = at_means + u
        at_means = at_means + of_outer_groups(
            design, number, form.within, coefficients_at_means
        )
        point[f"z{end}"] = model.centering[number].standardized(
            u, at_means, tau, chol if form.correlated else None
        )
    point = _inside_bounds(model, point)
    if "sigma" in point:
        point["log_sigma"] = float(np.log(point["sigma"]))
    return point


def _parameters_around(
    model: PreparedModel, pilot: PilotEstimate, noise: Callable[..., Array]
) -> dict[str, Any]:
    """Draw the parameters of the family."""
    errors, variables = _errors_of_parameters(model, pilot), _variables(model)
    return {
        variables[name]: value + _SPREAD * noise(())
        if name == "cutpoint"
        else value * np.exp(errors[name] * noise(()))
        for name, value in pilot.parameters.items()
    }


def _variables(model: PreparedModel) -> dict[str, str]:
    """Return the Stan variables of the family's parameters, by their names."""
    family = FAMILIES[model.spec.family]
    return {own.name: own.stan_variable for own in family.parameters}


def _cholesky_around(own: GroupEstimate, noise: Callable[..., Array]) -> Array:
    """Draw correlations, with normal inverse hyperbolic tangents of partial ones."""
    chol: Array = np.asarray(np.linalg.cholesky(own.Omega))
    error = math.sqrt(_variance_of_partial(own))
    for row in range(1, len(chol)):
        was = left = 1.0
        for column in range(row):
            partial = np.arctanh(chol[row, column] / math.sqrt(was))
            was -= chol[row, column] ** 2
            partial = np.tanh(partial + error * noise(()))
            chol[row, column] = partial * math.sqrt(left)
            left -= chol[row, column] ** 2
        chol[row, row] = math.sqrt(left)
    return chol


def _errors_of_logs(own: GroupEstimate) -> Array:
    """Return standard errors of the logarithms of a factor's scales."""
    return np.minimum(own.scale_errors, _LARGEST_SPREAD)


def _errors_at_zero(own: GroupEstimate) -> Array:
    """Return standard errors of a factor's scales where these may be 0."""
    return np.asarray(own.tau * np.minimum(own.scale_errors, 1.0))


def _variance_of_partial(own: GroupEstimate) -> float:
    """Return the variance of the inverse hyperbolic tangent of a correlation."""
    determined = 0.5 / np.square(own.scale_errors)
    return float(1.0 / (3.0 + determined.min()))


def _errors_of_parameters(
    model: PreparedModel, pilot: PilotEstimate
) -> dict[str, float]:
    """Return standard errors of the logarithms of the families' parameters."""
    errors = dict.fromkeys(pilot.parameters, _SPREAD)
    if "sigma" in errors:
        errors["sigma"] = math.sqrt(_variance_of_sigma(model, pilot))
    return errors


def _variance_of_sigma(model: PreparedModel, pilot: PilotEstimate) -> float:
    """Return the variance of the logarithm of the residual scale."""
    if pilot.residual is not None:
        own = pilot.residual
        return float(own.tau[0] ** 2 / max(own.determined[0], 1.0))
    rows = model.design.rows
    learned = sum(float(own.determined.sum()) for own in pilot.factors)
    return 0.5 / max(rows - learned, 0.1 * rows)


def pilot_metric(model: PreparedModel) -> Array | None:
    """Return a diagonal inverse metric of the program, from approximate variances.

    With a unit metric, the sampler spends most of its time on adapting to the scales of
    groups with informative data.

    Returns
    -------
    numpy.ndarray
        Variances in the order of the program's unconstrained parameters; None without a
        pilot estimate, or if it does not contain all parameters.
    """
    if not starts_from_pilot(model) or model.pilot is None:
        return None
    pilot, known = model.pilot, dict[str, Array]()
    variance = np.square(pilot.theta_sd)
    first = int(model.design.intercept)
    if first:
        known["alpha_c"] = variance[0]
    known["beta"] = variance[first:]
    units = _scale_units(model)
    for number, own in enumerate(pilot.factors):
        end, width = suffix_of(number + 1), len(own.tau)
        known |= {
            f"tau{end}": np.square(_errors_of_logs(own)),
            f"L_Omega{end}": np.full(
                width * (width - 1) // 2, _variance_of_partial(own)
            ),
            f"z{end}": np.ones_like(own.information),
        }
        if number in units:
            root = root_of_scale(own.tau, units[number])
            slope = units[number] * (1 + 2 * root**2) / np.sqrt(1 + root**2)
            known[f"tau_root{end}"] = np.square(_errors_at_zero(own) / slope)
        elif model.parameterization != "adaptive":
            known[f"z{end}"] = np.maximum(1.0 - own.information, _LEAST_LEFT)
    rows = float(model.design.rows)
    known |= {name: np.array(2.0 / rows) for name in pilot.parameters}
    if "sigma" in known:
        known["sigma"] = np.array(_variance_of_sigma(model, pilot))
    if "cutpoint" in pilot.parameters:
        known["cutpoint_c"] = np.full(len(pilot.parameters["cutpoint"]), 4.0 / rows)
    if pilot.residual is not None:
        own = pilot.residual
        known["tau_sigma"] = np.square(_errors_of_logs(own))
        known["z_sigma"] = np.maximum(1.0 - own.information, _LEAST_LEFT)
    if model.structure.standardized:
        data = model.stan_data()
        known["beta"] = known["beta"] / np.square(data["beta_multiplier"])
        known["log_sigma"] = known["sigma"] / np.square(data["log_sigma_multiplier"])
    names = declared_names(model.program.source)
    if not known.keys() >= set(names):
        return None
    return np.concatenate([np.ravel(known[name], order="F") for name in names])


def starts_from_pilot(model: PreparedModel) -> bool:
    """Whether chains start around a pilot estimate, if there is one."""
    return model.parameterization in ("adaptive", "marginal")


def _inside_bounds(model: PreparedModel, point: dict[str, Any]) -> dict[str, Any]:
    """Move a point into the bounds of the priors."""
    bounds: dict[str, list[tuple[float, float]]] = {}
    closed: set[str] = set()
    renamed = {"Intercept": "alpha_c", **_variables(model)}
    for row in model.scaling.priors(model.priors):
        lower, upper = row.prior.canonical.bounds
        known = class_of(row.parameter_class)
        if known.support == "positive":
            lower = max(lower, known.lower or 0.0)
        name = renamed.get(row.parameter_class, row.parameter_class)
        if known.lower:
            closed.add(name)
        bounds.setdefault(name, []).append((lower, upper))
    for name in bounds.keys() & point.keys():
        # With a column for each category, members are in the order of columns.
        value = np.transpose(point[name])
        low, high = (
            np.reshape(side, value.shape) for side in np.transpose(bounds[name])
        )
        both = np.isfinite(low) & np.isfinite(high)
        margin = _INSIDE * np.where(both, high - low, 1.0)
        value = np.where(
            both | (name in closed), np.maximum(value, low + margin), value
        )
        value = np.transpose(np.minimum(value, high - margin))
        point[name] = value if value.ndim else value.item()
    return point


def starting_values(fit: FitResult) -> list[dict[str, Any]] | None:
    """Return the last draw of each chain as initial values.

    Parameters
    ----------
    fit
        A fit.

    Returns
    -------
    list of dict
        Values by Stan's names, of what the program of the fit declares; None for
        categorical outcomes, whose parameters are near zero in any case.
    """
    fit = center_fit(fit)
    model, posterior = fit.model, fit.posterior
    if model.spec.is_categorical:
        return None
    last = posterior.isel(draw=[-1])
    points = [_point(model, last.isel(chain=[n])) for n in range(last.sizes["chain"])]
    points = [model.scaling.to_stan(point) for point in points]
    if model.structure.standardized:
        for point in points:
            point["log_sigma"] = float(np.log(point["sigma"]))
    for number, unit in _scale_units(model).items():
        end = suffix_of(number + 1)
        for point in points:
            point[f"tau_root{end}"] = root_of_scale(point[f"tau{end}"], unit)
    names = declared_names(fit.program.source)
    return [{name: point[name] for name in names} for point in points]


def _scale_units(model: PreparedModel) -> dict[int, Array]:
    """Return the units of scales that are sampled as roots, by factor."""
    if not isinstance(model.rows, MarginalRows):
        return {}
    return {
        number: unit
        for number, unit in scale_units(
            model.rows, model.scaling.design(model.design)
        ).items()
        if model.structure.is_signed(number + 1)
    }


def _point(model: PreparedModel, draw: xr.Dataset) -> dict[str, Any]:
    """Return the parameters of a program at one draw."""
    design, found = model.design, coefficients(model, draw)
    beta = found.beta[0, 0]
    shift = float(design.x_bar @ beta)
    point: dict[str, Any] = {"beta": beta}
    if design.intercept:
        point["alpha_c"] = float(found.alpha[0, 0]) + shift
    if "cutpoint" in draw:
        point["cutpoint_c"] = draw["cutpoint"].to_numpy()[0, 0] - shift
    for name, variable in _variables(model).items():
        if name in draw and name != "cutpoint":
            point[variable] = draw[name].item()
    for term in special_terms(design):
        point |= term.point(found.special[term.name])
    if design.residual is not None:
        point |= _scales(draw, GroupNames.of(design.residual.factor))
    if model.spec.pooling == "none":
        point["b_c"] = _at_the_means(design, found.factors[0].b[0, :, 0], shift)
        return point
    for number, (factor, own) in enumerate(
        zip(design.factors, found.factors, strict=True), 1
    ):
        end = suffix_of(number)
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
        if factor.uncenter is not None:
            own_b = own.b[0, :, 0] - u + np.linalg.solve(factor.uncenter, u.T).T
            point[f"b_c{end}"] = own_b
        if model.parameterization == "adaptive":
            point[f"z{end}"] = _partly_centered(model, draw, number - 1, shift)
    return point


def _partly_centered(
    model: PreparedModel, draw: xr.Dataset, number: int, shift: float
) -> Array:
    """Return z of an adaptive program for the deviations of one draw."""
    factor, form = model.design.factors[number], model.structure.factors[number]
    found, elsewhere = coefficients(model, draw), _elsewhere(model)
    means, deviations = {}, {}
    for place in (number, *form.within):
        groups = np.arange(len(model.design.factors[place].labels))
        deviations[place] = found.factors[place].deviations(groups)[0, :, 0]
        means[place] = group_means(
            model.design,
            place,
            found.alpha[0] + shift if model.design.intercept else None,
            found.beta[0],
            elsewhere=elsewhere[place],
            at_x_bar=True,
        )[:, 0]
    outer = {place: means[place] + deviations[place] for place in form.within}
    mean = means[number] + of_outer_groups(model.design, number, form.within, outer)
    u, end = deviations[number], suffix_of(number + 1)
    centering = model.centering[number]
    scale = model.scaling.undo(f"tau{end}", np.ones((1, 1, u.shape[1])))[0, 0]
    chol = cholesky_of_population(draw, factor)[0]
    tau = np.sqrt(np.square(chol).sum(axis=1))
    return centering.scaled(scale).standardized(
        u, mean, tau, chol / tau[:, None] if form.correlated else None
    )


def _elsewhere(model: PreparedModel) -> Sequence[frozenset[str] | None]:
    """Return which coefficients of each factor are not centered at the mean.

    None for a factor stands for those whose mean belongs to an earlier factor.
    """
    if not model.structure.chooses_center:
        return [None] * len(model.design.factors)
    return centered_elsewhere(
        model.design.factors, model.centering, model.structure.within
    )


def _scales(draw: xr.Dataset, names: GroupNames) -> dict[str, Any]:
    """Return the residual scales of groups, independent and pooled."""
    own = draw[names.sigma].to_numpy()[0, 0]
    if names.tau_sigma not in draw:
        return {"sigma_j": own}
    spread = draw[names.tau_sigma].item()
    return {
        "tau_sigma": spread,
        "z_sigma": np.log(own / draw["sigma"].item()) / spread,
    }


def _at_the_means(design: Design, b: Array, shift: float) -> Array:
    """Return groups' coefficients, with intercepts for centered predictors."""
    factor, own = design.factors[0], b.copy()
    if factor.varying[0] == "Intercept":
        own[:, 0] += b @ factor.z_bar
        if not (design.intercept or design.categories):
            own[:, 0] += shift
    return own
