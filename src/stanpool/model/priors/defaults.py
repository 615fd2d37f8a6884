"""Default priors of each parameter, and where they come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from stanpool.data.design.design import Design, FactorDesign, ParameterDesign
from stanpool.data.design.predictors.latent_factors import LatentDesign
from stanpool.data.design.predictors.tensor_factors import TensorDesign
from stanpool.data.design.predictors.uncertain import UncertainDesign
from stanpool.language.family import FAMILIES, FamilyParameter
from stanpool.language.model_spec import ModelSpec
from stanpool.language.prior import Prior
from stanpool.model.priors.default_scales import (
    PC_PRIOR,
    RSTANARM,
    DefaultPrior,
    DefaultScales,
    default_scales,
    outcome_spread,
    parameter_unit,
    residual_scale,
)
from stanpool.model.priors.formula_defaults import (
    DEGREES_OF_FREEDOM,
    dependence_prior,
    parameters_of_formula,
)
from stanpool.model.priors.of_terms.factors import (
    means_with_defaults,
    scales_with_defaults,
)
from stanpool.model.priors.of_terms.lengthscales import lengthscales_with_defaults
from stanpool.model.priors.of_terms.residuals import residuals_with_defaults
from stanpool.model.priors.of_terms.steps import steps_with_defaults
from stanpool.model.priors.of_terms.values import values_with_defaults


def _fixed_population(
    spec: ModelSpec, factor: FactorDesign, label: str
) -> tuple[float | None, float | None]:
    """Return the mean and the scale that the user fixed for a coefficient."""
    fixed = dict(spec.fixed)
    mean, scale = (
        next((fixed[name] for name in names if name in fixed), None)
        for names in hyperparameters(factor, label)
    )
    return mean, scale


def hyperparameters(
    factor: FactorDesign, label: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name the mean and the scale of a coefficient, the most specific name first."""
    stem = f"tau_{factor.factor}"
    mean = ("Intercept",) if label == "Intercept" else (f"beta[{label}]",)
    return mean, (f"{stem}[{label}]", stem, "tau")


def parameters_with_defaults(spec: ModelSpec, design: Design) -> Iterator[DefaultPrior]:
    """Yield class, label, names (most specific first), default and its rule."""
    scales = default_scales(spec, design)
    yield from _population(spec, design, scales)
    for factor in design.factors:
        if spec.pooling == "none":
            yield from _own_coefficients(spec, design, factor, scales)
        else:
            yield from _population_scales(design, factor, scales)
        if factor.correlated and spec.pooling == "partial":
            block = f"Omega{factor_suffix(design, factor.factor)}"
            names = [f"Omega_{factor.factor}", "Omega"]
            yield (
                block,
                None,
                names,
                Prior("lkj", (2.0,)),
                "default: lkj(2) (Stan User's Guide)",
            )
        if factor.population == "student_t":
            block = f"nu_u{factor_suffix(design, factor.factor)}"
            yield block, None, [f"nu_{factor.factor}"], *DEGREES_OF_FREEDOM
        if factor.has_rho:
            block = f"rho_u{factor_suffix(design, factor.factor)}"
            yield block, None, [f"rho_{factor.factor}"], *dependence_prior(factor)
    for term in design.special:
        if isinstance(term, UncertainDesign):
            yield from values_with_defaults(term)
            continue
        rule = f"default: {scales.rules['special']}"
        prior = _exponential(scales.group)
        if isinstance(term, TensorDesign):
            yield from scales_with_defaults(term.rank, prior, rule)
            continue
        yield term.scale_class, None, [term.scale_class], prior, rule
        if isinstance(term, LatentDesign) and term.means is not None:
            yield from means_with_defaults(term.means, term.rank)
    own_formulas = {own.parameter for own in design.formulas}
    if spec.has_sigma and "sigma" not in own_formulas:
        # On the scale of the outcome, whatever the link.
        rule = f"default: mean {outcome_spread(spec)} ({RSTANARM})"
        prior = _exponential(residual_scale(spec, design))
        yield "sigma", None, ["sigma"], prior, rule
    if FAMILIES[spec.family].has_cutpoints:
        prior, rule = _cutpoint_prior(scales)
        for label in cutpoint_labels(design):
            yield "cutpoint", label, _member("cutpoint", label), prior, rule
    for own in FAMILIES[spec.family].auxiliary:
        if own.name not in own_formulas:
            prior, rule = _auxiliary_prior(own, design)
            yield own.name, None, [own.name], prior, rule
    if design.residual_correlation is not None:
        yield from residuals_with_defaults(design.residual_correlation)
    for formula in design.formulas:
        number = _prior_of_number(spec, design, formula)
        yield from parameters_of_formula(formula, number)
    scales_of_groups = [own for own in design.parameters if own.is_value]
    for parameter in scales_of_groups if spec.pooling == "partial" else ():
        rule = f"default: mean 1 on the {parameter.link} scale ({PC_PRIOR})"
        prior = Prior("exponential", (1.0,))
        for factor in parameter.factors:
            block = f"tau_{parameter.parameter}"
            yield block, None, [f"{block}_{factor.factor}", block], prior, rule


