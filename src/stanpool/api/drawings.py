"""Figures as methods: ``fit.plot.forest()`` is ``sp.plots.plot_forest(fit)``."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, overload

from stanpool import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import FitResult

Given = ParamSpec("Given")


class Drawing(Generic[Given]):
    """A function that draws a fit, as a method of what holds the fit."""

    def __init__(self, draw: Callable[Concatenate[Any, Given], Figure]) -> None:
        self._draw = draw

    @overload
    def __get__(self, drawings: None, owner: type) -> Callable[..., Figure]: ...
    @overload
    def __get__(self, drawings: Drawings, owner: type) -> Callable[Given, Figure]: ...
    def __get__(self, drawings: Drawings | None, owner: type) -> Callable[..., Figure]:
        """Return the function with the fit as its first argument."""
        return self._draw if drawings is None else MethodType(self._draw, drawings.fit)


class Drawings:
    """The figures of a fit.

    Examples
    --------
    >>> fit.plot.caterpillar(factor="county", kind="halfeye")  # doctest: +SKIP
    """

    def __init__(self, fit: FitResult) -> None:
        self.fit = fit

    autocorrelation = Drawing(plots.plot_autocorrelation)
    caterpillar = Drawing(plots.plot_caterpillar)
    comparisons = Drawing(plots.plot_comparisons)
    conditional_effects = Drawing(plots.plot_conditional_effects)
    energy = Drawing(plots.plot_energy)
    forest = Drawing(plots.plot_forest)
    funnel = Drawing(plots.plot_funnel)
    group_regression = Drawing(plots.plot_group_regression)
    influence = Drawing(plots.plot_influence)
    lines = Drawing(plots.plot_lines)
    map = Drawing(plots.plot_map)
    pairs = Drawing(plots.plot_pairs)
    predictions = Drawing(plots.plot_predictions)
    predictive = Drawing(plots.plot_predictive)
    prior_posterior = Drawing(plots.plot_prior_posterior)
    residuals = Drawing(plots.plot_residuals)
    shrinkage = Drawing(plots.plot_shrinkage)
    slopes = Drawing(plots.plot_slopes)
    statistics = Drawing(plots.plot_statistics)
    survival = Drawing(plots.plot_survival)
    traces = Drawing(plots.plot_traces)

    def __repr__(self) -> str:
        """Name the figures."""
        drawn = vars(type(self)).items()
        names = [name for name, each in drawn if isinstance(each, Drawing)]
        return f"Figures of {self.fit!r}: {', '.join(names)}"
