"""Log densities written from textbooks with SciPy, which those of programs must equal.

Nothing here is read off the templates. A point is given in the terms of the model
(intercept at zero, full coefficients of the groups); the Stan programs get it through
``stan_parameters``, and Jacobians account for what they declare instead.

The package has a density of its own, ``stanpool.density``, which each fit holds against
its engine's. It does not take the place of this one: it was written for speed, of
unconstrained parameters and of reduced rows, and this one is what it is tested with,
SciPy's distributions of all rows, jointly normal where groups are integrated out.

References
----------
.. [1] Gelman and Hill (2007), chapters 12 and 13: the models.
.. [2] Lewandowski, Kurowicka and Joe (2009), J. Multivariate Analysis 100, 1989-2001:
   the LKJ density of a correlation matrix, det(Omega)^(shape - 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats
from scipy.special import expit

import stanpool as sp
from stanpool.data.design.covariance.ancestry import Ancestry
from stanpool.data.design.covariance.neighbours import Neighbours
from stanpool.data.design.design import FactorDesign, ParameterDesign
from stanpool.data.design.predictors.latent_factors import LatentDesign
from stanpool.data.design.predictors.tensor_factors import TensorDesign, aligned
from stanpool.data.matrix.smooths.process import Spectrum
from statistical import values as of_values
from statistical.values import Values

# Of families, besides the residual scale: the fields of a point.
OWN_PARAMETERS = ("nu", "slant", "shape", "phi", "zi", "hu", "zoi", "coi", "kappa")


@dataclass(frozen=True)
class Varying:
    """The coefficients of one factor's groups and their population."""

    tau: np.ndarray
    chol_omega: np.ndarray
    b: np.ndarray
    nu: float = 5.0
    rho: float = 0.3
    joint: np.ndarray | None = None  # correlations with those of other parameters, too

    @property
    def L_Omega(self) -> np.ndarray:
        """Cholesky factor of the correlation matrix that belongs to the factor."""
        if self.joint is None:
            return self.chol_omega
        return np.asarray(np.linalg.cholesky(self.joint))

    def log_density_of(self, deviations: np.ndarray, population: str) -> float:
        """Log density of deviations of groups, ``(J, Q)``, in their population."""
        if population == "laplace":
            return float(
                stats.laplace(0, self.tau / np.sqrt(2)).logpdf(deviations).sum()
            )
        shape = self.chol @ self.chol.T
        if population == "student_t":
            distribution = stats.multivariate_t(shape=shape, df=self.nu)
        else:
            distribution = stats.multivariate_normal(cov=shape)
        return float(np.sum(distribution.logpdf(deviations)))

    @property
    def chol(self) -> np.ndarray:
        """Cholesky factor of the covariance of a group's coefficients."""
        return np.asarray(np.diag(self.tau) @ self.chol_omega)


@dataclass(frozen=True)
class Latent:
    """Scores, loadings over their scale (anchors first), and the scale.

    The coefficients of predictors have a column for each factor.
    """

    scores: np.ndarray
    loadings: np.ndarray
    scale: float
    beta: np.ndarray = field(default_factory=lambda: np.zeros((0, 1)))


@dataclass(frozen=True)
class Tensor:
    """Scores of the levels of each of three columns, and the scales of the factors.

    Stan is given directions with a length of their own, in the place of unit root mean
    squares.
    """

    scores: tuple[np.ndarray, ...]
    scale: np.ndarray
    given: float = 1.0

    @property
    def score_rms(self) -> np.ndarray:
        """The root mean squares of the scores of each column."""
        return np.stack([np.sqrt(np.square(x).mean(axis=0)) for x in self.scores])

    @property
    def rms(self) -> np.ndarray:
        """The root mean squares of the products over all combinations of levels."""
        products = np.einsum("ar,br,cr->abcr", *self.scores)
        squares = np.square(self.scale * products)
        return np.asarray(np.sqrt(squares.mean(axis=(0, 1, 2))))


@dataclass(frozen=True)
class Formula:
    """The coefficients of a parameter that has a formula, and groups' deviations."""

    intercept: float
    beta: np.ndarray
    factors: tuple[Varying, ...]
    tau_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    lengthscale: np.ndarray = field(default_factory=lambda: np.zeros(0))
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True)
class Point:
    """A point of a model's parameter space; what a model has not is ignored."""

    intercept: float
    beta: np.ndarray
    sigma: float
    factors: tuple[Varying, ...] = ()
    tau_sigma: float = 1.0
    sigmas: np.ndarray | None = None
    nu: float = 4.0
    slant: float = 0.0
    shape: float = 1.0
    phi: float = 1.0
    zi: float = 0.5
    hu: float = 0.5
    zoi: float = 0.5
    coi: float = 0.5
    kappa: float = 1.0
    cutpoint: np.ndarray = field(default_factory=lambda: np.zeros(1))
    latent: Latent | None = None
    tensor: Tensor | None = None
    tau_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    lengthscale: np.ndarray = field(default_factory=lambda: np.zeros(0))
    steps: np.ndarray = field(default_factory=lambda: np.zeros(0))
    formulas: dict[str, Formula] = field(default_factory=dict)
    residual_rho: float = 0.2
    beta_local: np.ndarray = field(default_factory=lambda: np.ones(1))
    beta_global: float = 1.0
    beta_slab: float = 1.0
    values: Values | None = None

    @property
    def first(self) -> Varying:
        """What varies over the first factor."""
        return self.factors[0]


def random_point(model: sp.Model, rng: np.random.Generator) -> Point:
    """Draw a point anywhere in the parameter space."""
    design = model.design
    groups = 0 if design.residual is None else len(design.residual.labels)
    # Beyond, 1 - mu is exp(-exp(eta)) = 0 to rounding: no shape of a distribution.
    near = 0.3 if model.spec.link_name == "cloglog" else 1.0
    # Parameters of few models have a stream of their own, so that the points of other
    # models stay where they are.
    own_rng = np.random.Generator(rng.bit_generator.jumped())  # type: ignore[attr-defined]
    point = Point(
        intercept=near * rng.normal(),
        beta=near * rng.normal(size=len(design.coefficients)),
        sigma=rng.lognormal(),
        factors=tuple(
            Varying(
                tau=rng.lognormal(size=len(factor.varying)),
                chol_omega=_random_chol(model, factor, rng),
                b=rng.normal(size=(len(factor.labels), len(factor.varying))),
                **_random_shape(own_rng),
            )
            for factor in design.factors
        ),
        tau_sigma=rng.lognormal(),
        sigmas=rng.lognormal(size=groups),
        nu=1 + rng.lognormal(),
        slant=rng.normal(),
        shape=rng.lognormal(),
        phi=(phi := rng.lognormal()),
        zi=rng.beta(2, 2),
        hu=(hu := rng.beta(2, 2)),
        zoi=0.9 * hu,
        coi=1 - hu,
        kappa=phi,
        cutpoint=_random_cutpoints(model, rng),
        latent=_random_latent(model, rng),
        tensor=_random_tensor(model, rng),
        tau_s=rng.lognormal(size=len(design.mean.scaled)),
        beta_local=own_rng.lognormal(size=len(design.coefficients)),
        beta_global=own_rng.lognormal(),
        beta_slab=own_rng.lognormal(),
        lengthscale=own_rng.lognormal(size=len(design.mean.lengthscales)),
        steps=own_rng.lognormal(size=len(design.mean.steps)),
        formulas={
            own.parameter: Formula(
                0.3 * rng.normal(),
                0.3 * rng.normal(size=len(own.coefficients)),
                tuple(
                    Varying(
                        tau=rng.lognormal(-1.0, size=len(factor.varying)),
                        chol_omega=_random_chol(model, factor, rng, own.parameter),
                        b=0.3 * rng.normal(size=_shape_of(factor)),
                        **_random_shape(own_rng),
                    )
                    for factor in own.factors
                ),
                rng.lognormal(size=len(own.scaled)),
                own_rng.lognormal(size=len(own.lengthscales)),
                own_rng.lognormal(size=len(own.steps)),
            )
            for own in model.design.formulas
        },
        residual_rho=own_rng.uniform(-0.2, 0.8),
    )
    for own in design.predictors:
        if own.monotonic:
            _make_monotonic(own, _of_predictor(point, own))
    point = replace(point, values=of_values.random_values(model, own_rng))
    point = replace(point, factors=tuple(_in_spans(model, point)))
    return _with_joints(model, point, own_rng)


def _with_joints(model: sp.Model, at: Point, rng: np.random.Generator) -> Point:
    """Correlate the coefficients of the factors that an id joins."""
    for design in model.design.predictors:
        for factor in design.factors:
            if factor.joint is None or factor.follows:
                continue
            ends = np.cumsum([len(x.coefficients) for x in factor.joint.parts])
            wide = rng.normal(size=(ends[-1], ends[-1] + 1))
            covariance = wide @ wide.T
            scale = np.sqrt(np.diag(covariance))
            R = covariance / np.outer(scale, scale)
            for part, end in zip(factor.joint.parts, ends, strict=True):
                own = slice(end - len(part.coefficients), end)
                known = _of_predictor(at, model.design.parameter(part.parameter))
                factors = list(known.factors)
                factors[part.number] = replace(
                    factors[part.number],
                    chol_omega=np.linalg.cholesky(R[own, own]),
                    joint=R if own.start == 0 else None,
                )
                at = _with_factors(at, part.parameter, tuple(factors))
    return at


def _with_factors(at: Point, parameter: str, factors: tuple[Varying, ...]) -> Point:
    if parameter == "mean":
        return replace(at, factors=factors)
    changed = replace(at.formulas[parameter], factors=factors)
    return replace(at, formulas=at.formulas | {parameter: changed})


def _random_cutpoints(model: sp.Model, rng: np.random.Generator) -> np.ndarray:
    """Draw cutpoints; where they need no order, they have none of the usual."""
    drawn = np.sort(rng.normal(size=max(len(model.design.categories) - 1, 1)))
    return drawn[::-1] if model.spec.family in ("sratio", "acat") else drawn


