"""Effects of a fit, each a labelled table with intervals.

Population coefficients (``fixef``), what groups deviate from them (``ranef``), full
coefficients of groups (``coef``), scales and correlations (``varcorr``); how much is
pooled and explained; hypotheses, contrasts and rankings.

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

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.coefficients import Coefficients, coefficients, flat
from stanpool.errors import SpecError, check_choice, listed, shorten, suggestion
from stanpool.families import expected_outcomes, outcome_variances
from stanpool.formula import outcome_name
from stanpool.intervals import describe, interval_levels
from stanpool.posterior import GroupNames
from stanpool.predict import LARGEST, GroupTerms, predictors_with, some_draws
from stanpool.predictors import predictors_of
from stanpool.relocate import fit_at_origins

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from stanpool.design import FactorDesign
    from stanpool.fit_result import FitResult

Array = np.ndarray

_BLOCK = 2**21  # numbers: 16 MB of draws x groups
_MOST_PAIRS = 5000

# Variance of the latent outcome about its linear predictor, by link.
_LATENT = {"logit": math.pi**2 / 3, "probit": 1.0, "cloglog": math.pi**2 / 6}


def fixef(fit: FitResult, *, prob: float = 0.9) -> pd.DataFrame:
    """Describe the population's coefficients.

    Parameters
    ----------
    fit
        A fit.
    prob
        Probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        Columns ``mean``, ``sd``, ``median`` and the interval, such as ``q5`` and
        ``q95``; rows such as ``Intercept`` and ``floor``; ``blue, floor`` for a
        category's own linear predictor; ``cutpoint[low|high]`` for ordinal outcomes.
    """
    return _table(*fixef_draws(fit), prob)


def ranef(
    fit: FitResult, *, factor: str | None = None, prob: float = 0.9
) -> pd.DataFrame:
    """Describe what each group's coefficients deviate from the population's.

    Where group-level predictors move the mean of a group, from that mean.

    Parameters
    ----------
    fit
        A partially pooled fit.
    factor
        Which grouping factor; by default the first.
    prob
        Probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        Columns as of ``fixef``; rows by group and coefficient.

    Raises
    ------
    SpecError
        If there is no such factor, or no population to deviate from.

    Examples
    --------
    Draws that are exact, as those of a fit:

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
    number = _number_of(fit, factor)
    if fit.model.spec.pooling != "partial":
        raise SpecError(
            f"{fit.model!r} has no population that groups deviate from; see coef, or "
            "fit with pooling='partial'."
        )
    own = coefficients(fit.model, fit.posterior).factors[number]
    return _group_table(fit, number, own.deviations, prob)


def coef(
    fit: FitResult, *, factor: str | None = None, prob: float = 0.9
) -> pd.DataFrame:
    """Describe the full coefficients of each group: the population's, and its own part.

    What a row of the group has if all other grouping factors are at their mean.

    Parameters
    ----------
    fit, factor, prob
        As for ``ranef``.

    Returns
    -------
    pandas.DataFrame
        As of ``ranef``.

    Raises
    ------
    SpecError
        If there is no such factor.
    """
    number = _number_of(fit, factor)
    return _group_table(fit, number, _full(fit, number), prob)


def varcorr(fit: FitResult, *, prob: float = 0.9, at: str = "zero") -> pd.DataFrame:
    """Describe the scales and correlations of what varies, and the residual scale.

    Parameters
    ----------
    fit, prob
        As for ``fixef``.
    at
        ``"zero"``: of intercepts where predictors are 0; ``"origins"``: where
        predictors that are far from 0 are at their origins, as the priors of
        correlated coefficients are; those of ``||`` are where predictors are 0.

    Returns
    -------
    pandas.DataFrame
        Columns as of ``fixef``; rows by ``factor`` and ``term``, such as
        ``("county", "sd(floor)")``, ``("county", "cor(Intercept, floor)")`` and
        ``("residual", "sigma")``; ``sd(log sigma)`` where groups' residual scales
        are pooled.

    Raises
    ------
    SpecError
        If ``at`` is neither.
    """
    check_choice("at", at, ("zero", "origins"))
    if at == "origins":
        fit = fit_at_origins(fit)
    posterior, design = fit.posterior, fit.model.design
    index: list[tuple[str, str]] = []
    draws: list[Array] = []

    def add(factor: str, term: str, values: Array) -> None:
        index.append((factor, term))
        draws.append(values)

    for factor in design.factors if fit.model.spec.pooling == "partial" else ():
        names = GroupNames.of(factor.factor)
        labels = factor.coefficients
        for label, tau in zip(labels, flat(posterior[names.tau]).T, strict=True):
            add(factor.factor, f"sd({label})", tau)
        if names.Omega in posterior:
            omega = flat(posterior[names.Omega])
            for row, column in zip(*np.triu_indices(len(labels), 1), strict=True):
                term = f"cor({labels[row]}, {labels[column]})"
                add(factor.factor, term, omega[:, row, column])
    if design.latent is not None:
        add("factors", "sd(loadings)", flat(posterior["loading_scale"]))
    if "sigma" in posterior:
        add("residual", "sigma", flat(posterior["sigma"]))
    if design.residual is not None:
        names = GroupNames.of(design.residual[0])
        if names.tau_sigma in posterior:
            add(design.residual[0], "sd(log sigma)", flat(posterior[names.tau_sigma]))
    return _table(_multi_index(index, ["factor", "term"]), draws, prob)


