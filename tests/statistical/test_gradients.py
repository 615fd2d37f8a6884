"""Functions in C++ are those that the programs define in Stan: values and gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cmdstanpy
import numpy as np
import pytest

import stanpool as sp
from stanpool.base.system.files import shipped_folder
from stanpool.engine import compile_program

pytestmark = pytest.mark.compiled

OUTCOMES = ("bernoulli_logit", "binomial_logit", "poisson_log")
# With parameters of their own.
OWN = {
    "grouped_negative_binomial_log_glm": ("phi",),
    "grouped_student_t_identity_glm": ("nu", "sigma"),
    "grouped_lognormal_identity_glm": ("sigma",),
    "grouped_gamma_log_glm": ("shape",),
}
FAMILIES = (
    *(f"grouped_{outcome}_glm" for outcome in OUTCOMES),
    *(f"weighted_{outcome}_glm" for outcome in OUTCOMES),
    *OWN,
)
MARGINALS = ("marginal_normal_id_glm", "twice_marginal_normal_id_glm")
SOME = {"phi": 0.7, "nu": 4.0, "sigma": 1.3, "shape": 2.0}
CLOSE = 1e-10

PROGRAM = """\
functions {{
{functions}
}}
data {{
  int<lower=1, upper=10> family;
  int<lower=0, upper=1> in_cpp;
  int N;
  int K;
  int R;
  int M;
  array[N] int y;
  vector[N] amount;
  array[N] int trials;
  vector[N] weights;
  matrix[N, K] X;
  matrix[N, R] W;
  array[R, N] int place;
}}
parameters {{
  real alpha;
  vector[K] beta;
  vector[M] u;
  real<lower=0> phi;
  real<lower=0> nu;
  real<lower=0> sigma;
  real<lower=0> shape;
}}
model {{
{statements}
}}
"""


def function(name: str) -> str:
    folder = shipped_folder("stan_templates") / "functions"
    return (folder / f"{name}.stanfunctions").read_text()


def declared_and_defined(name: str) -> list[str]:
    """Return a function as C++ has it, and as Stan has it, under another name."""
    text = function(name)
    return [text.partition(" {")[0] + ";", text.replace(name, f"own_{name}")]


def compiled(name: str, program: str, *headers: str) -> cmdstanpy.CmdStanModel:
    folder = shipped_folder("stan_templates") / "cpp"
    header = "\n".join(
        (folder / f"{each}.hpp").read_text() for each in ("lanes", "team", *headers)
    )
    executable = compile_program(program, name=name, header=header, progress=False)
    return cmdstanpy.CmdStanModel(exe_file=str(executable))


def grouped_program() -> str:
    """Return a program that calls each function, in Stan or in C++."""
    functions, statements = [], []
    for number, name in enumerate(FAMILIES, 1):
        functions += declared_and_defined(name)
        told = ["weights"] if "weighted" in name else []
        told += ["trials"] if "binomial_logit" in name else []
        told += [*OWN.get(name, ()), "X, alpha, beta, W, place, u"]
        arguments = ", ".join(told)
        is_count = name not in OWN or "binomial" in name
        y, kind = ("y", "lpmf") if is_count else ("amount", "lpdf")
        for test, called in (("==", f"own_{name}"), ("!=", name)):
            # With the terms that are constant, and without (of which Stan has others
            # where there are parameters of a family's own).
            dropped = "" if name in OWN else f"{y} ~ {called}({arguments});"
            statements += [
                f"  if (family == {number} && in_cpp {test} 0) {{",
                f"    {dropped}",
                f"    target += {called}_{kind}({y} | {arguments});",
                "  }",
            ]
    return PROGRAM.format(
        functions="\n".join(functions), statements="\n".join(statements)
    )


@pytest.fixture(scope="module")
def grouped() -> cmdstanpy.CmdStanModel:
    return compiled("grouped_glm", grouped_program(), "grouped_glm")


def data_of(family: str, rows: int, columns: int, effects: int) -> dict[str, Any]:
    rng = np.random.default_rng([rows, columns, effects])
    trials = rng.integers(0, 30, rows)
    outcomes = {
        "bernoulli": rng.integers(0, 2, rows),
        "binomial_logit": rng.binomial(trials, 0.3),
        "poisson": rng.poisson(2.0, rows),
        # Some beyond the counts that are looked up together.
        "negative_binomial": rng.poisson(2.0, rows) * rng.choice([1, 5000], rows),
    }
    numbers = 7 * effects
    return {
        "family": FAMILIES.index(family) + 1,
        "N": rows,
        "K": columns,
        "R": effects,
        "M": numbers,
        "y": next((y for n, y in outcomes.items() if f"_{n}_" in family), trials),
        "amount": rng.lognormal(0.0, 2.0, rows).tolist(),
        "trials": trials.tolist(),
        "weights": rng.uniform(0.1, 3.0, rows).tolist(),
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


def assert_equal(
    model: cmdstanpy.CmdStanModel, data: Mapping[str, Any], point: Mapping[str, Any]
) -> None:
    """Compare log density and gradient: to 1e-10, relatively where they are large."""
    ours, stans = (gradient(model, data, point, in_cpp=own) for own in (True, False))
    assert np.isfinite(stans).all()
    np.testing.assert_allclose(ours, stans, rtol=CLOSE, atol=CLOSE)


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
        **{name: rng.lognormal() for name in SOME},
    }
    assert_equal(grouped, data, point)


def test_threads_change_no_digit(
    grouped: cmdstanpy.CmdStanModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_of("grouped_bernoulli_logit_glm", 10_000, 2, 1)
    point = {"alpha": 0.3, "beta": [0.1, -0.2], "u": [0.2] * 7, **SOME}
    assert_equal(grouped, data, point)
    monkeypatch.setenv("STAN_NUM_THREADS", "1")
    alone = gradient(grouped, data, point, in_cpp=True)
    monkeypatch.setenv("STAN_NUM_THREADS", "3")
    np.testing.assert_array_equal(gradient(grouped, data, point, in_cpp=True), alone)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("alpha", [-40.0, -800.0, 40.0])
def test_rows_far_out(
    grouped: cmdstanpy.CmdStanModel, family: str, alpha: float
) -> None:
    if "gamma" in family:  # Stan overflows where exp(-eta) does
        alpha = max(alpha, -600.0)
    data = data_of(family, 20, 1, 1)
    point = {"alpha": alpha, "beta": [0.1], "u": [0.2] * 7, **SOME}
    assert_equal(grouped, data, point)


@pytest.mark.parametrize("own", [1e-3, 0.1, 30.0, 1000.0])
@pytest.mark.parametrize("family", OWN)
def test_own_parameters_far_out(
    grouped: cmdstanpy.CmdStanModel, family: str, own: float
) -> None:
    data = data_of(family, 300, 1, 1)
    point = {"alpha": 0.3, "beta": [0.1], "u": [0.2] * 7}
    assert_equal(grouped, data, point | dict.fromkeys(SOME, own))
    if family == "grouped_student_t_identity_glm":
        assert_equal(grouped, data, point | SOME | {"nu": own})
        assert_equal(grouped, data, point | SOME | {"sigma": own})


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


@pytest.fixture(scope="module")
def marginal() -> cmdstanpy.CmdStanModel:
    functions = [line for name in MARGINALS for line in declared_and_defined(name)]
    program = MARGINAL.format(functions="\n".join(functions))
    return compiled("marginal", program, *MARGINALS)


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
def test_crossproducts_of_columns(columns: int) -> None:
    functions = "\n".join(declared_and_defined("normal_crossproducts"))
    program = CROSSPRODUCTS.format(functions=functions)
    model = compiled("crossproducts", program, "normal_crossproducts")
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
