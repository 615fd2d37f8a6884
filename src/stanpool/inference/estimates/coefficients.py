"""Coefficients of a fit, as labelled tables with intervals.

These are the population coefficients (``fixef``), the deviations of groups (``ranef``),
the coefficients of groups (``coef``), and the scales and correlations (``varcorr``).

References
----------
.. [1] Gelman and Pardoe (2006). Bayesian measures of explained variance and pooling in
   multilevel (hierarchical) models. Technometrics 48(2), 241-251.
.. [2] Nakagawa, Johnson and Schielzeth (2017). The coefficient of determination R2 and
   intra-class correlation coefficient from generalized linear mixed-effects models
   revisited and expanded. Journal of the Royal Society Interface 14, 20170213.
.. [3] Johnson (2014). Extension of Nakagawa and Schielzeth's R2GLMM to random slopes
   models. Methods in Ecology and Evolution 5(9), 944-946.
.. [4] Gelman, Goodrich, Gabry and Vehtari (2019). R-squared for Bayesian regression
   models. The American Statistician 73(3), 307-309.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import BLOCK, Array, Indices
from stanpool.base.errors import SpecError, quote, quote_list, suggestion
from stanpool.base.options import At
from stanpool.model.terms.of_design import predictors_of
from stanpool.posterior.coefficients import coefficients, flat, variables_of
from stanpool.posterior.intervals import describe, interval_levels
from stanpool.posterior.recenter import center_fit

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.data.design.design import FactorDesign, ParameterDesign
    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel


def fixef(
    fit: FitResult, *, parameter: str = "mean", prob: float = 0.9
) -> pd.DataFrame:
    """Summarize the population coefficients.

    Parameters
    ----------
    fit
        A fit.
    parameter
        Whose: the mean's, or those of a parameter that has a formula, such as
        ``"sigma"``, on the scale of its link.
    prob
        The probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        The columns are ``mean``, ``sd``, ``median`` and the interval, such as ``q5``
        and ``q95``. The rows are, for example, ``Intercept`` and ``floor``; ``blue,
        floor`` in the linear predictor of a category; ``cutpoint[low|high]`` of ordinal
        outcomes.
    """
    if parameter == "mean":
        return describe_each(*fixef_draws(fit), prob)
    own = parameter_design(fit.model, parameter)
    found = coefficients(fit.model, fit.posterior, parameter)
    index = list(own.free)
    draws = [*found.beta[:, 0].T[: len(index)]]
    # Groups that have values of the parameter have no population without pooling.
    if own.intercept and not (own.is_value and parameter not in fit.posterior):
        index, draws = ["Intercept", *index], [found.alpha[:, 0], *draws]
    return describe_each(index, draws, prob)


def ranef(
    fit: FitResult,
    *,
    factor: str | None = None,
    parameter: str = "mean",
    prob: float = 0.9,
) -> pd.DataFrame:
    """Summarize the deviations of each group's coefficients from the population.

    With group-level predictors, they are deviations from the mean that these predict.

    Parameters
    ----------
    fit
        A partially pooled fit.
    factor
        The grouping factor; by default the first.
    parameter
        Whose coefficients, as for ``fixef``.
    prob
        The probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        The columns are those of ``fixef``; the rows are groups and coefficients.

    Raises
    ------
    SpecError
        If there is no such factor, or the fit is not partially pooled.

    Examples
    --------
    The draws are exact ones, which are used like those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> ranef(fit).round(1).head(2)
                        mean   sd  median   q5   q95
    school coefficient
    A      Intercept     2.0  5.5     0.6 -4.5  12.8
    B      Intercept     0.0  4.5     0.0 -7.1   7.5
    """
    number = place_of_factor(fit, factor, parameter)
    if fit.model.spec.pooling != "partial":
        raise SpecError(
            f"{fit.model!r} has no population distribution to deviate from; see coef, "
            "or fit with pooling='partial'."
        )
    own = coefficients(fit.model, fit.posterior, parameter).factors[number]
    design = parameter_design(fit.model, parameter).factors[number]
    return _group_table(fit, design, own.deviations, prob)


def coef(
    fit: FitResult,
    *,
    factor: str | None = None,
    parameter: str = "mean",
    prob: float = 0.9,
) -> pd.DataFrame:
    """Summarize the coefficients of each group: the population's plus its deviation.

    They apply to a row of the group if all other grouping factors are at their mean.

    Parameters
    ----------
    fit, factor, parameter, prob
        As for ``ranef``.

    Returns
    -------
    pandas.DataFrame
        As for ``ranef``.

    Raises
    ------
    SpecError
        If there is no such factor.
    """
    number = place_of_factor(fit, factor, parameter)
    design = parameter_design(fit.model, parameter).factors[number]
    full = full_coefficients(fit, number, parameter=parameter)
    return _group_table(fit, design, full, prob)


def varcorr(fit: FitResult, *, prob: float = 0.9, at: At = "zero") -> pd.DataFrame:
    """Summarize the scales and correlations of varying coefficients.

    Parameters
    ----------
    fit, prob
        As for ``fixef``.
    at
        With ``"zero"``, intercepts are those where predictors are 0. With
        ``"center"``, predictors that are far from 0 are centered, as they are for the
        priors of correlated coefficients (those of ``||`` always refer to 0).

    Returns
    -------
    pandas.DataFrame
        The columns are those of ``fixef``; the rows are ``factor`` and ``term``, such
        as ``("county", "sd(floor)")``, ``("county", "cor(Intercept, floor)")`` and
        ``("residual", "sigma")``, with ``sd(log sigma)`` if the residual scales of
        groups are pooled.

    Raises
    ------
    SpecError
        If ``at`` is neither.
    """
    if at == "center":
        fit = center_fit(fit)
    posterior = fit.posterior
    variables = variables_of(posterior)
    mean, *others = predictors_of(fit.model.design, fit.model.structure)
    found = [each for term in mean.all for each in term.scale_draws(variables)]
    if "sigma" in posterior:
        found.append(("residual", "sigma", flat(posterior["sigma"])))
    for predictor in others:
        for term in predictor.all:
            found += term.scale_draws(variables)
    index = [(factor, label) for factor, label, _ in found]
    draws = [values for *_, values in found]
    return describe_each(multi_index(index, ["factor", "term"]), draws, prob)


def check_pairs(pairs: Any, groups: Mapping[Any, int]) -> None:
    """Refuse what is not a list of pairs of groups."""
    is_list = isinstance(pairs, Collection) and not isinstance(pairs, str | bytes)
    if is_list and len(pairs) and all(map(_is_pair, pairs)):
        return
    wrong = [each for each in pairs if not _is_pair(each)] if is_list else []
    first, second = [*groups, "first", "second"][:2]
    raise SpecError(
        f"pairs={quote(pairs)} must be a list of pairs of groups, such as "
        f"[({quote(first)}, {quote(second)})]"
        + (f"; {quote(wrong[0])} is not a pair." if wrong else ".")
    )


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple | list) and len(pair) == 2


def fixef_draws(fit: FitResult) -> tuple[list[str], list[Array]]:
    """Return labels and draws of the population's coefficients."""
    posterior, design = fit.posterior, fit.model.design
    categories: Sequence[Any] = (
        posterior["category"].to_numpy().tolist() if "category" in posterior else [None]
    )
    index: list[str] = []
    draws: list[Array] = []
    for category in categories:
        own = posterior if category is None else posterior.sel(category=category)
        of = "" if category is None else f"{category}, "
        if "Intercept" in own:
            index.append(f"{of}Intercept")
            draws.append(flat(own["Intercept"]))
        if design.mean.free:
            index += [f"{of}{label}" for label in design.mean.free]
            draws += [*flat(own["beta"]).T]
    if "cutpoint" in posterior:
        index += [f"cutpoint[{each}]" for each in posterior["between"].to_numpy()]
        draws += [*flat(posterior["cutpoint"]).T]
    return index, draws


