"""Which population coefficients groups' coefficients vary around, and their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from stanpool.data.design.design import Design, FactorDesign, ParameterDesign
from stanpool.data.design.nesting import outer_groups, shared_columns


def group_means(
    design: Design | ParameterDesign,
    number: int,
    alpha: np.ndarray | None,
    beta: np.ndarray,
    *,
    elsewhere: Collection[str] | None = None,
    at_x_bar: bool = False,
) -> np.ndarray:
    """Return what the groups' coefficients vary around, for many draws.

    Parameters
    ----------
    design, number, alpha, beta, elsewhere
        As for ``population_parts``.
    at_x_bar
        Whether ``alpha`` is the intercept where predictors are at their means, so that
        effects of group-level predictors count from there.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., J, D, Q)``, or ``(..., 1, D, Q)`` where all groups have the same.
    """
    mean, effects = population_parts(design, number, alpha, beta, elsewhere=elsewhere)
    means = mean[..., None, :, :]
    factor = design.factors[number]
    if effects is None or factor.U is None:
        return means
    U = factor.U - U_at_x_bar(design, factor) if at_x_bar else factor.U
    return np.asarray(means + np.einsum("jp,...dpq->...jdq", U, effects))


def population_parts(
    design: Design | ParameterDesign,
    number: int,
    alpha: np.ndarray | None,
    beta: np.ndarray,
    *,
    elsewhere: Collection[str] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Pick what the groups' coefficients vary around from the population's.

    Of the factors that vary a coefficient only the first has the population mean; the
    others vary around zero.

    Parameters
    ----------
    design
        The data, or the linear predictor of one parameter.
    number
        Which factor, counted from 0.
    alpha, beta
        Intercepts, shape ``(..., D)``, which are not read if there is none; and the
        population's coefficients, shape ``(..., D, K)``, of D linear predictors.
    elsewhere
        Coefficients whose mean is left out; if None, those of earlier factors.

    Returns
    -------
    tuple of numpy.ndarray
        Means, shape ``(..., D, Q)``, and the effects of group-level predictors, shape
        ``(..., D, P, Q)``, or None if there are no such predictors.
    """
    factor = design.factors[number]
    parts = [np.zeros((*beta.shape[:-1], 1)), beta]
    if design.intercept:
        assert alpha is not None
        parts.insert(1, alpha[..., None])
    population = np.concatenate(parts, axis=-1)
    if elsewhere is None:
        elsewhere = varying_earlier(design, number)
    mean = population[..., means_of(design, factor, elsewhere) - 1]
    if factor.effect_of is None:
        return mean, None
    return mean, population[..., effects_of(design, factor) - 1]


def U_at_x_bar(design: Design | ParameterDesign, factor: FactorDesign) -> np.ndarray:
    """Return the means of group-level predictors that move intercepts, shape ``(P,)``.

    They are 0 for those that move slopes, which are the same wherever predictors are.

    Parameters
    ----------
    design, factor
        The data, and a factor with group-level predictors.
    """
    assert factor.effect_of is not None
    if not design.intercept or "Intercept" not in factor.varying:
        return np.zeros(len(factor.effect_of))
    number = factor.effect_of[:, factor.varying.index("Intercept")]
    return np.where(number > 0, design.x_bar[np.maximum(number, 1) - 1], 0.0)


def of_outer_groups(
    design: Design | ParameterDesign,
    number: int,
    within: Sequence[int],
    coefficients: Mapping[int, Any],
) -> Any:
    """Return the sum of the coefficients of the outer groups that groups are in.

    Parameters
    ----------
    design
        The data.
    number, within
        A factor, and those that it is within, counted from 0.
    coefficients
        The sums of means and deviations of the groups of the latter, by factor, shape
        ``(J, D)`` each.

    Returns
    -------
    numpy.ndarray
        Shape ``(J, D)``; 0 if the factor is within none.
    """
    factor, total = design.factors[number], np.zeros(())
    for place in within:
        outer = design.factors[place]
        known = np.pad(coefficients[place], ((0, 0), (1, 0)))
        found = known[outer_groups(factor, outer)]
        total = (
            total + found[:, shared_columns(factor.coefficients, outer.coefficients)]
        )
    return total


def means_of(
    design: Design | ParameterDesign, factor: FactorDesign, taken: Collection[str]
) -> np.ndarray:
    """Return where (0, alpha, beta) has the population mean of each coefficient.

    A mean that belongs to an earlier factor is 0 here.
    """
    first = 2 if design.intercept else 1
    places = {label: first + k for k, label in enumerate(design.coefficients, 1)}
    if design.intercept:
        places["Intercept"] = first
    return np.array(
        [1 if label in taken else places.get(label, 1) for label in factor.varying]
    )


def varying_earlier(design: Design | ParameterDesign, number: int) -> set[str]:
    """Return the coefficients that vary over the factors before one."""
    return {label for each in design.factors[:number] for label in each.varying}


def effects_of(design: Design | ParameterDesign, factor: FactorDesign) -> np.ndarray:
    """Return where (0, alpha, beta) has the effects of group-level predictors."""
    assert factor.effect_of is not None
    first = 1 + int(design.intercept)
    return np.where(factor.effect_of > 0, factor.effect_of + first, 1)


def holders_of_means(design: Design, number: int) -> dict[str, int]:
    """Return which of a factor's coefficients have their mean in an earlier factor.

    The population's coefficient of a predictor is part of those of the first factor
    over which it varies; later factors have deviations from it.

    Returns
    -------
    dict
        The place of that factor for each label.
    """
    found: dict[str, int] = {}
    for label in design.factors[number].varying:
        for place, earlier in enumerate(design.factors[:number]):
            if label in earlier.varying:
                found.setdefault(label, place)
    return found
