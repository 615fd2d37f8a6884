"""Every program that the templates render, each from a small model with its data.

The golden files, the contract with stanc and the densities all go by this list.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from itertools import product

import numpy as np
import pandas as pd

import stanpool as sp
from stanpool.engine.values.program import StanProgram

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
# Those that are stated otherwise than by one name and numbers.
OTHER_PRIORS = {
    "Intercept": "uniform(-5, 9)",
    "beta[x1]": "flat",
    "beta[x2]": "uniform(-4, 4)",
    "tau_g[Intercept]^2": "inv_gamma(3, 2)",
    "tau_g[x1]": "half_cauchy(2)",
    "tau_g[x2]": "uniform(0, 30)",
    "sigma^2": "inv_gamma(2, 2)",
}
# Coefficients between bounds, and parameters that are constants.
RESTRICTED_PRIORS = {
    "beta[x1]": "constant(0.5)",
    "beta[x2]": "normal(0.1, 1, lb=-3)",
    "beta[x3]": "student_t(3, 0, 1.5, lb=-4, ub=5)",
    "tau_g[x1]": "constant(0.7)",
    "tau_g[x2]": "half_normal(1, ub=30)",
}
RESTRICTED = (
    *(
        (
            "y ~ x1 + x2 + x3 + (1 + x1 + x2 | g)",
            {"parameterization": each, "priors": RESTRICTED_PRIORS},
        )
        for each in ("noncentered", "adaptive", "marginal")
    ),
    (
        "y ~ x1",
        {
            "priors": {
                "Intercept": "constant(1.5)",
                "beta": "normal(0, 1, ub=4)",
                "sigma": "constant(1.2)",
            }
        },
    ),
    (
        "count ~ x1 + (1 | g)",
        {
            "family": "negative_binomial",
            "priors": {"phi": "constant(3)", "Intercept": "normal(0, 2, lb=-5)"},
        },
    ),
    (
        ["y ~ x1 + (1 | g)", "sigma ~ x2 + x3 + (1 | g)"],
        {
            "priors": {
                "Intercept_sigma": "constant(0.2)",
                "beta_sigma[x2]": "constant(0.1)",
                "tau_sigma_g": "constant(0.4)",
            }
        },
    ),
    ("y ~ x1 + s(x2, k=5)", {"priors": {"beta[x1]": "constant(0.3)"}}),
    (
        "y ~ x1 + (1 | g)",
        {
            "residual": "g",
            "priors": {"sigma": "constant(1.1)", "tau_sigma": "constant(0.3)"},
        },
    ),
    (
        "y ~ x1 + (0 + x2 | g)",
        {"pooling": "none", "priors": {"beta[x1]": "constant(0.3)"}},
    ),
    ('y ~ x1 + (1 | gr(g, dist="student_t"))', {"priors": {"nu_g": "constant(4)"}}),
    (
        "y ~ x1 + (1 | g) + factors(g, h, rank=2)",
        {"priors": {"loading_scale": "constant(0.8)"}},
    ),
)
# All coefficients together, most of them near 0.
HORSESHOE = (
    ("y ~ x1 + x2 + x3", {"compress": False}),
    ("count ~ x1 + x2 + (1 + x2 | g)", {"family": "poisson"}),
    ("y ~ x1 + x2 + (1 | g)", {"parameterization": "marginal"}),
    ("y ~ x1 + x2 + (1 | g)", {"pooling": "none"}),
)
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
    ("win ~ x1 + (1 + x1 | g) + (1 | h)", {"family": "bernoulli"}),
    ("y ~ x1 + u + (1 + x1 | g)", {"residual": "g"}),
    ("hits | trials(shots) ~ 0 + u + x1:u + (1 + x1 || g)", {"family": "binomial"}),
    ("y ~ x1 + (1 | g) + factors(g, h, rank=2)", {}),
    ("y ~ x1 + (1 | g) + factors(g, h, rank=2, g=~u + era, h=~size)", {}),
    ("y ~ x1 + (1 | g) + factors(g, h, g_2, rank=2)", {}),
)

# Groups are centered as far as their own data go; each of the structures above, too.
ADAPTIVE = (
    ("y ~ x1 + x2 + (1 + x2 | g)", {}),
    ("y ~ 0 + x1 + x2 + (1 + x2 || g)", {}),
    ("win ~ x1 + x2 + (1 + x2 || g)", {"family": "bernoulli"}),
    ("win ~ x1 + x2 + (1 + x2 | g)", {"family": "bernoulli"}),
    ("hits | trials(shots) ~ x1 + (1 | g)", {"family": "binomial"}),
    ("count ~ x1 + (1 | g)", {"family": "poisson"}),
    ("grade ~ x1 + (1 | g)", {"family": "ordinal"}),
    ("y ~ x1 + (1 + x2 | g)", {"compress": True}),
    # Groups within groups are centered about the coefficients of these.
    ("count ~ x1 + u + (1 + x1 | g) + (1 | g:h)", {"family": "poisson"}),
    ("colour ~ u + (1 || g:h) + (1 || g)", {"family": "categorical"}),
    ("y ~ x1 + (1 + x2 | g:h) + (1 || g) + (1 | h)", {}),
    ("y ~ 0 + x1 + (1 + x2 | g:h) + (1 + x2 || g)", {}),
)

# Predictors are far from 0, where deviations are uncorrelated.
FAR = (
    ("y ~ x1 + u + (1 + x1 || g)", {"parameterization": "centered"}),
    (
        "win ~ x1 + (1 + x1 || g) + (1 | h)",
        {"family": "bernoulli", "parameterization": "adaptive"},
    ),
    (
        "colour ~ x1 + (1 + x1 || g)",
        {"family": "categorical", "parameterization": "adaptive"},
    ),
)

# One factor of a gaussian model is integrated out, or two.
MARGINAL = (
    ("y ~ x1 + x2 + (1 + x2 | g)", {}),
    ("y ~ 0 + x1 + (1 + x2 || g)", {"priors": {"tau": "lognormal(0, 1)"}}),
    ("y | se(known) ~ x1 + (1 | g)", {}),
    ("y ~ x1 + u + (1 + x1 || g)", {"residual": "g"}),
    ("y | weights(w) ~ x1 + offset(x2) + (1 | h) + (1 + x2 | g)", {}),
    ("y ~ x1 + u + (1 + x1 | g) + (1 | g:h)", {}),
    ("y ~ x1 + u + (1 + x1 | g) + (1 | g:h)", {"residual": "g"}),
    ("y | se(known) ~ x1 + (1 | g) + (1 + x2 || g:h) + (1 | h)", {}),
    ("y ~ 0 + x1 + u + (1 + x1 | mm(h, g_2)) + (1 || g)", {}),
    ("y ~ 0 + x1 + u + (1 || g) + (1 | g:h)", {}),
    # As many as 5000 times 14.
    ("y | weights(heavy) ~ x1 + u + (1 + x2 | g)", {}),
    # Predictors that are alike.
    ("y ~ x1 + near + (1 + x1 | g) + (1 | mm(h, g_2))", {}),
    ("y | weights(heavy) ~ 0 + x1 + near + (1 + x2 | g)", {}),
)

# Rows are turned into fewer.
COMPRESSED = (
    ("y ~ x1 + x2", {"pooling": "complete"}),
    ("y | se(known) + weights(w) ~ 0 + x1 + offset(x2)", {"pooling": "complete"}),
    ("y ~ 1 + x1 + (0 + x2 | g)", {"pooling": "none"}),
    ("y ~ x1 + (1 + x2 | g)", {"pooling": "none", "residual": "g"}),
    ("y | weights(w) ~ x1 + (1 + x2 | g)", {"parameterization": "noncentered"}),
    ("y ~ 0 + x1 + u + (1 || g)", {"parameterization": "centered", "residual": "g"}),
    ("y ~ x1 + (1 + x2 | g) + (1 | h)", {"parameterization": "adaptive"}),
    (
        "y ~ x1 + (1 | g) + (1 + x1 || h)",
        {"parameterization": "noncentered", "residual": "g_2"},
    ),
    # By crossproducts, where rows are members of several groups.
    (
        "y | weights(w) ~ x1 + u + (1 + x2 | g) + (1 | mm(g, g_2))",
        {"parameterization": "adaptive"},
    ),
    (
        "y | se(known) ~ 0 + x1 + (1 | h) + (1 + x1 || mm(g, g_2))",
        {"parameterization": "centered"},
    ),
    ("y ~ x1 + (1 | h) + (1 | mm(g, g_2))", {"parameterization": "noncentered"}),
    # Those of the population apart from the groups'.
    ("y ~ 0 + x1 + (1 | h) + (1 | mm(g, g_2))", {"parameterization": "adaptive"}),
)

# The other families, each in three poolings.
OTHER_OUTCOMES = {
    "student_t": "y",
    "skew_normal": "y",
    "asymmetric_laplace": "y | quantile(0.9)",
    "von_mises": "angle",
    "lognormal": "amount",
    "gamma": "amount",
    "exponential": "amount",
    "weibull": "amount",
    "inverse_gaussian": "amount",
    "beta_binomial": "hits | trials(shots)",
    "beta": "share",
    "negative_binomial": "count",
    "zero_inflated_poisson": "count",
    "hurdle_negative_binomial": "count",
    "zero_inflated_binomial": "hits | trials(shots)",
    "hurdle_lognormal": "spent",
    "zero_one_inflated_beta": "part",
    "ordinal": "grade",
    "sratio": "grade",
    "acat": "grade",
    "categorical": "colour",
}
# Links and parts of outcomes, in one pooling each.
PARTS = (
    ("y ~ x1", {"link": "log", "pooling": "complete"}),
    ("win ~ x1", {"family": "bernoulli", "link": "probit", "pooling": "complete"}),
    ("win ~ x1", {"family": "bernoulli", "link": "cloglog", "pooling": "complete"}),
    ("win | weights(w) ~ x1 + (1 | g)", {"family": "bernoulli", "link": "probit"}),
    ("win | weights(w) ~ x1 + (1 | g)", {"family": "bernoulli", "link": "cloglog"}),
    (
        "hits | trials(shots) ~ x1",
        {"family": "binomial", "link": "probit", "pooling": "complete"},
    ),
    (
        "hits | trials(shots) ~ x1",
        {"family": "binomial", "link": "cloglog", "pooling": "complete"},
    ),
    (
        "hits | trials(shots) + weights(w) ~ x1 + (1 | g)",
        {"family": "binomial", "link": "probit"},
    ),
    (
        "hits | trials(shots) + weights(w) ~ x1 + (1 | g)",
        {"family": "binomial", "link": "cloglog"},
    ),
    (
        "hits | trials(shots) ~ x1",
        {"family": "beta_binomial", "link": "probit", "pooling": "complete"},
    ),
    (
        "hits | trials(shots) ~ x1",
        {"family": "beta_binomial", "link": "cloglog", "pooling": "complete"},
    ),
    ("share ~ x1", {"family": "beta", "link": "probit", "pooling": "complete"}),
    ("share ~ x1", {"family": "beta", "link": "cloglog", "pooling": "complete"}),
    ("grade ~ x1", {"family": "ordinal", "link": "probit", "pooling": "complete"}),
    ("grade ~ x1", {"family": "ordinal", "link": "cloglog", "pooling": "complete"}),
    ("grade ~ x1", {"family": "sratio", "link": "probit", "pooling": "complete"}),
    ("grade ~ x1", {"family": "sratio", "link": "cloglog", "pooling": "complete"}),
    ("grade | weights(w) ~ x1 + (1 | g)", {"family": "sratio"}),
    ("grade ~ x1 + (1 | g)", {"family": "acat"}),
    ("grade ~ x1 + (0 + x2 | g)", {"family": "ordinal", "pooling": "none"}),
    ("y | weights(w) ~ x1", {"pooling": "complete"}),
    ("y | weights(w) ~ 0 + x1", {"pooling": "complete"}),
    ("amount | weights(w) ~ x1 + (1 | g)", {"family": "gamma"}),
    ("count | weights(w) ~ x1 + (1 | g)", {"family": "poisson"}),
    ("win | weights(w) ~ x1 + (1 | g)", {"family": "bernoulli"}),
    ("hits | trials(shots) + weights(w) ~ x1 + (1 | g)", {"family": "binomial"}),
    ("count | weights(w) ~ x1", {"family": "poisson", "pooling": "complete"}),
    ("grade | weights(w) ~ x1", {"family": "ordinal", "pooling": "complete"}),
    ("colour | weights(w) ~ x1", {"family": "categorical", "pooling": "complete"}),
    (
        "count | exposure(e) ~ x1 + offset(x2)",
        {"family": "poisson", "pooling": "complete"},
    ),
    ("y ~ 0 + x1 + offset(x2)", {"pooling": "complete"}),
    ("y ~ 1 + x1 + offset(x2) + (0 + x3 | g)", {"pooling": "none"}),
    ("count | exposure(e) ~ x1 + (1 | g)", {"family": "negative_binomial"}),
    ("count | exposure(e) ~ x1 + (1 | g)", {"family": "poisson"}),
    ("count | exposure(e) ~ x1 + (1 | g)", {"family": "hurdle_poisson"}),
    ("spent | weights(w) ~ x1 + (1 | g)", {"family": "hurdle_gamma"}),
    ("spent ~ x1 + (1 | g)", {"family": "hurdle_lognormal", "residual": "g"}),
    ("part | weights(w) ~ x1 + (1 | g)", {"family": "zero_one_inflated_beta"}),
    ("angle | weights(w) ~ x1 + (1 | g)", {"family": "von_mises"}),
    (
        "y | weights(w) ~ x1 + (1 | g)",
        {"family": "skew_normal", "residual": "g"},
    ),
    (
        "count | exposure(e) + weights(w) ~ x1 + (1 | g)",
        {"family": "zero_inflated_negative_binomial"},
    ),
    ("win ~ x1 + (1 | h) + factors(h, g)", {"family": "bernoulli"}),
    ("win ~ x1 + (1 | h) + factors(h, g, h=~size)", {"family": "bernoulli"}),
    ("win ~ x1 + (1 | h) + factors(h, g, g_2, rank=2)", {"family": "bernoulli"}),
    ("grade ~ x1 + (1 | h) + factors(h, g)", {"family": "ordinal"}),
    (
        "grade ~ x1 + (1 | g) + (1 | mm(h, g_2))",
        {"family": "ordinal", "link": "probit"},
    ),
    ("y | cens(c, y_high) ~ x1 + (1 | mm(h, g_2)) + (1 | g)", {}),
    ("y | cens(c, y_high) ~ x1 + (1 | g) + (1 | mm(h, g_2))", {}),
    ("y | se(known, sigma=True) ~ x1 + (1 | g)", {}),
    ("y | se(known, sigma=True) ~ x1 + (1 | g)", {"residual": "g"}),
    ("y | se(known) ~ x1 + (1 | g)", {"family": "student_t"}),
    ("y ~ x1 + (1 | g)", {"family": "student_t", "residual": "g"}),
    ("y | cens(c, y_high) ~ x1 + (1 | g)", {}),
    ("y | cens(c, y_high) ~ x1 + (1 | g)", {"residual": "g"}),
    ("y | cens(c, y_high) ~ x1 + (1 | g)", {"family": "student_t"}),
    ("amount | cens(c, amount_high) ~ x1 + (1 | g)", {"family": "lognormal"}),
    ("y | cens(c, y_high) + weights(w) ~ x1", {"pooling": "complete"}),
    ("y | trunc(lower=low) ~ x1", {"pooling": "complete"}),
    ("y | trunc(upper=9) ~ x1", {"pooling": "complete", "family": "student_t"}),
    ("y | trunc(low, 9) ~ x1", {"pooling": "complete"}),
    ("y | trunc(low, 9) ~ x1 + (1 | g)", {"family": "student_t"}),
    ("amount | trunc(0.01, 99) ~ x1", {"pooling": "complete", "family": "lognormal"}),
    ("amount | cens(c, amount_high) ~ x1 + (1 | g)", {"family": "weibull"}),
    (
        "amount | cens(c, amount_high) + weights(w) ~ x1",
        {"family": "weibull", "pooling": "complete"},
    ),
    (
        "amount | trunc(0.01, 99) ~ x1",
        {"family": "weibull", "pooling": "complete"},
    ),
    (
        "amount | cens(c, amount_high) ~ x1",
        {"family": "exponential", "pooling": "complete"},
    ),
    ("amount | trunc(0.01, 99) ~ x1 + (1 | g)", {"family": "exponential"}),
    (
        "amount | weights(w) ~ x1",
        {"family": "inverse_gaussian", "pooling": "complete"},
    ),
    ("seen | trunc(1) ~ x1 + (1 | g)", {"family": "poisson"}),
    (
        "seen | trunc(least_seen, most_seen) ~ x1",
        {"family": "poisson", "pooling": "complete"},
    ),
    ("seen | trunc(1) ~ x1", {"family": "negative_binomial", "pooling": "complete"}),
    (
        "seen | trunc(upper=most_seen) + weights(w) ~ x1",
        {"family": "negative_binomial", "pooling": "complete"},
    ),
    (
        "seen | trunc(1, most_seen) ~ x1 + (1 | g)",
        {"family": "negative_binomial"},
    ),
    ("y | trunc(lower=low) + weights(w) ~ x1", {"pooling": "complete"}),
    ("y | trunc(upper=9) + weights(w) ~ x1", {"pooling": "complete"}),
    ("y | trunc(low, 9) + weights(w) ~ x1", {"pooling": "complete"}),
    ("colour ~ 0 + x1", {"family": "categorical", "pooling": "complete"}),
    ("colour ~ x1 + (0 + x2 | g)", {"family": "categorical", "pooling": "none"}),
    (
        "colour ~ 0 + x1 + (1 + x1 || g)",
        {"family": "categorical", "parameterization": "centered"},
    ),
    ("colour ~ x1 + u + (1 + x1 | g) + (1 || mm(h, g_2))", {"family": "categorical"}),
    (
        "colour ~ x1 + u + (1 + x1 | g) + (1 || mm(h, g_2))",
        {"family": "categorical", "parameterization": "centered"},
    ),
)

# Parameters of the families have formulas.
FORMULAS = (
    (["y ~ x1 + (1 | g)", "sigma ~ x2"], {}),
    (["y ~ x1", "sigma ~ 0 + x2"], {}),
    (["y ~ x1 + (1 | g)", "sigma ~ x2"], {"pooling": "none"}),
    (
        ["y | weights(w) ~ x1 + (1 | g)", "sigma ~ x2 + (1 + x2 | g) + (1 | h)"],
        {"family": "student_t", "parameterization": "noncentered"},
    ),
    (["y | se(known, sigma=True) ~ x1", "sigma ~ x2"], {}),
    (
        ["amount | cens(c, amount_high) ~ x1 + (1 | g)", "sigma ~ x2 + (1 | g)"],
        {"family": "lognormal"},
    ),
    (["y ~ x1", "nu ~ x2"], {"family": "student_t"}),
    (["y ~ x1", "slant ~ x2", "sigma ~ x3"], {"family": "skew_normal"}),
    (
        ["y | quantile(0.2) ~ x1", "sigma ~ x3"],
        {"family": "asymmetric_laplace"},
    ),
    (["y ~ x1 + (1 | g)", "slant ~ x2"], {"family": "skew_normal"}),
    (["count ~ x1 + (1 | g)", "phi ~ x2 + (1 | h)"], {"family": "negative_binomial"}),
    (["share ~ x1", "phi ~ x2"], {"family": "beta", "link": "cloglog"}),
    (["share ~ x1 + (1 | g)", "phi ~ x2"], {"family": "beta"}),
    (["hits | trials(shots) ~ x1", "phi ~ x2"], {"family": "beta_binomial"}),
    (
        ["hits | trials(shots) ~ x1", "phi ~ x2"],
        {"family": "beta_binomial", "link": "cloglog"},
    ),
    (["amount ~ x1", "shape ~ x2"], {"family": "gamma"}),
    (
        ["amount | cens(c, amount_high) ~ x1", "shape ~ x2"],
        {"family": "weibull"},
    ),
    (["amount ~ x1", "shape ~ x2"], {"family": "inverse_gaussian"}),
    (
        ["count ~ x1 + (1 | g)", "zi ~ x2 + (1 | g)"],
        {"family": "zero_inflated_poisson"},
    ),
    (
        ["count ~ x1", "phi ~ x2", "zi ~ 1"],
        {"family": "zero_inflated_negative_binomial"},
    ),
    (["hits | trials(shots) ~ x1", "zi ~ x2"], {"family": "zero_inflated_binomial"}),
    (["count ~ x1 + (1 | g)", "hu ~ x2"], {"family": "hurdle_poisson"}),
    (
        ["count ~ x1", "hu ~ x2", "phi ~ x3"],
        {"family": "hurdle_negative_binomial"},
    ),
    (["spent ~ x1", "hu ~ x2", "shape ~ x3"], {"family": "hurdle_gamma"}),
    (
        ["part ~ x1 + (1 | g)", "phi ~ x1", "zoi ~ x2", "coi ~ x3 + (1 | g)"],
        {"family": "zero_one_inflated_beta"},
    ),
    (["angle ~ x1", "kappa ~ x2"], {"family": "von_mises"}),
    (
        ["spent ~ x1 + (1 | g)", "hu ~ x2 + (1 | g)", "sigma ~ x3"],
        {"family": "hurdle_lognormal"},
    ),
)

# Group effects of several parameters are correlated.
JOINT = (
    (["y ~ x1 + (1 + x1 |p| g)", "sigma ~ x2 + (1 + x2 |p| g) + (1 | h)"], {}),
    (
        ["y ~ x1 + u + (1 |p| g)", "sigma ~ 1 + (1 |p| g)"],
        {"parameterization": "centered"},
    ),
    (
        [
            "count ~ x1 + (1 + x1 |p| g)",
            "phi ~ 1 + (1 |p| g)",
            "zi ~ 1 + (1 + x2 |p| g)",
        ],
        {"family": "zero_inflated_negative_binomial"},
    ),
    (
        [
            "part ~ x1 + (1 | h) + (1 |q| mm(g, g_2))",
            "phi ~ (1 |p| h)",
            "zoi ~ (1 |p| h)",
            "coi ~ (1 |q| mm(g, g_2))",
        ],
        {"family": "zero_one_inflated_beta", "parameterization": "noncentered"},
    ),
)

# Penalised smooths, of the mean and of other parameters.
SMOOTHS = (
    ("y ~ x1 + s(x2, k=5)", {"compress": False}),
    ("y ~ x1 + s(x2, k=5)", {"compress": True}),
    ("y ~ s(x2, k=6, bs='cc') + (1 | g)", {"parameterization": "noncentered"}),
    ("y ~ s(x2, k=5, bs='cr') + (1 + x1 | g)", {"parameterization": "marginal"}),
    (
        "count ~ s(x1, k=5) + s(x2, k=5, by=h) + h + (1 | g)",
        {"family": "poisson", "parameterization": "adaptive"},
    ),
    (
        "win ~ t2(x1, x2, k=4) + (1 | g)",
        {"family": "bernoulli", "parameterization": "centered"},
    ),
    ("grade ~ s(x2, k=5, by=x1, bs='ps')", {"family": "ordinal"}),
    (["y ~ x1 + s(x2, k=5)", "sigma ~ s(x1, k=5)"], {}),
    (["y ~ x1 + (1 | g)", "sigma ~ s(x2, k=5) + (1 | g)"], {}),
)

# Gaussian processes, beside other smooths and alone.
PROCESSES = (
    ("y ~ x1 + gp(x2, k=5)", {"compress": False}),
    ("y ~ gp(x1, x2, k=3, cov='matern52') + (1 | g)", {"parameterization": "marginal"}),
    (
        "count ~ s(x1, k=5) + gp(x2, k=4, by=h, cov='matern32') + h + (1 | g)",
        {"family": "poisson", "parameterization": "adaptive"},
    ),
    (["y ~ x1", "sigma ~ gp(x2, k=4, c=1.5)"], {}),
)

# Monotonic effects, of the mean and of another parameter, alone and beside smooths.
MONOTONIC = (
    ("y ~ x1 + mo(hits)", {"compress": False}),
    ("y ~ mo(hits) + (1 | g)", {"parameterization": "marginal"}),
    (
        "count ~ mo(hits) + s(x1, k=5) + mo(shots) + (1 | g)",
        {"family": "poisson", "parameterization": "adaptive"},
    ),
    (["y ~ x1", "sigma ~ mo(hits)"], {}),
)

# Predictors that were measured with errors, and that have missing values.
UNCERTAIN = (
    ("y ~ x1 + me(x2, known)", {}),
    (
        ["y ~ x1 + me(x2, 0.5) + mi(lost) + (1 | g)", "mi(lost) ~ x3"],
        {"parameterization": "noncentered"},
    ),
    ("y ~ x1 + mi(lost) + (1 | g)", {"residual": "g"}),
    (["y ~ mi(lost) + (1 | g)", "sigma ~ x1"], {"parameterization": "centered"}),
    (
        [
            "count ~ me(x2, known) + mi(lost) + (1 + x1 | g)",
            "mi(lost) ~ x1",
            "me(x2, known) ~ x1 + x3",
        ],
        {"family": "poisson", "parameterization": "adaptive"},
    ),
    ("grade ~ x1 + mi(lost)", {"family": "ordinal"}),
    ("y | weights(w) ~ me(x2, known)", {}),
)

# Groups with a known covariance, some of them negative; one group has no rows.
KNOWN_COVARIANCE = pd.DataFrame(
    [
        [1.0, -0.4, 0.3, -0.2],
        [-0.4, 2.0, -0.5, 0.1],
        [0.3, -0.5, 1.5, 0.6],
        [-0.2, 0.1, 0.6, 0.8],
    ],
    index=list("twvu"),
    columns=list("twvu"),
)[list("wutv")]
# Regions of a map: "t" has no rows, and "z" no neighbours.
NEIGHBOURS = pd.DataFrame(
    [
        [0, 1, 1, 0, 0],
        [1, 0, 1, 0, 0],
        [1, 1, 0, 2, 0],
        [0, 0, 2, 0, 0],
        [0, 0, 0, 0, 0],
    ],
    index=list("tuvwz"),
    columns=list("tuvwz"),
)
COVARIANCES = (
    ("y ~ x1 + (1 + x2 | gr(h, cov=A))", {}),
    ("y ~ x1 + (1 | gr(h, cov=A)) + (1 | g)", {"parameterization": "marginal"}),
    ("count ~ x1 + (1 | gr(h, cov=A)) + (1 + x1 | g)", {"family": "poisson"}),
    ("grade ~ x1 + (1 + x1 || gr(h, cov=A)) + (1 | g)", {"family": "ordinal"}),
    ("colour ~ x1 + (1 | gr(h, cov=A))", {"family": "categorical"}),
    ("y ~ x1 + (1 + x2 | gr(h, cov=T))", {}),
    ("win ~ x1 + (1 | g) + (1 || gr(h, cov=T))", {"family": "bernoulli"}),
    ("y ~ x1 + bym2(h, W)", {}),
    ("count ~ x1 + car(h, W) + (1 | g)", {"family": "poisson"}),
    (["y ~ x1 + (1 | g)", "sigma ~ bym2(h, W)"], {}),
    ("colour ~ x1 + car(h, W)", {"family": "categorical"}),
    ("y ~ x1 + ar1(day)", {}),
    ("count ~ x1 + (1 | g) + ar1(day | g)", {"family": "poisson"}),
)
# Groups of Student-t and of Laplace populations.
POPULATIONS = (
    ('y ~ x1 + (1 + x2 | gr(g, dist="student_t"))', {}),
    ('y ~ x1 + (1 | gr(h, dist="student_t")) + (1 + x2 | g)', {}),
    (
        'count ~ x1 + u + (1 + x1 || gr(g, dist="laplace")) + (1 | h)',
        {"family": "poisson"},
    ),
    ('colour ~ x1 + (1 | gr(g, dist="student_t"))', {"family": "categorical"}),
    ("count ~ x1 + u + (1 + x1 | gr(g, by=era))", {"family": "poisson"}),
    (
        [
            'y ~ x1 + (1 || gr(g, by=era, dist="laplace"))',
            "sigma ~ (1 | gr(g, by=era))",
        ],
        {},
    ),
    (
        [
            "y ~ x1 + (1 | g)",
            'sigma ~ x2 + (1 + x2 | gr(g, dist="student_t"))'
            ' + (1 | gr(h, dist="laplace"))',
        ],
        {},
    ),
)
# Residuals that are correlated within groups.
RESIDUALS = (
    ("y | residual(ar1(step | g)) ~ x1", {}),
    ("y | residual(cs(g)) ~ x1 + x2", {"family": "student_t"}),
    (
        ["y | residual(ar1(step | g)) ~ x1 + (1 + x2 | g)", "sigma ~ x3"],
        {"family": "student_t"},
    ),
    ("y | residual(cs(g)) ~ x1", {"priors": {"residual_rho": "constant(0.3)"}}),
    (
        "y | residual(cs(step | h)) ~ x1 + (1 | g)",
        {"priors": {"residual_rho": "normal(0.2, 0.5)"}},
    ),
)
PEDIGREE = pd.DataFrame(
    [("v", "u", "t"), ("w", "v", "u"), ("u", "", "t")],
    columns=["id", "parent_1", "parent_2"],
)


def small_data() -> pd.DataFrame:
    """Fourteen rows in four groups of unequal size, an outcome for each family."""
    return _small_data().copy()


def data_of(model: sp.Model) -> pd.DataFrame:
    """Return all columns of the data of one of the models, and those of smooths."""
    data = far_data() if model.design.centers else small_data()
    for own in model.design.predictors:
        if own.smooths or model.spec.uncertain:
            columns = dict(zip(own.coefficients, own.X.T, strict=True))
            data = data.assign(**{x: columns[x] for x in columns if x not in data})
    return data


def far_data(shift: float = 10.0) -> pd.DataFrame:
    """Return the data with a predictor that is far from 0."""
    return small_data().assign(x1=small_data()["x1"] + shift)


@lru_cache(maxsize=1)
def _small_data() -> pd.DataFrame:
    rng = np.random.default_rng(20261121)
    rows = 14
    shots = rng.integers(1, 9, rows)
    frame = pd.DataFrame(
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
            "day": np.array([0.0, 1.0, 2.5, 5.0])[np.arange(rows) % 4],
            "step": np.arange(rows) * 5 % rows,  # different within g, in no order
        }
    )
    rng = np.random.default_rng(20261122)
    amount = rng.lognormal(0.5, 0.8, rows)
    return frame.assign(
        heavy=5000.0,
        near=frame["x1"] + 0.3 * frame["x3"],
        amount=amount,
        spent=np.where(amount < 1.0, 0.0, amount),
        share=(share := rng.beta(2.0, 3.0, rows)),
        angle=2 * np.arctan(0.7 * frame["y"] - 1.5),
        part=np.where(share < 0.35, 0.0, np.where(share > 0.5, 1.0, share)),
        grade=pd.Categorical(
            np.array(["low", "fair", "high"])[np.arange(rows) * 5 % 7 % 3],
            categories=["low", "fair", "high"],
            ordered=True,
        ),
        colour=np.array(["red", "blue", "green"])[np.arange(rows) * 3 % 7 % 3],
        lost=_with_gaps(rows),
        w=rng.uniform(0.2, 2.0, rows),
        e=rng.uniform(0.5, 4.0, rows),
        c=np.array([0, -1, 0, 1, 0, 2, 0])[np.arange(rows) % 7],
        y_high=frame["y"] + rng.uniform(0.5, 2.0, rows),
        amount_high=amount * rng.uniform(1.5, 3.0, rows),
        low=frame["y"] - rng.uniform(0.5, 3.0, rows),
        seen=1 + frame["count"],
        least_seen=frame["count"] * (np.arange(rows) % 3 > 0) + np.arange(rows) % 2,
        most_seen=2 + frame["count"] + np.arange(rows) % 4,
        era=np.where(frame["g"] < "c", "old", "new"),  # constant within g
        size=frame["h"].map({"u": 2.0, "v": -3.0, "w": 0.8}),  # within h
    )


def _with_gaps(rows: int) -> np.ndarray:
    """Return a predictor of which some values are missing."""
    values = np.random.default_rng(20261203).normal(1.0, 1.5, rows)
    return np.where(np.arange(rows) % 5 == 2, np.nan, values)


@lru_cache(maxsize=1)
def models() -> dict[str, sp.Model]:
    """Return a model for each program, by the name of its golden file."""
    found = {}
    for family, outcome in OUTCOMES.items():
        for intercept in ("1", "0"):
            for model in _poolings(family, outcome, intercept):
                found[model.program.name] = model
    found |= _with_mixed_priors() | _with_more_structure() | _adaptive()
    found |= _of_other_families() | _with_parts() | _marginal() | _compressed()
    found |= _with_known_covariance() | _with_formulas() | _with_smooths()
    found |= _with_other_populations() | _with_correlated_residuals()
    return found | _far()


def proper_models() -> dict[str, sp.Model]:
    """Return those of the models whose priors can be drawn from."""
    return {
        name: model
        for name, model in models().items()
        if all(row.prior.distribution != "flat" for row in model.priors)
    }


def funnels() -> dict[str, StanProgram]:
    """Return both forms of Neal's funnel."""
    return {
        program.name: program for program in map(sp.neals_funnel, PARAMETERIZATIONS)
    }


