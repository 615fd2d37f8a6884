"""Leaving out without refitting, on exact draws, against closed forms."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, special, stats

import stanpool as sp
from golden.catalogue import models, small_data
from simulated_fits import fit_of_draws, fit_of_points, simulated_fit
from stanpool.inference.evaluation import cross_validation, kfold, loo
from stanpool.sampling.approximate import stratified

DRAWS = (4, 2000)


def each_kind_of_outcome() -> list[str]:
    """Name one model of each family, link and set of parts of its outcome."""
    found: dict[object, str] = {}
    for name, model in models().items():
        s = model.structure
        parts = (s.se, s.offset, s.weights, s.censored, s.truncated, s.residual)
        found.setdefault((s.family, s.link, parts), name)
    return list(found.values())


def schools() -> pd.DataFrame:
    return sp.load_dataset("eight_schools")


@pytest.fixture(scope="module")
def complete() -> sp.Fit:
    """Exact draws of one mean under a flat-ish prior: conjugate."""
    data = schools()
    model = sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)",
        data,
        pooling="complete",
        priors={"Intercept": "normal(2, 5)"},
    )
    mean, sd = conjugate(data)
    rng = np.random.default_rng(8)
    return fit_of_draws(model, {"alpha": rng.normal(mean, sd, DRAWS)})


def conjugate(data: pd.DataFrame) -> tuple[float, float]:
    precision = 1 / 25 + (1 / data["sigma"] ** 2).sum()
    mean = (2 / 25 + (data["y"] / data["sigma"] ** 2).sum()) / precision
    return mean, precision**-0.5


@pytest.fixture(scope="module")
def partly() -> sp.Fit:
    """Exact draws of eight schools: tau from its marginal posterior on a grid."""
    model = sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)",
        schools(),
        priors={"Intercept": "normal(0, 20)", "tau": "normal(0, 10)"},
    )
    y, se = schools()["y"].to_numpy(float), schools()["sigma"].to_numpy(float)
    rng = np.random.default_rng(9)
    grid = np.linspace(0.005, 60, 6000)
    log = np.array([log_marginal(y, se, tau) for tau in grid])
    log += stats.halfnorm.logpdf(grid, scale=10)
    weights = np.exp(log - log.max())
    tau = rng.choice(grid, size=DRAWS, p=weights / weights.sum())
    precision = 1 / (se**2 + tau[..., None] ** 2)
    of_mu = 1 / 400 + precision.sum(axis=-1)
    mu = rng.normal((precision * y).sum(axis=-1) / of_mu, of_mu**-0.5)
    of_b = 1 / se**2 + 1 / tau[..., None] ** 2
    middle = (y / se**2 + mu[..., None] / tau[..., None] ** 2) / of_b
    b = rng.normal(middle, of_b**-0.5)
    return fit_of_draws(model, {"alpha": mu, "tau": tau[..., None], "b": b[..., None]})


def log_marginal(y: np.ndarray, se: np.ndarray, tau: float) -> float:
    """Log density of the outcomes given tau, mean and effects integrated out."""
    covariance = np.diag(se**2 + tau**2) + 400
    return float(stats.multivariate_normal.logpdf(y, cov=covariance))


def log_evidence(y: np.ndarray, se: np.ndarray) -> float:
    def density(tau: float) -> float:
        return np.exp(log_marginal(y, se, tau)) * stats.halfnorm.pdf(tau, scale=10)

    return float(np.log(integrate.quad(density, 0, 100, epsabs=0, epsrel=1e-8)[0]))


class TestRows:
    def test_left_out_rows_are_predicted_by_the_posterior_of_the_others(
        self, complete: sp.Fit
    ) -> None:
        found, data = complete.loo(), schools()
        for row in range(8):
            mean, sd = conjugate(data.drop(index=row))
            own = stats.norm(mean, np.hypot(sd, data["sigma"][row]))
            y = data["y"][row]
            # some 1 % of error of 8000 draws' importance weighted averages
            assert found.units["elpd"][row] == pytest.approx(own.logpdf(y), abs=0.01)
            assert found.rows["predicted"][row] == pytest.approx(mean, abs=0.2)
            assert found.rows["pit"][row] == pytest.approx(own.cdf(y), abs=0.03)
        assert found.unreliable == ()
        assert found.elpd == pytest.approx(found.units["elpd"].sum())
        assert found.p == pytest.approx(0.6, abs=0.3)

    def test_chunks_change_nothing(
        self, complete: sp.Fit, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole = complete.loo()
        monkeypatch.setattr(
            "stanpool.inference.prediction.linear_predictor.BLOCK", 8000 * 3
        )
        parts = complete.loo()
        pd.testing.assert_frame_equal(parts.units, whole.units)
        np.testing.assert_allclose(parts.rows["predicted"], whole.rows["predicted"])

    def test_of_very_many_rows_a_sample_is_offered(
        self,
        complete: sp.Fit,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        complete.loo()
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(loo, "LARGEST_ARRAY", 8000 * 7)
        whole = complete.loo()
        assert "Leaving out 8 rows, one by one; loo(sample=" in capsys.readouterr().err
        assert len(whole.units) == 8
        complete.loo(sample=7)
        complete.loo(progress=False)
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("name", each_kind_of_outcome())
    def test_every_model_has_its_rows_left_out(self, name: str) -> None:
        model = models()[name]
        if model.spec.family == "categorical":
            return  # below
        fit, _ = fit_of_points(model, chains=2, draws=20)
        found = fit.loo()
        # A random point can be so far off that an outcome is impossible there.
        impossible = ~np.isfinite(found.units["elpd"])
        assert (found.units["pareto_k"][impossible] == np.inf).all()
        assert impossible.sum() < 7
        assert found.rows["pit"].dropna().between(0, 1).all()
        assert found.rows["pit"].notna().sum() == 14

    def test_censored_outcomes_are_between_what_is_known_of_them(self) -> None:
        """Of known parameters, and outcomes that were drawn with them."""
        rng, N = np.random.default_rng(8), 2000
        y = rng.normal(1.0, 2.0, N)
        low, high = np.array([[-np.inf, -1.0], [1.0, np.inf], [-1.0, 0.0]])[
            np.where(y < -1, 0, np.where(y < 0, 2, 1))
        ].T
        exact = (y > 0) & (y < 1)
        code = np.where(exact, 0, np.where(y < -1, -1, np.where(y < 0, 2, 1)))
        seen = np.where(exact, y, np.where(code == -1, high, low))
        data = {"y": seen, "c": code, "upper": np.where(code == 2, high, seen)}
        model = sp.Model("y | cens(c, upper) ~ 1", data, pooling="complete")
        same = {"alpha": np.full((4, 500), 1.0), "sigma": np.full((4, 500), 2.0)}
        found = fit_of_draws(model, same).loo().rows
        low, high = (
            stats.norm.cdf(np.where(exact, y, end), 1.0, 2.0) for end in (low, high)
        )
        error = 4 * np.sqrt(0.25 / 2000)
        assert (found["pit"] > low - error).all()
        assert (found["pit"] < high + error).all()
        assert stats.kstest(found["pit"], "uniform").pvalue > 0.001
        assert (found["predicted"].isna() == ~exact).all()

    @pytest.mark.parametrize("family", ["categorical", "ordinal"])
    def test_categories_are_scored_by_their_probabilities(self, family: str) -> None:
        """Of known parameters, and outcomes that were drawn with them."""
        rng, labels, N = np.random.default_rng(6), ["a", "b", "c"], 3000
        x = rng.normal(size=N)
        if family == "ordinal":  # P(y <= k) = logit^-1(c_k - x)
            below = special.expit(np.array([-0.5, 1.0]) - x[:, None])
            F = np.column_stack([below, np.ones(N)])
            p = np.diff(F, axis=1, prepend=0.0)
            draws = {"cutpoint": [-0.5, 1.0], "beta": [1.0]}
        else:
            p = special.softmax(np.column_stack([0 * x, 0.7 - x, 0.2 + x]), axis=1)
            draws = {"alpha": [0.7, 0.2], "beta": [[-1.0, 1.0]]}
        y = (rng.random(N)[:, None] > p.cumsum(axis=1)).sum(axis=1)
        outcome = pd.Categorical.from_codes(y, labels, ordered=family == "ordinal")
        model = sp.Model(
            "y ~ x", {"y": outcome, "x": x}, family=family, pooling="complete"
        )
        same = {
            name: np.broadcast_to(value, (2, 10, *np.shape(value)))
            for name, value in draws.items()
        }
        found = fit_of_draws(model, same).loo()
        came_out = np.eye(3)[y]
        error = p - came_out if family == "categorical" else (p - came_out).cumsum(1)
        np.testing.assert_allclose(found.rows["score"], (error**2).sum(axis=1))
        assert found.accuracy == (p.argmax(axis=1) == y).mean()
        assert stats.kstest(found.rows["pit"], "uniform").pvalue > 0.001
        share = found.coverage(0.9)
        assert abs(share - 0.9) < 4 * np.sqrt(0.9 * 0.1 / N)
        name = "Brier score" if family == "categorical" else "ranked probability score"
        assert name in str(found)
        assert np.isnan(found.rmse)

    def test_categories_have_no_mean(self) -> None:
        model = sp.Model(
            "colour ~ x1", small_data(), family="categorical", pooling="complete"
        )
        rng = np.random.default_rng(5)
        fit = fit_of_draws(
            model,
            {
                "alpha": rng.normal(size=(2, 50, 2)),
                "beta": rng.normal(size=(2, 50, 1, 2)),
            },
        )
        found = fit.loo()
        assert np.isfinite(found.elpd)
        assert np.isnan(found.rmse)
        assert 0 < found.score < 2
        assert "RMSE" not in str(found)


class TestSamples:
    @pytest.fixture
    def fit(self) -> sp.Fit:
        rng = np.random.default_rng(6)
        model = sp.Model("y ~ 1", {"y": rng.normal(size=400)}, pooling="complete")
        draws = {
            "alpha": rng.normal(0, 0.05, (2, 300)),
            "sigma": rng.normal(1, 0.03, (2, 300)),
        }
        return fit_of_draws(model, draws)

    def test_a_sample_of_rows_estimates_the_total_within_its_error(
        self, fit: sp.Fit
    ) -> None:
        whole, some = fit.loo(), fit.loo(sample=100)
        pd.testing.assert_series_equal(
            some.units["elpd"], whole.units["elpd"].loc[some.units.index]
        )
        # Cochran (1977), section 2.6: the error of a total of a finite population.
        spread = some.units["elpd"].std()
        of_sampling = 400 * spread * np.sqrt((1 - 100 / 400) / 100)
        assert abs(some.elpd - whole.elpd) < 4 * of_sampling
        assert some.se == pytest.approx(np.hypot(of_sampling, spread * 400**0.5))
        assert "Leave-one-out by row (100 of 400 at random)" in str(some)
        assert fit.loo(sample=1000).elpd == whole.elpd

    def test_the_same_rows_are_sampled_of_every_fit(self, fit: sp.Fit) -> None:
        other = fit.loo(sample=50)
        assert other.units.index.equals(fit.loo(sample=50).units.index)
        assert sp.compare([other, fit.loo(sample=50)]).table["elpd_diff"].eq(0).all()
        with pytest.raises(sp.SpecError, match="different outcomes"):
            sp.compare([other, fit.loo(sample=51)])

    @pytest.mark.parametrize("sample", [1, 2.5, True])
    def test_wrong_samples_are_refused(self, fit: sp.Fit, sample: object) -> None:
        with pytest.raises(sp.SpecError, match="whole number of rows"):
            fit.loo(sample=sample)
        with pytest.raises(sp.SpecError, match="unit='row'"):
            fit.loo(sample=5, unit="group")


class TestGroups:
    def test_left_out_groups_are_predicted_by_the_population_of_the_others(
        self, partly: sp.Fit
    ) -> None:
        """By quadrature: p(y_j | others) is a ratio of two evidences."""
        found, data = partly.loo(unit="group"), schools()
        y, se = data["y"].to_numpy(float), data["sigma"].to_numpy(float)
        everything = log_evidence(y, se)
        for j, school in enumerate(data["school"]):
            others = np.arange(8) != j
            exact = everything - log_evidence(y[others], se[others])
            assert found.units["elpd"][school] == pytest.approx(exact, abs=0.015)
        assert found.unreliable == ()
        assert found.units.index.name == "school"

    def test_new_groups_scatter_more_than_rows_of_known_ones(
        self, partly: sp.Fit
    ) -> None:
        groups, rows = partly.loo(unit="group"), partly.loo()
        assert groups.rmse == pytest.approx(rows.rmse, rel=0.3)
        # one row per group: the same question, asked of the sampler twice
        assert groups.elpd == pytest.approx(rows.elpd, abs=0.5)
        assert groups.units["pareto_k"].max() < rows.units["pareto_k"].max()

    def test_complete_pooling_adds_the_rows_of_a_group_up(self) -> None:
        model = sp.Model("y ~ x1 + (1 | g)", small_data(), pooling="complete")
        fit, _ = fit_of_points(model, chains=2, draws=50)
        found = fit.loo(unit="group")
        assert list(found.units.index) == ["a", "b", "c", "d"]
        assert found.units["p"].notna().all()

    def test_no_pooling_predicts_no_new_group(self) -> None:
        fit, _ = fit_of_points(
            sp.Model("y ~ x1 + (1 | g)", small_data(), pooling="none")
        )
        for leave_out in (fit.loo, partial(fit.kfold, folds=2)):
            with pytest.raises(sp.SpecError, match="no population"):
                leave_out(unit="group")


def test_draws_are_taken_in_proportion_to_their_weights() -> None:
    weights = np.array([0.5, 0.0, 0.25, 0.25, 0.0, 0, 0, 0])
    taken = stratified(weights, 8, np.random.default_rng(1))
    assert np.bincount(taken, minlength=8).tolist() == [4, 0, 2, 2, 0, 0, 0, 0]


class TestFolds:
    def test_each_groups_rows_are_spread_evenly(self) -> None:
        model = sp.Model("log_radon ~ 1 + (1 | county)", sp.load_dataset("radon"))
        fold = kfold._split_rows(model, 5, np.random.default_rng(1))
        assert np.ptp(np.bincount(fold)) <= 1
        for county in range(85):
            own = np.bincount(fold[model.design.group_index == county], minlength=5)
            assert np.ptp(own) <= 1

    def test_folds_of_groups_are_of_equal_size_and_at_random(self) -> None:
        first = kfold._split(85, 10, "groups", np.random.default_rng(1))
        second = kfold._split(85, 10, "groups", np.random.default_rng(2))
        assert sorted(np.bincount(first)) == [8] * 5 + [9] * 5
        assert (first != second).any()

    @pytest.mark.parametrize("folds", [1, 9, 2.5, True, "5"])
    def test_a_wrong_number_of_folds_is_refused(self, complete, folds) -> None:
        with pytest.raises(sp.SpecError, match=r"folds=.*from 2 to .* rows, 8"):
            complete.kfold(folds=folds)


class TestOptions:
    def test_units_are_rows_or_groups(self, complete: sp.Fit) -> None:
        with pytest.raises(sp.SpecError, match="unit='rows' is not one of"):
            complete.loo(unit="rows")
        with pytest.raises(sp.SpecError, match="pass unit='group'"):
            complete.loo(factor="school")

    def test_draws_from_the_prior_have_learned_from_no_row(
        self, complete: sp.Fit
    ) -> None:
        with pytest.raises(sp.SpecError, match="drawn from the prior"):
            replace(complete, prior_only=True).loo()

    def test_one_chain_of_few_draws_is_left_out_as_far_as_can_be(self) -> None:
        fit, _ = fit_of_points(
            sp.Model("y ~ x1", small_data(), pooling="complete"), chains=1, draws=3
        )
        found = fit.loo()
        assert len(found.unreliable) == 14


class TestDisplay:
    def result(self, **changes: object) -> cross_validation.CrossValidation:
        found = simulated_fit(labels=("<script>", "B", "C")).loo(unit="group")
        return replace(found, **changes)

    def test_unreliable_units_are_named(self) -> None:
        found = self.result(good_k=-9.0)
        assert found.unreliable == ("<script>", "B", "C")
        assert "Pareto k is above -9.00 for 3 of 3 groups (<script>, B, C)" in str(
            found
        )
        assert "reloo=True" in str(found)

    def test_labels_stay_text(self) -> None:
        html = self.result(good_k=-9.0)._repr_html_()
        assert "<script>" not in html
        assert "&lt;script&gt;" in html

    def test_reads_in_one_line(self) -> None:
        assert repr(self.result()) == str(self.result())
        assert self.result().in_one_line.startswith(
            "CrossValidation(Leave-one-out by group of school, elpd"
        )

    def test_impossible_units_make_the_total_infinite_without_a_warning(self) -> None:
        found = self.result()
        assert found.total([-1.0, -np.inf, -2.0])[0] == -np.inf
        assert np.isnan(found.total([np.nan, 1.0])[0])
        assert found.total([-1.0])[1] == 0.0

    def test_coverage_is_of_central_intervals(self) -> None:
        rows = pd.DataFrame({"y": 0.0, "predicted": 0.0, "pit": [0.01, 0.3, 0.94, 0.5]})
        found = self.result(rows=rows)
        assert found.coverage(0.9) == 0.75
        assert found.coverage(0.5) == 0.5
