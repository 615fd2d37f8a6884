r"""The log posterior density of a model, on the scale on which samplers move.

It is computed from the model as it was stated, in the user's units: priors of the
parameters, densities of the groups' coefficients, and the likelihood of the rows of the
data. Coefficients that are integrated out leave rows that are jointly normal: with
residuals :math:`r`, precisions :math:`W = diag(w / \sigma^2)` and deviations
:math:`u = \Lambda v`, :math:`v \sim N(0, I)`, completing the square [1]_ gives

.. math:: \log p(r) = \sum_n -\tfrac{w_n}{2} \log \sigma_n^2 - \tfrac12 (r' W r
    - c' M^{-1} c + \log |M|), \quad M = I + \Lambda' Z' W Z \Lambda,
    \quad c = \Lambda' Z' W r.

Densities are up to a constant, and differences of them are meant.

References
----------
.. [1] Bates, Mächler, Bolker and Walker (2015). Fitting linear mixed-effects models
   using lme4. Journal of Statistical Software 67(1), section 3.
.. [2] Muirhead (1982). Aspects of Multivariate Statistical Theory, theorem 3.2.14: what
   normal loadings are when they are turned into a triangle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.origins import change_of_origin
from stanpool.data.likelihood import log_likelihood
from stanpool.language.family import FAMILIES
from stanpool.model.density.groups import Groups, Population
from stanpool.model.density.parameters import (
    base_and_place,
    parameters_of,
    priors_of,
)
from stanpool.model.density.priors import (
    log_induced_dirichlet,
    log_lkj,
    log_priors,
)
from stanpool.model.density.rows import DataRows, NormalRows, rows_of

if TYPE_CHECKING:
    from scipy.sparse import csr_array  # type: ignore[import-untyped]

    from stanpool.model.prepared_model import PreparedModel


class LogPosterior:
    """The log posterior density of a model at unconstrained parameters.

    Parameters
    ----------
    model
        The model.
    prior_only
        Whether the outcome is left out.
    told
        The numbers that the program is told, if they are known already. Those that say
        from where and in which units parameters are counted are taken from there.

    Examples
    --------
    >>> from stanpool import Model
    >>> model = Model("y ~ 1", {"y": [1.0, 2.0, 3.0]}, pooling="complete",
    ...               priors={"Intercept": "normal(2, 1)", "sigma": "exponential(1)"})
    >>> density = LogPosterior(model)
    >>> density.names
    ('alpha_c', 'sigma')
    >>> at = density.unconstrain({"alpha_c": 2.0, "sigma": 1.0})
    >>> bool(np.isclose(density(at), -1.0 - 1.0))  # squares over 2, and the prior
    True
    """

    def __init__(
        self,
        model: PreparedModel,
        *,
        prior_only: bool = False,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        self.model, self.prior_only = model, prior_only
        self.told = model.stan_data(prior_only=prior_only) if told is None else told
        self.parameters = parameters_of(model, self.told)
        places = range(len(model.design.factors))
        self._groups = [Groups(model, place, self.told) for place in places]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, in the order of the program."""
        return tuple(each.name for each in self.parameters)

    @cached_property
    def size(self) -> int:
        """How many unconstrained parameters there are."""
        return sum(each.count for each in self.parameters)

    @cached_property
    def rows(self) -> DataRows | NormalRows:
        """The rows that the likelihood is computed from."""
        return rows_of(self.model)

    def unconstrain(self, values: Mapping[str, Any]) -> Array:
        """Return the unconstrained parameters, shape ``(size,)``, of values by name."""
        parts = []
        for each in self.parameters:
            x = np.reshape(np.asarray(values[each.name], dtype=float), each.shape)
            parts.append(each.transform.unconstrain(x))
        return np.concatenate([np.ravel(part) for part in parts])

    def constrain(self, at: Array) -> tuple[dict[str, Array], float]:
        """Return the parameters by name, in Stan's units, and the log Jacobian."""
        values, volume, start = {}, 0.0, 0
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

        Their sizes say how exactly the sum can be known.
        """
        values, volume = self.constrain(np.asarray(at, dtype=float))
        seen = {
            each.name: np.asarray(values[each.name] * each.unit)
            for each in self.parameters
        }
        population = self._population(seen)
        found = [volume, *(own.log_volume_of_roots(seen) for own in self._groups)]
        effects: list[Array] = []
        for own in self._groups:
            if own.is_integrated:
                effects.append(np.zeros(0))
                continue
            deviations, term = own.deviations(seen, population)
            effects.append(deviations)
            found.append(term)
        found += self._log_priors(seen)
        if "log_sigma" in seen:
            found.append(float(values["log_sigma"]))
        if "z_sigma" in seen:
            found.append(float(-0.5 * np.sum(np.square(seen["z_sigma"]))))
        if "scores" in seen:
            found.append(_log_latent(seen["scores"], seen["z_loadings"]))
        if not self.prior_only:
            found += self._log_likelihood(seen, population, effects)
        return found

    def _population(self, seen: Mapping[str, Array]) -> Population:
        """Return the population's part of the linear predictors."""
        design = self.model.design
        beta = np.atleast_2d(seen["beta"].T)
        at_means = np.atleast_1d(seen["alpha_c"]) if "alpha_c" in seen else None
        move = change_of_origin(
            ("Intercept", *design.coefficients), dict(design.origins)
        )
        x_bar = (np.append(1.0, design.x_bar) @ move)[1:]
        alpha = None if at_means is None else at_means - beta @ x_bar
        return Population(at_means, alpha, beta)

    @cached_property
    def _priors(self) -> dict[str, Callable[[Array], Array]]:
        """The log densities of the parameters' priors, by their names.

        Omega and cutpoints that share a Dirichlet are elsewhere.
        """
        found: dict[str, Callable[[Array], Array]] = {}
        names = {*self.names} - {"log_sigma"} | self._derived
        for name in sorted(names):
            base, place = base_and_place(name)
            if base in ("tau_root", "L_Omega"):
                continue
            rows = priors_of(self.model, base, place)
            if rows and rows[0].prior.support != "simplex":
                found[name] = log_priors([row.prior for row in rows])
        return found

    @property
    def _derived(self) -> set[str]:
        """The parameters with priors that programs make of others."""
        found = {own.name("tau") for own in self._groups if own.is_integrated}
        return found | ({"sigma"} if "log_sigma" in self.names else set())

    def _log_priors(self, seen: Mapping[str, Array]) -> list[float]:
        """Return the log densities of all priors."""
        values = {**seen}
        for own in self._groups:
            if own.name("tau_root") in seen:
                values[own.name("tau")] = own.scale(seen)[0]
        if "log_sigma" in seen:
            values["sigma"] = self._sigma(seen)
        found = []
        for name, log_density in self._priors.items():
            x = values[name]
            if name == "beta":
                x = x.ravel(order="F")
            elif name == "sigma_j":
                x = x[:, None]
            found.append(float(np.sum(log_density(np.atleast_1d(x)))))
        for own in self._groups:
            if own.name("L_Omega") in seen:
                (row,) = priors_of(self.model, "Omega", own.place)
                (shape,) = row.prior.arguments
                found.append(log_lkj(shape, seen[own.name("L_Omega")]))
        if "cutpoint_c" in seen and "cutpoint_c" not in self._priors:
            row, *_ = priors_of(self.model, "cutpoint_c", 0)
            found.append(
                log_induced_dirichlet(
                    *row.prior.arguments, seen["cutpoint_c"], self.model.spec.link_name
                )
            )
        return found

    def _sigma(self, seen: Mapping[str, Array]) -> Array:
        """Return the residual scale, in the user's units."""
        if "log_sigma" in seen:
            return np.asarray(np.exp(seen["log_sigma"]) * self.model.scaling.outcome)
        return seen["sigma"]

    def _log_likelihood(
        self, seen: Mapping[str, Array], population: Population, effects: list[Array]
    ) -> list[float]:
        """Return the log likelihood of the rows, in parts."""
        scales = self._scales(seen)
        if isinstance(self.rows, NormalRows):
            return self._of_normal_rows(self.rows, population, effects, scales, seen)
        rows, design = self.rows, self.rows.design
        eta = self._linear_predictor(rows, seen, population, effects)
        if self.model.structure.integrated:
            known = 0.0 if design.se is None else design.se
            own = scales.get("sigma", 0.0)
            variance = np.square(known) + np.square(own) + np.zeros(len(eta))
            left = design.y - eta
            weights = design.weights
            return self._integrated(left, variance, weights, seen)
        parameters = {
            each.name: seen[each.name]
            for each in FAMILIES[rows.spec.family].auxiliary
        } | scales
        if "cutpoint_c" in seen:
            parameters["cutpoint"] = seen["cutpoint_c"]
        each = log_likelihood(rows.spec, design, eta, parameters)
        return [float(np.sum(each[each > 0])), float(np.sum(each[each <= 0]))]

    def _scales(self, seen: Mapping[str, Array]) -> dict[str, Array]:
        """Return the residual scale of each row, or of all, as ``sigma``, if any."""
        if "sigma" not in seen and "sigma_j" not in seen and "log_sigma" not in seen:
            return {}
        residual = self.model.design.residual
        if residual is None:
            return {"sigma": self._sigma(seen)}
        own = seen.get("sigma_j")
        if own is None:
            own = seen["sigma"] * np.exp(seen["tau_sigma"] * seen["z_sigma"])
        if isinstance(self.rows, NormalRows):
            return {"sigma": own}
        return {"sigma": own[residual.index]}

    def _linear_predictor(
        self,
        rows: DataRows,
        seen: Mapping[str, Array],
        population: Population,
        effects: list[Array],
    ) -> Array:
        """Return eta, shape ``(N,)``, or ``(N, D)`` for D of them."""
        eta = rows.X @ population.beta.T
        if population.at_means is not None:
            eta += population.at_means
        width = eta.shape[1]
        for matrix, u in zip(rows.effects, effects, strict=True):
            if u.size:
                of_each = u.reshape(len(u), width, -1)
                for d in range(width):
                    eta[:, d] += matrix @ of_each[:, d].ravel()
        latent = rows.design.latent
        if latent is not None:
            # Those that anchor the rotation come first in Stan.
            loadings = np.empty(seen["z_loadings"].shape)
            loadings[latent.anchors] = seen["z_loadings"]
            product = seen["scores"][latent.scored] * loadings[latent.loaded]
            eta += seen["loading_scale"] * product.sum(axis=1)[:, None]
        if rows.design.offset is not None:
            eta += rows.design.offset[:, None]
        return eta if self.model.spec.is_categorical else eta[:, 0]

    def _of_normal_rows(
        self,
        rows: NormalRows,
        population: Population,
        effects: list[Array],
        scales: Mapping[str, Array],
        seen: Mapping[str, Array],
    ) -> list[float]:
        """Return the log likelihood of rows that stand for more rows."""
        theta = population.beta[0]
        if population.at_means is not None:
            theta = np.append(population.at_means[0] - rows.y_bar, theta)
        left = rows.y - rows.X @ theta
        for matrix, u in zip(rows.effects, effects, strict=True):
            if u.size:
                left -= matrix @ u.ravel()
        own = np.atleast_1d(scales.get("sigma", np.ones(1)))
        zeros = float(-(rows.zeros * np.log(own)).sum()) if scales else 0.0
        variance = np.square(own)[rows.scale]
        return [zeros, *self._integrated(left, variance, None, seen)]

    def _integrated(
        self,
        left: Array,
        variance: Array,
        weights: Array | None,
        seen: Mapping[str, Array],
    ) -> list[float]:
        """Return the log density of rows about their means, in parts.

        Parameters
        ----------
        left, variance
            Residuals and variances of the rows, shape ``(N,)``; coefficients that are
            integrated out are in the residuals.
        weights
            How many times each row counts.
        seen
            The parameters.
        """
        from scipy.sparse import block_diag, eye_array, hstack, kron
        from scipy.sparse.linalg import splu

        counts = np.ones(len(left)) if weights is None else weights
        precision = counts / variance
        own = [
            float(-0.5 * np.sum(counts * np.log(variance))),
            float(-0.5 * np.sum(precision * np.square(left))),
        ]
        chosen = [each for each in self._groups if each.is_integrated]
        if not chosen:
            return own
        Z: csr_array = hstack([self.rows.effects[e.place] for e in chosen], format="csr")
        roots = []
        for each in chosen:
            tau, chol = each.scale(seen)
            roots.append(kron(eye_array(len(each.factor.labels)), tau[:, None] * chol))
        root = block_diag(roots, format="csr")
        weighted = Z.T.multiply(precision).tocsr()
        M = root.T @ (weighted @ Z) @ root + eye_array(root.shape[0])
        c = root.T @ (weighted @ left)
        factors = splu(
            M.tocsc(),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
        log_determinant = np.log(np.abs(factors.U.diagonal())).sum()
        own.append(float(0.5 * (c @ factors.solve(c))))
        own.append(float(-0.5 * log_determinant))
        return own


def _log_latent(scores: Array, loadings: Array) -> float:
    """Return the log density of normal scores, and of normal loadings in a triangle.

    The rotation that turns R columns of normal loadings into a triangle leaves normals
    below the diagonal, and on it a chi with R - r degrees of freedom, r from 0 [2]_.
    """
    rank = loadings.shape[1]
    powers = rank - 1 - np.arange(rank)
    total = -0.5 * (np.sum(np.square(scores)) + np.sum(np.square(loadings)))
    return float(total + powers @ np.log(np.diag(loadings)))
