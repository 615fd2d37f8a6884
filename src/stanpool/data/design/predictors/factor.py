"""The design of a grouping factor from its term and a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.data.design.covariance.known import Known, KnownCovariance
from stanpool.data.design.covariance.labels import check_levels
from stanpool.data.design.covariance.neighbours import Neighbours
from stanpool.data.design.covariance.roots import Root
from stanpool.data.design.covariance.times import Series, Times
from stanpool.data.design.design import FactorDesign, read_only
from stanpool.data.design.groups import memberships
from stanpool.data.design.rank import SurrogateRows, identified_columns
from stanpool.data.matrix.model_matrix import term_matrix
from stanpool.data.matrix.term_matrix import TermMatrix
from stanpool.language.formulas.structures import STRUCTURES
from stanpool.language.model_spec import GroupTerm, ModelSpec

_MOST_CORRELATED = 500  # coefficients of a group: 124,750 correlations


def build_factor(
    spec: ModelSpec,
    term: GroupTerm,
    frame: pd.DataFrame,
    labels: tuple[str, ...],
    surrogates: SurrogateRows | None,
) -> tuple[FactorDesign, TermMatrix]:
    """Build the design of one factor, and the matrix of its coefficients.

    Parameters
    ----------
    spec, term, frame
        The model, the factor's term, and the columns that the model uses.
    labels
        Those of the population's predictors: the same interaction is written the same
        way on both sides.
    surrogates
        Rows that replace those of the data, if any.
    """
    functions = dict(spec.functions)
    matrix = term_matrix(term.intercept, term.terms, frame, functions)
    groups, index, weights = memberships(term, frame)
    if spec.pooling == "partial" and term.correlated:
        _refuse_many(term, len(matrix.labels), len(groups))
    root: Root | None = None
    if term.is_related:
        levels = groups
        groups, root = _root(spec, term, levels)
        place = {label: at for at, label in enumerate(groups)}
        index = np.array([place[level] for level in levels], dtype=np.int64)[index]
    matrix = identified_columns(matrix, term.intercept, surrogates)
    varying = _in_same_order(matrix.labels, labels)
    is_joint = term.correlated and (len(varying) > 1 or spec.is_categorical)
    if term.population == "laplace" and is_joint:
        raise SpecError(
            f"gr({term.factor}, dist='laplace') with several coefficients that are "
            "correlated: their Laplace distributions are independent. Write || in the "
            "place of |, or dist='student_t'."
        )
    if spec.pooling == "partial" and len(groups) < 2:
        raise DataError(
            f"column {quote(term.factor)} has one group, {quote_list(groups)}: "
            "partial pooling estimates how groups differ and needs two or more. Pass "
            "pooling='complete'."
        )
    factor = FactorDesign(
        factor=term.factor,
        labels=groups,
        index=read_only(index),
        Z=read_only(matrix.values),
        varying=varying,
        z_bar=read_only(np.zeros(len(varying))),
        weights=read_only(weights),
        uncorrelated=spec.pooling == "partial" and not term.correlated,
        root=root,
        population=term.population,
    )
    return factor, matrix


def _root(
    spec: ModelSpec, term: GroupTerm, levels: Sequence[Any]
) -> tuple[tuple[Any, ...], Root]:
    """Return the labels of a term's groups, and a root of their covariance."""
    name, column = term.covariance, term.key[0]
    known: dict[str, Known] = dict(spec.covariances)
    if term.is_of_times:
        return _walk(term, known, levels)
    if name not in known:
        said, needs = f"gr({column}, cov={name})", "whose rows and columns are labelled"
        if term.structure:
            said = f"{term.structure}({column}, {name})"
            needs = "a pair of neighbours in each row, or an adjacency matrix labelled"
        raise SpecError(
            f"the formula has {said}, and there is no covariance {quote(name)}; pass "
            f"covariances={{{name!r}: {name}}}, a data frame {needs} by the groups."
        )
    found = known[name]
    if isinstance(found, Times):
        raise SpecError(
            f"covariances has times {quote(name)}, which go with rw1(t, {name})."
        )
    if isinstance(found, Neighbours) != bool(term.structure):
        raise SpecError(
            f"{term.structure}({column}, {name}) needs neighbours, and covariances has "
            f"a covariance {quote(name)}: pass an edge list, or an adjacency matrix "
            f"with zeros in its diagonal; or write (1 | gr({column}, cov={name}))."
            if term.structure
            else f"gr({column}, cov={name}) needs a covariance, and {quote(name)} is "
            f"of neighbours. Write icar({column}, {name}) or bym2({column}, {name})."
        )
    if isinstance(found, Neighbours) and STRUCTURES[term.structure].is_proper:
        return found.mixed(term.structure, column, levels)
    if isinstance(found, Neighbours):
        check_levels(column, levels, found.labels, "table of neighbours")
        found = KnownCovariance(found.labels, found.intrinsic_covariance())
    return found.root(column, levels)


def _walk(
    term: GroupTerm, known: dict[str, Known], levels: Sequence[Any]
) -> tuple[tuple[Any, ...], Root]:
    """Return the same of random walks, or autoregressions, along times."""
    name, column = term.covariance, term.key[-1]
    several, order = len(term.key) > 1, STRUCTURES[term.structure].order
    seen = np.ones(len(levels), dtype=bool)
    series = Series.of_labels(column, levels, seen, several=several)
    if name:
        found = known.get(name)
        if not isinstance(found, Times):
            raise SpecError(
                f"the formula has {term.structure}({column}, {name}), and covariances "
                f"has no times {quote(name)}; pass covariances={{{name!r}: times}}, a "
                "list of all times, with and without rows."
            )
        series = series.with_times(column, found)
    if not order:
        return series.in_order()
    if order == 2:
        series.check_steps(column)
    root = series.walk(order)
    if not root.columns:
        raise DataError(
            f"{term.structure}({column}) needs {order + 1} different times or more in "
            f"a series, and {quote(column)} has fewer. Leave it out."
        )
    return series.labels, root


def _refuse_many(term: GroupTerm, coefficients: int, groups: int) -> None:
    """Refuse more correlated coefficients of each group than anybody can estimate."""
    if coefficients <= _MOST_CORRELATED:
        return
    raise DataError(
        f"each of {groups:,} groups of {quote(term.factor)} would have "
        f"{coefficients:,} coefficients, of {quote_list(term.terms)}, with "
        f"{coefficients * (coefficients - 1) // 2:,} correlations; at most "
        f"{_MOST_CORRELATED} coefficients may be correlated. A factor a with so many "
        "levels can be a grouping factor of its own, (1 | a) + (1 | g), or have an "
        "effect for each combination, (1 | a:g); (a || g) leaves correlations out."
    )


def _in_same_order(labels: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Write interactions as other labels do: ``a:b`` and ``b:a`` are one."""
    known = {tuple(sorted(other.split(":"))): other for other in others}
    return tuple(known.get(tuple(sorted(each.split(":"))), each) for each in labels)
