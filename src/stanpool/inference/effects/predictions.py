"""Expected outcomes of rows, averaged over them, and of populations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import without_nan
from stanpool.base.errors import DataError, SpecError
from stanpool.base.options import EffectGroups, EffectKind, NewGroups
from stanpool.inference.effects.comparisons import as_texts
from stanpool.inference.effects.expected import Expectations
from stanpool.inference.effects.groups import group_effects
from stanpool.inference.effects.rows.extrapolation import warn_of_extrapolation
from stanpool.inference.effects.rows.grid import (
    grid_of,
    levels_of,
    roles_of,
    values_of,
)
from stanpool.inference.effects.rows.scenarios import Fixed, Scenario, variables_asked
from stanpool.inference.effects.tables import (
    OWN_OF_PREDICTIONS,
    Effects,
    Output,
    check_names,
    labels_with,
    over_categories,
    table_of,
)
from stanpool.inference.prediction.rows import check_parameter
from stanpool.sampling.settings import random_seed

if TYPE_CHECKING:
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel


def predictions(
    fit: FitResult,
    variables: str | Sequence[str] | Mapping[str, Any] | None = None,
    *,
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
    """Average expected outcomes over rows, with intervals.

    Parameters
    ----------
    fit
        A fit.
    variables
        Values of variables, such as ``{"age": [20, 60]}``, as for ``datagrid``. For
        each combination all rows get these values, with everything else unchanged, and
        their expected outcomes are averaged. The name of a factor alone stands for all
        of its levels, that of a number for its quartiles.
    newdata, by, weights, groups, new_groups, kind, parameter, hypothesis
        As for ``comparisons``.
    prob, draws, seed
        As for ``comparisons``.
    as_draws
        As for ``comparisons``.

    Returns
    -------
    pandas.DataFrame
        A row for each quantity: the values of ``variables``, ``category`` of ordinal
        and categorical outcomes, the columns of ``by`` or of the grid, ``estimate``,
        ``lower``, ``upper``, ``pd`` (the probability that it has this sign), and
        ``groups``.

    Raises
    ------
    SpecError, DataError
        As for ``comparisons``.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> predictions(fit, groups="population").round(1)
       estimate  lower  upper   pd      groups
    0       7.8    0.5   15.1  1.0  population
    """
    check_parameter(fit.model, parameter)
    expected = expectations_of(
        fit,
        variables,
        newdata=newdata,
        by=by,
        weights=weights,
        groups=groups,
        new_groups=new_groups,
        kind=kind,
        parameter=parameter,
        draws=draws,
        seed=seed,
    )
    output = Output(prob, expected.groups.words, as_texts(hypothesis), as_draws)
    return table_of(_effects(expected), output, expected.size)


def poststratify(
    fit: FitResult,
    cells: Any,
    *,
    by: bool | str | Sequence[str] | None = None,
    weights: Any = "n",
    groups: EffectGroups | Mapping[str, EffectGroups] = "fitted",
    new_groups: NewGroups = "population",
    kind: EffectKind = "epred",
    hypothesis: str | Sequence[str] | None = None,
    prob: float = 0.9,
    draws: int | None = None,
    seed: int | None = None,
    as_draws: bool = False,
) -> pd.DataFrame:
    """Estimate averages of a population from the sizes of its cells.

    The expected outcome of each cell is averaged with weights at each draw, known as
    multilevel regression and poststratification [1]_. Cells of groups that are not in
    the fit are drawn from the population, once for each group and draw.

    Parameters
    ----------
    fit
        A fit.
    cells
        A row for each cell of the population: a data frame of the predictors and
        groups, and how many people or units there are.
    by
        Columns by whose values the cells are averaged; by default all of them are.
    weights
        The column of the cells' sizes, or an array.
    groups, new_groups, kind, hypothesis, prob, draws, seed, as_draws
        As for ``comparisons``.

    Returns
    -------
    pandas.DataFrame
        As for ``predictions``.

    Raises
    ------
    SpecError, DataError
        As for ``comparisons``.

    References
    ----------
    .. [1] Gelman and Little (1997). Poststratification into many categories using
       hierarchical logistic regression. Survey Methodology 23(2), 127-135.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> cells = {"school": ["A", "B", "new"], "n": [300, 100, 200]}
    >>> poststratify(fit, cells, seed=1).round(1)
       estimate  lower  upper   pd                           groups
    0       8.9    0.6   18.0  1.0  fitted (new groups: population)
    """
    if cells is None:
        raise DataError(
            "cells is None; pass a data frame with a row for each cell of the "
            "population."
        )
    if weights is None:
        raise SpecError(
            "weights=None; pass the column of the cells' sizes, as in weights='n'."
        )
    return predictions(
        fit,
        newdata=cells,
        by=True if by is None else by,
        weights=weights,
        groups=groups,
        new_groups=new_groups,
        kind=kind,
        hypothesis=hypothesis,
        prob=prob,
        draws=draws,
        seed=seed,
        as_draws=as_draws,
    )


def expectations_of(
    fit: FitResult,
    variables: str | Sequence[str] | Mapping[str, Any] | None,
    *,
    newdata: Any,
    by: bool | str | Sequence[str] | None,
    weights: Any,
    groups: EffectGroups | Mapping[str, EffectGroups] | None,
    new_groups: NewGroups,
    parameter: str = "mean",
    seed: int | None,
    names: Sequence[str] = OWN_OF_PREDICTIONS,
    **asked: Any,
) -> Expectations:
    """Return what is expected at each combination of values, and check what is asked.

    Parameters
    ----------
    fit, variables, newdata, by, weights, groups, new_groups, parameter, seed
        As for ``predictions``.
    names
        The columns that the table of results has of its own.
    **asked
        What else ``Expectations`` takes.
    """
    model = fit.model
    values: dict[str, list[Any]] = {}
    if variables is not None:
        for name, each in variables_asked(model, variables).items():
            values[name] = values_of(model, name, _default(fit, name, each))
    grid = grid_of(fit, newdata, by=by, weights=weights, averaged=bool(values))
    effects = group_effects(
        model, groups, new_groups, [*grid.frame.columns, *values], parameter
    )
    scenarios = tuple(
        Scenario(tuple((name, Fixed(x)) for name, x in zip(values, each, strict=True)))
        for each in product(*values.values())
    )
    expected = Expectations(
        fit=fit,
        grid=grid,
        scenarios=scenarios,
        groups=effects,
        parameter=parameter,
        seed=random_seed() if seed is None else seed,
        **asked,
    )
    check_names(grid.labels.columns, names)
    warn_of_extrapolation(model, grid, values)
    return expected


def labels_of(
    model: PreparedModel, scenario: Scenario, frame: pd.DataFrame
) -> pd.DataFrame:
    """Return the labels of cells: what a scenario fixes, then the columns of each."""
    fixed = scenario.columns(model, len(frame))
    own = frame.drop(columns=[x for x in fixed if x in frame.columns])
    return labels_with(own, **fixed)


def _default(fit: FitResult, name: str, asked: Any) -> Any:
    """Return what is asked of a variable, all levels or quartiles where nothing is."""
    if asked is not None:
        return asked
    if levels_of(fit.model, name) or name in roles_of(fit.model).groups:
        return "all"
    found = np.unique(without_nan(fit.model.data[name]))
    return found.tolist() if len(found) <= 3 else "quartiles"


def _effects(expected: Expectations) -> Iterator[list[Effects]]:
    """Yield the averages of some cells at a time."""
    model = expected.fit.model
    for cells, values in expected.blocks():
        frame = expected.grid.labels.iloc[cells]
        found = []
        for scenario, draws in values.items():
            labels = labels_of(model, scenario, frame)
            found.append(over_categories(draws, labels, expected.categories, 0.0))
        yield found
