"""How well a fit predicts rows, or whole groups, that it has not seen.

``loo`` leaves one unit out at a time without refitting, by Pareto smoothed importance
sampling (PSIS); ``kfold`` refits. A unit is a row, whose group stays with its other
rows, or a whole group, whose coefficients are then integrated out. Nothing of the size
draws x rows is kept.

References
----------
.. [1] Vehtari, Gelman and Gabry (2017). Practical Bayesian model evaluation using
   leave-one-out cross-validation and WAIC. Statistics and Computing 27, 1413-1432.
.. [2] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
   sampling. Journal of Machine Learning Research 25(72): which k is good.
.. [3] Merkle, Furr and Rabe-Hesketh (2019). Bayesian comparison of latent variable
   models: conditional versus marginal likelihoods. Psychometrika 84, 802-829.
.. [4] Czado, Gneiting and Held (2009). Predictive model assessment for count data.
   Biometrics 65, 1254-1261: the randomized probability integral transform.
.. [5] Gneiting and Raftery (2007). Strictly proper scoring rules, prediction, and
   estimation. Journal of the American Statistical Association 102, 359-378: sections
   3.1 and 4.2, the scores of Brier and of ranked probabilities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp  # type: ignore[import-untyped]

from stanpool import arviz_seam
from stanpool.arguments import public
from stanpool.errors import SpecError, check_choice, shorten
from stanpool.families import draw_outcomes, expected_outcomes, log_likelihood
from stanpool.group_likelihood import (
    Grouping,
    check_population,
    group_log_likelihood,
    grouping,
    new_group_predictors,
)
from stanpool.labels import short_label
from stanpool.many import run_many
from stanpool.predictors import predictors_of
from stanpool.progress import counted
from stanpool.sampling import sampled
from stanpool.spec import FAMILIES, ModelSpec
from stanpool.starts import starting_values

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.design import Design
    from stanpool.engine.run import SampleSettings
    from stanpool.fit_result import FitResult
    from stanpool.prepared_model import PreparedModel

Array = np.ndarray

UNITS = ("row", "group")
LARGEST = 2**28  # rows x draws that are left out without being asked
_SAMPLE = 10_000
_OF_ROWS = ("predicted", "pit", "score", "hit")
_NAMED = 5
_R_HAT = 1.05
_FEWEST_DRAWS = 4  # of a chain, for its effective sample size


@public
@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """How well a model predicts units that were left out.

    Parameters
    ----------
    model
        The model.
    unit
        What was left out: ``"row"`` or ``"group"``.
    factor
        The grouping factor whose groups were left out, or None.
    folds
        None where one unit at a time was left out, by importance sampling; else into
        how many parts the units were split, each left out of one refit.
    units
        One row for each unit: ``elpd``, its log predictive density given the others,
        and, where importance was sampled, ``p`` (how much more it is with the unit
        seen), ``pareto_k`` and ``refitted``; otherwise ``fold``.
    rows
        One row for each row of the data: the outcome ``y``, its expectation
        ``predicted`` where its unit is left out, and ``pit``, the predicted probability
        of a smaller outcome, randomized where outcomes are discrete; categories without
        an order stand in that of their predicted probabilities. Of categories also
        ``score``, between 0 and 2 for those without an order, and ``hit``, whether the
        category came out that was the most probable. Missing where they make no sense,
        or an outcome is censored.
    good_k
        Up to which Pareto k importance sampling is reliable with so many draws, or
        None.
    refits
        One row for each refit: ``seconds``, ``divergences``, and ``r_hat`` of the log
        density, by which chains that got stuck are found.
    population
        How many units there are, of which ``units`` may be a sample.
    """

    model: PreparedModel
    unit: str
    factor: str | None
    folds: int | None
    units: pd.DataFrame
    rows: pd.DataFrame
    good_k: float | None
    refits: pd.DataFrame
    population: int

    @property
    def elpd(self) -> float:
        """The sum of the units' expected log predictive densities; higher is better."""
        return self.total(self.units["elpd"])[0]

    @property
    def se(self) -> float:
        """The standard error of ``elpd``, as if other units had been sampled."""
        return self.total(self.units["elpd"])[1]

    @property
    def p(self) -> float:
        """The effective number of parameters; NaN where folds were left out."""
        return self.total(self.units["p"])[0] if "p" in self.units else float("nan")

    def total(self, values: ArrayLike) -> tuple[float, float]:
        """Return the sum over all units of values of these, and its standard error.

        The error is that of another population of as many units; where the units are a
        sample, that of the sample comes on top.
        """
        values, units = np.asarray(values), self.population
        taken = len(values) if values.ndim == 1 else 0
        if not 0 < taken <= units:
            raise SpecError(
                f"values={shorten(values)} must be a number for each unit, of which "
                f"there are {units}."
            )
        share = 1.0 + units / taken * (1.0 - taken / units)
        # A unit that is impossible under all draws makes the total minus infinity.
        with np.errstate(all="ignore"):
            error = np.std(values, ddof=min(1, taken - 1)) * (units * share) ** 0.5
            return float(values.mean() * units), float(error)

    @property
    def rmse(self) -> float:
        """The root mean squared error of the expected outcomes."""
        errors = self.rows["y"] - self.rows["predicted"]
        return float(np.sqrt((errors**2).mean()))

    @property
    def score(self) -> float:
        """The mean score of categories, lower is better; NaN for other outcomes.

        The quadratic score of Brier, the sum over categories of the squared difference
        of the predicted probability and what came out; where categories are ordered the
        ranked probability score, the same of cumulative probabilities.
        """
        return float(self.rows["score"].mean())

    @property
    def accuracy(self) -> float:
        """How many rows have the category that was the most probable."""
        return float(self.rows["hit"].mean())

    def coverage(self, prob: float = 0.9) -> float:
        """Return how many outcomes lie in their central predictive intervals."""
        pit = self.rows["pit"].dropna()
        return float((np.abs(pit - 0.5) <= 0.5 * prob).mean()) if len(pit) else np.nan

    @property
    def unreliable(self) -> tuple[Any, ...]:
        """The units whose Pareto k is too large for importance sampling to be right."""
        if self.good_k is None:
            return ()
        bad = ~(self.units["pareto_k"] <= self.good_k) & ~self.units["refitted"]
        return tuple(self.units.index[bad])

    def __str__(self) -> str:
        """Write the figures, and what of them cannot be relied on."""
        lines = [f"{self._title} of {self.model!r}", ""]
        lines += [f"{name:<26}{value}" for name, value in self._figures()]
        return "\n".join([*lines, *self._caveats()])

    def __repr__(self) -> str:
        """Describe the result in one line."""
        return f"CrossValidation({self._title}, elpd {self.elpd:.1f}, SE {self.se:.1f})"

    def _repr_html_(self) -> str:
        """Write the same as HTML, with every label escaped."""
        from html import escape

        cells = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in self._figures()
        )
        notes = "".join(f"<p>{escape(each)}</p>" for each in self._caveats() if each)
        return f"<p>{escape(self._title)}</p><table>{cells}</table>{notes}"

    @property
    def _title(self) -> str:
        of = (
            self.unit if self.factor is None else f"group of {short_label(self.factor)}"
        )
        if len(self.units) < self.population:
            of += f" ({len(self.units):,} of {self.population:,} at random)"
        if self.folds is None:
            return f"Leave-one-out by {of}"
        return f"{self.folds}-fold cross-validation by {of}"

    def _figures(self) -> list[tuple[str, str]]:
        figures = [("elpd (SE)", f"{self.elpd:,.1f} ({self.se:,.1f})")]
        if np.isfinite(self.p):
            figures.append(("effective parameters", f"{self.p:,.1f}"))
        if np.isfinite(self.rmse):
            figures.append(("RMSE", f"{self.rmse:.3g}"))
        if np.isfinite(self.score):
            figures.append((score_name(self.model.spec), f"{self.score:.3g}"))
            figures.append(("most probable category", f"{self.accuracy:.1%} right"))
        if np.isfinite(self.coverage()):
            figures.append(("90% intervals cover", f"{self.coverage():.1%}"))
        return figures

    def _caveats(self) -> list[str]:
        bad, caveats = self.unreliable, []
        if bad:
            named = ", ".join(short_label(each) for each in bad[:_NAMED])
            more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
            caveats.append(
                f"Pareto k is above {self.good_k:.2f} for {len(bad)} of "
                f"{len(self.units)} {self.unit}s ({named}{more}): their elpd is not "
                "reliable. loo(reloo=True) refits without each of them."
            )
        doubtful = (self.refits["divergences"] > 0) | (self.refits["r_hat"] > _R_HAT)
        if doubtful.any():
            caveats.append(
                f"{int(doubtful.sum())} of {len(self.refits)} refits had divergences "
                "or did not converge: see refits."
            )
        return ["", *caveats] if caveats else []


