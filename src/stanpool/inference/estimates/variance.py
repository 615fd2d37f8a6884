"""Shares of variance: pooling factors, intraclass correlation, R-squared."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError
from stanpool.data.likelihood import expected_outcomes, outcome_variances
from stanpool.families.registry import family_functions
from stanpool.inference.estimates.coefficients import (
    blocks_of_groups,
    describe_each,
    multi_index,
)
from stanpool.inference.prediction.linear_predictor import linear_predictor_of
from stanpool.inference.prediction.rows import GroupTerms, linear_predictor_with
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import outcome_name
from stanpool.language.model_spec import ModelSpec
from stanpool.model.terms.names import Correlations, GroupNames
from stanpool.posterior.coefficients import Coefficients, coefficients, flat
from stanpool.posterior.recenter import center_fit

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.data.design.design import FactorDesign
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel


# Variance of the latent outcome around its linear predictor, by link.
_LATENT = {"logit": math.pi**2 / 3, "probit": 1.0, "cloglog": math.pi**2 / 6}


def pooling_factors(fit: FitResult, *, by_group: bool = False) -> pd.DataFrame:
    r"""Return the pooling factor and the explained variance at each level.

    With the errors :math:`\epsilon_j = \theta_j - \hat\theta_j` of a level (for groups,
    the deviations of their coefficients from the mean) and variances over its units,

    .. math:: \lambda = 1 - \frac{\operatorname{var}_j \operatorname{E} \epsilon_j}
                                 {\operatorname{E} \operatorname{var}_j \epsilon_j},
              \qquad
              R^2 = 1 - \frac{\operatorname{E} \operatorname{var}_j \epsilon_j}
                             {\operatorname{E} \operatorname{var}_j \theta_j}.

    ``pooling`` is near 0 if the estimates of groups are based on their own data, and
    near 1 if they are all close to the population mean. Intercepts are those
    at the predictors' centers.

    Parameters
    ----------
    fit
        A partially pooled fit.
    by_group
        Whether to return instead, for each group, the posterior variance of its
        standardized deviation ``(b - mean) / tau``, which is 1 if its data are not
        informative.

    Returns
    -------
    pandas.DataFrame
        The columns are ``pooling`` and ``r_squared``; the rows are ``factor`` and
        ``coefficient``, and the data if outcomes are gaussian. With ``by_group``, there
        is a column ``pooling``, and the rows are also by ``group``.

    Raises
    ------
    SpecError
        If the fit is not partially pooled, so that the ratios are not defined.

    References
    ----------
    .. [1] Gelman and Pardoe (2006). Bayesian measures of explained variance and
       pooling in multilevel (hierarchical) models. Technometrics 48(2), 241-251.
    """
    import pandas as pd

    _check_pooled(fit.model, "it has no pooling factors")
    fit = center_fit(fit)
    found = coefficients(fit.model, fit.posterior)
    index: list[tuple[Any, ...]] = []
    rows: list[Array] = []
    for number, factor in enumerate(fit.model.design.factors):
        if by_group:
            shares = _unlearned(fit, found, number)
            index += [
                (factor.factor, group, label)
                for group in factor.labels
                for label in factor.coefficients
            ]
            rows += [*shares.ravel()[:, None]]
        else:
            index += [(factor.factor, label) for label in factor.coefficients]
            rows += [*_pooling_of_groups(fit, found, number)]
    names = (
        ["factor", "group", "coefficient"] if by_group else ["factor", "coefficient"]
    )
    if not by_group and fit.model.spec.is_linear_gaussian:
        index.append(("data", outcome_name(fit.model.spec)))
        rows.append(_pooling_of_data(fit))
    columns = ["pooling"] if by_group else ["pooling", "r_squared"]
    return pd.DataFrame(rows, index=multi_index(index, names), columns=columns)


def icc(fit: FitResult, *, prob: float = 0.9) -> pd.DataFrame:
    """Summarize the share of each grouping factor in the variance of a new row.

    If slopes vary, the variance of a factor is that of its effects, averaged over the
    rows. For outcomes with a link, the residual variance is that on the latent scale:
    that of the logistic, normal or Gumbel distribution, or of a count on the log scale.

    Parameters
    ----------
    fit
        A partially pooled fit.
    prob
        The probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        The columns are those of ``fixef``; the rows are the factors.

    Raises
    ------
    SpecError
        If the fit is not partially pooled, or its family has no such variance.

    References
    ----------
    .. [1] Nakagawa, Johnson and Schielzeth (2017), sections 2 and 3; Johnson (2014).
    """
    model = fit.model
    _check_pooled(model, "there is no variance of a population of groups")
    variances = [_variance_of(fit, factor) for factor in model.design.factors]
    between = np.sum(variances, axis=0)
    total = between + _residual_variance(fit, between)
    labels = [factor.factor for factor in model.design.factors]
    # A population without a variance has all of it: Student-t, with nu of 2 or less.
    shares = [
        np.where(np.isinf(each), 1.0, each) / np.where(np.isinf(each), 1.0, total)
        for each in variances
    ]
    return describe_each(labels, shares, prob)


def _check_pooled(model: PreparedModel, without: str) -> None:
    """Refuse a model without populations of groups."""
    if model.spec.pooling != "partial":
        what_to_do = (
            "Use fit.model.with_(pooling='partial')."
            if model.spec.groups
            else "Add a group term to the formula, such as (1 | county)."
        )
        raise SpecError(
            f"{model!r} is not partially pooled, so that {without}. {what_to_do}"
        )


def bayes_R2(
    fit: FitResult,
    *,
    group_terms: GroupTerms | None = None,
    prob: float = 0.9,
) -> pd.DataFrame:
    """Summarize the share of the variance of outcomes that is explained.

    At each draw it is the variance of the expected outcomes of the rows, divided by the
    sum of that and the mean variance of outcomes around them. Binomial outcomes are
    shares of successes.

    Parameters
    ----------
    fit
        A fit.
    group_terms
        The group terms to include in the expectation, as for ``linpred``; by default
        all. With ``[]`` it is that of the population.
    prob
        The probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        The columns are those of ``fixef``; the row is ``R2``.

    Raises
    ------
    SpecError
        If the outcome is categorical, so that it has no variance.

    References
    ----------
    .. [1] Gelman, Goodrich, Gabry and Vehtari (2019), section 2.
    """
    spec, moments = fit.model.spec, _Moments()
    noise: Any = 0.0
    source = linear_predictor_with(fit, group_terms=group_terms)
    # Chains that diverged may have variances that overflow or underflow.
    with np.errstate(all="ignore"):
        for rows in source.chunks():
            design = source.design.take(rows)
            eta, parameters = source.eta(rows), source.parameters(rows)
            size: Any = 1 if design.trials is None else np.maximum(design.trials, 1)
            variance = outcome_variances(spec, design, eta, parameters)
            noise = noise + np.sum(variance / np.square(size), axis=1)
            moments.add(expected_outcomes(spec, design, eta, parameters) / size)
        explained = moments.variance
        unexplained = noise / fit.model.design.rows
        share = explained / (explained + unexplained)
        return describe_each(
            ["R2"], [np.where(np.isinf(unexplained), 0.0, share)], prob
        )


class _Moments:
    """Means and variances over rows at each draw, from a few rows at a time."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0

    def add(self, values: Array) -> None:
        """Add values of shape ``(S, rows)``, by Chan, Golub and LeVeque's update."""
        count, mean = values.shape[1], values.mean(axis=1)
        gap, total = mean - self.mean, self.count + count
        self.squares = (
            self.squares
            + np.square(values - mean[:, None]).sum(axis=1)
            + np.square(gap) * (self.count * count / total)
        )
        self.mean = self.mean + gap * (count / total)
        self.count = total

    @property
    def variance(self) -> Array:
        return np.asarray(self.squares / max(self.count - 1, 1))


