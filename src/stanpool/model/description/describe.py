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

import pandas as pd

from stanpool.data.design.centers import labels_of_group_predictors
from stanpool.data.design.design import FactorDesign, ParameterDesign
from stanpool.language.expression import Call as CallNode
from stanpool.language.expression import Chain, Name, Node, parse, precedence
from stanpool.language.family import FAMILIES
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
    is_value,
    of_link,
    symbol_of_parameter,
)
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.priors.defaults import correlated_factors

_MOST_PREDICTORS = 12  # that are written one by one
_LISTED = 5  # names in a note


def describe(model: PreparedModel) -> Description:
    """Return what a model says, line by line."""
    symbols = Symbols(model.spec, model.design, _levels(model))
    statements = (
        *_outcome(symbols),
        *_groups(symbols),
        *prior_statements(symbols, model.priors, many=_summed(symbols)),
    )
    return Description(tuple(_plates(symbols)), statements, tuple(_notes(symbols)))


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
    members = [x.weights.shape[1] for x in factors if x.weights is not None]
    if members:
        yield Plate(MEMBER.name, "memberships", max(members))
    if symbols.is_categorical:
        yield Plate(CATEGORY.name, "categories", len(design.categories) - 1, True)
    if FAMILIES[symbols.spec.family].has_cutpoints:
        yield Plate("c", "cutpoints", len(design.categories) - 1, True)
    if _summed(symbols):
        yield Plate(PREDICTOR.name, "predictors", len(_summed(symbols)), True)
    for term in design.special:
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
        cutpoint = Indexed(Symbol("kappa"), at=(Symbol("c"),))
        left = call("Pr", line(outcome, "<=", Symbol("c")))
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
    for own in design.parameters:
        if not is_value(own):
            left = of_link(own.link, symbols.parameter(own.parameter))
            right = total(list(_terms(symbols, own)))
            yield Statement("outcome", left, "=", right)


def _distribution(symbols: Symbols, mean: Math) -> Math:
    """Return the outcome's distribution, as the table of families writes it."""
    spec, family = symbols.spec, FAMILIES[symbols.spec.family]
    known: dict[str, Math] = {"mu": mean}
    known |= {name: symbols.parameter(name) for name in family.parameter_names}
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
            level, parts = precedence(node) + 1, []
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
    infinite = (line("-", Symbol("infty")), Symbol("infty"))
    low, high = (
        other
        if bound is None
        else symbols.expression(bound)
        if isinstance(bound, str)
        else number(bound)
        for bound, other in zip(symbols.spec.trunc, infinite, strict=True)
    )
    interval = Bracketed(line(low, ",", high), "[")
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
    slopes = [each for each in own.coefficients if each not in elsewhere]
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
    for term in own.special:
        yield _product(symbols, [side.column for side in term.sides], term.scales)


def _summed(symbols: Symbols) -> tuple[str, ...]:
    """Return the predictors that are written as a sum, as they are many."""
    mean = symbols.design.mean
    elsewhere = _in_groups(mean)
    slopes = tuple(each for each in mean.coefficients if each not in elsewhere)
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
            weight = Indexed(_weight(symbols, factor), at=(ROW, MEMBER))
            last = number(factor.weights.shape[1])
            yield Total(MEMBER, last, times(weight, total(terms)))


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


def _weight(symbols: Symbols, factor: FactorDesign) -> Symbol | Words:
    """Return the letter of the weights of a factor's memberships."""
    several = [each for each in symbols.design.factors if each.weights is not None]
    return Symbol("w") if len(several) == 1 else Words(f"w_{factor.factor}")


def _product(symbols: Symbols, columns: list[str], rank: int) -> Math:
    """Return the product of the scores and the loadings of a row."""
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
        for factor, is_correlated in zip(design.factors, correlated, strict=True):
            yield from _of_factor(symbols, design.mean, factor, is_correlated)
        for own in design.parameters:
            for factor in own.factors:
                if is_value(own):
                    yield _of_values(symbols, own, factor)
                else:
                    yield from _of_factor(symbols, own, factor, False)
    for term in design.special:
        for letter, side in zip((SCORE, LOADING), term.sides, strict=True):
            at = symbols.letters[side.column]
            scale = number(1) if letter == SCORE else Indexed(Symbol("lambda"))
            right = call("Normal", number(0), scale)
            left = Indexed(letter, at=(LATENT, at))
            yield Statement("groups", left, "~", right, (LATENT.name, at.name))


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
    symbols: Symbols, own: ParameterDesign, factor: FactorDesign, is_correlated: bool
) -> Iterator[Statement]:
    """State the population of a factor's coefficients."""
    at, name = symbols.letters[factor.factor], factor.factor
    means = [_mean(symbols, own, factor, label) for label in factor.varying]
    coefficients, scales = (
        [
            *(
                symbols.coefficient(
                    label, at=(at,), factor=name, parameter=own.parameter
                )
                for label in factor.varying
            )
        ],
        [
            symbols.scale(label, name, parameter=own.parameter)
            for label in factor.varying
        ],
    )
    remark = "" if factor.weights is None else "deviations"
    over = CATEGORY if symbols.is_categorical else None
    if not is_correlated:
        letters = (CATEGORY.name, at.name) if over else (at.name,)
        for left, mean, scale in zip(coefficients, means, scales, strict=True):
            right = call("Normal", mean, scale)
            yield Statement("groups", left, "~", right, letters, remark)
        return
    matrix, correlations = (symbols.matrix(x, name) for x in ("Sigma", "Omega"))
    left_, mean_ = Vector(tuple(coefficients), over), Vector(tuple(means), over)
    right = call("MultiNormal", mean_, matrix)
    yield Statement("groups", left_, "~", right, (at.name,), remark)
    vector = (Vector(tuple(scales), over),) if over else scales
    diagonal = call("diag", *vector)
    product = line(diagonal, "*", correlations, "*", diagonal)
    yield Statement("groups", matrix, "=", product)