def pooling_factors(fit: FitResult, *, by_group: bool = False) -> pd.DataFrame:
    r"""Measure how far groups are pooled, and what predictors explain at each level.

    With errors :math:`\epsilon_j = \theta_j - \hat\theta_j` of a level (of groups:
    what their coefficients deviate from their mean) and variances over its units,

    .. math:: \lambda = 1 - \frac{\operatorname{var}_j \operatorname{E} \epsilon_j}
                                 {\operatorname{E} \operatorname{var}_j \epsilon_j},
              \qquad
              R^2 = 1 - \frac{\operatorname{E} \operatorname{var}_j \epsilon_j}
                             {\operatorname{E} \operatorname{var}_j \theta_j}.

    ``pooling`` near 0: the groups speak for themselves; near 1: they cannot be told
    from their mean. Intercepts are those at the predictors' origins.

    Parameters
    ----------
    fit
        A partially pooled fit.
    by_group
        Instead for each group: the posterior variance of its standardized deviation,
        ``(b - mean) / tau``, which is 1 where its own data say nothing.

    Returns
    -------
    pandas.DataFrame
        Columns ``pooling`` and ``r_squared``; rows by ``factor`` and ``coefficient``,
        and the data where outcomes are gaussian. ``by_group``: a column ``pooling``,
        rows also by ``group``.

    Raises
    ------
    SpecError
        If the fit is not partially pooled: the ratios are then not defined.

    References
    ----------
    .. [1] Gelman and Pardoe (2006). Bayesian measures of explained variance and
       pooling in multilevel (hierarchical) models. Technometrics 48(2), 241-251.
    """
    import pandas as pd

    if fit.model.spec.pooling != "partial":
        raise SpecError(
            f"{fit.model!r} is not partially pooled, so nothing measures how much it "
            "pools. Use fit.model.with_(pooling='partial')."
        )
    fit = fit_at_origins(fit)
    found = coefficients(fit.model, fit.posterior)
    index: list[tuple[Any, ...]] = []
    rows: list[Array] = []
    for number, factor in enumerate(fit.model.design.factors):
        if by_group:
            shares = _unlearned(fit, found, number)
            index += [
                (factor.factor, group, label)
                for group in factor.labels
                for label in factor.coefficients
            ]
            rows += [*shares.ravel()[:, None]]
        else:
            index += [(factor.factor, label) for label in factor.coefficients]
            rows += [*_pooling_of_groups(fit, found, number)]
    names = (
        ["factor", "group", "coefficient"] if by_group else ["factor", "coefficient"]
    )
    if not by_group and fit.model.spec.is_linear_gaussian:
        index.append(("data", outcome_name(fit.model.spec)))
        rows.append(_pooling_of_data(fit))
    columns = ["pooling"] if by_group else ["pooling", "r_squared"]
    return pd.DataFrame(rows, index=_multi_index(index, names), columns=columns)


