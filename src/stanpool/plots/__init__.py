"""Figures: functions that return a matplotlib figure, some of which take axes."""

from __future__ import annotations

from stanpool.plots.bench import plot_bench
from stanpool.plots.design import plot_design
from stanpool.plots.effects import (
    plot_comparisons,
    plot_conditional_effects,
    plot_predictions,
    plot_slopes,
)
from stanpool.plots.estimates import plot_caterpillar, plot_forest
from stanpool.plots.funnel import plot_funnel
from stanpool.plots.graph.model_graph import plot_graph
from stanpool.plots.group_regression import plot_group_regression
from stanpool.plots.influence import plot_influence, plot_pareto_k
from stanpool.plots.learning import plot_prior_posterior
from stanpool.plots.lines import plot_lines
from stanpool.plots.maps import plot_map
from stanpool.plots.pairs import plot_pairs
from stanpool.plots.pit import plot_pit
from stanpool.plots.predictive import plot_predictive, plot_statistics
from stanpool.plots.ranks import plot_calibration
from stanpool.plots.residuals import plot_residuals
from stanpool.plots.scale_priors import plot_scale_priors
from stanpool.plots.shrinkage import plot_shrinkage
from stanpool.plots.survival import plot_survival
from stanpool.plots.traces import plot_autocorrelation, plot_energy, plot_traces

__all__ = [
    "plot_autocorrelation",
    "plot_bench",
    "plot_calibration",
    "plot_caterpillar",
    "plot_comparisons",
    "plot_conditional_effects",
    "plot_design",
    "plot_energy",
    "plot_forest",
    "plot_funnel",
    "plot_graph",
    "plot_group_regression",
    "plot_influence",
    "plot_lines",
    "plot_map",
    "plot_pairs",
    "plot_pareto_k",
    "plot_pit",
    "plot_predictions",
    "plot_predictive",
    "plot_prior_posterior",
    "plot_residuals",
    "plot_scale_priors",
    "plot_shrinkage",
    "plot_slopes",
    "plot_statistics",
    "plot_survival",
    "plot_traces",
]