def equations() -> str:
    """Return the equations of all models, those of several models that share them once.

    A line above them has the names of these models, and their formula.
    """
    named: dict[str, list[str]] = {}
    for name, model in models().items():
        named.setdefault(model.equations().text, []).append(name)
    texts = []
    for text, names in named.items():
        formula = repr(models()[names[0]]).removeprefix("Model(").partition(", ")[0]
        texts.append(f"# {' '.join(names)}\n# {formula}\n\n{text}\n")
    return "\n\n".join(texts)


@lru_cache(maxsize=1)
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
            for each in (*PARAMETERIZATIONS, "marginal")
        ),
    ]
    found = {f"{model.program.name}_mixed_priors": model for model in mixed}
    restricted = [sp.Model(each, data, **options) for each, options in RESTRICTED]
    found |= {f"{model.program.name}_restricted_priors": model for model in restricted}
    shrunk = {"priors": {"beta": "horseshoe(0.3, 4, 2)"}}
    sparse = [sp.Model(each, data, **options, **shrunk) for each, options in HORSESHOE]
    found |= {f"{model.program.name}_horseshoe_priors": model for model in sparse}
    return found | _with_other_priors()


def _with_other_priors() -> dict[str, sp.Model]:
    data = small_data()
    grade = {"family": "ordinal", "priors": {"cutpoint": "dirichlet(2)"}}
    own = {"b": "uniform(-20, 20)", "beta[x3]": "flat", "sigma^2": "inv_gamma(2, 2)"}
    rate = {"Intercept": "flat", "beta": "flat", "phi": "uniform(0, 50)"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sp.PriorWarning)
        models = [
            *(
                sp.Model(
                    "y ~ x1 + x2 + (1 + x1 + x2 | g)",
                    data,
                    parameterization=each,
                    priors=OTHER_PRIORS,
                )
                for each in ("noncentered", "marginal")
            ),
            sp.Model(
                "y ~ x1 + x3 + (1 + x1 | g)", data, pooling="none", priors=own
            ).with_(residual="g"),
            sp.Model(
                "count ~ x1",
                data,
                family="negative_binomial",
                pooling="complete",
                priors=rate,
            ),
            sp.Model("grade ~ x1", data, pooling="complete", **grade),
            *(
                sp.Model("grade ~ x1", data, pooling="complete", link=link, **grade)
                for link in ("probit", "cloglog")
            ),
        ]
    return {f"{model.program.name}_other_priors": model for model in models}


