"""What every kind of term can do: a module for each kind has a class with these."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.compression.crossproducts import Crossproducts
from stanpool.data.compression.gaussian_rows import CompressedRows
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.design import Side
from stanpool.model.pilot.centering import Centering
from stanpool.model.pilot.decoupling import Decoupling
from stanpool.model.pilot.estimate import PilotEstimate
from stanpool.model.pilot.smooths import SmoothEstimate
from stanpool.model.priors.distributions import PriorDraws
from stanpool.model.program.structure import Structure
from stanpool.model.terms.names import Claim, Labelled
from stanpool.model.terms.unseen import NewLevels, UnseenGroups

StanVariables = Callable[[str], Array]
"""Gives the draws of a variable by its name in Stan, shape ``(chain, draw, ...)``."""


@dataclass(frozen=True)
class Variables:
    """Draws of a posterior's variables.

    Attributes
    ----------
    names
        The variables.
    count
        The number of draws, S.
    take
        Gives the draws of a variable by its name, shape ``(S, ...)``.
    """

    names: Collection[str]
    count: int
    take: Callable[[str], Array]

    def __contains__(self, name: str) -> bool:
        """Say whether there is a variable."""
        return name in self.names

    def __getitem__(self, name: str) -> Array:
        """Return the draws of a variable, shape ``(S, ...)``."""
        return self.take(name)


@dataclass(frozen=True, eq=False)
class ProgramData:
    """What decides a program's data besides the design.

    Attributes
    ----------
    structure
        The structure that was rendered.
    rows
        What the program sees in the place of the data's rows; else None.
    centering
        For the adaptive program: how far the coefficients of each factor are centered.
    elsewhere
        The coefficients of each factor that are not centered at their own mean, if
        the program chooses.
    scale_units
        The units of scales that are sampled by their roots, by the factor's number.
    decoupling
        How the population's coefficients are sampled apart from the groups', if so.
    smooths
        An estimate of the smooths, which says which of their coefficients are centered.

    These are of the mean's factors: those of other parameters are noncentered.
    """

    structure: Structure
    rows: CompressedRows | Crossproducts | MarginalRows | None = None
    centering: Sequence[Centering] = ()
    elsewhere: Sequence[frozenset[str]] = ()
    scale_units: Mapping[int, Array] = field(default_factory=dict)
    decoupling: Decoupling | None = None
    smooths: SmoothEstimate | None = None


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
    """A term of the linear predictor of a parameter."""

    def claims(self) -> Iterator[Claim]:
        """Yield the names that the term takes in the posterior, and for what."""

    def labelled(self, stan: StanVariables) -> Labelled:
        """Label draws of Stan's variables."""

    def draws(self, posterior: Variables, population: Any) -> Any:
        """Take the coefficients out of labelled draws.

        Parameters
        ----------
        posterior
            The labelled draws.
        population
            The same of the population's coefficients.
        """

    def scale_draws(self, posterior: Variables) -> Iterator[tuple[str, str, Array]]:
        """Yield the factor of each scale or correlation, its name, and draws."""

    def stan_data(self, program: ProgramData) -> dict[str, Any]:
        """Return Stan's data of the term by name."""

    def prior_draws(self, prior: PriorDraws, population: Any) -> dict[str, Array]:
        """Draw Stan's variables from their priors, ``(draw, ...)``.

        Parameters
        ----------
        prior
            The priors, and what was drawn of them before.
        population
            Draws of the population's coefficients.
        """

    def initial_at(self, draws: Any, known: InitialValues) -> InitialValues:
        """Add initial values of what programs declare of the term, from one draw.

        Parameters
        ----------
        draws
            One draw of the term's coefficients.
        known
            The population's coefficients of the same draw, and the initial values of
            the terms before.
        """

    def initial_around(
        self, pilot: PilotEstimate, known: InitialValues, noise: Noise
    ) -> InitialValues:
        """Add initial values of the same, drawn from around the pilot estimate."""

    def metric(self, pilot: PilotEstimate, program: ProgramData) -> dict[str, Array]:
        """Return approximate variances of what programs declare of the term."""


@dataclass(frozen=True, eq=False)
class InitialValues:
    """Initial values of a chain, to which one term after the other adds its own.

    Attributes
    ----------
    program
        What decides the program's data, in the units of the values.
    population
        The population's coefficients, with the intercept where predictors are at their
        means; None before these are known.
    values
        The initial values so far, by Stan's names.
    coefficients
        The coefficients of the groups so far where predictors are at their means, at
        which groups within these are centered: shape ``(J, D * Q)``, by the number of
        the factor.
    standardized
        The standardized deviations of groups so far that are correlated with those of
        other parameters, by the endings of their names: shape ``(J, Q)``.
    """

    program: ProgramData
    population: Any = None
    values: Mapping[str, Any] = field(default_factory=dict)
    coefficients: Mapping[int, Array] = field(default_factory=dict)
    standardized: Mapping[str, Array] = field(default_factory=dict)

    def plus(
        self,
        values: Mapping[str, Any],
        coefficients: Mapping[int, Array] | None = None,
        standardized: Mapping[str, Array] | None = None,
    ) -> InitialValues:
        """Return these and more initial values."""
        return replace(
            self,
            values={**self.values, **values},
            coefficients={**self.coefficients, **(coefficients or {})},
            standardized={**self.standardized, **(standardized or {})},
        )


@dataclass(frozen=True)
class Noise:
    """Normal noise, by which initial values differ from the pilot estimate.

    Attributes
    ----------
    rng
        The random number generator.
    sd
        Its standard deviation, in standard deviations of the posterior.
    """

    rng: np.random.Generator
    sd: float

    def __call__(self, shape: tuple[int, ...]) -> Array:
        """Draw noise."""
        return np.asarray(self.sd * self.rng.standard_normal(shape))


class SpecialDraws(TermDraws, Protocol):
    """Draws of a term that is neither the population's nor of a grouping factor."""

    def of_new_levels(
        self, rows: Any, unseen: UnseenGroups, new: Collection[str]
    ) -> NewLevels:
        """Return how what the term adds is distributed over new levels of columns.

        Parameters
        ----------
        rows, unseen
            As for ``effect``.
        new
            Those of the term's columns whose levels are new.
        """


class SpecialTerm(Term, Protocol):
    """A term that is neither the population's nor of a grouping factor."""

    def draws(self, posterior: Variables, population: Any) -> SpecialDraws:
        """Take the coefficients out of labelled draws."""

    @property
    def name(self) -> str:
        """How users name the term."""

    def stan_rows(self) -> Iterator[tuple[str, Side]]:
        """Yield Stan's variables that have a row for each level of a column."""

    def starting_points(
        self, y: Array, *, chains: int, seed: int
    ) -> list[dict[str, Any]]:
        """Return initial values of each chain, by Stan's names.

        Parameters
        ----------
        y
            The outcome of each row, on the scale of the linear predictor.
        chains, seed
            The number of chains, and the seed of the random numbers.
        """


def from_link_scale(link: str, values: Array) -> Array:
    """Return a parameter's values where its linear predictor has these values."""
    from stanpool.families.functions import LINKS

    return np.asarray(LINKS[link].inverse(values))


def on_link_scale(link: str, values: Array) -> Array:
    """Return the values of the linear predictor where a parameter has these values."""
    # Loaded here: SciPy takes long, and to build a model needs no link.
    from stanpool.families.functions import LINKS

    return np.asarray(LINKS[link].apply(values))
