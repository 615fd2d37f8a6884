"""What workers are sent: a function once, its tasks one by one, and what comes back."""

from __future__ import annotations

import os
import pickle
import platform
import traceback
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import dataclass
from importlib.util import find_spec
from threading import Lock
from typing import Any
from uuid import uuid4

from stanpool.base.errors import EngineError, SpecError
from stanpool.base.system.stopping import StoppedError, working_for


class LostError(EngineError):
    """A task ended the workers that did it, one after the other."""


class Parcel:
    """A value that is pickled once, however often it is sent, and read when needed.

    Where it is not sent, as among threads, it is not pickled at all.

    Parameters
    ----------
    value
        Any value.
    """

    def __init__(self, value: Any) -> None:
        self._values = [value]
        self._content: bytes | None = None

    @classmethod
    def received(cls, content: bytes) -> Parcel:
        """Return a parcel that was sent here."""
        parcel = cls(None)
        parcel._values, parcel._content = [], content
        return parcel

    @property
    def is_read(self) -> bool:
        """Whether the value is there, as where it was made."""
        return bool(self._values)

    @property
    def value(self) -> Any:
        """The value, read the first time that it is asked for."""
        if not self._values:
            assert self._content is not None
            try:
                self._values.append(pickle.loads(self._content))
            except (AttributeError, ImportError) as missing:
                raise EngineError(
                    f"what was sent to a worker cannot be read there: {missing}. Put "
                    "functions into a module that the workers can import (or install "
                    "cloudpickle, which sends those of the main program, too)."
                ) from missing
        return self._values[0]

    def __reduce__(self) -> tuple[Callable[[bytes], Parcel], tuple[bytes]]:
        """Pickle the value, or send what it was pickled to."""
        if self._content is None:
            self._content = _pickled(self._values[0])
        return Parcel.received, (self._content,)


class TaskParcel(Parcel):
    """A value that is sent once, so that what it is pickled to need not be kept."""

    def __reduce__(self) -> tuple[Callable[[bytes], Parcel], tuple[bytes]]:
        """Pickle the value."""
        return Parcel.received, (_pickled(self.value),)


def _pickled(value: Any) -> bytes:
    """Pickle a value, with functions of the main program where cloudpickle can.

    Raises
    ------
    SpecError
        If it cannot be pickled.
    """
    try:
        if find_spec("cloudpickle") is None:
            return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        import cloudpickle

        content: bytes = cloudpickle.dumps(value)
        return content
    except (pickle.PicklingError, AttributeError, TypeError, NotImplementedError) as no:
        raise SpecError(
            f"what the workers are to do cannot be sent to them: {no}. Functions must "
            "be at the top level of a module (or install cloudpickle, which sends "
            "others, too), and hold no open file, lock or connection. Without "
            "executor=, or with a ThreadPoolExecutor, nothing is sent."
        ) from no


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a task: its result, or the error that it ended with.

    Attributes
    ----------
    parcel
        The result.
    error
        The error; None if there is a result.
    """

    parcel: Parcel | None
    error: BaseException | None = None

    @property
    def result(self) -> Any:
        """The result; the error is raised if there is none."""
        if self.error is not None:
            raise self.error
        assert self.parcel is not None
        return self.parcel.value


Outcomes = Generator[tuple[int, Outcome], None, None]
"""The place of each task, and what became of it, as they end."""

_MOST_KEPT = 4  # functions of studies that a worker has worked for last
_kept: OrderedDict[str, Parcel] = OrderedDict()
_lock = Lock()


class Job:
    """A function of a task, which each worker process reads once.

    Parameters
    ----------
    function
        The function, with all that the tasks have in common.
    """

    def __init__(self, function: Callable[[Any], Any]) -> None:
        from stanpool import __version__

        self.study = uuid4().hex
        self._function = Parcel(function)
        self._version = __version__
        self._maker = worker_name()

    def __call__(self, task: Parcel) -> Outcome:
        """Do a task here."""
        if problem := self._why_not_here():
            return Outcome(None, EngineError(problem))
        try:
            with working_for(self.study):
                return Outcome(Parcel(self._here().value(task.value)))
        except StoppedError as stopped:
            return Outcome(None, stopped)
        except Exception as error:
            is_sent = worker_name() != self._maker
            return Outcome(None, _fit_to_be_sent(error) if is_sent else error)

    def _why_not_here(self) -> str:
        """Say why this process cannot do what another one asks for; "" if it can."""
        from stanpool import __version__

        if __version__ == self._version:
            return ""
        return (
            f"the worker {worker_name()} has stanpool {__version__}, and this process "
            f"has {self._version}. Results could differ, so it was given no work. "
            f"Install stanpool {self._version} there."
        )

    def _here(self) -> Parcel:
        """Return the function as this process has it, read once for all tasks."""
        if self._function.is_read:
            return self._function
        with _lock:
            parcel = _kept.setdefault(self.study, self._function)
            _kept.move_to_end(self.study)
            while len(_kept) > _MOST_KEPT:
                _kept.popitem(last=False)
        return parcel


def worker_name() -> str:
    """Return the name of this machine, and the number of this process."""
    return f"{platform.node()} (process {os.getpid()})"


def _fit_to_be_sent(error: Exception) -> Exception:
    """Return an error that can be pickled, with where it was raised as a note."""
    error.add_note(f"On the worker {worker_name()}:\n{traceback.format_exc()}")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # whatever the error holds
        return EngineError(f"{type(error).__name__}: {error}")
    return error
