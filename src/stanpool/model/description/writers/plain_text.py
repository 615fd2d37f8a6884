"""Mathematical notation as plain text, in lines of a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from stanpool.model.description.description import BLOCKS, Description, Statement
from stanpool.model.description.notation import (
    Bracketed,
    Call,
    Indexed,
    Label,
    Line,
    Lookup,
    Math,
    Number,
    Power,
    Sign,
    Sum,
    Symbol,
    Total,
    Vector,
    Words,
)
from stanpool.model.description.writers.letters import GREEK, SIGNS, name_of, printable

_WIDTH = 80
_PAGE = 60  # characters of a sum in a line of a page
_LEFT = 24  # characters of a left side, beyond which others are not moved
_RAISED = {"2": "²", "-1": "⁻¹"}


def equations_text(model: Description) -> str:
    """Write a model as text of at most 80 columns, where names are not too long."""
    blocks = []
    for block in BLOCKS:
        stated = list(model.of_block(block))
        lengths = [len(plain(each.left)) for each in stated]
        left = max((each for each in lengths if each <= _LEFT), default=0)
        lines = [line for each in stated for line in _statement(model, each, left)]
        blocks.append("\n".join(lines))
    notes = [
        line
        for note in model.notes
        for line in textwrap.wrap(
            plain(note), _WIDTH, subsequent_indent="  ", break_long_words=False
        )
    ]
    return "\n\n".join(filter(None, (*blocks, "\n".join(notes))))


def _statement(model: Description, stated: Statement, left: int) -> Iterator[str]:
    """Write a statement in one line, or in more if it is long."""
    start = f"{plain(stated.left).rjust(left)} {stated.relation} "
    said = [_for_all(model, letter) for letter in stated.letters]
    if said:
        said = [f"for {', '.join(said)}"]
    if stated.remark:
        said.append(f"({printable(stated.remark)})")
    indent = " " * min(len(start), _LEFT + 3)
    current, is_empty = start, True
    for piece in (*_pieces(stated.right), *(f"   {each}" for each in said)):
        if not is_empty and len(current) + len(piece) > _WIDTH:
            yield current.rstrip()
            current, piece = indent, piece.lstrip()
        current, is_empty = current + piece, False
    yield current


def _pieces(math: Math) -> Iterator[str]:
    """Yield the text of an expression in pieces, before which lines may be broken."""
    match math:
        case Sum(terms=(first, *others)):
            yield plain(first)
            yield from (f" + {plain(term)}" for term in others)
        case Line(parts=(first, *others)):
            pairs = zip(others[::2], others[1::2], strict=False)
            yield plain(first)
            yield from (f"{plain(sign)}{plain(operand)}" for sign, operand in pairs)
            yield from map(plain, others[2 * (len(others) // 2) :])
        case Call(function=function, arguments=(first, *others)) if others:
            *middle, last = (f", {plain(each)}" for each in others)
            yield f"{plain(function)}({plain(first)}"
            yield from middle
            yield f"{last})"
        case _:
            yield plain(math)


def broken(math: Math) -> list[Math]:
    """Break a long sum into sums that fit on a line of a page."""
    if not isinstance(math, Sum):
        return [math]
    lines: list[list[Math]] = [[]]
    for term in math.terms:
        length = sum(len(plain(each)) + 3 for each in (*lines[-1], term))
        if lines[-1] and length > _PAGE:
            lines.append([])
        lines[-1].append(term)
    return [Sum(tuple(each)) for each in lines]


def _for_all(model: Description, letter: str) -> str:
    """Write the values of an index."""
    last = model.plate(letter).size
    values = "1" if last == 1 else "1, 2" if last == 2 else f"1, ..., {last}"
    return f"{letter} = {values}"


def plain(math: Math) -> str:
    """Write an expression.

    Examples
    --------
    >>> i = Symbol("i")
    >>> plain(Indexed(Label("hits %"), at=(i,)))
    '`hits %`[i]'
    >>> plain(Indexed(Symbol("alpha"), at=(Lookup(Symbol("j"), (i,)),)))
    'α[j[i]]'
    """
    match math:
        case Symbol(name=name):
            return GREEK.get(name, name)
        case Label(text=text):
            return _name(text)
        case Words(text=text):
            return printable(text)
        case Number(text=text):
            return text
        case Sign(text=text):
            return SIGNS.get(text, ("", f" {text} "))[1]
        case Lookup(letter=letter, of=of):
            return f"{plain(letter)}[{_list(of)}]"
        case Indexed(base=base, of=of, at=at, above=above):
            subscripts = "".join(
                f"_{','.join(map(plain, each))}" for each in (of, above) if each
            )
            return f"{plain(base)}{subscripts}{f'[{_list(at)}]' if at else ''}"
        case Line(parts=parts):
            return "".join(map(plain, parts))
        case Sum(terms=terms):
            return " + ".join(map(plain, terms))
        case Total(index=index, last=last, body=body):
            return f"sum over {index.name} = 1..{plain(last)} of {plain(body)}"
        case Power(base=base, exponent=exponent):
            raised = plain(exponent)
            return f"{plain(base)}{_RAISED.get(raised, f'^{raised}')}"
        case Call(function=function, arguments=arguments):
            return f"{plain(function)}({_list(arguments)})"
        case Bracketed(inside=inside, opening=opening, closing=closing):
            return f"{opening}{plain(inside)}{closing}"
        case Vector(items=items, over=over):
            each = "" if over is None else f" for each {plain(over)}"
            return f"({_list(items)}{each})"
    raise TypeError(math)


def _list(items: Iterable[Math]) -> str:
    return ", ".join(map(plain, items))


def _name(text: str) -> str:
    """Write a user's name; one that is no plain word is in backticks."""
    shown = name_of(text)
    return shown if shown.isidentifier() else f"`{shown}`"
