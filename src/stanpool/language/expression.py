"""The language of formula text: parsed to a tree of values, and written back.

::

    expression := operands joined by  or |   and &   == != < <= > >=   + -   * / // % :
    operand    := [not ~ ! + -] operand | operand (** | ^) operand
                | number | 'text' | name | `any name` | function(...) | [constants]
                | ( expression )

Nothing here is Python: there are no attributes (but ``np.`` and ``contr.`` before a
word), subscripts, lambdas or comprehensions, and nothing is evaluated. Which functions
there are is said in ``vocabulary``; what ``a * b`` means among terms in ``terms``; what
values are in ``evaluation``. ``^`` is ``**``, and ``&`` and ``|`` bind more loosely
than comparisons, as in R.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache

from stanpool.base.errors import SpecError

_WINDOW = 70  # characters shown on either side of an error
_DEEPEST = 50
_LONGEST = 20_000  # characters of one expression

_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<name>[^\W\d]\w*)"
    r"|(?P<quoted>`(?:[^`]|``)+`)"
    r"|(?P<text>'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
    r"|(?P<sign>%in%|%>%|%/%|%%|\*\*|//|==|!=|<=|>=|&&|\|\||.)",
    re.DOTALL,
)
_LEVEL = {
    **dict.fromkeys(("or", "|"), 1),
    **dict.fromkeys(("and", "&"), 2),
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), 4),
    **dict.fromkeys(("+", "-"), 5),
    **dict.fromkeys(("*", "/", "//", "%"), 6),
    ":": 7,
}
_NOT, _UNARY, _POWER, _ATOM = 3, 8, 9, 10
_SAME = {"|": "or", "&": "and", "~": "not", "!": "not", "^": "**"}
_ESCAPED = {"n": "\n", "t": "\t"}
_OF_OTHERS = {
    "%in%": "write a/b for b nested in a, and np.isin(x, [1, 2]) for values of a set",
    "%>%": "there are no pipes; write function(x)",
    "%/%": "write '//' for integer division",
    "%%": "write '%' for remainders",
    "&&": "write '&' or 'and'",
    "||": "write '|' or 'or'",
    "$": "write the column's name alone",
    "[": "columns cannot be indexed; add a column to the data",
    "{": "braces have no meaning; write I(...) for arithmetic",
    "=": "write '==' to compare",
    ".": "columns have no attributes; write a name that contains a point in backticks",
}


@dataclass(frozen=True)
class Span:
    """A stretch of a text, so that an error can point at it."""

    whole: str
    start: int
    stop: int

    @classmethod
    def of(cls, text: str) -> Span:
        """Return all of a text."""
        return cls(text, 0, len(text))

    @property
    def text(self) -> str:
        """What is written there."""
        return self.whole[self.start : self.stop]

    def strip(self) -> Span:
        """Return the stretch without blanks around it."""
        text = self.text
        start = self.start + len(text) - len(text.lstrip())
        return Span(self.whole, start, start + len(text.strip()))

    def part(self, start: int, stop: int) -> Span:
        """Return a stretch of this stretch."""
        return Span(self.whole, self.start + start, self.start + stop)

    def to(self, other: Span) -> Span:
        """Return all from here to the end of another stretch."""
        return Span(self.whole, self.start, other.stop)

    def pointed(self, message: str) -> str:
        """Write a message and the text with carets under this stretch."""
        left = max(0, self.start - _WINDOW // 2)
        shown = self.whole[left : left + 2 * _WINDOW]
        width = max(1, min(self.stop, left + len(shown)) - self.start)
        shown = "".join(char if char.isprintable() else " " for char in shown)
        prefix = "..." if left else ""
        indent = " " * (4 + len(prefix) + self.start - left)
        return f"{message}\n    {prefix}{shown}\n{indent}{'^' * width}"

    def error(self, message: str) -> SpecError:
        """Build the error that shows the text with carets under this stretch."""
        return SpecError(self.pointed(message))


@dataclass(frozen=True)
class Node:
    """A part of an expression, and where it is written."""

    at: Span = field(compare=False, repr=False)


@dataclass(frozen=True)
class Number(Node):
    """A number, whole if it is written so."""

    value: int | float


@dataclass(frozen=True)
class Text(Node):
    """A text in quotes."""

    value: str


@dataclass(frozen=True)
class Name(Node):
    """A column, or a word such as ``True``, ``np.pi`` or ``contr.sum``."""

    name: str
    quoted: bool = False


@dataclass(frozen=True)
class Listing(Node):
    """Constants in brackets."""

    items: tuple[Node, ...]


@dataclass(frozen=True)
class Call(Node):
    """A function of expressions, as it is written: ``np.log`` or ``log``."""

    name: str
    arguments: tuple[Node, ...]
    settings: tuple[tuple[str, Node], ...] = ()

    @property
    def function(self) -> str:
        """The function's name without ``np.``."""
        return self.name.removeprefix("np.")


