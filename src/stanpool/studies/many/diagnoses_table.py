"""How the diagnoses of many fits are shown: each with its finding below."""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd

from stanpool.inference.estimates.summary_table import (
    console_width,
    line_of,
    places_shown,
    two_line_column,
)
from stanpool.posterior.scalars import short_label

_INDENT = "    "
_LINES = 3  # of a finding, at most
_DIGITS = {"max_r_hat": 3, "seconds": 1}


class DiagnosesTable(pd.DataFrame):
    """Diagnoses, which are a data frame that shows all of its columns.

    What was found stands below the numbers of a fit, in lines of the width of
    ``pandas.options.display.width``, 80 by default.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        """Parts of the table, and what is computed from it, are plain data frames."""
        return pd.DataFrame

    def __repr__(self) -> str:
        """Write the table in the width of the console."""
        head, tail = places_shown(len(self))
        rows = [*head, *tail]
        some = self.iloc[rows]
        numbers = some.drop(columns="finding", errors="ignore")
        columns = [
            two_line_column(str(name), [_text(name, x) for x in numbers[name]])
            for name in numbers
        ]
        labels = [short_label(label, 40) for label in some.index]
        broad = max(map(len, labels), default=0)
        lines = [line_of("", columns, broad, 0), line_of("", columns, broad, 1)]
        for place, label in enumerate(labels):
            if tail and rows[place] == tail[0]:
                lines.append(f"({tail[0] - len(head):,} more fits)")
            lines.append(line_of(label, columns, broad, place + 2))
            if "finding" in some:
                lines += _wrapped(some["finding"].iloc[place])
        return "\n".join(lines)

    __str__ = __repr__


def _text(name: Any, value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if pd.isna(value) else f"{value:,.{_DIGITS.get(name, 0)}f}"


def _wrapped(finding: str) -> list[str]:
    return textwrap.wrap(
        finding,
        console_width(),
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        max_lines=_LINES,
        placeholder=" ...",
    )
