"""From the text of a formula to its outcome, population terms and group terms.

Only the structure that design matrices do not know is read here: ``~``, the parts of
the outcome after ``|``, and group terms in parentheses with a bar. Every other term
is checked and kept as text (see ``expression`` and ``terms``).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.language import expression
from stanpool.language.brackets import CLOSING, OPENING, signed_terms, split, top_level
from stanpool.language.expression import Call, Node, Number, Span, Unary, parse
from stanpool.language.formulas.residual_correlation import (
    RESIDUAL_STRUCTURES,
    ResidualCorrelation,
)
from stanpool.language.formulas.structures import STRUCTURES
from stanpool.language.model_spec import (
    POPULATIONS,
    GroupTerm,
    ModelSpec,
    ParameterFormula,
)
from stanpool.language.special.latent_factors import LatentFactors, LevelPredictors
from stanpool.language.special.uncertain import ValuesFormula
from stanpool.language.terms import read_arithmetic, read_term
from stanpool.language.vocabulary import is_monotonic, is_smooth, is_uncertain

_QUOTED_NAME = re.compile(r"`((?:[^`]|``)+)`", re.DOTALL)
_CALL = re.compile(r"\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)
_OUTCOME_PARTS = {
    "trials": "trials(column)",
    "se": "se(column), se(column, sigma=True)",
    "exposure": "exposure(column)",
    "weights": "weights(column)",
    "cens": "cens(column), cens(column, upper)",
    "trunc": "trunc(lower, upper)",
    "quantile": "quantile(0.9)",
    "residual": "residual(ar1(time | subject))",
}


@dataclass(frozen=True)
class Formula:
    """The parts of a formula, as ``ModelSpec`` names them."""

    outcome: str
    intercept: bool = True
    terms: tuple[str, ...] = ()
    groups: tuple[GroupTerm, ...] = ()
    latent: LatentFactors | None = None
    formulas: tuple[ParameterFormula, ...] = ()
    values: tuple[ValuesFormula, ...] = ()
    trials: str | None = None
    se: str | None = None
    se_sigma: bool = False
    exposure: str | None = None
    offsets: tuple[str, ...] = ()
    weights: str | None = None
    cens: str | None = None
    cens_upper: str | None = None
    trunc: tuple[str | float | None, str | float | None] | None = None
    quantile: float | None = None
    residual_correlation: ResidualCorrelation | None = None


def parse_formula(text: str, functions: Collection[str] = ()) -> Formula:
    """Read ``"y | trials(n) ~ x1 + x2 + (1 + x1 | g)"``.

    Parameters
    ----------
    text
        An outcome, ``~``, population terms, and group terms:
        ``(1 + x | g)``, or ``||`` for coefficients that are uncorrelated where
        predictors are 0 (``center(x)`` says that 0 is elsewhere), or ``|id|`` for
        coefficients that are correlated with those of other formulas with this id;
        ``a/b`` for groups ``b`` nested in ``a``, ``a:b`` for combinations, ``mm(g1,
        g2)`` for multiple membership, where a row gets the mean of its groups'
        deviations, or ``mm(g1, g2, weights=(w1, w2))``, where it gets their sum with
        these weights, as they are; ``gr(species, cov=A)`` for groups with a known
        covariance, and ``gr(school, dist="student_t")`` or ``dist="laplace"`` for
        another population; ``icar(region, W)``, ``bym2(region, W)`` and ``car(region,
        W)`` for regions that are like their neighbours; ``rw1(year)`` and ``rw2(year)``
        for random walks in time, ``ar1(year)`` for an autoregression, and ``rw1(year |
        g)`` for one of each group; ``factors(user, item, rank=2)`` for latent factors,
        ``factors(user, item, user=~age)`` for users' that depend on their age, and
        ``factors(user, item, time, rank=2)`` for those of three columns or more;
        ``s(x)`` and ``t2(x, z)`` for penalised smooths; ``me(x, sd)`` for a predictor
        that was measured with errors, and ``mi(x)`` for one with missing values;
        ``offset(z)`` is added to the linear predictor as it is. Parts of the outcome
        are ``trials(n)``, ``se(s)``, ``se(s, sigma=True)``, ``exposure(e)``,
        ``weights(w)``, ``cens(c)``, ``cens(c, upper)``, ``trunc(lower, upper)`` and
        ``quantile(0.9)``, joined by ``+``. The outcome, offsets and what the parts are
        given is arithmetic of columns; but ``residual(ar1(time | subject))`` says how
        residuals are correlated within subjects. Names that are not plain identifiers
        stand in backticks; a backtick inside is doubled.
    functions
        The names of a user's own functions.

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
        raise SpecError(f"a formula is a string such as 'y ~ x', got {quote(text)}.")
    whole = Span(text, 0, len(text))
    sides = list(split(whole, "~"))
    if len(sides) != 2:
        raise whole.error(
            "a formula has one '~' between outcome and predictors, as in "
            f"'y ~ x + (1 | g)'; this one has {len(sides) - 1}."
        )
    parsed = _read_outcome(sides[0], functions)
    intercept = True
    terms: list[str] = []
    offsets: list[str] = []
    groups: list[GroupTerm] = []
    lines: list[str] = []
    latent: LatentFactors | None = None
    for sign, span in signed_terms(sides[1]):
        call = _CALL.fullmatch(span.text)
        if _is_group_term(span):
            if sign == "-":
                raise span.error(
                    "a group term cannot be subtracted. Leave it out of the formula."
                )
            for term in _read_group_term(span, functions):
                _add(groups, term, span)
        elif call and call.group(1) == "offset":
            if sign == "-":
                raise span.error("write 'offset(-z)' to subtract z.")
            inside = span.part(call.start(2), call.end(2)).strip()
            offsets.append(_arithmetic(inside, functions))
        elif call and call.group(1) in STRUCTURES:
            if sign == "-":
                raise span.error(f"{call.group(1)}() can only be added.")
            inside = span.part(call.start(2), call.end(2))
            term = _read_structure(span, inside, call.group(1))
            _add(groups, term, span)
            lines += term.implied
        elif call and call.group(1) == "factors":
            if sign == "-" or latent is not None:
                raise span.error("factors() can only be added, and only once.")
            inside = span.part(call.start(2), call.end(2))
            latent = _read_latent(span, inside, functions)
        elif span.text in ("0", "1"):
            intercept = (span.text == "1") == (sign == "+")
        else:
            terms.append(_population_term(sign, span, functions))
    return replace(
        parsed,
        latent=latent,
        intercept=intercept,
        terms=(*terms, *(x for x in dict.fromkeys(lines) if x not in terms)),
        groups=tuple(groups),
        offsets=tuple(offsets),
    )


