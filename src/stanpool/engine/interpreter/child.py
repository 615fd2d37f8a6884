"""The process in which stanli runs: a program of its own that imports no stanpool.

stanli crashes a process that uses it in any thread but the main one, and hears Ctrl-C
only between two iterations. So it has a process for itself, which its parent can end at
any time. Started as ``python child.py``, it takes requests from standard input, a line
of JSON each, and answers each by a line of JSON on standard output, where the progress
of chains stands, too. Arrays are files in a folder. What else is printed goes to
standard error, the file ``console.txt`` there. When standard input ends, since the
parent has ended, however that was, so does this process. It may run one program after
another, and ends when none has come for a while.
"""

from __future__ import annotations

import json
import os
import queue
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

CONSOLE = "console.txt"
PROGRAM = "program.stan"
DATA = "data.json"
POINTS, DENSITIES = "points.npy", "densities.npy"
PATH = "path.npy"
DRAWS, SAMPLER, METRIC = "draws.npy", "sampler.npy", "metric.npy"
LAST = "last.npy"

# How often random initial values are tried, as by Stan.
_ATTEMPTS = 100
# How long, how often and where the time of a gradient is measured.
_SECONDS_OF_TIMING, _MOST_GRADIENTS, _NEAR = 0.02, 50, 0.5
# So short that a leapfrog step changes no digit of any parameter.
_NO_STEP = 1e-300
_MOST_STEPS = 1000  # of an optimizer
_COLUMNS_AT_ONCE = 512
# How long it waits for the next program, and how much memory it may have taken.
_PATIENCE_SECONDS, _MOST_MEGABYTES = 30.0, 300
_LACKS = re.compile(r"no starting value for parameter (\w+)")


