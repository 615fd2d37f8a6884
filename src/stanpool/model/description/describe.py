"""From a model to its statements, in the notation of textbooks.

The coefficients of groups are those of Gelman and Hill [1]_: where the coefficients of
a factor's groups vary about the population's, these are their means, with group-level
predictors added; those of further factors vary about 0. Where a row is a member of
several groups, it has the population's coefficients and their deviations.

References
----------
.. [1] Gelman and Hill (2007). Data analysis using regression and multilevel/
   hierarchical models, chapters 11 to 13. Cambridge University Press.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from stanpool.data.design.centers import labels_of_group_predictors
from stanpool.data.design.design import (
    FactorDesign,
    ParameterDesign,
    Side,
    SpecialTerm,
)
from stanpool.data.design.predictors.latent_factors import LatentDesign
from stanpool.data.design.predictors.tensor_factors import TensorDesign
from stanpool.data.design.predictors.uncertain import UncertainDesign
from stanpool.data.matrix.term_matrix import SmoothScale
from stanpool.language.expression import Call as CallNode
from stanpool.language.expression import Chain, Name, Node, parse, precedence
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import outcome_name
from stanpool.language.formulas.residual_correlation import ResidualCorrelation
from stanpool.language.formulas.structures import STRUCTURES
from stanpool.model.description.description import Description, Plate, Statement
from stanpool.model.description.notation import (
    Bracketed,
    Call,
    Indexed,
    Label,
    Line,
    Lookup,
    Math,
    Power,
    Sign,
    Symbol,
    Total,
    Vector,
    Words,
    call,
    line,
    number,
    times,
    total,
)
from stanpool.model.description.notes import notes_on, weight_of
from stanpool.model.description.prior_statements import prior_statements
from stanpool.model.description.symbols import (
    CATEGORY,
    LATENT,
    LOADING,
    MEMBER,
    PREDICTOR,
    ROW,
    SCORE,
    Symbols,
    inverse_of_link,
    of_link,
    symbol_of_parameter,
)
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.priors.defaults import correlated_factors

_MOST_PREDICTORS = 12  # that are written one by one
_OF_NEIGHBOURS = {
    "icar": "covariance of an intrinsic CAR on the neighbours {}",
    "bym2": "covariance rho C + (1 - rho) I, where C is that of icar on {}",
    "car": "precision rho P + (1 - rho) I, where P is that of icar on {}",
}


def describe(model: PreparedModel) -> Description:
    """Return what a model says, line by line."""
    symbols = Symbols(model.spec, model.design, _levels(model))
    statements = (
        *_outcome(symbols),
        *_groups(symbols),
        *prior_statements(symbols, model.priors, many=_summed(symbols)),
    )
    return Description(
        tuple(_plates(symbols)), statements, tuple(notes_on(symbols, _summed(symbols)))
    )


def _levels(model: PreparedModel) -> dict[str, tuple[str, ...]]:
    """Return the columns of the data, and the levels of those of categories."""
    return {
        str(name): tuple(map(str, column.cat.categories))
        if isinstance(column.dtype, pd.CategoricalDtype)
        else ()
        for name, column in model.data.items()
    }


def _plates(symbols: Symbols) -> Iterator[Plate]:
    """Yield what there are several of."""
    design = symbols.design
    yield Plate(ROW.name, "rows", design.rows)
    seen: set[str] = set()
    factors = [factor for each in design.predictors for factor in each.factors]
    sizes = [(factor.factor, len(factor.labels)) for factor in factors]
    sizes += [(side.column, side.size) for x in design.special for side in x.sides]
    for name, size in sizes:
        if name not in seen:
            seen.add(name)
            yield Plate(symbols.letters[name].name, name, size)
    members = [1, *(x.weights.shape[1] for x in factors if x.weights is not None)]
    if max(members) > 1:
        yield Plate(MEMBER.name, "memberships", max(members))
    if symbols.is_categorical:
        yield Plate(CATEGORY.name, "categories", len(design.categories) - 1, True)
    if FAMILIES[symbols.spec.family].has_cutpoints:
        yield Plate("c", "cutpoints", len(design.categories) - 1, True)
    if _summed(symbols):
        yield Plate(PREDICTOR.name, "predictors", len(_summed(symbols)), True)
    for term in design.special:
        if term.sides:
            yield Plate(LATENT.name, "factors", term.scales, True)


# The outcome and the linear predictors.


def _outcome(symbols: Symbols) -> Iterator[Statement]:
    """Yield the distribution of the outcome, and what its parameters are made of."""
    spec, design = symbols.spec, symbols.design
    family = FAMILIES[spec.family]
    outcome = symbols.expression(spec.outcome)
    predictor = Indexed(Symbol("eta"), at=(ROW,))
    if family.is_categorical:
        predictor = Indexed(Symbol("eta"), at=(CATEGORY, ROW))
        probabilities = call("softmax", number(0), Vector((predictor,), CATEGORY))
        right: Math = call("Categorical", probabilities)
        yield Statement("outcome", outcome, "~", right, (ROW.name,))
        left: Math = predictor
    elif family.has_cutpoints:
        category = Symbol("c")
        cutpoint = Indexed(Symbol("kappa"), at=(category,))
        known = {"y": outcome, "c": category, "1": number(1)}
        left = call("Pr", line(*(known.get(x, x) for x in family.event.split())))
        difference = line(cutpoint, "-", predictor)
        right = inverse_of_link(spec.link_name, difference)
        yield Statement("outcome", left, "=", right, ("c", ROW.name))
        left = predictor
    else:
        is_probability = spec.link_name in ("logit", "probit", "cloglog")
        mean = Indexed(Symbol("p" if is_probability else "mu"), at=(ROW,))
        right = _truncated(symbols, _distribution(symbols, mean))
        yield Statement("outcome", outcome, "~", right, (ROW.name,))
        left = of_link(spec.link_name, mean)
    letters = (CATEGORY.name,) if family.is_categorical else ()
    terms = [*_offsets(symbols), *_terms(symbols, design.mean)]
    yield Statement("outcome", left, "=", total(terms), letters)
    if spec.residual_correlation is not None:
        yield _correlation_of_residuals(symbols, spec.residual_correlation)
    for own in design.parameters:
        if not own.is_value:
            left = of_link(own.link, symbols.parameter(own.parameter))
            right = total(list(_terms(symbols, own)))
            yield Statement("outcome", left, "=", right)


def _correlation_of_residuals(
    symbols: Symbols, stated: ResidualCorrelation
) -> Statement:
    """Return the correlation of the residuals of two rows of a subject."""
    outcome, other = Label(outcome_name(symbols.spec)), Words("'")
    left = call("cor", outcome, line(outcome, other))
    right: Math = Indexed(Symbol("rho"))
    if stated.kind.is_of_times and stated.time is not None:
        time = Label(stated.time)
        both = line(time, "-", line(time, other))
        right = Power(right, Bracketed(both, "|"))
    said = f"two rows of the same {stated.name}, given all coefficients"
    own = Statement("outcome", symbols.expression(symbols.spec.outcome), "=", right)
    return replace(own, left=left, remark=said, one_of=own.states[0])


def _distribution(symbols: Symbols, mean: Math) -> Math:
    """Return the outcome's distribution, as the table of families writes it."""
    spec, family = symbols.spec, FAMILIES[symbols.spec.family]
    known: dict[str, Math] = {"mu": mean}
    known |= {name: symbols.parameter(name) for name in family.parameter_names}
    known |= {name: number(each) for name, each in spec.known_numbers.items()}
    if spec.trials is not None:
        known["trials"] = symbols.expression(spec.trials)
    if spec.se is not None:
        known["sigma"] = symbols.expression(spec.se)
        if spec.se_sigma:
            both = (known["sigma"], symbols.parameter("sigma"))
            squares = [Power(each, number(2)) for each in both]
            known["sigma"] = call("sqrt", total(squares))
    return _written(parse(family.written), known)


