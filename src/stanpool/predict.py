"""From draws and rows to linear predictors, outcomes and log likelihoods.

Nothing of the size draws x rows is kept but what is returned: all is computed in chunks
of rows. ``log_lik_chunks`` hands the chunks out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stanpool.coefficients import Coefficients, coefficients, flat
from stanpool.errors import SpecError
from stanpool.families import log_likelihood
from stanpool.posterior import GroupNames
from stanpool.spec import FAMILIES

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.design import Design
    from stanpool.fit import Fit, Model

Array = np.ndarray

CHUNK = 2**21  # numbers: 16 MB of draws x rows
LARGEST = 2**28  # numbers: 2 GB


def linpred(fit: Fit, *, draws: int | None = None) -> xr.DataArray:
    """Return the linear predictor of each row, with offsets.

    Parameters
    ----------
    fit
        A fit.
    draws
        How many posterior draws to use, evenly spaced, as many of each chain; all by
        default.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(chain, draw, row)``, and ``category`` for categorical outcomes.
    """
    source = _source(fit, draws)
    dims = ("category",) if source.is_categorical else ()
    size = (len(fit.model.design.categories) - 1,) if dims else ()
    result = _result("linpred", source, size)
    for rows, eta, _ in _chunks(source):
        result[:, rows] = eta
    return _labelled(result, source, dims)


def log_lik(fit: Fit, *, draws: int | None = None) -> xr.DataArray:
    """Return the log likelihood of each row at each draw.

    Parameters
    ----------
    fit, draws
        As for ``linpred``.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(chain, draw, row)``; for many rows see ``log_lik_chunks``.
    """
    source = _source(fit, draws)
    result = _result("log_lik", source, ())
    for rows, values in _log_lik(source):
        result[:, rows] = values
    return _labelled(result, source, ())


def log_lik_chunks(
    fit: Fit, *, draws: int | None = None
) -> Iterator[tuple[slice, Array]]:
    """Yield the log likelihood of a few rows at a time, at all draws.

    Whoever needs a number per row, such as its expected log density, never holds more
    than some 16 MB of log likelihoods.

    Parameters
    ----------
    fit, draws
        As for ``linpred``.

    Yields
    ------
    slice, numpy.ndarray
        Which rows, and their log likelihoods: shape ``(chain, draw, rows)``.
    """
    source = _source(fit, draws)
    for rows, values in _log_lik(source):
        yield rows, values.reshape(*source.shape, -1)


@dataclass(frozen=True, eq=False)
class _Source:
    """What the predictors of rows are computed from."""

    model: Model
    design: Design
    posterior: xr.Dataset
    coefficients: Coefficients

    @property
    def shape(self) -> tuple[int, int]:
        return self.posterior.sizes["chain"], self.posterior.sizes["draw"]

    @property
    def is_categorical(self) -> bool:
        return FAMILIES[self.model.spec.family].outcome == "categories"


def _source(fit: Fit, draws: int | None) -> _Source:
    posterior = _some_draws(fit.posterior, draws)
    return _Source(fit.model, fit.model.design, posterior, coefficients(fit, posterior))


def _some_draws(posterior: xr.Dataset, draws: int | None) -> xr.Dataset:
    """Take evenly spaced draws, as many of each chain."""
    if draws is None:
        return posterior
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise SpecError(f"draws={draws!r} must be a positive whole number, or None.")
    of_chain = posterior.sizes["draw"]
    wanted = min(of_chain, max(1, draws // posterior.sizes["chain"]))
    return posterior.isel(draw=np.arange(wanted) * of_chain // wanted)


def _chunks(source: _Source) -> Iterator[tuple[slice, Array, dict[str, Array]]]:
    """Yield rows, their linear predictors and the family's parameters.

    Predictors have the shape ``(S, rows)``, and one more axis for categories.
    """
    parameters = _parameters(source)
    for rows in _slices(source):
        of_rows = parameters
        if source.design.residual is not None:
            scales = parameters["sigma"][:, source.design.residual[2][rows]]
            of_rows = parameters | {"sigma": scales}
        yield rows, _eta(source, rows), of_rows


def _slices(source: _Source) -> Iterator[slice]:
    """Cut the rows into chunks."""
    draws, predictors, _ = source.coefficients.beta.shape
    widest = max((each.Z.shape[1] for each in source.design.factors), default=1)
    width = max(predictors * widest, len(source.design.categories))
    size = max(1, CHUNK // (draws * width))
    for start in range(0, source.design.rows, size):
        yield slice(start, min(start + size, source.design.rows))


def _eta(source: _Source, rows: slice) -> Array:
    """Return linear predictors with offsets of some rows."""
    found, design = source.coefficients, source.design
    eta = found.alpha[..., None] + found.beta @ design.X[rows].T
    for factor, own in zip(design.factors, found.factors, strict=True):
        index, z = factor.index[rows], factor.Z[rows]
        if factor.weights is None:
            eta += np.einsum("sndq,nq->sdn", own.deviations(index), z)
            continue
        for member in range(index.shape[1]):
            weighted = factor.weights[rows, member, None] * z
            deviations = own.deviations(index[:, member])
            eta += np.einsum("sndq,nq->sdn", deviations, weighted)
    if design.offset is not None:
        eta += design.offset[rows]
    return np.moveaxis(eta, 1, 2) if source.is_categorical else eta[:, 0]


def _parameters(source: _Source) -> dict[str, Array]:
    """Return the family's parameters, ready to meet ``(S, rows)``.

    Residual scales of groups have the shape ``(S, J)``.
    """
    posterior, spec = source.posterior, source.model.spec
    found = {}
    for name in FAMILIES[spec.family].parameters:
        if name == "sigma" and source.design.residual is not None:
            found[name] = flat(
                posterior[GroupNames.of(source.design.residual[0]).sigma]
            )
        elif name in posterior:
            found[name] = flat(posterior[name])[:, None]
    return found


def _log_lik(source: _Source) -> Iterator[tuple[slice, Array]]:
    for rows, eta, parameters in _chunks(source):
        some = source.design.take(rows)
        yield rows, log_likelihood(source.model.spec, some, eta, parameters)


def _result(what: str, source: _Source, more: tuple[int, ...]) -> Array:
    """Make room for a result, or say that it is too large and what to do."""
    draws, rows = source.shape[0] * source.shape[1], source.design.rows
    size = draws * rows * int(np.prod(more))
    if size > LARGEST:
        raise SpecError(
            f"{what} of {rows:,} rows at {draws:,} draws takes {size * 8 / 2**30:,.0f} "
            f"GB. Pass draws={max(1, draws * LARGEST // size):,} for a sample of the "
            "draws, or fewer rows."
        )
    return np.empty((draws, rows, *more))


def _labelled(values: Array, source: _Source, dims: tuple[str, ...]) -> xr.DataArray:
    """Label draws, rows and categories."""
    import xarray as xr

    coords = {name: source.posterior[name].to_numpy() for name in ("chain", "draw")}
    coords |= {name: source.posterior[name].to_numpy() for name in dims}
    return xr.DataArray(
        values.reshape(*source.shape, *values.shape[1:]),
        dims=("chain", "draw", "row", *dims),
        coords=coords,
    )