class _Session:
    """A program, and stanli's models of it with one data set or another."""

    def __init__(self) -> None:
        self._folder = Path()
        self._models: dict[str, Any] = {}
        self._program = ""
        self._megabytes = _megabytes()
        self.patience: float | None = None

    def load(self, path: list[str], folder: str) -> Mapping[str, Any]:
        """Import stanli and translate the program; return how it went."""
        self._folder, self.patience = Path(folder), None
        _print_into(self._folder / CONSOLE)
        sys.path[:] = path
        import stanli

        source = (self._folder / PROGRAM).read_text(encoding="utf-8")
        self._program = stanli.stan_to_mir(source)
        model = self._model(DATA)
        return {
            "dimension": model.n_unconstrained,
            "version": stanli.__version__,
            "build": stanli.build_id(),
        }

    def rest(self) -> Mapping[str, Any]:
        """Forget the program; return whether another one may come."""
        self._models.clear()
        self._program, self.patience = "", _PATIENCE_SECONDS
        _print_into(Path(os.devnull))
        taken = _megabytes() - self._megabytes
        return {"is_fit": os.name != "nt" and taken < _MOST_MEGABYTES}

    def _model(self, data: str) -> Any:
        """Return the program with the data of a file."""
        if data not in self._models:
            import stanli

            file = self._folder / data
            # stanli warns of parts that it interprets very slowly, or leaves out.
            with warnings.catch_warnings():
                warnings.simplefilter("error", RuntimeWarning)
                self._models[data] = stanli.Model(mir=self._program, data=file)
        return self._models[data]

    def evaluate(self, data: str) -> Mapping[str, Any]:
        """Write the log density at points, and its gradient: ``(point, 1 + K)``."""
        import numpy as np

        model, points = self._model(data), np.load(self._folder / POINTS)
        found = np.full((len(points), 1 + model.n_unconstrained), np.nan)
        start = time.perf_counter()
        for row, point in zip(found, points, strict=True):
            try:
                row[0], row[1:] = model.log_prob_grad(point)
            except RuntimeError:  # outside of the support
                row[0] = -np.inf
        seconds = time.perf_counter() - start
        np.save(self._folder / DENSITIES, found)
        return {"seconds": seconds}

    def time_gradients(self) -> Mapping[str, Any]:
        """Return the seconds of a gradient, the fastest of a few at random points."""
        import numpy as np

        model, rng = self._model(DATA), np.random.default_rng(1)
        fastest, end = np.inf, time.perf_counter() + _SECONDS_OF_TIMING
        for count in range(_MOST_GRADIENTS):
            point = rng.uniform(-_NEAR, _NEAR, model.n_unconstrained)
            start = time.perf_counter()
            if start > end and count > 1:
                break
            with suppress(RuntimeError):  # outside of the support
                model.log_prob_grad(point)
                fastest = min(fastest, time.perf_counter() - start)
        return {"seconds": fastest if fastest < np.inf else None}

    def sample(
        self,
        settings: dict[str, Any],
        inits: list[dict[str, Any]] | None,
        init_radius: float,
        passing: list[str],
    ) -> Mapping[str, Any]:
        """Sample; write the draws, ``(draw, chain, column)``.

        Of the variables ``passing``, the last draw is all that is written.
        """
        import numpy as np
        import stanli

        model = self._model(DATA)
        starts = None
        if inits is not None:
            starts = _starts(model, inits, settings["seed"], init_radius)
        fit = model.sample(inits=starts, init_radius=init_radius, **settings)
        passes = [name.partition("[")[0] in passing for name in fit.names]
        kept, others = np.flatnonzero(np.logical_not(passes)), np.flatnonzero(passes)
        draws = fit.draws()
        self._write(DRAWS, draws, kept)
        self._write(LAST, draws[:, -1:], others)
        self._write(SAMPLER, fit.sampler_stats, np.arange(fit.sampler_stats.shape[2]))
        if fit.metric != "unit_e":
            np.save(self._folder / METRIC, np.stack(fit.inv_metric))
        return {
            "columns": [fit.names[column] for column in kept],
            "passing": [fit.names[column] for column in others],
            "sampler_columns": list(stanli.SAMPLER_COLUMNS),
            "step_size": fit.step_size.tolist(),
        }

    def _write(self, file: str, values: Any, columns: Any) -> None:
        """Write columns of ``(chain, draw, column)`` as ``(draw, chain, column)``.

        The draws of a column stand together, as in memory those of cmdstanpy do. Few
        columns are copied at once, since the values may be most of the memory.
        """
        import numpy as np

        chains, draws, _ = values.shape
        shape = (len(columns), chains, draws)
        with (self._folder / file).open("wb") as stream:
            head = {"descr": "<f8", "fortran_order": True, "shape": shape[::-1]}
            np.lib.format.write_array_header_1_0(stream, head)
            for start in range(0, len(columns), _COLUMNS_AT_ONCE):
                some = values[:, :, columns[start : start + _COLUMNS_AT_ONCE]]
                np.ascontiguousarray(some.transpose(2, 0, 1)).tofile(stream)

    def find_starts(
        self, inits: list[dict[str, Any]], seed: int, init_radius: float
    ) -> Mapping[str, Any]:
        """Write initial values on the unconstrained scale: ``(len(inits), K)``."""
        import numpy as np

        model = self._model(DATA)
        starts = _starts(model, inits, seed, init_radius)
        np.save(self._folder / POINTS, np.reshape(starts, (-1, model.n_unconstrained)))
        return {}

    def optimize(self, seed: int) -> Mapping[str, Any]:
        """Move the first point to where the log density has a maximum."""
        import numpy as np

        start = np.load(self._folder / POINTS)[0]
        found = self._model(DATA).optimize(seed=seed, init=start)
        np.save(self._folder / POINTS, found.unconstrained[np.newaxis])
        return {}

    def follow(self, place: int, history: int, change: float) -> Mapping[str, Any]:
        """Write where an optimizer goes from a point, and gradients: ``(2, step, K)``.

        Parameters
        ----------
        place
            Which of the points.
        history, change
            How many steps it remembers, and at which relative change it stops.
        """
        import numpy as np

        start = np.load(self._folder / POINTS)[place]
        path = _path(self._model(DATA), start, history, change)
        np.save(self._folder / PATH, np.stack(path))
        return {}

    def constrain(self) -> Mapping[str, Any]:
        """Write all variables of the program at points: ``(point, 1, column)``."""
        import numpy as np

        points = np.load(self._folder / POINTS)
        found = _variables_at(self._model(DATA), points)
        np.save(self._folder / DRAWS, np.asfortranarray(found.draws()))
        return {"columns": list(found.names)}