def _population(
    spec: ModelSpec, design: Design, scales: DefaultScales
) -> Iterator[DefaultPrior]:
    """Yield the intercept and coefficients, once for each linear predictor."""
    predictors = predicted_categories(spec, design) or (None,)
    if design.intercept:
        rule = f"default: {scales.rules['intercept']}"
        for category, location in zip(predictors, scales.locations, strict=True):
            label = None if category is None else str(category)
            names = _member("Intercept", category)
            prior = _normal(location, scales.intercept)
            yield "Intercept", label, names, prior, rule
    rule = f"default: {scales.rules['predictor']}"
    for category in predictors:
        # The last columns are those of smooths.
        for label, column in zip(design.mean.free, design.X.T, strict=False):
            own = label if category is None else f"{category}, {label}"
            names = list(dict.fromkeys([f"beta[{own}]", f"beta[{label}]", "beta"]))
            prior = _normal(0.0, scales.predictor / scales.spread(design, column))
            yield "beta", own, names, prior, rule
    rule = f"default: {scales.rules['special']}"
    for scale in design.mean.scaled:
        prior = _exponential(scales.group)
        yield "tau_s", scale.name, _member("tau_s", scale.name), prior, rule
    yield from lengthscales_with_defaults(design.mean, "")
    yield from steps_with_defaults(design.mean, "")


