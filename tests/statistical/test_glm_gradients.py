"""Likelihoods of all rows and groups in C++ are those in Stan: values and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import cmdstanpy
import numpy as np
import pytest
from scipy import special

from stanpool.language.family import FAMILIES
from stanpool.model.program.render import render
from stanpool.model.program.structure import FactorStructure, Structure
from statistical.gradients import CLOSE, assert_equal, compiled, gradient

pytestmark = pytest.mark.compiled

Programs = Callable[[str], cmdstanpy.CmdStanModel]
# What families are told besides the predictor, in the order of their functions.
OWN = {
    "binomial": ("trials",),
    "beta_binomial": ("trials", "phi"),
    "beta": ("phi",),
    "negative_binomial": ("phi",),
    "student_t": ("nu", "sigma"),
    "gaussian": ("sigma",),
    "lognormal": ("sigma",),
    "gamma": ("shape",),
    "weibull": ("shape",),
    "inverse_gaussian": ("shape",),
    "ordinal": ("cutpoint_c",),
}
SCALES_OF_GROUPS = ("gaussian_identity", "student_t_identity")
NAMES = tuple(
    f"{kind}_{name}_{link}"
    for name, family in FAMILIES.items()
    if family.compiled
    for link in family.links
    for kind in ("grouped", "weighted")
) + tuple(f"residual_{each}" for each in SCALES_OF_GROUPS)


def family_of(name: str) -> str:
    return name.partition("_")[2].rpartition("_")[0]


PROGRAM = """\
functions {{
{functions}
}}
data {{
  int number;
  int<lower=0, upper=1> in_cpp;
  int N;
  int K;
  int R;
  int M;
  int C;
  array[N] int y;
  vector[N] amount;
  array[N] int trials;
  vector[N] weights;
  array[N] int group_sigma;
  matrix[N, K] X;
  matrix[N, R] W;
  array[R, N] int place;
}}
parameters {{
  row_vector[C - 1] alpha;
  matrix[K, C - 1] beta;
  matrix[M, C - 1] u;
  ordered[C - 1] cutpoint_c;
  real<lower=0> phi;
  real<lower=0> nu;
  real<lower=0> sigma;
  vector<lower=0>[3] sigma_j;
  real<lower=0> shape;
}}
model {{
{statements}
}}
"""


def structure(name: str) -> Structure:
    """Return a structure whose likelihood has this name."""
    kind, link, family = (
        name.partition("_")[0],
        name.rpartition("_")[2],
        family_of(name),
    )
    own = [each.name for each in FAMILIES[family].parameters]
    priors = ["beta", "tau", *own, *(["tau_sigma"] if kind == "residual" else [])]
    return Structure(
        "partial",
        family,
        link,
        intercept=False,
        parameterization="noncentered",
        factors=(FactorStructure(),),
        weights=kind == "weighted",
        residual="pooled" if kind == "residual" else None,
        priors=tuple((each, ("normal",)) for each in priors),
    )


def functions_of(source: str) -> list[str]:
    """Return the functions of a program."""
    block = source.partition("functions {\n")[2].partition("\n}\n")[0] + "\n"
    return [f"{each}\n  }}" for each in block.split("\n  }\n")[:-1]]


def grouped_program(names: Sequence[str]) -> str:
    """Return a program that calls each function, in Stan or in C++."""
    functions: list[str] = []
    statements: list[str] = []
    for name in names:
        given = structure(name)
        *others, last = functions_of(render(given).source)
        kind = "lpmf" if FAMILIES[given.family].is_discrete else "lpdf"
        called = f"{name.replace('residual', 'grouped')}_glm"
        assert called in last
        text = last.replace(called, f"{name}_own")
        functions += [last.partition(" {")[0] + ";", *others, text]
        own = OWN.get(given.family, ())
        told = ["weights"] if given.weights else []
        told += [
            "sigma_j, group_sigma" if each == "sigma" and given.residual else each
            for each in own
        ]
        one = given.is_categorical
        told += (
            ["X, alpha, beta, W, place, u"]
            if one
            else ["X, alpha[1], beta[ : , 1], W, place, u[ : , 1]"]
        )
        arguments = ", ".join(told)
        y = "amount" if kind == "lpdf" else "y"
        for test, function in (("==", f"{name}_own"), ("!=", called)):
            # With the terms that are constant, and once without (of which Stan has
            # others where there are parameters of a family's own).
            dropped = f"{y} ~ {function}({arguments});"
            dropped = "" if own or given.weights else dropped
            statements += [
                f"  if (number == {NAMES.index(name)} && in_cpp {test} 0) {{",
                f"    {dropped}",
                f"    target += {function}_{kind}({y} | {arguments});",
                "  }",
            ]
    return PROGRAM.format(
        functions="\n".join(dict.fromkeys(functions)),
        statements="\n".join(statements),
    )


@pytest.fixture(scope="module")
def grouped(
    pytestconfig: pytest.Config,
) -> Callable[[str], cmdstanpy.CmdStanModel]:
    """Return the program that has a function, one for each file of families."""

    @cache
    def compiled_file(file: str) -> cmdstanpy.CmdStanModel:
        names = [each for each in NAMES if file_of(each) == file]
        return compiled(
            f"grouped_{file}",
            grouped_program(names),
            "special_functions",
            "grouped_glm",
            f"grouped_{file}",
            as_fits=pytestconfig.getoption("--slow"),
        )

    return lambda name: compiled_file(file_of(name))


def file_of(name: str) -> str:
    return FAMILIES[family_of(name)].compiled


def data_of(name: str, rows: int, columns: int, effects: int) -> dict[str, Any]:
    rng = np.random.default_rng([rows, columns, effects])
    trials = rng.integers(0, 30, rows)
    family = family_of(name)
    outcomes = {
        "bernoulli": rng.integers(0, 2, rows),
        "poisson": rng.poisson(2.0, rows),
        # Some beyond the counts that are looked up together.
        "negative_binomial": rng.poisson(2.0, rows) * rng.choice([1, 5000], rows),
        "ordinal": rng.integers(1, 6, rows),
        "categorical": rng.integers(1, 6, rows),
    }
    amount = rng.lognormal(0.0, 2.0, rows)
    numbers = 7 * effects
    return {
        "number": NAMES.index(name),
        "N": rows,
        "K": columns,
        "R": effects,
        "M": numbers,
        "C": 5,
        "y": outcomes.get(family, rng.binomial(trials, 0.3)).tolist(),
        "amount": (amount / (1 + amount) if family == "beta" else amount).tolist(),
        "trials": trials.tolist(),
        "weights": rng.uniform(0.1, 3.0, rows).tolist(),
        "group_sigma": rng.integers(1, 4, rows).tolist(),
        "X": rng.normal(size=(rows, columns)).tolist(),
        "W": rng.normal(size=(rows, effects)).tolist(),
        "place": rng.integers(1, numbers + 1, (effects, rows)).tolist(),
    }


def point_of(data: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """Return parameters, some of which are given."""
    rng = np.random.default_rng(1)
    point = {
        "alpha": rng.normal(size=4),
        "beta": 0.4 * rng.normal(size=(data["K"], 4)),
        "u": 0.4 * rng.normal(size=(data["M"], 4)),
        "cutpoint_c": [-1.5, -0.2, 0.1, 2.0],
        "sigma_j": rng.lognormal(size=3),
        **{each: rng.lognormal() for each in ("phi", "nu", "sigma", "shape")},
    }
    return {k: np.asarray(v).tolist() for k, v in (point | others).items()}


def assert_glm_equal(
    grouped: Programs, name: str, data: Mapping[str, Any], **others: Any
) -> None:
    """Compare the function in C++ with that in Stan, whose probit slopes are rough."""
    model, point = grouped(name), point_of(data, **others)
    if name.endswith("_probit") and "beta" not in name:
        ours, stans = (
            gradient(model, data, point, in_cpp=own) for own in (True, False)
        )
        np.testing.assert_allclose(ours[0], stans[0], rtol=CLOSE, atol=CLOSE)
        exact = gradient_of_probit(name, data, point)
        np.testing.assert_allclose(ours[1:], exact, rtol=CLOSE, atol=CLOSE)
    else:
        assert_equal(model, data, point)


def gradient_of_probit(
    name: str, data: Mapping[str, Any], point: Mapping[str, Any]
) -> np.ndarray:
    """Return the gradient for what the program declares, by SciPy.

    The derivative of Stan's normal_lcdf is an approximation to about five digits.
    """
    given, rows = {k: np.array(v) for k, v in {**data, **point}.items()}, data["N"]
    given["beta"] = given["beta"].reshape(-1, 4)
    eta = given["alpha"][0] + given["X"].reshape(rows, -1) @ given["beta"][:, 0]
    u = given["u"][:, 0]
    for w, place in zip(given["W"].T, given["place"], strict=True):
        eta = eta + w * u[place - 1]
    of_eta, of_cut = slopes_of_probit(name, given, eta)
    weights = given["weights"] if "weighted" in name else np.ones(rows)
    if name == "grouped_bernoulli_probit":
        weights = 2 * weights  # the program states its likelihood twice
    of_eta, of_cut = weights * of_eta, weights @ of_cut
    of_u = np.zeros_like(given["u"])
    for w, place in zip(given["W"].T, given["place"], strict=True):
        np.add.at(of_u[:, 0], place - 1, w * of_eta)
    of_alpha, of_beta = np.zeros(4), np.zeros_like(given["beta"])
    of_alpha[0] = of_eta.sum()
    of_beta[:, 0] = given["X"].reshape(rows, -1).T @ of_eta
    # Stan samples the first cutpoint, and the logarithms of the gaps between them.
    above = np.cumsum(of_cut[::-1])[::-1]
    above[1:] = above[1:] * np.diff(given["cutpoint_c"]) + 1
    positive = np.ones(3 + 3 + 1)  # of the logarithms of positive parameters
    return np.concatenate(
        [of_alpha, of_beta.T.ravel(), of_u.T.ravel(), above, positive]
    )


def slopes_of_probit(
    name: str, given: Mapping[str, np.ndarray], eta: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's slopes in eta, and in all cutpoints."""
    y, of_cut = given["y"], np.zeros((len(eta), 4))

    def inverse_mills(x: np.ndarray) -> np.ndarray:
        return np.sqrt(2 / np.pi) / special.erfcx(-x / np.sqrt(2))

    if "ordinal" not in name:
        trials = given["trials"] if "binomial" in name else np.ones_like(y)
        missed = (trials - y) * inverse_mills(-eta)
        return y * inverse_mills(eta) - missed, of_cut
    ends = np.concatenate([[-np.inf], given["cutpoint_c"], [np.inf]])
    low, high = ends[y - 1] - eta, ends[y] - eta
    # Seen from the side where the category is in the lower tail.
    flip = low + high > 0
    far, near = np.where(flip, -high, low), np.where(flip, -low, high)
    density = np.exp((near - far) * (near + far) / 2)  # that of far, over that of near
    tails = special.erfcx(-far / np.sqrt(2)) / special.erfcx(-near / np.sqrt(2))
    of_near = inverse_mills(near) / (1 - density * tails)
    of_far = of_near * density
    of_low, of_high = -np.where(flip, of_near, of_far), np.where(flip, of_far, of_near)
    for c in range(4):
        of_cut[:, c] = of_high * (y == c + 1) + of_low * (y == c + 2)
    return -of_low - of_high, of_cut


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("rows", "columns", "effects"),
    [(1, 0, 1), pytest.param(256, 3, 1, marks=pytest.mark.slow), (600, 2, 2)],
)
def test_rows_with_group_effects(
    grouped: Programs, name: str, rows: int, columns: int, effects: int
) -> None:
    assert_glm_equal(grouped, name, data_of(name, rows, columns, effects))


