"""Parameters that have formulas: estimates of other tools, and simulated data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import stanpool as sp
from stanpool.inference.prediction.integrated.group_likelihood import (
    group_log_likelihood,
)
from stanpool.inference.prediction.predict import epred, linpred, log_lik, predict
from stanpool.inference.prediction.prior_predictive import (
    Drawn,
    draw_given,
    simulate_outcomes,
)


def test_the_likelihood_of_sleepstudy_is_glmmtmbs() -> None:
    """The figures are those of glmmTMB 1.1.5 in R 4.2.2.

    glmmTMB(Reaction ~ Days + (1 | Subject), dispformula = ~Days, data = sleepstudy):
    fixef(), half of it for the dispersion, which is of the variance, VarCorr() and
    logLik().
    """
    model = sp.Model(
        ["Reaction ~ Days + (1 | Subject)", "sigma ~ Days"],
        sp.load_dataset("sleepstudy"),
    )
    best = {
        "Intercept": 252.8337632280,
        "beta[Days]": 10.0929929930,
        "tau_Subject[Intercept]": 30.9401640383,
        "Intercept_sigma": 6.0693082948 / 2,
        "beta_sigma[Days]": 0.1663807971 / 2,
    }

    def total(**moved: float) -> float:
        at = {name: value + moved.get(name, 0.0) for name, value in best.items()}
        drawn: Any = Drawn(model, draw_given(model, at, np.random.default_rng(1)))
        return float(group_log_likelihood(drawn).sum())

    assert total() == pytest.approx(-891.9118793028, abs=1e-8)
    for name in best:
        assert total() > max(total(**{name: 0.01}), total(**{name: -0.01}))


# fixef() and logLik() of glmmTMB 1.1.5 in R 4.2.2, with rel.tol = 1e-14 and these
# formulas: that of phi or shape is its dispformula, that of zi or hu its ziformula; the
# families are poisson, nbinom2, truncated_poisson, truncated_nbinom2, beta_family(),
# Gamma("log"), betabinomial(), binomial() and ziGamma("log"). Of proportions, which are
# 0 or 1, and which of these are 1, was fitted by glm(family = binomial), and the others
# by beta_family(); the log likelihood is the sum of the three.
GLMMTMB: dict[str, tuple[str, list[str], dict[str, list[float]], float]] = {
    "zero_inflated_poisson": (
        "salamanders",
        ["count ~ unmined", "zi ~ DOP + unmined"],
        {
            "": [0.332968989542, 0.935356569169],
            "zi": [1.3308072246862, 0.0763339553913, -1.9088601279611],
        },
        -958.6447087001,
    ),
    "zero_inflated_negative_binomial": (
        "salamanders",
        ["count ~ unmined", "zi ~ DOP", "phi ~ unmined"],
        {
            "": [-1.07839058089, 2.06263941140],
            "zi": [-1.830066302077, 0.336613406192],
            "phi": [-1.54278347076, 1.56059419587],
        },
        -866.5800944994,
    ),
    "hurdle_poisson": (
        "salamanders",
        ["count ~ unmined", "hu ~ DOP + unmined"],
        {
            "": [0.335386457336, 0.932680936469],
            "hu": [1.6804678294147, 0.0708059615603, -2.1798897213096],
        },
        -958.6595257882,
    ),
    "hurdle_negative_binomial": (
        "salamanders",
        ["count ~ unmined", "hu ~ unmined", "phi ~ DOP"],
        {
            "": [-0.157665307662, 1.133560740965],
            "hu": [1.66500808517, -2.15051655458],
            "phi": [-0.00446997964983, -0.01506347435361],
        },
        -867.3936654907,
    ),
    "negative_binomial": (
        "salamanders",
        ["count ~ unmined", "phi ~ unmined + DOP"],
        {
            "": [-1.24881449008, 2.07541869465],
            "phi": [-1.697981962945, 1.323186210235, -0.143823488731],
        },
        -867.7726031025,
    ),
    "hurdle_gamma": (
        "salamanders",
        ["count ~ unmined", "hu ~ DOP", "shape ~ unmined"],
        {
            "": [0.619038342416, 0.678056967676],
            "hu": [0.410990414839, -0.136799232329],
            "shape": [1.125667284036, -0.537829460886],
        },
        -958.0507300322,
    ),
    "beta": (
        "sleepstudy",
        ["seconds ~ Days", "phi ~ Days"],
        {
            "": [-1.0792725489836, 0.0488773121084],
            "phi": [5.37552313984, -0.16319252551],
        },
        304.9741626617,
    ),
    "zero_one_inflated_beta": (
        "verbagg",
        ["share ~ male + shout", "phi ~ Anger", "zoi ~ shout + Anger", "coi ~ curse"],
        {
            "": [0.15356791967, 0.14464358519, -0.55935637231],
            "phi": [1.2281014741633, 0.0063765692181],
            "zoi": [-0.707155677729503, 0.362164220216818, -0.025876576075767],
            "coi": [-1.4891517465596, 3.2501395571209],
        },
        -544.26800667377,
    ),
    "gamma": (
        "sleepstudy",
        ["Reaction ~ Days", "shape ~ Days"],
        {
            "": [5.5378477050358, 0.0345932953725],
            "shape": [4.296755414149, -0.115929645301],
        },
        -939.0620339373,
    ),
    "beta_binomial": (
        "cbpp",
        ["incidence | trials(size) ~ late", "phi ~ late"],
        {
            "": [-1.689697439904, -0.974114647773],
            "phi": [2.066226048464, 0.277174875312],
        },
        -90.93397410614,
    ),
    "zero_inflated_binomial": (
        "cbpp",
        ["incidence | trials(size) ~ late", "zi ~ late"],
        {
            "": [-1.477559373220, -0.785924513432],
            "zi": [-1.88189631783, 1.34116091153],
        },
        -102.3864985705,
    ),
}


def data_of(name: str) -> pd.DataFrame:
    if name == "salamanders":
        data = pd.read_csv(Path(__file__).parents[1] / "data" / "salamanders.csv")
        return data.assign(unmined=(data["mined"] == "no").astype(int))
    data = sp.load_dataset(name)
    if name == "sleepstudy":
        return data.assign(seconds=data["Reaction"] / 1000)
    if name == "verbagg":  # the share of items that a person agreed to
        data = data.assign(share=data["r2"] == "Y", male=data["Gender"] == "M")
        person = ["id", "btype", "Anger", "male"]
        data = data.groupby(person, observed=True)["share"].mean().reset_index()
        kinds = {kind: data["btype"] == kind for kind in ("shout", "curse")}
        return data.assign(**kinds).astype(dict.fromkeys(["male", *kinds], int))
    return data.assign(late=(data["period"].astype(int) > 2).astype(int))


@pytest.mark.parametrize("family", GLMMTMB)
def test_the_likelihood_has_its_maximum_where_glmmtmb_finds_it(family: str) -> None:
    data, formulas, estimates, expected = GLMMTMB[family]
    model = sp.Model(formulas, data_of(data), family=family)
    best: dict[str, float] = {}
    for own in model.design.predictors:
        name = "" if own.parameter == "mean" else own.parameter
        end = f"_{name}" if name else ""
        labels = [f"Intercept{end}", *(f"beta{end}[{x}]" for x in own.coefficients)]
        best |= dict(zip(labels, estimates[name], strict=True))

    def total(**moved: float) -> float:
        at = {name: value + moved.get(name, 0.0) for name, value in best.items()}
        drawn: Any = Drawn(model, draw_given(model, at, np.random.default_rng(1)))
        return float(log_lik(drawn).sum())

    assert total() == pytest.approx(expected, abs=1e-8)
    for name in best:
        assert total() > max(total(**{name: 0.01}), total(**{name: -0.01}))


def test_a_fit_of_sleepstudy_agrees_with_glmmtmb() -> None:
    model = sp.Model(
        ["Reaction ~ Days + (1 | Subject)", "sigma ~ Days"],
        sp.load_dataset("sleepstudy"),
    )
    fit = model.fit(draws=500, seed=1, progress=False)
    found = fit.summary()
    # Estimates and standard errors by vcov() of the same call; the posterior is wider
    # and has tails, so that its means are near and not equal.
    for name, (estimate, error) in {
        "Intercept": (252.8337632280, 8.01715038),
        "beta[Days]": (10.0929929930, 0.80291304),
        "Intercept_sigma": (6.0693082948 / 2, 0.25369341 / 2),
        "beta_sigma[Days]": (0.1663807971 / 2, 0.05095308 / 2),
    }.items():
        assert abs(found["mean"][name] - estimate) < 0.25 * error, name
        assert found["sd"][name] == pytest.approx(error, rel=0.2), name


def owls() -> sp.Model:
    data = pd.read_csv(Path(__file__).parents[1] / "data" / "owls.csv")
    count = "SiblingNegotiation | exposure(BroodSize)"
    return sp.Model(
        [
            f"{count} ~ FoodTreatment * SexParent + (1 | Nest)",
            "zi ~ FoodTreatment",
            "phi ~ SexParent",
        ],
        data,
        family="zero_inflated_negative_binomial",
    )


# Estimates and standard errors of glmmTMB 1.1.5 in R 4.2.2:
# glmmTMB(SiblingNegotiation ~ FoodTreatment * SexParent + offset(log(BroodSize)) +
# (1 | Nest), ziformula = ~FoodTreatment, dispformula = ~SexParent, family = nbinom2,
# data = Owls).
OWLS = {
    "Intercept": (0.795121261046, 0.106699940217),
    "beta[FoodTreatment[T.Satiated]]": (-0.284915253499, 0.146952349553),
    "beta[SexParent[T.Male]]": (-0.040779330442, 0.110845601707),
    "beta[FoodTreatment[T.Satiated]:SexParent[T.Male]]": (
        *(0.096383627889, 0.170925959181),
    ),
    "Intercept_zi": (-2.20104388979, 0.24894014817),
    "beta_zi[FoodTreatment[T.Satiated]]": (1.62661004022, 0.27379186200),
    "Intercept_phi": (0.50732203169, 0.20293436381),
    "beta_phi[SexParent[T.Male]]": (0.45333619356, 0.23363738905),
}


def test_the_likelihood_of_owls_is_near_glmmtmbs_approximation() -> None:
    """Which is Laplace's where groups are integrated out, and ours is to 6 digits."""
    model = owls()
    at = {name: estimate for name, (estimate, _) in OWLS.items()}
    at["tau_Nest[Intercept]"] = 0.24851767804
    drawn: Any = Drawn(model, draw_given(model, at, np.random.default_rng(1)))
    found = float(group_log_likelihood(drawn).sum())
    assert found == pytest.approx(-1683.3576779357, abs=0.1)


