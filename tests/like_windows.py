"""A Windows to test on that is none: what it lacks is gone, what it refuses is refused.

It is a part of the truth: the same tests run on Windows itself in the definitions of
``.github/workflows``.
"""

from __future__ import annotations

import errno
import os
import platform
import signal
import stat
import subprocess
from pathlib import Path
from types import SimpleNamespace

from stanpool.base.system import platforms as system

_LACKING = {os: ("geteuid", "killpg", "sched_getaffinity", "fork", "sysconf")}


class Kernel:
    """Windows' functions for jobs: it keeps what is called, and ends what is ended."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self._members: dict[int, list[int]] = {}

    def CreateJobObjectW(self, *_):
        self._members[1000 + len(self.said)] = []
        return self._say("create", 1000 + len(self.said))

    def SetInformationJobObject(self, job, kind, limits, size):
        assert (kind, size) == (9, 144)  # as Windows' headers have them on 64 bits
        return self._say("limit", 1)

    def OpenProcess(self, rights, inherits, number):
        return number

    def AssignProcessToJobObject(self, job, process):
        self._members[job].append(process)
        return self._say("assign", 1)

    def TerminateJobObject(self, job, code):
        for number in self._members[job]:
            subprocess.run(["kill", "-9", str(number)], capture_output=True)
        return self._say("end", 1)

    def CloseHandle(self, handle):
        return 1

    def _say(self, what, result):
        self.said.append(what)
        return result


def like_windows(monkeypatch) -> Kernel:
    """Make this system behave as Windows where stanpool asks what there is."""
    kernel = Kernel()
    monkeypatch.setattr(platform, "system", lambda: "Windows")
    monkeypatch.setattr(system, "_kernel", lambda: kernel)
    for module, names in _LACKING.items():
        for name in names:
            monkeypatch.delattr(module, name, raising=False)
    # Python's own modules keep what they have here.
    monkeypatch.setattr(subprocess, "signal", SimpleNamespace(**vars(signal)))
    for name in ("SIGKILL", "SIGHUP"):
        monkeypatch.delattr(signal, name)
    for name in ("unlink", "remove", "rename", "replace"):
        monkeypatch.setattr(os, name, _refusing(getattr(os, name)))
    return kernel


def _refusing(change):
    """Refuse, as Windows does, to remove, rename or replace what is open."""

    def changed(path, *others, dir_fd=None, **more):
        named = [
            path,
            *(each for each in others if isinstance(each, str | os.PathLike)),
        ]
        for each in named:
            folder = Path(os.readlink(f"/proc/self/fd/{dir_fd}") if dir_fd else "")
            where = Path(os.path.abspath(folder / os.fspath(each)))
            if any(open_ == where or where in open_.parents for open_ in _open_files()):
                raise PermissionError(errno.EACCES, "Access is denied", str(each))
        if dir_fd is not None:
            more["dir_fd"] = dir_fd
        return change(path, *others, **more)

    return changed


def _open_files():
    """Find the regular files that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            if stat.S_ISREG(link.stat().st_mode):
                found.append(Path(os.readlink(link)))
        except OSError:
            continue
    return found
