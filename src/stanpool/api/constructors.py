"""Models stated by columns instead of a formula, as the same ``ModelSpec``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stanpool.api.facade import Model
from stanpool.base.arguments import public
from stanpool.base.errors import SpecError
from stanpool.base.options import Link, Parameterization
from stanpool.language.formulas.formula import check_name, quote_name
from stanpool.language.model_spec import (
    GroupTerm,
    ModelSpec,
    as_names,
)
from stanpool.language.prior import Prior, as_fixed, as_priors

Bounds = tuple[str | float | None, str | float | None]
GroupLike = str | tuple[str, ...] | GroupTerm


@public
def complete_pooling(
    data: Any,
    *,
    outcome: str,
    predictors: Sequence[str] = (),
    family: str = "gaussian",
    link: Link | None = None,
    trials: str | None = None,
    se: str | None = None,
    se_sigma: bool = False,
    exposure: str | None = None,
    offset: str | None = None,
    weights: str | None = None,
    cens: str | None = None,
    cens_upper: str | None = None,
    trunc: Bounds | None = None,
    priors: Mapping[str, str | Prior] | None = None,
    center_predictors: bool = True,
    compress: bool | None = None,
) -> Model:
    """State a model with the same coefficients for all rows.

    Parameters
    ----------
    data
        A data frame or a mapping of columns.
    outcome, predictors
        Names of columns, any text.
    family, link, priors, center_predictors, compress
        As for ``Model``.
    trials, se, exposure, offset, weights
        Columns of the number of trials, of known standard errors, of the exposure,
        whose log is added to the linear predictor, of an offset, which is added as it
        is, and of weights of the log likelihood.
    se_sigma
        Whether a residual scale is estimated in addition to known standard errors.
    cens, cens_upper
        Columns that say how outcomes are censored, ``none``, ``left``, ``right`` or
        ``interval`` (0, -1, 1, 2), and the upper ends of intervals, which start at the
        outcome.
    trunc
        The bounds of truncated outcomes: ``(lower, upper)``, each a column, a number or
        None.

    Examples
    --------
    >>> import stanpool as sp
    >>> sp.complete_pooling(sp.load_dataset("radon"), outcome="log_radon",
    ...                     predictors=["floor"])
    Model('log_radon ~ 1 + floor', gaussian, complete pooling, 919 rows)
    """
    spec = ModelSpec(
        outcome=quote_name(outcome),
        terms=_quoted("predictors", predictors),
        family=family,
        pooling="complete",
        link=link,
        trials=_named(trials),
        se=_named(se),
        se_sigma=se_sigma,
        exposure=_named(exposure),
        offsets=() if offset is None else (quote_name(offset),),
        weights=_named(weights),
        cens=_named(cens),
        cens_upper=_named(cens_upper),
        trunc=_bounds(trunc),
        priors=as_priors(priors),
        center_predictors=center_predictors,
        compress=compress,
    )
    return Model.from_spec(spec, data)


@public
def no_pooling(
    data: Any,
    *,
    outcome: str,
    group: GroupLike,
    predictors: Sequence[str] = (),
    varying: Sequence[str] = ("Intercept",),
    residual: str | None = None,
    family: str = "gaussian",
    link: Link | None = None,
    trials: str | None = None,
    se: str | None = None,
    se_sigma: bool = False,
    exposure: str | None = None,
    offset: str | None = None,
    weights: str | None = None,
    cens: str | None = None,
    cens_upper: str | None = None,
    trunc: Bounds | None = None,
    priors: Mapping[str, str | Prior] | None = None,
    fixed: Mapping[str, float] | None = None,
    center_predictors: bool = True,
    compress: bool | None = None,
) -> Model:
    """State a model in which the coefficients of each group are independent.

    Parameters
    ----------
    data
        A data frame or a mapping of columns.
    outcome, predictors
        Names of columns, any text.
    group
        The column of groups, a tuple of columns for their combinations, or a
        ``GroupTerm``.
    varying
        The coefficients that each group has: ``"Intercept"`` and predictors.
    residual
        A column whose groups have residual scales of their own.
    family, link, trials, se, se_sigma, exposure, offset, weights, cens, cens_upper, \