def with_shares(model: sp.Model, at: Point) -> Point:
    """Return a point whose steps of monotonic effects are shares, as draws have."""
    formulas = {
        own.parameter: replace(
            at.formulas[own.parameter],
            steps=_shares(own, at.formulas[own.parameter].steps),
        )
        for own in model.design.formulas
    }
    steps = _shares(model.design.mean, at.steps)
    return replace(at, steps=steps, formulas=formulas)


def _shares(own: ParameterDesign, steps: np.ndarray) -> np.ndarray:
    """Return the share of each step in all steps of its effect."""
    shares, first = steps.copy(), 0
    for each in own.monotonic:
        last = first + each.count + 1
        shares[first:last] /= shares[first:last].sum()
        first = last
    return shares


def _make_monotonic(own: ParameterDesign, at: Point | Formula) -> None:
    """Put coefficients of monotonic effects in the place of those that were drawn.

    The effect of level j of D is ``b D (zeta_1 + ... + zeta_j)`` (Bürkner and
    Charpentier 2020), of which ``b j`` is the straight line's.
    """
    steps, place = iter(at.steps), len(own.coefficients)
    place -= sum(each.count for each in own.monotonic)
    for number, each in enumerate(own.monotonic):
        b = at.beta[len(own.free) - len(own.monotonic) + number]
        sizes = np.array([next(steps) for _ in range(each.count + 1)])
        effect = b * len(sizes) * np.cumsum(sizes / sizes.sum())
        for j in range(1, len(sizes)):
            at.beta[place] = effect[j - 1] - b * j
            place += 1


def _in_spans(model: sp.Model, at: Point) -> Iterator[Varying]:
    """Yield factors whose deviations are those that their covariances allow."""
    for number, varying in enumerate(at.factors):
        root = model.design.factors[number].root
        if root is None or root.columns == len(varying.b):
            yield varying
            continue
        means = group_means(model, pd.DataFrame(), at, number)
        u = root.times(varying.b[: root.columns], np.array(varying.rho))
        yield replace(varying, b=means + u)


def _random_shape(rng: np.random.Generator) -> dict[str, float]:
    """Draw degrees of freedom, and a parameter between 0 and 1."""
    nu = 1 + rng.lognormal(1.0)
    return {"nu": nu, "rho": 1 / nu}


def _shape_of(factor: FactorDesign) -> tuple[int, int]:
    return len(factor.labels), len(factor.varying)


def latent_design(model: sp.Model) -> LatentDesign | None:
    """Return the design of a model's latent factors."""
    return next((x for x in model.design.special if isinstance(x, LatentDesign)), None)


def _random_latent(model: sp.Model, rng: np.random.Generator) -> Latent | None:
    """Draw scores, and loadings of which the first are a triangle."""
    latent = latent_design(model)
    if latent is None:
        return None
    loadings = np.tril(rng.normal(size=(len(latent.loading_labels), latent.rank)))
    np.fill_diagonal(loadings, rng.lognormal(size=latent.rank))
    scores = rng.normal(size=(len(latent.score_labels), latent.rank))
    labels = () if latent.means is None else latent.means.labels
    beta = rng.normal(size=(len(labels), latent.rank))
    for k, label in enumerate(labels):
        beta[k] *= model.priors[f"beta_factors[{label}, 1]"].prior.arguments[1]
    return Latent(scores, loadings, rng.lognormal(), beta)


def tensor_design(model: sp.Model) -> TensorDesign | None:
    """Return the design of a model's latent factors of three columns."""
    return next((x for x in model.design.special if isinstance(x, TensorDesign)), None)


def _random_tensor(model: sp.Model, rng: np.random.Generator) -> Tensor | None:
    """Draw scores and scales, of all copies the one that posteriors have."""
    tensor = tensor_design(model)
    if tensor is None:
        return None
    sizes = [(len(each), tensor.rank) for each in tensor.labels]
    scores = [rng.normal(size=(1, *size)) for size in sizes]
    scale = rng.lognormal(size=(1, tensor.rank))
    scores, scale = aligned(scores, scale, tensor.reference)
    return Tensor(tuple(each[0] for each in scores), scale[0], rng.uniform(0.9, 1.1))


def _random_chol(
    model: sp.Model,
    factor: FactorDesign,
    rng: np.random.Generator,
    parameter: str = "mean",
) -> np.ndarray:
    """Draw the Cholesky factor of a correlation matrix; the identity if not learned."""
    q = len(factor.varying)
    if not _is_correlated(model, factor, parameter):
        return np.eye(q)
    wide = rng.normal(size=(q, q + 1))
    covariance = wide @ wide.T
    scale = np.sqrt(np.diag(covariance))
    return np.asarray(np.linalg.cholesky(covariance / np.outer(scale, scale)))


def log_density(model: sp.Model, data: pd.DataFrame, at: Point) -> float:
    """Log density of a point and the data, on the scale of what Stan declares."""
    at = within_priors(model, data, at)
    total = _log_prior(model, data, at) + _log_of_deviations(model, data, at)
    for own in model.design.predictors:
        if own.smooths:
            total += _log_of_smooths(model, own, _of_predictor(at, own))
    if model.structure.shrinks:
        total += _log_horseshoe(model, at)
    if model.structure.samples_values:
        assert at.values is not None
        total += of_values.log_density_of_values(model, data, at.values)
    if model.parameterization == "marginal":
        total += _log_marginal_likelihood(model, data, at)
    elif model.spec.integrates_values:
        total += _log_joint_with_values(model, data, at)[0]
    else:
        eta = linear_predictor(model, data, at)
        total += log_likelihood_of(model, data, eta, at)
    if model.spec.pooling == "partial":
        for number, varying in enumerate(at.factors):
            if model.structure.factors[number].integrated:
                total += _log_jacobian_of_correlations(varying)
                total += _log_jacobian_of_roots(model, varying, number)
                continue
            deviations = varying.b - group_means(model, data, at, number)
            factor = model.design.factors[number]
            total += _log_of_population(model, factor, varying, deviations)
            total += _log_jacobian(model, varying, number)
        if at.latent is not None:
            total += _log_latent(model, data, at.latent)
        if at.tensor is not None:
            given = at.tensor.given
            for own, rms in zip(at.tensor.scores, at.tensor.score_rms, strict=True):
                total += stats.chi.logpdf(rms * np.sqrt(len(own)), len(own)).sum()
                each = stats.norm.logpdf(given, 1, 0.1) - (len(own) - 1) * np.log(given)
                total += len(rms) * each
            # Scales change with the root mean squares in proportion.
            total += np.log(at.tensor.scale / at.tensor.rms).sum()
        if model.design.residual is not None:
            total += _log_density_of_residual_scales(at)
    return float(total)


def _log_joint_with_values(
    model: sp.Model, data: pd.DataFrame, at: Point
) -> tuple[float, np.ndarray]:
    """Log density of rows whose unknown values are integrated out."""
    assert at.values is not None
    names = [each.name for each in model.spec.uncertain]
    slopes = at.beta[[model.design.coefficients.index(name) for name in names]]
    none = data.assign(**dict.fromkeys(names, 0.0))
    eta = linear_predictor(model, none, replace(at, values=None))
    scale = _outcome(model, data, eta, at).std() * np.ones(len(data))
    return of_values.log_joint(
        model, data, at.values, eta=eta, slopes=slopes, scale=scale
    )


def horseshoe_sd(model: sp.Model, at: Point) -> np.ndarray:
    """Return the deviations of coefficients: (2.8) of Piironen and Vehtari (2017)."""
    rows = [row.prior for row in model.priors if row.prior.distribution == "horseshoe"]
    tau, c = np.array([row.arguments for row in rows])[:, [0, 2]].T
    tau, c2 = tau * at.beta_global, c**2 * at.beta_slab
    local2 = c2 * at.beta_local**2 / (c2 + tau**2 * at.beta_local**2)
    return np.asarray(tau * np.sqrt(local2))


def _log_horseshoe(model: sp.Model, at: Point) -> float:
    """Log density of coefficients and their scales, of coefficients as z of Stan."""
    sd = horseshoe_sd(model, at)
    (df,) = {row.prior.arguments[1] for row in model.priors if "beta[" in row.parameter}
    total = stats.norm(0, sd).logpdf(at.beta).sum() + np.log(sd).sum()
    total += stats.halfcauchy().logpdf([*at.beta_local, at.beta_global]).sum()
    return float(total + stats.invgamma(df / 2, scale=df / 2).logpdf(at.beta_slab))


def _log_of_population(
    model: sp.Model, factor: FactorDesign, varying: Varying, deviations: np.ndarray
) -> float:
    """Log density of deviations ``(J, Q)``, of known covariances as Stan's z."""
    if factor.root is None:
        return varying.log_density_of(deviations, factor.population)
    between = covariance_between_groups(model, factor, varying.rho)
    # One group after the other, each with all its coefficients.
    covariance = np.kron(between, varying.chol @ varying.chol.T)
    whole = stats.multivariate_normal(cov=covariance, allow_singular=True)
    values = np.linalg.eigvalsh(between)[-factor.root.columns :]
    volume = 0.5 * len(varying.tau) * np.log(values).sum()
    return float(whole.logpdf(deviations.ravel()) + volume)


def covariance_between_groups(
    model: sp.Model, factor: FactorDesign, rho: float
) -> np.ndarray:
    """Return what a user passed, in the order of the labels of a factor's groups."""
    term = {each.factor: each for each in model.spec.all_groups}[factor.factor]
    if term.structure == "ar1":
        return _decaying(factor.labels, rho)
    known = dict(model.spec.covariances)[term.covariance]
    if isinstance(known, Ancestry):
        between = _relationships(known)
    elif isinstance(known, Neighbours):
        between = between_regions(known, term.structure, rho)
    else:
        between = known.matrix
    passed = pd.DataFrame(between, index=known.labels, columns=known.labels)
    labels = list(map(str, factor.labels))
    return passed.loc[labels, labels].to_numpy()


