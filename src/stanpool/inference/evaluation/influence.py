"""How much population parameters change if a group, or a row, is left out.

The posterior without a unit is the posterior weighted by one over the likelihood of the
unit (PSIS), so that nothing is refitted. The coefficients of a group are integrated out
of its likelihood.

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
from stanpool.inference.prediction.conditional.rows import rows_given_others
from stanpool.inference.prediction.integrated.group_likelihood import (
    check_population,
    group_log_likelihood,
    grouping,
)
from stanpool.inference.prediction.linear_predictor import linear_predictor_of
from stanpool.inference.prediction.quantities import log_likelihood_at
from stanpool.posterior.importance import psis
from stanpool.posterior.scalars import scalars

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.model.fit_result import FitResult


def influence(
    fit: FitResult, *, unit: Unit = "group", factor: str | None = None
) -> pd.DataFrame:
    """Estimate how much population parameters change without each unit.

    Parameters
    ----------
    fit
        A fit.
    unit
        ``"group"`` or ``"row"``.
    factor
        The grouping factor whose groups are left out; by default the first.

    Returns
    -------
    pandas.DataFrame
        One row per unit and one column per parameter: its posterior mean without the
        unit minus that with it, in posterior standard deviations. If ``pareto_k`` is
        above 0.7, the unit is so influential that this needs a refit.

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
        found = psis(values, relative_ess=ess)
        moved = found.weights @ draws - draws.mean(axis=0)
        shifts.append(np.divide(moved, spread, where=spread > 0, out=0.0 * moved))
        pareto_k.append(found.pareto_k)
    if unit == "group":
        units = grouping(fit.model, factor)
        index = pd.Index(units.labels, name=units.factor)
    else:
        index = pd.RangeIndex(fit.model.design.rows, name="row")
    table = pd.DataFrame(np.concatenate(shifts), index=index, columns=list(labels))
    return table.assign(pareto_k=np.concatenate(pareto_k))


def _of_population(fit: FitResult) -> tuple[list[str], Array]:
    """Return labels and draws of population parameters, ``(S, parameter)``."""
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
    source = linear_predictor_of(fit).with_new_values()
    for rows in source.chunks():
        own = rows_given_others(source, rows)
        values = log_likelihood_at(source, rows, *own[1:])
        yield np.ascontiguousarray(values.T)
