"""Fitting several models with the same settings, by one engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from stanpool.api.facade import Fit, Model
from stanpool.sampling.choose_engine import compile_if_it_pays
from stanpool.sampling.sample import sample_model
from stanpool.sampling.settings import random_seed, settings_of

Name = TypeVar("Name")


def fit_all(
    models: Mapping[Name, Model],
    *,
    seed: int | None = None,
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
    progress, given
        As for ``Model.fit``.
    """
    seed = random_seed() if seed is None else seed
    # Settings come first, so that errors in them are raised before compilation.
    settings = {
        name: settings_of(model, seed=seed, prior_only=False, **given)
        for name, model in models.items()
    }
    to_be_fitted = [(model, settings[name]) for name, model in models.items()]
    ignore_compiled = compile_if_it_pays(to_be_fitted, progress=progress)
    results = {
        name: sample_model(
            model,
            settings[name],
            prior_only=False,
            ignore_compiled=ignore_compiled,
            progress=progress,
        )
        for name, model in models.items()
    }
    return {name: Fit.of(result) for name, result in results.items()}
