"""Smooths as what is saved of a fit: facts, and arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from stanpool.base.arrays import Array
from stanpool.data.matrix.smooths.curves import Curves
from stanpool.data.matrix.smooths.smooth import Block, Margin, Smooth


@dataclass(frozen=True)
class MarginFacts:
    """What a margin is besides its arrays."""

    name: str
    center: float
    unit: float
    is_periodic: bool


@dataclass(frozen=True)
class BlockFacts:
    """What a block is besides its arrays."""

    name: str
    wiggly: tuple[bool, ...]


@dataclass(frozen=True)
class SmoothFacts:
    """What a smooth is besides its arrays."""

    name: str
    margins: tuple[MarginFacts, ...]
    blocks: tuple[BlockFacts, ...]
    by: str = ""
    levels: tuple[bool | int | str | float, ...] = ()


def facts_of_smooth(smooth: Smooth) -> SmoothFacts:
    """Return what a smooth is besides its arrays."""
    return SmoothFacts(
        smooth.name,
        tuple(
            MarginFacts(each.name, each.center, each.unit, each.curves.is_periodic)
            for each in smooth.margins
        ),
        tuple(BlockFacts(each.name, each.wiggly) for each in smooth.blocks),
        smooth.by,
        smooth.levels,
    )


def arrays_of_smooths(smooths: Mapping[str, Smooth]) -> dict[str, Array]:
    """Return the arrays of smooths, by names that count them."""
    found: dict[str, Array] = {}
    for number, smooth in enumerate(smooths.values()):
        for place, margin in enumerate(smooth.margins):
            stem = f"smooth_{number}_margin_{place}"
            found[f"{stem}_breaks"] = margin.curves.breaks
            found[f"{stem}_pieces"] = margin.curves.pieces
        for place, block in enumerate(smooth.blocks):
            stem = f"smooth_{number}_block_{place}"
            found[f"{stem}_turned"] = block.turned
            found[f"{stem}_straight"] = block.straight
    return found


def restored_smooths(
    facts: Mapping[str, SmoothFacts], arrays: Mapping[str, Array]
) -> tuple[tuple[str, Smooth], ...]:
    """Return the smooths that were saved, by their texts."""
    found = []
    for number, (text, own) in enumerate(facts.items()):
        margins, blocks = [], []
        for place, margin in enumerate(own.margins):
            stem = f"smooth_{number}_margin_{place}"
            breaks, pieces = (arrays[f"{stem}_{x}"] for x in ("breaks", "pieces"))
            curves = Curves(breaks, pieces, margin.is_periodic)
            margins.append(Margin(margin.name, margin.center, margin.unit, curves))
        for place, block in enumerate(own.blocks):
            stem = f"smooth_{number}_block_{place}"
            turned, straight = (arrays[f"{stem}_{x}"] for x in ("turned", "straight"))
            blocks.append(Block(block.name, block.wiggly, turned, straight))
        smooth = Smooth(own.name, tuple(margins), tuple(blocks), own.by, own.levels)
        found.append((text, smooth))
    return tuple(found)