@pytest.mark.slow
def test_a_fit_of_owls_agrees_with_glmmtmb() -> None:
    fit = owls().fit(draws=500, seed=1, progress=False)
    found = fit.summary()
    # The posterior of a shape is skewed, and its default prior is near Poisson counts.
    for name, (estimate, error) in OWLS.items():
        assert abs(found["mean"][name] - estimate) < 0.3 * error, name
        assert found["sd"][name] == pytest.approx(error, rel=0.15), name


def test_at_the_mode_coefficients_are_those_of_weighted_least_squares() -> None:
    """Weighted by the precisions at the mode."""
    rng = np.random.default_rng(3)
    x, z = rng.normal(size=(2, 80))
    y = 1.0 + 2.0 * x + np.exp(0.5 * z) * rng.normal(size=80)
    data = pd.DataFrame({"x": x, "z": z, "y": y})
    names = ("Intercept", "beta", "Intercept_sigma", "sigma.beta[z]")
    with pytest.warns(sp.PriorWarning, match="flat prior"):
        model = sp.Model(
            {"y": "x", "sigma": "~ z"}, data, priors=dict.fromkeys(names, "flat")
        )
    fit = model.fit(method="optimize", seed=1, engine="stanli", progress=False)
    found = fit.summary()["mode"]
    X = np.column_stack([np.ones(80), x])
    weights = np.exp(-2 * found["beta_sigma[z]"] * z)
    wanted = np.linalg.solve(X.T @ (weights[:, None] * X), X.T @ (weights * y))
    np.testing.assert_allclose(found[["Intercept", "beta[x]"]], wanted, rtol=1e-3)
    squares = np.square(y - X @ wanted) * weights
    log_scale = 0.5 * np.log(squares.mean())
    assert found["Intercept_sigma"] == pytest.approx(log_scale, abs=1e-3)
    assert np.mean(z * squares) / squares.mean() == pytest.approx(z.mean(), abs=1e-3)


