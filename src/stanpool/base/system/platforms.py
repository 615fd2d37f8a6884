"""What the operating system can do, where systems differ."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from ctypes import c_int, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

# Programs of the console open no window of their own: a flag of Windows'.
NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)
_OWN_GROUP: int = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
_FIRST_PAUSE, _PATIENCE_SECONDS = 0.01, 3.0
_EXTENDED_LIMITS, _END_WHEN_CLOSED = 9, 0x2000
_MAY_ASSIGN = 0x0100 | 0x0001  # to set a quota and to terminate


def is_windows() -> bool:
    """Say whether this is Windows."""
    return platform.system() == "Windows"


def executable(name: str) -> str:
    """Return what the file of a program is called here, ``stanc.exe`` on Windows."""
    return f"{name}.exe" if is_windows() else name


def in_own_group() -> dict[str, Any]:
    """Return options of ``Popen``: a terminal's Ctrl-C does not reach the process."""
    if is_windows():
        return {"creationflags": NO_WINDOW | _OWN_GROUP}
    return {"start_new_session": True}


def replace(source: Path, target: Path) -> None:
    """Rename a file or a folder, and replace a file that has the name already.

    On Windows nothing can be renamed or replaced that any program has open, as a virus
    scanner has what is new for a moment: it is tried again for a few seconds.
    """
    for pause in _pauses():
        try:
            os.replace(source, target)
            return
        except PermissionError:
            if pause is None:
                raise
            time.sleep(pause)


def _pauses() -> Iterator[float | None]:
    """Return seconds to wait before each further try, and None when there is none."""
    pause, left = _FIRST_PAUSE, _PATIENCE_SECONDS if is_windows() else 0.0
    while left > 0:
        yield pause
        pause, left = 2 * pause, left - pause
    yield None


def physical_memory() -> int | None:
    """Return the bytes of memory that the machine has; None if it does not say."""
    if is_windows():
        status = _MemoryStatus()
        status.dwLength = ctypes.sizeof(status)
        windows = ctypes.CDLL("kernel32")
        said = windows.GlobalMemoryStatusEx(ctypes.byref(status))
        return int(status.ullTotalPhys) if said else None
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


class _MemoryStatus(ctypes.Structure):
    """Windows' MEMORYSTATUSEX."""

    _fields_ = (
        ("dwLength", c_uint32),
        ("dwMemoryLoad", c_uint32),
        ("ullTotalPhys", c_uint64),
        ("others", c_uint64 * 6),
    )


class Job:
    """A job of Windows': processes that end together, at the latest when we end.

    It is what process groups, and shells that watch, are on other systems. Windows ends
    the processes of a job, and all that these have started, when nobody has the job
    open any more; and it closes what a process has open, however that process ends.
    Where Windows refuses a job, it is without effect.
    """

    def __init__(self) -> None:
        self._windows = _kernel()
        self._handle = self._windows.CreateJobObjectW(None, None)
        limits = _Limits(flags=_END_WHEN_CLOSED)
        self._windows.SetInformationJobObject(
            self._handle,
            _EXTENDED_LIMITS,
            ctypes.byref(limits),
            ctypes.sizeof(limits),
        )

    def add(self, number: int) -> None:
        """Take a process into the job, by its number."""
        process = self._windows.OpenProcess(_MAY_ASSIGN, 0, number)
        if process:
            self._windows.AssignProcessToJobObject(self._handle, process)
            self._windows.CloseHandle(process)

    def end(self) -> None:
        """End all processes of the job."""
        self._windows.TerminateJobObject(self._handle, 1)
        self._windows.CloseHandle(self._handle)


class _Limits(ctypes.Structure):
    """Windows' JOBOBJECT_EXTENDED_LIMIT_INFORMATION."""

    _fields_ = (
        ("times", c_int64 * 2),
        ("flags", c_uint32),
        ("working_set", c_size_t * 2),
        ("processes", c_uint32),
        ("affinity", c_size_t),
        ("classes", c_uint32 * 2),
        ("counters", c_uint64 * 6),
        ("memory", c_size_t * 4),
    )


@functools.cache
def _kernel() -> Any:
    """Return the functions of Windows, with the types of what they take and return."""
    windows = ctypes.CDLL("kernel32")
    for name, result, *arguments in (
        ("CreateJobObjectW", c_void_p, c_void_p, c_void_p),
        ("SetInformationJobObject", c_int, c_void_p, c_int, c_void_p, c_uint32),
        ("OpenProcess", c_void_p, c_uint32, c_int, c_uint32),
        ("AssignProcessToJobObject", c_int, c_void_p, c_void_p),
        ("TerminateJobObject", c_int, c_void_p, c_uint32),
        ("CloseHandle", c_int, c_void_p),
    ):
        function = getattr(windows, name)
        function.restype, function.argtypes = result, arguments
    return windows
