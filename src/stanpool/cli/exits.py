"""How a command ends: exit codes, and messages for errors and warnings."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import click

from stanpool.base.errors import EngineError, StanpoolError, StorageWarning

FOUND_PROBLEMS, BAD_INPUT, ENGINE_TROUBLE, INTERRUPTED = 1, 2, 3, 130
# The key in a context's ``meta`` that says that a fit could not be saved.
NOT_SAVED = f"{__name__}.not_saved"


class OrderlyGroup(click.Group):
    """Commands that report errors as messages, without a traceback."""

    def invoke(self, context: click.Context) -> Any:
        """Run a command, and turn its errors into messages and exit codes."""
        _replace_what_consoles_lack()
        with warnings.catch_warnings(), _ending_on_signals():
            warnings.showwarning = _show_warning
            try:
                return super().invoke(context)
            except EngineError as error:
                _complain(error)
                context.exit(ENGINE_TROUBLE)
            except BrokenPipeError:  # the reader has closed the pipe, as "| head" does
                _drop_output()
                context.exit(BAD_INPUT)
            except (StanpoolError, OSError) as error:
                _complain(error)
                _drop_output()
                context.exit(BAD_INPUT)
            except KeyboardInterrupt:
                click.echo("stanpool: interrupted.", err=True)
                context.exit(INTERRUPTED)


def _replace_what_consoles_lack() -> None:
    """Show '?' for letters that a console does not have, and do not fail for them.

    Consoles, and pipes on Windows, may have the 256 characters of one language. There
    "surrogateescape" is the default, which fails for them as "strict" does.
    """
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        has_all = stream.encoding.lower().replace("-", "") == "utf8"
        fails = ("strict",) if has_all else ("strict", "surrogateescape")
        if stream.errors in fails:
            stream.reconfigure(errors="replace")


def _complain(error: Exception) -> None:
    click.echo(f"stanpool: {error}", err=True)


def _drop_output() -> None:
    """Discard what is left in the buffer of standard output if it cannot be written.

    Python would otherwise try once more when it exits, and show a traceback.
    """
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Stop the chains and remove temporary files when the system ends the command.

    Batch systems and ``docker stop`` send SIGTERM, and a terminal that is closed sends
    SIGHUP, or SIGBREAK on Windows. All then have the same effect as Ctrl-C.
    """

    def end(number: int, _: Any) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # do not interrupt the clean-up
        raise SystemExit(128 + number)

    handled = []
    if threading.current_thread() is threading.main_thread():
        names = ("SIGTERM", "SIGHUP", "SIGBREAK")
        known = [getattr(signal, name, None) for name in names]
        handled = [each for each in known if each and not _is_handled(each)]
    for each in handled:
        signal.signal(each, end)
    try:
        yield
    finally:
        for each in handled:
            signal.signal(each, signal.SIG_DFL)


def _is_handled(number: signal.Signals) -> bool:
    """Say whether a signal has a handler already, or is ignored, as under nohup."""
    return signal.getsignal(number) is not signal.SIG_DFL


def _show_warning(
    message: Warning | str, category: type[Warning], *_: Any, **__: Any
) -> None:
    """Write a warning as a message, without the line of code that it comes from."""
    click.echo(f"stanpool: warning: {message}", err=True)
    if issubclass(category, StorageWarning):
        click.get_current_context().meta[NOT_SAVED] = True
