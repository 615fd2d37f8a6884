"""The package's density: that of the textbooks, and of every program by stanli.

Wrong programs are found by it: each is the text of a right one with one mistake.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import stanpool as sp
from golden.catalogue import data_of, models, small_data
from interpreted import interpreted
from stanpool.density import rows as rows_of_density
from stanpool.density.check import check_density, compare, points_around
from stanpool.density.log_posterior import LogPosterior
from stanpool.engine.interface import Densities
from stanpool.engine.interpreter.engine import SUPPORTED, Stanli
from statistical.densities import (
    Point,
    log_density,
    random_point,
    stan_parameters,
)

ROOT = Path(__file__).parents[2]
POINTS = 5
ROUNDING = 1e-12  # of the sum of the sizes of the terms; 1.4e-14 is the worst


def test_stanli_is_of_the_version_that_fits_accept() -> None:
    """What is compared here holds for it alone."""
    assert version("stanli").startswith(SUPPORTED)
    pinned = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [x for x in pinned["project"]["dependencies"] if x.startswith("stanli")]
    assert {each.partition(";")[0] for each in needed} == {f"stanli=={SUPPORTED}*"}


@pytest.mark.parametrize("name", models())
def test_programs_have_the_density_of_the_package_in_stanli(name: str) -> None:
    model, rng = models()[name], np.random.default_rng(5)
    density = LogPosterior(model)
    points = rng.normal(0, 0.5, size=(POINTS, density.size))
    (theirs,) = interpreted([(model.program.source, density.data, points)])
    assert isinstance(theirs, Densities), theirs
    found = compare(density, points, theirs)
    assert found.points == POINTS
    assert found.largest_gap < ROUNDING
    assert found.is_good


@pytest.mark.parametrize(
    "name",
    [name for name, model in models().items() if not model.spec.is_categorical],
)
def test_the_package_has_the_density_of_the_textbook(name: str) -> None:
    """SciPy's densities of columns of the data, at zero, in terms of the model."""
    model, gaps, sizes = models()[name], [], []
    data, rng = data_of(model), np.random.default_rng(6)
    density = LogPosterior(model)
    for _ in range(POINTS):
        at = near_the_middle(random_point(model, rng))
        given = stan_parameters(model, data, at)
        if "log_sigma" in density.names:
            given["log_sigma"] = np.log(at.sigma)
        unconstrained = density.unconstrain(given)
        terms = density.terms(unconstrained)
        _, volume = density.constrain(unconstrained)
        # The log of sigma has its density.
        volume += given.get("log_sigma", 0.0)
        gaps.append(sum(terms) - volume - log_density(model, data, at))
        sizes.append(np.abs(terms).sum())
    assert np.ptp(gaps) < 1e-8 + 1e-10 * max(sizes)


