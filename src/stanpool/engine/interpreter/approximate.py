"""Approximations to the posterior of a program that stanli interprets.

All are normal on the unconstrained scale. ``pathfinder`` has a module of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SamplingError, SpecError
from stanpool.engine.interface import Densities
from stanpool.engine.interpreter.pathfinder import CHANGE, HISTORY, pathfinder
from stanpool.engine.values.draws import Proposals, RawDraws
from stanpool.engine.values.settings import NO_PROPER_MODE, PATHS, SampleSettings

_STREAM = 0x6C61706C  # no random numbers are shared with other engines or methods
_LARGEST = 4_000  # parameters; the Hessian has the square of it
_STEP = 1e-5  # of differences of gradients, relative to parameters above 1
_BLOCK = 1 << 21  # numbers of points that are evaluated at a time


class Interpreted(Protocol):
    """What a program must do to be approximated."""

    def log_density(self, points: Array) -> Densities:
        """Evaluate the log density and its gradient."""

    def find_starts(self, settings: SampleSettings, count: int) -> Array:
        """Return initial values, ``(count, K)``."""

    def find_mode(self, start: Array, seed: int) -> Array:
        """Return where the log density has its maximum, ``(K,)``."""

    def follow(self, starts: Array, history: int, change: float) -> Sequence[Array]:
        """Return where an optimizer goes, and the gradients: ``(2, step, K)`` each."""

    def constrain(self, points: Array, log_density: Array) -> RawDraws:
        """Return all variables of the program at points."""


def approximate(program: Interpreted, settings: SampleSettings) -> Proposals:
    """Draw from the approximation that settings name; see ``LoadedProgram``."""
    rng = np.random.default_rng([_STREAM, settings.seed])

    def log_density(points: Array) -> Array:
        return _in_blocks(program, points)

    if settings.method == "pathfinder":
        starts = program.find_starts(settings, PATHS)
        paths = program.follow(starts, HISTORY, CHANGE)
        per_path = -(-settings.draws // PATHS)
        points, log_q, path = pathfinder(log_density, paths, draws=per_path, rng=rng)
        mode = None
    else:
        start = program.find_starts(settings, 1)[0]
        at = program.find_mode(start, settings.seed)
        mode = program.constrain(at[np.newaxis], log_density(at[np.newaxis]))
        points, log_q = normal_around(program, at, draws=settings.draws, rng=rng)
        path = np.zeros(len(points), dtype=np.intp)
    log_p = log_density(points)
    known = np.isfinite(log_p)  # elsewhere, the posterior density is 0
    points, log_p = points[known], log_p[known]
    if not len(points):
        raise SamplingError(NO_PROPER_MODE)
    return Proposals(
        log_p,
        log_q[known],
        path[known],
        lambda places: program.constrain(points[places], log_p[places]),
        mode,
    )


def _in_blocks(program: Interpreted, points: Array) -> Array:
    """Evaluate the log density at many points, not all of them at once."""
    step = max(1, _BLOCK // max(1, points.shape[1]))
    starts = range(0, len(points), step)
    parts = [program.log_density(points[n : n + step]).values for n in starts]
    return np.concatenate(parts)


def normal_around(
    program: Interpreted, mode: Array, *, draws: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw from the normal distribution around a mode.

    Parameters
    ----------
    program
        The program.
    mode
        Where it has its maximum, ``(K,)``.
    draws, rng
        How many draws, and their random numbers.

    Returns
    -------
    points, log_density
        ``(draws, K)``, and the logarithm of the normal density, up to a constant.
    """
    size = len(mode)
    if size > _LARGEST:
        raise SpecError(
            f"the normal approximation of {size:,} parameters needs a matrix of "
            f"{size:,} x {size:,}, and {_LARGEST:,} is the limit. method='pathfinder' "
            "needs none."
        )
    steps = _STEP * np.maximum(1.0, np.abs(mode))
    half = np.empty((size, size))  # minus the Hessian
    block = max(1, _BLOCK // max(1, size))
    for rows in (slice(n, n + block) for n in range(0, size, block)):
        moved = np.zeros((len(half[rows]), size))
        moved[np.arange(len(moved)), np.arange(size)[rows]] = steps[rows]
        below = program.log_density(mode - moved).gradients
        above = program.log_density(mode + moved).gradients
        half[rows] = (below - above) / (2.0 * steps[rows, np.newaxis])
    try:
        # Precision = L L', so that inverse(L') z has its inverse as covariance.
        root = np.linalg.cholesky((half + half.T) / 2.0)
    except np.linalg.LinAlgError:
        raise SamplingError(NO_PROPER_MODE) from None
    if not np.isfinite(root).all():
        raise SamplingError(NO_PROPER_MODE)
    z = rng.standard_normal((draws, size))
    points = mode + np.linalg.solve(root.T, z.T).T
    return points, -0.5 * np.square(z).sum(axis=1)