def _mean(
    symbols: Symbols, own: ParameterDesign, factor: FactorDesign, label: str
) -> Math:
    """Return the mean of a coefficient of a factor's groups."""
    at, terms = symbols.letters[factor.factor], []
    earlier = own.factors[: own.factors.index(factor)]
    has_mean = label in own.coefficients or (label == "Intercept" and own.intercept)
    is_taken = any(label in each.varying for each in earlier)
    if has_mean and not is_taken and factor.weights is None:
        terms.append(symbols.coefficient(label, parameter=own.parameter))
    if factor.effect_of is not None:
        labels = labels_of_group_predictors(factor, own.coefficients)
        numbers = factor.effect_of[:, factor.varying.index(label)]
        for predictor, number_ in zip(labels, numbers.tolist(), strict=True):
            if number_:
                beta = symbols.coefficient(own.coefficients[number_ - 1])
                terms.append(times(beta, symbols.predictor(predictor, at)))
    return total(terms)


# What the letters mean.


def _notes(symbols: Symbols) -> Iterator[Math]:
    """Yield sentences on what the symbols do not say."""
    spec, design = symbols.spec, symbols.design
    factors = {x.factor: x for each in design.predictors for x in each.factors}
    for factor in factors.values():
        yield from _note_on_groups(symbols, factor)
    for term in design.special:
        for side in term.sides:
            if side.column not in factors:
                yield _group_of_row(symbols, side.column)
    if symbols.is_categorical:
        reference, *others = map(str, design.categories)
        yield line(Words("The categories "), CATEGORY, Words(" are "), *_list(others))
        yield line(Label(reference), Words(" is the reference category."))
    if FAMILIES[spec.family].has_cutpoints:
        categories = [str(each) for each in design.categories]
        yield line(Words("The ordered categories are "), *_list(categories))
    if _summed(symbols):
        x = Indexed(Symbol("x"), at=(PREDICTOR, ROW))
        yield line(x, Words(" are the predictors "), *_list(_summed(symbols)))
    yield from _notes_on_rows(symbols)
    yield Words(
        "Normal distributions are written with their standard deviations. What stands "
        "in brackets behind a prior is the name of the parameter in results."
    )


def _note_on_groups(symbols: Symbols, factor: FactorDesign) -> Iterator[Math]:
    """Say which group a row belongs to, or which groups with which weights."""
    if factor.weights is None:
        yield _group_of_row(symbols, factor.factor)
        return
    weight = Indexed(_weight(symbols, factor), at=(ROW, MEMBER))
    term = next(x for x in symbols.spec.groups if x.factor == factor.factor)
    columns = term.weights or (term.key if term.membership == "matrix" else ())
    said = (
        (Words("in the columns "), *_list(columns))
        if columns
        else (Words(f"1/{factor.weights.shape[1]} each."),)
    )
    yield line(
        symbols.row_of(factor),
        Words(" are the groups of "),
        Label(factor.factor),
        Words(" of row "),
        ROW,
        Words(", and "),
        weight,
        Words(" their weights, "),
        *said,
    )


def _group_of_row(symbols: Symbols, name: str) -> Math:
    lookup = Lookup(symbols.letters[name], (ROW,))
    return line(lookup, Words(" is the "), Label(name), Words(" of row "), ROW, _STOP)


def _notes_on_rows(symbols: Symbols) -> Iterator[Math]:
    """Say how rows are weighted, and how outcomes are censored."""
    spec = symbols.spec
    if spec.weights is not None:
        yield line(
            Words("The log likelihood of row "),
            ROW,
            Words(" is multiplied by "),
            symbols.expression(spec.weights),
            _STOP,
        )
    if spec.cens is not None:
        yield line(
            Words("Where "),
            symbols.expression(spec.cens),
            Words(" says that an outcome is censored, it is known up to an interval."),
        )


def _list(names: tuple[str, ...] | list[str]) -> Iterator[Math]:
    """Write names with commas, a few of them."""
    shown = names[:_LISTED]
    for number_, name in enumerate(shown):
        if number_:
            yield Sign(",")
        yield Label(name)
    more = len(names) - len(shown)
    yield Words(f" and {more} more." if more else ".")


_STOP = Words(".")