def icc(fit: FitResult, *, prob: float = 0.9) -> pd.DataFrame:
    """Describe the share of each grouping factor in the variance of a new row.

    Where slopes vary, the factor's variance is that of its effects averaged over the
    rows. Outcomes with a link have the variance of their latent scale: that of the
    logistic, normal or Gumbel distribution, or of a count on the log scale.

    Parameters
    ----------
    fit
        A partially pooled fit.
    prob
        Probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        Columns as of ``fixef``; a row for each factor.

    Raises
    ------
    SpecError
        If the fit is not partially pooled, or its family has no such variance.

    References
    ----------
    .. [1] Nakagawa, Johnson and Schielzeth (2017), sections 2 and 3; Johnson (2014).
    """
    model = fit.model
    if model.spec.pooling != "partial":
        raise SpecError(
            f"{model!r} is not partially pooled: without a population of groups there "
            "is no variance of theirs. Use fit.model.with_(pooling='partial')."
        )
    variances = [_variance_of(fit, factor) for factor in model.design.factors]
    between = np.sum(variances, axis=0)
    total = between + _residual_variance(fit, between)
    labels = [factor.factor for factor in model.design.factors]
    return _table(labels, [each / total for each in variances], prob)


def bayes_R2(
    fit: FitResult,
    *,
    group_terms: GroupTerms | None = None,
    prob: float = 0.9,
) -> pd.DataFrame:
    """Describe the share of the variance of outcomes that is explained.

    The variance of the rows' expected outcomes over the same plus the mean variance of
    outcomes about them, at each draw. Of binomial outcomes, the share of successes.

    Parameters
    ----------
    fit
        A fit.
    group_terms
        What enters the expectation, as for ``predict.linpred``: by default all; ``[]``
        is the population alone.
    prob
        Probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        Columns as of ``fixef``, one row, ``R2``.

    Raises
    ------
    SpecError
        If outcomes are categories, which have no variance.

    References
    ----------
    .. [1] Gelman, Goodrich, Gabry and Vehtari (2019), section 2.
    """
    spec, moments = fit.model.spec, _Moments()
    noise: Any = 0.0
    source = predictors_with(fit, group_terms=group_terms)
    # Draws that went astray have variances too large for a number, or too small.
    with np.errstate(all="ignore"):
        for rows in source.chunks():
            design = source.design.take(rows)
            eta, parameters = source.eta(rows), source.parameters(rows)
            size: Any = 1 if design.trials is None else np.maximum(design.trials, 1)
            variance = outcome_variances(spec, design, eta, parameters)
            noise = noise + np.sum(variance / np.square(size), axis=1)
            moments.add(expected_outcomes(spec, design, eta, parameters) / size)
        explained = moments.variance
        unexplained = noise / fit.model.design.rows
        share = explained / (explained + unexplained)
        return _table(["R2"], [np.where(np.isinf(unexplained), 0.0, share)], prob)


def contrasts(
    fit: FitResult,
    pairs: Sequence[tuple[Any, Any]] | None = None,
    *,
    factor: str | None = None,
    coefficient: str = "Intercept",
    prob: float = 0.9,
) -> pd.DataFrame:
    """Describe differences between groups' full coefficients.

    Parameters
    ----------
    fit
        A fit with groups.
    pairs
        Which groups to compare, such as ``[("AITKIN", "ANOKA")]``: the first less the
        second; by default all pairs.
    factor, coefficient
        Which grouping factor, by default the first, and which of its coefficients.
    prob
        Probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        Columns as of ``fixef`` and ``probability``, that the first is greater; rows by
        ``group`` and ``less``.

    Raises
    ------
    SpecError
        If a group or the coefficient is not known, or there are too many pairs.
    """
    number = _number_of(fit, factor)
    design = fit.model.design.factors[number]
    at = _place_of(design, coefficient)
    places = {label: place for place, label in enumerate(design.labels)}
    if pairs is None:
        count = len(places) * (len(places) - 1) // 2
        if count > _MOST_PAIRS:
            raise SpecError(
                f"{len(places)} groups of {shorten(design.factor)} make {count:,} "
                "pairs. Say which, as in pairs=[(first, second)], or see rank_groups."
            )
        pairs = [(a, b) for a in places for b in places if places[a] < places[b]]
    _check_pairs(pairs, places)
    for label in (label for pair in pairs for label in pair):
        if label not in places:
            raise SpecError(
                f"pairs has {shorten(label)}, which is no group of "
                f"{shorten(design.factor)}; there are {listed(places)}."
                + suggestion(str(label), [str(known) for known in places])
            )
    used = sorted({places[label] for pair in pairs for label in pair})
    full = _full(fit, number)(np.array(used, dtype=np.int64))
    values = full.reshape(*full.shape[:2], -1)[..., at]
    column = {place: k for k, place in enumerate(used)}
    differences = [
        values[:, column[places[a]]] - values[:, column[places[b]]] for a, b in pairs
    ]
    table = _table(_multi_index(pairs, ["group", "less"]), differences, prob)
    return table.assign(probability=[float((each > 0).mean()) for each in differences])


