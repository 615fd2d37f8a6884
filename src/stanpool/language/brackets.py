"""Splitting the text of a formula at marks that are outside brackets and quotes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from stanpool.language.expression import Span

OPENING, CLOSING = "([{", ")]}"
_QUOTED = re.compile(
    r"`(?:[^`]|``)*`|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL
)


def top_level(span: Span) -> Iterator[tuple[int, str]]:
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
        if char in OPENING:
            opened.append((char, position))
        elif char in CLOSING:
            if not opened or OPENING.index(opened.pop()[0]) != CLOSING.index(char):
                raise span.part(position, position + 1).error(
                    f"there is no bracket that this {char!r} closes."
                )
        elif not opened:
            yield position, char
        position += 1
    if opened:
        char, position = opened[-1]
        raise span.part(position, position + 1).error(f"this {char!r} is never closed.")


def split(span: Span, mark: str) -> Iterator[Span]:
    """Split at a character that stands outside brackets and quotes."""
    start = 0
    for position in [at for at, char in top_level(span) if char == mark]:
        yield span.part(start, position)
        start = position + 1
    yield span.part(start, len(span.text))


def signed_terms(span: Span) -> Iterator[tuple[str, Span]]:
    """Split a sum into signed terms; a sign may lead."""
    marks = [(at, char) for at, char in top_level(span) if char in "+-"]
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
