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

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.coefficients import coefficients
from stanpool.conditioning import condition
from stanpool.errors import (
    DataError,
    OutcomeWarning,
    SpecError,
    check_choice,
    listed,
    shorten,
    suggestion,
    warn_user,
)
from stanpool.families import (
    count_beyond,
    draw_outcomes,
    expected_outcomes,
    log_likelihood,
)
from stanpool.intervals import describe, interval_levels
from stanpool.newdata import PARTS, new_design
from stanpool.predictors import Predictors
from stanpool.spec import LARGEST_NUMBER

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.design import Design, FactorDesign
    from stanpool.fit_result import FitResult
    from stanpool.prepared_model import PreparedModel

Array = np.ndarray
GroupTerms = Sequence[str] | Mapping[str, Sequence[str]]

LARGEST = 2**28  # numbers: 2 GB

NEW_GROUPS = ("error", "population", "resample", "zero")
_FAR_OUT = (
    "The linear predictor of these rows is far beyond that of any data: look for "
    "predictors and exposures in wrong units, and new groups of a wide population. "
    "Quantiles below that are right, means are not."
)
_LATENT = "factors"  # in group_terms
READINGS = ("fitted", "redrawn")


def linpred(
    fit: FitResult,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    given: Any = None,
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
        residual scales; ``"factors"`` are latent factors. All by default; ``[]`` is
        the population alone.
    groups
        ``"fitted"``: rows of fitted groups have the coefficients of these;
        ``"redrawn"``: all groups are drawn anew from the population.
    new_groups
        What to do about groups that the model has not seen. ``"error"``: refuse them;
        ``"population"``: draw their coefficients from the population, once for each
        group and posterior draw; ``"resample"``: take those of a fitted group, drawn at
        random for each group and posterior draw; ``"zero"``: take the population's
        mean, an average group. Group-level predictors count in all.
    given
        A few rows with their outcomes, of new groups above all, that predictions are
        conditioned on: what would come out if they had been fitted, too. Exact for
        gaussian outcomes but for Monte Carlo error, by importance sampling for others.
        ``pareto_k`` among the result's ``attrs`` says whether that is reliable: above
        0.7 fit again instead.
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

    Examples
    --------
    Draws that are exact, as those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> float(linpred(fit, {"school": ["A"]}).mean().round(1))
    9.8
    >>> seen = {"school": ["new"], "y": [40.0], "sigma": [5.0]}
    >>> float(linpred(fit, {"school": ["new"]}, given=seen, seed=1).mean().round(1))
    35.8
    """
    source = predictors_with(
        fit,
        data,
        draws=draws,
        group_terms=group_terms,
        groups=groups,
        new_groups=new_groups,
        given=given,
        seed=seed,
    )
    return _collected("linpred", source)


def epred(
    fit: FitResult,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    given: Any = None,
    seed: int | None = None,
) -> xr.DataArray:
    """Return the expected outcome of each row, without the scatter of outcomes.

    Of outcomes as they are, before any censoring or truncation; for ordinal and
    categorical ones the probability of each category.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
        As for ``linpred``.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(chain, draw, row)``, and ``category``.
    """
    source = predictors_with(
        fit,
        data,
        draws=draws,
        group_terms=group_terms,
        groups=groups,
        new_groups=new_groups,
        given=given,
        seed=seed,
        parts=_KINDS["epred"].parts,
    )
    return _collected("epred", source)


def predict(
    fit: FitResult,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    given: Any = None,
    seed: int | None = None,
) -> xr.DataArray:
    """Draw an outcome of each row at each posterior draw.

    Outcomes lie between the bounds of truncation, and are not censored. Counts are
    whole numbers, but floats where some are beyond 2^63. Outcomes beyond 1e150 are set
    to that; an ``OutcomeWarning`` says how many, and so does ``beyond`` among the
    result's ``attrs``.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
        As for ``linpred``.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(chain, draw, row)``; categories by their names.
    """
    source = predictors_with(
        fit,
        data,
        draws=draws,
        group_terms=group_terms,
        groups=groups,
        new_groups=new_groups,
        given=given,
        seed=seed,
        parts=_KINDS["predict"].parts,
    )
    drawn = _collected("predict", source)
    warn_of_overflow(drawn.attrs.get("beyond", 0), drawn.size, _FAR_OUT)
    return drawn


def outcomes_of_rows(fit: FitResult, seed: int) -> xr.DataArray:
    """Draw outcomes of the fitted rows as ``predict`` does, but warn of nothing."""
    return _collected("predict", predictors_with(fit, seed=seed))


def warn_of_overflow(beyond: int, drawn: int, advice: str) -> None:
    """Say how many of the drawn outcomes overflowed, if any did, and what to do."""
    if beyond:
        warn_user(
            f"{beyond:,} of {drawn:,} outcomes drawn are beyond {LARGEST_NUMBER:g}, "
            f"and set to that. {advice}",
            OutcomeWarning,
        )


def predict_table(
    fit: FitResult,
    data: Any = None,
    *,
    kind: str = "predict",
    prob: float = 0.9,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    given: Any = None,
    seed: int | None = None,
) -> pd.DataFrame:
    """Summarize predictions in one line for each row, whatever their number.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
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

    Examples
    --------
    Draws that are exact, as those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> predict_table(fit, {"school": ["A", "new"]}, kind="epred",
    ...               new_groups="population", seed=1).round(1)
       mean   sd  median   q5   q95
    0   9.8  6.8     9.3 -0.1  21.9
    1   8.0  7.4     7.8 -2.9  19.9
    """
    import pandas as pd

    check_choice("kind", kind, _KINDS)
    interval_levels(prob)  # refuse a wrong one before the work
    source = predictors_with(
        fit,
        data,
        draws=draws,
        group_terms=group_terms,
        groups=groups,
        new_groups=new_groups,
        given=given,
        seed=seed,
        parts=_KINDS[kind].parts,
    )
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
    tables, beyond = [], 0
    for _, each in _blocks(kind, source):
        tables.append(describe(each, prob))
        beyond += count_beyond(each) if kind == "predict" else 0
    draws_used = source.shape[0] * source.shape[1]
    warn_of_overflow(beyond, draws_used * source.design.rows, _FAR_OUT)
    table = pd.DataFrame(
        {name: np.concatenate([each[name] for each in tables]) for name in tables[0]},
        index=index,
    )
    table.attrs.update(_attributes(source))
    return table


def log_lik(
    fit: FitResult,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    given: Any = None,
    seed: int | None = None,
) -> xr.DataArray:
    """Return the log likelihood of each row at each draw.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
        As for ``linpred``; new rows need an outcome.

    Returns
    -------
    xarray.DataArray
        Dimensions ``(chain, draw, row)``; for many rows see ``log_lik_chunks``.
    """
    source = predictors_with(
        fit,
        data,
        draws=draws,
        group_terms=group_terms,
        groups=groups,
        new_groups=new_groups,
        given=given,
        seed=seed,
        parts=PARTS,
    )
    return _collected("log_lik", source)


def log_lik_chunks(fit: FitResult) -> Iterator[tuple[slice, Array]]:
    """Yield the log likelihood of a few rows of the data at a time, at all draws.

    Whoever needs a number per row, such as its expected log density, never holds more
    than some 8 MB of log likelihoods.

    Parameters
    ----------
    fit
        A fit.

    Yields
    ------
    slice, numpy.ndarray
        Which rows, and their log likelihoods: shape ``(chain, draw, rows)``.
    """
    source = predictors_with(fit, parts=PARTS)
    for rows, values in _blocks("log_lik", source):
        yield rows, values.reshape(*source.shape, -1)


def predictors_with(
    fit: FitResult,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: str = "fitted",
    new_groups: str = "error",
    given: Any = None,
    seed: int | None = None,
    parts: Sequence[str] = (),
) -> Predictors:
    """Check the options and gather what predictions are computed from.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
        As for ``linpred``.
    parts
        What of new rows is read besides predictors and groups, of ``newdata.PARTS``.
    """
    check_choice("groups", groups, READINGS)
    check_choice("new_groups", new_groups, NEW_GROUPS)
    model = fit.model
    with_latent, group_terms = _chosen_latent(model, group_terms)
    terms, own_scales = _chosen_terms(model, group_terms)
    # Of the means only the lognormal's depends on the residual scale.
    needs_scales = "se" in parts or model.spec.family == "lognormal" or data is None
    design = _design(model, data, terms, own_scales and needs_scales, parts)
    if not with_latent:
        design = replace(design, latent=None)
    if groups == "redrawn":
        design = _redrawn(model, design)
        new_groups = "population" if new_groups == "error" else new_groups
    posterior = some_draws(fit.posterior, draws)
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
    source = Predictors(
        model=model,
        design=design,
        numbers=tuple(terms),
        posterior=posterior,
        coefficients=coefficients(model, posterior),
        new_groups=new_groups,
        seed=seed,
    )
    if given is not None:
        if model.design.latent is not None:
            raise SpecError(
                f"given does not go with {model.spec.latent}: what new rows say of "
                "scores and loadings is learned by fitting again with these rows."
            )
        if data is None or groups == "redrawn":
            raise SpecError(
                "given conditions predictions of new rows on others: pass data=, and "
                "groups='fitted'."
            )
        rows = _design(model, given, terms, own_scales, PARTS)
        seen = replace(source, design=rows, new_groups="population")
        _check_new_groups(seen)
        found = condition(seen)
        source = replace(found, design=design, new_groups=new_groups)
    _check_new_groups(source)
    return source


def _design(
    model: PreparedModel,
    data: Any,
    terms: Mapping[int, Sequence[str]],
    own_scales: bool,
    parts: Sequence[str],
) -> Design:
    """Build the rows' design with the terms that enter."""
    if data is None:
        own = model.design.factors
        design = replace(model.design, factors=tuple(own[number] for number in terms))
    else:
        wanted = [part for part in parts if own_scales or part != "residual"]
        design = new_design(model, data, factors=list(terms), parts=wanted)
    factors = zip(design.factors, terms.values(), strict=True)
    return replace(
        design,
        factors=tuple(_masked(*each) for each in factors),
        residual=design.residual if own_scales else None,
    )


def _chosen_latent(
    model: PreparedModel, group_terms: GroupTerms | None
) -> tuple[bool, GroupTerms | None]:
    """Say whether latent factors enter, and return the other terms."""
    if model.design.latent is None or group_terms is None:
        return True, group_terms
    if isinstance(group_terms, str) or _LATENT not in group_terms:
        return False, group_terms
    if isinstance(group_terms, Mapping):
        return True, {k: v for k, v in group_terms.items() if k != _LATENT}
    return True, [each for each in group_terms if each != _LATENT]


def _chosen_terms(
    model: PreparedModel, group_terms: GroupTerms | None
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
        if isinstance(labels, str) or not isinstance(labels, Collection):
            raise SpecError(
                f"group_terms has {shorten(labels)} for {shorten(name)}, which is one "
                f"{'text' if isinstance(labels, str) else 'value'}; write a list, "
                f"[{shorten(labels)}]."
            )
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


def _redrawn(model: PreparedModel, design: Design) -> Design:
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
    latent, fitted = design.latent, model.design.latent
    if latent is not None and fitted is not None:
        latent = replace(
            latent,
            score_labels=fitted.score_labels + latent.score_labels,
            scored=latent.scored + len(fitted.score_labels),
            loading_labels=fitted.loading_labels + latent.loading_labels,
            loaded=latent.loaded + len(fitted.loading_labels),
        )
    return replace(design, factors=tuple(factors), residual=residual, latent=latent)


def _check_new_groups(source: Predictors) -> None:
    """Refuse new groups where they are not wanted or nothing is known of them."""
    model, design, new_groups = source.model, source.design, source.new_groups
    sides = [
        (each.factor, each.labels, len(model.design.factors[number].labels), each.index)
        for number, each in zip(source.numbers, design.factors, strict=True)
    ]
    if design.residual is not None and model.design.residual is not None:
        name, labels, index = design.residual
        sides.append((name, labels, len(model.design.residual[1]), index))
    latent, fitted = design.latent, model.design.latent
    if latent is not None and fitted is not None:
        for side, of_fit in zip(latent.sides, fitted.sides, strict=True):
            sides.append((*side[:2], len(of_fit[1]), side[2]))
    given = set(source.given)
    if model.design.residual is not None:
        given |= {(model.design.residual[0], label) for label in source.given_scales}
    for factor, labels, known, index in sides:
        is_new = np.array([(factor, label) not in given for label in labels])
        is_new[:known] = False
        if not is_new.any():
            continue
        rows = np.flatnonzero(is_new[index].reshape(len(index), -1).any(axis=1))
        new = [labels[place] for place in np.flatnonzero(is_new)]
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


def _outcomes(source: Predictors, rows: slice, rng: np.random.Generator) -> Array:
    """Draw outcomes; categories by their labels."""
    spec, design = source.model.spec, source.design.take(rows)
    drawn = draw_outcomes(spec, design, rng, source.eta(rows), source.parameters(rows))
    return category_labels(design.categories)[drawn] if design.categories else drawn


def _expectations(source: Predictors, rows: slice, _: np.random.Generator) -> Array:
    """Return expected outcomes."""
    spec, design = source.model.spec, source.design.take(rows)
    return expected_outcomes(spec, design, source.eta(rows), source.parameters(rows))


def _log_likelihoods(source: Predictors, rows: slice, _: np.random.Generator) -> Array:
    """Return log likelihoods."""
    spec, design = source.model.spec, source.design.take(rows)
    return log_likelihood(spec, design, source.eta(rows), source.parameters(rows))


@dataclass(frozen=True)
class _Kind:
    """Something that is computed for each row at each draw, and what it needs."""

    compute: Callable[[Predictors, slice, np.random.Generator], Array]
    parts: tuple[str, ...] = ()


_KINDS: Mapping[str, _Kind] = {
    "predict": _Kind(_outcomes, ("trials", "se", "trunc", "residual")),
    "epred": _Kind(_expectations, ("trials", "residual")),
    "linpred": _Kind(lambda source, rows, _: source.eta(rows)),
}
_ALL_KINDS = {**_KINDS, "log_lik": _Kind(_log_likelihoods, PARTS)}


def _blocks(kind: str, source: Predictors) -> Iterator[tuple[slice, Array]]:
    """Yield rows and what is computed for them, shape ``(S, rows, ...)``."""
    rng = np.random.default_rng([source.seed])
    for rows in source.chunks():
        yield rows, _ALL_KINDS[kind].compute(source, rows, rng)


def _attributes(source: Predictors) -> dict[str, float]:
    """Return what a result says of itself."""
    return {} if source.pareto_k is None else {"pareto_k": source.pareto_k}


def category_labels(categories: Sequence[Any]) -> Array:
    """Return labels as whole numbers where all are, else as text objects."""
    whole = all(isinstance(label, int) for label in categories)
    return np.array(categories, dtype=np.int64 if whole else object)


def _collected(kind: str, source: Predictors) -> xr.DataArray:
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
        elif values.dtype != result.dtype:  # counts beyond those of 64 bits
            result = result.astype(np.result_type(result, values), copy=False)
        result[:, some] = values
    assert result is not None
    attributes: dict[str, float] = _attributes(source)
    beyond = count_beyond(result) if kind == "predict" else 0
    if beyond:
        attributes["beyond"] = beyond
    return xr.DataArray(
        result.reshape(*source.shape, *result.shape[1:]),
        dims=dims,
        coords=coords,
        attrs=attributes,
    )
