"""Sampling: choose an engine, sample, draw what was integrated out, and label."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stanpool.base.errors import EngineError, SamplingError
from stanpool.base.progress import tell, tell_detail
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.outcome import refuse_constant
from stanpool.density.check import check_density
from stanpool.engine import SampleSettings
from stanpool.engine.cmdstan.engine import CmdStan
from stanpool.engine.cmdstan.run import spare_threads
from stanpool.engine.values.settings import PATHS
from stanpool.model.fit_result import LOG_DENSITY, Approximation, FitResult
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.terms.of_design import special_terms
from stanpool.posterior.integrated.values import with_values
from stanpool.posterior.labelled_draws import build_tree, draw_back
from stanpool.posterior.recenter import uncenter_tree
from stanpool.sampling.approximate import chosen_draws
from stanpool.sampling.choose_engine import opened, remember_gain
from stanpool.sampling.continuation import STATE, passing_names, sampler_state
from stanpool.sampling.initial_values import (
    as_declared,
    pilot_metric,
    points_around_pilot,
    starts_from_pilot,
)
from stanpool.sampling.settings import METRIC

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    import xarray as xr

    from stanpool.base.options import EngineName
    from stanpool.engine.interface import LoadedProgram
    from stanpool.engine.study import StudyEngine
    from stanpool.engine.values.draws import RawDraws
    from stanpool.engine.values.program import StanProgram

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
    of_study: StudyEngine | None = None,
    progress: bool,
) -> FitResult:
    """Sample from a model with the engine that is given or expected to finish first.

    Parameters
    ----------
    model, settings
        The model, and the settings.
    prior_only
        Whether to draw from the prior.
    of_study
        The engine that runs all fits of a study, if nobody asks for another one.
    progress
        Whether to show progress on standard error.
    """
    if not prior_only:
        refuse_constant(model.spec, model.design)
    program = model.program
    data = model.stan_data(prior_only=prior_only)

    def sampled(engine: EngineName, loaded: LoadedProgram) -> _Sampled:
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
        found = _drawn(loaded, full, passing=passing_names(model), progress=progress)
        engine_and_check = {**found.raw.engine, LOG_DENSITY: said}
        return replace(found, raw=replace(found.raw, engine=engine_and_check))

    start, found = _sample(
        program,
        data,
        settings,
        sampled,
        of_study=of_study,
        progress=progress,
    )
    raw = found.raw
    return FitResult(
        model=model,
        tree=_labelled(model, found, settings, prior_only=prior_only),
        settings=settings,
        seconds=time.perf_counter() - start,
        prior_only=prior_only,
        engine=raw.engine,
        program=program,
        rejections=raw.rejections,
        approximation=found.approximation,
    )


@dataclass(frozen=True, eq=False)
class _Sampled:
    """Draws by Stan's names, and of which approximation they are, if of any."""

    raw: RawDraws
    approximation: Approximation | None = None
    mode: RawDraws | None = None


def _drawn(
    loaded: LoadedProgram,
    settings: SampleSettings,
    *,
    passing: Sequence[str],
    progress: bool,
) -> _Sampled:
    """Draw by the method that settings name."""
    if settings.method == "nuts":
        return _Sampled(loaded.sample(settings, passing=passing, progress=progress))
    proposals = loaded.approximate(settings, progress=progress)
    mode = proposals.mode if settings.method == "optimize" else None
    return _Sampled(*chosen_draws(proposals, settings), mode)


def _labelled(
    model: PreparedModel,
    found: _Sampled,
    settings: SampleSettings,
    *,
    prior_only: bool,
) -> xr.DataTree:
    """Label draws, with those of the warm-up and the mode if they are there."""
    import xarray as xr

    deepest = settings.max_treedepth if settings.method == "nuts" else None

    def tree_of(draws: RawDraws, seed: int | None) -> xr.DataTree:
        back = None
        if isinstance(model.rows, MarginalRows):
            back = _drawn_back(model, draws, model.rows, seed, prior_only=prior_only)
        tree = build_tree(
            model.scaling.undone(draws),
            model.design,
            model.structure,
            max_treedepth=deepest,
            drawn_back=back,
        )
        tree = uncenter_tree(model, tree)
        return with_values(model, tree, seed=seed, prior_only=prior_only)

    tree = tree_of(found.raw.after_warmup, settings.seed)
    if found.raw.warmup:
        warm = tree_of(found.raw.of_warmup, settings.seed)
        for group in ("posterior", "sample_stats"):
            tree[f"warmup_{group}"] = xr.DataTree(warm[group].to_dataset())
    if settings.method == "nuts":
        tree[STATE] = xr.DataTree(sampler_state(model, found.raw))
    if found.mode is not None:
        mode = tree_of(found.mode, None)["posterior"].to_dataset()
        tree["mode"] = xr.DataTree(mode)
    return tree


def _drawn_back(
    model: PreparedModel,
    raw: RawDraws,
    rows: MarginalRows,
    seed: int | None,
    *,
    prior_only: bool,
) -> dict[str, np.ndarray]:
    """Draw what was integrated out, in the user's units; for no seed, the means."""
    integrated = draw_back(
        raw,
        model.scaling.design(model.design),
        model.structure,
        rows,
        seed=seed,
        prior_only=prior_only,
    )
    return {name: model.scaling.undo(name, each) for name, each in integrated.items()}


def _sample(
    program: StanProgram,
    data: Mapping[str, Any],
    settings: SampleSettings,
    sampled: Callable[[EngineName, LoadedProgram], _Sampled],
    *,
    of_study: StudyEngine | None,
    progress: bool,
) -> tuple[float, _Sampled]:
    """Sample; return when that began, and the draws.

    Where stanli fails that nobody has asked for, or has another density than the
    model, the program is compiled.
    """
    with opened(program, data, settings, of_study=of_study, progress=progress) as (
        choice,
        loaded,
    ):
        tell_detail(f"Engine: {choice.name}, {choice.reason}")
        start = time.perf_counter()
        try:
            found = sampled(choice.name, loaded)
            if not data.get("prior_only"):
                remember_gain(choice, program, settings, found.raw)
            return start, found
        except SamplingError:
            raise
        except EngineError as problem:
            if choice.name == "cmdstan" or not choice.is_free:
                raise
            failure = problem
    tell(f"stanli failed, so the program will be compiled: {failure}", shown=progress)
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
        paths = PATHS if settings.method == "pathfinder" else settings.chains
        points = _starting_points(model, chains=paths, seed=settings.seed)
        chosen = replace(chosen, inits=points)
    if settings.threads_per_chain == "auto":
        shared = model.program.header and not prior_only and _is_much_work(data)
        threads = spare_threads(settings) if shared else 1
        chosen = replace(chosen, threads_per_chain=threads)
    return chosen


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
    if METRIC & given.keys() or settings.warmup == 0:
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


def _starting_points(model: PreparedModel, *, chains: int, seed: int) -> Any:
    """Return initial values; None for random ones."""
    points = None
    if starts_from_pilot(model):
        points = points_around_pilot(model, chains=chains, seed=seed)
    design = model.scaling.design(model.design)
    for term in special_terms(design):
        # Near its mean, a probability changes a quarter as fast as its logit.
        slope = 1.0 if model.spec.link_name == "identity" else 4.0
        y = design.y
        own = term.starting_points(slope * y, chains=chains, seed=seed)
        own = as_declared(model, own)
        points = [a | b for a, b in zip(points or [{}] * chains, own, strict=True)]
    return points
