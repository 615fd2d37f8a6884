"""Latent factors: the product of a row's scores and loadings.

In the posterior they are ``scores_user[user, latent]`` and ``loadings_item[item,
latent]``, and the scale of the loadings, ``loading_scale``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.design import Side
from stanpool.data.design.predictors.latent_factors import (
    LatentDesign,
    as_triangle,
    quick_estimate,
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
from stanpool.model.terms.unseen import NewLevels, UnseenGroups

_SPREAD = 0.1  # of starting points, in standard deviations of scores and loadings


@dataclass(frozen=True, eq=False)
class LatentDraws:
    """Draws of latent factors.

    Attributes
    ----------
    scores, loadings
        Shapes ``(S, J, R)`` and ``(S, I, R)``.
    scale
        Of the loadings, shape ``(S,)``.
    """

    scores: Array
    loadings: Array
    scale: Array

    def effect(self, rows: LatentDesign, unseen: UnseenGroups) -> Array:
        """Return the inner products of scores and loadings of rows, ``(S, 1, rows)``.

        Parameters
        ----------
        rows
            The term of the rows: labels beyond those of the fit are new.
        unseen
            Where scores and loadings of new labels come from.
        """
        scores, loadings = self._of_labels(rows, unseen)
        product = np.zeros((len(self.scale), len(rows.scored)))
        for r in range(rows.rank):
            product += scores[:, rows.scored, r] * loadings[:, rows.loaded, r]
        return product[:, None]

    def of_new_levels(
        self, rows: LatentDesign, unseen: UnseenGroups, new: Collection[str]
    ) -> NewLevels:
        """Return how the products of rows are distributed over new levels.

        Scores and loadings of new levels are normal, with standard deviations of 1 and
        of ``scale``: a product with the loadings of a known level is normal, and its
        variance is their sum of squares. Of new loadings this sum is a chi-squared
        variable times the square of their scale.

        Parameters
        ----------
        rows, unseen
            As for ``effect``.
        new
            The columns whose levels are new: of the scores, of the loadings, or both.
        """
        if rows.scores_of in new and rows.loadings_of in new:
            squares = np.square(self.scale)[:, None]
            return NewLevels(np.tile(squares, len(rows.scored)), rows.rank)
        scores, loadings = self._of_labels(rows, unseen)
        if rows.scores_of in new:
            return NewLevels(np.square(loadings[:, rows.loaded]).sum(axis=2))
        squares = np.square(scores[:, rows.scored]).sum(axis=2)
        return NewLevels(np.square(self.scale)[:, None] * squares)

    def _of_labels(
        self, rows: LatentDesign, unseen: UnseenGroups
    ) -> tuple[Array, Array]:
        """Return scores and loadings, with those of new labels after the known."""
        of_scores, of_loadings = rows.sides
        scale = self.scale[:, None]
        return (
            _with_new(of_scores, self.scores, np.ones_like(scale), unseen),
            _with_new(of_loadings, self.loadings, scale, unseen),
        )


def _with_new(side: Side, known: Array, scale: Array, unseen: UnseenGroups) -> Array:
    """Append scores or loadings of new labels to those of fitted ones."""
    new = []
    for label in side.labels[known.shape[1] :]:
        if unseen.source == "zero":
            new.append(np.zeros_like(known[:, 0]))
        elif unseen.source == "resample":
            chosen = unseen.fitted_group(side.column, label, known)
            new.append(np.take_along_axis(known, chosen[..., None], axis=1)[:, 0])
        else:
            z = unseen.stream("latent", side.column, label)
            new.append(scale * z.standard_normal(known[:, 0].shape))
    return np.concatenate([known, *(each[:, None] for each in new)], axis=1)


@dataclass(frozen=True, eq=False)
class LatentTerm:
    """The term of latent factors in a model.

    Attributes
    ----------
    design
        Who has scores and who has loadings.
    """

    design: LatentDesign

    @property
    def name(self) -> str:
        """How users name the term."""
        return self.design.name

    @property
    def scores(self) -> str:
        """The variable of the scores in the posterior, such as ``scores_user``."""
        return f"scores_{self.design.scores_of.replace('/', ':')}"

    @property
    def loadings(self) -> str:
        """The variable of the loadings in the posterior."""
        return f"loadings_{self.design.loadings_of.replace('/', ':')}"

    def claims(self) -> Iterator[Claim]:
        """Yield the names that the term takes in the posterior, and for what."""
        for side in self.design.sides:
            yield Claim.of_column(side.column, GroupNames.of(side.column).group)
        yield Claim(f"{self.name}()", (self.scores, self.loadings))

    def scale_draws(self, posterior: Variables) -> Iterator[tuple[str, str, Array]]:
        """Yield the scale of the loadings."""
        yield self.name, "sd(loadings)", posterior["loading_scale"]

    def labelled(self, stan: StanVariables) -> Labelled:
        """Label draws of Stan's variables; loadings get the order of their labels."""
        of_scores, of_loadings = (
            GroupNames.of(x.column).group for x in self.design.sides
        )
        place = np.argsort(self.design.anchors)
        return Labelled(
            {
                "loading_scale": ((), stan("loading_scale")),
                self.scores: ((of_scores, "latent"), stan("scores")),
                self.loadings: ((of_loadings, "latent"), stan("loadings")[:, :, place]),
            },
            {
                of_scores: labels_of(self.design.score_labels),
                of_loadings: labels_of(self.design.loading_labels),
                "latent": np.arange(1, self.design.rank + 1),
            },
        )

    def draws(self, posterior: Variables, population: object = None) -> LatentDraws:
        """Take scores and loadings out of labelled draws."""
        return LatentDraws(
            scores=posterior[self.scores],
            loadings=posterior[self.loadings],
            scale=posterior["loading_scale"],
        )

    def stan_data(self, program: ProgramData) -> dict[str, Any]:
        """Return Stan's data of the term; anchors of the rotation come first."""
        place = np.argsort(self.design.anchors)
        return {
            "R": self.design.rank,
            "J_scores": len(self.design.score_labels),
            "J_loadings": len(self.design.loading_labels),
            "score_index": self.design.scored + 1,
            "loading_index": place[self.design.loaded] + 1,
        }

    def stan_rows(self) -> Iterator[tuple[str, Side]]:
        """Yield Stan's variables that have a row for each level of a column."""
        yield from zip(("scores", "loadings"), self.design.sides, strict=True)

    def prior_draws(
        self, prior: PriorDraws, population: object = None
    ) -> dict[str, Array]:
        """Draw Stan's variables from their priors, ``(draw, ...)``.

        Scores and loadings are rotated until the loadings are a triangle.
        """
        own, rng = self.design, prior.rng
        scale = prior.members("loading_scale")[:, 0, 0]
        scores, loadings = (
            rng.standard_normal((len(scale), len(side.labels), own.rank))
            for side in own.sides
        )
        scores, loadings = as_triangle(scores, loadings)
        return {
            "loading_scale": scale,
            "scores": scores,
            "loadings": scale[:, None, None] * loadings,
        }

    def initial_at(self, draws: LatentDraws, known: InitialValues) -> InitialValues:
        """Add initial values of what programs declare, from one draw."""
        loadings = draws.loadings[0, self.design.anchors]
        return known.plus(
            {
                "scores": draws.scores[0],
                "z_loadings": loadings / draws.scale[0],
                "loading_scale": draws.scale[0],
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
        own = self.design
        shape = len(own.score_labels), len(own.loading_labels)
        scores, loadings = quick_estimate(y, own.scored, own.loaded, shape, own.rank)
        return points_around((scores, loadings[own.anchors]), chains, seed)


def points_around(
    estimate: tuple[Array, Array], chains: int, seed: int
) -> list[dict[str, Any]]:
    """Return points around an estimate of scores and loadings, anchors first."""
    rng = np.random.default_rng([seed, chains])
    scores, loadings = estimate
    scale = float(np.sqrt(np.mean(loadings**2)) + 1e-6)
    points = []
    for _ in range(chains):
        noisy = (
            each + _SPREAD * rng.standard_normal(each.shape)
            for each in (scores, loadings / scale)
        )
        moved, triangle = as_triangle(*noisy)
        points.append({"scores": moved, "z_loadings": triangle, "loading_scale": scale})
    return points