@pytest.mark.parametrize("family", ["gaussian", "student_t", "lognormal"])
def test_coefficients_of_simulated_scales_are_found(family: str) -> None:
    rng = np.random.default_rng(1)
    n, groups = 600, 20
    g = rng.integers(groups, size=n)
    x, z = rng.normal(size=(2, n))
    u, v = 0.8 * rng.normal(size=groups), 0.4 * rng.normal(size=groups)
    sigma = np.exp(-0.7 + 0.5 * z + v[g])
    noise = rng.standard_t(5, n) if family == "student_t" else rng.normal(size=n)
    y = 0.5 + 1.2 * x + u[g] + sigma * noise
    data = pd.DataFrame({"x": x, "z": z, "g": g.astype(str)})
    data["y"] = np.exp(y) if family == "lognormal" else y
    model = sp.Model(["y ~ x + (1 | g)", "sigma ~ z + (1 | g)"], data, family=family)
    fit = model.fit(chains=2, draws=400, seed=2, progress=False)
    found = fit.summary()
    truth = {
        "Intercept": 0.5,
        "beta[x]": 1.2,
        "tau_g[Intercept]": 0.8,
        "Intercept_sigma": -0.7,
        "beta_sigma[z]": 0.5,
        "tau_sigma_g[Intercept]": 0.4,
    }
    for name, value in truth.items():
        assert abs(found["mean"][name] - value) < 3.5 * found["sd"][name], name
    own = fit.posterior["b_sigma_g"].mean(("chain", "draw"))[:, 0].to_numpy()
    order = [int(label) for label in model.design.group_labels]
    assert np.corrcoef(own, v[order])[0, 1] > 0.9


