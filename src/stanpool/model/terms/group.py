"""The coefficients of one grouping factor in the linear predictor of a parameter.

S draws; D linear predictors (one, or one for each category but the reference); J
groups; Q varying coefficients; P group-level predictors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import quote
from stanpool.data.compression.gaussian_rows import CompressedRows
from stanpool.data.compression.integrated_rows import root_of_scale
from stanpool.data.design.design import FactorDesign, Joint, ParameterDesign, Part
from stanpool.data.design.nesting import outer_groups, shared_columns
from stanpool.model.pilot.centering import Ridge
from stanpool.model.pilot.estimate import GroupEstimate, PilotEstimate
from stanpool.model.priors.distributions import PriorDraws
from stanpool.model.program.population_means import (
    U_at_x_bar,
    effects_of,
    group_means,
    means_of,
    of_outer_groups,
    population_parts,
    varying_earlier,
)
from stanpool.model.program.structure import FactorStructure, suffix_of
from stanpool.model.terms.group_draws import (
    GroupDraws,
    JointDraws,
    cholesky,
    standardized,
)
from stanpool.model.terms.names import (
    Claim,
    Correlations,
    GroupNames,
    Labelled,
    labels_of,
)
from stanpool.model.terms.population import PopulationDraws
from stanpool.model.terms.term import (
    InitialValues,
    Noise,
    ProgramData,
    StanVariables,
    Variables,
    from_link_scale,
    on_link_scale,
)

_LARGEST_SPREAD = 0.5  # largest standard deviation of the logarithms of scales
_LEAST_LEFT = 0.05  # least variance of a standardized deviation
_ROUNDING = 1e-13  # of a standardized one, where there is no error but that of digits
_SOME_RHO = 0.5  # parameter of a covariance, between 0 and 1
_SPREAD_OF_RHO = 1.0  # standard deviation of its logit
_SOME_SCALE = 0.3  # of deviations of parameters, on the scales of their links
_SOME_NU, _SPREAD_OF_NU = 6.0, 0.5  # degrees of freedom above 1, and of their logs
_SOME_NOISE = 0.3  # of initial values of standardized deviations, beside their scale 1


@dataclass(frozen=True, eq=False)
class GroupTerm:
    """The coefficients of one grouping factor in a parameter's linear predictor.

    Attributes
    ----------
    design
        The linear predictor.
    number
        Which of its factors, counted from 0.
    form
        What of the factor decides a program's text.
    pooled
        Whether coefficients are drawn from a population that is estimated.
    has_cutpoints
        Whether cutpoints are in the place of the population's intercept.
    """

    design: ParameterDesign
    number: int
    form: FactorStructure = field(default_factory=FactorStructure)
    pooled: bool = True
    has_cutpoints: bool = False

    @property
    def factor(self) -> FactorDesign:
        """The grouping factor."""
        return self.design.factors[self.number]

    @property
    def names(self) -> GroupNames:
        """The names in the posterior."""
        return GroupNames.of(self.factor.factor, self.design.parameter)

    @property
    def suffix(self) -> str:
        """How the names of Stan's variables end: ``"_2"``, or ``"_sigma"``."""
        return suffix_of(self.number + 1, self.design.parameter)

    @property
    def suffix_of_correlations(self) -> str:
        """The same of the variable that has the correlations of the coefficients."""
        joint = self.factor.joint
        if joint is None:
            return self.suffix
        return suffix_of(joint.first.number + 1, joint.first.parameter)

    @property
    def groups(self) -> int:
        """The number of groups, J."""
        return len(self.factor.labels)

    def claims(self) -> Iterator[Claim]:
        """Yield the names that the term takes in the posterior, and for what."""
        names, column = self.names, self.factor.factor
        yield Claim.of_column(column, names.group)
        if self.design.is_value:
            taken = (names.value, names.tau, f"tau{self.suffix}")
            yield Claim(f"residual={quote(column)}", taken)
            return
        own = [names.coefficient, names.coefficient_2, names.tau, names.Omega, names.b]
        own += [names.nu] if self._has_nu else []
        own += [names.rho] if self._has_rho else []
        own += [] if self.factor.joint is None else [names.joint, names.joint_2]
        yield Claim(f"the grouping factor {quote(column)}", tuple(own))

    def labelled(self, stan: StanVariables) -> Labelled:
        """Label draws of Stan's variables."""
        names, end, own = self.names, self.suffix, self.factor
        varying = () if self.design.is_value else (names.coefficient,)
        coords = {names.group: labels_of(own.labels)}
        coords |= {dim: labels_of(own.coefficients) for dim in varying}
        variables: dict[str, tuple[tuple[str, ...], Array]] = {}
        if self.pooled:
            variables[names.tau] = (varying, stan(f"tau{end}"))
        if self.form.has_Omega:
            both = (*varying, names.coefficient_2)
            if own.joint is not None:
                both = (names.joint, names.joint_2)
            variables[names.Omega] = (both, stan(f"Omega{end}"))
            coords |= {dim: labels_of(own.correlated) for dim in both}
        if self._has_nu:
            variables[names.nu] = ((), stan(f"nu_u{end}"))
        if self._has_rho:
            variables[names.rho] = ((), stan(f"rho_u{end}"))
        if self.design.is_value:
            values = stan(f"{self.design.parameter}_j")
            variables[names.value] = ((names.group,), values)
        else:
            variables[names.b] = ((names.group, *varying), stan(f"b{end}"))
        return Labelled(variables, coords)

    def draws(self, posterior: Variables, population: PopulationDraws) -> GroupDraws:
        """Take the coefficients out of labelled draws."""
        names, own = self.names, self.factor
        count, predictors = population.alpha.shape
        if self.design.is_value:
            b = on_link_scale(self.design.link, posterior[names.value])
        else:
            b = posterior[names.b]
        b = b.reshape(count, self.groups, predictors, len(own.varying))
        if not self.pooled:
            return GroupDraws(self.design.parameter, b, np.zeros_like(b[:, 0]))
        alpha, beta = population.alpha, population.beta
        mean, effects = population_parts(self.design, self.number, alpha, beta)
        tau = posterior[names.tau].reshape(count, -1)
        Omega = self._correlations(posterior)
        return GroupDraws(
            self.design.parameter,
            b,
            mean,
            own.U,
            effects,
            tau=tau,
            Omega=Omega,
            population=own.population,
            nu=posterior[names.nu] if self._has_nu else None,
            rho=posterior[names.rho] if self._has_rho else None,
            joint=self._joint_draws(posterior),
        )

    def _correlations(self, posterior: Variables) -> Array | None:
        """Return the correlations of the factor's own coefficients, ``(S, Q, Q)``."""
        known = Correlations.of(self.factor, self.design.parameter)
        if known.name not in posterior or not self.factor.is_correlated:
            return None
        return posterior[known.name][:, known.own, known.own]

    def _joint_draws(self, posterior: Variables) -> JointDraws | None:
        """Return correlations with coefficients of other parameters, if there are."""
        if self.factor.joint is None:
            return None
        name = Correlations.of(self.factor, self.design.parameter).name
        return JointDraws(self.factor.joint, cholesky(posterior[name]))

    def scale_draws(self, posterior: Variables) -> Iterator[tuple[str, str, Array]]:
        """Yield the factor of each scale or correlation, its name, and draws."""
        names, factor = self.names, self.factor.factor
        if not self.pooled:
            return
        if self.design.is_value:
            yield factor, f"sd({on_link(self.design)})", posterior[names.tau]
            return
        of = "" if self._is_of_mean else f"{on_link(self.design)}: "
        labels = [f"{of}{label}" for label in self.factor.coefficients]
        for label, tau in zip(labels, posterior[names.tau].T, strict=True):
            yield factor, f"sd({label})", tau
        if names.Omega in posterior:
            omega = posterior[names.Omega]
            if self.factor.joint is not None:
                labels = _labels_of_all(self.factor.joint)
            for row, column in zip(*np.triu_indices(len(labels), 1), strict=True):
                term = f"cor({labels[row]}, {labels[column]})"
                yield factor, term, omega[:, row, column]

    def stan_data(self, program: ProgramData) -> dict[str, Any]:
        """Return Stan's data of the factor by name."""
        own, form, rows = self.factor, self.form, program.rows
        data: dict[str, Any] = {} if form.integrated == 1 else {"J": self.groups}
        if not self.design.is_value:
            data |= self._data_of_coefficients(program)
        if rows is None:
            data["group"] = own.index + 1
            if own.weights is not None:
                data |= {"M": own.weights.shape[1], "weight": own.weights}
        elif isinstance(rows, CompressedRows) and not self.design.is_value:
            data["group"] = rows.group[self.number] + 1
        return {f"{name}{self.suffix}": value for name, value in data.items()}

    def _data_of_coefficients(self, program: ProgramData) -> dict[str, Any]:
        """Return predictors of the coefficients, and what they vary around."""
        own, form, rows = self.factor, self.form, program.rows
        data: dict[str, Any] = {"Q": len(own.varying)}
        if own.root is not None and not form.integrated:
            data |= own.root.stan_data()
        if self._is_of_mean and self.number in program.scale_units:
            data["tau_unit"] = program.scale_units[self.number]
        if rows is None:
            data["Z"] = own.Z
        elif isinstance(rows, CompressedRows):
            data["Z"] = rows.Z[self.number]
        if self._is_adaptive(program):
            centering = program.centering[self.number]
            data |= centering.data(correlated=form.correlated) | self._data_of_outer()
            data |= self._data_of_ridge(program)
        if form.recentered:
            assert own.uncenter is not None
            predictors = max(len(own.predictors_of), 1)
            data["uncenter"] = np.kron(np.eye(predictors), own.uncenter)
        if not self.pooled:
            return data | {"z_bar": own.z_bar}
        if form.integrated:
            return data
        taken = varying_earlier(self.design, self.number)
        data["mean_index"] = means_of(self.design, own, taken)
        if self._is_adaptive(program) and program.elsewhere:
            left_out = program.elsewhere[self.number]
            data["center_index"] = means_of(self.design, own, left_out)
        if own.U is not None:
            data |= {"P": own.U.shape[1], "U": own.U}
            data["effect_index"] = effects_of(self.design, own)
            if self._is_adaptive(program) and self.design.intercept:
                data["U_bar"] = U_at_x_bar(self.design, own)[None, :]
        return data

    def _data_of_outer(self) -> dict[str, Any]:
        """Return where the groups are in those of the factors that they are within."""
        outer = [self.design.factors[place] for place in self.form.within]
        if not outer:
            return {}
        own = self.factor
        groups = [outer_groups(own, each) for each in outer]
        columns = [shared_columns(own.coefficients, x.coefficients) for x in outer]
        return {"outer": np.stack(groups) + 1, "outer_column": np.stack(columns) + 1}

    def _data_of_ridge(self, program: ProgramData) -> dict[str, Any]:
        """Return how groups and the intercept move along their ridge."""
        ridge = self.ridge(program)
        if ridge is None:
            return {}
        return {"ridge": ridge.direction, "alpha_on_ridge": ridge.shift}

    def ridge(self, program: ProgramData) -> Ridge | None:
        """Return the ridge that groups form with the intercept, if the program asks.

        There is none where they are centered at the intercept.
        """
        if not self._is_of_mean or self.number not in program.structure.on_ridge:
            return None
        own = self.factor
        free = program.elsewhere[self.number] if program.elsewhere else own.varying
        columns = [label == "Intercept" and label in free for label in own.varying]
        return program.centering[self.number].ridge(np.array(columns))

    def prior_draws(
        self, prior: PriorDraws, population: PopulationDraws
    ) -> dict[str, Array]:
        """Draw Stan's variables from their priors, ``(draw, ...)``."""
        if not self.pooled:
            return self._own_coefficients(prior, population)
        end, rng, found = self.suffix, prior.rng, dict[str, Array]()
        alpha, beta = population.alpha, population.beta
        tau = prior.members(f"tau{end}")
        root = self.factor.root
        rows = self.groups if root is None else root.columns
        nu = prior.members(f"nu_u{end}")[:, 0, 0] if self._has_nu else None
        size = (rows, tau.shape[-1])
        u = standardized(self.factor.population, nu, (prior.draws, *size), rng)
        if nu is not None:
            found[f"nu_u{end}"] = nu
        if self._has_rho:
            found[f"rho_u{end}"] = prior.members(f"rho_u{end}")[:, 0, 0]
        if root is not None:
            u = root.times(u, found.get(f"rho_u{end}"))
        if self.factor.joint is not None:
            u = self._drawn_jointly(prior)
        if self.form.has_Omega:
            chol = prior.correlations(f"Omega{end}", self.factor.correlated)
            found[f"Omega{end}"] = chol @ np.swapaxes(chol, 1, 2)
            u = u if self.form.joint else u @ np.swapaxes(chol, 1, 2)
        means = group_means(self.design, self.number, alpha, beta)
        b = means + (u * tau).reshape(*u.shape[:2], beta.shape[1], -1)
        if self.design.is_value:
            values = from_link_scale(self.design.link, b[..., 0, 0])
            return {f"tau{end}": tau[:, 0, 0], f"{self.design.parameter}_j": values}
        return {**found, f"tau{end}": tau[:, 0], f"b{end}": b.reshape(u.shape)}

    def _drawn_jointly(self, prior: PriorDraws) -> Array:
        """Draw deviations of scale 1 that an id correlates, ``(draw, J, Q)``."""
        joint = self.factor.joint
        assert joint is not None
        end, labels = self.suffix_of_correlations, joint.coefficients
        name = f"deviations{end}"
        if (name, self.groups) not in prior.drawn:
            chol = prior.correlations(f"Omega{end}", labels)
            z = prior.rng.standard_normal((prior.draws, self.groups, len(labels)))
            prior.drawn[name, self.groups] = z @ np.swapaxes(chol, 1, 2)
        return prior.drawn[name, self.groups][..., joint.own]

    def _own_coefficients(
        self, prior: PriorDraws, population: PopulationDraws
    ) -> dict[str, Array]:
        """Draw coefficients or values of groups that no population pools."""
        own, design = self.factor, self.design
        if design.is_value:
            values = prior.members(design.parameter, self.groups)[..., 0]
            return {f"{design.parameter}_j": values}
        b = prior.members(f"b{self.suffix}", self.groups).copy()
        by_predictor = b.reshape(*b.shape[:2], population.beta.shape[1], -1)
        if not design.intercept and own.varying[0] == "Intercept":
            # The priors on intercepts are for centered predictors.
            by_predictor[..., 0] -= by_predictor @ own.z_bar
            if not self.has_cutpoints:
                by_predictor[..., 0] -= (population.beta @ design.x_bar)[:, None]
        return {f"b{self.suffix}": b}

    def initial_at(self, draws: GroupDraws, known: InitialValues) -> InitialValues:
        """Add initial values of what programs of any form declare, from one draw."""
        if not self.pooled:
            return known.plus(self._initial_without_pooling(draws, known.population))
        end, own = self.suffix, self.factor
        assert draws.tau is not None
        tau, chol, b = draws.tau[0], draws.chol[0], draws.b[0, :, 0]
        u = draws.deviations(np.arange(self.groups))[0, :, 0]
        if self.design.is_value:
            return known.plus(
                {f"tau{end}": tau.item(), f"z{end}": u[:, 0] / tau.item()}
            )
        chol_omega = chol / tau[:, None]
        if draws.nu is not None:
            known = known.plus({f"nu_u{end}": float(draws.nu[0])})
        rho = _SOME_RHO if draws.rho is None else float(draws.rho[0])
        if self._has_rho:
            known = known.plus({f"rho_u{end}": rho})
        known = known.plus({f"tau{end}": tau, f"b{end}": b})
        if draws.joint is not None:
            return self._initial_jointly(u / tau, chol_omega, draws.joint, known)
        known = known.plus({f"L_Omega{end}": chol_omega})
        if own.uncenter is not None:
            b_c = b - u + np.linalg.solve(own.uncenter, u.T).T
            known = known.plus({f"b_c{end}": b_c})
        if self._is_adaptive(known.program):
            return self._partly_centered(u, tau, chol_omega, known)
        return known.plus({f"z{end}": self._standardized(u, chol, rho=rho)})

    def _initial_jointly(
        self, u: Array, chol_omega: Array, joint: JointDraws, known: InitialValues
    ) -> InitialValues:
        """Add initial values of deviations that an id correlates with others.

        Parameters
        ----------
        u, chol_omega
            Deviations over their scales, and the factor of their correlations.
        joint, known
            All correlations, and the initial values so far, with the standardized
            deviations of the parameters before.
        """
        before = [
            known.standardized[suffix_of(part.number + 1, part.parameter)]
            for part in joint.design.before
        ]
        rows, width = joint.rows[0], u.shape[1]
        v = np.concatenate([np.empty((len(u), 0)), *before], axis=1)
        left = u - v @ rows[:, :-width].T
        z = np.linalg.solve(rows[:, -width:], left.T).T
        known = known.plus({f"z{self.suffix}": z}, standardized={self.suffix: z})
        if self.factor.follows:
            return known
        known = known.plus({f"L_Omega{self.suffix}": joint.L_Omega[0]})
        if not self._is_adaptive(known.program):
            return known
        tau = known.values[f"tau{self.suffix}"]
        return self._partly_centered(u * tau, tau, chol_omega, known)

    def _standardized(
        self,
        u: Array,
        chol: Array,
        errors: Array | None = None,
        rho: float = _SOME_RHO,
    ) -> Array:
        """Return the z of a noncentered program for deviations u, shape ``(J, D * Q)``.

        With a known covariance between groups they are those that are most probable
        if u has errors.

        Parameters
        ----------
        u, chol
            Deviations, and the Cholesky factor of the covariance of a group's.
        errors
            Variances of the errors of u, in its shape.
        rho
            The parameter of the covariance between groups, if there is one.
        """
        z = np.linalg.solve(chol, u.T).T
        root = self.factor.root
        if root is None:
            return np.asarray(z)
        if errors is None:
            share = np.full(u.shape, _ROUNDING)
        else:
            share = errors / np.square(chol).sum(axis=1)
        columns = zip(z.T, share.T, strict=True)
        found = [root.smoothed(own, error, rho) for own, error in columns]
        return np.stack(found, axis=1)

    def _initial_without_pooling(
        self, draws: GroupDraws, population: PopulationDraws
    ) -> dict[str, Any]:
        """Return coefficients, or values, as a program without pooling has them."""
        own, design = draws.b[0, :, 0], self.design
        if design.is_value:
            values = from_link_scale(design.link, own[:, 0])
            return {f"{design.parameter}_j": values}
        at_means = own.copy()
        if self.factor.varying[0] == "Intercept":
            # The priors on intercepts are for centered predictors.
            at_means[:, 0] += own @ self.factor.z_bar
            if not (design.intercept or self.has_cutpoints):
                at_means[:, 0] += population.alpha[0, 0]
        return {f"b_c{self.suffix}": at_means}

    def initial_around(
        self, pilot: PilotEstimate, known: InitialValues, noise: Noise
    ) -> InitialValues:
        """Add initial values, drawn from around the pilot estimate."""
        estimates = pilot.estimates(self.design.parameter)
        if not estimates:
            if self.design.parameter not in pilot.parameters:
                return known
            return known.plus(self._around_zero(noise))
        own, end, program = estimates[self.number], self.suffix, known.program
        known = known.plus(self._nu_around(noise) | self._rho_around(noise))
        tau = own.tau * np.exp(_errors_of_logs(own) * noise(own.tau.shape))
        chol_omega = np.eye(len(tau))
        if self.form.correlated:
            chol_omega = _cholesky_around(own, noise)
        L_Omega = self._of_all(chol_omega)
        known = known.plus({f"tau{end}": tau, f"L_Omega{end}": L_Omega})
        if self.form.integrated:
            signs = noise.rng.choice([-1.0, 1.0], tau.shape)
            tau = signs * (own.tau + _errors_at_zero(own) * noise(tau.shape))
            if self.number in program.scale_units:
                unit = program.scale_units[self.number]
                known = known.plus({f"tau_root{end}": root_of_scale(tau, unit)})
            return known
        if self.factor.root is not None:
            errors = np.einsum("jdd->jd", own.covariance)
            rho = known.values.get(f"rho_u{end}", _SOME_RHO)
            z = self._standardized(own.u, tau[:, None] * chol_omega, errors, rho)
            return known.plus({f"z{end}": z + _SOME_NOISE * noise(z.shape)})
        roots = np.linalg.cholesky(own.covariance)
        u = own.u + np.einsum("jde,je->jd", roots, noise(own.u.shape))
        if self.design.is_value:
            return known.plus(
                {f"tau{end}": tau.item(), f"z{end}": u[:, 0] / tau.item()}
            )
        if self._is_adaptive(program):
            return self._partly_centered(u, tau, chol_omega, known)
        return known.plus(
            {f"z{end}": np.linalg.solve(tau[:, None] * chol_omega, u.T).T}
        )

    def _of_all(self, chol_omega: Array) -> Array:
        """Return the factor of all correlations; those with others are 0."""
        found = np.eye(max(len(self.factor.correlated), len(chol_omega)))
        found[: len(chol_omega), : len(chol_omega)] = chol_omega
        return found

    def metric(self, pilot: PilotEstimate, program: ProgramData) -> dict[str, Array]:
        """Return approximate variances of what programs declare of the factor."""
        estimates = pilot.estimates(self.design.parameter)
        if not estimates:
            is_known = self.design.parameter in pilot.parameters
            return self._metric_without_estimate() if is_known else {}
        own, end = estimates[self.number], self.suffix
        width = len(own.tau)
        pairs = math.comb(len(self.factor.correlated), 2)
        partial = np.full(pairs, _variance_of_partial(own))
        found = {
            f"tau{end}": np.square(_errors_of_logs(own)),
            f"L_Omega{end}": partial,
            f"z{end}": np.maximum(1.0 - own.information, _LEAST_LEFT),
        }
        between = self.factor.root
        if self._has_nu:
            found[f"nu_u{end}"] = np.array(_SPREAD_OF_NU**2)
        if self._has_rho:
            found[f"rho_u{end}"] = np.array(_SPREAD_OF_RHO**2)
        if self._is_adaptive(program) or between is not None:
            rows = self.groups if between is None else between.columns
            found[f"z{end}"] = np.ones((rows, width))
        if self._is_of_mean and self.number in program.scale_units:
            unit = program.scale_units[self.number]
            root = root_of_scale(own.tau, unit)
            slope = unit * (1 + 2 * root**2) / np.sqrt(1 + root**2)
            found[f"tau_root{end}"] = np.square(_errors_at_zero(own) / slope)
        return found

    def _around_zero(self, noise: Noise) -> dict[str, Any]:
        """Draw small deviations of a parameter that is estimated as one number."""
        rows, width = self._shape_of_z
        size = np.sqrt(np.mean(np.square(self.factor.Z), axis=0))
        tau = _SOME_SCALE / np.where(size > 0, size, 1.0)
        values = {
            "tau": tau * np.exp(_LARGEST_SPREAD * noise((width,))),
            "z": _SOME_NOISE * noise((rows, width)),
        }
        if self.form.has_Omega:
            values["L_Omega"] = np.eye(len(self.factor.correlated))
        around = {f"{name}{self.suffix}": value for name, value in values.items()}
        return {**around, **self._nu_around(noise), **self._rho_around(noise)}

    def _rho_around(self, noise: Noise) -> dict[str, float]:
        """Draw the parameter of a covariance, of which little is known."""
        if not self._has_rho:
            return {}
        logit = math.log(_SOME_RHO / (1 - _SOME_RHO)) + float(noise(()))
        return {f"rho_u{self.suffix}": 1 / (1 + math.exp(-logit))}

    def _nu_around(self, noise: Noise) -> dict[str, float]:
        """Draw degrees of freedom of a Student-t population, of which little is known.

        Few, so that no group is taken for an outlier too late.
        """
        if not self._has_nu:
            return {}
        above = math.exp(math.log(_SOME_NU) + _SPREAD_OF_NU * float(noise(())))
        return {f"nu_u{self.suffix}": 1.0 + above}

    def _metric_without_estimate(self) -> dict[str, Array]:
        """Return variances that standardized deviations have in the prior."""
        rows, width = self._shape_of_z
        unknown = _LARGEST_SPREAD**2
        values = {"tau": np.full(width, unknown), "z": np.ones((rows, width))}
        if self.form.has_Omega:
            pairs = math.comb(len(self.factor.correlated), 2)
            values["L_Omega"] = np.full(pairs, unknown)
        if self._has_nu:
            values["nu_u"] = np.array(_SPREAD_OF_NU**2)
        if self._has_rho:
            values["rho_u"] = np.array(_SPREAD_OF_RHO**2)
        return {f"{name}{self.suffix}": value for name, value in values.items()}

    @property
    def _shape_of_z(self) -> tuple[int, int]:
        root = self.factor.root
        rows = self.groups if root is None else root.columns
        return rows, len(self.factor.coefficients)

    @property
    def _has_nu(self) -> bool:
        return self.factor.population == "student_t"

    @property
    def _has_rho(self) -> bool:
        return self.factor.has_rho

    @property
    def _is_of_mean(self) -> bool:
        return self.design.parameter == "mean"

    def _is_adaptive(self, program: ProgramData) -> bool:
        """Whether coefficients are as far centered as the data say."""
        is_able = self._is_of_mean and self.form.has_forms
        return is_able and bool(program.centering)

    def _partly_centered(
        self, u: Array, tau: Array, chol_omega: Array, known: InitialValues
    ) -> InitialValues:
        """Add z of an adaptive program for deviations u, shape ``(J, D * Q)``."""
        program, within = known.program, self.form.within
        mean = group_means(
            self.design,
            self.number,
            known.population.alpha[0],
            known.population.beta[0],
            elsewhere=program.elsewhere[self.number] if program.elsewhere else None,
            at_x_bar=True,
        ).reshape(-1, len(tau))
        center = mean + of_outer_groups(
            self.design, self.number, within, known.coefficients
        )
        chol = chol_omega if self.form.correlated else None
        z = program.centering[self.number].standardized(u, center, tau, chol)
        if ridge := self.ridge(program):
            z, shift = ridge.taken_out_of(z)
            known = self._moved(known, float(shift.sum()))
        if program.decoupling is not None and program.decoupling.slopes:
            z_theta = known.values["z_theta"]
            z = z - program.decoupling.added_to_z(self.number, z_theta, z.shape)
        return known.plus({f"z{self.suffix}": z}, {self.number: mean + u})

    def _moved(self, known: InitialValues, shift: float) -> InitialValues:
        """Move what is sampled in the place of the intercept, or of the cutpoints."""
        if self.has_cutpoints:
            bar = known.values.get("cutpoint_bar", known.values["cutpoint_c"])
            return known.plus({"cutpoint_bar": bar - shift})
        alpha = known.population.alpha + shift
        known = replace(known, population=replace(known.population, alpha=alpha))
        return known.plus({"alpha_bar": alpha.item()})


def _labels_of_all(joint: Joint) -> list[str]:
    """Label coefficients that an id correlates, with their parameters."""
    return [
        label if part.parameter == "mean" else f"{on_link(part)}: {label}"
        for part in joint.parts
        for label in part.coefficients
    ]


def on_link(own: ParameterDesign | Part) -> str:
    """Write a parameter on the scale of its link: ``log sigma``."""
    return own.parameter if own.link == "identity" else f"{own.link} {own.parameter}"


def _cholesky_around(own: GroupEstimate, noise: Noise) -> Array:
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
