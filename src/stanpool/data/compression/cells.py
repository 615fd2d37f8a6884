"""Rows with the same predictors and groups, collected into cells.

Successes of Bernoulli and binomial outcomes add up to those of a binomial outcome, and
counts of a Poisson outcome to one whose rate is as many times as large: sums are
sufficient [1]_, and the likelihood changes by a constant.

References
----------
.. [1] McCullagh and Nelder (1989). Generalized Linear Models, section 4.5: grouped and
   ungrouped data.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stanpool.data.compression.orthogonal import (
    first_rows,
    most_rows_left,
    number_combinations,
)
from stanpool.data.design.design import Design
from stanpool.language.family import FAMILIES
from stanpool.language.model_spec import ModelSpec


@dataclass(frozen=True, eq=False)
class AggregatedRows:
    """What a program sees of rows that were collected.

    Attributes
    ----------
    design
        A row for each cell, with sums of outcomes; trials, or the log of how many rows
        there were in the offset.
    family
        The family of the sums.
    """

    design: Design
    family: str

    @property
    def kept(self) -> int:
        """How many rows the program sees."""
        return self.design.rows


def why_not_aggregated(spec: ModelSpec) -> str:
    """Say why rows cannot be collected into cells; empty if they can."""
    if FAMILIES[spec.family].sums is None:
        return f"sums of {spec.family} outcomes are not sufficient"
    if spec.weights is not None:
        return "rows have weights"
    for each in spec.uncertain:
        return f"values of {each.name} are not all known"
    if spec.cens is not None or spec.trunc is not None:
        return "outcomes are censored or truncated"
    return ""


def aggregate(
    spec: ModelSpec,
    design: Design,
    *,
    always: bool,
    counts: NDArray[np.float64] | None = None,
) -> AggregatedRows | None:
    """Collect the rows of a design into cells.

    Parameters
    ----------
    spec, design
        A model that ``why_not_aggregated`` has nothing against.
    always
        Whether to do it even where it hardly pays; else None is returned there.
    counts
        The number of rows that each represents, and the sums of their outcomes and
        trials.
    """
    cell = _cell_of_rows(design, most_rows_left(design.rows, always=always))
    if cell is None:
        return None
    counts = np.ones(design.rows) if counts is None else counts
    sizes = np.bincount(cell, weights=counts)
    sums = np.bincount(cell, weights=design.y).astype(np.int64)
    collected = replace(design.take(first_rows(cell)), y=sums)
    family = FAMILIES[spec.family].sums
    assert family is not None
    if "trials" not in FAMILIES[family].parts:
        offset = np.zeros(len(sizes)) if design.offset is None else collected.offset
        return AggregatedRows(replace(collected, offset=offset + np.log(sizes)), family)
    trials = counts if design.trials is None else design.trials
    total = np.bincount(cell, weights=trials).astype(np.int64)
    return AggregatedRows(replace(collected, trials=total), family)


def _cell_of_rows(design: Design, most: int) -> NDArray[np.int64] | None:
    """Return the cell of each row, counted from 0; None if there are too many."""
    columns = [*design.X.T]
    if design.offset is not None:
        columns.append(design.offset)
    for factor in design.factors:
        columns += [*np.atleast_2d(factor.index.T), *factor.Z.T]
        if factor.weights is not None:
            columns += [*factor.weights.T]
    for term in design.special:
        columns += [side.index for side in term.sides]
    return number_combinations(columns, design.rows, most=most)
