"""Exact samplers: labels, reproducibility, and messages for what they cannot do."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from stanpool import exact
from stanpool.posterior.labelled_draws import build_tree


def schools(**options: Any) -> sp.Model:
    data = sp.load_dataset("eight_schools")
    return sp.Model("y | se(sigma) ~ 1 + (1 | school)", data, **options)


def radon(
    formula: str = "log_radon ~ floor + (1 | county)", **options: Any
) -> sp.Model:
    return sp.Model(formula, sp.load_dataset("radon"), **options)


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


class MadeUpDraws:
    """What the engine would return: every variable of the right shape."""

    def __init__(self, model: sp.Model, chains: int, draws: int) -> None:
        design = model.design
        groups = len(design.group_labels)
        self.sizes = (chains, draws)
        self.shapes = {"beta": (len(design.coefficients),), "b": (groups, 1)}
        self.shapes["tau"] = (1,)

    def stan_variable(self, name: str) -> np.ndarray:
        return np.ones((*self.sizes, *self.shapes.get(name, ())))

    def sampler_variable(self, name: str) -> np.ndarray:
        return np.ones(self.sizes)


AS_STAN_FITS: dict[str, Callable[[], exact.ExactDraws]] = {
    "known_sigma": lambda: exact.known_sigma(schools()).draw(rng(), chains=2, draws=5),
    "gibbs": lambda: exact.gibbs(radon(), rng(), chains=2, draws=5, warmup=5),
    "gibbs, group predictor": lambda: exact.gibbs(
        radon("log_radon ~ log_uranium + floor + (1 | county)"),
        rng(),
        chains=2,
        draws=5,
        warmup=5,
    ),
    "gibbs, no predictors": lambda: exact.gibbs(
        radon("log_radon ~ 1 + (1 | county)"), rng(), chains=2, draws=5, warmup=5
    ),
}


@pytest.mark.parametrize("name", AS_STAN_FITS)
def test_draws_have_the_labels_of_a_fit(name: str) -> None:
    drawn = AS_STAN_FITS[name]()
    model = drawn.model
    assert model is not None
    tree = build_tree(
        MadeUpDraws(model, 2, 5), model.design, model.structure, max_treedepth=10
    )
    of_fit = tree["posterior"].to_dataset()
    assert list(drawn.posterior.data_vars) == list(of_fit.data_vars)
    for variable in of_fit.data_vars:
        assert drawn.posterior[variable].dims == of_fit[variable].dims
        assert drawn.posterior[variable].shape == of_fit[variable].shape
    for coordinate in of_fit.coords:
        expected = of_fit[coordinate].to_numpy()
        assert drawn.posterior[coordinate].dtype == expected.dtype
        np.testing.assert_array_equal(drawn.posterior[coordinate], expected)
    observed = drawn.tree["observed_data"].to_dataset()
    np.testing.assert_array_equal(observed["y"], model.design.y)


def test_labels_may_be_anything() -> None:
    labels = ['say "no"', "line\nbreak", "Ångström", "x" * 10_000]
    frame = pd.DataFrame({"y": [1.0, 2, 3, 4], "s": [1.0] * 4, "a/b": labels})
    drawn = exact.known_sigma(sp.Model("y | se(s) ~ 1 + (1 | `a/b`)", frame)).draw(
        rng()
    )
    assert sorted(drawn.posterior["a:b"].to_numpy()) == sorted(labels)


SAMPLERS: dict[str, Callable[[np.random.Generator], exact.ExactDraws]] = {
    "normal": lambda rng: exact.normal([1.0, 2.0], mu=0, tau=1, alpha=1, beta=1).draw(
        rng, draws=10
    ),
    "known_sigma": lambda rng: exact.known_sigma(schools()).draw(rng, draws=10),
    "gibbs": lambda rng: exact.gibbs(radon(), rng, draws=10, warmup=5),
    "beta_binomial": lambda rng: exact.beta_binomial(
        {"g": [1, 2], "k": [1, 0], "n": [3, 4]},
        outcome="k",
        trials="n",
        group="g",
        a=1,
        b=1,
    ).draw(rng, draws=10),
    "gamma_poisson": lambda rng: exact.gamma_poisson(
        {"g": [1, 2], "k": [1, 0]}, outcome="k", group="g", shape=1, rate=1
    ).draw(rng, draws=10),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_equal_generators_give_equal_draws(name: str) -> None:
    first, again = (SAMPLERS[name](np.random.default_rng(3)) for _ in range(2))
    other = SAMPLERS[name](np.random.default_rng(4))
    assert first.posterior.identical(again.posterior)
    assert not first.posterior.equals(other.posterior)


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_read_like_a_fit(name: str) -> None:
    drawn = SAMPLERS[name](rng())
    table = drawn.summary()
    assert np.isfinite(table["mean"]).all()
    assert drawn.to_arviz() is not None
    assert "4 chains of 10 draws" in repr(drawn)
    with pytest.raises(FrozenInstanceError):
        drawn.method = "magic"  # type: ignore[misc]


OF_ANY_DRAWS = (sp.plots.plot_forest, sp.plots.plot_traces, sp.plots.plot_pairs)
OF_A_MODEL = (
    sp.plots.plot_caterpillar,
    sp.plots.plot_funnel,
    sp.plots.plot_predictive,
    sp.plots.plot_prior_posterior,
    sp.plots.plot_shrinkage,
    sp.plots.plot_statistics,
)


@pytest.mark.parametrize("name", SAMPLERS)
def test_draws_plot_like_a_fit(name: str) -> None:
    drawn = SAMPLERS[name](rng())
    for plot in OF_ANY_DRAWS:
        assert any(ax.has_data() for ax in plot(drawn).axes)
    for plot in OF_A_MODEL:
        if drawn.model is None:
            with pytest.raises(sp.SpecError, match="has no stanpool model"):
                plot(drawn)
        else:
            assert any(ax.has_data() for ax in plot(drawn).axes)


def test_lines_of_gibbs_draws_are_those_of_their_model() -> None:
    drawn = SAMPLERS["gibbs"](rng())
    assert len(sp.plots.plot_lines(drawn, count=2).axes) == 2


def test_forests_show_groups_where_there_is_nothing_else() -> None:
    drawn = SAMPLERS["beta_binomial"](rng())
    labels = sp.plots.plot_forest(drawn).axes[0].get_yticklabels()
    assert [each.get_text() for each in labels] == ["theta[1]", "theta[2]"]


def test_summary_can_leave_out_the_groups() -> None:
    drawn = SAMPLERS["known_sigma"](rng())
    assert list(drawn.summary(groups=False).index) == [
        "Intercept",
        "tau_school[Intercept]",
    ]
    assert drawn.summary().index[-1] == "b_school[H, Intercept]"
    drawn = SAMPLERS["beta_binomial"](rng())
    assert list(drawn.summary().index) == ["theta[1]", "theta[2]"]


def test_summary_of_a_fit_takes_draws_of_a_model() -> None:
    from stanpool.inference.estimates.summary import summary

    drawn = SAMPLERS["gibbs"](rng())
    pd.testing.assert_frame_equal(summary(drawn), drawn.summary())  # type: ignore[arg-type]


def test_data_that_change_later_have_no_effect() -> None:
    y = np.array([1.0, 2.0])
    posterior = exact.normal(y, mu=0, tau=1, alpha=1, beta=1)
    before = posterior.mu_n
    y[:] = 100
    assert posterior.mu_n == before


def test_importing_loads_neither_scipy_nor_xarray() -> None:
    code = (
        "import sys, stanpool.exact; "
        "print([m for m in ('scipy', 'xarray') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestNormal:
    prior: ClassVar = {"mu": 0.0, "tau": 1.0, "alpha": 1.0, "beta": 1.0}

    @pytest.mark.parametrize(
        ("y", "message"),
        [
            ([], "at least one value"),
            ([[1.0, 2.0]], r"shape \(1, 2\)"),
            ([1.0, np.nan, np.inf], "rows 1, 2"),
            (["a"], "must be a sample of numbers"),
        ],
    )
    def test_refuses_what_is_no_sample(self, y: Any, message: str) -> None:
        with pytest.raises(sp.DataError, match=message):
            exact.normal(y, **self.prior)

    @pytest.mark.parametrize("name", ["tau", "alpha", "beta"])
    @pytest.mark.parametrize("value", [0, -1.0, np.inf, np.nan, "1", True])
    def test_refuses_numbers_that_are_not_positive(self, name: str, value: Any) -> None:
        with pytest.raises(sp.SpecError, match=f"{name}=.*positive and finite"):
            exact.normal([1.0], **(self.prior | {name: value}))

    def test_refuses_a_location_that_is_not_finite(self) -> None:
        with pytest.raises(sp.SpecError, match=r"mu=inf must be a finite number"):
            exact.normal([1.0], **(self.prior | {"mu": np.inf}))


@pytest.mark.parametrize("given", [None, 1, np.random.RandomState(1)])
def test_randomness_is_a_generator(given: Any) -> None:
    for sampler in SAMPLERS.values():
        with pytest.raises(sp.SpecError, match=r"must be a numpy\.random\.Generator"):
            sampler(given)


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True, None, 2**31 - 1])
def test_counts_are_whole_and_positive(value: Any) -> None:
    posterior = exact.known_sigma(schools())
    with pytest.raises(sp.SpecError, match=r"chains=.*from 1 to 10,000\."):
        posterior.draw(rng(), chains=value)
    with pytest.raises(sp.SpecError, match=r"draws=.*from 1 to 10,000,000\."):
        exact.gibbs(radon(), rng(), draws=value)


class TestKnownSigma:
    @pytest.mark.parametrize(
        "model",
        [
            lambda: radon(),
            lambda: schools(pooling="complete"),
            lambda: schools(pooling="none"),
            lambda: sp.Model(
                "y | se(s) ~ x + (1 | g)",
                {"y": [1, 2, 3], "s": [1, 1, 1], "x": [0, 1, 3], "g": [1, 2, 3]},
            ),
        ],
    )
    def test_refuses_other_models(self, model: Callable[[], sp.Model]) -> None:
        with pytest.raises(sp.SpecError, match="not a model that known_sigma solves"):
            exact.known_sigma(model())

    def test_refuses_priors_that_it_has_no_formula_for(self) -> None:
        model = schools(priors={"Intercept": "student_t(3, 0, 10)"})
        with pytest.raises(sp.SpecError, match=r"flat=\['Intercept'\]"):
            exact.known_sigma(model)
        assert exact.known_sigma(model, flat=["Intercept"])

    def test_priors_that_are_flat_in_the_model_are_flat(self) -> None:
        with pytest.warns(sp.PriorWarning):
            model = schools(priors={"Intercept": "flat", "tau": "flat"})
        found = exact.known_sigma(model)
        expected = exact.known_sigma(schools(), flat=["Intercept", "tau"])
        np.testing.assert_allclose(found.theta.mean(), expected.theta.mean())
        np.testing.assert_allclose(found.tau.mean(), expected.tau.mean())
        on_variance = exact.known_sigma(model, flat=["tau^2"])
        assert on_variance.tau.mean() > found.tau.mean() + 1
        with pytest.warns(sp.PriorWarning, match="2 groups"):
            two = sp.Model(
                "y | se(sigma) ~ 1 + (1 | school)",
                sp.load_dataset("eight_schools")[:2],
                priors={"Intercept": "flat", "tau": "flat"},
            )
        with pytest.raises(sp.SpecError, match="2 groups, fewer than"):
            exact.known_sigma(two)

    def test_a_uniform_prior_cuts_the_posterior_of_a_flat_one(self) -> None:
        bounded = exact.known_sigma(schools(priors={"tau": "uniform(1, 9)"})).tau
        flat = exact.known_sigma(schools(), flat=["tau"]).tau
        at = np.array([0.5, 1.5, 4.0, 8.0, 9.5])
        below, above = flat.cdf([1.0, 9.0])
        expected = np.clip((flat.cdf(at) - below) / (above - below), 0, 1)
        np.testing.assert_allclose(bounded.cdf(at), expected, atol=1e-8)

    def test_refuses_scale_priors_without_a_density(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from stanpool.exact import priors

        monkeypatch.delitem(priors._LOG_DENSITIES, "gamma")
        model = schools(priors={"tau": "gamma(2, 1)"})
        with pytest.raises(
            sp.SpecError, match=r"is gamma\(2, 1\); exact samplers can use"
        ):
            exact.known_sigma(model)

    @pytest.mark.parametrize(
        ("flat", "message"),
        [
            ("tau", "is a single string; write a list"),
            (["taw"], "Did you mean 'tau'"),
            (["tau", "tau^2"], "names tau more than once"),
            ([1], "must be a list of texts"),
            (["sigma"], "'sigma' is not one of"),
        ],
    )
    def test_refuses_wrong_names_of_flat_priors(self, flat: Any, message: str) -> None:
        with pytest.raises(sp.SpecError, match=message):
            exact.known_sigma(schools(), flat=flat)

    @pytest.mark.parametrize(
        ("flat", "groups"),
        [(["Intercept", "tau"], 3), (["Intercept", "tau^2"], 4), (["tau^2"], 3)],
    )
    def test_refuses_improper_posteriors(self, flat: list[str], groups: int) -> None:
        """Gelman (2006): flat on tau needs three groups, flat on tau^2 four."""
        frame = pd.DataFrame({"y": [1.0, 2, 4, 8], "s": 1.0, "g": range(4)})
        enough = sp.Model("y | se(s) ~ 1 + (1 | g)", frame[:groups])
        assert exact.known_sigma(enough, flat=flat).tau.pdf(1.0) > 0
        short = sp.Model("y | se(s) ~ 1 + (1 | g)", frame[: groups - 1])
        with pytest.raises(sp.SpecError, match=f"fewer than {groups}"):
            exact.known_sigma(short, flat=flat)

    def test_a_tolerance_that_cannot_be_met_is_said(self) -> None:
        with pytest.raises(sp.SpecError, match="pass a larger one"):
            exact.known_sigma(schools(), tolerance=1e-17)

    @pytest.mark.parametrize("probability", [0, 1, -0.1, np.nan, [0.5, 2]])
    def test_refuses_probabilities_outside_of_0_to_1(self, probability: Any) -> None:
        with pytest.raises(sp.SpecError, match="between 0 and 1"):
            exact.known_sigma(schools()).tau.ppf(probability)

    def test_tau_is_positive(self) -> None:
        tau = exact.known_sigma(schools()).tau
        np.testing.assert_array_equal(tau.pdf([-1.0, 0.0]), 0.0)
        np.testing.assert_array_equal(tau.cdf([-1.0, 0.0]), 0.0)
        assert tau.cdf(np.inf) == 1.0

    def test_groups_that_do_not_differ(self) -> None:
        """The inverse gamma has scale 0: the grid takes over."""
        frame = pd.DataFrame({"y": [2.0] * 5, "s": 1.0, "g": range(5)})
        model = sp.Model("y | se(s) ~ 1 + (1 | g)", frame)
        posterior = exact.known_sigma(model, flat=["Intercept", "tau^2"])
        # sigma^2 + tau^2 is then Pareto: P(tau > t) = (1 + t^2)^-1.
        np.testing.assert_allclose(posterior.tau.cdf([0.5, 2.0]), [0.2, 0.8], atol=1e-8)
        drawn = posterior.draw(rng()).posterior
        assert np.isfinite(drawn["b_g"]).all()


class TestGibbs:
    @pytest.mark.parametrize(
        "model",
        [
            lambda: schools(),
            lambda: radon(pooling="none"),
            lambda: radon("log_radon ~ floor + (1 + floor | county)"),
            lambda: radon("log_radon ~ 0 + floor + (1 | county)"),
            lambda: radon("floor ~ 1 + (1 | county)", family="bernoulli"),
        ],
    )
    def test_refuses_other_models(self, model: Callable[[], sp.Model]) -> None:
        with pytest.raises(sp.SpecError, match="not a model that gibbs solves"):
            exact.gibbs(model(), rng())

    def test_refuses_a_constant_outcome(self) -> None:
        frame = pd.DataFrame({"y": [1.0] * 6, "g": [1, 1, 2, 2, 3, 3]})
        with pytest.raises(sp.DataError, match="1 in every row"):
            exact.gibbs(sp.Model("y ~ 1 + (1 | g)", frame), rng())

    def test_group_predictors_need_more_groups(self) -> None:
        frame = pd.DataFrame({"g": [1, 1, 2, 2, 3, 3], "u": [1.0, 1, 4, 4, 2, 2]})
        frame["y"] = [0.5, 1.5, 4.0, 3.0, 2.5, 2.0]
        model = sp.Model("y ~ u + (1 | g)", frame)
        assert exact.gibbs(model, rng(), flat=["tau"], draws=1, warmup=0)
        with pytest.raises(sp.SpecError, match="fewer than 4"):
            exact.gibbs(model, rng(), flat=["Intercept", "beta", "tau"])

    def test_a_flat_residual_scale_needs_rows_to_tell_it(self) -> None:
        frame = pd.DataFrame({"y": [0.5, 1.5, 4.0], "g": [1, 2, 2]})
        model = sp.Model("y ~ 1 + (1 | g)", frame)
        assert exact.gibbs(model, rng(), flat=["sigma^2"], draws=1, warmup=0)
        with pytest.raises(sp.SpecError, match="3 rows, fewer than 4"):
            exact.gibbs(model, rng(), flat=["Intercept", "sigma^2"])
        with pytest.raises(sp.DataError, match="has one row"):
            sp.Model("y ~ 1 + (1 | g)", frame.assign(g=[1, 2, 3]))

    def test_refuses_a_prior_that_ends(self) -> None:
        model = radon(priors={"tau": "uniform(0, 0.2)"})
        with pytest.raises(sp.SpecError, match=r"uniform\(0, 0.2\) has bounds"):
            exact.gibbs(model, rng())

    def test_refuses_a_prior_that_is_not_normal(self) -> None:
        model = radon(priors={"beta[floor]": "cauchy(0, 1)"})
        with pytest.raises(sp.SpecError, match=r"beta\[floor\] is cauchy"):
            exact.gibbs(model, rng())

    def test_plugged_in_variances_may_vanish(self) -> None:
        frame = pd.DataFrame(
            {"y": [1.0, 2.0, 1.0, 2.0, 1.5, 1.5], "g": [1, 1, 2, 2, 3, 3]}
        )
        model = sp.Model("y ~ 1 + (1 | g)", frame)
        with pytest.warns(exact.PlugInWarning):
            drawn = exact.gibbs(model, rng(), draws=5000, plug_in=True)
        for variable in drawn.posterior.data_vars:
            assert np.isfinite(drawn.posterior[variable]).all()

    def test_warns_only_when_variances_are_plugged_in(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exact.gibbs(radon(), rng(), draws=2, warmup=0)


class TestGroups:
    frame = pd.DataFrame({"g": ["a", "b"], "k": [1, 2], "n": [3, 4], "e": [1.0, 0.0]})

    def binomial(self, **changes: Any) -> exact.BetaBinomialPosterior:
        given: Any = {"outcome": "k", "trials": "n", "group": "g", "a": 1, "b": 1}
        return exact.beta_binomial(self.frame, **(given | changes))

    def poisson(self, **changes: Any) -> exact.GammaPoissonPosterior:
        given: Any = {"outcome": "k", "group": "g", "shape": 1, "rate": 1}
        return exact.gamma_poisson(self.frame, **(given | changes))

    @pytest.mark.parametrize("name", ["a", "b"])
    def test_population_of_rates_is_positive(self, name: str) -> None:
        with pytest.raises(sp.SpecError, match=f"{name}=0 must be positive"):
            self.binomial(**{name: 0})

    @pytest.mark.parametrize("name", ["shape", "rate"])
    def test_population_of_counts_is_positive(self, name: str) -> None:
        with pytest.raises(sp.SpecError, match=f"{name}=-1 must be positive"):
            self.poisson(**{name: -1})

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"outcome": "kk"}, "no column 'kk'"),
            ({"exposure": "ee"}, "no column 'ee'"),
            ({"exposure": "g"}, "'g' must be a column of numbers"),
            ({"exposure": "e"}, "must be positive, and in 1 row"),
            ({"outcome": "g", "group": "k"}, "not numeric"),
        ],
    )
    def test_refuses_columns_that_do_not_serve(
        self, changes: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(sp.DataError, match=message):
            self.poisson(**changes)

    def test_refuses_more_successes_than_trials(self) -> None:
        with pytest.raises(sp.DataError, match="at most"):
            self.binomial(outcome="n", trials="k")

    def test_refuses_impossible_predictions(self) -> None:
        with pytest.raises(sp.SpecError, match="trials=-1"):
            self.binomial().predictive(-1)
        with pytest.raises(sp.SpecError, match="exposure=0"):
            self.poisson().predictive(0)