def between_regions(known: Neighbours, structure: str, rho: float) -> np.ndarray:
    """Return what neighbours make of regions, by generalized inverses."""
    size = len(known.labels)
    ties = np.zeros((size, size))
    for (i, j), weight in zip(known.pairs.tolist(), known.weights, strict=True):
        ties[i, j] = ties[j, i] = weight
    precision, covariance = np.diag(ties.sum(axis=0)) - ties, np.zeros((size, size))
    for component in known.components:
        at = np.ix_(component, component)
        inverse = np.linalg.pinv(precision[at], hermitian=True)
        if len(component) == 1:
            inverse = np.ones((1, 1))
        scale = stats.gmean(np.diag(inverse))
        covariance[at] = inverse / scale
    if structure == "bym2":
        return np.asarray(rho * covariance + (1 - rho) * np.eye(size))
    precision = rho * np.linalg.pinv(covariance, hermitian=True)
    found = np.linalg.inv(precision + (1 - rho) * np.eye(size))
    # Given that deviations have the sum 0 in each component.
    sums = [np.isin(range(size), own) for own in known.components if len(own) > 1]
    C = np.array(sums, dtype=float)
    return np.asarray(found - found @ C.T @ np.linalg.solve(C @ found @ C.T, C @ found))


def _decaying(labels: tuple[Any, ...], rho: float) -> np.ndarray:
    """Return correlations of times, ``3`` or ``series:3``, which decay with time."""
    split = [str(label).rpartition(":") for label in labels]
    found = np.zeros((len(split), len(split)))
    for i, (series, _, t) in enumerate(split):
        for j, (other, _, s) in enumerate(split):
            if series == other:
                found[i, j] = rho ** abs(float(t) - float(s))
    return found


def _relationships(known: Ancestry) -> np.ndarray:
    """Return the numerator relationships of a pedigree, by the tabular method."""
    found = np.zeros((len(known.labels) + 1, len(known.labels) + 1))
    for j, (sire, dam) in enumerate(known.parents.tolist()):
        found[j, :j] = found[:j, j] = 0.5 * (found[sire, :j] + found[dam, :j])
        found[j, j] = 1.0 + 0.5 * found[sire, dam]
    return found[:-1, :-1]


def _roots(model: sp.Model, varying: Varying, number: int) -> np.ndarray:
    """Return x > 0 with tau = unit * x * sqrt(1 + x^2): x^2 solves a quadratic."""
    told = model.stan_data()
    unit = told.get(f"tau_unit_{number + 1}" if number else "tau_unit", 1.0)
    return np.sqrt((np.sqrt(1 + 4 * np.square(varying.tau / unit)) - 1) / 2)


def _log_jacobian_of_roots(model: sp.Model, varying: Varying, number: int) -> float:
    """Log of |d tau / d x|, but for the unit, where the program has x."""
    end = f"_{number + 1}" if number else ""
    if f"tau_root{end};" not in model.program.source:
        return 0.0
    x = _roots(model, varying, number)
    # Of (x^2 + x^4)^(1/2): half of its square's derivative over itself.
    return float(np.sum(np.log((x + 2 * x**3) / np.sqrt(x**2 + x**4))))


def stan_parameters(model: sp.Model, data: pd.DataFrame, at: Point) -> dict[str, Any]:
    """Return the point as the parameters that the model's Stan program declares."""
    at = within_priors(model, data, at)
    means, varying_means = _reference(model, data)
    found: dict[str, Any] = {"beta": at.beta}
    for own in model.design.predictors:
        if own.smooths:
            found |= _stan_parameters_of_smooths(model, own, _of_predictor(at, own))
    if model.design.intercept:
        found["alpha_c"] = at.intercept + means @ at.beta
    found |= _stan_parameters_of_formulas(model, data, at)
    found |= {"sigma": at.sigma, "residual_rho": at.residual_rho}
    found |= {name: getattr(at, name) for name in OWN_PARAMETERS}
    if model.design.categories:
        found["cutpoint_c"] = at.cutpoint - means @ at.beta
    if at.values is not None:
        found |= {"mean_x": at.values.mean, "sd_x": at.values.sd}
        found |= {"beta_x": at.values.beta}
        found["z_x"] = of_values.standardized(model, data, at.values)
    if at.latent is not None:
        found |= {"scores": at.latent.scores, "z_loadings": at.latent.loadings}
        found["loading_scale"] = at.latent.scale
        found["beta_factors"] = at.latent.beta.T.ravel()
    if at.tensor is not None:
        found["product_rms"] = at.tensor.rms
        found["score_rms"] = at.tensor.score_rms
        parts = zip(at.tensor.scores, at.tensor.score_rms, strict=True)
        directions = np.concatenate([own / rms for own, rms in parts])
        found["z_factors"] = at.tensor.given * directions
    if model.design.residual is not None:
        assert at.sigmas is not None
        found["sigma_j"] = at.sigmas
        found["tau_sigma"] = at.tau_sigma
        found["z_sigma"] = np.log(at.sigmas / at.sigma) / at.tau_sigma
    if model.spec.pooling == "none":
        found["b_c"] = _at_reference(model, at, means, varying_means)
    if model.spec.pooling == "partial":
        for number, varying in enumerate(at.factors):
            end = f"_{number + 1}" if number else ""
            deviations = varying.b - group_means(model, data, at, number)
            found |= {f"tau{end}": varying.tau, f"L_Omega{end}": varying.L_Omega}
            found |= {f"b{end}": varying.b, f"nu_u{end}": varying.nu}
            found[f"rho_u{end}"] = varying.rho
            moved = _line_at_center(model, number)
            found[f"b_c{end}"] = varying.b - deviations + deviations @ moved.T
            if model.design.intercept and not number:
                # The population's line, whose intercept comes first.
                centers = dict(model.design.centers)
                labels = model.design.coefficients
                line = np.array([centers.get(label, 0.0) for label in labels])
                found[f"b_c{end}"][:, 0] += line @ at.beta
            if model.structure.factors[number].integrated:
                signs = (-1) ** np.arange(len(varying.tau))
                found[f"tau_root{end}"] = signs * _roots(model, varying, number)
            deviations = _independent(model.design.factors[number], varying, deviations)
            has_forms = model.design.factors[number].has_forms
            if model.parameterization == "adaptive" and has_forms:
                found[f"z{end}"] = _off_ridge(model, data, at, number)
            else:
                found[f"z{end}"] = np.linalg.solve(varying.chol, deviations.T).T
    if "ridge" in model.program.source:
        moved = _moved_on_ridges(model, data, at)
        if model.design.categories:
            found["cutpoint_bar"] = found["cutpoint_c"] - moved
        else:
            found["alpha_bar"] = found["alpha_c"] + moved
    if model.structure.decoupled:
        _sample_population_apart(model, found)
    if model.structure.shrinks:
        scales = ("beta_local", "beta_global", "beta_slab")
        found |= {name: getattr(at, name) for name in scales}
        found["beta_z"] = at.beta / horseshoe_sd(model, at)
    told = model.stan_data()
    for name in re.findall(r"at_(\w+)_estimated;", model.program.source):
        found[f"{name}_estimated"] = found[name][told[f"at_{name}_estimated"] - 1]
    return found


def within_priors(model: sp.Model, data: pd.DataFrame, at: Point) -> Point:
    """Return the point with constants, and other parameters between their bounds."""
    beta, formulas = at.beta.copy(), dict(at.formulas)
    for design in (model.design.mean, *model.design.formulas):
        own = formulas.get(design.parameter)
        end = "" if own is None else f"_{design.parameter}"
        into = beta if own is None else own.beta.copy()
        for place, label in enumerate(design.free):
            into[place] = _within(model, f"beta{end}[{label}]", into[place])
        # Of complete pooling, a design has no factors where the point may have some.
        every = zip(design.factors, (own or at).factors, strict=False)
        factors = [
            replace(
                varying,
                nu=_within(model, f"nu{end}_{factor.factor}", varying.nu),
                tau=np.array(
                    [
                        _within(model, f"tau{end}_{factor.factor}[{label}]", tau)
                        for label, tau in zip(factor.varying, varying.tau, strict=True)
                    ]
                ),
            )
            for factor, varying in every
        ]
        means = _means_of(data, design.coefficients) @ into
        intercept = (own or at).intercept + means
        intercept = _within(model, f"Intercept{end}", intercept) - means
        changed = {"factors": tuple(factors), "beta": into, "intercept": intercept}
        if own is None:
            at = replace(at, **changed)
        else:
            formulas[design.parameter] = replace(own, **changed)
    numbers = {
        name: _within(model, name, getattr(at, name))
        for name in ("sigma", "residual_rho", *OWN_PARAMETERS)
    }
    if model.design.residual is not None:
        scale = f"tau_sigma_{model.design.residual.factor}"
        numbers["tau_sigma"] = _within(model, scale, at.tau_sigma)
    if at.latent is not None:
        scale = _within(model, "loading_scale", at.latent.scale)
        numbers["latent"] = replace(at.latent, scale=scale)
    return replace(at, formulas=formulas, **numbers)


def _within(model: sp.Model, name: str, value: float) -> float:
    """Return the constant that a parameter is, or a value within its bounds."""
    prior = next((row.prior for row in model.priors if row.parameter == name), None)
    if prior is None:
        return value
    if prior.distribution == "constant":
        return prior.arguments[0]
    lower = -np.inf if prior.lb is None else prior.lb + 0.1
    return float(np.clip(value, lower, np.inf if prior.ub is None else prior.ub - 0.1))


def _moved_on_ridges(model: sp.Model, data: pd.DataFrame, at: Point) -> float:
    """Return by how much less the intercept is than what is sampled in its place."""
    told, moved = model.stan_data(), 0.0
    for number in range(len(at.factors)):
        end = f"_{number + 1}" if number else ""
        if np.any(told.get(f"ridge{end}", 0.0)):
            along = told[f"ridge{end}"] * _off_ridge(model, data, at, number)
            moved += along.sum(axis=0) @ told[f"alpha_on_ridge{end}"]
    return moved


