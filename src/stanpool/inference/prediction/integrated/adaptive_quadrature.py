r"""The likelihood of a group's rows with its coefficients integrated out, by draw.

For one group with rows :math:`y`, deviations :math:`u = L z`, :math:`z \sim N(0, I)`,
and a linear predictor :math:`\eta + Z u`,

.. math:: \log p(y \mid \text{draw})
          = \log \int \prod_n p(y_n \mid \eta_n + Z_n L z) \, N(z \mid 0, I) \, dz,

is computed in closed form for gaussian rows, and by adaptive quadrature otherwise. The
first axis of arrays is that of the S draws; a group has n rows and D coefficients.

References
----------
.. [1] Bates, Mächler, Bolker and Walker (2015). Fitting linear mixed-effects models
   using lme4. Journal of Statistical Software 67(1), equations 30 to 34: the closed
   form.
.. [2] Pinheiro and Bates (1995). Approximations to the log-likelihood function in the
   nonlinear mixed-effects model. Journal of Computational and Graphical Statistics
   4(1), 12-35, section 2.4: adaptive Gaussian quadrature.
.. [3] Merkle, Furr and Rabe-Hesketh (2019). Bayesian comparison of latent variable
   models: conditional versus marginal likelihoods. Psychometrika 84, 802-829.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from stanpool.base.arrays import Array

# Quadrature points along each of D dimensions; with more dimensions, a quasi-random
# sequence is used instead.
_POINTS = {1: 15, 2: 9, 3: 7}
_QUASI_RANDOM = 1024
_WIDER = 1.2
_STEPS = 60
_CLOSE = 1e-2
_LONGEST = 4.0


def gaussian_log_likelihood(
    residual: Array, variance: Array, Z: Array, chol: Array
) -> Array:
    """Return the log density of gaussian rows with the coefficients integrated out.

    Parameters
    ----------
    residual
        Outcomes minus the population's part, shape ``(S, n)``.
    variance
        The variance of each row given the coefficients, which broadcasts against
        ``residual``.
    Z
        Predictors of the coefficients, shape ``(n, D)``.
    chol
        Cholesky factor of the coefficients' covariance, shape ``(S, D, D)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(S,)``.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> gaussian_log_likelihood(0 * one, one, one, one[None]).round(4)  # N(0 | 0, 2)
    array([-1.2655])
    """
    precision = 1.0 / variance
    if precision.shape[-1] == 1:
        cross = precision[..., None] * (Z.T @ Z)
    else:
        cross = np.einsum("na,sn,nb->sab", Z, precision, Z)
    turned = chol.swapaxes(-1, -2)
    inner = np.linalg.cholesky(np.eye(Z.shape[1]) + turned @ cross @ chol)
    score = turned @ ((residual * precision) @ Z)[..., None]
    explained = np.linalg.solve(inner, score)[..., 0]
    log_scale = np.log(2.0 * np.pi * variance) + 0.0 * residual
    return np.asarray(
        -0.5 * (log_scale + residual**2 * precision).sum(axis=-1)
        + 0.5 * np.square(explained).sum(axis=-1)
        - np.log(np.diagonal(inner, axis1=-2, axis2=-1)).sum(axis=-1)
    )


def integrated_log_likelihood(
    log_density: Callable[[Array], Array],
    eta: Array,
    Z: Array,
    chol: Array,
    *,
    step: Array | float,
    start: Array | None = None,
) -> Array:
    """Return the log density of a group's rows of any family, by adaptive quadrature.

    For each draw the points are placed around the mode, at a scale given by the
    curvature there. In up to three dimensions this is Gauss-Hermite quadrature, which
    is exact to several digits; in more dimensions the points are quasi-random, and the
    error is about one per cent.

    Parameters
    ----------
    log_density
        A function that returns the log density of each row, shape ``(S, n)``, from
        linear predictors of the shape of ``eta``.
    eta
        The population's part of the linear predictors, shape ``(S, n)``, or ``(S, n,
        C)`` if a row has C of them.
    Z
        Predictors of the coefficients, shape ``(n, D)`` or ``(n, C, D)``.
    chol
        As for ``gaussian_log_likelihood``.
    step
        A small step of the linear predictor for numerical derivatives, which broadcasts
        against ``eta``.
    start
        Deviations at which the search for the mode starts, shape ``(S, D)``; by default
        the mean of the population.

    Returns
    -------
    numpy.ndarray
        Shape ``(S,)``.
    """
    loadings = np.einsum("...d,sde->s...e", Z, chol)
    z: Array = np.zeros((len(eta), Z.shape[-1]))
    if start is not None:
        z = np.asarray(np.linalg.solve(chol, start[..., None])[..., 0])
    z, spread = find_mode(log_density, eta, loadings, z, step)
    points, log_weights = _rule(Z.shape[-1])
    total = np.full(len(eta), -np.inf)
    for point, log_weight in zip(points, log_weights, strict=True):
        at = z + spread @ point
        value = _log_joint(log_density(eta + _times(loadings, at)), at)
        total = np.logaddexp(total, value + log_weight)
    volume = np.log(np.diagonal(spread, axis1=-2, axis2=-1)).sum(axis=-1)
    return np.asarray(total + volume)


def find_mode(
    log_density: Callable[[Array], Array],
    eta: Array,
    loadings: Array,
    z: Array,
    step: Array | float,
) -> tuple[Array, Array]:
    """Find the mode over z at each draw, and a square root of its inverse curvature.

    This is Newton's method; a step that does not increase the density is shortened.
    """
    value, slope, curvature = _derivatives(log_density, eta, loadings, z, step)
    direction = _newton(slope, curvature)
    length = np.ones(len(z))
    for _ in range(_STEPS):
        proposal = z + length[:, None] * direction
        found = _derivatives(log_density, eta, loadings, proposal, step)
        climbs = found[0] >= value - 1e-9 * np.abs(value)
        z = np.where(climbs[:, None], proposal, z)
        value = np.where(climbs, found[0], value)
        slope = np.where(climbs[:, None], found[1], slope)
        curvature = np.where(climbs[:, None, None], found[2], curvature)
        length = np.where(climbs, 1.0, length / 4.0)
        direction = _newton(slope, curvature)
        if np.all(length[:, None] * np.abs(direction) < _CLOSE):
            break
    # If the curvature is L L', the square root of its inverse is the inverse of L'.
    upper = np.linalg.cholesky(curvature).swapaxes(-1, -2)
    return z, np.linalg.inv(upper)


def _derivatives(
    log_density: Callable[[Array], Array],
    eta: Array,
    loadings: Array,
    z: Array,
    step: Array | float,
) -> tuple[Array, Array, Array]:
    """Return the log joint density, its gradient in z, and minus its curvature."""
    at = eta + _times(loadings, z)
    with np.errstate(over="ignore", invalid="ignore"):
        here, slope, curvature = (
            _of_one_predictor(log_density, at, step)
            if at.ndim == 2
            else _of_several_predictors(log_density, at, step)
        )
    loadings = loadings.reshape(*slope.shape, -1)
    return (
        _log_joint(here, z),
        np.einsum("sncd,snc->sd", loadings, slope) - z,
        np.eye(z.shape[1])
        + np.einsum("sncd,snce->sde", loadings, curvature @ loadings, optimize=True),
    )


def _of_one_predictor(
    log_density: Callable[[Array], Array], at: Array, step: Array | float
) -> tuple[Array, Array, Array]:
    """Return log densities, slopes ``(S, n, 1)`` and curvatures ``(S, n, 1, 1)``."""
    here, above, below = (log_density(at + by * step) for by in (0.0, 1.0, -1.0))
    slope = (above - below) / (2.0 * step)
    # Where rows are not log-concave, only the curvature of the prior is used.
    curvature = np.maximum(2.0 * here - above - below, 0.0) / step**2
    finite = np.isfinite(slope) & np.isfinite(curvature)
    slope, curvature = np.where(finite, slope, 0.0), np.where(finite, curvature, 0.0)
    return here, slope[..., None], curvature[..., None, None]


def _of_several_predictors(
    log_density: Callable[[Array], Array], at: Array, step: Array | float
) -> tuple[Array, Array, Array]:
    """Return log densities, slopes ``(S, n, C)`` and curvatures ``(S, n, C, C)``."""
    count = at.shape[-1]
    moves = step * np.eye(count)
    here = log_density(at)
    above = [log_density(at + move) for move in moves]
    below = [log_density(at - move) for move in moves]
    slope = np.stack(above, axis=-1) - np.stack(below, axis=-1)
    curvature = np.empty((*at.shape, count))
    for c in range(count):
        curvature[..., c, c] = 2.0 * here - above[c] - below[c]
        for d in range(c):
            both = log_density(at + moves[c] + moves[d])
            curvature[..., c, d] = above[c] + above[d] - here - both
            curvature[..., d, c] = curvature[..., c, d]
    return here, slope / (2.0 * step), curvature / step**2


def _newton(slope: Array, curvature: Array) -> Array:
    """Return Newton's step, which may be much too long far from the mode."""
    found = np.linalg.solve(curvature, slope[..., None])[..., 0]
    length = np.abs(found).max(axis=-1, keepdims=True)
    return np.asarray(found * (_LONGEST / np.maximum(length, _LONGEST)))


