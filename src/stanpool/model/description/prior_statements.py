"""The priors in force as statements."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from stanpool.data.design.design import ParameterDesign
from stanpool.language.prior import DISTRIBUTIONS, Prior
from stanpool.model.description.description import Statement
from stanpool.model.description.notation import (
    Indexed,
    Label,
    Math,
    Number,
    Power,
    Symbol,
    Words,
    call,
    line,
    number,
)
from stanpool.model.description.symbols import (
    CATEGORY,
    LATENT,
    PREDICTOR,
    Symbols,
    symbol_of_parameter,
)
from stanpool.model.priors.distributions import ends_of
from stanpool.model.priors.in_force import PriorRow, PriorTable, class_of

_NAMES = {
    "student_t": "StudentT",
    "inv_gamma": "InvGamma",
    "lognormal": "LogNormal",
    "lkj": "LKJ",
}


_CUTPOINTS = Indexed(Symbol("kappa"), at=(Symbol("c"),))


@dataclass(frozen=True)
class _Parameter:
    """What a prior is on: its symbol, and that of all like it if it is one of them."""

    symbol: Indexed
    letters: tuple[str, ...] = ()
    one_of: Indexed | None = None


def prior_statements(
    symbols: Symbols, priors: PriorTable, *, many: Sequence[str]
) -> Iterator[Statement]:
    """Yield the priors in force.

    Parameters
    ----------
    symbols, priors
        The model's symbols, and its priors.
    many
        The predictors whose coefficients are written with an index, as they are many.
    """
    summed = [row for row in priors if _is_among(row, many)]
    yielded_simplex = False
    for row in priors:
        if row in summed:
            if row is summed[0]:
                yield _of_many(symbols, summed)
        elif row.prior.support == "simplex":
            if not yielded_simplex:
                yielded_simplex = True
                right = call("Dirichlet", number(row.prior.arguments[0]))
                said = f"probabilities of the categories; {row.note}".rstrip("; ")
                left, cutpoints = Indexed(Symbol("pi")), _CUTPOINTS
                yield Statement("priors", left, "~", right, (), said, cutpoints)
        elif row.parameter_class == "factor_scale":
            if row.label == "1":  # all factors have the same
                every = replace(row, parameter="factor_scale")
                yield _statement(every, _parameter(symbols, row))
        elif row.parameter_class == "beta_factors":
            of_all, _, factor = row.parameter.removesuffix("]").rpartition(", ")
            if factor == "1":  # all factors have the same
                every = replace(row, parameter=f"{of_all}]")
                yield _statement(every, _parameter(symbols, row))
        else:
            yield _statement(row, _parameter(symbols, row))


def _is_among(row: PriorRow, many: Sequence[str]) -> bool:
    """Whether a prior is on the coefficient of one of many predictors."""
    if row.parameter_class != "beta" or row.label is None:
        return False
    return row.label in many or row.label.partition(", ")[2] in many


def _of_many(symbols: Symbols, rows: Sequence[PriorRow]) -> Statement:
    """State the priors of many coefficients in one line."""
    beta = Indexed(Symbol("beta"), at=(PREDICTOR,))
    if len({row.prior for row in rows}) == 1:
        right = _distribution(rows[0])
        remark = "beta"
    else:
        kinds = dict.fromkeys(_name(row.prior) for row in rows)
        right = call(" or ".join(kinds), Words("..."))
        remark = "beta; model.priors lists them"
    return Statement("priors", beta, "~", right, (PREDICTOR.name,), remark)


def _statement(row: PriorRow, parameter: _Parameter) -> Statement:
    left: Math = parameter.symbol
    if row.prior.distribution == "sqrt_inv_gamma":
        left = Power(left, Number("2"))
    notes = [x for x in row.note.split("; ") if x and not x.startswith("half: ")]
    remark = "; ".join((row.parameter, *notes))
    right = _distribution(row)
    relation: Literal["~", "="] = "=" if row.prior.is_constant else "~"
    return Statement(
        "priors", left, relation, right, parameter.letters, remark, parameter.one_of
    )


def _distribution(row: PriorRow) -> Math:
    """Write a prior as papers do: a half form by its name, bounds in words."""
    prior, known = row.prior, class_of(row.parameter_class)
    arguments = prior.arguments
    if prior.is_constant:
        return number(arguments[0])
    if not arguments:
        return Words(_name(prior))
    if prior.distribution == "sqrt_inv_gamma":
        return call("InvGamma", *map(number, arguments))
    lower = known.lower if known.lower is not None else 0.0
    is_positive = known.support == "positive"
    is_half = is_positive and prior.support == "real" and prior.distribution != "flat"
    is_half = is_half and not prior.is_cut
    half_form = f"half_{prior.distribution}"
    if is_half and lower == 0.0 and half_form in DISTRIBUTIONS:
        location = prior.named_arguments["location"]
        if location == 0.0:
            prior = Prior(half_form, (*arguments[:-2], arguments[-1]))
            return call(_name(prior), *map(number, prior.arguments))
    written = call(_name(prior), *map(number, arguments))
    if prior.is_cut:
        return line(written, Words(f" truncated to values {_between(*ends_of(row))}"))
    if is_half or (is_positive and lower > 0.0):
        return line(written, Words(f" truncated to values above {lower:g}"))
    return written


def _between(lower: float, upper: float) -> str:
    """Write between which values a parameter is."""
    if math.isinf(upper):
        return f"above {lower:g}"
    return f"below {upper:g}" if math.isinf(lower) else f"from {lower:g} to {upper:g}"


def _name(prior: Prior) -> str:
    """Return the name of a distribution as papers write it."""
    is_half = prior.distribution.startswith("half_")
    plain = prior.distribution.removeprefix("half_")
    return ("Half" if is_half else "") + _NAMES.get(plain, plain.capitalize())


def _parameter(symbols: Symbols, row: PriorRow) -> _Parameter:
    """Return what a prior is on."""
    known, design = class_of(row.parameter_class).name, symbols.design
    for own in design.formulas:
        if known.endswith(f"_{own.parameter}"):
            return _Parameter(_of_formula(symbols, row, own, known))
    number_ = row.parameter_class[len(known) :].removeprefix("_")
    factor = design.factors[int(number_ or 1) - 1] if design.factors else None
    match known:
        case "Intercept":
            one = symbols.coefficient("Intercept", category=row.label)
            return _Parameter(one, one_of=_general(symbols, one))
        case "beta" if row.label is not None:
            category, label = _parts(symbols, row.label, design.coefficients)
            one = symbols.coefficient(label, category=category)
            return _Parameter(one, one_of=_general(symbols, one))
        case "tau_s" if row.label is not None:
            return _Parameter(symbols.scale_of_smooth(row.label))
        case "lengthscale" if row.label is not None:
            return _Parameter(symbols.lengthscale(row.label))
        case "steps" if row.label is not None:
            return _Parameter(symbols.steps(row.label))
        case "b" | "tau" if factor is not None and row.label is not None:
            category, label = _parts(symbols, row.label, factor.varying)
            name, at = factor.factor, symbols.letters[factor.factor]
            if known == "tau":
                one = symbols.scale(label, name, category=category)
                return _Parameter(one, one_of=_general(symbols, one))
            one = symbols.coefficient(label, at=(at,), factor=name, category=category)
            return _Parameter(one, (at.name,), _general(symbols, one))
        case "Omega" if factor is not None:
            return _Parameter(symbols.matrix("Omega", factor.factor))
        case "nu_u" if factor is not None:
            return _Parameter(symbols.matrix("nu", factor.factor))
        case "rho_u" if factor is not None:
            return _Parameter(symbols.matrix("rho", factor.factor))
        case "mean_x" | "sd_x" | "beta_x" if row.label is not None:
            return _Parameter(_of_values(symbols, known, row.label))
        case "factor_scale":
            return _Parameter(Indexed(Symbol("lambda"), at=(LATENT,)), (LATENT.name,))
        case "beta_factors" if row.label is not None:
            label = row.label.rpartition(", ")[0]
            return _Parameter(symbols.of_factors(label), (LATENT.name,))
        case "residual_rho":
            return _Parameter(Indexed(Symbol("rho")))
        case "loading_scale":
            return _Parameter(Indexed(Symbol("lambda")))
        case "cutpoint" if row.label is not None:
            one = Indexed(Symbol("kappa"), (Label(row.label),))
            return _Parameter(one, one_of=_CUTPOINTS)
    return _of_distribution(symbols, row, known)


def _of_formula(
    symbols: Symbols, row: PriorRow, own: ParameterDesign, known: str
) -> Indexed:
    """Return the symbol of a coefficient, or of a scale, of a parameter's formula."""
    name, kind = own.parameter, known.removesuffix(f"_{own.parameter}")
    if kind in ("Intercept", "beta"):
        return symbols.coefficient(row.label or "Intercept", parameter=name)
    if kind == "tau_s" and row.label is not None:
        return symbols.scale_of_smooth(row.label, parameter=name)
    if kind == "lengthscale" and row.label is not None:
        return symbols.lengthscale(row.label, parameter=name)
    if kind == "steps" and row.label is not None:
        return symbols.steps(row.label, parameter=name)
    number_ = row.parameter_class[len(known) :].removeprefix("_")
    factor = own.factors[int(number_ or 1) - 1].factor
    if kind == "nu_u":
        return symbols.matrix("nu", factor, parameter=name)
    if kind == "rho_u":
        return symbols.matrix("rho", factor, parameter=name)
    if kind == "Omega" or row.label is None:
        return symbols.matrix("Omega", factor, parameter=name)
    return symbols.scale(row.label, factor, parameter=name)