@dataclass(frozen=True)
class Unary(Node):
    """``-x``, ``+x`` or ``not x``."""

    sign: str
    operand: Node


@dataclass(frozen=True)
class Chain(Node):
    """Operands of one precedence, joined by signs from left to right."""

    signs: tuple[str, ...]
    operands: tuple[Node, ...]


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    at: Span


@lru_cache(maxsize=4096)
def parse(text: str | Span) -> Node:
    """Read an expression.

    Parameters
    ----------
    text
        The expression; a stretch of a longer text if errors shall show that.

    Raises
    ------
    SpecError
        If it is none; a caret shows where.

    Examples
    --------
    >>> written(parse("log( `a b`)-2*x^2"))
    'log(`a b`) - 2 * x ** 2'
    """
    span = Span.of(text) if isinstance(text, str) else text
    if len(span.text) > _LONGEST:
        raise span.part(0, 1).error(
            f"an expression has at most {_LONGEST:,} characters; this one has "
            f"{len(span.text):,}. Add a column to the data."
        )
    parser = _Parser(list(_tokens(span)), span)
    found = parser.expression(1)
    parser.finish()
    return found


def _tokens(span: Span) -> Iterator[_Token]:
    text, position = span.text, 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        match = _TOKEN.match(text, position)
        assert match is not None  # one of its choices is any character
        at = span.part(match.start(), match.end())
        yield _Token(str(match.lastgroup), match.group(), at)
        position = match.end()


