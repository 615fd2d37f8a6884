r"""Normal groups with known standard errors: exact posteriors by quadrature.

.. math:: y_j \mid \theta_j \sim N(\theta_j, \sigma_j^2), \quad
          \theta_j \mid \mu, \tau \sim N(\mu, \tau^2)

Given :math:`\tau`, all else is normal, so that one integral over :math:`\tau` remains.

References
----------
.. [1] Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013). Bayesian Data Analysis,
   3rd edition (BDA3): section 5.4, equations 5.17 to 5.21; section 5.5, eight schools.
.. [2] Efron and Morris (1975). Data analysis using Stein's estimator and its
   generalizations. JASA 70(350), 311-319.
.. [3] Lin Zhang. Hierarchical Models. Lecture slides, University of Minnesota.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError
from stanpool.exact.draws import (
    ExactDraws,
    check_generator,
    check_positive,
    check_sampling,
    draws_of_model,
)
from stanpool.exact.panels import TauPosterior, checked_probabilities, integrate_scale
from stanpool.exact.priors import (
    NormalPrior,
    PowerPrior,
    ScalePrior,
    has_varying_intercept_only,
    log_prior,
    resolve,
    tail_order,
)

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.api.facade import Model


@public
@dataclass(frozen=True, eq=False)
class NormalMixture:
    """Marginals that are mixtures of normals over the values of ``tau``.

    Attributes
    ----------
    weights
        The weights of the components, shape ``(G,)``.
    means, sds
        The components' means and standard deviations, shape ``(G,)``, or ``(G, J)`` for
        J quantities at once.
    moments
        How many moments are finite.
    """

    weights: Array
    means: Array
    sds: Array
    moments: int = 2

    def mean(self) -> Array:
        """Return means, shape ``()`` or ``(J,)``; NaN if there are none."""
        mean = self.weights @ self.means
        return np.asarray(mean if self.moments >= 1 else np.full_like(mean, np.nan))

    def sd(self) -> Array:
        """Return standard deviations, shape ``()`` or ``(J,)``; infinite if none."""
        if self.moments < 2:
            return np.full(self.means.shape[1:], np.inf)
        spread = self.sds**2 + (self.means - self.mean()) ** 2
        return np.asarray(np.sqrt(self.weights @ spread))

    def pdf(self, x: ArrayLike) -> Array:
        """Return densities at ``x``, of shape ``()`` or ``(J,)``, or broadcast to it.

        Several points are along a first axis: ``x`` of shape ``(points, J)``.
        """
        scores = self._scores(x)
        density = np.exp(-0.5 * scores**2) / (np.sqrt(2 * np.pi) * self.sds)
        return np.asarray(np.tensordot(density, self.weights, (self._axis, 0)))

    def cdf(self, x: ArrayLike) -> Array:
        """Return probabilities of at most ``x``, shaped as in ``pdf``."""
        from scipy.special import ndtr  # type: ignore[import-untyped]

        return np.asarray(
            np.tensordot(ndtr(self._scores(x)), self.weights, (self._axis, 0))
        )

    def ppf(self, probability: float) -> Array:
        """Return quantiles, shape ``()`` or ``(J,)``, by bisection.

        Parameters
        ----------
        probability
            One number in (0, 1).
        """
        probability = float(checked_probabilities(probability))
        middle = self.weights @ np.clip(self.means, -1e150, 1e150)
        width = 1 / (self.weights @ (1 / self.sds))
        low, high = middle - width, middle + width
        while np.any(outside := self.cdf(low) > probability):
            low = np.where(outside, middle - 2 * (middle - low), low)
        while np.any(outside := self.cdf(high) < probability):
            high = np.where(outside, middle + 2 * (high - middle), high)
        half = (low + high) / 2
        while np.any((low < half) & (half < high)):
            below = self.cdf(half) < probability
            low, high = np.where(below, half, low), np.where(below, high, half)
            half = (low + high) / 2
        return np.asarray(half)

    @property
    def _axis(self) -> int:
        """The axis of the components in an array of scores."""
        return -self.means.ndim

    def _scores(self, x: Any) -> Array:
        """Standardize ``x`` by each component: ``(..., G)`` or ``(..., G, J)``."""
        x = np.expand_dims(np.asarray(x, dtype=float), axis=self._axis)
        return np.asarray((x - self.means) / self.sds)


@public
@dataclass(frozen=True, eq=False)
class KnownSigmaPosterior:
    r"""The posterior of normal groups with known standard errors.

    With :math:`w_j = 1 / (\sigma_j^2 + \tau^2)`, and precision :math:`w_0` and mean
    :math:`m_0` of the prior on :math:`\mu` (:math:`w_0 = 0`: flat), BDA3 (5.20, 5.21):

    .. math:: V^{-1} = w_0 + \sum_j w_j, \quad
              \hat\mu = V (w_0 m_0 + \sum_j w_j y_j), \quad
              \mu \mid \tau, y \sim N(\hat\mu, V)

    .. math:: p(\tau \mid y) \propto p(\tau) V^{1/2} \prod_j w_j^{1/2}
              \exp\Bigl(-\tfrac 12 w_0 (m_0 - \hat\mu)^2
                        -\tfrac 12 \sum_j w_j (y_j - \hat\mu)^2\Bigr)

    and, with the shrinkage :math:`B_j = \sigma_j^2 w_j` (5.17),

    .. math:: \theta_j \mid \mu, \tau, y \sim
              N(B_j \mu + (1 - B_j) y_j, \; B_j \tau^2)

    Attributes
    ----------
    model
        The model.
    y, se
        The estimate of each group and its standard error, shape ``(J,)``. Several rows
        of a group are combined, weighted by their precisions.
    tau
        The marginal posterior of ``tau``.
    prior, mu_prior
        The priors on ``tau`` and on ``mu``.
    """

    model: Model
    y: Array
    se: Array
    tau: TauPosterior
    prior: ScalePrior
    mu_prior: NormalPrior

    @property
    def mu(self) -> NormalMixture:
        """The marginal of the population mean."""
        mean, variance = _mu_given_tau(self.y, self.se, self.mu_prior, self.tau.nodes)
        return NormalMixture(
            self.tau.weights, mean, np.sqrt(variance), self._moments_of_mu
        )

    @property
    def theta(self) -> NormalMixture:
        """The marginals of the J groups' means."""
        tau = self.tau.nodes
        mean, variance = _mu_given_tau(self.y, self.se, self.mu_prior, tau)
        shrinkage, spread = _shrinkage(self.se, tau)
        return NormalMixture(
            self.tau.weights,
            shrinkage * mean[:, None] + (1 - shrinkage) * self.y,
            np.sqrt(spread + shrinkage**2 * variance[:, None]),
        )

    @property
    def new_theta(self) -> NormalMixture:
        """The marginal of the mean of a group that is not in the data."""
        tau = self.tau.nodes
        mean, variance = _mu_given_tau(self.y, self.se, self.mu_prior, tau)
        return NormalMixture(
            self.tau.weights,
            mean,
            np.sqrt(variance + tau**2),
            min(self._moments_of_mu, self.tau.moments),
        )

    def draw(
        self, rng: np.random.Generator, *, chains: int = 4, draws: int = 1000
    ) -> ExactDraws:
        """Draw ``tau``, then the mean given it, then the groups given both.

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
            ``Intercept``, ``tau_<factor>`` and ``b_<factor>``, as in a ``Fit``.
        """
        check_sampling(rng, chains=chains, draws=draws, numbers=2 + len(self.y))
        tau = self._draw_tau(rng, (chains, draws))
        mean, variance = _mu_given_tau(self.y, self.se, self.mu_prior, tau)
        mu = mean + np.sqrt(variance) * rng.standard_normal(tau.shape)
        shrinkage, spread = _shrinkage(self.se, tau)
        center = shrinkage * mu[..., None] + (1 - shrinkage) * self.y
        theta = center + np.sqrt(spread) * rng.standard_normal(center.shape)
        return draws_of_model(
            self.model,
            {"Intercept": mu, "tau": tau, "b": theta},
            method="quadrature",
            source="BDA3 section 5.4",
        )

    def predict(
        self, draws: ExactDraws, rng: np.random.Generator, *, new_se: float
    ) -> xr.Dataset:
        """Predict an estimate of each group, and the mean of a future group.

        Parameters
        ----------
        draws
            What ``draw`` returned.
        rng
            The random number generator.
        new_se
            The standard error of an estimate of the future group.

        Returns
        -------
        xarray.Dataset
            ``y``, one more estimate of each group with its standard error,
            ``(chain, draw, group)``; ``theta_new``, the mean of a future group, and
            ``y_new``, an estimate of it, ``(chain, draw)``.
        """
        import xarray as xr

        from stanpool.model.terms.names import GroupNames

        check_generator(rng)
        check_positive(new_se=new_se)
        assert draws.factor is not None
        names, posterior = GroupNames.of(draws.factor), draws.posterior
        theta = posterior[names.b].isel({names.coefficient: 0}, drop=True)
        theta = theta.transpose("chain", "draw", names.group)
        mu = posterior["Intercept"]
        tau = posterior[names.tau].isel({names.coefficient: 0}, drop=True)
        theta_new = mu + tau * rng.standard_normal(mu.shape)
        return xr.Dataset(
            {
                "y": theta + self.se * rng.standard_normal(theta.shape),
                "theta_new": theta_new,
                "y_new": theta_new + new_se * rng.standard_normal(mu.shape),
            }
        )

    @property
    def _moments_of_mu(self) -> int:
        """``mu`` given ``tau`` spreads as ``tau`` does, unless its prior is proper."""
        return self.tau.moments if self.mu_prior.precision[0] == 0 else 2

    def _draw_tau(self, rng: np.random.Generator, size: tuple[int, int]) -> Array:
        uniform = rng.uniform(size=size)
        equal = bool((self.se == self.se[0]).all())
        flat = self.prior == PowerPrior(1) and self.mu_prior.precision[0] == 0
        if equal and flat:
            tau = _truncated_inverse_gamma_tau(uniform, self.y, self.se[0])
            if tau is not None:
                return tau
        return self.tau.ppf(uniform)


