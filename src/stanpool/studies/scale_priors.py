"""Comparing priors on a population scale.

References
----------
.. [1] Gelman (2006). Prior distributions for variance parameters in hierarchical
   models. Bayesian Analysis 1(3), 515-533: eight schools, and three of them, under a
   uniform and a half-Cauchy prior.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.base.options import EngineChoice
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.inference.estimates.variance import pooling_factors
from stanpool.language.prior import Prior
from stanpool.model.priors.in_force import PriorRow, class_of, resolve_priors
from stanpool.posterior.intervals import describe
from stanpool.posterior.scalars import factor_of_scale, scale_draws, short_label
from stanpool.studies.many.fit_all import fit_all
from stanpool.studies.parameterizations import compare_fits

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from stanpool.api.facade import Fit, Model

# Priors are equivalent if the ratio of posterior means, and the difference of pooling
# factors, are below these.
_ALIKE_SCALES, _ALIKE_POOLING = 1.15, 0.05


@public
@dataclass(frozen=True, eq=False, repr=False)
class ScalePriorComparison:
    """A comparison of fits of one model under several priors on a population scale.

    Parameters
    ----------
    parameter
        The scale, such as ``tau_county[Intercept]``.
    table
        One row per prior, named by its distribution: ``prior``; the posterior ``mean``
        of the scale and its central 90 % interval, ``q5`` and ``q95``; ``pooling``, the
        pooling factor (0 is no pooling, 1 is complete pooling; see
        ``Fit.pooling_factors``); ``divergences`` and ``min_ess_bulk``.
    fits
        The fits by distribution.
    conclusion
        How much the choice of the prior matters, in words.
    """

    parameter: str
    table: pd.DataFrame
    fits: Mapping[str, Fit]
    conclusion: str

    def plot(self) -> Figure:
        """Draw the prior and the posterior of the scale under each prior.

        See ``stanpool.plots.plot_scale_priors``.
        """
        from stanpool.plots import plot_scale_priors

        return plot_scale_priors(self)

    def __str__(self) -> str:
        """Write the table and the conclusion."""
        title, table = short_label(self.parameter), self._cells().to_string(index=False)
        return f"{title}\n\n{table}\n\n{textwrap.fill(self.conclusion, 88)}"

    def __repr__(self) -> str:
        """Write the same, for consoles."""
        return str(self)

    def _repr_html_(self) -> str:
        """Write the same as HTML, with every label escaped."""
        from html import escape

        table = self._cells().to_html(border=0, index=False)
        title = escape(short_label(self.parameter))
        return f"<p>{title}</p>{table}<p>{escape(self.conclusion)}</p>"

    def _cells(self) -> pd.DataFrame:
        """Format the numbers."""
        import pandas as pd

        numbers = self.table
        return pd.DataFrame(
            {
                "prior": numbers["prior"],
                "mean": numbers["mean"].map("{:.3g}".format),
                "90 % interval": [
                    f"{low:.3g} to {high:.3g}"
                    for low, high in zip(numbers["q5"], numbers["q95"], strict=True)
                ],
                "pooling": numbers["pooling"].map("{:.0%}".format),
                "divergences": numbers["divergences"].map("{:,.0f}".format),
                "min_ess_bulk": numbers["min_ess_bulk"].map("{:,.0f}".format),
            }
        )


@public
def compare_scale_priors(
    model: Model,
    *,
    parameter: str | None = None,
    scale: float | None = None,
    chains: int = 4,
    draws: int = 1000,
    warmup: int | None = None,
    seed: int | None = None,
    adapt_delta: float | None = None,
    max_treedepth: int = 10,
    parallel_chains: int | None = None,
    inits: Any = None,
    executor: AnyExecutor | None = None,
    progress: bool = True,
    sample_options: Mapping[str, Any] | None = None,
    engine: EngineChoice = "auto",
) -> ScalePriorComparison:
    """Fit a model under four priors on a population scale, and compare the results.

    The priors are ``uniform(0, 10 S)``, ``half_cauchy(2.5 S)``, ``half_normal(S)`` and
    ``exponential(1 / S)``, where S is taken from the data. Each has its own program, so
    that the first call compiles up to four.

    Parameters
    ----------
    model
        A partially pooled model.
    parameter
        The scale, as ``model.priors`` names it; by default the first.
    scale
        S; by default the mean of the model's default prior. For continuous outcomes
        that is their standard deviation divided by that of the predictor.
    chains, draws, warmup, seed, adapt_delta, max_treedepth, parallel_chains, inits, \
