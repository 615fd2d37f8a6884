"""Gibbs sampler of a Gaussian regression whose intercept varies over groups.

References
----------
.. [1] Gelfand and Smith (1990). Sampling-based approaches to calculating marginal
   densities. JASA 85(410), 398-409: the Gibbs sampler, and its normal hierarchies.
.. [2] Gelman and Hill (2007). Data Analysis Using Regression and
   Multilevel/Hierarchical Models, section 18.4: the conditionals of this model.
.. [3] Yu and Meng (2011). To center or not to center: that is not the question - an
   ancillarity-sufficiency interweaving strategy (ASIS) for boosting MCMC efficiency.
   Journal of Computational and Graphical Statistics 20(3), 531-570.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arguments import public
from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, SpecError, warn_user
from stanpool.data.design.centers import centered_design
from stanpool.exact.draws import (
    ExactDraws,
    check_sampling,
    draws_of_model,
)
from stanpool.exact.priors import (
    NormalPrior,
    PowerPrior,
    ScalePrior,
    has_varying_intercept_only,
    log_prior,
    resolve,
)
from stanpool.language.prior import Prior
from stanpool.posterior.labelled_draws import numbers_of_draw

if TYPE_CHECKING:
    from stanpool.api.facade import Model
    from stanpool.data.design.design import Design


_LEAST_VARIANCE = 1e-200  # a sample variance of 0 would end the chain


class PlugInWarning(UserWarning):
    """Variances were set to sample values, so that intervals are too narrow."""


@dataclass(frozen=True, eq=False)
class Statistics:
    """What the conditional distributions need of the rows, at a cost that is free of N.

    Arrays that depend on the outcome may have more axes in front, for several data
    sets.

    Attributes
    ----------
    n
        Rows of each group, ``(J,)``; their sum is N.
    y_mean, x_mean
        Means of each group, ``(..., J)`` and ``(J, K)``.
    xx, xy
        Cross-products of the rows, ``(K, K)`` and ``(..., K)``.
    within
        Cross-products of deviations from the groups' means, ``(K, K)``.
    slope, residual
        The least-squares fit to these deviations, ``(..., K)``, and its residual sum of
        squares, ``(...)``. From them the sum of squares of any other slope is found
        without cancellation.
    U
        Group-level predictors, the first of which is constant, ``(J, L)``.
    """

    n: Array
    y_mean: Array
    x_mean: Array
    xx: Array
    xy: Array
    within: Array
    slope: Array
    residual: Array
    U: Array

    @classmethod
    def of(cls, y: Array, X: Array, group: NDArray[np.intp], U: Array) -> Statistics:
        """Summarize rows: ``y`` (N,), ``X`` (N, K), ``group`` (N,), ``U`` (J, L)."""
        groups = len(U)
        n = np.bincount(group, minlength=groups).astype(float)

        def means(column: Array) -> Array:
            return np.asarray(np.bincount(group, column, minlength=groups) / n)

        y_mean = means(y)
        x_mean = np.array([means(column) for column in X.T]).reshape(-1, groups).T
        y_within, x_within = y - y_mean[group], X - x_mean[group]
        slope = np.linalg.lstsq(x_within, y_within)[0]
        return cls(
            n=n,
            y_mean=y_mean,
            x_mean=x_mean,
            xx=X.T @ X,
            xy=X.T @ y,
            within=x_within.T @ x_within,
            slope=slope,
            residual=((y_within - x_within @ slope) ** 2).sum(),
            U=U,
        )

    def sum_of_squares(self, alpha: Array, beta: Array) -> Array:
        """Return ``sum_i (y_i - alpha_j[i] - X_i beta)^2``, shape ``(...)``."""
        change = beta - self.slope
        between = self.y_mean - beta @ self.x_mean.T - alpha
        within = ((change @ self.within) * change).sum(axis=-1)
        return np.asarray(self.residual + within + (self.n * between**2).sum(axis=-1))


@dataclass(frozen=True, eq=False)
class RegressionPriors:
    """Priors on ``beta`` (K), ``gamma`` (L), ``sigma_y`` and ``sigma_alpha``."""

    beta: NormalPrior
    gamma: NormalPrior
    sigma: ScalePrior
    tau: ScalePrior


@dataclass(frozen=True, eq=False)
class State:
    """The current values of all parameters; the first axis is that of the chains.

    Attributes
    ----------
    alpha, beta, gamma
        Shape ``(C, J)``, ``(C, K)``, ``(C, L)``.
    sigma2, tau2
        The two variances, shape ``(C,)``.
    """

    alpha: Array
    beta: Array
    gamma: Array
    sigma2: Array
    tau2: Array


@public
def gibbs(
    model: Model,
    rng: np.random.Generator,
    *,
    flat: Collection[str] = (),
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 1000,
    plug_in: bool = False,
) -> ExactDraws:
    r"""Draw from a Gaussian regression with varying intercept by Gibbs sampling.

    .. math:: y_i \sim N(\alpha_{j[i]} + X_i \beta, \sigma_y^2), \quad
              \alpha_j \sim N(U_j \gamma, \sigma_\alpha^2)

    In each iteration, with :math:`n_j` rows and means :math:`\bar y_j, \bar X_j` in
    group j:

    1. :math:`\alpha_j \sim N(\hat\alpha_j, V_j)` with
       :math:`V_j^{-1} = n_j / \sigma_y^2 + 1 / \sigma_\alpha^2` and
       :math:`\hat\alpha_j = V_j (n_j (\bar y_j - \bar X_j \beta) / \sigma_y^2
       + U_j \gamma / \sigma_\alpha^2)`;
    2. :math:`\beta` from the regression of :math:`y_i - \alpha_{j[i]}` on :math:`X`;
    3. :math:`\gamma` from the regression of :math:`\alpha` on :math:`U`;
    4. :math:`\sigma_y^2` from an inverse gamma with shape :math:`(N - 1)/2` and scale
       half the sum of squared residuals;
    5. :math:`\sigma_\alpha^2` likewise, with shape :math:`(J - 1)/2` and the sum of
       :math:`(\alpha_j - U_j \gamma)^2`;
    6. :math:`\sigma_\alpha` once more, now given
       :math:`z_j = (\alpha_j - U_j \gamma) / \sigma_\alpha`, from the regression of
       :math:`y_i - X_i \beta - U_j \gamma` on :math:`z_{j[i]}`: without it chains
       stick where :math:`\sigma_\alpha` is small (Yu and Meng 2011).

    The shapes are those of priors flat on the standard deviations. Under another prior
    :math:`p` steps 4 to 6 are proposals that are accepted with probability
    :math:`\min(1, p(\sigma_{new}) / p(\sigma))`, which is exact, too.

    Parameters
    ----------
    model
        Gaussian, with partial pooling and one grouping factor, over which only the
        intercept varies: ``y ~ x + (1 | group)``. Predictors that are constant within
        groups are :math:`U`. Its priors are used, except for those in ``flat``; the
        priors on coefficients must be normal.
    rng
        The random number generator.
    flat
        Parameters that get a flat prior instead: ``"Intercept"``, ``"beta"``, one of
        ``"tau"`` and ``"tau^2"``, and one of ``"sigma"``, ``"sigma^2"`` and
        ``"log sigma"``. Gelman and Hill use the first three and ``"sigma"``.
    chains, draws, warmup
        The number of chains, which start at dispersed points, of draws that are kept of
        each, and of iterations before them.
    plug_in
        Set both variances to the sample variances of steps 4 and 5 instead of drawing
        them, as introductory texts do, and leave out step 6. This gives a warning.

    Returns
    -------
    ExactDraws
        ``Intercept`` (:math:`\gamma_0`), ``beta`` (:math:`\beta` and the rest of
        :math:`\gamma`), ``tau_<factor>`` (:math:`\sigma_\alpha`), ``b_<factor>``
        (:math:`\alpha`) and ``sigma`` (:math:`\sigma_y`), as in a ``Fit``.

    Raises
    ------
    SpecError
        If the model is of another kind, a prior is not one that it can have, or an
        argument is out of its range.
    DataError
        If the outcome is constant.

    Warns
    -----
    PlugInWarning
        With ``plug_in``.

    References
    ----------
    Gelman and Hill (2007), section 18.4; Gelfand and Smith (1990); Yu and Meng (2011).

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("log_radon ~ floor + (1 | county)", sp.load_dataset("radon"))
    >>> drawn = gibbs(model, np.random.default_rng(1), draws=500, warmup=200)
    >>> drawn.posterior["beta"].mean().round(1).item()
    -0.7
    """
    _refuse_other_models(model)
    numbers = numbers_of_draw(model.design)
    check_sampling(rng, chains=chains, draws=draws, numbers=numbers)
    design = centered_design(model.design)
    of_groups = _group_level(design)
    of_rows = np.setdiff1d(np.arange(len(design.coefficients)), of_groups)
    priors = _priors(model, flat, of_rows, of_groups)
    statistics = _statistics(design, of_rows, of_groups)
    if plug_in:
        warn_user(
            "plug_in=True sets both variances to sample values, which ignores their "
            "uncertainty: intervals are too narrow.",
            PlugInWarning,
        )

    state = _start(statistics, design.y, chains, rng)
    for _ in range(warmup):
        state = sweep(state, statistics, priors, rng, plug_in=plug_in)
    # By name, shapes (chain, draw, ...).
    kept = {
        name: np.empty((chains, draws, *np.shape(values)[1:]))
        for name, values in vars(state).items()
    }
    for draw in range(draws):
        state = sweep(state, statistics, priors, rng, plug_in=plug_in)
        for name, values in kept.items():
            values[:, draw] = getattr(state, name)
    alpha, beta, gamma = kept["alpha"], kept["beta"], kept["gamma"]

    # From centered predictors to predictors as they are.
    coefficients = np.empty((chains, draws, len(design.coefficients)))
    coefficients[..., of_rows] = beta
    coefficients[..., of_groups] = gamma[..., 1:]
    return draws_of_model(
        model,
        {
            "Intercept": gamma[..., 0] - coefficients @ design.x_bar,
            "beta": coefficients,
            "tau": np.sqrt(kept["tau2"]),
            "b": alpha - (beta @ design.x_bar[of_rows])[..., None],
            "sigma": np.sqrt(kept["sigma2"]),
        },
        method="Gibbs, variances plugged in" if plug_in else "Gibbs",
        source="Gelman and Hill (2007), section 18.4",
    )


def sweep(
    state: State,
    statistics: Statistics,
    priors: RegressionPriors,
    rng: np.random.Generator,
    *,
    plug_in: bool = False,
) -> State:
    """Update each part of the state given all the others.

    Parameters
    ----------
    state
        The state of C chains. If there are C data sets in ``statistics``, each chain
        has its own.
    statistics, priors
        The data and the priors.
    rng
        The random number generator.
    plug_in
        Whether to set the variances to sample variances.
    """
    state = replace(state, alpha=_draw_alpha(state, statistics, rng))
    products = statistics.xy - (state.alpha * statistics.n) @ statistics.x_mean
    beta = _draw_coefficients(statistics.xx, products, state.sigma2, priors.beta, rng)
    products = state.alpha @ statistics.U
    gram = statistics.U.T @ statistics.U
    gamma = _draw_coefficients(gram, products, state.tau2, priors.gamma, rng)
    state = replace(state, beta=beta, gamma=gamma)
    of_rows = statistics.sum_of_squares(state.alpha, beta)
    of_groups = ((state.alpha - gamma @ statistics.U.T) ** 2).sum(axis=-1)
    rows, groups = int(statistics.n.sum()), len(statistics.n)
    if plug_in:
        sigma2 = of_rows / (rows - 1)
        tau2 = np.maximum(of_groups / (groups - 1), _LEAST_VARIANCE)
        return replace(state, sigma2=sigma2, tau2=tau2)
    sigma2 = _draw_variance(of_rows, rows, state.sigma2, priors.sigma, rng)
    tau2 = _draw_variance(of_groups, groups, state.tau2, priors.tau, rng)
    return _draw_tau_given_z(
        replace(state, sigma2=sigma2, tau2=tau2), statistics, priors.tau, rng
    )


def _draw_alpha(
    state: State, statistics: Statistics, rng: np.random.Generator
) -> Array:
    """Draw the groups' intercepts: precision-weighted means of data and population."""
    data = statistics.n / state.sigma2[:, None]
    population = 1 / state.tau2[:, None]
    own = statistics.y_mean - state.beta @ statistics.x_mean.T
    expected = state.gamma @ statistics.U.T
    mean = (data * own + population * expected) / (data + population)
    noise = rng.standard_normal(mean.shape)
    return np.asarray(mean + noise / np.sqrt(data + population))


