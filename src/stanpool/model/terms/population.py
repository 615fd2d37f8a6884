"""The population's part of a linear predictor: intercept, coefficients, cutpoints."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote
from stanpool.data.design.design import ParameterDesign
from stanpool.model.pilot.estimate import PilotEstimate
from stanpool.model.priors.distributions import PriorDraws, draw_from_prior
from stanpool.model.terms.names import (
    SMOOTH_COEFFICIENT,
    Claim,
    Labelled,
    labels_of,
)
from stanpool.model.terms.term import (
    InitialValues,
    Noise,
    ProgramData,
    StanVariables,
    Variables,
    on_link_scale,
)
from stanpool.model.terms.unseen import UnseenGroups

SHARED_SCALES = ("beta_global", "beta_slab")
"""What all coefficients with a horseshoe prior share, in Stan and in the posterior."""

_MOST_TRIES = 100
_BATCH = 1000
_SPREAD = 0.1  # of initial values of parameters, on the scales of their links


@dataclass(frozen=True, eq=False)
class PopulationDraws:
    """Draws of the population's coefficients.

    Attributes
    ----------
    alpha
        Intercepts, shape ``(S, D)``: zero where there is none.
    beta
        Coefficients, shape ``(S, D, K)``.
    cutpoint
        Cutpoints, shape ``(S, C - 1)``, or None.
    tau
        Scales of smooths, shape ``(S, scales)``, or None.
    lengthscale
        Length scales of Gaussian processes, shape ``(S, L)``, or None.
    steps
        Shares of the steps of monotonic effects, shape ``(S, steps)``, or None.
    """

    alpha: Array
    beta: Array
    cutpoint: Array | None = None
    tau: Array | None = None
    lengthscale: Array | None = None
    steps: Array | None = None

    def effect(self, rows: ParameterDesign, unseen: UnseenGroups) -> Array:
        """Return the population's linear predictors of rows, ``(S, D, rows)``."""
        return np.asarray(self.alpha[..., None] + self.beta @ rows.X.T)


