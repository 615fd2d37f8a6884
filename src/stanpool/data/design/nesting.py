"""Groups within groups: whether labels say what a nesting takes them to say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.errors import DataError, NestingWarning, quote, quote_list, warn_user
from stanpool.data.design.centers import uncentering_matrix
from stanpool.data.design.design import Design, FactorDesign
from stanpool.data.design.groups import groups_of
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import quote_name
from stanpool.language.model_spec import GroupTerm, ModelSpec

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = 1e-8


def check_nesting(
    spec: ModelSpec, frame: pd.DataFrame, *, rows: int | None = None
) -> None:
    """Refuse a nesting whose inner level has nothing to be estimated from.

    Parameters
    ----------
    spec
        The model.
    frame
        The columns that the model uses, as ``used_columns`` returns them.
    rows
        How many rows there are, if the frame has not all of them.

    Raises
    ------
    DataError
        If each outer group has one inner group, so that the two cannot be told apart;
        or each inner group has one row, so that it cannot be told from the residual.
    """
    known_errors = spec.se is not None and not spec.se_sigma
    for outer, inner in _nestings(spec):
        if not (outer.intercept and inner.intercept):
            continue
        what = f"(... | {'/'.join(map(quote_name, inner.key))})"
        parents, children = (
            len(groups_of(each.key, frame)[0]) for each in (outer, inner)
        )
        if children == parents:
            raise DataError(
                f"{what}: every group of {quote(outer.factor)} has only one group of "
                f"{quote(inner.key[-1])}, so that the two cannot be told apart. Write "
                "the outer level first, or drop one of the two."
            )
        if (
            children == (len(frame) if rows is None else rows)
            and not known_errors
            # A count is the sum of many outcomes, which a group of one row scatters.
            and FAMILIES[spec.family].outcome != "count"
        ):
            raise DataError(
                f"{what}: every group of {quote(inner.factor)} has one row, so that "
                "it cannot be told from the residual variation. "
                + _if_crossed(outer, inner)
            )


def check_single_rows(spec: ModelSpec, design: Design) -> None:
    """Refuse groups of one row each whose scale is not told from the residual one.

    A row varies by ``sigma^2 + z' Sigma z`` about its mean. A sum of a constant and of
    the products of the coefficients' predictors is identified unless some combination
    of products is constant: an intercept's is, and that of a slope of 1 and -1.

    Parameters
    ----------
    spec, design
        The model and its data.

    Raises
    ------
    DataError
        If there are such groups. Known errors alone, ``se(s)``, leave the scale to be
        learned, and so do weights.
    """
    has_residuals = FAMILIES[spec.family].residuals is not None
    adds_up = has_residuals and spec.link_name == "identity"
    known = not spec.has_sigma or spec.weights is not None or spec.trunc is not None
    if spec.pooling != "partial" or not adds_up or known:
        return
    for term, factor in zip(spec.groups, design.factors, strict=True):
        if not factor.is_integrable or factor.sizes.max() > 1:
            continue
        if term.intercept or _is_constant_somewhere(term, factor, design):
            raise DataError(
                f"(... | {quote_name(term.factor)}): every group of "
                f"{quote(term.factor)} has one row, so that the variation of groups "
                "cannot be told from the residual variation: the data show only the "
                "sum of both. Drop the term; or state known standard errors, as in "
                "'y | se(s) ~ ...', which leave one scale to estimate."
            )


def _is_constant_somewhere(
    term: GroupTerm, factor: FactorDesign, design: Design
) -> bool:
    """Whether a combination of products of predictors is constant, as sigma^2 is.

    In each group of residual scales, if there are several.
    """
    if design.count is not None:
        return False  # rows that are not kept
    Z, width = factor.Z, factor.Z.shape[1]
    products = [
        Z[:, q] * Z[:, r]
        for q in range(width)
        for r in range(q + 1)
        if term.correlated or q == r
    ]
    scaled = np.column_stack(
        [each / max(np.abs(each).max(), 1e-300) for each in products]
    )
    index = np.zeros(len(Z), dtype=np.intp)
    if design.residual is not None:
        index = design.residual.index
    sizes = np.bincount(index)
    means = np.column_stack([np.bincount(index, each) / sizes for each in scaled.T])
    ranks = (
        np.linalg.matrix_rank(each, tol=_ROUNDING * np.sqrt(len(Z)))
        for each in (scaled, scaled - means[index])
    )
    whole, within = ranks
    return bool(within < whole)


def warn_if_crossed(spec: ModelSpec, frame: pd.DataFrame) -> None:
    """Warn where inner labels look as if they meant the same in several outer groups.

    Labels that occur in one outer group only are nested. Those that repeat are told
    apart, and nothing is said where they look like numbers given anew in each outer
    group: the labels of a smaller group are then all among those of a larger one.

    Parameters
    ----------
    spec, frame
        As for ``check_nesting``.

    Warns
    -----
    NestingWarning
        If labels repeat otherwise.
    """
    for outer, inner in _nestings(spec):
        parents, index = groups_of(outer.key, frame)
        labels = frame[inner.key[-1]].cat
        occurs = np.zeros((len(parents), len(labels.categories)), dtype=bool)
        occurs[index, labels.codes] = True
        repeated = np.flatnonzero(occurs.sum(axis=0) > 1)
        by_size = occurs[np.argsort(-occurs.sum(axis=1), kind="stable")]
        is_numbered = not np.any(by_size[1:] & ~by_size[:-1])
        if repeated.size and not is_numbered:
            warn_user(
                f"{repeated.size} of the {occurs.shape[1]} labels of "
                f"{quote(inner.key[-1])}, such as "
                f"{quote_list(labels.categories[repeated], limit=3)}, occur in several "
                f"groups of {quote(outer.factor)}. They are told apart, as groups of "
                f"{quote(inner.factor)}. " + _if_crossed(outer, inner),
                NestingWarning,
            )


def factors_within(design: Design) -> tuple[tuple[int, ...], ...]:
    """Return for each factor those in whose groups its own groups lie, counted from 0.

    They are found in the data, whether the formula says so or not: each level of
    ``brood`` may occur in one level of ``location`` only, and groups of one row are
    within those of all other factors. Only factors that share a varying coefficient
    count, and neither memberships nor known covariances, nor coefficients that are
    sampled at predictors' centers while their deviations are those where predictors are
    0.

    Parameters
    ----------
    design
        The data. If they were read in chunks, no factor counts as within another.
    """
    if design.count is not None:
        return ((),) * len(design.factors)
    centers = dict(design.centers)
    able = {
        place: factor
        for place, factor in enumerate(design.factors)
        if factor.is_integrable
        and factor.uncenter is None
        and uncentering_matrix(factor, centers) is None
    }
    return tuple(
        tuple(
            place
            for place, outer in able.items()
            if number in able and place != number and _is_within(inner, outer)
        )
        for number, inner in enumerate(design.factors)
    )


def depths(within: Sequence[Sequence[int]]) -> list[int]:
    """Return how deep each factor is nested: 1 within none, 2 within such, ...

    Parameters
    ----------
    within
        For each factor those that it is within, as of ``factors_within``.

    Examples
    --------
    >>> depths([(1, 2), (), (1,)])  # rows in schools in districts
    [3, 1, 2]
    """

    def depth(place: int) -> int:
        return 1 + max(map(depth, within[place]), default=0)

    return [depth(place) for place in range(len(within))]


def outer_first(within: Sequence[Sequence[int]]) -> list[int]:
    """Return all factors, counted from 0: each after those that it is within.

    Parameters
    ----------
    within
        For each factor those that it is within, as of ``factors_within``.

    Examples
    --------
    >>> outer_first([(1, 2), (), (1,)])
    [1, 2, 0]
    """
    return sorted(range(len(within)), key=depths(within).__getitem__)


def _is_within(inner: FactorDesign, outer: FactorDesign) -> bool:
    return (
        len(inner.labels) > len(outer.labels)
        and bool(shared_columns(inner.varying, outer.varying).any())
        and bool(np.all(outer_groups(inner, outer)[inner.index] == outer.index))
    )


def outer_groups(inner: FactorDesign, outer: FactorDesign) -> np.ndarray:
    """Return in which outer group each inner one is, shape ``(J,)``.

    For groups without rows it is the first one, which makes no difference.

    Parameters
    ----------
    inner, outer
        Two factors, the first within the second.
    """
    found = np.zeros(len(inner.labels), dtype=np.int64)
    found[inner.index] = outer.index
    return found


def shared_columns(inner: Sequence[str], outer: Sequence[str]) -> np.ndarray:
    """Return where outer groups have the coefficients of inner ones, shape ``(D,)``.

    Counted from 1; 0 for coefficients that outer groups do not have.

    Parameters
    ----------
    inner, outer
        The coefficients of two factors.

    Examples
    --------
    >>> shared_columns(("Intercept", "x", "z"), ("z", "Intercept"))
    array([2, 0, 1])
    """
    places = {name: place for place, name in enumerate(outer, 1)}
    return np.array([places.get(name, 0) for name in inner])


def _nestings(spec: ModelSpec) -> Iterator[tuple[GroupTerm, GroupTerm]]:
    """Yield outer and inner terms, but no interactions of factors that are crossed."""
    if spec.pooling != "partial":
        return
    plain = {
        term.key: term
        for term in spec.groups
        if not (term.membership or term.is_related)
    }
    for key, inner in plain.items():
        outer = plain.get(key[:-1])
        if outer is not None and key[-1:] not in plain:
            yield outer, inner


def _if_crossed(outer: GroupTerm, inner: GroupTerm) -> str:
    """Say how crossed factors are written."""
    first = ":".join(map(quote_name, outer.key))
    return (
        f"If a label of {quote(inner.key[-1])} means the same in each, they are "
        f"crossed: write (1 | {first}) + (1 | {quote_name(inner.key[-1])})."
    )
