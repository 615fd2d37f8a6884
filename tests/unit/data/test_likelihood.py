"""Log likelihoods of rows, at the maxima that R finds and with the values it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from scipy import special

import stanpool as sp
from stanpool.data.likelihood import log_likelihood

DATA = Path(__file__).parents[2] / "data"


class Maximum(NamedTuple):
    """What R prints of a model: coefficients, other parameters, log likelihood."""

    data: str
    formula: str
    family: str
    coefficients: tuple[float, ...]
    parameters: dict[str, float]
    value: float
    link: str | None = None


# R 4.2.2: glmmTMB 1.1.5 with betabinomial, truncated_poisson and truncated_nbinom2 (of
# quine[quine$Days > 0, ]); survreg(Surv(time, status) ~ age + sex, kidney, dist = ...)
# of survival 3.5-3, whose scale is 1 / shape; glm(Reaction ~ Days, inverse.gaussian
# ("log")), with the maximum likelihood estimate of the shape and the density of statmod
# 1.5.0. What survreg models is not the mean, but the scale of a Weibull distribution.
_CBPP = "incidence | trials(size) ~ C(period)"
_ABSENT = "Days | trunc(1) ~ Sex + Age + Eth + Lrn"
_KIDNEY = "time | cens(1 - status) ~ age + sex"
_LOG_MEAN_OVER_SCALE = float(special.gammaln(1 + 1.103319445))
MAXIMA = (
    Maximum(
        "cbpp",
        _CBPP,
        "beta_binomial",
        (-1.3187733307, -0.9688849874, -1.2509289015, -1.4725204836),
        {"phi": 10.84266012},
        -88.0416468152,
    ),
    Maximum(
        "cbpp",
        _CBPP,
        "beta_binomial",
        (-0.8028785913, -0.5247509982, -0.6646659963, -0.7706651539),
        {"phi": 10.84266001},
        -88.0416468152,
        "probit",
    ),
    Maximum(
        "cbpp",
        _CBPP,
        "beta_binomial",
        (-1.439621456, -0.896764727, -1.167192197, -1.381586983),
        {"phi": 10.84265944},
        -88.0416468152,
        "cloglog",
    ),
    Maximum(
        "quine",
        _ABSENT,
        "poisson",
        (
            *(2.7187883607, 0.1890662370, -0.3205652013, 0.2460033094, 0.4372422811),
            *(-0.4406455759, 0.3440835442),
        ),
        {},
        -1016.83464927,
    ),
    Maximum(
        "quine",
        _ABSENT,
        "negative_binomial",
        (
            *(2.85794156992, 0.14525032046, -0.45408430293, 0.07481397664),
            *(0.35776753975, -0.49846190904, 0.31735703060),
        ),
        {"phi": 1.490768131},
        -512.644333719,
    ),
    Maximum(
        "kidney",
        _KIDNEY,
        "weibull",
        (3.317567884752 + _LOG_MEAN_OVER_SCALE, -0.004034198646, 0.965483637050),
        {"shape": 1 / 1.103319445},
        -336.554156479,
    ),
    Maximum(
        "kidney",
        _KIDNEY,
        "exponential",
        (3.5091617158, -0.0044392229, 0.8849979826),
        {},
        -337.132050004,
    ),
    Maximum(
        "kidney",
        _KIDNEY,
        "lognormal",
        (2.067640152043, -0.005285569529, 1.376690165698),
        {"sigma": float(np.exp(0.169593957746))},
        -331.979812513,
    ),
    Maximum(
        "sleepstudy",
        "Reaction ~ Days",
        "inverse_gaussian",
        (5.53666014904, 0.03489950875),
        {"shape": 12148.59461},
        -942.9859076,
    ),
)


def _data(name: str) -> pd.DataFrame:
    if (DATA / f"{name}.csv").exists():
        found = pd.read_csv(DATA / f"{name}.csv")
        return found[found["Days"] > 0] if name == "quine" else found
    return sp.load_dataset(name)


def _value_at(model: sp.Model, coefficients: Any, parameters: Any) -> float:
    eta = coefficients[0] + model.design.X @ np.array(coefficients[1:])
    return float(log_likelihood(model.spec, model.design, eta, parameters).sum())


@pytest.mark.parametrize(
    "known", MAXIMA, ids=lambda each: f"{each.family}-{each.link or 'default'}"
)
def test_values_at_maxima_are_those_of_r(known: Maximum) -> None:
    model = sp.Model(
        known.formula,
        _data(known.data),
        family=known.family,
        link=known.link,
        pooling="complete",
        center_predictors=False,
    )
    found = _value_at(model, known.coefficients, known.parameters)
    assert found == pytest.approx(known.value, abs=2e-6)
    # It is a maximum: no parameter can be moved without a loss.
    for k in range(len(known.coefficients)):
        step = 1e-3 / np.abs([1.0, *model.design.X.T.mean(axis=1)])[k]
        for sign in (-1, 1):
            moved = (
                np.array(known.coefficients)
                + sign * step * np.eye(len(known.coefficients))[k]
            )
            assert _value_at(model, moved, known.parameters) < found
    for name, value in known.parameters.items():
        for factor in (0.99, 1.01):
            moved = known.parameters | {name: factor * value}
            assert _value_at(model, known.coefficients, moved) < found
