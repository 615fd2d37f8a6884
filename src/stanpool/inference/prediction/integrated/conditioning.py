r"""Conditioning a fit on a few more rows, usually of new groups, without refitting.

The draws of the population parameters are resampled with weights: the likelihood of the
rows, with the coefficients of new groups integrated out. Given the population
parameters, the coefficients are drawn from their conditional posterior,

.. math:: p(\theta, u \mid y, y') \propto p(\theta \mid y) \, p(y' \mid \theta) \,
          p(u \mid \theta, y').

For gaussian rows both factors have closed forms. For others they are estimated by
importance sampling around the mode at each draw; since the estimate of the likelihood
is unbiased, the result is exact up to Monte Carlo error. Pareto k says whether the
weights are reliable.

References
----------
.. [1] Vehtari, Simpson, Gelman, Yao and Gabry (2024). Pareto smoothed importance
   sampling. Journal of Machine Learning Research 25(72), 1-58.
.. [2] Andrieu and Roberts (2009). The pseudo-marginal approach for efficient Monte
   Carlo computations. Annals of Statistics 37(2), 697-725: unbiased estimates of
   likelihoods.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from stanpool.base.arrays import LARGEST_ARRAY, Array, Indices
from stanpool.base.errors import DataError, ImportanceWarning, SpecError, warn_user
from stanpool.data.likelihood import log_likelihood
from stanpool.inference.prediction.integrated.adaptive_quadrature import (
    find_mode,
    gaussian_log_likelihood,
)
from stanpool.inference.prediction.integrated.group_likelihood import (
    STEP,
    is_gaussian,
    refuse_not_normal,
    spread,
)
from stanpool.inference.prediction.linear_predictor import LinearPredictor
from stanpool.posterior.coefficients import coefficients, flat
from stanpool.posterior.importance import psis

if TYPE_CHECKING:
    import xarray as xr

    from stanpool.data.design.design import Part

RELIABLE_K = 0.7

_CANDIDATES = 40
_DF = 7.0


def condition(seen: LinearPredictor) -> LinearPredictor:
    """Condition draws on rows that were not fitted.

    Parameters
    ----------
    seen
        The draws, and the rows with their outcomes, some of which are of new groups.

    Returns
    -------
    LinearPredictor
        The same with resampled draws, with the draws of new groups in ``given``, and
        with ``pareto_k`` of the weights.

    Raises
    ------
    DataError
        If the likelihood of the rows is 0 at every draw.
    SpecError
        If there are too many rows.
    """
    refuse_not_normal(seen.model, "rows of new groups cannot be given. Fit with them.")
    rng = np.random.default_rng([seen.seed, 1])
    seen = replace(seen, given=dict(_of_parameters(seen)))
    average = replace(seen, new_groups="zero")
    draws = len(seen.coefficients.alpha)
    log_weights, worst = np.zeros(draws), -np.inf
    given = dict(seen.given)
    for part in _parts(seen):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = _RowsOfPart(average, part).draw(rng)
        log_weights += np.nan_to_num(found.log_weights, nan=-np.inf, neginf=-np.inf)
        worst = max(worst, found.pareto_k)
        given |= _by_group(seen, part, found.u)
    if not np.isfinite(log_weights).any():
        raise DataError(
            "the likelihood of the rows in given is 0 at every draw of the fit. Check "
            "that they are rows of the same kind as the data of the fit."
        )
    smoothed = psis(-log_weights[None], relative_ess=1.0)
    worst = max(worst, float(smoothed.pareto_k[0]))
    if worst > RELIABLE_K:
        warn_user(
            f"Pareto k is {worst:.2f}: the rows in given change the posterior too much "
            "for reweighting its draws. Fit again with these rows.",
            ImportanceWarning,
        )
    chosen = _resample(smoothed.weights[0], rng)
    posterior = _picked(seen.posterior, chosen)
    return replace(
        seen,
        posterior=posterior,
        coefficients=coefficients(seen.model, posterior),
        given={group: u[chosen] for group, u in given.items()},
        pareto_k=worst,
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows that share new groups, and these groups as pairs (factor, group)."""

    rows: Indices
    groups: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class _Found:
    """Log likelihoods of rows, Pareto k, and drawn coefficients, shape ``(S, P)``."""

    log_weights: Array
    pareto_k: float
    u: Array


