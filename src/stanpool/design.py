"""Data frame and specification to the arrays that Stan sees, with the user's labels.

Population matrices come from formulaic; the group side is an index per row, never a
dense matrix. Nothing of the user's frame is kept by reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd

from stanpool.entries import refuse_rows
from stanpool.errors import DataError, SpecError, listed, shorten, suggestion
from stanpool.latent import anchors_of, pilot
from stanpool.matrix import (
    Column,
    TermMatrix,
    column_of,
    term_matrix,
    without_values,
)
from stanpool.origins import choose_origins
from stanpool.outcome import (
    build_censoring,
    build_offset,
    build_outcome,
    build_trials,
    build_truncation,
    expressions,
    likelihood_weights,
    standard_errors,
    weights_column,
)
from stanpool.rank import COLLINEAR, about_means, column_means, identified
from stanpool.spec import FAMILIES, GroupTerm, ModelSpec


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
    to_zero
        The matrix, shape ``(Q, Q)``, that turns deviations at the predictors' origins
        into those where predictors are 0, if these are uncorrelated; else None.
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
    to_zero: np.ndarray | None = None

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
            self, **{name: _taken(getattr(self, name), rows) for name in per_row}
        )


@dataclass(frozen=True)
class LatentDesign:
    """Who has scores and who has loadings on latent factors.

    Attributes
    ----------
    scores_of, score_labels, scored
        The column of those that have scores, their J labels, and which one each row
        is of, counted from 0.
    loadings_of, loading_labels, loaded
        The same of those that have loadings.
    rank
        The number of latent factors, R.
    anchors
        Those with loadings in the order in which Stan sees them. The first R anchor
        the rotation: their loadings are a triangle with a positive diagonal.
    """

    scores_of: str
    score_labels: tuple[Any, ...]
    scored: np.ndarray
    loadings_of: str
    loading_labels: tuple[Any, ...]
    loaded: np.ndarray
    rank: int
    anchors: np.ndarray

    @property
    def sides(self) -> tuple[tuple[str, tuple[Any, ...], np.ndarray], ...]:
        """Both sides: column, labels, and the index of each row."""
        return (
            (self.scores_of, self.score_labels, self.scored),
            (self.loadings_of, self.loading_labels, self.loaded),
        )

    def take(self, rows: np.ndarray | slice) -> LatentDesign:
        """Return the sides of some rows, with all who have scores and loadings."""
        return replace(
            self,
            scored=_frozen(self.scored[rows]),
            loaded=_frozen(self.loaded[rows]),
        )


@dataclass(frozen=True)
class Recipes:
    """How the matrices of a design are built again for new rows.

    Attributes
    ----------
    population
        Of the population's predictors, with the intercept.
    factors
        Of the predictors of the coefficients that vary over each factor.
    expressions
        Of the outcome, the offsets and what the outcome's parts are given, by text.
    """

    population: TermMatrix
    factors: tuple[TermMatrix, ...]
    expressions: Mapping[str, Column]

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
    X
        Population predictors without the intercept, shape ``(N, K)``, and
        ``coefficients``, their labels.
    intercept
        Whether there is a population intercept.
    x_bar
        Where the prior on the intercept applies, shape ``(K,)``.
    factors
        The grouping factors, in the order of the formula.
    latent
        Latent factors, or None.
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
    residual
        The factor whose groups have residual scales of their own, as
        ``(name, labels, index)``, or None.
    recipes
        How to build the matrices again for new rows.
    origins
        From where the model counts predictors that are far from 0, by label.
    unit
        What has become of a column of ones, shape ``(N,)``, where rows stand for
        others; else None.
    count
        The number of rows where they are not kept; else None.
    """

    y: np.ndarray
    X: np.ndarray
    coefficients: tuple[str, ...]
    intercept: bool
    x_bar: np.ndarray
    factors: tuple[FactorDesign, ...] = ()
    latent: LatentDesign | None = None
    trials: np.ndarray | None = None
    se: np.ndarray | None = None
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    censored: np.ndarray | None = None
    y_upper: np.ndarray | None = None
    lower: np.ndarray | None = None
    upper: np.ndarray | None = None
    categories: tuple[Any, ...] = ()
    residual: tuple[str, tuple[Any, ...], np.ndarray] | None = None
    recipes: Recipes | None = None
    origins: tuple[tuple[str, float], ...] = ()
    unit: np.ndarray | None = None
    count: int | None = None

    @property
    def rows(self) -> int:
        """Number of rows, N."""
        return len(self.y) if self.count is None else self.count

    def mean(self, column: np.ndarray) -> float:
        """Return the mean of a column of the design over the rows of the data."""
        return float(column_means(column, self.unit))

    def sd(self, column: np.ndarray) -> float:
        """Return its standard deviation, with the degrees of freedom less one."""
        if self.unit is None:
            return float(np.std(column, ddof=1)) if len(column) > 1 else 0.0
        left = float(self.unit @ self.unit) - 1
        return _spread(column, self.unit) * math.sqrt(1 + 1 / left) if left > 0 else 0.0

    def take(self, rows: np.ndarray | slice) -> Design:
        """Return the design of some rows, with all groups, levels and centers.

        Parameters
        ----------
        rows
            Which rows, counted from 0. Groups may be left without rows.
        """
        per_row = ["y", "X", "trials", "se", "weights", "offset", "censored"]
        per_row += ["y_upper", "lower", "upper", "unit"]
        residual = self.residual
        if residual is not None:
            residual = (*residual[:2], _frozen(residual[2][rows]))
        return replace(
            self,
            **{name: _taken(getattr(self, name), rows) for name in per_row},
            factors=tuple(factor.take(rows) for factor in self.factors),
            latent=None if self.latent is None else self.latent.take(rows),
            residual=residual,
        )

    def said_of_left_out(self) -> tuple[str, ...]:
        """Say which predictors are left out, as the data cannot tell them from others.

        One sentence each for the population and the factors that have any.
        """
        if self.recipes is None:
            return ()
        whose = ("", *(f" of {shorten(each.factor)}" for each in self.factors))
        return tuple(
            f"{listed(labels)}{of}: no row has that combination of predictors, or "
            "those that have it cannot tell it from others"
            for labels, of in zip(self.recipes.left_out, whose, strict=True)
            if labels
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


class StandIns(Protocol):
    """Rows in the place of those of the data, with the same sums of products."""

    @property
    def unit(self) -> np.ndarray:
        """What has become of a column of ones."""

    @property
    def y(self) -> np.ndarray:
        """What has become of the outcome."""

    @property
    def offset(self) -> np.ndarray | None:
        """What has become of the offsets."""

    @property
    def like(self) -> np.ndarray:
        """The row of the frame whose groups each of them belongs to."""

    def of(self, matrix: TermMatrix) -> np.ndarray:
        """Return what has become of a design matrix."""


def build_design(
    spec: ModelSpec, frame: pd.DataFrame, stand_ins: StandIns | None = None
) -> Design:
    """Build the arrays of a model from a frame that ``used_columns`` has cleaned.

    Parameters
    ----------
    spec
        The model.
    frame
        The columns that the model uses, as ``used_columns`` returns them.
    stand_ins
        Rows in the place of those of the data. The frame then is what decides the
        structure: all levels and groups occur in it, and a predictor that varies
        within groups does so here.

    Raises
    ------
    DataError
        If the data cannot serve the model: outside the family's support, a constant
        or collinear predictor, a single group, a group-level predictor that varies
        within groups.
    """
    family = FAMILIES[spec.family]
    functions = dict(spec.functions)
    expressed = {text: column_of(text, frame, functions) for text in expressions(spec)}
    evaluated = {text: column.values for text, column in expressed.items()}
    y, categories = build_outcome(spec, frame, evaluated)
    population = _known(
        term_matrix(spec.intercept, spec.terms, frame, functions),
        spec.intercept,
        stand_ins,
    )
    x, labels = population.values, population.labels
    if spec.intercept:
        x, labels = x[:, 1:], labels[1:]
    pooled = () if spec.pooling == "complete" else spec.groups
    factors = [_build_factor(spec, term, frame, labels, stand_ins) for term in pooled]
    built = [factor for factor, _ in factors]
    if spec.pooling == "partial":
        built = _with_group_predictors(spec, built, x, labels, frame)
    offset = build_offset(spec, evaluated)
    residual = _residual_groups(spec, frame)
    seen = _by_label(x, labels, built)
    unit, outcome = None, y
    if stand_ins is not None:
        unit, outcome, offset = stand_ins.unit, stand_ins.y, stand_ins.offset
        x = stand_ins.of(population)[:, int(spec.intercept) :]
        built = [
            replace(
                factor,
                Z=_frozen(stand_ins.of(matrix)),
                **{
                    name: _taken(getattr(factor, name), stand_ins.like)
                    for name in ("index", "weights")
                },
            )
            for factor, (_, matrix) in zip(built, factors, strict=True)
        ]
        if residual is not None:
            residual = (*residual[:2], _frozen(residual[2][stand_ins.like]))
    center = spec.center_predictors
    has_cutpoints = family.outcome == "ordered"
    intercept = spec.intercept and not has_cutpoints
    own_intercepts = False
    if spec.pooling == "none":
        # What the groups' own coefficients can express is not estimated once more.
        own_factor = built[0]
        kept = [not _is_expressed(column, own_factor, unit) for column in x.T]
        x, labels = x[:, kept], tuple(np.array(labels, dtype=object)[kept])
        ones = np.ones(len(x)) if unit is None else unit
        intercept = intercept and not _is_expressed(ones, own_factor, unit)
        own_intercepts = not intercept and own_factor.varying[0] == "Intercept"
        if own_intercepts and center:
            z_bar = column_means(own_factor.Z, unit)
            z_bar[0] = 0.0
            built[0] = replace(own_factor, z_bar=_frozen(z_bar))
    if family.outcome == "categories":
        built = [replace(each, predictors_of=categories[1:]) for each in built]
    censored, y_upper = build_censoring(spec, evaluated, y)
    lower, upper = build_truncation(spec, evaluated, y)
    # Somewhere the intercept is, so that predictors may be counted from anywhere.
    center = center and (intercept or own_intercepts or has_cutpoints)
    columns = _by_label(x, labels, built)
    moments = {
        label: (float(column_means(column, unit)), _spread(column, unit))
        for label, column in columns.items()
    }
    origins = choose_origins([(label, seen[label]) for label in columns], moments)
    return Design(
        y=_frozen(outcome),
        X=_frozen(x),
        coefficients=labels,
        intercept=intercept,
        x_bar=_frozen(column_means(x, unit) if center else np.zeros(x.shape[1])),
        factors=tuple(built),
        latent=_build_latent(spec, frame, y),
        trials=_frozen(build_trials(spec, evaluated, y)),
        se=_frozen(standard_errors(spec, evaluated)),
        weights=_frozen(likelihood_weights(spec, evaluated)),
        offset=_frozen(offset),
        censored=_frozen(censored),
        y_upper=_frozen(y_upper),
        lower=_frozen(lower),
        upper=_frozen(upper),
        categories=categories,
        residual=residual,
        unit=_frozen(unit),
        recipes=Recipes(
            population=without_values(population),
            factors=tuple(without_values(matrix) for _, matrix in factors),
            expressions={
                text: replace(c, values=None) for text, c in expressed.items()
            },
        ),
        origins=origins if center else (),
    )


def _known(
    matrix: TermMatrix, intercept: bool, stand_ins: StandIns | None
) -> TermMatrix:
    """Leave out of a matrix what the rows, or those in their place, cannot tell."""
    if stand_ins is None:
        return identified(matrix, matrix.values, intercept, None)
    return identified(matrix, stand_ins.of(matrix), intercept, stand_ins.unit)


def _build_factor(
    spec: ModelSpec,
    term: GroupTerm,
    frame: pd.DataFrame,
    labels: tuple[str, ...],
    stand_ins: StandIns | None,
) -> tuple[FactorDesign, TermMatrix]:
    """Build the group side of one factor, and the recipe of its matrix.

    ``labels`` are those of the population's predictors: the same interaction is
    written the same way on both sides.
    """
    functions = dict(spec.functions)
    matrix = term_matrix(term.intercept, term.terms, frame, functions)
    matrix = _known(matrix, term.intercept, stand_ins)
    varying = _in_same_order(matrix.labels, labels)
    groups, index, weights = memberships(term, frame)
    if spec.pooling == "partial" and len(groups) < 2:
        raise DataError(
            f"column {shorten(term.factor)} has one group, {listed(groups)}: "
            "partial pooling learns how groups differ and needs two or more. Pass "
            "pooling='complete'."
        )
    factor = FactorDesign(
        factor=term.factor,
        labels=groups,
        index=_frozen(index),
        Z=_frozen(matrix.values),
        varying=varying,
        z_bar=_frozen(np.zeros(len(varying))),
        weights=_frozen(weights),
        uncorrelated=spec.pooling == "partial" and not term.correlated,
    )
    return factor, matrix


def _build_latent(
    spec: ModelSpec, frame: pd.DataFrame, y: np.ndarray
) -> LatentDesign | None:
    """Build the sides of the latent factors."""
    latent = spec.latent
    if latent is None or spec.pooling == "complete":
        return None
    score_labels, scored = groups_of((latent.scores_of,), frame)
    loading_labels, loaded = groups_of((latent.loadings_of,), frame)
    for name, labels in (
        (latent.scores_of, score_labels),
        (latent.loadings_of, loading_labels),
    ):
        if len(labels) < latent.rank:
            raise DataError(
                f"{latent} has rank {latent.rank}, and column {shorten(name)} has "
                f"{len(labels)} level(s): the rank is at most their number. Lower it."
            )
    shape = len(score_labels), len(loading_labels)
    estimate = pilot(y, scored, loaded, shape, latent.rank)
    return LatentDesign(
        scores_of=latent.scores_of,
        score_labels=score_labels,
        scored=_frozen(scored),
        loadings_of=latent.loadings_of,
        loading_labels=loading_labels,
        loaded=_frozen(loaded),
        rank=latent.rank,
        anchors=_frozen(anchors_of(estimate[1])),
    )


def memberships(
    term: GroupTerm, frame: pd.DataFrame
) -> tuple[tuple[Any, ...], np.ndarray, np.ndarray | None]:
    """Return the groups that occur, the index of each row's, and weights if several."""
    if term.membership == "matrix":
        return _members_of_matrix(term, frame)
    if term.membership == "labels":
        labels, index, weights = _members_of_labels(term, frame)
        return labels, index, _added_up(index, weights)
    return *groups_of(term.key, frame), None


def _added_up(index: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Give a group that a row names twice the sum of its weights, where it is first.

    The row then has one coefficient with one weight, and not two coefficients that are
    independent: variances and information are of the squared sum.
    """
    weights = weights.copy()
    for again in range(1, index.shape[1]):
        for first in range(again):
            same = index[:, first] == index[:, again]
            weights[same, first] += weights[same, again]
            weights[same, again] = 0.0
    return weights


def groups_of(
    key: Sequence[str], frame: pd.DataFrame
) -> tuple[tuple[Any, ...], np.ndarray]:
    """Return the labels of the groups and the index of each row's group.

    Combinations of columns are numbered in the order of their levels, and labelled
    ``school:classroom``; only those that occur are groups.
    """
    first = frame[key[0]].cat
    labels = tuple(first.categories.tolist())
    index = first.codes.to_numpy().astype(np.int64)
    for name in key[1:]:
        column = frame[name].cat
        inner = column.categories
        combined = index * len(inner) + column.codes.to_numpy()
        occurring, index = np.unique(combined, return_inverse=True)
        labels = tuple(
            f"{labels[code // len(inner)]}:{inner[code % len(inner)]}"
            for code in occurring.tolist()
        )
    return labels, index


def _members_of_labels(
    term: GroupTerm, frame: pd.DataFrame
) -> tuple[tuple[Any, ...], np.ndarray, np.ndarray]:
    """Return groups, indices and weights where each column names a membership.

    The weights are equal and sum to one unless columns have them, as in brms.
    """
    columns = [frame[name].cat for name in term.key]
    levels = columns[0].categories
    for column in columns[1:]:
        if column.categories.dtype != levels.dtype:
            raise DataError(
                f"the memberships {listed(term.key)} hold labels of different types; "
                "make them all text or all whole numbers."
            )
        levels = levels.union(column.categories)
    index = np.column_stack(
        [levels.get_indexer(column.categories)[column.codes] for column in columns]
    )
    weights = np.full(index.shape, 1.0 / index.shape[1])
    if term.weights:
        weights = np.column_stack(
            [weights_column(frame, name, "weights") for name in term.weights]
        )
    return tuple(levels.tolist()), index, weights


def _members_of_matrix(
    term: GroupTerm, frame: pd.DataFrame
) -> tuple[tuple[Any, ...], np.ndarray, np.ndarray]:
    """Return groups, indices and weights where each column is a group."""
    matrix = np.column_stack(
        [weights_column(frame, name, "membership") for name in term.key]
    )
    member = matrix > 0
    refuse_rows(
        member.sum(axis=1),
        np.logical_not(member.any(axis=1)),
        f"every row must be a member of one of {listed(term.key)} or more",
    )
    most = int(member.sum(axis=1).max())
    # Members first, in their order; the rest of a row has weight 0.
    index = np.argsort(~member, axis=1, kind="stable")[:, :most]
    return term.key, index, np.take_along_axis(matrix, index, axis=1)


def _residual_groups(
    spec: ModelSpec, frame: pd.DataFrame
) -> tuple[str, tuple[Any, ...], np.ndarray] | None:
    """Return the groups that have residual scales of their own."""
    if spec.residual is None or spec.pooling == "complete":
        return None
    labels, index = groups_of((spec.residual,), frame)
    return spec.residual, labels, _frozen(index)


def _with_group_predictors(
    spec: ModelSpec,
    factors: list[FactorDesign],
    x: np.ndarray,
    labels: tuple[str, ...],
    frame: pd.DataFrame,
) -> list[FactorDesign]:
    """Give each factor the population predictors that are constant in its groups.

    A predictor belongs to the first factor in whose groups it is constant: it moves
    the mean of that factor's intercepts. An interaction ``x:u`` of a varying ``x``
    with such a ``u`` moves the mean of the slopes of ``x``.
    """
    for name in spec.group_predictors:
        _refuse_varying_within_groups(name, factors, frame)
    taken: set[int] = set()
    result = []
    for factor in factors:
        found: list[tuple[np.ndarray, int, int]] = []
        if factor.weights is None:
            for k, label in enumerate(labels):
                place = _effect_on(label, x[:, k], factor, frame)
                if k not in taken and place is not None:
                    taken.add(k)
                    found.append((place[0], place[1], k + 1))
        if found:
            effect_of = np.zeros((len(found), len(factor.varying)), dtype=np.int64)
            for p, (_, q, k) in enumerate(found):
                effect_of[p, q] = k
            values = np.column_stack([u for u, _, _ in found])
            factor = replace(factor, U=_frozen(values), effect_of=_frozen(effect_of))
        result.append(factor)
    return result


def _effect_on(
    label: str, column: np.ndarray, factor: FactorDesign, frame: pd.DataFrame
) -> tuple[np.ndarray, int] | None:
    """Return the groups' values of a predictor and the coefficient that it moves."""
    if label in factor.varying:
        return None  # its effect is in the groups' own coefficients
    if "Intercept" in factor.varying:
        values = _group_values(column, factor)
        if values is not None:
            return values, factor.varying.index("Intercept")
    parts = label.split(":")
    for q, slope in enumerate(factor.varying):
        others = [part for part in parts if part != slope]
        if len(parts) == 1 or len(others) != len(parts) - 1:
            continue
        names = [name for name in others if name in frame.columns]
        if len(names) < len(others) or any(
            isinstance(frame[name].dtype, pd.CategoricalDtype) for name in names
        ):
            continue
        values = _group_values(frame[names].prod(axis=1).to_numpy(), factor)
        if values is not None:
            return values, q
    return None


def _group_values(column: np.ndarray, factor: FactorDesign) -> np.ndarray | None:
    """Return a column's value in each group, shape ``(J,)``, or None if it varies."""
    values = np.empty(len(factor.labels))
    values[factor.index] = column
    return values if np.array_equal(values[factor.index], column) else None


def _refuse_varying_within_groups(
    name: str, factors: list[FactorDesign], frame: pd.DataFrame
) -> None:
    """Refuse a predictor that is named group-level and varies within groups."""
    if name not in frame.columns:
        raise SpecError(
            f"group_predictors has {shorten(name)}, which is no predictor of the model."
            + suggestion(name, [str(column) for column in frame.columns])
        )
    column = frame[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.codes
    values = column.to_numpy(dtype=float)
    single = [factor for factor in factors if factor.weights is None]
    if single and all(_group_values(values, factor) is None for factor in single):
        factor = single[0]
        first = np.empty(len(factor.labels))
        first[factor.index[::-1]] = values[::-1]
        rows = np.flatnonzero(first[factor.index] != values)
        groups = dict.fromkeys(factor.labels[g] for g in factor.index[rows].tolist())
        numbers = frame.index[rows].tolist()
        raise DataError(
            f"group_predictors has {shorten(name)}, which varies within groups of "
            f"{shorten(factor.factor)} (rows {listed(numbers)}, counted from 0; "
            f"groups {listed(groups)}). Use it as an ordinary predictor."
        )


def _is_expressed(
    column: np.ndarray, factor: FactorDesign, unit: np.ndarray | None
) -> bool:
    """Whether groups with coefficients of their own can reproduce a column."""
    groups, z = factor.index, factor.Z
    if factor.varying[0] == "Intercept":
        # Only the variation counts: a column of large mean and small spread is not
        # a constant.
        column = about_means(column, unit)
        z = np.concatenate([z[:, :1], about_means(z[:, 1:], unit)], axis=1)
    size = np.sqrt(np.mean(z**2, axis=0))
    z = z / np.where(size > 0, size, 1.0)  # units do not matter
    gram = np.zeros((len(factor.labels), z.shape[1], z.shape[1]))
    cross = np.zeros((len(factor.labels), z.shape[1]))
    for a in range(z.shape[1]):
        cross[:, a] = np.bincount(groups, z[:, a] * column, len(factor.labels))
        for b in range(z.shape[1]):
            gram[:, a, b] = np.bincount(groups, z[:, a] * z[:, b], len(factor.labels))
    coefficients = np.einsum("jab,jb->ja", np.linalg.pinv(gram, hermitian=True), cross)
    left = column - np.einsum("nq,nq->n", z, coefficients[groups])
    return float(left @ left) <= COLLINEAR * float(column @ column)


def _in_same_order(labels: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Write interactions as other labels do: ``a:b`` and ``b:a`` are one."""
    known = {tuple(sorted(other.split(":"))): other for other in others}
    return tuple(known.get(tuple(sorted(each.split(":"))), each) for each in labels)


def _by_label(
    x: np.ndarray, labels: Sequence[str], factors: Sequence[FactorDesign]
) -> dict[str, np.ndarray]:
    """Return the columns of the population's matrix and of all factors."""
    columns = dict(zip(labels, x.T, strict=True))
    for factor in factors:
        columns |= zip(factor.varying, factor.Z.T, strict=True)
    return columns


def _spread(column: np.ndarray, unit: np.ndarray | None) -> float:
    """Return the standard deviation of a column over the rows of the data."""
    about = about_means(column, unit)
    rows = len(column) if unit is None else unit @ unit
    return math.sqrt(float(about @ about) / float(rows))


def _taken(values: np.ndarray | None, rows: np.ndarray | slice) -> Any:
    """Return some rows of an array, read-only."""
    return None if values is None else _frozen(values[rows])


def _frozen(values: Any) -> Any:
    """Make an array read-only."""
    if values is not None:
        values = np.ascontiguousarray(values)
        values.setflags(write=False)
    return values
