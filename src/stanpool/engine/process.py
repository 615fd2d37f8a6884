"""Run a command to its end: its output kept, the display alive, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from stanpool.errors import EngineError


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> str:
    """Return what ``command`` wrote, standard error included.

    Parameters
    ----------
    env
        Variables on top of the environment of this process.
    tick
        Called several times a second while the command runs.

    Raises
    ------
    EngineError
        If the command cannot be started or fails, with the end of its output.
    """
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise EngineError(f"cannot run {command[0]!r}: {error.strerror}") from error
        try:
            code = _wait(process, tick)
        finally:
            # A session of its own: whatever it has started ends with it.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if code != 0:
        raise EngineError(
            f"the command {' '.join(command[:4])!r} failed with exit code {code}:\n"
            f"{tail(text)}"
        )
    return text


def _wait(process: subprocess.Popen[bytes], tick: Callable[[], None]) -> int:
    while True:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            tick()


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def tail(text: str, lines: int = 20) -> str:
    r"""Return the last lines of a console, indented.

    Examples
    --------
    >>> tail("a\nb\nc", lines=2)
    '    b\n    c'
    """
    return "\n".join("    " + line[:400] for line in text.splitlines()[-lines:])