@public
def loo(
    fit: FitResult,
    *,
    unit: str = "row",
    factor: str | None = None,
    sample: int | None = None,
    reloo: bool = False,
    executor: Executor | None = None,
    progress: bool = True,
) -> CrossValidation:
    """Predict each row, or each group, from the others, without refitting.

    Parameters
    ----------
    fit
        A fit. The likelihood of a row is that of its outcome given all parameters; the
        likelihood of a group has its coefficients integrated out, so that the group is
        predicted as a new one is.
    unit
        ``"row"`` or ``"group"``.
    factor
        Which grouping factor's groups; the first by default.
    sample
        How many rows to leave out, at random, where they are too many to wait for; the
        same ones of all fits of as many rows. The totals are scaled up, and their
        errors account for the sampling. By default all, in memory that does not depend
        on their number; where rows times draws are more than 270 million, progress
        says how many there are and that a sample is to be had.
    reloo
        Whether to refit without each unit whose Pareto k is too large for importance
        sampling. Nothing is compiled anew.
    executor, progress
        Where to refit, any ``concurrent.futures.Executor``; and whether to show
        progress.

    Returns
    -------
    CrossValidation
        The figures of each unit and each row.

    Raises
    ------
    SpecError
        If the model has no such groups, or they have no population.
    """
    check_unit(fit, unit, factor)
    rows = _sample_rows(fit.model.design.rows, unit, sample)
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
        is_long = len(rows) * draws > LARGEST
        title = f"Leaving out {len(rows):,} rows"
        line = f"{title}, one by one; loo(sample={_SAMPLE}) leaves out a sample of them"
        if is_long:
            with counted(title, len(rows), shown=progress, line=line) as show:
                left_out = _rows_left_out(fit, rows, ess, rng, show)
        else:
            left_out = _rows_left_out(fit, rows, ess, rng)
    result = _result(fit.model, rows, units, left_out)
    result = replace(result, good_k=min(1.0 - 1.0 / np.log10(max(draws, 2)), 0.7))
    if not (reloo and result.unreliable):
        return result
    return _with_refits(fit, result, units, executor=executor, progress=progress)