def _written(node: Node, known: dict[str, Math]) -> Math:
    """Return a distribution with symbols in the place of names."""
    match node:
        case Name(name=name):
            return known[name]
        case CallNode(name=name, arguments=arguments):
            function = Symbol("Gamma") if name == "gamma" else Words(name)
            return Call(function, tuple(_written(each, known) for each in arguments))
        case Chain(signs=signs, operands=operands):
            level = precedence(node) + 1
            parts: list[Math] = []
            for sign, operand in zip(("", *signs), operands, strict=True):
                shown = _written(operand, known)
                is_within = precedence(operand) >= level
                parts += [Sign(sign)] if sign else []
                parts.append(shown if is_within else Bracketed(shown))
            return Line(tuple(parts))
    return number(node.value)  # type: ignore[attr-defined]


def _truncated(symbols: Symbols, distribution: Math) -> Math:
    """Return the distribution of what could be observed."""
    if symbols.spec.trunc is None:
        return distribution
    bounds: list[Math] = [line("-", Symbol("infty")), Symbol("infty")]
    for side, bound in enumerate(symbols.spec.trunc):
        if isinstance(bound, str):
            bounds[side] = symbols.expression(bound)
        elif bound is not None:
            bounds[side] = number(bound)
    interval = Bracketed(line(bounds[0], ",", bounds[1]), "[")
    return line(distribution, Words(" truncated to "), interval)


