"""Priors as distributions: densities and draws.

References
----------
.. [1] Lewandowski, Kurowicka and Joe (2009). Generating random correlation matrices
   based on vines and extended onion method. Journal of Multivariate Analysis 100(9),
   1989-2001, section 3.2: the onion.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote
from stanpool.model.priors.in_force import PriorRow, class_of

_LEAST = 1e-8  # probability between bounds, relative to that above the lower one

if TYPE_CHECKING:
    from stanpool.model.priors.continuous import Continuous


def distribution_of(row: PriorRow) -> Continuous:
    """Return a prior as a distribution; a half form as its whole.

    Raises
    ------
    SpecError
        If it is improper.
    """
    # SciPy takes long to load, and exact samplers import this module without it.
    from stanpool.model.priors.continuous import DISTRIBUTIONS

    prior = row.prior.canonical
    if prior.distribution not in DISTRIBUTIONS:
        raise SpecError(
            f"the prior on {quote(row.parameter)} is {row.prior}, from which nothing "
            f"can be drawn. State a proper prior, such as priors={{{row.parameter!r}: "
            "'normal(0, 10)'}."
        )
    return DISTRIBUTIONS[prior.distribution](*prior.arguments)


def prior_density(row: PriorRow, at: Array) -> Array:
    """Return the density of a proper prior, cut off where its parameter is.

    Parameters
    ----------
    row
        A row of ``model.priors``.
    at
        Values of the parameter, any shape.

    Examples
    --------
    >>> from stanpool.language.model_spec import Prior
    >>> row = PriorRow("sigma", "sigma", None, Prior.parse("half_cauchy(1)"), "")
    >>> (np.pi * prior_density(row, np.array([-1.0, 0.0, 1.0]))).round(6)
    array([0., 2., 1.])
    """
    distribution, (lower, upper) = distribution_of(row), ends_of(row)
    first, last = _tails(row, distribution)
    density = np.exp(distribution.log_density(at)) / (first - last)
    return np.where((at < lower) | (at > upper), 0.0, density)


def prior_below(row: PriorRow, at: Array) -> Array:
    """Return the probability that a proper prior has below values of its parameter.

    Parameters
    ----------
    row
        A row of ``model.priors``.
    at
        Values of the parameter, any shape.

    Examples
    --------
    >>> from stanpool.language.model_spec import Prior
    >>> row = PriorRow("sigma", "sigma", None, Prior.parse("half_cauchy(1)"), "")
    >>> prior_below(row, np.array([0.0, 1.0]))
    array([0. , 0.5])
    """
    distribution = distribution_of(row)
    first, last = _tails(row, distribution)
    return np.asarray(1.0 - (distribution.above(at) - last) / (first - last))


@dataclass(frozen=True, eq=False)
class PriorDraws:
    """Draws of parameters from their priors.

    Attributes
    ----------
    priors
        The priors in force.
    draws
        How many.
    rng
        Where randomness comes from.
    drawn
        What was drawn before: each class of parameters is drawn once.
    """

    priors: Iterable[PriorRow]
    draws: int
    rng: np.random.Generator
    drawn: dict[tuple[str, int], Array] = field(default_factory=dict)

    def rows(self, name: str) -> list[PriorRow]:
        """Return the priors of the members of a class."""
        return [row for row in self.priors if row.parameter_class == name]

    def members(self, name: str, groups: int = 1) -> Array:
        """Draw the members of a class for each group, ``(draw, groups, member)``."""
        if (name, groups) not in self.drawn:
            size = self.draws, groups
            if any(row.prior.support == "shrinkage" for row in self.rows(name)):
                self._draw_horseshoe(name)
                return self.drawn[name, groups]
            columns = [draw_from_prior(x, size, self.rng) for x in self.rows(name)]
            self.drawn[name, groups] = (
                np.stack(columns, -1) if columns else np.empty((*size, 0))
            )
        return self.drawn[name, groups]

    def _draw_horseshoe(self, name: str) -> None:
        """Draw coefficients with a horseshoe prior, and what they share."""
        rng, rows = self.rng, self.rows(name)
        scales = np.array([row.prior.arguments for row in rows])
        each = (self.draws, 1, len(rows))
        local = np.abs(rng.standard_cauchy(each))
        shared = np.abs(rng.standard_cauchy((self.draws, 1, 1)))
        half = 0.5 * scales[0, 1]
        slab = half / rng.gamma(half, size=(self.draws, 1, 1))
        sd = horseshoe_sd(local, shared, slab, scales[:, 0], scales[:, 2])
        self.drawn[name, 1] = sd * rng.standard_normal(each)
        self.drawn["beta_local", 1] = local
        self.drawn["beta_global", 1], self.drawn["beta_slab", 1] = shared, slab

    def correlations(self, name: str, labels: Sequence[str]) -> Array:
        """Draw Cholesky factors of LKJ correlation matrices, ``(draw, D, D)``.

        This is the onion method of [1]_: each row has a beta-distributed squared length
        and a uniform direction. Those of a class are drawn once.

        Parameters
        ----------
        name, labels
            The class, and the labels of the D coefficients.
        """
        draws, rng, size = self.draws, self.rng, len(labels)
        if (name, size) in self.drawn:
            return self.drawn[name, size]
        (row,) = self.rows(name)
        (shape,) = row.prior.arguments
        cholesky = np.zeros((draws, size, size))
        cholesky[:, 0, 0] = 1.0
        for k in range(1, size):
            squared = rng.beta(k / 2, shape + (size - 1 - k) / 2, draws)
            direction = rng.standard_normal((draws, k))
            direction /= np.linalg.norm(direction, axis=1, keepdims=True)
            cholesky[:, k, :k] = np.sqrt(squared)[:, None] * direction
            cholesky[:, k, k] = np.sqrt(1.0 - squared)
        self.drawn[name, size] = cholesky
        return cholesky


def horseshoe_sd(
    local: Any, shared: Any, slab: Any, global_scale: Array, slab_scale: Array
) -> Array:
    """Return the standard deviations of coefficients with a horseshoe prior.

    Parameters
    ----------
    local, shared, slab
        The scale of each coefficient, that of all, and what bounds their variances.
    global_scale, slab_scale
        The scales of the prior, of each coefficient.

    Examples
    --------
    >>> one = np.ones(1)
    >>> horseshoe_sd(1e-3, 1.0, 1.0, one, 5.0 * one).round(6), horseshoe_sd(
    ...     1e9, 1.0, 1.0, one, 5.0 * one).round(6)
    (array([0.001]), array([5.]))
    """
    shrunk = np.square(shared * global_scale * local)
    widest = slab * np.square(slab_scale)
    return np.asarray(np.sqrt(shrunk * widest / (shrunk + widest)))


def draw_from_prior(
    row: PriorRow, size: tuple[int, ...], rng: np.random.Generator
) -> Array:
    """Draw from a prior, cut off where its parameter is."""
    if row.prior.is_constant:
        return np.full(size, row.prior.arguments[0])
    distribution = distribution_of(row)
    # From the upper tail: exact there, however far out the cut is.
    first, last = _tails(row, distribution)
    drawn = distribution.end_of(last + (first - last) * (1.0 - rng.random(size)))
    return np.clip(drawn, *ends_of(row))


def _tails(row: PriorRow, distribution: Continuous) -> tuple[Array, Array]:
    """Return the probabilities above both ends of a parameter.

    Raises
    ------
    SpecError
        If there is next to none between them.
    """
    first, last = map(distribution.above, ends_of(row))
    if not first - last > _LEAST * first:
        raise SpecError(
            f"the prior on {quote(row.parameter)} is {row.prior}: its distribution has "
            "next to no probability between the bounds, so that nothing can be drawn "
            "from it. Move its location towards the bounds, or drop them."
        )
    return first, last


def ends_of(row: PriorRow) -> tuple[float, float]:
    """Return between which values a parameter, and so its prior, is.

    Examples
    --------
    >>> from stanpool.language.model_spec import Prior
    >>> ends_of(PriorRow("sigma", "sigma", None, Prior.parse("normal(0, 1, ub=3)"), ""))
    (0.0, 3.0)
    """
    lower, upper = row.prior.canonical.bounds
    least, most = class_of(row.parameter_class).bounds
    return max(lower, least), min(upper, most)
