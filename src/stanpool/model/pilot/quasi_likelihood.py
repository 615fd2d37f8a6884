r"""A quick estimate of a partially pooled model before any sampling.

Penalised quasi-likelihood [1]_: Newton steps for the population's coefficients and the
groups' deviations under a guess of their covariance, which is then made to agree with
the deviations [2]_, in turn until neither changes. All sums are over rows and groups,
so that the cost grows with N and J and no matrix is as large as both.

The estimate decides how samplers see a model and where chains start, never what a
model says: it may be rough, and None where there is none.

References
----------
.. [1] Breslow and Clayton (1993). Approximate inference in generalized linear mixed
   models. Journal of the American Statistical Association 88(421), 9-25.
.. [2] MacKay (1992). Bayesian interpolation. Neural Computation 4(3), 415-447,
   equation 4.9: a variance is a sum of squares over the number of well-determined
   deviations.
.. [3] Begg and Gray (1984). Calculation of polychotomous logistic regression parameters
   using individualized regressions. Biometrika 71(1), 11-18.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.data.design.design import Design, FactorDesign
from stanpool.data.design.outcome import is_inner
from stanpool.data.likelihood import log_likelihood
from stanpool.families.angles import mean_direction
from stanpool.families.functions import LINKS
from stanpool.families.registry import family_functions
from stanpool.language.family import BINARY_FAMILY, FAMILIES, FamilyParameter
from stanpool.language.model_spec import ModelSpec
from stanpool.model.pilot.estimate import (
    GroupEstimate,
    PilotEstimate,
    agreeing_scales,
    normal_priors,
    residual_scales,
)
from stanpool.model.pilot.factors import DeviationErrors, FactorState
from stanpool.model.priors.default_scales import parameter_unit
from stanpool.model.priors.in_force import PriorRow

_SWEEPS = 40
_CLOSE = 0.01  # relative change of a scale at which iteration stops
_GAIN = 0.05  # of the log likelihood, for which a parameter is searched further out
_LARGEST_STEP = (
    3.0  # largest change of a linear predictor in one step, on the link scale
)
_STEP = 1e-3  # step of a linear predictor in finite differences
_CONJUGATE = 15  # most iterations of conjugate gradients in one Newton step
_EXACT = 1e-4  # relative squared residual at which conjugate gradients stop


def estimate(
    spec: ModelSpec,
    design: Design,
    priors: Iterable[PriorRow],
    correlated: Sequence[bool],
) -> PilotEstimate | None:
    """Estimate a partially pooled model.

    Parameters
    ----------
    spec, design, priors
        The model, its data and its priors, in the units of its Stan program.
    correlated
        Whether the coefficients of each factor are.

    Returns
    -------
    PilotEstimate or None
        None if the estimate did not come to an end.
    """
    rows = list(priors)
    with np.errstate(all="ignore"):
        try:
            if spec.is_categorical:
                found = _of_categories(spec, design, rows, correlated)
            else:
                found = _Search(spec, design, rows, correlated).run()
        except (np.linalg.LinAlgError, FloatingPointError):
            return None
    return found if found.is_finite else None


def _of_categories(
    spec: ModelSpec,
    design: Design,
    priors: list[PriorRow],
    correlated: Sequence[bool],
) -> PilotEstimate:
    """Estimate each category against the reference, among the rows of both [3]_."""
    found = []
    each_of = replace(spec, family=BINARY_FAMILY, link=None)
    for category in range(1, len(design.categories)):
        some = design.take(np.flatnonzero((design.y == 0) | (design.y == category)))
        binary = replace(some, y=(some.y > 0).astype(np.int64), categories=())
        found.append(_Search(each_of, binary, priors, correlated).run())
    factors = []
    for own in zip(*(each.factors for each in found), strict=True):
        groups, q = own[0].u.shape
        width = q * len(own)
        covariance, Omega = np.zeros((groups, width, width)), np.zeros((width, width))
        within = np.zeros_like(covariance)
        for c, part in enumerate(own):
            at = slice(c * q, (c + 1) * q)
            covariance[:, at, at], Omega[at, at] = part.covariance, part.Omega
            known = part.covariance_within
            within[:, at, at] = part.covariance if known is None else known
        factors.append(
            GroupEstimate(
                u=np.concatenate([part.u for part in own], axis=1),
                covariance=covariance,
                tau=np.concatenate([part.tau for part in own]),
                Omega=Omega,
                covariance_within=within,
            )
        )
    return PilotEstimate(
        theta=np.stack([each.theta for each in found], axis=1),
        theta_covariance=np.stack([each.theta_covariance for each in found]),
        factors=tuple(factors),
        parameters={},
    )


class _Search:
    """The state of the iteration for a model with one linear predictor."""

    def __init__(
        self,
        spec: ModelSpec,
        design: Design,
        priors: list[PriorRow],
        correlated: Sequence[bool],
    ) -> None:
        self.spec, self.design = spec, design
        self.family = FAMILIES[spec.family]
        self.has_cutpoints = self.family.has_cutpoints
        first = int(design.intercept or self.has_cutpoints)
        ones = np.ones((design.rows, first))
        self.P = np.concatenate([ones, design.X - design.x_bar], axis=1)
        self.location, self.ridge = normal_priors(
            priors, self.P.shape[1], first, design.mean
        )
        self.theta = np.zeros(self.P.shape[1])
        self.residual: GroupEstimate | None = None
        self.parameters, start, spread = _start(spec, design)
        if first and not self.has_cutpoints:
            self.theta[0] = start
        self.largest_step = _LARGEST_STEP if spec.link_name != "identity" else np.inf
        self.factors = [
            FactorState.of(factor, _first_scales(factor, spread), correlated=each)
            for factor, each in zip(design.factors, correlated, strict=True)
        ]
        self.errors = DeviationErrors(design, self.factors)

    def run(self) -> PilotEstimate:
        """Iterate until the scales have converged."""
        for _ in range(_SWEEPS):
            before = [np.log(factor.tau) for factor in self.factors]
            score, weight = self.derivatives()
            if len(self.factors) == len(self.factors[0].members) == 1:
                self.move(score, weight)
            else:
                self.move_by_gradients(score, weight)
            is_on_the_way = self.update_parameters()
            _, weight = self.derivatives()
            for place in self.errors.outer_first:
                self.update_scales(place, weight)
            if self.is_settled(before) and not is_on_the_way:
                break
        for place in self.errors.outer_first:
            self.errors.update(place, weight)
        theta, covariance = self.theta, self.errors_of_population(weight)
        if self.has_cutpoints:
            theta, covariance = theta[1:], covariance[1:, 1:]
        return PilotEstimate(
            theta=theta,
            theta_covariance=covariance,
            factors=tuple(each.estimate for each in self.factors),
            parameters=self.parameters,
            residual=self.residual,
        )

    def is_settled(self, before: list[Array]) -> bool:
        """Whether the scales have converged that matter for the groups."""
        moves = []
        for factor, last in zip(self.factors, before, strict=True):
            variance = np.einsum("jqq->jq", factor.covariance).mean(axis=0)
            share = 1 - variance / np.square(factor.tau)
            moves.append(np.abs(np.log(factor.tau) - last) * np.clip(share, 0.1, 1))
        return bool(np.max(np.concatenate(moves)) < _CLOSE)

    @property
    def eta(self) -> Array:
        eta = self.P @ self.theta
        for factor in self.factors:
            eta += factor.effects(factor.u)
        return eta if self.design.offset is None else eta + self.design.offset

    def of_rows(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the family's parameters for each row."""
        found = dict(parameters)
        if self.residual is not None and self.design.residual is not None:
            own = np.exp(self.residual.u[:, 0])
            found["sigma"] = found["sigma"] * own[self.design.residual.index]
        return found

    def derivatives(self) -> tuple[Array, Array]:
        """Return score and information of each row's linear predictor."""
        spec, design, eta = self.spec, self.design, self.eta
        known = self.of_rows(self.parameters)
        parts = (design.censored, design.lower, design.upper)
        is_plain = all(part is None for part in parts)
        if is_plain and spec.link_name == self.family.canonical_link:
            functions = family_functions(spec.family, spec.link)
            data = {"trials": design.trials, "se": design.se}
            known |= {name: each for name, each in data.items() if each is not None}
            score = design.y - functions.mean(eta, **known)
            assert functions.variance is not None
            variance = functions.variance(eta, **known)
            if self.family.has_sigma:
                score, weight = score / variance, 1.0 / variance
            else:
                weight = variance
            weight = np.broadcast_to(weight, eta.shape)
            if design.weights is not None:
                score, weight = score * design.weights, weight * design.weights
            return np.asarray(score), np.asarray(weight)
        step: Any = _STEP
        if spec.link_name == "identity":
            # The log density of a quantile has a kink, and no curvature elsewhere.
            share = 1.0 if self.family.is_of_quantiles else _STEP
            step = share * (known.get("sigma", 0.0) + np.zeros(design.rows))
            step = step if design.se is None else np.hypot(step, _STEP * design.se)
        below, at, above = (
            log_likelihood(spec, design, eta + move, known)
            for move in (-step, 0.0, step)
        )
        score = (above - below) / (2 * step)
        weight = np.maximum((2 * at - above - below) / np.square(step), 0.0)
        for quantile in spec.known_numbers.values():
            # Far from the kink there is no curvature: at least what is expected of all.
            expected = quantile * (1.0 - quantile) / np.square(known["sigma"])
            weight = np.maximum(weight, expected)
        return np.nan_to_num(score), np.nan_to_num(weight)

    def move(self, score: Array, weight: Array) -> None:
        """Take a Newton step of the population's coefficients and the deviations."""
        (factor,) = self.factors
        precision = factor.precision
        H = factor.squares(weight) + precision
        slope = factor.sums(score[:, None])[..., 0] - factor.u @ precision
        weighted = self.P * weight[:, None]
        G = factor.sums(weighted)
        solved = np.linalg.solve(H, G)
        S = weighted.T @ self.P + np.diag(self.ridge)
        S -= np.einsum("jqp,jqr->pr", G, solved)
        gradient = self.P.T @ score - self.ridge * (self.theta - self.location)
        gradient -= np.einsum("jqp,jq->p", solved, slope)
        step = np.linalg.solve(S, gradient) if len(S) else np.zeros(0)
        own = np.linalg.solve(H, (slope - G @ step)[..., None])[..., 0]
        self.take([step, np.asarray(own)])

    def move_by_gradients(self, score: Array, weight: Array) -> None:
        """Take the same step where several groups share rows, by conjugate gradients.

        Blocks of the population and of each group are the preconditioner.
        """
        weighted = self.P * weight[:, None]
        precisions = [factor.precision for factor in self.factors]
        blocks = [np.linalg.inv(weighted.T @ self.P + np.diag(self.ridge))]
        blocks += [
            np.linalg.inv(factor.squares(weight) + precision)
            for factor, precision in zip(self.factors, precisions, strict=True)
        ]

        def sums(rows: Array) -> list[Array]:
            own = [factor.sums(rows[:, None])[..., 0] for factor in self.factors]
            return [self.P.T @ rows, *own]

        def penalties(values: list[Array]) -> list[Array]:
            own = [u @ each for u, each in zip(values[1:], precisions, strict=True)]
            return [self.ridge * values[0], *own]

        def preconditioned(values: list[Array]) -> list[Array]:
            own = zip(blocks[1:], values[1:], strict=True)
            return [blocks[0] @ values[0], *(np.einsum("jqr,jr->jq", *x) for x in own)]

        def dot(a: list[Array], b: list[Array]) -> float:
            return float(sum(np.vdot(x, y) for x, y in zip(a, b, strict=True)))

        here = [self.theta - self.location, *(factor.u for factor in self.factors)]
        left = [a - b for a, b in zip(sums(score), penalties(here), strict=True)]
        step = [np.zeros_like(each) for each in left]
        good = preconditioned(left)
        direction, length = good, dot(left, good)
        enough = _EXACT * length
        for _ in range(_CONJUGATE):
            if length <= enough or not np.isfinite(length):
                break
            moved = sums(weight * self.moved(direction))
            product = [a + b for a, b in zip(moved, penalties(direction), strict=True)]
            size = length / dot(direction, product)
            step = [a + size * b for a, b in zip(step, direction, strict=True)]
            left = [a - size * b for a, b in zip(left, product, strict=True)]
            good = preconditioned(left)
            last, length = length, dot(left, good)
            direction = [
                a + length / last * b for a, b in zip(good, direction, strict=True)
            ]
        self.take(step)

    def moved(self, step: list[Array]) -> Array:
        """Return the change of the rows' linear predictors in a step."""
        own = zip(self.factors, step[1:], strict=True)
        moved = self.P @ step[0] + sum(factor.effects(u) for factor, u in own)
        return np.asarray(moved)

    def take(self, step: list[Array]) -> None:
        """Take a step, shortened if it would change a linear predictor too much."""
        largest = float(np.max(np.abs(self.moved(step)), initial=1e-12))
        share = min(1.0, self.largest_step / largest)
        self.theta = self.theta + share * step[0]
        for factor, own in zip(self.factors, step[1:], strict=True):
            factor.u = factor.u + share * own

    def update_scales(self, place: int, weight: Array) -> None:
        """Update the scales of a factor from its deviations [2]_."""
        factor = self.factors[place]
        information = self.errors.update(place, weight)
        factor.tau, factor.Omega = agreeing_scales(
            factor.estimate, information, correlated=factor.correlated
        )

    def errors_of_population(self, weight: Array) -> Array:
        """Return the covariance of errors of the population's coefficients, roughly.

        Exact for one factor; groups of the others are known only in their means.
        """
        place = int(np.argmax([factor.groups for factor in self.factors]))
        factor = self.factors[place]
        weighted = self.P * weight[:, None]
        G = factor.sums(weighted)
        S = weighted.T @ self.P + np.diag(self.ridge)
        H = factor.squares(weight) + factor.precision
        S -= np.einsum("jqp,jqr->pr", G, np.linalg.solve(H, G)) / len(factor.members)
        covariance = np.linalg.inv(S)
        for other in self.factors:
            if other is not factor and len(covariance):
                share = 1 - np.einsum("jqq->jq", other.covariance) / other.tau**2
                between = np.square(other.tau) / np.maximum(share.sum(axis=0), 1.0)
                covariance[0, 0] += between[0]
        return covariance

    def update_parameters(self) -> bool:
        """Maximize the likelihood over the family's own parameters.

        Returns whether one of them has its best value further away than a search goes.
        """
        design = self.design
        if self.has_cutpoints:
            self.update_cutpoints()
        if self.family.is_gaussian and design.se is None:
            self.update_sigma()
            return False
        eta = self.eta
        searched = [
            self.search_along(own, eta)
            for own in self.family.parameters
            if own.name in self.parameters and own.size is None
        ]
        return any(searched)

    def update_sigma(self) -> None:
        """Estimate residual scales by sums of squares over degrees of freedom."""
        design = self.design
        mean = family_functions(self.spec.family, self.spec.link).mean(self.eta)
        weights = np.ones(design.rows) if design.weights is None else design.weights
        squares = weights * np.square(design.y - mean)
        used = float(len(self.theta))
        for factor in self.factors:
            share = 1 - np.einsum("jqq->jq", factor.covariance) / factor.tau**2
            used += float(np.clip(share, 0, 1).sum())
        left = max(weights.sum() - used, 0.1 * weights.sum())
        sigma = np.sqrt(squares.sum() / left)
        self.parameters["sigma"] = max(float(sigma), 1e-9)
        if design.residual is not None:
            index, scales = design.residual.index, len(design.residual.labels)
            total, count = (
                np.bincount(index, each, minlength=scales).astype(float)
                for each in (squares, weights)
            )
            lost = left / weights.sum()
            self.parameters["sigma"], self.residual = residual_scales(
                total, count * lost, self.residual
            )

    def search_along(self, own: FamilyParameter, eta: Array) -> bool:
        """Search for the best value of one parameter near its last value.

        Returns whether it is better than that, and as far from it as it may be.
        """
        from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]

        name, link = own.name, LINKS[own.link]
        unit = parameter_unit(own, self.design)
        lowest, highest = link.apply(np.multiply(own.searched, unit))
        last = float(link.apply(self.parameters[name]))

        def loss(at: float) -> float:
            known = self.of_rows(self.parameters | {name: float(link.inverse(at))})
            total = log_likelihood(self.spec, self.design, eta, known).sum()
            return -float(total) if np.isfinite(total) else 1e300

        bounds = max(last - 1.0, lowest), min(last + 1.0, highest)
        found = minimize_scalar(
            loss, bounds=bounds, method="bounded", options={"maxiter": 8, "xatol": 0.05}
        )
        # Far out a likelihood may be flat, as that of counts without overdispersion.
        is_at_the_end = abs(found.x - last) > 0.9 and loss(last) - found.fun > _GAIN
        self.parameters[name] = float(link.inverse(found.x))
        return bool(is_at_the_end)

    def update_cutpoints(self) -> None:
        """Take Newton steps of the cutpoints, one at a time.

        Those that ascend stay in order; the others move by no more than the largest
        step.
        """
        cutpoint = self.parameters["cutpoint"] - self.theta[0]
        self.theta[0] = 0.0
        eta = self.eta

        def total(at: Array) -> float:
            known = {"cutpoint": at}
            return float(log_likelihood(self.spec, self.design, eta, known).sum())

        step = 1e-3
        for k in range(len(cutpoint)):
            move = step * np.eye(len(cutpoint))[k]
            below, at, above = (
                total(cutpoint + sign * move) for sign in (-1.0, 0.0, 1.0)
            )
            curve = (2 * at - above - below) / step**2
            if curve <= 0 or not np.isfinite(curve):
                continue
            wanted = cutpoint[k] + (above - below) / (2 * step) / curve
            cutpoint[k] = np.clip(wanted, *self.between_neighbours(cutpoint, k))
        self.parameters["cutpoint"] = cutpoint

    def between_neighbours(self, cutpoint: Array, k: int) -> tuple[float, float]:
        """Return where a cutpoint may move: at most half of the way to the next."""
        if not self.family.has_ordered_cutpoints:
            return cutpoint[k] - self.largest_step, cutpoint[k] + self.largest_step
        lowest = -np.inf if k == 0 else cutpoint[k - 1]
        highest = np.inf if k == len(cutpoint) - 1 else cutpoint[k + 1]
        return (lowest + cutpoint[k]) / 2, (highest + cutpoint[k]) / 2


