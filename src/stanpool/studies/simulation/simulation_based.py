"""Simulation-based calibration: whether a program recovers simulated parameters.

Parameters that are drawn from the prior, and outcomes that are drawn given them, have
the same joint distribution as posterior draws and these outcomes. So the rank of the
true parameters among the posterior draws is uniform if the program is correct.

References
----------
.. [1] Talts, Betancourt, Simpson, Vehtari and Gelman (2018). Validating Bayesian
   inference algorithms with simulation-based calibration. arXiv:1804.06788.
.. [2] Modrák, Moon, Kim, Bürkner, Huurre, Faltejsková, Gelman and Vehtari (2025).
   Simulation-based calibration checking for Bayesian computation: the choice of test
   quantities shapes sensitivity. Bayesian Analysis 20(2), 461-488: without a quantity
   that depends on the data, such as the log likelihood, a posterior that ignores the
   data passes.
.. [3] Säilynoja, Bürkner and Vehtari (2022). Graphical test for discrete uniformity and
   its applications in goodness-of-fit evaluation and multiple sample comparison.
   Statistics and Computing 32, 32.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from html import escape
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.errors import DataError, SamplingError, SpecError, quote, quote_list
from stanpool.base.options import RankFigure
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.base.system.parallel import run_on_cores
from stanpool.engine.study import StudyEngine
from stanpool.inference.evaluation.uniformity import uniformity_p_values
from stanpool.inference.prediction.predict import log_lik_chunks
from stanpool.inference.prediction.prior_predictive import (
    Drawn,
    draw_prior,
    simulate_outcomes,
)
from stanpool.posterior.convergence import mixing
from stanpool.posterior.scalars import scalars, short_label
from stanpool.sampling.choose_engine import compile_if_it_pays
from stanpool.sampling.sample import sample_model
from stanpool.sampling.settings import settings_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from stanpool.api.facade import Fit, Model

LOG_LIKELIHOOD = "log likelihood"

_KEPT = 99  # draws of each fit, so that there are a hundred ranks
_FEWEST, _MOST = 20, 100_000
_MOST_TRIES = 50
_SHOWN = 8
_WIDTH = 88


@public
@dataclass(frozen=True, eq=False, repr=False)
class Calibration:
    """What simulation-based calibration found.

    Attributes
    ----------
    subject
        The model whose program was checked.
    ranks
        For each simulation (rows) and each quantity (columns), the number of kept
        posterior draws below the true value. The quantities are all parameters and the
        log likelihood of the simulated data.
    draws
        The number of draws that are kept of each fit, which is the largest rank.
    fits
        One row per fit: ``divergences``, ``max_r_hat``, ``min_ess_bulk``, ``seconds``,
        and the number of data sets that were ``redrawn`` because Stan cannot represent
        them.
    failures
        The reasons for which fits failed, by the number of the simulation.
    level
        The probability that a correct program passes.
    """

    subject: str
    ranks: pd.DataFrame
    draws: int
    fits: pd.DataFrame
    failures: Mapping[int, str]
    level: float

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row per quantity, the least uniform first.

        ``p_value`` is exact for one quantity; ``adjusted`` is adjusted for the number
        of quantities (Bonferroni). ``mean`` is the mean of the ranks on (0, 1), which
        is 0.5 if they are uniform; ``spread`` is their variance divided by that of the
        uniform distribution; ``finding`` says how they deviate.
        """
        import pandas as pd

        ranks = self.ranks.to_numpy()
        u = (ranks + 0.5) / (self.draws + 1)
        p_values = uniformity_p_values(ranks, self.draws)
        adjusted = np.minimum(1.0, p_values * len(p_values))
        uniform = (1 - (self.draws + 1.0) ** -2) / 12
        mean, spread = u.mean(axis=0), np.mean((u - 0.5) ** 2, axis=0) / uniform
        return pd.DataFrame(
            {
                "p_value": p_values,
                "adjusted": adjusted,
                "mean": mean,
                "spread": spread,
                "finding": [
                    _finding(m, s, len(ranks)) if p < 1 - self.level else ""
                    for p, m, s in zip(adjusted, mean, spread, strict=True)
                ],
            },
            index=self.ranks.columns,
        ).sort_values("p_value", kind="stable")

    @property
    def ok(self) -> bool:
        """Whether all ranks are uniform, and all simulated data sets were fitted."""
        return not self.failures and bool((self.table["finding"] == "").all())

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        wrong = int((self.table["finding"] != "").sum())
        simulations, quantities = self.ranks.shape
        if wrong:
            return (
                f"{self.subject}: not calibrated. {wrong} of {quantities} quantities "
                f"have ranks that are not uniform in {simulations} simulations."
            )
        of = f"{simulations} simulations of {quantities} quantities"
        if self.failures:
            total = simulations + len(self.failures)
            return (
                f"{self.subject}: no error found in {of}, but {len(self.failures)} of "
                f"{total} fits failed."
            )
        return f"{self.subject}: calibrated, as far as {of} can tell."

    def plot(self, *, kind: RankFigure = "ecdf", quantities: Any = None) -> Figure:
        """Draw the ranks. See ``stanpool.plots.plot_calibration``."""
        from stanpool.plots import plot_calibration

        return plot_calibration(self, kind=kind, quantities=quantities)

    def __str__(self) -> str:
        """Write the verdict, what is wrong, and how the fits were sampled."""
        lines = [*textwrap.wrap(self.verdict, _WIDTH), ""]
        for sentence in self._sentences():
            lines += textwrap.wrap(f"* {sentence}", _WIDTH, subsequent_indent="  ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Write the same, for consoles."""
        return str(self)

    def _repr_html_(self) -> str:
        """Write the same as HTML, with every label escaped."""
        items = "".join(f"<li>{escape(each)}</li>" for each in self._sentences())
        return f"<p><b>{escape(self.verdict)}</b></p><ul>{items}</ul>"

    def _sentences(self) -> list[str]:
        """Say what is wrong, and how the fits were sampled."""
        table = self.table
        wrong = table[table["finding"] != ""]
        said = [
            f"{short_label(label)}: {row.finding} (p = {row.p_value:.1g}; adjusted for "
            f"{len(table)} quantities, {row.adjusted:.1g})."
            for label, row in wrong.head(_SHOWN).iterrows()
        ]
        if len(wrong) > _SHOWN:
            said.append(f"{len(wrong) - _SHOWN} more are in .table.")
        if not len(wrong) and len(table):
            label, worst = next(table.iterrows())
            said.append(
                f"The least uniform ranks are those of {short_label(label)}, with p = "
                f"{worst.p_value:.2g}; the smallest of {len(table)} p-values is that "
                f"small with probability at most {worst.adjusted:.2g}. A correct "
                f"program passes with probability at least {self.level:g}."
            )
        said += _sampling_sentences(self.fits, self.draws)
        for number, reason in list(self.failures.items())[:3]:
            said.append(f"Simulation {number} could not be fitted: {reason}")
        return said


@public
def sbc(
    model: Model,
    *,
    simulations: int = 200,
    draws: int = 1000,
    warmup: int = 500,
    adapt_delta: float = 0.9,
    max_treedepth: int = 10,
    seed: int | None = None,
    executor: AnyExecutor | None = None,
    progress: bool = True,
    level: float = 0.99,
) -> Calibration:
    """Check the program of a model with data that are simulated from its prior.

    Each simulation draws parameters from the prior and outcomes given them, both in
    NumPy, and fits the outcomes with one chain. The program is compiled once. A data
    set that Stan cannot represent, such as counts beyond its integers, is drawn again,
    which leaves the ranks uniform.

    Parameters
    ----------
    model
        The model. Its priors must be proper, and narrow enough to give data sets that
        can be fitted. Priors that were scaled by the data are not changed. The outcome
        is not used.
    simulations
        The number of data sets to simulate and fit, from 20 to 100,000.
    draws, warmup, adapt_delta, max_treedepth
        Settings of the one chain of each fit, as for ``Model.fit``. Of the draws, 99
        that are evenly spaced are kept, so that they are nearly independent.
    seed
        From 0 to 2**32 - 1; drawn at random if None. The results do not depend on the
        executor.
    executor
        What runs the fits, as for ``fit_many``; by default there are as many at a time
        as cores.
    progress
        Whether to show a progress bar on standard error.
    level
        The probability that a correct program passes for all quantities together.

    Raises
    ------
    SpecError
        If a prior is improper, rows are weighted or censored, or an argument is out of
        its range.
    DataError
        If the priors hardly ever give data that Stan can represent.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> print(sbc(model, simulations=200, seed=1))  # doctest: +SKIP
    """
    import pandas as pd

    _refuse_what_does_not_simulate(model, simulations, level)
    settings: dict[str, Any] = {
        "draws": draws,
        "warmup": warmup,
        "adapt_delta": adapt_delta,
        "max_treedepth": max_treedepth,
        "threads_per_chain": 1,
    }
    to_be_fitted = [(model, settings_of(model, chains=1, seed=0, **settings))]
    engine = compile_if_it_pays(to_be_fitted, fits=simulations, progress=progress)
    children = np.random.SeedSequence(seed).spawn(simulations)
    results = run_on_cores(
        partial(_simulate_and_fit, model, settings, engine),
        children,
        title=f"Calibrating by {simulations} fits",
        executor=executor,
        progress=progress,
    )
    done = {number: each for number, each in enumerate(results) if each.ranks}
    if not done:
        raise SamplingError(
            f"none of {simulations} simulated data sets could be fitted; the first: "
            f"{results[0].failure}"
        )
    index = pd.Index(done, name="simulation")
    return Calibration(
        subject=repr(model),
        ranks=pd.DataFrame([each.ranks for each in done.values()], index=index),
        draws=min(_KEPT, draws),
        fits=pd.DataFrame([each.sampling for each in done.values()], index=index),
        failures={
            number: each.failure
            for number, each in enumerate(results)
            if each.failure is not None
        },
        level=level,
    )


@dataclass(frozen=True, eq=False)
class _Result:
    """The ranks of one simulation, and how it was sampled; or why it failed."""

    ranks: Mapping[str, int]
    sampling: Mapping[str, float]
    failure: str | None = None


def _simulate_and_fit(
    general: Model,
    settings: Mapping[str, Any],
    engine: StudyEngine,
    seed: np.random.SeedSequence,
) -> _Result:
    """Draw parameters and outcomes, fit the outcomes, and rank the parameters."""
    rng = np.random.default_rng(seed)
    truth, model, redrawn = _simulate(general, rng)
    own = settings_of(model, chains=1, seed=int(rng.integers(2**32)), **settings)
    try:
        fit = sample_model(
            model, own, prior_only=False, of_study=engine, progress=False
        )
    except SamplingError as error:
        return _Result({}, {}, quote(str(error), 300))
    total = fit.posterior.sizes["draw"]
    kept = (np.arange(min(_KEPT, total)) * total) // min(_KEPT, total)
    known = _quantities(model, truth)
    found = _quantities(model, fit.posterior.isel(draw=kept))
    missing = known.keys() ^ found.keys()
    if missing:
        raise SpecError(
            "the fit and the prior do not have the same parameters: "
            f"{quote_list(missing)}."
        )
    mixed = [
        mixing(each.draws) for each in scalars(fit.posterior) if each.draws.shape[2]
    ]
    return _Result(
        {name: _rank(known[name][0], found[name], rng) for name in known},
        {
            "divergences": int(fit.sample_stats["diverging"].sum()),
            "max_r_hat": float(np.nanmax(np.concatenate([m["r_hat"] for m in mixed]))),
            "min_ess_bulk": float(
                np.nanmin(np.concatenate([m["ess_bulk"] for m in mixed]))
            ),
            "seconds": fit.seconds,
            "redrawn": redrawn,
        },
    )


def _simulate(model: Model, rng: np.random.Generator) -> tuple[xr.Dataset, Model, int]:
    """Draw parameters, and the model of outcomes given them; count the failures.

    Whether a data set is used depends on the data alone, so that the posterior given
    them does not change.
    """
    problem: DataError | None = None
    for redrawn in range(_MOST_TRIES):
        truth = draw_prior(model, 1, rng)
        try:
            y = simulate_outcomes(model, truth, rng)
            if y.attrs.get("beyond", 0):
                raise DataError("outcomes overflow.")
            return truth, model.with_outcome(y.to_numpy()[0, 0]), redrawn
        except DataError as error:
            problem = error
    raise DataError(
        f"Stan can represent none of {_MOST_TRIES} data sets that were simulated from "
        f"the prior. The last of them: {problem} Use narrower priors."
    )


def _quantities(model: Model, draws: xr.Dataset) -> dict[str, Any]:
    """Return the draws of each parameter and of the log likelihood, by label."""
    found = {
        label: each.draws[0, :, place]
        for each in scalars(draws)
        for place, label in enumerate(each.labels)
    }
    chunks = log_lik_chunks(cast("Fit", Drawn(model, draws)))
    total = sum(np.sum(part, axis=-1) for _, part in chunks)
    return found | {LOG_LIKELIHOOD: np.asarray(total)[0]}


def _rank(truth: float, draws: Any, rng: np.random.Generator) -> int:
    """Count the draws below the truth, with a random share of those equal to it."""
    ties = int(np.sum(draws == truth))
    return int(np.sum(draws < truth)) + int(rng.integers(ties + 1))


def _refuse_what_does_not_simulate(
    model: Model, simulations: int, level: float
) -> None:
    """Refuse models that do not say how data arise, and arguments out of range."""
    whole = isinstance(simulations, int | np.integer) and not isinstance(
        simulations, bool
    )
    if not whole or not _FEWEST <= simulations <= _MOST:
        raise SpecError(
            f"simulations={quote(simulations)} must be a whole number from {_FEWEST} "
            f"to {_MOST:,}; 200 are usually enough."
        )
    if not 0 < level < 1:
        raise SpecError(f"level={quote(level)} must be between 0 and 1, such as 0.99.")
    draw_prior(model, 1, np.random.default_rng(0))  # refuses improper priors
    for each in model.spec.uncertain:
        raise SpecError(
            f"{each.name}: what was observed of {quote(each.column)} is an outcome of "
            "the model, too, and is not simulated, so that ranks would not be uniform. "
            f"Calibrate the model with {each.column} in its place."
        )
    for part, why in (
        ("weights", "weights multiply the likelihood, and do not say how data arise"),
        ("cens", "which outcomes are censored depends on more than the model"),
    ):
        if getattr(model.spec, part) is not None:
            raise SpecError(
                f"{part}={quote(getattr(model.spec, part))}: {why}, so there is "
                f"nothing to simulate. Calibrate the model without {part}."
            )


def _finding(mean: float, spread: float, simulations: int) -> str:
    """Say in which way ranks are not uniform."""
    # In standard errors of the mean and the mean square of uniform numbers.
    z_mean = (mean - 0.5) * np.sqrt(12 * simulations)
    z_spread = (spread - 1) / 12 * np.sqrt(180 * simulations)
    if abs(z_mean) >= max(abs(z_spread), 3):
        side, where = ("low", "too high") if z_mean < 0 else ("high", "too low")
        return f"ranks are {side}: the posterior lies {where}"
    if z_spread >= 3:
        return (
            "ranks pile up at both ends: the posterior is too narrow, or chains get "
            "stuck"
        )
    if z_spread <= -3:
        return "ranks pile up in the middle: the posterior is too wide"
    return "ranks are not uniform: the posterior has another shape"


def _sampling_sentences(fits: pd.DataFrame, draws: int) -> list[str]:
    """Say which fits were sampled badly, which can make ranks non-uniform."""
    said = []
    diverging = int((fits["divergences"] > 0).sum())
    if diverging:
        said.append(
            f"{diverging} of {len(fits)} fits had divergent transitions, which can "
            "make ranks non-uniform. Try adapt_delta=0.99 or another parameterization."
        )
    slow = int((fits["min_ess_bulk"] < draws).sum())
    if slow:
        said.append(
            f"In {slow} of {len(fits)} fits the effective sample size is below the "
            f"{draws} draws that were kept (the smallest is "
            f"{fits['min_ess_bulk'].min():.0f}), so that there may be too many ranks "
            "at both ends. Use more draws."
        )
    redrawn = int(fits["redrawn"].sum())
    if redrawn:
        said.append(
            f"{redrawn} simulated data sets were drawn again, because Stan cannot "
            "represent them."
        )
    return said