def _off_ridge(
    model: sp.Model, data: pd.DataFrame, at: Point, number: int
) -> np.ndarray:
    """Return v with (1 + e e') v = z, for each coefficient with its e."""
    told, end = model.stan_data(), f"_{number + 1}" if number else ""
    v = _partly_centered(model, data, at, number)
    for q, e in enumerate(told.get(f"ridge{end}", np.empty((0, 0))).T):
        v[:, q] = np.linalg.solve(np.eye(len(e)) + np.outer(e, e), v[:, q])
    return v


def _sample_population_apart(model: sp.Model, found: dict[str, Any]) -> None:
    """Standardize the population's coefficients, and take what they say out of z."""
    told = model.stan_data()
    theta = np.append(found.get("alpha_c", []), found["beta"])
    root = told["theta_root"]
    found["z_theta"] = np.linalg.inv(root) @ (theta - told["theta_pilot"])
    for number in range(len(model.design.factors)):
        end = f"_{number + 1}" if number else ""
        if f"z_slopes{end}" not in told:
            continue
        slopes, z = told[f"z_slopes{end}"], found[f"z{end}"]
        for q in range(z.shape[1]):  # a column after the other
            own = slopes[q * len(z) : (q + 1) * len(z)]
            z[:, q] -= own @ found["z_theta"]


def _partly_centered(
    model: sp.Model, data: pd.DataFrame, at: Point, number: int
) -> np.ndarray:
    """Return z of b = m + (tau / tau_0)^(1 - w) (z_scale z - w m), m at the means.

    In decorrelated groups the correlations are taken out of the deviations of z.
    """
    told, end = model.stan_data(), f"_{number + 1}" if number else ""
    names = "centeredness", "z_scale", "tau_pilot"
    w, z_scale, pilot = (told[f"{each}{end}"] for each in names)
    varying = at.factors[number]
    u = varying.b - group_means(model, data, at, number)
    mean = _means_at_reference(model, data, at, number)
    for place in _factors_around(model, number):
        mean += _coefficients_around(model, data, at, number, place)
    z, known = np.empty_like(u), np.zeros_like(u)
    scales = varying.tau
    if f"uncenter{end}" in told:
        # Each where its predictor is centered, given those before it.
        u = u @ _line_at_center(model, number).T
        covariance = _covariance_at_center(model, varying, number)
        scales = np.empty_like(varying.tau)
        for q in range(len(scales)):
            before, own = covariance[:q, :q], covariance[:q, q]
            weights = np.linalg.solve(before, own)
            known[:, q] = u[:, :q] @ weights
            scales[q] = np.sqrt(covariance[q, q] - own @ weights)
    for j, q in np.ndindex(u.shape):
        stretch = (scales[q] / pilot[q]) ** (1 - w[j, q])
        own = w[j, q] * (mean[j, q] + known[j, q])
        z[j, q] = ((u[j, q] - known[j, q]) / stretch + own) / z_scale[j, q]
    for j in range(len(u)):
        if f"decorrelated{end}" in told and told[f"decorrelated{end}"][j] == 1:
            about = w[j] * mean[j] / z_scale[j]
            z[j] = about + np.linalg.solve(varying.chol_omega, z[j] - about)
    return z


def _means_at_reference(
    model: sp.Model, data: pd.DataFrame, at: Point, number: int
) -> np.ndarray:
    """Return what z is centered at, with predictors at their means, shape (J, Q)."""
    told, end = model.stan_data(), f"_{number + 1}" if number else ""
    center = told.get(f"center_index{end}", told[f"mean_index{end}"])
    mean = group_means(model, data, at, number, has_mean=center > 1)
    factor, design = model.design.factors[number], model.design
    if not design.intercept:
        return mean
    reference = _reference(model, data)[0]
    # The second of (0, alpha, beta) is the intercept.
    mean += (center == 2) * (reference @ at.beta)
    if f"ridge{end}" in told and (center == 2).any():
        mean += (center == 2) * _moved_on_ridges(model, data, at)
    if factor.U is not None and "u" in design.coefficients:
        place = design.coefficients.index("u")
        intercept = np.array(factor.varying) == "Intercept"
        mean -= intercept * reference[place] * at.beta[place]
    return mean


def _factors_around(model: sp.Model, number: int) -> list[int]:
    """Return the factors of which each group of a factor lies in one group."""
    factors, found = model.design.factors, []
    for place, other in enumerate(factors):
        is_plain = factors[number].is_independent and other.is_independent
        if place != number and is_plain:
            met = pd.crosstab(factors[number].index, other.index).to_numpy() > 0
            if met.shape[0] > met.shape[1] and (met.sum(axis=1) == 1).all():
                found.append(place)
    return found


def _coefficients_around(
    model: sp.Model, data: pd.DataFrame, at: Point, number: int, place: int
) -> np.ndarray:
    """Return coefficients of the groups that groups lie in, 0 if they have none."""
    inner, outer = (model.design.factors[each] for each in (number, place))
    u = at.factors[place].b - group_means(model, data, at, place)
    own = pd.DataFrame(_means_at_reference(model, data, at, place) + u)
    own.columns = list(outer.varying)
    of_row = own.reindex(columns=list(inner.varying), fill_value=0.0)
    of_row = of_row.iloc[outer.index].reset_index(drop=True)
    return of_row.groupby(inner.index).first().to_numpy()


def _line_at_center(model: sp.Model, number: int) -> np.ndarray:
    """Return what makes of a line's intercept and slopes its values at the centers."""
    labels = list(model.design.factors[number].varying)
    found = np.eye(len(labels))
    for q, label in enumerate(labels):
        if "Intercept" in labels:
            center = dict(model.design.centers).get(label, 0.0)
            found[labels.index("Intercept"), q] += center
    return found


def _covariance_at_center(model: sp.Model, varying: Varying, number: int) -> np.ndarray:
    """Return that of deviations that are uncorrelated where predictors are 0."""
    line = _line_at_center(model, number)
    return np.asarray(line @ np.diag(np.square(varying.tau)) @ line.T)


def group_means(
    model: sp.Model,
    data: pd.DataFrame,
    at: Point,
    number: int,
    has_mean: np.ndarray | None = None,
) -> np.ndarray:
    """Mean of the coefficients of each group of a factor, shape (J, Q).

    A coefficient has the population's mean in the first factor that varies it, else 0
    (or where ``has_mean`` says so);
    a predictor ``u`` that is constant in groups moves the mean of their intercepts,
    and ``x:u`` that of their slopes of ``x``.
    """
    factor = model.design.factors[number]
    population = dict(zip(model.design.coefficients, at.beta, strict=True))
    if model.design.intercept:
        population["Intercept"] = at.intercept
    earlier = {
        label for each in model.design.factors[:number] for label in each.varying
    }
    means = np.zeros((len(factor.labels), len(factor.varying)))
    for q, label in enumerate(factor.varying):
        has = label not in earlier if has_mean is None else has_mean[q]
        means[:, q] += population.get(label, 0.0) if has else 0.0
        moved = {"u": "Intercept"} | {f"{slope}:u": slope for slope in factor.varying}
        for name, effect in population.items():
            if factor.factor == "g" and moved.get(name) == label:
                values = data.groupby("g")["u"].first()
                means[:, q] += effect * values[list(factor.labels)].to_numpy()
    return means


def linear_predictor(model: sp.Model, data: pd.DataFrame, at: Point) -> np.ndarray:
    """Sum each coefficient times its predictor; a varying one is the group's own."""
    design = model.design
    if at.values is not None:
        truth = of_values.true_columns(model, data, at.values)
        return linear_predictor(model, data.assign(**truth), replace(at, values=None))
    if (
        len(at.factors) > 1
        or at.latent is not None
        or at.tensor is not None
        or any(factor.known_covariance for factor in model.structure.factors)
        or "u" in " ".join(design.coefficients)
    ):
        return _sum_of_deviations(model, data, at)
    own = set(design.varying)
    eta = _offsets(model, data)
    if design.intercept and "Intercept" not in own:
        eta += at.intercept
    for label, coefficient in zip(design.coefficients, at.beta, strict=True):
        if label not in own:
            eta += coefficient * _predictor(data, label)
    for q, label in enumerate(design.varying):
        rows = [design.group_labels.index(group) for group in data["g"]]
        eta += at.first.b[rows, q] * _predictor(data, label)
    return eta


def _sum_of_deviations(model: sp.Model, data: pd.DataFrame, at: Point) -> np.ndarray:
    """Add to the population's part what a row's memberships deviate on average."""
    design = model.design
    eta = _offsets(model, data) + (at.intercept if design.intercept else 0.0)
    for label, coefficient in zip(design.coefficients, at.beta, strict=True):
        eta += coefficient * _predictor(data, label)
    for number, varying in enumerate(at.factors):
        factor = design.factors[number]
        deviations = varying.b - group_means(model, data, at, number)
        memberships = _groups_of_rows(model, data, model.design.factors[number])
        for rows in memberships:
            for q, label in enumerate(factor.varying):
                own = _with_none(deviations)[rows, q] * _predictor(data, label)
                eta += own / len(memberships)
    if at.latent is not None:
        eta += _products(model, data, at.latent)
    tensor = tensor_design(model)
    if at.tensor is not None and tensor is not None:
        product = at.tensor.scale
        for name, labels, own in zip(
            tensor.columns, tensor.labels, at.tensor.scores, strict=True
        ):
            product = product * own[[labels.index(each) for each in data[name]]]
        eta += product.sum(axis=1)
    return eta


def _products(model: sp.Model, data: pd.DataFrame, at: Latent) -> np.ndarray:
    """Multiply the scores of each row's unit with the loadings of its other one."""
    latent = latent_design(model)
    assert latent is not None
    ordered = [latent.loading_labels[number] for number in latent.anchors]
    scored = [latent.score_labels.index(each) for each in data[latent.scores_of]]
    loaded = [ordered.index(each) for each in data[latent.loadings_of]]
    return np.asarray(at.scale * (at.scores[scored] * at.loadings[loaded]).sum(axis=1))


