"""Data frame and specification to the arrays that Stan sees, with the user's labels.

Population matrices come from formulaic; the group side is an index per row, never a
dense matrix. Nothing of the user's frame is kept by reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np

from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.design.covariance.correlated_residuals import CorrelatedResiduals
from stanpool.data.design.covariance.roots import Root
from stanpool.data.design.rank import about_means, column_means
from stanpool.data.matrix.model_matrix import Column
from stanpool.data.matrix.smooths.monotonic import Steps
from stanpool.data.matrix.term_matrix import SmoothScale, TermMatrix
from stanpool.language.model_spec import NORMAL

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Part:
    """The coefficients of one linear predictor among those that an id correlates.

    Attributes
    ----------
    parameter, link
        Whose linear predictor it is, and by which link.
    number
        Which of its factors, counted from 0.
    coefficients
        The labels of a group's coefficients.
    """

    parameter: str
    link: str
    number: int
    coefficients: tuple[str, ...]


@dataclass(frozen=True)
class Joint:
    """Coefficients of groups that are correlated across linear predictors.

    Attributes
    ----------
    id
        The name that the terms share.
    parts
        The linear predictors that have them, the mean's first if it is one.
    place
        Which of these the factor is of that this belongs to, counted from 0.
    """

    id: str
    parts: tuple[Part, ...]
    place: int

    @property
    def coefficients(self) -> tuple[str, ...]:
        """The labels of all coefficients; those of the mean are as they are."""
        return tuple(
            label if part.parameter == "mean" else f"{part.parameter}_{label}"
            for part in self.parts
            for label in part.coefficients
        )

    @property
    def first(self) -> Part:
        """The part to which the correlations belong."""
        return self.parts[0]

    @property
    def before(self) -> tuple[Part, ...]:
        """The parts that come before the factor's own."""
        return self.parts[: self.place]

    @property
    def own(self) -> slice:
        """Where the factor's own coefficients are among all."""
        start = sum(len(part.coefficients) for part in self.before)
        return slice(start, start + len(self.parts[self.place].coefficients))


