"""Formulas of several outcomes, as one of rows that have one outcome each."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from stanpool.base.errors import SpecError, quote, quote_list
from stanpool.language.formulas.formula import Formula, parse_formula, unquote_name
from stanpool.language.formulas.formula_text import factor_text
from stanpool.language.formulas.of_parameters import with_left_side
from stanpool.language.model_spec import GroupTerm
from stanpool.language.terms import read_term
from stanpool.language.vocabulary import is_monotonic, is_smooth, names


@dataclass(frozen=True)
class StackedFormulas:
    """What several formulas say of rows that have one outcome each.

    Attributes
    ----------
    outcomes
        The columns of the outcomes.
    formulas
        The formulas of the rows: of their ``value`` and of its residual scale.
    """

    outcomes: tuple[str, ...]
    formulas: tuple[str, ...]


def stacked_formulas(
    texts: Sequence[str] | Mapping[str, str], functions: Collection[str] = ()
) -> StackedFormulas:
    """Read formulas of several outcomes, and write those of their rows.

    Parameters
    ----------
    texts
        A formula of each outcome, or right-hand sides by outcomes.
    functions
        The names of a user's own functions.

    Raises
    ------
    SpecError
        If a text is not a formula, or has what rows of several outcomes have not.

    Examples
    --------
    >>> found = stacked_formulas(["a ~ x + (1 |p| g)", "b ~ 1 + (1 |p| g)"])
    >>> print(*found.formulas, sep="; ")
    value | residual(cs(row)) ~ 0 + a + b + a:x + (0 + a + b | g); sigma ~ 0 + a + b
    """
    if isinstance(texts, Mapping):
        texts = [with_left_side(*each) for each in texts.items()]
    if isinstance(texts, str) or len(texts) < 2:
        raise SpecError(
            "two outcomes have a formula each, as in ['height ~ age + (1 |p| g)', "
            f"'weight ~ age + (1 |p| g)'], got {quote(texts)}. A model of one outcome "
            "is sp.Model(formula, data)."
        )
    parsed = [parse_formula(text, functions) for text in texts]
    read = [(_outcome(each), each) for each in parsed]
    outcomes = [name for name, _ in read]
    if len(set(outcomes)) < len(outcomes):
        raise SpecError(f"the outcomes {quote_list(outcomes)} are not distinct.")
    if len(outcomes) > 2:
        raise SpecError(
            f"there are formulas of {len(outcomes)} outcomes, {quote_list(outcomes)}, "
            "and models of more than two are not offered. Choose two."
        )
    for name, each in read:
        _refuse_outcomes(name, each, outcomes, functions)
    terms = [name for name, each in read if each.intercept]
    for name, each in read:
        terms += (_of_outcome(name, term, functions) for term in each.terms)
    terms += _group_terms(read)
    scales = " + ".join(outcomes)
    return StackedFormulas(
        tuple(outcomes),
        (
            f"value | residual(cs(row)) ~ 0 + {' + '.join(terms)}",
            f"sigma ~ 0 + {scales}",
        ),
    )


def _outcome(read: Formula) -> str:
    """Return the outcome of a formula, which has nothing else on its left side."""
    name = unquote_name(read.outcome)
    plain = Formula(read.outcome, read.intercept, read.terms, read.groups)
    if name is None or not name.isidentifier() or read != plain:
        raise SpecError(
            f"the formula of {quote(read.outcome)} cannot be one of several: on the "
            "left side stands a column whose name is a plain word, without '|', and "
            "there is no offset() and no factors(). Write log(y) to a column of its "
            "own."
        )
    return name


def _refuse_outcomes(
    name: str, read: Formula, outcomes: Sequence[str], functions: Collection[str]
) -> None:
    """Refuse an outcome as a predictor, or a group, of another."""
    texts = [*read.terms, *(term for group in read.groups for term in group.terms)]
    used = {x for text in texts for x in _columns_in(text.removeprefix("-"), functions)}
    used |= {column for group in read.groups for column in group.key}
    for other in outcomes:
        if other in used:
            raise SpecError(
                f"the formula of {quote(name)} has {quote(other)}, which is an outcome "
                "itself: outcomes that are modelled together are correlated, and do "
                "not predict each other. For a regression of one on the other write "
                f"sp.Model('{name} ~ {other}', data)."
            )


def _columns_in(text: str, functions: Collection[str]) -> set[str]:
    """Return the columns that a term uses."""
    return {each.name for each in names(read_term(text, functions))}


def _of_outcome(name: str, term: str, functions: Collection[str]) -> str:
    """Write a term as one that is 0 for other outcomes."""
    if term.startswith("-"):
        raise SpecError(
            f"the formula of {quote(name)} subtracts {quote(term[1:])}. Leave the term "
            "out of it."
        )
    node = read_term(term, functions)
    if is_smooth(node) or is_monotonic(node):
        raise SpecError(
            f"the formula of {quote(name)} has {term}, and curves of several outcomes "
            "are not offered. Write poly(x, 2), or bs(x, df=5)."
        )
    return _product(name, term)


def _product(name: str, term: str) -> str:
    """Write the product of the column of an outcome and a term."""
    is_one = not any(sign in term for sign in ":*+-/")
    return f"{name}:{term}" if is_one else f"{name}:({term})"


def _group_terms(read: Sequence[tuple[str, Formula]]) -> Iterator[str]:
    """Write the group terms, of which those that share an id are one."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, each in read:
        for group in each.groups:
            own = group.id or f"of {name}"
            columns = found.setdefault((own, factor_text(group)), [])
            columns += _columns(name, group)
    for (_, factor), columns in found.items():
        others = [each for (_, other), each in found.items() if other == factor]
        if len(others) > 1 and any(len(each) > 1 for each in others):
            raise SpecError(
                f"several formulas have terms of the groups of {factor}, one of them "
                "with more than one coefficient, which are correlated with each other "
                "and not with those of the other outcomes. That is not offered: give "
                f"the terms an id, as in (1 |p| {factor})."
            )
        yield f"(0 + {' + '.join(columns)} | {factor})"


def _columns(name: str, group: GroupTerm) -> list[str]:
    """Write the coefficients of a group term as those of one outcome."""
    if group.structure or not group.correlated:
        raise SpecError(
            f"the formula of {quote(name)} has a group term that several outcomes "
            "cannot have: their terms are such as (1 + x | g) and (1 + x |p| g)."
        )
    own = [name] if group.intercept else []
    return own + [_product(name, term) for term in group.terms]
