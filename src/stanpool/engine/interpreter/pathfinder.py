r"""Pathfinder: normal approximations along the path of an optimizer.

A quasi-Newton optimizer estimates at each of its steps the inverse of the Hessian, and
so a normal approximation of the posterior. The one with the largest evidence lower
bound (ELBO) is the result of a path [1]_. With ``S`` and ``Z`` the last steps and
differences of gradients, shapes ``(K, J)``, and the diagonal :math:`\alpha`, the
estimate of the covariance is, with a middle matrix of them [2]_,

.. math:: \operatorname{diag}(\alpha) + \beta \gamma \beta^T.

References
----------
.. [1] Zhang, Carpenter, Gelman and Vehtari (2022). Pathfinder: parallel quasi-Newton
   variational inference. Journal of Machine Learning Research 23(306), 1-49.
.. [2] Byrd, Nocedal and Schnabel (1994). Representations of quasi-Newton matrices and
   their use in limited memory methods. Mathematical Programming 63, 129-156.
.. [3] Gilbert and Lemaréchal (1989). Some numerical experiments with variable-storage
   quasi-Newton algorithms. Mathematical Programming 45, 407-435.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.base.errors import SamplingError

LogDensity = Callable[[Array], Array]

HISTORY = 6  # how many steps the optimizer remembers
CHANGE = 1e-9  # relative change of the log density, at which it stops
_ELBO_DRAWS = 25
_LEAST_CURVATURE = 1e-12  # of a step, relative to its squared difference of gradients


@dataclass(frozen=True, eq=False)
class Normal:
    """A normal distribution with a covariance of low rank and a diagonal.

    Attributes
    ----------
    mean
        ``(K,)``.
    diagonal
        The diagonal's square root, ``(K,)``.
    basis
        Orthonormal columns, ``(K, D)``.
    root
        The Cholesky factor of the covariance in these directions, scaled by the
        diagonal: ``(D, D)``.
    """

    mean: Array
    diagonal: Array
    basis: Array
    root: Array

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return draws, ``(count, K)``, and their log densities."""
        z = rng.standard_normal((count, len(self.mean)))
        along = z @ self.basis
        moved = z + (along @ (self.root.T - np.eye(len(self.root)))) @ self.basis.T
        log_volume = np.log(self.diagonal).sum() + np.log(np.diag(self.root)).sum()
        log_q = -0.5 * (np.square(z).sum(axis=1) + z.shape[1] * np.log(2 * np.pi))
        return self.mean + self.diagonal * moved, log_q - log_volume


def pathfinder(
    log_density: LogDensity,
    paths: Sequence[Array],
    *,
    draws: int,
    rng: np.random.Generator,
) -> tuple[Array, Array, NDArray[np.intp]]:
    """Draw from the best approximation on each of several paths.

    Parameters
    ----------
    log_density
        The log density at points, ``(point,)``.
    paths
        Where an optimizer went, and the gradients there: ``(2, step, K)`` each.
    draws, rng
        How many draws of each path, and all random numbers.

    Returns
    -------
    points, log_density, path
        ``(path * draws, K)``, the log density of the normal of each path, and which
        path that is.

    Raises
    ------
    SamplingError
        If no path has an approximation.
    """
    found = [_best(log_density, path, rng) for path in paths]
    drawn = [each.draw(draws, rng) for each in found if each is not None]
    if not drawn:
        raise SamplingError(
            "pathfinder found no approximation: on no path of its optimizer, the log "
            "density curves downwards in all directions. method='nuts' does not need "
            "that; inits= says where paths begin."
        )
    points, log_q = zip(*drawn, strict=True)
    number = np.repeat(np.arange(len(drawn)), draws)
    return np.concatenate(points), np.concatenate(log_q), number


def _best(
    log_density: LogDensity, path: Array, rng: np.random.Generator
) -> Normal | None:
    """Return the approximation with the largest evidence lower bound."""
    with np.errstate(all="ignore"):
        found = list(_approximations(*path))
        if not found:
            return None
        drawn = [each.draw(_ELBO_DRAWS, rng) for each in found]
        log_p = log_density(np.concatenate([points for points, _ in drawn]))
        log_q = np.concatenate([each for _, each in drawn])
        bounds = (log_p - log_q).reshape(len(found), _ELBO_DRAWS).mean(axis=1)
    bounds = np.where(np.isfinite(bounds), bounds, -np.inf)
    return found[int(bounds.argmax())] if bounds.max() > -np.inf else None


def _approximations(points: Array, gradients: Array) -> Iterator[Normal]:
    """Yield the approximation at each point of a path but the first."""
    alpha = np.ones(points.shape[1])
    steps: list[Array] = []
    changes: list[Array] = []
    for before, after in zip(range(len(points)), range(1, len(points)), strict=False):
        s = points[after] - points[before]
        z = gradients[before] - gradients[after]
        if s @ z > _LEAST_CURVATURE * (z @ z):
            alpha = _diagonal(alpha, s, z)
            steps, changes = [*steps, s][-HISTORY:], [*changes, z][-HISTORY:]
        if steps and np.isfinite(gradients[after]).all():
            normal = _normal(points[after], gradients[after], alpha, steps, changes)
            if normal is not None:
                yield normal


def _diagonal(alpha: Array, s: Array, z: Array) -> Array:
    """Update the diagonal of the inverse Hessian by a step [3]_."""
    a, b, c = z @ (alpha * z), z @ s, s @ (s / alpha)
    return np.asarray(
        1.0 / (a / (b * alpha) + z**2 / b - a * s**2 / (b * c * alpha**2))
    )


def _normal(
    at: Array,
    gradient: Array,
    alpha: Array,
    steps: Sequence[Array],
    changes: Sequence[Array],
) -> Normal | None:
    """Return the normal of the inverse Hessian at a point; None if there is none."""
    S, Z = np.stack(steps, axis=1), np.stack(changes, axis=1)
    R = np.triu(S.T @ Z)
    scaled = alpha[:, np.newaxis] * Z
    try:
        inverse = np.linalg.inv(R)
        middle = inverse.T @ (np.diag(np.diag(R)) + Z.T @ scaled) @ inverse
        gamma = np.block([[np.zeros_like(R), -inverse], [-inverse.T, middle]])
        beta = np.concatenate([scaled, S], axis=1)
        diagonal = np.sqrt(alpha)
        basis, corner = np.linalg.qr(beta / diagonal[:, np.newaxis])
        root = np.linalg.cholesky(np.eye(len(corner)) + corner @ gamma @ corner.T)
    except np.linalg.LinAlgError:
        return None
    mean = at + alpha * gradient + beta @ (gamma @ (beta.T @ gradient))
    if not all(np.isfinite(each).all() for each in (mean, diagonal, root)):
        return None
    return Normal(mean, diagonal, basis, root)
