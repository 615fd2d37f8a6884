"""Deviations of groups in C++ are those in Stan, and so is their density: gradients."""

from __future__ import annotations

from typing import Any

import cmdstanpy
import numpy as np
import pytest

from stanpool.base.system.files import shipped_folder
from statistical.gradients import assert_equal, compiled

pytestmark = pytest.mark.compiled

FORMS = ("plain", "correlated", "recentered")
IN_CPP = (
    "partly_centered",
    "partly_centered_correlated",
    "partly_centered_recentered",
    "multi_normal_rows",
)

# The last function calls those in C++, or those in Stan, whose names begin with own_.
PROGRAM = """\
functions {{
{functions}
matrix {start}deviations(int form, matrix z, matrix mean, vector tau, matrix L_Omega,
                  matrix c, matrix s, vector tau_pilot, vector decorrelated,
                  matrix uncenter) {{
  if (form == 0) {{
    return {start}partly_centered(z, mean, tau, c, s, tau_pilot);
  }} else if (form == 1) {{
    return {start}partly_centered_correlated(z, mean, tau, L_Omega, c, s, tau_pilot,
                                      decorrelated);
  }}
  return {start}partly_centered_recentered(z, mean, cholesky_at_centers(tau, uncenter),
                                    c, s, tau_pilot, uncenter);
}}
"""
BLOCKS = """\
}
data {
  int<lower=0, upper=1> in_cpp;
  int form;
  int J;
  int Q;
  matrix[J, Q] c;
  matrix[J, Q] s;
  vector[Q] tau_pilot;
  vector[J] decorrelated;
  matrix[Q, Q] uncenter;
}
transformed data {
  matrix[Q, Q] L = cholesky_decompose(add_diag(rep_matrix(0.3, Q, Q), 0.7));
  matrix[J, Q] values = deviations(form, s, c, 2 * tau_pilot, L, c, s, tau_pilot,
                                   decorrelated, uncenter);
  values -= own_deviations(form, s, c, 2 * tau_pilot, L, c, s, tau_pilot,
                           decorrelated, uncenter);
  if (max(abs(values)) > 1e-10) {
    reject("values without gradients differ: ", max(abs(values)));
  }
}
parameters {
  matrix[J, Q] z;
  matrix[J, Q] mean;
  vector<lower=0>[Q] tau;
  cholesky_factor_corr[Q] L_Omega;
}
model {
  matrix[Q, Q] scales = diag_pre_multiply(tau, L_Omega);
  matrix[J, Q] u;
  if (in_cpp == 1) {
    u = deviations(form, z, mean, tau, L_Omega, c, s, tau_pilot, decorrelated,
                   uncenter);
    u ~ multi_normal_rows(scales);
  } else {
    u = own_deviations(form, z, mean, tau, L_Omega, c, s, tau_pilot, decorrelated,
                       uncenter);
    u ~ own_multi_normal_rows(scales);
  }
  target += dot_product(to_vector(s), sin(to_vector(u)));
}
"""


def functions() -> str:
    """Return the functions twice: declared for C++, and defined in Stan."""
    folder = shipped_folder("stan_templates") / "functions"

    def text(name: str) -> str:
        return (folder / f"{name}.stanfunctions").read_text()

    declared = [text("cholesky_at_centers")]
    declared += [text(name).partition(" {")[0] + ";" for name in IN_CPP]
    own = "\n".join(map(text, IN_CPP)).replace("partly_centered", "own_partly_centered")
    own = own.replace("multi_normal_rows", "own_multi_normal_rows")
    first, _, last = PROGRAM.partition("matrix {start}deviations")
    last = "matrix {start}deviations" + last
    return (
        first.format(functions="\n".join([*declared, own]))
        + last.format(start="")
        + last.format(start="own_")
    )


@pytest.fixture(scope="module")
def program(pytestconfig: pytest.Config) -> cmdstanpy.CmdStanModel:
    return compiled(
        "partly_centered",
        functions() + BLOCKS,
        "partly_centered",
        as_fits=pytestconfig.getoption("--slow"),
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("groups", "varying"), [(1, 1), (7, 1), (5, 3)])
def test_deviations_of_groups(
    program: cmdstanpy.CmdStanModel, form: str, groups: int, varying: int
) -> None:
    rng = np.random.default_rng([groups, varying])
    shape = groups, varying
    c = rng.uniform(size=shape)
    c[0, 0] = 1.0  # centered
    c[-1, -1] = 0.0  # noncentered
    data: dict[str, Any] = {
        "form": FORMS.index(form),
        "J": groups,
        "Q": varying,
        "c": c.tolist(),
        "s": rng.lognormal(size=shape).tolist(),
        "tau_pilot": rng.lognormal(size=varying).tolist(),
        "decorrelated": rng.integers(0, 2, groups).tolist(),
        "uncenter": (
            np.eye(varying) - np.triu(rng.normal(size=(varying,) * 2), 1)
        ).tolist(),
    }
    point = {
        "z": rng.normal(size=shape).tolist(),
        "mean": rng.normal(size=shape).tolist(),
        "tau": rng.lognormal(size=varying).tolist(),
        "L_Omega": np.linalg.cholesky(0.3 + 0.7 * np.eye(varying)).tolist(),
    }
    assert_equal(program, data, point)


@pytest.mark.parametrize("scale", [1e-305, 1e-30, 1e30, 1e305])
def test_scales_far_from_their_estimate(
    program: cmdstanpy.CmdStanModel, scale: float
) -> None:
    data = {
        "form": 0,
        "J": 3,
        "Q": 1,
        "c": [[0.0], [0.3], [1.0]],
        "s": [[1.0]] * 3,
        "tau_pilot": [1.0],
        "decorrelated": [0] * 3,
        "uncenter": [[1.0]],
    }
    # Groups that are centered are at their means: elsewhere no density is finite.
    point = {"z": [[0.8], [0.3], [1.0]], "mean": [[1.0]] * 3, "tau": [scale]}
    assert_equal(program, data, point | {"L_Omega": [[1.0]]})
