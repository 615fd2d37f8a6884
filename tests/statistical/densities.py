"""Log densities written from textbooks with SciPy: the oracle of the Stan programs.

Nothing here is read off the templates. A point is given in the terms of the model
(intercept at zero, full coefficients of the groups); the Stan programs get it through
``stan_parameters``, and Jacobians account for what they declare instead.

References
----------
.. [1] Gelman and Hill (2007), chapters 12 and 13: the models.
.. [2] Lewandowski, Kurowicka and Joe (2009), J. Multivariate Analysis 100, 1989-2001:
   the LKJ density of a correlation matrix, det(Omega)^(shape - 1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit

import stanpool as sp
from stanpool.spec import ModelSpec


@dataclass(frozen=True)
class Point:
    """A point of a model's parameter space; what a model has not is ignored."""

    intercept: float
    beta: np.ndarray
    tau: np.ndarray
    chol_omega: np.ndarray
    b: np.ndarray
    sigma: float
    nu: float = 4.0
    shape: float = 1.0
    phi: float = 1.0
    cutpoint: np.ndarray = field(default_factory=lambda: np.zeros(1))

    @property
    def covariance(self) -> np.ndarray:
        """Covariance matrix of a group's coefficients."""
        scaled = np.diag(self.tau) @ self.chol_omega
        return scaled @ scaled.T


def random_point(model: sp.Model, rng: np.random.Generator) -> Point:
    """Draw a point anywhere in the parameter space."""
    k, q = len(model.design.coefficients), len(model.design.varying)
    chol = np.eye(q)
    if _is_correlated(model):
        factor = rng.normal(size=(q, q + 1))
        covariance = factor @ factor.T
        scale = np.sqrt(np.diag(covariance))
        chol = np.linalg.cholesky(covariance / np.outer(scale, scale))
    return Point(
        intercept=rng.normal(),
        beta=rng.normal(size=k),
        tau=rng.lognormal(size=q),
        chol_omega=chol,
        b=rng.normal(size=(len(model.design.group_labels), q)),
        sigma=rng.lognormal(),
        nu=1 + rng.lognormal(),
        shape=rng.lognormal(),
        phi=rng.lognormal(),
        cutpoint=np.sort(rng.normal(size=max(len(model.design.categories) - 1, 1))),
    )


def log_density(model: sp.Model, data: pd.DataFrame, at: Point) -> float:
    """Log density of a point and the data, on the scale of what Stan declares."""
    total = _log_likelihood(model, data, at) + _log_prior(model, data, at)
    if model.spec.pooling == "partial":
        total += stats.multivariate_normal.logpdf(
            at.b - population_means(model, at), cov=at.covariance
        ).sum()
        total += _log_jacobian(model, at)
    return float(total)


def stan_parameters(model: sp.Model, data: pd.DataFrame, at: Point) -> dict[str, Any]:
    """Return the point as the parameters that the model's Stan program declares."""
    means, varying_means = _reference(model, data)
    found: dict[str, Any] = {"beta": at.beta}
    if model.design.intercept:
        found["alpha_c"] = at.intercept + means @ at.beta
    if model.spec.has_sigma:
        found["sigma"] = at.sigma
    found |= {"nu": at.nu, "shape": at.shape, "phi": at.phi}
    if model.design.categories:
        found["cutpoint_c"] = at.cutpoint - means @ at.beta
    if model.spec.pooling == "none":
        found["b_c"] = _at_reference(model, at, means, varying_means)
    if model.spec.pooling == "partial":
        found["tau"] = at.tau
        if _is_correlated(model):
            found["L_Omega"] = at.chol_omega
        if model.parameterization == "centered":
            found["b"] = at.b
        else:
            deviations = at.b - population_means(model, at)
            chol = np.diag(at.tau) @ at.chol_omega
            found["z"] = np.linalg.solve(chol, deviations.T).T
    return found


