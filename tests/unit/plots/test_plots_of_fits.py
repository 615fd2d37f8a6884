"""Figures of estimates, chains, predictions and priors hold the right numbers."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

import stanpool as sp
from simulated_fits import autocorrelated, changed, fit_of_prior, simulated_fit
from stanpool import plots
from stanpool.plots.parts.canvas import density
from stanpool.plots.traces import autocorrelation, worst_quantities
from stanpool.posterior.convergence import bfmi

AWKWARD = (r"$\frac{$", r"\frac{a", "two\nlines", "x" * 10_000, "_hidden", "żółć")


def saved(figure: Figure) -> int:
    """Draw a figure; a label read as mathematics would raise here."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40)
    return len(buffer.getvalue())


def collection(ax: Any, label: str) -> Any:
    (found,) = [each for each in ax.collections if each.get_label() == label]
    return found


def ends(lines: Any) -> np.ndarray:
    """Return the ends of horizontal lines, shape ``(2, lines)``."""
    return np.array([segment[:, 0] for segment in lines.get_segments()]).T


def names_along(ax: Any) -> list[str]:
    return [each.get_text() for each in ax.get_yticklabels()]


def names_across(ax: Any) -> list[str]:
    return [each.get_text() for each in ax.get_xticklabels()]


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    return simulated_fit(draws=200, neck=0.05, parameterization="centered")


@pytest.fixture(scope="module")
def many() -> sp.Fit:
    labels = tuple(f"group {k}" for k in range(1000))
    return simulated_fit(labels=labels, rows_per_group=2, draws=50)


def drawn(model: sp.Model, *, draws: int = 100) -> sp.Fit:
    """Make a fit from the prior, with statistics of a sampler."""
    fit = fit_of_prior(model, chains=4, draws=draws)
    tree = fit.tree.copy()
    tree["sample_stats"] = simulated_fit(draws=draws).sample_stats
    return replace(fit, tree=tree)


class TestDensity:
    def test_it_is_that_of_a_normal_distribution(self) -> None:
        n = 200_000
        x, y = density(np.random.default_rng(1).normal(size=n), -5, 5)
        assert np.trapezoid(y, x) == pytest.approx(1, abs=1e-3)
        width = 0.9 * n**-0.2  # its kernel makes the density that of N(0, 1 + width^2)
        expected = stats.norm.pdf(x, scale=np.hypot(1, width))
        error = np.sqrt(expected.max() / (2 * np.sqrt(np.pi) * n * width))
        assert np.abs(y - expected).max() < 5 * error

    def test_what_lies_outside_counts(self) -> None:
        values = np.concatenate([np.linspace(0, 1, 1000), np.full(1000, 50.0)])
        x, y = density(values, 0, 1)
        assert np.trapezoid(y, x) == pytest.approx(0.5, abs=0.01)

    def test_constants_are_drawn(self) -> None:
        assert np.isfinite(density(np.ones(50), 0, 2)[1]).all()


