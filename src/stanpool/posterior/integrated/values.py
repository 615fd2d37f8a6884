r"""Draws of values that are not known, where these were integrated out.

Given the parameters, the outcome of a row is normal about a linear function of values
:math:`\xi_u` with the slopes :math:`\beta_u`, and these are normal given what was
observed of them, with variances :math:`v_u`. So they are drawn one after the other,
each given the outcome and those before. With the residual e of the mean outcome at the
values before and the means of others, and its variance
:math:`s^2 = \sigma^2 + \sum_{w > u} \beta_w^2 v_w` without that of :math:`\xi_u`,
:math:`\xi_u` moves from its mean by :math:`\beta_u v_u e / (s^2 + \beta_u^2 v_u)`,
and keeps the variance :math:`v_u s^2 / (s^2 + \beta_u^2 v_u)`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import BLOCK, Array
from stanpool.data.design.predictors.uncertain import UncertainDesign
from stanpool.model.terms.special.uncertain import UncertainDraws, UncertainTerm
from stanpool.model.terms.term import from_link_scale
from stanpool.model.terms.unseen import UnseenGroups
from stanpool.posterior.coefficients import coefficients, flat

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import Design
    from stanpool.model.prepared_model import PreparedModel

_STREAM = 0x76616C756573  # key of a stream of random numbers apart from the chains'


def with_values(
    model: PreparedModel, tree: xr.DataTree, *, seed: int | None, prior_only: bool
) -> xr.DataTree:
    """Add draws of values that are not known to a posterior, if it has none.

    Parameters
    ----------
    model, tree
        The model, and its labelled draws.
    seed
        That of the fit; None for the means of the values, and not draws.
    prior_only
        Whether the outcome was left out.
    """
    import xarray as xr

    for term in model.design.special:
        if isinstance(term, UncertainDesign) and term.is_integrated:
            posterior = tree["posterior"].to_dataset()
            values = _drawn(model, term, posterior, seed, prior_only=prior_only)
            sizes = posterior.sizes["chain"], posterior.sizes["draw"]
            own = UncertainTerm(term).labelled_values(values.reshape(*sizes, -1))
            variables = {
                name: (("chain", "draw", *dims), each)
                for name, (dims, each) in own.variables.items()
            }
            added = xr.Dataset(variables, coords=own.coords)
            tree = tree.assign({})  # a copy
            tree["posterior"] = xr.DataTree(posterior.merge(added))
    return tree


def _drawn(
    model: PreparedModel,
    term: UncertainDesign,
    posterior: xr.Dataset,
    seed: int | None,
    *,
    prior_only: bool,
) -> Array:
    """Draw the values of all rows, shape ``(S, values)``."""
    rng = None if seed is None else np.random.default_rng([_STREAM, seed])
    parts = [
        _of_rows(model, rows, posterior, rng, prior_only=prior_only)
        for rows in _chunks(model.design.rows, posterior)
    ]
    row, predictor = term.unknown
    return np.asarray(np.concatenate(parts, axis=1)[:, row, predictor])


def _chunks(count: int, posterior: xr.Dataset) -> Iterator[slice]:
    """Split rows into chunks whose linear predictors take about 8 MB."""
    size = max(1, BLOCK // (posterior.sizes["chain"] * posterior.sizes["draw"]))
    for start in range(0, count, size):
        yield slice(start, start + size)


def _of_rows(
    model: PreparedModel,
    rows: slice,
    posterior: xr.Dataset,
    rng: np.random.Generator | None,
    *,
    prior_only: bool,
) -> Array:
    """Draw the values of some rows, shape ``(S, rows, U)``; some may be known."""
    design = model.design.take(rows)
    (term,) = (each for each in design.special if isinstance(each, UncertainDesign))
    own = coefficients(model, posterior)
    drawn: Any = own.special[term.name]
    assert isinstance(drawn, UncertainDraws)
    shift, spread = drawn.given_seen(term)
    v, slope = np.square(spread), drawn.slope[:, None, :]
    left = design.y - _mean_without(design, own) - np.sum(slope * shift, axis=-1)
    variance = _residual_variance(model, design, posterior)
    for u in range(v.shape[-1]):
        b = slope[..., u]
        if not prior_only:
            later = np.sum(np.square(slope[..., u + 1 :]) * v[..., u + 1 :], axis=-1)
            s2 = variance + later
            whole = s2 + np.square(b) * v[..., u]
            move = b * v[..., u] * left / whole
            v[..., u] *= s2 / whole
        else:
            move = np.zeros_like(left)
        if rng is not None:
            z = rng.standard_normal(move.shape)
            move = move + np.sqrt(v[..., u]) * z
        shift[..., u] += move
        left = left - b * move
    return np.asarray(term.x + shift)


def _mean_without(design: Design, own: Any) -> Array:
    """Return linear predictors with what was observed as if it were true."""
    rows = replace(design.mean, special=())
    eta = np.asarray(own.predictor_of(rows, UnseenGroups())[:, 0])
    return eta if design.offset is None else eta + design.offset


def _residual_variance(
    model: PreparedModel, design: Design, posterior: xr.Dataset
) -> Array:
    """Return the variance of outcomes about their means, which broadcasts."""
    own = design.parameter("sigma")
    if own is None:
        return np.square(flat(posterior["sigma"]))[:, None]
    drawn = coefficients(model, posterior, "sigma")
    eta = drawn.predictor_of(own, UnseenGroups())[:, 0]
    return np.square(from_link_scale(own.link, eta))
