"""How a summary of a posterior is shown: its digits, its lines and its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stanpool.posterior.scalars import short_label

_FEWEST = 16  # characters of a label that there is always room for
_SHORT = 6  # characters of a column's name that is in one line
_ROWS = 60  # that are all shown; of more, these first and last ones
_HEAD, _TAIL = 18, 5
_INDEPENDENT = 1000.0  # draws of an approximation, at least
_END = 7  # characters of the end of a label that is cut
_DIGITS = 4  # significant digits of an estimate, at most
_DECIMALS = 8  # of an estimate, at most; smaller ones have an exponent


class SummaryTable(pd.DataFrame):
    """A summary, which is a data frame that shows as many digits as its draws support.

    Numbers are rounded where the Monte Carlo standard error [1]_ of the estimate is: a
    digit is shown if the error is less than one of its units. All columns fit
    into the width of ``pandas.options.display.width``, 80 by default. The numbers
    themselves are not rounded; ``table.to_string()`` writes all their digits.

    References
    ----------
    .. [1] Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021). Rank-normalization,
       folding, and localization: an improved R-hat for assessing convergence of MCMC.
       Bayesian Analysis 16(2), 667-718, section 4.3.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        """Parts of the table, and what is computed from it, are plain data frames."""
        return pd.DataFrame

    def __repr__(self) -> str:
        """Write the table in the width of the console."""
        width = console_width()
        head, tail = places_shown(len(self))
        columns = [
            two_line_column(name, texts) for name, texts in rounded_cells(self).items()
        ]
        room = max(width - sum(len(each[0]) + 1 for each in columns), _FEWEST)
        labels = _labels_of(self.index, room)
        broad = max((len(each[-1]) for each in labels), default=0)
        lines = [line_of("", columns, broad, 0), line_of("", columns, broad, 1)]
        if self.columns.name:  # such as that it is of an approximation
            lines.insert(0, str(self.columns.name))
        first_of_tail = tail[0] if tail else -1
        for row in (*head, *tail):
            if row == first_of_tail:
                lines.append(f"({first_of_tail - len(head):,} more rows)")
            *above, last = labels[row]
            is_same = row > 0 and labels[row - 1][:-1] == above and row != first_of_tail
            lines += [] if is_same else above
            lines.append(line_of(last, columns, broad, row + 2))
        return "\n".join(lines)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Write the table for notebooks, with every label escaped."""
        return summary_html(self)


def summary_html(table: pd.DataFrame) -> str:
    """Write a summary as HTML, with every label escaped."""
    head, tail = places_shown(len(table))
    index = [" ".join(_parts(label, 80)) for label in table.index]
    cells = pd.DataFrame(rounded_cells(table), index=index)
    shown = cells.iloc[[*head, *tail]].to_html(border=0)
    left = len(table) - len(head) - len(tail)
    return shown + (f"<p>{left:,} rows are not shown.</p>" if left else "")


def places_shown(count: int) -> tuple[range, range]:
    """Return which rows are shown: the first ones, and the last ones of very many."""
    if count <= _ROWS:
        return range(count), range(0)
    return range(_HEAD), range(count - _TAIL, count)


def rounded_cells(table: pd.DataFrame) -> dict[str, list[str]]:
    """Write the numbers of each column with the digits that the draws support."""
    sd = np.full(len(table), np.nan)  # all digits are shown if a user deletes it
    if "sd" in table:
        sd = table["sd"].to_numpy(dtype=float)
    # Approximations have no effective sizes, and independent draws.
    bulk, tail = (
        table[x].to_numpy(dtype=float) if x in table else _INDEPENDENT
        for x in ("ess_bulk", "ess_tail")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        errors = {
            "mean": sd / np.sqrt(bulk),
            "sd": sd / np.sqrt(2.0 * bulk),
            "median": 1.25 * sd / np.sqrt(bulk),  # of a normal posterior
        }
        of_quantiles = 2.1 * sd / np.sqrt(tail)  # of its 5 % and 95 % quantiles
    found = {}
    for name in table.columns:
        values = table[name].to_numpy(dtype=float)
        if name == "r_hat":
            found[name] = [f"{x:.3f}" for x in values]
        elif name.startswith("ess"):
            found[name] = [f"{x:,.0f}" for x in values]
        elif name == "mcse_mean":
            found[name] = [f"{x:.2g}" for x in values]
        else:
            pairs = zip(values, errors.get(name, of_quantiles), strict=True)
            found[name] = [rounded(value, error) for value, error in pairs]
        found[name] = ["" if x in ("nan", "-nan") else x for x in found[name]]
    return found


def rounded(value: float, error: float) -> str:
    """Write a number with the digits that its Monte Carlo standard error supports.

    Examples
    --------
    >>> rounded(1.46021, 0.002), rounded(-0.68912, 0.02), rounded(1234.5, 12.0)
    ('1.46', '-0.7', '1200')
    """
    if not np.isfinite(value):
        return str(value)
    if not error > 0 or not np.isfinite(error):
        return f"{value:.{_DIGITS}g}"
    decimals = int(np.floor(-np.log10(error)))
    if value:
        first = int(np.floor(np.log10(abs(value))))
        # One digit at least, and no more than can be read.
        decimals = min(max(decimals, -first), _DIGITS - 1 - first)
    if decimals > _DECIMALS:
        return f"{value:.1g}"
    text = f"{round(value, decimals):.{max(decimals, 0)}f}"
    return text.lstrip("-") if float(text) == 0 else text


def console_width() -> int:
    """Return how many characters a line may have, as pandas has it."""
    return pd.get_option("display.width") or 80


def two_line_column(name: str, texts: Sequence[str]) -> list[str]:
    """Return a name in two lines and the texts below it, all of the same width."""
    first, _, second = name.rpartition("_") if len(name) > _SHORT else ("", "", name)
    column = [first, second, *texts]
    width = max(map(len, column))
    return [text.rjust(width) for text in column]


def _labels_of(index: pd.Index, room: int) -> list[list[str]]:
    """Write each label; of a table of many fits, the fit above its parameters."""
    if index.nlevels == 1:
        return _labels([short_label(label, 200) for label in index], room)
    parts = [_parts(label, 200) for label in index]
    inner = _labels([last for *_, last in parts], room - 2)
    return [
        [" ".join(outer), *(f"  {line}" for line in lines)]
        for (*outer, _), lines in zip(parts, inner, strict=True)
    ]


def _parts(label: Any, limit: int) -> list[str]:
    """Write a label, or each of its parts."""
    parts = label if isinstance(label, tuple) else (label,)
    return [short_label(part, limit) for part in parts]


def _labels(labels: Sequence[str], room: int) -> list[list[str]]:
    """Write each label in one line; those of a variable in two if some are long.

    The first of these is the variable's, above all of its rows.
    """
    parts = [label.partition("[") for label in labels]
    long = {
        variable
        for label, (variable, bracket, _) in zip(labels, parts, strict=True)
        if bracket and len(label) > room
    }
    return [
        [_cut(variable, room), f"  {_cut(bracket + inside, room - 2)}"]
        if variable in long
        else [_cut(variable + bracket + inside, room)]
        for variable, bracket, inside in parts
    ]


def _cut(text: str, room: int) -> str:
    """Leave out the middle of a text that is too long: its end tells labels apart."""
    if len(text) <= room:
        return text
    return f"{text[: room - 3 - _END]}...{text[-_END:]}"


def line_of(
    label: str, columns: Sequence[Sequence[str]], broad: int, place: int
) -> str:
    """Return a line of a table: a label of some width, and a cell of each column."""
    cells = " ".join(column[place] for column in columns)
    return f"{label.ljust(broad)} {cells}".rstrip()
