"""Tables of the posterior with one labelled row or column for each scalar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.model.fit_result import FitResult
from stanpool.posterior.convergence import STATISTICS
from stanpool.posterior.intervals import interval_levels, quantile_name
from stanpool.posterior.scalars import described, dims_of_groups, is_of_groups, scalars

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.model.fit_result import HasPosterior


def summary(
    fit: HasPosterior,
    *,
    var_names: Sequence[str] | None = None,
    groups: bool = True,
    prob: float = 0.9,
) -> pd.DataFrame:
    """Summarize each scalar of the posterior in one row.

    Population parameters come first, and the coefficients of the groups last. The table
    is shown with the digits that its Monte Carlo standard errors support; its numbers
    are not rounded.

    Parameters
    ----------
    fit
        A fit, or draws of an exact sampler.
    var_names
        The variables to show, such as ``["Intercept", "tau_county"]``; by default all.
    groups
        Whether to include the coefficients of the groups.
    prob
        The probability of the central interval, whose ends are named by their
        quantiles.

    Returns
    -------
    pandas.DataFrame
        The columns are ``mean``, ``sd``, ``median``, ``q5``, ``q95`` (a central 90 %
        interval), ``r_hat``, ``ess_bulk``, ``ess_tail`` and ``mcse_mean``. The rows
        have labels such as ``beta[floor]`` or ``b_county[AITKIN, floor]``. The last
        four describe Markov chains: if the draws are from an approximation, they are
        left out, the columns are named after it, and ``mode`` is the first column for
        ``method="optimize"``.

    Raises
    ------
    SpecError
        If a variable is not in the posterior, or ``prob`` is not between 0 and 1.

    References
    ----------
    .. [1] Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021). Rank-normalization,
       folding, and localization: an improved R-hat for assessing convergence of MCMC.
       Bayesian Analysis 16(2), 667-718.
    """
    from stanpool.inference.estimates.summary_table import SummaryTable

    names = _chosen(fit, var_names, groups)
    table = summarize(fit.posterior, fit.described, var_names=names, prob=prob)
    approximation = fit.approximation if isinstance(fit, FitResult) else None
    if approximation is None:
        return table
    table = table.drop(columns=[*STATISTICS]).rename_axis(
        columns=f"approximate ({approximation.method})"
    )
    if "mode" in fit.tree.children:
        blocks = scalars(fit.tree["mode"].to_dataset(), var_names=names)
        mode = {
            label: value
            for each in blocks
            for label, value in zip(each.labels, each.draws[0, 0], strict=True)
        }
        table.insert(0, "mode", table.index.map(mode))
    return SummaryTable(table)


def draws(
    fit: HasPosterior,
    *,
    var_names: Sequence[str] | None = None,
    groups: bool = True,
) -> pd.DataFrame:
    """Return the draws of each scalar of the posterior as one table.

    Parameters
    ----------
    fit
        A fit, or draws of an exact sampler.
    var_names
        The variables to return, such as ``["Intercept", "tau_county"]``; by default
        all.
    groups
        Whether to include the coefficients of the groups.

    Returns
    -------
    pandas.DataFrame
        One row per draw, with the index ``chain`` and ``draw``, and one column for each
        row of ``summary``, with its label. Constants, such as the diagonal of a
        correlation matrix, are left out.

    Raises
    ------
    SpecError
        If a variable is not in the posterior.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> table = draws(fit, groups=False)
    >>> table.shape, list(table.columns)
    ((4000, 2), ['Intercept', 'tau_school[Intercept]'])
    >>> float((table["Intercept"] > 0).mean().round(2))
    0.96
    """
    import pandas as pd

    posterior = fit.posterior
    blocks = list(scalars(posterior, var_names=_chosen(fit, var_names, groups)))
    chains, count = posterior.sizes["chain"], posterior.sizes["draw"]
    return pd.DataFrame(
        np.concatenate(
            [np.empty((chains, count, 0)), *(each.draws for each in blocks)], axis=2
        ).reshape(chains * count, -1),
        index=pd.MultiIndex.from_product(
            [posterior["chain"].to_numpy(), posterior["draw"].to_numpy()],
            names=["chain", "draw"],
        ),
        columns=[label for each in blocks for label in each.labels],
    )


def summarize(
    posterior: xr.Dataset,
    kept: dict[str, dict[Any, Array]] | None = None,
    *,
    var_names: Sequence[str] | None = None,
    prob: float = 0.9,
) -> pd.DataFrame:
    """Summarize each scalar of a posterior in one row, in the order of the variables.

    ``kept`` is ``described`` of a fit, which what is computed here is added to.

    Examples
    --------
    >>> import xarray as xr
    >>> draws = np.random.default_rng(1).normal(size=(4, 100))
    >>> summarize(xr.Dataset({"mu": (("chain", "draw"), draws)})).index
    Index(['mu'], dtype='str')
    """
    from stanpool.inference.estimates.summary_table import SummaryTable

    low, high = interval_levels(prob)
    found = list(
        described(
            posterior, {} if kept is None else kept, var_names=var_names, prob=prob
        )
    )
    names: dict[Any, str] = {"mean": "mean", "sd": "sd", 0.5: "median"}
    names |= {level: quantile_name(level) for level in (low, high)}
    names |= {name: name for name in STATISTICS}
    return SummaryTable(
        {
            name: np.concatenate([np.empty(0), *(each[key] for _, each in found)])
            for key, name in names.items()
        },
        index=[label for block, _ in found for label in block.labels],
    )


def population_names(fit: HasPosterior) -> list[str]:
    """Return the variables of the posterior that are not of groups."""
    dims, posterior = dims_of_groups(fit), fit.posterior
    names = [str(name) for name in posterior.data_vars]
    return [name for name in names if not is_of_groups(posterior[name], dims)]


def _chosen(
    fit: HasPosterior, var_names: Sequence[str] | None, groups: bool
) -> list[str]:
    """Return the chosen variables, those of the population first."""
    names = _population_first(fit) if var_names is None else _known(fit, var_names)
    population = population_names(fit)
    return [name for name in names if groups or name in population]


def _population_first(fit: HasPosterior) -> list[str]:
    population = population_names(fit)
    names = [str(name) for name in fit.posterior.data_vars]
    return sorted(names, key=lambda name: name not in population)


def _known(fit: HasPosterior, var_names: Sequence[str]) -> list[str]:
    given = [var_names] if isinstance(var_names, str) else list(var_names)
    known = [str(name) for name in fit.posterior.data_vars]
    for name in given:
        if name not in known:
            raise SpecError(
                f"var_names: {quote(name)} is not in the posterior; it has "
                f"{quote_list(known)}.{suggestion(str(name), known)}"
            )
    return given
