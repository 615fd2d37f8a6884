"""Posterior draws -> a table with one labelled row for each scalar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stanpool.diagnostics.mixing import blockwise, mixing
from stanpool.errors import SpecError, listed, shorten, suggestion

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.fit import Fit

COLUMNS = (
    "mean",
    "sd",
    "median",
    "q5",
    "q95",
    "r_hat",
    "ess_bulk",
    "ess_tail",
    "mcse_mean",
)


@dataclass(frozen=True, eq=False)
class Scalars:
    """One posterior variable as scalars: labels, positions, and a view of the draws.

    Parameters
    ----------
    variable
        Its name, such as ``"b_county"``.
    labels
        Of each scalar, such as ``"b_county[AITKIN, floor]"``.
    positions
        The index of each scalar in the variable's own dimensions, shape
        ``(scalar, dimension)``.
    draws
        Shape ``(chain, draw, scalar)``.
    """

    variable: str
    labels: tuple[str, ...]
    positions: NDArray[np.intp]
    draws: NDArray[np.float64]


def scalars(
    posterior: xr.Dataset, *, var_names: Sequence[str] | None = None
) -> Iterator[Scalars]:
    """Take a posterior apart into labelled scalars, one variable at a time.

    Of a correlation matrix only the upper triangle is kept: its diagonal is constant
    and its other half says the same again.
    """
    for name in posterior.data_vars if var_names is None else var_names:
        variable = posterior[name].transpose("chain", "draw", ...)
        shape = variable.shape[2:]
        positions = np.argwhere(np.ones(shape, dtype=bool))
        draws = variable.to_numpy().reshape(*variable.shape[:2], -1)
        if is_correlation(variable):
            upper = positions[:, 0] < positions[:, 1]
            positions, draws = positions[upper], draws[:, :, upper]
        yield Scalars(str(name), _labels(variable, positions), positions, draws)


def is_correlation(variable: xr.DataArray) -> bool:
    """Say whether a variable is a matrix of correlations among coefficients."""
    return str(variable.name).startswith("Omega") and variable.ndim == 4


def _labels(variable: xr.DataArray, positions: NDArray[np.intp]) -> tuple[str, ...]:
    dims = variable.dims[2:]
    if not dims:
        return (str(variable.name),)
    coordinates = [[str(value) for value in variable[dim].to_numpy()] for dim in dims]
    return tuple(
        f"{variable.name}[{', '.join(map(list.__getitem__, coordinates, row))}]"
        for row in positions.tolist()
    )


def group_variable(fit: Fit) -> str | None:
    """Name the variable that holds the coefficients of the groups, if there is one."""
    from stanpool.posterior import GroupNames

    factor = fit.model.design.factor
    return None if factor is None else GroupNames.of(factor).b


def summary(
    fit: Fit, *, var_names: Sequence[str] | None = None, groups: bool = True
) -> pd.DataFrame:
    """Summarize each scalar of the posterior in one row.

    Population quantities come first, the coefficients of the groups last.

    Parameters
    ----------
    fit
        A fit.
    var_names
        The variables to show, such as ``["Intercept", "tau_county"]``; all by default.
    groups
        False leaves out the coefficients of the groups.

    Returns
    -------
    pandas.DataFrame
        Columns ``mean``, ``sd``, ``median``, ``q5``, ``q95`` (a central 90 %
        interval), ``r_hat``, ``ess_bulk``, ``ess_tail`` and ``mcse_mean``; rows
        labelled as in ``beta[floor]`` or ``b_county[AITKIN, floor]``.

    Raises
    ------
    SpecError
        If a variable is not in the posterior.

    References
    ----------
    .. [1] Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021). Rank-normalization,
       folding, and localization: an improved R-hat for assessing convergence of MCMC.
       Bayesian Analysis 16(2), 667-718.
    """
    names = _population_first(fit) if var_names is None else _known(fit, var_names)
    of_groups = group_variable(fit)
    return summarize(
        fit.posterior,
        var_names=[name for name in names if groups or name != of_groups],
    )


def summarize(
    posterior: xr.Dataset, *, var_names: Sequence[str] | None = None
) -> pd.DataFrame:
    """Summarize each scalar of a posterior in one row, in the order of the variables.

    Examples
    --------
    >>> import xarray as xr
    >>> draws = np.random.default_rng(1).normal(size=(4, 100))
    >>> summarize(xr.Dataset({"mu": (("chain", "draw"), draws)})).index
    Index(['mu'], dtype='str')
    """
    import pandas as pd

    blocks = list(scalars(posterior, var_names=var_names))
    tables = [blockwise(_moments, each.draws) | mixing(each.draws) for each in blocks]
    return pd.DataFrame(
        {
            column: np.concatenate([np.empty(0), *(table[column] for table in tables)])
            for column in COLUMNS
        },
        index=[label for each in blocks for label in each.labels],
    )


def _moments(draws: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Describe draws of shape ``(scalar, chain, draw)``."""
    flat = draws.reshape(len(draws), -1)
    q5, median, q95 = np.quantile(flat, (0.05, 0.5, 0.95), axis=1)
    return {
        "mean": flat.mean(axis=1),
        "sd": flat.std(axis=1, ddof=1),
        "median": median,
        "q5": q5,
        "q95": q95,
    }


def _population_first(fit: Fit) -> list[str]:
    names = [str(name) for name in fit.posterior.data_vars]
    return sorted(names, key=lambda name: name == group_variable(fit))


def _known(fit: Fit, var_names: Sequence[str]) -> list[str]:
    given = [var_names] if isinstance(var_names, str) else list(var_names)
    known = [str(name) for name in fit.posterior.data_vars]
    for name in given:
        if name not in known:
            raise SpecError(
                f"var_names: {shorten(name)} is not in the posterior; it has "
                f"{listed(known)}.{suggestion(str(name), known)}"
            )
    return given


def short_label(label: object, limit: int = 40) -> str:
    r"""Write a user's label on one line of at most ``limit`` characters.

    Examples
    --------
    >>> short_label("ST.\n LOUIS")
    'ST. LOUIS'
    >>> short_label("x" * 100, limit=10)
    'xxxxxxx...'
    """
    printable = (char if char.isprintable() else " " for char in str(label)[:1000])
    text = " ".join("".join(printable).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