@dataclass(frozen=True, eq=False)
class _RowsOfPart:
    """Some rows, with the coefficients of their new groups left to be drawn."""

    average: LinearPredictor
    part: _Part

    def draw(self, rng: np.random.Generator) -> _Found:
        """Weight the draws, and draw the coefficients of the new groups."""
        spec = self.average.model.spec
        # Of draws, rows and groups.
        size = len(self.part.rows) * len(self.average.coefficients.alpha)
        if size * (1 + len(self.part.groups)) > LARGEST_ARRAY:
            raise SpecError(
                f"given has {len(self.part.rows):,} rows of connected groups, which "
                "are too many to condition on without refitting. Pass fewer rows, pass "
                "draws=, or fit again with them."
            )
        design = self.average.design.take(self.part.rows)
        eta = self.average.eta(self.part.rows)
        parameters = self.average.parameters(self.part.rows)

        def log_density(at: Array) -> Array:
            return log_likelihood(spec, design, at, parameters)

        if not self.part.groups:
            total = log_density(eta).sum(axis=1)
            return _Found(total, -np.inf, np.empty((len(eta), 0)))
        loadings, (mean, chol) = self._loadings(), self._population()
        shift = np.einsum("ndp,sp->snd", loadings, mean)
        eta = eta + (shift if self.average.is_categorical else shift[..., 0])
        if is_gaussian(design, spec.family, spec.link_name):
            variance = np.square(spread(design, parameters)) + np.zeros_like(eta)
            found = _exactly(design.y - eta, variance, loadings[:, 0], chol, rng)
            return replace(found, u=mean + found.u)
        standard = np.einsum("ndp,spq->sndq", loadings, chol)
        z, scale = (
            np.zeros((len(eta), chol.shape[1])),
            np.broadcast_to(np.eye(chol.shape[1]), chol.shape),
        )
        if not self.average.is_categorical:
            step = STEP * spread(design, parameters)
            z, scale = find_mode(log_density, eta, standard[:, :, 0], z, step)

        def log_joint(z: Array) -> Array:
            moved = np.einsum("sndp,sp->snd", standard, z)
            at = eta + (moved if self.average.is_categorical else moved[..., 0])
            normal = 0.5 * (np.square(z) + np.log(2 * np.pi)).sum(axis=1)
            return np.asarray(log_density(at).sum(axis=1) - normal)

        log_weights, pareto_k, z = _by_importance(log_joint, z, scale, rng)
        u = mean + np.einsum("spq,sq->sp", chol, z)
        return _Found(log_weights, pareto_k, u)

    def _loadings(self) -> Array:
        """Return the loadings of the new groups' coefficients, ``(n, D, P)``."""
        rows, blocks = self.part.rows, []
        predictors = self.average.coefficients.alpha.shape[1]
        for place, group in self.part.groups:
            factor = self.average.design.factors[place]
            index = factor.index[rows].reshape(len(rows), -1)
            weights = (
                1.0 if factor.weights is None else factor.weights[rows]
            ) * np.equal(index, group)
            z = factor.Z[rows] * weights.sum(axis=1)[:, None]
            blocks.append(np.kron(np.eye(predictors), z[:, None]))
        return np.concatenate(blocks, axis=2)

    def _population(self) -> tuple[Array, Array]:
        """Return how all coefficients are distributed: ``(S, P)`` and ``(S, P, P)``.

        Means, and the Cholesky factor of the covariance, given what the same groups
        have of other parameters.
        """
        means, own = zip(*map(self._of_group, self.part.groups), strict=True)
        ends = np.cumsum([each.shape[1] for each in own])
        chol = np.zeros((len(own[0]), ends[-1], ends[-1]))
        for each, end in zip(own, ends, strict=True):
            start = end - each.shape[1]
            chol[:, start:end, start:end] = each
        return np.concatenate(means, axis=1), chol

    def _of_group(self, which: tuple[int, int]) -> tuple[Array, Array]:
        """Return how the coefficients of one new group are distributed."""
        place, group = which
        factor = self.average.design.factors[place]
        label = factor.labels[group]

        def others(part: Part) -> Array:
            u = self.average.given[part.parameter, factor.factor, label]
            return u.reshape(len(u), -1)

        return self.average.given_others(self.average.numbers[place], others)


def _exactly(
    residual: Array,
    variance: Array,
    Z: Array,
    chol: Array,
    rng: np.random.Generator,
) -> _Found:
    """Integrate gaussian rows, and draw from the conditional posterior."""
    log_weights = gaussian_log_likelihood(residual, variance, Z, chol)
    loadings = Z @ chol
    turned = loadings.swapaxes(1, 2) / variance[:, None]
    precision = np.eye(Z.shape[1]) + turned @ loadings
    root = np.linalg.cholesky(precision)
    mean = np.linalg.solve(precision, turned @ residual[..., None])
    noise = rng.standard_normal(mean.shape)
    z = mean + np.linalg.solve(root.swapaxes(1, 2), noise)
    return _Found(log_weights, -np.inf, (chol @ z)[..., 0])