def _own_coefficients(
    spec: ModelSpec, design: Design, factor: FactorDesign, scales: DefaultScales
) -> Iterator[DefaultPrior]:
    """Yield the groups' own coefficients, which no population pools."""
    stem = f"b_{factor.factor}"
    for number, (own, label, column) in enumerate(_varying(factor)):
        names = [f"{stem}[{own}]", f"{stem}[{label}]", stem, "b"]
        if label == "Intercept":
            names.append("Intercept")
            location = scales.locations[number // len(factor.varying)]
            prior, rule = _normal(location, scales.intercept), "intercept"
        else:
            names += [f"beta[{label}]", "beta"]
            prior = _normal(0.0, scales.predictor / scales.spread(design, column))
            rule = "predictor"
        names = list(dict.fromkeys(names))
        rule = f"default: {scales.rules[rule]}"
        mean, scale = _fixed_population(spec, factor, label)
        if mean is not None and scale is not None:
            prior, rule = Prior("normal", (mean, scale)), "fixed by the user"
        yield "b", own, names, prior, rule


def _population_scales(
    design: Design, factor: FactorDesign, scales: DefaultScales
) -> Iterator[DefaultPrior]:
    """Yield the scales of a factor's varying coefficients."""
    block, stem = f"tau{factor_suffix(design, factor.factor)}", f"tau_{factor.factor}"
    is_far = _is_far(factor)
    size = float(np.sqrt(factor.variances_of_groups[factor.sizes > 0].mean()))
    of_groups = "" if factor.root is None else ", over the sd of groups with tau = 1"
    for own, label, column in _varying(factor):
        rule, spread = f"default: {scales.rules['group']}", 1.0
        if label in is_far:
            rule = f"default: {scales.rules['far']}"
            spread = scales.spread(design, column, about_zero=True)
        elif label != "Intercept":
            spread = scales.spread(design, column)
        names = [f"{stem}[{own}]", f"{stem}[{label}]", stem, "tau"]
        prior = _exponential(scales.group / (spread * size))
        yield block, own, list(dict.fromkeys(names)), prior, rule + of_groups


def _is_far(factor: FactorDesign) -> frozenset[str]:
    """Return the predictors far from 0 whose slopes are uncorrelated with intercepts.

    Rows then vary by the intercepts' variance and, added to it, the slopes' times the
    squared distance from 0. So a slope's scale is at most the outcome's over that
    distance; over the predictor's spread it would be far more than rows vary.
    """
    if factor.uncenter is None:
        return frozenset()
    moved = (factor.uncenter - np.eye(len(factor.varying))).any(axis=0)
    return frozenset(np.array(factor.varying, dtype=object)[moved])


def _varying(factor: FactorDesign) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield the label of each coefficient, its predictor's, and its predictor."""
    predictors = list(zip(factor.varying, factor.Z.T, strict=True))
    repeated = len(factor.coefficients) // len(predictors)
    for own, (label, column) in zip(
        factor.coefficients, predictors * repeated, strict=True
    ):
        yield own, label, column


def _cutpoint_prior(scales: DefaultScales) -> tuple[Prior, str]:
    """Return the default prior of cutpoints, and its rule."""
    prior = Prior("student_t", (3.0, 0.0, _round(scales.unit)))
    return prior, f"default: 3 degrees of freedom, {scales.rules['unit']} (brms)"


def _auxiliary_prior(own: FamilyParameter, design: Design) -> tuple[Prior, str]:
    """Return the default prior of a family's own parameter, and its rule."""
    prior = Prior.parse(own.prior)
    if not own.has_outcome_units:
        return prior, f"default: {prior} ({own.source})"
    scaled = prior.scaled(_round(parameter_unit(own, design)))
    assert scaled is not None
    rounded = Prior(scaled.distribution, tuple(map(_round, scaled.arguments)))
    return rounded, f"default: {own.name} / mean(y) is {prior} ({own.source})"


def _prior_of_number(
    spec: ModelSpec, design: Design, formula: ParameterDesign
) -> Prior:
    """Return the default prior of a parameter that is one number for all rows."""
    if formula.parameter == "sigma":
        return _exponential(residual_scale(spec, design))
    family = FAMILIES[spec.family]
    (own,) = (each for each in family.auxiliary if each.name == formula.parameter)
    return _auxiliary_prior(own, design)[0]


def _normal(location: float, scale: float) -> Prior:
    """Return a normal prior of numbers that claim no more than they know."""
    return Prior("normal", (_round(location), _round(scale)))


def _exponential(mean: float) -> Prior:
    """Return an exponential prior of that mean."""
    return Prior("exponential", (_round(1.0 / mean),))


def _member(name: str, label: object) -> list[str]:
    """Return how a member of a class is named, and the class."""
    return [name] if label is None else [f"{name}[{label}]", name]


def predicted_categories(spec: ModelSpec, design: Design) -> tuple[Any, ...]:
    """Return the categories that have linear predictors of their own."""
    return design.categories[1:] if spec.is_categorical else ()


def cutpoint_labels(design: Design) -> tuple[str, ...]:
    """Label the cutpoints by the categories that they part: ``low|high``."""
    return tuple(
        f"{below}|{above}"
        for below, above in zip(design.categories, design.categories[1:], strict=False)
    )


def factor_suffix(design: Design, factor: str) -> str:
    """Return the number of a factor's Stan names: ``""``, ``"_2"``, ``"_3"``, ..."""
    place = [each.factor for each in design.factors].index(factor)
    return f"_{place + 1}" if place else ""


def correlated_factors(spec: ModelSpec, design: Design) -> tuple[bool, ...]:
    """Say for each factor whether correlations of its coefficients are estimated."""
    is_pooled = spec.pooling == "partial"
    return tuple(is_pooled and factor.is_correlated for factor in design.factors)


def _round(value: float) -> float:
    """Round to three significant digits: a prior is not more exact than that."""
    return float(f"{value:.3g}")