def _with_none(deviations: np.ndarray) -> np.ndarray:
    """Append the deviation 0 of rows that are of no group, whose index is -1."""
    return np.concatenate([deviations, np.zeros_like(deviations[:1])])


def _groups_of_rows(
    model: sp.Model, data: pd.DataFrame, factor: FactorDesign
) -> list[list[int]]:
    """Return the group of each row, once for each of its memberships; -1 for none."""
    term = {each.factor: each for each in model.spec.all_groups}[factor.factor]
    labels = [str(label) for label in factor.labels]
    columns = [[str(entry) for entry in data[column]] for column in term.key]
    if not term.membership:
        columns = [[":".join(each) for each in zip(*columns, strict=True)]]
    if term.by:
        pairs = zip(*columns, data[term.by], strict=True)
        return [[labels.index(g) if by == term.level else -1 for g, by in pairs]]
    return [[labels.index(group) for group in column] for column in columns]


def _log_marginal_likelihood(model: sp.Model, data: pd.DataFrame, at: Point) -> float:
    """Log density of all rows with the deviations of some factors integrated out.

    The rows are jointly normal. A weight w makes a row's density that of w rows.
    """
    covariance, factors = np.zeros((len(data), len(data))), list(at.factors)
    for number, varying in enumerate(at.factors):
        if not model.structure.factors[number].integrated:
            continue
        (rows,) = _groups_of_rows(model, data, model.design.factors[number])
        z = np.zeros((len(data), *varying.b.shape))
        for q, label in enumerate(model.design.factors[number].varying):
            z[np.arange(len(data)), rows, q] = _predictor(data, label)
        population = varying.chol @ varying.chol.T
        covariance += np.einsum("njq,qr,mjr->nm", z, population, z)
        means = group_means(model, data, at, number)
        factors[number] = replace(varying, b=means)
    eta = linear_predictor(model, data, replace(at, factors=tuple(factors)))
    scale = _outcome(model, data, eta, at).std() * np.ones(len(data))
    weights = np.ones(len(data))
    if model.spec.weights is not None:
        weights = data[model.spec.weights].to_numpy()
    covariance += np.diag(scale**2 / weights)
    y = data[model.spec.outcome]
    total = stats.multivariate_normal.logpdf(y, eta, covariance)
    return float(total + np.sum((1 - weights) * np.log(scale)))


def _offsets(model: sp.Model, data: pd.DataFrame) -> np.ndarray:
    """Sum what is added to the linear predictor as it is, and the log exposure."""
    eta = np.zeros(len(data))
    for column in model.spec.offsets:
        eta += data[column].to_numpy()
    if model.spec.exposure is not None:
        eta += np.log(data[model.spec.exposure].to_numpy())
    return eta


def _predictor(data: pd.DataFrame, label: str) -> np.ndarray:
    """Return a column, a product of columns, or ones."""
    if label == "Intercept":
        return np.ones(len(data))
    columns = [data[name].to_numpy(dtype=float) for name in label.split(":")]
    return np.prod(columns, axis=0)


def log_likelihood(model: sp.Model, data: pd.DataFrame, at: Point) -> float:
    """Log probability of the outcome, with its normalizing constant.

    Values of predictors that are not known are averaged over, given what was observed.
    """
    if at.values is None:
        return log_likelihood_of(model, data, linear_predictor(model, data, at), at)
    if model.spec.integrates_values:
        return float(np.sum(_log_joint_with_values(model, data, at)[1]))
    # As far as the modes are of outcomes that hardly agree with what was observed.
    z = np.linspace(-60, 60, 4_001)
    names = [each.name for each in model.spec.uncertain]
    slopes = at.beta[[model.design.coefficients.index(name) for name in names]]
    centers, spreads = of_values.given_seen(model, data, at.values)
    none = data.assign(**dict.fromkeys(names, 0.0))
    eta = linear_predictor(model, none, replace(at, values=None)) + slopes @ centers
    sd = np.sqrt(np.square(slopes) @ np.square(spreads))
    # All rows at the first of z, at the second, and so on, at once.
    repeated = data.iloc[np.tile(np.arange(len(data)), len(z))].reset_index(drop=True)
    rows = _log_of_rows(model, repeated, (eta + np.outer(z, sd)).ravel(), at)
    weights = stats.norm.logpdf(z) + np.log(z[1] - z[0])
    terms = rows.reshape(len(z), len(data)) + weights[:, None]
    return float(special.logsumexp(terms, axis=0).sum())


def log_likelihood_of(
    model: sp.Model, data: pd.DataFrame, eta: np.ndarray, at: Point
) -> float:
    """Log probability of the outcome, given the linear predictor."""
    return float(np.sum(_log_of_rows(model, data, eta, at)))


def _log_of_rows(
    model: sp.Model, data: pd.DataFrame, eta: np.ndarray, at: Point
) -> np.ndarray:
    """Log probability of each outcome, times its weight."""
    spec = model.spec
    if spec.residual_correlation is not None:
        return _log_density_of_subjects(model, data, eta, at)
    weights = 1.0 if spec.weights is None else data[spec.weights].to_numpy()
    if spec.family in ("ordinal", "sratio", "acat"):
        codes = data[spec.outcome].cat.codes.to_numpy()
        p = categories(spec.family, spec.link_name, eta, at.cutpoint)
        rows = np.log(p[np.arange(len(codes)), codes])
    else:
        rows = _log_density_of_rows(model, data, eta, at)
    return np.asarray(weights * rows)


def _log_density_of_subjects(
    model: sp.Model, data: pd.DataFrame, eta: np.ndarray, at: Point
) -> float:
    """Log density of the rows of each subject together."""
    stated, total = model.spec.residual_correlation, 0.0
    assert stated is not None
    sigma = np.broadcast_to(parameter_of_rows(model, data, at, "sigma"), eta.shape)
    for rows in data.groupby([*stated.subject]).indices.values():
        matrix = np.full((len(rows), len(rows)), at.residual_rho)
        np.fill_diagonal(matrix, 1.0)
        if stated.structure == "ar1":
            times = data[stated.time].to_numpy()[rows]
            matrix = at.residual_rho ** np.abs(np.subtract.outer(times, times))
        covariance = sigma[rows] * matrix * sigma[rows, None]
        distribution = stats.multivariate_normal(eta[rows], covariance)
        if model.spec.family == "student_t":
            distribution = stats.multivariate_t(eta[rows], covariance, df=at.nu)
        total += distribution.logpdf(data[model.spec.outcome].to_numpy()[rows])
    return float(total)


def _log_density_of_rows(
    model: sp.Model, data: pd.DataFrame, eta: np.ndarray, at: Point
) -> np.ndarray:
    """Log probability of each row: observed, censored or truncated."""
    spec, y = model.spec, data[model.spec.outcome].to_numpy()
    outcome = _outcome(model, data, eta, at)
    is_count = hasattr(outcome.dist, "logpmf")
    rows = np.array(outcome.logpmf(y) if is_count else outcome.logpdf(y))
    if spec.cens is not None:
        censored, upper = data[spec.cens], data[spec.cens_upper]
        between = _log_between(outcome, y, upper)
        rows[censored == -1] = outcome.logcdf(y)[censored == -1]
        rows[censored == 1] = outcome.logsf(y)[censored == 1]
        rows[censored == 2] = between[censored == 2]
    if spec.trunc is not None:
        lower, upper = (
            data[bound] if isinstance(bound, str) else bound for bound in spec.trunc
        )
        if is_count:
            rows -= _log_of_counts(outcome, 0 if lower is None else lower, upper)
        else:
            lower = -np.inf if lower is None else lower
            rows -= _log_between(outcome, lower, np.inf if upper is None else upper)
    return rows


def _log_between(outcome: Any, lower: Any, upper: Any) -> Any:
    """Log of F(upper) - F(lower), as a difference in the tail that is nearer."""
    with np.errstate(divide="ignore", invalid="ignore"):
        below, above = outcome.logcdf(upper), outcome.logsf(lower)
        from_below = below + np.log1p(-np.exp(outcome.logcdf(lower) - below))
        from_above = above + np.log1p(-np.exp(outcome.logsf(upper) - above))
    return np.where(above < below, from_above, from_below)


def _log_of_counts(outcome: Any, lower: Any, upper: Any) -> Any:
    """Log probability of the counts between bounds, both included."""
    if upper is None:
        return outcome.logsf(lower - 1)
    counts = np.arange(np.max(upper) + 1)[:, None]
    logs = np.where(
        (counts >= np.asarray(lower)) & (counts <= np.asarray(upper)),
        outcome.logpmf(counts),
        -np.inf,
    )
    return special.logsumexp(logs, axis=0)


