"""A description of what was chosen for a model and done with its data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from stanpool.base.errors import quote, quote_list
from stanpool.data.compression.cells import AggregatedRows
from stanpool.data.compression.crossproducts import (
    Crossproducts,
    work_of_integration,
)
from stanpool.data.compression.gaussian_rows import CompressedRows
from stanpool.data.compression.integrated_rows import MarginalRows
from stanpool.data.design.centers import uncentering_matrix
from stanpool.data.design.covariance.neighbours import Neighbours
from stanpool.data.design.design import FactorDesign
from stanpool.data.design.outcome import said_of_gaps, said_of_success
from stanpool.data.design.predictors.latent_factors import LatentDesign
from stanpool.data.design.predictors.tensor_factors import TensorDesign
from stanpool.data.design.predictors.uncertain import UncertainDesign
from stanpool.data.matrix.smooths.monotonic import Monotonic
from stanpool.engine.values.settings import SampleSettings
from stanpool.language.family import FAMILIES
from stanpool.language.formulas.formula import unquote_name
from stanpool.language.formulas.structures import STRUCTURES
from stanpool.language.model_spec import GroupTerm
from stanpool.model.prepared_model import PreparedModel
from stanpool.model.priors.in_force import SET_BY_USER, list_centers
from stanpool.model.program.annotation import reduced
from stanpool.model.program.population_means import holders_of_means
from stanpool.model.terms.names import GroupNames
from stanpool.sampling.choose_engine import choose_engine
from stanpool.sampling.settings import (
    ADAPT_DELTA,
    default_adapt_delta,
    default_warmup,
)

_MOST = 10  # priors, and reference levels, that are listed
_OF_NEIGHBOURS = {
    "icar": (
        "intrinsic CAR",
        "deviations have the sum 0, and are scaled so that tau is the geometric mean "
        "of their standard deviations",
    ),
    "bym2": (
        "BYM2",
        "tau is the geometric mean of the standard deviations of deviations that are "
        "all due to neighbours, and the standard deviation of those that are all "
        "independent; rho is the share of the variance that is due to neighbours",
    ),
    "car": (
        "CAR of Leroux",
        "deviations have the sum 0, and a precision that is rho times that of the "
        "intrinsic CAR, of which tau is the geometric mean of the standard deviations, "
        "and 1 - rho times that of independent deviations",
    ),
}


def explain(model: PreparedModel) -> str:
    """Return a text that says what was chosen for the model, and why.

    Examples
    --------
    >>> import stanpool as sp
    >>> model = sp.Model("log_radon ~ floor + (1 | county)",
    ...                  sp.load_dataset("radon"), parameterization="marginal")
    >>> print(model.explain())  # doctest: +ELLIPSIS
    Model('log_radon ~ 1 + floor + (1 | county)', gaussian, partial pooling, \
marginal, 919 rows, 85 groups)
    parameterization: marginal (as requested)
    integrated out: the coefficients of 85 groups of 'county' are integrated out of \
the likelihood analytically; for each posterior draw of the other parameters they are \
drawn from their exact conditional posterior
    rows: 919 are reduced to 49 by a QR decomposition; the likelihood is the same
    priors: Intercept ~ normal(1.22, 2.13), beta[floor] ~ normal(0, 5.72), \
tau_county[Intercept] ~ exponential(1.17), sigma ~ exponential(1.17); all are \
defaults; model.priors gives the reasons
    sampling: 4 chains of 500 warm-up iterations and 1,000 draws, unless fit() is told \
