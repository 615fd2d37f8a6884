"""Predictors whose values are not all known, as a model states them.

``me(x, sd)`` was measured with errors of known standard deviations, and ``mi(x)`` has
missing values. Either way the model says how the true values are distributed.
"""

from __future__ import annotations

from dataclasses import dataclass

from stanpool.base.arguments import check_fields
from stanpool.base.errors import SpecError
from stanpool.language.expression import Call, Name, parse, written
from stanpool.language.vocabulary import is_uncertain


@dataclass(frozen=True)
class ValuesFormula:
    """The formula of a predictor's true values: ``mi(x) ~ z``.

    Attributes
    ----------
    of
        The term that it is of, as it is written in the formula of the outcome.
    terms
        The predictors of its mean, besides an intercept.
    """

    of: str
    terms: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that each field is of its type."""
        check_fields(self)


@dataclass(frozen=True)
class UncertainPredictor:
    """A predictor whose true values are not all known.

    Attributes
    ----------
    name
        What its coefficient is called: ``me(x, sd)``.
    text
        How formulas write it, which is the same but for backticks.
    column
        The column of what was observed.
    error
        The standard deviations of errors, as an expression; None for ``mi(x)``.
    terms
        The predictors of its mean; empty if there is one mean for all rows.

    Examples
    --------
    >>> uncertain_predictor("me(x, 0.5)").error
    '0.5'
    """

    name: str
    text: str
    column: str
    error: str | None = None
    terms: tuple[str, ...] = ()

    @property
    def may_miss(self) -> bool:
        """Whether values may be missing."""
        return self.error is None

    @property
    def variable(self) -> str:
        """The variable of the values that are not known, in the posterior."""
        kind = "missing" if self.may_miss else "true"
        return f"{kind}_{self.column}".replace("/", ":")

    @property
    def rows(self) -> str:
        """The dimension of this variable: the rows of these values."""
        return f"{self.column}_row".replace("/", ":")


def uncertain_predictor(
    text: str, terms: tuple[str, ...] = ()
) -> UncertainPredictor | None:
    """Read a term; None if it is another kind of predictor.

    Parameters
    ----------
    text
        The term, as it is written.
    terms
        Those of the formula of its values.
    """
    try:
        node = parse(text)
    except SpecError:  # what is no term at all is refused when it is read
        return None
    if not is_uncertain(node):
        return None
    assert isinstance(node, Call)
    x, *errors = node.arguments
    assert isinstance(x, Name)
    error = written(errors[0]) if errors else None
    name, text = written(node, bare=True), written(node)
    return UncertainPredictor(name, text, x.name, error, terms)