def _offsets(symbols: Symbols) -> Iterator[Math]:
    """Yield what is added to the linear predictor as it is."""
    spec = symbols.spec
    if spec.exposure is not None:
        yield call("log", symbols.expression(spec.exposure))
    for offset in spec.offsets:
        yield symbols.expression(offset)


def _terms(symbols: Symbols, own: ParameterDesign) -> Iterator[Math]:
    """Yield the terms of a linear predictor: intercepts, then slopes, then others."""
    elsewhere = _in_groups(own)
    name = own.parameter
    if own.intercept and "Intercept" not in elsewhere:
        yield symbols.coefficient("Intercept", parameter=name)
    yield from _group_terms(symbols, own, of_intercepts=True)
    slopes = [each for each in _lines(own) if each not in elsewhere]
    if len(slopes) > _MOST_PREDICTORS:
        beta, x = (
            Indexed(letter, at=(PREDICTOR, *at))
            for letter, at in ((Symbol("beta"), ()), (Symbol("x"), (ROW,)))
        )
        if symbols.is_categorical:
            beta = Indexed(Symbol("beta"), at=(CATEGORY, PREDICTOR))
        yield Total(PREDICTOR, number(len(slopes)), times(beta, x))
        slopes = []
    for label in slopes:
        beta = symbols.coefficient(label, parameter=name)
        yield times(beta, symbols.predictor(label))
    yield from _group_terms(symbols, own, of_intercepts=False)
    for each in own.smooths:
        yield symbols.curve(each.name, parameter=name)
    for term in (each for each in own.special if each.sides):
        yield _product(symbols, term)


def _lines(own: ParameterDesign) -> tuple[str, ...]:
    """Return the predictors that are straight lines: monotonic effects are curves."""
    return own.free[: len(own.free) - len(own.monotonic)]


def _summed(symbols: Symbols) -> tuple[str, ...]:
    """Return the predictors that are written as a sum, as they are many."""
    mean = symbols.design.mean
    elsewhere = _in_groups(mean)
    slopes = tuple(each for each in _lines(mean) if each not in elsewhere)
    return slopes if len(slopes) > _MOST_PREDICTORS else ()


def _group_terms(
    symbols: Symbols, own: ParameterDesign, *, of_intercepts: bool
) -> Iterator[Math]:
    """Yield the coefficients of a row's groups times their predictors."""
    for factor in own.factors:
        terms = [
            _times_predictor(symbols, own, factor, label)
            for label in factor.varying
            if (label == "Intercept") == of_intercepts
        ]
        if factor.weights is None:
            yield from terms
        elif terms:
            weighted = times(weight_of(symbols, factor), total(terms))
            count = factor.weights.shape[1]
            yield Total(MEMBER, number(count), weighted) if count > 1 else weighted


