"""The exceptions and warnings of stanpool.

::

    StanpoolError
    ├── ArgumentError (TypeError)    a function has no such argument
    ├── SpecError (ValueError)       the model specification is wrong
    ├── DataError (ValueError)       the data are not suitable for the model
    ├── OutOfMemoryError (MemoryError)
    ├── StorageError (OSError)       a file or folder could not be written or read
    └── EngineError (RuntimeError)   Stan could not be found, built or run
        ├── CompileError             a program did not compile
        ├── DensityError             an engine computes another density than the model's
        └── SamplingError            a chain did not finish

Problems of a *result* are not exceptions, but findings of a ``Diagnosis``. What may be
intended but should not be overlooked is a warning: ``PriorWarning``,
``NestingWarning``, ``RankWarning``, ``StorageWarning``, ``ImportanceWarning``,
``OutcomeWarning``, ``EffectWarning``.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from typing import ParamSpec, TypeVar

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


class StanpoolError(Exception):
    """The base class of all errors that stanpool raises."""


class ArgumentError(StanpoolError, TypeError):
    """A function was called with an unknown argument, or without one that it needs."""


class SpecError(StanpoolError, ValueError):
    """The model specification is wrong: a formula, a prior or an option."""


class DataError(StanpoolError, ValueError):
    """The data are not suitable: missing, infinite or outside of the support."""


class OutOfMemoryError(StanpoolError, MemoryError):
    """The result does not fit into memory."""


class StorageError(StanpoolError, OSError):
    """A file could not be written or read, for lack of space or permission."""


class PathTakenError(StorageError, FileExistsError):
    """A path exists already and must not be replaced."""


class NoFitError(StorageError, FileNotFoundError):
    """There is no saved fit at a path."""


class EngineError(StanpoolError, RuntimeError):
    """Stan's tools could not be found, built or run."""


class CompileError(EngineError):
    """A Stan program was refused by stanc or by the C++ compiler."""


class DensityError(EngineError):
    """An engine computes a wrong log density for a program."""


class SamplingError(EngineError):
    """A chain crashed, was killed, or could not start."""


class PriorWarning(UserWarning):
    """A prior is not used, or is improper, so that the posterior may not exist."""


class NestingWarning(UserWarning):
    """Labels of nested factors repeat, as if the factors were crossed."""


class RankWarning(UserWarning):
    """Predictors are left out because they are linear combinations of others."""


class StorageWarning(UserWarning):
    """A fit was sampled, but could not be saved."""


class ImportanceWarning(UserWarning):
    """Importance weights are so uneven that results are unreliable."""


class EffectWarning(UserWarning):
    """An effect extrapolates, has no slope, or uses fewer draws than there are."""


class OutcomeWarning(UserWarning):
    """Drawn outcomes overflowed, and are set to the largest number."""


def deprecated(
    *, since: str, instead: str
) -> Callable[[Callable[Given, Returned]], Callable[Given, Returned]]:
    """Return a decorator that lets a function work and warns of its removal.

    Parameters
    ----------
    since
        The version that deprecated it.
    instead
        What to write in its place.

    Examples
    --------
    >>> @deprecated(since="0.2", instead="new(x)")
    ... def old(x):
    ...     return x + 1
    """

    def decorator(function: Callable[Given, Returned]) -> Callable[Given, Returned]:
        @functools.wraps(function)
        def warned(*args: Given.args, **kwargs: Given.kwargs) -> Returned:
            warn_of_deprecation(f"{function.__name__}()", since=since, instead=instead)
            return function(*args, **kwargs)

        return warned

    return decorator


def warn_of_deprecation(name: str, *, since: str, instead: str) -> None:
    """Warn the caller of the caller that a name will be removed.

    A ``FutureWarning`` is shown by default, also where the call is in a library.
    """
    warnings.warn(
        f"{name} is deprecated since stanpool {since} and will be removed; "
        f"use {instead}.",
        FutureWarning,
        stacklevel=3,
    )


def quote(value: object, limit: int = 60) -> str:
    """Quote a value for a message, shortened to ``limit`` characters.

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
    """Warn at the line outside of stanpool that called it, from any depth."""
    package = os.path.join(os.path.dirname(os.path.dirname(__file__)), "")
    # Decorators and cached properties stand between functions of ours.
    between = (functools.__file__, contextlib.__file__)
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith(package)
        or frame.f_code.co_filename in between
    ):
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
    """Refuse an unknown choice, and suggest the nearest known one, or give advice.

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
