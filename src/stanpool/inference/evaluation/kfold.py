"""Cross-validation by refitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp  # type: ignore[import-untyped]

from stanpool.base.arguments import public
from stanpool.base.arrays import Indices
from stanpool.base.errors import SpecError, quote
from stanpool.base.options import Unit
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.base.system.parallel import run_many
from stanpool.inference.evaluation.cross_validation import (
    CrossValidation,
    LeftOut,
    RefitScore,
    check_unit,
    labelled_result,
    predict_rows,
    refit_table,
)
from stanpool.inference.prediction.conditional.rows import rows_given_earlier
from stanpool.inference.prediction.integrated.group_likelihood import (
    check_population,
    group_log_likelihood,
    grouping,
)
from stanpool.inference.prediction.linear_predictor import linear_predictor_of
from stanpool.inference.prediction.quantities import log_likelihood_at
from stanpool.model.fit_result import diverging
from stanpool.posterior.convergence import r_hat_of_refit
from stanpool.sampling.choose_engine import compile_if_it_pays
from stanpool.sampling.initial_values import starting_values
from stanpool.sampling.sample import sample_model

if TYPE_CHECKING:
    from stanpool.engine.study import StudyEngine
    from stanpool.engine.values.settings import SampleSettings
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel


@public
def kfold(
    fit: FitResult,
    *,
    folds: int = 10,
    unit: Unit = "row",
    factor: str | None = None,
    seed: int | None = None,
    executor: AnyExecutor | None = None,
    progress: bool = True,
) -> CrossValidation:
    """Predict rows, or whole groups, from refits without them.

    Parameters
    ----------
    fit
        A fit. It is refitted with its own settings, priors, levels and program, so that
        nothing is compiled.
    folds
        The number of parts into which the units are split; each is left out of one
        refit.
    unit
        With ``"row"``, rows are left out, and the rows of each group are distributed as
        evenly over the folds as possible. With ``"group"``, whole groups are left out,
        and are predicted as new ones.
    factor
        The grouping factor whose groups are left out; by default the first.
    seed
        The seed of the split and of the refits; by default that of the fit.
    executor
        What runs the refits, as for ``fit_many``, one chain at a time unless
        ``parallel_chains`` of the fit says otherwise; by default one refit after the
        other has all cores.
    progress
        Whether to show progress.

    Returns
    -------
    CrossValidation
        The results for each unit and each row.

    Raises
    ------
    SpecError
        If there are fewer units than folds, the model has no such groups, or they have
        no population.
    """
    check_unit(fit, unit, factor)
    model = fit.model
    units = None
    if unit == "group":
        check_population(model)
        units = grouping(model, factor)
    seed = fit.settings.seed if seed is None else seed
    rng = np.random.default_rng([seed, 2])
    if units is None:
        fold_of_unit = _split_rows(model, folds, rng)
        fold_of_row = fold_of_unit
    else:
        fold_of_unit = _split(len(units.labels), folds, "groups", rng)
        fold_of_row = fold_of_unit[units.index]
    tasks = [
        RefitTask(
            seed_of_refit(seed, fold),
            np.flatnonzero(fold_of_row == fold),
            np.flatnonzero(fold_of_unit == fold),
        )
        for fold in range(folds)
    ]
    scores = refit_without(
        fit,
        tasks,
        factor=None if units is None else units.factor,
        executor=executor,
        progress=progress,
    )
    left_out = LeftOut.empty(len(fold_of_unit), model.design.rows)
    for task, score in zip(tasks, scores, strict=True):
        left_out.elpd[task.units] = score.elpd
        left_out.fill(task.rows, score.rows)
    result = labelled_result(model, np.arange(model.design.rows), units, left_out)
    kept = result.units[["elpd"]].assign(fold=fold_of_unit)
    return replace(result, folds=folds, units=kept, refits=refit_table(scores))


@dataclass(frozen=True, eq=False)
class RefitTask:
    """One refit, and what is left out of it.

    Attributes
    ----------
    seed
        The seed of the refit.
    rows, units
        The rows that are left out, and the units that they form.
    """

    seed: int
    rows: Indices
    units: Indices


def _split_rows(model: PreparedModel, folds: int, rng: np.random.Generator) -> Indices:
    """Distribute the rows of each group over the folds at random."""
    fold = _split(model.design.rows, folds, "rows", rng)
    if not model.spec.groups:
        return fold
    try:
        index = grouping(model).index
    except SpecError:  # rows are members of several groups
        return fold
    order = np.lexsort((rng.random(len(index)), index))
    dealt = np.empty_like(fold)
    dealt[order] = np.arange(len(order)) % folds
    return dealt


def _split(count: int, folds: int, what: str, rng: np.random.Generator) -> Indices:
    """Distribute units over the folds at random."""
    check_folds(folds, count, what)
    return np.asarray(rng.permutation(np.arange(count) % folds))


def check_folds(folds: int, count: int, what: str) -> None:
    """Refuse a number of folds that so many units cannot be split into.

    Parameters
    ----------
    folds
        As it was given.
    count, what
        How many units there are, and what they are: ``"rows"`` or ``"groups"``.

    Raises
    ------
    SpecError
        If it is not a whole number from 2 to the number of units.
    """
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= count:
        raise SpecError(
            f"folds={quote(folds)} must be a whole number from 2 to the number of "
            f"{what}, {count}."
        )


def seed_of_refit(seed: int, number: int) -> int:
    """Return a different seed for each refit."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _settings_of_refits(fit: FitResult, executor: AnyExecutor | None) -> SampleSettings:
    """Return the settings of the fit, with its last draws as initial values.

    Where values of rows are sampled, refits have fewer parameters, and start as any
    fit. The cores are used by the workers of the executor.
    """
    at_a_time, inits = fit.settings.parallel_chains, fit.settings.inits
    if executor is not None and at_a_time is None:
        at_a_time = 1
    is_alike = not fit.model.structure.samples_values
    if inits is None and fit.settings.method == "nuts" and is_alike:
        inits = starting_values(fit)
    return replace(fit.settings, parallel_chains=at_a_time, inits=inits)


