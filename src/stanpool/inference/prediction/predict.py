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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import LARGEST_ARRAY, Array, gigabytes
from stanpool.base.errors import (
    OutcomeWarning,
    SpecError,
    warn_user,
)
from stanpool.base.options import Groups, NewGroups, PredictionKind
from stanpool.data.likelihood import draw_outcomes, expected_outcomes, log_likelihood
from stanpool.families.functions import count_beyond
from stanpool.inference.prediction.linear_predictor import LinearPredictor
from stanpool.inference.prediction.new_rows import PARTS
from stanpool.inference.prediction.rows import GroupTerms, linear_predictor_with
from stanpool.language.model_spec import LARGEST_NUMBER
from stanpool.posterior.intervals import describe, interval_levels

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.model.fit_result import FitResult


_FAR_OUT = (
    "The linear predictor of these rows is far beyond that of any data: look for "
    "predictors and exposures in wrong units, and new groups of a wide population. "
    "Quantiles below that are right, means are not."
)


def linpred(
    fit: FitResult,
    data: Any = None,
    *,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: Groups = "fitted",
    new_groups: NewGroups = "error",
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
        If new rows do not fit the model.
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
    source = linear_predictor_with(
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
    groups: Groups = "fitted",
    new_groups: NewGroups = "error",
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
    source = linear_predictor_with(
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
    groups: Groups = "fitted",
    new_groups: NewGroups = "error",
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
    source = linear_predictor_with(
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
    return _collected("predict", linear_predictor_with(fit, seed=seed))


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
    kind: PredictionKind = "predict",
    prob: float = 0.9,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: Groups = "fitted",
    new_groups: NewGroups = "error",
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

    interval_levels(prob)  # refuse a wrong one before the work
    source = linear_predictor_with(
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
    groups: Groups = "fitted",
    new_groups: NewGroups = "error",
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
    source = linear_predictor_with(
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
    source = linear_predictor_with(fit, parts=PARTS)
    for rows, values in _blocks("log_lik", source):
        yield rows, values.reshape(*source.shape, -1)


def _outcomes(source: LinearPredictor, rows: slice, rng: np.random.Generator) -> Array:
    """Draw outcomes; categories by their labels."""
    spec, design = source.model.spec, source.design.take(rows)
    drawn = draw_outcomes(spec, design, rng, source.eta(rows), source.parameters(rows))
    return category_labels(design.categories)[drawn] if design.categories else drawn


def _expectations(
    source: LinearPredictor, rows: slice, _: np.random.Generator
) -> Array:
    """Return expected outcomes."""
    spec, design = source.model.spec, source.design.take(rows)
    return expected_outcomes(spec, design, source.eta(rows), source.parameters(rows))


def _log_likelihoods(
    source: LinearPredictor, rows: slice, _: np.random.Generator
) -> Array:
    """Return log likelihoods."""
    spec, design = source.model.spec, source.design.take(rows)
    return log_likelihood(spec, design, source.eta(rows), source.parameters(rows))


@dataclass(frozen=True)
class _Kind:
    """Something that is computed for each row at each draw, and what it needs."""

    compute: Callable[[LinearPredictor, slice, np.random.Generator], Array]
    parts: tuple[str, ...] = ()


_KINDS: Mapping[str, _Kind] = {
    "predict": _Kind(_outcomes, ("trials", "se", "trunc", "residual")),
    "epred": _Kind(_expectations, ("trials", "residual")),
    "linpred": _Kind(lambda source, rows, _: source.eta(rows)),
}
_ALL_KINDS = {**_KINDS, "log_lik": _Kind(_log_likelihoods, PARTS)}


def _blocks(kind: str, source: LinearPredictor) -> Iterator[tuple[slice, Array]]:
    """Yield rows and what is computed for them, shape ``(S, rows, ...)``."""
    rng = np.random.default_rng([source.seed])
    for rows in source.chunks():
        yield rows, _ALL_KINDS[kind].compute(source, rows, rng)


def _attributes(source: LinearPredictor) -> dict[str, float]:
    """Return what a result says of itself."""
    return {} if source.pareto_k is None else {"pareto_k": source.pareto_k}


def category_labels(categories: Sequence[Any]) -> Array:
    """Return labels as whole numbers where all are, else as text objects."""
    whole = all(isinstance(label, int) for label in categories)
    return np.array(categories, dtype=np.int64 if whole else object)


def _collected(kind: str, source: LinearPredictor) -> xr.DataArray:
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
    if size > LARGEST_ARRAY:
        other = "log_lik_chunks" if kind == "log_lik" else "predict_table"
        fewer = max(1, draws * LARGEST_ARRAY // size)
        raise SpecError(
            f"{kind} of {rows:,} rows at {draws:,} draws takes {gigabytes(size)}. Pass "
            f"draws={fewer} for a sample of the draws, or fewer rows; or use {other}, "
            "which needs little memory."
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
