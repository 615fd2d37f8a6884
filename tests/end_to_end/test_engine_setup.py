"""The embedded engine as cmdstanpy sees it: any program, with and without tools."""

from __future__ import annotations

import math
import os
import shutil

import numpy as np
import pytest
import xarray as xr

from miniature_engine import forget
from stanpool.engine import compile_program, doctor, ensure
from stanpool.engine.install import embedded, toolchain
from stanpool.posterior import arviz

pytestmark = pytest.mark.compiled

SOLVER = """
functions {
  real half(real x);
  vector decay(real t, vector y, real rate) {
    return -rate * y;
  }
}
data { real<lower=0> rate; }
generated quantities {
  vector[1] y = ode_bdf(decay, [1]', 0, {2.0}, rate)[1];
  real h = half(rate);
}
"""

HALF = """
#include <ostream>
template <typename T>
T half(const T& x, std::ostream* messages) { return x / 2; }
"""

EIGHT_SCHOOLS = """
data { int<lower=1> J; vector[J] y; vector<lower=0>[J] sigma; }
parameters { real mu; real<lower=0> tau; vector[J] theta; }
model {
  mu ~ normal(0, 10);
  tau ~ cauchy(0, 5);
  theta ~ normal(mu, tau);
  y ~ normal(theta, sigma);
}
"""

COIN = """
data { int<lower=0> N; int<lower=0, upper=N> y; }
parameters { real<lower=0, upper=1> theta; }
model { y ~ binomial(N, theta); }
"""


@pytest.fixture(autouse=True)
def _embedded(monkeypatch):
    monkeypatch.setenv("STANPOOL_ENGINE", "embedded")
    for variable in ("CMDSTAN", "STANPOOL_CMDSTAN", "MAKE"):
        forget(monkeypatch, variable)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "a folder of Zoë's"
    folder.mkdir()
    return folder


def _flip_a_coin(folder, **options):
    """Fit 7 of 10 with a flat prior, the posterior of which is beta(8, 4)."""
    import cmdstanpy

    program = folder / "coin.stan"
    program.write_text(COIN)
    model = cmdstanpy.CmdStanModel(stan_file=program, **options)
    fit = model.sample({"N": 10, "y": 7}, seed=1, chains=4, show_progress=False)
    theta = fit.stan_variable("theta")
    deviation = math.sqrt(8 * 4 / (12**2 * 13))
    # Four chains of 1000 draws are worth more than 1000 independent ones here.
    assert theta.mean() == pytest.approx(8 / 12, abs=4 * deviation / math.sqrt(1000))
    assert len(theta) == 4000


@pytest.mark.slow
def test_a_program_with_a_solver_and_a_user_header(folder, tmp_path):
    import cmdstanpy

    home = ensure(progress=False)
    assert cmdstanpy.cmdstan_version() == (2, 39)
    assert cmdstanpy.cmdstan_path() == str(home)
    program, header = folder / "solver.stan", tmp_path / "half.hpp"
    program.write_text(SOLVER)
    header.write_text(HALF)

    model = cmdstanpy.CmdStanModel(
        stan_file=program, user_header=header, cpp_options={"O": 1}
    )
    fit = model.sample(
        {"rate": 0.3}, fixed_param=True, chains=1, iter_sampling=1, show_progress=False
    )

    assert fit.stan_variable("y").item() == pytest.approx(math.exp(-0.6), rel=1e-5)
    assert fit.stan_variable("h").item() == pytest.approx(0.15)


def test_a_wrong_program_is_refused_with_the_words_of_stanc(folder):
    import cmdstanpy

    ensure(progress=False)
    program = folder / "wrong.stan"
    program.write_text("parameters { real x; } model { x ~ normal(0, y); }")
    with pytest.raises(ValueError, match=r"Identifier .y. not in scope"):
        cmdstanpy.CmdStanModel(stan_file=program)


