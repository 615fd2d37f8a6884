"""Stan programs at given parameters by stanli, in a process of its own.

stanli must not be used in any thread but the main one, and a program takes a hundredth
of the time that a process takes to start: so there is one process for all of them.
"""

from __future__ import annotations

import atexit
import os
import pickle
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from stanpool.engine.interface import Densities
from stanpool.engine.values.program import StanProgram

Job = tuple[str, Mapping[str, Any], np.ndarray]


def interpreted(jobs: Sequence[Job]) -> list[Densities | str]:
    """Return the densities of programs, data and points; or why stanli refuses."""
    found = [_ask("densities", *job) for job in jobs]
    return [each if isinstance(each, str) else Densities(*each) for each in found]


def evaluate(
    program: StanProgram, data: Mapping[str, Any], at: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Return the log density at ``at``, as ``lp__``, and what a draw would hold.

    The density is without its constants, and without the Jacobian.
    """
    found = _ask("draw", program.source, data, at)
    assert not isinstance(found, str), found
    return found


def _ask(*request: Any) -> Any:
    process = _process()
    assert process.stdin is not None
    assert process.stdout is not None
    pickle.dump(request, process.stdin)
    process.stdin.flush()
    return pickle.load(process.stdout)


@cache
def _process() -> subprocess.Popen[bytes]:
    """Start the process, which ends when we do."""
    command, pipe = [sys.executable, "-P", __file__], subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe)
    atexit.register(process.communicate)
    return process


@lru_cache(maxsize=4)
def _model(source: str, data: bytes) -> Any:
    import stanli

    # It warns of parts that it interprets very slowly, or leaves out.
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        return stanli.Model(stan_code=source, data=pickle.loads(data))


def _densities(source: str, data: Mapping[str, Any], points: np.ndarray) -> Any:
    try:
        model = _model(source, pickle.dumps(data))
    except (RuntimeError, RuntimeWarning) as error:
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


def _draw(source: str, data: Mapping[str, Any], at: Mapping[str, Any]) -> Any:
    model = _model(source, pickle.dumps(data))
    # Without its statements, a program has the Jacobian alone.
    head, _, tail = source.partition("\nmodel {")
    rest = tail.partition("\n}")[2]
    jacobian = _model(f"{head}\nmodel {{\n}}{rest}", pickle.dumps(data))
    block = source.partition("\nparameters {")[2].partition("\n}")[0]
    names = re.findall(r"^[^/\n]* (\w+);", block, re.MULTILINE)
    point = model.unconstrain({name: at[name] for name in names})
    value, without = (each.log_prob_grad(point)[0] for each in (model, jacobian))
    density = {"lp__": np.array(value - without)}
    # A draw that does not leave the point: a step of it changes no digit.
    stays = {"adapt_engaged": False, "step_size": 1e-300, "max_depth": 1, "refresh": 0}
    try:
        fit = model.sample(chains=1, warmup=0, samples=1, inits=point, **stays)
    except RuntimeError:  # in a tail, where it has no gradient
        return density
    columns = {name.partition("[")[0] for name in fit.names}
    return {name: fit[name][0] for name in columns} | density


def main() -> None:
    """Answer requests until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    known: dict[str, Callable[..., Any]] = {"densities": _densities, "draw": _draw}
    while True:
        try:
            name, *arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = known[name](*arguments)
        except (RuntimeError, ValueError) as error:
            answer = f"{type(error).__name__}: {error}"
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
