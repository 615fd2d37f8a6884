"""A fit as ArviZ sees it: no constants, and what ArviZ's functions need."""

from __future__ import annotations

import warnings
from importlib.metadata import version

import numpy as np
import pytest
import xarray as xr

import stanpool as sp
from golden.catalogue import small_data
from simulated_fits import fit_of_points, fit_of_prior

IS_OLD = version("arviz").startswith("0.")


@pytest.fixture(scope="module")
def fit() -> sp.Fit:
    model = sp.Model("y ~ x1 + (1 + x1 + x2 | g)", small_data())
    return fit_of_points(model, chains=2, draws=100)[0]


@pytest.fixture(scope="module")
def container(fit):
    return fit.to_arviz(
        log_likelihood=True, posterior_predictive=True, prior=True, seed=1
    )


def quietly(function, *arguments, **options):
    """Call ArviZ, whose warnings are about draws that nobody fitted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def test_summary_has_no_constants_and_each_correlation_once(fit, container):
    import arviz

    table = quietly(
        arviz.summary, container, **({} if IS_OLD else {"round_to": "none"})
    )
    assert not table["r_hat"].isna().any()
    assert set(table.index) == set(fit.summary().index)
    assert "Omega_g[Intercept, x2]" in table.index


def test_what_is_left_out_is_left_in_the_fit(fit):
    assert fit.posterior["Omega_g"].shape == (2, 100, 3, 3)
    pairs = fit.to_arviz()["posterior"]["Omega_g"]
    np.testing.assert_array_equal(
        pairs.to_numpy(),
        fit.posterior["Omega_g"].to_numpy()[:, :, [0, 0, 1], [1, 2, 2]],
    )


def test_loadings_that_are_zero_are_left_out():
    rng = np.random.default_rng(1)
    data = {"y": rng.normal(size=24), "u": list("abcdef") * 4, "i": list("pqrs") * 6}
    data["g"] = list("abc") * 8
    model = sp.Model("y ~ 1 + factors(u, i, rank=2) + (1 | g)", data)
    drawn = fit_of_prior(model, chains=2, draws=20)
    posterior = drawn.to_arviz()["posterior"]
    assert (np.ptp(posterior["loadings_i"].to_numpy(), axis=(0, 1)) > 0).all()
    assert posterior["scores_u"].dims == ("chain", "draw", "u", "latent")


def test_groups_have_the_same_outcome(fit, container):
    assert {
        *("posterior", "sample_stats", "observed_data", "log_likelihood"),
        *("posterior_predictive", "prior", "prior_predictive", "log_prior"),
    } <= set(container if IS_OLD else container.children)
    for group in ("log_likelihood", "posterior_predictive"):
        assert container[group]["y"].shape == (2, 100, 14)
    np.testing.assert_array_equal(
        container["log_likelihood"]["y"].to_numpy(), fit.log_lik().to_numpy()
    )
    np.testing.assert_array_equal(
        container["posterior_predictive"]["y"].to_numpy(),
        fit.predict(seed=1).to_numpy(),
    )


def test_some_draws_are_the_same_in_every_group(fit):
    some = fit.to_arviz(log_likelihood=True, draws=20)
    draws = some["posterior"]["draw"].to_numpy()
    assert len(draws) == 10
    np.testing.assert_array_equal(some["sample_stats"]["draw"].to_numpy(), draws)
    np.testing.assert_array_equal(
        some["log_likelihood"]["y"].to_numpy(), fit.log_lik().to_numpy()[:, draws]
    )


def test_loo_and_compare_of_arviz_are_ours(fit, container):
    import arviz

    found = quietly(arviz.loo, container, var_name="y", pointwise=True)
    elpd = found.elpd_loo if IS_OLD else found.elpd
    assert float(elpd) == pytest.approx(fit.loo().elpd, rel=1e-3)
    other = fit.to_arviz(log_likelihood=True)
    assert len(quietly(arviz.compare, {"a": container, "b": other})) == 2


def test_power_scaling_of_arviz_is_ours(fit, container):
    import arviz

    if IS_OLD:
        theirs = quietly(arviz.psens, container, component="prior")
    else:
        theirs = quietly(arviz.psense, container, group="prior")
    ours = fit.prior_sensitivity()["prior"]
    assert float(theirs["sigma"]) == pytest.approx(ours["sigma"], rel=1e-6)
    assert float(theirs["Omega_g"][0]) == pytest.approx(
        ours["Omega_g[Intercept, x1]"], rel=1e-6
    )


def test_predictive_figure_of_arviz(container):
    import arviz

    if IS_OLD:
        quietly(arviz.plot_ppc, container, num_pp_samples=10)
    else:
        quietly(arviz.plot_ppc_dist, container, num_samples=10)
    import matplotlib.pyplot as plt

    plt.close("all")


def test_categories_are_numbers_as_observed():
    data = small_data().assign(kind=list("pqr") * 4 + ["p", "q"])
    model = sp.Model("kind ~ x1 + (1 | g)", data, family="categorical")
    drawn = fit_of_prior(model, chains=2, draws=20)
    container = drawn.to_arviz(posterior_predictive=True, seed=1)
    predicted = container["posterior_predictive"]["y"].to_numpy()
    assert set(np.unique(predicted)) == {0, 1, 2}
    labels = np.array(model.design.categories)[predicted]
    np.testing.assert_array_equal(labels, drawn.predict(seed=1).to_numpy())


def test_much_memory_is_told_before(fit, caplog, monkeypatch, capsys):
    monkeypatch.setattr("stanpool.inference.arviz_export.LARGE_ARRAY", 125)
    with caplog.at_level("INFO", logger="stanpool"):
        fit.to_arviz(log_likelihood=True, posterior_predictive=True)
    assert "14 rows at 200 draws" in caplog.text
    assert "14 rows at 200 draws" in capsys.readouterr().err
    fit.to_arviz(log_likelihood=True, progress=False)
    assert not capsys.readouterr().err


def test_exact_draws_leave_constants_out_too():
    model = sp.Model(
        "y | se(sigma) ~ 1 + (1 | school)", sp.load_dataset("eight_schools")
    )
    drawn = sp.exact.known_sigma(model).draw(np.random.default_rng(1), draws=20)
    posterior = drawn.to_arviz()["posterior"]
    assert posterior["b_school"].dims[2:] == ("school", "school_coefficient")


def test_draws_are_a_table_of_scalars(fit):
    table = fit.draws()
    assert table.shape == (200, len(fit.summary()))
    assert list(table.columns) == list(fit.summary().index)
    assert table.index.names == ["chain", "draw"]
    expected = fit.posterior["b_g"].sel(g="c", g_coefficient="x2").to_numpy()
    np.testing.assert_array_equal(table["b_g[c, x2]"].unstack().to_numpy(), expected)
    np.testing.assert_allclose(table.mean(), fit.summary()["mean"])
    assert list(fit.draws(groups=False)) == list(fit.summary(groups=False).index)
    assert list(fit.draws(var_names=["sigma"])) == ["sigma"]
    with pytest.raises(sp.SpecError, match="sgima"):
        fit.draws(var_names=["sgima"])


def test_no_kept_tree_is_changed(fit):
    assert isinstance(fit.tree, xr.DataTree)
    assert set(fit.tree.children) == {"posterior", "sample_stats", "observed_data"}
