"""Functions in C++ that integrate groups out are those in Stan: with gradients."""

from __future__ import annotations

from typing import Any

import cmdstanpy
import numpy as np
import pytest

import stanpool as sp
from stanpool.base.system.files import shipped_folder
from statistical.gradients import assert_equal, compiled, gradient

pytestmark = pytest.mark.compiled

MARGINALS = ("marginal_normal_id_glm", "twice_marginal_normal_id_glm")

MARGINAL = """\
functions {{
{functions}
}}
data {{
  int<lower=0, upper=1> in_cpp;
  int<lower=0, upper=1> is_twice;
  int G;
  int Q;
  int D;
  array[Q] vector[G] y;
  array[Q] matrix[G, D] X;
  array[Q] matrix[G, Q] Z;
  vector[G] count;
  int J_2;
  int Q_2;
  int E;
  array[Q] vector[E] A;
  array[E] int column;
  array[G + 1] int first;
  matrix[J_2 * Q_2, 1 + D + J_2 * Q_2] products;
}}
parameters {{
  vector[D] theta;
  vector<lower=0>[Q] tau;
  cholesky_factor_corr[Q] L_Omega;
  vector<lower=0>[G] v;
  matrix[Q_2, Q_2] T;
}}
model {{
  matrix[Q, Q] Sigma = tcrossprod(diag_pre_multiply(tau, L_Omega));
  if (is_twice == 1) {{
    if (in_cpp == 0) {{
      target += own_twice_marginal_normal_id_glm_lpdf(y | X, theta, Z, Sigma, v[1],
                                                      count, A, column, first,
                                                      products, T);
    }} else {{
      y ~ twice_marginal_normal_id_glm(X, theta, Z, Sigma, v[1], count, A, column,
                                       first, products, T);
    }}
  }} else if (in_cpp == 0) {{
    target += own_marginal_normal_id_glm_lpdf(y | X, theta, Z, Sigma, v, count);
  }} else {{
    y ~ marginal_normal_id_glm(X, theta, Z, Sigma, v, count);
  }}
}}
"""


def declared_and_defined(name: str) -> list[str]:
    """Return a function as C++ has it, and as Stan has it, under another name."""
    folder = shipped_folder("stan_templates") / "functions"
    text = (folder / f"{name}.stanfunctions").read_text()
    return [text.partition(" {")[0] + ";", text.replace(name, f"own_{name}")]


@pytest.fixture(scope="module")
def marginal(pytestconfig: pytest.Config) -> cmdstanpy.CmdStanModel:
    functions = [line for name in MARGINALS for line in declared_and_defined(name)]
    program = MARGINAL.format(functions="\n".join(functions))
    as_fits = pytestconfig.getoption("--slow")
    return compiled("marginal", program, *MARGINALS, as_fits=as_fits)


NO_SECOND_FACTOR = {"is_twice": 0, "J_2": 0, "Q_2": 0, "E": 0, "column": []}


def groups_of(
    groups: int, varying: int, columns: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return data and parameters."""
    rng = np.random.default_rng([groups, varying, columns])
    data = NO_SECOND_FACTOR | {
        "G": groups,
        "Q": varying,
        "A": [[]] * varying,
        "first": [1] * (groups + 1),
        "products": np.zeros((0, 1 + columns)).tolist(),
        "D": columns,
        "y": rng.normal(size=(varying, groups)).tolist(),
        "X": rng.normal(size=(varying, groups, columns)).tolist(),
        "Z": rng.normal(size=(varying, groups, varying)).tolist(),
        "count": rng.uniform(0.5, 3.0, groups).tolist(),
    }
    point = {
        "theta": rng.normal(size=columns).tolist(),
        "tau": rng.uniform(0.1, 2.0, varying).tolist(),
        "L_Omega": np.linalg.cholesky(0.3 + 0.7 * np.eye(varying)).tolist(),
        "v": rng.lognormal(0.0, 1.0, groups).tolist(),
        "T": [],
    }
    return data, point


def crossed_groups(
    groups: int, varying: int, columns: int, second: tuple[int, int], *, nested: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the same with a second factor of so many groups and coefficients.

    Each group of the first one meets some of it; one of it, if it is nested there.
    """
    data, point = groups_of(groups, varying, columns)
    rng = np.random.default_rng([groups, *second])
    j_2, q_2 = second
    met = rng.uniform(size=(groups, j_2)) < 0.3
    if nested:
        met = rng.integers(0, j_2, groups)[:, None] == np.arange(j_2)
    column = [np.flatnonzero(np.repeat(each, q_2)) + 1 for each in met]
    sizes = [len(each) for each in column]
    # Other rows connect what the groups connect: here each column with itself.
    rest = np.diag(rng.normal(size=j_2 * q_2))
    other = rng.normal(size=(j_2 * q_2, 1 + columns))
    data |= {
        "is_twice": 1,
        "J_2": j_2,
        "Q_2": q_2,
        "E": sum(sizes),
        "A": rng.normal(size=(varying, sum(sizes))).tolist(),
        "column": np.concatenate(column).tolist(),
        "first": np.cumsum([1, *sizes]).tolist(),
        "products": (rest.T @ np.column_stack([other, rest])).tolist(),
    }
    return data, point | {"T": rng.normal(size=(q_2, q_2)).tolist()}


@pytest.mark.parametrize(
    ("groups", "varying", "columns"),
    [(1, 1, 0), (64, 1, 1), (65, 2, 4), (130, 3, 2), (70, 5, 1), (1500, 2, 1)],
)
def test_groups_that_are_integrated_out(
    marginal: cmdstanpy.CmdStanModel, groups: int, varying: int, columns: int
) -> None:
    assert_equal(marginal, *groups_of(groups, varying, columns))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("groups", "varying", "columns", "second"),
    [(1, 1, 0, (1, 1)), (70, 1, 2, (9, 1)), (65, 3, 1, (5, 2)), (30, 2, 0, (4, 3))],
)
def test_groups_of_two_factors_are_integrated_out(
    marginal: cmdstanpy.CmdStanModel,
    groups: int,
    varying: int,
    columns: int,
    second: tuple[int, int],
    *,
    nested: bool,
) -> None:
    found = crossed_groups(groups, varying, columns, second, nested=nested)
    assert_equal(marginal, *found)