def _outcome(model: sp.Model, data: pd.DataFrame, eta: np.ndarray, at: Point) -> Any:
    """Return SciPy's distribution of the outcomes."""
    spec = model.spec
    mean = {
        "identity": lambda: eta,
        "log": lambda: np.exp(eta),
        "logit": lambda: expit(eta),
        "probit": lambda: stats.norm.cdf(eta),
        "cloglog": lambda: -np.expm1(-np.exp(eta)),
        "tan_half": lambda: 2 * np.arctan(eta),
    }[spec.link_name]()
    complement = {
        "logit": lambda: expit(-eta),
        "probit": lambda: stats.norm.sf(eta),
        "cloglog": lambda: np.exp(-np.exp(eta)),
    }.get(spec.link_name, lambda: 1 - mean)()
    own = {
        name: parameter_of_rows(model, data, at, name)
        for name in ("sigma", *OWN_PARAMETERS)
    }
    learned: Any = own["sigma"] if spec.has_sigma else 0.0
    if model.design.residual is not None:
        assert at.sigmas is not None
        learned = at.sigmas[
            pd.factorize(data[model.design.residual.factor], sort=True)[0]
        ]
    known = 0.0 if spec.se is None else data[spec.se].to_numpy()
    scale, phi = np.sqrt(known**2 + learned**2), own["phi"]
    return {
        "gaussian": lambda: stats.norm(mean, scale),
        "student_t": lambda: stats.t(own["nu"], mean, scale),
        "skew_normal": lambda: skew_normal(mean, scale, own["slant"]),
        "asymmetric_laplace": lambda: asymmetric_laplace(
            mean, scale, spec.quantile or 0.5
        ),
        "von_mises": lambda: Directions(mean, own["kappa"]),
        "lognormal": lambda: stats.lognorm(scale, scale=np.exp(mean)),
        "gamma": lambda: stats.gamma(own["shape"], scale=mean / own["shape"]),
        "exponential": lambda: stats.expon(scale=mean),
        "weibull": lambda: stats.weibull_min(
            own["shape"], scale=mean / special.gamma(1 + 1 / own["shape"])
        ),
        "inverse_gaussian": lambda: stats.invgauss(
            mean / own["shape"], scale=own["shape"]
        ),
        "beta": lambda: stats.beta(mean * phi, complement * phi),
        "bernoulli": lambda: stats.bernoulli(mean),
        "binomial": lambda: stats.binom(data[spec.trials], mean),
        "beta_binomial": lambda: stats.betabinom(
            data[spec.trials], mean * phi, complement * phi
        ),
        "poisson": lambda: stats.poisson(mean),
        "negative_binomial": lambda: stats.nbinom(phi, phi / (phi + mean)),
        "zero_inflated_poisson": lambda: Zeros(stats.poisson(mean), zi=own["zi"]),
        "zero_inflated_negative_binomial": lambda: Zeros(
            stats.nbinom(phi, phi / (phi + mean)), zi=own["zi"]
        ),
        "hurdle_poisson": lambda: Zeros(stats.poisson(mean), hu=own["hu"]),
        "hurdle_negative_binomial": lambda: Zeros(
            stats.nbinom(phi, phi / (phi + mean)), hu=own["hu"]
        ),
        "zero_inflated_binomial": lambda: Zeros(
            stats.binom(data[spec.trials], mean), zi=own["zi"]
        ),
        "hurdle_gamma": lambda: WithPoints(
            stats.gamma(own["shape"], scale=mean / own["shape"]), {0.0: own["hu"]}
        ),
        "hurdle_lognormal": lambda: WithPoints(
            stats.lognorm(scale, scale=np.exp(mean)), {0.0: own["hu"]}
        ),
        "zero_one_inflated_beta": lambda: WithPoints(
            stats.beta(mean * phi, complement * phi),
            {0.0: own["zoi"] * (1 - own["coi"]), 1.0: own["zoi"] * own["coi"]},
        ),
    }[spec.family]()


def skew_normal(mean: Any, sd: Any, slant: float) -> Any:
    """Return SciPy's skew normal distribution of a mean and a standard deviation."""
    standard = stats.skewnorm(slant)
    scale = sd / standard.std()
    return stats.skewnorm(slant, loc=mean - scale * standard.mean(), scale=scale)


def asymmetric_laplace(at: Any, sigma: Any, quantile: float) -> Any:
    """Return SciPy's distribution of the quantile, whose rates are apart.

    SciPy's has the rates kappa and 1 / kappa of a scale, above and below; here they are
    the quantile over sigma and its complement over sigma.
    """
    kappa = np.sqrt(quantile / (1 - quantile))
    scale = sigma / np.sqrt(quantile * (1 - quantile))
    return stats.laplace_asymmetric(kappa, loc=at, scale=scale)


@dataclass(frozen=True)
class Zeros:
    """Counts with more zeros, or with a probability of zeros of their own.

    With ``zi`` a count is 0 with that probability, and otherwise one of ``counts``,
    zeros included; with ``hu`` it is 0 with that probability, and otherwise a count
    that is not 0.
    """

    counts: Any
    zi: float | None = None
    hu: float | None = None

    @property
    def dist(self) -> Any:
        """The distribution without its parameters."""
        return self.counts.dist

    def pmf(self, y: Any) -> Any:
        """Probability of a count, by the sum of the ways to it."""
        y = np.asarray(y)
        if self.zi is not None:
            return self.zi * (y == 0) + (1 - self.zi) * self.counts.pmf(y)
        assert self.hu is not None
        positive = (1 - self.hu) * self.counts.pmf(y) / self.counts.sf(0)
        return np.where(y == 0, self.hu, positive)

    def logpmf(self, y: Any) -> Any:
        """Return the log probability, in logarithms: far counts have hardly any."""
        y = np.asarray(y)
        counts = self.counts.logpmf(y)
        if self.zi is not None:
            always = np.where(y == 0, np.log(self.zi), -np.inf)
            return np.logaddexp(always, np.log1p(-self.zi) + counts)
        assert self.hu is not None
        positive = np.log1p(-self.hu) + counts - self.counts.logsf(0)
        return np.where(y == 0, np.log(self.hu), positive)

    def moment(self, power: int) -> Any:
        """Sum over all counts that have any probability."""
        y = np.arange(3000.0)[:, None]
        return (y**power * self.pmf(y)).sum(axis=0)

    def mean(self) -> Any:
        """Return the first moment."""
        return self.moment(1)

    def var(self) -> Any:
        """Return the variance."""
        return self.moment(2) - self.moment(1) ** 2

    def rvs(self, shape: tuple[int, ...], random_state: int) -> Any:
        """Draw counts of 0 to 7, whatever their probabilities."""
        return np.random.default_rng(random_state).integers(0, 8, shape)


@dataclass(frozen=True)
class WithPoints:
    """Outcomes that are certain values with some probability, and else have a density.

    ``points`` has the probability of each such value, of all rows or of each.
    """

    others: Any
    points: Mapping[float, Any]

    @property
    def dist(self) -> Any:
        """The distribution of the other outcomes without its parameters."""
        return self.others.dist

    @property
    def rest(self) -> Any:
        """The probability of the other outcomes."""
        return 1 - sum(self.points.values())

    def logpdf(self, y: Any) -> Any:
        """Return the log probability of a point, and the log density of the others."""
        is_point = np.isin(y, list(self.points))
        found = self.others.logpdf(np.where(is_point, self.others.mean(), y))
        found = np.log(self.rest) + found
        for value, probability in self.points.items():
            found = np.where(y == value, np.log(probability), found)
        return found

    def moment(self, power: int) -> Any:
        """Return a moment of all outcomes."""
        at_points = sum(p * value**power for value, p in self.points.items())
        return at_points + self.rest * self.others.moment(power)

    def mean(self) -> Any:
        """Return the first moment."""
        return self.moment(1)

    def var(self) -> Any:
        """Return the variance: that within the others, and between them and points."""
        within = self.rest * self.others.var()
        each = [*self.points.items(), (self.others.mean(), self.rest)]
        return within + sum(p * (value - self.mean()) ** 2 for value, p in each)

    def rvs(self, shape: tuple[int, ...], random_state: int) -> Any:
        """Draw outcomes, of which a third are points whatever their probability."""
        rng = np.random.default_rng(random_state)
        points = rng.choice(list(self.points), shape)
        others = self.others.rvs(shape, random_state=rng)
        return np.where(rng.random(shape) < 1 / 3, points, others)


@dataclass(frozen=True)
class Directions:
    """Von Mises distributions of angles from -pi to pi, of which SciPy's are turned."""

    mu: Any
    kappa: Any

    @property
    def dist(self) -> Any:
        """SciPy's distribution without its parameters."""
        return stats.vonmises

    def logpdf(self, y: Any) -> Any:
        """Return the log density."""
        return stats.vonmises.logpdf(y, self.kappa, loc=self.mu)

    def mean(self) -> Any:
        """Return the mean direction."""
        return self.mu

    def var(self) -> Any:
        """Return the variance of deviations from it, by a Fourier series."""
        k = np.arange(1, 200)
        ratios = special.ive(k, self.kappa) / special.ive(0, self.kappa)
        return np.pi**2 / 3 + 4 * np.sum((-1.0) ** k / k**2 * ratios) + 0 * self.mu

    def moment(self, power: int) -> Any:
        """Return a moment of the angles as numbers."""
        y = np.linspace(-np.pi, np.pi, 4_001)[:, None]
        return np.trapezoid(y**power * np.exp(self.logpdf(y)), y, axis=0)

    def rvs(self, shape: tuple[int, ...], random_state: int) -> Any:
        """Draw any directions, whatever their probabilities."""
        return np.random.default_rng(random_state).uniform(-np.pi, np.pi, shape)


NOISE = {"logit": stats.logistic, "probit": stats.norm, "cloglog": stats.gumbel_l}


def categories(
    family: str, link: str, eta: np.ndarray, cutpoint: np.ndarray
) -> np.ndarray:
    """Probabilities of ordered categories, ``(rows, categories)``.

    ``ordinal``: that a latent outcome about eta lies between two cutpoints. ``sratio``:
    that one lies below its cutpoint, after those before did not. ``acat``: the ratio of
    neighbours is the odds of lying below a cutpoint.
    """
    at = cutpoint - eta[:, None]
    below, above = NOISE[link].cdf(at), NOISE[link].sf(at)
    ones, zeros = np.ones((len(eta), 1)), np.zeros((len(eta), 1))
    if family == "ordinal":
        # As a difference in the tail that is nearer.
        from_below = np.diff(np.hstack([zeros, below, ones]), axis=1)
        from_above = -np.diff(np.hstack([ones, above, zeros]), axis=1)
        return np.where(np.hstack([below, ones]) > 0.5, from_above, from_below)
    if family == "sratio":
        reached = np.cumprod(np.hstack([ones, above]), axis=1)
        return reached * np.hstack([below, ones])
    ratios = np.cumprod(np.hstack([ones, above / below]), axis=1)
    return ratios / ratios.sum(axis=1, keepdims=True)


