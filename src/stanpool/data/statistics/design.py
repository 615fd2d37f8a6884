"""The design of a model whose data were read in chunks, without its rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, SpecError, quote
from stanpool.data.compression.cells import why_not_aggregated
from stanpool.data.compression.gaussian_rows import why_not_sums
from stanpool.data.design.build_design import build_design
from stanpool.data.design.design import Design, FactorDesign, RowsNotKept
from stanpool.data.design.groups import groups_of, memberships
from stanpool.data.design.predictors.parameters import build_parameters
from stanpool.data.matrix.model_matrix import translation, wide_matrix
from stanpool.data.matrix.term_matrix import TermMatrix
from stanpool.data.statistics.reduce import read
from stanpool.data.statistics.statistics import (
    OFFSET,
    OUTCOME,
    UNIT,
    ReducedColumns,
    Statistics,
)
from stanpool.data.tables.lazy import is_lazy
from stanpool.language.formulas.formula_text import formula_of
from stanpool.language.model_spec import GroupTerm, ModelSpec

_DECIDED_LATER = (
    *("link", "pooling", "parameterization", "priors", "fixed", "center_predictors"),
    *("compress", "group_predictors"),
)


def is_chunked(data: Any) -> bool:
    """Whether data are to be read in chunks, or were: they are not in memory."""
    return (
        isinstance(data, str | os.PathLike | Iterator | Statistics)
        or is_lazy(data)
        or callable(data)
    )


def streamed(spec: ModelSpec, data: Any) -> Statistics:
    """Return what a model needs of data in chunks, read again only if necessary.

    Parameters
    ----------
    spec
        The model.
    data
        A path of CSV or Parquet, or a folder of Parquet files; an iterator of data
        frames, or a function that returns one; or what this function returned before.

    Raises
    ------
    SpecError
        If the likelihood needs the rows, or data of another model cannot be read again.
    DataError
        If the data cannot serve the model.
    """
    refuse_rows_needed(spec)
    if not isinstance(data, Statistics):
        return _with_rows(read(spec, data))
    same = {name: getattr(spec, name) for name in _DECIDED_LATER}
    if replace(data.spec, **same) == spec:
        return _with_rows(data)
    if data.source is None:
        raise SpecError(
            f"these statistics are of {formula_of(data.spec)!r} ({data.spec.family}) "
            "and can only be used for models with the same outcome, family, terms, "
            f"groups and residual; this model is {formula_of(spec)!r} ({spec.family}). "
            f"Reduce the data again for it: {data.named} was not kept."
        )
    return _with_rows(read(spec, data.source))


def refuse_rows_needed(spec: ModelSpec) -> None:
    """Refuse a model whose likelihood needs each row."""
    against = why_not_chunked(spec)
    if against:
        raise SpecError(
            "data that are not in memory must be compressed as they are read, and "
            f"{against}. Pass a data frame of all rows or of a sample of them, such as "
            "pd.read_parquet or table.collect() returns."
        )


def _with_rows(data: Statistics) -> Statistics:
    """Return statistics, and refuse those of no rows."""
    if data.rows:
        return data
    once = "" if data.source is not None else "; a stream can be read only once"
    raise DataError(
        f"the data from {data.named} have no rows, and a model needs at least one. "
        f"Check what removed them{once}."
    )


def why_not_chunked(spec: ModelSpec) -> str:
    """Say why a model needs its rows; empty if it does not."""
    if spec.compress is False:
        return "compress=False asks for a program that uses the rows as they are"
    for each in spec.uncertain:
        return f"values of {each.name} are not all known, and are drawn for each row"
    if spec.smooth_terms:
        return f"the knots of {spec.smooth_terms[0]} are taken from all of them"
    if any(term.is_related for term in spec.groups):
        return "groups have a known covariance"
    levels = [each.by for each in spec.groups if each.by]
    if levels:
        return f"the levels of {quote(levels[0])} are taken from all of them"
    if spec.is_gaussian:
        if any(term.membership for term in spec.groups):
            return "rows are members of several groups"
        return why_not_sums(spec)
    for term in spec.special_terms:
        return term.why_not_chunked
    return why_not_aggregated(spec)


@dataclass(frozen=True, eq=False)
class StreamedDesign:
    """The design of data that were read in chunks.

    Attributes
    ----------
    design
        The design of the model, whose rows are not kept.
    moments
        Rows of the same means and variances, which scale priors and predictors.
    rows
        Rows of the same likelihood, to be compressed.
    y_shift
        What was subtracted from their outcomes.
    counts
        The number of rows that each represents, if they are cells.
    """

    design: Design
    moments: Design
    rows: Design
    y_shift: float = 0.0
    counts: Array | None = None


def streamed_design(spec: ModelSpec, data: Statistics) -> StreamedDesign:
    """Build the design of data that were read in chunks.

    Raises
    ------
    DataError
        As ``build_design``.
    """
    if data.reduced is None:
        moments, rows = _cell_designs(spec, data)
        design = _without_rows(data, moments)
        counts = data.sizes.astype(float)
        return StreamedDesign(design, moments, rows, counts=counts)
    moments, rows, y_shift = _reduced_designs(spec, data)
    return StreamedDesign(_without_rows(data, moments), moments, rows, y_shift)


@dataclass(frozen=True, eq=False)
class _ReducedRows:
    """Reduced rows, from which ``build_design`` makes a design."""

    data: Statistics
    reduced: ReducedColumns
    wide: TermMatrix

    @classmethod
    def of_data(cls, data: Statistics, reduced: ReducedColumns) -> _ReducedRows:
        """Find the columns that all terms are made of."""
        functions = dict(data.spec.functions)
        wide = wide_matrix(data.spec.all_terms, data.specimen, functions)
        return cls(data, reduced, wide)

    @property
    def ones(self) -> Array:
        """The column of ones, transformed as the rows are."""
        return self._column(UNIT)

    @property
    def y(self) -> Array:
        """The outcome, transformed as the rows are."""
        y = self._column(OUTCOME)
        return y if self.offset is None else y + self.offset

    @property
    def offset(self) -> Array | None:
        """The offsets, transformed as the rows are."""
        return self._column(OFFSET) if OFFSET in self.reduced.labels else None

    @property
    def group_row(self) -> NDArray[np.intp]:
        """The row of the specimen that is of the same groups."""
        return self.data.first[self.reduced.group]

    def transform(self, matrix: TermMatrix) -> Array:
        """Return a design matrix, transformed as the rows are."""
        values, shift = self.shifted(matrix)
        return values + np.outer(self.ones, shift)

    def shifted(self, matrix: TermMatrix) -> tuple[Array, Array]:
        """Return the same minus a shift near the columns' means, and the shift."""
        how = translation(matrix, self.wide, self.data.specimen)
        at = [
            self.wide.labels.index(label)
            for label in self.reduced.labels[:-1]
            if label != OFFSET
        ]
        return self.reduced.values[:, : len(at)] @ how[at], self.reduced.shift[
            : len(at)
        ] @ how[at]

    def _column(self, label: str) -> Array:
        at = self.reduced.labels.index(label)
        column = self.reduced.values[:, at]
        return np.asarray(column + self.reduced.values[:, 0] * self.reduced.shift[at])


