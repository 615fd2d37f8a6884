"""Which rows are members of which groups, and predictors of groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.errors import DataError, SpecError, quote, quote_list, suggestion
from stanpool.data.design.design import FactorDesign, read_only
from stanpool.data.design.outcome import weights_column
from stanpool.data.design.rank import COLLINEAR, about_means
from stanpool.data.entries import level_text, refuse_rows
from stanpool.language.model_spec import GroupTerm, ModelSpec


def memberships(
    term: GroupTerm, frame: pd.DataFrame
) -> tuple[tuple[Any, ...], np.ndarray, np.ndarray | None]:
    """Return the groups that occur, the index of each row's, and weights if several."""
    if term.membership == "matrix":
        return _members_of_matrix(term, frame)
    if term.membership == "labels":
        labels, index, weights = _members_of_labels(term, frame)
        return labels, index, _add_repeated_members(index, weights)
    if term.membership == "level":
        return _members_of_level(term, frame)
    return *groups_of(term.key, frame), None


def groups_of(
    key: Sequence[str], frame: pd.DataFrame
) -> tuple[tuple[Any, ...], np.ndarray]:
    """Return the labels of the groups and the index of each row's group.

    Combinations of columns are numbered in the order of their levels, and labelled
    ``school:classroom``; only those that occur are groups.
    """
    first = _levels(frame[key[0]])
    labels = tuple(first.categories.tolist())
    index = first.codes.to_numpy().astype(np.int64)
    for name in key[1:]:
        column = _levels(frame[name])
        inner = column.categories
        combined = index * len(inner) + column.codes.to_numpy()
        occurring, index = np.unique(combined, return_inverse=True)
        labels = tuple(
            f"{labels[code // len(inner)]}:{inner[code % len(inner)]}"
            for code in occurring.tolist()
        )
    return labels, index


def texts_of(column: pd.Series[Any]) -> np.ndarray:
    """Return the level of each row of a column, as a text."""
    texts = [level_text(each) for each in column.cat.categories]
    return np.asarray(np.array(texts, dtype=object)[column.cat.codes])


def _levels(column: pd.Series[Any]) -> Any:
    """Return the levels of a column; those of times are their numbers."""
    if not isinstance(column.dtype, pd.CategoricalDtype):
        numbers = column.to_numpy(dtype=float)
        if (numbers == np.round(numbers)).all():
            numbers = numbers.astype(np.int64)
        found = pd.Categorical(numbers)
        if numbers.dtype == float:
            found = found.rename_categories(str)
        column = pd.Series(found, index=column.index)
    return column.cat


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
                f"the memberships {quote_list(term.key)} hold labels of different "
                "types; make them all text or all whole numbers."
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
        f"every row must be a member of one of {quote_list(term.key)} or more",
    )
    most = int(member.sum(axis=1).max())
    # Members first, in their order; the rest of a row has weight 0.
    index = np.argsort(~member, axis=1, kind="stable")[:, :most]
    return term.key, index, np.take_along_axis(matrix, index, axis=1)


def _members_of_level(
    term: GroupTerm, frame: pd.DataFrame
) -> tuple[tuple[Any, ...], np.ndarray, np.ndarray]:
    """Return groups, indices and weights of the rows of one level of a column.

    Other rows have the weight 0, and the index of some group, which says nothing.
    """
    is_member = texts_of(frame[term.by]) == term.level
    labels, index = groups_of(term.key, frame)
    occurring = np.unique(index[is_member])
    among = np.zeros(len(labels), dtype=np.int64)
    among[occurring] = np.arange(len(occurring))
    own = tuple(labels[place] for place in occurring.tolist())
    return own, among[index][:, None], is_member.astype(float)[:, None]


def _add_repeated_members(index: np.ndarray, weights: np.ndarray) -> np.ndarray:
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


def with_group_predictors(
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
        if factor.is_independent:
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
            factor = replace(
                factor, U=read_only(values), effect_of=read_only(effect_of)
            )
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
            f"group_predictors has {quote(name)}, which is not a predictor of the "
            "model." + suggestion(name, [str(column) for column in frame.columns])
        )
    column = frame[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.codes
    values = column.to_numpy(dtype=float)
    single = [factor for factor in factors if factor.is_independent]
    if single and all(_group_values(values, factor) is None for factor in single):
        factor = single[0]
        first = np.empty(len(factor.labels))
        first[factor.index[::-1]] = values[::-1]
        rows = np.flatnonzero(first[factor.index] != values)
        groups = dict.fromkeys(factor.labels[g] for g in factor.index[rows].tolist())
        numbers = frame.index[rows].tolist()
        raise DataError(
            f"group_predictors has {quote(name)}, which varies within groups of "
            f"{quote(factor.factor)} (rows {quote_list(numbers)}, counted from 0; "
            f"groups {quote_list(groups)}). Use it as an ordinary predictor."
        )


def is_reproduced_by_groups(
    column: np.ndarray, factor: FactorDesign, ones: np.ndarray | None
) -> bool:
    """Whether groups with coefficients of their own can reproduce a column."""
    groups, z = factor.index, factor.Z
    if factor.varying[0] == "Intercept":
        # Only the variation counts: a column of large mean and small spread is not
        # a constant.
        column = about_means(column, ones)
        z = np.concatenate([z[:, :1], about_means(z[:, 1:], ones)], axis=1)
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
