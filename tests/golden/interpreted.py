"""Log densities of many programs by stanli, all in one process of its own.

stanli must not be used in any thread but the main one, and a program takes a
hundredth of the time that a process takes to start.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stanpool.engine.interface import Densities

Job = tuple[str, Mapping[str, Any], np.ndarray]


def interpreted(jobs: Sequence[Job]) -> list[Densities | str]:
    """Return the densities of programs, data and points; or why stanli refuses."""
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "jobs")
        given.write_bytes(pickle.dumps(list(jobs)))
        command = [sys.executable, "-P", __file__, str(given)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found = pickle.loads(given.read_bytes())
    return [each if isinstance(each, str) else Densities(*each) for each in found]


def _evaluated(source: str, data: Mapping[str, Any], points: np.ndarray) -> Any:
    import stanli

    try:
        model = stanli.Model(stan_code=source, data=data)
    except RuntimeError as error:
        return str(error)
    if model.n_unconstrained != points.shape[1]:
        return f"{model.n_unconstrained} parameters, not {points.shape[1]}"
    values, gradients = np.full(len(points), -np.inf), np.full(points.shape, np.nan)
    for n, point in enumerate(points):
        try:
            values[n], gradients[n] = model.log_prob_grad(point)
        except RuntimeError:  # the program refuses the point
            continue
    return values, gradients


if __name__ == "__main__":
    file = Path(sys.argv[1])
    results = [_evaluated(*job) for job in pickle.loads(file.read_bytes())]
    file.write_bytes(pickle.dumps(results))