def _check_pairs(pairs: Any, groups: Mapping[Any, int]) -> None:
    """Refuse what is not a list of pairs, such as a text, which is one of letters."""
    is_list = isinstance(pairs, Collection) and not isinstance(pairs, str | bytes)
    if is_list and len(pairs) and all(map(_is_pair, pairs)):
        return
    wrong = [each for each in pairs if not _is_pair(each)] if is_list else []
    first, second = [*groups, "first", "second"][:2]
    raise SpecError(
        f"pairs={shorten(pairs)} must be a list of pairs of groups, such as "
        f"[({shorten(first)}, {shorten(second)})]"
        + (f"; {shorten(wrong[0])} is not a pair." if wrong else ".")
    )


def _is_pair(pair: Any) -> bool:
    return isinstance(pair, tuple | list) and len(pair) == 2


def rank_groups(
    fit: FitResult,
    *,
    factor: str | None = None,
    coefficient: str = "Intercept",
    largest_first: bool = True,
    draws: int | None = None,
    prob: float = 0.9,
) -> pd.DataFrame:
    """Rank groups by their full coefficients, with the uncertainty of the ranks.

    Groups are ranked at each draw. A table of estimates in order hides that most ranks
    are hardly known.

    Parameters
    ----------
    fit
        A fit with groups.
    factor, coefficient
        Which grouping factor, by default the first, and which of its coefficients.
    largest_first
        Whether rank 1 is the largest.
    draws
        How many posterior draws to use; all by default.
    prob
        Probability of the central interval.

    Returns
    -------
    pandas.DataFrame
        Columns as of ``fixef``, of the rank, and ``probability_first``; a row for each
        group, in the order of the mean rank.

    Raises
    ------
    SpecError
        If the coefficient is not known, or there are too many groups and draws.

    Examples
    --------
    Draws that are exact, as those of a fit:

    >>> import stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> rank_groups(fit).round(1).head(2)[["mean", "q5", "q95", "probability_first"]]
            mean   q5  q95  probability_first
    school
    G        3.7  1.0  8.0                0.2
    A        3.7  1.0  8.0                0.2
    """
    number = _number_of(fit, factor)
    design = fit.model.design.factors[number]
    at = _place_of(design, coefficient)
    posterior = some_draws(fit.posterior, draws)
    groups = len(design.labels)
    count = posterior.sizes["chain"] * posterior.sizes["draw"]
    if groups * count > LARGEST:
        raise SpecError(
            f"ranking {groups:,} groups at {count:,} draws takes "
            f"{groups * count * 8 / 2**30:,.1f} GB. Pass "
            f"draws={max(1, LARGEST // groups)} for a sample of the draws."
        )
    ranks = np.empty((count, groups))
    full = _full(fit, number, posterior)
    for some in _slices(groups, count * len(design.coefficients)):
        values = full(np.arange(some.start, some.stop))
        ranks[:, some] = values.reshape(count, some.stop - some.start, -1)[..., at]
    for values in ranks:
        order = np.argsort(-values if largest_first else values, kind="stable")
        values[order] = np.arange(1, groups + 1)
    table = _table(list(design.labels), ranks.T, prob)
    table = table.assign(probability_first=(ranks == 1).mean(axis=0))
    return table.rename_axis(design.factor).sort_values("mean", kind="stable")


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
        if design.coefficients:
            index += [f"{of}{label}" for label in design.coefficients]
            draws += [*flat(own["beta"]).T]
    if "cutpoint" in posterior:
        index += [f"cutpoint[{each}]" for each in posterior["between"].to_numpy()]
        draws += [*flat(posterior["cutpoint"]).T]
    return index, draws


