"""Closed forms: a normal sample, binomial groups and Poisson groups.

References
----------
.. [1] Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013). Bayesian Data Analysis,
   3rd edition (BDA3): section 2.4 (binomial), 2.6 (Poisson), 3.3 (normal with
   conjugate prior), 5.3 (a population of binomial groups).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from stanpool.base.arguments import public
from stanpool.base.arrays import Array, Indices
from stanpool.base.errors import DataError, quote, quote_list
from stanpool.exact.draws import (
    ExactDraws,
    check_count,
    check_finite,
    check_positive,
    check_sampling,
    draws_by_group,
    draws_of_scalars,
)
from stanpool.language.formula import quote_name
from stanpool.language.model_spec import GroupTerm, ModelSpec

if TYPE_CHECKING:
    import pandas as pd


@public
@dataclass(frozen=True, eq=False)
class NormalPosterior:
    r"""The posterior of a normal sample under its conjugate prior.

    The prior's numbers, updated by ``n`` observations with mean :math:`\bar y` and sum
    of squares :math:`S = \sum (y_i - \bar y)^2` (BDA3 section 3.3):

    .. math:: \kappa_n = 1/\tau^2 + n, \quad
              \mu_n = (\mu / \tau^2 + n \bar y) / \kappa_n, \quad
              \alpha_n = \alpha + n/2, \quad
              \beta_n = \beta + \frac S 2 + \frac{n (\bar y - \mu)^2}{2 (1 + n \tau^2)}

    Attributes
    ----------
    y
        The sample, shape ``(N,)``.
    mu, tau, alpha, beta
        The prior's numbers.
    """

    y: Array
    mu: float
    tau: float
    alpha: float
    beta: float

    @property
    def kappa_n(self) -> float:
        """How many observations the posterior of the mean is worth."""
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
        """The distribution of one more observation: Student-t, frozen scipy."""
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
            The source of randomness.
        chains, draws
            The draws are independent; the chains are for tools that expect them.

        Returns
        -------
        ExactDraws
            ``Intercept``, which is ``theta``, and ``sigma``, the names of the same
            parameters in a ``Fit`` of ``y ~ 1``.
        """
        check_sampling(rng, chains=chains, draws=draws)
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
        Location of ``theta``, and its scale in units of ``sigma``.
    alpha, beta
        Shape and scale of ``sigma^2``.

    Raises
    ------
    DataError
        If the sample is empty, not one-dimensional, or not finite.
    SpecError
        If a number of the prior is not finite, or not positive where it must be.

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
        raise DataError(f"y={quote(y)} is not a sample of numbers.") from None
    if values.ndim != 1 or values.size == 0:
        raise DataError(
            f"y has shape {values.shape}; pass one dimension with one value or more."
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise DataError(
            f"y has {bad.size} value(s) that are missing or infinite (rows "
            f"{quote_list(bad.tolist())}, counted from 0). Drop or correct them first."
        )
    return values


@public
@dataclass(frozen=True, eq=False)
class BetaBinomialPosterior:
    """The posterior of success rates of groups, ``theta_j ~ Beta(a, b)``.

    Attributes
    ----------
    factor, labels
        The grouping factor, and the J groups.
    successes, trials
        Totals of each group, shape ``(J,)``.
    a, b
        The population's numbers.
    """

    factor: str
    labels: tuple[Any, ...]
    successes: Array
    trials: Array
    a: float
    b: float

    @property
    def theta(self) -> Any:
        """The rates: ``Beta(a + successes, b + failures)``, frozen scipy, ``(J,)``."""
        from scipy import stats

        return stats.beta(*self._updated)

    @property
    def log_marginal_likelihood(self) -> float:
        """The log probability of the groups' totals, rates integrated out."""
        from scipy import stats

        totals = stats.betabinom(self.trials, self.a, self.b)
        return float(totals.logpmf(self.successes).sum())

    def predictive(self, trials: int, *, new_group: bool = False) -> Any:
        """Return the distribution of successes in further trials, frozen scipy.

        Parameters
        ----------
        trials
            How many.
        new_group
            False: of each group, shape ``(J,)``. True: of a group not seen yet.
        """
        from scipy import stats

        check_count("trials", trials, least=0)
        a, b = (self.a, self.b) if new_group else self._updated
        return stats.betabinom(trials, a, b)

    def draw(
        self, rng: np.random.Generator, *, chains: int = 4, draws: int = 1000
    ) -> ExactDraws:
        """Draw rates ``theta``, independently.

        Parameters
        ----------
        rng
            The source of randomness.
        chains, draws
            The draws are independent; the chains are for tools that expect them.
        """
        check_sampling(rng, chains=chains, draws=draws)
        return draws_by_group(
            "theta",
            rng.beta(*self._updated, size=(chains, draws, len(self.labels))),
            factor=self.factor,
            labels=self.labels,
            observed={"successes": self.successes, "trials": self.trials},
            source="BDA3 sections 2.4 and 5.3",
        )

    @property
    def _updated(self) -> tuple[Array, Array]:
        return self.a + self.successes, self.b + self.trials - self.successes


@public
def beta_binomial(
    data: Any, *, outcome: str, trials: str, group: str, a: float, b: float
) -> BetaBinomialPosterior:
    r"""Find the posterior of groups' success rates under a fixed beta population.

    .. math:: y_j \sim \text{Binomial}(n_j, \theta_j), \quad
              \theta_j \sim \text{Beta}(a, b)

    Parameters
    ----------
    data
        A data frame or a mapping of columns.
    outcome, trials, group
        Columns: successes, trials, and the group; rows of a group are added up.
    a, b
        The population's numbers: ``a / (a + b)`` is its mean, and ``a + b`` how many
        trials it is worth.

    Raises
    ------
    DataError
        If a column is missing or not what it must be.
    SpecError
        If ``a`` or ``b`` is not positive.

    References
    ----------
    BDA3 sections 2.4 and 5.3.

    Examples
    --------
    >>> posterior = beta_binomial(
    ...     {"player": ["Clemente", "Alvis"], "hits": [18, 7], "at_bats": [45, 45]},
    ...     outcome="hits", trials="at_bats", group="player", a=53, b=147)
    >>> posterior.labels, posterior.theta.mean().round(3)
    (('Alvis', 'Clemente'), array([0.245, 0.29 ]))
    """
    from stanpool.api.constructors import no_pooling

    check_positive(a=a, b=b)
    design = no_pooling(
        data, outcome=outcome, trials=trials, group=group, family="binomial"
    ).design
    assert design.group_index is not None
    assert design.trials is not None
    return BetaBinomialPosterior(
        group,
        design.group_labels,
        _totals(design.group_index, design.y),
        _totals(design.group_index, design.trials),
        float(a),
        float(b),
    )


@public
@dataclass(frozen=True, eq=False)
class GammaPoissonPosterior:
    """The posterior of rates of groups, ``theta_j ~ Gamma(shape, rate)``.

    Attributes
    ----------
    factor, labels
        The grouping factor, and the J groups.
    counts, exposure
        Totals of each group, shape ``(J,)``.
    shape, rate
        The population's numbers.
    """

    factor: str
    labels: tuple[Any, ...]
    counts: Array
    exposure: Array
    shape: float
    rate: float

    @property
    def theta(self) -> Any:
        """The rates: ``Gamma(shape + counts, rate + exposure)``, frozen scipy."""
        from scipy import stats

        shape, rate = self._updated
        return stats.gamma(shape, scale=1 / rate)

    @property
    def log_marginal_likelihood(self) -> float:
        """The log probability of the groups' totals, rates integrated out."""
        totals = _negative_binomial(self.shape, self.rate, self.exposure)
        return float(totals.logpmf(self.counts).sum())

    def predictive(self, exposure: float = 1.0, *, new_group: bool = False) -> Any:
        """Return the distribution of a further count, frozen scipy.

        Parameters
        ----------
        exposure
            Of the further count.
        new_group
            False: of each group, shape ``(J,)``. True: of a group not seen yet.
        """
        check_positive(exposure=exposure)
        shape, rate = (self.shape, self.rate) if new_group else self._updated
        return _negative_binomial(shape, rate, exposure)

    def draw(
        self, rng: np.random.Generator, *, chains: int = 4, draws: int = 1000
    ) -> ExactDraws:
        """Draw rates ``theta``, independently.

        Parameters
        ----------
        rng
            The source of randomness.
        chains, draws
            The draws are independent; the chains are for tools that expect them.
        """
        check_sampling(rng, chains=chains, draws=draws)
        shape, rate = self._updated
        return draws_by_group(
            "theta",
            rng.standard_gamma(shape, (chains, draws, len(shape))) / rate,
            factor=self.factor,
            labels=self.labels,
            observed={"counts": self.counts, "exposure": self.exposure},
            source="BDA3 section 2.6",
        )

    @property
    def _updated(self) -> tuple[Array, Array]:
        return self.shape + self.counts, self.rate + self.exposure


@public
def gamma_poisson(
    data: Any,
    *,
    outcome: str,
    group: str,
    shape: float,
    rate: float,
    exposure: str | None = None,
) -> GammaPoissonPosterior:
    r"""Find the posterior of groups' rates under a fixed gamma population.

    .. math:: y_j \sim \text{Poisson}(e_j \theta_j), \quad
              \theta_j \sim \text{Gamma}(\text{shape}, \text{rate})

    Parameters
    ----------
    data
        A data frame or a mapping of columns.
    outcome, group
        Columns: counts, and the group; rows of a group are added up.
    shape, rate
        The population's numbers; its mean is ``shape / rate``.
    exposure
        The column of exposures, positive; 1 for each row by default.

    Raises
    ------
    DataError
        If a column is missing or not what it must be.
    SpecError
        If ``shape`` or ``rate`` is not positive.

    References
    ----------
    BDA3 section 2.6.

    Examples
    --------
    >>> posterior = gamma_poisson({"ward": ["A", "A", "B"], "cases": [2, 3, 0]},
    ...                           outcome="cases", group="ward", shape=2, rate=1)
    >>> posterior.theta.mean()
    array([2.33333333, 1.        ])
    """
    from stanpool.data.columns import used_columns
    from stanpool.data.design.build_design import build_design

    check_positive(shape=shape, rate=rate)
    spec = ModelSpec(
        quote_name(outcome),
        groups=(GroupTerm(group),),
        family="poisson",
        pooling="none",
    )
    named = replace(spec, terms=(quote_name(exposure),)) if exposure else spec
    frame = used_columns(named, data)
    design = build_design(spec, frame)
    assert design.group_index is not None
    exposures = _exposures(frame, exposure) if exposure else np.ones(len(frame))
    return GammaPoissonPosterior(
        group,
        design.group_labels,
        _totals(design.group_index, design.y),
        _totals(design.group_index, exposures),
        float(shape),
        float(rate),
    )


def _negative_binomial(shape: Any, rate: Any, exposure: Any) -> Any:
    """Return a Poisson count whose rate is gamma, as a frozen scipy distribution."""
    from scipy import stats

    return stats.nbinom(shape, rate / (rate + exposure))


def _totals(group: Indices, values: Array) -> Array:
    """Add up the values of each group."""
    return np.bincount(group, values).astype(float)


def _exposures(frame: pd.DataFrame, name: str) -> Array:
    """Return the column of exposures, all positive."""
    column = frame[name]
    if column.dtype != float:
        raise DataError(f"exposure {quote(name)} must be a column of numbers.")
    values = column.to_numpy()
    bad = np.flatnonzero(values <= 0)
    if bad.size:
        raise DataError(
            f"exposure {quote(name)} must be positive; it is not in {bad.size} "
            f"row(s), {quote_list(bad.tolist())}, counted from 0. Drop or correct them."
        )
    return values
