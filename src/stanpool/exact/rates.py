r"""Rates of groups without partial pooling: exact posteriors by quadrature.

With no pooling, and with fixed hyperparameters, the groups are independent: each log
odds or log rate has a normal prior and an integral of its own,

.. math:: y_j \sim \text{Binomial}(n_j, \operatorname{logit}^{-1} \theta_j)
          \text{ or } \text{Poisson}(e_j \exp \theta_j), \quad
          \theta_j \sim N(m, s^2).

With complete pooling there is one such integral. These are the counterparts of
``beta_binomial`` and ``gamma_poisson`` with the priors of models that Stan fits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError
from stanpool.exact.draws import (
    ExactDraws,
    check_positive,
    check_sampling,
    labelled_draws,
)
from stanpool.exact.panels import TauPosterior, integrate_scale
from stanpool.exact.priors import normal_prior
from stanpool.language.family import FAMILIES

if TYPE_CHECKING:
    from stanpool.api.facade import Model


@public
@dataclass(frozen=True, eq=False)
class RatesPosterior:
    """The posterior of the odds, or rates, of independent groups.

    Attributes
    ----------
    model
        The model.
    rates
        The marginal posterior of the odds or rate of each group; a single one with
        complete pooling.
    """

    model: Model
    rates: tuple[TauPosterior, ...]

    def draw(
        self, rng: np.random.Generator, *, chains: int = 4, draws: int = 1000
    ) -> ExactDraws:
        """Draw the log odds or log rates independently.

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
            The variables of a ``Fit`` of the model.
        """
        check_sampling(rng, chains=chains, draws=draws, numbers=len(self.rates))
        uniform = rng.uniform(size=(len(self.rates), chains, draws))
        theta = np.log(
            [rate.ppf(each) for rate, each in zip(self.rates, uniform, strict=True)]
        )
        theta = np.moveaxis(theta, 0, -1)
        own = bool(self.model.design.factors)
        return labelled_draws(
            self.model,
            {"b": theta[..., None]} if own else {"alpha": theta[..., 0]},
            method="quadrature",
            source="one integral for each group",
        )


@public
def rates(model: Model, *, tolerance: float = 1e-9) -> RatesPosterior:
    """Find the posterior of rates with complete or no pooling.

    Parameters
    ----------
    model
        Bernoulli or binomial with the logit link, or Poisson, without predictors, and
        with ``pooling="complete"`` or ``"none"``. Hyperparameters that are ``fixed``
        make up the prior of the groups. The prior must be normal.
    tolerance
        The error allowed in a probability.

    Raises
    ------
    SpecError
        If the model is of another kind, or its prior is not normal.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("hits | trials(at_bats) ~ 1 + (1 | player)",
    ...                  sp.load_dataset("baseball"), family="binomial", pooling="none",
    ...                  fixed={"Intercept": -1.1, "tau_player": 0.2})
    >>> odds = rates(model).rates[0].ppf(0.5)  # of Max Alvis
    >>> round(float(odds / (1 + odds)), 3)
    0.237
    """
    check_positive(tolerance=tolerance)
    _refuse_other_models(model)
    design = model.design
    groups = design.factors[0].index if design.factors else np.zeros(design.rows, int)
    prior = normal_prior(model, "b" if design.factors else "Intercept")
    mean, precision = float(prior.mean[0]), float(prior.precision[0])
    trials = np.ones(design.rows) if design.trials is None else design.trials
    of_poisson = _is_of_rates(model)
    if of_poisson and design.offset is not None:
        trials = np.exp(design.offset)

    def posterior(successes: float, size: float) -> TauPosterior:
        def log_density(theta: Array) -> Array:
            spent = np.exp(theta) if of_poisson else np.logaddexp(0, theta)
            misfit = 0.5 * precision * (theta - mean) ** 2
            return np.asarray(successes * theta - size * spent - misfit)

        return integrate_scale(log_density, mean, 0, tolerance)

    totals = zip(
        np.bincount(groups, design.y.astype(float)),
        np.bincount(groups, trials),
        strict=True,
    )
    return RatesPosterior(model, tuple(posterior(*each) for each in totals))


def _is_of_rates(model: Model) -> bool:
    """Whether a sum of outcomes is a count without a number of trials."""
    sums = FAMILIES[model.spec.family].sums
    return sums is not None and "trials" not in FAMILIES[sums].parts


def _refuse_other_models(model: Model) -> None:
    """Refuse what is not a rate for each group."""
    spec, design = model.spec, model.design
    factors = [factor.varying == ("Intercept",) for factor in design.factors]
    fits = (
        FAMILIES[spec.family].sums is not None
        and FAMILIES[spec.family].canonical_link == spec.link_name
        and spec.pooling != "partial"
        and factors in ([], [True])
        and design.intercept is not bool(factors)
        and not design.coefficients
        and all(part is None for part in (spec.weights, spec.cens, spec.trunc))
        and (design.offset is None or _is_of_rates(model))
        and all(factor.weights is None for factor in design.factors)
        and not (design.special or design.smooths)
    )
    if not fits:
        raise SpecError(
            f"{model!r} is not a model that rates solves; it solves bernoulli, "
            "binomial and poisson models without predictors, with complete or no "
            "pooling."
        )
