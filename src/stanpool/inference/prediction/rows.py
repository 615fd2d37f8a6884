"""The rows and the group terms of a prediction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.errors import (
    DataError,
    SpecError,
    quote,
    quote_list,
    suggestion,
)
from stanpool.base.options import Groups, NewGroups
from stanpool.data.design.design import Side
from stanpool.inference.prediction.conditional.forecasts import forecasts
from stanpool.inference.prediction.conditional.rows import known_rows
from stanpool.inference.prediction.integrated.conditioning import condition
from stanpool.inference.prediction.linear_predictor import LinearPredictor
from stanpool.inference.prediction.new_rows import PARTS, new_design
from stanpool.language.family import FAMILIES
from stanpool.posterior.coefficients import coefficients
from stanpool.sampling.settings import random_seed

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import (
        Design,
        FactorDesign,
        ParameterDesign,
        SpecialTerm,
    )
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel


GroupTerms = Sequence[str] | Mapping[str, Sequence[str]]


def linear_predictor_with(
    fit: FitResult,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: Groups = "fitted",
    new_groups: NewGroups = "error",
    given: Any = None,
    seed: int | None = None,
    parts: Sequence[str] = (),
    parameter: str = "mean",
) -> LinearPredictor:
    """Check the options, and return the linear predictor of the rows.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
        As for ``linpred``.
    parts
        The parts of the outcome to read from new rows, out of ``new_rows.PARTS``.
    parameter
        Whose predictor is asked for.
    """
    model = fit.model
    check_parameter(model, parameter)
    special, group_terms = _chosen_special(model, group_terms)
    terms, varying = chosen_terms(model, group_terms)
    needed = parameters_needed(model, parts, every=data is None)
    if data is not None and group_terms is not None:
        # Rows of the population, or of an average group, are of no known subject.
        parts = [part for part in parts if part != "subject"]
    if parameter != "mean":
        needed.add(parameter)
        if given is None:  # the groups of the mean are not needed, nor read
            terms, special = {}, set()
    design = design_of_rows(model, data, terms, needed, varying, parts)
    design = replace(
        design,
        special=tuple(x for x in design.special if x.name in special or not x.sides),
    )
    if groups == "redrawn":
        design = _redrawn(model, design)
        new_groups = "population" if new_groups == "error" else new_groups
    posterior = some_draws(fit.posterior, draws)
    if seed is None:
        seed = random_seed()
    source = LinearPredictor(
        model=model,
        design=design,
        numbers=tuple(terms),
        posterior=posterior,
        coefficients=coefficients(model, posterior),
        new_groups=new_groups,
        seed=seed,
        parameter=parameter,
    )
    if given is not None:
        if model.design.residual_correlation is not None:
            raise SpecError(
                f"given cannot be used with {model.spec.residual_correlation}. New "
                "rows of fitted subjects are predicted given their outcomes in any "
                "case; for others, fit again with these rows."
            )
        for term in model.spec.special_terms:
            raise SpecError(
                f"given cannot be used with {term}: to estimate {term.coefficients} "
                "from new rows, fit again with these rows."
            )
        for each in model.spec.uncertain:
            raise SpecError(
                f"given cannot be used with {each.name}, whose values in the given "
                "rows are not all known. Fit again with these rows."
            )
        if data is None or groups == "redrawn":
            raise SpecError(
                "given conditions predictions of new rows on other rows: pass data= "
                "and groups='fitted' with it."
            )
        needed = parameters_needed(model, PARTS, every=True)
        rows = design_of_rows(model, given, terms, needed, varying, PARTS)
        seen = replace(source, design=rows, new_groups="population")
        seen = replace(seen, given=forecasts(seen))
        check_new_groups(seen)
        found = condition(seen)
        source = replace(found, design=design, new_groups=new_groups)
    if groups == "fitted":
        source = replace(source, given={**source.given, **forecasts(source)})
    check_new_groups(source)
    is_of_subjects = design.residual_correlation is not None and data is not None
    if is_of_subjects and groups == "fitted":
        source = replace(source, observed=_observed(source))
    return source


def _observed(source: LinearPredictor) -> LinearPredictor:
    """Return the rows of the fit on which residuals of new rows depend."""
    fitted = source.model.design
    return replace(
        source,
        design=fitted.take(known_rows(source.model, source.design)),
        numbers=tuple(range(len(fitted.factors))),
    )


def design_of_rows(
    model: PreparedModel,
    data: Any,
    terms: Mapping[int, Sequence[str]],
    parameters: Collection[str],
    varying: Collection[tuple[str, str]],
    parts: Sequence[str],
) -> Design:
    """Build the design of the rows with the terms that are included.

    Parameters
    ----------
    model, data, parts
        The model, the rows, and the parts of the outcome to read.
    terms
        The coefficients of each factor of the mean to include, by its number.
    parameters
        The other parameters that are asked for.
    varying
        The pairs of such a parameter and a factor whose deviations are included.
    """
    if data is None:
        own = model.design.factors
        design = replace(model.design, factors=tuple(own[number] for number in terms))
    else:
        design = new_design(
            model, data, factors=list(terms), parts=parts, parameters=parameters
        )
    factors = zip(design.factors, terms.values(), strict=True)
    others = [
        _with_groups(own, varying)
        for own in design.parameters
        if own.parameter in parameters
        # What all groups have then is a number of the posterior.
        and not (own.is_value and (own.parameter, own.factors[0].factor) not in varying)
    ]
    return replace(
        design,
        factors=tuple(_masked(*each) for each in factors),
        parameters=tuple(others),
    )


def _with_groups(
    own: ParameterDesign, varying: Collection[tuple[str, str]]
) -> ParameterDesign:
    """Leave out the deviations of factors that are not included."""

    def chosen(factor: FactorDesign) -> FactorDesign:
        is_included = (own.parameter, factor.factor) in varying
        return factor if is_included else _masked(factor, ())

    return own.with_factors(chosen)


def check_parameter(model: PreparedModel, parameter: str) -> None:
    """Refuse what is neither the mean nor one of the family's parameters."""
    known = ["mean", *(each.name for each in model.spec.numbers)]
    if parameter not in known:
        raise SpecError(
            f"parameter={quote(parameter)} is not a parameter of "
            f"family={model.spec.family!r}, which has {quote_list(known)}."
            + suggestion(str(parameter), known)
        )


