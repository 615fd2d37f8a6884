"""The log posterior density of a model, on the scale on which samplers move.

It is computed from the model as it was stated, in the user's units: priors of the
parameters, densities of the groups' coefficients, and the likelihood of the rows of the
data. It is up to a constant, and differences of it are meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.centers import centering_matrix
from stanpool.density.likelihood import Likelihood
from stanpool.density.parameters import (
    ESTIMATED,
    base_and_place,
    constants_of,
    parameters_of,
    priors_of,
)
from stanpool.density.priors import prior_of
from stanpool.density.rows import rows_of
from stanpool.density.terms.factors import (
    log_density_of_factors,
    log_density_of_tensor,
    tensor_of,
    with_scores,
)
from stanpool.density.terms.formulas import (
    Formula,
    formula_of,
    log_density_of_smooths,
    with_smooths,
)
from stanpool.density.terms.groups import Groups, Population, off_ridges

if TYPE_CHECKING:
    from stanpool.model.prepared_model import PreparedModel


class LogPosterior:
    """The log posterior density of a model at unconstrained parameters.

    Parameters
    ----------
    model
        The model.
    prior_only
        Whether the outcome is left out.
    data
        The data dictionary of its program, if it is known already. The numbers that say
        from where and in which units parameters are counted are taken from there.

    Examples
    --------
    >>> from stanpool import Model
    >>> model = Model("y ~ 1", {"y": [1.0, 2.0, 3.0]}, pooling="complete",
    ...               priors={"Intercept": "normal(2, 1)", "sigma": "exponential(1)"})
    >>> density = LogPosterior(model)
    >>> density.names
    ('alpha_c', 'beta', 'sigma')
    >>> points = ({"alpha_c": a, "beta": [], "sigma": 1.0} for a in (2, 4))
    >>> near, far = map(density.unconstrain, points)
    >>> round(density(near) - density(far), 9)  # by the prior, and three rows
    8.0
    """

    def __init__(
        self,
        model: PreparedModel,
        *,
        prior_only: bool = False,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.prior_only = model, prior_only
        if data is None:
            data = model.stan_data(prior_only=prior_only)
        self.data, self.parameters = data, parameters_of(model, data)
        places = range(len(model.design.factors))
        self._groups = [Groups(model, place, data) for place in places]
        self._formulas = tuple(map(Formula, model.design.formulas))
        self._constants = constants_of(model)

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in the order of the program."""
        return tuple(each.name for each in self.parameters)

    @cached_property
    def size(self) -> int:
        """How many unconstrained parameters there are."""
        return sum(each.count for each in self.parameters)

    @cached_property
    def likelihood(self) -> Likelihood:
        """The likelihood, with the rows that it is computed from."""
        return Likelihood(rows_of(self.model), self._groups, self._formulas)

    def unconstrain(self, values: Mapping[str, Any]) -> Array:
        """Return the unconstrained parameters, shape ``(size,)``.

        Parameters
        ----------
        values
            The parameters by name, in Stan's units.
        """
        parts = []
        for each in self.parameters:
            x = np.reshape(np.asarray(values[each.name], dtype=float), each.shape)
            parts.append(each.transform.unconstrain(x))
        return np.concatenate([np.ravel(part) for part in parts])

    def constrain(self, at: Array) -> tuple[dict[str, Array], float]:
        """Return the parameters by name, in Stan's units, and the log Jacobian."""
        values, volume, start = dict[str, Array](), 0.0, 0
        for each in self.parameters:
            own = at[start : start + each.count]
            values[each.name], part = each.transform.constrain(own, each.shape)
            volume, start = volume + part, start + each.count
        return values, volume

    def __call__(self, at: Array) -> float:
        """Return the log density at unconstrained parameters, up to a constant."""
        return float(sum(self.terms(at)))

    def terms(self, at: Array) -> list[float]:
        """Return what the log density is the sum of.

        The sizes of the terms say how exactly their sum can be known.
        """
        declared, volume = self.constrain(np.asarray(at, dtype=float))
        values = self._derived(declared)
        population = self._population(values)
        deviations: list[Array | None] = [None] * len(self._groups)
        found = [volume]
        for place in self.model.structure.outer_first:
            own = self._groups[place]
            outer = [
                (self._groups[x], u)
                for x in own.within
                if (u := deviations[x]) is not None
            ]
            u, term = own.deviations(values, population, outer)
            deviations[place] = u
            found.append(term)
            if own.factor.joint is not None and u is not None:
                values[own.name("z")] = own.standardized(values, u)
        found += [prior(values[name]) for name, prior in self._priors.items()]
        if "log_sigma" in declared:  # has the prior of sigma
            found.append(float(declared["log_sigma"]))
        found += [each.log_density(values) for each in self._formulas]
        if self.model.structure.residual == "pooled":
            found.append(float(-0.5 * np.sum(np.square(values["z_sigma"]))))
        found += [
            log_density_of_smooths(each, values, self.data)
            for each in self.model.design.predictors
        ]
        if "beta_z" in values:
            found.append(_log_horseshoe(values, self._horseshoe[0, 1]))
        if "z_x" in values:
            found.append(float(-0.5 * np.sum(np.square(values["z_x"]))))
        if "scores" in values:
            found.append(log_density_of_factors(self.model.design, values))
        tensor = tensor_of(self.model.design)
        if tensor is not None:
            found.append(log_density_of_tensor(tensor, values))
        if not self.prior_only:
            found += self.likelihood.terms(values, population, deviations)
        return found

    def _derived(self, declared: Mapping[str, Array]) -> dict[str, Array]:
        """Return the parameters in the user's units, and those with priors of theirs.

        Scales are such where a program has their roots, or the logarithm of sigma.
        """
        values = {
            each.name: np.asarray(declared[each.name] * each.unit)
            for each in self.parameters
        }
        if "beta_z" in values:
            own_scales = _horseshoe_scales(values, self._horseshoe)
            values["beta"] = values["beta_z"] * own_scales
        for name, constants in self._constants.items():
            estimated = values.get(f"{name}{ESTIMATED}")
            values[name] = constants.with_estimated(estimated)
        for own in self.model.design.predictors:
            unit = self.model.scaling.outcome if own.parameter == "mean" else 1.0
            values |= with_smooths(own, values, self.data, unit)
        if "z_theta" in declared:
            values |= self._population_apart(declared["z_theta"])
        for factor in self._groups:
            if factor.name("tau_root") in values:
                values[factor.name("tau")] = factor.scales(values)[0]
        values |= off_ridges(self._groups, values)
        tensor = tensor_of(self.model.design)
        if tensor is not None:
            values |= with_scores(tensor, values)
        if "log_sigma" in values:
            unit = self.model.scaling.outcome
            values["sigma"] = np.asarray(np.exp(values["log_sigma"]) * unit)
        return values

    def _population_apart(self, z_theta: Array) -> dict[str, Array]:
        """Return the population's coefficients that are sampled apart from groups'."""
        scaling, has_intercept = self.model.scaling, self.model.design.intercept
        theta = self.data["theta_pilot"] + self.data["theta_root"] @ z_theta
        theta = np.asarray(theta * scaling.outcome)
        if not has_intercept:
            return {"beta": theta / scaling.population}
        return {"alpha_c": theta[0], "beta": theta[1:] / scaling.population}

    def _population(self, values: Mapping[str, Array]) -> Population:
        """Return the population's part of the linear predictors."""
        design = self.model.design
        beta = np.atleast_2d(values["beta"].T)
        if "alpha_c" not in values:
            return Population(None, None, None, beta)
        at_means = np.atleast_1d(values["alpha_c"])
        labels = ("Intercept", *design.coefficients)
        move = centering_matrix(labels, dict(design.centers))
        x_bar = (np.append(1.0, design.x_bar) @ move)[1:]
        sampled = np.atleast_1d(values.get("alpha_bar", at_means))
        return Population(at_means, at_means - beta @ x_bar, sampled, beta)

    @cached_property
    def _horseshoe(self) -> Array:
        """Global scales, degrees of freedom and slab scales, shape ``(K, 3)``."""
        rows = priors_of(self.model, "beta", 0)
        return np.array([row.prior.arguments for row in rows])

    @cached_property
    def _priors(self) -> dict[str, Callable[[Array], float]]:
        """The log densities of parameters under their priors, by name."""
        names = {name.removesuffix(ESTIMATED) for name in self.names}
        names |= {name.replace("tau_root", "tau") for name in names}
        names |= {name.replace("_bar", "_c") for name in names}
        names |= {"factor_scale"} if "product_rms" in names else set()
        names |= {"sigma"} if "log_sigma" in names else set()
        names |= {"alpha_c", "beta"} if "z_theta" in names else set()
        found = {}
        for name in sorted(names):
            base, place = base_and_place(name)
            rows = priors_of(self.model, base, place)
            if rows:
                of_formula = formula_of(self.model.design, base)
                base = of_formula[0] if of_formula else base
                found[name] = prior_of(base, rows, self.model.spec.link_name)
        return found


def _horseshoe_scales(values: Mapping[str, Array], prior: Array) -> Array:
    """Return the standard deviations of coefficients with a horseshoe prior [1]_.

    That of a normal whose precision is the sum of those of two: one with the product
    of the global scales and the local one, and the slab's.

    References
    ----------
    .. [1] Piironen and Vehtari (2017). Sparsity information and regularization in the
       horseshoe and other shrinkage priors. Electronic Journal of Statistics 11(2),
       5018-5051, equations (2.8) and (2.9).
    """
    wide = values["beta_global"] * prior[:, 0] * values["beta_local"]
    precision = wide**-2.0 + 1.0 / (values["beta_slab"] * prior[:, 2] ** 2.0)
    return np.asarray(precision**-0.5)


def _log_horseshoe(values: Mapping[str, Array], df: float) -> float:
    """Return the log density of what a horseshoe prior is made of."""
    slab = values["beta_slab"]
    cauchy = np.log1p(np.square([*values["beta_local"], values["beta_global"]]))
    of_slab = -(0.5 * df + 1.0) * np.log(slab) - 0.5 * df / slab
    squares = np.square(values["beta_z"]).sum()
    return float(-0.5 * squares - cauchy.sum() + of_slab)