class TestForest:
    def test_it_shows_quantiles(self, fit: sp.Fit) -> None:
        first, ax = plots.plot_forest(fit, prob=0.8).axes
        assert names_along(first) == ["Intercept"]
        assert names_along(ax) == ["tau_school[Intercept]", "sigma"]
        draws = fit.posterior["sigma"].to_numpy()
        thick = ends(collection(ax, "80% and 50% intervals"))
        np.testing.assert_allclose(thick[:, 1], np.quantile(draws, (0.25, 0.75)))
        thin = ends(ax.collections[0])
        np.testing.assert_allclose(thin[:, 1], np.quantile(draws, (0.1, 0.9)))

    def test_units_are_never_mixed(self) -> None:
        data = sp.load_dataset("sleepstudy")
        fit = drawn(sp.Model("Reaction ~ Days + (Days | Subject)", data))
        panels = plots.plot_forest(fit).axes
        assert [ax.get_xlabel().partition(" (")[0] for ax in panels] == [
            "coefficients",
            "standard deviations",
            "correlations",
        ]
        assert [len(names_along(ax)) for ax in panels] == [2, 3, 1]
        with pytest.raises(sp.SpecError, match="var_names has 3: 'coefficients'"):
            plots.plot_forest(fit, ax=Figure().subplots())

    def test_densities_are_those_of_the_draws(self, fit: sp.Fit) -> None:
        figure = plots.plot_forest(fit, var_names=["sigma"], kind="halfeye")
        (ax,) = figure.axes
        (area,) = ax.collections[0].get_paths()
        x, y = area.vertices.T
        draws = fit.posterior["sigma"].to_numpy().ravel()
        at = x[y.argmin()]  # rows grow downwards
        grid, heights = density(draws, *np.quantile(draws, (0.001, 0.999)))
        assert abs(at - grid[heights.argmax()]) < 0.2 * draws.std()
        assert y.min() == pytest.approx(-0.8)

    def test_chosen_variables(self, fit: sp.Fit) -> None:
        (ax,) = plots.plot_forest(fit, var_names=["b_school"]).axes
        assert len(ax.get_yticklabels()) == 6
        with pytest.raises(sp.SpecError, match="'tau' is not in the posterior"):
            plots.plot_forest(fit, var_names=["tau"])

    def test_very_many_are_cut(self, many: sp.Fit) -> None:
        (ax,) = plots.plot_forest(many, var_names=["b_school"]).axes
        assert len(ax.get_yticklabels()) == 60
        assert ax.get_ylabel() == "940 more are not shown"

    def test_long_names_stay_distinct(self, fit: sp.Fit) -> None:
        long = [f"{'x' * 50} {k}" for k in range(6)]
        tree = fit.tree.copy()
        tree["posterior"] = fit.posterior.assign_coords(school=("school", long))
        (ax,) = plots.plot_forest(replace(fit, tree=tree), var_names=["b_school"]).axes
        names = [each.get_text() for each in ax.get_yticklabels()]
        assert len(set(names)) == 6
        assert max(map(len, names)) == 32


class TestCaterpillar:
    def test_groups_stand_in_order(self, fit: sp.Fit) -> None:
        (ax,) = plots.plot_caterpillar(fit).axes
        b = fit.posterior["b_school"].to_numpy().reshape(-1, 6)
        order = np.argsort(np.median(b, axis=0))
        order = order[::-1]  # the largest is on top
        labels = fit.model.design.group_labels
        assert names_along(ax) == [labels[k] for k in order]
        expected = np.quantile(b[:, order], (0.05, 0.95), axis=0)
        np.testing.assert_allclose(ends(ax.collections[0]), expected)

    def test_groups_away_from_the_mean_are_marked(self, fit: sp.Fit) -> None:
        tree = fit.tree.copy()
        posterior = fit.posterior.copy(deep=True)
        posterior["b_school"][:, :, 2] += 100
        tree["posterior"] = posterior
        (ax,) = plots.plot_caterpillar(replace(fit, tree=tree)).axes
        marked = collection(ax, "90% interval without the mean: 1 of 6")
        assert len(marked.get_segments()) == 1

    def test_a_thousand_groups_are_a_band(self, many: sp.Fit) -> None:
        figure = plots.plot_caterpillar(many)
        assert len(figure.axes[0].lines[-1].get_xdata()) == 1000
        assert figure.axes[0].get_xlabel() == "1,000 groups of school, in order"
        assert saved(figure)


