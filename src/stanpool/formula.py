"""Formula text to its parts, outcome, population terms and group terms, and back.

Only the structure that design matrices do not know is read here: ``~``, the parts of
the outcome after ``|``, and group terms in parentheses with a bar. Every other term
is kept as text for formulaic, which owns the rest of the notation.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from stanpool.errors import SpecError, shorten, suggestion
from stanpool.spec import GroupTerm, LatentFactors, ModelSpec

_OPEN, _CLOSE = "([{", ")]}"
_QUOTED = re.compile(
    r"`(?:[^`]|``)*`|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL
)
_QUOTED_NAME = re.compile(r"`((?:[^`]|``)+)`", re.DOTALL)
_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)
_OUTCOME_PARTS = {
    "trials": "trials(column)",
    "se": "se(column), se(column, sigma=True)",
    "exposure": "exposure(column)",
    "weights": "weights(column)",
    "cens": "cens(column), cens(column, upper)",
    "trunc": "trunc(lower, upper)",
}
_CARET_WINDOW = 70


@dataclass(frozen=True)
class Formula:
    """The parts of a formula, as ``ModelSpec`` names them."""

    outcome: str
    intercept: bool = True
    terms: tuple[str, ...] = ()
    groups: tuple[GroupTerm, ...] = ()
    latent: LatentFactors | None = None
    trials: str | None = None
    se: str | None = None
    se_sigma: bool = False
    exposure: str | None = None
    offsets: tuple[str, ...] = ()
    weights: str | None = None
    cens: str | None = None
    cens_upper: str | None = None
    trunc: tuple[str | float | None, str | float | None] | None = None


@dataclass(frozen=True)
class _Span:
    """A stretch of the formula, so that an error can point at it."""

    formula: str
    start: int
    stop: int

    @property
    def text(self) -> str:
        return self.formula[self.start : self.stop]

    def strip(self) -> _Span:
        text = self.text
        start = self.start + len(text) - len(text.lstrip())
        return _Span(self.formula, start, start + len(text.strip()))

    def part(self, start: int, stop: int) -> _Span:
        return _Span(self.formula, self.start + start, self.start + stop)

    def error(self, message: str) -> SpecError:
        """Build the error that shows the formula with carets under this stretch."""
        left = max(0, self.start - _CARET_WINDOW // 2)
        shown = self.formula[left : left + 2 * _CARET_WINDOW]
        width = max(1, min(self.stop, left + len(shown)) - self.start)
        shown = "".join(char if char.isprintable() else " " for char in shown)
        prefix = "..." if left else ""
        indent = " " * (4 + len(prefix) + self.start - left)
        return SpecError(f"{message}\n    {prefix}{shown}\n{indent}{'^' * width}")


def parse_formula(text: str) -> Formula:
    """Read ``"y | trials(n) ~ x1 + x2 + (1 + x1 | g)"``.

    Parameters
    ----------
    text
        An outcome, ``~``, population terms in formulaic's notation, and group terms:
        ``(1 + x | g)``, or ``||`` for uncorrelated coefficients; ``a/b`` for groups
        ``b`` nested in ``a``, ``a:b`` for combinations, ``mm(g1, g2)`` for multiple
        membership, where a row gets the mean of its groups' deviations, or
        ``mm(g1, g2, weights=(w1, w2))``, where it gets their sum with these weights, as
        they are; ``factors(user, item, rank=2)`` for latent factors; ``offset(z)`` is
        added to the linear predictor as it is. Parts of
        the outcome are ``trials(n)``, ``se(s)``, ``se(s, sigma=True)``,
        ``exposure(e)``, ``weights(w)``, ``cens(c)``, ``cens(c, upper)`` and
        ``trunc(lower, upper)``, joined by ``+``. Names that are not plain identifiers
        stand in backticks; a backtick inside is doubled.

    Raises
    ------
    SpecError
        If the text is not such a formula; a caret shows where.

    Examples
    --------
    >>> [term.factor for term in parse_formula("y ~ x + (1 + x | school/room)").groups]
    ['school', 'school:room']
    """
    if not isinstance(text, str):
        raise SpecError(f"a formula is a text such as 'y ~ x', got {shorten(text)}.")
    whole = _Span(text, 0, len(text))
    sides = list(_split(whole, "~"))
    if len(sides) != 2:
        raise whole.error(
            "a formula has one '~' between outcome and predictors, as in "
            f"'y ~ x + (1 | g)'; this one has {len(sides) - 1}."
        )
    parsed = _read_outcome(sides[0])
    intercept = True
    terms: list[str] = []
    offsets: list[str] = []
    groups: list[GroupTerm] = []
    latent: LatentFactors | None = None
    for sign, span in _signed_terms(sides[1]):
        call = _CALL.fullmatch(span.text)
        if _is_group_term(span):
            if sign == "-":
                raise span.error("a group term cannot be taken away.")
            for term in _read_group_term(span):
                _add(groups, term, span)
        elif call and call.group(1) == "offset":
            if sign == "-":
                raise span.error("write 'offset(-z)' to take z away.")
            offsets.append(call.group(2).strip())
        elif call and call.group(1) == "factors":
            if sign == "-" or latent is not None:
                raise span.error("factors() is added, and once.")
            latent = _read_latent(span, span.part(call.start(2), call.end(2)))
        elif span.text in ("0", "1"):
            intercept = (span.text == "1") == (sign == "+")
        else:
            terms.append(_population_term(sign, span))
    return replace(
        parsed,
        latent=latent,
        intercept=intercept,
        terms=tuple(terms),
        groups=tuple(groups),
        offsets=tuple(offsets),
    )


def parse_formulas(texts: str | Sequence[str]) -> tuple[Formula, str | None]:
    """Read a formula, or one beside ``"sigma ~ (1 | g)"``.

    Returns
    -------
    tuple
        The formula, and the column whose groups have residual scales of their own.

    Raises
    ------
    SpecError
        If a text is no formula, or one of another parameter is not of that form.

    Examples
    --------
    >>> parse_formulas(["y ~ x + (1 | g)", "sigma ~ (1 | g)"])[1]
    'g'
    """
    if isinstance(texts, str) or not isinstance(texts, Sequence):
        return parse_formula(texts), None
    if not 1 <= len(texts) <= 2:
        raise SpecError(
            f"a model is stated by one formula, or by one and 'sigma ~ (1 | g)'; got "
            f"{len(texts)} formulas."
        )
    first = parse_formula(texts[0])
    if len(texts) == 1:
        return first, None
    scale = parse_formula(texts[1])
    factor = scale.groups[0].factor if scale.groups else ""
    if scale != Formula("sigma", groups=(GroupTerm(factor),)):
        raise SpecError(
            f"cannot read {shorten(texts[1])}: the residual scale can differ by the "
            "groups of one column, and nothing else; write 'sigma ~ (1 | g)'."
        )
    return first, factor


def check_name(name: object) -> None:
    """Refuse a column's name that is not a text."""
    if not isinstance(name, str) or not name:
        raise SpecError(
            f"a column is named by a text, got {shorten(name)}; rename the columns, "
            "for example by data.rename(columns=str)."
        )


