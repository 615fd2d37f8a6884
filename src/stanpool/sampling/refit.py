"""Fitting a model again, to other data or with other priors; or for longer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from stanpool.language.model_spec import ModelSpec
from stanpool.language.prior import Prior, as_priors
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.priors.in_force import SET_BY_USER, PriorRow
from stanpool.sampling.continuation import (
    AnyFit,
    joined,
    settings_to_continue,
    state_of,
)
from stanpool.sampling.sample import sample_model
from stanpool.sampling.settings import check_size


def update(
    fit: AnyFit,
    data: Any = None,
    *,
    priors: Mapping[str, str | Prior] | None = None,
    chains: int | None = None,
    draws: int | None = None,
    warmup: int | None = None,
    seed: int | None = None,
    adapt_delta: float | None = None,
    max_treedepth: int | None = None,
    parallel_chains: int | None = None,
    progress: bool = True,
) -> AnyFit:
    """Fit a model again, to other data or with other priors.

    Parameters of priors are data of the program, so that it is compiled only if the
    distribution of a prior or the structure of the data changes. All other priors stay
    as they are; defaults are not scaled by the new data.

    Parameters
    ----------
    fit
        A fit.
    data
        The new data; by default those of the fit.
    priors
        The priors to change.
    chains, draws, warmup, seed, adapt_delta, max_treedepth, parallel_chains
        As for ``Model.fit``; by default those of the fit.
    progress
        Whether to show progress bars.

    Raises
    ------
    SpecError
        If there is no such parameter, or the prior does not suit it.
    DataError
        If the data are not suitable for the model.
    """
    model = fit.model
    spec = spec_to_refit(model, priors)
    again = PreparedModel.from_spec(
        # Other data have smooths of their own.
        spec if data is None else replace(spec, smooths=()),
        model.source if data is None else data,
        strict=False,
    )
    given = {
        "chains": chains,
        "draws": draws,
        "warmup": warmup,
        "seed": seed,
        "adapt_delta": adapt_delta,
        "max_treedepth": max_treedepth,
        "parallel_chains": parallel_chains,
    }
    changes: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    if fit.settings.method != "nuts":  # independent draws are one chain
        of_each = changes.get("draws", fit.settings.draws)
        changes["draws"] = changes.pop("chains", 1) * of_each
    # Initial values that were given for other data may not suit these.
    inits = "random" if fit.settings.inits == "random" else None
    settings = replace(fit.settings, inits=inits, **changes)
    check_size(again, settings)
    result = sample_model(again, settings, prior_only=fit.prior_only, progress=progress)
    return type(fit).of(result)


def more(
    fit: AnyFit,
    draws: int = 1000,
    *,
    seed: int | None = None,
    parallel_chains: int | None = None,
    progress: bool = True,
) -> AnyFit:
    """Continue the chains of a fit, and return a fit with all draws.

    Each chain goes on from its last draw with the step size and the metric that it has
    adapted, in the engine that it was run by; there is no warm-up. A fit that was saved
    and read can be continued, too.

    Parameters
    ----------
    fit
        A fit that was sampled with NUTS.
    draws
        How many draws each chain makes.
    seed
        The seed of the new draws; by default another one that follows from that of the
        fit and the number of its draws.
    parallel_chains
        The number of chains at a time; by default that of the fit.
    progress
        Whether to show progress bars.

    Raises
    ------
    SpecError
        If the fit cannot be continued: its draws are from an approximation, or the
        version of stanpool that saved it did not save what is needed.
    OutOfMemoryError
        If the draws do not fit into memory.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = model.fit(seed=1, draws=200, engine="stanli", progress=False)
    >>> fit.more(300, progress=False).settings.draws
    500
    """
    settings = settings_to_continue(fit, state_of(fit), draws=draws, seed=seed)
    if parallel_chains is not None:
        settings = replace(settings, parallel_chains=parallel_chains)
    check_size(fit.model, replace(settings, draws=draws + fit.settings.draws))
    new = sample_model(
        fit.model, settings, prior_only=fit.prior_only, progress=progress
    )
    return joined(fit, new)


def spec_to_refit(
    model: PreparedModel, priors: Mapping[str, str | Prior] | None = None
) -> ModelSpec:
    """State a model with all its priors and its form, whatever its next data are.

    Parameters
    ----------
    model
        The model.
    priors
        Priors to change.

    Raises
    ------
    SpecError
        If there is no such parameter, or the prior does not suit it.
    """
    in_force = {_name(row): row.prior for row in model.priors}
    if priors is not None:
        changed = replace(model.spec, priors=as_priors(priors))
        tried = PreparedModel.from_spec(changed, model.source)
        in_force |= {
            _name(row): row.prior for row in tried.priors if row.source == SET_BY_USER
        }
    return replace(
        model.spec,
        priors=as_priors(in_force),
        parameterization=model.parameterization or model.spec.parameterization,
    )


def _name(row: PriorRow) -> str:
    """Return the name that a prior is set by; all cutpoints have one name."""
    together = row.prior.support == "simplex"
    return row.parameter_class if together else row.parameter
