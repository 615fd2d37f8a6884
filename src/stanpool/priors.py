"""Which prior is in force on each parameter, and why.

Defaults are proper, weakly informative and scaled from the data; none is flat on a
population scale.

References
----------
.. [1] Gabry and Goodrich. Prior distributions for rstanarm models (vignette):
   ``normal(mean(y), 2.5 sd(y))`` on the intercept, ``normal(0, 2.5 sd(y) / sd(x))``
   on coefficients, ``exponential(1 / sd(y))`` on the residual scale.
.. [2] Simpson, Rue, Riebler, Martins and Sorbye (2017). Penalising model component
   complexity. Statistical Science 32(1), 1-28: an exponential on a population scale.
.. [3] Stan User's Guide, multivariate priors for hierarchical models: ``lkj(2)``.
.. [4] Juárez and Steel (2010). Model-based clustering of non-Gaussian panel data based
   on skew-t distributions. Journal of Business and Economic Statistics 28(1), 52-66:
   ``gamma(2, 0.1)`` on the degrees of freedom; here above 1.
.. [5] Vehtari (2024). A prior for the shape of the negative binomial (case study):
   ``inv_gamma(0.4, 0.3)``, close to the penalised complexity prior of [2]_ whose base
   has no overdispersion. Used alike for the precisions of beta and gamma outcomes.
.. [6] Bürkner and Vuorre (2019). Ordinal regression models in psychology: a tutorial.
   Advances in Methods and Practices in Psychological Science 2(1), 77-101, and brms:
   ``student_t(3, 0, 2.5)`` on cutpoints.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.design import Design, FactorDesign
from stanpool.errors import SpecError, listed, shorten, suggestion
from stanpool.spec import (
    FAMILIES,
    PARAMETER_CLASSES,
    ModelSpec,
    ParameterClass,
    Prior,
)

_RSTANARM = "rstanarm"
_PC_PRIOR = "Simpson et al. 2017"

# Of the families' own parameters: the default and its rule.
_FAMILY_PRIORS = {
    "nu": (Prior("gamma", (2.0, 0.1)), "Juárez and Steel 2010"),
    "shape": (Prior("inv_gamma", (0.4, 0.3)), f"Vehtari 2024, {_PC_PRIOR}"),
    "phi": (Prior("inv_gamma", (0.4, 0.3)), f"Vehtari 2024, {_PC_PRIOR}"),
    "cutpoint": (Prior("student_t", (3.0, 0.0, 2.5)), "brms"),
}


@dataclass(frozen=True)
class PriorRow:
    """The prior in force on one parameter.

    Attributes
    ----------
    parameter
        Its name in the posterior, such as ``beta[floor]``.
    parameter_class, label
        The class it belongs to, numbered from the second factor on (``tau_2``), and
        which member it is (None for a single one).
    prior
        The distribution.
    source
        ``"set by the user"``, or ``"default: "`` with the rule and whose it is.
    """

    parameter: str
    parameter_class: str
    label: str | None
    prior: Prior
    source: str


def resolve_priors(
    spec: ModelSpec, design: Design, *, strict: bool = True
) -> tuple[PriorRow, ...]:
    """Find the prior of every parameter: the user's most specific one, or a default.

    Parameters
    ----------
    spec, design
        The model and its data; the data scale the defaults.
    strict
        Whether a prior that the user set and that nothing uses is an error; it is
        not when one set of priors serves several poolings.

    Raises
    ------
    SpecError
        If a name is no parameter of the model, or a prior's support does not fit.
    """
    given = dict(spec.priors)
    used: set[str] = set()
    rows = []
    for parameter_class, label, names, default, rule in _parameters(spec, design):
        found = next((name for name in names if name in given), None)
        if found is None:
            rows.append(PriorRow(names[0], parameter_class, label, default, rule))
            continue
        _check_support(found, given[found], parameter_class)
        rows.append(
            PriorRow(names[0], parameter_class, label, given[found], "set by the user")
        )
    for names in (names for _, _, names, _, _ in _parameters(spec, design)):
        used.update(names)
    unused = [name for name in given if name not in used]
    if strict and unused:
        raise SpecError(
            f"priors has {listed(unused)}, which pooling={spec.pooling!r} does not "
            f"have; its parameters are {listed([row.parameter for row in rows], 10)}"
            f".{suggestion(unused[0], used)}"
        )
    return tuple(rows)


def class_of(block: str) -> ParameterClass:
    """Return the parameter class of a numbered block: ``tau`` of ``tau_2``."""
    return PARAMETER_CLASSES[re.sub(r"_\d+$", "", block)]


def _check_support(name: str, prior: Prior, parameter_class: str) -> None:
    """Refuse a prior that does not cover its parameter."""
    needed = class_of(parameter_class).support
    fits = prior.support == needed or (needed, prior.support) == ("positive", "real")
    if not fits:
        examples = {
            "real": "normal(0, 1) or student_t(4, 0, 1)",
            "positive": "exponential(1) or normal(0, 1), which is its half form",
            "correlation": "lkj(2)",
        }
        raise SpecError(
            f"priors[{shorten(name)}] = {shorten(str(prior))}: {prior.distribution} "
            f"lives on {prior.support} values, the parameter on {needed} ones. Use "
            f"{examples[needed]}."
        )


_Parameter = tuple[str, str | None, list[str], Prior, str]


def _parameters(spec: ModelSpec, design: Design) -> Iterator[_Parameter]:
    """Yield class, label, names (most specific first), default and its rule."""
    own_scale = "sd(log(y))" if spec.family == "lognormal" else "sd(y)"
    unit = own_scale if spec.link_name == "identity" else "1"
    yield from _population(spec, design, unit)
    for factor, correlated in zip(
        design.factors, correlated_factors(spec, design), strict=True
    ):
        if spec.pooling == "none":
            yield from _own_coefficients(spec, design, factor, unit)
        else:
            yield from _population_scales(spec, design, factor, unit)
        if correlated:
            block = f"Omega{factor_suffix(design, factor.factor)}"
            names = [f"Omega_{factor.factor}", "Omega"]
            yield (
                block,
                None,
                names,
                Prior("lkj", (2.0,)),
                "default: (Stan User's Guide)",
            )
    if spec.has_sigma:
        # On the scale of the outcome, whatever the link.
        prior = Prior("exponential", (_round(1.0 / _residual_scale(spec, design)),))
        yield (
            "sigma",
            None,
            ["sigma"],
            prior,
            f"default: mean {own_scale} ({_RSTANARM})",
        )
    for name in FAMILIES[spec.family].parameters:
        if name != "sigma":
            prior, whose = _FAMILY_PRIORS[name]
            for label in cutpoint_labels(design) if name == "cutpoint" else (None,):
                yield name, label, _member(name, label), prior, f"default: ({whose})"
    if design.residual is not None and spec.pooling == "partial":
        names = [f"tau_sigma_{design.residual[0]}", "tau_sigma"]
        rule = f"default: mean 1 on the log scale ({_PC_PRIOR})"
        yield "tau_sigma", None, names, Prior("exponential", (1.0,)), rule


def _population(spec: ModelSpec, design: Design, unit: str) -> Iterator[_Parameter]:
    """Yield the intercept and coefficients, once for each linear predictor."""
    predictors = predicted_categories(spec, design) or (None,)
    if design.intercept:
        rule = f"default: 2.5 {unit} ({_RSTANARM})"
        for category in predictors:
            label = None if category is None else str(category)
            names = _member("Intercept", category)
            yield "Intercept", label, names, _intercept_prior(spec, design), rule
    rule = f"default: 2.5 {unit} / sd(x) ({_RSTANARM})"
    for category in predictors:
        for label, column in zip(design.coefficients, design.X.T, strict=True):
            own = label if category is None else f"{category}, {label}"
            names = list(dict.fromkeys([f"beta[{own}]", f"beta[{label}]", "beta"]))
            yield "beta", own, names, _slope_prior(spec, design, column), rule


def _own_coefficients(
    spec: ModelSpec, design: Design, factor: FactorDesign, unit: str
) -> Iterator[_Parameter]:
    """Yield the groups' own coefficients, which no population pools."""
    stem = f"b_{factor.factor}"
    for own, label, column in _varying(factor):
        names = [f"{stem}[{own}]", f"{stem}[{label}]", stem, "b"]
        if label == "Intercept":
            names.append("Intercept")
            prior, size = _intercept_prior(spec, design), unit
        else:
            names += [f"beta[{label}]", "beta"]
            prior, size = _slope_prior(spec, design, column), f"{unit} / sd(x)"
        names = list(dict.fromkeys(names))
        yield "b", own, names, prior, f"default: 2.5 {size} ({_RSTANARM})"