# By parameter: the family, what its outcome may be, and coefficients of the formula.
KINDS = {
    "nu": ("student_t", 1.0, (1.5, 0.6)),
    "slant": ("skew_normal", 1.0, (1.0, 3.0)),
    "shape": ("weibull", 1.0, (0.3, 0.5)),
    "phi": ("negative_binomial", 1, (0.5, 0.8)),
    "zi": ("zero_inflated_poisson", 1, (-0.5, 1.0)),
    "hu": ("hurdle_gamma", 1.0, (-0.5, 1.0)),
    "zoi": ("zero_one_inflated_beta", 0.5, (-0.5, 1.0)),
    "kappa": ("von_mises", 1.0, (1.0, 0.5)),
    "coi": ("zero_one_inflated_beta", 0.5, (-0.5, 1.0)),
}


@pytest.mark.slow
@pytest.mark.parametrize("parameter", KINDS)
def test_coefficients_of_simulated_parameters_are_found(parameter: str) -> None:
    family, outcome, (level, slope) = KINDS[parameter]
    rng = np.random.default_rng(1)
    n = 1500
    data = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    data["g"] = [f"g{number}" for number in rng.integers(20, size=n)]
    data["y"] = np.where(np.arange(n) % 2, outcome, 2 * outcome)
    formulas = ["y ~ x + (1 | g)", f"{parameter} ~ z + (1 | g)"]
    model = sp.Model(formulas, data, family=family)
    truth = {
        "Intercept": 1.0,
        "beta[x]": 0.4,
        "tau_g[Intercept]": 0.3,
        f"Intercept_{parameter}": level,
        f"beta_{parameter}[z]": slope,
        f"tau_{parameter}_g[Intercept]": 0.5,
    }
    others = {"sigma": 0.7, "shape": 2.0, "phi": 6.0, "zoi": 0.6, "coi": 0.6}
    own = {row.parameter for row in model.priors}
    truth |= {name: value for name, value in others.items() if name in own}
    drawn = draw_given(model, truth, rng)
    y = simulate_outcomes(model, drawn, rng).to_numpy().ravel()
    fit = sp.Model(formulas, data.assign(y=y), family=family).fit(
        chains=2, draws=400, seed=2, progress=False
    )
    found = fit.summary()
    for name, value in truth.items():
        assert abs(found["mean"][name] - value) < 3.5 * found["sd"][name], name
    own_slope = f"beta_{parameter}[z]"
    assert found["mean"][own_slope] > 3.5 * found["sd"][own_slope]


