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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.compression.integrated_rows import MarginalRows, root_of_scale
from stanpool.density.parameters import ESTIMATED, constants_of, declared_names
from stanpool.families.functions import LINKS
from stanpool.language.family import FAMILIES
from stanpool.model.pilot.centering import Centering
from stanpool.model.priors.distributions import horseshoe_sd
from stanpool.model.priors.in_force import class_of
from stanpool.model.program.stan_data import program_data
from stanpool.model.program.structure import suffix_of
from stanpool.model.terms.of_design import PredictorTerms, predictors_of
from stanpool.model.terms.population import SHARED_SCALES, PopulationDraws
from stanpool.model.terms.term import InitialValues, Noise, ProgramData
from stanpool.posterior.coefficients import coefficients
from stanpool.posterior.recenter import center_fit

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.model.fit_result import FitResult
    from stanpool.model.pilot.estimate import PilotEstimate
    from stanpool.model.prepared_model import PreparedModel

_WIDER = 2.0  # standard deviations, relative to those of the posterior
# Standard deviation of logarithms of the families' parameters, and of cutpoints.
_SPREAD = 0.1
_LEAST_LEFT = 0.1  # of the intercept's variance, without that along ridges
_INSIDE = 0.02  # distance from bounds, relative to the distance between them
_LEAST_LOCAL = 0.1  # of scales of single coefficients
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
    predictors = predictors_of(model.scaling.design(model.design), model.structure)
    start = InitialValues(_program(model))
    names = declared_names(model.program.source)
    rngs = map(np.random.default_rng, ([_STREAM, seed, n] for n in range(chains)))
    points = (_around(model, model.pilot, predictors, start, rng) for rng in rngs)
    points = (point | _estimated(model, point, names) for point in points)
    points = (point | _of_horseshoe(model, point) for point in points)
    return [{name: point[name] for name in names if name in point} for point in points]