def check_name(name: object) -> None:
    """Refuse a column's name that is not a text."""
    if not isinstance(name, str) or not name:
        raise SpecError(
            f"the name of a column must be a string, got {quote(name)}; rename the "
            "columns, for example by data.rename(columns=str)."
        )


def quote_name(name: str) -> str:
    """Write a column's name so that a formula reads it back, in backticks if needed.

    Examples
    --------
    >>> quote_name("floor"), quote_name("floor level"), quote_name("a`b")
    ('floor', '`floor level`', '`a``b`')
    """
    check_name(name)
    return expression.quote_name(name)


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


def _read_outcome(side: Span, functions: Collection[str]) -> Formula:
    """Read the left-hand side, ``y`` or ``y | trials(n)``."""
    pieces = [piece.strip() for piece in split(side, "|")]
    if not pieces[0].text:
        raise side.error("the outcome is missing; write 'y ~ ...'.")
    if len(pieces) > 2:
        raise side.error("the outcome has more than one '|'; join its parts with '+'.")
    found: dict[str, Any] = {}
    seen: set[str] = set()
    for part in split(pieces[1], "+") if len(pieces) == 2 else ():
        part = part.strip()
        read = _read_part(part, functions)
        name = part.text.partition("(")[0].strip()
        if name in seen:
            raise part.error(f"{name}() is given twice.")
        seen.add(name)
        found |= read
    return Formula(_arithmetic(pieces[0], functions), **found)


