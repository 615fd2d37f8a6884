"""A fit as the container that the functions of ArviZ take.

The groups have the names that ArviZ uses, and the outcome is called ``y`` in all of
them. Constants are left out of the posterior, because they have no R-hat.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import LARGE_ARRAY, gigabytes
from stanpool.base.progress import tell
from stanpool.inference.evaluation.prior_sensitivity import log_prior
from stanpool.inference.prediction.predict import log_lik, predict
from stanpool.inference.prediction.prior_predictive import prior_predictive
from stanpool.inference.prediction.rows import some_draws
from stanpool.model.fit_result import OWN_GROUPS
from stanpool.posterior import arviz
from stanpool.posterior.scalars import Scalars, scalars

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.model.fit_result import FitResult


def to_arviz(
    fit: FitResult,
    *,
    log_likelihood: bool = False,
    posterior_predictive: bool = False,
    prior: bool = False,
    draws: int | None = None,
    seed: int | None = None,
    progress: bool = True,
) -> Any:
    """Return the draws as the container of the installed ArviZ.

    What its functions need is added on request: ``az.loo`` and ``az.compare`` need the
    log likelihood, ``az.plot_ppc_dist`` (``az.plot_ppc`` of ArviZ 0.23) needs predicted
    outcomes, and ``az.psense`` (``az.psens``) the log likelihood and the prior.

    Parameters
    ----------
    fit
        A fit.
    log_likelihood
        Whether to add the log likelihood of each row, ``log_likelihood``.
    posterior_predictive
        Whether to add an outcome of each row at each draw, ``posterior_predictive``.
        Categories are numbered from 0, as in ``observed_data``.
    prior
        Whether to add draws from the prior, ``prior`` and ``prior_predictive``, and the
        log density of the prior at the draws of the posterior, ``log_prior``.
    draws
        The number of posterior draws to use, which are evenly spaced and equally many
        of each chain; by default all.
    seed
        The seed of predicted outcomes and of draws from the prior.
    progress
        Whether to announce large computations on standard error.

    Returns
    -------
    xarray.DataTree or arviz.InferenceData
        A tree since ArviZ 1, and an ``InferenceData`` before. Each correlation occurs
        once, in a dimension of pairs with labels such as ``Intercept, floor``; loadings
        that are 0 are left out.

    Raises
    ------
    SpecError
        If the result does not fit into memory or needs rows that were not kept, or if a
        prior is improper.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = model.fit(seed=1)  # doctest: +SKIP
    >>> az.loo(fit.to_arviz(log_likelihood=True))  # doctest: +SKIP
    """
    import xarray as xr

    groups = {
        name: node.to_dataset()
        for name, node in fit.tree.children.items()
        if name not in OWN_GROUPS
    }
    groups = {
        name: some_draws(each, draws) if "draw" in each.dims else each
        for name, each in groups.items()
    }
    posterior = groups["posterior"]
    size = posterior.sizes["chain"] * posterior.sizes["draw"]
    rows = fit.model.design.rows
    numbers = (log_likelihood + posterior_predictive + prior) * size * rows
    if numbers > LARGE_ARRAY:
        tell(
            f"Computing {rows:,} rows at {size:,} draws for ArviZ, which take "
            f"{gigabytes(numbers)}",
            shown=progress,
        )
    if log_likelihood:
        groups["log_likelihood"] = _rows(fit, log_lik(fit, draws=draws))
    if posterior_predictive:
        predicted = predict(fit, draws=draws, seed=seed)
        groups["posterior_predictive"] = _rows(fit, predicted)
    if prior:
        drawn = prior_predictive(fit.model, draws=size, seed=seed)
        groups["prior"] = without_constants(drawn["prior"].to_dataset())
        groups["prior_predictive"] = _rows(
            fit, drawn["prior_predictive"].to_dataset()["y"]
        )
        density = xr.DataArray(log_prior(fit), dims=("chain", "draw"))
        groups["log_prior"] = some_draws(xr.Dataset({"log_prior": density}), draws)
    groups["posterior"] = without_constants(posterior)
    return arviz.to_arviz(xr.DataTree.from_dict(groups))


def without_constants(posterior: xr.Dataset) -> xr.Dataset:
    """Leave out of a posterior what is constant or occurs twice.

    If only some elements of a variable remain, they have one dimension, with labels.
    """
    import xarray as xr

    variables = {
        each.variable: _varying(each, posterior[each.variable])
        for each in scalars(posterior)
    }
    kept = {name: variable for name, variable in variables.items() if variable.size}
    own = {dim for variable in kept.values() for dim in variable.dims}
    coords = {dim: posterior[dim] for dim in own if dim in posterior.coords}
    return xr.Dataset(kept, coords)


def _varying(found: Scalars, variable: xr.DataArray) -> xr.DataArray:
    """Return a variable if all its elements vary, or a list of those that do."""
    import xarray as xr

    if len(found.labels) == variable[0, 0].size:
        return variable
    start = len(found.variable) + 1
    labels = [label[start:-1] for label in found.labels]
    pairs = f"{found.variable}_pair"
    return xr.DataArray(
        found.draws,
        dims=("chain", "draw", pairs),
        coords={pairs: np.array(labels, dtype=object)},
    )


def _rows(fit: FitResult, values: xr.DataArray) -> xr.Dataset:
    """Return numbers for each row and draw, with the name of the outcome."""
    categories: Mapping[Any, int] = {
        label: number for number, label in enumerate(fit.model.design.categories)
    }
    if categories and values.dtype.kind not in "f":
        codes = np.vectorize(categories.__getitem__, otypes=[np.int64])
        values = values.copy(data=codes(values.to_numpy()))
    labelled = values.assign_coords(row=np.arange(values.sizes["row"]))
    return labelled.to_dataset(name="y")