def _start(spec: ModelSpec, design: Design) -> tuple[dict[str, Any], float, float]:
    """Return first guesses: parameters, the intercept, a spread of predictors."""
    y, family = np.asarray(design.y, dtype=float), FAMILIES[spec.family]
    if family.has_cutpoints:
        counts = np.bincount(design.y, minlength=len(design.categories)) + 0.5
        functions = family_functions(spec.family, spec.link)
        assert functions.cutpoints is not None
        return {"cutpoint": functions.cutpoints(counts / counts.sum())}, 0.0, 1.0
    offset = np.zeros_like(y) if design.offset is None else design.offset
    inner = is_inner(family, y) if family.apart else np.zeros(0)
    if inner.any():
        offset, y = offset[inner], y[inner]
    if family.is_of_logs:
        y = np.log(np.maximum(y, np.finfo(float).tiny))
    spread, parameters = 1.0, dict[str, Any]()
    if spec.link_name == "identity":
        mean = float(np.mean(y - offset))
        spread = float(np.std(y - offset)) or 1.0
    elif family.is_circular:
        mean = float(LINKS[spec.link_name].apply(0.95 * mean_direction(y)))
    elif spec.link_name != "log":  # a probability
        trials = 1.0 if design.trials is None else design.trials
        share = (y.sum() + 0.5) / (np.sum(trials * np.ones_like(y)) + 1.0)
        mean = float(LINKS[spec.link_name].apply(share))
    else:
        expected = max(float(np.mean(y)), 0.5 / len(y))
        mean = float(np.log(expected) - np.log(np.mean(np.exp(offset))))
    for own in family.auxiliary:
        parameters[own.name] = own.guess * parameter_unit(own, design)
    if spec.has_sigma:
        scale = float(np.std(y)) or 1.0
        parameters["sigma"] = spread if spec.link_name == "identity" else scale
    return parameters, mean, spread


def _first_scales(factor: FactorDesign, spread: float) -> Array:
    """Guess scales with which coefficients make half of the rows' spread."""
    size = np.sqrt(np.mean(np.square(factor.Z), axis=0))
    return np.asarray(0.5 * spread / np.where(size > 0, size, 1.0), dtype=float)