def _of_values(symbols: Symbols, known: str, label: str) -> Indexed:
    """Return the symbol of a parameter of values that are not all known."""
    letter = {"mean_x": "mu", "sd_x": "sigma", "beta_x": "beta"}[known]
    own = next(
        each
        for each in symbols.spec.uncertain
        if f"{label}, ".startswith(f"{each.name}, ")
    )
    of = label.removeprefix(own.name).removeprefix(", ")
    return symbols.of_values(letter, own.column, of)


def _of_distribution(symbols: Symbols, row: PriorRow, known: str) -> _Parameter:
    """Return the symbol of a parameter of the outcome's distribution, or of a scale."""
    own = symbols.design.parameter(known)
    if own is not None and symbols.spec.pooling == "none":
        at = symbols.letters[own.factors[0].factor]
        return _Parameter(Indexed(symbol_of_parameter(known), at=(at,)), (at.name,))
    of_parameter = known.removeprefix("tau_")
    if of_parameter != known:
        above = (symbol_of_parameter(of_parameter),)
        return _Parameter(Indexed(Symbol("tau"), above=above))
    return _Parameter(Indexed(symbol_of_parameter(known)))


def _parts(
    symbols: Symbols, label: str, labels: Sequence[str]
) -> tuple[str | None, str]:
    """Part a label such as ``green, x`` into its category and its predictor."""
    if not symbols.is_categorical:
        return None, label
    known = next(x for x in labels if f", {label}".endswith(f", {x}"))
    return label.removesuffix(known).removesuffix(", ") or None, known


def _general(symbols: Symbols, one: Indexed) -> Indexed | None:
    """Return the symbol for any category of that for one."""
    if not symbols.is_categorical:
        return None
    return Indexed(one.base, one.of[:-1], (CATEGORY, *one.at), one.above)