def parameters_needed(
    model: PreparedModel, parts: Sequence[str], *, every: bool
) -> set[str]:
    """Return the parameters other than the mean that a prediction depends on.

    Parameters
    ----------
    model, parts
        The model, and the parts of the outcome that are asked for.
    every
        Whether all are wanted.
    """
    own = {each.parameter for each in model.design.parameters}
    if every or "se" in parts:
        return own
    is_asked = "residual" in parts
    return own & FAMILIES[model.spec.family].in_mean if is_asked else set()


def _chosen_special(
    model: PreparedModel, group_terms: GroupTerms | None
) -> tuple[set[str], GroupTerms | None]:
    """Return the terms without a grouping factor to include, and the other choices."""
    known = {term.name for term in model.design.special if term.sides}
    if not known or group_terms is None or isinstance(group_terms, str):
        return known if group_terms is None else set(), group_terms
    chosen = known & set(group_terms)
    if isinstance(group_terms, Mapping):
        return chosen, {k: v for k, v in group_terms.items() if k not in chosen}
    return chosen, [each for each in group_terms if each not in chosen]


def chosen_terms(
    model: PreparedModel, group_terms: GroupTerms | None
) -> tuple[dict[int, Sequence[str]], set[tuple[str, str]]]:
    """Return the coefficients of each factor to include, and of other parameters.

    These are pairs of a parameter and a factor over which it varies.
    """
    factors = model.design.factors
    varying = {each.factor: list(each.varying) for each in factors}
    for own in model.design.parameters:
        for each in own.factors:
            varying.setdefault(each.factor, []).append(own.parameter)
    chosen = _read_group_terms(model, group_terms, varying)
    left_out = any(set(varying[name]) - set(chosen.get(name, ())) for name in varying)
    if model.spec.pooling == "none" and left_out:
        raise SpecError(
            f"group_terms={quote(group_terms)} leaves out coefficients of groups, "
            "and without pooling there is no population to replace them. Fit with "
            "pooling='partial'."
        )
    included = {
        (own.parameter, each.factor)
        for own in model.design.parameters
        for each in own.factors
        if own.parameter in chosen.get(each.factor, ())
    }
    return {
        number: chosen[each.factor]
        for number, each in enumerate(factors)
        if set(chosen.get(each.factor, ())) & set(each.varying)
    }, included


