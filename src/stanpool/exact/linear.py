r"""Gaussian regressions without partial pooling: exact posteriors by quadrature.

With complete and with no pooling, every coefficient has a prior of its own. If these
are normal,

.. math:: y \sim N(W c, \sigma^2 I), \quad c \sim N(m, S^2),

the coefficients are jointly normal given :math:`\sigma`, and one integral over
:math:`\sigma` remains. With :math:`W S = V`, the eigenvectors :math:`Q` and eigenvalues
:math:`\lambda` of :math:`V'V`, :math:`r = y - W m` and :math:`t = Q'V'r`,

.. math:: \log p(y \mid \sigma) = -\frac N2 \log \sigma^2
    - \frac 12 \sum_i \log(1 + \lambda_i / \sigma^2)
    - \frac R{2 \sigma^2}
    - \frac 12 \sum_i \frac{t_i^2}{\lambda_i (\sigma^2 + \lambda_i)}

up to a constant, where :math:`R` is the least sum of squares, and
:math:`Q'S^{-1}(c - m)` is normal with means :math:`t_i / (\sigma^2 + \lambda_i)` and
variances :math:`\sigma^2 / (\sigma^2 + \lambda_i)`.

References
----------
.. [1] Gelman, Carlin, Stern, Dunson, Vehtari and Rubin (2013). Bayesian Data Analysis,
   3rd edition (BDA3): section 14.8, regression with a normal prior on coefficients.
.. [2] Lindley and Smith (1972). Bayes estimates for the linear model. JRSS B 34(1),
   1-41.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from stanpool.base.arguments import public
from stanpool.base.arrays import Array, check_memory
from stanpool.base.errors import SpecError
from stanpool.data.design.centers import centered_design
from stanpool.exact.draws import (
    ExactDraws,
    check_positive,
    check_sampling,
    labelled_draws,
)
from stanpool.exact.panels import TauPosterior, integrate_scale
from stanpool.exact.priors import log_prior, normal_prior, scale_prior, tail_order
from stanpool.posterior.labelled_draws import numbers_of_draw

if TYPE_CHECKING:
    from stanpool.api.facade import Model
    from stanpool.data.design.design import Design


@public
@dataclass(frozen=True, eq=False)
class LinearPosterior:
    """The posterior of a Gaussian regression without partial pooling.

    Attributes
    ----------
    model
        The model.
    sigma
        The marginal posterior of the residual scale; None if standard errors are
        known.
    mean, root
        Coefficients are ``mean + root @ a``, shapes ``(P,)`` and ``(P, P)``.
    eigenvalues, products
        Given ``sigma``, ``a`` is independent normal with means ``products / (sigma^2 +
        eigenvalues)`` and variances ``sigma^2 / (sigma^2 + eigenvalues)``, ``(P,)``.
    """

    model: Model
    sigma: TauPosterior | None
    mean: Array
    root: Array
    eigenvalues: Array
    products: Array

    def draw(
        self, rng: np.random.Generator, *, chains: int = 4, draws: int = 1000
    ) -> ExactDraws:
        """Draw the residual scale, then all coefficients given it.

        Parameters
        ----------
        rng
            The random number generator.
        chains, draws
            Numbers of chains and of draws in each. The draws are independent; chains
            are there for tools that expect them.

        Returns
        -------
        ExactDraws
            The variables of a ``Fit`` of the model.
        """
        check_sampling(rng, chains=chains, draws=draws, numbers=len(self.mean))
        sigma = np.ones((chains, draws))
        if self.sigma is not None:
            sigma = self.sigma.ppf(rng.uniform(size=sigma.shape))
        precision = self.eigenvalues + sigma[..., None] ** 2
        noise = rng.standard_normal(precision.shape)
        a = self.products / precision + sigma[..., None] * noise / np.sqrt(precision)
        return labelled_draws(
            self.model,
            _coefficients(
                centered_design(self.model.design), self.mean + a @ self.root.T
            )
            | {"sigma": sigma},
            method="quadrature",
            source="BDA3 section 14.8",
        )


@public
def linear(model: Model, *, tolerance: float = 1e-9) -> LinearPosterior:
    """Find the posterior of a Gaussian regression with complete or no pooling.

    Parameters
    ----------
    model
        Gaussian, with ``pooling="complete"`` or ``"none"``, and with one residual scale
        or with known standard errors. The priors on its coefficients must be normal;
        fixed hyperparameters (``fixed``) make such priors.
    tolerance
        The error allowed in a probability of ``sigma``.

    Raises
    ------
    SpecError
        If the model is of another kind, or a prior is not one of those it can have.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("log_radon ~ floor", sp.load_dataset("radon"),
    ...                  pooling="complete")
    >>> linear(model).sigma.ppf([0.05, 0.95]).round(2)
    array([0.79, 0.86])
    """
    check_positive(tolerance=tolerance)
    _refuse_other_models(model)
    design = centered_design(model.design)
    columns = numbers_of_draw(design)
    check_memory(
        f"the matrix of {design.rows:,} rows and {columns:,} coefficients",
        design.rows * columns,
        "model.fit() needs less.",
    )
    W, y = _regression(design), design.y.astype(float)
    own = normal_prior(model, "b")
    groups = sum(len(factor.labels) for factor in design.factors)
    mean, precision = (
        np.concatenate(
            [
                getattr(normal_prior(model, "Intercept"), part),
                getattr(normal_prior(model, "beta"), part),
                np.tile(getattr(own, part), groups),
            ]
        )
        for part in ("mean", "precision")
    )
    if design.se is not None:
        W, y = W / design.se[:, None], y / design.se
    V = W / np.sqrt(precision)
    residual = y - W @ mean
    eigenvalues, Q = np.linalg.eigh(V.T @ V)
    eigenvalues = np.maximum(eigenvalues, 0.0)
    products = Q.T @ (V.T @ residual)
    sigma = None
    if model.spec.has_sigma:
        sigma = _sigma(model, residual, V, eigenvalues, products, tolerance)
    return LinearPosterior(
        model, sigma, mean, Q / np.sqrt(precision)[:, None], eigenvalues, products
    )


def _sigma(
    model: Model,
    residual: Array,
    V: Array,
    eigenvalues: Array,
    products: Array,
    tolerance: float,
) -> TauPosterior:
    """Integrate over the residual scale."""
    prior, rows = scale_prior(model, "sigma"), len(residual)
    least = residual - V @ np.linalg.lstsq(V, residual)[0]
    squares = float(least @ least)
    # In directions without information in the data, both are 0.
    seen = eigenvalues > 1e-12 * eigenvalues.max(initial=1e-300)
    values, shares = eigenvalues[seen], products[seen] ** 2 / eigenvalues[seen]

    def log_density(log_sigma: Array) -> Array:
        sigma = np.exp(log_sigma)
        variance = sigma[..., None] ** 2
        spread = np.log1p(values / variance).sum(axis=-1)
        misfit = (shares / (variance + values)).sum(axis=-1) + squares / sigma**2
        log_likelihood = -rows * log_sigma - 0.5 * (spread + misfit)
        return np.asarray(log_likelihood + log_prior(prior, sigma) + log_sigma)

    order = tail_order(prior) + rows
    moments = 2 if order > 3 else 1 if order > 2 else 0
    center = 0.5 * np.log(squares / rows) if squares > 0 else 0.0
    return integrate_scale(log_density, center, moments, tolerance)


def _regression(design: Design) -> Array:
    """Return the design matrix of all coefficients, shape ``(N, P)``.

    Its columns are the intercept, the population predictors and then the predictors of
    each group, centered as the priors refer to them.
    """
    parts = [design.X - design.x_bar]
    if design.intercept:
        parts.insert(0, np.ones((design.rows, 1)))
    for factor in design.factors:
        own = factor.Z - factor.z_bar
        wide = np.zeros((design.rows, len(factor.labels), own.shape[1]))
        wide[np.arange(design.rows), factor.index] = own
        parts.append(wide.reshape(design.rows, -1))
    return np.concatenate(parts, axis=1)


def _coefficients(design: Design, draws: Array) -> dict[str, Array]:
    """Split draws by Stan's names, with intercepts where predictors are 0."""
    common = int(design.intercept) + len(design.coefficients)
    beta = draws[..., int(design.intercept) : common]
    at_means = beta @ design.x_bar
    found = {"beta": beta}
    if design.intercept:
        found["alpha"] = draws[..., 0] - at_means
    for factor in design.factors:
        shape = len(factor.labels), len(factor.varying)
        b = draws[..., common:].reshape(*draws.shape[:2], *shape).copy()
        if not design.intercept and "Intercept" in factor.varying:
            at_means_of_group = b @ factor.z_bar + at_means[..., None]
            b[..., factor.varying.index("Intercept")] -= at_means_of_group
        found["b"] = b
    return found


def _refuse_other_models(model: Model) -> None:
    """Refuse a model that is not a Gaussian regression without partial pooling."""
    spec, design = model.spec, model.design
    fits = (
        spec.is_linear_gaussian
        and spec.pooling != "partial"
        and not spec.se_sigma
        and design.residual is None
        and not (design.special or design.smooths)
        and len(design.factors) <= 1
        and all(factor.weights is None for factor in design.factors)
    )
    if not fits:
        raise SpecError(
            f"{model!r} is not a model that linear solves; it solves gaussian "
            "regressions with complete or no pooling and one residual scale."
        )
