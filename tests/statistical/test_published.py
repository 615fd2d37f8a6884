"""Fits against published figures, and against mixed models integrated without Stan.

``mixed.MixedModel`` is written from the formulas of lme4's authors, and first finds
lme4's published estimates. Under the priors of the fit it then gives posterior means
with known Monte Carlo errors, which the fit's draws must have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import stanpool as sp
from stanpool import exact
from stanpool.posterior import arviz
from statistical.mixed import Average, MixedModel, indicators
from statistical.monte_carlo import STANDARD_ERRORS, assert_mean

# Of hundreds of groups some mix slowly, and the errors of all must be known well.
FITTING: dict[str, Any] = {"chains": 4, "draws": 1000, "warmup": 500, "seed": 20261121}


def fit(model: sp.Model, **options: Any) -> xr.Dataset:
    return model.fit(**FITTING, progress=False, **options).posterior


def stacked(*variables: xr.DataArray) -> xr.DataArray:
    """Put variables beside each other, shape ``(chain, draw, quantity)``."""
    values = [each.to_numpy().reshape(*each.shape[:2], -1) for each in variables]
    return xr.DataArray(
        np.concatenate(values, axis=2), dims=("chain", "draw", "quantity")
    )


def assert_averages(draws: xr.DataArray, expected: Average) -> None:
    """Compare means within the Monte Carlo errors of both sides."""
    own = arviz.mcse_mean(draws.to_dataset(name="it"))["it"].to_numpy()
    gap = draws.mean(("chain", "draw")).to_numpy() - expected.mean
    error = np.hypot(own, expected.error)
    assert gap.shape == expected.mean.shape
    assert (np.abs(gap) <= STANDARD_ERRORS * error).all(), (gap / error).round(1)


def priors(scale: float, **others: str) -> dict[str, str]:
    """Return the priors of ``exponential`` on all scales, and others."""
    return {name: f"exponential({1 / scale})" for name in ("tau", "sigma")} | others


def exponential(scale: float) -> Callable[[np.ndarray], float]:
    """Return the log density of exponential priors with this mean."""
    return lambda scales: -float(np.sum(scales)) / scale


@pytest.mark.slow
class TestRats:
    def test_posterior_means_are_those_of_bugs_example(self) -> None:
        """Under the priors of BUGS, volume 1: vague normal and inverse gamma ones.

        Means and Monte Carlo errors as Mamba.jl's documentation prints them (rats,
        7500 draws).
        """
        rats = sp.load_dataset("rats").assign(age=lambda data: data["day"] - 22)
        model = sp.Model(
            "weight ~ age + (1 + age || rat)",
            rats,
            parameterization="marginal",
            priors={
                "Intercept": "normal(0, 1000)",
                "beta": "normal(0, 1000)",
                "tau^2": "inv_gamma(0.001, 0.001)",
                "sigma^2": "inv_gamma(0.001, 0.001)",
            },
        )
        posterior = fit(model)
        slope = posterior["beta"].sel(coefficient="age")
        assert_averages(
            stacked(
                posterior["sigma"] ** 2, slope, posterior["Intercept"] - 22 * slope
            ),
            Average(
                np.array([37.0199560, 6.1862265, 106.5745824]),
                np.array([0.214955115, 0.002028034, 0.055839206]),
            ),
        )


class TestCrossed:
    def test_penicillin(self) -> None:
        data = sp.load_dataset("penicillin")
        y, ones = data["diameter"].to_numpy(float), np.ones((len(data), 1))
        Z = [indicators(data["plate"]), indicators(data["sample"])]
        _, estimates = MixedModel(y, ones, Z).restricted([1, 1, 1])
        assert estimates == pytest.approx([0.8467, 1.9316, 0.5499], abs=1e-4)

        model = sp.Model(
            "diameter ~ 1 + (1 | plate) + (1 | sample)",
            data,
            parameterization="marginal",
            priors=priors(2.0, Intercept="normal(20, 10)"),
        )
        posterior = fit(model, adapt_delta=0.95)
        coefficients, scales = MixedModel(y, ones, Z, mean=[20], sd=[10]).posterior(
            exponential(2.0), estimates
        )
        mean = posterior["Intercept"]
        assert_averages(
            stacked(mean, posterior["b_plate"] - mean, posterior["b_sample"]),
            coefficients,
        )
        assert_averages(
            stacked(
                posterior["tau_plate"], posterior["tau_sample"], posterior["sigma"]
            ),
            scales,
        )

    @pytest.mark.compiled  # by C++, in a quarter of the time
    def test_scotssec(self) -> None:
        """The criterion and estimates that mlmRev's vignette MlmSoftRev prints."""
        data = sp.load_dataset("scotssec")
        y = data["attain"].to_numpy(float)
        X = np.column_stack([np.ones(len(y)), data["sex"] == "M"]).astype(float)
        Z = [indicators(data["primary"]), indicators(data["second"])]
        criterion, estimates = MixedModel(y, X, Z).restricted([1, 1, 1])
        assert criterion == pytest.approx(17127.9, abs=0.05)
        assert estimates == pytest.approx([1.053, 0.608, 2.838], abs=5e-4)

        model = sp.Model(
            "attain ~ sex + (1 | primary) + (1 | second)",
            data,
            parameterization="marginal",
            center_predictors=False,
            priors=priors(3.0, Intercept="normal(5, 5)", beta="normal(0, 3)"),
        )
        posterior = fit(model, adapt_delta=0.95)
        reference = MixedModel(y, X, Z, mean=[5, 0], sd=[5, 3])
        coefficients, scales = reference.posterior(exponential(3.0), estimates)
        mean = posterior["Intercept"]
        assert_averages(
            stacked(
                mean,
                posterior["beta"],
                posterior["b_primary"] - mean,
                posterior["b_second"],
            ),
            coefficients,
        )
        assert_averages(
            stacked(
                posterior["tau_primary"], posterior["tau_second"], posterior["sigma"]
            ),
            scales,
        )