def parameter_design(model: PreparedModel, parameter: str) -> ParameterDesign:
    """Return the linear predictor of the mean, or of a parameter that has one.

    Raises
    ------
    SpecError
        If it has none.
    """
    known = {own.parameter: own for own in model.design.predictors}
    if parameter not in known:
        raise SpecError(
            f"parameter={quote(parameter)} has no formula in {model!r}; formulas are "
            f"those of {quote_list(known)}.{suggestion(str(parameter), known)}"
        )
    return known[parameter]


def full_coefficients(
    fit: FitResult,
    number: int,
    posterior: xr.Dataset | None = None,
    parameter: str = "mean",
) -> Callable[[Indices], Array]:
    """Return a function from groups to their coefficients, ``(S, J, D, Q)``."""
    posterior = fit.posterior if posterior is None else posterior
    found = coefficients(fit.model, posterior, parameter)
    own, design = found.factors[number], parameter_design(fit.model, parameter)
    # If an earlier factor has the mean, these coefficients are deviations from it.
    missing = np.zeros_like(own.mean)
    for q, label in enumerate(design.factors[number].varying):
        if any(label in each.varying for each in design.factors[:number]):
            if label == "Intercept":
                missing[..., q] = found.alpha
            elif label in design.coefficients:
                missing[..., q] = found.beta[..., design.coefficients.index(label)]

    def full(groups: Indices) -> Array:
        return np.asarray(own.b[:, groups] + missing[:, None])

    return full


