"""Leave-one-out cross-validation by importance sampling."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import LARGEST_ARRAY, Array, Indices
from stanpool.base.errors import SpecError, quote
from stanpool.base.options import Unit
from stanpool.base.progress import counting
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.inference.evaluation.cross_validation import (
    FEWEST_DRAWS,
    SAMPLE,
    CrossValidation,
    LeftOut,
    check_unit,
    labelled_result,
    predict_rows,
    refit_table,
)
from stanpool.inference.evaluation.kfold import (
    RefitTask,
    refit_without,
    seed_of_refit,
)
from stanpool.inference.prediction.conditional.rows import rows_given_others
from stanpool.inference.prediction.integrated.group_likelihood import (
    Grouping,
    check_population,
    group_log_likelihood,
    grouping,
    new_group_predictors,
)
from stanpool.inference.prediction.linear_predictor import linear_predictor_of
from stanpool.inference.prediction.quantities import log_likelihood_at
from stanpool.posterior.importance import psis
from stanpool.posterior.scalars import described
from stanpool.sampling.approximate import largest_k, stratified

if TYPE_CHECKING:
    from stanpool.model.fit_result import FitResult


@public
def loo(
    fit: FitResult,
    *,
    unit: Unit = "row",
    factor: str | None = None,
    sample: int | None = None,
    reloo: bool = False,
    executor: AnyExecutor | None = None,
    progress: bool = True,
) -> CrossValidation:
    """Predict each row, or each group, from the others, without refitting.

    Parameters
    ----------
    fit
        A fit. The likelihood of a row is that of its outcome given all parameters. The
        coefficients of a group are integrated out of its likelihood, so that it is
        predicted like a new group.
    unit
        ``"row"`` or ``"group"``.
    factor
        The grouping factor whose groups are left out; by default the first.
    sample
        The number of rows to leave out, chosen at random, if all would take too long.
        They are the same for all fits of the same number of rows. Totals are scaled to
        all rows, and their errors include that of the sample. By default all rows are
        left out, in memory that does not depend on their number; if rows times draws
        are more than 270 million, progress mentions that a sample is possible.
    reloo
        Whether to refit without each unit whose Pareto k is too large for importance
        sampling. Nothing is compiled.
    executor, progress
        What runs the refits, as for ``fit_many``, and whether to show progress.

    Returns
    -------
    CrossValidation
        The results for each unit and each row.

    Raises
    ------
    SpecError
        If the model has no such groups, or they have no population.
    """
    check_unit(fit, unit, factor)
    rows = sample_rows(fit.model.design.rows, unit, sample)
    units = None
    if unit == "group":
        check_population(fit.model)
        units = grouping(fit.model, factor)
    ess = relative_ess(fit)
    rng = np.random.default_rng([fit.settings.seed, 1])
    draws = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    if units is not None:
        left_out = _groups_left_out(fit, units, ess, rng)
    else:
        is_long = len(rows) * draws > LARGEST_ARRAY
        title = f"Leaving out {len(rows):,} rows"
        line = f"{title}, one by one; loo(sample={SAMPLE}) leaves out a sample of them"
        if is_long:
            with counting(title, len(rows), shown=progress, line=line) as show:
                left_out = _rows_left_out(fit, rows, ess, rng, show)
        else:
            left_out = _rows_left_out(fit, rows, ess, rng)
    result = labelled_result(fit.model, rows, units, left_out)
    result = replace(result, good_k=largest_k(draws))
    if not (reloo and result.unreliable):
        return result
    return with_refits(fit, result, units, executor=executor, progress=progress)


def relative_ess(fit: FitResult) -> float:
    """Return the effective sample size per draw.

    Importance ratios are assumed to be as autocorrelated as parameters are on average.
    """
    posterior = fit.posterior
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    if chains == 1 or draws < FEWEST_DRAWS:
        return 1.0
    found = [each for _, each in described(posterior, fit.described)]
    sd, error = (np.concatenate([x[y] for x in found]) for y in ("sd", "mcse_mean"))
    varies = error > 0
    if not varies.any():
        return 1.0
    return float(np.mean((sd[varies] / error[varies]) ** 2)) / (chains * draws)


def sample_rows(rows: int, unit: Unit, sample: int | None) -> Indices:
    """Return the rows that are left out, in order."""
    if sample is None:
        return np.arange(rows)
    is_whole = isinstance(sample, int) and not isinstance(sample, bool)
    if not is_whole or sample < 2 or unit != "row":
        raise SpecError(
            f"sample={quote(sample)} must be a whole number of rows, 2 or more, and "
            "needs unit='row'."
        )
    rng = np.random.default_rng([rows, sample])
    return np.sort(rng.choice(rows, min(sample, rows), replace=False))


def _rows_left_out(
    fit: FitResult,
    rows: Indices,
    ess: float,
    rng: np.random.Generator,
    show: Callable[[int], None] = lambda done: None,
) -> LeftOut:
    """Leave each row out by importance sampling, a chunk of rows at a time."""
    everything, spec = linear_predictor_of(fit).with_new_values(), fit.model.spec
    found = LeftOut.empty(len(rows), len(rows))

    def weigh(some: slice) -> Callable[[], None]:
        """Begin to weigh a chunk, and return what predicts it and fills it in."""
        design, eta, parameters = rows_given_others(everything, rows[some])
        log_lik = log_likelihood_at(everything, rows[some], eta, parameters)
        values = np.ascontiguousarray(log_lik.T)
        future = other.submit(_score, found, some, values, ess)

        def predict() -> None:
            weights = np.ascontiguousarray(future.result().T)
            found.fill(some, predict_rows(spec, design, eta, parameters, weights, rng))
            show(some.stop)

        return predict

    # Draws of one chunk are weighed while the one before it is predicted.
    with ThreadPoolExecutor(1) as other:
        waiting: list[Callable[[], None]] = []
        for some in everything.chunks(len(rows)):
            waiting.append(weigh(some))
            if len(waiting) > 1:
                waiting.pop(0)()
        for predict in waiting:
            predict()
    return found


def _groups_left_out(
    fit: FitResult, units: Grouping, ess: float, rng: np.random.Generator
) -> LeftOut:
    """Leave each group out by importance sampling of the population parameters."""
    found = LeftOut.empty(len(units.labels), fit.model.design.rows)
    values = np.ascontiguousarray(group_log_likelihood(fit, units.factor).T)
    left_out = _score(found, slice(None), values, ess)
    predictors = linear_predictor_of(fit)
    draw_new = new_group_predictors(fit, units, rng)
    for rows, weights in zip(units.rows, left_out, strict=True):
        # Each time that a draw is used, a new group is drawn for it.
        draws = stratified(weights, len(weights), rng)
        parameters = {
            name: values[draws] for name, values in predictors.parameters(rows).items()
        }
        predicted = predict_rows(
            fit.model.spec,
            fit.model.design.take(rows),
            draw_new(rows, draws),
            parameters,
            np.full((len(draws), 1), 1.0 / len(draws)),
            rng,
        )
        found.fill(rows, predicted)
    return found


def _score(found: LeftOut, units: slice, log_lik: Array, ess: float) -> Array:
    """Fill in the scores of units, and return the weights of draws, ``(units, S)``."""
    weighted = psis(log_lik, relative_ess=ess)
    found.pareto_k[units] = weighted.pareto_k
    found.elpd[units] = weighted.elpd
    found.p[units] = weighted.seen - weighted.elpd
    return weighted.weights


def with_refits(
    fit: FitResult,
    result: CrossValidation,
    units: Grouping | None,
    *,
    executor: AnyExecutor | None,
    progress: bool,
) -> CrossValidation:
    """Replace the results of unreliable units by those of refits."""
    bad = np.flatnonzero(result.units.index.isin(result.unreliable)).tolist()
    tasks = [
        RefitTask(
            seed_of_refit(fit.settings.seed, place),
            result.units.index.to_numpy()[[place]]
            if units is None
            else units.rows[place],
            np.array([place]),
        )
        for place in bad
    ]
    scores = refit_without(
        fit,
        tasks,
        factor=None if units is None else units.factor,
        executor=executor,
        progress=progress,
    )
    exact, rows = result.units.copy(), result.rows.copy()
    for task, score in zip(tasks, scores, strict=True):
        unit = exact.index[task.units]
        seen = exact.loc[unit, "elpd"] + exact.loc[unit, "p"]
        exact.loc[unit, "elpd"] = score.elpd
        exact.loc[unit, "p"] = seen - score.elpd
        exact.loc[unit, "refitted"] = True
        for name, values in score.rows.items():
            rows.loc[task.rows, name] = values
    return replace(result, units=exact, rows=rows, refits=refit_table(scores))
