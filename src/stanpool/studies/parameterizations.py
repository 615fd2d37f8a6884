"""Comparing fits: their estimates, how well they were sampled, and how fast."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, check_choice
from stanpool.base.options import EngineChoice, Parameterization
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.data.compression.integrated_rows import why_not_marginal
from stanpool.inference.diagnostics.checks import (
    E_BFMI,
    few_divergences,
    measure_mixing,
)
from stanpool.inference.estimates.summary import summary
from stanpool.posterior.convergence import R_HAT, bfmi
from stanpool.posterior.scalars import short_label
from stanpool.studies.many.fit_all import fit_all

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from stanpool.api.facade import Fit, Model

_ALIKE = 1.25  # ratio of speeds below which two fits are called equally fast


@public
@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """A comparison of fits.

    Parameters
    ----------
    table
        One row per fit: ``divergences``, ``max_r_hat``, ``min_ess_bulk`` and
        ``min_ess_tail`` over all quantities, ``ess_per_second`` (the smaller of these
        two divided by the wall time of sampling), ``min_e_bfmi``, ``max_tree_depth``,
        ``mean_leapfrog_steps`` and ``seconds``.
    estimates
        One row per population parameter: for each fit its posterior ``mean`` and
        ``sd``, which are missing if a fit does not have the parameter.
    fits
        The fits by name.
    advice
        Which parameterization to use, and why; empty if there is no choice.
    """

    table: pd.DataFrame
    estimates: pd.DataFrame
    fits: Mapping[str, Fit]
    advice: str

    def plot(
        self,
        *,
        factor: str | None = None,
        coefficient: str | None = None,
        group: str | None = None,
    ) -> Figure:
        """Draw the funnels of the partially pooled fits side by side.

        See ``stanpool.plots.plot_funnel``.
        """
        from stanpool.plots import plot_funnel

        return plot_funnel(
            _partial(self.fits), factor=factor, coefficient=coefficient, group=group
        )

    def __str__(self) -> str:
        """Write one column per fit: estimates as mean (sd), then how it was sampled."""
        text = self._cells().to_string()
        return f"{text}\n\n{textwrap.fill(self.advice, 88)}".rstrip()

    def __repr__(self) -> str:
        """Write the same, for consoles."""
        return str(self)

    def _repr_html_(self) -> str:
        """Write the same as HTML, with every label escaped."""
        from html import escape

        return self._cells().to_html(border=0) + f"<p>{escape(self.advice)}</p>"

    def _cells(self) -> pd.DataFrame:
        """Format all numbers, with a row per quantity and a column per fit."""
        import pandas as pd

        cells = [
            [
                *(mean_sd(*row) for row in self.estimates[name].to_numpy()),
                *(form.format(self.table.loc[name, of]) for of, form in _CELLS.items()),
            ]
            for name in self.fits
        ]
        return pd.DataFrame(
            dict(enumerate(cells)),
            index=[short_label(each) for each in (*self.estimates.index, *_CELLS)],
        ).set_axis([short_label(name) for name in self.fits], axis=1)


_CELLS = {
    "divergences": "{:,.0f}",
    "max_r_hat": "{:.3f}",
    "min_ess_bulk": "{:,.0f}",
    "min_ess_tail": "{:,.0f}",
    "ess_per_second": "{:,.0f}",
    "min_e_bfmi": "{:.2f}",
    "max_tree_depth": "{:.0f}",
    "mean_leapfrog_steps": "{:.1f}",
    "seconds": "{:.1f}",
}


@public
def compare_fits(fits: Mapping[str, Fit]) -> Comparison:
    """Compare the estimates of several fits, and how they were sampled.

    Parameters
    ----------
    fits
        Fits by name, such as ``{"complete": a, "partial": b}``.

    Raises
    ------
    SpecError
        If there is no fit.
    """
    import pandas as pd

    if not fits:
        raise SpecError("fits={} is empty; pass at least one fit by name.")
    table = pd.DataFrame.from_dict(
        {name: _sampling(fit) for name, fit in fits.items()}, orient="index"
    )
    estimates = pd.concat(
        {
            name: summary(fit, groups=False)[["mean", "sd"]]
            for name, fit in fits.items()
        },
        axis=1,
        sort=False,
    )
    return Comparison(
        table=table,
        estimates=estimates.loc[sorted(estimates.index, key=_place)],
        fits=dict(fits),
        advice=_advice(table.loc[list(_partial(fits))]),
    )


@public
def compare_parameterizations(
    model: Model,
    *,
    parameterizations: Sequence[Parameterization] | None = None,
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 1000,
    seed: int | None = None,
    adapt_delta: float | None = None,
    max_treedepth: int = 10,
    parallel_chains: int | None = None,
    inits: Any = None,
    executor: AnyExecutor | None = None,
    progress: bool = True,
    sample_options: Mapping[str, Any] | None = None,
    engine: EngineChoice = "auto",
) -> Comparison:
    """Fit a model in several parameterizations, and say which one samples best.

    Parameters
    ----------
    model
        A partially pooled model.
    parameterizations
        The parameterizations to fit; by default centered, noncentered, adaptive and, if
        the model allows it, marginal.
    chains, draws, warmup, seed, adapt_delta, max_treedepth, parallel_chains, inits, \
