"""Mathematical notation as MathML, which browsers show without a script."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape

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
from stanpool.model.description.writers.plain_text import broken

# Of the cells of a row: on which side their text is, and the room to their right.
_CELLS = (("right", "0"), ("center", "0"), ("left", "2em"), ("left", "0"))
_MINUS = "\N{MINUS SIGN}"
_NO_BREAK = "\N{NO-BREAK SPACE}"


def equations_html(model: Description) -> str:
    """Write a model as a table of HTML whose cells are MathML; names are escaped."""
    rows: list[str] = []
    for block in BLOCKS:
        is_first = bool(rows)
        for stated in model.of_block(block):
            rows += _statement(model, stated, is_first)
            is_first = False
    return f"<table>{''.join(rows)}</table>"


def inline(math: Math) -> str:
    """Write an expression as an element of HTML."""
    return f"<math>{mathml(math)}</math>"


def sentence(note: Math) -> str:
    """Write a note as HTML: its words as text, which can be broken over lines."""
    parts = note.parts if isinstance(note, Line) else (note,)
    return "".join(
        escape(printable(each.text)) if isinstance(each, Words) else inline(each)
        for each in parts
    )


def _statement(model: Description, stated: Statement, is_apart: bool) -> Iterator[str]:
    """Write the rows of a statement: a long sum is broken into several."""
    first, *others = broken(stated.right)
    said = [_for_all(model, letter) for letter in stated.letters]
    if stated.remark:
        said.append(f"({escape(printable(stated.remark))})")
    relation = f"<math>{_sign(stated.relation)}</math>"
    yield _row(
        inline(stated.left), relation, inline(first), ", ".join(said), is_apart=is_apart
    )
    for part in others:
        indent = f"<math><mspace width='1em'/>{_sign('+')}{mathml(part)}</math>"
        yield _row("", "", indent, "")


def _row(*cells: str, is_apart: bool = False) -> str:
    above = "1.2em" if is_apart else "0.1em"
    styles = (
        f"text-align:{side};padding:{above} {right} 0.1em 0;border:0"
        for side, right in (
            ("right", "0"),
            ("center", "0"),
            ("left", "2em"),
            ("left", "0"),
        )
    )
    written = (
        f'<td style="{style}">{cell}</td>'
        for style, cell in zip(styles, cells, strict=True)
    )
    return f"<tr>{''.join(written)}</tr>"


def _for_all(model: Description, letter: str) -> str:
    last = model.plate(letter).size
    values = "1" if last == 1 else "1, 2" if last == 2 else f"1, …, {last}"
    return f"<math><mi>{letter}</mi><mo>=</mo><mtext>{values}</mtext></math>"


def mathml(math: Math) -> str:
    """Write an expression.

    Examples
    --------
    >>> mathml(Label("<b>"))
    '<mtext>&lt;b&gt;</mtext>'
    """
    match math:
        case Symbol(name=name):
            return f"<mi>{GREEK.get(name, name)}</mi>"
        case Label(text=text):
            return _text(name_of(text))
        case Words(text=text):
            return _text(printable(text))
        case Number(text=text):
            return f"<mn>{escape(text.replace('-', _MINUS))}</mn>"
        case Sign(text=text):
            return _sign(text)
        case Lookup(letter=letter, of=of):
            return f"<mrow>{mathml(letter)}{_enclosed(of, '[')}</mrow>"
        case Indexed():
            return _indexed(math)
        case Line(parts=parts):
            return f"<mrow>{''.join(map(mathml, parts))}</mrow>"
        case Sum(terms=terms):
            return f"<mrow>{_sign('+').join(map(mathml, terms))}</mrow>"
        case Total(index=index, last=last, body=body):
            low = f"<mrow>{mathml(index)}<mo>=</mo><mn>1</mn></mrow>"
            total = f"<munderover><mo>∑</mo>{low}{mathml(last)}</munderover>"
            return f"<mrow>{total}{mathml(body)}</mrow>"
        case Power(base=base, exponent=exponent):
            return f"<msup>{mathml(base)}{mathml(exponent)}</msup>"
        case Call(function=function, arguments=arguments):
            return f"<mrow>{mathml(function)}{_enclosed(arguments)}</mrow>"
        case Bracketed(inside=inside, opening=opening, closing=closing):
            return _enclosed((inside,), opening, closing)
        case Vector(items=items, over=over):
            return _vector(items, over)
    raise TypeError(math)


def _text(text: str) -> str:
    """Write a text; browsers drop blanks at its ends unless they do not break."""
    return f"<mtext>{escape(text).replace(' ', _NO_BREAK)}</mtext>"


def _sign(text: str) -> str:
    if text == "*":
        return '<mspace width="0.2em"/>'
    return f"<mo>{escape(SIGNS.get(text, ('', text))[1].strip())}</mo>"


def _list(items: Iterable[Math]) -> str:
    return "<mo>,</mo>".join(map(mathml, items))


def _enclosed(items: Iterable[Math], opening: str = "(", closing: str = ")") -> str:
    shown = _list(items)
    left, right = (f'<mo stretchy="false">{each}</mo>' for each in (opening, closing))
    return f"<mrow>{left}{shown}{right}</mrow>"


def _indexed(math: Indexed) -> str:
    base, below = mathml(math.base), (*math.of, *math.at)
    parts = [f"<mrow>{_list(each)}</mrow>" for each in (below, math.above) if each]
    kind = {(True, True): "msubsup", (True, False): "msub", (False, True): "msup"}.get(
        (bool(below), bool(math.above))
    )
    return base if kind is None else f"<{kind}>{base}{''.join(parts)}</{kind}>"


def _vector(items: Sequence[Math], over: Math | None) -> str:
    """Write a vector as a row, as tall brackets need a font that few systems have."""
    vector = _enclosed(items)
    return vector if over is None else f"<msub>{vector}{mathml(over)}</msub>"
