"""Sentences on what the letters of a model's equations mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stanpool.data.design.design import FactorDesign
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import GroupTerm
from stanpool.model.description.notation import (
    Indexed,
    Label,
    Lookup,
    Math,
    Sign,
    Symbol,
    Words,
    line,
)
from stanpool.model.description.symbols import (
    CATEGORY,
    PREDICTOR,
    ROW,
    Symbols,
)

_LISTED = 5  # names in a note
_STOP = Words(".")


def notes_on(symbols: Symbols, summed: Sequence[str]) -> Iterator[Math]:
    """Yield sentences on what the symbols do not say."""
    spec, design = symbols.spec, symbols.design
    factors = {x.factor: x for each in design.predictors for x in each.factors}
    for factor in factors.values():
        yield from _note_on_groups(symbols, factor)
    for term in design.special:
        for side in term.sides:
            if side.column not in factors:
                yield _group_of_row(symbols, side.column, side.column)
    if symbols.is_categorical:
        reference, *others = map(str, design.categories)
        yield line(Words("The categories "), CATEGORY, Words(" are "), *_list(others))
        yield line(Label(reference), Words(" is the reference category."))
    if FAMILIES[spec.family].has_cutpoints:
        categories = [str(each) for each in design.categories]
        yield line(Words("The ordered categories are "), *_list(categories))
    if summed:
        x = Indexed(Symbol("x"), at=(PREDICTOR, ROW))
        yield line(x, Words(" are the predictors "), *_list(summed))
    yield from _notes_on_rows(symbols)
    yield Words(
        "Normal distributions are written with their standard deviations. What stands "
        "in brackets behind a prior is the name of the parameter in results."
    )


def _note_on_groups(symbols: Symbols, factor: FactorDesign) -> Iterator[Math]:
    """Say which group a row belongs to, or which groups with which weights."""
    if factor.weights is None:
        covarying = {
            x.factor: ":".join(x.key) for x in symbols.spec.groups if x.is_related
        }
        own = covarying.get(factor.factor, factor.factor)
        yield _group_of_row(symbols, factor.factor, own)
        return
    weight = weight_of(symbols, factor)
    term = next(x for x in symbols.spec.all_groups if x.factor == factor.factor)
    if term.by:
        yield _note_on_level(symbols, factor, term)
        return
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


def _note_on_level(symbols: Symbols, factor: FactorDesign, term: GroupTerm) -> Math:
    """Say which rows are of the groups of one level of a column."""
    return line(
        symbols.row_of(factor),
        Words(" is the "),
        Label(term.key[0]),
        Words(" of row "),
        ROW,
        Words(", and "),
        weight_of(symbols, factor),
        Words(" is 1 where "),
        Label(term.by),
        Words(" is "),
        Label(term.level),
        Words(", else 0."),
    )


def _group_of_row(symbols: Symbols, name: str, column: str) -> Math:
    lookup = Lookup(symbols.letters[name], (ROW,))
    return line(lookup, Words(" is the "), Label(column), Words(" of row "), ROW, _STOP)


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


def _list(names: Sequence[str]) -> Iterator[Math]:
    """Write names with commas, a few of them."""
    shown = names[:_LISTED]
    for number_, name in enumerate(shown):
        if number_:
            yield Sign(",")
        yield Label(name)
    more = len(names) - len(shown)
    yield Words(f" and {more} more." if more else ".")


def weight_of(symbols: Symbols, factor: FactorDesign) -> Indexed:
    """Return the weight of a row's membership in a group of a factor."""
    several = [each for each in symbols.design.factors if each.weights is not None]
    letter = Symbol("w") if len(several) == 1 else Words(f"w_{factor.factor}")
    return Indexed(letter, at=symbols.membership_of(factor))
