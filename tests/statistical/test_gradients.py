"""Functions in C++ are those that the programs define in Stan: values and gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cmdstanpy
import numpy as np
import pytest

from stanpool.engine import compile_program
from stanpool.resources import resource

FAMILIES = ("bernoulli_logit", "binomial_logit", "poisson_log")
RELATIVE = 1e-10

PROGRAM = """\
functions {{
{functions}
}}
data {{
  int<lower=1, upper=3> family;
  int<lower=0, upper=1> in_cpp;
  int N;
  int K;
  int R;
  int M;
  array[N] int y;
  array[N] int trials;
  matrix[N, K] X;
  matrix[N, R] W;
  array[R, N] int place;
}}
parameters {{
  real alpha;
  vector[K] beta;
  vector[M] u;
}}
model {{
{statements}
}}
"""


def function(name: str) -> str:
    folder = resource("stan_templates") / "functions"
    return (folder / f"{name}.stanfunctions").read_text()


def grouped_program() -> str:
    """Return a program that calls each function, in Stan or in C++."""
    functions, statements = [], []
    for number, family in enumerate(FAMILIES, 1):
        name = f"grouped_{family}_glm"
        text = function(name)
        functions += [text.partition(" {")[0] + ";", text.replace(name, f"own_{name}")]
        told = "trials, " if "binomial" in family else ""
        call = f"({told}X, alpha, beta, W, place, u);"
        for test, called in (("==", f"own_{name}"), ("!=", name)):
            # With and without the terms that are constant.
            statements += [
                f"  if (family == {number} && in_cpp {test} 0) {{",
                f"    y ~ {called}{call}",
                f"    target += {called}_lpmf(y | {call[1:]}",
                "  }",
            ]
    return PROGRAM.format(
        functions="\n".join(functions), statements="\n".join(statements)
    )


@pytest.fixture(scope="module")
def grouped() -> cmdstanpy.CmdStanModel:
    header = resource("stan_templates") / "functions" / "grouped_glm.hpp"
    executable = compile_program(
        grouped_program(), name="grouped", header=header.read_text(), progress=False
    )
    return cmdstanpy.CmdStanModel(exe_file=str(executable))


def data_of(family: str, rows: int, columns: int, effects: int) -> dict[str, Any]:
    rng = np.random.default_rng([rows, columns, effects])
    trials = rng.integers(0, 30, rows)
    outcomes = {
        "bernoulli_logit": rng.integers(0, 2, rows),
        "binomial_logit": rng.binomial(trials, 0.3),
        "poisson_log": rng.poisson(2.0, rows),
    }
    numbers = 7 * effects
    return {
        "family": FAMILIES.index(family) + 1,
        "N": rows,
        "K": columns,
        "R": effects,
        "M": numbers,
        "y": outcomes[family].tolist(),
        "trials": trials.tolist(),
        "X": rng.normal(size=(rows, columns)).tolist(),
        "W": rng.normal(size=(rows, effects)).tolist(),
        "place": rng.integers(1, numbers + 1, (effects, rows)).tolist(),
    }


def gradient(
    model: cmdstanpy.CmdStanModel,
    data: Mapping[str, Any],
    point: Mapping[str, Any],
    *,
    in_cpp: bool,
) -> np.ndarray:
    """Return the log density and its gradient."""
    found = model.log_prob(dict(point), {**data, "in_cpp": int(in_cpp)}, sig_figs=18)
    return found.to_numpy()[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("rows", "columns", "effects"),
    [(1, 0, 1), (7, 1, 1), (256, 3, 1), (257, 2, 2), (1000, 5, 3)],
)
def test_rows_with_group_effects(
    grouped: cmdstanpy.CmdStanModel, family: str, rows: int, columns: int, effects: int
) -> None:
    data = data_of(family, rows, columns, effects)
    rng = np.random.default_rng(1)
    point = {
        "alpha": rng.normal(),
        "beta": rng.normal(size=columns).tolist(),
        "u": rng.normal(size=data["M"]).tolist(),
    }
    ours, stans = (gradient(grouped, data, point, in_cpp=own) for own in (True, False))
    assert np.isfinite(stans).all()
    scale = np.maximum(1.0, np.abs(stans))
    np.testing.assert_allclose(ours / scale, stans / scale, rtol=0, atol=RELATIVE)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("alpha", [-40.0, -800.0, 40.0])
def test_rows_far_out(
    grouped: cmdstanpy.CmdStanModel, family: str, alpha: float
) -> None:
    data = data_of(family, 20, 1, 1)
    point = {"alpha": alpha, "beta": [0.1], "u": [0.2] * 7}
    ours, stans = (gradient(grouped, data, point, in_cpp=own) for own in (True, False))
    np.testing.assert_allclose(ours, stans, rtol=RELATIVE, atol=1e-10)
