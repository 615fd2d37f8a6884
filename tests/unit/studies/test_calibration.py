"""What a calibration says of ranks, whatever made them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import small_data
from stanpool.plots import plot_calibration

AWKWARD = "<b>$\\frac{"


def calibration(**changed: Any) -> sp.Calibration:
    """Two hundred simulations of three uniform quantities, but for those given."""
    rng = np.random.default_rng(5)
    failures = changed.pop("failures", {})
    fits = changed.pop("fits", {})
    ranks = {name: rng.integers(0, 100, 200) for name in ("Intercept", "sigma", "x")}
    size = 200
    return sp.Calibration(
        subject="A model",
        ranks=pd.DataFrame(ranks | changed),
        draws=99,
        fits=pd.DataFrame(
            {
                "divergences": np.zeros(size, int),
                "max_r_hat": np.ones(size),
                "min_ess_bulk": np.full(size, 500.0),
                "seconds": np.ones(size),
                "redrawn": np.zeros(size, int),
            }
            | fits
        ),
        failures=failures,
        level=0.99,
    )


def ends() -> np.ndarray:
    return np.where(np.arange(200) % 2, 98, 1)


class TestVerdict:
    def test_uniform_ranks_are_calibrated(self) -> None:
        found = calibration()
        assert found.ok
        assert "A model: calibrated" in str(found)
        assert "200 simulations of 3 quantities" in str(found)
        assert set(found.table["finding"]) == {""}

    @pytest.mark.parametrize(
        ("ranks", "words"),
        [
            (np.arange(200) // 4, "the posterior lies too high"),
            (99 - np.arange(200) // 4, "the posterior lies too low"),
            (ends(), "the posterior is too narrow"),
            (45 + np.arange(200) % 10, "the posterior is too wide"),
        ],
    )
    def test_it_says_in_which_way_they_are_not(
        self, ranks: np.ndarray, words: str
    ) -> None:
        found = calibration(sigma=ranks)
        assert not found.ok
        assert "not calibrated. 1 of 3 quantities" in " ".join(str(found).split())
        assert found.table.index[0] == "sigma"
        assert words in found.table.loc["sigma", "finding"]
        assert words in " ".join(str(found).split())

    def test_p_values_are_adjusted_for_the_number_of_quantities(self) -> None:
        table = calibration().table
        np.testing.assert_allclose(
            table["adjusted"], np.minimum(1, 3 * table["p_value"])
        )

    def test_failed_fits_are_told_and_no_success(self) -> None:
        found = calibration(failures={7: "chain 1 ended badly"})
        assert not found.ok
        assert "1 of 201 fits failed" in " ".join(found.verdict.split())
        assert "Simulation 7 could not be fitted: chain 1 ended badly" in str(found)

    def test_it_says_what_may_be_the_samplers_doing(self) -> None:
        fits = {
            "divergences": np.repeat([3, 0], 100),
            "min_ess_bulk": np.repeat([20.0, 400.0], [10, 190]),
            "redrawn": np.repeat([1, 0], [4, 196]),
        }
        text = " ".join(str(calibration(fits=fits)).split())
        assert "100 of 200 fits had divergent transitions" in text
        assert "In 10 of 200 fits" in text
        assert "4 simulated data sets were drawn again" in text

    def test_labels_are_escaped(self) -> None:
        html = calibration(**{AWKWARD: ends()})._repr_html_()
        assert "<b>$" not in html
        assert "&lt;b&gt;$" in html


class TestPlots:
    @pytest.mark.parametrize("kind", ["ecdf", "histogram"])
    def test_awkward_labels_stay_text(self, kind: str) -> None:
        found = calibration(**{AWKWARD: ends()})
        figure = found.plot(kind=kind)
        figure.savefig(io.BytesIO(), format="png", dpi=40)

    def test_lines_are_shares_less_uniform_shares(self) -> None:
        ranks = np.zeros(200, dtype=int)
        found = calibration(sigma=ranks)
        (ax,) = plot_calibration(found, quantities=["sigma"]).axes
        (line,) = ax.lines
        x, y = line.get_data()
        assert line.get_label() == "sigma"
        np.testing.assert_allclose(y[1:], 1 - x[1:])  # all ranks are the least

    def test_a_line_is_outside_the_band_if_the_verdict_says_so(self) -> None:
        found = calibration(sigma=ends())
        for name in found.ranks:
            (ax,) = plot_calibration(found, quantities=[name]).axes
            x, y = ax.lines[0].get_data()
            (band,) = ax.collections
            corners = band.get_paths()[0].vertices
            low = np.array(
                [corners[np.isclose(corners[:, 0], at), 1].min() for at in x]
            )
            high = np.array(
                [corners[np.isclose(corners[:, 0], at), 1].max() for at in x]
            )
            outside = bool(((y < low - 1e-9) | (y > high + 1e-9)).any())
            assert outside == bool(found.table.loc[name, "finding"])

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"kind": "ecdff"}, "Did you mean 'ecdf'"),
            ({"quantities": ["sigmaa"]}, "Did you mean 'sigma'"),
        ],
    )
    def test_unknown_names_are_refused(
        self, arguments: dict[str, Any], words: str
    ) -> None:
        with pytest.raises(sp.SpecError, match=words):
            calibration().plot(**arguments)


class TestRefused:
    @pytest.mark.parametrize(
        ("formula", "options", "words"),
        [
            ("y | weights(w) ~ x1", {}, "weights multiply the likelihood"),
            ("y | cens(c, y_high) ~ x1", {}, "which outcomes are censored"),
            ("y ~ x1", {"simulations": 5}, "simulations=5 must be"),
            ("y ~ x1", {"simulations": 20.5}, "simulations=20.5 must be"),
            ("y ~ x1", {"level": 1.0}, "level=1.0 must be a number between"),
        ],
    )
    def test_what_cannot_be_simulated(
        self, formula: str, options: dict[str, Any], words: str
    ) -> None:
        model = sp.Model(formula, small_data(), pooling="complete")
        with pytest.raises(sp.SpecError, match=words):
            sp.sbc(model, **options)

    @pytest.mark.filterwarnings("ignore:flat prior:stanpool.base.errors.PriorWarning")
    def test_improper_priors(self) -> None:
        model = sp.Model(
            "y ~ x1", small_data(), pooling="complete", priors={"beta": "flat"}
        )
        with pytest.raises(sp.SpecError, match="State a proper prior"):
            sp.sbc(model)


class TestOtherOutcomes:
    def test_a_model_of_simulated_outcomes_is_otherwise_the_same(self) -> None:
        model = sp.Model("log(amount) ~ x1 + (1 | g)", small_data())
        y = np.arange(14.0)
        other = model.with_outcome(y)
        np.testing.assert_array_equal(other.design.y, y)
        centered = other.with_(parameterization="centered")
        np.testing.assert_array_equal(centered.stan_data()["y"], y)
        assert other.priors == model.priors
        assert other.program == model.program
        assert model.design.y[0] != 0
        rebuilt = sp.Model.from_spec(other.spec, other.data, priors=other.priors)
        np.testing.assert_array_equal(rebuilt.design.y, y)

    def test_categories_that_do_not_occur_stay(self) -> None:
        model = sp.Model(
            "grade ~ x1", small_data(), family="ordinal", pooling="complete"
        )
        other = model.with_outcome(np.array(["low"] * 14, dtype=object))
        assert other.design.categories == ("low", "fair", "high")
        assert other.stan_data()["C"] == 3
        assert set(other.data["grade"]) == {"low"}

    def test_they_can_be_changed_by_no_one(self) -> None:
        y = np.arange(14.0)
        other = sp.Model("y ~ 1", small_data(), pooling="complete").with_outcome(y)
        y[0] = 99
        assert other.design.y[0] == 0
        assert not other.design.y.flags.writeable

    @pytest.mark.parametrize(
        ("formula", "family", "y", "words"),
        [
            ("y ~ 1", "gaussian", np.zeros(3), "14 rows takes as many"),
            ("y ~ 1", "gaussian", ["a"] * 14, "14 rows takes as many"),
            ("y ~ 1", "gaussian", np.full(14, np.nan), "y must be finite"),
            ("amount ~ 1", "gamma", np.zeros(14), "y must be positive"),
            ("amount ~ 1", "gamma", np.full(14, np.inf), "y must be positive"),
            ("share ~ 1", "beta", np.ones(14), "y must be between 0 and 1"),
            ("win ~ 1", "bernoulli", np.full(14, 2), "y must be 0 or 1"),
            ("count ~ 1", "poisson", np.full(14, 0.5), "whole numbers"),
            ("count ~ 1", "poisson", np.full(14, 2**31), "at most 2147483647"),
            ("hits | trials(shots) ~ 1", "binomial", np.full(14, 9), "its trials"),
            ("grade ~ 1", "ordinal", ["good"] * 14, "'good', which are not categories"),
            ("y | trunc(lower=low) ~ 1", "gaussian", np.full(14, -99), "truncation"),
            ("y | cens(c, y_high) ~ 1", "gaussian", np.zeros(14), "censored rows"),
        ],
    )
    def test_outcomes_that_no_row_can_have_are_refused(
        self, formula: str, family: str, y: Any, words: str
    ) -> None:
        model = sp.Model(formula, small_data(), family=family, pooling="complete")
        with pytest.raises(sp.DataError, match=words):
            model.with_outcome(y)
