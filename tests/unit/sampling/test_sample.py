"""How long chains warm up, and in which stages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import models, small_data
from stanpool.engine import SampleSettings
from stanpool.sampling.sample import from_pilot
from stanpool.sampling.settings import default_warmup, settings_of


def gaussian(**options: Any) -> sp.Model:
    return sp.Model("y ~ x1 + (1 + x2 | g)", small_data(), **options)


@pytest.mark.parametrize("form", ["auto", "marginal"])
def test_chains_that_start_well_warm_up_half_as_long(form: str) -> None:
    model = gaussian(parameterization=form)
    assert default_warmup(model) == 500
    assert default_warmup(model, inits="random") == 1000
    assert default_warmup(model, inits={"beta": [0.0]}) == 1000
    assert default_warmup(model, prior_only=True) == 1000
    assert default_warmup(model, sample_options={"metric": "dense_e"}) == 1000
    assert "4 chains of 500 warm-up iterations and 1,000 draws" in model.explain()
    assert "chains start around a normal approximation" in model.explain()


def test_adaptive_chains_of_informative_plain_groups_warm_up_briefly() -> None:
    formula = "incidence | trials(size) ~ C(period) + (1 | herd)"
    cbpp = sp.Model(formula, sp.load_dataset("cbpp"), family="binomial")
    assert cbpp.parameterization == "adaptive"
    assert default_warmup(cbpp) == 300
    assert default_warmup(cbpp, inits="random") == 1000
    assert "4 chains of 300 warm-up iterations" in cbpp.explain()
    assert settings_of(cbpp, warmup=1000).warmup == 1000
    ticks = sp.load_dataset("grouseticks")
    others = [
        sp.Model(f"TICKS ~ HEIGHT + {groups}", ticks, family="poisson")
        for groups in ("(1 + HEIGHT | BROOD)", "(1 | LOCATION/BROOD)")
    ]
    kidney = sp.load_dataset("kidney")
    times = "time | cens(1 - status) ~ age + (1 | id)"
    others.append(sp.Model(times, kidney, family="weibull"))
    others.append(sp.Model("win ~ (1 + x2 || g)", small_data(), family="bernoulli"))
    assert {model.parameterization for model in others} == {"adaptive"}
    assert {default_warmup(model) for model in others} == {1000}


@pytest.mark.parametrize(
    "options",
    [
        {"parameterization": "adaptive"},
        {"parameterization": "centered"},
        {"parameterization": "noncentered"},
        {"pooling": "none"},
        {"pooling": "complete"},
    ],
)
def test_others_warm_up_as_long_as_stan_does(options: dict[str, Any]) -> None:
    model = gaussian(**options)
    assert default_warmup(model) == 1000
    assert "4 chains of 1,000 warm-up iterations" in model.explain()
    assert "chains start around" not in model.explain()


def test_latent_factors_are_not_known_from_the_pilot() -> None:
    latent = [m for m in models().values() if m.design.special]
    assert latent
    assert {default_warmup(model) for model in latent} == {1000}


@pytest.mark.parametrize("warmup", [150, 500, 1000])
def test_the_metric_is_learned_in_one_window(warmup: int) -> None:
    settings = SampleSettings(seed=1, warmup=warmup)
    options = dict(from_pilot(gaussian(), settings).sample_options)
    assert options["adapt_metric_window"] == warmup - 75 - 50
    # alpha_c, beta, two of tau, their correlation, sigma
    assert len(options["inv_metric"]["inv_metric"]) == 6


def test_short_warm_ups_are_left_to_stan() -> None:
    settings = SampleSettings(seed=1, warmup=100)
    options = dict(from_pilot(gaussian(), settings).sample_options)
    assert options.keys() == {"inv_metric"}


def test_options_of_users_come_first() -> None:
    own = SampleSettings(seed=1, sample_options=(("metric", "dense_e"),))
    assert from_pilot(gaussian(), own) is own
    own = SampleSettings(seed=1, sample_options=(("adapt_metric_window", 70),))
    options = dict(from_pilot(gaussian(), own).sample_options)
    assert options["adapt_metric_window"] == 70
    own = SampleSettings(seed=1, inits="random")
    options = dict(from_pilot(gaussian(), own).sample_options)
    assert options.keys() == {"inv_metric"}


@pytest.mark.parametrize(
    ("groups", "form", "target"),
    [(10, "marginal", 0.9), (11, "marginal", 0.8), (5, "adaptive", 0.8)],
)
def test_few_groups_have_smaller_steps(groups: int, form: str, target: float) -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.normal(size=60), "g": np.arange(60) % groups})
    model = sp.Model("y ~ 1 + (1 | g)", data, parameterization=form)
    assert settings_of(model, seed=1).adapt_delta == target
    assert settings_of(model, seed=1, adapt_delta=0.7).adapt_delta == 0.7
    assert ("target acceptance rate: 0.9" in model.explain()) == (target == 0.9)