def _read_part(part: Span, functions: Collection[str]) -> dict[str, Any]:
    """Read a part of the outcome, such as ``se(s, sigma=True)``."""
    match = _CALL.fullmatch(part.text)
    if match is None or match.group(1) not in _OUTCOME_PARTS:
        name = match.group(1) if match else part.text
        if name == "offset":
            raise part.error("an offset is a predictor: write 'y ~ x + offset(z)'.")
        raise part.error(
            f"{quote(part.text)} is not a part of an outcome; known are "
            f"{', '.join(_OUTCOME_PARTS.values())}." + suggestion(name, _OUTCOME_PARTS)
        )
    if match.group(1) == "residual":
        inside = part.part(match.start(2), match.end(2)).strip()
        return {"residual_correlation": _read_residual_correlation(inside)}
    call = parse(part)
    if not isinstance(call, Call):
        raise part.error("parts of an outcome are joined by '+'.")
    name, usage = call.name, f"write {_OUTCOME_PARTS[call.name]}"
    known = {"cens": ("", "upper"), "trunc": ("lower", "upper")}
    places = known.get(name, ("",))
    given = dict(zip(places, call.arguments, strict=False))
    for node in call.arguments[len(places) :]:
        raise part.error(f"{name}() does not take {quote(node.at.text)} here; {usage}.")
    for key, node in call.settings:
        if key not in (*places, *(("sigma",) if name == "se" else ())) or key in given:
            said = quote(f"{key}={node.at.text}")
            raise part.error(f"{name}() does not take {said} here; {usage}.")
        given[key] = node
    if name == "trunc":
        bounds = [_bound(given.get(key), functions) for key in ("lower", "upper")]
        return {"trunc": tuple(bounds)}
    if "" not in given:
        needed = "number" if name == "quantile" else "column"
        raise part.error(f"{name}() needs a {needed}; {usage}.")
    if name == "quantile":
        number = _bound(given[""], functions)
        if not isinstance(number, float):
            raise given[""].at.error(f"a quantile is a number; {usage}.")
        return {name: number}
    read: dict[str, Any] = {name: _arithmetic(given[""].at, functions)}
    if "upper" in given:
        read["cens_upper"] = _arithmetic(given["upper"].at, functions)
    if "sigma" in given:
        sigma = given["sigma"].at
        if sigma.text not in ("True", "False"):
            raise sigma.error(f"sigma is True or False; {usage}.")
        read["se_sigma"] = sigma.text == "True"
    return read


def _arithmetic(span: Span, functions: Collection[str]) -> str:
    """Return the text of an expression of one column, having checked it."""
    read_arithmetic(span, functions)
    return span.text


def _bound(node: Node | None, functions: Collection[str]) -> str | float | None:
    """Return a bound of a truncated outcome: an expression, a number or nothing."""
    if node is None or node.at.text == "None":
        return None
    match node:
        case Number(value=value):
            return float(value)
        case Unary(sign="-", operand=Number(value=value)):
            return -float(value)
    return _arithmetic(node.at, functions)


def _population_term(
    sign: str, span: Span, functions: Collection[str], *, varies: bool = False
) -> str:
    """Return the text of a term, refusing what only looks like one.

    Parameters
    ----------
    sign, span, functions
        The sign before the term, where it is written, and a user's own functions.
    varies
        Whether it stands in a group term.
    """
    if not span.text:
        raise span.error("a term is missing beside this '+' or '-'.")
    if span.text == ".":
        raise span.error("'.' for all columns is not supported; name the predictors.")
    bars = [char for _, char in top_level(span) if char == "|"]
    if bars:
        raise span.error(
            "a group term stands in parentheses of its own, as in '+ (1 + x | g)'."
        )
    if any(_is_group_term(piece) for mark in "*:/" for piece in split(span, mark)):
        raise span.error("a group term can only be added, as in '+ (1 + x | g)'.")
    if span.text == "Intercept":
        raise span.error(
            "a model has an intercept unless '0 +' removes it, and a formula does not "
            "name it: write 'y ~ x'. For a prior where predictors are 0 and not at "
            "their means, pass center_predictors=False. If a column has this name, "
            "rename it."
        )
    read = read_term(span, functions)
    is_curve = is_smooth(read)
    if is_monotonic(read) and varies:
        raise span.error(
            "monotonic effects do not vary over groups. Effects of levels that do are "
            "(C(x) | g), and a straight line for each group (x | g)."
        )
    if is_uncertain(read) and varies:
        raise span.error(
            f"the effect of {span.text} is the same for all groups: products of values "
            "that are not all known with coefficients of groups are not offered. Write "
            f"'+ {span.text}' outside of the group term."
        )
    if is_uncertain(read) and sign == "-":
        raise span.error(f"{span.text} cannot be subtracted. Leave it out.")
    if is_curve and sign == "-":
        raise span.error("a smooth cannot be subtracted. Leave it out of the formula.")
    if is_curve and varies:
        raise span.error(
            "smooths do not vary over groups. A curve for each group is s(x, by=g), "
            "beside the group term."
        )
    return span.text if sign == "+" else f"-{span.text}"