def _draw_coefficients(
    gram: Array,
    products: Array,
    variance: Array,
    prior: NormalPrior,
    rng: np.random.Generator,
) -> Array:
    """Draw coefficients of a regression with known variance, shape ``(C, K)``.

    ``gram`` is ``X'X``, ``(K, K)``; ``products`` is ``X'y``, ``(C, K)``.
    """
    precision = gram / variance[:, None, None] + np.diag(prior.precision)
    root = np.linalg.cholesky(precision)
    shift = products / variance[:, None] + prior.precision * prior.mean
    noise = rng.standard_normal(shift.shape)
    # With precision R R', the mean is R'^-1 R^-1 shift and the deviation R'^-1 noise.
    half = np.linalg.solve(root, shift[..., None]) + noise[..., None]
    return np.asarray(np.linalg.solve(root.mT, half)[..., 0])


def _draw_variance(
    sum_of_squares: Array,
    count: int,
    current: Array,
    prior: ScalePrior,
    rng: np.random.Generator,
) -> Array:
    """Draw a variance given the sum of ``count`` squared deviations, shape ``(C,)``."""
    exponent = prior.exponent if isinstance(prior, PowerPrior) else 0
    gamma = rng.standard_gamma((count - 1 - exponent) / 2, current.shape)
    proposal = sum_of_squares / (2 * gamma)
    if isinstance(prior, PowerPrior):
        return np.asarray(proposal)
    accepted = _accept(np.sqrt(proposal), np.sqrt(current), prior, rng)
    return np.where(accepted, proposal, current)


