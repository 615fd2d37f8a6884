"""A normal sample under its conjugate prior, in closed form.

References
----------
.. [1] Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013). Bayesian Data Analysis,
   3rd edition (BDA3): section 3.3, normal with conjugate prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote, quote_list
from stanpool.exact.draws import (
    ExactDraws,
    check_finite,
    check_positive,
    check_sampling,
    draws_of_scalars,
)


@public
@dataclass(frozen=True, eq=False)
class NormalPosterior:
    r"""The posterior of a normal sample under its conjugate prior.

    The parameters of the prior, updated by ``n`` observations with mean :math:`\bar y`
    and sum of squares :math:`S = \sum (y_i - \bar y)^2` (BDA3 section 3.3):

    .. math:: \kappa_n = 1/\tau^2 + n, \quad
              \mu_n = (\mu / \tau^2 + n \bar y) / \kappa_n, \quad
              \alpha_n = \alpha + n/2, \quad
              \beta_n = \beta + \frac S 2 + \frac{n (\bar y - \mu)^2}{2 (1 + n \tau^2)}

    Attributes
    ----------
    y
        The sample, shape ``(N,)``.
    mu, tau, alpha, beta
        The parameters of the prior.
    """

    y: Array
    mu: float
    tau: float
    alpha: float
    beta: float

    @property
    def kappa_n(self) -> float:
        """The number of observations that the posterior of the mean counts as."""
        return 1 / self.tau**2 + len(self.y)

    @property
    def mu_n(self) -> float:
        """The posterior mean of ``theta``."""
        return float((self.mu / self.tau**2 + self.y.sum()) / self.kappa_n)

    @property
    def alpha_n(self) -> float:
        """The shape of the posterior of ``sigma^2``."""
        return self.alpha + len(self.y) / 2

    @property
    def beta_n(self) -> float:
        """The scale of the posterior of ``sigma^2``."""
        n, mean = len(self.y), self.y.mean()
        between = n * (mean - self.mu) ** 2 / (1 + n * self.tau**2)
        return float(self.beta + (((self.y - mean) ** 2).sum() + between) / 2)

    @property
    def sigma2(self) -> Any:
        """The marginal of ``sigma^2``: inverse gamma, a frozen scipy distribution."""
        from scipy import stats  # type: ignore[import-untyped]

        return stats.invgamma(self.alpha_n, scale=self.beta_n)

    @property
    def theta(self) -> Any:
        """The marginal of ``theta``: Student-t with ``2 alpha_n`` degrees of freedom.

        A frozen scipy distribution with location ``mu_n`` and squared scale
        ``beta_n / (alpha_n kappa_n)``.
        """
        return self._student_t(1 / self.kappa_n)

    @property
    def predictive(self) -> Any:
        """The distribution of one more observation: Student-t, a frozen scipy one."""
        return self._student_t(1 + 1 / self.kappa_n)

    def theta_given(self, sigma2: ArrayLike) -> Any:
        """Return the conditional of ``theta``, ``N(mu_n, sigma^2 / kappa_n)``.

        Parameters
        ----------
        sigma2
            One or more variances; the frozen scipy distribution has their shape.
        """
        from scipy import stats

        return stats.norm(self.mu_n, np.sqrt(np.asarray(sigma2) / self.kappa_n))

    @property
    def log_marginal_likelihood(self) -> float:
        """The log density of the sample with both parameters integrated out."""
        return (
            math.lgamma(self.alpha_n)
            - math.lgamma(self.alpha)
            + self.alpha * math.log(self.beta)
            - self.alpha_n * math.log(self.beta_n)
            - math.log(self.kappa_n * self.tau**2) / 2
            - len(self.y) / 2 * math.log(2 * math.pi)
        )

    def draw(
        self, rng: np.random.Generator, *, chains: int = 4, draws: int = 1000
    ) -> ExactDraws:
        """Draw by composition: ``sigma^2``, then ``theta`` given it.

        Parameters
        ----------
        rng
            The random number generator.
        chains, draws
            Numbers of chains and of draws in each. The draws are independent; chains
            are there for tools that expect them.

        Returns
        -------
        ExactDraws
            ``Intercept``, which is ``theta``, and ``sigma``, the names of the same
            parameters in a ``Fit`` of ``y ~ 1``.
        """
        check_sampling(rng, chains=chains, draws=draws, numbers=2)
        gamma = rng.standard_gamma(self.alpha_n, (chains, draws))
        sigma = np.sqrt(self.beta_n / gamma)
        noise = rng.standard_normal((chains, draws))
        theta = self.mu_n + sigma / math.sqrt(self.kappa_n) * noise
        return draws_of_scalars(
            {"Intercept": theta, "sigma": sigma},
            y=self.y,
            method="composition",
            source="BDA3 section 3.3",
        )

    def _student_t(self, spread: float) -> Any:
        from scipy import stats

        scale = math.sqrt(self.beta_n / self.alpha_n * spread)
        return stats.t(2 * self.alpha_n, loc=self.mu_n, scale=scale)


@public
def normal(
    y: Any, *, mu: float, tau: float, alpha: float, beta: float
) -> NormalPosterior:
    r"""Find the posterior of a normal sample under its conjugate prior.

    .. math:: y_i \sim N(\theta, \sigma^2), \quad
              \theta \mid \sigma^2 \sim N(\mu, \sigma^2 \tau^2), \quad
              \sigma^2 \sim \text{Inv-Gamma}(\alpha, \beta)

    Parameters
    ----------
    y
        The sample, shape ``(N,)``.
    mu, tau
        Location of the prior of ``theta``, and its scale in units of ``sigma``.
    alpha, beta
        Shape and scale of the prior of ``sigma^2``.

    Raises
    ------
    DataError
        If the sample is empty, not one-dimensional, or not finite.
    SpecError
        If a parameter of the prior is not finite, or not positive where it must be.

    References
    ----------
    BDA3 section 3.3, where the prior is written with :math:`\kappa_0 = 1 / \tau^2`,
    :math:`\nu_0 = 2 \alpha` and :math:`\sigma_0^2 = \beta / \alpha`.

    Examples
    --------
    >>> posterior = normal([1.0, 2.0, 3.0], mu=0, tau=1, alpha=2, beta=1)
    >>> posterior.mu_n, posterior.alpha_n, posterior.beta_n
    (1.5, 3.5, 3.5)
    >>> posterior.draw(np.random.default_rng(1)).posterior["sigma"].shape
    (4, 1000)
    """
    check_finite(mu=mu)
    check_positive(tau=tau, alpha=alpha, beta=beta)
    return NormalPosterior(_sample(y), float(mu), float(tau), float(alpha), float(beta))


def _sample(y: Any) -> Array:
    """Return a copy of the sample as floats, or say what is wrong with it."""
    try:
        values = np.array(y, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"y={quote(y)} must be a sample of numbers.") from None
    if values.ndim != 1 or values.size == 0:
        raise DataError(
            f"y has shape {values.shape} and must have one dimension and at least one "
            "value."
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(
            f"y has {bad.size} value(s) that are missing or infinite (rows "
            f"{quote_list(bad.tolist())}, counted from 0). Drop or correct them first."
        )
    return values
