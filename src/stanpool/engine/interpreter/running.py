"""The child process, as its parent sees it: started, asked, watched and stopped."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from stanpool.base.errors import EngineError, SamplingError, SpecError, StanpoolError
from stanpool.base.system.platforms import in_own_group
from stanpool.base.system.stopping import raise_if_stopped
from stanpool.engine.interpreter import child
from stanpool.engine.process import how_it_ended, last_message, ran_out_of_memory
from stanpool.engine.scratch import has_no_room, no_room
from stanpool.engine.values.settings import ADVICE_ON_INITS, NO_PROPER_MODE

_POLL_SECONDS = 0.1
_ITERATION = re.compile(r"Chain \[(\d+)\] Iteration:\s*(\d+) /")
_TIME = re.compile(r"([\d.]+) seconds \((Warm-up|Sampling)\)")
_NOT_THERE = ("ImportError", "ModuleNotFoundError", "OSError", "AttributeError")
_STARTING = ("sample", "find_starts")
_OTHER_ENGINE = "engine='cmdstan' compiles the program instead."


def how_to_start() -> tuple[str, ...]:
    """Return the Python that is started, and where it looks for modules."""
    return (str(sys.executable), *sys.path)


class Child:
    """A process that runs stanli.

    It is in a session of its own, so that only we stop it: at Ctrl-C, which a terminal
    sends to all processes of ours, and when we end, however that is.

    Parameters
    ----------
    folder
        Where the files are that it and we exchange.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._answers: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._iterations: dict[str, int] = {}
        self._is_at_work = False
        self.seconds: dict[str, list[float]] = {}
        if not sys.executable:
            raise EngineError(
                "stanli needs a process of its own, and this Python does not know its "
                f"executable. {_OTHER_ENGINE}"
            )
        try:
            with (folder / child.CONSOLE).open("wb") as console:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-X", "utf8", child.__file__],
                    stdin=subprocess.PIPE,  # ends with us
                    stdout=subprocess.PIPE,
                    stderr=console,
                    encoding="utf-8",
                    errors="replace",
                    **in_own_group(),
                )
        except OSError as error:
            raise EngineError(
                f"cannot start a process for stanli: {error}. {_OTHER_ENGINE}"
            ) from error
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def iterations(self) -> int:
        """How many iterations the chains have done together, as far as they said."""
        return sum(list(self._iterations.values()))  # more may come meanwhile

    def ask(
        self,
        request: Mapping[str, Any],
        *,
        tick: Callable[[], None] = lambda: None,
    ) -> Mapping[str, Any]:
        """Return the answer to a request.

        Parameters
        ----------
        tick
            Called several times a second meanwhile.

        Raises
        ------
        SpecError
            If stanli refuses initial values or another setting.
        SamplingError
            If stanli says that chains failed, or there is no room for their draws.
        EngineError
            If it refuses the program or the data, or the process ends.
        """
        self._iterations, self.seconds = {}, {}
        self._is_at_work = True
        stream = self._process.stdin
        with suppress(OSError):  # has it ended already, there is no answer
            assert stream is not None
            stream.write(json.dumps(request) + "\n")
            stream.flush()
        while True:
            try:
                answer = self._answers.get(timeout=_POLL_SECONDS)
                break
            except queue.Empty:
                raise_if_stopped()
                tick()
        if answer is None:
            self._answers.put(None)  # nor is there one to the next request
            self._process.wait()
            raise EngineError(self._how_it_ended())
        if "failed" in answer:
            raise self._failure(str(request["do"]), answer["failed"], answer["words"])
        self._is_at_work = False
        return answer

    def load(self, folder: Path) -> Mapping[str, Any]:
        """Load the program and the data of a folder; return what is told of them."""
        self._folder = folder
        return self.ask({"do": "load", "path": sys.path, "folder": str(folder)})

    def rest(self) -> bool:
        """Forget the program, and return whether the process may take another one.

        Not if it is at work still, or has failed in any way: a library that has gone
        wrong once is not trusted again.
        """
        return not self._is_at_work and bool(self.ask({"do": "rest"})["is_fit"])

    @property
    def has_ended(self) -> bool:
        """Whether the process runs no more."""
        return self._process.poll() is not None

    def leave_to_parent(self) -> None:
        """Let go of the process after a fork, since it is the parent's."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def stop(self) -> None:
        """End the process at once, whatever it does."""
        self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(OSError):  # what it did not read
                self._process.stdin.close()

    def _listen(self) -> None:
        """Read what the process writes until it ends."""
        stream = self._process.stdout
        assert stream is not None
        with stream:
            for line in stream:
                if line.startswith("{"):
                    self._answers.put(json.loads(line))
                for chain, done in _ITERATION.findall(line):
                    self._iterations[chain] = int(done)
                for seconds, stage in _TIME.findall(line):
                    self.seconds.setdefault(stage, []).append(float(seconds))
        self._answers.put(None)

    def _how_it_ended(self) -> str:
        """Say how the process ended before its time, its last words, what to do."""
        code = self._process.returncode
        said = last_message(self._console)
        return f"the process of stanli {how_it_ended(code)}{said}{self._advice(code)}"

    def _advice(self, code: int) -> str:
        if has_no_room(self._folder):
            return no_room(self._folder)
        if ran_out_of_memory(code, self._console):
            return (
                "Memory ran out, unless somebody ended the process by hand. Close "
                "other programs, or run fewer chains at a time: parallel_chains=1; or "
                "engine='cmdstan', which keeps draws in files while it samples."
            )
        return f"This is a fault of stanli, and not of your model. {_OTHER_ENGINE}"

    @property
    def _console(self) -> str:
        try:
            return (self._folder / child.CONSOLE).read_text("utf-8", errors="replace")
        except OSError:
            return ""

    def _failure(self, doing: str, kind: str, words: str) -> StanpoolError:
        """Turn an exception of the process into ours, with what to do."""
        if kind == "MemoryError":
            return EngineError(
                f"there is not enough memory for stanli: {words}. Fewer draws, or "
                "thin=10, take less; engine='cmdstan' keeps draws in files meanwhile."
            )
        if kind in ("OSError", "StorageError") and has_no_room(self._folder):
            return SamplingError(f"{words}. {no_room(self._folder)}")
        if doing == "load" and kind in _NOT_THERE:
            return EngineError(
                f"stanli cannot be loaded: {words}. `pip install --force-reinstall "
                f"stanli` mends it where there is a wheel for this platform; "
                f"{_OTHER_ENGINE}"
            )
        if doing in _STARTING and "initialization failed" in words.lower():
            return SamplingError(f"no chain could start: {words}\n{ADVICE_ON_INITS}")
        if doing == "optimize":
            return SamplingError(f"{words}\n{NO_PROPER_MODE}")
        if doing in _STARTING and kind == "ValueError":
            return SpecError(f"stanli does not accept the settings: {words}")
        if doing == "sample":
            return SamplingError(f"stanli stopped: {words}\n{_OTHER_ENGINE}")
        return EngineError(f"stanli cannot run the program: {words}")
