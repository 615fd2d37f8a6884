"""Latent factors of three columns or more: products of the scores of a row's levels.

In the posterior they are ``scores_user[user, latent]`` of each column, and the scale of
each factor, ``factor_scale[latent]``. Of all the orders and signs of the factors with
the same products, draws have those that are nearest to an estimate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.design import Side
from stanpool.data.design.predictors.tensor_factors import (
    TensorDesign,
    aligned,
    estimate_of_tensor,
)
from stanpool.model.pilot.estimate import PilotEstimate
from stanpool.model.priors.distributions import PriorDraws
from stanpool.model.terms.names import Claim, GroupNames, Labelled, labels_of
from stanpool.model.terms.term import (
    InitialValues,
    Noise,
    ProgramData,
    StanVariables,
    Variables,
)
from stanpool.model.terms.unseen import NewLevels, UnseenGroups, with_new_levels

_MIXED = 32  # normal distributions for products of several levels that are new
_SPREAD = 0.1  # of starting points, in standard deviations of scores


@dataclass(frozen=True, eq=False)
class TensorDraws:
    """Draws of latent factors of several columns.

    Attributes
    ----------
    scores
        Of the levels of each column, shapes ``(S, J, R)``.
    scale
        Of each factor, shape ``(S, R)``.
    """

    scores: tuple[Array, ...]
    scale: Array

    def effect(self, rows: TensorDesign, unseen: UnseenGroups) -> Array:
        """Return the sums of products of the scores of rows, ``(S, 1, rows)``.

        Parameters
        ----------
        rows
            The term of the rows: labels beyond those of the fit are new.
        unseen
            Where scores of new labels come from.
        """
        scores = self._of_labels(rows, unseen)
        total = np.zeros((len(self.scale), len(rows.index[0])))
        for r in range(rows.rank):
            product = self.scale[:, r, None]
            for own, index in zip(scores, rows.index, strict=True):
                product = product * own[:, index, r]
            total += product
        return total[:, None]

    def of_new_levels(
        self, rows: TensorDesign, unseen: UnseenGroups, new: Collection[str]
    ) -> NewLevels:
        """Return how the products of rows are distributed over new levels.

        They are normal given the scores of all columns but one: where several have new
        levels, normal distributions given scores that are drawn are mixed.

        Parameters
        ----------
        rows, unseen
            As for ``effect``.
        new
            The columns whose levels are new.
        """
        scores = self._of_labels(rows, unseen)
        known = np.broadcast_to(
            self.scale[:, None], (len(self.scale), len(rows.index[0]), rows.rank)
        )
        for side, own in zip(rows.sides, scores, strict=True):
            if side.column not in new:
                known = known * own[:, side.index]
        variance = np.square(known)
        if len(new) == 1:
            return NewLevels(variance.sum(axis=2))
        stream = unseen.stream("latent", *new)
        mixed = []
        for _ in range(_MIXED):
            z = stream.standard_normal((len(new) - 1, len(self.scale), 1, rows.rank))
            mixed.append((variance * np.square(z).prod(axis=0)).sum(axis=2))
        return NewLevels(np.stack(mixed))

    def _of_labels(self, rows: TensorDesign, unseen: UnseenGroups) -> list[Array]:
        """Return the scores of each column, those of new labels after the known."""
        one = np.ones((len(self.scale), 1))
        return [
            with_new_levels(side, own, one, unseen)
            for side, own in zip(rows.sides, self.scores, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class TensorTerm:
    """The term of latent factors of several columns in a model.

    Attributes
    ----------
    design
        Whose levels have scores.
    """

    design: TensorDesign

    @property
    def name(self) -> str:
        """How users name the term."""
        return self.design.name

    @property
    def variables(self) -> list[str]:
        """The variables of the scores in the posterior, such as ``scores_user``."""
        return [f"scores_{name.replace('/', ':')}" for name in self.design.columns]

    def claims(self) -> Iterator[Claim]:
        """Yield the names that the term takes in the posterior, and for what."""
        for side in self.design.sides:
            yield Claim.of_column(side.column, GroupNames.of(side.column).group)
        yield Claim(f"{self.name}()", tuple(self.variables))

    def scale_draws(self, posterior: Variables) -> Iterator[tuple[str, str, Array]]:
        """Yield the scale of each factor."""
        for r, scale in enumerate(posterior["factor_scale"].T, 1):
            yield self.name, f"sd(factor {r})", scale

    def labelled(self, stan: StanVariables) -> Labelled:
        """Label draws of Stan's variables, in the order and signs of the estimate."""
        stacked, scale = stan("factor_scores"), stan("factor_scale")
        chains, draws = scale.shape[:2]
        parts = self._by_column(stacked.reshape(-1, *stacked.shape[2:]))
        scores, scale = aligned(
            parts, scale.reshape(-1, self.design.rank), self.design.reference
        )
        names = zip(self.variables, self.design.sides, scores, strict=True)
        variables: dict[str, tuple[tuple[str, ...], Array]] = {
            "factor_scale": (("latent",), scale.reshape(chains, draws, -1))
        }
        coords = {"latent": np.arange(1, self.design.rank + 1)}
        for name, side, own in names:
            dim = GroupNames.of(side.column).group
            variables[name] = (
                (dim, "latent"),
                own.reshape(chains, draws, -1, scale.shape[-1]),
            )
            coords[dim] = labels_of(side.labels)
        return Labelled(variables, coords)

    def _by_column(self, stacked: Array) -> list[Array]:
        """Split the scores of the levels of all columns, ``(S, levels, R)``."""
        ends = np.cumsum([side.size for side in self.design.sides])[:-1]
        return np.split(stacked, ends, axis=1)

    def draws(self, posterior: Variables, population: object = None) -> TensorDraws:
        """Take the scores and scales out of labelled draws."""
        scores = tuple(posterior[name] for name in self.variables)
        return TensorDraws(scores, posterior["factor_scale"])

    def stan_data(self, program: ProgramData) -> dict[str, Any]:
        """Return Stan's data of the term: the levels of all columns are stacked."""
        sides = self.design.sides
        first = np.cumsum([0, *(side.size for side in sides)])
        index = [side.index + 1 + at for side, at in zip(sides, first, strict=False)]
        return {
            "R": self.design.rank,
            "n_columns": len(sides),
            "J_factors": int(first[-1]),
            "n_levels": np.diff(first).astype(float),
            "column_of": np.repeat(np.arange(1, len(first)), np.diff(first)),
            "first": first[:-1] + 1,
            "last": first[1:],
            "factor_index": np.stack(index, axis=1),
        }

    def stan_rows(self) -> Iterator[tuple[str, Side]]:
        """Yield nothing: a variable has rows for the levels of all columns."""
        yield from ()

    def prior_draws(
        self, prior: PriorDraws, population: object = None
    ) -> dict[str, Array]:
        """Draw Stan's variables from their priors, ``(draw, ...)``."""
        scale = prior.members("factor_scale")[:, 0]
        levels = sum(side.size for side in self.design.sides)
        size = len(scale), levels, self.design.rank
        return {"factor_scale": scale, "factor_scores": prior.rng.standard_normal(size)}

    def initial_at(self, draws: TensorDraws, known: InitialValues) -> InitialValues:
        """Add initial values of what programs declare, from one draw."""
        rms = np.stack([_rms(own[0]) for own in draws.scores])
        directions = [own[0] / x for own, x in zip(draws.scores, rms, strict=True)]
        return known.plus(
            {
                "product_rms": draws.scale[0] * rms.prod(axis=0),
                "score_rms": rms,
                "z_factors": np.concatenate(directions),
            }
        )

    def initial_around(
        self, pilot: PilotEstimate, known: InitialValues, noise: Noise
    ) -> InitialValues:
        """Add nothing: the pilot estimate is of models without the term."""
        return known

    def metric(self, pilot: PilotEstimate, program: ProgramData) -> dict[str, Array]:
        """Return nothing: the pilot estimate is of models without the term."""
        return {}

    def starting_points(
        self, y: Array, *, chains: int, seed: int
    ) -> list[dict[str, Any]]:
        """Return initial values of each chain around an estimate, by Stan's names.

        Parameters
        ----------
        y
            The outcome of each row, on the scale of the linear predictor.
        chains, seed
            The number of chains, and the seed of the random numbers.
        """
        sides = self.design.sides
        scores, scale = estimate_of_tensor(
            y, self.design.index, [side.size for side in sides], self.design.rank
        )
        return _points_around(scores, scale, chains, seed)


def _rms(scores: Array) -> Array:
    """Return the root mean square of the scores on each factor."""
    return np.asarray(np.sqrt(np.mean(np.square(scores), axis=0)))


def _points_around(
    scores: list[Array], scale: Array, chains: int, seed: int
) -> list[dict[str, Any]]:
    """Return points around an estimate of scores of unit mean squares, and scales."""
    rng = np.random.default_rng([seed, chains])
    points = []
    for _ in range(chains):
        moved = [x + _SPREAD * rng.standard_normal(x.shape) for x in scores]
        sizes = (len(scores), len(scale))
        points.append(
            {
                "z_factors": np.concatenate([each / _rms(each) for each in moved]),
                "score_rms": np.exp(_SPREAD * rng.standard_normal(sizes)),
                "product_rms": scale * np.exp(_SPREAD * rng.standard_normal(sizes[1])),
            }
        )
    return points