def _log_prior(model: sp.Model, data: pd.DataFrame, at: Point) -> float:
    """Sum the log priors of all parameters but the groups' under partial pooling."""
    prior = {row.parameter: row.prior for row in model.priors}
    log = {name: _frozen(each).logpdf for name, each in prior.items() if _frozen(each)}
    means, varying_means = _reference(model, data)
    total = _log_prior_of_formulas(model, data, at)
    for label, coefficient in _free(model.design.mean, at.beta):
        total += log[f"beta[{label}]"](coefficient)
    for smooth, tau in zip(model.design.mean.scaled, at.tau_s, strict=True):
        total += log[f"tau_s[{smooth.name}]"](tau)
    for label, length in zip(
        model.design.mean.lengthscales, at.lengthscale, strict=True
    ):
        total += log[f"lengthscale[{label}]"](length)
    for label, step in zip(model.design.mean.steps, at.steps, strict=True):
        total += log[f"steps[{label}]"](step)
    if at.values is not None:
        total += of_values.log_prior(model, at.values, log)
    if "Intercept" in log:
        total += log["Intercept"](at.intercept + means @ at.beta)
    if "sigma" in log:
        own = at.sigmas if model.structure.residual == "free" else at.sigma
        total += np.sum(log["sigma"](own))
    for name in ("residual_rho", *OWN_PARAMETERS):
        total += log[name](getattr(at, name)) if name in log else 0.0
    for name, cutpoint in zip(
        [name for name in log if name.startswith("cutpoint")],
        at.cutpoint - means @ at.beta,
        strict=False,
    ):
        total += log[name](cutpoint)
    if at.tensor is not None:
        for r, scale in enumerate(at.tensor.scale, 1):
            total += log[f"factor_scale[{r}]"](scale)
    if at.latent is not None:
        total += log["loading_scale"](at.latent.scale)
        coefficients = [name for name in log if name.startswith("beta_factors")]
        for name, value in zip(coefficients, at.latent.beta.T.flat, strict=True):
            total += log[name](value)
    total += _log_dirichlet(model, at.cutpoint - means @ at.beta)
    if model.structure.residual == "pooled":
        (name,) = (name for name in log if name.startswith("tau_sigma"))
        total += log[name](at.tau_sigma)
    for factor, varying in zip(model.design.factors, at.factors, strict=True):
        for q, label in enumerate(factor.varying):
            if model.spec.pooling == "none":
                own = _at_reference(model, at, means, varying_means)[:, q]
                total += np.sum(log[f"b_{factor.factor}[{label}]"](own))
            else:
                total += log[f"tau_{factor.factor}[{label}]"](varying.tau[q])
        if factor.population == "student_t":
            total += log[f"nu_{factor.factor}"](varying.nu)
        if f"rho_{factor.factor}" in log:
            total += log[f"rho_{factor.factor}"](varying.rho)
        if _is_correlated(model, factor):
            (shape,) = prior[f"Omega_{factor.factor}"].arguments
            omega = varying.L_Omega @ varying.L_Omega.T
            total += (shape - 1) * np.log(np.linalg.det(omega))
    return float(total)


def _free(own: ParameterDesign, beta: np.ndarray) -> list[tuple[str, float]]:
    """Return the coefficients that have priors of their own: not those of smooths."""
    of_smooths = sum(each.count for each in own.smooths)
    count = len(own.coefficients) - of_smooths
    return list(zip(own.coefficients[:count], beta[:count].tolist(), strict=True))


def _of_predictor(at: Point, own: ParameterDesign) -> Point | Formula:
    return at if own.parameter == "mean" else at.formulas[own.parameter]