@public
def known_sigma(
    model: Model, *, flat: Collection[str] = (), tolerance: float = 1e-9
) -> KnownSigmaPosterior:
    r"""Find the posterior of groups whose standard errors are known.

    .. math:: y_j \sim N(\theta_j, \sigma_j^2), \quad
              \theta_j \sim N(\mu, \tau^2)

    The marginal of :math:`\tau` is integrated over :math:`\log \tau` by Gauss-Legendre
    panels that are halved until ``tolerance``; where all :math:`\sigma_j` are equal
    and the prior is flat on :math:`(\mu, \tau^2)`, :math:`\sigma^2 + \tau^2` is inverse
    gamma with shape :math:`(J - 3)/2` and scale :math:`\sum (y_j - \bar y)^2 / 2`,
    truncated at :math:`\sigma^2`, and is drawn by inversion.

    Parameters
    ----------
    model
        Gaussian with standard errors, varying intercept, no predictors:
        ``y | se(s) ~ 1 + (1 | group)``. Its priors hold, the one on the intercept
        being normal, except for ``flat``.
    flat
        Parameters with a flat prior instead: ``"Intercept"``, and ``"tau"`` or
        ``"tau^2"``, the textbooks' choices. Priors that are flat in the model need not
        be named.
    tolerance
        The error allowed in a probability.

    Raises
    ------
    SpecError
        If the model is another one, or a flat prior leaves the posterior improper.

    References
    ----------
    BDA3 section 5.4; flat on ``tau`` in section 5.5, on ``tau^2`` in Lin Zhang's slides
    'Hierarchical Models' after Efron and Morris (1975).

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> posterior = known_sigma(model, flat=["Intercept", "tau"])
    >>> posterior.theta.mean().round(1)
    array([11.4,  7.9,  6.1,  7.6,  5.1,  6.1, 10.7,  8.5])
    >>> posterior.draw(np.random.default_rng(1)).posterior["b_school"].shape
    (4, 1000, 8, 1)
    """
    _refuse_other_models(model)
    check_positive(tolerance=tolerance)
    priors = resolve(model, flat)
    y, se = _combine_rows(model)

    def log_density(log_tau: Array) -> Array:
        tau = np.exp(log_tau)
        likelihood = _log_likelihood(y, se, priors.intercept, tau)
        return likelihood + log_prior(priors.tau, tau) + log_tau

    proper = priors.intercept.precision[0] > 0
    order = tail_order(priors.tau) + len(y) - (0 if proper else 1)
    moments = 2 if order > 3 else 1 if order > 2 else 0
    tau = integrate_scale(log_density, np.log(np.median(se)), moments, tolerance)
    return KnownSigmaPosterior(model, y, se, tau, priors.tau, priors.intercept)