@dataclass(frozen=True, eq=False)
class _CellRows:
    """Two rows for each cell, which are together as long as its rows.

    Their outcomes lie a standard deviation above and below the mean of the cell's.
    """

    ones: Array
    y: Array
    offset: Array | None
    group_row: NDArray[np.intp]

    @classmethod
    def of_data(cls, data: Statistics, offset: Array | None) -> _CellRows:
        """Return means and spreads from the cells' sums; old fits kept no squares."""
        assert data.sums is not None
        total, _, *squares = data.sums
        mean, ones = total / data.sizes, np.repeat(np.sqrt(data.sizes / 2), 2)
        variance = squares[0] / data.sizes - mean**2 if squares else np.zeros(len(mean))
        spread = np.sqrt(np.maximum(variance, 0.0))
        return cls(
            ones,
            np.column_stack([mean - spread, mean + spread]).ravel() * ones,
            None if offset is None else np.repeat(offset, 2) * ones,
            np.repeat(np.arange(len(mean)), 2),
        )

    def transform(self, matrix: TermMatrix) -> Array:
        """Return a design matrix for these rows."""
        return matrix.values[self.group_row] * self.ones[:, None]


def _reduced_designs(spec: ModelSpec, data: Statistics) -> tuple[Design, Design, float]:
    """Return rows of the same moments, rows of the same likelihood, and y's shift."""
    assert data.reduced is not None
    weighted = data.reduced if data.weighted is None else data.weighted
    moments = build_design(
        spec, data.specimen, _ReducedRows.of_data(data, data.reduced)
    )
    rows = _ReducedRows.of_data(data, weighted)
    encodings = moments.encodings
    assert encodings is not None
    x, shift = rows.shifted(encodings.population)
    at = [encodings.population.labels.index(label) for label in moments.coefficients]
    # An intercept makes up for the shift of the outcome; without one it is added back.
    y, y_shift = weighted.values[:, -1], float(weighted.shift[-1])
    if not moments.intercept:
        y, y_shift = y + rows.ones * y_shift, 0.0
    terms = {term.factor: term for term in spec.groups}
    factors = [
        replace(
            factor,
            Z=rows.transform(encoding),
            index=groups_of(terms[factor.factor].key, data.specimen)[1][rows.group_row],
        )
        for factor, encoding in zip(moments.factors, encodings.factors, strict=True)
    ]
    parameters, _ = build_parameters(spec, data.specimen)
    rows_of_likelihood = replace(
        moments,
        y=y,
        X=x[:, at],
        x_bar=moments.x_bar - shift[at],
        ones=rows.ones,
        offset=None,
        factors=tuple(factors),
        parameters=tuple(each.take(rows.group_row) for each in parameters),
    )
    return moments, rows_of_likelihood, y_shift


