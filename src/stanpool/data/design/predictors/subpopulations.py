"""Group terms of which each level of a column has a population: ``gr(g, by=sex)``."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.data.design.groups import groups_of, texts_of
from stanpool.data.entries import level_text
from stanpool.language.model_spec import GroupTerm, ModelSpec

_MOST_LEVELS = 20  # each of them has variables of its own in the program


def with_subpopulations(spec: ModelSpec, frame: pd.DataFrame) -> ModelSpec:
    """Put a term for each level in the place of a term that stands for all of them.

    Parameters
    ----------
    spec
        The model as it is stated, or as this function returned it.
    frame
        Its columns, as ``used_columns`` returns them.

    Raises
    ------
    DataError
        If there are not two levels or more with two groups or more each, or a group
        has rows of several levels.
    SpecError
        If there are more levels than a program should have populations.
    """

    def expanded(groups: tuple[GroupTerm, ...]) -> tuple[GroupTerm, ...]:
        found: list[GroupTerm] = []
        for term in groups:
            is_open = term.by and not term.level
            found += _of_levels(term, frame) if is_open else [term]
        return tuple(found)

    if not any(each.by and not each.level for each in spec.all_groups):
        return spec
    formulas = (replace(each, groups=expanded(each.groups)) for each in spec.formulas)
    return replace(spec, groups=expanded(spec.groups), formulas=tuple(formulas))


def _of_levels(term: GroupTerm, frame: pd.DataFrame) -> list[GroupTerm]:
    """Return the terms of all levels of a term's column."""
    said = f"gr({term.key[0]}, by={term.by})"
    levels = [level_text(each) for each in frame[term.by].cat.categories]
    labels, index = groups_of(term.key, frame)
    if len(levels) < 2:
        raise DataError(
            f"{said}: {quote(term.by)} has one level, {quote_list(levels)}, so that "
            f"there is one population of groups. Write (1 | {term.key[0]})."
        )
    if len(levels) > _MOST_LEVELS:
        raise SpecError(
            f"{said}: {quote(term.by)} has {len(levels)} levels, and each has scales "
            f"and correlations of its own; at most {_MOST_LEVELS} are possible. Join "
            "levels to fewer."
        )
    texts = texts_of(frame[term.by])
    _refuse_several(term, labels, index, texts)
    for level in levels:
        own = np.unique(index[texts == level])
        if len(own) < 2:
            raise DataError(
                f"{said}: the level {quote(level)} of {quote(term.by)} has one group, "
                f"{quote_list([labels[own[0]]])}. A population needs two or more; join "
                "the level to another."
            )
    return [
        replace(term, factor=f"{term.factor}_{level}", level=level) for level in levels
    ]


def _refuse_several(
    term: GroupTerm, labels: tuple[Any, ...], index: np.ndarray, texts: np.ndarray
) -> None:
    """Refuse groups that have rows of several levels."""
    first = np.empty(len(labels), dtype=object)
    first[index[::-1]] = texts[::-1]
    differs = np.flatnonzero(first[index] != texts)
    if not len(differs):
        return
    group = index[differs[0]]
    several = dict.fromkeys(texts[index == group].tolist())
    others = len(np.unique(index[differs])) - 1
    more = f" (and {others} other group(s))" if others else ""
    raise DataError(
        f"gr({term.key[0]}, by={term.by}): the rows of group {quote(labels[group])} "
        f"have several levels of {quote(term.by)}, {quote_list(several)}{more}. A "
        "group is of one population; if effects in a group depend on the level, write "
        f"(0 + {term.by} | {term.key[0]})."
    )
