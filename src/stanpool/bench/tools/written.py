"""A model as a person would write it by hand, in arrays, for PyMC and NumPyro.

Of the population's predictors those that no group has are centered at their means. The
first factor with a coefficient varies around the population's, which makes it
hierarchically centered where it is not standardised; others vary around zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.api.facade import Model
from stanpool.base.arrays import Array, Indices
from stanpool.bench.benchmarks.benchmark import Benchmark
from stanpool.bench.tools.tool import Drawn
from stanpool.model.terms.names import GroupNames

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Factor:
    """A grouping factor.

    Attributes
    ----------
    names
        The names of its parameters in stanpool's posterior.
    coefficients
        Which vary.
    groups
        How many groups there are.
    index, weights
        The group of each row, shape ``(N,)``; or of each of its members and what that
        counts, ``(N, members)``.
    Z
        The predictors of the coefficients, shape ``(N, Q)``.
    is_correlated
        Whether the coefficients are.
    around
        Of each coefficient what it varies around: ``"Intercept"``, a predictor or "".
    """

    names: GroupNames
    coefficients: tuple[str, ...]
    groups: int
    index: Indices
    weights: Array | None
    Z: Array
    is_correlated: bool
    around: tuple[str, ...]

    def effect(self, u: Any) -> Any:
        """Return what coefficients of groups, ``(J, Q)``, do to each row."""
        if self.weights is None:
            return (u[self.index] * self.Z).sum(axis=1)
        members = zip(self.index.T, self.weights.T, strict=True)
        return sum((u[at] * self.Z).sum(axis=1) * w for at, w in members)


@dataclass(frozen=True, eq=False)
class Written:
    """A model.

    Attributes
    ----------
    plain
        The same model of stanpool's.
    X
        The predictors that no group has, centered, and which ones they are.
    own
        The places of these among all predictors.
    factors
        The grouping factors.
    """

    plain: Model
    X: Array
    own: list[int]
    factors: tuple[Factor, ...]

    @classmethod
    def of(cls, benchmark: Benchmark, data: pd.DataFrame) -> Written:
        """Write the model of a benchmark."""
        plain = plain_model(benchmark, data)
        design = plain.design
        has_intercept = not design.categories
        free = {*design.coefficients, *(["Intercept"] if has_intercept else [])}
        factors = []
        for each in design.factors:
            around = tuple(name if name in free else "" for name in each.coefficients)
            free -= set(around)
            correlated = len(around) > 1 and not each.uncorrelated
            factors.append(
                Factor(
                    GroupNames.of(each.factor),
                    tuple(each.coefficients),
                    len(each.labels),
                    each.index,
                    each.weights,
                    each.Z,
                    correlated,
                    around,
                )
            )
        own = [k for k, name in enumerate(design.coefficients) if name in free]
        X = (design.X - design.x_bar)[:, own]
        return cls(plain, X, own, tuple(factors))

    @property
    def slopes_elsewhere(self) -> list[int]:
        """The places of predictors whose coefficients vary by group."""
        return [k for k in range(len(self.plain.design.x_bar)) if k not in self.own]

    def prior(self, name: str) -> tuple[str, tuple[float, ...]]:
        """Return the distribution of a parameter, and its arguments."""
        known = self.plain.priors[name].prior
        return known.distribution, known.arguments

    def beta_scales(self) -> Array:
        """Return the scales of the priors on coefficients: all are normal around 0."""
        return np.array(beta_scales(self.plain, self.plain.design.coefficients))

    def tau_rates(self, factor: Factor) -> Array:
        """Return the rates of the exponential priors on the scales of a factor."""
        names = [f"{factor.names.tau}[{name}]" for name in factor.coefficients]
        return np.array([self.prior(name)[1][0] for name in names])

    def around(self, factor: Factor, alpha: Any, beta: Any) -> list[Any]:
        """Return what each coefficient of a factor varies around."""
        population = self.plain.design.coefficients
        return [
            alpha
            if name == "Intercept"
            else beta[population.index(name)]
            if name
            else 0.0
            for name in factor.around
        ]

    def quantities(self, draws: Mapping[str, Array]) -> dict[str, Array]:
        """Name draws as stanpool does.

        Parameters
        ----------
        draws
            Of ``alpha_c`` (where the predictors of ``X`` are at their means and others
            are 0), ``beta``, and of each factor ``tau_``, ``u_`` (deviations) and
            ``corr_`` with its name, besides the family's parameters.
        """
        design = self.plain.design
        found: dict[str, Array] = {}
        if "beta" in draws:
            found["beta"] = draws["beta"]
        if "alpha_c" in draws:
            found["Intercept"] = draws["alpha_c"]
            if self.own:
                shift = draws["beta"][..., self.own] @ design.x_bar[self.own]
                found["Intercept"] = found["Intercept"] - shift
        for factor in self.factors:
            names = factor.names
            found[names.tau] = draws[f"tau_{names.group}"]
            if factor.is_correlated:
                found[names.Omega] = draws[f"corr_{names.group}"]
            found[names.b] = draws[f"u_{names.group}"] + means(
                found, factor.coefficients, design.coefficients
            )
        others = ("sigma", "phi", "cutpoint")
        found |= {name: draws[name] for name in others if name in draws}
        return found


def plain_model(benchmark: Benchmark, data: pd.DataFrame) -> Model:
    """State the model as it is, one row of the design for each row of the data."""
    return Model(
        benchmark.formula,
        data,
        family=benchmark.family,
        parameterization="noncentered",
        compress=False,
    )


def beta_scales(plain: Model, coefficients: Sequence[str]) -> list[float]:
    """Return the scales of the priors on coefficients: all are normal around 0."""
    priors = [plain.priors[f"beta[{name}]"].prior for name in coefficients]
    return [prior.arguments[1] for prior in priors]


def means(
    found: Mapping[str, Array], varying: Sequence[str], population: Sequence[str]
) -> Any:
    """Return the population means of varying coefficients, ``(chain, draw, 1, Q)``."""
    means = [
        found["Intercept"]
        if name == "Intercept" and "Intercept" in found
        else found["beta"][..., list(population).index(name)]
        if name in population
        else None
        for name in varying
    ]
    shape = next(iter(found.values())).shape[:2]
    filled = [np.zeros(shape) if mean is None else mean for mean in means]
    return np.stack(filled, axis=2)[:, :, None, :]


Build = Callable[[Benchmark, Any], Any]


def quantities(built: Any, drawn: Drawn) -> dict[str, Array]:
    """Return the quantities of stanpool's posterior of a model that was written."""
    draws = {name: values.to_numpy() for name, values in drawn.draws.items()}
    written: Written = built.written
    return written.quantities(draws)
