"""Comparing a fit with draws of the same posterior that are made without Stan.

Posteriors agree if their means and standard deviations do, within Monte Carlo error.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote
from stanpool.posterior.convergence import R_HAT, mixing
from stanpool.posterior.scalars import scalars, short_label

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.api.facade import Fit, Model
    from stanpool.exact.draws import ExactDraws

_CHAINS = 4
_FEWEST = 100  # draws of a chain
_GAPS = ["mean_gap", "sd_gap"]
_SHOWN = 5
_WIDTH = 88


@dataclass(frozen=True, eq=False, repr=False)
class Validation:
    """How a fit compares with an exact or Gibbs sampler of the same posterior.

    Attributes
    ----------
    subject
        The model that was fitted.
    counterpart
        How the other draws were made, and the source of the formulas; None if the model
        has no such sampler.
    reason
        Why it has none.
    table
        One row per quantity: ``mean`` and ``sd`` of the fit, ``exact_mean`` and
        ``exact_sd`` of the counterpart, and ``mean_gap`` and ``sd_gap``, their
        differences in Monte Carlo standard errors (of both together). The largest
        differences come first.
    limit
        The gap that no comparison exceeds, with probability ``level``, if both samplers
        have the same posterior.
    level
        That probability.
    mixed
        The largest R-hat of the counterpart's draws.
    """

    subject: str
    counterpart: str | None
    reason: str
    table: pd.DataFrame
    limit: float
    level: float
    mixed: float

    @property
    def ok(self) -> bool | None:
        """Whether both agree; None if there is no other sampler."""
        if self.counterpart is None:
            return None
        # A missing value counts as disagreement.
        return bool((self.table[_GAPS].abs() <= self.limit).to_numpy().all())

    @property
    def largest(self) -> Mapping[str, float]:
        """The largest gap of the means, and of the standard deviations."""
        mean, sd = self.table[_GAPS].abs().max()
        return {"mean": float(mean), "sd": float(sd)}

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        if self.counterpart is None:
            return f"{self.subject}: not validated. {self.reason}"
        agrees = "agrees" if self.ok else "does not agree"
        return f"{self.subject}: {agrees} with {self.counterpart}."

    def __str__(self) -> str:
        """Write the verdict and the largest differences."""
        lines = [*textwrap.wrap(self.verdict, _WIDTH), ""]
        for sentence in self._sentences():
            lines += textwrap.wrap(f"* {sentence}", _WIDTH, subsequent_indent="  ")
        return "\n".join(lines).rstrip()

    def __repr__(self) -> str:
        """Write the same, for consoles."""
        return str(self)

    def _repr_html_(self) -> str:
        """Write the same as HTML, with every label escaped."""
        items = "".join(f"<li>{escape(each)}</li>" for each in self._sentences())
        return f"<p><b>{escape(self.verdict)}</b></p><ul>{items}</ul>"

    def _sentences(self) -> list[str]:
        """Say how large the differences are, and for which quantities."""
        if self.counterpart is None:
            return ["sbc(model) tests the program of any model."]
        said = [
            f"Over {len(self.table)} quantities, the largest difference of means is "
            f"{self.largest['mean']:.1f} Monte Carlo standard errors, and that of "
            f"standard deviations {self.largest['sd']:.1f}. If both are correct, all "
            f"are below {self.limit:.1f} with probability {self.level:g}."
        ]
        differs = ~(self.table[_GAPS].abs() <= self.limit).all(axis=1)
        for label, row in self.table[differs].head(_SHOWN).iterrows():
            said.append(
                f"{short_label(label)}: the mean is {row['mean']:.4g} and should be "
                f"{row['exact_mean']:.4g} ({row['mean_gap']:+.1f} standard errors); "
                f"the sd is {row['sd']:.4g} and should be {row['exact_sd']:.4g} "
                f"({row['sd_gap']:+.1f})."
            )
        if self.mixed > R_HAT:
            said.append(
                "The chains of the other sampler have not converged (R-hat "
                f"{self.mixed:.2f}), so that the comparison cannot be trusted: use "
                "more draws."
            )
        return said


@public
def validate(
    fit: Fit, *, draws: int = 2000, seed: int | None = None, level: float = 0.99
) -> Validation:
    """Compare a fit with an exact or Gibbs sampler of the same posterior.

    These models have such a sampler, if the priors on coefficients are normal:

    * partially pooled gaussian models ``y | se(s) ~ 1 + (1 | g)``
      (``exact.known_sigma``) and ``y ~ x + (1 | g)`` (``exact.gibbs``);
    * gaussian models with complete or no pooling that have one residual scale or known
      standard errors (``exact.linear``);
    * bernoulli, binomial and poisson models without predictors, with complete or no
      pooling (``exact.rates``).

    For other models the result says that there is none.

    Parameters
    ----------
    fit
        A fit of the posterior.
    draws
        The number of draws of each of the other sampler's four chains.
    seed
        The seed of the other sampler, which is drawn at random if None.
    level
        The probability that a correct fit passes.

    Raises
    ------
    SpecError
        If the fit is of the prior only, or an argument is out of its range.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> print(sp.validate(model.fit(seed=1)))  # doctest: +SKIP
    """
    if not 0 < level < 1:
        raise SpecError(f"level={quote(level)} must be between 0 and 1, such as 0.99.")
    if fit.prior_only:
        raise SpecError(
            "the fit is of the prior only, which model.prior_predictive() draws "
            "exactly; validate a fit of the posterior."
        )
    if draws < _FEWEST:
        raise SpecError(f"draws={draws} must be a whole number, {_FEWEST} or more.")
    try:
        other = _counterpart(fit.model, draws, np.random.default_rng(seed))
    except SpecError as error:
        return Validation(
            subject=repr(fit.model),
            counterpart=None,
            reason=f"No exact or Gibbs sampler has this posterior: {error}",
            table=_moments(fit.posterior)[["mean", "sd"]],
            limit=np.nan,
            level=level,
            mixed=np.nan,
        )
    ours = _moments(fit.posterior)
    # The same order, since labels need not be unique.
    theirs = _moments(other.posterior[list(fit.posterior.data_vars)])
    table = _compared(ours, theirs)
    return Validation(
        subject=repr(fit.model),
        counterpart=f"{other.method} ({other.source})",
        reason="",
        table=table,
        limit=NormalDist().inv_cdf(1 - (1 - level) / (4 * len(table))),
        level=level,
        mixed=float(theirs["r_hat"].max()),
    )


def _counterpart(model: Model, draws: int, rng: np.random.Generator) -> ExactDraws:
    """Draw from the model's posterior without Stan.

    Raises
    ------
    SpecError
        If there is no sampler for the model.
    """
    from stanpool.exact import gibbs, known_sigma, linear, rates

    if model.spec.pooling != "partial":
        solve = linear if model.spec.is_gaussian else rates
        return solve(model).draw(rng, chains=_CHAINS, draws=draws)
    if model.spec.se is not None:
        return known_sigma(model).draw(rng, chains=_CHAINS, draws=draws)
    return gibbs(model, rng, chains=_CHAINS, draws=draws)


def _moments(posterior: xr.Dataset) -> pd.DataFrame:
    """Return the mean and sd of each quantity, and their Monte Carlo errors."""
    import pandas as pd

    tables = []
    for each in scalars(posterior):
        mean = each.draws.mean(axis=(0, 1))
        squares = (each.draws - mean) ** 2
        sd = np.sqrt(squares.mean(axis=(0, 1)))
        mixed = mixing(each.draws)
        columns = {
            "mean": mean,
            "sd": sd,
            "mean_error": mixed["mcse_mean"],
            # The derivative of a square root.
            "sd_error": mixing(squares)["mcse_mean"] / (2 * sd),
            "r_hat": mixed["r_hat"],
        }
        tables.append(pd.DataFrame(columns, index=pd.Index(each.labels, dtype=object)))
    return pd.concat(tables)


def _compared(ours: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Compare the same quantities; those that differ most come first."""
    import pandas as pd

    table = pd.DataFrame(index=ours.index)
    for what in ("mean", "sd"):
        error = np.hypot(ours[f"{what}_error"].array, theirs[f"{what}_error"].array)
        table[what] = ours[what]
        table[f"exact_{what}"] = theirs[what].array
        table[f"{what}_gap"] = (ours[what] - theirs[what].array) / error
    order = np.argsort(-table[_GAPS].abs().max(axis=1).to_numpy(), kind="stable")
    return table.iloc[order]
