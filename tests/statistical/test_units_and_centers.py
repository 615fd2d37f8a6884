"""Where predictors live, and in which units anything comes, is nothing to a fit.

But ``||`` says where coefficients are uncorrelated: where predictors are 0.

References
----------
.. [1] Potthoff and Roy (1964). A generalized multivariate analysis of variance model
   useful especially for growth curve problems. Biometrika 51, 313-326: the distances of
   16 boys and 11 girls at ages 8, 10, 12 and 14, in R as ``nlme::Orthodont``.
.. [2] Bates, Mächler, Bolker and Walker (2015). Fitting linear mixed-effects models
   using lme4. Journal of Statistical Software 67(1), section 3: both likelihoods.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import stanpool as sp
from stanpool.posterior.coefficients import flat
from stanpool.posterior.convergence import mixing

SHIFT, UNITS, OF_OUTCOME = 1000.0, 1e3, 1e-6
# From coefficients of the other data to those of the data as they came.
BACK = np.array([[1.0, UNITS * SHIFT], [0.0, UNITS]]) / OF_OUTCOME
SEEDS = 4


DISTANCES = """
26 25 29 31, 21.5 22.5 23 26.5, 23 22.5 24 27.5, 25.5 27.5 26.5 27, 20 23.5 22.5 26,
24.5 25.5 27 28.5, 22 22 24.5 26.5, 24 21.5 24.5 25.5, 23 20.5 31 26, 27.5 28 31 31.5,
23 23 23.5 25, 21.5 23.5 24 28, 17 24.5 26 29.5, 22.5 25.5 25.5 26, 23 24.5 26 30,
22 21.5 23.5 25, 21 20 21.5 23, 21 21.5 24 25.5, 20.5 24 24.5 26, 23.5 24.5 25 26.5,
21.5 23 22.5 23.5, 20 21 21 22.5, 21.5 22.5 23 25, 23 23 23.5 24, 20 21 22 21.5,
16.5 19 19 19.5, 24.5 25 28 28
"""
# By the age at 8 years: scales of intercept, slope and residuals, and the log
# likelihood, of lmer(distance ~ x + (1 + x || Subject), REML=TRUE) and then FALSE, with
# x = age - 8 + shift, in lme4 1.1-31 of R 4.2.2. The restricted likelihood is that of
# x / max(shift, 1), which lme4 was given.
LME4 = {
    0: (
        (1.962976, 0.24697571, 1.293764, -221.44578741),
        (1.924774, 0.23858503, 1.291142, -219.76617299),
    ),
    8: (
        (1.386033, 0.14925419, 1.370639, -219.57784854),
        (1.351186, 0.14631876, 1.363612, -219.86913485),
    ),
    10: (
        (1.226187, 0.13506077, 1.380698, -219.44428654),
        (1.190350, 0.13267458, 1.373210, -219.94728504),
    ),
    1000: (
        (0.000003, 0.00210914, 1.430502, -216.53881083),
        (0.000000, 0.00206668, 1.421644, -221.63955821),
    ),
}


def growth(shift: float) -> pd.DataFrame:
    """Return the distances with ages that are ``shift`` at 8 years."""
    y = np.array([each.split() for each in DISTANCES.split(",")], dtype=float)
    groups, times = y.shape
    return pd.DataFrame(
        {
            "distance": y.ravel(),
            "x": np.tile(2.0 * np.arange(times) + shift, groups),
            "Subject": np.repeat([f"{j:02}" for j in range(groups)], times),
        }
    )


@dataclass(frozen=True)
class Growth:
    """Likelihood and coefficients of the distances, at many scales: textbook formulas.

    All groups have the same predictors ``Z``, and so the same covariance
    ``V = Z diag(tau)^2 Z' + sigma^2 I``; the population has them, too.
    """

    y: np.ndarray
    Z: np.ndarray
    tau: np.ndarray
    sigma: np.ndarray

    @classmethod
    def of(cls, data: pd.DataFrame, tau: np.ndarray, sigma: np.ndarray) -> Growth:
        """Take the data apart; scales have shapes ``(S, 2)`` and ``(S,)``."""
        y = data["distance"].to_numpy().reshape(27, 4)
        return cls(y, np.column_stack([np.ones(4), data["x"][:4]]), tau, sigma)

    @cached_property
    def precision(self) -> np.ndarray:
        """The inverse of V, shape ``(S, 4, 4)``."""
        scaled = self.Z * self.tau[:, None]
        noise = np.square(self.sigma)[:, None, None] * np.eye(4)
        return np.linalg.inv(scaled @ np.swapaxes(scaled, 1, 2) + noise)

    @cached_property
    def of_population(self) -> np.ndarray:
        """The precision of the population's coefficients, shape ``(S, 2, 2)``."""
        return len(self.y) * (self.Z.T @ self.precision @ self.Z)

    @cached_property
    def population(self) -> np.ndarray:
        """Generalized least squares, shape ``(S, 2)``."""
        wanted = (self.Z.T @ self.precision) @ self.y.sum(axis=0)
        return np.linalg.solve(self.of_population, wanted[..., None])[..., 0]

    @property
    def left(self) -> np.ndarray:
        """Residuals of the population's line, shape ``(S, 27, 4)``."""
        return self.y - (self.population @ self.Z.T)[:, None]

    @property
    def lines(self) -> np.ndarray:
        """Means of the groups' coefficients given the scales, shape ``(S, 27, 2)``."""
        gain = np.square(self.tau)[:, :, None] * (self.Z.T @ self.precision)
        return self.population[:, None] + self.left @ np.swapaxes(gain, 1, 2)

    def log_likelihood(self, *, restricted: bool) -> np.ndarray:
        """The profile of the likelihood, or with coefficients integrated out [2]_."""
        misfit = np.einsum("sjk,skl,sjl->s", self.left, self.precision, self.left)
        total = len(self.y) * np.linalg.slogdet(self.precision)[1] - misfit
        free = self.y.size - 2 * restricted
        if restricted:
            total = total - np.linalg.slogdet(self.of_population)[1]
        return np.asarray(0.5 * (total - free * np.log(2 * np.pi)))