def refit_without(
    fit: FitResult,
    tasks: Sequence[RefitTask],
    *,
    factor: str | None,
    executor: AnyExecutor | None,
    progress: bool,
) -> list[RefitScore]:
    """Refit without each part of the data, and predict it.

    Parameters
    ----------
    fit
        The fit of all data.
    tasks
        What is left out.
    factor
        The grouping factor of the units that are left out; None if they are rows.
    executor, progress
        As for ``kfold``.
    """
    settings = _settings_of_refits(fit, executor)
    engine: StudyEngine | None = None
    if tasks:
        engine = compile_if_it_pays(
            [(fit.model, settings)], fits=len(tasks), progress=progress
        )
    return run_many(
        partial(_predict_left_out, fit.model, settings, factor, engine),
        tasks,
        title="Refitting",
        executor=executor,
        progress=progress,
    )


def _predict_left_out(
    model: PreparedModel,
    settings: SampleSettings,
    factor: str | None,
    engine: StudyEngine | None,
    task: RefitTask,
) -> RefitScore:
    """Refit without some rows, and predict them."""
    kept = np.delete(np.arange(model.design.rows), task.rows)
    refit = sample_model(
        model.take(kept),
        replace(settings, seed=task.seed),
        prior_only=False,
        of_study=engine,
        progress=False,
    )
    # In the refit, the left-out groups are draws from the population.
    whole = replace(refit, model=model)
    predictors, rows = linear_predictor_of(whole).with_new_values(), task.rows
    design, eta, parameters = rows_given_earlier(
        replace(
            predictors,
            design=predictors.design.take(rows),
            observed=replace(predictors, design=predictors.design.take(kept)),
        ),
        slice(None),
    )
    if factor is None:
        values = log_likelihood_at(predictors, rows, eta, parameters)
    else:
        values = group_log_likelihood(whole, factor, groups=task.units)
    weights = np.full((len(eta), 1), 1.0 / len(eta))
    rng = np.random.default_rng([task.seed, 3])
    return RefitScore(
        elpd=logsumexp(values, axis=0) - np.log(len(values)),
        rows=predict_rows(model.spec, design, eta, parameters, weights, rng),
        seconds=refit.seconds,
        divergences=int(diverging(refit).sum()),
        r_hat=r_hat_of_refit(refit.sample_stats["lp"].to_numpy()),
    )