@dataclass(frozen=True)
class FactorDesign:
    """The group side of one grouping factor: an index per row, never a dense matrix.

    Attributes
    ----------
    factor
        The factor's name.
    labels
        The user's names of its J groups.
    index
        The group of each row, counted from 0: shape ``(N,)``, or ``(N, M)`` where a
        row is a member of up to M groups.
    Z
        Predictors of the varying coefficients, shape ``(N, Q)``; an intercept is a
        column of ones. ``varying`` has their labels.
    z_bar
        Where the priors on intercepts apply, shape ``(Q,)``.
    weights
        The weights of the memberships, shape ``(N, M)``, or None. A row that names a
        group twice has their sum where the group is first, and 0 where it is again.
    U
        Group-level predictors, shape ``(J, P)``: they move the mean of the groups'
        coefficients.
    effect_of
        Which population coefficient (counted from 1; 0: none) is the effect of each
        group-level predictor on each varying coefficient, shape ``(P, Q)``.
    predictors_of
        The categories that have linear predictors of their own, for categorical
        outcomes; else empty.
    counts
        Rows per group, shape ``(J,)``, where the rows are not kept; else None.
    uncorrelated
        Whether deviations are drawn independently where predictors are 0, as ``||``
        says, so that they stay there.
    uncenter
        The matrix, shape ``(Q, Q)``, that turns deviations at the predictors' centers
        into those where predictors are 0, if these are uncorrelated; else None.
    root
        A root L of the known covariance between groups, ``L L'``; None where groups are
        independent.
    population
        The distribution of coefficients about their means, one of ``POPULATIONS``.
    joint
        The coefficients of other linear predictors that its own are correlated with;
        None where there are none.
    """

    factor: str
    labels: tuple[Any, ...]
    index: np.ndarray
    Z: np.ndarray
    varying: tuple[str, ...]
    z_bar: np.ndarray
    weights: np.ndarray | None = None
    U: np.ndarray | None = None
    effect_of: np.ndarray | None = None
    predictors_of: tuple[Any, ...] = ()
    counts: np.ndarray | None = None
    uncorrelated: bool = False
    uncenter: np.ndarray | None = None
    root: Root | None = None
    population: str = NORMAL
    joint: Joint | None = None

    @property
    def is_correlated(self) -> bool:
        """Whether its coefficients are correlated with each other."""
        return not self.uncorrelated and len(self.coefficients) > 1

    @property
    def follows(self) -> bool:
        """Whether its correlations belong to a factor of another predictor."""
        return self.joint is not None and self.joint.place > 0

    @property
    def correlated(self) -> tuple[str, ...]:
        """The labels of the coefficients whose correlation matrix belongs to it."""
        if self.follows:
            return ()
        if self.joint is not None:
            return self.joint.coefficients
        return self.coefficients if self.is_correlated else ()

    @property
    def is_normal(self) -> bool:
        """Whether coefficients are normal about their means."""
        return self.population == NORMAL

    @property
    def has_forms(self) -> bool:
        """Whether coefficients may be centered; else they are noncentered."""
        return self.root is None and self.is_normal

    @property
    def has_rho(self) -> bool:
        """Whether the covariance between groups depends on a parameter, rho."""
        return self.root is not None and self.root.has_rho

    @property
    def independent(self) -> int:
        """The number of groups, or of the independent ones that they are made of."""
        return len(self.labels) if self.root is None else self.root.columns

    @property
    def is_integrable(self) -> bool:
        """Whether coefficients can be integrated out, one group after the other."""
        return self.is_independent and self.is_normal

    @property
    def is_independent(self) -> bool:
        """Whether each row is of one group, and groups are independent."""
        return self.weights is None and self.root is None

    @property
    def variances(self) -> np.ndarray:
        """The variance of what a row gets of deviations whose scale is 1, ``(N,)``."""
        if self.weights is not None:
            return np.asarray(np.square(self.weights).sum(axis=1))
        return np.asarray(self.variances_of_groups[self.index])

    @property
    def variances_of_groups(self) -> np.ndarray:
        """The variances of groups in their known covariance, else 1, ``(J,)``."""
        if self.root is None:
            return np.ones(len(self.labels))
        return self.root.variances

    @property
    def coefficients(self) -> tuple[str, ...]:
        """The labels of a group's coefficients: ``varying``, once for each category."""
        if not self.predictors_of:
            return self.varying
        return tuple(
            f"{category}, {label}"
            for category in self.predictors_of
            for label in self.varying
        )

    @property
    def sizes(self) -> np.ndarray:
        """Rows per group, shape ``(J,)``."""
        if self.counts is not None:
            return self.counts
        members = self.index if self.weights is None else self.index[self.weights > 0]
        return np.bincount(members, minlength=len(self.labels))

    def take(self, rows: np.ndarray | slice) -> FactorDesign:
        """Return the group side of some rows, with all groups."""
        per_row = ("index", "Z", "weights")
        return replace(
            self, **{name: rows_of(getattr(self, name), rows) for name in per_row}
        )


@dataclass(frozen=True)
class Side:
    """A column whose levels have coefficients of their own in a term.

    Attributes
    ----------
    column, labels
        The column, and its J levels.
    index
        Which one each row is of, counted from 0, shape ``(N,)``.
    """

    column: str
    labels: tuple[Any, ...]
    index: np.ndarray

    @property
    def size(self) -> int:
        """The number of levels, J."""
        return len(self.labels)


class SpecialTerm(Protocol):
    """The design of a term that is neither the population's nor of a grouping factor.

    Each kind has a class of its own, and a module of functions in ``model/terms``.
    """

    @property
    def kind(self) -> str:
        """The kind: the name of its module, and of its file of macros."""

    @property
    def name(self) -> str:
        """How users name the term, as in ``group_terms``."""

    @property
    def scales(self) -> int:
        """How many coefficients with a scale to estimate each row gets of the term."""

    @property
    def scale_class(self) -> str:
        """The class of parameters of these scales, in ``priors=``."""

    @property
    def sides(self) -> tuple[Side, ...]:
        """The columns whose levels have coefficients."""

    @property
    def has_means(self) -> bool:
        """Whether coefficients of new levels are not 0 on average."""

    def with_sides(self, sides: Sequence[Side]) -> Self:
        """Return the term of other rows, or with other labels."""


