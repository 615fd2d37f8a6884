"""Pictures of predictions, comparisons and slopes hold the numbers of the tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import stanpool as sp
from simulated_fits import fit_of_prior
from stanpool import plots
from stanpool.plots.parts.curves import _binned

pytestmark = pytest.mark.filterwarnings("ignore::stanpool.base.errors.EffectWarning")


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            "y": rng.normal(size=60),
            "x": rng.normal(size=60),
            "sex": np.tile(["f", "m", "m"], 20),
            "dose": np.tile([0, 1, 2, 3], 15),
            "g": np.repeat([*"abcdef"], 10),
        }
    )
    model = sp.Model("y ~ x * sex + dose + (x | g)", data)
    return fit_of_prior(model, chains=2, draws=100)


@pytest.fixture(scope="module")
def ordinal() -> sp.Fit:
    rng = np.random.default_rng(2)
    levels = ["low", "mid", "high"]
    y = pd.Categorical(rng.choice(levels, 60), levels, ordered=True)
    data = pd.DataFrame({"y": y, "x": rng.normal(size=60), "t": np.tile([*"pq"], 30)})
    data["g"] = np.repeat([*"abcdef"], 10)
    return fit_of_prior(sp.Model("y ~ x + t + (1 | g)", data, family="ordinal"))


def points(ax: Any, label: str) -> np.ndarray:
    (found,) = [each for each in ax.collections if each.get_label() == label]
    return np.asarray(found.get_offsets())


def lines(ax: Any, width: float) -> list[Any]:
    return [each for each in ax.lines if each.get_linewidth() == width]


def test_a_curve_is_the_expectation_along_the_variable(fit: sp.Fit) -> None:
    (ax,) = plots.plot_predictions(fit, "x").axes
    (line,) = lines(ax, 2)
    x = fit.model.data["x"]
    np.testing.assert_allclose(line.get_xdata(), np.linspace(x.min(), x.max(), 30))
    # Everything else is typical, and effects of new groups have the mean 0.
    data = fit.model.data
    typical = {"sex": "m", "dose": data["dose"].mean(), "x": line.get_xdata()}
    rows = pd.DataFrame(typical).assign(g="a")
    expected = fit.epred(rows, group_terms=[]).mean(("chain", "draw"))
    np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-9)
    assert ax.get_title(loc="left") == "Expected y (group effects: population)"


def test_levels_are_points_in_colours(fit: sp.Fit) -> None:
    (ax,) = plots.plot_predictions(fit, ["sex", "dose"], observed=False).axes
    assert [each.get_text() for each in ax.get_xticklabels()] == ["f", "m"]
    _, labels = ax.get_legend_handles_labels()
    assert labels == ["0", "1", "2", "3"]
    grid = fit.datagrid({"sex": ["f", "m"], "dose": [3]})
    table = fit.predictions(newdata=grid)
    np.testing.assert_allclose(points(ax, "3")[:, 1], table["estimate"])
    assert "by dose" in ax.get_title(loc="left")


def test_the_third_variable_has_panels_of_one_scale(fit: sp.Fit) -> None:
    figure = plots.plot_predictions(fit, ["x", "sex", "dose"])
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.axison]
    assert titles == [f"dose = {k}" for k in range(4)]
    assert len({ax.get_ylim() for ax in figure.axes if ax.axison}) == 1
    with pytest.raises(sp.SpecError, match="room for one panel"):
        plots.plot_predictions(fit, ["x", "sex", "dose"], ax=Figure().subplots())


def test_groups_and_draws_have_thin_lines(fit: sp.Fit) -> None:
    (ax,) = plots.plot_predictions(fit, "x", lines_of="g").axes
    thin = lines(ax, 0.6)
    assert len(thin) == 6
    grid = fit.datagrid({"x": thin[0].get_xdata().tolist(), "g": [*"abcdef"]})
    table = fit.predictions(newdata=grid, by=False).pivot_table(
        index="x", columns="g", values="estimate", observed=True
    )
    for line, group in zip(thin, "abcdef", strict=True):
        np.testing.assert_allclose(line.get_ydata(), table[group])
    (ax,) = plots.plot_predictions(fit, "x", spaghetti=10).axes
    thin = np.array([line.get_ydata() for line in lines(ax, 0.6)])
    rows = pd.DataFrame({"x": lines(ax, 0.6)[0].get_xdata(), "sex": "m", "g": "a"})
    rows["dose"] = fit.model.data["dose"].mean()
    expected = fit.epred(rows, group_terms=[]).stack(sample=("chain", "draw"))
    places = np.linspace(0, 199, 10).astype(int)
    np.testing.assert_allclose(thin, expected.to_numpy().T[places], atol=1e-9)
    # From level to level, too, beside the intervals of each.
    (ax,) = plots.plot_predictions(fit, "sex", lines_of="g").axes
    (first, *_) = thin = lines(ax, 0.6)
    assert (len(thin), first.get_xdata().tolist()) == (6, [0, 1])
    grid = fit.datagrid({"sex": [*"fm"], "g": "a"})
    expected = fit.predictions(newdata=grid, by=False)["estimate"]
    np.testing.assert_allclose(first.get_ydata(), expected)
    with pytest.raises(sp.SpecError, match="lines_of='county'"):
        plots.plot_predictions(fit, "x", lines_of="county")


def test_more_groups_than_colours_and_panels() -> None:
    rng = np.random.default_rng(5)
    groups = np.repeat([f"county {number:02d}" for number in range(40)], 3)
    data = pd.DataFrame({"y": rng.normal(size=120), "x": rng.normal(size=120)})
    data = data.assign(g=groups, sex=np.tile([*"fm"], 60))
    fit = fit_of_prior(sp.Model("y ~ x + sex + (x | g)", data))
    for first in ("x", "sex"):
        (ax,) = plots.plot_predictions(fit, [first, "g"]).axes
        assert len(lines(ax, 0.6)) == 40
        assert ax.get_legend() is None
        assert ax.get_title(loc="left").startswith(
            "Expected y, a line for each of 40 g"
        )
    (ax,) = plots.plot_predictions(fit, "g", observed=False).axes
    labels = [each.get_text() for each in ax.get_xticklabels()]
    assert labels == [f"county {number:02d}" for number in range(0, 40, 2)]
    assert len(ax.collections[1].get_offsets()) == 40
    with pytest.raises(sp.SpecError, match=r"40 values of 'g'.*panels; name up to 30"):
        plots.plot_predictions(fit, ["x", "sex", "g"])


def test_outcomes_are_beneath(fit: sp.Fit) -> None:
    (ax,) = plots.plot_predictions(fit, "x").axes
    shown = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(shown, fit.model.data[["x", "y"]])
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 1000))
    at, means = _binned(x, y)
    assert len(at) == 20
    assert np.average(means) == pytest.approx(y.mean())  # bins have as many rows
    at, means = _binned(np.repeat([0.0, 1.0], 500), y)
    np.testing.assert_allclose(means, [y[:500].mean(), y[500:].mean()])


def test_categories_take_the_colours(ordinal: sp.Fit) -> None:
    (ax,) = plots.plot_predictions(ordinal, "x").axes
    curves = lines(ax, 2)
    assert [line.get_label() for line in curves] == ["low", "mid", "high"]
    np.testing.assert_allclose(sum(line.get_ydata() for line in curves), 1)
    assert ax.get_ylabel() == "probability of y"
    figure = plots.plot_predictions(ordinal, ["x", "t"])
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == [f"category = {each}" for each in ("low", "mid", "high")]
    with pytest.raises(sp.SpecError, match="two variables at most"):
        plots.plot_predictions(ordinal, ["x", "t", "g"])


def test_comparisons_are_intervals_of_their_draws(fit: sp.Fit) -> None:
    (ax,) = plots.plot_comparisons(fit).axes
    table = fit.comparisons()
    names = [each.get_text() for each in ax.get_yticklabels()]
    assert names == [f"{a}: {b}" for a, b in zip(table.term, table.contrast)]  # noqa: B905
    thin = np.array([each[:, 0] for each in ax.collections[0].get_segments()])
    np.testing.assert_allclose(thin, table[["lower", "upper"]])
    (ax,) = plots.plot_comparisons(fit, comparison=lambda a, b: a - b).axes
    thin = np.array([each[:, 0] for each in ax.collections[0].get_segments()])
    np.testing.assert_allclose(thin, table[["lower", "upper"]])


def test_comparisons_and_slopes_along_a_condition(fit: sp.Fit) -> None:
    (ax,) = plots.plot_comparisons(fit, "sex", condition="x").axes
    (line,) = lines(ax, 2)
    beta = fit.posterior["beta"].mean(("chain", "draw"))
    names = beta["coefficient"].to_numpy().tolist()
    effect, change = (beta[names.index(each)] for each in ("sex[T.m]", "x:sex[T.m]"))
    expected = float(effect) + float(change) * line.get_xdata()
    np.testing.assert_allclose(line.get_ydata(), expected, atol=1e-9)
    title = ax.get_title(loc="left")
    assert title == "sex: m - f (group effects: population)"
    (ax,) = plots.plot_slopes(fit, "x", condition="sex").axes
    slope = float(beta[names.index("x")])
    ((_, low), (_, high)) = np.asarray(ax.collections[1].get_offsets())
    assert (low, high) == pytest.approx((slope, slope + float(change)), abs=1e-6)
    with pytest.raises(sp.SpecError, match="there are 3 comparisons"):
        plots.plot_comparisons(fit, condition="x")


def test_each_predictor_and_interaction_has_a_panel(fit: sp.Fit) -> None:
    figure = plots.plot_conditional_effects(fit)
    shown = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_xlabel() for ax in shown] == ["x", "sex", "dose", "x"]
    assert shown[3].get_title(loc="left") == "by sex"
    narrow = sp.Model("y ~ x + (1 | g)", fit.model.data)
    figure = plots.plot_conditional_effects(fit_of_prior(narrow))
    figure.draw_without_rendering()
    assert figure.get_suptitle().endswith("(group effects: population)")
    assert figure._suptitle.get_window_extent().x1 < figure.bbox.x1  # type: ignore[attr-defined]
    empty = fit_of_prior(sp.Model("y ~ 1 + (1 | g)", fit.model.data))
    with pytest.raises(sp.SpecError, match="no predictors"):
        plots.plot_conditional_effects(empty)


@pytest.mark.parametrize("variables", [[], ["x", "sex", "dose", "g"]])
def test_pictures_have_one_to_three_variables(fit: sp.Fit, variables: Any) -> None:
    with pytest.raises(sp.SpecError, match=f"there are {len(variables)} variables"):
        plots.plot_predictions(fit, variables)


def test_unknown_variables_are_refused(fit: sp.Fit) -> None:
    with pytest.raises(sp.SpecError, match="Did you mean 'dose'"):
        plots.plot_predictions(fit, "dos")


def test_the_gallery_has_every_figure() -> None:
    page = (Path(__file__).parents[3] / "docs" / "gallery.md").read_text("utf-8")
    shown = {f"plot_{name}" for name in re.findall(r"plot[._](\w+)\(", page)}
    assert shown - {"plot_"} >= {*plots.__all__}
    for name in re.findall(r"\(figures/(\w+\.png)\)", page):
        assert (Path(__file__).parents[3] / "docs" / "figures" / name).is_file()


def test_a_level_that_begins_with_an_underscore_is_in_the_legend() -> None:
    """Matplotlib leaves labels out that do."""
    data = {"y": np.arange(14.0), "x": np.arange(14.0) ** 2, "f": ["_ 6", "b"] * 7}
    (ax,) = plots.plot_predictions(
        fit_of_prior(sp.Model("y ~ x + f", data)), ["x", "f"]
    ).axes
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [" _ 6", "b"]
