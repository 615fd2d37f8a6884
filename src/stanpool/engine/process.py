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
from typing import Any

from stanpool.base.errors import EngineError
from stanpool.base.system.platforms import Job, in_own_group, is_windows
from stanpool.base.system.stopping import raise_if_stopped

# Runs the words that follow, and kills all processes of its group, which is all that
# they have started, should its standard input end: when we are killed, however that is.
_WATCHED = """
exec 3<&0 </dev/null
{ read -r _; kill -KILL 0; } <&3 3<&- >/dev/null 2>&1 &
exec 3<&-
"$@" &
wait $!
"""

# Is told of processes that start and end; kills those that are running when its input
# ends.
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
        self._job: Job | None = None  # instead of the shell on Windows
        self._running: set[int] = set()

    def add(self, number: int) -> None:
        """Take a process, by its number, into care."""
        self._running.add(number)
        if is_windows():
            self._job = self._job or Job()
            self._job.add(number)
            return
        if self._shell is None:
            with suppress(OSError):  # then there is no guard
                self._shell = subprocess.Popen(
                    ["/bin/sh", "-c", _GUARD],
                    stdin=subprocess.PIPE,  # ends with us
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    encoding="utf-8",
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
        if self._job is not None and not self._running:
            self._job.end()
            self._job = None

    def _tell(self, sign: str, number: int) -> None:
        stream = self._shell and self._shell.stdin
        if stream:
            with suppress(BrokenPipeError):
                stream.write(f"{sign} {number}\n")
                stream.flush()


class Group:
    """A process, and all that it starts, which end together.

    A terminal's Ctrl-C does not reach them.

    Parameters
    ----------
    command, options
        As ``subprocess.Popen`` takes them.

    Raises
    ------
    OSError
        If the process cannot be started.
    """

    def __init__(self, command: Sequence[str], **options: Any) -> None:
        self.process: subprocess.Popen[bytes] = subprocess.Popen(
            command, **in_own_group(), **options
        )
        self._job = Job() if is_windows() else None
        if self._job is not None:
            self._job.add(self.process.pid)

    def interrupt(self) -> None:
        """Ask them to end, as Ctrl-C does, where one can: Windows has no such thing."""
        if self._job is None:
            self._signal(signal.SIGINT)

    def end(self) -> None:
        """End all of them at once, also those that the process has left behind."""
        if self._job is not None:
            self._job.end()
        else:
            self._signal(signal.SIGKILL)
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


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
            group = Group(
                list(command) if is_windows() else _watched(command, cwd),
                cwd=cwd,
                env={**os.environ, **(env or {})},
                # Elsewhere a pipe that ends with us, from which the command reads not.
                stdin=subprocess.DEVNULL if is_windows() else subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            raise EngineError(f"cannot run {command[0]!r}: {error.strerror}") from error
        try:
            code = _wait(group.process, tick)
        finally:
            group.end()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if code != 0:
        raise EngineError(
            f"the command {' '.join(command[:4])!r} failed with exit code {code}:\n"
            f"{tail(text)}"
        )
    return text


def _watched(command: Sequence[str], cwd: Path | None) -> list[str]:
    """Return the words that run a command which ends with us.

    Raises
    ------
    OSError
        What the system would raise if there is no such program.
    """
    program = command[0]
    found = shutil.which(program) if os.sep not in program else Path(cwd or "", program)
    if found is None or not os.path.exists(found):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), program)
    if not os.access(found, os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), program)
    return ["/bin/sh", "-c", _WATCHED, "sh", *command]


def _wait(process: subprocess.Popen[bytes], tick: Callable[[], None]) -> int:
    while True:
        try:
            return process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            raise_if_stopped()
            tick()


# How processes of Windows end that are ended, by their exit codes.
_ENDS_ON_WINDOWS = {
    0xC0000005: "access violation",
    0xC0000017: "no memory",
    0xC000001D: "illegal instruction",
    0xC00000FD: "stack overflow",
    0xC000012D: "no memory",
    0xC0000135: "a DLL is missing",
    0xC000013A: "Ctrl-C",
    0xC0000374: "the heap is damaged",
    0xC0000409: "it aborted",
}


def how_it_ended(code: int) -> str:
    """Say how a process ended, by its exit code, which is negative for a signal.

    Examples
    --------
    >>> how_it_ended(2), how_it_ended(-11)
    ('ended with exit code 2', 'was killed by signal 11 (SIGSEGV)')
    >>> how_it_ended(0xC0000005)  # on Windows
    'was ended by Windows with 0xC0000005 (access violation)'
    """
    if code > 0xC0000000:
        why = _ENDS_ON_WINDOWS.get(code, "unknown")
        return f"was ended by Windows with {code:#010X} ({why})".replace("0X", "0x")
    if code >= 0:
        return f"ended with exit code {code}"
    known = {int(member): member.name for member in signal.Signals}
    return f"was killed by signal {-code} ({known.get(-code, 'unknown')})"


def ran_out_of_memory(code: int | None, console: str) -> bool:
    """Say whether a process seems to have ended for lack of memory."""
    is_killed = code == -9 or _ENDS_ON_WINDOWS.get(code or 0) == "no memory"
    return is_killed or "bad_alloc" in console


def last_message(console: str) -> str:
    r"""Say what a process wrote last, as the end of a sentence on how it ended.

    Examples
    --------
    >>> last_message("out of memory")
    '; its last message was:\n    out of memory\n'
    >>> last_message("")
    ' without a message.\n'
    """
    words = tail(console, lines=12)
    return f"; its last message was:\n{words}\n" if words else " without a message.\n"


def tail(text: str, lines: int = 20) -> str:
    r"""Return the last lines of a console, indented.

    Examples
    --------
    >>> tail("a\nb\nc", lines=2)
    '    b\n    c'
    """
    return "\n".join("    " + line[:400] for line in text.splitlines()[-lines:])
