"""A model as statements: what is drawn from which distribution, for which indices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from stanpool.model.description.notation import Indexed, Math, quantities

Block = Literal["outcome", "groups", "priors"]
BLOCKS: tuple[Block, ...] = ("outcome", "groups", "priors")


@dataclass(frozen=True)
class Plate:
    """Something that there are several of.

    Attributes
    ----------
    letter
        The index, such as ``"j"``.
    name
        What it counts: ``"rows"``, or a grouping factor.
    size
        How many there are.
    is_of_parameters
        Whether it counts parameters, such as categories', and not rows or groups.
    """

    letter: str
    name: str
    size: int
    is_of_parameters: bool = False


@dataclass(frozen=True)
class Statement:
    """One line of a model.

    Attributes
    ----------
    block
        ``"outcome"``, ``"groups"`` or ``"priors"``.
    left, right
        The two sides.
    relation
        ``"~"`` for what has a distribution; ``"="``.
    letters
        The indices for all values of which it holds.
    remark
        What the symbols do not say.
    one_of
        Of what it is one, if it is on one of several that other lines index.
    """

    block: Block
    left: Math
    relation: Literal["~", "="]
    right: Math
    letters: tuple[str, ...] = ()
    remark: str = ""
    one_of: Indexed | None = None

    @property
    def states(self) -> tuple[Indexed, ...]:
        """The quantities of which it says something."""
        if self.one_of is not None:
            return (self.one_of,)
        return tuple(each.key for each in quantities(self.left))

    @property
    def uses(self) -> tuple[Indexed, ...]:
        """The quantities that it says that by, each once."""
        return tuple(dict.fromkeys(each.key for each in quantities(self.right)))


@dataclass(frozen=True)
class Description:
    """What a model says.

    Attributes
    ----------
    plates
        What there are several of: rows, groups, categories.
    statements
        Its lines, the outcome first and priors last.
    notes
        Sentences on what the letters mean.
    """

    plates: tuple[Plate, ...]
    statements: tuple[Statement, ...]
    notes: tuple[Math, ...]

    def plate(self, letter: str) -> Plate:
        """Return the plate of an index."""
        return next(each for each in self.plates if each.letter == letter)

    def of_block(self, block: Block) -> Iterator[Statement]:
        """Yield the lines of a block."""
        return (each for each in self.statements if each.block == block)
