"""Several formulas: of the outcome, and of parameters of its distribution."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from stanpool.base.errors import SpecError, quote, quote_list
from stanpool.language.expression import Span
from stanpool.language.formulas.formula import Formula, parse_formula
from stanpool.language.model_spec import GroupTerm, ParameterFormula
from stanpool.language.special.uncertain import ValuesFormula, uncertain_predictor


def parse_formulas(
    texts: str | Sequence[str] | Mapping[str, str], functions: Collection[str] = ()
) -> tuple[Formula, str | None]:
    """Read a formula, or one of the outcome and others of the family's parameters.

    Parameters
    ----------
    texts
        A formula; a list of which the first is of the outcome; or right-hand sides by
        what they are of, the outcome first.
    functions
        The names of a user's own functions.

    Returns
    -------
    tuple
        The formula with those of the parameters, and the column whose groups have
        residual scales of their own, which is what ``sigma ~ (1 | g)`` says.

    Raises
    ------
    SpecError
        If a text is not a formula.

    Examples
    --------
    >>> parse_formulas(["y ~ x + (1 | g)", "sigma ~ (1 | g)"])[1]
    'g'
    >>> parse_formulas({"y": "x + (1 | g)", "sigma": "~ z"})[0].formulas[0].terms
    ('z',)
    """
    if isinstance(texts, Mapping):
        texts = [with_left_side(*each) for each in texts.items()]
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        return _without_unshared_ids([parse_formula(texts, functions)])[0], None
    if not texts:
        raise SpecError(
            "there is no formula; a model is stated by one such as 'y ~ x', and others "
            "of parameters may follow, as in ['y ~ x', 'sigma ~ z']."
        )
    first = parse_formula(texts[0], functions)
    values = [_of_values(text, functions) for text in texts[1:]]
    of_values = tuple(each for each in values if each is not None)
    others = [
        _of_parameter(text, functions)
        for text, own in zip(texts[1:], values, strict=True)
        if own is None
    ]
    first, *others = _without_unshared_ids([first, *others])
    residual = None
    for other in list(others):
        if other == _scales_of_groups(other):
            others.remove(other)
            residual = other.groups[0].factor
    return replace(first, formulas=tuple(others), values=of_values), residual


def with_left_side(name: object, text: object) -> str:
    """Write an entry of a mapping, such as ``{"sigma": "~ z"}``, as a formula."""
    if not isinstance(name, str) or not isinstance(text, str):
        raise SpecError(
            f"formulas have {quote(name)}: {quote(text)}; a mapping of formulas has "
            "texts, as in {'y': 'x + (1 | g)', 'sigma': 'z'}."
        )
    left, _, right = text.rpartition("~")
    if left.strip() not in ("", name.strip()):
        raise SpecError(
            f"the formula of {quote(name)} is {quote(text)}, which is one of "
            f"{quote(left.strip())}. Give the right-hand side only."
        )
    return f"{name} ~ {right}"


def _of_values(text: str, functions: Collection[str]) -> ValuesFormula | None:
    """Read the formula of a predictor's values, ``mi(x) ~ z``; None of another."""
    left = text.partition("~")[0] if isinstance(text, str) else ""
    own = uncertain_predictor(left.strip())
    if own is None:
        return None
    whole = Span(text, 0, len(text))
    read = parse_formula(f"x ~ {text.partition('~')[2]}", functions)
    plain = Formula("x", terms=read.terms)
    wrong = [each for each in read.terms if uncertain_predictor(each)]
    if read != plain or wrong or any(each.startswith("-") for each in read.terms):
        raise whole.error(
            f"the formula of the values of {own.name} has predictors whose values are "
            "all known and an intercept, and no group terms, offset() or factors(). "
            "The levels of a group are predictors in it as C(g)."
        )
    return ValuesFormula(own.text, read.terms)


def _of_parameter(text: str, functions: Collection[str]) -> ParameterFormula:
    """Read the formula of a family's parameter, which has no parts and no offsets."""
    read = parse_formula(text, functions)
    plain = Formula(read.outcome, read.intercept, read.terms, read.groups)
    uncertain = [each for each in read.terms if uncertain_predictor(each)]
    if uncertain:
        raise SpecError(
            f"{quote(text)} has {quote_list(uncertain)}: predictors whose values are "
            "not all known can only be in the formula of the outcome."
        )
    if read != plain or not read.outcome.isidentifier():
        raise SpecError(
            f"cannot read {quote(text)}: after the formula of the outcome come those "
            "of parameters, as in 'sigma ~ z + (1 | g)', with predictors and group "
            "terms, and without '|' on the left side, offset() and factors()."
        )
    return ParameterFormula(read.outcome, read.intercept, read.terms, read.groups)


def _without_unshared_ids(
    formulas: Sequence[Formula | ParameterFormula],
) -> list[Any]:
    """Leave out ids that one formula has alone, with whose terms nothing is shared."""
    counts = Counter(
        each for own in formulas for each in {term.id for term in own.groups}
    )
    return [
        replace(
            own,
            groups=tuple(
                replace(term, id=term.id if counts[term.id] > 1 else "")
                for term in own.groups
            ),
        )
        for own in formulas
    ]


def _scales_of_groups(formula: ParameterFormula) -> ParameterFormula | None:
    """Return the formula of residual scales that differ between groups only."""
    if not formula.groups:
        return None
    return ParameterFormula("sigma", groups=(GroupTerm(formula.groups[0].factor),))
