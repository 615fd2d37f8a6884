"""Figures hold the numbers they should, and labels stay text."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import stanpool as sp
from simulated_fits import simulated_fit
from stanpool.plots import plot_funnel, plot_shrinkage

AWKWARD = (r"$\frac{$", r"\frac{a", "two\nlines", "x" * 10_000, "_hidden", "żółć")


def saved(figure):
    """Draw a figure; a label read as mathematics would raise here."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    return buffer.getvalue()


def points(ax, label):
    (collection,) = [each for each in ax.collections if each.get_label() == label]
    return np.asarray(collection.get_offsets())


def test_shrinkage_shows_posterior_means():
    partial = simulated_fit()
    alone = simulated_fit(pooling="none", seed=2)
    figure = plot_shrinkage(partial, alone, complete=simulated_fit(pooling="complete"))
    (ax,) = figure.axes
    shown = points(ax, "partial pooling")[:, 1]
    means = partial.posterior["b_school"].mean(("chain", "draw")).to_numpy().ravel()
    np.testing.assert_allclose(shown, means)
    means = alone.posterior["b_school"].mean(("chain", "draw")).to_numpy().ravel()
    np.testing.assert_allclose(points(ax, "no pooling")[:, 1], means)
    assert saved(figure)


def test_groups_stand_above_their_size():
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 30, size=40)
    fit = simulated_fit(labels=tuple(f"g{i:02}" for i in range(40)))
    frame = fit.model.data.iloc[np.repeat(np.arange(40) * 3, sizes)]
    from dataclasses import replace

    model = sp.Model.from_spec(fit.model.spec, frame)
    (ax,) = plot_shrinkage(replace(fit, model=model)).axes
    x = points(ax, "partial pooling")[:, 0]
    np.testing.assert_array_equal(np.rint(x).clip(1), sizes)
    assert ax.get_xscale() == "log"


def test_many_groups_are_drawn_without_intervals():
    fit = simulated_fit(
        labels=tuple(f"g{i}" for i in range(1000)), rows_per_group=2, draws=20
    )
    figure = plot_shrinkage(fit)
    labels = [each.get_label() for each in figure.axes[0].collections]
    assert labels == ["partial pooling"]
    assert saved(figure)


def test_shrinkage_draws_on_given_axes():
    from matplotlib.figure import Figure

    figure = Figure()
    ax = figure.subplots()
    assert plot_shrinkage(simulated_fit(), ax=ax) is figure


def test_shrinkage_of_a_coefficient_that_does_not_vary():
    with pytest.raises(sp.SpecError, match="'floor' does not vary over 'school'"):
        plot_shrinkage(simulated_fit(), coefficient="floor")
    with pytest.raises(sp.SpecError, match=r"has no groups\.$"):
        plot_shrinkage(simulated_fit(pooling="complete"))


def test_funnel_marks_divergent_draws():
    fit = simulated_fit(parameterization="centered", neck=0.05, loud=3)
    (ax,) = plot_funnel(fit).axes
    fine, divergent = (np.asarray(each.get_offsets()) for each in ax.collections)
    tau = fit.posterior["tau_school"].to_numpy().ravel()
    diverging = fit.sample_stats["diverging"].to_numpy().ravel()
    np.testing.assert_allclose(divergent[:, 1], tau[diverging])
    assert len(fine) + len(divergent) == tau.size
    assert ax.get_xlabel() == "Intercept of school D"
    assert ax.get_title(loc="right") == "100 divergent"


def test_funnels_share_their_limits():
    fits = {
        "centered": simulated_fit(parameterization="centered", neck=0.05),
        "noncentered": simulated_fit(seed=2),
    }
    first, second = plot_funnel(fits, group="B").axes
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()
    assert first.get_yscale() == second.get_yscale() == "log"
    assert second.get_xlabel() == "Intercept of school B"


def test_funnel_of_what_is_not_there():
    with pytest.raises(sp.SpecError, match="not partial"):
        plot_funnel(simulated_fit(pooling="complete"))
    with pytest.raises(sp.SpecError, match=r"group='Z' is not one of 'A'"):
        plot_funnel(simulated_fit(), group="Z")
    with pytest.raises(sp.SpecError, match="coefficient='floor'"):
        plot_funnel(simulated_fit(), coefficient="floor")


@pytest.mark.parametrize("rows_per_group", [2, 3])
def test_labels_are_text_not_mathematics(rows_per_group):
    fit = simulated_fit(
        labels=AWKWARD,
        factor=r"$\bad{$",
        rows_per_group=rows_per_group,
        parameterization="centered",
        neck=0.05,
    )
    assert saved(plot_shrinkage(fit))
    for group in AWKWARD:
        assert saved(plot_funnel({"$^^$": fit}, group=group))


@pytest.mark.parametrize("taught", [False, True])
def test_notebooks_are_taught_to_show_figures_once(monkeypatch, taught):
    from matplotlib.figure import Figure

    fit = simulated_fit()
    plot_funnel(fit)  # imports all it needs while there is no IPython
    formatter = SimpleNamespace(type_printers={Figure: None} if taught else {})
    shell = SimpleNamespace(
        kernel=None,
        display_formatter=SimpleNamespace(formatters={"image/png": formatter}),
    )
    lessons = []
    tools = SimpleNamespace(select_figure_formats=lambda *given: lessons.append(given))
    ipython = SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.core.pylabtools", tools)
    plot_funnel(fit)
    assert lessons == ([] if taught else [(shell, {"png"})])
