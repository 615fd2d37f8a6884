"""stanli as an engine: precompiled Stan interprets programs, without a compiler."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from stanpool.base.errors import EngineError, SpecError
from stanpool.base.options import EngineName
from stanpool.base.progress import counting, tell_detail
from stanpool.engine.install.wheel import WHERE_STANLI_IS
from stanpool.engine.interface import Densities
from stanpool.engine.interpreter import child
from stanpool.engine.interpreter.approximate import approximate
from stanpool.engine.interpreter.options import (
    arguments_of,
    given_starts,
    refused,
    with_written_metric,
)
from stanpool.engine.interpreter.running import Child
from stanpool.engine.interpreter.waiting import loaded_child
from stanpool.engine.scratch import scratch_folder, write_data, write_text
from stanpool.engine.values.draws import Columns, Proposals, RawDraws
from stanpool.engine.values.program import StanProgram
from stanpool.engine.values.settings import SampleSettings, warmup_draws

# What this code was written for and its tests ran with: stanli is young, and its
# releases change what they accept.
SUPPORTED = "0.24."
_OTHER_DATA = "other.json"


@dataclass(frozen=True)
class Stanli:
    """The engine that interprets programs.

    Examples
    --------
    >>> import numpy as np
    >>> from stanpool.engine.values.program import StanProgram
    >>> normal = StanProgram("normal", "parameters {real x;} model {x ~ std_normal();}")
    >>> with Stanli().load(normal, {}) as loaded:
    ...     loaded.log_density(np.array([[1.0], [2.0]])).values
    array([-0.5, -2. ])
    """

    name: EngineName = "stanli"

    def why_not(self, settings: SampleSettings | None = None) -> str:
        """Say why stanli cannot be used here, or with settings; "" if it can."""
        return _why_not_here() or ("" if settings is None else refused(settings))

    @contextmanager
    def load(
        self, program: StanProgram, data: Mapping[str, Any], *, progress: bool = True
    ) -> Iterator[InterpretedProgram]:
        """Have a process of stanli's load the program and its data."""
        if problem := _why_not_here():
            raise EngineError(problem)
        with scratch_folder() as folder:
            write_text(folder / child.PROGRAM, program.source)
            write_data(folder / child.DATA, data)
            with loaded_child(folder) as (process, facts):
                yield InterpretedProgram(process, folder, facts)