def _pooling_of_groups(fit: FitResult, found: Coefficients, number: int) -> Array:
    """Return pooling and R2 of each coefficient of a factor, shape ``(C, 2)``."""
    own, factor = found.factors[number], fit.model.design.factors[number]
    draws, width = len(own.b), len(factor.coefficients)
    errors, full = ([_Moments() for _ in range(width)] for _ in range(2))
    means = []
    for some in blocks_of_groups(len(factor.labels), draws * width):
        groups = np.arange(some.start, some.stop)
        u = own.deviations(groups).reshape(draws, len(groups), width)
        b = own.b[:, groups].reshape(draws, len(groups), width)
        means.append(u.mean(axis=0))
        for c in range(width):
            errors[c].add(u[..., c])
            if own.U is not None:  # otherwise all groups have the same mean
                full[c].add(b[..., c])
    of_means = np.concatenate(means).var(axis=0, ddof=1)
    unexplained = np.array([each.variance.mean() for each in errors])
    total = unexplained
    if own.U is not None:
        total = np.array([each.variance.mean() for each in full])
    return np.column_stack([1 - of_means / unexplained, 1 - unexplained / total])


def _pooling_of_data(fit: FitResult) -> Array:
    """Return pooling and R2 of the rows."""
    y, errors, means = fit.model.design.y, _Moments(), []
    source = linear_predictor_of(fit)
    for rows in source.chunks():
        residual = y[rows] - source.eta(rows)
        errors.add(residual)
        means.append(residual.mean(axis=0))
    unexplained = errors.variance.mean()
    of_means = np.concatenate(means).var(ddof=1)
    return np.array([1 - of_means / unexplained, 1 - unexplained / y.var(ddof=1)])


