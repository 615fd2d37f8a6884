"""Linear predictors, expectations, outcomes and log likelihoods of rows.

All is computed in chunks of rows, so that no array of the size draws x rows is kept
except the result. It may still be large; ``predict_table`` returns a few numbers for
each row, and ``log_lik_chunks`` a few rows at a time.

A hierarchical model can predict in two ways. With ``groups="fitted"`` the rows belong
to the groups that were fitted, whose coefficients are those of the posterior. With
``groups="redrawn"`` the groups are replaced: for each draw of the population parameters
new groups are drawn, as if other groups had been sampled.

References
----------
.. [1] Gelman and Hill (2007). Data Analysis Using Regression and Multilevel/
   Hierarchical Models, section 12.8: predicting in new and existing groups.
.. [2] Gelman, Meng and Stern (1996). Posterior predictive assessment of model fitness
   via realized discrepancies. Statistica Sinica 6, 733-807: which groups to replicate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
from stanpool.model.terms.names import labels_of
from stanpool.posterior.intervals import describe, interval_levels

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.model.fit_result import FitResult


_FAR_OUT = (
    "The linear predictor of these rows is far too large: look for predictors and "
    "exposures in wrong units, and for new groups of a wide population. Quantiles "
    "below that value are right, means are not."
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
    """Return the linear predictor of each row, including offsets.

    Parameters
    ----------
    fit
        A fit.
    data
        New rows, as a data frame or a mapping of columns; by default the fitted ones.
    draws
        The number of posterior draws to use, which are evenly spaced and equally many
        of each chain; by default all.
    group_terms
        The grouping factors to include, such as ``["county"]``, or the coefficients to
        include of each, such as ``{"county": ["Intercept"]}``, where ``"sigma"`` stands
        for residual scales and ``"factors"`` for latent factors. By default all are
        included; with ``[]`` the predictions are those of the population.
    groups
        With ``"fitted"``, rows of fitted groups have the coefficients of these groups;
        with ``"redrawn"``, all groups are new draws from the population.
    new_groups
        How to predict groups that are not in the data of the fit. ``"error"`` refuses
        them; ``"population"`` draws their coefficients from the population, once for
        each group and posterior draw; ``"resample"`` uses those of a fitted group,
        chosen at random for each group and posterior draw; ``"zero"`` uses the
        population mean, an average group. Group-level predictors are used in any case.
    given
        A few rows with their outcomes, usually of new groups, to condition predictions
        on: the result is as if they had been fitted too. It is exact up to Monte Carlo
        error for gaussian outcomes, and by importance sampling for others. ``pareto_k``
        in the result's ``attrs`` says whether it is reliable; above 0.7, fit again.
    seed
        The seed of all random draws.

    Returns
    -------
    xarray.DataArray
        The dimensions are ``(chain, draw, row)``, and ``category`` for categorical
        outcomes.

    Raises
    ------
    DataError
        If new rows cannot be predicted by the model.
    SpecError
        If an option is not one of its choices or has no meaning with the model's
        pooling, or if the result is too large.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

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
    """Return the expected outcome of each row.

    It is the expectation of outcomes without censoring and truncation. For ordinal and
    categorical outcomes it is the probability of each category.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
        As for ``linpred``.

    Returns
    -------
    xarray.DataArray
        The dimensions are ``(chain, draw, row)``, and ``category``.
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
    integers, or floats if some are beyond 2^63. Outcomes beyond 1e150 are set to 1e150;
    an ``OutcomeWarning`` and ``beyond`` in the result's ``attrs`` say how many.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
        As for ``linpred``.

    Returns
    -------
    xarray.DataArray
        The dimensions are ``(chain, draw, row)``. Categories are given by name.
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
    """Draw outcomes of the fitted rows as ``predict`` does, without warnings."""
    return _collected("predict", linear_predictor_with(fit, seed=seed))


def warn_of_overflow(beyond: int, drawn: int, advice: str) -> None:
    """Warn if drawn outcomes overflowed, and say what to do."""
    if beyond:
        warn_user(
            f"{beyond:,} of {drawn:,} drawn outcomes are beyond {LARGEST_NUMBER:g}, "
            f"and are set to it. {advice}",
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
    """Summarize the predictions of each row, for any number of rows.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
        As for ``linpred``.
    kind
        ``"predict"``, ``"epred"`` or ``"linpred"``.
    prob
        The probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        The columns are ``mean``, ``sd``, ``median`` and the interval, such as ``q5``
        and ``q95``, or for categories the probability of each. The rows are those of
        ``data``.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

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

    interval_levels(prob)  # refuses a wrong one before the computation
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
            "kind='linpred' cannot be a table, because each category has a linear "
            "predictor; use linpred, or kind='epred'."
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
        As for ``linpred``. New rows must have the outcome.

    Returns
    -------
    xarray.DataArray
        The dimensions are ``(chain, draw, row)``. For many rows, see
        ``log_lik_chunks``.
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
    """Yield the log likelihoods of a few rows at a time, at all draws.

    At any time they take about 8 MB, for what needs only a number for each row, such as
    its expected log density.

    Parameters
    ----------
    fit
        A fit.

    Yields
    ------
    slice, numpy.ndarray
        The rows, and their log likelihoods, shape ``(chain, draw, rows)``.
    """
    source = linear_predictor_with(fit, parts=PARTS)
    for rows, values in _blocks("log_lik", source):
        yield rows, values.reshape(*source.shape, -1)


def _outcomes(source: LinearPredictor, rows: slice, rng: np.random.Generator) -> Array:
    """Draw outcomes; categories are given by their labels."""
    spec, design = source.model.spec, source.design.take(rows)
    drawn = draw_outcomes(spec, design, rng, source.eta(rows), source.parameters(rows))
    return labels_of(design.categories)[drawn] if design.categories else drawn


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
    """A quantity that is computed for each row at each draw, and what it needs."""

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
    """Return the attributes of a result."""
    return {} if source.pareto_k is None else {"pareto_k": source.pareto_k}


def _collected(kind: str, source: LinearPredictor) -> xr.DataArray:
    """Compute all rows, with labels, or refuse a result that is too large."""
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
        coords["category"] = labels_of(categories)
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
        elif values.dtype != result.dtype:  # counts that 64 bits cannot hold
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