def place_of_factor(fit: FitResult, factor: str | None, parameter: str = "mean") -> int:
    """Return the position of a grouping factor of a parameter."""
    own = parameter_design(fit.model, parameter).factors
    names = [each.factor for each in own]
    if not names or (factor is not None and factor not in names):
        raise no_such_factor(fit.model, factor, parameter)
    return 0 if factor is None else names.index(factor)


def no_such_factor(
    model: PreparedModel, factor: str | None, parameter: str = "mean"
) -> SpecError:
    """Return the error for a grouping factor that a parameter does not have."""
    names = [each.factor for each in parameter_design(model, parameter).factors]
    where = "" if parameter == "mean" else f" in the formula of {quote(parameter)}"
    if not names:
        return SpecError(f"{model!r} has no groups{where}.")
    return SpecError(
        f"{model!r} has no groups of {quote(factor)}{where}; its grouping factors: "
        f"{quote_list(names)}.{suggestion(str(factor), names)}"
    )


def blocks_of_groups(groups: int, width: int) -> Iterator[slice]:
    """Cut groups into blocks of draws that are worked on at a time."""
    size = max(1, BLOCK // width)
    for start in range(0, groups, size):
        yield slice(start, min(start + size, groups))


def _group_table(
    fit: FitResult,
    factor: FactorDesign,
    values: Callable[[Indices], Array],
    prob: float,
) -> pd.DataFrame:
    """Summarize the coefficients of all groups of a factor, block by block."""
    import pandas as pd

    interval_levels(prob)
    draws = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    tables = []
    for some in blocks_of_groups(len(factor.labels), draws * len(factor.coefficients)):
        block = values(np.arange(some.start, some.stop))
        tables.append(describe(block.reshape(draws, -1), prob))
    index = [(group, label) for group in factor.labels for label in factor.coefficients]
    return pd.DataFrame(
        {name: np.concatenate([each[name] for each in tables]) for name in tables[0]},
        index=multi_index(index, [factor.factor, "coefficient"]),
    )


def describe_each(
    index: Any, draws: Sequence[Array] | Array, prob: float
) -> pd.DataFrame:
    """Summarize quantities, with one row for each."""
    import pandas as pd

    interval_levels(prob)
    values = np.stack(list(draws), axis=1) if len(draws) else np.empty((2, 0))
    return pd.DataFrame(describe(values, prob), index=index)


def multi_index(rows: Sequence[tuple[Any, ...]], names: list[str]) -> pd.MultiIndex:
    """Return labels of rows with several levels, even if there are no rows."""
    import pandas as pd

    if not rows:
        return pd.MultiIndex.from_arrays([[] for _ in names], names=names)
    return pd.MultiIndex.from_tuples(rows, names=names)
