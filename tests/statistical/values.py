"""Log densities of predictors whose values are not all known, with SciPy.

What was observed of a row, and a gaussian outcome, are jointly normal where values are
integrated out. Where they are sampled, the density is that of the values themselves and
of what was observed about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

import stanpool as sp


@dataclass(frozen=True)
class Values:
    """A point: means, standard deviations, effects on means, and unknown values.

    ``true`` has them in the order of the predictors, and of rows in these.
    """

    mean: np.ndarray
    sd: np.ndarray
    beta: np.ndarray
    true: np.ndarray


def observed(model: sp.Model, data: pd.DataFrame) -> list[tuple[Any, Any, Any]]:
    """Return of each predictor what was observed, the errors, and Z of its mean.

    What is missing is NaN, with an infinite error.
    """
    found = []
    for each in model.spec.uncertain:
        x = data[each.column].to_numpy(float)
        if each.error is None:
            error = np.where(np.isnan(x), np.inf, 0.0)
        elif each.error in data:
            error = data[each.error].to_numpy(float)
        else:
            error = np.full(len(x), float(each.error))
        z = np.array([data[name] - data[name].mean() for name in each.terms])
        found.append((x, error, z.reshape(len(each.terms), len(x)).T))
    return found


def columns_of(model: sp.Model, data: pd.DataFrame) -> dict[str, Any]:
    """Return the columns of a design matrix: the mean where values are missing."""
    return {
        each.name: data[each.column].fillna(data[each.column].mean())
        for each in model.spec.uncertain
    }


def random_values(model: sp.Model, rng: np.random.Generator) -> Values | None:
    """Draw a point."""
    own = [each for each in model.design.special if each.kind == "uncertain"]
    if not own:
        return None
    (design,) = own
    size = len(design.predictors)
    return Values(
        rng.normal(size=size),
        rng.lognormal(size=size),
        rng.normal(size=len(design.labels)),
        rng.normal(size=len(design.unknown[0])),
    )


def true_columns(model: sp.Model, data: pd.DataFrame, at: Values) -> dict[str, Any]:
    """Return the true values of all rows, by the label of the predictor."""
    found, first = {}, 0
    for each, (x, error, _) in zip(
        model.spec.uncertain, observed(model, data), strict=True
    ):
        values = x.copy()
        last = first + int(np.sum(error > 0))
        values[error > 0] = at.true[first:last]
        found[each.name], first = values, last
    return found


def means_of(model: sp.Model, data: pd.DataFrame, at: Values) -> list[np.ndarray]:
    """Return the means of the true values of each predictor."""
    found, first = [], 0
    for mean, (_, _, z) in zip(at.mean, observed(model, data), strict=True):
        last = first + z.shape[1]
        found.append(mean + z @ at.beta[first:last])
        first = last
    return found


def log_prior(model: sp.Model, at: Values, log: dict[str, Any]) -> float:
    """Sum the log priors of means, standard deviations and effects on means."""
    total, effects = 0.0, iter(at.beta)
    for each, mean, sd in zip(model.spec.uncertain, at.mean, at.sd, strict=True):
        total += log[f"mean_x[{each.name}]"](mean) + log[f"sd_x[{each.name}]"](sd)
        for name in each.terms:
            total += log[f"beta_x[{each.name}, {name}]"](next(effects))
    return float(total)


def log_density_of_values(model: sp.Model, data: pd.DataFrame, at: Values) -> float:
    """Log density of values that are sampled and of what was observed of them.

    Of each value, with the volume of the standardized one that Stan has of it.
    """
    total = 0.0
    truth = true_columns(model, data, at).values()
    seen = zip(truth, observed(model, data), at.sd, strict=True)
    for (xi, (x, error, _), sd), mean in zip(
        seen, means_of(model, data, at), strict=True
    ):
        total += stats.norm.logpdf(xi, mean, sd).sum()
        some = (error > 0) & np.isfinite(error)
        total += stats.norm.logpdf(x[some], xi[some], error[some]).sum()
        unknown = error[error > 0]
        total += np.sum(np.log(1 / np.sqrt(1 / sd**2 + 1 / unknown**2)))
    return float(total)


def standardized(model: sp.Model, data: pd.DataFrame, at: Values) -> np.ndarray:
    """Return unknown values as Stan has them, standardized given what was observed."""
    found, first = [], 0
    means = means_of(model, data, at)
    for (x, error, _), sd, mean in zip(
        observed(model, data), at.sd, means, strict=True
    ):
        unknown = error > 0
        last = first + int(unknown.sum())
        precision = 1 / sd**2 + 1 / error[unknown] ** 2
        pulled = np.nan_to_num(x[unknown]) / error[unknown] ** 2
        center = (mean[unknown] / sd**2 + pulled) / precision
        found.append((at.true[first:last] - center) * np.sqrt(precision))
        first = last
    return np.concatenate(found)


def given_seen(
    model: sp.Model, data: pd.DataFrame, at: Values
) -> tuple[np.ndarray, np.ndarray]:
    """Return means and standard deviations of values given what was observed.

    The shapes are ``(predictors, rows)``; the standard deviation of a known value is 0.
    """
    centers, spreads = [], []
    seen, means = observed(model, data), means_of(model, data, at)
    for (x, error, _), sd, mean in zip(seen, at.sd, means, strict=True):
        # The conditional distribution of one of two normal variables given the other.
        slope = sd**2 / (sd**2 + error**2)
        centers.append(mean + slope * np.nan_to_num(x - mean))
        spreads.append(sd * np.sqrt(1 - slope))
    return np.array(centers), np.array(spreads)


def log_joint(
    model: sp.Model,
    data: pd.DataFrame,
    at: Values,
    *,
    eta: np.ndarray,
    slopes: np.ndarray,
    scale: np.ndarray,
) -> tuple[float, np.ndarray]:
    """Log density of what was observed and of gaussian outcomes, jointly normal.

    Parameters
    ----------
    eta
        Means of outcomes without what the predictors add, shape ``(N,)``.
    slopes
        The coefficients of the predictors.
    scale
        Residual scales, shape ``(N,)``.

    Returns
    -------
    tuple
        The log density of all, and that of each outcome given the rest of its row.
    """
    seen, means = observed(model, data), means_of(model, data, at)
    total, rows = 0.0, []
    for n, y in enumerate(data[model.spec.outcome]):
        mean_y, var_y, mean, var, cov, value = eta[n], scale[n] ** 2, [], [], [], []
        for b, sd, m, (x, error, _) in zip(slopes, at.sd, means, seen, strict=True):
            mean_y, var_y = mean_y + b * m[n], var_y + b**2 * sd**2
            if np.isfinite(error[n]):
                mean.append(m[n])
                var.append(sd**2 + error[n] ** 2)
                cov.append(b * sd**2)
                value.append(x[n])
        whole = np.block(
            [[np.array([[var_y]]), np.array([cov])], [np.array([cov]).T, np.diag(var)]]
        )
        joint = stats.multivariate_normal.logpdf(
            [y, *value], [mean_y, *mean], whole.astype(float)
        )
        of_seen = stats.norm.logpdf(value, mean, np.sqrt(var)).sum()
        total += joint
        rows.append(joint - of_seen)
    return float(total), np.array(rows)
