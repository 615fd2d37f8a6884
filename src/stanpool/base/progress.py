"""Progress of long tasks: log records, and lines or bars on standard error.

Every line is a record of the logger ``stanpool``, with the level INFO for stages and
DEBUG for details. Standard error shows the stages, and within ``verbose_logging`` also
the details. In a terminal and in a notebook there are bars instead of the stages.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stanpool.base.bars import Bar

logging.getLogger("stanpool").addHandler(logging.NullHandler())
_logger = logging.getLogger(__name__)
_SECONDS_BETWEEN_LINES = 30.0
_SHARE_BETWEEN_LINES = 0.1  # of the time that has passed
_is_detailed: ContextVar[bool] = ContextVar("detailed", default=False)


@contextmanager
def verbose_logging(wanted: bool | None = True) -> Iterator[None]:
    """Show details on standard error, or do not; None does not change that."""
    before = _is_detailed.set(_is_detailed.get() if wanted is None else wanted)
    try:
        yield
    finally:
        _is_detailed.reset(before)


def tell(text: str, *, shown: bool = True) -> None:
    """Report a stage, or its result."""
    _logger.info(text)
    if shown:
        _write(text)


def tell_detail(text: str) -> None:
    """Report a detail."""
    _logger.debug(text)
    if _is_detailed.get():
        _write(text)


class Stages:
    """A display of the stages of a long task on standard error.

    Parameters
    ----------
    total
        The number of steps of all stages together.
    shown
        Whether to show anything.
    """

    def __init__(self, total: int, *, shown: bool) -> None:
        self._shown = shown
        self._total = total
        self._bar: Bar | None = None
        self._before = 0
        self._steps = 0

    def start(self, name: str, *, steps: int = 1) -> None:
        """Report that the stage ``name`` begins, and that earlier ones are finished."""
        self._before += self._steps
        self._steps = steps
        has_bars = _has_bars()
        tell(name, shown=self._shown and not has_bars)
        if not (self._shown and has_bars):
            return
        if self._bar is None:
            self._bar = _new_bar(name, self._total)
        self._bar.show(self._before, name)

    def tick(self, done: int = 0) -> None:
        """Show the time that has passed, and how many steps of the stage are done."""
        if self._bar is not None:
            self._bar.show(self._before + done)

    def close(self) -> None:
        """Finish the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


@contextmanager
def stages(total: int, *, shown: bool) -> Iterator[Stages]:
    """Open a progress display that is closed in any case."""
    display = Stages(total, shown=shown)
    try:
        yield display
    finally:
        display.close()


@contextmanager
def counting(
    title: str, total: int, *, shown: bool, line: str | None = None
) -> Iterator[Callable[[int], None]]:
    """Open a progress bar, or write lines where there are no bars.

    There is a line at the beginning, and then one with the time that is left every half
    minute, and less often the longer it takes: a log is not filled.

    Parameters
    ----------
    title, total
        What is counted, and the total.
    shown
        Whether to show anything.
    line
        The first line to write instead of a bar; by default the title.
    """
    has_bars = _has_bars()
    tell(line or title, shown=shown and not has_bars)
    if not (shown and has_bars):
        yield _Lines(title, total, shown=shown and not has_bars).show
        return
    bar = _new_bar(title, total)
    try:
        yield bar.show
    finally:
        bar.close()


class _Lines:
    """The progress of something that is counted, in lines now and then."""

    def __init__(self, title: str, total: int, *, shown: bool) -> None:
        self._title, self._total, self._shown = title, total, shown
        self._start = time.monotonic()
        self._next = _SECONDS_BETWEEN_LINES

    def show(self, done: int) -> None:
        """Write a line if it is time for one."""
        passed = time.monotonic() - self._start
        if passed < self._next or not 0 < done < self._total:
            return
        self._next = passed + max(_SECONDS_BETWEEN_LINES, _SHARE_BETWEEN_LINES * passed)
        left = timedelta(seconds=round(passed * (self._total - done) / done))
        share = f"{done:,} of {self._total:,} ({100 * done // self._total} %)"
        tell(f"{self._title}: {share}, about {left} left", shown=self._shown)


def _new_bar(title: str, total: int) -> Bar:
    from stanpool.base.bars import NotebookBar, TerminalBar

    return (NotebookBar if _is_notebook() else TerminalBar)(title, total)


def _has_bars() -> bool:
    return _is_notebook() or _is_terminal()


def _is_notebook() -> bool:
    """Whether this is a Jupyter kernel: a shell of IPython's that has one."""
    python = sys.modules.get("IPython")
    return python is not None and hasattr(python.get_ipython(), "kernel")


def _is_terminal() -> bool:
    """Whether standard error is a terminal; daemons have none, or a closed one."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:
        return False


def _write(text: str) -> None:
    if sys.stderr is None:
        return
    bars = sys.modules.get("tqdm")  # ours, and those that the user has around us
    aside = bars.tqdm.external_write_mode(file=sys.stderr) if bars else nullcontext()
    with suppress(OSError, ValueError), aside:  # the terminal is gone, or closed
        sys.stderr.write(f"stanpool: {text}\n")
        sys.stderr.flush()
