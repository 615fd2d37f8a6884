"""Progress of long tasks: log records, and lines or bars on standard error.

Every line is a record of the logger ``stanpool``, with the level INFO for stages and
DEBUG for details. Standard error shows the stages, as bars in a terminal, and within
``verbose_logging`` also the details.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

logging.getLogger("stanpool").addHandler(logging.NullHandler())
_logger = logging.getLogger(__name__)
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
        self._bar: Any = None
        self._before = 0
        self._steps = 0

    def start(self, name: str, *, steps: int = 1) -> None:
        """Report that the stage ``name`` begins, and that earlier ones are finished."""
        self._before += self._steps
        self._steps = steps
        in_terminal = _is_terminal()
        tell(name, shown=self._shown and not in_terminal)
        if not (self._shown and in_terminal):
            return
        if self._bar is None:
            self._bar = _new_bar(
                name,
                self._total,
                bar_format="{desc} |{bar:20}| {n}/{total} [{elapsed}]",
            )
        else:
            self._bar.set_description_str(name, refresh=False)
        self.tick()

    def tick(self, done: int = 0) -> None:
        """Show the time that has passed, and how many steps of the stage are done."""
        if self._bar is not None:
            self._bar.n = min(self._before + done, self._total)
            self._bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
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
    """Open a progress bar, or without a terminal write a line.

    Parameters
    ----------
    title, total
        What is counted, and the total.
    shown
        Whether to show anything.
    line
        The line to write instead of a bar; by default the title.
    """
    in_terminal = _is_terminal()
    tell(line or title, shown=shown and not in_terminal)
    if not (shown and in_terminal):
        yield lambda done: None
        return
    bar = _new_bar(title, total)

    def show(done: int) -> None:
        bar.update(done - bar.n)
        bar.refresh()

    try:
        yield show
    finally:
        bar.close()


def _new_bar(title: str, total: int, **options: Any) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, desc=title, file=sys.stderr, leave=False, **options)


def _is_terminal() -> bool:
    """Whether standard error is a terminal; daemons have none, or a closed one."""
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:
        return False


def _write(text: str) -> None:
    if sys.stderr is None:
        return
    with suppress(OSError, ValueError):  # the terminal is gone, or the file is closed
        sys.stderr.write(f"stanpool: {text}\n")
        sys.stderr.flush()