def _refuse_other_models(model: Model) -> None:
    """Refuse what is not ``y | se(s) ~ 1 + (1 | group)``."""
    spec = model.spec
    fits = (
        spec.pooling == "partial"
        and spec.is_linear_gaussian
        and spec.se is not None
        and not spec.has_sigma
        and has_varying_intercept_only(model)
        and not model.design.coefficients
    )
    if not fits:
        raise SpecError(
            f"{model!r} is not a model that known_sigma solves; it solves "
            "'y | se(s) ~ 1 + (1 | group)' with partial pooling."
        )


def _combine_rows(model: Model) -> tuple[Array, Array]:
    """Return each group's precision-weighted mean and its standard error."""
    design = model.design
    assert design.se is not None
    assert design.group_index is not None
    precision = design.se**-2.0
    total = np.bincount(design.group_index, precision)
    y = np.bincount(design.group_index, precision * design.y) / total
    return np.asarray(y), np.asarray(1 / np.sqrt(total))


def _mu_given_tau(
    y: Array, se: Array, prior: NormalPrior, tau: Array
) -> tuple[Array, Array]:
    """Return mean and variance of ``mu`` given ``tau``, in the shape of ``tau``."""
    weights = 1 / (se**2 + tau[..., None] ** 2)
    variance = 1 / (prior.precision[0] + weights.sum(axis=-1))
    mean = variance * (prior.precision[0] * prior.mean[0] + weights @ y)
    return np.asarray(mean), np.asarray(variance)