@pytest.mark.slow
@pytest.mark.compiled
def test_classroom_is_nested_in_school() -> None:
    """Classrooms are numbered anew in each school, as a nesting must tell apart.

    The inner level is written first here: it is integrated out, by the program that
    crossed factors have.
    """
    data = sp.load_dataset("classroom")
    y, ones = data["mathgain"].to_numpy(float), np.ones((len(data), 1))
    Z = [indicators(data["schoolid"]), indicators(data["classid"])]
    criterion, estimates = MixedModel(y, ones, Z).restricted([10, 10, 30])
    assert criterion == pytest.approx(11768.76, abs=0.01)
    assert estimates**2 == pytest.approx([77.50, 99.22, 1028.23], abs=0.02)

    of_school = data.groupby("schoolid")["classid"]
    data["room"] = of_school.transform(lambda ids: pd.factorize(ids, sort=True)[0])
    model = sp.Model(
        "mathgain ~ 1 + (1 | schoolid:room) + (1 | schoolid)",
        data,
        parameterization="marginal",
        priors=priors(20.0, Intercept="normal(50, 50)"),
    )
    nested = sp.Model("mathgain ~ 1 + (1 | schoolid/room)", data).design.factors
    for one, other in zip(model.design.factors, reversed(nested), strict=True):
        assert (one.factor, one.labels) == (other.factor, other.labels)
        np.testing.assert_array_equal(one.index, other.index)
    posterior = fit(model, adapt_delta=0.95)
    reference = MixedModel(y, ones, Z, mean=[50], sd=[50])
    coefficients, scales = reference.posterior(exponential(20.0), estimates)
    rooms = data.drop_duplicates("classid").sort_values("classid")
    labels = rooms["schoolid"].astype(str) + ":" + rooms["room"].astype(str)
    mean = posterior["Intercept"]
    assert_averages(
        stacked(
            mean,
            posterior["b_schoolid"],
            posterior["b_schoolid:room"].sel({"schoolid:room": labels.to_numpy()})
            - mean,
        ),
        coefficients,
    )
    assert_averages(
        stacked(
            posterior["tau_schoolid"],
            posterior["tau_schoolid:room"],
            posterior["sigma"],
        ),
        scales,
    )


