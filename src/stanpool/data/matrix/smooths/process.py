r"""Gaussian processes as smooths: cosines whose variances are a spectral density.

A process with a stationary covariance function is, between boundaries on which it is
taken to be 0, a sum of eigenfunctions of the Laplace operator with independent normal
coefficients [1]_. Of one predictor with the center :math:`c` and boundaries at
:math:`c \pm L` these are

.. math:: \phi_j(x) = \sqrt{1 / L} \sin(\omega_j (x - c + L)),
   \quad \omega_j = \pi j / (2 L),

and of two predictors they are products. The variance of a coefficient is the spectral
density of the covariance function at its frequencies: of D predictors with length
scales :math:`\ell_d`, with :math:`r^2 = \sum_d (\ell_d \omega_d)^2` and the amplitude
:math:`\alpha`,

.. math:: S = \alpha^2 (2 \pi)^{D / 2} \prod_d \ell_d \exp(-r^2 / 2)

for an exponentiated quadratic function, and for Matérn functions of smoothness
:math:`\nu`

.. math:: S = \alpha^2 \frac{2^D \pi^{D / 2} \Gamma(\nu + D / 2)}
   {\Gamma(\nu) (2 \nu)^{D / 2}} \prod_d \ell_d (1 + r^2 / (2 \nu))^{-(\nu + D / 2)}.

Which length scales the first k functions can show, and with which boundaries, is known
from simulations [2]_.

References
----------
.. [1] Solin and Särkkä (2020). Hilbert space methods for reduced-rank Gaussian process
   regression. Statistics and Computing 30(2), 419-446.
.. [2] Riutort-Mayol, Bürkner, Andersen, Solin and Vehtari (2023). Practical Hilbert
   space approximate Bayesian Gaussian processes for probabilistic programming.
   Statistics and Computing 33(1), 17.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, quote
from stanpool.data.matrix.smooths.levels import (
    curves_of,
    kind_of,
    levels_of,
    row_products,
    times_by,
)

DEFAULT_K = {1: 20, 2: 10}  # functions of each predictor, by the number of predictors
DEFAULT_C = {1: 2.0, 2: 1.5}
_SMALLEST_C = 1.2  # of any length scale
_MOST_BENDS = 20  # in the range of a predictor, to be expected


@dataclass(frozen=True)
class Covariance:
    """A covariance function, and how well functions approximate it.

    Attributes
    ----------
    nu
        The smoothness of a Matérn function; 0 of an exponentiated quadratic one.
    per_function
        With half the range S of a predictor, k functions show length scales down to
        ``per_function * c * S / k``.
    per_boundary
        A length scale needs boundaries ``c * S`` from the center, with
        ``c >= per_boundary * lengthscale / S``.
    """

    nu: float
    per_function: float
    per_boundary: float


COVARIANCES: Mapping[str, Covariance] = {
    "exp_quad": Covariance(0.0, 1.75, 3.2),
    "matern32": Covariance(1.5, 3.42, 4.5),
    "matern52": Covariance(2.5, 2.65, 4.1),
}


@dataclass(frozen=True)
class Axis:
    """One predictor of a process.

    Attributes
    ----------
    name
        The predictor as it is written.
    center, half_range
        The middle of its values, and how far these go from there, S.
    spacing
        The mean distance of neighbours among its distinct values.
    k, c
        How many functions there are, and where the boundaries are: ``c`` half ranges
        from the center.
    """

    name: str
    center: float
    half_range: float
    spacing: float
    k: int
    c: float

    @classmethod
    def of(cls, name: str, x: Array, k: int, c: float) -> Axis:
        """Build the axis from the predictor in the rows of the fit."""
        least, most = float(x.min()), float(x.max())
        gaps = max(len(np.unique(x)) - 1, 1)
        half = (most - least) / 2
        return cls(name, (least + most) / 2, half, (most - least) / gaps, k, c)

    @property
    def boundary(self) -> float:
        """The distance of the boundaries from the center, L."""
        return self.c * self.half_range

    @property
    def frequencies(self) -> Array:
        """The frequencies of the functions, shape ``(k,)``."""
        return np.asarray(np.pi * np.arange(1, self.k + 1) / (2 * self.boundary))

    def functions(self, x: Array) -> Array:
        """Return the values of the functions in rows, shape ``(N, k)``."""
        from_end = x - self.center + self.boundary
        found = np.sin(np.multiply.outer(from_end, self.frequencies))
        return np.asarray(found / math.sqrt(self.boundary))

    def shortest(self, covariance: str) -> float:
        """Return the shortest length scale that the functions show."""
        return COVARIANCES[covariance].per_function * self.boundary / self.k

    def between(self) -> tuple[float, float]:
        """Return between which lengths those are that the data can tell.

        A length scale below the distance of neighbours changes nothing, and hardly any
        curve bends more than twenty times; one above the range is a straight line's.
        """
        whole = 2 * self.half_range
        return min(max(self.spacing, whole / _MOST_BENDS), whole / 2), whole

    def k_for(self, lengthscale: float, covariance: str) -> int:
        """Return how many functions show a length scale, with the boundaries here."""
        per_function = COVARIANCES[covariance].per_function
        return math.ceil(per_function * self.boundary / lengthscale)

    def c_for(self, lengthscale: float, covariance: str) -> float:
        """Return where the boundaries must be for a length scale, at least."""
        per_boundary = COVARIANCES[covariance].per_boundary
        return max(_SMALLEST_C, per_boundary * lengthscale / self.half_range)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """What the standard deviations of a process's coefficients follow from.

    Attributes
    ----------
    covariance
        The covariance function: ``"exp_quad"``, ``"matern32"`` or ``"matern52"``.
    axes
        The predictors, D of them.
    lengthscales
        The labels of their length scales.
    frequencies
        Of each coefficient, along each predictor: shape ``(M, D)``.
    units
        In which length scales are counted, shape ``(D,)``.
    """

    covariance: str
    axes: tuple[Axis, ...]
    lengthscales: tuple[str, ...]
    frequencies: Array
    units: Array

    @property
    def nu(self) -> float:
        """The smoothness of a Matérn covariance function, else 0."""
        return COVARIANCES[self.covariance].nu

    @property
    def log_density_0(self) -> float:
        """The logarithm of the density at 0 where all scales are 1."""
        D, nu, of_units = len(self.axes), self.nu, float(np.log(self.units).sum())
        if nu == 0:
            return of_units + 0.5 * D * math.log(2 * math.pi)
        of_gammas = math.lgamma(nu + 0.5 * D) - math.lgamma(nu)
        return of_units + of_gammas + 0.5 * D * math.log(4 * math.pi / (2 * nu))

    @property
    def middle(self) -> Array:
        """Length scales that may well be, shape ``(D,)``."""
        found = [math.sqrt(math.prod(x.between())) for x in self.axes]
        return np.asarray(np.array(found) / self.units)

    def in_units(self, units: Array) -> Spectrum:
        """Return the spectrum where length scales are counted in other units."""
        return replace(
            self, frequencies=self.frequencies * units, units=self.units * units
        )

    def sds(self, lengthscales: Array) -> Array:
        """Return standard deviations of coefficients where the amplitude is 1.

        Parameters
        ----------
        lengthscales
            Shape ``(..., D)``.

        Returns
        -------
        numpy.ndarray
            Shape ``(..., M)``.
        """
        D, nu = len(self.axes), self.nu
        squares = np.square(lengthscales) @ np.square(self.frequencies).T  # (..., M)
        log_density = self.log_density_0 + np.log(lengthscales).sum(-1, keepdims=True)
        if nu == 0:
            log_density = log_density - 0.5 * squares
        else:
            power = nu + 0.5 * D
            log_density = log_density - power * np.log1p(squares / (2 * nu))
        return np.asarray(np.exp(0.5 * log_density))


@dataclass(frozen=True, eq=False)
class Process:
    """A Gaussian process of one or two predictors, as a smooth without free columns.

    Attributes
    ----------
    name
        The process without how it is approximated: ``gp(x)``, or ``gp(x, by=f)``.
    covariance
        Its covariance function.
    axes
        Its predictors.
    by, levels
        What it depends on, as of ``Smooth``.
    """

    name: str
    covariance: str
    axes: tuple[Axis, ...]
    by: str = ""
    levels: tuple[bool | int | str | float, ...] = ()

    @property
    def free(self) -> tuple[str, ...]:
        """The labels of free columns: there are none."""
        return ()

    @property
    def curves(self) -> tuple[str, ...]:
        """The labels of the curves: one, or one for each level."""
        return curves_of(self.name, self.by, self.levels)

    @property
    def scales(self) -> tuple[tuple[str, int, Spectrum], ...]:
        """The label of each amplitude, how many coefficients it has, their spectrum."""
        frequencies = np.array([*product(*(axis.frequencies for axis in self.axes))])
        found = []
        for curve in self.curves:
            labels = tuple(
                curve if len(self.axes) == 1 else f"{curve}.{axis.name}"
                for axis in self.axes
            )
            ones = np.ones(len(self.axes))
            spectrum = Spectrum(self.covariance, self.axes, labels, frequencies, ones)
            found.append((curve, len(frequencies), spectrum))
        return tuple(found)

    def columns(self, x: Sequence[Array], by: Any = None) -> tuple[Array, Array]:
        """Return the free columns of rows, which are none, and the functions' values.

        Parameters
        ----------
        x
            The predictors.
        by
            What the curves depend on: numbers, or a categorical.
        """
        functions = row_products(
            [axis.functions(own) for axis, own in zip(self.axes, x, strict=True)]
        )
        free = np.empty((len(functions), 0))
        return free, times_by(functions, self.name, by, self.by, self.levels)


def build_process(
    name: str,
    names: Sequence[str],
    x: Sequence[Array],
    *,
    covariance: str = "exp_quad",
    size: int | Sequence[int] | None = None,
    c: float | None = None,
    by: Any = None,
) -> Process:
    """Build a process from the rows of the fit.

    Parameters
    ----------
    name, names
        What the process and its predictors are called.
    x
        The predictors.
    covariance
        Its covariance function.
    size, c
        How many functions of each predictor, and where the boundaries are.
    by
        What the curves depend on: numbers, or a categorical.

    Raises
    ------
    DataError
        If a predictor has the same value in all rows.

    Examples
    --------
    >>> process = build_process("gp(x)", ["x"], [np.linspace(0, 3, 50)], size=6)
    >>> [(name, count) for name, count, _ in process.scales]
    [('gp(x)', 6)]
    """
    count = len(x)
    sizes = size if isinstance(size, Sequence) else [size or DEFAULT_K[count]] * count
    for each, own in zip(names, x, strict=True):
        if np.ptp(own) == 0:
            raise DataError(
                f"{name}: {quote(each)} has one value only, and a process is a curve "
                "along several. Drop the term."
            )
    axes = tuple(
        Axis.of(each, own, k, c or DEFAULT_C[count])
        for each, own, k in zip(names, x, sizes, strict=True)
    )
    return Process(name, covariance, axes, kind_of(by), levels_of(by))
