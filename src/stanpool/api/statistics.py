"""Statistics in the place of data: made of rows where they are, and added up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from stanpool.base.arguments import public
from stanpool.base.errors import SpecError, quote
from stanpool.base.system.executors.chosen import AnyExecutor
from stanpool.data.statistics import statistics
from stanpool.data.statistics.design import refuse_rows_needed
from stanpool.data.statistics.reduce import merged, read_parts
from stanpool.data.statistics.statistics import Statistics
from stanpool.language.formulas.formula_text import spec_of

load_statistics = public(statistics.load_statistics)


@public
def reduce(
    formula: str | Sequence[str],
    data: Any,
    *,
    family: str = "gaussian",
    residual: str | None = None,
    functions: Mapping[str, Callable[..., Any]] | None = None,
    executor: AnyExecutor | None = None,
    progress: bool = False,
) -> Statistics:
    """Reduce data, or a part of them, to what the likelihood of a model needs.

    The posterior is the same as that of all rows. This is for the models that
    ``sp.Model`` reads in chunks.

    Parameters
    ----------
    formula, family, residual, functions
        As for ``sp.Model``. What else a model has, such as its link, pooling and
        priors, is stated when it is built from the statistics.
    data
        A data frame; or whatever ``sp.Model`` reads in chunks: the path or address of
        files, a table of polars, pyarrow, DuckDB, dask, Spark or Ray that is not in
        memory, an iterator of data frames, or a function that returns one. A list is
        one of parts, each of which is any of these. There may be no rows.
    executor
        What reduces the parts of a list, or row groups of Parquet, and merges what is
        kept: as for ``fit_many``. By default it is done here, one after the other.
        Tables of dask, Spark and Ray are reduced by these in any case, where their
        partitions are.
    progress
        Whether to show progress on standard error.

    Returns
    -------
    Statistics
        A value that can be saved, sent to others and added to.

    Raises
    ------
    SpecError
        If the model needs its rows.
    DataError
        If the data cannot serve the model, or cannot be read.

    Examples
    --------
    >>> import stanpool as sp
    >>> radon = sp.load_dataset("radon")
    >>> formula = "log_radon ~ floor + (1 | county)"
    >>> first = sp.reduce(formula, radon[:500])
    >>> sp.Model(formula, sp.merge(first, sp.reduce(formula, radon[500:])))
    Model('log_radon ~ 1 + floor + (1 | county)', gaussian, partial pooling, marginal, \
919 rows, 85 groups)
    """
    spec = spec_of(formula, family=family, residual=residual, functions=functions)
    refuse_rows_needed(spec)
    return read_parts(spec, data, executor=executor, progress=progress)


@public
def merge(*statistics: Any) -> Statistics:
    """Add up statistics of parts of the data.

    The result is, to rounding, what ``sp.reduce`` makes of all parts together, in
    whatever order they are merged. Parts may have other levels and groups, or no rows.
    A part that is merged twice counts twice.

    Parameters
    ----------
    statistics
        Two or more, or one list of them.

    Raises
    ------
    SpecError
        If they are no statistics, or not of the same model.
    DataError
        If a column has another type in one part than in another.

    Examples
    --------
    >>> import stanpool as sp
    >>> penicillin = sp.load_dataset("penicillin")
    >>> parts = [sp.reduce("diameter ~ 1 + (1 | plate)", part)
    ...          for _, part in penicillin.groupby("sample")]
    >>> sp.merge(parts).rows == len(penicillin)
    True
    """
    parts = statistics
    if len(parts) == 1 and isinstance(parts[0], list | tuple):
        parts = tuple(parts[0])
    for part in parts:
        if not isinstance(part, Statistics):
            raise SpecError(
                f"merge() takes statistics, and was given {quote(part)}. Make them by "
                "sp.reduce(formula, data)."
            )
    if not parts:
        raise SpecError("merge() was given no statistics; pass two or more.")
    return merged(parts)