def test_radon_with_the_uranium_of_counties() -> None:
    """Gelman and Hill (2007), section 12.6: lmer(y ~ x + u.full + (1 | county)).

    They print restricted maximum likelihood estimates to two digits, with standard
    errors; the posterior's means must lie within rounding and a tenth of a standard
    error of them, but for ``tau``, whose posterior mean is above its mode.
    """
    data = sp.load_dataset("radon")
    y = data["log_radon"].to_numpy()
    X = np.column_stack([np.ones(len(y)), data["floor"], data["log_uranium"]])
    Z = [indicators(data["county"])]
    _, estimates = MixedModel(y, X, Z).restricted([0.2, 0.8])
    assert estimates == pytest.approx([0.16, 0.76], abs=0.005)

    model = sp.Model(
        "log_radon ~ floor + log_uranium + (1 | county)",
        data,
        parameterization="marginal",
        group_predictors=["log_uranium"],
        center_predictors=False,
        priors=priors(1.0, Intercept="normal(0, 10)", beta="normal(0, 10)"),
    )
    posterior = fit(model)
    reference = MixedModel(y, X, Z, mean=[0, 0, 0], sd=[10, 10, 10])
    coefficients, scales = reference.posterior(exponential(1.0), estimates)
    mean, beta = posterior["Intercept"], posterior["beta"]
    slope = beta.sel(coefficient="log_uranium")
    uranium = data.groupby("county")["log_uranium"].first().to_xarray()
    own = posterior["b_county"].isel(county_coefficient=0)
    assert_averages(stacked(mean, beta, own - mean - slope * uranium), coefficients)
    assert_averages(stacked(posterior["tau_county"], posterior["sigma"]), scales)

    published = {"Intercept": (1.47, 0.04), "floor": (-0.67, 0.07)}
    published["log_uranium"] = (0.72, 0.09)
    for name, (estimate, error) in published.items():
        draws = mean if name == "Intercept" else beta.sel(coefficient=name)
        assert abs(float(draws.mean()) - estimate) < 0.005 + 0.1 * error, name
        assert float(draws.std()) == pytest.approx(error, abs=0.006), name
    tau = posterior["tau_county"]
    assert abs(float(tau.mean()) - 0.16) < 0.5 * float(tau.std())
    assert float(posterior["sigma"].mean()) == pytest.approx(0.76, abs=0.005)


def test_uranium_moves_the_intercepts_and_slopes_of_counties() -> None:
    """Gelman and Hill (2007), section 13.1, but without the correlation."""
    data = sp.load_dataset("radon")
    y, floor = data["log_radon"].to_numpy(), data["floor"].to_numpy(float)
    uranium = data["log_uranium"].to_numpy()
    X = np.column_stack([np.ones(len(y)), floor, uranium, floor * uranium])
    of_county = indicators(data["county"])
    model = sp.Model(
        "log_radon ~ floor * log_uranium + (1 + floor || county)",
        data,
        parameterization="marginal",
        center_predictors=False,
        priors=priors(1.0, Intercept="normal(0, 10)", beta="normal(0, 10)"),
    )
    posterior = fit(model, adapt_delta=0.95)
    reference = MixedModel(
        y, X, [of_county, floor[:, None] * of_county], mean=[0] * 4, sd=[10] * 4
    )
    coefficients, scales = reference.posterior(exponential(1.0), [0.2, 0.3, 0.8])
    mean, beta = posterior["Intercept"], posterior["beta"]
    u = data.groupby("county")["log_uranium"].first().to_xarray()
    intercepts, slopes = (posterior["b_county"][..., place] for place in (0, 1))
    b = {str(label): beta.sel(coefficient=label) for label in beta["coefficient"].data}
    of_intercepts = intercepts - mean - b["log_uranium"] * u
    of_slopes = slopes - b["floor"] - b["floor:log_uranium"] * u
    assert_averages(stacked(mean, beta, of_intercepts, of_slopes), coefficients)
    assert_averages(stacked(posterior["tau_county"], posterior["sigma"]), scales)


