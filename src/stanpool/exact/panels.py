"""The posterior of one scale, integrated by Gauss-Legendre rules on panels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote

_NODES = 8  # nodes of the Gauss-Legendre rule in each panel
_POINTS, _RULE = np.polynomial.legendre.leggauss(_NODES)
_POINTS, _RULE = (_POINTS + 1) / 2, _RULE / 2  # on [0, 1]
_FIRST_PANELS = 64
_MOST_PANELS = 20_000
_CUTOFF = 46.0  # densities below exp(-46) = 1e-20 of the largest are left out
_LOG_TAU = 345.0  # beyond exp(345), tau^2 overflows


@public
@dataclass(frozen=True, eq=False)
class TauPosterior:
    r"""The marginal posterior of :math:`\tau`, on panels in :math:`\log \tau`.

    Attributes
    ----------
    nodes, weights
        Values of ``tau``, and the posterior probability that each stands for, shape
        ``(G,)``: ``weights @ f(nodes)`` is the posterior mean of ``f(tau)``.
    error
        The estimated absolute error of a probability.
    moments
        How many moments are finite; under a flat prior there may be none.
    """

    nodes: Array
    weights: Array
    error: float
    moments: int
    _log_density: Callable[[Array], Array]
    _panels: _Panels

    def pdf(self, tau: ArrayLike) -> Array:
        """Return the posterior density at ``tau``, any shape; 0 below 0."""
        tau = np.asarray(tau, dtype=float)
        with np.errstate(divide="ignore"):
            log_tau = np.log(np.maximum(tau, 0))
        inside = np.isfinite(log_tau)
        density = np.zeros(tau.shape)
        at = log_tau[inside]
        density[inside] = np.exp(self._log_density(at) - at)
        return density

    def cdf(self, tau: ArrayLike) -> Array:
        """Return the posterior probability of at most ``tau``, any shape."""
        with np.errstate(divide="ignore"):
            return self._panels.cdf(np.log(np.maximum(np.asarray(tau, float), 0)))

    def ppf(self, probability: ArrayLike) -> Array:
        """Return quantiles, any shape of probabilities in (0, 1)."""
        return np.exp(self._panels.ppf(checked_probabilities(probability)))

    def mean(self) -> float:
        """Return the posterior mean; infinite if there is none."""
        return float(self.weights @ self.nodes) if self.moments >= 1 else np.inf

    def sd(self) -> float:
        """Return the posterior standard deviation; infinite if there is none."""
        if self.moments < 2:
            return np.inf
        return float(np.sqrt(self.weights @ (self.nodes - self.mean()) ** 2))


@dataclass(frozen=True, eq=False)
class _Panels:
    """A density on panels, whose distribution function is a cubic in each panel.

    Attributes
    ----------
    edges, below, density
        The edges of the panels, and at each the probability below it and the density,
        shape ``(P + 1,)``.
    """

    edges: Array
    below: Array
    density: Array

    def cdf(self, x: Array) -> Array:
        """Interpolate the distribution function; 0 and 1 outside of the panels."""
        inside = np.clip(x, self.edges[0], self.edges[-1])
        panel = np.searchsorted(self.edges, inside, side="right") - 1
        panel = np.minimum(panel, len(self.edges) - 2)
        return np.clip(self._cubic(panel, inside), 0.0, 1.0)

    def ppf(self, probability: Array) -> Array:
        """Invert the distribution function by bisection within a panel."""
        panel = np.searchsorted(self.below, probability, side="right") - 1
        panel = np.clip(panel, 0, len(self.edges) - 2)
        low, high = self.edges[panel], self.edges[panel + 1]
        for _ in range(50):
            half = (low + high) / 2
            short = self._cubic(panel, half) < probability
            low, high = np.where(short, half, low), np.where(short, high, half)
        return (low + high) / 2

    def _cubic(self, panel: NDArray[np.intp], x: Array) -> Array:
        start, end = self.edges[panel], self.edges[panel + 1]
        return _hermite(
            (x - start) / (end - start),
            end - start,
            (self.below[panel], self.below[panel + 1]),
            (self.density[panel], self.density[panel + 1]),
        )


def _hermite(
    t: Any, width: Array, values: tuple[Array, Array], slopes: tuple[Array, Array]
) -> Array:
    """Interpolate a cubic by values and slopes at both ends, at ``t`` in [0, 1]."""
    (value_0, value_1), (slope_0, slope_1) = values, slopes
    rise = t**2 * (3 - 2 * t)
    bend = width * t * (1 - t) * ((1 - t) * slope_0 - t * slope_1)
    return np.asarray(value_0 + (value_1 - value_0) * rise + bend)


def integrate_scale(
    log_density: Callable[[Array], Array], center: float, moments: int, tolerance: float
) -> TauPosterior:
    """Normalize a density of the logarithm of a scale.

    Parameters
    ----------
    log_density
        The log density of ``log tau``, up to a constant.
    center
        A typical value of ``log tau``; moments are taken above it.
    moments
        How many moments are finite.
    tolerance
        The error allowed in a probability.
    """
    low, high, largest = _support(log_density, center, moments)

    def density(x: Array) -> Array:
        return np.exp(log_density(x) - largest)

    start, width, mass_error, cubic_error = _refined(density, low, high, tolerance)
    nodes = start[:, None] + width[:, None] * _POINTS  # (P, _NODES)
    weights = width[:, None] * density(nodes) * _RULE
    total = weights.sum()
    below = np.concatenate([[0.0], np.cumsum(weights.sum(axis=1) / total)])
    edges = np.append(start, high)
    log_total = largest + np.log(total)
    return TauPosterior(
        nodes=np.exp(nodes.ravel()),
        weights=weights.ravel() / total,
        error=float(mass_error.sum() + cubic_error.max()),
        moments=moments,
        _log_density=lambda x: log_density(x) - log_total,
        _panels=_Panels(edges, below, density(edges) / total),
    )


def _refined(
    density: Callable[[Array], Array], low: float, high: float, tolerance: float
) -> Array:
    """Halve panels where needed; return starts, widths and two errors, ``(4, P)``.

    A panel is halved while halving it changes its mass, or the cubic at its middle, by
    too much. The errors of masses add up over panels; those of the cubics do not,
    because a cubic is exact at the edges.
    """

    def panel_masses(start: Array, width: Array) -> Array:
        return width * (density(start[:, None] + width[:, None] * _POINTS) @ _RULE)

    edges = np.linspace(low, high, _FIRST_PANELS + 1)
    start, width = edges[:-1], np.diff(edges)
    total = panel_masses(start, width).sum()
    done: list[Array] = []
    panels = 0
    while start.size:
        half = width / 2
        mass = panel_masses(start, width)
        left, right = panel_masses(start, half), panel_masses(start + half, half)
        cubic = _hermite(
            0.5, width, (np.zeros(1), mass), (density(start), density(start + width))
        )
        mass_error = np.abs(left + right - mass) / total
        cubic_error = np.abs(cubic - left) / total
        fine = (mass_error < tolerance / 1000) & (cubic_error < tolerance / 2)
        panels += int(fine.sum())
        done.append(np.array([start, width, mass_error, cubic_error])[:, fine])
        if panels + 2 * (~fine).sum() > _MOST_PANELS:
            raise SpecError(
                f"tolerance={tolerance:g} needs more than {_MOST_PANELS} panels; "
                "pass a larger one."
            )
        start = np.concatenate([start[~fine], start[~fine] + half[~fine]])
        width = np.tile(half[~fine], 2)

    panel = np.concatenate(done, axis=1)
    return np.asarray(panel[:, np.argsort(panel[0])])


def _support(
    log_density: Callable[[Array], Array], center: float, moments: int
) -> tuple[float, float, float]:
    """Find the interval that probabilities and moments need, and the largest log.

    The search starts from all scales that floating point can represent, so that neither
    a very narrow prior nor a very heavy tail is missed.
    """
    low, high = -_LOG_TAU, _LOG_TAU
    for _ in range(60):
        grid = np.linspace(low, high, 2001)
        with np.errstate(over="ignore", invalid="ignore"):
            log = np.nan_to_num(log_density(grid), nan=-np.inf)
        weighted = log + moments * np.maximum(grid - center, 0)
        matters = (log > log.max() - _CUTOFF) | (weighted > weighted.max() - _CUTOFF)
        first, last = np.flatnonzero(matters)[[0, -1]]
        new_low, new_high = grid[max(first - 1, 0)], grid[min(last + 1, 2000)]
        narrowed = (new_high - new_low) < 0.5 * (high - low)
        low, high = float(new_low), float(new_high)
        if not narrowed:
            break
    return low, high, float(log.max())


def checked_probabilities(probability: Any) -> Array:
    """Return probabilities as an array, or refuse what is not between 0 and 1."""
    values = np.asarray(probability, dtype=float)
    if not ((values > 0) & (values < 1)).all():
        raise SpecError(
            f"probability={quote(probability)} must be between 0 and 1, exclusive."
        )
    return values
