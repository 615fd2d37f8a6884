"""The processes of a run: started, watched and stopped as one.

cmdstanpy starts chains in threads that nothing can end, tells their progress to its
own bars only, and lets the others continue when one has failed. ``Chains.run`` stands
in for the method of ``CmdStanModel`` that runs one chain.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stanpool.base.system.platforms import NO_WINDOW
from stanpool.engine.process import Guard, how_it_ended, last_message, ran_out_of_memory
from stanpool.engine.scratch import has_no_room, no_room
from stanpool.engine.values.settings import ADVICE_ON_INITS, NO_PROPER_MODE

_ITERATION = re.compile(r"Iteration:\s*(\d+) /")
_OF_COURSE = re.compile(
    r"Gradient evaluation took|1000 transitions using|Adjust your expectations"
    r"|Informational Message:|If this warning occurs|but if this warning occurs"
    r"|\s*(Elapsed Time:)?\s*\S+ seconds \("
)
_AFTER_WARMUP = "(Sampling)"
_REJECTION = re.compile(r"Exception: (.*?)(?: \(in '.*)?$")
_STOPPED = -1


class Chains:
    """The processes of one run.

    Parameters
    ----------
    threads
        How many threads each may use.
    change
        Makes the command of a chain of the one that cmdstanpy gives.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        change: Callable[[list[str]], list[str]] = list,
    ) -> None:
        self._change = change
        self._environment = {**os.environ, "STAN_NUM_THREADS": str(threads)}
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[str]] = set()
        self._guard = Guard()
        self._stopped = False
        self._iterations: dict[int, int] = {}
        self._said: Counter[str] = Counter()
        self.rejections: Counter[str] = Counter()
        self.failure: Failure | None = None

    @property
    def iterations(self) -> int:
        """How many iterations the chains have done together, as far as they said."""
        return sum(self._iterations.values())

    @property
    def said(self) -> tuple[str, ...]:
        """What the chains said that not all chains say, and how often."""
        return tuple(
            f"{line} ({times} times)" if times > 1 else line
            for line, times in self._said.items()
        )

    def stop(self) -> None:
        """Kill every chain, and let none start any more."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()

    def run(self, runset: Any, idx: int, *_: Any, **__: Any) -> None:
        """Run one chain to its end, for cmdstanpy."""
        console = Path(runset.stdout_files[idx])
        try:
            with console.open("w", encoding="utf-8") as file:
                command = self._change(runset.cmd(idx))
                code = self._watch(command, idx, file.write)
        except OSError as error:
            self._fail(Failure(runset.chain_ids[idx], None, str(error), console.parent))
            return
        runset._set_retcode(idx, code)
        said = console.read_text(encoding="utf-8")
        if code != 0:
            self._fail(Failure(runset.chain_ids[idx], code, said, console.parent))
        else:
            self._listen(said)

    def _listen(self, console: str) -> None:
        """Keep what a chain said, and count its rejections after warm-up."""
        is_warm = False
        with self._lock:
            for line in _spoken(console):
                if _ITERATION.match(line):
                    is_warm = _AFTER_WARMUP in line
                    continue
                if not _OF_COURSE.match(line):
                    self._said[line] += 1
                if is_warm and (found := _REJECTION.search(line)):
                    self.rejections[found[1]] += 1

    def _watch(self, command: list[str], idx: int, write: Callable[[str], Any]) -> int:
        """Return the exit code of a chain whose console goes to ``write``.

        Chains stay in our process group, so that a terminal's Ctrl-C and hang-up reach
        them, other than on Windows; should we be killed, the guard ends them.
        """
        with self._lock:
            if self._stopped:
                return _STOPPED
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                env=self._environment,
                creationflags=NO_WINDOW,
            )
            self._running.add(process)
            self._guard.add(process.pid)
        try:
            with process:
                for line in process.stdout or ():
                    write(line)
                    if found := _ITERATION.match(line):
                        self._iterations[idx] = int(found[1])
        finally:
            with self._lock:
                self._running.remove(process)
                self._guard.remove(process.pid)
        return process.returncode

    def _fail(self, failure: Failure) -> None:
        """Keep the first failure; the other chains are of no use any more."""
        with self._lock:
            if self._stopped:
                return
            self._stopped = True
            self.failure = failure
        self.stop()


@dataclass(frozen=True)
class Failure:
    """How a chain ended before its time.

    Attributes
    ----------
    chain
        Its number.
    code
        Its exit code, negative for a signal; None if the trouble was on our side.
    console
        What it said, or what the trouble was.
    folder
        Where its files are.
    """

    chain: int
    code: int | None
    console: str
    folder: Path

    def __str__(self) -> str:
        """Say which chain failed and how, its last words, and what to do."""
        said = last_message("\n".join(_last_words(self.console)))
        end = "could not be run" if self.code is None else how_it_ended(self.code)
        return f"chain {self.chain} {end}{said}{self._advice}"

    @property
    def _advice(self) -> str:
        if has_no_room(self.folder):
            return no_room(self.folder)
        if ran_out_of_memory(self.code, self.console):
            return (
                "Memory ran out, unless somebody ended the process by hand. Close "
                "other programs, or run fewer chains at a time: parallel_chains=1."
            )
        if re.search("Rejecting initial value|Initialization .*failed", self.console):
            return ADVICE_ON_INITS
        if "Line search failed" in self.console:  # what the optimizer writes
            return NO_PROPER_MODE
        if self.code is None or "shared librar" in self.console:
            return (
                "The executable or its engine is damaged or gone, or its disk does "
                "not allow programs to run. `stanpool doctor` says more. `stanpool "
                "clean` and another fit build them again; STANPOOL_CACHE names "
                "another place."
            )
        return (
            "Stan's message says what is wrong. If it does not help, try another "
            "seed; `stanpool doctor` checks the engine."
        )


def _last_words(console: str) -> list[str]:
    """Return what a chain said, without its settings, its progress and repetitions."""
    spoken = [line for line in _spoken(console) if not _ITERATION.match(line)]
    return list(dict.fromkeys(reversed(spoken)))[::-1]


def _spoken(console: str) -> list[str]:
    """Return the lines that a chain wrote after its settings."""
    settings, _, said = console.partition("\n\n")
    if not settings.startswith("method = "):
        said = console
    return [line.rstrip() for line in said.splitlines() if line.strip()]