def _log_joint(rows: Array, z: Array) -> Array:
    """Return the log density of rows and z, without the constant of the normal."""
    return np.asarray(rows.sum(axis=-1) - 0.5 * np.square(z).sum(axis=-1))


def _times(loadings: Array, z: Array) -> Array:
    return np.asarray(np.einsum("s...d,sd->s...", loadings, z))


@lru_cache(maxsize=8)
def _rule(dimensions: int) -> tuple[Array, Array]:
    """Return points x, and the logs of weights.

    They are such that sums of ``exp(log f(x) + log weight)`` are the integrals of f
    over ``(2 pi)^(D / 2)``.
    """
    if dimensions in _POINTS:
        nodes, weights = np.polynomial.hermite_e.hermegauss(_POINTS[dimensions])
        grids = np.meshgrid(*[nodes] * dimensions, indexing="ij")
        points = np.stack([grid.ravel() for grid in grids], axis=-1)
        logs = np.log(weights / weights.sum())
        log_weights = sum(
            grid.ravel() for grid in np.meshgrid(*[logs] * dimensions, indexing="ij")
        )
        return points, np.asarray(log_weights) + 0.5 * np.square(points).sum(axis=1)
    from scipy import special, stats  # type: ignore[import-untyped]

    sequence = stats.qmc.Sobol(dimensions, rng=np.random.default_rng(1))
    normal = special.ndtri(sequence.random(_QUASI_RANDOM))
    log_weights = 0.5 * np.square(normal).sum(axis=1) - np.log(_QUASI_RANDOM)
    return _WIDER * normal, log_weights + dimensions * np.log(_WIDER)