def _with_more_structure() -> dict[str, sp.Model]:
    data = small_data()
    models = [
        sp.Model(formula, data, parameterization=each, **options)
        for formula, options in STRUCTURES
        for each in PARAMETERIZATIONS
    ]
    models.append(sp.Model("y ~ x1 + (1 | g)", data, pooling="none", residual="g"))
    return {model.program.name: model for model in models}


def _with_formulas() -> dict[str, sp.Model]:
    data = small_data()
    every = (*FORMULAS, *JOINT)
    found = [sp.Model(formulas, data, **options) for formulas, options in every]
    return {model.program.name: model for model in found}


def _with_smooths() -> dict[str, sp.Model]:
    data = small_data()
    found = [
        sp.Model(formula, data, **options)
        for formula, options in (*SMOOTHS, *PROCESSES, *MONOTONIC, *UNCERTAIN)
    ]
    return {model.program.name: model for model in found}


def _with_other_populations() -> dict[str, sp.Model]:
    data = small_data()
    found = [sp.Model(formula, data, **options) for formula, options in POPULATIONS]
    return {model.program.name: model for model in found}


def _adaptive() -> dict[str, sp.Model]:
    data = small_data()
    models = [
        sp.Model(formula, data, parameterization="adaptive", **options)
        for formula, options in (*ADAPTIVE, *STRUCTURES)
    ]
    return {model.program.name: model for model in models}


