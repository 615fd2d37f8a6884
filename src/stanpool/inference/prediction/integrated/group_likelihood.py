"""The likelihood of whole groups with their coefficients integrated out.

It says how well a model predicts a group that is not in the data: given the population,
and not given what the data say about the group itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array, Indices
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.data.likelihood import log_likelihood
from stanpool.inference.prediction.conditional.rows import rows_given_earlier
from stanpool.inference.prediction.integrated.adaptive_quadrature import (
    gaussian_log_likelihood,
    integrated_log_likelihood,
)
from stanpool.inference.prediction.linear_predictor import (
    LinearPredictor,
    linear_predictor_of,
)
from stanpool.language.family import FAMILIES

if TYPE_CHECKING:
    from stanpool.data.design.design import Design, FactorDesign, Part
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel

# Step of a linear predictor, in units of the outcomes' standard deviation about it.
STEP = 0.01


@dataclass(frozen=True, eq=False)
class Grouping:
    """The group of each row, for one factor.

    Attributes
    ----------
    factor, labels
        The factor, and its groups.
    index
        The group of each row, counted from 0, shape ``(N,)``.
    """

    factor: str
    labels: tuple[Any, ...]
    index: Indices

    @property
    def rows(self) -> list[Indices]:
        """The rows of each group."""
        order = np.argsort(self.index, kind="stable")
        sizes = np.bincount(self.index, minlength=len(self.labels))
        return np.split(order, np.cumsum(sizes)[:-1])


def grouping(
    model: PreparedModel, factor: str | None = None, *, left_out: bool = True
) -> Grouping:
    """Return the group of each row of a model, for one factor.

    Parameters
    ----------
    model
        A model with group terms, even if complete pooling ignores them.
    factor
        The grouping factor; by default the first, of those whose groups are independent
        if there are any.
    left_out
        Whether groups are to be left out, as those of a known covariance cannot be.

    Raises
    ------
    SpecError
        If the model has no such factor, rows belong to several of its groups, or groups
        that are to be left out have a known covariance.
    """
    if not model.spec.groups:
        raise SpecError(
            f"{model!r} has no groups to leave out; use unit='row', or add a group "
            "term such as (1 | county)."
        )
    factors = model.design.factors
    if model.spec.pooling == "complete":
        factors = model.with_(pooling="partial").design.factors
    names = [each.factor for each in factors]
    independent = [each.factor for each in factors if each.root is None]
    chosen = (independent or names)[0] if factor is None else factor
    if chosen not in names:
        raise SpecError(
            f"factor={quote(chosen)} is not one of the model's grouping factors, "
            f"{quote_list(names)}.{suggestion(str(chosen), names)}"
        )
    found = factors[names.index(chosen)]
    if found.weights is not None:
        raise SpecError(
            f"factor={quote(chosen)}: rows are members of several groups, or of none, "
            "so that a single group cannot be left out. Leave out rows."
        )
    if left_out and found.root is not None:
        raise SpecError(
            f"factor={quote(chosen)}: its groups have a known covariance, so that one "
            "that is left out is not drawn from the population alone. Leave out rows; "
            "or fit without a group's rows and predict them, as groups without rows "
            "are predicted from the others."
        )
    return Grouping(found.factor, found.labels, found.index)


def check_population(model: PreparedModel) -> None:
    """Refuse a model that cannot predict groups that are not in the data.

    Raises
    ------
    SpecError
        If there is no pooling, or if there are terms that cannot be integrated out.
    """
    if model.spec.pooling == "none":
        raise SpecError(
            "pooling='none' has no population distribution of groups, so that it "
            "cannot predict new ones. Leave out rows, or fit with pooling='partial'."
        )
    refuse_not_normal(model, "groups cannot be left out. Leave out rows.")
    for each in model.spec.uncertain:
        raise SpecError(
            f"{each.name}: its values are not all known, so that groups cannot be left "
            "out. Leave out rows."
        )
    for term in model.spec.special_terms:
        raise SpecError(
            f"{term}: {term.coefficients} cannot be integrated out, so that groups "
            "cannot be left out. Leave out rows."
        )


def refuse_not_normal(model: PreparedModel, so: str) -> None:
    """Refuse groups whose coefficients are not normal about their means.

    Parameters
    ----------
    model
        The model.
    so
        What then cannot be done, and what to do.
    """
    for factor in model.design.factors:
        if not factor.is_normal:
            raise SpecError(
                f"the coefficients of {quote(factor.factor)} have the population "
                f"{quote(factor.population)}, over which likelihoods are not "
                f"integrated, so that {so}"
            )


def group_log_likelihood(
    fit: FitResult, factor: str | None = None, *, groups: Indices | None = None
) -> Array:
    """Return the log likelihood of groups given the population, at each draw.

    The coefficients of a group, and of factors that are nested in it, are integrated
    out: in closed form for gaussian rows, by adaptive quadrature for others. The
    coefficients of crossed factors and the residual scales of groups are those of the
    draw.

    Parameters
    ----------
    fit
        A fit with complete or partial pooling.
    factor
        The grouping factor; by default the first.
    groups
        The groups, counted from 0; by default all.

    Returns
    -------
    numpy.ndarray
        Shape ``(S, groups)``, draws chain by chain.

    Raises
    ------
    SpecError
        If there is no such factor, or its groups have no population (no pooling).
    """
    units = grouping(fit.model, factor)
    chosen = range(len(units.labels)) if groups is None else groups
    inside = _Inside.of(fit, units)
    rows = units.rows
    return np.stack([inside.log_likelihood(rows[group]) for group in chosen], axis=-1)


def new_group_predictors(
    fit: FitResult, units: Grouping, rng: np.random.Generator
) -> Callable[[Indices, Indices], Array]:
    """Return a function that predicts the rows of a group as if it were new.

    Parameters
    ----------
    fit, units
        A fit, and its groups.
    rng
        The random number generator, which draws the group's coefficients from the
        population, once for each posterior draw.

    Returns
    -------
    callable
        A function of the rows of one group, and of the posterior draws to use, that
        returns linear predictors of shape ``(draws, rows)``, with one more axis for
        categories.
    """
    inside = _Inside.of(fit, units)

    def predictors(rows: Indices, draws: Indices) -> Array:
        Z, chol, mean, _ = inside.effects(rows)
        z = rng.standard_normal((len(draws), chol.shape[1], 1))
        u = mean[draws] + (chol[draws] @ z)[..., 0]
        deviations = np.einsum("n...d,sd->sn...", Z, u)
        return np.asarray(inside.outside.eta(rows)[draws] + deviations)

    return predictors


@dataclass(frozen=True, eq=False)
class _Inside:
    """The coefficients that belong to a single group of a factor, and all others.

    Attributes
    ----------
    predictors
        The linear predictor of the fit.
    outside
        The linear predictor without the factors whose coefficients are integrated out.
    factors
        Those factors, as positions in the design.
    """

    predictors: LinearPredictor
    outside: LinearPredictor
    factors: tuple[int, ...]

    @classmethod
    def of(cls, fit: FitResult, units: Grouping) -> _Inside:
        model, everything = fit.model, linear_predictor_of(fit)
        check_population(model)
        design = model.design
        _refuse_subjects_of_several(design, units)
        factors = tuple(
            number
            for number, factor in enumerate(design.factors)
            if _is_nested(factor, units)
        )
        return cls(everything, everything.without(factors), factors)

    def log_likelihood(self, rows: Indices) -> Array:
        """Integrate the coefficients of one group out of the likelihood of its rows."""
        spec, some = self.predictors.model.spec, self.predictors.design.take(rows)
        eta, parameters = self.outside.eta(rows), self.outside.parameters(rows)
        if not self.factors:
            own = rows_given_earlier(self.outside, rows)
            return np.asarray(log_likelihood(spec, *own).sum(axis=-1))
        Z, chol, mean, start = self.effects(rows)
        eta = eta + np.einsum("n...d,sd->sn...", Z, mean)
        if is_gaussian(some, spec.family, spec.link_name):
            variance = spread(some, parameters) ** 2
            return gaussian_log_likelihood(some.y - eta, variance, Z, chol)
        return integrated_log_likelihood(
            lambda at: log_likelihood(spec, some, at, parameters),
            eta,
            Z,
            chol,
            step=STEP * spread(some, parameters),
            start=start - mean,
        )

    def effects(self, rows: Indices) -> tuple[Array, Array, Array, Array]:
        """Return predictors, Cholesky factors, means and draws of a group's deviations.

        Their shapes are ``(n, D)`` (for categories ``(n, C, D)``), ``(S, D, D)``, and
        twice ``(S, D)``. Means and covariances are given what the group has of other
        parameters, with which an id correlates them.
        """
        parts = [part for number in self.factors for part in self._parts(number, rows)]
        draws, predictors = self.predictors.coefficients.alpha.shape
        shape = (
            (len(rows), predictors) if self.predictors.is_categorical else (len(rows),)
        )
        widths = [Z.shape[-1] for Z, *_ in parts]
        chol = np.zeros((draws, sum(widths), sum(widths)))
        ends = np.cumsum(widths)
        for (_, own, _, _), end, width in zip(parts, ends, widths, strict=True):
            chol[:, end - width : end, end - width : end] = own
        none, of_draws = np.zeros((*shape, 0)), np.zeros((draws, 0))
        return (
            np.concatenate([none, *(Z for Z, *_ in parts)], axis=-1),
            chol,
            np.concatenate([of_draws, *(mean for _, _, mean, _ in parts)], axis=1),
            np.concatenate([of_draws, *(u for *_, u in parts)], axis=1),
        )

    def _parts(
        self, number: int, rows: Indices
    ) -> Iterator[tuple[Array, Array, Array, Array]]:
        factor = self.predictors.design.factors[number]
        own = self.predictors.coefficients.factors[number]
        index, z = factor.index[rows], factor.Z[rows]
        for group in np.unique(index):
            at = np.array([group])
            mean, chol = self.predictors.given_others(
                number, partial(self._of_other, at)
            )
            start = own.deviations(at)[:, 0]
            own_z = z * (index == group)[:, None]
            if self.predictors.is_categorical:
                own_z = np.kron(np.eye(start.shape[1]), own_z[:, None])
            yield own_z, chol, mean, start.reshape(len(start), -1)

    def _of_other(self, group: Indices, part: Part) -> Array:
        """Return the deviations of a group of another parameter, ``(S, Q)``."""
        drawn = self.predictors.coefficients_of(part.parameter).factors[part.number]
        u = drawn.deviations(group)
        return u.reshape(len(u), -1)


def _refuse_subjects_of_several(design: Design, units: Grouping) -> None:
    """Refuse units that part the rows of subjects, whose residuals are correlated."""
    own = design.residual_correlation
    if own is None:
        return
    unit_of = np.zeros(len(own.labels), dtype=np.int64)
    unit_of[own.index] = units.index
    apart = np.flatnonzero(unit_of[own.index] != units.index)
    if apart.size:
        raise SpecError(
            f"factor={quote(units.factor)} parts the rows of "
            f"{quote(own.labels[own.index[apart[0]]])} of {quote(own.stated.name)}, "
            "whose residuals are correlated. Leave out rows."
        )


def _is_nested(factor: FactorDesign, units: Grouping) -> bool:
    """Whether each of a factor's groups has its rows in one unit."""
    if not factor.is_independent:
        return False
    unit_of = np.zeros(len(factor.labels), dtype=np.int64)
    unit_of[factor.index] = units.index
    return bool(np.array_equal(unit_of[factor.index], units.index))


def is_gaussian(design: Design, family: str, link: str) -> bool:
    """Whether the rows are gaussian around their linear predictor.

    Unlike in ``ModelSpec.is_linear_gaussian``, there may be offsets, which are known.
    """
    parts: tuple[object, ...] = (design.weights, design.censored, design.lower)
    parts += (design.upper, design.residual_correlation)
    is_gaussian = FAMILIES[family].is_gaussian and link == "identity"
    return is_gaussian and all(part is None for part in parts)


def spread(design: Design, parameters: dict[str, Array]) -> Any:
    """Return the residual scale of rows, estimated or known; 1 if there is none."""
    sigma = parameters.get("sigma")
    if design.se is None:
        return 1.0 if sigma is None else sigma
    return design.se[None] if sigma is None else np.hypot(sigma, design.se)