def population_means(model: sp.Model, at: Point) -> np.ndarray:
    """Mean of each varying coefficient: the population's, or 0 if it has none."""
    known = dict(zip(model.design.coefficients, at.beta, strict=True))
    if model.design.intercept:
        known["Intercept"] = at.intercept
    return np.array([known.get(label, 0.0) for label in model.design.varying])


def _linear_predictor(model: sp.Model, data: pd.DataFrame, at: Point) -> np.ndarray:
    """Sum each coefficient times its predictor; a varying one is the group's own."""
    design = model.design
    own = set(design.varying)
    eta = np.zeros(len(data))
    for column in model.spec.offsets:
        eta += data[column].to_numpy()
    if model.spec.exposure is not None:
        eta += np.log(data[model.spec.exposure].to_numpy())
    if design.intercept and "Intercept" not in own:
        eta += at.intercept
    for label, coefficient in zip(design.coefficients, at.beta, strict=True):
        if label not in own:
            eta += coefficient * data[label].to_numpy()
    for q, label in enumerate(design.varying):
        rows = [design.group_labels.index(group) for group in data["g"]]
        predictor = 1.0 if label == "Intercept" else data[label].to_numpy()
        eta += at.b[rows, q] * predictor
    return eta


def _log_likelihood(model: sp.Model, data: pd.DataFrame, at: Point) -> float:
    """Log probability of the outcome, with its normalizing constant."""
    eta, spec = _linear_predictor(model, data, at), model.spec
    weights = 1.0 if spec.weights is None else data[spec.weights].to_numpy()
    return float(np.sum(weights * _log_likelihood_of_rows(spec, data, eta, at)))


def _log_likelihood_of_rows(
    spec: ModelSpec, data: pd.DataFrame, eta: np.ndarray, at: Point
) -> np.ndarray:
    """Log probability of each row: observed, censored or truncated."""
    if spec.family == "ordinal":
        return _ordinal(spec, data[spec.outcome].cat.codes.to_numpy(), eta, at)
    y = data[spec.outcome].to_numpy()
    outcome = _outcome(spec, data, eta, at)
    if hasattr(outcome.dist, "logpmf"):
        return np.asarray(outcome.logpmf(y))
    rows = np.array(outcome.logpdf(y))
    if spec.cens is not None:
        censored, upper = data[spec.cens], data[spec.cens_upper]
        rows[censored == -1] = outcome.logcdf(y)[censored == -1]
        rows[censored == 1] = outcome.logsf(y)[censored == 1]
        between = np.log(outcome.cdf(upper) - outcome.cdf(y))
        rows[censored == 2] = between[censored == 2]
    if spec.trunc is not None:
        lower, upper = (
            data[bound] if isinstance(bound, str) else bound for bound in spec.trunc
        )
        below = 0.0 if lower is None else outcome.cdf(lower)
        rows -= np.log((1.0 if upper is None else outcome.cdf(upper)) - below)
    return rows


def _outcome(spec: ModelSpec, data: pd.DataFrame, eta: np.ndarray, at: Point) -> Any:
    """Return SciPy's distribution of the outcomes."""
    mean = {
        "identity": lambda: eta,
        "log": lambda: np.exp(eta),
        "logit": lambda: expit(eta),
        "probit": lambda: stats.norm.cdf(eta),
        "cloglog": lambda: 1 - np.exp(-np.exp(eta)),
    }[spec.link_name]()
    known = 0.0 if spec.se is None else data[spec.se].to_numpy()
    scale = np.sqrt(known**2 + (at.sigma**2 if spec.has_sigma else 0.0))
    phi = at.phi
    return {
        "gaussian": lambda: stats.norm(mean, scale),
        "student_t": lambda: stats.t(at.nu, mean, scale),
        "lognormal": lambda: stats.lognorm(scale, scale=np.exp(mean)),
        "gamma": lambda: stats.gamma(at.shape, scale=mean / at.shape),
        "beta": lambda: stats.beta(mean * phi, (1 - mean) * phi),
        "bernoulli": lambda: stats.bernoulli(mean),
        "binomial": lambda: stats.binom(data[spec.trials], mean),
        "poisson": lambda: stats.poisson(mean),
        "negative_binomial": lambda: stats.nbinom(phi, phi / (phi + mean)),
    }[spec.family]()


