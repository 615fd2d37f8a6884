"""What every kind of term can do: a module for each kind has a class with these."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from stanpool.base.arrays import Array
from stanpool.data.design.design import Side
from stanpool.model.priors.distributions import PriorDraws
from stanpool.model.terms.names import Claim, Labelled
from stanpool.model.terms.unseen import UnseenGroups

Variables = Callable[[str], Array]
"""Gives the draws of a variable by its name."""


class TermDraws(Protocol):
    """Draws of a term's coefficients, S of them, as arrays."""

    def effect(self, rows: Any, unseen: UnseenGroups) -> Array:
        """Return what the term adds to D linear predictors, shape ``(S, D, rows)``.

        Parameters
        ----------
        rows
            The design of the term for these rows: labels beyond those of the fit are
            new.
        unseen
            Where coefficients of new labels come from.
        """


class Term(Protocol):
    """A term of a model's linear predictor."""

    @property
    def name(self) -> str:
        """How users name the term."""

    def claims(self) -> Iterator[Claim]:
        """Yield the names that the term takes in the posterior, and for what."""

    def labelled(self, stan: Variables) -> Labelled:
        """Label draws of Stan's variables, ``(chain, draw, ...)``."""

    def draws(self, posterior: Variables) -> TermDraws:
        """Take the coefficients out of labelled draws, ``(S, ...)`` each."""

    def scale_draws(self, posterior: Variables) -> Iterator[tuple[str, Array]]:
        """Yield what the scales to learn are called, and their draws, ``(S,)``."""

    def stan_data(self) -> dict[str, Any]:
        """Return Stan's data."""

    def stan_rows(self) -> Iterator[tuple[str, Side]]:
        """Yield Stan's variables that have a row for each level of a column."""

    def prior_draws(self, prior: PriorDraws) -> Mapping[str, Array]:
        """Draw Stan's variables from their priors, ``(draw, ...)``."""

    def point(self, draws: Any) -> dict[str, Any]:
        """Return what a program declares of the term, at the first of its draws."""

    def starting_points(
        self, y: Array, *, chains: int, seed: int
    ) -> list[dict[str, Any]]:
        """Return where chains start, by Stan's names.

        Parameters
        ----------
        y
            The outcome of each row, on the scale of the linear predictor.
        chains, seed
            How many points, and what is random about them.
        """