def near_the_middle(at: Point) -> Point:
    """Keep outcomes out of tails, where differences of probabilities lose digits."""
    factors = tuple(replace(own, b=0.3 * own.b) for own in at.factors)
    beta, sigma = 0.3 * at.beta, 1.0 + at.sigma
    sigmas = None if at.sigmas is None else 1.0 + at.sigmas
    at = replace(at, intercept=0.3 * at.intercept, beta=beta, factors=factors)
    return replace(at, sigma=sigma, sigmas=sigmas)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, model in models().items()
        if model.rows is not None and not model.structure.crossproducts
    ],
)
def test_reduced_rows_have_the_density_of_all_rows(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models()[name]
    all_rows = LogPosterior(model)
    assert all_rows.likelihood.rows.are_all
    monkeypatch.setattr(rows_of_density, "_MOST_NUMBERS", 0)
    reduced = LogPosterior(model, data=all_rows.data)
    assert not reduced.likelihood.rows.are_all
    rng = np.random.default_rng(7)
    points = rng.normal(size=(POINTS, all_rows.size))
    gaps = [all_rows(at) - reduced(at) for at in points]
    sizes = [np.abs(all_rows.terms(at)).sum() for at in points]
    assert np.ptp(gaps) < ROUNDING * max(sizes)


@pytest.mark.parametrize(
    ("outcome", "family"),
    [("win", "bernoulli"), ("hits | trials(shots)", "binomial"), ("count", "poisson")],
)
@pytest.mark.parametrize("pooling", ["complete", "none", "partial"])
def test_cells_have_the_density_of_all_rows(
    outcome: str, family: str, pooling: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pd.concat([small_data()] * 4, ignore_index=True)
    data["x1"] = 200 + 30 * data["x1"].round()  # far from 0, and in other units
    formula = f"{outcome} ~ x1 + (1 + x1 || g)"
    model = sp.Model(formula, data, family=family, pooling=pooling, compress=True)
    assert model.rows is not None
    all_rows = LogPosterior(model)
    monkeypatch.setattr(rows_of_density, "_MOST_NUMBERS", 0)
    cells = LogPosterior(model, data=all_rows.data)
    assert not cells.likelihood.rows.are_all
    points = np.random.default_rng(8).normal(size=(POINTS, all_rows.size))
    gaps = [all_rows(at) - cells(at) for at in points]
    assert np.ptp(gaps) < 1e-9
    (theirs,) = interpreted([(model.program.source, all_rows.data, points)])
    assert isinstance(theirs, Densities)
    assert compare(all_rows, points, theirs).largest_gap < ROUNDING


# One mistake each: what is found in a program, and what stands in its place.
MISTAKES = (
    (r"  alpha_c ~ [^;]*;\n", ""),  # a lost prior
    (r"  beta ~ [^;]*;\n", ""),
    (r"  tau ~ [^;]*;\n", ""),
    (r"  sigma ~ [^;]*;\n", ""),
    (r"  L_Omega ~ [^;]*;\n", ""),
    (r"  (nu|phi|shape|cutpoint_c|tau_sigma|loading_scale) ~ [^;]*;\n", ""),
    (r"  b_c\[ : , q\] ~ [^;]*;|    b_c\[ : , q\] ~ [^;]*;", ""),
    (r"to_vector\(z\) ~ std_normal\(\);", ""),
    (r"z_sigma ~ std_normal\(\);", ""),
    (r"  target \+= [^;]*;[^\n]*\n", ""),  # a lost Jacobian
    (r"exponential\(prior_tau_rate\)", "exponential(2 * prior_tau_rate)"),
    (r"normal\(prior_beta_location", "normal(1 + prior_beta_location"),
    (r"lkj_corr_cholesky\(prior", "lkj_corr_cholesky(1 + prior"),
    (r", sigma\);", ", 2 * sigma);"),  # a factor in a variance
    (r"square\(sigma\)", "sigma"),
    (r"0\.5 \* (dot_product|sum)", r"\1"),
    (r"diag_pre_multiply\(tau, L_Omega\)", "L_Omega"),
    (r"diag_post_multiply\(z, tau\)", "z"),
    (r"X - rep_matrix\(x_bar', N\)", "X"),  # predictors at another place
    (r"X_c \* beta", "X * beta"),
    (r"std_normal\(\)", "normal(0, 2)"),
    (r"<lower=0>( sigma;|\[Q\] tau;)", r"<lower=0.001>\1"),  # other bounds
    (r"\(1 - centeredness\) \*", "centeredness *"),
    (r"if \(prior_only == 0\)", "if (prior_only == 1)"),
    (r"\bweights\[n\] \*", ""),
    (r"  cutpoint_c \+= [^;]*;\n", ""),  # without the ridge
    (r"along_ridge\(z, ridge\)", "z"),
)
STRUCTURES = (
    "complete_pooling_gaussian",
    "complete_pooling_student_t",
    "complete_pooling_ordinal",
    "complete_pooling_negative_binomial",
    "no_pooling_gaussian",
    "no_pooling_poisson_common_intercept",
    "partial_pooling_gaussian_centered_correlated",
    "partial_pooling_gaussian_noncentered_correlated",
    "partial_pooling_gaussian_noncentered",
    "partial_pooling_gaussian_noncentered_latent",
    "partial_pooling_gaussian_noncentered_correlated_group_predictors_pooled_sigma",
    "partial_pooling_bernoulli_adaptive",
    "partial_pooling_poisson_weights_adaptive",
    "partial_pooling_ordinal_adaptive",
    "partial_pooling_gaussian_marginal_correlated",
    "partial_pooling_gaussian_se_marginal",
)


def mistaken(source: str) -> Iterator[tuple[str, str]]:
    """Yield wrong programs, and what is wrong with them."""
    head, model = source.partition("\nmodel {")[::2]
    for found, instead in MISTAKES:
        for part in ("head", "model"):
            text = head if part == "head" else model
            changed = re.sub(found, instead, text, count=1)
            if changed != text:
                whole = (changed, model) if part == "head" else (head, changed)
                yield "\nmodel {".join(whole), f"{found} -> {instead}"


@pytest.mark.parametrize("name", STRUCTURES)
def test_mistakes_in_programs_are_found(name: str) -> None:
    """Around where chains would start, as at the start of a fit."""
    model = models()[name]
    density = LogPosterior(model)
    points = points_around(density, None, seed=1)
    wrong = list(mistaken(model.program.source))
    assert len(wrong) > 3
    jobs = [(source, density.data, points) for source, _ in wrong]
    found = interpreted([(model.program.source, density.data, points), *jobs])
    right = found.pop(0)
    assert isinstance(right, Densities)
    assert compare(density, points, right).is_good
    missed = [
        mistake
        for (_, mistake), theirs in zip(wrong, found, strict=True)
        if isinstance(theirs, Densities) and compare(density, points, theirs).is_good
    ]
    assert not missed


class Loaded:
    """A program in an engine that has one density or another."""

    def __init__(self, density: LogPosterior, *, off: float, tilt: float) -> None:
        self.density, self.off, self.tilt = density, off, tilt

    def log_density(self, points: np.ndarray, **_: Any) -> Densities:
        values = np.array([self.density(at) for at in points]) + 7.0
        gradients = np.array([self._gradient(at) for at in points])
        values += self.off * np.arange(len(points))
        return Densities(values, gradients * (1 + self.tilt))

    def _gradient(self, at: np.ndarray) -> np.ndarray:
        steps = 1e-5 * np.eye(len(at))
        pairs = ((self.density(at + h), self.density(at - h)) for h in steps)
        return np.array([(above - below) / 2e-5 for above, below in pairs])


def checked(off: float = 0.0, tilt: float = 0.0, **options: Any) -> str:
    model = models()["complete_pooling_gaussian"]
    density = LogPosterior(model)
    loaded: Any = Loaded(density, off=off, tilt=tilt)
    return check_density(model, density.data, loaded, engine="stanli", **options)


def test_a_density_that_differs_by_a_constant_agrees() -> None:
    assert checked().startswith("agrees with an independent implementation, from the")


@pytest.mark.parametrize(("off", "tilt"), [(1e-5, 0.0), (0.0, 0.1)])
def test_a_density_or_a_gradient_that_is_off_stops_a_fit(
    off: float, tilt: float
) -> None:
    with pytest.raises(
        sp.errors.DensityError, match=r"stanli computes a wrong"
    ) as said:
        checked(off, tilt)
    assert str(said.value).startswith("stanli computes a wrong log density")
    assert "engine='cmdstan'" in str(said.value)
    assert "complete_pooling_gaussian" in str(said.value)
    assert ("gradient" in str(said.value)) == bool(tilt)


def test_points_are_around_where_the_first_chain_starts() -> None:
    density = LogPosterior(models()["complete_pooling_gaussian"])
    start = {"alpha_c": 3.0, "beta": np.array([1.0, 2.0]), "sigma": np.exp(1.0)}
    points = points_around(density, [start, {}], seed=3)
    np.testing.assert_allclose(points[0], [3.0, 1.0, 2.0, 1.0])
    assert np.all(np.diff(np.abs(points - points[0]).max(axis=1)) > 0)
    # What is not said, and numbers outside of the bounds, are near 0.
    points = points_around(density, [{"alpha_c": 3.0, "sigma": -1.0}], seed=3)
    assert points[0, 0] == 3.0
    assert np.all(np.abs(points[0, 1:]) <= 0.5)
    assert np.all(np.abs(points_around(density, None, seed=3)[0]) <= 0.5)


@pytest.mark.parametrize(
    ("family", "formula"),
    [
        ("beta_binomial", "y | trials(n) ~ x"),
        ("negative_binomial", "y ~ x"),
        ("negative_binomial", "y ~ x + (1 | g)"),
        ("negative_binomial", "y | trunc(0, 40) ~ x"),
    ],
)
def test_counts_without_overdispersion_keep_their_density(
    family: str, formula: str
) -> None:
    """Where phi is so large that it no longer matters, only its prior is left.

    With the density of Stan's functions alone, a chain that comes near 1e17 sees a
    peak of hundreds of log units there, made by rounding, and never leaves it.
    """
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.poisson(4, 50), "x": rng.normal(size=50)})
    data = data.assign(n=20, g=np.arange(50) % 5)
    model = sp.Model(
        formula,
        data,
        family=family,
        pooling="partial" if "g" in formula else "complete",
        priors={"phi": "exponential(1e-300)"},
    )
    density = LogPosterior(model)
    logs = np.array([20.0, 30.0, 40.0, 60.0])  # of phi, the last parameter
    assert density.names[-1] == "phi"
    points = np.zeros((len(logs), density.size))
    points[:, -1] = logs
    with Stanli().load(model.program, model.stan_data()) as loaded:
        values = loaded.log_density(points).values - logs  # without the Jacobian
    np.testing.assert_allclose(values, values[0], atol=1e-3)