def posterior_of_growth(shift: float) -> dict[str, np.ndarray]:
    """Integrate over scales whose priors are flat, on a grid: means of quantities."""
    ends = 9.0, min(0.8, 9.0 / max(shift, 1.0))
    steps = [(np.arange(60) + 0.5) / 60 * end for end in ends]
    steps.append(np.linspace(0.9, 2.2, 30))
    tau_0, tau_1, sigma = (each.ravel() for each in np.meshgrid(*steps))
    at = Growth.of(growth(shift), np.column_stack([tau_0, tau_1]), sigma)
    log = at.log_likelihood(restricted=True)
    weights = np.exp(log - log.max())
    weights /= weights.sum()
    values = {"tau": at.tau, "sigma": sigma, "tau^2": np.square(at.tau)}
    values |= {"population": at.population, "lines": at.lines}
    return {name: np.tensordot(weights, each, 1) for name, each in values.items()}


def sleep() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the data, and in other units with days counted from day -1000."""
    data = sp.load_dataset("sleepstudy")
    other = data.assign(
        Days=UNITS * (data["Days"] + SHIFT), Reaction=OF_OUTCOME * data["Reaction"]
    )
    return data, other


def quantities(posterior: xr.Dataset, back: np.ndarray, unit: float) -> np.ndarray:
    """Return the groups' lines, their covariance and sigma, ``(4, draws, scalar)``."""
    tau, omega = flat(posterior["tau_Subject"]), flat(posterior["Omega_Subject"])
    covariance = back @ (tau[:, :, None] * omega * tau[:, None]) @ back.T
    lines = flat(posterior["b_Subject"]) @ back.T
    columns = [
        lines.reshape(len(lines), -1),
        np.log(np.diagonal(covariance, axis1=1, axis2=2)),
        covariance[:, 0, 1],
        flat(posterior["sigma"]) / unit,
    ]
    return np.column_stack(columns).reshape(4, len(lines) // 4, -1)


def test_sleepstudy_in_other_units_from_another_day() -> None:
    fits = [
        sp.Model(
            "Reaction ~ Days + (1 + Days | Subject)", each, parameterization="marginal"
        ).fit(seed=seed, progress=False)
        for seed, each in enumerate(sleep(), 1)
    ]
    assert fits[1].model.design.centers == (("Days", UNITS * SHIFT),)
    assert all(fit.diagnose().ok for fit in fits)
    ours = quantities(fits[0].posterior, np.eye(2), 1.0)
    theirs = quantities(fits[1].posterior, BACK, OF_OUTCOME)
    (mean, error), (other_mean, other_error) = (
        (each.mean(axis=(0, 1)), mixing(each)["mcse_mean"]) for each in (ours, theirs)
    )
    assert np.all(np.abs(other_mean - mean) < 5 * np.hypot(error, other_error))


@pytest.mark.parametrize("shift", LME4)
def test_the_oracle_is_lme4(shift: int) -> None:
    """Its likelihood is lme4's there, and is nowhere larger near by."""
    for (*scales, published), restricted in zip(
        LME4[shift], (True, False), strict=True
    ):
        at = np.array(scales)
        near = at * np.exp(0.02 * np.array([*np.eye(3), *-np.eye(3)]))
        many = np.vstack([at, near])
        found = Growth.of(growth(shift), many[:, :2], many[:, 2]).log_likelihood(
            restricted=restricted
        )
        in_its_units = np.log(max(shift, 1)) if restricted else 0.0
        assert found[0] + in_its_units == pytest.approx(published, abs=1e-5)
        assert np.all(found[1:] < found[0] + 1e-7)


@pytest.mark.parametrize(
    ("shift", "form"),
    [
        *((shift, "marginal") for shift in LME4),
        *(
            pytest.param(shift, form, marks=pytest.mark.slow)
            for shift in (8, 1000)
            for form in ("adaptive", "noncentered")
        ),
    ],
)
def test_two_bars_are_uncorrelated_where_predictors_are_0(
    shift: int, form: str
) -> None:
    """Of ages 8 to 14 as they are, from 0, from 10 and from 1000."""
    priors = {"Intercept": "normal(0, 1e4)", "beta": "normal(0, 1e4)"}
    priors |= {"tau": "exponential(1e-6)", "sigma": "exponential(1e-6)"}
    model = sp.Model(
        "distance ~ x + (1 + x || Subject)",
        growth(shift),
        priors=priors,
        parameterization=form,
    )
    fit = model.fit(seed=1, progress=False)
    wanted, found = posterior_of_growth(shift), fit.posterior
    assert "Omega_Subject" not in found
    draws = {
        "tau": flat(found["tau_Subject"]),
        "tau^2": np.square(flat(found["tau_Subject"])),
        "sigma": flat(found["sigma"])[:, None],
        "population": np.column_stack([flat(found["Intercept"]), flat(found["beta"])]),
        "lines": flat(found["b_Subject"]),
    }
    for name, values in draws.items():
        own = values.reshape(4, len(values) // 4, -1)
        error = mixing(own)["mcse_mean"]
        gap = own.mean(axis=(0, 1)) - wanted[name].ravel()
        assert np.all(np.abs(gap) < 5 * error), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameterization", ["centered", "noncentered", "adaptive", "marginal"]
)
def test_an_effective_draw_takes_as_many_steps(parameterization: str) -> None:
    """Within 25 %, and the noise of a few fits of each."""
    logs = []
    for data, back, unit in zip(
        sleep(), (np.eye(2), BACK), (1.0, OF_OUTCOME), strict=True
    ):
        model = sp.Model(
            "Reaction ~ Days + (1 + Days | Subject)",
            data,
            parameterization=parameterization,
        )
        fits = [model.fit(seed=seed, progress=False) for seed in range(SEEDS)]
        steps = [float(fit.sample_stats["n_steps"].sum()) for fit in fits]
        ess = [
            mixing(quantities(fit.posterior, back, unit))["ess_bulk"].min()
            for fit in fits
        ]
        logs.append(np.log(np.array(steps) / ess))
    error = np.hypot(*(each.std(ddof=1) / np.sqrt(SEEDS) for each in logs))
    assert abs(np.mean(logs[1]) - np.mean(logs[0])) < np.log(1.25) + 3 * error, logs


@pytest.mark.parametrize("formula", ["y ~ x + (x | g)", "y ~ x + (x | g) + (1 | h)"])
def test_outcomes_far_from_zero_are_sampled_as_easily(formula: str) -> None:
    # With a mean of 1000 scales, trajectories once took 360 steps in place of 15.
    rng = np.random.default_rng(1)
    data = pd.DataFrame(
        {"x": rng.normal(size=600), "g": np.arange(600) % 30, "h": np.arange(600) // 30}
    )
    groups = 0.3 * rng.normal(size=30)[data["g"]] + 0.2 * rng.normal(size=20)[data["h"]]
    y = 0.5 * data["x"] + groups + rng.normal(size=600)
    steps = [
        sp.Model(formula, data.assign(y=y + mean), family="student_t")
        .fit(chains=1, warmup=200, draws=50, seed=1, progress=False)
        .sample_stats["n_steps"]
        .mean()
        .item()
        for mean in (0.0, 1000.0)
    ]
    # Steps of a trajectory are doubled until it turns.
    assert steps[1] < 2.5 * steps[0]
