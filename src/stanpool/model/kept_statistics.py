"""What is computed of draws, kept with them."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from stanpool.base.arrays import Array


class KeepsStatistics:
    """Draws of which nothing is computed twice."""

    @cached_property
    def described(self) -> dict[str, dict[Any, Array]]:
        """Statistics of the draws of each variable, once they have been computed.

        ``posterior.scalars.described`` computes them and keeps them here.
        """
        return {}