def _smooth_parts(
    model: sp.Model, own: ParameterDesign, at: Point | Formula
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the coefficients of smooths, their scales, and how far centered."""
    end = "" if own.parameter == "mean" else f"_{own.parameter}"
    told = np.asarray(model.stan_data().get(f"centeredness_s{end}", 0.0))
    lengths = iter(at.lengthscale)
    tau = np.concatenate(
        [
            np.full(x.count, t)
            if x.spectrum is None
            else t
            * _sds_of_process(x.spectrum, [next(lengths) for _ in x.spectrum.axes])
            for x, t in zip(own.scaled, at.tau_s, strict=True)
        ]
        or [np.empty(0)]
    )
    return at.beta[len(own.free) :][: len(tau)], tau, told


def _sds_of_process(spectrum: Spectrum, lengthscales: list[float]) -> np.ndarray:
    """Return square roots of spectral densities at the frequencies of functions.

    A spectral density is the covariance function's Fourier transform: that of a normal
    density, or of a t density with 2 nu degrees of freedom, times what makes it the
    transform of a function that is 1 at 0.
    """
    omega = spectrum.frequencies
    D, shape = omega.shape[1], np.diag(1 / np.square(lengthscales))
    nu = {"exp_quad": None, "matern32": 1.5, "matern52": 2.5}[spectrum.covariance]
    if nu is None:
        density = stats.multivariate_normal(cov=shape).pdf(omega)
    else:
        density = stats.multivariate_t(shape=shape, df=2 * nu).pdf(omega)
    return np.sqrt((2 * np.pi) ** D * np.atleast_1d(density))


def _log_of_smooths(
    model: sp.Model, own: ParameterDesign, at: Point | Formula
) -> float:
    """Log density of the coefficients of smooths, as Stan declares z.

    beta = z tau^(1 - w), so that d beta / d z = tau^(1 - w).
    """
    beta, tau, w = _smooth_parts(model, own, at)
    return float(np.sum(stats.norm.logpdf(beta, 0, tau) + (1 - w) * np.log(tau)))


def _stan_parameters_of_smooths(
    model: sp.Model, own: ParameterDesign, at: Point | Formula
) -> dict[str, Any]:
    end = "" if own.parameter == "mean" else f"_{own.parameter}"
    beta, tau, w = _smooth_parts(model, own, at)
    return {
        f"beta_free{end}": at.beta[: len(own.free)],
        f"tau_s{end}": at.tau_s,
        f"lengthscale{end}": at.lengthscale,
        f"steps{end}": at.steps,
        f"z_s{end}": beta / tau ** (1 - w),
    }


def _log_latent(model: sp.Model, data: pd.DataFrame, at: Latent) -> float:
    """Log density of normal scores, and of normal loadings turned into a triangle.

    The rotation that does it leaves normals below the diagonal and a chi with R - r
    degrees of freedom on it: the R factor of a QR decomposition (Muirhead 1982,
    theorem 3.2.14). Of loadings with means, the density of the whole matrix, with the
    zeros above the diagonal, takes the place of that of a matrix about 0.
    """
    rank = at.scores.shape[1]
    below = at.loadings[np.tril_indices_from(at.loadings, k=-1)]
    total = stats.norm.logpdf(below).sum()
    for r in range(rank):
        total += stats.chi.logpdf(at.loadings[r, r], rank - r)
    of_scores, of_loadings = _means_of_factors(model, data, at)
    total += stats.norm.logpdf(at.scores, of_scores).sum()
    total += stats.norm.logpdf(at.loadings, of_loadings).sum()
    return float(total - stats.norm.logpdf(at.loadings).sum())


def _means_of_factors(
    model: sp.Model, data: pd.DataFrame, at: Latent
) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of scores, and of loadings over their scale, anchors first."""
    latent = latent_design(model)
    assert latent is not None
    means = np.zeros_like(at.scores), np.zeros_like(at.loadings)
    labelled = latent.means.labels if latent.means else ()
    for label, beta in zip(labelled, at.beta, strict=True):
        column, _, predictor = label.partition(", ")
        place = (latent.scores_of, latent.loadings_of).index(column)
        name, _, level = predictor.removesuffix("]").partition("[T.")
        of_rows = data[name] == level if level else data[name]
        of_levels = of_rows.astype(float).groupby(data[column]).first()
        about = of_levels - of_levels.mean()
        labels = latent.score_labels
        if place:
            labels = [latent.loading_labels[number] for number in latent.anchors]
        means[place][:] += np.outer(about[list(labels)], beta)
    return means


def _log_dirichlet(model: sp.Model, cutpoint: np.ndarray) -> float:
    """Log density of cutpoints under a Dirichlet of the categories' probabilities."""
    priors = {row.prior for row in model.priors if row.parameter_class == "cutpoint"}
    if not any(prior.distribution == "dirichlet" for prior in priors):
        return 0.0
    ((concentration,),) = (prior.arguments for prior in priors)
    noise = NOISE[model.spec.link_name]
    p = np.diff(noise.cdf(np.concatenate([[-np.inf], cutpoint, [np.inf]])))
    density = stats.dirichlet.logpdf(p, np.full(len(p), concentration))
    return float(density + noise.logpdf(cutpoint).sum())


def _log_density_of_residual_scales(at: Point) -> float:
    """Log density of scales that are lognormal around sigma, as Stan declares them.

    Stan has their standardised logarithms: d sigma_j / d z_j = tau_sigma sigma_j.
    """
    assert at.sigmas is not None
    density = stats.lognorm.logpdf(at.sigmas, at.tau_sigma, scale=at.sigma)
    return float(np.sum(density + np.log(at.tau_sigma * at.sigmas)))


def _log_jacobian(model: sp.Model, varying: Varying, number: int) -> float:
    """Log volume of what the model means against what Stan declares.

    The Cholesky factor of Omega: each element of column k of the factor scales with
    its diagonal (reference 2). The noncentered z: b_j = mu + L z_j. The adaptive one:
    tau to the power of 1 - w, and L_Omega for groups that are apart; of deviations that
    are taken elsewhere than they are uncorrelated, what is left given those before.
    """
    total = _log_jacobian_of_correlations(varying)
    has_forms = model.structure.factors[number].has_forms
    if model.parameterization == "adaptive" and has_forms:
        told, end = model.stan_data(), f"_{number + 1}" if number else ""
        scales = varying.tau
        if f"uncenter{end}" in told:
            covariance = _covariance_at_center(model, varying, number)
            scales = np.diag(np.linalg.cholesky(covariance))
        total += np.sum((1 - told[f"centeredness{end}"]) * np.log(scales))
        if f"decorrelated{end}" in told:
            diagonal = np.log(np.diag(varying.chol_omega)).sum()
            total += told[f"decorrelated{end}"].sum() * diagonal
    elif model.parameterization != "centered":
        root = model.design.factors[number].root
        independent = len(varying.b) if root is None else root.columns
        total += independent * np.log(np.diag(varying.chol)).sum()
    return total


def _log_jacobian_of_correlations(varying: Varying) -> float:
    diagonal = np.diag(varying.L_Omega)
    return float(np.arange(len(diagonal) - 1, -1, -1) @ np.log(diagonal))


def _reference(model: sp.Model, data: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return where the prior on the intercept applies: means of the predictors."""
    on = float(model.spec.center_predictors)
    means = [on * _predictor(data, label).mean() for label in model.design.coefficients]
    varying = [
        0.0 if label == "Intercept" else on * _predictor(data, label).mean()
        for label in model.design.varying
    ]
    return np.array(means), np.array(varying)


def _at_reference(
    model: sp.Model, at: Point, means: np.ndarray, varying_means: np.ndarray
) -> np.ndarray:
    """Return the groups' coefficients with their intercepts at the means."""
    own = at.first.b.copy()
    if model.design.varying[0] == "Intercept":
        own[:, 0] += at.first.b @ varying_means
        if not model.design.categories:  # there the cutpoints are at the means
            own[:, 0] += means @ at.beta
    return own


def _is_correlated(
    model: sp.Model, factor: FactorDesign, parameter: str = "mean"
) -> bool:
    of = "" if parameter == "mean" else f"{parameter}_"
    return any(row.parameter == f"Omega_{of}{factor.factor}" for row in model.priors)


def parameter_of_rows(model: sp.Model, data: pd.DataFrame, at: Point, name: str) -> Any:
    """Return a parameter of the outcomes: by its formula in each row, or a number."""
    if name not in at.formulas:
        return getattr(at, name)
    own, design = at.formulas[name], model.design.parameter(name)
    assert design is not None
    eta = np.full(len(data), own.intercept if design.intercept else 0.0)
    for label, coefficient in zip(design.coefficients, own.beta, strict=True):
        eta += coefficient * _predictor(data, label)
    for factor, varying in zip(design.factors, own.factors, strict=True):
        memberships = _groups_of_rows(model, data, factor)
        for groups in memberships:
            for q, label in enumerate(factor.varying):
                own = _with_none(varying.b)[groups, q] * _predictor(data, label)
                eta += own / len(memberships)
    return {"log": np.exp, "logit": expit, "identity": np.array}[design.link](eta)


def _log_prior_of_formulas(model: sp.Model, data: pd.DataFrame, at: Point) -> float:
    """Log priors of the coefficients of formulas."""
    prior = {row.parameter: row.prior for row in model.priors}
    log = {name: _frozen(each).logpdf for name, each in prior.items() if _frozen(each)}
    total = 0.0
    for design in model.design.formulas:
        name, own = design.parameter, at.formulas[design.parameter]
        if design.intercept:
            at_means = own.intercept + _means_of(data, design.coefficients) @ own.beta
            total += log[f"Intercept_{name}"](at_means)
        for label, coefficient in _free(design, own.beta):
            total += log[f"beta_{name}[{label}]"](coefficient)
        for smooth, tau in zip(design.scaled, own.tau_s, strict=True):
            total += log[f"tau_s_{name}[{smooth.name}]"](tau)
        for label, length in zip(design.lengthscales, own.lengthscale, strict=True):
            total += log[f"lengthscale_{name}[{label}]"](length)
        for label, step in zip(design.steps, own.steps, strict=True):
            total += log[f"steps_{name}[{label}]"](step)
        for factor, varying in zip(design.factors, own.factors, strict=True):
            stem = f"{name}_{factor.factor}"
            for q, label in enumerate(factor.varying):
                total += log[f"tau_{stem}[{label}]"](varying.tau[q])
            if factor.population == "student_t":
                total += log[f"nu_{stem}"](varying.nu)
            if f"rho_{stem}" in log:
                total += log[f"rho_{stem}"](varying.rho)
            if _is_correlated(model, factor, name):
                (shape,) = prior[f"Omega_{stem}"].arguments
                omega = varying.L_Omega @ varying.L_Omega.T
                total += (shape - 1) * np.log(np.linalg.det(omega))
    return float(total)


def _together(
    model: sp.Model, data: pd.DataFrame, at: Point, factor: FactorDesign
) -> tuple[np.ndarray, np.ndarray]:
    """Return deviations that an id joins, up to a factor's own, and their covariance.

    Of those of the mean first, ``(J, D)``.
    """
    joint = factor.joint
    assert joint is not None
    R = _of_predictor(at, model.design.parameter(joint.parts[0].parameter))
    R = R.factors[joint.parts[0].number].joint
    deviations, tau = [], []
    for part in joint.parts[: joint.place + 1]:
        known = _of_predictor(at, model.design.parameter(part.parameter))
        varying = known.factors[part.number]
        mean = 0.0
        if part.parameter == "mean":
            mean = group_means(model, data, at, part.number)
        deviations.append(varying.b - mean)
        tau.append(varying.tau)
    scales = np.concatenate(tau)
    covariance = np.outer(scales, scales) * R[: len(scales), : len(scales)]
    return np.concatenate(deviations, axis=1), covariance


def _log_given_others(
    model: sp.Model, data: pd.DataFrame, at: Point, factor: FactorDesign
) -> float:
    """Log density of standardized deviations, given those of other parameters.

    What is joint, over what is of the others, and the volume of what Stan has.
    """
    u, covariance = _together(model, data, at, factor)
    others = u.shape[1] - len(factor.coefficients)
    both = stats.multivariate_normal(cov=covariance).logpdf(u)
    before = stats.multivariate_normal(cov=covariance[:others, :others])
    scales = np.diag(np.linalg.cholesky(covariance))[others:]
    left = both - before.logpdf(u[:, :others]) + np.log(scales).sum()
    return float(np.sum(left))


def _log_of_deviations(model: sp.Model, data: pd.DataFrame, at: Point) -> float:
    """Log density of the deviations of formulas, and volume of what Stan has."""
    total = 0.0
    for design in model.design.formulas:
        for factor, varying in zip(
            design.factors, at.formulas[design.parameter].factors, strict=True
        ):
            if factor.follows:
                total += _log_given_others(model, data, at, factor)
                continue
            total += _log_of_population(model, factor, varying, varying.b)
            total += len(varying.b) * np.log(np.diag(varying.chol)).sum()
            total += _log_jacobian_of_correlations(varying)
    return float(total)


def _stan_parameters_of_formulas(
    model: sp.Model, data: pd.DataFrame, at: Point
) -> dict[str, Any]:
    """Return the coefficients of formulas as programs declare them."""
    found: dict[str, Any] = {}
    for design in model.design.formulas:
        name, own = design.parameter, at.formulas[design.parameter]
        means = _means_of(data, design.coefficients)
        found |= {f"beta_{name}": own.beta}
        found |= {f"alpha_c_{name}": own.intercept + means @ own.beta}
        for number, varying in enumerate(own.factors, 1):
            end = f"_{name}" + (f"_{number}" if number > 1 else "")
            found |= {f"tau{end}": varying.tau, f"L_Omega{end}": varying.L_Omega}
            found |= {f"nu_u{end}": varying.nu, f"rho_u{end}": varying.rho}
            if design.factors[number - 1].follows:
                u, covariance = _together(model, data, at, design.factors[number - 1])
                z = np.linalg.solve(np.linalg.cholesky(covariance), u.T).T
                found[f"z{end}"] = z[:, -len(varying.tau) :]
                continue
            deviations = _independent(design.factors[number - 1], varying, varying.b)
            found[f"z{end}"] = np.linalg.solve(varying.chol, deviations.T).T
    return found


def _independent(
    factor: FactorDesign, varying: Varying, deviations: np.ndarray
) -> np.ndarray:
    """Return the independent deviations that those of groups are made of."""
    root = factor.root
    if root is None:
        return deviations
    whole = root.times(np.eye(root.columns), np.array(varying.rho))
    return np.linalg.lstsq(whole, deviations, rcond=None)[0]


def _means_of(data: pd.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
    return np.array([_predictor(data, label).mean() for label in labels])


@cache
def _frozen(prior: sp.Prior) -> Any:
    """Return SciPy's distribution; half forms differ by a constant only."""
    arguments = prior.arguments
    return {
        "normal": lambda location, scale: stats.norm(location, scale),
        "student_t": lambda df, location, scale: stats.t(df, location, scale),
        "cauchy": lambda location, scale: stats.cauchy(location, scale),
        "exponential": lambda rate: stats.expon(scale=1 / rate),
        "gamma": lambda shape, rate: stats.gamma(shape, scale=1 / rate),
        "inv_gamma": lambda shape, scale: stats.invgamma(shape, scale=scale),
        "lognormal": lambda location, scale: stats.lognorm(
            scale, scale=np.exp(location)
        ),
        "sqrt_inv_gamma": lambda shape, scale: stats.gengamma(
            shape, -2, scale=np.sqrt(scale)
        ),
        "half_normal": lambda scale: stats.halfnorm(scale=scale),
        "half_student_t": lambda df, scale: stats.t(df, 0, scale),  # twice that
        "half_cauchy": lambda scale: stats.halfcauchy(scale=scale),
        "uniform": lambda lower, upper: stats.uniform(lower, upper - lower),
        "beta": lambda a, b: stats.beta(a, b),
        "flat": lambda: stats.uniform(-1e9, 2e9),
        "horseshoe": lambda tau, df, c: stats.uniform(-1e9, 2e9),  # its own density
        "constant": lambda value: stats.uniform(value - 0.5, 1.0),
        "lkj": lambda shape: None,
        "dirichlet": lambda concentration: None,
    }[prior.distribution](*arguments)
