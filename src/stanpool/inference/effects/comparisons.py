"""Comparisons of expected outcomes at two values of a variable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from stanpool.base.arrays import Array
from stanpool.base.errors import DataError, SpecError, check_choice, quote, quote_list
from stanpool.base.options import (
    Comparison,
    Cross,
    EffectGroups,
    EffectKind,
    NewGroups,
)
from stanpool.inference.effects.expected import Expectations
from stanpool.inference.effects.groups import columns_of_groups, group_effects
from stanpool.inference.effects.rows.extrapolation import warn_of_extrapolation
from stanpool.inference.effects.rows.grid import grid_of, roles_of
from stanpool.inference.effects.rows.scenarios import (
    Contrast,
    Scenario,
    contrasts_of,
    variables_asked,
)
from stanpool.inference.effects.tables import (
    Effects,
    Output,
    check_names,
    labels_with,
    over_categories,
    table_of,
)
from stanpool.inference.prediction.rows import check_parameter
from stanpool.sampling.settings import random_seed

if TYPE_CHECKING:
    import pandas as pd

    from stanpool.model.fit_result import FitResult
    from stanpool.model.prepared_model import PreparedModel


@dataclass(frozen=True)
class Rule:
    """How two expected outcomes are compared.

    Attributes
    ----------
    of
        The function of the higher and the lower, as arrays.
    pattern
        How a table writes it.
    null
        Its value where both are the same.
    """

    of: Callable[[Array, Array], Array]
    pattern: str = "{} - {}"
    null: float = 0.0


def _odds(p: Array) -> Array:
    return p / (1.0 - p)


RULES: Mapping[Comparison, Rule] = {
    "difference": Rule(lambda high, low: high - low),
    "ratio": Rule(lambda high, low: high / low, "{} / {}", 1.0),
    "log_ratio": Rule(lambda high, low: np.log(high / low), "log({} / {})"),
    "lift": Rule(lambda high, low: high / low - 1.0, "{} / {} - 1"),
    "odds_ratio": Rule(
        lambda high, low: _odds(high) / _odds(low), "odds({}) / odds({})", 1.0
    ),
    "log_odds_ratio": Rule(
        lambda high, low: np.log(_odds(high) / _odds(low)), "log odds({}) / odds({})"
    ),
}


def comparisons(
    fit: FitResult,
    variables: str | Sequence[str] | Mapping[str, Any] | None = None,
    *,
    newdata: Any = None,
    comparison: Comparison | Callable[[Array, Array], Any] = "difference",
    by: bool | str | Sequence[str] | None = None,
    weights: Any = None,
    cross: Cross | None = None,
    groups: EffectGroups | Mapping[str, EffectGroups] | None = None,
    new_groups: NewGroups = "error",
    kind: EffectKind = "epred",
    parameter: str = "mean",
    hypothesis: str | Sequence[str] | None = None,
    prob: float = 0.9,
    draws: int | None = None,
    seed: int | None = None,
    as_draws: bool = False,
) -> pd.DataFrame:
    """Compare expected outcomes at two values of a variable, with all else unchanged.

    At each draw the expected outcome of each row is computed with either value, both
    are averaged over rows, and the averages are compared. An estimate is the mean over
    draws, so that it is the same whether rows are averaged before or afterwards.

    Parameters
    ----------
    fit
        A fit.
    variables
        A variable, several, or a mapping from each to the values that are compared; by
        default all predictors. For a number: a difference about the value of each row,
        by default 1 (for a column of 0 and 1, from 0 to 1); two values, the lower
        first; ``"sd"``, ``"2sd"``; ``"iqr"``, ``"minmax"``; or a function that returns
        the low and the high values of a column. For a factor: two levels, the reference
        first; ``"reference"``, each level and the first, by default; ``"sequential"``,
        ``"pairwise"`` or ``"all"``.
    newdata
        Rows, as a data frame or a mapping of columns, for example a ``datagrid``;
        ``"mean"``, ``"median"`` or ``"balanced"`` for such a grid of one or more rows;
        by default the data.
    comparison
        ``"difference"``, ``"ratio"``, ``"log_ratio"``, ``"lift"``, ``"odds_ratio"``,
        ``"log_odds_ratio"``, or a function of two arrays, the expected outcomes at the
        high and at the low value.
    by
        Columns by whose values rows are averaged; True for the average over all rows,
        False for each row. By default the average over the data, or each row of
        ``newdata``.
    weights
        The weights of rows in averages: a column, or an array. By default rows count
        equally, also where the model's likelihood has weights.
    cross
        With several variables, ``"both"`` changes them at once, and ``"interaction"``
        says how the comparison of the first differs between the two values of the
        second: the difference of two differences, or the ratio of two ratios.
    groups
        Which group effects enter: ``"fitted"``, those of the rows' groups;
        ``"population"``, the average over new groups; ``"none"``, groups whose effects
        are all zero, which is another quantity unless the link is the identity; or a
        mapping from grouping factors to these. By default ``"fitted"`` if the rows name
        their groups, and ``"population"`` otherwise. The table says which.
    new_groups
        With ``groups="fitted"``, how groups are predicted that are not in the fit, as
        for ``predict``.
    kind
        ``"epred"`` for expected outcomes (of one trial, where there are several), or
        ``"linpred"`` for linear predictors.
    parameter
        By default outcomes are what is expected; or a parameter of the family, such as
        ``"sigma"``, whose values are averaged, or its linear predictors with
        ``kind="linpred"``.
    hypothesis
        Hypotheses about the quantities, such as ``"b2 > b1"``, in the language of
        ``Fit.hypothesis``: quantities are ``b1``, ``b2`` and so on in the order of the
        table, or named as in ``"age[60 - 20, north]"``.
    prob
        The probability of the central interval.
    draws
        The number of posterior draws to use; by default all, or fewer if all of them
        would take long, which an ``EffectWarning`` says (``attrs["draws"]`` of the
        table says how many there are).
    seed
        The seed of the effects of new groups.
    as_draws
        Whether to return the draws: a row for each quantity, with its labels as the
        index, and a column for each draw.

    Returns
    -------
    pandas.DataFrame
        A row for each quantity: ``term``, ``contrast``, ``category`` of ordinal and
        categorical outcomes, the columns of ``by`` or of the grid, ``estimate``,
        ``lower``, ``upper``, ``pd`` (the probability of the effect's direction), and
        ``groups``.

    Raises
    ------
    SpecError
        If an option is not one of its choices, or has no meaning with the model.
    DataError
        If rows cannot be predicted, or a variable cannot have a value.

    Warns
    -----
    EffectWarning
        If rows or values are outside of the data of the fit, or if fewer draws are
        used than there are.

    Notes
    -----
    Averages over new groups are exact for the identity, log and probit links, and
    computed to ten digits for logit and cloglog. Probabilities of unordered categories
    are computed to about three digits: the error is at most about 0.0005 with three
    categories, and with five 0.0003 where linear predictors of groups have a standard
    deviation of 1, and 0.002 where it is 5 (with eight categories, 0.001 and 0.01).

    References
    ----------
    .. [1] Gelman and Pardoe (2007). Average predictive comparisons for models with
       nonlinearity, interactions, and variance components. Sociological Methodology
       37(1), 23-51.
    .. [2] Arel-Bundock, Greifer and Heiss (2024). How to interpret statistical models
       using marginaleffects for R and Python. Journal of Statistical Software 111(9).

    Examples
    --------
    >>> import numpy as np, stanpool as sp
    >>> model = sp.Model("y | se(sigma) ~ 1 + (1 | school)",
    ...                  sp.load_dataset("eight_schools"))
    >>> fit = sp.exact.known_sigma(model).draw(np.random.default_rng(1))
    >>> table = comparisons(fit, {"school": ["B", "A"]})
    >>> table[["term", "contrast", "estimate", "pd", "groups"]].round(1)
         term contrast  estimate   pd  groups
    0  school    A - B       2.0  0.6  fitted
    """
    model = fit.model
    check_parameter(model, parameter)
    asked = variables_asked(model, variables)
    rule = _rule(comparison, kind)
    grid = grid_of(fit, newdata, by=by, weights=weights)
    effects = group_effects(
        model, groups, new_groups, [*grid.frame.columns, *asked], parameter
    )
    _check_own_groups(model, asked, effects.of, parameter)
    own = {
        name: contrasts_of(model, grid.frame, name, each)
        for name, each in asked.items()
    }
    compared = _crossed(own, cross, rule) if cross else _single(own, rule)
    check_names(grid.labels.columns)
    warn_of_extrapolation(model, grid, _fixed_in(compared))
    expected = Expectations(
        fit=fit,
        grid=grid,
        scenarios=tuple(dict.fromkeys(x for each in compared for x in each.scenarios)),
        groups=effects,
        kind=kind,
        parameter=parameter,
        draws=draws,
        seed=random_seed() if seed is None else seed,
    )
    output = Output(prob, effects.words, as_texts(hypothesis), as_draws)
    return table_of(compared_effects(expected, compared), output, expected.size)


@dataclass(frozen=True)
class Compared:
    """Scenarios whose expected outcomes are compared: two, or two pairs."""

    term: str
    names: tuple[tuple[str, str, str], ...]
    scenarios: tuple[Scenario, ...]
    rule: Rule

    def of(self, values: Mapping[Scenario, Array]) -> Array:
        """Return draws of the comparison."""
        found = [values[each] for each in self.scenarios]
        with np.errstate(all="ignore"):
            first = _checked(self.rule.of(found[0], found[1]), found[0])
            if len(found) == 2:
                return first
            second = _checked(self.rule.of(found[2], found[3]), found[0])
            return first / second if self.rule.null == 1.0 else first - second

    @property
    def label(self) -> str:
        """Say what is compared with what."""
        pattern = self.rule.pattern
        return ", ".join(
            change or pattern.format(high, low) for high, low, change in self.names
        )


def _checked(values: Any, like: Array) -> Array:
    found = np.asarray(values, dtype=float)
    if found.shape != like.shape:
        raise DataError(
            f"the function in comparison= returned shape {found.shape} for two arrays "
            f"of shape {like.shape}, draws and cells; it must return one number for "
            "each."
        )
    return found


def _single(own: Mapping[str, Sequence[Contrast]], rule: Rule) -> list[Compared]:
    return [
        Compared(
            each.terms[0],
            ((*each.names, each.change),),
            (Scenario(each.high), Scenario(each.low)),
            rule,
        )
        for contrasts in own.values()
        for each in contrasts
    ]


def _crossed(
    own: Mapping[str, Sequence[Contrast]], cross: str, rule: Rule
) -> list[Compared]:
    """Combine the contrasts of several variables."""
    if len(own) < 2 or (cross == "interaction" and len(own) > 2):
        number = "two" if cross == "interaction" else "two or more"
        raise SpecError(
            f"cross={quote(cross)} needs {number} variables, and variables has "
            f"{quote_list(own)}."
        )
    found = []
    for each in product(*own.values()):
        term = ", ".join(name for one in each for name in one.terms)
        names = tuple((*one.names, one.change) for one in each)
        high = tuple(change for one in each for change in one.high)
        low = tuple(change for one in each for change in one.low)
        scenarios = [Scenario(high), Scenario(low)]
        if cross == "interaction":
            a, b = each
            scenarios[1:1] = [Scenario(a.low + b.high), Scenario(a.high + b.low)]
        found.append(Compared(term, names, tuple(scenarios), rule))
    return found


def compared_effects(
    expected: Expectations, compared: Sequence[Compared]
) -> Iterator[list[Effects]]:
    """Yield the comparisons of some cells at a time."""
    for cells, values in expected.blocks():
        frame = expected.grid.labels.iloc[cells]
        yield [
            over_categories(
                each.of(values),
                labels_with(frame, term=each.term, contrast=each.label),
                expected.categories,
                each.rule.null,
            )
            for each in compared
        ]


def _fixed_in(compared: Sequence[Compared]) -> dict[str, set[Any]]:
    """Return the values that all rows get, by variable."""
    found: dict[str, set[Any]] = {}
    for each in compared:
        for scenario in each.scenarios:
            for name, value in scenario.fixed.items():
                found.setdefault(name, set()).add(value)
    return found


def _rule(comparison: Any, kind: str) -> Rule:
    if callable(comparison):
        return Rule(comparison, "{}, {}")
    check_choice("comparison", comparison, RULES)
    return RULES[comparison]


def _check_own_groups(
    model: PreparedModel,
    asked: Mapping[str, Any],
    of: Mapping[str, str],
    parameter: str,
) -> None:
    """Refuse to compare groups whose own effects do not enter."""
    for factor, key in columns_of_groups(model, parameter).items():
        word = of[factor]
        for name in key:
            is_predictor = name in roles_of(model).predictors
            if name in asked and word != "fitted" and not is_predictor:
                raise SpecError(
                    f"variables has the grouping factor {quote(name)}, whose groups "
                    f"do not differ with groups={quote(word)}. Pass groups='fitted'."
                )


def as_texts(hypothesis: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return hypotheses as a tuple."""
    if hypothesis is None:
        return ()
    return (hypothesis,) if isinstance(hypothesis, str) else tuple(hypothesis)
