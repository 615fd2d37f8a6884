"""Predictions against sums over coefficients and textbook densities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax

import stanpool as sp
from golden.catalogue import models, small_data
from simulated_fits import fit_of_draws, fit_of_points
from stanpool import predict
from stanpool.errors import SpecError
from statistical import densities

NAMES = [n for n, model in models().items() if model.spec.family != "categorical"]
# Far from the data the textbook's differences of tails have no digits left.
FULLY_OBSERVED = [
    name
    for name in NAMES
    if models()[name].spec.cens is None and models()[name].spec.trunc is None
]


class TestRowsOfTheData:
    @pytest.mark.parametrize("name", NAMES)
    def test_linear_predictor_is_that_of_the_textbook(self, name: str) -> None:
        fit, points = fit_of_points(models()[name])
        found = predict.linpred(fit)
        assert found.dims == ("chain", "draw", "row")
        expected = [
            densities.linear_predictor(fit.model, small_data(), at) for at in points
        ]
        np.testing.assert_allclose(
            found.to_numpy().reshape(6, -1), expected, rtol=1e-10, atol=1e-10
        )

    @pytest.mark.parametrize("name", FULLY_OBSERVED)
    def test_log_likelihood_is_that_of_the_textbook(self, name: str) -> None:
        fit, points = fit_of_points(models()[name])
        expected = [
            densities.log_likelihood(fit.model, small_data(), at) for at in points
        ]
        found = predict.log_lik(fit).sum("row").to_numpy().ravel()
        finite = np.isfinite(expected)
        assert finite.any()
        np.testing.assert_allclose(found[finite], np.array(expected)[finite], rtol=1e-7)

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
                    eta = eta + others.sel(intercept).sel(group=values[column])
                np.testing.assert_allclose(
                    found.sel(category=category).isel(row=row), eta, rtol=1e-12
                )
        codes = np.searchsorted(["blue", "green", "red"], data["colour"])
        with_reference = np.concatenate([np.zeros((2, 14, 1)), found], axis=-1)
        expected = log_softmax(with_reference, axis=-1)[:, np.arange(14), codes]
        np.testing.assert_allclose(predict.log_lik(fit)[0], expected, rtol=1e-12)


class TestChunks:
    def test_do_not_change_what_is_computed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = sp.Model("y ~ x1 + u + (1 + x1 | g)", small_data(), residual="g")
        fit, _ = fit_of_points(model)
        whole = predict.log_lik(fit)
        monkeypatch.setattr(predict, "CHUNK", 60)
        chunks = list(predict.log_lik_chunks(fit))
        assert [rows.stop - rows.start for rows, _ in chunks] == [5, 5, 4]
        assert chunks[0][1].shape == (2, 3, 5)
        joined = np.concatenate([values for _, values in chunks], axis=-1)
        np.testing.assert_array_equal(joined, whole)

    def test_what_is_too_large_is_refused_with_a_way_out(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fit, _ = fit_of_points(models()[NAMES[0]])
        monkeypatch.setattr(predict, "LARGEST", 60)
        with pytest.raises(SpecError, match=r"14 rows at 6 draws .* draws=4 "):
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