# Beyond these intercepts Stan's own overflow, or have shapes of 0.
FAR = {
    "beta": (-6.0, 3.0),
    "gamma": (-600.0, 800.0),
    "weibull": (-90.0, 800.0),
    "inverse_gaussian": (-90.0, 800.0),
    "exponential": (-600.0, 800.0),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "alpha", [pytest.param(-40.0, marks=pytest.mark.slow), -800.0, 40.0]
)
def test_rows_far_out(grouped: Programs, name: str, alpha: float) -> None:
    limits = [limit for family, limit in FAR.items() if family in name]
    low, high = limits[0] if limits else (-600.0 if "cloglog" in name else -800.0, 40.0)
    data = data_of(name, 20, 1, 1)
    others = {each: 0.7 for each in ("phi", "shape")} | {"nu": 4.0, "sigma": 1.3}
    at = [np.clip(alpha, low, high), 0.3, -0.2, 0.1]
    assert_glm_equal(grouped, name, data, alpha=at, **others)


@pytest.mark.parametrize("own", [1e-3, 0.1, 30.0, 1000.0])
@pytest.mark.parametrize(
    "name", [each for each in NAMES if "grouped" in each and OWN.get(family_of(each))]
)
def test_own_parameters_far_out(grouped: Programs, name: str, own: float) -> None:
    if "weibull" in name:  # of which Stan overflows
        own = min(max(own, 0.1), 30.0)
    data = data_of(name, 300, 1, 1)
    all_of_it = dict.fromkeys(("phi", "nu", "sigma", "shape"), own)
    assert_glm_equal(grouped, name, data, **all_of_it)
    if "student_t" in name:
        assert_glm_equal(grouped, name, data, nu=own)
        assert_glm_equal(grouped, name, data, sigma=own)


def test_threads_change_no_digit(
    grouped: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "grouped_bernoulli_logit"
    data = data_of(name, 10_000, 2, 1)
    point = point_of(data)
    assert_equal(grouped(name), data, point)
    monkeypatch.setenv("STAN_NUM_THREADS", "1")
    alone = gradient(grouped(name), data, point, in_cpp=True)
    monkeypatch.setenv("STAN_NUM_THREADS", "3")
    together = gradient(grouped(name), data, point, in_cpp=True)
    np.testing.assert_array_equal(together, alone)
