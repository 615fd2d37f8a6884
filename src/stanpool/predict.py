"""From draws and rows to linear predictors, expectations, outcomes, log likelihoods.

Nothing of the size draws x rows is kept but what is returned: all is computed in chunks
of rows. What is returned may still be large; ``predict_table`` and ``log_lik_chunks``
return a few numbers for each row, or a few rows at a time.

A hierarchical model is read in two ways, and both are here. With ``groups="fitted"``
the rows belong to the groups that were fitted: their coefficients are those of the
posterior. With ``groups="redrawn"`` the groups are missing data: each draw of the
population draws them anew, as if other groups had been sampled.

References
----------
.. [1] Gelman and Hill (2007). Data Analysis Using Regression and Multilevel/
   Hierarchical Models, section 12.8: predicting in new and existing groups.
.. [2] Gelman, Meng and Stern (1996). Posterior predictive assessment of model fitness
   via realized discrepancies. Statistica Sinica 6, 733-807: which of the two readings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.coefficients import (
    Coefficients,
    cholesky_of_population,
    coefficients,
    flat,
)
from stanpool.errors import DataError, SpecError, listed, shorten, suggestion
from stanpool.families import draw_outcomes, family_functions, log_likelihood
from stanpool.intervals import describe, interval_levels
from stanpool.newdata import PARTS, new_design
from stanpool.posterior import GroupNames
from stanpool.spec import FAMILIES

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.design import Design, FactorDesign
    from stanpool.fit import Fit, Model

Array = np.ndarray
GroupTerms = Sequence[str] | Mapping[str, Sequence[str]]

CHUNK = 2**21  # numbers: 16 MB of draws x rows
LARGEST = 2**28  # numbers: 2 GB

NEW_GROUPS = ("error", "population", "resample", "zero")
READINGS = ("fitted", "redrawn")
_OF_SCALES = 2**20  # no factor has this number


def linpred(
    fit: Fit,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    seed: int | None = None,
) -> xr.DataArray:
    """Return the linear predictor of each row, with offsets.

    Parameters
    ----------
    fit
        A fit.
    data
        New rows, as a data frame or a mapping of columns; by default the fitted ones.
    draws
        How many posterior draws to use, evenly spaced, as many of each chain; all by
        default.
    group_terms
        Which grouping factors enter, such as ``["county"]``, or which coefficients of
        which, such as ``{"county": ["Intercept"]}``, where ``"sigma"`` stands for
        residual scales. All by default; ``[]`` is the population alone.
    groups
        ``"fitted"``: rows of fitted groups have the coefficients of these;
        ``"redrawn"``: all groups are drawn anew from the population.
    new_groups
        What to do about groups that the model has not seen. ``"error"``: refuse them;
        ``"population"``: draw their coefficients from the population, once for each
        group and posterior draw; ``"resample"``: take those of a fitted group, drawn at
        random for each group and posterior draw; ``"zero"``: take the population's
        mean, an average group. Group-level predictors count in all.
    seed
        Of what is drawn at random.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(chain, draw, row)``, and ``category`` for categorical outcomes.

    Raises
    ------
    DataError
        If new rows do not fit the model: see ``stanpool.newdata``.
    SpecError
        If an option is not one of its choices, has no meaning under the model's
        pooling, or the result is too large.
    """
    source = _source(fit, data, draws, group_terms, groups, new_groups, seed)
    return _collected("linpred", source)


def epred(
    fit: Fit,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    seed: int | None = None,
) -> xr.DataArray:
    """Return the expected outcome of each row, without the scatter of outcomes.

    Of outcomes as they are, before any censoring or truncation; for ordinal and
    categorical ones the probability of each category.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, seed
        As for ``linpred``.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(chain, draw, row)``, and ``category``.
    """
    source = _source(
        fit, data, draws, group_terms, groups, new_groups, seed, _KINDS["epred"].parts
    )
    return _collected("epred", source)


def predict(
    fit: Fit,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    seed: int | None = None,
) -> xr.DataArray:
    """Draw an outcome of each row at each posterior draw.

    Outcomes lie between the bounds of truncation, and are not censored.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, seed
        As for ``linpred``.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(chain, draw, row)``; categories by their names.
    """
    source = _source(
        fit, data, draws, group_terms, groups, new_groups, seed, _KINDS["predict"].parts
    )
    return _collected("predict", source)


def predict_table(
    fit: Fit,
    data: Any = None,
    *,
    kind: str = "predict",
    prob: float = 0.9,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    seed: int | None = None,
) -> pd.DataFrame:
    """Summarize predictions in one line for each row, whatever their number.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, seed
        As for ``linpred``.
    kind
        ``"predict"``, ``"epred"`` or ``"linpred"``.
    prob
        Probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        Columns ``mean``, ``sd``, ``median`` and the interval, such as ``q5`` and
        ``q95``; for categories their probabilities, a column each. Rows as in ``data``.
    """
    import pandas as pd

    if kind not in _KINDS:
        raise SpecError(
            f"kind={shorten(kind)} is not one of {listed(_KINDS)}."
            + suggestion(str(kind), _KINDS)
        )
    source = _source(
        fit, data, draws, group_terms, groups, new_groups, seed, _KINDS[kind].parts
    )
    interval_levels(prob)  # refuse a wrong one before the work
    index = data.index if isinstance(data, pd.DataFrame) else None
    categories = source.design.categories
    if categories and kind != "linpred":
        blocks = [each.mean(axis=0) for _, each in _blocks("epred", source)]
        return pd.DataFrame(np.concatenate(blocks), index=index, columns=[*categories])
    if source.is_categorical:
        raise SpecError(
            "kind='linpred' has a linear predictor for each category, and no table; "
            "use linpred, or kind='epred'."
        )
    tables = [describe(each, prob) for _, each in _blocks(kind, source)]
    return pd.DataFrame(
        {name: np.concatenate([table[name] for table in tables]) for name in tables[0]},
        index=index,
    )


def log_lik(
    fit: Fit,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    seed: int | None = None,
) -> xr.DataArray:
    """Return the log likelihood of each row at each draw.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, seed
        As for ``linpred``; new rows need an outcome.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(chain, draw, row)``; for many rows see ``log_lik_chunks``.
    """
    source = _source(fit, data, draws, group_terms, groups, new_groups, seed, PARTS)
    return _collected("log_lik", source)


def log_lik_chunks(
    fit: Fit,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    seed: int | None = None,
) -> Iterator[tuple[slice, Array]]:
    """Yield the log likelihood of a few rows at a time, at all draws.

    Whoever needs a number per row, such as its expected log density, never holds more
    than some 16 MB of log likelihoods.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, seed
        As for ``log_lik``.

    Yields
    ------
    slice, numpy.ndarray
        Which rows, and their log likelihoods: shape ``(chain, draw, rows)``.
    """
    source = _source(fit, data, draws, group_terms, groups, new_groups, seed, PARTS)
    for rows, values in _blocks("log_lik", source):
        yield rows, values.reshape(*source.shape, -1)


@dataclass(frozen=True, eq=False)
class _Source:
    """What predictions of rows are computed from.

    Attributes
    ----------
    model
        The fitted model.
    design
        The rows, with the chosen factors only; places beyond the model's own groups
        are new ones.
    numbers
        Which factors of the model these are.
    posterior, coefficients
        The chosen draws.
    new_groups
        How coefficients of new groups come about.
    seed
        Of new groups and outcomes.
    """

    model: Model
    design: Design
    numbers: tuple[int, ...]
    posterior: xr.Dataset
    coefficients: Coefficients
    new_groups: str
    seed: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.posterior.sizes["chain"], self.posterior.sizes["draw"]

    @property
    def is_categorical(self) -> bool:
        return FAMILIES[self.model.spec.family].outcome == "categories"


def _source(
    fit: Fit,
    data: Any,
    draws: int | None,
    group_terms: GroupTerms | None,
    groups: str,
    new_groups: str,
    seed: int | None,
    parts: Sequence[str] = (),
) -> _Source:
    """Check the options and gather what predictions are computed from."""
    for option, given, known in (
        ("groups", groups, READINGS),
        ("new_groups", new_groups, NEW_GROUPS),
    ):
        if given not in known:
            raise SpecError(
                f"{option}={shorten(given)} is not one of {listed(known)}."
                + suggestion(str(given), known)
            )
    model = fit.model
    chosen, own_scales = _chosen_terms(model, group_terms)
    if data is None:
        design = model.design
        design = replace(design, factors=tuple(design.factors[n] for n in chosen))
    else:
        # Of the means only the lognormal's depends on the residual scale.
        own_scales &= "se" in parts or model.spec.family == "lognormal"
        wanted = [part for part in parts if own_scales or part != "residual"]
        design = new_design(model, data, factors=list(chosen), parts=wanted)
    if not own_scales:
        design = replace(design, residual=None)
    factors = zip(design.factors, chosen.values(), strict=True)
    design = replace(design, factors=tuple(_masked(*each) for each in factors))
    if groups == "redrawn":
        design = _redrawn(model, design)
        new_groups = "population" if new_groups == "error" else new_groups
    _check_new_groups(model, design, tuple(chosen), new_groups)
    posterior = some_draws(fit.posterior, draws)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    return _Source(
        model=model,
        design=design,
        numbers=tuple(chosen),
        posterior=posterior,
        coefficients=coefficients(model, posterior),
        new_groups=new_groups,
        seed=seed,
    )


def _chosen_terms(
    model: Model, group_terms: GroupTerms | None
) -> tuple[dict[int, Sequence[str]], bool]:
    """Return which coefficients of which factors enter, and whether scales do."""
    factors = model.design.factors
    varying = {each.factor: list(each.varying) for each in factors}
    if model.design.residual is not None:
        varying.setdefault(model.design.residual[0], []).append("sigma")
    if group_terms is None:
        chosen: dict[str, Sequence[str]] = dict(varying)
    elif isinstance(group_terms, Mapping):
        chosen = dict(group_terms)
    elif isinstance(group_terms, str):
        raise SpecError(
            f"group_terms={group_terms!r} is one text; write a list, [{group_terms!r}]."
        )
    else:
        chosen = {name: varying.get(name, ()) for name in group_terms}
    for name, labels in chosen.items():
        if name not in varying:
            raise SpecError(
                f"group_terms has {shorten(name)}, over which nothing varies in "
                f"{model!r}; its grouping factors are {listed(varying) or 'none'}."
                + suggestion(str(name), varying)
            )
        for label in labels:
            if label not in varying[name]:
                raise SpecError(
                    f"group_terms has {shorten(label)}, which does not vary over "
                    f"{shorten(name)}; {listed(varying[name])} do."
                    + suggestion(str(label), varying[name])
                )
    left_out = any(set(varying[name]) - set(chosen.get(name, ())) for name in varying)
    if model.spec.pooling == "none" and left_out:
        raise SpecError(
            f"group_terms={shorten(group_terms)} leaves out coefficients of groups, "
            "and without pooling there is no population to take their place. Fit with "
            "pooling='partial'."
        )
    residual = model.design.residual
    own_scales = residual is not None and "sigma" in chosen.get(residual[0], ())
    return {
        number: chosen[each.factor]
        for number, each in enumerate(factors)
        if set(chosen.get(each.factor, ())) & set(each.varying)
    }, own_scales


def _masked(factor: FactorDesign, labels: Sequence[str]) -> FactorDesign:
    """Leave the coefficients out that do not enter."""
    enters = np.isin(np.array(factor.varying, dtype=object), [*labels])
    return factor if enters.all() else replace(factor, Z=factor.Z * enters)


def _redrawn(model: Model, design: Design) -> Design:
    """Give rows of fitted groups new groups of the same names."""
    factors = []
    for each in design.factors:
        of_fit = next(f for f in model.design.factors if f.factor == each.factor)
        known = of_fit.labels
        factors.append(
            replace(each, labels=known + each.labels, index=each.index + len(known))
        )
    residual = design.residual
    if residual is not None and model.design.residual is not None:
        known = model.design.residual[1]
        residual = (residual[0], known + residual[1], residual[2] + len(known))
    return replace(design, factors=tuple(factors), residual=residual)


def _check_new_groups(
    model: Model, design: Design, numbers: tuple[int, ...], new_groups: str
) -> None:
    """Refuse new groups where they are not wanted or nothing is known of them."""
    sides = [
        (each.factor, each.labels, len(model.design.factors[number].labels), each.index)
        for number, each in zip(numbers, design.factors, strict=True)
    ]
    if design.residual is not None and model.design.residual is not None:
        name, labels, index = design.residual
        sides.append((name, labels, len(model.design.residual[1]), index))
    for factor, labels, known, index in sides:
        new = labels[known:]
        if not new:
            continue
        rows = np.flatnonzero((index >= known).reshape(len(index), -1).any(axis=1))
        met = (
            f"{len(new)} group(s) of {shorten(factor)} that the model has not seen: "
            f"{listed(new)} (rows {listed(rows.tolist())}, counted from 0)"
        )
        if new_groups == "error":
            raise DataError(
                f"the rows have {met}. Pass new_groups='population' to draw them from "
                "the population, 'resample' to take fitted groups in their place, or "
                "'zero' for an average group."
            )
        if model.spec.pooling == "none" and new_groups != "resample":
            raise SpecError(
                f"new_groups={new_groups!r} needs a population, which a model without "
                f"pooling does not have; and the rows have {met}. Fit with "
                "pooling='partial', or pass new_groups='resample' to take fitted "
                "groups in their place."
            )


def some_draws(posterior: xr.Dataset, draws: int | None) -> xr.Dataset:
    """Take evenly spaced draws, as many of each chain."""
    if draws is None:
        return posterior
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise SpecError(f"draws={draws!r} must be a positive whole number, or None.")
    of_chain = posterior.sizes["draw"]
    wanted = min(of_chain, max(1, draws // posterior.sizes["chain"]))
    return posterior.isel(draw=np.arange(wanted) * of_chain // wanted)


@dataclass(frozen=True)
class Rows:
    """Some rows with their predictors at S draws.

    Attributes
    ----------
    model, design
        The fitted model, and the rows' own arrays.
    eta
        Linear predictors with offsets, shape ``(S, rows)``, and one more axis for
        categorical outcomes.
    parameters
        The family's parameters, which broadcast against ``eta``.
    rng
        Where outcomes come from.
    """

    model: Model
    design: Design
    eta: Array
    parameters: Mapping[str, Array]
    rng: np.random.Generator

    @property
    def known(self) -> dict[str, Any]:
        """What a family's mean and variance take besides ``eta``."""
        data = {"trials": self.design.trials, "se": self.design.se}
        given = {name: values for name, values in data.items() if values is not None}
        return dict(self.parameters) | given


