"""What is said while work goes on: log records, and lines or bars on standard error.

Every line is a record of the logger ``stanpool``: a line for each stage has the level
INFO, what more there is to know of it has DEBUG. Standard error shows the stages, as
bars in a terminal, and the rest within ``verbose_logging``.
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
    """Show details on standard error, too, or do not; None leaves it as it is."""
    before = _is_detailed.set(_is_detailed.get() if wanted is None else wanted)
    try:
        yield
    finally:
        _is_detailed.reset(before)


def tell(text: str, *, shown: bool = True) -> None:
    """Say what a stage is, or how it came out."""
    _logger.info(text)
    if shown:
        _write(text)


def tell_detail(text: str) -> None:
    """Say what few want to know."""
    _logger.debug(text)
    if _is_detailed.get():
        _write(text)


class Stages:
    """Shows which stage of a long task is under way, on standard error.

    Parameters
    ----------
    total
        The number of steps of all stages together.
    shown
        False keeps silent.
    """

    def __init__(self, total: int, *, shown: bool) -> None:
        self._shown = shown
        self._total = total
        self._bar: Any = None
        self._before = 0
        self._steps = 0

    def start(self, name: str, *, steps: int = 1) -> None:
        """Say that the stage ``name`` begins, and those before it are done."""
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
    """Open a progress display that is closed whatever happens."""
    display = Stages(total, shown=shown)
    try:
        yield display
    finally:
        display.close()


@contextmanager
def counting(
    title: str, total: int, *, shown: bool, line: str | None = None
) -> Iterator[Callable[[int], None]]:
    """Open a bar that is told how much is done by now; away from a terminal a line.

    Parameters
    ----------
    title, total
        What is counted, and up to where.
    shown
        False keeps silent.
    line
        What to say in the place of a bar; by default the title.
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
    """Say whether a person sees standard error; daemons have none, or a closed one."""
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