def test_log_likelihoods_and_predictions_use_the_scale_of_each_row() -> None:
    rng = np.random.default_rng(5)
    n = 40
    data = pd.DataFrame({"x": rng.normal(size=n), "z": rng.normal(size=n)})
    data["g"], data["y"] = (np.arange(n) % 4).astype(str), rng.normal(size=n)
    model = sp.Model(["y ~ x + (1 | g)", "sigma ~ z + (1 | g)"], data)
    drawn: Any = Drawn(model, model.prior_predictive(60, seed=1)["prior"].ds)
    posterior = drawn.posterior
    found = log_lik(drawn).stack(s=("chain", "draw")).to_numpy()
    own = posterior["b_g"].sel(g=data["g"].to_numpy()).isel(g_coefficient=0)
    scale = posterior["b_sigma_g"].sel(g=data["g"].to_numpy())
    scale = scale.isel(sigma_g_coefficient=0).stack(s=("chain", "draw")).to_numpy()
    beta = posterior["beta"].isel(coefficient=0).to_numpy().ravel()
    slope = posterior["beta_sigma"].isel(coefficient_sigma=0).to_numpy().ravel()
    x, z = (data[name].to_numpy()[:, None] for name in "xz")
    eta = own.stack(s=("chain", "draw")).to_numpy() + beta * x
    sigma = np.exp(scale + slope * z)
    y = data["y"].to_numpy()[:, None]
    np.testing.assert_allclose(found, stats.norm.logpdf(y, eta, sigma), rtol=1e-9)
    new = data.drop(columns="y").assign(z=[-4.0, 4.0] * 20)
    residuals = predict(drawn, new, seed=3) - linpred(drawn, new)
    scales = np.exp(scale + slope * new["z"].to_numpy()[:, None])
    standard = residuals.stack(s=("chain", "draw")).to_numpy() / scales
    assert stats.kstest(standard.ravel(), "norm").pvalue > 1e-3


def test_the_expectation_of_lognormal_outcomes_depends_on_the_scale_of_a_row() -> None:
    rng = np.random.default_rng(6)
    data = pd.DataFrame({"z": rng.normal(size=30)})
    data["y"] = rng.lognormal(size=30)
    model = sp.Model(["y ~ 1", "sigma ~ z"], data, family="lognormal")
    prior = {"Intercept_sigma": "normal(0, 0.2)", "beta_sigma": "normal(0, 0.2)"}
    model = model.with_(priors=prior)
    drawn: Any = Drawn(model, model.prior_predictive(20, seed=1)["prior"].ds)
    at = drawn.posterior
    sigma = np.exp(
        at["Intercept_sigma"].to_numpy()[..., None]
        + at["beta_sigma"].to_numpy() * data["z"].to_numpy()
    )
    wanted = np.exp(at["Intercept"].to_numpy()[..., None] + sigma**2 / 2)
    np.testing.assert_allclose(epred(drawn, data[["z"]]), wanted, rtol=1e-12)


def test_outcomes_drawn_from_the_prior_do_not_overflow() -> None:
    """As in brms issue 1197, where half of the scales were infinite."""
    rng = np.random.default_rng(7)
    data = pd.DataFrame(rng.normal(size=(100, 6)), columns=list("abcdey"))
    data["g"] = (np.arange(100) % 9).astype(str)
    data["y"] *= 1e4
    formulas = ["y ~ a + (1 | g)", "sigma ~ a + b + c + d + e + (1 + a + b | g)"]
    drawn = sp.Model(formulas, data).prior_predictive(2000, seed=1)
    y = np.abs(drawn["prior_predictive"]["y"].to_numpy())
    assert np.isfinite(y).all()
    assert np.quantile(y, 0.999) < 1e3 * data["y"].std()
