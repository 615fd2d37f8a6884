"""Stopping work that is under way, from another thread or another process.

Threads cannot be interrupted. Those that wait for Stan ask several times a second
whether the study that they work for has been stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_study: ContextVar[str | None] = ContextVar("study", default=None)
_stopped: set[str] = set()


class StoppedError(BaseException):
    """The study has been stopped; no handler of errors is meant to catch this."""


@contextmanager
def working_for(study: str) -> Iterator[None]:
    """Say for which study this thread works, by any text that no other one has."""
    before = _study.set(study)
    try:
        raise_if_stopped()
        yield
    finally:
        _study.reset(before)


def stop(study: str) -> None:
    """Stop what works for a study in this process, now and later.

    Examples
    --------
    >>> stop("mine")
    >>> try:
    ...     with working_for("mine"):
    ...         pass
    ... except StoppedError:
    ...     "stopped"
    'stopped'
    """
    _stopped.add(study)


def raise_if_stopped() -> None:
    """End the work of this thread if its study has been stopped.

    Raises
    ------
    StoppedError
        If so.
    """
    if _stopped and _study.get() in _stopped:
        raise StoppedError
