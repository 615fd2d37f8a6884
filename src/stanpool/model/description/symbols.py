"""The symbols of a model's quantities: what is called what in equations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from stanpool.base.errors import SpecError
from stanpool.data.design.design import Design, FactorDesign
from stanpool.language import expression as read
from stanpool.language.model_spec import ModelSpec
from stanpool.language.special.uncertain import UncertainPredictor
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
    Symbol,
    Words,
    line,
    number,
    times,
)
from stanpool.model.description.writers.letters import GREEK

ROW, MEMBER, CATEGORY, LATENT, PREDICTOR = map(Symbol, "imcrp")
SCORE, LOADING = Symbol("s"), Symbol("l")
_LETTERS = "jkhqtvn"  # of groups; others are taken

_LEVEL = re.compile(r"(?P<column>.+?)\[(?:T\.)?(?P<level>.+)\]", re.DOTALL)


@dataclass(frozen=True)
class Symbols:
    """The symbols of a model.

    Attributes
    ----------
    spec, design
        The model.
    columns
        The levels of the columns of categories that the model uses, and of others
        nothing, by name.
    """

    spec: ModelSpec
    design: Design
    columns: Mapping[str, tuple[str, ...]]

    @cached_property
    def letters(self) -> dict[str, Symbol]:
        """The index of each grouping factor and of each side of other terms."""
        names = [
            factor.factor for each in self.design.predictors for factor in each.factors
        ]
        names += [side.column for term in self.design.special for side in term.sides]
        found = list(dict.fromkeys(names))
        plain = [each for each in _LETTERS if each not in self.columns]
        letters = [*plain, *(f"j{number}" for number in range(1, len(found) + 1))]
        return dict(zip(found, map(Symbol, letters), strict=False))

    @property
    def is_categorical(self) -> bool:
        """Whether each category but the first has a linear predictor of its own."""
        return self.spec.is_categorical

    def row_of(self, factor: FactorDesign) -> Lookup:
        """Return the group of a row, or one of its groups: ``j[i]``, ``j[i, m]``."""
        return Lookup(self.letters[factor.factor], self.membership_of(factor))

    def membership_of(self, factor: FactorDesign) -> tuple[Symbol, ...]:
        """Return the letter of a row, and of one of its memberships if it has many."""
        is_one = factor.weights is None or factor.weights.shape[1] == 1
        return (ROW,) if is_one else (ROW, MEMBER)

    def coefficient(
        self,
        label: str,
        *,
        at: tuple[Symbol | Lookup, ...] = (),
        factor: str | None = None,
        parameter: str = "mean",
        category: str | None = None,
    ) -> Indexed:
        """Return a coefficient's symbol.

        Parameters
        ----------
        label
            Its predictor, or ``"Intercept"``.
        at
            Its group.
        factor
            The grouping factor, if it is of a group.
        parameter
            The parameter of the outcome's distribution that it is for.
        category
            A category, if it is of that one; of any, in models that have it for each,
            if None.
        """
        is_intercept = label == "Intercept"
        of: tuple[Math, ...] = () if is_intercept else (Label(label),)
        above = self._above(factor, parameter)
        if self.is_categorical and category is None:
            at = (CATEGORY, *at)
        elif category is not None:
            of = (*of, Label(category))
        return Indexed(Symbol("alpha" if is_intercept else "beta"), of, at, above)

    def scale(
        self,
        label: str,
        factor: str,
        *,
        parameter: str = "mean",
        category: str | None = None,
    ) -> Indexed:
        """Return the symbol of the scale of a factor's coefficients."""
        of: tuple[Math, ...] = (
            Symbol("alpha") if label == "Intercept" else Label(label),
        )
        at = (CATEGORY,) if self.is_categorical and category is None else ()
        if category is not None:
            of = (*of, Label(category))
        return Indexed(Symbol("tau"), of, at, self._above(factor, parameter))

    def curve(self, smooth: str, *, parameter: str = "mean") -> Indexed:
        """Return the symbol of what a smooth adds to a row besides straight lines."""
        above = () if parameter == "mean" else (symbol_of_parameter(parameter),)
        return Indexed(Symbol("f"), (Label(smooth),), (ROW,), above)

    def scale_of_smooth(self, smooth: str, *, parameter: str = "mean") -> Indexed:
        """Return the symbol of the scale of a smooth."""
        above = () if parameter == "mean" else (symbol_of_parameter(parameter),)
        return Indexed(Symbol("tau"), (Label(smooth),), (), above)

    def lengthscale(self, process: str, *, parameter: str = "mean") -> Indexed:
        """Return the symbol of a length scale of a Gaussian process."""
        above = () if parameter == "mean" else (symbol_of_parameter(parameter),)
        return Indexed(Symbol("ell"), (Label(process),), (), above)

    def steps(self, label: str, *, parameter: str = "mean") -> Indexed:
        """Return the symbol of steps of a monotonic effect."""
        above = () if parameter == "mean" else (symbol_of_parameter(parameter),)
        return Indexed(Symbol("zeta"), (Label(label),), (), above)

    def value(self, predictor: UncertainPredictor) -> Indexed:
        """Return the true value of a predictor in a row, which may not be known."""
        if predictor.may_miss:
            return Indexed(Label(predictor.column), at=(ROW,))
        return Indexed(Symbol("xi"), (Label(predictor.column),), (ROW,))

    def of_values(self, letter: str, column: str, label: str = "") -> Indexed:
        """Return the symbol of a parameter of the values of a predictor."""
        of: tuple[Math, ...] = (Label(label),) if label else ()
        return Indexed(Symbol(letter), of, above=(Label(column),))

    def score(self, column: str, at: Symbol | Lookup) -> Indexed:
        """Return the score of a level of one of three columns or more on a factor."""
        return Indexed(SCORE, at=(LATENT, at), above=(Label(column),))

    def of_factors(self, label: str) -> Indexed:
        """Return the coefficient of a predictor of what levels have on factors.

        Parameters
        ----------
        label
            The column of the levels and the predictor, such as ``"user, age"``.
        """
        column, _, predictor = label.partition(", ")
        return Indexed(Symbol("beta"), (Label(predictor),), (LATENT,), (Label(column),))

    def matrix(self, name: str, factor: str, *, parameter: str = "mean") -> Indexed:
        """Return the symbol of a factor's covariances or correlations."""
        return Indexed(Symbol(name), above=self._above(factor, parameter))

    def _above(self, factor: str | None, parameter: str) -> tuple[Math, ...]:
        """Return what tells apart the coefficients of several factors or parameters."""
        own = () if parameter == "mean" else (symbol_of_parameter(parameter),)
        predictor = self.design.parameter(parameter)
        is_one = predictor is not None and len(predictor.factors) == 1
        return own if factor is None or is_one else (*own, Label(factor))

    def predictor(self, label: str, at: Symbol = ROW) -> Math:
        """Return the value of a predictor: ``x[i]``, or ``x[i]·u[i]`` of a product."""
        if label in self.columns:
            return Indexed(Label(label), at=(at,))
        for each in self.spec.uncertain:
            if each.name == label:
                return self.value(each)
        pieces = label.split(":")
        if len(pieces) > 1 and all(map(self._is_known, pieces)):
            return times(*(self.predictor(piece, at) for piece in pieces))
        level = _LEVEL.fullmatch(label)
        if level and level["level"] in self.columns.get(level["column"], ()):
            column = Indexed(Label(level["column"]), at=(at,))
            return Bracketed(line(column, "==", Label(level["level"])), "[")
        return self.expression(label, at)

    def _is_known(self, piece: str) -> bool:
        """Whether a piece of a label is a predictor itself."""
        level = _LEVEL.fullmatch(piece)
        return piece in self.columns or (
            level is not None and level["column"] in self.columns
        )

    def expression(self, text: str, at: Symbol = ROW) -> Math:
        """Return an expression of columns, typeset; a name if it cannot be read."""
        try:
            return self._typeset(read.parse(text), at)
        except SpecError:
            return Indexed(Label(text), at=(at,))

    def _typeset(self, node: read.Node, at: Symbol) -> Math:
        match node:
            case read.Number(value=value):
                return number(value)
            case read.Name(name=name) if name in self.columns:
                return Indexed(Label(name), at=(at,))
            case read.Call(name="I", arguments=(inside,)):
                shown = self._typeset(inside, at)
                return shown if isinstance(shown, Power) else Bracketed(shown)
            case read.Call(name=name, arguments=arguments, settings=()):
                inner = tuple(self._typeset(each, at) for each in arguments)
                return Call(Words(name.removeprefix("np.")), inner)
            case read.Chain(signs=("**",), operands=(base, exponent)):
                return Power(self._within(base, at, 10), self._typeset(exponent, at))
            case read.Chain(signs=signs, operands=operands):
                level = read.precedence(node) + 1
                parts: list[Math] = [self._within(operands[0], at, level)]
                for sign, operand in zip(signs, operands[1:], strict=True):
                    parts += [Sign(sign), self._within(operand, at, level)]
                return Line(tuple(parts))
            case read.Unary(sign=sign, operand=operand):
                return line(sign, self._within(operand, at, 8))
        return Indexed(Label(read.written(node, bare=True)), at=(at,))

    def _within(self, node: read.Node, at: Symbol, level: int) -> Math:
        inner = self._typeset(node, at)
        return inner if read.precedence(node) >= level else Bracketed(inner)

    def parameter(self, name: str) -> Math:
        """Return a parameter of the outcome's distribution in a row."""
        own = self.design.parameter(name)
        if own is None:
            return Indexed(symbol_of_parameter(name))
        if own.is_value:
            return Indexed(symbol_of_parameter(name), at=(self.row_of(own.factors[0]),))
        return Indexed(symbol_of_parameter(name), at=(ROW,))


def symbol_of_parameter(name: str) -> Symbol | Words:
    """Return the letter of a family's parameter; its name if it has none."""
    return Symbol(name) if name in GREEK else Words(name)


def of_link(link: str, value: Math) -> Math:
    """Return the link of a value, which the linear predictor is."""
    if link == "identity":
        return value
    if link == "probit":
        return Call(Power(Symbol("Phi"), Number("-1")), (value,))
    if link == "tan_half":
        return Call(Words("tan"), (line(value, "/", number(2)),))
    return Call(Words(link), (value,))


def inverse_of_link(link: str, value: Math) -> Math:
    """Return the inverse of a link."""
    if link == "probit":
        return Call(Symbol("Phi"), (value,))
    return Call(Power(Words(link), Number("-1")), (value,))