def test_threads_change_no_digit_of_groups(
    marginal: cmdstanpy.CmdStanModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, point = groups_of(1500, 2, 1)
    alone = gradient(marginal, data, point, in_cpp=True)
    monkeypatch.setenv("STAN_NUM_THREADS", "3")
    np.testing.assert_array_equal(gradient(marginal, data, point, in_cpp=True), alone)


def test_a_variance_that_overflows_is_no_density(
    marginal: cmdstanpy.CmdStanModel,
) -> None:
    one = {"y": [[0.0]], "X": [[[]]], "Z": [[[1.0]]], "count": [1.0]}
    none = {"A": [[]], "first": [1, 1], "products": np.zeros((0, 1)).tolist()}
    data = {"G": 1, "Q": 1, "D": 0, **one, **NO_SECOND_FACTOR, **none}
    point = {"theta": [], "tau": [1e200], "L_Omega": [[1.0]], "v": [1.0], "T": []}
    assert not np.isfinite(gradient(marginal, data, point, in_cpp=True)[0])


def test_draws_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(1)
    data = {"win": rng.integers(0, 2, 9000), "x1": rng.normal(size=9000)}
    data |= {"g": rng.integers(0, 4, 9000), "x2": rng.normal(size=9000)}
    model = sp.Model(
        "win ~ 1 + x1 + x2 + (1 + x2 || g)",
        data,
        family="bernoulli",
        parameterization="noncentered",
    )
    alone, together = (
        model.fit(
            chains=1, draws=5, warmup=20, seed=1, threads_per_chain=n, progress=False
        )
        for n in (1, 3)
    )
    assert together.posterior.equals(alone.posterior)


CROSSPRODUCTS = """\
functions {{
{functions}
}}
data {{
  int<lower=0, upper=1> in_cpp;
  int C;
  int E;
  vector[C] products;
  real squares;
  real N;
  vector[C] theta_hat;
  vector[E] gram;
  array[E] int row;
  array[E] int column;
}}
parameters {{
  vector[C] theta;
  real<lower=0> sigma;
}}
model {{
  if (in_cpp == 0) {{
    target += own_normal_crossproducts_lpdf(products | squares, N, theta, sigma,
                                            theta_hat, gram, row, column);
    products ~ own_normal_crossproducts(squares, N, theta, 1.0, theta_hat, gram, row,
                                        column);
  }} else {{
    products ~ normal_crossproducts(squares, N, theta, sigma, theta_hat, gram, row,
                                    column);
    products ~ normal_crossproducts(squares, N, theta, 1.0, theta_hat, gram, row,
                                    column);
  }}
}}
"""


@pytest.mark.parametrize("columns", [1, 7, 200])
def test_crossproducts_of_columns(columns: int, pytestconfig: pytest.Config) -> None:
    functions = "\n".join(declared_and_defined("normal_crossproducts"))
    program = CROSSPRODUCTS.format(functions=functions)
    as_fits = pytestconfig.getoption("--slow")
    model = compiled("crossproducts", program, "normal_crossproducts", as_fits=as_fits)
    rng = np.random.default_rng(columns)
    row, column = np.triu_indices(columns)
    kept = (row == column) | (rng.uniform(size=len(row)) < 0.3)
    data = {
        "C": columns,
        "E": int(kept.sum()),
        "products": rng.normal(size=columns).tolist(),
        "squares": 17.0,
        "N": 300.5,
        "theta_hat": rng.normal(size=columns).tolist(),
        "gram": rng.normal(size=int(kept.sum())).tolist(),
        "row": (row[kept] + 1).tolist(),
        "column": (column[kept] + 1).tolist(),
    }
    point = {"theta": rng.normal(size=columns).tolist(), "sigma": 0.7}
    assert_equal(model, data, point)
