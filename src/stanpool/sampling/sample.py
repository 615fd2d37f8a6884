"""Sampling: choose an engine, sample, draw what was integrated out, and label."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stanpool.base.arrays import check_memory
from stanpool.base.errors import EngineError, SamplingError
from stanpool.base.progress import tell, tell_detail
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.outcome import refuse_constant
from stanpool.density.check import check_density
from stanpool.engine import SampleSettings
from stanpool.engine.cmdstan.engine import CmdStan
from stanpool.engine.cmdstan.run import spare_threads
from stanpool.model.fit_result import LOG_DENSITY, FitResult
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.terms.of_design import special_terms
from stanpool.posterior.labelled_draws import build_tree, draw_back, numbers_of_draw
from stanpool.posterior.recenter import uncenter_tree
from stanpool.sampling.choose_engine import opened
from stanpool.sampling.initial_values import (
    pilot_metric,
    points_around_pilot,
    starts_from_pilot,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stanpool.base.options import EngineName
    from stanpool.engine.draws import RawDraws
    from stanpool.engine.interface import LoadedProgram
    from stanpool.engine.program import StanProgram

_WARMUP, _SHORT_WARMUP = 1000, 500
ADAPT_DELTA = 0.8  # Stan's default
_ADAPT_DELTA_OF_FEW, _FEW_GROUPS = 0.9, 10
_METRIC = {"metric", "inv_metric"}
# Iterations of Stan's warm-up that do not adapt the metric: first and last stage.
_FIRST_AND_LAST = 75 + 50

# From this size on, two threads save a fifth of the time of a gradient.
_MANY_ROWS = 20_000
_MANY_GROUPS = 4_000


def sample_model(
    model: PreparedModel,
    settings: SampleSettings,
    *,
    prior_only: bool,
    ignore_compiled: bool = False,
    progress: bool,
) -> FitResult:
    """Sample from a model with the engine that is given or expected to finish first.

    Parameters
    ----------
    model, settings
        The model, and the settings.
    prior_only
        Whether to draw from the prior.
    ignore_compiled
        Whether to choose the engine as if the program had never been compiled.
    progress
        Whether to show progress on standard error.
    """
    if not prior_only:
        refuse_constant(model.spec, model.design)
    program = model.program
    data = model.stan_data(prior_only=prior_only)

    def sampled(engine: EngineName, loaded: LoadedProgram) -> RawDraws:
        full = _in_full(model, settings, data, engine, prior_only=prior_only)
        said = check_density(
            model,
            data,
            loaded,
            engine=engine,
            starts=full.inits,
            seed=settings.seed,
            prior_only=prior_only,
        )
        tell_detail(f"Log density: {said}")
        raw = loaded.sample(full, progress=progress)
        return replace(raw, engine={**raw.engine, LOG_DENSITY: said})

    start, raw = _sample(
        program,
        data,
        settings,
        sampled,
        ignore_compiled=ignore_compiled,
        progress=progress,
    )
    drawn_back = None
    if isinstance(model.rows, MarginalRows):
        integrated = draw_back(
            raw,
            model.scaling.design(model.design),
            model.structure,
            model.rows,
            seed=settings.seed,
            prior_only=prior_only,
        )
        drawn_back = {
            name: model.scaling.undo(name, values)
            for name, values in integrated.items()
        }
    tree = build_tree(
        model.scaling.undone(raw),
        model.design,
        model.structure,
        max_treedepth=settings.max_treedepth,
        drawn_back=drawn_back,
    )
    return FitResult(
        model=model,
        tree=uncenter_tree(model, tree),
        settings=settings,
        seconds=time.perf_counter() - start,
        prior_only=prior_only,
        engine=raw.engine,
        program=program,
        rejections=raw.rejections,
    )


def _sample(
    program: StanProgram,
    data: Mapping[str, Any],
    settings: SampleSettings,
    sampled: Callable[[EngineName, LoadedProgram], RawDraws],
    *,
    ignore_compiled: bool,
    progress: bool,
) -> tuple[float, RawDraws]:
    """Sample; return when that began, and the draws.

    Where stanli fails that nobody has asked for, or has another density than the
    model, the program is compiled.
    """
    with opened(
        program, data, settings, ignore_compiled=ignore_compiled, progress=progress
    ) as (choice, loaded):
        tell_detail(f"Engine: {choice.name}, {choice.reason}")
        start = time.perf_counter()
        try:
            return start, sampled(choice.name, loaded)
        except SamplingError:
            raise
        except EngineError as problem:
            if choice.name == "cmdstan" or not choice.is_free:
                raise
            failure = problem
    tell(f"stanli failed, so that the program is compiled: {failure}", shown=progress)
    try:
        with CmdStan().load(program, data, progress=progress) as compiled:
            start = time.perf_counter()
            return start, sampled("cmdstan", compiled)
    except EngineError as problem:
        raise type(problem)(f"{problem}\nBefore that, stanli failed: {failure}") from (
            failure
        )


def _in_full(
    model: PreparedModel,
    settings: SampleSettings,
    data: Mapping[str, Any],
    engine: EngineName,
    *,
    prior_only: bool,
) -> SampleSettings:
    """Return settings with where chains start, their metric, and their threads."""
    chosen = settings if prior_only else from_pilot(model, settings, engine=engine)
    if settings.inits == "random" or (settings.inits is None and prior_only):
        chosen = replace(chosen, inits=None)
    elif settings.inits is None:
        chosen = replace(chosen, inits=_starting_points(model, settings))
    if settings.threads_per_chain == "auto":
        shared = model.program.header and not prior_only and _is_much_work(data)
        threads = spare_threads(settings) if shared else 1
        chosen = replace(chosen, threads_per_chain=threads)
    return chosen


def settings_of(
    model: PreparedModel,
    *,
    warmup: int | None = None,
    seed: int | None = None,
    adapt_delta: float | None = None,
    inits: Any = None,
    prior_only: bool = False,
    sample_options: Mapping[str, Any] | None = None,
    **others: Any,
) -> SampleSettings:
    """Return the settings of a fit, with defaults for values that are None.

    Parameters
    ----------
    model
        The model.
    warmup, seed, adapt_delta, inits, prior_only, sample_options, others
        As for ``Model.fit``.

    Raises
    ------
    SpecError
        If a value is out of its range.
    OutOfMemoryError
        If the draws do not fit into memory.
    """
    if warmup is None:
        warmup = default_warmup(
            model, inits=inits, prior_only=prior_only, sample_options=sample_options
        )
    settings = SampleSettings(
        warmup=warmup,
        seed=random_seed() if seed is None else seed,
        adapt_delta=default_adapt_delta(model) if adapt_delta is None else adapt_delta,
        inits=inits,
        sample_options=tuple(sorted((sample_options or {}).items())),
        **others,
    )
    check_size(model, settings)
    return settings


def check_size(model: PreparedModel, settings: SampleSettings) -> None:
    """Refuse more draws than fit into memory.

    Parameters
    ----------
    model, settings
        What to fit, and how.

    Raises
    ------
    OutOfMemoryError
        With how much memory the draws would take.
    """
    kept = settings.chains * max(1, settings.draws // settings.thin)
    check_memory(
        f"{kept:,} draws of {model!r}",
        kept * numbers_of_draw(model.design),
        "Pass fewer draws= or chains=, or keep every tenth by thin=10.",
    )


def random_seed() -> int:
    """Return a random seed from the operating system."""
    return int.from_bytes(os.urandom(4), "little")


def default_warmup(
    model: PreparedModel,
    *,
    inits: Any = None,
    prior_only: bool = False,
    sample_options: Mapping[str, Any] | None = None,
) -> int:
    """Return the default number of warm-up iterations.

    It is half of Stan's default if chains start around the pilot estimate with its
    metric, and have the few parameters of the marginal form.

    Parameters
    ----------
    model, inits, prior_only, sample_options
        The model, and arguments as for ``Model.fit``.
    """
    is_plain = inits is None and not prior_only
    is_plain &= not _METRIC & (sample_options or {}).keys()
    # The many coefficients of the adaptive form can be strongly correlated.
    if is_plain and model.parameterization == "marginal":
        return _WARMUP if pilot_metric(model) is None else _SHORT_WARMUP
    return _WARMUP


def default_adapt_delta(model: PreparedModel) -> float:
    """Return the default target acceptance rate.

    It is Stan's default, except for few groups whose coefficients are integrated out:
    the smaller the population scale, the smaller is the uncertainty of the population
    mean, so that steps that suit most of the posterior are too long in some of it. Of
    simulated data with 3 to 5 groups of 10 rows, a few in a hundred had a divergence at
    0.8, and one of 368 at 0.9; with 6 to 10 groups, one of 632 at 0.8 and none at 0.9.

    Parameters
    ----------
    model
        The model.
    """
    if model.parameterization != "marginal":
        return ADAPT_DELTA
    places = model.structure.integrated
    fewest = min(len(model.design.factors[place].labels) for place in places)
    return _ADAPT_DELTA_OF_FEW if fewest <= _FEW_GROUPS else ADAPT_DELTA


def from_pilot(
    model: PreparedModel, settings: SampleSettings, *, engine: EngineName = "cmdstan"
) -> SampleSettings:
    """Let chains start with the metric of the pilot estimate, unless one is given.

    Chains that also start around the pilot estimate adapt their metric from all draws
    between the first stage of Stan's warm-up, in which chains reach the posterior, and
    the last stage, which adapts the step size. By default, Stan uses windows there,
    each twice as long as the one before, for chains without such information; of 500
    iterations, only 200 are in the last window. The engine stanli always has
    these windows.

    Parameters
    ----------
    model, settings
        The model, and the settings.
    engine
        The engine that runs it.
    """
    given = dict(settings.sample_options)
    if _METRIC & given.keys() or settings.warmup == 0:
        return settings
    metric = pilot_metric(model)
    if metric is None:
        return settings
    given["inv_metric"] = {"inv_metric": metric.tolist()}
    window = settings.warmup - _FIRST_AND_LAST
    if settings.inits is None and window > 0 and engine == "cmdstan":
        given.setdefault("adapt_metric_window", window)
    return replace(settings, sample_options=tuple(given.items()))


def _is_much_work(data: Mapping[str, Any]) -> bool:
    """Whether there are so many rows, or integrated groups, that threads are faster."""
    rows, groups = int(data.get("N", 0)), int(data.get("J_reduced", 0))
    return rows >= _MANY_ROWS or groups >= _MANY_GROUPS


def _starting_points(model: PreparedModel, settings: SampleSettings) -> Any:
    """Return initial values; None for random ones."""
    chains, seed = settings.chains, settings.seed
    points = None
    if starts_from_pilot(model):
        points = points_around_pilot(model, chains=chains, seed=seed)
    for term in special_terms(model.design):
        # Near its mean, a probability changes a quarter as fast as its logit.
        slope = 1.0 if model.spec.link_name == "identity" else 4.0
        y = model.scaling.design(model.design).y
        own = term.starting_points(slope * y, chains=chains, seed=seed)
        points = [a | b for a, b in zip(points or [{}] * chains, own, strict=True)]
    return points
