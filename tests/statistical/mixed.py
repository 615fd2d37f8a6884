r"""Gaussian mixed models without Stan: restricted likelihood, posterior means.

With :math:`W = [X, Z_1, \ldots]`, all coefficients :math:`c` normal given the scales,
with precisions :math:`D` (0 where flat) and means :math:`m`, and
:math:`A = W'W / \sigma^2 + D`, :math:`a = W'(y - W m) / \sigma^2`, integrating
:math:`c` out of the likelihood leaves

.. math:: -\tfrac{n}{2} \log(2 \pi \sigma^2) + \tfrac12 \sum_{D_k > 0} \log D_k
          + \tfrac p2 \log(2 \pi) - \tfrac12 \log |A|
          - \tfrac12 \bigl(|y - W m|^2 / \sigma^2 - a' A^{-1} a\bigr),

p being the number of flat coefficients; their posterior mean is
:math:`m + A^{-1} a`. If X alone is flat, -2 times it is the REML criterion of lme4
(Bates, Mächler, Bolker and Walker 2015, section 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, stats

Array = NDArray[np.float64]

_DRAWS = 1500
_DF = 6  # of the proposal: its tails are heavier than the posterior's


@dataclass(frozen=True, eq=False)
class Average:
    """Posterior means, and their Monte Carlo errors."""

    mean: Array
    error: Array


class MixedModel:
    """Rows with a normal outcome, and coefficients with normal populations.

    Parameters
    ----------
    y, X
        Outcome, and predictors with the intercept, shape ``(N,)`` and ``(N, K)``.
    Z
        A matrix for each scale ``tau``, shape ``(N, J)``.
    mean, sd
        Normal priors on the coefficients of X; without them flat ones.
    """

    def __init__(
        self,
        y: Array,
        X: Array,
        Z: Sequence[Array],
        *,
        mean: Sequence[float] | None = None,
        sd: Sequence[float] | None = None,
    ) -> None:
        W = np.column_stack([X, *Z])
        self.rows, self.sizes = len(W), [block.shape[1] for block in Z]
        self.mean = np.zeros(W.shape[1])
        self.mean[: X.shape[1]] = 0.0 if mean is None else mean
        self.precision = np.zeros(X.shape[1])
        self.precision += 0.0 if sd is None else np.power(sd, -2.0)
        left = y - W @ self.mean
        self.WW, self.Wy, self.yy = W.T @ W, W.T @ left, float(left @ left)
        # Coefficients that no row shares are eliminated first: A is diagonal there.
        ends = np.cumsum([X.shape[1], *self.sizes])
        self.alone = np.zeros(W.shape[1], dtype=bool)
        for start, end in sorted(pairwise(ends), key=np.diff):
            block = self.WW[start:end, start:end]
            if np.count_nonzero(block) == end - start:
                self.alone[:] = False
                self.alone[start:end] = True

    def marginal(self, scales: Array) -> tuple[float, Array]:
        """Return the log likelihood of ``tau_1, ..., sigma``, and the mean of c."""
        *tau, sigma = scales
        D = np.concatenate([self.precision, np.repeat(np.power(tau, -2.0), self.sizes)])
        A, a = self.WW / sigma**2 + np.diag(D), self.Wy / sigma**2
        alone, rest = np.flatnonzero(self.alone), np.flatnonzero(~self.alone)
        d, B = A[alone, alone], A[np.ix_(rest, alone)]
        chol = linalg.cho_factor(A[np.ix_(rest, rest)] - (B / d) @ B.T, lower=True)
        c = np.empty(len(a))
        c[rest] = linalg.cho_solve(chol, a[rest] - B @ (a[alone] / d))
        c[alone] = (a[alone] - c[rest] @ B) / d
        log = -0.5 * self.rows * np.log(2 * np.pi * sigma**2)
        log += 0.5 * np.log(D[D > 0]).sum() + 0.5 * (D == 0).sum() * np.log(2 * np.pi)
        log -= np.log(np.diag(chol[0])).sum() + 0.5 * np.log(d).sum()
        return float(log - 0.5 * (self.yy / sigma**2 - a @ c)), self.mean + c

    def restricted(self, start: Sequence[float]) -> tuple[float, Array]:
        """Minimize lme4's criterion: return it, and the scales."""
        scales = _mode(lambda scales: self.marginal(scales)[0], start)
        return -2 * self.marginal(scales)[0], scales

    def posterior(
        self, log_prior: Callable[[Array], float], start: Sequence[float]
    ) -> tuple[Average, Average]:
        """Average coefficients and scales by importance sampling.

        The proposal is a multivariate t distribution, folded where scales are
        negative: first around the mode, then with the moments that this finds.
        """

        def log_density(scales: Array) -> float:
            return self.marginal(scales)[0] + log_prior(scales)

        mode = _mode(log_density, start)
        covariance = -np.linalg.inv(_hessian(log_density, mode))
        drawn, weights = _sample(log_density, mode, covariance, _DRAWS // 4)
        covariance = np.cov(drawn.T, aweights=weights)
        drawn, weights = _sample(log_density, weights @ drawn, covariance, _DRAWS)
        assert (weights**2).sum() < 3 / _DRAWS, "the proposal is far off"
        coefficients = np.array([self.marginal(scales)[1] for scales in drawn])
        return _average(weights, coefficients), _average(weights, drawn)


def indicators(labels: Sequence[object]) -> Array:
    """Return a column of zeros and ones for each label, in sorted order."""
    found, index = np.unique(np.asarray(labels), return_inverse=True)
    return np.eye(len(found))[index]


def _average(weights: Array, values: Array) -> Average:
    mean = weights @ values
    return Average(mean, np.sqrt(weights**2 @ (values - mean) ** 2))


def _sample(
    log_density: Callable[[Array], float], center: Array, covariance: Array, draws: int
) -> tuple[Array, Array]:
    """Draw positive numbers from a folded t distribution, with importance weights."""
    proposal = stats.multivariate_t(center, covariance, df=_DF, seed=20261121)
    drawn = np.abs(proposal.rvs(draws))
    folds = product((1, -1), repeat=len(center))
    folded = sum(proposal.pdf(drawn * signs) for signs in folds)
    log = np.array([log_density(scales) for scales in drawn]) - np.log(folded)
    weights = np.exp(log - log.max())
    return drawn, weights / weights.sum()


def _mode(log_density: Callable[[Array], float], start: Sequence[float]) -> Array:
    found = optimize.minimize(
        lambda at: -log_density(np.exp(at)),
        np.log(start),
        method="Nelder-Mead",
        options={"xatol": 1e-6, "fatol": 1e-8, "maxiter": 2000},
    )
    return np.asarray(np.exp(found.x))


def _hessian(function: Callable[[Array], float], at: Array) -> Array:
    """Return second derivatives by central differences."""
    steps = np.diag(1e-3 * at)

    def second(a: Array, b: Array) -> float:
        ends = function(at + a + b) + function(at - a - b)
        return ends - function(at + a - b) - function(at - a + b)

    curvature = np.array([[second(a, b) for b in steps] for a in steps])
    return curvature / (4e-6 * np.outer(at, at))
