"""Latent factors, as a model states them: products of unobserved covariates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from stanpool.base.arguments import check_fields
from stanpool.base.errors import SpecError, quote, quote_list, suggestion


@dataclass(frozen=True)
class LevelPredictors:
    """Predictors of what the levels of a column have on average: ``user=~age + sex``.

    Attributes
    ----------
    column
        The column.
    terms
        The predictors, which are constant within its levels, in formula notation.
    """

    column: str
    terms: tuple[str, ...]

    def written(self, column: str) -> str:
        """Return how a formula writes them, with the column as it is given."""
        return f"{column}=~{' + '.join(self.terms)}"


@dataclass(frozen=True)
class LatentFactors:
    """The product of unobserved covariates of two sides: ``factors(user, item)``.

    A row of user ``j`` and item ``i`` gets the inner product of the user's scores and
    the item's loadings, ``rank`` numbers each. With more columns, it gets the sum of
    the products of the scores of a level of each.

    Attributes
    ----------
    scores_of, loadings_of
        The columns of those that have scores, and of those that have loadings.
    rank
        How many latent factors.
    predictors
        What the scores or loadings of a column's levels depend on.
    others
        Columns beyond two, whose levels have scores.

    Raises
    ------
    SpecError
        If the rank is not a positive whole number, or two columns are the same, or
        predictors are of another column, or of one of more than two.
    """

    scores_of: str
    loadings_of: str
    rank: int = 1
    predictors: tuple[LevelPredictors, ...] = ()
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the rank and that there are two sides."""
        check_fields(self)
        if isinstance(self.rank, bool) or not isinstance(self.rank, int):
            raise SpecError(f"rank={quote(self.rank)} is not a whole number.")
        if self.rank < 1:
            raise SpecError(f"rank={self.rank} must be 1 or more.")
        for column in self.columns:
            if self.columns.count(column) > 1:
                raise SpecError(
                    f"factors() has {quote(column)} twice and needs two columns, such "
                    "as users and items, or more."
                )
        if self.predictors and self.others:
            raise SpecError(
                f"factors() of {len(self.columns)} columns has no predictors of their "
                "levels, which are offered for two, as in factors(user, item, "
                "user=~age). Drop them, or the columns beyond two."
            )
        predicted = [each.column for each in self.predictors]
        for column in predicted:
            if column not in self.columns:
                raise SpecError(
                    f"factors() has predictors of {quote(column)}, and its columns are "
                    f"{quote_list(self.columns)}.{suggestion(column, self.columns)}"
                )
            if predicted.count(column) > 1:
                raise SpecError(
                    f"factors() has two formulas for {quote(column)}. Write one, as in "
                    "user=~age + sex."
                )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of labels that the term needs."""
        return self.scores_of, self.loadings_of, *self.others

    @property
    def terms(self) -> tuple[str, ...]:
        """The predictors of all columns."""
        return tuple(text for each in self.predictors for text in each.terms)

    @property
    def coefficients(self) -> str:
        """What its coefficients are called."""
        return "scores" if self.others else "scores and loadings"

    @property
    def why_not_sums(self) -> str:
        """Why the likelihood needs more than sums of products of the data."""
        return "latent factors are products of parameters"

    @property
    def why_not_chunked(self) -> str:
        """Why the rows of the data must be at hand."""
        return "latent factors start at an estimate from the rows"

    def written(self, columns: Iterable[str]) -> str:
        """Return how a formula writes the term, with its columns as they are given."""
        names = dict(zip(self.columns, columns, strict=True))
        given = [*names.values(), f"rank={self.rank}"]
        given += [each.written(names[each.column]) for each in self.predictors]
        return f"factors({', '.join(given)})"

    def __str__(self) -> str:
        """Return how a formula writes it."""
        return self.written(self.columns)
