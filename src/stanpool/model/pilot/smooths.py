r"""Which coefficients of smooths are centered: those that the rows know well.

Where the rows say more about a coefficient than its scale does, the sampler sees the
coefficient itself, and else the coefficient divided by its scale, as it sees those of
groups. A rough estimate is enough for this choice, which does not change the model: a
regression of the outcome on the scale of the linear predictor, without groups, in which
the scales of the smooths agree with their coefficients [1]_.

References
----------
.. [1] MacKay (1992). Bayesian interpolation. Neural Computation 4(3), 415-447.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.design import Design
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import ModelSpec

_SWEEPS = 20
_STEP = 1e-3
_KNOWN = 0.5  # share of the rows in what is known, from which a coefficient is centered


@dataclass(frozen=True, eq=False)
class SmoothEstimate:
    """A rough estimate of the coefficients of smooths.

    Attributes
    ----------
    share
        The share of the rows in what is known of each coefficient, ``(K_s,)``.
    """

    share: Array

    @property
    def centeredness(self) -> Array:
        """How far coefficients are centered, from 0 to 1, shape ``(K_s,)``."""
        return np.asarray(np.square(self.share))


def on_predictor_scale(spec: ModelSpec, design: Design) -> tuple[Array, Array | None]:
    """Return outcomes on the scale of the linear predictor, about, and their weights.

    Behind a link they are what one Newton step makes of them, from the same mean for
    all rows.
    """
    y, family = np.asarray(design.y, dtype=float), FAMILIES[spec.family]
    offset = np.zeros_like(y) if design.offset is None else design.offset
    if family.has_cutpoints:
        return (y - y.mean()) / (y.std() or 1.0), design.weights
    if family.is_of_logs:
        return np.log(np.maximum(y, np.finfo(float).tiny)) - offset, design.weights
    if spec.link_name == "identity":
        return y - offset, design.weights
    if spec.link_name == "log":
        rates = y / np.exp(offset)
        return rates / (rates.mean() or 1.0) - 1.0, design.weights
    trials = np.ones_like(y) if design.trials is None else design.trials
    shares = y / np.maximum(trials, 1)
    mean = np.clip(shares.mean(), 0.01, 0.99)
    # Loaded here: SciPy takes long, and to build a model needs no link.
    from stanpool.families.functions import LINKS

    link = LINKS[spec.link_name].apply
    slope = (link(mean + _STEP) - link(mean - _STEP)) / (2 * _STEP)
    weights = trials if design.weights is None else trials * design.weights
    return (shares - mean) * slope - offset, weights


def estimate_smooths(design: Design, y: Array, weights: Array | None) -> SmoothEstimate:
    """Estimate the smooths of the mean.

    Parameters
    ----------
    design
        The data.
    y
        The outcome of each row, on the scale of the linear predictor.
    weights
        How many observations each row is, or None.
    """
    ones = np.ones(len(y)) if design.ones is None else design.ones
    root = np.ones(len(y)) if weights is None else np.sqrt(weights)
    columns = np.column_stack([ones, design.X, y]) * root[:, None]
    gram = columns.T @ columns  # (1 + K + 1, 1 + K + 1)
    own, told, squares = gram[:-1, :-1], gram[:-1, -1], gram[-1, -1]
    scale, smooths = design.mean.scale_of, design.mean.scaled
    middle = design.mean.middle_lengthscales
    square = design.mean.sds_of_smooths(np.ones(len(smooths)), middle) ** 2
    first = 1 + len(design.mean.free)
    penalised = slice(first, first + len(scale))
    rows = float(ones @ ones) if weights is None else float(np.sum(weights))
    variance = squares / rows - (told[0] / own[0, 0]) ** 2
    variance = max(variance, 1e-12)
    tau2 = np.full(len(smooths), variance)
    share = np.zeros(len(scale))
    ridge = 1e-10 * np.diag(own)
    for _ in range(_SWEEPS):
        precision = own + np.diag(ridge)
        at = np.arange(len(own))[penalised]
        prior = tau2[scale] * square
        precision[at, at] += variance / prior
        # Of few rows there may be columns that are 0.
        errors = np.linalg.pinv(precision, hermitian=True)
        theta = errors @ told
        beta = theta[penalised]
        share = np.clip(1 - variance * np.diag(errors)[penalised] / prior, 0, 1)
        sums = np.bincount(scale, np.square(beta) / square)
        known = np.bincount(scale, share)
        tau2 = np.clip(sums / np.maximum(known, 1e-6), tau2 / 10, tau2 * 10)
        left = squares - 2 * theta @ told + theta @ own @ theta
        variance = max(left / max(rows - known.sum() - 1, 1.0), 1e-12 * squares / rows)
    # The standard deviations of a process's coefficients change with its length scale.
    is_process = np.array([each.spectrum is not None for each in smooths])
    return SmoothEstimate(np.where(is_process[scale], 0.0, share))