def _is_group_term(span: Span) -> bool:
    """Whether the stretch is ``( ... | ... )``."""
    span = span.strip()
    text = span.text
    if not (text.startswith("(") and text.endswith(")")):
        return False
    inside = span.part(1, len(text) - 1)
    return any(char == "|" for _, char in top_level(inside))


def _read_group_term(span: Span, functions: Collection[str]) -> list[GroupTerm]:
    """Read ``(1 + x | g)``, ``||`` or ``|id|``; nesting gives one term a level."""
    inside = span.part(1, len(span.text) - 1)
    bars = [position for position, char in top_level(inside) if char == "|"]
    name = inside.part(bars[0] + 1, bars[-1]).text.strip() if len(bars) > 1 else ""
    if len(bars) > 2 or (name and not name.isidentifier()):
        raise inside.error(
            "a group term has one '|' (or '||'), as in '(1 + x | g)'; or an id between "
            "two, as in '(1 |p| g)', that terms of several formulas share whose "
            "coefficients are correlated."
        )
    left = inside.part(0, bars[0]).strip()
    right = inside.part(bars[-1] + 1, len(inside.text)).strip()
    if not left.text:
        raise span.error(
            "there are no varying coefficients before '|'; write '(1 | g)'."
        )
    if not right.text:
        raise span.error("there is no grouping factor after '|'; write '(1 | g)'.")
    intercept, terms = True, []
    for sign, term in signed_terms(left):
        if term.text in ("0", "1"):
            intercept = (term.text == "1") == (sign == "+")
        else:
            terms.append(_population_term(sign, term, functions, varies=True))
    if not (intercept or terms):
        raise left.error("nothing varies in this group term; write '(1 | g)'.")
    correlated = len(bars) == 1 or bool(name)
    shared = GroupTerm("", intercept, tuple(terms), correlated=correlated, id=name)
    return [replace(shared, **factor) for factor in _read_factors(right)]


def _read_factors(span: Span) -> list[dict[str, Any]]:
    """Read what stands after the bar: ``g``, ``a:b``, ``a/b``, or ``mm(g1, g2)``."""
    call = _CALL.fullmatch(span.text)
    if call and call.group(1) in ("mm", "members"):
        inside = span.part(call.start(2), call.end(2))
        return [_read_memberships(inside, call.group(1))]
    if call and call.group(1) == "gr":
        return [_read_groups(span, span.part(call.start(2), call.end(2)))]
    levels: list[tuple[str, ...]] = []
    for level in split(span, "/"):
        columns = tuple(_column(piece.strip(), span) for piece in split(level, ":"))
        levels.append((*levels[-1], *columns) if levels else columns)
    return [_factor(columns) for columns in levels]