def _times_predictor(
    symbols: Symbols, own: ParameterDesign, factor: FactorDesign, label: str
) -> Math:
    at = (symbols.row_of(factor),)
    coefficient = symbols.coefficient(
        label, at=at, factor=factor.factor, parameter=own.parameter
    )
    if label == "Intercept":
        return coefficient
    return times(coefficient, symbols.predictor(label))


def _product(symbols: Symbols, term: SpecialTerm) -> Math:
    """Return the product of the scores and the loadings of a row."""
    columns, rank = [side.column for side in term.sides], term.scales
    if isinstance(term, TensorDesign):
        parts = (
            symbols.score(column, Lookup(symbols.letters[column], (ROW,)))
            for column in columns
        )
        scale = Indexed(Symbol("lambda"), at=(LATENT,))
        return Total(LATENT, number(rank), times(scale, *parts))
    both = (
        Indexed(letter, at=(LATENT, Lookup(symbols.letters[column], (ROW,))))
        for letter, column in zip((SCORE, LOADING), columns, strict=True)
    )
    return Total(LATENT, number(rank), times(*both))


def _in_groups(own: ParameterDesign) -> set[str]:
    """Return the population's coefficients that are in the means of groups' ones."""
    found: set[str] = set()
    earlier: set[str] = set()
    for factor in own.factors:
        if factor.weights is None:
            found |= {each for each in factor.varying if each not in earlier}
        if factor.effect_of is not None:
            numbers = factor.effect_of[factor.effect_of > 0]
            found |= {own.coefficients[number - 1] for number in numbers}
        earlier |= {*factor.varying}
    return found


# The coefficients of groups.


def _groups(symbols: Symbols) -> Iterator[Statement]:
    """Yield the distributions of the coefficients of groups."""
    spec, design = symbols.spec, symbols.design
    if spec.pooling == "partial":
        correlated = correlated_factors(spec, design)
        for factor, each in zip(design.factors, correlated, strict=True):
            yield from _of_factor(symbols, design.mean, factor, each)
        for own in design.parameters:
            for factor in own.factors:
                if own.is_value:
                    yield _of_values(symbols, own, factor)
                else:
                    both = symbols, own, factor
                    yield from _of_factor(*both, factor.is_correlated)
    for own in design.predictors:
        for smooth in own.monotonic:
            yield _of_monotonic_effect(symbols, smooth, own.parameter)
        for smooth in own.scaled:
            curve = symbols.curve(smooth.name, parameter=own.parameter)
            tau = symbols.scale_of_smooth(smooth.name, parameter=own.parameter)
            said = f"made of {smooth.count} coefficients, each Normal(0, tau)"
            smooth_of = call("Smooth", tau)
            if smooth.spectrum is not None:
                said = f"{smooth.spectrum.covariance}, by {smooth.count} functions"
                ell = (
                    symbols.lengthscale(label, parameter=own.parameter)
                    for label in smooth.spectrum.lengthscales
                )
                smooth_of = call("GaussianProcess", tau, *ell)
            yield Statement("groups", curve, "~", smooth_of, (ROW.name,), said)
    for term in design.special:
        if isinstance(term, UncertainDesign):
            yield from _of_values_of_predictors(symbols, term)
    for term in (each for each in design.special if each.sides):
        if isinstance(term, TensorDesign):
            for side in term.sides:
                at = symbols.letters[side.column]
                left = symbols.score(side.column, at)
                right = call("Normal", number(0), number(1))
                yield Statement("groups", left, "~", right, (LATENT.name, at.name))
            continue
        for letter, side in zip((SCORE, LOADING), term.sides, strict=True):
            at = symbols.letters[side.column]
            scale = number(1) if letter == SCORE else Indexed(Symbol("lambda"))
            mean = _mean_of_levels(symbols, term, side, at)
            said = "with predictors about their means over levels" if mean else ""
            if mean and letter == LOADING:
                mean = times(scale, mean)
            right = call("Normal", mean or number(0), scale)
            left = Indexed(letter, at=(LATENT, at))
            yield Statement("groups", left, "~", right, (LATENT.name, at.name), said)