def quote_name(name: str) -> str:
    """Write a column's name so that a formula reads it back, in backticks if needed.

    Examples
    --------
    >>> quote_name("floor"), quote_name("floor level"), quote_name("a`b")
    ('floor', '`floor level`', '`a``b`')
    """
    check_name(name)
    if name.isascii() and name.isidentifier():
        return name
    return "`" + name.replace("`", "``") + "`"


def unquote_name(text: str) -> str | None:
    """Return the column that a plain or backticked name means; None if it is neither.

    Examples
    --------
    >>> unquote_name("`a``b`"), unquote_name("floor"), unquote_name("log(x)")
    ('a`b', 'floor', None)
    """
    match = _QUOTED_NAME.fullmatch(text)
    if match:
        return match.group(1).replace("``", "`")
    return text if text.isidentifier() else None


def outcome_name(spec: ModelSpec) -> str:
    """Return what the outcome is called: its column, or the expression that it is.

    Examples
    --------
    >>> outcome_name(ModelSpec("`log radon`", pooling="complete"))
    'log radon'
    """
    return unquote_name(spec.outcome) or spec.outcome


def alias_quoted_names(
    terms: Sequence[str], taken: Iterable[str] = ()
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Replace backticked names by plain aliases, so that any name can be a column.

    Parameters
    ----------
    terms
        Terms in formula notation.
    taken
        Other texts that no alias may occur in.

    Returns
    -------
    tuple
        The terms, and the column of each alias.

    Examples
    --------
    >>> alias_quoted_names(["log(`a b`)", "x"])
    (('log(_column_0_)', 'x'), {'_column_0_': 'a b'})
    """
    if not any("`" in term for term in terms):
        return tuple(terms), {}
    aliases: dict[str, str] = {}
    stem = "_column"
    for text in (*terms, *taken):
        while f"{stem}_" in text:
            stem += "_"

    def alias(match: re.Match[str]) -> str:
        if not match.group().startswith("`"):
            return match.group()
        name = match.group()[1:-1].replace("``", "`")
        return aliases.setdefault(name, f"{stem}_{len(aliases)}_")

    replaced = tuple(_QUOTED.sub(alias, term) for term in terms)
    return replaced, {alias: name for name, alias in aliases.items()}


def pointed_error(message: str, text: str, start: int, stop: int) -> SpecError:
    """Build an error that shows a text with carets under a stretch of it."""
    return _Span(text, start, stop).error(message)


def _read_outcome(side: _Span) -> Formula:
    """Read the left-hand side, ``y`` or ``y | trials(n)``."""
    pieces = [piece.strip() for piece in _split(side, "|")]
    if not pieces[0].text:
        raise side.error("the outcome is missing; write 'y ~ ...'.")
    if len(pieces) > 2:
        raise side.error("the outcome has more than one '|'; join its parts with '+'.")
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for part in _split(pieces[1], "+") if len(pieces) == 2 else ():
        part = part.strip()
        match = _CALL.fullmatch(part.text)
        if match is None or match.group(1) not in _OUTCOME_PARTS:
            name = match.group(1) if match else part.text
            raise part.error(
                f"{shorten(part.text)} is not a part of an outcome; known are "
                f"{', '.join(_OUTCOME_PARTS.values())}."
                + suggestion(name, _OUTCOME_PARTS)
            )
        name = match.group(1)
        if name in seen:
            raise part.error(f"{name}() is given twice.")
        seen.add(name)
        found |= _read_part(name, part, part.part(match.start(2), match.end(2)))
    return Formula(pieces[0].text, **found)


def _read_part(name: str, part: _Span, inside: _Span) -> dict[str, Any]:
    """Read what stands in the parentheses of a part of the outcome."""
    usage = f"write {_OUTCOME_PARTS[name]}"
    places = {"cens": ("", "upper"), "trunc": ("lower", "upper"), "se": ("", "sigma")}
    given: dict[str, _Span] = {}
    for number, piece in enumerate(each.strip() for each in _split(inside, ",")):
        *keys, value = (each.strip() for each in _split(piece, "="))
        known = places.get(name, ("",))
        if not keys and number < len(known) and known[number] != "sigma":
            key = known[number]
        else:
            key = keys[0].text if len(keys) == 1 else "?"
        if key not in known or key in given or not value.text:
            raise part.error(
                f"{name}() does not take {shorten(piece.text)} here; {usage}."
            )
        given[key] = value
    if name == "trunc":
        bounds = [_bound(given.get(key), usage) for key in ("lower", "upper")]
        return {"trunc": tuple(bounds)}
    if "" not in given:
        raise part.error(f"{name}() needs a column; {usage}.")
    read: dict[str, Any] = {name: _part_column(name, given[""])}
    if "upper" in given:
        read["cens_upper"] = _part_column(name, given["upper"])
    if "sigma" in given:
        if given["sigma"].text not in ("True", "False"):
            raise given["sigma"].error(f"sigma is True or False; {usage}.")
        read["se_sigma"] = given["sigma"].text == "True"
    return read


def _part_column(name: str, span: _Span) -> str:
    """Return the column that an argument of a part of the outcome names."""
    column = unquote_name(span.text)
    if column is None:
        raise span.error(
            f"{name}() takes the name of a column, got {shorten(span.text)}; a name "
            "that is not a plain identifier stands in backticks."
        )
    return column


def _bound(span: _Span | None, usage: str) -> str | float | None:
    """Return a bound of a truncated outcome: a column, a number or nothing."""
    if span is None or span.text == "None":
        return None
    try:
        return float(span.text)
    except ValueError:
        pass
    column = unquote_name(span.text)
    if column is None:
        raise span.error(f"{shorten(span.text)} is no column and no number; {usage}.")
    return column


def _population_term(sign: str, span: _Span) -> str:
    """Return a term's text, refusing what only looks like one."""
    if not span.text:
        raise span.error("a term is missing beside this '+' or '-'.")
    if span.text == ".":
        raise span.error("'.' for all columns is not supported; name the predictors.")
    bars = [char for _, char in _top_level(span) if char == "|"]
    if bars:
        raise span.error(
            "a group term stands in parentheses of its own, as in '+ (1 + x | g)'."
        )
    if any(_is_group_term(piece) for mark in "*:/" for piece in _split(span, mark)):
        raise span.error("a group term can only be added, as in '+ (1 + x | g)'.")
    return span.text if sign == "+" else f"-{span.text}"


def _is_group_term(span: _Span) -> bool:
    """Whether the stretch is ``( ... | ... )``."""
    span = span.strip()
    text = span.text
    if not (text.startswith("(") and text.endswith(")")):
        return False
    inside = span.part(1, len(text) - 1)
    return any(char == "|" for _, char in _top_level(inside))


def _read_group_term(span: _Span) -> list[GroupTerm]:
    """Read ``(1 + x | g)`` or ``(1 + x || g)``; nesting gives one term a level."""
    inside = span.part(1, len(span.text) - 1)
    bars = [position for position, char in _top_level(inside) if char == "|"]
    if len(bars) > 2 or (len(bars) == 2 and bars[1] != bars[0] + 1):
        raise inside.error("a group term has one '|' (or '||'), as in '(1 + x | g)'.")
    left = inside.part(0, bars[0]).strip()
    right = inside.part(bars[-1] + 1, len(inside.text)).strip()
    if not left.text:
        raise span.error("no varying coefficients before '|'; write '(1 | g)'.")
    if not right.text:
        raise span.error("no grouping factor after '|'; write '(1 | g)'.")
    intercept, terms = True, []
    for sign, term in _signed_terms(left):
        if term.text in ("0", "1"):
            intercept = (term.text == "1") == (sign == "+")
        else:
            terms.append(_population_term(sign, term))
    if not (intercept or terms):
        raise left.error("nothing varies in this group term; write '(1 | g)'.")
    shared = GroupTerm("", intercept, tuple(terms), correlated=len(bars) == 1)
    return [replace(shared, **factor) for factor in _read_factors(right)]


def _read_factors(span: _Span) -> list[dict[str, Any]]:
    """Read what stands after the bar: ``g``, ``a:b``, ``a/b``, or ``mm(g1, g2)``."""
    call = _CALL.fullmatch(span.text)
    if call and call.group(1) in ("mm", "members"):
        inside = span.part(call.start(2), call.end(2))
        return [_read_memberships(inside, call.group(1))]
    levels: list[tuple[str, ...]] = []
    for level in _split(span, "/"):
        columns = tuple(_column(piece.strip(), span) for piece in _split(level, ":"))
        levels.append((*levels[-1], *columns) if levels else columns)
    return [_factor(columns) for columns in levels]


def _read_memberships(span: _Span, call: str) -> dict[str, Any]:
    """Read ``g1, g2, weights=(w1, w2)``: the groups that a row is a member of."""
    columns: list[str] = []
    weights: list[str] = []
    for piece in (piece.strip() for piece in _split(span, ",")):
        name, equals, value = piece.text.partition("=")
        if not equals:
            columns.append(_column(piece, piece))
        elif name.strip() == "weights" and call == "mm":
            start = len(piece.text) - len(value)
            listing = piece.part(start, len(piece.text)).strip()
            if listing.text[:1] in _OPEN and listing.text[-1:] in _CLOSE:
                listing = listing.part(1, len(listing.text) - 1)
            weights = [_column(each.strip(), piece) for each in _split(listing, ",")]
        else:
            raise piece.error(
                "mm() takes columns and weights=(columns), members() only columns."
            )
    if len(columns) < 2:
        raise span.error(f"{call}() needs two or more columns.")
    if weights and len(weights) != len(columns):
        raise span.error(
            f"mm() has {len(columns)} memberships and {len(weights)} weights; they "
            "go together."
        )
    return {
        "factor": "+".join(columns),
        "columns": tuple(columns),
        "weights": tuple(weights),
        "membership": "labels" if call == "mm" else "matrix",
    }


def _read_latent(whole: _Span, inside: _Span) -> LatentFactors:
    """Read ``user, item, rank=2``: who has scores, who has loadings, how many."""
    columns: list[str] = []
    rank = 1
    for piece in (piece.strip() for piece in _split(inside, ",")):
        name, equals, value = piece.text.partition("=")
        if not equals:
            columns.append(_column(piece, piece))
        elif name.strip() == "rank" and value.strip().isdecimal():
            rank = int(value)
        else:
            raise piece.error("factors() takes two columns and rank=1, 2, 3, ...")
    if len(columns) != 2:
        raise whole.error(
            f"factors() has {len(columns)} column(s) and needs two, as in "
            "'factors(user, item, rank=2)'."
        )
    try:
        return LatentFactors(columns[0], columns[1], rank)
    except SpecError as problem:
        raise whole.error(str(problem)) from None


def _factor(columns: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a factor that combines columns."""
    if len(columns) == 1:
        return {"factor": columns[0]}
    return {"factor": ":".join(columns), "columns": columns}


def _column(span: _Span, whole: _Span) -> str:
    """Return the column that a stretch names."""
    name = unquote_name(span.text)
    if name is None:
        raise (span if span.text else whole).error(
            f"a grouping factor is a column, a:b, a/b or mm(a, b), got "
            f"{shorten(span.text)}. A name that is not a plain identifier stands in "
            "backticks."
        )
    return name


def _add(groups: list[GroupTerm], other: GroupTerm, span: _Span) -> None:
    """Add a term; ``(1 | g) + (0 + x | g)`` is joined to ``(1 + x || g)``."""
    at = [place for place, each in enumerate(groups) if each.factor == other.factor]
    if not at:
        groups.append(other)
        return
    group = groups[at[0]]
    if set(group.terms) & set(other.terms) or (group.intercept and other.intercept):
        raise span.error(f"a coefficient varies twice over {shorten(group.factor)}.")
    both = (group, other)
    if any(each.correlated and each.intercept + len(each.terms) > 1 for each in both):
        raise span.error(
            "two group terms of one factor must each have a single coefficient, or "
            "use '||': they are uncorrelated with each other."
        )
    groups[at[0]] = replace(
        group,
        intercept=group.intercept or other.intercept,
        terms=group.terms + other.terms,
        correlated=False,
    )


def _top_level(span: _Span) -> Iterator[tuple[int, str]]:
    """Yield the characters outside brackets and quotes, with their positions."""
    text, position, opened = span.text, 0, []
    while position < len(text):
        char = text[position]
        quoted = _QUOTED.match(text, position)
        if quoted:
            position = quoted.end()
            continue
        if char in "`'\"":
            raise span.part(position, position + 1).error(
                f"this {char} is never closed."
            )
        if char in _OPEN:
            opened.append((char, position))
        elif char in _CLOSE:
            if not opened or _OPEN.index(opened.pop()[0]) != _CLOSE.index(char):
                raise span.part(position, position + 1).error(
                    f"this {char!r} closes nothing."
                )
        elif not opened:
            yield position, char
        position += 1
    if opened:
        char, position = opened[-1]
        raise span.part(position, position + 1).error(f"this {char!r} is never closed.")


def _split(span: _Span, mark: str) -> Iterator[_Span]:
    """Split at a character that stands outside brackets and quotes."""
    start = 0
    for position in [at for at, char in _top_level(span) if char == mark]:
        yield span.part(start, position)
        start = position + 1
    yield span.part(start, len(span.text))


def _signed_terms(span: _Span) -> Iterator[tuple[str, _Span]]:
    """Split a sum into signed terms; a sign may lead."""
    marks = [(at, char) for at, char in _top_level(span) if char in "+-"]
    start, sign = 0, "+"
    for position, char in [*marks, (len(span.text), "")]:
        term = span.part(start, position).strip()
        leads = start == 0 and char != "" and not term.text
        if not leads:
            if not term.text:
                at = max(start - 1, 0)
                raise span.part(at, at + 1).error("a term is missing here.")
            yield sign, term
        start, sign = position + 1, char


def formula_of(spec: ModelSpec) -> str:
    """Write a specification as the formula that states it.

    Examples
    --------
    >>> formula_of(ModelSpec("y", terms=("x",), groups=(GroupTerm("my group"),)))
    'y ~ 1 + x + (1 | `my group`)'
    """
    outcome = spec.outcome
    given = list(_outcome_parts(spec))
    if given:
        outcome += " | " + " + ".join(given)
    terms = _sum(spec.intercept, spec.terms)
    for group in spec.groups:
        bar = "|" if group.correlated else "||"
        inside = _sum(group.intercept, group.terms)
        terms += f" + ({inside} {bar} {_factor_text(group)})"
    if spec.latent is not None:
        sides = (quote_name(spec.latent.scores_of), quote_name(spec.latent.loadings_of))
        terms += f" + factors({', '.join(sides)}, rank={spec.latent.rank})"
    terms += "".join(f" + offset({offset})" for offset in spec.offsets)
    return f"{outcome} ~ {terms}"


def _outcome_parts(spec: ModelSpec) -> Iterator[str]:
    """Write the parts of an outcome as a formula has them."""
    if spec.trials is not None:
        yield f"trials({quote_name(spec.trials)})"
    if spec.se is not None:
        yield f"se({quote_name(spec.se)}{', sigma=True' if spec.se_sigma else ''})"
    if spec.exposure is not None:
        yield f"exposure({quote_name(spec.exposure)})"
    if spec.weights is not None:
        yield f"weights({quote_name(spec.weights)})"
    if spec.cens is not None:
        columns = [each for each in (spec.cens, spec.cens_upper) if each is not None]
        yield f"cens({', '.join(map(quote_name, columns))})"
    if spec.trunc is not None:
        bounds = zip(("lower", "upper"), spec.trunc, strict=True)
        texts = [
            f"{side}={quote_name(bound) if isinstance(bound, str) else repr(bound)}"
            for side, bound in bounds
            if bound is not None
        ]
        yield f"trunc({', '.join(texts)})"


def _factor_text(group: GroupTerm) -> str:
    """Write a grouping factor as a formula has it."""
    columns = [quote_name(column) for column in group.key]
    if not group.membership:
        return ":".join(columns)
    if group.weights:
        weights = ", ".join(quote_name(column) for column in group.weights)
        columns.append(f"weights=({weights})")
    call = "mm" if group.membership == "labels" else "members"
    return f"{call}({', '.join(columns)})"


def _sum(intercept: bool, terms: Sequence[str]) -> str:
    """Write an intercept and terms as a sum."""
    text = "1" if intercept else "0"
    for term in terms:
        text += f" - {term[1:]}" if term.startswith("-") else f" + {term}"
    return text