def as_declared(
    model: PreparedModel, points: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return initial values of what the program declares, some of it without constants.

    Parameters
    ----------
    model, points
        The model, and values of whole parameters by Stan's names.
    """
    names = declared_names(model.program.source)
    whole = [{**point, **_estimated(model, point, names)} for point in points]
    return [{name: x[name] for name in names if name in x} for x in whole]


def _estimated(
    model: PreparedModel, whole: Mapping[str, Any], names: Sequence[str]
) -> dict[str, Array]:
    """Return the members of parameters that are not constants, where some are.

    Parameters
    ----------
    model
        The model.
    whole
        Values, or variances, of whole parameters by Stan's names.
    names
        What the program declares.
    """
    constants, found = constants_of(model), dict[str, Array]()
    for name in names:
        parameter = name.removesuffix(ESTIMATED)
        if parameter != name and parameter in whole:
            at = constants[parameter].is_estimated
            found[name] = np.asarray(whole[parameter])[at]
    return found


def _of_horseshoe(model: PreparedModel, point: Mapping[str, Any]) -> dict[str, Any]:
    """Return what coefficients with a horseshoe prior are made of, if they have one.

    Local scales that are not known are as large as the coefficients.
    """
    if not model.structure.shrinks:
        return {}
    rows = [
        x for x in model.scaling.priors(model.priors) if x.parameter_class == "beta"
    ]
    scales = np.array([row.prior.arguments for row in rows])
    beta = np.asarray(point["beta"])
    shared, slab = (point.get(name, 1.0) for name in SHARED_SCALES)
    size = np.abs(beta) / (shared * scales[:, 0])
    local = point.get("beta_local", np.maximum(size, _LEAST_LOCAL))
    sd = horseshoe_sd(local, shared, slab, scales[:, 0], scales[:, 2])
    found = dict(zip(SHARED_SCALES, (shared, slab), strict=True))
    return {**found, "beta_local": local, "beta_z": beta / sd}


def _around(
    model: PreparedModel,
    pilot: PilotEstimate,
    predictors: Sequence[PredictorTerms],
    known: InitialValues,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Draw one point: values of all parameters that programs may declare."""
    noise = Noise(rng, _WIDER)
    mean, *others = predictors
    known = mean.population.initial_around(pilot, known, noise)
    alpha = np.atleast_1d(known.values.get("alpha_c", 0.0))
    beta = np.atleast_2d(known.values["beta"].T)
    known = replace(known, population=PopulationDraws(alpha[None], beta[None]))
    known = known.plus(_parameters_around(model, pilot, noise))
    terms = [term for predictor in others for term in predictor.all]
    terms += [mean.all[place] for place in mean.in_order(known.program)[1:]]
    for term in terms:
        known = term.initial_around(pilot, known, noise)
    point = _inside_bounds(model, dict(known.values))
    if model.structure.shrinks:
        point |= {name: math.exp(_SPREAD * float(noise(()))) for name in SHARED_SCALES}
    if "sigma" in point:
        point["log_sigma"] = float(np.log(point["sigma"]))
    return point


def _parameters_around(
    model: PreparedModel, pilot: PilotEstimate, noise: Noise
) -> dict[str, Any]:
    """Draw the parameters of the family, on the scales of their links."""
    errors, point = _errors_of_parameters(model, pilot), dict[str, Any]()
    for own in FAMILIES[model.spec.family].parameters:
        if own.name in pilot.parameters:
            link = LINKS[own.link]
            at = link.apply(pilot.parameters[own.name])
            moved = link.inverse(at + errors[own.name] * noise(()))
            point[own.stan_variable] = moved if own.size else float(moved)
    return point


def _program(model: PreparedModel) -> ProgramData:
    """Return what decides the data of a model's program."""
    design = model.scaling.design(model.design)
    rows = model.rows if isinstance(model.rows, MarginalRows) else None
    return program_data(
        design,
        model.structure,
        rows,
        model.centering,
        model.decoupling,
        model.smooths,
    )


def _variables(model: PreparedModel) -> dict[str, str]:
    """Return the Stan variables of the family's parameters, by their names."""
    family = FAMILIES[model.spec.family]
    return {own.name: own.stan_variable for own in family.parameters}


def _errors_of_parameters(
    model: PreparedModel, pilot: PilotEstimate
) -> dict[str, float]:
    """Return standard errors of the family's parameters, through their links."""
    errors = dict.fromkeys(pilot.parameters, _SPREAD)
    if "sigma" in errors:
        errors["sigma"] = math.sqrt(variance_of_log_sigma(model, pilot))
    return errors


def variance_of_log_sigma(model: PreparedModel, pilot: PilotEstimate) -> float:
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
    program = _program(model)
    scaled = model.scaling.design(model.design)
    for predictor in predictors_of(scaled, model.structure):
        for term in predictor.all:
            known |= term.metric(pilot, program)
    rows = float(model.design.rows)
    known |= {name: np.array(2.0 / rows) for name in pilot.parameters}
    if "sigma" in known:
        known["sigma"] = np.array(variance_of_log_sigma(model, pilot))
    if "cutpoint" in pilot.parameters:
        known["cutpoint_c"] = np.full(len(pilot.parameters["cutpoint"]), 4.0 / rows)
    known |= _variances_off_ridges(model, program, known)
    if model.structure.standardized:
        data = model.stan_data()
        name = "beta_free" if model.structure.has_free() else "beta"
        if "beta_multiplier" in data:
            known[name] = known[name] / np.square(data["beta_multiplier"])
        known["log_sigma"] = known["sigma"] / np.square(data["log_sigma_multiplier"])
    names = declared_names(model.program.source)
    known |= _estimated(model, known, names)
    if model.structure.shrinks:
        known |= {
            name: np.ones_like(known["beta"]) for name in ("beta_z", "beta_local")
        }
        known |= {name: np.ones(()) for name in SHARED_SCALES}
    if not known.keys() >= set(names):
        return None
    return np.concatenate([np.ravel(known[name], order="F") for name in names])


def _variances_off_ridges(
    model: PreparedModel, program: ProgramData, known: Mapping[str, Array]
) -> dict[str, Array]:
    """Return variances of what is sampled in the place of the intercept.

    They are what is left without the moves along the ridges of groups.
    """
    found = {"cutpoint_bar": known["cutpoint_c"]} if "cutpoint_c" in known else {}
    if "alpha_c" not in known:
        return found
    groups = predictors_of(model.design, model.structure)[0].groups
    ridges = [ridge for term in groups if (ridge := term.ridge(program))]
    whole = known["alpha_c"]
    left = whole - sum(float(ridge.variances.sum()) for ridge in ridges)
    return {**found, "alpha_bar": np.maximum(left, _LEAST_LEFT * whole)}


def starts_from_pilot(model: PreparedModel) -> bool:
    """Whether chains start around a pilot estimate, if there is one."""
    return model.parameterization in ("adaptive", "marginal")


def _inside_bounds(model: PreparedModel, point: dict[str, Any]) -> dict[str, Any]:
    """Move a point into the bounds of the priors."""
    bounds: dict[str, list[tuple[float, float]]] = {}
    closed: dict[str, list[bool]] = {}
    renamed = {"Intercept": "alpha_c", **_variables(model)}
    for own in model.design.predictors:
        if own.smooths:
            end = "" if own.parameter == "mean" else f"_{own.parameter}"
            renamed[f"beta{end}"] = f"beta_free{end}"
    for row in model.scaling.priors(model.priors):
        lower, upper = row.prior.canonical.bounds
        known = class_of(row.parameter_class)
        lower, upper = max(lower, known.bounds[0]), min(upper, known.bounds[1])
        name = renamed.get(row.parameter_class, row.parameter_class)
        is_stated = known.lower is not None or row.prior.lb is not None
        closed.setdefault(name, []).append(is_stated)
        bounds.setdefault(name, []).append((lower, upper))
    for name in bounds.keys() & point.keys():
        # With a column for each category, members are in the order of columns.
        value = np.transpose(point[name])
        low, high = (
            np.reshape(side, value.shape) for side in np.transpose(bounds[name])
        )
        both = np.isfinite(low) & np.isfinite(high)
        above = np.reshape(closed[name], value.shape)
        margin = _INSIDE * np.where(both, high - low, 1.0)
        value = np.where(both | above, np.maximum(value, low + margin), value)
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
    program = _program(model)
    start = InitialValues(_in_users_units(model, program))
    draws = (last.isel(chain=[n]) for n in range(last.sizes["chain"]))
    points = [_point(model, draw, start) for draw in draws]
    points = [model.scaling.to_stan(point) for point in points]
    scaled = model.scaling.design(model.design)
    for predictor in predictors_of(scaled, model.structure):
        for point in points:
            point |= predictor.population.sampled_of_smooths(point, program)
    if model.structure.standardized:
        for point in points:
            point["log_sigma"] = float(np.log(point["sigma"]))
    for number, unit in program.scale_units.items():
        end = suffix_of(number + 1)
        for point in points:
            point[f"tau_root{end}"] = root_of_scale(point[f"tau{end}"], unit)
    names = declared_names(fit.program.source)
    points = [point | _estimated(model, point, names) for point in points]
    points = [point | _of_horseshoe(model, point) for point in points]
    return [{name: point[name] for name in names} for point in points]


def _point(
    model: PreparedModel, draw: xr.Dataset, known: InitialValues
) -> dict[str, Any]:
    """Return the parameters of a program at one draw."""
    numbers = {
        own.stan_variable: draw[own.name].item()
        for own in FAMILIES[model.spec.family].numbers
        if own.name in draw
    }
    known = known.plus(numbers)
    if model.structure.shrinks:
        known = known.plus({name: draw[name].item() for name in SHARED_SCALES})
        known = known.plus({"beta_local": draw["beta_local"].to_numpy().ravel()})
    for predictor in predictors_of(model.design, model.structure):
        drawn = coefficients(model, draw, predictor.design.parameter)
        at_zero = drawn.population
        shift = at_zero.beta @ predictor.design.x_bar
        known = replace(known, population=replace(at_zero, alpha=at_zero.alpha + shift))
        for place in predictor.in_order(known.program):
            known = predictor.all[place].initial_at(drawn.all[place], known)
    return dict(known.values)


def _in_users_units(model: PreparedModel, program: ProgramData) -> ProgramData:
    """Return how coefficients are centered, in the units of the user."""

    def of_user(number: int, centering: Centering) -> Centering:
        ones = np.ones((1, 1, len(centering.tau)))
        scale = model.scaling.undo(f"tau{suffix_of(number + 1)}", ones)[0, 0]
        return centering.scaled(scale)

    scaled = [of_user(*each) for each in enumerate(program.centering)]
    decoupling = program.decoupling
    if decoupling is not None:
        beta = np.ones((1, 1, len(model.design.coefficients)))
        units = [model.scaling.undo("beta", beta)[0, 0]]
        if model.design.intercept:
            units.insert(0, model.scaling.undo("alpha_c", np.ones((1, 1)))[0])
        decoupling = decoupling.scaled(np.concatenate(units))
    return replace(program, centering=scaled, decoupling=decoupling)
