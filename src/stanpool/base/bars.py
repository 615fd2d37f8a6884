"""Bars of progress: a line of a terminal, or an element of a notebook."""

from __future__ import annotations

import html
import os
import sys
import time
from contextlib import suppress
from typing import Any, Protocol

from tqdm import tqdm

_USUAL_COLUMNS = 80
# A narrower terminal has no room for the time that is left.
_WIDE = 60
# Columns for a terminal's "^C", so that it begins no new line.
_SPARE = 5
_LEAST_TITLE, _LEAST_BAR = 8, 5
_SECONDS_BETWEEN = 0.1


class Bar(Protocol):
    """The progress of something that is counted."""

    def show(self, done: int, title: str | None = None) -> None:
        """Show how much is done, and under another title from now on."""

    def close(self) -> None:
        """Finish, however far it is."""


class TerminalBar:
    """A line of a terminal, as wide as it is at the time, that is gone at the end."""

    def __init__(self, title: str, total: int) -> None:
        self._title = title
        self._bar = tqdm(
            total=total, file=sys.stderr, leave=False, **_layout(title, total)
        )

    def show(self, done: int, title: str | None = None) -> None:
        """Show how much is done."""
        self._title = title or self._title
        layout = _layout(self._title, self._bar.total)
        if layout["ncols"] != self._bar.ncols:
            self._clear()
            self._bar.sp = self._bar.status_printer(self._bar.fp)  # forgets the width
        for name, value in layout.items():
            setattr(self._bar, name, value)
        self._bar.n = min(done, self._bar.total)
        self._bar.refresh()

    def close(self) -> None:
        """Remove the line, and what a terminal has written behind it."""
        self._bar.close()
        self._clear()

    def _clear(self) -> None:
        """Empty the line, unless it is below those of the user's own bars."""
        if self._bar.pos == 0:
            with suppress(OSError, ValueError):
                sys.stderr.write(f"\r{' ' * (_columns() - 1)}\r")
                sys.stderr.flush()


def _layout(title: str, total: int) -> dict[str, Any]:
    """Return how wide the line is, and what is on it; a single step has no bar."""
    columns = max(_columns() - _SPARE, 1)
    form, beside = "{desc} {elapsed}", len(" 00:00")
    if total > 1:
        form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
        beside = len(": 100%|| 00:00") + _LEAST_BAR
        if columns >= _WIDE:
            form, beside = form + "<{remaining}", beside + len("<00:00")
    room = max(columns - beside, _LEAST_TITLE)
    short = title if len(title) <= room else f"{title[: room - 3]}..."
    return {"ncols": columns, "bar_format": form, "desc": short}


class NotebookBar:
    """An element of a notebook's output that is updated, and says the time at the end.

    It is HTML, which all front ends show, without widgets: what is left of it is the
    same in a saved or exported notebook.
    """

    def __init__(self, title: str, total: int) -> None:
        from IPython.display import display

        self._title, self._total, self._done = title, total, 0
        self._start = self._shown = time.monotonic()
        self._is_open = True
        self._display = display(self, display_id=True)

    def show(self, done: int, title: str | None = None) -> None:
        """Show how much is done, at most ten times a second."""
        is_new = title is not None and title != self._title
        self._title, self._done = title or self._title, min(done, self._total)
        now = time.monotonic()
        if is_new or now - self._shown > _SECONDS_BETWEEN:
            self._shown = now
            self._update()

    def close(self) -> None:
        """Leave the title and the time it took."""
        self._is_open = False
        self._update()

    def _update(self) -> None:
        if self._display is not None:
            self._display.update(self)

    def _repr_html_(self) -> str:
        bar = ""
        if self._is_open:
            value = f' value="{self._done}"' if self._total > 1 else ""
            bar = f'<progress{value} max="{self._total}"></progress> '
        return f"<div>{bar}{html.escape(repr(self))}</div>"

    def __repr__(self) -> str:
        """Return the bar as a line of text."""
        passed = time.monotonic() - self._start
        if not self._is_open:
            return f"{self._title}: {passed:.1f} s"
        if self._total == 1 or self._done == 0:
            return f"{self._title} [{tqdm.format_interval(passed)}]"
        left = passed * (self._total - self._done) / self._done
        percent = int(100 * self._done / self._total)
        times = f"{tqdm.format_interval(passed)}<{tqdm.format_interval(left)}"
        return f"{self._title}: {percent}% [{times}]"


def _columns() -> int:
    """Return how many columns the terminal has now."""
    with suppress(OSError, ValueError, AttributeError):
        if columns := os.get_terminal_size(sys.stderr.fileno()).columns:
            return columns
    return _USUAL_COLUMNS
