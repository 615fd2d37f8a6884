"""CmdStan as an engine: programs are compiled, and run through cmdstanpy."""

from __future__ import annotations

import subprocess
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from stanpool.base.errors import EngineError
from stanpool.base.options import EngineName
from stanpool.base.system.platforms import NO_WINDOW
from stanpool.engine.cmdstan.approximate import approximate
from stanpool.engine.cmdstan.compile import executable_of
from stanpool.engine.cmdstan.run import sample_file
from stanpool.engine.install.home import why_no_cmdstan
from stanpool.engine.interface import Densities
from stanpool.engine.process import how_it_ended, tail
from stanpool.engine.scratch import scratch_folder, write_data
from stanpool.engine.values.draws import Proposals, RawDraws
from stanpool.engine.values.program import StanProgram
from stanpool.engine.values.settings import SampleSettings

_SIG_FIGS = 17  # all that a number has


@dataclass(frozen=True)
class CmdStan:
    """The engine that compiles programs."""

    name: EngineName = "cmdstan"

    def why_not(self, settings: SampleSettings | None = None) -> str:
        """Say why there is no CmdStan on this platform, and cannot be set up; or ""."""
        return why_no_cmdstan()

    @contextmanager
    def load(
        self, program: StanProgram, data: Mapping[str, Any], *, progress: bool = True
    ) -> Iterator[_Loaded]:
        """Compile a program, or take it from the cache."""
        executable = executable_of(program, progress=progress)
        with scratch_folder() as folder:
            yield _Loaded(executable, data, folder)


@dataclass(frozen=True, eq=False)
class _Loaded:
    """An executable, and the data to run it with."""

    executable: Path
    _data: Mapping[str, Any]
    _folder: Path

    @cached_property
    def _data_file(self) -> Path:
        """The data in a file, which is written once."""
        return write_data(self._folder / "data.json", self._data)

    def log_density(
        self, points: np.ndarray, *, data: Mapping[str, Any] | None = None
    ) -> Densities:
        """Evaluate the log density and its gradient; see ``LoadedProgram``."""
        points = np.atleast_2d(np.asarray(points, dtype=float))
        with scratch_folder() as folder:
            given = self._data_file
            if data is not None:
                given = write_data(folder / "data.json", data)
            try:
                found = self._evaluate(folder, given, points)
            except _RefusedError:  # at one of the points, and the others are not tried
                rows = [self._at(folder, given, point) for point in points]
                found = np.stack(rows) if rows else np.empty((0, 1 + points.shape[1]))
        return Densities(found[:, 0], found[:, 1:])

    def sample(
        self,
        settings: SampleSettings,
        *,
        passing: Collection[str] = (),
        progress: bool = True,
    ) -> RawDraws:
        """Sample with NUTS; see ``LoadedProgram``."""
        return sample_file(
            self.executable,
            self._data_file,
            settings,
            passing=passing,
            progress=progress,
        )

    def approximate(
        self, settings: SampleSettings, *, progress: bool = True
    ) -> Proposals:
        """Draw from an approximation to the posterior; see ``LoadedProgram``."""
        file = self._data_file
        return approximate(self.executable, file, settings, progress=progress)

    def _at(self, folder: Path, data: Path, point: np.ndarray) -> np.ndarray:
        try:
            (row,) = self._evaluate(folder, data, point[np.newaxis])
            return np.array(row)
        except _RefusedError:
            return np.array([-np.inf, *np.full(len(point), np.nan)])

    def _evaluate(self, folder: Path, data: Path, points: np.ndarray) -> np.ndarray:
        """Return the log density and its gradient at each point: ``(point, 1 + K)``."""
        output = folder / "densities.csv"
        points_file = write_data(folder / "points.json", {"params_r": points})
        command = [
            str(self.executable),
            "log_prob",
            f"unconstrained_params={points_file}",
            "data",
            f"file={data}",
            "output",
            f"file={output}",
            f"sig_figs={_SIG_FIGS}",
        ]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                check=False,
                creationflags=NO_WINDOW,
            )
        except OSError as problem:
            raise EngineError(f"cannot run {command[0]!r}: {problem}") from problem
        if done.returncode > 0 and "Exception:" in done.stdout:
            raise _RefusedError
        if done.returncode != 0:
            raise EngineError(
                f"the executable {command[0]!r} does not evaluate the log "
                f"density; it {how_it_ended(done.returncode)}:\n"
                f"{tail(done.stdout)}"
            )
        return _read(output)


class _RefusedError(Exception):
    """The log density does not exist at a point."""


def _read(path: Path) -> np.ndarray:
    """Return the numbers of a file of CSV with comments and a header."""
    lines = path.read_text("utf-8").splitlines()
    rows = [line.split(",") for line in lines if line and not line.startswith("#")]
    return np.array(rows[1:], dtype=float)