def _marginal() -> dict[str, sp.Model]:
    data = small_data()
    models = [
        sp.Model(formula, data, parameterization="marginal", **options)
        for formula, options in MARGINAL
    ]
    return {model.program.name: model for model in models}


def _compressed() -> dict[str, sp.Model]:
    data = small_data()
    models = [
        sp.Model(formula, data, compress=True, **options)
        for formula, options in COMPRESSED
    ]
    return {model.program.name: model for model in models}


def _far() -> dict[str, sp.Model]:
    data = far_data()
    models = [sp.Model(formula, data, **options) for formula, options in FAR]
    return {model.program.name: model for model in models}


def _with_known_covariance() -> dict[str, sp.Model]:
    data = small_data()
    known = {"A": KNOWN_COVARIANCE, "T": PEDIGREE, "W": NEIGHBOURS}
    models = [
        sp.Model(formula, data, covariances=known, **options)
        for formula, options in COVARIANCES
    ]
    return {model.program.name: model for model in models}


def _with_correlated_residuals() -> dict[str, sp.Model]:
    data = small_data()
    models = [sp.Model(formula, data, **options) for formula, options in RESIDUALS]
    return {model.program.name: model for model in models}


def _of_other_families() -> dict[str, sp.Model]:
    data = small_data()
    models = [
        sp.Model(f"{outcome} ~ x1 + x2 + (1 + x2 | g)", data, family=family, **options)
        for family, outcome in OTHER_OUTCOMES.items()
        for options in (
            {"pooling": "complete"},
            {"pooling": "none"},
            {"parameterization": "noncentered"},
        )
    ]
    return {model.program.name: model for model in models}


def _with_parts() -> dict[str, sp.Model]:
    data = small_data()
    models = [sp.Model(formula, data, **options) for formula, options in PARTS]
    return {model.program.name: model for model in models}