@dataclass(frozen=True, eq=False)
class PopulationTerm:
    """Intercept and coefficients of the population for one parameter.

    Attributes
    ----------
    design
        The linear predictor.
    categories
        The categories that have linear predictors of their own; else empty.
    cutpoints
        The labels of cutpoints, which are in the place of an intercept; else empty.
    shrinks
        Whether the coefficients have a horseshoe prior.
    is_ordered
        Whether the cutpoints ascend.
    """

    design: ParameterDesign
    categories: tuple[Any, ...] = ()
    cutpoints: tuple[str, ...] = ()
    shrinks: bool = False
    is_ordered: bool = True

    @property
    def predictors(self) -> int:
        """The number of linear predictors, D."""
        return len(self.categories) or 1

    @property
    def suffix(self) -> str:
        """How names end: with the parameter's name, but for those of the mean."""
        return "" if self.design.parameter == "mean" else f"_{self.design.parameter}"

    def claims(self) -> Iterator[Claim]:
        """Yield the names of a parameter's formula; all models keep the mean's."""
        own = self.design.parameter
        if own != "mean" and not self.design.is_value:
            names = ("Intercept", "beta", "coefficient")
            taken = tuple(f"{name}_{own}" for name in names)
            yield Claim(f"the formula of {quote(own)}", taken)
        if self.design.smooths:
            of_smooths = ("beta_s", "tau_s", "smooth", SMOOTH_COEFFICIENT)
            taken = tuple(f"{name}{self.suffix}" for name in of_smooths)
            yield Claim("s()" if self.design.scaled else "mo()", taken)
        if self.design.processes:
            of_processes = ("lengthscale", "process")
            taken = tuple(f"{name}{self.suffix}" for name in of_processes)
            yield Claim("gp()", taken)
        if self.design.monotonic:
            yield Claim("mo()", (f"steps{self.suffix}", f"step{self.suffix}"))

    def labelled(self, stan: StanVariables) -> Labelled:
        """Label draws of Stan's variables; of one number the family has the name."""
        variables: dict[str, tuple[tuple[str, ...], Array]] = {}
        coords: dict[str, np.ndarray] = {}
        if self.design.is_value:
            return Labelled(variables, coords)
        end = self.suffix
        categories = ("category",) if self.categories else ()
        if categories:
            coords["category"] = labels_of(self.categories)
        if self.design.intercept:
            variables[f"Intercept{end}"] = (categories, stan(f"alpha{end}"))
        free = self.design.free
        if free:
            beta = stan(f"beta{end}")[:, :, : len(free)]
            if categories:
                beta = np.swapaxes(beta, 2, 3)
            variables[f"beta{end}"] = ((*categories, f"coefficient{end}"), beta)
            coords[f"coefficient{end}"] = labels_of(free)
        if self.shrinks:
            variables["beta_local"] = (("coefficient",), stan("beta_local"))
            variables |= {name: ((), stan(name)) for name in SHARED_SCALES}
        if self.design.scaled:
            variables[f"tau_s{end}"] = ((f"smooth{end}",), stan(f"tau_s{end}"))
            coords[f"smooth{end}"] = labels_of([x.name for x in self.design.scaled])
        if self.design.smooths:
            dim = f"{SMOOTH_COEFFICIENT}{end}"
            variables[f"beta_s{end}"] = ((dim,), stan(f"beta{end}")[:, :, len(free) :])
            coords[dim] = labels_of(self.design.coefficients[len(free) :])
        if self.design.processes:
            lengthscale = stan(f"lengthscale{end}")
            variables[f"lengthscale{end}"] = ((f"process{end}",), lengthscale)
            coords[f"process{end}"] = labels_of(self.design.lengthscales)
        if self.design.monotonic:
            shares = self.design.shares_of_steps(stan(f"steps{end}"))
            variables[f"steps{end}"] = ((f"step{end}",), shares)
            coords[f"step{end}"] = labels_of(self.design.steps)
        if self.cutpoints:
            variables["cutpoint"] = (("between",), stan("cutpoint"))
            coords["between"] = labels_of(self.cutpoints)
        return Labelled(variables, coords)

    def draws(self, posterior: Variables, population: object = None) -> PopulationDraws:
        """Take the coefficients out of labelled draws."""
        own, count = self.design, posterior.count
        alpha = np.zeros((count, self.predictors))
        beta = np.zeros((count, self.predictors, 0))
        if own.is_value:
            if own.parameter in posterior:
                alpha = on_link_scale(own.link, posterior[own.parameter])[:, None]
            return PopulationDraws(alpha, beta)
        if f"Intercept{self.suffix}" in posterior:
            alpha = posterior[f"Intercept{self.suffix}"].reshape(alpha.shape)
        parts = [beta]
        if own.free:
            parts.append(posterior[f"beta{self.suffix}"])
        if own.smooths:
            parts.append(posterior[f"beta_s{self.suffix}"])
        shape = (count, self.predictors, -1)
        beta = np.concatenate([each.reshape(shape) for each in parts], axis=2)
        cutpoint = posterior["cutpoint"] if self.cutpoints else None
        tau = posterior[f"tau_s{self.suffix}"] if own.scaled else None
        lengths = posterior[f"lengthscale{self.suffix}"] if own.processes else None
        steps = posterior[f"steps{self.suffix}"] if own.monotonic else None
        return PopulationDraws(alpha, beta, cutpoint, tau, lengths, steps)

    def scale_draws(self, posterior: Variables) -> Iterator[tuple[str, str, Array]]:
        """Yield the scales of smooths: other coefficients have none to estimate."""
        if self.design.scaled:
            draws = posterior[f"tau_s{self.suffix}"]
            for place, each in enumerate(self.design.scaled):
                yield each.name, f"sd({each.name})", draws[:, place]

    def stan_data(self, program: ProgramData) -> dict[str, Any]:
        """Return Stan's data of the term by name."""
        own = self.design
        if own.is_value:
            return {}
        data: dict[str, Any] = {"K": len(own.coefficients)}
        if program.rows is None:
            data["X"] = own.X
        if own.smooths:
            data["K_free"] = len(own.free)
            data |= self._data_of_monotonic_effects()
        if own.scaled:
            data["S"] = len(own.scaled)
            data["smooth"] = own.scale_of + 1
            data |= self._data_of_processes()
            if own.parameter == "mean":
                data["centeredness_s"] = self._centeredness(program)
        is_mean = own.parameter == "mean"
        has_own_intercepts = is_mean and program.structure.pooling == "none"
        if own.intercept or self.cutpoints or has_own_intercepts:
            data["x_bar"] = own.x_bar
        if program.structure.has_log_unit(own.parameter):
            return {"log_unit": own.log_unit} | {
                f"{name}{self.suffix}": value for name, value in data.items()
            }
        return {f"{name}{self.suffix}": value for name, value in data.items()}

    def _data_of_monotonic_effects(self) -> dict[str, Any]:
        """Return what Stan is told of the coefficients of monotonic effects."""
        own = self.design
        if not own.monotonic:
            return {}
        inner = [each.count for each in own.monotonic]
        of_smooths = {"K_s": len(own.scale_of)} if own.scaled else {}
        return of_smooths | {
            "M": len(inner),
            "D": [count + 1 for count in inner],
            "n_steps": len(own.steps),
        }

    def _data_of_processes(self) -> dict[str, Any]:
        """Return what Stan is told of the coefficients of Gaussian processes."""
        own = self.design
        if not own.processes:
            return {}
        frequency = np.zeros((len(own.scale_of), len(own.lengthscales)))
        nu, log_density_0 = np.zeros((2, len(frequency)))
        row, column = 0, 0
        for each in own.scaled:
            rows = slice(row, row := row + each.count)
            if each.spectrum is None:
                continue
            width = len(each.spectrum.axes)
            frequency[rows, column : column + width] = each.spectrum.frequencies
            nu[rows] = each.spectrum.nu
            log_density_0[rows] = each.spectrum.log_density_0
            column += width
        return {
            "L": column,
            "frequency": frequency,
            "nu_s": nu,
            "log_density_0": log_density_0,
        }

    def prior_population(self, prior: PriorDraws) -> PopulationDraws:
        """Draw the coefficients from their priors."""
        own = self.design
        if own.is_value:
            value = prior.members(own.parameter)[:, 0]
            empty = np.zeros((prior.draws, 1, 0))
            return PopulationDraws(on_link_scale(own.link, value), empty)
        beta = prior.members(f"beta{self.suffix}")
        beta = beta.reshape(prior.draws, self.predictors, -1)
        if own.smooths:
            sd = own.sds_of_smooths(
                prior.members(f"tau_s{self.suffix}"),
                prior.members(f"lengthscale{self.suffix}"),
            )
            drawn = sd * prior.rng.standard_normal(sd.shape)
            steps = prior.members(f"steps{self.suffix}")
            departures = own.departures(beta, steps)
            beta = np.concatenate([beta, drawn, departures], axis=2)
        alpha = np.zeros((prior.draws, self.predictors))
        if own.intercept:
            at_means = prior.members(f"Intercept{self.suffix}")[:, 0]
            alpha = at_means - beta @ own.x_bar
        return PopulationDraws(alpha, beta)

    def prior_draws(
        self, prior: PriorDraws, population: PopulationDraws
    ) -> dict[str, Array]:
        """Return what Stan calls the population's coefficients, and draw cutpoints."""
        own = self.design
        if own.is_value:
            return {}
        found = {f"beta{self.suffix}": np.swapaxes(population.beta, 1, 2)}
        if own.intercept:
            found[f"alpha{self.suffix}"] = population.alpha
        if self.shrinks:
            scales = {"beta_local": prior.drawn.get(("beta_local", 1))}
            scales |= {name: prior.drawn.get((name, 1)) for name in SHARED_SCALES}
            found |= {
                # Where coefficients are given, nothing is drawn.
                name: np.ones((prior.draws, 1, 1)) if x is None else x
                for name, x in scales.items()
            }
            local = np.broadcast_to(found["beta_local"], population.beta.shape)
            found["beta_local"] = np.swapaxes(local, 1, 2)
        of_smooths = ["tau_s"] * bool(own.scaled)
        of_smooths += ["lengthscale"] * bool(own.processes)
        of_smooths += ["steps"] * bool(own.monotonic)
        for name in (f"{each}{self.suffix}" for each in of_smooths):
            found[name] = np.swapaxes(prior.members(name), 1, 2)
        if not self.categories:
            found = {name: values[..., 0] for name, values in found.items()}
        for name in SHARED_SCALES if self.shrinks else ():
            found[name] = found[name][..., 0]
        if self.cutpoints:
            draw = _draw_ordered if self.is_ordered else _draw_each
            found["cutpoint"] = draw(prior, own.link)
            found["cutpoint"] += population.beta @ own.x_bar
        return found

    def initial_at(self, draws: PopulationDraws, known: InitialValues) -> InitialValues:
        """Add initial values of what programs declare, from one draw."""
        own = self.design
        if own.is_value:
            return known
        beta = draws.beta[0, 0]
        shift = float(own.x_bar @ beta)
        scales = draws.tau, draws.lengthscale, draws.steps
        of_smooths = (None if each is None else each[0] for each in scales)
        point = self._with_smooths(beta, known.program, *of_smooths)
        if own.intercept:
            point[f"alpha_c{self.suffix}"] = float(draws.alpha[0, 0]) + shift
        if draws.cutpoint is not None:
            point["cutpoint_c"] = draws.cutpoint[0] - shift
        return known.plus(self._with_standardized(point, known.program))

    def initial_around(
        self, pilot: PilotEstimate, known: InitialValues, noise: Noise
    ) -> InitialValues:
        """Add initial values, drawn from around the pilot estimate.

        It takes parameters as one number each, so that their predictors have no effect.
        """
        own = self.design
        if own.parameter != "mean":
            if own.is_value or own.parameter not in pilot.parameters:
                return known
            return known.plus(self._around_number(pilot, noise, known.program))
        theta = pilot.theta + pilot.theta_sd * noise(pilot.theta.shape)
        first = int(self.design.intercept)
        lengthscale = self._lengthscales_around(noise)
        point = self._with_smooths(theta[first:], known.program, None, lengthscale)
        if first:
            point["alpha_c"] = theta[0]
        return known.plus(self._with_standardized(point, known.program))

    def _around_number(
        self, pilot: PilotEstimate, noise: Noise, program: ProgramData
    ) -> dict[str, Any]:
        """Draw coefficients of a parameter that is estimated as one number."""
        own = self.design
        spread = np.std(own.X, axis=0)
        beta = _SPREAD * noise(spread.shape) / np.where(spread > 0, spread, 1.0)
        lengthscale = self._lengthscales_around(noise)
        point = self._with_smooths(beta, program, None, lengthscale)
        if not own.intercept:
            return point
        level = on_link_scale(own.link, np.asarray(pilot.parameters[own.parameter]))
        alpha = float(level) + own.log_unit + _SPREAD * float(noise(()))
        return {**point, f"alpha_c{self.suffix}": alpha}

    def _lengthscales_around(self, noise: Noise) -> Array:
        """Draw length scales of processes from around those that may well be."""
        middle = self.design.middle_lengthscales
        return np.asarray(middle * np.exp(_SPREAD * noise(middle.shape)))

    def _centeredness(self, program: ProgramData) -> Array:
        """Return how far the coefficients of smooths are centered, ``(K_s,)``."""
        if self.design.parameter == "mean" and program.smooths is not None:
            return program.smooths.centeredness
        return np.zeros(len(self.design.scale_of))

    def _with_smooths(
        self,
        beta: Array,
        program: ProgramData,
        tau: Array | None = None,
        lengthscale: Array | None = None,
        steps: Array | None = None,
    ) -> dict[str, Any]:
        """Return coefficients, and what those of smooths are made of.

        Parameters
        ----------
        beta
            All coefficients, shape ``(K,)``.
        program
            What says which are centered.
        tau
            The scales of smooths; None for those that agree with the coefficients.
        lengthscale
            The length scales of processes; None for those that may well be.
        steps
            Those of monotonic effects; None for those that are near the coefficients.
        """
        own, end = self.design, self.suffix
        point: dict[str, Any] = {f"beta{end}": beta}
        if own.smooths:
            scale, ends = own.scale_of, len(own.free)
            free, penalised, _ = np.split(beta, [ends, ends + len(scale)])
            point[f"beta_free{end}"] = free
            if own.monotonic:
                steps = own.steps_near(beta) if steps is None else steps
                departures = own.departures(free, steps)
                point[f"beta{end}"] = np.concatenate([free, penalised, departures])
                point[f"steps{end}"] = steps
        if own.scaled:
            if lengthscale is None:
                lengthscale = own.middle_lengthscales
            if tau is None:
                sds = own.sds_of_smooths(np.ones(len(own.scaled)), lengthscale)
                squares = np.bincount(scale, np.square(penalised / sds))
                tau = np.sqrt(squares / np.bincount(scale)) + 1e-6
            point[f"tau_s{end}"] = tau
            if own.processes:
                point[f"lengthscale{end}"] = lengthscale
            point |= self.sampled_of_smooths(point, program)
        return point

    def sampled_of_smooths(
        self, point: dict[str, Any], program: ProgramData
    ) -> dict[str, Any]:
        """Return what programs sample of smooths, from coefficients and scales."""
        own, end = self.design, self.suffix
        if not own.scaled:
            return {}
        penalised = self._penalised(point[f"beta{end}"])
        lengthscale = point.get(f"lengthscale{end}", np.empty(0))
        sds = own.sds_of_smooths(point[f"tau_s{end}"], lengthscale)
        divisor = sds ** (1.0 - self._centeredness(program))
        # Of a long length scale, the last of the standard deviations may round to 0.
        z = np.divide(penalised, divisor, out=np.zeros(len(sds)), where=divisor > 0)
        return {f"z_s{end}": z}

    def _penalised(self, coefficients: Array) -> Array:
        """Return what is said of the coefficients that have a scale, ``(K_s,)``."""
        first = len(self.design.free)
        return coefficients[first : first + len(self.design.scale_of)]

    def _metric_of_number(
        self, pilot: PilotEstimate, program: ProgramData
    ) -> dict[str, Array]:
        """Return approximate variances of the coefficients of such a parameter."""
        own, rows = self.design, len(self.design.X)
        if own.is_value or own.parameter not in pilot.parameters:
            return {}
        variance = np.var(own.X, axis=0)
        found = self._metric_with_smooths(
            2.0 / rows / np.where(variance > 0, variance, 1), None, program
        )
        if own.intercept:
            found[f"alpha_c{self.suffix}"] = np.array(2.0 / rows)
        return found

    def _with_standardized(
        self, point: dict[str, Any], program: ProgramData
    ) -> dict[str, Any]:
        """Add what the coefficients are made of where they are sampled apart."""
        if program.decoupling is None or self.design.parameter != "mean":
            return point
        first = [point["alpha_c"]] if self.design.intercept else []
        theta = np.concatenate([first, point["beta"]])
        return {**point, "z_theta": program.decoupling.standardized(theta)}

    def metric(self, pilot: PilotEstimate, program: ProgramData) -> dict[str, Array]:
        """Return approximate variances of what programs declare of the population."""
        if self.design.parameter != "mean":
            return self._metric_of_number(pilot, program)
        variance = np.square(pilot.theta_sd)
        if program.decoupling is not None:
            return {"z_theta": np.ones(len(variance))}
        first = int(self.design.intercept)
        found = self._metric_with_smooths(
            variance[first:], pilot.theta[first:], program
        )
        return {**found, "alpha_c": variance[0]} if first else found

    def _metric_with_smooths(
        self, variance: Array, estimate: Array | None, program: ProgramData
    ) -> dict[str, Array]:
        """Return variances of coefficients, and of what smooths' are made of.

        Parameters
        ----------
        variance
            Of all coefficients, shape ``(K,)``.
        estimate
            The coefficients; None where nothing is known of them.
        program
            What says which are centered.
        """
        own, end = self.design, self.suffix
        if not own.smooths:
            return {f"beta{end}": variance}
        found = {f"beta_free{end}": variance[: len(own.free)]}
        found |= {f"steps{end}": np.ones(len(own.steps))} if own.monotonic else {}
        if not own.scaled:
            return found
        point = self._with_smooths(
            np.sqrt(variance) if estimate is None else estimate, program
        )
        noncentered = 1.0 - self._centeredness(program)
        lengthscale = point.get(f"lengthscale{end}", np.empty(0))
        sds = own.sds_of_smooths(point[f"tau_s{end}"], lengthscale)
        of_scales = 0.5 / np.maximum(np.bincount(own.scale_of), 1)
        return found | {
            f"tau_s{end}": of_scales,
            f"lengthscale{end}": np.full(len(lengthscale), _SPREAD),
            f"z_s{end}": self._penalised(variance) / sds ** (2.0 * noncentered),
        }


def _draw_each(prior: PriorDraws, link: str) -> Array:
    """Draw cutpoints in any order, ``(draw, cutpoint)``, from their priors."""
    del link
    size, rng = (prior.draws,), prior.rng
    rows = prior.rows("cutpoint")
    return np.stack([draw_from_prior(row, size, rng) for row in rows], axis=-1)


def _draw_ordered(prior: PriorDraws, link: str) -> Array:
    """Draw ordered cutpoints, ``(draw, cutpoint)``, from their priors.

    Draws of equal priors are sorted; those of other priors are repeated until they are
    in order. A Dirichlet prior is on the probabilities of the categories.
    """
    rows, draws, rng = prior.rows("cutpoint"), prior.draws, prior.rng
    if rows[0].prior.distribution == "dirichlet":
        parts = np.repeat(rows[0].prior.arguments, len(rows) + 1)
        below = np.cumsum(rng.dirichlet(parts, size=draws), axis=-1)[:, :-1]
        return on_link_scale(link, below)
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