def _draw_tau_given_z(
    state: State, statistics: Statistics, prior: ScalePrior, rng: np.random.Generator
) -> State:
    """Draw ``sigma_alpha`` given standardized deviations, and change ``alpha`` with it.

    The coefficient of the regression may be negative, since changing its sign and that
    of ``z`` together changes nothing.
    """
    expected = state.gamma @ statistics.U.T
    tau = np.sqrt(state.tau2)
    z = (state.alpha - expected) / tau[:, None]
    residual = statistics.y_mean - state.beta @ statistics.x_mean.T - expected
    weighted = statistics.n * z
    precision = (weighted * z).sum(axis=-1)
    mean = (weighted * residual).sum(axis=-1) / precision
    noise = rng.standard_normal(tau.shape)
    proposal = mean + noise * np.sqrt(state.sigma2 / precision)
    accepted = _accept(np.abs(proposal), tau, prior, rng)
    tau = np.where(accepted, proposal, tau)
    return replace(state, alpha=expected + tau[:, None] * z, tau2=tau**2)


def _accept(
    proposal: Array, current: Array, prior: ScalePrior, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Accept or reject scales that were proposed as if their prior were flat."""
    gain = log_prior(prior, proposal) - log_prior(prior, current)
    return np.asarray(np.log1p(-rng.uniform(size=gain.shape)) <= gain)


def _start(
    statistics: Statistics, y: Array, chains: int, rng: np.random.Generator
) -> State:
    """Start with dispersed scales around that of the outcome, and all else near 0."""
    scale = np.std(y)
    groups, predictors = statistics.U.shape
    gamma = np.zeros((chains, predictors))
    gamma[:, 0] = y.mean()
    spread = np.exp(rng.standard_normal((2, chains)))
    return State(
        alpha=np.zeros((chains, groups)),
        beta=np.zeros((chains, statistics.x_mean.shape[1])),
        gamma=gamma,
        sigma2=(scale * spread[0]) ** 2,
        tau2=(scale * spread[1]) ** 2,
    )


def _refuse_other_models(model: Model) -> None:
    """Refuse what is not ``y ~ x + (1 | group)``."""
    spec, design = model.spec, model.design
    fits = (
        spec.is_linear_gaussian
        and spec.pooling == "partial"
        and spec.se is None
        and has_varying_intercept_only(model)
    )
    if not fits:
        raise SpecError(
            f"{model!r} is not a model that gibbs solves; it solves "
            "'y ~ x + (1 | group)', gaussian, with partial pooling."
        )
    if np.ptp(design.y) == 0:
        raise DataError(
            f"the outcome is {design.y[0]:g} in every row; there is no variance to "
            "estimate."
        )


def _group_level(design: Design) -> NDArray[np.intp]:
    """Return which coefficients belong to predictors of the groups."""
    effect_of = design.factors[0].effect_of
    if effect_of is None:
        return np.empty(0, dtype=np.intp)
    return np.asarray(effect_of[:, 0][effect_of[:, 0] > 0] - 1, dtype=np.intp)


def _priors(
    model: Model,
    flat: Collection[str],
    of_rows: NDArray[np.intp],
    of_groups: NDArray[np.intp],
) -> RegressionPriors:
    """Split the model's priors by the part of the regression that they are on."""
    priors = resolve(model, flat)
    if priors.sigma is None:
        raise SpecError("the model has known standard errors; use known_sigma.")
    for scale in (priors.sigma, priors.tau):
        if isinstance(scale, Prior) and scale.distribution == "uniform":
            raise SpecError(
                f"the prior {scale} has bounds, and proposals that ignore it may never "
                "lie between them; gibbs needs priors without an upper bound on scales."
            )
    beta = priors.beta
    return RegressionPriors(
        beta=NormalPrior(beta.mean[of_rows], beta.precision[of_rows]),
        gamma=NormalPrior(
            np.append(priors.intercept.mean, beta.mean[of_groups]),
            np.append(priors.intercept.precision, beta.precision[of_groups]),
        ),
        sigma=priors.sigma,
        tau=priors.tau,
    )


def _statistics(
    design: Design, of_rows: NDArray[np.intp], of_groups: NDArray[np.intp]
) -> Statistics:
    """Summarize a design whose predictors are centered."""
    assert design.group_index is not None
    centered = design.X - design.x_bar
    first_rows = np.unique(design.group_index, return_index=True)[1]
    groups = centered[first_rows][:, of_groups]
    return Statistics.of(
        design.y,
        centered[:, of_rows],
        design.group_index,
        np.column_stack([np.ones(len(groups)), groups]),
    )