trunc, priors, fixed, center_predictors, compress
        As for ``complete_pooling``.
    """
    spec = ModelSpec(
        outcome=quote_name(outcome),
        terms=_quoted("predictors", predictors),
        groups=(_group_term(group, varying, correlated=True),),
        family=family,
        pooling="none",
        residual=residual,
        link=link,
        trials=_named(trials),
        se=_named(se),
        se_sigma=se_sigma,
        exposure=_named(exposure),
        offsets=() if offset is None else (quote_name(offset),),
        weights=_named(weights),
        cens=_named(cens),
        cens_upper=_named(cens_upper),
        trunc=_bounds(trunc),
        priors=as_priors(priors),
        fixed=as_fixed(fixed),
        center_predictors=center_predictors,
        compress=compress,
    )
    return Model.from_spec(spec, data)


@public
def partial_pooling(
    data: Any,
    *,
    outcome: str,
    group: GroupLike | Sequence[GroupLike],
    predictors: Sequence[str] = (),
    varying: Sequence[str] = ("Intercept",),
    correlated: bool = True,
    group_predictors: Sequence[str] = (),
    residual: str | None = None,
    parameterization: Parameterization = "auto",
    family: str = "gaussian",
    link: Link | None = None,
    trials: str | None = None,
    se: str | None = None,
    se_sigma: bool = False,
    exposure: str | None = None,
    offset: str | None = None,
    weights: str | None = None,
    cens: str | None = None,
    cens_upper: str | None = None,
    trunc: Bounds | None = None,
    priors: Mapping[str, str | Prior] | None = None,
    center_predictors: bool = True,
    compress: bool | None = None,
) -> Model:
    """State a model in which group coefficients have a population distribution.

    Parameters
    ----------
    data
        A data frame or a mapping of columns.
    outcome, predictors
        Names of columns, any text.
    group
        The column of groups; a tuple of columns for their combinations, as in
        ``("school", "classroom")``; a ``GroupTerm`` for anything else; or a list of
        these for several factors.
    varying
        The coefficients that vary over groups: ``"Intercept"`` and predictors. A factor
        with other coefficients is given as a ``GroupTerm``.
    correlated
        Whether their correlations are estimated; if not, they are uncorrelated where
        predictors are 0.
    group_predictors
        Additional predictors, which are constant within groups, for the mean of the
        groups' coefficients.
    residual
        A column whose groups have residual scales of their own.
    parameterization
        As for ``Model``.
    family, link, trials, se, se_sigma, exposure, offset, weights, cens, cens_upper, \
trunc, priors, center_predictors, compress
        As for ``complete_pooling``.

    Examples
    --------
    >>> import stanpool as sp
    >>> sp.partial_pooling(sp.load_dataset("radon"), outcome="log_radon",
    ...     predictors=["floor"], group="county", varying=["Intercept", "floor"],
    ...     parameterization="centered").parameterization
    'centered'
    """
    several = group if isinstance(group, list) else [group]
    named = as_names("group_predictors", group_predictors)
    spec = ModelSpec(
        outcome=quote_name(outcome),
        terms=_quoted("predictors", predictors) + _quoted("group_predictors", named),
        groups=tuple(
            _group_term(each, varying, correlated=correlated)  # type: ignore[arg-type]
            for each in several
        ),
        family=family,
        pooling="partial",
        parameterization=parameterization,
        residual=residual,
        group_predictors=named,
        link=link,
        trials=_named(trials),
        se=_named(se),
        se_sigma=se_sigma,
        exposure=_named(exposure),
        offsets=() if offset is None else (quote_name(offset),),
        weights=_named(weights),
        cens=_named(cens),
        cens_upper=_named(cens_upper),
        trunc=_bounds(trunc),
        priors=as_priors(priors),
        center_predictors=center_predictors,
        compress=compress,
    )
    return Model.from_spec(spec, data)


def _named(column: str | None) -> str | None:
    """Write the name of a column that may be None as an expression."""
    return None if column is None else quote_name(column)


def _bounds(trunc: Bounds | None) -> Bounds | None:
    """Write the names of columns among bounds as expressions."""
    if not isinstance(trunc, tuple):
        return trunc
    return tuple(  # type: ignore[return-value]
        quote_name(each) if isinstance(each, str) else each for each in trunc
    )


def _quoted(option: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Write columns' names as formula terms."""
    return tuple(quote_name(column) for column in as_names(option, columns))


def _group_term(
    group: GroupLike, varying: Sequence[str], *, correlated: bool
) -> GroupTerm:
    """Build the group term of the keyword constructors."""
    if isinstance(group, GroupTerm):
        return group
    names = as_names("varying", varying)
    if not names:
        raise SpecError(
            "varying is empty; pass ['Intercept'], or use complete pooling."
        )
    terms = [name for name in names if name != "Intercept"]
    columns = tuple(group) if isinstance(group, tuple) else (group,)
    for column in columns:
        check_name(column)
    return GroupTerm(
        ":".join(columns),
        "Intercept" in names,
        _quoted("varying", terms),
        correlated,
        columns=columns if len(columns) > 1 else (),
    )
