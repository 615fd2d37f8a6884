"""One fit in a process of its own: ``python -m stanpool.bench.cell``.

It builds, compiles, fits, measures, and writes a ``Cell``. Errors end the process, and
the runner reads them from its log.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from stanpool import __version__
from stanpool.bench.benchmarks.benchmark import Sampling
from stanpool.bench.benchmarks.catalogue import BENCHMARKS
from stanpool.bench.results import Cell
from stanpool.bench.suite import TOOLS
from stanpool.bench.tools.tool import Tool
from stanpool.engine.interpreter.waiting import stop_waiting
from stanpool.posterior import arviz

_IN_ALL_GROUPS = ("b_", "u_")
_DIAGONAL = re.compile(r"Omega.*\[(\d+),\1\]$")


def measure(
    benchmark: str,
    tool: str,
    seed: int,
    sampling: Sampling,
    folder: Path,
    started: Path,
    limit: float,
) -> Cell:
    """Fit a benchmark by a tool.

    Parameters
    ----------
    benchmark, tool, seed
        The names, and the seed of the sampler.
    sampling
        How to sample. The process is bound to that number of cores.
    folder
        The folder of the data files of benchmarks.
    started
        A file that is made when compilation has ended and fitting begins.
    limit
        The CPU seconds that fitting may take in one process, where systems have such
        limits; the process then ends by a signal.
    """
    _bind(sampling.cores)
    data = BENCHMARKS[benchmark].read(folder)
    method = TOOLS[tool]
    before = time.perf_counter()
    model = method.build(BENCHMARKS[benchmark], data)
    built = time.perf_counter()
    megabytes = _peak_megabytes()
    compile_cpu = _cpu_seconds()
    ready = method.compile(model, sampling)
    compiled, compile_cpu = time.perf_counter(), _cpu_seconds() - compile_cpu
    stop_waiting()
    _allow(limit)
    started.touch()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    start, cpu = time.perf_counter(), _cpu_seconds()
    drawn = method.fit(ready, sampling, seed)
    stop_waiting()  # the time of a process counts when it has ended
    seconds, cpu = time.perf_counter() - start, _cpu_seconds() - cpu
    peak = _peak_megabytes(with_children=True)
    return Cell(
        benchmark,
        tool,
        seed,
        form=method.form(model),
        engine=method.engine,
        build_seconds=built - before,
        build_megabytes=megabytes,
        compile_seconds=compiled - built + drawn.compile_seconds,
        compile_cpu_seconds=compile_cpu + drawn.compile_cpu_seconds,
        seconds=seconds - drawn.compile_seconds,
        cpu_seconds=cpu - drawn.compile_cpu_seconds,
        gradients=drawn.gradients,
        warmup_gradients=drawn.warmup_gradients,
        megabytes=peak,
        divergences=drawn.divergences,
        load=load,
        versions=_versions(method),
        sampling=asdict(sampling),
        **({} if drawn.draws is None else statistics(method.quantities(ready, drawn))),
    )


def statistics(quantities: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Measure how well quantities were sampled, by ArviZ and alike for all tools.

    Parameters
    ----------
    quantities
        Arrays ``(chain, draw, ...)`` by name; the names of groups begin with ``b_``.

    Returns
    -------
    dict
        The fields of a ``Cell``: ``ess``, ``ess_of``, ``r_hat``, ``r_hat_of``,
        ``scalars``, and ``estimates`` of population parameters.

    Examples
    --------
    >>> draws = np.random.default_rng(1).normal(size=(4, 1000))
    >>> found = statistics({"sigma": draws, "b_g": draws[..., None] + [1, 2]})
    >>> found["scalars"], found["r_hat"] < 1.01, list(found["estimates"])
    (3, True, ['sigma'])
    """
    import xarray as xr

    labels: list[str] = []
    columns: list[np.ndarray] = []
    for name, values in quantities.items():
        chains, draws = values.shape[:2]
        columns.append(values.reshape(chains, draws, -1))
        for place in np.ndindex(values.shape[2:]):
            inner = ",".join(str(index) for index in place)
            labels.append(f"{name}[{inner}]" if place else name)
    array = np.concatenate(columns, axis=2)
    # The diagonal of a correlation matrix is 1 by definition, and has no R-hat.
    varies = [not _DIAGONAL.match(label) for label in labels]
    array, labels = array[..., varies], list(compress(labels, varies))
    dataset = xr.Dataset({"it": (("chain", "draw", "scalar"), array)})
    ess = arviz.ess_bulk(dataset)["it"].to_numpy()
    r_hat = arviz.rhat(dataset)["it"].to_numpy()
    # Chains that never moved have neither.
    ess, r_hat = np.nan_to_num(ess), np.nan_to_num(r_hat, nan=np.inf)
    least, worst = int(ess.argmin()), int(r_hat.argmax())
    population = [
        k for k, label in enumerate(labels) if not label.startswith(_IN_ALL_GROUPS)
    ]
    errors = arviz.mcse_mean(dataset.isel(scalar=population))["it"].to_numpy()
    means = array[..., population].mean(axis=(0, 1))
    return {
        "ess": float(ess[least]),
        "ess_of": labels[least],
        "r_hat": float(r_hat[worst]),
        "r_hat_of": labels[worst],
        "scalars": len(labels),
        "estimates": {
            labels[k]: (float(mean), float(error))
            for k, mean, error in zip(population, means, errors, strict=True)
        },
    }


def _bind(cores: int) -> None:
    """Bind the process and its children to the first cores that it may use."""
    if hasattr(os, "sched_setaffinity"):
        mine = sorted(os.sched_getaffinity(0))[:cores]
        os.sched_setaffinity(0, mine)


def _cpu_seconds() -> float:
    """Return the CPU time of this process and its finished children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _peak_megabytes(*, with_children: bool = False) -> float | None:
    """Return the peak memory of the process so far, if the system reports it.

    That of the largest child that has ended is added to it, if asked for.
    """
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if with_children:
        peak += resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


def _allow(seconds: float) -> None:
    """Allow this process, and each that it starts, so many more CPU seconds."""
    try:
        import resource
    except ImportError:  # the runner's limit of time is all there is
        return
    own = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(own.ru_utime + own.ru_stime + seconds) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    if hard == resource.RLIM_INFINITY or soft < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _versions(tool: Tool) -> dict[str, str]:
    python = [name for name in tool.needs if not name.startswith("R:")]
    return {"stanpool": __version__} | {name: version(name) for name in python}


def _end_with_the_runner() -> None:
    """Wait for the end of standard input, when the runner has ended, and end."""
    os.read(0, 1)  # not through sys.stdin, whose lock would be held at exit
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main(order: str) -> None:
    """Carry out an order of the runner, which is JSON with the path of the cell."""
    # Ignored where the runner is in the background, and it asks us to end by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(os, "killpg"):  # on Windows the runner's job sees to it
        threading.Thread(target=_end_with_the_runner, daemon=True).start()
    told = json.loads(order)
    cell = measure(
        told["benchmark"],
        told["tool"],
        told["seed"],
        Sampling(**told["sampling"]),
        Path(told["folder"]),
        Path(told["started"]),
        float(told["limit"]),
    )
    cell.save(Path(told["result"]))


if __name__ == "__main__":
    main(sys.argv[1])
