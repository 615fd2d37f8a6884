"""Terms: what ``a * b`` means among them, and the factors that they are made of.

The algebra itself is formulaic's. It sees each factor, be it a column or ``log(x)``,
under an alias, and so has nothing to evaluate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from stanpool.language.expression import (
    Call,
    Chain,
    Name,
    Node,
    Number,
    Span,
    Text,
    Unary,
    parse,
    written,
)
from stanpool.language.vocabulary import (
    check,
    check_arithmetic,
    columns_of,
    is_monotonic,
    is_smooth,
    is_uncertain,
)

_MOST_TERMS = 10_000
_MOST_FACTORS = 10  # of one interaction
_ALGEBRA = {"+", "-", "*", "/", ":", "**"}
_MEANS = {
    "/": "nests one in the other",
    "*": "gives both and their interaction",
    "**": "gives interactions, of several terms in brackets",
    ":": "gives their interaction",
}


def read_term(text: str | Span, functions: Collection[str] = ()) -> Node:
    """Read and check a term.

    Parameters
    ----------
    text
        Such as ``a * log(x)``.
    functions
        The names of a user's own functions.

    Raises
    ------
    SpecError
        If it is none; a caret shows where.
    """
    node = parse(text)
    _check(node, functions)
    _size(node)
    return node


def read_arithmetic(text: str | Span, functions: Collection[str] = ()) -> Node:
    """Read and check an expression that is one column.

    Raises
    ------
    SpecError
        If it is none; a caret shows where.
    """
    node = parse(text)
    check_arithmetic(node, functions)
    return node


def factors(term: Node) -> Iterator[Node]:
    """Yield what a term is made of."""
    match term:
        case Chain(signs=("**",), operands=(base, _)):
            yield from factors(base)
        case Chain(operands=operands):
            for each in operands:
                yield from factors(each)
        case Name() | Call():
            yield term


def with_aliases(term: Node, aliases: Mapping[str, str]) -> str:
    """Write a term with an alias for each factor."""
    match term:
        case Chain(signs=signs, operands=operands):
            text = with_aliases(operands[0], aliases)
            for sign, each in zip(signs, operands[1:], strict=True):
                text += f" {sign} {with_aliases(each, aliases)}"
            return f"({text})"
        case Number(value=value):
            return str(value)
    return aliases[written(term)]


def _check(node: Node, functions: Collection[str]) -> None:
    """Refuse what is not a term."""
    match node:
        case Name(name=name, quoted=quoted) if quoted or "." not in name:
            return
        case Call():
            check(node, functions)
            for each in columns_of(node):
                check_arithmetic(each, functions)
        case Chain(signs=("**",), operands=(base, exponent)):
            _check(base, functions)
            is_whole = isinstance(exponent, Number) and isinstance(exponent.value, int)
            if not (is_whole and isinstance(base, Chain)):
                _refuse_arithmetic(node, "**")
        case Chain(signs=signs, operands=operands):
            for sign in signs:
                if sign not in _ALGEBRA:
                    _refuse_arithmetic(node, sign)
            for each in operands:
                if is_monotonic(each):
                    raise each.at.error(
                        "a monotonic effect can only be added, as in '+ mo(x)'. An "
                        "effect of each level that depends on another column is "
                        "C(x) * z."
                    )
                if is_uncertain(each):
                    raise each.at.error(
                        f"{written(each)} can only be added, as in '+ {written(each)}':"
                        " its values are not all known, and products of them are not "
                        "offered."
                    )
                if is_smooth(each):
                    raise each.at.error(
                        "a smooth can only be added, as in '+ s(x)'. Curves that "
                        "depend on another column are s(x, by=z)."
                    )
                if isinstance(each, Number) and not (
                    each.value in (0, 1) and set(signs) <= {"+", "-"}
                ):
                    _refuse_arithmetic(node, signs[0])
                if not isinstance(each, Number):
                    _check(each, functions)
        case Number():
            raise node.at.error(
                "a number is not a term, except 0 and 1 for the intercept. Arithmetic "
                "stands in I(), as in I(2 * x)."
            )
        case Text():
            raise node.at.error(
                "a string is not a term; write a column's name without quotes, or in "
                "backticks."
            )
        case Unary(sign=sign):
            _refuse_arithmetic(node, sign)
        case _:
            check(node, functions)


def _refuse_arithmetic(node: Node, sign: str) -> None:
    means = f": among terms {sign!r} {_MEANS[sign]}" if sign in _MEANS else ""
    raise node.at.error(
        f"arithmetic stands in I(), write I({written(node)}){means}."
        if ":" not in written(node)
        else f"{sign!r} cannot stand here among terms."
    )


def _size(node: Node) -> tuple[int, int]:
    """Return how many terms there will be, and factors in one; refuse too many."""
    match node:
        case Chain(signs=("**",), operands=(base, Number(value=exponent))):
            terms, degree = _size(base)
            power = min(int(exponent), _MOST_TERMS)
            if power < 1:
                raise node.at.error("'**' among terms takes 1, 2, 3, ...")
            many = power * max(1, terms.bit_length() - 1) > _MOST_TERMS.bit_length()
            size = _MOST_TERMS + 1 if many else terms**power
            found = size, min(power, terms) * degree
        case Chain(signs=signs, operands=operands):
            sizes = [_size(each) for each in operands]
            terms, degree = sizes[0]
            for sign, (more, deep) in zip(signs, sizes[1:], strict=True):
                if sign in "+-":
                    terms, degree = terms + more, max(degree, deep)
                elif sign == "/":
                    terms, degree = terms + more, terms * degree + deep
                else:
                    product = terms * more
                    terms = product if sign == ":" else terms + more + product
                    degree += deep
                terms = min(terms, _MOST_TERMS + 1)
            found = terms, degree
        case _:
            found = 1, 1
    if found[0] > _MOST_TERMS or found[1] > _MOST_FACTORS:
        raise node.at.error(
            f"this is more than {_MOST_TERMS:,} terms, or interactions of more than "
            f"{_MOST_FACTORS} factors."
        )
    return found
