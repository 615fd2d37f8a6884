"""Predictions against sums over coefficients and textbook densities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.special import log_softmax

import stanpool as sp
from golden.catalogue import data_of, models, proper_models, small_data
from golden.representative import each_model
from simulated_fits import fit_of_draws, fit_of_points, fit_of_prior
from stanpool.base.errors import DataError, OutcomeWarning, SpecError
from stanpool.inference.prediction import linear_predictor, predict, quantities
from stanpool.inference.prediction.summaries import predict_table
from statistical import densities

KNOWN = {n: m for n, m in models().items() if m.spec.family != "categorical"}
NAMES = list(KNOWN)
# Far from the data the textbook's differences of tails have no digits left.
FULLY_OBSERVED = {
    name: model
    for name, model in KNOWN.items()
    if model.spec.cens is None and model.spec.trunc is None
}


class TestRowsOfTheData:
    @pytest.mark.parametrize("name", each_model(KNOWN))
    def test_linear_predictor_is_that_of_the_textbook(self, name: str) -> None:
        fit, points = fit_of_points(models()[name])
        found = predict.linpred(fit)
        assert found.dims == ("chain", "draw", "row")
        expected = [
            densities.linear_predictor(fit.model, data_of(fit.model), at)
            for at in points
        ]
        np.testing.assert_allclose(
            found.to_numpy().reshape(6, -1), expected, rtol=1e-10, atol=1e-10
        )

    @pytest.mark.parametrize("name", each_model(FULLY_OBSERVED))
    def test_log_likelihood_is_that_of_the_textbook(self, name: str) -> None:
        fit, points = fit_of_points(models()[name])
        expected = [
            densities.log_likelihood(fit.model, data_of(fit.model), at) for at in points
        ]
        found = predict.log_lik(fit).sum("row").to_numpy().ravel()
        finite = np.isfinite(expected)
        assert finite.any()
        # Values of predictors that are sampled are averaged over by quadrature.
        rtol = 1e-3 if fit.model.structure.samples_values else 1e-7
        np.testing.assert_allclose(found[finite], np.array(expected)[finite], rtol=rtol)

    def test_categories_have_linear_predictors_of_their_own(self) -> None:
        data = small_data()
        model = sp.Model(
            "colour ~ x1 + u + (1 + x1 | g) + (1 || mm(h, g_2))",
            data,
            family="categorical",
        )
        rng = np.random.default_rng(5)
        fit = fit_of_draws(
            model,
            {
                "alpha": rng.normal(size=(1, 2, 2)),
                "beta": rng.normal(size=(1, 2, 2, 2)),
                "tau": rng.lognormal(size=(1, 2, 4)),
                "Omega": np.broadcast_to(np.eye(4), (1, 2, 4, 4)),
                "b": rng.normal(size=(1, 2, 4, 4)),
                "tau_2": rng.lognormal(size=(1, 2, 2)),
                "b_2": rng.normal(size=(1, 2, 7, 2)),
            },
        )
        draws = fit.posterior.isel(chain=0)
        found = predict.linpred(fit).isel(chain=0)
        assert found.dims == ("draw", "row", "category")
        assert list(found["category"].to_numpy()) == ["green", "red"]
        # The groups' own coefficients have the effect of u in them.
        own, others = draws["b_g"], draws["b_h+g_2"].rename({"h+g_2": "group"})
        for category in ("green", "red"):
            intercept = {"h+g_2_coefficient": f"{category}, Intercept"}
            for row, values in enumerate(data.to_dict("records")):
                of_group = own.sel(g=values["g"])
                eta = of_group.sel(g_coefficient=f"{category}, Intercept")
                slope = of_group.sel(g_coefficient=f"{category}, x1")
                eta = eta + values["x1"] * slope
                for column in ("h", "g_2"):
                    eta = eta + others.sel(intercept).sel(group=values[column]) / 2
                np.testing.assert_allclose(
                    found.sel(category=category).isel(row=row), eta, rtol=1e-12
                )
        codes = np.searchsorted(["blue", "green", "red"], data["colour"])
        with_reference = np.concatenate([np.zeros((2, 14, 1)), found], axis=-1)
        expected = log_softmax(with_reference, axis=-1)[:, np.arange(14), codes]
        np.testing.assert_allclose(predict.log_lik(fit)[0], expected, rtol=1e-12)


def test_categories_may_have_nothing_but_groups() -> None:
    model = sp.Model("colour ~ 0 + (1 + x1 | g)", small_data(), family="categorical")
    fit = fit_of_prior(model)
    found = predict.linpred(fit).sel(category="red")
    b = fit.posterior["b_g"].sel(g="b")
    eta = b.sel(g_coefficient="red, Intercept")
    eta = eta + small_data()["x1"][6] * b.sel(g_coefficient="red, x1")
    np.testing.assert_allclose(found.isel(row=6), eta)
    assert len(fit.fixef()) == 0
    new = predict.epred(fit, {"x1": [0.0], "g": ["z"]}, new_groups="population")
    assert new.sizes["category"] == 3


class TestChunks:
    def test_do_not_change_what_is_computed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = sp.Model("y ~ x1 + u + (1 + x1 | g)", small_data(), residual="g")
        fit, _ = fit_of_points(model)
        whole = predict.log_lik(fit)
        monkeypatch.setattr(linear_predictor, "BLOCK", 30)
        chunks = list(predict.log_lik_chunks(fit))
        assert [rows.stop - rows.start for rows, _ in chunks] == [5, 5, 4]
        assert chunks[0][1].shape == (2, 3, 5)
        joined = np.concatenate([values for _, values in chunks], axis=-1)
        np.testing.assert_array_equal(joined, whole)

    def test_what_is_too_large_is_refused_with_a_way_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fit, _ = fit_of_points(models()[NAMES[0]])
        monkeypatch.setattr(quantities, "LARGEST_ARRAY", 60)
        with pytest.raises(SpecError, match=r"14 rows at 6 draws .* draws=4 for"):
            predict.linpred(fit)
        assert predict.linpred(fit, draws=4).shape == (2, 2, 14)


class TestDraws:
    def test_are_evenly_spaced_in_each_chain(self) -> None:
        fit, _ = fit_of_points(models()[NAMES[0]], chains=2, draws=10)
        found = predict.linpred(fit, draws=8)
        assert found["draw"].to_numpy().tolist() == [0, 2, 5, 7]
        np.testing.assert_array_equal(
            found, predict.linpred(fit).isel(draw=[0, 2, 5, 7])
        )
        assert predict.linpred(fit, draws=1).shape == (2, 1, 14)
        assert predict.linpred(fit, draws=100).shape == (2, 10, 14)

    @pytest.mark.parametrize("draws", [0, -3, 2.5, True, "all"])
    def test_are_a_positive_number(self, draws: object) -> None:
        fit, _ = fit_of_points(models()[NAMES[0]])
        with pytest.raises(SpecError, match=r"draws=.* positive whole number"):
            predict.linpred(fit, draws=draws)  # type: ignore[arg-type]


PARTIAL = [n for n, model in proper_models().items() if model.spec.pooling == "partial"]
NONE = {n: m for n, m in proper_models().items() if m.spec.pooling == "none"}
ROWS = [9, 3, 13, 0]


# Values of predictors in new rows are not those that were drawn for the data.
CERTAIN = {n: m for n, m in proper_models().items() if not m.spec.uncertain}


class TestNewRowsOfKnownGroups:
    @pytest.mark.parametrize("name", each_model(CERTAIN))
    def test_are_predicted_as_the_same_rows_of_the_data(self, name: str) -> None:
        fit = fit_of_prior(models()[name])
        new = data_of(models()[name]).iloc[ROWS]
        verbs = [predict.linpred, predict.epred, predict.log_lik]
        if fit.model.spec.residual_correlation is not None:
            verbs.pop()  # is that given other rows, which are not the same
        for verb in verbs:
            found, expected = verb(fit, new), verb(fit).isel(row=ROWS)
            xr.testing.assert_allclose(found, expected)
            assert found.dims == expected.dims

    def test_one_row_may_be_a_mapping_of_single_values(self) -> None:
        fit = fit_of_prior(sp.Model("y ~ x1 + (1 | g)", small_data()))
        row = {"x1": 0.5, "g": "a"}
        found, expected = fit.epred(row), fit.epred({"x1": [0.5], "g": ["a"]})
        xr.testing.assert_equal(found, expected)
        table = fit.predict(row, summary=True, seed=1)
        assert table[["x1", "g"]].to_dict("records") == [row]

    def test_rows_without_names_are_refused(self) -> None:
        fit = fit_of_prior(sp.Model("y ~ x1 + (1 | g)", small_data()))
        row = small_data()[["x1", "x2"]].iloc[0]
        for rows in (row, row.to_numpy(), row.tolist(), [row.tolist()]):
            for verb in (fit.epred, lambda x: fit.predictions(newdata=x)):
                with pytest.raises(DataError, match=r"columns without names.*pandas"):
                    verb(rows)
        with pytest.raises(DataError, match=r"data\.iloc\[\[0\]\]"):
            fit.epred(row)

    def test_need_only_the_columns_that_are_used(self) -> None:
        model = sp.Model(
            "y | weights(w) + trunc(low, 9) ~ x1 + u + (1 + x2 | g) + (1 | h)",
            small_data(),
            residual="h",
        )
        fit = fit_of_prior(model)
        new = small_data().iloc[ROWS]
        names = ["x1", "u", "x2", "g", "h"]
        xr.testing.assert_equal(
            predict.linpred(fit, new[names]), predict.linpred(fit, new)
        )
        assert predict.epred(fit, new[names]).shape == (2, 3, 4)
        population = predict.linpred(fit, new[["x1", "u"]], group_terms=[])
        assert population.shape == (2, 3, 4)
        with pytest.raises(DataError, match="no column 'low'"):
            predict.predict(fit, new[names])
        drawn = predict.predict(fit, new[[*names, "low"]], seed=1)
        low = new["low"].to_numpy()
        assert bool(((drawn >= low) & (drawn <= 9)).all())
        with pytest.raises(DataError, match="no column 'y'"):
            predict.log_lik(fit, new[[*names, "low"]])

    def test_mappings_and_other_orders_of_levels_are_the_same(self) -> None:
        model = sp.Model("y ~ C(k) + h + (1 | g)", small_data().assign(k=KINDS))
        fit = fit_of_prior(model)
        new = small_data().assign(k=KINDS).iloc[ROWS]
        expected = predict.linpred(fit, new)
        as_mapping = {name: new[name].tolist() for name in ("k", "h", "g")}
        xr.testing.assert_equal(predict.linpred(fit, as_mapping), expected)
        other = new.assign(
            g=pd.Categorical(new["g"], categories=["z", *"dcba"]),
            h=pd.Categorical(new["h"], categories=["w", "v", "u", "none"]),
            k=new["k"].astype(float),
        )
        xr.testing.assert_equal(predict.linpred(fit, other), expected)

    def test_transformations_keep_the_centers_of_the_fit(self) -> None:
        model = sp.Model(
            "scale(y) ~ center(x1) + offset(center(x2)) + (1 | g)", small_data()
        )
        fit = fit_of_prior(model)
        new = small_data().iloc[ROWS]
        for verb in (predict.linpred, predict.log_lik):
            xr.testing.assert_allclose(verb(fit, new), verb(fit).isel(row=ROWS))


KINDS = np.arange(14) // 2 % 3 + 1


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    data = small_data().assign(k=KINDS, year=np.arange(14) % 4 + 2000)
    return fit_of_prior(sp.Model("y ~ x1 + h + C(k) + (1 | year)", data))


class TestWrongRows:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"h": "x"}, r"'h' has 1 level.* of the fit: 'x' \(rows 0, 1,.*'u', 'v'"),
            ({"h": 1}, "'h' holds whole numbers, and .* it holds text"),
            ({"x1": "a"}, "'x1' holds text, and .* it holds numbers"),
            ({"year": "2001"}, "'year' holds text, and .* it holds whole numbers"),
            (
                {"k": 9},
                r"C\(k\) has .* not seen: 9 \(rows 0, 1,.*levels are 1, 2, 3",
            ),
            ({"x1": np.nan}, r"'x1' has 2 missing value\(s\) \(rows 0, 1"),
            ({"x1": np.inf}, r"'x1' has 2 infinite value\(s\)"),
            (
                {"year": 1999},
                r"1 group\(s\) of 'year' .* not in the fit: 1999 \(rows 0, 1",
            ),
        ],
    )
    def test_are_refused(self, fit: sp.Fit, changes: dict[str, Any], said: str) -> None:
        rows = {"x1": [0.5, 1.0], "h": ["u", "v"], "k": [1, 2], "year": [2000, 2001]}
        new = pd.DataFrame(rows).assign(**changes)
        with pytest.raises(DataError, match=said):
            predict.linpred(fit, new)

    def test_without_rows_are_refused(self, fit: sp.Fit) -> None:
        new = pd.DataFrame({"x1": [], "h": [], "k": [], "year": []})
        with pytest.raises(DataError, match="no new rows"):
            predict.linpred(fit, new)

    def test_missing_columns_are_named(self, fit: sp.Fit) -> None:
        with pytest.raises(DataError, match=r"no column 'x1'\. Did you mean 'x_1'"):
            predict.linpred(fit, {"x_1": [1.0], "h": ["u"], "k": [1], "year": [2000]})


@pytest.fixture(scope="module")
def drawn() -> tuple[sp.Fit, densities.Point]:
    """Draws of one point of the parameter space, so that only new groups vary."""
    model = sp.Model("y ~ x1 + u + (1 + x1 | g)", small_data(), residual="g")
    fit, points = fit_of_points(model, chains=2, draws=5000, one=True, seed=3)
    return fit, points[0]


class TestNewGroups:
    def new(self) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "x1": [0.5, 0.5, 2.0, -1.0],
                "u": [3.0, 3.0, -2.0, 0.5],
                "g": ["new", "new", "other", "a"],
            }
        )

    def average(self, at: densities.Point) -> np.ndarray:
        """Return what groups without deviations have."""
        new = self.new()
        return np.asarray(at.intercept + new[["x1", "u"]].to_numpy() @ at.beta)

    def test_zero_is_an_average_group(
        self, drawn: tuple[sp.Fit, densities.Point]
    ) -> None:
        fit, at = drawn
        found = predict.linpred(fit, self.new(), new_groups="zero", draws=2)
        np.testing.assert_allclose(
            found[..., :3], np.broadcast_to(self.average(at)[:3], (2, 1, 3))
        )
        population = predict.linpred(fit, self.new(), group_terms=[], draws=2)
        np.testing.assert_allclose(population[0, 0], self.average(at))
        assert not np.isclose(found[0, 0, 3], self.average(at)[3])

    def test_population_draws_have_its_moments(
        self, drawn: tuple[sp.Fit, densities.Point]
    ) -> None:
        fit, at = drawn
        eta = predict.linpred(fit, self.new(), new_groups="population", seed=4)
        flat = eta.to_numpy().reshape(-1, 4)
        # One draw for a group: its rows agree.
        np.testing.assert_array_equal(flat[:, 0], flat[:, 1])
        z = np.array([[1.0, 0.5], [1.0, 2.0]])
        covariance = at.first.chol @ at.first.chol.T
        deviations = flat[:, [0, 2]] - self.average(at)[[0, 2]]
        for k in (0, 1):
            variance = z[k] @ covariance @ z[k]
            error = np.sqrt(variance / len(flat))
            assert abs(deviations[:, k].mean()) < 4.5 * error
            ratio = deviations[:, k].var() / variance
            assert abs(ratio - 1) < 4.5 * np.sqrt(2 / len(flat))
        correlation = np.corrcoef(deviations.T)[0, 1]
        assert abs(correlation) < 4.5 / np.sqrt(len(flat))
        # The known group is as it was fitted.
        own = at.first.b[0] @ [1.0, -1.0]
        u_of_a = small_data()["u"][0]
        np.testing.assert_allclose(flat[:, 3], own + at.beta[1] * (0.5 - u_of_a))

    def test_resampled_groups_deviate_as_fitted_ones(
        self, drawn: tuple[sp.Fit, densities.Point]
    ) -> None:
        fit, at = drawn
        eta = predict.linpred(fit, self.new(), new_groups="resample", seed=4)
        means = densities.group_means(fit.model, small_data(), at, 0)
        deviations = (at.first.b - means) @ [1.0, 0.5]
        found = eta.to_numpy()[..., 0].ravel() - self.average(at)[0]
        each = np.isclose(found[:, None], deviations).sum(axis=0)
        assert each.sum() == len(found)
        assert np.all(
            np.abs(each / len(found) - 0.25) < 4.5 * 0.5 / np.sqrt(len(found))
        )

    def test_residual_scales_are_drawn_from_their_population(
        self, drawn: tuple[sp.Fit, densities.Point]
    ) -> None:
        fit, at = drawn
        y = predict.predict(fit, self.new(), new_groups="population", seed=4)
        eta = predict.linpred(fit, self.new(), new_groups="population", seed=4)
        log = np.log(np.abs((y - eta).to_numpy()).reshape(-1, 4)[:, 0])
        # log|y - eta| = log sigma + tau_sigma z + log|e|; the last has these moments.
        mean, variance = -0.6351814227, np.pi**2 / 8
        total = at.tau_sigma**2 + variance
        error = np.sqrt(total / len(log))
        assert abs(log.mean() - np.log(at.sigma) - mean) < 4.5 * error
        assert log.var() == pytest.approx(total, rel=0.1)

    def test_a_seed_says_all_and_chunks_nothing(
        self,
        drawn: tuple[sp.Fit, densities.Point],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        fit, _ = drawn
        options: dict[str, Any] = {"new_groups": "population", "draws": 10}
        whole = predict.linpred(fit, self.new(), seed=5, **options)
        other = predict.linpred(fit, self.new(), seed=6, **options)
        assert not np.array_equal(whole[..., 0], other[..., 0])
        monkeypatch.setattr(linear_predictor, "BLOCK", 1)
        again = predict.linpred(fit, self.new(), seed=5, **options)
        xr.testing.assert_allclose(whole, again, rtol=1e-12)

    def test_groups_redrawn_are_missing_data(
        self, drawn: tuple[sp.Fit, densities.Point]
    ) -> None:
        fit, at = drawn
        eta = predict.linpred(fit, groups="redrawn", seed=7).to_numpy().reshape(-1, 14)
        data = small_data()
        average = at.intercept + data[["x1", "u"]].to_numpy() @ at.beta
        z = np.column_stack([np.ones(14), data["x1"]])
        covariance = at.first.chol @ at.first.chol.T
        variance = np.einsum("ni,ij,nj->n", z, covariance, z)
        errors = np.sqrt(variance / len(eta))
        assert np.all(np.abs(eta.mean(axis=0) - average) < 4.5 * errors)
        ratio = eta.var(axis=0) / variance
        assert np.all(np.abs(ratio - 1) < 4.5 * np.sqrt(2 / len(eta)))

    def test_draws_are_labelled_and_thinned_alike(
        self, drawn: tuple[sp.Fit, densities.Point]
    ) -> None:
        fit, _ = drawn
        found = predict.predict(fit, self.new(), new_groups="zero", draws=6, seed=1)
        assert found["draw"].to_numpy().tolist() == [0, 1666, 3333]


def test_new_groups_of_two_factors_and_memberships() -> None:
    data = small_data()
    model = sp.Model(
        "count ~ x1 + (1 | h) + (1 + x1 || mm(g, g_2))", data, family="poisson"
    )
    fit, points = fit_of_points(model, draws=2000, one=True)
    new = {"x1": [1.5], "h": ["new"], "g": ["new"], "g_2": ["b"]}
    eta = predict.linpred(fit, new, new_groups="population", seed=2).to_numpy().ravel()
    at = points[0]
    means = densities.group_means(model, data, at, 1)
    known = (at.factors[1].b - means)[1] @ [1.0, 1.5]
    own = at.factors[1].tau[0] ** 2 + (1.5 * at.factors[1].tau[1]) ** 2
    mean = at.intercept + 1.5 * at.beta[0]
    other = at.factors[0].tau[0] ** 2

    def assert_normal(eta: np.ndarray, mean: float, variance: float) -> None:
        assert abs(eta.mean() - mean) < 4.5 * np.sqrt(variance / len(eta))
        assert abs(eta.var() / variance - 1) < 4.5 * np.sqrt(2 / len(eta))

    assert_normal(eta, mean + known / 2, other + own / 4)
    # Twice a member of one new group is a whole member of it.
    new |= {"g_2": ["new"]}
    eta = predict.linpred(fit, new, new_groups="population", seed=2).to_numpy().ravel()
    assert_normal(eta, mean, other + own)


def test_new_groups_of_categorical_outcomes_have_all_their_coefficients() -> None:
    model = sp.Model("colour ~ x1 + (1 + x1 | g)", small_data(), family="categorical")
    fit = fit_of_prior(model, chains=1, draws=1)
    posterior = fit.posterior.isel(draw=np.zeros(4000, dtype=int)).assign_coords(
        draw=range(4000)
    )
    tree = xr.DataTree.from_dict({"posterior": posterior})
    fit = sp.Fit(**{**vars(fit), "tree": tree})
    new = {"x1": [2.0], "g": ["new"]}
    eta = predict.linpred(fit, new, new_groups="population", seed=3)
    found = eta.to_numpy().reshape(-1, 2)
    tau = posterior["tau_g"].to_numpy()[0, 0]
    omega = posterior["Omega_g"].to_numpy()[0, 0]
    covariance = tau[:, None] * omega * tau
    z = np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 1.0, 2.0]])
    mean = posterior["Intercept"][0, 0] + 2.0 * posterior["beta"][0, 0, :, 0]
    expected = z @ covariance @ z.T
    errors = np.sqrt(np.diag(expected) / len(found))
    assert np.all(np.abs(found.mean(axis=0) - mean.to_numpy()) < 4.5 * errors)
    gap = np.cov(found.T) - expected
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.all(np.abs(gap) < 4.5 * scale * np.sqrt(2 / len(found)))


class TestGroupTerms:
    @pytest.mark.parametrize(
        "group_terms", [["h"], {"g": ["x2"], "h": ["Intercept"]}, {"g": []}, []]
    )
    def test_the_rest_is_left_out(self, group_terms: Any) -> None:
        data = small_data()
        model = sp.Model("y ~ x1 + x2 + (1 + x2 | g) + (1 | h)", data)
        fit, points = fit_of_points(model)
        found = predict.linpred(fit, group_terms=group_terms)
        chosen = (
            group_terms
            if isinstance(group_terms, dict)
            else {name: ["Intercept", "x2"] for name in group_terms}
        )
        for place, at in enumerate(points):
            eta = at.intercept + data[["x1", "x2"]].to_numpy() @ at.beta
            for number, (factor, own) in enumerate(
                zip(model.design.factors, at.factors, strict=True)
            ):
                u = own.b - densities.group_means(model, data, at, number)
                of_rows = u[factor.index]
                for q, label in enumerate(factor.varying):
                    if label in chosen.get(factor.factor, ()):
                        x = 1.0 if label == "Intercept" else data[label].to_numpy()
                        eta = eta + of_rows[:, q] * x
            np.testing.assert_allclose(found[divmod(place, 3)], eta)

    @pytest.mark.parametrize(
        ("group_terms", "said"),
        [
            ("g", r"must be a list: \['g'\]"),
            ({"g": "Intercept"}, r"must be a list: \['Intercept'\]"),
            (["county"], "'county', which is not a grouping factor"),
            ({"g": ["x1"]}, "'x1', which does not vary over 'g'; 'Intercept', 'sigma'"),
        ],
    )
    def test_others_are_refused(self, group_terms: Any, said: str) -> None:
        model = sp.Model("y ~ x1 + (1 | g)", small_data(), residual="g")
        with pytest.raises(SpecError, match=said):
            predict.linpred(fit_of_prior(model), group_terms=group_terms)

    def test_residual_scales_are_the_populations_if_left_out(self) -> None:
        model = sp.Model("y ~ x1 + (1 | g)", small_data(), residual="g")
        fit, points = fit_of_points(model)
        found = predict.log_lik(fit, group_terms={"g": ["Intercept"]})
        eta = predict.linpred(fit).to_numpy().reshape(6, -1)
        for place, at in enumerate(points):
            z = (small_data()["y"] - eta[place]) / at.sigma
            expected = -0.5 * z**2 - np.log(at.sigma) - 0.5 * np.log(2 * np.pi)
            np.testing.assert_allclose(found[divmod(place, 3)], expected)


class TestOtherPoolings:
    @pytest.mark.parametrize("name", each_model(NONE))
    def test_no_pooling_has_no_population(self, name: str) -> None:
        fit = fit_of_prior(models()[name])
        new = small_data().iloc[:2].assign(g="new")
        for way in ("population", "zero"):
            with pytest.raises(SpecError, match="without pooling does not have"):
                predict.epred(fit, new, new_groups=way)
        with pytest.raises(SpecError, match="no population to replace them"):
            predict.epred(fit, group_terms=[])
        assert predict.epred(fit, new, new_groups="resample").sizes["row"] == 2

    def test_complete_pooling_takes_any_group(self) -> None:
        fit = fit_of_prior(models()["complete_pooling_gaussian"])
        new = small_data().iloc[:2].assign(g="new")
        xr.testing.assert_allclose(
            predict.linpred(fit, new), predict.linpred(fit).isel(row=[0, 1])
        )


class TestOutcomes:
    def test_categories_are_drawn_by_name(self) -> None:
        for name, categories in (
            ("partial_pooling_ordinal_noncentered_correlated", ["low", "fair", "high"]),
            ("complete_pooling_categorical", ["blue", "green", "red"]),
        ):
            fit = fit_of_prior(models()[name], chains=1, draws=400)
            drawn = predict.predict(fit, seed=1)
            assert set(np.unique(drawn.to_numpy().astype(str))) == set(categories)
            expected = predict.epred(fit)
            assert expected["category"].to_numpy().tolist() == categories
            for category in categories:
                share = float((drawn == category).mean())
                p = expected.sel(category=category)
                error = np.sqrt(float((p * (1 - p)).sum())) / p.size
                assert abs(share - float(p.mean())) < 4.5 * error

    def test_are_drawn_about_their_expectation(self) -> None:
        fit = fit_of_prior(
            models()["partial_pooling_binomial_noncentered_correlated"], draws=1000
        )
        drawn, expected = predict.predict(fit, seed=1), predict.epred(fit)
        assert drawn.dtype == np.int64
        trials = small_data()["shots"].to_numpy()
        variance = (expected * (1 - expected / trials)).to_numpy()
        gap = (drawn - expected).to_numpy().mean(axis=(0, 1))
        assert np.all(np.abs(gap) < 4.5 * np.sqrt(variance.mean(axis=(0, 1)) / 2000))

    def test_a_seed_repeats_them(self) -> None:
        fit = fit_of_prior(models()["complete_pooling_gaussian"])
        xr.testing.assert_equal(
            predict.predict(fit, seed=1), predict.predict(fit, seed=1)
        )
        assert not predict.predict(fit).equals(predict.predict(fit))


class TestTable:
    @pytest.mark.parametrize("kind", ["linpred", "epred", "predict"])
    def test_summarizes_each_row(
        self, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fit = fit_of_prior(models()["partial_pooling_poisson_centered"], draws=50)
        monkeypatch.setattr(linear_predictor, "BLOCK", 1000)
        monkeypatch.setattr(quantities, "LARGEST_ARRAY", 10_000)
        new = small_data().iloc[ROWS].set_index(pd.Index(list("wxyz")))
        table = predict_table(fit, new, kind=kind, prob=0.8, seed=3)
        assert table.index.tolist() == list("wxyz")
        assert table.columns.tolist() == ["mean", "sd", "median", "q10", "q90"]
        draws = getattr(predict, kind)(fit, new, seed=3).to_numpy().reshape(100, 4)
        np.testing.assert_allclose(table["mean"], draws.mean(axis=0))
        np.testing.assert_allclose(table["sd"], draws.std(axis=0, ddof=1))
        np.testing.assert_allclose(table["q90"], np.quantile(draws, 0.9, axis=0))

    def test_has_the_probabilities_of_categories(self) -> None:
        fit = fit_of_prior(models()["complete_pooling_categorical"])
        table = predict_table(fit)
        assert table.columns.tolist() == ["blue", "green", "red"]
        expected = predict.epred(fit).mean(("chain", "draw"))
        np.testing.assert_allclose(table, expected)

    def test_refuses_what_it_does_not_know(self) -> None:
        fit = fit_of_prior(models()["complete_pooling_gaussian"])
        with pytest.raises(SpecError, match="kind='predicted' is not one of"):
            fit.predict_table(kind="predicted")
        with pytest.raises(SpecError, match="prob=90 must be a number between 0 and 1"):
            fit.predict_table(prob=90)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"groups": "new"}, "groups='new' is not one of 'fitted', 'redrawn'"),
        ({"new_groups": "sample"}, "new_groups='sample' is not one of"),
    ],
)
def test_options_are_checked(options: dict[str, Any], said: str) -> None:
    fit = fit_of_prior(models()["complete_pooling_gaussian"])
    with pytest.raises(SpecError, match=said):
        fit.linpred(**options)


def test_a_fit_has_these_verbs() -> None:
    fit = fit_of_prior(models()["partial_pooling_gaussian_centered"])
    new = small_data().iloc[ROWS].assign(g="new")
    options: dict[str, Any] = {"new_groups": "population", "seed": 1, "draws": 4}
    for name in ("linpred", "epred", "predict", "log_lik"):
        xr.testing.assert_equal(
            getattr(fit, name)(new, **options),
            getattr(predict, name)(fit, new, **options),
        )
    table = fit.predict_table(new, kind="epred", prob=0.5, **options)
    expected = predict_table(fit, new, kind="epred", prob=0.5, **options)
    pd.testing.assert_frame_equal(table, expected)


class TestSummaries:
    @pytest.fixture
    def fit(self) -> sp.Fit:
        model = sp.Model("count ~ x1 + (1 | g)", small_data(), family="poisson")
        return fit_of_prior(model, draws=200)

    def test_keep_the_columns_and_the_index_of_the_rows(self, fit: sp.Fit) -> None:
        new = pd.DataFrame(
            {"x1": [0.0, 1.0], "g": ["a", "b"], "who": ["p", "q"]}, [7, 9]
        )
        table = fit.predict(new, summary=True, prob=0.8, seed=2)
        assert table.columns.tolist() == [
            *new.columns,
            *("mean", "sd", "median", "q10", "q90"),
        ]
        assert table.index.tolist() == [7, 9]
        pd.testing.assert_frame_equal(
            table.drop(columns=list(new)),
            predict_table(fit, new, prob=0.8, seed=2),
        )
        drawn = fit.predict(new, seed=2).to_numpy().reshape(400, 2)
        several = fit.predict(
            new,
            summary=True,
            seed=2,
            quantiles=[0.25, 0.5, 0.99],
            events={"none": lambda y: y == 0, "many": lambda y: y > 3},
        )
        np.testing.assert_allclose(
            several[["q25", "q50", "q99"]].to_numpy().T,
            np.quantile(drawn, [0.25, 0.5, 0.99], axis=0),
        )
        np.testing.assert_allclose(several["none"], (drawn == 0).mean(axis=0))
        np.testing.assert_allclose(several["many"], (drawn > 3).mean(axis=0))
        one = fit.predict(new, kind="epred", summary=True, events=lambda y: y > 2)
        mean = fit.epred(new).to_numpy().reshape(400, 2)
        np.testing.assert_allclose(one["probability"], (mean > 2).mean(axis=0))

    def test_of_the_rows_of_the_data(self, fit: sp.Fit) -> None:
        table = fit.predict(summary=True, kind="epred")
        assert table["g"].tolist() == small_data()["g"].tolist()

    def test_averages_of_groups_and_differences_of_rows(self, fit: sp.Fit) -> None:
        data = small_data()
        drawn = fit.predict(seed=3).to_numpy().reshape(400, 14)
        table = fit.predict(summary=True, seed=3, by="g")
        means = pd.DataFrame(drawn.T).groupby(data["g"]).mean().to_numpy()
        np.testing.assert_allclose(table["q95"], np.quantile(means, 0.95, axis=1))
        pairs = fit.predict(summary=True, seed=3, pairs=[(3, 0), (0, 3)])
        assert pairs[["row", "less"]].to_numpy().tolist() == [[3, 0], [0, 3]]
        gap = drawn[:, 3] - drawn[:, 0]
        np.testing.assert_allclose(pairs["mean"], [gap.mean(), -gap.mean()])
        np.testing.assert_allclose(pairs["q5"][0], np.quantile(gap, 0.05))
        both = fit.predict(summary=True, seed=3, by="g", pairs=[(1, 0)])
        np.testing.assert_allclose(both["sd"], (means[1] - means[0]).std(ddof=1))

    def test_of_categories_are_probabilities(self) -> None:
        model = sp.Model("grade ~ x1 + (1 | g)", small_data(), family="ordinal")
        fit = fit_of_prior(model, draws=100)
        table = fit.predict(
            summary=True, seed=1, events={"high": lambda y: y == "high"}
        )
        levels = list(model.design.categories)
        np.testing.assert_allclose(table[levels].sum(axis=1), 1.0)
        np.testing.assert_allclose(table["high"], table[levels[-1]])
        with pytest.raises(SpecError, match=r"events of kind='epred'.*'predict'"):
            fit.predict(summary=True, kind="epred", events=lambda p: p > 0.5)

    def test_categories_may_have_any_name(self) -> None:
        data = small_data()
        data["colour"] = data["colour"].replace({"blue": "beyond"})
        fit = fit_of_prior(
            sp.Model("colour ~ x1 + (1 | g)", data, family="categorical")
        )
        table = fit.predict(summary=True)
        levels = list(fit.model.design.categories)
        assert "beyond" in levels
        np.testing.assert_allclose(table[levels].sum(axis=1), 1.0)
        with pytest.raises(SpecError, match="'linpred' cannot be a table"):
            fit.predict(summary=True, kind="linpred")

    @pytest.mark.parametrize("options", [{}, {"by": "g"}, {"pairs": [(0, 1)]}])
    def test_outcomes_that_overflow_are_counted(self, options: Any) -> None:
        model = sp.Model("count ~ x1 + (1 | g)", small_data(), family="poisson")
        fit = fit_of_prior(model)
        far = fit.model.data.assign(x1=1e6)
        with pytest.warns(OutcomeWarning, match=f"of {6 * len(far)} drawn"):
            fit.predict(far, summary=True, seed=1, **options)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"events": lambda y: y > 3}, "pass summary=True"),
            ({"summary": True, "events": {"a": 3}}, "must be a function"),
            ({"summary": True, "events": lambda y: 1.0}, "must say of each outcome"),
            ({"summary": True, "events": lambda y: y.up}, "cannot be computed"),
            ({"summary": True, "quantiles": [5]}, "not between 0 and 1"),
            ({"summary": True, "pairs": [(0, 99)]}, "the rows are 0 to 13"),
            ({"summary": True, "by": "region"}, "by has 'region'.*Pass data= with"),
            ({"summary": True, "events": {"sd": lambda y: y > 3}}, "events has .*'sd'"),
        ],
    )
    def test_say_what_is_wrong(self, fit: sp.Fit, options: Any, message: str) -> None:
        with pytest.raises((SpecError, DataError), match=message):
            fit.predict(**options)
