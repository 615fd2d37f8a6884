"""Slopes of expected outcomes with respect to a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array, without_nan
from stanpool.base.errors import DataError, EffectWarning, SpecError, quote, warn_user
from stanpool.base.options import EffectGroups, EffectKind, NewGroups, SlopeKind
from stanpool.inference.effects.comparisons import (
    Compared,
    Rule,
    as_texts,
    compared_effects,
)
from stanpool.inference.effects.expected import Expectations
from stanpool.inference.effects.groups import group_effects
from stanpool.inference.effects.rows.extrapolation import warn_of_extrapolation
from stanpool.inference.effects.rows.grid import Grid, grid_of, levels_of
from stanpool.inference.effects.rows.scenarios import (
    Scaled,
    Scenario,
    Shifted,
    variables_asked,
)
from stanpool.inference.effects.tables import Output, check_names, table_of
from stanpool.inference.prediction.rows import check_parameter
from stanpool.sampling.settings import random_seed

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.model.fit_result import FitResult

# In standard deviations of x, or in parts of it, the largest first: where the expected
# outcome is linear in x, or a parabola, the difference is the derivative at any step.
_STEPS = (1.0, 1e-2, 1e-4)
_SAME, _SMOOTH = 1e-8, 1e-3
_ROWS, _DRAWS = 200, 20  # where steps are tried


def slopes(
    fit: FitResult,
    variables: str | Sequence[str] | None = None,
    *,
    slope: SlopeKind = "dydx",
    newdata: Any = None,
    by: bool | str | Sequence[str] | None = None,
    weights: Any = None,
    groups: EffectGroups | Mapping[str, EffectGroups] | None = None,
    new_groups: NewGroups = "error",
    kind: EffectKind = "epred",
    parameter: str = "mean",
    hypothesis: str | Sequence[str] | None = None,
    prob: float = 0.9,
    draws: int | None = None,
    seed: int | None = None,
    as_draws: bool = False,
) -> pd.DataFrame:
    """Average slopes of expected outcomes, or elasticities, for numeric variables.

    A slope is the difference of expected outcomes at a small step to either side of the
    value of each row, over the step. The step is the largest of several for which
    halving it changes nothing: for outcomes that are linear in the variable, or
    quadratic, the slope is the derivative to rounding, and otherwise to about eight
    digits.

    Parameters
    ----------
    fit
        A fit.
    variables
        One or several numeric variables; by default all numeric predictors.
    slope
        ``"dydx"``, how much the expected outcome y of a row changes by one unit of x;
        ``"eyex"``, the elasticity ``dy/dx * x / y``, by how many per cent y changes
        where x is one per cent larger; or the semi-elasticities ``"eydx"``, ``dy/dx /
        y``, and ``"dyex"``, ``dy/dx * x``. Rows are averaged afterwards.
    newdata, by, weights, groups, new_groups, kind, parameter, hypothesis
        As for ``comparisons``.
    prob, draws, seed
        As for ``comparisons``.
    as_draws
        As for ``comparisons``.

    Returns
    -------
    pandas.DataFrame
        As for ``comparisons``.

    Raises
    ------
    SpecError, DataError
        As for ``comparisons``.

    Warns
    -----
    EffectWarning
        If the expected outcome has a step or a kink, where it has no slope.

    Examples
    --------
    The draws are of a Gibbs sampler, which are used like those of a fit:

    >>> import numpy as np, stanpool as sp
    >>> model = sp.Model("log_radon ~ floor + (1 | county)", sp.load_dataset("radon"))
    >>> fit = sp.exact.gibbs(model, np.random.default_rng(1), draws=500, warmup=200)
    >>> slopes(fit)[["term", "contrast", "estimate", "pd", "groups"]].round(1)
        term contrast  estimate   pd  groups
    0  floor    dY/dX      -0.7  1.0  fitted
    """
    model = fit.model
    check_parameter(model, parameter)
    if isinstance(variables, Mapping):
        raise SpecError(
            "variables of slopes is a list of names; to compare two values, see "
            "fit.comparisons."
        )
    asked = variables_asked(model, variables, only_numbers=True)
    for name in asked:
        if levels_of(model, name):
            raise SpecError(
                f"{quote(name)} is a factor, which has no slope; see "
                f"fit.comparisons({quote(name)})."
            )
    grid = grid_of(fit, newdata, by=by, weights=weights)
    check_names(grid.labels.columns)
    expected = Expectations(
        fit=fit,
        grid=grid,
        scenarios=(Scenario(),),
        groups=group_effects(
            model, groups, new_groups, [*grid.frame.columns], parameter
        ),
        kind=kind,
        parameter=parameter,
        draws=draws,
        seed=random_seed() if seed is None else seed,
        is_log=slope.startswith("ey"),
    )
    warn_of_extrapolation(model, grid, {})
    compared = [_slope(name, _step(expected, name, slope), slope) for name in asked]
    scenarios = tuple(dict.fromkeys(x for each in compared for x in each.scenarios))
    expected = replace(expected, scenarios=scenarios)
    output = Output(prob, expected.groups.words, as_texts(hypothesis), as_draws)
    return table_of(compared_effects(expected, compared), output, expected.size)


def _slope(name: str, step: float, slope: SlopeKind) -> Compared:
    """Return the difference that is a slope, of x or of its logarithm."""
    change = Scaled if slope.endswith("ex") else Shifted
    scenarios = tuple(Scenario(((name, change(by)),)) for by in (step / 2, -step / 2))
    rule = Rule(partial(_quotient, step=step))
    label = f"{slope[0]}Y/{slope[2]}X"
    return Compared(name, (("", "", label),), scenarios, rule)


def _quotient(high: Array, low: Array, *, step: float) -> Array:
    return (high - low) / step


def _step(expected: Expectations, name: str, slope: SlopeKind) -> float:
    """Return a step at which differences are derivatives, tried at some rows."""
    column = without_nan(expected.fit.model.data[name])
    # Steps of the logarithm of x have no unit.
    size = 1.0 if slope.endswith("ex") else float(column.std()) or 1.0
    tried = replace(
        expected, grid=_some_rows(expected.grid), draws=_DRAWS, scenarios=(Scenario(),)
    )
    change = np.inf
    for step in (size * each for each in _STEPS):
        try:
            whole, half = (_differences(tried, name, step / k, slope) for k in (1, 2))
        except DataError:  # as of log(x) below 0: a smaller step will do
            if step == size * _STEPS[-1]:
                raise
            continue
        largest = float(np.abs(half).max(initial=0.0))
        with np.errstate(invalid="ignore"):  # infinite elasticities
            change = float(np.abs(whole - half).max(initial=0.0))
        if change <= _SAME * largest:
            return step
    if change > _SMOOTH * largest:
        warn_user(
            f"the expected outcome has a step or a kink in {quote(name)}, where it has "
            "no slope: halving the step changes differences by "
            f"{change / largest:.0%}. Compare two values, as in "
            f"fit.comparisons({{{quote(name)}: [low, high]}}).",
            EffectWarning,
        )
    return step


def _some_rows(grid: Grid) -> Grid:
    """Return evenly spaced rows of a grid, each a cell."""
    rows = len(grid.frame)
    at = np.unique(np.linspace(0, rows - 1, min(rows, _ROWS)).astype(np.int64))
    frame = grid.frame.iloc[at].reset_index(drop=True)
    return Grid(frame, np.arange(len(at)), frame, np.ones(len(at)), False)


def _differences(
    expected: Expectations, name: str, step: float, slope: SlopeKind
) -> Array:
    compared = _slope(name, step, slope)
    some = replace(expected, scenarios=compared.scenarios)
    return np.concatenate(
        [compared.of(values) for _, values in some.blocks()],
        axis=1,
    )