@pytest.mark.slow  # a miniature does it in unit/engine/test_setup.py
def test_cmdstanpy_works_without_make(folder, tmp_path, monkeypatch):
    _hide(monkeypatch, tmp_path, "make")
    home = ensure(progress=False)
    assert os.environ["MAKE"] == str(home / "bin" / "make")
    _flip_a_coin(folder)


@pytest.mark.slow
def test_cmdstanpy_works_with_threads(folder):
    ensure(progress=False)
    _flip_a_coin(folder, cpp_options={"STAN_THREADS": True})


@pytest.mark.slow
def test_cmdstanpy_works_without_a_compiler_and_make(folder, tmp_path, monkeypatch):
    _hide(monkeypatch, tmp_path, "make", "g++", "clang++", "c++")
    assert embedded.choose_compiler().kind == "zig"
    ensure(progress=False)
    _flip_a_coin(folder)
    checkup = doctor()
    assert checkup.ok
    assert "may differ in the last digits" in " ".join(checkup.notes)


def _hide(monkeypatch, tmp_path, *hidden):
    """Make the path a folder with links to a few tools, without the hidden ones."""
    tools = tmp_path / "tools"
    tools.mkdir()
    wanted = "sh dirname mkdir rm mv cp cat seq nproc getconf g++ as ld".split()
    for name in set(wanted) - set(hidden):
        if found := shutil.which(name):
            (tools / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.delenv("CXX", raising=False)
    toolchain._compiler.cache_clear()


# How cmdstanpy 1.3 reads the statistics displeases pandas 3.
@pytest.mark.filterwarnings("ignore:The 'float_precision' argument")
def test_cmdstanpy_summarizes_and_diagnoses_an_own_program():
    import cmdstanpy

    home = ensure(progress=False)
    for name in ("stansummary", "diagnose"):
        (home / "bin" / name).unlink()
    executable = compile_program(EIGHT_SCHOOLS, name="eight_schools_by_hand")
    assert ensure(progress=False) == home  # writes them anew
    fit = cmdstanpy.CmdStanModel(exe_file=str(executable)).sample(
        {
            "J": 8,
            "y": [28, 8, -3, 7, -1, 1, 18, 12],
            "sigma": [15, 10, 16, 11, 9, 11, 10, 18],
        },
        seed=1,
        chains=4,
        sig_figs=12,
        show_progress=False,
    )
    table = fit.summary(percentiles=(5, 50, 95), sig_figs=8)

    draws = fit.draws_xr()[["tau", "theta"]]
    labels = ["tau", *(f"theta[{place}]" for place in range(1, 9))]
    stacked = np.concatenate([draws["tau"].to_numpy()[..., None], draws["theta"]], 2)
    dataset = xr.Dataset({"x": (("chain", "draw", "name"), stacked)})
    expected = {
        "Mean": stacked.mean(axis=(0, 1)),
        "MCSE": arviz.mcse_mean(dataset)["x"],
        "StdDev": stacked.std(axis=(0, 1), ddof=1),
        "5%": np.quantile(stacked, 0.05, axis=(0, 1)),
        "50%": np.quantile(stacked, 0.5, axis=(0, 1)),
        "95%": np.quantile(stacked, 0.95, axis=(0, 1)),
        "ESS_bulk": arviz.ess_bulk(dataset)["x"],
        "ESS_tail": arviz.ess_tail(dataset)["x"],
        "R_hat": arviz.rhat(dataset)["x"],
    }
    assert list(table.index) == ["lp__", "mu", *labels]
    for column, values in expected.items():
        found = table.loc[labels, column].to_numpy()
        assert found == pytest.approx(np.asarray(values), rel=1e-6), column

    # The funnel of the centered form, which everybody knows.
    said = " ".join(fit.diagnose().split())
    count = int(fit.divergences.sum())
    assert count > 0
    assert f"{count} of 4,000 transitions" in said
    assert "Treedepth satisfactory" in said
    assert "problems were detected" in said