def _outcomes(rows: Rows) -> Array:
    """Draw outcomes; categories by their labels."""
    spec = rows.model.spec
    drawn = draw_outcomes(spec, rows.design, rows.rng, rows.eta, rows.parameters)
    categories = rows.design.categories
    return category_labels(categories)[drawn] if categories else drawn


def _expectations(rows: Rows) -> Array:
    """Return expected outcomes."""
    mean = family_functions(rows.model.spec.family, rows.model.spec.link).mean
    return np.asarray(mean(rows.eta, **rows.known))


def _log_likelihoods(rows: Rows) -> Array:
    """Return log likelihoods."""
    spec = rows.model.spec
    return log_likelihood(spec, rows.design, rows.eta, rows.parameters)


@dataclass(frozen=True)
class _Kind:
    """Something that is computed for each row at each draw."""

    compute: Callable[[Rows], Array]
    parts: tuple[str, ...] = ()


_KINDS: Mapping[str, _Kind] = {
    "predict": _Kind(_outcomes, ("trials", "se", "trunc", "residual")),
    "epred": _Kind(_expectations, ("trials", "residual")),
    "linpred": _Kind(lambda rows: rows.eta),
}
_ALL_KINDS = {**_KINDS, "log_lik": _Kind(_log_likelihoods, PARTS)}


