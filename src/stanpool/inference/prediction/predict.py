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

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from stanpool.base.arrays import Array
from stanpool.base.errors import SpecError
from stanpool.base.options import Groups, NewGroups, PredictionKind
from stanpool.data.columns import as_frame
from stanpool.inference.prediction.new_rows import PARTS
from stanpool.inference.prediction.quantities import (
    FAR_OUT,
    KINDS,
    blocks_of,
    collected,
    warn_of_overflow,
)
from stanpool.inference.prediction.rows import GroupTerms, linear_predictor_with
from stanpool.inference.prediction.summaries import Event, summarized, summary_of

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.model.fit_result import FitResult


def linpred(
    fit: FitResult,
    data: Any = None,
    *,
    parameter: str = "mean",
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
    parameter
        Whose linear predictor: that of the mean, or of another parameter of the family,
        such as ``"sigma"``, on the scale of its link.
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

    >>> import numpy as np, stanpool as sp
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
        parameter=parameter,
    )
    return collected("linpred", source)


def epred(
    fit: FitResult,
    data: Any = None,
    *,
    parameter: str = "mean",
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
    parameter
        By default the expected outcome; or a parameter of the family, such as
        ``"sigma"``, whose values the rows have.

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
        parts=KINDS["epred"].parts if parameter == "mean" else (),
        parameter=parameter,
    )
    return collected("epred", source)


@overload
def predict(
    fit: FitResult,
    data: Any = None,
    *,
    summary: Literal[False] = False,
    kind: PredictionKind = "predict",
    prob: float = 0.9,
    quantiles: Sequence[float] | None = None,
    events: Event | Mapping[str, Event] | None = None,
    by: str | Sequence[str] | None = None,
    pairs: Sequence[tuple[Any, Any]] | None = None,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: Groups = "fitted",
    new_groups: NewGroups = "error",
    given: Any = None,
    seed: int | None = None,
) -> xr.DataArray: ...


@overload
def predict(
    fit: FitResult,
    data: Any = None,
    *,
    summary: Literal[True],
    kind: PredictionKind = "predict",
    prob: float = 0.9,
    quantiles: Sequence[float] | None = None,
    events: Event | Mapping[str, Event] | None = None,
    by: str | Sequence[str] | None = None,
    pairs: Sequence[tuple[Any, Any]] | None = None,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: Groups = "fitted",
    new_groups: NewGroups = "error",
    given: Any = None,
    seed: int | None = None,
) -> pd.DataFrame: ...


def predict(
    fit: FitResult,
    data: Any = None,
    *,
    summary: bool = False,
    kind: PredictionKind = "predict",
    prob: float = 0.9,
    quantiles: Sequence[float] | None = None,
    events: Event | Mapping[str, Event] | None = None,
    by: str | Sequence[str] | None = None,
    pairs: Sequence[tuple[Any, Any]] | None = None,
    draws: int | None = None,
    group_terms: GroupTerms | None = None,
    groups: Groups = "fitted",
    new_groups: NewGroups = "error",
    given: Any = None,
    seed: int | None = None,
) -> xr.DataArray | pd.DataFrame:
    """Draw an outcome of each row at each posterior draw.

    Outcomes lie between the bounds of truncation, and are not censored. Counts are
    integers, or floats if some are beyond 2^63. Outcomes beyond 1e150 are set to 1e150;
    an ``OutcomeWarning`` and ``beyond`` in the result's ``attrs`` say how many.

    Parameters
    ----------
    fit, data, draws, group_terms, groups, new_groups, given, seed
        As for ``linpred``.
    summary
        Whether to return a table with the columns of ``data`` instead of the draws, for
        any number of rows.
    kind
        ``"predict"`` for outcomes, ``"epred"`` or ``"linpred"`` for what these verbs
        return.
    prob, quantiles
        In a summary, the probability of the central interval, or the levels of other
        quantiles.
    events
        In a summary, the events whose probabilities are wanted: a function of outcomes,
        such as ``lambda y: y > 3``, or several by name.
    by
        In a summary, columns by whose values the predictions of rows are averaged at
        each draw: an interval is then that of the average outcome of these rows.
    pairs
        In a summary, pairs of rows (of cells, with ``by``) by their numbers: instead of
        the rows the differences are summarized, the first minus the second.

    Returns
    -------
    xarray.DataArray or pandas.DataFrame
        The dimensions are ``(chain, draw, row)``, and ``category`` as for ``epred``.
        Drawn categories are given by name. The columns of a summary are those of
        ``data``, ``mean``, ``sd``, ``median``, the quantiles, and the events; for
        categories the probability of each.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

    >>> import numpy as np, stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> predict(fit, {"school": ["A", "B"], "sigma": [1.0, 1.0]}, summary=True,
    ...         events={"above 10": lambda y: y > 10}, seed=1).round(1)
      school  sigma  mean   sd  median   q5   q95  above 10
    0      A    1.0   9.8  6.8     9.3 -0.1  22.1       0.4
    1      B    1.0   7.8  5.6     7.8 -1.1  17.2       0.3
    """
    of_summary = (quantiles, events, by, pairs)
    if not summary and any(each is not None for each in of_summary):
        raise SpecError(
            "quantiles, events, by and pairs belong to a summary: pass summary=True."
        )
    source = linear_predictor_with(
        fit,
        data,
        draws=draws,
        group_terms=group_terms,
        groups=groups,
        new_groups=new_groups,
        given=given,
        seed=seed,
        parts=KINDS[kind].parts,
    )
    if summary:
        wanted = summary_of(
            kind=kind, prob=prob, quantiles=quantiles, events=events, by=by, pairs=pairs
        )
        rows = fit.model.data if data is None else as_frame(data)
        return summarized(source, rows, wanted)
    drawn = collected(kind, source)
    warn_of_overflow(drawn.attrs.get("beyond", 0), drawn.size, FAR_OUT)
    return drawn


def outcomes_of_rows(fit: FitResult, seed: int) -> xr.DataArray:
    """Draw outcomes of the fitted rows as ``predict`` does, without warnings."""
    return collected("predict", linear_predictor_with(fit, seed=seed))


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
    return collected("log_lik", source)


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
    for rows, values in blocks_of("log_lik", source):
        yield rows, values.reshape(*source.shape, -1)