progress, sample_options, engine
        As for ``Model.fit``, the same for each parameterization.
    executor
        What runs the fits, as for ``fit_many``; by default one fit after the other has
        all cores.

    Raises
    ------
    SpecError
        If the model is not partially pooled, or a parameterization is unknown.
    """
    if model.spec.pooling != "partial":
        raise SpecError(
            f"{model!r} has no parameterizations to compare: pooling is "
            f"{model.spec.pooling!r}. Use model.with_(pooling='partial')."
        )
    if parameterizations is None:
        exact = not why_not_marginal(model.spec, model.design)
        forms = get_args(Parameterization)[1:]  # without "auto"
        parameterizations = forms if exact else forms[:-1]
    for form in parameterizations:
        check_choice("parameterizations", form, get_args(Parameterization)[1:])
    forms_of = {form: model.with_(parameterization=form) for form in parameterizations}
    return compare_fits(
        fit_all(
            forms_of,
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
    )


_OF_CHAINS = (
    *("divergences", "max_r_hat", "min_ess_bulk", "min_ess_tail", "ess_per_second"),
    *("min_e_bfmi", "max_tree_depth", "mean_leapfrog_steps"),
)


def _sampling(fit: Fit) -> dict[str, float]:
    """Measure how well and how fast a fit was sampled."""
    mixed = measure_mixing(fit)
    stats = fit.sample_stats
    if fit.approximation is not None:  # which has no chains
        return dict.fromkeys(_OF_CHAINS, float("nan")) | {"seconds": fit.seconds}
    bulk, tail = np.fmin.reduce(mixed.ess_bulk), np.fmin.reduce(mixed.ess_tail)
    return {
        "divergences": int(stats["diverging"].sum()),
        "max_r_hat": float(np.fmax.reduce(mixed.r_hat)),
        "min_ess_bulk": float(bulk),
        "min_ess_tail": float(tail),
        "ess_per_second": float(min(bulk, tail) / fit.seconds),
        "min_e_bfmi": float(bfmi(stats["energy"].to_numpy()).min()),
        "max_tree_depth": int(stats["tree_depth"].max()),
        "mean_leapfrog_steps": float(stats["n_steps"].mean()),
        "seconds": fit.seconds,
    }


_ORDER = ("Intercept", "beta", "tau", "Omega", "sigma")


def _place(label: str) -> int:
    """Return the place of a label, from the intercept to the residual scale."""
    starts = [label.startswith(start) for start in _ORDER]
    return starts.index(True) if any(starts) else len(_ORDER)


def _partial(fits: Mapping[str, Fit]) -> dict[str, Fit]:
    return {name: fit for name, fit in fits.items() if fit.model.parameterization}


def mean_sd(mean: float, sd: float) -> str:
    """Write a mean and, in parentheses, its sd, with two digits of the sd."""
    if not np.isfinite(mean):
        return ""
    digits = int(np.clip(1 - np.floor(np.log10(sd)), 0, 6)) if sd > 0 else 2
    rounded = round(mean, digits) + 0.0  # without the sign of -0.0
    return f"{rounded:.{digits}f} ({sd:.{digits}f})"


def _advice(table: pd.DataFrame) -> str:
    """Say which of several partially pooled fits to use."""
    if len(table) < 2:
        return ""
    names, rates = list(table.index), table["ess_per_second"]
    divergences, r_hat = table["divergences"], table["max_r_hat"]
    many = divergences.where(divergences > few_divergences(table["min_ess_bulk"]), 0)
    sound = (many == 0) & (r_hat <= R_HAT) & (table["min_e_bfmi"] >= E_BFMI)
    first, second = sorted(
        names, key=lambda name: (not sound[name], many[name], -rates[name])
    )[:2]
    measured = "effective draws per second: " + ", ".join(
        f"{short_label(name)} {rates[name]:,.0f}" for name in (first, second)
    )
    if divergences[second]:
        plural = "s" if divergences[second] > 1 else ""
        measured += f" with {divergences[second]:,.0f} divergence{plural}"
    elif r_hat[second] > R_HAT:
        measured += f" with R-hat up to {r_hat[second]:.3f}"
    if not sound[first]:
        return (
            f"None passes all checks. Go on from {short_label(first)} and follow its "
            f"diagnosis; {measured}."
        )
    if sound[second] and rates[first] < _ALIKE * rates[second]:
        return f"Both serve equally well; {measured}."
    return f"Take {short_label(first)}; {measured}."
