"""Every program that the templates render, each from a small model with its data.

The golden files, the contract with stanc and the densities all go by this list.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd

import stanpool as sp
from stanpool.program import StanProgram

OUTCOMES = {
    "gaussian": "y",
    "gaussian_se": "y | se(known)",
    "bernoulli": "win",
    "binomial": "hits | trials(shots)",
    "poisson": "count",
}
PARAMETERIZATIONS = ("centered", "noncentered")

# One distribution of each support and kind of argument in every class.
MIXED_PRIORS = {
    "Intercept": "student_t(4, 0.5, 2)",
    "beta[x1]": "normal(0.1, 1)",
    "beta[x2]": "cauchy(0, 2.5)",
    "beta[x3]": "student_t(3, 0, 1.5)",
    "sigma": "gamma(2, 0.5)",
}
MIXED_SCALES = {
    "tau_g[Intercept]": "inv_gamma(3, 2)",
    "tau_g[x1]": "lognormal(0, 1)",
    "tau_g[x2]": "normal(0, 1)",
    "Omega_g": "lkj(3)",
}
MIXED_COEFFICIENTS = {
    "b_g[Intercept]": "normal(0, 3)",
    "b_g[x1]": "student_t(5, 0, 1)",
    "b_g[x2]": "normal(0.2, 0.7)",
}


# Beyond one grouping factor: each branch of the templates once in each form.
STRUCTURES = (
    ("y ~ x1 + x2 + (1 + x2 | g) + (1 | h)", {}),
    ("count ~ x1 + (1 | h) + (1 + x1 || mm(g, g_2))", {"family": "poisson"}),
    ("win ~ x1 + (1 | mm(g, g_2)) + (1 | h)", {"family": "bernoulli"}),
    ("y ~ x1 + u + (1 + x1 | g)", {"residual": "g"}),
    ("hits | trials(shots) ~ 0 + u + x1:u + (1 + x1 || g)", {"family": "binomial"}),
)


def small_data() -> pd.DataFrame:
    """Fourteen rows in four groups of unequal size, an outcome for each family."""
    rng = np.random.default_rng(20261121)
    rows = 14
    shots = rng.integers(1, 9, rows)
    return pd.DataFrame(
        {
            "y": rng.normal(2.0, 1.5, rows),
            "known": rng.uniform(0.5, 2.0, rows),
            "win": np.arange(rows) % 2,
            "shots": shots,
            "hits": rng.binomial(shots, 0.4),
            "count": rng.poisson(2.5, rows),
            "x1": rng.normal(1.0, 1.0, rows),
            "x2": rng.normal(-0.5, 2.0, rows),
            "x3": rng.uniform(0.0, 1.0, rows),
            "g": list("aaaaabbbbccccd"),
            "h": list("uvwuvwuvwuvwuv"),
            "g_2": list("bcdabcdabcdabc"),
            "u": [0.5] * 5 + [-1.0] * 4 + [2.0] * 4 + [0.1],  # constant within g
        }
    )


@lru_cache(maxsize=1)
def models() -> dict[str, sp.Model]:
    """Return a model for each program, by the name of its golden file."""
    found = {}
    for family, outcome in OUTCOMES.items():
        for intercept in ("1", "0"):
            for model in _poolings(family, outcome, intercept):
                found[model.program.name] = model
    return found | _with_mixed_priors() | _with_more_structure()


def funnels() -> dict[str, StanProgram]:
    """Return both forms of Neal's funnel."""
    return {
        program.name: program for program in map(sp.neals_funnel, PARAMETERIZATIONS)
    }


def programs() -> dict[str, StanProgram]:
    """Return every program, by the name of its golden file."""
    return {name: model.program for name, model in models().items()} | funnels()


def _poolings(family: str, outcome: str, intercept: str) -> list[sp.Model]:
    data = small_data()
    options = {"family": family.removesuffix("_se")}
    common = f"{outcome} ~ {intercept} + x1 + x2"
    varying = "1" if intercept == "0" else "0"
    models = [
        sp.Model(common, data, pooling="complete", **options),
        # The intercept is the population's where it is not the groups' own.
        sp.Model(
            f"{outcome} ~ 1 + x1 + ({varying} + x2 | g)",
            data,
            pooling="none",
            **options,
        ),
    ]
    for bar, parameterization in product(("|", "||"), PARAMETERIZATIONS):
        formula = f"{common} + (1 + x2 {bar} g)"
        models.append(
            sp.Model(formula, data, parameterization=parameterization, **options)
        )
    return models


def _with_mixed_priors() -> dict[str, sp.Model]:
    data = small_data()
    common, formula = "y ~ x1 + x2 + x3", "y ~ x1 + x2 + x3 + (1 + x1 + x2 | g)"
    partial = MIXED_PRIORS | MIXED_SCALES
    none = MIXED_COEFFICIENTS | {
        name: MIXED_PRIORS[name] for name in ("beta[x3]", "sigma")
    }
    mixed = [
        sp.Model(common, data, pooling="complete", priors=MIXED_PRIORS),
        sp.Model(formula, data, pooling="none", priors=none),
        *(
            sp.Model(formula, data, parameterization=each, priors=partial)
            for each in PARAMETERIZATIONS
        ),
    ]
    return {f"{model.program.name}_mixed_priors": model for model in mixed}


def _with_more_structure() -> dict[str, sp.Model]:
    data = small_data()
    models = [
        sp.Model(formula, data, parameterization=each, **options)
        for formula, options in STRUCTURES
        for each in PARAMETERIZATIONS
    ]
    models.append(sp.Model("y ~ x1 + (1 | g)", data, pooling="none", residual="g"))
    return {model.program.name: model for model in models}
