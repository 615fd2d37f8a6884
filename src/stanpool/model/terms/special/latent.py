"""Latent factors: the product of a row's scores and loadings.

In the posterior they are ``scores_user[user, latent]`` and ``loadings_item[item,
latent]``, and the scale of the loadings, ``loading_scale``. If scores or loadings have
predictors, their coefficients are ``beta_factors[predictor_of_factors, latent]``: of
scores, and of loadings over their scale.
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
from stanpool.model.terms.unseen import NewLevels, UnseenGroups, with_new_levels

_MIXED = 32  # normal distributions for products of levels that are both new
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
    beta
        The coefficients of the predictors of scores, and of loadings over their scale,
        shape ``(S, K, R)``; None without.
    """

    scores: Array
    loadings: Array
    scale: Array
    beta: Array | None = None

    def effect(self, rows: LatentDesign, unseen: UnseenGroups) -> Array:
        """Return the inner products of scores and loadings of rows, ``(S, 1, rows)``.

        Parameters
        ----------
        rows
            The term of the rows: labels beyond those of the fit are new.
        unseen
            Where scores and loadings of new labels come from: about their means, if
            they have predictors.
        """
        product = np.zeros((len(self.scale), len(rows.scored)))
        scores, loadings = (self._deviations(rows, unseen, place) for place in (0, 1))
        for r in range(rows.rank):
            own = self._moved(rows, 0, r, scores[:, rows.scored, r])
            product += own * self._moved(rows, 1, r, loadings[:, rows.loaded, r])
        return product[:, None]

    def of_new_levels(
        self, rows: LatentDesign, unseen: UnseenGroups, new: Collection[str]
    ) -> NewLevels:
        """Return how the products of rows are distributed over new levels.

        Scores and loadings of new levels are normal, with standard deviations of 1 and
        of ``scale``: a product with the loadings of a known level is normal, and its
        variance is their sum of squares. Of new loadings this sum is a chi-squared
        variable times the square of their scale, unless there are predictors: then the
        normal distributions given scores that are drawn are mixed.

        Parameters
        ----------
        rows, unseen
            As for ``effect``.
        new
            The columns whose levels are new: of the scores, of the loadings, or both.
        """
        squares = np.square(self.scale)[:, None]
        is_new = [side.column in new for side in rows.sides]
        if all(is_new) and self.beta is None:
            return NewLevels(np.tile(squares, len(rows.scored)), rows.rank)
        if not all(is_new):
            known = is_new.index(False)
            index = rows.sides[known].index
            own = self._deviations(rows, unseen, known)[:, index]
            return self._of_new(rows, 1 - known, self._all_moved(rows, known, own))
        stream = unseen.stream("latent", *(side.column for side in rows.sides))
        half = stream.standard_normal((_MIXED // 2, len(self.scale), 1, rows.rank))
        none = np.zeros((len(self.scale), len(rows.scored), rows.rank))
        mean = self._all_moved(rows, 0, none)
        mixed = [self._of_new(rows, 1, mean + z) for z in (*half, *-half)]
        return NewLevels(
            np.stack([each.variance for each in mixed]),
            mean=np.stack([each.parts[0][0] for each in mixed]),
        )

    def _of_new(self, rows: LatentDesign, place: int, others: Array) -> NewLevels:
        """Return the distribution for new levels on one side, given the other's.

        Parameters
        ----------
        rows
            The term of the rows.
        place
            The side with new levels: 0 for scores, 1 for loadings.
        others
            What the levels on the other side have, shape ``(S, rows, R)``.
        """
        variance = np.square(others).sum(axis=2)
        if place:
            variance = variance * np.square(self.scale)[:, None]
        if self.beta is None:
            return NewLevels(variance)
        means = self._all_moved(rows, place, np.zeros_like(others))
        return NewLevels(variance, mean=(means * others).sum(axis=2))

    def _deviations(
        self, rows: LatentDesign, unseen: UnseenGroups, place: int
    ) -> Array:
        """Return deviations from the means on a side, new labels after the known."""
        known = (self.scores, self.loadings)[place]
        if self.beta is not None:
            assert rows.means is not None
            known = known - rows.means.levels[place] @ self._beta_of(place)
        scale = self.scale[:, None] if place else np.ones((len(self.scale), 1))
        return with_new_levels(rows.sides[place], known, scale, unseen)

    def _beta_of(self, place: int) -> Array:
        """Return the coefficients of scores, or of loadings in their own units."""
        assert self.beta is not None
        return self.beta * self.scale[:, None, None] if place else self.beta

    def _moved(self, rows: LatentDesign, place: int, r: int, own: Array) -> Array:
        """Add the means of a factor to deviations of the levels of rows."""
        if self.beta is None:
            return own
        assert rows.means is not None
        return own + rows.means.of_rows(place, self._beta_of(place)[:, :, r])

    def _all_moved(self, rows: LatentDesign, place: int, own: Array) -> Array:
        """Add the means of all factors to deviations of rows, ``(S, rows, R)``."""
        parts = [self._moved(rows, place, r, own[..., r]) for r in range(rows.rank)]
        return np.stack(parts, axis=-1)


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
        own = ("beta_factors", "predictor_of_factors") if self.design.means else ()
        yield Claim(f"{self.name}()", (self.scores, self.loadings, *own))

    def scale_draws(self, posterior: Variables) -> Iterator[tuple[str, str, Array]]:
        """Yield the scale of the loadings."""
        yield self.name, "sd(loadings)", posterior["loading_scale"]

    def labelled(self, stan: StanVariables) -> Labelled:
        """Label draws of Stan's variables; loadings get the order of their labels."""
        of_scores, of_loadings = (
            GroupNames.of(x.column).group for x in self.design.sides
        )
        place = np.argsort(self.design.anchors)
        variables: dict[str, tuple[tuple[str, ...], Array]] = {
            "loading_scale": ((), stan("loading_scale")),
            self.scores: ((of_scores, "latent"), stan("scores")),
            self.loadings: ((of_loadings, "latent"), stan("loadings")[:, :, place]),
        }
        coords = {
            of_scores: labels_of(self.design.score_labels),
            of_loadings: labels_of(self.design.loading_labels),
            "latent": np.arange(1, self.design.rank + 1),
        }
        if self.design.means is not None:
            dims = ("predictor_of_factors", "latent")
            beta = self._by_factor(stan("beta_factors"))
            variables["beta_factors"] = (dims, beta)
            coords["predictor_of_factors"] = labels_of(self.design.means.labels)
        return Labelled(variables, coords)

    def _by_factor(self, beta: Array) -> Array:
        """Return coefficients, one factor after another, as ``(..., K, R)``."""
        by_factor = beta.reshape(*beta.shape[:-1], self.design.rank, -1)
        return np.asarray(np.swapaxes(by_factor, -1, -2))

    def draws(self, posterior: Variables, population: object = None) -> LatentDraws:
        """Take scores and loadings out of labelled draws."""
        return LatentDraws(
            scores=posterior[self.scores],
            loadings=posterior[self.loadings],
            scale=posterior["loading_scale"],
            beta=None if self.design.means is None else posterior["beta_factors"],
        )

    def stan_data(self, program: ProgramData) -> dict[str, Any]:
        """Return Stan's data of the term; anchors of the rotation come first."""
        place = np.argsort(self.design.anchors)
        means = self.design.means
        of_means = {}
        if means is not None:
            of_means = {
                "K_factors": len(means.labels),
                "X_scores": means.levels[0],
                "X_loadings": means.levels[1][self.design.anchors],
            }
        return {
            **of_means,
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

        All are rotated until the loadings are a triangle.
        """
        own, rng = self.design, prior.rng
        scale = prior.members("loading_scale")[:, 0, 0]
        scores, loadings = (
            rng.standard_normal((len(scale), len(side.labels), own.rank))
            for side in own.sides
        )
        beta = np.zeros((len(scale), 0, own.rank))
        if own.means is not None:
            beta = self._by_factor(prior.members("beta_factors")[:, 0])
            scores = scores + own.means.levels[0] @ beta
            loadings = loadings + own.means.levels[1][own.anchors] @ beta
        # The coefficients are turned as the scores are.
        moved, loadings = as_triangle(np.concatenate([scores, beta], 1), loadings)
        scores, beta = np.split(moved, [scores.shape[1]], axis=1)
        found = {
            "loading_scale": scale,
            "scores": scores,
            "loadings": scale[:, None, None] * loadings,
        }
        if own.means is not None:
            found["beta_factors"] = np.swapaxes(beta, 1, 2).reshape(len(scale), -1)
        return found

    def initial_at(self, draws: LatentDraws, known: InitialValues) -> InitialValues:
        """Add initial values of what programs declare, from one draw."""
        loadings = draws.loadings[0, self.design.anchors]
        found = {
            "scores": draws.scores[0],
            "z_loadings": loadings / draws.scale[0],
            "loading_scale": draws.scale[0],
        }
        if draws.beta is not None:
            found["beta_factors"] = draws.beta[0].T.ravel()
        return known.plus(found)

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
        points = points_around((scores, loadings[own.anchors]), chains, seed)
        if own.means is not None:
            x = np.concatenate([own.means.levels[0], own.means.levels[1][own.anchors]])
            for point in points:
                both = np.concatenate([point["scores"], point["z_loadings"]])
                slopes = np.linalg.lstsq(x, both, rcond=None)[0]
                point["beta_factors"] = slopes.T.ravel()
        return points


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
