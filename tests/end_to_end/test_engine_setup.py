"""The embedded engine as cmdstanpy sees it: any program, with and without tools."""

from __future__ import annotations

import math
import os
import shutil

import pytest

from miniature_engine import forget
from stanpool.engine import doctor, ensure
from stanpool.engine.install import embedded, toolchain

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


def test_a_program_with_a_solver_and_a_user_header(folder, tmp_path):
    import cmdstanpy

    home = ensure(progress=False)
    assert cmdstanpy.cmdstan_version() == (2, 39)
    assert cmdstanpy.cmdstan_path() == str(home)
    program, header = folder / "solver.stan", tmp_path / "half.hpp"
    program.write_text(SOLVER)
    header.write_text(HALF)

    model = cmdstanpy.CmdStanModel(stan_file=program, user_header=header)
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
