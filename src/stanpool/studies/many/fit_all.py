"""Fitting several models with the same settings, by one engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from stanpool.api.facade import Fit, Model
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.base.system.parallel import run_many
from stanpool.engine.study import StudyEngine
from stanpool.engine.values.settings import SampleSettings
from stanpool.model.fit_result import FitResult
from stanpool.sampling.choose_engine import compile_if_it_pays
from stanpool.sampling.sample import sample_model
from stanpool.sampling.settings import random_seed, settings_of

Name = TypeVar("Name")


def fit_all(
    models: Mapping[Name, Model],
    *,
    seed: int | None = None,
    executor: AnyExecutor | None = None,
    progress: bool = True,
    **given: Any,
) -> dict[Name, Fit]:
    """Fit several models with the same settings, by one engine.

    Parameters
    ----------
    models
        The models, by any names.
    seed
        The seed of all fits, which is drawn at random if None.
    executor
        What runs the fits, as for ``fit_many``; by default one fit after the other has
        all cores.
    progress, given
        As for ``Model.fit``.
    """
    seed = random_seed() if seed is None else seed
    if executor is not None:
        given = {**given, "parallel_chains": given.get("parallel_chains") or 1}
    # Settings come first, so that errors in them are raised before compilation.
    settings = {
        name: settings_of(model, seed=seed, prior_only=False, **given)
        for name, model in models.items()
    }
    to_be_fitted = [(model, settings[name]) for name, model in models.items()]
    engine = compile_if_it_pays(to_be_fitted, progress=progress)
    if executor is None:
        results = [_fit(engine, each, progress=progress) for each in to_be_fitted]
    else:
        results = run_many(
            partial(_fit, engine),
            to_be_fitted,
            title=f"Fitting {len(models)} models",
            executor=executor,
            progress=progress,
        )
    return dict(zip(models, map(Fit.of, results), strict=True))


def _fit(
    engine: StudyEngine,
    task: tuple[Model, SampleSettings],
    *,
    progress: bool = False,
) -> FitResult:
    model, settings = task
    return sample_model(
        model, settings, prior_only=False, of_study=engine, progress=progress
    )