def _full(
    fit: FitResult, number: int, posterior: xr.Dataset | None = None
) -> Callable[[Array], Array]:
    """Return a function from groups to their full coefficients, ``(S, J, D, Q)``."""
    posterior = fit.posterior if posterior is None else posterior
    found = coefficients(fit.model, posterior)
    own, design = found.factors[number], fit.model.design
    # Where the mean belongs to an earlier factor, the coefficients here are without.
    missing = np.zeros_like(own.mean)
    for q, label in enumerate(design.factors[number].varying):
        if any(label in each.varying for each in design.factors[:number]):
            if label == "Intercept":
                missing[..., q] = found.alpha
            elif label in design.coefficients:
                missing[..., q] = found.beta[..., design.coefficients.index(label)]

    def full(groups: Array) -> Array:
        return np.asarray(own.b[:, groups] + missing[:, None])

    return full


def _number_of(fit: FitResult, factor: str | None) -> int:
    """Find a grouping factor."""
    names = [each.factor for each in fit.model.design.factors]
    if not names or (factor is not None and factor not in names):
        raise SpecError(
            f"{fit.model!r} has no groups of {shorten(factor)}; its grouping factors: "
            f"{listed(names) or 'none'}."
        )
    return 0 if factor is None else names.index(factor)


def _place_of(factor: FactorDesign, coefficient: str) -> int:
    """Find a varying coefficient."""
    if coefficient not in factor.coefficients:
        raise SpecError(
            f"{shorten(coefficient)} does not vary over {shorten(factor.factor)}; "
            f"{listed(factor.coefficients)} do."
            + suggestion(str(coefficient), factor.coefficients)
        )
    return factor.coefficients.index(coefficient)


