"""Latent factors of three columns or more: an estimate of them before sampling.

A row gets the sum over factors of the product of the scores of its levels. Scores are
normal with a standard deviation of 1, and each factor has a scale. Unlike a product of
two, such a sum has no rotations: where Kruskal's condition holds, only the order of the
factors, and an even number of signs of each, may be changed without changing it [1]_.
The posterior is the same in all of these copies. Each draw is taken to that copy which
is nearest to an estimate; the others are as far from it as can be.

References
----------
.. [1] Sidiropoulos and Bro (2000). On the uniqueness of multilinear decomposition of
   N-way arrays. Journal of Chemometrics 14(3), 229-239; Kruskal (1977) for three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array
from stanpool.data.design.design import Side, read_only
from stanpool.data.design.groups import groups_of
from stanpool.data.design.predictors.latent_factors import ridge_of_each
from stanpool.language.special.latent_factors import LatentFactors

_SWEEPS, _STARTS = 30, 4
_PENALTY = 0.5


@dataclass(frozen=True)
class TensorDesign:
    """Which levels of three columns or more have scores on latent factors.

    Attributes
    ----------
    columns, labels, index
        The M columns, their levels, and which of these each row is of, counted from 0.
    rank
        The number of latent factors, R.
    reference
        An estimate of the scores of each column, shapes ``(J, R)``.
    kind, name, scale_class
        As of every ``SpecialTerm``.
    """

    columns: tuple[str, ...]
    labels: tuple[tuple[Any, ...], ...]
    index: tuple[np.ndarray, ...]
    rank: int
    reference: tuple[np.ndarray, ...]
    kind: str = "tensor"
    name: str = "factors"
    scale_class: str = "factor_scale"

    @property
    def scales(self) -> int:
        """How many coefficients with a scale to estimate each row gets of the term."""
        return self.rank

    @property
    def sides(self) -> tuple[Side, ...]:
        """The columns whose levels have scores."""
        every = zip(self.columns, self.labels, self.index, strict=True)
        return tuple(Side(*each) for each in every)

    @property
    def has_means(self) -> bool:
        """False, as scores are about 0."""
        return False

    @property
    def is_unique(self) -> bool:
        """Whether the products determine the factors, by Kruskal's condition.

        For that, what levels have on factors must vary as freely as it can.
        """
        ranks = sum(min(len(each), self.rank) for each in self.labels)
        return self.rank == 1 or ranks >= 2 * self.rank + len(self.columns) - 1

    def with_sides(self, sides: Sequence[Side]) -> TensorDesign:
        """Return the term of other rows, or with other labels."""
        return replace(
            self,
            labels=tuple(side.labels for side in sides),
            index=tuple(side.index for side in sides),
        )


def build_tensor(term: LatentFactors, frame: pd.DataFrame, y: Array) -> TensorDesign:
    """Build the columns of latent factors, and an estimate of their scores."""
    labels, index = zip(
        *(groups_of((name,), frame) for name in term.columns), strict=True
    )
    sizes = [len(each) for each in labels]
    reference, _ = estimate_of_tensor(y, index, sizes, term.rank)
    return TensorDesign(
        columns=term.columns,
        labels=labels,
        index=tuple(map(read_only, index)),
        rank=term.rank,
        reference=tuple(map(read_only, reference)),
    )


def estimate_of_tensor(
    y: Array, index: Sequence[Array], sizes: Sequence[int], rank: int
) -> tuple[list[Array], Array]:
    """Estimate scores and scales by alternating ridge regressions, from several starts.

    Parameters
    ----------
    y
        What is left to explain, shape ``(N,)``; the means of all levels are taken off.
    index, sizes
        Which level each row is of, counted from 0, and how many there are, by column.
    rank
        The number of latent factors, R.

    Returns
    -------
    tuple
        Scores of unit mean squares, shapes ``(J, R)``, and scales, shape ``(R,)``, the
        largest first.
    """
    left = y - y.mean()
    for own in index:
        means = np.bincount(own, weights=left) / np.maximum(np.bincount(own), 1)
        left = left - means[own]
    unit = float(np.std(left)) or 1.0
    left = left / unit
    rng = np.random.default_rng([rank, *sizes])
    found = [_from_a_start(left, index, sizes, rank, rng) for _ in range(_STARTS)]
    _, scores, scale = min(found, key=lambda each: each[0])
    order = np.argsort(-scale, kind="stable")
    return [each[:, order] for each in scores], unit * scale[order]


def _from_a_start(
    left: Array,
    index: Sequence[Array],
    sizes: Sequence[int],
    rank: int,
    rng: np.random.Generator,
) -> tuple[float, list[Array], Array]:
    """Return the squares that are left, scores of unit mean squares, and scales."""
    scores = [rng.standard_normal((size, rank)) for size in sizes]
    scale = np.ones(rank)
    for _ in range(_SWEEPS):
        for m, size in enumerate(sizes):
            others = [scores[n][own] for n, own in enumerate(index) if n != m]
            x = np.prod(others, axis=0)
            found = ridge_of_each(left, index[m], x, size, _PENALTY)
            scale = np.maximum(np.sqrt(np.mean(np.square(found), axis=0)), 1e-6)
            scores[m] = found / scale
    fitted = np.prod([own[i] for own, i in zip(scores, index, strict=True)], axis=0)
    return float(np.square(left - fitted @ scale).sum()), scores, scale


def aligned(
    scores: Sequence[Array], scale: Array, reference: Sequence[Array]
) -> tuple[list[Array], Array]:
    """Take draws to those copies with the same products that are nearest an estimate.

    Parameters
    ----------
    scores, scale
        Draws of the scores of each column, shapes ``(S, J, R)``, and of scales, ``(S,
        R)``.
    reference
        An estimate of the scores of each column, ``(J, R)``.

    Examples
    --------
    >>> flipped = [np.array([[[-1.0]]]), np.array([[[-2.0]]]), np.array([[[3.0]]])]
    >>> near, _ = aligned(flipped, np.ones((1, 1)), [np.ones((1, 1))] * 3)
    >>> [each.item() for each in near]
    [1.0, 2.0, 3.0]
    """
    # Loaded here: SciPy takes long, and to build a model needs none of this.
    from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

    like = np.stack(
        [
            np.einsum("sjr,jk->srk", own, near)
            for own, near in zip(scores, reference, strict=True)
        ],
        axis=1,
    )  # (S, M, R of draws, R of the estimate)
    size = np.abs(like)
    is_odd = np.prod(np.where(like < 0, -1.0, 1.0), axis=1) < 0
    gain = size.sum(axis=1) - np.where(is_odd, 2.0 * size.min(axis=1), 0.0)
    taken = np.stack([linear_sum_assignment(-each.T)[1] for each in gain])
    draws, near = np.arange(len(gain))[:, None], np.arange(gain.shape[-1])
    signs = np.where(like < 0, -1.0, 1.0)
    weakest = size.argmin(axis=1)
    flip = np.arange(len(scores))[:, None, None] == weakest[:, None]
    signs = np.where(flip & is_odd[:, None], -signs, signs)
    chosen = [signs[draws, m, taken, near] for m in range(len(scores))]
    moved = [
        np.take_along_axis(own, taken[:, None], axis=2) * sign[:, None]
        for own, sign in zip(scores, chosen, strict=True)
    ]
    return moved, np.take_along_axis(scale, taken, axis=1)
