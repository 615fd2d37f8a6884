"""The parts of a report: tables, figures, and notes on parts that are missing."""

from __future__ import annotations

import base64
import io
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stanpool.base.arrays import LARGEST_ARRAY
from stanpool.base.errors import StanpoolError
from stanpool.plots.parts.canvas import pixels
from stanpool.posterior.scalars import short_label

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from stanpool.model.fit_result import FitResult

_LABEL = 80  # characters
_DPI = 110
_COLOURS = 200  # in the palette of a figure
_LONG = 15  # number of rows above which a table can be searched


@dataclass(frozen=True)
class Cell:
    """The text of a cell, and the value by which it is sorted."""

    text: str
    value: float | str


@dataclass(frozen=True)
class Table:
    """A table that can be sorted and, if it is ``searchable``, filtered."""

    id: str
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numeric: tuple[bool, ...]
    searchable: bool = False
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A figure as a data URI, with a text for readers who do not see it."""

    id: str
    caption: str
    alt: str
    source: str


@dataclass(frozen=True)
class Formulas:
    """Equations as HTML, in which all names are escaped."""

    id: str
    caption: str
    html: str


@dataclass(frozen=True)
class Missing:
    """A part that this report lacks, with the reason."""

    caption: str
    reason: str


Part = Table | Picture | Formulas | Missing


@dataclass(frozen=True)
class Section:
    """A section of the report, with a heading."""

    id: str
    title: str
    intro: str
    parts: tuple[Part, ...]
    code: str = ""
    code_title: str = ""


def attempt(caption: str, make: Callable[[], Part]) -> Part:
    """Make a part, or return the reason why this model has none."""
    try:
        return make()
    except StanpoolError as reason:
        return Missing(caption, str(reason))


def picture(id: str, caption: str, alt: str, draw: Callable[[], Figure]) -> Part:
    """Draw a figure, or return the reason why this model has none."""

    def make() -> Part:
        with warnings.catch_warnings():
            # Characters that the font lacks become boxes; the tables show them.
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            image = pixels(draw(), _DPI)
        encoded = base64.b64encode(_fewer_colours(image)).decode("ascii")
        return Picture(id, caption, alt, f"data:image/png;base64,{encoded}")

    return attempt(caption, make)


def _fewer_colours(image: NDArray[np.uint8]) -> bytes:
    """Write an image as PNG with a palette, which makes it a third of the size."""
    from PIL import Image

    written = io.BytesIO()
    opened = Image.fromarray(image).convert("RGB")
    opened.quantize(_COLOURS, dither=Image.Dither.NONE).save(
        written, format="png", optimize=True
    )
    return written.getvalue()


def table(
    id: str,
    caption: str,
    frame: pd.DataFrame,
    *,
    searchable: bool = False,
    note: str = "",
) -> Table:
    """Format a data frame, whose index becomes the first column, as text."""
    flat = frame.reset_index()
    names = [str(name) for name in flat.columns]
    numeric = tuple(flat.dtypes.iloc[k].kind in "iufb" for k in range(len(names)))
    rows = flat.astype(object).itertuples(index=False, name=None)
    return Table(
        id,
        caption,
        tuple(short_label(name, _LABEL) for name in names),
        tuple(tuple(map(_cell, names, row)) for row in rows),
        numeric,
        searchable or len(flat) > _LONG,
        note,
    )


def facts(id: str, caption: str, pairs: Sequence[tuple[str, object]]) -> Table:
    """Make a table of names and values."""
    rows = tuple(
        (Cell(name, name), Cell(short_label(value, 400), short_label(value)))
        for name, value in pairs
    )
    return Table(id, caption, ("", ""), rows, (False, False))


_WHOLE = {"ess_bulk", "ess_tail", "rows", "groups", "divergences", "unreliable"}
_WHOLE |= {"min_ess_bulk", "min_ess_tail", "ess_per_second"}
_THREE = ("r_hat", "max_r_hat")


def _cell(column: str, value: Any) -> Cell:
    """Format a number with as many digits as are useful, and shorten a label."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        text = short_label(value, _LABEL) if value != "" else ""
        return Cell(text, text)
    if not math.isfinite(value):
        return Cell("", "")
    if column in _WHOLE or isinstance(value, int):
        return Cell(f"{value:,.0f}", float(value))
    if column in _THREE:
        return Cell(f"{value:.3f}", float(value))
    return Cell(f"{value:.4g}".replace("-", "\N{MINUS SIGN}", 1), float(value))


def if_available(part: Part) -> list[Part]:
    """Leave out a part that need not be there for every model."""
    return [] if isinstance(part, Missing) else [part]


def is_pooled(fit: FitResult) -> bool:
    """Whether the model has partially pooled coefficients."""
    return fit.model.spec.pooling == "partial" and bool(fit.model.design.factors)


def size_of(fit: FitResult) -> int:
    """Return the number of rows times the number of draws."""
    sizes = fit.posterior.sizes
    return int(fit.model.design.rows * sizes["chain"] * sizes["draw"])


def unless_large(
    fit: FitResult, caption: str, method: str, make: Callable[[str], Part]
) -> Part:
    """Make a part that needs every row at every draw, unless these are too many."""
    if size_of(fit) > LARGEST_ARRAY:
        rows = fit.model.design.rows
        reason = f"this takes long for {rows:,} rows; call fit.{method}()."
        return Missing(caption, reason)
    return attempt(caption, lambda: make(caption))