def _slices(groups: int, width: int) -> Iterator[slice]:
    """Cut groups into blocks of some 16 MB."""
    size = max(1, _BLOCK // width)
    for start in range(0, groups, size):
        yield slice(start, min(start + size, groups))


def _group_table(
    fit: FitResult, number: int, values: Callable[[Array], Array], prob: float
) -> pd.DataFrame:
    """Describe coefficients of all groups of a factor, block by block."""
    import pandas as pd

    interval_levels(prob)
    factor = fit.model.design.factors[number]
    draws = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"]
    tables = []
    for some in _slices(len(factor.labels), draws * len(factor.coefficients)):
        block = values(np.arange(some.start, some.stop))
        tables.append(describe(block.reshape(draws, -1), prob))
    index = [(group, label) for group in factor.labels for label in factor.coefficients]
    return pd.DataFrame(
        {name: np.concatenate([each[name] for each in tables]) for name in tables[0]},
        index=_multi_index(index, [factor.factor, "coefficient"]),
    )


def _table(index: Any, draws: Sequence[Array] | Array, prob: float) -> pd.DataFrame:
    """Describe some quantities, a row each."""
    import pandas as pd

    interval_levels(prob)
    values = np.stack(list(draws), axis=1) if len(draws) else np.empty((2, 0))
    return pd.DataFrame(describe(values, prob), index=index)


def _multi_index(rows: Sequence[tuple[Any, ...]], names: list[str]) -> pd.MultiIndex:
    import pandas as pd

    if not rows:
        return pd.MultiIndex.from_arrays([[] for _ in names], names=names)
    return pd.MultiIndex.from_tuples(rows, names=names)


class _Moments:
    """Means and variances over rows that come a few at a time, for each draw."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Any = 0.0
        self.squares: Any = 0.0

    def add(self, values: Array) -> None:
        """Add values of shape ``(S, rows)``; Chan, Golub and LeVeque's update."""
        count, mean = values.shape[1], values.mean(axis=1)
        gap, total = mean - self.mean, self.count + count
        self.squares = (
            self.squares
            + np.square(values - mean[:, None]).sum(axis=1)
            + np.square(gap) * (self.count * count / total)
        )
        self.mean = self.mean + gap * (count / total)
        self.count = total

    @property
    def variance(self) -> Array:
        return np.asarray(self.squares / max(self.count - 1, 1))


def _pooling_of_groups(fit: FitResult, found: Coefficients, number: int) -> Array:
    """Return pooling and R2 of each coefficient of a factor, shape ``(C, 2)``."""
    own, factor = found.factors[number], fit.model.design.factors[number]
    draws, width = len(own.b), len(factor.coefficients)
    errors, full = ([_Moments() for _ in range(width)] for _ in range(2))
    means = []
    for some in _slices(len(factor.labels), draws * width):
        groups = np.arange(some.start, some.stop)
        u = own.deviations(groups).reshape(draws, len(groups), width)
        b = own.b[:, groups].reshape(draws, len(groups), width)
        means.append(u.mean(axis=0))
        for c in range(width):
            errors[c].add(u[..., c])
            if own.U is not None:  # else all groups have one mean
                full[c].add(b[..., c])
    of_means = np.concatenate(means).var(axis=0, ddof=1)
    unexplained = np.array([each.variance.mean() for each in errors])
    total = unexplained
    if own.U is not None:
        total = np.array([each.variance.mean() for each in full])
    return np.column_stack([1 - of_means / unexplained, 1 - unexplained / total])


def _pooling_of_data(fit: FitResult) -> Array:
    """Return pooling and R2 of the rows."""
    y, errors, means = fit.model.design.y, _Moments(), []
    source = predictors_of(fit)
    for rows in source.chunks():
        residual = y[rows] - source.eta(rows)
        errors.add(residual)
        means.append(residual.mean(axis=0))
    unexplained = errors.variance.mean()
    of_means = np.concatenate(means).var(ddof=1)
    return np.array([1 - of_means / unexplained, 1 - unexplained / y.var(ddof=1)])


def _unlearned(fit: FitResult, found: Coefficients, number: int) -> Array:
    """Return the posterior variances of standardized deviations, ``(J, C)``."""
    own, factor = found.factors[number], fit.model.design.factors[number]
    tau = flat(fit.posterior[GroupNames.of(factor.factor).tau])
    draws, width = tau.shape
    blocks = []
    for some in _slices(len(factor.labels), draws * width):
        groups = np.arange(some.start, some.stop)
        u = own.deviations(groups).reshape(draws, len(groups), width)
        blocks.append((u / tau[:, None]).var(axis=0))
    return np.asarray(np.clip(np.concatenate(blocks), 0, 1))


def _variance_of(fit: FitResult, factor: FactorDesign) -> Array:
    """Return the variance of a factor's effects, averaged over rows, shape ``(S,)``."""
    if factor.predictors_of:
        raise SpecError(
            "family='categorical' has a linear predictor for each category; see "
            "varcorr for the scales of each."
        )
    names = GroupNames.of(factor.factor)
    tau = flat(fit.posterior[names.tau])
    weights = np.ones(len(factor.Z))
    if factor.weights is not None:
        weights = np.square(factor.weights).sum(axis=1)
    square = (factor.Z * weights[:, None]).T @ factor.Z / len(factor.Z)
    if names.Omega not in fit.posterior:
        return np.asarray(np.square(tau) @ np.diag(square))
    omega = flat(fit.posterior[names.Omega])
    return np.asarray(np.einsum("sa,sab,sb,ab->s", tau, omega, tau, square))


def _residual_variance(fit: FitResult, between: Array) -> Any:
    """Return the variance of rows about their linear predictor, shape ``(S,)``."""
    spec, design, posterior = fit.model.spec, fit.model.design, fit.posterior
    if spec.link_name in _LATENT and spec.family != "beta":
        return _LATENT[spec.link_name]
    if spec.link_name == "identity":
        known = 0.0 if design.se is None else np.mean(np.square(design.se))
        learned: Any = 0.0
        if design.residual is not None:
            sigma = flat(posterior[GroupNames.of(design.residual[0]).sigma])
            share = np.bincount(design.residual[2], minlength=sigma.shape[1])
            learned = np.asarray(np.square(sigma) @ share / design.rows)
        elif "sigma" in posterior:
            learned = np.square(flat(posterior["sigma"]))
        if spec.family != "student_t":
            return learned + known
        nu = flat(posterior["nu"])
        with np.errstate(divide="ignore"):
            heavier = np.where(nu > 2, 1 / (1 - 2 / nu), np.inf)
        return (learned + known) * heavier
    if spec.family == "gamma":
        return np.asarray(np.log1p(1 / flat(posterior["shape"])))
    if spec.family in ("poisson", "negative_binomial"):
        mean: Any = 0.0
        source = predictors_with(fit, group_terms=[])
        for rows in source.chunks():
            mean = mean + np.exp(source.eta(rows)).sum(axis=1) / design.rows
        inverse = 1 / (mean * np.exp(between / 2))
        if spec.family == "negative_binomial":
            inverse = inverse + 1 / flat(posterior["phi"])
        return np.asarray(np.log1p(inverse))
    raise SpecError(
        f"family={spec.family!r} with link={spec.link_name!r} has no residual variance "
        "on the scale of the linear predictor; see bayes_R2, or varcorr."
    )