@runtime_checkable
class TermOfRows(SpecialTerm, Protocol):
    """The design of a term that has more of each row than the levels of columns."""

    @property
    def rows_of_values(self) -> tuple[str, ...]:
        """The dimensions of the posterior that run over rows of the data."""

    def take(self, rows: np.ndarray | slice) -> Self:
        """Return the term of some rows."""

    def of_new(self, frame: pd.DataFrame) -> Self:
        """Return the term of new rows."""


@dataclass(frozen=True)
class ParameterDesign:
    """The linear predictor of one parameter of the outcome's distribution.

    The mean's and the residual scale's are both of this type.

    Attributes
    ----------
    parameter
        The parameter: ``"mean"`` (on the link's scale, the location of the outcome), or
        as the table of families calls it, such as ``"sigma"``.
    link
        The link between the parameter and its linear predictor.
    X
        Population predictors without the intercept, shape ``(N, K)``, and
        ``coefficients``, their K labels.
    intercept
        Whether there is a population intercept.
    x_bar
        Where the prior on the intercept applies, shape ``(K,)``.
    factors
        The grouping factors over which the predictor's coefficients vary.
    special
        Terms of other kinds.
    is_value
        Whether each group of the only factor has a value of the parameter itself. The
        posterior then has these values and not coefficients.
    log_unit
        The logarithm of the unit of the parameter, in which programs count it, where
        its linear predictor is its logarithm in the user's units.
    centers
        From where the model counts predictors that are far from 0, by label.
    smooths
        The scales of the coefficients of the last columns of X, which are those of
        smooths.
    """

    parameter: str
    link: str
    X: np.ndarray
    coefficients: tuple[str, ...]
    intercept: bool
    x_bar: np.ndarray
    factors: tuple[FactorDesign, ...] = ()
    special: tuple[SpecialTerm, ...] = ()
    is_value: bool = False
    log_unit: float = 0.0
    centers: tuple[tuple[str, float], ...] = ()
    smooths: tuple[SmoothScale, ...] = ()

    @property
    def free(self) -> tuple[str, ...]:
        """The labels of the coefficients whose priors have no scale to estimate."""
        penalised = sum(each.count for each in self.smooths)
        return self.coefficients[: len(self.coefficients) - penalised]

    @property
    def scaled(self) -> tuple[SmoothScale, ...]:
        """The smooths whose coefficients have a scale; they are the first."""
        return tuple(each for each in self.smooths if each.steps is None)

    @property
    def monotonic(self) -> tuple[SmoothScale, ...]:
        """The monotonic effects; they are the last of the smooths, M of them."""
        return tuple(each for each in self.smooths if each.steps is not None)

    @property
    def scale_of(self) -> np.ndarray:
        """Which scale the coefficients have that have one, counted from 0."""
        counts = [each.count for each in self.scaled]
        return np.repeat(np.arange(len(counts)), counts)

    @property
    def processes(self) -> tuple[SmoothScale, ...]:
        """The scales that are amplitudes of Gaussian processes."""
        return tuple(each for each in self.smooths if each.spectrum is not None)

    @property
    def lengthscales(self) -> tuple[str, ...]:
        """The labels of the length scales of Gaussian processes, L of them."""
        return tuple(
            label
            for each in self.smooths
            if each.spectrum is not None
            for label in each.spectrum.lengthscales
        )

    @property
    def middle_lengthscales(self) -> np.ndarray:
        """Length scales that may well be, shape ``(L,)``."""
        found = [each.spectrum.middle for each in self.processes if each.spectrum]
        return np.concatenate([np.empty(0), *found])

    def sds_of_smooths(self, tau: np.ndarray, lengthscale: np.ndarray) -> np.ndarray:
        """Return the standard deviations of the coefficients of smooths.

        Parameters
        ----------
        tau, lengthscale
            The scales of smooths, ``(..., scales)``, and length scales, ``(..., L)``.

        Returns
        -------
        numpy.ndarray
            Shape ``(..., coefficients)``.
        """
        found, first = [np.empty((*tau.shape[:-1], 0))], 0
        for place, each in enumerate(self.scaled):
            sds = np.broadcast_to(1.0, (*tau.shape[:-1], each.count))
            if each.spectrum is not None:
                last = first + len(each.spectrum.axes)
                sds = each.spectrum.sds(lengthscale[..., first:last])
                first = last
            found.append(tau[..., place, None] * sds)
        return np.concatenate(found, axis=-1)

    @property
    def steps(self) -> tuple[str, ...]:
        """The labels of the steps of monotonic effects."""
        return tuple(label for steps in self._steps for label in steps.labels)

    @property
    def _steps(self) -> list[Steps]:
        return [each.steps for each in self.smooths if each.steps is not None]

    def _by_effect(self, steps: np.ndarray) -> list[np.ndarray]:
        """Split the steps of all monotonic effects, ``(..., steps)``, into theirs."""
        ends = np.cumsum([len(each.labels) for each in self._steps])[:-1]
        return np.split(steps, ends, axis=-1)

    def shares_of_steps(self, steps: np.ndarray) -> np.ndarray:
        """Return the share of each step in the whole of its effect."""
        parts = [x / x.sum(axis=-1, keepdims=True) for x in self._by_effect(steps)]
        return np.concatenate(parts, axis=-1)

    def departures(self, free: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return the coefficients of the levels of monotonic effects, but the ends.

        Parameters
        ----------
        free, steps
            The coefficients that have priors of their own, ``(..., K_free)``, of which
            the last are the mean steps, and the steps, ``(..., steps)``.
        """
        if not self.monotonic:
            return np.empty((*free.shape[:-1], 0))
        means = np.moveaxis(free[..., -len(self.monotonic) :], -1, 0)
        parts = [
            own.departures(mean, each)
            for own, mean, each in zip(
                self._steps, means, self._by_effect(steps), strict=True
            )
        ]
        return np.concatenate(parts, axis=-1)

    def steps_near(self, coefficients: np.ndarray) -> np.ndarray:
        """Return steps of monotonic effects that agree with all coefficients, about.

        Parameters
        ----------
        coefficients
            Shape ``(K,)``.
        """
        found, place = [np.empty(0)], len(coefficients)
        mean = len(self.free)
        for own in reversed(self._steps):
            first = place - len(own.labels) + 1
            mean -= 1
            found.append(own.near(coefficients[mean], coefficients[first:place])[::-1])
            place = first
        return np.concatenate(found)[::-1]

    def take(self, rows: np.ndarray | slice) -> ParameterDesign:
        """Return the predictor of some rows, with all groups."""
        return replace(
            self,
            X=rows_of(self.X, rows),
            factors=tuple(factor.take(rows) for factor in self.factors),
            special=tuple(taken_special(term, rows) for term in self.special),
        )

    def with_factors(
        self, change: Callable[[FactorDesign], FactorDesign]
    ) -> ParameterDesign:
        """Return the predictor with each of its factors changed by a function."""
        return replace(self, factors=tuple(map(change, self.factors)))


@dataclass(frozen=True)
class Encodings:
    """How the matrices of a design are built again for new rows.

    Attributes
    ----------
    population
        Of the population's predictors, with the intercept.
    factors
        Of the predictors of the coefficients that vary over each factor.
    expressions
        Of the outcome, the offsets and what the outcome's parts are given, by text.
    parameters
        Of the predictors of parameters that have formulas of their own.
    """

    population: TermMatrix
    factors: tuple[TermMatrix, ...]
    expressions: Mapping[str, Column]
    parameters: Mapping[str, Encodings] = field(default_factory=dict)

    @property
    def left_out(self) -> tuple[tuple[str, ...], ...]:
        """What the data cannot tell: predictors, then of each factor."""
        return tuple(
            () if matrix.left_out is None else matrix.left_out.labels
            for matrix in (self.population, *self.factors)
        )


@dataclass(frozen=True)
class Design:
    """The data that a model sees, with labels. All arrays are read-only copies.

    Attributes
    ----------
    y
        Outcome, shape ``(N,)``: float for real outcomes, int for counts and for
        categories, which are counted from 0.
    X, coefficients, intercept, x_bar, factors, special
        The linear predictor of the mean, as in ``ParameterDesign``; ``mean`` is the
        same as a value. Factors are in the order of the formula.
    link
        The link of the mean.
    parameters
        The linear predictors of the distribution's other parameters. Parameters that
        are one number for all rows have none.
    trials, se, weights
        Known number of trials, known standard errors, and weights of the log
        likelihood per row, or None.
    offset
        What is added to the linear predictor, shape ``(N,)``, or None: the offsets
        and the log of the exposure.
    censored
        How each outcome is censored: 0 not, -1 left, 1 right, 2 in an interval from
        ``y`` to ``y_upper``; or None.
    y_upper
        Upper ends of the intervals; NaN in other rows; or None.
    lower, upper
        Bounds of truncation per row, or None.
    categories
        The levels of an ordinal or categorical outcome; else empty.
    encodings
        How to build the matrices again for new rows.
    centers, smooths
        Of the linear predictor of the mean, as in ``ParameterDesign``.
    residual_correlation
        Whose residuals are correlated, and how; None where rows are independent.
    ones
        A column of ones, transformed as the rows are, shape ``(N,)``, where rows take
        the place of others; else None.
    count
        The number of rows where they are not kept; else None.
    """

    y: np.ndarray
    X: np.ndarray
    coefficients: tuple[str, ...]
    intercept: bool
    x_bar: np.ndarray
    factors: tuple[FactorDesign, ...] = ()
    link: str = "identity"
    parameters: tuple[ParameterDesign, ...] = ()
    special: tuple[SpecialTerm, ...] = ()
    trials: np.ndarray | None = None
    se: np.ndarray | None = None
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    censored: np.ndarray | None = None
    y_upper: np.ndarray | None = None
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    categories: tuple[Any, ...] = ()
    encodings: Encodings | None = None
    centers: tuple[tuple[str, float], ...] = ()
    smooths: tuple[SmoothScale, ...] = ()
    residual_correlation: CorrelatedResiduals | None = None
    ones: np.ndarray | None = None
    count: int | None = None

    @property
    def rows(self) -> int:
        """Number of rows, N."""
        return len(self.y) if self.count is None else self.count

    @property
    def mean(self) -> ParameterDesign:
        """The linear predictor of the mean, which shares its arrays with the design."""
        return ParameterDesign(
            parameter="mean",
            link=self.link,
            X=self.X,
            coefficients=self.coefficients,
            intercept=self.intercept,
            x_bar=self.x_bar,
            factors=self.factors,
            special=self.special,
            centers=self.centers,
            smooths=self.smooths,
        )

    @property
    def built_smooths(self) -> dict[str, Any]:
        """The smooths of all linear predictors as they were built, by their texts."""
        if self.encodings is None:
            return {}
        own = (self.encodings, *self.encodings.parameters.values())
        built = [each.population.built_smooths for each in own]
        return {text: smooth for each in built for text, smooth in each.items()}

    @property
    def has_centers(self) -> bool:
        """Whether predictors of any parameter are far from 0."""
        return any(own.centers for own in self.predictors)

    @property
    def predictors(self) -> tuple[ParameterDesign, ...]:
        """All linear predictors: the mean's, and those of other parameters."""
        return (self.mean, *self.parameters)

    def parameter(self, name: str) -> ParameterDesign | None:
        """Return the linear predictor of a parameter; None if it is one number."""
        return next((each for each in self.predictors if each.parameter == name), None)

    @property
    def residual(self) -> FactorDesign | None:
        """The factor whose groups have residual scales of their own, or None."""
        sigma = self.parameter("sigma")
        return sigma.factors[0] if sigma is not None and sigma.is_value else None

    @property
    def formulas(self) -> tuple[ParameterDesign, ...]:
        """The linear predictors of parameters that have formulas of their own."""
        return tuple(each for each in self.parameters if not each.is_value)

    def mean_of(self, column: np.ndarray) -> float:
        """Return the mean of a column of the design over the rows of the data."""
        return float(column_means(column, self.ones))

    def sd_of(self, column: np.ndarray) -> float:
        """Return its standard deviation, with the degrees of freedom less one."""
        if self.ones is None:
            return float(np.std(column, ddof=1)) if len(column) > 1 else 0.0
        left = float(self.ones @ self.ones) - 1
        return (
            sd_of_column(column, self.ones) * math.sqrt(1 + 1 / left)
            if left > 0
            else 0.0
        )

    def take(self, rows: np.ndarray | slice) -> Design:
        """Return the design of some rows, with all groups, levels and centers.

        Parameters
        ----------
        rows
            Which rows, counted from 0. Groups may be left without rows.
        """
        per_row = ["y", "X", "trials", "se", "weights", "offset", "censored"]
        per_row += ["y_upper", "lower", "upper", "ones"]
        return replace(
            self,
            **{name: rows_of(getattr(self, name), rows) for name in per_row},
            factors=tuple(factor.take(rows) for factor in self.factors),
            parameters=tuple(each.take(rows) for each in self.parameters),
            special=tuple(taken_special(term, rows) for term in self.special),
            residual_correlation=None
            if self.residual_correlation is None
            else self.residual_correlation.take(rows),
        )

    def said_of_left_out(self) -> tuple[str, ...]:
        """Say which predictors are left out, as the data cannot tell them from others.

        One sentence each for the population and the factors that have any.
        """
        if self.encodings is None:
            return ()
        # Others say what smooths leave out, in any row.
        of_smooths = {x for own in self.built_smooths.values() for x in own.free}
        whose = ("", *(f" of {quote(each.factor)}" for each in self.factors))
        return tuple(
            f"{quote_list(labels)}{of}: no row has this combination of predictors, or "
            "the column is a linear combination of others"
            for left_out, of in zip(self.encodings.left_out, whose, strict=True)
            if (labels := [each for each in left_out if each not in of_smooths])
        )

    @property
    def factor(self) -> str | None:
        """The name of the first grouping factor, or None."""
        return self.factors[0].factor if self.factors else None

    @property
    def varying(self) -> tuple[str, ...]:
        """The labels of the coefficients that vary over the first factor."""
        return self.factors[0].varying if self.factors else ()

    @property
    def group_labels(self) -> tuple[Any, ...]:
        """The groups of the first factor."""
        return self.factors[0].labels if self.factors else ()

    @property
    def group_index(self) -> np.ndarray | None:
        """The group of each row in the first factor."""
        return self.factors[0].index if self.factors else None

    @property
    def group_sizes(self) -> np.ndarray:
        """Rows per group of the first factor, shape ``(J,)``."""
        return self.factors[0].sizes if self.factors else np.array([self.rows])


class RowsNotKept:
    """In the place of an array of rows that were read and not kept: refuses all use.

    Parameters
    ----------
    source
        Where the rows were read from, for messages.
    shape
        The shape that the array would have, but for its rows.
    """

    def __init__(self, source: str, *shape: int) -> None:
        self.source, self.shape = source, (0, *shape)

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise DataError(
            f"this needs the rows of the data, which were read in chunks from "
            f"{self.source} and not kept. Pass the rows of interest where there is "
            "data=, as in fit.predict(data); or build the model from a data frame of "
            "all rows or of a sample."
        )

    def __getattr__(self, name: str) -> Any:
        """Refuse all that an array has, but for what Python itself looks for."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self._refuse()

    def __truediv__(self, _: Any) -> RowsNotKept:
        """Return the same: rows in other units are not kept either."""
        return self

    __array__ = __array_ufunc__ = __len__ = __iter__ = __getitem__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __invert__ = __neg__ = __rmatmul__ = _refuse


def sd_of_column(column: np.ndarray, ones: np.ndarray | None) -> float:
    """Return the standard deviation of a column over the rows of the data."""
    about = about_means(column, ones)
    rows = len(column) if ones is None else ones @ ones
    return math.sqrt(float(about @ about) / float(rows))


def taken_special(term: SpecialTerm, rows: np.ndarray | slice) -> SpecialTerm:
    """Return a term of some rows, with all labels."""
    if isinstance(term, TermOfRows):
        return term.take(rows)
    return term.with_sides(
        [replace(side, index=read_only(side.index[rows])) for side in term.sides]
    )


def rows_of(values: np.ndarray | None, rows: np.ndarray | slice) -> Any:
    """Return some rows of an array, read-only."""
    return None if values is None else read_only(values[rows])


def read_only(values: Any) -> Any:
    """Make an array read-only."""
    if values is not None:
        values = np.ascontiguousarray(values)
        values.setflags(write=False)
    return values