@dataclass(frozen=True, eq=False)
class InterpretedProgram:
    """A program in a process of stanli's."""

    _process: Child
    _folder: Path
    _facts: Mapping[str, Any]

    def log_density(
        self, points: np.ndarray, *, data: Mapping[str, Any] | None = None
    ) -> Densities:
        """Evaluate the log density and its gradient; see ``LoadedProgram``."""
        points = np.atleast_2d(np.asarray(points, dtype=float))
        if points.shape[1] != self._facts["dimension"]:
            raise EngineError(
                f"the points have {points.shape[1]} numbers each, and the program has "
                f"{self._facts['dimension']} unconstrained parameters."
            )
        file = child.DATA if data is None else _OTHER_DATA
        if data is not None:
            write_data(self._folder / _OTHER_DATA, data)
        np.save(self._folder / child.POINTS, points)
        answer = self._process.ask({"do": "evaluate", "data": file})
        found = np.load(self._folder / child.DENSITIES)
        return Densities(found[:, 0], found[:, 1:], float(answer["seconds"]))

    def gradient_seconds(self) -> float:
        """Measure the time of a gradient: a few hundredths of a second at most."""
        seconds = self._process.ask({"do": "time_gradients"})["seconds"]
        # Nothing is known where the density exists at no point that was tried.
        return 0.0 if seconds is None else float(seconds)

    def sample(
        self,
        settings: SampleSettings,
        *,
        passing: Collection[str] = (),
        progress: bool = True,
    ) -> RawDraws:
        """Sample with NUTS; see ``LoadedProgram``."""
        if problem := refused(settings):
            raise SpecError(problem)
        iterations = settings.warmup + settings.draws
        title = f"Sampling {settings.chains} chains of {iterations} iterations"
        full = with_written_metric(settings, self._facts["dimension"])
        request = {"do": "sample", **arguments_of(full), "passing": list(passing)}
        with counting(title, settings.chains * iterations, shown=progress) as show:
            answer = self._process.ask(
                request, tick=lambda: show(self._process.iterations)
            )
            show(settings.chains * iterations)  # it does not report the last ones
        return self._read(answer, settings)

    def approximate(
        self, settings: SampleSettings, *, progress: bool = True
    ) -> Proposals:
        """Draw from an approximation to the posterior; see ``LoadedProgram``."""
        if problem := refused(settings):
            raise SpecError(problem)
        with counting(f"Approximating ({settings.method})", 1, shown=progress):
            return approximate(self, settings)

    def find_starts(self, settings: SampleSettings, count: int) -> np.ndarray:
        """Return the initial values of settings, or random ones: ``(count, K)``."""
        inits, radius = given_starts(settings, count)
        request = {"inits": inits or [{}] * count, "seed": settings.seed}
        request |= {"init_radius": radius}
        self._process.ask({"do": "find_starts", **request})
        return np.asarray(np.load(self._folder / child.POINTS))

    def find_mode(self, start: np.ndarray, seed: int) -> np.ndarray:
        """Return where the log density has its maximum: ``(K,)``."""
        np.save(self._folder / child.POINTS, start[np.newaxis])
        self._process.ask({"do": "optimize", "seed": seed})
        return np.asarray(np.load(self._folder / child.POINTS)[0])

    def follow(
        self, starts: np.ndarray, history: int, change: float
    ) -> list[np.ndarray]:
        """Return where an optimizer goes, and the gradients: ``(2, step, K)`` each."""
        np.save(self._folder / child.POINTS, starts)
        how = {"history": history, "change": change}
        paths = []
        for place in range(len(starts)):
            self._process.ask({"do": "follow", "place": place, **how})
            paths.append(np.load(self._folder / child.PATH))
        return paths

    def constrain(self, points: np.ndarray, log_density: np.ndarray) -> RawDraws:
        """Return all variables of the program at points, as draws of one chain."""
        np.save(self._folder / child.POINTS, points)
        names = self._process.ask({"do": "constrain"})["columns"]
        densities = Columns.named(log_density[:, None, None], ["lp__"])
        found = self._columns(child.DRAWS, names)
        return RawDraws(densities, found, engine=self._engine, rejections={})

    def _read(self, answer: Mapping[str, Any], settings: SampleSettings) -> RawDraws:
        """Take the draws that the process has written."""
        metric = self._folder / child.METRIC
        seconds = self._process.seconds
        raw = RawDraws(
            Columns.named(
                np.load(self._folder / child.SAMPLER), answer["sampler_columns"]
            ),
            self._columns(child.DRAWS, answer["columns"]),
            step_size=np.array(answer["step_size"]),
            inv_metric=np.load(metric) if metric.exists() else None,
            seconds_warmup=np.array(seconds["Warm-up"]),
            seconds_sampling=np.array(seconds["Sampling"]),
            engine=self._engine,
            rejections={},  # stanli does not say
            warmup=warmup_draws(settings),
            _passing=self._columns(child.LAST, answer["passing"]),
        )
        slowest = (raw.seconds_warmup + raw.seconds_sampling).max()
        tell_detail(f"Sampled; the slowest chain took {slowest:.1f} s")
        return raw

    def _columns(self, file: str, names: list[str]) -> Columns:
        """Take columns, ``(draw, chain, column)``, out of a file."""
        array = np.load(self._folder / file)
        (self._folder / file).unlink()  # it may be large, and in memory, too
        return Columns.named(array, map(_dotted, names))

    @property
    def _engine(self) -> dict[str, str]:
        """What runs the program."""
        return {
            "name": "stanli",
            "stanli": self._facts["version"],
            "build": self._facts["build"],
        }


def _dotted(name: str) -> str:
    """Return a column's name as in CmdStan's files: ``theta[1,2]`` is ``theta.1.2``."""
    return name.replace("[", ".").replace(",", ".").rstrip("]")


@functools.cache
def _why_not_here() -> str:
    """Say why stanli cannot be used here, without loading it; "" if it can."""
    try:
        found = version("stanli") if find_spec("stanli") else None
    except (PackageNotFoundError, ImportError, ValueError):
        found = None
    if found is None:
        return (
            "stanli, which runs Stan programs without a compiler, is not installed. "
            "`pip install stanli` installs it where there is a wheel: "
            f"{WHERE_STANLI_IS}. engine='cmdstan' compiles programs instead."
        )
    if not found.startswith(SUPPORTED):
        return (
            f"stanli {found} is installed, and this stanpool works with {SUPPORTED}*. "
            f"`pip install 'stanli=={SUPPORTED}*'` installs that; engine='cmdstan' "
            "compiles programs instead."
        )
    return ""
