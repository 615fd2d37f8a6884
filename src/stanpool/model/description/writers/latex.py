"""Mathematical notation as LaTeX, for MathJax and KaTeX as well."""

from __future__ import annotations

from collections.abc import Iterable

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

_ESCAPED = {
    **{char: f"\\{char}" for char in "_%&#${} "},
    "\\": r"\backslash{}",
    "^": r"\hat{\ }",
    "~": r"{\sim}",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
}


def equations_latex(model: Description) -> str:
    """Write a model as an ``aligned`` environment of LaTeX (amsmath).

    Blocks are apart; notes are comments, for authors to make sentences of.
    """
    lines: list[str] = []
    for block in BLOCKS:
        stated = [_statement(model, each) for each in model.of_block(block)]
        if lines and stated:
            lines[-1] += "[1.5ex]"
        lines += [f"{each} \\\\" for each in stated]
    lines[-1] = lines[-1].removesuffix(" \\\\")
    return "\n".join((r"\begin{aligned}", *lines, r"\end{aligned}"))


def _statement(model: Description, stated: Statement) -> str:
    """Write a line; a long sum is broken into several."""
    first, *others = map(latex, broken(stated.right))
    relation = latex(Sign(stated.relation))
    written = f"{latex(stated.left)} &{relation} {first}"
    said = [_for_all(model, letter) for letter in stated.letters]
    if stated.remark:
        said.append(f"\\text{{(}}{upright(stated.remark)}\\text{{)}}")
    whole = " && ".join((written, r",\ ".join(said))) if said else written
    return " \\\\\n&\\quad + ".join((whole, *others))


def _for_all(model: Description, letter: str) -> str:
    """Write the values of an index."""
    last = model.plate(letter).size
    values = "1" if last == 1 else "1, 2" if last == 2 else f"1, \\ldots, {last}"
    return f"{letter} = {values}"


def latex(math: Math) -> str:
    r"""Write an expression.

    Examples
    --------
    >>> latex(Indexed(Label("hits %"), at=(Symbol("i"),)))
    '\\mathrm{hits\\ \\%}_{i}'
    """
    match math:
        case Symbol(name=name):
            return f"\\{name}" if name in GREEK else name
        case Label(text=text):
            return upright(name_of(text))
        case Words(text=text):
            return upright(text)
        case Number(text=text):
            return text
        case Sign(text=text):
            return SIGNS.get(text, (text, ""))[0]
        case Lookup(letter=letter, of=of):
            return f"{latex(letter)}[{_list(of)}]"
        case Indexed():
            return _indexed(math)
        case Line(parts=parts):
            return " ".join(map(latex, parts))
        case Sum(terms=terms):
            return " + ".join(map(latex, terms))
        case Total(index=index, last=last, body=body):
            return f"\\sum_{{{index.name} = 1}}^{{{latex(last)}}} {latex(body)}"
        case Power(base=base, exponent=exponent):
            return f"{latex(base)}^{{{latex(exponent)}}}"
        case Call(function=function, arguments=arguments):
            return f"{latex(function)}\\left({_list(arguments)}\\right)"
        case Bracketed(inside=inside, opening=opening, closing=closing):
            return f"\\left{opening}{latex(inside)}\\right{closing}"
        case Vector(items=items, over=over):
            rows = r" \\ ".join(map(latex, items))
            vector = f"\\begin{{pmatrix}} {rows} \\end{{pmatrix}}"
            return vector if over is None else f"{vector}_{{{latex(over)}}}"
    raise TypeError(math)


def _list(items: Iterable[Math]) -> str:
    return ", ".join(map(latex, items))


def _indexed(math: Indexed) -> str:
    text = latex(math.base)
    if math.above:
        text += f"^{{{_list(math.above)}}}"
    below = (*math.of, *math.at)
    return f"{text}_{{{_list(below)}}}" if below else text


def upright(text: str) -> str:
    r"""Write a text in upright type, so that no character of it has a meaning.

    Only what LaTeX, MathJax and KaTeX all read alike is used: escapes have a meaning
    in mathematical type everywhere, but within ``\text`` not for MathJax.

    Examples
    --------
    >>> upright("a$b"), upright("dose_µg")
    ('\\mathrm{a\\$b}', '\\mathrm{dose\\_\\text{µ}g}')
    """
    return f"\\mathrm{{{''.join(map(_character, printable(text)))}}}"


def _character(char: str) -> str:
    if char in _ESCAPED:
        return _ESCAPED[char]
    if char.isascii() and (char.isalnum() or char == "."):
        return char
    if char in "'`\"-" or not char.isascii():
        return f"\\text{{{char}}}"
    return f"{{{char}}}"