progress, sample_options, engine
        As for ``Model.fit``, the same for each prior.
    executor
        What runs the fits, as for ``fit_many``; by default one fit after the other has
        all cores.

    Raises
    ------
    SpecError
        If the model has no such scale, or S is not positive and finite.

    References
    ----------
    .. [1] Gelman (2006), sections 5.1 and 5.2: the uniform and the half-Cauchy prior.
    """
    row = _scale_row(model, parameter)
    if scale is None:
        default = resolve_priors(replace(model.spec, priors=()), model.design)
        scale = 1.0 / default[row.parameter].prior.arguments[0]
    if not (np.isfinite(scale) and scale > 0):
        raise SpecError(f"scale={scale!r} must be positive and finite.")
    models = {
        prior.distribution: with_prior(model, row.parameter, prior)
        for prior in candidate_priors(scale)
    }
    fits = fit_all(
        models,
        chains=chains,
        draws=draws,
        warmup=warmup,
        seed=seed,
        adapt_delta=adapt_delta,
        max_treedepth=max_treedepth,
        parallel_chains=parallel_chains,
        inits=inits,
        executor=executor,
        progress=progress,
        sample_options=sample_options,
        engine=engine,
    )
    return summarize_scale_priors(row.parameter, fits)


def summarize_scale_priors(
    parameter: str, fits: Mapping[str, Fit]
) -> ScalePriorComparison:
    """Compare fits that differ in the prior on a population scale.

    Parameters
    ----------
    parameter
        The scale, as ``model.priors`` names it.
    fits
        The fits by the names of the priors' distributions.
    """
    import pandas as pd

    table = pd.DataFrame.from_dict(
        {name: _under_prior(fit, parameter) for name, fit in fits.items()},
        orient="index",
    )
    sampling = compare_fits(fits).table[["divergences", "min_ess_bulk"]]
    first = next(iter(fits.values())).model
    return ScalePriorComparison(
        parameter=parameter,
        table=table.join(sampling),
        fits=dict(fits),
        conclusion=_conclusion(first, parameter, table),
    )


def candidate_priors(scale: float) -> tuple[Prior, ...]:
    """Return the four priors on a scale of the order of ``scale``."""
    return (
        Prior("uniform", (0.0, float(f"{10 * scale:.3g}"))),
        Prior("half_cauchy", (float(f"{2.5 * scale:.3g}"),)),
        Prior("half_normal", (float(f"{scale:.3g}"),)),
        Prior("exponential", (float(f"{1 / scale:.3g}"),)),
    )


def _scale_row(model: Model, parameter: str | None) -> PriorRow:
    """Find a population scale among a model's priors."""
    scales = {
        row.parameter: row
        for row in model.priors
        if class_of(row.parameter_class).name == "tau"
    }
    if not scales:
        raise SpecError(
            f"{model!r} has no population scale; only partial pooling has one. "
            "Use model.with_(pooling='partial')."
        )
    name = next(iter(scales)) if parameter is None else parameter
    if name not in scales:
        raise SpecError(
            f"parameter={quote(name)} is not a population scale of {model!r}; its "
            f"scales are {quote_list(scales)}.{suggestion(str(name), scales)}"
        )
    return scales[name]


def with_prior(model: Model, parameter: str, prior: Prior) -> Model:
    """Return the model with another prior on one scale, and the other priors as is."""
    own = {parameter, f"{parameter}^2"}
    others = [(name, each) for name, each in model.spec.priors if name not in own]
    return model.with_(priors=tuple(sorted([*others, (parameter, prior)])))


def _under_prior(fit: Fit, parameter: str) -> dict[str, Any]:
    """Summarize a scale and its pooling factor."""
    row = fit.model.priors[parameter]
    described = describe(scale_draws(fit, parameter))
    pooling = pooling_factors(fit)["pooling"].to_dict()
    return {
        "prior": str(row.prior),
        **{name: float(described[name]) for name in ("mean", "q5", "q95")},
        "pooling": pooling[factor_of_scale(fit.model, row), row.label],
    }


def _conclusion(model: Model, parameter: str, table: pd.DataFrame) -> str:
    """Say whether the prior matters, and what a uniform prior does."""
    name, pooling = short_label(parameter), table["pooling"]
    factor = factor_of_scale(model, model.priors[parameter])
    groups = len(
        next(each.labels for each in model.design.factors if each.factor == factor)
    )
    rows = table.to_dict("index")
    least, most = (rows[at] for at in (table["mean"].idxmin(), table["mean"].idxmax()))
    few = f"With {groups:,} groups ({short_label(factor)})"
    shares = f"groups are pooled by {pooling.min():.0%} to {pooling.max():.0%}"
    if np.ptp(pooling) < _ALIKE_POOLING:
        if most["mean"] < _ALIKE_SCALES * least["mean"]:
            return (
                f"{few} the data decide: the posterior mean of {name} is "
                f"{least['mean']:.3g} to {most['mean']:.3g} and {shares}, whatever the "
                "prior."
            )
        return (
            f"{few} the prior moves the posterior mean of {name}, from "
            f"{least['mean']:.3g} under {least['prior']} to {most['mean']:.3g} under "
            f"{most['prior']}; {shares}, whatever the prior."
        )
    ends = ", and ".join(
        f"{row['mean']:.3g} under {row['prior']}, which pools groups by "
        f"{row['pooling']:.0%}"
        for row in (least, most)
    )
    said = f"{few} the prior decides, too: the posterior mean of {name} is {ends}."
    if pooling.idxmin() == "uniform":
        said += (
            " The uniform prior makes scales far beyond those in the data as likely "
            "as these, and so undoes the pooling."
        )
    return said