def _log_likelihood(y: Array, se: Array, prior: NormalPrior, tau: Array) -> Array:
    """Return ``log p(y | tau)``, ``mu`` integrated out, up to a constant; (5.21)."""
    mean, variance = _mu_given_tau(y, se, prior, tau)
    total = se**2 + tau[..., None] ** 2
    misfit = ((y - mean[..., None]) ** 2 / total).sum(axis=-1)
    misfit = misfit + prior.precision[0] * (prior.mean[0] - mean) ** 2
    log_weights = np.log(total).sum(axis=-1)
    return np.asarray(0.5 * (np.log(variance) - log_weights - misfit))


def _shrinkage(se: Array, tau: Array) -> tuple[Array, Array]:
    """Return ``B_j`` and the variance of ``theta_j`` given ``mu`` and ``tau``."""
    squared = tau[..., None] ** 2
    shrinkage = se**2 / (se**2 + squared)
    return shrinkage, shrinkage * squared


def _truncated_inverse_gamma_tau(uniform: Array, y: Array, se: float) -> Array | None:
    """Draw ``tau`` by inverting the truncated gamma of ``1 / (sigma^2 + tau^2)``.

    None where the groups differ so little that the truncated part underflows.
    """
    from scipy.special import gammainc, gammaincinv

    shape, rate = (len(y) - 3) / 2, ((y - y.mean()) ** 2).sum() / 2
    below = gammainc(shape, rate / se**2)
    if below < 1e-290:
        return None
    total = rate / gammaincinv(shape, (1 - uniform) * below)
    return np.asarray(np.sqrt(np.maximum(total - se**2, 0)))
