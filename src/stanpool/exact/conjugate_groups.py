"""Binomial and Poisson groups under conjugate priors, in closed form.

References
----------
.. [1] Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013). Bayesian Data Analysis,
   3rd edition (BDA3): section 2.4 (binomial), 2.6 (Poisson), 5.3 (a population of
   binomial groups).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array, Indices
from stanpool.base.errors import DataError, quote, quote_list
from stanpool.exact.draws import (
    ExactDraws,
    check_positive,
    check_sampling,
    draws_by_group,
)
from stanpool.language.formulas.formula import quote_name
from stanpool.language.model_spec import GroupTerm, ModelSpec

if TYPE_CHECKING:
    import pandas as pd


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
        Parameters of the population distribution.
    """

    factor: str
    labels: tuple[Any, ...]
    successes: Array
    trials: Array
    a: float
    b: float

    @property
    def theta(self) -> Any:
        """The rates: ``Beta(a + successes, b + failures)``, shape ``(J,)``.

        A frozen scipy distribution.
        """
        from scipy import stats  # type: ignore[import-untyped]

        return stats.beta(*self._updated)

    @property
    def log_marginal_likelihood(self) -> float:
        """The log probability of the groups' totals, with the rates integrated out."""
        from scipy import stats

        totals = stats.betabinom(self.trials, self.a, self.b)
        return float(totals.logpmf(self.successes).sum())

    def predictive(self, trials: int, *, new_group: bool = False) -> Any:
        """Return the distribution of successes in further trials.

        Parameters
        ----------
        trials
            The number of trials.
        new_group
            Whether the trials are of a group that is not in the data, and not of each
            group that is.

        Returns
        -------
        scipy.stats distribution
            Frozen, of shape ``(J,)`` or ``()``.
        """
        from scipy import stats

        a, b = (self.a, self.b) if new_group else self._updated
        return stats.betabinom(trials, a, b)

    def draw(
        self, rng: np.random.Generator, *, chains: int = 4, draws: int = 1000
    ) -> ExactDraws:
        """Draw the rates ``theta`` independently.

        Parameters
        ----------
        rng
            The random number generator.
        chains, draws
            Numbers of chains and of draws in each. The draws are independent; chains
            are there for tools that expect them.
        """
        check_sampling(rng, chains=chains, draws=draws, numbers=len(self.labels))
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
        The columns of successes, trials and groups; the rows of a group are summed.
    a, b
        Parameters of the beta distribution: its mean is ``a / (a + b)``, and it counts
        as much as ``a + b`` trials.

    Raises
    ------
    DataError
        If a column is missing, or its values are not of the kind that it needs.
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
        Parameters of the population distribution.
    """

    factor: str
    labels: tuple[Any, ...]
    counts: Array
    exposure: Array
    shape: float
    rate: float

    @property
    def theta(self) -> Any:
        """The rates: ``Gamma(shape + counts, rate + exposure)``, shape ``(J,)``.

        A frozen scipy distribution.
        """
        from scipy import stats

        shape, rate = self._updated
        return stats.gamma(shape, scale=1 / rate)

    @property
    def log_marginal_likelihood(self) -> float:
        """The log probability of the groups' totals, with the rates integrated out."""
        totals = _negative_binomial(self.shape, self.rate, self.exposure)
        return float(totals.logpmf(self.counts).sum())

    def predictive(self, exposure: float = 1.0, *, new_group: bool = False) -> Any:
        """Return the distribution of a further count.

        Parameters
        ----------
        exposure
            The exposure of that count.
        new_group
            Whether the count is of a group that is not in the data, and not of each
            group that is.

        Returns
        -------
        scipy.stats distribution
            Frozen, of shape ``(J,)`` or ``()``.
        """
        check_positive(exposure=exposure)
        shape, rate = (self.shape, self.rate) if new_group else self._updated
        return _negative_binomial(shape, rate, exposure)

    def draw(
        self, rng: np.random.Generator, *, chains: int = 4, draws: int = 1000
    ) -> ExactDraws:
        """Draw the rates ``theta`` independently.

        Parameters
        ----------
        rng
            The random number generator.
        chains, draws
            Numbers of chains and of draws in each. The draws are independent; chains
            are there for tools that expect them.
        """
        check_sampling(rng, chains=chains, draws=draws, numbers=len(self.labels))
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
        The columns of counts and groups; the rows of a group are summed.
    shape, rate
        Parameters of the gamma distribution, whose mean is ``shape / rate``.
    exposure
        The column of exposures, which are positive; by default they are 1.

    Raises
    ------
    DataError
        If a column is missing, or its values are not of the kind that it needs.
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
    """Return the frozen scipy distribution of a Poisson count whose rate is gamma."""
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
            f"exposure {quote(name)} must be positive, and in {bad.size} row(s) it is "
            f"not: {quote_list(bad.tolist())}, counted from 0. Drop or correct them."
        )
    return values
