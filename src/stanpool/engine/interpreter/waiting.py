"""Processes of stanli that have run a program, and wait for the next one.

To start a process takes longer than to fit a few rows, and cross-validation, for one,
makes many fits. A process waits if all went well, for half a minute at most, and ends
with us, however we end.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from stanpool.base.errors import EngineError
from stanpool.base.system.parallel import usable_cores
from stanpool.engine.interpreter.running import Child, how_to_start

_MOST_WAITING = 4
# Each with what must not have changed when it is used again.
_waiting: list[tuple[tuple[str, ...], Child]] = []
_inherited: list[Child] = []  # of the parent of a process that was forked


@contextmanager
def loaded_child(folder: Path) -> Iterator[tuple[Child, Mapping[str, Any]]]:
    """Have a process load what is in a folder; end it, or let it wait for the next."""
    process, facts = _load(folder)
    try:
        yield process, facts
        is_fit = process.rest()
    except BaseException:
        process.stop()
        raise
    if not is_fit:
        process.stop()
        return
    _waiting.append((_surroundings(), process))
    while len(_waiting) > min(_MOST_WAITING, usable_cores()):
        with suppress(IndexError):  # another thread has taken it
            _waiting.pop(0)[1].stop()


def _load(folder: Path) -> tuple[Child, Mapping[str, Any]]:
    """Load a program by a process that waits, or by a new one."""
    if (waiting := _take()) is not None:
        try:
            return waiting, waiting.load(folder)
        except BaseException as problem:
            has_ended = waiting.has_ended
            waiting.stop()
            if not (has_ended and isinstance(problem, EngineError)):
                raise
    process = Child(folder)
    try:
        return process, process.load(folder)
    except BaseException:
        process.stop()
        raise


def _take() -> Child | None:
    """Return a process that waits and is as one that would be started now."""
    while _waiting:
        with suppress(IndexError):  # another thread has taken it
            surroundings, process = _waiting.pop()
            if surroundings == _surroundings():
                return process
            process.stop()
    return None


def _surroundings() -> tuple[str, ...]:
    here = ""
    with suppress(OSError):  # the current folder has been removed
        here = os.getcwd()
    return (here, *how_to_start())


@atexit.register
def stop_waiting() -> None:
    """End the processes that wait."""
    while _waiting:
        _waiting.pop()[1].stop()


def _leave_to_parent() -> None:
    """Have a forked process neither use those of its parent nor keep them alive."""
    for _, process in _waiting:
        process.leave_to_parent()
        _inherited.append(process)
    _waiting.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parent)
