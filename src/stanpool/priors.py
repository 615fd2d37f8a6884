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
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stanpool.design import Design
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


def _parameters(
    spec: ModelSpec, design: Design
) -> Iterator[tuple[str, str | None, list[str], Prior, str]]:
    """Yield class, label, names (most specific first), default and its rule."""
    family = FAMILIES[spec.family]
    scale = _outcome_scale(spec, design)
    unit = "sd(y)" if family.outcome == "real" else "1"
    intercept = Prior("normal", (_outcome_location(spec, design), _round(2.5 * scale)))
    intercept_rule = f"default: 2.5 {unit} ({_RSTANARM})"
    if design.intercept:
        yield "Intercept", None, ["Intercept"], intercept, intercept_rule
    rule = f"default: 2.5 {unit} / sd(x) ({_RSTANARM})"
    for label, column in zip(design.coefficients, design.X.T, strict=True):
        yield (
            "beta",
            label,
            [f"beta[{label}]", "beta"],
            Prior("normal", (0.0, _round(2.5 * scale / _sd(column)))),
            rule,
        )
    for factor, correlated in zip(
        design.factors, correlated_factors(spec, design), strict=True
    ):
        if spec.pooling == "none":
            for label, column in zip(factor.varying, factor.Z.T, strict=True):
                is_intercept = label == "Intercept"
                names = [f"b_{factor.factor}[{label}]", f"b_{factor.factor}", "b"]
                names += ["Intercept"] if is_intercept else [f"beta[{label}]", "beta"]
                slope = Prior("normal", (0.0, _round(2.5 * scale / _sd(column))))
                prior = intercept if is_intercept else slope
                yield "b", label, names, prior, intercept_rule if is_intercept else rule
            continue
        for label, column in zip(factor.varying, factor.Z.T, strict=True):
            spread = 1.0 if label == "Intercept" else _sd(column)
            yield (
                f"tau{factor_suffix(design, factor.factor)}",
                label,
                [f"tau_{factor.factor}[{label}]", f"tau_{factor.factor}", "tau"],
                Prior("exponential", (_round(spread / scale),)),
                f"default: mean {unit} / sd(z) ({_PC_PRIOR})",
            )
        if correlated:
            yield (
                f"Omega{factor_suffix(design, factor.factor)}",
                None,
                [f"Omega_{factor.factor}", "Omega"],
                Prior("lkj", (2.0,)),
                "default: (Stan User's Guide)",
            )
    if has_residual_scale(spec):
        yield (
            "sigma",
            None,
            ["sigma"],
            Prior("exponential", (_round(1.0 / scale),)),
            f"default: mean {unit} ({_RSTANARM})",
        )
    if design.residual is not None and spec.pooling == "partial":
        names = [f"tau_sigma_{design.residual[0]}", "tau_sigma"]
        rule = f"default: mean 1 on the log scale ({_PC_PRIOR})"
        yield "tau_sigma", None, names, Prior("exponential", (1.0,)), rule


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
        and len(factor.varying) > 1
        for factor in design.factors
    )


def has_residual_scale(spec: ModelSpec) -> bool:
    """Whether the model has a residual scale to learn."""
    return "sigma" in FAMILIES[spec.family].parameters and spec.se is None


def _outcome_scale(spec: ModelSpec, design: Design) -> float:
    """Return the scale of the linear predictor: sd(y) for real outcomes, else 1."""
    return _sd(design.y) if FAMILIES[spec.family].outcome == "real" else 1.0


def _outcome_location(spec: ModelSpec, design: Design) -> float:
    """Return where the linear predictor lies: mean(y), log(mean(y)), or 0."""
    mean = float(np.mean(design.y))
    if FAMILIES[spec.family].outcome == "real":
        return _round(mean)
    if FAMILIES[spec.family].link == "log" and mean > 0:
        return _round(math.log(mean))
    return 0.0


def _sd(values: np.ndarray) -> float:
    """Return the standard deviation, or 1 where there is none."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return sd if math.isfinite(sd) and sd > 0 else 1.0


def _round(value: float) -> float:
    """Round to three significant digits: a prior is not more exact than that."""
    return float(f"{value:.3g}")
