"""Run a command to its end: its output kept, the display alive, nothing left behind."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from stanpool.base.errors import EngineError

# Runs the words that follow, and kills all processes of its group, which is all that
# they have started, should its standard input end: when we are killed, however that is.
_WATCHED = """
exec 3<&0 </dev/null
{ read -r _; kill -KILL 0; } <&3 3<&- >/dev/null 2>&1 &
exec 3<&-
"$@" &
wait $!
"""

# Hears of processes that start and end, and kills those that run when it hears no more.
_GUARD = """
running=' '
while read -r sign number; do
  case $sign in
    +) running="$running$number " ;;
    -) running="${running%% $number *} ${running#* $number }" ;;
  esac
done
kill -KILL $running
"""


class Guard:
    """Ends processes that outlive this one, should it be killed.

    For those that ``run`` cannot start, since they are to hear a terminal's Ctrl-C.
    """

    def __init__(self) -> None:
        self._shell: subprocess.Popen[str] | None = None
        self._running: set[int] = set()

    def add(self, number: int) -> None:
        """Take a process, by its number, into care."""
        self._running.add(number)
        if self._shell is None:
            with suppress(OSError):  # then there is no guard
                self._shell = subprocess.Popen(
                    ["/bin/sh", "-c", _GUARD],
                    stdin=subprocess.PIPE,  # ends with us
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    text=True,
                )
        self._tell("+", number)

    def remove(self, number: int) -> None:
        """Forget a process that has ended; after the last one there is no guard."""
        self._running.remove(number)
        self._tell("-", number)
        if self._shell is not None and not self._running:
            self._shell.kill()
            self._shell.communicate()
            self._shell = None

    def _tell(self, sign: str, number: int) -> None:
        stream = self._shell and self._shell.stdin
        if stream:
            with suppress(BrokenPipeError):
                stream.write(f"{sign} {number}\n")
                stream.flush()


def run(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> str:
    """Return what ``command`` wrote, standard error included.

    Whatever the command starts ends with it, and with this process.

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
            _check_there(command[0], cwd)
            process = subprocess.Popen(
                ["/bin/sh", "-c", _WATCHED, "sh", *command],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.PIPE,  # ends with us
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
            if process.stdin is not None:
                process.stdin.close()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if code != 0:
        raise EngineError(
            f"the command {' '.join(command[:4])!r} failed with exit code {code}:\n"
            f"{tail(text)}"
        )
    return text


def _check_there(program: str, cwd: Path | None) -> None:
    """Raise what the system would if there is no such program."""
    found = shutil.which(program) if os.sep not in program else Path(cwd or "", program)
    if found is None or not os.path.exists(found):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
    if not os.access(found, os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), program)


def _wait(process: subprocess.Popen[bytes], tick: Callable[[], None]) -> int:
    while True:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            tick()


def how_it_ended(code: int) -> str:
    """Say how a process ended, by its exit code, which is negative for a signal.

    Examples
    --------
    >>> how_it_ended(2), how_it_ended(-9)
    ('ended with exit code 2', 'was killed by signal 9 (SIGKILL)')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    known = {int(member): member.name for member in signal.Signals}
    return f"was killed by signal {-code} ({known.get(-code, 'unknown')})"


def ran_out_of_memory(code: int | None, console: str) -> bool:
    """Say whether a process seems to have ended for lack of memory."""
    killed = getattr(signal, "SIGKILL", 9)  # which Windows does not have
    return code == -killed or "bad_alloc" in console


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
