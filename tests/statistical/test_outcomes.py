"""Posteriors of the families and outcome parts: published figures, known truths."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import special, stats
from scipy.special import expit, logsumexp

import stanpool as sp
from simulated_fits import fit_of_prior
from stanpool.posterior import arviz
from statistical.importance import posterior_means
from statistical.monte_carlo import FITTING, STANDARD_ERRORS

# Of 30 quantities one lies beyond 3.5 posterior standard deviations once in 70 runs.
# The Monte Carlo error of a thousand draws is small beside that.
FAR = 3.5
RECOVERING = FITTING | {"chains": 2}


def fit(model: sp.Model, settings: dict[str, Any] = FITTING) -> xr.Dataset:
    return model.fit(**settings, progress=False).posterior


def assert_recovered(draws: xr.DataArray, truth: float) -> None:
    """A truth is not far out in its posterior, and the posterior says something."""
    z = (float(draws.mean()) - truth) / float(draws.std())
    assert abs(z) < FAR, (draws.name, z)


@pytest.mark.slow
class TestSeeds:
    """Crowder's germinations with the results of JAGS.

    From the classic BUGS examples of JAGS, volume 1, seeds, benchmark 4: normal priors
    of precision 1e-6 on the coefficients, a uniform one on the scale. Means and their
    Monte Carlo errors.
    """

    JAGS = (
        ("Intercept", None, -0.564078, 0.006519),
        ("beta", "x1", 0.092086, 0.009501),
        ("beta", "x2", 1.385591, 0.008966),
        ("beta", "x1:x2", -0.872654, 0.013571),
        ("tau_plate", "Intercept", 0.351140, 0.003651),
    )

    def test_posterior_means_are_those_of_jags(self) -> None:
        model = sp.Model(
            "germinated | trials(total) ~ x1 * x2 + (1 | plate)",
            sp.load_dataset("seeds"),
            family="binomial",
            center_predictors=False,
            # As good as uniform on the scale: its posterior ends below 3.
            priors={
                "Intercept": "normal(0, 1000)",
                "beta": "normal(0, 1000)",
                "tau": "normal(0, 1000)",
            },
        )
        posterior = fit(model)
        errors = arviz.mcse_mean(posterior)
        for name, label, published, error in self.JAGS:
            found, own = posterior[name], errors[name]
            if label is not None:
                found, own = (each.sel({each.dims[-1]: label}) for each in (found, own))
            gap = abs(float(found.mean()) - published)
            assert gap <= STANDARD_ERRORS * np.hypot(float(own), error), (name, label)


def test_cbpp_has_the_posterior_of_quadrature() -> None:
    """Herds integrated out by Gauss and Hermite, their population on a grid."""
    data = sp.load_dataset("cbpp").assign(period=lambda frame: frame["period"] - 2.5)
    priors = {"Intercept": (-2.0, 1.5), "beta": (0.0, 1.0)}
    model = sp.Model(
        "incidence | trials(size) ~ period + (1 | herd)",
        data,
        family="binomial",
        center_predictors=False,
        priors={
            "Intercept": "normal(-2, 1.5)",
            "beta": "normal(0, 1)",
            "tau": "exponential(1)",
        },
    )
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    herd = pd.get_dummies(data["herd"]).to_numpy(float)
    y, n, x = (data[name].to_numpy() for name in ("incidence", "size", "period"))

    def log_density(at: np.ndarray) -> np.ndarray:
        intercept, slope, log_tau = at.T[:, :, None, None]
        eta = intercept + slope * x[:, None] + np.exp(log_tau) * nodes
        rows = y[:, None] * eta - n[:, None] * np.logaddexp(0, eta)  # of a binomial
        herds = herd.T @ rows
        total = logsumexp(herds + np.log(weights), axis=2).sum(axis=1)
        total += stats.norm.logpdf(at[:, 0], *priors["Intercept"])
        total += stats.norm.logpdf(at[:, 1], *priors["beta"])
        return total + stats.expon.logpdf(np.exp(at[:, 2])) + at[:, 2]

    axes = (
        np.linspace(-3.5, -0.5, 21),
        np.linspace(-1.3, 0.2, 21),
        np.linspace(-6.0, 1.2, 37),
    )
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    density = np.concatenate([log_density(part) for part in np.array_split(grid, 40)])
    mass = np.exp(density - logsumexp(density))
    shape = tuple(len(axis) for axis in axes)
    edges = [np.moveaxis(mass.reshape(shape), k, 0)[[0, -1]].sum() for k in range(3)]
    assert max(edges) < 2e-4
    expected = mass @ grid

    posterior = fit(model)
    found = xr.Dataset(
        {
            "Intercept": posterior["Intercept"],
            "beta": posterior["beta"].isel(coefficient=0, drop=True),
            "log_tau": np.log(
                posterior["tau_herd"].isel(herd_coefficient=0, drop=True)
            ),
        }
    )
    own = arviz.mcse_mean(found)
    for name, mean in zip(found, expected, strict=True):
        gap = abs(float(found[name].mean()) - mean)
        assert gap <= STANDARD_ERRORS * float(own[name]), name


class Case(NamedTuple):
    """A model of one predictor, and its rows in SciPy's words.

    ``rows`` has the outcome's log densities given the linear predictor and the
    parameter ``own``, if there is one; the posterior is near ``start``: intercept,
    coefficient of ``x``, logarithm of ``own``.
    """

    formula: str
    family: str
    data: Callable[[], pd.DataFrame]
    own: str | None
    rows: Callable[..., Any]
    start: tuple[float, ...]


DATA = Path(__file__).parents[1] / "data"


def _kidney() -> pd.DataFrame:
    found = sp.load_dataset("kidney")
    return found.assign(x=found["sex"] - 1.5)


def _kidney_rows(d: pd.DataFrame, eta: np.ndarray, shape: Any = 1.0) -> Any:
    time = stats.weibull_min(shape, scale=np.exp(eta) / special.gamma(1 + 1 / shape))
    return np.where(d["status"] == 1, time.logpdf(d["time"]), time.logsf(d["time"]))


def _cbpp() -> pd.DataFrame:
    return sp.load_dataset("cbpp").assign(x=lambda found: found["period"] - 2.5)


def _cbpp_rows(d: pd.DataFrame, eta: np.ndarray, phi: Any) -> Any:
    shapes = phi * expit(eta), phi * expit(-eta)
    return stats.betabinom(d["size"].to_numpy(), *shapes).logpmf(d["incidence"])


def _absent() -> pd.DataFrame:
    found = pd.read_csv(DATA / "quine.csv")
    return found[found["Days"] > 0].assign(x=(found["Eth"] == "N") - 0.5)


def _absent_rows(d: pd.DataFrame, eta: np.ndarray, phi: Any = None) -> Any:
    mean = np.exp(eta)
    days = stats.poisson(mean)
    if phi is not None:
        days = stats.nbinom(phi, phi / (phi + mean))
    return days.logpmf(d["Days"]) - days.logsf(0)


def _sleep() -> pd.DataFrame:
    return sp.load_dataset("sleepstudy").assign(x=lambda found: found["Days"] - 4.5)


def _sleep_rows(d: pd.DataFrame, eta: np.ndarray, shape: Any) -> Any:
    return stats.invgauss(np.exp(eta) / shape, scale=shape).logpdf(d["Reaction"])


_INFECTED, _ABSENT = "time | cens(1 - status) ~ x", "Days | trunc(1) ~ x"
_INCIDENCE, _REACTION = "incidence | trials(size) ~ x", "Reaction ~ x"
CASES = (
    Case(_INFECTED, "weibull", _kidney, "shape", _kidney_rows, (5.0, 1.0, 0.1)),
    Case(_INFECTED, "exponential", _kidney, None, _kidney_rows, (5.0, 1.0)),
    Case(_INCIDENCE, "beta_binomial", _cbpp, "phi", _cbpp_rows, (-2.0, -0.5, 2.0)),
    Case(_ABSENT, "poisson", _absent, None, _absent_rows, (2.7, -0.5)),
    Case(_ABSENT, "negative_binomial", _absent, "phi", _absent_rows, (2.7, -0.5, 0.3)),
    Case(_REACTION, "inverse_gaussian", _sleep, "shape", _sleep_rows, (5.7, 0.0, 9.0)),
)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.family)
def test_posteriors_are_those_of_importance_sampling(case: Case) -> None:
    data, (middle, _, *logs) = case.data(), case.start
    priors = {"Intercept": f"normal({middle}, 1)", "beta": "normal(0, 1)"}
    if case.own:
        priors[case.own] = f"lognormal({logs[0]}, 1)"

    def log_density(at: np.ndarray) -> np.ndarray:
        eta = at[:, :1] + at[:, 1:2] * data["x"].to_numpy()
        rows = case.rows(data, eta, *np.exp(at[:, 2:].T[..., None]))
        total = rows.sum(axis=1) + stats.norm.logpdf(at[:, 1])
        total += stats.norm.logpdf(at[:, 0], middle, 1)
        return total + stats.norm.logpdf(at[:, 2:], logs, 1).sum(axis=1)

    expected, error = posterior_means(log_density, case.start)
    model = sp.Model(
        case.formula,
        data,
        family=case.family,
        pooling="complete",
        center_predictors=False,
        priors=priors,
    )
    posterior = fit(model)
    quantities = [
        posterior["Intercept"],
        posterior["beta"].isel(coefficient=0, drop=True),
        *([np.log(posterior[case.own])] if case.own else []),
    ]
    for draws, mean, own in zip(quantities, expected, error, strict=True):
        mcse = float(arviz.mcse_mean(draws.to_dataset(name="it"))["it"])
        gap = abs(float(draws.mean()) - mean)
        assert gap <= STANDARD_ERRORS * np.hypot(mcse, own), (draws.name, gap, mean)


GROUPED = {
    "weibull": "id",
    "beta_binomial": "herd",
    "negative_binomial": "Lrn",
    "inverse_gaussian": "Subject",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "case", [each for each in CASES if each.family in GROUPED], ids=lambda x: x.family
)
def test_all_that_is_asked_of_a_fit_is_answered(case: Case) -> None:
    data, factor = case.data(), GROUPED[case.family]
    if case.family == "negative_binomial":
        data = data.assign(Lrn=data["Age"] + data["Lrn"] + data["Sex"])
    model = sp.Model(f"{case.formula} + (1 | {factor})", data, family=case.family)
    fitted = model.fit(**FITTING, progress=False)
    assert fitted.summary()["r_hat"].max() < 1.03
    assert case.own in fitted.summary().index
    eta = fitted.linpred().stack(s=("chain", "draw")).transpose("s", "row").to_numpy()
    own = fitted.posterior[case.own].stack(s=("chain", "draw")).to_numpy()[:, None]
    wanted = case.rows(data, eta, own)
    found = fitted.log_lik().stack(s=("chain", "draw")).transpose("s", "row")
    np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-7)
    by_row, by_group = (
        fitted.loo(progress=False),
        fitted.loo(unit="group", progress=False),
    )
    assert by_row.elpd > by_group.elpd - 3 * by_group.se
    assert fitted.icc().loc[factor, "mean"] > 0
    drawn = fitted.predict(seed=2)
    if model.spec.trunc is not None:
        assert drawn.min() >= 1
        assert drawn.mean() > fitted.epred().mean()  # that of all counts, 0 among them
    elif model.spec.cens is None:
        gap = abs(float(drawn.mean() - fitted.epred().mean()))
        assert gap < 5 * float(drawn.std()) / np.sqrt(drawn.size)
    prior = model.prior_predictive(500, seed=3)
    assert (prior["prior"][case.own] > 0).all()
    assert fitted.prior_sensitivity().loc[case.own, "likelihood"] > 0


@pytest.mark.slow
def test_verbagg_has_the_estimates_of_lme4() -> None:
    """Laplace's maximum likelihood (data/verbagg/SOURCE.md) against posterior means.

    The posteriors are wide of the maxima by a share of their standard deviations, and
    a standard deviation of 24 items is skewed: 1.340 and 0.495 are its maxima.
    """
    data = sp.load_dataset("verbagg").assign(yes=lambda d: (d["r2"] == "Y").astype(int))
    model = sp.Model(
        "yes ~ Anger + Gender + btype + situ + (1 | id) + (1 | item)",
        data,
        family="bernoulli",
    )
    posterior = fit(model)
    for factor, maximum in (("id", 1.340), ("item", 0.495)):
        tau = posterior[f"tau_{factor}"]
        assert abs(float(tau.mean()) - maximum) < float(tau.std())


class TestRecovery:
    def test_censored_outcomes(self) -> None:
        """Rounded, cut off on both sides: the truth is found, which ignoring hides."""
        rng = np.random.default_rng(11)
        rows, groups = 600, 20
        group, x = rng.integers(groups, size=rows), rng.normal(size=rows)
        truth = {"Intercept": 1.0, "x": 2.0, "tau": 0.8, "sigma": 1.5}
        latent = (
            truth["Intercept"]
            + truth["tau"] * rng.normal(size=groups)[group]
            + truth["x"] * x
            + truth["sigma"] * rng.normal(size=rows)
        )
        kind = np.full(rows, "none", dtype=object)
        y, upper = latent.copy(), np.full(rows, np.nan)
        kind[latent < -0.5], y[latent < -0.5] = "left", -0.5
        kind[latent > 2.5], y[latent > 2.5] = "right", 2.5
        rounded = (kind == "none") & (rng.random(rows) < 0.5)
        kind[rounded] = "interval"
        y[rounded], upper[rounded] = np.floor(y[rounded]), np.floor(y[rounded]) + 1
        data = pd.DataFrame({"y": y, "upper": upper, "kind": kind, "x": x, "g": group})
        model = sp.Model("y | cens(kind, upper) ~ x + (1 | g)", data)
        posterior = fit(model, RECOVERING)
        found = {
            "Intercept": posterior["Intercept"],
            "x": posterior["beta"].sel(coefficient="x"),
            "tau": posterior["tau_g"].isel(g_coefficient=0),
            "sigma": posterior["sigma"],
        }
        for name, draws in found.items():
            assert_recovered(draws, truth[name])
        assert float(found["x"].std()) < 0.15
        naive = np.polyfit(x, y, 1)[0]
        assert abs(naive - truth["x"]) > 5 * float(found["x"].std())

    @pytest.mark.slow
    def test_truncated_outcomes(self) -> None:
        rng = np.random.default_rng(12)
        x = rng.normal(size=800)
        y = np.exp(0.5 + 0.7 * x + 0.6 * rng.normal(size=800))
        seen = (y > 1) & (y < 6)
        data = pd.DataFrame({"y": y[seen], "x": x[seen]})
        model = sp.Model(
            "y | trunc(1, 6) ~ x", data, family="lognormal", pooling="complete"
        )
        posterior = fit(model, RECOVERING)
        assert_recovered(posterior["Intercept"], 0.5)
        assert_recovered(posterior["beta"].sel(coefficient="x"), 0.7)
        assert_recovered(posterior["sigma"], 0.6)

    def test_ordered_categories(self) -> None:
        rng = np.random.default_rng(13)
        rows, groups, cutpoints = 400, 25, np.array([-1.0, 0.5, 2.0])
        group, x = rng.integers(groups, size=rows), rng.normal(3.0, 1.0, size=rows)
        b = 0.9 * rng.normal(size=groups)
        latent = 0.8 * (x - 3.0) + b[group] + rng.logistic(size=rows)
        names = ["bad", "fair", "good", "best"]
        grade = pd.Categorical.from_codes(
            np.searchsorted(cutpoints, latent), names, ordered=True
        )
        data = pd.DataFrame({"grade": grade, "x": x, "g": group})
        model = sp.Model("grade ~ x + (1 | g)", data, family="ordinal")
        posterior = fit(model, RECOVERING)
        assert list(posterior["between"].to_numpy()) == [
            "bad|fair",
            "fair|good",
            "good|best",
        ]
        # at x = 0, the latent outcome is 2.4 lower
        for label, cutpoint in zip(posterior["between"], cutpoints + 2.4, strict=True):
            assert_recovered(posterior["cutpoint"].sel(between=label), cutpoint)
        assert_recovered(posterior["beta"].sel(coefficient="x"), 0.8)
        assert_recovered(posterior["tau_g"].isel(g_coefficient=0), 0.9)
        assert "Intercept" not in posterior
        means = posterior["b_g"].mean(("chain", "draw")).isel(g_coefficient=0)
        assert np.corrcoef(means, b)[0, 1] > 0.8

    def test_categories(self) -> None:
        rng = np.random.default_rng(14)
        rows, groups = 600, 25
        group, x = rng.integers(groups, size=rows), rng.normal(1.0, 1.0, size=rows)
        scale = np.array([[0.8, 0.0], [0.5 * 0.6, 0.5 * 0.8]])  # correlation 0.6
        b = rng.normal(size=(groups, 2)) @ scale.T
        eta = np.array([0.3, -0.5]) + np.outer(x, [0.9, -0.6]) + b[group]
        p = np.exp(np.column_stack([np.zeros(rows), eta]))
        p /= p.sum(axis=1, keepdims=True)
        chosen = (rng.random((rows, 1)) > p.cumsum(axis=1)[:, :-1]).sum(axis=1)
        colours = np.array(["blue", "green", "red"])[chosen]
        data = pd.DataFrame({"colour": colours, "x": x, "g": group})
        model = sp.Model("colour ~ x + (1 | g)", data, family="categorical")
        posterior = fit(model, RECOVERING)
        assert posterior["beta"].dims == ("chain", "draw", "category", "coefficient")
        at = {"coefficient": "x"}
        for category, intercept, slope, tau in (
            ("green", 0.3, 0.9, 0.8),
            ("red", -0.5, -0.6, 0.5),
        ):
            here = posterior.sel(category=category)
            assert_recovered(here["Intercept"], intercept)
            assert_recovered(here["beta"].sel(at), slope)
            label = f"{category}, Intercept"
            assert_recovered(posterior["tau_g"].sel(g_coefficient=label), tau)
        rho = posterior["Omega_g"].isel(g_coefficient=0, g_coefficient_2=1)
        assert_recovered(rho, 0.6)

    def test_latent_factors(self) -> None:
        rng = np.random.default_rng(16)
        users, items = 40, 15
        scores = rng.normal(size=(users, 2))
        loadings = 1.2 * rng.normal(size=(items, 2))
        pairs = np.argwhere(rng.random((users, items)) < 0.7)
        user, item = pairs.T
        b = rng.normal(scale=0.5, size=users)
        expected = 1.0 + b[user] + (scores[user] * loadings[item]).sum(axis=1)
        data = pd.DataFrame({"y": expected + rng.normal(scale=0.7, size=len(user))})
        data = data.assign(user=user, item=item)
        model = sp.Model(
            "y ~ 1 + (1 | user) + factors(user, item, rank=2)",
            data,
            parameterization="noncentered",
        )
        fitted = model.fit(**RECOVERING, progress=False)
        assert fitted.sample_stats["diverging"].sum() == 0
        assert_recovered(fitted.posterior["sigma"], 0.7)
        # Expectations know no rotation: each within its posterior, on average.
        eta = fitted.linpred(draws=1000)
        gap = (eta.mean(("chain", "draw")) - expected) / eta.std(("chain", "draw"))
        assert 0.7 < float((gap**2).mean()) < 1.4
        assert np.corrcoef(eta.mean(("chain", "draw")), expected)[0, 1] > 0.95

    @pytest.mark.slow
    def test_latent_factors_of_three_columns(self) -> None:
        rng = np.random.default_rng(17)
        sizes, scale = (30, 12, 8), np.array([1.0, 0.6])
        scores = [rng.normal(size=(size, 2)) for size in sizes]
        index = np.argwhere(rng.random(sizes) < 0.3).T
        parts = [own[i] for own, i in zip(scores, index, strict=True)]
        product = np.prod(parts, axis=0)
        expected = 1.0 + product @ scale
        data = pd.DataFrame(dict(zip(["user", "item", "day"], index, strict=True)))
        b = rng.normal(scale=0.5, size=30)
        expected = expected + b[index[0]]
        data = data.assign(y=expected + rng.normal(scale=0.5, size=len(data)))
        model = sp.Model("y ~ 1 + (1 | user) + factors(user, item, day, rank=2)", data)
        fitted = model.fit(**RECOVERING, progress=False)
        assert_recovered(fitted.posterior["sigma"], 0.5)
        for r in (0, 1):
            own = np.sort(fitted.posterior["factor_scale"].to_numpy(), axis=-1)[..., r]
            assert np.quantile(own, 0.005) < np.sort(scale)[r] < np.quantile(own, 0.995)
        eta = fitted.linpred(draws=1000)
        gap = (eta.mean(("chain", "draw")) - expected) / eta.std(("chain", "draw"))
        assert 0.7 < float((gap**2).mean()) < 1.4
        # Factors of all chains are in one order, with one choice of signs.
        summary = fitted.summary()
        of_days = summary[summary.index.str.startswith("scores_day")]
        assert (of_days["r_hat"] < 1.05).all()

    @pytest.mark.slow
    @pytest.mark.parametrize("family", ["gamma", "beta", "negative_binomial"])
    def test_precisions(self, family: str) -> None:
        rng = np.random.default_rng(15)
        x = rng.normal(size=700)
        eta = 0.4 + 0.5 * x
        y = {
            "gamma": lambda: rng.gamma(6.0, np.exp(eta) / 6.0),
            "beta": lambda: rng.beta(6.0 * expit(eta), 6.0 * expit(-eta)),
            "negative_binomial": lambda: rng.poisson(rng.gamma(6.0, np.exp(eta) / 6.0)),
        }[family]()
        data = pd.DataFrame({"y": y, "x": x})
        model = sp.Model("y ~ x", data, family=family, pooling="complete")
        posterior = fit(model, RECOVERING)
        assert_recovered(posterior["Intercept"], 0.4)
        assert_recovered(posterior["beta"].sel(coefficient="x"), 0.5)
        name = "shape" if family == "gamma" else "phi"
        assert_recovered(posterior[name], 6.0)

    @pytest.mark.slow
    def test_heavy_tails(self) -> None:
        rng = np.random.default_rng(16)
        x = rng.normal(size=900)
        y = 1.0 - 0.5 * x + 0.7 * rng.standard_t(4.0, size=900)
        data = pd.DataFrame({"y": y, "x": x})
        model = sp.Model("y ~ x", data, family="student_t", pooling="complete")
        posterior = fit(model, RECOVERING)
        assert_recovered(posterior["beta"].sel(coefficient="x"), -0.5)
        assert_recovered(posterior["sigma"], 0.7)
        assert_recovered(np.log(posterior["nu"]), np.log(4.0))


def test_keeping_an_ordinal_fit_keeps_its_order(tmp_path: Any) -> None:
    grade = pd.Categorical(
        ["low", "high", "fair", "low", "fair", "high"] * 4,
        categories=["low", "fair", "high"],
        ordered=True,
    )
    data = pd.DataFrame({"grade": grade, "x": np.arange(24.0), "w": 1.0})
    model = sp.Model(
        "grade | weights(w) ~ x", data, family="ordinal", pooling="complete"
    )
    fit_of_prior(model).save(tmp_path / "kept")
    kept = sp.load(tmp_path / "kept")
    assert kept.model.spec == model.spec
    assert kept.model.program == model.program
    assert kept.model.design.categories == ("low", "fair", "high")
    assert repr(kept.model) == repr(model)