def _path(model: Any, start: Any, history: int, change: float) -> tuple[Any, Any]:
    """Return where an optimizer of the log density goes, and the gradients there."""
    import numpy as np
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    known: dict[bytes, tuple[float, Any]] = {}
    path = [start]

    def negative(at: Any) -> tuple[float, Any]:
        try:
            value, gradient = model.log_prob_grad(at)
        except RuntimeError:  # outside of the support
            # As high as where the step began, and as steep: the search goes half way.
            value, gradient = known[path[-1].tobytes()]
            return -value, gradient
        known[at.tobytes()] = value, gradient
        return -value, -gradient

    minimize(
        negative,
        start,
        jac=True,
        method="L-BFGS-B",
        callback=lambda at: path.append(at.copy()),
        options={"maxcor": history, "maxiter": _MOST_STEPS, "ftol": change},
    )
    return np.array(path), np.array([known[at.tobytes()][1] for at in path])


def _starts(
    model: Any, inits: list[dict[str, Any]], seed: int, radius: float
) -> list[Any]:
    """Return initial values on the unconstrained scale, one for each of ``inits``."""
    import numpy as np

    rngs = (np.random.default_rng([seed, place]) for place in range(len(inits)))
    return [_start(model, *each, radius) for each in zip(inits, rngs, strict=True)]


def _start(model: Any, given: Mapping[str, Any], rng: Any, radius: float) -> Any:
    """Return initial values on the unconstrained scale; what is not given is random."""
    declared = {name.partition("[")[0] for name in model.constrained_names}
    if declared <= given.keys():
        return _unconstrained(model, given)
    problem: Exception | None = None
    for _ in range(_ATTEMPTS):
        start = rng.uniform(-radius, radius, model.n_unconstrained)
        try:
            if given:
                values = {**_constrained(model, start, declared), **given}
                start = _unconstrained(model, values)
            model.log_prob_grad(start)
            return start
        except RuntimeError as error:  # no finite density there
            problem = error
    raise RuntimeError(f"Initialization failed after {_ATTEMPTS} attempts: {problem}")


def _unconstrained(model: Any, values: Mapping[str, Any]) -> Any:
    """Return parameters on the unconstrained scale; empty ones are left out."""
    while True:
        try:
            return model.unconstrain(values)
        except ValueError as error:
            lacking = _LACKS.search(str(error))
            if lacking is None or lacking[1] in values:
                raise
            values = {**values, lacking[1]: []}


def _constrained(model: Any, point: Any, names: set[str]) -> dict[str, Any]:
    """Return the parameters at a point."""
    found = _variables_at(model, point[None])
    return {name: found[name][0].tolist() for name in names}


def _variables_at(model: Any, points: Any) -> Any:
    """Return all variables at points: those of chains that do not leave them."""
    return model.sample(
        chains=len(points),
        warmup=0,
        samples=1,
        adapt_engaged=False,
        step_size=_NO_STEP,
        max_depth=1,
        inits=points,
        refresh=0,
    )


def _megabytes() -> float:
    """Return how much memory this process has had at most."""
    try:
        import resource
    except ImportError:  # on Windows
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _print_into(file: Path) -> None:
    """Let all that is printed, by libraries, too, be added to a file."""
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for printed in (1, 2):
        os.dup2(number, printed)
    os.close(number)


def _read_requests(stream: TextIO, requests: queue.SimpleQueue[str]) -> None:
    """Hand on what the parent asks for; end with it."""
    for line in stream:
        requests.put(line)
    os._exit(1)


def _take_pipes() -> TextIO:
    """Keep both pipes to ourselves; return that of the requests.

    Nothing but answers and progress goes through the other one. Libraries look at
    standard input while they are loaded, and on Windows whoever looks at a pipe waits
    until nobody reads from it any more: for us, that would be for ever.
    """
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return requests


def main() -> None:
    """Answer the requests of the parent until it ends."""
    # What is multiplied here is small, and chains need the cores.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()
    reading = (_take_pipes(), requests)
    threading.Thread(target=_read_requests, args=reading, daemon=True).start()
    session = _Session()
    known: dict[str, Callable[..., Mapping[str, Any]]] = {
        "load": session.load,
        "rest": session.rest,
        "evaluate": session.evaluate,
        "time_gradients": session.time_gradients,
        "sample": session.sample,
        "find_starts": session.find_starts,
        "optimize": session.optimize,
        "follow": session.follow,
        "constrain": session.constrain,
    }
    while True:
        try:
            request = json.loads(requests.get(timeout=session.patience))
        except queue.Empty:
            os._exit(0)
        try:
            answer: Mapping[str, Any] = known[request.pop("do")](**request)
        except Exception as error:
            answer = {"failed": type(error).__name__, "words": str(error)}
        sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