class TestMembership:
    """Pupils who changed school are members of two, by the time spent in each."""

    def test_simulated_schools_are_recovered(self) -> None:
        data, truth = pupils()
        model = sp.Model(
            "y ~ x + (1 | mm(first, second, weights=(before, after)))",
            data,
            center_predictors=False,
            priors=priors(2.0, Intercept="normal(0, 5)", beta="normal(0, 2)"),
        )
        posterior = fit(model, adapt_delta=0.95)
        before, after = (data[name].to_numpy()[:, None] for name in ("before", "after"))
        member = before * indicators(data["first"])
        member = member + after * indicators(data["second"])
        X = np.column_stack([np.ones(len(data)), data["x"]])
        reference = MixedModel(
            data["y"].to_numpy(), X, [member], mean=[0, 0], sd=[5, 2]
        )
        coefficients, scales = reference.posterior(exponential(2.0), [1, 1])
        own = posterior["b_first+second"]
        mean = posterior["Intercept"]
        assert_averages(stacked(mean, posterior["beta"], own - mean), coefficients)
        tau, sigma = posterior["tau_first+second"], posterior["sigma"]
        assert_averages(stacked(tau, sigma), scales)

        recovered = {
            "Intercept": mean,
            "x": posterior["beta"][..., 0],
            "tau": tau,
            "sigma": sigma,
        }
        for name, draws in recovered.items():
            z = (float(draws.mean()) - truth[name]) / float(draws.std())
            assert abs(z) < 3.5, (name, z)
        deviations = (own - mean).mean(("chain", "draw")).to_numpy().ravel()
        assert np.corrcoef(deviations, truth["schools"])[0, 1] > 0.9


def pupils() -> tuple[pd.DataFrame, dict[str, Any]]:
    """Simulate 600 pupils of 30 schools; a third of them changed school."""
    rng = np.random.default_rng(20261121)
    rows, schools = 600, 30
    first = rng.integers(schools, size=rows)
    second = np.where(rng.random(rows) < 1 / 3, rng.integers(schools, size=rows), first)
    after = np.where(first == second, 0.0, rng.uniform(0.2, 0.8, rows))
    x = rng.normal(size=rows)
    truth: dict[str, Any] = {"Intercept": 0.5, "x": -1.0, "tau": 0.9, "sigma": 1.2}
    own = truth["tau"] * rng.normal(size=schools)
    mean = truth["Intercept"] + truth["x"] * x
    mean = mean + (1 - after) * own[first] + after * own[second]
    data = pd.DataFrame(
        {
            "y": mean + truth["sigma"] * rng.normal(size=rows),
            "x": x,
            "first": first,
            "second": second,
            "before": 1 - after,
            "after": after,
        }
    )
    return data, truth | {"schools": own}


@pytest.mark.parametrize("groups", [8, 3])
def test_priors_on_the_scale_of_few_groups_have_the_posteriors_of_quadrature(
    groups: int,
) -> None:
    """The example of Gelman (2006): all of the eight schools, and three of them."""
    model = sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)",
        sp.load_dataset("eight_schools").iloc[:groups],
        parameterization="marginal",
    )
    found = sp.compare_scale_priors(
        model, warmup=500, seed=20261121, adapt_delta=0.99, progress=False
    )
    for name, each in found.fits.items():
        wanted = exact.known_sigma(each.model)
        posterior, row = each.posterior, found.table.loc[name]
        tau = posterior["tau_school"][..., 0]
        assert_mean(posterior["Intercept"], wanted.mu.mean())
        assert_mean(np.log(tau), wanted.tau.weights @ np.log(wanted.tau.nodes))
        for mass, quantile in ((0.05, row["q5"]), (0.95, row["q95"])):
            assert_mean((tau < quantile).astype(float), wanted.tau.cdf(quantile))
            assert wanted.tau.cdf(quantile) == pytest.approx(mass, abs=0.02)
        deviations = posterior["b_school"][..., 0] - posterior["Intercept"]
        mean, spread = deviations_of(wanted)
        for j in range(groups):
            assert_mean(deviations[..., j], mean[j])
        assert_mean(deviations.var("school", ddof=1), spread)
        pooled = 1 - mean.var(ddof=1) / spread
        assert row["pooling"] == pytest.approx(pooled, abs=0.05)
    pooling = found.table["pooling"]
    assert pooling["uniform"] < pooling["half_cauchy"] < pooling["exponential"]
    # Gelman (2006): a uniform prior serves eight groups, and does not serve three.
    assert found.conclusion.startswith(f"With {groups} groups (school)")
    assert found.conclusion.endswith("undoes the pooling.") == (groups == 3)


def deviations_of(exactly: exact.KnownSigmaPosterior) -> tuple[np.ndarray, float]:
    """Return the means of what groups deviate, and of their variance over groups.

    Given ``tau`` and ``mu`` a group deviates by ``(1 - B) (y - mu)`` in the mean, with
    variance ``B tau^2`` (BDA3, 5.17), and ``mu`` has its mean and variance of 5.20.
    """
    tau = exactly.tau.nodes[:, None]
    total = exactly.se**2 + tau**2
    B = exactly.se**2 / total
    mean, sd = exactly.mu.means[:, None], exactly.mu.sds[:, None]
    deviation = (1 - B) * (exactly.y - mean)
    of_mu = sd**2 * (1 - B).var(axis=1, ddof=1, keepdims=True)
    spread = deviation.var(axis=1, ddof=1) + of_mu[:, 0] + (B * tau**2).mean(axis=1)
    weights = exactly.tau.weights
    return weights @ deviation, float(weights @ spread)


