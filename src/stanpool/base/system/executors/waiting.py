"""Waiting for results of a cluster, and saying so if it has no workers."""

from __future__ import annotations

import time
from collections.abc import Callable

from stanpool.base.progress import tell

AT_ONCE = 0.5  # seconds to wait for a result before looking after anything else
_PATIENCE = 5.0  # seconds without a result before workers are counted, and between


class Waiting:
    """Tells once that tasks wait for workers, and again if these come and go.

    Whether progress is shown or not: who waits in vain should know.

    Parameters
    ----------
    library
        Whose cluster it is.
    count
        Counts the workers.
    how_to_start
        How to start workers.
    """

    def __init__(
        self, library: str, count: Callable[[], int], how_to_start: str
    ) -> None:
        self._library, self._count, self._how = library, count, how_to_start
        self._is_told = False
        self._last = time.monotonic()

    def over(self) -> None:
        """Take note that there was a result."""
        self._last, self._is_told = time.monotonic(), False

    def look(self, left: int) -> None:
        """Count workers if there was no result for a while.

        Parameters
        ----------
        left
            The number of tasks that are not done.
        """
        now = time.monotonic()
        if now - self._last < _PATIENCE:
            return
        self._last = now
        has_workers = self._count() > 0
        if not has_workers and not self._is_told:
            tell(
                f"the cluster of {self._library} has no workers, and {left:,} tasks "
                f"wait for some. {self._how}; the study then goes on by itself. Ctrl-C "
                "ends it."
            )
        self._is_told = not has_workers
