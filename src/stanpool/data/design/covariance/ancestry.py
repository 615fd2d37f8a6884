"""Pedigrees and trees: covariances that ancestors make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import Array, Indices
from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.design.covariance.labels import check_levels, labels_beside, repeated
from stanpool.data.design.covariance.newick import Node, read_newick
from stanpool.data.design.covariance.roots import AncestryRoot, variances_of
from stanpool.data.entries import level_text

# Columns of parents that have a sex, or may have both.
_PARENTS = (("sire", "dam"), ("parent_1", "parent_2"))


@dataclass(frozen=True, eq=False)
class Ancestry:
    """Groups and their parents.

    Attributes
    ----------
    labels
        The labels of the groups as text, parents before their offspring.
    parents, innovation
        As of ``AncestryRoot``.
    """

    labels: tuple[str, ...]
    parents: Indices
    innovation: Array

    @classmethod
    def of_pedigree(cls, name: str, given: pd.DataFrame) -> Ancestry:
        """Read a data frame with the columns ``id``, ``sire`` and ``dam``.

        Parents that have no row are founders, as are those without parents.

        Raises
        ------
        DataError
            If an animal has no label or two rows, is its own ancestor, or is both a
            sire and a dam.
        """
        what = f"the pedigree {quote(name)}"
        ids = given["id"] if "id" in given.columns else given.index
        own = [_animal(each) for each in ids]
        _check_animals(what, own)
        columns = _columns_of_parents(given) or _PARENTS[0]
        sires, dams = ([_animal(x) for x in given[side]] for side in columns)
        both = sorted((set(sires) & set(dams)) - {""})
        if both and columns == _PARENTS[0]:
            raise DataError(
                f"{what} has {quote_list(both)} both as sires and as dams. If they may "
                "be both, call the columns 'parent_1' and 'parent_2'."
            )
        of = dict(zip(own, zip(sires, dams, strict=True), strict=True))
        founders = sorted({*sires, *dams} - {"", *own})
        of = dict.fromkeys(founders, ("", "")) | of
        order = _parents_first(what, of)
        place = {label: at for at, label in enumerate(order)} | {"": -1}
        parents = np.array([[place[x] for x in of[label]] for label in order])
        return cls(tuple(order), parents, np.sqrt(variances_of(parents)[1]))

    @classmethod
    def of_tree(cls, name: str, text: str) -> Ancestry:
        """Read a tree in Newick's format, along whose branches a trait diffuses.

        The variance of a species is its distance from the root, and the covariance of
        two is what they have in common of it.

        Raises
        ------
        DataError
            If the text is no such tree, a label is there twice, or a branch has no
            length.
        """
        nodes = read_newick(name, text)
        labels = [node.name for node in nodes]
        twice = repeated(labels)
        if twice:
            raise DataError(f"the tree {quote(name)} has {quote_list(twice)} twice.")
        parents = np.array([[node.parent - 1] * 2 for node in nodes])
        lengths = np.array([_length(name, node) for node in nodes])
        return cls(tuple(labels), parents, np.sqrt(lengths))

    def same_as(self, other: Ancestry) -> bool:
        """Whether another one has the same groups with the same parents."""
        return self._as_mapping() == other._as_mapping()

    def _as_mapping(self) -> dict[str, tuple[Any, ...]]:
        names = (*self.labels, "")
        return {
            label: (names[sire], names[dam], own)
            for label, (sire, dam), own in zip(
                self.labels,
                self.parents.tolist(),
                self.innovation.tolist(),
                strict=True,
            )
        }

    def root(
        self, column: str, levels: Sequence[Any]
    ) -> tuple[tuple[Any, ...], AncestryRoot]:
        """Return the labels of all groups, parents before their offspring, and L.

        Raises
        ------
        DataError
            If groups of the data are not in the ancestry.
        """
        texts = check_levels(column, levels, self.labels)
        given = dict(zip(texts, levels, strict=True))
        beside = dict(zip(self.labels, labels_beside(levels, self.labels), strict=True))
        labels = tuple(given.get(label, beside[label]) for label in self.labels)
        return labels, AncestryRoot(self.parents, self.innovation)


def is_newick(given: Any) -> bool:
    """Whether a user passes a tree as a text."""
    return isinstance(given, str)


def is_pedigree(given: Any) -> bool:
    """Whether a user passes a table of animals and their parents."""
    return isinstance(given, pd.DataFrame) and _columns_of_parents(given) is not None


def _columns_of_parents(given: pd.DataFrame) -> tuple[str, str] | None:
    """Return which columns have the parents, if two have."""
    found = (pair for pair in _PARENTS if set(pair) <= set(given.columns))
    return next(found, None)


def _animal(value: Any) -> str:
    """Return the label of an animal, empty if it is not known.

    Numbers are floating point in a column in which some are missing.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return "" if pd.isna(value) or value in ("", 0, "0") else level_text(value)


def _check_animals(what: str, own: list[str]) -> None:
    """Refuse animals without a label, or with several rows."""
    if "" in own:
        raise DataError(
            f"{what} has no label for the animal of its row {own.index('')}, counted "
            "from 0. Only parents may be missing, empty or 0, which says that they "
            "are not known."
        )
    twice = repeated(own)
    if twice:
        raise DataError(f"{what} has more than one row for {quote_list(twice)}.")


def _parents_first(what: str, of: dict[str, tuple[str, str]]) -> list[str]:
    """Order animals so that parents come before their offspring."""
    from graphlib import CycleError, TopologicalSorter

    known = {label: [x for x in pair if x] for label, pair in of.items()}
    try:
        return list(TopologicalSorter(known).static_order())
    except CycleError as problem:
        raise DataError(
            f"in {what} animals are their own ancestors: each is a parent of the next "
            f"in {quote_list(problem.args[1])}."
        ) from None


def _length(name: str, node: Node) -> float:
    """Return the length of the branch to a species or an ancestor."""
    try:
        length = float(node.length)
    except ValueError:
        length = float("nan")
    if not 0 <= length < float("inf"):
        raise DataError(
            f"the tree {quote(name)} has the length {quote(node.length)} of the branch "
            f"to {quote(node.name)}; it must be a number, at least 0."
            if node.length
            else f"the tree {quote(name)} has no length of the branch to "
            f"{quote(node.name)}. Write it behind a colon, as in 'a:1'."
        )
    return length