def _ordinal(
    spec: ModelSpec, category: np.ndarray, eta: np.ndarray, at: Point
) -> np.ndarray:
    """Log probability that a latent outcome about eta lies between its cutpoints."""
    noise = {"logit": stats.logistic, "probit": stats.norm}[spec.link_name]
    cutpoints = np.concatenate([[-np.inf], at.cutpoint, [np.inf]])
    above = noise.cdf(cutpoints[category + 1] - eta)
    return np.log(above - noise.cdf(cutpoints[category] - eta))


def _log_prior(model: sp.Model, data: pd.DataFrame, at: Point) -> float:
    """Sum the log priors of all parameters but the groups' under partial pooling."""
    prior = {row.parameter: _frozen(row.prior) for row in model.priors}
    factor = model.design.factor
    means, varying_means = _reference(model, data)
    total = 0.0
    for label, coefficient in zip(model.design.coefficients, at.beta, strict=True):
        total += prior[f"beta[{label}]"].logpdf(coefficient)
    if "Intercept" in prior:
        total += prior["Intercept"].logpdf(at.intercept + means @ at.beta)
    for name in ("sigma", "nu", "shape", "phi"):
        if name in prior:
            total += prior[name].logpdf(getattr(at, name))
    for cutpoint, prior_row in zip(
        at.cutpoint - means @ at.beta,
        [row for row in model.priors if row.parameter_class == "cutpoint"],
        strict=False,
    ):
        total += _frozen(prior_row.prior).logpdf(cutpoint)
    for q, label in enumerate(model.design.varying):
        if model.spec.pooling == "none":
            own = _at_reference(model, at, means, varying_means)[:, q]
            total += prior[f"b_{factor}[{label}]"].logpdf(own).sum()
        else:
            total += prior[f"tau_{factor}[{label}]"].logpdf(at.tau[q])
    if f"Omega_{factor}" in prior:
        shape = dict(model.spec.priors).get("Omega_g", sp.Prior("lkj", (2,)))
        omega = at.chol_omega @ at.chol_omega.T
        total += (shape.arguments[0] - 1) * np.log(np.linalg.det(omega))
    return float(total)


def _log_jacobian(model: sp.Model, at: Point) -> float:
    """Log volume of what the model means against what Stan declares.

    The Cholesky factor of Omega: each element of column k of the factor scales with
    its diagonal (reference 2). The noncentered z: b_j = mu + L z_j.
    """
    q = len(at.tau)
    diagonal = np.diag(at.chol_omega)
    total = float(np.arange(q - 1, -1, -1) @ np.log(diagonal))
    if model.parameterization == "noncentered":
        total += len(at.b) * np.log(at.tau * diagonal).sum()
    return total


def _reference(model: sp.Model, data: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return where the prior on the intercept applies: means of the predictors."""
    on = float(model.spec.center_predictors)
    means = on * data[list(model.design.coefficients)].mean().to_numpy()
    varying = [
        0.0 if label == "Intercept" else on * data[label].mean()
        for label in model.design.varying
    ]
    return means, np.array(varying)


def _at_reference(
    model: sp.Model, at: Point, means: np.ndarray, varying_means: np.ndarray
) -> np.ndarray:
    """Return the groups' coefficients with their intercepts at the means."""
    own = at.b.copy()
    if model.design.varying[0] == "Intercept":
        own[:, 0] += at.b @ varying_means
        if not model.design.categories:  # there the cutpoints are at the means
            own[:, 0] += means @ at.beta
    return own


def _is_correlated(model: sp.Model) -> bool:
    return any(row.parameter_class == "Omega" for row in model.priors)


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
        "lkj": lambda shape: None,
    }[prior.distribution](*arguments)
