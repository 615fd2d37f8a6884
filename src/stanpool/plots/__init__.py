"""Figures: shrinkage, the funnel, priors on a scale, ranks of a calibration."""

from __future__ import annotations

from stanpool.plots.funnel import plot_funnel
from stanpool.plots.ranks import plot_calibration
from stanpool.plots.scale_priors import plot_scale_priors
from stanpool.plots.shrinkage import plot_shrinkage

__all__ = [
    "plot_calibration",
    "plot_funnel",
    "plot_scale_priors",
    "plot_shrinkage",
]
