"""A Stan program as a value: its name, source and digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

LONGEST_NAME = 100
"""Characters of a program's name, which is part of the names of files."""


@dataclass(frozen=True)
class StanProgram:
    """A Stan program: a name for people, and its source.

    Attributes
    ----------
    name
        What files are called.
    source
        The program, complete in itself.
    compiled
        The same with some functions declared only: what is compiled, with ``header``.
    header
        These functions in C++, with analytic gradients; empty if there are none.
    """

    name: str
    source: str
    compiled: str = field(default="", compare=False, repr=False)
    header: str = field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        """Compile the source where nothing else is given."""
        object.__setattr__(self, "compiled", self.compiled or self.source)

    @property
    def digest(self) -> str:
        """SHA-256 of the source."""
        return hashlib.sha256(self.source.encode()).hexdigest()
