"""Priors on a population scale side by side, on fits whose draws are made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import changed, simulated_fit
from stanpool.model.priors.distributions import prior_density
from stanpool.studies.scale_priors import (
    ScalePriorComparison,
    candidate_priors,
    scale_draws,
    summarize_scale_priors,
    with_prior,
)

TAU = "tau_school[Intercept]"
NAMES = ["uniform", "half_cauchy", "half_normal", "exponential"]


def comparison(
    *, wide: float = 1.0, apart: float = 0.0, factor: str = "school"
) -> ScalePriorComparison:
    """Compare four fits with the same draws, but for those under the uniform prior.

    There scales are wider, and the means of the groups are apart.
    """
    parameter, fit = f"tau_{factor}[Intercept]", simulated_fit(factor=factor)
    fits = {}
    for prior in candidate_priors(1.0):
        model = with_prior(fit.model, parameter, prior)
        fits[prior.distribution] = replace(fit, model=model)
    tau, b = (fit.posterior[f"{name}_{factor}"].to_numpy() for name in ("tau", "b"))
    means = apart * np.arange(6.0)[:, None]
    fits["uniform"] = changed(
        fits["uniform"],
        "posterior",
        **{f"tau_{factor}": wide * tau, f"b_{factor}": b + means},
    )
    return summarize_scale_priors(parameter, fits)


def test_a_row_for_each_prior() -> None:
    found = comparison()
    assert list(found.table.index) == list(found.fits) == NAMES
    assert found.table["prior"].tolist() == [
        "uniform(0, 10)",
        "half_cauchy(2.5)",
        "half_normal(1)",
        "exponential(1)",
    ]
    fit = found.fits["exponential"]
    row, draws = found.table.loc["exponential"], scale_draws(fit, TAU)
    assert row["mean"] == pytest.approx(float(fit.posterior["tau_school"].mean()))
    assert row["q95"] == pytest.approx(np.quantile(draws, 0.95))
    assert row["pooling"] == fit.pooling_factors()["pooling"]["school", "Intercept"]
    assert row["min_ess_bulk"] == pytest.approx(fit.summary()["ess_bulk"].min())


def test_what_all_priors_say_the_data_decide() -> None:
    said = comparison().conclusion
    assert said.startswith("With 6 groups (school) the data decide")


def test_a_uniform_prior_that_widens_the_scale_undoes_the_pooling() -> None:
    said = comparison(wide=3.0, apart=1.0).conclusion
    assert said.startswith("With 6 groups (school) the prior decides, too")
    assert "under uniform(0, 10), which pools groups by" in said
    assert said.endswith("and so undoes the pooling.")


def test_a_scale_may_move_and_the_pooling_stay() -> None:
    said = comparison(wide=1.2).conclusion
    assert "the prior moves the posterior mean of tau_school[Intercept]" in said
    assert said.endswith("whatever the prior.")


def test_a_prior_of_the_user_on_the_scale_is_replaced_and_others_stay() -> None:
    model = sp.Model(
        "y ~ x1 + (1 + x1 | g) + (1 | h)",
        small_data(),
        priors={"tau_g[x1]^2": "inv_gamma(2, 2)", "tau_h": "normal(0, 3)"},
    )
    changed_model = with_prior(model, "tau_g[x1]", sp.Prior.parse("uniform(0, 9)"))
    table = changed_model.priors
    assert str(table["tau_g[x1]"].prior) == "uniform(0, 9)"
    assert str(table["tau_h[Intercept]"].prior) == "normal(0, 3)"
    assert table["tau_g[Intercept]"] == model.priors["tau_g[Intercept]"]


def test_a_scale_that_is_not_there_is_refused_before_anything_is_compiled() -> None:
    model = sp.Model("y ~ x1 + (1 | g)", small_data())
    with pytest.raises(sp.SpecError, match=r"Did you mean 'tau_g\[Intercept\]'"):
        sp.compare_scale_priors(model, parameter="tau_g[Intercep]")
    with pytest.raises(sp.SpecError, match="only partial pooling has"):
        sp.compare_scale_priors(model.with_(pooling="none"))
    with pytest.raises(sp.SpecError, match=r"scale=0\.0 must be positive"):
        sp.compare_scale_priors(model, scale=0.0)


def test_labels_stay_text() -> None:
    found = comparison(factor="<script>")
    assert "<script>" not in found._repr_html_()
    lines = str(found).splitlines()
    assert lines[0] == "tau_<script>[Intercept]"
    assert max(map(len, lines)) <= 88


def test_plot_has_the_priors_density_in_a_panel_each() -> None:
    found = comparison()
    axes = found.plot().axes
    assert [ax.get_title(loc="left") for ax in axes] == found.table["prior"].tolist()
    expected = (
        stats.uniform(0, 10),
        stats.halfcauchy(scale=2.5),
        stats.halfnorm(),
        stats.expon(),
    )
    for ax, distribution in zip(axes, expected, strict=True):
        at, density = ax.lines[0].get_data()
        np.testing.assert_allclose(density[1:], distribution.pdf(at[1:]))
    row = found.fits["half_normal"].model.priors[TAU]
    assert prior_density(row, np.array([-1.0])) == 0
