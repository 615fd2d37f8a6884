"""The layout of generated Stan."""

from __future__ import annotations

_LINE_WIDTH = 78


def tidy(source: str) -> str:
    """Drop the blank lines that empty macros leave, and break long statements."""
    lines = [line.rstrip() for line in source.splitlines()]
    return "\n".join(_wrap(line) for line in lines if line) + "\n"


def _wrap(line: str) -> str:
    """Break a statement that is too long as stanc 2.35 does: fill the lines.

    A product is broken before its sign, a call between its arguments; a line that
    ends in a comma is shorter by one.
    """
    if len(line) <= _LINE_WIDTH:
        return line
    if line.endswith(") {"):  # a function's
        return _wrap(f"{line.removesuffix(' {')};").removesuffix(";") + " {"
    if not line.endswith(");"):
        return line
    lines = []
    if "target += " in line and "weights[n] * " in line:
        indent = line.index("target += ") + len("target += ")
        head, line = line.split(" * ", 1)
        line = f"{' ' * indent}* {line}"
        lines.append(head)
    call = _outermost_call(line)
    if len(line) <= _LINE_WIDTH or call is None:
        return "\n".join([*lines, line])
    return "\n".join([*lines, *_filled(line, call)])


def _filled(line: str, call: int) -> list[str]:
    """Fill lines with the arguments of a call; break those that are still too long."""
    # "y | " belongs to the first argument
    head, *rest = _arguments(line[call:])
    filled = [line[:call] + head]
    for argument in rest:
        if len(filled[-1]) + len(argument) < _LINE_WIDTH - argument.endswith(","):
            filled[-1] += f" {argument}"
        else:
            filled.append(" " * call + argument)
    last = filled[-1]
    if rest and len(last) > _LINE_WIDTH and "(" in last:
        filled[-1:] = _filled(last, last.index("(") + 1)
    return filled


def _outermost_call(line: str) -> int | None:
    """Return where the arguments of the call start that ends a statement."""
    depth = 0
    for position in range(len(line) - 2, -1, -1):
        depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(line[position], 0)
        if depth == 0:
            return position + 1
    return None


def _arguments(text: str) -> list[str]:
    """Split at the commas outside brackets; each piece keeps its comma."""
    pieces, start, depth = [], 0, 0
    for position, char in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(char, 0)
        if char == "," and depth == 0:
            pieces.append(text[start : position + 1])
            start = position + 2
    return [*pieces, text[start:]]