def _read_memberships(span: Span, call: str) -> dict[str, Any]:
    """Read ``g1, g2, weights=(w1, w2)``: the groups that a row is a member of."""
    columns: list[str] = []
    weights: list[str] = []
    for piece in (piece.strip() for piece in split(span, ",")):
        name, equals, value = piece.text.partition("=")
        if not equals:
            columns.append(_column(piece, piece))
        elif name.strip() == "weights" and call == "mm":
            start = len(piece.text) - len(value)
            listing = piece.part(start, len(piece.text)).strip()
            if listing.text[:1] in OPENING and listing.text[-1:] in CLOSING:
                listing = listing.part(1, len(listing.text) - 1)
            weights = [_column(each.strip(), piece) for each in split(listing, ",")]
        else:
            raise piece.error(
                "mm() takes columns and weights=(columns), and members() takes only "
                "columns."
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


def _read_groups(whole: Span, inside: Span) -> dict[str, Any]:
    """Read ``species, cov=A`` or ``school, by=type``: what groups are like.

    The same column may have a term without a covariance besides, so that the names of
    both differ: the one with it is ``species_A``. Those of a population for each level
    of a column are ``school_type_`` and the level.
    """
    columns: list[str] = []
    stated: dict[str, str] = {}
    for piece in (piece.strip() for piece in split(inside, ",")):
        name, equals, value = (part.strip() for part in piece.text.partition("="))
        if not equals:
            columns.append(_column(piece, piece))
        elif name in stated:
            raise piece.error(f"gr() has {name}= twice.")
        elif name == "cov" and value.isidentifier():
            stated[name] = value
        elif name == "by":
            start = len(piece.text) - len(value)
            stated[name] = _column(piece.part(start, len(piece.text)), piece)
        elif name == "dist" and value.strip("'\"") in POPULATIONS:
            stated[name] = value.strip("'\"")
        elif name == "dist":
            raise piece.error(
                f"dist is one of {quote_list(POPULATIONS)}, as in "
                'gr(school, dist="student_t").'
            )
        else:
            raise piece.error(
                "gr() takes a column and the name of a known covariance, as in "
                "gr(species, cov=A) with covariances={'A': A}; or the distribution of "
                'the groups, as in gr(school, dist="student_t"); or a column each of '
                "whose levels has a population of its own, as in gr(school, by=type)."
            )
    if len(columns) != 1 or not stated or ("cov" in stated and len(stated) > 1):
        raise whole.error(
            "gr() takes one column and either a covariance, as in gr(species, cov=A), "
            'or a distribution, as in gr(school, dist="student_t"), or a population '
            "for each level of a column, as in gr(school, by=type). Groups that are "
            "independent and normal are written without it, (1 | species)."
        )
    population = {"population": stated["dist"]} if "dist" in stated else {}
    if "by" in stated:
        return {
            "factor": f"{columns[0]}_{stated['by']}",
            "columns": tuple(columns),
            "membership": "level",
            "by": stated["by"],
            **population,
        }
    if population:
        return {"factor": columns[0], **population}
    return {
        "factor": f"{columns[0]}_{stated['cov']}",
        "columns": tuple(columns),
        "covariance": stated["cov"],
    }


def _read_structure(whole: Span, inside: Span, structure: str) -> GroupTerm:
    """Read ``region, W``: groups, and the name of their neighbours or their times."""
    pieces = [piece.strip() for piece in split(inside, ",")]
    is_of_times = STRUCTURES[structure].is_of_times
    if len(pieces) > 2 or (pieces[1:] and not pieces[1].text.isidentifier()):
        raise whole.error(_usage(structure))
    if not is_of_times and len(pieces) != 2:
        raise whole.error(_usage(structure))
    sides = [each.strip() for each in split(pieces[0], "|")]
    if len(sides) > 1 + is_of_times:
        raise whole.error(_usage(structure))
    column = _column(sides[0], sides[0])
    series = [
        _column(each.strip(), each) for side in sides[1:] for each in split(side, ":")
    ]
    return GroupTerm(
        "_".join((structure, column, *series)),
        columns=(*series, column),
        covariance=pieces[1].text if pieces[1:] else "",
        structure=structure,
    )


def _read_residual_correlation(span: Span) -> ResidualCorrelation:
    """Read ``ar1(time | subject)``: how residuals are correlated within subjects."""
    call = _CALL.fullmatch(span.text)
    if call is None or call.group(1) not in RESIDUAL_STRUCTURES:
        name = call.group(1) if call else span.text
        known = ", ".join(each.example for each in RESIDUAL_STRUCTURES.values())
        raise span.error(
            "residual() says how residuals are correlated within subjects, by one of "
            f"{known}; got {quote(span.text)}.{suggestion(name, RESIDUAL_STRUCTURES)}"
        )
    kind = RESIDUAL_STRUCTURES[call.group(1)]
    inside = span.part(call.start(2), call.end(2))
    sides = [each.strip() for each in split(inside, "|")]
    if len(sides) > 2 or (len(sides) < 2 and kind.needs_times):
        what = "visits" if kind.times == "visits" else "times"
        raise span.error(
            f"{kind.name}() of residuals takes a column of {what} and one of subjects, "
            f"as in {kind.example}."
        )
    *times, subject = sides
    return ResidualCorrelation(
        kind.name,
        tuple(_column(each.strip(), subject) for each in split(subject, ":")),
        _column(times[0], times[0]) if times else None,
    )


def _usage(structure: str) -> str:
    """Say what a structure takes."""
    if STRUCTURES[structure].is_of_times:
        return (
            f"{structure}() takes a column of times, as in {structure}(year), or "
            f"{structure}(year | g) for a series of each group, and the name of a list "
            f"of times if some have no rows, as in {structure}(year, T) with "
            "covariances={'T': times}."
        )
    return (
        f"{structure}() takes a column and the name of its neighbours, as in "
        f"{structure}(region, W) with covariances={{'W': W}}."
    )


def _read_latent(
    whole: Span, inside: Span, functions: Collection[str]
) -> LatentFactors:
    """Read ``user, item, rank=2, user=~age``: columns, how many factors, predictors."""
    columns: list[str] = []
    predictors: list[LevelPredictors] = []
    rank = 1
    for piece in (piece.strip() for piece in split(inside, ",")):
        name, *rest = split(piece, "=")
        value = piece.part(len(name.text) + 1, len(piece.text)).strip()
        if not rest:
            columns.append(_column(piece, piece))
        elif value.text.startswith("~"):
            column = _column(name.strip(), piece)
            terms = _read_level_predictors(value, functions)
            predictors.append(LevelPredictors(column, terms))
        elif name.text.strip() == "rank" and re.fullmatch(r"\d{1,9}", value.text):
            rank = int(value.text)
        else:
            raise piece.error(
                "factors() takes columns, rank=1, 2, 3, ..., and predictors of the "
                "levels of a column, as in user=~age."
            )
    if len(columns) < 2:
        raise whole.error(
            f"factors() has {len(columns)} column(s) and needs two or more, as in "
            "'factors(user, item, rank=2)'."
        )
    first, second, *others = columns
    try:
        return LatentFactors(first, second, rank, tuple(predictors), tuple(others))
    except SpecError as problem:
        raise whole.error(str(problem)) from None


def _read_level_predictors(
    formula: Span, functions: Collection[str]
) -> tuple[str, ...]:
    """Read ``~age + sex``: predictors and nothing else."""
    read = parse_formula(f"x {formula.text}", functions)
    plain = Formula("x", terms=read.terms)
    wrong = [x for x in read.terms if x.startswith("-") or is_smooth(parse(x))]
    if read != plain or not read.terms or wrong:
        raise formula.error(
            "the predictors of the levels of a column in factors() are a sum such as "
            "~age + sex, without intercept, smooths, groups and offsets: factors are 0 "
            "where predictors are at their means. bs(z, df=5) is a curve."
        )
    return read.terms


def _factor(columns: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a factor that combines columns."""
    if len(columns) == 1:
        return {"factor": columns[0]}
    return {"factor": ":".join(columns), "columns": columns}


def _column(span: Span, whole: Span) -> str:
    """Return the column that a stretch names."""
    name = unquote_name(span.text)
    if name is None:
        raise (span if span.text else whole).error(
            "a grouping factor is a column, a:b, a/b or mm(a, b), got "
            f"{quote(span.text)}. Write a name that is not a plain identifier in "
            "backticks."
        )
    return name


def _add(groups: list[GroupTerm], other: GroupTerm, span: Span) -> None:
    """Add a term; ``(1 | g) + (0 + x | g)`` is joined to ``(1 + x || g)``."""
    at = [place for place, each in enumerate(groups) if each.factor == other.factor]
    if not at:
        groups.append(other)
        return
    group = groups[at[0]]
    if set(group.terms) & set(other.terms) or (group.intercept and other.intercept):
        raise span.error(
            f"the same coefficient varies twice over {quote(group.factor)}."
        )
    both = (group, other)
    if any(each.id for each in both):
        raise span.error(
            "a formula has one term of a factor's groups with an id: write all their "
            f"coefficients in it, as in (1 + x |p| {group.factor})."
        )
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
