"""Predictors whose values are not all known, in the log density of a model.

Values are normal, and what was observed of them is normal about them. Each pair of a
value and what was observed is so bivariate normal, and so are several: the conditional
distribution of values is that of Gaussian variables with a covariance matrix.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.predictors.uncertain import UncertainDesign

if TYPE_CHECKING:
    from stanpool.data.design.design import Design


def uncertain_of(design: Design) -> UncertainDesign | None:
    """Return the predictors whose values are not all known, if there are any."""
    found = [term for term in design.special if isinstance(term, UncertainDesign)]
    return found[0] if found else None


def log_density_of_seen(own: UncertainDesign, values: Mapping[str, Array]) -> float:
    """Return the log density of what was observed, up to a constant.

    Parameters
    ----------
    own
        What was observed.
    values
        The parameters by name, in the user's units.
    """
    total = 0.0
    for u in range(len(own.predictors)):
        seen = np.isfinite(own.error[:, u])
        variance = values["sd_x"][u] ** 2 + own.error[seen, u] ** 2
        left = own.x[seen, u] - _means(own, u, values)[seen]
        total -= 0.5 * float(np.sum(np.log(variance) + left**2 / variance))
    return total


def effects_of_values(
    own: UncertainDesign, values: Mapping[str, Array]
) -> tuple[Array, Array]:
    """Return what unknown values add to the linear predictor of each row.

    Beside the effect of what stands in their columns.

    Parameters
    ----------
    own
        What was observed.
    values
        The parameters by name, in the user's units.

    Returns
    -------
    tuple
        The mean and the variance, shape ``(N,)`` each. Of values that are sampled the
        variance is 0.
    """
    mean, variance = np.zeros(len(own.x)), np.zeros(len(own.x))
    first = 0
    for u, place in enumerate(own.at):
        unknown = np.flatnonzero(own.error[:, u] > 0)
        error, x = own.error[unknown, u], own.x[unknown, u]
        prior, sd = _means(own, u, values)[unknown], float(values["sd_x"][u])
        center, left = prior.copy(), np.full(len(unknown), sd**2)
        some = np.isfinite(error)
        # Regression of the value on what was observed: covariance over variance.
        slope = sd**2 / (sd**2 + error[some] ** 2)
        center[some] += slope * (x[some] - prior[some])
        left[some] -= slope * sd**2
        beta = float(values["beta"][place])
        if "z_x" in values:
            z = values["z_x"][first : first + len(unknown)]
            center, left = center + np.sqrt(left) * z, np.zeros(len(unknown))
            first += len(unknown)
        mean[unknown] += beta * (center - x)
        variance[unknown] += beta**2 * left
    return mean, variance


def _means(own: UncertainDesign, u: int, values: Mapping[str, Array]) -> Array:
    """Return the means of a predictor's values, shape ``(N,)``."""
    chosen = own.of == u
    moved = 0.0
    if chosen.any():
        moved = own.X[:, chosen] @ values["beta_x"][chosen]
    return np.asarray(values["mean_x"][u] + np.zeros(len(own.x)) + moved)
