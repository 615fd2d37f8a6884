"""The seam to ArviZ, on the line that is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from importlib.metadata import version

import numpy as np
import pytest
import xarray as xr
from scipy.special import logsumexp

from simulated_fits import simulated_fit
from stanpool.posterior import arviz as our_arviz


def test_to_arviz_gives_what_the_installed_arviz_works_on():
    import arviz

    fit = simulated_fit()
    container = fit.to_arviz()
    old = version("arviz").startswith("0.")
    assert isinstance(container, arviz.InferenceData if old else xr.DataTree)
    assert container["posterior"]["b_school"].dims == (
        "chain",
        "draw",
        "school",
        "school_coefficient",
    )
    assert float(our_arviz.rhat(container)["Intercept"]) == pytest.approx(1, abs=0.02)


def test_statistics_of_a_constant_do_not_warn():
    draws = xr.Dataset({"constant": (("chain", "draw"), np.ones((4, 100)))})
    assert np.isnan(our_arviz.rhat(draws)["constant"])
    assert our_arviz.ess_bulk(draws)["constant"] == 400
    assert our_arviz.mcse_mean(draws)["constant"] == 0


def test_tail_is_that_of_the_five_and_ninety_five_percent_quantiles():
    import arviz

    rng = np.random.default_rng(1)
    draws = xr.Dataset({"x": (("chain", "draw"), rng.normal(size=(4, 300)).cumsum(1))})
    quantiles = [
        float(arviz.ess(draws, method="quantile", prob=prob)["x"])
        for prob in (0.05, 0.95)
    ]
    assert float(our_arviz.ess_tail(draws)["x"]) == pytest.approx(min(quantiles))


def test_bfmi_is_the_mean_squared_step_over_the_variance():
    energy = np.random.default_rng(1).normal(size=(3, 500)).cumsum(axis=1)
    expected = (np.diff(energy) ** 2).mean(axis=1) / energy.var(axis=1, ddof=1)
    np.testing.assert_allclose(our_arviz.bfmi(energy), expected)


@pytest.mark.parametrize("cache", ["empty", "unwritable"])
def test_import_survives_warnings_as_errors_and_an_unwritable_cache(tmp_path, cache):
    folder = tmp_path
    if cache == "unwritable":
        folder = tmp_path / "file"
        folder.write_text("")
    code = (
        "import numpy as np; from stanpool.posterior import arviz; "
        "print(arviz.bfmi(np.eye(4)).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", code],
        env={**os.environ, "XDG_CACHE_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "(4,)", done.stderr


def test_psis_is_what_loo_of_this_arviz_does():
    rng = np.random.default_rng(2)
    log_lik = rng.normal(-1, 0.3, size=(4, 200, 6))
    log_lik[..., 0] *= 10
    # az.loo's own expected log densities, by the container of this ArviZ
    tree = xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"mu": (("chain", "draw"), log_lik[..., 1])}),
            "log_likelihood": xr.Dataset({"y": (("chain", "draw", "row"), log_lik)}),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import arviz

        container = our_arviz.to_arviz(tree)
        theirs = arviz.loo(container, pointwise=True, var_name="y", reff=0.7)
    flat = log_lik.reshape(-1, 6).T
    log_weights, pareto_k = our_arviz.psis(flat, relative_ess=0.7)
    ours = logsumexp(log_weights + flat, axis=1)
    pointwise = theirs.loo_i if hasattr(theirs, "loo_i") else theirs.elpd_i
    np.testing.assert_allclose(ours, np.asarray(pointwise), rtol=1e-10)
    np.testing.assert_allclose(pareto_k, np.asarray(theirs.pareto_k), rtol=1e-10)
    np.testing.assert_allclose(logsumexp(log_weights, axis=1), 0.0, atol=1e-10)


def test_psis_without_a_tail_falls_back_on_plain_weights():
    log_lik = np.random.default_rng(1).normal(size=(4, 400))
    log_lik[1] = -2.5  # constant
    log_lik[2, 7] = -np.inf
    log_weights, pareto_k = our_arviz.psis(log_lik, relative_ess=1.0)
    np.testing.assert_allclose(log_weights[1], -np.log(400))
    assert pareto_k[1] == -np.inf
    assert pareto_k[2] == np.inf
    assert log_weights[2, 7] == 0
    alone, k = our_arviz.psis(log_lik[[0]], relative_ess=1.0)
    np.testing.assert_array_equal(log_weights[0], alone[0])
    assert pareto_k[0] == k[0]
    few, k = our_arviz.psis(log_lik[[0], :3], relative_ess=1.0)
    np.testing.assert_allclose(few[0], -log_lik[0, :3] - logsumexp(-log_lik[0, :3]))
    assert k[0] == np.inf