class TestChains:
    def test_the_worst_come_first(self, fit: sp.Fit) -> None:
        summary = fit.summary()
        least = summary[["ess_bulk", "ess_tail"]].min(axis=1)
        assert worst_quantities(fit, 3) == list(least.sort_values().index[:3])
        titles = [
            ax.get_title(loc="left") for ax in plots.plot_traces(fit, count=3).axes[::2]
        ]
        assert titles == worst_quantities(fit, 3)

    def test_traces_and_ranks(self, fit: sp.Fit) -> None:
        figure = plots.plot_traces(fit, quantities=["sigma"])
        left, right = figure.axes
        sigma = fit.posterior["sigma"].to_numpy()
        for line, draws in zip(left.lines, sigma, strict=False):
            np.testing.assert_array_equal(line.get_ydata(), draws)
        marks = left.lines[len(sigma)].get_xdata()
        diverging = fit.sample_stats["diverging"].to_numpy()
        np.testing.assert_array_equal(marks, np.flatnonzero(diverging.any(axis=0)))
        first = right.patches[1].get_data()
        ranks = np.argsort(np.argsort(sigma.ravel()))[:200]
        np.testing.assert_array_equal(
            first.values, np.bincount(ranks * 20 // sigma.size, minlength=20)
        )

    def test_unknown_quantities_are_named(self, fit: sp.Fit) -> None:
        with pytest.raises(sp.SpecError, match="Did you mean 'sigma'"):
            plots.plot_traces(fit, quantities=["sigm"])
        with pytest.raises(sp.SpecError, match="is empty"):
            plots.plot_traces(fit, quantities=[])

    def test_energy_has_the_bfmi(self, fit: sp.Fit) -> None:
        (ax,) = plots.plot_energy(fit).axes
        fractions = bfmi(fit.sample_stats["energy"].to_numpy())
        assert f"{fractions[0]:.2f}, {fractions[1]:.2f}" in ax.texts[0].get_text()

    def test_pairs_mark_divergences(self, fit: sp.Fit) -> None:
        figure = plots.plot_pairs(fit)
        ax = figure.axes[3]
        fine, divergent = (np.asarray(each.get_offsets()) for each in ax.collections)
        diverging = fit.sample_stats["diverging"].to_numpy()
        tau = fit.posterior["tau_school"].to_numpy()[..., 0]
        np.testing.assert_array_equal(divergent[:, 1], tau[diverging])
        assert len(fine) + len(divergent) == tau.size
        with pytest.raises(sp.SpecError, match="1 quantities"):
            plots.plot_pairs(fit, quantities=["sigma"])


class TestPredictive:
    def test_group_means_are_those_of_the_data(self, fit: sp.Fit) -> None:
        (ax,) = plots.plot_predictive(fit, kind="groups").axes
        means = fit.model.data.groupby("school", observed=True)["y"].mean()
        points = [
            np.asarray(each.get_offsets())[:, 0]
            for each in ax.collections
            if "mean" in each.get_label() or "outside" in each.get_label()
        ]
        shown = np.sort(np.concatenate([each for each in points if each.ndim]))
        assert set(means.round(9)) <= set(shown.round(9))

    def test_observed_outcomes_are_the_dark_line(self, fit: sp.Fit) -> None:
        (ax,) = plots.plot_predictive(fit).axes
        line = ax.lines[-1]
        assert line.get_label() == "observed"
        low, high = ax.get_xlim()
        np.testing.assert_allclose(
            line.get_ydata(), density(fit.model.design.y, low, high)[1]
        )
        assert len(ax.lines) == 49  # of 50 draws as many of each of four chains

    def test_counts_are_bars(self) -> None:
        data = sp.load_dataset("cbpp")
        fit = drawn(
            sp.Model(
                "incidence | trials(size) ~ period + (1 | herd)",
                data,
                family="binomial",
            )
        )
        (ax,) = plots.plot_predictive(fit).axes
        counts = np.bincount(data["incidence"])
        bars = [bar.get_height() for bar in ax.patches][: len(counts)]
        np.testing.assert_array_equal(bars, counts)

    def test_rootograms_hang_the_counts(self) -> None:
        y = np.random.default_rng(3).poisson(1.0, 300).astype(float)
        fit = drawn(sp.Model("y ~ 1", {"y": y}, family="poisson", pooling="complete"))
        (ax,) = plots.plot_predictive(fit, kind="rootogram").axes
        bars = {round(bar.get_center()[0]): bar for bar in ax.patches}
        expected = dict(zip(*ax.lines[0].get_data(), strict=True))
        for value, count in enumerate(np.bincount(y.astype(int))):
            assert bars[value].get_height() ** 2 == pytest.approx(count)
            top = bars[value].get_y() + bars[value].get_height()
            assert top == pytest.approx(expected[value])
        # A draw from the prior predicts each count as often as its replicates have it.
        replicates = fit.predict(draws=200, seed=fit.settings.seed)
        shares = np.bincount(replicates.to_numpy().astype(int).ravel(), minlength=3)
        means = shares[:3] / (replicates.sizes["chain"] * replicates.sizes["draw"])
        assert [expected[k] ** 2 for k in range(3)] == pytest.approx(list(means))

    def test_rootograms_are_of_counts(self, fit: sp.Fit) -> None:
        with pytest.raises(sp.SpecError, match="is for counts"):
            plots.plot_predictive(fit, kind="rootogram")

    @pytest.mark.parametrize("family", ["ordinal", "categorical"])
    def test_categories_keep_their_names(self, family: str) -> None:
        levels = ["low", "mid", "high"]
        values = pd.Categorical(
            ["low", "high", "mid", "high"] * 3, levels, ordered=True
        )
        data = pd.DataFrame(
            {"y": values, "x": np.arange(12.0), "g": list("abcdef") * 2}
        )
        fit = drawn(sp.Model("y ~ x + (1 | g)", data, family=family))
        figure = plots.plot_predictive(fit)
        (ax,) = figure.axes
        assert [each.get_text() for each in ax.get_xticklabels()] == levels
        assert [bar.get_height() for bar in ax.patches] == [3, 3, 6]
        if family == "categorical":
            with pytest.raises(sp.SpecError, match="unordered categories"):
                plots.plot_predictive(fit, kind="groups")
        assert saved(plots.plot_predictive(fit, prior=True))

    def test_a_thousand_groups_are_readable(self, many: sp.Fit) -> None:
        assert saved(plots.plot_predictive(many, kind="groups"))

    def test_wrong_kinds_and_censored_outcomes(self, fit: sp.Fit) -> None:
        with pytest.raises(sp.SpecError, match="Did you mean 'density'"):
            plots.plot_predictive(fit, kind="densit")
        data = {"y": [1.0, 2.0, 3.0, 5.0], "c": [0, 0, 1, 0]}
        censored = drawn(sp.Model("y | cens(c) ~ 1", data, pooling="complete"))
        with pytest.raises(sp.SpecError, match="censored"):
            plots.plot_predictive(censored)


class TestResiduals:
    def test_means_are_those_of_outcomes_less_expectations(self, fit: sp.Fit) -> None:
        (ax,) = plots.plot_residuals(fit).axes
        expected = fit.epred().mean(("chain", "draw")).to_numpy()
        data = fit.model.data.assign(r=fit.model.design.y - expected)
        means = data.groupby("school", observed=True)["r"].mean()
        shown = self.means(ax)
        np.testing.assert_allclose(np.sort(shown), np.sort(means), atol=1e-9)
        assert names_along(ax) == list(means.sort_values(ascending=False).index)

    @staticmethod
    def means(ax: Any) -> np.ndarray:
        return np.concatenate(
            [
                np.asarray(each.get_offsets())[:, 0]
                for each in ax.collections
                if each.get_label() == "mean" or "outside" in each.get_label()
            ]
        )

    def test_quantile_residuals_of_the_truth_are_standard_normal(self) -> None:
        y = np.random.default_rng(3).poisson(2.0, 1000).astype(float)
        data = {"y": y, "g": np.repeat([*"abcdefghij"], 100)}
        model = sp.Model("y ~ 1 + (1 | g)", data, family="poisson")
        fit = drawn(model.with_(pooling="complete"))
        truth = np.full(fit.posterior["Intercept"].shape, np.log(2.0))
        fit = changed(fit, "posterior", Intercept=truth)
        (ax,) = plots.plot_residuals(fit).axes
        rows = np.asarray(collection(ax, "rows").get_offsets())[:, 0]
        assert stats.kstest(rows, "norm").pvalue > 0.001
        low, high = ends(collection(ax, "90% of predicted means"))
        np.testing.assert_allclose(high - low, 2 * 1.645 / 10, rtol=0.15)
        assert len(self.means(ax)) == 10

    def test_a_thousand_groups_are_a_band(self, many: sp.Fit) -> None:
        figure = plots.plot_residuals(many)
        assert saved(figure)
        (ax,) = figure.axes
        assert "1,000 groups of school" in ax.get_xlabel()

    def test_what_has_no_residuals(self, fit: sp.Fit) -> None:
        with pytest.raises(sp.SpecError, match="Did you mean 'quantile'"):
            plots.plot_residuals(fit, kind="quantil")
        data = {"y": ["a", "b", "c"] * 4, "g": [*"uvwx"] * 3}
        with pytest.raises(sp.SpecError, match="unordered categories"):
            plots.plot_residuals(
                drawn(sp.Model("y ~ 1 + (1 | g)", data, family="categorical"))
            )


class TestAutocorrelation:
    def test_it_is_that_of_an_autoregression(self) -> None:
        rng = np.random.default_rng(1)
        series = autocorrelated(rng, (4, 20_000, 1), np.array([0.8]))[..., 0]
        found = autocorrelation(series, 10)
        # Bartlett's standard error of a sample autocorrelation, at most.
        error = np.sqrt((1 + 0.8**2) / (1 - 0.8**2) / 20_000)
        assert np.abs(found - 0.8 ** np.arange(11)).max() < 5 * error

    def test_there_is_a_panel_for_each_quantity(self, fit: sp.Fit) -> None:
        figure = plots.plot_autocorrelation(fit, quantities=["sigma"], lags=20)
        (ax,) = figure.axes
        shown = [line.get_ydata() for line in ax.lines[1:]]
        sigma = fit.posterior["sigma"].to_numpy()
        np.testing.assert_allclose(shown, autocorrelation(sigma, 20))
        assert len(plots.plot_autocorrelation(fit, count=6).axes) == 8

    def test_a_chain_that_never_moved_is_drawn(self) -> None:
        assert autocorrelation(np.ones((1, 5)), 3).tolist() == [[1.0, 0.0, 0.0, 0.0]]


class TestParetoK:
    def test_points_are_the_values(self, fit: sp.Fit) -> None:
        result = fit.loo(progress=False)
        k = result.units["pareto_k"].to_numpy()
        (ax,) = plots.plot_pareto_k(result).axes
        shown = np.concatenate(
            [np.asarray(each.get_offsets())[:, 1] for each in ax.collections]
        )
        np.testing.assert_allclose(np.sort(shown), np.sort(k))
        bad = len(result.unreliable)
        assert ax.get_title(loc="left").startswith(f"{bad} of {len(k)} above")


class TestStatistics:
    def test_they_are_those_of_the_data(self, fit: sp.Fit) -> None:
        figure = plots.plot_statistics(fit)
        y = fit.model.design.y
        shown = [ax.lines[0].get_xdata()[0] for ax in figure.axes]
        np.testing.assert_allclose(shown, [y.mean(), y.std(), y.min(), y.max()])
        drawn = fit.predict(seed=fit.settings.seed).mean("row").to_numpy()
        above = figure.axes[0].get_title(loc="right")
        assert above == f"{(drawn > y.mean()).mean():.0%} above"

    def test_bars_of_whole_numbers_stand_about_them(self) -> None:
        data = {"y": [0, 3, 1, 0, 2, 5, 1, 0], "g": list("aabbccdd"), "n": [6] * 8}
        fit = drawn(sp.Model("y | trials(n) ~ (1 | g)", data, family="binomial"))
        for ax in plots.plot_statistics(fit, seed=1).axes[2:]:
            assert all(bar.get_width() == 1 for bar in ax.patches)
            assert all(bar.get_x() % 1 == 0.5 for bar in ax.patches)


class TestPriorPosterior:
    def test_there_is_a_panel_for_each_quantity(self, fit: sp.Fit) -> None:
        figure = plots.plot_prior_posterior(fit)
        titles = [ax.get_title(loc="left") for ax in figure.axes]
        assert titles == ["Intercept", "tau_school[Intercept]", "sigma"]
        before = figure.axes[2].lines[0]
        rate = fit.model.priors["sigma"].prior.arguments[0]
        x, y = before.get_xdata(), before.get_ydata()
        inside = (x > 0.3 / rate) & (x < 2 / rate)
        expected = np.exp(-rate * x)
        ratio = y[inside] / expected[inside]
        np.testing.assert_allclose(ratio / ratio.mean(), 1, atol=0.15)

    @pytest.mark.parametrize("names", [None, ["sigma"]], ids=["wide", "narrow"])
    def test_title_and_legend_do_not_overlap(
        self, fit: sp.Fit, names: list[str] | None
    ) -> None:
        figure = plots.plot_prior_posterior(fit, var_names=names)
        FigureCanvasAgg(figure).draw()
        (legend,) = figure.legends
        title = figure._suptitle or legend.get_title()
        assert title.get_text().startswith("What the data taught: prior and")
        at = title.get_window_extent()
        assert at.x1 <= figure.bbox.x1
        assert not any(at.overlaps(e.get_window_extent()) for e in legend.get_texts())

    def test_improper_priors_are_refused(self, fit: sp.Fit) -> None:
        model = fit.model.with_(priors=(("sigma", sp.Prior.parse("flat()")),))
        with pytest.raises(sp.SpecError, match="State a proper prior"):
            plots.plot_prior_posterior(replace(fit, model=model))
        with pytest.raises(sp.SpecError, match="Did you mean 'sigma'"):
            plots.plot_prior_posterior(fit, var_names=["sigm"])


def own_mean(data: pd.DataFrame, name: str) -> float:
    return float(data.loc[data["g"] == "a", name].mean())


@pytest.fixture(scope="module")
def radon() -> sp.Fit:
    formula = "log_radon ~ floor + log_uranium + (1 | county)"
    return drawn(sp.Model(formula, sp.load_dataset("radon")), draws=100)


class TestLines:
    def test_lines_are_expected_outcomes(self, radon: sp.Fit) -> None:
        groups = ["AITKIN", "ST LOUIS"]
        figure = plots.plot_lines(radon, groups=groups)
        points = collection(figure.axes[0], "partial pooling").get_offsets()
        assert names_across(figure.axes[0]) == ["0", "1"]
        data = radon.model.data
        own = data[data["county"] == "AITKIN"].iloc[[0, 0]].assign(floor=[0.0, 1.0])
        expected = radon.epred(own).median(("chain", "draw"))
        np.testing.assert_allclose(np.asarray(points)[:, 1], expected)
        points = np.asarray(figure.axes[1].collections[0].get_offsets())
        np.testing.assert_array_equal(
            points[:, 1], data.loc[data["county"] == "ST LOUIS", "log_radon"]
        )
        assert figure.axes[1].get_title(loc="left") == "ST LOUIS (n=116)"

    def test_other_poolings_are_lines(self, radon: sp.Fit) -> None:
        none, complete = (
            drawn(radon.model.with_(pooling=pooling), draws=100)
            for pooling in ("none", "complete")
        )
        figure = plots.plot_lines(radon, none, complete=complete, predictor="floor")
        _, labels = figure.axes[0].get_legend_handles_labels()
        assert labels == ["no pooling", "complete pooling", "partial pooling"]
        assert len(figure.axes) == 12
        assert saved(figure)

    def test_names_in_backticks_are_those_of_columns(self) -> None:
        names = {"log_radon": "log radon", "floor": "the floor"}
        data = sp.load_dataset("radon").rename(columns=names)
        fit = drawn(sp.Model("`log radon` ~ `the floor` + (1 | county)", data))
        figure = plots.plot_lines(fit, count=1)
        assert figure.get_supxlabel() == "the floor"
        assert figure.get_supylabel() == "log radon"
        (ax,) = plots.plot_predictive(fit).axes
        assert ax.get_xlabel() == "log radon"
        assert "(log radon)" in plots.plot_shrinkage(fit).axes[0].get_ylabel()

    @pytest.mark.parametrize(
        ("part", "same", "family", "label"),
        [
            ("trials(5 * n)", "trials(m)", "binomial", "k, share of (5 * n)"),
            ("exposure(n / 2)", "exposure(e)", "poisson", "k / (n / 2)"),
        ],
    )
    def test_expressions_are_drawn_as_columns_are(
        self, part: str, same: str, family: str, label: str
    ) -> None:
        rng = np.random.default_rng(4)
        data = pd.DataFrame({"x": rng.normal(size=30), "g": list("abcde") * 6})
        data = data.assign(n=rng.integers(4, 9, 30), k=rng.integers(0, 4, 30))
        data = data.assign(m=5 * data.n, e=data.n / 2)
        one, two = (
            fit_of_prior(sp.Model(f"k | {each} ~ x + (1 | g)", data, family=family))
            for each in (part, same)
        )
        figures = [
            plots.plot_lines(each, predictor="x", groups=["a", "b"])
            for each in (one, two)
        ]
        for at in range(2):
            ours, theirs = (figure.axes[at] for figure in figures)
            (mine,), (other,) = ours.lines, theirs.lines
            np.testing.assert_allclose(mine.get_ydata(), other.get_ydata())
            points = [ax.collections[-1].get_offsets() for ax in (ours, theirs)]
            np.testing.assert_allclose(*map(np.asarray, points))
        assert figures[0].get_supylabel() == label

    def test_the_predictor_varies_within_groups(self) -> None:
        rng = np.random.default_rng(1)
        data = pd.DataFrame({"g": np.repeat([*"abcdef"], 5), "y": rng.normal(size=30)})
        data = data.assign(u=np.repeat(rng.normal(size=6), 5), x=rng.normal(size=30))
        data = data.assign(b=np.tile([0, 1, 0, 1, 1], 6), f=np.tile([*"pqrpq"], 6))
        fit = drawn(sp.Model("y ~ u + f + b + x + (b | g)", data))
        assert plots.plot_lines(fit, count=1).get_supxlabel() == "b"
        fit = drawn(sp.Model("y ~ u + f + b + x + (1 | g)", data))
        assert plots.plot_lines(fit, count=1).get_supxlabel() == "x"
        (ax,) = plots.plot_lines(fit, count=1, predictor="f").axes
        assert names_across(ax) == ["p", "q", "r"]
        points = np.asarray(collection(ax, "partial pooling").get_offsets())
        own = fit.model.data.query("g == 'a'").iloc[[0, 0, 0]]
        own = own.assign(f=[*"pqr"], x=own_mean(data, "x"), b=own_mean(data, "b"))
        expected = fit.epred(own).median(("chain", "draw"))
        np.testing.assert_allclose(points[:, 1], expected)

    def test_shares_of_trials_are_drawn(self) -> None:
        data = sp.load_dataset("cbpp")
        formula = "incidence | trials(size) ~ period + (1 | herd)"
        fit = drawn(sp.Model(formula, data, family="binomial"))
        figure = plots.plot_lines(fit, count=3)
        for ax in figure.axes:
            assert np.asarray(ax.collections[-1].get_offsets())[:, 1].max() <= 1
            assert ax.lines[0].get_ydata().max() <= 1

    def test_group_regression_is_the_population_mean(self, radon: sp.Fit) -> None:
        (ax,) = plots.plot_group_regression(radon).axes
        assert ax.get_xlabel() == "log_uranium"
        (line,) = ax.lines
        posterior = radon.posterior
        beta = posterior["beta"].sel(coefficient="log_uranium").to_numpy()
        intercept = posterior["Intercept"].to_numpy()
        x = line.get_xdata()
        expected = np.median(intercept.reshape(-1, 1) + beta.reshape(-1, 1) * x, axis=0)
        np.testing.assert_allclose(line.get_ydata(), expected)
        u = sp.load_dataset("radon").groupby("county")["log_uranium"].first()
        points = np.asarray(collection(ax, "each county").get_offsets())
        np.testing.assert_allclose(np.sort(points[:, 0]), np.sort(u))

    def test_what_is_not_there(self, radon: sp.Fit, fit: sp.Fit) -> None:
        with pytest.raises(sp.SpecError, match="Did you mean 'AITKIN'"):
            plots.plot_lines(radon, groups=["AITKN"])
        with pytest.raises(sp.SpecError, match="Did you mean 'floor'"):
            plots.plot_lines(radon, predictor="flor")
        with pytest.raises(sp.SpecError, match="no predictor to draw"):
            plots.plot_lines(fit)
        with pytest.raises(sp.SpecError, match="no group-level predictor"):
            plots.plot_group_regression(fit)
        with pytest.raises(sp.SpecError, match="Did you mean 'log_uranium'"):
            plots.plot_group_regression(radon, predictor="log_uraniu")


def test_figures_are_drawn_on_given_axes(fit: sp.Fit) -> None:
    result = fit.loo(progress=False)
    for draw in (
        lambda ax: plots.plot_forest(fit, var_names=["sigma"], ax=ax),
        lambda ax: plots.plot_caterpillar(fit, ax=ax),
        lambda ax: plots.plot_energy(fit, ax=ax),
        lambda ax: plots.plot_predictive(fit, ax=ax),
        lambda ax: plots.plot_predictive(fit, kind="groups", ax=ax),
        lambda ax: plots.plot_residuals(fit, ax=ax),
        lambda ax: plots.plot_influence(fit, ax=ax),
        lambda ax: plots.plot_pareto_k(result, ax=ax),
    ):
        figure = Figure()
        assert draw(figure.subplots()) is figure


def test_labels_are_text_everywhere() -> None:
    labels = {"labels": AWKWARD, "factor": r"$\bad{$", "draws": 50}
    fit = simulated_fit(**labels, parameterization="centered", neck=0.05)
    assert saved(plots.plot_forest(fit, var_names=list(map(str, fit.posterior))))
    assert saved(plots.plot_caterpillar(fit))
    assert saved(plots.plot_traces(fit))
    assert saved(plots.plot_predictive(fit, kind="groups"))
    assert saved(plots.plot_residuals(fit))
    assert saved(plots.plot_influence(fit))
    assert saved(plots.plot_autocorrelation(fit))
    assert saved(plots.plot_prior_posterior(fit))
    assert saved(plots.plot_pairs(fit))
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {
            r"$y{$": rng.normal(size=24),
            r"\x$": rng.normal(size=24),
            r"$u^$": np.repeat(rng.normal(size=6), 4),
            r"g$_{": np.repeat(AWKWARD, 4),
        }
    )
    model = sp.partial_pooling(
        data,
        outcome=r"$y{$",
        predictors=[r"\x$"],
        group_predictors=[r"$u^$"],
        group=r"g$_{",
    )
    other = drawn(model)
    assert saved(plots.plot_lines(other))
    assert saved(plots.plot_group_regression(other))


