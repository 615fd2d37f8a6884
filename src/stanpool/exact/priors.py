"""The priors of an exact sampler: those of the model, or flat ones instead.

References
----------
.. [1] Gelman (2006). Prior distributions for variance parameters in hierarchical
   models. Bayesian Analysis 1(3), 515-533: flat on ``tau`` needs three groups, flat on
   ``tau^2`` four.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.language.model_spec import as_names
from stanpool.language.prior import Prior

if TYPE_CHECKING:
    from stanpool.api.facade import Model


@dataclass(frozen=True)
class PowerPrior:
    """The improper prior ``p(scale) ~ scale^exponent``.

    0 is flat on the scale, 1 on its square, -1 on its logarithm.
    """

    exponent: int


ScalePrior = Prior | PowerPrior

_FLAT: Mapping[str, PowerPrior | None] = {
    "Intercept": None,
    "beta": None,
    "tau": PowerPrior(0),
    "tau^2": PowerPrior(1),
    "sigma": PowerPrior(0),
    "sigma^2": PowerPrior(1),
    "log sigma": PowerPrior(-1),
}


@dataclass(frozen=True, eq=False)
class NormalPrior:
    """Independent normal priors, of shape ``(K,)``; with precision 0 they are flat."""

    mean: Array
    precision: Array


@dataclass(frozen=True, eq=False)
class Priors:
    """What an exact sampler needs of a model's priors.

    Attributes
    ----------
    intercept, beta
        The priors on the intercept (of centered predictors, if they are centered),
        shape ``(1,)``, and on the coefficients, ``(K,)``.
    tau, sigma
        The priors on the scales; ``sigma`` is None if it is known.
    """

    intercept: NormalPrior
    beta: NormalPrior
    tau: ScalePrior
    sigma: ScalePrior | None


def has_varying_intercept_only(model: Model) -> bool:
    """Whether the intercept, and nothing else, varies over one ordinary factor."""
    design = model.design
    return (
        design.intercept
        and len(design.factors) == 1
        and design.varying == ("Intercept",)
        and design.factors[0].is_integrable
        and design.residual is None
        and not (design.special or design.smooths)
    )


def resolve(model: Model, flat: Collection[str]) -> Priors:
    """Return the model's priors, with flat ones for the parameters in ``flat``.

    A prior that is flat in the model is flat here too, on the scale itself.

    Parameters
    ----------
    model
        A partially pooled model with a varying intercept.
    flat
        Any of ``"Intercept"``, ``"beta"``, ``"tau"`` or ``"tau^2"``, and ``"sigma"``,
        ``"sigma^2"`` or ``"log sigma"``.

    Raises
    ------
    SpecError
        If a name is unknown, a scale is named twice, or a prior on a coefficient
        is not normal.
    """
    known = [name for name in _FLAT if model.spec.se is None or "sigma" not in name]
    for name in as_names("flat", flat):
        if name not in known:
            raise SpecError(
                f"flat: {quote(name)} is not one of {quote_list(known, limit=10)}."
                + suggestion(str(name), known)
            )
    flat = [*flat, *_flat_in(model, flat)]
    priors = Priors(
        intercept=normal_prior(model, "Intercept", flat),
        beta=normal_prior(model, "beta", flat),
        tau=scale_prior(model, "tau", flat),
        sigma=None if model.spec.se is not None else scale_prior(model, "sigma", flat),
    )
    _refuse_improper(model, priors, flat)
    return priors


def _flat_in(model: Model, flat: Collection[str]) -> list[str]:
    """Name the classes whose prior is flat in the model and that ``flat`` omits."""
    said = {name.split()[-1].split("^")[0] for name in flat}
    given: dict[str, set[bool]] = {}
    for row in model.priors:
        is_flat = row.prior.distribution == "flat"
        given.setdefault(row.parameter_class, set()).add(is_flat)
    return [name for name in _FLAT if name not in said and given.get(name) == {True}]


def _refuse_improper(model: Model, priors: Priors, flat: Collection[str]) -> None:
    """Refuse a flat prior on a scale if there are too few groups or rows for it.

    If L coefficients of the mean have flat priors as well, the posterior falls as
    ``scale^(exponent + L - count)``, and it must fall faster than ``1 / scale``.
    """
    design = model.design
    U, groups = design.factors[0].U, len(design.group_labels)
    of_groups = 0 if U is None else U.shape[1]
    of_rows = len(design.coefficients)
    problem = None
    for prior, predictors, count, what in (
        (priors.tau, of_groups, groups, "groups"),
        (priors.sigma, of_rows, design.rows, "rows"),
    ):
        if isinstance(prior, PowerPrior):
            means = ("Intercept" in flat) + predictors * ("beta" in flat)
            needed = prior.exponent + means + 2
            if count < needed:
                problem = f"{count} {what}, fewer than {needed}"
    if problem is not None:
        raise SpecError(
            f"flat={quote(list(flat))} with {problem}: the posterior cannot be "
            "normalized. Keep the model's priors on scales."
        )


def scale_prior(model: Model, scale: str, flat: Collection[str] = ()) -> ScalePrior:
    """Return the prior in force on a scale."""
    named = [_FLAT[name] for name in flat if name.split()[-1].split("^")[0] == scale]
    if len(named) > 1:
        raise SpecError(f"flat={quote(list(flat))} names {scale} more than once.")
    if named and named[0] is not None:
        return named[0]
    row = next(row for row in model.priors if row.parameter_class == scale)
    prior = row.prior.canonical
    if prior.distribution not in _LOG_DENSITIES or prior.is_cut:
        raise SpecError(
            f"the prior on {row.parameter} is {row.prior}; exact samplers can "
            f"use {quote_list(_LOG_DENSITIES, limit=10)} on a scale, or "
            f"flat=[{scale!r}]."
        )
    return prior


def normal_prior(model: Model, name: str, flat: Collection[str] = ()) -> NormalPrior:
    """Return the normal priors on a class of coefficients."""
    rows = [row for row in model.priors if row.parameter_class == name]
    if name in flat:
        return NormalPrior(np.zeros(len(rows)), np.zeros(len(rows)))
    for row in rows:
        if row.prior.distribution != "normal" or row.prior.is_cut:
            raise SpecError(
                f"the prior on {row.parameter} is {row.prior}; exact samplers need a "
                f"normal one, or flat=[{name!r}]."
            )
    numbers = np.array([row.prior.arguments for row in rows]).reshape(-1, 2)
    return NormalPrior(numbers[:, 0], numbers[:, 1] ** -2.0)


def log_prior(prior: ScalePrior, scale: Array) -> Array:
    """Return the log density of a prior on positive scales, up to a constant.

    Examples
    --------
    >>> log_prior(Prior.parse("exponential(2)"), np.array([1.0, 3.0]))
    array([-2., -6.])
    """
    if isinstance(prior, PowerPrior):
        return prior.exponent * np.log(scale)
    return np.asarray(_LOG_DENSITIES[prior.distribution](scale, *prior.arguments))


_LOG_DENSITIES: Mapping[str, Callable[..., Array]] = {
    "normal": lambda x, location, scale: -0.5 * ((x - location) / scale) ** 2,
    "student_t": lambda x, df, location, scale: (
        -(df + 1) / 2 * np.log1p(((x - location) / scale) ** 2 / df)
    ),
    "cauchy": lambda x, location, scale: -np.log1p(((x - location) / scale) ** 2),
    "exponential": lambda x, rate: -rate * x,
    "gamma": lambda x, shape, rate: (shape - 1) * np.log(x) - rate * x,
    "inv_gamma": lambda x, shape, scale: -(shape + 1) * np.log(x) - scale / x,
    "sqrt_inv_gamma": lambda x, shape, scale: (
        -(2 * shape + 1) * np.log(x) - scale / x**2
    ),
    "lognormal": lambda x, location, scale: (
        -np.log(x) - 0.5 * ((np.log(x) - location) / scale) ** 2
    ),
    "uniform": lambda x, lower, upper: np.where(
        (x < lower) | (x > upper), -np.inf, 0.0
    ),
}


def tail_order(prior: ScalePrior) -> float:
    """Return ``k`` where the prior falls as ``scale^-k``; infinite if it falls faster.

    Examples
    --------
    >>> tail_order(Prior.parse("cauchy(0, 5)")), tail_order(PowerPrior(1))
    (2.0, -1.0)
    """
    if isinstance(prior, PowerPrior):
        return -float(prior.exponent)
    at = prior.named_arguments
    match prior.distribution:
        case "cauchy":
            return 2.0
        case "student_t":
            return at["df"] + 1
        case "inv_gamma":
            return at["shape"] + 1
        case "sqrt_inv_gamma":
            return 2 * at["shape"] + 1
    return np.inf