def _population_scales(
    spec: ModelSpec, design: Design, factor: FactorDesign, unit: str
) -> Iterator[_Parameter]:
    """Yield the scales of a factor's varying coefficients."""
    block, stem = f"tau{factor_suffix(design, factor.factor)}", f"tau_{factor.factor}"
    rule = f"default: mean {unit} / sd(z) ({_PC_PRIOR})"
    for own, label, column in _varying(factor):
        spread = 1.0 if label == "Intercept" else _sd(column)
        prior = Prior("exponential", (_round(spread / _outcome_scale(spec, design)),))
        names = [f"{stem}[{own}]", f"{stem}[{label}]", stem, "tau"]
        yield block, own, list(dict.fromkeys(names)), prior, rule


def _varying(factor: FactorDesign) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield the label of each coefficient, its predictor's, and its predictor."""
    predictors = list(zip(factor.varying, factor.Z.T, strict=True))
    repeated = len(factor.coefficients) // len(predictors)
    for own, (label, column) in zip(
        factor.coefficients, predictors * repeated, strict=True
    ):
        yield own, label, column


def _intercept_prior(spec: ModelSpec, design: Design) -> Prior:
    """Return the default prior of an intercept."""
    scale = _round(2.5 * _outcome_scale(spec, design))
    return Prior("normal", (_outcome_location(spec, design), scale))