def _cell_designs(spec: ModelSpec, data: Statistics) -> tuple[Design, Design]:
    """Return rows of the same moments, and the cells."""
    assert data.sums is not None
    cells = data.specimen.iloc[data.first].reset_index(drop=True)
    y, trials = np.rint(data.sums[:2]).astype(np.int64)
    own = build_design(spec, cells)
    moments = build_design(spec, cells, _CellRows.of_data(data, own.offset))
    if own.trials is not None:
        ones = np.repeat(np.sqrt(data.sizes / 2), 2)
        moments = replace(moments, trials=np.repeat(trials / data.sizes, 2) * ones)
    factors = [
        replace(factor, z_bar=other.z_bar)
        for factor, other in zip(own.factors, moments.factors, strict=True)
    ]
    return moments, replace(
        own,
        y=y,
        trials=None if own.trials is None else trials,
        x_bar=moments.x_bar,
        factors=tuple(factors),
        centers=moments.centers,
    )


def _without_rows(data: Statistics, design: Design) -> Design:
    """Return a design with all that is not of rows."""

    def unkept(values: Any) -> Any:
        return None if values is None else RowsNotKept(data.named, *values.shape[1:])

    def without_rows(factor: FactorDesign) -> FactorDesign:
        per_row = {
            name: unkept(getattr(factor, name)) for name in ("Z", "index", "weights")
        }
        term = terms.get(factor.factor, GroupTerm(factor.factor))
        return replace(factor, **per_row, counts=_sizes(term, data))

    terms = {term.factor: term for term in data.spec.groups}
    names = ("y", "X", "trials", "se", "weights", "offset")
    return replace(
        design,
        **{name: unkept(getattr(design, name)) for name in names},
        factors=tuple(map(without_rows, design.factors)),
        parameters=tuple(
            replace(each.with_factors(without_rows), X=unkept(each.X))
            for each in design.parameters
        ),
        ones=None,
        count=data.rows,
    )


def _sizes(term: GroupTerm, data: Statistics) -> NDArray[np.intp]:
    """Count the rows of each group of a factor."""
    labels, index, weights = memberships(term, data.specimen)
    index, sizes = index[data.first], data.sizes
    if weights is not None:
        member = weights[data.first] > 0
        index, sizes = index[member], np.repeat(sizes, member.sum(axis=1))
    counted = np.bincount(index, sizes, minlength=len(labels))
    return np.rint(counted).astype(np.intp)