@public
def kfold(
    fit: FitResult,
    *,
    folds: int = 10,
    unit: str = "row",
    factor: str | None = None,
    seed: int | None = None,
    executor: Executor | None = None,
    progress: bool = True,
) -> CrossValidation:
    """Predict rows, or whole groups, from refits that have not seen them.

    Parameters
    ----------
    fit
        A fit. It is refitted with its own settings, priors, levels and program:
        nothing is compiled anew.
    folds
        Into how many parts to split the units; each is left out of one refit.
    unit
        ``"row"``: rows within groups, each group's as evenly over the folds as can be;
        ``"group"``: whole groups, which are then predicted as new ones.
    factor
        Which grouping factor's groups; the first by default.
    seed
        Of the split, and of the refits; the fit's own if None.
    executor
        Where to refit, any ``concurrent.futures.Executor``, whose workers fit one chain
        at a time unless ``parallel_chains`` is set; here, one fold at a time, if None.
    progress
        Whether to show progress.

    Returns
    -------
    CrossValidation
        The figures of each unit and each row.

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
        _Task(
            model,
            _settings(fit, executor, seed=_seed(seed, fold)),
            np.flatnonzero(fold_of_row == fold),
            np.flatnonzero(fold_of_unit == fold),
            None if units is None else units.factor,
        )
        for fold in range(folds)
    ]
    scores = _refit(model, tasks, executor=executor, progress=progress)
    left_out = _LeftOut.empty(len(fold_of_unit), model.design.rows)
    for task, score in zip(tasks, scores, strict=True):
        left_out.elpd[task.units] = score.elpd
        left_out.fill(task.rows, score.rows)
    result = _result(model, np.arange(model.design.rows), units, left_out)
    kept = result.units[["elpd"]].assign(fold=fold_of_unit)
    return replace(result, folds=folds, units=kept, refits=_refits(scores))


@dataclass(frozen=True, eq=False)
class _LeftOut:
    """What is known of units and rows that were left out, filled bit by bit."""

    elpd: Array
    p: Array
    pareto_k: Array
    rows: dict[str, Array]

    @classmethod
    def empty(cls, units: int, rows: int) -> _LeftOut:
        elpd, p, pareto_k = (np.full(units, np.nan) for _ in range(3))
        of_rows = {name: np.full(rows, np.nan) for name in _OF_ROWS}
        return cls(elpd, p, pareto_k, of_rows)

    def fill(self, rows: slice | Array, found: Mapping[str, Array]) -> None:
        """Fill in what is known of some rows."""
        for name, values in found.items():
            self.rows[name][rows] = values


@dataclass(frozen=True, eq=False)
class _Task:
    """One refit: what is left out of it.

    Attributes
    ----------
    model, settings
        What is refitted, and how.
    rows, units
        The rows that are left out, and the units that they make up.
    factor
        The factor of these units; None where they are rows.
    """

    model: PreparedModel
    settings: SampleSettings
    rows: Array
    units: Array
    factor: str | None


@dataclass(frozen=True, eq=False)
class _Score:
    """How well a refit predicts what was left out of it."""

    elpd: Array
    rows: Mapping[str, Array]
    seconds: float
    divergences: int
    r_hat: float


def check_unit(fit: FitResult, unit: str, factor: str | None) -> None:
    """Refuse what cannot be left out, or was never learned from."""
    if fit.prior_only:
        raise SpecError(
            f"{fit!r} was drawn from the prior: it has learned from no row, so that "
            "none can be left out. Fit with prior_only=False."
        )
    check_choice("unit", unit, UNITS)
    if unit == "row" and factor is not None:
        raise SpecError(
            f"factor={shorten(factor)} says whose groups to leave out: pass "
            "unit='group', too."
        )


def relative_ess(fit: FitResult) -> float:
    """Return the effective sample size of the draws over their number, as ArviZ does.

    Importance ratios are as dependent as the parameters are on average.
    """
    posterior = fit.posterior
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    if chains == 1 or draws < _FEWEST_DRAWS:
        return 1.0
    sizes = arviz_seam.ess_mean(posterior)
    every = np.concatenate([np.ravel(sizes[name]) for name in sizes.data_vars])
    return float(np.nanmean(every)) / (chains * draws)


def _sample_rows(rows: int, unit: str, sample: int | None) -> Array:
    """Return the rows that are left out, in order."""
    if sample is None:
        return np.arange(rows)
    is_whole = isinstance(sample, int) and not isinstance(sample, bool)
    if not is_whole or sample < 2 or unit != "row":
        raise SpecError(
            f"sample={shorten(sample)} must be a whole number of rows, 2 or more, to "
            "go with unit='row'."
        )
    rng = np.random.default_rng([rows, sample])
    return np.sort(rng.choice(rows, min(sample, rows), replace=False))


def _rows_left_out(
    fit: FitResult,
    rows: Array,
    ess: float,
    rng: np.random.Generator,
    show: Callable[[int], None] = lambda done: None,
) -> _LeftOut:
    """Leave each row out by importance sampling, a chunk of rows at a time."""
    everything, spec = predictors_of(fit), fit.model.spec
    predictors = replace(everything, design=everything.design.take(rows))
    found = _LeftOut.empty(len(rows), len(rows))
    for some in predictors.chunks():
        design = predictors.design.take(some)
        eta, parameters = predictors.eta(some), predictors.parameters(some)
        values = np.ascontiguousarray(log_likelihood(spec, design, eta, parameters).T)
        log_weights, found.pareto_k[some] = arviz_seam.psis(values, relative_ess=ess)
        _score(found, some, values, log_weights)
        weights = np.exp(log_weights.T)
        found.fill(some, _predict(spec, design, eta, parameters, weights, rng))
        show(some.stop)
    return found


def _groups_left_out(
    fit: FitResult, units: Grouping, ess: float, rng: np.random.Generator
) -> _LeftOut:
    """Leave each group out by importance sampling of the population's parameters."""
    found = _LeftOut.empty(len(units.labels), fit.model.design.rows)
    values = np.ascontiguousarray(group_log_likelihood(fit, units.factor).T)
    log_weights, found.pareto_k[:] = arviz_seam.psis(values, relative_ess=ess)
    _score(found, slice(None), values, log_weights)
    predictors = predictors_of(fit)
    draw_new = new_group_predictors(fit, units, rng)
    for rows, weights in zip(units.rows, np.exp(log_weights), strict=True):
        # Each time that a draw is taken it gets a new group of its own.
        draws = _resampled(weights, rng)
        parameters = {
            name: values[draws] for name, values in predictors.parameters(rows).items()
        }
        predicted = _predict(
            fit.model.spec,
            fit.model.design.take(rows),
            draw_new(rows, draws),
            parameters,
            np.full((len(draws), 1), 1.0 / len(draws)),
            rng,
        )
        found.fill(rows, predicted)
    return found