def _by_importance(
    log_joint: Any, mode: Array, scale: Array, rng: np.random.Generator
) -> tuple[Array, float, Array]:
    """Integrate any rows by importance sampling, and draw with the same weights.

    The proposals are multivariate t around the mode at each draw.
    """
    draws, width = mode.shape
    points = np.empty((_CANDIDATES, draws, width))
    log_ratios = np.empty((_CANDIDATES, draws))
    volume = np.log(np.diagonal(scale, axis1=1, axis2=2)).sum(axis=1)
    constant = (
        special.gammaln((_DF + width) / 2)
        - special.gammaln(_DF / 2)
        - width / 2 * np.log(_DF * np.pi)
    )
    for k in range(_CANDIDATES):
        heavy = np.sqrt(_DF / rng.chisquare(_DF, size=(draws, 1)))
        x = rng.standard_normal((draws, width)) * heavy
        points[k] = mode + np.einsum("spq,sq->sp", scale, x)
        tail = np.log1p(np.square(x).sum(axis=1) / _DF)
        log_proposal = constant - (_DF + width) / 2 * tail - volume
        log_ratios[k] = log_joint(points[k]) - log_proposal
    log_ratios = np.where(np.isnan(log_ratios), -np.inf, log_ratios)
    pareto_k = psis(-log_ratios.reshape(1, -1), relative_ess=1.0).pareto_k
    best = np.argmax(log_ratios + rng.gumbel(size=log_ratios.shape), axis=0)
    chosen = np.take_along_axis(points, best[None, :, None], axis=0)[0]
    total = special.logsumexp(log_ratios, axis=0) - np.log(_CANDIDATES)
    return total, float(pareto_k[0]), chosen


def _parts(seen: LinearPredictor) -> Iterator[_Part]:
    """Split the rows into parts that have no new groups in common."""
    design = seen.design
    pairs: list[tuple[int, int, int]] = []
    for place, factor in enumerate(design.factors):
        known = seen.coefficients.factors[seen.numbers[place]].b.shape[1]
        index = factor.index.reshape(design.rows, -1)
        rows, members = np.nonzero(index >= known)
        if factor.weights is not None:
            counts = factor.weights[rows, members] > 0
            rows, members = rows[counts], members[counts]
        pairs += [
            (int(row), place, int(group))
            for row, group in zip(rows, index[rows, members], strict=True)
        ]
    groups = list(dict.fromkeys((place, group) for _, place, group in pairs))
    number = {group: design.rows + k for k, group in enumerate(groups)}
    size = design.rows + len(groups)
    first = [row for row, _, _ in pairs]
    second = [number[place, group] for _, place, group in pairs]
    from scipy import sparse

    graph = sparse.coo_array((np.ones(len(pairs)), (first, second)), shape=(size, size))
    _, part_of = sparse.csgraph.connected_components(graph, directed=False)
    tied = np.unique(part_of[design.rows :])
    for part in tied.tolist():
        rows = np.flatnonzero(part_of[: design.rows] == part)
        own = tuple(group for group in groups if part_of[number[group]] == part)
        yield _Part(rows, own)
    alone = np.flatnonzero(~np.isin(part_of[: design.rows], tied))
    if alone.size:
        sizes = [rows.stop - rows.start for rows in seen.chunks()]
        for start in range(0, alone.size, sizes[0]):
            yield _Part(alone[start : start + sizes[0]], ())


def _by_group(
    seen: LinearPredictor, part: _Part, u: Array
) -> Iterator[tuple[tuple[str, str, Any], Array]]:
    """Yield the coefficients of each new group, shape ``(S, D, Q)``, with its name."""
    start = 0
    for place, group in part.groups:
        factor = seen.design.factors[place]
        shape = seen.coefficients.factors[seen.numbers[place]].b.shape[2:]
        stop = start + shape[0] * shape[1]
        values = u[:, start:stop].reshape(len(u), *shape)
        yield ("mean", factor.factor, factor.labels[group]), values
        start = stop


def _of_parameters(
    seen: LinearPredictor,
) -> Iterator[tuple[tuple[str, str, Any], Array]]:
    """Draw what new groups have of other parameters from their populations."""
    for own in seen.design.parameters:
        drawn = seen.coefficients_of(own.parameter).factors
        for factor, of_fit in zip(own.factors, drawn, strict=True):
            new = np.unique(factor.index[factor.index >= of_fit.b.shape[1]])
            for label in (factor.labels[group] for group in new.tolist()):
                u = of_fit.deviation_of_new(factor.factor, label, seen.unseen)
                yield (own.parameter, factor.factor, label), u


def _resample(weights: Array, rng: np.random.Generator) -> Indices:
    """Resample as many draws as there are, systematically, in random order."""
    count = len(weights)
    at = (rng.random() + np.arange(count)) / count
    chosen = np.searchsorted(np.cumsum(weights / weights.sum()), at)
    return rng.permutation(np.minimum(chosen, count - 1))


def _picked(posterior: xr.Dataset, chosen: Indices) -> xr.Dataset:
    """Return resampled draws, arranged in the same number of chains."""
    shape = posterior.sizes["chain"], posterior.sizes["draw"]
    variables = {}
    for name, variable in posterior.data_vars.items():
        values = flat(variable)[chosen]
        dims = ("chain", "draw", *variable.dims[2:])
        variables[name] = (dims, values.reshape(*shape, *values.shape[1:]))
    return posterior.assign(variables)
