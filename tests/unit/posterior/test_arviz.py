"""The seam to ArviZ, on the line that is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import pytest
import xarray as xr

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


# That of our own processes is empty, too: conftest.py makes it.
@pytest.mark.parametrize(
    "cache", [pytest.param("empty", marks=pytest.mark.slow), "unwritable"]
)
def test_import_survives_warnings_as_errors_and_an_unwritable_cache(tmp_path, cache):
    folder = tmp_path
    if cache == "unwritable":
        folder = tmp_path / "file"
        folder.write_text("")
    code = (
        "import numpy as np, xarray as xr; from stanpool.posterior import arviz; "
        "draws = xr.Dataset({'x': (('chain', 'draw'), np.eye(4))}); "
        "print(arviz.mcse_mean(draws)['x'].shape)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", code],
        env={**os.environ, "XDG_CACHE_HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "()", done.stderr
