"""Draws of effects to tables, hypotheses about them, or the draws themselves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pandas as pd

from stanpool.base.arrays import LARGEST_ARRAY, Array, gigabytes
from stanpool.base.errors import DataError, SpecError, quote, quote_list
from stanpool.inference.estimates.hypothesis import evaluate
from stanpool.inference.estimates.summary_table import places_shown, rounded
from stanpool.posterior.intervals import interval_levels, quantiles
from stanpool.posterior.scalars import short_label

OWN_OF_PREDICTIONS = ("category", "estimate", "lower", "upper", "pd", "groups")
OWN = ("term", "contrast", *OWN_OF_PREDICTIONS)


class EffectsTable(pd.DataFrame):
    """Effects, which are a data frame that shows all of its columns.

    Estimates and intervals are shown with the digits that their Monte Carlo standard
    errors support, as if draws were independent; the numbers themselves are not
    rounded. Lines that are longer than ``pandas.options.display.width``, 80 by default,
    go on below.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        """Parts of the table, and what is computed from it, are plain data frames."""
        return pd.DataFrame

    def __repr__(self) -> str:
        """Write the table in the width of the console."""
        shown, note = self._shown()
        return shown.to_string(line_width=pd.get_option("display.width") or 80) + note

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Write the table for notebooks, with every label escaped."""
        shown, note = self._shown()
        return shown.to_html(border=0) + (f"<p>{note.strip()}</p>" if note else "")

    def _shown(self) -> tuple[pd.DataFrame, str]:
        """Return the cells as texts, of very many rows the first and the last."""
        head, tail = places_shown(len(self))
        some = self.iloc[[*head, *tail]]
        left = len(self) - len(some)
        cells = {name: _texts(name, some, self.attrs) for name in some.columns}
        note = f"\n({left:,} rows between them are not shown)" if left else ""
        return pd.DataFrame(cells, index=some.index), note


# The Monte Carlo standard errors of the mean and of the 5 % and 95 % quantiles of
# independent draws, in units of their standard deviation over the root of their number.
_ERRORS = {"estimate": 1.0, "lower": 2.1, "upper": 2.1}


def _texts(name: Any, table: pd.DataFrame, attrs: Mapping[Any, Any]) -> list[str]:
    """Return the cells of a column as texts, rounded where these are of draws."""
    if name in ("pd", "probability"):
        return [f"{each:.3f}" for each in table[name]]
    if name not in _ERRORS or not {"lower", "upper"} <= set(table.columns):
        is_number = table[name].dtype.kind == "f"
        return [f"{x:.4g}" if is_number else short_label(x, 40) for x in table[name]]
    widths = 2.0 * NormalDist().inv_cdf(0.5 + attrs["prob"] / 2.0)
    sd = (table["upper"] - table["lower"]).abs() / widths
    errors = _ERRORS[name] * sd / attrs["draws"] ** 0.5
    return [rounded(*each) for each in zip(table[name], errors, strict=True)]


@dataclass(frozen=True, eq=False)
class Effects:
    """Draws of some quantities, and what they are.

    Attributes
    ----------
    draws
        Shape ``(S, quantities)``.
    labels
        A row for each quantity.
    null
        The value of no effect.
    """

    draws: Array
    labels: pd.DataFrame
    null: float = 0.0


@dataclass(frozen=True)
class Output:
    """What a table is made of, and how.

    Attributes
    ----------
    prob
        The probability of the central intervals.
    groups
        Which group effects enter, in words.
    hypothesis
        Hypotheses about the quantities, if any.
    as_draws
        Whether the draws are wanted.
    """

    prob: float
    groups: str
    hypothesis: Sequence[str]
    as_draws: bool


def check_names(columns: Iterable[Any], own: Sequence[str] = OWN) -> None:
    """Refuse columns of the rows that are called as those of tables are."""
    taken = [name for name in columns if name in own]
    if taken:
        raise DataError(
            f"the rows have the column(s) {quote_list(taken)}, which tables of effects "
            "have as well. Rename them, as in newdata.rename(columns={"
            f"{quote(taken[0])}: {quote(str(taken[0]) + '_')}}})."
        )


def labels_with(frame: pd.DataFrame, **first: Any) -> pd.DataFrame:
    """Return labels of quantities: what is the same of all, then columns of each."""
    own = {name: value for name, value in first.items() if value is not None}
    table = pd.DataFrame(index=pd.RangeIndex(len(frame)))
    for name, value in own.items():
        table[name] = value
    for name in frame.columns:
        table[name] = frame[name].array
    return table


def over_categories(
    values: Array, labels: pd.DataFrame, categories: Sequence[Any], null: float
) -> Effects:
    """Return quantities of cells, or one for each category of each cell.

    Parameters
    ----------
    values
        Shape ``(S, cells)``, or ``(S, cells, C)`` with categories.
    labels
        A row for each cell.
    categories
        The C categories, if any.
    null
        The value of no effect.
    """
    if not categories:
        return Effects(values, labels, null)
    cells, count = values.shape[1:]
    repeated = labels.loc[np.tile(np.arange(cells), count)].reset_index(drop=True)
    kind = pd.CategoricalDtype(list(categories), ordered=True)
    level = pd.Categorical.from_codes(np.repeat(np.arange(count), cells), dtype=kind)
    place = sum(name in repeated.columns for name in ("term", "contrast"))
    repeated.insert(place, "category", pd.Series(level))
    draws = values.transpose(0, 2, 1).reshape(len(values), -1)
    return Effects(draws, repeated, null)


def table_of(
    found: Iterable[Sequence[Effects]], output: Output, size: tuple[int, int]
) -> pd.DataFrame:
    """Return the table of quantities, their hypotheses or their draws.

    Parameters
    ----------
    found
        Blocks of cells: the same kinds of quantities in each, in the same order.
    output
        What is wanted.
    size
        The numbers of chains, and of draws of each.
    """
    interval_levels(output.prob)
    if output.hypothesis or output.as_draws:
        effects = _joined(found, size)
        if output.hypothesis:
            return _hypotheses(effects, output, size)
        return _draws(effects, output, size)
    columns: list[list[pd.DataFrame]] = []
    for block in found:
        summaries = [_summary(each, output) for each in block]
        columns = columns or [[] for _ in summaries]
        for own, each in zip(columns, summaries, strict=True):
            own.append(each)
    table = pd.concat([each for own in columns for each in own], ignore_index=True)
    return _attributed(table, output, size)


def _attributes(output: Output, size: tuple[int, int]) -> dict[str, Any]:
    draws = size[0] * size[1]
    return {"groups": output.groups, "prob": output.prob, "draws": draws}


def _attributed(
    table: pd.DataFrame, output: Output, size: tuple[int, int]
) -> pd.DataFrame:
    table = EffectsTable(table)
    table.attrs.update(_attributes(output, size))
    return table


def _summary(effects: Effects, output: Output) -> pd.DataFrame:
    """Return the estimates, intervals and probabilities of direction."""
    return effects.labels.assign(
        **described(effects.draws, effects.null, output.prob), groups=output.groups
    )


def described(draws: Array, null: float, prob: float) -> dict[str, Any]:
    """Describe draws by their mean, a central interval and the direction of effects."""
    lower, upper = quantiles(draws, interval_levels(prob))
    above, below = (draws > null).mean(axis=0), (draws < null).mean(axis=0)
    return {
        "estimate": draws.mean(axis=0),
        "lower": lower,
        "upper": upper,
        "pd": np.maximum(above, below),
    }


def _joined(found: Iterable[Sequence[Effects]], size: tuple[int, int]) -> list[Effects]:
    """Return all quantities, of one kind after another, or refuse too many."""
    kinds: list[list[Effects]] = []
    count = 0
    for block in found:
        kinds = kinds or [[] for _ in block]
        for own, each in zip(kinds, block, strict=True):
            own.append(each)
            count += each.draws.shape[1]
        numbers = count * size[0] * size[1]
        if numbers > LARGEST_ARRAY:
            raise SpecError(
                f"draws of {count:,} quantities and more take {gigabytes(numbers)}. "
                "Average over rows, by=True, pass fewer rows, or draws= for a sample "
                "of the draws."
            )
    return [
        Effects(
            np.concatenate([each.draws for each in own], axis=1),
            pd.concat([each.labels for each in own], ignore_index=True),
            own[0].null,
        )
        for own in kinds
    ]


def _draws(
    effects: Sequence[Effects], output: Output, size: tuple[int, int]
) -> pd.DataFrame:
    """Return draws: a row for each quantity, a column for each draw."""
    labels = pd.concat([each.labels for each in effects], ignore_index=True)
    labels = labels.assign(groups=output.groups)
    columns = pd.MultiIndex.from_product(
        [range(size[0]), range(size[1])], names=["chain", "draw"]
    )
    table = pd.DataFrame(
        np.concatenate([each.draws for each in effects], axis=1).T,
        index=pd.MultiIndex.from_frame(labels),
        columns=columns,
    )
    table.attrs.update(_attributes(output, size))
    return table


def _hypotheses(
    effects: Sequence[Effects], output: Output, size: tuple[int, int]
) -> pd.DataFrame:
    """Return the table of hypotheses about quantities, which are b1, b2 and so on."""
    draws = np.concatenate([each.draws for each in effects], axis=1)
    labels = pd.concat([each.labels for each in effects], ignore_index=True)
    names = {f"b{at + 1}": at for at in range(draws.shape[1])}
    own = _names_of(labels)
    names |= {name: at for at, name in enumerate(own) if own.count(name) == 1}

    def lookup(name: str, text: str) -> Array:
        if name in names:
            return np.asarray(draws[:, names[name]])
        raise SpecError(
            f"the hypothesis {quote(text)} has the name {quote(name)}, which is not "
            f"one of the {draws.shape[1]} quantities; these are b1, b2 and so on, in "
            f"the order of the table, or {quote_list([n for n in names if n in own])}."
        )

    rows = []
    for text in output.hypothesis:
        estimate, holds = evaluate(text, lookup)
        estimate = np.broadcast_to(estimate, (len(draws),))
        found = described(estimate[:, None], 0.0, output.prob)
        rows.append(
            {"hypothesis": text}
            | {name: float(each[0]) for name, each in found.items()}
            | {"probability": float(np.mean(holds)), "groups": output.groups}
        )
    return _attributed(pd.DataFrame(rows), output, size)


def _names_of(labels: pd.DataFrame) -> list[str]:
    """Name quantities by what they are: ``x[60 - 20, north]``, or ``[north]``."""
    rest = [name for name in labels.columns if name != "term"]
    return [
        f"{row.get('term', 'b')}[{', '.join(str(row[name]) for name in rest)}]"
        for row in labels.to_dict("records")
    ]
