"""Progress over named stages: a bar in a terminal, a line for each stage in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


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
        if not self._shown:
            return
        if not sys.stderr.isatty():
            sys.stderr.write(f"stanpool: {name}\n")
            sys.stderr.flush()
        elif self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                desc=name,
                total=self._total,
                bar_format="{desc} |{bar:20}| {n}/{total} [{elapsed}]",
                file=sys.stderr,
                leave=False,
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
