"""Hypotheses about quantities of the posterior, stated as text.

The text is parsed here, and none of it is run as code.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.inference.estimates.coefficients import fixef_draws
from stanpool.language.expression import Call, Chain, Name, Node, Number, Unary, parse
from stanpool.posterior.coefficients import flat
from stanpool.posterior.intervals import describe, interval_levels

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.model.fit_result import FitResult

_USAGE = (
    "Use names of the posterior, numbers, + - * / **, the functions exp, log, sqrt "
    "and abs, and one or two of < > <= >=, as in 'floor < 0' or 'b_county[AITKIN, "
    "floor] > b_county[ANOKA, floor]'; write names with other characters in backticks."
)
_BINARY: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
}
_UNARY: Mapping[str, Callable[[Any], Any]] = {"-": operator.neg, "+": operator.pos}
_COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
}
_NAME = re.compile(r"`(?P<quoted>[^`]*)`|(?P<plain>[^\W\d]\w*(?::[^\W\d]\w*)*)")


def hypothesis(
    fit: FitResult, hypotheses: str | Sequence[str], *, prob: float = 0.9
) -> pd.DataFrame:
    """Compute posterior probabilities of hypotheses.

    Parameters
    ----------
    fit
        A fit.
    hypotheses
        One or several, such as ``"floor < 0"``, ``"abs(floor) < 0.1"``, ``"0.5 <
        exp(floor) < 1"``, ``"tau_county[Intercept] > sigma"``. Names are those of
        ``fixef`` and ``summary``; they are quoted by backticks if they contain, outside
        brackets, characters other than letters, digits and ``:``.
    prob
        The probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        One row per hypothesis, with its ``probability`` and ``odds``, and with
        ``mean``, ``sd``, ``median`` and interval of the left side minus the right side,
        or of the expression between two bounds.

    Raises
    ------
    SpecError
        If a hypothesis cannot be read, contains a name that is not in the posterior, or
        states that two quantities are equal, which has probability 0.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> hypothesis(fit, "Intercept > 0")["probability"].round(2).item()
    0.96
    """
    import pandas as pd

    interval_levels(prob)
    texts = [hypotheses] if isinstance(hypotheses, str) else list(hypotheses)
    rows = []
    for text in texts:
        estimate, holds = evaluate(text, partial(_draws_of, fit))
        probability = float(np.mean(holds))
        odds = probability / (1 - probability) if probability < 1 else np.inf
        rows.append(
            describe(estimate, prob) | {"probability": probability, "odds": odds}
        )
    return pd.DataFrame(rows, index=texts)


def evaluate(text: str, draws_of: Callable[[str, str], Array]) -> tuple[Array, Array]:
    """Return draws of the quantity of a hypothesis, and of whether it is true.

    Parameters
    ----------
    text
        The hypothesis.
    draws_of
        A function that returns the draws of a name; it is also given the hypothesis,
        for messages.
    """
    if not isinstance(text, str):
        raise SpecError(f"the hypothesis {quote(text)} must be a string. {_USAGE}")
    replaced, names = _alias(text)
    if re.search(r"(?<![<>])=(?!\s*$)", replaced.replace("<=", "").replace(">=", "")):
        raise SpecError(
            f"the hypothesis {quote(text)} says that two quantities are equal, which "
            "has probability 0. State how close they are, as in 'abs(floor) < 0.1'."
        )
    try:
        node = parse(replaced)
    except SpecError:
        node = None
    if not isinstance(node, Chain) or not set(node.signs) <= set(_COMPARISONS):
        raise SpecError(f"cannot read the hypothesis {quote(text)}. {_USAGE}")
    draws = {alias: draws_of(name.strip(), text) for alias, name in names.items()}
    sides = [_value(side, draws, text) for side in node.operands]
    holds = np.ones(1, dtype=bool)
    for sign, left, right in zip(node.signs, sides, sides[1:], strict=False):
        holds = holds & _COMPARISONS[sign](left, right)
    if not names or len(sides) > 3:
        raise SpecError(f"cannot read the hypothesis {quote(text)}. {_USAGE}")
    estimate = sides[0] - sides[1] if len(sides) == 2 else sides[1]
    return np.broadcast_to(np.asarray(estimate, dtype=float), holds.shape), holds


def _alias(text: str) -> tuple[str, dict[str, str]]:
    """Replace names, with their brackets and what is in these, by aliases."""
    pieces: list[str] = []
    names: dict[str, str] = {}
    at = 0
    while match := _NAME.search(text, at):
        name, end = match["quoted"], match.end()
        before = text[at : match.start()]
        # 1e5 is a number.
        is_exponent = name is None and re.search(r"[\d.]$", before) is not None
        if name is None:
            name = match["plain"]
            if text[end : end + 1] == "[":
                end = _closing(text, end)
                name = text[match.start() : end]
        is_call = match["plain"] in _FUNCTIONS and text[end:].lstrip().startswith("(")
        pieces.append(before)
        if is_exponent or is_call:
            pieces.append(text[match.start() : end])
        else:
            alias = f"name_{len(names)}_"
            names[alias] = name
            pieces.append(alias)
        at = end
    return "".join([*pieces, text[at:]]), names


def _closing(text: str, start: int) -> int:
    """Return the end of the bracket that opens at ``start``, or of the text."""
    depth = 0
    for position in range(start, len(text)):
        depth += {"[": 1, "]": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    return len(text)


def _value(node: Node, draws: Mapping[str, Array], text: str) -> Any:
    """Compute one side of a hypothesis."""
    match node:
        case Number(value=number):
            return float(number)
        case Name(name=name) if name in draws:
            return draws[name]
        case Chain(signs=signs, operands=operands) if set(signs) <= set(_BINARY):
            found = np.asarray(_value(operands[0], draws, text))
            with np.errstate(all="ignore"):
                for sign, each in zip(signs, operands[1:], strict=True):
                    found = _BINARY[sign](found, _value(each, draws, text))
            return found
        case Unary(sign=sign, operand=operand) if sign in _UNARY:
            return _UNARY[sign](_value(operand, draws, text))
        case Call(name=name, arguments=(argument,), settings=()) if name in _FUNCTIONS:
            with np.errstate(all="ignore"):
                return _FUNCTIONS[name](_value(argument, draws, text))
    raise SpecError(f"cannot read the hypothesis {quote(text)}. {_USAGE}")


def _draws_of(fit: FitResult, name: str, text: str) -> Array:
    """Return the draws of a name, shape ``(S,)``."""
    population = dict(zip(*fixef_draws(fit), strict=True))
    if name in population:
        return population[name]
    posterior = fit.posterior
    stem, bracket, _ = name.partition("[")
    candidates = [str(each) for each in posterior.data_vars]
    # A factor's name may contain brackets: use the longest variable that fits.
    for variable in sorted(candidates, key=len, reverse=True):
        if name == variable and posterior[variable].ndim == 2:
            return flat(posterior[variable])
        if name.startswith(f"{variable}[") and name.endswith("]"):
            found = _member(posterior[variable], name[len(variable) + 1 : -1])
            if found is not None:
                return found
    near = list(dict.fromkeys([*population, *candidates]))
    if bracket and stem in posterior:
        near = [f"{stem}[{label}]" for label in _labels(posterior[stem])]
    raise SpecError(
        f"the hypothesis {quote(text)} has the name {quote(name)}, which is not in "
        f"the posterior; its names are {quote_list(near)}.{suggestion(name, near)}"
    )


def _member(variable: xr.DataArray, inside: str) -> Array | None:
    """Return the draws of an element of a variable by its label in ``summary``."""
    labels = _labels(variable)
    if inside not in labels:
        return None
    draws = flat(variable)
    return np.asarray(draws.reshape(len(draws), -1)[:, labels.index(inside)])


def _labels(variable: xr.DataArray) -> list[str]:
    """Return the labels of a variable's elements, such as ``AITKIN, floor``."""
    labels = [""]
    for dim in variable.dims[2:]:
        values = [str(value) for value in variable[dim].to_numpy()]
        labels = [f"{a}, {b}" if a else b for a in labels for b in values]
    return labels
