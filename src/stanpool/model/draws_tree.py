"""What all labelled draws have: those of fits, of exact samplers, and pooled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stanpool.base.arrays import Array

if TYPE_CHECKING:
    import xarray as xr


class DrawsTree:
    """Draws in the groups of ``tree``, a field of the classes that are derived."""

    tree: xr.DataTree

    @property
    def posterior(self) -> xr.Dataset:
        """The draws of the parameters."""
        return self.tree["posterior"].to_dataset()

    @property
    def sample_stats(self) -> xr.Dataset:
        """Statistics of each draw: divergences, energy, tree depth, log density."""
        return self.tree["sample_stats"].to_dataset()

    @property
    def described(self) -> dict[str, dict[Any, Array]]:
        """Statistics of the draws of each variable, once they have been computed.

        ``posterior.scalars.described`` computes them and keeps them here.
        """
        # Pyright does not take a cached_property for a property of a protocol.
        kept: dict[str, dict[Any, Array]] = vars(self).setdefault("_described", {})
        return kept