class _Parser:
    """Tokens, read from left to right by precedence."""

    def __init__(self, tokens: list[_Token], span: Span) -> None:
        self.tokens, self.span, self.place, self.depth = tokens, span, 0, 0

    @property
    def sign(self) -> str:
        """The next token, if it is a sign or a word that joins; else nothing."""
        token = self.next
        is_word = token is not None and token.text in ("and", "or", "not")
        return token.text if token and (token.kind == "sign" or is_word) else ""

    @property
    def next(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def take(self) -> _Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def finish(self) -> None:
        """Refuse what is left over."""
        token = self.next
        if token is None:
            return
        if token.text in _OF_OTHERS:
            raise token.at.error(
                f"{token.text!r} is not an operator: {_OF_OTHERS[token.text]}."
            )
        if token.kind == "sign":
            raise token.at.error(f"{token.text!r} is not an operator of formulas here.")
        raise token.at.error(
            "an operator is missing before this. (Write a name of several words in "
            "backticks, and a condition as np.where(x > 0, a, b).)"
        )

    def expression(self, lowest: int) -> Node:
        """Read operands that are joined by signs that bind at least so tightly."""
        left = self.prefix()
        while (level := _LEVEL.get(self.sign, 0)) >= lowest:
            signs: list[str] = []
            operands = [left]
            while _LEVEL.get(self.sign, 0) == level:
                sign = self.take().text
                signs.append(_SAME.get(sign, sign))
                operands.append(self.expression(level + 1))
            at = left.at.to(operands[-1].at)
            left = Chain(at, tuple(signs), tuple(operands))
        return left

    def prefix(self) -> Node:
        """Read an operand with the signs before it and the powers behind it."""
        if self.sign in ("+", "-", "not", "~", "!"):
            token = self.deeper()
            sign = _SAME.get(token.text, token.text)
            operand = self.expression(4) if sign == "not" else self.prefix()
            self.depth -= 1
            return Unary(token.at.to(operand.at), sign, operand)
        base = self.operand()
        if self.sign in ("**", "^"):
            self.deeper()
            exponent = self.prefix()
            self.depth -= 1
            return Chain(base.at.to(exponent.at), ("**",), (base, exponent))
        return base

    def deeper(self) -> _Token:
        """Take a token with which an expression begins inside another."""
        token = self.take()
        self.depth += 1
        if self.depth > _DEEPEST:
            raise token.at.error(
                f"this is nested more than {_DEEPEST} times; add a column to the data."
            )
        return token

    def operand(self) -> Node:
        token = self.next
        if token is None:
            if not self.tokens:
                raise self.span.error("an expression is missing here.")
            raise self.tokens[-1].at.error("something is missing after this.")
        if token.kind == "name":
            return self.name()
        if token.text == "(":
            opened = self.deeper()
            inside = self.expression(1)
            closed = self.close(")", opened)
            return replace(inside, at=opened.at.to(closed.at))
        if token.text == "[":
            return self.listing()
        self.take()
        if token.kind == "number":
            return _number(token)
        if token.kind == "text":
            return Text(token.at, _unescaped(token.text[1:-1]))
        if token.kind == "quoted":
            return Name(token.at, token.text[1:-1].replace("``", "`"), quoted=True)
        raise token.at.error(
            f"a column, a number or a function is expected, not {token.text!r}."
        )

    def name(self) -> Node:
        """Read a name, a word with a point, or a call."""
        token = self.take()
        name, at = token.text, token.at
        while self.sign == "." and self.place + 1 < len(self.tokens):
            if self.tokens[self.place + 1].kind != "name":
                break
            self.take()
            part = self.take()
            name, at = f"{name}.{part.text}", at.to(part.at)
        if self.sign != "(":
            return Name(at, name)
        opened = self.deeper()
        arguments: list[Node] = []
        settings: list[tuple[str, Node]] = []
        while self.sign != ")":
            word = self.next
            is_setting = (
                word is not None
                and word.kind == "name"
                and [each.text for each in self.tokens[self.place + 1 :][:1]] == ["="]
            )
            if is_setting:
                self.place += 2
            value = self.expression(1)
            if is_setting and word is not None:
                if word.text in dict(settings):
                    raise word.at.error(f"{word.text!r} is given twice.")
                settings.append((word.text, value))
            elif settings:
                raise value.at.error(
                    "arguments without a name must come before those with one."
                )
            else:
                arguments.append(value)
            if self.sign != ",":
                break
            self.take()
        closed = self.close(")", opened)
        return Call(at.to(closed.at), name, tuple(arguments), tuple(settings))

    def listing(self) -> Node:
        opened = self.deeper()
        items: list[Node] = []
        while self.sign != "]":
            items.append(self.expression(1))
            if self.sign != ",":
                break
            self.take()
        closed = self.close("]", opened)
        return Listing(opened.at.to(closed.at), tuple(items))

    def close(self, sign: str, opened: _Token) -> _Token:
        """Take what closes a bracket."""
        self.depth -= 1
        if self.sign == sign:
            return self.take()
        if self.next is None:
            raise opened.at.error(f"this {opened.text!r} is never closed.")
        self.finish()
        raise AssertionError  # finish has raised


def _number(token: _Token) -> Number:
    value = float(token.text)
    if not math.isfinite(value):
        raise token.at.error("this number is too large.")
    is_whole = token.text.isdecimal() and value < 2**53
    return Number(token.at, int(value) if is_whole else value)


def _unescaped(text: str) -> str:
    return re.sub(
        r"\\(.)", lambda match: _ESCAPED.get(match[1], match[1]), text, flags=re.DOTALL
    )


def quote_name(name: str) -> str:
    """Write a column's name so that an expression reads it back.

    Examples
    --------
    >>> quote_name("floor"), quote_name("floor level"), quote_name("a`b")
    ('floor', '`floor level`', '`a``b`')
    """
    is_plain = name.isascii() and name.isidentifier()
    if is_plain and name not in ("and", "or", "not"):
        return name
    return "`" + name.replace("`", "``") + "`"


def written(node: Node, *, bare: bool = False) -> str:
    """Write an expression with blanks and brackets where they belong.

    Parameters
    ----------
    node
        The expression.
    bare
        Whether names stand without backticks, as in labels.

    Examples
    --------
    >>> written(parse("(x+z)*2")), written(parse("C(k,Treatment( 'a' ))"))
    ('(x + z) * 2', "C(k, Treatment('a'))")
    """

    def within(node: Node, level: int) -> str:
        text = written(node, bare=bare)
        return text if precedence(node) >= level else f"({text})"

    match node:
        case Number(value=value):
            return repr(value)
        case Text(value=value):
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        case Name(name=name, quoted=quoted):
            return quote_name(name) if quoted and not bare else name
        case Listing(items=items):
            return f"[{', '.join(written(each, bare=bare) for each in items)}]"
        case Call(name=name, arguments=arguments, settings=settings):
            inside = [written(each, bare=bare) for each in arguments]
            inside += [f"{key}={written(each, bare=bare)}" for key, each in settings]
            return f"{name}({', '.join(inside)})"
        case Unary(sign=sign, operand=operand):
            space = " " if sign == "not" else ""
            return f"{sign}{space}{within(operand, precedence(node))}"
        case Chain(signs=("**",), operands=(base, exponent)):
            return f"{within(base, _ATOM)} ** {within(exponent, _UNARY)}"
        case Chain(signs=signs, operands=operands):
            level = precedence(node) + 1
            text = within(operands[0], level)
            for sign, operand in zip(signs, operands[1:], strict=True):
                space = "" if sign == ":" else " "
                text += f"{space}{sign}{space}{within(operand, level)}"
            return text
    raise TypeError(node)


def precedence(node: Node) -> int:
    """Return how tightly an expression holds together."""
    match node:
        case Unary(sign="not"):
            return _NOT
        case Unary():
            return _UNARY
        case Chain(signs=signs):
            return _LEVEL.get(signs[0], _POWER)
    return _ATOM
