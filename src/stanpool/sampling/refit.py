"""Fitting a model again, to other data or with other priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from stanpool.language.prior import Prior, as_priors
from stanpool.model.fit_result import FitResult
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.priors.in_force import SET_BY_USER, PriorRow
from stanpool.sampling.sample import sample_model
from stanpool.sampling.settings import check_size

AnyFit = TypeVar("AnyFit", bound=FitResult)


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
    in_force = {_name(row): row.prior for row in model.priors}
    if priors is not None:
        changed = replace(model.spec, priors=as_priors(priors))
        tried = PreparedModel.from_spec(changed, model.source)
        in_force |= {
            _name(row): row.prior for row in tried.priors if row.source == SET_BY_USER
        }
    spec = replace(
        model.spec,
        priors=as_priors(in_force),
        parameterization=model.parameterization or model.spec.parameterization,
    )
    again = PreparedModel.from_spec(
        spec, model.source if data is None else data, strict=False
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


def _name(row: PriorRow) -> str:
    """Return the name that a prior is set by; all cutpoints have one name."""
    together = row.prior.support == "simplex"
    return row.parameter_class if together else row.parameter
