"""Design analysis: what a study of some size would find, if the truth were known.

Data are simulated from parameters that are assumed, and analysed as the real ones will
be. How often that reaches the goal is the power; how much those results exaggerate, and
how often they have the wrong sign, are the type M and type S errors [1]_.

References
----------
.. [1] Gelman and Carlin (2014). Beyond power calculations: assessing type S (sign) and
   type M (magnitude) errors. Perspectives on Psychological Science 9(6), 641-651.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np

from stanpool.api.facade import Model
from stanpool.base.arguments import public
from stanpool.base.errors import (
    ArgumentError,
    DataError,
    SpecError,
    StanpoolError,
    quote,
    quote_list,
    suggestion,
)
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.base.system.executors.job import LostError
from stanpool.base.system.parallel import run_on_cores
from stanpool.engine.study import StudyEngine
from stanpool.inference.estimates.hypothesis import hypothesis
from stanpool.inference.prediction.prior_predictive import (
    Drawn,
    draw_given,
    simulate_outcomes,
)
from stanpool.model.fit_result import FitResult, diverging
from stanpool.model.prepared_model import PreparedModel
from stanpool.posterior.convergence import r_hat_of_refit
from stanpool.posterior.intervals import interval_levels, quantile_name
from stanpool.posterior.scalars import scalars
from stanpool.sampling.choose_engine import compile_if_it_pays
from stanpool.sampling.sample import sample_model
from stanpool.sampling.settings import random_seed, settings_of
from stanpool.studies.simulation.design_analysis import (
    DesignAnalysis,
    Simulated,
    analysis_of,
)
from stanpool.studies.simulation.extended_rows import extended_rows, sizes

_NOT_OPTIONS = {"self", "verbose", "file", "output_dir", "prior_only", "save_warmup"}
_COMPARISON = re.compile(r"[<>]")
_MOST = 100_000


@public
def design(
    model: PreparedModel | FitResult,
    *,
    goal: str,
    assume: Mapping[str, float] | None = None,
    groups: Any = None,
    rows: Any = None,
    factor: str | None = None,
    data: Any = None,
    prob: float = 0.95,
    simulations: int = 200,
    chains: int = 2,
    draws: int = 500,
    seed: int | None = None,
    executor: AnyExecutor | None = None,
    progress: bool = True,
    **options: Any,
) -> DesignAnalysis:
    """Simulate studies of several sizes, fit each, and say how often a goal is reached.

    Each simulation draws the coefficients of the groups and the outcomes from the
    parameters that are assumed, and fits the model to them, with default priors as
    these data have them. Fits that fail are counted, and power is a range then.

    Parameters
    ----------
    model
        A model of data that are like those to come, such as of a pilot study, whose
        outcome is not used; or a fit of it.
    goal
        What is to be found: a parameter or an expression, such as
        ``"beta[treatment]"``, whose central interval is to exclude 0; or a hypothesis,
        as for ``Fit.hypothesis``, such as ``"beta[treatment] > 0.1"``, whose posterior
        probability is to be at least ``prob``.
    assume
        The true values of the population's parameters, by the names of
        ``model.priors``, where predictors are 0. Correlations are 0 unless they are
        given. Of a fit, what is left out has its posterior mean.
    groups, rows
        Numbers of groups, and of rows in each; every pair is a design. By default those
        of the data. Groups and rows are copied as often as they go in whole, and for
        the rest chosen at random, each kind in its share. For a model without groups,
        ``rows`` is the number of all rows.
    factor
        The grouping factor whose groups are counted; by default the first.
    data
        Instead of copies, a function ``data(groups, rows, rng)`` that returns the table
        of a simulation, with an outcome of any possible values.
    prob
        The probability of the interval, or of the hypothesis.
    simulations
        How many there are of each design, up to 100,000.
    chains, draws
        Of each fit.
    seed
        The seed, which is drawn at random if None. A simulation depends on it, on the
        design and on its own number only: more designs or simulations change no other.
    executor
        What runs the fits, as for ``fit_many``; by default there are as many at a time
        as cores.
    progress
        Whether to show progress on standard error.
    options
        More options of ``Model.fit``, such as ``adapt_delta`` or ``engine``.

    Returns
    -------
    DesignAnalysis
        Its ``table`` has a row for each design; ``plot()`` draws the power.

    Raises
    ------
    SpecError
        If a parameter has no value, the goal cannot be read, or the outcome is ordinal.

    Examples
    --------
    >>> import stanpool as sp
    >>> pilot = {"y": [0.0, 1.0, 0.5, 2.0], "treated": [0, 1, 0, 1]}
    >>> found = design(sp.Model("y ~ treated", pilot), goal="beta[treated]",
    ...                assume={"Intercept": 0, "beta[treated]": 1, "sigma": 1},
    ...                rows=[20], simulations=4, chains=1, draws=100, seed=1,
    ...                progress=False)
    >>> found.table["simulations"].item()
    4
    """
    _refuse_unknown(options)
    if data is not None and not callable(data):
        raise SpecError(
            f"data={quote(data)} must be a function data(groups, rows, rng), which "
            "returns the table of a simulation."
        )
    base, known = _with_estimates(model)
    values = {**known, **{name: float(x) for name, x in (assume or {}).items()}}
    seed = random_seed() if seed is None else seed
    study = _Study(
        base,
        values,
        goal,
        prob,
        factor,
        data,
        {"chains": chains, "draws": draws, **options},
    )
    cells = [
        (group, row) for group in sizes("groups", groups) for row in sizes("rows", rows)
    ]
    numbers = range(_checked(simulations))
    tasks = [_Task(*cell, number, seed) for cell in cells for number in numbers]
    first, truth = _simulated(study, tasks[0])
    settings = settings_of(first, seed=0, **study.options)
    engine = compile_if_it_pays([(first, settings)], fits=len(tasks), progress=progress)
    found = run_on_cores(
        partial(_simulate_and_fit, study, engine),
        tasks,
        title=f"Simulating {len(tasks):,} studies",
        executor=executor,
        progress=progress,
        if_lost=_lost,
    )
    return analysis_of(goal, truth, prob, found, is_interval=study.is_interval)


def _refuse_unknown(options: Mapping[str, Any]) -> None:
    """Refuse options that fits do not have, or that mean nothing here."""
    known = sorted(inspect.signature(Model.fit).parameters.keys() - _NOT_OPTIONS)
    for name in options:
        if name not in known:
            raise ArgumentError(
                f"design() has no argument {quote(name)}; further options are those of "
                f"Model.fit, {quote_list(known, 30)}.{suggestion(name, known)}"
            )


@dataclass(frozen=True, eq=False)
class _Study:
    """What all simulations have in common.

    Attributes
    ----------
    model, values, goal, prob, factor, data
        As ``design`` has them; ``values`` are complete.
    options
        Of ``Model.fit``.
    """

    model: PreparedModel
    values: Mapping[str, float]
    goal: str
    prob: float
    factor: str | None
    data: Callable[..., Any] | None
    options: Mapping[str, Any]

    @property
    def is_interval(self) -> bool:
        """Whether an interval is to exclude 0, and not a hypothesis to be probable."""
        return not _COMPARISON.search(self.goal)

    @property
    def hypothesis(self) -> str:
        """The goal as a hypothesis."""
        return f"{self.goal} > 0" if self.is_interval else self.goal


@dataclass(frozen=True)
class _Task:
    """A simulation: the size of the study, and its number."""

    groups: int | None
    rows: int | None
    number: int
    seed: int

    @property
    def random(self) -> np.random.Generator:
        """The random number generator of this simulation."""
        words = [self.seed, self.groups or 0, self.rows or 0, self.number]
        return np.random.default_rng(words)


def _with_estimates(
    model: PreparedModel | FitResult,
) -> tuple[PreparedModel, dict[str, float]]:
    """Return a model, and the posterior means of its parameters if it is fitted."""
    if isinstance(model, PreparedModel):
        return model, {}
    means = {
        label: float(mean)
        for each in scalars(model.posterior)
        for label, mean in zip(each.labels, each.draws.mean(axis=(0, 1)), strict=True)
    }
    needed = {row.parameter for row in model.model.priors}
    return model.model, {
        name: mean
        for name, mean in means.items()
        if name in needed or name.startswith("Omega")
    }


def _checked(simulations: int) -> int:
    is_whole = isinstance(simulations, int) and not isinstance(simulations, bool)
    if not is_whole or not 1 <= simulations <= _MOST:
        raise SpecError(
            f"simulations={quote(simulations)} must be a whole number from 1 to "
            f"{_MOST:,}; 200 give power to within 7 percentage points."
        )
    return simulations


def _simulate_and_fit(study: _Study, engine: StudyEngine, task: _Task) -> Simulated:
    """Simulate a study, fit it, and say what it found."""
    place = task.groups, task.rows, task.number
    try:
        model, truth = _simulated(study, task)
        settings = settings_of(model, seed=_seed(task), **study.options)
        fit = sample_model(
            model, settings, prior_only=False, of_study=engine, progress=False
        )
    except StanpoolError as problem:
        return Simulated(*place, failure=f"{type(problem).__name__}: {problem}")
    found = hypothesis(fit, study.hypothesis, prob=study.prob).iloc[0]
    low, high = (found[quantile_name(x)] for x in interval_levels(study.prob))
    is_nuts = settings.method == "nuts"
    return Simulated(
        *place,
        truth=truth,
        estimate=float(found["mean"]),
        low=float(low),
        high=float(high),
        reached=bool(
            low > 0 or high < 0
            if study.is_interval
            else found["probability"] >= study.prob
        ),
        divergences=int(diverging(fit).sum()) if is_nuts else 0,
        r_hat=r_hat_of_refit(fit.sample_stats["lp"].to_numpy()) if is_nuts else np.nan,
        seconds=fit.seconds,
    )


def _lost(task: _Task, problem: LostError) -> Simulated:
    return Simulated(task.groups, task.rows, task.number, failure=str(problem))


def _seed(task: _Task) -> int:
    return int(task.random.integers(2**32))


def _simulated(study: _Study, task: _Task) -> tuple[PreparedModel, float]:
    """Return the model of simulated data, and the true value of what is asked for."""
    rng = task.random
    rng.integers(2**32)  # the seed of the fit
    if study.data is None:
        table = extended_rows(
            study.model,
            groups=task.groups,
            rows=task.rows,
            factor=study.factor,
            rng=rng,
        )
    else:
        table = study.data(task.groups, task.rows, rng)
    spec = study.model.spec
    empty = PreparedModel.from_spec(spec, table, strict=False)
    if any(row.parameter_class == "cutpoint" for row in empty.priors):
        raise SpecError(
            "ordinal outcomes cannot be simulated from assumed cutpoints. Use "
            "family='gaussian' on the scores, or 'bernoulli' of being above one."
        )
    truth = draw_given(empty, study.values, rng)
    drawn = cast("FitResult", Drawn(empty, truth))
    value = float(hypothesis(drawn, study.hypothesis, prob=study.prob)["mean"].iloc[0])
    y = simulate_outcomes(empty, truth, rng)
    if y.attrs.get("beyond", 0):
        raise DataError("the outcomes that were simulated overflow.")
    filled = empty.with_outcome(y.to_numpy()[0, 0])
    # Its default priors are those that the real data would have, too.
    again = replace(filled.spec, parameterization=spec.parameterization)
    return PreparedModel.from_spec(again, filled.data, strict=False), value
