r"""Standardized residuals that are jointly normal, or jointly Student-t.

The residuals r of a subject have a correlation matrix R. Given some of them, any other
is normal again, with a mean and a standard deviation that follow from R alone. Of a
multivariate Student-t distribution with :math:`\nu` degrees of freedom it is Student-t
with :math:`\nu + k` degrees of freedom given k others, and its scale is wider by
:math:`\sqrt{(\nu + d) / (\nu + k)}`, where :math:`d = r_k' R_k^{-1} r_k` is the squared
distance of these others [1]_.

References
----------
.. [1] Ding (2016). On the conditional distribution of the multivariate t distribution.
   The American Statistician 70(3), 293-295.
.. [2] Bürkner, Gabry and Vehtari (2021). Efficient leave-one-out cross-validation for
   Bayesian non-factorized normal and Student-t models. Computational Statistics 36,
   1243-1261.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stanpool.base.arrays import Array


@dataclass(frozen=True, eq=False)
class Conditional:
    """What single residuals are given others, each of shape ``(..., n)``.

    Attributes
    ----------
    mean, sd
        The mean and the standard deviation, if residuals are normal.
    squares
        The squared distance of the others.
    count
        How many others.
    """

    mean: Array
    sd: Array
    squares: Array
    count: Array

    def scale(self, nu: Any = None) -> Array:
        """Return the scale, of Student-t residuals if there are degrees of freedom."""
        if nu is None:
            return self.sd
        return np.asarray(self.sd * np.sqrt((nu + self.squares) / (nu + self.count)))


def given_earlier(correlations: Array, r: Array) -> Conditional:
    """Return what each residual is given those before it.

    Parameters
    ----------
    correlations
        Correlation matrices, shape ``(..., n, n)``.
    r
        Residuals, shape ``(..., n)``, which broadcast against these.

    Examples
    --------
    >>> R = np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> found = given_earlier(R, np.array([2.0, 0.0]))
    >>> found.mean, found.sd.round(3), found.squares
    (array([0., 1.]), array([1.   , 0.866]), array([0., 4.]))
    """
    root = np.linalg.cholesky(correlations)
    sd = np.diagonal(root, axis1=-2, axis2=-1)
    z = np.zeros(np.broadcast_shapes(r.shape, sd.shape))
    mean = np.zeros_like(z)
    for i in range(r.shape[-1]):
        mean[..., i] = (root[..., i, :i] * z[..., :i]).sum(axis=-1)
        z[..., i] = (r[..., i] - mean[..., i]) / sd[..., i]
    squares = np.cumsum(np.square(z), axis=-1) - np.square(z)
    count = np.zeros_like(z) + np.arange(r.shape[-1])
    return Conditional(mean, sd + np.zeros_like(z), squares, count)


def given_others(correlations: Array, r: Array) -> Conditional:
    """Return what each residual is given all others [2]_.

    Parameters
    ----------
    correlations, r
        As for ``given_earlier``.

    Examples
    --------
    >>> R = np.array([[1.0, 0.5], [0.5, 1.0]])
    >>> given_others(R, np.array([2.0, 0.0])).mean
    array([0., 1.])
    """
    precision = np.linalg.inv(correlations)
    own = np.diagonal(precision, axis1=-2, axis2=-1)
    pulled = (precision @ r[..., None])[..., 0]
    whole = (r * pulled).sum(axis=-1, keepdims=True)
    count = np.full(pulled.shape, r.shape[-1] - 1.0)
    squares = np.maximum(whole - np.square(pulled) / own, 0.0)
    sd = np.broadcast_to(own**-0.5, pulled.shape)
    return Conditional(r - pulled / own, sd, squares, count)


def draw_given_first(
    correlations: Array,
    first: Array,
    standard: Array,
    nu: Any = None,
    chi_square: Any = None,
) -> Array:
    """Draw residuals given those before all of them.

    Parameters
    ----------
    correlations
        Correlation matrices, shape ``(..., k + n, k + n)``.
    first
        The k residuals that are known, shape ``(..., k)``.
    standard
        Standard normal draws, shape ``(..., n)``.
    nu, chi_square
        The degrees of freedom of Student-t residuals, and draws from a chi-squared
        distribution with k more of them, shape ``(...,)``.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., n)``.
    """
    root, k = np.linalg.cholesky(correlations), first.shape[-1]
    known = np.linalg.solve(root[..., :k, :k], first[..., None])
    mean = (root[..., k:, :k] @ known)[..., 0]
    about = (root[..., k:, k:] @ standard[..., None])[..., 0]
    if nu is not None:
        squares = np.square(known[..., 0]).sum(axis=-1)
        common = (nu + squares) / chi_square
        about = about * np.sqrt(common)[..., None]
    return np.asarray(mean + about)
