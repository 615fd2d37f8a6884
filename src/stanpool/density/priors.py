"""Log densities of priors and populations, up to constants.

Constants are what parameters do not change.

References
----------
.. [1] Gelman et al. (2013). Bayesian Data Analysis, third edition, appendix A.
.. [2] Lewandowski, Kurowicka and Joe (2009). Generating random correlation matrices
   based on vines and extended onion method. Journal of Multivariate Analysis 100(9),
   1989-2001: the density of a correlation matrix is its determinant to the power of
   shape - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.language.prior import Prior
from stanpool.model.priors.in_force import PriorRow


def _student_t(x: Array, df: Any, location: Any, scale: Any) -> Array:
    return np.asarray(
        -0.5 * (df + 1.0) * np.log1p(np.square((x - location) / scale) / df)
    )


def _lognormal(x: Array, location: Any, scale: Any) -> Array:
    return np.asarray(-np.log(x) - 0.5 * np.square((np.log(x) - location) / scale))


_DENSITIES: Mapping[str, Callable[..., Array]] = {
    "normal": lambda x, location, scale: -0.5 * np.square((x - location) / scale),
    "student_t": _student_t,
    "cauchy": lambda x, location, scale: _student_t(x, 1.0, location, scale),
    "half_normal": lambda x, scale: -0.5 * np.square(x / scale),
    "half_student_t": lambda x, df, scale: _student_t(x, df, 0.0, scale),
    "half_cauchy": lambda x, scale: _student_t(x, 1.0, 0.0, scale),
    "exponential": lambda x, rate: -rate * x,
    "gamma": lambda x, shape, rate: (shape - 1.0) * np.log(x) - rate * x,
    "inv_gamma": lambda x, shape, scale: -(shape + 1.0) * np.log(x) - scale / x,
    # The square has the density above, and changes by 2 x dx.
    "sqrt_inv_gamma": lambda x, shape, scale: (
        -(2.0 * shape + 1.0) * np.log(x) - scale / np.square(x)
    ),
    "lognormal": _lognormal,
    "beta": lambda x, a, b: (a - 1.0) * np.log(x) + (b - 1.0) * np.log1p(-x),
    "uniform": lambda x, lower, upper: np.where(
        (lower <= x) & (x <= upper), 0.0, -np.inf
    ),
    "flat": lambda x: np.zeros(np.shape(x)),
    "constant": lambda x, value: np.zeros(np.shape(x)),
}


def prior_of(
    base: str, rows: Sequence[PriorRow], link: str
) -> Callable[[Array], float]:
    """Return the log density of a parameter under its priors, as a function of it.

    Parameters
    ----------
    base
        What the parameter is, by its name in Stan.
    rows
        The priors of its members.
    link
        The link of the outcome, for cutpoints.
    """
    first = rows[0].prior
    if base == "L_Omega":
        return lambda L: log_lkj(first.arguments[0], L)
    if first.support == "simplex":
        return lambda x: log_induced_dirichlet(first.arguments[0], x, link)
    log_density = log_priors([row.prior for row in rows])

    def total(x: Array) -> float:
        if base == "beta":  # members go down the columns
            x = x.ravel(order="F")
        elif base == "sigma_j":  # one prior for all
            x = x[:, None]
        return float(np.sum(log_density(np.atleast_1d(x))))

    return total


def log_priors(priors: Iterable[Prior]) -> Callable[[Array], Array]:
    """Return the log densities of several parameters as one function of their values.

    Parameters
    ----------
    priors
        As many as the last axis of the values is long.

    Examples
    --------
    >>> both = log_priors([Prior.parse("normal(0, 1)"), Prior.parse("exponential(2)")])
    >>> both(np.array([[1.0, 1.0], [2.0, 0.0]])).tolist()
    [[-0.5, -2.0], [-2.0, -0.0]]
    """
    known = list(priors)
    places: dict[str, list[int]] = {}
    for place, prior in enumerate(known):
        places.setdefault(prior.distribution, []).append(place)
    parts = [
        (_DENSITIES[name], at, np.array([known[place].arguments for place in at]).T)
        for name, at in places.items()
    ]

    def log_density(x: Array) -> Array:
        found = np.empty(np.shape(x))
        for density, at, arguments in parts:
            found[..., at] = density(x[..., at], *arguments)
        return found

    return log_density


def log_lkj(shape: float, L: Array) -> float:
    """Return the log density of a correlation matrix's Cholesky factor.

    The LKJ density of ``Omega = L L'``, det(Omega)^(shape - 1) [2]_, and the volume
    that Omega takes of L: the element ``Omega[i, j]``, ``i > j``, changes with
    ``L[i, j]`` by the factor ``L[j, j]``.

    Examples
    --------
    >>> round(log_lkj(2.0, np.array([[1.0, 0.0], [0.6, 0.8]])), 6)  # log(1 - 0.6**2)
    -0.446287
    """
    size, log_diagonal = len(L), np.log(np.diag(L))
    below = size - 1 - np.arange(size)
    return float(2.0 * (shape - 1.0) * log_diagonal.sum() + below @ log_diagonal)


def log_standardized(z: Array, population: str, nu: Array | None) -> float:
    """Return the log density of standardized deviations, up to a constant.

    Parameters
    ----------
    z
        A row for each group, ``(J, D)``.
    population, nu
        The distribution of the rows, and its degrees of freedom if it is Student-t.

    Examples
    --------
    >>> round(log_standardized(np.array([[1.0, -1.0]]), "laplace", None), 6)
    -2.828427
    """
    if population == "laplace":
        return float(-math.sqrt(2.0) * np.abs(z).sum())
    squares = np.square(z).sum(axis=1)
    if nu is None:
        return float(-0.5 * squares.sum())
    from scipy.special import gammaln  # type: ignore[import-untyped]

    groups, width = z.shape
    total = gammaln(0.5 * (nu + width)) - gammaln(0.5 * nu) - 0.5 * width * np.log(nu)
    tails = np.log1p(squares / nu).sum()
    return float(groups * total - 0.5 * (nu + width) * tails)


def log_induced_dirichlet(concentration: float, cutpoints: Array, link: str) -> float:
    """Return the log density of cutpoints whose probabilities are Dirichlet.

    Parameters
    ----------
    concentration
        Of each category alike.
    cutpoints
        Of a latent outcome about 0, ascending.
    link
        ``"logit"``, ``"probit"`` or ``"cloglog"``.
    """
    from scipy import special  # type: ignore[import-untyped]

    below = {
        "logit": special.expit,
        "probit": special.ndtr,
        "cloglog": lambda x: -np.expm1(-np.exp(x)),
    }[link](cutpoints)
    p = np.diff(np.concatenate([[0.0], below, [1.0]]))
    # Each probability below a cutpoint changes with it by the latent density.
    slopes = {
        "logit": special.log_expit(cutpoints) + special.log_expit(-cutpoints),
        "probit": -0.5 * np.square(cutpoints),
        "cloglog": cutpoints - np.exp(cutpoints),
    }[link]
    return float((concentration - 1.0) * np.log(p).sum() + slopes.sum())