def rows_of(
    fit: Fit,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    seed: int | None = None,
) -> Iterator[Rows]:
    """Yield the fitted rows, a few at a time, with predictors at all draws.

    Parameters
    ----------
    fit, draws, group_terms, groups, seed
        As for ``linpred``.
    """
    source = _source(fit, None, draws, group_terms, groups, "error", seed, PARTS)
    for _, rows in _chunks(source):
        yield rows


def _blocks(kind: str, source: _Source) -> Iterator[tuple[slice, Array]]:
    """Yield rows and what is computed for them, shape ``(S, rows, ...)``."""
    compute = _ALL_KINDS[kind].compute
    for place, rows in _chunks(source):
        yield place, compute(rows)


def _chunks(source: _Source) -> Iterator[tuple[slice, Rows]]:
    """Yield some rows at a time, and which they are."""
    parameters = _parameters(source)
    rng = np.random.default_rng([source.seed])
    for rows in _slices(source):
        of_rows = dict(parameters)
        if source.design.residual is not None and "sigma" in parameters:
            of_rows["sigma"] = _own_scales(source, parameters["sigma"], rows)
        design = source.design.take(rows)
        eta = _eta(source, rows)
        yield rows, Rows(source.model, design, eta, of_rows, rng)


def _slices(source: _Source) -> Iterator[slice]:
    """Cut the rows into chunks."""
    draws, predictors, _ = source.coefficients.beta.shape
    widest = max((each.Z.shape[1] for each in source.design.factors), default=1)
    width = max(predictors * widest, len(source.design.categories))
    size = max(1, CHUNK // (draws * width))
    for start in range(0, source.design.rows, size):
        yield slice(start, min(start + size, source.design.rows))


def _eta(source: _Source, rows: slice) -> Array:
    """Return linear predictors with offsets of some rows."""
    found, design = source.coefficients, source.design
    eta = found.alpha[..., None] + found.beta @ design.X[rows].T
    for number, factor in zip(source.numbers, design.factors, strict=True):
        index, z = factor.index[rows], factor.Z[rows]
        if factor.weights is None:
            eta += _group_effects(source, number, index, z)
            continue
        for member in range(index.shape[1]):
            weighted = factor.weights[rows, member, None] * z
            eta += _group_effects(source, number, index[:, member], weighted)
    if design.offset is not None:
        eta += design.offset[rows]
    return np.moveaxis(eta, 1, 2) if source.is_categorical else eta[:, 0]


def _group_effects(source: _Source, number: int, groups: Array, z: Array) -> Array:
    """Return what a factor's deviations do to rows, shape ``(S, D, rows)``."""
    own = source.coefficients.factors[number]
    draws, known, predictors, _ = own.b.shape
    new = np.unique(groups[groups >= known]).tolist()
    if not new:
        return own.effects_on(groups, z)
    effects = np.empty((draws, predictors, len(z)))
    is_known = groups < known
    effects[..., is_known] = own.effects_on(groups[is_known], z[is_known])
    for group in new:
        u, at = _new_deviations(source, number, group), groups == group
        effects[..., at] = u @ z[at].T
    return effects


def _new_deviations(source: _Source, number: int, group: int) -> Array:
    """Return what a new group deviates from its mean, shape ``(S, D, Q)``.

    The same in every chunk of rows, since a group has its own stream of randomness.
    """
    own = source.coefficients.factors[number]
    draws, known, predictors, varying = own.b.shape
    if source.new_groups == "zero":
        return np.zeros((draws, predictors, varying))
    rng = np.random.default_rng([source.seed, number, group])
    if source.new_groups == "resample":
        return own.deviations_at(np.asarray(rng.integers(known, size=draws)))
    chol = cholesky_of_population(source.posterior, source.model.design.factors[number])
    z = rng.standard_normal((draws, chol.shape[1]))
    u = np.einsum("sij,sj->si", chol, z)
    return np.asarray(u.reshape(draws, predictors, varying))


def _own_scales(source: _Source, scales: Array, rows: slice) -> Array:
    """Return the residual scales of the groups of some rows, shape ``(S, rows)``."""
    assert source.design.residual is not None
    groups = source.design.residual[2][rows]
    known = scales.shape[1]
    sigma = scales[:, np.minimum(groups, known - 1)]
    for group in np.unique(groups[groups >= known]).tolist():
        sigma[:, groups == group] = _new_scale(source, scales, group)[:, None]
    return np.asarray(sigma)


def _new_scale(source: _Source, scales: Array, group: int) -> Array:
    """Return the residual scale of a new group, shape ``(S,)``."""
    assert source.design.residual is not None
    rng = np.random.default_rng([source.seed, _OF_SCALES, group])
    draws, known = scales.shape
    if source.new_groups == "resample":
        return np.asarray(scales[np.arange(draws), rng.integers(known, size=draws)])
    middle = flat(source.posterior["sigma"])
    if source.new_groups == "zero":
        return np.asarray(middle)
    names = GroupNames.of(source.design.residual[0])
    spread = flat(source.posterior[names.tau_sigma])
    scale: Array = middle * np.exp(spread * rng.standard_normal(draws))
    return scale


def _parameters(source: _Source) -> dict[str, Array]:
    """Return the family's parameters, ready to meet ``(S, rows)``.

    Residual scales of groups have the shape ``(S, J)``.
    """
    posterior, spec = source.posterior, source.model.spec
    found = {}
    for name in FAMILIES[spec.family].parameters:
        if name == "sigma" and source.design.residual is not None:
            names = GroupNames.of(source.design.residual[0])
            found[name] = flat(posterior[names.sigma])
        elif name in posterior:
            values = flat(posterior[name])
            found[name] = values[:, None]
    return found


def category_labels(categories: Sequence[Any]) -> Array:
    """Return labels as whole numbers where all are, else as text objects."""
    whole = all(isinstance(label, int) for label in categories)
    return np.array(categories, dtype=np.int64 if whole else object)


def _collected(kind: str, source: _Source) -> xr.DataArray:
    """Compute all rows, with labels, or say that it is too much and what to do."""
    import xarray as xr

    draws, rows = source.shape[0] * source.shape[1], source.design.rows
    coords: dict[str, Any] = {
        name: source.posterior[name].to_numpy() for name in ("chain", "draw")
    }
    dims: tuple[str, ...] = ("chain", "draw", "row")
    predicted = source.design.categories[1:] if source.is_categorical else ()
    categories = {"linpred": predicted, "epred": source.design.categories}.get(kind)
    size = draws * rows
    if categories:
        dims += ("category",)
        coords["category"] = category_labels(categories)
        size *= len(categories)
    if size > LARGEST:
        other = "log_lik_chunks" if kind == "log_lik" else "predict_table"
        raise SpecError(
            f"{kind} of {rows:,} rows at {draws:,} draws takes {size * 8 / 2**30:,.1f} "
            f"GB. Pass draws={max(1, draws * LARGEST // size)} for a sample of the "
            f"draws, or fewer rows; or use {other}, which needs little memory."
        )
    result: Array | None = None
    for some, values in _blocks(kind, source):
        if result is None:
            result = np.empty((draws, rows, *values.shape[2:]), dtype=values.dtype)
        result[:, some] = values
    assert result is not None
    return xr.DataArray(
        result.reshape(*source.shape, *result.shape[1:]), dims=dims, coords=coords
    )