def _mean_of_levels(
    symbols: Symbols, term: SpecialTerm, side: Side, at: Symbol
) -> Math | None:
    """Return the mean of what a level has on factors, over its scale; None for 0."""
    if not isinstance(term, LatentDesign) or term.means is None:
        return None
    place = [each.column for each in term.sides].index(side.column)
    labels = [
        label
        for label, of in zip(term.means.labels, term.means.of, strict=True)
        if of == place
    ]
    terms = [
        times(
            symbols.of_factors(label),
            symbols.predictor(label.removeprefix(f"{side.column}, "), at),
        )
        for label in labels
    ]
    return total(terms) if terms else None


def _of_values_of_predictors(
    symbols: Symbols, term: UncertainDesign
) -> Iterator[Statement]:
    """State how true values are distributed, and what is observed of them."""
    for u, each in enumerate(term.predictors):
        value, column = symbols.value(each), each.column
        if each.error is not None:
            seen = Indexed(Label(column), at=(ROW,))
            right = call("Normal", value, symbols.expression(each.error))
            yield Statement("groups", seen, "~", right, (ROW.name,))
        terms: list[Math] = [symbols.of_values("mu", column)]
        own = [label for label, of in zip(term.labels, term.of, strict=True) if of == u]
        for label in (text.removeprefix(f"{each.name}, ") for text in own):
            beta = symbols.of_values("beta", column, label)
            terms.append(times(beta, symbols.predictor(label)))
        remarks = ["also where it is missing"] * each.may_miss
        remarks += ["with predictors about their means"] * bool(own)
        said = ", ".join(remarks)
        right = call("Normal", total(terms), symbols.of_values("sigma", column))
        yield Statement("groups", value, "~", right, (ROW.name,), said)


def _of_monotonic_effect(
    symbols: Symbols, effect: SmoothScale, parameter: str
) -> Statement:
    """Return what a monotonic effect adds to a row."""
    curve = symbols.curve(effect.name, parameter=parameter)
    beta = symbols.coefficient(effect.name, parameter=parameter)
    assert effect.steps is not None
    steps = [symbols.steps(x, parameter=parameter) for x in effect.steps.labels]
    said = (
        f"the mean step times {effect.count + 1}, times the share that the steps up to "
        "the level of row i have in all"
    )
    monotonic = call("Monotonic", beta, *steps)
    return Statement("groups", curve, "=", monotonic, (ROW.name,), said)


def _of_values(
    symbols: Symbols, own: ParameterDesign, factor: FactorDesign
) -> Statement:
    """State the population of the values that a parameter has in groups."""
    at, parameter = symbols.letters[factor.factor], symbol_of_parameter(own.parameter)
    left = of_link(own.link, Indexed(parameter, at=(at,)))
    mean = of_link(own.link, Indexed(parameter))
    scale = Indexed(Symbol("tau"), above=(parameter,))
    return Statement("groups", left, "~", call("Normal", mean, scale), (at.name,))


def _of_factor(
    symbols: Symbols, own: ParameterDesign, factor: FactorDesign, correlated: bool
) -> Iterator[Statement]:
    """State the population of a factor's coefficients, with all it is joined to."""
    if factor.follows:
        return
    at, name = symbols.letters[factor.factor], factor.factor
    means, coefficients, scales = list[Math](), list[Math](), list[Math]()
    for predictor, each in _joined(symbols, own, factor):
        of = predictor.parameter
        for label in each.varying:
            means.append(_mean(symbols, predictor, each, label))
            known = {"factor": name, "parameter": of}
            coefficients.append(symbols.coefficient(label, at=(at,), **known))
            scales.append(symbols.scale(label, name, parameter=of))
    correlated = correlated or factor.joint is not None
    remark = _remark_on(symbols, factor)
    over = CATEGORY if symbols.is_categorical else None
    if not correlated:
        letters = (CATEGORY.name, at.name) if over else (at.name,)
        for left, mean, scale in zip(coefficients, means, scales, strict=True):
            right = _population(symbols, own, factor, mean, scale)
            yield Statement("groups", left, "~", right, letters, remark)
        return
    matrix, correlations = (
        symbols.matrix(x, name, parameter=own.parameter) for x in ("Sigma", "Omega")
    )
    left_, mean_ = Vector(tuple(coefficients), over), Vector(tuple(means), over)
    right = _population(symbols, own, factor, mean_, matrix, multi="Multi")
    yield Statement("groups", left_, "~", right, (at.name,), remark)
    vector = (Vector(tuple(scales), over),) if over else scales
    diagonal = call("diag", *vector)
    product = line(diagonal, "*", correlations, "*", diagonal)
    yield Statement("groups", matrix, "=", product)