def _read_group_terms(
    model: PreparedModel,
    group_terms: GroupTerms | None,
    varying: Mapping[str, Sequence[str]],
) -> dict[str, Sequence[str]]:
    """Return what is to be included of what varies over each factor."""
    if group_terms is None:
        chosen: dict[str, Sequence[str]] = dict(varying)
    elif isinstance(group_terms, Mapping):
        chosen = dict(group_terms)
    elif isinstance(group_terms, str):
        raise SpecError(
            f"group_terms={group_terms!r} must be a list: [{group_terms!r}]."
        )
    else:
        chosen = {name: varying.get(name, ()) for name in group_terms}
    for name, labels in chosen.items():
        if isinstance(labels, str) or not isinstance(labels, Collection):
            raise SpecError(
                f"group_terms has {quote(labels)} for {quote(name)}, which must be a "
                f"list: [{quote(labels)}]."
            )
        if name not in varying:
            raise SpecError(
                f"group_terms has {quote(name)}, which is not a grouping factor of "
                f"{model!r}; its grouping factors are {quote_list(varying) or 'none'}."
                + suggestion(str(name), varying)
            )
        for label in labels:
            if label not in varying[name]:
                raise SpecError(
                    f"group_terms has {quote(label)}, which does not vary over "
                    f"{quote(name)}; {quote_list(varying[name])} do."
                    + suggestion(str(label), varying[name])
                )
    return chosen


def _masked(factor: FactorDesign, labels: Sequence[str]) -> FactorDesign:
    """Leave out the coefficients that are not included."""
    enters = np.isin(np.array(factor.varying, dtype=object), [*labels])
    return factor if enters.all() else replace(factor, Z=factor.Z * enters)


def _redrawn(model: PreparedModel, design: Design) -> Design:
    """Replace fitted groups by new groups of the same names."""

    def redrawn(own: ParameterDesign) -> ParameterDesign:
        fitted = _fitted_labels(model, own.parameter)
        return own.with_factors(
            lambda each: replace(
                each,
                labels=fitted[each.factor] + each.labels,
                index=each.index + len(fitted[each.factor]),
            )
        )

    def of_new(term: SpecialTerm) -> SpecialTerm:
        fitted = _fitted_special(model, term)
        return term.with_sides(
            [
                Side(own.column, of_fit.labels + own.labels, own.index + of_fit.size)
                for own, of_fit in zip(term.sides, fitted.sides, strict=True)
            ]
        )

    return replace(
        design,
        factors=redrawn(design.mean).factors,
        parameters=tuple(map(redrawn, design.parameters)),
        special=tuple(map(of_new, design.special)),
    )


def _fitted_special(model: PreparedModel, term: SpecialTerm) -> SpecialTerm:
    """Return a term of the rows that were fitted."""
    return next(each for each in model.design.special if each.name == term.name)


def _fitted_labels(model: PreparedModel, parameter: str) -> dict[str, tuple[Any, ...]]:
    """Return the groups of the fit, by the factors of a parameter."""
    fitted = model.design.parameter(parameter)
    assert fitted is not None
    return {factor.factor: factor.labels for factor in fitted.factors}


def check_new_groups(source: LinearPredictor) -> None:
    """Refuse new groups if they are not wanted or cannot be predicted."""
    model, design, new_groups = source.model, source.design, source.new_groups
    sides = [
        (own.parameter, each.factor, each.labels, len(known[each.factor]), each.index)
        for own in design.predictors
        for known in [_fitted_labels(model, own.parameter)]
        for each in own.factors
    ]
    for term in design.special:
        fitted = _fitted_special(model, term)
        for side, of_fit in zip(term.sides, fitted.sides, strict=True):
            own = (side.column, side.labels, of_fit.size, side.index)
            sides.append(("mean", *own))
    for parameter, factor, labels, seen, index in sides:
        is_new = np.array([(parameter, factor, x) not in source.given for x in labels])
        is_new[:seen] = False
        if not is_new.any():
            continue
        rows = np.flatnonzero(is_new[index].reshape(len(index), -1).any(axis=1))
        new = [labels[place] for place in np.flatnonzero(is_new)]
        met = (
            f"{len(new)} group(s) of {quote(factor)} that are not in the fit: "
            f"{quote_list(new)} (rows {quote_list(rows.tolist())}, counted from 0)"
        )
        if new_groups == "error":
            raise DataError(
                f"the rows have {met}. Pass new_groups='population' to draw them from "
                "the population, 'resample' to use fitted groups instead, or 'zero' "
                "for an average group."
            )
        if model.spec.pooling == "none" and new_groups != "resample":
            raise SpecError(
                f"new_groups={new_groups!r} needs a population, which a model without "
                f"pooling does not have; and the rows have {met}. Fit with "
                "pooling='partial', or pass new_groups='resample' to use fitted groups "
                "instead."
            )


def some_draws(posterior: xr.Dataset, draws: int | None) -> xr.Dataset:
    """Return evenly spaced draws, equally many of each chain."""
    if draws is None:
        return posterior
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise SpecError(f"draws={draws!r} must be a positive whole number, or None.")
    of_chain = posterior.sizes["draw"]
    wanted = min(of_chain, max(1, draws // posterior.sizes["chain"]))
    return posterior.isel(draw=np.arange(wanted) * of_chain // wanted)
