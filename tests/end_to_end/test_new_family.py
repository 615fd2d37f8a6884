"""A family is one row, its functions of arrays and one template: a toy one, in use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import stanpool as sp
from stanpool.base.system.files import shipped_folder
from stanpool.families import registry
from stanpool.families.functions import FamilyFunctions, LinkFunctions
from stanpool.language.family import FAMILIES, Family, FamilyParameter
from stanpool.model.program import render
from stanpool.sampling.initial_values import starting_values

BEND = 1.8
ROW = Family(
    "toy",
    ("log",),
    "positive",
    (FamilyParameter("bend", lower=0.5, prior="gamma(2, 1)", source="a toy"),),
    ("exposure",),
)
TEMPLATE = """
{% macro equation() %}
//   y[n] ~ weibull(bend, exp(eta[n]) / tgamma(1 + 1 / bend))
{%- endmacro %}
{% macro data() %}
vector<lower=0>[N] y;
{%- endmacro %}
{% macro parameters() %}
real{{ bounds.bend }} bend;
{%- endmacro %}
{% macro transformed_parameters() %}
{%- endmacro %}
{% macro model() %}
{%- endmacro %}
{% macro generated_quantities() %}
{%- endmacro %}
{% macro made_of_eta() %}
vector[N] scale = exp(eta - lgamma(1 + inv(bend)));
{%- endmacro %}
{% macro distribution() %}
weibull
{%- endmacro %}
{% macro arguments(at) %}
bend, scale{{ at }}
{%- endmacro %}
{% macro glm(intercept) %}
{%- endmacro %}
"""


def _functions(link: LinkFunctions) -> FamilyFunctions:
    """State a Weibull distribution of a mean and of the shape ``bend``."""

    def known(eta: Any, bend: Any) -> Any:
        scale = np.exp(eta - special.gammaln(1 + 1 / np.asarray(bend)))
        return stats.weibull_min(bend, scale=scale)

    return FamilyFunctions(
        link,
        lambda y, eta, *, bend: known(eta, bend).logpdf(y),
        lambda eta, *, bend: np.exp(eta) + np.zeros_like(bend, dtype=float),
        lambda rng, eta, *, bend: known(eta, bend).rvs(
            np.broadcast_shapes(np.shape(eta), np.shape(bend)), random_state=rng
        ),
        lambda eta, *, bend: known(eta, bend).var(),
    )


def _forget_templates() -> None:
    render.template_environment.cache_clear()
    render.render.cache_clear()
    registry.family_functions.cache_clear()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sp.Model]:
    templates = tmp_path_factory.mktemp("templates") / "stan_templates"
    shutil.copytree(shipped_folder("stan_templates"), templates)
    (templates / "families" / "toy.stan.jinja").write_text(TEMPLATE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(FAMILIES, "toy", ROW)
        patch.setitem(registry._BUILDERS, "toy", _functions)  # type: ignore[arg-type]
        patch.setattr(render, "shipped_folder", lambda name: _only(templates, name))
        _forget_templates()
        yield sp.Model("y ~ x + (1 | g)", _data(), family="toy")
    _forget_templates()


def _only(templates: Path, name: str) -> Path:
    assert name == "stan_templates"
    return templates


def _data() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    group, x = np.repeat(np.arange(12), 15), rng.normal(size=180)
    eta = 0.4 + 0.5 * x + 0.3 * rng.standard_normal(12)[group]
    return pd.DataFrame(
        {"y": _draw(rng, eta), "x": x, "g": [f"g{number}" for number in group]}
    )


def _draw(rng: np.random.Generator, eta: np.ndarray) -> np.ndarray:
    return np.exp(eta) / special.gamma(1 + 1 / BEND) * rng.weibull(BEND, eta.shape)


@pytest.fixture(scope="module")
def fit(model: sp.Model) -> sp.Fit:
    return model.fit(chains=2, draws=500, warmup=500, seed=1, progress=False)


def _flat(fit: sp.Fit, name: str) -> np.ndarray:
    return fit.posterior[name].stack(s=("chain", "draw")).to_numpy()


def test_its_prior_is_in_the_table(model: sp.Model) -> None:
    row = model.priors["bend"]
    assert (str(row.prior), row.source) == (
        "gamma(2, 1)",
        "default: gamma(2, 1) (a toy)",
    )
    changed = model.with_(priors={"bend": "normal(1, 1)"}).priors["bend"]
    assert "cut off below at 0.5" in changed.note


def test_a_quick_estimate_is_made_of_it(model: sp.Model) -> None:
    assert model.pilot is not None
    assert model.pilot.parameters["bend"] == pytest.approx(BEND, rel=0.2)


def test_what_is_sampled_is_in_the_posterior_and_its_summary(fit: sp.Fit) -> None:
    bend = fit.posterior["bend"]
    assert bend.dims == ("chain", "draw")
    assert bend.min() > 0.5
    assert abs(bend.mean() - BEND) < 4 * bend.std()
    assert fit.summary().loc["bend", "mean"] == pytest.approx(bend.mean().item())
    assert fit.diagnose().ok


def test_rows_and_groups_are_left_out(fit: sp.Fit) -> None:
    data, bend = _data(), _flat(fit, "bend")[:, None]
    at = fit.posterior[["Intercept", "beta", "b_g"]].stack(s=("chain", "draw"))
    own = at["b_g"].sel(g=data["g"].to_list(), g_coefficient="Intercept")
    of_group = own.transpose("s", "g").to_numpy()
    eta = at["beta"].to_numpy().T * data["x"].to_numpy() + of_group
    scale = np.exp(eta) / special.gamma(1 + 1 / bend)
    expected = stats.weibull_min(bend, scale=scale).logpdf(data["y"].to_numpy())
    found = fit.log_lik().stack(s=("chain", "draw")).transpose("s", ...).to_numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    by_row, by_group = fit.loo(progress=False), fit.loo(unit="group", progress=False)
    for each in (by_row, by_group):
        assert each.elpd < 0
        # One in a hundred may be above by the error of k, which is 0.1 or so.
        assert (each.units["pareto_k"] < 0.7).mean() > 0.98
    # New groups are harder to predict than new rows of known ones.
    assert by_group.elpd < by_row.elpd


def test_outcomes_are_drawn(fit: sp.Fit, model: sp.Model) -> None:
    drawn = fit.predict(seed=2)
    expected = fit.epred()
    z = (drawn - expected).mean() / (drawn.std() / np.sqrt(drawn.size))
    assert abs(z) < 5
    prior = model.prior_predictive(4000, seed=3)["prior"]["bend"]
    truth = stats.gamma(2).expect(lb=0.5, conditional=True)
    assert abs(prior.mean() - truth) < 5 * prior.std() / np.sqrt(prior.size)
    assert prior.min() > 0.5


def test_its_prior_is_scaled_in_power(fit: sp.Fit) -> None:
    table = fit.prior_sensitivity()
    assert table.loc["bend", ["prior", "likelihood"]].between(0, 1).all()
    assert table.loc["bend", "likelihood"] > table.loc["bend", "prior"]


def test_shares_of_variance_know_it(fit: sp.Fit) -> None:
    tau, bend = _flat(fit, "tau_g")[0], _flat(fit, "bend")
    second = special.gammaln(1 + 2 / bend) - 2 * special.gammaln(1 + 1 / bend)
    share = tau**2 / (tau**2 + second)
    assert fit.icc().loc["g", "mean"] == pytest.approx(share.mean(), rel=1e-6)


def test_another_run_starts_where_it_ended(fit: sp.Fit) -> None:
    points = starting_values(fit)
    assert points is not None
    last = fit.posterior["bend"].isel(draw=-1).to_numpy()
    assert [point["bend"] for point in points] == pytest.approx(last)