otherwise; chains start around a normal approximation of the posterior, and its \
variances set their first mass matrix
    engine: ...
    """
    lines = [repr(model), *_form(model), *_data(model), *_coefficients(model)]
    lines += [
        *_terms(model),
        *_residuals(model),
        *_processes(model),
        *_monotonic_effects(model),
        *_unknown_values(model),
        *_latent_factors(model),
        *_rows(model),
        _priors(model),
        *_restrictions(model),
    ]
    lines += _sampler(model)
    return "\n".join(lines)


def _form(model: PreparedModel) -> Iterator[str]:
    """Say which form was chosen, and which predictors are centered."""
    if model.parameterization:
        reason = model.parameterization_reason
        yield f"parameterization: {model.parameterization} ({reason})"
    if model.design.has_centers:
        centers = {
            label: center
            for own in model.design.predictors
            for label, center in own.centers
        }
        yield (
            f"centers of predictors: {list_centers(centers)}. The "
            "Stan program subtracts them, because 0 is far from the values in the "
            "data. Estimates are reported for the predictors as they are in the data; "
            "model.priors says which priors refer to centered predictors, and the "
            "comment above model.stan_code whether they are also divided by a number"
        )


def _data(model: PreparedModel) -> Iterator[str]:
    """Say how the outcome was read, and what was left out."""
    success = said_of_success(model.spec, model.data)
    if success:
        yield f"outcome: {success}"
    if FAMILIES[model.spec.family].outcome == "ordered" and model.chunks is None:
        named = unquote_name(model.spec.outcome)
        gaps = said_of_gaps(model.design.categories, model.data[named])
        if gaps:
            yield f"outcome: {gaps}"
    if model.spec.is_categorical:
        first = quote(model.design.categories[0])
        yield f"outcome: each other category has log odds against {first}, the first"
    if model.unused_levels:
        yield f"left out: levels without rows, {_listed(model.unused_levels)}"
    for each in model.design.said_of_left_out():
        yield f"left out: {each}"


def _coefficients(model: PreparedModel) -> Iterator[str]:
    """Say what the coefficients of factors and of groups mean."""
    encodings = model.design.encodings
    references = {} if encodings is None else encodings.population.reference_levels
    if references:
        yield (
            "reference levels: "
            + ", ".join(
                f"{quote(level)} of {quote(name)}"
                for name, level in list(references.items())[:_MOST]
            )
            + _and_more(len(references) - _MOST)
            + "; coefficients of other levels are differences from these"
        )
    for number, factor in enumerate(model.design.factors):
        for label, holder in holders_of_means(model.design, number).items():
            first = quote(model.design.factors[holder].factor)
            yield (
                f"population: its coefficient {quote(label)} is part of the "
                f"coefficients of {first}, and not of those of {quote(factor.factor)}"
            )
    for own in model.design.predictors:
        for factor in own.factors:
            if uncentering_matrix(factor, dict(own.centers)) is None:
                continue
            yield (
                f"coefficients of {quote(factor.factor)} are uncorrelated where "
                "predictors are 0, which is far from the data; write center(x) in the "
                "formula to make them uncorrelated at the predictors' means"
            )


def _terms(model: PreparedModel) -> Iterator[str]:
    """Say what the group terms mean, and how they are written."""
    if isinstance(model.rows, MarginalRows):
        factors = [model.design.factors[number] for number in model.rows.integrated]
        groups = " and ".join(
            f"{len(factor.labels)} groups of {quote(factor.factor)}"
            for factor in factors
        )
        yield (
            f"integrated out: the coefficients of {groups} are integrated out of the "
            "likelihood analytically; for each posterior draw of the other parameters "
            "they are drawn from their exact conditional posterior"
        )
    for each in model.spec.groups if model.spec.pooling != "complete" else ():
        if each.membership:
            what = "subpopulation" if each.by else "multiple membership"
            yield f"{what}: the linear predictor of a row contains {each.of_a_row}"
    for factor in model.design.factors:
        if factor.root is not None:
            yield _known_covariance(model, factor)
    yield from _populations(model)
    residual = model.design.residual
    if residual is not None:
        yield (
            f"residual scales: each of {len(residual.labels)} groups of "
            f"{quote(residual.factor)} has its own, from a lognormal population whose "
            "median is sigma; they are sampled, noncentered"
        )
    for factor in model.design.factors:
        if len(factor.labels) == model.design.rows and factor.sizes.all():
            yield (
                f"effects of rows: each row is a group of its own of "
                f"{quote(factor.factor)}, so that its effect stands for what varies "
                "between rows beyond the distribution of the outcome (overdispersion)"
            )
    for factor, centering in zip(model.design.factors, model.centering, strict=False):
        if factor.has_forms:
            yield centering.describe(factor)


def _populations(model: PreparedModel) -> Iterator[str]:
    """Say which populations of groups are not normal, and what their scale means."""
    said = {
        "student_t": "a Student-t population with the degrees of freedom {nu}; tau is "
        "its scale, and its standard deviation tau * sqrt({nu} / ({nu} - 2))",
        "laplace": "a Laplace population, whose standard deviation is tau",
    }
    for own in model.design.predictors:
        for factor in own.factors:
            if not factor.is_normal:
                nu = GroupNames.of(factor.factor, own.parameter).nu
                yield (
                    f"population: the coefficients of {quote(factor.factor)} have "
                    f"{said[factor.population].format(nu=nu)}; they are sampled, "
                    "noncentered, since they cannot be integrated out"
                )


def _known_covariance(model: PreparedModel, factor: FactorDesign) -> str:
    """Say which groups have a known covariance, and what their scale means."""
    terms = {term.factor: term for term in model.spec.all_groups}
    term = terms[factor.factor]
    if term.is_of_times:
        is_walk = STRUCTURES[term.structure].order
        return _walk(model, factor, term) if is_walk else _autoregression(factor, term)
    known = dict(model.spec.covariances)[term.covariance]
    if isinstance(known, Neighbours):
        return _neighbours(model, factor, known, term.structure)
    empty = int((factor.sizes == 0).sum())
    scales = np.sqrt(factor.variances_of_groups)
    return (
        f"known covariance: {empty} of the {len(factor.labels)} groups of "
        f"{quote(factor.factor)} have no rows and are predicted from the others; tau "
        "is the standard deviation of a group whose variance in the covariance is 1, "
        f"and the groups have standard deviations from {scales.min():.3g} tau to "
        f"{scales.max():.3g} tau"
    )


def _walk(model: PreparedModel, factor: FactorDesign, term: GroupTerm) -> str:
    """Say what a random walk is, and what a gradient costs."""
    column, series, order = quote(term.key[-1]), "", ""
    change = "change in one unit of time"
    zero = "the mean 0 over the times with rows, so that the intercept is the level"
    if STRUCTURES[term.structure].order == 2:
        order, change = "second-order ", "change of the slope in one unit of time"
        zero = (
            "neither a level nor a straight line over the times with rows, as these "
            f"are the population's: the coefficient of {column} is their slope"
        )
    if term.key[:-1]:
        own = ":".join(term.key[:-1])
        series = f", a walk for each level of {quote(own)} with a common tau"
        zero += f"; levels of the series are not in it, and (1 | {own}) has them"
    empty = int((factor.sizes == 0).sum())
    return (
        f"{order}random walk: {len(factor.labels)} times of {quote(factor.factor)}"
        f"{series}, of which {empty} have no rows and are predicted from the others; "
        f"tau is the standard deviation of the {change}, and deviations have {zero}; "
        f"{_cost(model, factor)}"
    )


def _cost(model: PreparedModel, factor: FactorDesign) -> str:
    """Say how deviations with a known covariance are computed."""
    if isinstance(model.rows, MarginalRows):
        return (
            "they are integrated out, since the rows can be rotated into those of "
            "independent groups"
        )
    assert factor.root is not None
    numbers = len(factor.labels) * factor.root.columns
    return f"a gradient takes {numbers:,} multiplications for them"


def _autoregression(factor: FactorDesign, term: GroupTerm) -> str:
    """Say what an autoregression is, and that it is sampled."""
    own = ":".join(term.key[:-1])
    series = f", a series for each level of {quote(own)} with common tau and rho"
    return (
        f"autoregression: {len(factor.labels)} times of {quote(factor.factor)}"
        f"{series if own else ''}; tau is the standard deviation at each time, and the "
        "correlation of two times is rho to the power of the time between; rho is "
        "estimated, so that deviations are sampled and not integrated out"
    )


def _neighbours(
    model: PreparedModel, factor: FactorDesign, known: Neighbours, structure: str
) -> str:
    """Say what neighbours make of regions, and what a gradient costs."""
    empty = int((factor.sizes == 0).sum())
    parts = len(known.components) - len(known.islands)
    islands = (
        f"; {quote_list(known.islands)} have no neighbours, and independent deviations"
        if known.islands
        else ""
    )
    name, what = _OF_NEIGHBOURS[structure]
    return (
        f"{name}: {len(factor.labels)} regions of {quote(factor.factor)} with "
        f"{len(known.pairs)} pairs of neighbours in {parts} connected component(s), in "
        f"each of which {what}{islands}; {empty} regions have no rows and are "
        f"predicted from their neighbours; {_cost(model, factor)}"
    )


def _rows(model: PreparedModel) -> Iterator[str]:
    """Say how the rows were read and reduced."""
    if model.chunks is not None:
        yield f"data: read in chunks from {model.chunks.named}; the rows are not kept"
    if isinstance(model.rows, AggregatedRows):
        yield (
            f"rows: {model.design.rows} are aggregated into {model.rows.kept}, one for "
            "each combination of predictors and groups; the likelihood is the same"
        )
    elif model.rows is not None:
        yield (
            f"rows: {model.design.rows} are {reduced(model.design, model.rows)}; the "
            "likelihood is the same"
        )
    if model.structure.decoupled and not model.structure.has_slopes_of_z:
        yield (
            "population: its predictors are correlated, and its coefficients are "
            "sampled by combinations that are not, by the pilot estimate of their "
            "covariance matrix; the model is the same"
        )
    elif model.structure.decoupled:
        yield (
            "population: its coefficients are standardized, and those of crossed "
            "groups are sampled as deviations from their regression on these, at the "
            "pilot estimate of the scales; the model is the same"
        )
    if isinstance(model.rows, Crossproducts):
        yield (
            f"work: a gradient takes about {model.rows.kept:,} multiplications for the "
            "likelihood; it would take about "
            f"{work_of_integration(model.design):,.0f} if all coefficients were "
            "integrated out, the groups of the largest factor first"
        )


def _residuals(model: PreparedModel) -> Iterator[str]:
    """Say how residuals are correlated, and that rows are not independent."""
    own = model.design.residual_correlation
    if own is None:
        return
    counts = sorted({*own.sizes[own.sizes > 0].tolist()})
    rows = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
    how = (
        f"residual_rho to the power of the time between them, {quote(own.stated.time)}"
        if own.kind.is_of_times
        else "residual_rho"
    )
    yield (
        f"residuals: {len(own.labels)} levels of {quote(own.stated.name)} have {rows} "
        f"rows each, whose residuals have the correlation {how}. The rows of a level "
        "are one joint observation, and given the parameters independent of others"
    )


def _processes(model: PreparedModel) -> Iterator[str]:
    """Say how Gaussian processes are approximated and sampled."""
    for own in model.design.predictors:
        for each in own.processes:
            assert each.spectrum is not None
            axes = [
                f"{axis.k} functions of {axis.name} from "
                f"{axis.center - axis.boundary:.3g} to "
                f"{axis.center + axis.boundary:.3g} show length scales down to "
                f"{axis.shortest(each.spectrum.covariance):.3g}"
                for axis in each.spectrum.axes
            ]
            yield (
                f"Gaussian process: {each.name} with the covariance function "
                f"{each.spectrum.covariance}; {', and '.join(axes)}; its coefficients "
                "are sampled noncentered, divided by standard deviations that depend "
                "on the length scale"
            )


def _monotonic_effects(model: PreparedModel) -> Iterator[str]:
    """Say what monotonic effects are made of."""
    built = model.design.built_smooths.values()
    for each in (x for x in built if isinstance(x, Monotonic)):
        yield (
            f"monotonic effect: {each.name}, from {' < '.join(map(str, each.levels))}; "
            f"beta[{each.name}] is the mean of the {len(each.levels) - 1} steps, and "
            "steps are their shares"
        )


def _unknown_values(model: PreparedModel) -> Iterator[str]:
    """Say how many values of predictors are not known, and what is done with them."""
    for term in model.design.special:
        if isinstance(term, UncertainDesign):
            how = "integrated out, and drawn after the fit"
            how = how if term.is_integrated else "sampled"
            counts = term.is_unknown.sum(axis=0).tolist()
            for each, count in zip(term.predictors, counts, strict=True):
                yield (
                    f"unknown values: {count:,} of {each.name}, which are {how}; they "
                    f"are {each.variable} in the posterior"
                )


def _latent_factors(model: PreparedModel) -> Iterator[str]:
    """Say what is determined of latent factors, and where their means are 0."""
    for term in model.design.special:
        if isinstance(term, TensorDesign):
            yield (
                "latent factors: of all orders and signs with the same products, draws "
                "have those that are nearest to an estimate"
            )
            if not term.is_unique:
                yield (
                    f"latent factors: {term.rank} factors of so few levels are not "
                    "determined by their products (Kruskal's condition), and only "
                    "these can be interpreted; lower the rank for others"
                )
        if isinstance(term, LatentDesign) and term.means is not None:
            labels = quote_list(term.means.labels)
            yield (
                f"predictors of latent factors: {labels}; beta_factors are their "
                "coefficients, and where all are at their means over the levels, a new "
                "level has 0 on average"
            )


def _priors(model: PreparedModel) -> str:
    """Write the priors in force, at most ten, and say which of them the user set."""
    rows = list(model.priors)
    stated = [f"{row.parameter} ~ {row.prior}" for row in rows[:_MOST]]
    own = [row.parameter for row in rows if row.source == SET_BY_USER]
    if not own:
        whose = "all are defaults"
    elif len(own) == len(rows):
        whose = "all are set by the user"
    else:
        listed = ", ".join(own[:_MOST]) + _and_more(len(own) - _MOST)
        whose = f"the user set {listed}, and the others are defaults"
    return (
        f"priors: {', '.join(stated)}{_and_more(len(rows) - _MOST)}; {whose}; "
        "model.priors gives the reasons"
    )


def _restrictions(model: PreparedModel) -> Iterator[str]:
    """Say which parameters are constants, and which have bounds."""
    constants = [row for row in model.priors if row.prior.is_constant]
    if constants:
        listed = [f"{x.parameter} = {x.prior.arguments[0]:g}" for x in constants]
        yield (
            f"constants: {', '.join(listed[:_MOST])}{_and_more(len(listed) - _MOST)}; "
            "they are not estimated"
        )
    classes = {"Intercept", "beta"}
    classes |= {
        f"{x}_{own.parameter}" for x in classes for own in model.design.formulas
    }
    bounded = [
        f"{row.parameter} in ({row.prior.bounds[0]:g}, {row.prior.bounds[1]:g})"
        for row in model.priors
        if row.parameter_class in classes and row.prior.is_bounded
    ]
    if bounded:
        is_reduced = isinstance(model.rows, CompressedRows | MarginalRows)
        yield (
            f"bounds: {', '.join(bounded[:_MOST])}{_and_more(len(bounded) - _MOST)}; "
            "these are sampled as they are and not in combination with others"
            + "; the QR decomposition is of the rows and not of coefficients"
            * is_reduced
        )


def _sampler(model: PreparedModel) -> Iterator[str]:
    """Say with which settings ``fit`` samples by default, and which engine."""
    warmup = default_warmup(model)
    start = ""
    if warmup < default_warmup(model, inits="random"):
        start = (
            "; chains start around a normal approximation of the posterior, and its "
            "variances set their first mass matrix"
        )
    settings = SampleSettings(seed=0, warmup=warmup)
    yield (
        f"sampling: {settings.chains} chains of {warmup:,} warm-up iterations and "
        f"{settings.draws:,} draws, unless fit() is told otherwise{start}"
    )
    target, reason = default_adapt_delta(model)
    if reason:
        yield (
            f"target acceptance rate: {target} instead of {ADAPT_DELTA}, because "
            f"{reason}"
        )
    # settings_of would refuse draws that do not fit into memory; none are made here.
    settings = replace(settings, adapt_delta=target)
    choice = choose_engine(model.program, model.stan_data(), settings)
    yield f"engine: {choice.name}, {choice.reason}"


def _listed(levels: Iterable[tuple[str, Iterable[str]]]) -> str:
    """List levels with their columns, at most five."""
    each = [f"{quote(level)} of {quote(name)}" for name, own in levels for level in own]
    return ", ".join(each[:5]) + _and_more(len(each) - 5)


def _and_more(count: int) -> str:
    """Say how many more there are, if any."""
    return f" and {count:,} more" if count > 0 else ""
