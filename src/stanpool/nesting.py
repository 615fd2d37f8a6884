"""Groups within groups: whether labels say what a nesting takes them to say."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from stanpool.design import groups_of
from stanpool.errors import DataError, NestingWarning, listed, shorten
from stanpool.formula import quote_name
from stanpool.spec import GroupTerm, ModelSpec

if TYPE_CHECKING:
    import pandas as pd

# Their rows are sums of many outcomes, which a group of one row may scatter.
_MORE_THAN_ONE_OUTCOME = ("binomial", "poisson")


def check_nesting(
    spec: ModelSpec, frame: pd.DataFrame, *, rows: int | None = None
) -> None:
    """Refuse a nesting that leaves nothing to learn at its inner level.

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
                f"{what}: every group of {shorten(outer.factor)} has one of "
                f"{shorten(inner.key[-1])}, so that the two cannot be told apart. The "
                "outer level stands first; drop one of them, or turn them round."
            )
        if (
            children == (len(frame) if rows is None else rows)
            and not known_errors
            and spec.family not in _MORE_THAN_ONE_OUTCOME
        ):
            raise DataError(
                f"{what}: every group of {shorten(inner.factor)} has one row, so that "
                "it cannot be told from what rows vary by. " + _if_crossed(outer, inner)
            )


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
            warnings.warn(
                f"{repeated.size} of the {occurs.shape[1]} labels of "
                f"{shorten(inner.key[-1])}, such as "
                f"{listed(labels.categories[repeated], limit=3)}, occur in several "
                f"groups of {shorten(outer.factor)}. They are told apart, as groups of "
                f"{shorten(inner.factor)}. " + _if_crossed(outer, inner),
                NestingWarning,
                stacklevel=4,
            )


def _nestings(spec: ModelSpec) -> Iterator[tuple[GroupTerm, GroupTerm]]:
    """Yield outer and inner terms, but no interactions of factors that are crossed."""
    if spec.pooling != "partial":
        return
    plain = {term.key: term for term in spec.groups if not term.membership}
    for key, inner in plain.items():
        outer = plain.get(key[:-1])
        if outer is not None and key[-1:] not in plain:
            yield outer, inner


def _if_crossed(outer: GroupTerm, inner: GroupTerm) -> str:
    """Say how crossed factors are written."""
    first = ":".join(map(quote_name, outer.key))
    return (
        f"If a label of {shorten(inner.key[-1])} means the same in each, they are "
        f"crossed: write (1 | {first}) + (1 | {quote_name(inner.key[-1])})."
    )
