"""What is computed of rows at each draw: outcomes, expectations, log likelihoods.

All is computed in chunks of rows, so that no array of the size draws x rows is kept
except a result that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import (
    LARGEST_ARRAY,
    Array,
    Indices,
    gigabytes,
    keep_freed_memory,
)
from stanpool.base.errors import OutcomeWarning, SpecError, warn_user
from stanpool.data.likelihood import draw_outcomes, expected_outcomes, log_likelihood
from stanpool.families.functions import count_beyond
from stanpool.inference.prediction.conditional.rows import (
    draw_together,
    rows_given_earlier,
)
from stanpool.inference.prediction.integrated.adaptive_quadrature import (
    integrated_log_likelihood,
)
from stanpool.inference.prediction.integrated.group_likelihood import STEP, spread
from stanpool.inference.prediction.linear_predictor import LinearPredictor
from stanpool.inference.prediction.new_rows import PARTS
from stanpool.language.model_spec import LARGEST_NUMBER
from stanpool.model.terms.names import labels_of

if TYPE_CHECKING:
    import xarray as xr

FAR_OUT = (
    "The linear predictor of these rows is far too large: look for predictors and "
    "exposures in wrong units, and for new groups of a wide population. Quantiles "
    "below that value are right, means are not."
)


def warn_of_overflow(beyond: int, drawn: int, advice: str) -> None:
    """Warn if drawn outcomes overflowed, and say what to do."""
    if beyond:
        warn_user(
            f"{beyond:,} of {drawn:,} drawn outcomes are beyond {LARGEST_NUMBER:g}, "
            f"and are set to it. {advice}",
            OutcomeWarning,
        )


def _outcomes(source: LinearPredictor, rows: slice, rng: np.random.Generator) -> Array:
    """Draw outcomes; categories are given by their labels."""
    spec, design = source.model.spec, source.design.take(rows)
    if design.residual_correlation is not None:
        return np.clip(draw_together(source, rows), -LARGEST_NUMBER, LARGEST_NUMBER)
    drawn = draw_outcomes(spec, design, rng, source.eta(rows), source.parameters(rows))
    return labels_of(design.categories)[drawn] if design.categories else drawn


def _expectations(
    source: LinearPredictor, rows: slice, _: np.random.Generator
) -> Array:
    """Return expected outcomes, or values of another parameter that is asked for."""
    if source.parameter != "mean":
        return source.value_asked(rows)
    spec, design = source.model.spec, source.design.take(rows)
    return expected_outcomes(spec, design, source.eta(rows), source.parameters(rows))


def _log_likelihoods(
    source: LinearPredictor, rows: slice, _: np.random.Generator
) -> Array:
    """Return log likelihoods."""
    own = rows_given_earlier(source, rows)
    return log_likelihood_at(source, rows, *own[1:])


def log_likelihood_at(
    source: LinearPredictor,
    rows: slice | Indices,
    eta: Array,
    parameters: Mapping[str, Array],
) -> Array:
    """Return log likelihoods of rows, averaged over values that are not known.

    Parameters
    ----------
    source, rows
        The linear predictors, and which rows.
    eta, parameters
        What ``source`` says of these: its linear predictors and parameters. Of rows
        with correlated residuals, what it says of each given others.
    """
    spec, design = source.model.spec, source.design.take(rows)
    design = replace(design, residual_correlation=None)
    of_values = source.moments_of_values(rows)
    if of_values is None:
        return log_likelihood(spec, design, eta, parameters)
    mean, variance = of_values
    eta = source.without_values().eta(rows) + mean
    if spec.integrates_values:
        sigma = np.sqrt(np.square(parameters["sigma"]) + variance)
        return log_likelihood(spec, design, eta, {**parameters, "sigma": sigma})
    return _averaged_over_values(source, rows, eta, variance, parameters)


def _averaged_over_values(
    source: LinearPredictor,
    rows: slice | Indices,
    eta: Array,
    variance: Array,
    parameters: Mapping[str, Array],
) -> Array:
    """Return log likelihoods of rows, averaged over values that are not known.

    They add a normal variable to the linear predictor of each row, so that each row at
    each draw has an integral in one dimension.

    Parameters
    ----------
    source, rows, parameters
        As for ``log_likelihood_at``.
    eta, variance
        The means of linear predictors and their variances, shape ``(S, rows)``.
    """
    spec, design = source.model.spec, source.design.take(rows)
    step = np.broadcast_to(STEP * spread(design, dict(parameters)), eta.shape)

    def log_density(at: Array) -> Array:
        found = log_likelihood(spec, design, at.reshape(eta.shape), parameters)
        return found.reshape(-1, 1)

    found = integrated_log_likelihood(
        log_density,
        eta.reshape(-1, 1),
        np.ones((1, 1)),
        np.sqrt(variance).reshape(-1, 1, 1),
        step=step.reshape(-1, 1),
    )
    return found.reshape(eta.shape)


@dataclass(frozen=True)
class Kind:
    """A quantity that is computed for each row at each draw, and what it needs."""

    compute: Callable[[LinearPredictor, slice, np.random.Generator], Array]
    parts: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "predict": Kind(_outcomes, ("trials", "se", "trunc", "residual", "subject")),
    "epred": Kind(_expectations, ("trials", "residual")),
    "linpred": Kind(lambda source, rows, _: source.asked(rows)),
}
_ALL_KINDS = {**KINDS, "log_lik": Kind(_log_likelihoods, PARTS)}


def blocks_of(kind: str, source: LinearPredictor) -> Iterator[tuple[slice, Array]]:
    """Yield rows and what is computed for them, shape ``(S, rows, ...)``."""
    keep_freed_memory()
    rng = np.random.default_rng([source.seed])
    for rows in source.chunks():
        yield rows, _ALL_KINDS[kind].compute(source, rows, rng)


def attributes_of(source: LinearPredictor) -> dict[str, float]:
    """Return the attributes of a result."""
    return {} if source.pareto_k is None else {"pareto_k": source.pareto_k}


def collected(kind: str, source: LinearPredictor) -> xr.DataArray:
    """Compute all rows, with labels, or refuse a result that is too large."""
    import xarray as xr

    draws, rows = source.shape[0] * source.shape[1], source.design.rows
    coords: dict[str, Any] = {
        name: source.posterior[name].to_numpy() for name in ("chain", "draw")
    }
    dims: tuple[str, ...] = ("chain", "draw", "row")
    predicted = source.design.categories[1:] if source.is_categorical else ()
    categories = {"linpred": predicted, "epred": source.design.categories}.get(kind)
    size = draws * rows
    if categories:
        dims += ("category",)
        coords["category"] = labels_of(categories)
        size *= len(categories)
    if size > LARGEST_ARRAY:
        other = "log_lik_chunks" if kind == "log_lik" else "predict_table"
        fewer = max(1, draws * LARGEST_ARRAY // size)
        raise SpecError(
            f"{kind} of {rows:,} rows at {draws:,} draws takes {gigabytes(size)}. Pass "
            f"draws={fewer} for a sample of the draws, or fewer rows; or use {other}, "
            "which needs little memory."
        )
    result: Array | None = None
    beyond = 0
    for some, values in blocks_of(kind, source):
        beyond += count_beyond(values) if kind == "predict" else 0
        if result is None:
            result = np.empty((draws, rows, *values.shape[2:]), dtype=values.dtype)
        elif values.dtype != result.dtype:  # counts that 64 bits cannot hold
            result = result.astype(np.result_type(result, values), copy=False)
        result[:, some] = values
    assert result is not None
    attributes: dict[str, float] = attributes_of(source)
    if beyond:
        attributes["beyond"] = beyond
    return xr.DataArray(
        result.reshape(*source.shape, *result.shape[1:]),
        dims=dims,
        coords=coords,
        attrs=attributes,
    )