def _slope_prior(spec: ModelSpec, design: Design, column: np.ndarray) -> Prior:
    """Return the default prior of the coefficient of a predictor."""
    return Prior(
        "normal", (0.0, _round(2.5 * _outcome_scale(spec, design) / _sd(column)))
    )


def _member(name: str, label: object) -> list[str]:
    """Return how a member of a class is named, and the class."""
    return [name] if label is None else [f"{name}[{label}]", name]


def predicted_categories(spec: ModelSpec, design: Design) -> tuple[Any, ...]:
    """Return the categories that have linear predictors of their own."""
    is_categorical = FAMILIES[spec.family].outcome == "categories"
    return design.categories[1:] if is_categorical else ()


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
    """Say for each factor whether it has a correlation matrix to learn."""
    terms = {term.factor: term for term in spec.groups}
    return tuple(
        spec.pooling == "partial"
        and terms[factor.factor].correlated
        and len(factor.coefficients) > 1
        for factor in design.factors
    )


def _outcome_scale(spec: ModelSpec, design: Design) -> float:
    """Return the scale of the linear predictor: the outcome's, or 1 on a link."""
    return _residual_scale(spec, design) if spec.link_name == "identity" else 1.0


def _residual_scale(spec: ModelSpec, design: Design) -> float:
    """Return the scale of the outcome, or of its log where that is what is modelled."""
    return _sd(np.log(design.y) if spec.family == "lognormal" else design.y)


def _outcome_location(spec: ModelSpec, design: Design) -> float:
    """Return where the linear predictor lies: mean(y), log(mean(y)), or 0."""
    offset = 0.0 if design.offset is None else float(np.mean(design.offset))
    if spec.link_name == "identity":
        y = np.log(design.y) if spec.family == "lognormal" else design.y
        return _round(float(np.mean(y)) - offset)
    mean = float(np.mean(design.y))
    if spec.link_name == "log" and mean > 0:
        return _round(math.log(mean) - offset)
    return 0.0


def _sd(values: np.ndarray) -> float:
    """Return the standard deviation, or 1 where there is none."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return sd if math.isfinite(sd) and sd > 0 else 1.0


def _round(value: float) -> float:
    """Round to three significant digits: a prior is not more exact than that."""
    return float(f"{value:.3g}")
