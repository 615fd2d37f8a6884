"""Log likelihoods, means and draws of a design's rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError
from stanpool.families.functions import BELOW_ONE, TINY
from stanpool.families.registry import family_functions
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import LARGEST_NUMBER, ModelSpec

if TYPE_CHECKING:
    from stanpool.data.design.design import Design


def log_likelihood(
    spec: ModelSpec, design: Design, eta: Array, parameters: Mapping[str, Any]
) -> Array:
    """Log likelihood of each row: censored, truncated and weighted as the model says.

    Parameters
    ----------
    spec, design
        The model, and rows with their outcomes.
    eta
        The linear predictor with offsets, shape ``(..., N)``; one more axis, the
        last, for categorical outcomes.
    parameters
        The family's parameters by name, which broadcast against ``eta``.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., N)``.

    Examples
    --------
    >>> from stanpool.api.facade import Model
    >>> model = Model("y | weights(w) ~ 1", {"y": [0.0, 1.0], "w": [1.0, 2.0]},
    ...               pooling="complete")
    >>> log_likelihood(model.spec, model.design, np.zeros(2), {"sigma": 1.0}).round(3)
    array([-0.919, -2.838])
    """
    if design.residual_correlation is not None:
        raise SpecError(
            f"with {spec.residual_correlation} the rows of a subject have a joint "
            "likelihood, and this takes rows one by one. Leave out rows, or subjects."
        )
    functions = family_functions(spec.family, spec.link)
    known = _known(spec, design) | dict(parameters)
    rows = np.asarray(functions.log_density(design.y, eta, **known))
    interval = functions.log_interval
    if design.censored is not None and interval is not None:
        within = interval(*known_bounds(design), eta, **known)
        rows = np.where(design.censored == 0, rows, within)
    if design.lower is not None or design.upper is not None:
        assert interval is not None
        rows = rows - interval(*_bounds(design), eta, **known)
    return rows if design.weights is None else np.asarray(design.weights * rows)


def known_bounds(design: Design) -> tuple[Array, Array]:
    """Return the least and the largest value that each outcome may have, shape (N,).

    They are equal, the outcome itself, unless it is censored.
    """
    y, code = design.y, design.censored
    if code is None:
        return y, y
    upper = y if design.y_upper is None else design.y_upper
    low = np.where(code == -1, -np.inf, y)
    high = np.where(code == 1, np.inf, np.where(code == 2, upper, y))
    return low, high


def draw_outcomes(
    spec: ModelSpec,
    design: Design,
    rng: np.random.Generator,
    eta: Array,
    parameters: Mapping[str, Any],
) -> Array:
    """Draw an outcome of each row, between its bounds where rows are truncated.

    Censoring is how an outcome is seen, not what it is: the draws are uncensored.
    Weights have no effect. What overflows is set to the largest number that data may
    have; what is rounded to an end of the support, where no outcome lies, to the number
    next to it.

    Parameters
    ----------
    spec, design
        The model, and rows.
    rng
        Where randomness comes from.
    eta, parameters
        As for ``log_likelihood``.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., N)``; categories are counted from 0. Whole numbers, but floats
        where some counts are beyond those of 64 bits.
    """
    functions = family_functions(spec.family, spec.link)
    known = _known(spec, design) | dict(parameters)
    if design.lower is not None or design.upper is not None:
        known["lower"], known["upper"] = _bounds(design)
    with np.errstate(over="ignore"):
        drawn = np.asarray(functions.draw(rng, eta, **known))
    if drawn.dtype.kind != "f":
        return drawn
    ends = {
        "positive": (TINY, LARGEST_NUMBER),
        "nonnegative": (0.0, LARGEST_NUMBER),
        "proportion": (TINY, BELOW_ONE),
        "share": (0.0, 1.0),
        "angle": (-np.pi, np.pi),
    }
    either = (-LARGEST_NUMBER, LARGEST_NUMBER)
    return np.asarray(np.clip(drawn, *ends.get(FAMILIES[spec.family].outcome, either)))


def expected_outcomes(
    spec: ModelSpec, design: Design, eta: Array, parameters: Mapping[str, Any]
) -> Array:
    """Return the expectation of each row's outcome, bounds of truncation left aside.

    Parameters
    ----------
    spec, design, eta, parameters
        As for ``log_likelihood``.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., N)``; for ordinal and categorical outcomes the probability of
        each category, along one more axis, the last.
    """
    functions = family_functions(spec.family, spec.link)
    with np.errstate(over="ignore"):
        return np.asarray(
            functions.mean(eta, **(_known(spec, design) | dict(parameters)))
        )


def outcome_variances(
    spec: ModelSpec, design: Design, eta: Array, parameters: Mapping[str, Any]
) -> Array:
    """Return the variance of each row's outcome about its expectation.

    Parameters
    ----------
    spec, design, eta, parameters
        As for ``log_likelihood``; bounds of truncation are left aside.

    Returns
    -------
    numpy.ndarray
        Shape ``(..., N)``.

    Raises
    ------
    SpecError
        If outcomes are categories, which have no variance.
    """
    variance = family_functions(spec.family, spec.link).variance
    if variance is None:
        raise SpecError(
            f"family={spec.family!r} has categories, which have no variance."
        )
    return np.asarray(variance(eta, **(_known(spec, design) | dict(parameters))))


def _known(spec: ModelSpec, design: Design) -> dict[str, Any]:
    """Return what a family is told of each row, and of all."""
    known = {"trials": design.trials, "se": design.se, **spec.known_numbers}
    return {name: values for name, values in known.items() if values is not None}


def _bounds(design: Design) -> tuple[Any, Any]:
    """Return the bounds of truncation, infinite where there is none."""
    return (
        -np.inf if design.lower is None else design.lower,
        np.inf if design.upper is None else design.upper,
    )
