"""How sensitive a posterior is to the priors, and to the data.

The priors or the likelihood are raised to a power near 1, by weighting the draws, and
the change of the posterior of each quantity measures its sensitivity. Only the priors
on population parameters are scaled, since the distribution of groups given these is
part of the model.

References
----------
.. [1] Kallioinen, Paananen, Bürkner and Vehtari (2024). Detecting and diagnosing prior
   and likelihood sensitivity with power-scaling. Statistics and Computing 34, 57.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError
from stanpool.data.design.predictors.uncertain import UncertainDesign
from stanpool.families.functions import LINKS
from stanpool.inference.estimates.summary import population_names
from stanpool.inference.prediction.predict import log_lik_chunks
from stanpool.model.priors.distributions import distribution_of
from stanpool.model.terms.names import GroupNames
from stanpool.model.terms.special.uncertain import UncertainDraws
from stanpool.posterior import arviz
from stanpool.posterior.coefficients import Coefficients, coefficients, flat
from stanpool.posterior.recenter import center_fit
from stanpool.posterior.scalars import scalars

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.model.fit_result import FitResult
    from stanpool.model.priors.in_force import PriorRow

SENSITIVE = 0.05

_WITHOUT_DENSITY = ("flat", "uniform", "constant", "horseshoe")


def prior_sensitivity(fit: FitResult) -> pd.DataFrame:
    """Measure how sensitive each population parameter is to the priors and the data.

    Parameters
    ----------
    fit
        A fit.

    Returns
    -------
    pandas.DataFrame
        The rows are those of ``summary`` without the groups. ``prior`` and
        ``likelihood`` are the changes of the posterior for each doubling of the power,
        as a cumulative Jensen-Shannon distance; above 0.05 it is sensitive. ``finding``
        is ``"prior and data in conflict"`` if it is sensitive to both, ``"strong prior
        or weak data"`` if only to the prior, and otherwise empty.

    Raises
    ------
    SpecError
        If the draws are from the prior.

    References
    ----------
    .. [1] Kallioinen et al. (2024), section 3.4 and table 1.
    """
    import pandas as pd

    if fit.prior_only:
        raise SpecError(
            "the draws are from the prior, so there is no posterior whose sensitivity "
            "could be measured. Fit with prior_only=False."
        )
    posterior = fit.posterior[population_names(fit)]
    total = _log_likelihood(fit)
    labels: list[str] = []
    draws: list[Array] = []
    for each in scalars(posterior):
        labels += each.labels
        draws.append(each.draws)
    values = np.concatenate(draws, axis=2)
    moved = {
        name: arviz.power_scaling(values, log)
        for name, log in (("prior", log_prior(fit)), ("likelihood", total))
    }
    table = pd.DataFrame(moved, index=labels)
    by_prior, by_data = table["prior"] > SENSITIVE, table["likelihood"] > SENSITIVE
    table["finding"] = np.select(
        [by_prior & by_data, by_prior],
        ["prior and data in conflict", "strong prior or weak data"],
        "",
    )
    return table


def log_prior(fit: FitResult) -> Array:
    """Return the log density of the priors at each draw.

    The constants of flat, uniform, correlation and half priors are left out, and so
    is a horseshoe, whose power has another shape.

    Parameters
    ----------
    fit
        A fit.

    Returns
    -------
    numpy.ndarray
        Shape ``(chain, draw)``.
    """
    fit = center_fit(fit)  # which priors refer to
    posterior = fit.posterior
    found = coefficients(fit.model, posterior)
    blocks: dict[str, list[PriorRow]] = {}
    for row in fit.model.priors:
        blocks.setdefault(row.parameter_class, []).append(row)
    total: Any = np.zeros(len(found.alpha))
    for block, rows in blocks.items():
        if block.startswith("Omega"):
            total = total + _log_correlations(fit, block, rows[0])
            continue
        values = _values(fit, found, block)
        if rows[0].prior.distribution == "dirichlet":
            below = LINKS[fit.model.spec.link_name].inverse(values[..., 0])
            shares = np.diff(below, axis=1, prepend=0.0, append=1.0)
            (concentration,) = rows[0].prior.arguments
            total = total + (concentration - 1) * np.log(shares).sum(axis=1)
            continue
        for k, row in enumerate(rows):
            prior = row.prior.canonical
            if prior.distribution not in _WITHOUT_DENSITY:
                density = distribution_of(row).log_density(values[:, k])
                total = total + density.sum(axis=1)
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    return np.asarray(total).reshape(shape)


def _values(fit: FitResult, found: Coefficients, block: str) -> Array:
    """Return the parameters that have priors of a class, ``(S, members, groups)``."""
    posterior, design = fit.posterior, fit.model.design
    draws = len(found.alpha)
    shift = found.beta @ design.x_bar
    if block == "beta_factors":  # one factor after another
        values = np.swapaxes(flat(posterior[block]), 1, 2)
        return values.reshape(draws, -1, 1)
    if re.match(
        r"(tau_s|factor_scale|lengthscale|steps|mean_x|sd_x|beta_x)(_|$)", block
    ):
        return flat(posterior[block])[..., None]
    of_formula = _of_formula(fit, block)
    if of_formula is not None:
        return of_formula
    base, _, number = block.rpartition("_") if block[-1].isdigit() else (block, "", "1")
    if base == "Intercept":
        return np.asarray(found.alpha + shift)[..., None]
    if base == "beta":
        return found.beta.reshape(draws, -1, 1)
    if base == "cutpoint":
        return np.asarray(flat(posterior["cutpoint"]) - shift)[..., None]
    if base == "tau":
        names = GroupNames.of(design.factors[int(number) - 1].factor)
        return flat(posterior[names.tau])[..., None]
    if base == "nu_u":
        names = GroupNames.of(design.factors[int(number) - 1].factor)
        return flat(posterior[names.nu])[:, None, None]
    if base == "rho_u":
        names = GroupNames.of(design.factors[int(number) - 1].factor)
        return flat(posterior[names.rho])[:, None, None]
    if base == "b":
        own = found.factors[0].b.copy()
        factor = design.factors[0]
        if not design.intercept and factor.varying[0] == "Intercept":
            # The priors on intercepts are for centered predictors.
            own[..., 0] += found.factors[0].b @ factor.z_bar
            if "cutpoint" not in posterior:
                own[..., 0] += shift[:, None]
        return np.moveaxis(own.reshape(draws, own.shape[1], -1), 1, 2)
    for each in (own for own in design.parameters if own.is_value):
        names = GroupNames.of(each.factors[0].factor, each.parameter)
        if base == each.parameter and base not in posterior:
            return flat(posterior[names.value])[:, None]
        if base == f"tau_{each.parameter}":
            return flat(posterior[names.tau])[:, None, None]
    return flat(posterior[base])[:, None, None]


def _of_formula(fit: FitResult, block: str) -> Array | None:
    """Return the same of a parameter with a formula, if the class is of one."""
    for own in fit.model.design.formulas:
        match = re.fullmatch(rf"(\w+?)_{own.parameter}(?:_(\d+))?", block)
        if match is None:
            continue
        if match[1] == "tau":
            factor = own.factors[int(match[2] or 1) - 1].factor
            names = GroupNames.of(factor, own.parameter)
            return flat(fit.posterior[names.tau])[..., None]
        if match[1] == "nu_u":
            factor = own.factors[int(match[2] or 1) - 1].factor
            names = GroupNames.of(factor, own.parameter)
            return flat(fit.posterior[names.nu])[:, None, None]
        if match[1] == "rho_u":
            factor = own.factors[int(match[2] or 1) - 1].factor
            names = GroupNames.of(factor, own.parameter)
            return flat(fit.posterior[names.rho])[:, None, None]
        found = coefficients(fit.model, fit.posterior, own.parameter)
        if match[1] == "Intercept":
            return np.asarray(found.alpha + found.beta @ own.x_bar)[..., None]
        return found.beta.reshape(len(found.beta), -1, 1)
    return None


def _log_correlations(fit: FitResult, block: str, row: PriorRow) -> Array:
    """Return the LKJ log density of a correlation matrix, shape ``(S,)``."""
    _, parameter, number = re.fullmatch(  # type: ignore[union-attr]
        r"(Omega)(?:_([a-z]\w*?))?(?:_(\d+))?", block
    ).groups()
    own = fit.model.design.parameter(parameter or "mean")
    assert own is not None
    names = GroupNames.of(own.factors[int(number or 1) - 1].factor, own.parameter)
    _, log_determinant = np.linalg.slogdet(flat(fit.posterior[names.Omega]))
    return np.asarray((row.prior.arguments[0] - 1) * log_determinant)


def _log_likelihood(fit: FitResult) -> Array:
    """Return the log likelihood of all rows, shape ``(chain, draw)``."""
    parts: Sequence[Array] = [values.sum(axis=2) for _, values in log_lik_chunks(fit)]
    total = np.asarray(np.sum(parts, axis=0))
    found = coefficients(fit.model, fit.posterior)
    for term in fit.model.design.special:
        draws = found.special[term.name]
        if isinstance(term, UncertainDesign) and isinstance(draws, UncertainDraws):
            total = total + draws.log_density_of_seen(term).reshape(total.shape)
    return total
