"""How far the population's quantities move where a group, or a row, is left out.

The posterior without a unit is that with it, weighted by one over the unit's
likelihood (PSIS): nothing is refitted. The likelihood of a group has its coefficients
integrated out.

References
----------
.. [1] Bradlow and Zaslavsky (1997). Case influence analysis in Bayesian inference.
   Journal of Computational and Graphical Statistics 6(3), 314-331.
.. [2] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
   sampling. Journal of Machine Learning Research 25(72).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.options import Unit
from stanpool.inference.estimates.summary import population_names
from stanpool.inference.evaluation.cross_validation import check_unit
from stanpool.inference.evaluation.loo import relative_ess
from stanpool.inference.prediction.group_likelihood import (
    check_population,
    group_log_likelihood,
    grouping,
)
from stanpool.inference.prediction.predict import log_lik_chunks
from stanpool.posterior import arviz
from stanpool.posterior.scalars import scalars

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.model.fit_result import FitResult


def influence(
    fit: FitResult, *, unit: Unit = "group", factor: str | None = None
) -> pd.DataFrame:
    """Estimate how far quantities of the population move without each unit.

    Parameters
    ----------
    fit
        A fit.
    unit
        ``"group"`` or ``"row"``.
    factor
        Which grouping factor's groups; the first by default.

    Returns
    -------
    pandas.DataFrame
        A row for each unit, and a column for each quantity: its posterior mean without
        the unit, less that with it, in posterior standard deviations. ``pareto_k``
        above 0.7 says that the unit matters too much to know without a refit.

    Raises
    ------
    SpecError
        If the model has no such groups, or they have no population.

    Examples
    --------
    >>> influence(fit)["Intercept"].abs().idxmax()  # doctest: +SKIP
    'ST. LOUIS'
    """
    import pandas as pd

    check_unit(fit, unit, factor)
    labels, draws = _of_population(fit)
    spread, ess = draws.std(axis=0), relative_ess(fit)
    shifts, pareto_k = [], []
    for values in _likelihoods(fit, unit, factor):
        log_weights, k = arviz.psis(values, relative_ess=ess)
        moved = np.exp(log_weights) @ draws - draws.mean(axis=0)
        shifts.append(np.divide(moved, spread, where=spread > 0, out=0.0 * moved))
        pareto_k.append(k)
    if unit == "group":
        units = grouping(fit.model, factor)
        index = pd.Index(units.labels, name=units.factor)
    else:
        index = pd.RangeIndex(fit.model.design.rows, name="row")
    table = pd.DataFrame(np.concatenate(shifts), index=index, columns=list(labels))
    return table.assign(pareto_k=np.concatenate(pareto_k))


def _of_population(fit: FitResult) -> tuple[list[str], Array]:
    """Return the quantities that are not of groups, draws as ``(S, quantity)``."""
    blocks = list(scalars(fit.posterior, var_names=population_names(fit)))
    labels = [label for each in blocks for label in each.labels]
    draws = [each.draws.reshape(-1, len(each.labels)) for each in blocks]
    return labels, np.concatenate(draws, axis=1)


def _likelihoods(fit: FitResult, unit: Unit, factor: str | None) -> Iterator[Array]:
    """Yield log likelihoods of some units at all draws, shape ``(units, S)``."""
    if unit == "group":
        check_population(fit.model)
        yield np.ascontiguousarray(group_log_likelihood(fit, factor).T)
        return
    for _, values in log_lik_chunks(fit):
        yield np.ascontiguousarray(values.reshape(-1, values.shape[2]).T)
