"""The exceptions of stanpool, one tree.

::

    StanpoolError
    ├── ArgumentError (TypeError)    a function has no such argument
    ├── SpecError (ValueError)       the model as stated cannot be
    ├── DataError (ValueError)       the data cannot serve the model
    ├── OutOfMemoryError (MemoryError)
    ├── StorageError (OSError)       a file or folder could not be written or read
    └── EngineError (RuntimeError)   Stan could not be found, built or run
        ├── CompileError             a program did not compile
        └── SamplingError            a chain did not finish

Doubt about a *result* is never an exception; it is a finding of a ``Diagnosis``. What a
user may want but should not overlook is a warning: ``PriorWarning``,
``NestingWarning``, ``RankWarning``, ``StorageWarning``, ``ImportanceWarning``,
``OutcomeWarning``.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Collection, Iterable
from difflib import get_close_matches


class StanpoolError(Exception):
    """Base of all errors that stanpool raises on purpose."""


class ArgumentError(StanpoolError, TypeError):
    """A function was called with an argument that it does not have, or without one."""


class SpecError(StanpoolError, ValueError):
    """The model as stated cannot be: a formula, a prior or an option is wrong."""


class DataError(StanpoolError, ValueError):
    """The data cannot serve the model: missing, infinite or outside the support."""


class OutOfMemoryError(StanpoolError, MemoryError):
    """What was asked for does not fit into memory."""


class StorageError(StanpoolError, OSError):
    """A file or folder could not be written or read: no room, no permission."""


class PathTakenError(StorageError, FileExistsError):
    """Something is at a path that is not to be replaced."""


class NoFitError(StorageError, FileNotFoundError):
    """There is no saved fit at a path."""


class EngineError(StanpoolError, RuntimeError):
    """Stan's tools could not be found, built or run."""


class CompileError(EngineError):
    """A Stan program was refused by stanc or by the C++ compiler."""


class SamplingError(EngineError):
    """A chain crashed, was killed, or could not start."""


class PriorWarning(UserWarning):
    """A prior is improper, so that the posterior may not exist; or nothing uses it."""


class NestingWarning(UserWarning):
    """Labels of a nesting repeat as if their factors were crossed."""


class RankWarning(UserWarning):
    """Predictors are left out, for the data cannot tell them from others."""


class StorageWarning(UserWarning):
    """A fit was sampled and could not be saved where it should have been."""


class ImportanceWarning(UserWarning):
    """Importance weights are so uneven that what they give is not reliable."""


class OutcomeWarning(UserWarning):
    """Outcomes that were drawn overflowed, and are set to the largest number."""


def quote(value: object, limit: int = 60) -> str:
    """Quote a value for a message, cut to ``limit`` characters.

    Examples
    --------
    >>> quote("x" * 100, limit=10)
    "'xxxxxx..."
    """
    try:
        text = repr(value)
    except Exception:  # of a number with thousands of digits, of users' own objects
        text = f"<{type(value).__name__}>"
    text = " ".join(text.split("\n"))
    return text if len(text) <= limit else text[: limit - 3] + "..."


def quote_list(values: Iterable[object], limit: int = 5) -> str:
    """Quote at most ``limit`` values and say how many more there are.

    Examples
    --------
    >>> quote_list(range(7))
    '0, 1, 2, 3, 4 and 2 more'
    """
    values = list(values)
    text = ", ".join(quote(value) for value in values[:limit])
    more = len(values) - limit
    return text if more <= 0 else f"{text} and {more} more"


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the line outside of stanpool that called it, however deep we are."""
    package = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def suggestion(given: str, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or nothing.

    Examples
    --------
    >>> suggestion("partail", ["complete", "none", "partial"])
    " Did you mean 'partial'?"
    """
    near = get_close_matches(given[:200], list(known), n=1)
    return f" Did you mean {quote(near[0])}?" if near else ""


def check_choice(
    option: str, given: object, known: Collection[str], advice: str = ""
) -> None:
    """Refuse a choice that is not known, with the nearest one that is, or advice.

    Examples
    --------
    >>> check_choice("pooling", "partail", ("complete", "partial"))
    Traceback (most recent call last):
    stanpool.base.errors.SpecError: pooling='partail' is not one of 'complete', \
'partial'. Did you mean 'partial'?
    """
    if not isinstance(given, str) or given not in known:
        raise SpecError(
            f"{option}={quote(given)} is not one of {quote_list(known, limit=20)}."
            + (advice or (suggestion(given, known) if isinstance(given, str) else ""))
        )
