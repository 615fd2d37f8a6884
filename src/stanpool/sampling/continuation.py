"""Continuing the chains of a fit where they ended, with what they adapted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from stanpool.base.errors import SpecError
from stanpool.density.parameters import declared_names
from stanpool.model.fit_result import FitResult
from stanpool.model.terms.of_design import predictors_of
from stanpool.posterior.labelled_draws import number_draws

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.engine.values.draws import RawDraws
    from stanpool.engine.values.settings import SampleSettings
    from stanpool.model.prepared_model import PreparedModel

STATE = "sampler_state"
"""The group of ``FitResult.tree`` with what ``Fit.more`` begins with."""

AnyFit = TypeVar("AnyFit", bound=FitResult)

_POSITION = "at_"  # before the names of parameters
_ADAPTED = {"inv_metric", "step_size", "adapt_engaged", "metric"}
_ADAPTED |= {"adapt_metric_window", "adapt_init_phase", "adapt_step_size"}


def sampler_state(model: PreparedModel, raw: RawDraws) -> xr.Dataset:
    """Return step sizes, inverse metrics, the last draw and the seconds of each chain.

    Parameters
    ----------
    model
        The model.
    raw
        Its draws, by Stan's names and in Stan's units.
    """
    import xarray as xr

    variables: dict[str, Any] = {}
    position = raw.last_draws(declared_names(model.program.source))
    for name, last in position.items():
        dims = [f"{name}_{place}" for place in range(last.ndim - 1)]
        variables[f"{_POSITION}{name}"] = (("chain", *dims), last)
    steps = raw.sampler_variable("stepsize__")[:, -1]
    variables["step_size"] = (("chain",), steps)
    if len(raw.seconds_warmup) == len(steps):
        variables["seconds_warmup"] = (("chain",), raw.seconds_warmup)
        variables["seconds_sampling"] = (("chain",), raw.seconds_sampling)
    if raw.inv_metric is not None:
        dims = ["parameter", "parameter_2"][: raw.inv_metric.ndim - 1]
        variables["inv_metric"] = (("chain", *dims), raw.inv_metric)
    return xr.Dataset(variables)


def passing_names(model: PreparedModel) -> list[str]:
    """Name the parameters whose last draw is all that a fit keeps, as its state.

    Groups' coefficients are made of them, and of these all draws are kept.
    """
    predictors = predictors_of(model.design, model.structure)
    groups = [term for predictor in predictors for term in predictor.groups]
    made_of = {f"{base}{term.suffix}" for term in groups for base in ("z", "b_c")}
    return [name for name in declared_names(model.program.source) if name in made_of]


def settings_to_continue(
    fit: FitResult, state: xr.Dataset, *, draws: int, seed: int | None
) -> SampleSettings:
    """Return the settings with which chains go on as they are.

    Parameters
    ----------
    fit, state
        The fit, and what its chains adapted and where they ended.
    draws, seed
        As for ``more``.
    """
    chains = range(state.sizes["chain"])
    points: list[dict[str, Any]] = [
        {
            str(name).removeprefix(_POSITION): each.isel(chain=chain).to_numpy()
            for name, each in state.data_vars.items()
            if str(name).startswith(_POSITION)
        }
        for chain in chains
    ]
    given = dict(fit.settings.sample_options)
    options = {name: each for name, each in given.items() if name not in _ADAPTED}
    options["step_size"] = state["step_size"].to_numpy().tolist()
    if "inv_metric" in state:
        metrics = state["inv_metric"].to_numpy()
        options["metric"] = "diag_e" if metrics.ndim == 2 else "dense_e"
        options["inv_metric"] = [{"inv_metric": each.tolist()} for each in metrics]
    elif "metric" in given:
        options["metric"] = given["metric"]
    name = fit.engine.get("name", "cmdstan")
    return replace(
        fit.settings,
        draws=draws,
        warmup=0,
        seed=_next_seed(fit) if seed is None else seed,
        inits=tuple(points),
        sample_options=tuple(options.items()),
        engine="stanli" if name == "stanli" else "cmdstan",
        save_warmup=False,
        output_dir=None,
    )


def state_of(fit: FitResult) -> xr.Dataset:
    """Return what the chains of a fit adapted, and where they ended.

    Raises
    ------
    SpecError
        If they cannot be continued.
    """
    reason = ""
    if fit.approximation is not None:
        reason = (
            f"has independent draws of a {fit.approximation.named}, and no chains that "
            "could go on: pass more draws= to model.fit()"
        )
    elif STATE not in fit.tree.children:
        reason = (
            "was saved by a version of stanpool that did not keep what the chains "
            "adapted and where they ended: fit again with more draws"
        )
    elif fit.program != fit.model.program:
        reason = (
            "was saved by a version of stanpool with another Stan program for this "
            "model: fit again with more draws"
        )
    if reason:
        raise SpecError(f"this fit {reason}.")
    return fit.tree[STATE].to_dataset()


def joined(fit: AnyFit, new: FitResult) -> AnyFit:
    """Return a fit with the draws of another one after its own.

    Parameters
    ----------
    fit, new
        The fit, and its continuation.
    """
    import xarray as xr

    # Chains of stanli share a step size, and have their own by their metrics: what was
    # adapted stays as it was written first.
    adapted, before = ["step_size", "inv_metric"], fit.tree[STATE].to_dataset()
    state = new.tree[STATE].to_dataset().drop_vars(adapted, errors="ignore")
    state = state.assign({name: before[name] for name in adapted if name in before})
    tree = fit.tree.copy()
    for group in ("posterior", "sample_stats"):
        later = new.tree[group].to_dataset()
        if "step_size" in later:
            later["step_size"] = before["step_size"].broadcast_like(later["lp"])
        both = [fit.tree[group].to_dataset(), later]
        tree[group] = xr.DataTree(number_draws(xr.concat(both, dim="draw")))
    tree[STATE] = xr.DataTree(state)
    names = sorted(fit.rejections.keys() | new.rejections.keys())
    return replace(
        fit,
        tree=tree,
        settings=replace(fit.settings, draws=fit.settings.draws + new.settings.draws),
        seconds=fit.seconds + new.seconds,
        rejections={
            name: fit.rejections.get(name, 0) + new.rejections.get(name, 0)
            for name in names
        },
    )


def _next_seed(fit: FitResult) -> int:
    """Return another seed than those of the draws so far."""
    words = [fit.settings.seed, fit.settings.draws]
    return int(np.random.SeedSequence(words).generate_state(1)[0])
