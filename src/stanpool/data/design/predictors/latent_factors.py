"""Latent factors before sampling: a pilot estimate, the rotation, where chains start.

The product of scores and loadings does not change when both are rotated, so that a
sampler would wander among all rotations. Those that anchor the rotation, as many as
there are factors, have loadings that are a triangle with a positive diagonal, which
leaves one rotation [1]_. Any loadings can be rotated so; with the prior that normal
loadings have after that, which is normal below the diagonal and chi on it, the
product has the same prior and posterior whoever the anchors are [2]_. They are chosen
from a pilot estimate, far from zero and from each other's multiples: so reflections,
of which one half is cut off, are far away, too.

Means that are linear functions of predictors are rotated with the rest. Their
coefficients have normal priors about 0, with one scale for all factors, which no
rotation changes: so the same holds with the density that loadings about their means
have at the triangle, its zeros among them.

References
----------
.. [1] Geweke and Zhou (1996). Measuring the pricing error of the arbitrage pricing
   theory. Review of Financial Studies 9(2), 557-587.
.. [2] Leung and Drton (2016). Order-invariant prior specification in Bayesian factor
   analysis. Statistics and Probability Letters 111, 60-66.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote
from stanpool.data.design.design import Side, read_only
from stanpool.data.design.groups import groups_of
from stanpool.data.design.predictors.level_predictors import (
    LevelMeans,
    build_level_means,
)
from stanpool.data.matrix.evaluation import Functions
from stanpool.language.special.latent_factors import LatentFactors

_SWEEPS = 20


@dataclass(frozen=True)
class LatentDesign:
    """Who has scores and who has loadings on latent factors.

    Attributes
    ----------
    scores_of, score_labels, scored
        The column of those that have scores, their J labels, and which one each row
        is of, counted from 0.
    loadings_of, loading_labels, loaded
        The same of those that have loadings.
    rank
        The number of latent factors, R.
    anchors
        Those with loadings in the order in which Stan sees them. The first R anchor
        the rotation: their loadings are a triangle with a positive diagonal.
    means
        The predictors of scores and loadings, if they have any.
    kind, name, scale_class
        As of every ``SpecialTerm``.
    """

    scores_of: str
    score_labels: tuple[Any, ...]
    scored: np.ndarray
    loadings_of: str
    loading_labels: tuple[Any, ...]
    loaded: np.ndarray
    rank: int
    anchors: np.ndarray
    means: LevelMeans | None = None
    kind: str = "latent"
    name: str = "factors"
    scale_class: str = "loading_scale"

    @property
    def scales(self) -> int:
        """How many coefficients with a scale to estimate each row gets of the term."""
        return self.rank

    @property
    def sides(self) -> tuple[Side, ...]:
        """Those that have scores, and those that have loadings."""
        return (
            Side(self.scores_of, self.score_labels, self.scored),
            Side(self.loadings_of, self.loading_labels, self.loaded),
        )

    @property
    def has_means(self) -> bool:
        """Whether scores or loadings have predictors."""
        return self.means is not None

    @property
    def rows_of_values(self) -> tuple[str, ...]:
        """No dimensions of the posterior run over rows of the data."""
        return ()

    def take(self, rows: np.ndarray | slice) -> LatentDesign:
        """Return the term of some rows."""
        means = None if self.means is None else self.means.take(rows)
        return replace(
            self,
            scored=read_only(self.scored[rows]),
            loaded=read_only(self.loaded[rows]),
            means=means,
        )

    def of_new(self, frame: pd.DataFrame) -> LatentDesign:
        """Return the term with the predictors of new rows."""
        if self.means is None:
            return self
        return replace(self, means=self.means.of_new(frame))

    def with_sides(self, sides: Sequence[Side]) -> LatentDesign:
        """Return the term of other rows, or with other labels."""
        scores, loadings = sides
        return replace(
            self,
            score_labels=scores.labels,
            scored=scores.index,
            loading_labels=loadings.labels,
            loaded=loadings.index,
        )


def build_latent(
    term: LatentFactors, frame: pd.DataFrame, y: np.ndarray, functions: Functions
) -> LatentDesign:
    """Build the sides of the latent factors, and choose anchors of their rotation.

    Raises
    ------
    DataError
        If a side has fewer levels than there are factors, or predictors of its levels
        are not constant within them.
    """
    score_labels, scored = groups_of((term.scores_of,), frame)
    loading_labels, loaded = groups_of((term.loadings_of,), frame)
    for name, labels in (
        (term.scores_of, score_labels),
        (term.loadings_of, loading_labels),
    ):
        if len(labels) < term.rank:
            raise DataError(
                f"{term} has rank {term.rank}, and column {quote(name)} has "
                f"{len(labels)} level(s): the rank is at most their number. Lower it."
            )
    shape = len(score_labels), len(loading_labels)
    estimate = quick_estimate(y, scored, loaded, shape, term.rank)
    sides = (
        Side(term.scores_of, score_labels, scored),
        Side(term.loadings_of, loading_labels, loaded),
    )
    return LatentDesign(
        scores_of=term.scores_of,
        score_labels=score_labels,
        scored=read_only(scored),
        loadings_of=term.loadings_of,
        loading_labels=loading_labels,
        loaded=read_only(loaded),
        rank=term.rank,
        anchors=read_only(anchors_of(estimate[1])),
        means=build_level_means(term.predictors, sides, frame, functions),
    )


def quick_estimate(
    y: Array, scored: Array, loaded: Array, shape: tuple[int, int], rank: int
) -> tuple[Array, Array]:
    """Estimate scores and loadings by alternating ridge regressions.

    Parameters
    ----------
    y
        What is left to explain, shape ``(N,)``; both sides' means are taken off.
    scored, loaded
        Who has scores and who has loadings in each row, counted from 0.
    shape
        How many there are of each.
    rank
        The number of latent factors, R.

    Returns
    -------
    tuple
        Scores of unit variance and loadings, shapes ``(J, R)`` and ``(I, R)``.
    """
    left = y - y.mean()
    for index in (scored, loaded):
        means = np.bincount(index, weights=left) / np.maximum(np.bincount(index), 1)
        left = left - means[index]
    size = float(np.std(left)) or 1.0
    left /= size
    penalty = 0.5
    scores = np.zeros((shape[0], rank))
    loadings = np.random.default_rng([rank, *shape]).standard_normal((shape[1], rank))
    for _ in range(_SWEEPS):
        scores = ridge_of_each(left, scored, loadings[loaded], shape[0], penalty)
        scale = np.maximum(scores.std(axis=0), 1e-6)
        loadings = ridge_of_each(
            left, loaded, (scores / scale)[scored], shape[1], penalty
        )
    return scores / scale, size * loadings


def ridge_of_each(y: Array, unit: Array, x: Array, units: int, penalty: float) -> Array:
    """Regress the rows of each unit on their predictors, shape ``(units, R)``."""
    rank = x.shape[1]
    products = np.empty((units, rank, rank))
    sums = np.empty((units, rank))
    for r in range(rank):
        sums[:, r] = np.bincount(unit, weights=x[:, r] * y, minlength=units)
        for s in range(rank):
            both = x[:, r] * x[:, s]
            products[:, r, s] = np.bincount(unit, weights=both, minlength=units)
    solved = np.linalg.solve(products + penalty * np.eye(rank), sums[..., None])
    return np.asarray(solved[..., 0])


def anchors_of(loadings: Array) -> Array:
    """Order those with loadings, shape ``(I, R)``, so that R that anchor well lead."""
    from scipy.linalg import qr  # type: ignore[import-untyped]

    _, pivots = qr(loadings.T, mode="r", pivoting=True)
    first = pivots[: loadings.shape[1]]
    return np.concatenate([first, np.setdiff1d(np.arange(len(loadings)), first)])


def as_triangle(scores: Array, loadings: Array) -> tuple[Array, Array]:
    """Rotate both until the loadings are a triangle with a positive diagonal.

    Parameters
    ----------
    scores, loadings
        Shapes ``(..., J, R)`` and ``(..., I, R)``, anchors first.

    Examples
    --------
    >>> scores, loadings = as_triangle(np.eye(2), np.array([[0.0, -2.0], [1.0, 1.0]]))
    >>> loadings.tolist()
    [[2.0, 0.0], [-1.0, 1.0]]
    """
    rank = loadings.shape[-1]
    rotation, upper = np.linalg.qr(np.swapaxes(loadings[..., :rank, :], -1, -2))
    signs = np.sign(np.einsum("...ii->...i", upper))
    rotation = rotation * np.where(signs == 0, 1.0, signs)[..., None, :]
    return scores @ rotation, np.tril(loadings @ rotation)