@pytest.mark.slow
def test_the_advice_for_grouseticks_leads_to_a_fit_that_is_ok() -> None:
    """Broods within locations, and a level per row: little is known of either scale.

    The default has a few divergences, and what is advised ends in these settings.
    """
    data = sp.load_dataset("grouseticks")
    factors = ["YEAR", "BROOD", "LOCATION", "INDEX"]
    data[factors] = data[factors].astype(str)
    formula = "TICKS ~ YEAR + HEIGHT + (1 | BROOD) + (1 | LOCATION) + (1 | INDEX)"
    model = sp.Model(formula, data, family="poisson")
    found = model.fit(
        engine="stanli",
        adapt_delta=0.99,
        draws=2000,
        warmup=2000,
        seed=1,
        progress=False,
    )
    assert found.diagnose().ok
    # glmer of lme4 1.1-31 (R 4.2.2) with bobyqa. The likelihoods are skewed, so that
    # their maxima are near the posterior means, and not at them.
    for name, estimate in (
        ("tau_INDEX", 0.541),
        ("tau_BROOD", 0.751),
        ("tau_LOCATION", 0.528),
        ("beta", -0.0230),
    ):
        draws = found.posterior[name].to_numpy().reshape(8000, -1)[:, -1]
        assert abs(draws.mean() - estimate) < 0.8 * draws.std()


def test_a_missed_visit_is_predicted_by_the_normal_distribution_given_the_others() -> (
    None
):
    """The mixed model for repeated measures, with any covariance between the visits.

    ``nlme::gls`` 3.1-162 with ``corSymm(form = ~v | rat)`` and ``varIdent(form = ~1 |
    v)``, and ``glmmTMB`` 1.1.5 with ``us(0 + visit | rat)`` and ``dispformula = ~0``,
    have the slope 6.311 with the standard error 0.097 by restricted maximum likelihood.
    """
    rats = sp.load_dataset("rats")
    rats["visit"] = rats["day"].map("day {:02d}".format)
    is_missed = rats.index % 11 == 0
    rest, missed = rats[~is_missed], rats[is_missed]
    model = sp.Model(
        "weight ~ day + (0 + visit | rat)",
        rest.sample(frac=1.0, random_state=1),
        priors={"sigma": "constant(0.5)"},
    )
    assert model.parameterization == "marginal"
    fit = model.fit(**FITTING | {"draws": 400})
    slope = fit.posterior["beta"].to_numpy().ravel()
    assert abs(slope.mean() - 6.311) < 2 * slope.std() / 3
    found = fit.epred(missed).to_numpy().reshape(-1, len(missed))
    draws = fit.posterior.stack(draw_=("chain", "draw"))
    intercept = draws["Intercept"].to_numpy()
    tau = draws["tau_rat"].transpose("draw_", ...).to_numpy()
    omega = draws["Omega_rat"].transpose("draw_", ...).to_numpy()
    covariance = tau[:, :, None] * omega * tau[:, None, :]
    days = np.array([8, 15, 22, 29, 36])
    for place, (_, row) in enumerate(missed.iterrows()):
        own = rest[rest["rat"] == row["rat"]]
        seen = np.searchsorted(days, own["day"])
        at = int(np.searchsorted(days, row["day"]))
        among = covariance[:, seen][:, :, seen] + 0.25 * np.eye(len(seen))
        cross = covariance[:, seen, at]
        mean = intercept[:, None] + slope[:, None] * days
        left = own["weight"].to_numpy() - mean[:, seen]
        weights = np.linalg.solve(among, cross[:, :, None])[:, :, 0]
        expected = mean[:, at] + (weights * left).sum(axis=1)
        gap = found[:, place] - expected  # its mean is 0: groups are drawn given these
        assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(gap))
        variance = covariance[:, at, at] - (weights * cross).sum(axis=1)
        assert gap.var() == pytest.approx(variance.mean(), rel=0.15)
