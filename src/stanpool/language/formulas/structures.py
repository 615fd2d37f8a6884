"""Structures of group terms: how groups follow from their neighbours, or in time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Structure:
    """What decides the covariance between the groups of a term.

    Attributes
    ----------
    name
        How formulas call it.
    needs
        What it is made of: ``"neighbours"`` or ``"times"``.
    order
        Which differences of a random walk are independent; 0 for what is none.
    is_proper
        Whether regions are between neighbours that decide all, and independence.
    """

    name: str
    needs: str
    order: int = 0
    is_proper: bool = False

    @property
    def is_of_times(self) -> bool:
        """Whether groups are times."""
        return self.needs == "times"


STRUCTURES: Mapping[str, Structure] = {
    each.name: each
    for each in (
        Structure("icar", "neighbours"),
        Structure("bym2", "neighbours", is_proper=True),
        Structure("car", "neighbours", is_proper=True),
        Structure("rw1", "times", order=1),
        Structure("rw2", "times", order=2),
        Structure("ar1", "times"),
    )
}
