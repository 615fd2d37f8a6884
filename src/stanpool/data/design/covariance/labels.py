"""Labels of groups that are matched with those of a known covariance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from stanpool.base.errors import DataError, quote, quote_list
from stanpool.data.entries import level_text


def check_levels(
    column: str,
    levels: Sequence[Any],
    labels: Sequence[str],
    what: str = "covariance between groups",
) -> list[str]:
    """Return the levels of the data as text, and refuse those without a label.

    Parameters
    ----------
    column, levels
        The column, and its levels.
    labels, what
        The labels that are known, and of what they are.

    Raises
    ------
    DataError
        If groups of the data are not in the covariance.
    """
    texts, known = [level_text(level) for level in levels], set(labels)
    missing = [text for text in texts if text not in known]
    if missing:
        raise DataError(
            f"the {what} of {quote(column)} lacks {len(missing)} of "
            f"{len(texts)} groups of the data: {quote_list(missing)}. It has "
            f"{quote_list(labels)}. Add them to it, or drop their rows."
        )
    return texts


def labels_of_all(
    column: str,
    levels: Sequence[Any],
    labels: Sequence[str],
    what: str = "covariance between groups",
) -> tuple[tuple[Any, ...], list[int]]:
    """Return the labels of all groups, those with rows first, and their known places.

    Parameters and refusals are those of `check_levels`.
    """
    texts = check_levels(column, levels, labels, what)
    seen = set(texts)
    others = [label for label in labels if label not in seen]
    place = {label: at for at, label in enumerate(labels)}
    every = (*levels, *labels_beside(levels, others))
    return every, [place[label] for label in (*texts, *others)]


def labels_beside(levels: Sequence[Any], labels: Sequence[str]) -> list[Any]:
    """Return labels of groups without rows, as numbers if those of the data are."""
    are_numbers = all(isinstance(level, int) for level in levels)
    if are_numbers and all(label.lstrip("-").isdigit() for label in labels):
        return [int(label) for label in labels]
    return list(labels)


def repeated(labels: Sequence[str]) -> list[str]:
    """Return the labels that occur more than once."""
    return [label for label, count in Counter(labels).items() if count > 1]