def _resampled(weights: Array, rng: np.random.Generator) -> Array:
    """Take draws in proportion to their weights, as many as there are."""
    at = (np.arange(len(weights)) + rng.random(len(weights))) / len(weights)
    chosen = np.searchsorted(np.cumsum(weights), at * weights.sum())
    return np.asarray(np.minimum(chosen, len(weights) - 1))


def _score(found: _LeftOut, units: slice, log_lik: Array, log_weights: Array) -> None:
    """Fill in elpd and p of units from arrays of shape ``(units, S)``."""
    seen = logsumexp(log_lik, axis=1) - np.log(log_lik.shape[1])
    found.elpd[units] = logsumexp(log_lik + log_weights, axis=1)
    found.p[units] = seen - found.elpd[units]


def _predict(
    spec: ModelSpec,
    design: Design,
    eta: Array,
    parameters: dict[str, Array],
    weights: Array,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """Return expected outcomes and PITs of rows, averaged over weighted draws.

    ``weights`` broadcast against the draws and rows of ``eta`` and sum to 1.
    """
    if design.categories:
        expected = expected_outcomes(spec, design, eta, parameters)
        return _predict_categories(
            (weights[..., None] * expected).sum(axis=0),
            design.y.astype(int),
            is_ordered=FAMILIES[spec.family].outcome == "ordered",
            rng=rng,
        )
    drawn = draw_outcomes(spec, design, rng, eta, parameters)
    # Where outcomes are truncated, their expectation is known by draws only.
    expected = (
        expected_outcomes(spec, design, eta, parameters)
        if spec.trunc is None
        else drawn
    )
    predicted = (weights * expected).sum(axis=0)
    below = (weights * (drawn < design.y)).sum(axis=0)
    equal = (weights * (drawn == design.y)).sum(axis=0)
    pit = np.clip(below + rng.random(design.rows) * equal, 0.0, 1.0)
    seen = True if design.censored is None else design.censored == 0
    return {
        "predicted": np.where(seen, predicted, np.nan),
        "pit": np.where(seen, pit, np.nan),
    }


def _predict_categories(
    probability: Array, y: Array, *, is_ordered: bool, rng: np.random.Generator
) -> dict[str, Array]:
    """Return PITs and scores of categories from probabilities of shape ``(N, K)``."""
    rows, came_out = np.arange(len(y)), np.eye(probability.shape[1])[y]
    seen = probability[rows, y]
    if is_ordered:
        below = probability.cumsum(axis=1)[rows, y] - seen
        error = (probability - came_out).cumsum(axis=1)
    else:
        # An order that does not depend on what came out: ties go by the category.
        order = np.argsort(-probability, axis=1, kind="stable")
        place = np.argsort(order, axis=1, kind="stable")
        below = (probability * (place < place[rows, y][:, None])).sum(axis=1)
        error = probability - came_out
    return {
        "pit": np.clip(below + rng.random(len(y)) * seen, 0.0, 1.0),
        "score": (error**2).sum(axis=1),
        "hit": (probability.argmax(axis=1) == y).astype(float),
    }


def score_name(spec: ModelSpec) -> str:
    """Name the score of a family's categories."""
    is_ordered = FAMILIES[spec.family].outcome == "ordered"
    return "ranked probability score" if is_ordered else "Brier score"


def _split_rows(model: PreparedModel, folds: int, rng: np.random.Generator) -> Array:
    """Deal each group's rows out over the folds, in random order."""
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


def _split(count: int, folds: int, what: str, rng: np.random.Generator) -> Array:
    """Deal units out over the folds, in random order."""
    if isinstance(folds, bool) or not isinstance(folds, int) or not 2 <= folds <= count:
        raise SpecError(
            f"folds={shorten(folds)} must be a whole number from 2 to the number of "
            f"{what}, {count}."
        )
    return np.asarray(rng.permutation(np.arange(count) % folds))


def _seed(seed: int, number: int) -> int:
    """Return another seed for each refit."""
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _settings(
    fit: FitResult, executor: Executor | None, *, seed: int
) -> SampleSettings:
    """Return the fit's settings, and where the fit ended as initial values.

    The cores are left to the executor's workers.
    """
    at_a_time, inits = fit.settings.parallel_chains, fit.settings.inits
    if executor is not None and at_a_time is None:
        at_a_time = 1
    if inits is None:
        inits = starting_values(fit)
    return replace(fit.settings, seed=seed, parallel_chains=at_a_time, inits=inits)


def _refit(
    model: PreparedModel,
    tasks: Sequence[_Task],
    *,
    executor: Executor | None,
    progress: bool,
) -> list[_Score]:
    """Refit without each part of the data, and predict it."""
    from stanpool.engine import compile_program

    # Once, here: the workers find it in the cache.
    program = model.program
    compile_program(
        program.compiled, name=program.name, header=program.header, progress=progress
    )
    return run_many(
        _predict_left_out,
        tasks,
        title="Refitting",
        executor=executor,
        progress=progress,
    )


def _predict_left_out(task: _Task) -> _Score:
    """Refit without some rows, and predict them."""
    model, settings = task.model, task.settings
    kept = np.delete(np.arange(model.design.rows), task.rows)
    refit = sampled(model.take(kept), settings, prior_only=False, progress=False)
    # The groups that were left out are in the refit, drawn from the population.
    whole = replace(refit, model=model)
    predictors, rows = predictors_of(whole), task.rows
    eta, parameters = predictors.eta(rows), predictors.parameters(rows)
    design = predictors.design.take(rows)
    if task.factor is None:
        values = log_likelihood(model.spec, design, eta, parameters)
    else:
        values = group_log_likelihood(whole, task.factor, groups=task.units)
    weights = np.full((len(eta), 1), 1.0 / len(eta))
    rng = np.random.default_rng([settings.seed, 3])
    return _Score(
        elpd=logsumexp(values, axis=0) - np.log(len(values)),
        rows=_predict(model.spec, design, eta, parameters, weights, rng),
        seconds=refit.seconds,
        divergences=int(refit.sample_stats["diverging"].sum()),
        r_hat=float(arviz_seam.rhat(refit.sample_stats[["lp"]])["lp"]),
    )


def _with_refits(
    fit: FitResult,
    result: CrossValidation,
    units: Grouping | None,
    *,
    executor: Executor | None,
    progress: bool,
) -> CrossValidation:
    """Replace what importance sampling says of unreliable units by exact refits."""
    bad = np.flatnonzero(result.units.index.isin(result.unreliable)).tolist()
    tasks = [
        _Task(
            fit.model,
            _settings(fit, executor, seed=_seed(fit.settings.seed, place)),
            result.units.index.to_numpy()[[place]]
            if units is None
            else units.rows[place],
            np.array([place]),
            None if units is None else units.factor,
        )
        for place in bad
    ]
    scores = _refit(fit.model, tasks, executor=executor, progress=progress)
    exact, rows = result.units.copy(), result.rows.copy()
    for task, score in zip(tasks, scores, strict=True):
        unit = exact.index[task.units]
        seen = exact.loc[unit, "elpd"] + exact.loc[unit, "p"]
        exact.loc[unit, "elpd"] = score.elpd
        exact.loc[unit, "p"] = seen - score.elpd
        exact.loc[unit, "refitted"] = True
        for name, values in score.rows.items():
            rows.loc[task.rows, name] = values
    return replace(result, units=exact, rows=rows, refits=_refits(scores))


def _result(
    model: PreparedModel, rows: Array, units: Grouping | None, found: _LeftOut
) -> CrossValidation:
    """Label what was found of some rows, or of groups."""
    import pandas as pd

    of_rows = pd.Index(rows, name="row")
    index = of_rows if units is None else pd.Index(units.labels, name=units.factor)
    return CrossValidation(
        model=model,
        unit="row" if units is None else "group",
        factor=None if units is None else units.factor,
        folds=None,
        units=pd.DataFrame(
            {
                "elpd": found.elpd,
                "p": found.p,
                "pareto_k": found.pareto_k,
                "refitted": False,
            },
            index=index,
        ),
        rows=pd.DataFrame({"y": model.design.y[rows], **found.rows}, index=of_rows),
        good_k=None,
        refits=_refits([]),
        population=model.design.rows if units is None else len(units.labels),
    )


def _refits(scores: Sequence[_Score]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "seconds": [each.seconds for each in scores],
            "divergences": [each.divergences for each in scores],
            "r_hat": [each.r_hat for each in scores],
        }
    )