def _joined(
    symbols: Symbols, own: ParameterDesign, factor: FactorDesign
) -> Iterator[tuple[ParameterDesign, FactorDesign]]:
    """Yield a predictor and its factor, and those that an id joins to these."""
    if factor.joint is None:
        yield own, factor
        return
    for part in factor.joint.parts:
        predictor = symbols.design.parameter(part.parameter)
        assert predictor is not None
        yield predictor, predictor.factors[part.number]


def _population(
    symbols: Symbols,
    own: ParameterDesign,
    factor: FactorDesign,
    mean: Math,
    scale: Math,
    multi: str = "",
) -> Math:
    """Write the distribution of coefficients, or that of several together."""
    if factor.population == "laplace":
        return call("Laplace", mean, line(scale, "/", call("sqrt", number(2))))
    if factor.population == "student_t":
        nu = symbols.matrix("nu", factor.factor, parameter=own.parameter)
        return call(f"{multi}StudentT", nu, mean, scale)
    if factor.root is not None and factor.has_rho:
        rho = symbols.matrix("rho", factor.factor, parameter=own.parameter)
        return call(f"{multi}{factor.root.kind.upper()}", mean, scale, rho)
    return call(f"{multi}Normal", mean, scale)


def _remark_on(symbols: Symbols, factor: FactorDesign) -> str:
    """Say what a distribution is of, where it is not of each group by itself."""
    if factor.weights is not None:
        return "deviations"
    terms = {term.factor: term for term in symbols.spec.all_groups}
    term = terms.get(factor.factor)
    if term is None or not term.is_related:
        return ""
    what = "known covariance {} between groups"
    if term.is_of_times:
        order = "second-order " * (STRUCTURES[term.structure].order == 2)
        of_each = f" for each {':'.join(term.key[:-1])}" if term.key[:-1] else ""
        what = f"covariance of a {order}random walk{of_each}"
        if not STRUCTURES[term.structure].order:
            what = f"correlation rho^|t - t'| between times t and t'{of_each}"
    elif term.structure:
        what = _OF_NEIGHBOURS[term.structure]
    return f"with the {what.format(term.covariance)}"


def _mean(
    symbols: Symbols, own: ParameterDesign, factor: FactorDesign, label: str
) -> Math:
    """Return the mean of a coefficient of a factor's groups."""
    at, name = symbols.letters[factor.factor], own.parameter
    terms: list[Math] = []
    earlier = own.factors[: own.factors.index(factor)]
    has_mean = label in own.coefficients or (label == "Intercept" and own.intercept)
    is_taken = any(label in each.varying for each in earlier)
    if has_mean and not is_taken and factor.weights is None:
        terms.append(symbols.coefficient(label, parameter=name))
    if factor.effect_of is not None:
        labels = labels_of_group_predictors(factor, own.coefficients)
        numbers = factor.effect_of[:, factor.varying.index(label)]
        for predictor, number_ in zip(labels, numbers.tolist(), strict=True):
            if number_:
                effect = own.coefficients[number_ - 1]
                beta = symbols.coefficient(effect, parameter=name)
                terms.append(times(beta, symbols.predictor(predictor, at)))
    return total(terms)