def _unlearned(fit: FitResult, found: Coefficients, number: int) -> Array:
    """Return the posterior variances of standardized deviations, ``(J, C)``."""
    own, factor = found.factors[number], fit.model.design.factors[number]
    tau = flat(fit.posterior[GroupNames.of(factor.factor).tau])
    draws, width = tau.shape
    blocks = []
    for some in blocks_of_groups(len(factor.labels), draws * width):
        groups = np.arange(some.start, some.stop)
        u = own.deviations(groups).reshape(draws, len(groups), width)
        blocks.append((u / tau[:, None]).var(axis=0))
    return np.asarray(np.clip(np.concatenate(blocks), 0, 1))


def _variance_of(fit: FitResult, factor: FactorDesign) -> Array:
    """Return the variance of a factor's effects, averaged over rows, shape ``(S,)``."""
    if factor.predictors_of:
        raise SpecError(
            "family='categorical' has a linear predictor for each category; see "
            "varcorr for the scales of each."
        )
    names = GroupNames.of(factor.factor)
    tau = flat(fit.posterior[names.tau])
    if names.nu in fit.posterior:  # of which the scale is not the standard deviation
        nu = flat(fit.posterior[names.nu])[:, None]
        with np.errstate(divide="ignore"):
            tau = tau * np.sqrt(np.where(nu > 2, nu / np.maximum(nu - 2, 0), np.inf))
    square = (factor.Z * factor.variances[:, None]).T @ factor.Z / len(factor.Z)
    if not factor.is_correlated:
        return np.asarray(np.square(tau) @ np.diag(square))
    known = Correlations.of(factor)
    omega = flat(fit.posterior[known.name])[:, known.own, known.own]
    return np.asarray(np.einsum("sa,sab,sb,ab->s", tau, omega, tau, square))


def _residual_variance(fit: FitResult, between: Array) -> Any:
    """Return the variance of rows about their linear predictor, shape ``(S,)``."""
    spec, design = fit.model.spec, fit.model.design
    family = FAMILIES[spec.family]
    if family.has_cutpoints and not family.has_ordered_cutpoints:
        raise SpecError(
            f"family={spec.family!r} has no latent outcome that its cutpoints cut into "
            "categories, and so no residual variance; see varcorr."
        )
    if spec.link_name in _LATENT and family.is_discrete:
        return _LATENT[spec.link_name]
    functions = family_functions(spec.family, spec.link)
    variance = functions.variance
    if spec.link_name == "identity":
        return _average(fit, partial(_variance_of_residuals, spec, variance))
    if spec.link_name == "log" and variance and family.residuals is None:
        # The variance of the log of a lognormal outcome with the overall mean.
        mean: Any = 0.0
        source = linear_predictor_with(fit, group_terms=[])
        for rows in source.chunks():
            mean = mean + np.exp(source.eta(rows)).sum(axis=1) / design.rows
        log_mean = np.log(mean)[:, None] + between[:, None] / 2

        def of_logs(own: Mapping[str, Array], _: Any) -> Any:
            return np.log1p(variance(log_mean, **own) / np.exp(2 * log_mean))

        return _average(fit, of_logs)
    raise SpecError(
        f"family={spec.family!r} with link={spec.link_name!r} has no residual variance "
        "on the scale of the linear predictor; see bayes_R2, or varcorr."
    )


def _variance_of_residuals(
    spec: ModelSpec,
    variance: Callable[..., Any] | None,
    own: Mapping[str, Array],
    known: Any,
) -> Any:
    """Return the variance of rows whose residuals have a scale, ``(S, rows)``."""
    others = {name: each for name, each in own.items() if name != "sigma"}
    square = np.square(own.get("sigma", 0.0)) + known
    if FAMILIES[spec.family].is_of_logs or variance is None:
        return square
    return square * variance(0.0, sigma=1.0, **others, **spec.known_numbers)


def _average(
    fit: FitResult, function: Callable[[Mapping[str, Array], Any], Any]
) -> Array:
    """Average over the rows what depends on the family's parameters, ``(S,)``.

    Parameters
    ----------
    fit
        The fit.
    function
        From the parameters of some rows, which broadcast against ``(S, rows)``, and the
        squares of their known standard errors.
    """
    design = fit.model.design
    known: Any = 0.0 if design.se is None else np.square(design.se)
    if not design.formulas:  # of the rows only the mean of the squares is needed
        residual, share = design.residual, np.ones(1)
        own = {
            name: flat(fit.posterior[name])[:, None]
            for name in FAMILIES[fit.model.spec.family].parameter_names
            if name in fit.posterior
        }
        if residual is not None:
            name = GroupNames.of(residual.factor, "sigma").value
            own["sigma"] = flat(fit.posterior[name])
            share = residual.sizes / design.rows
        return np.asarray(function(own, np.mean(known)) @ share)
    source = linear_predictor_of(fit)
    total = np.zeros(len(source.coefficients.alpha))
    for rows in source.chunks():
        squares = 0.0 if design.se is None else known[rows]
        values = function(source.parameters(rows), squares)
        shape = len(total), len(design.y[rows])
        total += np.broadcast_to(values, shape).sum(axis=1)
    return total / design.rows