def test_settings_of_a_user_go_before_the_style(fit: sp.Fit) -> None:
    import matplotlib as mpl

    def colors(figure: Figure) -> tuple[Any, Any]:
        (ax,) = figure.axes
        color = collection(ax, "90% and 50% intervals").get_color()[0]
        return tuple(color[:3].round(2)), ax.title.get_color()

    def drawn() -> Figure:
        return plots.plot_forest(fit, var_names=["sigma"])

    assert colors(drawn()) == ((0, 0.45, 0.7), "#333333")
    settings = {"text.color": "red", "axes.prop_cycle": mpl.cycler(color=["#ff0000"])}
    before = dict(mpl.rcParams)
    with mpl.rc_context(settings):
        assert colors(drawn()) == ((1, 0, 0), "red")
    assert dict(mpl.rcParams) == before


def test_figures_are_methods_of_a_fit(fit: sp.Fit) -> None:
    (ax,) = fit.plot.forest(var_names=["sigma"]).axes
    assert names_along(ax) == ["sigma"]
    assert "caterpillar" in repr(fit.plot)
    assert fit.plot.caterpillar.__doc__ == plots.plot_caterpillar.__doc__
    with pytest.raises(sp.ArgumentError, match="Did you mean 'var_names'"):
        fit.plot.forest(varnames=["sigma"])
    # All figures of a fit are there: those left out show other results.
    others = {"bench", "calibration", "design"}
    others |= {"graph", "pareto_k", "pit", "scale_priors"}
    drawings = {name for name in vars(type(fit.plot)) if hasattr(plots, f"plot_{name}")}
    assert drawings == {name.removeprefix("plot_") for name in plots.__all__} - others
