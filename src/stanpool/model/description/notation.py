"""Mathematical notation as values, which LaTeX, MathML and plain text are written from.

Names of users are ``Label``: they are typeset as they are, and never parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain


@dataclass(frozen=True)
class Symbol:
    """A Greek letter by its English name, or a Latin letter, such as an index."""

    name: str


@dataclass(frozen=True)
class Label:
    """A name of the user's: a column, a level, a term."""

    text: str


@dataclass(frozen=True)
class Words:
    """Words of ours, in upright type: names of distributions, and remarks."""

    text: str


@dataclass(frozen=True)
class Number:
    """A number, as it is written."""

    text: str


@dataclass(frozen=True)
class Sign:
    """What stands between operands: ``+``, ``-``, ``*``, ``/``, ``=``, ``~``, ..."""

    text: str


@dataclass(frozen=True)
class Lookup:
    """The group of a row, as in ``j[i]``."""

    letter: Symbol
    of: tuple[Symbol, ...]


@dataclass(frozen=True)
class Indexed:
    """A quantity.

    Attributes
    ----------
    base
        Its letter or name.
    of
        What it belongs to: the predictor of a coefficient, a category.
    at
        Its indices, such as ``i`` or ``j[i]``.
    above
        The grouping factor, or the parameter, in whose linear predictor it is.
    """

    base: Symbol | Label | Words
    of: tuple[Math, ...] = ()
    at: tuple[Symbol | Lookup, ...] = ()
    above: tuple[Math, ...] = ()

    @property
    def key(self) -> Indexed:
        """The quantity whatever its row: ``j[i]`` is the index ``j``."""
        letters = (x.letter if isinstance(x, Lookup) else x for x in self.at)
        return Indexed(self.base, self.of, tuple(letters), self.above)


@dataclass(frozen=True)
class Line:
    """Parts side by side."""

    parts: tuple[Math, ...]


@dataclass(frozen=True)
class Sum:
    """Terms with ``+`` between them, which may be broken over lines."""

    terms: tuple[Math, ...]


@dataclass(frozen=True)
class Total:
    """A sum over an index from 1 to a last value."""

    index: Symbol
    last: Math
    body: Math


@dataclass(frozen=True)
class Power:
    """A power."""

    base: Math
    exponent: Math


@dataclass(frozen=True)
class Call:
    """A function or a distribution, and its arguments."""

    function: Math
    arguments: tuple[Math, ...]


@dataclass(frozen=True)
class Bracketed:
    """Something in brackets: ``(``, or ``[`` for what is 1 if it is true, or ``|``."""

    inside: Math
    opening: str = "("

    @property
    def closing(self) -> str:
        """The other bracket."""
        return {"(": ")", "[": "]", "|": "|"}[self.opening]


@dataclass(frozen=True)
class Vector:
    """Several quantities as one, for each category where there are any."""

    items: tuple[Math, ...]
    over: Math | None = None


Math = (
    Symbol
    | Label
    | Words
    | Number
    | Sign
    | Lookup
    | Indexed
    | Line
    | Sum
    | Total
    | Power
    | Call
    | Bracketed
    | Vector
)


def line(*parts: Math | str) -> Line:
    """Put parts side by side; text is a sign."""
    return Line(tuple(Sign(x) if isinstance(x, str) else x for x in parts))


def call(name: str, *arguments: Math) -> Call:
    """Apply a function or a distribution of ours."""
    return Call(Words(name), arguments)


def number(value: float) -> Number:
    """Write a number without a decimal point that says nothing."""
    return Number(f"{value:.15g}")


def total(terms: Sequence[Math]) -> Math:
    """Add terms, of which there may be one or none."""
    if len(terms) == 1:
        return terms[0]
    return Sum(tuple(terms)) if terms else Number("0")


def times(*factors: Math) -> Math:
    """Multiply factors; sums get brackets."""
    shown = [Bracketed(x) if isinstance(x, Sum) else x for x in factors]
    parts = chain.from_iterable((Sign("*"), x) for x in shown)
    return Line(tuple(parts)[1:]) if len(shown) > 1 else shown[0]


def among(items: Sequence[Math], most: int = 6) -> tuple[Math, ...]:
    """Return a list, or its ends with dots between them if it is long.

    Examples
    --------
    >>> len(among([Number(str(each)) for each in range(20)], most=4))
    4
    """
    if len(items) <= most:
        return tuple(items)
    return (*items[: most - 2], Sign("..."), items[-1])


def quantities(math: Math) -> Iterator[Indexed]:
    """Yield the quantities that occur in an expression."""
    match math:
        case Indexed():
            yield math
            return
        case Line(parts=inner) | Sum(terms=inner) | Vector(items=inner):
            pass
        case Call(function=function, arguments=arguments):
            inner = (function, *arguments)
        case Total(last=last, body=body):
            inner = (last, body)
        case Power(base=base, exponent=exponent):
            inner = (base, exponent)
        case Bracketed(inside=inside):
            inner = (inside,)
        case _:
            return
    for each in inner:
        yield from quantities(each)
