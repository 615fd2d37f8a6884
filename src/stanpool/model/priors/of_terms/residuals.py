"""Priors of what correlates residuals within subjects.

A correlation is uniform over the values that it can have. Between the rows of a subject
that are all equally correlated it is greater than -1 / (n - 1), where n is the largest
number of rows of a subject: below that their sum would have a negative variance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from stanpool.base.errors import SpecError, quote
from stanpool.data.design.covariance.correlated_residuals import CorrelatedResiduals
from stanpool.data.design.design import Design
from stanpool.language.prior import Prior
from stanpool.model.priors.default_scales import DefaultPrior


def residuals_with_defaults(own: CorrelatedResiduals) -> Iterator[DefaultPrior]:
    """Yield class, label, names (most specific first), default and its rule."""
    name = own.kind.parameter
    rule = "default: uniform"
    if own.kind.is_exchangeable:
        rule = f"default: uniform from -1 / ({own.sizes.max()} - 1), rows of a subject"
    yield name, None, [name], Prior("uniform", (_least(own), 1.0)), rule


def within_residuals(
    design: Design, name: str, parameter_class: str, prior: Prior
) -> Prior:
    """Return a prior that a user set, cut off where correlations end.

    Parameters
    ----------
    design
        The data, whose subjects decide about the end.
    name, parameter_class, prior
        What the user wrote, the class of the parameter, and the prior.

    Raises
    ------
    SpecError
        If a correlation is fixed where there is none.
    """
    own = design.residual_correlation
    if own is None or parameter_class != "residual_rho":
        return prior
    least = _least(own)
    if prior.is_constant and prior.arguments[0] <= least:
        raise SpecError(
            f"priors[{quote(name)}] = {quote(str(prior))}: {own.sizes.max()} rows of "
            f"a subject cannot be correlated by less than {least:.3g}."
        )
    if prior.distribution == "uniform":
        lower, upper = prior.arguments
        return Prior("uniform", (max(lower, least), upper))
    if prior.support != "real":
        return prior
    lower, upper = prior.bounds
    return replace(prior, lb=max(lower, least), ub=min(upper, 1.0))


def _least(own: CorrelatedResiduals) -> float:
    """Return below which number there is no correlation."""
    return -1.0 / (own.sizes.max() - 1.0) if own.kind.is_exchangeable else -1.0
