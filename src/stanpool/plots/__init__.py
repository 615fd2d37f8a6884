"""Figures of fits: shrinkage of the groups' estimates, and the funnel."""

from __future__ import annotations

from stanpool.plots.funnel import plot_funnel
from stanpool.plots.shrinkage import plot_shrinkage

__all__ = ["plot_funnel", "plot_shrinkage"]
